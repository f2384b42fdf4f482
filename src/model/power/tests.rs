//! Known values, what must hold for any test, and some delays of the real walk.

use super::*;
use crate::detector::compare::ln_better_by_luck;
use crate::detector::run_length::Lattice;
use crate::detector::sequential::{Design, Walk};
use crate::objective::{Goal, Objective, Objectives, Scope};
use crate::policy::{Policies, Threshold};
use crate::time::Mono;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// At the default odds, with all memory.
fn test(share_max: f64, rate_hz: f64, blip_ms: u64) -> Test {
    Test {
        share_max,
        alpha: 1.0 / (1e6 * 900.0 * rate_hz * 2.0),
        tolerate_blip: Duration::from_millis(blip_ms),
        rate_hz,
        judge_for: Duration::from_mins(15),
        remembers: usize::MAX,
        share_min: 0.0,
        luck_one_in: 1_000_000,
    }
}

fn delay(test: &Test, share: f64) -> Delay {
    test.forecast(share).delay.unwrap()
}

fn close(a: f64, b: f64, part: f64) -> bool {
    (a / b - 1.0).abs() < part
}

#[test]
fn one_design_takes_as_long_as_its_exact_run_length() {
    let score = Score { design: Design { up: 64, down: 8 }, needed: 1_280, grain: FINE };
    for share in [0.15, 0.3, 0.6, 1.0] {
        let pace = Pace::new(&score, share, 0, 0);
        let course =
            Course { quiets: vec![quiet(&pace, 100_000)], stride: 1, remembers: usize::MAX, later: 0 };
        let exact = Lattice { up: 16, down: 2, needed: 320 }.run_length(share);
        let mean = course.delay(1.0).mean_s;
        assert!(close(mean, exact, 1e-3), "{share}: {mean} {exact}");
    }
}

#[test]
fn a_total_failure_takes_so_many_probes_or_the_blip() {
    for (share_max, rate, blip, probes) in [
        (0.001, 100.0, 0, 5.0),
        (0.01, 100.0, 0, 7.0),
        (0.001, 100.0, 250, 26.0),
        (0.001, 20.0, 250, 6.0),
        (0.001, 1_000.0, 1_000, 1_001.0),
        (0.001, 10_000.0, 1_000, 10_001.0),
    ] {
        let Delay { mean_s, p99_s } = delay(&test(share_max, rate, blip), 1.0);
        assert!(close(mean_s * rate, probes, 1e-6), "{share_max} {rate} {blip}: {mean_s}");
        assert!(close(p99_s * rate, probes, 1e-6), "{share_max} {rate} {blip}: {p99_s}");
    }
}

#[test]
fn what_is_promised_is_never_found() {
    let test = test(0.01, 100.0, 250);
    for share in [0.0, 0.005, 0.01] {
        assert_eq!(test.forecast(share), Forecast { share, chance: 0.0, delay: None });
    }
    assert!(test.forecast(0.011).chance < 0.01);
    let floored = Test { share_min: 0.3, ..test };
    assert_eq!(floored.forecast(0.2).delay, None);
    assert_eq!(floored.forecast(0.5), test.forecast(0.5));
}

#[test]
fn the_more_are_bad_the_sooner_they_are_found() {
    for blip in [0, 250] {
        let test = test(0.001, 100.0, blip);
        let mut last = delay(&test, 0.01);
        for share in [0.015, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.0] {
            let now = delay(&test, share);
            assert!(now.mean_s < last.mean_s && now.p99_s < last.p99_s, "{blip} {share}: {now:?} {last:?}");
            last = now;
        }
    }
}

#[test]
fn ten_times_the_probes_take_a_tenth_of_the_time() {
    let slow = test(0.01, 10.0, 0);
    let fast = Test { rate_hz: 100.0, ..slow };
    let (slow, fast) = (delay(&slow, 0.2), delay(&fast, 0.2));
    assert!(close(slow.mean_s, 10.0 * fast.mean_s, 1e-9), "{slow:?} {fast:?}");
    assert!(close(slow.p99_s, 10.0 * fast.p99_s, 1e-9), "{slow:?} {fast:?}");
}

