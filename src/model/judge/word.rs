//! The judge's word: what the promises say of production, and what the verdict table makes of it.

use super::promised::{Memos, Promised};
use super::zone::only_one_zone;
use super::{
    ATTAINED_MIN, BETTER_NATS, CLEAN_MIN, Direct, Finding, Judge, PAST_GRACE, SIDE_LUCK, SIDE_MIN,
    SIDE_SILENT, SIDE_SPAN, TOTAL_MIN, WHOLE,
};
use crate::detector::compare::ln_better_by_luck;
use crate::detector::{Look, tail};
use crate::hazard::{Hazard, answered};
use crate::policy::{Heard, Unheard};
use crate::sample::Fault;
use crate::time::Mono;
use crate::verdict::{Evidence, Production, Row, Side, Stream, Verdict, Why, WhyBlind, table};
use crate::window::{Entry, View, Window};
use std::collections::{BTreeMap, BTreeSet};

impl Judge {
    pub(super) fn verdict(&self, now: Mono, memos: &mut [Memos]) -> Verdict {
        let (void, all) = (self.own.void(), self.own.all());
        if void * 2 <= all || !answered(Hazard::OwnFault) {
            return self.word_of_answers(now, memos);
        }
        if self.own.late() * 2 <= void {
            return Verdict::Blind(WhyBlind::Ours);
        }
        // Starved, nothing is called good. But what was sent and read in time says what it says, and an outage
        // must be seen through a quota that leaves a quarter of the probes.
        if all - void >= CLEAN_MIN
            && let bad @ Verdict::Bad(_) = self.word_of_answers(now, memos)
        {
            return bad;
        }
        Verdict::Blind(WhyBlind::Starved)
    }

