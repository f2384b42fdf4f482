//! The real judge and the real guard, in virtual time, with no more of a world around them than a release needs.
//!
//! The judge is asked after every sample that can change its word: a bad or void one, a slow one where there are many
//! (`gate.rs`), and any while the word isn't good; and from time to time besides. The daemon asks at least as often.

use crate::cast::{blank, probe};
use crate::chance::Chance;
use crate::gate::Gate;
use crate::story::{Deed, LIMIT_MS, Place, Story};
use crate::told::{Told, Word};
use crate::world::{BLUE, GREEN, RED, forward, targets};
use serin_model::guard::{
    Action, Cadence, Depth, Event, Full, Guard, Marks, Observed, OpId, Proof, ReadError, WriteOutcome,
};
use serin_model::judge::Judge;
use serin_model::listener::{GroupHealth, ListenerState};
use serin_model::owner::Owner;
use serin_model::plan::{Write, after};
use serin_model::record::{Intent, Record};
use serin_model::recover::recover;
use serin_model::release::{Baseline, EpochId, Stage};
use serin_model::sample::{Ours, Outcome, Purpose, Sample, Taint};
use serin_model::target::VersionId;
use serin_model::time::{Mono, Wall};
use serin_model::verdict::Verdict;
use std::collections::BTreeSet;
use std::time::Duration;

#[cfg(test)]
mod deeds;

/// Target groups by colour.
pub(crate) const COLOURS: [&str; 3] = [BLUE, GREEN, RED];
/// Probes a second in peace: production, the old version asked directly, the control always.
/// In doubt the old version is asked as often as production is, up to this.
const DOUBT_HZ: f64 = 100.0;
const CALM: (f64, f64, f64) = (5.0, 1.0, 2.0);

/// What AWS does to our reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Throttled,
    Denied,
    Lost,
}

/// Something that comes back to us.
enum Arrival {
    Done(Sample),
    Overdue(Sample),
    Read(OpId, Depth),
    Persisted(OpId, Box<Intent>),
    Wrote(OpId, Write),
    Proved(OpId),
}

#[expect(clippy::struct_excessive_bools, reason = "each is one thing that happens")]
pub(crate) struct Rig {
    pub(crate) now: Mono,
    zero: Mono,
    story: Story,
    deeds: Vec<(Mono, Deed)>,
    pub(crate) chance: Chance,
    pub(crate) judge: Judge,
    pub(crate) guard: Guard,
    pub(crate) versions: [VersionId; 3],
    pub(crate) state: ListenerState,
    pub(crate) health: Vec<GroupHealth>,
    pub(crate) marks: Marks,
    pub(crate) trouble: Option<Trouble>,
    pub(crate) ledger_full: bool,
    /// The guard isn't told of the judge's word.
    pub(crate) unheard: bool,
    /// The versions of the colours.
    pub(crate) names: [&'static str; 3],
    /// The group that gets requests, with the share of it, from when on.
    routes: Vec<(Mono, [f64; 3])>,
    pub(crate) epoch: EpochId,
    fast: bool,
    /// The judge is in doubt: the old version is asked more often.
    doubt: bool,
    asked: Option<usize>,
    /// The next to arrive is last.
    arrivals: Vec<(Mono, u64, Arrival)>,
    count: u64,
    due: [Mono; 3],
    asked_count: [u32; 3],
    next_look: Mono,
    looked: Mono,
    told_at: Mono,
    gate: Gate,
    ledger: Vec<(Wall, Record)>,
    wall_jump_ms: i64,
    pub(crate) told: Told,
    over: bool,
}

/// Plays a story to its end, or to its first write.
pub(crate) fn play(story: Story) -> Told {
    let mut rig = Rig::new(story);
    rig.run();
    rig.told
}

/// All the weight is one colour's.
fn colour(group: usize, old: usize) -> ListenerState {
    let other = if group == old { 1 - old } else { old };
    forward(&[(COLOURS[other], 0), (COLOURS[group], 100)])
}

impl Rig {
    pub(crate) fn new(mut story: Story) -> Self {
        let now = Mono::default().after(Duration::from_secs_f64(story.origin));
        let zero = now.after(Duration::from_secs_f64(story.span.0));
        let mut chance = story.chance();
        let mut deeds = std::mem::take(&mut story.deeds);
        let (old, new) = (story.old, 1 - story.old);
        deeds.push((0.0, Box::new(move |rig| rig.set(colour(new, old)))));
        deeds.sort_by(|a, b| b.0.total_cmp(&a.0));
        let group = |index: usize| GroupHealth {
            group: COLOURS[index].into(),
            targets: targets(&format!("10.0.{}", index + 1), 3),
        };
        let state = colour(old, old);
        let mut share = [0.0; 3];
        share[old] = 1.0;
        let due = CALM_PERIODS.map(|period| now.after(Duration::from_secs_f64(period * chance.unit())));
        let mut rig = Self {
            now,
            zero,
            deeds: vec![],
            judge: Judge::new(story.judge.clone(), nothing_known(now)),
            guard: Guard::new(story.guard.clone(), recover([], Wall(0)), now),
            versions: [VersionId::NONE; 3],
            state,
            health: (0..3).map(group).collect(),
            marks: Marks::of(Owner::Nobody),
            trouble: None,
            ledger_full: false,
            unheard: false,
            names: ["v1", "v2", "v3"],
            routes: vec![(Mono(0), share)],
            epoch: EpochId(u32::MAX),
            fast: false,
            doubt: false,
            asked: None,
            arrivals: vec![],
            count: 0,
            due,
            asked_count: [0; 3],
            next_look: now,
            looked: now,
            told_at: now,
            gate: Gate::default(),
            ledger: vec![],
            wall_jump_ms: 0,
            told: Told::new(story.traced),
            over: false,
            chance,
            story,
        };
        rig.deeds = deeds.into_iter().map(|(at, deed)| (rig.mono(at), deed)).collect();
        rig.name_versions();
        rig.step(Event::Tick);
        rig
    }

