//! The guard's vocabulary: what it is told, and what it asks for.

use super::preflight::Condition;
use crate::judge::{Judgement, Notice};
use crate::listener::{GroupHealth, ListenerState};
use crate::owner::{Call, Owner};
use crate::plan::Write;
use crate::policy::GuardPolicy;
use crate::record::{Intent, Record};
use crate::release::{Cause, EpochId, ReleaseId, Stage};
use crate::target::Version;
use crate::time::Mono;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// Ties a reply to the operation that asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpId(pub u64);

/// What the guard is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// The data plane shows something that deserves a look at the listener.
    Notice(Notice),
    /// A read came back.
    Read(OpId, Result<Observed, ReadError>),
    /// The judge's word.
    Judged(Box<Judgement>),
    /// The ledger has the intent on disk, or can't.
    Durable(OpId, Result<(), Full>),
    /// A write came back.
    Wrote(OpId, WriteOutcome),
    /// The proof in the data plane came, or not.
    Verified(OpId, Proof),
    /// A person or a pipeline said something.
    Operator(Command),
    /// AWS has answered a change of the tag: what it says now is to be read.
    Tagged,
    /// The configuration was read anew: this policy is to hold as soon as it may.
    Revise(Box<GuardPolicy>),
    /// Finish what is out, begin nothing.
    Drain,
}

/// What the guard asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Judge a new epoch.
    Open(Stage),
    /// Probe at this pace.
    Pace(Cadence),
    /// Ask these targets (`address:port`) directly from now on.
    Ask(BTreeSet<Box<str>>),
    /// Read the governed rule.
    Read(OpId, Depth),
    /// Put the intent on disk, then say so.
    Persist(OpId, Box<Intent>),
    /// One mutating call, one attempt.
    Write(OpId, Write),
    /// One call of the rules' owner, one attempt.
    Call(OpId, Call),
    /// Prove it with fresh connections.
    Verify(OpId, Aim),
    /// Tell somebody.
    Page(Page),
    /// Write a line into the ledger.
    Note(Box<Record>),
    /// The policy of the last [`Event::Revise`] holds from now on: everything else of that configuration may, too.
    Revised,
    /// Write the tag that forbids acting, for every instance to read, with the reason; or take it away.
    Tag(Option<Box<str>>),
}

impl Action {
    pub(super) fn note(record: Record) -> Self {
        Self::Note(Box::new(record))
    }

    /// A call, or a step to it.
    pub(super) fn leads_to_a_call(&self) -> bool {
        match self {
            Self::Persist(..) | Self::Write(..) | Self::Call(..) => true,
            Self::Note(record) => matches!(**record, Record::WriteSent { .. }),
            _ => false,
        }
    }
}

/// How much a read must bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Depth {
    /// The rule's actions.
    Listener,
    /// And the tags, an operator's hold and the pipeline's marks; and how far its owner's deployment has come.
    Marks,
    /// And the health of every target group that the rule or the before-image names.
    Full,
}

/// What a read showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The governed rule.
    pub state: ListenerState,
    /// `None` when the depth didn't ask.
    pub marks: Option<Marks>,
    /// `None` when the depth didn't ask.
    pub health: Option<Vec<GroupHealth>>,
}

/// What tags, files and the owners' own APIs say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    /// An operator forbids acting (tag `canary:hold`, the hold file).
    pub hold: Option<Box<str>>,
    /// The release must not be reverted (tag `serin:irreversible`).
    pub irreversible: Option<Box<str>>,
    /// What the pipeline calls the release (tag `serin:release`).
    pub label: Option<Box<str>>,
    /// Who moves the rules besides us.
    pub owner: Owner,
    /// Whoever keeps the rules' desired state elsewhere (`CloudFormation`, Terraform): its next apply may undo a revert.
    pub keeper: Option<Box<str>>,
}

impl Marks {
    /// Nothing is marked, and this is whose the rules are. There is no default: an owner that nobody looked for is not "nobody".
    #[must_use]
    pub const fn of(owner: Owner) -> Self {
        Self { hold: None, irreversible: None, label: None, owner, keeper: None }
    }
}

/// Why a read brought nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadError {
    /// AWS throttles us.
    Throttled,
    /// A permission is missing, or credentials are missing or expired: which, in words.
    Denied(Box<str>),
    /// The rule or its listener doesn't exist.
    NotFound(Box<str>),
    /// No answer in time.
    Timeout,
    /// Anything else, in words.
    Failed(Box<str>),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Throttled => f.write_str("AWS throttles our reads"),
            Self::Denied(what) => write!(f, "AWS refuses our reads: {what}"),
            Self::NotFound(what) => write!(f, "not found: {what}"),
            Self::Timeout => f.write_str("AWS doesn't answer our reads in time"),
            Self::Failed(what) => write!(f, "the read failed: {what}"),
        }
    }
}

/// The ledger can't take the intent, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Full(pub Box<str>);

/// What came of one mutating call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// AWS said yes; its request id.
    Accepted(Box<str>),
    /// AWS throttles us; nothing was changed.
    Throttled,
    /// Somebody has written since our last read, and AWS noticed by itself; its code. Nothing was changed by us.
    Raced(Box<str>),
    /// AWS said no; its code. Nothing was changed.
    Refused(Box<str>),
    /// It may or may not have happened: read, never resend blindly.
    Unknown(Box<str>),
}

