//! Every condition of acting. All must hold; each says in words how it stands.

use super::{Action, Guard, Live, PageKind, READ_FRESH, Release, STANDING, STANDING_LOOK, Standing};
use crate::detector::tail;
use crate::hazard::{Hazard, answered};
use crate::listener::{GroupHealth, HealthState, ListenerState, TargetHealth};
use crate::plan;
use crate::policy::{Heard, Mode, Unheard};
use crate::release::Good;
use crate::time::Mono;
use crate::verdict::Evidence;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// There is nothing to put back.
pub(super) const NO_LEVER: &str = "no listener, rule or alias is governed, so nothing can be reverted";
/// Direct answers that say how blue is now.
const DIRECT_MIN: u32 = 3;
/// At its best one answer in twenty may be slower than the P95 that is promised.
const SLOW_SHARE: f64 = 0.05;
/// More of them than luck explains so often are too many.
const SLOW_LUCK: f64 = 1e-4;

/// One condition of acting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// A closed set of names; also the `reason` of a refusal.
    pub name: Box<str>,
    /// Whether it holds.
    pub holds: bool,
    /// How it stands, in words.
    pub detail: Box<str>,
    /// For how long it has stood so, seconds; `None` at the breach, when only now counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_s: Option<u64>,
}

impl Condition {
    fn of(name: &'static str, outcome: Result<String, String>) -> (&'static str, Self) {
        let (holds, detail) = match outcome {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        (name, Self { name: name.into(), holds, detail: detail.into(), age_s: None })
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
            Condition::of("invariants", self.invariants()),
            Condition::of("lever", self.lever(release)),
            Condition::of("owner", self.owned(release)),
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

    /// Since when each condition stands as it does. What forbids acting and has done so for minutes is told in peace, not found out at
    /// the breach.
    pub(super) fn tell_standing(&mut self, now: Mono, out: &mut Vec<Action>) {
        if now < self.next_standing {
            return;
        }
        self.next_standing = now.after(STANDING_LOOK);
        let all = self.conditions(now, None);
        self.standing.retain(|name, _| all.iter().any(|(asked, _)| asked == name));
        let quiet = self.policy.mode == Mode::Observe || self.epoch.is_none() || !self.may_stop();
        for (name, condition) in all {
            let new = Standing { holds: condition.holds, since: now, told: false };
            let standing = self.standing.entry(name).or_insert(new);
            if standing.holds != condition.holds {
                *standing = new;
            }
            // A latched release and a passing budget are told when they begin.
            let quiet = quiet || matches!(name, "one-action" | "cool-down" | "budget" | "authority");
            if !standing.holds && !standing.told && !quiet && now.since(standing.since) >= STANDING {
                standing.told = true;
                let text =
                    format!("a breach now would not be reverted: {}: {}", condition.name, condition.detail);
                self.page_for(PageKind::Standing, name, &text, out);
                return;
            }
        }
    }

    /// What is governed, in a word for people.
    pub(super) const fn what(&self) -> &'static str {
        match self.policy.heard {
            Heard::Directly => "listener",
            Heard::InProduction(_) => "alias",
        }
    }

    fn invariants(&self) -> Result<String, String> {
        match self.monitor.broken() {
            None => Ok("none was ever broken".into()),
            Some(why) => Err(format!("one was broken, and nothing is written until a restart: {why}")),
        }
    }

    fn unread(&self) -> String {
        format!("the {} was not read yet", self.what())
    }

    fn lever(&self, release: Option<&Release>) -> Result<String, String> {
        if !self.policy.has_lever {
            return Err(NO_LEVER.into());
        }
        match release {
            Some(release) if release.base.is_some() && !release.lever => {
                Err(format!("no-lever: the version changed behind the same {} state", self.what()))
            }
            _ => Ok(format!("{} is governed", if self.what() == "alias" { "an alias" } else { "a rule" })),
        }
    }

    /// Whoever else moves the rule decides what may be called; what isn't known is never taken for nobody.
    fn owned(&self, release: Option<&Release>) -> Result<String, String> {
        let Some(live) = &self.live else { return Err(self.unread()) };
        let says = match release {
            None => live.marks.owner.standing(),
            Some(_) => live.marks.owner.call().map(|call| {
                call.map_or_else(
                    || "nobody else moves the rule".to_owned(),
                    |call| format!("{call} puts it back"),
                )
            }),
        };
        let of_alias = |says: String| says.replace("the rule", "the alias");
        let says = if self.what() == "alias" { says.map(of_alias).map_err(of_alias) } else { says }?;
        let unwatched = live.marks.owner.unwatched();
        let says = match unwatched {
            Some(alarms) => {
                format!(
                    "{says}; ECS uses none of its alarms ({alarms}) in this deployment, and won't roll it back by itself"
                )
            }
            None => says,
        };
        Ok(match &live.marks.keeper {
            Some(keeper) => {
                format!("{says}; {keeper} keeps its desired state: the next apply may undo a revert")
            }
            None => says,
        })
    }

    fn understood(&self, release: Option<&Release>, base: Option<&Good>) -> Result<String, String> {
        let Some(live) = &self.live else { return Err(self.unread()) };
        match (release, base) {
            (Some(_), Some(base)) => {
                let writes = plan::revert(&live.state, &base.state, self.policy.revert_style)?;
                if writes.is_empty() {
                    return Err(format!("the {} already is what it was", self.what()));
                }
                Ok(format!("{} can be put back to {}", live.state.label(), base.state.label()))
            }
            _ => live.state.understood().map(|()| format!("{} is understood", live.state.label())),
        }
    }

    fn listener_read(&self, now: Mono) -> Result<String, String> {
        let error = self.read_error.as_ref().map(|error| format!("; {error}")).unwrap_or_default();
        match &self.live {
            Some(Live { read, .. }) if now.since(*read) <= READ_FRESH || !answered(Hazard::Credentials) => {
                Ok(format!("read {} s ago{error}", now.since(*read).as_secs()))
            }
            Some(Live { read, .. }) => Err(format!("last read {} s ago{error}", now.since(*read).as_secs())),
            None => Err(format!("never read{error}")),
        }
    }

    pub(super) fn no_hold(&self) -> Result<String, String> {
        let tagged = self.live.as_ref().and_then(|live| live.marks.hold.as_ref());
        match self.hold.as_ref().or(tagged).filter(|_| answered(Hazard::Operator)) {
            Some(why) => Err(format!("an operator holds: {why}")),
            None => Ok("nobody holds".into()),
        }
    }

    fn cooled_down(&self, now: Mono) -> Result<String, String> {
        match self.reverts.iter().max() {
            Some(last) if now.since(*last) < self.policy.cool_down && answered(Hazard::PingPong) => {
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
        let spent = hour >= self.policy.reverts_per_hour_max || day >= self.policy.reverts_per_day_max;
        if spent && answered(Hazard::PingPong) {
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
        if !answered(Hazard::UnhealthyBlue) {
            return Ok(name);
        }
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
        let of_green = if answered(Hazard::ColdBlue) { self.policy.capacity_min } else { 0.0 };
        self.policy.healthy_min.max((f64::from(green) * of_green).ceil() as u32).max(1)
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
        if direct.answers == 0 && self.policy.heard == Heard::InProduction(Unheard::Revert) {
            return Ok(
                "nobody can ask it, and it gets no requests: unheard = \"revert\" goes by the control".into(),
            );
        }
        let text = match self.policy.heard {
            Heard::Directly => {
                format!("{} of {} direct answers good", direct.answers - direct.bad, direct.answers)
            }
            Heard::InProduction(_) => {
                format!(
                    "{} of its {} answers in production good",
                    direct.answers - direct.bad,
                    direct.answers
                )
            }
        };
        if !answered(Hazard::BothBad) {
            return Ok(text);
        }
        if direct.answers < DIRECT_MIN
            || direct.bad * 10 > direct.answers
            || tail(direct.answers, direct.slow, SLOW_SHARE) < SLOW_LUCK
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
        // A published version never changes, so that its name alone says what it is where it has no word.
        let has_word = self.policy.heard == Heard::Directly || !versions.is_empty();
        if self.policy.versions_known && !base.versions.is_empty() && has_word {
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
        if age > self.policy.evidence_age_max && answered(Hazard::StaleEvidence) {
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
        Some(Release { irreversible: true, .. }) if answered(Hazard::Irreversible) => {
            Err("the release is marked irreversible".into())
        }
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
mod tests;
