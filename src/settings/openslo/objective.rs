//! One SLO: its window, its indicator, and what each of its objectives promises.

use super::super::objectives::{AVAILABILITY, LIMIT, QUANTILES};
use super::super::units;
use super::document::Part;
use super::{Found, Promise, Unit, WINDOW_MINUTES};
use crate::config::Problem;
use std::collections::BTreeMap;
use std::time::Duration;

/// All, in millionths of a percent.
const ALL: f64 = 100_000_000.0;
const COMPOSITE: [&str; 3] = ["indicator", "indicatorRef", "compositeWeight"];
const SLICES: [&str; 2] = ["timeSliceTarget", "timeSliceWindow"];

/// What an indicator measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    Ratio,
    Threshold,
}

/// Reads the SLO `name`; what it promises and what is wrong with it go to `found`.
pub(super) fn read(name: &str, slo: &Part, slis: &BTreeMap<String, Part>, unit: Unit, found: &mut Found) {
    let Some(spec) = slo.get("spec").filter(Part::is_table) else {
        found.faults.push(slo.lacks("spec", "is missing", "an SLO without it promises nothing"));
        return;
    };
    let keys = [
        "description",
        "service",
        "indicator",
        "indicatorRef",
        "timeWindow",
        "budgetingMethod",
        "objectives",
        "alertPolicies",
    ];
    spec.only(&keys, &mut found.faults);
    if spec.get("alertPolicies").and_then(|list| list.items()).is_some() {
        let name = name.escape_debug();
        found.notes.push(format!("{name}: alertPolicies are left out: Serin's verdicts are its own."));
    }
    counted(&spec, &mut found.faults);
    if let Some(note) = window(&spec, &mut found.faults) {
        found.notes.push(format!("{}: {note}", name.escape_debug()));
    }
    let Some(objectives) = spec.get("objectives").and_then(|list| list.items()) else {
        found.faults.push(spec.lacks(
            "objectives",
            "is no list with an objective in it",
            "add one with a target",
        ));
        return;
    };
    let composite = |objective: &Part| COMPOSITE.iter().find_map(|key| objective.get(key));
    let simple: Vec<&Part> = objectives.iter().filter(|objective| composite(objective).is_none()).collect();
    for own in objectives.iter().filter_map(composite) {
        let rule = "makes the objective a composite one, and Serin judges each promise by itself";
        found.faults.push(own.fault(rule, "write an SLO for each indicator"));
    }
    // Composite objectives bring their own indicators; nothing more is told about those.
    if simple.is_empty() {
        return;
    }
    let Some(measure) = indicator(&spec, slis, &mut found.faults) else { return };
    for objective in simple {
        if let Some(promise) = promise(name, objective, measure, unit, &mut found.faults) {
            found.promises.push(promise);
        }
    }
}

/// Only single answers are counted here.
fn counted(spec: &Part, faults: &mut Vec<Problem>) {
    let remedy = "write budgetingMethod: Occurrences if single answers are what is promised";
    match spec.get("budgetingMethod") {
        None => faults.push(spec.lacks("budgetingMethod", "is missing", remedy)),
        Some(method) if method.text() == Some("Occurrences") => {}
        Some(method) => {
            faults.push(method.fault("is no count of single answers, which is what Serin judges", remedy));
        }
    }
}

/// The time window: a note when it isn't Serin's own.
fn window(spec: &Part, faults: &mut Vec<Problem>) -> Option<String> {
    let list = spec.get("timeWindow")?;
    let items = list.items().unwrap_or_default();
    let [window] = items.as_slice() else {
        faults.push(list.fault("is no list of exactly one window", "write one rolling window of 30d"));
        return None;
    };
    let before = faults.len();
    window.only(&["duration", "isRolling", "calendar"], faults);
    let calendar = window.get("calendar");
    let fixed = window.get("isRolling").filter(|rolling| rolling.flag() != Some(true));
    if let Some(at) = calendar.or(fixed) {
        let rule =
            "is a calendar window, and Serin's error budget is over the last 30 days, whatever the date";
        faults.push(at.fault(rule, "write a rolling one: duration: 30d, isRolling: true"));
    }
    if faults.len() > before {
        return None;
    }
    let duration = window.get("duration");
    let Some((minutes, text)) = duration.as_ref().and_then(|at| Some((minutes(at.text()?)?, at.text()?)))
    else {
        let rule = "is no duration of OpenSLO";
        let remedy = "write a whole number and one of m, h, d, w, M, Q, Y: 30d";
        faults.push(match duration {
            Some(at) => at.fault(rule, remedy),
            None => window.lacks("duration", "is missing", remedy),
        });
        return None;
    };
    (minutes != WINDOW_MINUTES).then(|| {
        format!("its window is {text}; Serin's error budget is over 30 days, and releases are judged by the share alone.")
    })
}

