//! Every condition of acting (SAFETY.md C.4). All must hold; each says in words how it stands.

use super::{Action, Guard, Live, PageKind, READ_FRESH, Release, STANDING, STANDING_LOOK};
use crate::listener::{GroupHealth, HealthState, ListenerState, TargetHealth};
use crate::plan;
use crate::policy::Mode;
use crate::release::Good;
use crate::time::Mono;
use crate::verdict::Evidence;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// Direct answers that say how blue is now.
const DIRECT_MIN: u32 = 3;

/// One condition of acting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// A closed set of names; also the `reason` of a refusal.
    pub name: Box<str>,
    /// Whether it holds.
    pub holds: bool,
    /// How it stands, in words.
    pub detail: Box<str>,
}

impl Condition {
    fn of(name: &'static str, outcome: Result<String, String>) -> (&'static str, Self) {
        let (holds, detail) = match outcome {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        (name, Self { name: name.into(), holds, detail: detail.into() })
    }
}

impl Guard {
    /// Every condition, with `evidence` when there is a breach. In peace the state to return to is the good one that serves.
    pub(super) fn conditions(
        &self,
        now: Mono,
        evidence: Option<&Evidence>,
    ) -> Vec<(&'static str, Condition)> {
        let release = self.release.as_ref().filter(|release| !release.over);
        let base = release.map_or(self.good.as_ref(), |release| release.base.as_ref());
        let mut all = vec![
            Condition::of("lever", self.lever(release)),
            Condition::of("known-good", known_good(base)),
            Condition::of("understood", self.understood(release, base)),
            Condition::of("listener-read", self.listener_read(now)),
            Condition::of("no-hold", self.no_hold()),
            Condition::of("reversible", reversible(release)),
            Condition::of("cool-down", self.cooled_down(now)),
            Condition::of("budget", self.budget(now)),
            Condition::of("one-action", one_action(release)),
            Condition::of("authority", authority(now, release)),
            Condition::of("blue-healthy", self.blue_healthy(base)),
        ];
        // Only while a release is under judgement is another version than the serving one asked directly.
        if release.is_some() {
            all.push(Condition::of("blue-answers", self.blue_answers()));
            all.push(Condition::of("blue-is-what-it-was", self.blue_is_what_it_was(base)));
        }
        if let Some(evidence) = evidence {
            all.push(Condition::of("evidence", self.evidence_stands(now, evidence)));
        }
        all
    }

