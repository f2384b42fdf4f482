//! Both policies on windows that are written out.

use super::threshold::{fewest, fewest_by_halves};
use super::*;
use crate::policy::Burn;
use crate::target::{TargetId, VersionId};
use crate::time::Span;
use crate::window::{Marks, Pane};

mod edges;

fn threshold(blip_ms: u64) -> Promise {
    Promise {
        policies: Policy::Threshold(Threshold::default()).into(),
        stream: Stream::Errors,
        mark: Mark::BAD,
        scope: Scope::Service,
        quantile: 9_500,
        window: Duration::from_mins(1),
        rate_hz: 100.0,
        share_max: 0.001,
        alpha: 1e-11,
        samples_min: 20,
        share_min: 0.0,
        tolerate_blip: Duration::from_millis(blip_ms),
        luck_one_in: 1_000_000,
    }
}

fn sight(window: &Window) -> Sight<'_> {
    Sight::of(window, window.entries().next_back().map_or(Mono(0), |entry| entry.due))
}

/// Probes every 10 ms; `bad` says which are.
fn window(count: u64, bad: impl Fn(u64) -> bool) -> Window {
    let mut window = Window::new(Duration::from_mins(1));
    for i in 0..count {
        let due = Mono(i * 10_000_000);
        let entry = Entry {
            due,
            response: Span(10_000),
            marks: Marks::new(bad(i), [false]),
            answered: true,
            conn: u32::try_from(1 + i % 4).unwrap(),
            addr: 0,
            target: TargetId(0),
            version: VersionId::NONE,
        };
        window.insert(due, entry);
    }
    window
}

#[test]
fn the_tail_is_an_upper_bound_and_a_tight_one() {
    // Exact values by summation in rational arithmetic.
    for (n, k, p, exact) in [
        (10, 3, 0.1, 0.070_190_826_4),
        (20, 20, 0.5, 9.536_743_164_062_5e-7),
        (100, 5, 0.01, 0.003_432_353_7),
        (1_000, 10, 0.001, 1.069_0e-7),
    ] {
        let bound = tail(n, k, p);
        assert!(bound >= exact * 0.999_9, "{n} {k} {p}: {bound} < {exact}");
        assert!(bound <= exact * 1.25, "{n} {k} {p}: {bound} > {exact}");
    }
    assert!(tail(16_384, 16_384, 0.05) < 1e-200);
    assert!((tail(100, 0, 0.5) - 1.0).abs() < f64::EPSILON);
    assert!(tail(16_384, 1_200, 0.05) > 0.0);
}

#[test]
fn both_ways_to_the_fewest_agree() {
    for (n, share) in [(20, 0.001), (100, 0.05), (1_000, 0.001), (1_000, 0.05), (4_000, 0.05)] {
        for alpha in [1e-3, 1e-9, 1e-11] {
            let halves = fewest_by_halves(n, n, share, alpha);
            assert_eq!(fewest(n, n, share, alpha), halves, "{n} {share} {alpha}");
            let none = halves.map(|k| k - 1);
            assert_eq!(none.and_then(|hits| fewest(n, hits, share, alpha)), None);
        }
    }
    assert!(fewest(16_384, 16_384, 0.05, 1e-11).is_some());
}

pub(super) fn sequential(blip_ms: u64) -> Promise {
    Promise { policies: Policy::Sequential.into(), ..threshold(blip_ms) }
}

#[test]
fn five_bad_answers_in_a_row_are_a_breach_to_the_sequential_policy() {
    let look = |bad: u64| sequential(0).look(&sight(&window(100, |i| i >= 100 - bad)), 0.0);
    assert_eq!(look(1), Look::Kept);
    assert_eq!(look(4), Look::Suspect);
    let Look::Breach(evidence) = look(5) else { panic!("luck of one in a million releases") };
    assert_eq!((evidence.bad, evidence.answers, evidence.first_bad), (5, 5, Mono(950_000_000)));
}

#[test]
fn what_hangs_is_no_good_answer() {
    let mut window = window(1_030, |i| i >= 1_000);
    for i in 1_030..1_105 {
        let due = Mono(i * 10_000_000);
        let hanging = Entry {
            due,
            answered: false,
            marks: Marks::new(false, [true]),
            ..*window.entries().next().unwrap()
        };
        window.insert(due, hanging);
    }
    let Look::Breach(evidence) = sequential(250).look(&sight(&window), 0.0) else {
        panic!("thirty timeouts, and what was asked since hangs too");
    };
    assert_eq!(evidence.bad, 30);
}

