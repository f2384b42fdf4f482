//! From breach to proof: preflight, intent, one write over exactly the judged state, read-back, and verification.

use super::{
    Action, Aim, Cadence, Condition, Depth, Full, Guard, Latch, Observed, OpId, PageKind, Phase, Proof,
    REPLY_MAX, ReadError, Status, WriteOutcome,
};
use crate::listener::Fingerprint;
use crate::plan;
use crate::policy::Mode;
use crate::record::{Intent, Record};
use crate::recover::Recovered;
use crate::release::Cause;
use crate::time::Mono;
use crate::verdict::Evidence;
use std::time::Duration;

/// How long a read-back may go on showing the old state before somebody is called.
const CONFIRM_MAX: Duration = Duration::from_secs(10);
/// At most so many writes are sent for one intent, each after a read that shows the judged state.
const ATTEMPTS: u32 = 5;
/// A request whose outcome we don't know may have reached AWS, which does it within this time or not at all [own
/// guess]: no second one before.
const LANDS_WITHIN: Duration = Duration::from_secs(5);
/// The pause before a retry doubles from here.
const RETRY: Duration = Duration::from_millis(200);
/// How long preflight may wait for AWS.
const PREFLIGHT_MAX: Duration = Duration::from_secs(15);

impl Guard {
    /// A breach: everything is read anew, nothing comes from a cache.
    pub(super) fn preflight(&mut self, now: Mono, evidence: Evidence, out: &mut Vec<Action>) {
        if self.draining {
            return;
        }
        if !self.policy.has_lever {
            self.refuse("lever", "no listener or rule is governed, so nothing can be reverted", out);
            return;
        }
        // A background read that is out shows an older state than ours will: its reply comes too late.
        self.reading = None;
        let op = self.op();
        out.push(Action::Read(op, Depth::Full));
        self.phase =
            Phase::Preflight { op: Some(op), evidence, since: now, tries: 0, at: now.after(REPLY_MAX) };
    }

    /// A reply that the acting path waits for. False when it is somebody else's.
    pub(super) fn acting_read(
        &mut self,
        now: Mono,
        op: OpId,
        result: &Result<Observed, ReadError>,
        out: &mut Vec<Action>,
    ) -> bool {
        match &self.phase {
            Phase::Preflight { op: Some(open), .. } if *open == op => self.preflight_read(now, result, out),
            Phase::Reading { op: Some(open), .. } if *open == op => self.reread(now, result, out),
            Phase::Confirming { op: Some(open), .. } if *open == op => self.read_back(now, result, out),
            Phase::Watching
            | Phase::Preflight { .. }
            | Phase::Intending { .. }
            | Phase::Reading { .. }
            | Phase::Writing { .. }
            | Phase::Confirming { .. }
            | Phase::Verifying { .. } => return false,
        }
        true
    }

    fn preflight_read(&mut self, now: Mono, result: &Result<Observed, ReadError>, out: &mut Vec<Action>) {
        let Phase::Preflight { evidence, since, tries, .. } = &self.phase else { return };
        let (evidence, since, tries) = (evidence.clone(), *since, *tries);
        match result {
            Err(error) => {
                self.read_error = Some(error.clone());
                if now.since(since) >= PREFLIGHT_MAX
                    || matches!(error, ReadError::Denied(_) | ReadError::NotFound(_))
                {
                    self.refuse("listener-read", &error.to_string(), out);
                    return;
                }
                let at = now.after(RETRY.saturating_mul(1 << tries.min(4)));
                self.phase = Phase::Preflight { op: None, evidence, since, tries: tries + 1, at };
            }
            Ok(observed) => {
                let before = self.live.as_ref().map_or(now, |live| live.read);
                self.take(now, observed.clone());
                self.compare(now, before, out);
                // The comparison ends the preflight when the rule is not what was judged.
                if matches!(self.phase, Phase::Preflight { .. }) {
                    self.decide(now, &evidence, out);
                }
            }
        }
    }

