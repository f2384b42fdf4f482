//! The `threshold` policy: how many of `n` would an unharmed service show by luck? The binomial tail says. One connected run
//! of bad answers that is shorter than a blip counts for at most a quarter of what is needed.

use super::Event;
use std::time::Duration;

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
/// each from the one before.
pub(super) fn fewest(n: u32, hits: u32, share: f64, alpha: f64) -> Option<u32> {
    let mut term = power(1.0 - share, n);
    if term < 1e-280 {
        return fewest_by_halves(n, hits, share, alpha);
    }
    let odds = share / (1.0 - share);
    for k in 0..=hits.min(n) {
        let ratio = f64::from(n - k) / f64::from(k + 1) * odds;
        if k > 0 && ratio < 1.0 && term / (1.0 - ratio) <= alpha {
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
        if term < 1e-280 && ups == k {
            return term;
        }
    }
    (term / (1.0 - ratio)).min(1.0)
}