    /// What forbids acting and has done so for minutes is told in peace, not found out at the breach.
    pub(super) fn tell_standing(&mut self, now: Mono, out: &mut Vec<Action>) {
        let quiet = self.policy.mode == Mode::Observe || self.epoch.is_none() || !self.may_stop();
        if quiet || now < self.next_standing {
            return;
        }
        self.next_standing = now.after(STANDING_LOOK);
        let failing: Vec<(&'static str, Condition)> =
            self.conditions(now, None).into_iter().filter(|(_, condition)| !condition.holds).collect();
        self.standing.retain(|name, _| failing.iter().any(|(failed, _)| failed == name));
        for (name, condition) in failing {
            let (since, told) = self.standing.entry(name).or_insert((now, false));
            // A latched release and a passing budget are told when they begin.
            let quiet = matches!(name, "one-action" | "cool-down" | "budget" | "authority");
            if !*told && !quiet && now.since(*since) >= STANDING {
                *told = true;
                let text =
                    format!("a breach now would not be reverted: {}: {}", condition.name, condition.detail);
                self.page_for(PageKind::Standing, name, &text, out);
                return;
            }
        }
    }

    fn lever(&self, release: Option<&Release>) -> Result<String, String> {
        if !self.policy.has_lever {
            return Err("no listener or rule is governed, so nothing can be reverted".into());
        }
        match release {
            Some(release) if release.base.is_some() && !release.lever => {
                Err("no-lever: the version changed behind the same listener state".into())
            }
            _ => Ok("the rule is ours alone, as the configuration says".into()),
        }
    }

    fn understood(&self, release: Option<&Release>, base: Option<&Good>) -> Result<String, String> {
        let Some(live) = &self.live else { return Err("the listener was not read yet".into()) };
        match (release, base) {
            (Some(_), Some(base)) => match plan::revert(&live.state, &base.state)? {
                Some(_) => Ok(format!("{} can be put back to {}", live.state.label(), base.state.label())),
                None => Err("the listener already is what it was".into()),
            },
            _ => live.state.understood().map(|_| format!("{} is understood", live.state.label())),
        }
    }

    fn listener_read(&self, now: Mono) -> Result<String, String> {
        let error = self.read_error.as_ref().map(|error| format!("; {error}")).unwrap_or_default();
        match &self.live {
            Some(Live { read, .. }) if now.since(*read) <= READ_FRESH => {
                Ok(format!("read {} s ago{error}", now.since(*read).as_secs()))
            }
            Some(Live { read, .. }) => Err(format!("last read {} s ago{error}", now.since(*read).as_secs())),
            None => Err(format!("never read{error}")),
        }
    }

    fn no_hold(&self) -> Result<String, String> {
        let tagged = self.live.as_ref().and_then(|live| live.hold.as_ref());
        match self.hold.as_ref().or(tagged) {
            Some(why) => Err(format!("an operator holds: {why}")),
            None => Ok("nobody holds".into()),
        }
    }

    fn cooled_down(&self, now: Mono) -> Result<String, String> {
        match self.reverts.iter().max() {
            Some(last) if now.since(*last) < self.policy.cool_down => {
                let left = self.policy.cool_down.saturating_sub(now.since(*last));
                Err(format!(
                    "unprotected for another {} s: cooling down after the last revert",
                    left.as_secs()
                ))
            }
            _ => Ok("no revert within the cool-down".into()),
        }
    }

    fn budget(&self, now: Mono) -> Result<String, String> {
        let hour = self.reverts_within(now, Duration::from_hours(1));
        let day = self.reverts_within(now, Duration::from_hours(24));
        let text = format!(
            "{hour} of {} this hour, {day} of {} this day",
            self.policy.reverts_per_hour_max, self.policy.reverts_per_day_max
        );
        if hour >= self.policy.reverts_per_hour_max || day >= self.policy.reverts_per_day_max {
            Err(format!("the budget is spent: {text}"))
        } else {
            Ok(text)
        }
    }

    fn blue_healthy(&self, base: Option<&Good>) -> Result<String, String> {
        let (Some(base), Some(live)) = (base, &self.live) else {
            return Err("no state to return to is known".into());
        };
        let name = base.state.label();
        let targets = serving(&base.state, &live.health);
        if targets.is_empty() {
            return Err(format!("{name} has no registered target"));
        }
        if targets.iter().any(|target| target.overridden) {
            return Err(format!("{name} is under an administrative override (zonal shift)"));
        }
        let counted = |state| targets.iter().filter(|target| target.state == state).count();
        let (all, healthy, unused) =
            (targets.len(), counted(HealthState::Healthy), counted(HealthState::Unused));
        // Green's registered targets, healthy or not: an outage must not make the wanted capacity small. Blue's own share
        // of a canary is blue's already.
        let blue: BTreeSet<&str> = targets.iter().map(|target| &*target.id).collect();
        let all_serving = serving_targets(&live.state, &live.health);
        let green = all_serving.iter().filter(|target| !blue.contains(&***target)).count();
        let wanted = self.wanted(u32::try_from(green).unwrap_or(u32::MAX));
        if unused == all {
            return self.unused_blue(base, &name, all, wanted);
        }
        if u32::try_from(healthy).unwrap_or(u32::MAX) < wanted {
            return Err(format!("{name} has {healthy} of {all} targets healthy; {wanted} are wanted"));
        }
        Ok(format!("{name} {healthy}/{all} healthy"))
    }

    /// As many as the floor, and as the share of those that serve now.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    fn wanted(&self, green: u32) -> u32 {
        self.policy.healthy_min.max((f64::from(green) * self.policy.capacity_min).ceil() as u32).max(1)
    }

