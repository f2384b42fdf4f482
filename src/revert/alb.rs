//! Listeners' default rules and other rules of Application Load Balancers, through the ELBv2 API.

use super::Reverter;
use super::actions::{state, write_back};
use super::fault::{read_error, write_outcome};
use super::owner::{Owners, balancer_of};
use super::raw::RawBody;
use super::tags::{self, TAG_HOLD, Tagged};
use super::{LeverError, unknown};
use crate::failpoint;
use crate::model::guard::{Depth, Marks, Observed, ReadError, WriteOutcome};
use crate::model::listener::{Fingerprint, GroupHealth, HealthState, ListenerState, TargetHealth};
use crate::model::owner::Call;
use crate::model::plan::Write;
use crate::settings::{Lever, Whose};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::operation::RequestId;
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ProtocolEnum, Rule, Tag, TargetHealthDescription, TargetHealthStateEnum,
};
use aws_smithy_types::retry::RetryConfig;
use futures_util::future::try_join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// One call takes so many ARNs.
const TAGGED: usize = 20;

/// A rule's actions, and the state that they describe.
type Shown = (Fingerprint, Vec<Action>);

/// See the module.
#[derive(Debug)]
pub struct Alb {
    client: Client,
    levers: Vec<Lever>,
    owners: Owners,
    /// The groups that the rules named when they were last read.
    named: Mutex<BTreeSet<Box<str>>>,
    /// Each rule's actions as last read, by its ARN and with the state that they describe: what a write sends back field by field.
    last: Mutex<BTreeMap<Box<str>, Shown>>,
    /// Whether a group's targets speak TLS; it can't change in the life of a group.
    tls: Mutex<BTreeMap<Box<str>, bool>>,
}

/// How AWS is called: bounded in time, and never twice by the SDK's own choice.
#[must_use]
pub fn client_config(shared: &SdkConfig, region: &str) -> aws_sdk_elasticloadbalancingv2::Config {
    aws_sdk_elasticloadbalancingv2::config::Builder::from(shared)
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(region.to_owned()))
        .retry_config(RetryConfig::disabled())
        .timeout_config(super::timeouts())
        .build()
}

impl Alb {
    /// The levers of one service: at least one, all of one region, the most important first.
    #[must_use]
    pub fn new(shared: &SdkConfig, levers: Vec<Lever>, whose: Whose) -> Self {
        let region = levers.first().map_or("", Lever::region);
        let client = Client::from_conf(client_config(shared, region));
        let owners = Owners::of_rules(shared, client.clone(), levers.clone(), whose);
        Self {
            client,
            levers,
            owners,
            named: Mutex::default(),
            last: Mutex::default(),
            tls: Mutex::default(),
        }
    }

    /// Reads the rules once and says whether they are such that may be governed.
    ///
    /// # Errors
    /// They aren't: the text lists the listeners' rules with their conditions and what they do.
    pub async fn governable(&self) -> Result<ListenerState, LeverError> {
        let state = self.state().await.map_err(|error| match error {
            ReadError::NotFound(what) => LeverError::NotFound(what.into()),
            other => LeverError::Read(other.to_string()),
        })?;
        let Err(why) = state.understood() else { return Ok(state) };
        let odd = |lever: &&Lever| state.rule(lever.arn()).is_none_or(|rule| rule.understood().is_err());
        let lever = self.levers.iter().find(odd).or_else(|| self.levers.first());
        let Some(lever) = lever else { return Err(LeverError::NotGovernable(why)) };
        let rules = self.rules(lever).await;
        let rules = rules.unwrap_or_else(|error| format!("(its rules can't be listed: {error})"));
        Err(LeverError::NotGovernable(format!("{}: {why}; the listener has:\n{rules}", lever.arn())))
    }

    /// The DNS name of the balancer of the first lever, whose addresses are its nodes.
    ///
    /// # Errors
    /// It couldn't be read now, or AWS doesn't name it.
    pub async fn balancer_name(&self) -> Result<String, ReadError> {
        let arn = self.levers.first().and_then(|lever| balancer_of(lever.arn())).unwrap_or_default();
        let answer = self.client.describe_load_balancers().load_balancer_arns(&arn).send().await;
        let answer = answer.map_err(|error| read_error("DescribeLoadBalancers", &error))?;
        let name = answer.load_balancers().first().and_then(|balancer| balancer.dns_name());
        name.map(str::to_owned).ok_or_else(|| ReadError::NotFound(format!("the DNS name of {arn}").into()))
    }

