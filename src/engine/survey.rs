//! A bounded run of probes that is measured and not judged: what `serin probe` prints.

use super::connect::Dialer;
use super::exchange::Ask;
use super::line::Line;
use super::origin::{Origin, Place, Room};
use super::pacer::{Field, Plan, Subject, Told};
use crate::clock;
use crate::model::delta::Own;
use crate::model::release::EpochId;
use crate::model::sample::{Outcome, Phases, Purpose, Sample, Taint};
use crate::model::schedule::Schedule;
use crate::model::target::TargetId;
use crate::model::time::{Mono, Span};
use crate::settings::Target;
use hdrhistogram::Histogram;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Connections are opened before the clock runs, where they are kept: the first answers should not pay for all.
const LEAD: Duration = Duration::from_millis(20);
/// How often it is looked whether the end has come.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How a survey probes.
#[derive(Clone, Copy, Debug)]
pub struct SurveyOptions {
    /// Probes a second, all URLs together; `None`: as many as the connections carry, each waiting for its answer.
    pub rate_hz: Option<f64>,
    /// For how long probes are sent; what is in flight then is waited for.
    pub duration: Duration,
    /// Connections that are kept open, all URLs together.
    pub connections: u32,
    /// Connections at once, all URLs together.
    pub connections_max: u32,
    /// Probes due within one quantum share a wake-up.
    pub quantum: Duration,
}

/// What a survey has found. Times are in units of 100 ns, with three digits.
#[derive(Clone, Debug)]
pub struct Surveyed {
    /// Probes that came to an end, whatever it was.
    pub attempts: u64,
    /// Due, and not sent, because we were late.
    pub missed: u64,
    /// Due, and not sent, because every connection waited for an answer.
    pub saturated: u64,
    /// Void, because we were late or not run; their times are in no distribution but the lateness.
    pub void: u64,
    /// Whatever went wrong, by its reason.
    pub failures: BTreeMap<&'static str, u64>,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Answers by version.
    pub versions: BTreeMap<Box<str>, u64>,
    /// From planned to the last byte.
    pub response: Histogram<u64>,
    /// From due: the wait for the quantum included.
    pub since_due: Histogram<u64>,
    /// From begun.
    pub service: Histogram<u64>,
    /// Our own lateness: begun − planned.
    pub lateness: Histogram<u64>,
    /// Each phase that took place, in the order of [`Phases::NAMES`].
    pub phases: [Histogram<u64>; 8],
    /// How long probes were sent.
    pub lasted: Duration,
    /// How the machine treated us.
    pub own: Own,
    /// `CLOCK_MONOTONIC` of the first due instant, nanoseconds.
    pub begun: Mono,
}

/// See the module.
pub(super) struct Survey {
    lines: Vec<usize>,
    begun: Mono,
    until: Mono,
    closing: bool,
    patience: Duration,
    /// How often it was interrupted.
    interrupts: Rc<Cell<u32>>,
    found: Rc<Cell<Option<Box<Surveyed>>>>,
    surveyed: Box<Surveyed>,
}

impl Survey {
    /// Lays out `targets` on `field`.
    pub(super) fn new(
        targets: &[Target],
        options: SurveyOptions,
        dialer: &Rc<Dialer>,
        field: &mut Field,
        found: Rc<Cell<Option<Box<Surveyed>>>>,
    ) -> Self {
        let begun = clock::now().after(LEAD);
        let asks: Vec<Rc<Ask>> =
            targets.iter().map(|target| Rc::new(Ask::new(Rc::new(target.clone())))).collect();
        let origins = origins(&asks, options, dialer);
        let mut lines = Vec::new();
        let count = u32::try_from(asks.len()).unwrap_or(u32::MAX).max(1);
        let copies = if options.rate_hz.is_some() { count } else { options.connections.max(1) };
        for copy in 0..copies {
            let index = copy % count;
            let (ask, origin) = (&asks[index as usize], &origins[index as usize]);
            let id = TargetId(u16::try_from(index).unwrap_or(u16::MAX));
            let mut line = Line::new(0, Purpose::Production, id, Rc::clone(ask), Rc::clone(origin));
            line.closed_loop = options.rate_hz.is_none();
            lines.push(field.add(line));
        }
        if let Some(rate_hz) = options.rate_hz {
            let interval = Duration::from_secs_f64(f64::from(count) / rate_hz);
            let plan = |(index, line): (u32, &usize)| Plan {
                schedule: Schedule::new(begun, interval, index, count, ""),
                lines: [*line].into(),
            };
            field.plan(0, (0..).zip(&lines).map(plan), begun.before(Duration::from_nanos(1)));
        }
        let interrupts = Rc::<Cell<u32>>::default();
        tokio::task::spawn_local(count_interrupts(Rc::clone(&interrupts)));
        Self {
            lines,
            begun,
            until: begun.after(options.duration),
            closing: false,
            patience: targets.iter().map(|target| target.timeout).max().unwrap_or_default(),
            interrupts,
            found,
            surveyed: Box::new(Surveyed::new(begun)),
        }
    }
}

