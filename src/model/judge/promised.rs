//! The objectives of a service, each with its test and what the test remembers.

use crate::detector::burn_rate::Spent;
use crate::detector::{Memo, Promise};
use crate::objective::{Goal, Objective, P95, Scope};
use crate::policy::{JudgePolicy, Policy};
use crate::release::{Baseline, Tally};
use crate::time::Mono;
use crate::verdict::Stream;
use crate::window::trail::Trail;
use crate::window::{Entry, Mark, View};
use std::time::Duration;

/// So far back is looked at least: a share that takes longer to show isn't a release's fault at a release's
/// pace.
const CLIMB: Duration = Duration::from_mins(1);

/// One objective under judgement.
#[derive(Clone, Debug)]
pub(crate) struct Promised {
    /// Its place in the objectives.
    index: u16,
    pub(crate) promise: Promise,
    spent: Option<Spent>,
}

/// What the last looks at one promise found: at all answers of the new version, and at those past its grace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memos {
    pub(super) all: Option<Memo>,
    pub(super) past_grace: Option<Memo>,
    /// How many answers the breach has that was found; 0: none was.
    pub(super) breach: u32,
}

/// All of them. Each sample of the judged time is one look at each promise that it speaks of, by each policy that could revert on its
/// own.
pub(crate) fn all(policy: &JudgePolicy) -> Vec<Promised> {
    let objectives = &policy.objectives;
    let streams: f64 = objectives.all.iter().map(|objective| objective.rate_share).sum();
    let looks = (policy.release_rate_hz * policy.judge_for.as_secs_f64() * streams).max(1.0);
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate of releases, stated in round numbers, and a few policies"
    )]
    let alpha = {
        let alone = policy.policy.alone() as f64;
        1.0 / (policy.wrong_reverts_one_in.max(1) as f64 * looks * alone)
    };
    let spent = policy.policy.tests.iter().find_map(|test| match test {
        Policy::BurnRate(burns) => Some(Spent::new(burns)),
        Policy::Sequential | Policy::Threshold(_) | Policy::Baseline => None,
    });
    let limits = objectives.limits();
    (0..)
        .zip(&objectives.all)
        .map(|(index, objective)| {
            let promise = promise(policy, objective, alpha, &limits);
            Promised { index, promise, spent: spent.clone() }
        })
        .collect()
}

fn promise(policy: &JudgePolicy, objective: &Objective, alpha: f64, limits: &[Duration]) -> Promise {
    let (stream, mark, quantile) = match objective.goal {
        Goal::Availability { .. } => (Stream::Errors, Mark::BAD, P95),
        Goal::Latency { quantile, limit } => {
            let place = limits.iter().position(|known| *known == limit).unwrap_or(0);
            (Stream::Latency, Mark::limit(place), quantile)
        }
    };
    Promise {
        policies: policy.policy.clone(),
        stream,
        mark,
        scope: objective.scope.clone(),
        quantile,
        share_max: objective.goal.share_max(),
        alpha,
        samples_min: policy.samples_min,
        share_min: if stream == Stream::Errors { policy.error_rate_min } else { 0.0 },
        tolerate_blip: policy.tolerate_blip,
        luck_one_in: policy.wrong_reverts_one_in,
        window: policy.window,
        rate_hz: policy.release_rate_hz * objective.rate_share,
    }
}

/// A sum that has to climb takes the time that it takes, within reason, and so does the old version to be shown better.
pub(crate) fn evidence_span(policy: &JudgePolicy) -> Duration {
    let span = |test: &Policy| match test {
        Policy::Threshold(rule) => policy.window.saturating_add(rule.held_for),
        Policy::Sequential | Policy::BurnRate(_) | Policy::Baseline => policy.window,
    };
    policy.policy.tests.iter().map(span).max().unwrap_or(policy.window).max(CLIMB)
}

impl Promised {
    /// Of every URL.
    pub(super) fn is_whole(&self) -> bool {
        self.promise.scope == Scope::Service
    }

    /// The service's availability, or the first of its limits: what a baseline has counts of anyway.
    pub(super) fn is_usual(&self) -> bool {
        self.is_whole() && [Mark::BAD, Mark::SLOW].contains(&self.promise.mark)
    }

    /// What it has to see of a window.
    pub(super) fn trail(&self) -> Trail {
        let promise = &self.promise;
        Trail::new(promise.scope.clone(), promise.mark, promise.tolerate_blip)
    }

    /// What was spent of the budget so far goes on to be: `old` is the same promise.
    pub(super) fn go_on(&mut self, old: &Self) {
        self.spent.clone_from(&old.spent);
    }

    pub(super) fn clear(&mut self) {
        if let Some(spent) = &mut self.spent {
            spent.clear();
        }
    }

    /// An answer that is judged has come.
    pub(super) fn spend(&mut self, entry: &Entry, now: Mono) {
        if let Some(spent) = &mut self.spent
            && self.promise.scope.holds(entry.target)
            && self.promise.is_bad(entry)
        {
            spent.add(entry.due, now);
        }
    }

