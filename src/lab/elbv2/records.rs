//! What the control plane remembers: one balancer, one listener, its rules, and everybody's tags.

use super::actions::{Action, Kind};
use crate::lab::groups::Group;
use crate::lab::routing::{Route, RouteAction, Routing};
use http::StatusCode;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The configuration as it was written last.
#[derive(Clone, Debug)]
pub(in crate::lab) struct Records {
    pub(in crate::lab) dns_name: String,
    /// The port of the listener.
    pub(in crate::lab) port: u16,
    /// By priority; the default rule comes last.
    pub(in crate::lab) rules: Vec<Rule>,
    /// Tags by the ARN that they are on.
    pub(in crate::lab) tags: BTreeMap<String, BTreeMap<String, String>>,
    /// An element that no SDK of today knows, shown inside every `ForwardConfig`: name and text.
    pub(in crate::lab) unknown_element: Option<(String, String)>,
}

/// One rule of the listener.
#[derive(Clone, Debug)]
pub(in crate::lab) struct Rule {
    pub(in crate::lab) arn: String,
    /// `None`: the default rule.
    pub(in crate::lab) priority: Option<u32>,
    /// The path patterns of its one condition.
    pub(in crate::lab) paths: Vec<String>,
    pub(in crate::lab) actions: Vec<Action>,
}

impl Records {
    /// The rules as the data plane obeys them.
    pub(in crate::lab) fn routing(&self, groups: &[Arc<Group>]) -> Routing {
        let rules = self.rules.iter().filter_map(|rule| {
            let action = route_action(rule.actions.iter().find(|action| action.routes())?, groups);
            Some(Route { paths: rule.paths.clone(), action })
        });
        Routing { rules: rules.collect() }
    }

    /// The default rule.
    pub(super) fn default_rule(&self) -> &Rule {
        self.rules.last().expect("the lab starts with a default rule and nothing deletes rules")
    }

    /// The default rule, to be changed.
    pub(super) fn default_rule_mut(&mut self) -> &mut Rule {
        self.rules.last_mut().expect("the lab starts with a default rule and nothing deletes rules")
    }
}

fn route_action(action: &Action, groups: &[Arc<Group>]) -> RouteAction {
    match &action.kind {
        Kind::Forward(forward) => {
            let weighted = forward.groups.iter().filter_map(|(arn, weight)| {
                Some((groups.iter().find(|group| group.arn == *arn)?.clone(), *weight))
            });
            RouteAction::Forward(weighted.collect())
        }
        Kind::Plain { shape, fields, .. } => {
            let field =
                |name| fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value.clone());
            let code = field("StatusCode").unwrap_or_default();
            let digits = code.trim_start_matches("HTTP_").as_bytes();
            let status = StatusCode::from_bytes(digits).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            let location = (shape.name == "redirect").then(|| {
                format!("https://{}{}", field("Host").unwrap_or_default(), field("Path").unwrap_or_default())
            });
            RouteAction::Fixed { status, location, body: field("MessageBody").unwrap_or_default() }
        }
    }
}

/// The name of the balancer.
pub(super) const NAME: &str = "shop";

/// Where the lab pretends to be.
pub(in crate::lab) const REGION: &str = "eu-west-1";

/// ARNs of the lab's only balancer and listener.
pub(in crate::lab) const LOAD_BALANCER_ARN: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/shop/50dc6c495c0c9188";
pub(in crate::lab) const LISTENER_ARN: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/shop/50dc6c495c0c9188/f2f7dc8efc522ab2";

/// The ARN of the rule with this number.
pub(in crate::lab) fn rule_arn(number: u32) -> String {
    let listener = LISTENER_ARN.replace(":listener/", ":listener-rule/");
    format!("{listener}/{:016x}", 0x9683_b2d0_2a6c_abee_u64 + u64::from(number))
}

/// The ARN of the target group with this name.
pub(in crate::lab) fn group_arn(name: &str) -> String {
    let tail = name.bytes().fold(0x73e2_d6bc_24d8_a067_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("arn:aws:elasticloadbalancing:{REGION}:123456789012:targetgroup/{name}/{tail:016x}")
}
