//! A loopback echo of our own: how long what the network brings lies unread.
//!
//! A datagram that we send to ourselves is there at once; what passes until our own loop reads it, an answer of
//! a target would have waited too. It sees what neither timer nor scheduler tells: a loop that is run, and has more to
//! do than it gets done.

use crate::clock;
use crate::model::delta::Buckets;
use crate::model::time::{Mono, Span};
use std::cell::{Cell, RefCell};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

/// Between two echoes; none is sent while the loop sleeps.
const EVERY: Duration = Duration::from_millis(50);

/// See the module. Where no socket can be had, it is silent.
pub(super) struct Echo {
    shared: Rc<Shared>,
    socket: Option<Rc<UdpSocket>>,
    reader: Option<AbortHandle>,
    next: Mono,
}

#[derive(Default)]
struct Shared {
    /// When the echo that is on its way was sent; zero: none is.
    sent: Cell<Mono>,
    /// The last one that was heard, and not told of.
    heard: Cell<Option<(Mono, Mono)>>,
    delays: RefCell<Buckets>,
}

impl Echo {
    /// On the current thread.
    pub(super) fn new() -> Self {
        let shared = Rc::<Shared>::default();
        let socket = socket().ok().map(Rc::new);
        let reader = socket.as_ref().map(|socket| {
            tokio::task::spawn_local(listen(Rc::clone(socket), Rc::clone(&shared))).abort_handle()
        });
        Self { shared, socket, reader, next: Mono(0) }
    }

    /// The last echo that was heard, sent and heard; the next is sent when it is time.
    pub(super) fn heard(&mut self, now: Mono) -> Option<(Mono, Mono)> {
        if let Some(socket) = self.socket.as_ref().filter(|_| now >= self.next) {
            self.next = now.after(EVERY);
            // One that got lost is simply followed by the next.
            if socket.try_send(&[0]).is_ok() {
                self.shared.sent.set(clock::now());
            }
        }
        self.shared.heard.take()
    }

    /// The delays since the last time that this was asked.
    pub(super) fn take(&self) -> Buckets {
        self.shared.delays.take()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        if let Some(reader) = &self.reader {
            reader.abort();
        }
    }
}

fn socket() -> std::io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let own: SocketAddr = socket.local_addr()?;
    socket.connect(own)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

async fn listen(socket: Rc<UdpSocket>, shared: Rc<Shared>) {
    let mut byte = [0];
    while socket.recv(&mut byte).await.is_ok() {
        let (sent, now) = (shared.sent.replace(Mono(0)), clock::now());
        if sent.0 > 0 {
            shared.delays.borrow_mut().add(Span::of(now.since(sent)));
            shared.heard.set(Some((sent, now)));
        }
    }
}
