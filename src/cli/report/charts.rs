//! Three charts of a release: bad answers, response times, and who answered; over the whole of it, and close by where
//! that hides what happened.

use crate::cli::page::{Axis, Chart, Line, Upright, seconds, svg};
use crate::evidence::report::{ANSWERS_MIN, Bin, Bins, Curves, Noted, Report, plain};
use maud::Markup;
use std::ops::Range;

/// Steps that are marked in the charts, and what stands there.
const MARKS: [(&str, &str); 10] = [
    ("cutover_seen", "cutover"),
    ("step", "step"),
    ("first_bad", "first bad"),
    ("breach", "breach"),
    ("would_revert", "would revert"),
    ("refused", "refused"),
    ("intent", "intent"),
    ("accepted", "write accepted"),
    ("verified", "verified"),
    ("kept", "kept"),
];
/// More words above a chart can't be read.
const MARKS_MAX: usize = 12;
/// A closer look is worth it when the whole is so many times as long.
const CLOSER: f64 = 2.5;
/// A closer look shows so much around what happened at least, milliseconds.
const AROUND_MS: f64 = 2_000.0;
/// Times that differ by more share an axis of powers of ten.
const TENFOLD: f64 = 30.0;
/// Nothing is answered faster than the clock tells, milliseconds.
const LEAST_MS: f64 = 0.001;
/// The colours of what isn't a version.
const BAD: usize = 7;
const P95: usize = 0;
const P50: usize = 4;
const LEDGER: usize = 3;

/// The charts of one stretch of time.
pub(super) struct Drawing {
    pub(super) title: Option<String>,
    pub(super) figures: Vec<Figure>,
}

/// One chart with its words.
pub(super) struct Figure {
    pub(super) title: String,
    pub(super) svg: Markup,
    pub(super) caption: String,
    key: Vec<(usize, String)>,
}

impl Figure {
    /// The colour and the name of each line.
    pub(super) fn key(&self) -> Vec<(usize, &str)> {
        self.key.iter().map(|(colour, name)| (*colour, name.as_str())).collect()
    }
}

/// All charts; none where nothing is known, and [`notes`] tells why.
///
/// # Errors
/// The library can't draw one.
pub(super) fn drawings(report: &Report, curves: &Curves) -> Result<Vec<Drawing>, anyhow::Error> {
    let marks = marks(report);
    let Some(whole) = whole(curves, &marks) else { return Ok(Vec::new()) };
    let views = match close_by(&whole, &marks) {
        None => vec![(None, whole)],
        Some(close) => {
            vec![(Some("Close by".to_owned()), close), (Some("All that was recorded".to_owned()), whole)]
        }
    };
    let mut drawings = Vec::new();
    for (place, (title, view)) in views.into_iter().enumerate() {
        drawings.push(Drawing { title, figures: figures(&format!("v{place}"), view, curves, &marks)? });
    }
    Ok(drawings)
}

/// What a reader of the charts has to know.
pub(super) fn notes(curves: &Curves) -> Vec<String> {
    let mut notes = Vec::new();
    let recorded = curves.is_recorded();
    if recorded {
        notes.push(
            "Made from the recorded answers of production, each at the time when it was due. Where none was recorded \
             there is no line. Answers during the change itself are shown, though the figures count them for neither side."
                .to_owned(),
        );
    } else if curves.span().is_some() {
        notes.push(
            "No recorded samples were found for this release (they are read from the folder of --dir, and the oldest are \
             deleted for evidence.max_disk): the charts show what the ledger noted of its rolling window from time to time, \
             and can't show the share of each version."
                .to_owned(),
        );
    } else {
        notes.push(
            "No chart can be drawn: no recorded samples were found for this release, and the ledger has noted no figures \
             of it."
                .to_owned(),
        );
    }
    if curves.left_out > 0 {
        notes.push(format!(
            "{} bad answers were counted and not kept, because the samples had used up their room: from there on good \
             answers are missing too, and shares in the charts are not those of all answers.",
            curves.left_out
        ));
    }
    if curves.truncated {
        notes
            .push("There are more samples than are read; the last of them are missing in the charts.".into());
    }
    notes
}

