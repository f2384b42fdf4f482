//! The forward chain of one design: the chance that it has raised no alarm yet, stride by stride.

use super::blip::{End, ends};
use super::levels::{Levels, Shift};
use super::pace::Pace;
use super::real;
use std::collections::VecDeque;

/// The rest is too little to matter.
const REST: f64 = 1e-5;
/// The chain has settled when a stride's chance of an alarm changes by less than this part of it over `SETTLED` strides.
const STEADY: f64 = 1e-4;
const SETTLED: usize = 64;

/// The chance of no alarm after 0, 1, 2, … strides, and how it goes on.
#[derive(Clone, Debug)]
pub(super) struct Quiet {
    after: Vec<f64>,
    /// What is left of it after one more stride, beyond those.
    keeps: f64,
}

impl Quiet {
    /// After so many strides.
    pub(super) fn after(&self, strides: usize) -> f64 {
        if let Some(quiet) = self.after.get(strides) {
            return *quiet;
        }
        let (beyond, last) = (strides + 1 - self.after.len(), self.after.last().copied().unwrap_or(1.0));
        last * self.keeps.powf(real(beyond))
    }

    /// The strides that were walked.
    pub(super) fn len(&self) -> usize {
        self.after.len()
    }
}

/// Where a sum can be.
struct Chain<'a> {
    pace: &'a Pace,
    /// No run goes on.
    still: Levels,
    /// A run that is no blip goes on, by the length of the burst.
    bursts: Vec<Levels>,
    /// Where the next of these are put together: nothing.
    spare: Vec<Levels>,
    /// A run that is no blip goes on, by how long ago its last bad answer was, the newest first.
    gaps: VecDeque<Levels>,
    /// Where runs began, at zero and above, the newest first.
    begun: VecDeque<[Levels; 2]>,
    /// What becomes of them.
    ends: [Vec<End>; 2],
    latest: usize,
}

/// From nothing on, `most` strides at most.
pub(super) fn quiet(pace: &Pace, most: usize) -> Quiet {
    let mut chain = Chain::new(pace);
    let mut after = vec![1.0];
    let (mut left, mut hazard, mut keeps) = (1.0, 0.0, 1.0);
    for stride in 1..=most {
        let alarm = chain.step();
        let now = if left > 0.0 { (alarm / left).min(1.0) } else { 1.0 };
        left = (left - alarm).max(0.0);
        after.push(left);
        keeps = 1.0 - now;
        if left < REST {
            break;
        }
        if stride % SETTLED == 0 {
            if now > 0.0 && (now / hazard - 1.0).abs() < STEADY {
                break;
            }
            hazard = now;
        }
    }
    Quiet { after, keeps }
}

impl<'a> Chain<'a> {
    fn new(pace: &'a Pace) -> Self {
        let of_run =
            if pace.has_short_runs() { [ends(pace, true), ends(pace, false)] } else { [vec![], vec![]] };
        Self {
            pace,
            still: Levels::sure(pace.needed, 0),
            bursts: vec![Levels::none(pace.needed); pace.longest() + 1],
            spare: vec![Levels::none(pace.needed); pace.longest() + 1],
            gaps: VecDeque::new(),
            begun: VecDeque::new(),
            latest: of_run.iter().flatten().map(|end| end.after).max().unwrap_or(0),
            ends: of_run,
        }
    }

    /// One stride on; the chance that it raises the alarm.
    fn step(&mut self) -> f64 {
        let pace = self.pace;
        if !pace.has_short_runs() {
            let mut next = Levels::none(pace.needed);
            next.pour(&self.still, pace.calm, 1.0 - pace.bad);
            let alarm = next.pour(&self.still, pace.gain(0), pace.bad);
            self.still = next;
            return alarm;
        }
        let mut alarm = 0.0;
        let mut still = Levels::none(pace.needed);
        still.pour(&self.still, pace.calm, 1.0 - pace.bad);
        // A run that begins at three quarters or more is counted in full until the alarm.
        let mut begins = Levels::none(pace.needed);
        begins.pour(&self.still, Shift::of(0.0), pace.bad);
        let near = begins.split_off(pace.needed - pace.quarter);
        let mut bursts = std::mem::take(&mut self.spare);
        alarm += bursts[1].pour(&near, pace.gain(0), 1.0);

        let mut rested = Levels::none(pace.needed);
        for gap in &self.gaps {
            rested.pour(gap, Shift::of(0.0), 1.0);
        }
        alarm += bursts[1].pour(&rested, pace.gain(0), pace.bad);
        let mut fresh = Levels::none(pace.needed);
        for (length, burst) in self.bursts.iter().enumerate().filter(|(_, burst)| !burst.is_empty()) {
            let longer = (length + 1).min(pace.longest());
            alarm += bursts[longer].pour(burst, pace.gain(length), pace.bad);
            fresh.pour(burst, pace.calm, 1.0 - pace.bad);
        }
        for gap in &mut self.gaps {
            gap.fall(pace.calm, 1.0 - pace.bad);
        }
        match pace.gap {
            Some(gap) => {
                self.gaps.push_front(fresh);
                if self.gaps.len() >= gap
                    && let Some(over) = self.gaps.pop_back()
                {
                    still.pour(&over, Shift::of(0.0), 1.0);
                }
            }
            None if self.gaps.is_empty() => self.gaps.push_front(fresh),
            None => {
                self.gaps[0].pour(&fresh, Shift::of(0.0), 1.0);
            }
        }
        self.still = still;
        self.spare = std::mem::replace(&mut self.bursts, bursts);
        self.spare.iter_mut().for_each(Levels::clear);
        let above = begins.split_off(1);
        self.begun.push_front([begins, above]);
        self.begun.truncate(self.latest + 1);
        alarm + self.ended()
    }

    /// What becomes now of the runs that began before.
    fn ended(&mut self) -> f64 {
        let mut alarm = 0.0;
        for (of_run, place) in self.ends.iter().zip(0..) {
            for end in of_run {
                let Some(begun) = self.begun.get(end.after).map(|begun: &[Levels; 2]| &begun[place]) else {
                    continue;
                };
                let to = end.burst.map_or(&mut self.still, |burst| &mut self.bursts[burst]);
                alarm += to.pour(begun, end.added, end.chance);
            }
        }
        alarm
    }
}
