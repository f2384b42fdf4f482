//! Is it a zone's fault? Everything bad came through one address of several: no release does that.

use super::{SIDE_LUCK, SIDE_SPAN};
use crate::detector::{Promise, tail};
use crate::time::Mono;
use crate::verdict::Evidence;
use crate::window::{Entry, View};
use std::collections::{BTreeMap, BTreeSet};

/// Fewer answers through an address are no word about it.
const ZONE_MIN: u32 = 5;

/// Whether it is bad through one of several addresses only. `None` as long as another one, which is asked too, has not answered
/// often enough to say.
pub(super) fn only_one_zone(promise: &Promise, window: View<'_>, evidence: &Evidence) -> Option<bool> {
    let of_scope = || window.entries().filter(|entry| promise.scope.holds(entry.target));
    let since = || of_scope().filter(|entry| entry.due >= evidence.first_bad);
    // What hangs is bad where probes find no slot, and merely slow elsewhere.
    let no_slot = since().any(|entry| entry.bad() && entry.conn == 0);
    let is_bad = |entry: &Entry| promise.is_bad(entry) || no_slot && entry.hangs();
    let mut zones: BTreeMap<u16, (u32, u32)> = BTreeMap::new();
    // An address that was asked a moment ago is one that is asked.
    let from = evidence.first_bad.min(evidence.last_bad.before(SIDE_SPAN));
    for entry in of_scope().filter(|entry| entry.due >= from && entry.conn != 0) {
        let zone = zones.entry(entry.addr).or_default();
        if entry.due >= evidence.first_bad {
            zone.0 += 1;
            zone.1 += u32::from(is_bad(entry));
        }
    }
    // One that isn't asked any more has no word, unless it had one.
    let newest = |addr: u16| window.entries().rev().find(|entry| entry.addr == addr).map(|entry| entry.due);
    let gone = |addr: u16| newest(addr).is_none_or(|due| evidence.last_bad.since(due) > SIDE_SPAN);
    zones.retain(|addr, (count, _)| *count >= ZONE_MIN || !gone(*addr));
    let mut bad_zones = zones.iter().filter(|(_, (_, bad))| *bad > 0).map(|(addr, _)| *addr);
    let (Some(zone), None) = (bad_zones.next(), bad_zones.next()) else { return Some(false) };
    if zones.len() < 2 {
        return Some(false);
    }
    let known = zones.values().all(|(count, _)| *count >= ZONE_MIN);
    known.then(|| !is_of_a_url(window, promise, evidence.first_bad, zone, is_bad))
}

