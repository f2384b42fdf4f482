//! Two listeners that move together: users of both are put back, or somebody is told how far it came.

use crate::app::{App, Moment, secs};
use crate::story::{CUT, each_seed, outage};
use crate::world::{BLUE, GREEN, LISTENER, LISTENER_80, Trouble, blue, forward, green, pair};
use serin_model::guard::{Command, Event, PageKind};
use serin_model::listener::ListenerState;
use serin_model::record::Record;
use std::time::Duration;

/// Both are moved, `apart` seconds one after the other, and the new version fails from `after` on.
fn moved(seed: u64, apart: f64, after: f64) -> App {
    let mut app = App::new(seed);
    app.world.set(secs(0.0), pair(&blue(), &blue()));
    app.at(CUT, move |app| {
        app.world.set(app.now, pair(&green(), &if apart > 0.0 { blue() } else { green() }));
    });
    if apart > 0.0 {
        app.at(CUT + apart, |app| app.world.set(app.now, pair(&green(), &green())));
    }
    app.world.service(GREEN).course.during(secs(CUT + after), secs(1e6), outage());
    app
}

fn written(app: &App) -> Vec<&str> {
    app.effects.iter().map(|(_, write)| &*write.arn).collect()
}

fn paged(app: &App, text: &str) -> bool {
    app.records().any(|record| matches!(record, Record::Paged { text: told, .. } if told.contains(text)))
}

fn intents(app: &App) -> usize {
    app.records().filter(|record| matches!(record, Record::Intent(_))).count()
}

fn show(app: &App, state: &ListenerState) {
    assert_eq!(app.world.listener.fingerprint(), state.fingerprint(), "{}", app.story());
}

#[test]
fn both_are_put_back_the_first_first_by_one_revert() {
    each_seed(|seed| {
        let mut app = moved(seed, 0.0, 6.0);
        app.run_until(40.0);
        assert_eq!(written(&app), [LISTENER, LISTENER_80], "{}", app.story());
        show(&app, &pair(&blue(), &blue()));
        assert_eq!((app.held(), intents(&app)), (vec!["reverted"], 1), "{}", app.story());
        let took = app.effects[1].0.since(app.effects[0].0);
        assert!(took < Duration::from_secs(1), "within one batch of the balancer: {took:?}");
    });
}

#[test]
fn a_pipeline_that_moves_them_one_after_the_other_makes_one_release() {
    each_seed(|seed| {
        let mut app = moved(seed, 1.7, 6.0);
        app.run_until(40.0);
        let releases = app.records().filter(|record| matches!(record, Record::Release { .. })).count();
        assert_eq!((releases, written(&app).len()), (1, 2), "{}", app.story());
        show(&app, &pair(&blue(), &blue()));
    });
}

#[test]
fn only_the_one_that_was_moved_is_written() {
    each_seed(|seed| {
        let mut app = App::new(seed);
        app.world.set(secs(0.0), pair(&blue(), &blue()));
        app.at(CUT, |app| app.world.set(app.now, pair(&blue(), &green())));
        app.world.service(GREEN).course.during(secs(CUT + 6.0), secs(1e6), outage());
        app.run_until(60.0);
        assert_eq!(written(&app), [LISTENER_80], "{}", app.story());
        show(&app, &pair(&blue(), &blue()));
    });
}

#[test]
fn a_second_write_that_is_throttled_or_lost_is_tried_again_until_it_is_in() {
    for trouble in [Trouble::Throttled, Trouble::Lost, Trouble::Done, Trouble::DoneLater(300)] {
        each_seed(|seed| {
            let mut app = moved(seed, 0.0, 6.0);
            app.on(Moment::WriteDone, move |app| app.world.writes.push_back(trouble));
            app.run_until(60.0);
            show(&app, &pair(&blue(), &blue()));
            assert_eq!(
                (written(&app).len(), app.held()),
                (2, vec!["reverted"]),
                "{trouble:?} {}",
                app.story()
            );
        });
    }
}

#[test]
fn a_second_write_that_is_refused_leaves_a_page_that_says_partial() {
    each_seed(|seed| {
        let mut app = moved(seed, 0.0, 6.0);
        app.on(Moment::WriteDone, |app| app.world.writes.push_back(Trouble::Denied));
        app.run_until(60.0);
        show(&app, &pair(&blue(), &green()));
        assert!(app.paged(PageKind::Partial) && paged(&app, "1 of 2 rules are put back"), "{}", app.story());
        assert_eq!((app.held(), intents(&app)), (vec!["partial"], 1), "{}", app.story());
    });
}

#[test]
fn a_death_between_the_writes_is_told_and_neither_resent_nor_judged_as_a_release() {
    each_seed(|seed| {
        let mut app = moved(seed, 0.0, 6.0);
        app.on(Moment::WriteDone, |app| app.restart(Duration::from_millis(700), true));
        app.run_until(90.0);
        show(&app, &pair(&blue(), &green()));
        assert!(paged(&app, "stopped between two writes: 1 of 2"), "{}", app.story());
        assert_eq!((app.held(), intents(&app)), (vec!["partial"], 1), "{}", app.story());
        let releases = app.records().filter(|record| matches!(record, Record::Release { .. })).count();
        assert_eq!(releases, 1, "{}", app.story());
    });
}

#[test]
fn whoever_finishes_what_stayed_half_done_gets_the_proof() {
    each_seed(|seed| {
        let mut app = moved(seed, 0.0, 6.0);
        app.on(Moment::WriteDone, |app| app.restart(Duration::from_millis(700), true));
        app.at(CUT + 20.0, |app| app.world.set(app.now, pair(&blue(), &blue())));
        app.run_until(90.0);
        assert_eq!(app.held().last(), Some(&"reverted"), "{}", app.story());
        assert_eq!((written(&app).len(), intents(&app)), (1, 1));
    });
}

#[test]
fn a_hold_between_the_writes_stops_the_second() {
    each_seed(|seed| {
        let mut app = moved(seed, 0.0, 6.0);
        app.on(Moment::WriteDone, |app| {
            app.inject(Event::Operator(Command::Hold { reason: "incident".into() }));
        });
        app.run_until(60.0);
        show(&app, &pair(&blue(), &green()));
        assert!(paged(&app, "an operator holds: incident; 1 of 2"), "{}", app.story());
    });
}

#[test]
fn a_stop_between_the_writes_waits_for_the_second() {
    each_seed(|seed| {
        let mut app = moved(seed, 0.0, 6.0);
        app.on(Moment::WriteDone, App::drain);
        app.run_until(60.0);
        show(&app, &pair(&blue(), &blue()));
    });
}

#[test]
fn somebody_elses_change_to_the_second_is_left_to_them() {
    each_seed(|seed| {
        let mut app = moved(seed, 0.0, 6.0);
        app.on(Moment::WriteDone, |app| {
            app.world.set(app.now, pair(&blue(), &forward(&[(BLUE, 40), (GREEN, 60)])));
        });
        app.run_until(60.0);
        show(&app, &pair(&blue(), &forward(&[(BLUE, 40), (GREEN, 60)])));
        assert!(app.paged(PageKind::Overridden), "{}", app.story());
        assert_eq!(intents(&app), 1, "{}", app.story());
    });
}
