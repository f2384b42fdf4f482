//! Rates and P95 from raw samples, where these are still there.

use super::collect::{Point, Story};
use super::curves::Answered;
use super::{Outcome, Report, Stages, Versions};
use crate::evidence::ledger::rfc3339;
use crate::evidence::samples::{BEFORE, SampleLine};
use crate::model::record::Record;
use crate::model::release::EpochId;
use crate::model::sample::{Purpose, Taint};
use crate::model::target::Version;
use crate::model::time::Wall;
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read};

/// A longer line is no sample.
const LINE_MAX: u64 = 64 << 10;
/// More samples than a release window holds aren't read.
const SAMPLES_MAX: usize = 2_000_000;
/// Two clocks that disagree by more belong to two runs, milliseconds.
const SAME_RUN_MS: f64 = 5_000.0;

/// A sample of the production path, as far as it counts.
#[derive(Clone, Copy, Debug)]
struct Answer {
    /// When it was due, since the cutover, milliseconds.
    ms: f64,
    response_ms: f64,
    bad: bool,
    /// Sent, so that its response time says something.
    sent: bool,
    /// An index into the versions.
    version: Option<u16>,
    side: Side,
}

/// Which state of the listener a sample speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// By its time.
    Known,
    /// The one before, by its version.
    Before,
    /// Nobody knows.
    Straddling,
}

/// What the samples files say of one release.
#[derive(Debug)]
pub(super) struct Samples {
    cutover: Point,
    before_ms: f64,
    /// The versions of the state before: an answer that names one, due before the cutover, is no straddling one.
    old: BTreeSet<Version>,
    until_ms: f64,
    answers: Vec<Answer>,
    versions: Vec<Box<str>>,
    /// The epochs of the release.
    epochs: BTreeSet<EpochId>,
    left_out: u64,
}

/// The line that says what the budget of the samples left out.
#[derive(Debug, Deserialize)]
struct SpillLine {
    epoch: EpochId,
    left_out: u64,
}

impl Samples {
    /// None yet, for the time of `story`: from a minute before its cutover until it ended.
    pub(super) fn of(story: &Story) -> Self {
        let last = story.ended.map(|(at, _)| at).or_else(|| story.records.last().map(|(at, _)| *at));
        let slack = if story.ended.is_some() { 0.0 } else { BEFORE.as_secs_f64() * 1_000.0 };
        Self {
            cutover: story.cutover,
            before_ms: story.before.ms_since(story.cutover),
            old: old_versions(story),
            until_ms: last.map_or(0.0, |at| at.ms_since(story.cutover)) + slack,
            answers: Vec::new(),
            versions: Vec::new(),
            epochs: epochs(story),
            left_out: 0,
        }
    }

    /// Bad answers of the release that were counted and not kept.
    pub(super) const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// There may have been more than were read.
    pub(super) const fn is_full(&self) -> bool {
        self.answers.len() >= SAMPLES_MAX
    }

    /// What a chart needs of them, and the names of the versions. The straddling ones are among them: whoever is to blame
    /// for an answer, a user would have had it.
    pub(super) fn into_answers(self) -> (Vec<Answered>, Vec<Box<str>>) {
        let answers = self.answers.into_iter().map(|answer| Answered {
            ms: answer.ms,
            response_ms: answer.sent.then_some(answer.response_ms),
            bad: answer.bad,
            version: answer.version,
        });
        (answers.collect(), self.versions)
    }

    /// Reads one samples file; what isn't a sample is skipped.
    pub(super) fn read(&mut self, mut lines: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        while self.answers.len() < SAMPLES_MAX {
            line.clear();
            if (&mut lines).take(LINE_MAX).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            if let Ok(sample) = serde_json::from_slice::<SampleLine>(&line) {
                self.take(&sample);
            } else if let Ok(spill) = serde_json::from_slice::<SpillLine>(&line)
                && self.epochs.contains(&spill.epoch)
            {
                self.left_out = self.left_out.saturating_add(spill.left_out);
            }
        }
        Ok(())
    }

    fn take(&mut self, sample: &SampleLine) {
        let counts = matches!(&*sample.outcome, "ok" | "bad" | "saturated");
        if sample.purpose != Purpose::Production
            || matches!(sample.taint, Taint::Late | Taint::Stalled)
            || !counts
        {
            return;
        }
        let Some(ms) = self.since_cutover(sample) else { return };
        if ms < -BEFORE.as_secs_f64() * 1_000.0 || ms > self.until_ms {
            return;
        }
        let known_old = ms < 0.0 && sample.version.as_deref().is_some_and(|name| self.old.contains(name));
        let version = sample.version.as_deref().and_then(|name| self.intern(name));
        self.answers.push(Answer {
            ms,
            response_ms: sample.response_ms,
            bad: &*sample.outcome != "ok",
            sent: &*sample.outcome != "saturated",
            version,
            side: match sample.taint {
                _ if known_old => Side::Before,
                Taint::Straddling => Side::Straddling,
                Taint::Clean | Taint::Late | Taint::Stalled => Side::Known,
            },
        });
    }

    /// By the monotonic clock where both clocks agree that it is the same run, otherwise by the wall clock.
    fn since_cutover(&self, sample: &SampleLine) -> Option<f64> {
        let wall = Wall(sample.ts.parse::<Timestamp>().ok()?.as_millisecond());
        let by_wall = Point { run: u64::MAX, wall, ..self.cutover }.ms_since(self.cutover);
        let by_mono = self.cutover.at(sample.mono).ms_since(self.cutover);
        Some(if (by_wall - by_mono).abs() < SAME_RUN_MS { by_mono } else { by_wall })
    }

