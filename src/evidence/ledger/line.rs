//! One line of the ledger: its envelope, its record, and the release that it belongs to.

use crate::model::guard::Command;
use crate::model::record::{IntentId, Record};
use crate::model::release::{EpochId, ReleaseId};
use crate::model::time::{Mono, Wall};
use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;
use thiserror::Error;

/// What the first line says of the one before it.
pub const NO_PREV: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// How many epochs, intents and labels are remembered.
const REMEMBERED: usize = 256;
/// The pipeline may name a release that was seen so long ago (as the guard does).
const NAME_WITHIN: Duration = Duration::from_mins(1);

/// What every line begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Counted from 0 over the life of the ledger.
    pub seq: u64,
    /// When the event happened: RFC 3339, UTC, milliseconds.
    #[serde(serialize_with = "write_wall", deserialize_with = "read_wall")]
    pub ts: Wall,
    /// The same on `CLOCK_MONOTONIC`, nanoseconds.
    pub mono: Mono,
    /// The service.
    pub service: Box<str>,
    /// The pipeline's name of the release, or `r<N>`; absent between releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_id: Option<Box<str>>,
    /// SHA-256 of the line before, without its newline, hexadecimal.
    pub prev: Box<str>,
    /// Records that were lost before this line, because a queue or the disk was full.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost: u64,
}

/// A line as read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its number.
    pub seq: u64,
    /// When.
    pub wall: Wall,
    /// When.
    pub mono: Mono,
    /// The release, as the writer named it.
    pub release_id: Option<Box<str>>,
    /// What happened.
    pub record: Record,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LineError {
    /// Not JSON at all: the only thing that a torn line can be.
    #[error("it is not JSON")]
    NotJson,
    /// JSON, and not a line of a ledger.
    #[error("it is not a line of a ledger ({0})")]
    NotALine(String),
    /// A line of a ledger with an event that this version can't read.
    #[error("this version can't read its event ({0}); a newer one may have written it")]
    Event(String),
    /// It doesn't continue the line before it.
    #[error("it doesn't continue the line before it (sha256 {found}, expected {expected})")]
    Chain {
        /// What it says of the line before.
        found: String,
        /// What that line is.
        expected: String,
    },
    /// A number is missing or comes twice.
    #[error("its number is {found}, expected {expected}")]
    Sequence {
        /// What it says.
        found: u64,
        /// What should stand there.
        expected: u64,
    },
}

/// Renders a line without its newline.
pub(super) fn render(envelope: &Envelope, record: &Record) -> Vec<u8> {
    #[derive(Serialize)]
    struct Whole<'a> {
        #[serde(flatten)]
        envelope: &'a Envelope,
        #[serde(flatten)]
        record: &'a Record,
    }
    serde_json::to_vec(&Whole { envelope, record })
        .expect("a record has string keys only and writing to memory can't fail")
}

/// Reads a line without its newline.
///
/// # Errors
/// Says what it is instead.
pub(crate) fn parse(bytes: &[u8]) -> Result<(Envelope, Record), LineError> {
    let envelope: Envelope = serde_json::from_slice(bytes).map_err(|error| {
        if error.is_data() { LineError::NotALine(error.to_string()) } else { LineError::NotJson }
    })?;
    let record = serde_json::from_slice(bytes).map_err(|error| LineError::Event(error.to_string()))?;
    Ok((envelope, record))
}

/// SHA-256 in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> Box<str> {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text.into()
}

/// `2026-11-21T10:00:00.123Z`.
#[must_use]
pub(crate) fn rfc3339(wall: Wall) -> String {
    let stamp = Timestamp::from_millisecond(wall.0).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{stamp:.3}")
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's shape")]
fn write_wall<S: Serializer>(wall: &Wall, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*wall))
}

