//! One thread, one epoll: read and stamp all that is ready, then answer.
//!
//! All that one wake-up found is read before the first answer is written, so that an answer never delays a stamp.

use crate::certificate::identity;
use crate::connection::{Came, Connection};
use crate::stamps::Stamps;
use anyhow::Context;
use clap::{Args, ValueEnum};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::net::{SocketFlags, accept_with, sockopt};
use rustix::time::Timespec;
use rustls::{HandshakeKind, ServerConfig, ServerConnection};
use serin::clock;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What epoll calls the last listener; connections are slots from 0.
const LISTENER: u64 = u64::MAX;
/// So often the end is looked for when nobody asks.
const IDLE: Duration = Duration::from_millis(50);
/// Of one wake-up, at most.
const EVENTS: usize = 256;

/// How to answer.
#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// Where the stamps go at the end.
    #[arg(long)]
    out: PathBuf,
    /// Stamps to have room for, 24 bytes each; further arrivals are only counted.
    #[arg(long, default_value_t = 4_000_000)]
    capacity: usize,
    /// Addresses to be served, from 127.0.0.1 on, so that probers take them for so many hosts.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=100))]
    hosts: u8,
    /// Never sleep: a ruler that needs no waking, at the price of its core.
    #[arg(long)]
    spin: bool,
    /// Answer nothing for so long, then all at once.
    #[arg(long, value_parser = humantime::parse_duration, requires = "every")]
    stall: Option<Duration>,
    /// From one stall's begin to the next; the first begins so long after the first arrival.
    #[arg(long, value_parser = humantime::parse_duration, requires = "stall")]
    every: Option<Duration>,
    /// Answer with 500 from so long after the first arrival.
    #[arg(long, value_parser = humantime::parse_duration, requires = "outage_for")]
    outage_after: Option<Duration>,
    /// For so long.
    #[arg(long, value_parser = humantime::parse_duration, requires = "outage_after")]
    outage_for: Option<Duration>,
    /// TLS 1.3; a server of `full` hands out no tickets, so that every handshake is one.
    #[arg(long, value_enum, requires = "ca_out")]
    tls: Option<Tickets>,
    /// Where the fresh root goes, as PEM.
    #[arg(long)]
    ca_out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tickets {
    Full,
    Resumed,
}

/// Serves until SIGTERM, then writes the stamps.
///
/// # Errors
/// No socket, no certificate, no file.
pub(crate) fn serve(args: &ServeArgs) -> anyhow::Result<()> {
    let ended = Arc::new(AtomicBool::new(false));
    watch(Arc::clone(&ended))?;
    let listeners = listen(args.hosts)?;
    let tls = args.tls.map(|tickets| tls(tickets, args)).transpose()?;
    let first = listeners.first().context("at least one host")?;
    writeln!(std::io::stdout().lock(), "{}", first.local_addr()?)?;
    let mut server = Server::new(args, listeners, tls)?;
    while !ended.load(Ordering::Relaxed) {
        server.turn()?;
    }
    server.stamps.write(&args.out).with_context(|| format!("the stamps to {}", args.out.display()))
}

/// One port on so many addresses of loopback.
fn listen(hosts: u8) -> anyhow::Result<Vec<TcpListener>> {
    let mut port = 0;
    (1..=hosts)
        .map(|host| {
            let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, host), port));
            let listener = listener.context("a port on loopback")?;
            port = listener.local_addr()?.port();
            listener.set_nonblocking(true)?;
            // Accepted sockets inherit it.
            sockopt::set_tcp_nodelay(&listener, true)?;
            Ok(listener)
        })
        .collect()
}

/// Waits for SIGTERM on a thread of its own: the loop must not pay for it.
fn watch(ended: Arc<AtomicBool>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signal = {
        let _inside = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?
    };
    std::thread::spawn(move || {
        runtime.block_on(signal.recv());
        ended.store(true, Ordering::Relaxed);
    });
    Ok(())
}