/// Whether the fault is a URL's, which was asked through `zone` only, while others gave too many good answers through it to be luck.
fn is_of_a_url(
    window: View<'_>,
    promise: &Promise,
    first_bad: Mono,
    zone: u16,
    is_bad: impl Fn(&Entry) -> bool,
) -> bool {
    let since = || {
        let speaks =
            |entry: &&Entry| entry.due >= first_bad && entry.conn != 0 && promise.scope.holds(entry.target);
        window.entries().filter(speaks)
    };
    let urls: BTreeSet<_> = since().filter(|entry| is_bad(entry)).map(|entry| entry.target).collect();
    let (mut asked, mut bad, mut elsewhere, mut others) = (0_u32, 0_u32, 0_u32, 0_u32);
    for entry in since() {
        match (urls.contains(&entry.target), entry.addr == zone) {
            (true, true) => (asked, bad) = (asked + 1, bad + u32::from(is_bad(entry))),
            (true, false) => elsewhere += 1,
            (false, true) => others += 1,
            (false, false) => {}
        }
    }
    let share = f64::from(bad) / f64::from(asked.max(1));
    elsewhere < ZONE_MIN && tail(others, others, 1.0 - share) <= SIDE_LUCK
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::Scope;
    use crate::policy::Policy;
    use crate::target::{TargetId, VersionId};
    use crate::time::Span;
    use crate::verdict::Stream;
    use crate::window::{Mark, Marks, Window};
    use std::time::Duration;

    fn promise() -> Promise {
        Promise {
            policies: Policy::Sequential.into(),
            stream: Stream::Errors,
            mark: Mark::BAD,
            scope: Scope::Service,
            quantile: 9_500,
            share_max: 0.001,
            alpha: 1e-11,
            samples_min: 20,
            share_min: 0.0,
            tolerate_blip: Duration::ZERO,
            luck_one_in: 1,
            window: Duration::from_secs(10),
            rate_hz: 20.0,
        }
    }

    /// An answer that was due `ms` after the start, through address `addr`, of URL `url`.
    fn entry(ms: u64, addr: u16, url: u16, bad: bool) -> Entry {
        Entry {
            due: Mono(ms * 1_000_000),
            response: Span(10_000),
            marks: Marks::new(bad, [false]),
            answered: true,
            conn: 1 + u32::from(addr),
            addr,
            target: TargetId(url),
            version: VersionId::NONE,
        }
    }

    /// What is said of these answers when the breach goes from `first` to `last` ms.
    fn word(mut all: Vec<Entry>, first: u64, last: u64) -> Option<bool> {
        all.sort_by_key(|entry| entry.due);
        let mut window = Window::new(Duration::from_mins(1));
        for entry in all {
            window.insert(entry.due, entry);
        }
        let evidence = Evidence {
            stream: Stream::Errors,
            scope: "".into(),
            quantile: 9_500,
            answers: 8,
            bad: 8,
            span_ms: last - first,
            share_max: 0.001,
            luck_one_in: 1,
            first_bad: Mono(first * 1_000_000),
            last_bad: Mono(last * 1_000_000),
            connections: 2,
            addresses: 1,
            targets: 1,
            window_answers: 8,
            window_p95: None,
            total: false,
        };
        only_one_zone(&promise(), window.view(), &evidence)
    }

    /// Bad answers through address 1, every 50 ms from 10 s on.
    fn bad_ones() -> Vec<Entry> {
        (0..8).map(|n| entry(10_000 + n * 50, 1, 0, true)).collect()
    }

    /// Those, and good ones through address 0, due `good` ms after the start.
    fn zone(good: &[u64]) -> Option<bool> {
        let good = good.iter().map(|ms| entry(*ms, 0, 0, false));
        word(bad_ones().into_iter().chain(good).collect(), 10_000, 10_350)
    }

    const FIVE: [u64; 5] = [10_010, 10_060, 10_110, 10_160, 10_210];

    #[test]
    fn another_address_has_a_word_once_it_was_asked_five_times_and_is_waited_for() {
        assert_eq!(zone(&FIVE), Some(true));
        assert_eq!(zone(&[10_010, 10_060]), None);
        assert_eq!(zone(&[9_500]), None, "it was asked a moment ago, and not since");
        assert_eq!(zone(&[5_350]), None, "five seconds are a moment");
        assert_eq!(zone(&[5_300, 5_340]), Some(false), "it isn't asked any more");
        assert_eq!(zone(&[]), Some(false));
    }

    #[test]
    fn what_is_merely_slow_makes_no_address_bad() {
        let slow =
            |ms: &u64| Entry { marks: Marks::new(false, [true]), answered: false, ..entry(*ms, 0, 0, false) };
        // That a probe found no slot before the breach says nothing of it.
        let no_slot = Entry { conn: 0, answered: false, ..entry(0, 1, 0, true) };
        let all = bad_ones().into_iter().chain(FIVE.iter().map(slow)).chain([no_slot]);
        assert_eq!(word(all.collect(), 10_000, 10_350), Some(true));
    }

    #[test]
    fn a_probe_that_found_no_slot_speaks_of_no_address() {
        let no_slot = Entry { conn: 0, answered: false, ..entry(10_220, 0, 0, true) };
        let good = FIVE.iter().map(|ms| entry(*ms, 0, 0, false));
        let all = bad_ones().into_iter().chain(good).chain([no_slot]);
        assert_eq!(word(all.collect(), 10_000, 10_350), Some(true));
    }

    #[test]
    fn one_bad_address_of_three_is_a_zone_and_two_are_none() {
        let good = |addr: u16| FIVE.iter().map(move |ms| entry(*ms, addr, 0, false));
        let three: Vec<Entry> = bad_ones().into_iter().chain(good(0)).chain(good(2)).collect();
        assert_eq!(word(three.clone(), 10_000, 10_350), Some(true));
        let two = three.into_iter().chain([entry(10_300, 2, 0, true)]).collect();
        assert_eq!(word(two, 10_000, 10_350), Some(false));
    }

    #[test]
    fn in_a_long_breach_an_address_that_is_asked_no_more_keeps_the_word_that_it_had() {
        let long = |good: &[u64]| {
            let bad = (0..200).map(|n| entry(10_000 + n * 50, 1, 0, true));
            let good = good.iter().map(|ms| entry(*ms, 0, 0, false));
            word(bad.chain(good).collect(), 10_000, 19_950)
        };
        assert_eq!(long(&FIVE), Some(true));
        assert_eq!(long(&[10_010, 10_060]), Some(false), "two answers are none");
        assert_eq!(long(&[10_010, 14_950]), None, "it may be asked again");
    }

    /// URL 7 is asked through address 1 only, and bad `bad` times of ten; others are asked through both, `others` times through
    /// address 1.
    fn url(bad: u64, others: u64) -> Vec<Entry> {
        let ill = (0..10).map(|n| entry(10_000 + n * 40, 1, 7, n < bad));
        let well = (0..others).map(|n| entry(10_001 + n * 10, 1, 0, false));
        ill.chain(well).chain(FIVE.iter().map(|ms| entry(*ms, 0, 0, false))).collect()
    }

    #[test]
    fn a_url_that_is_bad_among_many_good_ones_through_the_same_address_is_no_zone() {
        assert_eq!(word(url(10, 20), 10_000, 10_360), Some(false));
        assert_eq!(word(url(1, 20), 10_000, 10_360), Some(true), "twenty good ones are luck");
        assert_eq!(word(url(10, 0), 10_000, 10_360), Some(true), "nothing else was asked there");
    }

    #[test]
    fn a_url_that_is_well_elsewhere_is_ill_with_its_zone() {
        let elsewhere = |count: u64, from: u64| {
            let more = (0..count).map(|n| entry(from + n * 10, 0, 7, false));
            word(url(10, 20).into_iter().chain(more).collect(), 10_000, 10_360)
        };
        assert_eq!(elsewhere(5, 10_005), Some(true));
        assert_eq!(elsewhere(4, 10_005), Some(false), "four answers are no word");
        assert_eq!(elsewhere(20, 9_000), Some(false), "nor is what it was before");
    }
}
