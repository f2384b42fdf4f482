//! A receiver with faults that begin and end: of CloudWatch's API, of OTLP over HTTP, of OTLP over gRPC.

use super::receiver::unpack;
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serin::clock;
use serin::model::time::Mono;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, interval, interval_at};
use tokio_rustls::TlsAcceptor;

/// What it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tongue {
    CloudWatch,
    Http,
    Grpc,
}

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Nobody listens.
    Refused,
    /// Connections are taken, and requests, and that is all.
    Hanging,
    /// A status, and for how many seconds it wants to be left alone.
    Status(u16, Option<u64>),
    /// A call that ends with this code, over HTTP's 200; and the milliseconds of a `RetryInfo`.
    Code(u8, Option<u32>),
    /// The request is taken, and the answer breaks off.
    HalfWritten,
    /// The request is taken, and the answer comes by the byte and has no end.
    Drip,
    /// Its certificate was good until last year.
    Expired,
}

/// A request, and when it had come.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) at: Mono,
    pub(crate) body: Bytes,
    /// The answer was whole, and a yes: whoever sends it again tells it twice.
    pub(crate) answered: bool,
}

#[derive(Debug)]
struct State {
    fault: Fault,
    taken: Vec<Taken>,
}

/// It stops when it is dropped.
pub(crate) struct Station {
    tongue: Tongue,
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    tls: Option<Tls>,
    /// Bound while nobody listens, so that nobody else gets the port.
    held: Option<TcpSocket>,
    tasks: JoinSet<()>,
}

/// A certificate and one that has expired, of which a client trusts both.
#[derive(Clone)]
pub(crate) struct Tls {
    good: TlsAcceptor,
    expired: TlsAcceptor,
    pub(crate) roots: String,
}

impl Tls {
    pub(crate) fn new(tongue: Tongue) -> Self {
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = |until: i32| {
            let mut wants = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
            wants.not_before = rcgen::date_time_ymd(2020, 1, 1);
            wants.not_after = rcgen::date_time_ymd(until, 1, 1);
            wants.self_signed(&key).expect("a certificate")
        };
        let acceptor = |certificate: &rcgen::Certificate| {
            let secret = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let mut config = rustls::ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], secret)
                .expect("a certificate with its key");
            if tongue == Tongue::Grpc {
                config.alpn_protocols = vec![b"h2".to_vec()];
            }
            TlsAcceptor::from(Arc::new(config))
        };
        let (good, expired) = (certificate(2100), certificate(2025));
        let roots = format!("{}{}", good.pem(), expired.pem());
        Self { good: acceptor(&good), expired: acceptor(&expired), roots }
    }
}

impl Station {
    pub(crate) async fn start(tongue: Tongue, port: u16, fault: Fault, tls: Option<Tls>) -> Self {
        let state = Arc::new(Mutex::new(State { fault, taken: Vec::new() }));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let held = bound(address).await;
        let address = held.local_addr().expect("an address");
        let mut station = Self { tongue, address, state, tls, held: Some(held), tasks: JoinSet::new() };
        station.set(fault).await;
        station
    }

    pub(crate) fn url(&self) -> String {
        match self.tls {
            None => format!("http://{}", self.address),
            Some(_) => format!("https://localhost:{}", self.address.port()),
        }
    }

    /// Every connection ends, as when it is restarted; where it isn't refused there are new ones at once.
    pub(crate) async fn set(&mut self, fault: Fault) {
        self.state().fault = fault;
        self.tasks.shutdown().await;
        let held = match self.held.take() {
            Some(held) => held,
            None => bound(self.address).await,
        };
        if fault == Fault::Refused {
            self.held = Some(held);
        } else {
            self.listen(held);
        }
    }

    /// Whole requests, in the order in which they came.
    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.state().taken.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while serving")
    }

    fn listen(&mut self, held: TcpSocket) {
        let listener = held.listen(64).expect("the port");
        let (tongue, state, tls) = (self.tongue, Arc::clone(&self.state), self.tls.clone());
        self.tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.expect("a connection");
                let (state, tls) = (Arc::clone(&state), tls.clone());
                connections.spawn(async move {
                    let Some(tls) = tls else { return serve(tongue, tcp, state).await };
                    let expired = state.lock().expect("no panic while serving").fault == Fault::Expired;
                    let acceptor = if expired { tls.expired } else { tls.good };
                    if let Ok(stream) = acceptor.accept(tcp).await {
                        serve(tongue, stream, state).await;
                    }
                });
            }
        });
    }
}

