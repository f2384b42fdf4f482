//! The rolling figures of each URL of a service, besides the judge's own: for people who look for the one that is ill.

use crate::rolling::{Event, Rolling, Slots, Word};
use crate::sample::{Outcome, Purpose, Sample, Taint};
use crate::target::{Moved, TargetId};
use crate::time::{Mono, Span};
use std::hint::black_box;
use std::time::Duration;

/// A URL is asked less often than its service: its window is at least this long.
const SPAN_MIN: Duration = Duration::from_mins(1);
/// P95, in ten-thousandths.
const P95: u32 = 9_500;
/// So many samples of a URL wait to enter its window together: with them [`Waiting`] is half a line of the cache.
const WAITING: usize = 11;
/// What waits for so many windows side by side enters them in one go, so that their misses of the cache are at the same time.
const BLOCK: usize = 16;

/// See the module.
///
/// Ten thousand windows are in no cache, and a sample touches several lines of its URL's. So the samples of one slot of time wait for
/// each other in front of it, where a sample costs half a line, and enter it together: when there are [`WAITING`], when the next
/// slot has begun, or when the figures are asked for.
#[derive(Clone, Debug)]
pub struct Urls {
    span: Duration,
    slots: Slots,
    waiting: Vec<Waiting>,
    windows: Vec<Rolling>,
    /// Longer response times are slow.
    slow_over: Option<Span>,
}

/// What has come of one URL and isn't in its window yet.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    /// The newest slot so far: that of all that wait.
    slot: u64,
    count: u16,
    words: [Word; WAITING],
}

impl Waiting {
    fn words(&self) -> &[Word] {
        &self.words[..usize::from(self.count)]
    }

