//! Rules that ECS moves: what it answers to the guard's call, and what becomes of its deployment.

use crate::faults::Fault;
use crate::plane::Plane;
use crate::run::{Job, Run};
use serin_model::guard::{Event, OpId, WriteOutcome};
use serin_model::owner::{By, Call, Deployer, Deployment, DeploymentStage, Owner};
use std::time::Duration;

/// What ECS does next with a deployment.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// It begins to take it back.
    Begin(Box<str>),
    /// It has, or couldn't.
    End(Box<str>),
}

impl Plane {
    /// ECS moves the rules from now on; its last deployment is long over.
    pub(crate) fn owned(&mut self) {
        let newest = Some(Deployment {
            id: "d0".into(),
            stage: DeploymentStage::Over("SUCCESSFUL".into()),
            unwatched: None,
        });
        self.marks.owner = Owner::Deployer(Deployer { by: By::Ecs, service: "shop".into(), newest });
    }

    /// A new deployment begins; with a hook that waits, or without.
    pub(crate) fn deploy(&mut self, lot: u32) {
        if let Owner::Deployer(Deployer { newest: Some(newest), .. }) = &mut self.marks.owner {
            newest.id = format!("{}'", newest.id).into();
            newest.stage = DeploymentStage::Running { hook: lot.is_multiple_of(3).then(|| "hook".into()) };
        }
    }

    fn newest(&mut self, id: &str) -> Option<&mut DeploymentStage> {
        match &mut self.marks.owner {
            Owner::Deployer(Deployer { newest: Some(newest), .. }) if &*newest.id == id => {
                Some(&mut newest.stage)
            }
            _ => None,
        }
    }
}

impl Run {
    pub(crate) fn serve_call(&mut self, op: OpId, call: &Call) {
        let id: Box<str> = call.deployment().into();
        let denied = self.is_on(Fault::WriteDenied) || self.is_on(Fault::CredentialsExpired);
        let stage = self.plane.newest(&id).cloned();
        let outcome = if self.is_on(Fault::Partition) || self.is_on(Fault::WriteLost) {
            return;
        } else if denied {
            WriteOutcome::Refused("AccessDenied".into())
        } else if self.is_on(Fault::NoName) {
            WriteOutcome::Unknown("dns error".into())
        } else if self.is_on(Fault::WriteThrottled) {
            WriteOutcome::Throttled
        } else if !matches!(stage, Some(DeploymentStage::Running { .. } | DeploymentStage::RollingBack)) {
            WriteOutcome::Refused("ConflictException".into())
        } else if self.is_on(Fault::WriteLate) {
            let late = self.soon(500, 4_400);
            self.queue(late, Job::Owner(Step::Begin(id)));
            return;
        } else if self.is_on(Fault::WriteUnanswered) {
            self.owner_does(Step::Begin(id));
            return;
        } else if self.is_on(Fault::WriteFailed) {
            if self.lot(Fault::WriteFailed).is_multiple_of(2) {
                self.owner_does(Step::Begin(id));
            }
            WriteOutcome::Unknown("500".into())
        } else {
            self.owner_does(Step::Begin(id));
            WriteOutcome::Accepted("request-1".into())
        };
        self.reply(Event::Wrote(op, outcome));
    }

    /// While one is under way another word changes nothing.
    pub(crate) fn owner_does(&mut self, step: Step) {
        self.say(|| format!("OWNER {step:?}"));
        match step {
            Step::Begin(id) => {
                let Some(stage @ DeploymentStage::Running { .. }) = self.plane.newest(&id) else { return };
                *stage = DeploymentStage::RollingBack;
                let at = self.now.after(Duration::from_millis(200)).max(self.soon(200, 8_000));
                self.queue(at, Job::Owner(Step::End(id)));
            }
            Step::End(id) => {
                let fails = self.is_on(Fault::PartialSuccess) || self.is_on(Fault::RuleDeleted);
                let Some(stage) = self.plane.newest(&id) else { return };
                if fails {
                    *stage = DeploymentStage::RollbackFailed("no capacity".into());
                    return;
                }
                *stage = DeploymentStage::RolledBack;
                self.all_back();
            }
        }
    }

    /// Every rule is what it was before, by the owner's hand.
    fn all_back(&mut self) {
        let back = self.plane.back(3);
        let lag = self.lag();
        self.laws.returned(self.now, &back);
        self.say(|| format!("EFFECT {}", back.label()));
        self.plane.set(self.now, back, lag);
    }
}