    /// Seconds after the cutover.
    pub(crate) fn seconds(&self) -> f64 {
        self.now.since(self.zero).as_secs_f64() - self.zero.since(self.now).as_secs_f64()
    }

    fn mono(&self, seconds: f64) -> Mono {
        if seconds < 0.0 {
            self.zero.before(Duration::from_secs_f64(-seconds))
        } else {
            self.zero.after(Duration::from_secs_f64(seconds))
        }
    }

    fn name_versions(&mut self) {
        self.versions = self.names.map(|name| self.judge.versions.intern(name));
    }

    fn wall(&self) -> Wall {
        Wall(i64::try_from(self.now.0 / 1_000_000).expect("a short story") + self.wall_jump_ms)
    }

    pub(crate) fn run(&mut self) {
        let end = self.mono(self.story.span.1);
        let freezes: Vec<(Mono, Mono)> =
            self.story.freezes.iter().map(|(from, to)| (self.mono(*from), self.mono(*to))).collect();
        while !self.over {
            let arrival = self.arrivals.last().map_or(Mono(u64::MAX), |(at, ..)| *at);
            let deed = self.deeds.last().map_or(Mono(u64::MAX), |(at, _)| *at);
            let probe = self.due.into_iter().min().unwrap_or_default();
            let wake = self.guard.wake_at();
            let next = arrival.min(deed).min(probe).min(wake).min(self.next_look).max(self.now);
            if next >= end {
                break;
            }
            if let Some((_, to)) = freezes.iter().find(|(from, to)| *from <= next && next < *to)
                && next != deed
            {
                self.thaw(*to);
                continue;
            }
            self.now = next;
            if next == deed {
                let (_, deed) = self.deeds.pop().expect("it is the next");
                deed(self);
            } else if next == arrival {
                let (_, _, arrival) = self.arrivals.pop().expect("it is the next");
                self.arrive(arrival);
            } else if next == probe {
                let index = self.due.iter().position(|due| *due == next).expect("it is the next");
                self.probe(index);
            } else if next >= self.next_look {
                self.look();
            } else {
                self.step(Event::Tick);
            }
        }
    }

    /// Nothing of ours ran until `to`: what came meanwhile is read then, what was due meanwhile was not sent.
    fn thaw(&mut self, to: Mono) {
        let mut missed = 0;
        for (index, purpose) in PURPOSES.into_iter().enumerate() {
            let period = self.period(index);
            while self.due[index] < to {
                let sample = Sample {
                    outcome: Outcome::Missed(Ours::Late),
                    ..blank(self.epoch, purpose, self.due[index])
                };
                if missed < 100 {
                    self.judge.observe(&sample, to);
                }
                missed += 1;
                self.due[index] = self.due[index].after(period);
            }
        }
        for (at, _, arrival) in &mut self.arrivals {
            if *at < to {
                *at = to;
                if let Arrival::Done(sample) = arrival {
                    sample.taint = Taint::Stalled;
                    sample.phases.body = serin_model::time::Span::of(to.since(sample.done()));
                }
            }
        }
        self.arrivals.sort_by_key(|(at, count, _)| std::cmp::Reverse((*at, *count)));
        self.now = to;
        self.look();
    }

