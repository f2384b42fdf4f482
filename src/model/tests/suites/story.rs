//! A story as data: who answers how, when, and what people and AWS do meanwhile.

use crate::chance::{Chance, Latency, Shape};
use crate::rig::Rig;
use serin_model::objective::Objectives;
use serin_model::plan::Style;
use serin_model::policy::{GuardPolicy, JudgePolicy, Mode, Policy};
use serin_model::sample::{Fault, Ours};
use std::time::Duration;

/// Where something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The old version, however it is asked.
    Old,
    /// The new version.
    New,
    /// What comes after the new version.
    Third,
    /// All versions: what they share.
    Both,
    /// Before the balancer, on the way of production only.
    Front,
    /// Our own way out: everything, the unrelated control as well.
    Network,
    /// Our own process.
    Own,
}

/// Which part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    All,
    /// One connection of ours.
    Conn(u32),
    /// One address of the balancer.
    Address(u16),
    /// The first of so many tasks, each of which gets its share at random.
    OneTaskOf(u32),
    /// One URL.
    Url(u16),
    /// The first so many URLs.
    UrlsBelow(u16),
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ill {
    /// This status, with the version that serves.
    Status(u16),
    /// This status, without a version: the balancer's own word.
    Bare(u16),
    /// This fault, and no answer.
    Fault(Fault),
    /// A good status and a wrong body.
    Body,
    /// Times as slow.
    Times(f64),
    /// Never an answer.
    Hang,
    /// Refused by something in front.
    Edge(u16),
    /// Our own process was late.
    Late,
    /// Our own side failed.
    Failed(Ours),
    /// Nothing is asked at all.
    Silence,
}

/// Something wrong for a time, in seconds after the cutover.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spell {
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) place: Place,
    pub(crate) part: Part,
    pub(crate) share: f64,
    pub(crate) ill: Ill,
    /// It comes and goes: `(period, on)`.
    pub(crate) flaps: Option<(f64, f64)>,
    /// Its share grows from nothing over so many seconds.
    pub(crate) ramp: f64,
}

impl Spell {
    pub(crate) fn new(place: Place, ill: Ill, from: f64, to: f64) -> Self {
        Self { from, to, place, part: Part::All, share: 1.0, ill, flaps: None, ramp: 0.0 }
    }

    pub(crate) fn share(self, share: f64) -> Self {
        Self { share, ..self }
    }

    pub(crate) fn part(self, part: Part) -> Self {
        Self { part, ..self }
    }

    pub(crate) fn flaps(self, period: f64, on: f64) -> Self {
        Self { flaps: Some((period, on)), ..self }
    }

    pub(crate) fn ramp(self, seconds: f64) -> Self {
        Self { ramp: seconds, ..self }
    }

    /// How much of its part it meets now.
    pub(crate) fn strength(&self, seconds: f64) -> f64 {
        let on = self.flaps.is_none_or(|(period, on)| (seconds - self.from).rem_euclid(period) < on);
        if seconds < self.from || seconds >= self.to || !on {
            0.0
        } else if self.ramp > 0.0 {
            self.share * ((seconds - self.from) / self.ramp).min(1.0)
        } else {
            self.share
        }
    }
}

pub(crate) type Deed = Box<dyn FnOnce(&mut Rig)>;

/// One release.
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that may be so")]
pub(crate) struct Story {
    pub(crate) seed: u64,
    pub(crate) judge: JudgePolicy,
    pub(crate) guard: GuardPolicy,
    pub(crate) spells: Vec<Spell>,
    /// Nothing of ours runs in these spans.
    pub(crate) freezes: Vec<(f64, f64)>,
    pub(crate) deeds: Vec<(f64, Deed)>,
    /// Production probes a second in a release, and probes of the old version.
    pub(crate) rates: (f64, f64),
    pub(crate) urls: u16,
    pub(crate) latency: Latency,
    pub(crate) has_control: bool,
    /// How long it is watched, in seconds before and after the cutover.
    pub(crate) span: (f64, f64),
    /// The old colour: 0 or 1.
    pub(crate) old: usize,
    /// Where its clock begins.
    pub(crate) origin: f64,
    /// Permutes URLs.
    pub(crate) url_step: u16,
    pub(crate) traced: bool,
    /// The story ends with the first write.
    pub(crate) stops: bool,
    /// It is over when the release is judged.
    pub(crate) only_until_judged: bool,
}

impl Story {
    /// A healthy release, asked at these rates.
    pub(crate) fn new(seed: u64, production: f64, direct: f64) -> Self {
        let (judge, guard) = policies(production);
        Self {
            seed,
            judge,
            guard,
            spells: vec![],
            freezes: vec![],
            deeds: vec![],
            rates: (production, direct),
            urls: 2,
            latency: Latency::new(
                Shape::LogNormal,
                LIMIT_MS,
                if seed.is_multiple_of(4) { 0.01 } else { 0.0 },
                MOST_MS,
            ),
            has_control: true,
            span: (75.0, 40.0),
            old: 0,
            origin: 100.0,
            url_step: 1,
            traced: false,
            stops: true,
            only_until_judged: false,
        }
    }

    pub(crate) fn with(mut self, spell: Spell) -> Self {
        self.spells.push(spell);
        self
    }

    pub(crate) fn at(mut self, seconds: f64, deed: impl FnOnce(&mut Rig) + 'static) -> Self {
        self.deeds.push((seconds, Box::new(deed)));
        self
    }

    pub(crate) fn until(mut self, seconds: f64) -> Self {
        self.span.1 = seconds;
        self
    }

    pub(crate) fn frozen(mut self, from: f64, to: f64) -> Self {
        self.freezes.push((from, to));
        self
    }

    pub(crate) fn chance(&self) -> Chance {
        Chance::new(self.seed)
    }
}

/// The latency objective.
pub(crate) const LIMIT_MS: f64 = 250.0;
/// Healthy services answer within this.
pub(crate) const MOST_MS: f64 = 950.0;
/// A probe is given up after this.
pub(crate) const TIMEOUT_MS: f64 = 1_000.0;

/// The defaults of the configuration, for a service that is probed so often in a release.
pub(crate) fn policies(release_rate_hz: f64) -> (JudgePolicy, GuardPolicy) {
    let (settle, judge_for) = (Duration::from_mins(1), Duration::from_mins(15));
    let judge = JudgePolicy {
        policy: Policy::Sequential.into(),
        objectives: Objectives::of_service(Some(0.001), Some(Duration::from_millis(250))),
        wrong_reverts_one_in: 1_000_000,
        tolerate_blip: Duration::from_millis(250),
        window: Duration::from_secs(10),
        samples_min: 20,
        error_rate_min: 0.0,
        grace: Duration::from_secs(10),
        settle,
        settle_answers: 100,
        judge_for,
        onset: Duration::from_mins(5),
        propagation: Duration::from_secs(15),
        release_rate_hz,
        heard: serin_model::policy::Heard::Directly,
    };
    let guard = GuardPolicy {
        mode: Mode::Act,
        cool_down: Duration::from_mins(30),
        reverts_per_hour_max: 1,
        reverts_per_day_max: 3,
        healthy_min: 1,
        capacity_min: 1.0,
        evidence_age_max: Duration::from_secs(30),
        revert_style: Style::Weights,
        verify_answers: 20,
        verify_for: Duration::from_mins(1),
        has_lever: true,
        versions_known: true,
        settle,
        settle_answers: 100,
        judge_for,
        heard: serin_model::policy::Heard::Directly,
    };
    (judge, guard)
}
