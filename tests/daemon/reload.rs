//! A configuration that is read anew: whole or not at all, without forgetting what stays, and never under a release.

use super::child::{Daemon, ledger, outcome, serin};
use super::flow::released;
use super::scene::{Scene, bounded};
use serde_json::Value;
use serin::lab::{Fault, LabOptions};
use std::time::Duration;

async fn scene() -> Scene {
    Scene::new(LabOptions::default()).await
}

/// Writes the configuration as it is now, and asks for it: exit code, standard output, standard error.
async fn reload(scene: &Scene) -> (i32, String, String) {
    std::fs::write(scene.path("serin.toml"), scene.text()).unwrap();
    ask(scene).await
}

async fn ask(scene: &Scene) -> (i32, String, String) {
    outcome(serin(&["reload", "--socket", scene.path("serin.sock").to_str().unwrap()])).await
}

/// One value of `/metrics`.
async fn value(daemon: &Daemon, series: &str) -> Option<f64> {
    let metrics = daemon.get("/metrics").await.unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix(series));
    line.map(|rest| rest.trim().parse().unwrap())
}

async fn answers(daemon: &Daemon) -> u64 {
    daemon.status().await["services"]["checkout"]["live"]["answers"].as_u64().unwrap_or(0)
}

#[test]
fn in_peace_a_url_comes_and_goes_and_the_others_keep_what_was_measured() {
    bounded(async {
        let mut scene = scene().await;
        let [first, _] = scene.lab.balancer_addresses()[..] else { panic!("two zones") };
        let third = |name: &str| {
            format!(
                "[[targets]]\nname = \"{name}\"\nurl = \"http://{first}/\"\nversion = {{ header = \"x-version\" }}\n"
            )
        };
        // The window is full, so that nothing but a new beginning makes its count fall.
        scene.config.judge = "propagation = \"1s\"\nwindow = \"3s\"".into();
        scene.config.more = third("third");
        let daemon = Daemon::armed(&scene).await;
        daemon.until("a full window", async || answers(&daemon).await > 150).await;
        let attempts = |target: &str| {
            format!(
                "serin_probe_attempts_total{{service=\"checkout\",target=\"{target}\",purpose=\"production\"}} "
            )
        };
        let before = value(&daemon, &attempts("zone-1")).await.unwrap();
        assert!(value(&daemon, &attempts("third")).await.is_some());
        let epoch = daemon.status().await["services"]["checkout"]["guard"]["epoch"].clone();

        scene.config.more = third("fourth");
        let (code, out, error) = reload(&scene).await;
        assert_eq!((code, out.as_str()), (0, "checkout: changed\n"), "{error}");
        daemon.event("revised").await;
        daemon
            .until("the new one is asked", async || value(&daemon, &attempts("fourth")).await > Some(10.0))
            .await;
        assert_eq!(value(&daemon, &attempts("third")).await, None, "what is gone has no series");
        assert!(value(&daemon, &attempts("zone-1")).await.unwrap() > before, "what stays counts on");
        let status = daemon.status().await;
        let service = &status["services"]["checkout"];
        assert_eq!(service["guard"]["epoch"], epoch, "it is the same state of the listener");
        assert_eq!(service["guard"]["armed"], true, "and known good as before: {service}");
        assert_eq!(status["reload"]["ok"], true);
        assert_eq!(status["reload"]["pending"], serde_json::json!({}));
        let urls: Value =
            serde_json::from_str(&daemon.get("/api/v1/services/checkout/urls").await.unwrap()).unwrap();
        let names: Vec<&str> =
            urls["urls"].as_array().unwrap().iter().map(|url| url["target"].as_str().unwrap()).collect();
        assert_eq!(names, ["zone-0", "zone-1", "fourth"]);
        let history: Value =
            serde_json::from_str(&daemon.get("/api/v1/services/checkout/history").await.unwrap()).unwrap();
        let counts: Vec<u64> = history["points"]
            .as_array()
            .unwrap()
            .iter()
            .map(|point| point["answers"].as_u64().unwrap())
            .collect();
        let full = counts.iter().position(|count| *count > 150).unwrap();
        // A third of them were of the one that went.
        assert!(counts[full..].iter().all(|count| *count > 90), "two thirds of the window stay: {counts:?}");

        scene.lab.service("green").set_fault(Fault::Outage);
        scene.cut_over().await;
        daemon.event("verified").await;
        assert_eq!(scene.serving().await, ["blue"], "and it acts as before");
    });
}

