//! The way in for people and machines: health, readiness, whether it could act, figures, and a release's marks.
//!
//! In an ECS task all containers share loopback, so the TCP listener only tells. What changes state goes over the Unix
//! socket, whose file's permissions say who may, or needs the token.

mod badge;
mod client;
mod live;
mod page;
mod releases;
mod reload;
mod verdict;

pub use client::{At, ClientError, get, post};
pub use live::{Events, Live, Teller};
pub use releases::{Account, Archive};
pub use reload::{Reload, Reloaded};

use crate::clock;
use crate::model::budget::BudgetFigures;
use crate::model::guard::{Command, Status, Unprotected};
use crate::model::policy::Mode;
use crate::model::time::Mono;
use crate::settings::Secret;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get as on_get, post as on_post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::{mpsc, oneshot};

/// No request of ours is larger.
const BODY_MAX: usize = 64 * 1024;

/// A command on its way to a service's guard; the answer says that it was taken.
pub type Commands = mpsc::Sender<(Command, oneshot::Sender<Taken>)>;

/// Content type and body of `/metrics`, by the `Accept` header.
pub type Metrics = Box<dyn Fn(Option<&str>) -> (&'static str, Vec<u8>) + Send + Sync>;

/// What came of a command. It counts whatever stands here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Whether AWS has the tag of a hold, or has it no more; `None` where there is none to write.
    pub tag: Option<Result<(), String>>,
    /// A release that begins now would not be put back.
    pub unprotected: Option<Unprotected>,
}

/// What the listener shows. Written by `app`, read by every request.
pub struct Board {
    /// Of the program.
    pub version: &'static str,
    /// This process among its likes.
    pub instance: Arc<str>,
    /// When it began.
    pub began: Mono,
    /// The figures as a scraper's `Accept` header wants them, made when asked for.
    pub metrics: Metrics,
    /// Accounts of releases.
    pub archive: Archive,
    /// Whoever is told each second how everything stands.
    pub events: Events,
    /// Whoever shows this may change state over TCP.
    pub token: Option<Secret>,
    /// Every service.
    pub services: Services,
    /// Where the wish goes that the configuration be read anew.
    pub reload: mpsc::Sender<Reload>,
    /// What came of that last.
    pub reloaded: Mutex<Reloaded>,
}

/// The services by their names. They change when the configuration is read anew.
#[derive(Default)]
pub struct Services(RwLock<BTreeMap<Arc<str>, Arc<Desk>>>);

impl Services {
    /// One of them.
    pub fn get(&self, name: &str) -> Option<Arc<Desk>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// All of them, in the order of their names.
    pub fn all(&self) -> Vec<(Arc<str>, Arc<Desk>)> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(name, desk)| (Arc::clone(name), Arc::clone(desk))).collect()
    }

    /// One more, or another one of that name.
    pub fn put(&self, name: Arc<str>, desk: Desk) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::new(desk));
    }

    /// One less.
    pub fn remove(&self, name: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.all().into_iter().map(|(name, _)| name).collect()
    }
}

/// One service on the board.
pub struct Desk {
    /// Whether it may act.
    pub acts: AtomicBool,
    /// Where its commands go.
    pub commands: Commands,
    /// Its last minutes.
    pub live: Mutex<Live>,
    /// How it stands.
    pub shown: Mutex<Shown>,
}

/// How a service stands, as last told.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Its guard.
    pub status: Option<Arc<Status>>,
    /// The judge's word, with its sentence.
    pub verdict: Option<(&'static str, String)>,
    /// Its error budget, if it promises availability.
    pub budget: Option<BudgetFigures>,
    /// Its first probe was sent.
    pub probing: bool,
}

