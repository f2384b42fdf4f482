//! `CloudWatch` metrics as lines of logs, in the embedded metric format
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>):
//! whoever ships standard output to `CloudWatch` Logs needs no permission and no request more. Or into a log group, by ourselves.
//!
//! The format takes a hundred numbers of a metric and no counts, so of more response times a hundred stand for all: each percentile
//! is that of the interval, and `SampleCount` is not the number of answers, which is `Attempts`.

mod group;

use super::cloudwatch::interval::{Datum, Interval};
use super::outbox::{self, Depot, Inlet, Terms};
use super::{Dated, Destination, Lane, Lines, Losses, QUEUE, Reason, Roster};
use crate::clock;
use crate::model::time::Wall;
use crate::settings;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// Numbers of one metric in one line.
const NUMBERS_MAX: usize = 100;

/// Starts the destination.
pub(super) fn start(
    settings: &settings::Emf,
    roster: &Roster,
    instance: &str,
    depot: &Depot,
    tasks: &mut JoinSet<()>,
) -> Lane<Dated> {
    let (queue, items) = mpsc::channel(QUEUE);
    let settings::Emf { figures, group } = settings.clone();
    let way = match group {
        None => Way::Output(roster.lines.clone()),
        Some(group) => {
            let spool = figures.spool;
            let terms = Terms { destination: Destination::Emf, within: group::OPERATION_MAX, spool };
            let carrier = group::Sink::new(group, instance.to_owned(), roster.region.clone());
            Way::Group(outbox::start(carrier, terms, depot, tasks))
        }
    };
    let sink = Sink { settings: figures, losses: Arc::clone(&depot.losses), way };
    tasks.spawn(run(sink, Interval::default(), items));
    Lane { destination: Destination::Emf, queue }
}

struct Sink {
    settings: settings::CloudWatch,
    losses: Arc<Losses>,
    way: Way,
}

/// Where lines go.
enum Way {
    /// Standard output, if there is one.
    Output(Option<Lines>),
    Group(Inlet),
}

/// Cancel-safe: `recv` and `tick` are, and a flush is awaited as a whole. It waits while there are more batches than are taken up.
async fn run(sink: Sink, mut interval: Interval, mut items: mpsc::Receiver<Dated>) {
    let mut ticks = tokio::time::interval(sink.settings.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            item = items.recv() => match item {
                Some(Dated { item, .. }) => super::cloudwatch::take(&mut interval, &item),
                None => break,
            },
            _ = ticks.tick() => sink.flush(interval.take()).await,
        }
    }
    sink.flush(interval.take()).await;
}

impl Sink {
    async fn flush(&self, data: Vec<Datum>) {
        let (whole, broken): (Vec<Datum>, Vec<Datum>) = data.into_iter().partition(Datum::is_finite);
        self.losses.add(Destination::Emf, Reason::Invalid, broken.len() as u64);
        let at = clock::wall();
        let lines = lines(&self.settings, at, &whole);
        match &self.way {
            Way::Output(output) => {
                for line in lines {
                    if !output.as_ref().is_some_and(|Lines(write)| write(line)) {
                        self.losses.add(Destination::Emf, Reason::QueueFull, 1);
                    }
                }
            }
            Way::Group(inlet) => {
                for batch in group::batches(at, lines) {
                    inlet.push(batch).await;
                }
            }
        }
    }
}

/// A line for each service, and one for each of its URLs; the metrics of either fit into one.
fn lines(settings: &settings::CloudWatch, at: Wall, data: &[Datum]) -> Vec<Vec<u8>> {
    let mut groups: BTreeMap<(&str, Option<&str>), Vec<&Datum>> = BTreeMap::new();
    for datum in data {
        groups.entry((&datum.service, datum.target.as_deref())).or_default().push(datum);
    }
    groups.into_iter().map(|((service, target), data)| line(settings, at, (service, target), &data)).collect()
}

