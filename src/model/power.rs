//! What can this configuration see? How soon the sequential policy finds a share of bad answers, and the smallest that it finds.
//!
//! It is computed, not simulated. Each design of the bank is a sum on a lattice that is walked forward probe by probe, with
//! the runs and bursts that count for a quarter of an alarm while they may be blips. Answers are bad independently of each other, from one
//! moment on, and all good before it; the change comes right after a probe, so a first alarm comes one interval later at the
//! soonest. That the bank alarms when any of its designs does is in between two bounds: that of the best alone, and that
//! of four which know nothing of each other (see `ALIKE`).
//!
//! Where nearly all answers are bad, the few good ones cut the failure into blips: that takes longer than if half are bad, or all. It is
//! what the policy does.
//!
//! The policy looks at the samples of the last minute or so, at most [`Window::CAP`]. What takes longer is found when a stretch
//! of that length happens to be bad enough. Here, only stretches that don't overlap are counted: it is found no later than is said.
//!
//! | | |
//! |---|---|
//! | `power/levels.rs` | chances by level, and how they move |
//! | `power/pace.rs` | one design on a lattice |
//! | `power/blip.rs` | what becomes of a run that may be a blip |
//! | `power/chain.rs` | the chance of no alarm yet |
//! | `power/latency.rs` | which share is too slow when all get slower |

use crate::detector::Promise;
use crate::detector::sequential::{Bank, DESIGNS, shares};
use crate::judge::{self, promised};
use crate::policy::{Join, JudgePolicy, Policy};
use crate::time::nanos;
use crate::window::Window;
use chain::{Quiet, quiet};
use pace::{Grain, Pace, Score};
use std::fmt;
use std::time::Duration;

mod blip;
mod chain;
pub mod latency;
mod levels;
mod pace;

/// How certain a find has to be: within the judged time, and for the time that is stated.
pub const SURE: f64 = 0.99;
/// Designs know much of each other: their joint chance of no alarm is that of the quietest, with this weight, and the product of all with the
/// rest. Fitted to simulations of 228 cells, and it holds in 81 others (`benches/power.rs`).
const ALIKE: f64 = 0.96;
/// For a forecast, and in the search for the smallest share.
const FINE: Grain = Grain { levels: 320.0, bad: 0.05 };
const COARSE: Grain = Grain { levels: 128.0, bad: 0.2 };
/// Strides that are walked at most; beyond them, a chain goes on as it did last.
const WALKED: usize = 20_000;
/// Strides of a blip that are walked at most. In so many a sum has climbed to the alarm, or the run has ended: what is longer is waited for.
const BLIP: usize = 2_000;
/// About so many seconds of good answers of the old version, asked directly at `direct_hz`, prove that it isn't as bad as a new version
/// that is asked at `rate_hz` and has this share of bad ones, 0 < share ≤ 1. The judge waits for them before it blames the release.
///
/// Both sides tell more with every second: the logarithm of the odds grows by the likelihood ratio of two shares against one that both
/// have (what Fisher's exact test comes to where there are many).
#[must_use]
pub fn control_seconds(share: f64, rate_hz: f64, direct_hz: f64) -> f64 {
    let both = share * rate_hz / (rate_hz + direct_hz);
    let good = if share < 1.0 { (1.0 - share) * ((1.0 - share) / (1.0 - both)).ln() } else { 0.0 };
    let nats_hz = rate_hz * (share * (share / both).ln() + good) - direct_hz * (1.0 - both).ln();
    judge::BETTER_NATS / nats_hz
}

/// Shares that are worth a forecast.
pub const SHARES: [f64; 5] = [0.01, 0.02, 0.05, 0.2, 1.0];
/// The smallest share is found to this part of it.
const CLOSE: f64 = 1.02;

/// One promise as it is tested, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Test {
    /// The promised share of bad answers, 0 < p ≤ 0.5: above that it takes long to compute.
    pub share_max: f64,
    /// The chance that one look goes wrong, > 0.
    pub alpha: f64,
    /// One connected run of bad answers shorter than this never breaches.
    pub tolerate_blip: Duration,
    /// Probes a second, evenly spaced; > 0.
    pub rate_hz: f64,
    /// A release is judged for so long.
    pub judge_for: Duration,
    /// Samples that are looked at, at most.
    pub remembers: usize,
    /// No alarm with a smaller share than this, 0.0..=1.0.
    pub share_min: f64,
    /// One good release in so many may be reverted by luck.
    pub luck_one_in: u64,
}

/// How a true share of bad answers is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// The true share from the change on.
    pub share: f64,
    /// The chance of an alarm within the judged time, 0.0..=1.0.
    pub chance: f64,
    /// How soon; `None` when that chance is less than [`SURE`].
    pub delay: Option<Delay>,
}

/// From the change until the probe that raises the alarm is due; what its answer takes comes on top.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Delay {
    /// On average, seconds.
    pub mean_s: f64,
    /// In 99 of 100 cases, seconds.
    pub p99_s: f64,
}

