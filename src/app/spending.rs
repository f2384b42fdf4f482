//! One service's error budget in the running daemon: fed with its seconds, shown, and kept over a restart.

use crate::clock;
use crate::evidence::budget::BudgetHandle;
use crate::model::budget::{Bin, BudgetFigures, ErrorBudget};
use crate::model::delta::Second;
use crate::model::time::Mono;
use std::time::Duration;

/// It is written at most so often.
const KEEP_EVERY: Duration = Duration::from_mins(1);

/// See the module.
pub(super) struct Spending {
    budget: ErrorBudget,
    /// `None`: its file can't be used.
    handle: Option<BudgetHandle>,
    kept: Mono,
    changed: bool,
}

impl Spending {
    /// Goes on from `bins`; `allowed` is the share of answers that may be bad.
    pub(super) fn new(allowed: f64, handle: Option<BudgetHandle>, bins: &[Bin]) -> Self {
        let (now, wall) = (clock::now(), clock::wall());
        Self { budget: ErrorBudget::restored(allowed, bins, now, wall), handle, kept: now, changed: false }
    }

    /// Takes one second of the engine's. A snapshot of at most 721 hours is handed over once a minute, and never waited for.
    pub(super) fn take(&mut self, second: &Second) {
        let now = clock::now();
        self.budget.take(second, now, clock::wall());
        self.changed = true;
        if now.since(self.kept) >= KEEP_EVERY {
            self.kept = now;
            self.keep();
        }
    }

    /// Another share may be bad from now on; what was bad stays.
    pub(super) const fn allow(&mut self, allowed: f64) {
        self.budget.allow(allowed);
    }

    /// How it stands.
    pub(super) fn figures(&self) -> BudgetFigures {
        self.budget.figures(clock::wall())
    }

    /// Hands over what isn't kept yet.
    pub(super) fn keep(&mut self) {
        if let Some(handle) = self.handle.as_ref().filter(|_| self.changed) {
            self.changed = !handle.keep(self.budget.bins().collect(), clock::wall());
        }
    }
}
