//! The ledger behind a bounded channel: whoever notes never waits, and whoever persists is answered after the sync.

use super::disk::Disk;
use super::{Ledger, LedgerError};
use crate::model::guard::Full;
use crate::model::record::{Intent, Record};
use crate::model::time::{Mono, Wall};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::{self, Receiver, Sender};

/// Jobs that may wait.
const WAITING_MAX: usize = 4_096;
/// Of these, the last so many are for vital records and intents.
const FOR_VITAL: usize = 1_024;
/// Of these, the last so many are for intents only.
const FOR_INTENTS: usize = 64;
/// The most jobs that share one sync.
const BATCH: usize = 256;
/// A disk that goes on failing is told of so often.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Called on the ledger's thread once the intent is on disk, or can't be. It must not block.
pub type Reply = Box<dyn FnOnce(Result<(), Full>) + Send>;

/// What the thread is asked for. The times are those of the event, not of its writing.
pub enum Job {
    /// Write a line.
    Note(Mono, Wall, Box<Record>),
    /// Put the intent on disk, then say so.
    Persist(Mono, Wall, Box<Intent>, Reply),
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Note(_, _, record) => f.debug_tuple("Note").field(record).finish(),
            Self::Persist(_, _, intent, _) => f.debug_tuple("Persist").field(&intent.id).finish(),
        }
    }
}

/// What went wrong, for metrics.
#[derive(Debug, Default)]
pub struct Counts {
    dropped: AtomicU64,
    untold: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    /// Records that never became a line, because the channel or the backlog was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Commits that the disk refused. Their lines are written with the next that it takes.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        self.untold.fetch_add(1, Ordering::Relaxed);
    }
}

/// Asks the ledger's thread. Never waits.
#[derive(Clone, Debug)]
pub struct LedgerHandle {
    jobs: Sender<Job>,
    counts: Arc<Counts>,
}

/// The other end: [`LedgerThread::run`] wants a thread.
#[derive(Debug)]
pub struct LedgerThread<D: Disk = super::Folder> {
    ledger: Ledger<D>,
    jobs: Receiver<Job>,
    counts: Arc<Counts>,
    told: Option<Mono>,
}

/// Both ends for `ledger`.
#[must_use]
pub fn channel<D: Disk>(ledger: Ledger<D>) -> (LedgerHandle, LedgerThread<D>) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let counts = Arc::new(Counts::default());
    let handle = LedgerHandle { jobs: sender, counts: counts.clone() };
    (handle, LedgerThread { ledger, jobs: receiver, counts, told: None })
}

impl LedgerHandle {
    /// Notes one thing that happened. When the channel is full it is dropped and counted; records that aren't vital go
    /// first.
    pub fn note(&self, now: Mono, wall: Wall, record: Box<Record>) {
        let reserved = if record.is_vital() { FOR_INTENTS } else { FOR_VITAL };
        if self.jobs.capacity() <= reserved || self.jobs.try_send(Job::Note(now, wall, record)).is_err() {
            self.counts.drop_one();
        }
    }

    /// Puts an intent on disk, then calls `reply`. Room is kept for it; should even that be taken, or the thread be
    /// gone, the reply says so at once.
    pub fn persist(&self, now: Mono, wall: Wall, intent: Box<Intent>, reply: Reply) {
        match self.jobs.try_send(Job::Persist(now, wall, intent, reply)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(job)) => refuse(job, "its queue is full"),
            Err(mpsc::error::TrySendError::Closed(job)) => refuse(job, "its thread is gone"),
        }
    }

    /// What went wrong so far.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// See [`Counts::dropped`].
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.counts.dropped()
    }
}

fn refuse(job: Job, why: &str) {
    if let Job::Persist(_, _, _, reply) = job {
        reply(Err(Full(format!("the ledger takes nothing: {why}").into())));
    }
}

impl<D: Disk> LedgerThread<D> {
    /// Works until every handle is gone, then syncs and gives the ledger back. Blocks: it wants a thread of its own.
    pub fn run(mut self) -> Ledger<D> {
        let mut newest = Mono(0);
        while let Some(first) = self.jobs.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Ok(job) = self.jobs.try_recv()
            {
                batch.push(job);
            }
            newest = self.take(batch).max(newest);
        }
        if let Err(error) = self.ledger.commit(newest, true) {
            tracing::error!(%error, "the last lines of the ledger are not on disk");
        }
        self.ledger
    }

    /// Writes a batch with one sync, then replies. Returns when the newest of it happened.
    fn take(&mut self, batch: Vec<Job>) -> Mono {
        self.ledger.add_lost(self.counts.untold.swap(0, Ordering::Relaxed));
        let mut newest = Mono(0);
        let mut vital = false;
        let mut replies: Vec<(Reply, Option<Full>)> = Vec::new();
        for job in batch {
            let (now, wall, record, reply) = match job {
                Job::Note(now, wall, record) => (now, wall, record, None),
                Job::Persist(now, wall, intent, reply) => {
                    (now, wall, Box::new(Record::Intent(*intent)), Some(reply))
                }
            };
            newest = newest.max(now);
            vital |= record.is_vital();
            let staged = self.ledger.stage(now, wall, &record);
            if let Err(error) = &staged {
                self.counts.dropped.fetch_add(1, Ordering::Relaxed);
                self.tell(now, error);
            }
            replies.extend(reply.map(|reply| (reply, staged.err().map(full))));
        }
        let committed = self.ledger.commit(newest, vital);
        let refusal = committed.err().map(|error| {
            self.counts.failed.fetch_add(1, Ordering::Relaxed);
            self.tell(newest, &error);
            full(error)
        });
        for (reply, own) in replies {
            reply(own.or_else(|| refusal.clone()).map_or(Ok(()), Err));
        }
        newest
    }

    fn tell(&mut self, now: Mono, error: &LedgerError) {
        if self.told.is_none_or(|told| now.since(told) >= TELL_EVERY) {
            self.told = Some(now);
            tracing::error!(%error, "the ledger can't be written");
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "maps an error that is done with")]
fn full(error: LedgerError) -> Full {
    Full(error.to_string().into())
}
