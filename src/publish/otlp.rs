//! OTLP metrics over HTTP, every interval, by the OpenTelemetry SDK.
//!
//! Counters and levels are observed from the same figures that Prometheus gets. The SDK has no observable
//! histogram, so each second's buckets are replayed into its own: `record(middle)` as often as the bucket counts,
//! which is at most 0.8 % off, like the buckets themselves.
//!
//! The SDK's reader has a thread of its own, which knows no tokio; the HTTP client hands each POST over to our
//! runtime and waits for it. So http and https work, and nothing but that thread ever waits.

mod feed;
mod resource;
mod tls;
mod variables;

use super::figures::{Figures, Value};
use super::names::{self, Kind, Metric, NAMES, Name};
use super::post::{Poster, Unusable};
use super::{Dated, Destination, Item, Lane, Losses, PublishError, QUEUE, Roster, lock};
use crate::model::delta::{Buckets, Second};
use crate::model::sample::{Phases, Purpose};
use crate::settings;
use async_trait::async_trait;
use bytes::Bytes;
use feed::Feed;
use http::{Request, Response};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter, MeterProvider};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{MetricExporter, Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{
    Aggregation, Instrument, PeriodicReader, SdkMeterProvider, Stream, Temporality,
};
use rustls::ClientConfig;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How long one export may take with all its attempts.
const EXPORT_MAX: Duration = Duration::from_secs(10);
/// Buckets of an exponential histogram, as the OTLP specification recommends.
const BUCKETS_MAX: u32 = 160;

/// Starts the destination, if the file or the environment names one.
pub(super) fn start(
    settings: Option<&settings::Otlp>,
    roster: &Roster,
    (instance, version): (&str, &str),
    figures: &Arc<Mutex<Figures>>,
    losses: &Arc<Losses>,
    tasks: &mut JoinSet<()>,
) -> Result<Option<Lane<Dated>>, PublishError> {
    variables::warn();
    let Some(feed) = feed::choose(settings, |name| std::env::var(name).ok())? else { return Ok(None) };
    let tls = match tls::config(|name| std::env::var(name).ok()) {
        Ok(tls) => tls,
        Err(why) => {
            tracing::warn!(%why, "OTLP is off");
            return Ok(None);
        }
    };
    let inner = match exporter(&feed, tls) {
        Err(PublishError::OtlpEndpoint) if !feed.ours => {
            feed::unusable();
            return Ok(None);
        }
        other => other?,
    };
    let exporter = Watched { inner, losses: Arc::clone(losses), failing: AtomicBool::new(false) };
    let (instance, version) = (instance.to_owned(), version.to_owned());
    let (roster, figures) = (roster.clone(), Arc::clone(figures));
    let (queue, items) = mpsc::channel(QUEUE);
    tasks.spawn(async move {
        let resource = resource::resource(&instance, &version).await;
        let reader = PeriodicReader::builder(exporter).with_interval(feed.interval).build();
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
        let replay = Replay::new(&meter, &roster);
        run(replay, provider, items).await;
    });
    Ok(Some(Lane { destination: Destination::Otlp, queue }))
}

async fn run(replay: Replay, provider: SdkMeterProvider, mut items: mpsc::Receiver<Dated>) {
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

fn exporter(feed: &Feed, tls: Option<ClientConfig>) -> Result<MetricExporter, PublishError> {
    let poster = Poster::over(&feed.endpoint, feed.headers.clone(), feed.timeout, tls)?
        .map_err(|Unusable| PublishError::OtlpEndpoint)?;
    let exporter = MetricExporter::builder()
        .with_http()
        .with_http_client(Wire { poster, runtime: Handle::current() })
        .with_endpoint(feed.endpoint.to_string())
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(EXPORT_MAX)
        .build()?;
    Ok(exporter)
}

/// The SDK folds what is beyond its limit into one series; the closed sets are larger than its default.
fn series_max(roster: &Roster) -> usize {
    let targets: usize = roster.services.iter().map(|(_, targets, _)| targets.len() + 2).sum();
    (3 * targets * names::reasons().count()).max(2_000)
}

fn view(instrument: &Instrument, series_max: usize) -> Option<Stream> {
    let name = NAMES.iter().find(|name| name.otlp == instrument.name())?;
    let stream = Stream::builder().with_cardinality_limit(series_max);
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

fn attributes<'a>(name: &Name, values: impl IntoIterator<Item = &'a str>) -> Vec<KeyValue> {
    let pairs = name.labels.iter().zip(values);
    pairs.map(|(label, value)| KeyValue::new(label.otlp, value.to_owned())).collect()
}

/// The histograms, and what is needed to name their series.
struct Replay {
    targets: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    duration: Histogram<f64>,
    service_time: Histogram<f64>,
    since_due: Histogram<f64>,
    lateness: Histogram<f64>,
    echo: Histogram<f64>,
    phase: Histogram<f64>,
}

impl Replay {
    fn new(meter: &Meter, roster: &Roster) -> Self {
        let histogram = |metric: Metric| {
            let name = metric.name();
            meter.f64_histogram(name.otlp).with_unit(name.unit).with_description(name.meaning).build()
        };
        let targets = roster.services.iter().map(|(name, targets, _)| (Arc::clone(name), targets.clone()));
        Self {
            targets: targets.collect(),
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
        let targets = self.targets.get(service).map(Vec::as_slice).unwrap_or_default();
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
            let target = names::target_label(targets, delta);
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

/// The way out, from the reader's thread to our runtime.
#[derive(Debug)]
struct Wire {
    poster: Poster,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Wire {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let poster = self.poster.clone();
        let (head, body) = request.into_parts();
        // Awaited at once: the task only carries the POST over to the runtime.
        let answer = self.runtime.spawn(async move { poster.post(&head.headers, body).await }).await?;
        answer.map_err(|error| {
            tracing::debug!(%error, "an OTLP attempt failed");
            error.into()
        })
    }
}

/// Counts lost exports, and says once when they begin to fail and once when they no longer do.
#[derive(Debug)]
struct Watched {
    inner: MetricExporter,
    losses: Arc<Losses>,
    failing: AtomicBool,
}

impl PushMetricExporter for Watched {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let outcome = self.inner.export(metrics).await;
        if let Err(error) = &outcome {
            self.losses.add(Destination::Otlp, 1);
            if !self.failing.swap(true, Ordering::Relaxed) {
                tracing::warn!(%error, "OTLP exports fail; each lost one is counted");
            }
        } else if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("OTLP exports work again");
        }
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
