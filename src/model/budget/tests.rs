//! Known values, expiry, and clocks that jump.

use super::*;
use std::time::Duration;

const START: i64 = 500_000;
const YEAR: i64 = 365 * 24;

/// Both clocks `ms` after the beginning of hour [`START`], the wall clock set forward by `jump` hours.
fn clocks(ms: i64, jump: i64) -> (Mono, Wall) {
    let mono = Mono(0).after(Duration::from_millis(ms.unsigned_abs()));
    (mono, Wall((START + jump) * HOUR_MS + ms))
}

fn add(budget: &mut ErrorBudget, ms: i64, jump: i64, answers: u64, bad: u64) {
    let (mono, wall) = clocks(ms, jump);
    budget.add(answers, bad, mono, wall);
}

fn is(found: Option<f64>, expected: f64) {
    assert!(found.is_some_and(|found| (found - expected).abs() < 1e-9), "{found:?}, expected {expected}");
}

#[test]
fn a_tenth_of_the_budget_spent_in_an_hour_burns_as_fast_as_it_should() {
    let mut budget = ErrorBudget::new(0.001);
    assert_eq!(budget.figures(clocks(0, 0).1), BudgetFigures::default());
    for hour in 0..72 {
        add(&mut budget, hour * HOUR_MS, 0, 10_000, u64::from(hour == 71) * 72);
    }
    // 72 of 720 that are allowed.
    let figures = budget.figures(clocks(72 * HOUR_MS - 1, 0).1);
    is(figures.remaining, 0.9);
    let burn = figures.burn.map(Option::unwrap);
    // At the end of the hour, nothing of the one before it is left in the window.
    for (found, expected) in burn.into_iter().zip([7.2, 1.2, 0.1]) {
        assert!((found - expected).abs() < 1e-5, "{burn:?}");
    }
    assert_eq!(figures.since, Some(Wall(START * HOUR_MS)));
    // Half an hour later half of it is left.
    is(budget.figures(clocks(72 * HOUR_MS + HOUR_MS / 2, 0).1).burn[0], 7.2);
    add(&mut budget, 72 * HOUR_MS + HOUR_MS / 2, 0, 5_000, 0);
    is(budget.figures(clocks(72 * HOUR_MS + HOUR_MS / 2, 0).1).burn[0], 3.6);
}

#[test]
fn more_spent_than_there_was_is_negative() {
    let mut budget = ErrorBudget::new(0.01);
    add(&mut budget, 0, 0, 1_000, 30);
    is(budget.figures(clocks(0, 0).1).remaining, -2.0);
    is(budget.figures(clocks(0, 0).1).burn[2], 3.0);
    add(&mut budget, 1, 0, 1, 5);
    assert_eq!(budget.bins().collect::<Vec<_>>(), [Bin { hour: START, answers: 1_001, bad: 31 }]);
}

#[test]
fn an_hour_counts_for_thirty_days_and_no_longer() {
    let mut budget = ErrorBudget::new(0.1);
    add(&mut budget, 0, 0, 100, 10);
    let last = 720 * HOUR_MS - 1;
    is(budget.figures(clocks(last, 0).1).remaining, 0.0);
    assert_eq!(budget.figures(clocks(last + 1, 0).1), BudgetFigures::default());
    add(&mut budget, last, 0, 0, 0);
    assert_eq!(budget.bins().count(), 1);
    add(&mut budget, last + 1, 0, 100, 0);
    assert_eq!(budget.bins().count(), 1, "the old one is gone");
    is(budget.figures(clocks(last + 1, 0).1).remaining, 1.0);
    // However long it runs, it holds no more than the hours of 30 days.
    for hour in 721..2_000 {
        add(&mut budget, hour * HOUR_MS, 0, 1, 0);
    }
    assert_eq!(budget.bins().count(), 720);
}

/// The clock may jump by `jump` hours and back: after it everything stands as if it never had.
#[test]
fn a_clock_that_jumps_loses_no_bin_and_counts_none_twice() {
    for jump in [1, -1, 5, -5, 24 * 40, -24 * 40, 30 * YEAR, -30 * YEAR, 10_000 * YEAR] {
        let (mut budget, mut steady) = (ErrorBudget::new(0.01), ErrorBudget::new(0.01));
        for minute in 0..60 * 100 {
            let ms = minute * 60_000;
            let set = if (60 * 30..60 * 50).contains(&minute) { jump } else { 0 };
            add(&mut budget, ms, set, 100, u64::from(minute % 7 == 0));
            add(&mut steady, ms, 0, 100, u64::from(minute % 7 == 0));
            let (now, expected) = (budget.figures(clocks(ms, set).1), steady.figures(clocks(ms, 0).1));
            assert_eq!(
                (now.remaining, now.burn),
                (expected.remaining, expected.burn),
                "{jump} h, minute {minute}"
            );
        }
        assert_eq!(budget.bins().collect::<Vec<_>>(), steady.bins().collect::<Vec<_>>(), "{jump} h");
    }
}

