use super::*;
use crate::guard::rig::{NOW, armed, evidence, latched, shows, state, told};
use crate::guard::{Command, Event, Marks, Observed, OpId, ReadError, WriteOutcome};
use crate::owner::{By, Call, Deployer, Deployment, Owner};
use crate::record::Record;
use crate::release::Cause;

const ARN: &str = "arn:aws:ecs:eu-west-1:1:service-deployment/c/shop/d1";

fn ecs(stage: DeploymentStage) -> Owner {
    newest(ARN, stage)
}

fn newest(id: &str, stage: DeploymentStage) -> Owner {
    let newest = Some(Deployment { id: id.into(), stage, unwatched: None });
    Owner::Deployer(Deployer { by: By::Ecs, service: "shop".into(), newest })
}

fn running(hook: Option<&str>) -> Owner {
    ecs(DeploymentStage::Running { hook: hook.map(Into::into) })
}

/// What a read with marks shows.
fn read(blue: i32, green: i32, owner: &Owner) -> Observed {
    Observed { marks: Some(Marks::of(owner.clone())), ..shows(state(blue, green)) }
}

/// A guard whose listener belongs to ECS, with what it does next.
struct Rig {
    guard: Guard,
    now: Mono,
    out: Vec<Action>,
}

impl Rig {
    /// Broken, with the intent on its way to disk.
    fn intending(owner: &Owner) -> Self {
        let mut guard = armed();
        guard.live.as_mut().unwrap().marks = Marks::of(owner.clone());
        let mut rig = Self { guard, now: NOW, out: vec![] };
        rig.guard.preflight(NOW, evidence(), &mut rig.out);
        rig.guard.decide(NOW, &evidence(), &mut rig.out);
        rig
    }

    /// The intent is on disk and the read before the call is out.
    fn reading(owner: &Owner) -> Self {
        let mut rig = Self::intending(owner);
        let op = rig.open(|action| matches!(action, Action::Persist(..)));
        rig.step(Event::Durable(op, Ok(())));
        rig
    }

    /// The call is out.
    fn calling(owner: &Owner) -> Self {
        let mut rig = Self::reading(owner);
        rig.answer(0, 1, owner);
        assert_eq!(rig.calls().len(), 1, "{:?}", rig.out);
        rig
    }

    fn step(&mut self, event: Event) {
        self.guard.step(self.now, event, &mut self.out);
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now.after(time);
        self.step(Event::Tick);
    }

    /// The operation that was asked for last.
    fn open(&self, wanted: impl Fn(&Action) -> bool) -> OpId {
        let action = self.out.iter().rev().find(|action| wanted(action)).expect("it was asked for");
        match action {
            Action::Read(op, _)
            | Action::Persist(op, _)
            | Action::Call(op, _)
            | Action::Write(op, _)
            | Action::Verify(op, _) => *op,
            other => panic!("{other:?} has no operation"),
        }
    }

    /// The read that is out shows this.
    fn answer(&mut self, blue: i32, green: i32, owner: &Owner) {
        let op = self.open(|action| matches!(action, Action::Read(..)));
        self.step(Event::Read(op, Ok(read(blue, green, owner))));
    }

    fn called(&mut self, outcome: WriteOutcome) {
        let op = self.open(|action| matches!(action, Action::Call(..)));
        self.step(Event::Wrote(op, outcome));
    }

    fn calls(&self) -> Vec<&Call> {
        let mut calls = vec![];
        for action in &self.out {
            if let Action::Call(_, call) = action {
                calls.push(call);
            }
        }
        calls
    }

    fn proves(&self) -> bool {
        self.out.iter().any(|action| matches!(action, Action::Verify(..)))
    }

    fn refused(&self) -> Vec<&str> {
        let mut reasons = vec![];
        for action in &self.out {
            if let Action::Note(record) = action
                && let Record::Refused { reason, .. } = &**record
            {
                reasons.push(&**reason);
            }
        }
        reasons
    }
}

fn stop() -> Call {
    Call::StopServiceDeployment { deployment: ARN.into() }
}

fn accepted() -> WriteOutcome {
    WriteOutcome::Accepted("request-1".into())
}