#[test]
fn what_is_merely_slow_is_no_second_connection() {
    let mut window = Window::new(Duration::from_mins(1));
    for i in 0..200 {
        let due = Mono(i * 10_000_000);
        let conn = u32::try_from(1 + i % 4).unwrap();
        let slow = i == 190;
        let entry = Entry {
            due,
            response: Span(10_000),
            marks: Marks::new(conn == 1 && i >= 100, [slow]),
            answered: !slow,
            conn,
            addr: 0,
            target: TargetId(0),
            version: VersionId::NONE,
        };
        window.insert(due, entry);
    }
    let Look::Breach(evidence) = sequential(0).look(&sight(&window), 0.0) else { panic!("a quarter is bad") };
    assert_eq!(evidence.connections, 1);
    // Where probes find no slot, it is what hangs that holds them.
    let due = Mono(2_000_000_000);
    let no_slot = Entry {
        due,
        marks: Marks::new(true, [false]),
        conn: 0,
        answered: false,
        ..*window.entries().next().unwrap()
    };
    window.insert(due, no_slot);
    let Look::Breach(evidence) = sequential(0).look(&sight(&window), 0.0) else { panic!("a quarter is bad") };
    assert_eq!(evidence.connections, 2);
}

#[test]
fn what_was_over_before_it_was_known_is_no_breach() {
    let mut window = Window::new(Duration::from_mins(1));
    let like = |due: u64, bad: bool| Entry {
        due: Mono(due * 10_000_000),
        response: Span(10_000),
        marks: Marks::new(bad, [bad]),
        answered: !bad,
        conn: 1,
        addr: 0,
        target: TargetId(0),
        version: VersionId::NONE,
    };
    // Six timeouts in a row, known after five seconds in which every other answer was good.
    let is_bad = |due: u64| (400..406).contains(&due);
    for now in 0..1_000 {
        if !is_bad(now) {
            window.insert(Mono(now * 10_000_000), like(now, false));
        }
        if now >= 500 && is_bad(now - 500) {
            window.insert(Mono(now * 10_000_000), like(now - 500, true));
        }
        let look = sequential(0).look(&sight(&window), 0.0);
        assert!(!matches!(look, Look::Breach(_)), "at {now}: {look:?}");
    }
}

/// Two URLs, 100 probes a second each, 20 s in peace; then one of them takes `ms`, and `answers`, or not.
fn half(ms: u64, bad: bool, promise: &Promise) -> Vec<bool> {
    let mut ends: Vec<(u64, Entry)> = Vec::new();
    for i in 0..5_000_u64 {
        let (due, wrong) = (i * 5, i % 2 == 1 && i >= 4_000);
        let takes = if wrong { ms } else { 5 };
        let entry = Entry {
            due: Mono(due * 1_000_000),
            response: Span::of(Duration::from_millis(takes)),
            marks: Marks::new(bad && wrong, [wrong]),
            answered: !(bad && wrong),
            conn: u32::try_from(1 + i % 10).unwrap(),
            addr: 0,
            target: TargetId(u16::from(wrong)),
            version: VersionId::NONE,
        };
        if wrong {
            let told = Entry {
                marks: Marks::new(false, [true]),
                answered: false,
                response: Span(2_500_000),
                ..entry
            };
            ends.push((due + 250, told));
        }
        ends.push((due + takes, entry));
    }
    ends.sort_by_key(|(at, _)| *at);
    let mut window = Window::new(Duration::from_mins(1));
    let mut looks = Vec::new();
    for (at, entry) in ends {
        let now = Mono(at * 1_000_000);
        if !(entry.slow() && entry.response > Span(2_500_000) && window.amend(entry)) {
            window.insert(now, entry);
        }
        if (22_000..24_000).contains(&at) && at % 50 == 5 {
            looks.push(matches!(promise.look(&sight(&window), 0.0), Look::Breach(_)));
        }
    }
    looks
}

#[test]
fn what_goes_on_is_not_over_because_good_answers_come_sooner_than_bad_ones() {
    let hangs = half(1_000, true, &sequential(250));
    assert!(hangs.len() >= 40 && hangs.iter().all(|breach| *breach), "{hangs:?}");
    let latency = Promise { stream: Stream::Latency, mark: Mark::SLOW, share_max: 0.05, ..sequential(250) };
    let slow = half(600, false, &latency);
    assert!(slow.len() >= 40 && slow.iter().all(|breach| *breach), "{slow:?}");
}

