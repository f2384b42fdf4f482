//! What leaves the process as figures and messages: one bounded queue a destination, and each drop counted.
//!
//! ```text
//!            ┌─ queue ─▶ figures ◀─ scrape of /metrics        (always)
//!  send ─────┼─ queue ─▶ OTLP, each signal a queue of its own ([publish.otlp] or OTEL_EXPORTER_OTLP_ENDPOINT)
//!  (never    ├─ queue ─▶ CloudWatch, every interval           ([publish.cloudwatch])
//!            ├─ queue ─▶ lines for CloudWatch's logs          ([publish.emf])
//!   blocks)  └─ message ┬─ queue ─▶ webhook                   ([publish.webhook])
//!                       ├─ queue ─▶ Slack and its likes       ([publish.slack])
//!                       ├─ queue ─▶ SNS                       ([publish.sns])
//!                       └─ queue ─▶ EventBridge               ([publish.eventbridge])
//! ```
//!
//! What people are told is made into one [`Message`] first, the same for all of them.
//!
//! Nothing that happens here changes a verdict or delays a probe: a destination that hangs fills its own queue, and then its own
//! place on disk ([`outbox`], [`spool`]), and loses what doesn't fit, and `serin_dropped_total` says so. What the figures are called stands in [`names`].

mod aliases;
mod aws;
mod cloudwatch;
mod delivery;
mod emf;
mod eventbridge;
mod figures;
mod labels;
mod losses;
mod message;
pub mod names;
mod otlp;
mod outbox;
mod post;
mod prometheus;
mod slack;
mod sns;
mod spool;
mod versions;
mod webhook;

pub use prometheus::Format;

use crate::clock;
use crate::model::budget::BudgetFigures;
use crate::model::delta::Second;
use crate::model::guard::{Page, Status};
use crate::model::message::Message;
use crate::model::policy::Mode;
use crate::model::record::Record;
use crate::model::time::Wall;
use crate::model::trace::Traced;
use crate::settings;
use eventbridge::EventBridge;
use figures::Figures;
use losses::{Destination, Losses, Reason};
use message::Desk;
use outbox::{Depot, Phase};
use slack::Slack;
use sns::Sns;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use webhook::Webhook;

/// Items that wait for a destination at most: minutes of seconds of a handful of services.
const QUEUE: usize = 1_024;

/// Buckets of a classic histogram, the one without an end included.
const BUCKETS: u64 = figures::BOUNDS.len() as u64 + 1;
/// Versions that are told apart, and the one that is all others.
const VERSIONS: u64 = versions::CAP as u64 + 1;
const DESTINATIONS: u64 = Destination::ALL.len() as u64;
/// Why something is lost.
const LOSSES: u64 = Reason::ALL.len() as u64;

/// Of the time that there is at the end, for destinations that take what they get; the rest is the disk's.
const SENDING: f32 = 0.6;

/// Between two looks for stale figures.
const REFRESH: Duration = Duration::from_secs(1);

/// Something that is told.
#[derive(Clone, Debug)]
pub enum Item {
    /// What an engine did in one second.
    Second(Arc<Second>),
    /// A probe that is worth a span.
    Probe(Arc<str>, Arc<Traced>),
    /// How the guard of a service stands; sent when it changes, and every few seconds: after 15 s it counts as unknown.
    Status(Arc<str>, Arc<Status>),
    /// How the error budget of a service stands; it goes stale with the status.
    Budget(Arc<str>, BudgetFigures),
    /// A line of a service's ledger.
    Note(Arc<str>, Arc<Record>),
    /// A message for people about a service.
    Page(Arc<str>, Arc<Page>),
    /// A service isn't watched any more.
    Gone(Arc<str>),
    /// How the targets of a service are asked from now on, by their names.
    Asked(Arc<str>, Vec<(Arc<str>, Asked)>),
    /// The configuration was read anew at that time, and taken or not.
    Reloaded {
        /// When.
        at: Wall,
        /// It had no fault.
        taken: bool,
    },
}

/// What there is to tell about, so that series exist before anything has happened.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    /// Every service: its name, the names of its targets (the index is the
    /// [`TargetId`](crate::model::target::TargetId)), and whether it may act.
    pub services: Vec<(Arc<str>, Vec<Arc<str>>, Mode)>,
    /// How the targets of a service are asked, by their names; only other probers' names need it.
    pub asked: BTreeMap<Arc<str>, Vec<(Arc<str>, Asked)>>,
    /// Where `CloudWatch` is, if a lever says so; else the environment does.
    pub region: Option<String>,
    /// Standard output.
    pub lines: Option<Lines>,
    /// The folder for what can't be delivered yet; `None`: nothing is kept.
    pub spool: Option<PathBuf>,
}

