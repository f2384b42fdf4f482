//! One request on a connection of our own, and its answer: HTTP/1.1, or HTTP/2 with one stream a connection.
//!
//! The connection's own work is polled by the task that waits for the answer, so that a probe costs no
//! hop between tasks.

use super::marks::{Marks, Step};
use super::wire::{Stream, Wire};
use crate::model::sample::{Fault, Ours, Outcome, Purpose};
use crate::model::target::TargetId;
use crate::model::time::Mono;
use crate::model::trace::{Link, Trace, Tracing};
use crate::settings::Target;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version, header};
use http_body_util::Empty;
use hyper::body::{Body, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Longer version strings are cut: a version is a name, not a document.
const VERSION_MAX: usize = 128;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Where services tell their own trace: the W3C's draft, what some send back, and the way of X-Ray.
const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");
const XRAY: HeaderName = HeaderName::from_static("x-amzn-trace-id");

/// A target with its request, made once and cloned for each probe.
pub(super) struct Ask {
    pub(super) target: Rc<Target>,
    request: Request<Empty<Bytes>>,
    /// What says which trace a probe belongs to; `None` for what belongs to none.
    tracing: Option<Tracing>,
    /// The version that was answered last: most answers name the same, which then costs nothing.
    last: RefCell<Rc<str>>,
}

/// A connection that carries one request at a time.
pub(super) enum Speaker {
    H1 { send: http1::SendRequest<Empty<Bytes>>, work: Work<http1::Connection<Io, Empty<Bytes>>> },
    H2 { send: http2::SendRequest<Empty<Bytes>>, work: Work<http2::Connection<Io, Empty<Bytes>, Local>> },
}

type Io = TokioIo<Wire>;

/// The connection's own work; once it is over it stays over.
pub(super) struct Work<C>(Option<Pin<Box<C>>>);

/// Runs what HTTP/2 does beside a connection on the engine's own thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local;

/// What came of a request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    pub(super) status: u16,
    pub(super) version: Option<Rc<str>>,
    /// What it says of the service's own trace; of bad answers and sampled probes only.
    pub(super) link: Option<Link>,
    /// The connection may carry another request.
    pub(super) reusable: bool,
    /// Nothing of the answer had come when it failed: on a kept connection that may be the race of a close.
    pub(super) untouched: bool,
}

impl Answer {
    /// No answer came.
    pub(super) const fn none(outcome: Outcome) -> Self {
        Self { outcome, status: 0, version: None, link: None, reusable: false, untouched: false }
    }
}

impl Ask {
    pub(super) fn new(target: Rc<Target>) -> Self {
        Self { request: request(&target), target, tracing: None, last: RefCell::new("".into()) }
    }

    /// The same, each probe in a trace of its own, unless the target's headers name one.
    pub(super) fn traced(target: Rc<Target>, tracing: Tracing) -> Self {
        let named = target.headers.contains_key(TRACEPARENT);
        Self { tracing: (!named).then_some(tracing), ..Self::new(target) }
    }

    /// Whether any probe may be drawn to be traced.
    pub(super) fn samples(&self) -> bool {
        self.tracing.is_some_and(|tracing| tracing.samples())
    }

    /// The trace of a probe.
    pub(super) fn trace(&self, purpose: Purpose, target: TargetId, due: Mono) -> Option<Trace> {
        self.tracing.map(|tracing| tracing.trace(purpose, target, due))
    }

    fn request(&self, trace: Option<Trace>) -> Request<Empty<Bytes>> {
        let mut request = self.request.clone();
        if let Some(trace) = trace
            && let Ok(value) = HeaderValue::from_bytes(&trace.header())
        {
            request.headers_mut().insert(TRACEPARENT, value);
        }
        request
    }

