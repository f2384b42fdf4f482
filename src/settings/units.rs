//! Quantities as people write them. A bare number is refused wherever its unit would have to be guessed.

use super::Fault;
use std::time::Duration;

/// `250ms`, `5s`, `15m`, `1h 30m`, `0s`.
pub(super) fn duration(text: &str) -> Result<Duration, Fault> {
    let remedy = "write a number with its unit: \"250ms\", \"5s\", \"15m\" or \"1h\"";
    // humantime takes "0"; a bare number is refused here even when it is nothing.
    if !text.contains(|letter: char| letter.is_ascii_alphabetic()) {
        return Err(Fault::new("a duration without a unit could be seconds or milliseconds", remedy));
    }
    humantime::parse_duration(text).map_err(|error| Fault::new(format!("not a duration ({error})"), remedy))
}

/// `64KiB`, `1MiB`, `2GiB`, `512B`, in bytes.
pub(super) fn size(text: &str) -> Result<u64, Fault> {
    let fault = || {
        Fault::new(
            "not a size",
            "write a whole number with its unit: \"512B\", \"64KiB\", \"1MiB\" or \"2GiB\"",
        )
    };
    let digits = text.len() - text.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim_start() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" | "kB" | "MB" | "GB" => {
            return Err(Fault::new(
                "a unit that means 1000 to some and 1024 to others",
                "write KiB, MiB or GiB",
            ));
        }
        _ => return Err(fault()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(fault)
}

/// `99.9%`, in millionths of a percent, so that `100% − 99.9%` is 0.1 % and not nearly so. At most six decimals.
pub(super) fn percentage(text: &str) -> Result<u64, Fault> {
    let remedy = "write it in percent, \"99.9%\", with at most six decimals";
    let Some(number) = text.trim_end().strip_suffix('%') else {
        return Err(Fault::new("a share without % could be 0.1 % or 10 %", remedy));
    };
    decimal(number.trim_end(), 6).ok_or_else(|| Fault::new("not a percentage", remedy))
}

/// A percentage of [`percentage`] as a share: 1.0 is all.
#[expect(clippy::cast_precision_loss, reason = "at most 10^11, far below 2^53")]
pub(super) fn share(millionths: u64) -> f64 {
    millionths as f64 / 100_000_000.0
}

/// A percentage of [`percentage`] for people.
#[expect(clippy::cast_precision_loss, reason = "at most 10^11, far below 2^53")]
pub(super) fn show_percentage(millionths: u64) -> String {
    format!("{}%", millionths as f64 / 1_000_000.0)
}

/// `100/s`, `30/m`, `2.5/s`, `10/h`, in hertz.
pub(super) fn rate(text: &str) -> Result<f64, Fault> {
    let remedy = "write a number a time: \"100/s\", \"30/m\" or \"10/h\"";
    let Some((number, unit)) = text.split_once('/') else {
        return Err(Fault::new("a rate without its time could be a second or a minute", remedy));
    };
    let seconds = match unit.trim() {
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(Fault::new("not a rate", remedy)),
    };
    let millionths = decimal(number.trim(), 6).ok_or_else(|| Fault::new("not a rate", remedy))?;
    #[expect(clippy::cast_precision_loss, reason = "a rate is refused far below 2^53 millionths")]
    let hertz = millionths as f64 / 1_000_000.0 / seconds;
    Ok(hertz)
}

/// `1 in 1000000 releases`; `_` and `,` may group the digits.
pub(super) fn chance(text: &str) -> Result<u64, Fault> {
    let fault = || Fault::new("not a chance", "write \"1 in 1000000 releases\"");
    let mut words = text.split_whitespace();
    let shape = [words.next(), words.next()] == [Some("1"), Some("in")];
    let number = words.next().filter(|_| shape).ok_or_else(fault)?;
    if !matches!(words.next(), Some("release" | "releases")) || words.next().is_some() {
        return Err(fault());
    }
    let digits: String = number.chars().filter(|letter| !matches!(letter, '_' | ',')).collect();
    digits.parse().map_err(|_| fault())
}

/// An unsigned decimal number times 10^`places`; `None` when it isn't one, has more decimals or is too large.
fn decimal(text: &str, places: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > places || whole.len() > 12 {
        return None;
    }
    let fraction: u64 = format!("{fraction:0<places$}").parse().ok()?;
    let scale = 10_u64.checked_pow(u32::try_from(places).ok()?)?;
    whole.parse::<u64>().ok()?.checked_mul(scale)?.checked_add(fraction)
}

/// A rate for people: no more decimals than it needs, `33.333/s`; slow ones by the hour, `1/h`.
pub(super) fn show_rate(hertz: f64) -> String {
    let (number, unit) = if hertz < 0.01 { (hertz * 3600.0, "h") } else { (hertz, "s") };
    let text = format!("{number:.3}");
    format!("{}/{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A duration for people.
pub(super) fn show(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_numbers_are_refused() {
        for text in ["0", "5", "0.5", "", "-5s", "5 parsecs"] {
            assert!(duration(text).is_err(), "{text}");
        }
        for text in ["0.001", "99.9", "%", "1e2%", "-1%", "99.9999999%", "1%%"] {
            assert!(percentage(text).is_err(), "{text}");
        }
        for text in ["100", "/s", "100/d", "-1/s", "1e3/s", "inf/s", "NaN/s", "1/s/s"] {
            assert!(rate(text).is_err(), "{text}");
        }
        for text in ["64", "64KB", "KiB", "1.5MiB", "99999999999GiB", "-1B"] {
            assert!(size(text).is_err(), "{text}");
        }
        for text in ["1000000", "2 in 5 releases", "1 in x releases", "1 in 5", "1 in 5 releases more"] {
            assert!(chance(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_objective_of_three_nines_leaves_exactly_a_thousandth() {
        let millionths = 100_000_000 - percentage("99.9%").unwrap();
        assert!((share(millionths) - 0.001).abs() < f64::EPSILON / 1000.0);
    }

    #[test]
    fn units_are_what_they_say() {
        assert_eq!(duration("1h 30m").unwrap(), Duration::from_mins(90));
        assert_eq!(duration("0s").unwrap(), Duration::ZERO);
        assert_eq!(size("64KiB").unwrap(), 65_536);
        assert_eq!(chance("1 in 1_000_000 releases").unwrap(), 1_000_000);
        assert_eq!(show_rate(rate("30/m").unwrap()), "0.5/s");
        assert_eq!(show_rate(100.0 / 3.0), "33.333/s");
        assert_eq!(show_rate(1.0 / 3600.0), "1/h");
    }
}
