//! One fenced write: read, compare, write, read back, prove. Every outcome that isn't known is resolved by reading.

use super::{
    Action, Aim, Depth, Full, Guard, Latch, Observed, OpId, PageKind, Phase, Proof, REPLY_MAX, ReadError,
    WriteOutcome,
};
use crate::record::{Intent, Record};
use crate::release::Cause;
use crate::time::Mono;
use std::time::Duration;

/// How long a read-back may go on showing the old state before somebody is called.
const CONFIRM_MAX: Duration = Duration::from_secs(10);
/// At most so many writes are sent for one intent, each after a read that shows the judged state.
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
                let intent = intent.clone();
                self.reading_for(now, intent, 1, false, out);
            }
            Err(Full(why)) => self.refuse("ledger", &format!("the intent can't be put on disk: {why}"), out),
        }
    }

    /// Reads the rule and the marks directly before a write, or to resolve an unknown one.
    pub(super) fn reading_for(
        &mut self,
        now: Mono,
        intent: Box<Intent>,
        attempt: u32,
        sent: bool,
        out: &mut Vec<Action>,
    ) {
        self.reading = None;
        let op = self.op();
        out.push(Action::Read(op, Depth::Marks));
        self.phase = Phase::Reading { op: Some(op), intent, attempt, at: now.after(REPLY_MAX), sent };
    }

    pub(super) fn reread(&mut self, now: Mono, result: &Result<Observed, ReadError>, out: &mut Vec<Action>) {
        let Phase::Reading { intent, attempt, sent, .. } = &self.phase else { return };
        let (intent, attempt, sent) = (intent.clone(), *attempt, *sent);
        let observed = match result {
            Ok(observed) => observed.clone(),
            Err(error) => {
                self.read_error = Some(error.clone());
                self.again(now, intent, attempt, sent, &error.to_string(), out);
                return;
            }
        };
        self.take(now, observed);
        let Some(shows) = self.live.as_ref().map(|live| live.fingerprint.clone()) else { return };
        let owed = self.unproved.as_ref().is_some_and(|late| late.write.becomes == shows);
        if (sent || owed) && shows == intent.write.becomes {
            self.spend(&intent, now);
            self.confirmed(now, intent, out);
        } else if shows != intent.write.over {
            let label = self.live.as_ref().map(|live| live.state.label()).unwrap_or_default();
            self.overridden(&format!("the listener shows {label} directly before our write"), out);
        } else {
            self.write_or_leave(now, intent, attempt, sent, out);
        }
    }

    /// The last look before the call: hold, drain, deadline and verdict, as they are now.
    pub(super) fn write_or_leave(
        &mut self,
        now: Mono,
        intent: Box<Intent>,
        attempt: u32,
        sent: bool,
        out: &mut Vec<Action>,
    ) {
        let hold = self.hold.as_ref().or_else(|| self.live.as_ref().and_then(|live| live.hold.as_ref()));
        let irreversible = self.release.as_ref().is_some_and(|release| release.irreversible)
            || self.live.as_ref().is_some_and(|live| live.irreversible.is_some());
        let too_late = now > intent.deadline || attempt > ATTEMPTS;
        if sent && (hold.is_some() || irreversible || too_late || self.draining || !self.verdict_is_bad()) {
            // No second write. The first may still take effect, so this is neither done nor left.
            if now > intent.deadline.after(CONFIRM_MAX) || !too_late {
                self.partial(
                    now,
                    "whether our write takes effect is not known, and no second one may follow",
                    out,
                );
            } else {
                let at = now.after(RETRY.saturating_mul(1 << attempt.min(5)));
                self.phase = Phase::Reading { op: None, intent, attempt, at, sent };
            }
        } else if now < self.lands_until {
            // Reading on: a second write while the first is on its way would be two.
            let at = self.lands_until.min(now.after(RETRY.saturating_mul(2)));
            self.phase = Phase::Reading { op: None, intent, attempt, at, sent };
        } else if let Some(why) = hold {
            let says = format!("an operator holds: {why}");
            self.abandon(&says, out);
            self.refuse("no-hold", &says, out);
        } else if irreversible {
            self.abandon("the release is marked irreversible", out);
            self.refuse("reversible", "the release is marked irreversible", out);
        } else if too_late {
            self.abandon("too late: the evidence is old", out);
            self.refuse("deadline", "the write could not be sent while the evidence was fresh", out);
        } else if self.draining {
            self.abandon("interrupted before the write", out);
        } else if !self.verdict_is_bad() {
            self.abandon("the verdict is no longer bad", out);
        } else {
            let op = self.op();
            out.push(Action::note(Record::WriteSent { intent: intent.id, attempt }));
            out.push(Action::Write(op, intent.write.clone()));
            self.phase = Phase::Writing { op, intent, attempt, at: now.after(REPLY_MAX), sent };
        }
    }

    /// A write came back.
    pub(super) fn wrote(&mut self, now: Mono, op: OpId, outcome: WriteOutcome, out: &mut Vec<Action>) {
        let Phase::Writing { op: open, intent, attempt, at, sent } = &self.phase else {
            self.late_replies += 1;
            return;
        };
        if *open != op {
            self.late_replies += 1;
            return;
        }
        let (intent, attempt, sent) = (intent.clone(), *attempt, *sent);
        let lands_until = at.before(REPLY_MAX).after(LANDS_WITHIN);
        let note = |word: &str, detail: Box<str>| {
            Action::note(Record::Wrote { intent: intent.id, outcome: word.into(), detail })
        };
        match outcome {
            WriteOutcome::Accepted(request) => {
                out.push(note("accepted", request));
                self.accepted(now, intent, out);
            }
            WriteOutcome::Throttled => {
                out.push(note("refused", "Throttling".into()));
                self.again(now, intent, attempt + 1, sent, "AWS throttles our writes", out);
            }
            WriteOutcome::Unknown(why) => {
                out.push(note("unknown", why.clone()));
                self.lands_until = lands_until;
                self.again(now, intent, attempt + 1, true, &why, out);
            }
            WriteOutcome::Refused(code) if sent => {
                out.push(note("refused", code.clone()));
                self.partial(
                    now,
                    &format!("AWS refuses the write ({code}), and an earlier one is unknown"),
                    out,
                );
            }
            WriteOutcome::Refused(code) => {
                out.push(note("refused", code.clone()));
                self.refuse("write-refused", &format!("AWS refuses the write: {code}"), out);
            }
        }
    }

    /// A read while a write is out and unanswered. Its effect is its answer; waiting for the answer instead could hide
    /// that somebody undid it meanwhile.
    pub(super) fn glimpse(&mut self, now: Mono, out: &mut Vec<Action>) {
        let Phase::Writing { intent, .. } = &self.phase else { return };
        let intent = intent.clone();
        let Some(live) = &self.live else { return };
        if live.fingerprint == intent.write.becomes {
            self.spend(&intent, now);
            self.confirmed(now, intent, out);
        } else if live.fingerprint != intent.write.over {
            let label = live.state.label();
            self.overridden(&format!("the listener shows {label} while our write is out"), out);
        }
    }

    /// Tries again after a pause: a read first, always.
    pub(super) fn again(
        &mut self,
        now: Mono,
        intent: Box<Intent>,
        attempt: u32,
        sent: bool,
        why: &str,
        out: &mut Vec<Action>,
    ) {
        let at = now.after(RETRY.saturating_mul(1 << attempt.min(5)));
        // What was sent is resolved by reading, beyond the deadline of writing too.
        let give_up = if sent {
            at > intent.deadline.after(CONFIRM_MAX)
        } else {
            at > intent.deadline || attempt > ATTEMPTS
        };
        if give_up && sent {
            self.partial(now, &format!("whether the write went in is not known: {why}"), out);
            return;
        }
        if give_up {
            self.abandon(why, out);
            self.refuse("deadline", why, out);
            return;
        }
        self.phase = Phase::Reading { op: None, intent, attempt, at, sent };
    }

    pub(super) fn accepted(&mut self, now: Mono, intent: Box<Intent>, out: &mut Vec<Action>) {
        self.spend(&intent, now);
        self.reading = None;
        let op = self.op();
        out.push(Action::Read(op, Depth::Listener));
        self.phase = Phase::Confirming { op: Some(op), intent, at: now.after(REPLY_MAX), since: now };
    }

    /// One revert of the budget, and a proof that is owed.
    pub(super) fn spend(&mut self, intent: &Intent, now: Mono) {
        self.reverts.push(now);
        self.unproved = Some(Box::new(intent.clone()));
    }

    pub(super) fn read_back(
        &mut self,
        now: Mono,
        result: &Result<Observed, ReadError>,
        out: &mut Vec<Action>,
    ) {
        let Phase::Confirming { intent, since, .. } = &self.phase else { return };
        let (intent, since) = (intent.clone(), *since);
        if let Ok(observed) = result {
            self.take(now, observed.clone());
            let shows = observed.state.fingerprint();
            if shows == intent.write.becomes {
                self.confirmed(now, intent, out);
                return;
            }
            if shows != intent.write.over {
                self.overridden(
                    &format!("the listener shows {} after our write", observed.state.label()),
                    out,
                );
                return;
            }
        }
        if now.since(since) >= CONFIRM_MAX {
            self.partial(now, "the write was accepted, and reading back doesn't show it", out);
            return;
        }
        self.phase = Phase::Confirming { op: None, intent, at: now.after(RETRY), since };
    }

    /// The API shows what was written; now the data plane has to.
    pub(super) fn confirmed(&mut self, now: Mono, intent: Box<Intent>, out: &mut Vec<Action>) {
        out.push(Action::note(Record::Confirmed { intent: intent.id }));
        let before = self.epoch.as_ref().map_or(now, |epoch| epoch.since);
        self.begin_epoch(now, before, Cause::OwnRevert, false, out);
        if self.draining {
            self.interrupted(out);
            return;
        }
        let op = self.op();
        out.push(Action::Verify(
            op,
            Aim {
                versions: intent.versions.clone(),
                answers: self.policy.verify_answers,
                within: self.policy.verify_for,
            },
        ));
        let at = now.after(self.policy.verify_for).after(REPLY_MAX);
        self.phase = Phase::Verifying { op, intent, at };
    }

    /// We stop between the write and its proof. The intent stays open in the ledger, so that whoever starts next owes
    /// the proof.
    pub(super) fn interrupted(&mut self, out: &mut Vec<Action>) {
        self.page(PageKind::Partial, "PARTIAL: stopped before the revert was proved", out);
        if let Some(release) = &mut self.release {
            release.latch = Some(Latch { reason: "interrupted", needs_human: true });
        }
        self.phase = Phase::Watching;
    }

    /// The proof came, or not.
    pub(super) fn verified(&mut self, now: Mono, op: OpId, proof: &Proof, out: &mut Vec<Action>) {
        let Phase::Verifying { op: open, intent, .. } = &self.phase else {
            self.late_replies += 1;
            return;
        };
        if *open != op {
            self.late_replies += 1;
            return;
        }
        let (id, evidence) = (intent.id, intent.evidence.to_string());
        match proof {
            Proof::Shown { answers, addresses } => {
                out.push(Action::note(Record::Verified {
                    intent: id,
                    answers: *answers,
                    addresses: *addresses,
                }));
                let shows = self.live.as_ref().map(|live| live.state.label()).unwrap_or_default();
                let text = format!(
                    "reverted to {shows}: {answers} of {answers} fresh connections answered by it, {addresses} addresses; because {evidence}; holding until a person or a new release"
                );
                self.unproved = None;
                self.page(PageKind::Reverted, &text, out);
                self.latch("reverted", false, out);
            }
            Proof::NotShown(why) => {
                self.partial(now, &format!("the listener is back, and users may not be: {why}"), out);
            }
        }
    }

    /// The write is in, or may be, and the end is not what it should be: a person is needed.
    pub(super) fn partial(&mut self, now: Mono, why: &str, out: &mut Vec<Action>) {
        if let Phase::Reading { intent, sent: true, .. } | Phase::Writing { intent, .. } = &self.phase {
            // It may have had its effect: the budget is spent.
            let intent = intent.clone();
            self.spend(&intent, now);
        }
        self.page(PageKind::Partial, &format!("PARTIAL: {why}"), out);
        self.latch("partial", true, out);
    }

    /// A third state: somebody else is at work, and we never fight.
    pub(super) fn overridden(&mut self, why: &str, out: &mut Vec<Action>) {
        self.abandon(why, out);
        self.unproved = None;
        self.page(PageKind::Overridden, &format!("overridden: {why}; we leave it so"), out);
        self.latch("overridden", true, out);
    }
}

#[cfg(test)]
mod tests;
