//! The actions of a rule: read from a call, checked as AWS checks them, and written as Describe shows them.
//!
//! Facts from `AWS.md` 1. Where a code of AWS is not known to us (more than five target groups, a group named
//! twice), the general `ValidationError` stands in.

use super::params::Params;
use super::refusal::Refusal;
use super::xml::Xml;
use crate::lab::groups::Group;
use std::sync::Arc;

/// One action.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::lab) struct Action {
    pub(in crate::lab) order: Option<u32>,
    pub(in crate::lab) kind: Kind,
}

/// What an action does.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::lab) enum Kind {
    /// Sends the request to one of several groups.
    Forward(Forward),
    /// Anything else: kept and shown as it was given.
    Plain {
        /// Which one it is.
        shape: &'static Shape,
        /// Its settings, in the order of the API model.
        fields: Vec<(&'static str, String)>,
        /// The client secret of `authenticate-oidc`. Never shown.
        secret: Option<String>,
    },
}

/// A forward in its normal form: the scalar `TargetGroupArn` is only another spelling of one group.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::lab) struct Forward {
    /// Target group and weight, 0 ..= 999.
    pub(in crate::lab) groups: Vec<(String, u32)>,
    /// Group stickiness: kept and shown, not acted upon.
    pub(in crate::lab) sticky: bool,
    /// For how many seconds, 1 ..= 604,800.
    pub(in crate::lab) sticky_seconds: Option<u32>,
}

/// An action type that the lab only keeps.
#[derive(Debug, PartialEq)]
pub(in crate::lab) struct Shape {
    pub(in crate::lab) name: &'static str,
    element: &'static str,
    fields: &'static [&'static str],
    /// It ends the list; otherwise it is an authentication that must come before one that does.
    routes: bool,
}

impl Action {
    /// A forward to these groups, without stickiness.
    pub(in crate::lab) fn forward(groups: Vec<(String, u32)>) -> Self {
        Self { order: None, kind: Kind::Forward(Forward { groups, sticky: false, sticky_seconds: None }) }
    }

    /// A login through an identity provider that doesn't exist.
    pub(in crate::lab) fn authenticate_oidc(order: u32) -> Self {
        let url = |path: &str| format!("https://login.example.com{path}");
        let fields = vec![
            ("Issuer", url("")),
            ("AuthorizationEndpoint", url("/authorize")),
            ("TokenEndpoint", url("/token")),
            ("UserInfoEndpoint", url("/userinfo")),
            ("ClientId", "shop".to_owned()),
            ("SessionCookieName", "AWSELBAuthSessionCookie".to_owned()),
            ("Scope", "openid".to_owned()),
            ("SessionTimeout", "604800".to_owned()),
            ("OnUnauthenticatedRequest", "authenticate".to_owned()),
        ];
        let secret = Some("never shown".to_owned());
        Self { order: Some(order), kind: Kind::Plain { shape: &OIDC, fields, secret } }
    }

    /// Reads and checks a whole list. `before` is what the rule has now: the place where a client secret is kept.
    pub(super) fn parse_list(
        members: &[Params],
        groups: &[Arc<Group>],
        before: &[Self],
    ) -> Result<Vec<Self>, Refusal> {
        let mut actions = members
            .iter()
            .map(|member| Self::parse(member, groups, before))
            .collect::<Result<Vec<_>, _>>()?;
        if actions.is_empty() {
            return Err(Refusal::validation("At least one action must be specified"));
        }
        if actions.len() > 1 && actions.iter().any(|action| action.order.is_none()) {
            return Err(Refusal::validation("Order must be specified when there is more than one action"));
        }
        actions.sort_by_key(|action| action.order);
        if actions.windows(2).any(|pair| pair[0].order == pair[1].order) {
            return Err(Refusal::validation("Each action must have a unique order"));
        }
        if actions.iter().filter(|action| action.routes()).count() != 1 {
            return Err(Refusal::action("You must specify exactly one routing action"));
        }
        if !actions.last().is_some_and(Self::routes) {
            return Err(Refusal::action("The routing action must be the last action to be performed"));
        }
        Ok(actions)
    }

