//! What AWS, the disk and fresh connections answer to the guard, and what goes wrong there.

use crate::faults::Fault;
use crate::plane::version;
use crate::run::{Job, Proving, Run};
use serin_model::guard::{Depth, Event, Full, Observed, OpId, Proof, ReadError, WriteOutcome};
use serin_model::plan::Write;
use serin_model::record::{Intent, Record};
use std::time::Duration;

impl Run {
    pub(crate) fn serve_read(&mut self, op: OpId, depth: Depth) {
        if self.is_on(Fault::ReadTimeout) || self.is_on(Fault::Partition) {
            return;
        }
        let denied = self.is_on(Fault::ReadDenied) || self.is_on(Fault::CredentialsExpired);
        let error = if self.is_on(Fault::ReadThrottled) {
            Some(ReadError::Throttled)
        } else if denied {
            Some(ReadError::Denied("DescribeRules".into()))
        } else if self.is_on(Fault::RuleDeleted) {
            Some(ReadError::NotFound("the rule".into()))
        } else if self.is_on(Fault::ReadFailed) || self.is_on(Fault::NoName) {
            Some(ReadError::Failed("500".into()))
        } else {
            None
        };
        let result = if let Some(error) = error {
            Err(error)
        } else {
            {
                let ago = Duration::from_millis(u64::from(self.lot(Fault::ReadStale) % 3_000));
                let state = if self.is_on(Fault::ReadStale) {
                    self.plane.was(self.now, ago)
                } else {
                    self.plane.listener.clone()
                };
                let observed = Observed {
                    state,
                    marks: (depth != Depth::Listener).then(|| self.plane.marks.clone()),
                    health: (depth == Depth::Full).then(|| self.plane.health()),
                };
                self.laws.read(&observed, self.newest_full == Some(op));
                Ok(observed)
            }
        };
        self.reply(Event::Read(op, result));
    }

    pub(crate) fn serve_persist(&mut self, op: OpId, intent: Intent) {
        if self.is_on(Fault::LedgerSilent) {
            return;
        }
        let result = if self.is_on(Fault::LedgerFull) {
            Err(Full("no space left on device".into()))
        } else {
            self.note(Record::Intent(intent));
            self.synced = self.ledger.len();
            Ok(())
        };
        self.reply(Event::Durable(op, result));
    }

    pub(crate) fn serve_write(&mut self, op: OpId, write: Write) {
        let last = self.plane.listener.rules().last().is_some_and(|rule| rule.arn == write.arn);
        let several = self.plane.listener.rules().len() > 1;
        let denied = self.is_on(Fault::WriteDenied)
            || self.is_on(Fault::CredentialsExpired)
            || self.is_on(Fault::PartialSuccess) && several && last;
        let outcome = if self.is_on(Fault::Partition) || self.is_on(Fault::WriteLost) {
            return;
        } else if denied {
            WriteOutcome::Refused("AccessDenied".into())
        } else if self.is_on(Fault::RuleDeleted) {
            WriteOutcome::Refused("RuleNotFound".into())
        } else if self.is_on(Fault::NoName) {
            WriteOutcome::Unknown("dns error".into())
        } else if self.is_on(Fault::WriteThrottled) {
            WriteOutcome::Throttled
        } else if self.is_on(Fault::WriteLate) {
            let late = self.soon(500, 4_400);
            self.queue(late, Job::Effect(write));
            return;
        } else if self.is_on(Fault::WriteUnanswered) {
            self.effect(&write);
            return;
        } else if self.is_on(Fault::WriteFailed) {
            if self.lot(Fault::WriteFailed).is_multiple_of(2) {
                self.effect(&write);
            }
            WriteOutcome::Unknown("500".into())
        } else {
            self.effect(&write);
            WriteOutcome::Accepted("request-1".into())
        };
        self.reply(Event::Wrote(op, outcome));
    }

    pub(crate) fn effect(&mut self, write: &Write) {
        let Some(before) = self.plane.listener.rule(&write.arn).cloned() else { return };
        if before.fingerprint() == write.becomes {
            return;
        }
        self.laws.effect(self.now, write, &before, self.foreign);
        let (state, lag) = (self.plane.written(write), self.lag());
        self.say(|| format!("EFFECT {}", state.label()));
        self.plane.set(self.now, state, lag);
    }

    pub(crate) fn prove(&mut self) {
        let Some(Proving { op, aim, since }) = &self.proving else { return };
        let (op, since, within) = (*op, *since, aim.within);
        let serving = self.plane.serving(self.now);
        let shown = serving.iter().all(|group| aim.versions.contains(version(group)));
        let proof = if shown && !self.is_on(Fault::Sticky) && !self.is_on(Fault::Partition) {
            Proof::Shown { answers: 10, addresses: 2 }
        } else if self.now.since(since) >= within {
            Proof::NotShown("fresh connections did not get it".into())
        } else {
            self.queue(self.now.after(Duration::from_millis(200)), Job::Prove);
            return;
        };
        self.proving = None;
        self.reply(Event::Verified(op, proof));
    }
}