#[test]
fn what_ecs_owns_is_put_back_by_ecs_and_never_written() {
    let mut rig = Rig::calling(&running(None));
    assert_eq!(rig.calls(), [&stop()]);
    assert!(!crate::guard::rig::writes(&rig.out));
    rig.called(accepted());
    rig.answer(0, 1, &ecs(DeploymentStage::RollingBack));
    assert!(!rig.proves());
    // On its way ECS may show what neither was judged nor recorded.
    rig.wait(Duration::from_secs(1));
    rig.answer(1, 1, &ecs(DeploymentStage::RollingBack));
    assert_eq!(latched(&rig.guard), None);
    rig.wait(Duration::from_secs(1));
    rig.answer(1, 0, &ecs(DeploymentStage::RolledBack));
    assert!(rig.proves());
    assert_eq!(rig.guard.epoch.as_ref().unwrap().cause, Cause::OwnRevert);
    assert_eq!(rig.calls().len(), 1);
    let op = rig.open(|action| matches!(action, Action::Verify(..)));
    rig.step(Event::Verified(op, crate::guard::Proof::Shown { answers: 20, addresses: 2 }));
    assert_eq!(latched(&rig.guard), Some("reverted"));
    let text = rig.out.iter().rev().find_map(|action| match action {
        Action::Page(page) => Some(page.text.clone()),
        _ => None,
    });
    assert!(text.unwrap().contains(&format!("by StopServiceDeployment of {ARN}")));
}

#[test]
fn the_intent_names_the_call_and_the_ledger_the_deployment() {
    let rig = Rig::calling(&running(None));
    let named = rig.out.iter().find_map(|action| match action {
        Action::Note(record) => match &**record {
            Record::WriteSent { arn, .. } => Some(arn.clone()),
            _ => None,
        },
        _ => None,
    });
    assert_eq!(named.as_deref(), Some(ARN));
    let intent = rig.out.iter().find_map(|action| match action {
        Action::Persist(_, intent) => Some(intent.clone()),
        _ => None,
    });
    assert_eq!(intent.unwrap().call, Some(stop()));
}

#[test]
fn an_owner_puts_back_what_was_there_whatever_style_is_configured() {
    let mut rig = Rig::intending(&running(None));
    rig.guard.policy.revert_style = crate::plan::Style::Exclusive;
    let (evidence, mut out) = (evidence(), vec![]);
    rig.guard.preflight(NOW, evidence.clone(), &mut out);
    rig.guard.decide(NOW, &evidence, &mut out);
    let back = state(1, 0).rules()[0].fingerprint();
    let becomes = out.iter().find_map(|action| match action {
        Action::Persist(_, intent) => Some(intent.writes[0].becomes.clone()),
        _ => None,
    });
    assert_eq!(becomes, Some(back));
}

#[test]
fn a_hook_that_begins_to_wait_is_answered_and_one_that_ended_is_not() {
    let mut rig = Rig::reading(&running(None));
    rig.answer(0, 1, &running(Some("h")));
    let hook = Call::ContinueServiceDeployment { deployment: ARN.into(), hook: "h".into() };
    assert_eq!(rig.calls(), [&hook]);
    let mut rig = Rig::reading(&running(Some("h")));
    rig.answer(0, 1, &running(None));
    assert_eq!(rig.calls(), [&stop()]);
}

#[test]
fn whose_it_is_decides_whether_anything_is_done() {
    let foreign = [
        Owner::Unknown("denied".into()),
        Owner::Other("kube".into()),
        ecs(DeploymentStage::RollingBack),
        ecs(DeploymentStage::Over("CLEAN_UP".into())),
    ];
    for owner in foreign {
        let rig = Rig::intending(&owner);
        assert_eq!(rig.refused(), ["owner"], "{owner:?}");
        assert_eq!(latched(&rig.guard), Some("owner"));
        assert!(!rig.out.iter().any(|action| matches!(action, Action::Persist(..))));
    }
}

