//! The numbers that a user may set, after they were checked: what is promised, how it is judged,
//! and what must hold before anything is done about it.

use crate::objective::Objectives;
use crate::plan::Style;
use std::fmt;
use std::time::Duration;

/// How promises are tested: by one policy, or by several together.
#[derive(Clone, Debug, PartialEq)]
pub struct Policies {
    /// How their words are joined.
    pub join: Join,
    /// At least one.
    pub tests: Vec<Policy>,
}

/// How the words of several policies are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Join {
    /// The first that finds a breach is believed.
    Any,
    /// A breach is one that all of them find.
    All,
}

/// One way to test a promise.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Policy {
    /// A bank of cumulative sums: as fast as the stated odds allow (`detector/sequential.rs`).
    #[default]
    Sequential,
    /// A share over the window, against the binomial tail (`detector/threshold.rs`).
    Threshold(Threshold),
    /// How quickly the error budget is spent, over pairs of windows (`detector/burn_rate.rs`).
    BurnRate(Vec<Burn>),
    /// The new version against the old one (`detector/baseline.rs`).
    Baseline,
}

/// What only the `threshold` policy asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Threshold {
    /// For how long the share has to have been too large.
    pub held_for: Duration,
    /// So many bad answers in a row are a breach too, if they last as long as a blip; 0: never.
    pub bad_streak: u32,
    /// After so many good answers in a row a breach is over; 0: only when the window is.
    pub good_streak: u32,
}

/// One pair of windows of the `burn_rate` policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burn {
    /// The budget is spent so many times as fast as the objective allows; more than 0.0.
    pub factor: f64,
    /// Over this span, to know that it matters,
    pub long: Duration,
    /// and over this one, to know that it goes on.
    pub short: Duration,
}

impl Policies {
    /// How many of them may revert on their own word.
    #[must_use]
    pub const fn alone(&self) -> usize {
        match self.join {
            Join::Any => self.tests.len(),
            Join::All => 1,
        }
    }
}

impl fmt::Display for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.tests.iter().map(Policy::name).collect();
        match (self.join, names.as_slice()) {
            (_, [name]) => f.write_str(name),
            (Join::Any, names) => write!(f, "any of {}", names.join(", ")),
            (Join::All, names) => write!(f, "all of {}", names.join(", ")),
        }
    }
}

impl From<Policy> for Policies {
    fn from(policy: Policy) -> Self {
        Self { join: Join::Any, tests: vec![policy] }
    }
}

impl Policy {
    /// As in the configuration.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Threshold(_) => "threshold",
            Self::BurnRate(_) => "burn_rate",
            Self::Baseline => "baseline",
        }
    }
}

/// How samples become a verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgePolicy {
    /// How the promises are tested.
    pub policy: Policies,
    /// The promises.
    pub objectives: Objectives,
    /// One good release in so many may be reverted by luck (`wrong_reverts = "1 in 1000000 releases"`).
    pub wrong_reverts_one_in: u64,
    /// One connected run of bad answers shorter than this never breaches.
    pub tolerate_blip: Duration,
    /// The trailing span over which the rolling error rate and P95 are taken.
    pub window: Duration,
    /// Fewer answers than this in the window are no good word; under the threshold policy no bad one either.
    pub samples_min: u32,
    /// A floor for the share of bad answers that breaches, whatever statistics says; 0.0 for none.
    pub error_rate_min: f64,
    /// From the first answer of the new version: only a version that answers nothing but errors is reverted.
    pub grace: Duration,
    /// How long an epoch must be good before it may be returned to.
    pub settle: Duration,
    /// How many answers that takes at least.
    pub settle_answers: u32,
    /// Authority to act ends so long after the cutover.
    pub judge_for: Duration,
    /// A breach that begins later than this also has to be worse than the old version was under load.
    pub onset: Duration,
    /// How long after a change the balancer may still route by its previous state.
    pub propagation: Duration,
    /// Probes a second of the service that the judge may expect inside a release (all targets together).
    pub release_rate_hz: f64,
    /// How the old version is heard.
    pub heard: Heard,
}

/// How the old version is heard while a release is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Heard {
    /// Its registered targets are asked directly.
    #[default]
    Directly,
    /// Nobody can ask it (a version of a Lambda function). What it answers in production, while it still gets requests, is its word.
    InProduction(Unheard),
}

/// What a breach means where the old version gets no requests any more, and so has no word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Unheard {
    /// It is told, and nothing is put back: what broke both versions at once looks the same.
    #[default]
    Hold,
    /// The release is blamed, if the control is well and the breach begins within `onset`.
    Revert,
}

/// What must hold before the lever is touched.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardPolicy {
    /// Act, or only say what would have been done.
    pub mode: Mode,
    /// No second automatic revert of this service within this time.
    pub cool_down: Duration,
    /// At most so many automatic reverts in any hour.
    pub reverts_per_hour_max: u32,
    /// At most so many automatic reverts in any day.
    pub reverts_per_day_max: u32,
    /// Blue needs at least this many healthy targets.
    pub healthy_min: u32,
    /// Blue needs at least this share of the targets that serve green now (1.0: as many).
    pub capacity_min: f64,
    /// Evidence older than this is never acted on.
    pub evidence_age_max: Duration,
    /// How the old version gets its requests back.
    pub revert_style: Style,
    /// Consecutive fresh answers of the old version, per balancer address, that prove a revert.
    pub verify_answers: u32,
    /// How long to wait for that proof.
    pub verify_for: Duration,
    /// A listener, a rule or an alias is governed; without one nothing is read and nothing can be reverted.
    pub has_lever: bool,
    /// The version that answers is known (some target names a version header).
    pub versions_known: bool,
    /// As in [`JudgePolicy`].
    pub settle: Duration,
    /// As in [`JudgePolicy`].
    pub settle_answers: u32,
    /// As in [`JudgePolicy`].
    pub judge_for: Duration,
    /// As in [`JudgePolicy`].
    pub heard: Heard,
}

/// Whether Serin may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Judge and tell, write nothing (the default).
    Observe,
    /// Revert when everything holds.
    Act,
}

impl Mode {
    /// As in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Act => "act",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_reads_as_it_is_set() {
        assert_eq!([Mode::Observe, Mode::Act].map(Mode::name), ["observe", "act"]);
    }

    fn several(join: Join) -> Policies {
        let threshold = Policy::Threshold(Threshold::default());
        Policies {
            join,
            tests: vec![Policy::Sequential, threshold, Policy::BurnRate(vec![]), Policy::Baseline],
        }
    }

    #[test]
    fn policies_read_as_they_are_set() {
        assert_eq!(Policies::from(Policy::Baseline).to_string(), "baseline");
        assert_eq!(several(Join::Any).to_string(), "any of sequential, threshold, burn_rate, baseline");
        assert_eq!(several(Join::All).to_string(), "all of sequential, threshold, burn_rate, baseline");
    }

    #[test]
    fn each_of_several_may_revert_alone_unless_all_have_to_agree() {
        assert_eq!((several(Join::Any).alone(), several(Join::All).alone()), (4, 1));
    }
}
