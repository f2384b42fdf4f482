//! What leaves the process, against receivers on loopback.
//!
//! What depends on variables of the environment runs in a child of its own: a test named `in_child_*`, ignored unless
//! its parent starts it.

mod aliases;
mod aws;
mod boards;
mod catalogue;
mod cloudwatch;
mod emf;
mod faults;
mod figures;
mod otlp;
mod receiver;
mod rules;
mod signals;
mod station;
mod telling;
mod webhook;

use serin::clock;
use serin::config::Sources;
use serin::model::delta::{Buckets, Delta, Own, Rolling, Second, Throttling, Times};
use serin::model::guard::{Command as Word, Page, PageKind};
use serin::model::policy::Mode;
use serin::model::record::Record;
use serin::model::release::{EpochId, ReleaseId};
use serin::model::sample::Purpose;
use serin::model::target::TargetId;
use serin::model::time::Span;
use serin::model::urls::UrlFigures;
use serin::publish::{Format, Item, Publisher, Roster};
use serin::settings;
use std::io::{self, Write};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What must never be shown.
const CANARY: &str = "S3CR3T-c4n4ry";

fn targets() -> Arc<[Arc<str>]> {
    ["front", "cart"].map(Arc::from).into()
}

fn roster() -> Roster {
    Roster { services: vec![("shop".into(), targets().to_vec(), Mode::Observe)], ..Roster::default() }
}

fn start(settings: &settings::Publish) -> Publisher {
    Publisher::start(settings, &roster(), "instance-1", "9.8.7").expect("settings that make sense")
}

/// `[publish…]` tables as the file would have them, with `variables` to refer to.
fn configured(tables: &str, variables: &[(&str, &str)]) -> settings::Publish {
    let document = format!(
        "service = \"shop\"\n[[targets]]\nurl = \"http://127.0.0.1:1/\"\n[objectives]\navailability = \"99%\"\n{tables}"
    );
    let variables = variables.iter().copied().chain([("DOC", document.as_str())]);
    let sources = Sources {
        paths: vec!["env:DOC".to_owned()],
        variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        overrides: Vec::new(),
    };
    settings::load(&sources).expect("a document that loads").process.publish
}

/// Ten production answers of `front`, `bad` of them with status 500.
fn second(bad: u32) -> Arc<Second> {
    let mut response = Buckets::default();
    let mut connect = Buckets::default();
    for ms in 1..=10 {
        response.add(Span::of(Duration::from_millis(ms)));
        connect.add(Span::of(Duration::from_micros(100 * ms)));
    }
    let mut delta = Delta {
        target: TargetId(0),
        purpose: Some(Purpose::Production),
        attempts: 10,
        response: response.clone(),
        ..Delta::default()
    };
    let mut times = Times {
        service: response.clone(),
        since_due: response,
        lateness: connect.clone(),
        ..Times::default()
    };
    let echo = connect.clone();
    times.phases[3] = connect;
    delta.statuses.insert(200, 10 - bad);
    delta.versions.insert("blue".into(), 10);
    if bad > 0 {
        delta.statuses.insert(500, bad);
        delta.failures.insert("status", bad);
    }
    let p95 = Some(Span::of(Duration::from_millis(10)));
    let rolling = Some(Rolling { answers: 10, bad, p95, attained: Some(0.75), verdict: "good" });
    Arc::new(Second {
        service: "shop".into(),
        at: clock::now(),
        targets: targets(),
        deltas: vec![delta],
        times,
        rolling,
        urls: vec![UrlFigures { target: TargetId(0), answers: 10, bad, slow: Some(2), p95 }],
        own: Own {
            stalled: Duration::from_millis(250),
            throttling: Throttling {
                periods: 10,
                throttled_periods: 3,
                throttled: Duration::from_millis(200),
            },
            echo,
        },
    })
}

fn page(kind: PageKind) -> Item {
    let page = Page {
        kind,
        text: "29 of 29 answers bad".into(),
        dry_run: true,
        epoch: EpochId(7),
        release: Some(ReleaseId(3)),
    };
    Item::Page("shop".into(), Arc::new(page))
}

fn operator(command: Word) -> Item {
    Item::Note("shop".into(), Arc::new(Record::Operator { command }))
}

fn openmetrics(publisher: &Publisher) -> String {
    String::from_utf8(publisher.metrics(Format::OpenMetrics)).expect("it is text")
}

/// Waits until the figures show `line`, 10 s at most.
async fn shown(publisher: &Publisher, line: &str) -> String {
    for _ in 0..1_000 {
        let text = openmetrics(publisher);
        if text.lines().any(|each| each.starts_with(line)) {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{line} is not in\n{}", openmetrics(publisher));
}

/// Runs the ignored test `name` in a process of its own with `variables` and none of ours for AWS or OTLP.
async fn child(name: &'static str, variables: Vec<(&'static str, String)>) -> Output {
    let run = move || {
        let mut command = Command::new(std::env::current_exe().expect("this test program"));
        for (key, _) in std::env::vars_os() {
            let key_text = key.to_string_lossy().into_owned();
            let of_platforms = ["AWS_", "ECS_", "KUBERNETES_", "OTEL_"];
            if of_platforms.iter().any(|one| key_text.starts_with(one)) || key_text.ends_with("_PROXY") {
                command.env_remove(&key);
            }
        }
        command.args(["--exact", name, "--ignored", "--nocapture"]).envs(variables).output().expect("a child")
    };
    let output = tokio::task::spawn_blocking(run).await.expect("the child was awaited");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "the child ran no test: {text}");
    output
}

/// What the process logs on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Takes over this thread's log until the guard is dropped.
    fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no panic while logging")).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic while logging").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
