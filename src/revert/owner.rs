//! Who else moves the governed rules or the alias: found out through tags, ECS and `CodeDeploy`, and never guessed.
//!
//! Looking through a whole account takes many calls, so what was found is kept for half an hour; a change of the rules is
//! looked into at once, and until that is done nobody is known. How far the owner's newest deployment has come is asked each time.

use super::codedeploy::{CodeDeploy, Of};
use super::ecs::{Ecs, Service};
use crate::clock;
use crate::model::guard::WriteOutcome;
use crate::model::listener::{Fingerprint, ListenerState};
use crate::model::owner::{By, Call, Deployer, Deployment, DeploymentStage, Owner};
use crate::model::time::Mono;
use crate::settings::{Lever, Whose};
use aws_config::SdkConfig;
use aws_sdk_elasticloadbalancingv2::Client;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What was found is looked for again after this.
const FOUND_FOR: Duration = Duration::from_mins(30);
/// When that fails, the last success counts for so long.
const STANDS_FOR: Duration = Duration::from_hours(2);
/// The pause after a failure.
const RETRY: Duration = Duration::from_secs(15);
/// A whole look takes no longer.
const LOOK_MAX: Duration = Duration::from_secs(30);
/// A read of the listener waits for it no longer: its caller has a deadline.
const WAIT: Duration = Duration::from_secs(4);
/// In peace, so often the newest deployment is asked for.
const NEWEST_FOR: Duration = Duration::from_mins(5);

/// Tags of controllers that write whatever they find changed.
const CONTROLLERS: [&str; 5] =
    ["elbv2.k8s.aws/", "ingress.k8s.aws/", "service.k8s.aws/", "gateway.k8s.aws/", "kubernetes.io/"];

/// What belongs to the rules, by which an owner is recognised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Governed {
    /// ARNs of the listeners, those of governed rules too.
    pub(super) listeners: BTreeSet<String>,
    /// ARNs of the rules, the default rules of governed listeners too.
    pub(super) rules: BTreeSet<String>,
    /// ARNs of the groups that they name.
    pub(super) groups: BTreeSet<String>,
}

/// Who was found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Finding {
    Nobody,
    Other(String),
    Deployed(By, Service),
}

