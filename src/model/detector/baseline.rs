//! The `baseline` policy: is the new version worse than the old one? A sequential two-sample test where the old version is asked
//! directly at the same time, else the bank against what production did before the cutover.
//!
//! Side by side only bad answers are evidence. As long as both versions are equally bad, the next bad answer is the new version's
//! with a chance of `r`, the share of the answers that it gives; if its odds of a bad answer are `k` times as large, with a chance of
//! k·r / (k·r + 1 − r). So each bad answer multiplies the likelihood of `k` by k / (k·r + 1 − r) if it is the new version's, and by
//! 1 / (k·r + 1 − r) if it is the old one's. That is a fair game for equal versions, whatever their common rate does meanwhile, and a
//! cumulative sum of its logarithms keeps the same odds as that of `detector/sequential.rs` (Lindon and Malek, "Anytime-valid
//! inference for multinomial count data", 2022, use the same condition).
//!
//! The old version is asked more often while a release is in doubt, so `r` is taken from the answers around each bad one: the larger of
//! those before and after it, since a larger one is less evidence against the new version.

use super::logarithm::ln;
use super::{Event, Found};
use std::time::Duration;

/// So many times as likely to be bad: one sum for each.
const ODDS: [f64; 4] = [2.0, 5.0, 20.0, 100.0];
/// The share of the new version's answers is taken from so many before a bad one, and from so many after.
const AROUND: usize = 60;
/// A sum beyond this many nats is a suspicion, as in the sequential policy.
const SUSPECT_NATS: f64 = 6.908;

/// The new version's answers and the old one's, each in the order in which they were due.
///
/// A run of the new version's bad answers that is shorter than `blip` adds a quarter of what is needed at most.
pub(super) fn look(new: &[Event], old: &[Event], alpha: f64, blip: Duration) -> Found {
    if new.is_empty() || old.is_empty() {
        return Found::Suspect;
    }
    #[expect(clippy::cast_precision_loss, reason = "four sums")]
    let needed = ln(ODDS.len() as f64 / alpha);
    let bad = bad_with_shares(new, old);
    let mut suspect = false;
    for odds in ODDS {
        let mut sum = Sum::default();
        for (event, is_new, share) in &bad {
            let both = odds * share + 1.0 - share;
            if *is_new {
                sum.rise(*event, ln(odds / both), needed / 4.0, blip);
            } else {
                sum.value = (sum.value - ln(both)).max(0.0);
            }
        }
        let (Some(first), Some(last)) = (sum.since, sum.run.map(|(_, last, _)| last)) else { continue };
        if sum.value >= needed {
            return Found::Breach { first: first.due, last: last.due };
        }
        suspect |= sum.value >= SUSPECT_NATS;
    }
    if suspect { Found::Suspect } else { Found::Luck }
}

/// The bad ones of both in the order in which they were due, whether each is the new version's, and the new version's share of the answers
/// around it.
fn bad_with_shares(new: &[Event], old: &[Event]) -> Vec<(Event, bool, f64)> {
    let mut all: Vec<(Event, bool)> = new.iter().map(|event| (*event, true)).collect();
    all.extend(old.iter().map(|event| (*event, false)));
    all.sort_by_key(|(event, new)| (event.due, *new));
    let mut counts = vec![0_u32];
    counts.extend(all.iter().scan(0, |count, (_, new)| {
        *count += u32::from(*new);
        Some(*count)
    }));
    #[expect(clippy::cast_precision_loss, reason = "samples of a window")]
    let share = |from: usize, to: usize| f64::from(counts[to] - counts[from]) / (to - from) as f64;
    let around = |index: usize| {
        let (from, to) = (index.saturating_sub(AROUND), (index + 1 + AROUND).min(all.len()));
        let sides = [(from, index), (index + 1, to)];
        let told = sides.into_iter().filter(|(from, to)| to - from >= AROUND / 2);
        let most = told.map(|(from, to)| share(from, to)).max_by(f64::total_cmp);
        most.unwrap_or_else(|| share(0, all.len()))
    };
    let bad = all.iter().enumerate().filter(|(_, (event, _))| event.bad);
    bad.map(|(index, (event, new))| (*event, *new, around(index))).collect()
}

/// One sum on its way.
#[derive(Default)]
struct Sum {
    value: f64,
    /// The first bad answer since it was zero.
    since: Option<Event>,
    /// The run that goes on: its first and its last bad answer, and what the sum was before it.
    run: Option<(Event, Event, f64)>,
}

