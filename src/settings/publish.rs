//! `[publish]`: who is told.

use super::reader::{Fault, Leaf, Noted, Section};
use super::{EventBridge, Slack, Sns, Webhook, address, notify, target};
use http::{HeaderMap, Uri};
use std::collections::BTreeSet;
use std::time::Duration;

/// No spool is smaller.
const SPOOL_MIN: u64 = 1 << 20;

/// `[publish]`: a missing section is off.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Publish {
    /// Names of other probers that `/metrics` and OTLP carry beside ours.
    pub aliases: BTreeSet<Peer>,
    /// OTLP metrics, log records and spans.
    pub otlp: Option<Otlp>,
    /// `CloudWatch` metrics.
    pub cloudwatch: Option<CloudWatch>,
    /// The same as lines of logs.
    pub emf: Option<Emf>,
    /// Messages to one webhook.
    pub webhook: Option<Webhook>,
    /// Messages to one channel.
    pub slack: Option<Slack>,
    /// Messages to one topic.
    pub sns: Option<Sns>,
    /// Messages to one event bus.
    pub eventbridge: Option<EventBridge>,
}

/// A prober whose dashboards are to go on working.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Prometheus' `blackbox_exporter`: `probe_*`.
    Blackbox,
    /// The receiver of the OpenTelemetry collector: `httpcheck.*`.
    HttpCheck,
}

impl Peer {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Blackbox, Self::HttpCheck];

    /// As in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blackbox => "blackbox",
            Self::HttpCheck => "httpcheck",
        }
    }
}

/// `[publish.otlp]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Otlp {
    /// The base URL; over HTTP the exporters add `/v1/metrics` and its like, over gRPC the name of the service.
    pub endpoint: Uri,
    /// How it is spoken.
    pub protocol: OtlpProtocol,
    /// What is sent; never empty.
    pub signals: BTreeSet<Signal>,
    /// Time between two exports of metrics.
    pub interval: Duration,
    /// The region of AWS that each request is signed for (`SigV4`); `None`: that of the endpoint, if it is `CloudWatch`'s own.
    pub sigv4: Option<String>,
    /// Sent with each export; all marked sensitive.
    pub headers: HeaderMap,
    /// Bytes on disk, of metrics and of logs each, for what can't be delivered yet; 0: it is lost.
    pub spool: u64,
}

/// How OTLP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// Protobuf over HTTP/1.1, by convention at port 4318.
    HttpProtobuf,
    /// gRPC, by convention at port 4317.
    Grpc,
}

/// One of the kinds of data that OTLP carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Every figure, each interval.
    Metrics,
    /// A record for each change of state.
    Logs,
    /// A span for each probe that failed, or was drawn to be traced.
    Traces,
}

impl Signal {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Metrics, Self::Logs, Self::Traces];

    /// As in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Traces => "traces",
        }
    }
}

/// `[publish.emf]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emf {
    /// What is in a line, and how often. Its spool is that of [`Self::group`].
    pub figures: CloudWatch,
    /// Where lines go by `PutLogEvents`; `None`: to standard output.
    pub group: Option<LogGroup>,
}

/// A log group of `CloudWatch` Logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogGroup {
    /// Its name; 1 to 512 of `[A-Za-z0-9._/#-]` (`CloudWatch` Logs API reference, `CreateLogGroup`). It is never made here: who makes
    /// it says how long it keeps.
    pub name: String,
    /// The stream in it, 1 to 512 characters without `:` and `*` (`CreateLogStream`); `None`: `serin/` and the machine's name.
    pub stream: Option<String>,
}

/// `[publish.cloudwatch]`, and what `[publish.emf]` has of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudWatch {
    /// The namespace; 1 to 255 of `[A-Za-z0-9._/#: -]`, not `AWS/…` (`CloudWatch` API reference, `PutMetricData`).
    pub namespace: String,
    /// Time between two `PutMetricData`, or between two lines.
    pub interval: Duration,
    /// 1 or 60 seconds: the only storage resolutions there are.
    pub resolution_seconds: u8,
    /// Bytes on disk for what can't be delivered yet; 0: it is lost, as lines of standard output always are.
    pub spool: u64,
}

impl Otlp {
    /// What [`Self::spool`] is where the environment alone names an endpoint: the file's default.
    pub const SPOOL: u64 = 16 << 20;
}

/// All of it.
pub(super) fn read(section: &Section<'_>) -> Result<Publish, Noted> {
    let aliases = section.maybe("aliases", aliases);
    let named = |name: &str| section.has(name).then(|| section.section(name));
    let otlp = named("otlp").map(|section| otlp(&section)).transpose();
    let cloudwatch = named("cloudwatch").map(|section| figures(&section)).transpose();
    let emf = named("emf").map(|section| emf(&section)).transpose();
    let webhook = named("webhook").map(|section| notify::webhook(&section)).transpose();
    let slack = named("slack").map(|section| notify::slack(&section)).transpose();
    let sns = named("sns").map(|section| notify::sns(&section)).transpose();
    let eventbridge = named("eventbridge").map(|section| notify::eventbridge(&section)).transpose();
    Ok(Publish {
        aliases: aliases?.unwrap_or_default(),
        otlp: otlp?,
        cloudwatch: cloudwatch?,
        emf: emf?,
        webhook: webhook?,
        slack: slack?,
        sns: sns?,
        eventbridge: eventbridge?,
    })
}

fn aliases(leaf: &Leaf<'_>) -> Result<BTreeSet<Peer>, Fault> {
    let (names, _) = leaf.texts()?;
    let peer = |name: &str| {
        let found = Peer::ALL.into_iter().find(|peer| peer.name() == name);
        found.ok_or_else(|| {
            let known = Peer::ALL.map(Peer::name).join(" and ");
            Fault::new(format!("nobody's dashboards are called {name:?} here"), format!("there are {known}"))
        })
    };
    names.into_iter().map(peer).collect()
}

