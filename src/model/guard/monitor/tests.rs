//! A way to a call that is as it should be, and everything that could be wrong with it, one at a time.

use super::*;
use crate::guard::rig::{NOW, armed, broken, health, intent, rule, shows as read_of, state};
use crate::guard::{Full, Guard, Marks, Page, ReadError};
use crate::listener::Stickiness;
use crate::owner::Owner;
use crate::plan;
use crate::verdict::Why;
use std::cell::Cell;

thread_local! {
    static ASLEEP: Cell<bool> = const { Cell::new(false) };
}

/// From now on the monitor says nothing on this thread, or everything again.
pub(crate) fn sleep(asleep: bool) {
    ASLEEP.set(asleep);
}

pub(super) fn is_asleep() -> bool {
    ASLEEP.get()
}

const SECOND: Duration = Duration::from_secs(1);

/// A monitor that has seen everything up to the last read before the write, and the write.
struct Way {
    monitor: Monitor,
    guard: Guard,
    intent: Box<Intent>,
    op: u64,
    now: Mono,
}

fn page(kind: PageKind) -> Action {
    Action::Page(Page { kind, text: "".into(), dry_run: false, epoch: EpochId(1), release: None })
}

impl Way {
    /// Nothing was seen yet.
    fn new() -> Self {
        let guard = armed();
        sleep(false);
        let intent = intent(&guard);
        let monitor = Monitor::new(&guard.policy, &Recovered::default(), NOW);
        Self { monitor, guard, intent, op: 0, now: NOW }
    }

    fn of_two() -> Self {
        let mut way = Self::new();
        let live: ListenerState = vec![rule("443", 0, 1), rule("80", 0, 1)].into();
        let before: ListenerState = vec![rule("443", 1, 0), rule("80", 1, 0)].into();
        way.intent.writes = plan::revert(&live, &before, plan::Style::Weights).unwrap();
        way.intent.before = live;
        way
    }

    fn op(&mut self) -> OpId {
        self.op += 1;
        OpId(self.op)
    }

    fn hear(&mut self, event: &Event) -> &mut Self {
        self.monitor.hear(event);
        self
    }

    fn read(&mut self, observed: Observed) -> &mut Self {
        let op = self.op();
        self.hear(&Event::Read(op, Ok(observed)))
    }

    fn full(&self) -> Observed {
        Observed {
            state: self.intent.before.clone(),
            marks: Some(Marks::of(Owner::Nobody)),
            health: Some(vec![health("b", 1, HealthState::Healthy), health("g", 1, HealthState::Healthy)]),
        }
    }

    /// The breach, and what preflight reads.
    fn broken(&mut self) -> &mut Self {
        let (word, full) = (broken(&self.guard), self.full());
        self.hear(&word);
        self.read(full)
    }

    fn look(&mut self, actions: &[Action]) -> Result<(), String> {
        self.monitor.look(self.now, actions)
    }

    fn note(&mut self, record: Record) -> &mut Self {
        self.look(&[Action::note(record)]).unwrap();
        self
    }

    fn persist(&mut self) -> Result<OpId, String> {
        let op = self.op();
        let intent = self.intent.clone();
        self.look(&[Action::Persist(op, intent)]).map(|()| op)
    }

    /// The intent is on disk.
    fn durable(&mut self) -> &mut Self {
        let op = self.persist().unwrap();
        self.hear(&Event::Durable(op, Ok(())))
    }

    /// Up to the last read before the write.
    fn ready(&mut self) -> &mut Self {
        let last = read_of(self.intent.before.clone());
        self.broken().durable().read(last)
    }

    fn write(&mut self, index: usize) -> Result<(), String> {
        let (op, write) = (self.op(), self.intent.writes[index].clone());
        self.look(&[Action::Write(op, write)])
    }

    fn wrote(&mut self, outcome: &str, arn: &str) -> &mut Self {
        let (intent, outcome) = (self.intent.id, outcome.into());
        self.note(Record::Wrote { intent, outcome, detail: "".into(), arn: arn.into() })
    }

    fn call(&mut self, deployment: &str) -> Result<(), String> {
        let op = self.op();
        self.look(&[Action::Call(op, stop(deployment))])
    }
}

fn stop(deployment: &str) -> Call {
    Call::StopServiceDeployment { deployment: deployment.into() }
}

