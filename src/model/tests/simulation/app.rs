//! The real judge and the real guard, joined as an app joins them, in virtual time.

use super::laws::Laws;
use super::prober::Prober;
use super::world::{Trouble, World};
use serin_model::guard::{Action, Aim, Cadence, Command, Depth, Event, Guard, OpId, PageKind};
use serin_model::judge::Judge;
use serin_model::objective::Objectives;
use serin_model::plan::{Style, Write};
use serin_model::policy::{GuardPolicy, JudgePolicy, Mode, Policy};
use serin_model::record::{Intent, Record};
use serin_model::recover::recover;
use serin_model::release::{Baseline, EpochId, Stage};
use serin_model::sample::{Outcome, Purpose, Sample};
use serin_model::time::{Mono, Wall};
use serin_model::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Something that a story waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Moment {
    /// The preflight's read was answered.
    Preflight,
    /// The intent is on disk.
    Intent,
    /// The read before the write was asked for.
    Reread,
    /// The write goes out, and AWS has not seen it yet.
    WriteSent,
    /// AWS has done it, and we don't know yet.
    WriteDone,
    /// The read-back was asked for.
    Readback,
    /// The proof was asked for.
    Verify,
    /// The release is latched.
    Held,
}

type Deed = Box<dyn FnOnce(&mut App)>;

pub(crate) enum Job {
    Deed(Deed),
    Boot,
    Production,
    Direct,
    Control,
    Done(Box<Sample>, u64),
    Overdue(Box<Sample>, u64),
    Judge,
    Wake,
    ServeRead(OpId, Depth),
    ServePersist(OpId, Box<Intent>),
    ServeWrite(OpId, Write, Option<Trouble>),
    Effect(Write),
    Proof,
    Reply(Box<Event>),
}

/// The proof in the data plane while it runs.
pub(crate) struct Proving {
    pub(crate) op: OpId,
    pub(crate) aim: Aim,
    pub(crate) since: Mono,
    pub(crate) answers: [u32; 2],
}

/// The process: gone while it is restarted.
pub(crate) struct Process {
    pub(crate) guard: Guard,
    pub(crate) judge: Judge,
    epoch: EpochId,
    cadence: Cadence,
    doubt: bool,
    asked: Vec<Box<str>>,
    in_flight: BTreeMap<u64, bool>,
    pub(crate) proving: Option<Proving>,
    wake: Mono,
}

pub(crate) struct App {
    pub(crate) now: Mono,
    pub(crate) world: World,
    pub(crate) judge_policy: JudgePolicy,
    pub(crate) guard_policy: GuardPolicy,
    pub(crate) ledger: Vec<(Wall, Record)>,
    pub(crate) trace: Vec<String>,
    pub(crate) laws: Laws,
    /// Own writes that had an effect, with the time.
    pub(crate) effects: Vec<(Mono, Write)>,
    pub(crate) pages: Vec<(Mono, PageKind, Box<str>)>,
    judged: Mono,
    /// The judge is not asked twice within this time.
    pub(crate) rest: Duration,
    /// Nobody is asked directly.
    pub(crate) deaf: bool,
    /// Nothing comes back from production.
    pub(crate) mute: bool,
    pub(crate) process: Option<Process>,
    life: u32,
    jobs: BTreeMap<(Mono, u64), (u32, Job)>,
    next_job: u64,
    waiting: Vec<(Moment, Deed)>,
    pub(crate) prober: Prober,
}

/// A service that settles in 5 s and is judged for a minute, so that a story is short.
pub(crate) fn policies() -> (JudgePolicy, GuardPolicy) {
    let (settle, judge_for) = (Duration::from_secs(5), Duration::from_mins(1));
    let judge = JudgePolicy {
        policy: Policy::Sequential.into(),
        objectives: Objectives::of_service(Some(0.001), Some(Duration::from_millis(250))),
        wrong_reverts_one_in: 1_000_000,
        tolerate_blip: Duration::from_millis(250),
        window: Duration::from_secs(10),
        samples_min: 20,
        error_rate_min: 0.0,
        grace: Duration::from_secs(3),
        settle,
        settle_answers: 40,
        judge_for,
        onset: Duration::from_secs(20),
        propagation: Duration::from_secs(2),
        release_rate_hz: 100.0,
        heard: serin_model::policy::Heard::Directly,
    };
    let guard = GuardPolicy {
        mode: Mode::Act,
        cool_down: Duration::from_mins(2),
        reverts_per_hour_max: 2,
        reverts_per_day_max: 3,
        healthy_min: 1,
        capacity_min: 1.0,
        evidence_age_max: Duration::from_secs(30),
        revert_style: Style::Weights,
        verify_answers: 5,
        verify_for: Duration::from_secs(8),
        has_lever: true,
        versions_known: true,
        settle,
        settle_answers: 40,
        judge_for,
        heard: serin_model::policy::Heard::Directly,
    };
    (judge, guard)
}

