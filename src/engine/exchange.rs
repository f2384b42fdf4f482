//! One HTTP/1.1 request on a connection of our own, and its answer.

use super::connect::Stream;
use super::origin::Open;
use crate::clock;
use crate::model::sample::{Fault, Ours, Outcome};
use crate::model::time::{Mono, Span};
use crate::settings::Target;
use bytes::Bytes;
use http::{Request, StatusCode, Version, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::io;

/// Longer version strings are cut: a version is a name, not a document.
const VERSION_MAX: usize = 128;

/// A connection that can carry one request at a time.
pub(super) struct Connection {
    pub(super) send: SendRequest<Empty<Bytes>>,
    pub(super) id: u32,
    pub(super) addr: u16,
    _open: Open,
}

/// What came of a request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    pub(super) status: u16,
    pub(super) version: Option<String>,
    /// The connection may carry another request.
    pub(super) reusable: bool,
    /// Nothing of the answer had come when it failed: on a kept connection that may be the race of a close.
    pub(super) untouched: bool,
}

impl Answer {
    /// No answer came.
    pub(super) const fn none(outcome: Outcome) -> Self {
        Self { outcome, status: 0, version: None, reusable: false, untouched: false }
    }
}

/// The time of the phases that belong to the exchange, filled in as they end.
#[derive(Debug, Default)]
pub(super) struct Times {
    pub(super) write: Cell<Span>,
    pub(super) first_byte: Cell<Span>,
    pub(super) body: Cell<Span>,
}

/// Speaks HTTP/1.1 over `stream`; the connection's own work runs as a task of the thread.
pub(super) async fn open(stream: Stream, id: u32, addr: u16, open: Open) -> Result<Connection, Outcome> {
    let builder = {
        let mut builder = http1::Builder::new();
        builder.max_headers(100);
        builder
    };
    let (send, work) =
        builder.handshake(TokioIo::new(stream)).await.map_err(|_| Outcome::Failed(Ours::Library))?;
    // It ends when either side closes; dropping `send` closes ours.
    tokio::task::spawn_local(async move { drop(work.await) });
    Ok(Connection { send, id, addr, _open: open })
}

/// The request of `target`, made once and cloned for each probe.
pub(super) fn request(target: &Target) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.method_mut() = target.method.clone();
    let path = target.endpoint.url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    *request.uri_mut() = path.parse().unwrap_or_default();
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    let agent = concat!("serin/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::USER_AGENT, header::HeaderValue::from_static(agent));
    headers.insert(header::ACCEPT, header::HeaderValue::from_static("*/*"));
    if let Some(host) = target.endpoint.url.authority()
        && let Ok(host) = host.as_str().parse()
    {
        headers.insert(header::HOST, host);
    }
    for (name, value) in &target.headers {
        headers.append(name, value.clone());
    }
    request
}

/// Sends `request` and reads the answer, at most `max_body` of its body.
pub(super) async fn exchange(
    connection: &mut Connection,
    request: Request<Empty<Bytes>>,
    target: &Target,
    times: &Times,
) -> Answer {
    let begun = clock::now();
    if let Err(error) = connection.send.ready().await {
        return failed(&error, true);
    }
    let handed = clock::now();
    times.write.set(Span::of(handed.since(begun)));
    let answer = connection.send.send_request(request).await;
    let head = clock::now();
    times.first_byte.set(Span::of(head.since(handed)));
    match answer {
        Err(error) => failed(&error, true),
        Ok(answer) => {
            let (parts, body) = answer.into_parts();
            let version =
                target.version_header.as_ref().and_then(|name| parts.headers.get(name)).and_then(|value| {
                    let text = value.to_str().ok()?.trim();
                    let end = text.char_indices().nth(VERSION_MAX).map_or(text.len(), |(at, _)| at);
                    Some(text[..end].to_owned()).filter(|text| !text.is_empty())
                });
            let read = read(body, target, head, times).await;
            let (outcome, reusable) = match read {
                Err(outcome) => (outcome, false),
                Ok(read) => (judge(parts.status, version.is_some(), &read, target), !read.cut),
            };
            Answer { outcome, status: parts.status.as_u16(), version, reusable, untouched: false }
        }
    }
}

/// What was read of a body.
struct Read {
    found: bool,
    cut: bool,
}

async fn read(mut body: Incoming, target: &Target, head: Mono, times: &Times) -> Result<Read, Outcome> {
    let needle = target.body_contains.as_deref();
    let mut kept: Vec<u8> = Vec::new();
    let mut count = 0_u64;
    let mut cut = false;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| failed(&error, false).outcome)?;
        let Some(data) = frame.data_ref() else { continue };
        count += data.len() as u64;
        if needle.is_some() {
            let room = usize::try_from(target.max_body).unwrap_or(usize::MAX).saturating_sub(kept.len());
            kept.extend_from_slice(&data[..data.len().min(room)]);
        }
        if count > target.max_body || (count == target.max_body && !body.is_end_stream()) {
            cut = true;
            break;
        }
    }
    times.body.set(Span::of(clock::now().since(head)));
    let found = needle.is_none_or(|needle| kept.windows(needle.len().max(1)).any(|part| part == needle));
    Ok(Read { found, cut })
}

fn judge(status: StatusCode, versioned: bool, read: &Read, target: &Target) -> Outcome {
    if !target.status.contains(status.as_u16()) {
        // What a firewall, a rate limit or a balancer's own login says carries no version of the service.
        let refusal = status.is_redirection() || matches!(status.as_u16(), 401 | 403 | 407 | 429);
        return Outcome::Bad(if refusal && !versioned { Fault::Edge } else { Fault::Status });
    }
    if read.found { Outcome::Ok } else { Outcome::Bad(Fault::Body) }
}

/// Whose fault a failed exchange is.
fn failed(error: &hyper::Error, untouched: bool) -> Answer {
    let io = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    let outcome = if error.is_user() {
        Outcome::Failed(Ours::Library)
    } else if error.is_parse() || error.is_parse_too_large() {
        Outcome::Bad(Fault::Protocol)
    } else if let Some(io) = io {
        match io.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                Outcome::Bad(Fault::Reset)
            }
            io::ErrorKind::InvalidData => Outcome::Bad(Fault::Protocol),
            _ => Outcome::Bad(Fault::Closed),
        }
    } else {
        // Closed between or within messages.
        Outcome::Bad(Fault::Closed)
    };
    let race = error.is_canceled()
        || error.is_closed()
        || error.is_incomplete_message()
        || matches!(outcome, Outcome::Bad(Fault::Reset | Fault::Closed));
    Answer { untouched: untouched && race, ..Answer::none(outcome) }
}
