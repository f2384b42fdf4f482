//! One probe: its instants, its phases, and whose fault it was if it failed.

use crate::hazard::{Hazard, answered};
use crate::release::EpochId;
use crate::target::{TargetId, VersionId};
use crate::time::{Mono, Span};
use serde::{Deserialize, Serialize};

/// Everything that one probe proved. Epoch and purpose are fixed when it is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When the schedule wanted it.
    pub due: Mono,
    /// `due` rounded up to the coalescing quantum; judged latency counts from here.
    pub planned: Mono,
    /// Where the time from `due` went; the phases sum to the total.
    pub phases: Phases,
    /// Which target.
    pub target: TargetId,
    /// Which connection, numbered over the life of the engine; 0 when none was got.
    pub conn: u32,
    /// The epoch that was open when it was due.
    pub epoch: EpochId,
    /// Which address of the target (an index of the engine's; for a balancer that is its zone).
    pub addr: u16,
    /// Which release answered.
    pub version: VersionId,
    /// The HTTP status; 0 when no answer came.
    pub status: u16,
    /// What the probe was for.
    pub purpose: Purpose,
    /// Whether our own process disturbed it.
    pub taint: Taint,
    /// What came of it.
    pub outcome: Outcome,
    /// It was already told of as slow while in flight ([`crate::judge::Judge::overdue`]).
    pub told_slow: bool,
}

impl Sample {
    /// When it was done: `due` and all its phases.
    #[must_use]
    pub fn done(&self) -> Mono {
        Mono(self.due.0.saturating_add(self.phases.total_nanos()))
    }

    /// Response time as a user would see it who came at `planned`: own lateness included.
    #[must_use]
    pub fn response(&self) -> Span {
        if self.due == self.planned {
            return Span(u32::try_from(self.phases.total_hundreds()).unwrap_or(u32::MAX));
        }
        Span::of_nanos(self.done().0.saturating_sub(self.planned.0))
    }
}

/// The phases of a probe, in order, each in units of 100 ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phases {
    /// From due until our process took it up.
    pub wake: Span,
    /// Waiting for a connection to be free or made.
    pub queue: Span,
    /// Resolving the name.
    pub dns: Span,
    /// TCP.
    pub connect: Span,
    /// The TLS handshake.
    pub tls: Span,
    /// Handing the request over.
    pub write: Span,
    /// Until the head of the answer was there.
    pub first_byte: Span,
    /// Until the body was read.
    pub body: Span,
}

impl Phases {
    /// Their names, as published, in order.
    pub const NAMES: [&'static str; 8] =
        ["wake", "queue", "dns", "connect", "tls", "write", "first_byte", "body"];

    /// In the order of [`Self::NAMES`].
    #[must_use]
    pub const fn all(&self) -> [Span; 8] {
        [self.wake, self.queue, self.dns, self.connect, self.tls, self.write, self.first_byte, self.body]
    }

    /// Their sum: from due to done.
    #[must_use]
    pub fn total(&self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.total_nanos())
    }

    /// The same in nanoseconds, as a whole number: every sample is asked several times.
    fn total_nanos(&self) -> u64 {
        self.total_hundreds() * 100
    }

    /// The same in units of 100 ns. Eight of 32 bits don't overflow 64.
    fn total_hundreds(&self) -> u64 {
        self.all().iter().fold(0, |sum, span| sum.wrapping_add(u64::from(span.0)))
    }
}

/// What a probe is for. Only [`Purpose::Production`] speaks of what users get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The path that users take: P of the verdict table.
    Production,
    /// The old version's registered targets, asked directly: B.
    Direct,
    /// An unrelated endpoint through the same way out: X.
    Control,
}

/// Whether the sample says anything about the target at all. A tainted one is void: counted as ours, judged never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Taint {
    /// Our process was on time.
    Clean,
    /// It was sent late: |sent − planned| was beyond the bound.
    Late,
    /// Our process was not run while the answer may have been there: what was read is too late by nobody knows how much.
    Stalled,
    /// The epoch changed under it: due between the last read that showed the old state and the first that showed the new.
    Straddling,
}

/// What came of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As expected.
    Ok,
    /// The target's doing.
    Bad(Fault),
    /// Not sent, because all slots are held by probes that the target hasn't answered: the target's doing.
    Saturated,
    /// Due, and never sent, by our doing. Never counts against the target, never is silence.
    Missed(Ours),
    /// Begun, and spoiled by our doing.
    Failed(Ours),
}

