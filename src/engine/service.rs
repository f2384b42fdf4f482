//! One service on the engine's thread: its calendar, its slots, its judge, its seconds.

use super::EngineOptions;
use super::calendar::{Calendar, Due};
use super::connect::Dialer;
use super::exchange::request;
use super::origin::{Origin, Registered};
use super::port::{Finding, Order, Port};
use super::probe::{Ended, probe};
use super::tally::Tally;
use super::timer::Timer;
use super::verify::{pause, places, prove};
use crate::clock;
use crate::model::delta::{Rolling, Second};
use crate::model::guard::{Cadence, OpId, Proof};
use crate::model::judge::{Judge, Notice};
use crate::model::release::{Baseline, EpochId, Stage};
use crate::model::sample::{Ours, Outcome, Phases, Purpose, Sample, Taint};
use crate::model::schedule::Schedule;
use crate::model::target::{TargetId, Version, VersionId};
use crate::model::time::{Mono, Span};
use crate::model::verdict::Verdict;
use crate::settings::{Endpoint, StatusSet, Target};
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Registered targets that are asked directly, at most.
const DIRECT_MAX: usize = 64;
/// How often what is due to be kept is handed on.
const PUMP_EVERY: Duration = Duration::from_millis(50);
/// The unrelated control is asked so often; it is somebody else's service.
const CONTROL_EVERY: Duration = Duration::from_millis(500);
/// How often the judge is asked inside a release; a bad sample asks at once.
const JUDGE_RELEASE: Duration = Duration::from_millis(10);
/// The same in peace.
const JUDGE_CALM: Duration = Duration::from_millis(100);

/// See the module.
pub(super) struct Service {
    name: Arc<str>,
    settings: crate::settings::Service,
    port: Port,
    dialer: Rc<Dialer>,
    instance: Arc<str>,
    /// Where all schedules begin, so that a switch of cadence keeps them in step.
    origin: Mono,
    late_max: Duration,
    timer: Timer,
    calendar: Calendar,
    judge: Judge,
    cadence: Cadence,
    lanes: Vec<Lane>,
    direct: Vec<Vec<Rc<Origin>>>,
    control: Option<Lane>,
    next_connection: Rc<Cell<u32>>,
    flights: BTreeMap<u64, Flight>,
    sequence: u64,
    turn: usize,
    probes: JoinSet<Ended>,
    proofs: JoinSet<(OpId, Proof)>,
    next_judge: Mono,
    next_second: Mono,
    tally: Tally,
    next_pump: Mono,
    told: Option<(EpochId, &'static str, Mono)>,
    started: bool,
    dropped: u64,
}

/// One target as the engine asks it.
struct Lane {
    target: Rc<Target>,
    origin: Rc<Origin>,
    request: Request<Empty<Bytes>>,
    in_flight: u32,
}

/// A probe that is out.
struct Flight {
    sample: Sample,
    /// A direct probe's address; others' is known when they end.
    told_slow: bool,
}

impl Service {
    pub(super) fn new(
        settings: crate::settings::Service,
        port: Port,
        dialer: Rc<Dialer>,
        options: &EngineOptions,
        origin: Mono,
    ) -> std::io::Result<Self> {
        let next_connection = Rc::new(Cell::new(0));
        let lane = |target: &Target| Lane::new(Rc::new(target.clone()), &next_connection);
        let lanes: Vec<Lane> = settings.targets.iter().map(lane).collect();
        let control = settings.control.as_ref().map(|endpoint| lane(&control_target(endpoint)));
        let stage = Stage {
            epoch: EpochId(0),
            after: origin,
            since: origin,
            cutover: origin,
            release: false,
            old_versions: BTreeSet::new(),
            one_has_all: true,
            baseline: Baseline::default(),
        };
        let mut service = Self {
            name: settings.name.as_str().into(),
            judge: Judge::new(settings.judge.clone(), stage),
            port,
            dialer,
            instance: Arc::clone(&options.instance),
            origin,
            late_max: options.quantum.max(Duration::from_millis(1)),
            timer: Timer::new()?,
            calendar: Calendar::new(options.quantum),
            cadence: Cadence::Calm,
            lanes,
            direct: Vec::new(),
            control,
            next_connection,
            flights: BTreeMap::new(),
            sequence: 0,
            turn: 0,
            probes: JoinSet::new(),
            proofs: JoinSet::new(),
            next_judge: origin,
            next_second: origin.after(Duration::from_secs(1)),
            tally: Tally::default(),
            next_pump: origin,
            told: None,
            started: false,
            dropped: 0,
            settings,
        };
        service.plan(origin);
        Ok(service)
    }