/// The invariant that it breaks.
fn breaks(result: Result<(), String>) -> String {
    let why = result.unwrap_err();
    why.split(':').next().unwrap().to_owned()
}

#[test]
fn what_is_as_it_should_be_goes_out() {
    assert_eq!(Way::new().ready().write(0), Ok(()));
}

#[test]
fn i1_no_call_without_its_own_intent_on_disk() {
    assert_eq!(breaks(Way::new().broken().write(0)), "I1", "none");
    let mut asked = Way::new();
    let last = read_of(asked.intent.before.clone());
    let op = asked.broken().persist().unwrap();
    assert_eq!(breaks(asked.read(last.clone()).write(0)), "I1", "not on disk yet");
    asked.hear(&Event::Durable(OpId(op.0 + 50), Ok(()))).read(last.clone());
    assert_eq!(breaks(asked.write(0)), "I1", "another was put on disk");
    asked.hear(&Event::Durable(op, Err(Full("".into())))).read(last.clone());
    assert_eq!(breaks(asked.write(0)), "I1", "it can't be put on disk");
    asked.hear(&Event::Durable(op, Ok(()))).read(last);
    assert_eq!(asked.write(0), Ok(()));
    let mut other = Way::new();
    other.ready();
    other.intent.writes[0].becomes = state(7, 7).rule("l").unwrap().fingerprint();
    assert_eq!(breaks(other.write(0)), "I1", "another write");
    let (mut over, mut held, mut others) = (Way::new(), Way::new(), Way::new());
    let id = over.intent.id;
    over.ready().note(Record::Abandoned { intent: id, why: "".into() });
    assert_eq!(breaks(over.write(0)), "I1", "it is over");
    others.ready().note(Record::Abandoned { intent: IntentId(id.0 + 1), why: "".into() });
    assert_eq!(others.write(0), Ok(()), "another one is over");
    let release = held.intent.release;
    held.ready().note(Record::Held { release, reason: "".into(), needs_human: true });
    assert_eq!(breaks(held.write(0)), "I1", "nothing more is done for its release");
}

#[test]
fn i2_one_sequence_for_a_release_and_nothing_is_done_twice() {
    let mut way = Way::new();
    let release = way.intent.release;
    way.broken().note(Record::Held { release, reason: "".into(), needs_human: false });
    assert_eq!(breaks(way.persist().map(|_| ())), "I2");
    way.intent.release = ReleaseId(release.0 + 1);
    assert!(way.persist().is_ok(), "of another release");
    let memory = |latch| {
        let release = crate::recover::Remembered {
            id: release,
            label: None,
            base: None,
            cutover_ago: SECOND,
            first: EpochId(1),
            irreversible: false,
            latch,
            over: false,
        };
        Recovered { release: Some(release), ..Recovered::default() }
    };
    let mut restarted = Way::new();
    restarted.monitor = Monitor::new(&restarted.guard.policy, &memory(Some(("partial", true))), NOW);
    assert_eq!(breaks(restarted.broken().persist().map(|_| ())), "I2", "held before a restart");
    restarted.monitor = Monitor::new(&restarted.guard.policy, &memory(None), NOW);
    assert!(restarted.broken().persist().is_ok());
    // Somebody undoes what a read has shown.
    let mut undone = Way::new();
    undone.ready().write(0).unwrap();
    let (before, after) =
        (undone.intent.before.clone(), plan::after(&undone.intent.before, &undone.intent.writes));
    undone.wrote("accepted", "l").read(read_of(after.clone())).read(read_of(before.clone()));
    assert_eq!(breaks(undone.write(0)), "I2");
    let mut foreign = Way::new();
    foreign.ready().read(read_of(after)).read(read_of(before));
    assert_eq!(foreign.write(0), Ok(()), "it was somebody else's, before ours");
}

