//! Who else moves the governed rules, and which of its own calls puts back what it began.
//!
//! A rule that ECS or `CodeDeploy` moves is put back by them: they re-swing the rule at the next deployment whatever it shows, so a
//! write past them is undone or, worse, built upon. Whatever is not known is [`Owner::Unknown`], and never "nobody".

use crate::hazard::{Hazard, answered};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Who moves the governed rules, as far as it could be found out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// It could not be found out: why, in words.
    Unknown(Box<str>),
    /// Nobody but those who call the listener's own API.
    Nobody,
    /// Somebody who would undo a write, and has no call that puts anything back: who, and how that is known.
    Other(Box<str>),
    /// The deployments of a service.
    Deployer(Deployer),
}

/// Whose deployments move the rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployer {
    /// Through which API.
    pub by: By,
    /// The ECS service's ARN.
    pub service: Box<str>,
    /// The newest deployment; `None` when there was none yet.
    pub newest: Option<Deployment>,
}

/// The two that deploy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Amazon ECS itself: blue/green, linear or canary.
    Ecs,
    /// AWS `CodeDeploy`.
    CodeDeploy,
}

/// One deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its ARN (ECS) or its id (`CodeDeploy`).
    pub id: Box<str>,
    /// How far it has come.
    pub stage: DeploymentStage,
    /// The alarms by which ECS was to roll it back, where ECS says that it uses none in this deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwatched: Option<Box<str>>,
}

/// How far a deployment has come, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentStage {
    /// It can still be rolled back; with the id of a hook that waits for a word, if one does.
    Running {
        /// A PAUSE hook in the state `AWAITING_ACTION`.
        hook: Option<Box<str>>,
    },
    /// It is being rolled back.
    RollingBack,
    /// It was rolled back.
    RolledBack,
    /// Its rollback failed: AWS's reason.
    RollbackFailed(Box<str>),
    /// It is over, or the old version is being taken away: AWS's word.
    Over(Box<str>),
}

/// The owner's own call that puts back what its deployment began. Each names one deployment, so that a later one can't be hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum Call {
    /// `ecs:ContinueServiceDeployment` with the action `ROLLBACK`: the answer to a hook that waits.
    ContinueServiceDeployment {
        /// The deployment's ARN.
        deployment: Box<str>,
        /// The hook's id.
        hook: Box<str>,
    },
    /// `ecs:StopServiceDeployment` with the type `ROLLBACK`; while one is under way it goes on, and nothing else happens.
    StopServiceDeployment {
        /// The deployment's ARN.
        deployment: Box<str>,
    },
    /// `codedeploy:StopDeployment` with `autoRollbackEnabled`.
    StopDeployment {
        /// The deployment's id.
        deployment: Box<str>,
    },
}

impl Call {
    /// AWS's name of it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ContinueServiceDeployment { .. } => "ContinueServiceDeployment",
            Self::StopServiceDeployment { .. } => "StopServiceDeployment",
            Self::StopDeployment { .. } => "StopDeployment",
        }
    }

    /// The deployment that it puts back.
    #[must_use]
    pub fn deployment(&self) -> &str {
        match self {
            Self::ContinueServiceDeployment { deployment, .. }
            | Self::StopServiceDeployment { deployment }
            | Self::StopDeployment { deployment } => deployment,
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.name(), self.deployment())
    }
}

impl By {
    /// As people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ecs => "ECS",
            Self::CodeDeploy => "CodeDeploy",
        }
    }
}

impl Owner {
    /// The call that puts the rules back; `None` where writing them does.
    ///
    /// # Errors
    /// Nothing may be called: why, in words.
    pub fn call(&self) -> Result<Option<Call>, String> {
        let deployer = match self {
            Self::Nobody => return Ok(None),
            Self::Deployer(Deployer { by: By::Ecs, .. }) if !answered(Hazard::EcsOwns) => return Ok(None),
            Self::Deployer(Deployer { by: By::CodeDeploy, .. }) if !answered(Hazard::CodeDeployOwns) => {
                return Ok(None);
            }
            Self::Unknown(why) => return Err(format!("who owns the rule is not known: {why}")),
            Self::Other(who) => return Err(format!("{who}, and would undo what we write")),
            Self::Deployer(deployer) => deployer,
        };
        let (by, service) = (deployer.by.name(), &deployer.service);
        let Some(Deployment { id, stage, .. }) = &deployer.newest else {
            return Err(format!("{by} owns the rule ({service}), and no deployment of it is known"));
        };
        let id = id.clone();
        match (stage, deployer.by) {
            (DeploymentStage::Running { hook: Some(hook) }, By::Ecs) => {
                Ok(Some(Call::ContinueServiceDeployment { deployment: id, hook: hook.clone() }))
            }
            (DeploymentStage::Running { .. }, By::Ecs) => {
                Ok(Some(Call::StopServiceDeployment { deployment: id }))
            }
            (DeploymentStage::Running { .. }, By::CodeDeploy) => {
                Ok(Some(Call::StopDeployment { deployment: id }))
            }
            (DeploymentStage::RollingBack, _) => Err(format!("{by} rolls {id} back already")),
            (DeploymentStage::RolledBack, _) => Err(format!("{by} has rolled {id} back already")),
            (DeploymentStage::RollbackFailed(why), _) => Err(format!("{by} could not roll {id} back: {why}")),
            (DeploymentStage::Over(how), _) => Err(format!(
                "{by} owns the rule ({service}), and its deployment {id} can't be rolled back any more: {how}"
            )),
        }
    }

