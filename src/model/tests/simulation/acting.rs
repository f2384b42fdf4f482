//! The acting path: AWS that throttles, refuses, loses or delays, and others who write at the same time.

use crate::app::{App, Moment, secs};
use crate::story::{CUT, cutover, each_seed, outage};
use crate::world::{BLUE, GREEN, RED, Trouble, Ways, blue, but, forward, green};
use serin_model::guard::{Event, OpId, PageKind, Proof, WriteOutcome};
use serin_model::listener::{RuleState, Stickiness};
use serin_model::policy::Mode;
use serin_model::record::Record;
use std::time::Duration;

fn sent(app: &App) -> usize {
    app.records().filter(|record| matches!(record, Record::WriteSent { .. })).count()
}

#[test]
fn observe_mode_says_what_it_would_do_and_never_writes() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.guard_policy.mode = Mode::Observe;
        app.run_until(40.0);
        app.untouched();
        assert_eq!(app.held(), ["observe"], "{}", app.story());
        assert!(app.records().any(|record| matches!(record, Record::WouldRevert { .. })));
        assert!(app.pages.iter().all(|(_, _, text)| text.starts_with("DRY RUN: ")), "{:?}", app.pages);
        assert!(app.paged(PageKind::Breach));
    });
}

#[test]
fn throttled_writes_are_tried_again_each_after_a_read() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.world.writes.extend([Trouble::Throttled, Trouble::Throttled]);
        app.run_until(40.0);
        app.reverted_once();
        assert_eq!(sent(&app), 3);
        assert_eq!(reads_before_writes(&app), 3);
    });
}

/// Reads of the rule and the marks that were asked for from the intent on.
fn reads_before_writes(app: &App) -> usize {
    let acting = app.trace.iter().skip_while(|line| !line.contains("Persist("));
    acting.filter(|line| line.contains("Read(") && line.contains("Marks")).count()
}

#[test]
fn throttling_without_end_is_given_up_and_told() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.world.writes.extend([Trouble::Throttled; 40]);
        app.run_until(70.0);
        assert_eq!(app.effects.len(), 0);
        assert_eq!(app.held(), ["deadline"], "{}", app.story());
        assert!(sent(&app) <= 5, "{}", sent(&app));
    });
}

#[test]
fn a_write_that_timed_out_and_had_its_effect_is_found_by_reading_and_never_sent_again() {
    for trouble in [Trouble::Done, Trouble::DoneLater(30)] {
        each_seed(|seed| {
            let mut app = cutover(seed, 6.0, outage());
            app.world.writes.push_back(trouble);
            app.run_until(60.0);
            app.reverted_once();
            assert_eq!(sent(&app), 1, "{}", app.story());
        });
    }
}

#[test]
fn a_write_that_timed_out_without_effect_is_sent_again_after_a_read_that_shows_so() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.world.writes.push_back(Trouble::Lost);
        app.run_until(60.0);
        app.reverted_once();
        assert_eq!(sent(&app), 2, "{}", app.story());
        assert_eq!(reads_before_writes(&app), 2, "{}", app.story());
    });
}

#[test]
fn a_write_that_takes_effect_after_everyone_gave_up_is_still_known_as_ours_and_proved() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.guard_policy.evidence_age_max = Duration::from_secs(5);
        app.world.writes.push_back(Trouble::DoneLater(18_500));
        app.world.writes.extend([Trouble::Throttled; 9]);
        app.run_until(70.0);
        assert_eq!(app.effects.len(), 1, "{}", app.story());
        assert!(app.paged(PageKind::Partial) && app.paged(PageKind::Reverted), "{}", app.story());
        assert!(!app.paged(PageKind::Overridden), "{}", app.story());
        assert_eq!(app.held().last(), Some(&"reverted"), "{}", app.story());
    });
}

#[test]
fn a_refused_write_is_told_with_its_code_and_left() {
    for (trouble, code) in [(Trouble::Denied, "AccessDenied"), (Trouble::Gone, "RuleNotFound")] {
        each_seed(|seed| {
            let mut app = cutover(seed, 6.0, outage());
            app.world.writes.push_back(trouble);
            app.run_until(40.0);
            assert_eq!(app.effects.len(), 0);
            assert_eq!(app.held(), ["write-refused"], "{}", app.story());
            assert!(app.refusal_says(code), "{}", app.story());
        });
    }
}

#[test]
fn throttled_reads_delay_the_revert_and_no_more() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.world.reads.push((secs(CUT + 5.9), secs(CUT + 8.0), Trouble::Throttled));
        app.run_until(50.0);
        app.reverted_once();
    });
}

#[test]
fn reads_that_fail_for_longer_than_a_preflight_may_wait_are_a_refusal() {
    let cases = [
        (Trouble::Throttled, "throttles"),
        (Trouble::Lost, "in time"),
        (Trouble::Denied, "DescribeRules"),
        (Trouble::Gone, "not found"),
    ];
    for (trouble, says) in cases {
        each_seed(|seed| {
            let mut app = cutover(seed, 6.0, outage());
            app.world.reads.push((secs(CUT + 5.0), secs(1e6), trouble));
            app.run_until(60.0);
            app.refused_for("listener-read");
            assert!(app.refusal_says(says), "{}", app.story());
        });
    }
}

#[test]
fn a_ledger_that_is_full_forbids_the_write() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.world.ledger_full = true;
        app.run_until(40.0);
        app.refused_for("ledger");
        assert!(app.refusal_says("no space left"));
    });
}