pub(crate) fn secs(seconds: f64) -> Mono {
    Mono::default().after(Duration::from_secs_f64(seconds))
}

/// 4 ms, as an app does it. A run over mutants asks less often, because nearly all the time is the judge's.
fn rest() -> Duration {
    let millis = std::env::var("SERIN_REST_MS").ok().and_then(|n| n.parse().ok());
    Duration::from_millis(millis.unwrap_or(4))
}

impl App {
    pub(crate) fn new(seed: u64) -> Self {
        let (judge_policy, guard_policy) = policies();
        let mut app = Self {
            now: Mono(0),
            world: World::new(seed),
            judge_policy,
            guard_policy,
            ledger: vec![],
            trace: vec![],
            laws: Laws::default(),
            effects: vec![],
            pages: vec![],
            judged: Mono(0),
            rest: rest(),
            deaf: false,
            mute: false,
            process: None,
            life: 0,
            jobs: BTreeMap::new(),
            next_job: 0,
            waiting: vec![],
            prober: Prober::default(),
        };
        app.queue(Mono(1_000_000), Job::Boot);
        app
    }

    /// At a time of the story, in seconds.
    pub(crate) fn at(&mut self, seconds: f64, deed: impl FnOnce(&mut Self) + 'static) {
        self.queue(secs(seconds), Job::Deed(Box::new(deed)));
    }

    /// The next time that something happens.
    pub(crate) fn on(&mut self, moment: Moment, deed: impl FnOnce(&mut Self) + 'static) {
        self.waiting.push((moment, Box::new(deed)));
    }

    /// The process dies now and comes back after `away`, with its ledger or without.
    pub(crate) fn restart(&mut self, away: Duration, keeps_ledger: bool) {
        self.process = None;
        self.life += 1;
        if !keeps_ledger {
            self.ledger.clear();
            self.laws.forget();
        }
        self.queue(self.now.after(away), Job::Boot);
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.step(Event::Operator(command));
    }

    pub(crate) fn drain(&mut self) {
        self.step(Event::Drain);
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.process.as_ref().expect("the process runs").guard
    }

    /// Any event, for replies that nobody asked for.
    pub(crate) fn inject(&mut self, event: Event) {
        self.step(event);
    }

