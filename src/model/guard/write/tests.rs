//! The acting path at its edges, from the intent to the proof.

use super::*;
use crate::guard::Proof;
use crate::guard::rig::{NOW, armed, course, intent, latched, rule, shows, state, told, writes};
use crate::listener::Stickiness;
use crate::verdict::Verdict;

const TICK: Duration = Duration::from_nanos(1);

/// Directly before a write.
fn reading(attempt: u32, sent: bool) -> Guard {
    let mut guard = armed();
    let intent = intent(&guard);
    guard.phase = Phase::Reading {
        op: Some(OpId(70)),
        course: course(intent, attempt, sent),
        at: NOW.after(REPLY_MAX),
    };
    guard
}

/// With a write out since three seconds.
fn writing(attempt: u32, sent: bool) -> Guard {
    let mut guard = armed();
    let (intent, at) = (intent(&guard), NOW.before(Duration::from_secs(3)).after(REPLY_MAX));
    guard.phase = Phase::Writing { op: OpId(71), course: course(intent, attempt, sent), arn: "l".into(), at };
    guard
}

/// The last look before the write, at `now`.
fn look(guard: &mut Guard, now: Mono) -> Vec<Action> {
    let Phase::Reading { course, .. } = guard.phase.clone() else { panic!("{guard:?}") };
    let write = course.intent.writes[0].clone();
    let mut out = vec![];
    guard.write_or_leave(now, course, &write, &mut out);
    out
}

/// Until when the next read waits, and the attempt it belongs to.
fn waits(guard: &Guard) -> Option<(Mono, u32)> {
    match &guard.phase {
        Phase::Reading { op: None, at, course } => Some((*at, course.attempt)),
        _ => None,
    }
}

#[test]
fn a_reply_to_what_was_given_up_is_counted_and_changes_nothing() {
    let op = OpId(99);
    let replies: [fn(&mut Guard, OpId); 3] = [
        |guard, op| guard.durable(NOW, op, Ok(()), &mut vec![]),
        |guard, op| guard.wrote(NOW, op, WriteOutcome::Throttled, &mut vec![]),
        |guard, op| guard.verified(NOW, op, &Proof::NotShown("".into()), &mut vec![]),
    ];
    let mut open = armed();
    let (intent, at) = (intent(&open), NOW);
    let phases = [
        Phase::Watching,
        Phase::Intending { op: OpId(1), intent: intent.clone(), at },
        Phase::Writing { op: OpId(1), course: course(intent.clone(), 1, false), arn: "l".into(), at },
        Phase::Verifying { op: OpId(1), intent, at },
    ];
    for phase in phases {
        for reply in replies {
            (open.phase, open.late_replies) = (phase.clone(), 3);
            reply(&mut open, op);
            assert_eq!((open.late_replies, latched(&open)), (4, None), "{phase:?}");
            assert_eq!(std::mem::discriminant(&open.phase), std::mem::discriminant(&phase));
        }
    }
}

#[test]
fn a_write_goes_out_until_its_deadline_and_five_times_at_most() {
    let deadline = NOW.after(Duration::from_secs(30));
    assert!(writes(&look(&mut reading(5, false), deadline)));
    for (mut guard, now) in [(reading(6, false), NOW), (reading(1, false), deadline.after(TICK))] {
        assert!(!writes(&look(&mut guard, now)));
        assert_eq!(latched(&guard), Some("deadline"));
    }
}

#[test]
fn after_a_write_that_is_unknown_whatever_forbids_the_next_calls_a_person() {
    let forbids: [fn(&mut Guard); 5] = [
        |guard| guard.hold = Some("incident".into()),
        |guard| guard.live.as_mut().unwrap().marks.hold = Some("incident".into()),
        |guard| guard.live.as_mut().unwrap().marks.irreversible = Some("tag".into()),
        |guard| guard.draining = true,
        |guard| guard.judged.as_mut().unwrap().verdict = Verdict::Good,
    ];
    assert!(writes(&look(&mut reading(2, true), NOW)), "nothing forbids it");
    for (n, forbid) in forbids.into_iter().enumerate() {
        let mut guard = reading(2, true);
        forbid(&mut guard);
        let out = look(&mut guard, NOW);
        assert_eq!((writes(&out), latched(&guard)), (false, Some("partial")), "{n}");
        assert_eq!(told(&out), [PageKind::Partial]);
        assert_eq!(guard.reverts, [NOW], "it may have had its effect: {n}");
    }
}

