//! What the page and the terminal draw: the last minutes of each service, a point a second, its URLs as they stand, and an event a
//! second for whoever wants to be told.

use super::{Board, Desk, Shared, refusal, standing};
use crate::clock;
use crate::model::delta::Second;
use crate::model::sample::Purpose;
use crate::model::time::{Mono, Span, Wall};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Points that are kept: ten minutes.
const KEPT: usize = 600;
/// An engine that was silent for so long has no figures any more, as at `/metrics`.
const STALE: Duration = Duration::from_secs(15);
/// Whoever is told at once at most: each is a connection that stays.
const READERS_MAX: usize = 32;
/// Between two events.
const EVERY: Duration = Duration::from_secs(1);
/// URLs of a page, unless it is said, and at most.
const PAGE: usize = 50;
const PAGE_MAX: usize = 500;

/// The last minutes of a service.
#[derive(Debug, Default)]
pub struct Live {
    /// The names of its targets, in the order of the file.
    targets: Arc<[Arc<str>]>,
    points: VecDeque<Point>,
    /// The newest second, which has the figures of the URLs, and when it came.
    last: Option<(Mono, Arc<Second>)>,
}

/// One second, as the judge's window stood at its end.
#[derive(Clone, Copy, Debug)]
struct Point {
    at: Wall,
    /// Production probes that came to an end in it.
    ended: u32,
    answers: u32,
    bad: u32,
    p95: Option<Span>,
    verdict: &'static str,
}

impl Live {
    /// Of a service with these targets.
    #[must_use]
    pub fn new(targets: Arc<[Arc<str>]>) -> Self {
        Self { targets, ..Self::default() }
    }

    /// A second is over.
    pub fn second(&mut self, at: Wall, second: &Arc<Second>) {
        let production = second.deltas.iter().filter(|delta| delta.purpose == Some(Purpose::Production));
        let ended = production.map(|delta| delta.attempts).sum();
        if let Some(rolling) = &second.rolling {
            let (answers, bad) = (rolling.answers, rolling.bad);
            self.points.push_back(Point {
                at,
                ended,
                answers,
                bad,
                p95: rolling.p95,
                verdict: rolling.verdict,
            });
        }
        while self.points.len() > KEPT {
            self.points.pop_front();
        }
        self.targets = Arc::clone(&second.targets);
        self.last = Some((second.at, Arc::clone(second)));
    }

    /// The newest point; null before the first, and when the engine is silent.
    pub(super) fn newest(&self, now: Mono) -> Value {
        self.second_at(now).and_then(|_| self.points.back()).map_or(Value::Null, Point::json)
    }

    /// The newest second, while it is one.
    fn second_at(&self, now: Mono) -> Option<&Arc<Second>> {
        self.last.as_ref().filter(|(at, _)| now.since(*at) <= STALE).map(|(_, second)| second)
    }
}

impl Point {
    /// What is not known is null, never zero.
    fn json(&self) -> Value {
        json!({
            "at": self.at.0,
            "probes": self.ended,
            "answers": self.answers,
            "error_ratio": ratio(self.bad, self.answers),
            "p95_ms": self.p95.map(Span::millis),
            "verdict": self.verdict,
        })
    }
}

fn ratio(part: u32, of: u32) -> Option<f64> {
    (of > 0).then(|| f64::from(part) / f64::from(of))
}

/// Whoever is told each second, and the one that tells.
#[derive(Debug)]
pub struct Events {
    told: watch::Receiver<Arc<str>>,
    readers: Arc<AtomicUsize>,
}

/// Makes the events; ends them when it is dropped.
#[derive(Debug)]
pub struct Teller(watch::Sender<Arc<str>>);

impl Events {
    /// Both ends.
    #[must_use]
    pub fn new() -> (Self, Teller) {
        let (teller, told) = watch::channel(Arc::from(""));
        (Self { told, readers: Arc::default() }, Teller(teller))
    }
}

impl Teller {
    /// Tells how everything stands, once a second, while anybody listens.
    pub async fn run(self, board: Arc<Board>) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if board.events.readers.load(Ordering::Relaxed) > 0 {
                self.0.send_replace(standing(&board).to_string().into());
            }
        }
    }
}