    pub(crate) fn run_until(&mut self, seconds: f64) {
        let end = secs(seconds);
        while let Some(entry) = self.jobs.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), (life, job)) = entry.remove_entry();
            self.now = at;
            let outlives = matches!(job, Job::Deed(_) | Job::Boot | Job::ServeWrite(..) | Job::Effect(_));
            if outlives || life == self.life {
                self.job(job);
            }
        }
        self.now = end;
        self.laws.at_end(self.now, &self.ledger);
    }

    pub(crate) fn queue(&mut self, at: Mono, job: Job) {
        self.next_job += 1;
        self.jobs.insert((at.max(self.now), self.next_job), (self.life, job));
    }

    pub(crate) fn soon(&mut self, low_ms: u64, high_ms: u64) -> Mono {
        self.now.after(self.world.chance.millis(low_ms, high_ms))
    }

    fn job(&mut self, job: Job) {
        match job {
            Job::Deed(deed) => deed(self),
            Job::Boot => self.boot(),
            Job::Production => self.probe(Purpose::Production),
            Job::Direct => self.probe(Purpose::Direct),
            Job::Control => self.probe(Purpose::Control),
            Job::Done(sample, id) => self.done(*sample, id),
            Job::Overdue(sample, id) => self.overdue(&sample, id),
            Job::Judge => {
                let pause = if self.cadence() == Cadence::Release { 10 } else { 50 };
                self.queue(self.now.after(Duration::from_millis(pause).max(self.rest)), Job::Judge);
                self.judge();
            }
            Job::Wake => {
                let due = self.process.as_ref().is_some_and(|process| process.wake <= self.now);
                if due {
                    self.step(Event::Tick);
                }
            }
            Job::ServeRead(op, depth) => self.serve_read(op, depth),
            Job::ServePersist(op, intent) => self.serve_persist(op, *intent),
            Job::ServeWrite(op, write, trouble) => self.serve_write(op, write, trouble),
            Job::Effect(write) => self.effect(write),
            Job::Proof => self.prove(),
            Job::Reply(event) => self.step(*event),
        }
    }

    fn boot(&mut self) {
        let wall = Wall(i64::try_from(self.now.0 / 1_000_000).expect("a short story"));
        let memory = recover(self.ledger.iter().cloned(), wall);
        let stage = Stage {
            epoch: EpochId(u32::MAX),
            after: self.now,
            since: self.now,
            cutover: self.now,
            release: false,
            old_versions: BTreeSet::new(),
            one_has_all: true,
            baseline: Baseline::default(),
        };
        self.process = Some(Process {
            guard: Guard::new(self.guard_policy.clone(), memory, self.now),
            judge: Judge::new(self.judge_policy.clone(), stage),
            epoch: EpochId(u32::MAX),
            cadence: Cadence::Calm,
            doubt: false,
            asked: vec![],
            in_flight: BTreeMap::new(),
            proving: None,
            wake: Mono(u64::MAX),
        });
        let first = self.soon(1, 9);
        for job in [Job::Production, Job::Direct, Job::Control, Job::Judge] {
            self.queue(first, job);
        }
        self.note(Record::Started { version: "sim".into(), config: "".into(), mode: "act".into() });
        self.step(Event::Tick);
    }

    fn cadence(&self) -> Cadence {
        self.process.as_ref().map_or(Cadence::Calm, |process| process.cadence)
    }

    fn probe(&mut self, purpose: Purpose) {
        let Some(process) = &mut self.process else { return };
        let (now, epoch, fast) = (self.now, process.epoch, process.cadence == Cadence::Release);
        let names = &mut process.judge.versions;
        let in_flight = u32::try_from(process.in_flight.values().filter(|prod| **prod).count()).unwrap_or(0);
        let (sample, pause, job) = match purpose {
            Purpose::Production => (
                Some(self.prober.production(&mut self.world, names, epoch, now, in_flight)),
                if fast { 10 } else { 100 },
                Job::Production,
            ),
            Purpose::Direct => {
                let pause = match (fast, process.doubt) {
                    (true, true) => 10,
                    (true, false) => 50,
                    (false, _) => 200,
                };
                let turn = usize::try_from(now.0 / 1_000_000 / pause).unwrap_or(0);
                let index = turn % process.asked.len().max(1);
                let asked = if self.deaf { None } else { process.asked.get(index) };
                let sample =
                    asked.map(|id| self.prober.direct(&mut self.world, names, epoch, now, (index, id)));
                (sample, pause, Job::Direct)
            }
            Purpose::Control => {
                let sample = self.world.has_control.then(|| self.prober.control(&mut self.world, epoch, now));
                (sample, 500, Job::Control)
            }
        };
        self.queue(now.after(Duration::from_millis(pause)), job);
        let Some(sample) = sample.filter(|_| !(self.mute && purpose == Purpose::Production)) else { return };
        let id = self.next_job;
        if let Some(process) = &mut self.process {
            process.in_flight.insert(id, purpose == Purpose::Production);
        }
        if sample.response().duration() > Duration::from_millis(250) {
            let at = now.after(Duration::from_millis(250));
            self.queue(at, Job::Overdue(Box::new(sample.clone()), id));
        }
        self.queue(sample.done(), Job::Done(Box::new(sample), id));
    }

    fn overdue(&mut self, sample: &Sample, id: u64) {
        let Some(process) = &mut self.process else { return };
        if process.in_flight.contains_key(&id) {
            let bare = Sample {
                version: serin_model::target::VersionId::NONE,
                status: 0,
                outcome: Outcome::Ok,
                ..sample.clone()
            };
            process.judge.overdue(&bare, self.now);
        }
    }

    fn done(&mut self, mut sample: Sample, id: u64) {
        let Some(process) = &mut self.process else { return };
        process.in_flight.remove(&id);
        sample.told_slow = sample.response().duration() > Duration::from_millis(250);
        let notice = process.judge.observe(&sample, self.now);
        let bad = matches!(sample.outcome, Outcome::Bad(_) | Outcome::Saturated);
        if let Some(notice) = notice {
            self.step(Event::Notice(notice));
        }
        if bad && self.now.since(self.judged) >= self.rest {
            self.judge();
        }
    }

    fn judge(&mut self) {
        let Some(process) = &mut self.process else { return };
        self.judged = self.now;
        let judgement = process.judge.judge(self.now);
        process.doubt = judgement.doubt;
        if let Verdict::Bad(evidence) = &judgement.verdict {
            self.laws.bad(self.now, judgement.epoch, evidence);
        } else {
            self.laws.not_bad(judgement.epoch);
        }
        self.step(Event::Judged(Box::new(judgement)));
    }

    fn step(&mut self, event: Event) {
        let Some(process) = &mut self.process else { return };
        let mut out = vec![];
        process.guard.step(self.now, event, &mut out);
        let wake = process.guard.wake_at();
        assert!(
            wake > self.now,
            "a guard that wants to be woken in the past spins: {wake:?} {:?}",
            process.guard
        );
        if wake < process.wake || process.wake <= self.now {
            process.wake = wake;
            self.queue(wake, Job::Wake);
        }
        for action in out {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        self.trace.push(format!("{} {action:?}", self.now.0));
        match action {
            Action::Open(stage) => {
                let Some(process) = &mut self.process else { return };
                process.epoch = stage.epoch;
                process.judge.open(stage);
            }
            Action::Pace(cadence) => {
                let Some(process) = &mut self.process else { return };
                process.cadence = cadence;
            }
            Action::Ask(targets) => {
                let Some(process) = &mut self.process else { return };
                process.asked = targets.into_iter().collect();
            }
            Action::Read(op, depth) => {
                if self.is("acting") {
                    self.moment(Moment::Reread);
                } else if self.is("verify_api") {
                    self.moment(Moment::Readback);
                }
                let at = self.soon(10, 40);
                self.queue(at, Job::ServeRead(op, depth));
            }
            Action::Persist(op, intent) => {
                let at = self.soon(1, 6);
                self.queue(at, Job::ServePersist(op, intent));
            }
            Action::Write(op, write) => {
                self.laws.write(self.now, &write, &self.ledger, &self.guard_policy, &self.world);
                let trouble = self.world.writes.pop_front();
                let at = self.soon(10, 40);
                self.queue(at, Job::ServeWrite(op, write, trouble));
                self.moment(Moment::WriteSent);
            }
            Action::Call(_, call) => panic!("nobody owns the listener of these stories: {call}"),
            Action::Verify(op, aim) => {
                if let Some(process) = &mut self.process {
                    process.proving = Some(Proving { op, aim, since: self.now, answers: [0; 2] });
                    self.queue(self.now, Job::Proof);
                }
                self.moment(Moment::Verify);
            }
            // AWS has it at once here; a tag of ours is one more hold, and no other.
            Action::Tag(hold) => {
                self.world.marks.hold = hold;
                let at = self.soon(10, 40);
                self.queue(at, Job::Reply(Box::new(Event::Tagged)));
            }
            Action::Page(page) => self.pages.push((self.now, page.kind, page.text)),
            Action::Revised => {}
            Action::Note(record) => {
                let held = matches!(*record, Record::Held { .. });
                let preflight = matches!(*record, Record::Preflight { .. });
                self.note(*record);
                if preflight {
                    self.moment(Moment::Preflight);
                }
                if held {
                    self.moment(Moment::Held);
                }
            }
        }
    }

    fn is(&self, state: &str) -> bool {
        self.process.as_ref().is_some_and(|process| process.guard.status(self.now).state == state)
    }

    pub(crate) fn note(&mut self, record: Record) {
        self.laws.note(self.now, &record);
        let wall = Wall(i64::try_from(self.now.0 / 1_000_000).expect("a short story"));
        self.ledger.push((wall, record));
    }

    pub(crate) fn moment(&mut self, moment: Moment) {
        if let Some(index) = self.waiting.iter().position(|(wanted, _)| *wanted == moment) {
            // As a job of its own at this instant, so that the guard's step is over first.
            let (_, deed) = self.waiting.remove(index);
            self.queue(self.now, Job::Deed(deed));
        }
    }
}
