//! The figures and their text.

use super::{openmetrics, page, second, shown, start};
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::{Histogram, MetricFamily};
use prost::Message;
use serin::clock;
use serin::model::budget::BudgetFigures;
use serin::model::delta::{Delta, Own, Rolling, Second, Times};
use serin::model::guard::{Condition, Outcome, PageKind, Status};
use serin::model::record::{IntentId, Record};
use serin::model::release::{EpochId, ReleaseId};
use serin::model::sample::{Fault, Ours, Purpose};
use serin::model::target::TargetId;
use serin::model::verdict::WhyBlind;
use serin::publish::names::{Kind, NAMES};
use serin::publish::{Format, Item};
use serin::settings::Publish;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

fn status() -> Status {
    let condition =
        |name: &str, holds| Condition { name: name.into(), holds, detail: "as it is".into(), age_s: None };
    Status {
        state: "judging",
        armed: true,
        conditions: vec![condition("lever", true), condition("no-hold", false)],
        epoch: Some(EpochId(4)),
        cause: None,
        shows: None,
        versions: BTreeSet::new(),
        good: None,
        release: None,
        label: None,
        latched: None,
        needs_human: Some("partial"),
        unprotected: None,
        live: Vec::new(),
        idle: Vec::new(),
        outcome: Outcome::None,
        read: None,
        read_error: None,
        revision: None,
    }
}

fn note(record: Record) -> Item {
    Item::Note("shop".into(), Arc::new(record))
}

#[tokio::test]
async fn counters_exist_at_zero() {
    let text = openmetrics(&start(&Publish::default()));
    let has = |line: String| assert!(text.lines().any(|each| each == line), "{line} is not in\n{text}");
    let reasons =
        Fault::ALL.map(Fault::name).into_iter().chain(Ours::ALL.map(Ours::name)).chain(["saturated"]);
    for reason in reasons {
        for target in ["front", "cart"] {
            has(format!(
                "serin_probe_failures_total{{service=\"shop\",target=\"{target}\",purpose=\"production\",reason=\"{reason}\"}} 0"
            ));
        }
    }
    for target in ["front", "cart"] {
        has(format!(
            "serin_probe_attempts_total{{service=\"shop\",target=\"{target}\",purpose=\"production\"}} 0"
        ));
        has(format!("serin_probe_void_total{{service=\"shop\",target=\"{target}\"}} 0"));
        has(format!(
            "serin_probe_answers_total{{service=\"shop\",target=\"{target}\",status_class=\"5xx\"}} 0"
        ));
    }
    for kind in PageKind::ALL {
        has(format!("serin_pages_total{{service=\"shop\",kind=\"{}\"}} 0", kind.name()));
    }
    for why in WhyBlind::ALL {
        has(format!("serin_blind{{service=\"shop\",reason=\"{}\"}} 0.0", why.name()));
    }
    for outcome in ["verified", "partial", "overridden", "interrupted", "dry_run"] {
        has(format!("serin_reverts_total{{service=\"shop\",outcome=\"{outcome}\"}} 0"));
    }
    for outcome in ["accepted", "refused", "unknown"] {
        has(format!("serin_writes_total{{service=\"shop\",outcome=\"{outcome}\"}} 0"));
    }
    for destination in [
        "prometheus",
        "otlp",
        "otlp-logs",
        "otlp-traces",
        "cloudwatch",
        "emf",
        "webhook",
        "slack",
        "sns",
        "eventbridge",
    ] {
        for reason in [
            "queue-full",
            "rate-limit",
            "invalid",
            "refused",
            "unavailable",
            "spool-full",
            "too-old",
            "torn",
            "disk",
        ] {
            has(format!("serin_dropped_total{{destination=\"{destination}\",reason=\"{reason}\"}} 0"));
        }
    }
    has("serin_needs_human{service=\"shop\",reason=\"overridden\"} 0.0".into());
    has("serin_refusals_total{service=\"shop\",reason=\"blue-healthy\"} 0".into());
    has("serin_mode{service=\"shop\",mode=\"observe\"} 1.0".into());
    has("serin_mode{service=\"shop\",mode=\"act\"} 0.0".into());
    has("serin_build_info{version=\"9.8.7\"} 1".into());
}

