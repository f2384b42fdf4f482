//! The figures for whoever scrapes `/metrics`, in the format that was asked for.

mod exemplars;
mod format;
mod text;

pub use format::Format;

use super::aliases::Said;
use super::figures::{BOUNDS, Figures, NATIVE_SCHEMA, Spread, Value};
use super::labels::Labels;
use super::names::{Kind, Label, NAMES, Name};
use exemplars::Exemplars;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, MetricEncoder, NativeHistogram, NativeHistogramBuckets, prometheus_protobuf,
    text as openmetrics,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use prost::Message;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// What lies this close to zero is zero: 2^-128, as Prometheus' own clients have it.
const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;

/// All figures in `format`. Takes the lock for the time of the encoding only.
pub(super) fn exposition(figures: &Arc<Mutex<Figures>>, format: Format) -> Vec<u8> {
    let mut registry = Registry::default();
    let exemplars = Exemplars::default();
    registry.register_collector(Box::new(Catalogue(Arc::clone(figures), exemplars.clone())));
    // Writing to memory can't fail.
    match format {
        Format::OpenMetrics => {
            let mut text = String::new();
            let _ = openmetrics::encode(&mut text, &registry);
            exemplars.into_openmetrics(&text).into_bytes()
        }
        Format::Text => text::of(&prometheus_protobuf::encode(&registry).unwrap_or_default()).into_bytes(),
        Format::Protobuf => {
            let mut families = prometheus_protobuf::encode(&registry).unwrap_or_default();
            exemplars.into_families(&mut families);
            families.iter().flat_map(Message::encode_length_delimited_to_vec).collect()
        }
    }
}

#[derive(Debug)]
struct Catalogue(Arc<Mutex<Figures>>, Exemplars);

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
            if name.metric == exemplars::OF {
                self.1.gather(figures.of(name.metric).values());
            }
        }
        for name in figures.aliases().names() {
            let (stem, unit) = without_seconds(name.prometheus);
            let help = format!("{}.", name.meaning);
            let mut metric = encoder.encode_descriptor(stem, &help, unit.as_ref(), MetricType::Gauge)?;
            for point in figures.aliases().points(name) {
                let pairs: Vec<(&str, String)> =
                    point.labels.iter().map(|(label, said)| (label.prometheus, text_of(*said))).collect();
                metric.encode_family(&pairs)?.encode_gauge(&point.value)?;
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
    without_seconds(stem)
}

fn without_seconds(name: &'static str) -> (&'static str, Option<Unit>) {
    match name.strip_suffix("_seconds") {
        Some(stem) => (stem, Some(Unit::Seconds)),
        None => (name, None),
    }
}

fn text_of(said: Said<'_>) -> String {
    match said {
        Said::Text(text) => text.to_owned(),
        Said::Code(code) => code.to_string(),
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

/// Classic buckets in every format, native ones where the format has them.
fn histogram(metric: &mut MetricEncoder<'_>, spread: &Spread) -> Result<(), fmt::Error> {
    let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(spread.counts).collect();
    let count = spread.counts.iter().sum();
    let (spans, deltas) = runs(&spread.native);
    let native = NativeHistogram {
        schema: NATIVE_SCHEMA,
        zero_threshold: ZERO_THRESHOLD,
        zero_count: spread.zeros,
        negative: NativeHistogramBuckets { spans: &[], deltas: &[] },
        positive: NativeHistogramBuckets { spans: &spans, deltas: &deltas },
        created: None,
    };
    metric.encode_histogram_with_native::<Pairs<'_>>(spread.sum, count, &buckets, None, native)
}

/// Ascending buckets as runs without a gap (how far each begins behind the one before, and its length), and each
/// count as its difference to the one before.
fn runs(buckets: &[(i32, u64)]) -> (Vec<(i32, u32)>, Vec<i64>) {
    let (mut spans, mut deltas) = (Vec::<(i32, u32)>::new(), Vec::with_capacity(buckets.len()));
    let (mut next, mut before) = (0, 0);
    for (index, count) in buckets {
        match spans.last_mut() {
            Some(run) if *index == next => run.1 += 1,
            _ => spans.push((index - next, 1)),
        }
        next = index + 1;
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        deltas.push(count - before);
        before = count;
    }
    (spans, deltas)
}

type Pairs<'a> = Vec<(&'static str, &'a str)>;

fn pairs<'a>(names: &[Label], values: &'a Labels) -> Pairs<'a> {
    names.iter().map(|label| label.prometheus).zip(values.values()).collect()
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn buckets_are_told_by_runs_and_differences() {
        assert_eq!(runs(&[]), (vec![], vec![]));
        assert_eq!(runs(&[(-3, 5)]), (vec![(-3, 1)], vec![5]));
        let (spans, deltas) = runs(&[(-3, 5), (-2, 7), (1, 7), (2, 1)]);
        assert_eq!(spans, [(-3, 2), (2, 2)], "-3 and -2, then two empty ones, then 1 and 2");
        assert_eq!(deltas, [5, 2, 0, -6]);
    }
}