#[test]
fn i3_the_newest_word_is_bad_and_fresh() {
    let word = |verdict, epoch: i64| {
        move |way: &mut Way| {
            let Event::Judged(mut judgement) = broken(&way.guard) else { panic!() };
            judgement.verdict = verdict;
            judgement.epoch = EpochId((i64::from(judgement.epoch.0) + epoch).try_into().unwrap());
            way.hear(&Event::Judged(judgement));
        }
    };
    let bad = || Verdict::Bad(crate::guard::rig::evidence());
    let mut way = Way::new();
    way.ready();
    for good in [Verdict::Good, Verdict::Inconclusive(Why::Suspect)] {
        word(good, 0)(&mut way);
        assert_eq!(breaks(way.write(0)), "I3");
    }
    word(bad(), 1)(&mut way);
    assert_eq!(breaks(way.write(0)), "I3", "of another epoch");
    word(bad(), 0)(&mut way);
    way.now = NOW.after(way.monitor.evidence_age_max);
    way.intent.deadline = way.now.after(SECOND);
    way.durable();
    let last = read_of(way.intent.before.clone());
    assert_eq!(way.read(last.clone()).write(0), Ok(()));
    way.read(last.clone()).now = way.now.after(Duration::from_nanos(1));
    assert_eq!(breaks(way.write(0)), "I3", "the evidence is old");
    way.now = way.intent.deadline;
    way.monitor.evidence_age_max = Duration::from_hours(1);
    assert_eq!(way.write(0), Ok(()));
    way.read(last).now = way.intent.deadline.after(Duration::from_nanos(1));
    assert_eq!(breaks(way.write(0)), "I3", "its deadline is over");
    let mut epoch = Way::new();
    epoch.ready().note(Record::Epoch {
        epoch: EpochId(9),
        cause: crate::release::Cause::Foreign,
        release: None,
        label: None,
        state: None,
        shows: "".into(),
        after: NOW,
        since: NOW,
    });
    assert_eq!(breaks(epoch.write(0)), "I3", "an epoch's word is not another's");
}

#[test]
fn i3_what_has_begun_is_finished_without_a_word_and_within_ten_seconds() {
    let mut way = Way::of_two();
    way.ready().write(0).unwrap();
    let half = plan::after(&way.intent.before, &way.intent.writes[..1]);
    way.wrote("accepted", "443").read(read_of(half.clone()));
    way.monitor.bad = None;
    way.monitor.health.clear();
    way.now = way.intent.deadline.after(FINISH);
    assert_eq!(way.write(1), Ok(()));
    way.now = way.now.after(Duration::from_nanos(1));
    assert_eq!(breaks(way.read(read_of(half)).write(1)), "I3");
}

#[test]
fn i4_as_many_healthy_targets_as_the_floor_wants() {
    for (state, count, goes) in [
        (HealthState::Healthy, 2, true),
        (HealthState::Unused, 2, true),
        (HealthState::Healthy, 1, false),
        (HealthState::Draining, 5, false),
        (HealthState::Unhealthy, 5, false),
        (HealthState::Initial, 5, false),
    ] {
        let mut way = Way::new();
        way.monitor.healthy_min = 2;
        way.ready();
        let health = vec![health("b", count, state), health("g", 9, HealthState::Healthy)];
        let full = Observed { health: Some(health), ..way.full() };
        let result = way.read(full).write(0);
        assert_eq!(result.is_ok(), goes, "{state:?} {count}: {result:?}");
        assert!(goes || breaks(result) == "I4");
    }
}

#[test]
fn i5_only_over_the_before_image_as_it_was_read_last() {
    let mut unread = Way::new();
    assert_eq!(breaks(unread.broken().durable().write(0)), "I5", "no read since the intent");
    let mut moved = Way::new();
    assert_eq!(breaks(moved.ready().read(read_of(state(50, 50))).write(0)), "I5", "somebody moved it");
    let mut gone = Way::new();
    assert_eq!(breaks(gone.ready().read(read_of(rule("other", 0, 1).into())).write(0)), "I5", "it is gone");
    let mut image = Way::new();
    image.intent.before = state(5, 5);
    let live = image.intent.writes[0].clone();
    assert_eq!(live.over, state(0, 1).rule("l").unwrap().fingerprint());
    image.ready().read(read_of(state(0, 1)));
    assert_eq!(breaks(image.write(0)), "I5", "that isn't the before-image");
    // A read that was asked for before one that has come back says nothing new.
    let mut late = Way::new();
    late.ready();
    late.hear(&Event::Read(OpId(1), Ok(read_of(state(50, 50)))));
    late.hear(&Event::Read(OpId(90), Err(ReadError::Timeout)));
    assert_eq!(late.write(0), Ok(()));
}