#[tokio::test]
async fn what_is_unknown_is_absent_and_not_zero() {
    let publisher = start(&Publish::default());
    let names =
        ["serin_error_ratio{", "serin_p95_seconds{", "serin_verdict{", "serin_armed{", "serin_epoch{"];
    let text = openmetrics(&publisher);
    for name in names {
        assert!(!text.contains(name), "{name} in\n{text}");
    }
    publisher.send(Item::Second(second(1)));
    publisher.send(Item::Status("shop".into(), Arc::new(status())));
    let text = shown(&publisher, "serin_armed").await;
    assert!(text.contains("serin_error_ratio{service=\"shop\"} 0.1\n"), "{text}");
    assert!(text.contains("serin_p95_seconds{service=\"shop\"} 0.0"), "{text}");
    assert!(text.contains("serin_attained_ratio{service=\"shop\"} 0.75\n"), "{text}");
    assert!(text.contains("serin_target_error_ratio{service=\"shop\",target=\"front\"} 0.1\n"), "{text}");
    assert!(text.contains("serin_target_slow_ratio{service=\"shop\",target=\"front\"} 0.2\n"), "{text}");
    assert!(text.contains("serin_target_p95_seconds{service=\"shop\",target=\"front\"} 0.0"), "{text}");
    assert!(
        !text.contains("serin_target_p95_seconds{service=\"shop\",target=\"cart\"}"),
        "never asked: {text}"
    );
    assert!(text.contains("serin_epoch{service=\"shop\"} 4.0\n"), "{text}");

    // The window is empty again: the ratio goes, rather than becoming zero.
    let rolling = Some(Rolling { answers: 0, bad: 0, p95: None, attained: None, verdict: "inconclusive" });
    let empty = Second {
        service: "shop".into(),
        at: clock::now(),
        targets: crate::targets(),
        deltas: Vec::new(),
        times: Times::default(),
        rolling,
        urls: Vec::new(),
        own: Own::default(),
    };
    publisher.send(Item::Second(Arc::new(empty)));
    let text = shown(&publisher, "serin_verdict{service=\"shop\",verdict=\"inconclusive\"} 1.0").await;
    assert!(text.contains("serin_verdict{service=\"shop\",verdict=\"good\"} 0.0\n"), "{text}");
    for gone in
        ["serin_error_ratio{", "serin_p95_seconds{", "serin_target_error_ratio{", "serin_target_p95_seconds{"]
    {
        assert!(!text.contains(gone), "{gone} {text}");
    }
}

#[tokio::test]
async fn the_error_budget_is_shown_as_far_as_it_is_known() {
    let publisher = start(&Publish::default());
    let known = BudgetFigures { remaining: Some(-0.25), burn: [Some(0.0), Some(14.5), None], since: None };
    publisher.send(Item::Budget("shop".into(), known));
    let text = shown(&publisher, "serin_error_budget_remaining_ratio{").await;
    assert!(text.contains("serin_error_budget_remaining_ratio{service=\"shop\"} -0.25\n"), "{text}");
    for (window, rate) in [("1h", "0.0"), ("6h", "14.5")] {
        let series = format!("serin_error_budget_burn_rate{{service=\"shop\",window=\"{window}\"}} {rate}\n");
        assert!(text.contains(&series), "{series} is not in\n{text}");
    }
    assert!(!text.contains("window=\"3d\""), "{text}");
}

