//! The floor of an exact pace: the barest client that there can be, on the same timer and the same kernel.
//!
//! It does what any prober has to do for each probe that has a wake-up of its own: be woken by a timer, write a request, be woken
//! by its answer, read it. No HTTP, no phases, no histogram. What a tool costs beyond this is its own.

use anyhow::{Context, Result};
use clap::Args;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What epoll calls the timer; connections count from 0.
const TIMER: u64 = u64::MAX;

/// `stamper floor`
#[derive(Args, Debug)]
pub(crate) struct FloorArgs {
    /// The server.
    address: SocketAddr,
    /// Requests a second.
    #[arg(long)]
    rate: f64,
    /// For so many seconds.
    #[arg(long)]
    seconds: f64,
    /// Kept connections, in turn.
    #[arg(long)]
    connections: usize,
}

pub(crate) fn run(args: &FloorArgs) -> Result<()> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?;
    epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN | EventFlags::ET)?;
    let mut connections = Vec::new();
    for index in 0..args.connections {
        let stream = TcpStream::connect(args.address).context("connect")?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        epoll::add(&epoll, &stream, EventData::new_u64(index as u64), EventFlags::IN)?;
        connections.push(stream);
    }
    let request = format!("GET /0 HTTP/1.1\r\nhost: {}\r\n\r\n", args.address);
    let interval = Duration::from_secs_f64(1.0 / args.rate);
    let begun = now() + Duration::from_millis(20);
    let until = begun + Duration::from_secs_f64(args.seconds);
    let (mut sent, mut answered) = (0_u32, 0_u64);
    let mut events: Vec<Event> = Vec::with_capacity(256);
    let mut buffer = [0; 4096];
    while now() < until {
        let due = begun + interval * sent;
        if now() >= due {
            let index = sent as usize % connections.len();
            connections[index].write_all(request.as_bytes()).context("write")?;
            sent += 1;
            continue;
        }
        arm(&timer, due)?;
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), None).context("epoll_wait")?;
        for event in &events {
            let Some(stream) = usize::try_from(event.data.u64()).ok().and_then(|at| connections.get_mut(at))
            else {
                continue;
            };
            match stream.read(&mut buffer) {
                Ok(0) => anyhow::bail!("the server closed a connection"),
                Ok(_) => answered += 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("read"),
            }
        }
    }
    writeln!(std::io::stdout().lock(), "{}", serde_json::json!({ "attempts": sent, "answered": answered }))?;
    Ok(())
}

fn now() -> Duration {
    let at = clock_gettime(ClockId::Monotonic);
    Duration::new(u64::try_from(at.tv_sec).unwrap_or(0), u32::try_from(at.tv_nsec).unwrap_or(0))
}

fn arm(timer: &rustix::fd::OwnedFd, at: Duration) -> Result<()> {
    let value = Itimerspec {
        it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: Timespec {
            tv_sec: i64::try_from(at.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(at.subsec_nanos()),
        },
    };
    timerfd_settime(timer, TimerfdTimerFlags::ABSTIME, &value)?;
    Ok(())
}
