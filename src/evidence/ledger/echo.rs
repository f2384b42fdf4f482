//! The copy of every line on standard output, because a container's disk dies with it.
//!
//! A log driver may block whoever writes (awslogs does by default when CloudWatch doesn't answer), and an intent must
//! not wait for that. So the copy goes over a bounded channel to a thread of its own.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Lines that may wait for standard output.
const WAITING_MAX: usize = 4_096;

/// Where lines are copied to. Every ledger of the process may share one.
#[derive(Clone, Debug)]
pub struct Echo {
    lines: SyncSender<Vec<u8>>,
    lost: Arc<AtomicU64>,
}

/// The other end: [`EchoThread::run`] wants a thread.
#[derive(Debug)]
pub struct EchoThread {
    lines: Receiver<Vec<u8>>,
    lost: Arc<AtomicU64>,
}

impl Echo {
    /// A pair of ends.
    #[must_use]
    pub fn new() -> (Self, EchoThread) {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        (Self { lines: sender, lost: lost.clone() }, EchoThread { lines: receiver, lost })
    }

    /// Copies one line, newline included, if there is room. Never waits; what doesn't fit is counted.
    #[must_use]
    pub fn line(&self, line: Vec<u8>) -> bool {
        let taken = self.lines.try_send(line).is_ok();
        if !taken {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Lines that standard output never got.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl EchoThread {
    /// Writes each line with one call until every [`Echo`] is gone. An output that breaks costs the copy, nothing else.
    pub fn run(self, out: &mut dyn Write) {
        for line in &self.lines {
            if out.write_all(&line).and_then(|()| out.flush()).is_err() {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
