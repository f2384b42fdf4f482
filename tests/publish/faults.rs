//! One fault a receiver: what was told meanwhile arrives when it is over, once and in order, or is counted with its reason.

use super::cloudwatch::{attempts, aws};
use super::otlp::attribute;
use super::station::{Fault, Station, Taken, Tls, Tongue};
use super::{child, openmetrics, roster, second, shown};
use futures_util::future::join_all;
use http::HeaderMap;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;
use serin::clock;
use serin::model::record::Record;
use serin::publish::{Item, Publisher, Roster};
use serin::settings::{CloudWatch, Otlp, OtlpProtocol, Publish, Signal};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// What is waited for comes in so many tenths of a second, on a busy machine too.
const PATIENCE: usize = 600;

/// What happens, and for how many milliseconds before the next; the last goes on until something waits on disk.
type Course = &'static [(Fault, u64)];

/// Every fault that passes, of all tongues.
const PASSING: [(&str, Course); 8] = [
    ("refused", &[(Fault::Refused, 0)]),
    ("hanging", &[(Fault::Hanging, 0)]),
    ("429", &[(Fault::Status(429, Some(2)), 0)]),
    ("503", &[(Fault::Status(503, None), 0)]),
    ("half-written", &[(Fault::HalfWritten, 0)]),
    ("slow", &[(Fault::Drip, 0)]),
    ("certificate expired", &[(Fault::Expired, 0)]),
    ("restarted", &[(Fault::Hanging, 300), (Fault::Refused, 0)]),
];

/// Those that only a call can have.
const OF_CALLS: [(&str, Course); 2] = [
    ("unavailable", &[(Fault::Code(14, None), 0)]),
    ("exhausted for two seconds", &[(Fault::Code(8, Some(2_000)), 0)]),
];

fn logs(station: &Station, tongue: Tongue, spool: u64) -> Publish {
    let protocol = if tongue == Tongue::Grpc { OtlpProtocol::Grpc } else { OtlpProtocol::HttpProtobuf };
    let otlp = Otlp {
        endpoint: station.url().parse().expect("a URL"),
        protocol,
        signals: [Signal::Logs].into(),
        interval: Duration::from_millis(200),
        sigv4: None,
        headers: HeaderMap::new(),
        spool,
    };
    Publish { otlp: Some(otlp), ..Publish::default() }
}

fn publisher(settings: &Publish, folder: &Path) -> Publisher {
    let roster = Roster { spool: Some(folder.to_owned()), ..roster() };
    Publisher::start(settings, &roster, "instance-1", "9.8.7").expect("settings that make sense")
}

/// Tells of one change of state, and lets the SDK make an export of it.
async fn tell(publisher: &Publisher, number: usize) {
    let reason = number.to_string().into();
    let refused = Record::Refused { release: None, reason, says: "no".into() };
    publisher.send(Item::Note("shop".into(), Arc::new(refused)));
    sleep(Duration::from_millis(250)).await;
}

/// The numbers that were told, as they came.
fn told<'a>(taken: impl IntoIterator<Item = &'a Taken>) -> Vec<usize> {
    let requests = taken.into_iter().filter(|taken| taken.answered);
    let requests =
        requests.map(|taken| ExportLogsServiceRequest::decode(taken.body.clone()).expect("protobuf"));
    let lines = requests
        .flat_map(|request| request.resource_logs)
        .flat_map(|each| each.scope_logs)
        .flat_map(|each| each.log_records);
    lines
        .map(|line| attribute(&line.attributes, "serin.reason").expect("a number").parse().expect("one"))
        .collect()
}

pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..PATIENCE {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("{what}: it never came");
}

