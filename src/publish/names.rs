//! Every figure that leaves the process: what it is called where, its unit, its attributes and what it means.
//!
//! Prometheus and OTLP are built from [`NAMES`], `CloudWatch` from [`CLOUDWATCH`], and a test holds the dashboards to them. What other
//! probers call some of them stands in [`aliases::ALIASES`].

pub mod aliases;
mod cardinality;
mod cloudwatch;
mod sets;

pub(super) use super::labels::target_label;
#[cfg(test)]
pub(in crate::publish) use cardinality::series;
pub use cardinality::{Cardinality, cardinality};
pub use cloudwatch::{CLOUDWATCH, CloudWatchName};
pub use sets::{CLASSES, CONDITIONS, LATCHES, REFUSALS, REVERTS, WRITES, class, is_ours, reasons};

/// One figure of Prometheus and OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// Which; its place in [`NAMES`].
    pub metric: Metric,
    /// As Prometheus has it, with the suffix that samples carry (`_total`, `_seconds`, `_info`).
    pub prometheus: &'static str,
    /// As OTLP has it.
    pub otlp: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// UCUM, as OTLP wants it.
    pub unit: &'static str,
    /// In the order of a series' values.
    pub labels: &'static [Label],
    /// One sentence, without the full stop.
    pub meaning: &'static str,
}

/// How a figure behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, and begins at zero.
    Counter,
    /// A level; absent while it is unknown.
    Gauge,
    /// A distribution of seconds.
    Histogram,
    /// One, with what is to be known in its labels.
    Info,
}

/// An attribute of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// As Prometheus has it.
    pub prometheus: &'static str,
    /// As OTLP has it.
    pub otlp: &'static str,
}

impl Label {
    const fn new(prometheus: &'static str, otlp: &'static str) -> Self {
        Self { prometheus, otlp }
    }
}

pub(super) const SERVICE: Label = Label::new("service", "serin.service");
pub(super) const TARGET: Label = Label::new("target", "serin.target");
const PURPOSE: Label = Label::new("purpose", "serin.purpose");
const REASON: Label = Label::new("reason", "error.type");
const WHY: Label = Label::new("reason", "serin.reason");
const CLASS: Label = Label::new("status_class", "http.response.status_class");
const PHASE: Label = Label::new("phase", "serin.phase");
const RELEASE_VERSION: Label = Label::new("version", "serin.target.version");
const WINDOW: Label = Label::new("window", "serin.window");
const VERDICT: Label = Label::new("verdict", "serin.verdict");
const CONDITION: Label = Label::new("condition", "serin.condition");
const MODE: Label = Label::new("mode", "serin.mode");
const OUTCOME: Label = Label::new("outcome", "serin.outcome");
const PAGE: Label = Label::new("kind", "serin.page.kind");
const DESTINATION: Label = Label::new("destination", "serin.destination");
const BUILD: Label = Label::new("version", "service.version");

/// Which figure. The order is that of [`NAMES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "what each means stands in NAMES, once")]
pub enum Metric {
    Build,
    Attempts,
    Failures,
    Void,
    Duration,
    ServiceTime,
    SinceDue,
    Lateness,
    Stalled,
    Throttled,
    Echo,
    Phase,
    Answers,
    AnswersByVersion,
    ErrorRatio,
    P95,
    Attained,
    BudgetRemaining,
    BurnRate,
    TargetErrorRatio,
    TargetSlowRatio,
    TargetP95,
    Verdict,
    Armed,
    Unprotected,
    Blind,
    NeedsHuman,
    Condition,
    Mode,
    Epoch,
    Breaches,
    Reverts,
    Writes,
    Pages,
    Refusals,
    Dropped,
    SpoolBatches,
    SpoolBytes,
    Reloaded,
    ReloadedAt,
    Pending,
}

use Kind::{Counter, Gauge, Histogram, Info};

