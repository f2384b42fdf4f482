//! Plays patterns with many seeds on all cores, counts, and tells: a table, and how to play a failure again.
//!
//! | variable | what |
//! |---|---|
//! | `SERIN_RANGE=from..to` | the seeds of each pattern, instead of those of every day |
//! | `SERIN_ONLY=pattern` | that pattern alone |
//! | `SERIN_RESULTS=file` | appends the counts there, and tells those of all runs in it together |
//! | `SERIN_REPLAY=pattern:seed` | plays that one only, and prints what happens |

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Seeds that a thread takes at once.
const HELPING: u64 = 20;

/// What came of one release.
#[derive(Clone, Debug, Default)]
pub(crate) struct One {
    pub(crate) reverted: bool,
    /// It is as it should be, or what isn't.
    pub(crate) wrong: Option<String>,
    /// From the fault to the intent.
    pub(crate) seconds: Option<f64>,
}

/// What came of many.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) releases: u64,
    pub(crate) reverted: u64,
    pub(crate) right: u64,
    /// Times to the intent, in hundredths of a second, rounded up.
    times: BTreeMap<u64, u64>,
}

impl Row {
    fn take(&mut self, one: &One) {
        self.releases += 1;
        self.reverted += u64::from(one.reverted);
        self.right += u64::from(one.wrong.is_none());
        if let Some(seconds) = one.seconds {
            *self.times.entry(hundredths(seconds)).or_default() += 1;
        }
    }

    fn add(&mut self, other: &Self) {
        self.releases += other.releases;
        self.reverted += other.reverted;
        self.right += other.right;
        for (time, count) in &other.times {
            *self.times.entry(*time).or_default() += count;
        }
    }

    /// The time that a share of the releases, in hundredths, doesn't exceed.
    pub(crate) fn time(&self, hundredth: u64) -> String {
        let all: u64 = self.times.values().sum();
        let rank = (all * hundredth).div_ceil(100).max(1);
        let mut seen = 0;
        let found = self.times.iter().find(|(_, count)| {
            seen += *count;
            seen >= rank
        });
        found.map_or_else(|| "–".to_owned(), |(time, _)| format!("{}.{:02} s", time / 100, time % 100))
    }

    /// The share that is reverted, at most, with 95 % confidence, when none was: the rule of three.
    pub(crate) fn at_most(&self) -> String {
        #[expect(clippy::cast_precision_loss, reason = "millions")]
        let bound = 3.0 / self.releases.max(1) as f64;
        if self.reverted == 0 { format!("{bound:.1e}") } else { "–".to_owned() }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a short time")]
fn hundredths(seconds: f64) -> u64 {
    (seconds.max(0.0) * 100.0).ceil() as u64
}

/// A suite: named patterns, and what one release of one of them comes to.
pub(crate) struct Suite<'a> {
    pub(crate) name: &'static str,
    pub(crate) patterns: Vec<&'static str>,
    pub(crate) seeds: Range<u64>,
    pub(crate) play: &'a (dyn Fn(usize, u64) -> One + Sync),
}

/// Rows by pattern, and what went wrong.
pub(crate) struct Counted {
    pub(crate) rows: Vec<(&'static str, Row)>,
    pub(crate) faults: Vec<String>,
}

/// True when one release is to be played again, and nothing else.
pub(crate) fn replaying() -> bool {
    std::env::var_os("SERIN_REPLAY").is_some()
}

impl Suite<'_> {
    /// Plays it all. A release that panics is a fault like any other.
    pub(crate) fn run(&self) -> Counted {
        let seeds = range().unwrap_or_else(|| self.seeds.clone());
        let only = std::env::var("SERIN_ONLY").ok();
        let wanted: Vec<usize> = (0..self.patterns.len())
            .filter(|index| only.as_ref().is_none_or(|only| only == self.patterns[*index]))
            .collect();
        let helpings: Vec<(usize, Range<u64>)> = (seeds.start..seeds.end)
            .step_by(usize::try_from(HELPING).expect("small"))
            .flat_map(|from| {
                let to = (from + HELPING).min(seeds.end);
                wanted.iter().map(move |pattern| (*pattern, from..to))
            })
            .collect();
        let next = AtomicUsize::new(0);
        let counted = Mutex::new((vec![Row::default(); self.patterns.len()], vec![]));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        std::thread::scope(|scope| {
            for _ in 0..cores {
                scope.spawn(|| {
                    while let Some((pattern, seeds)) = helpings.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let (row, faults) = self.helping(*pattern, seeds.clone());
                        let mut counted = counted.lock().expect("nobody panics with it");
                        counted.0[*pattern].add(&row);
                        counted.1.extend(faults);
                    }
                });
            }
        });
        let (rows, mut faults) = counted.into_inner().expect("nobody panics with it");
        faults.sort();
        let rows = self.patterns.iter().copied().zip(rows).filter(|(_, row)| row.releases > 0).collect();
        Counted { rows: self.keep(&seeds, rows), faults }
    }

