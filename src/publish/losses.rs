//! What each destination has lost, and why; and what waits for it on disk.

use std::sync::atomic::{AtomicU64, Ordering};

/// Who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    Prometheus,
    Otlp,
    OtlpLogs,
    OtlpTraces,
    CloudWatch,
    Emf,
    Webhook,
    Slack,
    Sns,
    EventBridge,
}

impl Destination {
    pub(super) const ALL: [Self; 10] = [
        Self::Prometheus,
        Self::Otlp,
        Self::OtlpLogs,
        Self::OtlpTraces,
        Self::CloudWatch,
        Self::Emf,
        Self::Webhook,
        Self::Slack,
        Self::Sns,
        Self::EventBridge,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::Otlp => "otlp",
            Self::OtlpLogs => "otlp-logs",
            Self::OtlpTraces => "otlp-traces",
            Self::CloudWatch => "cloudwatch",
            Self::Emf => "emf",
            Self::Webhook => "webhook",
            Self::Slack => "slack",
            Self::Sns => "sns",
            Self::EventBridge => "eventbridge",
        }
    }
}

/// Why something was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Too much of it waited already.
    QueueFull,
    /// It was more than is sent in a second.
    RateLimit,
    /// A number that is none, or a message that can't be made.
    Invalid,
    /// The destination said no, and would again.
    Refused,
    /// The destination was away, and nothing keeps it.
    Unavailable,
    /// The oldest on disk made room for the newest.
    SpoolFull,
    /// It was on disk for longer than the destination takes it.
    TooOld,
    /// What was on disk is not what was written.
    Torn,
    /// The disk didn't take it.
    Disk,
}

impl Reason {
    pub(super) const ALL: [Self; 9] = [
        Self::QueueFull,
        Self::RateLimit,
        Self::Invalid,
        Self::Refused,
        Self::Unavailable,
        Self::SpoolFull,
        Self::TooOld,
        Self::Torn,
        Self::Disk,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue-full",
            Self::RateLimit => "rate-limit",
            Self::Invalid => "invalid",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::SpoolFull => "spool-full",
            Self::TooOld => "too-old",
            Self::Torn => "torn",
            Self::Disk => "disk",
        }
    }
}

/// What waits on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) batches: u64,
    /// As the disk counts them, in whole blocks.
    pub(super) bytes: u64,
}

/// Of all destinations: losses in whole items, exports or data.
#[derive(Debug)]
pub(super) struct Losses {
    lost: [[AtomicU64; Reason::ALL.len()]; Destination::ALL.len()],
    waiting: [[AtomicU64; 2]; Destination::ALL.len()],
}

/// There is no spool.
const NONE: u64 = u64::MAX;

impl Default for Losses {
    fn default() -> Self {
        Self {
            lost: Default::default(),
            waiting: std::array::from_fn(|_| [AtomicU64::new(NONE), AtomicU64::new(NONE)]),
        }
    }
}

impl Losses {
    pub(super) fn add(&self, destination: Destination, reason: Reason, lost: u64) {
        self.lost[destination as usize][reason as usize].fetch_add(lost, Ordering::Relaxed);
    }

    pub(super) fn of(&self, destination: Destination, reason: Reason) -> u64 {
        self.lost[destination as usize][reason as usize].load(Ordering::Relaxed)
    }

    /// What waits for `destination` from now on.
    pub(super) fn wait(&self, destination: Destination, waiting: Waiting) {
        let [batches, bytes] = &self.waiting[destination as usize];
        batches.store(waiting.batches, Ordering::Relaxed);
        bytes.store(waiting.bytes, Ordering::Relaxed);
    }

    /// `None`: nothing is kept for it.
    pub(super) fn waiting(&self, destination: Destination) -> Option<Waiting> {
        let [batches, bytes] =
            self.waiting[destination as usize].each_ref().map(|each| each.load(Ordering::Relaxed));
        (batches != NONE && bytes != NONE).then_some(Waiting { batches, bytes })
    }
}
