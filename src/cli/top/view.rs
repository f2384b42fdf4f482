//! What `serin top` shows, without a terminal.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Row, Sparkline, Table};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;

/// Points of a sparkline.
const KEPT: usize = 240;
/// Orders of the URLs, the first at the start.
const ORDERS: [&str; 4] = ["errors", "p95", "slow", "name"];
const UNKNOWN: &str = "-";

/// A share of bad answers, and a P95 in ms.
type Point = (Option<f64>, Option<f64>);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct View {
    status: Value,
    /// Of each service: the share of bad answers and the P95 in ms, a point a look.
    recent: BTreeMap<String, VecDeque<Point>>,
    at: usize,
    order: usize,
    /// The answer about the chosen service's URLs.
    pub(super) urls: Value,
    /// Why what is shown is old.
    pub(super) lost: Option<String>,
}

impl View {
    /// A new answer of `/api/v1/status`.
    pub(super) fn take(&mut self, status: Value) {
        self.status = status;
        let services: Vec<(String, Value)> =
            self.services().map(|(name, service)| (name.clone(), service["live"].clone())).collect();
        self.recent.retain(|name, _| services.iter().any(|(each, _)| each == name));
        for (name, live) in services {
            let recent = self.recent.entry(name).or_default();
            recent.push_back((live["error_ratio"].as_f64(), live["p95_ms"].as_f64()));
            while recent.len() > KEPT {
                recent.pop_front();
            }
        }
        self.choose(0);
    }

    /// The next service, or the one before.
    pub(super) fn choose(&mut self, step: isize) {
        let last = self.services().count().saturating_sub(1);
        self.at = self.at.saturating_add_signed(step).min(last);
    }

    /// The next order.
    pub(super) fn sort(&mut self) {
        self.order = (self.order + 1) % ORDERS.len();
    }

