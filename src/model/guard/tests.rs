//! The clockwork, and how the guard stands.

use super::rig::{NOW, armed, course, intent};
use super::*;

const TICK: Duration = Duration::from_nanos(1);
const MINUTE: Duration = Duration::from_mins(1);

/// In peace, with nothing out and nothing to do before `NOW`.
fn peace() -> Guard {
    let mut guard = armed();
    guard.release = None;
    (guard.reading, guard.next_read, guard.next_pulse, guard.next_standing) = (None, NOW, NOW, NOW);
    guard
}

fn tick(guard: &mut Guard, now: Mono) -> Vec<Action> {
    let mut out = vec![];
    guard.step(now, Event::Tick, &mut out);
    out
}

fn read(out: &[Action]) -> Option<Depth> {
    out.iter().find_map(|action| if let Action::Read(_, depth) = action { Some(*depth) } else { None })
}

fn pulses(out: &[Action]) -> usize {
    let is_pulse =
        |action: &&Action| matches!(action, Action::Note(line) if matches!(**line, Record::Pulse { .. }));
    out.iter().filter(is_pulse).count()
}

/// The pause before the next read where the jitter is least, and where it is most.
fn pauses(guard: &mut Guard) -> [Duration; 2] {
    [11, 3].map(|op| {
        guard.next_op = op;
        guard.read_pause(NOW)
    })
}

#[test]
fn the_listener_is_read_as_often_as_a_change_would_go_unseen_without() {
    let mut guard = armed();
    assert_eq!(pauses(&mut guard), [900, 1_100].map(Duration::from_millis), "in a release");
    let mut guard = peace();
    assert_eq!(pauses(&mut guard), [54, 66].map(Duration::from_secs), "where a changed version would tell");
    guard.last_word = Some((EpochId(0), "blind starved".into()));
    assert_eq!(pauses(&mut guard), [9, 11].map(Duration::from_secs), "where we are blind");
    guard.last_word = Some((EpochId(0), "good".into()));
    guard.policy.versions_known = false;
    assert_eq!(pauses(&mut guard), [9, 11].map(Duration::from_secs), "where only reading tells");
}

#[test]
fn reads_that_fail_come_half_as_often_each_time_and_once_a_minute_at_least() {
    let mut guard = armed();
    for (failed, seconds) in [(1, 1.8), (2, 3.6), (5, 28.8), (6, 54.0)] {
        guard.read_backoff = failed;
        assert_eq!(pauses(&mut guard)[0], Duration::from_secs_f64(seconds), "after {failed}");
    }
    let mut guard = peace();
    guard.read_backoff = 6;
    assert_eq!(pauses(&mut guard)[0], Duration::from_secs(54));
}

#[test]
fn the_guard_wakes_for_what_comes_first() {
    let far = NOW.after(MINUTE);
    let mut guard = peace();
    (guard.next_read, guard.next_pulse) = (far, NOW);
    assert_eq!(guard.wake_at(), NOW, "the pulse");
    (guard.next_read, guard.next_pulse) = (NOW, far);
    assert_eq!(guard.wake_at(), NOW, "the next read");
    guard.reading = Some((OpId(70), NOW));
    assert_eq!(guard.wake_at(), NOW.after(REPLY_MAX), "the end of the one that is out");
    guard.reading = None;
    guard.draining = true;
    assert_eq!(guard.wake_at(), far, "who drains reads no more");
}

#[test]
fn a_background_read_goes_out_when_it_is_due_and_none_is_out() {
    let mut guard = peace();
    assert_eq!(read(&tick(&mut guard, Mono(NOW.0 - 1))), None);
    assert_eq!(read(&tick(&mut guard, NOW)), Some(Depth::Full));
    assert_eq!(guard.last_sent, Some(NOW));
    guard.next_read = NOW;
    assert_eq!(read(&tick(&mut guard, NOW)), None, "one is out");
    let changes: [fn(&mut Guard); 2] =
        [|guard| guard.policy.has_lever = false, |guard| guard.draining = true];
    for change in changes {
        let mut guard = peace();
        change(&mut guard);
        assert_eq!(read(&tick(&mut guard, NOW)), None);
    }
}

#[test]
fn while_the_acting_path_reads_nothing_else_does_except_while_a_write_is_out() {
    let mut guard = peace();
    guard.release = armed().release;
    let (intent, op, at) = (intent(&guard), OpId(70), NOW.after(REPLY_MAX));
    let phases = [
        (Phase::Intending { op, intent: intent.clone(), at }, false),
        (Phase::Confirming { op: Some(op), intent: intent.clone(), at, since: NOW }, false),
        (Phase::Writing { op, course: course(intent.clone(), 1, false), arn: "l".into(), at }, true),
        (Phase::Verifying { op, intent, at }, true),
    ];
    for (phase, reads) in phases {
        (guard.phase, guard.reading, guard.next_read) = (phase.clone(), None, NOW);
        assert_eq!(read(&tick(&mut guard, NOW)).is_some(), reads, "{phase:?}");
    }
}

