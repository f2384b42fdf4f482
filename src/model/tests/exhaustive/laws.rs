//! What must be true whenever something is written or called, seen from outside the guard.

use crate::world::{FRESH, What, World};
use serin_model::guard::{Command, Observed, OpId};
use serin_model::listener::{ListenerState, RuleState};
use serin_model::plan::Write;
use serin_model::record::{Intent, IntentId, Record};
use serin_model::release::ReleaseId;
use serin_model::time::Mono;
use serin_model::verdict::Verdict;
use std::collections::BTreeSet;
use std::time::Duration;

/// What has begun may be finished for so long after its deadline.
const FINISH: Duration = Duration::from_secs(10);

/// What one daemon has been told and has done, as far as a law asks for it.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that was seen")]
pub(crate) struct Mind {
    /// The newest intent that is on disk, until it is over.
    pub(crate) intent: Option<Box<Intent>>,
    /// AWS has taken a write of it, or a read has shown one.
    begun: bool,
    shown: Option<ListenerState>,
    /// A read has come back since the intent is on disk.
    reread: bool,
    tag_holds: bool,
    word_holds: bool,
    /// The word is bad: when the last bad answer was due.
    bad: Option<Mono>,
    /// A call went out, and no read that was asked for since has come back: its operation.
    unread: Option<OpId>,
    /// It was asked to stop, and does as soon as it may.
    pub(crate) drains: bool,
    pub(crate) stops: bool,
    /// Intents that the ledger knows to be spent. What it doesn't know nobody can: a write that had its effect, and that somebody
    /// undid before any read showed it, can't be told from one that never arrived.
    known: BTreeSet<IntentId>,
    /// Effects of ours that a read has shown.
    seen: BTreeSet<(ReleaseId, Box<str>)>,
}

fn law(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}

impl Mind {
    /// The process is gone, and with it what it had read and heard.
    pub(crate) fn dies(&mut self) {
        (self.shown, self.bad, self.unread, self.drains) = (None, None, None, false);
    }

    /// The intent is on disk now.
    pub(crate) fn persisted(&mut self, intent: &Intent) {
        (self.intent, self.begun, self.reread) = (Some(Box::new(intent.clone())), false, false);
    }

    pub(crate) fn read(&mut self, op: OpId, observed: &Observed) {
        (self.shown, self.reread) = (Some(observed.state.clone()), true);
        if let Some(marks) = &observed.marks {
            self.tag_holds = marks.hold.is_some();
        }
        if self.unread.is_some_and(|sent| op > sent) {
            self.unread = None;
        }
        let Some(intent) = &self.intent else { return };
        for write in &intent.writes {
            let shows = observed.state.rule(&write.arn).map(RuleState::fingerprint);
            if self.begun && shows.as_ref() == Some(&write.becomes) {
                self.seen.insert((intent.release, write.arn.clone()));
            }
        }
    }

    pub(crate) fn judged(&mut self, verdict: &Verdict) {
        self.bad = match verdict {
            Verdict::Bad(evidence) => Some(evidence.last_bad),
            Verdict::Good | Verdict::Inconclusive(_) | Verdict::Blind(_) => None,
        };
    }

    pub(crate) fn note(&mut self, record: &Record) {
        let is_open = |intent: &IntentId| self.intent.as_ref().is_some_and(|open| open.id == *intent);
        let stands_down =
            matches!(record, Record::Paged { text, .. } if text.contains("an invariant is broken"));
        assert!(!stands_down, "the guard's own monitor says: {record:?}");
        match record {
            Record::Wrote { intent, outcome, .. } if &**outcome != "refused" => {
                _ = self.known.insert(*intent);
            }
            Record::Confirmed { intent } => {
                _ = self.known.insert(*intent);
            }
            _ => {}
        }
        match record {
            // An epoch's word is not another's.
            Record::Epoch { .. } => self.bad = None,
            Record::Abandoned { intent, .. } if is_open(intent) => self.intent = None,
            Record::Held { .. } => self.intent = None,
            // The effect of a write without an answer is its answer.
            Record::Wrote { intent, outcome, arn, .. } if is_open(intent) => {
                self.begun |= &**outcome == "accepted" || arn.is_empty();
            }
            Record::Operator { command: Command::Hold { .. } } => self.word_holds = true,
            Record::Operator { command: Command::Unhold } => self.word_holds = false,
            _ => {}
        }
    }