    /// Probes until the orders end. The calendar's next instant, an ended probe, an order: whatever comes first.
    pub(super) async fn run(mut self) -> std::io::Result<()> {
        loop {
            let wake = self.calendar.head().map_or(self.next_judge, |head| head.min(self.next_judge));
            let wake = wake.min(self.next_second);
            tokio::select! {
                biased;
                fired = self.timer.until(wake) => {
                    fired?;
                    self.fire();
                }
                Some(ended) = self.probes.join_next(), if !self.probes.is_empty() => {
                    self.ended(ended.map_err(std::io::Error::other)?);
                }
                Some(proof) = self.proofs.join_next(), if !self.proofs.is_empty() => {
                    let (op, proof) = proof.map_err(std::io::Error::other)?;
                    self.tell(Finding::Proof(op, proof));
                }
                order = self.port.orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => break,
                },
            }
            let now = clock::now();
            if now >= self.next_judge {
                self.judge(now);
            }
            if now >= self.next_pump {
                self.next_pump = now.after(PUMP_EVERY);
                self.port.keeper.pump(&self.judge.versions);
            }
            if now >= self.next_second {
                self.second(now);
            }
        }
        self.second(clock::now());
        self.port.keeper.finish(&self.judge.versions);
        Ok(())
    }

    fn obey(&mut self, order: Order) {
        let now = clock::now();
        match order {
            Order::Open(stage) => {
                self.judge.open(stage);
                self.told = None;
                self.next_judge = now;
            }
            Order::Pace(cadence) => {
                self.cadence = cadence;
                self.plan(now);
            }
            Order::Ask(registered) => {
                self.direct = registered
                    .iter()
                    .filter_map(|id| registered_target(id))
                    .take(DIRECT_MAX)
                    .zip(1_u16..)
                    .map(|((address, tls), index)| self.direct_origins(Registered { address, tls, index }))
                    .collect();
                self.plan(now);
            }
            Order::Keep(chapter) => self.port.keeper.chapter(chapter),
            Order::Verify(op, aim) => {
                let targets = places(self.lanes.iter().map(|lane| Rc::clone(&lane.target)));
                let dialer = Rc::clone(&self.dialer);
                self.proofs.spawn_local(async move { (op, prove(targets, dialer, aim).await) });
            }
        }
    }

    /// A registered target answers every URL of the service: one origin a URL, over the same address.
    fn direct_origins(&self, registered: Registered) -> Vec<Rc<Origin>> {
        let origin = |lane: &Lane| {
            Rc::new(Origin::new(Rc::clone(&lane.target), Some(registered), Rc::clone(&self.next_connection)))
        };
        self.lanes.iter().map(origin).collect()
    }

    /// The lanes that registered targets are asked by: not those of a capped rate, unless there are no others.
    fn asked_directly(&self) -> Vec<usize> {
        let free = |index: &usize| pause(&self.lanes[*index].target).is_none();
        let uncapped: Vec<usize> = (0..self.lanes.len()).filter(free).collect();
        if uncapped.is_empty() { (0..self.lanes.len()).collect() } else { uncapped }
    }

    /// Lays out all schedules for the cadence.
    fn plan(&mut self, now: Mono) {
        let count = u32::try_from(self.lanes.len()).unwrap_or(u32::MAX);
        let mut rows = Vec::new();
        for (index, lane) in (0_u32..).zip(&self.lanes) {
            let interval = match self.cadence {
                Cadence::Calm => self.settings.calm_interval(&lane.target),
                Cadence::Release => self.settings.release_interval(&lane.target),
            };
            let schedule = Schedule::new(self.origin, interval, index, count, &self.instance);
            rows.push((Purpose::Production, index as usize, schedule));
        }
        let addresses = u32::try_from(self.direct.len()).unwrap_or(u32::MAX);
        if addresses > 0 {
            let interval = self.settings.direct_interval(self.cadence == Cadence::Release, addresses);
            let slowest =
                self.asked_directly().into_iter().filter_map(|index| pause(&self.lanes[index].target));
            let interval = slowest.fold(interval, |interval, pause| interval.max(pause * addresses));
            for index in 0..addresses {
                let schedule = Schedule::new(self.origin, interval, index, addresses, &self.instance);
                rows.push((Purpose::Direct, index as usize, schedule));
            }
        }
        if self.control.is_some() {
            let schedule = Schedule::new(self.origin, CONTROL_EVERY, 0, 1, &self.instance);
            rows.push((Purpose::Control, 0, schedule));
        }
        self.calendar.set(rows, now);
    }

