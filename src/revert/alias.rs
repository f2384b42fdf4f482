//! An alias of a Lambda function: its versions are the groups, and its weights are the release.
//!
//! `UpdateAlias` is the one write here that is fenced: it carries the `RevisionId` of the last read, and AWS refuses it when anybody has
//! written since; then it is read again. The revision is no part of the state. It changes with a new description too, and a state that we wrote ourselves could
//! not be recognised by it. So an alias that was changed and put back between two reads is the state that was judged, as a listener
//! would be; what the revision adds is that nothing fits between the last read and the write.
//!
//! A published version never changes, so its name says what it is. It can't be asked past its alias: its answers in production are its word
//! while it gets requests ([`Heard`](crate::model::policy::Heard)).

use super::fault::{read_error, write_outcome};
use super::owner::Owners;
use super::raw::RawBody;
use super::tags::{self, TAG_HOLD, Tagged};
use super::{LeverError, Reverter};
use crate::clock;
use crate::model::alias;
use crate::model::guard::{Depth, Marks, Observed, ReadError, WriteOutcome};
use crate::model::listener::{
    Fingerprint, Forward, Group, GroupHealth, HealthState, ListenerState, RuleState, TargetHealth,
};
use crate::model::owner::Call;
use crate::model::plan::Write;
use crate::model::time::Mono;
use crate::settings::{Lever, Whose};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_lambda::Client;
use aws_sdk_lambda::operation::RequestId;
use aws_sdk_lambda::operation::get_alias::GetAliasOutput;
use aws_sdk_lambda::types::{AliasRoutingConfiguration, State};
use aws_smithy_types::retry::RetryConfig;
use futures_util::future::try_join_all;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// What a read showed last: when it was sent, the state, and the revision that a write has to name.
#[derive(Clone, Debug)]
struct Last {
    sent: Mono,
    shows: Fingerprint,
    revision: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Alias {
    client: Client,
    /// The alias' ARN.
    arn: String,
    /// The function's, without a qualifier.
    function: String,
    name: String,
    owners: Owners,
    last: Mutex<Option<Last>>,
    /// The versions that the alias named when it was read last.
    named: Mutex<BTreeSet<Box<str>>>,
}

impl Alias {
    /// `None` where the lever is no alias.
    pub(super) fn of(shared: &SdkConfig, lever: &Lever, whose: &Whose) -> Option<Self> {
        let (function, name) = lever.alias()?;
        // Never twice by the SDK's own choice, and bounded in time.
        let config = aws_sdk_lambda::config::Builder::from(shared)
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(lever.region().to_owned()))
            .retry_config(RetryConfig::disabled())
            .timeout_config(super::timeouts())
            .build();
        Some(Self {
            client: Client::from_conf(config),
            arn: lever.arn().to_owned(),
            owners: Owners::of_alias(shared, lever.region(), (function, name), whose.nobodys),
            function: function.to_owned(),
            name: name.to_owned(),
            last: Mutex::default(),
            named: Mutex::default(),
        })
    }

    /// Reads the alias once and says whether it is one that may be governed.
    ///
    /// # Errors
    /// It isn't, and why; or it couldn't be read.
    pub(super) async fn governable(&self) -> Result<ListenerState, LeverError> {
        let state = self.state().await.map_err(|error| match error {
            ReadError::NotFound(what) => LeverError::NotFound(format!("{}: {what}", self.arn)),
            other => LeverError::Read(other.to_string()),
        })?;
        match state.understood() {
            Ok(()) => Ok(state),
            Err(why) => Err(LeverError::NotGovernable(format!("{}: {why}", self.arn))),
        }
    }

    /// The alias as it is now.
    async fn state(&self) -> Result<ListenerState, ReadError> {
        let sent = clock::now();
        let raw = RawBody::default();
        // By the function's ARN: a name alone would be looked for in whatever account the credentials are of.
        let call = self.client.get_alias().function_name(&self.function).name(&self.name);
        let answer = call.customize().interceptor(raw.clone()).send().await;
        let answer = answer.map_err(|error| read_error("lambda:GetAlias", &error))?;
        let state = state(&self.arn, &self.function, &answer, unknown_routing(&raw));
        let read = Last { sent, shows: state.fingerprint(), revision: answer.revision_id };
        let named = state.forward.iter().flat_map(Forward::weights).map(|(arn, _)| arn.into()).collect();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Of two reads under way at once, the one that was sent later says more.
        if last.as_ref().is_none_or(|last| last.sent <= read.sent) {
            *last = Some(read);
            *self.named.lock().unwrap_or_else(PoisonError::into_inner) = named;
        }
        Ok(state.into())
    }

