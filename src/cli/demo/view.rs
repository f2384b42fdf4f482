//! What the panel of the demo shows, without a terminal.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Sparkline, SparklineBar};
use serde_json::Value;
use std::collections::VecDeque;

/// Points of a sparkline: a minute of seconds.
const KEPT: u16 = 60;
/// A sparkline of fewer says nothing.
const SPARK_LEAST: u16 = 8;
const UNKNOWN: &str = "-";
/// The columns beside the sparkline: what a URL is called, how it is, its bad answers and its P95.
const WIDTHS: [u16; 4] = [12, 7, 9, 11];
const TITLES: [&str; 4] = ["URL", "state", "bad", "P95"];
/// Lines that are no URL: the title, the columns, who answers, the guard.
const FRAME: u16 = 4;

/// One look at Serin, over its API.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// `/api/v1/status` of the service.
    pub(super) service: Value,
    /// `/api/v1/services/…/urls`.
    pub(super) urls: Value,
    /// Answers a second, by version.
    pub(super) versions: Vec<(String, f64)>,
}

/// A P95 in microseconds, and whether anything was bad.
type Point = Option<(u64, bool)>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct View {
    look: Look,
    /// Of each URL, in their order: a point a second.
    recent: Vec<VecDeque<Point>>,
    /// The second that was told last.
    at: Option<i64>,
}

impl View {
    /// Lines for so many URLs.
    pub(super) fn height(urls: usize) -> u16 {
        u16::try_from(urls).unwrap_or(u16::MAX).saturating_add(FRAME)
    }

    /// A new look. A second that was seen already makes no further point.
    pub(super) fn take(&mut self, look: Look) {
        let at = look.service["live"]["at"].as_i64();
        if at.is_some() && at != self.at {
            self.at = at;
            let urls: Vec<Point> = list(&look.urls).iter().map(point).collect();
            self.recent.resize_with(urls.len(), VecDeque::new);
            for (recent, point) in self.recent.iter_mut().zip(urls) {
                recent.push_back(point);
                if recent.len() > usize::from(KEPT) {
                    recent.pop_front();
                }
            }
        }
        self.look = look;
    }

    /// As much as there is room for: what is lowest goes first, and the sparklines before the figures.
    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let area = frame.area();
        let urls = list(&self.look.urls);
        let mut rows = (area.top()..area.bottom()).map(|y| Rect { y, height: 1, ..area });
        let mut next = |frame: &mut Frame<'_>, line: Line<'_>| {
            let row = rows.next();
            if let Some(row) = row {
                frame.render_widget(line, row);
            }
            row
        };
        next(frame, title(area.width));
        next(frame, header(area.width));
        for (index, url) in urls.iter().enumerate() {
            let row = next(frame, figures(url, area.width));
            if let (Some(row), Some(recent), Some(width)) = (row, self.recent.get(index), room(area.width)) {
                let place = Rect { x: row.x + WIDTHS.iter().sum::<u16>(), width, ..row };
                frame.render_widget(self.spark(recent, width), place);
            }
        }
        next(frame, self.answers());
        next(frame, self.guard());
    }

    /// All on one scale, so that the URLs can be compared.
    fn spark(&self, recent: &VecDeque<Point>, width: u16) -> Sparkline<'static> {
        let all = self.recent.iter().flatten().flatten();
        let most = all.map(|(p95, _)| *p95).max().unwrap_or_default().max(1);
        let missing = usize::from(width).saturating_sub(recent.len());
        let bar = |point: &Point| match point {
            // What is fast has a bar, too: a gap is a second that nobody knows.
            Some((p95, bad)) => SparklineBar::from(Some((*p95).max(most.div_ceil(8))))
                .style(Style::new().fg(if *bad { Color::Red } else { Color::Green })),
            None => SparklineBar::from(None),
        };
        let shown = recent.iter().skip(recent.len().saturating_sub(usize::from(width))).map(bar);
        let empty = std::iter::repeat_with(|| SparklineBar::from(None)).take(missing);
        Sparkline::default().data(empty.chain(shown).collect::<Vec<_>>()).max(most)
    }

    fn answers(&self) -> Line<'static> {
        let versions = &self.look.versions;
        let all: f64 = versions.iter().map(|(_, rate)| rate).sum();
        let mut line = vec![label("answers")];
        if all <= 0.0 {
            line.push(UNKNOWN.into());
            return line.into();
        }
        for (version, rate) in versions.iter().filter(|(_, rate)| *rate > 0.0) {
            let share = rate / all;
            let text = format!("{version} {:.0} % {}  ", share * 100.0, bar(share));
            line.push(Span::styled(text, Style::new().fg(colour_of(version))));
        }
        line.push(Span::styled("of the last 10 s", Style::new().add_modifier(Modifier::DIM)));
        line.into()
    }

    fn guard(&self) -> Line<'static> {
        let (guard, verdict) = (&self.look.service["guard"], &self.look.service["verdict"]);
        let text = |value: &Value| value.as_str().unwrap_or(UNKNOWN).to_owned();
        let armed = match guard["armed"].as_bool() {
            Some(true) => ", armed",
            Some(false) => ", not armed",
            None => "",
        };
        let (word, says) = (text(&verdict["word"]), verdict["says"].as_str().unwrap_or_default());
        let colour = match &*word {
            "good" => Color::Green,
            "bad" => Color::Red,
            "blind" => Color::Yellow,
            _ => Color::Reset,
        };
        let bold = Style::new().fg(colour).add_modifier(Modifier::BOLD);
        let state = format!("{}{armed}  ", text(&guard["state"]));
        vec![label("guard"), state.into(), Span::styled(word, bold), format!("  {says}").into()].into()
    }
}

