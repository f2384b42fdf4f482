//! What must not be written, with the exact reason.

use super::child::{Daemon, outcome, serin};
use super::flow::released;
use super::scene::{Scene, bounded};
use rustix::process::{Resource, Rlimit, prlimit};
use serde_json::Value;
use serin::lab::{ControlPlaneFault, CredentialFault, Fault, LabOptions};
use std::time::Duration;

async fn scene() -> Scene {
    Scene::new(LabOptions::default()).await
}

/// Green goes bad; Serin refuses for this reason, calls somebody, and green still serves.
pub(crate) async fn is_refused(scene: &Scene, daemon: &Daemon, reason: &str) -> Value {
    scene.lab.service("green").set_fault(Fault::Outage);
    daemon.until(reason, async || daemon.events("refused").iter().any(|line| line["reason"] == reason)).await;
    let refused = daemon.events("refused").into_iter().find(|line| line["reason"] == reason).unwrap();
    daemon
        .until("a refusal is told", async || {
            daemon.events("paged").iter().any(|page| page["kind"] == "refused")
        })
        .await;
    // Long enough for a write that should not come.
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(scene.writes().1, 0, "nothing was written");
    assert_eq!(scene.serving().await, ["green"]);
    refused
}

pub(crate) async fn never_writes(scene: &Scene, daemon: &Daemon, reason: &str) {
    let refused = is_refused(scene, daemon, reason).await;
    assert_eq!(scene.writes().0, 0, "no write was even tried: {refused}");
}

#[test]
fn a_hold_by_tag_forbids_the_write() {
    bounded(async {
        let scene = scene().await;
        let daemon = released(&scene).await;
        scene.lab.put_tag(scene.lab.listener_arn(), "canary:hold", "maintenance");
        never_writes(&scene, &daemon, "no-hold").await;
    });
}

#[test]
fn a_hold_by_file_forbids_the_write() {
    bounded(async {
        let mut scene = scene().await;
        let file = scene.path("hold");
        scene.config.guard = format!("hold_file = \"{}\"", file.display());
        let daemon = released(&scene).await;
        std::fs::write(&file, "").unwrap();
        never_writes(&scene, &daemon, "no-hold").await;
    });
}

#[test]
fn a_hold_by_command_forbids_the_write() {
    bounded(async {
        let scene = scene().await;
        let daemon = released(&scene).await;
        let socket = scene.path("serin.sock");
        let socket = socket.to_str().unwrap();
        let hold = ["hold", "--service", "checkout", "--socket", socket, "--reason", "ticket 7"];
        assert_eq!(outcome(serin(&hold)).await.0, 0);
        never_writes(&scene, &daemon, "no-hold").await;
        assert!(daemon.events("refused")[0]["says"].as_str().unwrap().contains("ticket 7"));
    });
}

#[test]
fn an_irreversible_release_is_judged_and_never_reverted() {
    bounded(async {
        let scene = scene().await;
        let daemon = Daemon::armed(&scene).await;
        let socket = scene.path("serin.sock");
        let begin = [
            "release",
            "begin",
            "--service",
            "checkout",
            "--socket",
            socket.to_str().unwrap(),
            "--id",
            "X-7",
            "--irreversible",
        ];
        assert_eq!(outcome(serin(&begin)).await.0, 0);
        scene.cut_over().await;
        let release = daemon.event("release").await;
        assert_eq!((&release["label"], &release["release_id"]), (&"X-7".into(), &"X-7".into()), "{release}");
        never_writes(&scene, &daemon, "reversible").await;
    });
}

#[test]
fn an_element_that_this_build_does_not_know_is_never_erased() {
    bounded(async {
        let scene = scene().await;
        let daemon = released(&scene).await;
        scene.lab.set_unknown_element(Some(("MirrorConfig", "x")));
        scene.lab.service("green").set_fault(Fault::Outage);
        daemon.event("breach").await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(scene.writes().0, 0, "{}", daemon.output());
        assert!(
            daemon.output().contains("MirrorConfig"),
            "the reason names the element: {}",
            daemon.output()
        );
    });
}

#[test]
fn aws_that_denies_the_write_is_obeyed_and_told() {
    bounded(async {
        let scene = scene().await;
        let daemon = released(&scene).await;
        scene.lab.set_control_plane_fault("ModifyListener", Some(ControlPlaneFault::AccessDenied));
        let refused = is_refused(&scene, &daemon, "write-refused").await;
        assert!(refused["says"].as_str().unwrap().contains("AccessDenied"), "{refused}");
        assert_eq!(scene.writes().0, 1, "a denial is not tried again");
    });
}

