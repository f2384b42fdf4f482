//! OTLP's log records and spans, and exemplars, decoded as their readers would.

use super::otlp::attribute;
use super::receiver::{Got, Receiver, status};
use super::{openmetrics, operator, second, shown, start};
use http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::MetricFamily;
use prost::Message;
use serin::clock;
use serin::model::guard::Command;
use serin::model::record::Record;
use serin::model::release::{Baseline, EpochId, ReleaseId};
use serin::model::sample::{Fault, Outcome, Phases, Purpose, Sample, Taint};
use serin::model::target::{TargetId, VersionId};
use serin::model::time::Span as Time;
use serin::model::trace::{Link, Trace, Traced};
use serin::publish::{Format, Item};
use serin::settings::{Otlp, OtlpProtocol, Publish, Signal};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const ID: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;

fn only(base: &str, signals: &[Signal]) -> Publish {
    let otlp = Otlp {
        endpoint: base.parse().expect("a URL"),
        protocol: OtlpProtocol::HttpProtobuf,
        signals: signals.iter().copied().collect(),
        interval: Duration::from_millis(100),
        sigv4: None,
        headers: HeaderMap::new(),
        spool: 0,
    };
    Publish { otlp: Some(otlp), ..Publish::default() }
}

fn note(record: Record) -> Item {
    Item::Note("shop".into(), Arc::new(record))
}

/// A probe that was due 80 ms ago, taken up 2 ms later, and answered after 30 ms.
fn sample() -> Sample {
    let due = clock::now().before(Duration::from_millis(80));
    let time = |ms| Time::of(Duration::from_millis(ms));
    Sample {
        due,
        planned: due,
        phases: Phases { wake: time(2), first_byte: time(28), body: time(2), ..Phases::default() },
        target: TargetId(0),
        conn: 1,
        epoch: EpochId(3),
        addr: 0,
        version: VersionId::NONE,
        status: 503,
        purpose: Purpose::Production,
        taint: Taint::Clean,
        outcome: Outcome::Bad(Fault::Status),
        told_slow: false,
    }
}

fn probe(change: impl FnOnce(&mut Traced)) -> Item {
    let mut traced = Traced {
        trace: Trace { id: ID, span: 0xf0_67aa_0ba9_02b7, sampled: false },
        sample: sample(),
        target: "front".into(),
        method: "GET".into(),
        url: "https://shop.example.com/".into(),
        version: Some("green".into()),
        link: None,
        untold: 0,
    };
    change(&mut traced);
    Item::Probe("shop".into(), Arc::new(traced))
}

fn lines(got: &[Got]) -> Vec<LogRecord> {
    let requests = got.iter().filter(|got| got.path == "/v1/logs");
    requests
        .map(|got| ExportLogsServiceRequest::decode(got.body.as_ref()).expect("protobuf"))
        .flat_map(|request| request.resource_logs)
        .inspect(|each| {
            let resource = each.resource.as_ref().expect("a resource");
            assert_eq!(attribute(&resource.attributes, "service.instance.id"), Some("instance-1"));
        })
        .flat_map(|each| each.scope_logs)
        .flat_map(|each| each.log_records)
        .collect()
}

fn spans(got: &[Got]) -> Vec<Span> {
    let requests = got.iter().filter(|got| got.path == "/v1/traces");
    requests
        .map(|got| ExportTraceServiceRequest::decode(got.body.as_ref()).expect("protobuf"))
        .flat_map(|request| request.resource_spans)
        .inspect(|each| {
            let resource = each.resource.as_ref().expect("a resource");
            assert_eq!(attribute(&resource.attributes, "service.version"), Some("9.8.7"));
        })
        .flat_map(|each| each.scope_spans)
        .flat_map(|each| each.spans)
        .collect()
}

