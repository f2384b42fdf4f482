//! The judge's word: what the promises say of production, and what the verdict table makes of it.

use super::{CLEAN_MIN, Direct, Finding, Judge, Own, SIDE_LUCK, SIDE_MIN, SIDE_SILENT, SIDE_SPAN};
use crate::detector::compare::ln_better_by_luck;
use crate::detector::{Look, Promise, tail};
use crate::sample::Fault;
use crate::time::Mono;
use crate::verdict::{Evidence, Production, Row, Side, Stream, Verdict, Why, WhyBlind, table};
use crate::window::{Entry, Window};
use std::collections::{BTreeMap, BTreeSet};

/// Luck of one in a million: it is asked again with every answer, while a breach stands.
const BETTER_NATS: f64 = 13.816;
/// Fewer answers through an address are no word about it.
const ZONE_MIN: usize = 5;

impl Judge {
    pub(super) fn verdict(&self, now: Mono) -> Verdict {
        let (void, all) = self.void();
        if void * 2 <= all {
            return self.word_of_answers(now);
        }
        let late = self.own.iter().filter(|(_, own)| *own == Own::Late).count();
        if u32::try_from(late).unwrap_or(u32::MAX) * 2 <= void {
            return Verdict::Blind(WhyBlind::Ours);
        }
        // Starved, nothing is called good. But what was sent and read in time says what it says, and an outage
        // must be seen through a quota that leaves a quarter of the probes.
        if all - void >= CLEAN_MIN
            && let bad @ Verdict::Bad(_) = self.word_of_answers(now)
        {
            return bad;
        }
        Verdict::Blind(WhyBlind::Starved)
    }

    fn word_of_answers(&self, now: Mono) -> Verdict {
        if self.rolling.count() == 0 && self.outside.is_empty() {
            let waited = now.since(self.stage.since) > self.policy.window;
            return if waited {
                Verdict::Blind(WhyBlind::NoData)
            } else {
                Verdict::Inconclusive(Why::TooFew)
            };
        }
        if let Some(word) = self.outside_word(now) {
            return word;
        }
        match self.finding(now) {
            Finding::TooFew if self.stage.release && self.green_all.count() == 0 => {
                Verdict::Inconclusive(Why::NoKnownAnswer)
            }
            Finding::TooFew => Verdict::Inconclusive(Why::TooFew),
            Finding::Suspect => Verdict::Inconclusive(Why::Suspect),
            Finding::Grace(evidence) => Verdict::Inconclusive(Why::Grace(evidence)),
            Finding::Kept => self.word(Production::Ok, None),
            Finding::AsBefore(evidence) => self.veto(evidence, Why::AsBefore),
            Finding::OneZone(evidence) => self.veto(evidence, Why::OneZone),
            Finding::OneConnection(evidence) => self.veto(evidence, Why::OneConnection),
            Finding::Breach(evidence) => self.word(Production::Bad, Some(evidence)),
        }
    }

    /// A breach that isn't the release's: what the table says first, if it says worse than `why`.
    pub(super) fn veto(&self, evidence: Evidence, why: fn(Evidence) -> Why) -> Verdict {
        match self.word(Production::Bad, Some(evidence.clone())) {
            Verdict::Bad(_) | Verdict::Good => Verdict::Inconclusive(why(evidence)),
            other => other,
        }
    }

    pub(super) fn word(&self, production: Production, evidence: Option<Evidence>) -> Verdict {
        let Some(evidence) = evidence else {
            return match production {
                Production::Ok => Verdict::Good,
                Production::OkUnknown | Production::Bad => Verdict::Inconclusive(Why::NoKnownAnswer),
                Production::NoData => Verdict::Blind(WhyBlind::NoData),
            };
        };
        // In peace nothing is reverted, so the only question is whether the fault may be our own.
        let b = if self.stage.release {
            since(&self.direct, &evidence, SIDE_MIN)
                .filter(|b| *b != Side::Ok || is_better(&self.direct, &evidence))
        } else {
            Some(Side::Ok)
        };
        let Some(b) = b else { return Verdict::Inconclusive(Why::Suspect) };
        let x = match since(&self.control, &evidence, 1) {
            Some(x) => x,
            // Only where B has no good word does X decide what is said: then it is waited for.
            None if b == Side::Ok => Side::NoData,
            None => return Verdict::Inconclusive(Why::Suspect),
        };
        if !self.stage.release && x == Side::Bad {
            return Verdict::Blind(WhyBlind::Network);
        }
        match table(production, b, x) {
            Row::Good => Verdict::Good,
            Row::Bad => Verdict::Bad(evidence),
            Row::Shared => Verdict::Inconclusive(Why::SharedDependency(evidence)),
            Row::NoControl => Verdict::Inconclusive(Why::NoControl(evidence)),
            Row::Network => Verdict::Blind(WhyBlind::Network),
            Row::NoData => Verdict::Blind(WhyBlind::NoData),
            Row::Wait => Verdict::Inconclusive(Why::NoKnownAnswer),
        }
    }

