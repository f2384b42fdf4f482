//! One client connection that is driven by the request that uses it: no task of its own, so that
//! dropping a request drops its connection, and an idle one costs nothing.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use tokio::net::TcpStream;

/// Why an exchange brought no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// No connection: refused, or no route.
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    /// The peer closed, reset, or sent no HTTP.
    #[error("no whole answer")]
    Exchange(#[source] hyper::Error),
    /// The request could not be made.
    #[error("no such request")]
    Request(#[source] http::Error),
    /// The connection ended with nothing to say.
    #[error("the connection was closed")]
    Closed,
}

/// A connection that carries one request at a time.
pub(super) struct Wire {
    send: SendRequest<Full<Bytes>>,
    connection: Pin<Box<Connection<TokioIo<TcpStream>, Full<Bytes>>>>,
}

impl Wire {
    /// Opens a connection.
    pub(super) async fn open(addr: SocketAddr) -> Result<Self, WireError> {
        let stream = TcpStream::connect(addr).await.map_err(WireError::Connect)?;
        stream.set_nodelay(true).map_err(WireError::Connect)?;
        let (send, connection) = handshake(TokioIo::new(stream)).await.map_err(WireError::Exchange)?;
        Ok(Self { send, connection: Box::pin(connection) })
    }

    /// Sends `request` and reads the whole answer. After an error the connection is of no use.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, WireError> {
        let Self { send, connection } = self;
        let mut answer = pin!(async {
            send.ready().await.map_err(WireError::Exchange)?;
            let (head, body) = send.send_request(request).await.map_err(WireError::Exchange)?.into_parts();
            let body = body.collect().await.map_err(WireError::Exchange)?.to_bytes();
            Ok(Response::from_parts(head, body))
        });
        let mut open = true;
        poll_fn(|cx| {
            if open && connection.as_mut().poll(cx).is_ready() {
                open = false;
            }
            match answer.as_mut().poll(cx) {
                // The connection is over and will wake nobody any more.
                Poll::Pending if !open => Poll::Ready(Err(WireError::Closed)),
                state => state,
            }
        })
        .await
    }

    /// Whether the peer hasn't closed this idle connection yet, as far as can be known.
    pub(super) async fn is_open(&mut self) -> bool {
        poll_fn(|cx| Poll::Ready(self.connection.as_mut().poll(cx).is_pending())).await
            && !self.send.is_closed()
            && self.send.is_ready()
    }
}

/// Idle connections to one address.
#[derive(Default)]
pub(super) struct Pool {
    idle: Mutex<Vec<Wire>>,
}

impl Pool {
    /// An idle connection that is still open, or a new one.
    pub(super) async fn take(&self, addr: SocketAddr) -> Result<Wire, WireError> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut wire) = idle else { return Wire::open(addr).await };
            if wire.is_open().await {
                return Ok(wire);
            }
        }
    }

    /// Keeps `wire` for the next request; closes it when enough are kept.
    pub(super) fn put(&self, wire: Wire) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(wire);
        }
    }
}

/// More idle connections than this to one address are closed.
const IDLE_MAX: usize = 64;
