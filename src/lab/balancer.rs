//! The data plane: a reverse proxy that decides for each request by itself, as an ALB does.

use super::groups::{Choice, Target};
use super::routing::{RouteAction, Routing, weighted};
use super::serve::{Answer, HangUp};
use super::wire::WireError;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The part of the balancer that stands in one zone: one address, one view of the rules.
pub(super) struct Zone {
    routing: Mutex<Arc<Routing>>,
    chance: Mutex<ChaCha8Rng>,
    /// How long a target may take to answer before the balancer says 504.
    idle_timeout: Duration,
}

impl Zone {
    pub(super) fn new(idle_timeout: Duration, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            routing: Mutex::default(),
            chance: Mutex::new(ChaCha8Rng::seed_from_u64(seed)),
            idle_timeout,
        })
    }

    /// From the next request on, these rules are in force.
    pub(super) fn enforce(&self, routing: Arc<Routing>) {
        *self.routing.lock().unwrap_or_else(PoisonError::into_inner) = routing;
    }

    /// The rules in force.
    pub(super) fn routing(&self) -> Arc<Routing> {
        self.routing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers one request of a user.
    pub(super) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, HangUp> {
        let routing = self.routing();
        let groups = match routing.action(request.uri().path()) {
            Some(RouteAction::Forward(groups)) => groups,
            Some(RouteAction::Fixed { status, location, body }) => {
                return Ok(own(*status, location.as_deref(), body.clone()));
            }
            None => return Ok(own_error(StatusCode::SERVICE_UNAVAILABLE)),
        };
        let random = self.chance.lock().unwrap_or_else(PoisonError::into_inner).next_u64();
        let Some(Choice::Target(target)) = weighted(groups, random).map(|group| group.choose()) else {
            return Ok(own_error(StatusCode::SERVICE_UNAVAILABLE));
        };
        let (head, body) = request.into_parts();
        // The user broke off or sent more than the lab carries; nobody reads this answer, or it says why.
        let Ok(body) = Limited::new(body, BODY_MAX).collect().await else {
            return Ok(own_error(StatusCode::PAYLOAD_TOO_LARGE));
        };
        let onward = Request::from_parts(head, Full::new(body.to_bytes()));
        let exchange = tokio::time::timeout(self.idle_timeout, forward(&target, onward));
        Ok(match exchange.await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => own_error(StatusCode::BAD_GATEWAY),
            Err(_) => own_error(StatusCode::GATEWAY_TIMEOUT),
        })
    }
}

/// Sends the request on to `target` and brings back the answer with its headers. Never tries a second target
/// or a second time: the ALB doesn't either.
async fn forward(target: &Target, mut request: Request<Full<Bytes>>) -> Result<Answer, WireError> {
    strip_hop_by_hop(request.headers_mut());
    *request.version_mut() = Version::HTTP_11;
    let mut wire = target.pool.take(target.addr).await?;
    let response = wire.exchange(request).await?;
    let kept = response.headers().get(header::CONNECTION).is_none_or(|value| value != "close");
    if kept && response.version() == Version::HTTP_11 {
        target.pool.put(wire);
    }
    let (mut head, body) = response.into_parts();
    strip_hop_by_hop(&mut head.headers);
    head.version = Version::HTTP_11;
    Ok(Response::from_parts(head, Full::new(body)))
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// An answer that the balancer makes by itself: no `x-version`, and a `server` that betrays it.
fn own(status: StatusCode, location: Option<&str>, body: String) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::SERVER, HeaderValue::from_static("awselb/2.0"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    if let Some(location) = location.and_then(|location| HeaderValue::from_str(location).ok()) {
        headers.insert(header::LOCATION, location);
    }
    response
}

fn own_error(status: StatusCode) -> Answer {
    let title = format!("{} {}", status.as_str(), status.canonical_reason().unwrap_or_default());
    let head = format!("<html>\r\n<head><title>{title}</title></head>\r\n");
    own(status, None, format!("{head}<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"))
}

/// Headers that belong to one connection (RFC 9110, 7.6.1); the body is whole here, so its framing is new.
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The largest request body that the lab carries, in bytes.
const BODY_MAX: usize = 1 << 20;