    /// How it stands in peace: nothing to put back yet, and somebody to ask when there is.
    ///
    /// # Errors
    /// A release would not be put back, whatever becomes of it.
    pub fn standing(&self) -> Result<String, String> {
        match self {
            Self::Nobody => Ok("nobody else moves the rule".into()),
            Self::Deployer(Deployer { by, service, .. }) => {
                Ok(format!("{} owns the rule ({service}): its deployments are rolled back", by.name()))
            }
            Self::Unknown(_) | Self::Other(_) => self.call().map(|_| String::new()),
        }
    }

    /// The alarms that don't roll back the deployment which is under way, though they were to.
    #[must_use]
    pub fn unwatched(&self) -> Option<&str> {
        let Self::Deployer(Deployer { newest: Some(newest), .. }) = self else { return None };
        let runs = matches!(newest.stage, DeploymentStage::Running { .. });
        newest.unwatched.as_deref().filter(|_| runs && answered(Hazard::RedAlarm))
    }

    /// What became of this deployment; `None` where another one is the newest, or nothing is known.
    #[must_use]
    pub fn stage_of(&self, deployment: &str) -> Option<&DeploymentStage> {
        let Self::Deployer(Deployer { newest: Some(newest), .. }) = self else { return None };
        (&*newest.id == deployment).then_some(&newest.stage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployer(by: By, stage: Option<DeploymentStage>) -> Owner {
        let newest = stage.map(|stage| Deployment { id: "d-1".into(), stage, unwatched: None });
        Owner::Deployer(Deployer { by, service: "shop".into(), newest })
    }

    #[test]
    fn each_owner_has_its_own_call_and_most_states_have_none() {
        let running = |hook: Option<&str>| Some(DeploymentStage::Running { hook: hook.map(Into::into) });
        assert_eq!(Owner::Nobody.call(), Ok(None));
        let deployment: Box<str> = "d-1".into();
        let call = Call::ContinueServiceDeployment { deployment: deployment.clone(), hook: "h".into() };
        assert_eq!(deployer(By::Ecs, running(Some("h"))).call(), Ok(Some(call.clone())));
        assert_eq!(call.to_string(), "ContinueServiceDeployment of d-1");
        let call = Call::StopServiceDeployment { deployment: deployment.clone() };
        assert_eq!(deployer(By::Ecs, running(None)).call(), Ok(Some(call.clone())));
        assert_eq!(call.to_string(), "StopServiceDeployment of d-1");
        let call = Call::StopDeployment { deployment };
        assert_eq!(deployer(By::CodeDeploy, running(Some("h"))).call(), Ok(Some(call.clone())));
        assert_eq!(call.to_string(), "StopDeployment of d-1");
        let refused = [
            (Owner::Unknown("denied".into()), "who owns the rule is not known: denied"),
            (Owner::Other("kube has it".into()), "kube has it, and would undo what we write"),
            (deployer(By::Ecs, None), "ECS owns the rule (shop), and no deployment of it is known"),
            (deployer(By::Ecs, Some(DeploymentStage::RollingBack)), "ECS rolls d-1 back already"),
            (
                deployer(By::CodeDeploy, Some(DeploymentStage::RolledBack)),
                "CodeDeploy has rolled d-1 back already",
            ),
            (
                deployer(By::Ecs, Some(DeploymentStage::RollbackFailed("x".into()))),
                "ECS could not roll d-1 back: x",
            ),
            (
                deployer(By::Ecs, Some(DeploymentStage::Over("CLEAN_UP".into()))),
                "ECS owns the rule (shop), and its deployment d-1 can't be rolled back any more: CLEAN_UP",
            ),
        ];
        for (owner, says) in refused {
            assert_eq!(owner.call(), Err(says.to_owned()));
        }
    }

    #[test]
    fn in_peace_a_deployment_that_is_over_is_as_it_should_be() {
        assert_eq!(Owner::Nobody.standing(), Ok("nobody else moves the rule".into()));
        let over = deployer(By::Ecs, Some(DeploymentStage::Over("SUCCESSFUL".into())));
        assert_eq!(over.standing(), Ok("ECS owns the rule (shop): its deployments are rolled back".into()));
        assert!(Owner::Unknown("".into()).standing().is_err());
        assert!(Owner::Other("".into()).standing().is_err());
    }

    #[test]
    fn alarms_that_are_not_watched_are_told_of_while_a_deployment_is_under_way() {
        let of = |stage| {
            Owner::Deployer(Deployer {
                by: By::Ecs,
                service: "shop".into(),
                newest: Some(Deployment { id: "d-1".into(), stage, unwatched: Some("errors".into()) }),
            })
        };
        assert_eq!(of(DeploymentStage::Running { hook: None }).unwatched(), Some("errors"));
        assert_eq!(of(DeploymentStage::Over("SUCCESSFUL".into())).unwatched(), None);
        assert_eq!(deployer(By::Ecs, Some(DeploymentStage::Running { hook: None })).unwatched(), None);
        assert_eq!(Owner::Nobody.unwatched(), None);
    }

    #[test]
    fn only_the_newest_deployment_has_a_known_stage() {
        let owner = deployer(By::Ecs, Some(DeploymentStage::RollingBack));
        assert_eq!(owner.stage_of("d-1"), Some(&DeploymentStage::RollingBack));
        assert_eq!(owner.stage_of("d-0"), None);
        assert_eq!(Owner::Nobody.stage_of("d-1"), None);
        assert_eq!(deployer(By::Ecs, None).stage_of("d-1"), None);
    }
}
