//! `serin drill`: on the lab, and on a running Serin with a hook of the user's.

use super::child::{Daemon, outcome, serin};
use super::scene::{Scene, bounded};
use serde_json::Value;
use serin::lab::{Fault, LabOptions};
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;

/// Notes each phase with what it was told, and waits until the test has done what was asked.
const HOOK: &str = "#!/bin/sh
echo \"$SERIN_DRILL_PHASE $SERIN_DRILL_SERVICE $SERIN_DRILL_OUTCOME $SERIN_DRILL_LISTENER\" >> \"$1/phases\"
echo \"the hook is asked for $SERIN_DRILL_PHASE\"
while [ ! -e \"$1/$SERIN_DRILL_PHASE\" ]; do sleep 0.02; done
read -r code < \"$1/$SERIN_DRILL_PHASE\"
exit \"$code\"
";

const STEPS: [&str; 8] =
    ["first_bad", "breach", "preflight", "intent", "revert_sent", "accepted", "confirmed", "verified"];

/// The drill of `scene`'s daemon, with these arguments beside.
fn drill(scene: &Scene, more: &[&str]) -> Command {
    let hook = scene.path("hook.sh");
    std::fs::write(&hook, HOOK).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (config, out) = (scene.path("serin.toml"), scene.path("drill"));
    let mut command = serin(&["drill", "--json", "--service", "checkout"]);
    command.arg("--config").arg(config).arg("--hook").arg(hook).arg("--out").arg(out).args(more);
    command.arg("--").arg(scene.folder.path());
    command
}

/// What the hook was asked for so far, with what it was told.
fn phases(scene: &Scene) -> Vec<String> {
    let text = std::fs::read_to_string(scene.path("phases")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The hook's phase ends with this exit code, now or when it is asked for.
fn ends(scene: &Scene, phase: &str, code: &str) {
    // A reader must never see a file without its text.
    std::fs::write(scene.path("new"), format!("{code}\n")).unwrap();
    std::fs::rename(scene.path("new"), scene.path(phase)).unwrap();
}

async fn asked(scene: &Scene, phase: &str) {
    while !phases(scene).iter().any(|line| line.starts_with(phase)) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Plays the user's pipeline and the saboteur's, as far as the drill asks.
async fn help(scene: &Scene) {
    ends(scene, "restore", "0");
    asked(scene, "cutover").await;
    scene.cut_over().await;
    ends(scene, "cutover", "0");
    asked(scene, "fault").await;
    scene.lab.service("green").set_fault(Fault::Outage);
    ends(scene, "fault", "0");
}

/// The drill with what goes on around it; one that ends early waits for nobody.
async fn played(command: Command, play: impl Future<Output = ()>) -> (i32, String, String) {
    let mut drill = std::pin::pin!(outcome(command));
    tokio::select! {
        done = &mut drill => done,
        () = play => drill.await,
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn words(value: &Value, key: &str) -> Vec<String> {
    let all = value.as_array().unwrap().iter();
    all.map(|one| one[key].as_str().unwrap_or_default().to_owned()).collect()
}

/// The account that `serin report` makes of a drill's folder.
async fn account(folder: &Path) -> Value {
    let (code, report, error) =
        outcome(serin(&["report", "--json", "--dir", folder.to_str().unwrap()])).await;
    assert_eq!(code, 0, "{error}");
    json(&report)
}

/// The evidence tells the same, is a drill's by its name, and its chain is whole.
async fn is_kept(folder: &Path, shown: &Value, outcome: &str) {
    let kept = json(&std::fs::read_to_string(folder.join("drill.json")).unwrap());
    assert_eq!(&kept, shown);
    let report = account(folder).await;
    assert_eq!((&report["outcome"], &report["chain"]["intact"]), (&outcome.into(), &true.into()), "{report}");
    assert_eq!(report["release_id"], format!("drill-{}", shown["drill"].as_str().unwrap()));
    assert_eq!(json(&std::fs::read_to_string(folder.join("report.json")).unwrap()), report);
    assert!(std::fs::read_to_string(folder.join("report.txt")).unwrap().contains("drill-"));
    is_drawn(folder, &report).await;
}

/// The same account as a page, into a new file only or to standard output.
async fn is_drawn(folder: &Path, report: &Value) {
    let (dir, path) = (folder.to_str().unwrap(), folder.join("report.html"));
    let to = |html: &str| serin(&["report", "--dir", dir, "--html", html]);
    let (code, text, error) = outcome(to(path.to_str().unwrap())).await;
    assert_eq!(code, 0, "{error}");
    assert!(text.contains("hash chain"), "the account is told as ever: {text}");
    let page = std::fs::read_to_string(&path).unwrap();
    for step in report["timeline"].as_array().unwrap() {
        let at = format!("{:+.3} s", step["ms"].as_f64().unwrap() / 1_000.0);
        assert!(page.contains(&at), "{step}: {page}");
    }
    assert!(page.contains("default-src 'none'") && page.contains(report["release_id"].as_str().unwrap()));
    let (code, _, error) = outcome(to(path.to_str().unwrap())).await;
    assert!(code == 1 && error.contains("report.html: it is there already; name a new file"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), page);
    let (code, shown, _) = outcome(to("-")).await;
    assert_eq!((code, shown), (0, page), "the same evidence makes the same bytes");
    let (code, _, error) = outcome(to(folder.join("none/page.html").to_str().unwrap())).await;
    assert!(code == 1 && error.contains("none/page.html: can't write it"), "{error}");
    let both = serin(&["report", "--dir", dir, "--html", "-", "--json"]);
    let (code, _, error) = outcome(both).await;
    assert!(code == 64 && error.contains("both want standard output"), "{error}");
}

/// Every step in its order, and their times make the whole.
fn is_measured(shown: &Value) {
    assert_eq!(words(&shown["steps"], "step"), STEPS, "{shown:#}");
    let times: Vec<f64> =
        shown["steps"].as_array().unwrap().iter().map(|step| step["ms"].as_f64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let total = shown["total_ms"].as_f64().unwrap();
    let parts: f64 = shown["durations"].as_object().unwrap().values().filter_map(Value::as_f64).sum();
    assert!((parts - total).abs() < 0.02 && times.last() == Some(&total), "{parts} of {total}: {times:?}");
    assert_eq!(shown["config_hash"], shown["daemon_config_hash"]);
}

#[test]
fn on_the_lab_a_revert_is_proved_within_two_seconds_and_kept() {
    bounded(async {
        let folder = tempfile::TempDir::new().unwrap();
        let out = folder.path().join("kept/here");
        let mut command = serin(&["drill", "--strict", "2s", "--json", "--out", out.to_str().unwrap()]);
        command.env("TMPDIR", folder.path());
        let (code, shown, error) = outcome(command).await;
        let shown = json(&shown);
        assert_eq!(
            (code, &shown["outcome"], &shown["passed"]),
            (0, &"reverted".into(), &true.into()),
            "{error} {shown:#}"
        );
        assert_eq!(
            (&shown["bound_ms"], &shown["strict"], &shown["lab"]),
            (&2_000.0.into(), &true.into(), &true.into())
        );
        is_measured(&shown);
        is_kept(&out, &shown, "reverted").await;
        // Whoever asked beside Serin saw no bad answer for longer than Serin says.
        assert!(
            shown["users"]["bad_for_ms"].as_f64().unwrap() <= shown["total_ms"].as_f64().unwrap(),
            "{shown:#}"
        );
    });
}

#[test]
fn a_bound_that_is_not_kept_fails() {
    bounded(async {
        let folder = tempfile::TempDir::new().unwrap();
        let mut command = serin(&["drill", "--within", "1ms"]);
        command.env("TMPDIR", folder.path());
        let (code, shown, error) = outcome(command).await;
        assert_eq!(code, 1, "{shown}");
        assert!(shown.contains("FAIL  reverted") && shown.contains(" of 1ms, "), "{shown}");
        assert!(error.starts_with("serin: 0.") && error.contains("over the bound of 1ms"), "{error}");
    });
}

#[test]
fn a_running_serin_is_drilled_by_a_hook_and_the_next_drill_is_refused() {
    bounded(async {
        let scene = Scene::new(LabOptions::default()).await;
        let _daemon = Daemon::armed(&scene).await;
        let (code, shown, error) = played(drill(&scene, &["--strict", "5s"]), help(&scene)).await;
        let shown = json(&shown);
        assert_eq!((code, &shown["passed"]), (0, &true.into()), "{error} {shown:#}");
        is_measured(&shown);
        is_kept(&scene.path("drill"), &shown, "reverted").await;
        assert_eq!(scene.serving().await, ["blue"]);
        let arn = scene.lab.listener_arn();
        let wanted = ["cutover checkout none", "fault checkout none", "restore checkout reverted"];
        assert_eq!(phases(&scene), wanted.map(|told| format!("{told} {arn}")));
        assert!(error.contains("the hook is asked for cutover"), "its output is on standard error: {error}");
        assert_eq!((&shown["after"]["latched"], &shown["restored"]), (&"reverted".into(), &true.into()));
        let next = shown["next"].to_string();
        assert!(next.contains("serin ack checkout") && next.contains("unprotected until"), "{next}");

        // Latched, and the budget is spent: nothing is begun.
        std::fs::rename(scene.path("drill"), scene.path("kept")).unwrap();
        let (code, shown, error) = outcome(drill(&scene, &[])).await;
        let shown = json(&shown);
        assert_eq!((code, &shown["outcome"], &shown["evidence"]), (1, &"not_ready".into(), &Value::Null));
        let reasons = shown["reasons"].to_string();
        assert!(reasons.contains("latched (reverted)") && reasons.contains("unprotected until"), "{reasons}");
        assert!(error.contains("nothing was done") && error.contains("latched (reverted)"), "{error}");
        assert_eq!(phases(&scene).len(), 3, "the hook was not called");
    });
}

#[test]
fn every_reason_against_a_drill_is_told_and_nothing_is_done() {
    bounded(async {
        let mut scene = Scene::new(LabOptions::default()).await;
        scene.config.settle = "10m";
        let mut daemon = Daemon::start(&scene);
        daemon.event("epoch").await;
        daemon.tell("{\"hold\":{\"reason\":\"dinner\"}}").await.unwrap();
        let (code, shown, error) = outcome(drill(&scene, &["--dry-run"])).await;
        let reasons = json(&shown)["reasons"].to_string();
        assert_eq!(code, 1, "{error}");
        for reason in ["its mode is act", "settling, not idle", "known-good: ", "an operator holds: dinner"] {
            assert!(reasons.contains(reason), "{reason} is not in {reasons}");
        }
        assert!(phases(&scene).is_empty() && !scene.path("drill").exists());
        assert!(!daemon.output().contains("release_begin"), "{}", daemon.output());
        daemon.kill().await;
        let (code, _, error) = outcome(drill(&scene, &[])).await;
        assert!(code == 1 && error.contains("no Serin answers at"), "{error}");
        std::fs::create_dir(scene.path("drill")).unwrap();
        let (code, _, error) = outcome(drill(&scene, &[])).await;
        assert!(code == 64 && error.contains("is there already"), "{error}");
    });
}

#[test]
fn a_hook_that_fails_ends_the_drill_and_restores() {
    bounded(async {
        let scene = Scene::new(LabOptions::default()).await;
        let _daemon = Daemon::armed(&scene).await;
        let play = async {
            ends(&scene, "fault", "3");
            ends(&scene, "restore", "4");
            asked(&scene, "cutover").await;
            scene.cut_over().await;
            ends(&scene, "cutover", "0");
        };
        let (code, shown, error) = played(drill(&scene, &[]), play).await;
        let shown = json(&shown);
        assert_eq!((code, &shown["outcome"], &shown["restored"]), (1, &"hook_failed".into(), &false.into()));
        assert!(error.contains("the hook's phase fault ended with exit code 3"), "{error}");
        assert!(error.contains("NOT RESTORED, the hook's phase restore ended with exit code 4"), "{error}");
        assert!(phases(&scene)[2].starts_with("restore checkout hook_failed"), "{:?}", phases(&scene));
        assert!(shown["next"].to_string().contains("requests go to green"), "{shown:#}");
        is_kept(&scene.path("drill"), &shown, "judging").await;
    });
}

#[test]
fn a_hook_that_hangs_is_ended_and_the_name_is_taken_back() {
    bounded(async {
        let scene = Scene::new(LabOptions::default()).await;
        let daemon = Daemon::armed(&scene).await;
        ends(&scene, "restore", "0");
        let elsewhere = format!("evidence.dir={}", scene.path("elsewhere").display());
        let (code, _, error) = outcome(drill(&scene, &["--set", &elsewhere])).await;
        assert!(code == 1 && error.contains("elsewhere/checkout can't be followed"), "{error}");
        assert!(phases(&scene).is_empty() && daemon.events("operator").is_empty(), "nothing was begun");
        let (code, shown, error) = outcome(drill(&scene, &["--hook-timeout", "500ms"])).await;
        let shown = json(&shown);
        assert_eq!((code, &shown["outcome"], &shown["restored"]), (1, &"hook_failed".into(), &true.into()));
        assert!(error.contains("the hook's phase cutover was still running after 500ms"), "{error}");
        assert_eq!(phases(&scene).len(), 2);
        let marks = daemon.events("operator");
        let labels: Vec<&Value> =
            marks.iter().map(|mark| &mark["command"]["release_begin"]["label"]).collect();
        assert!(
            labels.len() == 2 && labels[1].is_null(),
            "the next release is not called a drill: {labels:?}"
        );
    });
}

#[test]
fn a_daemon_that_stops_ends_the_drill_and_the_fault_is_taken_away() {
    bounded(async {
        let scene = Scene::new(LabOptions::default()).await;
        let mut daemon = Daemon::armed(&scene).await;
        let play = async {
            ends(&scene, "restore", "0");
            asked(&scene, "cutover").await;
            scene.cut_over().await;
            ends(&scene, "cutover", "0");
            asked(&scene, "fault").await;
            daemon.terminate().await;
            ends(&scene, "fault", "0");
        };
        let (code, shown, error) = played(drill(&scene, &[]), play).await;
        let shown = json(&shown);
        assert_eq!((code, &shown["outcome"], &shown["restored"]), (1, &"not_reverted".into(), &true.into()));
        assert!(error.contains("the daemon stopped (drained)"), "{error}");
        is_kept(&scene.path("drill"), &shown, "judging").await;
    });
}

#[test]
fn a_signal_ends_the_drill_and_restores() {
    bounded(async {
        let scene = Scene::new(LabOptions::default()).await;
        let _daemon = Daemon::armed(&scene).await;
        let mut command = drill(&scene, &[]);
        let child = command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
        asked(&scene, "cutover").await;
        scene.cut_over().await;
        ends(&scene, "cutover", "0");
        // In the middle of the hook, which would hang.
        asked(&scene, "fault").await;
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        asked(&scene, "restore").await;
        // The fault is taken away whatever comes meanwhile.
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        ends(&scene, "restore", "0");
        let ended = child.wait_with_output().await.unwrap();
        let shown = json(&String::from_utf8(ended.stdout).unwrap());
        assert_eq!(
            (ended.status.code(), &shown["outcome"], &shown["restored"]),
            (Some(1), &"interrupted".into(), &true.into())
        );
        assert!(phases(&scene)[2].starts_with("restore checkout interrupted"), "{:?}", phases(&scene));
    });
}

#[test]
fn in_observe_mode_only_a_dry_run_is_played_and_it_says_so() {
    bounded(async {
        let mut scene = Scene::new(LabOptions::default()).await;
        scene.config.mode = "observe";
        let daemon = Daemon::start(&scene);
        daemon.event("good").await;
        daemon
            .until("idle", async || daemon.status().await["services"]["checkout"]["guard"]["state"] == "idle")
            .await;
        let (code, _, error) = outcome(drill(&scene, &[])).await;
        assert!(code == 1 && error.contains("its mode is observe, not act: with --dry-run"), "{error}");
        let (code, shown, error) = played(drill(&scene, &["--dry-run"]), help(&scene)).await;
        let shown = json(&shown);
        assert_eq!(
            (code, error.lines().last().unwrap()),
            (2, "serin: dry run: nothing was written"),
            "{shown:#}"
        );
        assert_eq!((&shown["outcome"], &shown["passed"]), (&"would_revert".into(), &false.into()));
        assert_eq!(words(&shown["steps"], "step"), ["first_bad", "breach", "preflight", "would_revert"]);
        assert_eq!((scene.writes(), scene.serving().await), ((0, 0), vec!["green".to_owned()]));
        is_kept(&scene.path("drill"), &shown, "observed").await;
    });
}

#[test]
fn a_release_that_was_cut_over_by_hand_is_drilled_from_its_fault_on() {
    bounded(async {
        let scene = Scene::new(LabOptions::default()).await;
        let daemon = Daemon::armed(&scene).await;
        let (code, _, error) = outcome(drill(&scene, &["--no-cutover"])).await;
        assert!(code == 1 && error.contains("it is idle, not judging"), "{error}");
        scene.cut_over().await;
        daemon.event("release").await;
        // Blue was asked directly, and answers.
        daemon.until_armed().await;
        let play = async {
            ends(&scene, "restore", "0");
            asked(&scene, "fault").await;
            scene.lab.service("green").set_fault(Fault::Outage);
            ends(&scene, "fault", "0");
        };
        let (code, shown, error) = played(drill(&scene, &["--no-cutover"]), play).await;
        let shown = json(&shown);
        assert_eq!((code, &shown["passed"]), (0, &true.into()), "{error} {shown:#}");
        assert!(phases(&scene)[0].starts_with("fault") && phases(&scene).len() == 2);
        is_measured(&shown);
        is_kept(&scene.path("drill"), &shown, "reverted").await;
    });
}
