//! One message after the other to one destination, three attempts each.

use super::post::{PostError, Poster};
use super::{Destination, Lane, Losses, Reason};
use crate::model::message::Message;
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Messages that wait at most. The guard tells a thing once, so that this is a very bad day of a whole fleet.
const QUEUE: usize = 64;
/// Before the second and the third attempt.
const BACKOFFS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];
/// Who asks for a longer pause (`Retry-After`, RFC 9110, 10.2.3) gets one of this length: the messages behind wait too.
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// Brings messages to one destination.
pub(super) trait Courier: Send + Sync + 'static {
    /// Whose losses are counted.
    const DESTINATION: Destination;

    /// One attempt, bounded in time.
    fn attempt(&self, message: &Message) -> impl Future<Output = Result<(), Refused>> + Send;
}

/// Why one attempt did not deliver. No word of it is of a URL.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error(transparent)]
    Post(#[from] PostError),
    #[error("the answer was {0}, and redirects are not followed: set the URL that it leads to")]
    Redirect(StatusCode),
    #[error("the answer was {status}")]
    Status {
        status: StatusCode,
        /// What the answer asks for before the next attempt, if it says so in seconds.
        pause: Option<Duration>,
    },
    #[error("the template can't render it: {0}")]
    Template(String),
    #[error("{says}")]
    Aws { says: String, passing: bool },
}

impl Refused {
    /// Whether another attempt may do better.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Post(_) => true,
            Self::Redirect(_) | Self::Template(_) => false,
            Self::Status { status, .. } => {
                status.is_server_error()
                    || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(status)
            }
            Self::Aws { passing, .. } => *passing,
        }
    }

    /// The pause before another attempt, at least `backoff`.
    fn pause(&self, backoff: Duration) -> Duration {
        match self {
            Self::Status { pause: Some(pause), .. } => (*pause).clamp(backoff, PAUSE_MAX),
            _ => backoff,
        }
    }
}

/// Starts the destination that `courier` becomes: to load credentials and regions is its own task's time.
pub(super) fn start<C: Courier>(
    courier: impl Future<Output = C> + Send + 'static,
    losses: &Arc<Losses>,
    tasks: &mut JoinSet<()>,
) -> Lane<Arc<Message>> {
    let (queue, messages) = mpsc::channel(QUEUE);
    let losses = Arc::clone(losses);
    tasks.spawn(async move { run(courier.await, messages, &losses).await });
    Lane { destination: C::DESTINATION, queue }
}

/// Cancel-safe: what is cancelled is lost, and the drain says so.
async fn run<C: Courier>(courier: C, mut messages: mpsc::Receiver<Arc<Message>>, losses: &Losses) {
    while let Some(message) = messages.recv().await {
        if let Err(error) = deliver(&courier, &message).await {
            let reason = if error.is_passing() { Reason::Unavailable } else { Reason::Refused };
            losses.add(C::DESTINATION, reason, 1);
            lost(C::DESTINATION, &message, &error.to_string());
        }
    }
}

/// Who is told less must be able to find out: the ledger has what the message said.
pub(super) fn lost(destination: Destination, message: &Message, error: &str) {
    let (destination, kind) = (destination.name(), message.kind.name());
    tracing::error!(destination, service = %message.service, kind, id = %message.id, error, "a message was lost");
}

async fn deliver(courier: &impl Courier, message: &Message) -> Result<(), Refused> {
    let mut backoffs = BACKOFFS.iter();
    loop {
        let error = match courier.attempt(message).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match backoffs.next().filter(|_| error.is_passing()) {
            Some(backoff) => tokio::time::sleep(error.pause(*backoff)).await,
            None => return Err(error),
        }
    }
}

/// One POST; anything but a success is a refusal.
pub(super) async fn post(poster: &Poster, headers: &HeaderMap, body: Bytes) -> Result<(), Refused> {
    let answer = poster.post(headers, body).await?;
    let status = answer.status();
    if status.is_success() {
        Ok(())
    } else if status.is_redirection() {
        Err(Refused::Redirect(status))
    } else {
        let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Err(Refused::Status { status, pause: seconds.map(Duration::from_secs) })
    }
}

/// The message as it is, for those who want JSON.
pub(super) fn json(message: &Message) -> String {
    serde_json::to_string(message).expect("strings and numbers always serialize")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_a_longer_pause_gets_it_within_reason() {
        let asks = |pause: Option<u64>| Refused::Status {
            status: StatusCode::TOO_MANY_REQUESTS,
            pause: pause.map(Duration::from_secs),
        };
        let ms = |error: Refused| error.pause(BACKOFFS[0]).as_millis();
        let seconds = [None, Some(0), Some(7), Some(u64::MAX)];
        assert_eq!(seconds.map(|pause| ms(asks(pause))), [500, 500, 7_000, 60_000]);
        assert_eq!(ms(Refused::Template("x".into())), 500);
    }
}
