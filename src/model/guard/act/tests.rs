//! From the breach to the intent, at the edges of its deadlines.

use super::*;
use crate::guard::rig::{NOW, armed, course, evidence, intent, latched, rule, shows, state, told};
use crate::listener::ListenerState;
use crate::record::IntentId;

const TICK: Duration = Duration::from_nanos(1);

/// In a preflight that began so long ago, its read out since then.
fn preflight(ago: Duration, tries: u32) -> Guard {
    let mut guard = armed();
    let (since, at) = (NOW.before(ago), NOW.before(ago).after(REPLY_MAX));
    guard.phase = Phase::Preflight { op: Some(OpId(70)), evidence: evidence(), since, tries, at };
    guard
}

fn step(guard: &mut Guard, error: ReadError) -> Vec<Action> {
    let mut out = vec![];
    guard.preflight_read(NOW, &Err(error), &mut out);
    out
}

#[test]
fn who_drains_or_has_no_lever_begins_nothing() {
    let mut draining = armed();
    draining.draining = true;
    let mut out = vec![];
    draining.preflight(NOW, evidence(), &mut out);
    assert!(out.is_empty() && draining.may_stop());
    let mut bare = armed();
    bare.policy.has_lever = false;
    bare.preflight(NOW, evidence(), &mut out);
    assert_eq!(latched(&bare), Some("lever"));
    let mut able = armed();
    able.preflight(NOW, evidence(), &mut out);
    assert!(matches!(out.last(), Some(Action::Read(_, Depth::Full))));
}

#[test]
fn a_preflight_tries_to_read_for_fifteen_seconds() {
    for (tries, millis) in [(0, 200), (1, 400), (2, 800), (3, 1_600), (4, 3_200), (9, 3_200)] {
        let mut guard = preflight(PREFLIGHT_MAX.saturating_sub(TICK), tries);
        step(&mut guard, ReadError::Throttled);
        let again = NOW.after(Duration::from_millis(millis));
        let Phase::Preflight { op: None, tries: n, at, .. } = guard.phase else {
            panic!("{:?}", guard.phase)
        };
        assert_eq!((n, at), (tries + 1, again));
    }
    let mut guard = preflight(PREFLIGHT_MAX, 0);
    assert_eq!(told(&step(&mut guard, ReadError::Throttled)), [PageKind::Refused]);
    assert_eq!(latched(&guard), Some("listener-read"));
}

#[test]
fn what_waiting_will_not_mend_is_refused_at_once() {
    for error in [ReadError::Denied("x".into()), ReadError::NotFound("x".into())] {
        let mut guard = preflight(Duration::ZERO, 0);
        step(&mut guard, error);
        assert_eq!(latched(&guard), Some("listener-read"));
    }
}

#[test]
fn only_the_reply_that_is_waited_for_is_taken() {
    let mut guard = armed();
    let (intent, at, since) = (intent(&guard), NOW.after(REPLY_MAX), NOW);
    let op = Some(OpId(70));
    let phases = [
        Phase::Preflight { op, evidence: evidence(), since, tries: 0, at },
        Phase::Reading { op, course: course(intent.clone(), 1, false), at },
        Phase::Confirming { op, intent, at, since },
    ];
    let failed: Result<Observed, ReadError> = Err(ReadError::Throttled);
    for phase in phases {
        guard.phase = phase.clone();
        assert!(!guard.acting_read(NOW, OpId(71), &failed, &mut vec![]), "{phase:?}");
        assert!(guard.acting_read(NOW, OpId(70), &failed, &mut vec![]), "{phase:?}");
    }
}

#[test]
fn the_intent_may_be_written_while_its_evidence_is_fresh() {
    let mut guard = preflight(Duration::ZERO, 0);
    guard.next_intent = 9;
    let mut out = vec![];
    guard.decide(NOW, &evidence(), &mut out);
    let Phase::Intending { intent, at, .. } = &guard.phase else { panic!("{:?}", guard.phase) };
    assert_eq!(intent.id, IntentId(9), "the first that the ledger doesn't have");
    assert_eq!((intent.deadline, *at), (NOW.after(Duration::from_secs(30)), NOW.after(REPLY_MAX)));
    assert!(matches!(out.last(), Some(Action::Persist(..))));
}