#[test]
fn few_samples_are_no_good_word_and_may_be_a_bad_one() {
    assert_eq!(sequential(0).look(&sight(&window(19, |_| false)), 0.0), Look::TooFew);
    assert_eq!(sequential(0).look(&sight(&window(20, |_| false)), 0.0), Look::Kept);
    assert_eq!(sequential(0).look(&sight(&window(19, |i| i == 3)), 0.0), Look::TooFew);
    assert!(matches!(sequential(0).look(&sight(&window(19, |_| true)), 0.0), Look::Breach(_)));
}

#[test]
fn a_sum_that_has_climbed_is_over_when_good_answers_have_come_back() {
    // Half of the answers for two seconds, and then none: the mildest design would remember it for a minute.
    let outage = |good: u64| window(1_200 + good, |i| (1_000..1_200).contains(&i) && i % 2 == 1);
    assert!(matches!(sequential(0).look(&sight(&outage(0)), 0.0), Look::Breach(_)));
    assert!(matches!(sequential(0).look(&sight(&outage(19)), 0.0), Look::Breach(_)));
    assert_eq!(sequential(0).look(&sight(&outage(21)), 0.0), Look::Suspect);
}

#[test]
fn what_was_normal_before_is_no_breach_to_the_sequential_policy_either() {
    let partial = window(2_000, |i| i % 20 == 0);
    assert!(matches!(sequential(250).look(&sight(&partial), 0.0), Look::Breach(_)));
    assert_eq!(sequential(250).look(&sight(&partial), 0.05), Look::Kept);
    assert_eq!(sequential(250).look(&sight(&partial), 1.0), Look::Kept);
}

#[test]
fn too_few_samples_prove_nothing() {
    assert_eq!(threshold(0).look(&sight(&window(19, |_| true)), 0.0), Look::TooFew);
    assert!(matches!(threshold(0).look(&sight(&window(20, |_| true)), 0.0), Look::Breach(_)));
}

#[test]
fn a_run_shorter_than_the_blip_never_breaches_and_one_as_long_does() {
    assert_eq!(threshold(250).look(&sight(&window(1_000, |i| (500..525).contains(&i))), 0.0), Look::Suspect);
    let Look::Breach(evidence) =
        threshold(250).look(&sight(&window(1_000, |i| (500..526).contains(&i))), 0.0)
    else {
        panic!("a run of 250 ms is no blip");
    };
    assert_eq!((evidence.bad, evidence.span_ms, evidence.connections), (26, 250, 4));
    assert_eq!(evidence.first_bad, Mono(5_000_000_000));
}

#[test]
fn a_blip_and_a_stray_error_do_not_add_up_to_a_breach() {
    let look = threshold(250).look(&sight(&window(1_000, |i| i == 100 || (500..520).contains(&i))), 0.0);
    assert_eq!(look, Look::Suspect);
}

#[test]
fn short_runs_that_come_again_and_again_do() {
    let flapping = window(1_000, |i| i % 100 < 20);
    assert!(matches!(threshold(250).look(&sight(&flapping), 0.0), Look::Breach(_)));
}

#[test]
fn what_was_normal_before_is_no_breach() {
    let partial = window(1_000, |i| i % 20 == 0);
    assert!(matches!(threshold(250).look(&sight(&partial), 0.0), Look::Breach(_)));
    assert_eq!(threshold(250).look(&sight(&partial), 0.05), Look::Kept);
}

#[test]
fn a_floor_for_the_rate_is_kept() {
    let partial = window(1_000, |i| i % 20 == 0);
    let floored = Promise { share_min: 0.06, ..threshold(250) };
    assert_eq!(floored.look(&sight(&partial), 0.0), Look::Suspect);
}

#[test]
fn an_allowed_error_is_no_suspicion() {
    assert_eq!(threshold(250).look(&sight(&window(1_000, |i| i == 7)), 0.0), Look::Kept);
}

#[test]
fn a_share_has_to_be_too_large_for_as_long_as_it_is_asked() {
    let held = |held_for: u64| Promise {
        policies: Policy::Threshold(Threshold {
            held_for: Duration::from_secs(held_for),
            ..Threshold::default()
        })
        .into(),
        window: Duration::from_secs(2),
        ..threshold(0)
    };
    // Good for ten seconds, then a tenth is bad for five.
    let partial = window(1_500, |i| i >= 1_000 && i % 10 == 0);
    assert!(matches!(held(0).look(&sight(&partial), 0.0), Look::Breach(_)));
    assert!(matches!(held(4).look(&sight(&partial), 0.0), Look::Breach(_)));
    assert_eq!(held(6).look(&sight(&partial), 0.0), Look::Suspect);
    assert_eq!(held(20).look(&sight(&partial), 0.0), Look::Suspect, "nobody knows what was before");
}