/// What the target did wrong. Closed: labels come from here, never from an error's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// TCP was refused.
    ConnectRefused,
    /// TCP didn't come about in time.
    ConnectTimeout,
    /// TCP failed otherwise (reset, unreachable).
    ConnectFailed,
    /// The certificate was expired, for another name, or not trusted.
    TlsCertificate,
    /// The handshake failed otherwise.
    TlsHandshake,
    /// No complete answer in time.
    Timeout,
    /// The connection was reset after the request was sent.
    Reset,
    /// The connection was closed before the answer was whole.
    Closed,
    /// What came was not HTTP.
    Protocol,
    /// The status is not among the expected ones.
    Status,
    /// The body lacks what was expected.
    Body,
    /// Refused by something in front of the service: 401, 403, 407, 429 or a redirect without a version.
    Edge,
}

impl Fault {
    /// Every fault, for counters that exist at zero.
    pub const ALL: [Self; 12] = [
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::ConnectFailed,
        Self::TlsCertificate,
        Self::TlsHandshake,
        Self::Timeout,
        Self::Reset,
        Self::Closed,
        Self::Protocol,
        Self::Status,
        Self::Body,
        Self::Edge,
    ];

    /// As the `reason` and `error.type` of metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConnectRefused => "connect.refused",
            Self::ConnectTimeout => "connect.timeout",
            Self::ConnectFailed => "connect.failed",
            Self::TlsCertificate => "tls.certificate",
            Self::TlsHandshake => "tls.handshake",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Protocol => "protocol",
            Self::Status => "status",
            Self::Body => "expect.body",
            Self::Edge => "edge",
        }
    }

    /// Whether a release behind a balancer can have caused it. TCP and TLS end at the balancer, which
    /// a change of weights doesn't touch; a refusal at the edge is a firewall's or a rate limit's.
    #[must_use]
    pub fn release_can_cause(self) -> bool {
        match self {
            Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::ConnectFailed
            | Self::TlsCertificate
            | Self::TlsHandshake => false,
            Self::Edge => !answered(Hazard::Edge),
            Self::Timeout | Self::Reset | Self::Closed | Self::Protocol | Self::Status | Self::Body => true,
        }
    }
}

/// What our own side did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ours {
    /// The process was not run in time, so the probe was skipped.
    Late,
    /// The name could not be resolved: a release doesn't change DNS.
    Resolve,
    /// No file descriptor or no local port was left, or no route.
    Descriptors,
    /// Our HTTP or TLS library stopped it.
    Library,
    /// It was cut short because the engine stops or the cadence changed.
    Stopped,
}

impl Ours {
    /// Every cause, for counters that exist at zero.
    pub const ALL: [Self; 5] = [Self::Late, Self::Resolve, Self::Descriptors, Self::Library, Self::Stopped];

    /// As the `reason` of metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Late => "prober.late",
            Self::Resolve => "prober.resolve",
            Self::Descriptors => "prober.descriptors",
            Self::Library => "prober.library",
            Self::Stopped => "prober.stopped",
        }
    }
}

impl Outcome {
    /// The `reason` that metrics carry; `None` when nothing went wrong.
    #[must_use]
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Ok => None,
            Self::Bad(fault) => Some(fault.name()),
            Self::Saturated => Some("saturated"),
            Self::Missed(ours) | Self::Failed(ours) => Some(ours.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_phases_sum_to_the_time_from_due_to_done() {
        let [wake, queue, dns, connect, tls, write, first_byte, body] =
            [1, 2, 4, 8, 16, 32, 64, 128].map(Span);
        let phases = Phases { wake, queue, dns, connect, tls, write, first_byte, body };
        assert_eq!(phases.all().map(|span| span.0), [1, 2, 4, 8, 16, 32, 64, 128]);
        assert_eq!(phases.total(), std::time::Duration::from_nanos(25_500));
    }

    #[test]
    fn reasons_are_told_apart() {
        let bad = Fault::ALL.map(Outcome::Bad).into_iter();
        let ours = Ours::ALL.map(Outcome::Failed).into_iter();
        let all: Vec<Outcome> = bad.chain(ours).chain([Outcome::Saturated]).collect();
        let names: BTreeSet<&str> = all.iter().filter_map(|outcome| outcome.reason()).collect();
        assert_eq!(names.len(), all.len());
        assert_eq!(Outcome::Ok.reason(), None);
        assert_eq!(Outcome::Missed(Ours::Late).reason(), Some("prober.late"));
        assert_eq!(Outcome::Bad(Fault::Timeout).reason(), Some("timeout"));
    }

    #[test]
    fn a_release_behind_a_balancer_breaks_no_connection_to_it() {
        let can: Vec<&str> =
            Fault::ALL.into_iter().filter(|fault| fault.release_can_cause()).map(Fault::name).collect();
        assert_eq!(can, ["timeout", "reset", "closed", "protocol", "status", "expect.body"]);
    }
}
