//! Amazon ECS: which service moves the rules, how far its newest deployment has come, and the two calls that roll it back.

use super::fault::{read_error, write_outcome};
use super::owner::Governed;
use crate::hazard::{Hazard, answered};
use crate::model::guard::WriteOutcome;
use crate::model::owner::{Call, Deployment, DeploymentStage};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::operation::RequestId;
use aws_sdk_ecs::types::{
    DeploymentController, DeploymentControllerType, DeploymentLifecycleHookAction,
    DeploymentLifecycleHookStatus, DeploymentLifecycleHookTargetType, DeploymentStrategy, LoadBalancer,
    ServiceDeployment, ServiceDeploymentLifecycleStage, ServiceDeploymentRollbackMonitorsStatus,
    ServiceDeploymentStatus, StopServiceDeploymentStopType, TaskSet,
};
use aws_smithy_types::retry::RetryConfig;

/// More clusters than this aren't looked through.
const CLUSTERS_MAX: usize = 20;
/// More services than this aren't either: 50 calls.
const SERVICES_MAX: usize = 500;
/// Pages of one service's deployments, a hundred each; ECS keeps those of 90 days.
const PAGES_MAX: usize = 20;
/// `DescribeServices` takes so many at once.
const DESCRIBED: usize = 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Ecs {
    /// Reading may be tried again by the SDK.
    reads: Client,
    /// What changes something is sent once.
    writes: Client,
}

/// A service that has to do with the governed rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// The ECS service's ARN, or `application/group` of `CodeDeploy`.
    pub(super) arn: String,
    /// The cluster's ARN; empty for `CodeDeploy`.
    cluster: String,
    controller: Controller,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Controller {
    /// ECS shifts the traffic.
    Shifting,
    /// ECS replaces tasks in one group: the rule stays ours.
    Rolling,
    CodeDeploy,
    External,
}

impl Service {
    pub(super) const fn of_codedeploy(arn: String) -> Self {
        Self { arn, cluster: String::new(), controller: Controller::CodeDeploy }
    }

    pub(super) fn is_shifted_by_ecs(&self) -> bool {
        self.controller == Controller::Shifting
    }

    pub(super) fn is_deployed_by_codedeploy(&self) -> bool {
        self.controller == Controller::CodeDeploy
    }

    pub(super) fn is_external(&self) -> bool {
        self.controller == Controller::External
    }
}

impl Ecs {
    pub(super) fn new(shared: &SdkConfig, region: &str) -> Self {
        let config = |retries| {
            aws_sdk_ecs::config::Builder::from(shared)
                .behavior_version(BehaviorVersion::v2026_01_12())
                .region(Region::new(region.to_owned()))
                .retry_config(retries)
                .timeout_config(super::timeouts())
                .build()
        };
        let reads = Client::from_conf(config(RetryConfig::standard().with_max_attempts(3)));
        Self { reads, writes: Client::from_conf(config(RetryConfig::disabled())) }
    }

