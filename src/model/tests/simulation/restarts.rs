//! The process dies or drains at every point, with its ledger or without.

use crate::app::{App, Moment, secs};
use crate::story::{CUT, cutover, each_seed, outage};
use crate::world::{Trouble, blue, green};
use serin_model::guard::{Command, PageKind};
use serin_model::record::Record;
use serin_model::time::Mono;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(700);

#[test]
fn a_restart_before_the_breach_goes_on_with_the_release() {
    each_seed(|seed| {
        let mut app = cutover(seed, 12.0, outage());
        app.at(CUT + 4.0, |app| app.restart(SHORT, true));
        app.run_until(60.0);
        app.reverted_once();
    });
}

#[test]
fn a_restart_without_its_ledger_is_unarmed_until_the_next_cutover() {
    each_seed(|seed| {
        let mut app = cutover(seed, 12.0, outage());
        app.at(CUT + 4.0, |app| app.restart(SHORT, false));
        app.run_until(60.0);
        app.untouched();
        assert!(app.paged(PageKind::Bad), "{}", app.story());
    });
}

#[test]
fn a_long_absence_in_a_release_leaves_it_alone() {
    each_seed(|seed| {
        let mut app = cutover(seed, 80.0, outage());
        app.judge_policy.judge_for = Duration::from_mins(5);
        app.guard_policy.judge_for = Duration::from_mins(5);
        app.at(CUT + 4.0, |app| app.restart(Duration::from_secs(62), true));
        app.run_until(110.0);
        app.untouched();
        assert!(app.paged(PageKind::Bad), "{}", app.story());
    });
}

#[test]
fn a_cutover_that_nobody_watched_is_not_judged() {
    each_seed(|seed| {
        let mut app = cutover(seed, 12.0, outage());
        app.at(CUT - 1.0, |app| app.restart(Duration::from_secs(3), true));
        app.run_until(60.0);
        app.untouched();
        assert!(app.paged(PageKind::Bad), "{}", app.story());
    });
}

#[test]
fn after_a_restart_between_intent_and_write_bad_is_judged_anew_before_another_attempt() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.on(Moment::Intent, |app| app.restart(SHORT, true));
        app.run_until(60.0);
        app.reverted_once();
        let intents = app.records().filter(|record| matches!(record, Record::Intent(_))).count();
        assert_eq!(intents, 2, "{}", app.story());
        assert!(app.records().any(
            |r| matches!(r, Record::Abandoned { why, .. } if &**why == "restarted before it had an effect")
        ));
    });
}

#[test]
fn a_restart_after_the_write_reads_it_back_and_proves_it_and_writes_nothing_more() {
    for moment in [Moment::WriteSent, Moment::WriteDone, Moment::Readback, Moment::Verify] {
        each_seed(|seed| {
            let mut app = cutover(seed, 6.0, outage());
            app.on(moment, |app| app.restart(SHORT, true));
            app.run_until(60.0);
            assert_eq!(app.effects.len(), 1, "{moment:?}\n{}", app.story());
            assert_eq!(app.shows(), "blue");
            assert!(app.held().contains(&"reverted"), "{moment:?}\n{}", app.story());
            let verified = app.records().filter(|r| matches!(r, Record::Verified { .. })).count();
            assert_eq!(verified, 1, "{moment:?}\n{}", app.story());
        });
    }
}

#[test]
fn a_write_whose_line_died_with_us_is_known_by_its_effect_and_not_repeated() {
    for (moment, later) in [(Moment::WriteSent, 3_000), (Moment::WriteSent, 300), (Moment::WriteDone, 0)] {
        each_seed(|seed| {
            let mut app = cutover(seed, 6.0, outage());
            if later > 0 {
                app.world.writes.push_back(Trouble::DoneLater(later));
            }
            app.on(moment, |app| {
                // Only the intent is on disk: what was said after it was still on its way there.
                let intent = app.records().position(|record| matches!(record, Record::Intent(_))).unwrap();
                app.ledger.truncate(intent + 1);
                app.restart(SHORT, true);
                // And dies once more, before anything can be seen.
                let again = app.now.after(SHORT * 2).since(Mono::default()).as_secs_f64();
                app.at(again, |app| app.restart(SHORT, true));
            });
            app.run_until(60.0);
            assert_eq!(app.effects.len(), 1, "{moment:?}\n{}", app.story());
            let again = app.records().any(|record| matches!(record, Record::WriteSent { .. }));
            assert!(!again, "{moment:?}\n{}", app.story());
            assert!(app.held().contains(&"reverted"), "{moment:?}\n{}", app.story());
            assert!(!app.paged(PageKind::Overridden), "{}", app.story());
        });
    }
}

#[test]
fn a_revert_before_a_restart_counts_for_the_cool_down_after_it() {
    for moment in [Moment::WriteDone, Moment::Verify, Moment::Held] {
        each_seed(|seed| {
            let mut app = cutover(seed, 6.0, outage());
            app.on(moment, |app| app.restart(SHORT, true));
            app.run_until(40.0);
            let status = app.guard().status(app.now);
            let cool = status.conditions.iter().find(|c| &*c.name == "cool-down").unwrap();
            assert!(!cool.holds, "{moment:?}: {cool:?}");
        });
    }
}

