//! The suites themselves: which patterns, how often, and what must come of it.

use crate::chance::Chance;
use crate::count::{One, Suite, replaying, tell};
use crate::must_not::Tale;
use crate::quiet::{Kind, Play, Watch, quiet};
use crate::rig::play;
use crate::{must, must_not, refused};

/// How many are played every day: what six minutes of two cores allow, all suites together.
const QUIET: u64 = 50_000;
const EACH: u64 = 500;

/// A story's own chance, apart from that of its world.
pub(crate) fn chance(seed: u64) -> Chance {
    Chance::new(seed ^ 0x5eed_0fa5_7012)
}

fn tales() -> Vec<must_not::Pattern> {
    must_not::PATTERNS.iter().chain(&refused::PATTERNS).copied().collect()
}

fn quiet_one(_: usize, seed: u64) -> One {
    let told = quiet(Play::new(seed));
    let kind = Kind::of(seed).name();
    let wrong = told.bad.map(|(at, says)| format!("{kind}: bad at {at:.2} s: {says}"));
    One { reverted: wrong.is_some() || told.written, wrong, seconds: None }
}

fn must_not_one(pattern: usize, seed: u64) -> One {
    let tale: Tale = tales()[pattern].1(seed, &mut chance(seed));
    let expects = tale.expects();
    let told = play(tale.story);
    let reverted = !told.writes.is_empty();
    let wrong = if reverted { Some(format!("it writes: {:?}", told.words)) } else { expects.missing(&told) };
    One { reverted, wrong, seconds: None }
}

fn must_one(pattern: usize, seed: u64) -> One {
    regression(must::PATTERNS[pattern], seed)
}

fn regression(pattern: must::Pattern, seed: u64) -> One {
    let (story, fault) = pattern.1(seed, &mut chance(seed));
    let told = play(story);
    let early = told.writes.first().is_some_and(|at| *at < fault);
    let reverted = !told.writes.is_empty() && !early;
    let last = told.words.len().saturating_sub(4);
    let wrong = (!reverted).then(|| format!("not reverted: {:?} {:?}", &told.words[last..], told.labels));
    One { reverted, wrong, seconds: told.intent.map(|at| at - fault).filter(|_| reverted) }
}

/// By times the objective; the last is a regression that is too small.
const GREY: [(&str, f64); 5] = [("x1", 1.0), ("x1.5", 1.5), ("x2", 2.0), ("x3", 3.0), (must::SMALL.0, 0.0)];

fn grey_play(times: f64, seed: u64) -> Play {
    Play { level: 2.0 * times, only_new: true, ..Play::new(seed) }
}

/// What is a little worse than promised may be reverted or not.
fn grey_one(pattern: usize, seed: u64) -> One {
    let times = GREY[pattern].1;
    if times == 0.0 {
        return One { wrong: None, ..regression(must::SMALL, seed) };
    }
    let told = quiet(grey_play(times, seed));
    One { reverted: told.bad.is_some(), wrong: None, seconds: told.bad.map(|(at, _)| at) }
}

/// Every suite, for playing and for playing again.
fn suite(index: usize) -> Suite<'static> {
    match index {
        0 => Suite { name: "quiet", patterns: vec!["quiet"], seeds: 0..QUIET, play: &quiet_one },
        1 => Suite {
            name: "must-not",
            patterns: tales().iter().map(|(name, _)| *name).collect(),
            seeds: 0..EACH,
            play: &must_not_one,
        },
        2 => Suite {
            name: "must",
            patterns: must::PATTERNS.iter().map(|(name, _)| *name).collect(),
            seeds: 0..EACH,
            play: &must_one,
        },
        _ => Suite {
            name: "grey",
            patterns: GREY.iter().map(|(name, _)| *name).collect(),
            seeds: 0..EACH / 10,
            play: &grey_one,
        },
    }
}

#[test]
fn quiet_releases_are_never_reverted() {
    if replaying() {
        return;
    }
    let counted = suite(0).run();
    counted.table("Quiet releases", "| pattern | releases | reverted | at most (95 %) |", |row| {
        format!("{} | {} | {} |", row.releases, row.reverted, row.at_most())
    });
    assert_eq!(counted.sum().reverted, 0);
}

#[test]
fn trouble_that_is_not_the_releases_is_never_reverted_and_called_by_its_name() {
    if replaying() {
        return;
    }
    let counted = suite(1).run();
    counted.table(
        "Must not be reverted",
        "| pattern | releases | reverted | said what is right | at most (95 %) |",
        |row| format!("{} | {} | {} | {} |", row.releases, row.reverted, row.right, row.at_most()),
    );
    let sum = counted.sum();
    assert_eq!(sum.reverted, 0);
    assert!(sum.right * 1_000 >= sum.releases * 999, "{} of {} said what is right", sum.right, sum.releases);
}

