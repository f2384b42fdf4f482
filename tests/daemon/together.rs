//! A listener's default rule and a rule beside it, moved together and put back together.

use super::child::{Daemon, ledger};
use super::flow::released;
use super::scene::{DAEMON_KEY, Scene, bounded};
use aws_sdk_elasticloadbalancingv2::types::Action;
use serin::lab::{ControlPlaneFault, Fault, LabOptions};
use std::time::Duration;

/// Both rules are governed, and the URL is behind the one with the path.
async fn both() -> Scene {
    let mut scene = Scene::new(LabOptions { path_rule: Some("/*".into()), ..LabOptions::default() }).await;
    scene.config.lever = format!(
        "listener = \"{}\"\nrule = [\"{}\"]",
        scene.lab.listener_arn(),
        scene.lab.rule_arn().unwrap()
    );
    scene
}

/// The mutating calls of the daemon, in their order.
fn written(scene: &Scene) -> Vec<String> {
    let calls = scene.lab.calls().into_iter();
    let ours = calls
        .filter(|call| call.action.starts_with("Modify") && call.access_key.as_deref() == Some(DAEMON_KEY));
    ours.map(|call| call.action).collect()
}

/// The weights of a rule's groups.
fn weights(actions: &[Action]) -> Vec<Option<i32>> {
    let config = actions.iter().find_map(Action::forward_config).unwrap();
    config
        .target_groups()
        .iter()
        .map(aws_sdk_elasticloadbalancingv2::types::TargetGroupTuple::weight)
        .collect()
}

#[test]
fn both_are_put_back_by_one_intent_the_listener_first() {
    bounded(async {
        let scene = both().await;
        let daemon = released(&scene).await;
        scene.lab.service("green").set_fault(Fault::Outage);
        daemon.event("verified").await;
        assert_eq!(written(&scene), ["ModifyListener", "ModifyRule"]);
        for rule in [None, scene.lab.rule_arn()] {
            assert_eq!(weights(&scene.actions_of(rule).await), [Some(100), Some(0)]);
        }
        assert_eq!(daemon.event("held").await["reason"], "reverted");
        let lines = ledger(&scene.path("evidence"), "checkout");
        let intents: Vec<_> = lines.iter().filter(|line| line["event"] == "intent").collect();
        assert_eq!((intents.len(), intents[0]["write"].as_array().unwrap().len()), (1, 2));
        let releases = lines.iter().filter(|line| line["event"] == "release").count();
        assert_eq!(releases, 1, "the pipeline moves one after the other");
    });
}

#[test]
fn one_that_is_refused_is_partial_and_says_which() {
    bounded(async {
        let scene = both().await;
        let daemon = released(&scene).await;
        scene.lab.set_control_plane_fault("ModifyRule", Some(ControlPlaneFault::AccessDenied));
        scene.lab.service("green").set_fault(Fault::Outage);
        let held = daemon.event("held").await;
        assert_eq!((&held["reason"], &held["needs_human"]), (&"partial".into(), &true.into()));
        let lines = ledger(&scene.path("evidence"), "checkout");
        let page = lines.iter().rfind(|line| line["event"] == "paged").unwrap()["text"].to_string();
        assert!(
            page.contains("PARTIAL: AWS refuses to write rule ") && page.contains("1 of 2 rules"),
            "{page}"
        );
        assert_eq!(weights(&scene.actions_of(None).await), [Some(100), Some(0)]);
        assert_eq!(weights(&scene.actions_of(scene.lab.rule_arn()).await), [Some(0), Some(100)]);
        // Our own half is no release: nothing is judged or written after it.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let lines = ledger(&scene.path("evidence"), "checkout");
        assert_eq!(lines.iter().filter(|line| line["event"] == "release").count(), 1);
        assert_eq!(written(&scene).len(), 2);
    });
}

#[test]
fn exclusive_leaves_one_group_so_that_no_cookie_holds_anybody() {
    bounded(async {
        let mut scene = Scene::new(LabOptions::default()).await;
        scene.config.lever = format!("{}\nrevert_style = \"exclusive\"", scene.config.lever);
        let daemon: Daemon = released(&scene).await;
        scene.lab.service("green").set_fault(Fault::Outage);
        daemon.event("verified").await;
        assert_eq!(scene.serving().await, ["blue"]);
        assert_eq!(weights(&scene.actions().await).len(), 1);
        assert_eq!(daemon.event("held").await["reason"], "reverted");
    });
}