async fn bound(address: SocketAddr) -> TcpSocket {
    for _ in 0..100 {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option");
        if socket.bind(address).is_ok() {
            return socket;
        }
        // Somebody's connection may have it for a moment.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{address} is taken");
}

async fn serve<S>(tongue: Tongue, stream: S, state: Arc<Mutex<State>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(answer(tongue, request, state).await) }
    });
    let stream = TokioIo::new(stream);
    // A client that goes away is none of our business.
    if tongue == Tongue::Grpc {
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(stream, service)
            .await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await;
    }
}

async fn answer(tongue: Tongue, request: Request<Incoming>, state: Arc<Mutex<State>>) -> Response<Says> {
    let (head, body) = request.into_parts();
    let Ok(wire) = body.collect().await else { return Response::new(Says::nothing()) };
    let wire = wire.to_bytes();
    let body = if tongue == Tongue::Grpc { wire.slice(5..) } else { unpack(&head.headers, wire) };
    let fault = {
        let mut state = state.lock().expect("no panic while serving");
        let fault = state.fault;
        state.taken.push(Taken { at: clock::now(), body, answered: fault == Fault::None });
        fault
    };
    let mut response = Response::new(Says::nothing());
    match (fault, tongue) {
        (Fault::Hanging, _) => return std::future::pending().await,
        (Fault::Status(code, pause), _) => {
            *response.status_mut() = StatusCode::from_u16(code).expect("a status");
            response.headers_mut().extend(pause.map(|pause| (RETRY_AFTER, HeaderValue::from(pause))));
        }
        (Fault::HalfWritten, _) => {
            response.body_mut().data = Some(Bytes::from_static(&[0]));
            let soon = Duration::from_millis(20);
            response.body_mut().end = End::Broken(interval_at(Instant::now() + soon, soon));
        }
        (Fault::Drip, _) => response.body_mut().end = End::Drip(interval(Duration::from_millis(100))),
        (Fault::Code(code, pause), _) => {
            response.body_mut().end = End::Trailers(trailers(code, pause));
        }
        (_, Tongue::Grpc) => {
            response.body_mut().data = Some(Bytes::from_static(&[0; 5]));
            response.body_mut().end = End::Trailers(trailers(0, None));
        }
        (_, Tongue::CloudWatch) => {
            response.body_mut().data = Some(Bytes::from_static(&[0xa0]));
            let headers = [("smithy-protocol", "rpc-v2-cbor"), ("content-type", "application/cbor")];
            for (name, value) in headers {
                response.headers_mut().insert(name, HeaderValue::from_static(value));
            }
        }
        (_, Tongue::Http) => {}
    }
    response
}

fn trailers(code: u8, pause_ms: Option<u32>) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(u16::from(code)));
    if let Some(pause_ms) = pause_ms {
        // google.rpc.Status { details: [Any { type_url, value: RetryInfo { retry_delay: { seconds, nanos } } }] }, by hand.
        let kind = b"type.googleapis.com/google.rpc.RetryInfo";
        let field = |number: u8, bytes: &[u8]| {
            [&[number << 3 | 2, u8::try_from(bytes.len()).expect("short")], bytes].concat()
        };
        let seconds = u8::try_from(pause_ms / 1_000).expect("a minute at most");
        let info = field(1, &[8, seconds]);
        let details = field(3, &[field(1, kind), field(2, &info)].concat());
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD_NO_PAD, details);
        trailers.insert("grpc-status-details-bin", encoded.parse().expect("base64"));
    }
    trailers
}

/// What it says, and how that ends.
struct Says {
    data: Option<Bytes>,
    end: End,
}

enum End {
    Whole,
    Trailers(HeaderMap),
    Broken(Interval),
    Drip(Interval),
}

impl Says {
    const fn nothing() -> Self {
        Self { data: None, end: End::Whole }
    }
}

impl Body for Says {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let byte = || Frame::data(Bytes::from_static(b"."));
        if let Some(data) = self.data.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match &mut self.end {
            End::Whole => Poll::Ready(None),
            End::Trailers(trailers) => {
                let trailers = std::mem::take(trailers);
                self.end = End::Whole;
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            End::Broken(ticks) => {
                ticks.poll_tick(context).map(|_| Some(Err(io::ErrorKind::ConnectionReset.into())))
            }
            End::Drip(ticks) => ticks.poll_tick(context).map(|_| Some(Ok(byte()))),
        }
    }
}
