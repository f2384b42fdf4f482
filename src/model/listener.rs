//! The governed rule of a listener as the core sees it: what it forwards to, and whether all of it was understood.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

/// One state of the governed rule, exactly as it was described.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerState {
    /// The listener's or the rule's ARN.
    pub arn: Box<str>,
    /// The routing action; `None` when the rule doesn't forward.
    pub forward: Option<Forward>,
    /// The other actions of the rule in canonical text, in order: only ever compared, never changed.
    pub others: Vec<Box<str>>,
    /// Element names that this build doesn't know. A write-back would erase them, so they forbid every write.
    pub unknown: Vec<Box<str>>,
}

/// A `forward` action, field by field as described, so that it can be put back field by field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// The scalar `TargetGroupArn`, if there was one.
    pub scalar: Option<Box<str>>,
    /// `ForwardConfig.TargetGroups`, in the order described; empty if there was no `ForwardConfig`.
    pub groups: Vec<Group>,
    /// `ForwardConfig.TargetGroupStickinessConfig`, if there was one.
    pub stickiness: Option<Stickiness>,
}

/// One weighted target group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its ARN.
    pub arn: Box<str>,
    /// 0..=999; `None` as described.
    pub weight: Option<i32>,
}

/// Target-group stickiness as described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stickiness {
    /// Whether it is on.
    pub enabled: Option<bool>,
    /// Seconds.
    pub duration_s: Option<i32>,
}

/// What makes two states the same state: the canonical text of all that routes.
///
/// As the peers' normalisers do, it ignores the order of groups, the weight of a lone group, an
/// unset stickiness against one that is off, and the scalar ARN (AWS.md 1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub Box<str>);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Forward {
    /// The groups with their effective weights, sorted by ARN. A lone group has all the weight.
    #[must_use]
    pub fn weights(&self) -> Vec<(&str, i32)> {
        let mut weights: Vec<(&str, i32)> =
            self.groups.iter().map(|group| (&*group.arn, group.weight.unwrap_or(1))).collect();
        if weights.is_empty() {
            weights.extend(self.scalar.as_deref().map(|arn| (arn, 1)));
        }
        if let [only] = weights.as_mut_slice() {
            only.1 = 1;
        }
        weights.sort_unstable();
        weights
    }

    /// The groups that get requests.
    #[must_use]
    pub fn serving(&self) -> BTreeSet<&str> {
        self.weights().into_iter().filter(|(_, weight)| *weight > 0).map(|(arn, _)| arn).collect()
    }

    fn is_sticky(&self) -> bool {
        self.stickiness.is_some_and(|sticky| sticky.enabled == Some(true))
    }
}

impl ListenerState {
    /// What tells this state from another.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut text = String::new();
        for other in &self.others {
            let _ = write!(text, "{other}; ");
        }
        match &self.forward {
            None => text.push_str("no forward"),
            Some(forward) => {
                text.push_str("forward");
                for (arn, weight) in forward.weights() {
                    let _ = write!(text, " {arn}={weight}");
                }
                if forward.is_sticky() {
                    let seconds = forward.stickiness.and_then(|sticky| sticky.duration_s).unwrap_or(0);
                    let _ = write!(text, " sticky={seconds}s");
                }
            }
        }
        Fingerprint(text.into())
    }

    /// The groups that get requests; empty when nothing is forwarded.
    #[must_use]
    pub fn serving(&self) -> BTreeSet<&str> {
        self.forward.as_ref().map(Forward::serving).unwrap_or_default()
    }

    /// Whether one group alone gets every request.
    #[must_use]
    pub fn one_has_all(&self) -> bool {
        self.serving().len() == 1
    }

    /// Why nothing may be written over this state; `Ok` when all of it is understood.
    ///
    /// # Errors
    /// Says in words what is not a forward to one or two groups that this build knows wholly.
    pub fn understood(&self) -> Result<&Forward, String> {
        if !self.unknown.is_empty() {
            return Err(format!(
                "the rule has elements that this version doesn't know ({}); writing it back would erase them",
                self.unknown.join(", ")
            ));
        }
        let Some(forward) = &self.forward else {
            return Err("the rule doesn't forward to target groups".into());
        };
        match forward.weights().len() {
            1 | 2 => Ok(forward),
            n => Err(format!("the rule forwards to {n} target groups; one or two are understood")),
        }
    }

    /// The serving groups by name, for people: `blue`, or `blue 90 + green 10`.
    #[must_use]
    pub fn label(&self) -> String {
        let Some(forward) = &self.forward else { return "no forward".into() };
        let weights: Vec<(&str, i32)> =
            forward.weights().into_iter().filter(|(_, weight)| *weight > 0).collect();
        match weights.as_slice() {
            [] => "nothing".into(),
            [(arn, _)] => group_name(arn).to_owned(),
            many => {
                let parts: Vec<String> =
                    many.iter().map(|(arn, weight)| format!("{} {weight}", group_name(arn))).collect();
                parts.join(" + ")
            }
        }
    }
}