    fn intern(&mut self, name: &str) -> Option<u16> {
        let index = self.versions.iter().position(|known| &**known == name).unwrap_or_else(|| {
            self.versions.push(name.into());
            self.versions.len() - 1
        });
        u16::try_from(index).ok()
    }

    /// Puts exact numbers in the place of the ledger's.
    pub(super) fn refine(&mut self, report: &mut Report, story: &Story) {
        self.answers.sort_by(|a, b| a.ms.total_cmp(&b.ms));
        if self.answers.iter().all(|answer| answer.side == Side::Straddling) {
            return;
        }
        let bad_from = bad_from(story);
        let verified =
            report.timeline.iter().rev().find(|step| &*step.step == "verified").map(|step| step.ms);
        let during = bad_from.unwrap_or(0.0)..verified.unwrap_or(f64::INFINITY);
        let before = self.measure(|answer| answer.side == Side::Before || answer.ms <= self.before_ms);
        let during = self.measure(|answer| during.contains(&answer.ms));
        let after = verified.map(|verified| self.measure(|answer| answer.ms >= verified)).unwrap_or_default();
        report.answers = Stages { before: before.0, during: during.0, after: after.0 };
        report.error_rate = Stages { before: before.1, during: during.1, after: after.1 };
        report.p95_ms = Stages { before: before.2, during: during.2, after: after.2 };
        report.source = "samples".into();
        self.downtime(report, bad_from, verified);
        let versions = self.shares(story.cutover);
        if !versions.is_empty() {
            report.versions = versions;
        }
    }

    /// Until the last bad sample, if that is known better than anything else is.
    fn downtime(&self, report: &mut Report, bad_from: Option<f64>, verified: Option<f64>) {
        let Some(from) = bad_from else { return };
        let recovered = !matches!(report.outcome, Outcome::Refused | Outcome::Held | Outcome::Observed);
        let until = verified.unwrap_or(f64::INFINITY);
        let bad = self.answers.iter().filter(|answer| answer.bad && answer.ms >= from && answer.ms <= until);
        let last = bad.map(|answer| answer.ms + answer.response_ms).fold(f64::NEG_INFINITY, f64::max);
        if last.is_finite() && (verified.is_some() || recovered || report.downtime_s.is_none()) {
            report.downtime_s = Some((last.min(until) - from).max(0.0) / 1_000.0);
            report.downtime_until = "last_bad_sample".into();
        }
    }

    /// Answers, share of bad ones and P95 (nearest rank, milliseconds) of the samples due then.
    fn measure(&self, then: impl Fn(&Answer) -> bool) -> (Option<u64>, Option<f64>, Option<f64>) {
        let (mut all, mut bad) = (0_u32, 0_u32);
        let mut times = Vec::new();
        for answer in self.answers.iter().filter(|answer| answer.side != Side::Straddling && then(answer)) {
            all += 1;
            bad += u32::from(answer.bad);
            if answer.sent {
                times.push(answer.response_ms);
            }
        }
        times.sort_by(f64::total_cmp);
        let rank = (times.len() * 95).div_ceil(100).saturating_sub(1);
        let rate = (all > 0).then(|| f64::from(bad) / f64::from(all));
        ((all > 0).then_some(u64::from(all)), rate, times.get(rank).copied())
    }

    /// Who answered, second by second, wherever the shares change.
    fn shares(&self, cutover: Point) -> Vec<Versions> {
        let mut seconds: BTreeMap<i64, BTreeMap<u16, u32>> = BTreeMap::new();
        for answer in &self.answers {
            #[expect(clippy::cast_possible_truncation, reason = "minutes, bounded when it was taken")]
            let second = (answer.ms / 1_000.0).floor() as i64;
            if let Some(version) = answer.version {
                *seconds.entry(second).or_default().entry(version).or_default() += 1;
            }
        }
        let mut over_time: Vec<Versions> = Vec::new();
        for (second, counts) in seconds {
            let all: u32 = counts.values().sum();
            let share: BTreeMap<String, f64> = counts
                .into_iter()
                .map(|(version, count)| {
                    let share = (f64::from(count) / f64::from(all) * 100.0).round() / 100.0;
                    (self.versions[usize::from(version)].to_string(), share)
                })
                .collect();
            let versions: BTreeSet<String> = share.keys().cloned().collect();
            if over_time.last().is_some_and(|last| last.share.as_ref() == Some(&share)) {
                continue;
            }
            let wall = Wall(cutover.wall.0.saturating_add(second.saturating_mul(1_000)));
            #[expect(clippy::cast_precision_loss, reason = "minutes")]
            let ms = (second * 1_000) as f64;
            over_time.push(Versions { ts: rfc3339(wall), ms, versions, share: Some(share) });
        }
        over_time
    }
}

/// The versions of the state that the release began from.
fn old_versions(story: &Story) -> BTreeSet<Version> {
    let base = story.records.iter().find_map(|(_, record)| match record {
        Record::Release { base: Some(base), .. } => Some(base.versions.clone()),
        _ => None,
    });
    base.unwrap_or_default()
}

/// The epochs that belong to the release.
fn epochs(story: &Story) -> BTreeSet<EpochId> {
    let epoch = |record: &Record| match record {
        Record::Epoch { epoch, .. } => Some(*epoch),
        _ => None,
    };
    story.records.iter().filter_map(|(_, record)| epoch(record)).collect()
}

/// When the first bad answer of the last breach was due, since the cutover.
fn bad_from(story: &Story) -> Option<f64> {
    story.records.iter().rev().find_map(|(at, record)| match record {
        Record::Breach { evidence, .. } => Some(at.at(evidence.first_bad).ms_since(story.cutover)),
        _ => None,
    })
}