#[test]
fn a_write_that_takes_effect_while_we_are_away_is_proved_when_we_are_back() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.world.writes.push_back(Trouble::DoneLater(300));
        app.on(Moment::WriteSent, |app| app.restart(SHORT, true));
        app.run_until(60.0);
        assert_eq!(app.effects.len(), 1);
        assert!(app.held().contains(&"reverted"), "{}", app.story());
    });
}

#[test]
fn a_write_that_takes_effect_only_when_we_are_back_is_waited_for_and_not_repeated() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.world.writes.push_back(Trouble::DoneLater(3_000));
        app.on(Moment::WriteSent, |app| app.restart(SHORT, true));
        app.run_until(60.0);
        assert_eq!(app.effects.len(), 1);
        let sent = app.records().filter(|record| matches!(record, Record::WriteSent { .. })).count();
        assert_eq!(sent, 1, "{}", app.story());
        assert!(app.held().contains(&"reverted"), "{}", app.story());
        assert!(!app.paged(PageKind::Overridden), "{}", app.story());
    });
}

#[test]
fn a_third_state_after_a_restart_is_left_alone() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.on(Moment::Intent, |app| {
            app.restart(SHORT, true);
            let other = crate::world::forward(&[(crate::world::BLUE, 50), (crate::world::GREEN, 50)]);
            app.world.set(app.now, other);
        });
        app.run_until(60.0);
        app.untouched();
        assert!(app.paged(PageKind::Overridden), "{}", app.story());
    });
}

#[test]
fn a_hold_outlives_a_restart() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.at(CUT + 40.0, |app| app.restart(SHORT, true));
        app.run_until(CUT + 45.0);
        assert_eq!(app.effects.len(), 1);
        let status = app.guard().status(app.now);
        assert_eq!((status.state, status.latched), ("hold", Some("reverted")), "{}", app.story());
    });
    each_seed(|seed| {
        let mut app = cutover(seed, 12.0, outage());
        app.at(CUT + 2.0, |app| app.command(Command::Hold { reason: "x".into() }));
        app.at(CUT + 4.0, |app| app.restart(SHORT, true));
        app.run_until(50.0);
        app.refused_for("no-hold");
    });
}

#[test]
fn an_irreversible_mark_outlives_a_restart() {
    for at in [CUT - 3.0, CUT + 1.0] {
        each_seed(|seed| {
            let mut app = cutover(seed, 12.0, outage());
            app.at(at, |app| app.command(Command::ReleaseBegin { label: None, irreversible: true }));
            app.at(at + 1.0, |app| app.restart(SHORT, true));
            app.run_until(60.0);
            app.refused_for("reversible");
        });
    }
}

#[test]
fn an_operators_revert_outlives_a_restart() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.at(CUT + 6.2, |app| app.world.set(app.now, blue()));
        app.at(CUT + 10.0, |app| app.restart(SHORT, true));
        app.at(CUT + 14.0, |app| app.world.set(app.now, green()));
        app.run_until(60.0);
        app.untouched();
    });
}

#[test]
fn a_drain_begins_nothing_and_finishes_the_write_that_is_out() {
    for moment in [Moment::Preflight, Moment::Intent, Moment::Reread] {
        each_seed(|seed| {
            let mut app = cutover(seed, 6.0, outage());
            app.on(moment, App::drain);
            app.run_until(40.0);
            app.untouched();
            assert!(app.guard().may_stop(), "{moment:?}");
        });
    }
    for moment in [Moment::WriteSent, Moment::WriteDone, Moment::Verify] {
        each_seed(|seed| {
            let mut app = cutover(seed, 6.0, outage());
            app.on(moment, App::drain);
            app.run_until(CUT + 20.0);
            assert_eq!(app.effects.len(), 1, "{moment:?}\n{}", app.story());
            assert!(app.guard().may_stop(), "{moment:?}");
            assert!(
                app.records().any(|r| matches!(r, Record::Confirmed { .. })),
                "{moment:?}\n{}",
                app.story()
            );
            assert!(app.paged(PageKind::Partial), "{moment:?}\n{}", app.story());
            // Whoever starts next owes the proof.
            app.restart(SHORT, true);
            app.run_until(CUT + 40.0);
            assert_eq!(app.held().last(), Some(&"reverted"), "{moment:?}\n{}", app.story());
            assert_eq!(app.effects.len(), 1);
        });
    }
}

#[test]
fn a_process_that_dies_again_and_again_leaves_the_old_state_the_new_one_or_a_page() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        for n in 0..4_u32 {
            let jitter = f64::from(u32::try_from(seed % 97).unwrap()) * 0.013;
            app.at(CUT + 6.2 + f64::from(n) * 1.7 + jitter, |app| app.restart(SHORT, true));
        }
        app.run_until(70.0);
        assert_eq!(app.effects.len(), 1, "{}", app.story());
        assert!(app.held().contains(&"reverted") || app.paged(PageKind::Partial), "{}", app.story());
        assert!(secs(70.0) == app.now);
    });
}
