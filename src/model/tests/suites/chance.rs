//! Chance from a seed, cheap enough for billions of draws, and latencies by their quantiles.

use serin_model::time::Span;
use std::f64::consts::TAU;
use std::sync::LazyLock;

/// xoshiro256++ (Blackman and Vigna), seeded by splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Chance([u64; 4]);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        let mut state = seed;
        Self([(); 4].map(|()| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }))
    }

    fn next(&mut self) -> u64 {
        let [a, b, c, d] = self.0;
        let (mixed_c, mixed_d) = (c ^ a, d ^ b);
        self.0 = [a ^ mixed_d, b ^ mixed_c, mixed_c ^ (b << 17), mixed_d.rotate_left(45)];
        a.wrapping_add(d).rotate_left(23).wrapping_add(a)
    }

    fn high(&mut self) -> u32 {
        u32::try_from(self.next() >> 32).expect("32 bits")
    }

    /// Evenly in 0.0..1.0.
    pub(crate) fn unit(&mut self) -> f64 {
        f64::from(self.high()) / 4_294_967_296.0
    }

    pub(crate) fn hits(&mut self, share: f64) -> bool {
        share > 0.0 && self.unit() < share
    }

    /// Evenly in 0..n.
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        u32::try_from((u64::from(self.high()) * u64::from(n)) >> 32).expect("less than n")
    }

    /// Evenly from `low` to `high`.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Evenly in the logarithm, from `low` to `high`.
    pub(crate) fn log_between(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    /// The time to the next of events that come by chance, `mean` apart.
    pub(crate) fn wait(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }
}

/// So many quantiles of a shape are kept.
const QUANTILES: usize = 4_096;

/// How latencies are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    LogNormal,
    Bimodal,
    HeavyTail,
}

impl Shape {
    pub(crate) const ALL: [Self; 3] = [Self::LogNormal, Self::Bimodal, Self::HeavyTail];

    fn table(self) -> &'static [f64] {
        static TABLES: LazyLock<[Vec<f64>; 3]> = LazyLock::new(|| {
            [
                quantiles(|u| (0.5 * normal(u)).exp()),
                quantiles(bimodal),
                quantiles(|u| (1.0 - u).powf(-1.0 / 1.5)),
            ]
        });
        match self {
            Self::LogNormal => &TABLES[0],
            Self::Bimodal => &TABLES[1],
            Self::HeavyTail => &TABLES[2],
        }
    }
}

/// One answer in five takes another way, four times as long.
fn bimodal(u: f64) -> f64 {
    if u < 0.8 { (0.15 * normal(u / 0.8)).exp() } else { 4.0 * (0.15 * normal((u - 0.8) / 0.2)).exp() }
}

fn quantiles(of: impl Fn(f64) -> f64) -> Vec<f64> {
    let count = u32::try_from(QUANTILES).expect("few");
    let mut values: Vec<f64> = (0..count).map(|k| of((f64::from(k) + 0.5) / f64::from(count))).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The normal distribution's quantile (Odeh and Evans 1974, 4e-4 off at most), away from 0 and 1.
fn normal(u: f64) -> f64 {
    let tail = u.min(1.0 - u).max(1e-12);
    let t = (-2.0 * tail.ln()).sqrt();
    let z = t
        - (2.515_517 + t * (0.802_853 + t * 0.010_328))
            / (1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308)));
    if u < 0.5 { -z } else { z }
}

/// The latencies of one service: a shape, and how much of it is above the objective.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    table: &'static [f64],
    scale_ms: f64,
    most_ms: f64,
}

impl Latency {
    /// A share of `slow` is above `limit_ms`, and nothing above `most_ms`.
    pub(crate) fn new(shape: Shape, limit_ms: f64, slow: f64, most_ms: f64) -> Self {
        let table = shape.table();
        let count = f64::from(u32::try_from(QUANTILES).expect("few"));
        let above = index(slow * count).min(QUANTILES - 1);
        Self { table, scale_ms: limit_ms / table[QUANTILES - 1 - above], most_ms }
    }

    /// One answer's time, everything `factor` times as long.
    pub(crate) fn draw(&self, chance: &mut Chance, factor: f64) -> Span {
        let index = usize::try_from(chance.high() >> 20).expect("12 bits");
        span((self.table[index] * self.scale_ms * factor).min(self.most_ms))
    }
}

/// A wave over the release: a day's, with the release somewhere on it.
pub(crate) fn wave(seconds: f64, period: f64, phase: f64) -> f64 {
    0.5 + 0.5 * (TAU * (seconds / period + phase)).sin()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a small count")]
fn index(value: f64) -> usize {
    value as usize
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and is never negative"
)]
pub(crate) fn span(ms: f64) -> Span {
    Span((ms * 10_000.0) as u32)
}
