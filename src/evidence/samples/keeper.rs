//! The ring in memory and what of it is kept. No IO, no clock: it runs on the engine's thread.

use super::BEFORE;
use super::names::Names;
use super::reservoir::{Reservoir, Spill};
use crate::model::release::{EpochId, ReleaseId};
use crate::model::sample::{Outcome, Sample, Taint};
use crate::model::target::{TargetId, Version, Versions};
use crate::model::time::{Mono, Span, Wall};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// The ring's share of 8 MiB; the rest is the reservoir's and the counters'.
const RING_BYTES: usize = 7 << 20;
/// The ring holds so much time at most.
const RING_SPAN: Duration = BEFORE;
/// The first so many bad samples of an epoch and target are kept whole.
const BAD_WHOLE: u64 = 1_000;
/// So many samples of the same target before and after a bad one are kept with it.
const NEIGHBOURS: u8 = 2;
/// The most samples that cross to the writer at once.
const BATCH: usize = 1_024;
/// What a line takes on disk, about, bytes.
const LINE_BYTES: u64 = 480;

/// What may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Answers slower than this are bad too; the latency objective, if there is one.
    pub slow: Option<Span>,
    /// A release window that would take more is kept like calm times from there on, bytes on disk.
    pub window_bytes: u64,
}

/// An epoch opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cutover {
    /// The epoch.
    pub epoch: EpochId,
    /// Its release, while that is under judgement or held; `None` ends the window of the release before.
    pub release: Option<ReleaseId>,
    /// What the pipeline calls it.
    pub label: Option<Box<str>>,
    /// The last read that showed the previous state.
    pub after: Mono,
    /// The first that showed this one.
    pub since: Mono,
    /// The window of the release ends then.
    pub until: Mono,
}

/// A sample on its way to disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The sample.
    pub sample: Sample,
    /// The release whose window it belongs to.
    pub release: Option<ReleaseId>,
    /// Who answered.
    pub version: Option<Version>,
}

/// One line to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A sample.
    Sample(Kept),
    /// What the bad samples of an epoch and target came to.
    Spill(Spill, Option<ReleaseId>),
}

/// What crosses to the writer at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// In the order of their end, about.
    pub items: Vec<Item>,
    /// What the pipeline calls the open release.
    pub label: Option<(ReleaseId, Arc<str>)>,
    /// There are new names, from this batch on.
    pub names: Option<Arc<Names>>,
    /// An instant on both clocks, so that the writer can date them.
    pub anchor: (Mono, Wall),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Nobody wants it, yet.
    Passing,
    /// To be kept.
    Wanted(Option<ReleaseId>),
    /// With the writer.
    Sent,
}

#[derive(Debug)]
struct Slot {
    sample: Sample,
    fate: Fate,
}

/// The window of a release.
#[derive(Clone, Debug)]
struct Window {
    release: ReleaseId,
    until: Mono,
    bytes: u64,
}

/// What is remembered of a target: the places of its last samples, and how many after a bad one are still wanted.
#[derive(Clone, Copy, Debug, Default)]
struct Trail {
    last: [Option<u64>; NEIGHBOURS as usize],
    wanted: u8,
}

/// See the module.
#[derive(Debug)]
pub struct SampleKeeper {
    limits: Limits,
    seed: u64,
    ring: VecDeque<Slot>,
    ring_max: usize,
    /// The place of the ring's front, counted from the first sample ever.
    front: u64,
    /// Nothing before this place is wanted and unsent.
    scan: u64,
    trails: BTreeMap<TargetId, Trail>,
    cutover: Option<Cutover>,
    label: Option<(ReleaseId, Arc<str>)>,
    /// New ones that the writer doesn't know yet.
    names: Option<Arc<Names>>,
    window: Option<Window>,
    /// Bad samples of the open epoch: all, and those offered to the reservoir.
    bad: BTreeMap<TargetId, (u64, u64)>,
    reservoir: Option<Reservoir>,
    finished: VecDeque<Item>,
    lost: u64,
}

