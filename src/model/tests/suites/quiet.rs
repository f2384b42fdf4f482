//! Good releases in noise: none may be reverted.
//!
//! Every promise is kept at half of what it allows, over the whole release. In five of eight releases the noise isn't
//! independent: errors come in bursts (none longer than the declared blip), a dependency of both versions fails or is
//! slow for seconds, tasks come and go. The real judge sees every sample; in one release of twenty the real guard
//! listens to it.

use crate::cast::blank;
use crate::chance::{Chance, Latency, Shape, span, wave};
use crate::gate::Gate;
use crate::rig::Rig;
use crate::story::{LIMIT_MS, MOST_MS, Story};
use crate::told::Word;
use serin_model::guard::{Action, Depth, Event, Guard, Marks, Observed, OpId};
use serin_model::judge::Judge;
use serin_model::listener::{GroupHealth, ListenerState};
use serin_model::owner::Owner;
use serin_model::release::EpochId;
use serin_model::sample::{Fault, Outcome, Purpose, Sample};
use serin_model::target::{TargetId, VersionId};
use serin_model::time::{Mono, Span};
use serin_model::verdict::Verdict;
use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

/// Probes a second, of production and of the old version each.
const RATE_HZ: u32 = 20;
const STEP: Duration = Duration::from_millis(50);
/// Half of what is promised.
const BAD_MOST: f64 = 0.0005;
const SLOW_MOST: f64 = 0.025;
const JUDGED_S: f64 = 900.0;

/// Noise, by what makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Independent,
    Bursts,
    SharedErrors,
    SharedSlow,
    Churn,
}

impl Kind {
    const EIGHT: [Self; 8] = [
        Self::Independent,
        Self::Bursts,
        Self::SharedSlow,
        Self::Independent,
        Self::Churn,
        Self::SharedErrors,
        Self::Independent,
        Self::Bursts,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Independent => "independent",
            Self::Bursts => "bursts",
            Self::SharedErrors => "shared errors",
            Self::SharedSlow => "shared slowness",
            Self::Churn => "churn",
        }
    }

    pub(crate) fn of(seed: u64) -> Self {
        Self::EIGHT[usize::try_from(seed % 8).expect("small")]
    }
}

/// A span in which so many fail or are slow.
#[derive(Clone, Copy, Debug)]
struct Episode {
    from: f64,
    to: f64,
    bad: f64,
    slow: f64,
}

/// How one version answers over the release.
#[derive(Clone, Debug)]
struct Voice {
    bad: f64,
    shape: Shape,
    slow: f64,
    wave: Option<(f64, f64)>,
    latency: Latency,
    episodes: Vec<Episode>,
    passed: usize,
    tuned: f64,
    fault: Fault,
}

impl Voice {
    fn answer(&mut self, chance: &mut Chance, seconds: f64) -> (Span, bool) {
        while self.episodes.get(self.passed).is_some_and(|episode| episode.to <= seconds) {
            self.passed += 1;
        }
        if let Some((period, phase)) = self.wave
            && seconds >= self.tuned
        {
            self.tuned = seconds + 5.0;
            self.latency =
                Latency::new(self.shape, LIMIT_MS, self.slow * wave(seconds, period, phase), MOST_MS);
        }
        let now = self.episodes.get(self.passed).filter(|episode| episode.from <= seconds);
        let (bad, slow) = now.map_or((0.0, 0.0), |episode| (episode.bad, episode.slow));
        let response = if chance.hits(slow) {
            span(chance.between(LIMIT_MS + 1.0, MOST_MS))
        } else {
            self.latency.draw(chance, 1.0)
        };
        (response, chance.hits(bad) || chance.hits(self.bad))
    }
}