/// A duration of OpenSLO in minutes; 0 for months, quarters and years, whose lengths differ.
fn minutes(text: &str) -> Option<u64> {
    let unit = text.chars().next_back()?;
    let number: u64 = text.strip_suffix(unit)?.parse().ok().filter(|number| *number > 0)?;
    let factor = match unit {
        'm' => 1,
        'h' => 60,
        'd' => 24 * 60,
        'w' => 7 * 24 * 60,
        'M' | 'Q' | 'Y' => 0,
        _ => return None,
    };
    Some(number.saturating_mul(factor))
}

/// What the SLO's indicator measures, be it its own or one that it names.
fn indicator(spec: &Part, slis: &BTreeMap<String, Part>, faults: &mut Vec<Problem>) -> Option<Measure> {
    let sli = match (spec.get("indicator"), spec.get("indicatorRef")) {
        (Some(_), Some(named)) => {
            faults.push(named.fault("stands beside an indicator of the SLO's own", "keep one of them"));
            return None;
        }
        (None, None) => {
            let rule = "is missing, and so is indicatorRef: nothing says what is promised";
            faults.push(spec.lacks("indicator", rule, "add one of them"));
            return None;
        }
        (Some(own), None) => own,
        (None, Some(named)) => {
            let Some(sli) = named.text().and_then(|name| slis.get(name)) else {
                faults.push(named.fault("names an SLI that is in none of the files", "name its file too"));
                return None;
            };
            sli.clone()
        }
    };
    let Some(spec) = sli.get("spec").filter(Part::is_table) else {
        faults.push(sli.lacks(
            "spec",
            "is missing",
            "an indicator has a ratioMetric or a thresholdMetric in it",
        ));
        return None;
    };
    let before = faults.len();
    spec.only(&["description", "ratioMetric", "thresholdMetric"], faults);
    let measure = match (spec.get("ratioMetric"), spec.get("thresholdMetric")) {
        (Some(_), Some(threshold)) => {
            faults.push(threshold.fault("stands beside a ratioMetric", "keep one of them"));
            return None;
        }
        (None, None) => {
            let rule = "is missing, and so is thresholdMetric";
            faults.push(spec.lacks("ratioMetric", rule, "an indicator has one of them"));
            return None;
        }
        (None, Some(_)) => Measure::Threshold,
        (Some(ratio), None) => {
            counts(&ratio, faults);
            Measure::Ratio
        }
    };
    (faults.len() == before).then_some(measure)
}

/// A ratio has to be one of counts.
fn counts(ratio: &Part, faults: &mut Vec<Problem>) {
    ratio.only(&["counter", "good", "bad", "total", "raw", "rawType"], faults);
    if let Some(raw) = ratio.get("raw").or_else(|| ratio.get("rawType")) {
        let rule = "is a ratio that was computed before, and Serin counts answers";
        faults.push(raw.fault(rule, "write good or bad, and total"));
        return;
    }
    let remedy = "write good (or bad) and total";
    match (ratio.get("good"), ratio.get("bad")) {
        (Some(_), Some(bad)) => {
            faults.push(bad.fault("stands beside good, and only one of them counts", remedy));
        }
        (None, None) => faults.push(ratio.lacks("good", "is missing, and so is bad", remedy)),
        _ if ratio.get("total").is_none() => faults.push(ratio.lacks("total", "is missing", remedy)),
        _ => {}
    }
}

/// What one objective promises.
fn promise(
    slo: &str,
    objective: &Part,
    measure: Measure,
    unit: Unit,
    faults: &mut Vec<Problem>,
) -> Option<Promise> {
    let before = faults.len();
    let keys = ["displayName", "op", "value", "target", "targetPercent"];
    objective.only(&[&keys[..], &SLICES].concat(), faults);
    for slice in SLICES.iter().filter_map(|key| objective.get(key)) {
        let rule = "belongs to Timeslices, and Serin judges single answers";
        faults.push(slice.fault(rule, "leave it out if single answers are what is promised"));
    }
    let target = target(objective, faults);
    match measure {
        Measure::Ratio => {
            for other in ["op", "value"].iter().filter_map(|key| objective.get(key)) {
                faults.push(other.fault("means nothing for a ratioMetric", "leave it out"));
            }
            let (good, at) = target.filter(|_| faults.len() == before)?;
            if !AVAILABILITY.contains(&good) {
                let rule = "is outside of what Serin can judge, 1 % to 99.9999 %";
                faults.push(at.fault(rule, "no number of probes proves more in a release"));
                return None;
            }
            let (value, amount) = (units::show_percentage(good), u128::from(good));
            Some(Promise { key: "availability", quantile: 0, value, amount, slo: slo.to_owned(), at })
        }
        Measure::Threshold => {
            let limit = limit(objective, unit, faults);
            let (key, quantile) = target.and_then(|(share, at)| quantile(share, &at, faults))?;
            let (limit, at) = limit.filter(|_| faults.len() == before)?;
            let (value, amount) = (units::show(limit), limit.as_nanos());
            Some(Promise { key, quantile, value, amount, slo: slo.to_owned(), at })
        }
    }
}