#[tokio::test]
async fn a_second_is_counted_by_target_purpose_reason_and_version() {
    let publisher = start(&Publish::default());
    publisher.send(Item::Second(second(3)));
    let direct = Delta {
        target: TargetId(1),
        purpose: Some(Purpose::Direct),
        attempts: 2,
        failures: BTreeMap::from([("timeout", 1)]),
        ..Delta::default()
    };
    let control =
        Delta { target: TargetId(9), purpose: Some(Purpose::Control), attempts: 4, ..Delta::default() };
    let deltas = vec![direct, control];
    let sides = Second {
        service: "shop".into(),
        at: clock::now(),
        targets: crate::targets(),
        deltas,
        times: Times::default(),
        rolling: None,
        urls: Vec::new(),
        own: Own::default(),
    };
    publisher.send(Item::Second(Arc::new(sides)));
    let text = shown(
        &publisher,
        "serin_probe_attempts_total{service=\"shop\",target=\"control\",purpose=\"control\"} 4",
    )
    .await;
    for line in [
        "serin_probe_attempts_total{service=\"shop\",target=\"front\",purpose=\"production\"} 10",
        "serin_probe_attempts_total{service=\"shop\",target=\"cart\",purpose=\"direct\"} 2",
        "serin_probe_failures_total{service=\"shop\",target=\"front\",purpose=\"production\",reason=\"status\"} 3",
        "serin_probe_failures_total{service=\"shop\",target=\"cart\",purpose=\"direct\",reason=\"timeout\"} 1",
        "serin_probe_failures_total{service=\"shop\",target=\"cart\",purpose=\"production\",reason=\"timeout\"} 0",
        "serin_probe_answers_total{service=\"shop\",target=\"front\",status_class=\"2xx\"} 7",
        "serin_answers_by_version{service=\"shop\",version=\"blue\"} 1.0",
        "serin_probe_duration_seconds_count{service=\"shop\",target=\"front\"} 10",
        "serin_probe_phase_seconds_count{service=\"shop\",phase=\"connect\"} 10",
    ] {
        assert!(text.lines().any(|each| each == line), "{line} is not in\n{text}");
    }
    let below = "serin_probe_duration_seconds_bucket{le=\"0.005\",service=\"shop\",target=\"front\"} ";
    let at_5_ms = text.lines().find_map(|line| line.strip_prefix(below)).expect("a bucket");
    assert!(["4", "5"].contains(&at_5_ms), "5 ms is on the edge of the bucket, 0.8 % off at most: {at_5_ms}");
}

#[tokio::test]
async fn the_guard_s_word_becomes_figures() {
    let publisher = start(&Publish::default());
    publisher.send(Item::Status("shop".into(), Arc::new(status())));
    publisher.send(note(Record::Refused {
        release: Some(ReleaseId(1)),
        reason: "blue-healthy".into(),
        says: "blue is empty".into(),
    }));
    publisher.send(note(Record::Wrote {
        intent: IntentId(1),
        outcome: "accepted".into(),
        detail: "id".into(),
        arn: "l".into(),
    }));
    publisher.send(note(Record::Verified { intent: IntentId(1), answers: 20, addresses: 2 }));
    publisher.send(note(Record::Held {
        release: ReleaseId(1),
        reason: "reverted".into(),
        needs_human: false,
    }));
    publisher.send(note(Record::Held { release: ReleaseId(1), reason: "partial".into(), needs_human: true }));
    publisher.send(note(Record::Verdict {
        epoch: EpochId(4),
        verdict: "blind".into(),
        says: WhyBlind::Starved.to_string().into(),
        clean: 3,
        due: 100,
    }));
    publisher.send(page(PageKind::Blind));
    let text = shown(&publisher, "serin_pages_total{service=\"shop\",kind=\"blind\"} 1").await;
    for line in [
        "serin_armed{service=\"shop\"} 1.0",
        "serin_condition{service=\"shop\",condition=\"lever\"} 1.0",
        "serin_condition{service=\"shop\",condition=\"no-hold\"} 0.0",
        "serin_needs_human{service=\"shop\",reason=\"partial\"} 1.0",
        "serin_needs_human{service=\"shop\",reason=\"overridden\"} 0.0",
        "serin_refusals_total{service=\"shop\",reason=\"blue-healthy\"} 1",
        "serin_writes_total{service=\"shop\",outcome=\"accepted\"} 1",
        "serin_reverts_total{service=\"shop\",outcome=\"verified\"} 1",
        "serin_reverts_total{service=\"shop\",outcome=\"partial\"} 1",
        "serin_blind{service=\"shop\",reason=\"starved\"} 1.0",
        "serin_blind{service=\"shop\",reason=\"network\"} 0.0",
    ] {
        assert!(text.lines().any(|each| each == line), "{line} is not in\n{text}");
    }
    publisher.send(Item::Second(second(0)));
    shown(&publisher, "serin_blind{service=\"shop\",reason=\"starved\"} 0.0").await;
}

