//! What it will never do (the README's list): one story for each refusal, with its reason.

use crate::app::{App, secs};
use crate::story::{CUT, cutover, each_seed, outage};
use crate::world::{BLUE, GREEN, RED, Ways, blue, but, forward, green, targets};
use serin_model::guard::PageKind;
use serin_model::listener::HealthState;
use serin_model::objective::Objectives;
use serin_model::record::Record;
use std::time::Duration;

#[test]
fn a_state_that_was_never_seen_good_is_not_returned_to() {
    each_seed(|seed| {
        let mut app = App::new(seed);
        app.at(4.0, |app| app.world.set(app.now, green()));
        app.world.service(GREEN).course.during(secs(9.0), secs(1e6), outage());
        app.run_until(30.0);
        app.refused_for("known-good");
        assert!(app.refusal_says("no-known-good"), "{}", app.story());
    });
}

#[test]
fn a_state_that_turned_bad_in_peace_is_not_returned_to() {
    each_seed(|seed| {
        let mut app = App::new(seed);
        app.world.service(BLUE).course.during(secs(12.0), secs(32.0), outage());
        app.at(30.0, |app| app.world.set(app.now, green()));
        app.world.service(GREEN).course.during(secs(38.0), secs(1e6), outage());
        app.run_until(60.0);
        app.refused_for("known-good");
    });
}

#[test]
fn a_blue_that_answers_as_another_version_is_refused() {
    each_seed(|seed| {
        let mut app = cutover(seed, 8.0, outage());
        app.at(CUT + 2.0, |app| app.world.service(BLUE).version = Some("v3"));
        app.run_until(40.0);
        app.refused_for("blue-is-what-it-was");
        assert!(app.refusal_says("answers as v3 now, and was v1"), "{}", app.story());
    });
}

#[test]
fn without_versions_a_blue_with_a_new_target_is_refused() {
    each_seed(|seed| {
        let mut app = cutover(seed, 8.0, Ways { bare: 1.0, ..Ways::default() });
        app.guard_policy.versions_known = false;
        for group in [BLUE, GREEN] {
            app.world.service(group).version = None;
        }
        app.at(CUT + 2.0, |app| app.world.service(BLUE).targets.extend(targets("10.0.7", 1)));
        app.run_until(40.0);
        app.refused_for("blue-is-what-it-was");
    });
}

#[test]
fn without_versions_a_release_is_seen_by_reading_judged_by_weight_and_reverted() {
    each_seed(|seed| {
        let mut app = cutover(seed, 12.0, outage());
        app.guard_policy.versions_known = false;
        for group in [BLUE, GREEN] {
            app.world.service(group).version = None;
        }
        app.run_until(50.0);
        app.reverted_once();
    });
}

#[test]
fn a_blue_that_is_empty_scaled_down_unhealthy_draining_or_shifted_away_is_refused() {
    let changes: [fn(&mut App); 7] = [
        |app| app.world.service(BLUE).targets.truncate(2),
        |app| app.world.service(BLUE).targets[0].state = HealthState::Unhealthy,
        |app| app.world.service(BLUE).targets[0].state = HealthState::Draining,
        |app| app.world.service(BLUE).targets[0].state = HealthState::Initial,
        |app| app.world.service(BLUE).targets[0].state = HealthState::Unavailable,
        |app| app.world.service(BLUE).targets[0].overridden = true,
        |app| app.world.service(BLUE).targets[0].state = HealthState::Unused,
    ];
    for change in changes {
        each_seed(|seed| {
            let mut app = cutover(seed, 8.0, outage());
            app.at(CUT + 5.0, change);
            app.run_until(40.0);
            app.refused_for("blue-healthy");
        });
    }
    each_seed(|seed| {
        let mut app = cutover(seed, 8.0, outage());
        app.at(CUT + 7.9, |app| app.world.service(BLUE).targets.clear());
        app.run_until(40.0);
        app.refused_for("blue-healthy");
        assert!(app.refusal_says("no registered target"), "{}", app.story());
    });
}

