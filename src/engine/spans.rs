//! Which probes are told of as spans: those that failed by the target's doing, and those that were drawn, until there are too many.

use super::exchange::Ask;
use super::pacer::Told;
use crate::model::sample::{Outcome, Purpose, Sample, Taint};
use crate::model::trace::{Trace, Traced};

/// A second at most: a target that is down must not fill anybody's tracing bill.
const MAX: u32 = 20;

/// What one service has told in this second.
#[derive(Debug, Default)]
pub(super) struct Spans {
    told: u32,
    /// Those since the last one that was told, of which nothing was.
    untold: u32,
}

impl Spans {
    /// A new second.
    pub(super) fn begin(&mut self) {
        self.told = 0;
    }

    /// The span of a probe that is worth one.
    pub(super) fn of(&mut self, ask: &Ask, sample: &Sample, answer: Told<'_>) -> Option<Traced> {
        let failed = matches!(sample.outcome, Outcome::Bad(_));
        if sample.purpose == Purpose::Control || sample.taint != Taint::Clean {
            return None;
        }
        // Most probes are good, and none of those is looked at where none is drawn.
        if !(failed || ask.samples() && sample.outcome == Outcome::Ok) {
            return None;
        }
        let trace = ask.trace(sample.purpose, sample.target, sample.due)?;
        if !failed && !trace.sampled {
            return None;
        }
        if self.told >= MAX {
            self.untold = self.untold.saturating_add(1);
            return None;
        }
        self.told += 1;
        Some(traced(ask, trace, sample, answer, std::mem::take(&mut self.untold)))
    }
}

fn traced(ask: &Ask, trace: Trace, sample: &Sample, answer: Told<'_>, untold: u32) -> Traced {
    let target = &ask.target;
    let url = target.endpoint.url.to_string();
    Traced {
        trace,
        sample: sample.clone(),
        target: target.name.as_str().into(),
        method: target.method.as_str().into(),
        url: url.split(['?', '#']).next().unwrap_or_default().into(),
        version: answer.version.map(|version| version.as_ref().into()),
        link: answer.link,
        untold,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::release::EpochId;
    use crate::model::sample::{Fault, Ours, Phases};
    use crate::model::target::{TargetId, VersionId};
    use crate::model::time::Mono;
    use crate::model::trace::Tracing;
    use crate::settings::Target;
    use std::rc::Rc;

    fn sample(due: u64, outcome: Outcome) -> Sample {
        Sample {
            due: Mono(due),
            planned: Mono(due),
            phases: Phases::default(),
            target: TargetId(0),
            conn: 0,
            epoch: EpochId(1),
            addr: 0,
            version: VersionId::NONE,
            status: 200,
            purpose: Purpose::Production,
            taint: Taint::Clean,
            outcome,
            told_slow: false,
        }
    }

    fn ask(share: f64) -> Ask {
        let target = Target::plain("http://127.0.0.1:1/a?token=hidden").unwrap();
        Ask::traced(Rc::new(target), Tracing::new(7, share))
    }

    const BAD: Outcome = Outcome::Bad(Fault::Status);

    #[test]
    fn what_failed_by_the_targets_doing_or_was_drawn_is_told() {
        let told =
            |share: f64, sample: &Sample| Spans::default().of(&ask(share), sample, Told::default()).is_some();
        assert!(told(0.0, &sample(1, BAD)));
        assert!(!told(0.0, &sample(1, Outcome::Ok)) && told(1.0, &sample(1, Outcome::Ok)));
        for outcome in [Outcome::Saturated, Outcome::Missed(Ours::Late), Outcome::Failed(Ours::Library)] {
            assert!(!told(1.0, &sample(1, outcome)), "{outcome:?} was sent to nobody, or is ours");
        }
        assert!(!told(1.0, &Sample { taint: Taint::Late, ..sample(1, BAD) }));
        assert!(!told(1.0, &Sample { purpose: Purpose::Control, ..sample(1, BAD) }));
        assert!(told(0.0, &Sample { purpose: Purpose::Direct, ..sample(1, BAD) }));
        let drawn = (0..1_000).filter(|due| told(0.1, &sample(*due, Outcome::Ok))).count();
        assert!((60..150).contains(&drawn), "{drawn}");
    }

    #[test]
    fn a_target_that_is_down_costs_so_many_spans_a_second_and_the_others_are_counted() {
        let (ask, mut spans) = (ask(0.0), Spans::default());
        let of = |spans: &mut Spans, due| spans.of(&ask, &sample(due, BAD), Told::default());
        assert_eq!((0..50).filter_map(|due| of(&mut spans, due)).count(), 20);
        spans.begin();
        let next = of(&mut spans, 50).unwrap();
        assert_eq!((next.untold, &*next.url), (30, "http://127.0.0.1:1/a"), "and a query may hold secrets");
        assert_eq!(of(&mut spans, 51).unwrap().untold, 0);
    }

    #[test]
    fn a_target_that_names_its_own_trace_has_no_other() {
        let mut target = Target::plain("http://127.0.0.1:1/").unwrap();
        target.headers.insert("traceparent", http::HeaderValue::from_static("00-own"));
        let ask = Ask::traced(Rc::new(target), Tracing::new(7, 1.0));
        assert_eq!(ask.trace(Purpose::Production, TargetId(0), Mono(1)), None);
        assert!(Spans::default().of(&ask, &sample(1, BAD), Told::default()).is_none());
    }
}
