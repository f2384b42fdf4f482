//! One design of a bank on a lattice, and time in strides.

use super::levels::{Levels, Shift};
use super::{real, whole};
use crate::detector::sequential::Design;
use std::collections::VecDeque;

/// What is rarer than this is taken for impossible.
const RARE: f64 = 1e-4;

/// How finely sums and time are told apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grain {
    /// About so many levels from the floor to the alarm.
    pub(super) levels: f64,
    /// A stride has at most so many bad answers on average, or is one probe: then two in one are rare enough to be taken for two strides.
    pub(super) bad: f64,
}

/// So many strides tell well enough when a blip is over.
const BLIP: usize = 300;

impl Grain {
    /// Probes of a stride. Where few are bad it has at most one that is; where few are good and a blip is long, at most one that is good.
    pub(super) fn stride(self, share: f64, long: usize) -> usize {
        let (of_bad, of_good) = (whole(self.bad / share), whole(2.0 * self.bad / (1.0 - share)));
        if share < 1.0 && of_bad <= 1 { long.div_ceil(BLIP).min(of_good).max(1) } else { of_bad.max(1) }
    }
}

/// What a design counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Score {
    pub(super) design: Design,
    /// The alarm, in the units of the design.
    pub(super) needed: i64,
    pub(super) grain: Grain,
}

/// A design at a share: everything that the chain needs to know.
///
/// A bad answer is `up` levels exactly, so that what only bad answers do is exact. With few bad answers time goes in strides of
/// `stride` probes, of which at most one is bad; then no burst is longer than one. With few good ones and a long blip it is the other way
/// round: a stride is bad throughout, or breaks a burst and adds nothing.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// Levels to the alarm.
    pub(super) needed: usize,
    /// Levels that a short run or burst counts for at most.
    pub(super) quarter: usize,
    /// Probes.
    pub(super) stride: usize,
    /// The chance that a stride has a bad answer.
    pub(super) bad: f64,
    /// The sum grows in the long run, if it is counted in full.
    pub(super) climbs: bool,
    /// What a stride without one takes off.
    pub(super) calm: Shift,
    /// What the other answers of a stride with one take off, levels.
    pub(super) lost: f64,
    /// Strides from the first to the last bad answer that make a run no blip; 0: every run is none.
    pub(super) long: usize,
    /// A run is over after so many strides without a bad answer; `None`: it takes so many that it never is.
    pub(super) gap: Option<usize>,
    /// After so many strides without a bad answer the run is over, or there has been one.
    pub(super) tail: usize,
    /// By the length of a burst, from 0: to where it has carried the sum. Longer ones add `last`.
    burst: Vec<usize>,
    last: usize,
}

