//! The judge's word, as the groups that serve make it.

use crate::faults::Fault;
use crate::plane::version;
use crate::run::Run;
use crate::world::{BLUE, GREEN};
use serin_model::guard::Event;
use serin_model::judge::{Direct, Judgement};
use serin_model::release::{Baseline, Stage};
use serin_model::verdict::{Evidence, Stream, Verdict, Why, WhyBlind};
use std::collections::BTreeSet;
use std::time::Duration;

impl Run {
    pub(crate) fn judge(&mut self) {
        let Some(stage) = self.stage.clone() else { return };
        let serving = self.plane.serving(self.now);
        let since = self.now.since(stage.since);
        let ill = serving.contains(GREEN) && self.now >= self.broken;
        let old_well = self.plane.targets(BLUE) > 0;
        let new = serving.contains(GREEN) || serving.contains(crate::world::RED);
        let verdict = if self.is_on(Fault::Partition) || ill && stage.release && !old_well {
            Verdict::Blind(WhyBlind::Network)
        } else if ill {
            Verdict::Bad(self.evidence(&stage))
        } else if stage.release && !new {
            Verdict::Inconclusive(Why::NoKnownAnswer)
        } else {
            Verdict::Good
        };
        let versions: BTreeSet<_> = serving.iter().map(|group| version(group).into()).collect();
        let asked = self.plane.targets(BLUE);
        let answers = if asked > 0 && !self.is_on(Fault::Partition) { 20 } else { 0 };
        let judgement = Judgement {
            epoch: stage.epoch,
            at: self.now,
            verdict: verdict.clone(),
            answers: 100,
            bad: 0,
            p95: None,
            good_answers: u64::try_from(since.as_millis() / 50).expect("a short run"),
            settled: if since >= Duration::from_secs(1) { versions.clone() } else { BTreeSet::new() },
            versions,
            first_bad: None,
            direct: Direct {
                answers,
                bad: 0,
                slow: 0,
                addresses_good: asked,
                addresses: asked,
                versions: if answers > 0 { ["v1".into()].into() } else { BTreeSet::new() },
            },
            baseline: Baseline { answers: 1_000, ..Baseline::default() },
            void: (0, 20),
            attained: None,
            doubt: false,
        };
        if self.guard.is_some() {
            self.laws.judged(&verdict);
            self.step(Event::Judged(Box::new(judgement)));
        }
    }

    fn evidence(&self, stage: &Stage) -> Evidence {
        Evidence {
            stream: Stream::Errors,
            scope: "".into(),
            quantile: 9_500,
            answers: 60,
            bad: 60,
            span_ms: 600,
            share_max: 0.001,
            luck_one_in: 1_000_000,
            first_bad: self.broken.max(stage.since),
            last_bad: self.now,
            connections: 4,
            addresses: 2,
            targets: 1,
            window_answers: 100,
            window_p95: None,
            total: true,
        }
    }
}
