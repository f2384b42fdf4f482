//! What one second of probing adds up to.

use crate::model::delta::Delta;
use crate::model::sample::{Ours, Outcome, Purpose, Sample, Taint};
use crate::model::target::TargetId;
use crate::model::time::Mono;
use std::rc::Rc;

/// A version's share of a second is told for at most so many versions.
const VERSIONS_MAX: usize = 8;

/// The counts since the last second was told, by purpose and target.
#[derive(Debug, Default)]
pub(super) struct Tally {
    deltas: [Vec<Option<Box<Delta>>>; 3],
}

impl Tally {
    /// The second is over: what it came to.
    pub(super) fn take(&mut self) -> Vec<Delta> {
        self.deltas.iter_mut().flatten().filter_map(|delta| delta.take().map(|delta| *delta)).collect()
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
        let deltas = match purpose {
            Purpose::Production => &mut self.deltas[0],
            Purpose::Direct => &mut self.deltas[1],
            Purpose::Control => &mut self.deltas[2],
        };
        let index = usize::from(target.0);
        if deltas.len() <= index {
            deltas.resize_with(index + 1, || None);
        }
        deltas[index]
            .get_or_insert_with(|| Box::new(Delta { target, purpose: Some(purpose), ..Delta::default() }))
    }

    /// One sample has ended; it was taken up at `begun`.
    pub(super) fn count(&mut self, sample: &Sample, version: Option<&Rc<str>>, begun: Mono) {
        let delta = self.delta(sample.purpose, sample.target);
        delta.attempts += 1;
        // What a late probe says of the target is void, and so no failure of the target's.
        let speaks = sample.taint == Taint::Clean || !matches!(sample.outcome, Outcome::Bad(_));
        if let Some(reason) = sample.outcome.reason().filter(|_| speaks) {
            *delta.failures.entry(reason).or_default() += 1;
        }
        let done = sample.done();
        delta.lateness.add_time(begun.since(sample.planned));
        if sample.taint != Taint::Clean || matches!(sample.outcome, Outcome::Missed(_) | Outcome::Failed(_)) {
            delta.void += 1;
            return;
        }
        if sample.status != 0 {
            *delta.statuses.entry(sample.status).or_default() += 1;
        }
        if let Some(version) = version {
            if let Some(count) = delta.versions.get_mut(&**version) {
                *count += 1;
            } else if delta.versions.len() < VERSIONS_MAX {
                delta.versions.insert(version.as_ref().into(), 1);
            }
        }
        if sample.outcome == Outcome::Saturated {
            return;
        }
        delta.response.add(sample.response());
        delta.since_due.add_time(done.since(sample.due));
        delta.service.add_time(done.since(begun));
        for (buckets, span) in delta.phases.iter_mut().zip(sample.phases.all()) {
            if span.0 > 0 {
                buckets.add(span);
            }
        }
    }
}