    /// The function's tags: an alias has none of its own.
    async fn tags(&self) -> Result<Vec<Tagged>, ReadError> {
        let answer = self.client.list_tags().resource(&self.function).send().await;
        let answer = answer.map_err(|error| read_error("lambda:ListTags", &error))?;
        let all = answer.tags.unwrap_or_default().into_iter();
        let on = |(key, value)| Tagged { resource: self.function.clone(), own: true, key, value };
        let mut all: Vec<Tagged> = all.map(on).collect();
        all.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(all)
    }

    async fn marks(&self, state: &ListenerState, tags: Vec<Tagged>) -> Marks {
        tags::marks(self.owners.owner(state).await, tags)
    }

    async fn health(&self, versions: &BTreeSet<Box<str>>) -> Result<Vec<GroupHealth>, ReadError> {
        try_join_all(versions.iter().map(|version| self.health_of(version))).await
    }

    async fn health_of(&self, version: &str) -> Result<GroupHealth, ReadError> {
        let qualifier = version.rsplit_once(':').map_or(version, |(_, qualifier)| qualifier);
        let call =
            self.client.get_function_configuration().function_name(&self.function).qualifier(qualifier);
        let answer = call.send().await.map_err(|error| read_error("lambda:GetFunctionConfiguration", &error));
        let state = match answer {
            // A version that is gone has no target, which is what the conditions must see.
            Err(ReadError::NotFound(_)) => return Ok(GroupHealth { group: version.into(), targets: vec![] }),
            answer => health(answer?.state()),
        };
        let target = TargetHealth { id: version.into(), state, overridden: false };
        Ok(GroupHealth { group: version.into(), targets: vec![target] })
    }
}

impl Reverter for Alias {
    async fn read(&self, depth: Depth, groups: BTreeSet<Box<str>>) -> Result<Observed, ReadError> {
        // What the alias named when it was read last is asked about beside it: before a write each way to AWS counts.
        let known = self.named.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let wanted: BTreeSet<Box<str>> = known.union(&groups).cloned().collect();
        let (state, tags, health) = match depth {
            Depth::Listener => (self.state().await?, None, None),
            Depth::Marks => {
                let (state, tags) = tokio::try_join!(self.state(), self.tags())?;
                (state, Some(tags), None)
            }
            Depth::Full => {
                let (state, tags, health) =
                    tokio::try_join!(self.state(), self.tags(), self.health(&wanted))?;
                (state, Some(tags), Some(health))
            }
        };
        let marks = match tags {
            Some(tags) => Some(self.marks(&state, tags).await),
            None => None,
        };
        let forwards = state.rules().iter().filter_map(|rule| rule.forward.as_ref());
        let named = forwards.flat_map(Forward::weights).map(|(arn, _)| Box::from(arn));
        let all: BTreeSet<Box<str>> = named.chain(groups).collect();
        let health = match health {
            None => None,
            Some(mut health) if all.is_subset(&wanted) => {
                health.retain(|one| all.contains(&one.group));
                Some(health)
            }
            Some(_) => Some(self.health(&all).await?),
        };
        Ok(Observed { state, marks, health })
    }