#[test]
fn i6_all_but_the_forward_stays_and_is_understood() {
    let mut odd = Way::new();
    let mut live = rule("l", 0, 1);
    live.unknown.push("NewThing".into());
    odd.intent.before = live.clone().into();
    odd.intent.writes[0].over = live.fingerprint();
    assert_eq!(breaks(odd.ready().write(0)), "I6", "not understood");
    let mut lost = Way::new();
    let mut to = lost.intent.writes[0].to.clone();
    to.stickiness = Some(Stickiness { enabled: Some(true), duration_s: Some(60) });
    lost.intent.writes[0].to = to;
    assert_eq!(breaks(lost.ready().write(0)), "I6", "it would not become what it says");
}

#[test]
fn i7_nobody_holds() {
    let marks = |hold: Option<&str>, irreversible: Option<&str>| Marks {
        hold: hold.map(Into::into),
        irreversible: irreversible.map(Into::into),
        ..Marks::of(Owner::Nobody)
    };
    let mut tagged = Way::new();
    let full = tagged.full();
    let with = |marks| Observed { marks: Some(marks), ..full.clone() };
    tagged.ready().read(with(marks(Some("me"), None)));
    assert_eq!(breaks(tagged.write(0)), "I7");
    tagged.read(read_of(state(0, 1)));
    assert_eq!(breaks(tagged.write(0)), "I7", "a read without tags doesn't take it back");
    tagged.read(with(marks(None, Some("yes"))));
    assert_eq!(breaks(tagged.write(0)), "I7", "irreversible");
    assert_eq!(tagged.read(with(marks(None, None))).write(0), Ok(()));
    let mut word = Way::new();
    word.ready().hear(&Event::Operator(Command::Hold { reason: "me".into() }));
    word.hear(&Event::Operator(Command::Ack));
    assert_eq!(breaks(word.write(0)), "I7");
    assert_eq!(word.hear(&Event::Operator(Command::Unhold)).write(0), Ok(()));
    let mut before = Way::new();
    let memory = Recovered { hold: Some("me".into()), ..Recovered::default() };
    before.monitor = Monitor::new(&before.guard.policy, &memory, NOW);
    assert_eq!(breaks(before.ready().write(0)), "I7", "held before a restart");
    let policy = |mode, way: &Way| {
        let policy = GuardPolicy { mode, ..way.guard.policy.clone() };
        Event::Revise(Box::new(policy))
    };
    let mut observes = Way::new();
    let (observe, act) = (policy(Mode::Observe, &observes), policy(Mode::Act, &observes));
    observes.ready().hear(&observe);
    assert_eq!(breaks(observes.write(0)), "I7", "a policy that only observes counts before it holds");
    assert_eq!(observes.hear(&act).write(0), Ok(()));
    let mut only = Way::new();
    let begun = GuardPolicy { mode: Mode::Observe, ..only.guard.policy.clone() };
    only.monitor = Monitor::new(&begun, &Recovered::default(), NOW);
    assert_eq!(breaks(only.ready().write(0)), "I7");
}

#[test]
fn i8_what_has_begun_has_an_end_before_anything_else_begins() {
    let mut way = Way::new();
    way.ready();
    assert!(way.persist().is_ok(), "nothing has begun");
    way.durable();
    let (last, id) = (read_of(way.intent.before.clone()), way.intent.id);
    way.read(last).write(0).unwrap();
    way.wrote("refused", "l");
    assert!(way.persist().is_ok(), "AWS said no");
    way.wrote("accepted", "l");
    assert_eq!(breaks(way.persist().map(|_| ())), "I8");
    way.note(Record::Abandoned { intent: id, why: "".into() });
    assert!(way.persist().is_ok());
}

#[test]
fn i9_between_two_calls_stands_a_read_that_was_asked_for_after_the_first() {
    let mut way = Way::new();
    way.ready();
    let early = way.op();
    way.write(0).unwrap();
    assert_eq!(breaks(way.write(0)), "I9");
    way.hear(&Event::Read(early, Ok(read_of(state(0, 1)))));
    assert_eq!(breaks(way.write(0)), "I9", "it was asked for before");
    assert_eq!(way.read(read_of(state(0, 1))).write(0), Ok(()));
}

mod ends;