impl Sum {
    fn rise(&mut self, event: Event, up: f64, cap: f64, blip: Duration) {
        if self.value <= 0.0 {
            self.since = Some(event);
        }
        let goes_on = self.run.filter(|(_, last, _)| event.due.since(last.due) <= blip);
        let (first, before) = goes_on.map_or((event, self.value), |(first, _, before)| (first, before));
        // A run that turns out to be long counts in full from then on, and loses what it had before.
        self.value += up;
        if event.due.since(first.due) < blip {
            self.value = self.value.min(before + cap);
        }
        self.run = Some((first, event, before));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Mono;

    const ALPHA: f64 = 1e-11;
    const BLIP: Duration = Duration::from_millis(250);

    /// Every 10 ms from an offset on.
    fn stream(count: u64, offset: u64, bad: impl Fn(u64) -> bool) -> Vec<Event> {
        (0..count)
            .map(|i| Event {
                due: Mono(i * 10_000_000 + offset),
                bad: bad(i),
                known: Mono(i * 10_000_000 + offset),
            })
            .collect()
    }

    fn word(new: impl Fn(u64) -> bool, old: impl Fn(u64) -> bool) -> &'static str {
        match look(&stream(3_000, 0, new), &stream(3_000, 1, old), ALPHA, BLIP) {
            Found::Luck => "luck",
            Found::Suspect => "suspect",
            Found::Breach { .. } => "breach",
        }
    }

    #[test]
    fn only_a_new_version_that_is_worse_is_a_breach() {
        assert_eq!(word(|_| false, |_| false), "luck");
        assert_eq!(word(|i| i % 20 == 0, |_| false), "breach");
        assert_eq!(word(|i| i % 20 == 0, |i| i % 20 == 7), "luck", "as bad as the old one");
        assert_eq!(word(|i| i > 2_000, |i| i > 2_000), "luck", "both are down");
        assert_eq!(word(|_| false, |i| i > 2_000), "luck", "the old one is down");
        assert_eq!(word(|i| i % 20 == 0, |i| i % 400 == 7), "breach", "twenty times as bad");
        assert_eq!(word(|i| i == 5, |_| false), "luck");
    }

    #[test]
    fn one_short_run_is_no_breach_and_a_longer_one_is() {
        assert_eq!(word(|i| (2_900..2_925).contains(&i), |_| false), "luck");
        assert_eq!(word(|i| (2_800..2_880).contains(&i), |_| false), "breach");
    }

    #[test]
    fn without_the_old_version_nothing_is_known() {
        let found = look(&stream(100, 0, |_| true), &[], ALPHA, BLIP);
        assert!(matches!(found, Found::Suspect));
    }

    #[test]
    fn a_bad_answer_is_weighed_by_how_often_each_version_was_asked_then() {
        // The old one is asked a fifth as often for ten seconds, and then as often as the new one.
        let new = stream(2_000, 0, |i| [500, 995, 1_005, 1_500].contains(&i));
        let mut old = stream(2_000, 1, |i| i == 1_000);
        old.retain(|event| event.due.0 > 10_000_000_000 || event.due.0 / 10_000_000 % 5 == 0);
        let found = bad_with_shares(&new, &old);
        let shares: Vec<(bool, f64)> =
            found.iter().map(|(_, new, share)| (*new, (share * 100.0).round() / 100.0)).collect();
        // Around the change the larger share counts: it is less evidence against the new version.
        assert_eq!(shares, [(true, 0.83), (true, 0.83), (false, 0.83), (true, 0.78), (true, 0.5)]);
        let few = bad_with_shares(&stream(10, 0, |i| i == 5), &stream(10, 1, |_| false));
        assert!((few[0].2 - 0.5).abs() < 1e-9, "of few, all count");
    }

    /// Answers in turn, a hundred a second of each version, and the bad ones among them by their numbers: what is found at odds of one in a
    /// thousand.
    fn found(new: &[u64], old: &[u64], blip: Duration) -> Found {
        let (new, old) = (stream(300, 0, |i| new.contains(&i)), stream(300, 1, |i| old.contains(&i)));
        look(&new, &old, 1e-3, blip)
    }

