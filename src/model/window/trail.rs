//! What one promise sees of a window, so short that a look needs no more than the bad events: each of them in the order in which they
//! were due, and how many good ones were due between it and the next.
//!
//! Whatever is computed from a trail is exactly what the samples themselves would give, however late some of them came.

use super::{Entry, Mark};
use crate::objective::Scope;
use crate::time::Mono;
use std::collections::VecDeque;
use std::time::Duration;

/// See the module.
#[derive(Clone, Debug)]
pub struct Trail {
    scope: Scope,
    mark: Mark,
    blip: Duration,
    bads: VecDeque<Bad>,
}

/// A bad event, and the good ones that were due after it and before the next bad one. Of events that were due at the same instant the
/// bad ones are first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bad {
    /// When it was due.
    pub due: Mono,
    /// Good ones that were due within a blip of it.
    pub soon: u32,
    /// Good ones that were due after that.
    pub later: u32,
}

impl Bad {
    fn good(&mut self, due: Mono, blip: Duration) -> &mut u32 {
        if due <= self.due.after(blip) { &mut self.soon } else { &mut self.later }
    }
}

/// The samples of the window, oldest first, each with the instant at which it was known.
type Entries = VecDeque<(Mono, Entry)>;

impl Trail {
    /// Of the events with `mark` that speak of `scope`; runs of bad ones may be `blip` apart.
    #[must_use]
    pub const fn new(scope: Scope, mark: Mark, blip: Duration) -> Self {
        Self { scope, mark, blip, bads: VecDeque::new() }
    }

    /// Whether it is the trail of a promise.
    #[must_use]
    pub fn is_of(&self, scope: &Scope, mark: Mark, blip: Duration) -> bool {
        self.mark == mark && self.blip == blip && self.scope == *scope
    }

    /// The bad events, first due first.
    pub fn bads(&self) -> impl Iterator<Item = &Bad> {
        self.bads.iter()
    }

    /// `entry` has joined `entries`.
    pub(super) fn add(&mut self, entry: &Entry, entries: &Entries) {
        match self.kind(entry) {
            Some(true) => self.add_bad(entry.due, entries),
            Some(false) => {
                if let Some(bad) = self.before(entry.due) {
                    *bad += 1;
                }
            }
            None => {}
        }
    }

    /// `entry` has left `entries`.
    pub(super) fn drop(&mut self, entry: &Entry, entries: &Entries) {
        match self.kind(entry) {
            Some(true) => self.drop_bad(entry.due, entries),
            Some(false) => {
                if let Some(bad) = self.before(entry.due) {
                    *bad -= 1;
                }
            }
            None => {}
        }
    }

    pub(super) fn clear(&mut self) {
        self.bads.clear();
    }

    /// Bad, good, or no word: what hangs says nothing of errors yet.
    fn kind(&self, entry: &Entry) -> Option<bool> {
        let bad = entry.marks.has(self.mark);
        (self.scope.holds(entry.target) && (bad || !entry.hangs())).then_some(bad)
    }

    /// Where a good event of this instant is counted; `None` before the first bad one.
    fn before(&mut self, due: Mono) -> Option<&mut u32> {
        let blip = self.blip;
        let is_before = |index: usize| self.bads.get(index).is_some_and(|bad| bad.due <= due);
        // Most samples come at one end and go at the other.
        let index = match self.bads.len() {
            len if is_before(len.wrapping_sub(1)) => len,
            _ if !is_before(1) => usize::from(is_before(0)),
            _ => self.bads.partition_point(|bad| bad.due <= due),
        };
        Some(self.bads.get_mut(index.checked_sub(1)?)?.good(due, blip))
    }

    fn add_bad(&mut self, due: Mono, entries: &Entries) {
        let index = self.bads.partition_point(|bad| bad.due <= due);
        let next = self.bads.get(index).map_or(Mono(u64::MAX), |bad| bad.due);
        let mut new = Bad { due, soon: 0, later: 0 };
        for due in self.good_between(due, next, entries) {
            *new.good(due, self.blip) += 1;
            if let Some(before) = index.checked_sub(1).and_then(|index| self.bads.get_mut(index)) {
                *before.good(due, self.blip) -= 1;
            }
        }
        self.bads.insert(index, new);
    }

    fn drop_bad(&mut self, due: Mono, entries: &Entries) {
        // Of several of one instant, the last has the good ones.
        let index = self.bads.partition_point(|bad| bad.due < due);
        let Some(gone) = self.bads.remove(index) else { return };
        let blip = self.blip;
        let next = self.bads.get(index).map_or(Mono(u64::MAX), |bad| bad.due);
        let Some(before) = index.checked_sub(1).and_then(|index| self.bads.get(index).copied()) else {
            return;
        };
        let mut with = before;
        if gone.due > before.due.after(blip) {
            with.later += gone.soon + gone.later;
        } else {
            for due in self.good_between(due, next, entries) {
                *with.good(due, blip) += 1;
            }
        }
        self.bads[index - 1] = with;
    }

