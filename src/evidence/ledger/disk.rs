//! The folder of a service: the lock, the ledger file and those that were put aside.

use super::LedgerError;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What a ledger asks of its disk: the seam at which tests let it fail.
pub trait Disk {
    /// The file, for messages.
    fn path(&self) -> &Path;
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// As the operating system says; a part may have been written.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// All that was written is on disk on return.
    ///
    /// # Errors
    /// As the operating system says; nothing since the last sync may be taken to be on disk.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file.
    ///
    /// # Errors
    /// As the operating system says.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
    /// Puts the file aside, named after its last line, and begins a new one.
    ///
    /// # Errors
    /// As the operating system says; the old file is still the one that is written.
    fn rotate(&mut self, last_seq: u64) -> io::Result<()>;
}

/// `<dir>/<service>/`, locked for as long as this lives.
#[derive(Debug)]
pub struct Folder {
    home: PathBuf,
    path: PathBuf,
    file: File,
    _lock: File,
}

const NAME: &str = "ledger.jsonl";

impl Folder {
    pub(super) fn open(dir: &Path, service: &str) -> Result<Self, LedgerError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=63).contains(&service.len()) || !service.bytes().all(plain) {
            return Err(LedgerError::Service(service.to_owned()));
        }
        let folder = dir.join(service);
        fs::create_dir_all(&folder).map_err(LedgerError::io("create the folder", &folder))?;
        let lock_path = folder.join("ledger.lock");
        let lock = open_file(&lock_path).map_err(LedgerError::io("open", &lock_path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(LedgerError::InUse { path: lock_path }),
            Err(errno) => return Err(LedgerError::io("lock", &lock_path)(errno.into())),
        }
        let path = folder.join(NAME);
        let file = open_file(&path).map_err(LedgerError::io("open", &path))?;
        sync_folder(&folder).map_err(LedgerError::io("sync", &folder))?;
        Ok(Self { home: folder, path, file, _lock: lock })
    }

    /// The folder itself.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.home
    }

    pub(super) const fn file(&self) -> &File {
        &self.file
    }
}

impl Disk for Folder {
    fn path(&self) -> &Path {
        &self.path
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn rotate(&mut self, last_seq: u64) -> io::Result<()> {
        let aside = self.home.join(format!("ledger.{last_seq:012}.jsonl"));
        fs::rename(&self.path, &aside)?;
        match open_file(&self.path).and_then(|file| sync_folder(&self.home).map(|()| file)) {
            Ok(file) => {
                self.file = file;
                Ok(())
            }
            Err(error) => {
                // The open file is the one that was renamed: its old name comes back.
                fs::rename(&aside, &self.path)?;
                Err(error)
            }
        }
    }
}

/// The ledger's files in a service's folder, oldest first, whether or not a daemon writes there.
///
/// # Errors
/// As the operating system says.
pub fn ledger_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut aside = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_prefix("ledger.").and_then(|rest| rest.strip_suffix(".jsonl"));
        if let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) {
            aside.push((number, path));
        }
    }
    aside.sort_unstable();
    let mut files: Vec<PathBuf> = aside.into_iter().map(|(_, path)| path).collect();
    let newest = folder.join(NAME);
    if newest.exists() {
        files.push(newest);
    }
    Ok(files)
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// A new name is on disk only when its folder is.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
