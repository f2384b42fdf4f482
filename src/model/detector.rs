//! Has it changed? A promise is a share of bad answers that is allowed, and its policy says when there are too many of them in the
//! window to be luck, for longer than a blip.
//!
//! A good release is called bad once in so many releases (`wrong_reverts`), with every sample of the judged time counted as one
//! look. Chance alone is a poor model of networks, where errors come in bursts; hence `tolerate_blip`: one connected run of bad
//! answers that is shorter never suffices, however bad; it counts for at most a quarter of what is needed, so that several
//! together (flapping) still do.
//!
//! | | |
//! |---|---|
//! | `detector/sequential.rs` | the default: a bank of cumulative sums, as fast as the guarantee allows |
//! | `detector/threshold.rs` | a share over the window, against the binomial tail |
//! | `detector/compare.rs` | one path beside another |
//! | `detector/run_length.rs` | how long a cumulative sum takes, exactly: what the benchmark holds the policy to |
//! | `detector/logarithm.rs` | the same logarithm on every machine |

use crate::policy::Policy;
use crate::time::{Mono, Span};
use crate::verdict::{Evidence, Stream};
use crate::window::{Entry, Window};
use sequential::Bank;
use std::time::Duration;

pub mod compare;
mod logarithm;
pub mod run_length;
pub mod sequential;
mod threshold;

pub use threshold::tail;

/// One promise turned into a test.
#[derive(Clone, Debug, PartialEq)]
pub struct Promise {
    /// How it is tested.
    pub policy: Policy,
    /// Which events are bad.
    pub stream: Stream,
    /// The promised share of bad events, 0.0 < p < 1.0.
    pub share_max: f64,
    /// The chance that one look goes wrong.
    pub alpha: f64,
    /// Fewer samples prove nothing; a breach takes so many under the `threshold` policy only.
    pub samples_min: u32,
    /// No breach with a smaller share than this.
    pub share_min: f64,
    /// See the module.
    pub tolerate_blip: Duration,
    /// For the sentence: one wrong revert in so many releases.
    pub luck_one_in: u64,
}

/// What a look at the window says.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// Too few samples to say anything.
    TooFew,
    /// Nothing that the promise doesn't allow.
    Kept,
    /// More bad answers than luck easily explains, fewer than it takes to act.
    Suspect,
    /// Broken.
    Breach(Evidence),
}

/// One sample as a policy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    due: Mono,
    bad: bool,
    /// When it was known.
    known: Mono,
}

/// What a policy finds.
enum Found {
    Luck,
    Suspect,
    /// The bad samples that it rests on.
    Breach {
        first: Mono,
        last: Mono,
    },
}

impl Promise {
    /// Looks at the window against `share_max`, or against `at_least` if that is larger
    /// (what was normal before the release).
    #[must_use]
    pub fn look(&self, window: &Window, at_least: f64) -> Look {
        let n = window.count();
        let hits = match self.stream {
            Stream::Errors => window.bad(),
            Stream::Latency => window.slow(),
        };
        let few = n < self.samples_min.max(1);
        let share = self.share_max.max(at_least);
        if hits == 0 || share >= 1.0 || few && self.policy == Policy::Threshold {
            return if few { Look::TooFew } else { Look::Kept };
        }
        let found = match self.policy {
            Policy::Sequential => Bank::new(share, self.alpha).look(&self.events(window), self.tolerate_blip),
            Policy::Threshold => self.threshold(window, (n, hits), share),
        };
        match found {
            Found::Luck if few => Look::TooFew,
            Found::Luck => Look::Kept,
            Found::Suspect => Look::Suspect,
            Found::Breach { first, last } => self.breach(window, first, last),
        }
    }

    fn threshold(&self, window: &Window, (n, hits): (u32, u32), share: f64) -> Found {
        if tail(n, hits, share) > 1e-3 {
            return Found::Luck;
        }
        let needed = threshold::fewest(n, hits, share, self.alpha);
        let bad: Vec<Event> = self.events(window).into_iter().filter(|event| event.bad).collect();
        match (needed, bad.first(), bad.last()) {
            (Some(needed), Some(first), Some(last))
                if threshold::counted(&bad, self.tolerate_blip, needed) >= needed =>
            {
                Found::Breach { first: first.due, last: last.due }
            }
            _ => Found::Suspect,
        }
    }

    /// In the order in which they were due, from the first bad one on: what was good before it changes nothing. A bad answer may
    /// be known long after good ones that were due later, so the order of the window doesn't tell which is first. What hangs is no
    /// word about errors yet.
    fn events(&self, window: &Window) -> Vec<Event> {
        let is_bad = |entry: &&Entry| self.stream.is_bad(entry);
        let Some(first) = window.entries().filter(is_bad).map(|entry| entry.due).min() else {
            return Vec::new();
        };
        let speaks = |entry: &&Entry| entry.due >= first && (!entry.hangs() || is_bad(entry));
        let event = |entry: &Entry| Event {
            due: entry.due,
            bad: self.stream.is_bad(entry),
            known: entry.due.after(entry.response.duration()),
        };
        let mut events: Vec<Event> = window.entries().filter(speaks).map(event).collect();
        events.sort_by_key(|event| event.due);
        events
    }

    fn breach(&self, window: &Window, first: Mono, last: Mono) -> Look {
        let is_bad = |entry: &&Entry| self.stream.is_bad(entry);
        let since = || window.entries().filter(|entry| entry.due >= first);
        // A probe that found no slot used no connection: it is bad by those that hang on theirs, and were due before.
        // Without such a probe, one that is merely slow says nothing of the ways that the bad ones came.
        let no_slot = since().any(|entry| is_bad(&entry) && entry.conn == 0);
        let speaks = |entry: &&Entry| no_slot && entry.hangs() || entry.due >= first && is_bad(entry);
        let ways = || window.entries().filter(speaks).filter(|entry| entry.conn != 0);
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (answers, bad) = (count(since().count()), count(since().filter(is_bad).count()));
        if f64::from(bad) < self.share_min * f64::from(answers) {
            return Look::Suspect;
        }
        Look::Breach(Evidence {
            stream: self.stream,
            answers,
            bad,
            span_ms: u64::try_from(last.since(first).as_millis()).unwrap_or(u64::MAX),
            share_max: self.share_max,
            luck_one_in: self.luck_one_in,
            first_bad: first,
            last_bad: last,
            connections: distinct(ways().map(|entry| entry.conn)),
            addresses: distinct(ways().map(|entry| u32::from(entry.addr))),
            targets: distinct(since().filter(is_bad).map(|entry| u32::from(entry.target.0))),
            window_answers: window.count(),
            window_p95: p95(since().filter(|entry| entry.answered).map(|entry| entry.response).collect()),
            total: false,
        })
    }
}

/// By nearest rank.
fn p95(mut responses: Vec<Span>) -> Option<Span> {
    let index = (responses.len() * 95).div_ceil(100).checked_sub(1)?;
    Some(*responses.select_nth_unstable(index).1)
}

/// There are few different ones among many: a short sorted list, and no allocation a value.
fn distinct(values: impl Iterator<Item = u32>) -> u32 {
    let mut known: Vec<u32> = Vec::new();
    for value in values {
        if let Err(place) = known.binary_search(&value) {
            known.insert(place, value);
        }
    }
    u32::try_from(known.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