/// What waits for `destination`.
pub(crate) fn waiting(publisher: &Publisher, destination: &str) -> u64 {
    level(publisher, &format!("serin_spool_batches{{destination=\"{destination}\"}} "))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
fn level(publisher: &Publisher, name: &str) -> u64 {
    let text = openmetrics(publisher);
    let found = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    found.parse::<f64>().unwrap_or(f64::NAN) as u64
}

/// Every loss there is, by destination and reason.
pub(crate) fn losses(publisher: &Publisher) -> BTreeMap<String, u64> {
    let text = openmetrics(publisher);
    let lines = text.lines().filter_map(|line| line.strip_prefix("serin_dropped_total"));
    let counts = lines.filter_map(|line| {
        let (labels, count) = line.split_once(' ')?;
        Some((labels.to_owned(), count.parse().ok()?))
    });
    counts.filter(|(_, count)| *count > 0).collect()
}

#[tokio::test]
async fn what_an_otlp_receiver_missed_is_told_once_when_the_fault_is_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let roots = folder.path().join("roots.pem").to_string_lossy().into_owned();
    let variables = vec![
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "500".to_owned()),
        ("OTEL_BLRP_SCHEDULE_DELAY", "50".to_owned()),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", roots),
    ];
    child("faults::in_child_otlp", variables).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by what_an_otlp_receiver_missed_is_told_once_when_the_fault_is_over"]
async fn in_child_otlp() {
    let [http, grpc] = [Tongue::Http, Tongue::Grpc].map(|tongue| (tongue, Tls::new(tongue)));
    let roots = std::env::var("OTEL_EXPORTER_OTLP_CERTIFICATE").expect("the parent's");
    std::fs::write(roots, format!("{}{}", http.1.roots, grpc.1.roots)).expect("a file");
    let of_calls = OF_CALLS.iter().map(|case| (&grpc, case));
    let cases = [&http, &grpc].into_iter().flat_map(|one| PASSING.iter().map(move |case| (one, case)));
    join_all(cases.chain(of_calls).map(|((tongue, tls), (name, course))| async move {
        let tls = (*course == [(Fault::Expired, 0)]).then(|| tls.clone());
        otlp_case(&format!("{name}, {tongue:?}"), *tongue, course, tls).await;
    }))
    .await;
}

async fn otlp_case(name: &str, tongue: Tongue, course: Course, tls: Option<Tls>) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut station = Station::start(tongue, 0, Fault::None, tls).await;
    let publisher = publisher(&logs(&station, tongue, 1 << 20), folder.path());
    tell(&publisher, 0).await;
    until(&format!("{name}: the first"), || told(&station.taken()) == [0]).await;
    sleep(Duration::from_millis(300)).await;
    for (fault, ms) in course {
        station.set(*fault).await;
        tell(&publisher, 1).await;
        sleep(Duration::from_millis(*ms)).await;
    }
    let ones = course.len();
    tell(&publisher, 2).await;
    until(&format!("{name}: something waits"), || waiting(&publisher, "otlp-logs") > 0).await;
    let met = station.taken().len();
    assert_eq!(losses(&publisher), BTreeMap::new(), "{name}");
    station.set(Fault::None).await;
    tell(&publisher, 3).await;
    until(&format!("{name}: all of it"), || {
        told(&station.taken()).len() >= 3 + ones && waiting(&publisher, "otlp-logs") == 0
    })
    .await;
    // Whatever came twice would come now.
    sleep(Duration::from_millis(300)).await;
    let taken = station.taken();
    let mut all = told(&taken);
    all.sort_unstable();
    let once = [vec![0], vec![1; ones], vec![2, 3]].concat();
    assert_eq!(all, once, "{name}");
    assert_eq!(losses(&publisher), BTreeMap::new(), "{name}");
    // Who asks for two seconds gets them; our own first pause is a second at most.
    if matches!(course[0].0, Fault::Status(429, _) | Fault::Code(8, _)) {
        let mut last = BTreeMap::new();
        for attempt in taken[..met].iter().filter(|taken| !taken.answered) {
            if let Some(before) = last.insert(told_of(attempt), attempt.at) {
                let pause = attempt.at.since(before);
                assert!(pause >= Duration::from_millis(1_950), "{name}: {pause:?}");
            }
        }
        assert!(met > last.len() + 1, "{name}: nothing was tried again");
    }
    publisher.drain(Duration::from_secs(5)).await;
}

