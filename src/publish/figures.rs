//! The figures as they stand: items are folded into counters, levels and distributions, once for all who read them.
//!
//! A figure that nobody knows is absent, never zero. Counters exist at zero from the start, for every label of
//! the closed sets, so that a first failure is an increase and not a new series.

use super::aliases::Aliases;
use super::labels::{Labels, key};
use super::losses::Waiting;
use super::names::{self, Metric, NAMES};
use super::versions::Versions;
use super::{Item, Roster};
use crate::model::budget::{BudgetFigures, WINDOW_NAMES};
use crate::model::delta::{Buckets, Delta, Own, Second, Times};
use crate::model::guard::Status;
use crate::model::policy::Mode;
use crate::model::record::Record;
use crate::model::sample::{Phases, Purpose};
use crate::model::target::TargetId;
use crate::model::time::{Mono, Wall};
use crate::model::trace::Traced;
use crate::model::verdict::{Verdict, WhyBlind};
use crate::settings::Peer;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

mod opening;

/// A service whose engine or guard was silent for so long has no levels of theirs any more.
const STALE: Duration = Duration::from_secs(15);

const ENGINE: usize = 0;
const GUARD: usize = 1;
/// The levels that need renewal, by who renews them. That a person is needed stays said.
const OF_VOICE: [&[Metric]; 2] = [
    &[
        Metric::ErrorRatio,
        Metric::P95,
        Metric::Attained,
        Metric::TargetErrorRatio,
        Metric::TargetSlowRatio,
        Metric::TargetP95,
        Metric::Verdict,
        Metric::Stalled,
        Metric::Throttled,
    ],
    &[
        Metric::Armed,
        Metric::Pending,
        Metric::Unprotected,
        Metric::Condition,
        Metric::Epoch,
        Metric::BudgetRemaining,
        Metric::BurnRate,
    ],
];

/// Upper bounds of the classic buckets, seconds. From what a loopback answers in to the longest timeout there is.
pub(super) const BOUNDS: [f64; 20] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 0.75, 1.0,
    2.5, 5.0, 10.0, 30.0, 60.0,
];

/// Where a series stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Count(u64),
    Level(f64),
    Spread(Box<Spread>),
}

/// Resolution of the native buckets: each is 2^(1/16), 4.4 %, wider than the one before. Of the times that a probe can
/// take, a tenth of a microsecond to minutes, there are some 500.
pub(super) const NATIVE_SCHEMA: i32 = 4;

/// A distribution over [`BOUNDS`], the last count being what lies beyond, and over the native buckets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Spread {
    pub(super) counts: [u64; BOUNDS.len() + 1],
    pub(super) sum: f64,
    /// Index and count of each that has any, ascending. Index i holds what is above 2^((i-1)/16) s and at most 2^(i/16) s.
    pub(super) native: Vec<(i32, u64)>,
    /// Times of zero have no place among those.
    pub(super) zeros: u64,
    /// The last probe of each place of [`Self::counts`] that has a trace.
    pub(super) exemplars: BTreeMap<usize, Exemplar>,
}

/// A probe that stands for the others of its bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exemplar {
    pub(super) trace: u128,
    pub(super) seconds: f64,
    pub(super) at: Wall,
}

/// All series of all figures.
#[derive(Debug)]
pub(super) struct Figures {
    series: [BTreeMap<Labels, Value>; NAMES.len()],
    targets: BTreeMap<Arc<str>, Arc<[Arc<str>]>>,
    /// When each service's engine was heard last, and its guard.
    heard: [BTreeMap<Arc<str>, Mono>; 2],
    versions: BTreeMap<Arc<str>, Versions>,
    aliases: Aliases,
    /// Where the key of a series is written before it is looked for.
    scratch: String,
}

impl Figures {
    /// Every counter of the closed sets at zero.
    pub(super) fn new(roster: &Roster, build: &str, peers: &BTreeSet<Peer>) -> Self {
        let mut figures = Self {
            series: std::array::from_fn(|_| BTreeMap::new()),
            targets: BTreeMap::new(),
            heard: [BTreeMap::new(), BTreeMap::new()],
            versions: BTreeMap::new(),
            aliases: Aliases::new(peers, roster),
            scratch: String::new(),
        };
        figures.level(Metric::Build, &[build], 1.0);
        for (service, targets, mode) in &roster.services {
            figures.open(service, &targets.as_slice().into());
            figures.mode(service, if *mode == Mode::Act { "act" } else { "observe" });
        }
        figures
    }