/// The catalogue.
pub const NAMES: [Name; 41] = [
    Name {
        metric: Metric::Build,
        prometheus: "serin_build_info",
        otlp: "serin.build",
        kind: Info,
        unit: "1",
        labels: &[BUILD],
        meaning: "The version of Serin that runs",
    },
    Name {
        metric: Metric::Attempts,
        prometheus: "serin_probe_attempts_total",
        otlp: "serin.probe.attempts",
        kind: Counter,
        unit: "{probe}",
        labels: &[SERVICE, TARGET, PURPOSE],
        meaning: "Probes that came to an end, whatever it was",
    },
    Name {
        metric: Metric::Failures,
        prometheus: "serin_probe_failures_total",
        otlp: "serin.probe.failures",
        kind: Counter,
        unit: "{probe}",
        labels: &[SERVICE, TARGET, PURPOSE, REASON],
        meaning: "Probes that failed; a reason that begins with prober. is our own doing, not the target's",
    },
    Name {
        metric: Metric::Void,
        prometheus: "serin_probe_void_total",
        otlp: "serin.probe.void",
        kind: Counter,
        unit: "{probe}",
        labels: &[SERVICE, TARGET],
        meaning: "Probes that say nothing about the target, by our own doing",
    },
    Name {
        metric: Metric::Duration,
        prometheus: "serin_probe_duration_seconds",
        otlp: "http.client.request.duration",
        kind: Histogram,
        unit: "s",
        labels: &[SERVICE, TARGET],
        meaning: "Response time of the production path, from the planned instant to the last byte, at most 0.8 % off",
    },
    Name {
        metric: Metric::ServiceTime,
        prometheus: "serin_probe_service_seconds",
        otlp: "serin.probe.service_time",
        kind: Histogram,
        unit: "s",
        labels: &[SERVICE],
        meaning: "Service time of the production path, from the begin of a probe to the last byte, at most 0.8 % off",
    },
    Name {
        metric: Metric::SinceDue,
        prometheus: "serin_probe_since_due_seconds",
        otlp: "serin.probe.since_due",
        kind: Histogram,
        unit: "s",
        labels: &[SERVICE],
        meaning: "Response time of the production path from the due instant, the wait for the coalescing quantum included, at most 0.8 % off",
    },
    Name {
        metric: Metric::Lateness,
        prometheus: "serin_probe_lateness_seconds",
        otlp: "serin.probe.lateness",
        kind: Histogram,
        unit: "s",
        labels: &[SERVICE],
        meaning: "How late our own process began its probes, at most 0.8 % off",
    },
    Name {
        metric: Metric::Stalled,
        prometheus: "serin_prober_stalled_ratio",
        otlp: "serin.prober.stalled",
        kind: Gauge,
        unit: "1",
        labels: &[SERVICE],
        meaning: "Share of the last second in which our own engine should have been run and was not",
    },
    Name {
        metric: Metric::Throttled,
        prometheus: "serin_prober_throttled_ratio",
        otlp: "serin.prober.throttled",
        kind: Gauge,
        unit: "1",
        labels: &[SERVICE],
        meaning: "Share of the cgroup's enforcement periods of the last second in which its CPU quota ran out; absent without a quota",
    },
    Name {
        metric: Metric::Echo,
        prometheus: "serin_prober_echo_seconds",
        otlp: "serin.prober.echo",
        kind: Histogram,
        unit: "s",
        labels: &[SERVICE],
        meaning: "How long our own loopback echoes lay unread, as an answer would have, at most 0.8 % off",
    },
    Name {
        metric: Metric::Phase,
        prometheus: "serin_probe_phase_seconds",
        otlp: "serin.probe.phase",
        kind: Histogram,
        unit: "s",
        labels: &[SERVICE, PHASE],
        meaning: "Time that probes of the production path spent in each phase, at most 0.8 % off",
    },
    Name {
        metric: Metric::Answers,
        prometheus: "serin_probe_answers_total",
        otlp: "serin.probe.answers",
        kind: Counter,
        unit: "{answer}",
        labels: &[SERVICE, TARGET, CLASS],
        meaning: "HTTP answers on the production path, by class of status",
    },
    Name {
        metric: Metric::AnswersByVersion,
        prometheus: "serin_answers_by_version",
        otlp: "serin.answers.by_version",
        kind: Gauge,
        unit: "{answer}/s",
        labels: &[SERVICE, RELEASE_VERSION],
        meaning: "Answers a second by the version that gave them, over the last 10 s; gone when unseen for 5 min",
    },
    Name {
        metric: Metric::ErrorRatio,
        prometheus: "serin_error_ratio",
        otlp: "serin.error.ratio",
        kind: Gauge,
        unit: "1",
        labels: &[SERVICE],
        meaning: "Share of bad answers in the judge's rolling window, 0 to 1; absent without an answer",
    },
    Name {
        metric: Metric::P95,
        prometheus: "serin_p95_seconds",
        otlp: "serin.p95",
        kind: Gauge,
        unit: "s",
        labels: &[SERVICE],
        meaning: "P95 of the response time in the judge's rolling window; absent without an answer",
    },
    Name {
        metric: Metric::Attained,
        prometheus: "serin_attained_ratio",
        otlp: "serin.attained.ratio",
        kind: Gauge,
        unit: "1",
        labels: &[SERVICE],
        meaning: "Production answers in the rolling window as a share of the probes that were planned; below a half nothing is called good",
    },
    Name {
        metric: Metric::BudgetRemaining,
        prometheus: "serin_error_budget_remaining_ratio",
        otlp: "serin.error_budget.remaining",
        kind: Gauge,
        unit: "1",
        labels: &[SERVICE],
        meaning: "Share of the service's error budget of 30 days that is left; negative when overspent, absent without an answer",
    },
    Name {
        metric: Metric::BurnRate,
        prometheus: "serin_error_budget_burn_rate",
        otlp: "serin.error_budget.burn_rate",
        kind: Gauge,
        unit: "1",
        labels: &[SERVICE, WINDOW],
        meaning: "How many times faster than allowed the error budget is spent, over the window; absent without an answer in it",
    },
    Name {
        metric: Metric::TargetErrorRatio,
        prometheus: "serin_target_error_ratio",
        otlp: "serin.target.error.ratio",
        kind: Gauge,
        unit: "1",
        labels: &[SERVICE, TARGET],
        meaning: "Share of bad answers in the target's own rolling window, 0 to 1; absent without an answer",
    },
    Name {
        metric: Metric::TargetSlowRatio,
        prometheus: "serin_target_slow_ratio",
        otlp: "serin.target.slow.ratio",
        kind: Gauge,
        unit: "1",
        labels: &[SERVICE, TARGET],
        meaning: "Share of the target's answers over the latency objective in its rolling window; absent without one",
    },
    Name {
        metric: Metric::TargetP95,
        prometheus: "serin_target_p95_seconds",
        otlp: "serin.target.p95",
        kind: Gauge,
        unit: "s",
        labels: &[SERVICE, TARGET],
        meaning: "P95 of the response time in the target's own rolling window; absent without an answer",
    },
    Name {
        metric: Metric::Verdict,
        prometheus: "serin_verdict",
        otlp: "serin.verdict",
        kind: Gauge,
        unit: "1",
        labels: &[SERVICE, VERDICT],
        meaning: "The judge's word: 1 for the one that holds, 0 for the others",
    },
    Name {
        metric: Metric::Armed,
        prometheus: "serin_armed",
        otlp: "serin.armed",
        kind: Gauge,
        unit: "1",
        labels: &[SERVICE],
        meaning: "1 when a breach would be answered by a write, as far as is known now",
    },
    Name {
        metric: Metric::Unprotected,
        prometheus: "serin_unprotected_seconds",
        otlp: "serin.unprotected",
        kind: Gauge,
        unit: "s",
        labels: &[SERVICE],
        meaning: "For how long no breach will be answered yet, because of the reverts that were made; 0 when one would be",
    },
    Name {
        metric: Metric::Blind,
        prometheus: "serin_blind",
        otlp: "serin.blind",
        kind: Gauge,
        unit: "1",
        labels: &[SERVICE, WHY],
        meaning: "1 for the reason why the prober can't tell the target's fault from its own, 0 for the others",
    },
    Name {
        metric: Metric::NeedsHuman,
        prometheus: "serin_needs_human",
        otlp: "serin.needs_human",
        kind: Gauge,
        unit: "1",
        labels: &[SERVICE, WHY],
        meaning: "1 for the reason why a person is needed, 0 for the others",
    },
    Name {
        metric: Metric::Condition,
        prometheus: "serin_condition",
        otlp: "serin.condition",
        kind: Gauge,
        unit: "1",
        labels: &[SERVICE, CONDITION],
        meaning: "1 when this condition of acting holds, 0 when it doesn't",
    },
    Name {
        metric: Metric::Mode,
        prometheus: "serin_mode",
        otlp: "serin.mode",
        kind: Gauge,
        unit: "1",
        labels: &[SERVICE, MODE],
        meaning: "1 for the mode that the service is configured for, observe or act, 0 for the other",
    },
    Name {
        metric: Metric::Epoch,
        prometheus: "serin_epoch",
        otlp: "serin.epoch",
        kind: Gauge,
        unit: "1",
        labels: &[SERVICE],
        meaning: "The number of the open epoch: it changes when the listener does",
    },
    Name {
        metric: Metric::Breaches,
        prometheus: "serin_breaches_total",
        otlp: "serin.breaches",
        kind: Counter,
        unit: "{breach}",
        labels: &[SERVICE],
        meaning: "Releases that broke a promise",
    },
    Name {
        metric: Metric::Reverts,
        prometheus: "serin_reverts_total",
        otlp: "serin.reverts",
        kind: Counter,
        unit: "{revert}",
        labels: &[SERVICE, OUTCOME],
        meaning: "Reverts by how they ended; dry_run is what would have been one",
    },
    Name {
        metric: Metric::Writes,
        prometheus: "serin_writes_total",
        otlp: "serin.writes",
        kind: Counter,
        unit: "{write}",
        labels: &[SERVICE, OUTCOME],
        meaning: "Mutating calls by what came of them",
    },
    Name {
        metric: Metric::Pages,
        prometheus: "serin_pages_total",
        otlp: "serin.pages",
        kind: Counter,
        unit: "{page}",
        labels: &[SERVICE, PAGE],
        meaning: "Messages for people",
    },
    Name {
        metric: Metric::Refusals,
        prometheus: "serin_refusals_total",
        otlp: "serin.refusals",
        kind: Counter,
        unit: "{refusal}",
        labels: &[SERVICE, WHY],
        meaning: "Breaches that were not answered by a write, and why",
    },
    Name {
        metric: Metric::Dropped,
        prometheus: "serin_dropped_total",
        otlp: "serin.dropped",
        kind: Counter,
        unit: "{item}",
        labels: &[DESTINATION, WHY],
        meaning: "Items, exports and metric data that a destination never got, and why",
    },
    Name {
        metric: Metric::SpoolBatches,
        prometheus: "serin_spool_batches",
        otlp: "serin.spool.batches",
        kind: Gauge,
        unit: "{batch}",
        labels: &[DESTINATION],
        meaning: "Batches that wait on disk until the destination takes them; absent where nothing is kept",
    },
    Name {
        metric: Metric::SpoolBytes,
        prometheus: "serin_spool_bytes",
        otlp: "serin.spool.size",
        kind: Gauge,
        unit: "By",
        labels: &[DESTINATION],
        meaning: "What they take of the disk",
    },
    Name {
        metric: Metric::Reloaded,
        prometheus: "serin_config_last_reload_successful",
        otlp: "serin.config.last_reload_successful",
        kind: Gauge,
        unit: "1",
        labels: &[],
        meaning: "1 if the configuration was taken when it was read last, 0 if it had a fault and that of before goes on",
    },
    Name {
        metric: Metric::ReloadedAt,
        prometheus: "serin_config_last_reload_success_timestamp_seconds",
        otlp: "serin.config.last_reload_success",
        kind: Gauge,
        unit: "s",
        labels: &[],
        meaning: "When the configuration was taken last, in seconds since 1970",
    },
    Name {
        metric: Metric::Pending,
        prometheus: "serin_config_pending",
        otlp: "serin.config.pending",
        kind: Gauge,
        unit: "1",
        labels: &[SERVICE],
        meaning: "1 while a configuration that was read anew waits for the end of a release",
    },
];

impl Metric {
    /// Its row in the catalogue.
    #[must_use]
    pub const fn name(self) -> &'static Name {
        &NAMES[self as usize]
    }
}
