//! Nothing secret comes out anywhere.

use super::child::Daemon;
use super::flow::released;
use super::scene::{Scene, bounded};
use serin::lab::{Fault, LabOptions};
use std::path::Path;

/// Nothing else says this.
const CANARY: &str = "c4n4ry7f3a9e51b2d84c";

#[test]
fn no_secret_comes_out_of_any_opening() {
    bounded(async {
        let mut scene = Scene::new(LabOptions::default()).await;
        scene.env = ["H", "W", "O", "T", "K", "S"]
            .iter()
            .map(|name| (format!("SECRET_{name}"), format!("{CANARY}-secret-{name}")))
            .collect();
        // Nobody listens there, so that messages are lost and complained of.
        scene.env[1].1 = format!("http://127.0.0.1:9/{CANARY}");
        scene.env[5].1 = format!("http://127.0.0.1:9/{CANARY}");
        scene.config.target = "headers = { authorization = { env = \"SECRET_H\" } }".into();
        scene.config.admin = "token = { env = \"SECRET_T\" }".into();
        scene.config.more = "[publish.webhook]\nurl = { env = \"SECRET_W\" }\nsecret = { env = \"SECRET_K\" }\n\
             [publish.slack]\nurl = { env = \"SECRET_S\" }\n\
             [publish.otlp]\nendpoint = \"http://127.0.0.1:9\"\nheaders = { authorization = { env = \"SECRET_O\" } }\n\
             [log]\nlevel = \"debug\"\n"
            .into();
        let mut daemon: Daemon = released(&scene).await;
        scene.lab.service("green").set_fault(Fault::Outage);
        daemon.event("verified").await;
        let shown = [
            daemon.get("/metrics").await.unwrap(),
            daemon.status().await.to_string(),
            daemon.get("/-/armed").await.unwrap_or_default(),
        ];
        daemon.terminate().await;
        for text in shown.iter().chain([&daemon.output(), &daemon.log()]) {
            assert!(!text.contains(CANARY), "{text}");
        }
        for destination in ["webhook", "slack"] {
            let log = daemon.log();
            let lost =
                log.lines().any(|line| line.contains("a message was lost") && line.contains(destination));
            assert!(lost, "{destination} was not tried: {log}");
        }
        let files = search(&scene.path("evidence"));
        assert!(files >= 2, "the ledger and the samples were looked through: {files}");
    });
}

/// Looks through every file below; how many there were.
fn search(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            if path.is_dir() {
                return search(&path);
            }
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            assert!(!text.contains(CANARY), "{}", path.display());
            1
        })
        .sum()
}
