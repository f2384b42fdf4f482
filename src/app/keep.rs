//! Who keeps evidence: a thread for each ledger, one for each service's raw samples, one for all
//! error budgets, one for the copy on standard output.

use super::spending::Spending;
use crate::clock;
use crate::engine::{Chapter, Keeper};
use crate::evidence::budget::{self, BudgetThread, Writing};
use crate::evidence::ledger::{Echo, EchoThread, Ledger, LedgerError, LedgerHandle, LedgerThread, channel};
use crate::evidence::samples::{
    self, Cutover, Limits, Numbers, SampleHandle, SampleKeeper, SampleThread, SampleWriter,
};
use crate::model::record::Record;
use crate::model::sample::Sample;
use crate::model::target::Versions;
use crate::model::time::{Span, Wall};
use crate::settings::{EvidenceStore, Service};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
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

/// Everything that is kept, and the threads that keep it.
pub(super) struct Keeping {
    echo: Option<Echo>,
    /// The ledgers are copied to it.
    copies: bool,
    writing: Writing,
    /// The disk budget of each service, bytes.
    share: u64,
    /// Those that don't run yet.
    waiting: Waiting,
    /// Those that run: of each service,
    running: BTreeMap<Arc<str>, Vec<Running>>,
    /// and of all.
    budgets: Option<Running>,
    copy: Option<JoinHandle<()>>,
}

/// A thread that writes to disk.
pub(super) type Running = JoinHandle<io::Result<()>>;

/// Threads that don't run yet.
#[derive(Default)]
struct Waiting {
    services: Vec<(Arc<str>, LedgerThread, SampleThread)>,
    budgets: Option<BudgetThread>,
    echo: Option<EchoThread>,
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
    numbers: Numbers,
    keeper: SampleKeeper,
    handle: SampleHandle,
    judge_for: Duration,
}

impl Keeper for ServiceKeeper {
    fn sample(&mut self, sample: &Sample) {
        self.keeper.push(&Sample { target: self.numbers.of(sample.target), ..sample.clone() });
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

    fn revise(&mut self, service: &Service) {
        let more = self.numbers.revise(names(service));
        let names = more.then(|| Arc::new(self.numbers.names().clone()));
        self.keeper.revise(names, service.judge.objectives.slow_over().map(Span::of));
        self.judge_for = service.judge.judge_for;
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
        let (echo, echo_thread) = (store.stdout || lines).then(Echo::new).unzip();
        let (writing, budgets) = budget::channel();
        Self {
            echo,
            copies: store.stdout,
            writing,
            share,
            waiting: Waiting { services: Vec::new(), budgets: Some(budgets), echo: echo_thread },
            running: BTreeMap::new(),
            budgets: None,
            copy: None,
        }
    }

    /// The way to standard output that everybody shares.
    pub(super) fn echo(&self) -> Option<Echo> {
        self.echo.clone()
    }

    /// Opens one service's ledger, and the way of its samples to disk. Its threads run with the next [`Self::run`].
    pub(super) fn open(&mut self, store: &EvidenceStore, service: &Service) -> Result<Kept, KeepError> {
        let echo = self.echo().filter(|_| self.copies);
        let (ledger, lines) = Ledger::open(&store.dir, &service.name, echo)?;
        let (handle, ledger_thread) = channel(ledger);
        let mut numbers = Numbers::default();
        numbers.revise(names(service));
        let writer = SampleWriter::open(&store.dir, &service.name, numbers.names().clone(), self.share)
            .map_err(|source| KeepError::Samples { dir: store.dir.clone(), source })?;
        let (samples, samples_thread) = samples::channel(writer);
        self.waiting.services.push((service.name.as_str().into(), ledger_thread, samples_thread));
        // One release may take a quarter of the budget, so that several stay readable.
        let limits =
            Limits { slow: service.judge.objectives.slow_over().map(Span::of), window_bytes: self.share / 4 };
        let keeper = ServiceKeeper {
            numbers,
            keeper: SampleKeeper::new(limits, SEED),
            handle: samples,
            judge_for: service.judge.judge_for,
        };
        let spending = self.spending(store, service);
        Ok(Kept { ledger: handle, lines, keeper: Box::new(keeper), spending })
    }

    /// The error budget of a service that promises availability as a whole, as it was kept. Its ledger is open.
    pub(super) fn spending(&self, store: &EvidenceStore, service: &Service) -> Option<Spending> {
        let allowed = service.judge.objectives.allowed_bad_share()?;
        let (handle, bins) = budget::open(&store.dir, &service.name, &self.writing, clock::wall());
        Some(Spending::new(allowed, handle, &bins))
    }

    /// Starts the threads that don't run yet.
    pub(super) fn run(&mut self) -> io::Result<()> {
        let Waiting { services, budgets, echo } = std::mem::take(&mut self.waiting);
        for (service, ledger, samples) in services {
            let ledger = thread("ledger", move || drop(ledger.run()))?;
            let samples = thread("samples", move || samples.run())?;
            self.running.insert(service, vec![ledger, samples]);
        }
        if let Some(budgets) = budgets {
            self.budgets = Some(thread("budgets", move || budgets.run())?);
        }
        if let Some(echo) = echo {
            let run = move || echo.run(&mut io::stdout());
            self.copy = Some(std::thread::Builder::new().name("stdout".into()).spawn(run)?);
        }
        Ok(())
    }

    /// The threads of a service that is over: they end when its handles are gone.
    pub(super) fn left(&mut self, service: &str) -> Vec<Running> {
        self.running.remove(service).unwrap_or_default()
    }

    /// All threads that write to disk, which end when all handles are gone, and the one that copies to standard output, which ends after
    /// them, and only if somebody reads it.
    pub(super) fn finish(self) -> (Vec<Running>, Option<JoinHandle<()>>) {
        let disk = self.running.into_values().flatten().chain(self.budgets).collect();
        (disk, self.copy)
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<Running> {
    std::thread::Builder::new().name(name.into()).spawn(move || {
        work();
        Ok(())
    })
}

/// URL and name of its targets.
fn names(service: &Service) -> impl Iterator<Item = (Box<str>, Box<str>)> {
    service.targets.iter().map(|target| {
        (target.endpoint.url.to_string().into_boxed_str(), target.name.clone().into_boxed_str())
    })
}