    fn helping(&self, pattern: usize, seeds: Range<u64>) -> (Row, Vec<String>) {
        let (mut row, mut faults) = (Row::default(), vec![]);
        for seed in seeds {
            let one = catch_unwind(AssertUnwindSafe(|| (self.play)(pattern, seed)))
                .unwrap_or_else(|_| One { wrong: Some("it panics".to_owned()), ..One::default() });
            row.take(&one);
            if let Some(wrong) = one.wrong {
                faults.push(format!("SERIN_REPLAY=\"{}:{seed}\": {wrong}", self.patterns[pattern]));
            }
        }
        (row, faults)
    }

    /// Appends the counts to the file of results, if there is one; what it holds in all is told instead.
    fn keep(&self, seeds: &Range<u64>, rows: Vec<(&'static str, Row)>) -> Vec<(&'static str, Row)> {
        let Some(path) = std::env::var_os("SERIN_RESULTS") else { return rows };
        let mut text = String::new();
        for (pattern, row) in &rows {
            let times: Vec<String> =
                row.times.iter().map(|(time, count)| format!("{time}:{count}")).collect();
            let Row { releases, reverted, right, .. } = row;
            let _ = writeln!(
                text,
                "{}\t{pattern}\t{}\t{}\t{releases}\t{reverted}\t{right}\t{}",
                self.name,
                seeds.start,
                seeds.end,
                times.join(",")
            );
        }
        let mut file =
            std::fs::OpenOptions::new().create(true).append(true).open(&path).expect("SERIN_RESULTS");
        file.write_all(text.as_bytes()).expect("SERIN_RESULTS");
        self.merged(&std::fs::read_to_string(&path).expect("SERIN_RESULTS"))
    }

    /// The sum of all runs in a file of results. Seeds that were played twice are refused.
    pub(crate) fn merged(&self, text: &str) -> Vec<(&'static str, Row)> {
        let mut rows: Vec<(&'static str, Row)> =
            self.patterns.iter().map(|name| (*name, Row::default())).collect();
        let mut played: BTreeMap<&str, Vec<Range<u64>>> = BTreeMap::new();
        for line in text.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let [suite, pattern, numbers @ .., times] = fields.as_slice() else { panic!("{line}") };
            let numbers: Vec<u64> = numbers.iter().map(|number| number.parse().expect("a number")).collect();
            let [from, to, releases, reverted, right] = numbers[..] else { panic!("{line}") };
            let Some((_, row)) = rows.iter_mut().find(|(name, _)| name == pattern && *suite == self.name)
            else {
                continue;
            };
            let before = played.entry(pattern).or_default();
            let twice = before.iter().any(|other| from < other.end && other.start < to);
            assert!(!twice, "{suite} {pattern}: seeds {from}..{to} were played before");
            before.push(from..to);
            let pair = |text: &str| {
                let (time, count) = text.split_once(':').expect("time:count");
                (time.parse().expect("a number"), count.parse().expect("a number"))
            };
            let times = times.split(',').filter(|part| !part.is_empty()).map(pair).collect();
            row.add(&Row { releases, reverted, right, times });
        }
        rows
    }
}

/// `SERIN_RANGE`.
fn range() -> Option<Range<u64>> {
    let text = std::env::var("SERIN_RANGE").ok()?;
    let (from, to) = text.split_once("..").expect("SERIN_RANGE is from..to");
    Some(from.parse().expect("SERIN_RANGE is from..to")..to.parse().expect("SERIN_RANGE is from..to"))
}

/// On standard output, past the capturing of tests: the table is what a run is for.
pub(crate) fn tell(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).expect("standard output");
}

impl Counted {
    /// All rows together.
    pub(crate) fn sum(&self) -> Row {
        let mut sum = Row::default();
        for (_, row) in &self.rows {
            sum.add(row);
        }
        sum
    }

    /// Prints `head` and a line a row, and the last one for all.
    pub(crate) fn table(&self, title: &str, head: &str, line: impl Fn(&Row) -> String) {
        let rule = "|---".repeat(head.matches('|').count() - 1);
        let mut text = format!("\n### {title}\n\n{head}\n{rule}|\n");
        for (name, row) in &self.rows {
            let _ = writeln!(text, "| {name} | {}", line(row));
        }
        let _ = writeln!(text, "| **all** | {}\n", line(&self.sum()));
        for fault in self.faults.iter().take(20) {
            let _ = writeln!(text, "{fault}");
        }
        if self.faults.len() > 20 {
            let _ = writeln!(text, "and {} more", self.faults.len() - 20);
        }
        tell(&text);
    }
}
