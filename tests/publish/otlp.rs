//! OTLP metrics, decoded as a collector would.

use super::receiver::{Got, Receiver, status};
use super::{CANARY, Log, child, second, shown, start};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use serin::clock;
use serin::model::policy::Mode;
use serin::publish::names::{Kind, NAMES};
use serin::publish::{Item, Publisher, Roster};
use serin::settings::{Otlp, OtlpProtocol, Publish, Signal};
use std::time::Duration;

pub(crate) fn otlp(base: &str, interval: Duration) -> Publish {
    let mut token = HeaderValue::from_static(CANARY);
    token.set_sensitive(true);
    let headers = HeaderMap::from_iter([("x-token".parse().expect("a header"), token)]);
    let otlp = Otlp {
        endpoint: base.parse().expect("a URL"),
        protocol: OtlpProtocol::HttpProtobuf,
        signals: [Signal::Metrics].into(),
        interval,
        sigv4: None,
        headers,
        spool: 0,
    };
    Publish { otlp: Some(otlp), ..Publish::default() }
}

pub(crate) fn decode(got: &Got) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest::decode(got.body.as_ref()).expect("protobuf")
}

pub(crate) fn metrics(request: &ExportMetricsServiceRequest) -> Vec<&Metric> {
    request
        .resource_metrics
        .iter()
        .flat_map(|each| &each.scope_metrics)
        .flat_map(|each| &each.metrics)
        .collect()
}

pub(crate) fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let value = &attributes.iter().find(|attribute| attribute.key == key)?.value;
    match value {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => Some(text),
        _ => None,
    }
}

fn points(metric: &Metric) -> &[NumberDataPoint] {
    match metric.data.as_ref().expect("data") {
        Data::Sum(sum) => &sum.data_points,
        Data::Gauge(gauge) => &gauge.data_points,
        other => panic!("{other:?}"),
    }
}

/// The last export of a publisher that was sent three seconds with one bad answer each.
async fn last_export(receiver: &Receiver, publisher: Publisher) -> ExportMetricsServiceRequest {
    for _ in 0..3 {
        publisher.send(Item::Second(second(1)));
    }
    shown(
        &publisher,
        "serin_probe_attempts_total{service=\"shop\",target=\"front\",purpose=\"production\"} 30",
    )
    .await;
    publisher.drain(Duration::from_secs(10)).await;
    decode(receiver.got().last().expect("an export"))
}

#[tokio::test]
async fn the_feed_says_the_same_as_the_catalogue() {
    let receiver = Receiver::start(|_, _| status(StatusCode::OK)).await;
    let publisher = start(&otlp(&receiver.url(""), Duration::from_mins(10)));
    let request = last_export(&receiver, publisher).await;
    let got = receiver.got().pop().expect("an export");
    assert_eq!(got.path, "/v1/metrics");
    assert_eq!(got.headers["content-type"], "application/x-protobuf");
    assert_eq!(got.headers["x-token"], CANARY);

    let resource = request.resource_metrics[0].resource.as_ref().expect("a resource");
    assert_eq!(attribute(&resource.attributes, "service.name"), Some("serin"));
    assert_eq!(attribute(&resource.attributes, "service.instance.id"), Some("instance-1"));
    assert_eq!(attribute(&resource.attributes, "service.version"), Some("9.8.7"));

    for metric in metrics(&request) {
        let name = NAMES.iter().find(|name| name.otlp == metric.name).expect("a name of the catalogue");
        assert_eq!((metric.unit.as_str(), metric.description.as_str()), (name.unit, name.meaning));
    }
    let find = |name: &str| metrics(&request).into_iter().find(|metric| metric.name == name);
    for name in NAMES.iter().filter(|name| name.kind == Kind::Histogram) {
        assert!(find(name.otlp).is_some(), "{} is never sent", name.otlp);
    }
    assert_eq!(points(find("serin.prober.stalled").expect("a level"))[0].value, Some(Number::AsDouble(0.25)));
    assert_eq!(
        points(find("serin.prober.throttled").expect("a level"))[0].value,
        Some(Number::AsDouble(0.3))
    );
    let attempts = points(find("serin.probe.attempts").expect("attempts"));
    let front = attempts
        .iter()
        .find(|point| attribute(&point.attributes, "serin.target") == Some("front"))
        .expect("the target that was asked");
    assert_eq!(front.value, Some(Number::AsInt(30)));
    assert_eq!(points(find("serin.error.ratio").expect("a ratio"))[0].value, Some(Number::AsDouble(0.1)));
    assert!(find("serin.armed").is_none_or(|armed| points(armed).is_empty()), "nobody knows it");
    let failures = points(find("serin.probe.failures").expect("failures"));
    let status = failures.iter().find(|point| attribute(&point.attributes, "error.type") == Some("status"));
    assert!(status.is_some(), "the reason is the semantic convention's error.type");
}

