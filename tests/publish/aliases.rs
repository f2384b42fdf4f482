//! The last probe of each URL under the names of other probers.

use super::otlp::{attribute, decode, metrics, otlp};
use super::receiver::{Receiver, status};
use super::{configured, openmetrics, shown};
use http::StatusCode;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use serin::clock;
use serin::model::delta::{Delta, Last, Own, Second, Times};
use serin::model::policy::Mode;
use serin::model::sample::{Fault, Outcome, Phases, Purpose};
use serin::model::target::TargetId;
use serin::model::time::Span;
use serin::publish::{Asked, Format, Item, Publisher, Roster};
use serin::settings::{Peer, Publish};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const FRONT: &str = "service=\"shop\",target=\"front\"";

fn asked(name: &str, url: &str, method: &str) -> (Arc<str>, Asked) {
    (name.into(), Asked { url: url.into(), method: method.into(), tls: url.starts_with("https") })
}

/// Two URLs, of which the second is asked over TLS.
fn start(settings: &Publish) -> Publisher {
    let roster = Roster {
        services: vec![("shop".into(), ["front", "cart"].map(Arc::from).to_vec(), Mode::Observe)],
        asked: BTreeMap::from([(
            "shop".into(),
            vec![
                asked("front", "http://shop.example/", "GET"),
                asked("cart", "https://shop.example/cart", "HEAD"),
            ],
        )]),
        ..Roster::default()
    };
    Publisher::start(settings, &roster, "instance-1", "9.8.7").expect("settings that make sense")
}

fn both() -> BTreeSet<Peer> {
    Peer::ALL.into()
}

/// A second of `target`, and the last probe in it.
fn second(target: u16, last: Option<Last>) -> Item {
    of(crate::targets(), target, last)
}

/// The same of a service with these targets.
fn of(targets: Arc<[Arc<str>]>, target: u16, last: Option<Last>) -> Item {
    let delta = Delta {
        target: TargetId(target),
        purpose: Some(Purpose::Production),
        attempts: 1,
        last,
        ..Delta::default()
    };
    Item::Second(Arc::new(Second {
        service: "shop".into(),
        at: clock::now(),
        targets,
        deltas: vec![delta],
        times: Times::default(),
        rolling: None,
        urls: Vec::new(),
        own: Own::default(),
    }))
}

/// On a new connection over TLS, 1 to 8 ms in each phase.
fn fresh(outcome: Outcome, status: u16) -> Last {
    let ms = |ms| Span::of(Duration::from_millis(ms));
    let phases = Phases {
        wake: ms(1),
        queue: ms(2),
        dns: ms(3),
        connect: ms(4),
        tls: ms(5),
        write: ms(6),
        first_byte: ms(7),
        body: ms(8),
    };
    Last { outcome, status, phases }
}

/// On a kept connection, an answer of one part after 7 ms.
fn kept(outcome: Outcome, status: u16) -> Last {
    let phases = Phases { first_byte: Span::of(Duration::from_millis(7)), ..Phases::default() };
    Last { outcome, status, phases }
}

/// The samples of other names than ours, with their values.
fn others(text: &str) -> BTreeMap<String, f64> {
    let lines =
        text.lines().filter(|line| ["probe_", "httpcheck_"].iter().any(|name| line.starts_with(name)));
    let parts = lines.map(|line| line.rsplit_once(' ').expect("a value"));
    parts.map(|(series, value)| (series.to_owned(), value.parse().expect("a number"))).collect()
}

/// The series of `names` of the first URL, each with its value.
fn of_front(instance: &str, names: &[(&str, &str, f64)]) -> BTreeMap<String, f64> {
    let series = |(name, more, value): &(&str, &str, f64)| {
        let more = if more.is_empty() { String::new() } else { format!(",{more}") };
        (format!("{name}{{{instance}=\"http://shop.example/\",{FRONT}{more}}}"), *value)
    };
    names.iter().map(series).collect()
}

