//! One release in virtual time: the real judge and the real guard, joined as the daemon joins them, over a listener that does as it
//! is told.

use super::{Shot, Source};
use crate::model::guard::{Action, Cadence, Depth, Event, Full, Guard, Marks, Observed, Proof, WriteOutcome};
use crate::model::judge::Judge;
use crate::model::listener::{
    Forward, Group, GroupHealth, HealthState, ListenerState, RuleState, TargetHealth,
};
use crate::model::owner::Owner;
use crate::model::policy::{GuardPolicy, JudgePolicy, Mode};
use crate::model::record::Record;
use crate::model::recover::recover;
use crate::model::release::{Baseline, EpochId, Stage};
use crate::model::sample::{Outcome, Phases, Purpose, Sample, Taint};
use crate::model::target::VersionId;
use crate::model::time::{Mono, Span, Wall, nanos};
use crate::model::verdict::Verdict;
use crate::settings::Service;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const LISTENER: &str = "arn:aws:elasticloadbalancing:eu-west-1:000000000000:listener/app/simulated/1/2";
const OLD: &str = "arn:aws:elasticloadbalancing:eu-west-1:000000000000:targetgroup/old/1";
const NEW: &str = "arn:aws:elasticloadbalancing:eu-west-1:000000000000:targetgroup/new/2";
/// What a call of AWS is taken to need, and what a write to disk.
const CALL: Duration = Duration::from_millis(30);
const SYNC: Duration = Duration::from_millis(10);
/// How often the judge is asked inside a release, and in peace.
const JUDGE_RELEASE: Duration = Duration::from_millis(10);
const JUDGE_CALM: Duration = Duration::from_millis(100);
/// The state before the cutover is good for so much longer than it has to be.
const SPARE: Duration = Duration::from_secs(10);
const TARGETS: u16 = 3;

/// By which rules a release is played.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The judge's.
    pub judge: JudgePolicy,
    guard: GuardPolicy,
    calm_hz: f64,
    release_hz: f64,
    /// Of the side path: in peace, in a release, and there in doubt.
    direct_hz: [f64; 3],
    urls: u16,
    /// The old version can be asked past what shares out the requests.
    asks_directly: bool,
    /// Percent of the requests that the new version gets from the cutover on, 1 to 100.
    pub share: u8,
    /// The end, after the cutover.
    pub horizon: Duration,
}

impl Rules {
    /// Those of a service as it is configured; it may act, whatever its mode is.
    #[must_use]
    pub fn of(service: &Service, horizon: Duration) -> Self {
        let guard =
            GuardPolicy { mode: Mode::Act, has_lever: true, versions_known: true, ..service.guard.clone() };
        Self {
            judge: service.judge.clone(),
            guard,
            calm_hz: service.calm_rate_hz(),
            release_hz: service.release_rate_hz(),
            direct_hz: [service.direct_rate_hz(false), service.direct_rate_hz(true), service.doubt_rate_hz()],
            urls: u16::try_from(service.targets.len()).unwrap_or(u16::MAX),
            // Without a lever it is played as if there were one: a listener.
            asks_directly: service.asks_directly() || !service.has_lever(),
            share: 100,
            horizon,
        }
    }

    /// When the cutover is made: the state before has been good for long enough by then.
    fn lead(&self) -> Duration {
        let answers = Duration::from_secs_f64(f64::from(self.judge.settle_answers) / self.calm_hz * 1.2);
        self.judge.settle.max(answers) + SPARE
    }
}

/// What came of it. Times are since the cutover.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Played {
    /// The judge first said BAD.
    pub bad: Option<Duration>,
    /// The guard sent its write.
    pub acted: Option<Duration>,
    /// Why the judge said BAD, as a sentence.
    pub why: Option<String>,
    /// What kept the guard from acting, if something did: a closed set of names.
    pub refused: Vec<String>,
    /// The judge's last word.
    pub word: &'static str,
    /// Production answers of the new version each second since the cutover, and bad ones.
    pub seconds: Vec<(u32, u32)>,
}

/// Plays one release.
#[must_use]
pub fn play(rules: &Rules, source: &mut dyn Source) -> Played {
    let cut = Mono(0).after(rules.lead());
    let end = cut.after(rules.horizon);
    let mut stage = Theatre::new(rules, cut);
    let paths = [Purpose::Production, Purpose::Direct];
    for purpose in paths.into_iter().filter(|path| *path != Purpose::Direct || rules.asks_directly) {
        stage.queue(Mono(1_000_000), Job::Probe(purpose, 0));
    }
    if let Some(recorded) = source.recorded() {
        for (at, shot) in recorded {
            stage.queue(since_cut(cut, *at), Job::Shot(*shot));
        }
    }
    stage.queue(Mono(1_000_000), Job::Judge);
    stage.queue(cut, Job::Cutover);
    stage.step(Mono(1_000_000), Event::Tick);
    while let Some(entry) = stage.jobs.first_entry() {
        let (at, _) = *entry.key();
        if at > end || stage.played.acted.is_some() {
            break;
        }
        let job = entry.remove();
        stage.run(at, job, source);
    }
    stage.played
}

