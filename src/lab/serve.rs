//! Listening sockets and the accept loop that every server of the lab shares.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

/// What every server of the lab answers with: whole bodies, never streams.
pub(super) type Answer = Response<Full<Bytes>>;

/// The handler hangs up instead of answering; the connection is closed without a byte.
#[derive(Debug, thiserror::Error)]
#[error("the lab was told to close this connection without an answer")]
pub(super) struct HangUp;

/// A port that stays ours while nothing listens on it, so that "connection refused" can be
/// switched on and off without another process taking the port in between.
#[derive(Debug)]
pub(super) struct Port {
    addr: SocketAddr,
    /// Bound, never listening: while it lives, the kernel gives this port to nobody else.
    _reservation: TcpSocket,
}

impl Port {
    /// Takes a free port of `ip`, or `port` itself when that isn't zero.
    pub(super) fn reserve(ip: IpAddr, port: u16) -> io::Result<Self> {
        let reservation = socket(ip)?;
        reservation.bind(SocketAddr::new(ip, port))?;
        // Only now: a shareable socket could have been given a port that is already in use.
        share(&reservation)?;
        Ok(Self { addr: reservation.local_addr()?, _reservation: reservation })
    }

    /// The address, whether or not something listens there now.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Starts to listen. Dropping the listener makes the kernel refuse connections again.
    pub(super) fn listen(&self) -> io::Result<TcpListener> {
        let listening = socket(self.addr.ip())?;
        share(&listening)?;
        listening.bind(self.addr)?;
        listening.listen(BACKLOG)
    }
}

fn socket(ip: IpAddr) -> io::Result<TcpSocket> {
    if ip.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
}

fn share(socket: &TcpSocket) -> io::Result<()> {
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)
}

/// Serves HTTP/1.1 on `listener` until it is dropped; its connections are dropped with it.
pub(super) async fn serve<F, Fut>(listener: TcpListener, handler: F)
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<Answer, HangUp>> + Send,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // Out of descriptors: the pending connection stays, so a pause is all that helps.
                let Ok((stream, _)) = accepted else {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                };
                // Nagle would add up to 40 ms to an answer; without it the lab is as fast as it can be.
                let _ = stream.set_nodelay(true);
                let handler = handler.clone();
                connections.spawn(async move {
                    // An error here is the peer's end of the connection, or a wanted `HangUp`.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service_fn(handler))
                        .await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// As many waiting connections as a prober and a user client can open in one scheduling pause.
const BACKLOG: u32 = 1024;
