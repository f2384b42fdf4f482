//! What one promise sees of a window, so short that a look needs no more than the bad events: each of them in the order in which they
//! were due, and how many good ones were due between it and the next.
//!
//! Whatever is computed from a trail is exactly what the samples themselves would give, however late some of them came.

use super::log::{Batch, Kept, Samples};
use super::{Entry, Mark};
use crate::objective::Scope;
use crate::time::{Mono, nanos};
use std::collections::VecDeque;
use std::time::Duration;

/// See the module.
#[derive(Clone, Debug)]
pub struct Trail {
    scope: Scope,
    /// It is about every target.
    is_whole: bool,
    mark: Mark,
    blip_ns: u64,
    bads: VecDeque<Bad>,
    /// When the first of them was due, or the end of time.
    oldest: Mono,
    /// When the last of them was due, or the end of time, and until when good ones are soon after it.
    newest: Mono,
    soon_until: Mono,
    /// Good ones after the last that it doesn't count yet ([`Self::settle`]).
    soon: u32,
    later: u32,
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
    fn good(&mut self, due: Mono, blip_ns: u64) -> &mut u32 {
        if due.0 <= self.due.0.saturating_add(blip_ns) { &mut self.soon } else { &mut self.later }
    }
}

impl Trail {
    /// Of the events with `mark` that speak of `scope`; runs of bad ones may be `blip` apart.
    #[must_use]
    pub fn new(scope: Scope, mark: Mark, blip: Duration) -> Self {
        let never = Mono(u64::MAX);
        Self {
            is_whole: scope == Scope::Service,
            scope,
            mark,
            blip_ns: nanos(blip),
            bads: VecDeque::new(),
            oldest: never,
            newest: never,
            soon_until: never,
            soon: 0,
            later: 0,
        }
    }

    /// Whether it is the trail of a promise.
    #[must_use]
    pub fn is_of(&self, scope: &Scope, mark: Mark, blip: Duration) -> bool {
        self.mark == mark && self.blip_ns == nanos(blip) && self.scope == *scope
    }

    /// The bad events, first due first.
    pub fn bads(&self) -> impl Iterator<Item = &Bad> {
        self.bads.iter()
    }

    /// All of `batch` have joined the samples: if that is counted at once, and not if each has to be looked at.
    pub(super) fn add_all(&mut self, batch: &Batch<'_>) -> bool {
        if batch.counts.marked[usize::from(self.mark.0)] > 0 {
            return false;
        }
        let (first, last) = batch.due;
        if last < self.oldest {
            return true;
        }
        if !self.is_whole || batch.hang > 0 || first < self.newest {
            return false;
        }
        let Some(bad) = self.bads.back_mut() else { return true };
        let all_in = |until: &mut u32| {
            *until += batch.counts.all;
            true
        };
        match (last <= self.soon_until, first > self.soon_until) {
            (true, _) => all_in(&mut bad.soon),
            (_, true) => all_in(&mut bad.later),
            (false, false) => false,
        }
    }

    /// Whether it changes anything that one of `batch` goes: what was due before the first bad one is not counted.
    pub(super) fn sees(&self, batch: &Batch<'_>) -> bool {
        batch.due.1 >= self.oldest
    }

    /// `entry` has joined `samples`.
    pub(super) fn add(&mut self, entry: &Entry, samples: Samples<'_>) {
        match self.kind(entry) {
            Some(true) => self.add_bad(entry.due, samples),
            Some(false) => self.add_good(entry),
            None => {}
        }
    }