    /// Sends every probe that is planned by now.
    fn fire(&mut self) {
        let now = clock::now();
        while let Some(due) = self.calendar.pop(now) {
            let row = *self.calendar.row(due.row);
            if due.missed > 0 {
                self.missed(row.purpose, row.target, &due, now);
            }
            self.send(row.purpose, row.target, &due, now);
        }
        if !self.started {
            self.started = true;
            self.tell(Finding::Started);
        }
    }

    fn send(&mut self, purpose: Purpose, index: usize, due: &Due, now: Mono) {
        let lane_index = match purpose {
            Purpose::Production | Purpose::Control => index,
            Purpose::Direct => {
                self.turn = self.turn.wrapping_add(1);
                let asked = self.asked_directly();
                asked.get(self.turn % asked.len().max(1)).copied().unwrap_or(0)
            }
        };
        let is_late = now.since(due.planned) > self.late_max;
        let mut sample = Sample {
            due: due.at,
            planned: due.planned,
            phases: Phases::default(),
            target: TargetId(u16::try_from(lane_index).unwrap_or(u16::MAX)),
            conn: 0,
            epoch: self.judge.epoch(),
            addr: 0,
            version: VersionId::NONE,
            status: 0,
            purpose,
            taint: if is_late { Taint::Late } else { Taint::Clean },
            outcome: Outcome::Ok,
            told_slow: false,
        };
        let lane = match purpose {
            Purpose::Production | Purpose::Direct => self.lanes.get_mut(lane_index),
            Purpose::Control => self.control.as_mut(),
        };
        let Some(lane) = lane else { return };
        if purpose != Purpose::Direct && lane.in_flight >= lane.target.in_flight {
            // Every slot waits for the target: that is the target's doing, and evidence.
            sample.phases.wake = Span::of(now.since(due.at));
            sample.outcome = Outcome::Saturated;
            self.take(&sample, None, now);
            return;
        }
        let origin = match purpose {
            Purpose::Production | Purpose::Control => Some(&lane.origin),
            Purpose::Direct => self.direct.get(index).and_then(|origins| origins.get(lane_index)),
        };
        let Some(origin) = origin.map(Rc::clone) else { return };
        if purpose != Purpose::Direct {
            lane.in_flight += 1;
        }
        let request = lane.request.clone();
        self.sequence += 1;
        let sequence = self.sequence;
        self.flights.insert(sequence, Flight { sample: sample.clone(), told_slow: false });
        self.probes.spawn_local(probe(sequence, sample, origin, Rc::clone(&self.dialer), request));
    }

    /// Due probes that were passed over because we were not run in time.
    fn missed(&mut self, purpose: Purpose, target: usize, due: &Due, now: Mono) {
        let id = TargetId(u16::try_from(target).unwrap_or(u16::MAX));
        self.tally.missed(purpose, id, due.missed);
        let sample = Sample {
            due: due.at,
            planned: due.planned,
            phases: Phases { wake: Span::of(now.since(due.at)), ..Phases::default() },
            target: id,
            conn: 0,
            epoch: self.judge.epoch(),
            addr: 0,
            version: VersionId::NONE,
            status: 0,
            purpose,
            taint: Taint::Late,
            outcome: Outcome::Missed(Ours::Late),
            told_slow: false,
        };
        // The judge weighs own faults against answers; a hundred marks say as much as a million.
        for _ in 0..due.missed.min(100) {
            self.judge.observe(&sample, now);
        }
    }

    fn ended(&mut self, ended: Ended) {
        let now = clock::now();
        let Ended { sequence, mut sample, version } = ended;
        if let Some(flight) = self.flights.remove(&sequence) {
            sample.told_slow = flight.told_slow;
        }
        let lane = match sample.purpose {
            Purpose::Production => self.lanes.get_mut(usize::from(sample.target.0)),
            Purpose::Control => self.control.as_mut(),
            Purpose::Direct => None,
        };
        if let Some(lane) = lane {
            lane.in_flight = lane.in_flight.saturating_sub(1);
        }
        if let Some(name) = &version {
            sample.version = self.judge.versions.intern(name);
        }
        self.take(&sample, version.map(Version::from).as_ref(), now);
    }

