//! Each rule of a look at its edge.

use super::*;

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
    assert_eq!(baseline.look(&Sight { old: Some(&old), ..sight(&new) }, 0.0), Look::Kept);
}

#[test]
fn a_quantile_is_of_the_nearest_rank() {
    let hundred = || (1..=100).rev().map(Span).collect::<Vec<_>>();
    let found = [1, 100, 101, 9_500, 9_501, 10_000].map(|of| quantile(hundred(), of).unwrap().0);
    assert_eq!(found, [1, 1, 2, 95, 96, 100]);
    assert_eq!(quantile(vec![], 9_500), None);
}