    async fn tag(&self, hold: Option<Box<str>>) -> Result<(), String> {
        let failed = if let Some(reason) = hold {
            let call = self.client.tag_resource().resource(&self.function);
            let sent = call.tags(TAG_HOLD, tags::value(&reason)).send().await;
            sent.err().map(|error| ("lambda:TagResource", read_error("lambda:TagResource", &error)))
        } else {
            let sent = self.client.untag_resource().resource(&self.function).tag_keys(TAG_HOLD).send().await;
            sent.err().map(|error| ("lambda:UntagResource", read_error("lambda:UntagResource", &error)))
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
        let refused = |why: &str| WriteOutcome::Refused(why.into());
        if *write.arn != *self.arn {
            return refused("this alias isn't governed");
        }
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(last) = last.filter(|last| last.shows == write.over) else {
            return refused("the last read doesn't show the state that is to be overwritten");
        };
        let Some(revision) = last.revision else {
            return refused("AWS named no revision, and without it the write could overwrite another");
        };
        let (main, additional) = match routing(&write.to, &self.function) {
            Ok(routing) => routing,
            Err(why) => return refused(&why),
        };
        // Sent even where it is empty: left out, the additional version would keep its share.
        let additional = Some(additional.into_iter().collect());
        let routing = AliasRoutingConfiguration::builder().set_additional_version_weights(additional);
        let call = self
            .client
            .update_alias()
            .function_name(&self.function)
            .name(&self.name)
            .function_version(main)
            .routing_config(routing.build())
            .revision_id(revision);
        match call.send().await {
            Ok(answer) => WriteOutcome::Accepted(answer.request_id().unwrap_or("unknown").into()),
            Err(error) => write_outcome(&error),
        }
    }
}

/// What an alias says, as a rule whose groups are the versions, the main one first. `unknown`: what its routing holds that this version
/// doesn't know.
fn state(arn: &str, function: &str, alias: &GetAliasOutput, mut unknown: Vec<Box<str>>) -> RuleState {
    if let Some(other) = alias.alias_arn().filter(|other| *other != arn) {
        unknown.push(format!("it says that it is {other}").into());
    }
    let mut left = alias::WHOLE;
    let mut groups = Vec::new();
    let additional = alias.routing_config().and_then(AliasRoutingConfiguration::additional_version_weights);
    let mut additional: Vec<(&String, &f64)> = additional.into_iter().flatten().collect();
    additional.sort_by_key(|(version, _)| *version);
    for (version, share) in additional {
        let (true, Some(weight)) = (is_published(version), alias::weight(*share)) else {
            unknown.push(format!("version {version} with the weight {share}").into());
            continue;
        };
        left -= weight;
        groups.push(Group { arn: format!("{function}:{version}").into(), weight: Some(weight) });
    }
    if left < 0 {
        unknown.push("weights that are more than all requests".into());
    }
    let main = alias.function_version().unwrap_or_default();
    if !is_published(main) || groups.iter().any(|group| group.arn.ends_with(&format!(":{main}"))) {
        let why = if main == "$LATEST" { "which changes under its name" } else { "as its main version" };
        unknown.push(format!("{main:?}, {why}").into());
    }
    let main: Box<str> = format!("{function}:{main}").into();
    groups.insert(0, Group { arn: main.clone(), weight: Some(left) });
    let forward = Some(Forward { scalar: Some(main), groups, stickiness: None });
    RuleState { arn: arn.into(), forward, others: vec![], unknown }
}

/// The main version and the additional ones with their shares, as `UpdateAlias` takes them.
fn routing(to: &Forward, function: &str) -> Result<(String, BTreeMap<String, f64>), String> {
    let weights = to.weights();
    // What was the main version is it again; in a state that nobody has described, it is the one with the larger share.
    let scalar = to.scalar.as_deref().filter(|main| weights.iter().any(|(arn, _)| arn == main));
    let largest = weights.iter().max_by_key(|(_, weight)| *weight).map(|(arn, _)| *arn);
    let main = scalar.or(largest).ok_or("no version is named")?;
    let number = |arn: &str| {
        let number = arn.strip_prefix(function).and_then(|rest| rest.strip_prefix(':'));
        number
            .filter(|number| is_published(number))
            .map(str::to_owned)
            .ok_or(format!("{arn} is no version of {function}"))
    };
    let all: i64 = weights.iter().map(|(_, weight)| i64::from(*weight)).sum();
    if weights.len() > 1 && all != i64::from(alias::WHOLE) {
        return Err(format!("the weights are {all} together, not {}", alias::WHOLE));
    }
    let others = weights.iter().filter(|(arn, _)| *arn != main);
    let additional = others.map(|(arn, weight)| Ok((number(arn)?, alias::fraction(*weight))));
    Ok((number(main)?, additional.collect::<Result<_, String>>()?))
}

/// A published version is called by a number.
fn is_published(version: &str) -> bool {
    !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a version can be invoked. One that AWS calls inactive can't: its next invocation fails, and it is made ready only
/// then (Lambda Developer Guide, "Lambda function states").
const fn health(state: Option<&State>) -> HealthState {
    match state {
        Some(State::Active) => HealthState::Healthy,
        Some(State::Pending) => HealthState::Initial,
        Some(State::Failed | State::Inactive) => HealthState::Unhealthy,
        Some(State::Deactivating | State::Deactivated | State::Deleting) => HealthState::Draining,
        _ => HealthState::Unavailable,
    }
}

/// The members of the routing that this version doesn't know. Only the routing and the main version are ever written.
fn unknown_routing(raw: &RawBody) -> Vec<Box<str>> {
    let body = raw.bytes().and_then(|body| serde_json::from_slice::<Value>(body).ok());
    match body.as_ref().map(|body| body.get("RoutingConfig")) {
        None => vec![RawBody::LOST.into()],
        Some(None | Some(Value::Null)) => vec![],
        Some(Some(Value::Object(members))) => {
            let unknown = members.keys().filter(|name| *name != "AdditionalVersionWeights");
            unknown.map(|name| name.as_str().into()).collect()
        }
        Some(Some(_)) => vec!["RoutingConfig".into()],
    }
}

#[cfg(test)]
mod tests;
