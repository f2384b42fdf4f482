//! Exports of metrics and logs as batches: the SDK hands each over and goes on, and [`outbox`] does the rest.
//!
//! A batch is the body of a request, with the times that the SDK gave it. Its headers are not kept: they may hold secrets, and
//! the next export brings them.

use super::answer;
use super::wire::Way;
use crate::clock;
use crate::publish::losses::{Losses, Reason};
use crate::publish::outbox::{self, Carrier, Depot, Failure, Inlet, Terms};
use crate::publish::spool::Batch;
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, HeaderValue};
use http::request::Parts;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_sdk::error::OTelSdkResult;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::SetOnce;
use tokio::task::JoinSet;

/// What a gzip file begins with, and no message of protobuf that has anything in it.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Starts the outbox of a signal: what the SDK sends by, and what each export is to be told to before.
pub(super) fn start(way: Way, terms: Terms, depot: &Depot, tasks: &mut JoinSet<()>) -> (Outgoing, Count) {
    let head = Arc::new(SetOnce::new());
    let freight = Freight { way, head: Arc::clone(&head) };
    let inlet = outbox::start(std::future::ready(freight), terms, depot, tasks);
    let count = Count { items: Arc::default(), losses: Arc::clone(&depot.losses), terms };
    (Outgoing { inlet, head, items: Arc::clone(&count.items) }, count)
}

/// Exports are made one after the other, each by one request.
#[derive(Debug)]
pub(super) struct Count {
    items: Arc<AtomicU64>,
    losses: Arc<Losses>,
    terms: Terms,
}

impl Count {
    /// The export that is about to be made has so many items.
    pub(super) fn next(&self, items: usize) {
        self.items.store(items as u64, Ordering::Relaxed);
    }

    /// An export that never became a request is lost.
    pub(super) fn made(&self, outcome: &OTelSdkResult) {
        if let Err(error) = outcome {
            let destination = self.terms.destination.name();
            tracing::warn!(destination, %error, "an OTLP export could not be made");
            let items = self.items.load(Ordering::Relaxed);
            self.losses.add(self.terms.destination, Reason::Invalid, items);
        }
    }
}

/// The SDK's client. To it, what is handed over is delivered.
pub(super) struct Outgoing {
    inlet: Inlet,
    head: Arc<SetOnce<Parts>>,
    items: Arc<AtomicU64>,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("inlet", &self.inlet).finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpClient for Outgoing {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        // They are the same for each export, but for how it is packed, which the body tells.
        drop(self.head.set(head));
        self.inlet.send(Batch { at: clock::wall(), items: self.items.load(Ordering::Relaxed), body });
        Ok(Response::default())
    }
}

/// Carries bodies by the head of the first export.
struct Freight {
    way: Way,
    head: Arc<SetOnce<Parts>>,
}

impl Carrier for Freight {
    async fn ready(&self) {
        self.head.wait().await;
    }

    async fn carry(&self, batch: &Batch) -> Result<u64, Failure> {
        let mut head = self.head.wait().await.clone();
        head.headers.remove(CONTENT_ENCODING);
        if batch.body.starts_with(&GZIP) {
            head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let answer = self.way.send(Request::from_parts(head, batch.body.clone())).await;
        answer::judged(&answer.map_err(|error| Failure::passing(&error))?, clock::wall())
    }
}
