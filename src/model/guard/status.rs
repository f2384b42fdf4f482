//! How the guard stands, for those who ask.

use super::{Guard, Outcome, Phase, Status, Unprotected};
use crate::listener::{Forward, ListenerState, group_name};
use crate::policy::Mode;
use crate::release::Cause;
use crate::time::Mono;
use std::collections::BTreeSet;
use std::time::Duration;

impl Guard {
    /// Where it stands in a word; see [`Status::state`].
    #[must_use]
    pub fn state(&self) -> &'static str {
        self.state_word()
    }

    /// How the guard stands.
    #[must_use]
    pub fn status(&self, now: Mono) -> Status {
        let mut conditions = self.conditions(now, None);
        for (name, condition) in &mut conditions {
            let standing = self.standing.get(name).filter(|standing| standing.holds == condition.holds);
            condition.age_s = Some(standing.map_or(0, |standing| now.since(standing.since).as_secs()));
        }
        let all_hold = conditions.iter().all(|(_, condition)| condition.holds);
        let release = self.release.as_ref();
        let latch = release.filter(|release| !release.over).and_then(|release| release.latch.as_ref());
        let needs_human = release
            .and_then(|release| release.latch.as_ref())
            .filter(|latch| latch.needs_human)
            .map(|latch| latch.reason);
        let live = self.live.as_ref();
        Status {
            state: self.state_word(),
            armed: all_hold && self.policy.mode == Mode::Act && self.epoch.is_some(),
            conditions: conditions.into_iter().map(|(_, condition)| condition).collect(),
            epoch: self.epoch.as_ref().map(|epoch| epoch.id),
            cause: self.epoch.as_ref().map(|epoch| epoch.cause),
            shows: live.map(|live| live.state.label().into()),
            versions: self.epoch.as_ref().map(|epoch| epoch.versions.clone()).unwrap_or_default(),
            good: self.good.as_ref().map(|good| good.state.label().into()),
            release: release.map(|release| release.id),
            label: release.and_then(|release| release.label.clone()),
            latched: latch.map(|latch| latch.reason),
            needs_human,
            unprotected: self.unprotected(now),
            live: self.sides().0,
            idle: self.sides().1,
            outcome: self.outcome(),
            read: live.map(|live| live.read),
            read_error: self.read_error.as_ref().map(|error| error.to_string().into()),
            revision: self.revision_waits(now),
        }
    }

    /// Until when no breach is answered because of what we did already; the last of the reasons to end counts.
    pub(super) fn unprotected(&self, now: Mono) -> Option<Unprotected> {
        let mut reverts = self.reverts.clone();
        reverts.sort_unstable();
        let cooled = reverts
            .last()
            .map(|last| Unprotected { until: last.after(self.policy.cool_down), reason: "cool-down" });
        let spent = |span: Duration, most: u32| {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            // With this one forgotten there are fewer than the most.
            let last = reverts.len().checked_sub(most).and_then(|index| reverts.get(index))?;
            Some(Unprotected { until: last.after(span), reason: "budget" })
        };
        let all = [
            spent(Duration::from_hours(24), self.policy.reverts_per_day_max),
            spent(Duration::from_hours(1), self.policy.reverts_per_hour_max),
            cooled,
        ];
        all.into_iter().flatten().filter(|one| one.until > now).max_by_key(|one| one.until)
    }

    /// The names of the groups that get requests, and of those that stand by.
    pub(super) fn sides(&self) -> (Vec<Box<str>>, Vec<Box<str>>) {
        let Some(live) = &self.live else { return (Vec::new(), Vec::new()) };
        let serving = live.state.serving();
        let base = self.release.as_ref().and_then(|release| release.base.as_ref());
        let known = [base, self.good.as_ref()].into_iter().flatten().map(|good| &good.state);
        let idle: BTreeSet<&str> =
            known.chain([&live.state]).flat_map(groups).filter(|group| !serving.contains(group)).collect();
        let names = |groups: BTreeSet<&str>| groups.into_iter().map(|arn| group_name(arn).into()).collect();
        (names(serving), names(idle))
    }

    /// See [`Outcome`].
    pub(super) fn outcome(&self) -> Outcome {
        let Some(release) = &self.release else { return Outcome::None };
        let epoch = self.epoch.as_ref();
        let good = epoch.is_some_and(|epoch| epoch.established && epoch.id >= release.first);
        // Another epoch follows when somebody else takes a release away; when its time is over, its own goes on.
        let own =
            epoch.is_some_and(|epoch| matches!(epoch.cause, Cause::Foreign | Cause::Step | Cause::Version));
        match &release.latch {
            Some(latch) if latch.reason == "overridden" => Outcome::Left,
            Some(_) => Outcome::Bad,
            None if release.over && own => Outcome::Good,
            None if release.over => Outcome::Left,
            None if self.verdict_is_bad() || !self.may_stop() => Outcome::Bad,
            None if good => Outcome::Good,
            None => Outcome::Open,
        }
    }

    pub(super) fn state_word(&self) -> &'static str {
        match &self.phase {
            Phase::Preflight { .. } => "preflight",
            Phase::Intending { .. } => "intent",
            Phase::Reading { .. } | Phase::Writing { .. } => "acting",
            Phase::Confirming { .. } => "verify_api",
            Phase::Verifying { .. } => "verify_data",
            Phase::Watching => match (&self.epoch, &self.release) {
                (None, _) => "starting",
                (Some(_), Some(release)) if !release.over && release.latch.is_some() => "hold",
                (Some(_), Some(release)) if !release.over => "judging",
                (Some(epoch), _) if !epoch.established => "settling",
                (Some(_), _) => "idle",
            },
        }
    }
}