impl SampleKeeper {
    /// An empty keeper. `seed` settles the choice among bad samples that are too many.
    #[must_use]
    pub const fn new(limits: Limits, seed: u64) -> Self {
        Self {
            limits,
            seed,
            ring: VecDeque::new(),
            ring_max: RING_BYTES / size_of::<Slot>(),
            front: 0,
            scan: 0,
            trails: BTreeMap::new(),
            cutover: None,
            label: None,
            names: None,
            window: None,
            bad: BTreeMap::new(),
            reservoir: None,
            finished: VecDeque::new(),
            lost: 0,
        }
    }

    /// Takes one sample, in the order of their end.
    pub fn push(&mut self, sample: &Sample) {
        let mut sample = sample.clone();
        let straddles = self.straddles(&sample);
        if straddles && sample.taint == Taint::Clean {
            sample.taint = Taint::Straddling;
        }
        let place = self.front + self.ring.len() as u64;
        let whole_bad = self.is_bad(&sample) && self.count_bad(&sample);
        let in_window = self.in_window(&sample);
        let trail = self.trails.entry(sample.target).or_default();
        let last = trail.last;
        trail.last = [Some(place), last[0]];
        let neighbour = trail.wanted > 0;
        trail.wanted = if whole_bad { NEIGHBOURS } else { trail.wanted.saturating_sub(1) };
        let wanted = whole_bad || neighbour || straddles || in_window;
        let release = self.window.as_ref().map(|window| window.release);
        if whole_bad {
            for before in last.into_iter().flatten() {
                self.want(before, release);
            }
        }
        let fate = if wanted { Fate::Wanted(release) } else { Fate::Passing };
        if wanted && let Some(window) = &mut self.window {
            window.bytes += LINE_BYTES;
        }
        self.make_room(sample.due);
        self.ring.push_back(Slot { sample, fate });
    }

    /// An epoch opens: what was due before it was surely known is marked, and a new release's window begins.
    pub fn cutover(&mut self, cutover: Cutover) {
        self.finish_epoch();
        let new = match (cutover.release, &mut self.window) {
            (Some(release), Some(window)) if window.release == release => {
                window.until = window.until.max(cutover.until);
                false
            }
            (Some(release), window) => {
                *window = Some(Window { release, until: cutover.until, bytes: 0 });
                true
            }
            (None, window) => {
                *window = None;
                false
            }
        };
        self.label = cutover
            .release
            .zip(cutover.label.as_deref())
            .map(|(release, label)| (release, label.into()))
            .or_else(|| self.label.take().filter(|(release, _)| Some(*release) == cutover.release));
        let from = cutover.since.before(BEFORE);
        self.cutover = Some(cutover);
        let release = self.window.as_ref().map(|window| window.release);
        for index in 0..self.ring.len() {
            let due = self.ring[index].sample.due;
            let straddles = self.straddles(&self.ring[index].sample);
            if straddles && self.ring[index].sample.taint == Taint::Clean {
                self.ring[index].sample.taint = Taint::Straddling;
            }
            if straddles || (new && due >= from) {
                self.want(self.front + index as u64, release);
            }
        }
    }

    /// The pipeline names the open release late.
    pub fn name(&mut self, release: ReleaseId, label: &str) {
        self.label = Some((release, label.into()));
    }

    /// The configuration was read anew: there are more names, and another limit of what is slow.
    pub fn revise(&mut self, names: Option<Arc<Names>>, slow: Option<Span>) {
        self.names = names.or_else(|| self.names.take());
        self.limits.slow = slow;
    }

    /// The judging of the open release is over before its time.
    pub fn close(&mut self) {
        self.window = None;
    }

    /// The daemon stops: what the open epoch chose so far goes out with the next [`Self::take_due`].
    pub fn finish(&mut self) {
        self.finish_epoch();
    }

    /// What is to be written next, at most a thousand at once; `None` when nothing is.
    pub fn take_due(&mut self, versions: &Versions, anchor: (Mono, Wall)) -> Option<Batch> {
        let mut items: Vec<Item> = Vec::new();
        while items.len() < BATCH
            && let Some(item) = self.finished.pop_front()
        {
            items.push(match item {
                Item::Sample(kept) => {
                    let version = versions.name(kept.sample.version).cloned();
                    Item::Sample(Kept { version, ..kept })
                }
                Item::Spill(spill, release) => Item::Spill(spill, release),
            });
        }
        self.scan = self.scan.max(self.front);
        while items.len() < BATCH {
            let Some(slot) = self.index(self.scan).and_then(|index| self.ring.get_mut(index)) else { break };
            if let Fate::Wanted(release) = slot.fate {
                slot.fate = Fate::Sent;
                let version = versions.name(slot.sample.version).cloned();
                items.push(Item::Sample(Kept { sample: slot.sample.clone(), release, version }));
            }
            self.scan += 1;
        }
        if items.is_empty() {
            return None;
        }
        Some(Batch { items, label: self.label.clone(), names: self.names.take(), anchor })
    }