    fn version(&self, answer: &http::response::Parts) -> Option<Rc<str>> {
        let text = answer.headers.get(self.target.version_header.as_ref()?)?.to_str().ok()?.trim();
        let end = text.char_indices().nth(VERSION_MAX).map_or(text.len(), |(at, _)| at);
        let text = Some(&text[..end]).filter(|text| !text.is_empty())?;
        let mut last = self.last.borrow_mut();
        if **last != *text {
            *last = text.into();
        }
        Some(Rc::clone(&last))
    }
}

fn request(target: &Target) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.method_mut() = target.method.clone();
    if target.http2 {
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = target.endpoint.url.clone();
    } else {
        let path = target.endpoint.url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        *request.uri_mut() = path.parse().unwrap_or_default();
    }
    let headers = request.headers_mut();
    let agent = concat!("serin/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    if let Some(host) = target.endpoint.url.authority()
        && let Ok(host) = host.as_str().parse()
        && !target.http2
    {
        headers.insert(header::HOST, host);
    }
    if target.fresh && !target.http2 {
        // The server closes first then, and the port isn't ours to wait for: 28,000 of them would last for 470 a second.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    for (name, value) in &target.headers {
        headers.append(name, value.clone());
    }
    request
}

impl Speaker {
    /// Speaks HTTP over `stream`.
    pub(super) async fn open(stream: Stream, http2: bool, marks: &Rc<Marks>) -> Result<Self, Outcome> {
        let io = TokioIo::new(Wire::new(stream, Rc::clone(marks)));
        let refused = |_: hyper::Error| Outcome::Failed(Ours::Library);
        if http2 {
            let (send, work) = http2::Builder::new(Local).handshake(io).await.map_err(refused)?;
            Ok(Self::H2 { send, work: Work(Some(Box::pin(work))) })
        } else {
            // A hundred headers at most, which is its default; to say so would cost an allocation an answer.
            let (send, work) = http1::Builder::new().handshake(io).await.map_err(refused)?;
            Ok(Self::H1 { send, work: Work(Some(Box::pin(work))) })
        }
    }

    /// Lets the connection work while nobody asks anything; ready once it is over.
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::H1 { work, .. } => work.poll(cx),
            Self::H2 { work, .. } => work.poll(cx),
        }
    }
}

/// Sends the request and reads the answer, at most `max_body` of its body.
pub(super) async fn exchange(
    speaker: &mut Speaker,
    ask: &Ask,
    trace: Option<Trace>,
    marks: &Marks,
) -> Answer {
    match speaker {
        Speaker::H1 { send, work } => {
            if !send.is_ready()
                && let Err(error) = work.beside(pin!(send.ready())).await
            {
                return failed(&error, true);
            }
            marks.enter(Step::Write);
            let answer = send.send_request(ask.request(trace));
            converse(pin!(answer), work, (ask, trace), marks).await
        }
        Speaker::H2 { send, work } => {
            if let Err(error) = work.beside(pin!(send.ready())).await {
                return failed(&error, true);
            }
            marks.enter(Step::Write);
            let answer = send.send_request(ask.request(trace));
            converse(pin!(answer), work, (ask, trace), marks).await
        }
    }
}

async fn converse<F, C>(
    answer: Pin<&mut F>,
    work: &mut Work<C>,
    (ask, trace): (&Ask, Option<Trace>),
    marks: &Marks,
) -> Answer
where
    F: Future<Output = hyper::Result<Response<Incoming>>>,
    C: Future<Output = hyper::Result<()>>,
{
    let answer = work.beside(answer).await;
    // What was not stamped by bytes (an answer that came with those of another) is stamped by what is known now.
    marks.enter(Step::FirstByte);
    match answer {
        Err(error) => failed(&error, true),
        Ok(answer) => {
            marks.enter(Step::Body);
            let (head, mut body) = answer.into_parts();
            let version = ask.version(&head);
            let (outcome, reusable) = match read(&mut body, work, &ask.target).await {
                Err(outcome) => (outcome, false),
                Ok(read) => (judge(head.status, version.is_some(), &read, &ask.target), !read.cut),
            };
            let told = outcome != Outcome::Ok || trace.is_some_and(|trace| trace.sampled);
            let link = told.then(|| link(&head.headers)).flatten();
            Answer { outcome, status: head.status.as_u16(), version, link, reusable, untouched: false }
        }
    }
}

