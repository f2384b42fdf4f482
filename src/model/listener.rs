//! What is governed, as the core sees it: the rules that move together, what each forwards to, and whether all of it was understood.

use crate::hazard::{Hazard, answered};
use crate::{alias, several};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

/// One state of all that is governed for a service: one listener or rule, or several that move together (80 and 443, hosts, paths).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ListenerState {
    /// The most important first, which is the order in which they are put back.
    #[serde(with = "several")]
    rules: Vec<RuleState>,
}

/// One state of a governed rule (a listener's default rule, or another one), exactly as it was described.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleState {
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

impl RuleState {
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

    /// Why nothing may be written over this state; its forward when all of it is understood.
    ///
    /// # Errors
    /// Says in words what is not a forward to one or two groups that this build knows wholly.
    pub fn understood(&self) -> Result<&Forward, String> {
        let (what, groups) =
            if alias::name(&self.arn).is_some() { ("alias", "versions") } else { ("rule", "target groups") };
        if !self.unknown.is_empty() && answered(Hazard::DamagedRule) {
            return Err(format!(
                "the {what} has elements that this version doesn't know ({}); writing it back would erase them",
                self.unknown.join(", ")
            ));
        }
        let Some(forward) = &self.forward else {
            return Err(format!("the {what} doesn't forward to {groups}"));
        };
        match forward.weights().len() {
            1 | 2 => Ok(forward),
            n => Err(format!("the {what} forwards to {n} {groups}; one or two are understood")),
        }
    }

    /// The serving groups by name, for people: `blue`, or `blue 90 + green 10`; of an alias `checkout:7 90 %, :8 10 %`.
    #[must_use]
    pub fn label(&self) -> String {
        let Some(forward) = &self.forward else { return "no forward".into() };
        let weights: Vec<(&str, i32)> =
            forward.weights().into_iter().filter(|(_, weight)| *weight > 0).collect();
        match weights.as_slice() {
            [] => "nothing".into(),
            [(arn, _)] => group_name(arn).to_owned(),
            many => alias::label(many).unwrap_or_else(|| {
                let parts: Vec<String> =
                    many.iter().map(|(arn, weight)| format!("{} {weight}", group_name(arn))).collect();
                parts.join(" + ")
            }),
        }
    }
}

impl From<RuleState> for ListenerState {
    fn from(rule: RuleState) -> Self {
        Self { rules: vec![rule] }
    }
}

impl From<Vec<RuleState>> for ListenerState {
    /// The most important first.
    fn from(rules: Vec<RuleState>) -> Self {
        Self { rules }
    }
}

impl ListenerState {
    /// Each rule, the most important first.
    #[must_use]
    pub fn rules(&self) -> &[RuleState] {
        &self.rules
    }

    /// The rule of this ARN.
    #[must_use]
    pub fn rule(&self, arn: &str) -> Option<&RuleState> {
        self.rules.iter().find(|rule| &*rule.arn == arn)
    }