#[test]
fn a_deployment_that_went_on_before_our_call_is_left_alone() {
    let gone = [
        ecs(DeploymentStage::Over("SUCCESSFUL".into())),
        ecs(DeploymentStage::RollingBack),
        ecs(DeploymentStage::RollbackFailed("x".into())),
        newest("another", DeploymentStage::Running { hook: None }),
        Owner::Nobody,
        Owner::Unknown("throttled".into()),
    ];
    for owner in gone {
        let mut rig = Rig::reading(&running(None));
        rig.answer(0, 1, &owner);
        assert_eq!((rig.calls().len(), rig.refused()), (0, vec!["owner"]), "{owner:?}");
        let abandoned = |action: &Action| matches!(action, Action::Note(record) if matches!(**record, Record::Abandoned { .. }));
        assert!(rig.out.iter().any(abandoned), "{owner:?}");
    }
}

#[test]
fn another_state_before_our_call_is_somebody_elses() {
    for (blue, green) in [(1, 0), (1, 1)] {
        let mut rig = Rig::reading(&running(None));
        rig.answer(blue, green, &running(None));
        assert_eq!(rig.calls().len(), 0);
        assert_eq!(latched(&rig.guard), Some("overridden"), "{blue} {green}");
    }
}

#[test]
fn a_hold_that_is_set_after_the_breach_stops_the_call() {
    let mut rig = Rig::reading(&running(None));
    rig.guard.hold = Some("incident".into());
    rig.answer(0, 1, &running(None));
    assert_eq!((rig.calls().len(), rig.refused()), (0, vec!["no-hold"]));
}

#[test]
fn the_effect_of_a_call_without_an_answer_is_its_answer() {
    let unknown = || {
        let mut rig = Rig::calling(&running(None));
        rig.called(WriteOutcome::Unknown("timeout".into()));
        rig.wait(Duration::from_secs(1));
        rig
    };
    let mut rig = unknown();
    rig.answer(0, 1, &ecs(DeploymentStage::RollingBack));
    assert!(matches!(rig.guard.phase, Phase::Confirming { .. }));
    assert_eq!((rig.calls().len(), rig.guard.reverts.len()), (1, 1));
    let mut rig = unknown();
    rig.answer(1, 1, &ecs(DeploymentStage::RolledBack));
    assert!(matches!(rig.guard.phase, Phase::Confirming { .. }));
    let mut rig = unknown();
    rig.answer(1, 0, &ecs(DeploymentStage::RolledBack));
    assert!(rig.proves());
    assert_eq!(rig.guard.reverts.len(), 1);
    let mut rig = unknown();
    rig.answer(0, 1, &ecs(DeploymentStage::RollbackFailed("no capacity".into())));
    assert_eq!((latched(&rig.guard), rig.guard.reverts.len()), (Some("partial"), 1));
}

#[test]
fn a_call_that_was_lost_is_sent_again_and_only_when_it_can_no_longer_land() {
    let mut rig = Rig::calling(&running(None));
    rig.called(WriteOutcome::Unknown("timeout".into()));
    rig.wait(Duration::from_secs(1));
    rig.answer(0, 1, &running(None));
    assert_eq!(rig.calls().len(), 1);
    for _ in 0..12 {
        rig.wait(Duration::from_millis(500));
        rig.answer(0, 1, &running(None));
    }
    assert_eq!(rig.calls(), [&stop(), &stop()]);
}

#[test]
fn an_unknown_call_whose_owner_cant_be_read_is_read_again_and_then_partial() {
    let mut rig = Rig::calling(&running(None));
    rig.called(WriteOutcome::Unknown("timeout".into()));
    for _ in 0..20 {
        rig.wait(Duration::from_secs(4));
        if latched(&rig.guard).is_some() {
            break;
        }
        rig.answer(0, 1, &Owner::Unknown("throttled".into()));
    }
    assert_eq!((latched(&rig.guard), rig.calls().len()), (Some("partial"), 1));
}

#[test]
fn a_call_that_aws_refuses_changes_nothing() {
    let mut rig = Rig::calling(&running(None));
    rig.called(WriteOutcome::Refused("ConflictException".into()));
    assert_eq!(rig.refused(), ["write-refused"]);
    assert_eq!(rig.guard.reverts.len(), 0);
}

/// Accepted, and ECS works on it.
fn confirming() -> Rig {
    let mut rig = Rig::calling(&running(None));
    rig.called(accepted());
    rig.answer(0, 1, &ecs(DeploymentStage::RollingBack));
    rig
}

