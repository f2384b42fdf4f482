//! Stop, kill, restart; and configuration that comes from elsewhere.

use super::child::{Daemon, ledger, serin};
use super::flow::released;
use super::scene::{Scene, bounded};
use serin::lab::{ControlPlaneFault, Fault, LabOptions};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn scene() -> Scene {
    Scene::new(LabOptions::default()).await
}

#[test]
fn a_stop_in_peace_takes_less_than_two_seconds_and_is_in_the_ledger() {
    bounded(async {
        let scene = scene().await;
        let mut daemon = Daemon::armed(&scene).await;
        let (status, took) = daemon.terminate().await;
        assert_eq!(status.code(), Some(0), "{}", daemon.log());
        assert!(took < Duration::from_secs(2), "{took:?}");
        let last = ledger(&scene.path("evidence"), "checkout").pop().unwrap();
        assert_eq!((&last["event"], &last["how"]), (&"stopped".into(), &"drained".into()), "{last}");
        assert_eq!(daemon.events("stopped").len(), 1, "the copy on standard output is whole");
    });
}

#[test]
fn a_signal_holds_and_a_word_lifts_it() {
    bounded(async {
        let scene = scene().await;
        let daemon = released(&scene).await;
        rustix::process::kill_process(daemon.pid(), rustix::process::Signal::USR1).unwrap();
        daemon
            .until("the hold", async || {
                let status = daemon.status().await.to_string();
                status.contains("an operator holds: SIGUSR1")
            })
            .await;
        scene.lab.service("green").set_fault(Fault::Outage);
        daemon
            .until("the refusal", async || {
                daemon.events("refused").iter().any(|line| line["reason"] == "no-hold")
            })
            .await;
        assert_eq!(scene.writes(), (0, 0));
        daemon.tell(r#""unhold""#).await.unwrap();
        daemon.until("nobody holds", async || !daemon.status().await.to_string().contains("SIGUSR1")).await;
    });
}

#[test]
fn a_stop_while_aws_does_not_answer_the_first_question_is_obeyed_at_once() {
    bounded(async {
        let scene = scene().await;
        scene.lab.set_control_plane_fault("DescribeListeners", Some(ControlPlaneFault::HangBeforeEffect));
        let mut daemon = Daemon::start(&scene);
        daemon.logged("the admin listener is up").await;
        let (status, took) = daemon.terminate().await;
        assert_eq!(status.code(), Some(0), "{}", daemon.log());
        assert!(took < Duration::from_secs(1), "{took:?}");
    });
}

#[test]
fn a_stop_while_nobody_reads_standard_output_does_not_hang() {
    bounded(async {
        let scene = scene().await;
        let config = scene.path("serin.toml");
        std::fs::write(&config, scene.text()).unwrap();
        // A pipe that is full from the beginning: 64 KiB of nothing, and nobody reads.
        let binary = env!("CARGO_BIN_EXE_serin");
        let script = "dd if=/dev/zero bs=65536 count=1 2>/dev/null; exec \"$0\" run --config \"$1\"";
        let mut child = std::process::Command::new("sh")
            .args(["-c", script, binary, config.to_str().unwrap()])
            .env("AWS_ENDPOINT_URL", scene.lab.endpoint_url())
            .env("AWS_ACCESS_KEY_ID", super::scene::DAEMON_KEY)
            .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let at = serin::admin::At::Socket(scene.path("serin.sock"));
        while serin::admin::get(&at, "/-/ready").await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let mut ended = None;
        for _ in 0..600 {
            ended = child.try_wait().unwrap();
            if ended.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if ended.is_none() {
            child.kill().unwrap();
        }
        child.wait().unwrap();
        assert_eq!(ended.and_then(|status| status.code()), Some(0), "it waits for its reader");
    });
}

#[test]
fn a_stop_while_a_write_hangs_reads_back_what_became_of_it() {
    bounded(async {
        let scene = scene().await;
        let mut daemon = released(&scene).await;
        scene.lab.set_control_plane_fault("ModifyListener", Some(ControlPlaneFault::HangAfterEffect));
        scene.lab.service("green").set_fault(Fault::Outage);
        daemon.event("write_sent").await;
        let (status, took) = daemon.terminate().await;
        assert_eq!(status.code(), Some(0), "{}", daemon.log());
        assert!(took < Duration::from_secs(20), "{took:?}");
        assert_eq!(daemon.events("confirmed").len(), 1, "{}", daemon.output());
        assert_eq!((scene.writes(), scene.serving().await), ((1, 1), vec!["blue".to_owned()]));
        // The proof is still owed: the next start gives it, without another write.
        scene.lab.set_control_plane_fault("ModifyListener", None);
        settles_with_one_write(&scene).await;
    });
}

/// After a restart the release is verified or held, and never written a second time.
async fn settles_with_one_write(scene: &Scene) {
    let daemon = Daemon::start(scene);
    daemon
        .until("verified or held", async || {
            !daemon.events("verified").is_empty() || !daemon.events("held").is_empty()
        })
        .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(scene.writes().1, 1, "never a second effective write: {}", daemon.output());
    assert_eq!(scene.serving().await, ["blue"]);
}

#[test]
fn killed_after_the_write_it_proves_after_the_restart_and_writes_no_second_time() {
    bounded(async {
        let scene = scene().await;
        let mut daemon = released(&scene).await;
        scene.lab.set_control_plane_fault("ModifyListener", Some(ControlPlaneFault::HangAfterEffect));
        scene.lab.service("green").set_fault(Fault::Outage);
        daemon.until("the write arrived", async || scene.writes().0 == 1).await;
        daemon.kill().await;
        settles_with_one_write(&scene).await;
    });
}

#[test]
fn killed_before_the_write_it_needs_a_verdict_of_its_own_after_the_restart() {
    bounded(async {
        let scene = scene().await;
        let mut daemon = released(&scene).await;
        scene.lab.set_control_plane_fault("ModifyListener", Some(ControlPlaneFault::HangBeforeEffect));
        scene.lab.service("green").set_fault(Fault::Outage);
        daemon.event("write_sent").await;
        daemon.kill().await;
        scene.lab.set_control_plane_fault("ModifyListener", None);
        settles_with_one_write(&scene).await;
        let ledger = ledger(&scene.path("evidence"), "checkout");
        let breaches = ledger.iter().filter(|line| line["event"] == "breach").count();
        assert_eq!(breaches, 2, "one before the kill, one after it");
    });
}

#[test]
fn what_a_killed_daemon_left_behind_does_not_keep_the_next_from_starting() {
    bounded(async {
        let scene = scene().await;
        let mut daemon = Daemon::armed(&scene).await;
        daemon.kill().await;
        assert!(scene.path("serin.sock").exists(), "the socket's file is stale");
        let mut next = Daemon::armed(&scene).await;
        assert_eq!(next.terminate().await.0.code(), Some(0));
    });
}

#[test]
fn a_document_in_a_variable_and_a_variable_over_it_are_obeyed() {
    bounded(async {
        let mut scene = scene().await;
        scene.env =
            vec![("SERIN_CONFIG".into(), scene.text()), ("SERIN__JUDGE__GRACE".into(), "1500ms".into())];
        let daemon =
            Daemon::start_by(&scene, serin(&["run", "--config", "env:SERIN_CONFIG", "--mode", "observe"]));
        assert_eq!(daemon.event("started").await["mode"], "observe", "the flag is above the document");
        daemon.until("probing", async || daemon.get("/-/ready").await.is_ok()).await;
        let mut check = serin(&["check", "--config", "env:SERIN_CONFIG", "--json"]);
        check.envs(scene.env.iter().map(|(name, value)| (name, value)));
        let (code, out, _) = super::child::outcome(check).await;
        assert_eq!(code, 0);
        assert!(out.contains("1500ms"), "{out}");
    });
}

#[test]
fn a_folder_with_two_services_runs_both_each_with_its_own_ledger() {
    bounded(async {
        let mut scene = scene().await;
        let folder = scene.path("services");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("checkout.toml"), scene.text()).unwrap();
        scene.config.service = "cart".into();
        scene.config.mode = "observe";
        scene.config.lever = String::new();
        let cart = scene.text();
        std::fs::write(folder.join("cart.toml"), cart.split("[admin]").next().unwrap()).unwrap();
        let mut daemon = Daemon::start_by(&scene, serin(&["run", "--config", folder.to_str().unwrap()]));
        daemon.logged("the admin listener is up").await;
        daemon
            .until("both", async || {
                let status = daemon.status().await;
                ["cart", "checkout"].iter().all(|name| status["services"][name]["probing"] == true)
            })
            .await;
        assert_eq!(daemon.terminate().await.0.code(), Some(0));
        for service in ["cart", "checkout"] {
            assert!(ledger(&scene.path("evidence"), service).iter().all(|line| line["service"] == service));
        }
    });
}

#[test]
fn a_service_without_a_lever_is_judged_and_told_all_the_same() {
    bounded(async {
        let mut scene = scene().await;
        scene.config.mode = "observe";
        scene.config.lever = String::new();
        let daemon = Daemon::start(&scene);
        daemon.event("verdict").await;
        scene.lab.service("blue").set_fault(Fault::Outage);
        // A machine with other work makes it blind first.
        let bad = async || daemon.events("paged").iter().any(|page| page["kind"] == "bad");
        daemon.until("a page of a breach", bad).await;
    });
}

/// Where messages go: it hangs until it is told to answer, and keeps what it answered to.
async fn hanging(answers: &'static AtomicBool, told: &'static Mutex<Vec<String>>) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut got = vec![0; 65_536];
                let mut length = 0;
                while !answers.load(Ordering::SeqCst) || !got[..length].ends_with(b"}") {
                    let more = stream.read(&mut got[length..]);
                    match tokio::time::timeout(Duration::from_millis(50), more).await {
                        Ok(Ok(more)) if more > 0 => length += more,
                        Ok(_) => return,
                        Err(_) => {}
                    }
                }
                told.lock().unwrap().push(String::from_utf8_lossy(&got[..length]).into_owned());
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            });
        }
    });
    address
}

