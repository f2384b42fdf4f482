//! From breach to intent: preflight, the decision, deadlines, and what a restart owes.

use super::preflight::NO_LEVER;
use super::write::{LANDS_WITHIN, RETRY};
use super::{
    Action, Condition, Course, Depth, Guard, Observed, OpId, PageKind, Phase, Proof, REPLY_MAX, ReadError,
    WriteOutcome,
};
use crate::hazard::{Hazard, answered};
use crate::plan::{self, Progress, Style};
use crate::policy::Mode;
use crate::record::{Intent, Record};
use crate::recover::Recovered;
use crate::release::Cause;
use crate::time::Mono;
use crate::verdict::Evidence;
use std::time::Duration;

/// How long preflight may wait for AWS.
const PREFLIGHT_MAX: Duration = Duration::from_secs(15);

impl Guard {
    /// A breach: everything is read anew, nothing comes from a cache.
    pub(super) fn preflight(&mut self, now: Mono, evidence: Evidence, out: &mut Vec<Action>) {
        if self.draining {
            return;
        }
        if !self.policy.has_lever {
            self.refuse("lever", NO_LEVER, out);
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

    pub(super) fn preflight_read(
        &mut self,
        now: Mono,
        result: &Result<Observed, ReadError>,
        out: &mut Vec<Action>,
    ) {
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
    pub(super) fn decide(&mut self, now: Mono, evidence: &Evidence, out: &mut Vec<Action>) {
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
        let Ok(call) = live.marks.owner.call() else { return };
        // An owner puts back what was there, whatever we would have written.
        let style = if call.is_some() { Style::Weights } else { self.policy.revert_style };
        let writes = plan::revert(&live.state, &base.state, style);
        let Ok(writes @ [_, ..]) = writes.as_deref() else { return };
        let writes = writes.to_vec();
        if self.policy.mode == Mode::Observe {
            out.push(Action::note(Record::WouldRevert { release: release_id, writes }));
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
            writes,
            versions: base.versions.clone(),
            evidence: evidence.clone(),
            deadline: if answered(Hazard::ControlPlane) && answered(Hazard::StaleEvidence) {
                evidence.last_bad.after(self.policy.evidence_age_max)
            } else {
                Mono(u64::MAX)
            },
            call,
        };
        let intent = Box::new(Intent { id: self.new_intent(), ..intent });
        let op = self.op();
        out.push(Action::Persist(op, intent.clone()));
        self.phase = Phase::Intending { op, intent, at: now.after(REPLY_MAX) };
    }

    /// Leaves the acting path without a write, or without another.
    pub(super) fn abandon(&mut self, why: &str, out: &mut Vec<Action>) {
        match &self.phase {
            Phase::Watching | Phase::Preflight { .. } => {}
            Phase::Intending { intent, .. }
            | Phase::Reading { course: Course { intent, .. }, .. }
            | Phase::Writing { course: Course { intent, .. }, .. }
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
            Phase::Reading { op, course, at } if now >= at => match op {
                Some(_) => self.again(now, course, "AWS doesn't answer our reads", out),
                None => self.reading_for(now, course, out),
            },
            Phase::Writing { op, at, .. } if now >= at => {
                self.wrote(now, op, WriteOutcome::Unknown("no answer in time".into()), out);
            }
            Phase::Confirming { op, intent, at, since } if now >= at => {
                if op.is_some() {
                    self.read_back(now, &Err(ReadError::Timeout), out);
                } else {
                    self.read_back_at(now, intent, since, out);
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
        out: &mut Vec<Action>,
    ) {
        self.restore_release(now, memory);
        let Some(live) = &self.live else { return };
        let all = intent.writes.len();
        let (done, left) = match intent.progress(&live.state) {
            Progress::Done => (all, Some(0)),
            Progress::Left { writes, .. } => (all - writes.len(), Some(writes.len())),
            Progress::Third(_) => (0, None),
        };
        if left == Some(0) {
            if !memory.intent_spent {
                self.reverts.push(now);
            }
            if let Some(release) = &mut self.release {
                self.good.clone_from(&release.base);
                release.over = false;
            }
            self.confirmed(now, Box::new(intent), out);
        } else if left.is_some() && done > 0 {
            // Between two writes. The evidence is gone, so what is left is for a person.
            if let Some(release) = &mut self.release {
                release.over = false;
            }
            let why = format!("stopped between two writes: {done} of {all} rules are put back");
            self.begin_epoch(now, now, Cause::OwnRevert, false, out);
            if !memory.intent_spent {
                self.reverts.push(now);
                let (outcome, detail) = ("unknown".into(), "found done after a restart".into());
                out.push(Action::note(Record::Wrote { intent: intent.id, outcome, detail, arn: "".into() }));
            }
            let abandoned = Record::Abandoned { intent: intent.id, why: why.as_str().into() };
            self.unproved = Some(Box::new(intent));
            // The latch first: whoever reads only so far must not begin anew.
            self.partial(now, &why, out);
            out.push(Action::note(abandoned));
        } else if left.is_some() && self.is_rolling_back(&intent) {
            // The owner has our word, and works on it.
            if let Some(release) = &mut self.release {
                release.over = false;
            }
            self.begin_epoch(now, now, Cause::Start, false, out);
            if !memory.intent_spent {
                self.spend_late(&intent, now, out);
            }
            self.accepted(now, Box::new(intent), out);
        } else if left.is_some() {
            // Untouched so far; a call that went out may yet arrive. A second attempt needs a verdict of its own.
            self.uncounted = (!memory.intent_spent).then_some(intent.id);
            self.lands_until = now.after(LANDS_WITHIN);
            out.push(Action::note(Record::Abandoned {
                intent: intent.id,
                why: "restarted before it had an effect".into(),
            }));
            self.unproved = Some(Box::new(intent));
            let resumes = self.release.as_ref().is_some_and(|release| now < release.until);
            if let Some(release) = &mut self.release {
                release.over = !resumes;
            }
            self.begin_epoch(now, now, Cause::Start, resumes, out);
        } else {
            self.begin_epoch(now, now, Cause::Start, false, out);
            let what = self.what();
            self.overridden(now, &format!("the {what} shows a third state after our restart"), out);
            out.push(Action::note(Record::Abandoned {
                intent: intent.id,
                why: "a third state after a restart".into(),
            }));
        }
    }
}

#[cfg(test)]
mod tests;
