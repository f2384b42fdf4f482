//! The samples of a window, oldest first, each kept once for all the panes that see it.

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

    pub(super) fn extend(&mut self, kept: &[Kept]) {
        self.kept.extend(kept);
    }

    pub(super) fn get(&self, position: u64) -> Option<&Kept> {
        self.kept.get(self.index(position))
    }

    /// Those from `position` on, in two parts.
    pub(super) fn from(&self, position: u64) -> [&[Kept]; 2] {
        let (front, back) = self.kept.as_slices();
        let index = self.index(position);
        let (begin, rest) = (index.min(front.len()), index.saturating_sub(front.len()));
        [&front[begin..], &back[rest..]]
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
        let shared = kept.panes != Panes::NONE;
        if shared {
            self.kept.insert(index + 1, amended);
        } else {
            *kept = amended;
        }
        shared
    }

    fn index(&self, position: u64) -> usize {
        usize::try_from(position - self.begin).unwrap_or(usize::MAX)
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
