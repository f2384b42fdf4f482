//! What the charts of a release are drawn from: recorded answers in bins, and what the ledger noted where none were
//! recorded.
//!
//! A bin without an answer doesn't exist: nothing here turns silence into a zero. How many bins there are depends on the
//! time that is shown and not on the pace, so that a page stays small.

use super::collect::Story;
use super::exact::Samples;
use crate::model::record::Record;
use crate::model::release::Baseline;
use crate::model::time::Span;
use crate::model::verdict::Stream;
use std::collections::BTreeMap;

/// Widths of a bin, milliseconds.
const WIDTHS: [f64; 20] = [
    10.0,
    20.0,
    50.0,
    100.0,
    200.0,
    500.0,
    1_000.0,
    2_000.0,
    5_000.0,
    10_000.0,
    15_000.0,
    30_000.0,
    60_000.0,
    120_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
    21_600_000.0,
    86_400_000.0,
];
/// More bins than this are no clearer.
const BINS_MAX: f64 = 240.0;
/// The same of what the ledger noted.
const NOTED_MAX: usize = 240;
/// Fewer than this hide what happened.
const BINS_MIN: f64 = 60.0;
/// With fewer answers the P95 is only the slowest of them.
pub const ANSWERS_MIN: f64 = 20.0;
/// Versions with a line of their own; what else answered shares one.
const VERSIONS_MAX: usize = 5;

/// One recorded answer of the production path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answered {
    /// When it was due, since the cutover, milliseconds.
    pub ms: f64,
    /// As a user would have seen it, milliseconds; absent when it could not even be sent.
    pub response_ms: Option<f64>,
    /// A user would have been let down.
    pub bad: bool,
    /// Who answered, as an index into the names.
    pub version: Option<u16>,
}

/// What the ledger noted of a rolling window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noted {
    /// When, since the cutover, milliseconds.
    pub ms: f64,
    /// Share of bad answers, 0.0..=1.0.
    pub error_rate: Option<f64>,
    /// P95, milliseconds.
    pub p95_ms: Option<f64>,
}

/// The recorded answers that were due within one short time.
#[derive(Clone, Debug, PartialEq)]
pub struct Bin {
    /// Its begin, since the cutover, milliseconds.
    pub from_ms: f64,
    /// Its end.
    pub to_ms: f64,
    /// Never 0.
    pub answers: u32,
    /// Bad ones.
    pub bad: u32,
    /// The median of the response times; absent when none was sent.
    pub p50_ms: Option<f64>,
    /// The P95 of the response times, nearest rank.
    pub p95_ms: Option<f64>,
    /// How many each of [`Curves::lines`] answered.
    pub by: Vec<u32>,
}

/// The bins of a time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bins {
    /// How long each is, milliseconds.
    pub width_ms: f64,
    /// Those with an answer, in order.
    pub bins: Vec<Bin>,
}

impl Bins {
    /// Answers of a bin on average; 0 without one.
    #[must_use]
    pub fn mean(&self) -> f64 {
        let (all, bins) =
            self.bins.iter().fold((0.0, 0_u32), |(all, bins), bin| (all + f64::from(bin.answers), bins + 1));
        all / f64::from(bins.max(1))
    }
}

/// Everything that can be drawn of a release.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curves {
    /// In the order of their time; the version is an index into `lines`.
    answers: Vec<Answered>,
    lines: Vec<String>,
    /// The pulses, and the breach's own numbers, in order.
    noted: Vec<Noted>,
    before: Option<Noted>,
    /// Bad answers that the samples' budget didn't keep.
    pub left_out: u64,
    /// There were more samples than a report reads.
    pub truncated: bool,
}

impl Curves {
    /// The curves of `answers`, whose versions are named by `names`.
    #[must_use]
    pub fn new(mut answers: Vec<Answered>, names: &[Box<str>]) -> Self {
        answers.sort_by(|a, b| a.ms.total_cmp(&b.ms));
        let lines = lines(&mut answers, names);
        Self { answers, lines, ..Self::default() }
    }

