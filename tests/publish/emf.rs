//! Lines of the embedded metric format into a log group, against a fake of `CloudWatch` Logs that refuses what AWS refuses.

use super::cloudwatch::aws;
use super::faults::{losses, until, waiting};
use super::receiver::{Got, Receiver};
use super::{child, configured, roster, second};
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use serin::publish::{Item, Publisher, Roster};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::sleep;

/// Requests that find no log group, and those after them that find Logs away.
const GROUPLESS: usize = 8;
const AWAY: usize = 12;

fn says(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", "application/x-amz-json-1.1".parse().expect("a header"));
    response
}

fn no(kind: &str) -> Response<Full<Bytes>> {
    says(StatusCode::BAD_REQUEST, &json!({ "__type": kind, "message": "no" }))
}

fn operation(got: &Got) -> &str {
    let target = got.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    target.strip_prefix("Logs_20140328.").unwrap_or_default()
}

fn body(got: &Got) -> Value {
    serde_json::from_slice(&got.body).expect("JSON")
}

/// The lines of a request, as Logs takes metrics from them.
fn lines(got: &Got) -> Vec<Value> {
    let body = body(got);
    let events = body["logEvents"].as_array().expect("events").iter();
    events
        .map(|event| serde_json::from_str(event["message"].as_str().expect("text")).expect("JSON"))
        .collect()
}

/// The first of AWS's rules that `got` breaks (`CloudWatch` Logs API reference, `PutLogEvents`; the specification of the format).
fn broken_rule(got: &Got) -> Option<&'static str> {
    let request = body(got);
    let events = request["logEvents"].as_array()?;
    let at: Vec<i64> = events.iter().filter_map(|event| event["timestamp"].as_i64()).collect();
    let size = |event: &Value| event["message"].as_str().map_or(usize::MAX, |text| text.len() + 26);
    let rules = [
        ("the format", got.headers.get("x-amzn-logs-format").is_some_and(|value| value == "json/emf")),
        ("1 to 10,000 events", (1..=10_000).contains(&events.len())),
        ("1 MiB", events.iter().map(size).sum::<usize>() <= 1 << 20),
        ("in order", at.len() == events.len() && at.is_sorted()),
        ("no token", request["sequenceToken"].is_null()),
        (
            "the time of the line",
            lines(got).iter().zip(&at).all(|(line, at)| line["_aws"]["Timestamp"] == *at),
        ),
    ];
    rules.into_iter().find(|(_, kept)| !kept).map(|(rule, _)| rule)
}

/// Production probes that the lines of `got` tell of.
fn attempts(got: &Got) -> f64 {
    let lines = lines(got);
    lines.iter().filter(|line| line["Target"].is_null()).filter_map(|line| line["Attempts"].as_f64()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_made_once_and_what_a_group_missed_it_gets_later() {
    let (made, told) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
    let (taken, is_made) = (Arc::new(std::sync::Mutex::new(Vec::new())), Arc::clone(&made));
    let notes = Arc::clone(&taken);
    let receiver = Receiver::start(move |number, got| {
        if number < GROUPLESS {
            return no("ResourceNotFoundException");
        }
        if number < AWAY {
            return says(StatusCode::SERVICE_UNAVAILABLE, &json!({}));
        }
        match operation(got) {
            "CreateLogStream" if is_made.swap(true, Ordering::Relaxed) => {
                no("ResourceAlreadyExistsException")
            }
            "CreateLogStream" => says(StatusCode::OK, &json!({})),
            "PutLogEvents" if !is_made.load(Ordering::Relaxed) => no("ResourceNotFoundException"),
            "PutLogEvents" if broken_rule(got).is_some() => no("InvalidParameterException"),
            "PutLogEvents" => {
                notes.lock().expect("no panic while serving").push(attempts(got));
                // Of the first that is taken one line is said to be older than the group keeps.
                let expired = json!({ "rejectedLogEventsInfo": { "expiredLogEventEndIndex": 1 } });
                let first = !told.swap(true, Ordering::Relaxed);
                says(StatusCode::OK, &if first { expired } else { json!({}) })
            }
            _ => no("UnknownOperationException"),
        }
    })
    .await;
    child("emf::in_child_log_group", aws(receiver.url(""))).await;

    let got = receiver.got();
    let broken: Vec<&str> =
        got.iter().filter(|got| operation(got) == "PutLogEvents").filter_map(broken_rule).collect();
    assert_eq!(broken, [""; 0]);
    let places: Vec<(Value, Value)> = got
        .iter()
        .map(body)
        .map(|body| (body["logGroupName"].clone(), body["logStreamName"].clone()))
        .collect();
    assert!(
        places.iter().all(|place| *place == (json!("/serin/metrics"), json!("serin/pod-7-a"))),
        "{places:?}"
    );
    assert!(made.load(Ordering::Relaxed));
    let asked = got.iter().skip(AWAY).filter(|got| operation(got) == "CreateLogStream").count();
    assert!((1..=4).contains(&asked), "once, by each batch that found none: {asked}");
    let sum: f64 = taken.lock().expect("no panic while serving").iter().sum();
    assert!((sum - 200.0).abs() < 0.5, "{sum} of 200 probes, none twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by a_stream_is_made_once_and_what_a_group_missed_it_gets_later"]
async fn in_child_log_group() {
    let folder = tempfile::tempdir().expect("a folder");
    let roster = Roster { spool: Some(folder.path().to_owned()), ..roster() };
    let settings = configured("[publish.emf]\ninterval = \"1s\"\nlog_group = \"/serin/metrics\"\n", &[]);
    // A machine's name may have what a stream's may not.
    let publisher =
        Publisher::start(&settings, &roster, "pod:7*a", "9.8.7").expect("settings that make sense");
    for _ in 0..20 {
        publisher.send(Item::Second(second(1)));
        sleep(Duration::from_millis(200)).await;
    }
    until("all of it", || waiting(&publisher, "emf") == 0).await;
    // The last may be on their way still.
    sleep(Duration::from_millis(1_500)).await;
    until("all of it", || waiting(&publisher, "emf") == 0).await;
    let one = BTreeMap::from([("{destination=\"emf\",reason=\"refused\"}".to_owned(), 1)]);
    assert_eq!(losses(&publisher), one, "what Logs rejected, and nothing else");
    publisher.drain(Duration::from_secs(5)).await;
}
