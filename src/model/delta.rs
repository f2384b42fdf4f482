//! One second of probing, as the publishers get it: counts and sparse distributions, never single samples.

use crate::sample::Purpose;
use crate::target::TargetId;
use crate::time::{Mono, Span};
use crate::window::{bucket, bucket_middle};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What one service's engine did in one second.
#[derive(Clone, Debug, PartialEq)]
pub struct Second {
    /// The service.
    pub service: Arc<str>,
    /// The end of the second.
    pub at: Mono,
    /// One entry a target and purpose that had anything to tell.
    pub deltas: Vec<Delta>,
    /// The rolling window, as the judge has it at the end of the second.
    pub rolling: Option<Rolling>,
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
    /// Samples that are void by our own doing.
    pub void: u32,
    /// Response time, from planned.
    pub response: Buckets,
    /// Service time, from begun.
    pub service: Buckets,
    /// Own lateness: begun − planned.
    pub lateness: Buckets,
    /// Each phase, in the order of [`crate::sample::Phases::NAMES`]; phases that didn't happen are left out.
    pub phases: [Buckets; 8],
}

/// A sparse distribution over the window's buckets: at most 0.8 % off.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Buckets(BTreeMap<u16, u32>);

impl Buckets {
    /// Adds one value.
    pub fn add(&mut self, value: Span) {
        *self.0.entry(bucket(value)).or_default() += 1;
    }

    /// Value (the middle of its bucket) and count, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (Span, u32)> + '_ {
        self.0.iter().map(|(index, count)| (bucket_middle(*index), *count))
    }

    /// How many values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.values().map(|count| u64::from(*count)).sum()
    }
}
