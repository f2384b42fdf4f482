//! The last look at everything that is asked for: what must be true of every call, whatever the guard thinks.
//!
//! It hears what the guard hears and sees what it asks for, keeps a memory of its own, and reads nothing of the guard's. A call that breaks
//! an invariant is taken back before anybody sees it: somebody is told, and the process acts no more. None has ever been; were there one, the guard
//! would be wrong somewhere, and nothing that it says of itself would be worth anything.
//!
//! | | invariant |
//! |---|---|
//! | I1 | no call without its intent on disk |
//! | I2 | one sequence of calls for a release; what a read has shown done is not done again |
//! | I3 | the newest word is bad, of the intent's epoch, and its last bad answer is fresh |
//! | I4 | the groups that would serve have as many healthy targets as the floor wants |
//! | I5 | only over the before-image, as the last read shows it |
//! | I6 | the rule is understood, and all of it but the forward stays |
//! | I7 | nobody holds, by tag or by word, and the mode is not to observe |
//! | I8 | no new intent while another has begun and has no end |
//! | I9 | no second call before a read that was asked for after the first |
//! | I11 | the budgets of an hour and of a day |
//! | I12 | a breach is acted on or explained within [`ANSWER_MAX`] after its evidence is old, as far as the process runs |
//!
//! I10, a lease whose token only grows, has nothing to look at: there is no lease, and `act` asks for `sole_actuator` instead.

use super::{Action, Command, Event, Observed, OpId, PageKind};
use crate::listener::{Fingerprint, GroupHealth, HealthState, ListenerState, RuleState};
use crate::owner::Call;
use crate::plan::Write;
use crate::policy::{GuardPolicy, Mode};
use crate::record::{Intent, IntentId, Record};
use crate::recover::Recovered;
use crate::release::{EpochId, ReleaseId};
use crate::time::Mono;
use crate::verdict::Verdict;
use std::collections::BTreeSet;
use std::time::Duration;

/// What has begun may be finished for so long after its deadline.
const FINISH: Duration = super::write::CONFIRM_MAX;
/// The path to a call ends when the evidence is old; each of its last steps takes less than this.
const ANSWER_MAX: Duration = Duration::from_mins(1);
/// A process that was frozen for longer between two looks has not waited for longer.
const LOOK_MAX: Duration = super::REPLY_MAX;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Monitor {
    healthy_min: u32,
    evidence_age_max: Duration,
    reverts_max: [(Duration, u32); 2],
    /// What was to be put on disk last.
    asked: Option<(OpId, Box<Intent>)>,
    /// What is on disk, until it is over.
    open: Option<Open>,
    /// The newest read that has come back.
    read: OpId,
    shown: Option<ListenerState>,
    health: Vec<GroupHealth>,
    held_by_tag: bool,
    held_by_word: bool,
    /// The newest policy only observes, whether it holds already or not.
    observes: bool,
    /// The newest word is bad: of which epoch, and when the last bad answer was due.
    bad: Option<(EpochId, Mono)>,
    /// The last call, until a read that was asked for later has come back.
    unread: Option<OpId>,
    reverts: Vec<Mono>,
    /// The release for which no more is done.
    held: Option<ReleaseId>,
    /// There is a breach of which nothing has come yet.
    breach: Option<Breach>,
    broken: Option<Box<str>>,
}

/// An intent on disk.
#[derive(Clone, Debug)]
struct Open {
    intent: Box<Intent>,
    /// AWS has taken a call of it, so that the rest may follow.
    begun: bool,
    /// A read has come back since it is on disk.
    reread: bool,
    /// The rules that a read has shown as they should be.
    seen: BTreeSet<Box<str>>,
}

/// How long nothing has come of a breach.
#[derive(Clone, Copy, Debug)]
struct Breach {
    waited: Duration,
    looked: Mono,
}

