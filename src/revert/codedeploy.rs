//! AWS `CodeDeploy`: which deployment group moves the rules, how far its newest deployment has come, and the call that rolls it back.

use super::ecs::Service;
use super::fault::{read_error, write_outcome};
use super::owner::Governed;
use crate::model::guard::WriteOutcome;
use crate::model::listener::group_name;
use crate::model::owner::{Deployment, DeploymentStage};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_codedeploy::Client;
use aws_sdk_codedeploy::operation::RequestId;
use aws_sdk_codedeploy::types::{
    DeploymentGroupInfo, DeploymentInfo, DeploymentStatus, LoadBalancerInfo, TargetGroupPairInfo,
    TrafficRoute,
};
use aws_smithy_types::retry::RetryConfig;

/// More applications than this aren't looked through: two calls each.
const APPLICATIONS_MAX: usize = 100;
/// `BatchGetDeploymentGroups` takes so many at once.
const DESCRIBED: usize = 100;

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

    /// The deployment group that names one of the listeners, or one of the groups in a pair.
    pub(super) async fn find(&self, governed: &Governed) -> Result<Option<Service>, String> {
        let mut pages = self.reads.list_applications().into_paginator().send();
        let mut seen = 0;
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| read_error("codedeploy:ListApplications", &error).to_string())?;
            for application in page.applications() {
                seen += 1;
                if seen > APPLICATIONS_MAX {
                    return Err(format!(
                        "more than {APPLICATIONS_MAX} CodeDeploy applications: name the ECS service behind this \
                         listener (ecs_service = \"cluster/service\")"
                    ));
                }
                if let Some(group) = self.find_in(application, governed).await? {
                    return Ok(Some(Service::of_codedeploy(format!("{application}/{group}"))));
                }
            }
        }
        Ok(None)
    }

    async fn find_in(&self, application: &str, governed: &Governed) -> Result<Option<String>, String> {
        let mut pages =
            self.reads.list_deployment_groups().application_name(application).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page =
                page.map_err(|error| read_error("codedeploy:ListDeploymentGroups", &error).to_string())?;
            for names in page.deployment_groups().chunks(DESCRIBED) {
                let groups = self.groups(application, names).await?;
                let found = groups.iter().find(|group| moves(group, governed));
                if let Some(name) = found.and_then(|group| group.deployment_group_name()) {
                    return Ok(Some(name.to_owned()));
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

    /// The newest deployment of a group; a rollback is told of under the deployment that it takes back.
    pub(super) async fn newest(&self, service: &Service) -> Result<Option<Deployment>, String> {
        let (application, group) = service.arn.split_once('/').unwrap_or((&service.arn, ""));
        let groups = self.groups(application, &[group.to_owned()]).await?;
        let last = groups.first().and_then(|group| group.last_attempted_deployment());
        let Some(id) = last.and_then(|last| last.deployment_id()) else { return Ok(None) };
        let newest = self.deployment(id).await?;
        let taken_back = newest.rollback_info().and_then(|info| info.rollback_triggering_deployment_id());
        if let Some(taken_back) = taken_back {
            return Ok(Some(Deployment { id: taken_back.into(), stage: rollback(&newest) }));
        }
        let stage = match newest.rollback_info().and_then(|info| info.rollback_deployment_id()) {
            Some(back) => rollback(&self.deployment(back).await?),
            None => stage(&newest),
        };
        Ok(Some(Deployment { id: id.into(), stage }))
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
    pairs.iter().any(|pair| touches(pair, governed))
}

fn touches(pair: &TargetGroupPairInfo, governed: &Governed) -> bool {
    let routes = [pair.prod_traffic_route(), pair.test_traffic_route()];
    let listeners = routes.into_iter().flatten().flat_map(TrafficRoute::listener_arns);
    let named = |name: &str| governed.groups.iter().any(|arn| group_name(arn) == name);
    listeners.into_iter().any(|arn| governed.listeners.contains(arn))
        || pair.target_groups().iter().filter_map(|group| group.name()).any(named)
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
