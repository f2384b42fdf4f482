//! Has it changed? The `threshold` policy: too many bad answers in the window to be luck, for longer than a blip.
//!
//! A promise is a share of bad answers, `p0`, that is allowed. How many of `n` would an unharmed service
//! show by luck? The binomial tail says, and the threshold is set where a good release crosses it once in
//! so many releases (`wrong_reverts`), with every sample of the judged time counted as one look (union
//! bound). Chance alone is a poor model of networks, where errors come in bursts; hence `tolerate_blip`: one
//! connected run of bad answers that is shorter never suffices, however bad; it counts for at most a
//! quarter of what is needed, so that several together (flapping) still do.

use crate::time::Mono;
use crate::verdict::{Evidence, Stream};
use crate::window::{Entry, Window};
use std::time::Duration;

/// One promise turned into a test.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// Which events are bad.
    pub stream: Stream,
    /// The promised share of bad events, 0.0 < p < 1.0.
    pub share_max: f64,
    /// The chance that one look goes wrong.
    pub alpha: f64,
    /// No breach with fewer samples.
    pub samples_min: u32,
    /// No breach with a smaller share than this.
    pub share_min: f64,
    /// See the module.
    pub tolerate_blip: Duration,
    /// For the sentence: one wrong revert in so many releases.
    pub luck_one_in: u64,
}

/// What a look at the window says.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// Too few samples to say anything.
    TooFew,
    /// Nothing that the promise doesn't allow.
    Kept,
    /// More bad answers than luck easily explains, fewer than it takes to act.
    Suspect,
    /// Broken.
    Breach(Evidence),
}

impl Threshold {
    /// Looks at the window against `share_max`, or against `at_least` if that is larger
    /// (what was normal before the release).
    #[must_use]
    pub fn look(&self, window: &Window, at_least: f64) -> Look {
        let n = window.count();
        if n < self.samples_min.max(1) {
            return Look::TooFew;
        }
        let share = self.share_max.max(at_least);
        let hits = match self.stream {
            Stream::Errors => window.bad(),
            Stream::Latency => window.slow(),
        };
        if tail(n, hits, share) > 1e-3 {
            return Look::Kept;
        }
        let Some(needed) = fewest(n, hits, share, self.alpha) else {
            return Look::Suspect;
        };
        let stretch = Stretch::of(window, self.stream, self.tolerate_blip, needed);
        let rate = f64::from(hits) / f64::from(n);
        if stretch.counted < needed || rate < self.share_min {
            return Look::Suspect;
        }
        Look::Breach(self.evidence(window, &stretch))
    }

    fn evidence(&self, window: &Window, stretch: &Stretch) -> Evidence {
        let is_bad = |entry: &&Entry| self.stream.is_bad(entry);
        let since = || window.entries().filter(|entry| entry.due >= stretch.first);
        // A probe that found no slot used no connection: it is bad by those that hang on theirs.
        let ways = || since().filter(|entry| is_bad(entry) || entry.hangs()).filter(|entry| entry.conn != 0);
        Evidence {
            stream: self.stream,
            answers: u32::try_from(since().count()).unwrap_or(u32::MAX),
            bad: u32::try_from(since().filter(is_bad).count()).unwrap_or(u32::MAX),
            span_ms: u64::try_from(stretch.last.since(stretch.first).as_millis()).unwrap_or(u64::MAX),
            share_max: self.share_max,
            luck_one_in: self.luck_one_in,
            first_bad: stretch.first,
            last_bad: stretch.last,
            connections: distinct(ways().map(|entry| entry.conn)),
            addresses: distinct(ways().map(|entry| u32::from(entry.addr))),
            targets: distinct(since().filter(is_bad).map(|entry| u32::from(entry.target.0))),
            window_answers: window.count(),
            window_p95: window.quantile(0.95),
            total: false,
        }
    }
}

/// The bad samples of a window as runs; a run is connected while its gaps are no longer than a blip.
struct Stretch {
    first: Mono,
    last: Mono,
    /// How many bad samples count, after short runs were cut to a quarter of `needed`.
    counted: u32,
}

impl Stretch {
    fn of(window: &Window, stream: Stream, blip: Duration, needed: u32) -> Self {
        // In the order in which they were done, which is nearly the order in which they were due.
        let mut due: Vec<Mono> = Vec::new();
        for entry in window.entries().filter(|entry| stream.is_bad(entry)) {
            let later = due.iter().rev().take_while(|known| **known > entry.due).count();
            due.insert(due.len() - later, entry.due);
        }
        let cap = (needed / 4).max(1);
        let mut counted = 0;
        let mut from = 0;
        for index in 0..due.len() {
            let ends = due.get(index + 1).is_none_or(|next| next.since(due[index]) > blip);
            if ends {
                let run = u32::try_from(index + 1 - from).unwrap_or(u32::MAX);
                let long = due[index].since(due[from]) >= blip;
                counted += if long { run } else { run.min(cap) };
                from = index + 1;
            }
        }
        let (first, last) =
            (due.first().copied().unwrap_or_default(), due.last().copied().unwrap_or_default());
        Self { first, last, counted }
    }
}

