//! Fenced writes, one rule after another: read, compare, write, and when all are in read back and prove. Every outcome that isn't known
//! is resolved by reading.

use super::{
    Action, Course, Depth, Full, Guard, Observed, OpId, PageKind, Phase, REPLY_MAX, ReadError, WriteOutcome,
};
use crate::hazard::{Hazard, answered};
use crate::listener::short;
use crate::plan::{Progress, Write};
use crate::policy::Mode;
use crate::record::{Intent, Record};
use crate::time::Mono;
use std::time::Duration;

/// How long a read-back may go on showing the old state before somebody is called.
pub(super) const CONFIRM_MAX: Duration = Duration::from_secs(10);
/// At most so many writes are sent for one rule of an intent, each after a read that shows the judged state.
const ATTEMPTS: u32 = 5;
/// A request whose outcome we don't know may have reached AWS, which does it within this time or not at all [own
/// guess]: no second one before.
pub(super) const LANDS_WITHIN: Duration = Duration::from_secs(5);
/// The pause before a retry doubles from here.
pub(super) const RETRY: Duration = Duration::from_millis(200);

impl Guard {
    /// The intent is on disk, or can't be.
    pub(super) fn durable(&mut self, now: Mono, op: OpId, result: Result<(), Full>, out: &mut Vec<Action>) {
        let Phase::Intending { op: open, intent, .. } = &self.phase else {
            self.late_replies += 1;
            return;
        };
        if *open != op {
            self.late_replies += 1;
            return;
        }
        match result {
            Ok(()) => {
                let course = Course::new(intent.clone());
                self.reading_for(now, course, out);
            }
            Err(Full(why)) => self.refuse("ledger", &format!("the intent can't be put on disk: {why}"), out),
        }
    }

    /// Reads the rules and the marks directly before a write, or to resolve an unknown one.
    pub(super) fn reading_for(&mut self, now: Mono, course: Course, out: &mut Vec<Action>) {
        self.reading = None;
        let op = self.op();
        out.push(Action::Read(op, Depth::Marks));
        self.phase = Phase::Reading { op: Some(op), course, at: now.after(REPLY_MAX) };
    }

    pub(super) fn reread(&mut self, now: Mono, result: &Result<Observed, ReadError>, out: &mut Vec<Action>) {
        let what = self.what();
        let Phase::Reading { course, .. } = &self.phase else { return };
        let mut course = course.clone();
        match result {
            Ok(observed) => self.take(now, observed.clone()),
            Err(error) => {
                self.read_error = Some(error.clone());
                self.again(now, course, &error.to_string(), out);
                return;
            }
        }
        if course.intent.call.is_some() {
            self.reread_owned(now, course, out);
            return;
        }
        let Some(live) = &self.live else { return };
        let owed = self.unproved.as_ref().is_some_and(|late| late.is_done(&live.state));
        let label = live.state.label();
        let intent = course.intent.clone();
        let left = match intent.progress(&live.state) {
            Progress::Done if course.doubtful.is_some() || course.is_begun() || owed => {
                self.spend(&intent, now);
                self.confirmed(now, intent, out);
                return;
            }
            Progress::Left { writes, .. } => writes,
            _ if !answered(Hazard::LostUpdate) => intent.writes.iter().collect(),
            Progress::Done | Progress::Third(_) => {
                let says = course.says();
                self.overridden(
                    now,
                    &format!("the {what} shows {label} directly before our write{says}"),
                    out,
                );
                return;
            }
        };
        if !course.stays(&left) {
            let says = course.says();
            self.overridden(now, &format!("the {what} shows {label} after our write{says}"), out);
            return;
        }
        let shown = |arn: &str| left.iter().all(|write| &*write.arn != arn);
        // Of a write without an answer, of this intent or of one before a restart, the effect is the answer.
        let late = self.unproved.as_ref().filter(|late| late.id != intent.id);
        let is_late = |write: &&Write| late.is_some_and(|late| late.writes.contains(write));
        let unanswered = |write: &&Write| course.doubtful.as_ref() == Some(&write.arn) || is_late(write);
        let landed: Vec<&Write> =
            intent.writes.iter().filter(|write| shown(&write.arn)).filter(unanswered).collect();
        if !landed.is_empty() {
            for write in landed {
                course.accept(&write.arn);
            }
            self.spend_late(&intent, now, out);
        }
        if intent.writes.iter().any(|write| shown(&write.arn) && !course.accepted.contains(&write.arn)) {
            let says = course.says();
            self.overridden(
                now,
                &format!("the {what} shows {label}, and we have not written that{says}"),
                out,
            );
            return;
        }
        match left.into_iter().find(|write| !course.is_known(&write.arn)) {
            Some(next) => self.write_or_leave(now, course, next, out),
            None => self.last_accepted(now, course, out),
        }
    }

