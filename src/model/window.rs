//! The trailing window: exact counts and a latency distribution, O(1) a sample.
//!
//! Whether an answer is slower than an objective is decided on the exact time, never on a bucket.

use crate::distribution::{Distribution, bucket};
use crate::objective::{LIMITS_MAX, P95, Scope};
use crate::target::{TargetId, VersionId};
use crate::time::{Mono, Span};
use std::collections::VecDeque;
use std::time::Duration;
use trail::Trail;

pub mod trail;

/// Which promises a sample broke.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u8);

/// One of the marks: of a promise's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u8);

impl Mark {
    /// It broke a promise of availability.
    pub const BAD: Self = Self(0);
    /// It was slower than the first of the limits ([`crate::objective::Objectives::limits`]).
    pub const SLOW: Self = Self(1);

    /// It was slower than limit number `index`, 0..[`LIMITS_MAX`].
    #[must_use]
    pub fn limit(index: usize) -> Self {
        Self(u8::try_from(index.min(LIMITS_MAX - 1)).unwrap_or(0) + 1)
    }
}

impl Marks {
    /// Broken or not: availability, and each of the limits in their order.
    #[must_use]
    pub fn new(bad: bool, over: impl IntoIterator<Item = bool>) -> Self {
        let over = (1..=LIMITS_MAX).zip(over).fold(0, |bits, (bit, over)| bits | u8::from(over) << bit);
        Self(u8::from(bad) | over)
    }

    /// Whether it has this mark.
    #[must_use]
    pub const fn has(self, mark: Mark) -> bool {
        self.0 >> mark.0 & 1 == 1
    }
}

/// What the window keeps of one judged sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was due.
    pub due: Mono,
    /// Its response time.
    pub response: Span,
    /// What it broke.
    pub marks: Marks,
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
        self.slow() && !self.answered
    }

    /// It broke a promise of availability.
    #[must_use]
    pub const fn bad(&self) -> bool {
        self.marks.has(Mark::BAD)
    }

    /// It was slower than the first of the limits.
    #[must_use]
    pub const fn slow(&self) -> bool {
        self.marks.has(Mark::SLOW)
    }
}

/// Samples, and how many of them have each mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    all: u32,
    marked: [u32; LIMITS_MAX + 1],
}

impl Counts {
    fn add(&mut self, marks: Marks) {
        self.all += 1;
        self.mark(marks, 1);
    }

    fn remove(&mut self, marks: Marks) {
        self.all -= 1;
        self.mark(marks, u32::MAX);
    }

    /// Most samples have no mark, and cost nothing here.
    fn mark(&mut self, marks: Marks, by: u32) {
        let mut bits = marks.0;
        while bits != 0 {
            let count = &mut self.marked[bits.trailing_zeros() as usize];
            *count = count.wrapping_add(by);
            bits &= bits - 1;
        }
    }
}

/// The samples of one stream over the last `span`, at most [`Window::CAP`] of them.
#[derive(Clone, Debug)]
pub struct Window {
    span: Duration,
    entries: VecDeque<(Mono, Entry)>,
    /// How the answers' times are spread, where anybody asks.
    times: Option<Distribution>,
    counts: Counts,
    /// The same for each target, if anything is promised for some of them.
    parts: Option<Vec<Counts>>,
    trails: Vec<Trail>,
    /// How many samples with a mark have ever come, and how often it was cleared.
    news: u64,
}

impl Window {
    /// More samples than this push out the oldest: at 1,000 a second that is 16 s.
    pub const CAP: usize = 16_384;

    /// An empty window over the trailing `span`.
    #[must_use]
    pub fn new(span: Duration) -> Self {
        Self {
            span,
            entries: VecDeque::new(),
            times: None,
            counts: Counts::default(),
            parts: None,
            trails: Vec::new(),
            news: 0,
        }
    }

    /// The same, also with the distribution of the response times.
    #[must_use]
    pub fn with_times(mut self) -> Self {
        self.times = Some(Distribution::new(P95));
        self
    }

    /// The same, also with a trail for each promise that is looked at.
    #[must_use]
    pub fn with_trails(mut self, trails: Vec<Trail>) -> Self {
        self.trails = trails;
        self
    }

    /// The same, also counting for each target alone.
    #[must_use]
    pub fn in_parts(mut self) -> Self {
        self.parts = Some(Vec::new());
        self
    }

