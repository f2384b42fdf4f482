//! What the ledger holds: one line a thing that happened, each with its own numbers.
//!
//! The shell adds the wall clock, a sequence number and the hash of the line before; nothing is decided by those. What
//! a restarted daemon must know again is read back from these records by [`crate::recover`].

use crate::guard::{Command, Condition};
use crate::listener::{Fingerprint, ListenerState};
use crate::owner::Call;
use crate::plan::{self, Progress, Write};
use crate::release::{Baseline, Cause, EpochId, Good, ReleaseId};
use crate::several;
use crate::target::{TargetId, Version};
use crate::time::Mono;
use crate::verdict::Evidence;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Record {
    /// The daemon began to watch this service.
    Started {
        /// Of the program.
        version: Box<str>,
        /// SHA-256 of the effective configuration.
        config: Box<str>,
        /// `observe` or `act`.
        mode: Box<str>,
    },
    /// The configuration of this service is another one from now on.
    Revised {
        /// SHA-256 of the effective configuration.
        config: Box<str>,
        /// `observe` or `act`.
        mode: Box<str>,
    },
    /// A new epoch.
    Epoch {
        /// Its number.
        epoch: EpochId,
        /// Why it began.
        cause: Cause,
        /// The release that it belongs to.
        release: Option<ReleaseId>,
        /// What the pipeline calls that release.
        label: Option<Box<str>>,
        /// The whole state; `None` when no listener is governed.
        state: Option<ListenerState>,
        /// The same in a word, for people.
        shows: Box<str>,
        /// The last read that showed the previous state.
        after: Mono,
        /// The first that showed this one.
        since: Mono,
    },
    /// A release began. Written with its epoch.
    Release {
        /// Its number.
        release: ReleaseId,
        /// What the pipeline calls it.
        label: Option<Box<str>>,
        /// The way back; `None` when no epoch was known good.
        base: Option<Good>,
        /// From this state, in a word.
        from: Box<str>,
        /// To this one.
        to: Box<str>,
        /// When the cutover was seen.
        cutover: Mono,
        /// The pipeline marked it as one that must not be reverted.
        irreversible: bool,
    },
    /// An epoch was judged good over the settling time and may be returned to.
    Good {
        /// All that must still hold then.
        good: Good,
    },
    /// A good epoch ended in a breach and may not be returned to.
    NotGood {
        /// Which.
        epoch: EpochId,
    },
    /// A version answered for the first time in this epoch.
    Seen {
        /// The epoch.
        epoch: EpochId,
        /// All versions of the epoch so far.
        versions: BTreeSet<Version>,
        /// The registered targets of the groups that serve.
        targets: BTreeSet<Box<str>>,
    },
    /// The first bad answer of an epoch.
    FirstBad {
        /// The epoch.
        epoch: EpochId,
        /// When it was due.
        due: Mono,
        /// When it was known.
        done: Mono,
        /// Which target.
        target: TargetId,
        /// The status; 0 for none.
        status: u16,
        /// The fault's name.
        fault: Box<str>,
        /// The version that answered.
        version: Option<Version>,
    },
    /// The judge's word changed.
    Verdict {
        /// The epoch.
        epoch: EpochId,
        /// One of the four.
        verdict: Box<str>,
        /// The sentence.
        says: Box<str>,
        /// Of the last second's probes, those that were sent and read in time: what the word rests on.
        #[serde(default)]
        clean: u32,
        /// And all that were due.
        #[serde(default)]
        due: u32,
    },
    /// How production does, from time to time.
    Pulse {
        /// The epoch.
        epoch: EpochId,
        /// The window's counts.
        window: Baseline,
        /// One of the four.
        verdict: Box<str>,
        /// The versions of the epoch.
        versions: BTreeSet<Version>,
    },
    /// A release broke a promise.
    Breach {
        /// The epoch.
        epoch: EpochId,
        /// The release.
        release: ReleaseId,
        /// The numbers.
        evidence: Evidence,
        /// The same as a sentence.
        says: Box<str>,
    },
    /// Every condition of acting, as it stood.
    Preflight {
        /// The release.
        release: ReleaseId,
        /// Whether all hold.
        all_hold: bool,
        /// Each.
        conditions: Vec<Condition>,
    },
    /// What is about to be written. Synced before it is.
    Intent(Intent),
    /// A mutating call goes out.
    WriteSent {
        /// The intent's number.
        intent: IntentId,
        /// Counted from 1, for each rule.
        attempt: u32,
        /// The rule's ARN; empty in ledgers of before there could be several.
        #[serde(default)]
        arn: Box<str>,
    },
    /// What came of it.
    Wrote {
        /// The intent's number.
        intent: IntentId,
        /// `accepted`, `refused` or `unknown`.
        outcome: Box<str>,
        /// AWS's request id, or its error code.
        detail: Box<str>,
        /// The rule's ARN; empty in ledgers of before there could be several.
        #[serde(default)]
        arn: Box<str>,
    },
    /// A read shows what was written.
    Confirmed {
        /// The intent's number.
        intent: IntentId,
    },
    /// Fresh connections get the old version.
    Verified {
        /// The intent's number.
        intent: IntentId,
        /// Consecutive answers.
        answers: u32,
        /// Over so many addresses.
        addresses: u32,
    },
    /// The attempt ended without a write, or without knowing; another needs a new verdict.
    Abandoned {
        /// The intent's number.
        intent: IntentId,
        /// Why.
        why: Box<str>,
    },
    /// In observe mode: what would have been done.
    WouldRevert {
        /// The release.
        release: ReleaseId,
        /// The writes, the most important first.
        #[serde(rename = "write", with = "several")]
        writes: Vec<Write>,
    },
    /// Nothing was done, and why.
    Refused {
        /// The release, if there is one.
        release: Option<ReleaseId>,
        /// A closed set of names.
        reason: Box<str>,
        /// In words.
        says: Box<str>,
    },
    /// The release is latched: nothing more is done automatically.
    Held {
        /// The release.
        release: ReleaseId,
        /// A closed set of names.
        reason: Box<str>,
        /// A person is needed.
        needs_human: bool,
    },
    /// The time to act is over, and nothing had to be done.
    Kept {
        /// The release.
        release: ReleaseId,
    },
    /// The governed rule is not what it should be after our revert, and we leave it so.
    Drift {
        /// What it shows now, in a word.
        shows: Box<str>,
    },
    /// Somebody was told.
    Paged {
        /// A closed set of names.
        kind: Box<str>,
        /// The text, marked `DRY RUN` in observe mode.
        text: Box<str>,
    },
    /// A person or a pipeline said something.
    Operator {
        /// What.
        command: Command,
    },
    /// The daemon stops.
    Stopped {
        /// `drained` or `interrupted`.
        how: Box<str>,
    },
}

