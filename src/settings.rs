//! Checked settings: parse, don't validate.
//!
//! [`load`] reads every layer, collects every fault of a run and gives either a [`Settings`] in which
//! each value is inside its range, or all the [`Problems`](crate::config::Problems) at once. Nothing after this module has
//! to ask whether a rate is positive or a header is legal: the types say so.
//!
//! What a key means, its default and the reason for the default stand in one table,
//! [`crate::config::KEYS`]; `config/serin.toml` is the same table for people.

mod address;
mod arn;
mod between;
mod explain;
mod front;
mod lever;
mod notify;
mod objectives;
mod openslo;
mod policy;
mod process;
mod publish;
mod reader;
mod revision;
mod secret;
mod service;
mod target;
mod template;
mod units;

pub use address::forbidden;
pub use explain::{explain, explain_json};
pub use front::{Front, Via};
pub use lever::{Lever, Whose, unasked_balancers};
pub use notify::{EventBridge, Slack, Sns, Webhook};
pub use openslo::{Unit, import as import_openslo};
pub use publish::{CloudWatch, Emf, LogGroup, Otlp, OtlpProtocol, Peer, Publish, Signal};
pub use revision::moved;
pub use secret::{Secret, SigningKey};
pub use template::Template;

use crate::config::{self, ConfigError, Origin, Problem, Sources};
use crate::model::policy::{GuardPolicy, JudgePolicy, Mode};
use http::{HeaderMap, HeaderName, Method, Uri};
use reader::{Fault, Log as Findings, Noted, Section};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::fmt::Write;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Reads, merges and checks all that `sources` names.
///
/// # Errors
/// All faults of the run, not only the first.
pub fn load(sources: &Sources) -> Result<Settings, ConfigError> {
    let mut problems = Vec::new();
    let config = config::read(sources, &mut problems);
    let log = Findings {
        variables: &sources.variables,
        problems: RefCell::new(problems),
        entries: RefCell::new(Vec::new()),
    };
    let process = process::read(&Section::root(&log, &config.process, None));
    let services: Vec<Result<Service, Noted>> =
        config.services.iter().map(|node| service::read(&log, node)).collect();
    let mut problems = log.problems.into_inner();
    between::apart(&config.services, &services, &mut problems);
    if let Ok(process) = &process {
        between::paced(&config.process, process.engine.quantum, &services, &mut problems);
    }
    if !problems.is_empty() {
        return Err(sorted(problems).into());
    }
    let entries = log.entries.into_inner();
    let services: Result<Vec<Service>, Noted> = services.into_iter().collect();
    let (Ok(process), Ok(services)) = (process, services) else {
        unreachable!("a part that is missing has noted its fault, and there is none");
    };
    Ok(finish(process, services, entries))
}

/// Everything that one process runs by.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What the process has once, whatever the number of services.
    pub process: Process,
    /// At least one; unique names, no lever twice; in the order of their names.
    pub services: Vec<Service>,
    /// Each effective value as it may be shown (secrets masked), with where it came from.
    pub entries: Vec<Entry>,
    /// SHA-256 (hex) of all effective values, secrets masked by their reference.
    pub content_hash: String,
}

/// One effective value, fit to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The service that it belongs to; `None`: the process.
    pub service: Option<String>,
    /// The key as in the file: `judge.window`, `targets[0].url`.
    pub key: String,
    /// The value as it would be written in TOML; secrets show their reference only.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// What a process has once.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// The admin listener and socket.
    pub admin: Admin,
    /// The engine.
    pub engine: Engine,
    /// Where evidence is kept.
    pub evidence: EvidenceStore,
    /// Who is told.
    pub publish: Publish,
    /// The process's own log.
    pub log: Log,
    /// How often the files are looked at for a change; `None`: they are read anew when somebody says so.
    pub watch: Option<Duration>,
}

/// `[admin]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// The read-only HTTP listener.
    pub listen: SocketAddr,
    /// The Unix socket for what changes state.
    pub socket: PathBuf,
    /// Whoever shows it may change state over `listen` too; `None`: nobody may.
    pub token: Option<Secret>,
}

/// `[engine]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// Probes due within one quantum are sent together; 0 to 10 ms.
    pub quantum: Duration,
    /// Engine threads at most; 1 to 64. A service lives on one of them.
    pub threads: u32,
}

/// `[evidence]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceStore {
    /// The folder of the ledger and the samples; made when missing.
    pub dir: PathBuf,
    /// Write each ledger line to standard output too.
    pub stdout: bool,
    /// The disk budget for raw samples, in bytes.
    pub max_disk: u64,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Text, JSON, or by what standard error is.
    pub format: LogFormat,
    /// The lowest level that is written.
    pub level: tracing::Level,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For programs.
    Json,
    /// For people.
    Text,
}

