//! The judge's word, as the world makes it.

use crate::world::World;
use serin_model::guard::Event;
use serin_model::judge::{Direct, Judgement};
use serin_model::release::{Baseline, EpochId};
use serin_model::target::Version;
use serin_model::verdict::{Evidence, Stream, Verdict, Why, WhyBlind};
use std::collections::BTreeSet;
use std::time::Duration;

impl World {
    /// The truth, or `None` while nothing is judged.
    pub(crate) fn truth(&self, index: usize) -> Option<Event> {
        let (epoch, release) = self.actors[index].stage?;
        let new = self.listener.serving().iter().any(|group| *group != "b");
        let verdict = if self.ill() && release && !self.blue_well {
            Verdict::Blind(WhyBlind::Network)
        } else if self.ill() {
            Verdict::Bad(self.evidence())
        } else if release && !new {
            Verdict::Inconclusive(Why::NoKnownAnswer)
        } else {
            Verdict::Good
        };
        Some(self.judgement(epoch, verdict))
    }

    /// A word that takes back what was said, whatever users see.
    pub(crate) fn doubt(&self, index: usize) -> Option<Event> {
        let (epoch, _) = self.actors[index].stage?;
        Some(self.judgement(epoch, Verdict::Inconclusive(Why::NoKnownAnswer)))
    }

    fn judgement(&self, epoch: EpochId, verdict: Verdict) -> Event {
        let version = |group: &&str| {
            Version::from(match *group {
                "b" => "v1",
                "g" => "v2",
                _ => "v3",
            })
        };
        let versions: BTreeSet<Version> = self.listener.serving().iter().map(version).collect();
        let answers = if self.blue_well { 20 } else { 0 };
        let asked: BTreeSet<Version> =
            if self.blue_well { [Version::from("v1")].into() } else { BTreeSet::new() };
        Event::Judged(Box::new(Judgement {
            epoch,
            at: self.now,
            verdict,
            answers: 100,
            bad: 0,
            p95: None,
            good_answers: 1_000,
            settled: versions.clone(),
            versions,
            first_bad: None,
            direct: Direct {
                answers,
                bad: 0,
                slow: 0,
                addresses_good: answers.min(1),
                addresses: 1,
                versions: asked,
            },
            baseline: Baseline { answers: 1_000, ..Baseline::default() },
            void: (0, 20),
            attained: None,
            doubt: false,
        }))
    }

    fn evidence(&self) -> Evidence {
        Evidence {
            stream: Stream::Errors,
            scope: "".into(),
            quantile: 9_500,
            answers: 60,
            bad: 60,
            span_ms: 600,
            share_max: 0.001,
            luck_one_in: 1_000_000,
            first_bad: self.now.before(Duration::from_millis(600)),
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
