//! The users and the services' faults, as users see them.

use crate::common::*;
use serin::lab::{Fault, Lab, LabOptions, UserCounts, UserOptions, Users};
use std::time::Duration;
use tokio::time::sleep;

fn crowd(rate: u32) -> UserOptions {
    UserOptions { rate, ..UserOptions::default() }
}

async fn watch(lab: &Lab, options: UserOptions, span: Duration) -> UserCounts {
    let users = lab.users(options);
    sleep(span).await;
    users.stop().await
}

#[tokio::test]
async fn a_good_service_has_no_bad_answer_and_the_rate_holds() {
    let lab = start(LabOptions::default()).await;
    let counts = watch(&lab, crowd(200), Duration::from_secs(1)).await;
    assert_eq!((counts.bad, counts.first_bad, counts.unsent), (0, None, 0));
    assert!((190..=202).contains(&counts.good), "{counts:?}");
}

#[tokio::test]
async fn an_outage_is_counted_from_its_first_to_its_last_bad_answer() {
    let lab = start(LabOptions::default()).await;
    let users = lab.users(crowd(200));
    sleep(Duration::from_millis(300)).await;
    let begun = serin::clock::now();
    lab.service("blue").set_fault(Fault::Outage);
    sleep(Duration::from_millis(400)).await;
    lab.service("blue").set_fault(Fault::None);
    let ended = serin::clock::now();
    sleep(Duration::from_millis(300)).await;
    let counts = users.stop().await;
    assert!((70..=85).contains(&counts.bad), "{counts:?}");
    assert!(counts.good >= 110, "{counts:?}");
    let (first, last) = (counts.first_bad.unwrap(), counts.last_bad.unwrap());
    assert!(first > begun && first.since(begun) < Duration::from_millis(100));
    assert!(last.since(begun) > Duration::from_millis(300) && last.since(ended) < Duration::from_millis(100));
}

#[tokio::test]
async fn a_slow_answer_is_bad_only_beyond_the_bound() {
    let lab = start(LabOptions::default()).await;
    lab.service("blue").set_fault(Fault::Latency { extra: Duration::from_millis(100) });
    let strict = UserOptions { slow_after: Duration::from_millis(50), ..crowd(50) };
    let counts = watch(&lab, strict, Duration::from_millis(300)).await;
    assert!(counts.good == 0 && counts.bad >= 14, "{counts:?}");
    let counts = watch(&lab, crowd(50), Duration::from_millis(300)).await;
    assert!(counts.bad == 0 && counts.good >= 14, "{counts:?}");
}

#[tokio::test]
async fn no_answer_is_a_bad_answer_and_stop_waits_for_it() {
    let lab = start(LabOptions::default()).await;
    lab.service("blue").set_fault(Fault::Hang);
    let patience = UserOptions { timeout: Duration::from_millis(300), in_flight_max: 10, ..crowd(100) };
    let counts = watch(&lab, patience, Duration::from_millis(200)).await;
    assert_eq!((counts.good, counts.bad), (0, 10), "bounded in flight");
    assert!(counts.unsent >= 8, "{counts:?}");
}

#[tokio::test]
async fn users_without_a_server_get_only_bad_answers() {
    let lab = start(LabOptions::default()).await;
    let users = lab.users(crowd(100));
    lab.stop().await;
    sleep(Duration::from_millis(200)).await;
    let counts = users.stop().await;
    assert!(counts.bad >= 10, "{counts:?}");
}

#[tokio::test]
async fn every_second_request_is_on_a_connection_of_its_own() {
    let server = Counter::start().await;
    let users = Users::start(vec![server.addr], crowd(100));
    sleep(Duration::from_millis(500)).await;
    let counts = users.stop().await;
    assert_eq!(counts.bad, 0);
    // The kept half needs one connection, or a few when an answer was late.
    let kept = server.connections() - counts.good.div_ceil(2);
    assert!((1..=5).contains(&kept), "{} connections for {counts:?}", server.connections());
}

#[tokio::test]
async fn a_share_of_errors_is_that_share() {
    let lab = start(one_zone()).await;
    lab.service("blue").set_fault(Fault::Errors { share: 0.2 });
    let mut browser = Browser::open(lab.balancer_addresses()[0]).await.unwrap();
    let mut bad = 0;
    for _ in 0..2000 {
        bad += u32::from(browser.get("/").await.unwrap().status() == 500);
    }
    // One standard deviation is 18 answers.
    assert!((320..=480).contains(&bad), "{bad}");
}

#[tokio::test]
async fn an_outage_still_says_its_version() {
    let lab = start(one_zone()).await;
    lab.service("blue").set_fault(Fault::Outage);
    let answer = ask(&lab).await;
    assert_eq!((answer.status().as_u16(), version(&answer)), (500, Some("blue-1")));
}

#[tokio::test]
async fn the_control_service_stands_beside_it_all() {
    let lab = start(LabOptions::default()).await;
    lab.service("blue").set_fault(Fault::Outage);
    let addr = lab.service("control").addresses()[0];
    assert_eq!(lab.control_url(), format!("http://{addr}/"));
    let answer = Browser::open(addr).await.unwrap().get("/").await.unwrap();
    assert_eq!((answer.status().as_u16(), version(&answer)), (200, Some("control-1")));
}
