//! The error budget of a service over 30 days, and how quickly it burns: answers and bad answers, by the hour.
//!
//! Hours are the wall clock's, because they have to outlive a restart. But a wall clock may be set, and what was counted must
//! neither be lost by that nor count twice. So a bin's age is what is kept, not its name:
//!
//! - a jump of an hour or more while running (told by the monotonic clock, which never jumps) renames every bin by as many
//!   hours, in either direction, be it years;
//! - a smaller one is followed; while the clock repeats an hour, its answers go into the newest bin;
//! - bins from the future, as after a restart with a clock that was set back, are renamed so that the newest is of this hour.
//!
//! A machine that slept for hours looks like a jump: its bins stay so much longer.

use crate::delta::Second;
use crate::sample::Purpose;
use crate::time::{Mono, Wall};
use std::collections::BTreeMap;

/// What the budget is over, hours: 30 days.
pub const HOURS: i64 = 720;
/// What the burn rate is told over, hours: an hour, six, and three days.
pub const WINDOWS: [i64; 3] = [1, 6, 72];
/// The names of [`WINDOWS`], as published.
pub const WINDOW_NAMES: [&str; 3] = ["1h", "6h", "3d"];

const HOUR_MS: i64 = 3_600_000;

/// What one hour of the production path came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bin {
    /// The hour, counted from 1970 UTC.
    pub hour: i64,
    /// Answers and failures that are the service's; what our own doing spoiled is none.
    pub answers: u64,
    /// Those that broke the promise of availability, at most `answers`.
    pub bad: u64,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct ErrorBudget {
    /// The share of answers that may be bad, 0.0 < share < 1.0.
    allowed: f64,
    /// By hour; only hours with answers, at most [`HOURS`] and one.
    bins: BTreeMap<i64, Bin>,
    /// Both clocks, when it was told of them last.
    clocks: Option<(Mono, Wall)>,
}

/// How the budget stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BudgetFigures {
    /// The share of the 30 days' budget that is left: 1.0 is all; negative when more was spent than there was. `None` without
    /// answers.
    pub remaining: Option<f64>,
    /// The share of bad answers over each of [`WINDOWS`], in shares that are allowed: at 1.0 the budget lasts for exactly 30
    /// days. `None` without answers in it.
    pub burn: [Option<f64>; 3],
    /// The beginning of the oldest hour that counts; `None` without answers.
    pub since: Option<Wall>,
}

impl ErrorBudget {
    /// Another share of answers may be bad from now on, 0.0 < share < 1.0: of what was answered before, too.
    pub const fn allow(&mut self, allowed: f64) {
        self.allowed = allowed;
    }

    /// One of which nothing is spent. `allowed` is the share of answers that may be bad, 0.0 < share < 1.0.
    #[must_use]
    pub const fn new(allowed: f64) -> Self {
        Self { allowed, bins: BTreeMap::new(), clocks: None }
    }

    /// One with what was kept over a restart; hours that stand twice are added up.
    #[must_use]
    pub fn restored(allowed: f64, kept: &[Bin], mono: Mono, wall: Wall) -> Self {
        let mut budget = Self::new(allowed);
        for bin in kept {
            budget.at(bin.hour).add(bin.answers, bin.bad);
        }
        // Nothing tells how long it was down but the wall clock itself; only a future can't be.
        budget.rename(hour_of(wall).saturating_sub(budget.newest().unwrap_or(i64::MIN)).min(0));
        budget.advance(mono, wall);
        budget
    }

    /// Takes what one second of probing came to, told at `mono` and `wall`.
    pub fn take(&mut self, second: &Second, mono: Mono, wall: Wall) {
        let production = || second.deltas.iter().filter(|delta| delta.purpose == Some(Purpose::Production));
        let sum =
            |count: fn(&crate::delta::Delta) -> u32| production().map(|delta| u64::from(count(delta))).sum();
        self.add(sum(|delta| delta.answers), sum(|delta| delta.bad), mono, wall);
    }