    /// All rules as they are now, in the order of the levers.
    async fn state(&self) -> Result<ListenerState, ReadError> {
        let mut read = self.actions().await?;
        let mut rules = Vec::new();
        let mut last = BTreeMap::new();
        for lever in &self.levers {
            let arn = lever.arn();
            let (actions, unknown) = read.remove(arn).ok_or_else(|| ReadError::NotFound(arn.into()))?;
            let rule = state(arn, &actions, unknown);
            last.insert(arn.into(), (rule.fingerprint(), actions));
            rules.push(rule);
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = last;
        Ok(rules.into())
    }

    /// The governed rules' actions by ARN, and the element names in each that this build doesn't know: one call for the listeners, one for
    /// the rules.
    async fn actions(&self) -> Result<BTreeMap<String, (Vec<Action>, Vec<Box<str>>)>, ReadError> {
        let arns = |wanted: fn(&Lever) -> bool| -> Vec<String> {
            self.levers.iter().filter(|lever| wanted(lever)).map(|lever| lever.arn().to_owned()).collect()
        };
        let listeners = arns(|lever| matches!(lever, Lever::Listener { .. }));
        let rules = arns(|lever| matches!(lever, Lever::Rule { .. }));
        let (listeners, rules) = tokio::try_join!(self.listeners(listeners), self.other_rules(rules))?;
        Ok(listeners.into_iter().chain(rules).collect())
    }

    async fn listeners(&self, arns: Vec<String>) -> Result<Vec<Described>, ReadError> {
        if arns.is_empty() {
            return Ok(vec![]);
        }
        let raw = RawBody::default();
        let call = self.client.describe_listeners().set_listener_arns(Some(arns));
        let call = call.customize().interceptor(raw.clone()).send();
        let answer = failpoint::at("DescribeListeners", call).await;
        let answer = answer.map_err(|error| read_error("DescribeListeners", &error))?;
        let described = answer.listeners.unwrap_or_default().into_iter().filter_map(|listener| {
            let arn = listener.listener_arn?;
            let unknown = unknown_in(&raw, &arn);
            Some((arn, (listener.default_actions.unwrap_or_default(), unknown)))
        });
        Ok(described.collect())
    }

    async fn other_rules(&self, arns: Vec<String>) -> Result<Vec<Described>, ReadError> {
        if arns.is_empty() {
            return Ok(vec![]);
        }
        let raw = RawBody::default();
        let call = self.client.describe_rules().set_rule_arns(Some(arns));
        let call = call.customize().interceptor(raw.clone()).send();
        let answer = failpoint::at("DescribeRules", call).await;
        let answer = answer.map_err(|error| read_error("DescribeRules", &error))?;
        let described = answer.rules.unwrap_or_default().into_iter().filter_map(|rule| {
            let arn = rule.rule_arn?;
            let unknown = unknown_in(&raw, &arn);
            Some((arn, (rule.actions.unwrap_or_default(), unknown)))
        });
        Ok(described.collect())
    }

    /// Tags of the rules, of their balancers and groups, and whose all that is. A hold on any of them counts for all.
    async fn marks(&self, state: &ListenerState, tags: Vec<Tagged>) -> Marks {
        let owner = failpoint::at("owner", self.owners.owner(state)).await;
        tags::marks(owner, tags)
    }

    /// Every tag of the rules, their balancers and these groups, with the ARN that it is on.
    async fn tags(&self, groups: &BTreeSet<Box<str>>) -> Result<Vec<Tagged>, ReadError> {
        let mut arns: Vec<String> = self.levers.iter().map(|lever| lever.arn().to_owned()).collect();
        let balancers: BTreeSet<String> =
            self.levers.iter().filter_map(|lever| balancer_of(lever.arn())).collect();
        arns.extend(balancers);
        arns.extend(groups.iter().map(ToString::to_string));
        let ask = async |arns: &[String]| {
            let call = self.client.describe_tags().set_resource_arns(Some(arns.to_vec())).send();
            let answer = failpoint::at("DescribeTags", call).await;
            answer.map_err(|error| read_error("DescribeTags", &error))
        };
        let mut all = Vec::new();
        for answer in try_join_all(arns.chunks(TAGGED).map(ask)).await? {
            for described in answer.tag_descriptions() {
                let arn = described.resource_arn().unwrap_or_default();
                let own = self.levers.iter().any(|lever| lever.arn() == arn);
                all.extend(described.tags().iter().map(|tag| Tagged {
                    resource: arn.to_owned(),
                    own,
                    key: tag.key().unwrap_or_default().to_owned(),
                    value: tag.value().unwrap_or_default().to_owned(),
                }));
            }
        }
        Ok(all)
    }

    async fn health(&self, groups: &BTreeSet<Box<str>>) -> Result<Vec<GroupHealth>, ReadError> {
        try_join_all(groups.iter().map(|group| self.health_of(group))).await
    }

    async fn health_of(&self, group: &str) -> Result<GroupHealth, ReadError> {
        let call = self.client.describe_target_health().target_group_arn(group).send();
        let answer = failpoint::at("DescribeTargetHealth", call).await;
        let answer = match answer.map_err(|error| read_error("DescribeTargetHealth", &error)) {
            // A group that is gone has no targets, which is what the conditions must see.
            Err(ReadError::NotFound(_)) => return Ok(GroupHealth { group: group.into(), targets: vec![] }),
            answer => answer?,
        };
        let tls = self.speaks_tls(group).await?;
        let targets = answer.target_health_descriptions().iter().filter_map(|one| target(one, tls)).collect();
        Ok(GroupHealth { group: group.into(), targets })
    }

    /// Whether the balancer speaks TLS to the group's targets, so that a direct question does too.
    async fn speaks_tls(&self, group: &str) -> Result<bool, ReadError> {
        if let Some(tls) = self.tls.lock().unwrap_or_else(PoisonError::into_inner).get(group) {
            return Ok(*tls);
        }
        let call = self.client.describe_target_groups().target_group_arns(group).send();
        let answer = failpoint::at("DescribeTargetGroups", call).await;
        let answer = answer.map_err(|error| read_error("DescribeTargetGroups", &error))?;
        let protocol = answer.target_groups().first().and_then(|group| group.protocol());
        let tls = protocol == Some(&ProtocolEnum::Https);
        self.tls.lock().unwrap_or_else(PoisonError::into_inner).insert(group.into(), tls);
        Ok(tls)
    }

    /// The listener's rules in words, for the message that refuses one.
    async fn rules(&self, lever: &Lever) -> Result<String, ReadError> {
        let listener = match lever {
            Lever::Listener { arn, .. } | Lever::Alias { arn, .. } => arn.clone(),
            // arn:…:listener-rule/app/NAME/LB/LISTENER/RULE belongs to arn:…:listener/app/NAME/LB/LISTENER.
            Lever::Rule { arn, .. } => {
                let listener = arn.replace(":listener-rule/", ":listener/");
                listener.rsplit_once('/').map_or(listener.clone(), |(listener, _)| listener.to_owned())
            }
        };
        let mut lines = Vec::new();
        let mut marker = None;
        loop {
            let call = self.client.describe_rules().listener_arn(&listener).set_marker(marker.take());
            let page = call.send().await.map_err(|error| read_error("DescribeRules", &error))?;
            lines.extend(page.rules().iter().map(rule_line));
            match page.next_marker {
                Some(next) if !next.is_empty() && lines.len() < 400 => marker = Some(next),
                _ => return Ok(lines.join("\n")),
            }
        }
    }
}

impl Reverter for Alb {
    async fn read(&self, depth: Depth, groups: BTreeSet<Box<str>>) -> Result<Observed, ReadError> {
        // What the rules named when they were last read is asked about beside them: before a write each way to AWS counts.
        let known = self.named.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let wanted: BTreeSet<Box<str>> = known.union(&groups).cloned().collect();
        let (state, tags, health) = match depth {
            Depth::Listener => (self.state().await?, None, None),
            Depth::Marks => {
                let (state, tags) = tokio::join!(self.state(), self.tags(&known));
                (state?, Some(tags), None)
            }
            Depth::Full => {
                let (state, tags, health) =
                    tokio::join!(self.state(), self.tags(&known), self.health(&wanted));
                (state?, Some(tags), Some(health))
            }
        };
        let forwards = state.rules().iter().filter_map(|rule| rule.forward.as_ref());
        let named: BTreeSet<Box<str>> =
            forwards.flat_map(|forward| forward.weights()).map(|(arn, _)| arn.into()).collect();
        self.named.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&named);
        let marks = match tags {
            None => None,
            Some(tags) => Some(match tags {
                Err(error) if !matches!(error, ReadError::NotFound(_)) => return Err(error),
                Ok(tags) if named == known => self.marks(&state, tags).await,
                // Other groups than before, or one of those is gone; what is gone has no tags.
                _ => match self.tags(&named).await {
                    Err(ReadError::NotFound(_)) => {
                        self.marks(&state, self.tags(&BTreeSet::new()).await?).await
                    }
                    tags => self.marks(&state, tags?).await,
                },
            }),
        };
        let all: BTreeSet<Box<str>> = named.union(&groups).cloned().collect();
        let health = match health {
            None => None,
            Some(health) if all.is_subset(&wanted) => {
                let mut health = health?;
                health.retain(|one| all.contains(&one.group));
                Some(health)
            }
            Some(_) => Some(self.health(&all).await?),
        };
        Ok(Observed { state, marks, health })
    }

