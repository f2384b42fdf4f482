//! The wish that the configuration be read anew, and what came of it.

use super::{Board, Shared, may_change, refusal};
use crate::model::time::Wall;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::PoisonError;
use tokio::sync::oneshot;

/// Why the configuration is to be read anew.
#[derive(Debug)]
pub enum Reload {
    /// Somebody wishes it; whoever waits gets what came of it.
    Asked(Option<oneshot::Sender<Reloaded>>),
    /// To see whether it has changed.
    Watched,
}

/// What came of the last time that the configuration was read, the first included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// When, in milliseconds of the wall clock.
    pub at: Wall,
    /// Every fault, if there was one: then the configuration of before goes on.
    pub faults: Option<String>,
    /// Services that have another configuration, whether it holds already or not.
    pub changed: Vec<String>,
    /// Services that are watched anew.
    pub added: Vec<String>,
    /// Services that aren't watched any more.
    pub removed: Vec<String>,
    /// Keys of the process itself that have another value now, which holds after a restart only.
    pub needs_restart: Vec<String>,
}

/// How that stands, for `/api/v1/status`.
pub(super) fn state(board: &Board) -> Value {
    let reloaded = board.reloaded.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let pending: serde_json::Map<String, Value> = board
        .services
        .all()
        .iter()
        .filter_map(|(name, desk)| Some((name.to_string(), desk.read().status?.revision?.into())))
        .collect();
    json!({ "at": reloaded.at, "ok": reloaded.faults.is_none(), "faults": reloaded.faults,
            "needs_restart": reloaded.needs_restart, "pending": pending })
}

/// `POST /-/reload`: 200 when the configuration is taken, whole, which may not hold everywhere yet; 400 when it isn't.
pub(super) async fn ask(State((board, door)): Shared, headers: HeaderMap) -> Response {
    if let Err(refused) = may_change(&board, door, &headers) {
        return *refused;
    }
    let (reply, answer) = oneshot::channel();
    let sent = board.reload.send(Reload::Asked(Some(reply))).await.is_ok();
    match if sent { answer.await.ok() } else { None } {
        Some(Reloaded { faults: Some(faults), .. }) => refusal(StatusCode::BAD_REQUEST, &faults),
        Some(reloaded) => {
            let mut body = json!(reloaded);
            body["pending"] = state(&board)["pending"].take();
            Json(body).into_response()
        }
        None => refusal(StatusCode::SERVICE_UNAVAILABLE, "the process is stopping"),
    }
}