fn tls(tickets: Tickets, args: &ServeArgs) -> anyhow::Result<Arc<ServerConfig>> {
    let identity = identity()?;
    if let Some(path) = &args.ca_out {
        std::fs::write(path, &identity.root_pem).with_context(|| path.display().to_string())?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)?;
    if tickets == Tickets::Resumed {
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    } else {
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

struct Server {
    epoll: OwnedFd,
    listeners: Vec<TcpListener>,
    tls: Option<Arc<ServerConfig>>,
    slots: Vec<Option<Connection>>,
    free: Vec<usize>,
    events: Vec<Event>,
    asked: Vec<Asked>,
    stamps: Stamps,
    answers: Answers,
    spin: bool,
    stall: Option<Cycle>,
    outage: Option<(Duration, Duration)>,
    first: Option<u64>,
}

/// A request that waits for its answer.
struct Asked {
    slot: usize,
    connection: u32,
    stamp: usize,
    close: bool,
}

struct Answers {
    keep: Vec<u8>,
    close: Vec<u8>,
    bad: Vec<u8>,
}

/// Spans that begin every `every`.
struct Cycle {
    stall: u64,
    every: u64,
    ends: Option<u64>,
    next: Option<u64>,
}

impl Server {
    fn new(
        args: &ServeArgs,
        listeners: Vec<TcpListener>,
        tls: Option<Arc<ServerConfig>>,
    ) -> anyhow::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        for (listener, index) in listeners.iter().zip(0..) {
            epoll::add(&epoll, listener, EventData::new_u64(LISTENER - index), EventFlags::IN)?;
        }
        let cycle =
            |(stall, every)| Cycle { stall: nanos(stall), every: nanos(every), ends: None, next: None };
        Ok(Self {
            epoll,
            listeners,
            tls,
            slots: Vec::new(),
            free: Vec::new(),
            events: Vec::with_capacity(EVENTS),
            asked: Vec::with_capacity(EVENTS),
            stamps: Stamps::with_capacity(args.capacity),
            answers: Answers::new(),
            spin: args.spin,
            stall: args.stall.zip(args.every).map(cycle),
            outage: args.outage_after.zip(args.outage_for),
            first: None,
        })
    }

    /// One wake-up.
    fn turn(&mut self) -> anyhow::Result<()> {
        let timeout = self.patience();
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("epoll_wait"),
        }
        for event in &events {
            // The structure is packed: a copy, no reference.
            let data = event.data;
            let name = |name| usize::try_from(name).unwrap_or(usize::MAX);
            match name(LISTENER - data.u64()) {
                listener if listener < self.listeners.len() => self.accept(listener),
                _ => self.read(name(data.u64())),
            }
        }
        self.events = events;
        if !self.stalls() {
            self.answer();
        }
        Ok(())
    }

    fn patience(&self) -> Timespec {
        let patience = if self.spin {
            Duration::ZERO
        } else if let Some(ends) = self.stall.as_ref().and_then(|cycle| cycle.ends) {
            Duration::from_nanos(ends.saturating_sub(clock::now().0))
        } else {
            IDLE
        };
        Timespec {
            tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: patience.subsec_nanos().into(),
        }
    }

    fn accept(&mut self, listener: usize) {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        // Until none is left, or none can be taken: the client sees what then comes of it.
        while let Ok(socket) = accept_with(&self.listeners[listener], flags) {
            let tls = self.tls.clone().map(ServerConnection::new);
            let Ok(tls) = tls.transpose() else { return };
            self.stamps.told.accepted += 1;
            let number = u32::try_from(self.stamps.told.accepted).unwrap_or(u32::MAX);
            let connection = Connection::new(TcpStream::from(socket), tls, number);
            let slot = self.free.pop().unwrap_or_else(|| {
                self.slots.push(None);
                self.slots.len() - 1
            });
            let name = EventData::new_u64(slot as u64);
            if epoll::add(&self.epoll, connection.socket(), name, EventFlags::IN).is_ok() {
                self.slots[slot] = Some(connection);
            } else {
                self.free.push(slot);
            }
        }
    }

    fn read(&mut self, slot: usize) {
        let Some(connection) = self.slots[slot].as_mut() else { return };
        let came = connection.read();
        let at = clock::now().0;
        match connection.handshake() {
            Some(HandshakeKind::Resumed) => self.stamps.told.resumed += 1,
            Some(_) => self.stamps.told.full += 1,
            None => {}
        }
        match came {
            Came::Part => {}
            Came::End => self.release(slot),
            Came::Request(request) => {
                self.first.get_or_insert(at);
                let stamp = self.stamps.arrived(at, request.path, connection.number);
                let connection = connection.number;
                self.asked.push(Asked { slot, connection, stamp, close: request.close });
            }
        }
    }

    fn answer(&mut self) {
        let bad = self.in_outage();
        let mut asked = std::mem::take(&mut self.asked);
        for Asked { slot, connection, stamp, close } in asked.drain(..) {
            // A slot whose client left while it waited may serve another by now.
            let Some(client) = self.slots[slot].as_mut().filter(|client| client.number == connection) else {
                continue;
            };
            let answer = match (bad, close) {
                (true, _) => &self.answers.bad,
                (false, true) => &self.answers.close,
                (false, false) => &self.answers.keep,
            };
            let written = client.write(answer);
            self.stamps.answered(stamp, clock::now().0);
            if close || written.is_err() {
                self.release(slot);
            }
        }
        self.asked = asked;
    }

    fn release(&mut self, slot: usize) {
        if let Some(connection) = self.slots[slot].take() {
            connection.finish();
            self.free.push(slot);
        }
    }

    /// Whether answers are held back now; notes each stall as it really was.
    fn stalls(&mut self) -> bool {
        let (Some(cycle), Some(first)) = (self.stall.as_mut(), self.first) else { return false };
        let now = clock::now().0;
        if cycle.ends.is_some_and(|ends| now >= ends) {
            cycle.ends = None;
            if let Some(last) = self.stamps.told.stalls.last_mut() {
                last.1 = now;
            }
        }
        let next = *cycle.next.get_or_insert(first + cycle.every);
        if cycle.ends.is_none() && now >= next {
            cycle.ends = Some(now + cycle.stall);
            cycle.next = Some(next + cycle.every);
            self.stamps.told.stalls.push((now, now + cycle.stall));
        }
        cycle.ends.is_some()
    }

    fn in_outage(&mut self) -> bool {
        let (Some((after, long)), Some(first)) = (self.outage, self.first) else { return false };
        let begin = first + nanos(after);
        let now = clock::now().0;
        let inside = (begin..begin + nanos(long)).contains(&now);
        if inside && self.stamps.told.outages.is_empty() {
            self.stamps.told.outages.push((now, begin + nanos(long)));
        }
        inside
    }
}

impl Answers {
    fn new() -> Self {
        let answer = |status: &str, extra: &str| {
            format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nx-version: bench-1\r\n{extra}\r\nok")
                .into_bytes()
        };
        Self {
            keep: answer("200 OK", ""),
            close: answer("200 OK", "connection: close\r\n"),
            bad: answer("500 Internal Server Error", ""),
        }
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