/// What the proof must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aim {
    /// The versions that count; empty when none was known, and any good answer counts.
    pub versions: BTreeSet<Version>,
    /// So many good answers in a row, on fresh connections, from each address.
    pub answers: u32,
    /// Give up then.
    pub within: Duration,
}

/// What fresh connections through the balancer got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The aim was met.
    Shown {
        /// Consecutive good answers, over all addresses.
        answers: u32,
        /// Addresses.
        addresses: u32,
    },
    /// It wasn't, in words.
    NotShown(Box<str>),
}

/// How fast to probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cadence {
    /// In peace.
    Calm,
    /// Around a cutover.
    Release,
}

/// What a person or a pipeline may say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Do not act until told otherwise. Always accepted.
    Hold {
        /// Why, for the record.
        reason: Box<str>,
    },
    /// The hold is over.
    Unhold,
    /// A person has seen it.
    Ack,
    /// A release begins now.
    ReleaseBegin {
        /// What the pipeline calls it.
        label: Option<Box<str>>,
        /// It must not be reverted (a migration that can't go back).
        irreversible: bool,
    },
}

/// A message for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// What it is about.
    pub kind: PageKind,
    /// The text, marked `DRY RUN` in observe mode.
    pub text: Box<str>,
    /// Nothing was or will be written.
    pub dry_run: bool,
    /// The epoch.
    pub epoch: EpochId,
    /// The release.
    pub release: Option<ReleaseId>,
}

/// The closed set of things that people are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PageKind {
    /// A promise is broken by a release.
    Breach,
    /// A promise is broken and there is no release to revert.
    Bad,
    /// The listener was put back, and the proof is there.
    Reverted,
    /// Nothing was done, and why.
    Refused,
    /// The write is in, and users may still not be well.
    Partial,
    /// Somebody else changed the listener while we acted, or after.
    Overridden,
    /// We can't see.
    Blind,
    /// Something that would forbid acting has stood for minutes.
    Standing,
}

impl PageKind {
    /// Every kind, for counters that exist at zero.
    pub const ALL: [Self; 8] = [
        Self::Breach,
        Self::Bad,
        Self::Reverted,
        Self::Refused,
        Self::Partial,
        Self::Overridden,
        Self::Blind,
        Self::Standing,
    ];

    /// As in metrics, records and the webhook.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Breach => "breach",
            Self::Bad => "bad",
            Self::Reverted => "reverted",
            Self::Refused => "refused",
            Self::Partial => "partial",
            Self::Overridden => "overridden",
            Self::Blind => "blind",
            Self::Standing => "standing",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The time in which a new release would be judged and told, and not put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Unprotected {
    /// It is over then.
    pub until: Mono,
    /// `cool-down` or `budget`, whichever lasts longer.
    pub reason: &'static str,
}

/// What a release comes to, in one word for other machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// No release was seen.
    #[default]
    None,
    /// It is being judged, and nothing can be said yet.
    Open,
    /// It has been good for as long as a state has to be to be returned to, or its judged time is over without a breach.
    Good,
    /// It broke a promise.
    Bad,
    /// Somebody else took over while it was judged.
    Left,
}

impl Outcome {
    /// As in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Open => "open",
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Left => "left",
        }
    }
}

/// How the guard stands, for `/-/armed`, `/api/v1/status` and metrics.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// `starting`, `idle`, `settling`, `judging`, `preflight`, `intent`, `acting`, `verify_api`, `verify_data` or `hold`.
    pub state: &'static str,
    /// A breach of the release under judgement would be answered by a write, as far as is known now.
    pub armed: bool,
    /// Every condition of acting that isn't about evidence.
    pub conditions: Vec<Condition>,
    /// The open epoch.
    pub epoch: Option<EpochId>,
    /// Why it began.
    pub cause: Option<Cause>,
    /// What the listener shows, in a word.
    pub shows: Option<Box<str>>,
    /// The versions that answer.
    pub versions: BTreeSet<Version>,
    /// The newest state that was judged good, in a word.
    pub good: Option<Box<str>>,
    /// The release under judgement, or the last one.
    pub release: Option<ReleaseId>,
    /// What the pipeline calls it.
    pub label: Option<Box<str>>,
    /// Why nothing more is done for it.
    pub latched: Option<&'static str>,
    /// A person is needed, and for what.
    pub needs_human: Option<&'static str>,
    /// No breach is answered for a while, because we have acted already.
    pub unprotected: Option<Unprotected>,
    /// The groups that get requests, by name.
    pub live: Vec<Box<str>>,
    /// Those that stand by: named by a rule or served in a state that may be returned to, and get none.
    pub idle: Vec<Box<str>>,
    /// What the release under judgement, or the last one, comes to so far.
    pub outcome: Outcome,
    /// The last read that succeeded.
    pub read: Option<Mono>,
    /// Why the last one failed, if it did.
    pub read_error: Option<Box<str>>,
    /// The configuration was read anew, and why that doesn't hold yet.
    pub revision: Option<&'static str>,
}
