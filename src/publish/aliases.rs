//! The last probe of each URL under the names of other probers.
//!
//! They tell one probe a scrape and no counts, so that is what these figures are: the last probe of production that says
//! anything of the URL. Whatever it doesn't know is absent. When we have spoilt every probe of a second ourselves, or the engine is
//! silent, nobody knows how the URL is, and all of its figures end.

use super::names::aliases::{
    ALIASES, Alias, AliasName, CHECK_CLASSES, MESSAGE, METHOD, PHASE, PROBE_PHASES, STATUS_CLASS,
    STATUS_CODE, TRANSPORT, instance,
};
use super::names::{Label, SERVICE, TARGET};
use super::{Asked, Roster, names};
use crate::model::delta::{Last, Second};
use crate::model::sample::{Fault, Outcome, Purpose};
use crate::model::time::{Mono, Span};
use crate::settings::Peer;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A URL and what is known of it.
#[derive(Clone, Debug)]
struct Url {
    target: Arc<str>,
    /// `None`: nobody has said how.
    asked: Option<Asked>,
    last: Option<Last>,
}

/// A service and its URLs.
#[derive(Clone, Debug, Default)]
struct Service {
    heard: Option<Mono>,
    /// The names of its URLs, and the URLs in the same order.
    targets: Arc<[Arc<str>]>,
    urls: Vec<Url>,
    /// How they are asked, by their names.
    asked: BTreeMap<Arc<str>, Asked>,
}

impl Service {
    /// These are its URLs from now on. Of one that is asked otherwise nothing is known yet.
    fn retarget(&mut self, targets: &Arc<[Arc<str>]>) {
        self.targets = Arc::clone(targets);
        let mut old: BTreeMap<Arc<str>, Url> =
            self.urls.drain(..).map(|url| (Arc::clone(&url.target), url)).collect();
        let url = |target: &Arc<str>| {
            let asked = self.asked.get(target).cloned();
            let last = old.remove(target).filter(|url| url.asked == asked).and_then(|url| url.last);
            Url { target: Arc::clone(target), asked, last }
        };
        self.urls = targets.iter().map(url).collect();
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Aliases {
    peers: BTreeSet<Peer>,
    services: BTreeMap<Arc<str>, Service>,
}

/// The value of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// A text.
    Text(&'a str),
    /// A status, which OTLP has as a number.
    Code(u16),
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point<'a> {
    pub(super) labels: Vec<(Label, Said<'a>)>,
    pub(super) value: f64,
}

impl Aliases {
    /// Of `peers`; nobody has been asked yet.
    pub(super) fn new(peers: &BTreeSet<Peer>, roster: &Roster) -> Self {
        let mut aliases = Self { peers: peers.clone(), services: BTreeMap::new() };
        for (service, targets, _) in &roster.services {
            if let Some(asked) = roster.asked.get(service) {
                aliases.ask(service, asked);
                aliases.service(service).retarget(&targets.as_slice().into());
            }
        }
        aliases
    }

    /// How the URLs of a service are asked from now on.
    pub(super) fn ask(&mut self, service: &Arc<str>, asked: &[(Arc<str>, Asked)]) {
        let service = self.service(service);
        service.asked = asked.iter().cloned().collect();
        let targets = Arc::clone(&service.targets);
        service.retarget(&targets);
    }

    /// It isn't watched any more.
    pub(super) fn close(&mut self, service: &str) {
        self.services.remove(service);
    }

    fn service(&mut self, name: &Arc<str>) -> &mut Service {
        self.services.entry(Arc::clone(name)).or_default()
    }

    /// Every name that is wanted.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static AliasName> {
        ALIASES.iter().filter(|name| self.peers.contains(&name.peer))
    }

    /// Takes the last probes of `second` in.
    pub(super) fn second(&mut self, now: Mono, second: &Second) {
        let Some(service) = self.services.get_mut(&second.service) else { return };
        service.heard = Some(now);
        if service.targets != second.targets {
            service.retarget(&second.targets);
        }
        for delta in second.deltas.iter().filter(|delta| delta.purpose == Some(Purpose::Production)) {
            if let Some(url) = service.urls.get_mut(usize::from(delta.target.0)) {
                url.last = delta.last;
            }
        }
    }

    /// Lets the URLs of services go whose engine was not heard for longer than `stale`.
    pub(super) fn expire(&mut self, now: Mono, stale: Duration) {
        for Service { heard, urls, .. } in self.services.values_mut() {
            if heard.is_some_and(|heard| now.since(heard) > stale) {
                *heard = None;
                for url in urls {
                    url.last = None;
                }
            }
        }
    }

    /// Every series of `name`.
    pub(super) fn points(&self, name: &AliasName) -> Vec<Point<'_>> {
        let mut points = Vec::new();
        for (service, Service { urls, .. }) in &self.services {
            let known = urls.iter().filter_map(|url| Some((url, url.asked.as_ref()?, url.last?)));
            for (url, asked, last) in known {
                let common = [
                    (instance(name.peer), Said::Text(&asked.url)),
                    (SERVICE, Said::Text(service)),
                    (TARGET, Said::Text(&url.target)),
                ];
                points.extend(
                    told(name.alias, asked, &last).into_iter().map(|(more, value)| Point {
                        labels: common.into_iter().chain(more).collect(),
                        value,
                    }),
                );
            }
        }
        points
    }
}

type More<'a> = Vec<(Label, Said<'a>)>;

