//! The ledger of one service: append-only JSON Lines, each line chained to the one before by its SHA-256.
//!
//! A line is first *staged* (rendered, echoed, kept in memory) and then *committed* (written, and synced where the
//! record is vital). Whatever isn't known to be on disk stays in memory and is written again with the next commit, so
//! a full disk loses nothing that fits [`BACKLOG_MAX`], and a failed sync is never taken for a good one: the bytes
//! are written anew, because the kernel may have dropped them.
//!
//! | file | what |
//! |---|---|
//! | `ledger.rs` | stage, commit, rotate |
//! | `ledger/line.rs` | the shape of a line, and which release it belongs to |
//! | `ledger/disk.rs` | the folder: lock, file, rotation; the seam for tests |
//! | `ledger/read.rs` | reading back: torn tail, broken chain |
//! | `ledger/echo.rs` | the copy on standard output |
//! | `ledger/thread.rs` | the bounded channel and the thread behind it |

mod disk;
mod echo;
mod line;
mod read;
mod thread;

pub use disk::{Disk, Folder, ledger_files};
pub use echo::{Echo, EchoThread};
pub use line::{Envelope, Line, LineError, NO_PREV, Naming};
pub use thread::{Counts, Job, LedgerHandle, LedgerThread, Reply, channel};

use crate::failpoint;
use crate::model::record::Record;
use crate::model::time::{Mono, Wall};
use line::render;
pub(crate) use line::{digest, parse, rfc3339};
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// A ledger file that is larger is put aside and a new one begun, bytes.
pub const ROTATE_AT: u64 = 32 << 20;
/// The most bytes of lines that wait for a disk that takes none.
pub const BACKLOG_MAX: usize = 4 << 20;
/// The same for lines that aren't vital, so that these never crowd out those that are.
const BACKLOG_MAX_MINOR: usize = 1 << 20;
/// Lines that aren't vital are synced this often.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// Why the ledger can't be opened, read or written.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// The name can't be that of a folder.
    #[error("{0:?} can't be a service's name: use 1 to 63 of a-z, 0-9 and -")]
    Service(String),
    /// Another daemon holds the lock.
    #[error("{path}: another serin keeps this ledger; stop it, or give this one another evidence.dir")]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
    /// The operating system refuses.
    #[error("{path}: can't {what}: {source}; free or mount the disk, or give another evidence.dir")]
    Io {
        /// What was to be done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A line in the middle isn't what was written.
    #[error(
        "{path}, line {line}: {why}; the ledger was edited or damaged. Move the file away and keep it as evidence; \
         without a ledger nothing is armed until a state was judged good again"
    )]
    Broken {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        why: LineError,
    },
    /// The disk takes nothing, and the memory for lines that wait is full.
    #[error(
        "{path}: {waiting} bytes wait for the disk already, so this line is lost (counted); free the disk"
    )]
    Backlog {
        /// The file.
        path: PathBuf,
        /// Bytes.
        waiting: usize,
    },
}

impl LedgerError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Ledger<D: Disk = Folder> {
    disk: D,
    service: Box<str>,
    naming: Naming,
    echo: Option<Echo>,
    /// Of the next line.
    seq: u64,
    /// SHA-256 of the last line, hexadecimal.
    prev: Box<str>,
    /// Lines that aren't known to be on disk.
    tail: Vec<u8>,
    /// How many bytes of them were written, yet not synced.
    written: usize,
    /// How many bytes of the file are known to be on disk.
    synced: u64,
    /// The last sync.
    synced_at: Mono,
    /// Lines lost since the last one that was staged.
    lost: u64,
    rotate_at: u64,
}

impl Ledger<Folder> {
    /// Opens `<dir>/<service>/ledger.jsonl`, locks it, and reads it back, oldest line first.
    ///
    /// A torn last line (the process or the machine died while writing it, so nothing was done because of it) is moved
    /// to `ledger.torn` with a warning. At most the last two files are read, 64 MiB.
    ///
    /// # Errors
    /// When another daemon holds it, the disk refuses, or a line before the last isn't what was written.
    pub fn open(
        dir: &Path,
        service: &str,
        echo: Option<Echo>,
    ) -> Result<(Self, Vec<(Wall, Record)>), LedgerError> {
        let disk = Folder::open(dir, service)?;
        let past = read::read_back(&disk)?;
        let mut naming = Naming::default();
        for line in &past.lines {
            let _ = naming.take(&line.record, line.mono);
        }
        let mut ledger = Self::on(disk, service, echo);
        ledger.naming = naming;
        ledger.seq = past.next_seq;
        ledger.prev = past.prev;
        ledger.synced = past.length;
        let records = past.lines.into_iter().map(|line| (line.wall, line.record)).collect();
        Ok((ledger, records))
    }
}