    /// A single-group forward leaves blue unreferenced, so nobody checks it: then every one of its targets must answer
    /// our own direct probes well, and all must have been healthy when it served.
    fn unused_blue(&self, base: &Good, name: &str, all: usize, wanted: u32) -> Result<String, String> {
        let all = u32::try_from(all).unwrap_or(u32::MAX);
        let direct = self.judged.as_ref().map(|judged| &judged.direct);
        let good = direct.map_or(0, |direct| direct.addresses_good);
        if base.healthy < all {
            return Err(format!(
                "{name} is unreferenced, and only {} of its {all} targets were healthy when it served",
                base.healthy
            ));
        }
        if good < all || all < wanted {
            return Err(format!(
                "{name} is unreferenced, and {good} of its {all} targets answer us well; keep blue at weight 0"
            ));
        }
        Ok(format!("{name} is unreferenced; all {all} targets answer us well"))
    }

    fn blue_answers(&self) -> Result<String, String> {
        let Some(direct) = self.judged.as_ref().map(|judged| &judged.direct) else {
            return Err("the old version was not asked yet".into());
        };
        let text = format!("{} of {} direct answers good", direct.answers - direct.bad, direct.answers);
        if direct.answers < DIRECT_MIN
            || direct.bad * 10 > direct.answers
            || direct.slow * 10 > direct.answers
        {
            Err(format!("{text} ({} slow)", direct.slow))
        } else {
            Ok(text)
        }
    }

    fn blue_is_what_it_was(&self, base: Option<&Good>) -> Result<String, String> {
        let (Some(base), Some(live)) = (base, &self.live) else {
            return Err("no state to return to is known".into());
        };
        let none = BTreeSet::new();
        let versions = self.judged.as_ref().map_or(&none, |judged| &judged.direct.versions);
        if self.policy.versions_known && !base.versions.is_empty() {
            return match versions.iter().find(|version| !base.versions.contains(*version)) {
                Some(other) => Err(format!("it answers as {other} now, and was {}", join(&base.versions))),
                None if versions.is_empty() => Err("its direct answers name no version".into()),
                None => Ok(format!("it still answers as {}", join(versions))),
            };
        }
        let now: BTreeSet<&str> =
            serving(&base.state, &live.health).into_iter().map(|target| &*target.id).collect();
        match now.iter().find(|target| !base.targets.contains(**target)) {
            Some(new) => Err(format!("target {new} was not there when it was good, and no version tells")),
            None => Ok("its targets are those that it had".into()),
        }
    }

    fn evidence_stands(&self, now: Mono, evidence: &Evidence) -> Result<String, String> {
        let age = now.since(evidence.last_bad);
        if age > self.policy.evidence_age_max {
            return Err(format!("the evidence is {} s old", age.as_secs()));
        }
        if self.verdict_is_bad() {
            Ok(evidence.to_string())
        } else {
            Err("the verdict is no longer bad".into())
        }
    }
}

fn authority(now: Mono, release: Option<&Release>) -> Result<String, String> {
    let Some(release) = release else { return Ok("begins with the next cutover".into()) };
    let left = release.until.since(now);
    if left.is_zero() {
        Err("the judged time is over".into())
    } else {
        Ok(format!("{} s left", left.as_secs()))
    }
}

fn known_good(base: Option<&Good>) -> Result<String, String> {
    base.map_or_else(
        || Err("no-known-good: no state was judged good before this one".into()),
        |good| Ok(format!("{} was good, version {}", good.state.label(), join(&good.versions))),
    )
}

fn reversible(release: Option<&Release>) -> Result<String, String> {
    match release {
        Some(Release { irreversible: true, .. }) => Err("the release is marked irreversible".into()),
        _ => Ok("nothing marks it irreversible".into()),
    }
}

fn one_action(release: Option<&Release>) -> Result<String, String> {
    match release.and_then(|release| release.latch.as_ref()) {
        Some(latch) => Err(format!("this release is latched: {}", latch.reason)),
        None => Ok("nothing was done for this release yet".into()),
    }
}

fn join<T: std::fmt::Display>(parts: &BTreeSet<T>) -> String {
    if parts.is_empty() {
        return "unknown".into();
    }
    parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The registered targets of the groups that get requests in `state`.
fn serving<'a>(state: &ListenerState, health: &'a [GroupHealth]) -> Vec<&'a TargetHealth> {
    let groups = state.serving();
    health.iter().filter(|group| groups.contains(&*group.group)).flat_map(|group| &group.targets).collect()
}