    /// Refusals by what stands in front of the service outnumber its answers.
    pub(super) fn outside_word(&self, now: Mono) -> Option<Verdict> {
        let outside = u32::try_from(self.outside.len()).unwrap_or(u32::MAX);
        if outside <= self.rolling.count() {
            return None;
        }
        let edge = self.outside.iter().filter(|(_, fault)| *fault == Fault::Edge).count();
        if edge * 2 > self.outside.len() {
            return Some(Verdict::Inconclusive(Why::Edge));
        }
        let elsewhere = [side(&self.direct, now), side(&self.control, now)];
        Some(if elsewhere.contains(&Side::Ok) {
            Verdict::Inconclusive(Why::BeforeBalancer)
        } else {
            Verdict::Blind(WhyBlind::Network)
        })
    }

    pub(super) fn finding(&self, now: Mono) -> Finding {
        // A version that never answered well can't be warming up: its errors count from the first.
        let total = self.stage.release && self.green_good == 0;
        let window = if total || !self.stage.release { &self.green_all } else { &self.green };
        let mut kept = false;
        let mut suspect = false;
        for promise in self.errors.iter().chain(&self.latency) {
            if total && promise.stream == Stream::Latency {
                continue;
            }
            match promise.look(window, 0.0) {
                Look::TooFew => {}
                Look::Kept => kept = true,
                Look::Suspect => suspect = true,
                Look::Breach(mut evidence) => {
                    evidence.total = total;
                    return self.weigh(promise, window, evidence);
                }
            }
        }
        if !self.past_grace(now)
            && let Some(evidence) = self.breach_in_grace()
        {
            return Finding::Grace(evidence);
        }
        match (suspect, kept || self.good_in_grace(now)) {
            (true, _) => Finding::Suspect,
            (false, true) => Finding::Kept,
            (false, false) => Finding::TooFew,
        }
    }

    /// Within the grace the new version's answers are kept in one window only; enough good ones are good.
    pub(super) fn good_in_grace(&self, now: Mono) -> bool {
        let looks = |promise: &Promise| promise.look(&self.green_all, 0.0) == Look::Kept;
        self.green.count() < self.policy.samples_min
            && (self.first_green.is_some() && now >= self.stage.since)
            && self.errors.iter().chain(&self.latency).all(looks)
    }

    pub(super) fn breach_in_grace(&self) -> Option<Evidence> {
        self.errors.iter().chain(&self.latency).find_map(|promise| match promise.look(&self.green_all, 0.0) {
            Look::Breach(evidence) => Some(evidence),
            Look::TooFew | Look::Kept | Look::Suspect => None,
        })
    }

    /// A breach that a revert may answer has to be the release's: late or slow-only ones also have to be worse
    /// than before, it must come over two connections, and through every address that is asked.
    pub(super) fn weigh(&self, promise: &Promise, window: &Window, evidence: Evidence) -> Finding {
        if !self.stage.release {
            return Finding::Breach(evidence);
        }
        let late = evidence.first_bad > self.stage.cutover.after(self.policy.onset);
        if late || evidence.stream == Stream::Latency {
            let before = match evidence.stream {
                Stream::Errors => self.stage.baseline.upper_share(self.stage.baseline.bad),
                Stream::Latency => self.stage.baseline.upper_share(self.stage.baseline.slow),
            };
            if !matches!(promise.look(window, before), Look::Breach(_)) {
                return Finding::AsBefore(evidence);
            }
        }
        if evidence.connections < 2 {
            return Finding::OneConnection(evidence);
        }
        match only_one_zone(window, &evidence) {
            Some(true) => Finding::OneZone(evidence),
            Some(false) => Finding::Breach(evidence),
            None => Finding::Suspect,
        }
    }

    pub(super) fn direct_answers(&self, now: Mono) -> Direct {
        let from = now.before(SIDE_SPAN);
        let mut direct = Direct::default();
        let mut good: BTreeMap<u16, bool> = BTreeMap::new();
        let mut versions = BTreeSet::new();
        for entry in self.direct.entries().filter(|entry| entry.due >= from) {
            direct.answers += 1;
            direct.bad += u32::from(entry.bad);
            direct.slow += u32::from(entry.slow);
            *good.entry(entry.addr).or_insert(true) &= !entry.bad && !entry.hangs();
            versions.insert(entry.version);
        }
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        direct.addresses = count(good.len());
        direct.addresses_good = count(good.values().filter(|good| **good).count());
        direct.versions = versions.into_iter().filter_map(|id| self.versions.name(id).cloned()).collect();
        direct
    }
}