/// A number that is never used twice: epoch and attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IntentId(pub u64);

/// What is about to be written, on disk before the first mutating call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// Its number.
    pub id: IntentId,
    /// The epoch that is judged.
    pub epoch: EpochId,
    /// Its release.
    pub release: ReleaseId,
    /// The state that is overwritten.
    pub before: ListenerState,
    /// The writes, one for each rule that has to change, the most important first.
    #[serde(rename = "write", with = "several")]
    pub writes: Vec<Write>,
    /// The versions that must answer afterwards; empty when none was known.
    pub versions: BTreeSet<Version>,
    /// Why.
    pub evidence: Evidence,
    /// No write goes out after this.
    pub deadline: Mono,
    /// The owner's call that has these effects; none where we write ourselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Call>,
}

impl Intent {
    /// How far it has come, as `live` shows it.
    #[must_use]
    pub fn progress(&self, live: &ListenerState) -> Progress<'_> {
        plan::progress(&self.before, &self.writes, live)
    }

    /// Whether `live` shows it done.
    #[must_use]
    pub fn is_done(&self, live: &ListenerState) -> bool {
        self.progress(live) == Progress::Done
    }
}

impl Record {
    /// Whether this line must be on disk before anything else happens, rather than soon after.
    #[must_use]
    pub const fn is_vital(&self) -> bool {
        !matches!(self, Self::Pulse { .. } | Self::Seen { .. } | Self::FirstBad { .. } | Self::Verdict { .. })
    }

    /// The state that a fingerprint must be compared with after a restart.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        match self {
            Self::Epoch { state, .. } => state.as_ref().map(ListenerState::fingerprint),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::RuleState;

    #[test]
    fn what_is_acted_on_is_on_disk_first_and_figures_may_come_later() {
        let (epoch, versions) = (EpochId(1), BTreeSet::new());
        let window = Baseline::default();
        let figures = Record::Pulse { epoch, window, verdict: "good".into(), versions };
        assert!(!figures.is_vital());
        assert!(Record::WriteSent { intent: IntentId(1), attempt: 1, arn: "l".into() }.is_vital());
    }

    #[test]
    fn an_epoch_tells_the_state_that_it_began_with() {
        let forward = crate::listener::Forward { scalar: Some("blue".into()), ..Default::default() };
        let rule = RuleState { arn: "l".into(), forward: Some(forward), others: vec![], unknown: vec![] };
        let state = ListenerState::from(rule);
        let epoch = |state| Record::Epoch {
            epoch: EpochId(1),
            cause: Cause::Start,
            release: None,
            label: None,
            state,
            shows: "".into(),
            after: Mono(0),
            since: Mono(0),
        };
        assert_eq!(epoch(Some(state.clone())).fingerprint(), Some(state.fingerprint()));
        assert_eq!(epoch(None).fingerprint(), None);
        assert_eq!(Record::NotGood { epoch: EpochId(1) }.fingerprint(), None);
    }
}
