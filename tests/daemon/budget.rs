//! The error budget in the running daemon: shown, and kept over a restart.

use super::child::Daemon;
use super::scene::{Scene, bounded};
use serde_json::Value;
use serin::lab::{Fault, LabOptions};
use std::path::Path;

/// The answers of all hours that are on disk, and the bad ones.
fn kept(file: &Path) -> (u64, u64) {
    let value: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!((&value["version"], &value["service"]), (&1.into(), &"checkout".into()), "{value}");
    let count = |place: usize| {
        value["hours"].as_array().unwrap().iter().map(|hour| hour[place].as_u64().unwrap()).sum()
    };
    (count(1), count(2))
}

async fn shown(daemon: &Daemon) -> Value {
    daemon.status().await["services"]["checkout"]["budget"].clone()
}

#[test]
fn what_was_spent_is_not_forgotten_by_a_restart() {
    bounded(async {
        let scene = Scene::new(LabOptions::default()).await;
        let file = scene.path("evidence/checkout/budget.json");
        let mut daemon = Daemon::armed(&scene).await;
        // Blue alone is bad: there is no release to revert, and the budget burns.
        scene.lab.service("blue").set_fault(Fault::Outage);
        daemon
            .until("more is spent than there was", async || {
                shown(&daemon).await["remaining"].as_f64().is_some_and(|remaining| remaining < 0.0)
            })
            .await;
        let budget = shown(&daemon).await;
        assert!(budget["burn_1h"].as_f64().is_some_and(|burn| burn > 1.0), "{budget}");
        assert_eq!(
            (&budget["burn_1h"], &budget["burn_1h"]),
            (&budget["burn_6h"], &budget["burn_3d"]),
            "{budget}"
        );
        let text = daemon.get("/metrics").await.unwrap();
        for series in [
            "serin_error_budget_remaining_ratio{service=\"checkout\"} -",
            "serin_error_budget_burn_rate{service=\"checkout\",window=\"6h\"} ",
        ] {
            assert!(text.contains(series), "{series} is not in\n{text}");
        }
        assert!(!file.exists(), "it is written once a minute, and when the daemon stops");
        daemon.terminate().await;
        let (answers, bad) = kept(&file);
        assert!(bad > 0 && answers > bad, "{bad} of {answers}");

        scene.lab.service("blue").set_fault(Fault::None);
        let mut again = Daemon::start(&scene);
        again.until("it goes on", async || again.get("/-/ready").await.is_ok()).await;
        again.until("the budget is shown", async || shown(&again).await["remaining"].is_number()).await;
        let now = shown(&again).await;
        assert_eq!(now["since"], budget["since"]);
        assert!(now["remaining"].as_f64().is_some_and(|remaining| remaining < 0.0), "{now}");
        again.terminate().await;
        assert!(kept(&file).1 >= bad, "{:?} after {:?}", kept(&file), (answers, bad));

        // What can't be read is told, and kept aside.
        std::fs::write(&file, "{").unwrap();
        let third = Daemon::start(&scene);
        third.logged("the budget begins anew").await;
        let folder = std::fs::read_dir(scene.path("evidence/checkout")).unwrap();
        let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.filter(|name| name.starts_with("budget.")).count(), 1);
    });
}
