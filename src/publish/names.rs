//! Every figure that leaves the process: what it is called where, its unit, its attributes and what it means.
//!
//! Prometheus and OTLP are built from [`NAMES`], `CloudWatch` from [`CLOUDWATCH`], and a test holds the dashboards to them. What other
//! probers call some of them stands in [`aliases::ALIASES`].

pub mod aliases;
mod cardinality;
mod cloudwatch;
mod sets;
mod table;

pub(super) use super::labels::target_label;
#[cfg(test)]
pub(in crate::publish) use cardinality::series;
pub use cardinality::{Cardinality, cardinality};
pub use cloudwatch::{CLOUDWATCH, CloudWatchName};
pub use sets::{CLASSES, CONDITIONS, LATCHES, REFUSALS, REVERTS, WRITES, class, is_ours, reasons};
pub use table::NAMES;

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

impl Metric {
    /// Its row in the catalogue.
    #[must_use]
    pub const fn name(self) -> &'static Name {
        &NAMES[self as usize]
    }
}