#[tokio::test]
async fn nobody_who_did_not_ask_for_them_gets_them() {
    let publisher = start(&Publish::default());
    publisher.send(second(0, Some(kept(Outcome::Ok, 200))));
    let attempts = "serin_probe_attempts_total{service=\"shop\",target=\"front\",purpose=\"production\"} 1";
    let text = shown(&publisher, attempts).await;
    assert!(!text.contains("httpcheck") && !text.contains(" probe_"), "{text}");
}

#[tokio::test]
async fn blackbox_exporter_s_names_tell_the_last_probe_and_nothing_that_is_not_known() {
    let settings = Publish { aliases: [Peer::Blackbox].into(), ..Publish::default() };
    let publisher = start(&settings);
    assert_eq!(others(&openmetrics(&publisher)), BTreeMap::new(), "nobody was asked yet");

    publisher.send(second(0, Some(kept(Outcome::Ok, 204))));
    let text = shown(&publisher, "probe_success").await;
    let wants = of_front(
        "instance",
        &[
            ("probe_success", "", 1.0),
            ("probe_duration_seconds", "", 0.007),
            ("probe_http_duration_seconds", "phase=\"processing\"", 0.007),
            ("probe_http_status_code", "", 204.0),
            ("probe_http_ssl", "", 0.0),
            ("probe_http_redirects", "", 0.0),
        ],
    );
    assert_eq!(others(&text), wants, "a kept connection resolves, connects and shakes hands no more");

    // Refused: no status, and no TLS that was seen.
    let phases = Phases { connect: Span::of(Duration::from_millis(4)), ..Phases::default() };
    publisher.send(second(0, Some(Last { outcome: Outcome::Bad(Fault::ConnectRefused), status: 0, phases })));
    let text =
        shown(&publisher, &format!("probe_success{{instance=\"http://shop.example/\",{FRONT}}} 0")).await;
    let wants = of_front(
        "instance",
        &[
            ("probe_success", "", 0.0),
            ("probe_duration_seconds", "", 0.004),
            ("probe_http_duration_seconds", "phase=\"connect\"", 0.004),
        ],
    );
    assert_eq!(others(&text), wants);

    publisher.send(second(0, None));
    publisher.send(second(1, Some(fresh(Outcome::Bad(Fault::Status), 503))));
    let text = shown(&publisher, "probe_success{instance=\"https://shop.example/cart\"").await;
    let cart = "instance=\"https://shop.example/cart\",service=\"shop\",target=\"cart\"";
    let one = |name: &str, value: f64| (format!("{name}{{{cart}}}"), value);
    let phase =
        |phase: &str, value: f64| (format!("probe_http_duration_seconds{{{cart},phase=\"{phase}\"}}"), value);
    let wants = BTreeMap::from([
        one("probe_success", 0.0),
        one("probe_duration_seconds", 0.035),
        one("probe_dns_lookup_time_seconds", 0.003),
        one("probe_http_status_code", 503.0),
        one("probe_http_ssl", 1.0),
        one("probe_http_redirects", 0.0),
        phase("resolve", 0.003),
        phase("connect", 0.004),
        phase("tls", 0.005),
        phase("processing", 0.013),
        phase("transfer", 0.008),
    ]);
    assert_eq!(others(&text), wants, "a second that we spoilt ends what was known of the other");
    let plain = String::from_utf8(publisher.metrics(Format::Text)).expect("it is text");
    assert_eq!(others(&plain), wants, "each format tells the same");
}

