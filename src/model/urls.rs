//! The rolling figures of each URL of a service, besides the judge's own: for people who look for the one that is ill.

use crate::rolling::{Event, Rolling};
use crate::sample::{Outcome, Purpose, Sample, Taint};
use crate::target::TargetId;
use crate::time::{Mono, Span};
use std::time::Duration;

/// A URL is asked less often than its service: its window is at least this long.
const SPAN_MIN: Duration = Duration::from_mins(1);
/// P95, in ten-thousandths.
const P95: u32 = 9_500;

/// See the module.
#[derive(Clone, Debug)]
pub struct Urls {
    windows: Vec<Rolling>,
    slow_over: Option<Duration>,
}

/// What one URL's window holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UrlFigures {
    /// Which.
    pub target: TargetId,
    /// Answers and failures that are the target's.
    pub answers: u32,
    /// Those that broke a promise of availability.
    pub bad: u32,
    /// Those that were slower than the latency objective, exactly; `None` without such an objective.
    pub slow: Option<u32>,
    /// P95 of the response times, at most 0.8 % off; `None` without an answer.
    pub p95: Option<Span>,
}

impl Urls {
    /// Empty windows for the first `count` targets over the trailing `span`, or a minute if that is longer. Answers over
    /// `slow_over` are slow.
    #[must_use]
    pub fn new(count: usize, span: Duration, slow_over: Option<Duration>) -> Self {
        Self { windows: vec![Rolling::new(span.max(SPAN_MIN), P95); count], slow_over }
    }

    /// Takes a sample that was done at `now`: of production, and not spoiled by our own doing.
    pub fn take(&mut self, sample: &Sample, now: Mono) {
        if sample.purpose != Purpose::Production || sample.taint != Taint::Clean {
            return;
        }
        let bad = match sample.outcome {
            Outcome::Ok => false,
            Outcome::Bad(_) | Outcome::Saturated => true,
            Outcome::Missed(_) | Outcome::Failed(_) => return,
        };
        let Some(window) = self.windows.get_mut(usize::from(sample.target.0)) else { return };
        let (response, answered) = (sample.response(), sample.status != 0);
        let slow = self.slow_over.is_some_and(|max| response.duration() > max);
        window.insert(now, Event { response: answered.then_some(response), bad, slow });
    }

    /// The figures of every URL that has any, at `now`.
    pub fn figures(&mut self, now: Mono) -> Vec<UrlFigures> {
        let promised = self.slow_over.is_some();
        let figures = self.windows.iter_mut().zip(0..).map(|(window, index)| {
            window.expire(now);
            UrlFigures {
                target: TargetId(index),
                answers: window.count(),
                bad: window.bad(),
                slow: promised.then(|| window.slow()),
                p95: window.quantile(),
            }
        });
        figures.filter(|figures| figures.answers > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::EpochId;
    use crate::sample::{Fault, Ours, Phases};
    use crate::target::VersionId;

    fn sample(target: u16, ms: u32, outcome: Outcome) -> Sample {
        Sample {
            due: Mono(0),
            planned: Mono(0),
            phases: Phases { first_byte: Span(ms * 10_000), ..Phases::default() },
            target: TargetId(target),
            conn: 1,
            epoch: EpochId(1),
            addr: 1,
            version: VersionId(0),
            status: if outcome == Outcome::Ok { 200 } else { 0 },
            purpose: Purpose::Production,
            taint: Taint::Clean,
            outcome,
            told_slow: false,
        }
    }

    fn urls() -> Urls {
        Urls::new(3, Duration::from_secs(10), Some(Duration::from_millis(250)))
    }

    #[test]
    fn each_url_has_its_own_figures() {
        let mut urls = urls();
        for (target, ms, outcome) in [
            (0, 10, Outcome::Ok),
            (0, 300, Outcome::Ok),
            (2, 1_000, Outcome::Bad(Fault::Timeout)),
            (2, 0, Outcome::Saturated),
        ] {
            urls.take(&sample(target, ms, outcome), Mono(1));
        }
        let figures = urls.figures(Mono(2));
        let short: Vec<_> =
            figures.iter().map(|url| (url.target.0, url.answers, url.bad, url.slow)).collect();
        assert_eq!(short, [(0, 2, 0, Some(1)), (2, 2, 2, Some(1))]);
        assert!((figures[0].p95.unwrap().millis() / 300.0 - 1.0).abs() < 0.008);
        assert_eq!(figures[1].p95, None, "nothing answered");
    }

    #[test]
    fn an_answer_is_slow_beyond_the_limit_and_not_at_it() {
        let mut urls = urls();
        urls.take(&sample(0, 250, Outcome::Ok), Mono(1));
        assert_eq!(urls.figures(Mono(2))[0].slow, Some(0));
        urls.take(&sample(0, 251, Outcome::Ok), Mono(1));
        assert_eq!(urls.figures(Mono(2))[0].slow, Some(1));
    }

    #[test]
    fn what_is_not_the_target_s_word_is_left_out() {
        let mut urls = urls();
        for spoiled in [
            Sample { taint: Taint::Late, ..sample(0, 1, Outcome::Ok) },
            Sample { taint: Taint::Stalled, ..sample(0, 1, Outcome::Ok) },
            Sample { purpose: Purpose::Direct, ..sample(0, 1, Outcome::Ok) },
            Sample { purpose: Purpose::Control, ..sample(0, 1, Outcome::Ok) },
            sample(0, 1, Outcome::Failed(Ours::Resolve)),
            sample(0, 1, Outcome::Missed(Ours::Late)),
            sample(9, 1, Outcome::Ok),
        ] {
            urls.take(&spoiled, Mono(1));
        }
        assert_eq!(urls.figures(Mono(2)), []);
    }

    #[test]
    fn a_window_is_a_minute_at_least_and_a_longer_one_is_kept() {
        for (span_s, gone_s) in [(10, 60), (120, 120)] {
            let mut urls = Urls::new(1, Duration::from_secs(span_s), None);
            urls.take(&sample(0, 1, Outcome::Ok), Mono(1));
            let at = Mono(0).after(Duration::from_secs(gone_s));
            let figures = urls.figures(at.before(Duration::from_secs(span_s / 60 + 1)));
            assert_eq!(
                figures.iter().map(|url| url.slow).collect::<Vec<_>>(),
                [None],
                "nobody said what is slow"
            );
            assert_eq!(urls.figures(at).len(), 0);
        }
    }

    #[test]
    fn an_answer_that_takes_as_long_as_is_promised_is_not_slow() {
        let mut urls = urls();
        let late = |ns| Sample { planned: Mono(0), due: Mono(ns), ..sample(0, 250, Outcome::Ok) };
        urls.take(&late(0), Mono(1));
        assert_eq!(urls.figures(Mono(2))[0].slow, Some(0));
        urls.take(&late(100), Mono(1));
        assert_eq!(urls.figures(Mono(2))[0].slow, Some(1));
    }
}
