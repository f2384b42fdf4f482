//! Good releases and bad ones: what must be reverted, and what must not.

use crate::app::{App, Moment, secs};
use crate::story::{CUT, cutover, each_seed, outage};
use crate::world::{BLUE, GREEN, RED, Ways, blue, forward, targets};
use serin_model::guard::PageKind;
use serin_model::record::Record;
use std::time::Duration;

#[test]
fn an_outage_after_the_grace_is_reverted_within_a_second_and_proved() {
    each_seed(|seed| {
        let mut app = cutover(seed, 8.0, outage());
        app.run_until(40.0);
        app.reverted_once();
        let reaction = app.effects[0].0.since(secs(CUT + 8.0));
        assert!(reaction < Duration::from_secs(1), "{reaction:?}");
    });
}

#[test]
fn an_outage_from_the_first_second_is_reverted_before_the_grace_is_over() {
    each_seed(|seed| {
        let mut app = cutover(seed, 0.0, outage());
        app.run_until(40.0);
        app.reverted_once();
        let reaction = app.effects[0].0.since(secs(CUT));
        assert!(reaction < Duration::from_secs(3), "{reaction:?}\n{}", app.story());
    });
}

#[test]
fn an_outage_that_carries_no_version_is_reverted_once_the_change_has_spread() {
    each_seed(|seed| {
        let mut app = cutover(seed, 0.0, Ways { bare: 1.0, ..Ways::default() });
        app.run_until(40.0);
        app.reverted_once();
        let reaction = app.effects[0].0.since(secs(CUT));
        assert!(reaction > Duration::from_secs(2) && reaction < Duration::from_secs(5), "{reaction:?}");
    });
}

#[test]
fn partial_errors_are_reverted() {
    // One bad answer in twenty takes the old version 180 good ones to be told apart from.
    for (share, within) in [(0.2, 5), (0.05, 25)] {
        each_seed(|seed| {
            let mut app = cutover(seed, 6.0, Ways { errors: share, ..Ways::default() });
            app.run_until(45.0);
            app.reverted_once();
            let reaction = app.effects[0].0.since(secs(CUT + 6.0));
            assert!(reaction < Duration::from_secs(within), "{share}: {reaction:?}");
        });
    }
}

#[test]
fn slowness_is_reverted() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, Ways { slow_ms: 400, ..Ways::default() });
        app.run_until(40.0);
        app.reverted_once();
    });
}

#[test]
fn a_hanging_release_is_reverted() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, Ways { hang: true, ..Ways::default() });
        app.run_until(40.0);
        app.reverted_once();
        let reaction = app.effects[0].0.since(secs(CUT + 6.0));
        assert!(reaction < Duration::from_secs(3), "{reaction:?}");
    });
}

#[test]
fn a_release_that_hangs_from_the_first_second_is_reverted() {
    each_seed(|seed| {
        let mut app = cutover(seed, 0.0, Ways { hang: true, ..Ways::default() });
        app.run_until(40.0);
        app.reverted_once();
    });
}

#[test]
fn flapping_is_reverted() {
    each_seed(|seed| {
        let mut app = cutover(seed, 1e5, outage());
        for n in 0..30 {
            let from = CUT + 6.0 + f64::from(n);
            app.world.service(GREEN).course.during(secs(from), secs(from + 0.2), outage());
        }
        app.run_until(45.0);
        app.reverted_once();
    });
}

#[test]
fn a_blip_is_tolerated() {
    each_seed(|seed| {
        let mut app = cutover(seed, 1e5, outage());
        let at = CUT + 5.0 + f64::from(u32::try_from(seed % 30).unwrap());
        app.world.service(GREEN).course.during(secs(at), secs(at + 0.24), outage());
        app.run_until(75.0);
        app.calm();
        assert_eq!(app.shows(), "green");
    });
}

#[test]
fn a_cold_start_within_the_grace_is_tolerated() {
    each_seed(|seed| {
        let mut app = cutover(seed, 1e5, outage());
        let cold = Ways { errors: 0.3, slow_ms: 120, ..Ways::default() };
        app.world.service(GREEN).course.during(secs(CUT), secs(CUT + 2.5), cold);
        app.run_until(60.0);
        app.calm();
        assert_eq!(app.shows(), "green");
    });
}