#[tokio::test]
async fn the_receiver_s_names_tell_a_class_of_five_and_an_error_of_a_closed_set() {
    let settings = Publish { aliases: [Peer::HttpCheck].into(), ..Publish::default() };
    let publisher = start(&settings);
    publisher.send(second(0, Some(kept(Outcome::Bad(Fault::Status), 503))));
    let text = shown(&publisher, "httpcheck_status").await;
    let status = |class: &str, code: &str| format!("http_method=\"GET\",http_status_class=\"{class}\"{code}");
    let [one, two, three, four] = ["1xx", "2xx", "3xx", "4xx"].map(|class| status(class, ""));
    let code = ",http_status_code=\"503\"";
    let five = [status("5xx", code), status("5xx", "")];
    let [one, two, three, four] = [&one, &two, &three, &four].map(|more| ("httpcheck_status", &**more, 0.0));
    let wants = of_front(
        "http_url",
        &[
            one,
            two,
            three,
            four,
            ("httpcheck_status", &five[0], 1.0),
            ("httpcheck_duration_milliseconds", "", 7.0),
        ],
    );
    assert_eq!(others(&text), wants, "an answer that came is no error of the check");

    let full = Last { outcome: Outcome::Saturated, status: 0, phases: Phases::default() };
    publisher.send(second(0, Some(full)));
    let text = shown(&publisher, "httpcheck_error").await;
    let message = ("httpcheck_error", "error_message=\"saturated\"", 1.0);
    let wants = of_front("http_url", &[one, two, three, four, ("httpcheck_status", &five[1], 0.0), message]);
    assert_eq!(others(&text), wants, "what couldn't be sent took no time");
}

#[tokio::test]
async fn over_otlp_the_receiver_s_figures_are_what_a_collector_sends() {
    let receiver = Receiver::start(|_, _| status(StatusCode::OK)).await;
    let settings = Publish { aliases: both(), ..otlp(&receiver.url(""), Duration::from_mins(10)) };
    let publisher = start(&settings);
    publisher.send(second(0, Some(kept(Outcome::Ok, 200))));
    shown(&publisher, "probe_success{instance=\"http://shop.example/\"").await;
    publisher.send(second(1, Some(fresh(Outcome::Bad(Fault::Timeout), 0))));
    shown(&publisher, "probe_success{instance=\"https://shop.example/cart\"").await;
    publisher.drain(Duration::from_secs(10)).await;
    let request = decode(receiver.got().last().expect("an export"));
    let all = metrics(&request);
    let find = |name: &str| *all.iter().find(|metric| metric.name == name).expect(name);
    assert!(!all.iter().any(|metric| metric.name.starts_with("probe_")), "those are for /metrics");

    let Some(Data::Sum(sum)) = &find("httpcheck.status").data else { panic!("a sum") };
    assert!(!sum.is_monotonic);
    assert_eq!(sum.aggregation_temporality, 2, "cumulative");
    assert_eq!((find("httpcheck.status").unit.as_str(), sum.data_points.len()), ("1", 10));
    let holds: Vec<_> =
        sum.data_points.iter().filter(|point| point.value == Some(Number::AsInt(1))).collect();
    let [point] = *holds else { panic!("{holds:?}") };
    for (key, value) in [
        ("http.url", "http://shop.example/"),
        ("http.method", "GET"),
        ("http.status_class", "2xx"),
        ("serin.service", "shop"),
        ("serin.target", "front"),
    ] {
        assert_eq!(attribute(&point.attributes, key), Some(value), "{key}");
    }
    let code = point.attributes.iter().find(|attribute| attribute.key == "http.status_code").expect("a code");
    assert_eq!(code.value.as_ref().and_then(|value| value.value.clone()), Some(Value::IntValue(200)));

    let Some(Data::Gauge(gauge)) = &find("httpcheck.duration").data else { panic!("a gauge") };
    let values: BTreeSet<String> =
        gauge.data_points.iter().map(|point| format!("{:?}", point.value.expect("a value"))).collect();
    assert_eq!(values, ["AsDouble(7.0)", "AsDouble(35.0)"].map(String::from).into());
    let Some(Data::Sum(errors)) = &find("httpcheck.error").data else { panic!("a sum") };
    let [error] = &*errors.data_points else { panic!("{errors:?}") };
    assert_eq!(error.value, Some(Number::AsInt(1)));
    assert_eq!(attribute(&error.attributes, "error.message"), Some("timeout"));
    assert_eq!(attribute(&error.attributes, "http.url"), Some("https://shop.example/cart"));
    for (name, value) in [
        ("httpcheck.dns.lookup.duration", 3.0),
        ("httpcheck.client.connection.duration", 4.0),
        ("httpcheck.tls.handshake.duration", 5.0),
        ("httpcheck.client.request.duration", 6.0),
        ("httpcheck.response.duration", 8.0),
    ] {
        let Some(Data::Gauge(gauge)) = &find(name).data else { panic!("a gauge") };
        let [point] = &*gauge.data_points else { panic!("{gauge:?}") };
        assert_eq!((point.value, &*find(name).unit), (Some(Number::AsDouble(value)), "ms"), "{name}");
    }
}