/// Counts a reader until it is gone.
struct Reader(Arc<AtomicUsize>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// `GET /api/v1/events`: server-sent events, each with the body of `/api/v1/status`. A reader that is slow misses some.
pub(super) async fn events(State((board, _)): Shared) -> Response {
    let events = &board.events;
    let reader = Reader(Arc::clone(&events.readers));
    if events.readers.fetch_add(1, Ordering::Relaxed) >= READERS_MAX {
        let why = format!("{READERS_MAX} are told already; close a page, or ask /api/v1/status");
        return refusal(StatusCode::SERVICE_UNAVAILABLE, &why);
    }
    // The first is for this one alone: it doesn't wait for the next second.
    let first = standing(&board).to_string();
    // The board's own end never looks, so a copy of it would take for news what was told to readers who are long gone.
    let mut told = events.told.clone();
    told.mark_unchanged();
    let state = (Some(first), told, reader);
    let stream = unfold(state, |(first, mut told, reader)| async move {
        let text = if let Some(first) = first {
            first
        } else {
            told.changed().await.ok()?;
            told.borrow_and_update().to_string()
        };
        Some((Ok::<_, Infallible>(Event::default().data(text)), (None, told, reader)))
    });
    Sse::new(stream).keep_alive(KeepAlive::default()).into_response()
}

/// `GET /api/v1/services/{service}/history`: the last ten minutes, oldest first.
pub(super) async fn history(State((board, _)): Shared, Path(service): Path<String>) -> Response {
    let desk = match desk(&board, &service) {
        Ok(desk) => desk,
        Err(refused) => return *refused,
    };
    let points: Vec<Value> = desk.live().points.iter().map(Point::json).collect();
    Json(json!({ "service": service, "interval_s": EVERY.as_secs(), "points": points })).into_response()
}

/// `GET /api/v1/services/{service}/urls?page=&per_page=&sort=&filter=`
pub(super) async fn urls(
    State((board, _)): Shared,
    Path(service): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let desk = match desk(&board, &service) {
        Ok(desk) => desk,
        Err(refused) => return *refused,
    };
    let asked = match Asked::of(&query) {
        Ok(asked) => asked,
        Err(why) => return refusal(StatusCode::BAD_REQUEST, &why),
    };
    let (targets, last) = {
        let live = desk.live();
        (Arc::clone(&live.targets), live.second_at(clock::now()).cloned())
    };
    let mut rows: Vec<Row<'_>> = targets
        .iter()
        .zip(0..)
        .filter(|(name, _)| name.contains(&asked.filter))
        .map(|(name, index)| Row::of(name, index, last.as_deref()))
        .collect();
    asked.sort.apply(&mut rows);
    let total = rows.len();
    let page = rows.iter().skip((asked.page - 1).saturating_mul(asked.per_page)).take(asked.per_page);
    let page: Vec<Value> = page.map(Row::json).collect();
    Json(json!({ "service": service, "total": total, "page": asked.page, "per_page": asked.per_page,
                 "pages": total.div_ceil(asked.per_page).max(1), "sort": asked.sort.name(), "urls": page }))
    .into_response()
}

fn desk(board: &Board, service: &str) -> Result<Arc<Desk>, Box<Response>> {
    board.services.get(service).ok_or_else(|| Box::new(super::nobody(board, service)))
}

/// One URL as it stands.
struct Row<'a> {
    name: &'a str,
    answers: u32,
    error: Option<f64>,
    slow: Option<f64>,
    p95: Option<Span>,
}

impl<'a> Row<'a> {
    fn of(name: &'a str, index: u16, last: Option<&Second>) -> Self {
        let figures = last.and_then(|last| {
            let at = last.urls.binary_search_by_key(&index, |url| url.target.0).ok()?;
            last.urls.get(at)
        });
        Self {
            name,
            answers: figures.map_or(0, |url| url.answers),
            error: figures.and_then(|url| ratio(url.bad, url.answers)),
            slow: figures.and_then(|url| ratio(url.slow?, url.answers)),
            p95: figures.and_then(|url| url.p95),
        }
    }

    fn json(&self) -> Value {
        json!({ "target": self.name, "answers": self.answers, "error_ratio": self.error, "slow_ratio": self.slow,
                "p95_ms": self.p95.map(Span::millis) })
    }
}

/// By what the URLs are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    File,
    Name,
    Errors,
    Slow,
    P95,
}

impl Sort {
    const ALL: [Self; 5] = [Self::File, Self::Name, Self::Errors, Self::Slow, Self::P95];

    const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Name => "name",
            Self::Errors => "errors",
            Self::Slow => "slow",
            Self::P95 => "p95",
        }
    }

    /// The worst first; what is not known comes last.
    fn apply(self, rows: &mut [Row<'_>]) {
        let worst = |value: Option<f64>| value.unwrap_or(-1.0);
        match self {
            Self::File => {}
            Self::Name => rows.sort_by_key(|row| row.name),
            Self::Errors => rows.sort_by(|a, b| worst(b.error).total_cmp(&worst(a.error))),
            Self::Slow => rows.sort_by(|a, b| worst(b.slow).total_cmp(&worst(a.slow))),
            Self::P95 => rows.sort_by_key(|row| std::cmp::Reverse(row.p95)),
        }
    }
}