impl Desk {
    /// Changes what is shown.
    pub fn show(&self, change: impl FnOnce(&mut Shown)) {
        change(&mut self.shown.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether it may act.
    pub fn mode(&self) -> Mode {
        if self.acts.load(Ordering::Relaxed) { Mode::Act } else { Mode::Observe }
    }

    /// Its last minutes.
    pub fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> Shown {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Board").field("services", &self.services.names()).finish_non_exhaustive()
    }
}

/// Whether a request came by a way that may change state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Tcp,
    Socket,
}

/// The routes of the TCP listener.
pub fn over_tcp(board: Arc<Board>) -> Router {
    routes(board, Door::Tcp)
}

/// The routes of the Unix socket.
pub fn over_socket(board: Arc<Board>) -> Router {
    routes(board, Door::Socket)
}

fn routes(board: Arc<Board>, door: Door) -> Router {
    Router::new()
        .route("/-/healthy", on_get(|| async { "healthy\n" }))
        .route("/-/ready", on_get(ready))
        .route("/-/armed", on_get(armed))
        .route("/-/reload", on_post(reload::ask))
        .route("/metrics", on_get(metrics))
        .route("/api/v1/status", on_get(status))
        .route("/api/v1/services/{service}/command", on_post(command))
        .route("/api/v1/services/{service}/history", on_get(live::history))
        .route("/api/v1/services/{service}/urls", on_get(live::urls))
        .route("/api/v1/services/{service}/releases", on_get(releases::list))
        .route("/api/v1/services/{service}/releases/{release}", on_get(releases::page))
        .route("/api/v1/events", on_get(live::events))
        .route("/", on_get(page::index))
        .route("/page.css", on_get(page::style))
        .route("/page.js", on_get(page::script))
        .route("/icon.svg", on_get(page::icon))
        .route("/badge/{file}", on_get(badge::badge))
        .route("/api/v1/verdict/{service}", on_get(verdict::read).post(verdict::rollback))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state((board, door))
}

type Shared = State<(Arc<Board>, Door)>;

/// Ready: every service is being probed. Being blind or cut off from AWS is neither unready nor unhealthy.
async fn ready(State((board, _)): Shared) -> Response {
    let all = board.services.all();
    let waiting: Vec<&str> =
        all.iter().filter(|(_, desk)| !desk.read().probing).map(|(name, _)| &**name).collect();
    if waiting.is_empty() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not probing yet: {}\n", waiting.join(", ")))
            .into_response()
    }
}

/// Could a breach be answered now? 200 when every service's could, else 503; the body says why either way.
async fn armed(State((board, _)): Shared) -> Response {
    let mut all = true;
    let mut services = serde_json::Map::new();
    for (name, desk) in board.services.all() {
        let shown = desk.read();
        let armed = shown.status.as_ref().is_some_and(|status| status.armed);
        all &= armed;
        let conditions = shown.status.as_ref().map(|status| &status.conditions);
        services.insert(
            name.to_string(),
            json!({ "armed": armed, "mode": mode(desk.mode()), "conditions": conditions,
                    "unprotected": shown.status.as_ref().and_then(|status| status.unprotected).map(unprotected),
                    "live": shown.status.as_ref().map(|status| &status.live),
                    "idle": shown.status.as_ref().map(|status| &status.idle),
                    "good": shown.status.as_ref().and_then(|status| status.good.clone()),
                    "read_age_s": shown.status.as_ref().and_then(|status| status.read).map(age_s) }),
        );
    }
    let code = if all { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({ "armed": all, "services": Value::Object(services) }))).into_response()
}

async fn metrics(State((board, _)): Shared, headers: HeaderMap) -> Response {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let accept = accepts.collect::<Vec<_>>().join(",");
    // A thousand targets make megabytes of text: not on the thread that steps the guards.
    match tokio::task::spawn_blocking(move || (board.metrics)(Some(&accept))).await {
        Ok((kind, body)) => ([(header::CONTENT_TYPE, kind), (header::VARY, "Accept")], body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn status(State((board, _)): Shared) -> Json<Value> {
    Json(standing(&board))
}

/// How everything stands.
fn standing(board: &Board) -> Value {
    let services: serde_json::Map<String, Value> = board
        .services
        .all()
        .into_iter()
        .map(|(name, desk)| {
            let shown = desk.read();
            let verdict = shown.verdict.map(|(word, says)| json!({ "word": word, "says": says }));
            let one = json!({ "mode": mode(desk.mode()), "probing": shown.probing, "verdict": verdict,
                              "budget": shown.budget.as_ref().map(budget), "live": desk.live().newest(clock::now()),
                              "guard": shown.status.as_deref() });
            (name.to_string(), one)
        })
        .collect();
    json!({
        "version": board.version,
        "instance": &*board.instance,
        "at": live::wall_ms(),
        "uptime_s": age_s(board.began),
        "takes_token": board.token.is_some(),
        "reload": reload::state(board),
        "services": Value::Object(services),
    })
}

fn budget(figures: &BudgetFigures) -> Value {
    let [hour, six_hours, three_days] = figures.burn;
    let since = figures.since.and_then(|since| jiff::Timestamp::from_millisecond(since.0).ok());
    json!({ "remaining": figures.remaining, "burn_1h": hour, "burn_6h": six_hours, "burn_3d": three_days,
            "since": since.map(|since| since.to_string()) })
}

async fn command(
    State((board, door)): Shared,
    Path(service): Path<String>,
    headers: HeaderMap,
    Json(command): Json<Command>,
) -> Response {
    if let Err(refused) = may_change(&board, door, &headers) {
        return *refused;
    }
    let Some(desk) = board.services.get(service.as_str()) else {
        return nobody(&board, &service);
    };
    let (taken, answer) = oneshot::channel();
    let sent = desk.commands.send((command, taken)).await.is_ok();
    let Some(taken) = (if sent { answer.await.ok() } else { None }) else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "the service is stopping");
    };
    let tag = taken.tag.map(|tag| match tag {
        Ok(()) => json!({ "written": true }),
        Err(why) => json!({ "written": false, "why": why }),
    });
    Json(json!({ "taken": true, "tag": tag, "unprotected": taken.unprotected.map(unprotected) }))
        .into_response()
}

/// Whether a request may change state.
fn may_change(board: &Board, door: Door, headers: &HeaderMap) -> Result<(), Box<Response>> {
    // A page in somebody's browser can reach loopback too. Ours shows the token, and is of the place that it asks.
    let by_page = headers.contains_key(header::ORIGIN);
    if by_page && !is_our_page(headers) {
        let why = "requests from web pages of other places are refused";
        return Err(Box::new(refusal(StatusCode::FORBIDDEN, why)));
    }
    // Whatever hands a browser's requests on to the socket doesn't make them those of its owner.
    if (door == Door::Tcp || by_page) && !shows_token(headers, board.token.as_ref()) {
        let how = "use the Unix socket (admin.socket), or set admin.token and send it as a bearer token";
        return Err(Box::new(refusal(StatusCode::UNAUTHORIZED, how)));
    }
    Ok(())
}

/// Whether the page that asks came from where it asks: a browser says both, and a page can change neither. A name that somebody
/// else may point here isn't ours, whatever it says.
fn is_our_page(headers: &HeaderMap) -> bool {
    let of = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let origins = headers.get_all(header::ORIGIN).iter().count();
    let host = of(header::ORIGIN).and_then(|origin| origin.strip_prefix("http://"));
    let name = host.map(|host| {
        host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name })
    });
    let is_address = |name: &str| name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let ours = name.is_some_and(|name| name == "localhost" || is_address(name));
    origins == 1 && ours && host == of(header::HOST)
}

