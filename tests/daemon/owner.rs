//! Whose the listener is, and which way the probes take to it.

use super::child::Daemon;
use super::flow::released;
use super::refusals::{is_refused, never_writes};
use super::scene::{Scene, bounded};
use serde_json::Value;
use serin::lab::{ControlPlaneFault, Fault, LabOptions};

async fn scene() -> Scene {
    Scene::new(LabOptions::default()).await
}

async fn owner(daemon: &Daemon) -> (bool, String) {
    // Unarmed is a 503 with the same body.
    let body = match daemon.get("/-/armed").await {
        Ok(body) => body,
        Err(error) => error.to_string(),
    };
    let json = &body[body.find('{').unwrap_or_default()..];
    let Ok(armed) = serde_json::from_str::<Value>(json) else { return (false, body) };
    let conditions = armed["services"]["checkout"]["conditions"].as_array().cloned().unwrap_or_default();
    let owner = conditions.iter().find(|condition| condition["name"] == "owner").cloned().unwrap_or_default();
    (owner["holds"] == true, owner["detail"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn nobody_is_found_by_asking_and_each_condition_has_an_age() {
    bounded(async {
        let scene = scene().await;
        let daemon = Daemon::armed(&scene).await;
        assert_eq!(owner(&daemon).await, (true, "nobody else moves the rule".into()));
        let asked: Vec<String> = scene.lab.calls().into_iter().map(|call| call.action).collect();
        for action in ["ListClusters", "ListApplications"] {
            assert!(asked.iter().any(|call| call == action), "{action}: {asked:?}");
        }
        let armed: Value = serde_json::from_str(&daemon.get("/-/armed").await.unwrap()).unwrap();
        let conditions = armed["services"]["checkout"]["conditions"].as_array().unwrap();
        assert!(conditions.iter().all(|condition| condition["age_s"].is_u64()), "{conditions:?}");
    });
}

#[test]
fn an_owner_that_cant_be_looked_up_is_refused_until_it_can() {
    bounded(async {
        let scene = scene().await;
        scene.lab.set_control_plane_fault("ListApplications", Some(ControlPlaneFault::AccessDenied));
        let daemon = Daemon::start(&scene);
        daemon.event("good").await;
        daemon
            .until("it says why", async || {
                let (holds, says) = owner(&daemon).await;
                !holds && says.contains("codedeploy:ListApplications: AccessDenied")
            })
            .await;
        scene.cut_over().await;
        daemon.event("release").await;
        never_writes(&scene, &daemon, "owner").await;
    });
}

#[test]
fn a_lookup_that_hangs_delays_neither_probing_nor_reading() {
    bounded(async {
        let scene = scene().await;
        scene.lab.set_control_plane_fault("ListClusters", Some(ControlPlaneFault::HangBeforeEffect));
        let daemon = Daemon::start(&scene);
        daemon.event("good").await;
        let (holds, says) = owner(&daemon).await;
        assert!(!holds && says.contains("who owns the rule is not known"), "{says}");
        scene.cut_over().await;
        daemon.event("release").await;
        is_refused(&scene, &daemon, "owner").await;
    });
}

#[test]
fn who_vouches_for_nobody_asks_neither_and_a_controllers_tag_counts_all_the_same() {
    bounded(async {
        let mut scene = scene().await;
        scene.config.lever = format!("listener = \"{}\"\nowner = \"none\"", scene.lab.listener_arn());
        scene.lab.set_control_plane_fault("ListClusters", Some(ControlPlaneFault::AccessDenied));
        let daemon = released(&scene).await;
        let calls = scene.lab.calls();
        assert!(!calls.iter().any(|call| call.action == "ListClusters"), "{calls:?}");
        let group = scene.lab.target_group_arn("blue");
        scene.lab.put_tag(&group, "elbv2.k8s.aws/cluster", "prod");
        never_writes(&scene, &daemon, "owner").await;
    });
}

#[test]
fn through_the_balancers_own_name_the_urls_host_is_kept() {
    bounded(async {
        let mut scene = scene().await;
        // Nobody resolves this name: only the balancer's own leads anywhere.
        scene.config.host = Some("shop.example.invalid");
        let daemon = released(&scene).await;
        daemon.logged("the probes go to the balancer's own addresses").await;
        scene.lab.service("green").set_fault(Fault::Outage);
        daemon.event("verified").await;
        assert_eq!(scene.serving().await, ["blue"]);
    });
}
