//! AWS `CodeDeploy`: which deployment group moves the rules or the alias, how far its newest deployment has come, and the call that rolls it back.

use super::ecs::Service;
use super::fault::{read_error, write_outcome};
use super::owner::Governed;
use crate::hazard::{Hazard, answered};
use crate::model::guard::WriteOutcome;
use crate::model::listener::group_name;
use crate::model::owner::{Deployment, DeploymentStage};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_codedeploy::Client;
use aws_sdk_codedeploy::operation::RequestId;
use aws_sdk_codedeploy::types::{
    ComputePlatform, DeploymentGroupInfo, DeploymentInfo, DeploymentStatus, LoadBalancerInfo,
    TargetGroupPairInfo, TrafficRoute,
};
use aws_smithy_types::retry::RetryConfig;

/// More applications than this aren't looked through: two calls each.
const APPLICATIONS_MAX: usize = 100;
/// `BatchGetDeploymentGroups` takes so many at once.
const DESCRIBED: usize = 100;

/// What a deployment group is looked for by.
#[derive(Debug)]
pub(super) enum Of<'a> {
    /// Listeners and groups, which the deployment group itself names.
    Rules(&'a Governed),
    /// An alias of a function, by its ARN. A deployment group doesn't name it, only the deployments do, each for itself.
    Alias { function: &'a str, alias: &'a str },
}

/// See the module.
#[derive(Debug)]
pub(super) struct CodeDeploy {
    reads: Client,
    writes: Client,
}

impl CodeDeploy {
    pub(super) fn new(shared: &SdkConfig, region: &str) -> Self {
        let config = |retries| {
            aws_sdk_codedeploy::config::Builder::from(shared)
                .behavior_version(BehaviorVersion::v2026_01_12())
                .region(Region::new(region.to_owned()))
                .retry_config(retries)
                .timeout_config(super::timeouts())
                .build()
        };
        let reads = Client::from_conf(config(RetryConfig::standard().with_max_attempts(3)));
        Self { reads, writes: Client::from_conf(config(RetryConfig::disabled())) }
    }

    /// The deployment group that names one of the listeners, or one of the groups in a pair; or whose deployment shifts the alias now.
    pub(super) async fn find(&self, of: &Of<'_>) -> Result<Option<Service>, String> {
        let mut pages = self.reads.list_applications().into_paginator().send();
        let mut seen = 0;
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| read_error("codedeploy:ListApplications", &error).to_string())?;
            for application in page.applications() {
                seen += 1;
                if seen > APPLICATIONS_MAX {
                    let remedy = match of {
                        Of::Rules(_) => {
                            "name the ECS service behind this listener (ecs_service = \"cluster/service\")"
                        }
                        Of::Alias { .. } => "if none of them shifts this alias, say so (owner = \"none\")",
                    };
                    return Err(format!("more than {APPLICATIONS_MAX} CodeDeploy applications: {remedy}"));
                }
                if let Some(group) = self.find_in(application, of).await? {
                    return Ok(Some(Service::of_codedeploy(format!("{application}/{group}"))));
                }
            }
        }
        Ok(None)
    }

    async fn find_in(&self, application: &str, of: &Of<'_>) -> Result<Option<String>, String> {
        let mut pages =
            self.reads.list_deployment_groups().application_name(application).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page =
                page.map_err(|error| read_error("codedeploy:ListDeploymentGroups", &error).to_string())?;
            for names in page.deployment_groups().chunks(DESCRIBED) {
                let groups = self.groups(application, names).await?;
                for group in &groups {
                    let found = match of {
                        Of::Rules(governed) => moves(group, governed),
                        Of::Alias { function, alias } => self.shifts(group, function, alias).await?,
                    };
                    if let Some(name) = group.deployment_group_name().filter(|_| found) {
                        return Ok(Some(name.to_owned()));
                    }
                }
            }
        }
        Ok(None)
    }

    async fn groups(&self, application: &str, names: &[String]) -> Result<Vec<DeploymentGroupInfo>, String> {
        let call = self.reads.batch_get_deployment_groups().application_name(application);
        let answer = call.set_deployment_group_names(Some(names.to_vec())).send().await;
        let answer =
            answer.map_err(|error| read_error("codedeploy:BatchGetDeploymentGroups", &error).to_string())?;
        match answer.error_message().filter(|message| !message.is_empty()) {
            Some(message) => Err(format!("codedeploy:BatchGetDeploymentGroups: {message}")),
            None => Ok(answer.deployment_groups_info.unwrap_or_default()),
        }
    }

    /// Whether the group's deployment that is under way shifts this alias. Only one of a group's is under way at a time.
    async fn shifts(&self, group: &DeploymentGroupInfo, function: &str, alias: &str) -> Result<bool, String> {
        let last = group.last_attempted_deployment();
        let goes_on = last.is_some_and(|last| last.status().is_none_or(is_under_way));
        let id = last.and_then(|last| last.deployment_id());
        let (Some(ComputePlatform::Lambda), Some(id), true) = (group.compute_platform(), id, goes_on) else {
            return Ok(false);
        };
        let what = "codedeploy:ListDeploymentTargets";
        let answer = self.reads.list_deployment_targets().deployment_id(id).send().await;
        let answer = answer.map_err(|error| read_error(what, &error).to_string())?;
        let ids = answer.target_ids.unwrap_or_default();
        if answer.next_token.is_some() {
            return Err(format!("{what}: {id} is under way, and has more targets than a function's alias"));
        }
        if ids.is_empty() {
            // It has just begun. When it shifts something, the alias changes, and it is looked for again.
            return Ok(false);
        }
        let what = "codedeploy:BatchGetDeploymentTargets";
        let call = self.reads.batch_get_deployment_targets().deployment_id(id).set_target_ids(Some(ids));
        let answer = call.send().await.map_err(|error| read_error(what, &error).to_string())?;
        let infos = answer
            .deployment_targets()
            .iter()
            .map(|target| target.lambda_target().and_then(|target| target.lambda_function_info()));
        let mut found = false;
        for info in infos {
            let info = info.and_then(|info| Some((info.function_name()?, info.function_alias()?)));
            let Some((name, its_alias)) = info else {
                return Err(format!("{what}: {id} is under way, and doesn't say which alias it shifts"));
            };
            found |= its_alias == alias && is_function(name, function);
        }
        Ok(found)
    }

    /// The newest deployment of a group; a rollback is told of under the deployment that it takes back.
    pub(super) async fn newest(&self, service: &Service) -> Result<Option<Deployment>, String> {
        let (application, group) = service.arn.split_once('/').unwrap_or((&service.arn, ""));
        let groups = self.groups(application, &[group.to_owned()]).await?;
        let last = groups.first().and_then(|group| group.last_attempted_deployment());
        let Some(id) = last.and_then(|last| last.deployment_id()) else { return Ok(None) };
        let newest = self.deployment(id).await?;
        let taken_back = newest.rollback_info().and_then(|info| info.rollback_triggering_deployment_id());
        if let Some(taken_back) = taken_back {
            return Ok(Some(Deployment { id: taken_back.into(), stage: rollback(&newest), unwatched: None }));
        }
        let stage = match newest.rollback_info().and_then(|info| info.rollback_deployment_id()) {
            Some(back) => rollback(&self.deployment(back).await?),
            None => stage(&newest),
        };
        Ok(Some(Deployment { id: id.into(), stage, unwatched: None }))
    }

    async fn deployment(&self, id: &str) -> Result<DeploymentInfo, String> {
        let what = "codedeploy:GetDeployment";
        let answer = self.reads.get_deployment().deployment_id(id).send().await;
        let answer = answer.map_err(|error| read_error(what, &error).to_string())?;
        answer.deployment_info.ok_or_else(|| format!("{what}: {id} is not there"))
    }

    /// One attempt to stop a deployment and take it back.
    pub(super) async fn stop(&self, deployment: &str) -> WriteOutcome {
        // Explicit: left out, the group's own setting decides.
        let call = self.writes.stop_deployment().deployment_id(deployment).auto_rollback_enabled(true);
        match call.send().await {
            Ok(answer) => WriteOutcome::Accepted(answer.request_id().unwrap_or("unknown").into()),
            Err(error) => write_outcome(&error),
        }
    }
}

