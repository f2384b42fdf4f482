//! What a window counts of its log through one pane: the samples of its own span, and of its own choice.

use super::log::{Batch, Kept, Log, Samples};
use super::trail::Trail;
use super::{LIMITS_MAX, Marks, Panes, Window};
use crate::distribution::Distribution;
use crate::objective::P95;
use crate::target::TargetId;
use crate::time::{Mono, nanos};
use std::time::Duration;

/// See the module.
#[derive(Clone, Debug)]
pub struct Pane {
    span_ns: u64,
    /// Its place among the panes of the window.
    pub(super) own: Panes,
    /// The position of its first sample in the log, or of one before it that isn't its own.
    pub(super) first: u64,
    /// When its last sample was known.
    last_at: Mono,
    pub(super) counts: Counts,
    /// The same for each target, if anything is promised for some of them.
    pub(super) parts: Option<Vec<Counts>>,
    pub(super) trails: Vec<Trail>,
    /// How the answers' times are spread, where anybody asks.
    pub(super) times: Option<Distribution>,
    /// How many samples with a mark have ever come, and how often it was cleared.
    pub(super) news: u64,
}

/// Samples, and how many of them have each mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) all: u32,
    pub(super) marked: [u32; LIMITS_MAX + 1],
}

impl Counts {
    /// Most samples have no mark, and cost nothing here.
    #[inline]
    pub(super) fn mark(&mut self, marks: Marks, by: u32) {
        let mut bits = marks.0;
        while bits != 0 {
            let count = &mut self.marked[bits.trailing_zeros() as usize];
            *count = count.wrapping_add(by);
            bits &= bits - 1;
        }
    }

    fn add(&mut self, others: &Self) {
        self.all += others.all;
        for (count, other) in self.marked.iter_mut().zip(others.marked) {
            *count += other;
        }
    }

    fn remove(&mut self, others: &Self) {
        self.all -= others.all;
        for (count, other) in self.marked.iter_mut().zip(others.marked) {
            *count -= other;
        }
    }
}