    /// When the good ones were due that were due in `from..to`. Nothing is known before it is due, so of the newest entries only those
    /// that were known since then may be among them.
    fn good_between(&self, from: Mono, to: Mono, entries: &Entries) -> Vec<Mono> {
        let known_since = entries.iter().rev().take_while(|(at, _)| *at >= from);
        let good = known_since.filter(|(_, entry)| self.kind(entry) == Some(false));
        good.map(|(_, entry)| entry.due).filter(|due| (from..to).contains(due)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Marks, Window};
    use super::*;
    use crate::target::{TargetId, VersionId};
    use crate::time::Span;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{RngCore, SeedableRng};

    const BLIP: Duration = Duration::from_millis(30);

    /// Bad, good or no word, for a promise of `mark` to all targets, or to one alone.
    fn says(entry: &Entry, mark: Mark, only: Option<TargetId>) -> Option<bool> {
        let bad = entry.marks.has(mark);
        let hangs = entry.marks.has(Mark::SLOW) && !entry.answered;
        if only.is_some_and(|only| only != entry.target) || hangs && !bad { None } else { Some(bad) }
    }

    /// From the samples themselves.
    fn by_hand(window: &Window, mark: Mark, only: Option<TargetId>) -> Vec<Bad> {
        let of = |bad: bool| {
            let that_say_so = window.entries().filter(|entry| says(entry, mark, only) == Some(bad));
            let mut due: Vec<Mono> = that_say_so.map(|entry| entry.due).collect();
            due.sort();
            due
        };
        let (bads, good) = (of(true), of(false));
        let next = |index: usize| bads.get(index + 1).copied().unwrap_or(Mono(u64::MAX));
        let one = |(index, due): (usize, &Mono)| {
            let before = |instant: Mono| good.partition_point(|at| *at < instant);
            let end = Mono(due.after(BLIP).0 + 1).min(next(index));
            let (soon, all) = (before(end) - before(*due), before(next(index)) - before(*due));
            Bad { due: *due, soon: soon.try_into().unwrap(), later: (all - soon).try_into().unwrap() }
        };
        bads.iter().enumerate().map(one).collect()
    }

    #[test]
    fn however_late_samples_come_and_go_a_trail_is_what_they_say() {
        let two = TargetId(2);
        let part = Scope::Part { name: "two".into(), targets: [two].into() };
        let kinds = [
            (Scope::Service, Mark::BAD, None),
            (Scope::Service, Mark::SLOW, None),
            (part, Mark::SLOW, Some(two)),
        ];
        let mut seen = 0;
        for seed in 1..=40_u64 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut lot = |below: u64| random.next_u64() % below;
            let trails = kinds.iter().map(|(scope, mark, _)| Trail::new(scope.clone(), *mark, BLIP));
            let mut window = Window::new(Duration::from_millis(400)).with_trails(trails.collect());
            let share = [3, 10, 100][usize::try_from(seed % 3).unwrap()];
            let mut hanging: Vec<Entry> = vec![];
            for step in 0..600_u64 {
                let now = Mono(1_000_000_000 + step * 4_000_000);
                // Some were due at the same instant, and some long ago.
                let late = if lot(5) == 0 { lot(200) } else { lot(3) };
                let due = now.before(Duration::from_millis(late / 2 * 2));
                let (bad, slow, hangs) = (lot(share) == 0, lot(share) == 0, lot(10) == 0);
                let entry = Entry {
                    due,
                    response: Span(1),
                    marks: Marks::new(bad, [slow || hangs]),
                    answered: !hangs,
                    conn: 1,
                    addr: 1,
                    target: TargetId(u16::try_from(lot(3)).unwrap()),
                    version: VersionId(1),
                };
                window.insert(now, entry);
                if hangs {
                    hanging.push(entry);
                } else if lot(4) == 0
                    && let Some(told) = hanging.pop()
                {
                    // It may turn out to be better than it was told to be.
                    let marks = Marks::new(bad, [lot(2) == 0]);
                    window.amend(Entry { marks, answered: lot(2) == 0, ..told });
                }
                if lot(150) == 0 {
                    window.clear();
                }
                for (scope, mark, only) in &kinds {
                    let trail = window.trail(scope, *mark, BLIP).unwrap();
                    let bads: Vec<Bad> = trail.bads().copied().collect();
                    assert_eq!(bads, by_hand(&window, *mark, *only), "seed {seed}, step {step}, {mark:?}");
                    seen += bads.len();
                }
            }
        }
        assert!(seen > 100_000, "{seen}");
    }

    #[test]
    fn only_the_trail_of_the_promise_is_found() {
        let trail = Trail::new(Scope::Service, Mark::BAD, BLIP);
        let window = Window::new(Duration::from_secs(1)).with_trails(vec![trail]);
        assert!(window.trail(&Scope::Service, Mark::BAD, BLIP).is_some());
        assert!(window.trail(&Scope::Service, Mark::SLOW, BLIP).is_none());
        assert!(window.trail(&Scope::Service, Mark::BAD, Duration::ZERO).is_none());
        let part = Scope::Part { name: "two".into(), targets: [TargetId(2)].into() };
        assert!(window.trail(&part, Mark::BAD, BLIP).is_none());
    }
}