    /// Some without a mark have joined the samples, in the order in which they were due. Most come last.
    #[inline]
    pub(super) fn add_run(&mut self, run: &[Kept]) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return };
        if last.entry.due < self.oldest {
            return;
        }
        if !self.is_whole || first.entry.due < self.newest {
            for kept in run {
                self.add_good(&kept.entry);
            }
            return;
        }
        let soon = run.partition_point(|kept| kept.entry.due <= self.soon_until);
        self.soon += count(soon);
        self.later += count(run.len() - soon);
    }

    #[inline]
    fn add_good(&mut self, entry: &Entry) {
        let due = entry.due;
        if due < self.oldest || !self.is_whole && !self.scope.holds(entry.target) {
            return;
        }
        if due < self.newest {
            self.add_between(due);
        } else if due <= self.soon_until {
            self.soon += 1;
        } else {
            self.later += 1;
        }
    }

    /// `entry` has left `samples`, or is about to.
    pub(super) fn drop(&mut self, entry: &Entry, samples: Samples<'_>) {
        match self.kind(entry) {
            Some(true) => self.drop_bad(entry.due, samples),
            Some(false) => self.drop_good(entry),
            None => {}
        }
    }

    /// Some without a mark have left the samples, in the order in which they were due. Most were due before the first bad one.
    #[inline]
    pub(super) fn drop_run(&mut self, run: &[Kept]) {
        if run.last().is_some_and(|last| last.entry.due >= self.oldest) {
            for kept in run {
                self.drop_good(&kept.entry);
            }
        }
    }

    fn drop_good(&mut self, entry: &Entry) {
        if entry.due >= self.oldest && (self.is_whole || self.scope.holds(entry.target)) {
            self.drop_between(entry.due);
        }
    }

    /// The last bad one counts all the good ones after it.
    pub(super) fn settle(&mut self) {
        if let Some(bad) = self.bads.back_mut() {
            bad.soon += self.soon;
            bad.later += self.later;
        }
        (self.soon, self.later) = (0, 0);
    }

    pub(super) fn clear(&mut self) {
        self.bads.clear();
        self.turn();
    }

    /// The first and the last may be others now.
    fn turn(&mut self) {
        let due = |bad: Option<&Bad>| bad.map_or(Mono(u64::MAX), |bad| bad.due);
        (self.oldest, self.newest) = (due(self.bads.front()), due(self.bads.back()));
        self.soon_until = Mono(self.newest.0.saturating_add(self.blip_ns));
    }

    #[cold]
    fn add_between(&mut self, due: Mono) {
        if let Some(bad) = self.before(due) {
            *bad += 1;
        }
    }

    #[cold]
    fn drop_between(&mut self, due: Mono) {
        self.settle();
        if let Some(bad) = self.before(due) {
            *bad -= 1;
        }
    }

    /// Bad, good, or no word: what hangs says nothing of errors yet.
    fn kind(&self, entry: &Entry) -> Option<bool> {
        let bad = entry.marks.has(self.mark);
        ((self.is_whole || self.scope.holds(entry.target)) && (bad || !entry.hangs())).then_some(bad)
    }

    /// Where a good event of this instant is counted; `None` before the first bad one. Settled, if the last bad one has it.
    fn before(&mut self, due: Mono) -> Option<&mut u32> {
        // Those that go are most often of the first.
        let index = match self.bads.get(1) {
            Some(second) if second.due <= due => self.bads.partition_point(|bad| bad.due <= due),
            _ => usize::from(self.oldest <= due),
        };
        Some(self.bads.get_mut(index.checked_sub(1)?)?.good(due, self.blip_ns))
    }

    fn add_bad(&mut self, due: Mono, samples: Samples<'_>) {
        self.settle();
        let index = self.bads.partition_point(|bad| bad.due <= due);
        let next = self.bads.get(index).map_or(Mono(u64::MAX), |bad| bad.due);
        let mut new = Bad { due, soon: 0, later: 0 };
        for due in self.good_between(due, next, samples) {
            *new.good(due, self.blip_ns) += 1;
            if let Some(before) = index.checked_sub(1).and_then(|index| self.bads.get_mut(index)) {
                *before.good(due, self.blip_ns) -= 1;
            }
        }
        self.bads.insert(index, new);
        self.turn();
    }

    fn drop_bad(&mut self, due: Mono, samples: Samples<'_>) {
        self.settle();
        // Of several of one instant, the last has the good ones.
        let index = self.bads.partition_point(|bad| bad.due < due);
        let Some(gone) = self.bads.remove(index) else { return };
        self.turn();
        let blip_ns = self.blip_ns;
        let next = self.bads.get(index).map_or(Mono(u64::MAX), |bad| bad.due);
        let Some(before) = index.checked_sub(1).and_then(|index| self.bads.get(index).copied()) else {
            return;
        };
        let mut with = before;
        if gone.due > before.due.after(Duration::from_nanos(blip_ns)) {
            with.later += gone.soon + gone.later;
        } else {
            for due in self.good_between(due, next, samples) {
                *with.good(due, blip_ns) += 1;
            }
        }
        self.bads[index - 1] = with;
    }

    /// When the good ones were due that were due in `from..to`. Nothing is known before it is due, so of the newest samples only those
    /// that were known since then may be among them.
    fn good_between(&self, from: Mono, to: Mono, samples: Samples<'_>) -> Vec<Mono> {
        let known_since = samples.iter().rev().take_while(|kept| kept.at >= from);
        let good = known_since.filter(|kept| self.kind(&kept.entry) == Some(false));
        good.map(|kept| kept.entry.due).filter(|due| (from..to).contains(due)).collect()
    }
}