#[test]
fn health_is_read_every_five_seconds_of_a_release_and_every_four_minutes_of_an_established_peace() {
    let depth = |mut guard: Guard, ago: Duration| {
        (guard.reading, guard.next_read, guard.last_full) = (None, NOW, Some(NOW.before(ago)));
        read(&tick(&mut guard, NOW))
    };
    assert_eq!(depth(armed(), READ_FULL.saturating_sub(TICK)), Some(Depth::Listener));
    assert_eq!(depth(armed(), READ_FULL), Some(Depth::Full));
    assert_eq!(depth(peace(), Duration::ZERO), Some(Depth::Full), "nothing was judged good yet");
    let established = || {
        let mut guard = peace();
        guard.epoch.as_mut().unwrap().established = true;
        guard
    };
    assert_eq!(depth(established(), READ_FULL_PEACE.saturating_sub(TICK)), Some(Depth::Marks));
    assert_eq!(depth(established(), READ_FULL_PEACE), Some(Depth::Full));
    let mut unversioned = established();
    unversioned.policy.versions_known = false;
    assert_eq!(depth(unversioned, Duration::ZERO), Some(Depth::Full), "targets tell of a new build");
}

#[test]
fn a_read_is_given_up_after_ten_seconds() {
    let mut guard = peace();
    (guard.reading, guard.next_read) = (Some((OpId(70), NOW.before(REPLY_MAX))), NOW.after(MINUTE));
    tick(&mut guard, Mono(NOW.0 - 1));
    assert_eq!(guard.read_error, None);
    tick(&mut guard, NOW);
    assert_eq!((guard.read_error, guard.reading), (Some(ReadError::Timeout), None));
}

#[test]
fn how_production_does_is_noted_every_five_seconds_of_a_release_and_every_minute_of_peace() {
    for (mut guard, pause) in [(armed(), PULSE_RELEASE), (peace(), PULSE_PEACE)] {
        guard.next_pulse = NOW;
        assert_eq!(pulses(&tick(&mut guard, Mono(NOW.0 - 1))), 0);
        assert_eq!(pulses(&tick(&mut guard, NOW)), 1);
        assert_eq!(guard.next_pulse, NOW.after(pause));
    }
}

#[test]
fn the_pace_is_told_when_it_changes() {
    let paces = |guard: &mut Guard| {
        let told = |action: &Action| if let Action::Pace(pace) = action { Some(*pace) } else { None };
        tick(guard, NOW).iter().find_map(told)
    };
    let mut guard = armed();
    guard.cadence = None;
    assert_eq!(paces(&mut guard), Some(Cadence::Release));
    assert_eq!(paces(&mut guard), None);
    guard.release.as_mut().unwrap().until = NOW;
    assert_eq!(paces(&mut guard), Some(Cadence::Calm));
    guard.phase = Phase::Intending { op: OpId(1), intent: intent(&guard), at: NOW.after(REPLY_MAX) };
    assert_eq!(paces(&mut guard), Some(Cadence::Release), "while we act");
    let mut blank = peace();
    (blank.epoch, blank.cadence) = (None, None);
    assert_eq!(paces(&mut blank), None, "nothing was read yet");
}

#[test]
fn without_a_listener_what_production_shows_is_known_from_the_start() {
    for (has_lever, begins) in [(true, false), (false, true)] {
        let policy = GuardPolicy { has_lever, ..armed().policy };
        let mut guard = Guard::new(policy, Recovered::default(), NOW);
        assert_eq!(tick(&mut guard, NOW).iter().any(|action| matches!(action, Action::Open(_))), begins);
        assert_eq!((guard.epoch.is_some(), guard.recovered.is_none()), (begins, begins));
    }
}

#[test]
fn a_versions_state_is_the_one_that_a_read_has_shown_since_it_answered() {
    let mut epoch = peace().epoch.unwrap();
    epoch.confirmed = NOW;
    epoch.versions = [Version::from("v0"), Version::from("v1"), Version::from("v2")].into();
    epoch.settled = [(Version::from("v1"), NOW), (Version::from("v2"), NOW.after(TICK))].into();
    assert_eq!(epoch.own_versions(None), [Version::from("v1")].into());
    epoch.confirmed = Mono(0);
    assert_eq!(epoch.own_versions(None), epoch.versions, "none is known to be its own");
    let mut good = peace().good.unwrap();
    good.epoch = epoch.id;
    assert_eq!(epoch.own_versions(Some(&good)), good.versions, "those that it was good with");
    good.epoch = EpochId(77);
    assert_eq!(epoch.own_versions(Some(&good)), epoch.versions, "another state's are not");
}