/// An instant after the cutover (before it: negative), seconds.
fn since_cut(cut: Mono, at: f64) -> Mono {
    let span = Duration::from_secs_f64(at.abs());
    if at < 0.0 { cut.before(span) } else { cut.after(span) }
}

enum Job {
    Probe(Purpose, u64),
    Shot(Shot),
    Overdue(Box<Sample>),
    Done(Box<Sample>),
    Judge,
    Cutover,
    Wake,
    Reply(Box<Event>),
}

/// Everything that takes part.
struct Theatre<'a> {
    rules: &'a Rules,
    cut: Mono,
    judge: Judge,
    guard: Guard,
    epoch: EpochId,
    cadence: Cadence,
    doubt: bool,
    asks: bool,
    listener: ListenerState,
    jobs: BTreeMap<(Mono, u64), Job>,
    number: u64,
    judged: Mono,
    wake: Mono,
    /// Recorded probes have begun: none is made up any more.
    recorded: bool,
    versions: [VersionId; 2],
    played: Played,
}

fn forward(weights: [i32; 2]) -> ListenerState {
    let groups = [OLD, NEW].into_iter().zip(weights);
    let groups = groups.map(|(arn, weight)| Group { arn: arn.into(), weight: Some(weight) }).collect();
    let forward = Some(Forward { scalar: None, groups, stickiness: None });
    RuleState { arn: LISTENER.into(), forward, others: Vec::new(), unknown: Vec::new() }.into()
}

fn health() -> Vec<GroupHealth> {
    let targets = |net: u8| {
        let target = |n| TargetHealth {
            id: format!("10.0.{net}.{n}:80").into(),
            state: HealthState::Healthy,
            overridden: false,
        };
        (1..=TARGETS).map(target).collect()
    };
    vec![
        GroupHealth { group: OLD.into(), targets: targets(1) },
        GroupHealth { group: NEW.into(), targets: targets(2) },
    ]
}

impl<'a> Theatre<'a> {
    fn new(rules: &'a Rules, cut: Mono) -> Self {
        let start = Mono(1_000_000);
        let stage = Stage {
            epoch: EpochId(u32::MAX),
            after: start,
            since: start,
            cutover: start,
            release: false,
            old_versions: BTreeSet::new(),
            one_has_all: true,
            baseline: Baseline::default(),
        };
        let mut judge = Judge::new(rules.judge.clone(), stage);
        let versions = ["old", "new"].map(|name| judge.versions.intern(name));
        Self {
            rules,
            cut,
            judge,
            guard: Guard::new(rules.guard.clone(), recover([], Wall(0)), start),
            epoch: EpochId(u32::MAX),
            cadence: Cadence::Calm,
            doubt: false,
            asks: false,
            listener: forward([100, 0]),
            jobs: BTreeMap::new(),
            number: 0,
            judged: Mono(0),
            wake: Mono(u64::MAX),
            recorded: false,
            versions,
            played: Played::default(),
        }
    }

    fn queue(&mut self, at: Mono, job: Job) {
        self.number += 1;
        self.jobs.insert((at, self.number), job);
    }

    fn run(&mut self, now: Mono, job: Job, source: &mut dyn Source) {
        match job {
            Job::Probe(purpose, index) => self.probe(now, purpose, index, source),
            Job::Shot(shot) => {
                self.recorded = true;
                self.send(now, shot);
            }
            Job::Overdue(sample) => self.judge.overdue(&sample, now),
            Job::Done(sample) => self.done(&sample, now),
            Job::Judge => {
                let pause = if self.cadence == Cadence::Release { JUDGE_RELEASE } else { JUDGE_CALM };
                self.queue(now.after(pause), Job::Judge);
                self.judge(now);
            }
            Job::Cutover => {
                let new = i32::from(self.rules.share);
                self.listener = forward([100 - new, new]);
            }
            Job::Wake if self.wake <= now => self.step(now, Event::Tick),
            Job::Wake => {}
            Job::Reply(event) => self.step(now, *event),
        }
    }

    /// The next probe of a path at its pace.
    fn probe(&mut self, now: Mono, purpose: Purpose, index: u64, source: &mut dyn Source) {
        if self.recorded {
            return;
        }
        let pace_hz = match (self.cadence, purpose) {
            (Cadence::Calm, Purpose::Direct) => self.rules.direct_hz[0],
            (Cadence::Release, Purpose::Direct) => self.rules.direct_hz[if self.doubt { 2 } else { 1 }],
            (Cadence::Calm, _) => self.rules.calm_hz,
            (Cadence::Release, _) => self.rules.release_hz,
        };
        self.queue(now.after(Duration::from_secs_f64(1.0 / pace_hz)), Job::Probe(purpose, index + 1));
        if purpose == Purpose::Direct && !self.asks {
            return;
        }
        let at = if now < self.cut {
            -self.cut.since(now).as_secs_f64()
        } else {
            now.since(self.cut).as_secs_f64()
        };
        let mut shot = source.answer(at, purpose, index);
        let target = index % u64::from(self.rules.urls.max(1));
        shot.target.0 = u16::try_from(target).unwrap_or(0);
        self.send(now, shot);
    }

