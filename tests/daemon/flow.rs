//! Bad releases that must be put back, and good ones that must not.

use super::child::Daemon;
use super::scene::{Scene, bounded};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use serin::lab::{ControlPlaneFault, Fault, ForwardForm, LabOptions};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// Blue is good, green gets everything, and Serin has seen it.
pub(crate) async fn released(scene: &Scene) -> Daemon {
    let daemon = Daemon::armed(scene).await;
    scene.cut_over().await;
    daemon.event("release").await;
    daemon
}

async fn released_with(options: LabOptions) -> (Scene, Daemon) {
    let scene = Scene::new(options).await;
    let daemon = released(&scene).await;
    (scene, daemon)
}

/// Green goes bad; in the end blue serves again, after exactly one effective write, proved.
async fn is_reverted(scene: &Scene, daemon: &Daemon, fault: Fault) {
    scene.lab.service("green").set_fault(fault);
    let verified = daemon.event("verified").await;
    assert_eq!(scene.serving().await, ["blue"]);
    assert_eq!(scene.writes().1, 1, "exactly one write has an effect");
    assert!(verified["answers"].as_u64().unwrap() >= 40, "20 of each of two addresses: {verified}");
    assert_eq!(daemon.event("held").await["reason"], "reverted");
}

#[test]
fn an_outage_is_reverted_and_every_step_is_in_the_ledger_in_order() {
    bounded(async {
        let (scene, daemon) = released_with(LabOptions::default()).await;
        is_reverted(&scene, &daemon, Fault::Outage).await;
        let ledger = super::child::ledger(&scene.path("evidence"), "checkout");
        let place = |event: &str| ledger.iter().position(|line| line["event"] == event).expect(event);
        let steps = [
            "started",
            "good",
            "release",
            "breach",
            "preflight",
            "intent",
            "write_sent",
            "wrote",
            "confirmed",
            "verified",
        ];
        let places: Vec<usize> = steps.iter().map(|step| place(step)).collect();
        assert!(places.is_sorted(), "{places:?}");
    });
}

#[test]
fn a_hanging_green_is_bad_and_not_silence() {
    bounded(async {
        let (scene, daemon) = released_with(LabOptions::default()).await;
        is_reverted(&scene, &daemon, Fault::Hang).await;
    });
}

#[test]
fn a_green_that_closes_without_an_answer_is_reverted_after_the_propagation() {
    bounded(async {
        let (scene, daemon) = released_with(LabOptions::default()).await;
        is_reverted(&scene, &daemon, Fault::Dark502).await;
    });
}

#[test]
fn a_green_that_refuses_is_reverted() {
    bounded(async {
        let (scene, daemon) = released_with(LabOptions::default()).await;
        is_reverted(&scene, &daemon, Fault::Refuse).await;
    });
}

#[test]
fn a_slow_green_is_reverted() {
    bounded(async {
        let (scene, daemon) = released_with(LabOptions::default()).await;
        is_reverted(&scene, &daemon, Fault::Latency { extra: Duration::from_millis(600) }).await;
    });
}

#[test]
fn a_rule_is_put_back_and_the_default_rule_is_not_touched() {
    bounded(async {
        let options = LabOptions { path_rule: Some("/*".into()), ..LabOptions::default() };
        let mut scene = Scene::new(options).await;
        scene.config.lever = format!("rule = \"{}\"", scene.lab.rule_arn().unwrap());
        let daemon = released(&scene).await;
        is_reverted(&scene, &daemon, Fault::Outage).await;
        assert!(scene.lab.calls().iter().all(|call| call.action != "ModifyListener"));
    });
}

#[test]
fn a_blue_that_no_rule_names_is_returned_to_when_all_its_targets_answer_us() {
    bounded(async {
        let scene = Scene::new(LabOptions { forward: ForwardForm::Single, ..LabOptions::default() }).await;
        let daemon = Daemon::armed(&scene).await;
        scene.shift(&[("green", 1)]).await;
        daemon.event("release").await;
        is_reverted(&scene, &daemon, Fault::Outage).await;
    });
}