    /// Takes `item` in.
    pub(super) fn fold(&mut self, now: Mono, item: &Item) {
        match item {
            Item::Second(second) => self.second(now, second),
            // [`Self::exemplar`] takes it, by the wall clock.
            Item::Probe(..) => {}
            Item::Status(service, status) => {
                self.heard[GUARD].insert(Arc::clone(service), now);
                self.status(now, service, status);
            }
            Item::Budget(service, budget) => self.budget(service, budget),
            Item::Note(service, record) => self.note(service, record),
            Item::Page(service, page) => self.count(Metric::Pages, &[service, page.kind.name()], 1),
            Item::Gone(service) => self.close(service),
            Item::Asked(service, asked) => self.aliases.ask(service, asked),
            Item::Reloaded { at, taken } => self.reloaded(*at, *taken),
        }
    }

    /// Lets a probe stand for the others of its bucket, if its series has begun.
    pub(super) fn exemplar(&mut self, at: Wall, service: &str, traced: &Traced) {
        let sample = &traced.sample;
        if sample.purpose != Purpose::Production || sample.status == 0 {
            return;
        }
        let seconds = sample.response().duration().as_secs_f64();
        let key = key(&mut self.scratch, &[service, &traced.target]);
        if let Some(Value::Spread(spread)) = self.series[Metric::Duration as usize].get_mut(key) {
            spread.exemplars.insert(place(seconds), Exemplar { trace: traced.trace.id, seconds, at });
        }
    }

    /// Lets figures go that nobody has renewed.
    pub(super) fn expire(&mut self, now: Mono) {
        for (voice, metrics) in OF_VOICE.into_iter().enumerate() {
            let heard = &mut self.heard[voice];
            let silent: Vec<Arc<str>> = heard
                .iter()
                .filter(|(_, at)| now.since(**at) > STALE)
                .map(|(name, _)| Arc::clone(name))
                .collect();
            heard.retain(|_, at| now.since(*at) <= STALE);
            for (service, metric) in
                silent.iter().flat_map(|name| metrics.iter().map(move |metric| (name, *metric)))
            {
                self.forget(metric, service);
            }
        }
        self.aliases.expire(now, STALE);
        let names: Vec<Arc<str>> = self.versions.keys().cloned().collect();
        for service in names {
            self.rates(now, &service);
        }
    }

    /// Every series of `metric`.
    pub(super) fn of(&self, metric: Metric) -> &BTreeMap<Labels, Value> {
        &self.series[metric as usize]
    }

    /// The same under other names.
    pub(super) const fn aliases(&self) -> &Aliases {
        &self.aliases
    }

    /// Sets what `destination` has lost for `reason` so far.
    pub(super) fn dropped(&mut self, destination: &str, reason: &str, lost: u64) {
        let labels = [destination, reason];
        self.change(Metric::Dropped, &labels, || Value::Count(0), |value| *value = Value::Count(lost));
    }

    /// Sets what waits on disk for `destination`.
    #[expect(clippy::cast_precision_loss, reason = "a disk has fewer bytes than a double has integers")]
    pub(super) fn waiting(&mut self, destination: &str, waiting: Option<Waiting>) {
        let waits = |of: fn(&Waiting) -> u64| waiting.as_ref().map(|waiting| of(waiting) as f64);
        self.known(Metric::SpoolBatches, &[destination], waits(|waiting| waiting.batches));
        self.known(Metric::SpoolBytes, &[destination], waits(|waiting| waiting.bytes));
    }

    fn second(&mut self, now: Mono, second: &Second) {
        self.aliases.second(now, second);
        let service = &second.service;
        self.retarget(service, &second.targets);
        for delta in &second.deltas {
            self.delta(service, delta);
        }
        let production = second.deltas.iter().filter(|delta| delta.purpose == Some(Purpose::Production));
        let seen: Vec<(&str, u32)> = production
            .flat_map(|delta| delta.versions.iter().map(|(version, count)| (version.as_ref(), *count)))
            .collect();
        self.versions.entry(Arc::clone(service)).or_default().add(now, &seen);
        self.rates(now, service);
        self.heard[ENGINE].insert(Arc::clone(service), now);
        self.rolling(second);
        self.urls(second);
        self.own(service, &second.own);
        self.times(service, &second.times);
    }

    fn times(&mut self, service: &Arc<str>, times: &Times) {
        self.spread(Metric::Lateness, &[service], &times.lateness);
        self.spread(Metric::ServiceTime, &[service], &times.service);
        self.spread(Metric::SinceDue, &[service], &times.since_due);
        for (phase, buckets) in Phases::NAMES.iter().zip(&times.phases) {
            self.spread(Metric::Phase, &[service, phase], buckets);
        }
    }

