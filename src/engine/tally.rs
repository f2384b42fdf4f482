//! What one second of probing adds up to.

use crate::model::delta::Delta;
use crate::model::sample::{Ours, Outcome, Purpose, Sample, Taint};
use crate::model::target::{TargetId, Version};
use crate::model::time::Span;
use std::collections::BTreeMap;

/// A version's share of a second is told for at most so many versions.
const VERSIONS_MAX: usize = 8;

/// The counts since the last second was told.
#[derive(Debug, Default)]
pub(super) struct Tally {
    deltas: BTreeMap<(Purpose, TargetId), Delta>,
}

impl Tally {
    /// The second is over: what it came to.
    pub(super) fn take(&mut self) -> Vec<Delta> {
        std::mem::take(&mut self.deltas).into_values().collect()
    }

    /// Due probes that were never sent, because we were not run in time.
    pub(super) fn missed(&mut self, purpose: Purpose, target: TargetId, count: u64) {
        let delta = self.delta(purpose, target);
        let missed = u32::try_from(count).unwrap_or(u32::MAX);
        let reason = delta.failures.entry(Ours::Late.name()).or_default();
        *reason = reason.saturating_add(missed);
        delta.attempts = delta.attempts.saturating_add(missed);
        delta.void = delta.void.saturating_add(missed);
    }

    fn delta(&mut self, purpose: Purpose, target: TargetId) -> &mut Delta {
        self.deltas.entry((purpose, target)).or_insert_with(|| Delta {
            target,
            purpose: Some(purpose),
            ..Delta::default()
        })
    }

    /// One sample has ended.
    pub(super) fn count(&mut self, sample: &Sample, version: Option<&Version>) {
        let delta = self.delta(sample.purpose, sample.target);
        delta.attempts += 1;
        // What a late probe says of the target is void, and so no failure of the target's.
        let speaks = sample.taint == Taint::Clean || !matches!(sample.outcome, Outcome::Bad(_));
        if let Some(reason) = sample.outcome.reason().filter(|_| speaks) {
            *delta.failures.entry(reason).or_default() += 1;
        }
        let begun = sample.due.after(sample.phases.wake.duration());
        delta.lateness.add(Span::of(begun.since(sample.planned)));
        if sample.taint != Taint::Clean || matches!(sample.outcome, Outcome::Missed(_) | Outcome::Failed(_)) {
            delta.void += 1;
            return;
        }
        if sample.status != 0 {
            *delta.statuses.entry(sample.status).or_default() += 1;
        }
        if let Some(version) = version
            && (delta.versions.len() < VERSIONS_MAX || delta.versions.contains_key(&*version.0))
        {
            *delta.versions.entry(version.0.as_ref().into()).or_default() += 1;
        }
        if sample.outcome == Outcome::Saturated {
            return;
        }
        delta.response.add(sample.response());
        delta.service.add(Span::of(sample.done().since(begun)));
        for (buckets, span) in delta.phases.iter_mut().zip(sample.phases.all()) {
            if span.0 > 0 {
                buckets.add(span);
            }
        }
    }
}
