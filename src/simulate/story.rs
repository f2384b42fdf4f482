//! Streams that are made up: how the new version answers from some moment on, by a seed.

use super::{Shot, Source};
use crate::model::sample::{Fault, Outcome, Purpose};
use crate::model::target::TargetId;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::f64::consts::TAU;
use std::fmt;
use std::time::Duration;

/// Connections that probes take in turn, over two addresses.
const WAYS: u64 = 4;
/// The usual share of bad answers, of what the objective allows.
const USUAL_SHARE: f64 = 0.25;
/// The usual P95, of its limit.
const USUAL_P95: f64 = 0.5;
/// P95 of a log-normal distribution lies so many standard deviations above its median.
const Z95: f64 = 1.644_854;
/// The spread of the response time, in its logarithm.
const SIGMA: f64 = 0.35;
/// When nothing is promised about time.
const P95: Duration = Duration::from_millis(100);

/// What happens, from the onset on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Nothing: an error now and then, a quarter of what the objective allows.
    Quiet,
    /// As many errors, in bursts of ten.
    Bursts,
    /// Latency rises and falls by two fifths over the release, and stays within the objective.
    Diurnal,
    /// This share of answers is bad.
    Errors(f64),
    /// P95 is this many times its limit.
    Slow(f64),
    /// Nothing answers until the probe is given up.
    Hang,
    /// Dead for one second of every four.
    Flapping,
    /// Errors grow evenly to all of the answers within five minutes.
    Ramp,
    /// Errors grow evenly to a twentieth of the answers until the end.
    SlowBurn,
}

/// One stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Story {
    /// What happens.
    pub kind: Kind,
    /// Since the cutover.
    pub onset: Duration,
}

impl Kind {
    /// Those that are played when none is named.
    pub const USUAL: [Self; 13] = [
        Self::Quiet,
        Self::Bursts,
        Self::Diurnal,
        Self::Errors(1.0),
        Self::Errors(0.2),
        Self::Errors(0.05),
        Self::Errors(0.02),
        Self::Slow(1.5),
        Self::Slow(3.0),
        Self::Hang,
        Self::Flapping,
        Self::Ramp,
        Self::SlowBurn,
    ];

    /// A good release: to revert it is wrong.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Quiet | Self::Bursts | Self::Diurnal)
    }

    /// `quiet`, `errors=5%`, `slow=2x` and so on.
    ///
    /// # Errors
    /// What is known instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let number = |text: &str, unit: &str| text.strip_suffix(unit)?.trim().parse::<f64>().ok();
        let kind = match text.split_once('=') {
            Some(("errors", share)) => number(share, "%")
                .filter(|share| (0.001..=100.0).contains(share))
                .map(|share| Self::Errors(share / 100.0)),
            Some(("slow", factor)) => {
                number(factor, "x").filter(|factor| (1.0..=1_000.0).contains(factor)).map(Self::Slow)
            }
            Some(_) => None,
            None => match text {
                "quiet" => Some(Self::Quiet),
                "bursts" => Some(Self::Bursts),
                "diurnal" => Some(Self::Diurnal),
                "outage" => Some(Self::Errors(1.0)),
                "hang" => Some(Self::Hang),
                "flapping" => Some(Self::Flapping),
                "ramp" => Some(Self::Ramp),
                "slow-burn" => Some(Self::SlowBurn),
                _ => None,
            },
        };
        kind.ok_or_else(|| {
            format!(
                "{text:?} is no scenario: quiet, bursts, diurnal, outage, hang, flapping, ramp, slow-burn, errors=5% (0.001% to 100%) or slow=2x (1x to 1000x)"
            )
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quiet => f.write_str("quiet"),
            Self::Bursts => f.write_str("bursts"),
            Self::Diurnal => f.write_str("diurnal"),
            Self::Errors(share) => write!(f, "errors={}%", (share * 1e6).round() / 1e4),
            Self::Slow(factor) => write!(f, "slow={factor}x"),
            Self::Hang => f.write_str("hang"),
            Self::Flapping => f.write_str("flapping"),
            Self::Ramp => f.write_str("ramp"),
            Self::SlowBurn => f.write_str("slow-burn"),
        }
    }
}