#[test]
fn what_is_forgotten_takes_longer_and_the_smallest_share_is_larger() {
    let all = test(0.05, 20.0, 250);
    let minute = Test { remembers: 1_200, ..all };
    assert!(minute.forecast(0.1).chance < all.forecast(0.1).chance);
    let (of_minute, of_all) = (minute.smallest().unwrap(), all.smallest().unwrap());
    assert!(of_minute > of_all && of_all > all.share_max, "{of_minute} {of_all}");
    assert!(minute.forecast(of_minute * 1.05).chance >= SURE);
    assert!(minute.forecast(of_minute * 0.8).chance < SURE);
    assert!(minute.floor() > 0.05 && minute.floor() < of_minute, "{}", minute.floor());
}

#[test]
fn limits_are_told() {
    let fine = test(0.001, 100.0, 250);
    let smallest = fine.smallest();
    assert_eq!(fine.limits(smallest), [Limit::Above(smallest.unwrap())]);
    let rare = Test { remembers: 60, ..test(0.001, 1.0, 250) };
    let limits = rare.limits(rare.smallest());
    assert!(
        matches!(limits[..], [Limit::Above(share), Limit::Slow(seconds)] if share > 0.03 && seconds >= 3.0)
    );
    // Three probes a release.
    let blind = Test { remembers: 1, ..test(0.001, 1.0 / 300.0, 250) };
    assert_eq!(blind.limits(blind.smallest()), [Limit::Blind]);
    // A run can't be longer than a blip in what is remembered.
    let short = Test { remembers: Window::CAP, ..test(0.001, 10_000.0, 2_000) };
    assert_eq!(short.limits(short.smallest()), [Limit::Blind]);
}

fn policy() -> JudgePolicy {
    let second = Duration::from_secs;
    JudgePolicy {
        policy: Policies::from(Policy::Sequential),
        objectives: Objectives::of_service(Some(0.001), Some(Duration::from_millis(250))),
        wrong_reverts_one_in: 1_000_000,
        tolerate_blip: Duration::from_millis(250),
        window: second(30),
        samples_min: 20,
        error_rate_min: 0.02,
        grace: second(5),
        settle: second(60),
        settle_answers: 100,
        judge_for: second(900),
        onset: second(300),
        propagation: second(5),
        release_rate_hz: 100.0,
        heard: crate::policy::Heard::Directly,
    }
}

#[test]
fn the_tests_are_those_of_the_judge() {
    let tests = Test::of(&policy());
    let [(0, errors), (1, latency)] = tests[..] else { panic!("{tests:?}") };
    assert_eq!((errors.remembers, latency.remembers), (6_000, 6_000));
    assert!(close(errors.alpha, 1.0 / (1e6 * 900.0 * 100.0 * 2.0), 1e-9));
    assert!(
        close(errors.share_min, 0.02, 1e-9)
            && latency.share_min < 1e-9
            && close(latency.share_max, 0.05, 1e-9)
    );
    let odds = errors.odds();
    assert!(odds.one_in == 1_000_000 && close(odds.looks, 180_000.0, 1e-9) && odds.designs.is_sorted());
    assert_eq!(
        odds.to_string(),
        "at most one good release in 1000000 is reverted by luck, however one answer depends on another: 180000 looks a \
         release, each wrong with a chance of 5.6e-12, shared by 4 tests for 2.0 %, 5.1 %, 18.9 % and 50.0 % of bad answers"
    );
    let tests = |join, tests| Test::of(&JudgePolicy { policy: Policies { join, tests }, ..policy() }).len();
    let threshold = || Policy::Threshold(Threshold::default());
    assert_eq!(tests(Join::Any, vec![threshold()]), 0);
    assert_eq!(tests(Join::Any, vec![threshold(), Policy::Sequential]), 2);
    assert_eq!(tests(Join::All, vec![threshold(), Policy::Sequential]), 0);
    assert_eq!(tests(Join::All, vec![Policy::Sequential]), 2);
}