#[test]
fn a_fault_is_told_and_that_of_before_goes_on() {
    bounded(async {
        let mut scene = scene().await;
        let daemon = Daemon::armed(&scene).await;
        scene.config.more = "[[targets]]\nname = \"x\"\nurl = \"ftp://127.0.0.1/\"\n".into();
        scene.config.judge = "propagation = \"1s\"\nwindow = \"0s\"".into();
        let (code, _, error) = reload(&scene).await;
        assert_eq!(code, 78, "{error}");
        for part in ["the configuration of before goes on", "judge.window", "targets[2].url", "ftp://"] {
            assert!(error.contains(part), "{part} is not in {error}");
        }
        let status = daemon.status().await;
        assert_eq!(status["reload"]["ok"], false);
        assert!(status["reload"]["faults"].as_str().unwrap().contains("judge.window"), "{status}");
        assert!(daemon.events("revised").is_empty());
        daemon
            .until("the metric", async || {
                value(&daemon, "serin_config_last_reload_successful ").await == Some(0.0)
            })
            .await;
        // A file that is no authority to be read at all is a fault like others.
        scene.config.more =
            "[[targets]]\nname = \"x\"\nurl = \"https://127.0.0.1/\"\nca_file = \"/nowhere.pem\"\n".into();
        scene.config.judge = String::new();
        let (code, _, error) = reload(&scene).await;
        assert!(code == 78 && error.contains("/nowhere.pem"), "{code} {error}");
        scene.config.more = String::new();
        let (code, out, error) = reload(&scene).await;
        assert_eq!((code, out.as_str()), (0, "checkout: changed\n"), "{error}");
        daemon
            .until("the metric", async || {
                value(&daemon, "serin_config_last_reload_successful ").await == Some(1.0)
            })
            .await;
        assert!(value(&daemon, "serin_config_last_reload_success_timestamp_seconds ").await > Some(1.7e9));
        let (code, out, _) = ask(&scene).await;
        assert_eq!((code, out.as_str()), (0, "nothing has changed\n"));
    });
}

#[test]
fn a_release_is_judged_to_its_end_by_what_it_began_with() {
    bounded(async {
        let mut scene = scene().await;
        scene.config.judge = "propagation = \"1s\"\njudge_for = \"12s\"\nonset = \"10s\"".into();
        let daemon = released(&scene).await;
        scene.config.guard = "min_healthy = 2".into();
        let (code, out, error) = reload(&scene).await;
        assert_eq!(
            (code, out.as_str()),
            (0, "checkout: changed, once this is over: a release is under judgement\n"),
            "{error}"
        );
        let status = daemon.status().await;
        assert_eq!(status["reload"]["pending"]["checkout"], "a release is under judgement", "{status}");
        daemon
            .until("the metric", async || {
                value(&daemon, "serin_config_pending{service=\"checkout\"} ").await == Some(1.0)
            })
            .await;
        assert!(daemon.events("revised").is_empty());
        daemon.event("revised").await;
        daemon.event("kept").await;
        let lines = ledger(&scene.path("evidence"), "checkout");
        let place = |event: &str| lines.iter().position(|line| line["event"] == event).expect(event);
        assert!(place("kept") <= place("revised"), "not before its time is over");
        let (started, revised) = (&lines[place("started")], &lines[place("revised")]);
        assert_ne!(started["config"], revised["config"]);
        assert_eq!(daemon.status().await["reload"]["pending"], serde_json::json!({}));
    });
}

#[test]
fn a_breach_while_it_waits_is_still_reverted_and_then_it_holds() {
    bounded(async {
        let mut scene = scene().await;
        let daemon = released(&scene).await;
        scene.config.guard = "cool_down = \"10m\"".into();
        assert_eq!(reload(&scene).await.0, 0);
        scene.lab.service("green").set_fault(Fault::Outage);
        daemon.event("verified").await;
        assert_eq!(scene.serving().await, ["blue"]);
        daemon.event("revised").await;
    });
}

#[test]
fn to_only_observe_holds_at_once() {
    bounded(async {
        let mut scene = scene().await;
        let daemon = released(&scene).await;
        scene.config.mode = "observe";
        let (code, out, error) = reload(&scene).await;
        assert_eq!((code, out.as_str()), (0, "checkout: changed\n"), "{error}");
        assert_eq!(daemon.event("revised").await["mode"], "observe");
        assert_eq!(daemon.status().await["services"]["checkout"]["mode"], "observe");
        scene.lab.service("green").set_fault(Fault::Outage);
        daemon.event("would_revert").await;
        assert_eq!(scene.writes(), (0, 0));
        daemon
            .until("the metric", async || {
                value(&daemon, "serin_mode{service=\"checkout\",mode=\"observe\"} ").await == Some(1.0)
            })
            .await;
        scene.config.mode = "act";
        assert_eq!(
            reload(&scene).await.1,
            "checkout: changed\n",
            "the release is latched, so nothing is judged any more"
        );
    });
}

