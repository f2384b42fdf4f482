//! `PutMetricData` against a fake that refuses what AWS refuses.

use super::receiver::{Got, Receiver, status};
use super::{Log, child, openmetrics, second, start};
use bytes::Bytes;
use ciborium::Value;
use http::{Response, StatusCode};
use http_body_util::Full;
use serin::model::delta::Second;
use serin::model::policy::Mode;
use serin::model::time::Span;
use serin::publish::names::CLOUDWATCH;
use serin::publish::{Item, Publisher, Roster};
use serin::settings::{CloudWatch, Publish};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// So many services that their data don't fit into the requests that are on their way at once.
const SERVICES: usize = 2_000;

fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.as_map()?.iter().find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    field(value, name).and_then(Value::as_text).unwrap_or_default()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    field(value, name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn number(value: &Value) -> f64 {
    let integer = || value.as_integer().and_then(|integer| i32::try_from(integer).ok()).map(f64::from);
    value.as_float().or_else(integer).unwrap_or(f64::NAN)
}

fn body(got: &Got) -> Value {
    ciborium::from_reader(got.body.as_ref()).expect("CBOR")
}

/// The first of AWS's rules that `got` breaks (`CloudWatch` API reference, `PutMetricData` and `MetricDatum`).
fn broken_rule(got: &Got) -> Option<&'static str> {
    let request = body(got);
    let data = list(&request, "MetricData");
    let each = |rule: fn(&Value) -> bool| data.iter().all(rule);
    let finite = |datum: &Value| {
        let values = list(datum, "Values").iter().chain(list(datum, "Counts"));
        values.chain(field(datum, "Value")).all(|value| number(value).is_finite())
    };
    let dimensions = |datum: &Value| {
        let names: Vec<&str> = list(datum, "Dimensions").iter().map(|each| text(each, "Name")).collect();
        names == ["Service"] || names == ["Service", "Target"]
    };
    let sizes = |datum: &Value| {
        let (values, counts) = (list(datum, "Values").len(), list(datum, "Counts").len());
        values == counts && values <= 150 && (values > 0) != field(datum, "Value").is_some()
    };
    let rules = [
        ("the protocol", got.headers.get("smithy-protocol").is_some_and(|value| value == "rpc-v2-cbor")),
        ("the path", got.path == "/service/GraniteServiceVersion20100801/operation/PutMetricData"),
        ("the namespace", text(&request, "Namespace") == "Serin"),
        ("1 to 1,000 data", (1..=1_000).contains(&data.len())),
        ("1 MB", got.body.len() <= 1_000_000 && got.wire_bytes <= 1_000_000),
        ("finite numbers", each(finite)),
        ("dimensions", each(dimensions)),
        ("150 values", each(sizes)),
        ("a unit", each(|datum| ["Count", "Percent", "Milliseconds", "None"].contains(&text(datum, "Unit")))),
        ("a resolution", each(|datum| field(datum, "StorageResolution").map(number) == Some(1.0))),
        ("a timestamp", each(|datum| field(datum, "Timestamp").is_some())),
    ];
    rules.into_iter().find(|(_, kept)| !kept).map(|(rule, _)| rule)
}

fn answer(_: usize, got: &Got) -> Response<Full<Bytes>> {
    if broken_rule(got).is_some() {
        return status(StatusCode::BAD_REQUEST);
    }
    let mut response = Response::new(Full::new(Bytes::from_static(&[0xa0])));
    response.headers_mut().insert("smithy-protocol", "rpc-v2-cbor".parse().expect("a header"));
    response.headers_mut().insert("content-type", "application/cbor".parse().expect("a header"));
    response
}

/// When the data of a request were measured, in seconds since 1970, and how many probes of all targets they tell of.
pub(crate) fn attempts(request: &[u8]) -> (f64, f64) {
    let request: Value = ciborium::from_reader(request).expect("CBOR");
    let data = list(&request, "MetricData").iter();
    let seconds = |datum: &Value| match field(datum, "Timestamp") {
        Some(Value::Tag(_, seconds)) => number(seconds),
        other => panic!("{other:?}"),
    };
    let whole =
        |datum: &&Value| text(datum, "MetricName") == "Attempts" && list(datum, "Dimensions").len() == 1;
    let probes = data.clone().filter(whole).map(|datum| field(datum, "Value").map_or(0.0, number)).sum();
    (data.map(seconds).fold(f64::MAX, f64::min), probes)
}

