//! One service on an engine thread: what its orders ask for, what its judge says, and what its seconds add up to.

use super::EngineOptions;
use super::connect::Dialer;
use super::desk::Desk;
use super::exchange::Ask;
use super::line::Line;
use super::origin::{Origin, Registered, Room};
use super::pacer::{Field, Plan, Subject, Told};
use super::port::{Finding, Keeper, Order, Port};
use super::revise::names;
use super::spans::Spans;
use super::verify::{pause, places, prove};
use crate::clock;
use crate::model::delta::{Own, Rolling, Second};
use crate::model::guard::{Cadence, OpId, Proof};
use crate::model::judge::{Judge, Notice};
use crate::model::release::{Baseline, EpochId, Stage};
use crate::model::sample::{Outcome, Purpose, Sample, Taint};
use crate::model::schedule::Schedule;
use crate::model::tally::Tally;
use crate::model::target::TargetId;
use crate::model::time::{Mono, nanos};
use crate::model::urls::Urls;
use crate::model::verdict::Verdict;
use crate::settings::{Endpoint, StatusSet, Target};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Registered targets that are asked directly, at most.
pub(super) const DIRECT_MAX: usize = 64;
/// How often what is due to be kept is handed on.
const PUMP_EVERY: Duration = Duration::from_millis(50);
/// The unrelated control is asked so often; it is somebody else's service.
const CONTROL_EVERY: Duration = Duration::from_millis(500);
/// How often the judge is asked inside a release.
const JUDGE_RELEASE: Duration = Duration::from_millis(10);
/// The same in peace.
const JUDGE_CALM: Duration = Duration::from_millis(100);
/// A bad sample asks at once, but a thousand of them a second don't ask a thousand times.
const JUDGE_PAUSE: Duration = Duration::from_millis(2);
/// Evidence must come over several connections, so so many are kept open.
pub(super) const KEPT: usize = 4;
/// Connections beyond those that a hanging target fills.
pub(super) const SPARE: f64 = 4.0;

/// See the module.
pub(super) struct Service {
    name: Arc<str>,
    /// Of its targets.
    pub(super) names: Arc<[Arc<str>]>,
    /// What is random of its traces.
    pub(super) seed: u64,
    pub(super) number: usize,
    pub(super) settings: crate::settings::Service,
    findings: mpsc::Sender<Finding>,
    pub(super) keeper: Box<dyn Keeper>,
    letters: Rc<Letters>,
    pub(super) dialer: Rc<Dialer>,
    instance: Arc<str>,
    /// Where schedules begin: this instant, and what the wall clock said then.
    origin: (Mono, u64),
    pub(super) judge: Judge,
    cadence: Cadence,
    /// The judge is in doubt.
    in_doubt: bool,
    /// The schedules are laid out for one that is: the side path is asked more often.
    doubt: bool,
    pub(super) targets: Vec<Rc<Ask>>,
    pub(super) production: Vec<usize>,
    pub(super) control: Option<usize>,
    pub(super) direct: Vec<Rc<[usize]>>,
    /// The registered targets that `direct` was laid out for.
    pub(super) asked: BTreeSet<Box<str>>,
    pub(super) next_connection: Rc<Cell<u32>>,
    judged: Mono,
    pub(super) next_judge: Mono,
    next_second: Mono,
    next_pump: Mono,
    pub(super) tally: Tally,
    pub(super) urls: Urls,
    pub(super) slow_over: Option<Duration>,
    own: Own,
    pub(super) told: Option<(EpochId, &'static str, Mono)>,
    started: bool,
    dropped: u64,
    spans: Spans,
}

/// What has come for one service and waits to be looked at.
#[derive(Default)]
struct Letters {
    orders: RefCell<VecDeque<Option<Order>>>,
    proofs: RefCell<Vec<(OpId, Proof)>>,
}

impl Service {
    /// Lays out its lines on `field`, as subject `number`, and begins at the calm pace.
    pub(super) fn new(
        number: usize,
        settings: crate::settings::Service,
        port: Port,
        dialer: Rc<Dialer>,
        options: &EngineOptions,
        field: &mut Field,
    ) -> Self {
        let origin = clock::now();
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
        let letters = Rc::<Letters>::default();
        tokio::task::spawn_local(receive(port.orders, Rc::clone(&letters), Rc::clone(&field.desk)));
        let wall_nanos = clock::wall_nanos();
        let seed = seed(&options.instance, &settings.name, wall_nanos);
        let mut service = Self {
            name: settings.name.as_str().into(),
            names: names(&settings),
            seed,
            number,
            judge: Judge::new(settings.judge.clone(), stage),
            findings: port.findings,
            keeper: port.keeper,
            letters,
            dialer,
            instance: Arc::clone(&options.instance),
            origin: (origin, wall_nanos),
            cadence: Cadence::Calm,
            in_doubt: false,
            doubt: false,
            targets: Vec::new(),
            production: Vec::new(),
            control: None,
            direct: Vec::new(),
            asked: BTreeSet::new(),
            next_connection: Rc::default(),
            judged: origin,
            next_judge: origin,
            next_second: origin.after(Duration::from_secs(1)),
            next_pump: origin,
            tally: Tally::new(settings.judge.objectives.bad_over),
            urls: Urls::new(
                settings.targets.len(),
                settings.judge.window,
                settings.judge.objectives.slow_over(),
            ),
            slow_over: settings.judge.objectives.slow_over(),
            own: Own::default(),
            told: None,
            started: false,
            dropped: 0,
            spans: Spans::default(),
            settings,
        };
        service.targets = service.asks();
        service.production = service.lines(Purpose::Production, None, field);
        service.control = service.control_line(field);
        service.pace(field, origin);
        service
    }

