//! What the guard's own tests begin with.

use super::monitor::tests::sleep;
use super::{Action, Course, Event, Guard, Live, Marks, Observed, PageKind};
use crate::judge::{Direct, Judgement};
use crate::listener::{Forward, Group, GroupHealth, HealthState, ListenerState, RuleState, TargetHealth};
use crate::owner::Owner;
use crate::plan::{Style, revert};
use crate::policy::{GuardPolicy, Mode};
use crate::record::{Intent, IntentId};
use crate::recover::Recovered;
use crate::release::{Baseline, Cause, EpochId, Good};
use crate::target::Version;
use crate::time::Mono;
use crate::verdict::{Evidence, Stream, Verdict};
use std::collections::BTreeSet;
use std::time::Duration;

pub(crate) const NOW: Mono = Mono(100_000_000_000_000);

pub(crate) fn state(blue: i32, green: i32) -> ListenerState {
    rule("l", blue, green).into()
}

/// One of several rules.
pub(crate) fn rule(arn: &str, blue: i32, green: i32) -> RuleState {
    let group = |arn: &str, weight| Group { arn: arn.into(), weight: Some(weight) };
    let forward =
        Forward { scalar: None, groups: vec![group("b", blue), group("g", green)], stickiness: None };
    RuleState { arn: arn.into(), forward: Some(forward), others: vec![], unknown: vec![] }
}

pub(crate) fn health(group: &str, count: u16, state: HealthState) -> GroupHealth {
    let target = |n| TargetHealth { id: format!("{group}{n}").into(), state, overridden: false };
    GroupHealth { group: group.into(), targets: (0..count).map(target).collect() }
}

pub(crate) fn evidence() -> Evidence {
    Evidence {
        stream: Stream::Errors,
        scope: "".into(),
        quantile: 9_500,
        answers: 30,
        bad: 30,
        span_ms: 300,
        share_max: 0.001,
        luck_one_in: 1_000_000,
        first_bad: NOW.before(Duration::from_secs(1)),
        last_bad: NOW,
        connections: 4,
        addresses: 2,
        targets: 1,
        window_answers: 100,
        window_p95: None,
        total: false,
    }
}

/// A guard in a release that has just broken its promise, with everything as it should be.
pub(crate) fn armed() -> Guard {
    let policy = GuardPolicy {
        mode: Mode::Act,
        cool_down: Duration::from_mins(30),
        reverts_per_hour_max: 1,
        reverts_per_day_max: 3,
        healthy_min: 1,
        capacity_min: 1.0,
        evidence_age_max: Duration::from_secs(30),
        revert_style: Style::Weights,
        verify_answers: 20,
        verify_for: Duration::from_mins(1),
        has_lever: true,
        versions_known: true,
        settle: Duration::from_mins(1),
        settle_answers: 100,
        judge_for: Duration::from_mins(15),
        heard: crate::policy::Heard::Directly,
    };
    let mut guard = Guard::new(policy, Recovered::default(), NOW.before(Duration::from_hours(25)));
    let versions = BTreeSet::from([Version::from("v1")]);
    let targets: BTreeSet<Box<str>> = ["b0".into(), "b1".into()].into();
    let base = Good {
        epoch: EpochId(0),
        state: state(1, 0),
        versions: versions.clone(),
        targets,
        healthy: 2,
        baseline: Baseline::default(),
    };
    let live = state(0, 1);
    // Its parts are played one by one, from the middle: of that the monitor has heard no beginning.
    sleep(true);
    guard.live = Some(Live {
        fingerprint: live.fingerprint(),
        state: live,
        health: vec![health("b", 2, HealthState::Healthy), health("g", 2, HealthState::Healthy)],
        marks: Marks::of(Owner::Nobody),
        read: NOW,
    });
    guard.good = Some(base.clone());
    let mut out = vec![];
    guard.begin(NOW.before(Duration::from_mins(1)), NOW, Cause::Foreign, true, &mut out);
    let direct = Direct { answers: 20, bad: 0, slow: 0, addresses_good: 2, addresses: 2, versions };
    guard.judged = Some(Judgement {
        epoch: guard.epoch.as_ref().map(|epoch| epoch.id).unwrap(),
        at: NOW,
        verdict: Verdict::Bad(evidence()),
        answers: 100,
        bad: 30,
        p95: None,
        good_answers: 70,
        versions: BTreeSet::new(),
        settled: BTreeSet::new(),
        first_bad: None,
        direct,
        baseline: Baseline::default(),
        void: (0, 100),
        attained: None,
        doubt: false,
    });
    guard
}

/// The judge's word on that once more.
pub(crate) fn broken(guard: &Guard) -> Event {
    Event::Judged(Box::new(guard.judged.clone().unwrap()))
}

/// The intent to put back what [`armed`] came from, with half a minute to do it.
pub(crate) fn intent(guard: &Guard) -> Box<Intent> {
    let live = guard.live.as_ref().unwrap();
    let base = guard.release.as_ref().and_then(|release| release.base.as_ref()).unwrap();
    Box::new(Intent {
        id: IntentId(7),
        epoch: guard.epoch.as_ref().unwrap().id,
        release: guard.release.as_ref().unwrap().id,
        before: live.state.clone(),
        writes: revert(&live.state, &base.state, guard.policy.revert_style).unwrap(),
        versions: base.versions.clone(),
        evidence: evidence(),
        deadline: NOW.after(Duration::from_secs(30)),
        call: None,
    })
}

/// The same on its way: the attempt that is next, and whether one went out whose outcome isn't known.
pub(super) fn course(intent: Box<Intent>, attempt: u32, sent: bool) -> Course {
    let doubtful = sent.then(|| intent.writes[0].arn.clone());
    Course { attempt, doubtful, ..Course::new(intent) }
}

/// A read of the listener's actions alone.
pub(crate) fn shows(state: ListenerState) -> Observed {
    Observed { state, marks: None, health: None }
}

/// What people are told by `actions`, by kind.
pub(crate) fn told(actions: &[Action]) -> Vec<PageKind> {
    let kind = |action: &Action| match action {
        Action::Page(page) => Some(page.kind),
        _ => None,
    };
    actions.iter().filter_map(kind).collect()
}

/// Whether a write goes out among `actions`.
pub(crate) fn writes(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Write(..)))
}

/// Why nothing more is done automatically for the release.
pub(crate) fn latched(guard: &Guard) -> Option<&'static str> {
    guard.release.as_ref().and_then(|release| release.latch.as_ref()).map(|latch| latch.reason)
}