#[test]
fn a_promise_of_some_urls_has_their_probes() {
    let mut policy = policy();
    policy.objectives.all = vec![Objective {
        scope: Scope::Service,
        goal: Goal::Availability { bad_share_max: 0.001 },
        rate_share: 0.25,
    }];
    let tests = Test::of(&policy);
    let [(0, test)] = tests[..] else { panic!("{tests:?}") };
    assert!(close(test.rate_hz, 25.0, 1e-9) && test.remembers == 1_500, "{test:?}");
}

/// The real walk, with a thousand seeded runs a cell; `cargo bench --bench power` does more.
#[test]
fn the_walk_takes_as_long_as_is_said() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    for (share_max, rate, blip, share) in [
        (0.001, 100.0, 0, 0.05),
        (0.001, 100.0, 250, 0.05),
        (0.001, 20.0, 250, 0.5),
        (0.01, 100.0, 250, 0.2),
        (0.01, 20.0, 1_000, 0.2),
        // A good answer now and then makes blips of it: later than half of them bad, or all.
        (0.001, 100.0, 1_000, 0.99),
        (0.05, 100.0, 250, 0.2),
    ] {
        let test = test(share_max, rate, blip);
        let interval = whole(1e9 / rate);
        let mut probes: Vec<usize> = (0..1_000)
            .map(|_| {
                let mut walk = Walk::new(test.bank(), test.tolerate_blip);
                let mut due = 0;
                while walk.alarm().is_none() {
                    walk.step(Mono(due), f64::from(random.next_u32()) < share * 4_294_967_296.0);
                    due += u64::try_from(interval).unwrap();
                }
                usize::try_from(due).unwrap() / interval
            })
            .collect();
        probes.sort_unstable();
        let (mean, p99) = (real(probes.iter().sum()) / 1_000.0 / rate, real(probes[989]) / rate);
        let said = delay(&test, share);
        let what = format!("{share_max} {rate} {blip} {share}: {said:?}, and it is {mean} and {p99}");
        assert!(close(said.mean_s, mean, 0.1), "{what}");
        // A hundredth of a thousand: the P99 itself is no better known than that.
        assert!(close(said.p99_s, p99, 0.15), "{what}");
    }
}

#[test]
fn the_old_version_is_shown_better_when_the_forecast_says() {
    for (share, rate_hz, direct_hz) in [
        (0.05, 100.0, 20.0),
        (0.05, 100.0, 100.0),
        (0.2, 100.0, 20.0),
        (0.2, 50.0, 50.0),
        (0.02, 100.0, 100.0),
    ] {
        // As many of each as there are on average by then.
        let count = |hz: f64, seconds: f64| (0..100_000).find(|n| f64::from(*n) >= hz * seconds).unwrap();
        let shown = |seconds: f64| {
            let (old, new) = (count(direct_hz, seconds), count(rate_hz, seconds));
            ln_better_by_luck((old, 0), (new, count(rate_hz * share, seconds))) <= -judge::BETTER_NATS
        };
        let needed = (1..1_000).map(|tenth| f64::from(tenth) / 10.0).find(|seconds| shown(*seconds)).unwrap();
        let told = control_seconds(share, rate_hz, direct_hz);
        assert!(
            (told / needed - 1.0).abs() < 0.2,
            "{share} {rate_hz} {direct_hz}: {told} told, {needed} needed"
        );
    }
    // All of a thousand a second are bad: a few good answers beside them are enough.
    assert!(control_seconds(1.0, 1_000.0, 100.0) < 0.1);
}

