//! Is it a zone's fault? Everything bad came through one address of several: no release does that.

use super::{SIDE_LUCK, SIDE_SPAN};
use crate::detector::{Promise, tail};
use crate::time::Mono;
use crate::verdict::Evidence;
use crate::window::{Entry, Window};
use std::collections::{BTreeMap, BTreeSet};

/// Fewer answers through an address are no word about it.
const ZONE_MIN: u32 = 5;

/// Whether it is bad through one of several addresses only. `None` as long as another one, which is asked too, has not answered
/// often enough to say.
pub(super) fn only_one_zone(promise: &Promise, window: &Window, evidence: &Evidence) -> Option<bool> {
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
    window: &Window,
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
    use crate::window::{Mark, Marks};
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

    /// Good answers through address 0, due `good` ms after the start, and bad ones through address 1, every 50 ms from
    /// 10 s on.
    fn zone(good: &[u64], slow: bool) -> Option<bool> {
        let mut window = Window::new(Duration::from_mins(1));
        let entry = |ms: u64, addr: u16, bad: bool| Entry {
            due: Mono(ms * 1_000_000),
            response: Span(10_000),
            marks: Marks::new(bad, [slow && !bad]),
            answered: !slow || bad,
            conn: 1 + u32::from(addr),
            addr,
            target: TargetId(0),
            version: VersionId::NONE,
        };
        let bad: Vec<u64> = (0..8).map(|n| 10_000 + n * 50).collect();
        let mut all: Vec<Entry> = bad.iter().map(|ms| entry(*ms, 1, true)).collect();
        all.extend(good.iter().map(|ms| entry(*ms, 0, false)));
        all.sort_by_key(|entry| entry.due);
        if slow {
            // That a probe found no slot before the breach says nothing of it.
            window.insert(Mono(0), Entry { conn: 0, answered: false, ..entry(0, 1, true) });
        }
        for entry in all {
            window.insert(entry.due, entry);
        }
        let evidence = Evidence {
            stream: Stream::Errors,
            scope: "".into(),
            quantile: 9_500,
            answers: 8,
            bad: 8,
            span_ms: 350,
            share_max: 0.001,
            luck_one_in: 1,
            first_bad: Mono(10_000_000_000),
            last_bad: Mono(10_350_000_000),
            connections: 2,
            addresses: 1,
            targets: 1,
            window_answers: 8,
            window_p95: None,
            total: false,
        };
        only_one_zone(&promise(), &window, &evidence)
    }

    #[test]
    fn another_address_has_a_word_once_it_was_asked_five_times_and_is_waited_for() {
        assert_eq!(zone(&[10_010, 10_060, 10_110, 10_160, 10_210], false), Some(true));
        assert_eq!(zone(&[10_010, 10_060], false), None);
        assert_eq!(zone(&[9_500], false), None, "it was asked a moment ago, and not since");
        assert_eq!(zone(&[5_300, 5_340], false), Some(false), "it isn't asked any more");
        assert_eq!(zone(&[], false), Some(false));
    }

    #[test]
    fn what_is_merely_slow_makes_no_address_bad() {
        assert_eq!(zone(&[10_010, 10_060, 10_110, 10_160, 10_210], true), Some(true));
    }
}