#[test]
fn a_verdict_speaks_of_its_own_epoch() {
    let mut guard = armed();
    assert!(guard.verdict_is_bad());
    guard.judged.as_mut().unwrap().epoch = EpochId(77);
    assert!(!guard.verdict_is_bad());
    guard.judged = armed().judged;
    guard.judged.as_mut().unwrap().verdict = Verdict::Good;
    assert!(!guard.verdict_is_bad());
}

#[test]
fn it_is_armed_when_everything_holds_and_it_may_act() {
    use crate::policy::Mode;
    assert!(armed().status(NOW).armed);
    let changes: [fn(&mut Guard); 3] = [
        |guard| guard.policy.mode = Mode::Observe,
        |guard| guard.hold = Some("incident".into()),
        |guard| guard.epoch = None,
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut guard = armed();
        change(&mut guard);
        assert!(!guard.status(NOW).armed, "{n}");
    }
}

#[test]
fn how_it_stands_is_told_in_one_word() {
    let word = |change: fn(&mut Guard)| {
        let mut guard = armed();
        change(&mut guard);
        guard.status(NOW).state
    };
    assert_eq!(word(|_| {}), "judging");
    assert_eq!(word(|guard| guard.epoch = None), "starting");
    assert_eq!(word(|guard| guard.latch("partial", true, &mut vec![])), "hold");
    assert_eq!(word(|guard| guard.release.as_mut().unwrap().over = true), "settling");
    let idle = |guard: &mut Guard| {
        guard.latch("partial", true, &mut vec![]);
        guard.release.as_mut().unwrap().over = true;
        guard.epoch.as_mut().unwrap().established = true;
    };
    assert_eq!(word(idle), "idle");
    let mut guard = armed();
    guard.latch("partial", true, &mut vec![]);
    assert_eq!(
        (guard.status(NOW).latched, guard.status(NOW).needs_human),
        (Some("partial"), Some("partial"))
    );
    guard.release.as_mut().unwrap().over = true;
    assert_eq!((guard.status(NOW).latched, guard.status(NOW).needs_human), (None, Some("partial")));
    guard.latch("reverted", false, &mut vec![]);
    assert_eq!(guard.status(NOW).needs_human, None);
}

#[test]
fn the_groups_of_every_state_that_may_be_returned_to_are_read() {
    let groups = |change: fn(&mut Guard)| {
        let mut guard = armed();
        guard.good.as_mut().unwrap().state = rig::state(0, 1);
        change(&mut guard);
        guard.groups().into_iter().map(String::from).collect::<Vec<_>>()
    };
    assert_eq!(groups(|_| {}), ["b", "g"]);
    assert_eq!(groups(|guard| guard.release = None), ["g"]);
    assert_eq!(groups(|guard| guard.good = None), ["b"]);
}

#[test]
fn what_people_are_told_of_has_a_name_of_its_own() {
    let names: BTreeSet<&str> = PageKind::ALL.into_iter().map(PageKind::name).collect();
    assert_eq!(names.len(), PageKind::ALL.len());
    assert_eq!(PageKind::Breach.name(), "breach");
}

#[test]
fn no_two_operations_and_no_two_intents_have_the_same_number() {
    let mut guard = armed();
    let ops: BTreeSet<OpId> = (0..5).map(|_| guard.op()).collect();
    let intents: BTreeSet<IntentId> = (0..5).map(|_| guard.new_intent()).collect();
    assert_eq!((ops.len(), intents.len()), (5, 5));
    guard.next_intent = 7;
    assert_eq!(guard.new_intent(), IntentId(7), "the first that the ledger doesn't have");
}

#[test]
fn a_release_is_under_judgement_until_it_is_over_or_its_time_is() {
    let mut guard = armed();
    let until = guard.release.as_ref().unwrap().until;
    assert!(guard.in_release(Mono(until.0 - 1)) && !guard.in_release(until));
    guard.release.as_mut().unwrap().over = true;
    assert!(!guard.in_release(Mono(until.0 - 1)));
}

#[test]
fn before_the_first_read_a_failed_one_is_tried_again_within_seconds() {
    let mut guard = armed();
    (guard.epoch, guard.release) = (None, None);
    assert!(guard.read_pause(NOW) < Duration::from_secs(2));
    guard.read_failed(NOW, ReadError::Timeout);
    assert!(guard.next_read.since(NOW) < Duration::from_secs(3), "{:?}", guard.next_read.since(NOW));
}

#[test]
fn replies_that_nothing_waits_for_are_counted() {
    let mut guard = peace();
    let late = OpId(99);
    let replies = [
        Event::Durable(late, Ok(())),
        Event::Wrote(late, WriteOutcome::Throttled),
        Event::Read(late, Err(ReadError::Throttled)),
    ];
    for (counted, reply) in replies.into_iter().enumerate() {
        assert_eq!(guard.late_replies(), counted as u64);
        guard.step(NOW, reply, &mut vec![]);
    }
    assert_eq!(guard.late_replies(), 3);
}
