//! The natural logarithm out of the four basic operations, which give the same bits on every machine; a libm's doesn't.

/// ln(x) of a normal `x` > 0, to 1e-15: the exponent, and a series for what is left of it.
pub(super) fn ln(x: f64) -> f64 {
    /// The bits below the exponent's tell so many mantissas apart.
    const MANTISSAS: u64 = 1 << 52;
    let bits = x.to_bits();
    let exponent = i32::try_from(bits / MANTISSAS).unwrap_or(0) - 1_023;
    let mut mantissa = f64::from_bits(bits % MANTISSAS + 1.0_f64.to_bits());
    let mut exponent = f64::from(exponent);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1.0;
    }
    // ln m = 2 artanh((m - 1) / (m + 1)); the argument is below 0.172, so fourteen terms leave nothing.
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let (square, mut power, mut sum) = (t * t, t, 0.0);
    for term in 0..14 {
        sum += power / f64::from(2 * term + 1);
        power *= square;
    }
    exponent * std::f64::consts::LN_2 + 2.0 * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_library_s_logarithm() {
        let mut x = 1e-18_f64;
        while x < 1e18 {
            let (ours, theirs) = (ln(x), x.ln());
            assert!((ours - theirs).abs() <= 1e-14 * theirs.abs().max(1.0), "{x}: {ours} {theirs}");
            x *= 1.37;
        }
        assert!(ln(1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn it_is_as_near_between_powers_of_two_as_at_them() {
        for x in (1_000..4_000).map(|n| f64::from(n) / 2_000.0) {
            assert!((ln(x) - x.ln()).abs() < 5e-16, "{x}: {} {}", ln(x), x.ln());
        }
    }
}
