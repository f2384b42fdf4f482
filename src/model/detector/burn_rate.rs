//! The `burn_rate` policy: how quickly is the error budget spent? Multi-window, multi-burn-rate, as in the SRE workbook
//! ("Alerting on SLOs", 6): a pair of windows finds a breach when `factor` times the allowed share was bad over the long one, so that
//! it matters, and over the short one, so that it goes on.
//!
//! Shares are of what would be answered in the *whole* window at the release pace: a release that is a minute old can't have
//! spent an hour's budget by one bad answer. So the workbook's times hold: at 99.9 % all answers have to be bad for 52 s.

use super::Found;
use crate::policy::Burn;
use crate::time::{Mono, nanos};
use std::collections::VecDeque;
use std::time::Duration;

/// A short window has so many bins; its end is off by one of them at most.
const BINS: u64 = 30;

/// Bad answers by when they were known, for as long as the longest window.
#[derive(Clone, Debug)]
pub struct Spent {
    bin_ns: u64,
    keep: u64,
    bins: VecDeque<Bin>,
}

/// One bin of [`Spent`]; only those that have a bad answer are kept.
#[derive(Clone, Copy, Debug)]
struct Bin {
    number: u64,
    bad: u32,
    first: Mono,
    last: Mono,
}

impl Spent {
    /// For these windows.
    #[must_use]
    pub fn new(burns: &[Burn]) -> Self {
        let short = burns.iter().map(|burn| burn.short).min().unwrap_or_default();
        let long = burns.iter().map(|burn| burn.long).max().unwrap_or_default();
        let bin_ns = (nanos(short) / BINS).max(1);
        Self { bin_ns, keep: nanos(long).div_ceil(bin_ns), bins: VecDeque::new() }
    }

    /// A bad answer that was due at `due` is known at `now`.
    pub fn add(&mut self, due: Mono, now: Mono) {
        let number = (now.0 / self.bin_ns).max(self.bins.back().map_or(0, |bin| bin.number));
        match self.bins.back_mut() {
            Some(bin) if bin.number == number => {
                bin.bad += 1;
                (bin.first, bin.last) = (bin.first.min(due), bin.last.max(due));
            }
            _ => self.bins.push_back(Bin { number, bad: 1, first: due, last: due }),
        }
        while self.bins.front().is_some_and(|bin| bin.number + self.keep < number) {
            self.bins.pop_front();
        }
    }

    /// Forgets everything: another epoch begins.
    pub fn clear(&mut self) {
        self.bins.clear();
    }

    /// How many within `span` before `now`.
    #[cfg(test)]
    pub(crate) fn count(&self, span: Duration, now: Mono) -> u32 {
        self.within(span, now).0
    }

    /// How many within `span` before `now`, and when the first and the last of them were due.
    fn within(&self, span: Duration, now: Mono) -> (u32, Option<(Mono, Mono)>) {
        let from = now.before(span).0 / self.bin_ns;
        let mut seen: Option<(Mono, Mono)> = None;
        let mut bad = 0;
        for bin in self.bins.iter().rev().take_while(|bin| bin.number >= from) {
            bad += bin.bad;
            seen =
                Some(seen.map_or((bin.first, bin.last), |(first, last)| {
                    (first.min(bin.first), last.max(bin.last))
                }));
        }
        (bad, seen)
    }