    fn parse(member: &Params, groups: &[Arc<Group>], before: &[Self]) -> Result<Self, Refusal> {
        let order = member.value::<u32>("Order")?;
        if order.is_some_and(|order| !(1..=50_000).contains(&order)) {
            return Err(Refusal::validation("Action order must be between 1 and 50000"));
        }
        let name = member.required("Type")?;
        if name == "forward" {
            member.only(&["Type", "Order", "TargetGroupArn", "ForwardConfig"])?;
            return Ok(Self { order, kind: Kind::Forward(Forward::parse(member, groups)?) });
        }
        let shape = SHAPES
            .iter()
            .find(|shape| shape.name == name)
            .ok_or_else(|| Refusal::validation(format!("'{name}' is not a valid action type")))?;
        member.only(&["Type", "Order", shape.element])?;
        Ok(Self { order, kind: shape.parse(&member.below(shape.element), before)? })
    }

    /// Whether it decides where the request goes.
    pub(in crate::lab) fn routes(&self) -> bool {
        match &self.kind {
            Kind::Forward(_) => true,
            Kind::Plain { shape, .. } => shape.routes,
        }
    }

    /// Writes it as Describe does. `unknown` is an element that no SDK of today knows.
    pub(super) fn write(&self, xml: &mut Xml, unknown: Option<&(String, String)>) {
        match &self.kind {
            Kind::Forward(forward) => {
                xml.leaf("Type", "forward");
                xml.leaf_if("Order", self.order);
                forward.write(xml, unknown);
            }
            Kind::Plain { shape, fields, .. } => {
                xml.leaf("Type", shape.name);
                xml.leaf_if("Order", self.order);
                xml.node(shape.element, |xml| fields.iter().for_each(|(name, value)| xml.leaf(name, value)));
            }
        }
    }
}

impl Forward {
    fn parse(member: &Params, known: &[Arc<Group>]) -> Result<Self, Refusal> {
        let config = member.below("ForwardConfig");
        config.only(&["TargetGroups", "TargetGroupStickinessConfig"])?;
        let mut groups = Vec::new();
        for group in config.members("TargetGroups") {
            group.only(&["TargetGroupArn", "Weight"])?;
            let weight: i64 = group.value("Weight")?.unwrap_or(1);
            let weight = u32::try_from(weight).ok().filter(|weight| *weight <= 999).ok_or_else(|| {
                Refusal::validation(format!("Target group weight '{weight}' must be between 0 and 999"))
            })?;
            groups.push((group.required("TargetGroupArn")?.to_owned(), weight));
        }
        match (member.text("TargetGroupArn"), groups.as_slice()) {
            (None, []) => return Err(Refusal::validation("A target group ARN must be specified")),
            (Some(arn), []) => groups.push((arn.to_owned(), 1)),
            (Some(arn), [(only, _)]) if arn == only => {}
            (Some(_), _) => {
                return Err(Refusal::action(
                    "TargetGroupArn and ForwardConfig must name one and the same target group",
                ));
            }
            (None, _) => {}
        }
        if groups.len() > GROUPS_MAX {
            return Err(Refusal::validation("You can specify up to five target groups in a forward action"));
        }
        for (index, (arn, _)) in groups.iter().enumerate() {
            if !known.iter().any(|group| group.arn == *arn) {
                return Err(Refusal::new("TargetGroupNotFound", format!("Target group '{arn}' not found")));
            }
            if groups[..index].iter().any(|(earlier, _)| earlier == arn) {
                return Err(Refusal::validation(format!("Target group '{arn}' is specified twice")));
            }
        }
        let (sticky, sticky_seconds) = parse_stickiness(&config.below("TargetGroupStickinessConfig"))?;
        Ok(Self { groups, sticky, sticky_seconds })
    }