    /// The services that move the rules, or send tasks into their groups; only the named one is looked at where there is a name.
    pub(super) async fn find(
        &self,
        named: Option<(&str, &str)>,
        governed: &Governed,
    ) -> Result<Vec<Service>, String> {
        if let Some((cluster, service)) = named {
            let found = self.describe(cluster, vec![service.to_owned()], governed).await?;
            if found.is_empty() {
                // A slip in the name must not read as "nobody".
                return Err(format!(
                    "ecs_service = \"{cluster}/{service}\": there is none such that uses these rules or groups"
                ));
            }
            return Ok(found);
        }
        let mut found = Vec::new();
        let mut seen = 0;
        for cluster in self.clusters().await? {
            let mut pages =
                self.reads.list_services().cluster(&cluster).max_results(100).into_paginator().send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| read_error("ecs:ListServices", &error).to_string())?;
                let arns = page.service_arns.unwrap_or_default();
                seen += arns.len();
                if seen > SERVICES_MAX {
                    return Err(format!("more than {SERVICES_MAX} ECS services: {REMEDY}"));
                }
                for some in arns.chunks(DESCRIBED) {
                    found.extend(self.describe(&cluster, some.to_vec(), governed).await?);
                }
            }
        }
        Ok(found)
    }

    async fn clusters(&self) -> Result<Vec<String>, String> {
        let mut clusters = Vec::new();
        let mut pages = self.reads.list_clusters().into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| read_error("ecs:ListClusters", &error).to_string())?;
            clusters.extend(page.cluster_arns.unwrap_or_default());
            if clusters.len() > CLUSTERS_MAX {
                return Err(format!("more than {CLUSTERS_MAX} ECS clusters: {REMEDY}"));
            }
        }
        Ok(clusters)
    }

    async fn describe(
        &self,
        cluster: &str,
        services: Vec<String>,
        governed: &Governed,
    ) -> Result<Vec<Service>, String> {
        let call = self.reads.describe_services().cluster(cluster).set_services(Some(services));
        let answer =
            call.send().await.map_err(|error| read_error("ecs:DescribeServices", &error).to_string())?;
        if let Some(failure) = answer.failures().first() {
            let (what, why) = (failure.arn().unwrap_or("?"), failure.reason().unwrap_or("?"));
            // A service that was deleted between two calls of ours fails as MISSING, and owns nothing.
            if why != "MISSING" {
                return Err(format!("ecs:DescribeServices: {what}: {why}"));
            }
        }
        Ok(answer.services().iter().filter_map(|service| concerned(service, governed)).collect())
    }

    /// The newest deployment of a service.
    pub(super) async fn newest(&self, service: &Service) -> Result<Option<Deployment>, String> {
        let what = "ecs:ListServiceDeployments";
        // AWS documents no order, so the newest may be on any page.
        let (mut briefs, mut next) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let call = self.reads.list_service_deployments().service(&service.arn).cluster(&service.cluster);
            let page = call.max_results(100).set_next_token(next.take()).send().await;
            let page = page.map_err(|error| read_error(what, &error).to_string())?;
            briefs.extend(page.service_deployments.unwrap_or_default());
            next = page.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                break;
            }
        }
        if next.is_some() {
            return Err(format!("{what}: more than {PAGES_MAX} pages"));
        }
        let newest = briefs.iter().max_by_key(|brief| brief.created_at().copied());
        let Some(arn) = newest.and_then(|brief| brief.service_deployment_arn()) else { return Ok(None) };
        let what = "ecs:DescribeServiceDeployments";
        let answer = self.reads.describe_service_deployments().service_deployment_arns(arn).send().await;
        let answer = answer.map_err(|error| read_error(what, &error).to_string())?;
        let described = answer.service_deployments().first();
        let described = described.ok_or_else(|| format!("{what}: {arn} is not there"))?;
        Ok(Some(Deployment { id: arn.into(), stage: stage(described), unwatched: unwatched(described) }))
    }

    /// One attempt of one call.
    pub(super) async fn call(&self, call: &Call) -> WriteOutcome {
        match call {
            Call::ContinueServiceDeployment { deployment, hook } => {
                // Left out, the action would be CONTINUE.
                let call = self
                    .writes
                    .continue_service_deployment()
                    .service_deployment_arn(&**deployment)
                    .hook_id(&**hook)
                    .set_action(
                        answered(Hazard::HookDefault).then_some(DeploymentLifecycleHookAction::Rollback),
                    );
                match call.send().await {
                    Ok(answer) => WriteOutcome::Accepted(answer.request_id().unwrap_or("unknown").into()),
                    Err(error) => write_outcome(&error),
                }
            }
            Call::StopServiceDeployment { deployment } => {
                let call = self
                    .writes
                    .stop_service_deployment()
                    .service_deployment_arn(&**deployment)
                    .stop_type(StopServiceDeploymentStopType::Rollback);
                match call.send().await {
                    Ok(answer) => WriteOutcome::Accepted(answer.request_id().unwrap_or("unknown").into()),
                    Err(error) => write_outcome(&error),
                }
            }
            Call::StopDeployment { .. } => WriteOutcome::Refused("not a call of ECS".into()),
        }
    }
}