    fn send(&mut self, now: Mono, shot: Shot) {
        let sample = Sample {
            due: now,
            planned: now,
            phases: Phases { first_byte: Span::of(shot.response), ..Phases::default() },
            target: shot.target,
            conn: shot.way.0,
            epoch: self.epoch,
            addr: shot.way.1,
            version: shot.new.map_or(VersionId::NONE, |new| self.versions[usize::from(new)]),
            status: shot.status,
            purpose: shot.purpose,
            taint: if shot.void { Taint::Late } else { Taint::Clean },
            outcome: shot.outcome,
            told_slow: false,
        };
        let slow = self.rules.judge.objectives.slow_over().filter(|slow| shot.response > *slow);
        if let Some(slow) = slow {
            let bare = Sample { version: VersionId::NONE, status: 0, outcome: Outcome::Ok, ..sample.clone() };
            self.queue(now.after(slow), Job::Overdue(Box::new(bare)));
        }
        let done = Sample { told_slow: slow.is_some() && !shot.void, ..sample };
        self.queue(now.after(shot.response), Job::Done(Box::new(done)));
    }

    fn done(&mut self, sample: &Sample, now: Mono) {
        let bad = matches!(sample.outcome, Outcome::Bad(_) | Outcome::Saturated);
        if sample.purpose == Purpose::Production && now >= self.cut {
            let second = usize::try_from(nanos(now.since(self.cut)) / 1_000_000_000).unwrap_or(usize::MAX);
            if self.played.seconds.len() <= second {
                self.played.seconds.resize(second + 1, (0, 0));
            }
            let counts = &mut self.played.seconds[second];
            *counts = (counts.0 + 1, counts.1 + u32::from(bad));
        }
        if let Some(notice) = self.judge.observe(sample, now) {
            self.step(now, Event::Notice(notice));
        }
        if bad && now.since(self.judged) >= Duration::from_millis(2) {
            self.judge(now);
        }
    }

    fn judge(&mut self, now: Mono) {
        self.judged = now;
        let judgement = self.judge.judge(now);
        self.doubt = judgement.doubt;
        self.played.word = judgement.verdict.word();
        if let Verdict::Bad(evidence) = &judgement.verdict
            && self.played.bad.is_none()
            && now >= self.cut
        {
            self.played.bad = Some(now.since(self.cut));
            self.played.why = Some(evidence.to_string());
        }
        self.step(now, Event::Judged(Box::new(judgement)));
    }

    fn step(&mut self, now: Mono, event: Event) {
        let mut out = Vec::new();
        self.guard.step(now, event, &mut out);
        let wake = self.guard.wake_at();
        if wake < self.wake || self.wake <= now {
            self.wake = wake;
            self.queue(wake, Job::Wake);
        }
        for action in out {
            self.act(now, action);
        }
    }

    fn act(&mut self, now: Mono, action: Action) {
        let reply = |event| Job::Reply(Box::new(event));
        match action {
            Action::Open(stage) => {
                self.epoch = stage.epoch;
                self.judge.open(stage);
            }
            Action::Pace(cadence) => self.cadence = cadence,
            Action::Ask(targets) => self.asks = !targets.is_empty(),
            Action::Read(op, depth) => {
                let observed = Observed {
                    state: self.listener.clone(),
                    marks: (depth != Depth::Listener).then(|| Marks::of(Owner::Nobody)),
                    health: (depth == Depth::Full).then(health),
                };
                self.queue(now.after(CALL), reply(Event::Read(op, Ok(observed))));
            }
            Action::Persist(op, _) => {
                self.queue(now.after(SYNC), reply(Event::Durable(op, Ok::<(), Full>(()))));
            }
            Action::Write(op, _) => {
                self.played.acted = Some(now.since(self.cut));
                self.queue(
                    now.after(CALL),
                    reply(Event::Wrote(op, WriteOutcome::Accepted("simulated".into()))),
                );
            }
            Action::Verify(op, _) => {
                let proof = Proof::NotShown("the simulation ends with the write".into());
                self.queue(now.after(CALL), reply(Event::Verified(op, proof)));
            }
            Action::Note(record) => {
                if let Record::Refused { reason, .. } = *record
                    && !self.played.refused.iter().any(|known| **known == *reason)
                {
                    self.played.refused.push(reason.into());
                }
            }
            // Nobody owns the listener of a simulation.
            Action::Page(_) | Action::Tag(_) | Action::Revised | Action::Call(..) => {}
        }
    }
}