/// What it takes of a policy: the floor of healthy targets, how old evidence may be, and the budgets.
const fn limits(policy: &GuardPolicy) -> (u32, Duration, [(Duration, u32); 2]) {
    let budgets = [
        (Duration::from_hours(1), policy.reverts_per_hour_max),
        (Duration::from_hours(24), policy.reverts_per_day_max),
    ];
    (policy.healthy_min, policy.evidence_age_max, budgets)
}

/// What must be so, or the words for that it isn't.
fn must(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}

impl Monitor {
    pub(super) fn new(policy: &GuardPolicy, recovered: &Recovered, now: Mono) -> Self {
        let latched = recovered.release.as_ref().filter(|release| release.latch.is_some());
        let (healthy_min, evidence_age_max, reverts_max) = limits(policy);
        Self {
            healthy_min,
            evidence_age_max,
            reverts_max,
            asked: None,
            open: None,
            read: OpId(0),
            shown: None,
            health: Vec::new(),
            held_by_tag: false,
            held_by_word: recovered.hold.is_some(),
            observes: policy.mode == Mode::Observe,
            bad: None,
            unread: None,
            reverts: recovered.reverts_ago.iter().map(|ago| now.before(*ago)).collect(),
            held: latched.map(|release| release.id),
            breach: None,
            broken: None,
        }
    }

    /// The policy is another one now.
    pub(super) fn revise(&mut self, policy: &GuardPolicy) {
        (self.healthy_min, self.evidence_age_max, self.reverts_max) = limits(policy);
    }

    #[cfg(test)]
    pub(super) fn limits(&self) -> (u32, Duration, [u32; 2]) {
        (self.healthy_min, self.evidence_age_max, self.reverts_max.map(|(_, most)| most))
    }

    /// Why the process acts no more, if it doesn't.
    pub(super) fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// Before the guard takes it.
    pub(super) fn hear(&mut self, event: &Event) {
        match event {
            Event::Read(op, Ok(observed)) if *op > self.read => self.take(*op, observed),
            Event::Judged(judgement) => {
                self.bad = match &judgement.verdict {
                    Verdict::Bad(evidence) => Some((judgement.epoch, evidence.last_bad)),
                    Verdict::Good | Verdict::Inconclusive(_) | Verdict::Blind(_) => None,
                };
                if self.bad.is_none() {
                    self.breach = None;
                }
            }
            Event::Durable(op, Ok(())) => {
                if let Some((_, intent)) = self.asked.take_if(|(asked, _)| asked == op) {
                    self.open = Some(Open { intent, begun: false, reread: false, seen: BTreeSet::new() });
                }
            }
            Event::Operator(Command::Hold { .. }) => self.held_by_word = true,
            Event::Operator(Command::Unhold) => self.held_by_word = false,
            Event::Revise(policy) => self.observes = policy.mode == Mode::Observe,
            Event::Drain => self.breach = None,
            Event::Operator(Command::Ack | Command::ReleaseBegin { .. })
            | Event::Tick
            | Event::Notice(_)
            | Event::Read(..)
            | Event::Durable(..)
            | Event::Wrote(..)
            | Event::Verified(..)
            | Event::Tagged => {}
        }
    }

    fn take(&mut self, op: OpId, observed: &Observed) {
        self.read = op;
        self.unread.take_if(|sent| op > *sent);
        if let Some(marks) = &observed.marks {
            self.held_by_tag = marks.hold.is_some() || marks.irreversible.is_some();
        }
        if let Some(health) = &observed.health {
            self.health.clone_from(health);
        }
        if let Some(open) = &mut self.open {
            open.reread = true;
            let done = |write: &&Write| shows(&observed.state, write).as_ref() == Some(&write.becomes);
            if open.begun {
                open.seen.extend(open.intent.writes.iter().filter(done).map(|write| write.arn.clone()));
            }
        }
        self.shown = Some(observed.state.clone());
    }