fn list(urls: &Value) -> &[Value] {
    urls["urls"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn point(url: &Value) -> Point {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "seconds at most, never negative"
    )]
    let micros = (url["p95_ms"].as_f64()? * 1_000.0) as u64;
    Some((micros, url["error_ratio"].as_f64().is_some_and(|ratio| ratio > 0.0)))
}

/// How many columns of figures there is room for.
fn columns(width: u16) -> usize {
    let mut taken = 0;
    WIDTHS
        .iter()
        .take_while(|column| {
            taken += **column;
            taken <= width
        })
        .count()
}

fn title(width: u16) -> Line<'static> {
    let name = "── serin demo ";
    let rest = usize::from(width).saturating_sub(name.chars().count());
    Line::styled(format!("{name}{}", "─".repeat(rest)), Style::new().add_modifier(Modifier::DIM))
}

fn header(width: u16) -> Line<'static> {
    let titles = TITLES.iter().zip(WIDTHS).take(columns(width));
    let mut text: String = titles.map(|(title, width)| cell(title, width)).collect();
    if room(width).is_some() {
        text.push_str("P95 of the last minute");
    }
    Line::styled(text, Style::new().add_modifier(Modifier::DIM))
}

/// What is left for a sparkline, if that is enough.
fn room(width: u16) -> Option<u16> {
    let left = width.checked_sub(WIDTHS.iter().sum())?;
    (left >= SPARK_LEAST).then_some(left.min(KEPT))
}

fn figures(url: &Value, width: u16) -> Line<'static> {
    let percent = |value: &Value| {
        value.as_f64().map_or_else(|| UNKNOWN.into(), |ratio| format!("{:.1} %", ratio * 100.0))
    };
    let more_than = |value: &Value, share: f64| value.as_f64().is_some_and(|ratio| ratio > share);
    let (state, colour) = if url["answers"].as_u64().unwrap_or_default() == 0 {
        (UNKNOWN, Color::Reset)
    } else if more_than(&url["error_ratio"], 0.0) {
        ("bad", Color::Red)
    } else if more_than(&url["slow_ratio"], 0.05) {
        ("slow", Color::Yellow)
    } else {
        ("good", Color::Green)
    };
    let p95 = url["p95_ms"].as_f64().map_or_else(|| UNKNOWN.into(), |ms| format!("{ms:.1} ms"));
    let name = url["target"].as_str().unwrap_or(UNKNOWN);
    let cells = [name, state, &percent(&url["error_ratio"]), &p95];
    let styles = [Style::new(), Style::new().fg(colour), Style::new(), Style::new()];
    let spans = cells.iter().zip(WIDTHS).zip(styles).take(columns(width).max(1));
    spans.map(|((text, width), style)| Span::styled(cell(text, width), style)).collect::<Vec<_>>().into()
}

/// `text` in a column, cut with a sign where it is too long, with a space behind it.
fn cell(text: &str, width: u16) -> String {
    let room = usize::from(width).saturating_sub(1);
    if text.chars().count() <= room {
        return format!("{text:<room$} ");
    }
    let cut: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{cut}… ")
}

