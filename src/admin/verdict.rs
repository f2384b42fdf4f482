//! One word on a release for other machines: Argo's `web` metric and an ECS lifecycle hook read it, Flagger's `rollback` hook asks
//! by its status. It tells, and changes nothing.

use super::{Shared, refusal};
use crate::model::guard::Outcome;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// `GET`: 200 whatever the word is.
pub(super) async fn read(State((board, _)): Shared, Path(service): Path<String>) -> Response {
    match word(&board, &service) {
        Ok((_, body)) => Json(body).into_response(),
        Err(why) => refusal(StatusCode::NOT_FOUND, &why),
    }
}

/// `POST`, as Flagger's webhooks do: 200 when the release is bad, so that it is rolled back, else 409. What was posted is of no interest.
pub(super) async fn rollback(State((board, _)): Shared, Path(service): Path<String>) -> Response {
    match word(&board, &service) {
        Ok((Outcome::Bad, body)) => Json(body).into_response(),
        Ok((_, body)) => (StatusCode::CONFLICT, Json(body)).into_response(),
        Err(why) => refusal(StatusCode::NOT_FOUND, &why),
    }
}

fn word(board: &super::Board, service: &str) -> Result<(Outcome, Value), String> {
    let Some(desk) = board.services.get(service) else {
        let names = board.services.names().join(", ");
        return Err(format!("no service {service:?}; there are: {names}"));
    };
    let shown = desk.read();
    let status = shown.status.as_deref();
    let outcome = status.map(|status| status.outcome).unwrap_or_default();
    let (verdict, says) = shown.verdict.map_or((None, None), |(word, says)| (Some(word), Some(says)));
    let body = json!({
        "service": service,
        "release": status.and_then(|status| status.release).map(|release| release.0),
        "label": status.and_then(|status| status.label.clone()),
        "outcome": outcome.word(),
        "verdict": verdict,
        "says": says,
        "latched": status.and_then(|status| status.latched),
        // In the words of an ECS lifecycle hook.
        "hookStatus": match outcome {
            Outcome::Good => "SUCCEEDED",
            Outcome::Bad => "FAILED",
            Outcome::None | Outcome::Open | Outcome::Left => "IN_PROGRESS",
        },
    });
    Ok((outcome, body))
}