fn count(samples: usize) -> u32 {
    u32::try_from(samples).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::{Marks, Pane, Panes, Window};
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
            let mut window =
                Window::from(Pane::new(Duration::from_millis(400)).with_trails(trails.collect()));
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
                    let trail = window.view().trail(scope, *mark, BLIP).unwrap();
                    let bads: Vec<Bad> = trail.bads().copied().collect();
                    assert_eq!(bads, by_hand(&window, *mark, *only), "seed {seed}, step {step}, {mark:?}");
                    seen += bads.len();
                }
            }
        }
        assert!(seen > 100_000, "{seen}");
    }

    /// Several at once, in the order in which they were due, some of them at the same instant.
    #[test]
    fn a_batch_in_its_order_leaves_what_its_samples_say() {
        let two = TargetId(2);
        let part = Scope::Part { name: "two".into(), targets: [two].into() };
        let kinds = [(Scope::Service, Mark::BAD, None), (part, Mark::BAD, Some(two))];
        let mut seen = 0;
        for seed in 1..=40_u64 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut lot = |below: u64| random.next_u64() % below;
            let trails = kinds.iter().map(|(scope, mark, _)| Trail::new(scope.clone(), *mark, BLIP));
            let mut window =
                Window::from(Pane::new(Duration::from_millis(400)).with_trails(trails.collect()));
            let share = [3, 10, 40][usize::try_from(seed % 3).unwrap()];
            for step in 0..1_500_u64 {
                let now = Mono(1_000_000_000 + step * 4_000_000);
                let entry = Entry {
                    due: Mono(now.0 / 12_000_000 * 12_000_000),
                    response: Span(1),
                    marks: Marks::new(lot(share) == 0, []),
                    answered: true,
                    conn: 1,
                    addr: 1,
                    target: TargetId(u16::try_from(lot(3)).unwrap()),
                    version: VersionId(1),
                };
                window.insert_into(Panes::of(0), now, entry);
                if lot(15) > 0 {
                    continue;
                }
                window.settle();
                for (scope, mark, only) in &kinds {
                    let trail = window.view().trail(scope, *mark, BLIP).unwrap();
                    let bads: Vec<Bad> = trail.bads().copied().collect();
                    assert_eq!(bads, by_hand(&window, *mark, *only), "seed {seed}, step {step}, {mark:?}");
                    seen += bads.len();
                }
            }
        }
        assert!(seen > 10_000, "{seen}");
    }

    #[test]
    fn only_the_trail_of_the_promise_is_found() {
        let trail = Trail::new(Scope::Service, Mark::BAD, BLIP);
        let window = Window::from(Pane::new(Duration::from_secs(1)).with_trails(vec![trail]));
        assert!(window.view().trail(&Scope::Service, Mark::BAD, BLIP).is_some());
        assert!(window.view().trail(&Scope::Service, Mark::SLOW, BLIP).is_none());
        assert!(window.view().trail(&Scope::Service, Mark::BAD, Duration::ZERO).is_none());
        let part = Scope::Part { name: "two".into(), targets: [TargetId(2)].into() };
        assert!(window.view().trail(&part, Mark::BAD, BLIP).is_none());
    }
}