    fn word_of_answers(&self, now: Mono, memos: &mut [Memos]) -> Verdict {
        if self.rolling().count() == 0 && self.outside.is_empty() {
            if !answered(Hazard::MissingData) {
                return Verdict::Good;
            }
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
        match self.finding(now, memos) {
            Finding::TooFew if self.stage.release && self.production.pane(WHOLE).count() == 0 => {
                Verdict::Inconclusive(Why::NoKnownAnswer)
            }
            Finding::TooFew => Verdict::Inconclusive(Why::TooFew),
            Finding::Suspect => Verdict::Inconclusive(Why::Suspect),
            Finding::Grace(evidence) => Verdict::Inconclusive(Why::Grace(evidence)),
            // What did not come back may have been the bad part of it.
            Finding::Kept
                if self.attained(now).is_some_and(|attained| attained < ATTAINED_MIN)
                    && answered(Hazard::MissingData) =>
            {
                Verdict::Inconclusive(Why::TooFew)
            }
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
        let b = if self.stage.release && answered(Hazard::BothBad) {
            since(&self.direct, &evidence, self.promised(&evidence), SIDE_MIN).filter(|b| {
                *b != Side::Ok
                    || !answered(Hazard::FewSamples)
                    || is_better(&self.direct, &evidence, self.promised(&evidence))
            })
        } else {
            Some(Side::Ok)
        };
        let Some(b) = b else { return Verdict::Inconclusive(Why::Suspect) };
        let x = match since(&self.control, &evidence, None, 1) {
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
            Row::NoControl if self.blames_unheard(&evidence) => Verdict::Bad(evidence),
            Row::NoControl => Verdict::Inconclusive(Why::NoControl(evidence)),
            Row::Network => Verdict::Blind(WhyBlind::Network),
            Row::NoData => Verdict::Blind(WhyBlind::NoData),
            Row::Wait => Verdict::Inconclusive(Why::NoKnownAnswer),
        }
    }

    /// Whether a breach is the release's although the old version can't be heard: the service said so, the control is well, and it
    /// began with the release. What begins later may be anything that both versions need.
    fn blames_unheard(&self, evidence: &Evidence) -> bool {
        let onset = self.stage.cutover.after(self.policy.onset);
        self.policy.heard == Heard::InProduction(Unheard::Revert) && evidence.first_bad <= onset
    }

    /// The objective that evidence is about.
    fn promised(&self, evidence: &Evidence) -> Option<&Promised> {
        self.promises.iter().find(|promised| promised.promise.is_of(evidence))
    }

    /// Refusals by what stands in front of the service outnumber its answers.
    pub(super) fn outside_word(&self, now: Mono) -> Option<Verdict> {
        let outside = u32::try_from(self.outside.len()).unwrap_or(u32::MAX);
        if outside <= self.rolling().count() {
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

    pub(super) fn finding(&self, now: Mono, memos: &mut [Memos]) -> Finding {
        // A version that never answered well can't be warming up: its errors count from the first. A few are no proof of that: of a
        // version that warms up with three errors in five answers, five in a row are errors often enough.
        let total =
            self.stage.release && self.green_good == 0 && self.production.pane(WHOLE).count() >= TOTAL_MIN;
        let all = total || !self.stage.release;
        let window = self.production.pane(if all { WHOLE } else { PAST_GRACE });
        let mut kept = false;
        let mut suspect = false;
        for (promised, memos) in self.promises.iter().zip(memos.iter_mut()) {
            let promise = &promised.promise;
            if total && promise.stream == Stream::Latency {
                continue;
            }
            let memo = if all { &mut memos.all } else { &mut memos.past_grace };
            match promise.look_again(&self.sight(promised, window, now), memo) {
                Look::TooFew => {}
                // Where nothing good has come, it is kept only by what hangs, and that is no word.
                Look::Kept => kept |= !total,
                Look::Suspect => suspect = true,
                Look::Breach(mut evidence) => {
                    evidence.total = total;
                    memos.breach = evidence.answers;
                    return self.weigh(promised, window, evidence, now);
                }
            }
        }
        if now < self.grace_until
            && let Some(evidence) = self.breach_in_grace(now, memos)
        {
            return Finding::Grace(evidence);
        }
        match (suspect, kept || self.good_in_grace(now, memos)) {
            (true, _) => Finding::Suspect,
            (false, true) => Finding::Kept,
            (false, false) => Finding::TooFew,
        }
    }

    /// Within the grace the new version's answers are kept in one window only; enough good ones are good.
    pub(super) fn good_in_grace(&self, now: Mono, memos: &mut [Memos]) -> bool {
        let looks = |(promised, memos): (&Promised, &mut Memos)| {
            let sight = self.sight(promised, self.production.pane(WHOLE), now);
            promised.promise.look_again(&sight, &mut memos.all) == Look::Kept
        };
        self.production.pane(PAST_GRACE).count() < self.policy.samples_min
            && (self.first_green.is_some() && now >= self.stage.since)
            && self.promises.iter().zip(memos).all(looks)
    }

    pub(super) fn breach_in_grace(&self, now: Mono, memos: &mut [Memos]) -> Option<Evidence> {
        self.promises.iter().zip(memos).find_map(|(promised, memos)| {
            let sight = self.sight(promised, self.production.pane(WHOLE), now);
            match promised.promise.look_again(&sight, &mut memos.all) {
                Look::Breach(evidence) => {
                    memos.breach = evidence.answers;
                    Some(evidence)
                }
                Look::TooFew | Look::Kept | Look::Suspect => None,
            }
        })
    }

    /// A breach that a revert may answer has to be the release's: late or slow-only ones also have to be worse
    /// than before, it must come over two connections, and through every address that is asked.
    pub(super) fn weigh(
        &self,
        promised: &Promised,
        window: View<'_>,
        evidence: Evidence,
        now: Mono,
    ) -> Finding {
        if !self.stage.release {
            return Finding::Breach(evidence);
        }
        let late = evidence.first_bad > self.stage.cutover.after(self.policy.onset);
        if late || evidence.stream == Stream::Latency {
            let before = promised.before(&self.stage.baseline).unwrap_or_default().upper_share();
            if !matches!(promised.promise.look(&self.sight(promised, window, now), before), Look::Breach(_)) {
                return Finding::AsBefore(evidence);
            }
        }
        if evidence.connections < 2 {
            return Finding::OneConnection(evidence);
        }
        match only_one_zone(&promised.promise, window, &evidence) {
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
            direct.bad += u32::from(entry.bad());
            direct.slow += u32::from(entry.slow());
            *good.entry(entry.addr).or_insert(true) &= !entry.bad() && !entry.hangs();
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
fn is_better(window: &Window, evidence: &Evidence, of: Option<&Promised>) -> bool {
    let (mut n, mut bad) = (0, 0);
    let about = |entry: &&Entry| {
        entry.due >= evidence.first_bad
            && of.is_none_or(|promised| promised.promise.scope.holds(entry.target))
    };
    for entry in window.entries().filter(about) {
        let slow = of.map_or(entry.slow(), |promised| promised.promise.is_bad(entry));
        let is_bad = entry.bad() || evidence.stream == Stream::Latency && slow;
        n += u32::from(is_bad || !entry.hangs());
        bad += u32::from(is_bad);
    }
    // The first bad one is bad because the breach begins with it.
    let production = (evidence.answers.saturating_sub(1), evidence.bad.saturating_sub(1));
    ln_better_by_luck((n, bad), production) <= -BETTER_NATS
}

/// How a side path does over the last seconds; it is bad when one answer in ten is.
fn side(window: &Window, now: Mono) -> Side {
    let from = now.before(SIDE_SPAN);
    let recent = || window.entries().filter(|entry| entry.due >= from);
    let (n, bad) = (recent().count(), recent().filter(|entry| entry.bad()).count());
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
///
/// The old version is asked the same URLs, and only those that the broken promise is about speak of it: `of`. The control isn't.
fn since(window: &Window, evidence: &Evidence, of: Option<&Promised>, enough: usize) -> Option<Side> {
    let slow_counts = evidence.stream == Stream::Latency;
    // What hangs has not answered: it is no word about errors, and a bad one about latency.
    let speaks = |entry: &&Entry| {
        entry.due >= evidence.first_bad
            && (slow_counts || !entry.hangs() || entry.bad())
            && of.is_none_or(|promised| promised.promise.scope.holds(entry.target))
    };
    let slow = |entry: &Entry| of.map_or(entry.slow(), |promised| promised.promise.is_bad(entry));
    let spoke = || window.entries().filter(speaks);
    let n = spoke().count();
    if n < enough {
        let newest = window.entries().next_back();
        let silent = newest.is_none_or(|entry| evidence.last_bad.since(entry.due) > SIDE_SILENT);
        return if silent { Some(Side::NoData) } else { None };
    }
    let worst = spoke().filter(|entry| entry.bad() || slow_counts && slow(entry)).count();
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
mod tests;