fn label(text: &str) -> Span<'static> {
    Span::styled(cell(text, WIDTHS[0]), Style::new().add_modifier(Modifier::DIM))
}

/// A share of ten blocks.
fn bar(share: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10")]
    let full = (share * 10.0).round() as usize;
    "█".repeat(full.clamp(1, 10))
}

fn colour_of(version: &str) -> Color {
    match version.split('-').next() {
        Some("blue") => Color::Blue,
        Some("green") => Color::Green,
        _ => Color::Reset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    fn look(at: i64, error: Option<f64>) -> Look {
        let url = |name: &str, ratio: Option<f64>| {
            let p95 = ratio.map(|ratio| if ratio > 0.0 { 80.0 } else { 10.0 });
            json!({ "target": name, "answers": if ratio.is_some() { 9 } else { 0 }, "error_ratio": ratio,
                    "slow_ratio": null, "p95_ms": p95 })
        };
        Look {
            service: json!({ "guard": { "state": "judging", "armed": true }, "live": { "at": at },
                             "verdict": { "word": "bad", "says": "29 of 29 answers are bad" } }),
            urls: json!({ "urls": [url("checkout-a", error), url("checkout-b", Some(0.0))] }),
            versions: vec![("blue-1".into(), 25.0), ("green-2".into(), 75.0), ("old".into(), 0.0)],
        }
    }

    fn drawn(view: &View, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let lines = buffer.content().chunks(usize::from(width));
        let text = |line: &[ratatui::buffer::Cell]| -> String {
            line.iter().map(ratatui::buffer::Cell::symbol).collect()
        };
        lines.map(|line| text(line).trim_end().to_owned()).collect()
    }

    #[test]
    fn each_url_has_its_figures_and_its_last_minute_on_one_scale() {
        let mut view = View::default();
        for at in 0..3 {
            view.take(look(at, Some(0.25)));
        }
        let lines = drawn(&view, 100, View::height(2));
        assert!(lines[0].starts_with("── serin demo ──"), "{lines:#?}");
        assert_eq!(lines[1], "URL         state  bad      P95        P95 of the last minute");
        assert!(lines[2].starts_with("checkout-a  bad    25.0 %   80.0 ms"), "{lines:#?}");
        assert!(lines[2].ends_with("███") && !lines[2].ends_with("████"), "a point a second\n{lines:#?}");
        assert!(lines[3].starts_with("checkout-b  good   0.0 %    10.0 ms"), "{lines:#?}");
        assert!(lines[3].ends_with(" ▁▁▁"), "{lines:#?}");
        assert_eq!(lines[4], "answers     blue-1 25 % ███  green-2 75 % ████████  of the last 10 s");
        assert_eq!(lines[5], "guard       judging, armed  bad  29 of 29 answers are bad");
    }

    #[test]
    fn a_second_makes_one_point_and_a_minute_is_kept() {
        let mut view = View::default();
        view.take(look(1, Some(0.0)));
        view.take(look(1, Some(0.5)));
        assert_eq!(view.recent[0].len(), 1);
        for at in 2..200 {
            view.take(look(at, None));
        }
        assert_eq!(view.recent[0].len(), usize::from(KEPT));
        let lines = drawn(&view, 100, 6);
        assert_eq!(lines[2], "checkout-a  -      -        -", "what isn't known is no zero, and no bar");
    }

    #[test]
    fn there_is_something_to_read_in_the_smallest_of_terminals() {
        let mut view = View::default();
        assert_eq!(drawn(&view, 40, 4)[2], "answers     -", "before the first look");
        view.take(look(1, Some(0.25)));
        for (width, line) in [
            (47, "checkout-a  bad    25.0 %   80.0 ms           █"),
            (46, "checkout-a  bad    25.0 %   80.0 ms"),
            (38, "checkout-a  bad    25.0 %"),
            (20, "checkout-a  bad"),
            (5, "check"),
        ] {
            assert_eq!(drawn(&view, width, 6)[2], line, "{width} columns");
        }
        for height in 1..6 {
            assert_eq!(drawn(&view, 47, height).len(), usize::from(height));
        }
        assert_eq!(cell("a-very-long-name", 12), "a-very-lon… ");
    }
}