/// The share of good events in millionths of a percent, from `target` or `targetPercent`; more than none and less than all.
fn target(objective: &Part, faults: &mut Vec<Problem>) -> Option<(u64, Part)> {
    let (at, all, in_percent) = match (objective.get("target"), objective.get("targetPercent")) {
        (Some(_), Some(percent)) => {
            faults.push(percent.fault("stands beside target", "keep one of them"));
            return None;
        }
        (None, None) => {
            let rule = "is missing, and so is targetPercent";
            faults.push(objective.lacks("target", rule, "write a share, 0.999, or targetPercent: 99.9"));
            return None;
        }
        (Some(at), None) => (at, 1.0, false),
        (None, Some(at)) => (at, 100.0, true),
    };
    let Some(number) = at.number().filter(|number| *number >= 0.0) else {
        faults.push(at.fault("is not a number", "write it bare: target: 0.999"));
        return None;
    };
    let fault = if number > all {
        let rule = if in_percent { "is more than 100 percent" } else { "is more than 1, which is all" };
        Some((rule, if in_percent { "write 99.9 for 99.9 %" } else { "write targetPercent for percents" }))
    } else if number >= all {
        Some(("leaves no bad answer at all, and no number of probes proves that", "99.9999 % is the most"))
    } else if number <= 0.0 {
        Some(("promises nothing", "write the share of good answers, 0.999"))
    } else {
        None
    };
    if let Some((rule, remedy)) = fault {
        faults.push(at.fault(rule, remedy));
        return None;
    }
    let exact = number / all * ALL;
    // A float of 0.9999 is off by far less than this; a seventh decimal of a percent by ten times as much or more.
    if (exact - exact.round()).abs() > 0.01 {
        faults.push(at.fault("has more decimals than six of a percent", "round it"));
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "above 0 and at most 10^8")]
    let share = exact.round() as u64;
    Some((share, at))
}

/// The key of a share in millionths of a percent.
fn quantile(share: u64, at: &Part, faults: &mut Vec<Problem>) -> Option<(&'static str, u32)> {
    let of = |quantile: u32| u64::from(quantile) * 10_000;
    if let Some(known) = QUANTILES.iter().find(|(_, quantile)| of(*quantile) == share) {
        return Some(*known);
    }
    let shown =
        |(name, quantile): &(&str, u32)| format!("{name} ({})", units::show_percentage(of(*quantile)));
    let below = QUANTILES.iter().rev().find(|(_, quantile)| of(*quantile) < share).map(shown);
    let above = QUANTILES.iter().find(|(_, quantile)| of(*quantile) > share).map(shown);
    let near: Vec<String> = below.into_iter().chain(above).collect();
    let rule = format!("Serin has no key for a quantile of {}", units::show_percentage(share));
    let verb = if near.len() == 1 { "nearest is" } else { "nearest are" };
    faults.push(at.fault(rule, format!("the {verb} {}", near.join(" and "))));
    None
}

/// How long an answer may take, with where that stands.
fn limit(objective: &Part, unit: Unit, faults: &mut Vec<Problem>) -> Option<(Duration, Part)> {
    let before = faults.len();
    match objective.get("op") {
        None => {
            faults.push(objective.lacks(
                "op",
                "is missing: nothing says on which side is good",
                "write op: lte",
            ));
        }
        // No time is exactly the limit often enough to tell these apart.
        Some(op) if matches!(op.text(), Some("lte" | "lt")) => {}
        Some(op) if matches!(op.text(), Some("gte" | "gt")) => {
            let rule = "promises more than a value, and a response time is promised to be less";
            faults.push(op.fault(rule, "write op: lte if `value` is a response time"));
        }
        Some(op) => faults.push(op.fault("is no operator of OpenSLO", "write op: lte")),
    }
    let (word, seconds) = match unit {
        Unit::Seconds => ("s", 1.0),
        Unit::Milliseconds => ("ms", 0.001),
    };
    let Some(value) = objective.get("value") else {
        faults.push(objective.lacks(
            "value",
            "is missing: nothing says how long",
            "write it in seconds: value: 0.25",
        ));
        return None;
    };
    let Some(number) = value.number() else {
        faults.push(value.fault("is not a number", "write it bare, in seconds: value: 0.25"));
        return None;
    };
    // Whole nanoseconds: 0.001 × 250 is a little more than a quarter of a second.
    let limit = Duration::try_from_secs_f64((number * seconds * 1e9).round() / 1e9).unwrap_or(Duration::MAX);
    if number < 0.0 || !LIMIT.contains(&limit) {
        let rule = format!("is {number} {word} by --unit {word}, and a promise is 1ms to 1m");
        let remedy = match unit {
            Unit::Seconds => "if it counts milliseconds, say --unit ms",
            Unit::Milliseconds => "if it counts seconds, say --unit s",
        };
        faults.push(value.fault(rule, remedy));
        return None;
    }
    (faults.len() == before).then_some((limit, value))
}