/// One watched service.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// `[a-z0-9-]{1,63}`.
    pub name: String,
    /// What is put back together, the most important first; none: measure and judge only. All of one region and account.
    pub levers: Vec<Lever>,
    /// The same as [`GuardPolicy::mode`].
    pub mode: Mode,
    /// Where production probes go.
    pub via: Via,
    /// The name of the balancer, for those of its targets that go there.
    pub front: Front,
    /// What the file says of whose the levers are.
    pub whose: Whose,
    /// The file says that this Serin is the only one that may act.
    pub sole_actuator: bool,
    /// How many Serins run this file; 1 to 10,000.
    pub instances: u32,
    /// Ceiling for the probes a second of all instances together.
    pub max_rate_hz: f64,
    /// An unrelated, known-good endpoint through the same egress.
    pub control: Option<Endpoint>,
    /// Of its probes, those that whoever takes part in their traces is asked to keep, 0 to 1.
    pub trace_share: f64,
    /// 1 to 1,000, unique names, in the order of the file.
    pub targets: Vec<Target>,
    /// How samples become a verdict.
    pub judge: JudgePolicy,
    /// What must hold before the lever is touched.
    pub guard: GuardPolicy,
    /// While this file exists, nothing is written.
    pub hold_file: Option<PathBuf>,
    /// Probes a second.
    pub pace: Pace,
    /// SHA-256 (hex) of the effective values of this service; a secret counts by its reference, not its value.
    pub content_hash: String,
}

impl Service {
    /// Whether every production probe reaches the lever itself, so that it can prove what that does.
    #[must_use]
    pub fn verifies(&self) -> bool {
        self.via != Via::Public
    }

    /// The time between two probes of `target` at the calm pace.
    #[must_use]
    pub fn calm_interval(&self, target: &Target) -> Duration {
        self.interval(target, self.pace.calm_hz)
    }

    /// The time between two probes of `target` at the release pace.
    #[must_use]
    pub fn release_interval(&self, target: &Target) -> Duration {
        self.interval(target, self.pace.release_hz)
    }

    /// Probes a second of `target` at the release pace, one instance.
    #[must_use]
    pub fn release_rate_of(&self, target: &Target) -> f64 {
        target_rate_hz(target, weights(&self.targets), self.pace.release_hz)
    }

    /// Direct questions a second to all registered targets together, one instance: [`DIRECT_SHARE`] of the pace.
    #[must_use]
    pub fn direct_rate_hz(&self, release: bool) -> f64 {
        DIRECT_SHARE * if release { self.pace.release_hz } else { self.pace.calm_hz }
    }

    /// The same while the judge is in doubt: a breach waits for what the old version says, so that is asked as often as production
    /// is, up to [`DOUBT_HZ`] and to what `max_rate` leaves.
    #[must_use]
    pub fn doubt_rate_hz(&self) -> f64 {
        let left_hz = self.max_rate_hz / f64::from(self.instances) - self.release_rate_hz();
        self.pace.release_hz.min(DOUBT_HZ).min(left_hz).max(self.direct_rate_hz(true))
    }

    /// Probes a second that one instance sends at the release pace, rate caps respected.
    #[must_use]
    pub fn release_rate_hz(&self) -> f64 {
        rate_hz(&self.targets, self.pace.release_hz)
    }

    /// The most that all instances together send to the service at the release pace: to its URLs, and with a balancer to its registered
    /// targets directly, as often as in doubt.
    #[must_use]
    pub fn load_hz(&self) -> f64 {
        let direct = if self.asks_directly() { self.doubt_rate_hz() } else { 0.0 };
        (self.release_rate_hz() + direct) * f64::from(self.instances)
    }

    /// Probes a second that one instance sends at the calm pace, rate caps respected.
    #[must_use]
    pub fn calm_rate_hz(&self) -> f64 {
        rate_hz(&self.targets, self.pace.calm_hz)
    }

    /// The pace is split by weight; what a capped target doesn't use is not given to the others.
    fn interval(&self, target: &Target, pace_hz: f64) -> Duration {
        Duration::from_secs_f64(1.0 / target_rate_hz(target, weights(&self.targets), pace_hz))
    }
}

/// What `targets` get together when they share `pace_hz`.
fn rate_hz(targets: &[Target], pace_hz: f64) -> f64 {
    rates_hz(targets, pace_hz).sum()
}

/// What each of `targets` gets when they share `pace_hz`.
fn rates_hz(targets: &[Target], pace_hz: f64) -> impl Iterator<Item = f64> {
    let all = weights(targets);
    targets.iter().map(move |target| target_rate_hz(target, all, pace_hz))
}

fn weights(targets: &[Target]) -> u32 {
    targets.iter().map(|target| target.weight).sum()
}

/// What one target gets of weights that are `all` together; at most 1,000 targets by the time anybody asks.
fn target_rate_hz(target: &Target, all: u32, pace_hz: f64) -> f64 {
    let share_hz = pace_hz * f64::from(target.weight) / f64::from(all.max(1));
    target.rate_cap_hz.map_or(share_hz, |cap_hz| cap_hz.min(share_hz))
}

