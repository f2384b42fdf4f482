//! The samples that were kept of a past release, as they lie in `samples-r<N>.jsonl` of the evidence.

use super::story::{Kind, Story, Telling, Usual};
use super::{Shot, Source};
use crate::evidence::samples::SampleLine;
use crate::model::sample::{Fault, Ours, Outcome, Purpose, Taint};
use crate::model::target::TargetId;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A release as it was recorded, in seconds since its cutover.
#[derive(Clone, Debug)]
pub struct Recording {
    shots: Vec<(f64, Shot)>,
    /// The URLs that were asked.
    pub urls: usize,
    /// Raw samples that were left out when it was recorded: there were too many bad ones.
    pub left_out: u64,
    /// How the state before the cutover is made up, until the recording begins.
    lead: Option<Telling>,
}

/// Why a file is no recording.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// It can't be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line isn't a sample as this version keeps them.
    #[error("{}:{line}: no sample of this version of Serin: {why}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// Why.
        why: String,
    },
    /// The last line doesn't end.
    #[error("{}:{line}: the file is cut short in this line; delete the line to use what is before it", path.display())]
    CutShort {
        /// Which file.
        path: PathBuf,
        /// The last line.
        line: usize,
    },
    /// There is no release in it.
    #[error("{}: {why}", path.display())]
    NoRelease {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
}

/// Reads the samples of one release.
///
/// # Errors
/// The file can't be read, is cut short, is of another version, or shows no cutover.
pub fn read(path: &Path) -> Result<Recording, RecordingError> {
    let at = || path.to_path_buf();
    let text = std::fs::read_to_string(path).map_err(|source| RecordingError::Read { path: at(), source })?;
    let mut lines = Vec::new();
    let mut left_out = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let number = index + 1;
        if !line.ends_with('\n') {
            return Err(RecordingError::CutShort { path: at(), line: number });
        }
        let wrong = |why: String| RecordingError::Line { path: at(), line: number, why };
        let value: serde_json::Value =
            serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        if value["event"] == "spill" {
            left_out += value["left_out"].as_u64().unwrap_or(0);
            continue;
        }
        let sample: SampleLine = serde_json::from_value(value).map_err(|error| wrong(error.to_string()))?;
        let outcome = outcome(&sample).ok_or_else(|| {
            wrong(format!("the outcome {:?} with the fault {:?} is unknown", sample.outcome, sample.fault))
        })?;
        lines.push((sample, outcome));
    }
    let none = |why| RecordingError::NoRelease { path: at(), why };
    if lines.is_empty() {
        return Err(none("it holds no samples"));
    }
    lines.sort_by_key(|(sample, _)| sample.mono);
    let production = || lines.iter().map(|(sample, _)| sample).filter(|s| s.purpose == Purpose::Production);
    let before = production().next().map(|sample| sample.epoch);
    let cut = production().find(|sample| Some(sample.epoch) != before).map(|sample| sample.mono);
    let cut = cut.ok_or_else(|| {
        none("all of its samples are of one state of the listener: there is no cutover in it")
    })?;
    let old: BTreeSet<Box<str>> =
        production().filter(|s| s.mono < cut).filter_map(|sample| sample.version.clone()).collect();
    let mut targets: BTreeMap<Box<str>, TargetId> = BTreeMap::new();
    let mut shots = Vec::with_capacity(lines.len());
    for (sample, outcome) in &lines {
        let next = TargetId(u16::try_from(targets.len()).unwrap_or(u16::MAX));
        let target = *targets.entry(sample.target.clone()).or_insert(next);
        let new = sample.version.as_ref().map(|version| !old.contains(version));
        let since = if sample.mono < cut {
            -cut.since(sample.mono).as_secs_f64()
        } else {
            sample.mono.since(cut).as_secs_f64()
        };
        let shot = Shot {
            purpose: sample.purpose,
            target,
            response: Duration::from_secs_f64((sample.response_ms / 1_000.0).max(0.0)),
            status: sample.status,
            outcome: *outcome,
            new,
            void: matches!(sample.taint, Taint::Late | Taint::Stalled),
            way: (sample.conn, sample.addr),
        };
        if sample.taint != Taint::Straddling {
            shots.push((since, shot));
        }
    }
    Ok(Recording { shots, urls: targets.len(), left_out, lead: None })
}

/// As it is written by the evidence.
fn outcome(line: &SampleLine) -> Option<Outcome> {
    let fault = || Fault::ALL.into_iter().find(|fault| Some(fault.name()) == line.fault.as_deref());
    match &*line.outcome {
        "ok" => Some(Outcome::Ok),
        "bad" => fault().map(Outcome::Bad),
        "saturated" => Some(Outcome::Saturated),
        "missed" => Some(Outcome::Missed(Ours::Late)),
        "failed" => Some(Outcome::Failed(Ours::Resolve)),
        _ => None,
    }
}

impl Recording {
    /// What is made up until it begins: good answers of the old version, by the service's promises.
    #[must_use]
    pub fn with_lead(mut self, usual: Usual) -> Self {
        self.lead = Some(Story { kind: Kind::Quiet, onset: Duration::MAX }.tell(usual, 0));
        self
    }

    /// How long before the cutover it begins.
    #[must_use]
    pub fn before(&self) -> Duration {
        Duration::from_secs_f64(self.shots.first().map_or(0.0, |(at, _)| (-at).max(0.0)))
    }

    /// How long after the cutover it ends.
    #[must_use]
    pub fn after(&self) -> Duration {
        Duration::from_secs_f64(self.shots.last().map_or(0.0, |(at, _)| at.max(0.0)))
    }
}

impl Source for Recording {
    fn answer(&mut self, at: f64, purpose: Purpose, index: u64) -> Shot {
        let before = at.min(-1.0);
        match &mut self.lead {
            Some(lead) => lead.answer(before, purpose, index),
            None => Shot {
                purpose,
                target: TargetId(0),
                response: Duration::from_millis(1),
                status: 200,
                outcome: Outcome::Ok,
                new: Some(false),
                void: false,
                way: (1, 0),
            },
        }
    }

    fn recorded(&self) -> Option<&[(f64, Shot)]> {
        Some(&self.shots)
    }
}