    fn period(&self, index: usize) -> Duration {
        let (production, direct) = self.story.rates;
        let direct = if self.doubt { direct.max(production.min(DOUBT_HZ)) } else { direct };
        let release = [1.0 / production, 1.0 / direct, CALM_PERIODS[2]];
        Duration::from_secs_f64(if self.fast { release[index] } else { CALM_PERIODS[index] })
    }

    fn probe(&mut self, index: usize) {
        self.due[index] = self.now.after(self.period(index));
        let purpose = PURPOSES[index];
        let old = self.story.old;
        let place = |group: usize| match group {
            2 => Place::Third,
            group if group == old => Place::Old,
            _ => Place::New,
        };
        let group = match purpose {
            Purpose::Production => Some(self.route()),
            Purpose::Direct => self.asked,
            Purpose::Control => None,
        };
        if purpose == Purpose::Direct && group.is_none()
            || purpose == Purpose::Control && !self.story.has_control
        {
            return;
        }
        let group = group.map(|group| (place(group), self.versions[group]));
        self.asked_count[index] += 1;
        let when = (self.seconds(), self.now);
        let count = self.asked_count[index];
        let Some(sample) = probe(&self.story, &mut self.chance, count, when, (purpose, self.epoch), group)
        else {
            return;
        };
        let limit = Duration::from_secs_f64(LIMIT_MS / 1e3);
        if purpose != Purpose::Control && sample.response().duration() > limit && sample.taint == Taint::Clean
        {
            let at = self.now.after(limit);
            let bare = Sample { version: VersionId::NONE, status: 0, outcome: Outcome::Ok, ..sample.clone() };
            self.later(at, Arrival::Overdue(bare));
        }
        self.later(sample.done(), Arrival::Done(sample));
    }

    fn route(&mut self) -> usize {
        let share =
            self.routes.iter().rev().find(|(at, _)| *at <= self.now).map_or([0.0; 3], |(_, share)| *share);
        let mut left = if share.contains(&1.0) { 0.5 } else { self.chance.unit() };
        for (group, share) in share.into_iter().enumerate() {
            left -= share;
            if left < 0.0 {
                return group;
            }
        }
        self.story.old
    }

    fn later(&mut self, at: Mono, arrival: Arrival) {
        self.count += 1;
        let key = (at.max(self.now), self.count);
        let place = self.arrivals.partition_point(|(at, count, _)| (*at, *count) > key);
        self.arrivals.insert(place, (key.0, key.1, arrival));
    }

    fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Overdue(sample) => {
                self.judge.overdue(&sample, self.now);
                let open = sample.purpose == Purpose::Production && self.gate.takes(true);
                self.look_after(if open { 20 } else { 50 }, open);
            }
            Arrival::Done(mut sample) => {
                let limit = Duration::from_secs_f64(LIMIT_MS / 1e3);
                sample.told_slow = sample.response().duration() > limit;
                let news = self.judge.observe(&sample, self.now);
                if let Some(notice) = news {
                    self.step(Event::Notice(notice));
                }
                if sample.purpose == Purpose::Production && !sample.told_slow {
                    self.gate.takes(false);
                }
                let speaks = sample.outcome != Outcome::Ok || sample.taint != Taint::Clean;
                self.look_after(if speaks { 2 } else { 50 }, speaks);
            }
            Arrival::Read(op, depth) => self.serve(op, depth),
            Arrival::Persisted(op, intent) => {
                let result = if self.ledger_full {
                    Err(Full("no space left on device".into()))
                } else {
                    self.ledger.push((self.wall(), Record::Intent(*intent)));
                    Ok(())
                };
                self.step(Event::Durable(op, result));
            }
            Arrival::Wrote(op, write) => {
                self.set(after(&self.state, &[write]));
                self.step(Event::Wrote(op, WriteOutcome::Accepted("request-1".into())));
            }
            Arrival::Proved(op) => self.step(Event::Verified(op, Proof::Shown { answers: 40, addresses: 2 })),
        }
    }

    fn serve(&mut self, op: OpId, depth: Depth) {
        let result = match self.trouble {
            Some(Trouble::Lost) => return,
            Some(Trouble::Throttled) => Err(ReadError::Throttled),
            Some(Trouble::Denied) => Err(ReadError::Denied("elasticloadbalancing:DescribeRules".into())),
            None => Ok(Observed {
                state: self.state.clone(),
                marks: (depth != Depth::Listener).then(|| self.marks.clone()),
                health: (depth == Depth::Full).then(|| self.health.clone()),
            }),
        };
        self.step(Event::Read(op, result));
    }

    /// Not sooner than `pause_ms` after the last look; `speaks`: even though all is well so far.
    fn look_after(&mut self, pause_ms: u64, speaks: bool) {
        let wanted = speaks || self.told.word.0 != "good";
        if wanted && self.now.since(self.looked) >= Duration::from_millis(pause_ms) {
            self.look();
        }
    }

    fn look(&mut self) {
        self.looked = self.now;
        let judgement = self.judge.judge(self.now);
        if std::mem::replace(&mut self.doubt, judgement.doubt) != judgement.doubt {
            self.due[1] = self.due[1].min(self.now.after(self.period(1)));
        }
        let word = Word::of(&judgement.verdict);
        self.next_look = self.now.after(Duration::from_millis(if word.0 == "good" { 1_000 } else { 50 }));
        let news = self.told.said(self.seconds(), word);
        let bad = matches!(judgement.verdict, Verdict::Bad(_));
        if (news || bad || self.now.since(self.told_at) >= Duration::from_millis(100)) && !self.unheard {
            self.told_at = self.now;
            self.step(Event::Judged(Box::new(judgement)));
        }
    }

    pub(crate) fn step(&mut self, event: Event) {
        let mut out = vec![];
        self.guard.step(self.now, event, &mut out);
        for action in out {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        let seconds = self.seconds();
        self.told.acted(seconds, &action);
        match action {
            Action::Open(stage) => {
                self.over |= self.story.only_until_judged && stage.release;
                self.epoch = stage.epoch;
                self.judge.open(stage);
            }
            Action::Pace(cadence) => {
                self.fast = cadence == Cadence::Release;
                for index in 0..3 {
                    let period = self.period(index).mul_f64(self.chance.unit());
                    self.due[index] = self.due[index].min(self.now.after(period));
                }
            }
            Action::Ask(asked) => self.asked = asked.first().map(|target| group_of(target)),
            Action::Read(op, depth) => {
                let at = self.now.after(Duration::from_secs_f64(self.chance.between(0.02, 0.08)));
                self.later(at, Arrival::Read(op, depth));
            }
            Action::Persist(op, intent) => {
                let at = self.now.after(Duration::from_secs_f64(self.chance.between(0.001, 0.006)));
                self.later(at, Arrival::Persisted(op, intent));
            }
            Action::Write(op, write) => {
                self.over = self.story.stops;
                let at = self.now.after(Duration::from_secs_f64(self.chance.between(0.02, 0.08)));
                self.later(at, Arrival::Wrote(op, write));
            }
            Action::Verify(op, _) => {
                let at = self.now.after(Duration::from_secs(2));
                self.later(at, Arrival::Proved(op));
            }
            // Nobody owns the listener of these stories.
            Action::Page(_) | Action::Tag(_) | Action::Revised | Action::Call(..) => {}
            Action::Note(record) => {
                let stands_down =
                    matches!(&*record, Record::Paged { text, .. } if text.contains("an invariant is broken"));
                assert!(!stands_down, "the guard's own monitor says: {record:?}");
                self.ledger.push((self.wall(), *record));
            }
        }
    }
}

const PURPOSES: [Purpose; 3] = [Purpose::Production, Purpose::Direct, Purpose::Control];
const CALM_PERIODS: [f64; 3] = [1.0 / CALM.0, 1.0 / CALM.1, 1.0 / CALM.2];

/// The colour of a registered target, by its third octet.
fn group_of(target: &str) -> usize {
    target.split('.').nth(2).and_then(|octet| octet.parse::<usize>().ok()).map_or(0, |octet| octet - 1)
}

fn nothing_known(now: Mono) -> Stage {
    Stage {
        epoch: EpochId(u32::MAX),
        after: now,
        since: now,
        cutover: now,
        release: false,
        old_versions: BTreeSet::new(),
        one_has_all: true,
        baseline: Baseline::default(),
    }
}