/// What keeps good releases safe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Odds {
    /// One good release in so many may be reverted by luck.
    pub one_in: u64,
    /// Looks that a release takes, all promises together: each of its samples is one.
    pub looks: f64,
    /// The chance that one look goes wrong.
    pub look: f64,
    /// The shares that the bank looks for.
    pub designs: [f64; DESIGNS],
}

impl fmt::Display for Odds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { one_in, looks, look, designs } = self;
        write!(
            f,
            "at most one good release in {one_in} is reverted by luck, however one answer depends on another: \
             {looks:.0} looks a release, each wrong with a chance of {look:.1e}, shared by {} tests for",
            designs.len()
        )?;
        for (share, before) in designs.iter().zip([" ", ", ", ", ", " and "]) {
            write!(f, "{before}{:.1} %", share * 100.0)?;
        }
        write!(f, " of bad answers")
    }
}

/// What a user should know before trusting a test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// Not even a total failure is surely found within the judged time.
    Blind,
    /// Of what breaks the promise, nothing below this share is surely found within the judged time.
    Above(f64),
    /// A total failure takes so many seconds, more than twice the blip that is tolerated and more than two seconds: probes are rare.
    Slow(f64),
}

impl Test {
    /// The tests of a policy, each with the place of its promise among the objectives. Of several policies that are believed alone, the
    /// sequential one; what they find together is found no later. None where it isn't among them or isn't believed alone, and
    /// none for a promise that allows more than half to be bad, which is not computed here.
    #[must_use]
    pub fn of(policy: &JudgePolicy) -> Vec<(usize, Self)> {
        let tests = &policy.policy.tests;
        let believed = policy.policy.join == Join::Any || tests.len() == 1;
        if !believed || !tests.contains(&Policy::Sequential) {
            return Vec::new();
        }
        // The window is that of all URLs; a promise of some has its part of it.
        let all = promised::evidence_span(policy).as_secs_f64() * policy.release_rate_hz;
        let all = real(whole(all).min(Window::CAP));
        let part = |rate_hz: f64| whole((all * rate_hz / policy.release_rate_hz).round());
        let test = |promise: Promise| Self {
            share_max: promise.share_max,
            alpha: promise.alpha,
            tolerate_blip: promise.tolerate_blip,
            rate_hz: promise.rate_hz,
            judge_for: policy.judge_for,
            remembers: part(promise.rate_hz),
            share_min: promise.share_min,
            luck_one_in: promise.luck_one_in,
        };
        let tests = promised::all(policy).into_iter().map(|promised| test(promised.promise));
        tests.enumerate().filter(|(_, test)| test.share_max <= 0.5).collect()
    }

    /// How `share`, 0 ≤ share ≤ 1, is found. A share that is promised, or too small for an alarm at all, never is.
    #[must_use]
    pub fn forecast(&self, share: f64) -> Forecast {
        let course = self.course(share, FINE, None);
        let chance = course.as_ref().map_or(0.0, |course| 1.0 - course.quiet(course.strides(self.judged())));
        let delay = course.filter(|_| chance >= SURE).map(|course| course.delay(1.0 / self.rate_hz));
        Forecast { share, chance, delay }
    }

