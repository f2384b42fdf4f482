use super::*;
use aws_sdk_codedeploy::types::{ErrorInformation, TargetGroupInfo};
use std::collections::BTreeSet;

const GROUP: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/blue/6d0e";

fn governed() -> Governed {
    let set = |arn: &str| BTreeSet::from([arn.to_owned()]);
    Governed { listeners: set("listener"), rules: set("rule"), groups: set(GROUP) }
}

fn group(pair: TargetGroupPairInfo) -> DeploymentGroupInfo {
    let info = LoadBalancerInfo::builder().target_group_pair_info_list(pair).build();
    DeploymentGroupInfo::builder().load_balancer_info(info).build()
}

#[test]
fn a_group_is_known_by_its_listeners_and_its_pair() {
    let route = |arn: &str| TrafficRoute::builder().listener_arns(arn).build();
    let named = |name: &str| TargetGroupInfo::builder().name(name).build();
    let pair = TargetGroupPairInfo::builder;
    let moved = [
        pair().prod_traffic_route(route("listener")),
        pair().test_traffic_route(route("listener")),
        pair().target_groups(named("green")).target_groups(named("blue")),
    ];
    for pair in moved {
        assert!(moves(&group(pair.build()), &governed()));
    }
    let other = pair().prod_traffic_route(route("another")).target_groups(named("blu"));
    assert!(!moves(&group(other.build()), &governed()));
    // A group in place registers and deregisters, and leaves the listener alone.
    let single = LoadBalancerInfo::builder().target_group_info_list(named("blue")).build();
    assert!(!moves(&DeploymentGroupInfo::builder().load_balancer_info(single).build(), &governed()));
    assert!(!moves(&DeploymentGroupInfo::builder().build(), &governed()));
}

fn deployment(status: &str) -> aws_sdk_codedeploy::types::builders::DeploymentInfoBuilder {
    DeploymentInfo::builder().status(status.into())
}

#[test]
fn a_deployment_can_be_taken_back_while_it_is_under_way() {
    for status in ["Created", "Queued", "InProgress", "Baking", "Ready"] {
        assert_eq!(stage(&deployment(status).build()), DeploymentStage::Running { hook: None }, "{status}");
    }
    for status in ["Succeeded", "Failed", "Stopped", "SomethingNew"] {
        assert_eq!(stage(&deployment(status).build()), DeploymentStage::Over(status.into()));
    }
    assert_eq!(stage(&DeploymentInfo::builder().build()), DeploymentStage::Over("no status".into()));
}

#[test]
fn a_rollback_is_done_under_way_or_failed() {
    assert_eq!(rollback(&deployment("Succeeded").build()), DeploymentStage::RolledBack);
    for status in ["Created", "InProgress", "Ready", "SomethingNew"] {
        assert_eq!(rollback(&deployment(status).build()), DeploymentStage::RollingBack, "{status}");
    }
    let error = ErrorInformation::builder().message("no capacity").build();
    let failed = deployment("Failed").error_information(error).build();
    assert_eq!(rollback(&failed), DeploymentStage::RollbackFailed("no capacity".into()));
    let stopped = DeploymentStage::RollbackFailed("AWS gives no reason".into());
    assert_eq!(rollback(&deployment("Stopped").build()), stopped);
}

#[test]
fn a_function_is_called_by_its_name_or_by_its_arn() {
    let arn = "arn:aws:lambda:eu-west-1:123456789012:function:checkout";
    for name in ["checkout", arn, "123456789012:function:checkout"] {
        assert!(is_function(name, arn), "{name}");
    }
    for other in [
        "check",
        "out",
        "function:checkout",
        "cart",
        "",
        "2:function:checkout",
        "210987654321:function:checkout",
    ] {
        assert!(!is_function(other, arn), "{other}");
    }
}

#[test]
fn a_status_that_nobody_knows_may_be_on_the_way() {
    for status in ["Created", "Queued", "InProgress", "Baking", "Ready", "Resting"] {
        assert!(is_under_way(&status.into()), "{status}");
    }
    for status in ["Succeeded", "Failed", "Stopped"] {
        assert!(!is_under_way(&status.into()), "{status}");
    }
}
