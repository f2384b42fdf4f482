use super::*;
use aws_sdk_ecs::types::{
    AdvancedConfiguration, DeploymentConfiguration, DeploymentLifecycleHookDetail, Service as Described,
    ServiceDeploymentAlarms,
};
use std::collections::BTreeSet;

fn governed() -> Governed {
    let set = |arn: &str| BTreeSet::from([arn.to_owned()]);
    Governed { listeners: set("listener"), rules: set("rule"), groups: set("blue") }
}

fn balancer(group: &str) -> LoadBalancer {
    LoadBalancer::builder().target_group_arn(group).build()
}

fn advanced(
    change: impl FnOnce(AdvancedConfigurationBuilder) -> AdvancedConfigurationBuilder,
) -> LoadBalancer {
    let advanced = change(AdvancedConfiguration::builder()).build();
    LoadBalancer::builder().target_group_arn("other").advanced_configuration(advanced).build()
}

type AdvancedConfigurationBuilder = aws_sdk_ecs::types::builders::AdvancedConfigurationBuilder;

fn service(balancer: LoadBalancer) -> aws_sdk_ecs::types::builders::ServiceBuilder {
    Described::builder().service_arn("arn:shop").cluster_arn("arn:cluster").load_balancers(balancer)
}

fn by(kind: &str) -> DeploymentController {
    DeploymentController::builder().r#type(kind.into()).build().unwrap()
}

fn strategy(name: &str) -> DeploymentConfiguration {
    DeploymentConfiguration::builder().strategy(name.into()).build()
}

#[test]
fn a_service_is_known_by_its_groups_and_by_its_rules() {
    let known = |balancer| concerned(&service(balancer).build(), &governed()).is_some();
    assert!(known(balancer("blue")));
    assert!(!known(balancer("other")));
    assert!(known(advanced(|more| more.alternate_target_group_arn("blue"))));
    assert!(known(advanced(|more| more.production_listener_rule("rule"))));
    assert!(known(advanced(|more| more.test_listener_rule("rule"))));
    assert!(!known(advanced(|more| more.production_listener_rule("another"))));
    let sets = TaskSet::builder().load_balancers(balancer("blue")).build();
    assert!(concerned(&Described::builder().task_sets(sets).build(), &governed()).is_some());
}

#[test]
fn who_deploys_a_service_decides_whose_the_rule_is() {
    let of = |controller: Option<&str>, named: Option<&str>| {
        let built = service(balancer("blue"))
            .set_deployment_controller(controller.map(by))
            .set_deployment_configuration(named.map(strategy))
            .build();
        concerned(&built, &governed()).unwrap().controller
    };
    assert_eq!(of(None, None), Controller::Rolling);
    assert_eq!(of(Some("ECS"), Some("ROLLING")), Controller::Rolling);
    for named in ["BLUE_GREEN", "LINEAR", "CANARY", "SOMETHING_NEW"] {
        assert_eq!(of(Some("ECS"), Some(named)), Controller::Shifting, "{named}");
        assert_eq!(of(None, Some(named)), Controller::Shifting, "{named}");
    }
    assert_eq!(of(Some("CODE_DEPLOY"), None), Controller::CodeDeploy);
    assert_eq!(of(Some("EXTERNAL"), None), Controller::External);
    assert_eq!(of(Some("SOMETHING_NEW"), Some("ROLLING")), Controller::External);
}

fn deployment(status: &str) -> aws_sdk_ecs::types::builders::ServiceDeploymentBuilder {
    ServiceDeployment::builder().status(status.into())
}

#[test]
fn a_deployment_can_be_taken_back_until_the_old_tasks_go() {
    let running = DeploymentStage::Running { hook: None };
    for status in ["PENDING", "IN_PROGRESS"] {
        assert_eq!(stage(&deployment(status).build()), running);
        assert_eq!(stage(&deployment(status).lifecycle_stage("BAKE_TIME".into()).build()), running);
        let cleans = deployment(status).lifecycle_stage("CLEAN_UP".into()).build();
        assert_eq!(stage(&cleans), DeploymentStage::Over("CLEAN_UP".into()));
    }
    for status in ["STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"] {
        assert_eq!(stage(&deployment(status).build()), DeploymentStage::RollingBack);
    }
    assert_eq!(stage(&deployment("ROLLBACK_SUCCESSFUL").build()), DeploymentStage::RolledBack);
    let failed = deployment("ROLLBACK_FAILED");
    assert_eq!(stage(&failed.clone().build()), DeploymentStage::RollbackFailed("AWS gives no reason".into()));
    let reason = failed.status_reason("no capacity").build();
    assert_eq!(stage(&reason), DeploymentStage::RollbackFailed("no capacity".into()));
    for status in ["SUCCESSFUL", "STOPPED", "SOMETHING_NEW"] {
        assert_eq!(stage(&deployment(status).build()), DeploymentStage::Over(status.into()));
    }
    assert_eq!(stage(&ServiceDeployment::builder().build()), DeploymentStage::Over("no status".into()));
}

#[test]
fn alarms_that_ecs_does_not_use_are_named() {
    let of = |status: &str, names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let alarms = ServiceDeploymentAlarms::builder().status(status.into()).set_alarm_names(Some(names));
        unwatched(&deployment("IN_PROGRESS").alarms(alarms.build()).build())
    };
    assert_eq!(of("DISABLED", &["errors", "latency"]).as_deref(), Some("errors, latency"));
    assert_eq!(of("DISABLED", &[]), None, "there are none");
    for status in ["MONITORING", "MONITORING_COMPLETE", "TRIGGERED", "SOMETHING_NEW"] {
        assert_eq!(of(status, &["errors"]), None, "{status}");
    }
    assert_eq!(unwatched(&deployment("IN_PROGRESS").build()), None);
}

#[test]
fn only_a_pause_hook_that_waits_is_answered() {
    let hook = |kind: &str, status: &str| {
        let hook = DeploymentLifecycleHookDetail::builder()
            .hook_id("h")
            .target_type(kind.into())
            .status(status.into())
            .build();
        stage(&deployment("IN_PROGRESS").lifecycle_hook_details(hook).build())
    };
    let waits = DeploymentStage::Running { hook: Some("h".into()) };
    assert_eq!(hook("PAUSE", "AWAITING_ACTION"), waits);
    for (kind, status) in [("AWS_LAMBDA", "AWAITING_ACTION"), ("PAUSE", "SUCCEEDED"), ("PAUSE", "TIMED_OUT")]
    {
        assert_eq!(hook(kind, status), DeploymentStage::Running { hook: None }, "{kind} {status}");
    }
}
