//! What `serin probe` prints.

use crate::engine::{Asked, SurveyOptions, Surveyed, phases};
use crate::model::sample::Phases;
use crate::model::time::Span;
use crate::settings::Target;
use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// The columns of the table.
const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)];
/// The widest bar.
const BAR: u32 = 40;

/// One answer, with a bar for each of its phases where it lies in the whole.
pub(super) fn waterfall(asked: &Asked) -> String {
    let total = Span::of(asked.phases.total());
    let mut text = format!("{} {}\n", asked.method, asked.url);
    let what = match (asked.outcome.reason(), asked.status) {
        (None, status) => status.to_string(),
        (Some(reason), 0) => format!("no answer: {reason}"),
        (Some(reason), status) => format!("{status}, not as expected: {reason}"),
    };
    let version = asked.version.as_ref().map(|version| format!(", version {version}")).unwrap_or_default();
    let from = asked.address.map(|address| format!(", from {address}")).unwrap_or_default();
    let _ = writeln!(text, "  {what}{version}{from}");
    let mut before = 0;
    for (name, span) in Phases::NAMES.iter().zip(asked.phases.all()) {
        if span.0 > 0 {
            let (start, end) =
                (scaled(before, total.0), scaled(before + span.0, total.0).max(scaled(before, total.0) + 1));
            let bar = format!("{}{}", " ".repeat(start), "█".repeat(end.min(BAR as usize + 1) - start));
            let _ =
                writeln!(text, "  {name:<10} ▏{bar:<width$}▕ {:>10}", micros(span), width = BAR as usize + 1);
        }
        before += span.0;
    }
    let _ =
        writeln!(text, "  {:<10}  {:<width$}  {:>10}", "total", "", micros(total), width = BAR as usize + 1);
    text
}

fn scaled(value: u32, total: u32) -> usize {
    usize::try_from(u64::from(value) * u64::from(BAR) / u64::from(total.max(1))).unwrap_or(0)
}

/// The same for programs; times in microseconds.
pub(super) fn asked_json(asked: &Asked) -> Value {
    let spans: Map<String, Value> = Phases::NAMES
        .iter()
        .zip(asked.phases.all())
        .filter(|(_, span)| span.0 > 0)
        .map(|(name, span)| ((*name).to_owned(), json!(f64::from(span.0) / 10.0)))
        .collect();
    json!({
        "url": asked.url,
        "method": asked.method,
        "ok": asked.outcome.reason().is_none(),
        "reason": asked.outcome.reason(),
        "status": (asked.status != 0).then_some(asked.status),
        "version": asked.version,
        "address": asked.address,
        "total_us": f64::from(Span::of(asked.phases.total()).0) / 10.0,
        "phases_us": spans,
    })
}

/// A run in words.
pub(super) fn table(found: &Surveyed, targets: &[Target], options: SurveyOptions) -> String {
    let mut text = String::new();
    let (count, seconds) = (found.attempts, found.lasted.as_secs_f64());
    let pace = options.rate_hz.map_or("as fast as answered".to_owned(), |hertz| format!("{hertz} a second"));
    let urls = if targets.len() == 1 { "URL" } else { "URLs" };
    let _ = writeln!(
        text,
        "{} {urls}, {pace} for {seconds:.1} s: {count} probes, {:.1} a second sent",
        targets.len(),
        attained(found)
    );
    let _ = writeln!(
        text,
        "answers   {}",
        counts(found.statuses.iter().map(|(status, n)| (status.to_string(), *n)))
    );
    if !found.versions.is_empty() {
        let _ = writeln!(
            text,
            "versions  {}",
            counts(found.versions.iter().map(|(name, n)| (name.to_string(), *n)))
        );
    }
    let _ = writeln!(
        text,
        "failures  {}",
        counts(found.failures.iter().map(|(name, n)| ((*name).to_owned(), *n)))
    );
    let _ = writeln!(
        text,
        "ours      {} missed, {} void; not run for {:.1} ms, throttled for {:.1} ms",
        found.missed,
        found.void,
        found.own.stalled.as_secs_f64() * 1e3,
        found.own.throttling.throttled.as_secs_f64() * 1e3,
    );
    let _ = write!(text, "\n{:<12}", "");
    for (name, _) in QUANTILES {
        let _ = write!(text, "{name:>11}");
    }
    let _ = writeln!(text, "{:>11}", "max");
    for (name, histogram) in [
        ("response", &found.response),
        ("service", &found.service),
        ("since due", &found.since_due),
        ("lateness", &found.lateness),
    ] {
        row(&mut text, name, histogram);
    }
    text.push('\n');
    for (name, histogram) in phases(found) {
        row(&mut text, name, histogram);
    }
    text
}

fn row(text: &mut String, name: &str, histogram: &Histogram<u64>) {
    let _ = write!(text, "{name:<12}");
    let values = QUANTILES.iter().map(|(_, q)| histogram.value_at_quantile(*q)).chain([histogram.max()]);
    for value in values {
        let _ = write!(text, "{:>11}", micros(Span(u32::try_from(value).unwrap_or(u32::MAX))));
    }
    text.push('\n');
}

fn counts(all: impl Iterator<Item = (String, u64)>) -> String {
    let all: Vec<String> = all.map(|(name, count)| format!("{name}: {count}")).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(" · ") }
}

/// `18.3 µs`, `4.25 ms`, `1.20 s`.
fn micros(span: Span) -> String {
    let us = f64::from(span.0) / 10.0;
    match us {
        us if us < 1_000.0 => format!("{us:.1} µs"),
        us if us < 1_000_000.0 => format!("{:.2} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

/// Probes a second that were really sent.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn attained(found: &Surveyed) -> f64 {
    (found.attempts - found.missed - found.saturated) as f64 / found.lasted.as_secs_f64().max(1e-9)
}

/// A run for programs; times in microseconds.
pub(super) fn json(found: &Surveyed, targets: &[Target], options: SurveyOptions) -> Value {
    let spans: Map<String, Value> =
        phases(found).map(|(name, histogram)| (name.to_owned(), quantiles(histogram))).collect();
    json!({
        "urls": targets.len(),
        "rate": options.rate_hz,
        "rate_attained": attained(found),
        "seconds": found.lasted.as_secs_f64(),
        "connections": options.connections,
        "quantum_us": options.quantum.as_secs_f64() * 1e6,
        "attempts": found.attempts,
        "missed": found.missed,
        "saturated": found.saturated,
        "void": found.void,
        "failures": found.failures,
        "statuses": found.statuses,
        "versions": found.versions,
        "response_us": quantiles(&found.response),
        "service_us": quantiles(&found.service),
        "since_due_us": quantiles(&found.since_due),
        "lateness_us": quantiles(&found.lateness),
        "phases_us": spans,
        "stalled_ms": found.own.stalled.as_secs_f64() * 1e3,
        "throttled_ms": found.own.throttling.throttled.as_secs_f64() * 1e3,
        "begun_monotonic_ns": found.begun.0,
    })
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn quantiles(histogram: &Histogram<u64>) -> Value {
    let us = |value: u64| json!(value as f64 / 10.0);
    let mut all: Map<String, Value> =
        QUANTILES.iter().map(|(name, q)| ((*name).to_owned(), us(histogram.value_at_quantile(*q)))).collect();
    all.insert("max".into(), us(histogram.max()));
    all.insert("count".into(), json!(histogram.len()));
    all.into()
}
