//! The samples on disk: one file a release or epoch, the oldest deleted first, and the thread that writes them.

use super::SampleLine;
use super::keeper::{Batch, Item, Kept, SampleKeeper};
use super::names::Names;
use super::reservoir::Spill;
use crate::model::release::{EpochId, ReleaseId};
use crate::model::target::{TargetId, Versions};
use crate::model::time::{Mono, Wall};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;
use tokio::sync::mpsc::{self, Receiver, Sender};

/// Batches that may wait for the disk.
const WAITING_MAX: usize = 4;

/// What was lost, for metrics.
#[derive(Debug, Default)]
pub struct SampleCounts {
    unwritten: AtomicU64,
    deleted: AtomicU64,
}

impl SampleCounts {
    /// Samples that the disk or its budget didn't take.
    #[must_use]
    pub fn unwritten(&self) -> u64 {
        self.unwritten.load(Ordering::Relaxed)
    }

    /// Sample files that were deleted to keep the budget.
    #[must_use]
    pub fn deleted(&self) -> u64 {
        self.deleted.load(Ordering::Relaxed)
    }
}

/// Writes samples into a service's folder.
#[derive(Debug)]
pub struct SampleWriter {
    folder: PathBuf,
    names: Names,
    /// Of the whole folder, the ledger's files included, bytes.
    max_disk: u64,
    /// What the folder holds, bytes, as of the last look and our writes since.
    used: u64,
    open: Option<(PathBuf, File)>,
    counts: Arc<SampleCounts>,
    failing: bool,
}

impl SampleWriter {
    /// Writes into `<dir>/<service>/`. All files there together stay within `max_disk` bytes; the ledger, which counts
    /// too, is never deleted for it.
    ///
    /// # Errors
    /// The folder can't be made or listed.
    pub fn open(dir: &Path, service: &str, names: Names, max_disk: u64) -> io::Result<Self> {
        let folder = dir.join(service);
        fs::create_dir_all(&folder)?;
        let used = used(&folder)?;
        Ok(Self {
            folder,
            names,
            max_disk,
            used,
            open: None,
            counts: Arc::new(SampleCounts::default()),
            failing: false,
        })
    }

    /// What was lost.
    #[must_use]
    pub fn counts(&self) -> Arc<SampleCounts> {
        self.counts.clone()
    }

    /// Writes one batch. Best effort: what the disk or the budget doesn't take is counted, and told once.
    pub fn write(&mut self, batch: &Batch) {
        if let Some(names) = &batch.names {
            self.names = Names::clone(names);
        }
        let mut items = batch.items.as_slice();
        while let Some(first) = items.first() {
            let file = file_of(first);
            let run = items.iter().take_while(|item| file_of(item) == file).count();
            let (these, rest) = items.split_at(run);
            items = rest;
            let mut bytes = Vec::with_capacity(run * 512);
            for item in these {
                self.render(item, batch, &mut bytes);
            }
            match self.put(&file, &bytes) {
                Ok(true) => self.failing = false,
                Ok(false) => self.lose(run, "the budget evidence.max_disk is used up"),
                Err(error) => self.lose(run, &error.to_string()),
            }
        }
    }

