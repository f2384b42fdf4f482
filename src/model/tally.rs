//! What one second of probing adds up to.

use crate::delta::{Delta, Last, Times};
use crate::sample::{Ours, Outcome, Purpose, Sample, Taint};
use crate::target::TargetId;
use crate::time::Mono;
use std::time::Duration;

/// A version's share of a second is told for at most so many versions.
const VERSIONS_MAX: usize = 8;

/// The counts since the last second was told, by purpose and target.
#[derive(Debug, Default)]
pub struct Tally {
    deltas: [Vec<Option<Box<Delta>>>; 3],
    times: Times,
    bad_over: Option<Duration>,
}

impl Tally {
    /// Nothing counted yet. A good answer that takes longer than `bad_over` is a bad one.
    #[must_use]
    pub fn new(bad_over: Option<Duration>) -> Self {
        Self { bad_over, ..Self::default() }
    }

    /// The second is over: what it came to, by target, and where the time went.
    pub fn take(&mut self) -> (Vec<Delta>, Times) {
        let deltas =
            self.deltas.iter_mut().flatten().filter_map(|delta| delta.take().map(|delta| *delta)).collect();
        (deltas, std::mem::take(&mut self.times))
    }

    /// Due probes that were never sent, because we were not run in time.
    pub fn missed(&mut self, purpose: Purpose, target: TargetId, count: u64) {
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
    pub fn count(&mut self, sample: &Sample, version: Option<&str>, begun: Mono) {
        self.times.lateness.add_time(begun.since(sample.planned));
        let bad_over = self.bad_over;
        let delta = self.delta(sample.purpose, sample.target);
        delta.attempts += 1;
        // What a late probe says of the target is void, and so no failure of the target's.
        let speaks = sample.taint == Taint::Clean || !matches!(sample.outcome, Outcome::Bad(_));
        if let Some(reason) = sample.outcome.reason().filter(|_| speaks) {
            *delta.failures.entry(reason).or_default() += 1;
        }
        if sample.taint != Taint::Clean || matches!(sample.outcome, Outcome::Missed(_) | Outcome::Failed(_)) {
            delta.void += 1;
            return;
        }
        let over = |max: Duration| sample.response().duration() > max;
        delta.answers += 1;
        delta.bad += u32::from(sample.outcome != Outcome::Ok || bad_over.is_some_and(over));
        if sample.status != 0 {
            *delta.statuses.entry(sample.status).or_default() += 1;
        }
        if let Some(version) = version {
            if let Some(count) = delta.versions.get_mut(version) {
                *count += 1;
            } else if delta.versions.len() < VERSIONS_MAX {
                delta.versions.insert(version.into(), 1);
            }
        }
        if sample.purpose == Purpose::Production {
            let Sample { outcome, status, phases, .. } = *sample;
            delta.last = Some(Last { outcome, status, phases });
        }
        if sample.outcome == Outcome::Saturated {
            return;
        }
        delta.response.add(sample.response());
        if sample.purpose != Purpose::Production {
            return;
        }
        let (done, times) = (sample.done(), &mut self.times);
        times.since_due.add_time(done.since(sample.due));
        times.service.add_time(done.since(begun));
        for (buckets, span) in times.phases.iter_mut().zip(sample.phases.all()) {
            if span.0 > 0 {
                buckets.add(span);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::EpochId;
    use crate::sample::{Fault, Phases};
    use crate::target::VersionId;
    use crate::time::Span;

    fn sample(outcome: Outcome, taint: Taint, ms: u32) -> Sample {
        Sample {
            due: Mono(0),
            planned: Mono(0),
            phases: Phases { first_byte: Span(ms * 10_000), ..Phases::default() },
            target: TargetId(0),
            conn: 1,
            epoch: EpochId(0),
            addr: 0,
            version: VersionId::NONE,
            status: 200,
            purpose: Purpose::Production,
            taint,
            outcome,
            told_slow: false,
        }
    }

    #[test]
    fn void_samples_are_no_answers_and_slow_ones_are_bad_when_they_are_promised_not_to_be() {
        let mut tally = Tally::new(Some(Duration::from_millis(100)));
        let mut count = |outcome, taint, ms| tally.count(&sample(outcome, taint, ms), None, Mono(0));
        count(Outcome::Ok, Taint::Clean, 100);
        count(Outcome::Ok, Taint::Clean, 101);
        count(Outcome::Ok, Taint::Clean, 5_000);
        count(Outcome::Bad(Fault::ConnectRefused), Taint::Clean, 1);
        count(Outcome::Saturated, Taint::Clean, 1);
        for taint in [Taint::Late, Taint::Stalled, Taint::Straddling] {
            count(Outcome::Bad(Fault::Status), taint, 1);
            count(Outcome::Ok, taint, 1);
        }
        count(Outcome::Failed(Ours::Library), Taint::Clean, 1);
        count(Outcome::Missed(Ours::Late), Taint::Clean, 1);
        tally.missed(Purpose::Production, TargetId(0), 7);
        let (deltas, _) = tally.take();
        assert_eq!((deltas[0].answers, deltas[0].bad, deltas[0].void), (5, 4, 15));
        assert_eq!(deltas[0].attempts, 20);
    }

    #[test]
    fn each_target_and_purpose_is_counted_alone_and_anew_each_second() {
        let mut tally = Tally::new(None);
        let of = |purpose, target| {
            let target = TargetId(target);
            Sample { target, purpose, ..sample(Outcome::Ok, Taint::Clean, 10) }
        };
        for (purpose, target) in
            [(Purpose::Production, 2), (Purpose::Production, 0), (Purpose::Direct, 0), (Purpose::Control, 1)]
        {
            tally.count(&of(purpose, target), None, Mono(0));
        }
        tally.count(&of(Purpose::Production, 2), None, Mono(0));
        let told: Vec<_> =
            tally.take().0.iter().map(|delta| (delta.purpose, delta.target.0, delta.attempts)).collect();
        let [production, direct, control] =
            [Purpose::Production, Purpose::Direct, Purpose::Control].map(Some);
        assert_eq!(told, [(production, 0, 1), (production, 2, 2), (direct, 0, 1), (control, 1, 1)]);
        assert_eq!(tally.take(), (vec![], Times::default()));
    }

    #[test]
    fn a_failure_of_a_late_probe_is_not_the_targets() {
        let mut tally = Tally::new(None);
        for taint in [Taint::Clean, Taint::Late, Taint::Clean] {
            tally.count(&sample(Outcome::Bad(Fault::Status), taint, 1), None, Mono(0));
        }
        for taint in [Taint::Clean, Taint::Late] {
            tally.count(&sample(Outcome::Failed(Ours::Library), taint, 1), None, Mono(0));
        }
        let failures = tally.take().0.remove(0).failures;
        assert_eq!(failures, [("prober.library", 2), ("status", 2)].into());
    }

    #[test]
    fn answers_are_told_by_status_and_by_version_of_at_most_eight() {
        let mut tally = Tally::new(None);
        for version in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "a", "i", "a"] {
            tally.count(&sample(Outcome::Ok, Taint::Clean, 1), Some(version), Mono(0));
        }
        let silent = Sample { status: 0, ..sample(Outcome::Bad(Fault::Timeout), Taint::Clean, 1) };
        tally.count(&silent, None, Mono(0));
        let delta = tally.take().0.remove(0);
        assert_eq!(delta.statuses, [(200, 12)].into());
        assert_eq!(
            (delta.versions.len(), delta.versions.get("a"), delta.versions.get("i")),
            (8, Some(&3), None)
        );
        assert_eq!((delta.answers, delta.bad), (13, 1));
    }

    #[test]
    fn the_last_probe_of_production_that_is_not_void_is_kept() {
        let mut tally = Tally::new(None);
        let [first, second] = [(Outcome::Ok, 1), (Outcome::Saturated, 2)]
            .map(|(outcome, ms)| sample(outcome, Taint::Clean, ms));
        let direct = Sample { purpose: Purpose::Direct, ..sample(Outcome::Ok, Taint::Clean, 3) };
        let void = [Taint::Late, Taint::Stalled].map(|taint| sample(Outcome::Ok, taint, 4));
        let ours = sample(Outcome::Failed(Ours::Library), Taint::Clean, 5);
        for each in [&first, &second, &direct, &void[0], &void[1], &ours] {
            tally.count(each, None, Mono(0));
        }
        let lasts: Vec<Option<Last>> = tally.take().0.into_iter().map(|delta| delta.last).collect();
        let kept = Last { outcome: Outcome::Saturated, status: 200, phases: second.phases };
        assert_eq!(lasts, [Some(kept), None], "of production, and of those asked directly");
        tally.count(&void[0], None, Mono(0));
        assert_eq!(tally.take().0[0].last, None, "that of another second is not told again");
    }

    #[test]
    fn where_the_time_went_is_told_of_production_that_was_sent() {
        let mut tally = Tally::new(None);
        tally.count(&sample(Outcome::Ok, Taint::Clean, 10), None, Mono(2_000_000));
        tally.count(&sample(Outcome::Saturated, Taint::Clean, 10), None, Mono(0));
        let direct = Sample { purpose: Purpose::Direct, ..sample(Outcome::Ok, Taint::Clean, 10) };
        tally.count(&direct, None, Mono(0));
        let (deltas, times) = tally.take();
        let near = |buckets: &crate::delta::Buckets, millis: f64| {
            let told: Vec<_> = buckets.iter().collect();
            told.len() == 1 && told[0].1 == 1 && (told[0].0.millis() / millis - 1.0).abs() < 0.008
        };
        assert!(near(&times.since_due, 10.0) && near(&times.service, 8.0));
        assert_eq!(times.lateness.count(), 3, "of all probes");
        let counts = times.phases.map(|phase| phase.count());
        assert_eq!(counts, [0, 0, 0, 0, 0, 0, 1, 0], "a phase that didn't happen is left out");
        assert_eq!(deltas.iter().map(|delta| delta.response.count()).collect::<Vec<_>>(), [1, 1]);
    }
}
