//! Asking a running Serin: over its Unix socket, or over loopback.

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// No answer of ours is larger.
const ANSWER_MAX: usize = 16 * 1024 * 1024;
/// A daemon on the same machine answers long before.
const WITHIN: Duration = Duration::from_secs(5);
/// But asks AWS first of what a new configuration steers.
const WITHIN_RELOAD: Duration = Duration::from_secs(30);
/// Where that is asked for.
const RELOAD: &str = "/-/reload";

/// Why asking failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no Serin answers at {at}: {source}; is `serin run` up, and is this its socket?")]
    Away {
        /// Where.
        at: String,
        /// The cause.
        source: std::io::Error,
    },
    /// It took too long.
    #[error("no answer from {0} within {1} s")]
    Slow(String, u64),
    /// What came was no answer.
    #[error("{at} doesn't speak HTTP as Serin does: {why}")]
    Garbled {
        /// Where.
        at: String,
        /// The cause.
        why: String,
    },
    /// It refused.
    #[error("refused ({code}): {why}")]
    Refused {
        /// The status.
        code: StatusCode,
        /// Its reason.
        why: String,
    },
}

/// Where a Serin listens.
#[derive(Clone, Debug)]
pub enum At {
    /// Its read-only listener.
    Tcp(SocketAddr),
    /// Its Unix socket.
    Socket(PathBuf),
}

/// GET `path`; the body of an answer that is below 400.
///
/// # Errors
/// No answer, or a refusal.
pub async fn get(at: &At, path: &str) -> Result<String, ClientError> {
    call(at, Method::GET, path, String::new()).await
}

/// POST `body` (JSON) to `path`.
///
/// # Errors
/// No answer, or a refusal.
pub async fn post(at: &At, path: &str, body: String) -> Result<String, ClientError> {
    call(at, Method::POST, path, body).await
}

async fn call(at: &At, method: Method, path: &str, body: String) -> Result<String, ClientError> {
    let place = match at {
        At::Tcp(address) => address.to_string(),
        At::Socket(path) => path.display().to_string(),
    };
    let away = |source| ClientError::Away { at: place.clone(), source };
    let work = async {
        match at {
            At::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(away)?;
                ask(stream, &place, method, path, body).await
            }
            At::Socket(socket) => {
                let stream = UnixStream::connect(socket).await.map_err(away)?;
                ask(stream, &place, method, path, body).await
            }
        }
    };
    let within = if path == RELOAD { WITHIN_RELOAD } else { WITHIN };
    tokio::time::timeout(within, work)
        .await
        .map_err(|_| ClientError::Slow(place.clone(), within.as_secs()))?
}

async fn ask<S>(stream: S, at: &str, method: Method, path: &str, body: String) -> Result<String, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let garbled =
        |why: &dyn std::fmt::Display| ClientError::Garbled { at: at.to_owned(), why: why.to_string() };
    let (mut send, work) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| garbled(&error))?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| garbled(&error))?;
    let exchange = async {
        let answer = send.send_request(request).await.map_err(|error| garbled(&error))?;
        let code = answer.status();
        let body =
            Limited::new(answer.into_body(), ANSWER_MAX).collect().await.map_err(|error| garbled(&error))?;
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        if code.is_client_error() || code.is_server_error() {
            return Err(ClientError::Refused { code, why: text.trim().to_owned() });
        }
        Ok(text)
    };
    // The connection's own work ends with the exchange; both run in this task.
    tokio::pin!(exchange);
    tokio::select! {
        biased;
        answer = &mut exchange => return answer,
        ended = work => ended.map_err(|error| garbled(&error))?,
    }
    exchange.await
}
