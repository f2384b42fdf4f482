//! The trailing window: exact counts and a latency distribution, O(1) a sample.
//!
//! Whether an answer is slower than an objective is decided on the exact time, never on a bucket.

use crate::distribution::{Distribution, bucket};
use crate::target::{TargetId, VersionId};
use crate::time::{Mono, Span};
use std::collections::VecDeque;
use std::time::Duration;

/// In ten-thousandths.
const P95: u32 = 9_500;

/// What the window keeps of one judged sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was due.
    pub due: Mono,
    /// Its response time.
    pub response: Span,
    /// It broke a promise of availability.
    pub bad: bool,
    /// It was slower than the latency objective.
    pub slow: bool,
    /// An answer came, so its time belongs into the distribution.
    pub answered: bool,
    /// The connection it used.
    pub conn: u32,
    /// The address it asked.
    pub addr: u16,
    /// The target.
    pub target: TargetId,
    /// The version that answered.
    pub version: VersionId,
}

impl Entry {
    /// It was told of as slow while in flight, and nothing has come back.
    #[must_use]
    pub const fn hangs(&self) -> bool {
        self.slow && !self.answered
    }
}

/// The samples of one stream over the last `span`, at most [`Window::CAP`] of them.
#[derive(Clone, Debug)]
pub struct Window {
    span: Duration,
    entries: VecDeque<(Mono, Entry)>,
    times: Distribution,
    bad: u32,
    slow: u32,
}

impl Window {
    /// More samples than this push out the oldest: at 1,000 a second that is 16 s.
    pub const CAP: usize = 16_384;

    /// An empty window over the trailing `span`.
    #[must_use]
    pub fn new(span: Duration) -> Self {
        Self { span, entries: VecDeque::new(), times: Distribution::new(P95), bad: 0, slow: 0 }
    }

    /// Takes a sample that was done at `now`. Instants that run backwards are taken as the newest so far.
    pub fn insert(&mut self, now: Mono, entry: Entry) {
        let at = self.entries.back().map_or(now, |(newest, _)| now.max(*newest));
        if self.entries.len() == Self::CAP {
            self.drop_oldest();
        }
        self.entries.push_back((at, entry));
        self.bad += u32::from(entry.bad);
        self.slow += u32::from(entry.slow);
        if entry.answered {
            self.times.add(bucket(entry.response));
        }
        self.expire(now);
    }

    /// Replaces the entry of a probe that was told of as slow while in flight, so that it counts once.
    /// False when the window no longer has it.
    pub fn amend(&mut self, entry: Entry) -> bool {
        let found = self.entries.iter().rposition(|(_, old)| {
            !old.answered && old.slow && old.due == entry.due && old.target == entry.target
        });
        let Some((_, old)) = found.and_then(|index| self.entries.get_mut(index)) else { return false };
        self.bad = self.bad - u32::from(old.bad) + u32::from(entry.bad);
        self.slow = self.slow - u32::from(old.slow) + u32::from(entry.slow);
        *old = entry;
        if entry.answered {
            self.times.add(bucket(entry.response));
        }
        true
    }

    /// Lets go of everything that was done longer ago than the span.
    pub fn expire(&mut self, now: Mono) {
        let from = now.before(self.span);
        while self.entries.front().is_some_and(|(at, _)| *at < from) {
            self.drop_oldest();
        }
    }

    /// Forgets everything: evidence belongs to one epoch.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.times.clear();
        (self.bad, self.slow) = (0, 0);
    }

    /// How many samples.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
    }

    /// How many of them broke a promise of availability.
    #[must_use]
    pub const fn bad(&self) -> u32 {
        self.bad
    }

    /// How many of them were slower than the latency objective.
    #[must_use]
    pub const fn slow(&self) -> u32 {
        self.slow
    }

    /// P95 of the answers, at most 0.8 % off; `None` when there is none.
    #[must_use]
    pub const fn p95(&self) -> Option<Span> {
        self.times.quantile()
    }

    /// The samples, oldest first.
    #[must_use]
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    fn drop_oldest(&mut self) {
        if let Some((_, entry)) = self.entries.pop_front() {
            self.bad -= u32::from(entry.bad);
            self.slow -= u32::from(entry.slow);
            if entry.answered {
                self.times.remove(bucket(entry.response));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(ms: u64, bad: bool) -> Entry {
        let response = Span::of(Duration::from_millis(ms));
        Entry {
            due: Mono(0),
            response,
            bad,
            slow: ms > 100,
            answered: true,
            conn: 1,
            addr: 0,
            target: TargetId(0),
            version: VersionId::NONE,
        }
    }

    fn at(ms: u64) -> Mono {
        Mono(ms * 1_000_000)
    }

    #[test]
    fn what_leaves_the_window_leaves_every_count() {
        let mut window = Window::new(Duration::from_secs(1));
        window.insert(at(0), entry(500, true));
        window.insert(at(600), entry(10, false));
        assert_eq!((window.count(), window.bad(), window.slow()), (2, 1, 1));
        window.expire(at(1_000));
        assert_eq!(window.count(), 2);
        window.expire(at(1_001));
        assert_eq!((window.count(), window.bad(), window.slow()), (1, 0, 0));
        assert!((window.p95().unwrap().millis() - 10.0).abs() < 0.1);
    }

    #[test]
    fn an_empty_window_knows_no_quantile() {
        let mut window = Window::new(Duration::from_secs(1));
        assert_eq!(window.p95(), None);
        window.insert(at(0), Entry { answered: false, ..entry(1_000, true) });
        assert_eq!((window.p95(), window.bad()), (None, 1));
    }

    #[test]
    fn a_clock_that_jumps_an_hour_empties_the_window_and_one_that_steps_back_harms_nothing() {
        let mut window = Window::new(Duration::from_secs(1));
        window.insert(at(5_000), entry(10, true));
        window.insert(at(4_000), entry(10, true));
        assert_eq!(window.count(), 2);
        window.expire(at(3_605_000));
        assert_eq!((window.count(), window.bad()), (0, 0));
    }

    #[test]
    fn the_window_is_bounded() {
        let mut window = Window::new(Duration::from_secs(100));
        for _ in 0..Window::CAP + 10 {
            window.insert(at(1), entry(1, true));
        }
        assert_eq!(window.entries().count(), Window::CAP);
        assert_eq!(window.count(), window.bad());
    }
}