    /// A line for each target, over origins that they share where they may.
    fn lines(&self, purpose: Purpose, direct: Option<Registered>, field: &mut Field) -> Vec<usize> {
        let (mut origins, mut lines) = (Vec::new(), Vec::new());
        for (index, ask) in (0_u16..).zip(&self.targets) {
            let origin = self.origin(&ask.target, direct, &mut origins);
            origin.widen(self.room_of(&ask.target));
            lines.push(field.add(Line::new(self.number, purpose, TargetId(index), Rc::clone(ask), origin)));
        }
        lines
    }

    pub(super) fn control_line(&self, field: &mut Field) -> Option<usize> {
        let target = control_target(self.settings.control.as_ref()?);
        let room = Room { keep: 1, cap: f64::from(target.in_flight) };
        let origin = Rc::new(Origin::new(&target, None, room, &self.dialer, &self.next_connection));
        let ask = Rc::new(Ask::new(Rc::new(target)));
        Some(field.add(Line::new(self.number, Purpose::Control, TargetId(0), ask, origin)))
    }

    fn obey(&mut self, order: Order, field: &mut Field, now: Mono) {
        match order {
            Order::Open(stage) => {
                self.judge.open(stage);
                self.told = None;
                self.next_judge = now;
            }
            Order::Pace(cadence) => {
                self.cadence = cadence;
                self.pace(field, now);
            }
            Order::Ask(registered) if registered == self.asked => {}
            Order::Ask(registered) => {
                for line in self.direct.drain(..).flat_map(|lines| lines.to_vec()) {
                    field.retire(line);
                }
                let asked = registered;
                let registered = asked.iter().filter_map(|id| registered_target(id));
                let registered: Vec<_> = registered.take(DIRECT_MAX).collect();
                for ((address, tls), index) in registered.into_iter().zip(1_u16..) {
                    let direct = Registered { address, tls, index };
                    let lines = self.lines(Purpose::Direct, Some(direct), field);
                    self.direct.push(lines.into());
                }
                self.plan(field, now);
                self.asked = asked;
            }
            Order::Keep(chapter) => self.keeper.chapter(chapter),
            Order::Revise(revision) => self.revise(*revision, field, now),
            Order::Verify(op, aim) => {
                let targets = places(self.targets.iter().map(|ask| Rc::clone(&ask.target)));
                let (dialer, letters) = (Rc::clone(&self.dialer), Rc::clone(&self.letters));
                let desk = Rc::clone(&field.desk);
                tokio::task::spawn_local(async move {
                    let proof = prove(targets, dialer, aim).await;
                    letters.proofs.borrow_mut().push((op, proof));
                    desk.ring();
                });
            }
        }
    }

    /// The targets that registered ones are asked by: not those of a capped rate, unless there are no others.
    fn asked_directly(&self) -> Vec<usize> {
        let free = |index: &usize| pause(&self.targets[*index].target).is_none();
        let uncapped: Vec<usize> = (0..self.targets.len()).filter(free).collect();
        if uncapped.is_empty() { (0..self.targets.len()).collect() } else { uncapped }
    }