    /// Above this share the mildest design adds more than it takes off, and time alone brings the alarm; below it takes luck, which
    /// comes too where probes are many. In 0.0..1.0, above the promise.
    #[must_use]
    pub fn floor(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "less than 2^40")]
        let even = self.bank().designs.map(|design| design.down as f64 / (design.down + design.up) as f64);
        even.into_iter().fold(1.0, f64::min)
    }

    /// The smallest share that is found within the judged time with a chance of [`SURE`]: too large by up to an eighth,
    /// rather than too small. `None` when not even a total failure is.
    #[must_use]
    pub fn smallest(&self) -> Option<f64> {
        let missed = 1.0 - SURE;
        let found = |share: f64| {
            let course = self.course(share, COARSE, Some(missed));
            course.is_some_and(|course| course.quiet(course.strides(self.judged())) <= missed)
        };
        if !found(1.0) {
            return None;
        }
        let (mut low, mut high) = (self.share_max, 1.0);
        while high / low > CLOSE {
            let middle = (low * high).sqrt();
            if found(middle) { high = middle } else { low = middle }
        }
        Some(high)
    }

    /// What a good release risks.
    #[must_use]
    pub fn odds(&self) -> Odds {
        #[expect(clippy::cast_precision_loss, reason = "a rate of releases, stated in round numbers")]
        let looks = 1.0 / (self.alpha * self.luck_one_in.max(1) as f64);
        Odds { one_in: self.luck_one_in, looks, look: self.alpha, designs: shares(self.share_max) }
    }

    /// What a user should know before trusting it; `smallest` is what [`Self::smallest`] said, which takes a while to find.
    #[must_use]
    pub fn limits(&self, smallest: Option<f64>) -> Vec<Limit> {
        let Some(smallest) = smallest else { return vec![Limit::Blind] };
        let mut limits = vec![Limit::Above(smallest)];
        let fast = self.tolerate_blip.as_secs_f64().max(1.0) * 2.0;
        if let Some(delay) = self.forecast(1.0).delay
            && delay.mean_s > fast
        {
            limits.push(Limit::Slow(delay.mean_s));
        }
        limits
    }

    /// So many bad answers in a row are the fewest that raise the alarm, blips aside.
    #[must_use]
    pub fn fewest_bad(&self) -> usize {
        let bank = self.bank();
        let most = bank.designs.iter().map(|design| design.up).max().unwrap_or(1).max(1);
        usize::try_from(bank.needed.unsigned_abs().div_ceil(most.unsigned_abs())).unwrap_or(usize::MAX)
    }

    /// Probes of the judged time.
    fn judged(&self) -> usize {
        whole(self.judge_for.as_secs_f64() * self.rate_hz)
    }

    fn bank(&self) -> Bank {
        Bank::new(self.share_max, self.alpha)
    }

    /// `None` when there is no alarm. With `enough`: no more designs than bring the chance of none that low.
    fn course(&self, share: f64, grain: Grain, enough: Option<f64>) -> Option<Course> {
        if share <= self.share_max || share < self.share_min {
            return None;
        }
        // The schedule's interval: whole nanoseconds. One of them decides whether so many intervals are a blip.
        let interval = whole((1e9 / self.rate_hz).round()).max(1);
        let blip = usize::try_from(nanos(self.tolerate_blip)).unwrap_or(usize::MAX);
        let (long, gap) = (blip.div_ceil(interval), blip / interval);
        // A run that fills all that is remembered is still short.
        if long >= self.remembers {
            return None;
        }
        let later = long.saturating_sub(BLIP.saturating_mul(grain.stride(share, long)));
        let bank = self.bank();
        let pace = |design| {
            let score = Score { design, needed: bank.needed, grain };
            // Where any come later, a gap of that length ends no run.
            Pace::new(&score, share, long - later, gap)
        };
        let paces = bank.designs.map(pace);
        let stride = paces.first()?.stride;
        let remembers = ((self.remembers.min(self.judged()).saturating_sub(later)) / stride).max(1);
        let mut course = Course { quiets: Vec::new(), stride, remembers, later };
        let mut most = remembers.min(WALKED);
        // The mildest first: it may find by luck what none climbs at.
        for (pace, _) in paces.iter().zip(0..).filter(|(pace, index)| *index == 0 || pace.climbs) {
            let quiet = quiet(pace, most);
            most = most.min(quiet.len());
            course.quiets.push(quiet);
            if enough.is_some_and(|enough| course.quiet(course.strides(self.judged())) <= enough) {
                break;
            }
        }
        Some(course)
    }
}

/// The chance of no alarm over time, all designs together.
struct Course {
    quiets: Vec<Quiet>,
    /// Probes a stride.
    stride: usize,
    /// Strides that are looked at.
    remembers: usize,
    /// Probes by which every alarm comes later.
    later: usize,
}

impl Course {
    fn strides(&self, probes: usize) -> usize {
        probes.saturating_sub(self.later) / self.stride
    }

    /// After so many strides, all of which are remembered.
    fn within(&self, strides: usize) -> f64 {
        let each = || self.quiets.iter().map(|quiet| quiet.after(strides));
        ALIKE * each().fold(1.0, f64::min) + (1.0 - ALIKE) * each().product::<f64>()
    }

    /// After so many strides.
    fn quiet(&self, strides: usize) -> f64 {
        if strides <= self.remembers {
            return self.within(strides);
        }
        let stretches = real(strides / self.remembers);
        self.within(self.remembers).powf(stretches) * self.within(strides % self.remembers)
    }

    fn delay(&self, interval_s: f64) -> Delay {
        let (mut sum, mut strides, mut left) = (0.0, 0, 1.0);
        while left > 1e-6 && strides < self.remembers {
            sum += left;
            strides += 1;
            left = self.within(strides);
        }
        let mean = sum / (1.0 - left);
        let unsure = |strides: usize| self.quiet(strides) > 1.0 - SURE;
        let (mut low, mut most) = (0, usize::MAX);
        while low + 1 < most {
            let middle = low.midpoint(most);
            if unsure(middle) { low = middle } else { most = middle }
        }
        // An alarm in a stride comes in its middle.
        let (stride, later) = (real(self.stride), real(self.later));
        let seconds = |strides: f64| (strides * stride - (stride - 1.0) / 2.0 + later) * interval_s;
        Delay { mean_s: seconds(mean), p99_s: seconds(real(most)) }
    }
}

/// Rounded down; 0 for what is none.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and is small")]
fn whole(x: f64) -> usize {
    x as usize
}

#[expect(clippy::cast_precision_loss, reason = "some thousands, or millions")]
fn real(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests;