    /// What tells this state from another: the rules' own, whatever their order.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        if let [only] = self.rules.as_slice() {
            return only.fingerprint();
        }
        let mut rules: Vec<(&str, Fingerprint)> =
            self.rules.iter().map(|rule| (&*rule.arn, rule.fingerprint())).collect();
        rules.sort();
        let rules: Vec<String> =
            rules.iter().map(|(arn, shows)| format!("{}: {shows}", short(arn))).collect();
        Fingerprint(rules.join(" | ").into())
    }

    /// The groups that get requests from any of the rules; empty when nothing is forwarded.
    #[must_use]
    pub fn serving(&self) -> BTreeSet<&str> {
        self.rules.iter().flat_map(RuleState::serving).collect()
    }

    /// Whether one group alone gets every request.
    #[must_use]
    pub fn one_has_all(&self) -> bool {
        self.serving().len() == 1
    }

    /// How long a user may stay with the group that served it, whatever the weights say; `None` where nobody does.
    #[must_use]
    pub fn sticky_s(&self) -> Option<i32> {
        let forwards = self.rules.iter().filter_map(|rule| rule.forward.as_ref());
        let sticky = forwards.filter(|forward| forward.is_sticky() && answered(Hazard::Sticky));
        sticky.map(|forward| forward.stickiness.and_then(|sticky| sticky.duration_s).unwrap_or(0)).max()
    }

    /// Why nothing may be written over this state; `Ok` when all of it is understood.
    ///
    /// # Errors
    /// Says in words which rule is none that may be written, or that the rules aren't one pair of groups.
    pub fn understood(&self) -> Result<(), String> {
        let mut groups = BTreeSet::new();
        for rule in &self.rules {
            let forward = rule.understood().map_err(|why| self.named(rule, why))?;
            groups.extend(forward.weights().into_iter().map(|(arn, _)| arn));
        }
        match groups.len() {
            0 => Err("nothing is governed".into()),
            1 | 2 => Ok(()),
            n => Err(format!(
                "the governed rules forward to {n} target groups together ({}); one pair of old and new is understood",
                groups.into_iter().map(group_name).collect::<Vec<_>>().join(", ")
            )),
        }
    }

    /// Which rule is meant, where there are several.
    fn named(&self, rule: &RuleState, why: String) -> String {
        if self.rules.len() == 1 { why } else { format!("{}: {why}", short(&rule.arn)) }
    }

    /// The serving groups by name, for people: `blue`, `blue 90 + green 10`, or where the rules differ
    /// `blue (listener …a1), green (listener …b2)`.
    #[must_use]
    pub fn label(&self) -> String {
        let mut labels: Vec<String> = self.rules.iter().map(RuleState::label).collect();
        if labels.iter().all(|label| *label == labels[0]) {
            return labels.drain(..).next().unwrap_or_else(|| "nothing".into());
        }
        let each = self.rules.iter().map(|rule| format!("{} ({})", rule.label(), short(&rule.arn)));
        each.collect::<Vec<_>>().join(", ")
    }
}

/// `listener web/0123` of `arn:aws:elasticloadbalancing:…:listener/app/web/50dc/0123`.
#[must_use]
pub fn short(arn: &str) -> String {
    let resource = arn.splitn(6, ':').nth(5).unwrap_or(arn);
    let parts: Vec<&str> = resource.split('/').collect();
    match parts.as_slice() {
        ["listener", _, name, .., id] => format!("listener {name}/{id}"),
        ["listener-rule", _, name, .., id] => format!("rule {name}/{id}"),
        _ if alias::name(arn).is_some() => format!("alias {}", group_name(arn)),
        _ => arn.to_owned(),
    }
}