    /// The last look before a call: hold, drain, deadline and verdict, as they are now. Once a rule is written, the others have to follow:
    /// then only a person's word or time stops it, and that is a partial revert.
    pub(super) fn write_or_leave(&mut self, now: Mono, course: Course, write: &Write, out: &mut Vec<Action>) {
        let tagged = self.live.as_ref().and_then(|live| live.marks.hold.as_ref());
        // Of a policy that only observes there is no intent: it came later.
        let braked =
            (self.policy.mode == Mode::Observe).then_some("the configuration says mode = \"observe\" now");
        let hold = self.hold.as_ref().or(tagged).filter(|_| answered(Hazard::Operator));
        let hold = hold.map(|why| &**why).or(braked);
        let marked = self.release.as_ref().is_some_and(|release| release.irreversible)
            || self.live.as_ref().is_some_and(|live| live.marks.irreversible.is_some());
        let irreversible = marked && answered(Hazard::Irreversible);
        let deadline = course.intent.deadline;
        let (begun, doubtful) = (course.is_begun(), course.doubtful.is_some());
        let last = if begun { deadline.after(CONFIRM_MAX) } else { deadline };
        let too_late = now > last || course.attempt > attempts();
        let gone = !begun && (self.draining || !self.verdict_is_bad());
        if doubtful && (hold.is_some() || irreversible || too_late || gone) {
            // No second write. The first may still take effect, so this is neither done nor left.
            if now > deadline.after(CONFIRM_MAX) || !too_late {
                let why = "whether our write takes effect is not known, and no second one may follow";
                self.partial(now, &format!("{why}{}", course.says()), out);
            } else {
                self.wait(now, course);
            }
        } else if now < self.lands_until {
            // Reading on: a second write while the first is on its way would be two.
            let at = self.lands_until.min(now.after(RETRY.saturating_mul(2)));
            self.phase = Phase::Reading { op: None, course, at };
        } else if let Some(why) = hold {
            self.stop("no-hold", &format!("an operator holds: {why}"), now, &course, out);
        } else if irreversible {
            self.stop("reversible", "the release is marked irreversible", now, &course, out);
        } else if too_late {
            self.stop(
                "deadline",
                "the write could not be sent while the evidence was fresh",
                now,
                &course,
                out,
            );
        } else if gone && self.draining {
            self.abandon("interrupted before the write", out);
        } else if gone {
            self.abandon("the verdict is no longer bad", out);
        } else {
            let op = self.op();
            let (intent, attempt, arn) = (course.intent.id, course.attempt, write.arn.clone());
            let (named, action) = match course.intent.call.clone() {
                Some(call) => (call.deployment().into(), Action::Call(op, call)),
                None => (arn.clone(), Action::Write(op, write.clone())),
            };
            out.push(Action::note(Record::WriteSent { intent, attempt, arn: named }));
            out.push(action);
            self.phase = Phase::Writing { op, course, arn, at: now.after(REPLY_MAX) };
        }
    }

    /// Leaves the rest unwritten: nothing was done yet, or a part of it was and a person is needed.
    fn stop(&mut self, reason: &'static str, why: &str, now: Mono, course: &Course, out: &mut Vec<Action>) {
        if course.is_begun() {
            self.partial(now, &format!("{why}{}", course.says()), out);
        } else {
            self.abandon(why, out);
            self.refuse(reason, why, out);
        }
    }

    /// A pause before the next read.
    fn wait(&mut self, now: Mono, course: Course) {
        let at = now.after(RETRY.saturating_mul(1 << course.attempt.min(5)));
        self.phase = Phase::Reading { op: None, course, at };
    }

