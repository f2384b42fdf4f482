//! The account of a release, made from its ledger, or from log lines that were exported, wherever they went.
//!
//! Times within one run of the daemon are differences of the monotonic clock; across a restart only the wall clock is
//! left, and it is used.
//!
//! | file | what |
//! |---|---|
//! | `report.rs` | what a report says |
//! | `report/collect.rs` | lines in, one story a release out; the chain is checked on the way |
//! | `report/account.rs` | from the story to the account |
//! | `report/exact.rs` | rates and P95 from raw samples |
//! | `report/curves.rs` | what its charts are drawn from |
//! | `report/text.rs` | the account in words |

mod account;
mod collect;
mod curves;
mod exact;
mod text;

pub use curves::{ANSWERS_MIN, Answered, Bin, Bins, Curves, Noted};
pub use text::plain;

use crate::evidence::ledger::ledger_files;
use crate::evidence::samples::sample_files;
use crate::model::guard::Condition;
use collect::{Collector, Story};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Which release is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportFilter {
    /// The service; may be left out where there is only one.
    pub service: Option<String>,
    /// The pipeline's name of the release, or `r<N>`; the newest without it.
    pub release: Option<String>,
}

/// Why there is no report.
#[derive(Debug, Error)]
pub enum ReportError {
    /// A file can't be read.
    #[error("{path}: can't read it: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Standard input, or another stream, can't be read.
    #[error("can't read the lines: {0}")]
    Stream(#[from] io::Error),
    /// No line is a ledger's.
    #[error("none of {lines} lines is a line of a ledger")]
    NoLedger {
        /// Lines that were read.
        lines: u64,
    },
    /// There are several services.
    #[error("the lines are of several services; choose one of: {}", .0.join(", "))]
    Services(Vec<String>),
    /// There is no such service.
    #[error("no line is of the service {asked:?}; there are: {}", .known.join(", "))]
    NoService {
        /// What was asked for.
        asked: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// There is no such release.
    #[error("no release {asked:?}; there are: {}", listed(.known))]
    NoRelease {
        /// What was asked for; `the newest` without a filter.
        asked: String,
        /// Those there are, newest first.
        known: Vec<String>,
    },
}

fn listed(known: &[String]) -> String {
    if known.is_empty() { "none, no cutover was seen yet".into() } else { known.join(", ") }
}

/// How a release ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The listener was put back, and fresh connections proved it.
    Reverted,
    /// The time to act is over, and nothing had to be done.
    Kept,
    /// Something was wrong, nothing was done, and the reason is told.
    Refused,
    /// An operator's hold forbade acting.
    Held,
    /// Observe mode: it would have been reverted.
    Observed,
    /// A write went in or may have, and the proof is missing.
    Partial,
    /// Somebody else changed the listener.
    Overridden,
    /// It is still under judgement, or the ledger ends within it.
    Judging,
}

impl Outcome {
    /// As in the JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Reverted => "reverted",
            Self::Kept => "kept",
            Self::Refused => "refused",
            Self::Held => "held",
            Self::Observed => "observed",
            Self::Partial => "partial",
            Self::Overridden => "overridden",
            Self::Judging => "judging",
        }
    }
}

/// One thing that happened to the release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// `cutover_seen`, `step`, `first_bad`, `breach`, `preflight`, `would_revert`, `intent`, `revert_sent`, `accepted`,
    /// `write_refused`, `write_unknown`, `confirmed`, `verified`, `abandoned`, `refused`, `held`, `kept`, `drift`,
    /// `operator` or `ended`.
    pub step: Box<str>,
    /// When: RFC 3339, UTC, milliseconds.
    pub ts: String,
    /// The same since the cutover was seen, milliseconds.
    pub ms: f64,
    /// In words.
    pub detail: String,
}

/// A number before the cutover, while the release was under judgement (from the first bad answer, if there was a
/// breach), and after the revert. Absent where it wasn't measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stages<T> {
    /// Under the version before.
    pub before: Option<T>,
    /// Under the release.
    pub during: Option<T>,
    /// After the revert.
    pub after: Option<T>,
}

/// Which versions answered from then on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Versions {
    /// RFC 3339.
    pub ts: String,
    /// Since the cutover, milliseconds.
    pub ms: f64,
    /// Who answered.
    pub versions: BTreeSet<String>,
    /// The share of each, 0.0..=1.0, over a second; only from raw samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<BTreeMap<String, f64>>,
}

/// The write, done or (in observe mode) not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// What the listener showed, in a word.
    pub before: String,
    /// What it was put back to, in a word.
    pub after: String,
    /// All that routes before it, in canonical text.
    pub before_exact: String,
    /// The same after it.
    pub after_exact: String,
    /// AWS's; absent when nothing was accepted.
    pub request_id: Option<String>,
}

/// Whether the lines are what was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Lines of this service's ledger.
    pub lines: u64,
    /// Lines that are no ledger's.
    pub skipped: u64,
    /// Ledgers that they belong to: more than one after a disk was lost.
    pub ledgers: u64,
    /// Records that the daemon says it could not write.
    pub lost: u64,
    /// Every line continues the one before it.
    pub intact: bool,
    /// The first that doesn't.
    pub first_break: Option<String>,
}