#[test]
fn green_that_fails_its_own_health_checks_does_not_make_a_small_blue_enough() {
    each_seed(|seed| {
        let mut app = cutover(seed, 8.0, outage());
        app.at(CUT + 4.0, |app| {
            app.world.service(BLUE).targets.truncate(1);
            for target in &mut app.world.service(GREEN).targets {
                target.state = HealthState::Unhealthy;
            }
        });
        app.run_until(40.0);
        app.refused_for("blue-healthy");
        assert!(app.refusal_says("1 of 1 targets healthy; 3 are wanted"), "{}", app.story());
    });
}

#[test]
fn an_unreferenced_blue_is_returned_to_only_if_every_target_answers_and_was_healthy() {
    let unused = |app: &mut App| {
        for target in &mut app.world.service(BLUE).targets {
            target.state = HealthState::Unused;
        }
        app.world.set(app.now, forward(&[(GREEN, 1)]));
    };
    each_seed(|seed| {
        let mut app = App::new(seed);
        app.world.service(GREEN).course.during(secs(CUT + 8.0), secs(1e6), outage());
        app.at(CUT, unused);
        app.run_until(40.0);
        app.reverted_once();
    });
    each_seed(|seed| {
        let mut app = App::new(seed);
        app.world.service(BLUE).targets[2].state = HealthState::Unhealthy;
        app.world.service(GREEN).course.during(secs(CUT + 8.0), secs(1e6), outage());
        app.at(CUT, unused);
        app.run_until(40.0);
        app.refused_for("blue-healthy");
        assert!(app.refusal_says("only 2 of its 3 targets were healthy"), "{}", app.story());
    });
    each_seed(|seed| {
        let mut app = App::new(seed);
        app.world.service(GREEN).course.during(secs(CUT + 8.0), secs(1e6), outage());
        app.at(CUT, unused);
        // One of twelve answers badly, which is no veto by itself.
        for group in [BLUE, GREEN] {
            let more = targets(if group == BLUE { "10.0.1" } else { "10.0.2" }, 12);
            app.world.service(group).targets = more;
        }
        app.world.service(BLUE).dead = Some("10.0.1.5:80");
        app.run_until(40.0);
        app.refused_for("blue-healthy");
        assert!(app.refusal_says("11 of its 12 targets answer us well"), "{}", app.story());
    });
}

#[test]
fn a_rule_that_is_not_wholly_understood_is_never_written() {
    each_seed(|seed| {
        let mut app = App::new(seed);
        let odd = but(&green(), |rule| rule.unknown.push("Mirroring".into()));
        app.at(CUT, |app| app.world.set(app.now, odd));
        app.world.service(GREEN).course.during(secs(CUT + 6.0), secs(1e6), outage());
        app.run_until(40.0);
        app.refused_for("understood");
        assert!(app.refusal_says("Mirroring"), "{}", app.story());
    });
    each_seed(|seed| {
        let mut app = App::new(seed);
        let auth = but(&green(), |rule| rule.others.push("authenticate-oidc".into()));
        app.at(CUT, |app| app.world.set(app.now, auth));
        app.world.service(GREEN).course.during(secs(CUT + 6.0), secs(1e6), outage());
        app.run_until(40.0);
        app.refused_for("understood");
        assert!(app.refusal_says("more than the forward changed"), "{}", app.story());
    });
    each_seed(|seed| {
        let mut app = App::new(seed);
        app.at(CUT, |app| app.world.set(app.now, forward(&[(BLUE, 0), (GREEN, 1), (RED, 0)])));
        app.world.service(GREEN).course.during(secs(CUT + 6.0), secs(1e6), outage());
        app.run_until(40.0);
        app.refused_for("understood");
    });
}

#[test]
fn both_colours_bad_is_refused_as_a_shared_dependency() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.world.service(BLUE).course.during(secs(CUT + 6.0), secs(1e6), outage());
        app.run_until(40.0);
        app.refused_for("shared-dependency");
        assert_eq!(app.held(), Vec::<&str>::new(), "{}", app.story());
    });
    each_seed(|seed| {
        let half = Ways { errors: 0.3, ..Ways::default() };
        let mut app = cutover(seed, 6.0, half);
        app.world.service(BLUE).course.during(secs(CUT + 6.0), secs(1e6), half);
        app.run_until(40.0);
        app.untouched();
    });
}