#[test]
fn a_login_before_the_forward_is_kept_field_by_field() {
    bounded(async {
        let scene = Scene::new(LabOptions { authenticate_oidc: true, ..LabOptions::default() }).await;
        let before = scene.actions().await;
        let daemon = released(&scene).await;
        is_reverted(&scene, &daemon, Fault::Outage).await;
        assert_eq!(scene.actions().await, before);
    });
}

#[test]
fn a_write_that_hangs_after_its_effect_is_resolved_by_reading() {
    bounded(async {
        let (scene, daemon) = released_with(LabOptions::default()).await;
        scene.lab.set_control_plane_fault("ModifyListener", Some(ControlPlaneFault::HangAfterEffect));
        is_reverted(&scene, &daemon, Fault::Outage).await;
        assert_eq!(scene.writes(), (1, 1), "an unknown end is read, never resent");
        // Reads go on while the call hangs, so its effect may be seen before its end is given up.
        assert!(daemon.events("wrote").iter().all(|wrote| wrote["outcome"] == "unknown"));
    });
}

#[test]
fn a_throttled_write_is_sent_again_after_a_read() {
    bounded(async {
        let (scene, daemon) = released_with(LabOptions::default()).await;
        scene.lab.set_control_plane_fault("ModifyListener", Some(ControlPlaneFault::Throttle { calls: 2 }));
        is_reverted(&scene, &daemon, Fault::Outage).await;
        assert_eq!(scene.writes(), (3, 1));
    });
}

#[test]
fn a_write_that_fails_inside_aws_after_its_effect_is_not_sent_twice() {
    bounded(async {
        let (scene, daemon) = released_with(LabOptions::default()).await;
        let fault = ControlPlaneFault::InternalErrorAfterEffect { calls: 1 };
        scene.lab.set_control_plane_fault("ModifyListener", Some(fault));
        is_reverted(&scene, &daemon, Fault::Outage).await;
        assert_eq!(scene.writes(), (1, 1));
    });
}

#[test]
fn a_good_release_is_kept_and_nothing_is_written() {
    bounded(async {
        let mut scene = Scene::new(LabOptions::default()).await;
        scene.config.judge = "propagation = \"1s\"\njudge_for = \"6s\"\nonset = \"4s\"".into();
        let daemon = released(&scene).await;
        daemon.event("kept").await;
        assert_eq!(scene.serving().await, ["green"]);
        assert_eq!(scene.writes(), (0, 0));
        assert!(daemon.events("breach").is_empty());
    });
}

#[test]
fn verified_is_said_only_when_every_zone_answers_as_blue() {
    bounded(async {
        let mut scene = Scene::new(LabOptions::default()).await;
        scene.config.judge = "propagation = \"4s\"".into();
        let daemon = released(&scene).await;
        scene.lab.set_propagation(Duration::from_secs(2), Duration::from_secs(1));
        scene.lab.service("green").set_fault(Fault::Outage);
        daemon.event("verified").await;
        for address in scene.lab.balancer_addresses() {
            for _ in 0..6 {
                assert_eq!(version(*address).await, "blue-1", "{address}");
            }
        }
        let ns = |event: &str| daemon.events(event)[0]["mono"].as_u64().unwrap();
        let took = Duration::from_nanos(ns("verified") - ns("wrote"));
        assert!(took >= Duration::from_millis(2900), "the second zone follows after 3 s: {took:?}");
    });
}

/// Which version answers there, over a fresh connection.
async fn version(address: SocketAddr) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut send, work) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(work);
    let request = http::Request::get("/").header("host", "shop").body(Empty::<Bytes>::new()).unwrap();
    let answer = send.send_request(request).await.unwrap();
    let version = answer.headers()["x-version"].to_str().unwrap().to_owned();
    drop(answer.into_body().collect().await);
    version
}
