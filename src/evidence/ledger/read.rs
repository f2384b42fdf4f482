//! Reading a ledger back: what was whole is kept, a torn tail is moved aside, anything else is refused.

use super::disk::{Disk, Folder, ledger_files, sync_folder};
use super::line::{Line, LineError, NO_PREV, digest, parse};
use super::{LedgerError, ROTATE_AT};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// The most that is read of one file. Larger than any that we let grow, because the last sync may overshoot.
const FILE_MAX: u64 = 2 * ROTATE_AT;

/// What a ledger remembers.
#[derive(Debug)]
pub(super) struct Past {
    /// Oldest first.
    pub(super) lines: Vec<Line>,
    /// Of the next line.
    pub(super) next_seq: u64,
    /// SHA-256 of the last line.
    pub(super) prev: Box<str>,
    /// Of the newest file, bytes, all whole lines.
    pub(super) length: u64,
}

/// Reads the last two files, and mends a torn tail of the last.
pub(super) fn read_back(disk: &Folder) -> Result<Past, LedgerError> {
    let files = ledger_files(disk.folder()).map_err(LedgerError::io("list", disk.folder()))?;
    let mut past = Past { lines: Vec::new(), next_seq: 0, prev: NO_PREV.into(), length: 0 };
    let mut begun = files.len() <= 2;
    for path in files.iter().rev().take(2).rev() {
        let newest = path == disk.path();
        let (bytes, skipped) = read_tail(path).map_err(LedgerError::io("read", path))?;
        begun &= skipped == 0;
        let whole = take_lines(path, &bytes, newest, begun, &mut past)?;
        begun = true;
        if newest {
            past.length = skipped + whole as u64;
            if whole < bytes.len() {
                move_aside(disk, &bytes[whole..], past.length)?;
            }
        }
    }
    Ok(past)
}

/// The newest bytes of a file from the beginning of a line, and how many were left out.
fn read_tail(path: &Path) -> io::Result<(Vec<u8>, u64)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let skipped = length.saturating_sub(FILE_MAX);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes)?;
    if skipped == 0 {
        return Ok((bytes, 0));
    }
    let cut = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
    bytes.drain(..cut);
    Ok((bytes, skipped + cut as u64))
}

/// Reads whole lines and says how many bytes they are. `begun` says that the line before the first is known.
fn take_lines(
    path: &Path,
    bytes: &[u8],
    newest: bool,
    begun: bool,
    past: &mut Past,
) -> Result<usize, LedgerError> {
    let mut known = begun;
    let mut at = 0;
    let mut number = 0;
    while at < bytes.len() {
        number += 1;
        let end = bytes[at..].iter().position(|byte| *byte == b'\n').map(|length| at + length);
        let broken = |why| LedgerError::Broken { path: path.to_owned(), line: number, why };
        let is_last = end.is_none_or(|end| end + 1 == bytes.len());
        let Some(end) = end else {
            // Nothing was ever done because of a line whose newline isn't there: the sync had not come back.
            return if newest { Ok(at) } else { Err(broken(LineError::NotJson)) };
        };
        let line = &bytes[at..end];
        let (envelope, record) = match parse(line) {
            Ok(parsed) => parsed,
            Err(LineError::NotJson) if newest && is_last => return Ok(at),
            Err(why) => return Err(broken(why)),
        };
        if known && envelope.prev != past.prev {
            let found = envelope.prev.into();
            return Err(broken(LineError::Chain { found, expected: past.prev.as_ref().to_owned() }));
        }
        if known && envelope.seq != past.next_seq {
            return Err(broken(LineError::Sequence { found: envelope.seq, expected: past.next_seq }));
        }
        known = true;
        past.next_seq = envelope.seq.saturating_add(1);
        past.prev = digest(line);
        past.lines.push(Line {
            seq: envelope.seq,
            wall: envelope.ts,
            mono: envelope.mono,
            release_id: envelope.release_id,
            record,
        });
        at = end + 1;
    }
    Ok(at)
}

/// The torn bytes go to `ledger.torn` first, then they leave the ledger.
fn move_aside(disk: &Folder, torn: &[u8], length: u64) -> Result<(), LedgerError> {
    let path = disk.folder().join("ledger.torn");
    let keep = || {
        let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
        file.write_all(torn)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        sync_folder(disk.folder())
    };
    keep().map_err(LedgerError::io("keep a torn line in", &path))?;
    let cut = || {
        disk.file().set_len(length)?;
        disk.file().sync_all()
    };
    cut().map_err(LedgerError::io("cut a torn line off", disk.path()))?;
    tracing::warn!(
        ledger = %disk.path().display(),
        kept = %path.display(),
        bytes = torn.len(),
        "the last line of the ledger was torn; it justified nothing, and was moved aside"
    );
    Ok(())
}