    fn own(&mut self, service: &Arc<str>, own: &Own) {
        self.level(Metric::Stalled, &[service], own.stalled.as_secs_f64().min(1.0));
        let periods = own.throttling.periods;
        #[expect(clippy::cast_precision_loss, reason = "ten periods a second")]
        let throttled = (periods > 0).then(|| own.throttling.throttled_periods as f64 / periods as f64);
        self.known(Metric::Throttled, &[service], throttled);
        self.spread(Metric::Echo, &[service], &own.echo);
    }

    fn rolling(&mut self, second: &Second) {
        let service = &second.service;
        let rolling = second.rolling;
        let ratio = rolling
            .filter(|rolling| rolling.answers > 0)
            .map(|rolling| f64::from(rolling.bad) / f64::from(rolling.answers));
        self.known(Metric::ErrorRatio, &[service], ratio);
        let p95 = rolling.and_then(|rolling| rolling.p95).map(|p95| p95.duration().as_secs_f64());
        self.known(Metric::P95, &[service], p95);
        self.known(Metric::Attained, &[service], rolling.and_then(|rolling| rolling.attained));
        let word = rolling.map(|rolling| rolling.verdict);
        for each in Verdict::WORDS {
            self.known(Metric::Verdict, &[service, each], word.map(|word| flag(word == each)));
        }
        if word.is_some_and(|word| word != "blind") {
            self.blind(service, None);
        }
    }

    fn budget(&mut self, service: &Arc<str>, budget: &BudgetFigures) {
        self.known(Metric::BudgetRemaining, &[service], budget.remaining);
        for (window, rate) in WINDOW_NAMES.into_iter().zip(budget.burn) {
            self.known(Metric::BurnRate, &[service, window], rate);
        }
    }

    /// A URL that has no answers any more has no figures either.
    fn urls(&mut self, second: &Second) {
        let service = &second.service;
        let targets = self.targets.get(service).cloned().unwrap_or_default();
        let mut figures = second.urls.iter().peekable();
        for (target, index) in targets.iter().zip(0..) {
            let url = figures.next_if(|url| url.target == TargetId(index));
            let share = |count: u32| Some(f64::from(count) / f64::from(url?.answers.max(1)));
            self.known(Metric::TargetErrorRatio, &[service, target], url.and_then(|url| share(url.bad)));
            let slow = url.and_then(|url| url.slow).and_then(share);
            self.known(Metric::TargetSlowRatio, &[service, target], slow);
            let p95 = url.and_then(|url| url.p95).map(|p95| p95.duration().as_secs_f64());
            self.known(Metric::TargetP95, &[service, target], p95);
        }
    }

    fn delta(&mut self, service: &Arc<str>, delta: &Delta) {
        let targets = self.targets.get(service).map(|targets| &**targets).unwrap_or_default();
        let target = names::target_label(targets, delta);
        let purpose_label = purpose(delta.purpose.unwrap_or(Purpose::Production));
        self.count(Metric::Attempts, &[service, &target, purpose_label], u64::from(delta.attempts));
        for (reason, count) in &delta.failures {
            self.count(Metric::Failures, &[service, &target, purpose_label, reason], u64::from(*count));
        }
        self.count(Metric::Void, &[service, &target], u64::from(delta.void));
        if delta.purpose != Some(Purpose::Production) {
            return;
        }
        for (status, count) in &delta.statuses {
            self.count(Metric::Answers, &[service, &target, names::class(*status)], u64::from(*count));
        }
        self.spread(Metric::Duration, &[service, &target], &delta.response);
    }

    fn rates(&mut self, now: Mono, service: &Arc<str>) {
        self.forget(Metric::AnswersByVersion, service);
        let rates = self.versions.get_mut(service).map(|versions| versions.rates(now)).unwrap_or_default();
        for (version, rate_hz) in rates {
            self.level(Metric::AnswersByVersion, &[service, &version], rate_hz);
        }
    }

    fn status(&mut self, now: Mono, service: &Arc<str>, status: &Status) {
        self.level(Metric::Armed, &[service], flag(status.armed));
        self.level(Metric::Pending, &[service], flag(status.revision.is_some()));
        let unprotected = status.unprotected.map(|one| one.until.since(now).as_secs_f64());
        self.level(Metric::Unprotected, &[service], unprotected.unwrap_or(0.0));
        self.forget(Metric::Condition, service);
        for condition in &status.conditions {
            self.level(Metric::Condition, &[service, &condition.name], flag(condition.holds));
        }
        let epoch = status.epoch.map(|epoch| f64::from(epoch.0));
        self.known(Metric::Epoch, &[service], epoch);
        self.forget(Metric::NeedsHuman, service);
        for reason in human_reasons().chain(status.needs_human) {
            self.level(Metric::NeedsHuman, &[service, reason], flag(status.needs_human == Some(reason)));
        }
    }

