//! Several destinations, one message: what each gets, and that none waits for another.

use super::receiver::{Receiver, status};
use super::{CANARY, Log, configured, openmetrics, operator, page, second, shown, start};
use http::StatusCode;
use serde_json::Value;
use serin::clock;
use serin::model::guard::{Command, PageKind};
use serin::model::message::{MessageKind, SCHEMA};
use serin::model::record::Record;
use serin::model::release::{Cause, EpochId, ReleaseId};
use serin::model::time::Mono;
use serin::publish::Item;
use serin::settings::Publish;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

fn both(webhook: &Receiver, slack: &Receiver) -> Publish {
    let tables = "[publish.webhook]\nurl = { env = \"WEBHOOK\" }\ntimeout = \"2s\"\n\
        [publish.slack]\nurl = { env = \"SLACK\" }\ntimeout = \"2s\"\n";
    let secret = |receiver: &Receiver| receiver.url(&format!("/{CANARY}"));
    configured(tables, &[("WEBHOOK", &secret(webhook)), ("SLACK", &secret(slack))])
}

fn hold(reason: &str) -> Item {
    operator(Command::Hold { reason: reason.into() })
}

#[tokio::test]
async fn a_hold_and_its_end_are_told_and_no_other_note_is() {
    let (webhook, slack) = (
        Receiver::start(|_, _| status(StatusCode::OK)).await,
        Receiver::start(|_, _| status(StatusCode::OK)).await,
    );
    let publisher = start(&both(&webhook, &slack));
    let epoch = Record::Epoch {
        epoch: EpochId(5),
        cause: Cause::Start,
        release: Some(ReleaseId(2)),
        label: None,
        state: None,
        shows: "blue".into(),
        after: Mono(1),
        since: Mono(2),
    };
    publisher.send(Item::Note("shop".into(), Arc::new(epoch)));
    publisher.send(Item::Second(second(0)));
    publisher.send(hold("a migration <now> & here"));
    publisher.send(operator(Command::ReleaseBegin { label: Some("v9".into()), irreversible: false }));
    publisher.send(operator(Command::Unhold));
    publisher.send(operator(Command::Ack));
    publisher.send(page(PageKind::Breach));
    publisher.drain(Duration::from_secs(5)).await;
    let told: Vec<Value> =
        webhook.got().iter().map(|got| serde_json::from_slice(&got.body).expect("JSON")).collect();
    let kinds: Vec<&str> = told.iter().map(|message| message["kind"].as_str().expect("a kind")).collect();
    assert_eq!(kinds, ["hold", "hold", "hold", "breach"]);
    assert_eq!(
        told[0]["text"],
        "an operator holds: a migration <now> & here. Nothing is written until that ends"
    );
    assert_eq!((&told[0]["epoch"], &told[0]["release"]), (&5.into(), &2.into()), "of the open epoch");
    assert_eq!((&told[0]["dry_run"], &told[0]["service"]), (&true.into(), &"shop".into()));
    let ids: BTreeSet<&str> = told.iter().map(|message| message["id"].as_str().expect("an id")).collect();
    assert_eq!(ids.len(), 4, "each message has its own");
    let said: Vec<String> = slack
        .got()
        .iter()
        .map(|got| {
            let body: Value = serde_json::from_slice(&got.body).expect("JSON");
            assert_eq!(
                body.as_object().map(serde_json::Map::len),
                Some(1),
                "Slack refuses keys it doesn't know"
            );
            body["text"].as_str().expect("a text").to_owned()
        })
        .collect();
    assert_eq!(
        said[0],
        "*hold* shop, release 2 (DRY RUN)\nan operator holds: a migration &lt;now&gt; &amp; here. Nothing is written until that ends"
    );
    assert_eq!(said[3], "*breach* shop, release 3 (DRY RUN)\n29 of 29 answers bad");
}

/// What `deploy/message.schema.json` says is what is sent.
#[tokio::test]
async fn the_schema_is_that_of_the_messages() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/message.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("a file")).expect("JSON");
    let words = |value: &Value| -> BTreeSet<String> {
        let words = value.as_array().expect("a list").iter();
        words.map(|word| word.as_str().expect("a text").to_owned()).collect()
    };
    let kinds: BTreeSet<String> = MessageKind::all().map(|kind| kind.name().to_owned()).collect();
    assert_eq!(words(&schema["properties"]["kind"]["enum"]), kinds);
    assert_eq!(schema["properties"]["schema"]["const"], SCHEMA);
    let keys = |value: &Value| -> BTreeSet<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    assert_eq!(keys(&schema["properties"]), words(&schema["required"]));

    let webhook = Receiver::start(|_, _| status(StatusCode::OK)).await;
    let publisher = start(&both(&webhook, &webhook));
    publisher.send(page(PageKind::Breach));
    publisher.drain(Duration::from_secs(5)).await;
    let told: Vec<Value> =
        webhook.got().iter().map(|got| serde_json::from_slice(&got.body).expect("JSON")).collect();
    let message = told.iter().find(|message| message.get("kind").is_some()).expect("the webhook's");
    assert_eq!(keys(message), keys(&schema["properties"]));
    for (key, value) in message.as_object().expect("an object") {
        let is = match value {
            Value::Bool(_) => "boolean",
            Value::Number(_) => "integer",
            _ => "string",
        };
        let said = &schema["properties"][key]["type"];
        let fits = said == is || said.as_array().is_some_and(|types| types.contains(&is.into()));
        assert!(fits || said.is_null(), "{key} is {said}, not {is}");
    }
}

#[tokio::test]
async fn one_that_hangs_delays_neither_another_nor_whoever_sends() {
    let (hanging, slack) = (Receiver::hanging().await, Receiver::start(|_, _| status(StatusCode::OK)).await);
    let publisher = start(&both(&hanging, &slack));
    let begun = clock::now();
    for _ in 0..20 {
        publisher.send(page(PageKind::Breach));
    }
    let took = clock::now().since(begun);
    assert!(took < Duration::from_millis(100), "{took:?}");
    slack.wait(20).await;
    let took = clock::now().since(begun);
    assert!(took < Duration::from_secs(2), "the first attempt at the other one still waits: {took:?}");
    let text = openmetrics(&publisher);
    assert!(text.contains("serin_dropped_total{destination=\"slack\",reason=\"unavailable\"} 0\n"), "{text}");
    let begun = clock::now();
    publisher.drain(Duration::from_millis(300)).await;
    let took = clock::now().since(begun);
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn the_secret_of_the_channel_is_never_shown() {
    let (log, _guard) = Log::capture();
    let slack = Receiver::start(|_, _| status(StatusCode::NOT_FOUND)).await;
    let webhook = Receiver::start(|_, _| status(StatusCode::OK)).await;
    let settings = both(&webhook, &slack);
    let publisher = start(&settings);
    publisher.send(page(PageKind::Refused));
    let text = shown(&publisher, "serin_dropped_total{destination=\"slack\",reason=\"refused\"} 1").await;
    let shown = format!("{text}{publisher:?}{settings:?}");
    publisher.drain(Duration::from_secs(1)).await;
    assert!(log.text().contains("a message was lost"), "{}", log.text());
    assert!(log.text().contains("destination=\"slack\""), "{}", log.text());
    assert!(!shown.contains(CANARY) && !log.text().contains(CANARY), "{shown}{}", log.text());
    assert_eq!(slack.got().len(), 1, "404 stays 404");
}
