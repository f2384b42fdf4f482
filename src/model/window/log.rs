//! The samples of a window, oldest first, each kept once for all the panes that see it.

use super::pane::Counts;
use super::{Entry, Marks, Panes};
use crate::distribution::bucket;
use crate::time::Mono;
use std::collections::VecDeque;

/// See the module. A position in it stays the sample's own for as long as it is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    kept: VecDeque<Kept>,
    /// The position of the first.
    begin: u64,
}

/// A sample in a [`Log`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// When it was known: the same or later than what was known before it, to each pane that has both.
    pub(super) at: Mono,
    pub(super) entry: Entry,
    /// Whose it is.
    pub(super) panes: Panes,
    /// The bucket of its response time.
    pub(super) bucket: u16,
}

impl Kept {
    #[inline]
    pub(super) const fn new(at: Mono, entry: Entry, panes: Panes) -> Self {
        Self { at, entry, panes, bucket: bucket(entry.response) }
    }

    /// It has no mark, as most.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.entry.marks == Marks::default()
    }
}

impl Log {
    /// The position of the first.
    #[cfg(test)]
    pub(super) const fn begin(&self) -> u64 {
        self.begin
    }

    /// The position behind the last.
    pub(super) fn end(&self) -> u64 {
        self.begin + self.kept.len() as u64
    }

    #[inline]
    pub(super) fn push(&mut self, kept: Kept) {
        self.kept.push_back(kept);
    }

    pub(super) fn get(&self, position: u64) -> Option<&Kept> {
        self.kept.get(self.index(position))
    }

    /// Those from `from` up to `to`, in two parts.
    pub(super) fn between(&self, from: u64, to: u64) -> [Batch<'_>; 2] {
        let [front, back] = self.slices(from, to);
        [Batch::of(from, front), Batch::of(from + front.len() as u64, back)]
    }

    fn slices(&self, from: u64, to: u64) -> [&[Kept]; 2] {
        let (front, back) = self.kept.as_slices();
        let (begin, end, turn) = (self.index(from), self.index(to), front.len());
        [&front[begin.min(turn)..end.min(turn)], &back[begin.saturating_sub(turn)..end.saturating_sub(turn)]]
    }

    /// The position of the first from `position` on that was known at `from` or later, where all of those are of one pane.
    pub(super) fn known_since(&self, from: Mono, position: u64) -> u64 {
        match self.get(position) {
            Some(kept) if kept.at < from => {
                let [front, back] = self.slices(position, self.end());
                let gone = |part: &[Kept]| part.partition_point(|kept| kept.at < from);
                let in_front = gone(front);
                let behind = if in_front == front.len() { gone(back) } else { 0 };
                position + (in_front + behind) as u64
            }
            _ => position,
        }
    }

    /// Lets go of what is before `position`.
    pub(super) fn trim(&mut self, position: u64) {
        let gone = self.index(position).min(self.kept.len());
        self.kept.drain(..gone);
        self.begin += gone as u64;
    }

    /// To the panes of `amended` that is what is at `position` from now on. If others have it too, it stays what it was to them, and those behind
    /// it are a position further: then true.
    pub(super) fn amend(&mut self, position: u64, amended: Kept) -> bool {
        let index = self.index(position);
        let Some(kept) = self.kept.get_mut(index) else { return false };
        kept.panes = kept.panes.without(amended.panes);
        if kept.panes == Panes::NONE {
            *kept = amended;
            return false;
        }
        match self.kept.get_mut(index + 1) {
            // Another pane has amended it already.
            Some(next) if next.at == amended.at && next.entry == amended.entry => {
                next.panes = next.panes.and(amended.panes);
                false
            }
            _ => {
                self.kept.insert(index + 1, amended);
                true
            }
        }
    }

    fn index(&self, position: u64) -> usize {
        usize::try_from(position - self.begin).unwrap_or(usize::MAX)
    }
}

/// Some that stand one after the other in a log, and what can be said of all of them at once: most panes and most promises need no more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch<'a> {
    pub(super) kept: &'a [Kept],
    /// The position of the first.
    pub(super) position: u64,
    /// All of them, and how many have each mark.
    pub(super) counts: Counts,
    /// How many have any.
    pub(super) marked: u32,
    /// How many hang.
    pub(super) hang: u32,
    /// The panes that have all of them.
    panes: u8,
    /// When the first and the last of them were due.
    pub(super) due: (Mono, Mono),
}

impl<'a> Batch<'a> {
    pub(super) fn of(position: u64, kept: &'a [Kept]) -> Self {
        let (mut counts, mut marked, mut hang, mut panes) = (Counts::default(), 0, 0, u8::MAX);
        let mut due = (u64::MAX, 0);
        for one in kept {
            panes &= one.panes.0;
            due = (due.0.min(one.entry.due.0), due.1.max(one.entry.due.0));
            if !one.is_plain() {
                counts.mark(one.entry.marks, 1);
                marked += 1;
                hang += u32::from(one.entry.hangs());
            }
        }
        counts.all = u32::try_from(kept.len()).unwrap_or(u32::MAX);
        Self { kept, position, counts, marked, hang, panes, due: (Mono(due.0), Mono(due.1)) }
    }

    /// Whether the pane has all of them.
    pub(super) const fn is_whole(&self, pane: Panes) -> bool {
        self.panes & pane.0 == pane.0
    }
}

/// The samples of one pane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Samples<'a> {
    pub(super) log: &'a Log,
    /// The position of the first of them, or of one before it.
    pub(super) first: u64,
    /// The position behind the last.
    pub(super) end: u64,
    pub(super) pane: Panes,
}

impl<'a> Samples<'a> {
    /// Oldest first.
    pub(super) fn iter(self) -> impl DoubleEndedIterator<Item = &'a Kept> {
        let range = self.log.index(self.first)..self.log.index(self.end);
        self.log.kept.range(range).filter(move |kept| kept.panes.has(self.pane))
    }

    /// The position of the last that is as `wanted`.
    pub(super) fn last(self, wanted: impl Fn(&Entry) -> bool) -> Option<u64> {
        let is = |kept: &Kept| kept.panes.has(self.pane) && wanted(&kept.entry);
        (self.first..self.end).rev().find(|position| self.log.get(*position).is_some_and(is))
    }
}