#[test]
fn small_steps_back_are_borne_however_many_they_are() {
    let mut budget = ErrorBudget::new(0.01);
    let mut wall = START * HOUR_MS;
    for step in 0..1_000_u64 {
        // Each minute the clock is set back by 20.
        budget.add(10, 1, Mono(0).after(Duration::from_mins(step)), Wall(wall));
        wall -= 19 * 60_000;
    }
    let bins: Vec<Bin> = budget.bins().collect();
    assert_eq!(
        bins.iter().map(|bin| (bin.answers, bin.bad)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
        (10_000, 1_000)
    );
    is(budget.figures(Wall(wall)).remaining, 1.0 - 0.1 / 0.01);
    let newest = bins.last().unwrap().hour;
    assert!((0..=1).contains(&(newest - hour_of(Wall(wall + 19 * 60_000)))), "{newest}");
}

#[test]
fn what_was_kept_counts_on_after_a_restart() {
    let mut budget = ErrorBudget::new(0.01);
    add(&mut budget, 0, 0, 1_000, 1);
    add(&mut budget, HOUR_MS, 0, 1_000, 2);
    let kept: Vec<Bin> = budget.bins().collect();
    // Ten hours later, by a monotonic clock that began anew.
    let wall = Wall((START + 11) * HOUR_MS);
    let mut again = ErrorBudget::restored(0.01, &kept, Mono(5), wall);
    again.add(1_000, 0, Mono(6), wall);
    is(again.figures(wall).remaining, 1.0 - 3.0 / 30.0);
    is(again.figures(wall).burn[0], 0.0);
    assert_eq!(again.bins().count(), 3);
    // A month later nothing of it counts.
    let wall = Wall((START + 1 + HOURS) * HOUR_MS);
    assert_eq!(ErrorBudget::restored(0.01, &kept, Mono(5), wall).bins().count(), 0);
}

#[test]
fn a_restart_with_a_clock_that_was_set_back_keeps_everything_once() {
    let kept = [Bin { hour: START - 3, answers: 100, bad: 1 }, Bin { hour: START, answers: 100, bad: 1 }];
    for back in [1, 2, 100, 20 * YEAR] {
        let wall = Wall((START - back) * HOUR_MS + 1);
        let budget = ErrorBudget::restored(0.1, &kept, Mono(5), wall);
        let hours: Vec<i64> = budget.bins().map(|bin| bin.hour).collect();
        assert_eq!(hours, [START - back - 3, START - back]);
        is(budget.figures(wall).remaining, 0.9);
    }
}

#[test]
fn only_what_the_production_path_answered_is_spent() {
    use crate::delta::{Delta, Own, Times};
    let delta = |purpose, answers, bad| Delta { purpose: Some(purpose), answers, bad, ..Delta::default() };
    let deltas = vec![
        delta(Purpose::Production, 600, 1),
        delta(Purpose::Production, 400, 2),
        delta(Purpose::Direct, 500, 50),
        delta(Purpose::Control, 500, 50),
    ];
    let mut budget = ErrorBudget::new(0.01);
    let (mono, wall) = clocks(0, 0);
    let second = Second {
        service: "shop".into(),
        at: mono,
        targets: [].into(),
        deltas,
        times: Times::default(),
        rolling: None,
        urls: vec![],
        own: Own::default(),
    };
    budget.take(&second, mono, wall);
    assert_eq!(budget.bins().collect::<Vec<_>>(), [Bin { hour: START, answers: 1_000, bad: 3 }]);
}

#[test]
fn a_jump_is_rounded_to_whole_hours() {
    for (minutes, hours) in [(89, 1), (91, 2), (-89, -1), (-91, -2)] {
        let mut budget = ErrorBudget::new(0.01);
        add(&mut budget, 0, 0, 10, 1);
        let (mono, wall) = clocks(0, 0);
        budget.add(0, 0, mono, Wall(wall.0 + minutes * 60_000));
        let found: Vec<i64> = budget.bins().map(|bin| bin.hour).collect();
        assert_eq!(found, [START + hours], "{minutes} minutes");
    }
}

#[test]
fn what_is_answered_while_the_clock_repeats_an_hour_is_of_the_newest() {
    let mut budget = ErrorBudget::new(0.01);
    add(&mut budget, 0, 0, 10, 1);
    add(&mut budget, HOUR_MS, 0, 10, 1);
    // Set back by twenty minutes.
    budget.add(5, 1, clocks(HOUR_MS, 0).0, Wall((START + 1) * HOUR_MS - 20 * 60_000));
    let bins: Vec<_> = budget.bins().map(|bin| (bin.hour, bin.answers)).collect();
    assert_eq!(bins, [(START, 10), (START + 1, 15)]);
}

#[test]
fn another_promise_counts_for_what_was_answered_before_too() {
    let mut budget = ErrorBudget::new(0.01);
    add(&mut budget, 0, 0, 1_000, 5);
    is(budget.figures(clocks(0, 0).1).remaining, 0.5);
    budget.allow(0.02);
    is(budget.figures(clocks(0, 0).1).remaining, 0.75);
}
