//! What couldn't be delivered, on disk until it can be: a folder of files, one a batch.
//!
//! ```text
//! 001700000000123-0000000042-57.gz    when it was made (ms since 1970), its number, how many items are in it
//! ```
//!
//! A batch is written under another name, synced and renamed, so that a file is whole or isn't there; what is neither fails the
//! checksum that gzip ends with, and is skipped. The name tells what is lost by that: opening a folder reads no file.
//!
//! Nothing here is async, and all of it may wait for a disk.

use super::losses::{Reason, Waiting};
use crate::model::time::Wall;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Files are counted as so many bytes or a multiple, which is what they take of most disks.
const BLOCK: u64 = 4_096;
/// No batch is larger: an OTLP export of a thousand URLs is a tenth of it.
const BODY_MAX: u64 = 16 << 20;
/// Who has it locked has the folder.
const LOCK: &str = "lock";
const WHOLE: &str = ".gz";
const BEGUN: &str = ".gz.tmp";

/// Something that is delivered or lost as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// When it was made.
    pub(super) at: Wall,
    /// What it counts as when it is lost.
    pub(super) items: u64,
    pub(super) body: Bytes,
}

/// Where batches are kept, and how much of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) dir: PathBuf,
    pub(super) bytes_max: u64,
    /// What is older is dropped.
    pub(super) age_max: Duration,
}

/// Items that are lost, each with its reason.
pub(super) type Dropped = Vec<(Reason, u64)>;

/// Which batch: the oldest is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    at: i64,
    number: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    items: u64,
    /// In whole blocks.
    bytes: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Spool {
    place: Place,
    entries: BTreeMap<Key, Entry>,
    bytes: u64,
    next: u64,
    /// On its way; it isn't dropped meanwhile.
    out: Option<Key>,
    /// Lost since it was asked for last.
    dropped: Dropped,
    _lock: File,
}

impl Spool {
    /// The spool of `place`, with what an earlier process left. What is half written there is dropped.
    ///
    /// # Errors
    /// The folder can't be made, read or locked.
    pub(super) fn open(place: Place) -> io::Result<Self> {
        fs::create_dir_all(&place.dir)?;
        let lock = File::options().create(true).truncate(false).write(true).open(place.dir.join(LOCK))?;
        lock.try_lock().map_err(io::Error::from)?;
        let mut spool = Self {
            place,
            entries: BTreeMap::new(),
            bytes: 0,
            next: 0,
            out: None,
            dropped: Dropped::new(),
            _lock: lock,
        };
        for file in fs::read_dir(&spool.place.dir)? {
            let file = file?;
            let name = file.file_name();
            let Some((key, items, whole)) = name.to_str().and_then(parse) else { continue };
            spool.next = spool.next.max(key.number + 1);
            if whole {
                spool.insert(key, Entry { items, bytes: blocks(file.metadata()?.len()) });
            } else {
                fs::remove_file(file.path())?;
                spool.dropped.push((Reason::Torn, items));
            }
        }
        // The bound may have become smaller.
        spool.make_room(0)?;
        Ok(spool)
    }

    /// What was lost since this was asked for last.
    pub(super) fn dropped(&mut self) -> Dropped {
        std::mem::take(&mut self.dropped)
    }

    /// Keeps `batch`, in the place of the oldest if there is no other.
    ///
    /// # Errors
    /// The disk doesn't take it, so that it is lost.
    pub(super) fn push(&mut self, batch: &Batch, now: Wall) -> io::Result<()> {
        let kept = self.keep(batch, now);
        if kept.is_err() {
            self.dropped.push((Reason::Disk, batch.items));
        }
        kept
    }

    fn keep(&mut self, batch: &Batch, now: Wall) -> io::Result<()> {
        self.expire(now)?;
        let packed = pack(&batch.body)?;
        let bytes = blocks(packed.len() as u64);
        let fits = batch.body.len() as u64 <= BODY_MAX && bytes <= self.place.bytes_max;
        if fits {
            self.make_room(bytes)?;
        }
        // What is on its way keeps its room.
        if !fits || self.bytes + bytes > self.place.bytes_max {
            self.dropped.push((Reason::SpoolFull, batch.items));
            return Ok(());
        }
        let key = Key { at: batch.at.0.max(0), number: self.next };
        self.next += 1;
        let (begun, whole) = (self.path(key, batch.items, BEGUN), self.path(key, batch.items, WHOLE));
        if let Err(error) = write(&begun, &packed).and_then(|()| fs::rename(&begun, &whole)) {
            // What can't be removed either is found by the next start.
            drop(fs::remove_file(&begun));
            return Err(error);
        }
        self.insert(key, Entry { items: batch.items, bytes });
        // Where a folder can't be synced, a power cut may lose what a killed process doesn't.
        drop(File::open(&self.place.dir).and_then(|folder| folder.sync_all()));
        Ok(())
    }