#[test]
fn an_old_version_that_is_as_slow_is_no_way_back() {
    each_seed(|seed| {
        let slow = Ways { slow_ms: 400, ..Ways::default() };
        let mut app = cutover(seed, 6.0, slow);
        app.world.service(BLUE).course.during(secs(CUT + 6.0), secs(1e6), slow);
        app.run_until(40.0);
        app.refused_for("shared-dependency");
    });
}

#[test]
fn without_a_word_from_the_old_version_nothing_is_done() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.at(CUT - 1.0, |app| app.deaf = true);
        app.run_until(40.0);
        app.refused_for("no-control");
    });
}

#[test]
fn a_breach_that_begins_late_has_to_be_worse_than_the_old_version_was() {
    // One answer in a hundred was bad before: five may be luck of the load, fifty are not.
    for (errors, reverts) in [(0.05, false), (0.5, true)] {
        each_seed(|seed| {
            let mut app = cutover(seed, 24.0, Ways { errors, ..Ways::default() });
            app.judge_policy.objectives =
                Objectives::of_service(Some(0.005), Some(Duration::from_millis(250)));
            let tired = Ways { errors: 0.01, ..Ways::default() };
            app.world.service(BLUE).course.during(secs(0.0), secs(CUT), tired);
            app.run_until(65.0);
            if reverts {
                assert_eq!(app.effects.len(), 1, "{}", app.story());
            } else {
                app.refused_for("as-before");
            }
        });
    }
}

#[test]
fn a_breach_that_begins_soon_need_not_be_worse_than_the_old_version_was() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, Ways { errors: 0.05, ..Ways::default() });
        app.judge_policy.objectives = Objectives::of_service(Some(0.005), Some(Duration::from_millis(250)));
        let tired = Ways { errors: 0.01, ..Ways::default() };
        app.world.service(BLUE).course.during(secs(0.0), secs(CUT), tired);
        app.run_until(50.0);
        assert_eq!(app.effects.len(), 1, "{}", app.story());
    });
}

#[test]
fn slowness_that_was_there_before_is_not_the_releases() {
    each_seed(|seed| {
        // One answer in ten, where one in twenty is promised: too few to say so in peace.
        let slow = Ways { slow_ms: 400, conn: Some(3), ..Ways::default() };
        let mut app = cutover(seed, 1e5, outage());
        app.world.balancer.during(secs(0.0), secs(1e6), slow);
        app.run_until(50.0);
        app.refused_for("as-before");
    });
}

#[test]
fn one_zone_and_one_connection_are_not_the_releases() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, Ways { errors: 1.0, zone: Some(1), ..Ways::default() });
        app.run_until(40.0);
        app.refused_for("one-zone");
        assert!(app.paged(PageKind::Refused));
    });
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, Ways { errors: 1.0, conn: Some(4), ..Ways::default() });
        app.run_until(40.0);
        app.refused_for("one-connection");
    });
}

#[test]
fn refusals_at_the_edge_are_not_the_releases() {
    each_seed(|seed| {
        let mut app = cutover(seed, 1e5, outage());
        app.world.balancer.during(secs(CUT + 6.0), secs(1e6), Ways { edge: 1.0, ..Ways::default() });
        app.run_until(40.0);
        app.untouched();
        let edge =
            app.records().any(|r| matches!(r, Record::Verdict { says, .. } if says.contains("at the edge")));
        assert!(edge, "{}", app.story());
    });
}

#[test]
fn a_balancer_that_refuses_connections_is_not_the_releases() {
    each_seed(|seed| {
        let mut app = cutover(seed, 1e5, outage());
        app.world.balancer.during(secs(CUT + 6.0), secs(1e6), Ways { refuses: true, ..Ways::default() });
        app.run_until(40.0);
        app.untouched();
        let told = app.records().any(
            |r| matches!(r, Record::Verdict { says, .. } if says.contains("connection to the balancer")),
        );
        assert!(told, "{}", app.story());
    });
}

