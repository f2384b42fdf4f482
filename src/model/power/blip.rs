//! What becomes of a run of bad answers: it ends while it is a blip, or it is one no more.
//!
//! While it is short, a run can't raise an alarm from a sum below three quarters of it, and what it adds doesn't depend on where the sum
//! was. So its course is worked out once, and the chain takes what comes of it: after how long, how much it has added.

use super::levels::{Levels, Shift};
use super::pace::Pace;
use super::{real, whole};
use std::collections::BTreeMap;

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
    fn take(&mut self, levels: &Levels, after: usize, burst: Option<usize>) {
        let (low, chances) = levels.span();
        let late = real(after.saturating_sub(if burst.is_some() { self.pace.long } else { 0 }));
        let span = real(self.pace.tail + if burst.is_some() { 0 } else { self.pace.long });
        let time = whole(TIMES * late / (span + 1.0));
        for (offset, chance) in chances.iter().enumerate() {
            let mut added = real(low + offset) - real(self.zero);
            if burst.is_none() {
                added = added.min(real(self.pace.quarter));
            }
            let part = whole((added + real(self.zero)) / real(self.pace.needed) * PARTS);
            let bucket = self.buckets.entry((burst, time, part)).or_default();
            bucket.0 += chance;
            bucket.1 += chance * real(after);
            bucket.2 += chance * added;
        }
    }

    fn ends(self) -> Vec<End> {
        let kept = self.buckets.into_iter().filter(|(_, bucket)| bucket.0 >= RARE);
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
    // Half of the alarm is as far as it falls, otherwise. What has added more than the top is not told from it.
    let zero = if floor { 0 } else { pace.needed / 2 };
    let top = zero + pace.needed + pace.quarter;
    let count = top + 1;
    let mut sorter = Sorter { pace, zero, buckets: BTreeMap::new() };
    let longest = pace.longest();
    let mut bursts = vec![Levels::none(count); longest + 1];
    let mut next = bursts.clone();
    let pour = |to: &mut Levels, from: &Levels, shift: Shift, weight: f64| {
        let out = to.pour(from, shift, weight);
        to.put(top, out);
    };
    pour(&mut bursts[1], &Levels::sure(count, zero), pace.gain(0), 1.0);
    // By how many strides ago the last bad answer was: the newest first.
    let mut gaps = pace.no_gaps(count);
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
            let longer = (length + 1).min(longest);
            let gain = pace.gain(length);
            if is_long {
                let mut out = Levels::none(count);
                pour(&mut out, burst, gain, pace.bad);
                sorter.take(&out, after, Some(kind(longer, longest)));
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
        match pace.gap {
            Some(gap) => {
                gaps.push_front(fresh);
                if gaps.len() >= gap
                    && let Some(over) = gaps.pop_back()
                {
                    sorter.take(&over, after, None);
                }
            }
            None => {
                gaps[0].pour(&fresh, Shift::of(0.0), 1.0);
            }
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

#[cfg(test)]
mod tests {
    use super::super::pace::{Grain, Score};
    use super::*;
    use crate::detector::sequential::Design;

    /// All of it in whole levels, one answer a stride.
    fn pace(up: i64, down: i64, needed: i32, share: f64, long: usize, gap: usize) -> Pace {
        let grain = Grain { levels: needed.into(), bad: 0.0 };
        Pace::new(&Score { design: Design { up, down }, needed: needed.into(), grain }, share, long, gap)
    }

    /// A run that has come so far, answer by answer.
    #[derive(Clone, Copy)]
    struct Course {
        after: usize,
        sum: i64,
        chance: f64,
        /// Bad answers in a row, and what they have added; good ones in a row.
        burst: (usize, i64),
        good: usize,
    }

    /// What becomes of every run, sorted as it is told: how it goes on, when by quarters of what it can take, what it has added by
    /// parts of the alarm; and of each the chance, the means of when and what.
    fn listed(
        pace: &Pace,
        floor: bool,
        (up, down): (i64, i64),
    ) -> BTreeMap<(Option<usize>, usize, i64), [f64; 3]> {
        let whole = |n: usize| i64::try_from(n).unwrap();
        let (needed, quarter) = (whole(pace.needed), whole(pace.quarter));
        let lowest = if floor { 0 } else { -needed / 2 };
        let mut listed = BTreeMap::<_, [f64; 3]>::new();
        let mut end = |course: &Course, burst: Option<usize>| {
            let (late, span) = match burst {
                Some(_) => (course.after - pace.long, pace.tail),
                None => (course.after, pace.long + pace.tail),
            };
            let added = if burst.is_some() { course.sum } else { course.sum.min(quarter) };
            let entry =
                listed.entry((burst, 4 * late / (span + 1), (24 * added).div_euclid(needed))).or_default();
            let of_level = i32::try_from(added).map(f64::from).unwrap();
            for (sum, value) in entry.iter_mut().zip([1.0, real(course.after), of_level]) {
                *sum += course.chance * value;
            }
        };
        let first = up.min(quarter);
        let mut open = vec![Course { after: 0, sum: first, chance: 1.0, burst: (1, first), good: 0 }];
        while let Some(course) = open.pop() {
            let after = course.after + 1;
            if after > pace.long + pace.tail || course.chance < 1e-13 {
                continue;
            }
            let length = course.burst.0 + 1;
            let carried =
                if length > pace.long { whole(length) * up } else { (whole(length) * up).min(quarter) };
            let bad = Course {
                after,
                sum: (course.sum + carried - course.burst.1).min(needed + quarter),
                chance: course.chance * pace.bad,
                burst: (length, carried),
                good: 0,
            };
            if after >= pace.long {
                end(&bad, Some(length));
            } else {
                open.push(bad);
            }
            let good = Course {
                after,
                sum: (course.sum - down).max(lowest),
                chance: course.chance * (1.0 - pace.bad),
                burst: (0, 0),
                good: course.good + 1,
            };
            if pace.gap.is_some_and(|gap| good.good >= gap) { end(&good, None) } else { open.push(good) }
        }
        listed
    }

    #[test]
    fn the_ends_are_those_of_every_run() {
        for (score, needed, share, long, gap) in [
            ((3, 1), 16, 0.5, 2, 2),
            ((3, 1), 32, 0.6, 5, 3),
            ((5, 2), 64, 0.5, 6, 5),
            ((5, 1), 64, 0.7, 4, 3),
            // Far down, to the floor.
            ((2, 7), 16, 0.5, 4, 4),
            ((9, 14), 32, 0.4, 4, 4),
            // Beyond the alarm.
            ((8, 1), 16, 0.6, 14, 2),
            // So long a gap that a run never ends.
            ((2, 1), 32, 0.97, 6, 6),
            ((3, 2), 16, 0.9, 7, 7),
        ] {
            let pace = pace(score.0, score.1, needed, share, long, gap);
            for floor in [true, false] {
                let what = format!("{score:?} {needed} {share} {long} {gap} {floor}");
                let mut listed = listed(&pace, floor, score);
                listed.retain(|_, entry| entry[0] > RARE);
                let all: f64 = listed.values().map(|entry| entry[0]).sum();
                let ends = ends(&pace, floor);
                assert_eq!(ends.len(), listed.len(), "{what}");
                assert!((ends.iter().map(|end| end.chance).sum::<f64>() - 1.0).abs() < 1e-12, "{what}");
                for (end, ((burst, ..), [chance, after, added])) in ends.iter().zip(&listed) {
                    assert_eq!(end.burst, *burst, "{what}");
                    assert!((end.chance - chance / all).abs() < 1e-9 * chance, "{what}: {end:?} {chance}");
                    assert!((end.added.mean() - added / chance).abs() < 1e-6, "{what}: {end:?} {added}");
                    assert!((real(end.after) - after / chance).abs() < 0.5 + 1e-6, "{what}: {end:?} {after}");
                }
            }
        }
    }

    #[test]
    fn what_is_as_rare_as_that_is_told_and_what_is_rarer_is_not() {
        let pace = pace(3, 1, 16, 0.5, 2, 2);
        let levels = |chances: [f64; 3]| {
            let mut levels = Levels::none(32);
            for (place, chance) in chances.into_iter().enumerate() {
                levels.put(16 + 2 * place, chance);
            }
            levels
        };
        let told = |chances| {
            let mut sorter = Sorter { pace: &pace, zero: 16, buckets: BTreeMap::new() };
            sorter.take(&levels(chances), 2, None);
            sorter.ends().iter().map(|end| end.added.mean()).collect::<Vec<_>>()
        };
        assert_eq!(told([0.5, RARE, 0.25]), [0.0, 2.0, 4.0]);
        assert_eq!(told([0.5, RARE / 2.0, 0.25]), [0.0, 4.0]);
    }

    #[test]
    fn a_few_lengths_stand_for_all() {
        for longest in [1, 5, 8, 9, 10, 40, 64, 100, 1_000] {
            // So many lengths in a row have the one in their middle.
            let step = (longest / 32).max(1);
            for length in 1..=longest {
                let middle = (0..).step_by(step).find(|begin| begin + step > length).unwrap() + step / 2;
                let wanted =
                    if length < 8 || length == longest { length } else { middle.max(8).min(longest - 1) };
                assert_eq!(kind(length, longest), wanted, "{length} of {longest}");
            }
        }
    }
}
