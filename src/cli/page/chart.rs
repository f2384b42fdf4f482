//! A chart as inline SVG: lines over time, and upright ones where something happened.

use super::{COLOURS, GRID, INK, MUTED};
use maud::{Markup, PreEscaped, html};
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use std::ops::Range;

/// In pixels, without the rows of words above.
const SIZE: (u32, u32) = (860, 230);
/// A row of words above the chart, pixels.
const ROW: u32 = 17;
/// A letter of them, about; the library can't measure without fonts.
const LETTER: f64 = 6.6;
/// Plotters takes the height of a line, and makes letters of 0.8 of it.
const FONT: (&str, u32) = ("sans-serif", 15);
/// Marks on an axis of seconds.
const STEPS_S: [f64; 19] = [
    0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0,
    7_200.0, 21_600.0, 86_400.0,
];
/// Marks on an axis at most.
const TICKS_MAX: f64 = 10.0;

/// One direction of a chart.
pub(in crate::cli) struct Axis {
    pub(in crate::cli) range: Range<f64>,
    /// Where a number stands, and the number.
    pub(in crate::cli) ticks: Vec<(f64, String)>,
    pub(in crate::cli) name: String,
}

/// A line, in pieces where something is missing in between.
pub(in crate::cli) struct Line {
    pub(in crate::cli) pieces: Vec<Vec<(f64, f64)>>,
    /// An index into the colours.
    pub(in crate::cli) colour: usize,
    /// Each point is a measurement of its own, and is drawn so.
    pub(in crate::cli) dots: bool,
}

/// An upright line where something happened.
pub(in crate::cli) struct Upright {
    pub(in crate::cli) at: f64,
    pub(in crate::cli) words: String,
}

/// All that is drawn.
pub(in crate::cli) struct Chart<'a> {
    /// Told to those who can't see it, and when the pointer rests on it.
    pub(in crate::cli) title: String,
    /// What it shows, in a sentence.
    pub(in crate::cli) says: String,
    pub(in crate::cli) x: &'a Axis,
    pub(in crate::cli) y: Axis,
    pub(in crate::cli) lines: Vec<Line>,
    pub(in crate::cli) uprights: &'a [Upright],
}

/// The chart, labelled for screen readers under the unique name `id`.
///
/// # Errors
/// The library can't draw it.
pub(in crate::cli) fn svg(id: &str, chart: &Chart<'_>) -> Result<Markup, anyhow::Error> {
    let mut text = String::new();
    let (wide, high) = draw(chart, &mut text).map_err(|error| anyhow::anyhow!("can't draw: {error}"))?;
    // The library's own outer element has no place for a name, and brings a namespace that HTML doesn't want.
    let inner = text.split_once('>').and_then(|(_, rest)| rest.rsplit_once("</svg>")).map(|(inner, _)| inner);
    let inner = inner.ok_or_else(|| anyhow::anyhow!("can't draw: the library made no SVG"))?;
    Ok(html! {
        div class="scroll" {
            svg viewBox=(format!("0 0 {wide} {high}")) role="img" aria-labelledby=(format!("{id}-t {id}-d")) {
                title id=(format!("{id}-t")) { (chart.title) }
                desc id=(format!("{id}-d")) { (chart.says) }
                (PreEscaped(inner))
            }
        }
    })
}