#[tokio::test]
async fn each_change_of_state_is_a_log_record_and_a_pulse_is_none() {
    let receiver = Receiver::start(|_, _| status(StatusCode::OK)).await;
    let publisher = start(&only(&receiver.url(""), &[Signal::Logs]));
    let before = u128::from(clock::wall_nanos());
    let epoch = EpochId(3);
    let blind = Record::Verdict {
        epoch,
        verdict: "blind".into(),
        says: "the control is bad too".into(),
        clean: 0,
        due: 9,
    };
    let window = Baseline::default();
    publisher.send(note(Record::Pulse { epoch, window, verdict: "good".into(), versions: BTreeSet::new() }));
    publisher.send(note(blind));
    publisher.send(operator(Command::Hold { reason: "dinner".into() }));
    let release = ReleaseId(2);
    publisher.send(note(Record::Refused {
        release: Some(release),
        reason: "hold".into(),
        says: "dinner".into(),
    }));
    publisher.send(note(Record::Held { release, reason: "partial".into(), needs_human: true }));
    publisher.send(note(Record::Kept { release }));
    publisher.send(Item::Second(second(1)));
    publisher.drain(Duration::from_secs(10)).await;
    let lines = lines(&receiver.got());
    let told: Vec<(&str, &str)> =
        lines.iter().map(|line| (line.event_name.as_str(), line.severity_text.as_str())).collect();
    let wants = [
        ("serin.verdict", "WARN"),
        ("serin.operator", "WARN"),
        ("serin.refused", "ERROR"),
        ("serin.held", "ERROR"),
        ("serin.kept", "INFO"),
    ];
    assert_eq!(told, wants);
    assert!(lines.iter().all(|line| attribute(&line.attributes, "serin.service") == Some("shop")));
    let says = |line: &LogRecord| match line.body.clone().and_then(|body| body.value) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{other:?}"),
    };
    assert_eq!(says(&lines[0]), "the control is bad too");
    assert_eq!(attribute(&lines[0].attributes, "serin.verdict"), Some("blind"));
    assert!(says(&lines[1]).contains("dinner"), "{}", says(&lines[1]));
    assert_eq!(attribute(&lines[2].attributes, "serin.reason"), Some("hold"));
    assert!(says(&lines[3]).contains("a person is needed"), "{}", says(&lines[3]));
    let number = lines[4].attributes.iter().find(|each| each.key == "serin.release").expect("its number");
    assert_eq!(number.value.clone().and_then(|value| value.value), Some(Value::IntValue(2)));
    let at = u128::from(lines[0].time_unix_nano);
    assert!(at + 1_000_000 >= before && at <= u128::from(clock::wall_nanos()), "{at}");
}

#[tokio::test]
async fn a_span_is_the_probe_with_its_own_times_and_ids() {
    let receiver = Receiver::start(|_, _| status(StatusCode::OK)).await;
    let publisher = start(&only(&receiver.url(""), &[Signal::Traces]));
    let link = Link { id: 7, span: 9, sampled: true };
    let sent = u128::from(clock::wall_nanos());
    publisher.send(probe(|traced| traced.link = Some(link)));
    receiver.wait(1).await;
    publisher.send(probe(|traced| {
        traced.trace.sampled = true;
        (traced.sample.status, traced.sample.outcome) = (200, Outcome::Ok);
        traced.link = Some(Link { span: 0, ..link });
    }));
    publisher.drain(Duration::from_secs(10)).await;
    let spans = spans(&receiver.got());
    let [failed, good] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!(failed.trace_id, ID.to_be_bytes());
    assert_eq!(failed.span_id, 0xf0_67aa_0ba9_02b7_u64.to_be_bytes());
    assert!(failed.parent_span_id.is_empty(), "{:?}", failed.parent_span_id);
    assert_eq!((failed.name.as_str(), failed.kind), ("GET", 3), "a client's");
    let took = failed.end_time_unix_nano - failed.start_time_unix_nano;
    assert_eq!(took, 30_000_000, "from when it was taken up");
    let begun = sent.abs_diff(u128::from(failed.start_time_unix_nano));
    assert!((70_000_000..10_000_000_000).contains(&begun), "{begun} ns before it was sent");
    let of = |span: &Span, key: &str| attribute(&span.attributes, key).map(str::to_owned);
    for (key, value) in [
        ("http.request.method", "GET"),
        ("url.full", "https://shop.example.com/"),
        ("server.address", "shop.example.com"),
        ("error.type", "status"),
        ("serin.service", "shop"),
        ("serin.target", "front"),
        ("serin.purpose", "production"),
        ("serin.target.version", "green"),
        ("user_agent.synthetic.type", "test"),
    ] {
        assert_eq!(of(failed, key).as_deref(), Some(value), "{key}");
    }
    let value = |key: &str| {
        let found = failed.attributes.iter().find(|each| each.key == key)?;
        found.value.clone()?.value
    };
    assert_eq!(value("http.response.status_code"), Some(Value::IntValue(503)));
    assert_eq!(value("server.port"), Some(Value::IntValue(443)));
    assert_eq!(value("serin.phase.first_byte"), Some(Value::DoubleValue(0.028)));
    assert_eq!(value("serin.phase.dns"), None);
    let outcome = failed.status.as_ref().expect("a status");
    assert_eq!((outcome.code, outcome.message.as_str()), (2, "status"));
    assert_eq!(failed.links.len(), 1);
    assert_eq!((&failed.links[0].trace_id[15], &failed.links[0].span_id[7]), (&7, &9));
    assert_eq!((failed.flags & 1, good.flags & 1), (0, 1), "the flag that the service was told");
    assert!(good.links.is_empty() && good.status.as_ref().is_none_or(|status| status.code == 0));
    assert_eq!(of(good, "aws.xray.trace_id").as_deref(), Some("1-00000000-000000000000000000000007"));
    assert_eq!(of(good, "error.type"), None);
}