#[test]
fn a_url_is_told_without_its_query() {
    let document = "service = \"shop\"\n[[targets]]\nurl = \"https://shop.example/a?key=S3CR3T\"\nmethod = \"HEAD\"\n\
                    [objectives]\navailability = \"99%\"\n";
    let sources = serin::config::Sources {
        paths: vec!["env:DOC".to_owned()],
        variables: BTreeMap::from([("DOC".to_owned(), document.to_owned())]),
        overrides: Vec::new(),
    };
    let settings = serin::settings::load(&sources).expect("a document that loads");
    let asked = Asked::of(&settings.services[0].targets[0]);
    assert_eq!((&*asked.url, &*asked.method, asked.tls), ("https://shop.example/a", "HEAD", true));
}

#[test]
fn the_file_names_them() {
    assert_eq!(configured("", &[]).aliases, BTreeSet::new());
    let tables = "[publish]\naliases = [\"httpcheck\", \"blackbox\", \"httpcheck\"]\n";
    assert_eq!(configured(tables, &[]).aliases, both());
}

#[tokio::test]
async fn a_configuration_that_is_read_anew_ends_and_begins_them_too() {
    let publisher = start(&Publish { aliases: [Peer::Blackbox].into(), ..Publish::default() });
    publisher.send(second(0, Some(kept(Outcome::Ok, 200))));
    publisher.send(second(1, Some(kept(Outcome::Ok, 201))));
    let codes = |text: &str| -> Vec<(String, f64)> {
        let all = others(text).into_iter().filter(|(series, _)| series.starts_with("probe_http_status_code"));
        all.map(|(series, code)| (series.split("target=").nth(1).unwrap().to_owned(), code)).collect()
    };
    let both = [("\"front\"}".to_owned(), 200.0), ("\"cart\"}".to_owned(), 201.0)];
    let text = shown(&publisher, "probe_success{instance=\"https://shop.example/cart\"").await;
    assert_eq!(codes(&text), both);
    // The first is gone, the second stays and has its number, and one is new.
    let now =
        vec![asked("cart", "https://shop.example/cart", "HEAD"), asked("new", "http://new.example/", "GET")];
    publisher.send(Item::Asked("shop".into(), now));
    let targets: Arc<[Arc<str>]> = ["cart", "new"].map(Arc::from).into();
    publisher.send(of(Arc::clone(&targets), 1, Some(kept(Outcome::Ok, 202))));
    let text = shown(&publisher, "probe_success{instance=\"http://new.example/\"").await;
    assert_eq!(codes(&text), [("\"new\"}".to_owned(), 202.0), ("\"cart\"}".to_owned(), 201.0)]);
    // Of a URL that is asked elsewhere nothing is known.
    publisher.send(Item::Asked(
        "shop".into(),
        vec![asked("cart", "https://other.example/", "GET"), asked("new", "http://new.example/", "GET")],
    ));
    publisher.send(of(targets, 1, Some(kept(Outcome::Ok, 203))));
    shown(
        &publisher,
        "probe_http_status_code{instance=\"http://new.example/\",service=\"shop\",target=\"new\"} 203",
    )
    .await;
    assert_eq!(codes(&openmetrics(&publisher)), [("\"new\"}".to_owned(), 203.0)]);
    publisher.send(Item::Gone("shop".into()));
    publisher.send(Item::Reloaded { at: serin::model::time::Wall(1_000), taken: false });
    let text = shown(&publisher, "serin_config_last_reload_successful{} 0").await;
    assert_eq!(others(&text), BTreeMap::new());
}
