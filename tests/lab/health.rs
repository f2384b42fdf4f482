//! Target states, as `DescribeTargetHealth` tells them.

use crate::common::*;
use crate::traffic::{deregister, register};
use aws_sdk_elasticloadbalancingv2::types::TargetDescription;
use serin::lab::{Fault, ForwardForm, LabOptions};
use std::time::Duration;

#[tokio::test]
async fn a_group_at_weight_zero_is_checked() {
    let lab = start(LabOptions::default()).await;
    assert_eq!(states(&lab, "green").await, state("healthy", None));
}

#[tokio::test]
async fn a_group_that_no_rule_names_is_unused_until_one_does() {
    let lab = start(LabOptions { forward: ForwardForm::Single, ..LabOptions::default() }).await;
    let unused = state("unused", Some("Target.NotInUse"));
    assert_eq!(states(&lab, "green").await, unused);
    set_weights(&lab, 100, 0).await;
    becomes(&lab, "green", state("healthy", None)).await;
    set_default(&lab, vec![forward(&lab, &[("green", 1)])]).await.unwrap();
    assert_eq!(states(&lab, "blue").await, unused);
}

#[tokio::test]
async fn a_target_is_initial_until_its_first_check_passes_or_fails() {
    let slow = LabOptions { health_interval: Duration::from_secs(30), ..LabOptions::default() };
    let lab = start(LabOptions { forward: ForwardForm::Single, ..slow }).await;
    // Nothing answers on this one, not even a refusal: the check is open for 30 s.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    register(&lab, "blue", silent.local_addr().unwrap()).await;
    let expected = [state("healthy", None), state("initial", Some("Elb.InitialHealthChecking"))].concat();
    assert_eq!(states(&lab, "blue").await, expected);
}

#[tokio::test]
async fn faults_do_not_touch_the_health_path_unless_nothing_listens() {
    let lab = start(LabOptions::default()).await;
    for fault in [Fault::Outage, Fault::Hang, Fault::Dark502] {
        lab.service("blue").set_fault(fault);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(states(&lab, "blue").await, state("healthy", None), "{fault:?}");
    }
    lab.service("blue").set_fault(Fault::Refuse);
    let unhealthy = state("unhealthy", Some("Target.FailedHealthChecks"));
    becomes(&lab, "blue", unhealthy).await;
}

#[tokio::test]
async fn health_comes_back() {
    let lab = start(LabOptions::default()).await;
    lab.service("blue").set_healthy(false);
    let unhealthy = state("unhealthy", Some("Target.ResponseCodeMismatch"));
    becomes(&lab, "blue", unhealthy).await;
    lab.service("blue").set_healthy(true);
    becomes(&lab, "blue", state("healthy", None)).await;
}

#[tokio::test]
async fn a_deregistered_target_drains_and_is_forgotten() {
    let delay = Duration::from_millis(300);
    let lab = start(LabOptions { deregistration_delay: delay, ..LabOptions::default() }).await;
    deregister(&lab, "blue").await;
    assert_eq!(states(&lab, "blue").await, state("draining", Some("Target.DeregistrationInProgress")));
    becomes(&lab, "blue", Vec::new()).await;
}

#[tokio::test]
async fn a_target_that_was_never_registered_says_so() {
    let lab = start(LabOptions::default()).await;
    let stranger = TargetDescription::builder().id("127.0.0.9").port(9).build();
    let call = sdk(&lab).describe_target_health().target_group_arn(lab.target_group_arn("blue"));
    let answer = call.targets(stranger).send().await.unwrap();
    let health = answer.target_health_descriptions()[0].target_health().unwrap();
    assert_eq!(health.reason().unwrap().as_str(), "Target.NotRegistered");
}