#[test]
fn somebody_elses_write_between_preflight_and_write_is_left_alone() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.on(Moment::Intent, |app| app.world.set(app.now, forward(&[(BLUE, 0), (RED, 1)])));
        app.run_until(40.0);
        app.untouched();
        assert!(app.paged(PageKind::Overridden), "{}", app.story());
        assert_eq!(app.shows(), "red");
    });
}

#[test]
fn an_operators_revert_between_preflight_and_write_is_left_alone() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.on(Moment::Intent, |app| app.world.set(app.now, blue()));
        app.run_until(40.0);
        app.untouched();
        assert!(app.paged(PageKind::Overridden), "{}", app.story());
    });
}

#[test]
fn another_state_after_our_write_is_left_alone() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.on(Moment::WriteDone, |app| app.world.set(app.now, forward(&[(BLUE, 0), (RED, 1)])));
        app.run_until(40.0);
        assert_eq!(app.effects.len(), 1);
        assert_eq!(app.shows(), "red");
        assert!(app.paged(PageKind::Overridden), "{}", app.story());
    });
}

#[test]
fn another_state_while_the_revert_is_proved_is_left_alone() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.world.lag = [Duration::from_secs(5); 2];
        app.on(Moment::Verify, |app| app.world.set(app.now, green()));
        app.run_until(60.0);
        assert_eq!(app.effects.len(), 1);
        assert_eq!(app.shows(), "green");
        assert!(app.paged(PageKind::Overridden), "{}", app.story());
    });
}

#[test]
fn terraform_puts_green_back_after_our_revert_and_is_told_of_and_not_fought() {
    for after in [20.0, 80.0] {
        each_seed(|seed| {
            let mut app = cutover(seed, 6.0, outage());
            app.guard_policy.cool_down = Duration::from_secs(1);
            app.guard_policy.reverts_per_hour_max = 99;
            app.at(CUT + 6.0 + after, |app| {
                // One task was replaced meanwhile.
                app.world.service(GREEN).targets[0].id = "10.0.2.77:80".into();
                app.world.set(app.now, green());
            });
            app.run_until(150.0);
            assert_eq!(app.effects.len(), 1, "no second revert\n{}", app.story());
            assert_eq!(app.shows(), "green");
            assert!(app.records().any(|r| matches!(r, Record::Drift { .. })), "{}", app.story());
            assert!(app.paged(PageKind::Overridden) && app.paged(PageKind::Bad), "{}", app.story());
        });
    }
}

#[test]
fn a_revert_that_users_do_not_get_is_partial_and_calls_a_person() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.on(Moment::WriteDone, |app| {
            app.world.service(BLUE).course.during(app.now, secs(1e6), outage());
        });
        app.run_until(60.0);
        assert_eq!(app.effects.len(), 1);
        assert_eq!(app.held(), ["partial"], "{}", app.story());
        assert!(app.paged(PageKind::Partial) && app.paged(PageKind::Bad), "{}", app.story());
        assert_eq!(app.guard().status(app.now).needs_human, Some("partial"));
    });
}

#[test]
fn a_balancer_that_takes_its_time_delays_the_proof_and_no_more() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.on(Moment::WriteSent, |app| app.world.lag = [Duration::from_secs(3), Duration::from_secs(6)]);
        app.run_until(60.0);
        app.reverted_once();
    });
}

#[test]
fn late_and_unknown_replies_are_counted_and_dropped() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.at(10.0, |app| {
            app.inject(Event::Wrote(OpId(9_999), WriteOutcome::Accepted("x".into())));
            app.inject(Event::Durable(OpId(9_999), Ok(())));
            app.inject(Event::Verified(OpId(9_999), Proof::Shown { answers: 9, addresses: 1 }));
        });
        app.on(Moment::Verify, |app| {
            app.inject(Event::Verified(OpId(9_999), Proof::NotShown("somebody else's".into())));
            app.inject(Event::Wrote(OpId(9_999), WriteOutcome::Unknown("late".into())));
        });
        app.run_until(40.0);
        app.reverted_once();
        assert!(app.guard().late_replies() >= 5, "{}", app.guard().late_replies());
    });
}

#[test]
fn the_write_restores_the_before_image_field_by_field() {
    each_seed(|seed| {
        let mut app = App::new(seed);
        let sticky = Stickiness { enabled: Some(true), duration_s: Some(3_600) };
        let auth = |rule: &mut RuleState| rule.others.push("authenticate-oidc issuer=x".into());
        let before = but(&blue(), |rule| {
            rule.forward.as_mut().unwrap().stickiness = Some(sticky);
            auth(rule);
        });
        let after = but(&green(), auth);
        app.world.set(secs(0.0), before.clone());
        app.at(CUT, |app| app.world.set(app.now, after));
        app.world.service(GREEN).course.during(secs(CUT + 6.0), secs(1e6), outage());
        app.run_until(40.0);
        app.reverted_once();
        assert_eq!(app.world.listener, before);
    });
}

#[test]
fn a_verdict_that_goes_away_before_the_write_takes_it_back() {
    each_seed(|seed| {
        let mut app = cutover(seed, 1e5, Ways::default());
        app.world.service(GREEN).course.during(secs(CUT + 6.0), secs(CUT + 6.4), outage());
        app.judge_policy.window = Duration::from_secs(1);
        // AWS is slow to answer just then: when it does, the window has nothing bad left.
        app.world.reads.push((secs(CUT + 6.1), secs(CUT + 9.0), Trouble::Throttled));
        app.run_until(40.0);
        app.untouched();
        assert_eq!(app.held(), Vec::<&str>::new(), "judging goes on\n{}", app.story());
    });
}
