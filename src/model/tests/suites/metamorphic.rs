//! What must not change a decision: other URLs, other colours, another clock, another pace, healthy URLs beside.

use crate::count::replaying;
use crate::rig::play;
use crate::story::{Part, Story};
use crate::suites::chance;
use crate::told::Told;
use crate::{must, must_not, refused};

const SEEDS: u64 = 10;

/// Of every sort: what is reverted, what isn't, what is refused.
const SOME: [&str; 14] = [
    "errors-100",
    "errors-20",
    "hang",
    "bad-certificate",
    "flapping",
    "1-task-of-3",
    "from-the-start",
    "blip",
    "gap-of-ours",
    "quota-stall",
    "both-dead",
    "rate-limit",
    "one-zone",
    "hold-set",
];

fn story(name: &str, seed: u64) -> Story {
    let chance = &mut chance(seed);
    let tale = must_not::PATTERNS.iter().chain(&refused::PATTERNS).find(|(known, _)| *known == name);
    if let Some((_, pattern)) = tale {
        return pattern(seed, chance).story;
    }
    let found = must::PATTERNS.iter().find(|(known, _)| *known == name);
    found.expect("a pattern of these suites").1(seed, chance).0
}

/// Plays every story as it is and changed, and compares what `same` picks.
fn unchanged<T: PartialEq + std::fmt::Debug>(
    names: &[&str],
    base: impl Fn(Story) -> Story,
    change: impl Fn(Story) -> Story,
    same: impl Fn(&Told) -> T,
) {
    if replaying() {
        return;
    }
    for name in names {
        for seed in 0..SEEDS {
            let (one, other) = (play(base(story(name, seed))), play(change(base(story(name, seed)))));
            assert_eq!(same(&one), same(&other), "{name}:{seed}\n{:?}\n{:?}", one.words, other.words);
        }
    }
}

/// All of it: every word, every time, every refusal.
fn everything(told: &Told) -> impl PartialEq + std::fmt::Debug + use<> {
    (told.words.clone(), told.labels.clone(), told.breach, told.intent, told.writes.clone())
}

fn reverted(told: &Told) -> bool {
    !told.writes.is_empty()
}

#[test]
fn permuting_urls_changes_nothing() {
    let many = |story: Story| Story { urls: 50, ..story };
    unchanged(&SOME, many, |story| Story { url_step: 7, ..story }, everything);
}

#[test]
fn swapping_colours_changes_nothing() {
    unchanged(&SOME, |story| story, |story| Story { old: 1 - story.old, ..story }, everything);
}

#[test]
fn another_origin_of_the_clock_changes_nothing() {
    let later = |story: Story| Story { origin: 10_000_000.0, ..story };
    unchanged(&SOME, |story| story, later, everything);
}

/// Twice as many URLs and probes, and what was all of the service is now half of it.
#[test]
fn healthy_urls_beside_change_no_decision() {
    let all = |mut story: Story| {
        for spell in &mut story.spells {
            if spell.part == Part::All {
                spell.part = Part::UrlsBelow(2);
            }
        }
        story
    };
    let more = |mut story: Story| {
        (story.urls, story.rates.0) = (4, story.rates.0 * 2.0);
        story
    };
    let names = [
        "errors-100",
        "errors-20",
        "hang",
        "bad-certificate",
        "flapping",
        "blip",
        "both-dead",
        "one-zone",
        "hold-set",
    ];
    unchanged(&names, all, more, reverted);
}

/// Everything takes twice as long, and half as many probes a second are sent.
#[test]
fn scaling_time_changes_no_decision() {
    let slow = |mut story: Story| {
        for spell in &mut story.spells {
            (spell.from, spell.to) = (spell.from * 2.0, spell.to * 2.0);
            spell.flaps = spell.flaps.map(|(period, on)| (period * 2.0, on * 2.0));
            spell.ramp *= 2.0;
        }
        story.freezes = story.freezes.iter().map(|(from, to)| (from * 2.0, to * 2.0)).collect();
        for (at, _) in &mut story.deeds {
            *at *= 2.0;
        }
        story.span = (story.span.0 * 2.0, story.span.1 * 2.0);
        story.rates = (story.rates.0 / 2.0, story.rates.1 / 2.0);
        let judge = &mut story.judge;
        for duration in [
            &mut judge.tolerate_blip,
            &mut judge.window,
            &mut judge.grace,
            &mut judge.settle,
            &mut judge.judge_for,
            &mut judge.onset,
            &mut judge.propagation,
            &mut story.guard.settle,
            &mut story.guard.judge_for,
        ] {
            *duration *= 2;
        }
        judge.release_rate_hz /= 2.0;
        story
    };
    unchanged(&SOME, |story| story, slow, reverted);
}