#[tokio::test]
async fn durations_are_exponential_histograms_that_keep_every_value() {
    let receiver = Receiver::start(|_, _| status(StatusCode::OK)).await;
    let publisher = start(&otlp(&receiver.url("/"), Duration::from_mins(10)));
    let request = last_export(&receiver, publisher).await;
    let all = metrics(&request);
    let duration =
        all.iter().find(|metric| metric.name == "http.client.request.duration").expect("durations");
    let Some(Data::ExponentialHistogram(histogram)) = &duration.data else { panic!("{duration:?}") };
    let point = &histogram.data_points[0];
    assert_eq!(point.count, 30);
    let sum = point.sum.expect("a sum");
    assert!((sum / 0.165 - 1.0).abs() < 0.008, "3 × (1 + … + 10) ms, 0.8 % off at most: {sum}");
    assert_eq!(attribute(&point.attributes, "user_agent.synthetic.type"), Some("test"));
    assert_eq!(attribute(&point.attributes, "serin.target"), Some("front"));
}

#[tokio::test]
async fn a_large_service_does_not_overflow_the_sdk_s_limit() {
    let receiver = Receiver::start(|_, _| status(StatusCode::OK)).await;
    let targets = (0..200).map(|number| format!("target-{number}").into()).collect();
    let roster = Roster { services: vec![("shop".into(), targets, Mode::Observe)], ..Roster::default() };
    let settings = otlp(&receiver.url(""), Duration::from_mins(10));
    let publisher = Publisher::start(&settings, &roster, "i", "v").expect("settings that make sense");
    publisher.drain(Duration::from_secs(10)).await;
    let request = decode(receiver.got().last().expect("an export"));
    let all = metrics(&request);
    let failures = all.iter().find(|metric| metric.name == "serin.probe.failures").expect("failures");
    assert_eq!(points(failures).len(), 200 * 18, "12 faults, saturation and 5 of our own");
    for metric in &all {
        let overflow = points(metric)
            .iter()
            .any(|point| point.attributes.iter().any(|attribute| attribute.key == "otel.metric.overflow"));
        assert!(!overflow, "{}", metric.name);
    }
}

