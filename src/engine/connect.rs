//! Names, TCP and TLS: each step timed, each failure told as the target's or as ours.

use crate::clock;
use crate::model::sample::{Fault, Ours, Outcome};
use crate::model::time::{Mono, Span};
use crate::settings::{Endpoint, forbidden};
use hickory_resolver::TokioResolver;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A name is asked again after this at the latest, whatever its TTL: a balancer's addresses move.
const TTL_MAX: Duration = Duration::from_mins(1);
/// And kept at least so long, whatever its TTL.
const TTL_MIN: Duration = Duration::from_secs(1);

/// Makes connections. Belongs to one thread.
pub struct Dialer {
    resolver: Option<TokioResolver>,
    names: RefCell<BTreeMap<String, (Mono, Vec<IpAddr>)>>,
    verified: Arc<ClientConfig>,
    by_file: BTreeMap<PathBuf, Arc<ClientConfig>>,
    /// For registered targets asked directly: a balancer doesn't verify their certificates either.
    unverified: Arc<ClientConfig>,
}

/// Why no dialer could be made.
#[derive(Debug, thiserror::Error)]
pub enum DialerError {
    /// An extra file of roots can't be read or holds no certificate.
    #[error("ca_file = {path:?}: {why}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        why: String,
    },
    /// The TLS library refuses its own settings.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// What a step of connecting cost, and why it failed if it did.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Steps {
    pub(super) dns: Span,
    pub(super) connect: Span,
    pub(super) tls: Span,
}

/// A byte stream to the target, with or without TLS.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Dialer {
    /// A dialer that trusts the machine's roots, the built-in ones and those in `ca_files`.
    ///
    /// # Errors
    /// A file that can't be used.
    pub fn new<'a>(ca_files: impl IntoIterator<Item = &'a Path>) -> Result<Self, DialerError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut by_file = BTreeMap::new();
        for path in ca_files {
            let mut roots = roots();
            add_file(&mut roots, path)?;
            by_file.insert(path.to_owned(), verified(&provider, roots)?);
        }
        let lax = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified(Arc::clone(&provider))))
            .with_no_client_auth();
        Ok(Self {
            resolver: resolver(),
            names: RefCell::default(),
            verified: verified(&provider, roots())?,
            by_file,
            unverified: Arc::new(lax),
        })
    }

    /// The addresses of `host`, from the cache while they are fresh.
    pub(super) async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Outcome> {
        if let Ok(literal) = host.parse() {
            return Ok(vec![literal]);
        }
        if let Some((until, addresses)) = self.names.borrow().get(host)
            && clock::now() < *until
        {
            return Ok(addresses.clone());
        }
        let resolver = self.resolver.as_ref().ok_or(Outcome::Failed(Ours::Resolve))?;
        // A trailing dot keeps the search list of resolv.conf out: one name, one question.
        let name = if host.ends_with('.') { host.to_owned() } else { format!("{host}.") };
        let answer = resolver.lookup_ip(name).await.map_err(|_| Outcome::Failed(Ours::Resolve))?;
        let ttl = answer.as_lookup().answers().iter().map(|record| record.ttl).min().unwrap_or(0);
        let addresses: Vec<IpAddr> = answer.iter().collect();
        if addresses.is_empty() {
            return Err(Outcome::Failed(Ours::Resolve));
        }
        let keep = Duration::from_secs(u64::from(ttl)).clamp(TTL_MIN, TTL_MAX);
        self.names.borrow_mut().insert(host.to_owned(), (clock::now().after(keep), addresses.clone()));
        Ok(addresses)
    }

    /// TCP to `address`. What names may never resolve to (metadata services, link-local) is refused here, on every
    /// connection, so that no rebinding gets around it.
    pub(super) async fn tcp(&self, address: SocketAddr) -> Result<TcpStream, Outcome> {
        if forbidden(address.ip()).is_some() {
            return Err(Outcome::Failed(Ours::Resolve));
        }
        let stream = TcpStream::connect(address).await.map_err(|error| connect_failure(&error))?;
        stream.set_nodelay(true).map_err(|_| Outcome::Failed(Ours::Descriptors))?;
        Ok(stream)
    }

    /// TLS over `tcp`, for the URL's host.
    pub(super) async fn tls(
        &self,
        tcp: TcpStream,
        endpoint: &Endpoint,
        trust: Trust<'_>,
    ) -> Result<Stream, Outcome> {
        let config = match trust {
            Trust::Registered => &self.unverified,
            Trust::Roots(None) => &self.verified,
            Trust::Roots(Some(path)) => self.by_file.get(path).unwrap_or(&self.verified),
        };
        let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| Outcome::Failed(Ours::Library))?;
        match TlsConnector::from(Arc::clone(config)).connect(name, tcp).await {
            Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
            Err(error) => Err(Outcome::Bad(tls_failure(&error))),
        }
    }
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").field("ca_files", &self.by_file.keys()).finish_non_exhaustive()
    }
}

/// Whom a certificate must please.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trust<'a> {
    /// The roots, with those of an extra file.
    Roots(Option<&'a Path>),
    /// Nobody: a registered target, asked directly.
    Registered,
}

fn roots() -> RootCertStore {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    // What can't be read of the machine's own store is covered by the built-in roots.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), DialerError> {
    let fault = |why: String| DialerError::CaFile { path: path.to_owned(), why };
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.map_err(|error| fault(error.to_string()))?;
    if certificates.is_empty() {
        return Err(fault("holds no PEM certificate".into()));
    }
    for certificate in certificates {
        roots.add(certificate).map_err(|error| fault(error.to_string()))?;
    }
    Ok(())
}

fn verified(
    provider: &Arc<CryptoProvider>,
    roots: RootCertStore,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    Ok(Arc::new(
        ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth(),
    ))
}

/// `None` when `/etc/resolv.conf` can't be read: names then fail, as ours, and literal addresses still work.
fn resolver() -> Option<TokioResolver> {
    let mut builder = TokioResolver::builder_tokio().ok()?;
    builder.options_mut().timeout = Duration::from_secs(2);
    builder.options_mut().attempts = 2;
    // Our own cache bounds the age; a second one behind it would hide that.
    builder.options_mut().cache_size = 0;
    builder.build().ok()
}

fn connect_failure(error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Outcome::Bad(Fault::ConnectRefused),
        io::ErrorKind::TimedOut => Outcome::Bad(Fault::ConnectTimeout),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            Outcome::Bad(Fault::ConnectFailed)
        }
        // No descriptor, no port, no route, no permission: nothing of that is the target's.
        _ => Outcome::Failed(Ours::Descriptors),
    }
}

fn tls_failure(error: &io::Error) -> Fault {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(_)) => Fault::TlsCertificate,
        _ => Fault::TlsHandshake,
    }
}

/// Accepts any certificate, and still checks that the peer holds its key.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }
}