    /// Reads the oldest batch, which stays until it is [`Self::done`] or [`Self::back`]. One that can't be read is dropped.
    ///
    /// # Errors
    /// What can't be read can't be removed either.
    pub(super) fn take(&mut self, now: Wall) -> io::Result<Option<(Key, Batch)>> {
        self.expire(now)?;
        while let Some((key, entry)) = self.entries.first_key_value().map(|(key, entry)| (*key, *entry)) {
            if let Ok(body) = unpack(&self.path(key, entry.items, WHOLE)) {
                self.out = Some(key);
                return Ok(Some((key, Batch { at: Wall(key.at), items: entry.items, body })));
            }
            self.remove(key)?;
            self.dropped.push((Reason::Torn, entry.items));
        }
        Ok(None)
    }

    /// It was delivered, or is lost: whoever opens the folder next doesn't find it.
    ///
    /// # Errors
    /// It is still there. It isn't taken again by this process.
    pub(super) fn done(&mut self, key: Key) -> io::Result<()> {
        self.out = None;
        let removed = self.remove(key);
        self.forget(key);
        removed
    }

    /// It was not delivered.
    pub(super) fn back(&mut self) {
        self.out = None;
    }

    pub(super) fn waiting(&self) -> Waiting {
        Waiting { batches: self.entries.len() as u64, bytes: self.bytes }
    }

    fn expire(&mut self, now: Wall) -> io::Result<()> {
        let age_max = i64::try_from(self.place.age_max.as_millis()).unwrap_or(i64::MAX);
        let eldest = now.0.saturating_sub(age_max);
        self.drop_while(Reason::TooOld, |_, key| key.at < eldest)
    }

    fn make_room(&mut self, bytes: u64) -> io::Result<()> {
        self.drop_while(Reason::SpoolFull, |spool, _| spool.bytes + bytes > spool.place.bytes_max)
    }

    /// Drops the oldest ones, but for that on its way, while `more` says so.
    fn drop_while(&mut self, reason: Reason, more: impl Fn(&Self, Key) -> bool) -> io::Result<()> {
        let oldest = |spool: &Self| {
            let found = spool.entries.iter().find(|(key, _)| spool.out != Some(**key));
            found.map(|(key, entry)| (*key, entry.items))
        };
        while let Some((key, items)) = oldest(self).filter(|(key, _)| more(self, *key)) {
            self.remove(key)?;
            self.dropped.push((reason, items));
        }
        Ok(())
    }

    fn insert(&mut self, key: Key, entry: Entry) {
        self.bytes += entry.bytes;
        self.entries.insert(key, entry);
    }

    fn remove(&mut self, key: Key) -> io::Result<()> {
        let Some(entry) = self.entries.get(&key) else { return Ok(()) };
        match fs::remove_file(self.path(key, entry.items, WHOLE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => {
                self.forget(key);
                Ok(())
            }
        }
    }

    fn forget(&mut self, key: Key) {
        if let Some(entry) = self.entries.remove(&key) {
            self.bytes -= entry.bytes;
        }
    }

    fn path(&self, key: Key, items: u64, ending: &str) -> PathBuf {
        self.place.dir.join(format!("{:015}-{:010}-{items}{ending}", key.at, key.number))
    }
}

/// Which batch a file is, its items, and whether it is whole; `None` for what isn't ours.
fn parse(name: &str) -> Option<(Key, u64, bool)> {
    let (stem, whole) = match name.strip_suffix(WHOLE) {
        Some(stem) => (stem, true),
        None => (name.strip_suffix(BEGUN)?, false),
    };
    let mut parts = stem.split('-');
    let (at, number, items) = (parts.next()?, parts.next()?, parts.next()?);
    let key = Key { at: at.parse().ok()?, number: number.parse().ok()? };
    (parts.next().is_none()).then_some((key, items.parse().ok()?, whole))
}

const fn blocks(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK) * BLOCK
}

/// The fastest there is: an export shrinks to a fifth by it, the best there is saves a tenth more, and the CPU is the probes'.
fn pack(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(body)?;
    packer.finish()
}

fn unpack(path: &Path) -> io::Result<Bytes> {
    let mut body = Vec::new();
    let read = GzDecoder::new(File::open(path)?).take(BODY_MAX + 1).read_to_end(&mut body)?;
    if read as u64 > BODY_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(body.into())
}

fn write(path: &Path, packed: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(packed)?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