/// What a request for URLs asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    page: usize,
    per_page: usize,
    sort: Sort,
    filter: String,
}

impl Asked {
    fn of(query: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut asked = Self { page: 1, per_page: PAGE, sort: Sort::File, filter: String::new() };
        for (key, value) in query {
            match key.as_str() {
                "page" => asked.page = number(key, value, usize::MAX)?,
                "per_page" => asked.per_page = number(key, value, PAGE_MAX)?,
                "filter" => asked.filter.clone_from(value),
                "sort" => {
                    let found = Sort::ALL.into_iter().find(|sort| sort.name() == value);
                    let known = || Sort::ALL.map(Sort::name).join(", ");
                    asked.sort = found.ok_or_else(|| format!("sort = {value:?}: there are {}", known()))?;
                }
                _ => return Err(format!("no parameter {key:?}; there are page, per_page, sort and filter")),
            }
        }
        Ok(asked)
    }
}

fn number(key: &str, value: &str, most: usize) -> Result<usize, String> {
    let number = value.parse().ok().filter(|number| (1..=most).contains(number));
    let range = if most == usize::MAX { "1 or more".to_owned() } else { format!("1 to {most}") };
    number.ok_or_else(|| format!("{key} = {value:?}: a whole number, {range}"))
}

/// For the age of what is shown.
pub(super) fn wall_ms() -> i64 {
    clock::wall().0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::delta::{Own, Rolling, Times};
    use crate::model::target::TargetId;
    use crate::model::urls::UrlFigures;

    fn second(answers: u32, urls: Vec<UrlFigures>) -> Arc<Second> {
        let p95 = (answers > 0).then(|| Span::of(Duration::from_millis(20)));
        let rolling = Some(Rolling { answers, bad: answers / 2, p95, attained: None, verdict: "good" });
        let (deltas, times, own) = (Vec::new(), Times::default(), Own::default());
        let targets = ["front".into(), "cart".into()].into();
        Arc::new(Second { service: "shop".into(), at: Mono(0), targets, deltas, times, rolling, urls, own })
    }

    #[test]
    fn ten_minutes_are_kept_and_the_unknown_is_null() {
        let mut live = Live::default();
        assert_eq!(live.newest(Mono(0)), Value::Null);
        for at in 0..700 {
            live.second(Wall(at), &second(10, Vec::new()));
        }
        assert_eq!((live.points.len(), live.points[0].at), (600, Wall(100)));
        live.second(Wall(700), &second(0, Vec::new()));
        let newest = live.newest(Mono(15_000_000_000));
        assert_eq!((&newest["error_ratio"], &newest["p95_ms"]), (&Value::Null, &Value::Null));
        assert_eq!(
            (&newest["answers"], live.newest(Mono(15_000_000_001))),
            (&json!(0), Value::Null),
            "silence"
        );
        assert_eq!(live.points[598].json()["error_ratio"], 0.5);
    }

    #[test]
    fn the_worst_is_first_and_the_unknown_last() {
        let url = |target, bad, ms| UrlFigures {
            target: TargetId(target),
            answers: 10,
            bad,
            slow: None,
            p95: Some(Span::of(Duration::from_millis(ms))),
        };
        let last = second(10, vec![url(0, 1, 5), url(2, 4, 3)]);
        let ordered = |sort: Sort| {
            let names = ["b", "c", "a"].into_iter().zip(0..);
            let mut rows: Vec<Row<'_>> =
                names.map(|(name, index)| Row::of(name, index, Some(&last))).collect();
            sort.apply(&mut rows);
            rows.iter().map(|row| row.name).collect::<String>()
        };
        let orders = Sort::ALL.map(ordered);
        assert_eq!(orders, ["bca", "abc", "abc", "bca", "bac"]);
        assert_eq!(Row::of("c", 1, Some(&last)).json()["error_ratio"], Value::Null);
    }

    #[test]
    fn what_is_asked_wrongly_is_told_with_the_rule() {
        let asked = |query: &[(&str, &str)]| {
            Asked::of(&query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
        };
        let whole = Asked { page: 3, per_page: 500, sort: Sort::P95, filter: "a".into() };
        assert_eq!(asked(&[("page", "3"), ("per_page", "500"), ("sort", "p95"), ("filter", "a")]), Ok(whole));
        for (key, value, says) in [
            ("page", "0", "1 or more"),
            ("page", "-1", "1 or more"),
            ("per_page", "501", "1 to 500"),
            ("per_page", "x", "1 to 500"),
            ("sort", "colour", "file, name, errors, slow, p95"),
            ("pages", "1", "page, per_page, sort and filter"),
        ] {
            let why = asked(&[(key, value)]).unwrap_err();
            assert!(why.contains(says) && why.contains(key), "{why}");
        }
    }
}