/// How a target is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The URL without its query, which may hold a secret.
    pub url: Arc<str>,
    /// The method.
    pub method: Arc<str>,
    /// Whether over TLS.
    pub tls: bool,
}

impl Asked {
    /// As `target` says.
    #[must_use]
    pub fn of(target: &settings::Target) -> Self {
        let url = target.endpoint.url.to_string();
        Self {
            url: url.split('?').next().unwrap_or_default().into(),
            method: target.method.as_str().into(),
            tls: target.endpoint.tls,
        }
    }

    /// All of a service's, by their names.
    #[must_use]
    pub fn all(service: &settings::Service) -> Vec<(Arc<str>, Self)> {
        service.targets.iter().map(|target| (target.name.as_str().into(), Self::of(target))).collect()
    }
}

/// Takes whole lines for standard output, and says whether there was room. Never waits.
#[derive(Clone)]
pub struct Lines(pub Arc<dyn Fn(Vec<u8>) -> bool + Send + Sync>);

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}

/// Why publishing can't begin. Each is the configuration's fault; a destination that is away is none.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The URL under this key is none. The URL itself is a secret and isn't told.
    #[error("{0} is no http or https URL with a host and without user info")]
    Url(&'static str),
    /// Messages can't be told apart.
    #[error("the machine has no random numbers")]
    Chance,
    /// The endpoint can't be used. It may carry a token, so it isn't told either.
    #[error(
        "the OTLP endpoint (publish.otlp.endpoint, else OTEL_EXPORTER_OTLP_METRICS_ENDPOINT or \
         OTEL_EXPORTER_OTLP_ENDPOINT) is no http or https URL with a host and without user info"
    )]
    OtlpEndpoint,
    /// TLS can't be set up.
    #[error("TLS can't be set up")]
    Tls(#[from] rustls::Error),
}

/// The destinations, running. Owns their tasks. To be drained before it is dropped: a dropped one loses what it holds,
/// and the OpenTelemetry SDK may then hold up the thread for up to 5 s.
#[derive(Debug)]
pub struct Publisher {
    figures: Arc<Mutex<Figures>>,
    lanes: Vec<Lane<Dated>>,
    desk: Desk,
    tellers: Vec<Lane<Arc<Message>>>,
    losses: Arc<Losses>,
    phase: watch::Sender<Phase>,
    tasks: JoinSet<()>,
}

impl Publisher {
    /// Starts every destination that `settings` and the environment name, on the current tokio runtime.
    /// `instance` tells this process from its likes (`service.instance.id`), `version` is the program's.
    ///
    /// # Errors
    /// The configuration of a destination makes no sense. A destination that doesn't answer is no error.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(
        settings: &settings::Publish,
        roster: &Roster,
        instance: &str,
        version: &str,
    ) -> Result<Self, PublishError> {
        let figures = Arc::new(Mutex::new(Figures::new(roster, version, &settings.aliases)));
        let losses = Arc::new(Losses::default());
        let phase = watch::Sender::default();
        let depot = Depot {
            losses: Arc::clone(&losses),
            phase: phase.subscribe(),
            dir: roster.spool.clone(),
            turn: Arc::new(Semaphore::new(1)),
        };
        let mut tasks = JoinSet::new();
        let mut lanes = vec![figures_lane(&figures, &losses, &mut tasks)];
        let who = (instance, version);
        lanes.extend(otlp::start(settings.otlp.as_ref(), roster, who, &figures, &depot, &mut tasks)?);
        if let Some(cloudwatch) = &settings.cloudwatch {
            lanes.push(cloudwatch::start(cloudwatch, roster, &depot, &mut tasks));
        }
        if let Some(emf) = &settings.emf {
            lanes.push(emf::start(emf, roster, instance, &depot, &mut tasks));
        }
        let tellers = tellers(settings, roster, &losses, &mut tasks)?;
        Ok(Self { figures, lanes, desk: Desk::new(roster, instance)?, tellers, losses, phase, tasks })
    }

    /// Tells every destination that cares. Never blocks: what doesn't fit into a queue is dropped and counted.
    pub fn send(&self, item: Item) {
        let dated = Dated { at: clock::wall(), item };
        let message = self.desk.message(&dated.item, dated.at).map(Arc::new);
        for lane in self.lanes.iter().filter(|lane| wants(lane.destination, &dated.item)) {
            lane.send(dated.clone(), &self.losses);
        }
        let Some(message) = message else { return };
        for teller in &self.tellers {
            if !teller.send(Arc::clone(&message), &self.losses) {
                delivery::lost(teller.destination, &message, "its queue is full");
            }
        }
    }

    /// The figures as a scraper gets them. The order of series is stable.
    #[must_use]
    pub fn metrics(&self, format: Format) -> Vec<u8> {
        refresh(&self.figures, &self.losses);
        prometheus::exposition(&self.figures, format)
    }

    /// Closes the queues and gives every destination until `within` to send what it has. What isn't taken in the most of that
    /// goes to the disk, where there is a spool; the rest is lost.
    pub async fn drain(self, within: Duration) {
        let Self { lanes, tellers, phase, mut tasks, .. } = self;
        phase.send_replace(Phase::Closing);
        drop((lanes, tellers));
        let sending = within.mul_f32(SENDING);
        for rest in [sending, within.saturating_sub(sending)] {
            let all = async { while tasks.join_next().await.is_some() {} };
            if tokio::time::timeout(rest, all).await.is_ok() {
                return;
            }
            phase.send_replace(Phase::Hurry);
        }
        tracing::warn!(
            within_ms = within.as_millis(),
            "a destination did not finish in time; what it held is lost"
        );
        tasks.shutdown().await;
    }
}

