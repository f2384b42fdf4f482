//! A Lambda alias as a governed rule: its versions are the groups, and its weights are the release.
//!
//! AWS gives the weight of the additional version as a fraction, and the main one gets what is left. Here both are counts of
//! [`WHOLE`], so that two states are equal or not, without a tolerance.

use std::fmt::Write;

/// All the requests of an alias: a fraction is kept to nine digits, and fits into a weight.
pub const WHOLE: i32 = 1_000_000_000;

/// The weight that stands for this fraction of the requests, 0.0 to 1.0; `None` where it is none.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "within 0 and WHOLE")]
pub fn weight(fraction: f64) -> Option<i32> {
    (0.0..=1.0).contains(&fraction).then(|| (fraction * f64::from(WHOLE)).round() as i32)
}

/// The fraction that a weight stands for: the double next to its decimal digits, so 0.1 for a tenth.
#[must_use]
pub fn fraction(weight: i32) -> f64 {
    f64::from(weight) / f64::from(WHOLE)
}

/// `checkout:7` of `arn:aws:lambda:eu-west-1:123456789012:function:checkout:7`, and the same of an alias.
#[must_use]
pub fn name(arn: &str) -> Option<&str> {
    let (head, name) = arn.split_once(":function:")?;
    (head.starts_with("arn:") && head.contains(":lambda:") && name.contains(':')).then_some(name)
}

/// `checkout:7 90 %, :8 10 %`; `None` where these are no versions of functions.
#[must_use]
pub fn label(weights: &[(&str, i32)]) -> Option<String> {
    let mut text = String::new();
    let mut last = "";
    for (arn, weight) in weights {
        let (function, version) = name(arn)?.split_once(':')?;
        if !text.is_empty() {
            text.push_str(", ");
        }
        if function != last {
            text.push_str(function);
        }
        last = function;
        // Writing to a string can't fail.
        let _ = write!(text, ":{version} {} %", percent(*weight));
    }
    Some(text)
}

/// 12500000 as `1.25`.
fn percent(weight: i32) -> String {
    let text = format!("{:.7}", f64::from(weight) / f64::from(WHOLE) * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_goes_there_and_back() {
        for (fraction_, weight_) in
            [(0.0, 0), (0.1, 100_000_000), (0.05, 50_000_000), (0.001, 1_000_000), (1.0, WHOLE)]
        {
            assert_eq!(weight(fraction_), Some(weight_));
            assert!((fraction(weight_) - fraction_).abs() < f64::EPSILON / 4.0, "{fraction_}");
        }
        let third = weight(1.0 / 3.0).unwrap();
        assert_eq!((third, weight(fraction(third))), (333_333_333, Some(third)));
        assert_eq!(fraction(WHOLE - 100_000_000).to_string(), "0.9");
        for none in [-0.1, 1.000_001, f64::NAN, f64::INFINITY] {
            assert_eq!(weight(none), None, "{none}");
        }
    }

    #[test]
    fn versions_are_called_by_function_and_number() {
        let arn =
            |version: &str| format!("arn:aws:lambda:eu-west-1:123456789012:function:checkout:{version}");
        assert_eq!(name(&arn("7")), Some("checkout:7"));
        for none in [
            "arn:aws:lambda:eu-west-1:123456789012:function:checkout",
            "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/blue/01",
            "checkout:7",
        ] {
            assert_eq!(name(none), None, "{none}");
        }
        let (seven, eight) = (arn("7"), arn("8"));
        let shown = label(&[(&seven, 900_000_000), (&eight, 100_000_000)]);
        assert_eq!(shown.as_deref(), Some("checkout:7 90 %, :8 10 %"));
        let shown = label(&[(&seven, 987_500_000), (&eight, 12_500_000)]);
        assert_eq!(shown.as_deref(), Some("checkout:7 98.75 %, :8 1.25 %"));
        assert_eq!(label(&[("blue", 90), (&eight, 10)]), None);
    }
}