    /// The curves of a story, with the samples that there are.
    pub(super) fn of(story: &Story, samples: Samples) -> Self {
        let (left_out, truncated) = (samples.left_out(), samples.is_full());
        let (answers, names) = samples.into_answers();
        let noted = story.records.iter().filter_map(|(at, record)| {
            let ms = at.ms_since(story.cutover);
            match record {
                Record::Pulse { window, .. } => noted(ms, window),
                Record::Breach { evidence, .. } => {
                    let counts = evidence.stream == Stream::Errors && evidence.answers > 0;
                    let error_rate = counts.then(|| f64::from(evidence.bad) / f64::from(evidence.answers));
                    Some(Noted { ms, error_rate, p95_ms: evidence.window_p95.map(Span::millis) })
                }
                _ => None,
            }
        });
        let mut noted: Vec<Noted> = noted.collect();
        noted.sort_by(|a, b| a.ms.total_cmp(&b.ms));
        let base = story.records.iter().find_map(|(_, record)| match record {
            Record::Release { base: Some(base), .. } => Some(&base.baseline),
            _ => None,
        });
        let before = base.and_then(|base| self::noted(0.0, base));
        Self { noted, before, left_out, truncated, ..Self::new(answers, &names) }
    }

    /// Who answered, a line each: the versions with the most answers, then the others together, then the nameless.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// What the ledger knows of the state before the cutover.
    #[must_use]
    pub const fn before(&self) -> Option<Noted> {
        self.before
    }

    /// Whether answers were recorded at all.
    #[must_use]
    pub const fn is_recorded(&self) -> bool {
        !self.answers.is_empty()
    }

    /// From the first to the last of what is known, milliseconds since the cutover; nothing when nothing is.
    #[must_use]
    pub fn span(&self) -> Option<(f64, f64)> {
        let known = || {
            let ends = [self.answers.first(), self.answers.last()];
            let answers = ends.into_iter().flatten().map(|answer| answer.ms);
            answers.chain(self.noted.iter().map(|noted| noted.ms))
        };
        known().next()?;
        Some((known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max)))
    }

    /// The answers due from `from` to `to`, in bins of which one begins at the cutover.
    #[must_use]
    pub fn bins(&self, from: f64, to: f64) -> Bins {
        let first = self.answers.partition_point(|answer| answer.ms < from);
        let end = self.answers.partition_point(|answer| answer.ms < to);
        let within = self.answers.get(first..end).unwrap_or_default();
        let width_ms = width(to - from, within.len());
        let place = |answer: &Answered| (answer.ms / width_ms).floor();
        let chunks = within.chunk_by(|one, next| place(one).total_cmp(&place(next)).is_eq());
        let bins = chunks.filter_map(|answers| {
            let from_ms = place(answers.first()?) * width_ms;
            Some(self.bin(answers, from_ms.max(from), (from_ms + width_ms).min(to)))
        });
        Bins { width_ms, bins: bins.collect() }
    }

    /// What the ledger noted from `from` to `to` where `bins` has nothing.
    #[must_use]
    pub fn noted(&self, from: f64, to: f64, bins: &Bins) -> Vec<Noted> {
        let covered = |ms: f64| bins.bins.iter().any(|bin| bin.from_ms <= ms && ms < bin.to_ms);
        let wanted = self.noted.iter().filter(|noted| (from..=to).contains(&noted.ms) && !covered(noted.ms));
        let wanted: Vec<Noted> = wanted.copied().collect();
        // A pulse more or less is not seen; the breach, whose share is the highest, is.
        let each = wanted.len().div_ceil(NOTED_MAX).max(1);
        let worst = |a: &&Noted, b: &&Noted| {
            a.error_rate.unwrap_or_default().total_cmp(&b.error_rate.unwrap_or_default())
        };
        wanted.chunks(each).filter_map(|chunk| chunk.iter().max_by(worst).copied()).collect()
    }

    fn bin(&self, answers: &[Answered], from_ms: f64, to_ms: f64) -> Bin {
        let mut bin = Bin {
            from_ms,
            to_ms,
            answers: 0,
            bad: 0,
            p50_ms: None,
            p95_ms: None,
            by: vec![0; self.lines.len()],
        };
        let mut times: Vec<f64> = Vec::with_capacity(answers.len());
        for answer in answers {
            bin.answers += 1;
            bin.bad += u32::from(answer.bad);
            times.extend(answer.response_ms);
            if let Some(count) = answer.version.and_then(|line| bin.by.get_mut(usize::from(line))) {
                *count += 1;
            }
        }
        times.sort_by(f64::total_cmp);
        let rank = |percent: usize| (times.len() * percent).div_ceil(100).saturating_sub(1);
        (bin.p50_ms, bin.p95_ms) = (times.get(rank(50)).copied(), times.get(rank(95)).copied());
        bin
    }
}

