//! Metrics, every interval, by the SDK's reader.
//!
//! Counters and levels are observed from the same figures that Prometheus gets. The SDK has no observable
//! histogram, so each second's buckets are replayed into its own: `record(middle)` as often as the bucket counts,
//! which is at most 0.8 % off, like the buckets themselves.

use super::EXPORT_MAX;
use super::feed::Feed;
use super::outgoing::{Count, Outgoing};
use crate::model::delta::{Buckets, Second};
use crate::model::sample::{Phases, Purpose};
use crate::publish::aliases::{Point, Said};
use crate::publish::figures::{Figures, Value};
use crate::publish::names::aliases::{ALIASES, AliasName};
use crate::publish::names::{self, Kind, Label, Metric, NAMES, Name};
use crate::publish::{Dated, Item, Roster, lock};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Histogram, Meter, MeterProvider};
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{
    Aggregation, Instrument, PeriodicReader, SdkMeterProvider, Stream, Temporality,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

/// Buckets of an exponential histogram, as the OTLP specification recommends.
const BUCKETS_MAX: u32 = 160;

/// The exporter that hands over to `outgoing`.
pub(super) fn exporter(
    feed: &Feed,
    (outgoing, count): (Outgoing, Count),
) -> Result<Counted, ExporterBuildError> {
    let inner = MetricExporter::builder()
        .with_http()
        .with_http_client(outgoing)
        .with_endpoint(feed.endpoint.to_string())
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(EXPORT_MAX)
        .build()?;
    Ok(Counted { inner, count })
}

/// Sends until `items` ends.
pub(super) async fn run(
    exporter: Counted,
    interval: Duration,
    resource: Resource,
    (roster, figures): (Roster, Arc<Mutex<Figures>>),
    items: mpsc::Receiver<Dated>,
) {
    let reader = PeriodicReader::builder(exporter).with_interval(interval).build();
    let series_max = series_max(&roster);
    let provider = SdkMeterProvider::builder()
        .with_resource(resource)
        .with_view(move |instrument: &Instrument| view(instrument, series_max))
        .with_reader(reader)
        .build();
    let meter = provider.meter("serin");
    for name in &NAMES {
        observe(&meter, name, &figures);
    }
    let aliases: Vec<&AliasName> = lock(&figures).aliases().names().collect();
    for name in aliases {
        observe_alias(&meter, name, &figures);
    }
    replay(Replay::new(&meter), provider, items).await;
}

async fn replay(replay: Replay, provider: SdkMeterProvider, mut items: mpsc::Receiver<Dated>) {
    while let Some(Dated { item, .. }) = items.recv().await {
        if let Item::Second(second) = item {
            replay.second(&second);
        }
    }
    // The last export. It waits for the reader's thread, 5 s at most, so it may not hold up a runtime's thread.
    let last = tokio::task::spawn_blocking(move || provider.shutdown()).await;
    if !matches!(last, Ok(Ok(()))) {
        tracing::warn!("the last OTLP export failed");
    }
}

/// URLs of a service at most, as the settings have it.
const TARGETS_MAX: usize = 1_000;

/// The SDK folds what is beyond its limit into one series; the closed sets are larger than its default. A service may get more URLs while
/// we run.
fn series_max(roster: &Roster) -> usize {
    3 * roster.services.len().max(1) * (TARGETS_MAX + 2) * names::reasons().count()
}

fn view(instrument: &Instrument, series_max: usize) -> Option<Stream> {
    let stream = Stream::builder().with_cardinality_limit(series_max);
    if ALIASES.iter().any(|name| name.otlp == Some(instrument.name())) {
        return stream.build().ok();
    }
    let name = NAMES.iter().find(|name| name.otlp == instrument.name())?;
    let stream = match name.kind {
        Kind::Histogram => stream.with_aggregation(Aggregation::Base2ExponentialHistogram {
            max_size: BUCKETS_MAX,
            max_scale: 20,
            record_min_max: false,
        }),
        Kind::Counter | Kind::Gauge | Kind::Info => stream,
    };
    stream.build().ok()
}

/// Ties a counter or a level to the figures; a level that is unknown isn't observed, so it isn't exported.
fn observe(meter: &Meter, name: &'static Name, figures: &Arc<Mutex<Figures>>) {
    let figures = Arc::clone(figures);
    match name.kind {
        Kind::Histogram => {}
        Kind::Counter => {
            meter
                .u64_observable_counter(name.otlp)
                .with_unit(name.unit)
                .with_description(name.meaning)
                .with_callback(move |observer| {
                    for (labels, value) in lock(&figures).of(name.metric) {
                        if let Value::Count(count) = value {
                            observer.observe(*count, &attributes(name, labels.values()));
                        }
                    }
                })
                .build();
        }
        Kind::Gauge | Kind::Info => {
            meter
                .f64_observable_gauge(name.otlp)
                .with_unit(name.unit)
                .with_description(name.meaning)
                .with_callback(move |observer| {
                    for (labels, value) in lock(&figures).of(name.metric) {
                        if let Value::Level(level) = value {
                            observer.observe(*level, &attributes(name, labels.values()));
                        }
                    }
                })
                .build();
        }
    }
}

/// The receiver has what it counts in ones as sums that can fall, and times as levels.
fn observe_alias(meter: &Meter, name: &'static AliasName, figures: &Arc<Mutex<Figures>>) {
    let (Some(otlp), figures) = (name.otlp, Arc::clone(figures)) else { return };
    if name.unit == "ms" {
        let levels = meter.f64_observable_gauge(otlp).with_unit(name.unit).with_description(name.meaning);
        let told = move |observer: &dyn AsyncInstrument<f64>| {
            for point in lock(&figures).aliases().points(name) {
                observer.observe(point.value, &said(&point));
            }
        };
        levels.with_callback(told).build();
    } else {
        let sums = meter.i64_observable_up_down_counter(otlp);
        let told = move |observer: &dyn AsyncInstrument<i64>| {
            for point in lock(&figures).aliases().points(name) {
                observer.observe(i64::from(point.value > 0.0), &said(&point));
            }
        };
        sums.with_unit(name.unit).with_description(name.meaning).with_callback(told).build();
    }
}

fn said(point: &Point<'_>) -> Vec<KeyValue> {
    let pair = |(label, said): &(Label, Said<'_>)| match said {
        Said::Text(text) => KeyValue::new(label.otlp, (*text).to_owned()),
        Said::Code(code) => KeyValue::new(label.otlp, i64::from(*code)),
    };
    point.labels.iter().map(pair).collect()
}

fn attributes<'a>(name: &Name, values: impl IntoIterator<Item = &'a str>) -> Vec<KeyValue> {
    let pairs = name.labels.iter().zip(values);
    pairs.map(|(label, value)| KeyValue::new(label.otlp, value.to_owned())).collect()
}