    /// Looks at each pair: of `rate_hz` answers a second `share` may be bad.
    pub(super) fn look(&self, burns: &[Burn], share: f64, rate_hz: f64, now: Mono) -> Found {
        let mut suspect = false;
        for burn in burns {
            let spent = |span: Duration| {
                let (bad, seen) = self.within(span, now);
                // All answers are bad at most.
                let needed = (burn.factor * share).min(1.0) * rate_hz * span.as_secs_f64();
                seen.filter(|_| f64::from(bad) + 1e-6 >= needed.max(1.0))
            };
            match (spent(burn.long), spent(burn.short)) {
                (Some((first, last)), Some(_)) => return Found::Breach { first, last },
                (None, Some(_)) => suspect = true,
                (Some(_) | None, None) => {}
            }
        }
        if suspect { Found::Suspect } else { Found::Luck }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKBOOK: [Burn; 2] = [
        Burn { factor: 14.4, long: Duration::from_hours(1), short: Duration::from_mins(5) },
        Burn { factor: 6.0, long: Duration::from_hours(6), short: Duration::from_mins(30) },
    ];

    /// Ten answers a second; every `nth` is bad. Seconds until the breach, within a day.
    fn breach_after(share: f64, nth: u64) -> Option<f64> {
        let mut spent = Spent::new(&WORKBOOK);
        (0..864_000_u64).step_by(usize::try_from(nth).unwrap()).find_map(|i| {
            let now = Mono(i * 100_000_000);
            spent.add(now, now);
            let found = spent.look(&WORKBOOK, share, 10.0, now);
            matches!(found, Found::Breach { .. }).then(|| now.since(Mono(0)).as_secs_f64())
        })
    }

    #[test]
    fn it_takes_the_workbooks_times() {
        let near = |seconds: Option<f64>, wanted: f64| {
            let seconds = seconds.unwrap();
            assert!((seconds - wanted).abs() <= wanted * 0.01 + 0.2, "{seconds} s, and not {wanted} s");
        };
        near(breach_after(0.001, 1), 51.8);
        near(breach_after(0.001, 2), 103.7);
        near(breach_after(0.001, 5), 259.2);
        near(breach_after(0.001, 20), 1_036.8);
        near(breach_after(0.001, 50), 2_592.0);
        near(breach_after(0.01, 1), 518.4);
        assert_eq!(breach_after(0.001, 500), None, "twice the promise is no page");
    }

    #[test]
    fn what_is_over_for_longer_than_the_short_window_is_no_breach() {
        let mut spent = Spent::new(&WORKBOOK);
        for i in 0..600 {
            spent.add(Mono(i * 100_000_000), Mono(i * 100_000_000));
        }
        let look = |seconds: u64| spent.look(&WORKBOOK, 0.001, 10.0, Mono(seconds * 1_000_000_000));
        assert!(matches!(look(60), Found::Breach { first: Mono(0), last: Mono(59_900_000_000) }));
        assert!(matches!(look(300), Found::Breach { .. }));
        assert!(matches!(look(480), Found::Suspect), "the other pair of windows still sees it");
        assert!(matches!(look(2_400), Found::Luck));
        spent.clear();
        assert!(matches!(spent.look(&WORKBOOK, 0.001, 10.0, Mono(60_000_000_000)), Found::Luck));
    }

    #[test]
    fn what_begins_is_suspected() {
        let mut spent = Spent::new(&WORKBOOK);
        for i in 0..100 {
            spent.add(Mono(i * 100_000_000), Mono(i * 100_000_000));
        }
        assert!(matches!(spent.look(&WORKBOOK, 0.001, 10.0, Mono(10_000_000_000)), Found::Suspect));
    }

    #[test]
    fn a_bad_answer_is_kept_for_as_long_as_the_longest_window_can_see_it() {
        let at = |seconds: u64| Mono(seconds * 1_000_000_000);
        let pair = [Burn { factor: 1.0, long: Duration::from_mins(1), short: Duration::from_secs(6) }];
        let mut spent = Spent::new(&pair);
        (0..10).for_each(|_| spent.add(at(0), at(0)));
        assert_eq!(spent.bins.len(), 1, "those of an instant take one place");
        spent.add(at(59), at(60));
        assert_eq!(spent.within(Duration::from_mins(1), at(60)), (11, Some((at(0), at(59)))));
        assert_eq!(spent.within(Duration::from_secs(6), at(60)), (1, Some((at(59), at(59)))));
        assert_eq!(spent.within(Duration::from_mins(1), at(61)).0, 1);
        spent.add(at(300), at(300));
        assert_eq!(spent.bins.len(), 1, "what no window sees is forgotten");
    }

    #[test]
    fn a_budget_is_spent_by_exactly_its_share() {
        let pair = [Burn { factor: 2.0, long: Duration::from_secs(50), short: Duration::from_secs(30) }];
        let mut spent = Spent::new(&pair);
        let mut look = |count: u32| {
            (0..count).for_each(|_| spent.add(Mono(0), Mono(0)));
            matches!(spent.look(&pair, 0.07, 10.0, Mono(0)), Found::Breach { .. })
        };
        // Twice 7 % of 500 answers.
        assert_eq!((look(69), look(1)), (false, true));
    }
}