#[derive(Debug, Default)]
struct Known {
    /// The last look that ended: when, at which state of the rules, and with what.
    last: Option<(Mono, Fingerprint, Result<Finding, String>)>,
    /// The last that succeeded.
    found: Option<(Mono, Fingerprint, Finding)>,
    /// The newest deployment, when it was asked for, and at which state.
    newest: Option<(Mono, Fingerprint, Result<Option<Deployment>, String>)>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Owners {
    /// A person vouches that nobody else deploys to the rules.
    vouched: bool,
    seeker: Arc<Seeker>,
    known: Arc<Mutex<Known>>,
    /// Whether a look is under way.
    seeking: watch::Sender<bool>,
    looks: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct Seeker {
    codedeploy: CodeDeploy,
    sought: Sought,
}

/// What an owner is looked for of.
#[derive(Debug)]
enum Sought {
    /// Listeners and rules.
    Rules {
        elb: Client,
        ecs: Ecs,
        levers: Vec<Lever>,
        /// The only ECS service to look at.
        named: Option<(String, String)>,
    },
    /// An alias, of a function by its ARN.
    Alias { function: String, alias: String },
}

impl Owners {
    pub(super) fn of_rules(shared: &SdkConfig, elb: Client, levers: Vec<Lever>, whose: Whose) -> Self {
        let region = levers.first().map_or("", Lever::region).to_owned();
        let (ecs, codedeploy) = (Ecs::new(shared, &region), CodeDeploy::new(shared, &region));
        let sought = Sought::Rules { elb, ecs, levers, named: whose.service };
        Self::new(Seeker { codedeploy, sought }, whose.nobodys)
    }

    pub(super) fn of_alias(
        shared: &SdkConfig,
        region: &str,
        (function, alias): (&str, &str),
        nobodys: bool,
    ) -> Self {
        let sought = Sought::Alias { function: function.to_owned(), alias: alias.to_owned() };
        Self::new(Seeker { codedeploy: CodeDeploy::new(shared, region), sought }, nobodys)
    }

    fn new(seeker: Seeker, vouched: bool) -> Self {
        Self {
            vouched,
            seeker: Arc::new(seeker),
            known: Arc::default(),
            seeking: watch::Sender::new(false),
            looks: Mutex::default(),
        }
    }

    /// Whose the rules are in `state`.
    pub(super) async fn owner(&self, state: &ListenerState) -> Owner {
        if self.vouched {
            return Owner::Nobody;
        }
        let shows = state.fingerprint();
        self.look_if_due(state, &shows);
        if !self.is_found_at(&shows) {
            let mut seeking = watch::Sender::subscribe(&self.seeking);
            // In time or not: what is known then is the answer.
            drop(tokio::time::timeout(WAIT, seeking.wait_for(|seeking| !*seeking)).await);
        }
        match self.finding(&shows) {
            Err(why) => Owner::Unknown(why.into()),
            Ok(Finding::Nobody) => Owner::Nobody,
            Ok(Finding::Other(who)) => Owner::Other(who.into()),
            Ok(Finding::Deployed(by, service)) => match self.newest(&shows, by, &service).await {
                Err(why) => Owner::Unknown(why.into()),
                // Nothing of it is left on the way, and unlike tasks both versions stay: the alias is whoever's who writes it.
                Ok(newest) if self.seeker.lets_go(newest.as_ref()) => Owner::Nobody,
                Ok(newest) => Owner::Deployer(Deployer { by, service: service.arn.as_str().into(), newest }),
            },
        }
    }

    /// The owner's own call, once.
    pub(super) async fn call(&self, call: Call) -> WriteOutcome {
        match (&call, &self.seeker.sought) {
            (Call::StopDeployment { deployment }, _) => self.seeker.codedeploy.stop(deployment).await,
            (
                Call::ContinueServiceDeployment { .. } | Call::StopServiceDeployment { .. },
                Sought::Rules { ecs, .. },
            ) => ecs.call(&call).await,
            (
                Call::ContinueServiceDeployment { .. } | Call::StopServiceDeployment { .. },
                Sought::Alias { .. },
            ) => WriteOutcome::Refused("ECS moves no alias".into()),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody was found while the rules were what they are.
    fn is_found_at(&self, shows: &Fingerprint) -> bool {
        self.known().found.as_ref().is_some_and(|(_, at, _)| at == shows)
    }

    fn finding(&self, shows: &Fingerprint) -> Result<Finding, String> {
        let known = self.known();
        let found = known.found.as_ref().filter(|(_, at, _)| at == shows);
        if let Some((at, _, finding)) = found
            && clock::now().since(*at) < STANDS_FOR
        {
            return Ok(finding.clone());
        }
        match known.last.as_ref().filter(|(_, at, _)| at == shows) {
            Some((_, _, Err(why))) => Err(why.clone()),
            _ => Err("it is being looked up".into()),
        }
    }

    /// Begins a look where the last one is too old, failed, or saw other rules.
    fn look_if_due(&self, state: &ListenerState, shows: &Fingerprint) {
        let now = clock::now();
        let due = match &self.known().last {
            None => true,
            Some((_, at, _)) if at != shows => true,
            Some((at, _, Ok(_))) => now.since(*at) >= FOUND_FOR,
            Some((at, _, Err(_))) => now.since(*at) >= RETRY,
        };
        let begins = due && self.seeking.send_if_modified(|seeking| !std::mem::replace(seeking, true));
        if !begins {
            return;
        }
        let (seeker, known) = (Arc::clone(&self.seeker), Arc::clone(&self.known));
        let (seeking, shows, state) = (self.seeking.clone(), shows.clone(), state.clone());
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        while looks.try_join_next().is_some() {}
        looks.spawn(async move {
            let found = tokio::time::timeout(LOOK_MAX, seeker.look(&state)).await;
            let found = found.unwrap_or_else(|_| Err(format!("no answer within {} s", LOOK_MAX.as_secs())));
            let now = clock::now();
            if let Err(why) = &found {
                tracing::warn!(%why, "who moves the requests can't be found out");
            }
            {
                let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                if let Ok(finding) = &found {
                    known.found = Some((now, shows.clone(), finding.clone()));
                }
                known.last = Some((now, shows, found));
            }
            seeking.send_replace(false);
        });
    }

    /// The newest deployment of `service`: asked for now while one is under way or the rules have changed.
    async fn newest(
        &self,
        shows: &Fingerprint,
        by: By,
        service: &Service,
    ) -> Result<Option<Deployment>, String> {
        let now = clock::now();
        if let Some((at, seen, Ok(newest))) = &self.known().newest
            && seen == shows
            && now.since(*at) < NEWEST_FOR
            && !newest.as_ref().is_some_and(|newest| {
                matches!(newest.stage, DeploymentStage::Running { .. } | DeploymentStage::RollingBack)
            })
        {
            return Ok(newest.clone());
        }
        let newest = match (by, &self.seeker.sought) {
            (By::Ecs, Sought::Rules { ecs, .. }) => ecs.newest(service).await,
            (By::CodeDeploy, _) => self.seeker.codedeploy.newest(service).await,
            (By::Ecs, Sought::Alias { .. }) => Err("ECS moves no alias".into()),
        };
        self.known().newest = Some((now, shows.clone(), newest.clone()));
        newest
    }
}

impl Seeker {
    async fn look(&self, state: &ListenerState) -> Result<Finding, String> {
        match &self.sought {
            Sought::Rules { elb, ecs, levers, named } => {
                let governed = governed(elb, levers, state).await?;
                let named = named.as_ref().map(|(cluster, service)| (cluster.as_str(), service.as_str()));
                self.of_rules(ecs, named, &governed).await
            }
            Sought::Alias { function, alias } => {
                let group = self.codedeploy.find(&Of::Alias { function, alias }).await?;
                Ok(group.map_or(Finding::Nobody, |group| Finding::Deployed(By::CodeDeploy, group)))
            }
        }
    }

    async fn of_rules(
        &self,
        ecs: &Ecs,
        named: Option<(&str, &str)>,
        governed: &Governed,
    ) -> Result<Finding, String> {
        // Who names the service says where to look; CodeDeploy is asked where that service says so.
        let listed = async {
            if named.is_some() { Ok(None) } else { self.codedeploy.find(&Of::Rules(governed)).await }
        };
        let (services, group) = tokio::try_join!(ecs.find(named, governed), listed)?;
        if let Some(service) = services.iter().find(|service| service.is_external()) {
            return Ok(Finding::Other(format!("an external controller deploys ECS service {}", service.arn)));
        }
        if let Some(service) = services.iter().find(|service| service.is_shifted_by_ecs()) {
            return Ok(Finding::Deployed(By::Ecs, service.clone()));
        }
        let deployed = services.iter().find(|service| service.is_deployed_by_codedeploy());
        let group = match (group, deployed) {
            (None, Some(_)) => self.codedeploy.find(&Of::Rules(governed)).await?,
            (group, _) => group,
        };
        match (group, deployed) {
            (Some(group), _) => Ok(Finding::Deployed(By::CodeDeploy, group)),
            (None, Some(service)) => Err(format!(
                "ECS service {} is deployed by CodeDeploy, and no deployment group names its listener or its groups",
                service.arn
            )),
            (None, None) => Ok(Finding::Nobody),
        }
    }

    /// What was found to shift the alias has come to its end.
    const fn lets_go(&self, newest: Option<&Deployment>) -> bool {
        matches!(self.sought, Sought::Alias { .. })
            && matches!(newest, None | Some(Deployment { stage: DeploymentStage::Over(_), .. }))
    }
}

/// What an owner would be recognised by; a listener's default rule has an ARN of its own.
async fn governed(elb: &Client, levers: &[Lever], state: &ListenerState) -> Result<Governed, String> {
    let mut governed = Governed::default();
    for lever in levers {
        governed.listeners.insert(listener_of(lever.arn()));
        match lever {
            Lever::Rule { arn, .. } => {
                governed.rules.insert(arn.clone());
            }
            Lever::Listener { arn, .. } => {
                let mut pages = elb.describe_rules().listener_arn(arn).into_paginator().send();
                while let Some(page) = pages.next().await {
                    let page =
                        page.map_err(|error| super::fault::read_error("DescribeRules", &error).to_string())?;
                    let default = page.rules().iter().filter(|rule| rule.is_default() == Some(true));
                    governed.rules.extend(default.filter_map(|rule| rule.rule_arn().map(str::to_owned)));
                }
            }
            Lever::Alias { .. } => {}
        }
    }
    let forwards = state.rules().iter().filter_map(|rule| rule.forward.as_ref());
    governed.groups = forwards.flat_map(|forward| forward.weights()).map(|(arn, _)| arn.to_owned()).collect();
    Ok(governed)
}

/// `arn:…:listener-rule/app/NAME/LB/LISTENER/RULE` belongs to `arn:…:listener/app/NAME/LB/LISTENER`.
pub(super) fn listener_of(arn: &str) -> String {
    match arn.split_once(":listener-rule/") {
        Some((head, path)) => {
            let listener = path.rsplit_once('/').map_or(path, |(listener, _)| listener);
            format!("{head}:listener/{listener}")
        }
        None => arn.to_owned(),
    }
}

/// `arn:…:listener/app/NAME/LB/LISTENER` belongs to `arn:…:loadbalancer/app/NAME/LB`.
pub(super) fn balancer_of(arn: &str) -> Option<String> {
    let listener = listener_of(arn);
    let (head, path) = listener.split_once(":listener/")?;
    let (balancer, _) = path.rsplit_once('/')?;
    Some(format!("{head}:loadbalancer/{balancer}"))
}

/// The controller whose tag this is, in words.
pub(super) fn controller(resource: &str, key: &str, value: &str) -> Option<String> {
    let owns = CONTROLLERS.iter().any(|prefix| key.starts_with(prefix));
    owns.then(|| format!("a Kubernetes controller owns {resource} (tag {key} = {value})"))
}

/// Whoever keeps the desired state of what has this tag, in words.
pub(super) fn keeper(key: &str, value: &str) -> Option<String> {
    if key == "aws:cloudformation:stack-name" {
        return Some(format!("CloudFormation (stack {value})"));
    }
    let lower = key.to_lowercase().replace(['-', '_'], "");
    let says = matches!(lower.as_str(), "managedby" | "createdby" | "provisioner" | "terraform" | "iac");
    let value = value.to_lowercase();
    let tool =
        |name: &'static str| (value.contains(name) || lower == name && value != "false").then_some(name);
    let name = says.then(|| ["terraform", "opentofu", "pulumi"].into_iter().find_map(tool)).flatten()?;
    let name = match name {
        "opentofu" => "OpenTofu",
        "pulumi" => "Pulumi",
        _ => "Terraform",
    };
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTENER: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/shop/50dc/f2f7";

    #[test]
    fn a_rule_knows_its_listener_and_a_listener_its_balancer() {
        let rule =
            "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/shop/50dc/f2f7/9a1b";
        let balancer = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/shop/50dc";
        assert_eq!(listener_of(rule), LISTENER);
        assert_eq!(listener_of(LISTENER), LISTENER);
        for arn in [rule, LISTENER] {
            assert_eq!(balancer_of(arn).as_deref(), Some(balancer));
        }
        assert_eq!(balancer_of("arn:aws:sns:eu-west-1:1:topic"), None);
    }

    #[test]
    fn tags_tell_of_controllers_and_of_whoever_keeps_the_desired_state() {
        let controllers = ["elbv2.k8s.aws/cluster", "ingress.k8s.aws/resource", "kubernetes.io/cluster/prod"];
        for key in controllers {
            let who = controller("the listener", key, "prod").expect(key);
            assert_eq!(who, format!("a Kubernetes controller owns the listener (tag {key} = prod)"));
        }
        assert_eq!(controller("x", "team", "kubernetes.io/"), None);
        let kept = [
            ("aws:cloudformation:stack-name", "shop", Some("CloudFormation (stack shop)")),
            ("ManagedBy", "Terraform", Some("Terraform")),
            ("managed-by", "opentofu 1.9", Some("OpenTofu")),
            ("created_by", "pulumi", Some("Pulumi")),
            ("terraform", "true", Some("Terraform")),
            ("terraform", "false", None),
            ("managed-by", "hand", None),
            ("team", "terraform", None),
        ];
        for (key, value, who) in kept {
            assert_eq!(keeper(key, value).as_deref(), who, "{key} = {value}");
        }
    }
}
