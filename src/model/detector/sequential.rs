//! The `sequential` policy: a bank of cumulative sums of log-likelihood ratios (Page 1954; for shares, Reynolds and
//! Stoumbos 1999).
//!
//! Each design of the bank asks: is the share of bad answers `p1` rather than the `p0` that is promised? A bad answer adds
//! ln(p1/p0), a good one takes off ln((1−p0)/(1−p1)), and the sum never falls below zero. For any stream whose share, given all
//! that came before, is at most `p0`, a sum reaches `h` at a given one of its starts with a chance of at most e^−h (Ville); so with
//! `looks` starts and `k` designs, h = ln(looks × k / chance) keeps the chance of one wrong alarm. That is proven, not simulated,
//! and needs no independence of one answer from another. It does take answers as they were due: where bad ones are known much sooner
//! than good ones, those in flight are missing from the sum for so long, and the odds are that much worse. Against a share of `p1` the sum grows by the Kullback-Leibler divergence a sample, which no test
//! of the same guarantee beats in the limit (Lorden 1971).
//!
//! Scores are integers of 2⁻²⁰ nats: what a bad answer adds is rounded down, what a good one takes off is rounded up.

use super::logarithm::ln;
use super::{Event, Found};
use crate::time::Mono;
use crate::window::trail::Bad;
use std::time::Duration;

/// One nat.
const NAT: f64 = 1_048_576.0;
/// A sum beyond this many nats is a suspicion: luck gets there once in a thousand starts.
const SUSPECT_NATS: f64 = 6.908;
/// One in a million.
const OVER_NATS: f64 = 13.816;
/// How many designs a bank has.
pub const DESIGNS: usize = 4;

/// What one design adds and takes off, in 2⁻²⁰ nats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Design {
    /// For a bad answer.
    pub up: i64,
    /// For a good one.
    pub down: i64,
}

/// The designs of one promise, and what each sum has to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bank {
    /// From the smallest share to the largest.
    pub designs: [Design; DESIGNS],
    /// The alarm, in 2⁻²⁰ nats.
    pub needed: i64,
}

impl Design {
    /// `p1` against `p0`, 0 < p0 < p1 < 1.
    #[must_use]
    pub fn new(p0: f64, p1: f64) -> Self {
        Self { up: score(ln(p1) - ln(p0)), down: -score(ln(1.0 - p1) - ln(1.0 - p0)) }
    }

    /// So many good answers take off what a bad one adds.
    fn undone_by(&self) -> u64 {
        u64::try_from(self.up).unwrap_or(0).div_ceil(self.down.unsigned_abs().max(1))
    }
}

/// In 2⁻²⁰ nats, rounded towards minus infinity: to the safe side for gain and loss alike.
#[expect(clippy::cast_possible_truncation, reason = "less than 2^40, and whole")]
fn score(nats: f64) -> i64 {
    (nats * NAT).floor() as i64
}

/// The shares that a bank is built for: from what is well above the promise to halfway between it and all, closer where the evidence of a
/// sample is weak and a design that is far off costs most. Roots are exact on every machine.
#[must_use]
pub fn shares(p0: f64) -> [f64; DESIGNS] {
    let top = f64::midpoint(1.0, p0);
    let bottom = (3.0 * p0).max(0.02).min(p0 + (top - p0) / 3.0);
    let odds = |p: f64| p / (1.0 - p);
    let ratio = odds(top) / odds(bottom);
    let (half, quarter) = (ratio.sqrt(), ratio.sqrt().sqrt());
    // A quarter of the way in the logarithm of the odds, and five eighths.
    [1.0, quarter, half * quarter.sqrt(), ratio].map(|step| {
        let odd = odds(bottom) * step;
        odd / (1.0 + odd)
    })
}

impl Bank {
    /// For a promised share of `p0`, 0 < p0 < 1, with a chance of `alpha` that one start of the whole bank ends in a wrong
    /// alarm.
    #[must_use]
    pub fn new(p0: f64, alpha: f64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "four")]
        let starts = DESIGNS as f64 / alpha;
        Self { designs: shares(p0).map(|p1| Design::new(p0, p1)), needed: -score(-ln(starts)) }
    }
}

/// A sum remembers for long: what it says is over when so many good answers have followed that they would be luck of one in a
/// million under the share that raised it. Good ones are known sooner than bad ones: what was due so lately that a bad one would
/// still be in flight tells nothing of it.
fn is_over(events: &[Event], first: Mono, last: Mono) -> bool {
    let of_breach = || events.iter().filter(|event| (first..=last).contains(&event.due));
    let (bad, all) = (of_breach().filter(|event| event.bad).count(), of_breach().count());
    let bad_takes = of_breach().filter(|event| event.bad).map(|event| event.known.since(event.due)).max();
    let newest = events.iter().map(|event| event.known).max().unwrap_or_default();
    let tells = |event: &&Event| event.due.after(bad_takes.unwrap_or_default()) <= newest;
    let good_since = events.iter().rev().take_while(|event| event.due > last).filter(tells).count();
    #[expect(clippy::cast_precision_loss, reason = "samples of a window")]
    let (share, good_since) = (bad as f64 / (all + 1) as f64, good_since as f64);
    good_since * -ln(1.0 - share) > OVER_NATS
}