    /// They enter their window.
    fn enter(&mut self, window: &mut Rolling) {
        window.insert_all(self.slot, self.words());
        self.count = 0;
    }
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
        let span = span.max(SPAN_MIN);
        Self {
            span,
            slots: Slots::of(span),
            waiting: vec![Waiting::default(); count],
            windows: vec![Rolling::new(span, P95); count],
            slow_over: slow_over.map(Span::of),
        }
    }

    /// For `count` targets from now on, over `span`, where answers over `slow_over` are slow: of those that stay the windows are kept,
    /// unless that asks for other windows.
    pub fn revise(&mut self, count: usize, span: Duration, slow_over: Option<Duration>, moved: &Moved) {
        let mut old = std::mem::replace(self, Self::new(count, span, slow_over));
        if (self.span, self.slow_over) != (old.span, old.slow_over) {
            return;
        }
        for (from, to) in moved.stays() {
            let (from, to) = (usize::from(from.0), usize::from(to.0));
            if let (Some(waiting), Some(window)) = (old.waiting.get_mut(from), old.windows.get_mut(from))
                && let Some(place) = self.windows.get_mut(to)
            {
                std::mem::swap(place, window);
                self.waiting[to] = std::mem::take(waiting);
            }
        }
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
        let index = usize::from(sample.target.0);
        let Some(waiting) = self.waiting.get_mut(index) else { return };
        let (response, answered) = (sample.response(), sample.status != 0);
        let too_slow = self.slow_over.is_some_and(|max| response > max);
        let slot = self.slots.number(now);
        if waiting.count > 0 && slot > waiting.slot {
            self.enter_block(index, slot);
        } else if usize::from(waiting.count) == WAITING {
            waiting.enter(&mut self.windows[index]);
        }
        let waiting = &mut self.waiting[index];
        waiting.slot = waiting.slot.max(slot);
        waiting.words[usize::from(waiting.count)] =
            Event { response: answered.then_some(response), bad, slow: too_slow }.into();
        waiting.count += 1;
    }

    /// What waits since before `slot` enters its window, for the URL at `index` and those of its block.
    fn enter_block(&mut self, index: usize, slot: u64) {
        let begin = index / BLOCK * BLOCK;
        let end = (begin + BLOCK).min(self.windows.len());
        let (waiting, windows) = (&mut self.waiting[begin..end], &mut self.windows[begin..end]);
        let old = |waiting: &Waiting| waiting.count > 0 && waiting.slot < slot;
        // Nothing waits for what is only read: the processor asks the memory for all of it at once.
        for (_, window) in waiting.iter().zip(&*windows).filter(|(waiting, _)| old(waiting)) {
            black_box(window.touch_oldest());
        }
        for (waiting, window) in waiting.iter().zip(&*windows).filter(|(waiting, _)| old(waiting)) {
            black_box(window.touch_counts(waiting.words()));
        }
        for (waiting, window) in waiting.iter_mut().zip(windows).filter(|(waiting, _)| old(waiting)) {
            waiting.enter(window);
        }
    }

    /// The figures of every URL that has any, at `now`.
    pub fn figures(&mut self, now: Mono) -> Vec<UrlFigures> {
        for index in (0..self.windows.len()).step_by(BLOCK) {
            self.enter_block(index, u64::MAX);
        }
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
    use crate::distribution::{bucket, bucket_middle};
    use crate::release::EpochId;
    use crate::sample::{Fault, Ours, Phases};
    use crate::target::VersionId;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{RngCore, SeedableRng};

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

    #[test]
    fn the_windows_of_urls_that_stay_move_with_them() {
        let limit = Some(Duration::from_millis(250));
        let mut urls = urls();
        for (target, ms) in [(0, 10), (1, 20), (1, 300), (2, 40)] {
            urls.take(&sample(target, ms, Outcome::Ok), Mono(1));
        }
        // One of them in its window, the others before it.
        urls.enter_block(0, 0);
        urls.take(&sample(2, 400, Outcome::Ok), Mono(40_000_000_000));
        let moved = Moved::new(vec![None, Some(TargetId(3)), Some(TargetId(0))]);
        let mut same = urls.clone();
        urls.revise(4, Duration::from_secs(10), limit, &moved);
        urls.take(&sample(1, 1, Outcome::Ok), Mono(50_000_000_000));
        urls.take(&sample(3, 30, Outcome::Ok), Mono(50_000_000_000));
        let count = |urls: &mut Urls| -> Vec<_> {
            let figures = urls.figures(Mono(50_000_000_000));
            figures.iter().map(|url| (url.target.0, url.answers, url.slow)).collect()
        };
        assert_eq!(count(&mut urls), [(0, 2, Some(1)), (1, 1, Some(0)), (3, 3, Some(1))]);
        same.revise(3, Duration::from_secs(10), None, &moved);
        assert_eq!(count(&mut same), [], "what is slow is another thing now");
    }

    /// Often and seldom, early and late, with an hour's jump, and figures whenever somebody asks.
    #[test]
    fn what_waits_for_its_window_is_in_the_figures() {
        let second = |n: u64| Mono(n * 1_000_000_000);
        for seed in 0..20 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut lot = |below: u32| random.next_u32() % below;
            let mut urls = Urls::new(40, Duration::from_secs(10), Some(Duration::from_millis(250)));
            // Each of them with the slot that counts: of instants that run backwards, the newest.
            let mut taken: Vec<(u16, u64, u32, Outcome)> = Vec::new();
            let (mut now, mut newest) = (100, [0; 3]);
            for _ in 0..600 {
                now = match lot(200) {
                    0 => now + 3_600,
                    1 => now + 59,
                    2 => now + 60,
                    3 => now - 7,
                    step => now + u64::from(step % 10 == 0),
                };
                let (target, ms) = (u16::try_from(lot(6) / 2 % 3).unwrap(), 100 + lot(300));
                let outcome = if lot(10) == 0 { Outcome::Bad(Fault::Timeout) } else { Outcome::Ok };
                // Each in a block of its own.
                urls.take(&sample(target * 17, ms, outcome), second(now));
                let slot = &mut newest[usize::from(target)];
                *slot = now.max(*slot);
                taken.push((target, *slot, ms, outcome));
                if lot(20) > 0 {
                    continue;
                }
                newest = newest.map(|slot: u64| slot.max(now));
                let figures = urls.figures(second(now));
                let expected = (0..3_u16).filter_map(|target| {
                    let kept = |slot: u64| slot + 60 > newest[usize::from(target)];
                    let of: Vec<_> =
                        taken.iter().filter(|sample| sample.0 == target && kept(sample.1)).collect();
                    let count = |is: &dyn Fn(u32, Outcome) -> bool| {
                        u32::try_from(of.iter().filter(|(_, _, ms, outcome)| is(*ms, *outcome)).count())
                            .unwrap()
                    };
                    let answered = of.iter().filter(|(.., outcome)| *outcome == Outcome::Ok);
                    let mut times: Vec<Span> = answered.map(|(_, _, ms, _)| Span(ms * 10_000)).collect();
                    times.sort_unstable();
                    let p95 = (times.len() * 95).div_ceil(100).checked_sub(1).map(|index| times[index]);
                    (!of.is_empty()).then(|| UrlFigures {
                        target: TargetId(target * 17),
                        answers: count(&|_, _| true),
                        bad: count(&|_, outcome| outcome != Outcome::Ok),
                        slow: Some(count(&|ms, _| ms > 250)),
                        p95: p95.map(|span| bucket_middle(bucket(span))),
                    })
                });
                assert_eq!(figures, expected.collect::<Vec<_>>(), "seed {seed}");
            }
        }
    }
}