    /// All conditions, once; then the intent, or a refusal.
    fn decide(&mut self, now: Mono, evidence: &Evidence, out: &mut Vec<Action>) {
        let all = self.conditions(now, Some(evidence));
        let Some(release) = self.release.as_ref() else { return };
        let (release_id, base) = (release.id, release.base.clone());
        let conditions: Vec<Condition> = all.iter().map(|(_, condition)| condition.clone()).collect();
        let failing = all.iter().find(|(_, condition)| !condition.holds);
        out.push(Action::note(Record::Preflight {
            release: release_id,
            all_hold: failing.is_none(),
            conditions,
        }));
        if let Some((name, condition)) = failing {
            // A verdict that went away is no refusal: judging goes on.
            if *name == "evidence" && !self.verdict_is_bad() {
                self.phase = Phase::Watching;
            } else {
                self.refuse(name, &condition.detail, out);
            }
            return;
        }
        let (Some(live), Some(base), Some(epoch)) = (&self.live, base, &self.epoch) else { return };
        let Ok(Some(write)) = plan::revert(&live.state, &base.state) else { return };
        if self.policy.mode == Mode::Observe {
            out.push(Action::note(Record::WouldRevert { release: release_id, write }));
            let text = format!("would put {} back to {}: {evidence}", live.state.label(), base.state.label());
            self.page(PageKind::Reverted, &text, out);
            self.latch("observe", false, out);
            return;
        }
        let intent = Intent {
            id: crate::record::IntentId(0),
            epoch: epoch.id,
            release: release_id,
            before: live.state.clone(),
            write,
            versions: base.versions.clone(),
            evidence: evidence.clone(),
            deadline: evidence.last_bad.after(self.policy.evidence_age_max),
        };
        let intent = Box::new(Intent { id: self.new_intent(), ..intent });
        let op = self.op();
        out.push(Action::Persist(op, intent.clone()));
        self.phase = Phase::Intending { op, intent, at: now.after(REPLY_MAX) };
    }

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
    fn reading_for(
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

    fn reread(&mut self, now: Mono, result: &Result<Observed, ReadError>, out: &mut Vec<Action>) {
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
        if sent && shows == intent.write.becomes {
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
    fn write_or_leave(
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
        } else if sent && now < self.lands_until {
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
    fn again(
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

    fn accepted(&mut self, now: Mono, intent: Box<Intent>, out: &mut Vec<Action>) {
        self.spend(&intent, now);
        self.reading = None;
        let op = self.op();
        out.push(Action::Read(op, Depth::Listener));
        self.phase = Phase::Confirming { op: Some(op), intent, at: now.after(REPLY_MAX), since: now };
    }

    /// One revert of the budget, and a proof that is owed.
    fn spend(&mut self, intent: &Intent, now: Mono) {
        self.reverts.push(now);
        self.unproved = Some(Box::new(intent.clone()));
    }

    fn read_back(&mut self, now: Mono, result: &Result<Observed, ReadError>, out: &mut Vec<Action>) {
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
    fn partial(&mut self, now: Mono, why: &str, out: &mut Vec<Action>) {
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

    /// Leaves the acting path without a write, or without another.
    pub(super) fn abandon(&mut self, why: &str, out: &mut Vec<Action>) {
        match &self.phase {
            Phase::Watching | Phase::Preflight { .. } => {}
            Phase::Intending { intent, .. }
            | Phase::Reading { intent, .. }
            | Phase::Writing { intent, .. }
            | Phase::Confirming { intent, .. }
            | Phase::Verifying { intent, .. } => {
                out.push(Action::note(Record::Abandoned { intent: intent.id, why: why.into() }));
            }
        }
        self.phase = Phase::Watching;
    }

    /// Pauses that are over, and replies that never came.
    pub(super) fn deadlines(&mut self, now: Mono, out: &mut Vec<Action>) {
        match self.phase.clone() {
            Phase::Preflight { op, evidence, since, tries, at } if now >= at => {
                if op.is_some() {
                    self.preflight_read(now, &Err(ReadError::Timeout), out);
                } else {
                    let op = self.op();
                    out.push(Action::Read(op, Depth::Full));
                    self.phase =
                        Phase::Preflight { op: Some(op), evidence, since, tries, at: now.after(REPLY_MAX) };
                }
            }
            Phase::Intending { at, .. } if now >= at => {
                self.refuse("ledger", "the intent was not on disk in time", out);
            }
            Phase::Reading { op, intent, attempt, at, sent } if now >= at => match op {
                Some(_) => self.again(now, intent, attempt, sent, "AWS doesn't answer our reads", out),
                None => self.reading_for(now, intent, attempt, sent, out),
            },
            Phase::Writing { op, at, .. } if now >= at => {
                self.wrote(now, op, WriteOutcome::Unknown("no answer in time".into()), out);
            }
            Phase::Confirming { op, intent, at, since } if now >= at => {
                if op.is_some() {
                    self.read_back(now, &Err(ReadError::Timeout), out);
                } else {
                    let op = self.op();
                    out.push(Action::Read(op, Depth::Listener));
                    self.phase = Phase::Confirming { op: Some(op), intent, at: now.after(REPLY_MAX), since };
                }
            }
            Phase::Verifying { op, at, .. } if now >= at => {
                self.verified(now, op, &Proof::NotShown("the proof never came back".into()), out);
            }
            Phase::Preflight { .. }
            | Phase::Intending { .. }
            | Phase::Reading { .. }
            | Phase::Writing { .. }
            | Phase::Confirming { .. }
            | Phase::Verifying { .. }
            | Phase::Watching => {}
        }
    }

    /// After a restart with an intent whose end is not in the ledger: the listener says what became of it.
    pub(super) fn resume_intent(
        &mut self,
        now: Mono,
        memory: &Recovered,
        intent: Intent,
        shows: &Fingerprint,
        out: &mut Vec<Action>,
    ) {
        self.restore_release(now, memory);
        if *shows == intent.write.becomes {
            if !memory.intent_spent {
                self.reverts.push(now);
            }
            if let Some(release) = &mut self.release {
                self.good.clone_from(&release.base);
                release.over = false;
            }
            self.confirmed(now, Box::new(intent), out);
        } else if *shows == intent.write.over {
            // Untouched so far. A second attempt needs a verdict of its own.
            self.unproved = memory.intent_sent.then(|| Box::new(intent.clone()));
            out.push(Action::note(Record::Abandoned {
                intent: intent.id,
                why: "restarted before the write".into(),
            }));
            let resumes = self.release.as_ref().is_some_and(|release| now < release.until);
            if let Some(release) = &mut self.release {
                release.over = !resumes;
            }
            self.begin_epoch(now, now, Cause::Start, resumes, out);
        } else {
            self.begin_epoch(now, now, Cause::Start, false, out);
            self.overridden("the listener shows a third state after our restart", out);
            out.push(Action::note(Record::Abandoned {
                intent: intent.id,
                why: "a third state after a restart".into(),
            }));
        }
    }

    /// How the guard stands.
    #[must_use]
    pub fn status(&self, now: Mono) -> Status {
        let conditions = self.conditions(now, None);
        let all_hold = conditions.iter().all(|(_, condition)| condition.holds);
        let release = self.release.as_ref();
        let latch = release.filter(|release| !release.over).and_then(|release| release.latch.as_ref());
        let needs_human = release
            .and_then(|release| release.latch.as_ref())
            .filter(|latch| latch.needs_human)
            .map(|latch| latch.reason);
        let live = self.live.as_ref();
        Status {
            state: self.state_word(),
            armed: all_hold && self.policy.mode == Mode::Act && self.epoch.is_some(),
            conditions: conditions.into_iter().map(|(_, condition)| condition).collect(),
            epoch: self.epoch.as_ref().map(|epoch| epoch.id),
            cause: self.epoch.as_ref().map(|epoch| epoch.cause),
            shows: live.map(|live| live.state.label().into()),
            versions: self.epoch.as_ref().map(|epoch| epoch.versions.clone()).unwrap_or_default(),
            good: self.good.as_ref().map(|good| good.state.label().into()),
            release: release.map(|release| release.id),
            label: release.and_then(|release| release.label.clone()),
            latched: latch.map(|latch| latch.reason),
            needs_human,
            read: live.map(|live| live.read),
            read_error: self.read_error.as_ref().map(|error| error.to_string().into()),
        }
    }

    fn state_word(&self) -> &'static str {
        match &self.phase {
            Phase::Preflight { .. } => "preflight",
            Phase::Intending { .. } => "intent",
            Phase::Reading { .. } | Phase::Writing { .. } => "acting",
            Phase::Confirming { .. } => "verify_api",
            Phase::Verifying { .. } => "verify_data",
            Phase::Watching => match (&self.epoch, &self.release) {
                (None, _) => "starting",
                (Some(_), Some(release)) if !release.over && release.latch.is_some() => "hold",
                (Some(_), Some(release)) if !release.over => "judging",
                (Some(epoch), _) if !epoch.established => "settling",
                (Some(_), _) => "idle",
            },
        }
    }

    /// The cadence that was asked for last.
    #[must_use]
    pub const fn cadence(&self) -> Option<Cadence> {
        self.cadence
    }
}
