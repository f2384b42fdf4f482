//! The natural logarithm out of the four basic operations, which give the same bits on every machine; a libm's doesn't.

/// ln(x) of a normal `x` > 0, to 1e-15: the exponent, and a series for what is left of it.
pub(super) fn ln(x: f64) -> f64 {
    const EXPONENT: u64 = 0x7ff;
    let bits = x.to_bits();
    let exponent = i32::try_from(bits >> 52 & EXPONENT).unwrap_or(0) - 1_023;
    let mut mantissa = f64::from_bits(bits & !(EXPONENT << 52) | 1_023 << 52);
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
}