/// Both voices of a release, the old one first; a level of 1.0 is half of what is promised. What they share is the new one's.
fn voices(seed: u64, chance: &mut Chance, levels: [f64; 2]) -> [Voice; 2] {
    let kind = Kind::of(seed);
    let shape = Shape::ALL[usize::try_from(chance.below(3)).expect("small")];
    let wave = chance.hits(0.25).then(|| (chance.log_between(300.0, 86_400.0), chance.unit()));
    // What the episodes take isn't there for the rest.
    let rest = match kind {
        Kind::SharedSlow => 0.2,
        Kind::Churn => 0.8,
        Kind::Independent | Kind::Bursts | Kind::SharedErrors => 1.0,
    };
    let most = levels.map(|level| (BAD_MOST * level, SLOW_MOST * level));
    let (bad, slow) = most[1];
    let common = match kind {
        Kind::SharedErrors => shared(chance, bad * JUDGED_S, |part| (part, 0.0)),
        Kind::SharedSlow => shared(chance, slow * (1.0 - rest) * JUDGED_S, |part| (0.0, part)),
        Kind::Independent | Kind::Bursts | Kind::Churn => vec![],
    };
    most.map(|(bad, slow)| Voice {
        bad: if kind == Kind::Independent { bad } else { 0.0 },
        shape,
        slow: slow * rest,
        wave,
        latency: Latency::new(shape, LIMIT_MS, slow * rest, MOST_MS),
        episodes: match kind {
            Kind::Bursts => bursts(chance, bad),
            Kind::Churn => churn(chance, bad, slow),
            Kind::Independent | Kind::SharedErrors | Kind::SharedSlow => common.clone(),
        },
        passed: 0,
        tuned: 0.0,
        fault: [Fault::Status, Fault::Reset, Fault::Closed, Fault::Body]
            [usize::try_from(chance.below(4)).expect("small")],
    })
}

/// Everything fails for less than the declared blip, now and then.
fn bursts(chance: &mut Chance, bad: f64) -> Vec<Episode> {
    let (low, high) = (0.02, 0.24);
    let mut episodes = vec![];
    let mut at = chance.wait(f64::midpoint(low, high) / bad);
    while at < JUDGED_S {
        let long = chance.between(low, high);
        episodes.push(Episode { from: at, to: at + long, bad: 1.0, slow: 0.0 });
        // Two within a blip of each other would be one that is longer than declared.
        at += long + 1.0 + chance.wait(f64::midpoint(low, high) / bad);
    }
    episodes
}

/// A task of five or more goes, and its connections with it; the one that takes its place is slow for a moment. One of three that
/// is slow for six seconds is a third of all answers: nothing tells that from a release that is too slow.
fn churn(chance: &mut Chance, bad: f64, slow: f64) -> Vec<Episode> {
    let part = 1.0 / f64::from(5 + chance.below(6));
    let (long, cold) = (chance.between(0.05, 0.2), chance.between(0.5, 2.0));
    let pause = long * part / bad;
    // The cold seconds take a fifth of what may be slow.
    let chilly = (0.2 * slow * pause / cold).min(part);
    let mut episodes = vec![];
    let mut at = pause * chance.unit();
    while at < JUDGED_S {
        episodes.push(Episode { from: at, to: at + long, bad: part, slow: 0.0 });
        episodes.push(Episode { from: at + long, to: at + long + cold, bad: 0.0, slow: chilly });
        at += (pause * chance.between(0.7, 1.3)).max(long + cold);
    }
    episodes
}

/// A few episodes that both versions share, `most` seconds' worth of failure together.
fn shared(chance: &mut Chance, most: f64, of: impl Fn(f64) -> (f64, f64)) -> Vec<Episode> {
    let count = 1 + chance.below(3);
    let each = most / f64::from(count);
    let mut episodes: Vec<Episode> = (0..count)
        .map(|index| {
            let part = chance.log_between(0.05, 1.0);
            let slot = JUDGED_S / f64::from(count);
            let long = (each / part).min(slot * 0.5);
            let from = slot * f64::from(index) + chance.between(0.0, slot - long);
            let (fails, lags) = of(part);
            Episode { from, to: from + long, bad: fails, slow: lags }
        })
        .collect();
    episodes.sort_by(|a, b| a.from.total_cmp(&b.from));
    episodes
}

/// Judge and guard when a release has just been cut over.
struct Opened {
    judge: Judge,
    guard: Guard,
    epoch: EpochId,
    now: Mono,
    versions: [VersionId; 2],
    state: ListenerState,
    health: Vec<GroupHealth>,
}

