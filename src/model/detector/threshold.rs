//! The `threshold` policy: how many of `n` would an unharmed service show by luck? The binomial tail says. One connected run
//! of bad answers that is shorter than a blip counts for at most a quarter of what is needed.

use super::{Event, Found};
use crate::policy::Threshold;
use crate::time::Mono;
use std::time::Duration;

/// Luck explains it once in a thousand looks: nothing to suspect.
const USUAL: f64 = 1e-3;

/// What a share is held to.
pub(super) struct Terms {
    pub(super) rule: Threshold,
    /// The trailing span.
    pub(super) window: Duration,
    /// Fewer answers than this in it are no breach.
    pub(super) samples_min: u32,
    /// So much may be bad,
    pub(super) share: f64,
    /// and a breach is so much at least.
    pub(super) share_min: f64,
    /// The chance that one look goes wrong.
    pub(super) alpha: f64,
    pub(super) blip: Duration,
}

impl Terms {
    /// Looks at answers in the order in which they were due: of the window, of as long before it as the share has to have been too
    /// large, and of a while before that.
    pub(super) fn look(&self, events: &[Event], now: Mono) -> Found {
        let good_since = events.iter().rev().take_while(|event| !event.bad).count();
        let recovered = self.rule.good_streak > 0 && good_since >= self.rule.good_streak as usize;
        if let Some((first, last)) = self.streak(events).filter(|_| !recovered) {
            return Found::Breach { first, last };
        }
        let from = now.before(self.window);
        let recent = &events[events.partition_point(|event| event.due < from)..];
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let bad: Vec<Event> = recent.iter().filter(|event| event.bad).copied().collect();
        let (n, hits) = (count(recent.len()), count(bad.len()));
        if n < self.samples_min || tail(n, hits, self.share) > USUAL {
            return Found::Luck;
        }
        let needed = fewest(n, hits, self.share, self.alpha);
        match (needed, bad.first(), bad.last()) {
            (Some(needed), Some(first), Some(last))
                if !recovered && counted(&bad, self.blip, needed) >= needed && self.held(events, now) =>
            {
                Found::Breach { first: self.begun(events, first.due), last: last.due }
            }
            _ => Found::Suspect,
        }
    }

    /// A breach goes on for longer than its window. It began with the first bad answer that no pause as long as the window parts from
    /// the window's own: what is compared with it may need more answers than the window holds.
    fn begun(&self, events: &[Event], first: Mono) -> Mono {
        let bad = events.iter().rev().filter(|event| event.bad && event.due <= first).map(|event| event.due);
        let mut begun = first;
        for due in bad {
            if begun.since(due) > self.window {
                break;
            }
            begun = due;
        }
        begun
    }

    /// So many bad ones in a row at the end, for as long as a blip.
    fn streak(&self, events: &[Event]) -> Option<(Mono, Mono)> {
        let streak = self.rule.bad_streak as usize;
        if streak == 0 {
            return None;
        }
        let ended = events.iter().rposition(|event| event.bad)? + 1;
        let begun = events[..ended].iter().rposition(|event| !event.bad).map_or(0, |good| good + 1);
        let (first, last) = (events[begun].due, events[ended - 1].due);
        (ended - begun >= streak && last.since(first) >= self.blip).then_some((first, last))
    }

    /// Whether the share was too large at each instant of the last [`Threshold::held_for`]: it only falls when a good answer comes or
    /// a bad one leaves the window, and is looked at whenever an answer comes.
    fn held(&self, events: &[Event], now: Mono) -> bool {
        if self.rule.held_for.is_zero() {
            return true;
        }
        let share = self.share.max(self.share_min);
        let since = now.before(self.rule.held_for);
        let (mut oldest, mut bad) = (0, 0_u32);
        for (index, event) in events.iter().enumerate() {
            bad += u32::from(event.bad);
            let from = event.due.before(self.window);
            while events[oldest].due < from {
                bad -= u32::from(events[oldest].bad);
                oldest += 1;
            }
            let all = u32::try_from(index + 1 - oldest).unwrap_or(u32::MAX);
            if event.due >= since && f64::from(bad) <= share * f64::from(all) {
                return false;
            }
        }
        // It must have begun before, and not with the first answer that is known.
        events.first().is_some_and(|event| event.due <= since)
    }
}

/// How many of the `bad` samples count when `needed` of them are a breach. A run is connected while its gaps are no longer
/// than a blip; a short one counts for at most a quarter.
pub(super) fn counted(bad: &[Event], blip: Duration, needed: u32) -> u32 {
    let cap = (needed / 4).max(1);
    let runs = bad.chunk_by(|one, next| next.due.since(one.due) <= blip);
    runs.map(|run| {
        let count = u32::try_from(run.len()).unwrap_or(u32::MAX);
        let long = run.iter().zip(run.last()).any(|(first, last)| last.due.since(first.due) >= blip);
        if long { count } else { count.min(cap) }
    })
    .sum()
}

/// The smallest count up to `hits` that luck explains with at most `alpha`: the terms of [`tail`] from zero on,
/// each from the one before, and a geometric series above the last.
pub(super) fn fewest(n: u32, hits: u32, share: f64, alpha: f64) -> Option<u32> {
    let mut term = power(1.0 - share, n);
    if term < 1e-280 {
        return fewest_by_halves(n, hits, share, alpha);
    }
    let odds = share / (1.0 - share);
    for k in 0..=hits.min(n) {
        let ratio = f64::from(n - k) / f64::from(k + 1) * odds;
        // Below the mean the terms grow, and the right side is no more than zero.
        if term <= alpha * (1.0 - ratio) {
            return Some(k);
        }
        term *= ratio;
    }
    None
}

/// By squaring, so that it is the same to the last bit on every machine.
fn power(base: f64, exponent: u32) -> f64 {
    let (mut square, mut left, mut product) = (base, exponent, 1.0);
    while left > 0 {
        if left % 2 == 1 {
            product *= square;
        }
        square *= square;
        left /= 2;
    }
    product
}

/// The same where the first terms underflow; the tail falls with k, so halve.
pub(super) fn fewest_by_halves(n: u32, hits: u32, share: f64, alpha: f64) -> Option<u32> {
    if tail(n, hits, share) > alpha {
        return None;
    }
    let (mut low, mut high) = (1, hits);
    while low < high {
        let middle = low.midpoint(high);
        if tail(n, middle, share) <= alpha { high = middle } else { low = middle + 1 }
    }
    Some(low)
}

/// An upper bound of P(X ≥ k) for X binomial(n, p): the term at k, and a geometric series above it.
///
/// Only multiplication, division and comparison, so it is the same to the last bit on every machine.
#[must_use]
pub fn tail(n: u32, k: u32, p: f64) -> f64 {
    if k == 0 || p >= 1.0 {
        return 1.0;
    }
    if k > n {
        return 0.0;
    }
    let (wide, hits, q) = (f64::from(n), f64::from(k), 1.0 - p);
    let ratio = (wide - hits) / (hits + 1.0) * (p / q);
    if ratio >= 1.0 {
        return 1.0;
    }
    // n choose k × p^k × q^(n−k), growing and shrinking factors in turn so that nothing over- or underflows.
    let mut term = 1.0_f64;
    let (mut ups, mut downs) = (0, 0);
    while ups < k || downs < n - k {
        if ups < k && (term < 1.0 || downs == n - k) {
            ups += 1;
            term *= (f64::from(n - k) + f64::from(ups)) / f64::from(ups) * p;
        } else {
            downs += 1;
            term *= q;
        }
    }
    (term / (1.0 - ratio)).min(1.0)
}

#[cfg(test)]
mod tests;