pub(crate) fn aws(endpoint: String) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_REGION", "eu-west-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "example".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ]
}

fn settings(interval: Duration) -> Publish {
    let cloudwatch = CloudWatch { namespace: "Serin".to_owned(), interval, resolution_seconds: 1, spool: 0 };
    Publish { cloudwatch: Some(cloudwatch), ..Publish::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_keeps_the_limits_and_nothing_is_lost_at_the_end() {
    let receiver = Receiver::start(answer).await;
    child("cloudwatch::in_child_many_services", aws(receiver.url(""))).await;
    let requests = receiver.got();
    for got in &requests {
        assert_eq!(broken_rule(got), None);
    }
    assert!(requests.len() > 1, "the data don't fit into one request");
    let bodies: Vec<Value> = requests.iter().map(body).collect();
    let data: Vec<&Value> = bodies.iter().flat_map(|body| list(body, "MetricData")).collect();
    let services: BTreeSet<&str> =
        data.iter().map(|datum| text(&list(datum, "Dimensions")[0], "Value")).collect();
    assert_eq!(services.len(), SERVICES);
    let names: BTreeSet<&str> = data.iter().map(|datum| text(datum, "MetricName")).collect();
    let known: BTreeSet<&str> = CLOUDWATCH.iter().map(|row| row.name).collect();
    assert!(names.is_subset(&known), "{names:?}");
    assert!(!names.contains("Armed"), "nobody said so");
    let rates: Vec<f64> = data
        .iter()
        .filter(|datum| text(datum, "MetricName") == "ErrorRate")
        .map(|datum| number(field(datum, "Value").expect("a value")))
        .collect();
    assert_eq!(rates, vec![20.0; 2 * SERVICES], "2 of 10, for the service and for its target");
    let values = data.iter().filter(|datum| text(datum, "MetricName") == "Latency");
    assert!(values.clone().any(|datum| list(datum, "Values").len() > 100), "a distribution, not an average");
}

#[tokio::test]
#[ignore = "started by every_request_keeps_the_limits_and_nothing_is_lost_at_the_end"]
async fn in_child_many_services() {
    let names: Vec<Arc<str>> = (0..SERVICES).map(|number| format!("shop-{number}").into()).collect();
    let services = names.iter().map(|name| (Arc::clone(name), vec!["front".into()], Mode::Act)).collect();
    let roster = Roster { services, region: Some("eu-west-1".to_owned()), ..Roster::default() };
    let settings = settings(Duration::from_mins(10));
    let publisher = Publisher::start(&settings, &roster, "i", "v").expect("settings that make sense");
    for name in &names {
        let mut second: Second = (*second(2)).clone();
        second.service = Arc::clone(name);
        for step in 0..2_000 {
            second.deltas[0].response.add(Span::of(Duration::from_micros(100 + 29 * step)));
        }
        publisher.send(Item::Second(Arc::new(second)));
        tokio::task::yield_now().await;
    }
    publisher.drain(Duration::from_secs(15)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_credentials_cost_data_and_one_line_a_minute() {
    let receiver = Receiver::start(answer).await;
    let mut variables = aws(receiver.url(""));
    variables.retain(|(name, _)| !name.contains("KEY"));
    // No shared files either.
    variables.push(("HOME", "/nonexistent".to_owned()));
    child("cloudwatch::in_child_without_credentials", variables).await;
    assert_eq!(receiver.got().len(), 0);
}

#[tokio::test]
#[ignore = "started by missing_credentials_cost_data_and_one_line_a_minute"]
async fn in_child_without_credentials() {
    let (log, _guard) = Log::capture();
    let publisher = start(&settings(Duration::from_millis(100)));
    let lost = |publisher: &Publisher| {
        let text = openmetrics(publisher);
        let line = text.lines().find_map(|line| {
            line.strip_prefix("serin_dropped_total{destination=\"cloudwatch\",reason=\"unavailable\"} ")
        });
        line.and_then(|count| count.parse::<u64>().ok()).expect("a count")
    };
    for _ in 0..300 {
        publisher.send(Item::Second(second(0)));
        tokio::time::sleep(Duration::from_millis(50)).await;
        if lost(&publisher) > 20 {
            break;
        }
    }
    assert!(lost(&publisher) > 20, "two intervals at least: {}", log.text());
    let lines = log.text().matches("figures were lost").count();
    assert_eq!(lines, 1, "{}", log.text());
}
