//! One run: a release that breaks, faults, and a time in which nothing goes wrong any more.

use crate::ends::{End, Told};
use crate::faults::{Fault, Planned, When, draw};
use crate::laws::Laws;
use crate::owned::Step;
use crate::plane::Plane;
use crate::world::{BLUE, Chance, GREEN};
use serin_model::guard::{Action, Aim, Command, Depth, Event, Guard, OpId, PageKind};
use serin_model::listener::RuleState;
use serin_model::owner::Call;
use serin_model::plan::{Style, Write};
use serin_model::policy::{GuardPolicy, Mode};
use serin_model::record::{Intent, Record};
use serin_model::recover::recover;
use serin_model::release::Stage;
use serin_model::time::{Mono, Span, Wall};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const START: Mono = Mono(1_000_000_000_000);
const CUT: Duration = Duration::from_secs(4);
/// From here on nothing new goes wrong.
const QUIET: Duration = Duration::from_secs(26);
const END: Duration = Duration::from_secs(90);
const JUDGED_EVERY: Duration = Duration::from_millis(200);

pub(crate) enum Job {
    Cut(usize),
    Boot,
    Judge,
    Wake,
    Fault(usize),
    Read(OpId, Depth),
    Persist(OpId, Box<Intent>),
    Write(OpId, Write),
    /// Of a write, however long after it was sent.
    Effect(Write),
    Call(OpId, Call),
    /// The owner of the rules has worked on a call for long enough.
    Owner(Step),
    Prove,
    Reply(Event),
}

pub(crate) struct Proving {
    pub(crate) op: OpId,
    pub(crate) aim: Aim,
    pub(crate) since: Mono,
}

pub(crate) struct Run {
    seed: u64,
    chance: Chance,
    policy: GuardPolicy,
    pub(crate) plane: Plane,
    pub(crate) laws: Laws,
    pub(crate) now: Mono,
    pub(crate) broken: Mono,
    jobs: BTreeMap<(Mono, u64), (u32, Job)>,
    next_job: u64,
    pub(crate) guard: Option<Guard>,
    life: u32,
    drains: bool,
    pub(crate) stage: Option<Stage>,
    pub(crate) proving: Option<Proving>,
    /// The health of groups was asked for last by this.
    pub(crate) newest_full: Option<OpId>,
    wake: Mono,
    pub(crate) ledger: Vec<(Wall, Record)>,
    /// So many lines are on disk whatever happens.
    pub(crate) synced: usize,
    planned: Vec<Planned>,
    /// When each of them happened or began.
    begun: Vec<Option<Mono>>,
    steps: u32,
    /// Somebody else wrote the listener after the cutover.
    pub(crate) foreign: bool,
    pages: Vec<(Mono, PageKind)>,
    trace: Option<Vec<String>>,
    /// The trace is told at once, since a run may not come to its end.
    loud: bool,
}

fn policy() -> GuardPolicy {
    GuardPolicy {
        mode: Mode::Act,
        cool_down: Duration::from_mins(10),
        reverts_per_hour_max: 1,
        reverts_per_day_max: 3,
        healthy_min: 1,
        capacity_min: 0.5,
        evidence_age_max: Duration::from_secs(12),
        revert_style: Style::Weights,
        verify_answers: 5,
        verify_for: Duration::from_secs(8),
        has_lever: true,
        versions_known: true,
        settle: Duration::from_secs(1),
        settle_answers: 5,
        judge_for: Duration::from_mins(5),
        heard: serin_model::policy::Heard::Directly,
    }
}

impl Run {
    pub(crate) fn new(seed: u64, traced: bool) -> Self {
        let mut chance = Chance::new(seed);
        let plane = Plane::new(1 + chance.below(3));
        let broken = START.after(CUT).after(chance.millis(500, 4_000));
        let planned = draw(
            &mut chance,
            START.after(CUT).before(Duration::from_secs(1)),
            Span::of(Duration::from_secs(16)),
        );
        let mut plane = plane;
        // One in four is ECS's: derived from the seed, so that the others are what they were.
        if seed % 4 == 3 {
            plane.owned();
        }
        let mut run = Self {
            seed,
            policy: GuardPolicy {
                revert_style: if chance.hits(0.2) { Style::Exclusive } else { Style::Weights },
                ..policy()
            },
            plane,
            laws: Laws::default(),
            now: START,
            broken,
            jobs: BTreeMap::new(),
            next_job: 0,
            guard: None,
            life: 0,
            drains: false,
            stage: None,
            proving: None,
            newest_full: None,
            wake: Mono(u64::MAX),
            ledger: vec![],
            synced: 0,
            begun: vec![None; planned.len()],
            planned,
            steps: 0,
            foreign: false,
            pages: vec![],
            trace: traced.then(Vec::new),
            loud: std::env::var_os("SERIN_REPLAY").is_some(),
            chance,
        };
        run.queue(START, Job::Boot);
        run.queue(START, Job::Judge);
        let rules = run.plane.listener.rules().len();
        let apart = if run.chance.hits(0.5) { Duration::ZERO } else { Duration::from_millis(400) };
        for rule in 1..=rules {
            let after = apart * u32::try_from(rule - 1).expect("few rules");
            run.queue(START.after(CUT).after(after), Job::Cut(rule));
        }
        for (index, planned) in run.planned.clone().iter().enumerate() {
            if let When::At(at) = planned.when {
                run.queue(at, Job::Fault(index));
            }
        }
        run
    }

