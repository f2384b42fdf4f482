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
    #[must_use]
    pub fn p95(&self) -> Option<Span> {
        self.times.as_ref()?.quantile()
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
mod tests {
    use super::*;

    fn entry(ms: u64, bad: bool) -> Entry {
        let response = Span::of(Duration::from_millis(ms));
        Entry {
            due: Mono(0),
            response,
            marks: Marks::new(bad, [ms > 100]),
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
        let mut window = Window::new(Duration::from_secs(1)).with_times();
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
    fn each_mark_is_counted_for_the_whole_and_for_its_part() {
        let part = |target| Scope::Part { name: "x".into(), targets: [TargetId(target)].into() };
        let mut window = Window::new(Duration::from_secs(1)).in_parts();
        let of = |target, marks| Entry { target: TargetId(target), marks, ..entry(1, false) };
        window.insert(at(0), of(0, Marks::new(true, [false, true])));
        window.insert(at(500), of(2, Marks::new(false, [true, true])));
        let seen = |window: &Window, scope: &Scope| {
            [Mark::BAD, Mark::SLOW, Mark::limit(1)].map(|mark| window.tally(scope, mark))
        };
        assert_eq!(seen(&window, &Scope::Service), [(2, 1), (2, 1), (2, 2)]);
        assert_eq!(seen(&window, &part(0)), [(1, 1), (1, 0), (1, 1)]);
        assert_eq!(seen(&window, &part(2)), [(1, 0), (1, 1), (1, 1)]);
        assert_eq!(seen(&window, &part(7)), [(0, 0); 3]);
        window.expire(at(1_100));
        assert_eq!(seen(&window, &Scope::Service), [(1, 0), (1, 1), (1, 1)]);
        assert_eq!(seen(&window, &part(0)), [(0, 0); 3]);
        window.clear();
        assert_eq!(seen(&window, &part(2)), [(0, 0); 3]);
    }

    #[test]
    fn the_recent_ones_are_those_within_the_span() {
        let mut window = Window::new(Duration::from_secs(10));
        for second in 0..5 {
            window.insert(at(second * 1_000), entry(second, false));
        }
        assert_eq!(window.recent(at(5_000), Duration::from_secs(2)).count(), 2);
        assert_eq!(window.recent(at(5_000), Duration::from_mins(1)).count(), 5);
    }

    #[test]
    fn an_empty_window_knows_no_quantile() {
        let mut window = Window::new(Duration::from_secs(1)).with_times();
        assert_eq!(window.p95(), None);
        window.insert(at(0), Entry { answered: false, ..entry(1_000, true) });
        assert_eq!((window.p95(), window.bad()), (None, 1));
    }

    #[test]
    fn a_clock_that_jumps_an_hour_empties_the_window_and_one_that_steps_back_harms_nothing() {
        let mut window = Window::new(Duration::from_secs(1)).with_times();
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

    #[test]
    fn the_last_of_the_limits_has_a_mark_and_there_are_no_more() {
        assert_eq!(Mark::limit(0), Mark::SLOW);
        assert_eq!(Mark::limit(99), Mark::limit(LIMITS_MAX - 1));
        let mut window = Window::new(Duration::from_secs(1));
        let over = (0..9).map(|limit| limit >= LIMITS_MAX - 1);
        window.insert(at(0), Entry { marks: Marks::new(false, over), ..entry(1, false) });
        let seen = |index| window.tally(&Scope::Service, Mark::limit(index)).1;
        assert_eq!([seen(LIMITS_MAX - 2), seen(LIMITS_MAX - 1)], [0, 1]);
    }

    #[test]
    fn only_the_probe_that_was_told_of_is_amended() {
        let mut window = Window::new(Duration::from_secs(1)).in_parts().with_times();
        let of = |due: u64, target: u16, answered: bool| Entry {
            due: at(due),
            target: TargetId(target),
            answered,
            ..entry(300, false)
        };
        for told in [of(0, 0, false), of(0, 1, false), of(1, 0, true)] {
            window.insert(at(300), told);
        }
        let amended = Entry { marks: Marks::new(true, [true]), ..of(0, 1, true) };
        assert!(!window.amend(of(0, 2, true)), "another target");
        assert!(!window.amend(of(2, 0, true)), "another instant");
        assert!(!window.amend(of(1, 0, true)), "that one has come back");
        assert!(window.amend(amended) && !window.amend(amended));
        let part = |target| Scope::Part { name: "x".into(), targets: [TargetId(target)].into() };
        assert_eq!((window.count(), window.bad(), window.slow()), (3, 1, 3));
        assert_eq!(window.tally(&part(1), Mark::BAD), (1, 1));
        assert_eq!(window.tally(&part(0), Mark::BAD), (2, 0));
        assert_eq!(window.entries().filter(|entry| entry.hangs()).count(), 1);
        window.expire(at(1_301));
        assert_eq!((window.count(), window.bad(), window.slow(), window.p95()), (0, 0, 0, None));
        assert_eq!(window.tally(&part(1), Mark::BAD), (0, 0));
    }

    #[test]
    fn what_has_a_mark_is_news_and_so_is_a_cleared_window() {
        let mut window = Window::new(Duration::from_secs(1));
        let mut seen = vec![window.news()];
        let hangs = Entry { answered: false, ..entry(300, false) };
        window.insert(at(0), entry(1, false));
        assert_eq!(window.news(), seen[0], "a good answer is none");
        for bad in [entry(1, true), hangs, Entry { due: at(1), ..hangs }] {
            window.insert(at(300), bad);
            seen.push(window.news());
        }
        assert!(window.amend(entry(300, false)));
        seen.push(window.news());
        assert!(window.amend(Entry { due: at(1), ..entry(1, false) }));
        assert_eq!(Some(&window.news()), seen.last());
        window.clear();
        seen.push(window.news());
        assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
    }
}
