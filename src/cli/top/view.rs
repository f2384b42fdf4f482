//! What `serin top` shows, without a terminal.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Row, Sparkline, Table, Wrap};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;

/// Points of a sparkline.
const KEPT: usize = 240;
/// Orders of the URLs, the first at the start.
const ORDERS: [&str; 4] = ["errors", "p95", "slow", "name"];
const UNKNOWN: &str = "-";
/// Of a list: rows at most, and columns of a name.
const LIST_MAX: usize = 12;
const NAME: std::ops::RangeInclusive<usize> = 8..=32;
/// Columns beside the name, with their widths; where there is no room for all, those of the greatest number go first.
const COLUMNS: [(&str, usize, u8); 6] =
    [("mode", 8, 5), ("verdict", 12, 0), ("bad", 9, 1), ("P95", 11, 2), ("armed", 5, 3), ("state", 16, 4)];
/// The same of a URL.
const URL_COLUMNS: [(&str, usize, u8); 4] =
    [("answers", 9, 3), ("bad", 9, 0), ("slow", 9, 2), ("P95", 11, 1)];
/// Lines that say why it may not act, at most.
const WHY_MAX: usize = 4;

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
        let area = frame.area();
        let head = self.title();
        let chosen = self.services().nth(self.at);
        let detail = chosen.map_or_else(Vec::new, |(_, service)| vec![says(service), against(service)]);
        let lines = |texts: &[String], room: usize| -> usize {
            // Wrapped by words, so a line may hold somewhat less.
            texts
                .iter()
                .map(|text| text.chars().count().div_ceil((room * 9 / 10).max(1)).clamp(1, WHY_MAX))
                .sum()
        };
        let width = usize::from(area.width);
        let heads = lines(&head.iter().map(|(text, _)| text.clone()).collect::<Vec<_>>(), width);
        let rows = [
            Constraint::Length(length(heads)),
            Constraint::Length(length(self.services().count().min(LIST_MAX) + 2)),
            Constraint::Length(length(lines(&detail, width.saturating_sub(2)) + 2)),
            Constraint::Length(5),
            Constraint::Min(3),
            Constraint::Length(1),
        ];
        let [top, list, middle, charts, urls, keys] = Layout::vertical(rows).areas(area);
        let head = head.into_iter().map(|(text, style)| Line::from(Span::styled(text, style)));
        frame.render_widget(Paragraph::new(head.collect::<Vec<_>>()).wrap(Wrap { trim: true }), top);
        frame.render_widget(self.list(list), list);
        if let Some((name, _)) = chosen {
            let block = Block::bordered().title(format!(" {name} "));
            let detail: Vec<Line<'_>> = detail.into_iter().map(Line::from).collect();
            frame.render_widget(Paragraph::new(detail).wrap(Wrap { trim: true }).block(block), middle);
            self.charts(frame, charts, name);
        }
        frame.render_widget(self.table(urls), urls);
        frame.render_widget(Paragraph::new("q quit   up/down service   s order of the URLs"), keys);
    }

    /// Who it is, and what is wrong with what is shown or read.
    fn title(&self) -> Vec<(String, Style)> {
        let old = self.lost.as_ref().map(|why| format!("no answer, what is shown is old: {why}"));
        let red = old.map(|text| (text, Style::new().fg(Color::Red)));
        let yellow = self.configuration().map(|text| (text, Style::new().fg(Color::Yellow)));
        let name = (self.head(), Style::new().add_modifier(Modifier::BOLD));
        [Some(name), red, yellow].into_iter().flatten().collect()
    }

    /// What of the configuration that was read last doesn't hold.
    fn configuration(&self) -> Option<String> {
        let reload = &self.status["reload"];
        let mut waits: Vec<String> = Vec::new();
        if let Some(faults) = reload["faults"].as_str() {
            waits.push(format!("the configuration has a fault, and that of before goes on: {faults}"));
        }
        let pending = reload["pending"].as_object().into_iter().flatten();
        waits.extend(pending.map(|(name, why)| {
            format!("{name} goes by the configuration of before: {}", why.as_str().unwrap_or_default())
        }));
        let restart = reload["needs_restart"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let restart: Vec<&str> = restart.collect();
        if !restart.is_empty() {
            waits.push(format!("holds after a restart: {}", restart.join(", ")));
        }
        (!waits.is_empty()).then(|| waits.join("; "))
    }

    fn list(&self, area: Rect) -> Table<'_> {
        let longest = self.services().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        let name = longest.clamp(*NAME.start(), *NAME.end());
        let shown = fitting(&COLUMNS, usize::from(area.width).saturating_sub(name));
        let heads = shown.iter().map(|index| COLUMNS[*index].0);
        let header = Row::new(["service"].into_iter().chain(heads))
            .style(Style::new().add_modifier(Modifier::UNDERLINED));
        // The chosen one is seen, however low the screen is: one line is the header's.
        let first =
            (self.at + 1).saturating_sub(usize::from(area.height.saturating_sub(1)).clamp(1, LIST_MAX));
        let columns = shown.clone();
        let rows = self.services().enumerate().skip(first).map(move |(index, (name, service))| {
            let all = cells(service);
            let cells = columns.iter().map(move |index| all[*index].clone());
            let cells = [name.clone()].into_iter().chain(cells);
            let style = Style::new().fg(colour(service));
            Row::new(cells).style(if index == self.at {
                style.add_modifier(Modifier::REVERSED)
            } else {
                style
            })
        });
        Table::new(rows, widths(&COLUMNS, &shown)).header(header)
    }

    fn charts(&self, frame: &mut Frame<'_>, area: Rect, name: &str) {
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

    fn table(&self, area: Rect) -> Table<'_> {
        let shown = fitting(&URL_COLUMNS, usize::from(area.width).saturating_sub(2 + NAME.start()));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let rows: Vec<Row<'_>> = self.urls["urls"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|url| {
                let bad = url["error_ratio"].as_f64().is_some_and(|ratio| ratio > 0.0);
                let all = [
                    url["answers"].to_string(),
                    percent(&url["error_ratio"]),
                    percent(&url["slow_ratio"]),
                    ms(&url["p95_ms"]),
                ];
                let cells = shown.iter().map(|index| all[*index].clone());
                Row::new([text(&url["target"])].into_iter().chain(cells)).style(if bad {
                    Style::new().fg(Color::Red)
                } else {
                    Style::new()
                })
            })
            .collect();
        let total = self.urls["total"].as_u64().unwrap_or_default();
        let heads = shown.iter().map(|index| URL_COLUMNS[*index].0);
        Table::new(rows, widths(&URL_COLUMNS, &shown))
            .header(Row::new(["URL"].into_iter().chain(heads)))
            .block(Block::bordered().title(format!(" {total} URLs by {} ", self.order())))
    }
}