#[test]
fn a_good_release_is_kept_and_becomes_the_newest_good() {
    each_seed(|seed| {
        let mut app = cutover(seed, 1e5, outage());
        app.run_until(80.0);
        app.calm();
        assert!(app.records().any(|record| matches!(record, Record::Kept { .. })));
        let newest = app
            .records()
            .filter_map(|r| if let Record::Good { good } = r { Some(good) } else { None })
            .last();
        let good = newest.unwrap();
        assert_eq!(good.state.label(), "green");
        let versions: Vec<String> = good.versions.iter().map(ToString::to_string).collect();
        assert_eq!(versions, ["v2"], "what still came from blue while the change spread is not green's");
    });
}

#[test]
fn the_same_colours_at_every_second_deploy_a_bad_third_goes_back_to_the_second() {
    each_seed(|seed| {
        let mut app = cutover(seed, 1e5, outage());
        app.at(80.0, |app| {
            app.world.service(BLUE).version = Some("v3");
            app.world.service(BLUE).targets = targets("10.0.9", 3);
            app.world.service(BLUE).course.during(secs(86.0), secs(1e6), outage());
        });
        app.at(81.0, |app| app.world.set(app.now, blue()));
        app.run_until(110.0);
        assert_eq!(app.effects.len(), 1, "{}", app.story());
        assert_eq!(app.shows(), "green");
        assert_eq!(app.held(), ["reverted"], "{}", app.story());
    });
}

#[test]
fn the_same_colours_on_the_same_machines_are_told_apart_by_version() {
    each_seed(|seed| {
        let mut app = cutover(seed, 1e5, outage());
        app.at(80.0, |app| {
            app.world.service(BLUE).version = Some("v3");
            app.world.service(BLUE).course.during(secs(86.0), secs(1e6), outage());
        });
        app.at(81.0, |app| app.world.set(app.now, blue()));
        app.run_until(110.0);
        assert_eq!(app.effects.len(), 1, "{}", app.story());
        assert_eq!(app.shows(), "green");
        assert_eq!(app.held(), ["reverted"], "{}", app.story());
    });
}

#[test]
fn the_same_colours_at_every_second_deploy_a_good_third_is_kept() {
    each_seed(|seed| {
        let mut app = cutover(seed, 1e5, outage());
        app.at(80.0, |app| app.world.service(BLUE).version = Some("v3"));
        app.at(81.0, |app| app.world.set(app.now, blue()));
        app.run_until(150.0);
        app.calm();
        assert_eq!(app.shows(), "blue");
        assert_eq!(app.records().filter(|r| matches!(r, Record::Kept { .. })).count(), 2, "{}", app.story());
    });
}

#[test]
fn a_second_release_in_the_middle_is_judged_on_its_own_and_goes_back_to_the_newest_good() {
    each_seed(|seed| {
        let mut app = cutover(seed, 1e5, outage());
        app.world.service(RED).course.during(secs(CUT + 8.0), secs(1e6), outage());
        app.at(CUT + 4.0, |app| app.world.set(app.now, forward(&[(BLUE, 0), (RED, 1)])));
        app.run_until(45.0);
        app.reverted_once();
    });
}

#[test]
fn a_bad_first_release_is_no_reason_to_revert_the_second() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        // The pipeline itself goes on to another release right when the first turns bad.
        app.at(CUT + 6.15, |app| app.world.set(app.now, forward(&[(BLUE, 0), (RED, 1)])));
        app.run_until(60.0);
        assert_eq!(app.effects.len(), 0, "{}", app.story());
        assert_eq!(app.shows(), "red");
    });
}

#[test]
fn canary_steps_go_back_to_the_first_before_image() {
    each_seed(|seed| {
        let mut app = App::new(seed);
        for (at, weight) in [(CUT, 10), (CUT + 9.0, 50), (CUT + 18.0, 100)] {
            app.at(at, move |app| app.world.set(app.now, forward(&[(BLUE, 100 - weight), (GREEN, weight)])));
        }
        app.world.service(GREEN).course.during(secs(CUT + 25.0), secs(1e6), outage());
        app.run_until(60.0);
        app.reverted_once();
        assert_eq!(app.records().filter(|r| matches!(r, Record::Release { .. })).count(), 1);
    });
}