/// Whether the old version, asked directly, did so much better while production broke its promise that two paths which are equally
/// bad would hardly ever look so. The share that production shows is the one at which the breach was called, and so by luck
/// too high where both are a little bad: it is no measure of what the old version would show.
fn is_better(window: &Window, evidence: &Evidence) -> bool {
    let (mut n, mut bad) = (0, 0);
    for entry in window.entries().filter(|entry| entry.due >= evidence.first_bad) {
        let slow = evidence.stream == Stream::Latency && entry.slow;
        let is_bad = entry.bad || slow;
        n += u32::from(is_bad || !entry.hangs());
        bad += u32::from(is_bad);
    }
    // The first bad one is bad because the breach begins with it.
    let production = (evidence.answers.saturating_sub(1), evidence.bad.saturating_sub(1));
    ln_better_by_luck((n, bad), production) <= -BETTER_NATS
}

/// Whether it is bad through one of several addresses only. `None` as long as another one, which is asked too, has not answered
/// often enough to say.
fn only_one_zone(window: &Window, evidence: &Evidence) -> Option<bool> {
    let since = || window.entries().filter(|entry| entry.due >= evidence.first_bad);
    // What hangs is bad where probes find no slot, and merely slow elsewhere.
    let no_slot = since().any(|entry| entry.bad && entry.conn == 0);
    let mut zones: BTreeMap<u16, (usize, u32)> = BTreeMap::new();
    // An address that was asked a moment ago is one that is asked.
    let from = evidence.first_bad.min(evidence.last_bad.before(SIDE_SPAN));
    for entry in window.entries().filter(|entry| entry.due >= from && entry.conn != 0) {
        let zone = zones.entry(entry.addr).or_default();
        if entry.due >= evidence.first_bad {
            zone.0 += 1;
            zone.1 += u32::from(evidence.stream.is_bad(entry) || no_slot && entry.hangs());
        }
    }
    // One that isn't asked any more has no word, unless it had one.
    let newest = |addr: u16| window.entries().rev().find(|entry| entry.addr == addr).map(|entry| entry.due);
    let gone = |addr: u16| newest(addr).is_none_or(|due| evidence.last_bad.since(due) > SIDE_SPAN);
    zones.retain(|addr, (count, _)| *count >= ZONE_MIN || !gone(*addr));
    if zones.len() < 2 || zones.values().filter(|(_, bad)| *bad > 0).count() != 1 {
        return Some(false);
    }
    zones.values().all(|(count, _)| *count >= ZONE_MIN).then_some(true)
}

/// How a side path does over the last seconds; it is bad when one answer in ten is.
fn side(window: &Window, now: Mono) -> Side {
    let from = now.before(SIDE_SPAN);
    let recent = || window.entries().filter(|entry| entry.due >= from);
    let (n, bad) = (recent().count(), recent().filter(|entry| entry.bad).count());
    match n < SIDE_MIN {
        true => Side::NoData,
        false if bad * 10 > n => Side::Bad,
        false => Side::Ok,
    }
}

/// How a side path did while production broke its promise: what it answered before proves nothing (a shared
/// dependency takes both down at once), and when all is well again, what it answered meanwhile still counts.
/// `None` until there are `enough` answers since, and too many good ones to be luck. It vetoes when in doubt: it is bad when one answer in ten is, or when
/// it is half as bad as production.
fn since(window: &Window, evidence: &Evidence, enough: usize) -> Option<Side> {
    let slow_counts = evidence.stream == Stream::Latency;
    // What hangs has not answered: it is no word about errors, and a bad one about latency.
    let speaks =
        |entry: &&Entry| entry.due >= evidence.first_bad && (slow_counts || !entry.hangs() || entry.bad);
    let spoke = || window.entries().filter(speaks);
    let n = spoke().count();
    if n < enough {
        let newest = window.entries().next_back();
        let silent = newest.is_none_or(|entry| evidence.last_bad.since(entry.due) > SIDE_SILENT);
        return if silent { Some(Side::NoData) } else { None };
    }
    let worst = spoke().filter(|entry| entry.bad || slow_counts && entry.slow).count();
    let half_as_bad = worst >= 2 && worst * 2 * evidence.answers.max(1) as usize >= n * evidence.bad as usize;
    if worst * 10 > n || half_as_bad {
        return Some(Side::Bad);
    }
    // A few good answers prove nothing where production still gives seven good ones of ten: a side path that is as
    // bad as production must hardly ever look so well.
    let share = f64::from(evidence.bad) / f64::from(evidence.answers.max(1));
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let luck = tail(count(n), count(n - worst), 1.0 - share.min(1.0));
    if luck <= SIDE_LUCK { Some(Side::Ok) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{TargetId, VersionId};
    use crate::time::Span;
    use std::time::Duration;

    /// Good answers through address 0, due `good` ms after the start, and bad ones through address 1, every 50 ms from
    /// 10 s on.
    fn zone(good: &[u64], slow: bool) -> Option<bool> {
        let mut window = Window::new(Duration::from_mins(1));
        let entry = |ms: u64, addr: u16, bad: bool| Entry {
            due: Mono(ms * 1_000_000),
            response: Span(10_000),
            bad,
            slow: slow && !bad,
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
        for entry in all {
            window.insert(entry.due, entry);
        }
        let evidence = Evidence {
            stream: Stream::Errors,
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
        only_one_zone(&window, &evidence)
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