fn read_wall<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Wall, D::Error> {
    let text = String::deserialize(deserializer)?;
    let stamp: Timestamp = text.parse().map_err(D::Error::custom)?;
    Ok(Wall(stamp.as_millisecond()))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's shape")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Follows which release a record belongs to, and what the pipeline calls it.
#[derive(Clone, Debug, Default)]
pub struct Naming {
    labels: BTreeMap<ReleaseId, Box<str>>,
    epochs: BTreeMap<EpochId, Option<ReleaseId>>,
    intents: BTreeMap<IntentId, ReleaseId>,
    open: Option<ReleaseId>,
    cutover: Mono,
}

impl Naming {
    /// Takes one record, in order, and says which release it belongs to.
    pub fn take(&mut self, record: &Record, now: Mono) -> Option<Box<str>> {
        let release = self.release_of(record, now);
        while self.labels.len() > REMEMBERED {
            self.labels.pop_first();
        }
        while self.epochs.len() > REMEMBERED {
            self.epochs.pop_first();
        }
        while self.intents.len() > REMEMBERED {
            self.intents.pop_first();
        }
        release.map(|release| self.name(release))
    }

    /// The label of a release, or `r<N>`.
    #[must_use]
    pub fn name(&self, release: ReleaseId) -> Box<str> {
        self.labels.get(&release).cloned().unwrap_or_else(|| release.to_string().into())
    }

    /// The label of a release, if the pipeline gave one.
    #[must_use]
    pub fn label_of(&self, release: ReleaseId) -> Option<&str> {
        self.labels.get(&release).map(|label| &**label)
    }

    /// The release of a record, by its number.
    pub fn release_of(&mut self, record: &Record, now: Mono) -> Option<ReleaseId> {
        match record {
            Record::Release { release, label, cutover, .. } => {
                self.open = Some(*release);
                self.cutover = *cutover;
                // A ledger that was moved away starts to count anew: an old label is not this release's.
                self.labels.remove(release);
                self.label(*release, label.as_deref());
                Some(*release)
            }
            Record::Epoch { epoch, release, label, .. } => {
                self.open = *release;
                self.epochs.insert(*epoch, *release);
                if let Some(release) = release {
                    self.label(*release, label.as_deref());
                }
                *release
            }
            Record::Breach { release, .. }
            | Record::Preflight { release, .. }
            | Record::WouldRevert { release, .. }
            | Record::Held { release, .. }
            | Record::Kept { release } => Some(*release),
            Record::Refused { release, .. } => *release,
            Record::Intent(intent) => {
                self.intents.insert(intent.id, intent.release);
                Some(intent.release)
            }
            Record::WriteSent { intent, .. }
            | Record::Wrote { intent, .. }
            | Record::Confirmed { intent }
            | Record::Verified { intent, .. }
            | Record::Abandoned { intent, .. } => self.intents.get(intent).copied().or(self.open),
            Record::NotGood { epoch }
            | Record::Seen { epoch, .. }
            | Record::FirstBad { epoch, .. }
            | Record::Verdict { epoch, .. }
            | Record::Pulse { epoch, .. } => self.epoch(*epoch),
            Record::Good { good } => self.epoch(good.epoch),
            Record::Operator { command } => {
                if let (Command::ReleaseBegin { label, .. }, Some(release)) = (command, self.open)
                    && !self.labels.contains_key(&release)
                    && now.since(self.cutover) < NAME_WITHIN
                {
                    self.label(release, label.as_deref());
                }
                self.open
            }
            Record::Started { .. }
            | Record::Revised { .. }
            | Record::Drift { .. }
            | Record::Paged { .. }
            | Record::Stopped { .. } => self.open,
        }
    }

    fn epoch(&self, epoch: EpochId) -> Option<ReleaseId> {
        self.epochs.get(&epoch).copied().unwrap_or(self.open)
    }

    fn label(&mut self, release: ReleaseId, label: Option<&str>) {
        if let Some(label) = label {
            self.labels.insert(release, label.into());
        }
    }
}
