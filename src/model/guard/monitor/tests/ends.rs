//! Budgets, ends, owners' calls, and what becomes of a guard that is wrong.

use super::*;
use crate::guard::rig::{latched, told, writes};
use crate::guard::{Depth, Phase, WriteOutcome};

#[test]
fn i11_the_budgets_of_an_hour_and_of_a_day() {
    let with = |ago: &[u64]| {
        let mut way = Way::new();
        let reverts_ago = ago.iter().map(|hours| Duration::from_mins(*hours)).collect();
        let memory = Recovered { reverts_ago, ..Recovered::default() };
        way.guard.policy.reverts_per_hour_max = 2;
        way.guard.policy.reverts_per_day_max = 3;
        way.monitor = Monitor::new(&way.guard.policy, &memory, NOW);
        way.ready().write(0)
    };
    assert_eq!(with(&[1, 60]), Ok(()));
    assert_eq!(breaks(with(&[1, 59])), "I11");
    assert_eq!(with(&[61, 62, 24 * 60]), Ok(()));
    assert_eq!(breaks(with(&[61, 62, 24 * 60 - 1])), "I11");
    // Its own count, whichever way AWS's yes is known, once.
    for seen in [false, true] {
        let mut way = Way::new();
        way.ready().write(0).unwrap();
        let (intent, release) = (way.intent.id, way.intent.release);
        if seen {
            way.wrote("unknown", "");
        } else {
            way.wrote("accepted", "l");
        }
        way.note(Record::Confirmed { intent });
        assert_eq!(way.monitor.reverts, [NOW]);
        way.note(Record::Held { release, reason: "".into(), needs_human: false });
        way.intent.release = ReleaseId(9);
        way.now = NOW.after(SECOND);
        way.durable();
        assert_eq!(breaks(way.read(read_of(state(0, 1))).write(0)), "I11");
    }
    let mut unknown = Way::new();
    unknown.ready().write(0).unwrap();
    assert_eq!(unknown.wrote("unknown", "l").monitor.reverts, []);
    let intent = unknown.intent.id;
    assert_eq!(unknown.note(Record::Confirmed { intent: IntentId(intent.0 + 1) }).monitor.reverts, []);
    assert_eq!(unknown.note(Record::Confirmed { intent }).monitor.reverts, [NOW]);
}

#[test]
fn i12_a_breach_is_acted_on_or_explained() {
    let breach = |way: &mut Way| {
        let (epoch, release) = (way.intent.epoch, way.intent.release);
        let evidence = crate::guard::rig::evidence();
        way.note(Record::Breach { epoch, release, evidence, says: "".into() });
    };
    let until = |way: &mut Way, end: Mono| {
        while way.now.after(LOOK_MAX) < end {
            way.now = way.now.after(LOOK_MAX);
            way.look(&[])?;
        }
        way.now = end;
        way.look(&[page(PageKind::Breach), page(PageKind::Bad), page(PageKind::Standing)])
    };
    let end = NOW.after(Way::new().monitor.evidence_age_max).after(ANSWER_MAX);
    let late = |way: &mut Way| until(way, end.after(Duration::from_nanos(1)));
    let mut way = Way::new();
    breach(&mut way);
    way.now = NOW.after(SECOND);
    breach(&mut way);
    assert_eq!(until(&mut way, end), Ok(()));
    assert_eq!(breaks(late(&mut way)), "I12");
    let mut frozen = Way::new();
    breach(&mut frozen);
    frozen.now = NOW.after(Duration::from_hours(1));
    assert_eq!(frozen.look(&[]), Ok(()), "an hour of which it saw nothing is no hour");
    let ends: [fn(&mut Way); 6] = [
        |way| way.look(&[page(PageKind::Refused)]).unwrap(),
        |way| _ = way.note(Record::Held { release: ReleaseId(1), reason: "".into(), needs_human: true }),
        |way| way.ready().write(0).unwrap(),
        |way| _ = way.hear(&Event::Drain),
        |way| {
            let Event::Judged(mut judgement) = broken(&way.guard) else { panic!() };
            judgement.verdict = Verdict::Good;
            way.hear(&Event::Judged(judgement));
        },
        |way| {
            way.note(Record::Epoch {
                epoch: EpochId(9),
                cause: crate::release::Cause::Foreign,
                release: None,
                label: None,
                state: None,
                shows: "".into(),
                after: NOW,
                since: NOW,
            });
        },
    ];
    for (index, end) in ends.iter().enumerate() {
        let mut way = Way::new();
        breach(&mut way);
        end(&mut way);
        assert_eq!(late(&mut way), Ok(()), "{index}");
    }
}