fn told_of(taken: &Taken) -> Vec<usize> {
    told([&Taken { answered: true, ..taken.clone() }])
}

#[tokio::test]
async fn what_is_refused_for_good_or_kept_nowhere_is_counted_with_its_reason() {
    let variables =
        vec![("OTEL_EXPORTER_OTLP_TIMEOUT", "500".to_owned()), ("OTEL_BLRP_SCHEDULE_DELAY", "50".to_owned())];
    child("faults::in_child_losses", variables).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by what_is_refused_for_good_or_kept_nowhere_is_counted_with_its_reason"]
async fn in_child_losses() {
    let cases = [
        (Tongue::Http, Fault::Status(400, None), 1 << 20, "refused"),
        (Tongue::Http, Fault::Status(500, None), 1 << 20, "refused"),
        (Tongue::Http, Fault::Status(308, None), 1 << 20, "refused"),
        (Tongue::Grpc, Fault::Code(3, None), 1 << 20, "refused"),
        // It doesn't say that it will recover.
        (Tongue::Grpc, Fault::Code(8, None), 1 << 20, "refused"),
        (Tongue::Http, Fault::Refused, 0, "unavailable"),
        (Tongue::Http, Fault::Hanging, 0, "unavailable"),
        (Tongue::Grpc, Fault::Code(14, None), 0, "unavailable"),
    ];
    join_all(cases.map(|(tongue, fault, spool, reason)| async move {
        let folder = tempfile::tempdir().expect("a folder");
        let mut station = Station::start(tongue, 0, fault, None).await;
        let publisher = publisher(&logs(&station, tongue, spool), folder.path());
        tell(&publisher, 1).await;
        tell(&publisher, 2).await;
        let wants = format!("{{destination=\"otlp-logs\",reason=\"{reason}\"}}");
        let wants = BTreeMap::from([(wants, 2)]);
        until(&format!("{fault:?}: {wants:?}"), || losses(&publisher) == wants).await;
        assert_eq!(waiting(&publisher, "otlp-logs"), 0, "{fault:?}");
        let attempts = station.taken().len();
        if reason == "refused" {
            assert!(attempts <= 2, "{fault:?}: {attempts} attempts");
        }
        station.set(Fault::None).await;
        tell(&publisher, 3).await;
        until(&format!("{fault:?}: the third"), || told(&station.taken()) == [3]).await;
        assert_eq!(losses(&publisher), wants, "{fault:?}");
        publisher.drain(Duration::from_secs(5)).await;
    }))
    .await;
}

#[tokio::test]
async fn the_backlog_goes_out_in_order_and_what_is_new_does_not_wait_for_it() {
    child("faults::in_child_backlog", vec![("OTEL_BLRP_SCHEDULE_DELAY", "50".to_owned())]).await;
}

#[tokio::test]
#[ignore = "started by the_backlog_goes_out_in_order_and_what_is_new_does_not_wait_for_it"]
async fn in_child_backlog() {
    const OLD: usize = 24;
    let folder = tempfile::tempdir().expect("a folder");
    let mut station = Station::start(Tongue::Http, 0, Fault::Refused, None).await;
    let settings = logs(&station, Tongue::Http, 1 << 20);
    let before = publisher(&settings, folder.path());
    for number in 0..OLD {
        tell(&before, number).await;
    }
    // Those that are still being tried are put there at the end.
    before.drain(Duration::from_secs(5)).await;

    let after = publisher(&settings, folder.path());
    station.set(Fault::None).await;
    tell(&after, 100).await;
    until("the first of the backlog", || told(&station.taken()).len() > 3).await;
    tell(&after, 101).await;
    until("all", || told(&station.taken()).len() == OLD + 2).await;
    let taken = station.taken();
    let told = told(&taken);
    let old: Vec<usize> = told.iter().copied().filter(|number| *number < 100).collect();
    assert_eq!(old, (0..OLD).collect::<Vec<_>>(), "in order, and once");
    let place = told.iter().position(|number| *number == 101).expect("the new one");
    assert!(place < OLD, "it overtakes what is old: {told:?}");
    // Ten a second at most.
    let of_old = taken.iter().filter(|taken| told_of(taken).iter().all(|number| *number < 100));
    let of_old: Vec<_> = of_old.map(|taken| taken.at).collect();
    let took = of_old[of_old.len() - 1].since(of_old[0]);
    let least = Duration::from_millis(95) * u32::try_from(of_old.len() - 1).expect("few");
    assert!(of_old.len() > OLD / 2 && took >= least, "{} requests in {took:?}", of_old.len());
    until("nothing waits", || waiting(&after, "otlp-logs") == 0).await;
    assert_eq!(losses(&after), BTreeMap::new());
    after.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn an_export_of_metrics_is_sent_again_as_it_was_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut station = Station::start(Tongue::Http, 0, Fault::Status(503, None), None).await;
    let mut settings = logs(&station, Tongue::Http, 1 << 20);
    settings.otlp.iter_mut().for_each(|otlp| otlp.signals = [Signal::Metrics].into());
    let publisher = publisher(&settings, folder.path());
    publisher.send(Item::Second(second(1)));
    until("two wait", || waiting(&publisher, "otlp") >= 2).await;
    station.set(Fault::None).await;
    until("none waits", || waiting(&publisher, "otlp") == 0).await;
    publisher.drain(Duration::from_secs(5)).await;
    let taken = station.taken();
    let (answered, tried): (Vec<_>, Vec<_>) = taken.iter().partition(|taken| taken.answered);
    let first = &tried[0].body;
    assert_eq!(answered.iter().filter(|taken| taken.body == *first).count(), 1, "with its own times");
    let bodies: std::collections::BTreeSet<_> = answered.iter().map(|taken| &taken.body).collect();
    assert_eq!(bodies.len(), answered.len(), "none twice");
    assert!(tried.iter().all(|tried| bodies.contains(&tried.body)), "none lost");
}

#[tokio::test]
async fn what_is_unsent_at_the_end_waits_for_the_next_start_and_the_end_is_on_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut station = Station::start(Tongue::Http, 0, Fault::Hanging, None).await;
    let settings = logs(&station, Tongue::Http, 1 << 20);
    let first = publisher(&settings, folder.path());
    tell(&first, 1).await;
    tell(&first, 2).await;
    let begun = clock::now();
    first.drain(Duration::from_secs(2)).await;
    let took = clock::now().since(begun);
    assert!(took < Duration::from_secs(3), "{took:?}");
    station.set(Fault::None).await;
    let next = publisher(&settings, folder.path());
    // The headers of an export aren't kept, so one has to be made.
    tell(&next, 3).await;
    until("all", || told(&station.taken()).len() == 3).await;
    let mut all = told(&station.taken());
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3]);
    until("nothing waits", || waiting(&next, "otlp-logs") == 0).await;
    let begun = clock::now();
    next.drain(Duration::from_secs(5)).await;
    let took = clock::now().since(begun);
    assert!(took < Duration::from_secs(1), "nobody waits for nothing: {took:?}");
}