    /// A mutating call is about to go out; `out` when another one may still arrive.
    pub(crate) fn sends(&mut self, now: Mono, op: OpId, what: &What, out: bool) -> Result<IntentId, String> {
        let intent = self.intent.as_ref().ok_or("DURABLE: a call without an open intent on disk")?;
        let all = match what {
            What::Write(write) => {
                law(intent.writes.contains(write), || "DURABLE: the intent is for another write".into())?;
                vec![write]
            }
            What::Call(call) => {
                let named = intent.call.as_ref().map(serin_model::owner::Call::deployment);
                law(named == Some(call.deployment()), || {
                    "DURABLE: the intent is for another deployment".into()
                })?;
                let left = |write: &&Write| self.shows(write).as_ref() != Some(&write.becomes);
                intent.writes.iter().filter(left).collect()
            }
        };
        law(!all.is_empty(), || "ONCE: nothing is left to put back".into())?;
        if self.begun {
            law(now <= intent.deadline.after(FINISH), || "FRESH: too late to finish".into())?;
        } else {
            let last = self.bad.ok_or("FRESH: the word is not bad")?;
            law(now.since(last) <= FRESH, || format!("FRESH: evidence of {:?} ago", now.since(last)))?;
            law(now <= intent.deadline, || "FRESH: the intent's deadline is over".into())?;
        }
        for write in all {
            let before = intent.before.rule(&write.arn).map(RuleState::fingerprint);
            law(before.as_ref() == Some(&write.over), || "READ: not over the before-image".into())?;
            law(self.shows(write) == before, || "READ: the last read shows another state".into())?;
            law(!self.seen.contains(&(intent.release, write.arn.clone())), || {
                "ONCE: what we put back was undone, and is put back again".into()
            })?;
        }
        law(self.reread, || "READ: no read stands between the intent and the call".into())?;
        law(!self.tag_holds && !self.word_holds, || "HOLD: somebody holds".into())?;
        law(self.unread.is_none(), || "RESOLVE: sent again, and no read stands between".into())?;
        law(!out, || "RESOLVE: another one may still arrive".into())?;
        self.unread = Some(op);
        Ok(intent.id)
    }

    fn shows(&self, write: &Write) -> Option<serin_model::listener::Fingerprint> {
        self.shown.as_ref()?.rule(&write.arn).map(RuleState::fingerprint)
    }
}

impl World {
    /// A call of this actor's intent changed a rule.
    pub(crate) fn changed_by(&mut self, index: usize, intent: IntentId) -> Result<(), String> {
        let others = self.effective.iter().filter(|one| **one != (index, intent));
        let known =
            |(other, id): &&(usize, IntentId)| *other != index || self.actors[*other].mind.known.contains(id);
        let second = others.clone().any(|one| known(&one));
        if !self.effective.contains(&(index, intent)) {
            self.effective.push((index, intent));
        }
        law(!second, || "ONCE: a second revert within the budget's hour".into())
    }

    /// Nothing is under way but what is asked again and again, and users are well or somebody was told.
    pub(crate) fn is_rest(&self) -> bool {
        let still = |actor: &crate::world::Actor| {
            actor.guard.as_ref().is_some_and(serin_model::guard::Guard::may_stop)
                && actor.persist.is_none()
                && actor.proof.is_none()
                && actor.sent.iter().all(|sent| sent.outcome.is_some())
        };
        let told = self.actors.iter().any(|actor| actor.told);
        self.actors.iter().all(still) && !self.owner_works && (!self.ill() || told)
    }
}
