//! An HTTP server that remembers what it got.

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) wire_bytes: usize,
    /// Unpacked.
    pub(crate) body: Bytes,
}

type Reply = dyn Fn(usize, &Got) -> Response<Full<Bytes>> + Send + Sync;

/// It stops when it is dropped.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    _tasks: JoinSet<()>,
}

impl Receiver {
    /// Answers request `n` (from 0) with what `reply` says.
    pub(crate) async fn start(
        reply: impl Fn(usize, &Got) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        Self::run(Some(Arc::new(reply)), None).await
    }

    /// The same over TLS.
    pub(crate) async fn tls(acceptor: TlsAcceptor) -> Self {
        Self::run(Some(Arc::new(|_, _: &Got| Response::default())), Some(acceptor)).await
    }

    /// Takes connections and never answers.
    pub(crate) async fn hanging() -> Self {
        Self::run(None, None).await
    }

    async fn run(reply: Option<Arc<Reply>>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let got = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let seen = Arc::clone(&got);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.expect("a connection");
                let (reply, seen, tls) = (reply.clone(), Arc::clone(&seen), tls.clone());
                connections.spawn(async move {
                    match (reply, tls) {
                        (None, _) => {
                            tokio::time::sleep(Duration::from_mins(10)).await;
                            drop(tcp);
                        }
                        (Some(reply), None) => serve(tcp, reply, seen).await,
                        (Some(reply), Some(tls)) => {
                            if let Ok(stream) = tls.accept(tcp).await {
                                serve(stream, reply, seen).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, got, _tasks: tasks }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().expect("no panic while serving").clone()
    }

    /// Waits for `count` requests, 10 s at most.
    pub(crate) async fn wait(&self, count: usize) -> Vec<Got> {
        for _ in 0..1_000 {
            if self.got().len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let got = self.got();
        assert!(got.len() >= count, "{} of {count} requests", got.len());
        got
    }
}

pub(crate) fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

async fn serve<S>(stream: S, reply: Arc<Reply>, seen: Arc<Mutex<Vec<Got>>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (reply, seen) = (Arc::clone(&reply), Arc::clone(&seen));
        async move {
            let (head, body) = request.into_parts();
            let wire = body.collect().await.expect("a body").to_bytes();
            let got = Got {
                method: head.method,
                path: head.uri.path().to_owned(),
                wire_bytes: wire.len(),
                body: unpack(&head.headers, wire),
                headers: head.headers,
            };
            let mut seen = seen.lock().expect("no panic while serving");
            let response = reply(seen.len(), &got);
            seen.push(got);
            Ok::<_, Infallible>(response)
        }
    });
    // A client that goes away is none of our business.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

pub(crate) fn unpack(headers: &HeaderMap, wire: Bytes) -> Bytes {
    if headers.get("content-encoding").is_none_or(|encoding| encoding != "gzip") {
        return wire;
    }
    let mut body = Vec::new();
    GzDecoder::new(wire.as_ref()).read_to_end(&mut body).expect("gzip");
    body.into()
}