/// One origin a target; targets at one place share theirs, and all of them the connections.
fn origins(asks: &[Rc<Ask>], options: SurveyOptions, dialer: &Rc<Dialer>) -> Vec<Rc<Origin>> {
    let mut places: BTreeMap<Place, Rc<Origin>> = BTreeMap::new();
    let distinct: std::collections::BTreeSet<Place> =
        asks.iter().map(|ask| Place::of(&ask.target, None)).collect();
    let places_count = u32::try_from(distinct.len()).unwrap_or(u32::MAX).max(1);
    let keep = (options.connections / places_count).max(1) as usize;
    let cap = f64::from((options.connections_max / places_count).max(1));
    let next_id = Rc::<Cell<u32>>::default();
    asks.iter()
        .map(|ask| {
            let place = Place::of(&ask.target, None);
            let room = Room { keep, cap };
            let make = || Rc::new(Origin::new(&ask.target, None, room, dialer, &next_id));
            Rc::clone(places.entry(place).or_insert_with(make))
        })
        .collect()
}

/// The first interrupt ends the sending, the second the waiting for what is in flight; either way what was found is told.
async fn count_interrupts(interrupts: Rc<Cell<u32>>) {
    if let Ok(mut interrupt) = signal(SignalKind::interrupt()) {
        while interrupt.recv().await.is_some() {
            interrupts.set(interrupts.get() + 1);
        }
    }
}

impl Surveyed {
    fn new(begun: Mono) -> Self {
        // 60 s is the longest timeout there is; three digits are 0.1 %.
        let histogram = || {
            Histogram::new_with_bounds(1, 1_200_000_000, 3).expect("constant bounds are in the crate's range")
        };
        Self {
            attempts: 0,
            missed: 0,
            saturated: 0,
            void: 0,
            failures: BTreeMap::new(),
            statuses: BTreeMap::new(),
            versions: BTreeMap::new(),
            response: histogram(),
            since_due: histogram(),
            service: histogram(),
            lateness: histogram(),
            phases: std::array::from_fn(|_| histogram()),
            lasted: Duration::ZERO,
            own: Own::default(),
            begun,
        }
    }
}

fn add(histogram: &mut Histogram<u64>, span: Span) {
    histogram.saturating_record(u64::from(span.0));
}

impl Subject for Survey {
    fn epoch(&self) -> EpochId {
        EpochId(0)
    }

    fn slow_after(&self) -> Option<Duration> {
        None
    }

    fn sample(&mut self, sample: &mut Sample, answer: Told<'_>, begun: Mono, _now: Mono) {
        let found = &mut *self.surveyed;
        found.attempts += 1;
        add(&mut found.lateness, Span::of(begun.since(sample.planned)));
        if let Some(reason) = sample.outcome.reason() {
            *found.failures.entry(reason).or_default() += 1;
        }
        if sample.taint != Taint::Clean || matches!(sample.outcome, Outcome::Failed(_) | Outcome::Missed(_)) {
            found.void += 1;
            return;
        }
        if sample.status != 0 {
            *found.statuses.entry(sample.status).or_default() += 1;
        }
        if let Some(version) = answer.version {
            match found.versions.get_mut(&**version) {
                Some(count) => *count += 1,
                None => drop(found.versions.insert(version.as_ref().into(), 1)),
            }
        }
        if sample.outcome == Outcome::Saturated {
            found.saturated += 1;
            return;
        }
        let done = sample.done();
        add(&mut found.response, sample.response());
        add(&mut found.since_due, Span::of(done.since(sample.due)));
        add(&mut found.service, Span::of(done.since(begun)));
        for (histogram, span) in found.phases.iter_mut().zip(sample.phases.all()) {
            if span.0 > 0 {
                add(histogram, span);
            }
        }
    }

    fn missed(&mut self, _sample: &Sample, count: u64, _now: Mono) {
        self.surveyed.attempts += count;
        self.surveyed.missed += count;
    }

    fn slow(&mut self, _sample: &Sample, _now: Mono) {}

    fn tick(&mut self, field: &mut Field, now: Mono) -> Option<Mono> {
        if self.closing {
            let waited = now.since(self.until) > self.patience || self.interrupts.get() > 1;
            let over = waited || self.lines.iter().all(|line| field.is_idle(*line));
            return (!over).then(|| now.after(LOOK_EVERY));
        }
        if now < self.until && self.interrupts.get() == 0 {
            return Some(self.until.min(now.after(LOOK_EVERY)));
        }
        self.closing = true;
        self.surveyed.lasted = now.since(self.begun);
        self.until = now;
        field.plan(0, [], now);
        for line in &self.lines {
            field.close(*line);
        }
        Some(now.after(LOOK_EVERY))
    }

    fn fared(&mut self, own: &Own) {
        self.surveyed.own.add(own);
    }

    fn rung(&mut self, _field: &mut Field, _now: Mono) -> bool {
        true
    }

    fn finish(&mut self, _now: Mono) {
        let empty = Box::new(Surveyed::new(self.begun));
        self.found.set(Some(std::mem::replace(&mut self.surveyed, empty)));
    }
}

/// Names of phases with their distributions, those that took place.
pub fn phases(found: &Surveyed) -> impl Iterator<Item = (&'static str, &Histogram<u64>)> {
    Phases::NAMES.into_iter().zip(&found.phases).filter(|(_, histogram)| !histogram.is_empty())
}
