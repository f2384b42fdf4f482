//! Prometheus' text format 0.0.4, which the encoder of `OpenMetrics` doesn't write.

use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::{
    LabelPair, Metric, MetricFamily, MetricType,
};
use std::fmt::Write;

/// Every family, as [the format](https://prometheus.io/docs/instrumenting/exposition_formats/) has it.
pub(super) fn of(families: &[MetricFamily]) -> String {
    let mut text = String::new();
    for family in families {
        let (kind, name) = (family.r#type(), &*family.name);
        let help = family.help.replace('\\', r"\\").replace('\n', r"\n");
        let word = kind.as_str_name().to_ascii_lowercase();
        // Writing to a string can't fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {word}");
        for metric in &family.metric {
            let _ = samples(&mut text, name, kind, metric);
        }
    }
    text
}

fn samples(text: &mut String, name: &str, kind: MetricType, metric: &Metric) -> std::fmt::Result {
    let labels = &metric.label;
    if let Some(histogram) = metric.histogram.as_ref().filter(|_| kind == MetricType::Histogram) {
        for bucket in &histogram.bucket {
            let bound = number(bucket.upper_bound);
            line(text, (name, "_bucket"), labels, Some(&bound), &bucket.cumulative_count.to_string())?;
        }
        line(text, (name, "_sum"), labels, None, &number(histogram.sample_sum))?;
        return line(text, (name, "_count"), labels, None, &histogram.sample_count.to_string());
    }
    let counter = metric.counter.as_ref().map(|counter| counter.value);
    let Some(value) = counter.or(metric.gauge.as_ref().map(|gauge| gauge.value)) else { return Ok(()) };
    line(text, (name, ""), labels, None, &number(value))
}

fn line(
    text: &mut String,
    (name, suffix): (&str, &str),
    labels: &[LabelPair],
    bound: Option<&str>,
    value: &str,
) -> std::fmt::Result {
    write!(text, "{name}{suffix}")?;
    let pairs = labels.iter().map(|pair| (&*pair.name, &*pair.value)).chain(bound.map(|bound| ("le", bound)));
    let mut before = '{';
    for (label, value) in pairs {
        let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
        write!(text, "{before}{label}=\"{value}\"")?;
        before = ',';
    }
    let close = if before == '{' { "" } else { "}" };
    writeln!(text, "{close} {value}")
}

/// As Go writes it, who reads it.
fn number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".into(),
        f64::NEG_INFINITY => "-Inf".into(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::{
        Bucket, Counter, Gauge, Histogram,
    };

    fn family(name: &str, kind: MetricType, metric: Metric) -> MetricFamily {
        MetricFamily {
            name: name.into(),
            help: "A \\ and\na line.".into(),
            r#type: kind as i32,
            metric: vec![metric],
            ..MetricFamily::default()
        }
    }

    fn label(name: &str, value: &str) -> LabelPair {
        LabelPair { name: name.into(), value: value.into() }
    }

    #[test]
    fn every_kind_is_written_as_its_readers_know_it() {
        let counter = Metric {
            label: vec![label("a", "x"), label("b", "a \"quote\", a \\ and\na line")],
            counter: Some(Counter { value: 3.0, ..Counter::default() }),
            ..Metric::default()
        };
        let gauge = Metric { gauge: Some(Gauge { value: f64::INFINITY }), ..Metric::default() };
        let bucket =
            |upper_bound, cumulative_count| Bucket { upper_bound, cumulative_count, ..Bucket::default() };
        let histogram = Metric {
            label: vec![label("a", "x")],
            histogram: Some(Histogram {
                sample_count: 5,
                sample_sum: 0.25,
                bucket: vec![bucket(0.000_1, 2), bucket(f64::INFINITY, 5)],
                ..Histogram::default()
            }),
            ..Metric::default()
        };
        let text = of(&[
            family("c_total", MetricType::Counter, counter),
            family("g", MetricType::Gauge, gauge),
            family("h_seconds", MetricType::Histogram, histogram),
        ]);
        let wants = r#"# HELP c_total A \\ and\na line.
# TYPE c_total counter
c_total{a="x",b="a \"quote\", a \\ and\na line"} 3
# HELP g A \\ and\na line.
# TYPE g gauge
g +Inf
# HELP h_seconds A \\ and\na line.
# TYPE h_seconds histogram
h_seconds_bucket{a="x",le="0.0001"} 2
h_seconds_bucket{a="x",le="+Inf"} 5
h_seconds_sum{a="x"} 0.25
h_seconds_count{a="x"} 5
"#;
        assert_eq!(text, wants);
    }
}