impl<D: Disk> Ledger<D> {
    /// An empty ledger on `disk`.
    pub fn on(disk: D, service: &str, echo: Option<Echo>) -> Self {
        Self {
            disk,
            service: service.into(),
            naming: Naming::default(),
            echo,
            seq: 0,
            prev: NO_PREV.into(),
            tail: Vec::new(),
            written: 0,
            synced: 0,
            synced_at: Mono(0),
            lost: 0,
            rotate_at: ROTATE_AT,
        }
    }

    /// Begins a new file beyond so many bytes rather than [`ROTATE_AT`].
    #[must_use]
    pub fn rotating_at(mut self, bytes: u64) -> Self {
        self.rotate_at = bytes;
        self
    }

    /// Writes one line: on disk on return when the record is vital, otherwise within a second of the next.
    ///
    /// # Errors
    /// The disk refuses, and the line is not known to be on it. It waits in memory and goes with the next, unless the
    /// error is [`LedgerError::Backlog`].
    pub fn append(&mut self, now: Mono, wall: Wall, record: &Record) -> Result<(), LedgerError> {
        self.stage(now, wall, record)?;
        self.commit(now, record.is_vital())
    }

    /// Renders a line and echoes it. It goes to disk with the next [`Self::commit`].
    ///
    /// # Errors
    /// [`LedgerError::Backlog`]; the next line that is staged tells how many were lost before it.
    pub fn stage(&mut self, now: Mono, wall: Wall, record: &Record) -> Result<(), LedgerError> {
        let release_id = self.naming.take(record, now);
        let envelope = Envelope {
            seq: self.seq,
            ts: wall,
            mono: now,
            service: self.service.clone(),
            release_id,
            prev: self.prev.clone(),
            lost: self.lost,
        };
        let mut line = render(&envelope, record);
        let max = if record.is_vital() { BACKLOG_MAX } else { BACKLOG_MAX_MINOR };
        if self.tail.len() + line.len() >= max {
            self.lost += 1;
            return Err(LedgerError::Backlog { path: self.disk.path().to_owned(), waiting: self.tail.len() });
        }
        self.prev = digest(&line);
        self.seq += 1;
        self.lost = 0;
        line.push(b'\n');
        self.tail.extend_from_slice(&line);
        if let Some(echo) = &self.echo {
            // A copy that doesn't fit is counted there.
            let _ = echo.line(line);
        }
        Ok(())
    }

    /// Writes what was staged, and syncs it when something vital is among it or the last sync is a second old.
    ///
    /// # Errors
    /// The disk refuses. Everything that isn't known to be on it is kept and written again with the next commit.
    pub fn commit(&mut self, now: Mono, vital: bool) -> Result<(), LedgerError> {
        if self.written < self.tail.len() {
            let at = self.synced + self.written as u64;
            let new = &self.tail[self.written..];
            failpoint::lines(new, "staged");
            failpoint::torn(new, |half| self.disk.write_at(half, at));
            if let Err(source) = self.disk.write_at(new, at) {
                // Readers see whole lines. Should this fail too, the next write goes over the same bytes.
                let _ = self.disk.truncate(at);
                return Err(LedgerError::io("write", self.disk.path())(source));
            }
            failpoint::lines(new, "written");
            self.written = self.tail.len();
        }
        if self.written > 0 && (vital || now.since(self.synced_at) >= SYNC_EVERY) {
            if let Err(source) = self.disk.sync() {
                self.written = 0;
                return Err(LedgerError::io("sync", self.disk.path())(source));
            }
            failpoint::lines(&self.tail, "synced");
            self.synced += self.tail.len() as u64;
            self.synced_at = now;
            self.tail.clear();
            self.tail.shrink_to(64 << 10);
            self.written = 0;
            self.rotate();
        }
        Ok(())
    }

    /// Lines that were lost since the last one that was staged.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Notes that `count` records never got here; the next line tells.
    pub const fn add_lost(&mut self, count: u64) {
        self.lost = self.lost.saturating_add(count);
    }

    /// The sequence number of the next line.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.seq
    }

    /// The disk under it.
    #[must_use]
    pub const fn disk(&self) -> &D {
        &self.disk
    }

    /// Everything is on disk here. A rotation that fails is tried again after the next sync; the file just grows.
    fn rotate(&mut self) {
        if self.synced < self.rotate_at {
            return;
        }
        match self.disk.rotate(self.seq.saturating_sub(1)) {
            Ok(()) => self.synced = 0,
            Err(error) => {
                tracing::warn!(path = %self.disk.path().display(), %error, "can't begin a new ledger file");
            }
        }
    }
}