#[test]
fn what_was_sent_is_looked_for_ten_seconds_beyond_the_deadline() {
    let deadline = NOW.after(Duration::from_secs(30));
    for (attempt, now) in [(2, deadline.after(TICK)), (2, deadline.after(CONFIRM_MAX)), (6, NOW)] {
        let mut guard = reading(attempt, true);
        assert!(!writes(&look(&mut guard, now)));
        let pause = Duration::from_millis(if attempt == 2 { 800 } else { 6_400 });
        assert_eq!(waits(&guard), Some((now.after(pause), attempt)));
    }
    let mut guard = reading(2, true);
    look(&mut guard, deadline.after(CONFIRM_MAX).after(TICK));
    assert_eq!(latched(&guard), Some("partial"));
}

#[test]
fn while_a_write_may_still_land_no_second_one_is_sent() {
    let mut guard = reading(2, true);
    guard.lands_until = NOW.after(Duration::from_secs(1));
    assert!(!writes(&look(&mut guard, NOW)));
    assert_eq!(waits(&guard), Some((NOW.after(Duration::from_millis(400)), 2)));
    let mut guard = reading(2, true);
    guard.lands_until = NOW.after(TICK);
    assert!(!writes(&look(&mut guard, NOW)));
    assert_eq!(waits(&guard), Some((NOW.after(TICK), 2)), "no longer than that");
    let mut guard = reading(2, true);
    guard.lands_until = NOW;
    assert!(writes(&look(&mut guard, NOW)));
}

#[test]
fn a_release_that_is_irreversible_is_not_written_over_by_word_or_by_tag() {
    let marks: [fn(&mut Guard); 2] = [
        |guard| guard.release.as_mut().unwrap().irreversible = true,
        |guard| guard.live.as_mut().unwrap().marks.irreversible = Some("tag".into()),
    ];
    for mark in marks {
        let mut guard = reading(1, false);
        mark(&mut guard);
        assert!(!writes(&look(&mut guard, NOW)));
        assert_eq!(latched(&guard), Some("reversible"));
    }
}

#[test]
fn each_try_waits_twice_as_long_as_the_one_before() {
    for (attempt, millis) in [(1, 800), (2, 1_600), (3, 3_200), (4, 6_400)] {
        let mut guard = writing(attempt, false);
        guard.wrote(NOW, OpId(71), WriteOutcome::Throttled, &mut vec![]);
        assert_eq!(waits(&guard), Some((NOW.after(Duration::from_millis(millis)), attempt + 1)));
    }
}

/// AWS has noticed that somebody wrote between our read and our write.
#[test]
fn a_write_that_somebody_else_came_before_is_made_again_over_what_was_judged_and_over_nothing_else() {
    let raced = || {
        let (mut guard, mut out) = (writing(1, false), vec![]);
        guard.wrote(NOW, OpId(71), WriteOutcome::Raced("Precondition".into()), &mut out);
        assert_eq!((waits(&guard), told(&out)), (Some((NOW.after(Duration::from_millis(800)), 2)), vec![]));
        let mut out = vec![];
        guard.deadlines(NOW.after(Duration::from_secs(1)), &mut out);
        assert!(matches!(out[..], [Action::Read(_, Depth::Marks)]), "{out:?}");
        guard
    };
    let reads = |mut guard: Guard, state| {
        let mut out = vec![];
        guard.reread(NOW.after(Duration::from_secs(1)), &Ok(shows(state)), &mut out);
        (writes(&out), told(&out))
    };
    assert_eq!(reads(raced(), state(0, 1)), (true, vec![]), "it changed nothing that routes");
    assert_eq!(reads(raced(), state(50, 50)), (false, vec![PageKind::Overridden]));
}

