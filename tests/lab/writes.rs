//! What `ModifyListener` and `ModifyRule` do, and what they refuse.

use crate::common::*;
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, ForwardActionConfig, RedirectActionConfig, RedirectActionStatusCodeEnum,
    TargetGroupStickinessConfig, TargetGroupTuple,
};
use serin::lab::{Lab, LabOptions};

fn redirect(order: i32) -> Action {
    let config = RedirectActionConfig::builder()
        .status_code(RedirectActionStatusCodeEnum::Http302)
        .host("example.com")
        .build();
    action(ActionTypeEnum::Redirect).order(order).redirect_config(config).build()
}

fn sticky(lab: &Lab, enabled: bool, seconds: Option<i32>) -> Action {
    let sticky =
        TargetGroupStickinessConfig::builder().enabled(enabled).set_duration_seconds(seconds).build();
    let group =
        |name| TargetGroupTuple::builder().target_group_arn(lab.target_group_arn(name)).weight(1).build();
    let config = ForwardActionConfig::builder()
        .target_groups(group("blue"))
        .target_groups(group("green"))
        .target_group_stickiness_config(sticky)
        .build();
    action(ActionTypeEnum::Forward).forward_config(config).build()
}

fn scalar(arn: &str) -> Action {
    action(ActionTypeEnum::Forward).target_group_arn(arn).build()
}

#[tokio::test]
async fn what_aws_refuses_is_refused_and_changes_nothing() {
    let lab = start(LabOptions { throttling: false, ..LabOptions::default() }).await;
    let before = default_actions(&lab).await;
    let (blue, green) = (lab.target_group_arn("blue"), lab.target_group_arn("green"));
    let mut differing = forward(&lab, &[("green", 1)]);
    differing.target_group_arn = Some(blue.clone());
    let mut scalar_and_two = forward(&lab, &[("blue", 1), ("green", 1)]);
    scalar_and_two.target_group_arn = Some(blue.clone());
    let mut ordered = scalar(&blue);
    ordered.order = Some(2);
    let six = (0..6).map(|n| (lab.target_group_arn(&format!("group-{n}")), 1));
    let refusals = [
        ("an unknown group", vec![scalar(&lab.target_group_arn("red"))], "TargetGroupNotFound"),
        ("a weight above 999", vec![forward(&lab, &[("blue", 1000)])], "ValidationError"),
        ("a weight below 0", vec![forward(&lab, &[("blue", -1)])], "ValidationError"),
        ("two routing actions", vec![redirect(1), ordered.clone()], "InvalidLoadBalancerAction"),
        ("a scalar that differs", vec![differing], "InvalidLoadBalancerAction"),
        ("a scalar and two groups", vec![scalar_and_two], "InvalidLoadBalancerAction"),
        ("six groups", vec![forward_arns(six)], "ValidationError"),
        ("a group twice", vec![forward_arns([(green.clone(), 1), (green, 2)])], "ValidationError"),
        ("stickiness without duration", vec![sticky(&lab, true, None)], "ValidationError"),
        ("stickiness for too long", vec![sticky(&lab, true, Some(604_801))], "ValidationError"),
        ("a duration of 0, even when off", vec![sticky(&lab, false, Some(0))], "ValidationError"),
        ("a forward to nothing", vec![action(ActionTypeEnum::Forward).build()], "ValidationError"),
        ("no order among two", vec![redirect(1), scalar(&blue)], "ValidationError"),
        ("no action at all", vec![], "ValidationError"),
    ];
    for (what, actions, expected) in refusals {
        assert_eq!(set_default(&lab, actions).await.unwrap_err(), expected, "{what}");
        assert_eq!(default_actions(&lab).await, before, "{what}");
    }
}

#[tokio::test]
async fn what_is_omitted_stays() {
    let lab = start(LabOptions::default()).await;
    let before = default_actions(&lab).await;
    sdk(&lab).modify_listener().listener_arn(lab.listener_arn()).send().await.unwrap();
    assert_eq!(default_actions(&lab).await, before);
}

#[tokio::test]
async fn what_was_described_can_be_written_back_and_is_the_same() {
    let lab = start(LabOptions::default()).await;
    for actions in [vec![sticky(&lab, true, Some(60))], vec![scalar(&lab.target_group_arn("green"))]] {
        set_default(&lab, actions).await.unwrap();
        let described = default_actions(&lab).await;
        set_default(&lab, described.clone()).await.unwrap();
        assert_eq!(default_actions(&lab).await, described);
    }
}