    /// What the guard asks for.
    ///
    /// # Errors
    /// Says which invariant one of `actions` breaks.
    pub(super) fn look(&mut self, now: Mono, actions: &[Action]) -> Result<(), String> {
        #[cfg(test)]
        if tests::is_asleep() {
            return Ok(());
        }
        for action in actions {
            if let Some(why) = self.broken.as_ref().filter(|_| action.leads_to_a_call()) {
                return Err(why.to_string());
            }
            match action {
                Action::Note(record) => self.note(now, record),
                Action::Page(page) => {
                    if !matches!(page.kind, PageKind::Breach | PageKind::Bad | PageKind::Standing) {
                        self.breach = None;
                    }
                }
                Action::Persist(op, intent) => self.intends(*op, intent)?,
                Action::Write(op, write) => self.writes(now, *op, write)?,
                Action::Call(op, call) => self.calls(now, *op, call)?,
                Action::Open(_)
                | Action::Pace(_)
                | Action::Ask(_)
                | Action::Read(..)
                | Action::Verify(..)
                | Action::Tag(_)
                | Action::Revised => {}
            }
        }
        let Some(breach) = &mut self.breach else { return Ok(()) };
        breach.waited += now.since(breach.looked).min(LOOK_MAX);
        breach.looked = now;
        let waited = breach.waited;
        must(waited <= self.evidence_age_max.saturating_add(ANSWER_MAX), || {
            format!("I12: nothing has come of a breach for {} s", waited.as_secs())
        })
    }

    /// From now on nothing is asked for any more.
    pub(super) fn stand_down(&mut self, why: &str) {
        self.broken.get_or_insert_with(|| why.into());
        (self.asked, self.open, self.breach) = (None, None, None);
    }

    fn note(&mut self, now: Mono, record: &Record) {
        let is_open =
            |id: &IntentId, open: &Option<Open>| open.as_ref().is_some_and(|open| open.intent.id == *id);
        match record {
            Record::Epoch { .. } => (self.bad, self.breach) = (None, None),
            Record::Breach { .. } => {
                self.breach = self.breach.or(Some(Breach { waited: Duration::ZERO, looked: now }));
            }
            Record::Abandoned { intent, .. } if is_open(intent, &self.open) => self.open = None,
            Record::Held { release, .. } => {
                (self.open, self.held, self.breach) = (None, Some(*release), None);
            }
            // Without a rule: its effect was seen, and is its answer.
            Record::Wrote { intent, outcome, arn, .. }
                if is_open(intent, &self.open) && (&**outcome == "accepted" || arn.is_empty()) =>
            {
                self.begin(now);
            }
            Record::Confirmed { intent } if is_open(intent, &self.open) => self.begin(now),
            _ => {}
        }
    }

    fn begin(&mut self, now: Mono) {
        if let Some(open) = self.open.as_mut().filter(|open| !open.begun) {
            open.begun = true;
            self.reverts.push(now);
        }
    }

    fn intends(&mut self, op: OpId, intent: &Intent) -> Result<(), String> {
        let begun = self.open.as_ref().is_some_and(|open| open.begun);
        must(!begun, || "I8: a new intent, and the one that has begun has no end".into())?;
        must(self.held != Some(intent.release), || format!("I2: release {} is held", intent.release.0))?;
        self.asked = Some((op, Box::new(intent.clone())));
        Ok(())
    }

    fn writes(&mut self, now: Mono, op: OpId, write: &Write) -> Result<(), String> {
        let open = self.open.as_ref().ok_or("I1: a write without an intent on disk")?;
        must(open.intent.writes.contains(write), || {
            format!("I1: the intent is for another write than {write:?}")
        })?;
        must(open.intent.call.is_none(), || "I1: the intent is for a call of the owner".into())?;
        self.may(now, open, &[write])?;
        self.sent(op);
        Ok(())
    }