    /// One group shows the scalar too; stickiness that is off shows no duration unless one was given.
    fn write(&self, xml: &mut Xml, unknown: Option<&(String, String)>) {
        if let [(arn, _)] = self.groups.as_slice() {
            xml.leaf("TargetGroupArn", arn);
        }
        xml.node("ForwardConfig", |xml| {
            xml.list("TargetGroups", &self.groups, |xml, (arn, weight)| {
                xml.leaf("TargetGroupArn", arn);
                xml.leaf("Weight", weight);
            });
            xml.node("TargetGroupStickinessConfig", |xml| {
                xml.leaf("Enabled", self.sticky);
                xml.leaf_if("DurationSeconds", self.sticky_seconds);
            });
            if let Some((name, text)) = unknown {
                xml.leaf(name, text);
            }
        });
    }
}

fn parse_stickiness(config: &Params) -> Result<(bool, Option<u32>), Refusal> {
    config.only(&["Enabled", "DurationSeconds"])?;
    let sticky = config.value("Enabled")?.unwrap_or(false);
    let seconds: Option<i64> = config.value("DurationSeconds")?;
    let valid = seconds.and_then(|seconds| u32::try_from(seconds).ok()).filter(|s| (1..=604_800).contains(s));
    if (sticky || seconds.is_some()) && valid.is_none() {
        let rule = "Target group stickiness duration must be between 1 and 604800 seconds";
        return Err(Refusal::validation(rule));
    }
    Ok((sticky, valid))
}

impl Shape {
    fn parse(&'static self, config: &Params, before: &[Action]) -> Result<Kind, Refusal> {
        let secrets: &[&str] = if *self == OIDC { &["ClientSecret", "UseExistingClientSecret"] } else { &[] };
        config.only(&[self.fields, secrets].concat())?;
        let fields: Vec<_> = self
            .fields
            .iter()
            .filter_map(|name| config.text(name).map(|value| (*name, value.to_owned())))
            .collect();
        let secret = if *self == OIDC { Some(client_secret(config, before)?) } else { None };
        Ok(Kind::Plain { shape: self, fields, secret })
    }
}

/// A new secret, or the one that the rule has already; never both.
fn client_secret(config: &Params, before: &[Action]) -> Result<String, Refusal> {
    let kept = before.iter().find_map(|action| match &action.kind {
        Kind::Plain { secret, .. } => secret.clone(),
        Kind::Forward(_) => None,
    });
    let keep: bool = config.value("UseExistingClientSecret")?.unwrap_or(false);
    match (config.text("ClientSecret"), keep) {
        (Some(_), true) => Err(Refusal::action(
            "You cannot specify both ClientSecret and UseExistingClientSecret for an authenticate-oidc action",
        )),
        (Some(secret), false) => Ok(secret.to_owned()),
        (None, true) => kept.ok_or_else(|| Refusal::action("There is no existing client secret to use")),
        (None, false) => Err(Refusal::action("A client secret must be specified")),
    }
}

/// AWS's quota "target groups per action".
const GROUPS_MAX: usize = 5;

static OIDC: Shape = Shape {
    name: "authenticate-oidc",
    element: "AuthenticateOidcConfig",
    fields: &[
        "Issuer",
        "AuthorizationEndpoint",
        "TokenEndpoint",
        "UserInfoEndpoint",
        "ClientId",
        "SessionCookieName",
        "Scope",
        "SessionTimeout",
        "OnUnauthenticatedRequest",
    ],
    routes: false,
};

static SHAPES: [&Shape; 3] = [
    &OIDC,
    &Shape {
        name: "redirect",
        element: "RedirectConfig",
        fields: &["Protocol", "Port", "Host", "Path", "Query", "StatusCode"],
        routes: true,
    },
    &Shape {
        name: "fixed-response",
        element: "FixedResponseConfig",
        fields: &["MessageBody", "StatusCode", "ContentType"],
        routes: true,
    },
];
