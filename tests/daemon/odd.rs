//! Servers of every kind, good and odd, on raw sockets.

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-version: odd-1\r\n\r\nhello";

/// A listener that hands each connection to a function; dropped, it is gone.
pub(crate) struct Odd {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    _task: JoinSet<()>,
}

/// What a server saw.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) connections: AtomicUsize,
    pub(crate) open: AtomicUsize,
    pub(crate) open_max: AtomicUsize,
    pub(crate) requests: AtomicUsize,
    waiting: AtomicUsize,
    pub(crate) waiting_max: AtomicUsize,
    /// TLS handshakes that resumed a session.
    pub(crate) resumed: AtomicUsize,
    pub(crate) last: Mutex<String>,
}

impl Seen {
    pub(crate) fn count(counter: &AtomicUsize) -> usize {
        counter.load(Ordering::SeqCst)
    }
}

fn up(counter: &AtomicUsize, max: &AtomicUsize) {
    max.fetch_max(counter.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
}

impl Odd {
    pub(crate) async fn start<F, W>(serve: F) -> Self
    where
        F: Fn(TcpStream, Arc<Seen>) -> W + Send + Sync + 'static,
        W: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let counted = Arc::clone(&seen);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while open.try_join_next().is_some() {}
                counted.connections.fetch_add(1, Ordering::SeqCst);
                up(&counted.open, &counted.open_max);
                let (work, counted) = (serve(stream, Arc::clone(&counted)), Arc::clone(&counted));
                open.spawn(async move {
                    drop(work.await);
                    counted.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, seen, _task: task }
    }

    /// Reads a request, writes `answer`, closes.
    pub(crate) async fn saying(answer: &'static [u8]) -> Self {
        Self::start(move |mut stream: TcpStream, seen: Arc<Seen>| async move {
            request(&mut stream, &seen).await?;
            stream.write_all(answer).await?;
            stream.shutdown().await
        })
        .await
    }

    /// Answers every request well after `pause`, on kept connections.
    pub(crate) async fn good(pause: Duration) -> Self {
        Self::start(move |stream, seen| answer_all(stream, seen, pause)).await
    }

    /// Closes every connection after so many answers, once it has read one more request.
    pub(crate) async fn closing_after(answers: usize) -> Self {
        Self::start(move |mut stream: TcpStream, seen: Arc<Seen>| async move {
            for _ in 0..answers {
                request(&mut stream, &seen).await?;
                stream.write_all(OK.as_bytes()).await?;
            }
            request(&mut stream, &seen).await.map(drop)
        })
        .await
    }

    /// TLS by `config`, then good answers.
    pub(crate) async fn tls(config: Arc<ServerConfig>) -> Self {
        let acceptor = TlsAcceptor::from(config);
        Self::start(move |stream, seen| {
            let acceptor = acceptor.clone();
            async move {
                let stream = acceptor.accept(stream).await?;
                if stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed) {
                    seen.resumed.fetch_add(1, Ordering::SeqCst);
                }
                answer_all(stream, seen, Duration::ZERO).await
            }
        })
        .await
    }

    /// HTTP/2 over TLS by `config`, agreed on in the handshake.
    pub(crate) async fn http2(config: Arc<ServerConfig>) -> Self {
        let mut config = ServerConfig::clone(&config);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::start(move |stream, seen| {
            let acceptor = acceptor.clone();
            async move { answer_http2(acceptor.accept(stream).await?, seen).await }
        })
        .await
    }

    /// HTTP/2 without TLS, agreed on beforehand.
    pub(crate) async fn http2_plain() -> Self {
        Self::start(answer_http2).await
    }
}

async fn answer_all(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    seen: Arc<Seen>,
    pause: Duration,
) -> std::io::Result<()> {
    loop {
        request(&mut stream, &seen).await?;
        up(&seen.waiting, &seen.waiting_max);
        // A client that goes away while it waits ends the connection at once.
        let gone = tokio::select! {
            () = tokio::time::sleep(pause) => false,
            _ = stream.read_u8() => true,
        };
        seen.waiting.fetch_sub(1, Ordering::SeqCst);
        if gone {
            return Ok(());
        }
        stream.write_all(OK.as_bytes()).await?;
    }
}

/// Good answers by HTTP/2; `waiting_max` is the most streams of one connection at once.
async fn answer_http2(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    seen: Arc<Seen>,
) -> std::io::Result<()> {
    let waiting = Arc::new(AtomicUsize::new(0));
    let service = hyper::service::service_fn(move |_: http::Request<hyper::body::Incoming>| {
        let (seen, waiting) = (Arc::clone(&seen), Arc::clone(&waiting));
        async move {
            up(&waiting, &seen.waiting_max);
            tokio::time::sleep(Duration::from_millis(1)).await;
            waiting.fetch_sub(1, Ordering::SeqCst);
            let body = http_body_util::Full::new(bytes::Bytes::from_static(b"hello"));
            http::Response::builder().header("x-version", "odd-2").body(body)
        }
    });
    hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
        .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
        .await
        .map_err(std::io::Error::other)
}

/// The head of a request.
pub(crate) async fn request(stream: &mut (impl AsyncRead + Unpin), seen: &Seen) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    seen.requests.fetch_add(1, Ordering::SeqCst);
    *seen.last.lock().await = String::from_utf8_lossy(&head).into_owned();
    Ok(())
}

/// Certificates for `localhost`.
pub(crate) struct Certificates {
    /// PEM of the authority.
    pub(crate) authority: String,
    pub(crate) good: Arc<ServerConfig>,
    pub(crate) wrong_name: Arc<ServerConfig>,
    pub(crate) expired: Arc<ServerConfig>,
    pub(crate) self_signed: Arc<ServerConfig>,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let signed = |params: CertificateParams| {
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            server(certificate.der().clone(), &key)
        };
        let named = |name: &str| CertificateParams::new(vec![name.to_owned()]).unwrap();
        let mut expired = named("localhost");
        expired.not_before = date_time_ymd(2020, 1, 1);
        expired.not_after = date_time_ymd(2021, 1, 1);
        let key = KeyPair::generate().unwrap();
        let own = named("localhost").self_signed(&key).unwrap();
        Self {
            authority: authority.pem(),
            good: signed(named("localhost")),
            wrong_name: signed(named("elsewhere.example")),
            expired: signed(expired),
            self_signed: server(own.der().clone(), &key),
        }
    }
}

fn server(certificate: rustls::pki_types::CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    Arc::new(config)
}
