//! The way out for batches that must not get lost: each is tried some times by itself, and what isn't taken waits on disk.
//!
//! ```text
//!  batch ──▶ attempts ──taken──▶ gone
//!               │ └──refused──▶ lost, with its reason
//!               └──away──▶ spool ──oldest first, at a bounded pace──▶ gone
//! ```
//!
//! What is new never waits for what is old. A batch whose answer is never known is sent again: everything arrives at least once.
//! While the destination is away the oldest batch is what asks for it, ever more seldom, and whenever a new one got through.

use super::losses::{Destination, Losses, Reason, Waiting};
use super::spool::{Batch, Dropped, Key, Place, Spool};
use crate::clock;
use crate::model::time::Mono;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, SetOnce, mpsc, watch};
use tokio::task::JoinSet;

/// Batches that wait to be taken up at most.
const QUEUE: usize = 8;
/// New batches that are tried at once.
const FLIGHTS_MAX: usize = 4;
/// A further one waits for its turn while turns come; when none came for so long it goes to the disk.
const STUCK: Duration = Duration::from_secs(1);
/// Batches that wait for the disk at most.
const SPILLS_MAX: usize = 4;
/// Attempts of a new batch after the first.
const REPEATS: usize = 2;
const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// Between two attempts of the oldest on disk.
const PATIENCE_MIN: Duration = Duration::from_secs(1);
const PATIENCE_MAX: Duration = Duration::from_mins(1);
/// Between two batches from the disk: ten requests a second are nobody's flood.
const PACE: Duration = Duration::from_millis(100);
/// Who asks for a longer pause (`Retry-After`) gets one of this length.
const PAUSE_MAX: Duration = Duration::from_mins(10);
/// Nothing takes figures from before: `CloudWatch` refuses them (API reference, `PutMetricData`). An hour is for clocks that differ.
const AGE_MAX: Duration = Duration::from_hours(14 * 24 - 1);
/// Between two complaints.
const COMPLAINT_EVERY: Duration = Duration::from_mins(1);

/// How far the end of the process has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    #[default]
    Running,
    /// Nothing new comes; what has begun is finished, and nothing is fetched from the disk.
    Closing,
    /// There is time for the disk only.
    Hurry,
}

/// What all outboxes share.
#[derive(Clone, Debug)]
pub(super) struct Depot {
    pub(super) losses: Arc<Losses>,
    pub(super) phase: watch::Receiver<Phase>,
    /// Where spools are; `None`: nothing is kept.
    pub(super) dir: Option<PathBuf>,
    /// One waits for the disk at a time: a disk that hangs may hold one of the runtime's few threads for that, and no more.
    pub(super) turn: Arc<Semaphore>,
}

/// Brings batches to one destination.
pub(super) trait Carrier: Send + Sync + 'static {
    /// Ends when what is on disk can be carried.
    fn ready(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// One attempt, bounded in time. Of what was taken so many items were refused.
    fn carry(&self, batch: &Batch) -> impl Future<Output = Result<u64, Failure>> + Send;
}

/// Why one attempt did not deliver. No word of it is of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) says: String,
    /// Whether another attempt may do better.
    pub(super) passing: bool,
    /// What the answer asks for before the next attempt.
    pub(super) pause: Option<Duration>,
}

impl Failure {
    pub(super) fn passing(says: &(impl ToString + ?Sized)) -> Self {
        Self { says: says.to_string(), passing: true, pause: None }
    }
}

/// What a destination wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) destination: Destination,
    /// For all attempts of a new batch.
    pub(super) within: Duration,
    /// Bytes on disk at most; 0: nothing is kept.
    pub(super) spool: u64,
}

/// The way to an outbox.
#[derive(Clone, Debug)]
pub(super) struct Inlet {
    destination: Destination,
    queue: mpsc::Sender<Batch>,
    losses: Arc<Losses>,
}

impl Inlet {
    /// Waits for room: for who has a queue of its own.
    pub(super) async fn push(&self, batch: Batch) {
        let items = batch.items;
        if self.queue.send(batch).await.is_err() {
            self.lost(Reason::QueueFull, items);
        }
    }

