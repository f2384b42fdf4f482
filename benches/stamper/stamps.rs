//! The stamps in memory, and their file.

use serde::Serialize;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// All that was seen. Instants are nanoseconds of `CLOCK_MONOTONIC`.
pub(crate) struct Stamps {
    arrived: Vec<u64>,
    answered: Vec<u64>,
    paths: Vec<u32>,
    connections: Vec<u32>,
    used: usize,
    pub(crate) told: Told,
}

/// The first line of the file, as JSON; the columns follow it: `arrived` and `answered` (u64), `path` and `connection`
/// (u32), each of `count` little-endian numbers. An `answered` of 0 was never answered.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Told {
    /// The stamps in the file.
    pub(crate) count: usize,
    /// Arrivals that found no room.
    pub(crate) overflow: u64,
    /// The first arrival and the last, with room or without.
    pub(crate) span: (u64, u64),
    /// Connections accepted.
    pub(crate) accepted: u64,
    /// TLS handshakes with a certificate.
    pub(crate) full: u64,
    /// TLS handshakes without.
    pub(crate) resumed: u64,
    /// From when to when nothing was answered.
    pub(crate) stalls: Vec<(u64, u64)>,
    /// From when to when every answer was a 500.
    pub(crate) outages: Vec<(u64, u64)>,
}

impl Stamps {
    /// Room for `capacity` stamps, touched at once so that no page fault comes later.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            arrived: vec![u64::MAX; capacity],
            answered: vec![u64::MAX; capacity],
            paths: vec![u32::MAX; capacity],
            connections: vec![u32::MAX; capacity],
            used: 0,
            told: Told::default(),
        }
    }

    /// Notes an arrival; the number is for [`Self::answered`].
    pub(crate) fn arrived(&mut self, at: u64, path: u32, connection: u32) -> usize {
        let index = self.used;
        if self.told.span.0 == 0 {
            self.told.span.0 = at;
        }
        self.told.span.1 = at;
        if index == self.arrived.len() {
            self.told.overflow += 1;
            return usize::MAX;
        }
        self.arrived[index] = at;
        self.answered[index] = 0;
        self.paths[index] = path;
        self.connections[index] = connection;
        self.used += 1;
        index
    }

    /// Notes that the answer was written.
    pub(crate) fn answered(&mut self, index: usize, at: u64) {
        if let Some(stamp) = self.answered.get_mut(index) {
            *stamp = at;
        }
    }

    /// Writes the file.
    pub(crate) fn write(&mut self, path: &Path) -> io::Result<()> {
        self.told.count = self.used;
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        serde_json::to_writer(&mut file, &self.told)?;
        file.write_all(b"\n")?;
        for column in [&self.arrived, &self.answered] {
            column[..self.used].iter().try_for_each(|value| file.write_all(&value.to_le_bytes()))?;
        }
        for column in [&self.paths, &self.connections] {
            column[..self.used].iter().try_for_each(|value| file.write_all(&value.to_le_bytes()))?;
        }
        file.flush()
    }
}