    async fn tag(&self, hold: Option<Box<str>>) -> Result<(), String> {
        let arns: Vec<String> = self.levers.iter().map(|lever| lever.arn().to_owned()).collect();
        let failed = if let Some(reason) = hold {
            let tag = Tag::builder().key(TAG_HOLD).value(tags::value(&reason)).build();
            let call = self.client.add_tags().set_resource_arns(Some(arns)).tags(tag);
            call.send().await.err().map(|error| ("AddTags", read_error("AddTags", &error)))
        } else {
            let call = self.client.remove_tags().set_resource_arns(Some(arns)).tag_keys(TAG_HOLD);
            call.send().await.err().map(|error| ("RemoveTags", read_error("RemoveTags", &error)))
        };
        match failed {
            Some((call, error)) => Err(format!("{call}: {error}")),
            None => Ok(()),
        }
    }

    async fn call(&self, call: Call) -> WriteOutcome {
        self.owners.call(call).await
    }

    async fn write(&self, write: Write) -> WriteOutcome {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).get(&write.arn).cloned();
        let live = match last {
            Some((shows, actions)) if shows == write.over => actions,
            _ => {
                return WriteOutcome::Refused(
                    "the last read doesn't show the state that is to be overwritten".into(),
                );
            }
        };
        let actions = Some(write_back(&live, &write.to));
        match self.levers.iter().find(|lever| lever.arn() == &*write.arn) {
            None => WriteOutcome::Refused(format!("{} isn't governed", write.arn).into()),
            Some(Lever::Listener { arn, .. }) => {
                let call = self.client.modify_listener().listener_arn(arn).set_default_actions(actions);
                match failpoint::at("ModifyListener", call.send()).await {
                    Ok(answer) => WriteOutcome::Accepted(answer.request_id().unwrap_or("unknown").into()),
                    Err(error) => write_outcome(&error),
                }
            }
            Some(Lever::Alias { arn, .. }) => {
                WriteOutcome::Refused(format!("{arn} belongs to no balancer").into())
            }
            Some(Lever::Rule { arn, .. }) => {
                let call = self.client.modify_rule().rule_arn(arn).set_actions(actions);
                match failpoint::at("ModifyRule", call.send()).await {
                    Ok(answer) => WriteOutcome::Accepted(answer.request_id().unwrap_or("unknown").into()),
                    Err(error) => write_outcome(&error),
                }
            }
        }
    }
}