    pub(crate) fn schedule(&self) -> &[Planned] {
        &self.planned
    }

    pub(crate) fn play(mut self) -> Told {
        let end = START.after(END);
        while let Some(entry) = self.jobs.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), (life, job)) = entry.remove_entry();
            self.now = at;
            // What is on its way to AWS outlives us; what is on its way to us doesn't.
            let outlives = matches!(
                job,
                Job::Cut(_)
                    | Job::Boot
                    | Job::Judge
                    | Job::Fault(_)
                    | Job::Write(..)
                    | Job::Effect(_)
                    | Job::Call(..)
                    | Job::Owner(_)
            );
            if outlives || life == self.life {
                self.job(job);
            }
        }
        self.now = end;
        let faults = self.planned.iter().zip(&self.begun).filter(|(_, begun)| begun.is_some());
        let faults = faults.map(|(planned, _)| planned.fault).collect();
        Told { end: self.verdict(), faults, trace: self.trace.take().unwrap_or_default() }
    }

    /// What must be true when everything has come to rest, and how it ended.
    fn verdict(&self) -> End {
        let seed = self.seed;
        let guard = self.guard.as_ref().expect("it was started again");
        assert!(
            guard.may_stop(),
            "seed {seed}: something is still half done: {:?}",
            guard.status(self.now).state
        );
        let held = self.ledger.iter().rev().find_map(|(_, record)| match record {
            Record::Held { reason, .. } => Some(reason.to_string()),
            _ => None,
        });
        let told = |kind| self.pages.iter().any(|(at, page)| *page == kind && *at >= START.after(CUT));
        let ill = self.plane.serving(self.now).contains(GREEN);
        let rules = self.plane.listener.rules();
        let shown: BTreeSet<_> = rules.iter().map(RuleState::fingerprint).collect();
        if shown.len() > 1 && !self.foreign {
            // Without its ledger it can't know what it had begun; that users are ill it tells all the same.
            let forgot = self
                .planned
                .iter()
                .zip(&self.begun)
                .any(|(planned, begun)| planned.fault == Fault::OtherNode && begun.is_some());
            // Whoever was away while the pipeline moved one after the other may have found half of it good.
            let good = |record: &Record| matches!(record, Record::Good { good } if good.state == self.plane.listener);
            let was_good = self.ledger.iter().any(|(_, record)| good(record));
            let known = was_good
                || told(PageKind::Partial)
                || told(PageKind::Overridden)
                || forgot && (told(PageKind::Bad) || told(PageKind::Refused));
            assert!(known, "seed {seed}: I8: half of it is back, and nobody knows");
        }
        let any =
            [PageKind::Refused, PageKind::Partial, PageKind::Overridden, PageKind::Bad, PageKind::Blind];
        assert!(!ill || any.into_iter().any(told), "seed {seed}: I12: users are ill, and nobody was told");
        match held.as_deref() {
            Some("reverted") if !ill => End::Reverted,
            Some("partial" | "interrupted") => End::Partial,
            Some("overridden") => End::Overridden,
            _ if !ill => End::Well,
            Some(_) => End::Refused,
            None => End::Told,
        }
    }

    pub(crate) fn queue(&mut self, at: Mono, job: Job) {
        self.next_job += 1;
        self.jobs.insert((at.max(self.now), self.next_job), (self.life, job));
    }

    pub(crate) fn soon(&mut self, low_ms: u64, high_ms: u64) -> Mono {
        self.now.after(self.chance.millis(low_ms, high_ms))
    }

    pub(crate) fn is_on(&self, fault: Fault) -> bool {
        let begun = self.planned.iter().zip(&self.begun);
        self.now < START.after(QUIET)
            && begun.filter(|(planned, _)| planned.fault == fault).any(|(planned, begun)| {
                begun.is_some_and(|begun| begun <= self.now && self.now < begun.after(planned.span))
            })
    }

    pub(crate) fn lot(&self, fault: Fault) -> u32 {
        self.planned.iter().find(|planned| planned.fault == fault).map_or(0, |planned| planned.lot)
    }

    pub(crate) fn lag(&self) -> Duration {
        if self.is_on(Fault::Lag) {
            Duration::from_millis(u64::from(self.lot(Fault::Lag) % 40_000))
        } else {
            Duration::ZERO
        }
    }

    pub(crate) fn say(&mut self, text: impl FnOnce() -> String) {
        let seconds = self.now.since(START).as_secs_f64();
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{seconds:.3} {}", text()));
            if self.loud
                && let Some(line) = trace.last()
            {
                told(line);
            }
        }
    }

    fn wall(&self) -> Wall {
        Wall(i64::try_from(self.now.0 / 1_000_000).expect("a short run"))
    }

    fn job(&mut self, job: Job) {
        match job {
            Job::Cut(rule) => {
                if rule == 1 {
                    let lot = u32::try_from(self.seed % 1_000).expect("a small number");
                    self.plane.deploy(lot);
                }
                let (state, lag) = (self.plane.cut(rule), self.lag());
                self.plane.set(self.now, state, lag);
            }
            Job::Boot => self.boot(),
            Job::Judge => {
                let calm = self.now >= START.after(QUIET + Duration::from_secs(10));
                let pause = if calm { JUDGED_EVERY * 5 } else { JUDGED_EVERY };
                self.queue(self.now.after(pause), Job::Judge);
                self.judge();
            }
            Job::Wake if self.now >= self.wake => self.step(Event::Tick),
            Job::Wake => {}
            Job::Fault(index) => self.happen(index),
            Job::Read(op, depth) => self.serve_read(op, depth),
            Job::Persist(op, intent) => self.serve_persist(op, *intent),
            Job::Write(op, write) => self.serve_write(op, write),
            Job::Effect(write) => self.effect(&write),
            Job::Call(op, call) => self.serve_call(op, &call),
            Job::Owner(step) => self.owner_does(step),
            Job::Prove => self.prove(),
            Job::Reply(event) => self.step(event),
        }
    }

    fn boot(&mut self) {
        let memory = recover(self.ledger.iter().cloned(), self.wall());
        let started = Record::Started { version: "".into(), config: "".into(), mode: "act".into() };
        self.ledger.push((self.wall(), started));
        (self.guard, self.drains, self.stage) =
            (Some(Guard::new(self.policy.clone(), memory, self.now)), false, None);
        self.step(Event::Tick);
    }

    /// The process is gone. Of the ledger the last `lost` lines are too, as far as nobody was told that they are on disk.
    fn die(&mut self, lost: usize, forgets: bool) {
        if self.guard.take().is_none() {
            return;
        }
        self.say(|| format!("dies, {lost} lines lost, ledger lost: {forgets}"));
        self.life += 1;
        self.proving = None;
        // Only what was told in the last moment may not be on disk yet.
        let moment = Wall(self.wall().0 - 20);
        let lately = self.ledger.iter().rev().take_while(|(at, _)| *at >= moment).count();
        let kept = self.ledger.len().saturating_sub(lost.min(lately)).max(self.synced);
        self.ledger.truncate(if forgets { 0 } else { kept });
        self.synced = self.synced.min(self.ledger.len());
        self.laws.died(lost > 0, forgets);
        let back = self.soon(200, 2_500);
        self.queue(back, Job::Boot);
    }

    fn happen(&mut self, index: usize) {
        let Planned { fault, lot, .. } = self.planned[index];
        if self.begun[index].is_some() || self.now >= START.after(QUIET) {
            return;
        }
        self.begun[index] = Some(self.now);
        self.say(|| format!("FAULT {fault:?}"));
        let few = usize::try_from(lot % 3).expect("a small number");
        let foreign = match fault {
            Fault::ThirdParty => Some(self.plane.third(few)),
            Fault::OwnerMovesOn => {
                self.plane.deploy(lot);
                Some(self.plane.onward())
            }
            Fault::SecondActuator => Some(self.plane.back(1 + few)),
            Fault::AlreadyEqual => Some(self.plane.back(3)),
            Fault::GoesForward => Some(self.plane.cut(3)),
            _ => None,
        };
        if let Some(state) = foreign {
            let lag = self.lag();
            self.foreign |= self.now >= START.after(CUT);
            self.plane.set(self.now, state, lag);
        }
        match fault {
            Fault::Torn => self.die(1 + few, false),
            Fault::Killed => self.die(0, false),
            Fault::OtherNode => self.die(0, true),
            Fault::Terminated => {
                self.drains = true;
                self.step(Event::Drain);
            }
            Fault::GroupDeleted => self.plane.delete(BLUE),
            Fault::GroupEmptied => self.plane.empty(BLUE),
            Fault::Hold if lot % 2 == 0 => self.plane.marks.hold = Some("tag canary:hold".into()),
            Fault::Hold => self.step(Event::Operator(Command::Hold { reason: "incident".into() })),
            _ => {}
        }
    }

    pub(crate) fn step(&mut self, event: Event) {
        let Some(guard) = &mut self.guard else { return };
        let mut out = Vec::new();
        guard.step(self.now, event, &mut out);
        let (wake, life) = (guard.wake_at(), self.life);
        if wake != self.wake || wake <= self.now {
            self.wake = wake;
            self.queue(wake.max(self.now.after(Duration::from_millis(1))), Job::Wake);
        }
        for action in out {
            // A death in the middle leaves the rest undone.
            if self.life == life {
                self.act(action);
            }
        }
        if self.drains && self.life == life && self.guard.as_ref().is_some_and(Guard::may_stop) {
            self.die(0, false);
        }
    }

    /// Faults that wait for this step; false when we didn't live to do it.
    fn lives_to(&mut self) -> bool {
        if self.now < self.broken {
            return true;
        }
        let (step, life) = (self.steps, self.life);
        self.steps += 1;
        for index in 0..self.planned.len() {
            if self.planned[index].when == When::Step(step) {
                self.happen(index);
            }
        }
        self.life == life
    }

    fn act(&mut self, action: Action) {
        if !matches!(action, Action::Note(_)) {
            self.say(|| format!("{action:?}"));
        }
        match action {
            Action::Open(stage) => self.stage = Some(stage),
            Action::Pace(_) | Action::Ask(_) | Action::Revised => {}
            Action::Tag(hold) => self.plane.marks.hold = hold,
            Action::Read(op, depth) => {
                if self.lives_to() {
                    if depth == Depth::Full {
                        self.newest_full = Some(op);
                    }
                    let at = self.soon(5, 40);
                    self.queue(at, Job::Read(op, depth));
                }
            }
            Action::Persist(op, intent) => {
                if self.lives_to() {
                    let at = self.soon(1, 10);
                    self.queue(at, Job::Persist(op, intent));
                }
            }
            Action::Write(op, write) => {
                // An old read after a restart is as good as somebody who undid it.
                let stale = self.planned.iter().any(|planned| planned.fault == Fault::ReadStale);
                let foreign = self.foreign || stale;
                self.laws.write(self.now, &write, &self.ledger, &self.policy, foreign);
                if self.lives_to() {
                    let at = self.soon(5, 40);
                    self.queue(at, Job::Write(op, write));
                }
            }
            Action::Call(op, call) => {
                let stale = self.planned.iter().any(|planned| planned.fault == Fault::ReadStale);
                self.laws.call(self.now, &call, &self.ledger, &self.policy, self.foreign || stale);
                if self.lives_to() {
                    let at = self.soon(5, 40);
                    self.queue(at, Job::Call(op, call));
                }
            }
            Action::Verify(op, aim) => {
                if self.lives_to() {
                    self.proving = Some(Proving { op, aim, since: self.now });
                    self.queue(self.now.after(Duration::from_millis(300)), Job::Prove);
                }
            }
            Action::Page(page) => self.pages.push((self.now, page.kind)),
            Action::Note(record) => self.note(*record),
        }
    }

    pub(crate) fn note(&mut self, record: Record) {
        self.laws.note(&record);
        if !matches!(record, Record::Pulse { .. } | Record::Seen { .. }) {
            self.say(|| format!("{record:?}"));
        }
        let wall = self.wall();
        self.ledger.push((wall, record));
    }

    pub(crate) fn reply(&mut self, event: Event) {
        let at = self.soon(5, 40);
        if self.is_on(Fault::Duplicate) {
            let again = self.soon(5, 900);
            self.queue(again, Job::Reply(event.clone()));
        }
        self.queue(at, Job::Reply(event));
    }
}

#[expect(clippy::print_stdout, reason = "a run that is replayed is there to be read")]
fn told(line: &str) {
    println!("{line}");
}
