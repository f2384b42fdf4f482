//! A listener's default rule or another rule of an Application Load Balancer, through the ELBv2 API.

use super::Reverter;
use super::actions::{state, write_back};
use super::fault::{read_error, write_outcome};
use super::unknown;
use crate::model::guard::{Depth, Marks, Observed, ReadError, WriteOutcome};
use crate::model::listener::{Fingerprint, GroupHealth, HealthState, ListenerState, TargetHealth};
use crate::model::plan::Write;
use crate::settings::Lever;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::operation::RequestId;
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ProtocolEnum, Rule, TargetHealthDescription, TargetHealthStateEnum,
};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// The SDK sets no bound of its own but on connecting (AWS.md 10); a hung answer must not hold the guard.
const CONNECT: Duration = Duration::from_secs(1);
const ATTEMPT: Duration = Duration::from_secs(2);
const OPERATION: Duration = Duration::from_secs(3);
/// An operator forbids acting.
const TAG_HOLD: &str = "canary:hold";
/// The pipeline says that the release must not be reverted.
const TAG_IRREVERSIBLE: &str = "serin:irreversible";
/// The pipeline names the release.
const TAG_RELEASE: &str = "serin:release";

/// See the module.
#[derive(Debug)]
pub struct Alb {
    client: Client,
    lever: Lever,
    /// The actions as last read, by the state that they describe: what a write sends back field by field.
    last: Mutex<Option<(Fingerprint, Vec<Action>)>>,
    /// Whether a group's targets speak TLS; it can't change in the life of a group.
    tls: Mutex<BTreeMap<Box<str>, bool>>,
}

/// Why a lever can't be used at all.
#[derive(Debug, thiserror::Error)]
pub enum AlbError {
    /// The rule is not one that may be governed; the text lists what there is.
    #[error("{0}")]
    NotGovernable(String),
    /// There is no such rule or listener.
    #[error(
        "{0}: AWS knows no such listener or rule; check the ARN, its region and the account of the credentials"
    )]
    NotFound(String),
    /// It couldn't be read now.
    #[error("{0}")]
    Read(String),
}

/// How AWS is called: bounded in time, and never twice by the SDK's own choice.
#[must_use]
pub fn client_config(shared: &SdkConfig, region: &str) -> aws_sdk_elasticloadbalancingv2::Config {
    aws_sdk_elasticloadbalancingv2::config::Builder::from(shared)
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(region.to_owned()))
        .retry_config(RetryConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT)
                .operation_attempt_timeout(ATTEMPT)
                .operation_timeout(OPERATION)
                .build(),
        )
        .build()
}

impl Alb {
    /// The lever of one service.
    #[must_use]
    pub fn new(shared: &SdkConfig, lever: Lever) -> Self {
        let client = Client::from_conf(client_config(shared, lever.region()));
        Self { client, lever, last: Mutex::default(), tls: Mutex::default() }
    }

    /// Reads the rule once and says whether it is one that may be governed.
    ///
    /// # Errors
    /// It isn't: the text lists the listener's rules with their conditions and what they do.
    pub async fn governable(&self) -> Result<ListenerState, AlbError> {
        let read = self.actions().await.map_err(|error| match error {
            ReadError::NotFound(what) => AlbError::NotFound(what.into()),
            other => AlbError::Read(other.to_string()),
        })?;
        let state = state(self.lever.arn(), &read.0, read.1);
        match state.understood() {
            Ok(_) => Ok(state),
            Err(why) => {
                let rules = self
                    .rules()
                    .await
                    .unwrap_or_else(|error| format!("(its rules can't be listed: {error})"));
                Err(AlbError::NotGovernable(format!(
                    "{}: {why}; the listener has:\n{rules}",
                    self.lever.arn()
                )))
            }
        }
    }

    /// The governed rule's actions, and the element names in them that this build doesn't know.
    async fn actions(&self) -> Result<(Vec<Action>, Vec<Box<str>>), ReadError> {
        let capture = Capture::default();
        let arn = self.lever.arn();
        let actions = match &self.lever {
            Lever::Listener { .. } => {
                let call = self
                    .client
                    .describe_listeners()
                    .listener_arns(arn)
                    .customize()
                    .interceptor(capture.clone());
                let answer = call.send().await.map_err(|error| read_error("DescribeListeners", &error))?;
                let listener = answer
                    .listeners
                    .unwrap_or_default()
                    .into_iter()
                    .find(|item| item.listener_arn() == Some(arn));
                listener.map(|listener| listener.default_actions.unwrap_or_default())
            }
            Lever::Rule { .. } => {
                let call =
                    self.client.describe_rules().rule_arns(arn).customize().interceptor(capture.clone());
                let answer = call.send().await.map_err(|error| read_error("DescribeRules", &error))?;
                let rule =
                    answer.rules.unwrap_or_default().into_iter().find(|item| item.rule_arn() == Some(arn));
                rule.map(|rule| rule.actions.unwrap_or_default())
            }
        };
        let actions = actions.ok_or_else(|| ReadError::NotFound(arn.into()))?;
        let unknown = capture.0.get().map_or_else(
            || vec!["the raw answer could not be had".into()],
            |body| unknown::elements(body, arn),
        );
        Ok((actions, unknown))
    }

