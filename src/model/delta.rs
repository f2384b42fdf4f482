//! One second of probing, as the publishers get it: counts and sparse distributions, never single samples.

use crate::distribution::{bucket, bucket_middle};
use crate::sample::{Outcome, Phases, Purpose};
use crate::target::TargetId;
use crate::time::{Mono, Span};
use crate::urls::UrlFigures;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What one service's engine did in one second.
#[derive(Clone, Debug, PartialEq)]
pub struct Second {
    /// The service.
    pub service: Arc<str>,
    /// The end of the second.
    pub at: Mono,
    /// The names of its targets, in the order of the configuration that it was probed by.
    pub targets: Arc<[Arc<str>]>,
    /// One entry a target and purpose that had anything to tell.
    pub deltas: Vec<Delta>,
    /// Where the time went.
    pub times: Times,
    /// The rolling window, as the judge has it at the end of the second.
    pub rolling: Option<Rolling>,
    /// The rolling window of each URL that has answers in it.
    pub urls: Vec<UrlFigures>,
    /// How the prober itself fared.
    pub own: Own,
}

/// How the engine's thread fared in one second: its own share in what was measured.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Own {
    /// How long it was not run when it should have been.
    pub stalled: Duration,
    /// What its cgroup's quota took.
    pub throttling: Throttling,
    /// How long its own loopback echoes lay unread.
    pub echo: Buckets,
}

impl Own {
    /// What another second adds.
    pub fn add(&mut self, other: &Self) {
        self.stalled += other.stalled;
        self.throttling.periods += other.throttling.periods;
        self.throttling.throttled_periods += other.throttling.throttled_periods;
        self.throttling.throttled += other.throttling.throttled;
        for (bucket, count) in &other.echo.counts {
            self.echo.add_many(*bucket, *count);
        }
    }
}

/// Counters of a cgroup's `cpu.stat` (kernel documentation, `cgroup-v2`), or what was added to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Throttling {
    /// Enforcement periods in which the cgroup wanted to run.
    pub periods: u64,
    /// Those in which it used up its quota.
    pub throttled_periods: u64,
    /// How long it was throttled, all its threads' CPUs together.
    pub throttled: Duration,
}

impl Throttling {
    /// What was added since `before`.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self {
            periods: self.periods.saturating_sub(before.periods),
            throttled_periods: self.throttled_periods.saturating_sub(before.throttled_periods),
            throttled: self.throttled.saturating_sub(before.throttled),
        }
    }
}

/// The judge's rolling figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rolling {
    /// Production answers in the window.
    pub answers: u32,
    /// Bad ones.
    pub bad: u32,
    /// P95 of the window; `None` without an answer.
    pub p95: Option<Span>,
    /// Answers as a share of those that were planned; `None` before two seconds of a pace.
    pub attained: Option<f64>,
    /// One of [`crate::verdict::Verdict::WORDS`].
    pub verdict: &'static str,
}

/// What one target did, for one purpose, in one second.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Delta {
    /// Which target.
    pub target: TargetId,
    /// What for; `None` only in a default.
    pub purpose: Option<Purpose>,
    /// Probes that came to an end, whatever it was.
    pub attempts: u32,
    /// Those that failed, by [`crate::sample::Outcome::reason`] (`saturated` and the `prober.*` ones included).
    pub failures: BTreeMap<&'static str, u32>,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u32>,
    /// Answers by version, for the picture of a release; at most a few a second.
    pub versions: BTreeMap<Box<str>, u32>,
    /// Answers and failures that are the target's doing.
    pub answers: u32,
    /// Those that break the promise of availability, whoever in the path is to blame.
    pub bad: u32,
    /// Samples that are void by our own doing.
    pub void: u32,
    /// Response time, from planned.
    pub response: Buckets,
    /// The last one of production that isn't void.
    pub last: Option<Last>,
}

/// One probe, as far as dashboards of probers that tell nothing but the last one want it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    /// What came of it.
    pub outcome: Outcome,
    /// The HTTP status; 0 when no answer came.
    pub status: u16,
    /// Where its time went.
    pub phases: Phases,
}

/// Where the time of one second's probes went, all targets together: what is compared over time, not over URLs.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Times {
    /// Service time of production, from begun.
    pub service: Buckets,
    /// Response time of production from due: the wait for the coalescing quantum included.
    pub since_due: Buckets,
    /// Own lateness of all probes: begun − planned.
    pub lateness: Buckets,
    /// Each phase of production, in the order of [`crate::sample::Phases::NAMES`]; phases that didn't happen are left out.
    pub phases: [Buckets; 8],
}

/// A sparse distribution over the window's buckets: at most 0.8 % off.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Buckets {
    /// Bucket and count, ascending. Times of one second lie close together, so a search in a short list beats a tree.
    counts: Vec<(u16, u32)>,
}

impl Buckets {
    /// Adds one value.
    pub fn add(&mut self, value: Span) {
        self.add_many(bucket(value), 1);
    }

    fn add_many(&mut self, bucket: u16, count: u32) {
        match self.counts.binary_search_by_key(&bucket, |(index, _)| *index) {
            Ok(at) => self.counts[at].1 += count,
            Err(at) => self.counts.insert(at, (bucket, count)),
        }
    }

    /// Adds one value, rounded down to 100 ns.
    pub fn add_time(&mut self, value: Duration) {
        self.add(Span::of(value));
    }

    /// Value (the middle of its bucket) and count, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (Span, u32)> + '_ {
        self.counts.iter().map(|(index, count)| (bucket_middle(*index), *count))
    }

    /// How many values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|(_, count)| u64::from(*count)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(value: u64) -> Own {
        let mut echo = Buckets::default();
        echo.add_time(Duration::from_millis(value));
        echo.add_time(Duration::from_millis(value));
        let throttled = Duration::from_millis(3 * value);
        let throttling = Throttling { periods: value, throttled_periods: 2 * value, throttled };
        Own { stalled: Duration::from_millis(value), throttling, echo }
    }

    #[test]
    fn two_seconds_of_our_own_share_add_up() {
        let mut sum = own(5);
        sum.add(&own(5));
        assert_eq!(sum.stalled, Duration::from_millis(10));
        let throttled = Duration::from_millis(30);
        assert_eq!(sum.throttling, Throttling { periods: 10, throttled_periods: 20, throttled });
        assert_eq!((sum.echo.count(), sum.echo.iter().count()), (4, 1));
        sum.add(&own(50));
        assert_eq!((sum.echo.count(), sum.echo.iter().count()), (6, 2));
    }

    #[test]
    fn what_was_added_since_is_told_and_a_counter_that_fell_adds_nothing() {
        let (before, after) = (own(4).throttling, own(10).throttling);
        let throttled = Duration::from_millis(18);
        assert_eq!(after.since(before), Throttling { periods: 6, throttled_periods: 12, throttled });
        assert_eq!(before.since(after), Throttling::default());
    }

    #[test]
    fn a_distribution_tells_its_values_in_order() {
        let mut times = Buckets::default();
        assert_eq!(times.count(), 0);
        for millis in [90, 10, 90, 40] {
            times.add(Span::of(Duration::from_millis(millis)));
        }
        let told: Vec<(f64, u32)> = times.iter().map(|(value, count)| (value.millis(), count)).collect();
        let near = |(told, count): (f64, u32), value: f64, times| {
            (told / value - 1.0).abs() < 0.008 && count == times
        };
        assert_eq!((told.len(), times.count()), (3, 4));
        assert!(near(told[0], 10.0, 1) && near(told[1], 40.0, 1) && near(told[2], 90.0, 2), "{told:?}");
    }
}
