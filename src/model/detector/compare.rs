//! Two paths side by side: whether the one is so much better than the other that it can hardly be luck.

use super::logarithm::ln;

/// Half of ln 2π.
const HALF_LN_TAU: f64 = 0.918_938_533_204_672_7;

/// The natural logarithm of the chance that of two paths which are equally bad, the one with `n` answers shows at most `bad`
/// bad ones while the other shows `other_bad` of `other_n`: Fisher's exact test, from above, and at most a few times off. Zero when it isn't the better one.
#[must_use]
pub fn ln_better_by_luck((n, bad): (u32, u32), (other_n, other_bad): (u32, u32)) -> f64 {
    let (all, all_bad) = (n + other_n, bad + other_bad);
    // Below its mean the distribution grows, so the last term is the largest.
    if u64::from(bad) * u64::from(all) >= u64::from(n) * u64::from(all_bad) {
        return 0.0;
    }
    let least = all_bad.saturating_sub(other_n);
    let term = ln_choose(n, bad) + ln_choose(other_n, other_bad) - ln_choose(all, all_bad);
    (ln(f64::from(bad - least + 1)) + term).min(0.0)
}

fn ln_choose(n: u32, k: u32) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

fn ln_factorial(n: u32) -> f64 {
    if n < 16 {
        return (2..=n).map(|k| ln(f64::from(k))).sum();
    }
    let n = f64::from(n);
    // Stirling's series; what is left out is less than 1e-7.
    n * ln(n) - n + 0.5 * ln(n) + HALF_LN_TAU + 1.0 / (12.0 * n) - 1.0 / (360.0 * n * n * n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factorials_are_what_they_are() {
        assert!((ln_factorial(15) - 27.899_271_383_840_89).abs() < 1e-9);
        assert!((ln_factorial(20) - 42.335_616_460_753_485).abs() < 1e-7);
        assert!((ln_factorial(1_000) - 5_912.128_178_488_163).abs() < 1e-6);
    }

    #[test]
    fn a_path_is_better_when_equal_ones_hardly_ever_look_so() {
        // 30 of 30 bad beside 6 good: one of C(36, 6) ways.
        assert!((ln_better_by_luck((6, 0), (30, 30)) + 1_947_792.0_f64.ln()).abs() < 1e-6);
        // 7 of 34 bad beside none of 34: luck of six in a thousand.
        let luck = ln_better_by_luck((34, 0), (34, 7)).exp();
        assert!((0.004..0.008).contains(&luck), "{luck}");
        // As bad, worse, and nothing at all.
        for (one, other) in [((20, 4), (100, 20)), ((20, 9), (100, 20)), ((0, 0), (9, 9)), ((9, 0), (0, 0))] {
            assert!(ln_better_by_luck(one, other).abs() < 1e-9, "{one:?} {other:?}");
        }
        assert!(ln_better_by_luck((20, 1), (100, 100)) < -40.0);
    }

    /// `n` over `k`.
    fn choose(n: u32, k: u32) -> f64 {
        (0..k).map(|i| f64::from(n - i) / f64::from(i + 1)).product()
    }

    #[test]
    fn luck_is_what_counting_every_way_finds_and_no_less() {
        for (n, other_n) in (1..=9).flat_map(|n| (1..=9).map(move |other| (n, other))) {
            for (bad, other_bad) in (0..=n).flat_map(|bad| (0..=other_n).map(move |other| (bad, other))) {
                let (all_bad, found) = (bad + other_bad, ln_better_by_luck((n, bad), (other_n, other_bad)));
                let case = format!("{bad} of {n}, {other_bad} of {other_n}: {found}");
                if f64::from(bad) / f64::from(n) >= f64::from(other_bad) / f64::from(other_n) - 1e-9 {
                    assert!(found.abs() < 1e-9, "not the better one: {case}");
                    continue;
                }
                let least = all_bad.saturating_sub(other_n);
                let ways =
                    |k: u32| choose(n, k) * choose(other_n, all_bad - k) / choose(n + other_n, all_bad);
                let exact: f64 = (least..=bad).map(ways).sum();
                let most = (f64::from(bad - least + 1) * ways(bad)).min(1.0);
                assert!(found >= exact.ln() - 1e-6 && found <= most.ln() + 1e-6, "{case}, {}", exact.ln());
            }
        }
    }
}