static OPENED: LazyLock<Vec<Opened>> = LazyLock::new(|| {
    (0..32)
        .map(|seed| {
            let mut story = Story::new(seed, 20.0, 20.0);
            story.only_until_judged = true;
            let mut rig = Rig::new(story);
            rig.run();
            assert!(rig.told.armed, "a release with a state to return to");
            Opened {
                versions: [rig.versions[0], rig.versions[1]],
                judge: rig.judge,
                guard: rig.guard,
                epoch: rig.epoch,
                now: rig.now,
                state: rig.state,
                health: rig.health,
            }
        })
        .collect()
});

/// How closely the judge is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// Where something can be new.
    Keen,
    /// After every sample.
    Always,
}

/// What came of a quiet release.
#[derive(Debug, Default)]
pub(crate) struct Quiet {
    /// When the judge first said bad, in seconds after the cutover, and why.
    pub(crate) bad: Option<(f64, String)>,
    pub(crate) written: bool,
    pub(crate) looks: u32,
    pub(crate) samples: u32,
    pub(crate) trace: String,
}

struct Run {
    judge: Judge,
    guard: Option<Guard>,
    opened: &'static Opened,
    gate: Gate,
    word: Word,
    looked: Mono,
    told: Quiet,
    watch: Watch,
    traced: bool,
}

impl Run {
    fn look(&mut self, now: Mono) {
        self.looked = now;
        self.told.looks += 1;
        let judgement = self.judge.judge(now);
        let word = Word::of(&judgement.verdict);
        if self.traced && word != self.word {
            let _ = writeln!(self.told.trace, "{} {} {}", now.0, word.0, word.1);
        }
        self.word = word;
        if let Verdict::Bad(evidence) = &judgement.verdict
            && self.told.bad.is_none()
        {
            let at = now.since(self.opened.now).as_secs_f64();
            self.told.bad = Some((at, evidence.to_string()));
        }
        self.guarded(now, Event::Judged(Box::new(judgement)));
    }

    /// The guard hears of it, and reads what it asks for at once.
    fn guarded(&mut self, now: Mono, event: Event) {
        let Some(guard) = &mut self.guard else { return };
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut out = vec![];
            guard.step(now, event, &mut out);
            for action in out {
                match action {
                    Action::Read(op, depth) => events.push(self.opened.read(op, depth)),
                    Action::Persist(op, _) => events.push(Event::Durable(op, Ok(()))),
                    Action::Write(..) | Action::Call(..) => self.told.written = true,
                    Action::Open(stage) => self.judge.open(stage),
                    Action::Pace(_)
                    | Action::Ask(_)
                    | Action::Verify(..)
                    | Action::Page(_)
                    | Action::Tag(_)
                    | Action::Revised
                    | Action::Note(_) => {}
                }
            }
        }
    }

    fn take(&mut self, mut sample: Sample, now: Mono, overdue: bool) {
        self.told.samples += u32::from(!overdue);
        let production = sample.purpose == Purpose::Production;
        let mut open = false;
        if overdue {
            self.judge.overdue(&sample, now);
            open = production && self.gate.takes(true);
        } else {
            sample.told_slow = sample.phases.first_byte > span(LIMIT_MS);
            self.judge.observe(&sample, now);
            if production && !sample.told_slow {
                self.gate.takes(false);
            }
        }
        let pause = match (open || production && sample.outcome != Outcome::Ok, self.word.0) {
            _ if self.watch == Watch::Always => 0,
            (true, _) => 2,
            (false, "good") => 30_000,
            (false, _) => 250,
        };
        if now.since(self.looked) >= Duration::from_millis(pause) {
            self.look(now);
        }
    }
}

impl Opened {
    fn read(&self, op: OpId, depth: Depth) -> Event {
        let observed = Observed {
            state: self.state.clone(),
            marks: (depth != Depth::Listener).then(|| Marks::of(Owner::Nobody)),
            health: (depth == Depth::Full).then(|| self.health.clone()),
        };
        Event::Read(op, Ok(observed))
    }

