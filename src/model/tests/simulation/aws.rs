//! What AWS, the disk and fresh connections answer to the guard.

use super::app::{App, Job, Moment};
use super::world::Trouble;
use serin_model::guard::{Depth, Event, Full, Observed, OpId, Proof, ReadError, WriteOutcome};
use serin_model::plan::{Write, after};
use serin_model::record::{Intent, Record};
use serin_model::sample::Outcome;
use std::time::Duration;

impl App {
    pub(crate) fn serve_read(&mut self, op: OpId, depth: Depth) {
        let result = match self.world.read_trouble(self.now) {
            Some(Trouble::Lost | Trouble::Done | Trouble::DoneLater(_)) => return,
            Some(Trouble::Throttled) => Err(ReadError::Throttled),
            Some(Trouble::Denied) => Err(ReadError::Denied("elasticloadbalancing:DescribeRules".into())),
            Some(Trouble::Gone) => Err(ReadError::NotFound("the rule".into())),
            None => Ok(Observed {
                state: self.world.listener.clone(),
                marks: (depth != Depth::Listener).then(|| self.world.marks.clone()),
                health: (depth == Depth::Full).then(|| self.world.health()),
            }),
        };
        if let Ok(observed) = &result {
            self.laws.read(observed);
        }
        let at = self.soon(10, 40);
        self.queue(at, Job::Reply(Box::new(Event::Read(op, result))));
    }

    pub(crate) fn serve_persist(&mut self, op: OpId, intent: Intent) {
        let result = if self.world.ledger_full {
            Err(Full("no space left on device".into()))
        } else {
            self.note(Record::Intent(intent));
            Ok(())
        };
        self.moment(Moment::Intent);
        self.queue(self.now, Job::Reply(Box::new(Event::Durable(op, result))));
    }

    pub(crate) fn serve_write(&mut self, op: OpId, write: Write, trouble: Option<Trouble>) {
        let outcome = match trouble {
            None => {
                self.effect(write);
                self.moment(Moment::WriteDone);
                WriteOutcome::Accepted("request-1".into())
            }
            Some(Trouble::Throttled) => WriteOutcome::Throttled,
            Some(Trouble::Denied) => WriteOutcome::Refused("AccessDenied".into()),
            Some(Trouble::Gone) => WriteOutcome::Refused("RuleNotFound".into()),
            Some(Trouble::Lost) => return,
            Some(Trouble::Done) => {
                self.effect(write);
                self.moment(Moment::WriteDone);
                return;
            }
            Some(Trouble::DoneLater(ms)) => {
                self.queue(self.now.after(Duration::from_millis(ms)), Job::Effect(write));
                WriteOutcome::Unknown("connection reset".into())
            }
        };
        let at = self.soon(10, 40);
        self.queue(at, Job::Reply(Box::new(Event::Wrote(op, outcome))));
    }

    pub(crate) fn effect(&mut self, write: Write) {
        let state = after(&self.world.listener, std::slice::from_ref(&write));
        if state.fingerprint() != self.world.listener.fingerprint() {
            let story = self.story();
            self.laws.effect(&write, &self.world.listener, &story);
            self.world.set(self.now, state);
            self.effects.push((self.now, write));
        }
    }

    /// Fresh connections, both addresses, 20 ms apart.
    pub(crate) fn prove(&mut self) {
        let Some(process) = &mut self.process else { return };
        let Some(proving) = &mut process.proving else { return };
        for addr in 0..2_u16 {
            let sample = self.prober.fresh(&mut self.world, &mut process.judge.versions, self.now, addr);
            let name = process.judge.versions.name(sample.version);
            let counts = proving.aim.versions.is_empty()
                || name.is_some_and(|name| proving.aim.versions.contains(name));
            let answers = &mut proving.answers[usize::from(addr)];
            *answers = if sample.outcome == Outcome::Ok && counts { *answers + 1 } else { 0 };
        }
        let shown = proving.answers.iter().all(|count| *count >= proving.aim.answers);
        let proof = if shown {
            Proof::Shown { answers: proving.answers.iter().sum(), addresses: 2 }
        } else if self.now.since(proving.since) >= proving.aim.within {
            Proof::NotShown("fresh connections did not get it".into())
        } else {
            self.queue(self.now.after(Duration::from_millis(20)), Job::Proof);
            return;
        };
        let op = proving.op;
        process.proving = None;
        self.queue(self.now, Job::Reply(Box::new(Event::Verified(op, proof))));
    }
}
