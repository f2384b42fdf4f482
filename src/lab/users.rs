//! The users: a client of its own that asks at a steady rate and counts what it got, so that the harm of a
//! release is known from the outside.

use super::wire::{Pool, Wire, WireError};
use crate::clock;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use serin_model::time::Mono;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How the users behave.
#[derive(Clone, Debug)]
pub struct UserOptions {
    /// Requests a second of all users together, at least 1.
    pub rate: u32,
    /// The path that they ask for.
    pub path: String,
    /// The `Host` that they ask for.
    pub host: String,
    /// An answer that takes longer is a bad one.
    pub slow_after: Duration,
    /// No answer after this is a bad one.
    pub timeout: Duration,
    /// At most so many requests at once; what is due beyond that is `unsent`.
    pub in_flight_max: usize,
}

impl Default for UserOptions {
    fn default() -> Self {
        Self {
            rate: 100,
            path: "/".to_owned(),
            host: "shop.example.com".to_owned(),
            slow_after: Duration::from_secs(1),
            timeout: Duration::from_secs(2),
            in_flight_max: 512,
        }
    }
}

/// What the users got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserCounts {
    /// Answers below 500 that came in time.
    pub good: u64,
    /// All others: 500 and above, no answer, no connection, too slow.
    pub bad: u64,
    /// When the first bad one was known.
    pub first_bad: Option<Mono>,
    /// When the last bad one was known.
    pub last_bad: Option<Mono>,
    /// Due requests that were not sent, because too many were waiting. The client's limit, nobody's fault.
    pub unsent: u64,
}

/// A running crowd. Dropping it stops it.
#[derive(Debug)]
pub struct Users {
    counts: Arc<Mutex<UserCounts>>,
    task: JoinSet<()>,
    stop: Arc<Semaphore>,
    patience: Duration,
}

impl Users {
    /// Starts to ask `addresses` in turn: every second request on a connection of its own, the others on
    /// kept ones. Does nothing without an address.
    #[must_use]
    pub fn start(addresses: Vec<SocketAddr>, options: UserOptions) -> Self {
        let counts: Arc<Mutex<UserCounts>> = Arc::default();
        let stop = Arc::new(Semaphore::new(0));
        let patience = options.timeout;
        let mut task = JoinSet::new();
        task.spawn(ask_until(addresses, options, counts.clone(), stop.clone()));
        Self { counts, task, stop, patience }
    }

    /// What they got so far.
    #[must_use]
    pub fn counts(&self) -> UserCounts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks nothing more, waits for what is still open (at most the timeout), and returns the counts.
    pub async fn stop(mut self) -> UserCounts {
        self.stop.add_permits(1);
        // The task ends by itself; the margin is for a machine that is busy.
        let _ = tokio::time::timeout(self.patience + Duration::from_secs(1), self.task.join_next()).await;
        self.counts()
    }
}

async fn ask_until(
    addresses: Vec<SocketAddr>,
    options: UserOptions,
    counts: Arc<Mutex<UserCounts>>,
    stop: Arc<Semaphore>,
) {
    let options = Arc::new(options);
    let pools: Vec<_> = addresses.iter().map(|_| Arc::new(Pool::default())).collect();
    let mut open = JoinSet::new();
    let start = clock::now();
    for n in 0_u64.. {
        let due = start.after(Duration::from_secs(1).mul_f64(exact(n) / f64::from(options.rate.max(1))));
        tokio::select! {
            () = tokio::time::sleep(due.since(clock::now())) => {}
            _ = stop.acquire() => break,
        }
        while open.try_join_next().is_some() {}
        if open.len() >= options.in_flight_max {
            counts.lock().unwrap_or_else(PoisonError::into_inner).unsent += 1;
            continue;
        }
        // Two requests for each address in turn, one fresh and one kept.
        let Some(turn) = usize::try_from(n / 2).ok().and_then(|pair| pair.checked_rem(addresses.len()))
        else {
            return;
        };
        let (addr, pool) = (addresses[turn], pools[turn].clone());
        let kept = n % 2 == 1;
        let (options, counts) = (options.clone(), counts.clone());
        open.spawn(async move {
            let begun = clock::now();
            let answer = tokio::time::timeout(options.timeout, ask(addr, &pool, kept, &options)).await;
            let now = clock::now();
            let served = matches!(answer, Ok(Ok(status)) if !status.is_server_error());
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            if served && now.since(begun) <= options.slow_after {
                counts.good += 1;
            } else {
                counts.bad += 1;
                counts.first_bad.get_or_insert(now);
                counts.last_bad = Some(now);
            }
        });
    }
    while open.join_next().await.is_some() {}
}

async fn ask(
    addr: SocketAddr,
    pool: &Pool,
    kept: bool,
    options: &UserOptions,
) -> Result<StatusCode, WireError> {
    let mut wire = if kept { pool.take(addr).await? } else { Wire::open(addr).await? };
    let mut request = Request::get(options.path.as_str()).header(header::HOST, &options.host);
    if !kept {
        request = request.header(header::CONNECTION, "close");
    }
    let request = request.body(Full::<Bytes>::default()).map_err(WireError::Request)?;
    let status = wire.exchange(request).await?.status();
    if kept {
        pool.put(wire);
    }
    Ok(status)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact below 2^53 requests, which is 2.8 million years at 100 a second"
)]
fn exact(n: u64) -> f64 {
    n as f64
}