/// The places of the columns for which there is room, each with a space before it, in their order.
fn fitting(columns: &[(&str, usize, u8)], mut room: usize) -> Vec<usize> {
    let mut by_worth: Vec<usize> = (0..columns.len()).collect();
    by_worth.sort_by_key(|index| columns[*index].2);
    let fits = |index: &usize| {
        let left = room.checked_sub(columns[*index].1 + 1);
        room = left.unwrap_or(room);
        left.is_some()
    };
    let mut shown: Vec<usize> = by_worth.into_iter().take_while(fits).collect();
    shown.sort_unstable();
    shown
}

/// The name has what the others leave.
fn widths(columns: &[(&str, usize, u8)], shown: &[usize]) -> Vec<Constraint> {
    let others = shown.iter().map(|index| Constraint::Length(length(columns[*index].1)));
    [Constraint::Fill(1)].into_iter().chain(others).collect()
}

fn length(lines: usize) -> u16 {
    u16::try_from(lines).unwrap_or(u16::MAX)
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
        sized(view, 100, 30)
    }

    fn sized(view: &View, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let lines = buffer.content().chunks(usize::from(width));
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
    fn a_narrow_screen_has_fewer_columns_and_none_is_cut() {
        let mut view = View::default();
        view.take(status(Some(0.25)));
        view.urls = json!({ "total": 1, "urls": [
            { "target": "checkout", "answers": 9, "error_ratio": 0.5, "slow_ratio": 0.25, "p95_ms": 1234.5 } ] });
        let heads = |width: u16| -> Vec<String> {
            let text = sized(&view, width, 40);
            let line = text.lines().find(|line| line.starts_with("service")).unwrap();
            line.split_whitespace().map(str::to_owned).collect()
        };
        assert_eq!(heads(100), ["service", "mode", "verdict", "bad", "P95", "armed", "state"]);
        assert_eq!(heads(75), ["service", "mode", "verdict", "bad", "P95", "armed", "state"]);
        assert_eq!(heads(74), ["service", "verdict", "bad", "P95", "armed", "state"]);
        assert_eq!(heads(60), ["service", "verdict", "bad", "P95", "armed"]);
        assert_eq!(heads(30), ["service", "verdict"]);
        assert!(sized(&view, 75, 40).contains("judging, observe"));
        let narrow = sized(&view, 30, 40);
        for part in ["cart", "bad", "checkout", "50.00 %", "no-hold: as it is"] {
            assert!(narrow.contains(part), "{part} is not in\n{narrow}");
        }
        // Nothing panics where there is no room at all.
        for (width, height) in [(1, 1), (5, 3), (200, 1), (1, 60)] {
            sized(&view, width, height);
        }
    }

    #[test]
    fn the_chosen_one_of_many_is_seen_on_a_low_screen() {
        let mut view = View::default();
        let services: serde_json::Map<String, Value> =
            (0..30).map(|n| (format!("s{n:02}"), json!({}))).collect();
        view.take(json!({ "services": services }));
        for height in [60, 24, 16] {
            view.choose(-30);
            for step in 0..30 {
                let text = sized(&view, 80, height);
                let name = format!("s{step:02} ");
                assert!(text.lines().any(|line| line.starts_with(&name)), "{name} of {height} lines\n{text}");
                view.choose(1);
            }
        }
    }

    #[test]
    fn what_is_wrong_with_the_configuration_is_said_above() {
        let mut view = View::default();
        let mut told = status(Some(0.0));
        told["reload"] = json!({ "ok": true, "faults": null, "pending": {}, "needs_restart": [] });
        view.take(told.clone());
        assert!(!drawn(&view).contains("configuration"));
        told["reload"] = json!({ "ok": false, "faults": "mode: \"acts\" is none", "needs_restart": ["log.level"],
                                 "pending": { "cart": "it acts just now" } });
        view.take(told);
        view.lost = Some("refused".into());
        // Wherever the lines are broken.
        let text = drawn(&view).split_whitespace().collect::<Vec<_>>().join(" ");
        for part in
            ["is old: refused", "\"acts\" is none", "cart goes by the configuration of before", "log.level"]
        {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
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