#[test]
fn a_write_without_a_known_end_may_land_until_five_seconds_after_it_was_sent() {
    let mut guard = writing(1, false);
    guard.wrote(NOW, OpId(71), WriteOutcome::Unknown("cut".into()), &mut vec![]);
    assert_eq!(guard.lands_until, NOW.before(Duration::from_secs(3)).after(LANDS_WITHIN));
    assert_eq!(waits(&guard), Some((NOW.after(Duration::from_millis(800)), 2)));
    assert!(matches!(&guard.phase, Phase::Reading { course, .. } if course.doubtful.is_some()));
}

#[test]
fn trying_again_ends_with_the_deadline_and_finding_out_ten_seconds_later() {
    let deadline = NOW.after(Duration::from_secs(30));
    // The first pause is 400 ms: the last try is so much before the end.
    let pause = Duration::from_millis(400);
    for (sent, end, reason) in [(false, deadline, "deadline"), (true, deadline.after(CONFIRM_MAX), "partial")]
    {
        let mut guard = reading(1, sent);
        let intent = intent(&guard);
        guard.again(end.before(pause), course(intent.clone(), 1, sent), "cut", &mut vec![]);
        assert_eq!((latched(&guard), waits(&guard)), (None, Some((end, 1))));
        guard.again(end.before(pause).after(TICK), course(intent, 1, sent), "cut", &mut vec![]);
        assert_eq!(latched(&guard), Some(reason));
    }
    let mut guard = reading(1, false);
    let intent = intent(&guard);
    guard.again(NOW, course(intent.clone(), 5, false), "cut", &mut vec![]);
    assert_eq!(latched(&guard), None);
    guard.again(NOW, course(intent, 6, false), "cut", &mut vec![]);
    assert_eq!(latched(&guard), Some("deadline"));
}

#[test]
fn a_write_that_reading_back_does_not_show_calls_a_person_after_ten_seconds() {
    let confirming = |ago: Duration| {
        let mut guard = armed();
        let (intent, since) = (intent(&guard), NOW.before(ago));
        guard.phase = Phase::Confirming { op: Some(OpId(72)), intent, at: NOW.after(REPLY_MAX), since };
        guard.read_back(NOW, &Ok(shows(state(0, 1))), &mut vec![]);
        guard
    };
    let guard = confirming(CONFIRM_MAX.saturating_sub(TICK));
    assert_eq!(latched(&guard), None);
    assert!(matches!(guard.phase, Phase::Confirming { op: None, at, .. } if at == NOW.after(RETRY)));
    assert_eq!(latched(&confirming(CONFIRM_MAX)), Some("partial"));
}

#[test]
fn a_third_state_on_reading_back_is_told_of_at_once() {
    let mut guard = armed();
    let intent = intent(&guard);
    guard.phase = Phase::Confirming { op: Some(OpId(72)), intent, at: NOW.after(REPLY_MAX), since: NOW };
    guard.read_back(NOW, &Ok(shows(state(1, 1))), &mut vec![]);
    assert_eq!(latched(&guard), Some("overridden"));
}

#[test]
fn a_state_that_is_neither_the_old_nor_ours_is_left_to_whoever_made_it() {
    let mut guard = reading(1, false);
    let mut out = vec![];
    guard.reread(NOW, &Ok(shows(state(50, 50))), &mut out);
    assert_eq!((writes(&out), latched(&guard)), (false, Some("overridden")));
    let mut guard = writing(1, false);
    guard.take(NOW, shows(state(50, 50)));
    guard.glimpse(NOW, &mut out);
    assert_eq!((guard.unproved.is_none(), latched(&guard)), (true, Some("overridden")));
}

#[test]
fn what_a_read_shows_before_our_first_write_is_not_taken_for_it() {
    // Somebody else has put it back: there is nothing of ours to prove.
    let mut guard = reading(1, false);
    guard.reread(NOW, &Ok(shows(state(1, 0))), &mut vec![]);
    assert_eq!((guard.reverts.len(), latched(&guard)), (0, Some("overridden")));
    // One that is still owed may be it, and so may one that was sent.
    let mut owed = reading(1, false);
    owed.unproved = Some(Box::new(Intent { id: crate::record::IntentId(6), ..*intent(&owed) }));
    for mut guard in [owed, reading(1, true)] {
        guard.reread(NOW, &Ok(shows(state(1, 0))), &mut vec![]);
        assert_eq!(guard.reverts, [NOW]);
        assert!(matches!(guard.phase, Phase::Verifying { .. }));
    }
}