#[test]
fn a_bad_streak_is_a_breach_and_a_good_one_ends_it() {
    let with = |bad_streak, good_streak| Promise {
        policies: Policy::Threshold(Threshold { bad_streak, good_streak, ..Threshold::default() }).into(),
        ..threshold(50)
    };
    let short = window(15, |i| i >= 8);
    assert_eq!(with(0, 0).look(&sight(&short), 0.0), Look::TooFew);
    let Look::Breach(evidence) = with(7, 0).look(&sight(&short), 0.0) else {
        panic!("seven in a row, 60 ms")
    };
    assert_eq!((evidence.bad, evidence.answers), (7, 7));
    assert_eq!(with(8, 0).look(&sight(&short), 0.0), Look::TooFew);
    assert_eq!(with(3, 0).look(&sight(&window(15, |i| i >= 11)), 0.0), Look::TooFew, "30 ms are a blip");
    let over = |good: u64| window(1_000 + good, |i| (900..1_000).contains(&i));
    assert!(matches!(with(0, 10).look(&sight(&over(9)), 0.0), Look::Breach(_)));
    assert_eq!(with(0, 10).look(&sight(&over(10)), 0.0), Look::Suspect);
    assert_eq!(with(5, 10).look(&sight(&over(10)), 0.0), Look::Suspect);
}

#[test]
fn a_breach_of_the_window_began_before_it_where_no_pause_parts_them() {
    let short = Promise { window: Duration::from_secs(2), ..threshold(0) };
    let first = |window: &Window| match short.look(&sight(window), 0.0) {
        Look::Breach(evidence) => evidence.first_bad.0 / 10_000_000,
        other => panic!("{other:?}"),
    };
    assert_eq!(first(&window(2_000, |i| i >= 1_000 && i % 10 == 0)), 1_000);
    assert_eq!(
        first(&window(2_000, |i| i == 500 || i >= 1_000 && i % 10 == 0)),
        1_000,
        "five seconds are a pause"
    );
    assert_eq!(first(&window(2_000, |i| i == 850 || i >= 1_000 && i % 10 == 0)), 850);
}

#[test]
fn policies_join_by_any_or_by_all() {
    let joined = |join, tests: &[Policy]| Promise {
        policies: Policies { join, tests: tests.to_vec() },
        ..threshold(0)
    };
    // Five in a row are enough for one of them, and twenty answers are needed by the other.
    let few = window(19, |i| i >= 10);
    let (fast, slow) = (Policy::Sequential, Policy::Threshold(Threshold::default()));
    let look = |join, window: &Window| joined(join, &[slow.clone(), fast.clone()]).look(&sight(window), 0.0);
    assert!(matches!(look(Join::Any, &few), Look::Breach(_)));
    assert_eq!(look(Join::All, &few), Look::Suspect);
    let Look::Breach(evidence) = look(Join::All, &window(40, |i| i >= 20)) else { panic!("both find it") };
    assert_eq!((evidence.bad, evidence.first_bad), (20, Mono(200_000_000)));
    assert_eq!(look(Join::All, &window(40, |i| i == 3)), Look::Kept);
}

#[test]
fn a_baseline_vetoes_what_the_old_version_does_as_well() {
    let both = Promise {
        policies: Policies { join: Join::All, tests: vec![Policy::Sequential, Policy::Baseline] },
        ..threshold(0)
    };
    let (new, same, good) =
        (window(2_000, |i| i % 10 == 0), window(2_000, |i| i % 10 == 3), window(2_000, |_| false));
    let few = window(3, |_| false);
    let look = |old: Option<&Window>, before| {
        both.look(&Sight { old: old.map(Window::view), before, ..sight(&new) }, 0.0)
    };
    assert!(matches!(look(Some(&good), None), Look::Breach(_)));
    assert_eq!(look(Some(&same), None), Look::Suspect);
    let tally = |bad| Some(Tally { answers: 2_000, bad });
    assert!(matches!(look(None, tally(0)), Look::Breach(_)), "before the cutover all was well");
    assert_eq!(look(None, tally(190)), Look::Suspect, "before the cutover it was as bad");
    assert_eq!(look(Some(&few), None), Look::Suspect, "nobody knows how it was");
    assert!(matches!(look(None, None), Look::Breach(_)), "in peace the promise decides");
    let baseline = Promise { policies: Policy::Baseline.into(), ..threshold(0) };
    assert_eq!(baseline.look(&sight(&window(2_000, |i| i == 7)), 0.0), Look::Kept, "and one error is none");
}