#[tokio::test]
async fn a_spool_that_is_taken_or_can_not_be_made_is_told_and_nothing_else_suffers() {
    let (log, _guard) = super::Log::capture();
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("otlp-logs"), "a file where the folder should be").expect("a file");
    let station = Station::start(Tongue::Http, 0, Fault::Status(503, None), None).await;
    let publisher = publisher(&logs(&station, Tongue::Http, 1 << 20), folder.path());
    tell(&publisher, 1).await;
    shown(&publisher, "serin_dropped_total{destination=\"otlp-logs\",reason=\"unavailable\"} 1").await;
    assert!(log.text().contains("there is no spool: what can't be delivered is lost"), "{}", log.text());
    publisher.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn what_cloudwatch_missed_is_told_when_the_fault_is_over() {
    join_all((0..=PASSING.len()).map(|index| async move {
        // The port is known before the child begins, so that its endpoint is.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|one| one.local_addr())
            .expect("a port")
            .port();
        let folder = tempfile::tempdir().expect("a folder");
        let roots = folder.path().join("roots.pem").to_string_lossy().into_owned();
        let expired = PASSING.get(index).is_some_and(|(_, course)| course[0].0 == Fault::Expired);
        let base =
            if expired { format!("https://localhost:{port}") } else { format!("http://127.0.0.1:{port}") };
        let mut variables = aws(base);
        variables.push(("SERIN_TEST_CASE", index.to_string()));
        variables.push(("SERIN_TEST_PORT", port.to_string()));
        variables.push(("SSL_CERT_FILE", roots));
        child("faults::in_child_cloudwatch", variables).await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by what_cloudwatch_missed_is_told_when_the_fault_is_over"]
async fn in_child_cloudwatch() {
    let number = |name: &str| std::env::var(name).expect("the parent's").parse::<u16>().expect("a number");
    let case = usize::from(number("SERIN_TEST_CASE"));
    let tls = Tls::new(Tongue::CloudWatch);
    std::fs::write(std::env::var("SSL_CERT_FILE").expect("the parent's"), &tls.roots).expect("a file");
    // After all that pass, one that doesn't.
    let (name, course): (&str, Course) =
        PASSING.get(case).copied().unwrap_or(("denied", &[(Fault::Status(403, None), 0)]));
    let tls = (course[0].0 == Fault::Expired).then_some(tls);
    let folder = tempfile::tempdir().expect("a folder");
    let mut station = Station::start(Tongue::CloudWatch, number("SERIN_TEST_PORT"), Fault::None, tls).await;
    let cloudwatch = CloudWatch {
        namespace: "Serin".to_owned(),
        interval: Duration::from_millis(300),
        resolution_seconds: 1,
        spool: 1 << 20,
    };
    let publisher = publisher(&Publish { cloudwatch: Some(cloudwatch), ..Publish::default() }, folder.path());
    // Ten probes each.
    let mut probes = 0.0;
    let mut probe = |seconds: u32| {
        for _ in 0..seconds {
            publisher.send(Item::Second(second(0)));
        }
        probes += 10.0 * f64::from(seconds);
        probes
    };
    let sum = |station: &Station| -> f64 {
        station.taken().iter().filter(|taken| taken.answered).map(|taken| attempts(&taken.body).1).sum()
    };
    let first = probe(1);
    until(&format!("{name}: the first"), || sum(&station) >= first).await;
    sleep(Duration::from_millis(300)).await;
    for (fault, ms) in course {
        station.set(*fault).await;
        probe(2);
        sleep(Duration::from_millis(400 + ms)).await;
    }
    let denied = "{destination=\"cloudwatch\",reason=\"refused\"}";
    if name == "denied" {
        until("the loss", || losses(&publisher).contains_key(denied)).await;
    } else {
        until(&format!("{name}: something waits"), || waiting(&publisher, "cloudwatch") > 0).await;
        assert_eq!(losses(&publisher), BTreeMap::new(), "{name}");
    }
    let mended = Duration::from_nanos(clock::wall_nanos()).as_secs_f64();
    station.set(Fault::None).await;
    let all = probe(3);
    let lost = if name == "denied" { 20.0 } else { 0.0 };
    until(&format!("{name}: all of it"), || {
        sum(&station) >= all - lost && waiting(&publisher, "cloudwatch") == 0
    })
    .await;
    sleep(Duration::from_millis(500)).await;
    assert!((sum(&station) - all + lost).abs() < 0.5, "{name}: {} of {all}, none twice", sum(&station));
    let data = losses(&publisher);
    if name == "denied" {
        assert_eq!(data.len(), 1, "{data:?}");
        let tried = station.taken().iter().filter(|taken| !taken.answered).count();
        assert_eq!(tried, 1, "a denial is not tried again");
    } else {
        assert_eq!(data, BTreeMap::new(), "{name}");
        // What had waited has the time when it was measured.
        let late = station.taken();
        let late = late.iter().filter(|taken| taken.answered).map(|taken| attempts(&taken.body).0);
        assert!(late.filter(|at| *at < mended).count() >= 2, "{name}");
    }
    publisher.drain(Duration::from_secs(5)).await;
}