    /// A new pace of the production path, of which the judge weighs what is attained.
    pub(super) fn pace(&mut self, field: &mut Field, now: Mono) {
        let rate_hz = match self.cadence {
            Cadence::Calm => self.settings.calm_rate_hz(),
            Cadence::Release => self.settings.release_rate_hz(),
        };
        self.judge.plan(rate_hz, now);
        self.plan(field, now);
    }

    /// Lays out all schedules for the cadence.
    fn plan(&self, field: &mut Field, now: Mono) {
        let count = u32::try_from(self.targets.len()).unwrap_or(u32::MAX);
        let mut plans = Vec::new();
        for ((index, ask), line) in (0_u32..).zip(&self.targets).zip(&self.production) {
            let interval = match self.cadence {
                Cadence::Calm => self.settings.calm_interval(&ask.target),
                Cadence::Release => self.settings.release_interval(&ask.target),
            };
            plans.push(Plan { schedule: self.schedule(interval, index, count), lines: [*line].into() });
        }
        let addresses = u32::try_from(self.direct.len()).unwrap_or(u32::MAX);
        if addresses > 0 {
            let asked = self.asked_directly();
            let rate_hz = match (self.cadence, self.doubt) {
                (Cadence::Release, true) => self.settings.doubt_rate_hz(),
                (cadence, _) => self.settings.direct_rate_hz(cadence == Cadence::Release),
            };
            let interval = Duration::from_secs_f64(f64::from(addresses) / rate_hz);
            let slowest = asked.iter().filter_map(|index| pause(&self.targets[*index].target));
            let interval = slowest.fold(interval, |interval, pause| interval.max(pause * addresses));
            for (index, lines) in (0..addresses).zip(&self.direct) {
                let lines = asked.iter().filter_map(|index| lines.get(*index).copied()).collect();
                plans.push(Plan { schedule: self.schedule(interval, index, addresses), lines });
            }
        }
        if let Some(line) = self.control {
            plans.push(Plan { schedule: self.schedule(CONTROL_EVERY, 0, 1), lines: [line].into() });
        }
        field.plan(self.number, plans, now);
    }

    /// Its beat is the wall clock's at the start, so that phases are the same after a restart, and instances on
    /// machines whose clocks agree stay apart.
    fn schedule(&self, interval: Duration, index: u32, count: u32) -> Schedule {
        let (origin, wall) = self.origin;
        let into = wall % nanos(interval).max(1);
        Schedule::new(origin.before(Duration::from_nanos(into)), interval, index, count, &self.instance)
    }

    /// Asks the judge, and tells its word when it is new, bad, or a while ago.
    fn judge(&mut self, now: Mono) {
        let pause = if self.cadence == Cadence::Release { JUDGE_RELEASE } else { JUDGE_CALM };
        self.next_judge = now.after(pause);
        self.judged = now;
        let judgement = self.judge.judge(now);
        self.in_doubt = judgement.doubt;
        let word = judgement.verdict.word();
        let news = self.told.is_none_or(|(epoch, told, at)| {
            epoch != judgement.epoch || told != word || now.since(at) >= JUDGE_CALM
        });
        if news || matches!(judgement.verdict, Verdict::Bad(_)) {
            self.told = Some((judgement.epoch, word, now));
            self.tell(Finding::Judged(Box::new(judgement)));
        }
    }

    pub(super) fn second(&mut self, now: Mono) {
        self.next_second = now.after(Duration::from_secs(1));
        self.spans.begin();
        let judgement = self.judge.judge(now);
        let (deltas, times) = self.tally.take();
        let rolling = Rolling {
            answers: judgement.answers,
            bad: judgement.bad,
            p95: judgement.p95,
            attained: judgement.attained,
            verdict: judgement.verdict.word(),
        };
        let own = std::mem::take(&mut self.own);
        let second = Second {
            service: Arc::clone(&self.name),
            at: now,
            targets: Arc::clone(&self.names),
            deltas,
            times,
            rolling: Some(rolling),
            urls: self.urls.figures(now),
            own,
        };
        self.tell(Finding::Second(Arc::new(second)));
        if self.dropped > 0 {
            tracing::warn!(service = %self.name, dropped = self.dropped, "findings were dropped: nobody took them");
            self.dropped = 0;
        }
    }