fn draw(chart: &Chart<'_>, text: &mut String) -> Result<(u32, u32), Box<dyn std::error::Error>> {
    const LEFT: u32 = 84;
    const RIGHT: u32 = 14;
    let (from, to) = (chart.x.range.start, chart.x.range.end);
    let shown: Vec<&Upright> =
        chart.uprights.iter().filter(|upright| chart.x.range.contains(&upright.at)).collect();
    let wide = |upright: &Upright| upright.words.chars().map(|_| LETTER).sum::<f64>() + 8.0;
    let places = |right: u32| -> Vec<(f64, f64)> {
        let plain = f64::from(SIZE.0 - LEFT - right);
        let pixel = |at: f64| f64::from(LEFT) + (at - from) / (to - from) * plain;
        shown.iter().map(|upright| (pixel(upright.at), wide(upright))).collect()
    };
    // Words stand to the right of their mark: the last ones may need room beside the chart.
    let fit = |right: u32| places(right).iter().all(|(at, wide)| at + wide <= f64::from(SIZE.0));
    let right = (RIGHT..SIZE.0 / 3).step_by(8).find(|right| fit(*right)).unwrap_or(SIZE.0 / 3);
    let rows = rows(&places(right));
    let top = 8 + ROW * rows.iter().map(|row| row + 1).max().unwrap_or(0);
    let size = (SIZE.0, SIZE.1 + top);
    let root = SVGBackend::with_string(text, size).into_drawing_area();
    let mut drawn = ChartBuilder::on(&root)
        .margin_top(top)
        .margin_right(right)
        .x_label_area_size(42)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(Ticked(chart.x), Ticked(&chart.y))?;
    drawn
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(MUTED)
        .label_style(FONT.into_font().color(&MUTED))
        .axis_desc_style(FONT.into_font().color(&MUTED))
        .x_label_formatter(&|at| label(chart.x, *at))
        .y_label_formatter(&|at| label(&chart.y, *at))
        .x_desc(&chart.x.name)
        .y_desc(&chart.y.name)
        .draw()?;
    for line in &chart.lines {
        let colour = COLOURS[line.colour % COLOURS.len()];
        for piece in &line.pieces {
            drawn.draw_series(LineSeries::new(piece.iter().copied(), colour.stroke_width(2)))?;
            if line.dots {
                drawn.draw_series(piece.iter().map(|at| Circle::new(*at, 3, colour.filled())))?;
            }
        }
    }
    let (_, bottom) = drawn.backend_coord(&(from, chart.y.range.start));
    for (upright, row) in shown.iter().zip(&rows) {
        let (x, _) = drawn.backend_coord(&(upright.at, chart.y.range.start));
        let y = i32::try_from(4 + ROW * row)?;
        root.draw(&PathElement::new([(x, y), (x, bottom)], INK.stroke_width(1)))?;
        root.draw(&Text::new(upright.words.clone(), (x + 4, y), FONT.into_font().color(&INK)))?;
    }
    root.present()?;
    drop(drawn);
    drop(root);
    Ok(size)
}

/// An axis as the library takes it: with our own ticks, whose words nobody else would find.
struct Ticked<'a>(&'a Axis);

impl Ranged for Ticked<'_> {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        RangedCoordf64::from(self.0.range.clone()).map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() {
            return Vec::new();
        }
        self.0.ticks.iter().map(|(at, _)| *at).collect()
    }

    fn range(&self) -> Range<f64> {
        self.0.range.clone()
    }
}

fn label(axis: &Axis, at: f64) -> String {
    let found = axis.ticks.iter().find(|(tick, _)| (tick - at).abs() < 1e-9);
    found.map(|(_, words)| words.clone()).unwrap_or_default()
}

/// The row of each mark's words, so that no words lie upon others or upon a mark. `places` are where marks stand, in order,
/// and how wide their words are.
fn rows(places: &[(f64, f64)]) -> Vec<u32> {
    let mut taken: Vec<f64> = Vec::new();
    let mut rows = Vec::new();
    for (at, wide) in places {
        // A mark goes down from its words, through every row beneath: these must be free there too.
        let row = taken.iter().rposition(|end| *end > *at).map_or(0, |row| row + 1);
        taken.resize(taken.len().max(row + 1), f64::NEG_INFINITY);
        taken[row] = at + wide;
        rows.push(u32::try_from(row).unwrap_or(u32::MAX));
    }
    rows
}