#[test]
fn a_verdict_that_went_away_ends_the_preflight_without_a_latch_and_old_evidence_with_one() {
    let mut good = preflight(Duration::ZERO, 0);
    good.judged.as_mut().unwrap().verdict = crate::verdict::Verdict::Good;
    good.decide(NOW, &evidence(), &mut vec![]);
    assert_eq!((latched(&good), good.may_stop()), (None, true));
    let mut old = preflight(Duration::ZERO, 0);
    let stale = Evidence { last_bad: NOW.before(Duration::from_secs(31)), ..evidence() };
    old.decide(NOW, &stale, &mut vec![]);
    assert_eq!(latched(&old), Some("evidence"));
}

/// Every phase that waits for a reply until `at`.
fn waiting(guard: &Guard, at: Mono) -> Vec<Phase> {
    let (intent, op, since) = (intent(guard), OpId(70), NOW);
    vec![
        Phase::Preflight { op: Some(op), evidence: evidence(), since, tries: 0, at },
        Phase::Preflight { op: None, evidence: evidence(), since, tries: 0, at },
        Phase::Intending { op, intent: intent.clone(), at },
        Phase::Reading { op: Some(op), course: course(intent.clone(), 1, false), at },
        Phase::Reading { op: None, course: course(intent.clone(), 1, false), at },
        Phase::Writing { op, course: course(intent.clone(), 1, false), arn: "l".into(), at },
        Phase::Confirming { op: Some(op), intent: intent.clone(), at, since },
        Phase::Confirming { op: None, intent: intent.clone(), at, since },
        Phase::Verifying { op, intent, at },
    ]
}

#[test]
fn every_wait_ends_at_its_time_and_not_before() {
    let guard = armed();
    for phase in waiting(&guard, NOW) {
        for (now, over) in [(Mono(NOW.0 - 1), false), (NOW, true)] {
            let mut guard = guard.clone();
            guard.phase = phase.clone();
            guard.deadlines(now, &mut vec![]);
            let changed = format!("{:?}", guard.phase) != format!("{phase:?}");
            assert_eq!(changed, over, "{phase:?}");
        }
    }
}

#[test]
fn a_wait_that_is_over_wakes_the_guard() {
    let mut guard = armed();
    (guard.reading, guard.next_read, guard.next_pulse) = (None, Mono(u64::MAX), Mono(u64::MAX));
    for phase in waiting(&guard, NOW) {
        guard.phase = phase.clone();
        assert_eq!(guard.wake_at(), NOW, "{phase:?}");
    }
}

/// After a restart with an intent, the listener showing `now`.
fn resumed(now: ListenerState, change: impl FnOnce(&mut Recovered)) -> (Guard, Vec<Action>) {
    resumed_from(&armed(), now, change)
}

fn resumed_from(
    before: &Guard,
    now: ListenerState,
    change: impl FnOnce(&mut Recovered),
) -> (Guard, Vec<Action>) {
    let intent = *intent(before);
    let release = before.release.as_ref().unwrap();
    let mut memory = Recovered {
        release: Some(crate::recover::Remembered {
            id: release.id,
            label: None,
            base: release.base.clone(),
            cutover_ago: Duration::from_mins(1),
            first: release.first,
            irreversible: false,
            latch: None,
            over: true,
        }),
        ..Recovered::default()
    };
    change(&mut memory);
    let mut guard = Guard::new(before.policy.clone(), memory.clone(), NOW);
    guard.take(NOW, shows(now));
    let mut out = vec![];
    guard.resume_intent(NOW, &memory, intent, &mut out);
    (guard, out)
}

#[test]
fn a_revert_that_is_in_when_we_are_back_is_proved_and_counted_once() {
    for spent in [false, true] {
        let (guard, _) = resumed(state(1, 0), |memory| memory.intent_spent = spent);
        assert!(matches!(guard.phase, Phase::Verifying { .. }), "{:?}", guard.phase);
        assert_eq!(guard.reverts.len(), usize::from(!spent));
        assert_eq!(guard.release.as_ref().map(|release| release.over), Some(false));
    }
}