/// `blue` of `arn:aws:elasticloadbalancing:…:targetgroup/blue/0123456789abcdef`.
#[must_use]
pub fn group_name(arn: &str) -> &str {
    arn.rsplit_once(":targetgroup/").map_or(arn, |(_, rest)| rest.split('/').next().unwrap_or(rest))
}

/// What `DescribeTargetHealth` says of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupHealth {
    /// The group's ARN.
    pub group: Box<str>,
    /// Its registered targets.
    pub targets: Vec<TargetHealth>,
}

/// One registered target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetHealth {
    /// Address (or instance id) and port, as `address:port`.
    pub id: Box<str>,
    /// The state in AWS's word.
    pub state: HealthState,
    /// A zonal shift or another administrative override is in force (`AdministrativeOverride`).
    pub overridden: bool,
}

/// `TargetHealth.State`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// Registered, not yet checked.
    Initial,
    /// Passing its health checks.
    Healthy,
    /// Failing them.
    Unhealthy,
    /// Its group is referred to by no rule (`Target.NotInUse`), so nobody checks it.
    Unused,
    /// Being deregistered.
    Draining,
    /// Health checks are off, or a word that this version doesn't know.
    Unavailable,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(groups: &[(&str, i32)]) -> ListenerState {
        let groups = groups.iter().map(|(arn, weight)| Group { arn: (*arn).into(), weight: Some(*weight) });
        let forward = Forward { scalar: None, groups: groups.collect(), stickiness: None };
        ListenerState { arn: "l".into(), forward: Some(forward), others: vec![], unknown: vec![] }
    }

    #[test]
    fn order_scalar_and_the_weight_of_a_lone_group_make_no_difference() {
        assert_eq!(state(&[("a", 1), ("b", 0)]).fingerprint(), state(&[("b", 0), ("a", 1)]).fingerprint());
        let mut lone = state(&[("a", 7)]);
        let mut scalar = state(&[]);
        scalar.forward = Some(Forward { scalar: Some("a".into()), ..Forward::default() });
        assert_eq!(lone.fingerprint(), scalar.fingerprint());
        lone.forward.as_mut().unwrap().stickiness =
            Some(Stickiness { enabled: Some(false), duration_s: None });
        assert_eq!(lone.fingerprint(), scalar.fingerprint());
    }

    #[test]
    fn weights_stickiness_and_other_actions_make_a_difference() {
        let plain = state(&[("a", 1), ("b", 0)]);
        assert_ne!(plain.fingerprint(), state(&[("a", 0), ("b", 1)]).fingerprint());
        let mut sticky = plain.clone();
        sticky.forward.as_mut().unwrap().stickiness =
            Some(Stickiness { enabled: Some(true), duration_s: Some(60) });
        assert_ne!(plain.fingerprint(), sticky.fingerprint());
        let mut auth = plain.clone();
        auth.others.push("authenticate-oidc".into());
        assert_ne!(plain.fingerprint(), auth.fingerprint());
    }

    #[test]
    fn what_is_not_wholly_understood_is_refused() {
        assert!(state(&[("a", 1), ("b", 0)]).understood().is_ok());
        assert!(state(&[("a", 1), ("b", 0), ("c", 0)]).understood().unwrap_err().contains("3 target groups"));
        let mut unknown = state(&[("a", 1)]);
        unknown.unknown.push("Mirroring".into());
        assert!(unknown.understood().unwrap_err().contains("Mirroring"));
        let mut redirect = state(&[]);
        redirect.forward = None;
        assert!(redirect.understood().unwrap_err().contains("doesn't forward"));
    }

    #[test]
    fn labels_are_names_of_groups() {
        let arn = |name: &str| format!("arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/{name}/0123");
        assert_eq!(state(&[(&arn("blue"), 100), (&arn("green"), 0)]).label(), "blue");
        assert_eq!(state(&[(&arn("blue"), 90), (&arn("green"), 10)]).label(), "blue 90 + green 10");
    }
}
