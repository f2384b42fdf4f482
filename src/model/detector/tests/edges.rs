//! Each rule of a look at its edge.

use super::*;
use crate::window::trail::Trail;

#[test]
fn a_remembered_look_is_as_good_as_a_new_one_and_no_better() {
    let again = |count: u64| {
        let (seen, mut memo) = (window(count, |i| i == 3), None);
        let mut look = || sequential(0).look_again(&sight(&seen), &mut memo);
        [look(), look()]
    };
    assert_eq!(again(19), [Look::TooFew, Look::TooFew]);
    assert_eq!(again(20), [Look::Kept, Look::Kept]);
}

#[test]
fn a_look_is_remembered_for_less_than_a_tenth_of_a_second_and_not_when_the_bad_ones_are_gone() {
    let mut seen = window(1_000, |i| i >= 996);
    let like = *seen.entries().next_back().unwrap();
    let mut memo = None;
    assert_eq!(sequential(0).look_again(&at(&seen, 0), &mut memo), Look::Suspect);
    for n in 1..450 {
        let due = Mono(10_000_000_000 + n * 200_000);
        seen.insert(due, Entry { due, marks: Marks::default(), ..like });
    }
    let known = memo;
    assert_eq!(sequential(0).look_again(&at(&seen, 99), &mut memo), Look::Suspect);
    assert_eq!(sequential(0).look_again(&at(&seen, 100), &mut memo), Look::Kept);
    memo = known;
    seen.expire(Mono(70_050_000_000));
    assert_eq!(sequential(0).look_again(&at(&seen, 99), &mut memo), Look::Kept);
}

#[test]
fn evidence_is_of_the_promise_with_its_stream_its_quantile_and_its_name() {
    let promise = sequential(0);
    let Look::Breach(evidence) = promise.look(&sight(&window(100, |_| true)), 0.0) else { panic!("all") };
    assert!(promise.is_of(&evidence));
    assert!(!promise.is_of(&Evidence { stream: Stream::Latency, ..evidence.clone() }));
    assert!(!promise.is_of(&Evidence { quantile: 9_900, ..evidence.clone() }));
    assert!(!promise.is_of(&Evidence { scope: "pay".into(), ..evidence }));
}

#[test]
fn what_one_policy_suspects_is_suspected_by_all() {
    let both = Promise {
        policies: Policies {
            join: Join::All,
            tests: vec![Policy::Sequential, Policy::Threshold(Threshold::default())],
        },
        samples_min: 200,
        ..threshold(0)
    };
    // Too few answers for the one, and four in a row for the other.
    assert_eq!(both.look(&sight(&window(100, |i| i >= 96)), 0.0), Look::Suspect);
    assert_eq!(both.look(&sight(&window(100, |i| i == 96)), 0.0), Look::TooFew);
}

#[test]
fn a_share_exactly_at_the_floor_is_a_breach() {
    let partial = window(1_000, |i| i % 20 == 0);
    let floored = |share_min| Promise { share_min, ..threshold(0) }.look(&sight(&partial), 0.0);
    assert!(matches!(floored(0.05), Look::Breach(_)));
    assert_eq!(floored(0.050_1), Look::Suspect);
}

#[test]
fn the_threshold_counts_no_answer_that_still_hangs() {
    let mut seen = window(15, |_| true);
    let like = *seen.entries().next().unwrap();
    let hang = |window: &mut Window, n: u64, marks| {
        let due = Mono((15 + n) * 10_000_000);
        window.insert(due, Entry { due, marks, answered: false, ..like });
    };
    (0..10).for_each(|n| hang(&mut seen, n, Marks::new(false, [true])));
    // Twenty answers are needed, and fifteen have come.
    assert_eq!(threshold(0).look(&sight(&seen), 0.0), Look::Kept);
    (10..15).for_each(|n| hang(&mut seen, n, Marks::new(true, [true])));
    assert!(matches!(threshold(0).look(&sight(&seen), 0.0), Look::Breach(_)), "timeouts have come");
}

#[test]
fn what_was_usual_of_a_few_answers_is_not_known() {
    let baseline = Promise { policies: Policy::Baseline.into(), ..threshold(0) };
    let new = window(2_000, |i| i % 10 == 0);
    let look = |answers, bad| {
        let before = Some(Tally { answers, bad });
        baseline.look(&Sight { before, ..sight(&new) }, 0.0)
    };
    assert!(matches!(look(19, 19), Look::Breach(_)), "the promise decides");
    assert_eq!(look(20, 20), Look::Kept, "all of it was usual");
}