/// An item and when it was sent.
#[derive(Clone, Debug)]
struct Dated {
    at: Wall,
    item: Item,
}

/// The way to one destination.
#[derive(Debug)]
struct Lane<T> {
    destination: Destination,
    queue: mpsc::Sender<T>,
}

impl<T> Lane<T> {
    /// Whether there was room.
    fn send(&self, item: T, losses: &Losses) -> bool {
        let taken = self.queue.try_send(item).is_ok();
        if !taken {
            losses.add(self.destination, Reason::QueueFull, 1);
        }
        taken
    }
}

/// Every destination of messages that `settings` name, each with a queue and a task of its own.
fn tellers(
    settings: &settings::Publish,
    roster: &Roster,
    losses: &Arc<Losses>,
    tasks: &mut JoinSet<()>,
) -> Result<Vec<Lane<Arc<Message>>>, PublishError> {
    let settings::Publish { webhook, slack, sns, eventbridge, .. } = settings.clone();
    let mut tellers = Vec::new();
    if let Some(webhook) = webhook {
        let webhook = Webhook::new(&webhook)?;
        tellers.push(delivery::start(std::future::ready(webhook), losses, tasks));
    }
    if let Some(slack) = slack {
        let slack = Slack::new(&slack)?;
        tellers.push(delivery::start(std::future::ready(slack), losses, tasks));
    }
    if let Some(sns) = sns {
        tellers.push(delivery::start(Sns::new(sns), losses, tasks));
    }
    if let Some(eventbridge) = eventbridge {
        tellers.push(delivery::start(EventBridge::new(eventbridge, roster.region.clone()), losses, tasks));
    }
    Ok(tellers)
}

/// Whether `destination` gets `item` as it is; what people are told goes to the others as messages.
const fn wants(destination: Destination, item: &Item) -> bool {
    match destination {
        Destination::Prometheus => true,
        Destination::Otlp => matches!(item, Item::Second(_)),
        Destination::OtlpLogs => matches!(item, Item::Note(..)),
        Destination::OtlpTraces => matches!(item, Item::Probe(..)),
        Destination::CloudWatch | Destination::Emf => {
            matches!(item, Item::Second(_) | Item::Status(..) | Item::Note(..) | Item::Gone(_))
        }
        Destination::Webhook | Destination::Slack | Destination::Sns | Destination::EventBridge => false,
    }
}

/// Folding has its own queue too: a scrape of many series holds the lock for milliseconds.
fn figures_lane(figures: &Arc<Mutex<Figures>>, losses: &Arc<Losses>, tasks: &mut JoinSet<()>) -> Lane<Dated> {
    let (queue, mut items) = mpsc::channel::<Dated>(QUEUE);
    let (figures, losses) = (Arc::clone(figures), Arc::clone(losses));
    tasks.spawn(async move {
        let mut ticks = tokio::time::interval(REFRESH);
        loop {
            tokio::select! {
                item = items.recv() => match item {
                    Some(Dated { at, item }) => {
                        let mut figures = lock(&figures);
                        figures.fold(clock::now(), &item);
                        if let Item::Probe(service, traced) = &item {
                            figures.exemplar(at, service, traced);
                        }
                    }
                    None => break,
                },
                _ = ticks.tick() => refresh(&figures, &losses),
            }
        }
    });
    Lane { destination: Destination::Prometheus, queue }
}

/// Lets stale figures go and takes the losses in, for readers that don't ask us, like OTLP's.
fn refresh(figures: &Mutex<Figures>, losses: &Losses) {
    let mut figures = lock(figures);
    figures.expire(clock::now());
    for destination in Destination::ALL {
        for reason in Reason::ALL {
            figures.dropped(destination.name(), reason.name(), losses.of(destination, reason));
        }
        figures.waiting(destination.name(), losses.waiting(destination));
    }
}

/// A panic elsewhere leaves figures, not a broken invariant.
fn lock(figures: &Mutex<Figures>) -> MutexGuard<'_, Figures> {
    figures.lock().unwrap_or_else(PoisonError::into_inner)
}