/// What a service does on an ordinary day, and what its promises are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// The share of bad answers that the objective allows.
    pub bad_share_max: f64,
    /// The limit of its P95.
    pub p95_max: Duration,
    /// A probe is given up after this.
    pub timeout: Duration,
    /// The end of the release, since the cutover.
    pub horizon: Duration,
    /// The share of the requests that the new version gets from the cutover on, above 0.0 up to 1.0.
    pub share: f64,
}

impl Usual {
    /// By the promises of the service; where there is none, 99.9 % and 100 ms.
    #[must_use]
    pub fn of(rules: &super::Rules, timeout: Duration) -> Self {
        use crate::model::objective::Goal;
        let objectives = &rules.judge.objectives;
        let share = objectives.all.iter().find_map(|objective| match objective.goal {
            Goal::Availability { bad_share_max } => Some(bad_share_max),
            Goal::Latency { .. } => None,
        });
        Self {
            bad_share_max: share.unwrap_or(0.001),
            p95_max: objectives.slow_over().unwrap_or(P95),
            timeout,
            horizon: rules.horizon,
            share: f64::from(rules.share) / 100.0,
        }
    }
}

/// A [`Story`] that is told, by a seed.
#[derive(Clone, Debug)]
pub struct Telling {
    story: Story,
    usual: Usual,
    chance: ChaCha8Rng,
    /// A burst goes on for so many answers of the new version.
    burst: u32,
}

impl Story {
    /// Tells it. Equal seeds give equal streams.
    #[must_use]
    pub fn tell(self, usual: Usual, seed: u64) -> Telling {
        Telling { story: self, usual, chance: ChaCha8Rng::seed_from_u64(seed), burst: 0 }
    }
}

impl Telling {
    /// Evenly in 0.0 < u < 1.0.
    fn unit(&mut self) -> f64 {
        (f64::from(self.chance.next_u32()) + 0.5) / 4_294_967_296.0
    }

    /// Box and Muller.
    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (TAU * self.unit()).cos()
    }

    /// The share of bad answers, and the factor of the response time, so long after the onset.
    fn now(&self, since: f64) -> (f64, f64) {
        let usual = self.usual.bad_share_max * USUAL_SHARE;
        let end = (self.usual.horizon.saturating_sub(self.story.onset)).as_secs_f64().max(1.0);
        match self.story.kind {
            Kind::Quiet | Kind::Bursts | Kind::Hang => (usual, 1.0),
            Kind::Diurnal => (usual, 1.0 + 0.4 * (TAU * since / end).sin()),
            Kind::Errors(share) => (share, 1.0),
            Kind::Slow(factor) => (usual, factor / USUAL_P95),
            Kind::Flapping => (if since % 4.0 < 1.0 { 1.0 } else { usual }, 1.0),
            Kind::Ramp => ((since / 300.0).clamp(usual, 1.0), 1.0),
            Kind::SlowBurn => ((0.05 * since / end).clamp(usual, 1.0), 1.0),
        }
    }

    fn is_bad(&mut self, share: f64, burst: bool) -> bool {
        if !burst {
            return self.unit() < share;
        }
        if self.burst == 0 && self.unit() < share / 10.0 {
            self.burst = 10;
        }
        let bad = self.burst > 0;
        self.burst = self.burst.saturating_sub(1);
        bad
    }
}