    /// Samples that were wanted and had to make room before the writer took them.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// What the keeper holds, bytes. Never more than 8 MiB.
    #[must_use]
    pub fn memory(&self) -> usize {
        let chosen = self.finished.capacity() * size_of::<Item>();
        let counters = self.trails.len() * (size_of::<Trail>() + size_of::<(u64, u64)>() + 16);
        let reservoir = self.reservoir.as_ref().map_or(0, Reservoir::memory);
        self.ring.capacity() * size_of::<Slot>() + chosen + counters + reservoir
    }

    /// Bad in the eyes of a user; what is tainted or our own doing isn't.
    fn is_bad(&self, sample: &Sample) -> bool {
        match sample.outcome {
            _ if sample.taint != Taint::Clean => false,
            Outcome::Bad(_) | Outcome::Saturated => true,
            Outcome::Ok => self.limits.slow.is_some_and(|slow| sample.response() > slow),
            Outcome::Missed(_) | Outcome::Failed(_) => false,
        }
    }

    /// Counts a bad sample; true while such are kept whole. Then the reservoir gets it.
    fn count_bad(&mut self, sample: &Sample) -> bool {
        let in_window = self.in_window(sample);
        let count = self.bad.entry(sample.target).or_default();
        count.0 += 1;
        if count.0 <= BAD_WHOLE {
            return true;
        }
        if !in_window {
            count.1 += 1;
            let seed = self.seed ^ u64::from(sample.epoch.0);
            self.reservoir.get_or_insert_with(|| Reservoir::new(seed)).offer(sample);
        }
        false
    }

    fn in_window(&self, sample: &Sample) -> bool {
        self.window
            .as_ref()
            .is_some_and(|window| sample.due <= window.until && window.bytes < self.limits.window_bytes)
    }

    fn straddles(&self, sample: &Sample) -> bool {
        self.cutover.as_ref().is_some_and(|cutover| cutover.after < sample.due && sample.due < cutover.since)
    }

    fn want(&mut self, place: u64, release: Option<ReleaseId>) {
        let Some(slot) = self.index(place).and_then(|index| self.ring.get_mut(index)) else { return };
        if slot.fate == Fate::Passing {
            slot.fate = Fate::Wanted(release);
            self.scan = self.scan.min(place);
        }
    }

    fn index(&self, place: u64) -> Option<usize> {
        place.checked_sub(self.front).and_then(|index| usize::try_from(index).ok())
    }

    /// Lets go of what is old, and of the oldest when there is no room.
    fn make_room(&mut self, newest: Mono) {
        while let Some(oldest) = self.ring.front() {
            let wanted = matches!(oldest.fate, Fate::Wanted(_));
            let old = newest.since(oldest.sample.due) > RING_SPAN;
            let full = self.ring.len() >= self.ring_max;
            if !(full || old && !wanted) {
                break;
            }
            self.lost += u64::from(wanted);
            self.ring.pop_front();
            self.front += 1;
        }
        if self.ring.len() == self.ring.capacity() {
            let more = self.ring.len().max(1_024).min(self.ring_max - self.ring.len());
            self.ring.reserve_exact(more);
        }
    }

    /// The epoch that ends leaves its reservoir and its counts.
    fn finish_epoch(&mut self) {
        let bad = std::mem::take(&mut self.bad);
        let (Some(reservoir), Some(cutover)) = (self.reservoir.take(), &self.cutover) else { return };
        let release = self.window.as_ref().map(|window| window.release);
        let (chosen, spills) = reservoir.finish(cutover.epoch, &bad);
        self.lost += self.finished.len() as u64;
        let samples = chosen.into_iter().map(|sample| Item::Sample(Kept { sample, release, version: None }));
        let spills = spills.into_iter().map(|spill| Item::Spill(spill, release));
        self.finished = samples.chain(spills).collect();
    }
}