    fn lose(&mut self, samples: usize, why: &str) {
        self.counts.unwritten.fetch_add(samples as u64, Ordering::Relaxed);
        self.open = None;
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(folder = %self.folder.display(), why, "raw samples are not kept (counted); verdicts and ledger go on");
        }
    }

    fn render(&self, item: &Item, batch: &Batch, bytes: &mut Vec<u8>) {
        let line = match item {
            Item::Sample(kept) => serde_json::to_vec(&self.line(kept, batch)),
            Item::Spill(spill, _) => serde_json::to_vec(&serde_json::json!({
                "event": "spill",
                "epoch": spill.epoch,
                "target": self.name(spill.target).1,
                "bad": spill.bad,
                "left_out": spill.left_out,
            })),
        };
        bytes.extend_from_slice(&line.expect("plain fields and string keys can be written to memory"));
        bytes.push(b'\n');
    }

    fn line(&self, kept: &Kept, batch: &Batch) -> SampleLine {
        let (url, target) = self.name(kept.sample.target);
        let mut line = SampleLine::of(&kept.sample, date(kept.sample.due, batch.anchor), url, target);
        line.version = kept.version.as_ref().map(|version| version.0.as_ref().into());
        line.release_id = kept.release.map(|release| match &batch.label {
            Some((named, label)) if *named == release => label.as_ref().into(),
            Some(_) | None => release.to_string().into(),
        });
        line
    }

    fn name(&self, target: TargetId) -> (&str, &str) {
        self.names.0.get(usize::from(target.0)).map_or(("", ""), |(url, name)| (url, name))
    }

    /// False when the budget has no room, even without every older file.
    fn put(&mut self, name: &str, bytes: &[u8]) -> io::Result<bool> {
        let path = self.folder.join(name);
        if self.open.as_ref().is_none_or(|(open, _)| *open != path) {
            // The folder is looked at anew: the ledger grows beside us.
            self.used = used(&self.folder)?;
            self.open = Some((path.clone(), append_to(&path)?));
        }
        let size = bytes.len() as u64;
        if self.used + size > self.max_disk {
            self.used = used(&self.folder)?;
            for old in sample_files(&self.folder)? {
                if self.used + size <= self.max_disk || old == path {
                    break;
                }
                let length = fs::metadata(&old)?.len();
                fs::remove_file(&old)?;
                self.used = self.used.saturating_sub(length);
                self.counts.deleted.fetch_add(1, Ordering::Relaxed);
            }
            if self.used + size > self.max_disk {
                return Ok(false);
            }
        }
        if let Some((_, file)) = &mut self.open {
            file.write_all(bytes)?;
            self.used += size;
        }
        Ok(true)
    }
}

/// `samples-r3.jsonl` for what belongs to a release, `samples-e5.jsonl` for an epoch without one.
fn file_of(item: &Item) -> String {
    let (release, epoch): (Option<ReleaseId>, EpochId) = match item {
        Item::Sample(kept) => (kept.release, kept.sample.epoch),
        Item::Spill(Spill { epoch, .. }, release) => (*release, *epoch),
    };
    release
        .map_or_else(|| format!("samples-e{}.jsonl", epoch.0), |release| format!("samples-{release}.jsonl"))
}

fn date(at: Mono, (mono, wall): (Mono, Wall)) -> Wall {
    let millis = |span: std::time::Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    if at <= mono {
        Wall(wall.0.saturating_sub(millis(mono.since(at))))
    } else {
        Wall(wall.0.saturating_add(millis(at.since(mono))))
    }
}

/// A line that a crash tore must not swallow the next one.
fn append_to(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let length = file.metadata()?.len();
    if length > 0 {
        let mut last = [0];
        file.seek(SeekFrom::Start(length - 1))?;
        file.read_exact(&mut last)?;
        if last != [b'\n'] {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

fn used(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        // A file that went away in between takes no room.
        bytes += entry?.metadata().map_or(0, |data| data.len());
    }
    Ok(bytes)
}

/// The sample files of a service's folder, the one that was written longest ago first.
///
/// # Errors
/// As the operating system says.
pub fn sample_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.strip_prefix("samples-").and_then(|rest| rest.strip_suffix(".jsonl")).is_some() {
            files.push((fs::metadata(&path)?.modified()?, path));
        }
    }
    files.sort_unstable();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// Hands batches to the writer's thread. Never waits.
#[derive(Clone, Debug)]
pub struct SampleHandle {
    batches: Sender<Batch>,
    counts: Arc<SampleCounts>,
}

/// The other end: [`SampleThread::run`] wants a thread.
#[derive(Debug)]
pub struct SampleThread {
    writer: SampleWriter,
    batches: Receiver<Batch>,
}

/// Both ends for `writer`.
#[must_use]
pub fn channel(writer: SampleWriter) -> (SampleHandle, SampleThread) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let counts = writer.counts();
    (SampleHandle { batches: sender, counts }, SampleThread { writer, batches: receiver })
}

impl SampleHandle {
    /// Moves what is due from the keeper to the writer, for as long as there is room; the rest waits in the ring.
    pub fn pump(&self, keeper: &mut SampleKeeper, versions: &Versions, anchor: (Mono, Wall)) {
        while let Ok(room) = self.batches.try_reserve() {
            match keeper.take_due(versions, anchor) {
                Some(batch) => room.send(batch),
                None => return,
            }
        }
    }

    /// What was lost.
    #[must_use]
    pub fn counts(&self) -> &SampleCounts {
        &self.counts
    }
}

impl SampleThread {
    /// Writes until every handle is gone. Blocks: it wants a thread of its own.
    pub fn run(mut self) {
        while let Some(batch) = self.batches.blocking_recv() {
            self.writer.write(&batch);
        }
    }
}
