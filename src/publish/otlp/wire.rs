//! The way out, from whichever thread exports to our runtime.
//!
//! The SDK makes an HTTP request of each export. Over gRPC the same message goes in a frame, as one unary call; what a call brings
//! is told as the HTTP status that is treated alike. So both ways share endpoints, headers, TLS, compression and retries.

use super::answer;
use super::sigv4::Signer;
use crate::clock;
use crate::publish::post::{PostError, Poster};
use crate::settings::OtlpProtocol;
use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, TE};
use http::{HeaderMap, Request, Response, StatusCode};
use opentelemetry_http::{HttpClient, HttpError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Handle;

/// The flag and the length before a message
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
const FRAME: usize = 5;
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const STATUS: &str = "grpc-status";
const DETAILS: &str = "grpc-status-details-bin";

/// How a request goes.
#[derive(Clone, Debug)]
pub(super) struct Way {
    poster: Poster,
    protocol: OtlpProtocol,
    signer: Option<Arc<Signer>>,
}

impl Way {
    pub(super) fn new(poster: Poster, protocol: OtlpProtocol, signer: Option<Signer>) -> Self {
        Self { poster, protocol, signer: signer.map(Arc::new) }
    }

    /// One attempt. An answer of any status is an answer.
    pub(super) async fn send(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, PostError> {
        if let Some(signer) = &self.signer
            && let Err(why) = signer.sign(&mut request).await
        {
            tracing::debug!(%why, "an OTLP request can't be signed");
            return Err(PostError::Unsigned);
        }
        let (head, body) = request.into_parts();
        match self.protocol {
            OtlpProtocol::HttpProtobuf => self.poster.post(&head.headers, body).await,
            OtlpProtocol::Grpc => {
                let (headers, body) = call(head.headers, &body);
                self.poster.call(&headers, body).await.map(|(answer, trailers)| returned(&answer, &trailers))
            }
        }
    }
}

/// The SDK's own client, which it repeats attempts by.
#[derive(Debug)]
pub(super) struct Wire {
    way: Way,
    runtime: Handle,
    refused: Arc<AtomicBool>,
}

impl Wire {
    /// On the current runtime. `refused` is whether the last attempt was one that the SDK doesn't repeat.
    pub(super) fn new(way: Way, refused: &Arc<AtomicBool>) -> Self {
        Self { way, runtime: Handle::current(), refused: Arc::clone(refused) }
    }
}

#[async_trait]
impl HttpClient for Wire {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let way = self.way.clone();
        // Awaited at once: the task only carries the POST over to the runtime.
        let answer = self.runtime.spawn(async move { way.send(request).await }).await?;
        let failure = answer.as_ref().ok().and_then(|answer| answer::judged(answer, clock::wall()).err());
        self.refused.store(failure.is_some_and(|failure| !failure.passing), Ordering::Relaxed);
        answer.map_err(|error| {
            tracing::debug!(%error, "an OTLP attempt failed");
            error.into()
        })
    }
}

/// The headers and the frame of a call, of those of a POST.
fn call(mut headers: HeaderMap, message: &[u8]) -> (HeaderMap, Bytes) {
    let encoding = headers.remove(CONTENT_ENCODING);
    let mut frame = BytesMut::with_capacity(FRAME + message.len());
    frame.put_u8(u8::from(encoding.is_some()));
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    if let Some(encoding) = encoding {
        headers.insert(ENCODING, encoding);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    (headers, frame.freeze())
}

/// What a call brought, as if by HTTP. A call that fails at once has its status among the headers.
fn returned(answer: &Response<Bytes>, trailers: &HeaderMap) -> Response<Bytes> {
    let of = |name: &str| trailers.get(name).or_else(|| answer.headers().get(name));
    let code = of(STATUS).and_then(|code| code.to_str().ok()?.parse().ok());
    if code != Some(0_u32) {
        let says = of("grpc-message").and_then(|says| says.to_str().ok()).unwrap_or_default();
        tracing::debug!(?code, says, status = answer.status().as_u16(), "an OTLP call failed");
    }
    let pause = of(DETAILS).and_then(|details| answer::pause(details.as_bytes()));
    let status = match code {
        // RESOURCE_EXHAUSTED: it says when it will have recovered, so it will.
        Some(8) if pause.is_some() => StatusCode::TOO_MANY_REQUESTS,
        Some(code) => status(code),
        // No gRPC at all: a proxy's word, or another server's.
        None if answer.status().is_success() => StatusCode::BAD_GATEWAY,
        None => answer.status(),
    };
    let message = answer.body().get(FRAME..).filter(|_| answer.body().first() == Some(&0));
    let message = message.map_or_else(Bytes::new, Bytes::copy_from_slice);
    let mut returned = Response::new(message);
    *returned.status_mut() = status;
    if let Some(pause) = pause {
        let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
        returned.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    } else if let Some(asked) = answer.headers().get(RETRY_AFTER) {
        returned.headers_mut().insert(RETRY_AFTER, asked.clone());
    }
    returned
}

/// By whether the OTLP specification lets a call be made again
/// (<https://opentelemetry.io/docs/specs/otlp/#failures>); what ends with 429, 502, 503 or 504 is.
const fn status(code: u32) -> StatusCode {
    match code {
        0 => StatusCode::OK,
        // CANCELLED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS.
        1 | 10 | 11 | 14 | 15 => StatusCode::SERVICE_UNAVAILABLE,
        // DEADLINE_EXCEEDED.
        4 => StatusCode::GATEWAY_TIMEOUT,
        7 => StatusCode::FORBIDDEN,
        12 => StatusCode::NOT_FOUND,
        16 => StatusCode::UNAUTHORIZED,
        // RESOURCE_EXHAUSTED is not repeated: without RetryInfo the collector says that it won't recover.
        _ => StatusCode::BAD_REQUEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_goes_in_a_frame_that_says_whether_it_is_compressed() {
        let mut headers = HeaderMap::new();
        headers.insert("x-token", HeaderValue::from_static("t"));
        let (plain, frame) = call(headers.clone(), b"abc");
        assert_eq!(&frame[..], b"\0\0\0\0\x03abc");
        assert_eq!(plain[CONTENT_TYPE], "application/grpc");
        assert_eq!((plain[TE].as_bytes(), plain["x-token"].as_bytes()), (&b"trailers"[..], &b"t"[..]));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        let (packed, frame) = call(headers, b"abc");
        assert_eq!(&frame[..], b"\x01\0\0\0\x03abc");
        assert_eq!(packed[ENCODING], "gzip");
        assert!(!packed.contains_key(CONTENT_ENCODING));
    }

    #[test]
    fn a_status_is_found_in_trailers_and_in_headers_and_one_without_is_no_call() {
        let trailers = |code: &'static str| {
            HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static(code))])
        };
        let answer = Response::new(Bytes::from_static(b"\0\0\0\0\x02ok"));
        let ok = returned(&answer, &trailers("0"));
        assert_eq!((ok.status(), &ok.body()[..]), (StatusCode::OK, b"ok".as_slice()));
        for (code, status) in [("14", 503), ("4", 504), ("16", 401), ("8", 400), ("3", 400), ("12", 404)] {
            assert_eq!(returned(&answer, &trailers(code)).status(), status, "{code}");
        }
        let mut at_once = Response::new(Bytes::new());
        *at_once.headers_mut() = trailers("7");
        assert_eq!(returned(&at_once, &HeaderMap::new()).status(), StatusCode::FORBIDDEN);
        assert_eq!(returned(&answer, &HeaderMap::new()).status(), StatusCode::BAD_GATEWAY);
        let mut refused = Response::new(Bytes::new());
        *refused.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        assert_eq!(returned(&refused, &HeaderMap::new()).status(), StatusCode::TOO_MANY_REQUESTS);
    }
}