impl Pace {
    /// `share`: of bad answers, 0 < share ≤ 1. `long`: the fewest probe intervals that are no blip; `gap`: the most that connect two
    /// bad answers, 0 where `long` is.
    pub(super) fn new(score: &Score, share: f64, long: usize, gap: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "less than 2^40")]
        let (up_score, down_score, needed_score) =
            (score.design.up as f64, score.design.down as f64, score.needed as f64);
        let up = (score.grain.levels * up_score / needed_score).ceil().max(1.0);
        let level = up_score / up;
        let (needed, quarter) = (whole((needed_score / level).ceil()), whole(needed_score / 4.0 / level));
        let (up, down) = (whole(up), down_score / level);
        let stride = score.grain.stride(share, long);
        let few_good = stride > 1 && share > 0.5;
        let bad = if few_good { 1.0 - (1.0 - share) * real(stride) } else { (share * real(stride)).min(1.0) };
        // Answers of each kind in a stride of its kind, and good ones in a bad one.
        let (bads, goods, others) = if few_good { (stride, 1, 0) } else { (1, stride, stride - 1) };
        let strides = |probes: usize| (real(probes) / real(stride)).round();
        let long = if long == 0 { 0 } else { whole(strides(long)).max(1) };
        let gap = if gap == 0 { 0 } else { whole(strides(gap)).max(1) };
        let tail = whole(RARE.ln() / (1.0 - bad).max(RARE).ln()) + 1;
        let forever = tail < gap;
        let (burst, last) =
            bursts(up * bads, quarter, bad, long, if few_good || stride == 1 { gap } else { 0 });
        Self {
            needed,
            quarter,
            stride,
            bad,
            climbs: share > down / (real(up) + down),
            calm: Shift::of(-down * real(goods)),
            lost: down * real(others),
            long,
            gap: if forever { None } else { Some(gap) },
            tail: tail.min(gap),
            burst,
            last,
        }
    }

    /// What the next bad answer adds, after `length` in a row.
    pub(super) fn gain(&self, length: usize) -> Shift {
        let added = match (self.burst.get(length), self.burst.get(length + 1)) {
            (Some(before), Some(after)) => after - before,
            _ => self.last,
        };
        Shift::of(real(added) - self.lost)
    }

    /// A run may be a blip, and go on after an answer; else every bad answer is like the other.
    pub(super) fn has_short_runs(&self) -> bool {
        self.gap != Some(0)
    }

    /// Nothing, by how long ago the last bad answer of a run was: one place for all where a run never ends.
    pub(super) fn no_gaps(&self, count: usize) -> VecDeque<Levels> {
        if self.gap.is_some() { VecDeque::new() } else { VecDeque::from([Levels::none(count)]) }
    }

    /// Bursts of this length and longer are alike.
    pub(super) fn longest(&self) -> usize {
        self.burst.len() - 1
    }
}