    /// Takes a sample that was done at `now`, no sooner than it was due. Instants that run backwards are taken as the newest so far.
    pub fn insert(&mut self, now: Mono, entry: Entry) {
        let at = self.entries.back().map_or(now, |(newest, _)| now.max(*newest)).max(entry.due);
        if self.entries.len() == Self::CAP {
            self.drop_oldest();
        }
        self.entries.push_back((at, entry));
        self.news += u64::from(entry.marks != Marks::default());
        self.counts.add(entry.marks);
        if let Some(part) = self.part(entry.target) {
            part.add(entry.marks);
        }
        for trail in &mut self.trails {
            trail.add(&entry, &self.entries);
        }
        if let Some(times) = self.times.as_mut().filter(|_| entry.answered) {
            times.add(bucket(entry.response));
        }
        self.expire(now);
    }

    /// Replaces the entry of a probe that was told of as slow while in flight, so that it counts once.
    /// False when the window no longer has it.
    pub fn amend(&mut self, entry: Entry) -> bool {
        let found = self
            .entries
            .iter()
            .rposition(|(_, old)| old.hangs() && old.due == entry.due && old.target == entry.target);
        let Some(index) = found else { return false };
        let before = self.entries[index].1;
        // A trail that lets go of a bad one counts the good ones anew: the new one isn't yet among them.
        for trail in &mut self.trails {
            trail.drop(&before, &self.entries);
        }
        self.entries[index].1 = entry;
        for trail in &mut self.trails {
            trail.add(&entry, &self.entries);
        }
        self.news += u64::from(entry.marks != Marks::default());
        self.counts.remove(before.marks);
        self.counts.add(entry.marks);
        if let Some(part) = self.part(entry.target) {
            part.remove(before.marks);
            part.add(entry.marks);
        }
        if let Some(times) = self.times.as_mut().filter(|_| entry.answered) {
            times.add(bucket(entry.response));
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
        if let Some(times) = &mut self.times {
            times.clear();
        }
        self.trails.iter_mut().for_each(Trail::clear);
        self.counts = Counts::default();
        self.news += 1;
        if let Some(parts) = &mut self.parts {
            parts.clear();
        }
    }

    /// How many samples.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
    }

    /// How many of them broke a promise of availability.
    #[must_use]
    pub fn bad(&self) -> u32 {
        self.tally(&Scope::Service, Mark::BAD).1
    }

    /// How many of them were slower than the first of the limits.
    #[must_use]
    pub fn slow(&self) -> u32 {
        self.tally(&Scope::Service, Mark::SLOW).1
    }

    /// How many samples speak of `scope`, and how many of them have the mark. A window that isn't [`Self::in_parts`] knows
    /// nothing of a part.
    #[must_use]
    pub fn tally(&self, scope: &Scope, mark: Mark) -> (u32, u32) {
        let of = |counts: &Counts| (counts.all, counts.marked[usize::from(mark.0)]);
        match scope {
            Scope::Service => of(&self.counts),
            Scope::Part { targets, .. } => {
                let known = |target: &TargetId| self.parts.as_ref()?.get(usize::from(target.0)).map(of);
                targets.iter().filter_map(known).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
            }
        }
    }

    /// P95 of the answers, at most 0.8 % off; `None` when there is none, or the window isn't [`Self::with_times`].
    pub fn p95(&mut self) -> Option<Span> {
        self.times.as_mut()?.quantile()
    }

    /// The trail of a promise, if it has one here.
    #[must_use]
    pub fn trail(&self, scope: &Scope, mark: Mark, blip: Duration) -> Option<&Trail> {
        self.trails.iter().find(|trail| trail.is_of(scope, mark, blip))
    }

    /// As long as it stays the same, nothing with a mark has come.
    #[must_use]
    pub const fn news(&self) -> u64 {
        self.news
    }

    /// Those that were done within `span` before `now`, oldest first.
    pub fn recent(&self, now: Mono, span: Duration) -> impl Iterator<Item = &Entry> {
        let from = now.before(span);
        let first = self.entries.partition_point(|(at, _)| *at < from);
        self.entries.range(first..).map(|(_, entry)| entry)
    }

    /// The samples, oldest first.
    #[must_use]
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    fn part(&mut self, target: TargetId) -> Option<&mut Counts> {
        let (parts, index) = (self.parts.as_mut()?, usize::from(target.0));
        if parts.len() <= index {
            parts.resize(index + 1, Counts::default());
        }
        parts.get_mut(index)
    }

    fn drop_oldest(&mut self) {
        if let Some((_, entry)) = self.entries.pop_front() {
            self.counts.remove(entry.marks);
            if let Some(part) = self.part(entry.target) {
                part.remove(entry.marks);
            }
            for trail in &mut self.trails {
                trail.drop(&entry, &self.entries);
            }
            if let Some(times) = self.times.as_mut().filter(|_| entry.answered) {
                times.remove(bucket(entry.response));
            }
        }
    }
}

#[cfg(test)]
mod tests;