#[test]
fn a_revert_that_is_not_in_is_given_up_and_the_release_judged_while_its_time_lasts() {
    let abandoned = |out: &[Action]| {
        let over = |line: &Record| matches!(line, Record::Abandoned { intent: IntentId(7), .. });
        out.iter().any(|action| matches!(action, Action::Note(line) if over(line)))
    };
    for (away, over) in
        [(Duration::from_mins(15).saturating_sub(TICK), false), (Duration::from_mins(15), true)]
    {
        let (guard, out) = resumed(state(0, 1), |memory| {
            memory.release.as_mut().unwrap().cutover_ago = away;
        });
        assert!(abandoned(&out) && guard.may_stop());
        assert_eq!(guard.release.as_ref().map(|release| release.over), Some(over), "{away:?}");
        assert!(guard.unproved.is_some(), "its call may have gone out, whatever the ledger has of it");
        assert_eq!(guard.lands_until, NOW.after(LANDS_WITHIN));
    }
    let (guard, out) = resumed(state(5, 5), |_| {});
    assert!(abandoned(&out));
    assert_eq!((latched(&guard), told(&out)), (Some("overridden"), vec![PageKind::Overridden]));
}

#[test]
fn between_two_writes_what_is_left_is_for_a_person_who_is_told_how_much() {
    let both = |first, second| {
        ListenerState::from(vec![rule("443", first, 1 - first), rule("80", second, 1 - second)])
    };
    let mut before = armed();
    before.live.as_mut().unwrap().state = both(0, 0);
    before.release.as_mut().unwrap().base.as_mut().unwrap().state = both(1, 1);
    for (now, spent) in [(both(1, 0), false), (both(0, 1), false), (both(1, 0), true)] {
        let (guard, out) = resumed_from(&before, now, |memory| memory.intent_spent = spent);
        assert_eq!((latched(&guard), told(&out)), (Some("partial"), vec![PageKind::Partial]));
        let says = |action: &Action| match action {
            Action::Page(page) => page.text.contains("1 of 2 rules are put back"),
            _ => false,
        };
        assert!(out.iter().any(says), "{out:?}");
        assert_eq!(guard.reverts.len(), usize::from(!spent), "counted once");
        assert_eq!(guard.epoch.as_ref().map(|epoch| epoch.cause), Some(Cause::OwnRevert));
        assert_eq!(guard.release.as_ref().map(|release| release.over), Some(false));
        assert!(guard.unproved.is_some(), "who puts the rest back gets the proof");
    }
    let (guard, out) = resumed_from(&before, both(0, 0), |_| {});
    assert_eq!((latched(&guard), told(&out), guard.reverts.len()), (None, vec![], 0), "nothing had begun");
}

#[test]
fn a_call_of_before_a_restart_that_takes_effect_late_is_among_the_reverts_once() {
    let mut guard = armed();
    let late = intent(&guard);
    (guard.unproved, guard.uncounted) = (Some(late.clone()), Some(late.id));
    guard.take(NOW, shows(state(1, 0)));
    guard.compare(NOW, NOW, &mut vec![]);
    assert_eq!((guard.reverts.as_slice(), guard.uncounted), ([NOW].as_slice(), None));
    assert!(matches!(guard.phase, Phase::Verifying { .. }), "its proof is owed");
}

#[test]
fn a_call_that_may_still_arrive_holds_the_next_one_back_after_a_restart_too() {
    let until = |sent_ago| {
        let memory = Recovered { sent_ago, ..Recovered::default() };
        Guard::new(armed().policy, memory, NOW).lands_until
    };
    assert_eq!(until(None), Mono(0));
    assert_eq!(until(Some(Duration::from_secs(2))), NOW.after(Duration::from_secs(3)));
    assert_eq!(until(Some(Duration::from_hours(1))), NOW);
}