#[test]
fn a_bad_canary_is_reverted_at_its_step_and_its_steps_are_not_good_any_more() {
    each_seed(|seed| {
        let mut app = App::new(seed);
        for (at, weight) in [(CUT, 30), (CUT + 9.0, 60)] {
            app.at(at, move |app| app.world.set(app.now, forward(&[(BLUE, 100 - weight), (GREEN, weight)])));
        }
        app.world.service(GREEN).course.during(secs(CUT + 13.0), secs(1e6), outage());
        // The next release comes before blue has settled again.
        app.on(Moment::Held, |app| {
            let soon = app.now.after(Duration::from_secs(1));
            app.at(Duration::from_nanos(soon.0).as_secs_f64(), |app| {
                app.world.set(app.now, forward(&[(BLUE, 0), (RED, 1)]));
            });
        });
        app.run_until(45.0);
        assert_eq!(app.effects.len(), 1, "{}", app.story());
        let bases: Vec<String> = app
            .records()
            .filter_map(|r| if let Record::Release { base, .. } = r { base.as_ref() } else { None })
            .map(|good| good.state.label())
            .collect();
        assert_eq!(bases, ["blue", "blue"], "{}", app.story());
    });
}

#[test]
fn a_new_version_behind_the_same_listener_is_judged_and_has_no_lever() {
    each_seed(|seed| {
        let mut app = App::new(seed);
        app.at(20.0, |app| {
            app.world.service(BLUE).version = Some("v9");
            app.world.service(BLUE).course.during(secs(26.0), secs(1e6), outage());
        });
        app.run_until(45.0);
        app.untouched();
        let told = app.records().any(|r| matches!(r, Record::Release { to, .. } if &**to == "blue"));
        assert!(told, "{}", app.story());
        let shared = ["lever", "shared-dependency"];
        assert!(app.refused().iter().all(|reason| shared.contains(reason)), "{}", app.story());
        assert!(app.paged(PageKind::Refused), "{}", app.story());
    });
}

#[test]
fn a_service_without_a_listener_is_judged_and_told() {
    each_seed(|seed| {
        let mut app = App::new(seed);
        app.guard_policy.has_lever = false;
        app.at(20.0, |app| app.world.service(BLUE).version = Some("v9"));
        app.world.service(BLUE).course.during(secs(26.0), secs(1e6), outage());
        app.run_until(45.0);
        app.untouched();
        assert!(app.records().any(|r| matches!(r, Record::Release { .. })), "{}", app.story());
        assert!(
            app.paged(PageKind::Breach) || app.paged(PageKind::Bad) || app.paged(PageKind::Refused),
            "{}",
            app.story()
        );
    });
}

#[test]
fn two_bad_releases_within_the_cool_down_are_reverted_once() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.world.service(RED).course.during(secs(50.0), secs(1e6), outage());
        app.at(44.0, |app| app.world.set(app.now, forward(&[(BLUE, 0), (RED, 1)])));
        app.run_until(70.0);
        assert_eq!(app.effects.len(), 1, "{}", app.story());
        assert!(app.refused().contains(&"cool-down"), "{}", app.story());
    });
}

#[test]
fn the_budget_of_an_hour_is_kept() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.guard_policy.cool_down = Duration::from_secs(5);
        app.guard_policy.reverts_per_hour_max = 1;
        app.world.service(RED).course.during(secs(50.0), secs(1e6), outage());
        app.at(44.0, |app| app.world.set(app.now, forward(&[(BLUE, 0), (RED, 1)])));
        app.run_until(70.0);
        assert_eq!(app.effects.len(), 1, "{}", app.story());
        assert!(app.refused().contains(&"budget"), "{}", app.story());
    });
}

#[test]
fn after_the_judged_time_a_breach_is_told_and_nothing_is_done() {
    each_seed(|seed| {
        let mut app = cutover(seed, 64.0, outage());
        app.run_until(100.0);
        app.untouched();
        assert!(app.paged(PageKind::Bad), "{}", app.story());
        assert_eq!(app.shows(), "green");
    });
}

#[test]
fn the_same_seed_makes_the_same_trace() {
    each_seed(|seed| {
        let play = || {
            let mut app = cutover(seed, 6.0, Ways { errors: 0.2, bare: 0.1, ..Ways::default() });
            app.run_until(30.0);
            app.trace.join("\n")
        };
        assert_eq!(play(), play());
    });
}