fn line(
    settings: &settings::CloudWatch,
    at: Wall,
    (service, target): (&str, Option<&str>),
    data: &[&Datum],
) -> Vec<u8> {
    let metrics: Vec<Value> = data
        .iter()
        .map(|datum| {
            json!({ "Name": datum.name, "Unit": datum.unit, "StorageResolution": settings.resolution_seconds })
        })
        .collect();
    let mut dimensions = vec!["Service"];
    let mut members = Map::from_iter([("Service".to_owned(), json!(service))]);
    if let Some(target) = target {
        dimensions.push("Target");
        members.insert("Target".into(), json!(target));
    }
    let directive =
        json!({ "Namespace": settings.namespace, "Dimensions": [dimensions], "Metrics": metrics });
    members.insert("_aws".into(), json!({ "Timestamp": at.0, "CloudWatchMetrics": [directive] }));
    for datum in data {
        members.insert(datum.name.into(), numbers(&datum.values));
    }
    let mut line = Value::Object(members).to_string().into_bytes();
    line.push(b'\n');
    line
}

/// One number as it is; of many as many as the line takes.
fn numbers(values: &[(f64, f64)]) -> Value {
    if let [(value, 1.0)] = values {
        return json!(value);
    }
    json!(drawn(values))
}

/// Every value as often as it counts while they fit; else those in the middle of each hundredth.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of one interval"
)]
fn drawn(values: &[(f64, f64)]) -> Vec<f64> {
    let all: f64 = values.iter().map(|(_, count)| count).sum();
    let wanted = (all as usize).min(NUMBERS_MAX);
    let (mut drawn, mut below) = (Vec::with_capacity(wanted), 0.0);
    for (value, count) in values {
        below += count;
        while drawn.len() < wanted && (drawn.len() as f64 + 0.5) / wanted as f64 * all <= below {
            drawn.push(*value);
        }
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datum(name: &'static str, target: Option<&str>, values: Vec<(f64, f64)>) -> Datum {
        Datum { name, unit: "Count", service: "shop".into(), target: target.map(Arc::from), values }
    }

    fn told(data: &[Datum]) -> Vec<Value> {
        let settings = settings::CloudWatch {
            namespace: "Ours".into(),
            interval: std::time::Duration::from_mins(1),
            resolution_seconds: 60,
            spool: 0,
        };
        let lines = lines(&settings, Wall(1_700_000_000_123), data);
        assert!(lines.iter().all(|line| line.len() < 256 * 1024 && line.last() == Some(&b'\n')));
        lines.iter().map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    #[test]
    fn a_line_names_its_metrics_and_has_a_member_for_each() {
        let lines = told(&[
            datum("Attempts", None, vec![(12.0, 1.0)]),
            datum("Latency", None, vec![(1.5, 2.0), (3.0, 1.0)]),
            datum("Attempts", Some("front"), vec![(4.0, 1.0)]),
        ]);
        let wants = json!([
            { "_aws": { "Timestamp": 1_700_000_000_123_i64, "CloudWatchMetrics": [{
                "Namespace": "Ours", "Dimensions": [["Service"]], "Metrics": [
                    { "Name": "Attempts", "Unit": "Count", "StorageResolution": 60 },
                    { "Name": "Latency", "Unit": "Count", "StorageResolution": 60 } ] }] },
              "Service": "shop", "Attempts": 12.0, "Latency": [1.5, 1.5, 3.0] },
            { "_aws": { "Timestamp": 1_700_000_000_123_i64, "CloudWatchMetrics": [{
                "Namespace": "Ours", "Dimensions": [["Service", "Target"]], "Metrics": [
                    { "Name": "Attempts", "Unit": "Count", "StorageResolution": 60 } ] }] },
              "Service": "shop", "Target": "front", "Attempts": 4.0 },
        ]);
        assert_eq!(Value::from(lines), wants);
    }

    #[test]
    fn a_hundred_numbers_keep_the_percentiles_of_a_million() {
        let values: Vec<(f64, f64)> = (1..=150).map(|value| (f64::from(value), 10_000.0)).collect();
        let drawn = drawn(&values);
        assert_eq!(drawn.len(), 100);
        assert!(drawn.is_sorted());
        // Of 150 equally frequent values the 95th percentile is 142.5, the median 75.5.
        assert!((drawn[94] - 142.0).abs() < 1.6 && (drawn[49] - 75.0).abs() < 1.6, "{drawn:?}");
        assert_eq!(super::drawn(&[(2.0, 1.0), (5.0, 3.0)]), [2.0, 5.0, 5.0, 5.0]);
        assert_eq!(
            super::drawn(&[(2.0, 60.0), (5.0, 40.0)]).iter().filter(|value| **value < 3.0).count(),
            60
        );
    }
}
