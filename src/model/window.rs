//! The trailing window: exact counts and a latency distribution, O(1) a sample.
//!
//! Whether an answer is slower than an objective is decided on the exact time, never on a bucket.
//!
//! | | |
//! |---|---|
//! | `window/log.rs` | the samples, each kept once |
//! | `window/pane.rs` | what is counted of them: several panes may look at one log, each over its own span |
//! | `window/trail.rs` | what one promise sees of a pane |

use crate::objective::{LIMITS_MAX, Scope};
use crate::target::{TargetId, VersionId};
use crate::time::{Mono, Span};
use log::{Batch, Kept, Log};
use pane::Counts;
use std::time::Duration;
use trail::Trail;

mod log;
pub mod pane;
pub mod trail;

pub use pane::Pane;

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
    #[inline]
    pub fn new(bad: bool, over: impl IntoIterator<Item = bool>) -> Self {
        let over = over.into_iter().take(LIMITS_MAX);
        let (bits, _) =
            over.fold((u8::from(bad), 2), |(bits, bit), over| (bits | (u8::from(over) * bit), bit << 1));
        Self(bits)
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

    /// It broke a promise, as few do.
    #[must_use]
    pub fn is_marked(&self) -> bool {
        self.marks != Marks::default()
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

/// So many samples are taken in together at most: in one go each costs the less, and what has just come is in the nearest cache.
const BATCH: u64 = 256;

/// Some of the panes of a window, at most eight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panes(u8);

impl Panes {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// The one at `place`, 0..8.
    #[must_use]
    pub const fn of(place: usize) -> Self {
        Self(1 << place)
    }

    /// These and those.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// These but not those.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether all of `panes` are among them.
    #[must_use]
    pub const fn has_all(self, panes: Self) -> bool {
        self.0 & panes.0 == panes.0
    }

    /// Whether any of `panes` is among them.
    #[must_use]
    pub const fn has(self, panes: Self) -> bool {
        self.0 & panes.0 != 0
    }
}

/// The samples of one stream, and what its panes count of them: each those of its own span, at most [`Window::CAP`] of them.
///
/// Panes that see almost the same share its samples, so that each is kept, and found in the cache, once.
#[derive(Clone, Debug)]
pub struct Window<const PANES: usize = 1> {
    log: Log,
    /// What stands from this position on in the log the panes have not taken in yet.
    fresh: u64,
    panes: [Pane; PANES],
    /// The newest instant so far.
    newest: Mono,
}

impl<const PANES: usize> Window<PANES> {
    /// An empty window with these panes, at most eight.
    #[must_use]
    pub fn of(mut panes: [Pane; PANES]) -> Self {
        for (place, pane) in panes.iter_mut().enumerate() {
            pane.own = Panes::of(place);
        }
        Self { log: Log::default(), fresh: 0, panes, newest: Mono(0) }
    }

    /// Takes a sample that was done at `now`, no sooner than it was due, for some of the panes. Instants that run backwards are taken
    /// as the newest so far. The panes take it in with others, at [`Self::settle`] at the latest.
    #[inline]
    pub fn insert_into(&mut self, panes: Panes, now: Mono, entry: Entry) {
        if panes == Panes::NONE {
            return;
        }
        if now < self.newest || now < entry.due {
            return self.insert_out_of_order(panes, now, entry);
        }
        self.newest = now;
        self.log.push(Kept::new(now, entry, panes));
        if self.log.end() - self.fresh >= BATCH {
            self.settle();
        }
    }

    /// Panes that have other samples may know of another newest instant: then each keeps it for itself.
    #[cold]
    fn insert_out_of_order(&mut self, panes: Panes, now: Mono, entry: Entry) {
        self.settle();
        for place in 0..PANES {
            let pane = &mut self.panes[place];
            if panes.has(pane.own) {
                let at = pane.known(now).max(entry.due);
                self.newest = self.newest.max(at);
                self.log.push(Kept::new(at, entry, pane.own));
            }
        }
        self.take(now);
    }

    /// The panes take in what has come.
    pub fn settle(&mut self) {
        self.take(self.newest);
    }

    fn take(&mut self, now: Mono) {
        if self.fresh == self.log.end() {
            return;
        }
        let fresh = self.log.between(self.fresh, self.log.end());
        let last = self.panes.each_mut().map(|pane| pane.take(&fresh, &self.log));
        self.fresh = self.log.end();
        self.slide(last.map(|last| last.map(|last| last.min(now))));
    }

    /// Each pane for which there is an instant lets go of what is too old then.
    fn slide(&mut self, now: [Option<Mono>; PANES]) {
        let mut going = self.log.between(self.fresh, self.fresh);
        for (pane, now) in self.panes.iter_mut().zip(now) {
            let Some(now) = now else { continue };
            let (first, until) = (pane.first, pane.until(now, &self.log));
            if first == until {
                continue;
            }
            // Panes that have the same let go of the same.
            let [front, back] = &going;
            if front.position != first || back.position + back.kept.len() as u64 != until {
                going = self.log.between(first, until);
            }
            for batch in &going {
                pane.first += batch.kept.len() as u64;
                pane.remove(batch, &self.log);
            }
        }
        self.trim();
    }

    /// Replaces the entry of a probe that was told of as slow while in flight, so that it counts once. Gives those of `panes` that had
    /// it.
    pub fn amend_in(&mut self, panes: Panes, entry: Entry) -> Panes {
        self.settle();
        let told = |old: &Entry| old.hangs() && old.due == entry.due && old.target == entry.target;
        let mut found = Panes::NONE;
        for place in 0..PANES {
            let pane = &mut self.panes[place];
            if !panes.has(pane.own) {
                continue;
            }
            let Some(position) = pane.samples(&self.log).last(told) else { continue };
            let Some(before) = self.log.get(position) else { continue };
            // A trail that lets go of a bad one counts the good ones anew: the new one isn't yet among them.
            pane.remove(&Batch::of(position, &[*before]), &self.log);
            let amended = Kept::new(before.at, entry, pane.own);
            if self.log.amend(position, amended) {
                self.fresh += 1;
                for pane in self.panes.iter_mut().filter(|pane| pane.first > position) {
                    pane.first += 1;
                }
            }
            let pane = &mut self.panes[place];
            // As if it had come last: all others are among the samples already.
            pane.add(&Batch::of(self.log.end() - 1, &[amended]), &self.log);
            found = found.and(pane.own);
        }
        found
    }

    /// Lets go of everything that was done longer ago than the span of each pane.
    pub fn expire(&mut self, now: Mono) {
        self.settle();
        self.slide([Some(now); PANES]);
    }

    /// Everything that it has, in the order in which it came: when it was known, the panes that have it still, and what was kept.
    pub fn kept(&mut self) -> impl Iterator<Item = (Mono, Panes, Entry)> {
        self.settle();
        let panes = &self.panes;
        self.log.places().filter_map(move |(position, kept)| {
            let has = |pane: &&Pane| pane.has(position, kept);
            let holders = panes.iter().filter(has).fold(Panes::NONE, |all, pane| all.and(pane.own));
            (holders != Panes::NONE).then_some((kept.at, holders, kept.entry))
        })
    }

    /// Forgets everything: evidence belongs to one epoch.
    pub fn clear(&mut self) {
        (0..PANES).for_each(|place| self.clear_pane(place));
    }

    /// One pane forgets everything.
    pub fn clear_pane(&mut self, place: usize) {
        self.settle();
        self.panes[place].clear(&self.log);
        self.trim();
    }

    /// What is seen through one pane, once it has taken in what has come ([`Self::settle`], [`Self::expire`]).
    #[must_use]
    pub fn pane(&self, place: usize) -> View<'_> {
        debug_assert!(self.fresh == self.log.end(), "the panes have not taken in all that has come");
        View { pane: &self.panes[place], log: &self.log }
    }

    /// P95 of the answers that a pane has, at most 0.8 % off; `None` when there is none, or it isn't [`Pane::with_times`].
    pub fn p95_of(&mut self, place: usize) -> Option<Span> {
        self.panes[place].times.as_mut()?.quantile()
    }

    /// What no pane has is gone.
    fn trim(&mut self) {
        // An empty one may stand anywhere, and holds nothing.
        let needs = |pane: &Pane| if pane.counts.all == 0 { u64::MAX } else { pane.first };
        let first = self.panes.iter().map(needs).min().unwrap_or(u64::MAX).min(self.log.end());
        self.log.trim(first);
        for pane in &mut self.panes {
            pane.first = pane.first.max(first);
        }
    }
}

impl Window {
    /// More samples than this push out the oldest: at 1,000 a second that is 16 s.
    pub const CAP: usize = 16_384;

    /// An empty window with one pane over the trailing `span`.
    #[must_use]
    pub fn new(span: Duration) -> Self {
        Pane::new(span).into()
    }

    /// Takes a sample: see [`Self::insert_into`].
    pub fn insert(&mut self, now: Mono, entry: Entry) {
        self.insert_into(Panes::of(0), now, entry);
        self.settle();
    }

    /// Whether the window had the entry to replace: see [`Self::amend_in`].
    pub fn amend(&mut self, entry: Entry) -> bool {
        self.amend_in(Panes::of(0), entry) != Panes::NONE
    }

    /// What is seen through its only pane.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        self.pane(0)
    }

    /// See [`Self::p95_of`].
    pub fn p95(&mut self) -> Option<Span> {
        self.p95_of(0)
    }

    /// See [`View::entries`].
    #[must_use]
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.view().entries()
    }
}