/// What `last` says, with the labels that are the figure's own.
fn told<'a>(alias: Alias, asked: &'a Asked, last: &Last) -> Vec<(More<'a>, f64)> {
    let phases = &last.phases;
    let answered = last.status != 0;
    let bare = |value: Option<f64>| value.map(|value| (Vec::new(), value)).into_iter().collect();
    let ms = |seconds: f64| seconds * 1_000.0;
    match alias {
        Alias::ProbeSuccess => bare(Some(f64::from(u8::from(last.outcome == Outcome::Ok)))),
        Alias::ProbeDuration => bare(duration(last)),
        Alias::ProbeLookup => bare(took(&[phases.dns])),
        Alias::ProbePhases => {
            // The library of the other writes the request within its processing.
            let spans = [
                took(&[phases.dns]),
                took(&[phases.connect]),
                took(&[phases.tls]),
                took(&[phases.write, phases.first_byte]),
                took(&[phases.body]),
            ];
            let phases = PROBE_PHASES.into_iter().zip(spans);
            phases.filter_map(|(phase, took)| Some((vec![(PHASE, Said::Text(phase))], took?))).collect()
        }
        Alias::ProbeStatus => bare(answered.then(|| f64::from(last.status))),
        Alias::ProbeSsl => bare(answered.then(|| f64::from(u8::from(asked.tls)))),
        Alias::ProbeRedirects => bare(answered.then_some(0.0)),
        Alias::CheckStatus => CHECK_CLASSES.into_iter().map(|class| of_class(class, asked, last)).collect(),
        Alias::CheckDuration => bare(duration(last).map(ms)),
        Alias::CheckError => {
            error(last.outcome).map(|reason| (vec![(MESSAGE, Said::Text(reason))], 1.0)).into_iter().collect()
        }
        Alias::CheckLookup => bare(took(&[phases.dns]).map(ms)),
        Alias::CheckConnection => {
            let of = |seconds| (vec![(TRANSPORT, Said::Text("tcp"))], ms(seconds));
            took(&[phases.connect]).map(of).into_iter().collect()
        }
        Alias::CheckHandshake => bare(took(&[phases.tls]).map(ms)),
        Alias::CheckRequest => bare(took(&[phases.write]).map(ms)),
        Alias::CheckResponse => bare(took(&[phases.body]).map(ms)),
    }
}

fn of_class<'a>(class: &'static str, asked: &'a Asked, last: &Last) -> (More<'a>, f64) {
    let mut labels = vec![(METHOD, Said::Text(&asked.method)), (STATUS_CLASS, Said::Text(class))];
    let is = last.status != 0 && names::class(last.status) == class;
    if is {
        labels.push((STATUS_CODE, Said::Code(last.status)));
    }
    (labels, f64::from(u8::from(is)))
}

/// Without the time that it lay before our process took it up; `None` when it couldn't be sent.
fn duration(last: &Last) -> Option<f64> {
    let took = last.phases.total().saturating_sub(last.phases.wake.duration());
    (last.outcome != Outcome::Saturated).then_some(took.as_secs_f64())
}

/// Seconds; `None` for what didn't take place.
fn took(spans: &[Span]) -> Option<f64> {
    let sum: Duration = spans.iter().map(|span| span.duration()).sum();
    (!sum.is_zero()).then_some(sum.as_secs_f64())
}

/// Why there was no whole answer. One that came, and isn't what is expected, is no error of the check.
fn error(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Ok | Outcome::Bad(Fault::Status | Fault::Body | Fault::Edge) => None,
        Outcome::Bad(_) | Outcome::Saturated | Outcome::Missed(_) | Outcome::Failed(_) => outcome.reason(),
    }
}
