//! Which series there are: they begin with their service and its URLs, and end with them.

use super::super::labels::Labels;
use super::super::names::{self, Metric, NAMES};
use super::super::versions::Versions;
use super::{Figures, flag, human_reasons, purpose};
use crate::model::guard::PageKind;
use crate::model::sample::Purpose;
use crate::model::time::Wall;
use crate::model::verdict::WhyBlind;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Figures {
    /// A service is watched from now on.
    pub(super) fn open(&mut self, service: &Arc<str>, targets: &Arc<[Arc<str>]>) {
        self.targets.insert(Arc::clone(service), Arc::clone(targets));
        self.versions.insert(Arc::clone(service), Versions::default());
        self.open_targets(service, targets);
        self.count(Metric::Breaches, &[service], 0);
        for outcome in names::REVERTS {
            self.count(Metric::Reverts, &[service, outcome], 0);
        }
        for outcome in names::WRITES {
            self.count(Metric::Writes, &[service, outcome], 0);
        }
        for kind in PageKind::ALL {
            self.count(Metric::Pages, &[service, kind.name()], 0);
        }
        for reason in names::CONDITIONS.into_iter().chain(names::REFUSALS) {
            self.count(Metric::Refusals, &[service, reason], 0);
        }
        for reason in human_reasons() {
            self.level(Metric::NeedsHuman, &[service, reason], 0.0);
        }
        for why in WhyBlind::ALL {
            self.level(Metric::Blind, &[service, why.name()], 0.0);
        }
    }

    fn open_targets(&mut self, service: &Arc<str>, targets: &[Arc<str>]) {
        let production = purpose(Purpose::Production);
        for target in targets {
            self.count(Metric::Attempts, &[service, target, production], 0);
            self.count(Metric::Void, &[service, target], 0);
            for reason in names::reasons() {
                self.count(Metric::Failures, &[service, target, production, reason], 0);
            }
            for class in names::CLASSES {
                self.count(Metric::Answers, &[service, target, class], 0);
            }
        }
    }

    /// These are its URLs from now on: what is known of others ends.
    pub(super) fn retarget(&mut self, service: &Arc<str>, targets: &Arc<[Arc<str>]>) {
        let Some(known) = self.targets.get(service) else {
            self.open(service, targets);
            return;
        };
        if Arc::ptr_eq(known, targets) {
            return;
        }
        let known = Arc::clone(known);
        self.targets.insert(Arc::clone(service), Arc::clone(targets));
        let (old, new): (BTreeSet<&str>, BTreeSet<&str>) =
            (known.iter().map(|name| &**name).collect(), targets.iter().map(|name| &**name).collect());
        let gone: BTreeSet<&str> = old.difference(&new).copied().collect();
        if !gone.is_empty() {
            self.end(|labels| {
                let mut labels = labels.values();
                labels.next() == Some(service) && labels.next().is_some_and(|target| gone.contains(target))
            });
        }
        let begun: Vec<Arc<str>> = targets.iter().filter(|name| !old.contains(&***name)).cloned().collect();
        self.open_targets(service, &begun);
    }

    /// It isn't watched any more.
    pub(super) fn close(&mut self, service: &Arc<str>) {
        for metric in NAMES.iter().filter(|name| name.labels.first() == Some(&names::SERVICE)) {
            self.forget(metric.metric, service);
        }
        self.targets.remove(service);
        self.versions.remove(service);
        self.aliases.close(service);
        for heard in &mut self.heard {
            heard.remove(service);
        }
    }

    /// The configuration was read.
    pub(super) fn reloaded(&mut self, at: Wall, taken: bool) {
        self.level(Metric::Reloaded, &[], flag(taken));
        if taken {
            #[expect(clippy::cast_precision_loss, reason = "a time of this century")]
            self.level(Metric::ReloadedAt, &[], at.0 as f64 / 1_000.0);
        }
    }

    /// `observe` or `act`.
    pub(super) fn mode(&mut self, service: &Arc<str>, mode: &str) {
        for each in ["observe", "act"] {
            self.level(Metric::Mode, &[service, each], flag(mode == each));
        }
    }

    /// Ends those series of URLs for which `is_gone` says so.
    fn end(&mut self, is_gone: impl Fn(&Labels) -> bool) {
        for name in NAMES.iter().filter(|name| name.labels.get(1) == Some(&names::TARGET)) {
            self.series[name.metric as usize].retain(|labels, _| !is_gone(labels));
        }
    }
}