impl Pane {
    /// An empty one over the trailing `span`.
    #[must_use]
    pub fn new(span: Duration) -> Self {
        Self {
            span_ns: nanos(span),
            own: Panes::of(0),
            first: 0,
            last_at: Mono(0),
            counts: Counts::default(),
            parts: None,
            trails: Vec::new(),
            times: None,
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

    /// When a sample that is done at `now` is known to it: instants that run backwards are taken as the newest of those that it has.
    pub(super) fn known(&self, now: Mono) -> Mono {
        if self.counts.all == 0 { now } else { now.max(self.last_at) }
    }

    /// Takes in what is its own of the last of the log. Gives when the last of it was known, if there is any.
    pub(super) fn take(&mut self, fresh: &[Batch<'_>; 2], log: &Log) -> Option<Mono> {
        let [front, back] = fresh;
        let mut all = front.kept.iter().chain(back.kept);
        self.last_at = all.rfind(|kept| kept.panes.has(self.own))?.at;
        for batch in fresh {
            self.add(batch, log);
        }
        Some(self.last_at)
    }

    /// What is its own of `batch` is among its samples, as all before it in the log is.
    ///
    /// One count after the other: that is faster than one sample after the other.
    pub(super) fn add(&mut self, batch: &Batch<'_>, log: &Log) {
        let (own, samples) = (self.own, self.samples(log));
        let mine = || (batch.position..).zip(batch.kept).filter(|(_, kept)| kept.panes.has(own));
        let whole = batch.is_whole(own);
        for trail in &mut self.trails {
            if whole && trail.add_all(batch) {
                continue;
            }
            if whole && batch.in_order {
                for (position, run, last) in batch.runs() {
                    trail.add_run(run);
                    trail.add(&last.entry, Samples { end: position + 1, ..samples });
                }
            } else {
                for (position, kept) in mine() {
                    trail.add(&kept.entry, Samples { end: position + 1, ..samples });
                }
            }
            trail.settle();
        }
        if let Some(times) = &mut self.times {
            if batch.is_answers(own) {
                times.add_all(batch.buckets());
            } else {
                times.add_all(mine().filter(|(_, kept)| kept.entry.answered).map(|(_, kept)| kept.bucket));
            }
        }
        if whole {
            self.counts.add(&batch.counts);
            self.news += u64::from(batch.marked);
        } else {
            for (_, kept) in mine() {
                self.counts.all += 1;
                self.counts.mark(kept.entry.marks, 1);
                self.news += u64::from(!kept.is_plain());
            }
        }
        if let Some(parts) = &mut self.parts {
            for (_, kept) in mine() {
                let part = part_of(parts, kept.entry.target);
                part.all += 1;
                part.mark(kept.entry.marks, 1);
            }
        }
    }

    /// What is its own of `batch` isn't among its samples any more, or is about to be something else.
    pub(super) fn remove(&mut self, batch: &Batch<'_>, log: &Log) {
        let (own, samples) = (self.own, self.samples(log));
        let mine = || (batch.position..).zip(batch.kept).filter(|(_, kept)| kept.panes.has(own));
        // Those behind it in the batch are still there.
        let since = |position| Samples { first: samples.first.min(position), ..samples };
        for trail in self.trails.iter_mut().filter(|trail| trail.sees(batch)) {
            if batch.is_whole(own) && batch.in_order {
                for (position, run, last) in batch.runs() {
                    trail.drop_run(run);
                    trail.drop(&last.entry, since(position));
                }
            } else {
                for (position, kept) in mine() {
                    trail.drop(&kept.entry, since(position));
                }
            }
        }
        if let Some(times) = &mut self.times {
            if batch.is_answers(own) {
                times.remove_all(batch.buckets());
            } else {
                times.remove_all(mine().filter(|(_, kept)| kept.entry.answered).map(|(_, kept)| kept.bucket));
            }
        }
        if batch.is_whole(own) {
            self.counts.remove(&batch.counts);
        } else {
            for (_, kept) in mine() {
                self.counts.all -= 1;
                self.counts.mark(kept.entry.marks, u32::MAX);
            }
        }
        if let Some(parts) = &mut self.parts {
            for (_, kept) in mine() {
                let part = part_of(parts, kept.entry.target);
                part.all -= 1;
                part.mark(kept.entry.marks, u32::MAX);
            }
        }
    }

    /// Up to where it has to let go: of everything that was known longer ago than the span, and of the oldest above [`Window::CAP`].
    pub(super) fn until(&self, now: Mono, log: &Log) -> u64 {
        let from = Mono(now.0.saturating_sub(self.span_ns));
        let count = u64::from(self.counts.all);
        if count == 0 {
            return log.end();
        }
        if self.first + count == log.end() {
            // All of them are its own.
            let position = self.first + count.saturating_sub(Window::CAP as u64);
            return log.known_since(from, position);
        }
        let mut count = self.counts.all as usize;
        let mut position = self.first;
        while let Some(kept) = log.get(position) {
            if kept.panes.has(self.own) {
                if kept.at >= from && count <= Window::CAP {
                    break;
                }
                count -= 1;
            }
            position += 1;
        }
        position
    }

    /// Whether what is at `position` is among its samples.
    pub(super) fn has(&self, position: u64, kept: &Kept) -> bool {
        position >= self.first && kept.panes.has(self.own)
    }

    pub(super) fn clear(&mut self, log: &Log) {
        self.first = log.end();
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

    #[inline]
    pub(super) fn samples<'a>(&self, log: &'a Log) -> Samples<'a> {
        Samples { log, first: self.first, end: log.end(), pane: self.own }
    }
}

fn part_of(parts: &mut Vec<Counts>, target: TargetId) -> &mut Counts {
    let index = usize::from(target.0);
    if parts.len() <= index {
        parts.resize(index + 1, Counts::default());
    }
    &mut parts[index]
}