/// With `gap` 0, no two bad answers make a burst. To where a burst carries the sum, by its length, and what each answer after the longest adds.
fn bursts(up: usize, quarter: usize, bad: f64, long: usize, gap: usize) -> (Vec<usize>, usize) {
    if long == 0 {
        return (vec![0, up], up);
    }
    let short = up.min(quarter);
    if gap == 0 {
        // Every bad answer is a burst of its own.
        return (vec![0, short], short);
    }
    // Longer ones than this don't happen, or add nothing more until they are no blip.
    let seen = if bad < 1.0 { whole((RARE * 0.001).ln() / bad.ln()) } else { usize::MAX };
    let most = seen.max(quarter.div_ceil(up)).max(1);
    if most <= long {
        return ((0..=most).map(|n| (n * up).min(quarter)).collect(), 0);
    }
    let mut sums: Vec<usize> = (0..=long).map(|n| (n * up).min(quarter)).collect();
    sums.push((long + 1) * up);
    (sums, up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stride_has_few_of_what_is_rare() {
        let grain = Grain { levels: 128.0, bad: 0.0625 };
        for (share, long, stride) in [
            // A bad answer in sixteen strides, however long a blip is.
            (1.0 / 128.0, 0, 8),
            (1.0 / 128.0, 10_000, 8),
            (0.0625, 0, 1),
            (0.0625, 10_000, 1),
            (0.25, 0, 1),
            (0.25, 10_000, 1),
            // A good answer in eight, and three hundred strides a blip.
            (0.96875, 0, 1),
            (0.96875, 300, 1),
            (0.96875, 301, 2),
            (0.96875, 900, 3),
            (0.96875, 10_000, 4),
            // No good ones at all: a stride tells the blip's end exactly.
            (1.0, 0, 1),
            (1.0, 10_000, 1),
        ] {
            assert_eq!(grain.stride(share, long), stride, "{share} {long}");
        }
    }

    #[test]
    fn a_burst_counts_for_a_quarter_until_it_is_no_blip() {
        for (up, quarter, bad, long, gap) in [
            (3, 10, 1.0, 4, 4),
            (3, 10, 1.0, 20, 20),
            (1, 10, 1.0, 5, 5),
            (20, 10, 1.0, 5, 5),
            (5, 10, 0.9, 3, 2),
            (3, 10, 0.5, 100, 100),
            (3, 10, 0.01, 100, 100),
            (1, 10, 0.01, 100, 100),
            (20, 10, 1e-9, 100, 100),
            (3, 10, 0.5, 0, 0),
        ] {
            let (burst, last) = bursts(up, quarter, bad, long, gap);
            let what = format!("{up} {quarter} {bad} {long}: {burst:?} {last}");
            let mut sum = 0;
            for length in 1..=burst.len() + 10 {
                sum += if length < burst.len() { burst[length] - burst[length - 1] } else { last };
                let whole = length * up;
                // From its first answer to the last are fewer intervals than answers.
                let counted = if length > long { whole } else { whole.min(quarter) };
                if length <= long || burst.len() > long {
                    assert_eq!(sum, counted, "{what}, after {length}");
                }
            }
            // As long as it is seen once in ten million, or has not yet a quarter; and no longer.
            let longest = burst.len() - 1;
            let is_enough = bad.powf(real(longest + 1)) < 1e-7 && longest * up >= quarter || longest > long;
            assert!(is_enough, "{what}");
            let is_too_long = bad.powf(real(longest)) < 1e-7 && (longest - 1) * up >= quarter;
            assert!(!is_too_long && longest <= long + 1, "{what}");
        }
    }

    #[test]
    fn a_bad_answer_that_is_a_burst_of_its_own_counts_for_a_quarter_at_most() {
        assert_eq!(bursts(3, 10, 0.5, 7, 0), (vec![0, 3], 3));
        assert_eq!(bursts(30, 10, 0.5, 7, 0), (vec![0, 10], 10));
        assert_eq!(bursts(30, 10, 0.5, 0, 0), (vec![0, 30], 30));
    }

    /// An alarm of 1,280, 64 for a bad answer and 8 off for a good one.
    fn pace(share: f64, long: usize, gap: usize) -> Pace {
        let grain = Grain { levels: 320.0, bad: 0.0625 };
        Pace::new(&Score { design: Design { up: 64, down: 8 }, needed: 1_280, grain }, share, long, gap)
    }

    #[test]
    fn a_bad_stride_gains_what_its_good_answers_leave() {
        // Sixteen levels for a bad answer, two off for each of the seven others in its stride.
        let few_bad = pace(1.0 / 128.0, 0, 0);
        assert_eq!(few_bad.stride, 8);
        assert_eq!((few_bad.gain(0).mean(), few_bad.gain(1).mean(), few_bad.calm.mean()), (2.0, 2.0, -16.0));
        // A burst of its own: no more than a quarter either.
        let short = pace(1.0 / 128.0, 100, 50);
        assert_eq!((short.gain(0).mean(), short.gain(1).mean(), short.longest()), (2.0, 2.0, 1));
        // Each answer for itself, up to a quarter; then nothing until the fourth interval tells that it is no blip.
        let many = pace(0.5, 6, 6);
        let gains: Vec<f64> = (0..9).map(|length| many.gain(length).mean()).collect();
        assert_eq!(gains, [16.0, 16.0, 16.0, 16.0, 16.0, 0.0, 32.0, 16.0, 16.0]);
        assert_eq!((many.longest(), many.calm.mean()), (7, -2.0));
    }

    #[test]
    fn a_run_is_short_at_first_unless_each_bad_answer_is_one() {
        for (long, gap, short) in [(0, 0, false), (1, 0, false), (1, 1, true), (2, 1, true), (6, 6, true)] {
            assert_eq!(pace(0.5, long, gap).has_short_runs(), short, "{long} {gap}");
        }
        // So long a gap that it never ends.
        assert!(pace(0.5, 100, 100).has_short_runs());
        assert_eq!((pace(0.5, 100, 100).gap, pace(0.5, 100, 100).tail), (None, 14));
        assert_eq!((pace(0.5, 6, 6).gap, pace(0.5, 6, 6).tail), (Some(6), 6));
    }
}