#[test]
fn a_rollback_that_fails_is_partial_with_awss_reason() {
    let mut rig = confirming();
    rig.wait(Duration::from_secs(1));
    rig.answer(0, 1, &ecs(DeploymentStage::RollbackFailed("hook stuck".into())));
    assert_eq!(latched(&rig.guard), Some("partial"));
    let told =
        rig.out.iter().any(|action| matches!(action, Action::Page(page) if page.text.contains("hook stuck")));
    assert!(told);
}

#[test]
fn a_slow_owner_is_waited_for_and_people_are_told_once() {
    let mut rig = confirming();
    let mut reads = 0;
    for second in 1..=700 {
        let before = rig.out.len();
        rig.wait(Duration::from_secs(1));
        if rig.out[before..].iter().any(|action| matches!(action, Action::Read(..))) {
            reads += 1;
            rig.answer(0, 1, &ecs(DeploymentStage::RollingBack));
        }
        if latched(&rig.guard).is_some() {
            assert_eq!(second, 600);
            break;
        }
        let waits = told(&rig.out).iter().filter(|kind| **kind == PageKind::Partial).count();
        assert_eq!(waits, usize::from(second >= 30), "{second}");
    }
    assert_eq!(latched(&rig.guard), Some("partial"));
    assert_eq!(reads, 30 + 114, "once a second, then every five");
}

#[test]
fn an_owner_that_is_done_without_effect_is_told_of_soon() {
    let over = DeploymentStage::Over("SUCCESSFUL".into());
    let ends = [
        (ecs(DeploymentStage::RolledBack), (0, 1), "partial"),
        (ecs(over.clone()), (0, 1), "partial"),
        (ecs(DeploymentStage::RolledBack), (1, 1), "overridden"),
        (newest("another", DeploymentStage::Running { hook: None }), (1, 2), "overridden"),
        (Owner::Nobody, (0, 1), "partial"),
    ];
    for (owner, (blue, green), reason) in ends {
        let mut rig = confirming();
        for second in 1..=12 {
            rig.wait(Duration::from_secs(1));
            assert_eq!(latched(&rig.guard), None, "{second} {owner:?}");
            rig.answer(blue, green, &owner);
            if second == 5 {
                // For a moment it can't be asked: that is no end.
                rig.wait(Duration::from_secs(1));
                rig.answer(blue, green, &Owner::Unknown("throttled".into()));
            }
            if latched(&rig.guard).is_some() {
                break;
            }
        }
        assert_eq!(latched(&rig.guard), None, "it is reckoned anew: {owner:?}");
        for _ in 0..5 {
            rig.wait(Duration::from_secs(1));
            if latched(&rig.guard).is_none() {
                rig.answer(blue, green, &owner);
            }
        }
        assert_eq!(latched(&rig.guard), Some(reason), "{owner:?}");
        assert!(!rig.proves());
    }
}

#[test]
fn a_read_that_fails_while_the_owner_works_decides_nothing() {
    let mut rig = confirming();
    rig.wait(Duration::from_secs(1));
    let op = rig.open(|action| matches!(action, Action::Read(..)));
    rig.step(Event::Read(op, Err(ReadError::Throttled)));
    assert!(matches!(rig.guard.phase, Phase::Confirming { op: None, .. }));
    assert_eq!(latched(&rig.guard), None);
}

#[test]
fn while_the_call_is_out_the_owners_own_states_are_nobody_elses() {
    let mut rig = Rig::calling(&running(None));
    rig.wait(Duration::from_secs(2));
    rig.answer(1, 1, &ecs(DeploymentStage::RollingBack));
    assert_eq!(latched(&rig.guard), None);
    rig.called(accepted());
    assert!(matches!(rig.guard.phase, Phase::Confirming { .. }));
}