    /// Takes `answers`, of which `bad` were bad (more than `answers` count as that), told at `mono` and `wall`.
    pub fn add(&mut self, answers: u64, bad: u64, mono: Mono, wall: Wall) {
        self.advance(mono, wall);
        if answers > 0 {
            let hour = self.now(wall);
            self.at(hour).add(answers, bad.min(answers));
        }
    }

    /// How it stands at `wall`.
    #[must_use]
    pub fn figures(&self, wall: Wall) -> BudgetFigures {
        let hour = self.now(wall);
        // The hour that runs and the 719 before it.
        let month = || self.bins.range(hour - HOURS + 1..).map(|(_, bin)| bin);
        let (answers, bad) = month()
            .fold((0.0, 0.0), |(answers, bad), bin| (answers + count(bin.answers), bad + count(bin.bad)));
        BudgetFigures {
            remaining: (answers > 0.0).then(|| 1.0 - bad / (self.allowed * answers)),
            burn: WINDOWS.map(|hours| self.burn(hours, hour, wall)),
            since: month().next().map(|bin| Wall(bin.hour.saturating_mul(HOUR_MS))),
        }
    }

    /// Of the hour in which the window begins, the part within it counts, as if its answers had come evenly.
    fn burn(&self, hours: i64, hour: i64, wall: Wall) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "less than an hour of milliseconds")]
        let into =
            wall.0.saturating_sub(hour.saturating_mul(HOUR_MS)).clamp(0, HOUR_MS) as f64 / HOUR_MS as f64;
        let (mut answers, mut bad) = (0.0, 0.0);
        for bin in self.bins.range(hour - hours..).map(|(_, bin)| bin) {
            let part = if bin.hour == hour - hours { 1.0 - into } else { 1.0 };
            answers += part * count(bin.answers);
            bad += part * count(bin.bad);
        }
        (answers > 0.0).then(|| bad / answers / self.allowed)
    }

    /// What has to outlive a restart, oldest first.
    pub fn bins(&self) -> impl Iterator<Item = Bin> + '_ {
        self.bins.values().copied()
    }

    /// Follows the clocks: renames what a jump has made wrong, and lets go of what is older than 30 days.
    fn advance(&mut self, mono: Mono, wall: Wall) {
        if let Some((before, was)) = self.clocks {
            let passed = i64::try_from(mono.since(before).as_millis()).unwrap_or(i64::MAX);
            let jump = wall.0.saturating_sub(was.0.saturating_add(passed));
            if jump.unsigned_abs() >= HOUR_MS.unsigned_abs() {
                self.rename(jump.saturating_add(HOUR_MS / 2).div_euclid(HOUR_MS));
            }
        }
        self.clocks = Some((mono, wall));
        // Many small steps back add up: no more than the hour that is to come is ever ahead.
        let ahead = self.newest().map_or(0, |newest| newest.saturating_sub(hour_of(wall)));
        if ahead > 1 {
            self.rename(-ahead);
        }
        let oldest = self.now(wall) - HOURS + 1;
        while self.bins.first_key_value().is_some_and(|(hour, _)| *hour < oldest) {
            self.bins.pop_first();
        }
    }

    fn rename(&mut self, hours: i64) {
        if hours != 0 {
            for mut bin in std::mem::take(&mut self.bins).into_values() {
                bin.hour = bin.hour.saturating_add(hours);
                self.at(bin.hour).add(bin.answers, bin.bad);
            }
        }
    }

    fn at(&mut self, hour: i64) -> &mut Bin {
        self.bins.entry(hour).or_insert(Bin { hour, answers: 0, bad: 0 })
    }

    fn newest(&self) -> Option<i64> {
        self.bins.last_key_value().map(|(hour, _)| *hour)
    }

    /// The hour that runs. While the clock repeats one, that is the newest.
    fn now(&self, wall: Wall) -> i64 {
        hour_of(wall).max(self.newest().unwrap_or(i64::MIN))
    }
}

impl Bin {
    fn add(&mut self, answers: u64, bad: u64) {
        self.answers = self.answers.saturating_add(answers);
        self.bad = self.bad.saturating_add(bad);
    }
}

fn hour_of(wall: Wall) -> i64 {
    wall.0.div_euclid(HOUR_MS)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53 in 30 days; beyond, the share is as good")]
const fn count(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
