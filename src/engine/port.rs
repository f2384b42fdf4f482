//! The channels between one service's engine and whoever steers it.

use super::connect::Dialer;
use crate::model::delta::Second;
use crate::model::guard::{Aim, Cadence, OpId, Proof};
use crate::model::judge::{Judgement, Notice};
use crate::model::release::{EpochId, ReleaseId, Stage};
use crate::model::sample::Sample;
use crate::model::target::Versions;
use crate::model::time::Mono;
use crate::model::trace::Traced;
use crate::settings::Service;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// What the engine is asked to do for one service.
#[derive(Debug)]
pub enum Order {
    /// Judge a new epoch.
    Open(Stage),
    /// Probe at this pace.
    Pace(Cadence),
    /// Ask these registered targets directly (`http://address:port` or `https://…`).
    Ask(BTreeSet<Box<str>>),
    /// Prove it with fresh connections.
    Verify(OpId, Aim),
    /// The ledger has a new epoch.
    Keep(Chapter),
    /// Go by another configuration.
    Revise(Box<Revision>),
}

/// A service's configuration that was read anew.
pub struct Revision {
    /// Of the same service, steered the same.
    pub settings: Service,
    /// For its connections. Nobody asks it before the engine's thread has it.
    dialer: Mutex<Dialer>,
}

impl Revision {
    /// To go by `settings`, with connections of `dialer`.
    #[must_use]
    pub const fn new(settings: Service, dialer: Dialer) -> Self {
        Self { settings, dialer: Mutex::new(dialer) }
    }

    pub(super) fn into_parts(self) -> (Service, Dialer) {
        (self.settings, self.dialer.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revision").field("config", &self.settings.content_hash).finish_non_exhaustive()
    }
}

/// An epoch as whoever keeps raw samples must know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chapter {
    /// Its number.
    pub epoch: EpochId,
    /// Its release, while that is under judgement or held.
    pub release: Option<ReleaseId>,
    /// What the pipeline calls that release.
    pub label: Option<Box<str>>,
    /// The last read that showed the previous state.
    pub after: Mono,
    /// The first that showed this one.
    pub since: Mono,
}

/// Takes raw samples on the engine's thread, so it must never wait.
pub trait Keeper: Send {
    /// A sample has ended.
    fn sample(&mut self, sample: &Sample);
    /// A new epoch began.
    fn chapter(&mut self, chapter: Chapter);
    /// Hands on what is due.
    fn pump(&mut self, versions: &Versions);
    /// The configuration is another one from now on.
    fn revise(&mut self, settings: &Service);
    /// The engine stops.
    fn finish(&mut self, versions: &Versions);
}

/// What the engine tells of one service.
#[derive(Debug)]
pub enum Finding {
    /// The judge's word.
    Judged(Box<Judgement>),
    /// Something that deserves a look at the listener.
    Notice(Notice),
    /// A probe that is worth a span.
    Traced(Box<Traced>),
    /// One second of figures.
    Second(Arc<Second>),
    /// The proof came, or not.
    Proof(OpId, Proof),
    /// The first probe was sent.
    Started,
}

/// The two ends of a service's channels that belong to the engine.
pub struct Port {
    /// Orders; their end stops the service.
    pub orders: mpsc::Receiver<Order>,
    /// Findings; what doesn't fit is dropped and counted.
    pub findings: mpsc::Sender<Finding>,
    /// Who keeps raw samples.
    pub keeper: Box<dyn Keeper>,
}
