//! `CloudWatch` metrics, every interval, by `PutMetricData`.
//!
//! A batch is what one request takes. It keeps its own time, which may be two weeks ago, so that one that waited on disk is told where
//! it belongs. Missing credentials, a missing region or a throttled API delay data, and cost none as long as there is room.

pub(super) mod interval;

use super::losses::{Destination, Reason};
use super::outbox::{self, Carrier, Depot, Failure, Inlet, Terms};
use super::spool::Batch;
use super::{Dated, Item, Lane, QUEUE, Roster, aws};
use crate::clock;
use crate::model::time::Wall;
use crate::settings;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use aws_smithy_types::DateTime;
use interval::{Datum, Interval};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

const ATTEMPT_MAX: Duration = Duration::from_secs(5);
const OPERATION_MAX: Duration = Duration::from_secs(15);

/// Starts the destination.
pub(super) fn start(
    settings: &settings::CloudWatch,
    roster: &Roster,
    depot: &Depot,
    tasks: &mut JoinSet<()>,
) -> Lane<Dated> {
    let (queue, items) = mpsc::channel(QUEUE);
    let terms = Terms { destination: Destination::CloudWatch, within: OPERATION_MAX, spool: settings.spool };
    let inlet = outbox::start(Sink::new(roster.region.clone()), terms, depot, tasks);
    tasks.spawn(run(settings.clone(), inlet, Interval::default(), items));
    Lane { destination: Destination::CloudWatch, queue }
}

/// Cancel-safe: `recv` and `tick` are, and a flush is awaited as a whole. It waits while there are more batches than are taken up.
async fn run(
    settings: settings::CloudWatch,
    inlet: Inlet,
    mut interval: Interval,
    mut items: mpsc::Receiver<Dated>,
) {
    let mut ticks = tokio::time::interval(settings.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            item = items.recv() => match item {
                Some(Dated { item, .. }) => take(&mut interval, &item),
                None => break,
            },
            _ = ticks.tick() => flush(&settings, &inlet, interval.take()).await,
        }
    }
    flush(&settings, &inlet, interval.take()).await;
}

pub(super) fn take(interval: &mut Interval, item: &Item) {
    match item {
        Item::Second(second) => interval.second(second),
        Item::Status(service, status) => interval.armed(service, status.armed),
        Item::Note(service, record) => interval.note(service, record),
        Item::Gone(service) => interval.gone(service),
        Item::Page(..) | Item::Budget(..) | Item::Probe(..) | Item::Reloaded { .. } | Item::Asked(..) => {}
    }
}

async fn flush(settings: &settings::CloudWatch, inlet: &Inlet, data: Vec<Datum>) {
    let (batches, broken) = interval::batches(data);
    inlet.lost(Reason::Invalid, broken);
    let at = clock::wall();
    for batch in batches {
        let items = batch.len() as u64;
        let request = Request {
            namespace: settings.namespace.clone(),
            resolution_seconds: settings.resolution_seconds,
            data: batch.into_iter().map(Figure::from).collect(),
        };
        let body = serde_json::to_vec(&request).expect("strings and numbers always serialize");
        inlet.push(Batch { at, items, body: body.into() }).await;
    }
}

/// A batch as it is on disk: with what the file said when it was made.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Request {
    namespace: String,
    resolution_seconds: u8,
    data: Vec<Figure>,
}

/// A [`Datum`] that may come from an earlier version of this program.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Figure {
    name: String,
    unit: String,
    service: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    values: Vec<(f64, f64)>,
}

impl From<Datum> for Figure {
    fn from(datum: Datum) -> Self {
        Self {
            name: datum.name.to_owned(),
            unit: datum.unit.to_owned(),
            service: datum.service.to_string(),
            target: datum.target.map(|target| target.to_string()),
            values: datum.values,
        }
    }
}

/// Where data go.
struct Sink {
    client: Client,
}

impl Sink {
    async fn new(region: Option<String>) -> Self {
        Self { client: Client::new(&aws::config(region, ATTEMPT_MAX).await) }
    }
}

impl Carrier for Sink {
    async fn carry(&self, batch: &Batch) -> Result<u64, Failure> {
        let request: Request = serde_json::from_slice(&batch.body).map_err(|error| Failure {
            says: error.to_string(),
            passing: false,
            pause: None,
        })?;
        let resolution = i32::from(request.resolution_seconds);
        let data = request.data.iter().map(|figure| metric_datum(figure, batch.at, resolution)).collect();
        let put = self.client.put_metric_data().namespace(request.namespace).set_metric_data(Some(data));
        // Boxed: the SDK's future is some kilobytes.
        match Box::pin(put.send()).await {
            Ok(_) => Ok(0),
            Err(error) => Err(aws::failed(&error)),
        }
    }
}

fn metric_datum(figure: &Figure, at: Wall, resolution: i32) -> MetricDatum {
    let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
    let target = figure.target.as_ref().map(|target| dimension("Target", target));
    let dimensions = [dimension("Service", &figure.service)].into_iter().chain(target).collect();
    let builder = MetricDatum::builder()
        .metric_name(&figure.name)
        .unit(StandardUnit::from(figure.unit.as_str()))
        .timestamp(DateTime::from_millis(at.0))
        .storage_resolution(resolution)
        .set_dimensions(Some(dimensions));
    match figure.values.as_slice() {
        [(value, 1.0)] => builder.value(*value).build(),
        values => builder
            .set_values(Some(values.iter().map(|(value, _)| *value).collect()))
            .set_counts(Some(values.iter().map(|(_, count)| *count).collect()))
            .build(),
    }
}