    /// A call of the owner stands for every rule that isn't put back yet.
    fn calls(&mut self, now: Mono, op: OpId, call: &Call) -> Result<(), String> {
        let open = self.open.as_ref().ok_or("I1: a call without an intent on disk")?;
        let named = open.intent.call.as_ref().map(Call::deployment);
        must(named == Some(call.deployment()), || "I1: the intent is for another deployment".into())?;
        let is_left = |write: &&Write| self.shows(write).as_ref() != Some(&write.becomes);
        let left: Vec<&Write> = open.intent.writes.iter().filter(is_left).collect();
        must(!left.is_empty(), || "I2: nothing is left to put back".into())?;
        self.may(now, open, &left)?;
        self.sent(op);
        Ok(())
    }

    const fn sent(&mut self, op: OpId) {
        (self.unread, self.breach) = (Some(op), None);
    }

    fn may(&self, now: Mono, open: &Open, writes: &[&Write]) -> Result<(), String> {
        let intent = &open.intent;
        if open.begun {
            must(now <= intent.deadline.after(FINISH), || "I3: too late to finish".into())?;
        } else {
            let (epoch, last) = self.bad.ok_or("I3: the newest word is not bad")?;
            must(epoch == intent.epoch, || "I3: the word is of another epoch".into())?;
            let age = now.since(last);
            must(age <= self.evidence_age_max, || format!("I3: the evidence is {} s old", age.as_secs()))?;
            must(now <= intent.deadline, || "I3: the intent's deadline is over".into())?;
            for (span, most) in self.reverts_max {
                let reverts = self.reverts.iter().filter(|at| now.since(**at) < span).count();
                must(reverts < most as usize, || {
                    format!("I11: {reverts} reverts within {} s", span.as_secs())
                })?;
            }
        }
        must(open.reread, || "I5: no read stands between the intent and the call".into())?;
        must(!self.held_by_tag && !self.held_by_word, || "I7: somebody holds".into())?;
        must(!self.observes, || "I7: the mode is to observe".into())?;
        must(self.unread.is_none(), || "I9: no read stands between two calls".into())?;
        writes.iter().try_for_each(|write| self.may_write(open, write))
    }

    fn may_write(&self, open: &Open, write: &Write) -> Result<(), String> {
        let arn = &write.arn;
        must(!open.seen.contains(arn), || format!("I2: {arn} was put back, and is put back again"))?;
        let before = open.intent.before.rule(arn).map(RuleState::fingerprint);
        must(before.as_ref() == Some(&write.over), || {
            format!("I5: {arn} is not written over its before-image")
        })?;
        let live = self.shown.as_ref().and_then(|state| state.rule(arn));
        let live = live.ok_or_else(|| format!("I5: no read shows {arn}"))?;
        must(live.fingerprint() == write.over, || format!("I5: the last read shows another state of {arn}"))?;
        live.understood().map_err(|why| format!("I6: {why}"))?;
        let kept = RuleState { forward: Some(write.to.clone()), ..live.clone() };
        must(kept.fingerprint() == write.becomes, || {
            format!("I6: more than the forward of {arn} would change")
        })?;
        let healthy = self.healthy(write);
        must(open.begun || healthy >= self.healthy_min as usize, || {
            format!("I4: {healthy} targets are healthy where {arn} would send users")
        })
    }

    /// Where nobody checks, because no rule refers to the group, our own probes have said it.
    fn healthy(&self, write: &Write) -> usize {
        let groups = write.to.serving();
        let serving = self.health.iter().filter(|group| groups.contains(&*group.group));
        let targets = serving.flat_map(|group| &group.targets);
        targets.filter(|target| matches!(target.state, HealthState::Healthy | HealthState::Unused)).count()
    }

    fn shows(&self, write: &Write) -> Option<Fingerprint> {
        shows(self.shown.as_ref()?, write)
    }
}

fn shows(state: &ListenerState, write: &Write) -> Option<Fingerprint> {
    state.rule(&write.arn).map(RuleState::fingerprint)
}

#[cfg(test)]
pub(crate) mod tests;
