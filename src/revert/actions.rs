//! AWS's actions to the core's state, and back: the write-back recipe (AWS.md 1).

use crate::model::listener::{Forward, Group, RuleState, Stickiness};
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, ForwardActionConfig, TargetGroupStickinessConfig, TargetGroupTuple,
};

/// The state of a rule that `actions` describe.
pub(super) fn state(arn: &str, actions: &[Action], mut unknown: Vec<Box<str>>) -> RuleState {
    let mut ordered: Vec<&Action> = actions.iter().collect();
    ordered.sort_by_key(|action| action.order().unwrap_or(0));
    let mut forward = None;
    let mut others = Vec::new();
    for action in ordered {
        match action.r#type() {
            Some(ActionTypeEnum::Forward) if forward.is_none() => forward = self::forward(action),
            Some(
                ActionTypeEnum::AuthenticateCognito
                | ActionTypeEnum::AuthenticateOidc
                | ActionTypeEnum::FixedResponse
                | ActionTypeEnum::Redirect
                | ActionTypeEnum::JwtValidation,
            ) => others.push(canonical(action)),
            other => {
                unknown.push(format!("action type {}", other.map_or("none", ActionTypeEnum::as_str)).into());
            }
        }
    }
    RuleState { arn: arn.into(), forward, others, unknown }
}

/// `None` when the action names no group at all, which is then nothing that could be put back.
fn forward(action: &Action) -> Option<Forward> {
    let config = action.forward_config();
    let groups: Vec<Group> = config
        .map(ForwardActionConfig::target_groups)
        .unwrap_or_default()
        .iter()
        .filter_map(|tuple| Some(Group { arn: tuple.target_group_arn()?.into(), weight: tuple.weight() }))
        .collect();
    let scalar = action.target_group_arn().map(Into::into);
    let stickiness = config
        .and_then(ForwardActionConfig::target_group_stickiness_config)
        .map(|sticky| Stickiness { enabled: sticky.enabled(), duration_s: sticky.duration_seconds() });
    (scalar.is_some() || !groups.is_empty()).then_some(Forward { scalar, groups, stickiness })
}

/// The order is left out: it numbers the actions and says nothing else.
fn canonical(action: &Action) -> Box<str> {
    let mut action = action.clone();
    action.order = None;
    format!("{action:?}").into()
}

/// `live` with its forward put back to `to`: every other field is sent as it was read.
pub(super) fn write_back(live: &[Action], to: &Forward) -> Vec<Action> {
    let mut actions: Vec<Action> = live.to_vec();
    actions.sort_by_key(|action| action.order.unwrap_or(0));
    for action in &mut actions {
        if action.r#type == Some(ActionTypeEnum::Forward) {
            put(action, to);
        }
        if let Some(oidc) = &mut action.authenticate_oidc_config {
            // The secret is never described; both together are refused.
            oidc.client_secret = None;
            oidc.use_existing_client_secret = Some(true);
        }
    }
    actions
}

fn put(action: &mut Action, to: &Forward) {
    // A scalar is allowed beside a config of one group only.
    action.target_group_arn = to.scalar.as_deref().filter(|_| to.groups.len() <= 1).map(str::to_owned);
    action.forward_config = (!to.groups.is_empty()).then(|| {
        let tuple = |group: &Group| {
            TargetGroupTuple::builder().target_group_arn(&*group.arn).set_weight(group.weight).build()
        };
        let sticky = to.stickiness.map(|sticky| {
            let duration = sticky.duration_s.filter(|_| sticky.enabled == Some(true));
            TargetGroupStickinessConfig::builder()
                .set_enabled(sticky.enabled)
                .set_duration_seconds(duration)
                .build()
        });
        ForwardActionConfig::builder()
            .set_target_groups(Some(to.groups.iter().map(tuple).collect()))
            .set_target_group_stickiness_config(sticky)
            .build()
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_elasticloadbalancingv2::types::AuthenticateOidcActionConfig;

    fn weighted(blue: i32, green: i32, sticky: Option<i32>) -> Action {
        let group =
            |arn: &str, weight| TargetGroupTuple::builder().target_group_arn(arn).weight(weight).build();
        let stickiness = TargetGroupStickinessConfig::builder()
            .enabled(sticky.is_some())
            .set_duration_seconds(Some(sticky.unwrap_or(0)))
            .build();
        let config = ForwardActionConfig::builder()
            .target_groups(group("blue", blue))
            .target_groups(group("green", green))
            .target_group_stickiness_config(stickiness)
            .build();
        Action::builder().r#type(ActionTypeEnum::Forward).order(2).forward_config(config).build()
    }

    fn oidc() -> Action {
        let config = AuthenticateOidcActionConfig::builder()
            .issuer("i")
            .authorization_endpoint("a")
            .token_endpoint("t")
            .user_info_endpoint("u")
            .client_id("c")
            .build();
        Action::builder()
            .r#type(ActionTypeEnum::AuthenticateOidc)
            .order(1)
            .authenticate_oidc_config(config)
            .build()
    }

    #[test]
    fn a_write_back_changes_the_forward_and_nothing_else() {
        let before = state("l", &[oidc(), weighted(100, 0, Some(60))], vec![]);
        let live = [weighted(0, 100, Some(60)), oidc()];
        let written = write_back(&live, before.forward.as_ref().unwrap());
        assert_eq!(written.len(), 2);
        let secret = written[0].authenticate_oidc_config.as_ref().unwrap();
        assert_eq!((secret.use_existing_client_secret, secret.client_secret.as_deref()), (Some(true), None));
        assert_eq!(written[1], weighted(100, 0, Some(60)));
    }

    #[test]
    fn a_stickiness_that_is_off_is_sent_without_a_duration() {
        let before = state("l", &[weighted(100, 0, None)], vec![]);
        let written = write_back(&[weighted(0, 100, None)], before.forward.as_ref().unwrap());
        let sticky = written[0].forward_config().unwrap().target_group_stickiness_config().unwrap();
        assert_eq!((sticky.enabled(), sticky.duration_seconds()), (Some(false), None));
    }

    #[test]
    fn a_scalar_alone_comes_back_as_a_scalar_alone() {
        let single = |arn: &str| {
            Action::builder().r#type(ActionTypeEnum::Forward).order(1).target_group_arn(arn).build()
        };
        let before = state("l", &[single("blue")], vec![]);
        assert_eq!(write_back(&[single("green")], before.forward.as_ref().unwrap()), [single("blue")]);
    }

    #[test]
    fn an_action_of_an_unknown_type_is_unknown() {
        let odd = Action::builder().r#type(ActionTypeEnum::from("teleport")).build();
        let state = state("l", &[odd, weighted(1, 0, None)], vec![]);
        assert!(state.understood().unwrap_err().contains("teleport"));
    }

    #[test]
    fn the_order_of_actions_in_the_answer_makes_no_difference() {
        let one = state("l", &[oidc(), weighted(1, 0, None)], vec![]);
        let other = state("l", &[weighted(1, 0, None), oidc()], vec![]);
        assert_eq!(one.fingerprint(), other.fingerprint());
    }
}
