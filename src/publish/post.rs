//! One request on a connection of its own, over http or https; or one call, over HTTP/2.
//!
//! Errors are a closed set of words: a webhook's URL is a secret as a whole, and what isn't in an error can't leak.

use super::PublishError;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// More of an answer than this is nobody's business here.
const ANSWER_MAX: usize = 64 * 1024;

/// Where to POST, and how. Its `Debug` shows nothing of the URL.
#[derive(Clone)]
pub(super) struct Poster {
    host: String,
    port: u16,
    authority: HeaderValue,
    /// All of it: HTTP/2 asks by it, HTTP/1.1 by its path.
    uri: Uri,
    path: Uri,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    headers: HeaderMap,
    timeout: Duration,
}

/// Why a POST brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PostError {
    /// The name has no address.
    #[error("the name can't be resolved")]
    Resolve,
    /// No address takes the connection.
    #[error("the connection failed")]
    Connect,
    /// The handshake failed, or the certificate isn't trusted.
    #[error("TLS failed")]
    Tls,
    /// The exchange broke off, or what came is not HTTP.
    #[error("the HTTP exchange failed")]
    Http,
    /// It took too long.
    #[error("no answer in time")]
    Timeout,
    /// There are no credentials to sign with.
    #[error("it can't be signed")]
    Unsigned,
}

/// The URL is no http or https URL with a host and without user info.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unusable;

impl Poster {
    /// Prepares POSTs to `uri`, each with `headers`, none longer than `timeout`. Reads the system's roots for https.
    pub(super) fn new(
        uri: &Uri,
        headers: HeaderMap,
        timeout: Duration,
    ) -> Result<Result<Self, Unusable>, PublishError> {
        Self::over(uri, headers, timeout, (Version::HTTP_11, None))
    }

    /// The same, for POSTs (HTTP/1.1) or calls (HTTP/2), over the TLS that is given.
    pub(super) fn over(
        uri: &Uri,
        headers: HeaderMap,
        timeout: Duration,
        (version, tls): (Version, Option<ClientConfig>),
    ) -> Result<Result<Self, Unusable>, PublishError> {
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Ok(Err(Unusable)),
        };
        let Some(host) = uri.host().filter(|host| !host.is_empty()) else { return Ok(Err(Unusable)) };
        // Basic authentication by URL isn't spoken, and leaving it out silently would be a riddle.
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Ok(Err(Unusable));
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let authority = uri.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let (Ok(authority), Ok(path), Ok(name)) =
            (HeaderValue::from_str(&authority), path.parse(), ServerName::try_from(bare.clone()))
        else {
            return Ok(Err(Unusable));
        };
        let tls = if https {
            let mut config = tls.map_or_else(trusting, Ok)?;
            if version == Version::HTTP_2 {
                config.alpn_protocols = vec![b"h2".to_vec()];
            }
            Some((TlsConnector::from(Arc::new(config)), name))
        } else {
            None
        };
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        Ok(Ok(Self { host: bare, port, authority, uri: uri.clone(), path, tls, headers, timeout }))
    }

    /// Asks for what is there.
    pub(super) async fn get(&self) -> Result<Response<Bytes>, PostError> {
        self.within(Method::GET, &HeaderMap::new(), Bytes::new()).await
    }

    /// Sends `body`. An answer of any status is an answer.
    pub(super) async fn post(&self, headers: &HeaderMap, body: Bytes) -> Result<Response<Bytes>, PostError> {
        self.within(Method::POST, headers, body).await
    }

    /// Makes a unary call with `body`; the answer comes with its trailers.
    pub(super) async fn call(
        &self,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<(Response<Bytes>, HeaderMap), PostError> {
        let call = async {
            let tcp = self.connect().await?;
            let mut request = self.request(Method::POST, headers, body);
            *request.uri_mut() = self.uri.clone();
            *request.version_mut() = Version::HTTP_2;
            // HTTP/2 has the authority in the URL, and frames of its own.
            request.headers_mut().remove(HOST);
            request.headers_mut().remove(CONTENT_LENGTH);
            match &self.tls {
                None => talk_http2(tcp, request).await,
                Some((connector, name)) => {
                    let tls = connector.connect(name.clone(), tcp).await.map_err(|_| PostError::Tls)?;
                    talk_http2(tls, request).await
                }
            }
        };
        tokio::time::timeout(self.timeout, call).await.map_err(|_| PostError::Timeout)?
    }

    async fn within(
        &self,
        method: Method,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response<Bytes>, PostError> {
        tokio::time::timeout(self.timeout, self.exchange(method, headers, body))
            .await
            .map_err(|_| PostError::Timeout)?
    }

    async fn exchange(
        &self,
        method: Method,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response<Bytes>, PostError> {
        let tcp = self.connect().await?;
        let request = self.request(method, headers, body);
        match &self.tls {
            None => talk(tcp, request).await,
            Some((connector, name)) => {
                let tls = connector.connect(name.clone(), tcp).await.map_err(|_| PostError::Tls)?;
                talk(tls, request).await
            }
        }
    }

    async fn connect(&self) -> Result<TcpStream, PostError> {
        let addresses =
            tokio::net::lookup_host((self.host.as_str(), self.port)).await.map_err(|_| PostError::Resolve)?;
        let mut failed = PostError::Resolve;
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(tcp) => return Ok(tcp),
                Err(_) => failed = PostError::Connect,
            }
        }
        Err(failed)
    }

    fn request(&self, method: Method, headers: &HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
        let length = body.len();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.path.clone();
        for (name, value) in headers.iter().chain(&self.headers) {
            request.headers_mut().insert(name, value.clone());
        }
        request.headers_mut().insert(HOST, self.authority.clone());
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        let agent = HeaderValue::from_static(concat!("serin/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(USER_AGENT, agent);
        request
    }
}

impl fmt::Debug for Poster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poster").field("https", &self.tls.is_some()).finish_non_exhaustive()
    }
}

async fn talk<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, PostError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|_| PostError::Http)?;
    let exchange = async move {
        let (head, body) = sender.send_request(request).await.map_err(|_| PostError::Http)?.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(|_| PostError::Http)?;
        Ok(Response::from_parts(head, body.to_bytes()))
    };
    let mut connection = std::pin::pin!(connection);
    let mut exchange = std::pin::pin!(exchange);
    let mut open = true;
    loop {
        // The connection has to be polled for the exchange to move, and may end before the body is taken out.
        tokio::select! {
            biased;
            answer = &mut exchange => return answer,
            _ = &mut connection, if open => open = false,
        }
    }
}

async fn talk_http2<S>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<(Response<Bytes>, HeaderMap), PostError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = shake.await.map_err(|_| PostError::Http)?;
    // Ends with the last of `sender`'s requests, or with this call, whichever is first.
    let mut work = JoinSet::new();
    work.spawn(connection);
    let (head, body) = sender.send_request(request).await.map_err(|_| PostError::Http)?.into_parts();
    let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(|_| PostError::Http)?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    Ok((Response::from_parts(head, body.to_bytes()), trailers))
}

/// The system's roots and the ones built in: an image without certificates still trusts the public ones.
pub(super) fn roots() -> RootCertStore {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn trusting() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots()).with_no_client_auth())
}
