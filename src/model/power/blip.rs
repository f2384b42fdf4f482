//! What becomes of a run of bad answers: it ends while it is a blip, or it is one no more.
//!
//! While it is short, a run can't raise an alarm from a sum below three quarters of it, and what it adds doesn't depend on where the sum
//! was. So its course is worked out once, and the chain takes what comes of it: after how long, how much it has added.

use super::levels::{Levels, Shift};
use super::pace::Pace;
use super::{real, whole};
use std::collections::{BTreeMap, VecDeque};

/// An end of a short run, one of a few that stand for all.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// Strides since its first bad answer.
    pub(super) after: usize,
    /// What it has added, levels.
    pub(super) added: Shift,
    pub(super) chance: f64,
    /// It goes on as one that is no blip, with so many bad answers in a row; `None`: it is over.
    pub(super) burst: Option<usize>,
}

/// Ends that are told apart by what they add: so many per alarm.
const PARTS: f64 = 24.0;
/// And so many by when they come.
const TIMES: f64 = 4.0;
/// Bursts that go on are told apart by so many lengths, and all that are shorter than the other.
const LENGTHS: usize = 32;
const SHORT: usize = 8;
/// What is rarer is left out.
const RARE: f64 = 1e-9;

/// What a bucket holds: chance, and the sums of chance × time, × added.
#[derive(Default)]
struct Bucket(f64, f64, f64);

type Key = (Option<usize>, usize, usize);

/// Sorts what comes out of a run.
struct Sorter<'a> {
    pace: &'a Pace,
    /// The level that stands for nothing added.
    zero: usize,
    buckets: BTreeMap<Key, Bucket>,
}

impl Sorter<'_> {
    fn take(&mut self, levels: &Levels, weight: f64, after: usize, burst: Option<usize>) {
        let (low, chances) = levels.span();
        let late = real(after.saturating_sub(if burst.is_some() { self.pace.long } else { 0 }));
        let span = real(self.pace.tail + if burst.is_some() { 0 } else { self.pace.long });
        let time = whole(TIMES * late / (span + 1.0));
        for (offset, chance) in chances.iter().enumerate().filter(|(_, chance)| **chance > 0.0) {
            let mut added = real(low + offset) - real(self.zero);
            if burst.is_none() {
                added = added.min(real(self.pace.quarter));
            }
            let part = whole((added + real(self.zero)) / real(self.pace.needed) * PARTS);
            let bucket = self.buckets.entry((burst, time, part)).or_default();
            let chance = chance * weight;
            bucket.0 += chance;
            bucket.1 += chance * real(after);
            bucket.2 += chance * added;
        }
    }

    fn ends(self) -> Vec<End> {
        let kept = self.buckets.into_iter().filter(|(_, bucket)| bucket.0 > RARE);
        let end = |((burst, ..), bucket): (Key, Bucket)| End {
            after: whole((bucket.1 / bucket.0).round()),
            added: Shift::of(bucket.2 / bucket.0),
            chance: bucket.0,
            burst,
        };
        let mut ends: Vec<End> = kept.map(end).collect();
        let all: f64 = ends.iter().map(|end| end.chance).sum();
        for end in &mut ends {
            end.chance /= all;
        }
        ends
    }
}

/// The ends of a run that is a blip at first. `floor`: the sum was zero, and what good answers take off ends there.
pub(super) fn ends(pace: &Pace, floor: bool) -> Vec<End> {
    let zero = if floor { 0 } else { pace.needed / 2 };
    let count = zero + pace.needed + pace.needed / 4 + 2;
    let top = count - 1;
    let mut sorter = Sorter { pace, zero, buckets: BTreeMap::new() };
    let (longest, never) = (pace.longest(), pace.gap.is_none());
    let mut bursts = vec![Levels::none(count); longest + 1];
    let mut next = bursts.clone();
    let pour = |to: &mut Levels, from: &Levels, shift: Shift, weight: f64| {
        let out = to.pour(from, shift, weight);
        if out > 0.0 {
            to.put(top, out);
        }
    };
    pour(&mut bursts[1], &Levels::sure(count, zero), pace.gain(0), 1.0);
    // By how many strides ago the last bad answer was: the newest first.
    let mut gaps: VecDeque<Levels> = VecDeque::new();
    let latest = pace.long + pace.tail;
    for after in 1..=latest {
        let mut rested = Levels::none(count);
        for gap in &gaps {
            rested.pour(gap, Shift::of(0.0), 1.0);
        }
        let is_long = after >= pace.long;
        let mut fresh = Levels::none(count);
        for (length, burst) in bursts.iter().enumerate().chain([(0, &rested)]) {
            if burst.is_empty() {
                continue;
            }
            let longer = if length == 0 { 1 } else { (length + 1).min(longest) };
            let gain = pace.gain(length);
            if is_long {
                let mut out = Levels::none(count);
                pour(&mut out, burst, gain, pace.bad);
                sorter.take(&out, 1.0, after, Some(kind(longer, longest)));
            } else {
                pour(&mut next[longer], burst, gain, pace.bad);
            }
            if length > 0 {
                pour(&mut fresh, burst, pace.calm, 1.0 - pace.bad);
            }
        }
        std::mem::swap(&mut bursts, &mut next);
        next.iter_mut().for_each(Levels::clear);
        for gap in &mut gaps {
            gap.fall(pace.calm, 1.0 - pace.bad);
        }
        if never {
            let mut all = gaps.pop_front().unwrap_or_else(|| Levels::none(count));
            all.pour(&fresh, Shift::of(0.0), 1.0);
            gaps.push_front(all);
        } else {
            gaps.push_front(fresh);
        }
        if pace.gap.is_some_and(|gap| gaps.len() >= gap)
            && let Some(over) = gaps.pop_back()
        {
            sorter.take(&over, 1.0, after, None);
        }
    }
    sorter.ends()
}

/// A few lengths stand for all: short ones, and that which is no blip by itself, for themselves.
fn kind(length: usize, longest: usize) -> usize {
    let step = (longest / LENGTHS).max(1);
    if length < SHORT || length == longest {
        length
    } else {
        (length / step * step + step / 2).clamp(SHORT, longest - 1)
    }
}