const REMEDY: &str = "name the one behind this listener (ecs_service = \"cluster/service\")";

/// The service, if it moves the rules or its tasks are in their groups.
fn concerned(service: &aws_sdk_ecs::types::Service, governed: &Governed) -> Option<Service> {
    let own = service.load_balancers().iter();
    let of_sets = service.task_sets().iter().flat_map(TaskSet::load_balancers);
    let moves = own.chain(of_sets).any(|balancer| touches(balancer, governed));
    if !moves || !answered(Hazard::EcsOwns) {
        return None;
    }
    let controller = service.deployment_controller().map(DeploymentController::r#type);
    let strategy = service.deployment_configuration().and_then(|configuration| configuration.strategy());
    let controller = match (controller, strategy) {
        (Some(DeploymentControllerType::CodeDeploy), _) => Controller::CodeDeploy,
        (None | Some(DeploymentControllerType::Ecs), None | Some(DeploymentStrategy::Rolling)) => {
            Controller::Rolling
        }
        (None | Some(DeploymentControllerType::Ecs), Some(_)) => Controller::Shifting,
        // EXTERNAL, and whatever this build doesn't know.
        (Some(_), _) => Controller::External,
    };
    Some(Service {
        arn: service.service_arn().unwrap_or_default().to_owned(),
        cluster: service.cluster_arn().unwrap_or_default().to_owned(),
        controller,
    })
}

fn touches(balancer: &LoadBalancer, governed: &Governed) -> bool {
    let group = |arn: Option<&str>| arn.is_some_and(|arn| governed.groups.contains(arn));
    let rule = |arn: Option<&str>| arn.is_some_and(|arn| governed.rules.contains(arn));
    let more = balancer.advanced_configuration();
    group(balancer.target_group_arn())
        || more.is_some_and(|more| {
            group(more.alternate_target_group_arn())
                || rule(more.production_listener_rule())
                || rule(more.test_listener_rule())
        })
}

/// The alarms that ECS knows of and doesn't use in this deployment. AWS says that it does so when one is red as a deployment begins, and
/// not how that shows; the status is what ECS has for it. To ask for the alarms' states would spend the few calls that ECS itself needs.
fn unwatched(deployment: &ServiceDeployment) -> Option<Box<str>> {
    let alarms = deployment.alarms()?;
    let unused = alarms.status() == Some(&ServiceDeploymentRollbackMonitorsStatus::Disabled);
    (unused && !alarms.alarm_names().is_empty()).then(|| alarms.alarm_names().join(", ").into())
}

fn stage(deployment: &ServiceDeployment) -> DeploymentStage {
    let reason = || deployment.status_reason().unwrap_or("AWS gives no reason").into();
    match deployment.status() {
        Some(ServiceDeploymentStatus::Pending | ServiceDeploymentStatus::InProgress) => {
            // From here on the old version is scaled to nothing.
            if deployment.lifecycle_stage() == Some(&ServiceDeploymentLifecycleStage::CleanUp) {
                return DeploymentStage::Over("CLEAN_UP".into());
            }
            let waits = deployment.lifecycle_hook_details().iter().find(|hook| {
                hook.target_type() == Some(&DeploymentLifecycleHookTargetType::Pause)
                    && hook.status() == Some(&DeploymentLifecycleHookStatus::AwaitingAction)
            });
            DeploymentStage::Running { hook: waits.and_then(|hook| hook.hook_id()).map(Into::into) }
        }
        Some(
            ServiceDeploymentStatus::StopRequested
            | ServiceDeploymentStatus::RollbackRequested
            | ServiceDeploymentStatus::RollbackInProgress,
        ) => DeploymentStage::RollingBack,
        Some(ServiceDeploymentStatus::RollbackSuccessful) => DeploymentStage::RolledBack,
        Some(ServiceDeploymentStatus::RollbackFailed) => DeploymentStage::RollbackFailed(reason()),
        other => DeploymentStage::Over(other.map_or("no status", ServiceDeploymentStatus::as_str).into()),
    }
}

#[cfg(test)]
mod tests;