/// `blue` of `arn:aws:elasticloadbalancing:…:targetgroup/blue/0123456789abcdef`, `checkout:7` of a function's version.
#[must_use]
pub fn group_name(arn: &str) -> &str {
    if let Some(name) = alias::name(arn) {
        return name;
    }
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

    fn state(groups: &[(&str, i32)]) -> RuleState {
        let groups = groups.iter().map(|(arn, weight)| Group { arn: (*arn).into(), weight: Some(*weight) });
        let forward = Forward { scalar: None, groups: groups.collect(), stickiness: None };
        RuleState { arn: "l".into(), forward: Some(forward), others: vec![], unknown: vec![] }
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

    fn named(arn: &str, groups: &[(&str, i32)]) -> RuleState {
        RuleState { arn: arn.into(), ..state(groups) }
    }

    const HTTP: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/50dc/80";
    const HTTPS: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/50dc/443";

    #[test]
    fn several_rules_are_one_state_whatever_their_order() {
        let both = |http: i32, https: i32| {
            let of = |arn, blue| named(arn, &[("b", blue), ("g", 100 - blue)]);
            ListenerState::from(vec![of(HTTPS, https), of(HTTP, http)])
        };
        let mut turned = both(100, 0);
        turned.rules.reverse();
        assert_eq!(both(100, 0).fingerprint(), turned.fingerprint());
        let all: BTreeSet<Fingerprint> = [both(100, 100), both(100, 0), both(0, 100), both(0, 0)]
            .iter()
            .map(ListenerState::fingerprint)
            .collect();
        assert_eq!(all.len(), 4, "each is another state");
        assert_eq!(both(0, 0).serving(), ["g"].into());
        assert_eq!(both(100, 0).serving(), ["b", "g"].into());
        assert!(both(0, 0).one_has_all() && !both(100, 0).one_has_all());
        assert_eq!(
            (both(0, 0).label(), both(0, 100).label()),
            ("g".into(), "b (listener web/443), g (listener web/80)".into())
        );
        assert!(both(0, 0).rule(HTTP).is_some() && both(0, 0).rule("other").is_none());
        assert_eq!(ListenerState::from(vec![]).label(), "nothing");
    }

    #[test]
    fn the_rules_are_one_pair_of_groups_and_each_is_understood() {
        let of = |rules: Vec<RuleState>| ListenerState::from(rules).understood();
        assert_eq!(of(vec![named(HTTP, &[("b", 1), ("g", 0)]), named(HTTPS, &[("g", 1)])]), Ok(()));
        assert!(of(vec![]).unwrap_err().contains("nothing is governed"));
        let three = of(vec![named(HTTP, &[("b", 1), ("g", 0)]), named(HTTPS, &[("x", 1)])]).unwrap_err();
        assert!(three.contains("3 target groups together (b, g, x)"), "{three}");
        let redirect = RuleState { forward: None, ..named(HTTP, &[]) };
        let which = of(vec![named(HTTPS, &[("b", 1)]), redirect.clone()]).unwrap_err();
        assert!(which.starts_with("listener web/80: the rule doesn't forward"), "{which}");
        assert!(
            of(vec![redirect]).unwrap_err().starts_with("the rule doesn't"),
            "the only one needs no name"
        );
    }

    #[test]
    fn the_longest_stickiness_of_any_rule_holds_users() {
        let sticky = |seconds: Option<i32>| {
            let mut rule = state(&[("b", 1), ("g", 0)]);
            rule.forward.as_mut().unwrap().stickiness =
                Some(Stickiness { enabled: Some(seconds.is_some()), duration_s: seconds });
            rule
        };
        let longest = |all: &[Option<i32>]| {
            ListenerState::from(all.iter().map(|seconds| sticky(*seconds)).collect::<Vec<_>>()).sticky_s()
        };
        assert_eq!(longest(&[None, None]), None);
        assert_eq!(longest(&[Some(60), None, Some(3_600)]), Some(3_600));
    }

    #[test]
    fn one_rule_is_written_as_itself_and_several_as_a_list() {
        let one = ListenerState::from(state(&[("b", 1)]));
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(text, serde_json::to_string(&state(&[("b", 1)])).unwrap());
        assert_eq!(serde_json::from_str::<ListenerState>(&text).unwrap(), one);
        let two = ListenerState::from(vec![named(HTTP, &[("b", 1)]), named(HTTPS, &[("b", 1)])]);
        let text = serde_json::to_string(&two).unwrap();
        assert!(text.starts_with('['), "{text}");
        assert_eq!(serde_json::from_str::<ListenerState>(&text).unwrap(), two);
    }

    #[test]
    fn a_short_name_tells_listeners_and_rules() {
        assert_eq!(short(HTTPS), "listener web/443");
        let rule = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/web/50dc/443/9f";
        assert_eq!(short(rule), "rule web/9f");
        assert_eq!(short("l"), "l");
        let alias = "arn:aws:lambda:eu-west-1:123456789012:function:checkout:live";
        assert_eq!(short(alias), "alias checkout:live");
    }
}
