//! One design of a bank on a lattice, and time in strides.

use super::levels::Shift;
use super::{real, whole};
use crate::detector::sequential::Design;

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
        if share < 1.0 && of_bad <= 1 && long > BLIP {
            long.div_ceil(BLIP).min(of_good).max(1)
        } else {
            of_bad.max(1)
        }
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
    /// bad answers.
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
        self.long > 0 && self.gap != Some(0)
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
    let most = seen.max(quarter / up.max(1) + 2);
    if most <= long {
        return ((0..=most).map(|n| (n * up).min(quarter)).collect(), 0);
    }
    let mut sums: Vec<usize> = (0..=long).map(|n| (n * up).min(quarter)).collect();
    sums.push((long + 1) * up);
    (sums, up)
}