#[tokio::test]
async fn a_level_that_is_no_longer_known_is_no_longer_sent() {
    let receiver = Receiver::start(|_, _| status(StatusCode::OK)).await;
    let publisher = start(&otlp(&receiver.url(""), Duration::from_millis(100)));
    let ratio_in = |got: &Got| {
        let request = decode(got);
        metrics(&request)
            .iter()
            .any(|metric| metric.name == "serin.error.ratio" && !points(metric).is_empty())
    };
    publisher.send(Item::Second(second(1)));
    shown(&publisher, "serin_error_ratio").await;
    let before = receiver.got().len();
    let got = receiver.wait(before + 2).await;
    assert!(ratio_in(&got[before + 1]), "known, so sent");
    let mut silent = (*second(0)).clone();
    silent.rolling = None;
    publisher.send(Item::Second(silent.into()));
    shown(
        &publisher,
        "serin_probe_attempts_total{service=\"shop\",target=\"front\",purpose=\"production\"} 20",
    )
    .await;
    let before = receiver.got().len();
    let got = receiver.wait(before + 2).await;
    assert!(!ratio_in(&got[before + 1]), "unknown, so absent");
    publisher.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_collector_that_hangs_or_refuses_delays_nobody() {
    let (log, _guard) = Log::capture();
    let refusing = Receiver::start(|_, _| status(StatusCode::BAD_REQUEST)).await;
    let publisher = start(&otlp(&refusing.url(""), Duration::from_millis(50)));
    shown(&publisher, "serin_dropped_total{destination=\"otlp\",reason=\"refused\"} 2").await;
    publisher.drain(Duration::from_secs(5)).await;
    assert!(!log.text().contains(CANARY), "{}", log.text());

    let hanging = Receiver::hanging().await;
    let publisher = start(&otlp(&hanging.url(""), Duration::from_millis(50)));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begun = clock::now();
    for _ in 0..500 {
        publisher.send(Item::Second(second(0)));
    }
    let took = clock::now().since(begun);
    assert!(took < Duration::from_secs(1), "{took:?}");
    let text = shown(
        &publisher,
        "serin_probe_attempts_total{service=\"shop\",target=\"front\",purpose=\"production\"} 5000",
    )
    .await;
    assert!(
        text.contains("serin_dropped_total{destination=\"prometheus\",reason=\"queue-full\"} 0\n"),
        "{text}"
    );
    let begun = clock::now();
    publisher.drain(Duration::from_millis(300)).await;
    let took = clock::now().since(begun);
    assert!(took < Duration::from_secs(2), "the drain ends when it must: {took:?}");
}

#[tokio::test]
async fn the_variables_of_opentelemetry_are_honoured() {
    let receiver = Receiver::start(|_, _| status(StatusCode::OK)).await;
    let variables = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url("")),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-token=abc".to_owned()),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip".to_owned()),
        ("OTEL_SERVICE_NAME", "canary".to_owned()),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod".to_owned()),
    ];
    child("otlp::in_child_without_a_file", variables.clone()).await;
    let got = receiver.got().pop().expect("an export");
    assert_eq!(got.path, "/v1/metrics");
    assert_eq!(got.headers["x-token"], "abc");
    assert_eq!(got.headers["content-encoding"], "gzip");
    let request = decode(&got);
    let resource = request.resource_metrics[0].resource.as_ref().expect("a resource");
    assert_eq!(attribute(&resource.attributes, "service.name"), Some("canary"));
    assert_eq!(attribute(&resource.attributes, "deployment.environment.name"), Some("prod"));

    let before = receiver.got().len();
    let off = variables.into_iter().chain([("OTEL_SDK_DISABLED", "true".to_owned())]);
    child("otlp::in_child_without_a_file", off.collect()).await;
    assert_eq!(receiver.got().len(), before, "off is off");

    // What a platform sets for others ends nobody.
    for endpoint in ["localhost:4317", "unix:///run/otel.sock", "http://user:word@127.0.0.1:1", "http://["] {
        let odd = ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.to_owned());
        let output = child("otlp::in_child_without_a_file", vec![odd]).await;
        let log = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(log.contains("OTLP is off") && !log.contains("word@"), "{endpoint}: {log}");
    }
    let unheeded = vec![
        ("OTEL_PROPAGATORS", "xray".to_owned()),
        ("OTEL_EXPORTER_OTLP_PROFILES_CERTIFICATE", "/x".to_owned()),
    ];
    let output = child("otlp::in_child_without_a_file", unheeded).await;
    let log = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        log.contains("OTEL_EXPORTER_OTLP_PROFILES_CERTIFICATE OTEL_PROPAGATORS") && !log.contains("xray"),
        "{log}"
    );
}

#[tokio::test]
async fn a_collector_that_wants_to_know_us_is_spoken_to_with_the_files_that_the_variables_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_string_lossy().into_owned()
    };
    let (certificate, key) =
        (file("c.pem", &own.cert.pem()), file("k.pem", &own.signing_key.serialize_pem()));
    // The collector trusts only that one, too, and takes nobody who doesn't show it.
    let mut roots = rustls::RootCertStore::empty();
    roots.add(own.cert.der().clone()).expect("a root");
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let known = rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
        .build()
        .expect("a verifier");
    let secret = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(known)
        .with_single_cert(vec![own.cert.der().clone()], secret)
        .expect("a certificate with its key");
    let receiver = Receiver::tls(tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config))).await;
    let endpoint = format!("https://localhost:{}", receiver.address.port());
    let all = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", certificate.clone()),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", certificate),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", key),
    ];
    child("otlp::in_child_without_a_file", all.to_vec()).await;
    assert_eq!(receiver.got().len(), 1, "who shows its certificate, and trusts ours, is heard");

    for without in [&all[..1], &all[..2]] {
        child("otlp::in_child_without_a_file", without.to_vec()).await;
        assert_eq!(receiver.got().len(), 1, "{without:?}");
    }
    let output = child("otlp::in_child_without_a_file", all[..3].to_vec()).await;
    let log = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(log.contains("OTLP is off") && log.contains("CLIENT_CERTIFICATE alone"), "{log}");
}

