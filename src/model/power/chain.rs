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
    /// A run that is no blip goes on, by how long ago its last bad answer was, the newest first; all together where that doesn't matter.
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
        let now = (alarm / left).min(1.0);
        left = (left - alarm).max(0.0);
        after.push(left);
        keeps = 1.0 - now;
        if left < REST {
            break;
        }
        if stride % SETTLED == 0 {
            // Without any alarm so far, it is no number, and no reason to stop.
            if (now / hazard - 1.0).abs() < STEADY {
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
            gaps: pace.no_gaps(pace.needed),
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

#[cfg(test)]
mod tests {
    use super::super::pace::{Grain, Score};
    use super::*;
    use crate::detector::sequential::{Bank, DESIGNS, Design, Walk};
    use crate::time::Mono;
    use std::time::Duration;

    /// Nanoseconds from one answer to the next.
    const INTERVAL: u64 = 1_000;
    /// The alarm: all that is counted is a whole number of levels.
    const NEEDED: u8 = 16;

    fn pace(up: i64, down: i64, blip: u64, share: f64) -> Pace {
        let grain = Grain { levels: NEEDED.into(), bad: 0.0 };
        let score = Score { design: Design { up, down }, needed: NEEDED.into(), grain };
        let intervals = |n: u64| usize::try_from(n).unwrap();
        Pace::new(&score, share, intervals(blip.div_ceil(INTERVAL)), intervals(blip / INTERVAL))
    }

    /// The chances that no alarm has come after 0, 1, 2, … answers: of every course that they can take, by the real walk.
    fn walked(up: i64, down: i64, blip: u64, share: f64, most: usize) -> Vec<f64> {
        let bank = Bank { designs: [Design { up, down }; DESIGNS], needed: NEEDED.into() };
        let mut quiet = vec![0.0; most + 1];
        let mut open = vec![(Walk::new(bank, Duration::from_nanos(blip)), 0, 1.0)];
        while let Some((walk, answers, chance)) = open.pop() {
            quiet[answers] += chance;
            for (bad, part) in [(true, share), (false, 1.0 - share)] {
                let mut walk = walk.clone();
                walk.step(Mono(INTERVAL * u64::try_from(answers).unwrap()), bad);
                if answers < most && chance * part > 1e-9 && walk.alarm().is_none() {
                    open.push((walk, answers + 1, chance * part));
                }
            }
        }
        quiet
    }

    #[test]
    fn it_is_as_quiet_as_the_walk_on_every_course() {
        for (up, down, blip, share, near) in [
            // No blips; each bad answer is one.
            (3, 1, 0, 0.4, 1e-6),
            (5, 2, 0, 0.7, 1e-6),
            (5, 1, 500, 0.6, 1e-6),
            // Two of them in a row are none, with or without a good one in between.
            (3, 1, 1_000, 0.5, 1e-6),
            (5, 1, 1_500, 0.6, 1e-6),
            (3, 1, 2_000, 0.4, 1e-6),
            (3, 2, 2_000, 0.7, 1e-6),
            (8, 3, 2_000, 0.6, 1e-6),
            // From zero, a good answer takes off less than it says.
            (2, 3, 2_000, 0.7, 1e-6),
            (7, 9, 2_000, 0.6, 1e-6),
            // Longer runs end at times that are told apart less well.
            (4, 1, 3_000, 0.6, 0.03),
            (3, 1, 4_000, 0.7, 0.03),
            // A gap of four good answers doesn't come.
            (2, 3, 4_000, 0.97, 1e-4),
            (1, 0, 4_000, 0.97, 1e-4),
            (3, 1, 6_000, 1.0, 1e-6),
        ] {
            let most = if share > 0.9 { 24 } else { 13 };
            let (walked, quiet) =
                (walked(up, down, blip, share, most), quiet(&pace(up, down, blip, share), most));
            assert!(walked[most] < 0.9, "{up} {down} {blip} {share}: {walked:?}");
            for (answers, walked) in walked.iter().enumerate() {
                let said = quiet.after(answers);
                assert!(
                    (said - walked).abs() < near,
                    "{up} {down} {blip} {share}: {said} after {answers}, and it is {walked}"
                );
            }
        }
    }

    #[test]
    fn a_run_from_below_three_quarters_alarms_once_it_is_no_blip() {
        // Four intervals make it none, and four good answers end it.
        let pace = pace(5, 1, 4_000, 0.6);
        for level in 0..NEEDED.into() {
            let mut chain = Chain { still: Levels::sure(NEEDED.into(), level), ..Chain::new(&pace) };
            let while_short: f64 = (0..4).map(|_| chain.step()).sum();
            assert_eq!(while_short > 0.0, level >= 12, "{level}: {while_short}");
            let then = chain.step();
            assert!(then > 0.0 || !(4..12).contains(&level), "{level}");
        }
    }

    /// The first bad answer alarms.
    fn first_bad(share: f64, most: usize) -> Quiet {
        quiet(&pace(16, 1, 0, share), most)
    }

    #[test]
    fn a_steady_chain_goes_on_as_it_did() {
        for (share, most, walked) in [
            // Settled at the second look; walked to its end before that, or as far as was asked.
            (0.01, 10_000, 128),
            (0.01, 100, 100),
            (0.5, 10_000, 17),
            (1.0, 10_000, 1),
        ] {
            let quiet = first_bad(share, most);
            assert_eq!(quiet.len(), walked + 1, "{share} {most}");
            for strides in [0, 1, 2, 17, 90, 127, 128, 129, 130, 500] {
                let exact = (1.0 - share).powf(real(strides));
                let said = quiet.after(strides);
                assert!((said - exact).abs() < 1e-9 * exact + 1e-300, "{share} {strides}: {said} {exact}");
            }
        }
        // While no alarm can come yet, nothing has settled.
        assert!(quiet(&pace(1, 0, 0, 0.1), 64).len() == 65);
        let blip = quiet(&pace(16, 1, 300 * INTERVAL, 1.0), 1_000);
        assert_eq!((blip.len(), blip.after(300), blip.after(301)), (302, 1.0, 0.0));
        // Two bad answers alarm: less and less is to come until the second, at a rate that nears that of bad ones.
        let two = quiet(&pace(8, 0, 0, 0.01), 10_000);
        assert!(two.len() > 1_000, "{}", two.len());
        for strides in [1, 2, 100, two.len(), two.len() + 100] {
            let exact = 0.99_f64.powf(real(strides)) * (1.0 + real(strides) / 99.0);
            assert!(
                (two.after(strides) / exact - 1.0).abs() < 0.1,
                "{strides}: {} {exact}",
                two.after(strides)
            );
        }
    }
}
