//! Following a ledger that a running Serin writes, from outside: its file, line by line.

use crate::evidence::ledger::{Envelope, ledger_files, parse};
use crate::model::record::Record;
use crate::model::release::ReleaseId;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

const NAME: &str = "ledger.jsonl";

/// What the ledger said before the drill.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Past {
    /// The configuration that the daemon last began with.
    pub(super) config: Option<Box<str>>,
    /// The newest release.
    pub(super) release: Option<ReleaseId>,
    /// Its records so far.
    pub(super) records: Vec<(Envelope, Record)>,
    /// The same as they stand in the file.
    pub(super) lines: Vec<u8>,
}

impl Past {
    fn take(&mut self, line: &[u8]) {
        let Ok((envelope, record)) = parse(line) else { return };
        let release = match &record {
            Record::Started { config, .. } | Record::Revised { config, .. } => {
                self.config = Some(config.clone());
                None
            }
            Record::Epoch { release, .. } => *release,
            Record::Release { release, .. } => Some(*release),
            _ => None,
        };
        if release.is_some() && release != self.release {
            self.release = release;
            self.records.clear();
            self.lines.clear();
        }
        if self.release.is_some() {
            self.records.push((envelope, record));
            self.lines.extend_from_slice(line);
            self.lines.push(b'\n');
        }
    }
}

/// The end of a ledger.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    file: File,
    /// Whole lines up to here are read.
    at: u64,
    /// Those that were read since it was opened, as they stand in the file.
    pub(super) lines: Vec<u8>,
}

impl Tail {
    /// Reads what is there, at most the last two files, and stands at its end.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Past)> {
        let path = folder.join(NAME);
        let mut past = Past::default();
        for older in ledger_files(folder)?.iter().filter(|file| **file != path).rev().take(1) {
            for line in std::fs::read(older)?.split(|byte| *byte == b'\n') {
                past.take(line);
            }
        }
        let mut tail = Self { file: File::open(&path)?, path, at: 0, lines: Vec::new() };
        let bytes = tail.rest()?;
        bytes.split_inclusive(|byte| *byte == b'\n').for_each(|line| past.take(line.trim_ascii_end()));
        Ok((tail, past))
    }

    /// What was written since the last look. Lines of a version that is newer than this one are kept, and not told.
    pub(super) fn look(&mut self) -> io::Result<Vec<(Envelope, Record)>> {
        let mut bytes = self.rest()?;
        // Put aside and begun anew: the rest of the old one was read through the file that is still open.
        if std::fs::metadata(&self.path).is_ok_and(|now| self.is_another(&now)) {
            bytes.append(&mut self.rest()?);
            (self.file, self.at) = (File::open(&self.path)?, 0);
            bytes.append(&mut self.rest()?);
        }
        self.lines.extend_from_slice(&bytes);
        Ok(bytes.split(|byte| *byte == b'\n').filter_map(|line| parse(line).ok()).collect())
    }

    fn is_another(&self, now: &std::fs::Metadata) -> bool {
        self.file.metadata().is_ok_and(|ours| (ours.dev(), ours.ino()) != (now.dev(), now.ino()))
    }

    /// Whole lines from where it stands. A line is there when its newline is.
    fn rest(&mut self) -> io::Result<Vec<u8>> {
        let length = self.file.metadata()?.len();
        let wanted = usize::try_from(length.saturating_sub(self.at)).map_err(io::Error::other)?;
        let mut bytes = vec![0; wanted];
        let mut read = 0;
        while read < wanted {
            // A line that couldn't be synced may be cut off again.
            match self.file.read_at(&mut bytes[read..], self.at + read as u64)? {
                0 => break,
                count => read += count,
            }
        }
        bytes.truncate(read);
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        bytes.truncate(whole);
        self.at += whole as u64;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::ledger::Ledger;
    use crate::model::time::{Mono, Wall};

    fn stopped(how: &str) -> Record {
        Record::Stopped { how: how.into() }
    }

    #[test]
    fn a_ledger_is_followed_over_a_rotation_and_every_line_is_kept_as_it_is() {
        let dir = tempfile::TempDir::new().unwrap();
        let (ledger, _) = Ledger::open(dir.path(), "shop", None).unwrap();
        let mut ledger = ledger.rotating_at(600);
        let mut write = |record: &Record| ledger.append(Mono(1), Wall(1), record).unwrap();
        write(&Record::Started { version: "1".into(), config: "abc".into(), mode: "act".into() });
        let folder = dir.path().join("shop");
        let (mut tail, past) = Tail::open(&folder).unwrap();
        assert_eq!((past.config.as_deref(), past.release), (Some("abc"), None));
        assert_eq!(tail.look().unwrap(), []);
        let mut seen = Vec::new();
        for number in 0..20 {
            write(&stopped(&number.to_string()));
            seen.extend(tail.look().unwrap());
        }
        assert!(ledger_files(&folder).unwrap().len() > 2, "it was put aside several times");
        let numbers: Vec<u64> = seen.iter().map(|(envelope, _)| envelope.seq).collect();
        assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
        let files = ledger_files(&folder).unwrap();
        let all: Vec<u8> = files.iter().flat_map(|file| std::fs::read(file).unwrap()).collect();
        assert!(all.ends_with(&tail.lines) && tail.lines.len() > 2_000);
    }

    #[test]
    fn a_line_is_there_when_its_newline_is() {
        let dir = tempfile::TempDir::new().unwrap();
        let folder = dir.path().join("shop");
        let (mut ledger, _) = Ledger::open(dir.path(), "shop", None).unwrap();
        ledger.append(Mono(1), Wall(1), &stopped("drained")).unwrap();
        let whole = std::fs::read(folder.join(NAME)).unwrap();
        std::fs::write(folder.join(NAME), &whole[..whole.len() - 5]).unwrap();
        let (mut tail, _) = Tail::open(&folder).unwrap();
        assert_eq!(tail.look().unwrap(), []);
        std::fs::write(folder.join(NAME), &whole).unwrap();
        assert_eq!(tail.look().unwrap().len(), 1);
        assert_eq!(tail.lines, whole);
        assert!(Tail::open(&dir.path().join("nobody")).is_err());
    }

    #[test]
    fn the_past_is_the_newest_release_with_all_its_lines() {
        let recorded = include_bytes!("recorded.jsonl");
        let mut past = Past::default();
        recorded.split(|byte| *byte == b'\n').for_each(|line| past.take(line));
        assert!(past.config.is_some() && past.release.is_some(), "{past:?}");
        assert!(recorded.ends_with(&past.lines) && past.lines.len() < recorded.len());
    }
}