    /// Never waits.
    pub(super) fn send(&self, batch: Batch) {
        let items = batch.items;
        if self.queue.try_send(batch).is_err() {
            self.lost(Reason::QueueFull, items);
        }
    }

    /// Some that never became a batch.
    pub(super) fn lost(&self, reason: Reason, items: u64) {
        self.losses.add(self.destination, reason, items);
    }
}

/// Starts the outbox of what `carrier` becomes. It ends when the last inlet is gone.
pub(super) fn start<C: Carrier>(
    carrier: impl Future<Output = C> + Send + 'static,
    terms: Terms,
    depot: &Depot,
    tasks: &mut JoinSet<()>,
) -> Inlet {
    let (queue, batches) = mpsc::channel(QUEUE);
    let inlet = Inlet { destination: terms.destination, queue, losses: Arc::clone(&depot.losses) };
    let depot = depot.clone();
    tasks.spawn(async move {
        let outbox = Outbox {
            carrier: carrier.await,
            terms,
            depot,
            spool: SetOnce::new(),
            more: Notify::new(),
            works: Notify::new(),
            failing: AtomicBool::new(false),
            pause: AtomicU64::new(0),
            complained: AtomicU64::new(0),
        };
        Arc::new(outbox).run(batches).await;
    });
    inlet
}

struct Outbox<C> {
    carrier: C,
    terms: Terms,
    depot: Depot,
    /// Set once it is open, or can't be.
    spool: SetOnce<Option<Arc<Mutex<Spool>>>>,
    /// Something was put on disk.
    more: Notify,
    /// A new batch got through.
    works: Notify,
    failing: AtomicBool,
    /// The destination asked to be left alone until then.
    pause: AtomicU64,
    /// When there was a complaint last; 0 for never.
    complained: AtomicU64,
}

impl<C: Carrier> Outbox<C> {
    /// Cancel-safe: what is cancelled is lost, and the drain says so.
    async fn run(self: Arc<Self>, mut batches: mpsc::Receiver<Batch>) {
        let (mut flights, mut spills) = (JoinSet::new(), JoinSet::new());
        let mut backlog = JoinSet::new();
        let this = Arc::clone(&self);
        backlog.spawn(async move { this.backfill().await });
        // When there was a place last.
        let mut free = clock::now();
        loop {
            let full = flights.len() >= FLIGHTS_MAX;
            if !full {
                free = clock::now();
            }
            let stuck = STUCK.saturating_sub(clock::now().since(free));
            let takes = !full || (stuck.is_zero() && spills.len() < SPILLS_MAX);
            tokio::select! {
                batch = batches.recv(), if takes => {
                    let Some(batch) = batch else { break };
                    let this = Arc::clone(&self);
                    if full {
                        spills.spawn(async move {
                            this.spill(batch, Reason::QueueFull, "earlier batches have no answer yet").await;
                        });
                    } else {
                        flights.spawn(async move { this.deliver(batch).await });
                    }
                }
                Some(_) = flights.join_next() => free = clock::now(),
                Some(_) = spills.join_next() => {}
                () = tokio::time::sleep(stuck), if full && !stuck.is_zero() => {}
            }
        }
        for tasks in [&mut flights, &mut spills, &mut backlog] {
            while tasks.join_next().await.is_some() {}
        }
    }

    async fn deliver(&self, batch: Batch) {
        let outcome = tokio::select! {
            outcome = self.attempts(&batch) => outcome,
            () = self.at(Phase::Hurry) => Err(Failure::passing("the process stops")),
        };
        match outcome {
            Ok(refused) => {
                self.delivered(refused);
                self.works.notify_waiters();
            }
            Err(failure) if failure.passing => {
                self.fails(&failure.says);
                self.spill(batch, Reason::Unavailable, &failure.says).await;
            }
            Err(failure) => {
                self.fails(&failure.says);
                self.lost(Reason::Refused, batch.items, &failure.says);
            }
        }
    }