    /// By what the URLs are ordered.
    pub(super) const fn order(&self) -> &'static str {
        ORDERS[self.order]
    }

    /// The name of the service that is looked at.
    pub(super) fn chosen(&self) -> Option<&str> {
        self.services().nth(self.at).map(|(name, _)| name.as_str())
    }

    fn services(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.status["services"].as_object().into_iter().flatten()
    }

    /// One look, for whoever has no terminal.
    pub(super) fn plain(&self) -> String {
        let mut text = format!("{}\n", self.head());
        for (name, service) in self.services() {
            // Writing to a string can't fail.
            let _ = writeln!(text, "{name}: {}", cells(service).join(", "));
            let _ = writeln!(text, "  {}", says(service));
        }
        text
    }

    fn head(&self) -> String {
        let of = |key: &str| self.status[key].as_str().unwrap_or(UNKNOWN).to_owned();
        let up = self.status["uptime_s"].as_u64().unwrap_or_default();
        format!("serin {} on {}, up {} min", of("version"), of("instance"), up / 60)
    }

    /// The whole screen.
    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let services = u16::try_from(self.services().count()).unwrap_or(u16::MAX);
        let [head, list, detail, charts, urls, keys] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(services.min(12) + 2),
            Constraint::Length(4),
            Constraint::Length(5),
            Constraint::Min(3),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        let old = self.lost.as_ref().map(|why| format!("  no answer, what is shown is old: {why}"));
        let title = Line::from(vec![
            Span::styled(self.head(), Style::new().add_modifier(Modifier::BOLD)),
            Span::styled(old.unwrap_or_default(), Style::new().fg(Color::Red)),
        ]);
        frame.render_widget(Paragraph::new(title), head);
        frame.render_widget(self.list(), list);
        let chosen = self.services().nth(self.at);
        if let Some((name, service)) = chosen {
            let lines = vec![Line::from(says(service)), Line::from(against(service))];
            let block = Block::bordered().title(format!(" {name} "));
            frame.render_widget(Paragraph::new(lines).block(block), detail);
            self.charts(frame, charts, name);
        }
        frame.render_widget(self.table(), urls);
        frame.render_widget(Paragraph::new("q quit   up/down service   s order of the URLs"), keys);
    }

    fn list(&self) -> Table<'_> {
        let header = Row::new(["service", "mode", "verdict", "bad", "P95", "armed", "state"])
            .style(Style::new().add_modifier(Modifier::UNDERLINED));
        let first = self.at.saturating_sub(11);
        let rows = self.services().enumerate().skip(first).map(|(index, (name, service))| {
            let cells = [name.clone()].into_iter().chain(cells(service));
            let style = Style::new().fg(colour(service));
            Row::new(cells).style(if index == self.at {
                style.add_modifier(Modifier::REVERSED)
            } else {
                style
            })
        });
        let widths = [
            Constraint::Fill(2),
            Constraint::Length(8),
            Constraint::Length(13),
            Constraint::Length(9),
            Constraint::Length(11),
            Constraint::Length(6),
            Constraint::Fill(1),
        ];
        Table::new(rows, widths).header(header)
    }

    fn charts(&self, frame: &mut Frame<'_>, area: ratatui::layout::Rect, name: &str) {
        let halves: [_; 2] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(area);
        let recent = self.recent.get(name).cloned().unwrap_or_default();
        // Shares in hundredths of a percent, times in microseconds: a sparkline draws whole numbers.
        let errors: Vec<Option<u64>> = recent.iter().map(|(ratio, _)| whole(*ratio, 10_000.0)).collect();
        let p95: Vec<Option<u64>> = recent.iter().map(|(_, ms)| whole(*ms, 1_000.0)).collect();
        for ((values, title), area) in [(errors, " bad answers "), (p95, " P95 ")].into_iter().zip(halves) {
            let width = usize::from(area.width.saturating_sub(2));
            let last = values.len().saturating_sub(width);
            let chart = Sparkline::default()
                .data(values[last..].to_vec())
                .absent_value_symbol("·")
                .block(Block::bordered().title(title));
            frame.render_widget(chart, area);
        }
    }

    fn table(&self) -> Table<'_> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let rows: Vec<Row<'_>> = self.urls["urls"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|url| {
                let bad = url["error_ratio"].as_f64().is_some_and(|ratio| ratio > 0.0);
                let cells = [
                    text(&url["target"]),
                    url["answers"].to_string(),
                    percent(&url["error_ratio"]),
                    percent(&url["slow_ratio"]),
                    ms(&url["p95_ms"]),
                ];
                Row::new(cells).style(if bad { Style::new().fg(Color::Red) } else { Style::new() })
            })
            .collect();
        let total = self.urls["total"].as_u64().unwrap_or_default();
        let widths = [
            Constraint::Fill(1),
            Constraint::Length(9),
            Constraint::Length(9),
            Constraint::Length(9),
            Constraint::Length(11),
        ];
        Table::new(rows, widths)
            .header(Row::new(["URL", "answers", "bad", "slow", "P95"]))
            .block(Block::bordered().title(format!(" {total} URLs by {} ", self.order())))
    }
}

fn cells(service: &Value) -> Vec<String> {
    let (guard, live) = (&service["guard"], &service["live"]);
    let word = |value: &Value| value.as_str().unwrap_or(UNKNOWN).to_owned();
    let armed = guard["armed"].as_bool().map_or(UNKNOWN, |armed| if armed { "yes" } else { "no" });
    let latched = guard["latched"].as_str().map(|latched| format!(", {latched}")).unwrap_or_default();
    vec![
        word(&service["mode"]),
        word(&service["verdict"]["word"]),
        percent(&live["error_ratio"]),
        ms(&live["p95_ms"]),
        armed.to_owned(),
        format!("{}{latched}", word(&guard["state"])),
    ]
}

fn says(service: &Value) -> String {
    service["verdict"]["says"].as_str().unwrap_or("nothing is known yet").to_owned()
}

/// What forbids acting.
fn against(service: &Value) -> String {
    let conditions = service["guard"]["conditions"].as_array();
    let failing = conditions.into_iter().flatten().filter(|condition| condition["holds"] == false);
    let failing: Vec<String> = failing
        .map(|condition| {
            format!(
                "{}: {}",
                condition["name"].as_str().unwrap_or_default(),
                condition["detail"].as_str().unwrap_or_default()
            )
        })
        .collect();
    if failing.is_empty() { "no condition forbids acting".into() } else { failing.join("; ") }
}