#[test]
fn a_prober_that_is_late_or_cut_off_is_blind_and_says_so() {
    each_seed(|seed| {
        let mut app = cutover(seed, 1e5, outage());
        app.world.starved.push((secs(CUT + 6.0), secs(CUT + 20.0)));
        app.run_until(40.0);
        app.calm();
        assert!(app.paged(PageKind::Blind), "{}", app.story());
        assert!(app.pages.iter().any(|(_, _, text)| text.contains("starved")), "{:?}", app.pages);
    });
    for control in [true, false] {
        each_seed(|seed| {
            let mut app = cutover(seed, 1e5, outage());
            app.world.has_control = control;
            app.world.network_down.push((secs(CUT + 6.0), secs(CUT + 20.0)));
            app.run_until(60.0);
            app.untouched();
            assert!(app.paged(PageKind::Blind), "{}", app.story());
            assert_eq!(app.held(), Vec::<&str>::new(), "{}", app.story());
        });
    }
}

/// Frozen for three quarters of the time, from two seconds before the cutover on. The period is no multiple of the
/// calm interval, so that some calm probes come through.
fn throttled(app: &mut App, seconds: f64) {
    let mut from = CUT - 2.0;
    while from < CUT + seconds {
        app.world.starved.push((secs(from), secs(from + 0.070)));
        from += 0.093;
    }
}

#[test]
fn an_outage_is_seen_and_reverted_through_a_quota_that_freezes_us_three_quarters_of_the_time() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        // Long enough for the breach; a proof needs its answers in a row.
        throttled(&mut app, 7.0);
        app.run_until(60.0);
        app.reverted_once();
        let at = app.effects.first().map(|(at, _)| *at);
        assert!(at.is_some_and(|at| at < secs(CUT + 6.0 + 5.0)), "{at:?}\n{}", app.story());
    });
}

#[test]
fn a_cutover_is_seen_by_reading_when_no_answer_can_tell_of_it() {
    each_seed(|seed| {
        let mut app = cutover(seed, 1e5, outage());
        app.world.starved.push((secs(CUT - 2.0), secs(CUT + 40.0)));
        app.run_until(CUT + 15.0);
        let seen = app.records().filter(|record| matches!(record, Record::Epoch { .. })).count();
        assert_eq!(seen, 2, "{}", app.story());
    });
}

#[test]
fn a_good_release_is_left_alone_and_never_called_good_by_a_prober_that_is_throttled() {
    each_seed(|seed| {
        let mut app = cutover(seed, 1e5, outage());
        throttled(&mut app, 60.0);
        app.run_until(50.0);
        app.untouched();
        assert!(app.paged(PageKind::Blind), "{}", app.story());
    });
}

#[test]
fn a_prober_that_goes_blind_in_a_real_outage_does_not_act_on_what_it_cannot_see() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.world.starved.push((secs(CUT + 5.0), secs(CUT + 20.0)));
        app.run_until(60.0);
        let at = app.effects.first().map(|(at, _)| *at);
        assert!(at.is_some_and(|at| at > secs(CUT + 20.0)), "{at:?}\n{}", app.story());
        app.reverted_once();
    });
}

#[test]
fn the_balancers_own_errors_before_the_change_has_spread_are_nobodys() {
    each_seed(|seed| {
        let mut app = cutover(seed, 1e5, outage());
        app.world.balancer.during(secs(CUT), secs(CUT + 1.8), Ways { bare: 0.6, ..Ways::default() });
        app.run_until(60.0);
        app.calm();
        assert_eq!(app.shows(), "green");
    });
}

#[test]
fn a_canary_is_not_blamed_for_what_carries_no_version() {
    each_seed(|seed| {
        let mut app = App::new(seed);
        app.at(CUT, |app| app.world.set(app.now, forward(&[(BLUE, 90), (GREEN, 10)])));
        app.world.balancer.during(secs(CUT + 6.0), secs(CUT + 20.0), Ways { bare: 0.3, ..Ways::default() });
        app.run_until(50.0);
        app.untouched();
    });
}

#[test]
fn an_unarmed_rollback_is_recorded_and_its_failure_told() {
    each_seed(|seed| {
        let mut app = cutover(seed, 1e5, outage());
        app.at(30.0, |app| app.world.set(app.now, blue()));
        app.world.service(BLUE).course.during(secs(40.0), secs(1e6), outage());
        app.run_until(60.0);
        app.untouched();
        assert!(app.paged(PageKind::Bad), "{}", app.story());
    });
}
