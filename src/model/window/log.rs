//! The samples of a window, oldest first, each kept once for all the panes that see it.

use super::pane::Counts;
use super::{Entry, Panes};
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
        !self.entry.is_marked()
    }
}

impl Log {
    /// The position of the first.
    #[cfg(test)]
    pub(super) const fn begin(&self) -> u64 {
        self.begin
    }

    /// All of them with their positions.
    pub(super) fn places(&self) -> impl Iterator<Item = (u64, &Kept)> {
        (self.begin..).zip(&self.kept)
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
    all_answered: bool,
    /// The panes that have all of them.
    panes: u8,
    /// When the first and the last of them were due.
    pub(super) due: (Mono, Mono),
    /// They are in the order in which they were due.
    pub(super) in_order: bool,
}

impl<'a> Batch<'a> {
    pub(super) fn of(position: u64, kept: &'a [Kept]) -> Self {
        let (mut counts, mut marked, mut hang, mut panes) = (Counts::default(), 0, 0, u8::MAX);
        let mut all_answered = true;
        for one in kept {
            panes &= one.panes.0;
            all_answered &= one.entry.answered;
            if !one.is_plain() {
                counts.mark(one.entry.marks, 1);
                marked += 1;
                hang += u32::from(one.entry.hangs());
            }
        }
        counts.all = u32::try_from(kept.len()).unwrap_or(u32::MAX);
        let in_order = kept.is_sorted_by_key(|kept| kept.entry.due);
        Self { kept, position, counts, marked, hang, all_answered, panes, due: due(kept, in_order), in_order }
    }

    /// Whether the pane has all of them.
    pub(super) const fn is_whole(&self, pane: Panes) -> bool {
        self.panes & pane.0 == pane.0
    }

    /// Whether the pane has all of them, and each is an answer.
    pub(super) const fn is_answers(&self, pane: Panes) -> bool {
        self.is_whole(pane) && self.all_answered
    }

    /// Each with a mark, its position, and those without one before it; at the end what stands behind the last of them.
    pub(super) fn runs(&self) -> impl Iterator<Item = (u64, &'a [Kept], &'a Kept)> {
        let mut end = self.position;
        self.kept.split_inclusive(|kept| !kept.is_plain()).filter_map(move |part| {
            end += part.len() as u64;
            part.split_last().map(|(last, run)| (end - 1, run, last))
        })
    }

    pub(super) fn buckets(&self) -> impl Iterator<Item = u16> {
        self.kept.iter().map(|kept| kept.bucket)
    }
}

/// When the first and the last of some were due.
fn due(kept: &[Kept], in_order: bool) -> (Mono, Mono) {
    let due = |kept: &Kept| kept.entry.due;
    let ends = if in_order {
        kept.first().zip(kept.last()).map(|(first, last)| (due(first), due(last)))
    } else {
        kept.iter().map(due).min().zip(kept.iter().map(due).max())
    };
    ends.unwrap_or((Mono(u64::MAX), Mono(0)))
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
