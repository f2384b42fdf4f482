//! How many answers are too slow when all get slower by a factor, if the times are log-normal.
//!
//! With ln X normal with a standard deviation of σ, the q-quantile is exp(μ + σ z), z = Φ⁻¹(q). All times the factor f, the share beyond a
//! limit T is 1 − Φ((ln(T / quantile) − ln f) / σ + z). Real services have heavier tails than that, and slow down unevenly: what comes
//! out is an example, not a promise.

/// Slowdowns that are worth a forecast.
pub const FACTORS: [f64; 3] = [1.5, 2.0, 5.0];

/// What is assumed of the times before the change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    /// The promised quantile, 0 < q < 1; 0.95 for a P95.
    pub quantile: f64,
    /// Where that quantile is now, as a part of the limit; > 0, and at most 1 while the promise is kept.
    pub part: f64,
    /// The standard deviation of the logarithm of the times, > 0; 0.5 is a usual one.
    pub sigma: f64,
}

impl Times {
    /// The share of answers beyond the limit when every answer takes `factor` times as long, `factor` > 0; in 0.0..=1.0.
    #[must_use]
    pub fn slow(&self, factor: f64) -> f64 {
        let steps = -(self.part * factor).ln() / self.sigma + deviations(self.quantile);
        beyond(steps)
    }
}

/// 1 − Φ(x), to 1e-12 or so: the series of Φ near zero, and the continued fraction of the tail (Abramowitz and Stegun 26.2.11, 26.2.14).
fn beyond(x: f64) -> f64 {
    let density = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if x < 0.0 {
        return 1.0 - beyond(-x);
    }
    if x < 3.0 {
        let (mut term, mut sum) = (x, x);
        for odd in 1..80 {
            term *= x * x / f64::from(2 * odd + 1);
            sum += term;
        }
        return 0.5 - density * sum;
    }
    density / (1..=60).rev().fold(x, |below, n| x + f64::from(n) / below)
}

/// Φ⁻¹(q), 0 < q < 1, by halves: it is asked once a promise.
fn deviations(q: f64) -> f64 {
    let (mut low, mut high) = (-38.0_f64, 38.0_f64);
    for _ in 0..80 {
        let middle = low.midpoint(high);
        if beyond(middle) > 1.0 - q { low = middle } else { high = middle }
    }
    low.midpoint(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_tail_is_the_tabled_one() {
        for (x, tail) in [
            (0.0, 0.5),
            (1.0, 0.158_655_253_931_457),
            (1.644_853_626_951_472, 0.05),
            (2.999, 0.001_354_336_533_727),
            (3.0, 0.001_349_898_031_630),
            (6.0, 9.865_876_450_377e-10),
            (-2.0, 0.977_249_868_051_821),
        ] {
            assert!((beyond(x) / tail - 1.0).abs() < 1e-6, "{x}: {} {tail}", beyond(x));
        }
        assert!((deviations(0.95) - 1.644_853_626_951_472).abs() < 1e-9);
    }

    #[test]
    fn a_quantile_at_its_limit_leaves_what_is_above_it() {
        let times = Times { quantile: 0.95, part: 1.0, sigma: 0.5 };
        assert!((times.slow(1.0) - 0.05).abs() < 1e-9);
        // ln 2 / 0.5 = 1.386 deviations further: 1 − Φ(0.2586).
        assert!((times.slow(2.0) - 0.397_98).abs() < 1e-4, "{}", times.slow(2.0));
        let half = Times { part: 0.5, ..times };
        assert!((half.slow(2.0) - 0.05).abs() < 1e-9);
        assert!(half.slow(1.0) < 0.002 && half.slow(5.0) > half.slow(2.0));
    }
}