#[test]
fn a_call_of_the_owner_stands_for_every_rule_that_is_not_put_back() {
    let mut way = Way::of_two();
    way.intent.call = Some(stop("d-1"));
    assert_eq!(breaks(way.broken().call("d-1")), "I1");
    way.ready();
    assert_eq!(breaks(way.call("d-2")), "I1", "another deployment");
    assert_eq!(breaks(way.write(0)), "I1", "a write where the owner is to be called");
    assert_eq!(way.call("d-1"), Ok(()));
    let after = plan::after(&way.intent.before, &way.intent.writes);
    let half = plan::after(&way.intent.before, &way.intent.writes[..1]);
    assert_eq!(way.read(read_of(half)).call("d-1"), Ok(()));
    assert_eq!(breaks(way.call("d-1")), "I9");
    assert_eq!(breaks(way.read(read_of(after)).call("d-1")), "I2", "nothing is left");
}

#[test]
fn a_guard_that_is_wrong_is_stopped_and_acts_no_more() {
    // It has forgotten that somebody holds.
    let forgets = |begun: bool| {
        let mut guard = armed();
        guard.monitor = Way::new().monitor;
        let mut out = vec![];
        let (word, full) = (broken(&guard), Way::new().full());
        let mut op = OpId(0);
        let answer = |op, guard: &mut Guard, out: &mut Vec<Action>| {
            guard.step(NOW, Event::Read(op, Ok(full.clone())), out);
        };
        let asks = |out: &[Action]| {
            let op = |action: &Action| match action {
                Action::Read(op, Depth::Full | Depth::Marks)
                | Action::Persist(op, _)
                | Action::Write(op, _) => Some(*op),
                _ => None,
            };
            out.iter().rev().find_map(op).unwrap()
        };
        guard.step(NOW, word, &mut out);
        op = op.max(asks(&out));
        answer(op, &mut guard, &mut out);
        guard.step(NOW, Event::Durable(asks(&out), Ok(())), &mut out);
        if begun {
            answer(asks(&out), &mut guard, &mut out);
            guard.step(NOW, Event::Wrote(asks(&out), WriteOutcome::Unknown("".into())), &mut out);
            guard.lands_until = Mono(0);
            guard.step(NOW.after(SECOND), Event::Tick, &mut out);
        }
        assert!(matches!(guard.phase, Phase::Reading { .. }), "{out:?}");
        guard
    };
    for begun in [false, true] {
        let mut guard = forgets(begun);
        let Phase::Reading { op: Some(op), .. } = guard.phase else { panic!("{:?}", guard.phase) };
        let mut out =
            vec![Action::note(Record::WriteSent { intent: IntentId(1), attempt: 1, arn: "".into() })];
        guard.monitor.held_by_word = true;
        let full = Way::new().full();
        guard.step(NOW.after(SECOND), Event::Read(op, Ok(full)), &mut out);
        let sent = |action: &&Action| action.leads_to_a_call();
        assert_eq!(out.iter().filter(sent).count(), 1, "what was there before stays: {out:?}");
        let (kind, reason) =
            if begun { (PageKind::Partial, "partial") } else { (PageKind::Refused, "invariants") };
        assert_eq!((told(&out), latched(&guard)), (vec![kind], Some(reason)), "{begun}");
        let condition = guard.status(NOW).conditions.remove(0);
        assert_eq!((&*condition.name, condition.holds), ("invariants", false));
        assert!(condition.detail.contains("I7: somebody holds"), "{condition:?}");
        guard.monitor.held_by_word = false;
        let again = Way::new().intent;
        assert!(guard.monitor.look(NOW, &[Action::Persist(OpId(1), again)]).is_err(), "never again");
        assert!(!writes(&out));
    }
    assert!(armed().status(NOW).conditions.remove(0).holds);
}