/// The histograms, and what is needed to name their series.
struct Replay {
    duration: Histogram<f64>,
    service_time: Histogram<f64>,
    since_due: Histogram<f64>,
    lateness: Histogram<f64>,
    echo: Histogram<f64>,
    phase: Histogram<f64>,
}

impl Replay {
    fn new(meter: &Meter) -> Self {
        let histogram = |metric: Metric| {
            let name = metric.name();
            meter.f64_histogram(name.otlp).with_unit(name.unit).with_description(name.meaning).build()
        };
        Self {
            duration: histogram(Metric::Duration),
            service_time: histogram(Metric::ServiceTime),
            since_due: histogram(Metric::SinceDue),
            lateness: histogram(Metric::Lateness),
            echo: histogram(Metric::Echo),
            phase: histogram(Metric::Phase),
        }
    }

    fn second(&self, second: &Second) {
        let service = &second.service;
        let times = &second.times;
        for (histogram, metric, buckets) in [
            (&self.lateness, Metric::Lateness, &times.lateness),
            (&self.service_time, Metric::ServiceTime, &times.service),
            (&self.since_due, Metric::SinceDue, &times.since_due),
            (&self.echo, Metric::Echo, &second.own.echo),
        ] {
            record(histogram, &attributes(metric.name(), [&**service]), buckets);
        }
        for (phase, buckets) in Phases::NAMES.iter().zip(&times.phases) {
            record(&self.phase, &attributes(Metric::Phase.name(), [&**service, *phase]), buckets);
        }
        for delta in &second.deltas {
            if delta.purpose != Some(Purpose::Production) {
                continue;
            }
            let target = names::target_label(&second.targets, delta);
            let mut of_probe = attributes(Metric::Duration.name(), [&**service, &*target]);
            of_probe.push(KeyValue::new("user_agent.synthetic.type", "test"));
            record(&self.duration, &of_probe, &delta.response);
        }
    }
}

fn record(histogram: &Histogram<f64>, attributes: &[KeyValue], buckets: &Buckets) {
    for (span, count) in buckets.iter() {
        for _ in 0..count {
            histogram.record(span.duration().as_secs_f64(), attributes);
        }
    }
}

/// What is in an export is told before it is made.
#[derive(Debug)]
pub(super) struct Counted {
    inner: MetricExporter,
    count: Count,
}

impl PushMetricExporter for Counted {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.count.next(1);
        let outcome = self.inner.export(metrics).await;
        self.count.made(&outcome);
        outcome
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.inner.temporality()
    }
}