/// The first and the last step of each kind, in order, seconds since the cutover.
fn marks(report: &Report) -> Vec<Upright> {
    let mut marks: Vec<(f64, &str)> = Vec::new();
    for (step, words) in MARKS {
        let mut of = report.timeline.iter().filter(|one| &*one.step == step).map(|one| (one.ms, words));
        marks.extend(of.next());
        marks.extend(of.next_back());
    }
    marks.sort_by(|a, b| a.0.total_cmp(&b.0));
    marks.truncate(MARKS_MAX);
    let words = |ms: f64, words: &str| match words {
        "cutover" => words.to_owned(),
        _ => format!("{words} {:+.3} s", ms / 1_000.0),
    };
    marks.into_iter().map(|(ms, name)| Upright { at: ms / 1_000.0, words: words(ms, name) }).collect()
}

/// From the first to the last of what is known or marked, seconds; nothing when nothing was measured.
fn whole(curves: &Curves, marks: &[Upright]) -> Option<Range<f64>> {
    let (first, last) = curves.span()?;
    let ends = || marks.iter().map(|mark| mark.at).chain([first / 1_000.0, last / 1_000.0]);
    let (first, last) = (ends().fold(0.0, f64::min), ends().fold(0.0, f64::max));
    let margin = ((last - first) * 0.02).max(0.1);
    // Before the ledger's first line nothing is drawn but what it knows of the state before; that wants room.
    let before = if curves.is_recorded() { margin } else { (last - first).max(1.0) * 0.1 };
    Some(first - before..last + margin)
}

/// From a little before the cutover to a little after the last mark, where that is much less than the whole.
fn close_by(whole: &Range<f64>, marks: &[Upright]) -> Option<Range<f64>> {
    let acted = marks.iter().filter(|mark| !mark.words.starts_with("kept"));
    let last = acted.map(|mark| mark.at).fold(0.0, f64::max);
    let margin = (last * 0.3).max(AROUND_MS / 1_000.0);
    let close = (-margin).max(whole.start)..(last + margin).min(whole.end);
    let much = (whole.end - whole.start) > CLOSER * (close.end - close.start);
    (marks.len() > 1 && last > 0.0 && much).then_some(close)
}

fn figures(
    id: &str,
    view: Range<f64>,
    curves: &Curves,
    marks: &[Upright],
) -> Result<Vec<Figure>, anyhow::Error> {
    let (from, to) = (view.start * 1_000.0, view.end * 1_000.0);
    let bins = curves.bins(from, to);
    let noted = curves.noted(from, to, &bins);
    let before = curves.before().filter(|_| bins.bins.first().is_none_or(|bin| bin.from_ms >= 0.0));
    let seen = Seen { id, x: seconds(view), bins, noted, before, marks };
    let mut figures = vec![seen.errors()?];
    figures.extend(seen.times()?);
    figures.extend(seen.versions(curves.lines())?);
    Ok(figures)
}

/// What is known of one stretch of time.
struct Seen<'a> {
    id: &'a str,
    x: Axis,
    bins: Bins,
    noted: Vec<Noted>,
    before: Option<Noted>,
    marks: &'a [Upright],
}