    async fn attempts(&self, batch: &Batch) -> Result<u64, Failure> {
        let until = clock::now().after(self.terms.within);
        let mut backoffs = ExponentialBuilder::new()
            .with_min_delay(BACKOFF_MIN)
            .with_max_times(REPEATS)
            .with_jitter()
            .build();
        let mut rest = Duration::ZERO;
        loop {
            let rest_max = until.since(clock::now());
            rest = rest.max(self.asked());
            if rest >= rest_max {
                return Err(Failure::passing("it asks to be left alone for longer than a batch waits"));
            }
            tokio::time::sleep(rest).await;
            let attempt = tokio::time::timeout(until.since(clock::now()), self.carrier.carry(batch));
            let failure = match attempt.await {
                Ok(Ok(refused)) => return Ok(refused),
                Ok(Err(failure)) => failure,
                Err(_) => Failure::passing("no answer in time"),
            };
            self.heed(&failure);
            match backoffs.next().filter(|backoff| failure.passing && *backoff < until.since(clock::now())) {
                Some(backoff) => rest = backoff,
                None => return Err(failure),
            }
        }
    }

    /// What is on disk, oldest first, until the process ends.
    async fn backfill(&self) {
        let spool = self.open().await;
        if self.spool.set(spool).is_err() || self.opened().await.is_none() {
            return;
        }
        if self.unless_closing(self.carrier.ready()).await.is_none() {
            return;
        }
        let mut patience = patience();
        loop {
            let rest = match self.oldest().await {
                // What was put there meanwhile was put there because the destination is away.
                None => {
                    // A disk that failed may be back.
                    let more = tokio::time::timeout(PATIENCE_MAX, self.more.notified());
                    match self.unless_closing(more).await {
                        Some(_) => PATIENCE_MIN,
                        None => return,
                    }
                }
                Some((key, batch)) => {
                    let carried = tokio::select! {
                        carried = self.carrier.carry(&batch) => carried,
                        () = self.at(Phase::Hurry) => return,
                    };
                    self.carried(key, &batch, carried, &mut patience).await
                }
            };
            let rest = rest.max(self.asked());
            let rested = async {
                tokio::select! {
                    () = tokio::time::sleep(rest) => {}
                    // Where it asks for a pause it gets it.
                    () = self.works.notified(), if rest > PACE && self.asked().is_zero() => {}
                }
            };
            if self.unless_closing(rested).await.is_none() {
                return;
            }
        }
    }

    /// What came of a batch from the disk, and how long to wait for the next attempt.
    async fn carried(
        &self,
        key: Key,
        batch: &Batch,
        carried: Result<u64, Failure>,
        patience: &mut ExponentialBackoff,
    ) -> Duration {
        let failure = match carried {
            Ok(refused) => {
                self.on_disk(move |spool| spool.done(key)).await;
                self.delivered(refused);
                *patience = self::patience();
                return PACE;
            }
            Err(failure) => failure,
        };
        self.heed(&failure);
        if failure.passing {
            self.on_disk(|spool| {
                spool.back();
                Ok(())
            })
            .await;
            return patience.next().unwrap_or(PATIENCE_MAX);
        }
        self.on_disk(move |spool| spool.done(key)).await;
        self.lost(Reason::Refused, batch.items, &failure.says);
        PACE
    }

    async fn open(&self) -> Option<Arc<Mutex<Spool>>> {
        let dir = self.depot.dir.as_ref().filter(|_| self.terms.spool > 0)?;
        let destination = self.terms.destination;
        let dir = dir.join(destination.name());
        let place = Place { dir: dir.clone(), bytes_max: self.terms.spool, age_max: AGE_MAX };
        match self.blocking(|| Spool::open(place)).await {
            Ok(mut spool) => {
                self.settle(spool.waiting(), spool.dropped());
                let Waiting { batches, bytes } = spool.waiting();
                if batches > 0 {
                    let destination = destination.name();
                    tracing::info!(
                        destination,
                        batches,
                        bytes,
                        "what an earlier run couldn't deliver is sent"
                    );
                }
                Some(Arc::new(Mutex::new(spool)))
            }
            Err(error) => {
                let (destination, dir) = (destination.name(), dir.display());
                tracing::warn!(destination, %dir, %error, "there is no spool: what can't be delivered is lost");
                None
            }
        }
    }

    async fn opened(&self) -> Option<Arc<Mutex<Spool>>> {
        self.spool.wait().await.clone()
    }

