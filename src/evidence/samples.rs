//! Raw samples: which are kept, and how little memory and disk they may take.
//!
//! In calm times nothing raw is kept but what went wrong. Around a cutover everything is: from [`BEFORE`] before it to
//! the end of its judging.
//!
//! | file | what |
//! |---|---|
//! | `samples.rs` | what is kept, and the record of one sample |
//! | `samples/keeper.rs` | the ring in memory; pure, on the engine's thread |
//! | `samples/reservoir.rs` | a fair choice among the bad ones that are too many |
//! | `samples/writer.rs` | the files, their budget, and the thread behind a bounded channel |

mod keeper;
mod names;
mod reservoir;
mod writer;

pub use keeper::{Batch, Cutover, Item, Kept, Limits, SampleKeeper};
pub use names::{Names, Numbers};
pub use reservoir::Spill;
pub use writer::{SampleCounts, SampleHandle, SampleThread, SampleWriter, channel, sample_files};

use crate::model::release::EpochId;
use crate::model::sample::{Outcome, Phases, Purpose, Sample, Taint};
use crate::model::time::{Mono, Wall};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// So much before a cutover belongs to its release.
pub const BEFORE: Duration = Duration::from_mins(1);

/// One line of a samples file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleLine {
    /// When it was due: RFC 3339, UTC, milliseconds.
    pub ts: String,
    /// The same on `CLOCK_MONOTONIC`, nanoseconds.
    pub mono: Mono,
    /// What was asked.
    pub url: Box<str>,
    /// The target's name.
    pub target: Box<str>,
    /// The HTTP status; 0 when no answer came.
    pub status: u16,
    /// As a user would see it, milliseconds.
    pub response_ms: f64,
    /// The pipeline's name of the release, or `r<N>`; absent between releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_id: Option<Box<str>>,
    /// The version that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Box<str>>,
    /// `ok`, `bad`, `saturated`, `missed` or `failed`; the last two are our own doing.
    pub outcome: Box<str>,
    /// What was wrong, from a closed set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Box<str>>,
    /// What it was asked for.
    pub purpose: Purpose,
    /// Where the time went, milliseconds.
    pub phases_ms: BTreeMap<Box<str>, f64>,
    /// Whether it may be judged at all.
    pub taint: Taint,
    /// The epoch that was open when it was due.
    pub epoch: EpochId,
    /// Which connection.
    pub conn: u32,
    /// Which address.
    pub addr: u16,
}

impl SampleLine {
    /// The record of `sample`, due at `wall`.
    #[must_use]
    pub fn of(sample: &Sample, wall: Wall, url: &str, target: &str) -> Self {
        let phases = Phases::NAMES.iter().zip(sample.phases.all());
        Self {
            ts: super::ledger::rfc3339(wall),
            mono: sample.due,
            url: url.into(),
            target: target.into(),
            status: sample.status,
            response_ms: sample.response().millis(),
            release_id: None,
            version: None,
            outcome: outcome_word(sample.outcome).into(),
            fault: sample.outcome.reason().map(Into::into),
            purpose: sample.purpose,
            phases_ms: phases.map(|(name, span)| ((*name).into(), span.millis())).collect(),
            taint: sample.taint,
            epoch: sample.epoch,
            conn: sample.conn,
            addr: sample.addr,
        }
    }
}

/// A closed set of words.
const fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Bad(_) => "bad",
        Outcome::Saturated => "saturated",
        Outcome::Missed(_) => "missed",
        Outcome::Failed(_) => "failed",
    }
}