    /// A sample is whole: count it, judge it, keep it.
    fn take(&mut self, sample: &Sample, version: Option<&Version>, now: Mono) {
        self.tally.count(sample, version);
        if let Some(notice) = self.judge.observe(sample, now) {
            if matches!(notice, Notice::Version(_)) {
                self.next_judge = now;
            }
            self.tell(Finding::Notice(notice));
        }
        if matches!(sample.outcome, Outcome::Bad(_) | Outcome::Saturated) {
            self.next_judge = now;
        }
        self.port.keeper.sample(sample);
    }

    /// Asks the judge, and tells its word when it is new, bad, or a while ago.
    fn judge(&mut self, now: Mono) {
        let pause = if self.cadence == Cadence::Release { JUDGE_RELEASE } else { JUDGE_CALM };
        self.next_judge = now.after(pause);
        self.overdue(now);
        let judgement = self.judge.judge(now);
        let word = judgement.verdict.word();
        let news = self.told.is_none_or(|(epoch, told, at)| {
            epoch != judgement.epoch || told != word || now.since(at) >= JUDGE_CALM
        });
        if news || matches!(judgement.verdict, Verdict::Bad(_)) {
            self.told = Some((judgement.epoch, word, now));
            self.tell(Finding::Judged(Box::new(judgement)));
        }
    }

    /// Probes in flight for longer than the latency objective are slow now.
    fn overdue(&mut self, now: Mono) {
        let Some(max) = self.settings.judge.objectives.p95_max else { return };
        for flight in self.flights.values_mut() {
            if now.since(flight.sample.planned) <= max {
                break;
            }
            if !flight.told_slow && flight.sample.purpose != Purpose::Control {
                flight.told_slow = true;
                self.judge.overdue(&flight.sample, now);
            }
        }
    }

    fn second(&mut self, now: Mono) {
        self.next_second = now.after(Duration::from_secs(1));
        let judgement = self.judge.judge(now);
        let deltas = self.tally.take();
        let rolling = Rolling {
            answers: judgement.answers,
            bad: judgement.bad,
            p95: judgement.p95,
            verdict: judgement.verdict.word(),
        };
        let second = Second { service: Arc::clone(&self.name), at: now, deltas, rolling: Some(rolling) };
        self.tell(Finding::Second(Arc::new(second)));
        if self.dropped > 0 {
            tracing::warn!(service = %self.name, dropped = self.dropped, "findings were dropped: nobody took them");
            self.dropped = 0;
        }
    }

    /// Never waits: a prober that waits for its readers is late.
    fn tell(&mut self, finding: Finding) {
        if self.port.findings.try_send(finding).is_err() {
            self.dropped += 1;
        }
    }
}

impl Lane {
    fn new(target: Rc<Target>, next_connection: &Rc<Cell<u32>>) -> Self {
        let origin = Rc::new(Origin::new(Rc::clone(&target), None, Rc::clone(next_connection)));
        Self { request: request(&target), origin, target, in_flight: 0 }
    }
}

/// `http://10.0.0.1:8080` or `https://…`; an instance id or a Lambda function can't be asked, so it isn't.
fn registered_target(id: &str) -> Option<(SocketAddr, bool)> {
    let (tls, rest) = match id.split_once("://") {
        Some(("https", rest)) => (true, rest),
        Some(("http", rest)) => (false, rest),
        _ => return None,
    };
    rest.parse().ok().map(|address| (address, tls))
}

/// The control is only asked whether it answers: any status below 500 will do.
fn control_target(endpoint: &Endpoint) -> Target {
    Target {
        name: "control".into(),
        endpoint: endpoint.clone(),
        connect_to: None,
        method: http::Method::GET,
        headers: http::HeaderMap::new(),
        version_header: None,
        timeout: Duration::from_secs(1),
        fresh: false,
        max_body: 65_536,
        status: StatusSet(vec![100..=499]),
        body_contains: None,
        in_flight: 4,
        ca_file: None,
        rate_cap_hz: None,
    }
}