    fn sample(
        &self,
        chance: &mut Chance,
        voice: &mut Voice,
        purpose: Purpose,
        (tick, now): (u32, Mono),
    ) -> Sample {
        let mut sample = blank(self.epoch, purpose, now);
        let (response, bad) = voice.answer(chance, now.since(self.now).as_secs_f64());
        sample.phases.first_byte = response;
        sample.status = 200;
        let conn = chance.below(10);
        if purpose == Purpose::Production {
            (sample.conn, sample.addr) = (1 + conn, u16::from(conn.is_multiple_of(2)));
            sample.target = TargetId(u16::from(tick.is_multiple_of(2)));
            sample.version = self.versions[1];
        } else {
            (sample.conn, sample.addr) = (1_000 + conn, 100 + u16::try_from(tick % 3).expect("small"));
            sample.version = self.versions[0];
        }
        if bad {
            sample.outcome = Outcome::Bad(voice.fault);
            if voice.fault == Fault::Status {
                sample.status = 500;
            } else if voice.fault != Fault::Body {
                (sample.status, sample.version) = (0, VersionId::NONE);
            }
        }
        sample
    }
}

/// A quiet release, and how it is played.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Play {
    pub(crate) seed: u64,
    /// 1.0 is half of what is promised.
    pub(crate) level: f64,
    /// Only the new version is as noisy as that, and every one is; else both are, and every second one is quieter.
    pub(crate) only_new: bool,
    pub(crate) watch: Watch,
    pub(crate) seconds: u32,
    pub(crate) traced: bool,
}

impl Play {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, level: 1.0, only_new: false, watch: Watch::Keen, seconds: 900, traced: false }
    }
}

/// Plays it.
pub(crate) fn quiet(Play { seed, level, only_new, watch, seconds, traced }: Play) -> Quiet {
    let opened = &OPENED[usize::try_from(seed % 32).expect("small")];
    let mut chance = Chance::new(seed ^ 0x0071_u64.rotate_left(40));
    let noisy = only_new || seed / 8 % 2 == 0;
    let level = if noisy { level } else { level * chance.log_between(0.02, 1.0) };
    let [mut old, mut new] = voices(seed, &mut chance, [if only_new { 1.0 } else { level }, level]);
    let guard = seed.is_multiple_of(20).then(|| opened.guard.clone());
    let word = Word("", "");
    let judge = opened.judge.clone();
    let mut run = Run {
        judge,
        guard,
        opened,
        gate: Gate::default(),
        word,
        looked: Mono(0),
        told: Quiet::default(),
        watch,
        traced,
    };
    let phase = STEP.mul_f64(chance.unit());
    // In flight, the next to arrive last.
    let mut flights: Vec<(Mono, Sample, bool)> = vec![];
    for tick in 0..seconds * RATE_HZ {
        let base = opened.now.after(STEP * tick);
        for (now, purpose) in [(base, Purpose::Production), (base.after(phase), Purpose::Direct)] {
            while flights.last().is_some_and(|(at, ..)| *at <= now) {
                let (at, sample, overdue) = flights.pop().expect("there is one");
                run.take(sample, at, overdue);
            }
            let voice = if purpose == Purpose::Production { &mut new } else { &mut old };
            let sample = opened.sample(&mut chance, voice, purpose, (tick, now));
            if sample.phases.first_byte > span(LIMIT_MS) {
                let untold =
                    Sample { version: VersionId::NONE, status: 0, outcome: Outcome::Ok, ..sample.clone() };
                fly(&mut flights, now.after(span(LIMIT_MS).duration()), untold, true);
            }
            fly(&mut flights, sample.done(), sample, false);
        }
        if tick % 10 == 0 {
            let control = Sample { conn: 2_000, status: 200, ..blank(opened.epoch, Purpose::Control, base) };
            run.judge.observe(&control, base);
        }
        if tick % 20 == 0 {
            run.guarded(base, Event::Tick);
        }
    }
    run.told
}

fn fly(flights: &mut Vec<(Mono, Sample, bool)>, at: Mono, sample: Sample, overdue: bool) {
    let place = flights.partition_point(|(other, ..)| *other > at);
    flights.insert(place, (at, sample, overdue));
}
