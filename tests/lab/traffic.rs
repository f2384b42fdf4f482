//! The data plane: who gets a request, and what the balancer says when nobody can.

use crate::common::*;
use aws_sdk_elasticloadbalancingv2::types::{ActionTypeEnum, FixedResponseActionConfig, TargetDescription};
use serin::lab::{Fault, Lab, LabOptions};
use std::time::Duration;

fn total(lab: &Lab, service: &str) -> u64 {
    lab.service(service).requests().iter().sum()
}

#[tokio::test]
async fn weight_zero_gets_no_request() {
    let lab = start(LabOptions::default()).await;
    for addr in lab.balancer_addresses() {
        let mut browser = Browser::open(*addr).await.unwrap();
        for _ in 0..1500 {
            assert_eq!(version(&browser.get("/").await.unwrap()), Some("blue-1"));
        }
    }
    assert_eq!((total(&lab, "blue"), total(&lab, "green")), (3000, 0));
}

#[tokio::test]
async fn traffic_follows_the_weights() {
    let lab = start(one_zone()).await;
    set_weights(&lab, 750, 250).await;
    let mut browser = Browser::open(lab.balancer_addresses()[0]).await.unwrap();
    for _ in 0..3000 {
        browser.get("/").await.unwrap();
    }
    // One standard deviation is 24 requests.
    assert!((650..=850).contains(&total(&lab, "green")), "{}", total(&lab, "green"));
}

#[tokio::test]
async fn each_request_of_one_connection_is_routed_by_itself() {
    let lab = start(one_zone()).await;
    let mut browser = Browser::open(lab.balancer_addresses()[0]).await.unwrap();
    assert_eq!(version(&browser.get("/").await.unwrap()), Some("blue-1"));
    set_weights(&lab, 0, 100).await;
    assert_eq!(version(&browser.get("/").await.unwrap()), Some("green-2"));
}

#[tokio::test]
async fn healthy_targets_take_turns() {
    let lab = start(one_zone()).await;
    let mut browser = Browser::open(lab.balancer_addresses()[0]).await.unwrap();
    for _ in 0..30 {
        browser.get("/").await.unwrap();
    }
    assert_eq!(lab.service("blue").requests(), [10, 10, 10]);
}

#[tokio::test]
async fn a_rule_governs_its_path_and_nothing_else() {
    let lab = start(LabOptions { path_rule: Some("/checkout/*".to_owned()), ..one_zone() }).await;
    let call = sdk(&lab).modify_rule().rule_arn(lab.rule_arn().unwrap());
    call.actions(forward(&lab, &[("green", 1)])).send().await.unwrap();
    assert_eq!(version(&ask_zone(&lab, 0, "/checkout/health").await), Some("green-2"));
    assert_eq!(version(&ask_zone(&lab, 0, "/checkout").await), Some("blue-1"));
    assert_eq!(version(&ask_zone(&lab, 0, "/").await), Some("blue-1"));
}

#[tokio::test]
async fn an_empty_group_is_the_balancers_503() {
    let lab = start(one_zone()).await;
    deregister(&lab, "blue").await;
    assert_eq!(verdict(&ask(&lab).await), (503, true));
}

#[tokio::test]
async fn all_weights_zero_are_the_balancers_503() {
    let lab = start(one_zone()).await;
    set_weights(&lab, 0, 0).await;
    assert_eq!(verdict(&ask(&lab).await), (503, true));
}

#[tokio::test]
async fn a_target_that_refuses_is_the_balancers_502() {
    let lab = start(one_zone()).await;
    lab.service("blue").set_fault(Fault::Refuse);
    eventually("502", || async { verdict(&ask(&lab).await) == (502, true) }).await;
    let direct = Browser::open(lab.service("blue").addresses()[0]).await;
    assert_eq!(direct.err().unwrap().kind(), std::io::ErrorKind::ConnectionRefused);
    lab.service("blue").set_fault(Fault::None);
    eventually("recovery", || async { verdict(&ask(&lab).await) == (200, false) }).await;
}

#[tokio::test]
async fn a_target_that_hangs_up_is_the_balancers_502_and_leaves_it_healthy() {
    let lab = start(one_zone()).await;
    lab.service("blue").set_fault(Fault::Dark502);
    for _ in 0..10 {
        assert_eq!(verdict(&ask(&lab).await), (502, true));
    }
    assert_eq!(states(&lab, "blue").await, state("healthy", None));
}

