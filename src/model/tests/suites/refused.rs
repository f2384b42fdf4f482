//! What must not be reverted although the release may well be bad: too little is known, or somebody or something forbids it.

use crate::must_not::{Pattern, Tale, grace_of, later, paired};
use crate::rig::{Rig, Trouble};
use crate::story::{Ill, Place, Spell, Story};
use serin_model::guard::{Command, Event};
use serin_model::listener::HealthState;
use serin_model::policy::Mode;
use std::time::Duration;

const OUTAGE: Ill = Ill::Status(500);

/// The new version fails from `at` on.
fn bad(seed: u64, at: f64) -> Story {
    paired(seed).with(Spell::new(Place::New, OUTAGE, at, 1e6)).until(at + 4.0)
}

/// Bad, with something done at a time, and the guard's answer.
fn forbidden((seed, at): (u64, f64), (when, deed): (f64, fn(&mut Rig)), label: &'static str) -> Tale {
    Tale::of(bad(seed, at).at(when, deed)).does(label)
}

pub(crate) const PATTERNS: [Pattern; 24] = [
    ("wall-clock-forward", |seed, chance| {
        let at = later(chance);
        Tale::of(paired(seed).at(at, |rig| rig.restart(3_600, true))).says(at + 12.0, &["good"])
    }),
    ("wall-clock-back", |seed, chance| {
        let at = later(chance);
        Tale::of(paired(seed).at(at, |rig| rig.restart(-3_600, true))).says(at + 12.0, &["good"])
    }),
    // With more errors than these, the first thirty answers may all be errors, and a version that answers nothing else has no grace.
    ("cold-start", |seed, chance| {
        let long = chance.between(11.0, 15.0);
        let mut story = paired(seed)
            .with(Spell::new(Place::New, Ill::Times(4.0), 0.0, long))
            .with(Spell::new(Place::New, Ill::Status(503), 0.0, long).share(chance.between(0.1, 0.75)));
        grace_of(&mut story, 20);
        Tale::of(story).says(long - 0.5, &["grace"]).says(30.0, &["good"])
    }),
    ("cold-caches", |seed, chance| {
        let long = chance.between(6.0, 9.0);
        Tale::of(paired(seed).with(Spell::new(Place::New, Ill::Times(8.0), 0.0, long)))
            .says(long, &["grace"])
            .says(25.0, &["good"])
    }),
    ("three-probes", |seed, _| {
        let mut story = paired(seed).with(Spell::new(Place::New, OUTAGE, 0.0, 1e6));
        story.rates.0 = 0.1;
        Tale::of(story).says(30.5, &["suspect", "too-few", "no-known-answer", "no-data"])
    }),
    ("missing-data", |seed, chance| {
        let at = later(chance);
        Tale::of(paired(seed).with(Spell::new(Place::Front, Ill::Silence, at, 1e6)))
            .says(at + 11.5, &["no-data"])
    }),
    ("old-version-not-asked", |seed, chance| {
        let at = later(chance);
        let deaf = Spell::new(Place::Old, Ill::Silence, 0.0, 1e6);
        Tale::of(bad(seed, at).with(deaf)).says(at + 3.0, &["no-control"]).does("refused no-control")
    }),
    ("telemetry-lost", |seed, chance| {
        let at = later(chance);
        let story = paired(seed)
            .with(Spell::new(Place::New, OUTAGE, at, at + 3.0))
            .at(at - 1.0, |rig| rig.unheard = true)
            .at(at + 7.0, |rig| rig.unheard = false);
        Tale::of(story).says(at + 8.0, &["suspect"])
    }),
    ("aws-throttled", |seed, chance| {
        let at = later(chance);
        let mut tale = forbidden(
            (seed, at),
            (at - 2.0, |rig| rig.trouble = Some(Trouble::Throttled)),
            "refused listener-read",
        );
        tale.story.span.1 = at + 30.0;
        tale
    }),
    ("aws-denied", |seed, chance| {
        let at = later(chance);
        forbidden((seed, at), (at - 2.0, |rig| rig.trouble = Some(Trouble::Denied)), "refused listener-read")
    }),
    ("old-version-is-another", |seed, chance| {
        let at = later(chance);
        forbidden((seed, at), (5.0, |rig| rig.rename(0, "v9")), "refused blue-is-what-it-was")
    }),
    ("aws-silent", |seed, chance| {
        let at = later(chance);
        let mut tale = forbidden(
            (seed, at),
            (at - 2.0, |rig| rig.trouble = Some(Trouble::Lost)),
            "refused listener-read",
        );
        tale.story.span.1 = at + 40.0;
        tale
    }),
    ("hold-set", |seed, chance| {
        let at = later(chance);
        forbidden((seed, at), (at - 5.0, |rig| rig.marks.hold = Some("tag".into())), "refused no-hold")
    }),
    ("hold-commanded", |seed, chance| {
        let at = later(chance);
        let hold = |rig: &mut Rig| rig.step(Event::Operator(Command::Hold { reason: "incident 7".into() }));
        forbidden((seed, at), (at - 5.0, hold), "refused no-hold")
    }),
    ("wrong-epoch", |seed, chance| {
        let at = later(chance);
        Tale::of(paired(seed).at(at, Rig::stale)).says(at + 1.0, &["good"])
    }),
    ("moved-on", |seed, chance| {
        let at = later(chance);
        let story = paired(seed).with(Spell::new(Place::New, OUTAGE, at, at + 2.0)).at(at + 0.05, Rig::go_on);
        Tale::of(story).says(at + 15.0, &["good"])
    }),
    ("operator-first", |seed, chance| {
        let at = later(chance);
        Tale::of(bad(seed, at).at(at + 0.1, Rig::put_back)).says(at + 20.0, &["good"])
    }),
    ("no-known-good", |seed, chance| {
        let at = later(chance);
        let mut story = bad(seed, at);
        story.span.0 = 20.0;
        Tale::of(story).does("refused known-good")
    }),
    ("old-version-unhealthy", |seed, chance| {
        let at = later(chance);
        let drain = |rig: &mut Rig| rig.targets(0)[0].state = HealthState::Draining;
        forbidden((seed, at), (5.0, drain), "refused blue-healthy")
    }),
    ("irreversible", |seed, chance| {
        let at = later(chance);
        let mark = |rig: &mut Rig| rig.marks.irreversible = Some("tag".into());
        forbidden((seed, at), (5.0, mark), "refused reversible")
    }),
    ("after-the-judged-time", |seed, chance| {
        let at = 40.0 + chance.between(0.0, 5.0);
        let mut story = bad(seed, at);
        (story.judge.judge_for, story.guard.judge_for) = (Duration::from_secs(35), Duration::from_secs(35));
        Tale::of(story).does("paged bad")
    }),
    ("ledger-full", |seed, chance| {
        let at = later(chance);
        forbidden((seed, at), (5.0, |rig| rig.ledger_full = true), "refused ledger")
    }),
    ("ledger-lost", |seed, chance| {
        let at = later(chance);
        forbidden((seed, at), (at - 6.0, |rig| rig.restart(0, false)), "paged bad")
    }),
    ("observe", |seed, chance| {
        let at = later(chance);
        let mut story = bad(seed, at);
        story.guard.mode = Mode::Observe;
        Tale::of(story).does("held observe")
    }),
];