#[test]
fn a_page_that_was_under_way_when_the_process_died_is_told_again() {
    static ANSWERS: AtomicBool = AtomicBool::new(false);
    static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());
    bounded(async {
        let mut scene = Scene::new(LabOptions::default()).await;
        let address = hanging(&ANSWERS, &TOLD).await;
        scene.config.more = format!("[publish.webhook]\nurl = \"http://{address}/\"\ntimeout = \"10s\"\n");
        let mut daemon = released(&scene).await;
        scene.lab.service("green").set_fault(Fault::Outage);
        daemon.event("verified").await;
        daemon.kill().await;
        assert!(TOLD.lock().unwrap().is_empty(), "nobody was told");
        ANSWERS.store(true, Ordering::SeqCst);
        let mut daemon = Daemon::start(&scene);
        let told = || {
            TOLD.lock().unwrap().iter().filter(|got| got.contains("again, because the process died")).count()
        };
        daemon.until("both pages are told", async || told() >= 2).await;
        let kinds =
            |kind: &str| TOLD.lock().unwrap().iter().any(|got| got.contains(&format!("\"kind\":\"{kind}\"")));
        assert!(kinds("breach") && kinds("reverted"), "{:?}", TOLD.lock().unwrap());
        // What a process has told that stops by itself isn't told again.
        daemon.terminate().await;
        TOLD.lock().unwrap().clear();
        let daemon = Daemon::start(&scene);
        daemon.until("it is up", async || daemon.get("/metrics").await.is_ok()).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(told(), 0, "{:?}", TOLD.lock().unwrap());
    });
}
