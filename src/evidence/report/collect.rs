//! Lines in, one story a release out.

use super::Chain;
use crate::evidence::ledger::{NO_PREV, Naming, digest, parse};
use crate::model::record::Record;
use crate::model::release::{Cause, ReleaseId};
use crate::model::time::{Mono, Wall, nanos};
use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};

/// A longer line is no ledger's.
const LINE_MAX: u64 = 4 << 20;

/// An instant on both clocks, with the run of the daemon that its monotonic one belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) run: u64,
    pub(super) mono: Mono,
    pub(super) wall: Wall,
}

impl Point {
    /// Milliseconds since `origin`; negative before it.
    #[expect(clippy::cast_precision_loss, reason = "a release lasts minutes")]
    pub(super) fn ms_since(self, origin: Self) -> f64 {
        if self.run != origin.run {
            return self.wall.0.saturating_sub(origin.wall.0) as f64;
        }
        let (later, sign) = if self.mono >= origin.mono {
            (self.mono.since(origin.mono), 1.0)
        } else {
            (origin.mono.since(self.mono), -1.0)
        };
        sign * (nanos(later) / 1_000) as f64 / 1_000.0
    }

    /// Another instant of the same run.
    pub(super) fn at(self, mono: Mono) -> Self {
        let millis = |span: std::time::Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        let wall = if mono <= self.mono {
            self.wall.0.saturating_sub(millis(self.mono.since(mono)))
        } else {
            self.wall.0.saturating_add(millis(mono.since(self.mono)))
        };
        Self { run: self.run, mono, wall: Wall(wall) }
    }
}

/// All that belongs to one release.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) service: Box<str>,
    pub(super) id: ReleaseId,
    pub(super) label: Option<Box<str>>,
    pub(super) cutover: Point,
    /// The last read that showed the state before.
    pub(super) before: Point,
    pub(super) records: Vec<(Point, Record)>,
    /// An epoch of something else began before it had ended.
    pub(super) ended: Option<(Point, Cause)>,
    pub(super) chain: Chain,
}

impl Story {
    pub(super) fn name(&self) -> String {
        self.label.as_ref().map_or_else(|| self.id.to_string(), ToString::to_string)
    }

    pub(super) fn is_called(&self, name: &str) -> bool {
        self.label.as_deref() == Some(name) || self.id.to_string() == name
    }
}

/// The ledger of one service.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) stories: Vec<Story>,
    pub(super) chain: Chain,
    naming: Naming,
    run: u64,
    /// The digest and number of the line before.
    last: Option<(Box<str>, u64)>,
}

/// Reads lines of any number of services.
#[derive(Debug, Default)]
pub(super) struct Collector {
    books: BTreeMap<Box<str>, Book>,
    lines: u64,
    skipped: u64,
}

impl Collector {
    /// Reads to the end.
    pub(super) fn read(&mut self, mut lines: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            if (&mut lines).take(LINE_MAX).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            if line.len() as u64 == LINE_MAX && !line.ends_with(b"\n") {
                lines.skip_until(b'\n')?;
            }
            self.lines += 1;
            if self.line(&line).is_none() {
                self.skipped += 1;
            }
        }
    }

    pub(super) fn services(&self) -> Vec<String> {
        self.books.keys().map(ToString::to_string).collect()
    }

    pub(super) const fn lines(&self) -> u64 {
        self.lines
    }

    pub(super) fn take(&mut self, service: &str) -> Option<Book> {
        let mut book = self.books.remove(service)?;
        book.chain.skipped = self.skipped;
        book.chain.intact = book.chain.first_break.is_none();
        Some(book)
    }

    fn line(&mut self, line: &[u8]) -> Option<()> {
        let begin = line.iter().position(|byte| *byte == b'{')?;
        let line = line[begin..].trim_ascii_end();
        let (envelope, record) = parse(line).ok()?;
        let book = self.books.entry(envelope.service.clone()).or_default();
        let begins = envelope.seq == 0 && &*envelope.prev == NO_PREV;
        if begins {
            book.naming = Naming::default();
        } else if let Some((digest, seq)) = &book.last
            && (*digest != envelope.prev || envelope.seq != seq.saturating_add(1))
            && book.chain.first_break.is_none()
        {
            book.chain.first_break = Some(format!(
                "line {} of the input (number {}) doesn't continue number {seq}: something was changed, left out or put in",
                self.lines, envelope.seq
            ));
        }
        book.chain.ledgers += u64::from(begins || book.last.is_none());
        book.chain.lines += 1;
        book.chain.lost = book.chain.lost.saturating_add(envelope.lost);
        book.last = Some((digest(line), envelope.seq));
        book.run += u64::from(matches!(record, Record::Started { .. }));
        let point = Point { run: book.run, mono: envelope.mono, wall: envelope.ts };
        book.record(&envelope.service, point, record);
        Some(())
    }
}

impl Book {
    fn record(&mut self, service: &str, at: Point, record: Record) {
        let release = self.naming.release_of(&record, at.mono);
        self.end_last(at, release, &record);
        let Some(id) = release else { return };
        match &record {
            Record::Release { cutover, .. } => self.begin(service, id, at.at(*cutover)),
            // The beginning of the export may be missing.
            Record::Epoch { since, .. } if self.stories.iter().all(|story| story.id != id) => {
                self.begin(service, id, at.at(*since));
            }
            _ => {}
        }
        let label = self.naming.label_of(id).map(Into::into);
        if let Some(story) = self.stories.iter_mut().rev().find(|story| story.id == id) {
            if let Record::Epoch { after, .. } = &record
                && story.before == story.cutover
            {
                story.before = at.at(*after);
            }
            story.label = label.or_else(|| story.label.take());
            story.records.push((at, record));
        }
    }

    fn begin(&mut self, service: &str, id: ReleaseId, cutover: Point) {
        self.stories.push(Story {
            service: service.into(),
            id,
            label: None,
            cutover,
            before: cutover,
            records: Vec::new(),
            ended: None,
            chain: Chain::default(),
        });
    }

    /// Something else began: the story before has ended, whether or not it was finished.
    fn end_last(&mut self, at: Point, release: Option<ReleaseId>, record: &Record) {
        if let Record::Epoch { cause, .. } = record
            && let Some(story) = self.stories.last_mut()
            && Some(story.id) != release
            && story.ended.is_none()
        {
            story.ended = Some((at, *cause));
        } else if let Record::Release { .. } = record
            && let Some(story) = self.stories.last_mut()
            && story.ended.is_none()
        {
            story.ended = Some((at, Cause::Foreign));
        }
    }
}