impl Source for Telling {
    fn answer(&mut self, at: f64, purpose: Purpose, index: u64) -> Shot {
        let after = purpose == Purpose::Production && at >= 0.0;
        // Of a whole cutover no chance is drawn, so that its stream stays what it is.
        let new = after && (self.usual.share >= 1.0 || self.unit() < self.usual.share);
        let since = at - self.story.onset.as_secs_f64();
        let told = new && since >= 0.0;
        let (share, factor) =
            if told { self.now(since) } else { (self.usual.bad_share_max * USUAL_SHARE, 1.0) };
        // A burst is of all requests: of a step's, the new version has its share.
        let bursts = after && since >= 0.0 && self.story.kind == Kind::Bursts;
        let bad = self.is_bad(share, bursts) && (new || !bursts);
        let p95 = self.usual.p95_max.as_secs_f64() * USUAL_P95 * factor;
        let seconds = p95 * (SIGMA * (self.normal() - Z95)).exp();
        let late = seconds >= self.usual.timeout.as_secs_f64() || told && self.story.kind == Kind::Hang;
        let (status, outcome, response) = match (late, bad) {
            (true, _) => (0, Outcome::Bad(Fault::Timeout), self.usual.timeout),
            (false, true) => (500, Outcome::Bad(Fault::Status), Duration::from_secs_f64(seconds)),
            (false, false) => (200, Outcome::Ok, Duration::from_secs_f64(seconds)),
        };
        let (side, way) = (u32::from(purpose == Purpose::Direct), index / 3 % WAYS);
        let way = u32::try_from(way).unwrap_or(0);
        Shot {
            purpose,
            target: TargetId(0),
            response,
            status,
            outcome,
            new: (status != 0).then_some(new),
            void: false,
            way: (1 + 1_000 * side + way, u16::try_from(way % 2 + 100 * side).unwrap_or(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Usual = Usual {
        bad_share_max: 0.001,
        p95_max: Duration::from_millis(250),
        timeout: Duration::from_secs(1),
        horizon: Duration::from_mins(5),
        share: 1.0,
    };

    /// The share of bad answers and of slow ones among 20,000 of the new version, from `from` seconds after the cutover on.
    fn shares(kind: Kind, from: f64) -> (f64, f64) {
        let mut telling = Story { kind, onset: Duration::from_secs(10) }.tell(USUAL, 7);
        let shots: Vec<Shot> = (0..20_000_u32)
            .map(|i| telling.answer(from + f64::from(i) / 200.0, Purpose::Production, u64::from(i)))
            .collect();
        let share = |is: &dyn Fn(&Shot) -> bool| {
            f64::from(u32::try_from(shots.iter().filter(|shot| is(shot)).count()).unwrap()) / 20_000.0
        };
        (share(&|shot| shot.outcome != Outcome::Ok), share(&|shot| shot.response > USUAL.p95_max))
    }

    #[test]
    fn a_story_does_what_its_name_says() {
        let near =
            |found: f64, wanted: f64, by: f64| assert!((found - wanted).abs() <= by, "{found} {wanted}");
        near(shares(Kind::Errors(0.2), 10.0).0, 0.2, 0.01);
        near(shares(Kind::Errors(0.2), -200.0).0, 0.000_25, 0.000_5);
        near(shares(Kind::Quiet, 10.0).0, 0.000_25, 0.000_5);
        near(shares(Kind::Bursts, 10.0).0, 0.000_25, 0.001);
        near(shares(Kind::Flapping, 10.0).0, 0.25, 0.02);
        near(shares(Kind::Hang, 10.0).0, 1.0, 0.0);
        // A P95 at its limit: a twentieth is slower.
        near(shares(Kind::Slow(1.0), 10.0).1, 0.05, 0.01);
        assert!(shares(Kind::Slow(2.0), 10.0).1 > 0.3);
        assert!(shares(Kind::Diurnal, 10.0).1 < 0.025);
    }

    #[test]
    fn a_step_gives_the_new_version_its_share() {
        let usual = Usual { share: 0.1, ..USUAL };
        let mut telling = Story { kind: Kind::Hang, onset: Duration::ZERO }.tell(usual, 3);
        let before = telling.answer(-1.0, Purpose::Production, 0);
        assert_eq!((before.outcome, before.new), (Outcome::Ok, Some(false)));
        let bad = (0..20_000).filter(|i| telling.answer(1.0, Purpose::Production, *i).outcome != Outcome::Ok);
        let bad = bad.count();
        assert!((1_850..2_150).contains(&bad), "{bad}");
        assert_eq!(telling.answer(1.0, Purpose::Direct, 0).new, Some(false), "the old one is asked by name");
    }

    #[test]
    fn equal_seeds_tell_equal_stories() {
        let tell = |seed| {
            let mut telling = Story { kind: Kind::Bursts, onset: Duration::ZERO }.tell(USUAL, seed);
            (0..500).map(|i| telling.answer(f64::from(i), Purpose::Production, 0)).collect::<Vec<_>>()
        };
        assert_eq!(tell(1), tell(1));
        assert_ne!(tell(1), tell(2));
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for kind in Kind::USUAL {
            assert_eq!(Kind::parse(&kind.to_string()), Ok(kind));
        }
        for bad in ["", "errors", "errors=5", "errors=0%", "errors=101%", "slow=0.5x", "slow=2", "loud"] {
            assert!(Kind::parse(bad).unwrap_err().contains("is no scenario"), "{bad}");
        }
    }
}
