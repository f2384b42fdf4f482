//! Regressions that must be reverted, at 100 probes a second and the defaults of the configuration.

use crate::chance::{Chance, Latency, Shape};
use crate::story::{Ill, LIMIT_MS, MOST_MS, Part, Place, Spell, Story};
use serin_model::sample::Fault;

/// A release that goes wrong, and when.
pub(crate) type Pattern = (&'static str, fn(u64, &mut Chance) -> (Story, f64));

/// When it goes wrong: the grace is over.
fn soon(chance: &mut Chance) -> f64 {
    20.0 + chance.between(0.0, 5.0)
}

fn story(seed: u64) -> Story {
    Story::new(seed, 100.0, 20.0).until(110.0)
}

fn wrong(seed: u64, chance: &mut Chance, spell: impl Fn(Spell) -> Spell) -> (Story, f64) {
    let at = soon(chance);
    (story(seed).with(spell(Spell::new(Place::New, Ill::Status(500), at, 1e6))), at)
}

fn errors(seed: u64, chance: &mut Chance, share: f64) -> (Story, f64) {
    wrong(seed, chance, |spell| spell.share(share))
}

/// P95 is just under the objective, and then so many times as long.
fn slower(seed: u64, chance: &mut Chance, times: f64) -> (Story, f64) {
    let (mut story, at) = wrong(seed, chance, |spell| Spell { ill: Ill::Times(times), ..spell });
    story.latency = Latency::new(Shape::LogNormal, LIMIT_MS, 0.045, MOST_MS);
    // So near the objective, chance makes the old version look suspicious at times: it takes a while to be known as good.
    story.span = (400.0, at + 60.0);
    (story, at)
}

/// Below the least effect.
pub(crate) const SMALL: Pattern = ("p95-x1.25", |seed, chance| slower(seed, chance, 1.25));

pub(crate) const PATTERNS: [Pattern; 23] = [
    ("errors-100", |seed, chance| errors(seed, chance, 1.0)),
    ("errors-50", |seed, chance| errors(seed, chance, 0.5)),
    ("errors-20", |seed, chance| errors(seed, chance, 0.2)),
    ("errors-10", |seed, chance| errors(seed, chance, 0.1)),
    ("errors-5", |seed, chance| errors(seed, chance, 0.05)),
    ("p95-x1.5", |seed, chance| slower(seed, chance, 1.5)),
    ("p95-x2", |seed, chance| slower(seed, chance, 2.0)),
    ("p95-x5", |seed, chance| slower(seed, chance, 5.0)),
    ("hang", |seed, chance| wrong(seed, chance, |spell| Spell { ill: Ill::Hang, ..spell })),
    // Good answers come at once, bad ones after a second: what is known is always better than what is.
    ("half-the-urls-hang", |seed, chance| {
        let (mut story, at) =
            wrong(seed, chance, |spell| Spell { ill: Ill::Hang, ..spell }.part(Part::UrlsBelow(2)));
        (story.urls, story.rates.0) = (4, 200.0);
        (story, at)
    }),
    ("wrong-body", |seed, chance| wrong(seed, chance, |spell| Spell { ill: Ill::Body, ..spell })),
    // The balancer can't reach the new targets, and says so itself.
    ("bad-certificate", |seed, chance| wrong(seed, chance, |spell| Spell { ill: Ill::Bare(502), ..spell })),
    ("resets", |seed, chance| {
        wrong(seed, chance, |spell| Spell { ill: Ill::Fault(Fault::Reset), ..spell }.share(0.3))
    }),
    ("1-task-of-3", |seed, chance| wrong(seed, chance, |spell| spell.part(Part::OneTaskOf(3)))),
    ("1-task-of-10", |seed, chance| wrong(seed, chance, |spell| spell.part(Part::OneTaskOf(10)))),
    // The balancer spreads over all zones, so every address of it shows the tasks of the bad one.
    ("1-zone-of-3", |seed, chance| {
        wrong(seed, chance, |spell| Spell { ill: Ill::Hang, ..spell }.part(Part::OneTaskOf(3)))
    }),
    ("delayed-30s", |seed, chance| {
        let at = 30.0 + chance.between(0.0, 1.0);
        (story(seed).with(Spell::new(Place::New, Ill::Status(500), at, 1e6)), at)
    }),
    ("delayed-5min", |seed, chance| {
        let at = 300.0 + chance.between(0.0, 5.0);
        (story(seed).with(Spell::new(Place::New, Ill::Status(500), at, 1e6)).until(at + 30.0), at)
    }),
    ("flapping", |seed, chance| {
        let period = chance.between(0.4, 3.0);
        wrong(seed, chance, |spell| spell.flaps(period, period / 2.0))
    }),
    ("ramp", |seed, chance| wrong(seed, chance, |spell| spell.share(0.5).ramp(30.0))),
    ("1-url-of-50", |seed, chance| {
        let (mut story, at) = wrong(seed, chance, |spell| spell.part(Part::Url(7)));
        story.urls = 50;
        (story, at)
    }),
    ("from-the-start", |seed, _| (story(seed).with(Spell::new(Place::New, Ill::Status(500), 0.0, 1e6)), 0.0)),
    ("hang-from-the-start", |seed, _| (story(seed).with(Spell::new(Place::New, Ill::Hang, 0.0, 1e6)), 0.0)),
];
