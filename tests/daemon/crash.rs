//! `kill -9` at every place of the acting path, from the breach to the proof: a daemon is run once to learn which places there are (each
//! await before it begins, whenever it has to wait, and after it; between any two things that the guard asks for; around each write to the
//! ledger and in the middle of it), and then once for each of them. Restarted, it must end as the ledger says: blue serves again by one
//! write that had an effect, proved; or nothing was written, and it is held.
//!
//! It is part of the library's own tests, since the places are in no other build: `src/failpoint.rs`.

#![expect(clippy::print_stdout, reason = "what became of each place, for whoever asks for it")]

// What the daemon's tests have beside is theirs.
#[allow(dead_code, reason = "what only the daemon's tests need")]
#[path = "child.rs"]
mod child;
#[allow(dead_code, reason = "what only the daemon's tests need")]
#[path = "scene.rs"]
mod scene;

use child::{Daemon, ledger, serin};
use futures_util::stream::{self, StreamExt};
use scene::{DAEMON_KEY, Scene};
use serde_json::Value;
use serin::lab::{Fault, LabOptions};
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The test that is the daemon, in a process of its own.
const DAEMON: &str = "cli::crash::a_daemon_that_is_killed";
/// So many stories at a time: they wait most of the time.
const AT_ONCE: usize = 8;
/// What the ledger says of a revert, in this order.
const EVENTS: [&str; 7] = ["breach", "intent", "write_sent", "wrote", "confirmed", "verified", "held"];
/// A story is over within this.
const STORY: Duration = Duration::from_mins(1);

/// This program: it is the daemon too.
fn program() -> PathBuf {
    std::env::current_exe().unwrap()
}

#[test]
#[ignore = "started by killed_anywhere_on_the_acting_path_it_ends_reverted_or_held"]
fn a_daemon_that_is_killed() {
    // Somebody who runs all that is ignored starts no daemon by it.
    let Some(config) = std::env::var_os("SERIN_TEST_CONFIG") else { return };
    let ended = super::main_of(["serin".into(), "run".into(), "--config".into(), config]);
    assert_eq!(ended, std::process::ExitCode::SUCCESS);
}

#[test]
fn killed_anywhere_on_the_acting_path_it_ends_reverted_or_held() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let faults = runtime.block_on(async {
        let places = places().await;
        let bounded = async |place: &String| {
            let told = tokio::time::timeout(STORY, story(place)).await;
            (place.clone(), told.unwrap_or_else(|_| Err("it has no end".into())))
        };
        let stories = stream::iter(&places).map(bounded).buffer_unordered(AT_ONCE);
        let ends: Vec<_> = stories.collect().await;
        // How often an answer lets itself be waited for isn't the same in each run; everything else is passed each time.
        let missed = ends.iter().filter(|(_, end)| end == &Ok(End::NotKilled)).count();
        println!("{} places, {missed} of them not come by again", places.len());
        for (place, end) in &ends {
            println!("{place}: {end:?}");
        }
        assert!(missed * 5 < places.len(), "{missed} of {}", places.len());
        ends.into_iter()
            .filter_map(|(place, end)| match end {
                Err(why) => Some(format!("{place}: {why}")),
                Ok(End::NotKilled) if !place.contains("/pending.") => Some(format!("{place}: never came by")),
                Ok(_) => None,
            })
            .collect::<Vec<_>>()
    });
    runtime.shutdown_timeout(Duration::from_secs(2));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// How a story ended, if it ended as it may.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// Blue serves by one write of ours, and that is proved.
    Reverted,
    /// Nothing was written, and a person is asked.
    Held,
    /// It never came by the place.
    NotKilled,
}

/// The places of the acting path, by a run that nobody kills.
async fn places() -> Vec<String> {
    let scene = scene().await;
    let list = scene.path("places");
    let daemon = start(&scene, &[("SERIN_TEST_PLACES", list.to_str().unwrap())]);
    break_green(&scene, &daemon).await;
    daemon.event("held").await;
    daemon.until("the end is on disk", async || end_is_noted(&list)).await;
    let text = std::fs::read_to_string(&list).unwrap();
    let places: BTreeSet<String> = text.lines().filter(|place| is_acting(place)).map(str::to_owned).collect();
    for (what, least) in [
        ("/ModifyListener/", 3),
        ("/DescribeListeners/", 4),
        ("/DescribeTags/", 4),
        ("/DescribeTargetHealth/", 4),
        // A disk that is done before it is asked lets nobody wait.
        ("/persist/", 2),
        ("/torn", EVENTS.len()),
        ("/synced", EVENTS.len()),
        ("/route.", 10),
        ("verify_data/", 3),
    ] {
        let count = places.iter().filter(|place| place.contains(what)).count();
        assert!(count >= least, "{count} places of {what}, at least {least}: {places:#?}");
    }
    places.into_iter().collect()
}