#[test]
fn a_full_disk_forbids_the_write() {
    bounded(async {
        let scene = scene().await;
        let config = scene.path("serin.toml");
        std::fs::write(&config, scene.text()).unwrap();
        // A process that may write no more gets a signal, unless it ignores it as one with a full disk would not need to.
        let binary = env!("CARGO_BIN_EXE_serin");
        let mut command = serin(&[]);
        let inner = command.as_std().get_envs().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
        command = tokio::process::Command::new("sh");
        for name in inner {
            command.env_remove(name);
        }
        command.env("AWS_EC2_METADATA_DISABLED", "true").kill_on_drop(true);
        command.args([
            "-c",
            "trap '' XFSZ; exec \"$0\" run --config \"$1\"",
            binary,
            config.to_str().unwrap(),
        ]);
        let daemon = Daemon::start_by(&scene, command);
        daemon.until_armed().await;
        scene.cut_over().await;
        daemon.event("release").await;
        prlimit(Some(daemon.pid()), Resource::Fsize, Rlimit { current: Some(1), maximum: None }).unwrap();
        never_writes(&scene, &daemon, "ledger").await;
        assert!(daemon.log().contains("can't write"), "the log says so: {}", daemon.log());
    });
}

#[test]
fn an_operator_who_reverts_first_is_not_written_over() {
    bounded(async {
        let scene = scene().await;
        let daemon = released(&scene).await;
        // Preflight takes its time, so that the operator comes between.
        scene.lab.set_control_plane_fault(
            "DescribeTags",
            Some(ControlPlaneFault::Delay(Duration::from_millis(1500))),
        );
        scene.lab.service("green").set_fault(Fault::Outage);
        daemon.event("breach").await;
        scene.shift(&[("blue", 100), ("green", 0)]).await;
        daemon
            .until("back in peace", async || {
                daemon.events("epoch").iter().any(|epoch| epoch["cause"] == "rollback")
            })
            .await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(scene.writes().0, 0, "{}", daemon.output());
        assert_eq!(scene.serving().await, ["blue"]);
    });
}

#[test]
fn observing_tells_as_loudly_and_writes_nothing() {
    bounded(async {
        let mut scene = scene().await;
        scene.config.mode = "observe";
        let daemon = Daemon::start(&scene);
        daemon.event("good").await;
        scene.cut_over().await;
        daemon.event("release").await;
        scene.lab.service("green").set_fault(Fault::Outage);
        daemon.event("would_revert").await;
        daemon.event("held").await;
        let pages: Vec<Value> = daemon.events("paged");
        assert!(pages.iter().any(|page| page["text"].as_str().unwrap().contains("DRY RUN")), "{pages:?}");
        assert_eq!(scene.writes().0, 0);
    });
}

#[test]
fn both_bad_is_a_shared_dependency_and_not_the_release() {
    bounded(async {
        let scene = scene().await;
        let daemon = released(&scene).await;
        scene.lab.service("blue").set_fault(Fault::Outage);
        scene.lab.service("green").set_fault(Fault::Outage);
        daemon.event("refused").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(scene.writes().0, 0);
    });
}

/// The daemon starts, probes, says why it isn't armed, and logs one clear line.
async fn stands_by(scene: &Scene, says: &str) {
    let mut daemon = Daemon::start(scene);
    daemon.until("probing", async || daemon.get("/-/ready").await.is_ok()).await;
    daemon.logged(says).await;
    daemon
        .until("a reason", async || match daemon.get("/-/armed").await {
            Err(refused) => refused.to_string().contains(says),
            Ok(armed) => panic!("armed without having read anything: {armed}"),
        })
        .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let lines = daemon.log().lines().filter(|line| line.contains("the listener can't be read")).count();
    assert_eq!(lines, 1, "one line, not one a read: {}", daemon.log());
    assert_eq!(scene.writes().0, 0);
    // A killed one answers at its socket until it is gone, and the next one wants it.
    daemon.kill().await;
}

#[test]
fn expired_and_unknown_credentials_leave_the_probes_on() {
    bounded(async {
        let scene = scene().await;
        scene.lab.set_credential_fault(super::scene::DAEMON_KEY, Some(CredentialFault::Expired));
        stands_by(&scene, "ExpiredToken").await;
        scene.lab.set_credential_fault(super::scene::DAEMON_KEY, Some(CredentialFault::Invalid));
        stands_by(&scene, "InvalidClientTokenId").await;
    });
}

#[test]
fn each_missing_permission_is_named_and_nothing_is_armed() {
    bounded(async {
        for action in ["DescribeListeners", "DescribeTags", "DescribeTargetHealth", "DescribeTargetGroups"] {
            let scene = scene().await;
            scene.lab.set_control_plane_fault(action, Some(ControlPlaneFault::AccessDenied));
            stands_by(&scene, &format!("{action}: AccessDenied")).await;
        }
    });
}

#[test]
fn missing_credentials_leave_the_probes_on() {
    bounded(async {
        let mut scene = scene().await;
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            scene.env.push((name.into(), String::new()));
        }
        scene.env.push(("HOME".into(), scene.folder.path().display().to_string()));
        stands_by(&scene, "no usable AWS credentials").await;
    });
}