/// A bank on its way through a stream.
///
/// Bad answers one after the other are a burst, and bursts no further apart than a blip are a run. A run that is over within a
/// blip counts for a quarter of an alarm at most, and so does each burst of a longer run, if it is over within one.
#[derive(Clone, Debug)]
pub struct Walk {
    bank: Bank,
    blip: Duration,
    sums: [Sum; DESIGNS],
    /// So many good answers take off what a bad one adds to a sum, whichever.
    undone_by: u64,
    /// Every sum is zero, and no burst goes on.
    at_rest: bool,
    /// The run of bad answers that may still go on.
    run: Option<Stretch>,
    /// The burst that goes on.
    burst: Option<Stretch>,
    last_bad: Option<Mono>,
}

/// One design's sum.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    /// As it is if the run that goes on is no blip.
    whole: i64,
    /// As it is if the burst that goes on is no blip.
    burst: i64,
    /// What the burst may carry it to while it is short.
    burst_cap: i64,
    /// What the run may carry it to while it is short.
    run_cap: i64,
    /// The first bad answer since it was zero.
    since: Mono,
}

#[derive(Clone, Copy, Debug)]
struct Stretch {
    first: Mono,
    last: Mono,
}

impl Stretch {
    const fn at(due: Mono) -> Self {
        Self { first: due, last: due }
    }

    fn is_shorter_than(self, blip: Duration) -> bool {
        self.last.since(self.first) < blip
    }
}

impl Walk {
    /// At the start of a stream.
    #[must_use]
    pub fn new(bank: Bank, blip: Duration) -> Self {
        Self {
            bank,
            blip,
            sums: [Sum::default(); DESIGNS],
            undone_by: bank.designs.iter().map(Design::undone_by).max().unwrap_or(0),
            at_rest: true,
            run: None,
            burst: None,
            last_bad: None,
        }
    }

    /// Takes the next sample, which was due at `due`.
    pub fn step(&mut self, due: Mono, bad: bool) {
        if self.run.is_some_and(|run| due.since(run.last) > self.blip) {
            self.end_run();
        }
        if bad {
            self.bad(due);
        } else {
            self.good(1);
        }
    }

    /// Takes a bad sample and the good ones that followed it.
    pub fn take(&mut self, bad: &Bad) {
        if self.at_rest && u64::from(bad.soon) + u64::from(bad.later) >= self.undone_by {
            self.pass(bad);
            return;
        }
        self.step(bad.due, true);
        self.good(bad.soon);
        if bad.later > 0 {
            self.end_run();
            self.good(bad.later);
        }
        self.at_rest = self.highest() == 0;
    }

    /// What it adds is gone again before the next: so it is with most, where a promise is kept.
    fn pass(&mut self, bad: &Bad) {
        self.last_bad = Some(bad.due);
        match &mut self.run {
            _ if bad.later > 0 => self.run = None,
            Some(run) if bad.due.since(run.last) <= self.blip => run.last = bad.due,
            run => {
                *run = Some(Stretch::at(bad.due));
                self.sums.iter_mut().for_each(|sum| sum.run_cap = self.bank.needed / 4);
            }
        }
    }

    /// What the walk comes to; `events` are those that it went through, from the first bad one on.
    pub(super) fn found(&self, events: impl FnOnce() -> Vec<Event>) -> Found {
        let last = self.last_bad.unwrap_or_default();
        match self.alarm() {
            Some(first) if is_over(&events(), first, last) => Found::Suspect,
            Some(first) => Found::Breach { first, last },
            None if self.highest() >= score(SUSPECT_NATS) => Found::Suspect,
            None => Found::Luck,
        }
    }

    /// The first bad answer of what has reached the alarm and stands above it now: of the design that looks furthest back.
    #[must_use]
    pub fn alarm(&self) -> Option<Mono> {
        let loud = self.sums.iter().filter(|sum| self.counted(sum) >= self.bank.needed);
        loud.map(|sum| sum.since).min()
    }

    fn counted(&self, sum: &Sum) -> i64 {
        let short = self.run.is_some_and(|run| run.is_shorter_than(self.blip));
        if short { sum.whole.min(sum.run_cap) } else { sum.whole }
    }

    fn highest(&self) -> i64 {
        self.sums.iter().map(|sum| sum.whole).max().unwrap_or(0)
    }

    /// So many good ones in a row.
    fn good(&mut self, count: u32) {
        if count > 0 {
            self.burst = None;
            for (sum, design) in self.sums.iter_mut().zip(self.bank.designs) {
                sum.whole = (sum.whole - design.down * i64::from(count)).max(0);
            }
        }
    }

    fn bad(&mut self, due: Mono) {
        self.last_bad = Some(due);
        self.at_rest = false;
        let (begins_run, begins_burst) = (self.run.is_none(), self.burst.is_none());
        self.run.get_or_insert(Stretch::at(due)).last = due;
        let burst = self.burst.get_or_insert(Stretch::at(due));
        burst.last = due;
        let short = burst.is_shorter_than(self.blip);
        for (sum, design) in self.sums.iter_mut().zip(self.bank.designs) {
            let cap = sum.whole + self.bank.needed / 4;
            if begins_run {
                sum.run_cap = cap;
            }
            if begins_burst {
                (sum.burst, sum.burst_cap) = (sum.whole, cap);
            }
            if sum.whole == 0 {
                sum.since = due;
            }
            sum.burst += design.up;
            sum.whole = if short { sum.burst.min(sum.burst_cap) } else { sum.burst };
        }
    }

    /// A run that stayed short leaves no more than it was counted for.
    fn end_run(&mut self) {
        let counted = self.sums.map(|sum| self.counted(&sum));
        for (sum, counted) in self.sums.iter_mut().zip(counted) {
            sum.whole = counted;
        }
        (self.run, self.burst) = (None, None);
    }
}

#[cfg(test)]
mod tests;
