//! What the guard remembers: the listener as last read, the open epoch, the release, and where the acting path stands.

use super::{Course, Marks, OpId};
use crate::listener::{Fingerprint, GroupHealth, ListenerState};
use crate::record::Intent;
use crate::release::{Cause, EpochId, Good, ReleaseId};
use crate::target::Version;
use crate::time::Mono;
use crate::verdict::Evidence;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The listener as last read.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) state: ListenerState,
    pub(super) fingerprint: Fingerprint,
    pub(super) health: Vec<GroupHealth>,
    /// As the last read that asked for them found.
    pub(super) marks: Marks,
    pub(super) read: Mono,
}

/// The epoch that is open.
#[derive(Clone, Debug)]
pub(super) struct Epoch {
    pub(super) id: EpochId,
    pub(super) cause: Cause,
    pub(super) fingerprint: Option<Fingerprint>,
    pub(super) after: Mono,
    pub(super) since: Mono,
    /// Every version that answered.
    pub(super) versions: BTreeSet<Version>,
    /// Those that still did when the change had spread, and since when.
    pub(super) settled: BTreeMap<Version, Mono>,
    /// When the last read was sent that showed this state: what answered before then is this state's.
    pub(super) confirmed: Mono,
    /// A version answered that the good state didn't have: since then.
    pub(super) stranger: Option<Mono>,
    /// The groups that get requests.
    pub(super) serving: BTreeSet<Box<str>>,
    pub(super) targets: BTreeSet<Box<str>>,
    pub(super) good_since: Option<Mono>,
    pub(super) bad_since: Option<Mono>,
    /// Many answers are bad and none names the new version: since then.
    pub(super) nameless_since: Option<Mono>,
    pub(super) first_bad_told: bool,
    pub(super) established: bool,
}

/// The release that is under judgement, or was last.
#[derive(Clone, Debug)]
pub(super) struct Release {
    pub(super) id: ReleaseId,
    pub(super) label: Option<Box<str>>,
    pub(super) base: Option<Good>,
    /// The versions that were there before it: the base's, and those of the state that it replaced.
    pub(super) old_versions: BTreeSet<Version>,
    /// Its first epoch.
    pub(super) first: EpochId,
    pub(super) cutover: Mono,
    /// Authority to act ends here. Not reckoned from `cutover`: after a reboot that may lie before the clock's origin.
    pub(super) until: Mono,
    pub(super) irreversible: bool,
    /// The listener is a lever for it: its state differs from the base's.
    pub(super) lever: bool,
    pub(super) latch: Option<Latch>,
    pub(super) over: bool,
}

/// Why nothing more is done automatically for a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Latch {
    pub(super) reason: &'static str,
    pub(super) needs_human: bool,
}

/// What the pipeline said of a release that isn't seen yet.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) label: Option<Box<str>>,
    pub(super) irreversible: bool,
    pub(super) at: Mono,
    /// How old it was then already.
    pub(super) spent: Duration,
}

/// Where the acting path stands.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    Watching,
    Preflight {
        op: Option<OpId>,
        evidence: Evidence,
        since: Mono,
        tries: u32,
        at: Mono,
    },
    Intending {
        op: OpId,
        intent: Box<Intent>,
        at: Mono,
    },
    /// The read that stands directly before a write, or resolves an unknown one.
    Reading {
        op: Option<OpId>,
        course: Course,
        at: Mono,
    },
    Writing {
        op: OpId,
        course: Course,
        /// The rule that is written.
        arn: Box<str>,
        at: Mono,
    },
    Confirming {
        op: Option<OpId>,
        intent: Box<Intent>,
        at: Mono,
        since: Mono,
    },
    Verifying {
        op: OpId,
        intent: Box<Intent>,
        at: Mono,
    },
}

impl Epoch {
    /// The versions that are this state's own, as far as is known: neither those that the state before left behind,
    /// nor those of a cutover that no read has shown yet.
    pub(super) fn own_versions(&self, good: Option<&Good>) -> BTreeSet<Version> {
        let own: BTreeSet<Version> = self
            .settled
            .iter()
            .filter(|(_, since)| **since <= self.confirmed)
            .map(|(version, _)| version.clone())
            .collect();
        match good.filter(|good| good.epoch == self.id) {
            _ if !own.is_empty() => own,
            Some(good) => good.versions.clone(),
            None => self.versions.clone(),
        }
    }
}

/// Since when a condition of acting has held, or has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) holds: bool,
    pub(super) since: Mono,
    /// Somebody was told that it doesn't.
    pub(super) told: bool,
}
