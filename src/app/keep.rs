//! The threads that keep evidence: one for each ledger, one for the copy on standard output.

use crate::evidence::ledger::{Echo, EchoThread, Ledger, LedgerError, LedgerHandle, LedgerThread, channel};
use crate::model::record::Record;
use crate::model::time::Wall;
use crate::settings::EvidenceStore;
use std::io;
use std::thread::JoinHandle;

/// What one service's steward needs of the evidence, and what the ledger remembers.
pub(super) struct Kept {
    pub(super) ledger: LedgerHandle,
    pub(super) lines: Vec<(Wall, Record)>,
}

/// Everything that is kept, before its threads run.
pub(super) struct Keeping {
    echo: Option<(Echo, EchoThread)>,
    ledgers: Vec<LedgerThread>,
}

impl Keeping {
    pub(super) fn new(store: &EvidenceStore) -> Self {
        Self { echo: store.stdout.then(Echo::new), ledgers: Vec::new() }
    }

    /// Opens one service's ledger.
    pub(super) fn open(&mut self, store: &EvidenceStore, service: &str) -> Result<Kept, LedgerError> {
        let echo = self.echo.as_ref().map(|(echo, _)| echo.clone());
        let (ledger, lines) = Ledger::open(&store.dir, service, echo)?;
        let (handle, thread) = channel(ledger);
        self.ledgers.push(thread);
        Ok(Kept { ledger: handle, lines })
    }

    /// Starts the threads. They end when every handle is gone.
    pub(super) fn run(self) -> io::Result<Vec<JoinHandle<io::Result<()>>>> {
        let mut threads = Vec::new();
        for ledger in self.ledgers {
            threads.push(std::thread::Builder::new().name("ledger".into()).spawn(move || {
                drop(ledger.run());
                Ok(())
            })?);
        }
        if let Some((echo, thread)) = self.echo {
            // The ledgers hold the other ends, so the copy ends after the last of them.
            drop(echo);
            threads.push(std::thread::Builder::new().name("stdout".into()).spawn(move || {
                thread.run(&mut io::stdout());
                Ok(())
            })?);
        }
        Ok(threads)
    }
}