#[tokio::test]
async fn a_target_that_hangs_is_the_balancers_504() {
    let lab = start(LabOptions { idle_timeout: Duration::from_millis(80), ..one_zone() }).await;
    lab.service("blue").set_fault(Fault::Hang);
    assert_eq!(verdict(&ask(&lab).await), (504, true));
    assert_eq!(states(&lab, "blue").await, state("healthy", None));
    lab.service("blue").set_fault(Fault::None);
    assert_eq!(verdict(&ask(&lab).await), (200, false));
}

#[tokio::test]
async fn all_unhealthy_fails_open() {
    let lab = start(one_zone()).await;
    lab.service("blue").set_healthy(false);
    let unhealthy = state("unhealthy", Some("Target.ResponseCodeMismatch"));
    becomes(&lab, "blue", unhealthy).await;
    assert_eq!(verdict(&ask(&lab).await), (200, false));
}

#[tokio::test]
async fn an_unhealthy_target_gets_nothing_while_another_is_healthy() {
    let lab = start(one_zone()).await;
    // Green's first target joins blue's group; then only green fails its checks.
    let guest = lab.service("green").addresses()[0];
    register(&lab, "blue", guest).await;
    eventually("healthy guest", || async {
        ask(&lab).await;
        lab.service("green").requests()[0] > 0
    })
    .await;
    lab.service("green").set_healthy(false);
    let mixed = [state("healthy", None), state("unhealthy", Some("Target.ResponseCodeMismatch"))].concat();
    becomes(&lab, "blue", mixed).await;
    let before = lab.service("green").requests();
    for _ in 0..20 {
        ask(&lab).await;
    }
    assert_eq!(lab.service("green").requests(), before);
}

#[tokio::test]
async fn connections_to_targets_are_kept_whoever_asks() {
    let lab = start(one_zone()).await;
    let target = Counter::start().await;
    register(&lab, "blue", target.addr).await;
    deregister(&lab, "blue").await;
    for _ in 0..20 {
        assert_eq!(ask(&lab).await.status(), 200);
    }
    assert_eq!(target.connections(), 1);
}

#[tokio::test]
async fn a_fixed_response_is_the_balancers_own() {
    let lab = start(one_zone()).await;
    let config = FixedResponseActionConfig::builder().status_code("410").message_body("gone").build();
    let fixed = action(ActionTypeEnum::FixedResponse).fixed_response_config(config).build();
    set_default(&lab, vec![fixed]).await.unwrap();
    let answer = ask(&lab).await;
    assert_eq!((verdict(&answer), answer.body().as_ref()), ((410, true), &b"gone"[..]));
}

#[tokio::test]
async fn what_a_target_says_passes_through() {
    let lab = start(one_zone()).await;
    lab.service("blue").set_version("blue-7");
    let answer = ask(&lab).await;
    assert_eq!((version(&answer), answer.body().as_ref()), (Some("blue-7"), &b"ok\n"[..]));
    let head = http::Request::head("/").header("host", "shop").body(http_body_util::Full::default()).unwrap();
    let answer = Browser::open(lab.balancer_addresses()[0]).await.unwrap().send(head).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.body().len()), (200, 0));
}

#[tokio::test]
async fn a_stopped_lab_refuses_connections_and_so_does_a_dropped_one() {
    let lab = start(LabOptions::default()).await;
    let addresses = [lab.balancer_addresses(), &lab.service("blue").addresses()].concat();
    lab.stop().await;
    for addr in addresses {
        assert!(Browser::open(addr).await.is_err(), "{addr} still listens");
    }
    let lab = start(LabOptions::default()).await;
    let addr = lab.balancer_addresses()[1];
    drop(lab);
    eventually("refusal", || async { Browser::open(addr).await.is_err() }).await;
}

pub(crate) async fn register(lab: &Lab, group: &str, addr: std::net::SocketAddr) {
    let call = sdk(lab).register_targets().target_group_arn(lab.target_group_arn(group));
    call.targets(describe(addr)).send().await.unwrap();
}

pub(crate) async fn deregister(lab: &Lab, service: &str) {
    let targets = lab.service(service).addresses().into_iter().map(describe).collect();
    let call = sdk(lab).deregister_targets().target_group_arn(lab.target_group_arn(service));
    call.set_targets(Some(targets)).send().await.unwrap();
}

fn describe(addr: std::net::SocketAddr) -> TargetDescription {
    TargetDescription::builder().id(addr.ip().to_string()).port(i32::from(addr.port())).build()
}