fn nobody(board: &Board, service: &str) -> Response {
    let names = board.services.names().join(", ");
    refusal(StatusCode::NOT_FOUND, &format!("no service {service:?}; there are: {names}"))
}

/// Until when, by the wall clock, and why.
fn unprotected(unprotected: Unprotected) -> Value {
    let left = unprotected.until.since(clock::now());
    let until = jiff::Timestamp::from_millisecond(clock::wall().0).ok();
    let until = until.and_then(|now| now.checked_add(jiff::SignedDuration::try_from(left).ok()?).ok());
    let why = match unprotected.reason {
        "cool-down" => "cooling down after the last revert",
        _ => "the budget of reverts is spent",
    };
    let clock = until.map(|until| until.strftime("%H:%M UTC").to_string()).unwrap_or_default();
    json!({ "until": until.map(|until| until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()), "reason": unprotected.reason,
            "seconds": left.as_secs(), "says": format!("unprotected until {clock}, {why}") })
}

fn refusal(code: StatusCode, why: &str) -> Response {
    (code, Json(json!({ "error": why }))).into_response()
}

/// Compared in a time that doesn't tell how much of it was right.
fn shows_token(headers: &HeaderMap, token: Option<&Secret>) -> bool {
    let Some(token) = token else { return false };
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(shown) = shown.and_then(|value| value.strip_prefix("Bearer ")) else { return false };
    let token = token.expose();
    let differs = shown.bytes().zip(token.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    shown.len() == token.len() && differs == 0
}

const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "observe",
        Mode::Act => "act",
    }
}

fn age_s(at: Mono) -> u64 {
    clock::now().since(at).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_page_is_ours_where_no_name_of_others_can_lead() {
        let ours = |origin: &'static str, host: &'static str| {
            let [origin, host] = [origin, host].map(HeaderValue::from_static);
            is_our_page(&HeaderMap::from_iter([(header::ORIGIN, origin), (header::HOST, host)]))
        };
        for place in ["localhost", "localhost:9464", "127.0.0.1:9464", "10.1.2.3:80", "[::1]:9464", "[::1]"] {
            let origin: &'static str = format!("http://{place}").leak();
            assert!(ours(origin, place), "{place}");
            assert!(!ours(origin, "other.example"), "{place}");
        }
        // Whoever owns the name may point it here.
        assert!(!ours("http://evil.example:9464", "evil.example:9464"));
        assert!(!ours("http://localhost.evil.example", "localhost.evil.example"));
        assert!(!ours("https://localhost", "localhost") && !ours("null", "null") && !ours("http://", ""));
    }
}