/// What the likelihoods of all answers of a second say, from the entropies of both versions together and of each.
#[test]
fn what_shows_the_old_version_better_is_what_its_answers_tell_of_the_source() {
    let entropy = |bad: f64, all: f64| {
        let part = |count: f64| if count > 0.0 { -count * (count / all).ln() } else { 0.0 };
        part(bad) + part(all - bad)
    };
    for (share, rate_hz, direct_hz) in
        [(0.05, 100.0, 20.0), (0.3, 10.0, 50.0), (0.99, 7.0, 3.0), (1.0, 4.0, 12.0)]
    {
        let bad = share * rate_hz;
        let nats = entropy(bad, rate_hz + direct_hz) - entropy(bad, rate_hz);
        let told = control_seconds(share, rate_hz, direct_hz);
        assert!(close(told * nats, 13.816, 1e-9), "{share} {rate_hz} {direct_hz}: {told} {nats}");
    }
}

/// One design that alarms at so many bad answers, however many good ones there are in between, blips aside.
fn counting(bad_answers: i64, share: f64) -> Quiet {
    let grain = Grain { levels: 16.0, bad: 0.0 };
    let design = Design { up: 64 / bad_answers, down: 0 };
    quiet(&Pace::new(&Score { design, needed: 64, grain }, share, 0, 0), 10_000)
}

fn course(quiets: Vec<Quiet>) -> Course {
    Course { quiets, stride: 1, remembers: usize::MAX, later: 0 }
}

#[test]
fn designs_together_are_nearly_as_quiet_as_the_quietest() {
    let course = course(vec![counting(1, 0.1), counting(1, 0.2), counting(1, 0.3)]);
    // 0.9², 0.8², 0.7²: the lowest, and the product of all.
    assert!(close(course.within(2), 0.96 * 0.49 + 0.04 * (0.81 * 0.64 * 0.49), 1e-9), "{}", course.within(2));
    assert!(close(course.within(0), 1.0, 1e-12));
}

#[test]
fn what_is_remembered_begins_anew_after_each_stretch() {
    // No alarm within five answers: none or one of them bad.
    let within = |n: i32| 0.7_f64.powi(n) + f64::from(n) * 0.3 * 0.7_f64.powi(n - 1);
    let forgets = Course { remembers: 5, ..course(vec![counting(2, 0.3)]) };
    for (strides, exact) in [
        (0, 1.0),
        (3, within(3)),
        (5, within(5)),
        (6, within(5)),
        (8, within(5) * within(3)),
        (19, within(5).powi(3) * within(4)),
    ] {
        assert!(close(forgets.quiet(strides), exact, 1e-9), "{strides}: {} {exact}", forgets.quiet(strides));
    }
    // The mean is the sum of the chances that it takes longer.
    let delay = forgets.delay(1.0);
    let exact: f64 = (0..2_000).map(|strides| forgets.quiet(strides)).sum();
    assert!(close(delay.mean_s, exact, 1e-9), "{delay:?} {exact}");
    let first = (0..2_000).find(|strides| forgets.quiet(*strides) <= 0.01).unwrap();
    assert!(close(delay.p99_s, real(first), 1e-12), "{delay:?} {first}");
    assert!(first > 20);
}

#[test]
fn one_bad_answer_takes_as_long_as_its_share_says() {
    for share in [0.02_f64, 0.1, 0.3, 0.7, 0.98, 1.0] {
        let Delay { mean_s, p99_s } = course(vec![counting(1, share)]).delay(0.5);
        assert!(close(mean_s, 0.5 / share, 1e-4), "{share}: {mean_s}");
        let p99 = (1..1_000).find(|n| (1.0 - share).powi(*n) <= 0.01).unwrap();
        assert!(close(p99_s, 0.5 * f64::from(p99), 1e-9), "{share}: {p99_s} {p99}");
    }
    // In the middle of a stride, and later than all by as much as was left out.
    let strides = Course { stride: 4, later: 10, ..course(vec![counting(1, 0.3)]) };
    let Delay { mean_s, p99_s } = strides.delay(0.5);
    assert!(close(mean_s, 0.5 * (4.0 / 0.3 - 1.5 + 10.0), 1e-4), "{mean_s}");
    assert!(close(p99_s, 0.5 * (4.0 * 13.0 - 1.5 + 10.0), 1e-9), "{p99_s}");
    assert_eq!([0, 10, 13, 14, 30].map(|probes| strides.strides(probes)), [0, 0, 0, 1, 5]);
}

