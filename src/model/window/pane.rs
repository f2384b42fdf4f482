//! What a window counts of its log through one pane: the samples of its own span, and of its own choice.

use super::log::{Kept, Log, Samples};
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
    fn mark(&mut self, marks: Marks, by: u32) {
        let mut bits = marks.0;
        while bits != 0 {
            let count = &mut self.marked[bits.trailing_zeros() as usize];
            *count = count.wrapping_add(by);
            bits &= bits - 1;
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

    /// Takes in what is its own of the last of the log, which came up to `now`, and if anything is, lets go of what is too old then.
    pub(super) fn take(&mut self, fresh: &[Kept], log: &Log, now: Mono) {
        let Some(last) = fresh.iter().rfind(|kept| kept.panes.has(self.own)) else { return };
        self.last_at = last.at;
        self.add(fresh, log, log.end() - fresh.len() as u64);
        self.slide(last.at.min(now), log);
    }

    /// What is its own of `some`, which come at `position` in the log, is among its samples, as all before it is.
    ///
    /// One count after the other: that is faster than one sample after the other.
    pub(super) fn add(&mut self, some: &[Kept], log: &Log, position: u64) {
        let (own, samples) = (self.own, self.samples(log));
        let mine = || (position..).zip(some).filter(|(_, kept)| kept.panes.has(own));
        for trail in &mut self.trails {
            for (position, kept) in mine() {
                if kept.is_plain() {
                    trail.add_good(&kept.entry);
                } else {
                    trail.add(&kept.entry, Samples { end: position + 1, ..samples });
                }
            }
            trail.settle();
        }
        if let Some(times) = &mut self.times {
            for (_, kept) in mine().filter(|(_, kept)| kept.entry.answered) {
                times.add(kept.bucket);
            }
        }
        for (_, kept) in mine() {
            self.counts.all += 1;
            self.news += u64::from(!kept.is_plain());
            self.counts.mark(kept.entry.marks, 1);
        }
        if let Some(parts) = &mut self.parts {
            for (_, kept) in mine() {
                let part = part_of(parts, kept.entry.target);
                part.all += 1;
                part.mark(kept.entry.marks, 1);
            }
        }
    }

    /// What is its own of `some`, from `position` on in the log, isn't among its samples any more, or is about to be something else.
    pub(super) fn remove(&mut self, some: &[Kept], log: &Log, position: u64) {
        let (own, samples) = (self.own, self.samples(log));
        let mine = || (position..).zip(some).filter(|(_, kept)| kept.panes.has(own));
        for trail in &mut self.trails {
            for (position, kept) in mine() {
                if kept.is_plain() {
                    trail.drop_good(&kept.entry);
                } else {
                    // Those behind it in `some` are still there.
                    trail.drop(&kept.entry, Samples { first: samples.first.min(position + 1), ..samples });
                }
            }
        }
        if let Some(times) = &mut self.times {
            for (_, kept) in mine().filter(|(_, kept)| kept.entry.answered) {
                times.remove(kept.bucket);
            }
        }
        for (_, kept) in mine() {
            self.counts.all -= 1;
            self.counts.mark(kept.entry.marks, u32::MAX);
        }
        if let Some(parts) = &mut self.parts {
            for (_, kept) in mine() {
                let part = part_of(parts, kept.entry.target);
                part.all -= 1;
                part.mark(kept.entry.marks, u32::MAX);
            }
        }
    }

    /// Lets go of everything that was known longer ago than the span, and of the oldest above [`Window::CAP`].
    pub(super) fn slide(&mut self, now: Mono, log: &Log) {
        let from = Mono(now.0.saturating_sub(self.span_ns));
        for part in log.from(self.first) {
            let mut count = self.counts.all as usize;
            let mut gone = 0;
            for kept in part {
                if kept.panes.has(self.own) {
                    if kept.at >= from && count <= Window::CAP {
                        break;
                    }
                    count -= 1;
                }
                gone += 1;
            }
            let position = self.first;
            self.first += gone as u64;
            self.remove(&part[..gone], log, position);
            if gone < part.len() {
                break;
            }
        }
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
