//! `CloudWatch` metrics, every interval, by `PutMetricData`.
//!
//! Missing credentials, a missing region or a throttled API cost data, which are counted, and a log line a minute.

pub(super) mod interval;

use super::{Dated, Destination, Item, Lane, Losses, QUEUE, Roster};
use crate::clock;
use crate::model::time::{Mono, Wall};
use crate::settings;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use aws_smithy_types::DateTime;
use aws_smithy_types::error::display::DisplayErrorContext;
use interval::{Datum, Interval};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// The SDK's own default is 3.1 s to connect and no bound otherwise.
const CONNECT_MAX: Duration = Duration::from_secs(1);
const ATTEMPT_MAX: Duration = Duration::from_secs(5);
const OPERATION_MAX: Duration = Duration::from_secs(15);
/// Intervals that are on their way at most; a further one is dropped rather than kept.
const FLIGHTS_MAX: usize = 4;
/// Between two complaints.
const COMPLAINT_EVERY: Duration = Duration::from_mins(1);

/// Starts the destination.
pub(super) fn start(
    settings: &settings::CloudWatch,
    roster: &Roster,
    losses: &Arc<Losses>,
    tasks: &mut JoinSet<()>,
) -> Lane<Dated> {
    let (queue, items) = mpsc::channel(QUEUE);
    let sink = Sink {
        settings: settings.clone(),
        region: roster.region.clone(),
        losses: Arc::clone(losses),
        complained: Arc::new(AtomicU64::new(0)),
    };
    tasks.spawn(run(sink, Interval::default(), items));
    Lane { destination: Destination::CloudWatch, queue }
}

/// Cancel-safe: `recv`, `tick` and `join_next` are, and nothing else is awaited in the loop.
async fn run(sink: Sink, mut interval: Interval, mut items: mpsc::Receiver<Dated>) {
    let client = sink.client().await;
    let mut ticks = tokio::time::interval(sink.settings.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut flights = JoinSet::new();
    loop {
        tokio::select! {
            item = items.recv() => match item {
                Some(Dated { item, .. }) => take(&mut interval, &item),
                None => break,
            },
            _ = ticks.tick() => sink.flush(&client, interval.take(), &mut flights),
            Some(_) = flights.join_next() => {}
        }
    }
    sink.flush(&client, interval.take(), &mut flights);
    while flights.join_next().await.is_some() {}
}

pub(super) fn take(interval: &mut Interval, item: &Item) {
    match item {
        Item::Second(second) => interval.second(second),
        Item::Status(service, status) => interval.armed(service, status.armed),
        Item::Note(service, record) => interval.note(service, record),
        Item::Gone(service) => interval.gone(service),
        Item::Page(..) | Item::Budget(..) | Item::Probe(..) | Item::Reloaded { .. } => {}
    }
}

/// Where data go.
#[derive(Clone, Debug)]
struct Sink {
    settings: settings::CloudWatch,
    region: Option<String>,
    losses: Arc<Losses>,
    /// When there was a complaint last, in nanoseconds; 0 for never.
    complained: Arc<AtomicU64>,
}

impl Sink {
    /// Credentials are asked for with the first request, so that missing ones are a failed request like others.
    async fn client(&self) -> Client {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_MAX)
            .operation_attempt_timeout(ATTEMPT_MAX)
            .operation_timeout(OPERATION_MAX)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .retry_config(RetryConfig::standard())
            .timeout_config(timeouts);
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        Client::new(&loader.load().await)
    }

    fn flush(&self, client: &Client, data: Vec<Datum>, flights: &mut JoinSet<()>) {
        let (batches, broken) = interval::batches(data);
        self.losses.add(Destination::CloudWatch, broken);
        if batches.is_empty() {
            return;
        }
        if flights.len() >= FLIGHTS_MAX {
            let lost: usize = batches.iter().map(Vec::len).sum();
            self.lost(lost, "earlier requests have no answer yet");
            return;
        }
        let (sink, client, at) = (self.clone(), client.clone(), clock::wall());
        flights.spawn(async move {
            for batch in batches {
                sink.put(&client, batch, at).await;
            }
        });
    }

    async fn put(&self, client: &Client, batch: Vec<Datum>, at: Wall) {
        let data = batch.iter().map(|datum| self.metric_datum(datum, at)).collect();
        let request =
            client.put_metric_data().namespace(&self.settings.namespace).set_metric_data(Some(data));
        // Boxed: the SDK's future is some kilobytes.
        if let Err(error) = Box::pin(request.send()).await {
            self.lost(batch.len(), &DisplayErrorContext(&error).to_string());
        }
    }

    fn metric_datum(&self, datum: &Datum, at: Wall) -> MetricDatum {
        let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
        let target = datum.target.as_ref().map(|target| dimension("Target", target));
        let dimensions = [dimension("Service", &datum.service)].into_iter().chain(target).collect();
        let builder = MetricDatum::builder()
            .metric_name(datum.name)
            .unit(StandardUnit::from(datum.unit))
            .timestamp(DateTime::from_millis(at.0))
            .storage_resolution(i32::from(self.settings.resolution_seconds))
            .set_dimensions(Some(dimensions));
        match datum.values.as_slice() {
            [(value, 1.0)] => builder.value(*value).build(),
            values => builder
                .set_values(Some(values.iter().map(|(value, _)| *value).collect()))
                .set_counts(Some(values.iter().map(|(_, count)| *count).collect()))
                .build(),
        }
    }

    fn lost(&self, data: usize, error: &str) {
        self.losses.add(Destination::CloudWatch, data as u64);
        let (now, last) = (clock::now(), self.complained.load(Ordering::Relaxed));
        if last == 0 || now.since(Mono(last)) >= COMPLAINT_EVERY {
            self.complained.store(now.0, Ordering::Relaxed);
            tracing::warn!(data, error, "CloudWatch data were lost; told once a minute at most");
        }
    }
}