    fn note(&mut self, service: &Arc<str>, record: &Record) {
        match record {
            Record::Started { mode, .. } | Record::Revised { mode, .. } => self.mode(service, mode),
            Record::Breach { .. } => self.count(Metric::Breaches, &[service], 1),
            Record::Wrote { outcome, .. } => self.count(Metric::Writes, &[service, outcome], 1),
            Record::Refused { reason, .. } => self.count(Metric::Refusals, &[service, reason], 1),
            Record::Verdict { verdict, says, .. } => {
                // The record tells the reason by its sentence only.
                let why = WhyBlind::ALL.into_iter().find(|why| **says == *why.to_string());
                self.blind(service, why.filter(|_| **verdict == *"blind"));
            }
            _ => {}
        }
        if let Some(outcome) = revert_outcome(record) {
            self.count(Metric::Reverts, &[service, outcome], 1);
        }
    }

    fn blind(&mut self, service: &Arc<str>, now: Option<WhyBlind>) {
        for why in WhyBlind::ALL {
            self.level(Metric::Blind, &[service, why.name()], flag(now == Some(why)));
        }
    }

    /// Changes the value of a series, which begins as `new`.
    fn change(
        &mut self,
        metric: Metric,
        labels: &[&str],
        new: impl FnOnce() -> Value,
        change: impl FnOnce(&mut Value),
    ) {
        let key = key(&mut self.scratch, labels);
        let series = &mut self.series[metric as usize];
        if let Some(value) = series.get_mut(key) {
            change(value);
        } else {
            let mut value = new();
            change(&mut value);
            series.insert(key.into(), value);
        }
    }

    fn count(&mut self, metric: Metric, labels: &[&str], more: u64) {
        self.change(
            metric,
            labels,
            || Value::Count(0),
            |value| {
                if let Value::Count(count) = value {
                    *count = count.saturating_add(more);
                }
            },
        );
    }

    fn level(&mut self, metric: Metric, labels: &[&str], level: f64) {
        self.change(metric, labels, || Value::Level(level), |value| *value = Value::Level(level));
    }

    fn known(&mut self, metric: Metric, labels: &[&str], level: Option<f64>) {
        match level.filter(|level| level.is_finite()) {
            Some(level) => self.level(metric, labels, level),
            None => {
                self.series[metric as usize].remove(key(&mut self.scratch, labels));
            }
        }
    }

    fn spread(&mut self, metric: Metric, labels: &[&str], buckets: &Buckets) {
        if buckets.count() == 0 {
            return;
        }
        self.change(
            metric,
            labels,
            || Value::Spread(Box::default()),
            |value| {
                if let Value::Spread(spread) = value {
                    spread.add(buckets);
                }
            },
        );
    }

    /// Ends every series of `metric` that belongs to `service`.
    fn forget(&mut self, metric: Metric, service: &Arc<str>) {
        self.series[metric as usize].retain(|labels, _| labels.values().next() != Some(service));
    }
}

impl Spread {
    fn add(&mut self, buckets: &Buckets) {
        for (span, count) in buckets.iter() {
            let seconds = span.duration().as_secs_f64();
            self.counts[place(seconds)] += u64::from(count);
            self.sum += seconds * f64::from(count);
            self.add_native(seconds, u64::from(count));
        }
    }

    fn add_native(&mut self, seconds: f64, count: u64) {
        if seconds <= 0.0 {
            self.zeros += count;
            return;
        }
        let a_doubling = f64::from(1 << NATIVE_SCHEMA);
        #[expect(clippy::cast_possible_truncation, reason = "some hundred")]
        let index = (seconds.log2() * a_doubling).ceil() as i32;
        match self.native.binary_search_by_key(&index, |(index, _)| *index) {
            Ok(at) => self.native[at].1 += count,
            Err(at) => self.native.insert(at, (index, count)),
        }
    }
}

/// Where a time belongs among the classic buckets.
fn place(seconds: f64) -> usize {
    BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len())
}

/// How `record` ends a revert, if it does: one of [`names::REVERTS`].
pub(super) fn revert_outcome(record: &Record) -> Option<&'static str> {
    match record {
        Record::Verified { .. } => Some("verified"),
        Record::WouldRevert { .. } => Some("dry_run"),
        Record::Held { reason, .. } => {
            ["partial", "overridden", "interrupted"].into_iter().find(|each| **reason == **each)
        }
        _ => None,
    }
}

fn human_reasons() -> impl Iterator<Item = &'static str> {
    names::CONDITIONS.into_iter().chain(names::REFUSALS).chain(names::LATCHES)
}

const fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Production => "production",
        Purpose::Direct => "direct",
        Purpose::Control => "control",
    }
}

const fn flag(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests;