#[tokio::test]
async fn stickiness_is_kept_and_shown() {
    let lab = start(LabOptions::default()).await;
    set_default(&lab, vec![sticky(&lab, true, Some(604_800))]).await.unwrap();
    let actions = default_actions(&lab).await;
    let shown = actions[0].forward_config().unwrap().target_group_stickiness_config().unwrap();
    assert_eq!((shown.enabled(), shown.duration_seconds()), (Some(true), Some(604_800)));
}

#[tokio::test]
async fn the_last_writer_wins_whatever_it_had_read() {
    let lab = start(LabOptions::default()).await;
    let stale = default_actions(&lab).await;
    set_weights(&lab, 0, 100).await;
    set_default(&lab, stale.clone()).await.unwrap();
    assert_eq!(default_actions(&lab).await, stale);
}

#[tokio::test]
async fn the_default_rule_is_not_modified_by_its_own_name() {
    let lab = start(LabOptions::default()).await;
    let call = sdk(&lab).modify_rule().rule_arn(lab.default_rule_arn());
    let refused = call.actions(forward(&lab, &[("green", 1)])).send().await;
    assert_eq!(code(refused.unwrap_err()), "OperationNotPermitted");
    assert_eq!(version(&ask(&lab).await), Some("blue-1"));
}

#[tokio::test]
async fn a_rule_is_modified_alone_and_keeps_its_condition() {
    let lab = start(LabOptions { path_rule: Some("/api/*".to_owned()), ..LabOptions::default() }).await;
    let before = default_actions(&lab).await;
    let call = sdk(&lab).modify_rule().rule_arn(lab.rule_arn().unwrap());
    let modified = call.actions(forward(&lab, &[("green", 1)])).send().await.unwrap();
    let rule = &modified.rules()[0];
    assert_eq!(rule.actions()[0].target_group_arn(), Some(lab.target_group_arn("green").as_str()));
    assert_eq!(rule.conditions()[0].path_pattern_config().unwrap().values(), ["/api/*"]);
    assert_eq!(default_actions(&lab).await, before);
}

#[tokio::test]
async fn a_client_secret_is_never_shown_and_must_be_kept_or_given() {
    let lab = start(LabOptions { authenticate_oidc: true, ..LabOptions::default() }).await;
    let mut actions = default_actions(&lab).await;
    assert_eq!(actions[0].authenticate_oidc_config().unwrap().client_secret(), None);
    let secret = |actions: &mut Vec<Action>, secret: Option<&str>, existing| {
        let config = actions[0].authenticate_oidc_config.as_mut().unwrap();
        config.client_secret = secret.map(str::to_owned);
        config.use_existing_client_secret = existing;
    };
    assert_eq!(set_default(&lab, actions.clone()).await.unwrap_err(), "InvalidLoadBalancerAction");
    secret(&mut actions, Some("new"), Some(true));
    assert_eq!(set_default(&lab, actions.clone()).await.unwrap_err(), "InvalidLoadBalancerAction");
    secret(&mut actions, None, Some(true));
    set_default(&lab, actions.clone()).await.unwrap();
    let shown = default_actions(&lab).await;
    assert_eq!(shown[0].authenticate_oidc_config().unwrap().use_existing_client_secret(), None);
    assert_eq!(version(&ask(&lab).await), Some("blue-1"));

    // Once the login is gone, its secret is gone too.
    set_weights(&lab, 100, 0).await;
    assert_eq!(set_default(&lab, actions.clone()).await.unwrap_err(), "InvalidLoadBalancerAction");
}

#[tokio::test]
async fn the_routing_action_comes_last() {
    let lab = start(LabOptions { authenticate_oidc: true, ..LabOptions::default() }).await;
    let mut actions = default_actions(&lab).await;
    actions[0].authenticate_oidc_config.as_mut().unwrap().use_existing_client_secret = Some(true);
    (actions[0].order, actions[1].order) = (Some(2), Some(1));
    assert_eq!(set_default(&lab, actions.clone()).await.unwrap_err(), "InvalidLoadBalancerAction");
    (actions[0].order, actions[1].order) = (Some(7), Some(9));
    set_default(&lab, actions.clone()).await.unwrap();
    let orders: Vec<_> = default_actions(&lab).await.iter().map(Action::order).collect();
    assert_eq!(orders, [Some(7), Some(9)]);
}