impl From<Pane> for Window {
    fn from(pane: Pane) -> Self {
        Self::of([pane])
    }
}

/// What is seen of a window through one of its panes.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pane: &'a Pane,
    log: &'a Log,
}

impl<'a> View<'a> {
    /// How many samples.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.pane.counts.all
    }

    /// How many of them broke a promise of availability.
    #[must_use]
    pub fn bad(self) -> u32 {
        self.tally(&Scope::Service, Mark::BAD).1
    }

    /// How many of them were slower than the first of the limits.
    #[must_use]
    pub fn slow(self) -> u32 {
        self.tally(&Scope::Service, Mark::SLOW).1
    }

    /// How many samples speak of `scope`, and how many of them have the mark. A pane that isn't [`Pane::in_parts`] knows
    /// nothing of a part.
    #[must_use]
    pub fn tally(self, scope: &Scope, mark: Mark) -> (u32, u32) {
        let of = |counts: &Counts| (counts.all, counts.marked[usize::from(mark.0)]);
        match scope {
            Scope::Service => of(&self.pane.counts),
            Scope::Part { targets, .. } => {
                let known = |target: &TargetId| self.pane.parts.as_ref()?.get(usize::from(target.0)).map(of);
                targets.iter().filter_map(known).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
            }
        }
    }

    /// The trail of a promise, if it has one here.
    #[must_use]
    pub fn trail(self, scope: &Scope, mark: Mark, blip: Duration) -> Option<&'a Trail> {
        self.pane.trails.iter().find(|trail| trail.is_of(scope, mark, blip))
    }

    /// As long as it stays the same, nothing with a mark has come.
    #[must_use]
    pub const fn news(self) -> u64 {
        self.pane.news
    }

    /// How many were known within `span` before `now`.
    #[must_use]
    pub fn recent(self, now: Mono, span: Duration) -> u32 {
        let from = now.before(span);
        let earlier = self.pane.samples(self.log).iter().take_while(|kept| kept.at < from).count();
        self.count() - u32::try_from(earlier).unwrap_or(u32::MAX)
    }

    /// The samples, oldest first.
    #[must_use]
    pub fn entries(self) -> impl DoubleEndedIterator<Item = &'a Entry> {
        self.pane.samples(self.log).iter().map(|kept| &kept.entry)
    }
}

#[cfg(test)]
mod tests;