impl<C: Future<Output = hyper::Result<()>>> Work<C> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(work) = &mut self.0 else { return Poll::Ready(()) };
        // How it ended, the waiting request is told; a connection that nobody uses may end as it likes.
        let _ = ready!(work.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(())
    }

    /// `future`, with the connection working for it.
    async fn beside<F: Future>(&mut self, mut future: Pin<&mut F>) -> F::Output {
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            let _ = self.poll(cx);
            future.as_mut().poll(cx)
        })
        .await
    }
}

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move { drop(future.await) });
    }
}

/// What the answer says of the service's own trace.
fn link(headers: &HeaderMap) -> Option<Link> {
    let text = |name: &HeaderName| headers.get(name)?.to_str().ok();
    let w3c = [TRACERESPONSE, TRACEPARENT].iter().find_map(|name| Link::of_w3c(text(name)?));
    w3c.or_else(|| Link::of_xray(text(&XRAY)?))
}

/// What was read of a body.
struct Read {
    found: bool,
    cut: bool,
}

async fn read<C: Future<Output = hyper::Result<()>>>(
    body: &mut Incoming,
    work: &mut Work<C>,
    target: &Target,
) -> Result<Read, Outcome> {
    let needle = target.body_contains.as_deref();
    let mut kept: Vec<u8> = Vec::new();
    let mut count = 0_u64;
    while !body.is_end_stream() {
        let frame = work.beside(pin!(poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)))).await;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| failed(&error, false).outcome)?;
        let Some(data) = frame.data_ref() else { continue };
        count += data.len() as u64;
        if needle.is_some() {
            let room = usize::try_from(target.max_body).unwrap_or(usize::MAX).saturating_sub(kept.len());
            kept.extend_from_slice(&data[..data.len().min(room)]);
        }
        if count > target.max_body || (count == target.max_body && !body.is_end_stream()) {
            return Ok(Read { found: holds(&kept, needle), cut: true });
        }
    }
    Ok(Read { found: holds(&kept, needle), cut: false })
}

fn holds(body: &[u8], needle: Option<&[u8]>) -> bool {
    needle.is_none_or(|needle| body.windows(needle.len().max(1)).any(|part| part == needle))
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
    let source = std::error::Error::source(error);
    let io = source.and_then(|source| source.downcast_ref::<io::Error>());
    let h2 = source.and_then(|source| source.downcast_ref::<h2::Error>());
    let outcome = if error.is_user() {
        Outcome::Failed(Ours::Library)
    } else if let Some(h2) = h2 {
        h2_failure(h2)
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

/// What our own HTTP/2 library stopped is ours: its guards have taken a prober's small answers for an attack.
fn h2_failure(error: &h2::Error) -> Outcome {
    if error.is_library() {
        // It names what it saw the peer do wrong, and what it fears for itself.
        return match error.reason() {
            Some(
                h2::Reason::PROTOCOL_ERROR | h2::Reason::FRAME_SIZE_ERROR | h2::Reason::COMPRESSION_ERROR,
            ) => Outcome::Bad(Fault::Protocol),
            _ => Outcome::Failed(Ours::Library),
        };
    }
    if error.is_io() {
        return Outcome::Bad(Fault::Reset);
    }
    match error.reason() {
        // A balancer that lets its connections go says so like this.
        Some(h2::Reason::NO_ERROR) => Outcome::Bad(Fault::Closed),
        Some(_) => Outcome::Bad(Fault::Reset),
        None => Outcome::Bad(Fault::Protocol),
    }
}