/// The same, by address; those that drain are leaving and are not asked.
pub(super) fn serving_targets(state: &ListenerState, health: &[GroupHealth]) -> BTreeSet<Box<str>> {
    let stays = |target: &&TargetHealth| target.state != HealthState::Draining;
    serving(state, health).into_iter().filter(stays).map(|target| target.id.clone()).collect()
}

/// How many of the targets that serve in `state` are healthy.
pub(super) fn healthy_serving(state: &ListenerState, health: &[GroupHealth]) -> u32 {
    let healthy = serving(state, health).into_iter().filter(|target| target.state == HealthState::Healthy);
    u32::try_from(healthy.count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::{Latch, ReadError};
    use crate::judge::{Direct, Judgement};
    use crate::listener::{Forward, Group};
    use crate::policy::GuardPolicy;
    use crate::recover::Recovered;
    use crate::release::{Baseline, Cause, EpochId, ReleaseId};
    use crate::target::Version;
    use crate::verdict::{Stream, Verdict};

    const NOW: Mono = Mono(100_000_000_000_000);

    fn state(blue: i32, green: i32) -> ListenerState {
        let group = |arn: &str, weight| Group { arn: arn.into(), weight: Some(weight) };
        let forward =
            Forward { scalar: None, groups: vec![group("b", blue), group("g", green)], stickiness: None };
        ListenerState { arn: "l".into(), forward: Some(forward), others: vec![], unknown: vec![] }
    }

    fn health(group: &str, count: u16, state: HealthState) -> GroupHealth {
        let target = |n| TargetHealth { id: format!("{group}{n}").into(), state, overridden: false };
        GroupHealth { group: group.into(), targets: (0..count).map(target).collect() }
    }

    fn evidence() -> Evidence {
        Evidence {
            stream: Stream::Errors,
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
    fn armed() -> Guard {
        let policy = GuardPolicy {
            mode: Mode::Act,
            cool_down: Duration::from_mins(30),
            reverts_per_hour_max: 1,
            reverts_per_day_max: 3,
            healthy_min: 1,
            capacity_min: 1.0,
            evidence_age_max: Duration::from_secs(30),
            verify_answers: 20,
            verify_for: Duration::from_mins(1),
            has_lever: true,
            versions_known: true,
            settle: Duration::from_mins(1),
            settle_answers: 100,
            judge_for: Duration::from_mins(15),
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
        guard.live = Some(Live {
            fingerprint: live.fingerprint(),
            state: live,
            health: vec![health("b", 2, HealthState::Healthy), health("g", 2, HealthState::Healthy)],
            hold: None,
            irreversible: None,
            label: None,
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
        });
        guard
    }

    fn failing(guard: &Guard) -> Vec<&'static str> {
        let all = guard.conditions(NOW, Some(&evidence()));
        all.into_iter().filter(|(_, condition)| !condition.holds).map(|(name, _)| name).collect()
    }

    fn after(change: impl FnOnce(&mut Guard)) -> Vec<&'static str> {
        let mut guard = armed();
        change(&mut guard);
        failing(&guard)
    }

    fn release(guard: &mut Guard) -> &mut Release {
        guard.release.as_mut().unwrap()
    }

    fn direct(guard: &mut Guard) -> &mut Direct {
        &mut guard.judged.as_mut().unwrap().direct
    }

    fn blue(guard: &mut Guard) -> &mut Vec<TargetHealth> {
        &mut guard.live.as_mut().unwrap().health[0].targets
    }

    #[test]
    fn when_all_is_well_every_condition_holds() {
        let guard = armed();
        assert_eq!(failing(&guard), Vec::<&str>::new());
        assert_eq!(guard.conditions(NOW, Some(&evidence())).len(), 14);
        assert_eq!(guard.release.as_ref().map(|release| release.id), Some(ReleaseId(0)));
    }

    #[test]
    fn a_release_without_lever_or_base_is_refused() {
        assert_eq!(after(|guard| guard.policy.has_lever = false), ["lever"]);
        assert_eq!(after(|guard| release(guard).lever = false), ["lever"]);
        let none = after(|guard| release(guard).base = None);
        assert!(none.contains(&"known-good") && none.contains(&"blue-healthy"), "{none:?}");
    }

    #[test]
    fn what_was_read_must_be_fresh_and_understood() {
        let old = |seconds| {
            after(move |g| g.live.as_mut().unwrap().read = NOW.before(Duration::from_secs(seconds)))
        };
        assert_eq!(old(130), Vec::<&str>::new());
        assert_eq!(old(131), ["listener-read"]);
        let unread = after(|guard| guard.live = None);
        assert!(unread.contains(&"listener-read") && unread.contains(&"understood"), "{unread:?}");
        assert_eq!(
            after(|guard| guard.live.as_mut().unwrap().state.unknown.push("X".into())),
            ["understood"]
        );
        assert!(after(|guard| guard.live.as_mut().unwrap().state = state(1, 0)).contains(&"understood"));
        let mut guard = armed();
        guard.read_error = Some(ReadError::Throttled);
        let all = guard.conditions(NOW, None);
        let read = all.iter().find(|(name, _)| *name == "listener-read").unwrap();
        assert_eq!(&*read.1.detail, "read 0 s ago; AWS throttles our reads");
    }

    #[test]
    fn a_hold_and_a_mark_forbid() {
        assert_eq!(after(|guard| guard.hold = Some("x".into())), ["no-hold"]);
        assert_eq!(after(|guard| guard.live.as_mut().unwrap().hold = Some("x".into())), ["no-hold"]);
        assert_eq!(after(|guard| release(guard).irreversible = true), ["reversible"]);
    }

    #[test]
    fn cool_down_and_budgets_end_to_the_second() {
        let ago = |seconds: u64| NOW.before(Duration::from_secs(seconds));
        assert_eq!(after(|guard| guard.reverts = vec![ago(1_799)]), ["cool-down", "budget"]);
        assert_eq!(after(|guard| guard.reverts = vec![ago(1_800)]), ["budget"]);
        assert_eq!(after(|guard| guard.reverts = vec![ago(3_599)]), ["budget"]);
        assert_eq!(after(|guard| guard.reverts = vec![ago(3_600)]), Vec::<&str>::new());
        let day = |guard: &mut Guard| guard.reverts = vec![ago(86_399), ago(40_000), ago(20_000)];
        assert_eq!(after(day), ["budget"]);
        let more = |guard: &mut Guard| guard.reverts = vec![ago(86_400), ago(40_000), ago(20_000)];
        assert_eq!(after(more), Vec::<&str>::new());
    }

    #[test]
    fn a_latched_release_and_one_whose_time_is_over_are_left() {
        let latch = Latch { reason: "reverted", needs_human: false };
        assert_eq!(after(|guard| release(guard).latch = Some(latch)), ["one-action"]);
        assert_eq!(after(|guard| release(guard).until = NOW), ["authority"]);
        assert_eq!(after(|guard| release(guard).until = Mono(NOW.0 + 1)), Vec::<&str>::new());
    }

    #[test]
    fn blue_has_enough_healthy_targets_or_is_refused() {
        assert_eq!(after(|guard| blue(guard)[0].state = HealthState::Unhealthy), ["blue-healthy"]);
        assert_eq!(after(|guard| blue(guard)[0].overridden = true), ["blue-healthy"]);
        assert_eq!(after(|guard| blue(guard).truncate(1)), ["blue-healthy"]);
        assert_eq!(after(|guard| blue(guard).clear()), ["blue-healthy"]);
        let half = |guard: &mut Guard| {
            guard.policy.capacity_min = 0.5;
            blue(guard).truncate(1);
        };
        assert_eq!(after(half), Vec::<&str>::new());
        assert_eq!(after(|guard| guard.policy.healthy_min = 3), ["blue-healthy"]);
        assert_eq!(after(|guard| guard.policy.healthy_min = 2), Vec::<&str>::new());
    }

    #[test]
    fn an_unreferenced_blue_needs_every_target_to_answer_and_to_have_been_healthy() {
        let unused = |guard: &mut Guard| {
            for target in blue(guard) {
                target.state = HealthState::Unused;
            }
        };
        assert_eq!(after(unused), Vec::<&str>::new());
        let silent = |guard: &mut Guard| {
            unused(guard);
            direct(guard).addresses_good = 1;
        };
        assert_eq!(after(silent), ["blue-healthy"]);
        let was_ill = |guard: &mut Guard| {
            unused(guard);
            release(guard).base.as_mut().unwrap().healthy = 1;
        };
        assert_eq!(after(was_ill), ["blue-healthy"]);
        let small = |guard: &mut Guard| {
            unused(guard);
            guard.policy.healthy_min = 3;
        };
        assert_eq!(after(small), ["blue-healthy"]);
    }

    #[test]
    fn blue_answers_well_or_is_refused() {
        assert_eq!(after(|guard| direct(guard).answers = 2), ["blue-answers"]);
        assert_eq!(after(|guard| direct(guard).answers = 3), Vec::<&str>::new());
        assert_eq!(after(|guard| direct(guard).bad = 2), Vec::<&str>::new());
        assert_eq!(after(|guard| direct(guard).bad = 3), ["blue-answers"]);
        assert_eq!(after(|guard| direct(guard).slow = 2), Vec::<&str>::new());
        assert_eq!(after(|guard| direct(guard).slow = 3), ["blue-answers"]);
    }

    #[test]
    fn blue_is_what_it_was_by_version_or_by_target() {
        let other = |guard: &mut Guard| {
            direct(guard).versions.insert(Version::from("v3"));
        };
        assert_eq!(after(other), ["blue-is-what-it-was"]);
        assert_eq!(after(|guard| direct(guard).versions.clear()), ["blue-is-what-it-was"]);
        let renamed = |guard: &mut Guard| blue(guard)[0].id = "b9".into();
        assert_eq!(
            after(renamed),
            Vec::<&str>::new(),
            "the version tells that a replaced task is the same build"
        );
        let unnamed = |guard: &mut Guard| {
            guard.policy.versions_known = false;
            renamed(guard);
        };
        assert_eq!(after(unnamed), ["blue-is-what-it-was"]);
        let never_named = |guard: &mut Guard| {
            release(guard).base.as_mut().unwrap().versions.clear();
            renamed(guard);
        };
        assert_eq!(after(never_named), ["blue-is-what-it-was"]);
    }

    #[test]
    fn evidence_is_fresh_and_the_verdict_still_stands() {
        let guard = armed();
        let old = |seconds| Evidence { last_bad: NOW.before(Duration::from_secs(seconds)), ..evidence() };
        assert!(guard.evidence_stands(NOW, &old(30)).is_ok());
        assert_eq!(guard.evidence_stands(NOW, &old(31)), Err("the evidence is 31 s old".into()));
        assert_eq!(after(|guard| guard.judged.as_mut().unwrap().verdict = Verdict::Good), ["evidence"]);
        let another = |guard: &mut Guard| guard.judged.as_mut().unwrap().epoch = EpochId(77);
        assert_eq!(after(another), ["evidence"]);
    }

    #[test]
    fn in_peace_only_what_can_be_known_is_asked() {
        let mut guard = armed();
        guard.release = None;
        guard.good = Some(Good { state: state(0, 1), ..guard.good.clone().unwrap() });
        let names: Vec<&str> = guard.conditions(NOW, None).iter().map(|(name, _)| *name).collect();
        assert!(!names.contains(&"blue-answers") && !names.contains(&"evidence"), "{names:?}");
        assert!(guard.conditions(NOW, None).iter().all(|(_, condition)| condition.holds));
    }
}