    /// Never waits: a prober that waits for its readers is late.
    fn tell(&mut self, finding: Finding) {
        if self.findings.try_send(finding).is_err() {
            self.dropped += 1;
        }
    }
}

impl Subject for Service {
    fn epoch(&self) -> EpochId {
        self.judge.epoch()
    }

    fn slow_after(&self) -> Option<Duration> {
        self.slow_over
    }

    /// A sample is whole: count it, judge it, keep it.
    fn sample(&mut self, sample: &mut Sample, answer: Told<'_>, begun: Mono, now: Mono) {
        let version = answer.version;
        if let Some(name) = version {
            sample.version = self.judge.versions.intern(name);
        }
        self.tally.count(sample, version.map(|name| &**name), begun);
        self.urls.take(sample, now);
        let notice = self.judge.observe(sample, now);
        let news = matches!(notice, Some(Notice::Version(_)));
        if let Some(notice) = notice {
            self.tell(Finding::Notice(notice));
        }
        self.keeper.sample(sample);
        if let Some(ask) = self.targets.get(usize::from(sample.target.0))
            && let Some(traced) = self.spans.of(ask, sample, answer)
        {
            self.tell(Finding::Traced(Box::new(traced)));
        }
        let bad =
            sample.taint == Taint::Clean && matches!(sample.outcome, Outcome::Bad(_) | Outcome::Saturated);
        if news || bad && now.since(self.judged) >= JUDGE_PAUSE {
            self.judge(now);
        }
    }

    fn missed(&mut self, sample: &Sample, count: u64, now: Mono) {
        self.tally.missed(sample.purpose, sample.target, count);
        // The judge weighs own faults against answers; a hundred marks say as much as a million.
        for _ in 0..count.min(100) {
            self.judge.observe(sample, now);
        }
    }

    fn slow(&mut self, sample: &Sample, now: Mono) {
        if sample.purpose != Purpose::Control {
            self.judge.overdue(sample, now);
        }
    }

    fn tick(&mut self, field: &mut Field, now: Mono) -> Option<Mono> {
        if !self.started {
            self.started = true;
            self.tell(Finding::Started);
        }
        if now >= self.next_judge {
            self.judge(now);
        }
        if self.in_doubt != self.doubt {
            self.doubt = self.in_doubt;
            self.plan(field, now);
        }
        if now >= self.next_pump {
            self.next_pump = now.after(PUMP_EVERY);
            self.keeper.pump(&self.judge.versions);
        }
        if now >= self.next_second {
            self.second(now);
        }
        Some(self.next_judge.min(self.next_pump).min(self.next_second))
    }

    fn fared(&mut self, own: &Own) {
        self.own = own.clone();
    }

    fn rung(&mut self, field: &mut Field, now: Mono) -> bool {
        for (op, proof) in self.letters.proofs.take() {
            self.tell(Finding::Proof(op, proof));
        }
        loop {
            let order = self.letters.orders.borrow_mut().pop_front();
            match order {
                Some(Some(order)) => self.obey(order, field, now),
                Some(None) => return false,
                None => return true,
            }
        }
    }

    fn finish(&mut self, now: Mono) {
        self.second(now);
        self.keeper.finish(&self.judge.versions);
    }
}

/// What is random of the traces of this run: nobody else begins at the same nanosecond under the same names.
fn seed(instance: &str, service: &str, wall_nanos: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (instance, service, wall_nanos).hash(&mut hasher);
    hasher.finish()
}

/// Takes orders off their channel, so that the loop polls one desk and not a channel a service.
async fn receive(mut orders: mpsc::Receiver<Order>, letters: Rc<Letters>, desk: Rc<Desk>) {
    loop {
        let order = orders.recv().await;
        let over = order.is_none();
        letters.orders.borrow_mut().push_back(order);
        desk.ring();
        if over {
            return;
        }
    }
}

/// `http://10.0.0.1:8080` or `https://…`; an instance id or a Lambda function can't be asked, so it isn't.
pub(super) fn registered_target(id: &str) -> Option<(SocketAddr, bool)> {
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
        weight: 1,
        group: None,
        endpoint: endpoint.clone(),
        connect_to: None,
        front: None,
        method: http::Method::GET,
        headers: http::HeaderMap::new(),
        version_header: None,
        timeout: Duration::from_secs(1),
        fresh: false,
        max_body: 65_536,
        status: StatusSet(vec![100..=499]),
        body_contains: None,
        in_flight: 4,
        http2: false,
        tls_resume: false,
        ca_file: None,
        rate_cap_hz: None,
    }
}