fn colour(service: &Value) -> Color {
    let guard = &service["guard"];
    let word = service["verdict"]["word"].as_str();
    if word == Some("bad") || !guard["needs_human"].is_null() {
        Color::Red
    } else if !guard["latched"].is_null()
        || word == Some("blind")
        || service["mode"] == "act" && guard["armed"] != true
    {
        Color::Yellow
    } else if word == Some("good") {
        Color::Green
    } else {
        Color::Reset
    }
}

fn percent(ratio: &Value) -> String {
    ratio.as_f64().map_or_else(|| UNKNOWN.into(), |ratio| format!("{:.2} %", ratio * 100.0))
}

fn ms(value: &Value) -> String {
    value.as_f64().map_or_else(|| UNKNOWN.into(), |ms| format!("{ms:.1} ms"))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "neither is negative or large")]
fn whole(value: Option<f64>, scale: f64) -> Option<u64> {
    value.map(|value| (value * scale) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    fn status(ratio: Option<f64>) -> Value {
        let condition =
            |name: &str, holds: bool| json!({ "name": name, "holds": holds, "detail": "as it is" });
        let guard = json!({ "armed": false, "state": "judging", "latched": "observe", "needs_human": null,
                            "conditions": [condition("lever", true), condition("no-hold", false)] });
        json!({ "version": "1.2", "instance": "i", "uptime_s": 130, "services": {
            "cart": { "mode": "act", "verdict": { "word": "bad", "says": "29 of 29 answers are bad" }, "guard": guard,
                      "live": { "error_ratio": ratio, "p95_ms": 12.34 } },
            "shop": { "mode": "observe", "verdict": null, "guard": null, "live": null } } })
    }

    fn drawn(view: &View) -> String {
        let mut terminal = Terminal::new(TestBackend::new(100, 30)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let lines = buffer.content().chunks(100);
        lines.map(|line| line.iter().map(ratatui::buffer::Cell::symbol).collect::<String>() + "\n").collect()
    }

    #[test]
    fn a_service_is_shown_with_why_it_may_not_act_and_the_unknown_is_no_zero() {
        let mut view = View::default();
        view.take(status(Some(0.25)));
        view.take(status(None));
        view.urls = json!({ "total": 2, "urls": [
            { "target": "root", "answers": 9, "error_ratio": 0.5, "slow_ratio": null, "p95_ms": 3.0 } ] });
        let text = drawn(&view);
        for part in [
            "serin 1.2 on i, up 2 min",
            "29 of 29 answers are bad",
            "no-hold: as it is",
            "12.3 ms",
            "judging, observe",
            "2 URLs by errors",
            "50.00 %",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        let shop = text.lines().find(|line| line.starts_with("shop")).unwrap();
        assert!(!shop.contains('0') && shop.contains(UNKNOWN), "{shop}");
        assert!(text.contains('·'), "a point that is not known\n{text}");
    }

    #[test]
    fn the_choice_stays_among_the_services_and_the_order_comes_round() {
        let mut view = View::default();
        assert_eq!(view.chosen(), None);
        view.take(status(Some(0.0)));
        view.choose(-1);
        assert_eq!(view.chosen(), Some("cart"));
        view.choose(5);
        assert_eq!(view.chosen(), Some("shop"));
        assert!(drawn(&view).contains(" shop "));
        view.take(json!({ "services": { "cart": {} } }));
        assert_eq!(view.chosen(), Some("cart"), "the other is gone");
        let orders: Vec<&str> = (0..5)
            .map(|_| {
                view.sort();
                view.order()
            })
            .collect();
        assert_eq!(orders, ["p95", "slow", "name", "errors", "p95"]);
    }

    #[test]
    fn without_a_terminal_there_are_plain_lines() {
        let mut view = View::default();
        view.take(status(Some(0.25)));
        let wants = "serin 1.2 on i, up 2 min\n\
                     cart: act, bad, 25.00 %, 12.3 ms, no, judging, observe\n  29 of 29 answers are bad\n\
                     shop: observe, -, -, -, -, -\n  nothing is known yet\n";
        assert_eq!(view.plain(), wants);
    }
}