impl Seen<'_> {
    fn errors(&self) -> Result<Figure, anyhow::Error> {
        let percent = |bin: &Bin| Some(100.0 * f64::from(bin.bad) / f64::from(bin.answers));
        let noted = |noted: &Noted| noted.error_rate.map(|share| share * 100.0);
        let exact = self.stairs(percent);
        let rough = self.rough(noted);
        let top = round_up(highest([&exact, &rough]).map_or(1.0, |(_, top)| top)).clamp(0.1, 100.0);
        let y = linear(top, " %", "bad answers");
        let lines = vec![(BAD, "bad answers".to_owned(), exact)];
        self.figure(Words { id: "errors", title: "Share of bad answers", unit: " %" }, y, lines, rough)
    }

    /// Nothing where no time was measured at all.
    fn times(&self) -> Result<Option<Figure>, anyhow::Error> {
        let p95 = self.stairs(|bin| bin.p95_ms);
        let p50 = self.stairs(|bin| bin.p50_ms);
        let rough = self.rough(|noted| noted.p95_ms);
        let every = || [&p95, &p50, &rough].into_iter().flatten().flatten().map(|(_, ms)| *ms);
        if every().next().is_none() {
            return Ok(None);
        }
        let (least, most) = (every().fold(f64::INFINITY, f64::min), every().fold(0.0, f64::max));
        let y = if most / least.max(LEAST_MS) > TENFOLD {
            powers(least, most)
        } else {
            linear(round_up(most), " ms", "response time")
        };
        let tenfold = y.tenfold;
        let lines = vec![(P50, "P50".to_owned(), p50), (P95, "P95".to_owned(), p95)];
        let words = Words { id: "times", title: "Response time, P95 and P50", unit: " ms" };
        let mut figure = self.figure(words, y, lines, rough)?;
        if tenfold {
            figure.caption.push_str(" Each mark of the upright axis is ten times the one beneath.");
        }
        if !self.bins.bins.is_empty() && self.bins.mean() < ANSWERS_MIN {
            figure.caption.push_str(" Of fewer than 20 answers the P95 is the slowest one.");
        }
        Ok(Some(figure))
    }

    /// Nothing where no answer was recorded, or none named its version.
    fn versions(&self, names: &[String]) -> Result<Option<Figure>, anyhow::Error> {
        let is_told = |bin: &Bin| bin.by.iter().sum::<u32>() > 0;
        if !self.bins.bins.iter().any(is_told) {
            return Ok(None);
        }
        let lines = names.iter().enumerate().map(|(line, name)| {
            let share = |bin: &Bin| {
                let count = bin.by.get(line).copied().unwrap_or(0);
                Some(100.0 * f64::from(count) / f64::from(bin.answers))
            };
            (line, plain(name), self.stairs(share))
        });
        let y = linear(100.0, " %", "of the answers");
        let words = Words { id: "versions", title: "Which version answered", unit: " %" };
        self.figure(words, y, lines.collect(), Vec::new()).map(Some)
    }

    fn figure(
        &self,
        words: Words<'_>,
        y: Height,
        mut lines: Vec<(usize, String, Pieces)>,
        rough: Pieces,
    ) -> Result<Figure, anyhow::Error> {
        let Words { id, title, unit } = words;
        // A key names nothing that isn't drawn.
        lines.retain(|(_, _, pieces)| !pieces.is_empty());
        let ledgers = lines.len();
        if !rough.is_empty() {
            lines.push((LEDGER, "as the ledger noted it, over its rolling window".into(), rough));
        }
        let said: Vec<String> =
            lines.iter().filter_map(|(_, name, pieces)| told(name, pieces, unit)).collect();
        let says = format!("{title}, over {}. {}", self.x.name, said.join(" "));
        let key = lines.iter().map(|(colour, name, _)| (*colour, name.clone())).collect();
        let drawn = lines.into_iter().enumerate().map(|(place, (colour, _, pieces))| Line {
            pieces: if y.tenfold { lifted(pieces) } else { pieces },
            colour,
            dots: place == ledgers,
        });
        let lines = drawn.collect();
        let caption = match self.bins.bins.as_slice() {
            [] => "From what the ledger noted, not from single answers.".to_owned(),
            _ => format!(
                "Each step is made of the answers of {}, {:.0} of them on average.",
                length(self.bins.width_ms),
                self.bins.mean()
            ),
        };
        let chart =
            Chart { title: title.to_owned(), says, x: &self.x, y: y.axis, lines, uprights: self.marks };
        let svg = svg(&format!("{}-{id}", self.id), &chart)?;
        Ok(Figure { title: title.to_owned(), svg, caption, key })
    }

    /// A level for each bin; a new piece after each gap.
    fn stairs(&self, of: impl Fn(&Bin) -> Option<f64>) -> Pieces {
        let mut pieces: Pieces = Vec::new();
        let mut end = f64::NEG_INFINITY;
        for bin in &self.bins.bins {
            let Some(level) = of(bin) else { continue };
            let points = [(bin.from_ms / 1_000.0, level), (bin.to_ms / 1_000.0, level)];
            match pieces.last_mut() {
                Some(piece) if (bin.from_ms - end).abs() < 1e-6 => piece.extend(points),
                _ => pieces.push(points.to_vec()),
            }
            end = bin.to_ms;
        }
        pieces
    }

    /// What the ledger noted; a level up to the cutover for the state before.
    fn rough(&self, of: impl Fn(&Noted) -> Option<f64>) -> Pieces {
        let mut pieces = Pieces::new();
        if let Some(level) = self.before.as_ref().and_then(&of) {
            pieces.push(vec![(self.x.range.start, level), (0.0, level)]);
        }
        let points: Vec<(f64, f64)> =
            self.noted.iter().filter_map(|noted| Some((noted.ms / 1_000.0, of(noted)?))).collect();
        if !points.is_empty() {
            pieces.push(points);
        }
        pieces
    }
}