    /// A write came back.
    pub(super) fn wrote(&mut self, now: Mono, op: OpId, outcome: WriteOutcome, out: &mut Vec<Action>) {
        let Phase::Writing { op: open, course, arn, at } = &self.phase else {
            self.late_replies += 1;
            return;
        };
        if *open != op {
            self.late_replies += 1;
            return;
        }
        let (mut course, arn) = (course.clone(), arn.clone());
        let lands_until = at.before(REPLY_MAX).after(LANDS_WITHIN);
        let call = course.intent.call.as_ref();
        let (intent, named) = (course.intent.id, call.map_or(arn.clone(), |call| call.deployment().into()));
        let note = |word: &str, detail: Box<str>| {
            Action::note(Record::Wrote { intent, outcome: word.into(), detail, arn: named })
        };
        match outcome {
            WriteOutcome::Accepted(request) => {
                out.push(note("accepted", request));
                course.accept_with(&arn);
                self.spend(&course.intent, now);
                self.go_on(now, course, out);
            }
            WriteOutcome::Throttled => {
                out.push(note("refused", "Throttling".into()));
                self.again(now, course.again(), "AWS throttles our writes", out);
            }
            // The next read tells what they wrote: another state is theirs, and a new description is nothing to us.
            WriteOutcome::Raced(code) => {
                out.push(note("refused", code));
                self.again(now, course.again(), "somebody writes between our reads and our writes", out);
            }
            WriteOutcome::Unknown(why) => {
                out.push(note("unknown", why.clone()));
                self.lands_until = lands_until;
                course.doubtful = Some(arn);
                self.again(now, course.again(), &why, out);
            }
            WriteOutcome::Refused(code) if course.doubtful.is_some() => {
                out.push(note("refused", code.clone()));
                let why = format!("AWS refuses the write ({code}), and an earlier one is unknown");
                self.partial(now, &format!("{why}{}", course.says()), out);
            }
            WriteOutcome::Refused(code) if course.is_begun() && answered(Hazard::HalfDone) => {
                // The others are put back all the same: half of the users on the old version is better than fewer.
                out.push(note("refused", code));
                course.refused.insert(arn);
                course.attempt = 1;
                self.go_on(now, course, out);
            }
            WriteOutcome::Refused(code) => {
                out.push(note("refused", code.clone()));
                self.refuse("write-refused", &format!("AWS refuses the write: {code}"), out);
            }
        }
    }

    /// After one rule the next, over a read of its own; after the last the read-back.
    fn go_on(&mut self, now: Mono, course: Course, out: &mut Vec<Action>) {
        if course.has_more() {
            self.reading_for(now, course, out);
        } else {
            self.last_accepted(now, course, out);
        }
    }

    fn last_accepted(&mut self, now: Mono, course: Course, out: &mut Vec<Action>) {
        if course.refused.is_empty() {
            self.accepted(now, course.intent, out);
        } else {
            let arns = course.refused.iter().map(|arn| short(arn)).collect::<Vec<_>>().join(", ");
            self.partial(now, &format!("AWS refuses to write {arns}{}", course.says()), out);
        }
    }

    /// A read while a write is out and unanswered. Its effect is its answer; waiting for the answer instead could hide
    /// that somebody undid it meanwhile.
    pub(super) fn glimpse(&mut self, now: Mono, out: &mut Vec<Action>) {
        let what = self.what();
        let Phase::Writing { course, .. } = &mut self.phase else { return };
        let Some(live) = &self.live else { return };
        let intent = course.intent.clone();
        match intent.progress(&live.state) {
            Progress::Done => {
                self.spend(&intent, now);
                self.confirmed(now, intent, out);
            }
            // On its way back an owner may pass through states of its own.
            Progress::Third(_) if intent.call.is_some() => {}
            Progress::Third(_) => {
                let label = live.state.label();
                let says = course.says();
                self.overridden(now, &format!("the {what} shows {label} while our write is out{says}"), out);
            }
            Progress::Left { writes, .. } if course.stays(&writes) => {}
            Progress::Left { .. } => {
                let (label, says) = (live.state.label(), course.says());
                self.overridden(now, &format!("the {what} shows {label} after our write{says}"), out);
            }
        }
    }

    /// A background read that comes while the next one of the acting path is waited for: that one decides, and what this one shows
    /// done is known to have been done.
    pub(super) fn glance(&mut self, now: Mono, out: &mut Vec<Action>) {
        let what = self.what();
        let (Phase::Reading { course, .. }, Some(live)) = (&mut self.phase, &self.live) else { return };
        let intent = course.intent.clone();
        let left = match intent.progress(&live.state) {
            Progress::Done => Vec::new(),
            Progress::Left { writes, .. } => writes,
            Progress::Third(_) => return,
        };
        if !course.stays(&left) {
            let (label, says) = (live.state.label(), course.says());
            self.overridden(now, &format!("the {what} shows {label} after our write{says}"), out);
        }
    }

    /// Tries again after a pause: a read first, always.
    pub(super) fn again(&mut self, now: Mono, course: Course, why: &str, out: &mut Vec<Action>) {
        let at = now.after(RETRY.saturating_mul(1 << course.attempt.min(5)));
        // What was sent is resolved by reading, beyond the deadline of writing too.
        let (deadline, doubtful) = (course.intent.deadline, course.doubtful.is_some());
        let last = if doubtful || course.is_begun() { deadline.after(CONFIRM_MAX) } else { deadline };
        if at <= last && (doubtful || course.attempt <= attempts()) {
            self.phase = Phase::Reading { op: None, course, at };
        } else if doubtful {
            let why = format!("whether the write went in is not known: {why}");
            self.partial(now, &format!("{why}{}", course.says()), out);
        } else {
            self.stop("deadline", why, now, &course, out);
        }
    }