    async fn oldest(&self) -> Option<(Key, Batch)> {
        self.on_disk(|spool| spool.take(clock::wall())).await.flatten()
    }

    /// Keeps `batch`; where there is no spool it is lost for `reason`.
    async fn spill(&self, batch: Batch, reason: Reason, says: &str) {
        if self.opened().await.is_none() {
            self.lost(reason, batch.items, says);
            return;
        }
        self.on_disk(move |spool| spool.push(&batch, clock::wall())).await;
        self.more.notify_one();
    }

    /// What `operation` brings, if there is a spool and the disk doesn't fail.
    async fn on_disk<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Spool) -> io::Result<T> + Send + 'static,
    ) -> Option<T> {
        let spool = self.opened().await?;
        // Only there may it be locked: whoever has it may wait for the disk.
        let run = move || {
            let mut spool = spool.lock().unwrap_or_else(PoisonError::into_inner);
            let outcome = operation(&mut spool);
            Ok((outcome, spool.waiting(), spool.dropped()))
        };
        let (outcome, waiting, dropped) = self.blocking(run).await.ok()?;
        self.settle(waiting, dropped);
        outcome
            .inspect_err(|error| {
                let destination = self.terms.destination.name();
                tracing::debug!(destination, %error, "the spool's disk fails");
            })
            .ok()
    }

    /// Runs `operation` where it may wait for a disk. It holds its turn for as long as it does.
    async fn blocking<T: Send + 'static>(
        &self,
        operation: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let turn = Arc::clone(&self.depot.turn).acquire_owned().await.map_err(io::Error::other)?;
        let run = move || {
            let _turn = turn;
            operation()
        };
        tokio::task::spawn_blocking(run).await.map_err(io::Error::other)?
    }

    /// Tells what waits, and what was dropped.
    fn settle(&self, waiting: Waiting, dropped: Dropped) {
        self.depot.losses.wait(self.terms.destination, waiting);
        for (reason, items) in dropped {
            self.lost(reason, items, "the spool had to let it go");
        }
    }

    /// `None` when the process ends first.
    async fn unless_closing<T>(&self, event: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.at(Phase::Closing) => None,
            happened = event => Some(happened),
        }
    }

    /// Ends when `phase` has come; a publisher that is gone is in a hurry.
    async fn at(&self, phase: Phase) {
        let mut now = self.depot.phase.clone();
        drop(now.wait_for(|now| *now >= phase).await);
    }

    /// For how long the destination asked to be left alone.
    fn asked(&self) -> Duration {
        Mono(self.pause.load(Ordering::Relaxed)).since(clock::now())
    }

    fn heed(&self, failure: &Failure) {
        if let Some(pause) = failure.pause.filter(|_| failure.passing) {
            self.pause.fetch_max(clock::now().after(pause.min(PAUSE_MAX)).0, Ordering::Relaxed);
        }
    }

    fn delivered(&self, refused: u64) {
        if refused > 0 {
            self.lost(Reason::Refused, refused, "a part of what was sent was refused");
        }
        if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!(destination = self.terms.destination.name(), "deliveries work again");
        }
    }

    fn fails(&self, says: &str) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            let kept = matches!(self.spool.get(), Some(Some(_)));
            let destination = self.terms.destination.name();
            tracing::warn!(destination, error = says, kept, "deliveries fail; what is lost is counted");
        }
    }

    fn lost(&self, reason: Reason, items: u64, error: &str) {
        self.depot.losses.add(self.terms.destination, reason, items);
        let (now, last) = (clock::now(), self.complained.load(Ordering::Relaxed));
        if last == 0 || now.since(Mono(last)) >= COMPLAINT_EVERY {
            self.complained.store(now.0, Ordering::Relaxed);
            let (destination, reason) = (self.terms.destination.name(), reason.name());
            tracing::warn!(
                destination,
                reason,
                items,
                error,
                "figures were lost; told once a minute at most"
            );
        }
    }
}

fn patience() -> ExponentialBackoff {
    let builder = ExponentialBuilder::new().with_min_delay(PATIENCE_MIN).with_max_delay(PATIENCE_MAX);
    builder.without_max_times().with_jitter().build()
}