fn noted(ms: f64, window: &Baseline) -> Option<Noted> {
    (window.answers > 0).then(|| Noted {
        ms,
        error_rate: Some(f64::from(window.bad) / f64::from(window.answers)),
        p95_ms: (window.p95 > 0).then(|| f64::from(window.p95) / 10_000.0),
    })
}

/// The narrowest bin that keeps the chart readable and, where there are enough answers, its P95 a P95.
fn width(span_ms: f64, answers: usize) -> f64 {
    let answers = f64::from(u32::try_from(answers).unwrap_or(u32::MAX));
    let enough = |width: f64| answers * width / span_ms.max(1.0) >= ANSWERS_MIN;
    let mut readable = WIDTHS.iter().copied().filter(|width| span_ms / width <= BINS_MAX).peekable();
    while let Some(width) = readable.next() {
        if enough(width) || readable.peek().is_none_or(|next| span_ms / next < BINS_MIN) {
            return width;
        }
    }
    // Longer than any release: still so many bins.
    (span_ms / BINS_MAX).max(1.0)
}

/// Names the lines, and turns the versions of `answers` into them.
fn lines(answers: &mut [Answered], names: &[Box<str>]) -> Vec<String> {
    let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
    let mut order: Vec<u16> = Vec::new();
    for version in answers.iter().filter_map(|answer| answer.version) {
        let count = counts.entry(version).or_default();
        if *count == 0 {
            order.push(version);
        }
        *count += 1;
    }
    let mut most = order.clone();
    most.sort_by_key(|version| std::cmp::Reverse(counts.get(version)));
    most.truncate(VERSIONS_MAX);
    // In the order of their first answers: the old version is the first line.
    order.retain(|version| most.contains(version));
    let mut lines: Vec<String> = order
        .iter()
        .map(|version| names.get(usize::from(*version)).map(ToString::to_string).unwrap_or_default())
        .collect();
    let others = (counts.len() > order.len()).then(|| {
        lines.push(format!("{} other versions", counts.len() - order.len()));
        lines.len() - 1
    });
    let nameless = answers.iter().any(|answer| answer.version.is_none()).then(|| {
        lines.push("no version named".into());
        lines.len() - 1
    });
    for answer in answers {
        let line = match answer.version {
            None => nameless,
            Some(version) => order.iter().position(|shown| *shown == version).or(others),
        };
        answer.version = line.and_then(|line| u16::try_from(line).ok());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(ms: f64, response_ms: f64, bad: bool, version: Option<u16>) -> Answered {
        Answered { ms, response_ms: Some(response_ms), bad, version }
    }

    fn names(of: &[&str]) -> Vec<Box<str>> {
        of.iter().map(|name| (*name).into()).collect()
    }

    /// A hundred a second, from 10 s before the cutover to 10 s after it; the new version answers from 0 s to 5 s, and badly
    /// from 4 s on.
    fn release() -> Curves {
        let answers = (-1_000..1_000_i32).map(|tick| {
            let ms = f64::from(tick) * 10.0;
            let new = (0.0..5_000.0).contains(&ms);
            answer(ms, f64::from(tick.rem_euclid(10)), new && ms >= 4_000.0, Some(u16::from(new)))
        });
        Curves::new(answers.collect(), &names(&["old", "new"]))
    }

    #[test]
    fn bins_count_what_was_due_within_them_and_one_begins_at_the_cutover() {
        let bins = release().bins(-10_000.0, 10_000.0);
        assert!((bins.width_ms - 200.0).abs() < 1e-9 && bins.bins.len() == 100, "{}", bins.width_ms);
        assert!((bins.mean() - 20.0).abs() < 1e-9);
        let at = |ms: f64| bins.bins.iter().find(|bin| bin.from_ms <= ms && ms < bin.to_ms).unwrap();
        assert!(bins.bins.iter().any(|bin| bin.from_ms.abs() < 1e-9));
        assert_eq!((at(-100.0).bad, at(3_999.0).bad, at(4_000.0).bad, at(5_000.0).bad), (0, 0, 20, 0));
        // The V of a cutover and the way back.
        assert_eq!([&at(-1.0).by, &at(1.0).by, &at(6_000.0).by], [&[20, 0], &[0, 20], &[20, 0]]);
        assert_eq!((at(1.0).p50_ms, at(1.0).p95_ms), (Some(4.0), Some(9.0)), "nearest rank");
    }

    #[test]
    fn silence_is_a_gap_and_never_a_zero() {
        let curves = Curves::new(vec![answer(0.0, 1.0, false, None), answer(60_000.0, 1.0, true, None)], &[]);
        let bins = curves.bins(-1_000.0, 61_000.0);
        assert_eq!(bins.bins.len(), 2);
        assert!(bins.bins.iter().all(|bin| bin.answers == 1));
        assert_eq!(curves.bins(1_000.0, 59_000.0).bins, []);
        assert_eq!((Curves::default().span(), Curves::default().bins(0.0, 1.0).bins), (None, vec![]));
        let mut unsent = answer(0.0, 0.0, true, None);
        unsent.response_ms = None;
        let bins = Curves::new(vec![unsent], &[]).bins(-1.0, 1.0);
        assert_eq!((bins.bins[0].bad, bins.bins[0].p95_ms), (1, None), "what was never sent took no time");
    }

    #[test]
    fn there_are_few_bins_however_many_answers_and_however_long() {
        for (span_ms, answers) in [
            (1.0, 0),
            (3_000.0, 30),
            (75_000.0, 7_500),
            (900_000.0, 900),
            (3_600_000.0, 3_600_000),
            (1e12, 5),
        ] {
            let bins = span_ms / width(span_ms, answers);
            assert!(bins <= BINS_MAX, "{span_ms} {answers}: {bins}");
            assert!(bins >= BINS_MIN / 5.0 || span_ms < 1_000.0, "{span_ms} {answers}: {bins}");
        }
        assert!((width(60_000.0, 60) - 1_000.0).abs() < 1e-9, "few answers don't make one bin of all");
    }

    #[test]
    fn the_versions_with_the_most_answers_have_lines_and_the_others_one() {
        let mut answers = Vec::new();
        for version in 0..8_u16 {
            for tick in 0..=(u32::from(version) % 7) * 10 {
                answers.push(answer(
                    f64::from(version) * 1_000.0 + f64::from(tick),
                    1.0,
                    false,
                    Some(version),
                ));
            }
        }
        answers.push(answer(9_000.0, 1.0, false, None));
        let curves = Curves::new(answers, &names(&["a", "b", "c", "d", "e", "f", "g", "h"]));
        assert_eq!(curves.lines(), ["c", "d", "e", "f", "g", "3 other versions", "no version named"]);
        let all: Vec<u32> = curves.bins(0.0, 10_000.0).bins.iter().map(|bin| bin.by.iter().sum()).collect();
        assert_eq!(all.iter().sum::<u32>(), 1 + 11 + 21 + 31 + 41 + 51 + 61 + 1 + 1, "everyone has a line");
    }

    #[test]
    fn the_ledgers_figures_stand_where_no_answer_was_recorded() {
        let pulse = |ms: f64, share: f64| Noted { ms, error_rate: Some(share), p95_ms: None };
        let mut curves = release();
        curves.noted = vec![pulse(1_000.0, 0.0), pulse(60_000.0, 0.5), pulse(70_000.0, 0.0)];
        let bins = curves.bins(-10_000.0, 70_000.0);
        let shown: Vec<f64> = curves.noted(-10_000.0, 70_000.0, &bins).iter().map(|noted| noted.ms).collect();
        assert_eq!(shown, [60_000.0, 70_000.0]);
        assert_eq!(curves.span(), Some((-10_000.0, 70_000.0)));
        curves.noted =
            (0..10_000_u32).map(|at| pulse(f64::from(at), f64::from(u8::from(at == 777)))).collect();
        let shown = curves.noted(0.0, 10_000.0, &Bins::default());
        assert!(
            shown.len() <= 240 && shown.iter().any(|noted| noted.error_rate == Some(1.0)),
            "{}",
            shown.len()
        );
    }
}