#[test]
fn a_part_is_judged_by_its_own_answers_and_a_limit_by_its_own_mark() {
    let part = |target: u16| Scope::Part { name: "x".into(), targets: [TargetId(target)].into() };
    let mut window = Window::from(Pane::new(Duration::from_mins(1)).in_parts());
    for i in 0..1_000_u64 {
        let due = Mono(i * 10_000_000);
        let (target, late) = (u16::try_from(i % 50).unwrap(), i >= 500 && i % 50 == 7);
        window.insert(
            due,
            Entry {
                due,
                response: Span(10_000),
                marks: Marks::new(false, [false, late]),
                answered: true,
                conn: u32::try_from(1 + i % 4).unwrap(),
                addr: 0,
                target: TargetId(target),
                version: VersionId::NONE,
            },
        );
    }
    let of = |scope, mark| Promise {
        scope,
        mark,
        stream: Stream::Latency,
        quantile: 9_900,
        share_max: 0.01,
        ..sequential(0)
    };
    let Look::Breach(evidence) = of(part(7), Mark::limit(1)).look(&sight(&window), 0.0) else {
        panic!("all of its answers are too slow");
    };
    assert_eq!((evidence.bad, evidence.answers, evidence.targets), (10, 10, 1));
    assert_eq!(&*evidence.scope, "x");
    assert_eq!(of(part(8), Mark::limit(1)).look(&sight(&window), 0.0), Look::Kept);
    assert_eq!(of(part(7), Mark::SLOW).look(&sight(&window), 0.0), Look::Kept, "another limit");
    assert_eq!(of(part(99), Mark::limit(1)).look(&sight(&window), 0.0), Look::TooFew);
}

#[test]
fn a_budget_that_is_spent_is_a_breach_to_the_burn_rate_policy() {
    let burns = vec![Burn { factor: 14.4, long: Duration::from_mins(10), short: Duration::from_secs(30) }];
    let burning = Promise { policies: Policy::BurnRate(burns.clone()).into(), ..threshold(0) };
    let outage = window(3_000, |i| i >= 2_000);
    let mut spent = Spent::new(&burns);
    for i in 2_000..2_864_u64 {
        spent.add(Mono(i * 10_000_000), Mono(i * 10_000_000));
    }
    let look = |spent| burning.look(&Sight { spent, ..sight(&outage) }, 0.0);
    assert_eq!(look(None), Look::Kept);
    // 14.4 times 0.1 % of 100 answers a second in ten minutes.
    assert!(matches!(look(Some(&spent)), Look::Breach(_)));
}

fn at(window: &Window, ms: u64) -> Sight<'_> {
    Sight { now: Mono(10_000_000_000 + ms * 1_000_000), ..sight(window) }
}

#[test]
fn a_look_is_remembered_until_something_bad_comes_or_time_has_gone() {
    let promise = sequential(0);
    let mut seen = window(1_000, |i| i >= 996);
    let mut memo = None;
    assert_eq!(promise.look_again(&at(&seen, 0), &mut memo), Look::Suspect);
    assert!(memo.is_some());
    let like = *seen.entries().next_back().unwrap();
    let add = |window: &mut Window, ms: u64, bad: bool| {
        let due = Mono(10_000_000_000 + ms * 1_000_000);
        window.insert(due, Entry { due, marks: Marks::new(bad, [false]), ..like });
    };
    // Good answers change nothing for a while,
    (1..60).for_each(|ms| add(&mut seen, ms, false));
    assert_eq!(promise.look_again(&at(&seen, 99), &mut memo), Look::Suspect);
    // and after it they count.
    (60..2_000).for_each(|ms| add(&mut seen, ms, false));
    assert_eq!(promise.look_again(&at(&seen, 2_000), &mut memo), Look::Kept);
    for ms in 2_001..2_006 {
        add(&mut seen, ms, true);
    }
    assert!(
        matches!(promise.look_again(&at(&seen, 2_006), &mut memo), Look::Breach(_)),
        "bad ones count at once"
    );
    assert_eq!(memo, None, "a breach is looked at anew");
}