#[test]
fn what_the_new_version_did_before_the_old_one_was_asked_is_not_compared() {
    let baseline = Promise { policies: Policy::Baseline.into(), ..threshold(0) };
    let new = window(3_000, |i| (900..1_000).contains(&i));
    let mut old = Window::new(Duration::from_mins(1));
    for entry in window(3_000, |_| false).entries() {
        if entry.due >= Mono(15_000_000_000) {
            old.insert(entry.due, *entry);
        }
    }
    assert_eq!(baseline.look(&Sight { old: Some(old.view()), ..sight(&new) }, 0.0), Look::Kept);
}

#[test]
fn bad_answers_just_before_the_old_version_was_asked_are_no_evidence_either() {
    let baseline = Promise { policies: Policy::Baseline.into(), ..threshold(0) };
    let new = window(3_000, |i| i < 25);
    let mut old = Window::new(Duration::from_mins(1));
    // Four for each of the new version's: beside so many good ones, bad ones would tell much.
    for entry in window(3_000, |_| false).entries().skip(25) {
        for quarter in 0..4 {
            let due = entry.due.after(Duration::from_micros(2_500 * quarter));
            old.insert(due, Entry { due, ..*entry });
        }
    }
    assert_eq!(baseline.look(&Sight { old: Some(old.view()), ..sight(&new) }, 0.0), Look::Kept);
}

#[test]
fn a_quantile_is_of_the_nearest_rank() {
    let hundred = || (1..=100).rev().map(Span).collect::<Vec<_>>();
    let found = [1, 100, 101, 9_500, 9_501, 10_000].map(|of| quantile(hundred(), of).unwrap().0);
    assert_eq!(found, [1, 1, 2, 95, 96, 100]);
    assert_eq!(quantile(vec![], 9_500), None);
}

#[test]
fn a_budget_that_was_spent_before_the_window_is_no_breach() {
    let burns = vec![Burn { factor: 1.0, long: Duration::from_mins(10), short: Duration::from_secs(30) }];
    let burning = Promise { policies: Policy::BurnRate(burns.clone()).into(), ..threshold(0) };
    let mut spent = Spent::new(&burns);
    (0..1_000).for_each(|_| spent.add(Mono(0), Mono(0)));
    let look = |bad| {
        let seen = window(100, |i| bad && i == 0);
        burning.look(&Sight { spent: Some(&spent), ..sight(&seen) }, 0.0)
    };
    assert!(matches!(look(true), Look::Breach(_)));
    assert_eq!(look(false), Look::Kept, "not one of these is bad");
}

#[test]
fn the_threshold_of_a_part_counts_its_own_answers() {
    let mut parts = Window::from(Pane::new(Duration::from_mins(1)).in_parts());
    for (n, entry) in (0..).zip(window(1_000, |i| i == 0 || i >= 900 && i % 2 == 1).entries()) {
        parts.insert(entry.due, Entry { target: TargetId(n % 2), ..*entry });
    }
    let look = |target| {
        let scope = Scope::Part { name: "x".into(), targets: [TargetId(target)].into() };
        Promise { scope, ..threshold(0) }.look(&sight(&parts), 0.0)
    };
    assert!(matches!(look(1), Look::Breach(_)));
    assert_eq!(look(0), Look::Kept, "one of five hundred, whatever the other half does");
}

#[test]
fn of_one_instant_the_bad_ones_are_first() {
    let promise = sequential(0);
    let walk = |mut seen: Window| {
        let like = *window(1, |_| true).entries().next().unwrap();
        let mut add = |due: u64, bad| {
            let due = Mono(due * 10_000_000);
            seen.insert(due, Entry { due, marks: Marks::new(bad, [false]), ..like });
        };
        // Five in a row are a breach. Nine good ones after the first of them take it back.
        (0..9).for_each(|_| add(0, false));
        (0..5).for_each(|due| add(due, true));
        promise.look(&sight(&seen), 0.0)
    };
    let plain = Pane::new(Duration::from_mins(1));
    let trail = Trail::new(promise.scope.clone(), promise.mark, promise.tolerate_blip);
    assert_eq!(walk(plain.clone().into()), Look::Suspect);
    assert_eq!(walk(plain.with_trails(vec![trail]).into()), Look::Suspect);
}
