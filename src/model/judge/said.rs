//! What the judge says, and what it rests on.

use crate::release::{Baseline, EpochId};
use crate::sample::Fault;
use crate::target::{TargetId, Version};
use crate::time::{Mono, Span};
use crate::verdict::Verdict;
use std::collections::BTreeSet;

/// What the judge says at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The epoch that it is about.
    pub epoch: EpochId,
    /// When.
    pub at: Mono,
    /// The word.
    pub verdict: Verdict,
    /// Production answers in the rolling window, all versions.
    pub answers: u32,
    /// How many were bad.
    pub bad: u32,
    /// P95 over that window.
    pub p95: Option<Span>,
    /// Good production answers since the epoch opened.
    pub good_answers: u64,
    /// The versions that production answered with in this epoch.
    pub versions: BTreeSet<Version>,
    /// Those of them that still answered when the change had spread: what came before may be the previous state's.
    pub settled: BTreeSet<Version>,
    /// The first bad production answer of this epoch.
    pub first_bad: Option<FirstBad>,
    /// The old version, asked directly.
    pub direct: Direct,
    /// Production over the settling span, to be the baseline of what comes next.
    pub baseline: Baseline,
    /// Samples of the last second that are void by our own doing, and all of them.
    pub void: (u32, u32),
    /// Production answers over the rolling window as a share of those that were planned; `None` before two seconds of a pace.
    pub attained: Option<f64>,
    /// A breach may be in the making, or waits for the old version's word: what that says is worth more probes than usual.
    pub doubt: bool,
}

/// The first answer of an epoch that broke a promise of availability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstBad {
    /// When it was due.
    pub due: Mono,
    /// When it was known.
    pub done: Mono,
    /// Which target.
    pub target: TargetId,
    /// Its status; 0 when none came.
    pub status: u16,
    /// The fault, or `None` for a probe that found no slot.
    pub fault: Option<Fault>,
    /// The version that answered.
    pub version: Option<Version>,
}

/// What the old version's own targets answered over the last seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Direct {
    /// Answers and failures.
    pub answers: u32,
    /// Bad ones.
    pub bad: u32,
    /// Slow ones.
    pub slow: u32,
    /// Addresses that were asked and gave only good answers.
    pub addresses_good: u32,
    /// Addresses that were asked.
    pub addresses: u32,
    /// The versions that they named.
    pub versions: BTreeSet<Version>,
}

/// Something that deserves a look at the listener at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A version answered that this epoch had not shown before.
    Version(Version),
    /// A bad answer where all was well.
    Failure,
}