/// The smallest count up to `hits` that luck explains with at most `alpha`: the terms of [`tail`] from zero on,
/// each from the one before.
fn fewest(n: u32, hits: u32, share: f64, alpha: f64) -> Option<u32> {
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
fn fewest_by_halves(n: u32, hits: u32, share: f64, alpha: f64) -> Option<u32> {
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

/// There are few different ones among many: a short sorted list, and no allocation a value.
fn distinct(values: impl Iterator<Item = u32>) -> u32 {
    let mut known: Vec<u32> = Vec::new();
    for value in values {
        if let Err(place) = known.binary_search(&value) {
            known.insert(place, value);
        }
    }
    u32::try_from(known.len()).unwrap_or(u32::MAX)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{TargetId, VersionId};
    use crate::time::Span;

    fn threshold(blip_ms: u64) -> Threshold {
        Threshold {
            stream: Stream::Errors,
            share_max: 0.001,
            alpha: 1e-11,
            samples_min: 20,
            share_min: 0.0,
            tolerate_blip: Duration::from_millis(blip_ms),
            luck_one_in: 1_000_000,
        }
    }

    /// Probes every 10 ms; `bad` says which are.
    fn window(count: u64, bad: impl Fn(u64) -> bool) -> Window {
        let mut window = Window::new(Duration::from_mins(1));
        for i in 0..count {
            let due = Mono(i * 10_000_000);
            let entry = Entry {
                due,
                response: Span(10_000),
                bad: bad(i),
                slow: false,
                answered: true,
                conn: u32::try_from(1 + i % 4).unwrap(),
                addr: 0,
                target: TargetId(0),
                version: VersionId::NONE,
            };
            window.insert(due, entry);
        }
        window
    }

    #[test]
    fn the_tail_is_an_upper_bound_and_a_tight_one() {
        // Exact values by summation in rational arithmetic.
        for (n, k, p, exact) in [
            (10, 3, 0.1, 0.070_190_826_4),
            (20, 20, 0.5, 9.536_743_164_062_5e-7),
            (100, 5, 0.01, 0.003_432_353_7),
            (1_000, 10, 0.001, 1.069_0e-7),
        ] {
            let bound = tail(n, k, p);
            assert!(bound >= exact * 0.999_9, "{n} {k} {p}: {bound} < {exact}");
            assert!(bound <= exact * 1.25, "{n} {k} {p}: {bound} > {exact}");
        }
        assert!(tail(16_384, 16_384, 0.05) < 1e-200);
        assert!((tail(100, 0, 0.5) - 1.0).abs() < f64::EPSILON);
        assert!(tail(16_384, 1_200, 0.05) > 0.0);
    }

    #[test]
    fn both_ways_to_the_fewest_agree() {
        for (n, share) in [(20, 0.001), (100, 0.05), (1_000, 0.001), (1_000, 0.05), (4_000, 0.05)] {
            for alpha in [1e-3, 1e-9, 1e-11] {
                let halves = fewest_by_halves(n, n, share, alpha);
                assert_eq!(fewest(n, n, share, alpha), halves, "{n} {share} {alpha}");
                let none = halves.map(|k| k - 1);
                assert_eq!(none.and_then(|hits| fewest(n, hits, share, alpha)), None);
            }
        }
        assert!(fewest(16_384, 16_384, 0.05, 1e-11).is_some());
    }

    #[test]
    fn too_few_samples_prove_nothing() {
        assert_eq!(threshold(0).look(&window(19, |_| true), 0.0), Look::TooFew);
        assert!(matches!(threshold(0).look(&window(20, |_| true), 0.0), Look::Breach(_)));
    }

    #[test]
    fn a_run_shorter_than_the_blip_never_breaches_and_one_as_long_does() {
        assert_eq!(threshold(250).look(&window(1_000, |i| (500..525).contains(&i)), 0.0), Look::Suspect);
        let Look::Breach(evidence) = threshold(250).look(&window(1_000, |i| (500..526).contains(&i)), 0.0)
        else {
            panic!("a run of 250 ms is no blip");
        };
        assert_eq!((evidence.bad, evidence.span_ms, evidence.connections), (26, 250, 4));
        assert_eq!(evidence.first_bad, Mono(5_000_000_000));
    }

    #[test]
    fn a_blip_and_a_stray_error_do_not_add_up_to_a_breach() {
        let look = threshold(250).look(&window(1_000, |i| i == 100 || (500..520).contains(&i)), 0.0);
        assert_eq!(look, Look::Suspect);
    }

    #[test]
    fn short_runs_that_come_again_and_again_do() {
        let flapping = window(1_000, |i| i % 100 < 20);
        assert!(matches!(threshold(250).look(&flapping, 0.0), Look::Breach(_)));
    }

    #[test]
    fn what_was_normal_before_is_no_breach() {
        let partial = window(1_000, |i| i % 20 == 0);
        assert!(matches!(threshold(250).look(&partial, 0.0), Look::Breach(_)));
        assert_eq!(threshold(250).look(&partial, 0.05), Look::Kept);
    }

    #[test]
    fn a_floor_for_the_rate_is_kept() {
        let partial = window(1_000, |i| i % 20 == 0);
        let floored = Threshold { share_min: 0.06, ..threshold(250) };
        assert_eq!(floored.look(&partial, 0.0), Look::Suspect);
    }

    #[test]
    fn an_allowed_error_is_no_suspicion() {
        assert_eq!(threshold(250).look(&window(1_000, |i| i == 7), 0.0), Look::Kept);
    }
}