    pub(super) const fn spent(&self) -> Option<&Spent> {
        self.spent.as_ref()
    }

    pub(super) fn tally(&self, window: View<'_>) -> Tally {
        let (answers, bad) = window.tally(&self.promise.scope, self.promise.mark);
        Tally { answers, bad }
    }

    /// How it was kept before the cutover; `None`: nobody has counted.
    pub(super) fn before(&self, baseline: &Baseline) -> Option<Tally> {
        if !self.is_usual() {
            return baseline.others.get(&self.index).copied();
        }
        let bad = if self.promise.mark == Mark::BAD { baseline.bad } else { baseline.slow };
        Some(Tally { answers: baseline.answers, bad })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::tests::{judge, objectives};
    use crate::policy::{Burn, Join, Policies, Threshold};
    use crate::target::TargetId;
    use std::collections::BTreeMap;

    fn policy() -> JudgePolicy {
        judge(objectives(), true).policy
    }

    fn latency(scope: Scope, quantile: u32, ms: u64) -> Objective {
        Objective {
            scope,
            goal: Goal::Latency { quantile, limit: Duration::from_millis(ms) },
            rate_share: 1.0,
        }
    }

    fn near(one: f64, other: f64) -> bool {
        (one / other - 1.0).abs() < 1e-9
    }

    #[test]
    fn luck_is_shared_among_all_looks_at_all_promises_by_all_policies() {
        let mut policy = policy();
        policy.error_rate_min = 0.02;
        policy.policy = Policies { join: Join::Any, tests: vec![Policy::Sequential, Policy::Baseline] };
        let promises: Vec<Promise> = all(&policy).into_iter().map(|promised| promised.promise).collect();
        // 100 a second for a quarter of an hour, of 2.02 promises, by two policies, once in a million releases.
        let alpha = 1.0 / (1e6 * 100.0 * 900.0 * 2.02 * 2.0);
        assert!(promises.iter().all(|promise| near(promise.alpha, alpha)), "{promises:?}");
        assert!(near(promises[0].rate_hz, 100.0) && near(promises[2].rate_hz, 2.0));
        assert_eq!(
            promises.iter().map(|promise| promise.mark).collect::<Vec<_>>(),
            [Mark::BAD, Mark::SLOW, Mark::limit(1)]
        );
        let floors: Vec<bool> = promises.iter().map(|promise| promise.share_min > 0.0).collect();
        assert_eq!(floors, [true, false, false], "a floor is one of errors");
    }

    #[test]
    fn a_policy_that_never_looks_still_has_one_look() {
        let mut policy = policy();
        policy.judge_for = Duration::ZERO;
        assert!(near(all(&policy)[0].promise.alpha, 1e-6));
    }

    #[test]
    fn a_share_that_has_to_last_is_looked_at_for_as_long() {
        let span = |test: Policy| evidence_span(&JudgePolicy { policy: test.into(), ..policy() });
        let held = Threshold { held_for: Duration::from_secs(70), ..Threshold::default() };
        assert_eq!(span(Policy::Sequential), Duration::from_mins(1));
        assert_eq!(span(Policy::Threshold(held)), Duration::from_secs(80));
    }

    #[test]
    fn what_is_usual_of_a_promise_is_counted_by_its_own_mark_and_place() {
        let mut policy = policy();
        let part = Scope::Part { name: "all".into(), targets: [TargetId(1)].into() };
        policy.objectives.all.extend([latency(Scope::Service, 9_900, 800), latency(part, 9_500, 250)]);
        let promises = all(&policy);
        let usual: Vec<bool> = promises.iter().map(Promised::is_usual).collect();
        assert_eq!(usual, [true, true, false, false, false]);
        let tally = |answers, bad| Some(Tally { answers, bad });
        let others = BTreeMap::from([(2, Tally { answers: 200, bad: 1 })]);
        let baseline = Baseline { answers: 1_000, bad: 3, slow: 40, others, ..Baseline::default() };
        let before: Vec<Option<Tally>> = promises.iter().map(|promised| promised.before(&baseline)).collect();
        assert_eq!(before, [tally(1_000, 3), tally(1_000, 40), tally(200, 1), None, None]);
    }

    #[test]
    fn only_a_policy_that_burns_a_budget_keeps_what_was_spent() {
        let burns = vec![Burn { factor: 2.0, long: Duration::from_hours(1), short: Duration::from_mins(5) }];
        let kept = |tests: Vec<Policy>| {
            let policies = Policies { join: Join::Any, tests };
            all(&JudgePolicy { policy: policies, ..policy() })[0].spent().is_some()
        };
        assert!(!kept(vec![Policy::Sequential, Policy::Baseline]));
        assert!(kept(vec![Policy::Sequential, Policy::BurnRate(burns)]));
    }
}
