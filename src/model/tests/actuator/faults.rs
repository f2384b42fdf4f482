//! What may go wrong, and when.

use crate::world::Chance;
use serin_model::time::{Mono, Span};
use std::time::Duration;

/// One kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// A read is never answered.
    ReadTimeout,
    ReadThrottled,
    /// A 5xx to a read.
    ReadFailed,
    ReadDenied,
    /// A read shows the state of some seconds ago.
    ReadStale,
    /// The rule is deleted: reads don't find it, writes are refused.
    RuleDeleted,
    /// A write is never answered and has no effect.
    WriteLost,
    /// A write has its effect and is never answered.
    WriteUnanswered,
    /// A write has its effect some seconds after everybody gave up.
    WriteLate,
    WriteThrottled,
    /// A 5xx to a write, which had its effect or not.
    WriteFailed,
    WriteDenied,
    /// Of several rules one is refused.
    PartialSuccess,
    /// Every reply comes twice.
    Duplicate,
    CredentialsExpired,
    /// Somebody writes a third state between our read and our write.
    ThirdParty,
    /// The pipeline goes on to the next version.
    OwnerMovesOn,
    /// Another actuator writes what we would have written.
    SecondActuator,
    LedgerFull,
    /// The disk never says that the intent is on it.
    LedgerSilent,
    /// Dies, and the last lines of the ledger are lost.
    Torn,
    Terminated,
    Killed,
    /// Restarted elsewhere, without the ledger.
    OtherNode,
    /// The old version's group is deleted.
    GroupDeleted,
    /// Its targets are deregistered.
    GroupEmptied,
    /// Somebody puts the listener back before we do.
    AlreadyEqual,
    /// A change takes up to a minute to reach the data plane.
    Lag,
    /// Cookies keep users, and our proof, on the new version.
    Sticky,
    /// Somebody goes forward again after us.
    GoesForward,
    /// An operator holds, by tag or by word, while we act.
    Hold,
    /// Neither AWS nor the service can be reached.
    Partition,
    /// The name of AWS's endpoint doesn't resolve.
    NoName,
}

impl Fault {
    pub(crate) const ALL: [Self; 33] = [
        Self::ReadTimeout,
        Self::ReadThrottled,
        Self::ReadFailed,
        Self::ReadDenied,
        Self::ReadStale,
        Self::RuleDeleted,
        Self::WriteLost,
        Self::WriteUnanswered,
        Self::WriteLate,
        Self::WriteThrottled,
        Self::WriteFailed,
        Self::WriteDenied,
        Self::PartialSuccess,
        Self::Duplicate,
        Self::CredentialsExpired,
        Self::ThirdParty,
        Self::OwnerMovesOn,
        Self::SecondActuator,
        Self::LedgerFull,
        Self::LedgerSilent,
        Self::Torn,
        Self::Terminated,
        Self::Killed,
        Self::OtherNode,
        Self::GroupDeleted,
        Self::GroupEmptied,
        Self::AlreadyEqual,
        Self::Lag,
        Self::Sticky,
        Self::GoesForward,
        Self::Hold,
        Self::Partition,
        Self::NoName,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ReadTimeout => "read timeout",
            Self::ReadThrottled => "read throttled",
            Self::ReadFailed => "read failed",
            Self::ReadDenied => "read denied",
            Self::ReadStale => "stale read",
            Self::RuleDeleted => "rule deleted",
            Self::WriteLost => "write lost",
            Self::WriteUnanswered => "write unanswered",
            Self::WriteLate => "write late",
            Self::WriteThrottled => "write throttled",
            Self::WriteFailed => "write failed",
            Self::WriteDenied => "write denied",
            Self::PartialSuccess => "partial success",
            Self::Duplicate => "duplicate replies",
            Self::CredentialsExpired => "credentials expired",
            Self::ThirdParty => "third party",
            Self::OwnerMovesOn => "owner moves on",
            Self::SecondActuator => "second actuator",
            Self::LedgerFull => "ledger full",
            Self::LedgerSilent => "ledger silent",
            Self::Torn => "torn ledger",
            Self::Terminated => "SIGTERM",
            Self::Killed => "SIGKILL",
            Self::OtherNode => "restart on another node",
            Self::GroupDeleted => "group deleted",
            Self::GroupEmptied => "group emptied",
            Self::AlreadyEqual => "already equal",
            Self::Lag => "data-plane lag",
            Self::Sticky => "sticky users",
            Self::GoesForward => "person goes forward",
            Self::Hold => "hold",
            Self::Partition => "partition",
            Self::NoName => "no name of AWS",
        }
    }
}

/// When a fault happens, or begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    At(Mono),
    /// Directly before what the guard asks for as its so-manyth act since the new version broke is carried out.
    Step(u32),
}

/// One fault of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    pub(crate) fault: Fault,
    pub(crate) when: When,
    /// Of those that last.
    pub(crate) span: Duration,
    /// Chance for whatever else has to be chosen.
    pub(crate) lot: u32,
}

/// Up to four.
pub(crate) fn draw(chance: &mut Chance, from: Mono, to: Span) -> Vec<Planned> {
    (0..=chance.below(4))
        .map(|_| {
            let fault = Fault::ALL[chance.below(33)];
            let when = if chance.hits(0.6) {
                When::Step(u32::try_from(chance.below(16)).expect("a small number"))
            } else {
                When::At(from.after(to.duration().mul_f64(chance.unit())))
            };
            // Most are short; some last nearly as long as a write may be tried.
            let longest = if chance.hits(0.3) { 9_000 } else { 1_500 };
            let lot = u32::try_from(chance.below(1 << 30)).expect("a small number");
            Planned { fault, when, span: chance.millis(50, longest), lot }
        })
        .collect()
}
