//! The figures as `OpenMetrics` text, for whoever scrapes `/metrics`.

use super::figures::{BOUNDS, Figures, Spread, Value};
use super::labels::Labels;
use super::names::{Kind, Label, NAMES, Name};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// What the text is: `OpenMetrics` 1.0.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All figures as text. Takes the lock for the time of the encoding only.
pub(super) fn text(figures: &Arc<Mutex<Figures>>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Catalogue(Arc::clone(figures))));
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = encode(&mut text, &registry);
    text
}

#[derive(Debug)]
struct Catalogue(Arc<Mutex<Figures>>);

impl Collector for Catalogue {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for name in &NAMES {
            let (stem, unit) = stem(name);
            let help = format!("{}.", name.meaning);
            let mut metric = encoder.encode_descriptor(stem, &help, unit.as_ref(), metric_type(name.kind))?;
            for (labels, value) in figures.of(name.metric) {
                series(&mut metric, name, labels, value)?;
            }
        }
        Ok(())
    }
}

/// The name without the suffixes that the encoder adds again, and the unit that is one of them.
fn stem(name: &Name) -> (&'static str, Option<Unit>) {
    let stem = match name.kind {
        Kind::Counter => name.prometheus.trim_end_matches("_total"),
        Kind::Info => name.prometheus.trim_end_matches("_info"),
        Kind::Gauge | Kind::Histogram => name.prometheus,
    };
    match stem.strip_suffix("_seconds") {
        Some(stem) => (stem, Some(Unit::Seconds)),
        None => (stem, None),
    }
}

const fn metric_type(kind: Kind) -> MetricType {
    match kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
        Kind::Info => MetricType::Info,
    }
}

fn series(
    metric: &mut MetricEncoder<'_>,
    name: &Name,
    labels: &Labels,
    value: &Value,
) -> Result<(), fmt::Error> {
    let pairs = pairs(name.labels, labels);
    match value {
        Value::Level(_) if name.kind == Kind::Info => metric.encode_info(&pairs),
        Value::Count(count) => {
            metric.encode_family(&pairs)?.encode_counter::<Pairs<'_>, u64, f64>(count, None)
        }
        Value::Level(level) => metric.encode_family(&pairs)?.encode_gauge(level),
        Value::Spread(spread) => histogram(&mut metric.encode_family(&pairs)?, spread),
    }
}

fn histogram(metric: &mut MetricEncoder<'_>, spread: &Spread) -> Result<(), fmt::Error> {
    let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(spread.counts).collect();
    let count = spread.counts.iter().sum();
    metric.encode_histogram::<Pairs<'_>>(spread.sum, count, &buckets, None)
}

type Pairs<'a> = Vec<(&'static str, &'a str)>;

fn pairs<'a>(names: &[Label], values: &'a Labels) -> Pairs<'a> {
    names.iter().map(|label| label.prometheus).zip(values.values()).collect()
}