    pub(super) fn accepted(&mut self, now: Mono, intent: Box<Intent>, out: &mut Vec<Action>) {
        self.owner_ended = None;
        self.read_back_at(now, intent, now, out);
    }

    /// Reads what became of it; of an owner's call, how far its deployment has come too.
    pub(super) fn read_back_at(
        &mut self,
        now: Mono,
        intent: Box<Intent>,
        since: Mono,
        out: &mut Vec<Action>,
    ) {
        self.reading = None;
        let op = self.op();
        out.push(Action::Read(op, if intent.call.is_some() { Depth::Marks } else { Depth::Listener }));
        self.phase = Phase::Confirming { op: Some(op), intent, at: now.after(REPLY_MAX), since };
    }

    /// One revert of the budget, and a proof that is owed: once an intent.
    pub(super) fn spend(&mut self, intent: &Intent, now: Mono) {
        if self.is_unspent(intent) {
            self.reverts.push(now);
            self.uncounted = None;
            self.unproved = Some(Box::new(intent.clone()));
        }
    }

    pub(super) fn read_back(
        &mut self,
        now: Mono,
        result: &Result<Observed, ReadError>,
        out: &mut Vec<Action>,
    ) {
        let what = self.what();
        let Phase::Confirming { intent, since, .. } = &self.phase else { return };
        let (intent, since) = (intent.clone(), *since);
        if let Ok(observed) = result {
            self.take(now, observed.clone());
            match intent.progress(&observed.state) {
                Progress::Done => {
                    self.confirmed(now, intent, out);
                    return;
                }
                Progress::Third(_) if intent.call.is_none() && answered(Hazard::LostUpdate) => {
                    let label = observed.state.label();
                    self.overridden(now, &format!("the {what} shows {label} after our write"), out);
                    return;
                }
                Progress::Left { .. } | Progress::Third(_) => {}
            }
        }
        if intent.call.is_some() {
            self.wait_for_owner(now, intent, since, out);
            return;
        }
        if now.since(since) >= CONFIRM_MAX && answered(Hazard::FailedRollback) {
            self.partial(now, "the write was accepted, and reading back doesn't show it", out);
            return;
        }
        self.phase = Phase::Confirming { op: None, intent, at: now.after(RETRY), since };
    }

    /// A write without an answer may have had its effect: the budget is spent.
    fn spend_what_is_out(&mut self, now: Mono, out: &mut Vec<Action>) {
        let sent = match &self.phase {
            Phase::Reading { course, .. } => course.doubtful.is_some().then(|| course.intent.clone()),
            Phase::Writing { course, .. } => Some(course.intent.clone()),
            _ => None,
        };
        if let Some(intent) = sent {
            self.spend_late(&intent, now, out);
        }
    }

    /// The same where no answer tells: the ledger has to, for the budget after a restart.
    pub(super) fn spend_late(&mut self, intent: &Intent, now: Mono, out: &mut Vec<Action>) {
        if self.is_unspent(intent) {
            let (outcome, detail) = ("unknown".into(), "known by its effect, if at all".into());
            out.push(Action::note(Record::Wrote { intent: intent.id, outcome, detail, arn: "".into() }));
        }
        self.spend(intent, now);
    }

    fn is_unspent(&self, intent: &Intent) -> bool {
        self.uncounted == Some(intent.id)
            || self.unproved.as_ref().is_none_or(|unproved| unproved.id != intent.id)
    }

    /// The write is in, or may be, and the end is not what it should be: a person is needed.
    pub(super) fn partial(&mut self, now: Mono, why: &str, out: &mut Vec<Action>) {
        self.spend_what_is_out(now, out);
        self.page(PageKind::Partial, &format!("PARTIAL: {why}"), out);
        self.latch("partial", true, out);
    }

    /// A third state: somebody else is at work, and we never fight.
    pub(super) fn overridden(&mut self, now: Mono, why: &str, out: &mut Vec<Action>) {
        self.spend_what_is_out(now, out);
        self.abandon(why, out);
        self.unproved = None;
        self.page(PageKind::Overridden, &format!("overridden: {why}; we leave it so"), out);
        self.latch("overridden", true, out);
    }
}

/// How often a rule may be written: again where AWS throttles, and not for ever where it does nothing else.
fn attempts() -> u32 {
    match (answered(Hazard::Throttled), answered(Hazard::ControlPlane)) {
        (true, true) => ATTEMPTS,
        (false, _) => 1,
        (true, false) => u32::MAX,
    }
}

#[cfg(test)]
mod several;
#[cfg(test)]
mod tests;