    fn is(found: &Found) -> &'static str {
        match found {
            Found::Luck => "luck",
            Found::Suspect => "suspect",
            Found::Breach { .. } => "breach",
        }
    }

    #[test]
    fn a_breach_is_as_many_bad_answers_as_the_odds_take() {
        let of = |new: u64, old: &[u64]| {
            let new: Vec<u64> = (0..new).map(|n| 100 + n * 5).collect();
            is(&found(&new, old, Duration::ZERO))
        };
        // Each adds ln(100 / 50.5) to the loudest sum: of ln 4,000 that it takes, and 6.908 for a suspicion.
        assert_eq!([10, 11, 12, 13].map(|new| of(new, &[])), ["luck", "suspect", "suspect", "breach"]);
        // One of the old version takes most from the sum of the largest odds, and that of the second is left.
        assert_eq!([13, 16, 17].map(|new| of(new, &[200])), ["luck", "suspect", "breach"]);
        assert_eq!(of(13, &[70, 75, 80, 85, 90]), "breach", "no sum is below zero");
    }

    #[test]
    fn a_breach_begins_with_the_first_bad_answer_since_its_sum_was_zero() {
        let new: Vec<u64> = std::iter::once(60).chain((0..13).map(|n| 100 + n * 5)).collect();
        let Found::Breach { first, last } = found(&new, &[70, 75, 80], Duration::ZERO) else {
            panic!("thirteen")
        };
        assert_eq!((first.0, last.0), (1_000_000_000, 1_600_000_000));
    }

    #[test]
    fn a_run_counts_in_full_once_it_is_as_long_as_a_blip() {
        let of = |count: u64| is(&found(&(100..100 + count).collect::<Vec<_>>(), &[], BLIP));
        // A quarter at most before 250 ms, and from then on ten more are needed.
        assert_eq!((of(34), of(35)), ("suspect", "breach"));
    }

    /// The share around the bad answer number `bad` of a stream in which `is_new` says whose each is.
    fn share_at(bad: u64, count: u64, is_new: impl Fn(u64) -> bool) -> f64 {
        let all = stream(count, 0, |i| i == bad);
        let events = |new: bool| {
            let of = (0..).zip(&all).filter(|(i, _)| is_new(*i) == new);
            of.map(|(_, event)| *event).collect::<Vec<Event>>()
        };
        bad_with_shares(&events(true), &events(false))[0].2
    }

    #[test]
    fn a_side_of_thirty_answers_tells_the_share_and_a_shorter_one_does_not() {
        let near = |one: f64, other: f64| assert!((one - other).abs() < 1e-9, "{one} {other}");
        let first_thirty = |i: u64| i < 30 || i.is_multiple_of(2);
        near(share_at(29, 100, first_thirty), 0.5);
        near(share_at(30, 100, first_thirty), 1.0);
        let last_thirty = |i: u64| i >= 70 || i.is_multiple_of(2);
        near(share_at(69, 100, last_thirty), 1.0);
        near(share_at(75, 100, last_thirty), 32.0 / 60.0);
        // Sixty on each side and no more, and the bad one is on neither.
        near(share_at(100, 200, |i| [100, 160].contains(&i)), 1.0 / 60.0);
        near(share_at(100, 200, |i| [100, 161].contains(&i)), 0.0);
        near(share_at(100, 200, |i| [100, 40].contains(&i)), 1.0 / 60.0);
        near(share_at(100, 200, |i| [100, 39].contains(&i)), 0.0);
    }

    #[test]
    fn equal_versions_are_hardly_ever_told_apart() {
        // One in a hundred looks that go wrong are allowed; 200 streams of equal versions, by a small generator.
        let mut state = 7_u64;
        let mut chance = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % 1_000
        };
        let mut wrong = 0;
        for _ in 0..200 {
            let mut draw = |offset| {
                let bad: Vec<bool> = (0..2_000).map(|_| chance() < 30).collect();
                stream(2_000, offset, |i| bad[usize::try_from(i).unwrap()])
            };
            let (new, old) = (draw(0), draw(1));
            let bad = new.iter().chain(&old).filter(|event| event.bad).count();
            #[expect(clippy::cast_precision_loss, reason = "a hundred or so")]
            let alpha = 0.01 / bad as f64;
            wrong += u32::from(matches!(look(&new, &old, alpha, Duration::ZERO), Found::Breach { .. }));
        }
        assert!(wrong <= 6, "{wrong} of 200, and 2 are allowed");
    }
}