#[tokio::test]
async fn the_text_is_whole_and_each_name_has_help_and_type() {
    let publisher = start(&Publish::default());
    publisher.send(Item::Second(second(1)));
    let text = shown(&publisher, "serin_p95_seconds").await;
    assert!(text.ends_with("# EOF\n"), "{text}");
    for name in &NAMES {
        let family = name.prometheus.trim_end_matches("_total").trim_end_matches("_info");
        assert!(text.contains(&format!("# HELP {family} {}.\n", name.meaning)), "{family} in\n{text}");
        let kind = match name.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        };
        assert!(text.contains(&format!("# TYPE {family} {kind}\n")), "{family} in\n{text}");
        if name.unit == "s" {
            assert!(text.contains(&format!("# UNIT {family} seconds\n")), "{family} in\n{text}");
        }
    }
}

#[test]
fn the_catalogue_is_in_order_and_says_each_name_once() {
    let (mut prometheus, mut otlp) = (BTreeSet::new(), BTreeSet::new());
    for name in &NAMES {
        assert_eq!(name.metric.name(), name, "each stands in its own place");
        assert!(prometheus.insert(name.prometheus), "{} twice", name.prometheus);
        assert!(otlp.insert(name.otlp), "{} twice", name.otlp);
        assert_eq!(name.kind == Kind::Counter, name.prometheus.ends_with("_total"), "{}", name.prometheus);
        assert_eq!(name.unit == "s", name.prometheus.ends_with("_seconds"), "{}", name.prometheus);
        assert!(!name.meaning.ends_with('.'), "{}", name.meaning);
    }
}

/// What of a histogram matters here: how many, their sum, and the middle by native buckets.
fn native_median(histogram: &Histogram) -> f64 {
    let mut counts = histogram.positive_delta.iter().scan(0, |count, delta| {
        *count += delta;
        Some(*count)
    });
    let (mut next, mut seen) = (0, 0);
    for span in &histogram.positive_span {
        next += span.offset;
        for _ in 0..span.length {
            seen += counts.next().expect("a count a bucket");
            if u64::try_from(seen).expect("a count") * 2 >= histogram.sample_count {
                return ((f64::from(next) - 0.5) / f64::from(1 << histogram.schema)).exp2();
            }
            next += 1;
        }
    }
    panic!("{histogram:?} has no middle")
}