/// An axis of seconds since the cutover.
pub(in crate::cli) fn seconds(range: Range<f64>) -> Axis {
    let span = range.end - range.start;
    let step = STEPS_S.into_iter().find(|step| span / step <= TICKS_MAX).unwrap_or(span / TICKS_MAX);
    let (unit, each) = match step {
        step if step >= 3_600.0 => ("hours", 3_600.0),
        step if step >= 60.0 => ("minutes", 60.0),
        _ => ("seconds", 1.0),
    };
    let mut ticks = Vec::new();
    let mut place = (range.start / step).ceil();
    while place * step <= range.end {
        let shown = (place * step / each * 100.0).round() / 100.0;
        // A true minus, and no sign for the cutover itself.
        let words = match shown {
            shown if shown > 0.0 => format!("+{shown}"),
            shown if shown < 0.0 => format!("−{}", -shown),
            _ => "0".to_owned(),
        };
        ticks.push((place * step, words));
        place += 1.0;
    }
    Axis { range, ticks, name: format!("{unit} since the cutover") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(uprights: &[Upright], name: &str) -> String {
        let x = seconds(-10.0..100.0);
        let y = Axis { range: 0.0..1.0, ticks: vec![(0.5, "half".into())], name: name.into() };
        let line = Line { pieces: vec![vec![(0.0, 0.0), (50.0, 1.0)]], colour: 1, dots: true };
        let (title, says) = (name.to_owned(), name.to_owned());
        let chart = Chart { title, says, x: &x, y, lines: vec![line], uprights };
        svg("c", &chart).unwrap().into_string()
    }

    #[test]
    fn an_axis_names_its_unit_and_few_marks() {
        let words = |axis: &Axis| axis.ticks.iter().map(|(_, words)| words.clone()).collect::<Vec<_>>();
        let short = seconds(-2.4..7.1);
        assert_eq!(short.name, "seconds since the cutover");
        assert_eq!(words(&short), ["−2", "−1", "0", "+1", "+2", "+3", "+4", "+5", "+6", "+7"]);
        let long = seconds(-60.0..900.0);
        assert_eq!((long.name.as_str(), words(&long).len()), ("minutes since the cutover", 8));
        assert_eq!(words(&long)[..3], ["0", "+2", "+4"]);
        assert_eq!(seconds(-60.0..90_000.0).name, "hours since the cutover");
    }

    #[test]
    fn marks_that_are_near_each_other_have_rows_of_their_own() {
        assert_eq!(rows(&[(10.0, 50.0), (12.0, 50.0), (13.0, 50.0)]), [0, 1, 2]);
        assert_eq!(rows(&[(10.0, 50.0), (100.0, 50.0)]), [0, 0]);
        // The third has room in the first row, but its mark would go through the words of the second.
        assert_eq!(rows(&[(10.0, 20.0), (12.0, 200.0), (100.0, 20.0)]), [0, 1, 2]);
    }

    #[test]
    fn words_never_leave_the_picture() {
        let last = [Upright { at: 99.9, words: "verified +99.900 s".into() }];
        let text = chart(&last, "share");
        let begin = text.split("verified").next().unwrap().rsplit("<text x=\"").next().unwrap();
        let x: f64 = begin.split('"').next().unwrap().parse().unwrap();
        assert!(x + 18.0 * LETTER <= f64::from(SIZE.0), "{x}");
    }

    #[test]
    fn a_chart_has_a_name_for_those_who_cannot_see_it_and_words_stay_words() {
        let uprights = [Upright { at: 5.0, words: "<b>first</b>".into() }];
        let text = chart(&uprights, "<script>1</script>");
        assert!(text.contains("role=\"img\" aria-labelledby=\"c-t c-d\""), "{text}");
        assert!(text.contains("<title id=\"c-t\">&lt;script&gt;1"), "{text}");
        assert!(
            text.contains("&lt;b&gt;first") && !text.contains("<b>") && !text.contains("<script"),
            "{text}"
        );
        assert!(!text.contains("xmlns") && text.matches("<svg").count() == 1, "{text}");
    }

    #[test]
    fn what_lies_outside_is_not_marked() {
        let uprights = [Upright { at: 500.0, words: "too late".into() }];
        assert!(!chart(&uprights, "share").contains("too late"));
    }
}