#[test]
fn a_signal_and_the_watch_read_it_too_and_what_the_process_has_once_waits_for_a_restart() {
    bounded(async {
        let mut scene = scene().await;
        scene.config.mode = "observe";
        scene.config.more = "[reload]\nwatch = \"1s\"".into();
        let mut daemon = Daemon::start(&scene);
        daemon.event("epoch").await;
        scene.config.guard = "min_healthy = 2".into();
        scene.config.more = "[reload]\nwatch = \"1s\"\n[log]\nlevel = \"debug\"".into();
        // Torn, as a writer leaves it for a moment: then whole.
        let whole = scene.text();
        std::fs::write(scene.path("serin.toml"), &whole[..whole.len() / 2]).unwrap();
        daemon.logged("is not taken, so that of before goes on").await;
        std::fs::write(scene.path("serin.toml"), &whole).unwrap();
        daemon.event("revised").await;
        daemon
            .until("it is told", async || {
                daemon.status().await["reload"]["needs_restart"] == serde_json::json!(["log.level"])
            })
            .await;
        scene.config.guard = "min_healthy = 3".into();
        std::fs::write(scene.path("serin.toml"), scene.text()).unwrap();
        rustix::process::kill_process(daemon.pid(), rustix::process::Signal::HUP).unwrap();
        daemon.until("the second", async || daemon.events("revised").len() == 2).await;
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        assert_eq!(daemon.events("revised").len(), 2, "what hasn't changed isn't taken again");
        let (status, _) = daemon.terminate().await;
        assert_eq!(status.code(), Some(0), "{}", daemon.log());
    });
}

#[test]
fn services_come_and_go_and_one_that_steers_another_lever_begins_anew() {
    bounded(async {
        let mut scene = scene().await;
        let folder = scene.path("conf");
        std::fs::create_dir(&folder).unwrap();
        let other = |scene: &Scene, name: &str| {
            let [first, _] = scene.lab.balancer_addresses()[..] else { panic!("two zones") };
            let text = format!(
                "service = \"{name}\"\n[[targets]]\nname = \"root\"\nurl = \"http://{first}/\"\n\
                 [objectives]\navailability = \"99%\"\n[pace]\ncalm = \"20/s\"\n"
            );
            std::fs::write(scene.path("conf").join(format!("{name}.toml")), text).unwrap();
        };
        let write = |scene: &Scene| std::fs::write(folder.join("checkout.toml"), scene.text()).unwrap();
        write(&scene);
        other(&scene, "early");
        let command = serin(&["run", "--config", folder.to_str().unwrap()]);
        let mut daemon = Daemon::start_by(&scene, command);
        daemon
            .until("both", async || {
                let ready = daemon.get("/-/ready").await.is_ok();
                ready && daemon.status().await["services"]["checkout"]["guard"]["armed"] == true
            })
            .await;

        std::fs::remove_file(folder.join("early.toml")).unwrap();
        other(&scene, "late");
        let (code, out, error) = ask(&scene).await;
        assert_eq!(
            (code, out.as_str()),
            (0, "late: is watched from now on\nearly: is watched no more\n"),
            "{error}"
        );
        let services = async || -> Vec<String> {
            daemon.status().await["services"].as_object().unwrap().keys().cloned().collect()
        };
        daemon.until("one is gone", async || services().await == ["checkout", "late"]).await;
        daemon
            .until("the other is asked", async || {
                daemon.status().await["services"]["late"]["live"]["answers"].as_u64() > Some(10)
            })
            .await;
        let metrics = daemon.get("/metrics").await.unwrap();
        assert!(metrics.contains("service=\"late\"") && !metrics.contains("service=\"early\""), "{metrics}");
        assert_eq!(ledger(&scene.path("evidence"), "early").last().unwrap()["how"], "revised");
        assert_eq!(ledger(&scene.path("evidence"), "late")[0]["event"], "started");

        // A lever that isn't there is refused, and nothing changes.
        let lever = scene.config.lever.clone();
        scene.config.lever = lever.replace("listener/app/", "listener/app/no-");
        write(&scene);
        let (code, _, error) = ask(&scene).await;
        assert!(code == 78, "{error}");
        scene.config.lever = String::new();
        scene.config.mode = "observe";
        write(&scene);
        let (code, out, error) = ask(&scene).await;
        assert_eq!((code, out.as_str()), (0, "checkout: changed\n"), "{error}");
        daemon
            .until("it begins anew", async || {
                ledger(&scene.path("evidence"), "checkout")
                    .iter()
                    .filter(|line| line["event"] == "started")
                    .count()
                    == 2
            })
            .await;
        daemon.until("it is asked", async || answers(&daemon).await > 10).await;
        let (status, _) = daemon.terminate().await;
        assert_eq!(status.code(), Some(0), "{}", daemon.log());
        for service in ["checkout", "late"] {
            assert_eq!(
                ledger(&scene.path("evidence"), service).last().unwrap()["how"],
                "drained",
                "{service}"
            );
        }
    });
}

#[test]
fn only_who_may_change_state_may_ask_for_it() {
    bounded(async {
        let scene = scene().await;
        let daemon = Daemon::start(&scene);
        let refused = serin::admin::post(&daemon.tcp().await, "/-/reload", String::new())
            .await
            .unwrap_err()
            .to_string();
        assert!(refused.contains("401"), "{refused}");
        let (code, _, error) =
            outcome(serin(&["reload", "--socket", scene.path("nobody.sock").to_str().unwrap()])).await;
        assert!(code == 1 && error.contains("no Serin answers"), "{code} {error}");
    });
}
