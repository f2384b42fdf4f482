//! How long a revert takes, step by step, of the real program on the lab: `cargo bench --bench reaction [-- ROUNDS]`.
//!
//! Each round starts a lab and a `serin run`, cuts over to a good green, breaks it (or begins with a broken one), and reads the times off
//! the ledger, the lab's journal of calls, and what users of the lab got. All of them are of one clock, `CLOCK_MONOTONIC` of this machine.
//! Rounds of all cells take turns. The second cell has 50 ms added to each call of AWS; the third has 10 ms added to each sync of the disk besides,
//! by `strace`, which stops the program at nothing else; without it there is no such cell.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "an experiment that prints, on the fixtures of tests"
)]

// What the daemon's tests have beside is theirs.
#[allow(dead_code, reason = "what only the tests need")]
#[path = "../tests/daemon/child.rs"]
mod child;
#[allow(dead_code, reason = "what only the tests need")]
#[path = "../tests/daemon/scene.rs"]
mod scene;

use child::{Daemon, serin};
use scene::Scene;
use serde_json::Value;
use serin::lab::{Call, ControlPlaneFault, Fault, LabOptions, UserOptions};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// The program that is measured.
fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_serin").into()
}

const CALLS: [&str; 5] =
    ["DescribeListeners", "DescribeTags", "DescribeTargetHealth", "DescribeTargetGroups", "ModifyListener"];

/// One way to break a release.
#[derive(Clone, Copy)]
struct Cell {
    name: &'static str,
    /// Added to each call of AWS.
    delay: Duration,
    /// Each sync of the disk takes [`SYNC_US`] longer.
    slow_disk: bool,
    /// Green answers nothing but errors from its first answer on.
    at_once: bool,
}

const SYNC_US: u32 = 10_000;
const AWS: Duration = Duration::from_millis(50);

const CELLS: [Cell; 4] = [
    Cell { name: "outage after the grace", delay: Duration::ZERO, slow_disk: false, at_once: false },
    Cell { name: "the same, 50 ms a call", delay: AWS, slow_disk: false, at_once: false },
    Cell { name: "50 ms a call, 10 ms a sync", delay: AWS, slow_disk: true, at_once: false },
    Cell { name: "broken from the first second", delay: Duration::ZERO, slow_disk: false, at_once: true },
];

/// Milliseconds of one round, by name.
const FIGURES: [&str; 6] = [
    "fault → last bad answer to a user",
    "fault → breach",
    "breach → re-read on the wire",
    "re-read answered → write on the wire",
    "breach → accepted",
    "accepted → proved",
];

fn main() {
    let rounds = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(10);
    let can_trace = std::process::Command::new("strace").arg("-V").output().is_ok();
    let cells: Vec<Cell> = CELLS.into_iter().filter(|cell| can_trace || !cell.slow_disk).collect();
    let mut all: Vec<[Vec<f64>; 6]> = cells.iter().map(|_| Default::default()).collect();
    for _ in 0..rounds {
        for (cell, figures) in cells.iter().zip(&mut all) {
            let mut round = [0.0; 6];
            scene::bounded(async { round = play(*cell).await });
            for (figure, value) in figures.iter_mut().zip(round) {
                figure.push(value);
            }
        }
    }
    print(&cells, &all, rounds);
}

/// The same program, each of whose syncs takes longer.
fn with_slow_disk(command: &Command) -> Command {
    let command = command.as_std();
    let mut traced = Command::new("strace");
    traced.args(["-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]);
    traced.args(["-e", &format!("inject=fsync,fdatasync:delay_enter={SYNC_US}")]);
    traced.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => traced.env(name, value),
            None => traced.env_remove(name),
        };
    }
    traced.stdin(Stdio::null()).kill_on_drop(true);
    traced
}

async fn play(cell: Cell) -> [f64; 6] {
    let scene = Scene::new(LabOptions::default()).await;
    let config = scene.path("serin.toml");
    std::fs::write(&config, scene.text()).unwrap();
    let command = serin(&["run", "--config", config.to_str().unwrap()]);
    let command = if cell.slow_disk { with_slow_disk(&command) } else { command };
    let daemon = Daemon::start_by(&scene, command);
    daemon.until_armed().await;
    if !cell.delay.is_zero() {
        for call in CALLS {
            scene.lab.set_control_plane_fault(call, Some(ControlPlaneFault::Delay(cell.delay)));
        }
    }
    let users = scene.lab.users(UserOptions::default());
    let green = scene.lab.service("green");
    let fault;
    if cell.at_once {
        green.set_fault(Fault::Outage);
        scene.cut_over().await;
        fault = serin::clock::now();
    } else {
        scene.cut_over().await;
        daemon.event("release").await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        fault = serin::clock::now();
        green.set_fault(Fault::Outage);
    }
    let proved = mono(&daemon.event("verified").await);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let last_bad = users.stop().await.last_bad.map_or(fault.0, |at| at.0);
    let breach = mono(&daemon.event("breach").await);
    let accepted = mono(&daemon.event("wrote").await);
    let calls = scene.lab.calls();
    let after = |action: &str, from: u64| {
        let found = calls.iter().find(|one| one.action == action && one.at.0 >= from);
        found.map_or(from, arrived(cell.delay))
    };
    let reread = after("DescribeListeners", breach);
    let intent = mono(&daemon.event("intent").await);
    // The read directly before the write is the first behind the intent; the lab answers when its delay is over.
    let before_write = after("DescribeListeners", intent) + cell.delay.as_nanos() as u64;
    let write = after("ModifyListener", breach);
    let ms = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1e6;
    [
        ms(fault.0, last_bad),
        ms(fault.0, breach),
        ms(breach, reread),
        ms(before_write, write),
        ms(breach, accepted),
        ms(accepted, proved),
    ]
}

/// When a call arrived: the lab writes it down when its delay is over.
fn arrived(delay: Duration) -> impl Fn(&Call) -> u64 {
    move |call| call.at.0 - delay.as_nanos() as u64
}

fn mono(record: &Value) -> u64 {
    record["mono"].as_u64().expect("every line of the ledger has its time")
}

fn print(cells: &[Cell], all: &[[Vec<f64>; 6]], rounds: usize) {
    let names: Vec<&str> = cells.iter().map(|cell| cell.name).collect();
    println!("| ms, median, p99 (greatest) of {rounds} | {} |", names.join(" | "));
    println!("|---|{}", "---|".repeat(cells.len()));
    for (index, name) in FIGURES.iter().enumerate() {
        let each = all.iter().map(|figures| {
            let mut values = figures[index].clone();
            values.sort_by(f64::total_cmp);
            // By nearest rank: of fewer than a hundred it is the greatest.
            let p99 = values[(values.len() * 99).div_ceil(100) - 1];
            format!("{:.1}, {p99:.1} ({:.1})", values[values.len() / 2], values.last().unwrap())
        });
        println!("| {name} | {} |", each.collect::<Vec<_>>().join(" | "));
    }
}