/// Whether the group's deployments move the rules. Groups without a pair only register and deregister targets.
fn moves(group: &DeploymentGroupInfo, governed: &Governed) -> bool {
    let pairs =
        group.load_balancer_info().map(LoadBalancerInfo::target_group_pair_info_list).unwrap_or_default();
    pairs.iter().any(|pair| touches(pair, governed)) && answered(Hazard::CodeDeployOwns)
}

fn touches(pair: &TargetGroupPairInfo, governed: &Governed) -> bool {
    let routes = [pair.prod_traffic_route(), pair.test_traffic_route()];
    let listeners = routes.into_iter().flatten().flat_map(TrafficRoute::listener_arns);
    let named = |name: &str| governed.groups.iter().any(|arn| group_name(arn) == name);
    listeners.into_iter().any(|arn| governed.listeners.contains(arn))
        || pair.target_groups().iter().filter_map(|group| group.name()).any(named)
}

/// Whether a name, a partial or a whole ARN is that of the function with this ARN.
fn is_function(name: &str, function: &str) -> bool {
    name == function || function.rsplit_once(':').is_some_and(|(_, own)| own == name) || {
        let part = name.split_once(":function:").map_or("", |(account, _)| account);
        !part.is_empty() && function.ends_with(&format!(":{name}"))
    }
}

/// A status that this version doesn't know may be one of those on the way.
const fn is_under_way(status: &DeploymentStatus) -> bool {
    !matches!(status, DeploymentStatus::Succeeded | DeploymentStatus::Failed | DeploymentStatus::Stopped)
}

/// How far a deployment has come that takes nothing back. While the old tasks wait for their end it is in progress.
fn stage(deployment: &DeploymentInfo) -> DeploymentStage {
    match deployment.status() {
        Some(
            DeploymentStatus::Created
            | DeploymentStatus::Queued
            | DeploymentStatus::InProgress
            | DeploymentStatus::Baking
            | DeploymentStatus::Ready,
        ) => DeploymentStage::Running { hook: None },
        other => DeploymentStage::Over(other.map_or("no status", DeploymentStatus::as_str).into()),
    }
}

/// How far a rollback has come.
fn rollback(deployment: &DeploymentInfo) -> DeploymentStage {
    match deployment.status() {
        Some(DeploymentStatus::Succeeded) => DeploymentStage::RolledBack,
        Some(DeploymentStatus::Failed | DeploymentStatus::Stopped) => {
            let error = deployment.error_information().and_then(|error| error.message());
            DeploymentStage::RollbackFailed(error.unwrap_or("AWS gives no reason").into())
        }
        _ => DeploymentStage::RollingBack,
    }
}

#[cfg(test)]
mod tests;
