//! Many releases under several policies, and what came of them.

use super::story::{Kind, Story, Usual};
use super::{Played, Rules, play};
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What came of one scenario under one policy.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// As it was asked for.
    pub scenario: String,
    /// Its name.
    pub policy: String,
    /// How many releases were played.
    pub releases: u64,
    /// How many were reverted.
    pub reverted: u64,
    /// Reverting was wrong: the release was good; `None` for a recording, of which nobody has said.
    pub wrong: Option<u64>,
    /// A bad release was kept; `None` as above.
    pub missed: Option<u64>,
    /// From the onset to the judge's word.
    pub detected: Option<Summary>,
    /// From the onset to the write.
    pub acted: Option<Summary>,
    /// The first sentence that the judge gave.
    pub why: Option<String>,
    /// What kept the guard from acting.
    pub refused: Vec<String>,
}

/// Seconds from the onset.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Half of the releases are at or under it.
    pub median: f64,
    /// 99 of 100 are.
    pub p99: f64,
}

impl Summary {
    /// By nearest rank.
    fn of(mut seconds: Vec<f64>) -> Option<Self> {
        seconds.sort_by(f64::total_cmp);
        let rank =
            |percent: usize| seconds.get((seconds.len() * percent).div_ceil(100).checked_sub(1)?).copied();
        Some(Self { median: rank(50)?, p99: rank(99)? })
    }
}

impl Row {
    /// Sums up `played`; `good`: whether to revert it is wrong.
    #[must_use]
    pub fn of(
        scenario: String,
        policy: String,
        played: &[Played],
        onset: Duration,
        good: Option<bool>,
    ) -> Self {
        let count = |n: usize| n as u64;
        let reverted = count(played.iter().filter(|played| played.acted.is_some()).count());
        let since = |at: Duration| at.saturating_sub(onset).as_secs_f64();
        let mut refused: Vec<String> = played.iter().flat_map(|played| played.refused.clone()).collect();
        refused.sort_unstable();
        refused.dedup();
        Self {
            scenario,
            policy,
            releases: count(played.len()),
            reverted,
            wrong: good.map(|good| if good { reverted } else { 0 }),
            missed: good.map(|good| if good { 0 } else { count(played.len()) - reverted }),
            detected: Summary::of(played.iter().filter_map(|played| played.bad.map(since)).collect()),
            acted: Summary::of(played.iter().filter_map(|played| played.acted.map(since)).collect()),
            why: played.iter().find_map(|played| played.why.clone()),
            refused,
        }
    }
}

/// Plays `releases` releases of a story, on every core, and gives them in the order of their seeds.
fn played(rules: &Rules, story: Story, usual: Usual, releases: u64, seed: u64) -> Vec<Played> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= releases {
                return done;
            }
            let mut source = story.tell(usual, seed.wrapping_add(index));
            done.push((index, play(rules, &mut source)));
        }
    };
    let mut all: Vec<(u64, Played)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    });
    all.sort_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, played)| played).collect()
}

/// One row a story and policy; `tell` is told of each as it is done, with its first release.
pub fn rows(
    policies: &[(String, Rules)],
    stories: &[Story],
    usual: Usual,
    (releases, seed): (u64, u64),
    mut tell: impl FnMut(&Row, &Played),
) -> Vec<Row> {
    let mut rows = Vec::new();
    for story in stories {
        for (name, rules) in policies {
            let played = played(rules, *story, usual, releases, seed);
            // A story that promises to break nothing is a good one.
            let good = story.kind.is_good() || matches!(story.kind, Kind::Slow(factor) if factor <= 1.0);
            let row = Row::of(story.kind.to_string(), name.clone(), &played, story.onset, Some(good));
            if let Some(first) = played.first() {
                tell(&row, first);
            }
            rows.push(row);
        }
    }
    rows
}