#[tokio::test]
async fn each_format_tells_the_same_figures_and_protobuf_the_native_buckets_too() {
    let publisher = start(&Publish::default());
    publisher.send(Item::Second(second(1)));
    publisher.send(Item::Status("shop".into(), Arc::new(status())));
    shown(&publisher, "serin_armed").await;
    let open = openmetrics(&publisher);
    let text = String::from_utf8(publisher.metrics(Format::Text)).unwrap();
    let samples = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let parts = lines.map(|line| line.rsplit_once(' ').unwrap());
        parts.map(|(series, value)| (series.to_owned(), value.parse::<f64>().unwrap())).collect::<Vec<_>>()
    };
    // OpenMetrics writes the bound of a bucket before the other labels, and as a float.
    let count =
        |text: &str, name: &str| samples(text).iter().filter(|(one, _)| one.starts_with(name)).count();
    for name in NAMES {
        assert_eq!(count(&text, name.prometheus), count(&open, name.prometheus), "{}", name.prometheus);
        let kind = match name.kind {
            Kind::Counter => "counter",
            Kind::Gauge | Kind::Info => "gauge",
            Kind::Histogram => "histogram",
        };
        assert!(text.contains(&format!("# TYPE {} {kind}\n", name.prometheus)), "{}", name.prometheus);
    }
    let plain = |text: &str| {
        let all = samples(text).into_iter();
        all.filter(|(series, _)| !series.contains("le=\"")).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(plain(&text), plain(&open));
    assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");

    let body = publisher.metrics(Format::Protobuf);
    let (mut left, mut families) = (&*body, Vec::new());
    while !left.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut left).unwrap());
    }
    let names: Vec<&str> = families.iter().map(|family| &*family.name).collect();
    assert_eq!(names, NAMES.map(|name| name.prometheus));
    let duration = families.iter().find(|family| family.name == "serin_probe_duration_seconds").unwrap();
    let [metric] = &*duration.metric else { panic!("{duration:?}") };
    let labels: Vec<(&str, &str)> = metric.label.iter().map(|label| (&*label.name, &*label.value)).collect();
    assert_eq!(labels, [("service", "shop"), ("target", "front")]);
    let histogram = metric.histogram.as_ref().unwrap();
    assert_eq!((histogram.sample_count, histogram.zero_count), (10, 0));
    assert_eq!(histogram.bucket.last().unwrap().cumulative_count, 10, "the classic ones are there, too");
    let median = native_median(histogram);
    assert!((median / 0.005 - 1.0).abs() < 0.044, "1 to 10 ms each once: {median}");
}

#[tokio::test]
async fn a_url_that_is_gone_has_no_series_and_a_new_one_begins_at_zero() {
    let publisher = start(&Publish::default());
    publisher.send(Item::Second(second(2)));
    publisher.send(Item::Status("shop".into(), Arc::new(status())));
    let text = shown(&publisher, "serin_target_p95_seconds{service=\"shop\",target=\"front\"}").await;
    assert!(text.contains("target=\"cart\""), "{text}");
    let mut other = Second::clone(&second(0));
    (other.targets, other.deltas, other.urls) =
        (["cart", "new"].map(Arc::from).into(), Vec::new(), Vec::new());
    publisher.send(Item::Second(Arc::new(other)));
    let text = shown(&publisher, "serin_probe_attempts_total{service=\"shop\",target=\"new\"").await;
    assert!(!text.contains("target=\"front\""), "{text}");
    assert!(
        text.contains(
            "serin_probe_attempts_total{service=\"shop\",target=\"cart\",purpose=\"production\"} 0"
        )
    );
    assert!(
        text.contains("serin_probe_attempts_total{service=\"shop\",target=\"new\",purpose=\"production\"} 0")
    );
    assert!(text.contains("serin_breaches_total{service=\"shop\"} 0"), "the service goes on: {text}");

    publisher.send(Item::Gone("shop".into()));
    publisher.send(Item::Reloaded { at: serin::model::time::Wall(1_700_000_000_500), taken: true });
    let text = shown(&publisher, "serin_config_last_reload_successful{} 1.0").await;
    assert!(!text.contains("shop"), "{text}");
    assert!(text.contains("serin_config_last_reload_success_timestamp_seconds{} 1700000000.5"), "{text}");
    publisher.send(Item::Reloaded { at: serin::model::time::Wall(1_800_000_000_000), taken: false });
    let text = shown(&publisher, "serin_config_last_reload_successful{} 0.0").await;
    assert!(text.contains("serin_config_last_reload_success_timestamp_seconds{} 1700000000.5"), "{text}");
}

#[tokio::test]
async fn the_mode_is_that_of_the_newest_configuration() {
    let publisher = start(&Publish::default());
    publisher.send(note(Record::Revised { config: "abc".into(), mode: "act".into() }));
    let text = shown(&publisher, "serin_mode{service=\"shop\",mode=\"act\"} 1.0").await;
    assert!(text.contains("serin_mode{service=\"shop\",mode=\"observe\"} 0.0"), "{text}");
}