fn otlp(section: &Section<'_>) -> Result<Otlp, Noted> {
    let endpoint = section.get("endpoint", |leaf| http_url(leaf.text()?));
    let protocol = section.get("protocol", |leaf| {
        leaf.choice(&[("http/protobuf", OtlpProtocol::HttpProtobuf), ("grpc", OtlpProtocol::Grpc)])
    });
    let signals = section.get("signals", signals);
    let interval = section.get("interval", interval);
    let sigv4 = section.maybe("sigv4", region);
    let spool = section.get("spool", spool);
    let mut headers = target::headers(section)?;
    headers.values_mut().for_each(|value| value.set_sensitive(true));
    Ok(Otlp {
        endpoint: endpoint?,
        protocol: protocol?,
        signals: signals?,
        interval: interval?,
        sigv4: sigv4?,
        headers,
        spool: spool?,
    })
}

/// A size; less than a large service's figures of one interval would lose all of them.
fn spool(leaf: &Leaf<'_>) -> Result<u64, Fault> {
    if leaf.text().is_ok_and(|text| text.trim() == "0") {
        return Ok(0);
    }
    match leaf.size(0..=1 << 40)? {
        size @ 1..SPOOL_MIN => Err(Fault::new(
            format!("a spool of {size} bytes holds nothing: it is 1MiB to 1024GiB, or \"0\" for none"),
            "write \"16MiB\", or \"0\"",
        )),
        size => Ok(size),
    }
}

fn region(leaf: &Leaf<'_>) -> Result<String, Fault> {
    let text = leaf.text()?;
    let plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if plain && text.contains('-') {
        return Ok(text.to_owned());
    }
    Err(Fault::new("a region of AWS looks like eu-west-1", "name the region that the endpoint belongs to"))
}

fn signals(leaf: &Leaf<'_>) -> Result<BTreeSet<Signal>, Fault> {
    let (names, _) = leaf.texts()?;
    let known = || Signal::ALL.map(Signal::name).join(", ");
    let signal = |name: &&str| {
        let found = Signal::ALL.into_iter().find(|signal| signal.name() == *name);
        found.ok_or_else(|| Fault::new(format!("OTLP has no {name:?}"), format!("name some of {}", known())))
    };
    let signals: BTreeSet<Signal> = names.iter().map(signal).collect::<Result<_, _>>()?;
    if signals.is_empty() {
        let remedy = format!("name some of {}, or leave the section [publish.otlp] out", known());
        return Err(Fault::new("an exporter that sends nothing is none", remedy));
    }
    Ok(signals)
}

fn emf(section: &Section<'_>) -> Result<Emf, Noted> {
    let figures = figures(section);
    let name = section.maybe("log_group", |leaf| named_by(leaf.text()?, "a log group", log_group_letter));
    let of_a_group = section.has("log_group");
    let stream = section.maybe("log_stream", |leaf| {
        if !of_a_group {
            return Err(Fault::new(
                "a stream belongs to a log group",
                "name log_group, or leave log_stream out",
            ));
        }
        named_by(leaf.text()?, "a log stream", |letter| !":*".contains(letter) && !letter.is_control())
    });
    let (figures, name, stream) = (figures?, name?, stream?);
    Ok(Emf { figures, group: name.map(|name| LogGroup { name, stream }) })
}

const fn log_group_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '/' | '#' | '-')
}

/// The name of something of `CloudWatch` Logs.
fn named_by(text: &str, what: &str, takes: impl Fn(char) -> bool) -> Result<String, Fault> {
    match text.chars().find(|letter| !takes(*letter)) {
        Some(letter) => Err(Fault::new(format!("the name of {what} has no {letter:?}"), "")),
        None if (1..=512).contains(&text.chars().count()) => Ok(text.to_owned()),
        None => Err(Fault::new(format!("the name of {what} has 1 to 512 characters"), "")),
    }
}

fn figures(section: &Section<'_>) -> Result<CloudWatch, Noted> {
    let namespace = section.get("namespace", namespace);
    let interval = section.get("interval", interval);
    let resolution = section.get("resolution", |leaf| match leaf.count(1..=60)? {
        1 => Ok(1),
        60 => Ok(60),
        _ => Err(Fault::new("CloudWatch stores by 1 second or by 60", "write 1 or 60")),
    });
    let spool = section.get("spool", spool);
    Ok(CloudWatch {
        namespace: namespace?,
        interval: interval?,
        resolution_seconds: resolution?,
        spool: spool?,
    })
}

fn namespace(leaf: &Leaf<'_>) -> Result<String, Fault> {
    let text = leaf.text()?;
    let letter = |letter: char| letter.is_ascii_alphanumeric() || "._/#:- ".contains(letter);
    if text.len() > 255 || !text.chars().all(letter) || text.trim().is_empty() {
        return Err(Fault::new("CloudWatch takes 1 to 255 of letters, digits, space and . - _ / # :", ""));
    }
    if text.starts_with("AWS/") || text.starts_with(':') {
        return Err(Fault::new("namespaces that begin with AWS/ or : are AWS's own", "choose another"));
    }
    Ok(text.to_owned())
}

/// No message repeats the URL: that of a webhook is a secret.
pub(super) fn http_url(text: &str) -> Result<Uri, Fault> {
    address::endpoint(text).map(|endpoint| endpoint.url)
}

fn interval(leaf: &Leaf<'_>) -> Result<Duration, Fault> {
    leaf.duration(Duration::from_secs(1)..=Duration::from_hours(1))
}