/// Every group that a state names, whatever its weight.
fn groups(state: &ListenerState) -> impl Iterator<Item = &str> {
    let forwards = state.rules().iter().filter_map(|rule| rule.forward.as_ref());
    forwards.flat_map(Forward::weights).map(|(arn, _)| arn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::rig::{NOW, armed, evidence, intent, rule};
    use crate::plan::{Style, after};
    use crate::verdict::{Verdict, Why};

    fn unprotected(change: impl FnOnce(&mut Guard)) -> Option<(Duration, &'static str)> {
        let mut guard = armed();
        change(&mut guard);
        guard.unprotected(NOW).map(|one| (one.until.since(NOW), one.reason))
    }

    #[test]
    fn where_it_stands_is_the_same_word_in_its_status() {
        let mut guard = armed();
        assert_eq!(guard.state(), guard.status(NOW).state);
        guard.phase = Phase::Preflight { op: None, evidence: evidence(), since: NOW, tries: 0, at: NOW };
        assert_eq!((guard.state(), guard.status(NOW).state), ("preflight", "preflight"));
    }

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn after_a_revert_nobody_is_protected_until_the_last_reason_has_gone() {
        assert_eq!(unprotected(|_| {}), None);
        let ago = |minutes: u32| NOW.before(MINUTE * minutes);
        // A cool-down of half an hour; one an hour, three a day.
        assert_eq!(unprotected(|guard| guard.reverts = vec![ago(20)]), Some((40 * MINUTE, "budget")));
        assert_eq!(
            unprotected(|guard| {
                (guard.reverts, guard.policy.reverts_per_hour_max) = (vec![ago(20)], 9);
            }),
            Some((10 * MINUTE, "cool-down"))
        );
        assert_eq!(unprotected(|guard| guard.reverts = vec![ago(60)]), None, "its hour is over");
        let day = |guard: &mut Guard| guard.reverts = vec![ago(61), ago(23 * 60), ago(70), ago(25 * 60)];
        assert_eq!(unprotected(day), Some((60 * MINUTE, "budget")), "the oldest of the three of this day");
        let more = |guard: &mut Guard| guard.reverts = vec![ago(61), ago(23 * 60), ago(22 * 60), ago(70)];
        assert_eq!(unprotected(more), Some((120 * MINUTE, "budget")), "two have to be forgotten");
    }

    #[test]
    fn nobody_is_protected_for_as_long_as_a_condition_of_acting_says_so() {
        let mut guard = armed();
        for (minutes, an_hour) in (0..=1_500).step_by(5).flat_map(|minutes| [(minutes, 1), (minutes, 9)]) {
            let ago = [minutes, minutes / 2, 90];
            guard.reverts = ago.map(|minutes| NOW.before(MINUTE * minutes)).to_vec();
            guard.policy.reverts_per_hour_max = an_hour;
            let limits = |now: Mono| {
                let failing =
                    guard.conditions(now, None).into_iter().filter(|(_, condition)| !condition.holds);
                let names = failing.map(|(name, _)| name);
                names.filter(|name| matches!(*name, "cool-down" | "budget")).collect::<Vec<_>>()
            };
            let Some(one) = guard.unprotected(NOW) else {
                assert_eq!(limits(NOW), [""; 0], "{ago:?}");
                continue;
            };
            assert!(!limits(NOW).is_empty(), "{ago:?}");
            assert!(limits(Mono(one.until.0 - 1)).contains(&one.reason), "{ago:?}: {one:?}");
            assert_eq!(limits(one.until), [""; 0], "{ago:?}: {one:?}");
        }
    }

    #[test]
    fn the_sides_are_told_by_name() {
        let guard = armed();
        assert_eq!(guard.sides(), (vec!["g".into()], vec!["b".into()]));
        let mut single = armed();
        single.live.as_mut().unwrap().state = rule("l", 0, 1).into();
        let writes = crate::plan::revert(&rule("l", 0, 1).into(), &rule("l", 1, 0).into(), Style::Exclusive);
        single.live.as_mut().unwrap().state = after(&rule("l", 0, 1).into(), &writes.unwrap());
        (single.release, single.good) = (None, None);
        assert_eq!(single.sides(), (vec!["b".into()], vec![]), "nothing names the other");
        single.live = None;
        assert_eq!(single.sides(), (vec![], vec![]));
    }

    #[test]
    fn a_release_comes_to_one_word() {
        let word = |change: fn(&mut Guard)| {
            let mut guard = armed();
            change(&mut guard);
            guard.outcome()
        };
        let open = |guard: &mut Guard| {
            guard.judged.as_mut().unwrap().verdict = Verdict::Inconclusive(Why::Suspect);
        };
        let mut guard = armed();
        open(&mut guard);
        assert_eq!(guard.outcome(), Outcome::Open);
        guard.epoch.as_mut().unwrap().established = true;
        assert_eq!(guard.outcome(), Outcome::Good);
        guard.release.as_mut().unwrap().first = crate::release::EpochId(99);
        assert_eq!(guard.outcome(), Outcome::Open, "an earlier epoch was good");
        assert_eq!(word(|_| {}), Outcome::Bad, "the verdict is bad");
        assert_eq!(word(|guard| guard.release = None), Outcome::None);
        for (reason, outcome) in
            [("reverted", Outcome::Bad), ("lever", Outcome::Bad), ("overridden", Outcome::Left)]
        {
            let mut guard = armed();
            guard.latch(reason, false, &mut vec![]);
            open(&mut guard);
            assert_eq!(guard.outcome(), outcome, "{reason}");
        }
        let mut acting = armed();
        open(&mut acting);
        let (op, intent, at) = (crate::guard::OpId(1), intent(&acting), NOW);
        acting.phase = Phase::Intending { op, intent, at };
        assert_eq!(acting.outcome(), Outcome::Bad, "it is being put back");
        assert_eq!(
            word(|guard| guard.release.as_mut().unwrap().over = true),
            Outcome::Good,
            "its time is over"
        );
        let taken = |guard: &mut Guard| {
            guard.release.as_mut().unwrap().over = true;
            guard.epoch.as_mut().unwrap().cause = Cause::Rollback;
        };
        assert_eq!(word(taken), Outcome::Left);
        let words =
            [Outcome::None, Outcome::Open, Outcome::Good, Outcome::Bad, Outcome::Left].map(Outcome::word);
        assert_eq!(words, ["none", "open", "good", "bad", "left"]);
    }
}
