//! People and pipelines: holds, marks, acks, and reverts of their own, after which we never write.

use crate::app::{App, Moment, secs};
use crate::story::{CUT, cutover, each_seed, outage};
use crate::world::{BLUE, GREEN, RED, Ways, blue, forward, green};
use serin_model::guard::{Command, PageKind};
use serin_model::record::Record;

fn hold() -> Command {
    Command::Hold { reason: "incident 7".into() }
}

/// An operator goes back to blue; then blue turns bad, green comes again and is bad, blue again, and so on.
fn flips(app: &mut App, from: f64) {
    app.world.service(BLUE).course.during(secs(from + 8.0), secs(1e6), outage());
    for (after, to_green) in [(14.0, true), (24.0, false), (34.0, true)] {
        app.at(from + after, move |app| {
            // A replaced task is no deployment.
            let group = if to_green { GREEN } else { BLUE };
            let id = format!("10.0.{}.{}:80", if to_green { 2 } else { 1 }, 100.0 + after);
            app.world.service(group).targets[0].id = id.into();
            app.world.set(app.now, if to_green { green() } else { blue() });
        });
    }
}

#[test]
fn after_an_operators_own_revert_nothing_is_written_whatever_happens_next() {
    // Before the breach, while green is already good enough to return to, and in the middle of everything.
    for (bad, back) in [(1e5, 4.0), (1e5, 20.0), (6.0, 6.1), (6.0, 6.2), (6.0, 6.27)] {
        each_seed(|seed| {
            let mut app = cutover(seed, bad, outage());
            app.guard_policy.cool_down = std::time::Duration::ZERO;
            app.guard_policy.reverts_per_hour_max = 99;
            app.guard_policy.reverts_per_day_max = 99;
            app.at(CUT + back, |app| app.world.set(app.now, blue()));
            flips(&mut app, CUT + back);
            app.run_until(90.0);
            app.untouched();
        });
    }
}

#[test]
fn an_operators_revert_at_any_moment_of_ours_is_never_overwritten() {
    for moment in
        [Moment::Preflight, Moment::Intent, Moment::Reread, Moment::WriteSent, Moment::Verify, Moment::Held]
    {
        each_seed(|seed| {
            let mut app = cutover(seed, 6.0, outage());
            app.guard_policy.cool_down = std::time::Duration::ZERO;
            app.guard_policy.reverts_per_hour_max = 99;
            app.guard_policy.reverts_per_day_max = 99;
            app.on(moment, |app| app.world.set(app.now, blue()));
            flips(&mut app, CUT + 8.0);
            app.run_until(90.0);
            assert!(app.effects.len() <= 1, "{moment:?}\n{}", app.story());
            let late = app.effects.iter().any(|(at, _)| *at > secs(CUT + 8.0));
            assert!(!late, "{moment:?}\n{}", app.story());
        });
    }
}

#[test]
fn a_hold_by_tag_or_by_command_forbids_the_write() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.world.marks.hold = Some("tag canary:hold=yes".into());
        app.run_until(40.0);
        app.refused_for("no-hold");
    });
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.at(CUT + 3.0, |app| app.command(hold()));
        app.run_until(40.0);
        app.refused_for("no-hold");
    });
}

#[test]
fn a_hold_that_comes_between_preflight_and_write_is_seen() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.on(Moment::Intent, |app| app.world.marks.hold = Some("tag canary:hold=yes".into()));
        app.run_until(40.0);
        app.refused_for("no-hold");
    });
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.on(Moment::Reread, |app| app.command(hold()));
        app.run_until(40.0);
        app.refused_for("no-hold");
    });
}

#[test]
fn a_hold_that_is_lifted_before_the_breach_forbids_nothing() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.at(CUT + 1.0, |app| app.command(hold()));
        app.at(CUT + 2.0, |app| app.command(Command::Unhold));
        app.run_until(40.0);
        app.reverted_once();
    });
}

#[test]
fn an_irreversible_release_is_told_and_left() {
    let mark = || Command::ReleaseBegin { label: Some("2026-11-21.4".into()), irreversible: true };
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.at(CUT - 2.0, move |app| app.command(mark()));
        app.run_until(40.0);
        app.refused_for("reversible");
        let named = app.records().any(
            |r| matches!(r, Record::Release { label: Some(label), irreversible: true, .. } if &**label == "2026-11-21.4"),
        );
        assert!(named, "{}", app.story());
    });
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.at(CUT + 2.0, move |app| app.command(mark()));
        app.run_until(40.0);
        app.refused_for("reversible");
    });
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.on(Moment::Intent, |app| app.world.marks.irreversible = Some("tag".into()));
        app.run_until(40.0);
        app.refused_for("reversible");
    });
}

#[test]
fn a_mark_for_one_release_does_not_speak_of_the_next() {
    each_seed(|seed| {
        let mut app = App::new(seed);
        app.at(10.0, |app| app.command(Command::ReleaseBegin { label: None, irreversible: true }));
        app.at(CUT, |app| app.world.set(app.now, green()));
        app.world.service(RED).course.during(secs(40.0), secs(1e6), outage());
        app.at(34.0, |app| app.world.set(app.now, forward(&[(GREEN, 0), (RED, 1)])));
        app.run_until(60.0);
        assert_eq!(app.effects.len(), 1, "{}", app.story());
        assert_eq!(app.shows(), "green");
    });
}

#[test]
fn an_ack_ends_the_hold_and_not_the_judging_of_a_release() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.at(CUT + 2.0, |app| app.command(Command::Ack));
        app.at(36.0, |app| {
            assert_eq!(app.guard().status(app.now).state, "hold");
            app.command(Command::Ack);
            let status = app.guard().status(app.now);
            assert_eq!((status.state, status.latched), ("idle", None));
        });
        app.run_until(40.0);
        app.reverted_once();
    });
}

#[test]
fn a_hold_stays_until_a_person_ends_it() {
    each_seed(|seed| {
        let mut app = cutover(seed, 6.0, outage());
        app.run_until(140.0);
        app.reverted_once();
        let status = app.guard().status(app.now);
        assert_eq!((status.state, status.latched), ("hold", Some("reverted")));
        assert!(!status.armed);
    });
}

#[test]
fn what_would_forbid_acting_is_told_in_peace() {
    each_seed(|seed| {
        let mut app = App::new(seed);
        app.world.marks.hold = Some("forgotten".into());
        app.run_until(140.0);
        assert!(app.paged(PageKind::Standing), "{:?}", app.pages);
        assert!(app.pages.iter().any(|(_, _, text)| text.contains("no-hold")), "{:?}", app.pages);
    });
}

#[test]
fn a_release_that_goes_good_after_a_scare_is_kept() {
    each_seed(|seed| {
        let mut app = cutover(seed, 1e5, Ways::default());
        for at in [20.0, 34.0, 48.0] {
            app.world.service(GREEN).course.during(secs(at), secs(at + 0.2), outage());
        }
        app.run_until(80.0);
        app.calm();
        assert!(app.records().any(|record| matches!(record, Record::Kept { .. })));
    });
}