/// A target as it may be asked directly; `None` when AWS names no target.
fn target(one: &TargetHealthDescription, tls: bool) -> Option<TargetHealth> {
    let target = one.target()?;
    let id = target.id()?;
    let scheme = if tls { "https" } else { "http" };
    let host = if id.contains(':') { format!("[{id}]") } else { id.to_owned() };
    let id: Box<str> = match target.port() {
        Some(port) => format!("{scheme}://{host}:{port}").into(),
        None => id.into(),
    };
    let state = match one.target_health().and_then(|health| health.state()) {
        Some(TargetHealthStateEnum::Healthy) => HealthState::Healthy,
        Some(TargetHealthStateEnum::Initial) => HealthState::Initial,
        Some(TargetHealthStateEnum::Unhealthy) => HealthState::Unhealthy,
        Some(TargetHealthStateEnum::Unused) => HealthState::Unused,
        Some(TargetHealthStateEnum::Draining | TargetHealthStateEnum::UnhealthyDraining) => {
            HealthState::Draining
        }
        _ => HealthState::Unavailable,
    };
    let shifted = one.administrative_override().and_then(|shift| shift.state());
    let overridden = shifted.is_some_and(|state| state.as_str().ends_with("_active"));
    Some(TargetHealth { id, state, overridden })
}

fn rule_line(rule: &Rule) -> String {
    let conditions: Vec<String> = rule
        .conditions()
        .iter()
        .map(|condition| format!("{} {}", condition.field().unwrap_or("?"), condition.values().join(" or ")))
        .collect();
    let actions: Vec<&str> = rule
        .actions()
        .iter()
        .filter_map(|action| {
            action.r#type().map(aws_sdk_elasticloadbalancingv2::types::ActionTypeEnum::as_str)
        })
        .collect();
    let when = if conditions.is_empty() { "always".into() } else { conditions.join(" and ") };
    format!(
        "  {}: priority {}, when {when}: {}",
        rule.rule_arn().unwrap_or("?"),
        rule.priority().unwrap_or("?"),
        actions.join(" then ")
    )
}

/// The ARN of a listener or a rule, its actions, and the element names in it that this build doesn't know.
type Described = (String, (Vec<Action>, Vec<Box<str>>));

/// The element names of the item with this ARN that this build doesn't know.
fn unknown_in(raw: &RawBody, arn: &str) -> Vec<Box<str>> {
    raw.bytes().map_or_else(|| vec![RawBody::LOST.into()], |body| unknown::elements(body, arn))
}
