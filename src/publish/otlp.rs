//! OTLP by the OpenTelemetry SDK: metrics every interval, a log record for each change of state, spans of probes.
//!
//! Each signal has an exporter, a queue and losses of its own. The SDK's reader and its log processor have threads of their own,
//! which know no tokio; they hand what they made over to our runtime ([`outgoing`]), where it is tried, kept and tried again. Spans
//! are sent by the SDK's own attempts ([`wire`]), and lost after the last.

mod answer;
mod feed;
mod logs;
mod metrics;
mod outgoing;
mod resource;
mod sigv4;
mod spans;
mod tls;
mod variables;
mod watch;
mod wire;

use super::figures::Figures;
use super::losses::Destination;
use super::outbox::{Depot, Terms};
use super::post::{Poster, Unusable};
use super::{Dated, Lane, PublishError, QUEUE, Roster};
use crate::settings::{self, OtlpProtocol, Signal};
use feed::Feed;
use http::Version;
use opentelemetry_sdk::Resource;
use sigv4::Signer;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch as cell};
use tokio::task::JoinSet;
use watch::Watch;
use wire::{Way, Wire};

/// How long one export may take with all its attempts.
const EXPORT_MAX: Duration = Duration::from_secs(10);

/// Starts every signal that the file or the environment names.
pub(super) fn start(
    settings: Option<&settings::Otlp>,
    roster: &Roster,
    (instance, version): (&str, &str),
    figures: &Arc<Mutex<Figures>>,
    depot: &Depot,
    tasks: &mut JoinSet<()>,
) -> Result<Vec<Lane<Dated>>, PublishError> {
    variables::warn();
    let mut lanes = Vec::new();
    let mut platform = Platform::new(instance, version);
    let spool = settings.map_or(settings::Otlp::SPOOL, |otlp| otlp.spool);
    for signal in Signal::ALL {
        let Some((feed, way)) = open(signal, settings)? else { continue };
        let destination = destination(signal);
        let terms = Terms { destination, within: EXPORT_MAX, spool };
        let (queue, items) = mpsc::channel(QUEUE);
        let resource = platform.resource(tasks);
        let begun = match signal {
            Signal::Metrics => {
                metrics::exporter(&feed, outgoing::start(way, terms, depot, tasks)).map(|exporter| {
                    let shared = (roster.clone(), Arc::clone(figures));
                    tasks.spawn(async move {
                        metrics::run(exporter, feed.interval, resource.await, shared, items).await;
                    });
                })
            }
            Signal::Logs => {
                logs::exporter(&feed, outgoing::start(way, terms, depot, tasks)).map(|exporter| {
                    tasks.spawn(async move { logs::run(exporter, resource.await, items).await });
                })
            }
            Signal::Traces => {
                let refused = Arc::default();
                spans::exporter(&feed, Wire::new(way, &refused)).map(|exporter| {
                    let watch = Watch::new(destination, &depot.losses, refused);
                    tasks.spawn(async move { spans::run(exporter, watch, resource.await, items).await });
                })
            }
        };
        match begun {
            Ok(()) => lanes.push(Lane { destination, queue }),
            // Only what the environment says can be at fault by now, and that may be meant for others.
            Err(error) => tracing::warn!(signal = signal.name(), %error, "OTLP is off"),
        }
    }
    Ok(lanes)
}

/// Where `signal` goes, and the way there; `None` when nobody wants it sent.
fn open(signal: Signal, settings: Option<&settings::Otlp>) -> Result<Option<(Feed, Way)>, PublishError> {
    let variable = |name: &str| std::env::var(name).ok();
    let Some(feed) = feed::choose(signal, settings, variable)? else { return Ok(None) };
    let tls = match tls::config(signal, variable) {
        Ok(tls) => tls,
        Err(why) => {
            tracing::warn!(signal = signal.name(), %why, "OTLP is off");
            return Ok(None);
        }
    };
    let version = match feed.protocol {
        OtlpProtocol::HttpProtobuf => Version::HTTP_11,
        OtlpProtocol::Grpc => Version::HTTP_2,
    };
    match Poster::over(&feed.endpoint, feed.headers.clone(), feed.timeout, (version, tls))? {
        Ok(poster) => {
            let region = feed.sigv4.as_deref().or_else(|| sigv4::region(&feed.endpoint));
            let way = Way::new(poster, feed.protocol, region.map(Signer::new));
            Ok(Some((feed, way)))
        }
        Err(Unusable) if feed.ours => Err(PublishError::OtlpEndpoint),
        Err(Unusable) => {
            feed::unusable();
            Ok(None)
        }
    }
}

const fn destination(signal: Signal) -> Destination {
    match signal {
        Signal::Metrics => Destination::Otlp,
        Signal::Logs => Destination::OtlpLogs,
        Signal::Traces => Destination::OtlpTraces,
    }
}

/// Where we run, asked once for all signals.
struct Platform {
    who: (String, String),
    told: Option<cell::Receiver<Option<Resource>>>,
}

impl Platform {
    fn new(instance: &str, version: &str) -> Self {
        Self { who: (instance.to_owned(), version.to_owned()), told: None }
    }

    fn resource(&mut self, tasks: &mut JoinSet<()>) -> impl Future<Output = Resource> + Send + use<> {
        let told = self.told.get_or_insert_with(|| {
            let (tell, told) = cell::channel(None);
            let (instance, version) = self.who.clone();
            tasks.spawn(async move {
                tell.send_replace(Some(resource::resource(&instance, &version).await));
            });
            told
        });
        let mut told = told.clone();
        async move {
            let known = told.wait_for(Option::is_some).await.ok().and_then(|known| known.clone());
            known.unwrap_or_else(|| Resource::builder().build())
        }
    }
}
