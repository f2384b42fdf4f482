//! SNS and `EventBridge`: what the unmodified SDK sends, and what becomes of AWS's answers.

use super::receiver::{Got, Receiver, status};
use super::{Log, child, configured, openmetrics, operator, page, shown, start};
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::Value;
use serin::clock;
use serin::model::guard::{Command, PageKind};
use serin::settings::Publish;
use std::collections::BTreeMap;
use std::time::Duration;

const TOPIC: &str = "arn:aws:sns:eu-central-1:123456789012:deployments";

fn aws(receiver: &Receiver) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ENDPOINT_URL", receiver.url("")),
        ("AWS_REGION", "eu-west-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "example".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ]
}

fn topic(suffix: &str) -> Publish {
    configured(&format!("[publish.sns]\ntopic = \"{TOPIC}{suffix}\"\n"), &[])
}

fn bus(name: &str) -> Publish {
    configured(&format!("[publish.eventbridge]\nbus = \"{name}\"\n"), &[])
}

fn with_type(body: &'static str, content_type: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    response.headers_mut().insert("content-type", content_type.parse().expect("a header"));
    response
}

fn published() -> Response<Full<Bytes>> {
    with_type(
        "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult><MessageId>m-1</MessageId>\
         </PublishResult><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></PublishResponse>",
        "text/xml",
    )
}

fn form(got: &Got) -> BTreeMap<String, String> {
    form_urlencoded::parse(&got.body).into_owned().collect()
}