/// The names of a figure.
#[derive(Clone, Copy)]
struct Words<'a> {
    id: &'a str,
    title: &'a str,
    unit: &'a str,
}

/// An upright axis, and whether powers of ten stand on it.
struct Height {
    axis: Axis,
    tenfold: bool,
}

/// A line, in pieces: seconds, and what was measured.
type Pieces = Vec<Vec<(f64, f64)>>;

fn lifted(pieces: Pieces) -> Pieces {
    let lift = |(at, ms): (f64, f64)| (at, ms.max(LEAST_MS).log10());
    pieces.into_iter().map(|piece| piece.into_iter().map(lift).collect()).collect()
}

/// Where it is highest first.
fn highest<'a>(lines: impl IntoIterator<Item = &'a Pieces>) -> Option<(f64, f64)> {
    let points = lines.into_iter().flatten().flatten().copied();
    points.reduce(|most, point| if point.1 > most.1 { point } else { most })
}

/// The line in words, for those who can't see it.
fn told(name: &str, pieces: &Pieces, unit: &str) -> Option<String> {
    let (at, most) = highest([pieces])?;
    Some(format!("{name}: at most {}{unit}, at {at:+.2} s.", short(most)))
}

/// 1, 2 or 5 times a power of ten, and no less than `most`.
fn round_up(most: f64) -> f64 {
    let power = 10_f64.powf(most.max(1e-3).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= most).unwrap_or(most)
}

fn linear(top: f64, unit: &str, name: &str) -> Height {
    let ticks = (0..=4).map(|quarter| f64::from(quarter) * top / 4.0);
    let ticks = ticks.map(|at| (at, format!("{}{unit}", short(at)))).collect();
    // A line at the very top would lie on the edge.
    Height { axis: Axis { range: 0.0..top * 1.03, ticks, name: name.to_owned() }, tenfold: false }
}

/// An axis of powers of ten of milliseconds.
fn powers(low: f64, high: f64) -> Height {
    let (first, last) = (low.max(LEAST_MS).log10().floor(), high.log10().ceil());
    let mut ticks = Vec::new();
    let mut power = first;
    while power <= last {
        let ms = 10_f64.powf(power);
        let words =
            if ms >= 1_000.0 { format!("{} s", short(ms / 1_000.0)) } else { format!("{} ms", short(ms)) };
        ticks.push((power, words));
        power += 1.0;
    }
    Height { axis: Axis { range: first..last + 0.05, ticks, name: "response time".into() }, tenfold: true }
}

/// A number without needless zeros.
fn short(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn length(ms: f64) -> String {
    match ms {
        ms if ms >= 60_000.0 => format!("{} min", short(ms / 60_000.0)),
        ms if ms >= 1_000.0 => format!("{} s", short(ms / 1_000.0)),
        ms => format!("{} ms", short(ms)),
    }
}