#[test]
fn after_a_restart_a_rollback_that_is_under_way_is_followed() {
    use crate::recover::recover;
    use crate::time::Wall;
    let rig = Rig::calling(&running(None));
    let mut lines: Vec<(Wall, Record)> = vec![];
    for action in &rig.out {
        match action {
            Action::Note(record) => lines.push((Wall(1), Record::clone(record))),
            Action::Persist(_, intent) => lines.push((Wall(1), Record::Intent((**intent).clone()))),
            _ => {}
        }
    }
    let policy = rig.guard.policy.clone();
    for (owner, follows) in [(ecs(DeploymentStage::RollingBack), true), (running(None), false)] {
        let memory = recover(lines.clone(), Wall(2));
        let mut guard = Guard::new(policy.clone(), memory, NOW);
        let mut out = vec![];
        guard.step(NOW, Event::Tick, &mut out);
        let Some(Action::Read(op, _)) = out.iter().find(|action| matches!(action, Action::Read(..))) else {
            panic!("{out:?}")
        };
        guard.step(NOW, Event::Read(*op, Ok(read(0, 1, &owner))), &mut out);
        assert_eq!(matches!(guard.phase, Phase::Confirming { .. }), follows, "{owner:?}");
        assert!(!out.iter().any(|action| matches!(action, Action::Call(..))));
        assert_eq!(guard.reverts.len(), usize::from(follows), "one of the budget, whoever remembers it");
        assert_eq!(guard.uncounted.is_some(), !follows, "it may still land, and counts then");
        guard.step(NOW, Event::Operator(Command::Ack), &mut out);
    }
}

#[test]
fn what_the_ledger_says_was_spent_is_not_spent_again_after_a_restart() {
    use crate::recover::recover;
    use crate::time::Wall;
    let mut rig = Rig::calling(&running(None));
    rig.called(accepted());
    let mut lines: Vec<(Wall, Record)> = vec![];
    for action in &rig.out {
        match action {
            Action::Note(record) => lines.push((Wall(1), Record::clone(record))),
            Action::Persist(_, intent) => lines.push((Wall(1), Record::Intent((**intent).clone()))),
            _ => {}
        }
    }
    for (owner, follows) in [(ecs(DeploymentStage::RollingBack), true), (running(None), false)] {
        let mut guard = Guard::new(rig.guard.policy.clone(), recover(lines.clone(), Wall(2)), NOW);
        let mut out = vec![];
        guard.step(NOW, Event::Tick, &mut out);
        let Some(Action::Read(op, _)) = out.iter().find(|action| matches!(action, Action::Read(..))) else {
            panic!("{out:?}")
        };
        guard.step(NOW, Event::Read(*op, Ok(read(0, 1, &owner))), &mut out);
        assert_eq!(matches!(guard.phase, Phase::Confirming { .. }), follows);
        assert_eq!((guard.reverts.len(), guard.uncounted), (1, None));
    }
}

#[test]
fn several_rules_are_put_back_by_one_call() {
    use crate::guard::rig::rule;
    let both = |blue, green| -> crate::listener::ListenerState {
        vec![rule("l", blue, green), rule("m", blue, green)].into()
    };
    let owner = running(None);
    let mut guard = armed();
    guard.live.as_mut().unwrap().state = both(0, 1);
    guard.live.as_mut().unwrap().fingerprint = both(0, 1).fingerprint();
    guard.live.as_mut().unwrap().marks = Marks::of(owner.clone());
    guard.release.as_mut().unwrap().base.as_mut().unwrap().state = both(1, 0);
    let mut rig = Rig { guard, now: NOW, out: vec![] };
    rig.guard.preflight(NOW, evidence(), &mut rig.out);
    rig.guard.decide(NOW, &evidence(), &mut rig.out);
    let op = rig.open(|action| matches!(action, Action::Persist(..)));
    rig.step(Event::Durable(op, Ok(())));
    let shows = |blue, green, owner: &Owner| Observed {
        marks: Some(Marks::of(owner.clone())),
        ..shows(both(blue, green))
    };
    let op = rig.open(|action| matches!(action, Action::Read(..)));
    rig.step(Event::Read(op, Ok(shows(0, 1, &owner))));
    rig.called(accepted());
    assert!(matches!(rig.guard.phase, Phase::Confirming { .. }), "{:?}", rig.guard.phase);
    let op = rig.open(|action| matches!(action, Action::Read(..)));
    rig.step(Event::Read(op, Ok(shows(1, 0, &ecs(DeploymentStage::RolledBack)))));
    assert!(rig.proves());
    assert_eq!((rig.calls().len(), crate::guard::rig::writes(&rig.out)), (1, false));
}
