//! Names, TCP and TLS: each step timed, each failure told as the target's or as ours.

use super::wire::Stream;
use crate::clock;
use crate::model::sample::{Fault, Ours, Outcome};
use crate::model::time::Mono;
use crate::settings::{Service, Target, forbidden};
use hickory_resolver::TokioResolver;
use rustls::client::Resumption;
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
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A name is asked again after this at the latest, whatever its TTL: a balancer's addresses move.
const TTL_MAX: Duration = Duration::from_mins(1);
/// And kept at least so long, whatever its TTL.
const TTL_MIN: Duration = Duration::from_secs(1);
/// TLS sessions that an origin remembers; each of its addresses may give some.
const SESSIONS: usize = 256;

/// Makes connections. Belongs to one thread; a clone for another thread has a cache of names and sessions of its own.
pub struct Dialer {
    resolver: Option<TokioResolver>,
    names: RefCell<BTreeMap<String, (Mono, Vec<IpAddr>)>>,
    verified: ClientConfig,
    by_file: BTreeMap<PathBuf, ClientConfig>,
    /// For registered targets asked directly: a balancer doesn't verify their certificates either.
    unverified: ClientConfig,
}

/// How TLS is spoken with one origin, made once for all its connections.
pub(super) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
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

impl Dialer {
    /// A dialer for `targets`. It trusts the machine's roots, the built-in ones and those of their files; where neither they nor
    /// anything `else_tls` speak TLS, roots are not read.
    ///
    /// # Errors
    /// A file that can't be used.
    pub fn new<'a>(
        targets: impl IntoIterator<Item = &'a Target>,
        else_tls: bool,
    ) -> Result<Self, DialerError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut by_file = BTreeMap::new();
        let mut trusted = if else_tls { roots() } else { RootCertStore::empty() };
        for target in targets {
            if target.endpoint.tls && trusted.is_empty() {
                trusted = roots();
            }
            if let Some(path) = target.ca_file.as_deref().filter(|path| !by_file.contains_key(*path)) {
                let mut roots = trusted.clone();
                add_file(&mut roots, path)?;
                by_file.insert(path.to_owned(), verified(&provider, roots)?);
            }
        }
        let lax = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified(Arc::clone(&provider))))
            .with_no_client_auth();
        Ok(Self {
            resolver: resolver(),
            names: RefCell::default(),
            verified: verified(&provider, trusted)?,
            by_file,
            unverified: lax,
        })
    }

    /// A dialer for the targets and controls of `services`.
    ///
    /// # Errors
    /// A file that can't be used.
    pub fn of(services: &[Service]) -> Result<Self, DialerError> {
        let controls = services.iter().filter_map(|service| service.control.as_ref());
        let else_tls = controls.into_iter().any(|control| control.tls);
        Self::new(services.iter().flat_map(|service| &service.targets), else_tls)
    }

    /// The addresses of `host`, from the cache while they are fresh.
    pub(super) async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Outcome> {
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
    /// connection, so that no rebinding gets around it. What is written once only is never held back, and needs no option.
    pub(super) async fn tcp(&self, address: SocketAddr, one_write: bool) -> Result<TcpStream, Outcome> {
        if forbidden(address.ip()).is_some() {
            return Err(Outcome::Failed(Ours::Resolve));
        }
        let stream = TcpStream::connect(address).await.map_err(|error| connect_failure(&error))?;
        if !one_write {
            stream.set_nodelay(true).map_err(|_| Outcome::Failed(Ours::Descriptors))?;
        }
        Ok(stream)
    }

    /// How TLS is spoken with `target`, or with a registered target that answers for it. `None` when the URL's host is
    /// no name that a certificate can have.
    pub(super) fn prepare(&self, target: &Target, registered: bool) -> Option<Tls> {
        let mut config = match target.ca_file.as_deref() {
            _ if registered => self.unverified.clone(),
            None => self.verified.clone(),
            Some(path) => self.by_file.get(path).unwrap_or(&self.verified).clone(),
        };
        // A handshake in full proves certificate and key each time; a resumed one costs a third less
        // (measured: `benches/README.md`).
        config.resumption =
            if target.tls_resume { Resumption::in_memory_sessions(SESSIONS) } else { Resumption::disabled() };
        config.alpn_protocols = vec![if target.http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let name = ServerName::try_from(target.endpoint.host.clone()).ok()?;
        Some(Tls { connector: TlsConnector::from(Arc::new(config)), name })
    }
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").field("ca_files", &self.by_file.keys()).finish_non_exhaustive()
    }
}

impl Clone for Dialer {
    fn clone(&self) -> Self {
        Self {
            resolver: self.resolver.clone(),
            names: RefCell::default(),
            verified: self.verified.clone(),
            by_file: self.by_file.clone(),
            unverified: self.unverified.clone(),
        }
    }
}

impl Tls {
    /// The handshake over `tcp`. A server that doesn't take up HTTP/2 where it was asked for has failed it.
    pub(super) async fn shake(&self, tcp: TcpStream, http2: bool) -> Result<Stream, Outcome> {
        let stream = self
            .connector
            .connect(self.name.clone(), tcp)
            .await
            .map_err(|error| Outcome::Bad(tls_failure(&error)))?;
        if http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2".as_slice()) {
            return Err(Outcome::Bad(Fault::TlsHandshake));
        }
        Ok(Stream::Tls(Box::new(stream)))
    }
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

fn verified(provider: &Arc<CryptoProvider>, roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    Ok(ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
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
