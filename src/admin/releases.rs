//! The last releases of a service, and the account of each, out of its ledger. Reading it may take a while, so it is done apart.

use super::{Board, Shared, refusal};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Nothing is fetched and nothing runs, as the page itself says too.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// By the names of a service and a release; what goes wrong is told in words.
pub type Account<T> = Box<dyn Fn(&str, &str) -> Result<T, String> + Send + Sync>;

/// Makes accounts, one at a time: the threads that may wait for a disk are few, and a guard's own look at the hold file is one of
/// those who need them.
pub struct Archive {
    /// The last releases of a service, newest first, each with `release_id`, `outcome`, `verdict` and `ts`. Whichever release is
    /// asked for.
    pub releases: Account<Value>,
    /// The account of one as a page.
    pub page: Account<String>,
    turn: Arc<Semaphore>,
}

impl Archive {
    /// By these two.
    #[must_use]
    pub fn new(releases: Account<Value>, page: Account<String>) -> Self {
        Self { releases, page, turn: Arc::new(Semaphore::new(1)) }
    }
}

/// `GET /api/v1/services/{service}/releases`
pub(super) async fn list(State((board, _)): Shared, Path(service): Path<String>) -> Response {
    match apart(board, service, |board, service| (board.archive.releases)(service, "")).await {
        Ok(releases) => Json(releases).into_response(),
        Err(refused) => *refused,
    }
}

/// `GET /api/v1/services/{service}/releases/{release}`
pub(super) async fn page(
    State((board, _)): Shared,
    Path((service, release)): Path<(String, String)>,
) -> Response {
    match apart(board, service, move |board, service| (board.archive.page)(service, &release)).await {
        Ok(page) => {
            let headers = [
                (header::CONTENT_TYPE, "text/html; charset=utf-8"),
                (header::CONTENT_SECURITY_POLICY, POLICY),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (header::REFERRER_POLICY, "no-referrer"),
                (header::CACHE_CONTROL, "no-store"),
            ];
            (headers, page).into_response()
        }
        Err(refused) => *refused,
    }
}

async fn apart<T: Send + 'static>(
    board: Arc<Board>,
    service: String,
    make: impl FnOnce(&Board, &str) -> Result<T, String> + Send + 'static,
) -> Result<T, Box<Response>> {
    if board.services.get(&service).is_none() {
        return Err(Box::new(super::nobody(&board, &service)));
    }
    // Never closed. Whoever asked may be gone before it is made: the next one waits for it all the same.
    let turn = Arc::clone(&board.archive.turn).acquire_owned().await;
    let account = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        make(&board, &service)
    });
    match account.await {
        Ok(Ok(account)) => Ok(account),
        Ok(Err(why)) => Err(Box::new(refusal(StatusCode::NOT_FOUND, &why))),
        Err(_) => Err(Box::new(StatusCode::INTERNAL_SERVER_ERROR.into_response())),
    }
}
