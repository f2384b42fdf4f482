//! What would each policy have done? Streams of answers, made up or recorded, through the real judge and the real guard, in
//! virtual time.
//!
//! | file | what |
//! |---|---|
//! | `simulate/story.rs` | streams that are made up: which version answers how, by a seed |
//! | `simulate/recorded.rs` | the samples that were kept of a past release |
//! | `simulate/play.rs` | one release: judge and guard, and an AWS that answers at once |
//! | `simulate/tally.rs` | many releases, and what came of them |

mod play;
mod recorded;
mod story;
mod tally;

pub use play::{Played, Rules, play};
pub use recorded::{Recording, RecordingError, read};
pub use story::{Kind, Story, Telling, Usual};
pub use tally::{Row, Summary, rows};

use crate::model::sample::{Outcome, Purpose};
use crate::model::target::TargetId;
use std::time::Duration;

/// One probe and what came of it, before anybody judged it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shot {
    /// Which path.
    pub purpose: Purpose,
    /// Which URL.
    pub target: TargetId,
    /// From when it was due to the end of its answer.
    pub response: Duration,
    /// The status; 0 when no answer came.
    pub status: u16,
    /// What came of it.
    pub outcome: Outcome,
    /// The new version answered; `None`: nobody knows.
    pub new: Option<bool>,
    /// Own delays spoil it.
    pub void: bool,
    /// Over which connection, and through which address.
    pub way: (u32, u16),
}

/// Where the probes of a release come from. Times are since the cutover.
pub trait Source {
    /// The answer to a probe that is due `at` seconds after the cutover (before it: negative), number `index` of its path.
    fn answer(&mut self, at: f64, purpose: Purpose, index: u64) -> Shot;
    /// All probes are known beforehand, in the order in which they were due, with their time in seconds.
    fn recorded(&self) -> Option<&[(f64, Shot)]> {
        None
    }
}