/// The resource of the last export that a child made, with what it logged.
async fn resource(receiver: &Receiver, variables: Vec<(&'static str, String)>) -> (Resource, String) {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url(""));
    let output =
        child("otlp::in_child_without_a_file", variables.into_iter().chain([endpoint]).collect()).await;
    let exports = receiver.got().into_iter().filter(|got| got.path == "/v1/metrics");
    let mut request = decode(&exports.last().expect("an export"));
    let log = String::from_utf8_lossy(&output.stdout).into_owned();
    (request.resource_metrics.remove(0).resource.expect("a resource"), log)
}

#[tokio::test]
async fn the_platform_is_asked_once_and_the_environment_wins() {
    let receiver = Receiver::start(|_, got| {
        let json = match &*got.path {
            "/v4/c" => r#"{"Name":"serin","ContainerARN":"arn:aws:ecs:eu-west-1:1:container/c"}"#,
            "/v4/c/task" => {
                r#"{"Cluster":"prod","TaskARN":"arn:aws:ecs:eu-west-1:1:task/prod/t","Family":"shop","LaunchType":"FARGATE"}"#
            }
            "/latest/api/token" => "a-token",
            "/latest/dynamic/instance-identity/document" => r#"{"region":"eu-west-1","instanceId":"i-1"}"#,
            _ => "",
        };
        let mut answer = Response::new(Full::from(json));
        answer.headers_mut().insert("x-aws-ec2-metadata-token-ttl-seconds", HeaderValue::from_static("600"));
        answer
    })
    .await;
    let ecs = ("ECS_CONTAINER_METADATA_URI_V4", receiver.url("/v4/c"));
    let own = ("OTEL_RESOURCE_ATTRIBUTES", "aws.ecs.task.family=ours,team=web".to_owned());
    let (told, log) = resource(&receiver, vec![ecs, own]).await;
    for (key, value) in [
        ("aws.ecs.cluster.arn", "arn:aws:ecs:eu-west-1:1:cluster/prod"),
        ("aws.ecs.launchtype", "fargate"),
        ("aws.ecs.task.family", "ours"),
        ("cloud.platform", "aws_ecs"),
        ("container.name", "serin"),
        ("service.name", "serin"),
        ("team", "web"),
    ] {
        assert_eq!(attribute(&told.attributes, key), Some(value), "{key} of {told:?}");
    }
    assert!(!log.contains("did not say"), "{log}");
    let asked = receiver.got().iter().filter(|got| got.path.starts_with("/v4")).count();
    assert_eq!(asked, 2, "once each");

    let ec2 = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", receiver.url(""));
    let (told, log) = resource(&receiver, vec![ec2]).await;
    assert_eq!(attribute(&told.attributes, "host.id"), Some("i-1"), "{log}");
    assert_eq!(attribute(&told.attributes, "cloud.platform"), Some("aws_ec2"));

    let pod = vec![
        ("KUBERNETES_SERVICE_HOST", "10.0.0.1".to_owned()),
        ("POD_NAME", "serin-0".to_owned()),
        ("POD_NAMESPACE", "shop".to_owned()),
    ];
    let (told, _) = resource(&receiver, pod).await;
    assert_eq!(attribute(&told.attributes, "k8s.pod.name"), Some("serin-0"));
    assert_eq!(attribute(&told.attributes, "k8s.namespace.name"), Some("shop"));

    // A platform that hangs, refuses or lies costs its attributes, and no figure.
    let hanging = Receiver::hanging().await;
    for base in [hanging.url("/v4/c"), "http://127.0.0.1:1/v4/c".to_owned(), receiver.url("/nothing")] {
        let (told, log) = resource(&receiver, vec![("ECS_CONTAINER_METADATA_URI_V4", base.clone())]).await;
        assert_eq!(attribute(&told.attributes, "service.name"), Some("serin"));
        assert_eq!(attribute(&told.attributes, "cloud.provider"), None);
        assert!(log.contains("did not say where we run"), "{base}: {log}");
    }
}

#[tokio::test]
#[ignore = "started by the_variables_of_opentelemetry_are_honoured"]
#[expect(clippy::print_stdout, reason = "the parent reads it")]
async fn in_child_without_a_file() {
    let (log, _guard) = Log::capture();
    let publisher = start(&Publish::default());
    publisher.send(Item::Second(second(0)));
    publisher.drain(Duration::from_secs(10)).await;
    println!("{}", log.text());
}
