//! Who keeps evidence: a thread for each ledger, one for each service's raw samples, one for all
//! error budgets, one for the copy on standard output.

use super::spending::Spending;
use crate::clock;
use crate::engine::{Chapter, Keeper};
use crate::evidence::budget::{self, BudgetThread, Writing};
use crate::evidence::ledger::{Echo, EchoThread, Ledger, LedgerError, LedgerHandle, LedgerThread, channel};
use crate::evidence::samples::{
    self, Cutover, Limits, Names, SampleHandle, SampleKeeper, SampleThread, SampleWriter,
};
use crate::model::record::Record;
use crate::model::sample::Sample;
use crate::model::target::Versions;
use crate::model::time::{Span, Wall};
use crate::settings::{EvidenceStore, Service};
use std::io;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

/// Which bad samples stay when there are too many is drawn from this, so that a replay draws the same.
const SEED: u64 = 0x5e21;

/// What one service's steward needs of the evidence, and what the ledger remembers.
pub(super) struct Kept {
    pub(super) ledger: LedgerHandle,
    pub(super) lines: Vec<(Wall, Record)>,
    pub(super) keeper: Box<dyn Keeper>,
    /// For a service that promises availability as a whole.
    pub(super) spending: Option<Spending>,
}

/// Everything that is kept, before its threads run.
pub(super) struct Keeping {
    echo: Option<(Echo, EchoThread)>,
    /// The ledgers are copied to it.
    copies: bool,
    ledgers: Vec<LedgerThread>,
    samples: Vec<SampleThread>,
    budgets: (Writing, BudgetThread),
    /// The disk budget of each service, bytes.
    share: u64,
}

/// The threads of everything that is kept.
pub(super) struct Threads {
    /// Those that write to disk.
    pub(super) disk: Vec<JoinHandle<io::Result<()>>>,
    /// The one that writes to standard output.
    pub(super) copy: Option<JoinHandle<()>>,
}

/// Why evidence can't be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The raw samples.
    #[error("raw samples can't be kept in {dir:?}: {source}; it needs a folder that this user may write to")]
    Samples {
        /// evidence.dir.
        dir: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Raw samples of one service, on the engine's thread.
struct ServiceKeeper {
    keeper: SampleKeeper,
    handle: SampleHandle,
    judge_for: Duration,
}

impl Keeper for ServiceKeeper {
    fn sample(&mut self, sample: &Sample) {
        self.keeper.push(sample);
    }

    fn chapter(&mut self, chapter: Chapter) {
        self.keeper.cutover(Cutover {
            epoch: chapter.epoch,
            release: chapter.release,
            label: chapter.label,
            after: chapter.after,
            since: chapter.since,
            until: chapter.since.after(self.judge_for),
        });
    }

    fn pump(&mut self, versions: &Versions) {
        self.handle.pump(&mut self.keeper, versions, (clock::now(), clock::wall()));
    }

    fn finish(&mut self, versions: &Versions) {
        self.keeper.finish();
        self.pump(versions);
    }
}

impl Keeping {
    /// `lines`: somebody else writes to standard output too.
    pub(super) fn new(store: &EvidenceStore, services: usize, lines: bool) -> Self {
        let share = store.max_disk / u64::try_from(services.max(1)).unwrap_or(1);
        Self {
            echo: (store.stdout || lines).then(Echo::new),
            copies: store.stdout,
            ledgers: Vec::new(),
            samples: Vec::new(),
            budgets: budget::channel(),
            share,
        }
    }

    /// The way to standard output that everybody shares.
    pub(super) fn echo(&self) -> Option<Echo> {
        self.echo.as_ref().map(|(echo, _)| echo.clone())
    }

    /// Opens one service's ledger, and the way of its samples to disk.
    pub(super) fn open(&mut self, store: &EvidenceStore, service: &Service) -> Result<Kept, KeepError> {
        let echo = self.echo().filter(|_| self.copies);
        let (ledger, lines) = Ledger::open(&store.dir, &service.name, echo)?;
        let (handle, thread) = channel(ledger);
        self.ledgers.push(thread);
        let names = service.targets.iter().map(|target| {
            (target.endpoint.url.to_string().into_boxed_str(), target.name.clone().into_boxed_str())
        });
        let writer = SampleWriter::open(&store.dir, &service.name, Names(names.collect()), self.share)
            .map_err(|source| KeepError::Samples { dir: store.dir.clone(), source })?;
        let (samples, thread) = samples::channel(writer);
        self.samples.push(thread);
        // One release may take a quarter of the budget, so that several stay readable.
        let limits =
            Limits { slow: service.judge.objectives.slow_over().map(Span::of), window_bytes: self.share / 4 };
        let keeper = ServiceKeeper {
            keeper: SampleKeeper::new(limits, SEED),
            handle: samples,
            judge_for: service.judge.judge_for,
        };
        let spending = service.judge.objectives.allowed_bad_share().map(|allowed| {
            let (handle, bins) = budget::open(&store.dir, &service.name, &self.budgets.0, clock::wall());
            Spending::new(allowed, handle, &bins)
        });
        Ok(Kept { ledger: handle, lines, keeper: Box::new(keeper), spending })
    }

    /// Starts the threads. They end when every handle is gone; the copy on standard output after all others, and only
    /// if somebody reads it.
    pub(super) fn run(self) -> io::Result<Threads> {
        let mut threads = Vec::new();
        for ledger in self.ledgers {
            threads.push(std::thread::Builder::new().name("ledger".into()).spawn(move || {
                drop(ledger.run());
                Ok(())
            })?);
        }
        for samples in self.samples {
            threads.push(std::thread::Builder::new().name("samples".into()).spawn(move || {
                samples.run();
                Ok(())
            })?);
        }
        // The stewards hold the other ends.
        let (writing, budgets) = self.budgets;
        drop(writing);
        threads.push(std::thread::Builder::new().name("budgets".into()).spawn(move || {
            budgets.run();
            Ok(())
        })?);
        let mut copy = None;
        if let Some((echo, thread)) = self.echo {
            // The ledgers hold the other ends, so the copy ends after the last of them.
            drop(echo);
            copy = Some(
                std::thread::Builder::new()
                    .name("stdout".into())
                    .spawn(move || thread.run(&mut io::stdout()))?,
            );
        }
        Ok(Threads { disk: threads, copy })
    }
}
