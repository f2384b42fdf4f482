//! The faults of the control plane, its throttling, its journal.

use crate::common::*;
use aws_sdk_elasticloadbalancingv2::error::ProvideErrorMetadata;
use aws_sdk_elasticloadbalancingv2::operation::RequestId;
use serin::lab::{CallOutcome, ControlPlaneFault, CredentialFault, Lab, LabOptions};
use std::time::Duration;

/// A write that can be told from the state before it.
async fn cut_over(lab: &Lab) -> Result<(), String> {
    set_default(lab, vec![forward(lab, &[("blue", 0), ("green", 100)])]).await
}

async fn green_weight(lab: &Lab) -> Option<i32> {
    default_actions(lab).await[0].forward_config().unwrap().target_groups()[1].weight()
}

async fn with_fault(fault: ControlPlaneFault) -> (Lab, Result<(), String>) {
    let lab = start(LabOptions::default()).await;
    lab.set_control_plane_fault("ModifyListener", Some(fault));
    let result = cut_over(&lab).await;
    (lab, result)
}

#[tokio::test]
async fn a_hang_before_the_effect_changes_nothing() {
    let (lab, result) = with_fault(ControlPlaneFault::HangBeforeEffect).await;
    assert_eq!((result.unwrap_err().as_str(), green_weight(&lab).await), ("timeout", Some(0)));
}

#[tokio::test]
async fn a_hang_after_the_effect_has_changed_it() {
    let (lab, result) = with_fault(ControlPlaneFault::HangAfterEffect).await;
    assert_eq!((result.unwrap_err().as_str(), green_weight(&lab).await), ("timeout", Some(100)));
    assert_eq!(version(&ask(&lab).await), Some("green-2"));
    assert_eq!(lab.calls()[0].outcome, CallOutcome::Silent { applied: true });
}

#[tokio::test]
async fn an_internal_error_has_no_effect_unless_it_is_asked_for() {
    let (lab, result) = with_fault(ControlPlaneFault::InternalError { calls: 1 }).await;
    assert_eq!((result.unwrap_err().as_str(), green_weight(&lab).await), ("InternalFailure", Some(0)));
    cut_over(&lab).await.unwrap();
    let (lab, result) = with_fault(ControlPlaneFault::InternalErrorAfterEffect { calls: 1 }).await;
    assert_eq!((result.unwrap_err().as_str(), green_weight(&lab).await), ("InternalFailure", Some(100)));
}

#[tokio::test]
async fn throttling_by_order_ends_after_so_many_calls() {
    let (lab, result) = with_fault(ControlPlaneFault::Throttle { calls: 2 }).await;
    assert_eq!(result.unwrap_err(), "Throttling");
    assert_eq!(cut_over(&lab).await.unwrap_err(), "Throttling");
    cut_over(&lab).await.unwrap();
}

#[tokio::test]
async fn a_denied_action_denies_no_other_and_can_be_mended() {
    let (lab, result) = with_fault(ControlPlaneFault::AccessDenied).await;
    assert_eq!((result.unwrap_err().as_str(), green_weight(&lab).await), ("AccessDenied", Some(0)));
    lab.set_control_plane_fault("ModifyListener", None);
    cut_over(&lab).await.unwrap();
}

#[tokio::test]
async fn a_delay_delays() {
    let begun = serin::clock::now();
    let (_, result) = with_fault(ControlPlaneFault::Delay(Duration::from_millis(150))).await;
    assert!(result.is_ok() && serin::clock::now().since(begun) >= Duration::from_millis(150));
}

#[tokio::test]
async fn a_bad_access_key_is_refused_as_aws_does() {
    let lab = start(LabOptions::default()).await;
    for (fault, expected) in [
        (CredentialFault::Invalid, "InvalidClientTokenId"),
        (CredentialFault::Expired, "ExpiredToken"),
        (CredentialFault::Denied, "AccessDenied"),
    ] {
        lab.set_credential_fault(ACCESS_KEY, Some(fault));
        assert_eq!(cut_over(&lab).await.unwrap_err(), expected);
    }
    lab.set_credential_fault(ACCESS_KEY, None);
    cut_over(&lab).await.unwrap();
}

#[tokio::test]
async fn writes_are_throttled_after_their_burst_and_reads_by_their_own_bucket() {
    let lab = start(LabOptions::default()).await;
    let client = sdk(&lab);
    let mut refused = 0;
    for _ in 0..30 {
        let write = client.add_tags().resource_arns(lab.listener_arn()).send().await;
        refused += u32::from(write.map_err(code).is_err_and(|code| code == "Throttling"));
    }
    // 20 at once; whatever time this took refilled one or two.
    assert!((5..=10).contains(&refused), "{refused}");
    let mut refused = 0;
    for _ in 0..60 {
        let read = client.describe_tags().resource_arns(lab.listener_arn()).send().await;
        refused += u32::from(read.map_err(code).is_err_and(|code| code == "Throttling"));
    }
    assert!((5..=20).contains(&refused), "{refused}");
    lab.set_throttling(false);
    client.describe_tags().resource_arns(lab.listener_arn()).send().await.unwrap();
}

#[tokio::test]
async fn the_journal_tells_who_asked_what_and_what_came_of_it() {
    let lab = start(LabOptions::default()).await;
    let client = sdk(&lab);
    let described = client.describe_listeners().listener_arns(lab.listener_arn()).send().await.unwrap();
    let refused = client.describe_listeners().listener_arns("arn:none").send().await.unwrap_err();
    let calls = lab.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].action, "DescribeListeners");
    assert_eq!(calls[0].access_key.as_deref(), Some(ACCESS_KEY));
    assert_eq!(calls[0].params["ListenerArns.member.1"], lab.listener_arn());
    assert_eq!(Some(calls[0].request_id.as_str()), described.request_id());
    assert_eq!(calls[0].outcome, CallOutcome::Accepted);
    assert_eq!(calls[1].outcome, CallOutcome::Refused("ListenerNotFound".to_owned()));
    assert_eq!(Some(calls[1].request_id.as_str()), refused.request_id());
    assert_eq!(refused.code(), Some("ListenerNotFound"));
    assert!(calls[1].at > calls[0].at);
}
