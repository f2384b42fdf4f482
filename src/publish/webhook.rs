//! Pages as JSON to one webhook, one at a time, three attempts each.

use super::post::{Poster, Unusable};
use super::{Dated, Destination, Item, Lane, Losses, PublishError};
use crate::model::guard::Page;
use crate::model::time::Wall;
use crate::settings;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode, Uri};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Pages that wait at most. The guard tells a thing once, so that this is a very bad day of a whole fleet.
const QUEUE: usize = 64;
/// Before the second and the third attempt.
const BACKOFFS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// What is sent.
#[derive(Serialize)]
struct Message<'a> {
    service: &'a str,
    kind: &'static str,
    text: &'a str,
    dry_run: bool,
    epoch: u32,
    release: Option<u32>,
    /// When it was sent to the queue, RFC 3339, UTC.
    at: String,
}

/// Why one attempt did not deliver.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Post(#[from] super::post::PostError),
    #[error("the answer was {0}")]
    Status(StatusCode),
}

/// Starts the destination.
pub(super) fn start(
    settings: &settings::Webhook,
    losses: &Arc<Losses>,
    tasks: &mut JoinSet<()>,
) -> Result<Lane, PublishError> {
    let uri: Uri = settings.url.expose().parse().map_err(|_| PublishError::WebhookUrl)?;
    let poster = Poster::new(&uri, HeaderMap::new(), settings.timeout)?
        .map_err(|Unusable| PublishError::WebhookUrl)?;
    let (queue, pages) = mpsc::channel(QUEUE);
    tasks.spawn(run(poster, pages, Arc::clone(losses)));
    Ok(Lane { destination: Destination::Webhook, queue })
}

async fn run(poster: Poster, mut pages: mpsc::Receiver<Dated>, losses: Arc<Losses>) {
    while let Some(Dated { at, item }) = pages.recv().await {
        let Item::Page(service, page) = item else { continue };
        if let Err(error) = deliver(&poster, body(&service, &page, at)).await {
            losses.add(Destination::Webhook, 1);
            tracing::error!(%service, kind = page.kind.name(), %error, "a page was lost: the webhook didn't take it");
        }
    }
}

async fn deliver(poster: &Poster, body: Bytes) -> Result<(), Refused> {
    let mut backoffs = BACKOFFS.iter();
    loop {
        let error = match attempt(poster, body.clone()).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match backoffs.next().filter(|_| error.is_passing()) {
            Some(backoff) => tokio::time::sleep(*backoff).await,
            None => return Err(error),
        }
    }
}

async fn attempt(poster: &Poster, body: Bytes) -> Result<(), Refused> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let status = poster.post(&headers, body).await?.status();
    if status.is_success() { Ok(()) } else { Err(Refused::Status(status)) }
}

impl Refused {
    /// Whether another attempt may do better.
    fn is_passing(&self) -> bool {
        match self {
            Self::Post(_) => true,
            Self::Status(status) => {
                status.is_server_error()
                    || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(status)
            }
        }
    }
}

fn body(service: &str, page: &Page, at: Wall) -> Bytes {
    let message = Message {
        service,
        kind: page.kind.name(),
        text: &page.text,
        dry_run: page.dry_run,
        epoch: page.epoch.0,
        release: page.release.map(|release| release.0),
        at: jiff::Timestamp::from_millisecond(at.0).map(|at| at.to_string()).unwrap_or_default(),
    };
    serde_json::to_vec(&message).expect("strings and numbers always serialize").into()
}
