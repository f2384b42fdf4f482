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