#[test]
fn the_budget_is_spent_by_what_may_have_had_an_effect_and_by_nothing_else() {
    let spent = |mut guard: Guard| {
        guard.partial(NOW, "why", &mut vec![]);
        guard.reverts.len()
    };
    assert_eq!(spent(reading(1, false)), 0);
    assert_eq!(spent(reading(2, true)), 1);
    assert_eq!(spent(writing(1, false)), 1);
}

#[test]
fn a_write_that_was_accepted_is_paid_for_and_read_back_at_once() {
    let mut guard = writing(1, false);
    let mut out = vec![];
    guard.wrote(NOW, OpId(71), WriteOutcome::Accepted("id".into()), &mut out);
    assert_eq!(guard.reverts, [NOW]);
    assert!(guard.unproved.is_some());
    assert!(matches!(out.last(), Some(Action::Read(_, Depth::Listener))));
    assert!(matches!(guard.phase, Phase::Confirming { op: Some(_), since: NOW, .. }), "{:?}", guard.phase);
}

#[test]
fn a_write_that_is_refused_is_a_refusal_unless_an_earlier_one_may_be_in() {
    for (sent, reason) in [(false, "write-refused"), (true, "partial")] {
        let mut guard = writing(2, sent);
        guard.wrote(NOW, OpId(71), WriteOutcome::Refused("AccessDenied".into()), &mut vec![]);
        assert_eq!(latched(&guard), Some(reason));
    }
}

#[test]
fn a_revert_that_is_proved_is_told_with_the_groups_that_serve_and_those_that_stand_by() {
    let alone = || {
        let mut rule = rule("l", 1, 0);
        rule.forward.as_mut().unwrap().groups.truncate(1);
        rule
    };
    let mut sticky = rule("l", 1, 0);
    sticky.forward.as_mut().unwrap().stickiness =
        Some(Stickiness { enabled: Some(true), duration_s: Some(3_600) });
    for (shown, known, sides, stays) in [
        (rule("l", 1, 0), state(1, 0), "live: b; idle: g;", false),
        (sticky, state(1, 0), "live: b; idle: g;", true),
        (alone(), alone().into(), "live: b; idle: none;", false),
    ] {
        let mut guard = armed();
        guard.phase = Phase::Verifying { op: OpId(73), intent: intent(&guard), at: NOW };
        guard.good = None;
        guard.release.as_mut().unwrap().base.as_mut().unwrap().state = known;
        guard.take(NOW, shows(shown.into()));
        let (mut out, proof) = (vec![], Proof::Shown { answers: 20, addresses: 2 });
        guard.verified(NOW, OpId(73), &proof, &mut out);
        let text = |action: &Action| match action {
            Action::Page(page) => Some(page.text.to_string()),
            _ => None,
        };
        let page = out.iter().find_map(text).unwrap();
        assert!(page.contains(sides) && page.contains("reverted to b: 20 of 20"), "{page}");
        assert_eq!(page.contains("for 3600 s"), stays, "{page}");
        assert_eq!((latched(&guard), guard.unproved.is_none()), (Some("reverted"), true));
    }
}

#[test]
fn an_intent_that_is_on_disk_is_read_for_and_written_and_one_that_cannot_be_is_refused() {
    let begin = |result| {
        let mut guard = armed();
        guard.phase = Phase::Intending { op: OpId(74), intent: intent(&guard), at: NOW };
        let mut out = vec![];
        guard.durable(NOW, OpId(74), result, &mut out);
        (guard, out)
    };
    let (mut guard, out) = begin(Ok(()));
    let [Action::Read(op, Depth::Marks)] = out.as_slice() else { panic!("{out:?}") };
    let mut out = vec![];
    guard.read(NOW, *op, Ok(shows(state(0, 1))), &mut out);
    assert!(writes(&out) && guard.late_replies() == 0, "{out:?}");
    let (full, out) = begin(Err(Full("no space".into())));
    assert_eq!((latched(&full), told(&out)), (Some("ledger"), vec![PageKind::Refused]));
}