#[test]
fn regressions_above_the_least_effect_are_all_reverted() {
    if replaying() {
        return;
    }
    let counted = suite(2).run();
    counted.table("Must be reverted", "| pattern | releases | reverted | median | P99 |", |row| {
        format!("{} | {} | {} | {} |", row.releases, row.reverted, row.time(50), row.time(99))
    });
    let sum = counted.sum();
    assert_eq!(sum.reverted, sum.releases);
}

#[test]
fn what_is_a_little_worse_than_promised_is_told_and_nothing_is_asserted() {
    if replaying() {
        return;
    }
    let counted = suite(3).run();
    counted.table(
        "Grey: 1 to 3 times what is promised",
        "| times the objective | releases | called bad | median | P99 |",
        |row| format!("{} | {} | {} | {} |", row.releases, row.reverted, row.time(50), row.time(99)),
    );
}

/// The judge is asked only where its word can be new. Asked after every sample, it finds nothing else.
#[test]
fn looking_always_finds_no_more_than_looking_where_something_is_new() {
    if replaying() {
        return;
    }
    let (mut found, mut late) = (0, 0.0_f64);
    for seed in 0..24 {
        let play = Play { level: 10.0, only_new: true, seconds: 100, ..Play::new(seed) };
        let keen = quiet(play);
        let always = quiet(Play { watch: Watch::Always, ..play });
        assert!(always.looks > keen.looks);
        match (keen.bad, always.bad) {
            (Some((keen, _)), Some((always, _))) => {
                found += 1;
                late = late.max(keen - always);
            }
            (None, None) => {}
            (keen, always) => panic!("{seed}: {keen:?} {always:?}"),
        }
    }
    assert!(found >= 5 && late < 1.0, "{found} are bad, found {late:.2} s late at most");
}

/// With `SERIN_REPLAY` that release; without, one that is known.
#[test]
fn one_release_can_be_played_again_alone() {
    let wanted = std::env::var("SERIN_REPLAY").unwrap_or_else(|_| "errors-20:7".to_owned());
    let (name, seed) = wanted.split_once(':').expect("SERIN_REPLAY is pattern:seed");
    let seed: u64 = seed.parse().expect("SERIN_REPLAY is pattern:seed");
    let trace = trace(name, seed);
    assert_eq!(trace, crate::suites::trace(name, seed));
    if replaying() {
        tell(&trace);
    }
    let found = (0..4).find_map(|index| {
        let suite = suite(index);
        let pattern = suite.patterns.iter().position(|pattern| *pattern == name)?;
        Some((suite.play)(pattern, seed))
    });
    assert_eq!(found.expect("a pattern of these suites").wrong, None);
}

/// All that is said and done in one release.
pub(crate) fn trace(name: &str, seed: u64) -> String {
    let grey = GREY.iter().find(|(known, times)| *known == name && *times > 0.0);
    let play_of = |times: f64| if times > 0.0 { grey_play(times, seed) } else { Play::new(seed) };
    if name == "quiet" || grey.is_some() {
        let told = quiet(Play { traced: true, ..play_of(grey.map_or(0.0, |(_, times)| *times)) });
        return format!("{}{:?} {}\n", told.trace, told.bad, told.written);
    }
    let story = tales()
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, pattern)| pattern(seed, &mut chance(seed)).story)
        .or_else(|| {
            let found = must::PATTERNS.iter().chain([&must::SMALL]).find(|(known, _)| *known == name);
            found.map(|(_, pattern)| pattern(seed, &mut chance(seed)).0)
        });
    let mut story = story.expect("a pattern of these suites");
    story.traced = true;
    play(story).trace.expect("it was asked for")
}

#[test]
fn the_same_seed_gives_the_same_trace_byte_for_byte() {
    if replaying() {
        return;
    }
    let names: Vec<&str> = (0..3).flat_map(|index| suite(index).patterns).collect();
    let mut different = 0;
    for seed in 0..100_u64 {
        let name = names[usize::try_from(seed).expect("small") % names.len()];
        let first = trace(name, seed);
        assert_eq!(first, trace(name, seed), "{name}:{seed}");
        different += u32::from(first != trace(name, seed + 1));
    }
    assert!(different > 90, "another seed is another story: {different}");
}

#[test]
fn results_of_several_runs_add_up_and_no_seed_counts_twice() {
    let text = "must\terrors-20\t0\t10\t10\t10\t10\t100:4,200:6\nquiet\tquiet\t0\t5\t5\t0\t5\t\n\
                must\terrors-20\t10\t12\t2\t2\t2\t300:2\n";
    let suite = suite(2);
    let rows = suite.merged(text);
    let (_, row) = rows.iter().find(|(name, _)| *name == "errors-20").expect("a pattern");
    assert_eq!((row.releases, row.reverted, row.right), (12, 12, 12));
    assert_eq!((row.time(50), row.time(99)), ("2.00 s".to_owned(), "3.00 s".to_owned()));
    let again = format!("{text}must\terrors-20\t9\t11\t2\t2\t2\t\n");
    assert!(std::panic::catch_unwind(|| super::suites::suite(2).merged(&again)).is_err());
}