/// The account of one release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The service.
    pub service: String,
    /// The pipeline's name of the release, or `r<N>`.
    pub release_id: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, in a sentence with its numbers.
    pub verdict: String,
    /// What happened, in order.
    pub timeline: Vec<Step>,
    /// Share of bad answers, 0.0..=1.0.
    pub error_rate: Stages<f64>,
    /// P95 of the response time, milliseconds.
    pub p95_ms: Stages<f64>,
    /// How many answers these are made from.
    pub answers: Stages<u64>,
    /// What these are made from: `ledger` or `samples`.
    pub source: Box<str>,
    /// Which version answered over time.
    pub versions: Vec<Versions>,
    /// From the first bad answer of the breach until users were well again, seconds; 0 without a breach, absent while
    /// nobody knows.
    pub downtime_s: Option<f64>,
    /// What ended it: `verified`, `last_bad_sample`, `good` (the verdict) or `unknown`; `none` without a breach.
    pub downtime_until: Box<str>,
    /// From the first bad answer of the breach (when it was due) to the breach, milliseconds.
    pub detection_ms: Option<f64>,
    /// From the breach to the proof, milliseconds.
    pub rollback_ms: Option<f64>,
    /// The write; absent when none was intended.
    pub write: Option<Written>,
    /// Every condition of acting, as it stood at the last preflight.
    pub conditions: Vec<Condition>,
    /// Whether all this can be believed.
    pub chain: Chain,
}

/// Makes the report from ledger lines or exported log lines: what stands before the first `{` of a line is skipped
/// (`CloudWatch` Logs puts a timestamp there), and so are lines that aren't a ledger's.
///
/// # Errors
/// The lines can't be read, none is a ledger's, or service or release aren't among them.
pub fn from_lines(lines: impl BufRead, filter: &ReportFilter) -> Result<Report, ReportError> {
    drawn_from_lines(lines, filter).map(|(report, _)| report)
}

/// As [`from_lines`], with what its charts are drawn from: the ledger's own figures.
///
/// # Errors
/// As [`from_lines`].
pub fn drawn_from_lines(lines: impl BufRead, filter: &ReportFilter) -> Result<(Report, Curves), ReportError> {
    let mut collector = Collector::default();
    collector.read(lines)?;
    let story = choose(collector, filter)?;
    Ok((account::account(&story), Curves::of(&story, exact::Samples::of(&story))))
}

/// Makes the report from the folder of the ledgers, `<dir>/<service>/`, with rates and P95 from raw samples where these
/// are still there.
///
/// # Errors
/// As [`from_lines`].
pub fn from_folder(dir: &Path, filter: &ReportFilter) -> Result<Report, ReportError> {
    drawn_from_folder(dir, filter).map(|(report, _)| report)
}

/// As [`from_folder`], with what its charts are drawn from.
///
/// # Errors
/// As [`from_lines`].
pub fn drawn_from_folder(dir: &Path, filter: &ReportFilter) -> Result<(Report, Curves), ReportError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ReportError::Io { path, source }
    };
    let services = services(dir).map_err(io(dir))?;
    let service = match (&filter.service, services.as_slice()) {
        (Some(asked), known) if !known.contains(asked) => {
            return Err(ReportError::NoService { asked: asked.clone(), known: services });
        }
        (Some(asked), _) => asked.clone(),
        (None, [only]) => only.clone(),
        (None, []) => return Err(ReportError::NoLedger { lines: 0 }),
        (None, _) => return Err(ReportError::Services(services)),
    };
    let folder = dir.join(&service);
    let mut collector = Collector::default();
    for path in ledger_files(&folder).map_err(io(&folder))? {
        let file = File::open(&path).map_err(io(&path))?;
        collector.read(BufReader::new(file)).map_err(io(&path))?;
    }
    let filter = ReportFilter { service: Some(service), release: filter.release.clone() };
    let story = choose(collector, &filter)?;
    let mut report = account::account(&story);
    let mut samples = exact::Samples::of(&story);
    for path in sample_files(&folder).map_err(io(&folder))? {
        // A file may be deleted for the budget while we read.
        let Ok(file) = File::open(&path) else { continue };
        samples.read(BufReader::new(file)).map_err(io(&path))?;
    }
    samples.refine(&mut report, &story);
    Ok((report, Curves::of(&story, samples)))
}

/// The accounts of the last `most` releases of `service`, newest first, from its ledger alone.
///
/// # Errors
/// As [`from_lines`].
pub fn last_from_folder(dir: &Path, service: &str, most: usize) -> Result<Vec<Report>, ReportError> {
    let folder = dir.join(service);
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ReportError::Io { path, source }
    };
    let mut collector = Collector::default();
    for path in ledger_files(&folder).map_err(io(&folder))? {
        let file = File::open(&path).map_err(io(&path))?;
        collector.read(BufReader::new(file)).map_err(io(&path))?;
    }
    let Some(book) = collector.take(service) else {
        return Err(ReportError::NoService { asked: service.into(), known: collector.services() });
    };
    Ok(book.stories.iter().rev().take(most).map(account::account).collect())
}

/// The folders with a ledger.
fn services(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() && !ledger_files(&path)?.is_empty() {
            names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The story that is asked for.
fn choose(mut collector: Collector, filter: &ReportFilter) -> Result<Story, ReportError> {
    let known = collector.services();
    let service = match (&filter.service, known.as_slice()) {
        (_, []) => return Err(ReportError::NoLedger { lines: collector.lines() }),
        (Some(asked), _) => asked.clone(),
        (None, [only]) => only.clone(),
        (None, _) => return Err(ReportError::Services(known)),
    };
    let Some(mut book) = collector.take(&service) else {
        return Err(ReportError::NoService { asked: service, known });
    };
    let found = match &filter.release {
        None => book.stories.len().checked_sub(1),
        Some(asked) => book.stories.iter().rposition(|story| story.is_called(asked)),
    };
    let Some(found) = found else {
        return Err(ReportError::NoRelease {
            asked: filter.release.clone().unwrap_or_else(|| "the newest".into()),
            known: book.stories.iter().rev().map(Story::name).collect(),
        });
    };
    let mut story = book.stories.swap_remove(found);
    story.chain = book.chain;
    Ok(story)
}
