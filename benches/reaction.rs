//! How long a revert takes, step by step, of the real program on the lab: `cargo bench --bench reaction [-- ROUNDS]`.
//!
//! Each round starts a lab and a `serin run`, cuts over to a good green, breaks it (or begins with a broken one), and reads the times off
//! the ledger, the lab's journal of calls, and what users of the lab got. All of them are of one clock, `CLOCK_MONOTONIC` of this machine.
//! Rounds of all cells take turns. The second row has 50 ms added to each call of AWS.

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

use child::Daemon;
use scene::Scene;
use serde_json::Value;
use serin::lab::{Call, ControlPlaneFault, Fault, LabOptions, UserOptions};
use std::path::PathBuf;
use std::time::Duration;

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
    /// Green answers nothing but errors from its first answer on.
    at_once: bool,
}

const CELLS: [Cell; 3] = [
    Cell { name: "outage after the grace", delay: Duration::ZERO, at_once: false },
    Cell { name: "the same, 50 ms a call", delay: Duration::from_millis(50), at_once: false },
    Cell { name: "broken from the first second", delay: Duration::ZERO, at_once: true },
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
    let mut all: Vec<[Vec<f64>; 6]> = CELLS.map(|_| Default::default()).into();
    for _ in 0..rounds {
        for (cell, figures) in CELLS.iter().zip(&mut all) {
            let mut round = [0.0; 6];
            scene::bounded(async { round = play(*cell).await });
            for (figure, value) in figures.iter_mut().zip(round) {
                figure.push(value);
            }
        }
    }
    print(&all, rounds);
}

async fn play(cell: Cell) -> [f64; 6] {
    let scene = Scene::new(LabOptions::default()).await;
    let daemon = Daemon::armed(&scene).await;
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

fn print(all: &[[Vec<f64>; 6]], rounds: usize) {
    println!("| ms, median (greatest) of {rounds} | {} |", CELLS.map(|cell| cell.name).join(" | "));
    println!("|---|{}", "---|".repeat(CELLS.len()));
    for (index, name) in FIGURES.iter().enumerate() {
        let each = all.iter().map(|figures| {
            let mut values = figures[index].clone();
            values.sort_by(f64::total_cmp);
            format!("{:.1} ({:.1})", values[values.len() / 2], values.last().unwrap())
        });
        println!("| {name} | {} |", each.collect::<Vec<_>>().join(" | "));
    }
}