    /// Tags of the rule and of its listener's load balancer side: a hold or a mark.
    async fn marks(&self) -> Result<Marks, ReadError> {
        let answer = self.client.describe_tags().resource_arns(self.lever.arn()).send().await;
        let answer = answer.map_err(|error| read_error("DescribeTags", &error))?;
        let mut marks = Marks::default();
        for tag in answer
            .tag_descriptions()
            .iter()
            .flat_map(aws_sdk_elasticloadbalancingv2::types::TagDescription::tags)
        {
            let value: Box<str> = tag.value().unwrap_or_default().into();
            match tag.key() {
                Some(TAG_RELEASE) => marks.label = Some(value),
                Some(TAG_IRREVERSIBLE) if &*value != "false" => marks.irreversible = Some(value),
                // `canary:hold` and `canary:hold=<anything>`, the tag's key with or without a suffix.
                Some(key) if key == TAG_HOLD || key.starts_with("canary:hold:") => {
                    marks.hold = Some(format!("tag {key} = {value}").into());
                }
                _ => {}
            }
        }
        Ok(marks)
    }

    async fn health(&self, groups: &BTreeSet<Box<str>>) -> Result<Vec<GroupHealth>, ReadError> {
        let mut all = Vec::new();
        for group in groups {
            let answer = self.client.describe_target_health().target_group_arn(&**group).send().await;
            let answer = match answer.map_err(|error| read_error("DescribeTargetHealth", &error)) {
                // A group that is gone has no targets, which is what the conditions must see.
                Err(ReadError::NotFound(_)) => {
                    all.push(GroupHealth { group: group.clone(), targets: vec![] });
                    continue;
                }
                answer => answer?,
            };
            let tls = self.speaks_tls(group).await?;
            let targets =
                answer.target_health_descriptions().iter().filter_map(|one| target(one, tls)).collect();
            all.push(GroupHealth { group: group.clone(), targets });
        }
        Ok(all)
    }

    /// Whether the balancer speaks TLS to the group's targets, so that a direct question does too.
    async fn speaks_tls(&self, group: &str) -> Result<bool, ReadError> {
        if let Some(tls) = self.tls.lock().unwrap_or_else(PoisonError::into_inner).get(group) {
            return Ok(*tls);
        }
        let answer = self.client.describe_target_groups().target_group_arns(group).send().await;
        let answer = answer.map_err(|error| read_error("DescribeTargetGroups", &error))?;
        let protocol = answer.target_groups().first().and_then(|group| group.protocol());
        let tls = protocol == Some(&ProtocolEnum::Https);
        self.tls.lock().unwrap_or_else(PoisonError::into_inner).insert(group.into(), tls);
        Ok(tls)
    }

    /// The listener's rules in words, for the message that refuses one.
    async fn rules(&self) -> Result<String, ReadError> {
        let listener = match &self.lever {
            Lever::Listener { arn, .. } => arn.clone(),
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
        let (actions, unknown) = self.actions().await?;
        let state = state(self.lever.arn(), &actions, unknown);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((state.fingerprint(), actions));
        let marks = match depth {
            Depth::Listener => None,
            Depth::Marks | Depth::Full => Some(self.marks().await?),
        };
        let health = match depth {
            Depth::Listener | Depth::Marks => None,
            Depth::Full => {
                let named = state.forward.iter().flat_map(|forward| forward.weights());
                let all: BTreeSet<Box<str>> = named.map(|(arn, _)| arn.into()).chain(groups).collect();
                Some(self.health(&all).await?)
            }
        };
        Ok(Observed { state, marks, health })
    }

    async fn write(&self, write: Write) -> WriteOutcome {
        let live = match self.last.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some((shows, actions)) if *shows == write.over => actions.clone(),
            _ => {
                return WriteOutcome::Refused(
                    "the last read doesn't show the state that is to be overwritten".into(),
                );
            }
        };
        let actions = Some(write_back(&live, &write.to));
        match &self.lever {
            Lever::Listener { arn, .. } => {
                match self
                    .client
                    .modify_listener()
                    .listener_arn(arn)
                    .set_default_actions(actions)
                    .send()
                    .await
                {
                    Ok(answer) => WriteOutcome::Accepted(answer.request_id().unwrap_or("unknown").into()),
                    Err(error) => write_outcome(&error),
                }
            }
            Lever::Rule { arn, .. } => {
                match self.client.modify_rule().rule_arn(arn).set_actions(actions).send().await {
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

/// Keeps the raw body of an answer.
#[derive(Clone, Debug, Default)]
struct Capture(Arc<OnceLock<Vec<u8>>>);

impl Intercept for Capture {
    fn name(&self) -> &'static str {
        "KeepRawBody"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(body) = context.response().body().bytes() {
            // One answer a call; a second one could only be a retry, and there is none.
            drop(self.0.set(body.to_vec()));
        }
        Ok(())
    }
}