/// Name → value of the message's attributes.
fn attributes(form: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    let of = |number: usize, part: &str| {
        form.get(&format!("MessageAttributes.entry.{number}.{part}")).map(String::as_str)
    };
    (1..=3).filter_map(|number| Some((of(number, "Name")?, of(number, "Value.StringValue")?))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_gets_the_message_with_what_subscriptions_filter_by() {
    let receiver = Receiver::start(|_, _| published()).await;
    child("aws::in_child_topic", aws(&receiver)).await;
    let [breach, hold] = receiver.got().try_into().expect("two messages");
    let form = form(&breach);
    assert_eq!((form["Action"].as_str(), form["TopicArn"].as_str()), ("Publish", TOPIC));
    assert_eq!(form["Subject"], "Serin: shop breach (DRY RUN)");
    assert_eq!(attributes(&form), BTreeMap::from([("kind", "breach"), ("service", "shop")]));
    assert_eq!(form["MessageAttributes.entry.1.Value.DataType"], "String");
    let message: Value = serde_json::from_str(&form["Message"]).expect("JSON");
    assert_eq!((&message["kind"], &message["text"]), (&"breach".into(), &"29 of 29 answers bad".into()));
    assert!(!form.contains_key("MessageGroupId") && !form.contains_key("MessageDeduplicationId"));
    let signed = breach.headers["authorization"].to_str().expect("ASCII");
    assert!(signed.contains("/eu-central-1/sns/aws4_request"), "the region is that of the ARN: {signed}");
    let subject = super::aws::form(&hold)["Subject"].clone();
    assert!(subject.is_ascii() && !subject.contains('\n') && subject.len() <= 100, "{subject}");
}

#[tokio::test]
#[ignore = "started by a_topic_gets_the_message_with_what_subscriptions_filter_by"]
async fn in_child_topic() {
    let publisher = start(&topic(""));
    publisher.send(page(PageKind::Breach));
    publisher.send(operator(Command::Hold { reason: "two\nlines, é".into() }));
    publisher.drain(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fifo_topic_knows_a_repeated_attempt_by_its_id() {
    let receiver = Receiver::start(|n, _| match n {
        0 => status(StatusCode::SERVICE_UNAVAILABLE),
        _ => published(),
    })
    .await;
    child("aws::in_child_fifo_topic", aws(&receiver)).await;
    let [first, second] = receiver.got().try_into().expect("one message, twice");
    let (first, second) = (form(&first), form(&second));
    assert_eq!(first["TopicArn"], format!("{TOPIC}.fifo"));
    assert_eq!(first["MessageGroupId"], "shop");
    let message: Value = serde_json::from_str(&first["Message"]).expect("JSON");
    assert_eq!(first["MessageDeduplicationId"], message["id"].as_str().expect("an id"));
    for key in ["Message", "MessageGroupId", "MessageDeduplicationId"] {
        assert_eq!(first[key], second[key]);
    }
    // The SDK numbers them as it likes.
    assert_eq!(attributes(&first), attributes(&second));
}

#[tokio::test]
#[ignore = "started by a_fifo_topic_knows_a_repeated_attempt_by_its_id"]
async fn in_child_fifo_topic() {
    let publisher = start(&topic(".fifo"));
    publisher.send(page(PageKind::Breach));
    publisher.drain(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denial_is_told_once_and_not_repeated() {
    let receiver = Receiver::start(|_, _| {
        let mut response = with_type(
            "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>Sender</Type>\
             <Code>AuthorizationError</Code><Message>not authorized to perform: SNS:Publish</Message></Error></ErrorResponse>",
            "text/xml",
        );
        *response.status_mut() = StatusCode::FORBIDDEN;
        response
    })
    .await;
    child("aws::in_child_denied", aws(&receiver)).await;
    assert_eq!(receiver.got().len(), 1);
}

#[tokio::test]
#[ignore = "started by a_denial_is_told_once_and_not_repeated"]
async fn in_child_denied() {
    let (log, _guard) = Log::capture();
    let publisher = start(&topic(""));
    publisher.send(page(PageKind::Breach));
    shown(&publisher, "serin_dropped_total{destination=\"sns\",reason=\"refused\"} 1").await;
    assert!(
        log.text().contains("AuthorizationError: not authorized to perform: SNS:Publish"),
        "{}",
        log.text()
    );
}

fn put(failed: bool) -> Response<Full<Bytes>> {
    let body = if failed {
        "{\"FailedEntryCount\":1,\"Entries\":[{\"ErrorCode\":\"ThrottlingException\",\"ErrorMessage\":\"slower\"}]}"
    } else {
        "{\"FailedEntryCount\":0,\"Entries\":[{\"EventId\":\"e-1\"}]}"
    };
    with_type(body, "application/x-amz-json-1.1")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_gets_events_and_an_entry_that_failed_is_sent_again() {
    let receiver = Receiver::start(|n, _| put(n == 0)).await;
    child("aws::in_child_bus", aws(&receiver)).await;
    let got = receiver.got();
    assert_eq!(got.len(), 3, "the first one twice");
    let entries: Vec<Value> = got
        .iter()
        .map(|got| {
            assert_eq!(got.headers["x-amz-target"], "AWSEvents.PutEvents");
            let signed = got.headers["authorization"].to_str().expect("ASCII");
            assert!(signed.contains("/us-east-2/events/aws4_request"), "{signed}");
            let mut body: Value = serde_json::from_slice(&got.body).expect("JSON");
            assert_eq!(body["Entries"].as_array().map(Vec::len), Some(1));
            body["Entries"][0].take()
        })
        .collect();
    assert_eq!(entries[0], entries[1], "the same event, with the same id in it");
    let entry = &entries[0];
    assert_eq!(entry["EventBusName"], "arn:aws:events:us-east-2:123456789012:event-bus/ops");
    assert_eq!((&entry["Source"], &entry["DetailType"]), (&"serin.prober".into(), &"Serin Reverted".into()));
    assert_eq!(entries[2]["DetailType"], "Serin Hold");
    let detail: Value = serde_json::from_str(entry["Detail"].as_str().expect("a text")).expect("JSON");
    assert_eq!((&detail["kind"], &detail["schema"]), (&"reverted".into(), &1.into()));
    let at: jiff::Timestamp = detail["at"].as_str().expect("a text").parse().expect("RFC 3339");
    let time = entry["Time"].as_f64().expect("seconds");
    assert!((time - at.as_duration().as_secs_f64()).abs() < 1.0, "{time} {at}");
}

#[tokio::test]
#[ignore = "started by a_bus_gets_events_and_an_entry_that_failed_is_sent_again"]
async fn in_child_bus() {
    let publisher = start(&bus("arn:aws:events:us-east-2:123456789012:event-bus/ops"));
    publisher.send(page(PageKind::Reverted));
    publisher.send(operator(Command::Hold { reason: "x".into() }));
    publisher.drain(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_never_takes_the_entry_loses_the_message_and_says_why() {
    let receiver = Receiver::start(|_, _| put(true)).await;
    child("aws::in_child_bus_lost", aws(&receiver)).await;
    let got = receiver.got();
    assert_eq!(got.len(), 3, "three attempts");
    let signed = got[0].headers["authorization"].to_str().expect("ASCII");
    assert!(
        signed.contains("/eu-west-1/events/aws4_request"),
        "a name has the environment's region: {signed}"
    );
}

#[tokio::test]
#[ignore = "started by a_bus_that_never_takes_the_entry_loses_the_message_and_says_why"]
async fn in_child_bus_lost() {
    let (log, _guard) = Log::capture();
    let publisher = start(&bus("default"));
    publisher.send(page(PageKind::Breach));
    shown(&publisher, "serin_dropped_total{destination=\"eventbridge\",reason=\"unavailable\"} 1").await;
    assert!(log.text().contains("ThrottlingException: slower"), "{}", log.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aws_that_hangs_costs_three_bounded_attempts_and_delays_nobody() {
    let (hanging, webhook) =
        (Receiver::hanging().await, Receiver::start(|_, _| status(StatusCode::OK)).await);
    let mut variables = aws(&hanging);
    variables.push(("SERIN_TEST_URL", webhook.url("/hook")));
    child("aws::in_child_hanging", variables).await;
    assert_eq!(webhook.got().len(), 1);
}

#[tokio::test]
#[ignore = "started by an_aws_that_hangs_costs_three_bounded_attempts_and_delays_nobody"]
async fn in_child_hanging() {
    let (log, _guard) = Log::capture();
    let url = std::env::var("SERIN_TEST_URL").expect("a URL");
    let tables = format!(
        "[publish.sns]\ntopic = \"{TOPIC}\"\ntimeout = \"200ms\"\n\
         [publish.eventbridge]\nbus = \"default\"\ntimeout = \"200ms\"\n[publish.webhook]\nurl = \"{url}\"\n"
    );
    let publisher = start(&configured(&tables, &[]));
    let begun = clock::now();
    publisher.send(page(PageKind::Breach));
    for destination in ["sns", "eventbridge"] {
        shown(
            &publisher,
            &format!("serin_dropped_total{{destination=\"{destination}\",reason=\"unavailable\"}} 1"),
        )
        .await;
    }
    let took = clock::now().since(begun);
    // Three attempts, half a second and two seconds between them.
    assert!(took >= Duration::from_millis(3_100) && took < Duration::from_secs(6), "{took:?}");
    assert_eq!(log.text().matches("a message was lost").count(), 2, "{}", log.text());
    assert!(
        openmetrics(&publisher)
            .contains("serin_dropped_total{destination=\"webhook\",reason=\"unavailable\"} 0\n")
    );
}