#[tokio::test]
async fn a_signal_that_fails_or_is_too_much_is_counted_and_spoils_no_other() {
    let receiver = Receiver::start(|_, got| {
        status(if got.path == "/v1/metrics" { StatusCode::OK } else { StatusCode::NOT_FOUND })
    })
    .await;
    let publisher = start(&only(&receiver.url(""), &Signal::ALL));
    publisher.send(probe(|traced| traced.untold = 5));
    publisher.send(note(Record::Kept { release: ReleaseId(2) }));
    publisher.send(Item::Second(second(0)));
    shown(&publisher, "serin_dropped_total{destination=\"otlp-traces\",reason=\"rate-limit\"} 5").await;
    shown(&publisher, "serin_dropped_total{destination=\"otlp-traces\",reason=\"refused\"} 1").await;
    let text = shown(&publisher, "serin_dropped_total{destination=\"otlp-logs\",reason=\"refused\"} 1").await;
    for other in ["otlp", "cloudwatch"] {
        let lost = text.lines().filter(|line| {
            line.starts_with(&format!("serin_dropped_total{{destination=\"{other}\""))
                && !line.ends_with(" 0")
        });
        assert_eq!(lost.count(), 0, "{other}: {text}");
    }
    publisher.drain(Duration::from_secs(10)).await;
    let paths: BTreeSet<String> = receiver.got().into_iter().map(|got| got.path).collect();
    assert_eq!(paths.into_iter().collect::<Vec<_>>(), ["/v1/logs", "/v1/metrics", "/v1/traces"]);
}

#[tokio::test]
async fn a_signal_that_nobody_named_is_not_sent() {
    let receiver = Receiver::start(|_, _| status(StatusCode::OK)).await;
    let publisher = start(&only(&receiver.url(""), &[Signal::Metrics]));
    publisher.send(probe(|_| ()));
    publisher.send(note(Record::Kept { release: ReleaseId(2) }));
    publisher.drain(Duration::from_secs(10)).await;
    assert!(receiver.got().iter().all(|got| got.path == "/v1/metrics"));
}

#[tokio::test]
async fn an_exemplar_has_the_trace_of_a_probe_of_its_bucket() {
    let publisher = start(&Publish::default());
    publisher.send(Item::Second(second(1)));
    shown(&publisher, "serin_probe_duration_seconds_count{service=\"shop\",target=\"front\"} 10").await;
    let before = clock::wall().0;
    publisher.send(probe(|_| ()));
    // No other series, purpose or target gets it, nor what had no answer.
    publisher.send(probe(|traced| traced.target = "cart".into()));
    publisher.send(probe(|traced| traced.sample.purpose = Purpose::Direct));
    publisher.send(probe(|traced| traced.sample.status = 0));
    // In the order of the queue: what is shown now was folded after them.
    publisher.send(Item::Second(second(1)));
    let text =
        shown(&publisher, "serin_probe_duration_seconds_count{service=\"shop\",target=\"front\"} 20").await;
    let with: Vec<&str> = text.lines().filter(|line| line.contains(" # {")).collect();
    let [line] = with.as_slice() else { panic!("{with:?}") };
    let (bucket, exemplar) = line.split_once(" # ").expect("an exemplar");
    assert!(
        bucket.starts_with(
            "serin_probe_duration_seconds_bucket{le=\"0.05\",service=\"shop\",target=\"front\"}"
        )
    );
    let at =
        exemplar.strip_prefix(&format!("{{trace_id=\"{ID:032x}\"}} 0.032 ")).expect("its trace and value");
    let at: f64 = at.parse().expect("seconds");
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this century")]
    let since = at - before as f64 / 1_000.0;
    assert!((-0.001..30.0).contains(&since), "{at}");
    assert!(text.ends_with("# EOF\n") && openmetrics(&publisher).contains("# EOF"));

    let body = publisher.metrics(Format::Protobuf);
    let mut rest = body.as_slice();
    let mut found = 0;
    while !rest.is_empty() {
        let family = MetricFamily::decode_length_delimited(&mut rest).expect("a family");
        for histogram in family.metric.iter().filter_map(|metric| metric.histogram.as_ref()) {
            for bucket in &histogram.bucket {
                if let Some(exemplar) = &bucket.exemplar {
                    assert!(
                        (bucket.upper_bound - 0.05).abs() < 1e-9
                            && family.name == "serin_probe_duration_seconds"
                    );
                    assert_eq!(exemplar.label[0].value, format!("{ID:032x}"));
                    assert!(exemplar.timestamp.is_some() && (exemplar.value - 0.032).abs() < 1e-9);
                    found += 1;
                }
            }
        }
    }
    assert_eq!(found, 1);
    let text = String::from_utf8(publisher.metrics(Format::Text)).expect("text");
    assert!(!text.contains(" # {"), "0.0.4 has none");
}
