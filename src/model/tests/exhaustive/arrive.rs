//! What reaches the disk, AWS and the owner, and what comes back from them.

use crate::moves::Move;
use crate::world::{Sent, What, World, blue};
use serin_model::guard::{Event, Full, Proof, WriteOutcome};
use serin_model::owner::DeploymentStage;
use serin_model::plan;
use serin_model::record::Record;
use std::rc::Rc;

impl World {
    pub(crate) fn of_disk(&mut self, what: Move, dies: Option<usize>) -> Result<usize, String> {
        match what {
            Move::IntentOnDisk(index) => {
                let now = self.now;
                let actor = &mut self.actors[index];
                let Some((_, intent, on_disk, _)) = &mut actor.persist else { return Ok(0) };
                *on_disk = true;
                let intent = intent.clone();
                actor.note(now, Record::Intent((*intent).clone()));
                actor.mind.persisted(&intent);
                Ok(0)
            }
            Move::IntentAnswered(index) => {
                let Some((op, ..)) = self.actors[index].persist.take() else { return Ok(0) };
                self.step(index, Event::Durable(op, Ok(())), dies)
            }
            Move::DiskFull(index) => {
                self.budget.faults -= 1;
                let Some((op, ..)) = self.actors[index].persist.take() else { return Ok(0) };
                self.step(index, Event::Durable(op, Err(Full("no space left on device".into()))), dies)
            }
            Move::DiskIsLate(index) => {
                self.budget.late -= 1;
                if let Some((_, _, _, late)) = &mut self.actors[index].persist {
                    *late = true;
                }
                Ok(0)
            }
            Move::Proof(index) | Move::ProofFails(index) => {
                let Some(op) = self.actors[index].proof.take() else { return Ok(0) };
                let fails = matches!(what, Move::ProofFails(_));
                self.budget.faults -= u8::from(fails);
                let proof = if fails || self.ill() {
                    Proof::NotShown("fresh connections did not get it".into())
                } else {
                    Proof::Shown { answers: 5, addresses: 1 }
                };
                self.step(index, Event::Verified(op, proof), dies)
            }
            other => self.calls(other, dies),
        }
    }

    fn calls(&mut self, what: Move, dies: Option<usize>) -> Result<usize, String> {
        match what {
            Move::CallArrives(index, number) => {
                let outcome = self.arrives(index, number)?;
                self.answered(index, number, outcome);
            }
            Move::CallArrivesAndAnswerIsLost(index, number) => {
                self.budget.faults -= 1;
                self.arrives(index, number)?;
                self.answered(index, number, WriteOutcome::Unknown("500".into()));
            }
            Move::CallThrottled(index, number) => {
                self.budget.faults -= 1;
                self.answered(index, number, WriteOutcome::Throttled);
            }
            Move::CallRefused(index, number) => {
                self.budget.faults -= 1;
                self.answered(index, number, WriteOutcome::Refused("AccessDenied".into()));
            }
            Move::CallIsLate(index, number) | Move::AnswerIsLate(index, number) => {
                self.budget.late -= 1;
                self.actors[index].sent[number].late = true;
            }
            Move::CallIsLost(index, number) => {
                self.actors[index].sent.remove(number);
            }
            Move::CallAnswered(index, number) => {
                let Sent { op, outcome, .. } = self.actors[index].sent.remove(number);
                let Some(outcome) = outcome else { return Ok(0) };
                return self.step(index, Event::Wrote(op, outcome), dies);
            }
            _ => {}
        }
        Ok(0)
    }

    /// What AWS shows now is what the read that is out will bring.
    pub(crate) fn serve(&mut self, index: usize) {
        let Some(asked) = self.actors[index].asked.as_ref().filter(|asked| asked.shows.is_none()) else {
            return;
        };
        let shows = Rc::new(self.observed(asked.depth));
        if let Some(asked) = &mut self.actors[index].asked {
            asked.shows = Some(shows);
        }
    }

    fn answered(&mut self, index: usize, number: usize, outcome: WriteOutcome) {
        let actor = &mut self.actors[index];
        // An answer to a process that died is nobody's.
        if actor.guard.is_none() {
            actor.sent.remove(number);
        } else {
            actor.sent[number].outcome = Some(outcome);
        }
    }

    /// A call reaches AWS.
    fn arrives(&mut self, index: usize, number: usize) -> Result<WriteOutcome, String> {
        let sent = &self.actors[index].sent[number];
        let (what, intent) = (sent.what.clone(), sent.intent);
        let accepted = WriteOutcome::Accepted("request-1".into());
        match &*what {
            What::Write(write) => {
                let shows = self.listener.rule(&write.arn).map(serin_model::listener::RuleState::fingerprint);
                if shows.as_ref() == Some(&write.becomes) {
                    return Ok(accepted);
                }
                self.raced = shows.as_ref() != Some(&write.over);
                self.listener = plan::after(&self.listener, std::slice::from_ref(write));
                self.changed_by(index, intent)?;
                Ok(accepted)
            }
            What::Call(call) => {
                let newest = self.deployment().filter(|newest| *newest.id == *call.deployment());
                match newest.map(|newest| &mut newest.stage) {
                    Some(stage @ DeploymentStage::Running { .. }) => {
                        *stage = DeploymentStage::RollingBack;
                        self.owner_works = true;
                        self.changed_by(index, intent)?;
                        Ok(accepted)
                    }
                    Some(DeploymentStage::RollingBack) => Ok(accepted),
                    _ => Ok(WriteOutcome::Refused("ConflictException".into())),
                }
            }
        }
    }

    pub(crate) fn owner_ends(&mut self, stage: DeploymentStage) {
        self.owner_works = false;
        if stage == DeploymentStage::RolledBack {
            self.listener = blue(self.listener.rules().len());
        }
        if let Some(newest) = self.deployment() {
            newest.stage = stage;
        }
    }
}
