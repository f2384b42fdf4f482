//! A change is accepted at once and in force later.

use crate::common::*;
use serin::lab::{ForwardForm, Lab, LabOptions};
use std::time::Duration;
use tokio::time::sleep;

const DELAY: Duration = Duration::from_millis(600);

fn slow() -> LabOptions {
    LabOptions { propagation: DELAY, forward: ForwardForm::Weighted, ..LabOptions::default() }
}

async fn is_green(lab: &Lab, zone: usize) -> bool {
    version(&ask_zone(lab, zone, "/").await) == Some("green-2")
}

#[tokio::test]
async fn a_change_is_described_at_once_and_in_force_after_the_delay() {
    let lab = start(slow()).await;
    let begun = serin::clock::now();
    set_weights(&lab, 0, 100).await;
    let config = default_actions(&lab).await[0].forward_config().unwrap().clone();
    assert_eq!(config.target_groups()[1].weight(), Some(100));
    assert!(!is_green(&lab, 0).await);
    eventually("green", || is_green(&lab, 0)).await;
    let took = serin::clock::now().since(begun);
    assert!(took >= DELAY && took < DELAY * 2, "{took:?}");
    assert!(is_green(&lab, 1).await, "both zones at once without skew");
}

#[tokio::test]
async fn changes_within_the_delay_go_with_the_first() {
    let lab = start(slow()).await;
    let begun = serin::clock::now();
    set_weights(&lab, 50, 50).await;
    sleep(DELAY * 2 / 3).await;
    set_weights(&lab, 0, 100).await;
    eventually("green alone", || is_green_three_times(&lab)).await;
    let took = serin::clock::now().since(begun);
    assert!(took >= DELAY && took < DELAY * 4 / 3, "{took:?}");
}

#[tokio::test]
async fn a_change_after_the_batch_starts_a_wait_of_its_own() {
    let lab = start(slow()).await;
    set_weights(&lab, 0, 100).await;
    eventually("green", || is_green(&lab, 0)).await;
    let begun = serin::clock::now();
    set_weights(&lab, 100, 0).await;
    eventually("blue", || async { !is_green(&lab, 0).await }).await;
    assert!(serin::clock::now().since(begun) >= DELAY);
}

#[tokio::test]
async fn zones_follow_one_after_the_other() {
    let lab = start(LabOptions { propagation: DELAY / 4, zone_skew: DELAY, ..slow() }).await;
    set_weights(&lab, 0, 100).await;
    eventually("green in the first zone", || is_green(&lab, 0)).await;
    assert!(!is_green(&lab, 1).await);
    eventually("green in the second zone", || is_green(&lab, 1)).await;
}

#[tokio::test]
async fn the_delay_can_be_set_while_it_runs() {
    let lab = start(slow()).await;
    lab.set_propagation(Duration::ZERO, Duration::ZERO);
    set_weights(&lab, 0, 100).await;
    assert!(is_green(&lab, 0).await && is_green(&lab, 1).await);
}

#[tokio::test]
async fn a_group_that_is_still_routed_to_is_still_checked() {
    let lab = start(slow()).await;
    set_default(&lab, vec![forward(&lab, &[("green", 1)])]).await.unwrap();
    assert_eq!(states(&lab, "blue").await, state("healthy", None));
    becomes(&lab, "blue", state("unused", Some("Target.NotInUse"))).await;
}

async fn is_green_three_times(lab: &Lab) -> bool {
    is_green(lab, 0).await && is_green(lab, 0).await && is_green(lab, 0).await
}