fn end_is_noted(list: &Path) -> bool {
    std::fs::read_to_string(list).is_ok_and(|text| text.contains("ledger/held/synced"))
}

/// From the breach on. Once the release is held, what is noted of the end counts, not the reads of the peace after it.
fn is_acting(place: &str) -> bool {
    match place.split_once('/') {
        Some(("preflight" | "intent" | "acting" | "verify_api" | "verify_data", _)) => true,
        Some(("hold", what)) => what.starts_with("route."),
        Some(("ledger", what)) => what.split_once('/').is_some_and(|(event, _)| EVENTS.contains(&event)),
        _ => false,
    }
}

async fn scene() -> Scene {
    let mut scene = Scene::new(LabOptions::default()).await;
    scene.config.settle = "500ms";
    scene
}

fn start(scene: &Scene, env: &[(&str, &str)]) -> Daemon {
    let config = scene.path("serin.toml");
    std::fs::write(&config, scene.text()).unwrap();
    let mut command = serin(&["--exact", DAEMON, "--ignored", "--nocapture", "--quiet"]);
    command.env("SERIN_TEST_CONFIG", &config).envs(env.iter().copied());
    Daemon::start_by(scene, command)
}

/// A release that is broken once it was seen.
async fn break_green(scene: &Scene, daemon: &Daemon) {
    daemon.until_armed().await;
    scene.cut_over().await;
    daemon.event("release").await;
    scene.lab.service("green").set_fault(Fault::Outage);
}

/// One release, killed at `place`, and what the next start makes of it.
async fn story(place: &str) -> Result<End, String> {
    let scene = scene().await;
    let mut daemon = start(&scene, &[("SERIN_TEST_KILL_AT", place)]);
    break_green(&scene, &daemon).await;
    let status = tokio::select! {
        status = daemon.ended() => status,
        () = goes_on(&scene) => return Ok(End::NotKilled),
    };
    if status.signal() != Some(9) {
        return Err(format!("it ended by itself: {status}"));
    }
    let (before, writes) = (scene.lab.calls().len(), scene.writes());
    let daemon = start(&scene, &[]);
    daemon.until("held", async || guard(&daemon, "state").await.is_some_and(|state| state == "hold")).await;
    // Whatever it would still do wrongly, it does within this.
    tokio::time::sleep(Duration::from_secs(1)).await;
    reads_before_it_writes(&scene, before)?;
    let end = end_of(&scene, &daemon).await;
    end.map_err(|why| format!("{why}; {writes:?} writes before the restart\n{}", daemon.output()))
}

/// It has put blue back, and a second later it still runs.
async fn goes_on(scene: &Scene) {
    let home = scene.path("evidence").join("checkout/ledger.jsonl");
    while !std::fs::read_to_string(&home).is_ok_and(|text| text.contains("\"event\":\"held\"")) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// Whether it ended in one of the ways that it may.
async fn end_of(scene: &Scene, daemon: &Daemon) -> Result<End, String> {
    let (sent, effective) = scene.writes();
    let serving = scene.serving().await;
    let lines = ledger(&scene.path("evidence"), "checkout");
    let proved = lines.iter().any(|line| line["event"] == "verified");
    let why = guard(daemon, "latched").await.unwrap_or_default();
    match (serving.join("+").as_str(), effective) {
        ("blue", 1) if proved && why == "reverted" => Ok(End::Reverted),
        ("green", 0) if sent == 0 && !why.is_empty() => Ok(End::Held),
        (serving, _) => Err(format!("{serving} serves after {effective} of {sent} writes, held: {why}")),
    }
}

/// One word of how the guard stands.
async fn guard(daemon: &Daemon, key: &str) -> Option<String> {
    let status: Value = serde_json::from_str(&daemon.get("/api/v1/status").await.ok()?).ok()?;
    Some(status["services"]["checkout"]["guard"][key].as_str()?.to_owned())
}

/// What is still to be written after a restart is never sent blindly.
fn reads_before_it_writes(scene: &Scene, before: usize) -> Result<(), String> {
    let calls = scene.lab.calls();
    let ours = calls[before..].iter().filter(|call| call.access_key.as_deref() == Some(DAEMON_KEY));
    let mut read = false;
    for call in ours {
        read |= call.action == "DescribeListeners";
        if call.action.starts_with("Modify") && !read {
            return Err("it wrote before it had read".into());
        }
    }
    Ok(())
}