/// A share so well found that exactly one of a hundred takes longer than a probe.
#[test]
fn in_99_of_100_cases_is_no_more_than_that() {
    let share = 0.99;
    let once = course(vec![counting(1, share)]);
    assert!(once.quiet(1) <= 1.0 - SURE);
    assert!(close(once.delay(1.0).p99_s, 1.0, 1e-12));
}

#[test]
fn a_course_is_as_long_and_has_as_many_designs_as_matter() {
    let test = Test { remembers: 6_001, ..test(0.001, 100.0, 0) };
    assert_eq!(test.judged(), 90_000);
    let course = |share, enough| test.course(share, FINE, enough).unwrap();
    // A twentieth of a bad answer a stride.
    let rare = course(0.005, None);
    assert_eq!((rare.stride, rare.remembers, rare.later), (10, 600, 0));
    // No more than is judged.
    let short = Test { judge_for: Duration::from_secs(3), ..test };
    let course_of_short = short.course(0.005, FINE, None).unwrap();
    assert_eq!((course_of_short.stride, course_of_short.remembers), (10, 30));
    // The designs that a share is above the break-even of, and the mildest: 0.0063, 0.0127, 0.0347 and 0.11.
    for share in [0.002_f64, 0.005, 0.007, 0.02, 0.05, 0.2, 1.0] {
        let climbs = |p1: &f64| {
            let (up, down) = ((p1 / 0.001).ln(), (0.999 / (1.0 - p1)).ln());
            share * up > (1.0 - share) * down
        };
        let climbing = shares(0.001).iter().filter(|p1| climbs(p1)).count();
        assert_eq!(course(share, None).quiets.len(), climbing.max(1), "{share}");
    }
    // One design is enough, or all that there are aren't.
    assert_eq!(course(1.0, Some(0.5)).quiets.len(), 1);
    let all = short.course(0.05, FINE, Some(1e-9)).unwrap();
    assert_eq!(all.quiets.len(), 3);
    assert!(all.quiet(all.strides(300)) > 1e-9);
}

#[test]
fn a_blip_is_told_by_its_intervals() {
    // At 100 Hz and 250 ms, 25 of them are none; at 30 Hz seven are one and eight are none.
    for (rate_hz, blip_ms, long) in [(100.0, 250, 25_usize), (30.0, 250, 8), (4_000.0, 525, 2_100)] {
        let test = test(0.001, rate_hz, blip_ms);
        for remembers in [long - 1, long, long + 1] {
            let course = Test { remembers, ..test }.course(1.0, FINE, None);
            assert_eq!(course.is_some(), remembers > long, "{rate_hz} {blip_ms} {remembers}");
        }
        assert_eq!(test.course(1.0, FINE, None).unwrap().later, long.saturating_sub(2_000));
    }
    // What comes later than any strides that are walked isn't remembered for longer.
    let course = Test { remembers: 2_200, ..test(0.001, 4_000.0, 525) }.course(1.0, FINE, None).unwrap();
    assert_eq!((course.remembers, course.later), (2_100, 100));
}

#[test]
fn a_run_of_half_bad_answers_is_found_when_it_is_no_blip() {
    for (rate_hz, blip_ms) in [(4_000.0, 525), (100.0, 500)] {
        let Delay { mean_s, p99_s } = delay(&test(0.001, rate_hz, blip_ms), 0.5);
        let blip_s = f64::from(u32::try_from(blip_ms).unwrap()) / 1_000.0;
        // After it, the next bad answer alarms: every other one is. The first bad one comes a probe or so late, too.
        assert!(mean_s > blip_s && mean_s < blip_s + 5.0 / rate_hz, "{rate_hz} {blip_ms}: {mean_s}");
        assert!(p99_s > mean_s && p99_s < blip_s + 12.0 / rate_hz, "{rate_hz} {blip_ms}: {p99_s}");
    }
}