/// What the old version's registered targets are asked directly, as a share of the pace: a control needs fewer
/// answers than what it controls.
pub const DIRECT_SHARE: f64 = 0.2;

/// The most that they are asked while the judge is in doubt, probes a second: beyond it the usual share says enough.
pub const DOUBT_HZ: f64 = 100.0;

/// Probes a second of one instance, all targets of the service together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// In peace.
    pub calm_hz: f64,
    /// Around a cutover.
    pub release_hz: f64,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The whole URL: http or https, no user info, no fragment; an empty path is `/`.
    pub url: Uri,
    /// The host as in the URL, without the brackets of IPv6.
    pub host: String,
    /// The port, 80 or 443 when the URL has none.
    pub port: u16,
    /// The scheme is https.
    pub tls: bool,
}

/// One URL that is asked, and what a good answer is.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Unique in the service; the label of its series.
    pub name: String,
    /// It is asked so many times as often as one of weight 1; 1 to 100.
    pub weight: u32,
    /// The group that it belongs to.
    pub group: Option<String>,
    /// What is asked.
    pub endpoint: Endpoint,
    /// Connect there instead of resolving the host; Host and SNI stay the URL's.
    pub connect_to: Option<SocketAddr>,
    /// Resolve the balancer's name instead of the host; Host and SNI stay the URL's.
    pub front: Option<Front>,
    /// GET or HEAD, or another one that the file declared free of side effects.
    pub method: Method,
    /// Sent with each probe; those from a secret are marked sensitive.
    pub headers: HeaderMap,
    /// The response header that names the version that answered.
    pub version_header: Option<HeaderName>,
    /// From `planned` to the last byte; 1 ms to 60 s, may exceed the interval.
    pub timeout: Duration,
    /// A new connection for each probe.
    pub fresh: bool,
    /// HTTP/2, one stream a connection, instead of HTTP/1.1.
    pub http2: bool,
    /// Connections after the first resume its TLS session, instead of proving certificate and key each time.
    pub tls_resume: bool,
    /// Bytes of the body that are read at most; 1 to 10 MiB.
    pub max_body: u64,
    /// Statuses of a good answer.
    pub status: StatusSet,
    /// A good body contains this.
    pub body_contains: Option<Vec<u8>>,
    /// Slots: probes in flight at most.
    pub in_flight: u32,
    /// Extra trust roots (PEM).
    pub ca_file: Option<PathBuf>,
    /// At most so many probes a second and instance; 1.0 for methods other than GET and HEAD.
    pub rate_cap_hz: Option<f64>,
}

/// A set of HTTP statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusSet(pub Vec<RangeInclusive<u16>>);

impl Target {
    /// What the keys of a target are when only its URL is set, named after that.
    ///
    /// # Errors
    /// The URL is none that may be asked; in words, with the remedy.
    pub fn plain(url: &str) -> Result<Self, String> {
        target::plain(url)
    }
}

/// A rate as the file writes it, `100/s`, in hertz.
///
/// # Errors
/// It is none; in words, with the remedy.
pub fn rate_hz_of(text: &str) -> Result<f64, String> {
    units::rate(text).map_err(|fault| fault.words())
}

/// Statuses as the file writes them: `200`, `200-299`.
///
/// # Errors
/// One is none; in words, with the remedy.
pub fn statuses(texts: &[String]) -> Result<StatusSet, String> {
    target::statuses_of(texts)
}

impl StatusSet {
    /// Is `status` in the set?
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

/// In the order of documents and lines; a fault of a shared layer is told once.
fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by(|a, b| (&a.origin, &a.key, &a.rule).cmp(&(&b.origin, &b.key, &b.rule)));
    problems.dedup();
    problems
}

fn finish(process: Process, mut services: Vec<Service>, mut entries: Vec<Entry>) -> Settings {
    services.sort_by(|a, b| a.name.cmp(&b.name));
    entries.sort_by(|a, b| a.service.cmp(&b.service));
    for service in &mut services {
        let of_service =
            entries.iter().filter(|entry| entry.service.as_deref() == Some(service.name.as_str()));
        service.content_hash = hash(of_service);
    }
    Settings { process, services, content_hash: hash(entries.iter()), entries }
}

/// SHA-256 over `service key = value` lines, sorted: neither the format of a file nor its order counts.
fn hash<'a>(entries: impl Iterator<Item = &'a Entry>) -> String {
    let mut lines: Vec<[&str; 3]> = entries
        .map(|entry| [entry.service.as_deref().unwrap_or_default(), &*entry.key, &*entry.value])
        .collect();
    lines.sort_unstable();
    let mut digest = Sha256::new();
    for [service, key, value] in lines {
        for part in [service, " ", key, " = ", value, "\n"] {
            digest.update(part);
        }
    }
    digest.finalize().iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string can't fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
