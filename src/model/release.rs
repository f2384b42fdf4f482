//! Epochs and releases: evidence belongs to one state of the listener, and a release has one way back.

use crate::listener::{Fingerprint, ListenerState};
use crate::target::Version;
use crate::time::Mono;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One state of the listener at one time. A persisted counter, never reused: equal states at different times are different epochs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EpochId(pub u32);

/// One change from a good base. Counted like epochs, and persisted like them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReleaseId(pub u32);

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// Why an epoch began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The first read after our start.
    Start,
    /// Somebody changed the listener to a state, a version or targets not seen before: a release.
    Foreign,
    /// Another weight of the same release.
    Step,
    /// The listener stayed, and another version answered: judged and told, with no lever.
    Version,
    /// Somebody put back an earlier state with its earlier version: recorded, never armed.
    Rollback,
    /// Our own write. Never a cutover.
    OwnRevert,
}

/// How many answers speak of a promise, and how many of them broke it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Answers.
    pub answers: u32,
    /// Those that broke it.
    pub bad: u32,
}

/// How production did over a span before a cutover.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// Answers.
    pub answers: u32,
    /// Bad ones.
    pub bad: u32,
    /// Slow ones.
    pub slow: u32,
    /// P95, in units of 100 ns; 0 when unknown.
    pub p95: u32,
    /// Other promises than the service's availability and its P95, by their place in the objectives.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<u16, Tally>,
}

impl Tally {
    /// What share may have been normal: the observed one and three standard errors (and three events, the rule of three, when
    /// none was seen). 1.0 when nothing was measured: nothing is worse than unknown.
    #[must_use]
    pub fn upper_share(self) -> f64 {
        if self.answers == 0 {
            return 1.0;
        }
        let bad = f64::from(self.bad);
        ((bad + 3.0 * bad.sqrt() + 3.0) / f64::from(self.answers)).min(1.0)
    }
}

/// A state that was judged good, and all that must still be true of it when it is returned to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Good {
    /// The epoch in which it was judged so.
    pub epoch: EpochId,
    /// The before-image.
    pub state: ListenerState,
    /// The versions that answered then.
    pub versions: BTreeSet<Version>,
    /// The targets that were registered then in the groups that served.
    pub targets: BTreeSet<Box<str>>,
    /// How many of them were healthy then.
    pub healthy: u32,
    /// How production did then.
    pub baseline: Baseline,
}

/// An earlier state, by what tells it from a new release that uses the same colours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// The versions that answered in it.
    pub versions: BTreeSet<Version>,
    /// The targets that were registered in the groups that served.
    pub targets: BTreeSet<Box<str>>,
}

impl Earlier {
    /// Whether versions or targets show that the same colours now hold something else.
    #[must_use]
    pub fn differs(&self, versions: &BTreeSet<Version>, targets: &BTreeSet<Box<str>>) -> bool {
        let new_version =
            !self.versions.is_empty() && versions.iter().any(|version| !self.versions.contains(version));
        let new_target =
            !self.targets.is_empty() && targets.iter().any(|target| !self.targets.contains(target));
        // A version that is known outranks targets: a restarted task has a new address and the old build.
        if versions.is_empty() || self.versions.is_empty() { new_target } else { new_version }
    }
}

/// What the judge must know of the epoch that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Its id; samples carry it from when they are due.
    pub epoch: EpochId,
    /// The last read that showed the previous state. Samples due between it and `since` are straddling.
    pub after: Mono,
    /// The first read that showed this state.
    pub since: Mono,
    /// When the release was cut over; `since` when there is none. After a restart it lies before `since`.
    pub cutover: Mono,
    /// Whether a release is under judgement. Otherwise every answer is the current version's.
    pub release: bool,
    /// The versions of the state to return to and of the one that was just left; answers that carry them are not the
    /// new version's.
    pub old_versions: BTreeSet<Version>,
    /// One target group has all the weight, so that answers without a version are its own once the change has spread.
    pub one_has_all: bool,
    /// How production did before.
    pub baseline: Baseline,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_normal_is_three_standard_errors_above_what_was_seen() {
        let share = |answers, bad| Tally { answers, bad }.upper_share();
        let near = |left: f64, right: f64| (left - right).abs() < 1e-12;
        assert!(near(share(1_000, 0), 0.003), "the rule of three");
        assert!(near(share(1_000, 4), 0.013));
        assert!(near(share(10, 9), 1.0), "never more than all");
        assert!(near(share(0, 0), 1.0), "nothing is worse than unknown");
    }

    #[test]
    fn the_same_colours_hold_something_else_when_a_version_tells_or_without_one_a_target() {
        let versions = |names: &[&str]| names.iter().copied().map(Version::from).collect::<BTreeSet<_>>();
        let targets = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect::<BTreeSet<_>>();
        let differs = |before: (&[&str], &[&str]), now: (&[&str], &[&str])| {
            let fingerprint = Fingerprint("forward blue=1".into());
            let earlier = Earlier { fingerprint, versions: versions(before.0), targets: targets(before.1) };
            earlier.differs(&versions(now.0), &targets(now.1))
        };
        assert!(differs((&["v1"], &["a"]), (&["v1", "v2"], &["a"])), "a new version");
        assert!(!differs((&["v1", "v2"], &["a"]), (&["v1"], &["a"])), "one that was there");
        assert!(!differs((&["v1"], &["a"]), (&["v1"], &["b"])), "a restarted task has a new address");
        assert!(differs((&[], &["a"]), (&["v1"], &["a", "b"])), "no version was known: a new target");
        assert!(differs((&["v1"], &["a"]), (&[], &["b"])), "none is known now: a new target");
        assert!(!differs((&["v1"], &["a", "b"]), (&[], &["a"])), "one that was there");
        assert!(!differs((&[], &[]), (&["v1"], &["a"])), "nothing was known");
    }

    #[test]
    fn a_release_reads_as_its_number() {
        assert_eq!(ReleaseId(7).to_string(), "r7");
    }
}