#[test]
fn the_smallest_share_for_an_alarm_is_one_that_alarms() {
    let floored = Test { share_min: 0.25, ..test(0.01, 100.0, 250) };
    assert!(floored.forecast(0.25).delay.is_some());
    assert_eq!(floored.forecast(0.249).delay, None);
    // It alarms by luck only, if at all.
    let forecast = test(0.01, 100.0, 250).forecast(0.012);
    assert!(forecast.chance > 0.0 && forecast.chance < 1e-3 && forecast.delay.is_none(), "{forecast:?}");
}

#[test]
fn the_floor_is_where_the_mildest_design_stands_still() {
    for share_max in [0.001, 0.01, 0.2, 0.5] {
        let even = shares(share_max).map(|p1| {
            let (up, down) = ((p1 / share_max).ln(), ((1.0 - share_max) / (1.0 - p1)).ln());
            down / (up + down)
        });
        let floor = test(share_max, 100.0, 0).floor();
        assert!(
            close(floor, even[0], 1e-3) && floor > share_max && even.is_sorted(),
            "{share_max}: {floor} {even:?}"
        );
    }
}

#[test]
fn so_many_bad_answers_in_a_row_raise_the_alarm() {
    for share_max in [0.000_1, 0.001, 0.01, 0.05, 0.2, 0.5] {
        let test = test(share_max, 100.0, 0);
        let mut walk = Walk::new(test.bank(), Duration::ZERO);
        let taken = (1..=1_000).find(|n| {
            walk.step(Mono(*n * 10_000_000), true);
            walk.alarm().is_some()
        });
        assert_eq!(test.fewest_bad(), usize::try_from(taken.unwrap()).unwrap(), "{share_max}");
    }
}

#[test]
fn a_total_failure_is_slow_beyond_two_seconds_and_beyond_two_blips() {
    // Four probes in a row, whatever the blip.
    for (rate_hz, blip_ms, slow_s) in [
        (2.0, 0, None),
        (1.96, 0, Some(4.0 / 1.96)),
        (1.6, 0, Some(2.5)),
        (1.6, 1_000, Some(2.5)),
        (1.6, 1_250, None),
    ] {
        let test = test(0.001, rate_hz, blip_ms);
        assert_eq!(test.fewest_bad(), 4);
        let limits = test.limits(Some(0.5));
        let slow = match limits[..] {
            [Limit::Above(0.5)] => None,
            [Limit::Above(0.5), Limit::Slow(seconds)] => Some(seconds),
            _ => panic!("{limits:?}"),
        };
        assert_eq!(slow.is_some(), slow_s.is_some(), "{rate_hz} {blip_ms}: {slow:?}");
        assert!(slow.is_none_or(|slow| close(slow, slow_s.unwrap(), 1e-9)), "{rate_hz} {blip_ms}: {slow:?}");
    }
}

#[test]
fn the_smallest_share_is_that_which_is_surely_found() {
    // A total failure is found by the last probe that is judged, and not by the last but one.
    let probes = |seconds| Test { judge_for: Duration::from_secs(seconds), ..test(0.001, 1.0, 0) };
    assert_eq!((probes(4).fewest_bad(), probes(3).smallest()), (4, None));
    // Four of four are bad in 99 of 100 cases.
    assert!(probes(4).smallest().is_some_and(|share| share.powi(4) > 0.99 && share <= 1.0));
    let test = test(0.001, 100.0, 250);
    let smallest = test.smallest().unwrap();
    assert!(test.forecast(smallest).chance >= SURE, "{smallest}");
    assert!(test.forecast(smallest / 1.125).chance < SURE, "{smallest}");
}
