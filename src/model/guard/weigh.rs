//! What the judge's word means for the state that serves: a release unmasked, a good state, a breach, the end of authority.

use super::{Action, Guard, PageKind, Phase};
use crate::judge::Judgement;
use crate::record::Record;
use crate::release::{Cause, Good};
use crate::target::Version;
use crate::time::Mono;
use crate::verdict::{Verdict, Why, WhyBlind};
use std::time::Duration;

/// Fewer bad answers in the rolling window than this may be anybody's.
const NAMELESS_MIN: u32 = 5;
/// So long they are waited for: a balancer may need as long to find its targets.
const NAMELESS_FOR: Duration = Duration::from_secs(10);
/// A state that is bad for so long in peace is not good any more.
const SPOILED_AFTER: Duration = Duration::from_secs(5);

impl Guard {
    /// The judge's word.
    pub(super) fn judgement(&mut self, now: Mono, judgement: Judgement, out: &mut Vec<Action>) {
        let Some(epoch) = self.epoch.as_mut().filter(|epoch| epoch.id == judgement.epoch) else { return };
        if !judgement.versions.is_subset(&epoch.versions) {
            epoch.versions.extend(judgement.versions.iter().cloned());
            let record = Record::Seen {
                epoch: epoch.id,
                versions: epoch.versions.clone(),
                targets: epoch.targets.clone(),
            };
            out.push(Action::note(record));
        }
        epoch.bad_since = match judgement.verdict {
            Verdict::Bad(_) => epoch.bad_since.or(Some(now)),
            Verdict::Good | Verdict::Inconclusive(_) | Verdict::Blind(_) => None,
        };
        let mut unconfirmed = false;
        for version in &judgement.settled {
            if !epoch.settled.contains_key(version) {
                epoch.settled.insert(version.clone(), now);
                unconfirmed = true;
            }
        }
        if let Some(first) = judgement.first_bad.as_ref().filter(|_| !epoch.first_bad_told) {
            epoch.first_bad_told = true;
            out.push(Action::note(Record::FirstBad {
                epoch: epoch.id,
                due: first.due,
                done: first.done,
                target: first.target,
                status: first.status,
                fault: first.fault.map_or("saturated", crate::sample::Fault::name).into(),
                version: first.version.clone(),
            }));
        }
        if unconfirmed && self.policy.has_lever {
            // Only a read that is sent from now on shows that it is this state's.
            self.read_soon(now);
        }
        self.note_word(&judgement, out);
        self.tell_nameless(now, &judgement, out);
        self.judged = Some(judgement);
        if self.unmask_release(now, out) {
            return;
        }
        self.establish(now, out);
        if matches!(self.phase, Phase::Watching) {
            self.weigh(now, out);
        }
    }

    /// Bad answers that name nobody, while nobody has answered as the new version, are no evidence against it: a green that isn't there
    /// at a share of the weights looks like this, and so does an edge. Users are hurt all the same, so somebody is told.
    fn tell_nameless(&mut self, now: Mono, judgement: &Judgement, out: &mut Vec<Action>) {
        let judging = self.release.as_ref().is_some_and(|release| !release.over && release.latch.is_none());
        let unknown = matches!(judgement.verdict, Verdict::Inconclusive(Why::NoKnownAnswer));
        let many = judgement.bad >= NAMELESS_MIN && judgement.bad * 10 >= judgement.answers;
        let Some(epoch) = &mut self.epoch else { return };
        if !(judging && unknown && many) {
            epoch.nameless_since = None;
            return;
        }
        let since = *epoch.nameless_since.get_or_insert(now);
        if now.since(since) >= NAMELESS_FOR {
            let (bad, answers) = (judgement.bad, judgement.answers);
            let text = format!(
                "{bad} of {answers} answers are bad and name no version, and none has come from the new one: it can't be judged, and isn't reverted; is it there at all?"
            );
            self.page_for(PageKind::Bad, "nameless", &text, out);
        }
    }

    /// The same colours, another version: what looked like a rollback, or like no change at all, is a release.
    pub(super) fn unmask_release(&mut self, now: Mono, out: &mut Vec<Action>) -> bool {
        let (Some(epoch), Some(judged)) = (&mut self.epoch, &self.judged) else { return false };
        if epoch.cause == Cause::Rollback {
            // While a change spreads, the state before it still answers: only a version that no earlier state had is news.
            let known =
                |version: &Version| self.history.iter().any(|earlier| earlier.versions.contains(version));
            if judged.versions.iter().any(|version| !known(version)) {
                let since = epoch.since;
                self.begin(now, since, Cause::Foreign, true, out);
                return true;
            }
        }
        let foreign = |good: &Good| judged.settled.iter().any(|version| !good.versions.contains(version));
        let peace = self.release.as_ref().is_none_or(|release| release.over);
        if !peace || !self.good.as_ref().is_some_and(|good| good.epoch == epoch.id && foreign(good)) {
            return false;
        }
        let seen = *epoch.stranger.get_or_insert(now);
        // A read that was sent since shows the rule as it was: a new version behind the same rule.
        let read_since = self
            .last_sent
            .is_some_and(|sent| sent > seen && self.live.as_ref().is_some_and(|live| live.read >= sent));
        if read_since && self.reading.is_none() {
            self.begin(now, seen, Cause::Version, true, out);
            return true;
        }
        self.read_soon(now);
        false
    }

    /// One line a change of word, and a page where somebody should know.
    pub(super) fn note_word(&mut self, judgement: &Judgement, out: &mut Vec<Action>) {
        let word: Box<str> = match &judgement.verdict {
            Verdict::Inconclusive(why) => format!("inconclusive {}", why.name()).into(),
            Verdict::Blind(why) => format!("blind {}", why.name()).into(),
            Verdict::Good | Verdict::Bad(_) => judgement.verdict.word().into(),
        };
        if self.last_word.as_ref() == Some(&(judgement.epoch, word.clone())) {
            return;
        }
        self.last_word = Some((judgement.epoch, word));
        if self.is_blind() {
            self.read_soon(judgement.at);
        }
        let says: Box<str> = judgement.verdict.to_string().into();
        out.push(Action::note(Record::Verdict {
            epoch: judgement.epoch,
            verdict: judgement.verdict.word().into(),
            says: says.clone(),
            clean: judgement.void.1.saturating_sub(judgement.void.0),
            due: judgement.void.1,
        }));
        let judging = self.release.as_ref().is_some_and(|release| !release.over && release.latch.is_none());
        match &judgement.verdict {
            Verdict::Blind(why) => {
                if judging && *why == WhyBlind::Network {
                    self.note_refusal(why.name(), &says, out);
                }
                self.page(PageKind::Blind, &format!("blind: {says}"), out);
            }
            Verdict::Inconclusive(why) if judging && why.evidence().is_some() && why.name() != "grace" => {
                let no_base = self.release.as_ref().is_some_and(|release| release.base.is_none());
                let (reason, says) = if no_base {
                    ("known-good", format!("no-known-good: no state was judged good before this one; {says}"))
                } else {
                    (why.name(), says.into())
                };
                self.note_refusal(reason, &says, out);
                self.page_for(PageKind::Refused, reason, &format!("not reverting: {says}"), out);
            }
            Verdict::Good | Verdict::Bad(_) | Verdict::Inconclusive(_) => {}
        }
    }

    pub(super) fn note_refusal(&self, reason: &str, says: &str, out: &mut Vec<Action>) {
        let release = self.release.as_ref().map(|release| release.id);
        out.push(Action::note(Record::Refused { release, reason: reason.into(), says: says.into() }));
    }

    /// Good over the settling time: a state to return to.
    pub(super) fn establish(&mut self, now: Mono, out: &mut Vec<Action>) {
        let (Some(epoch), Some(judged)) = (self.epoch.as_mut(), self.judged.as_ref()) else { return };
        if judged.verdict != Verdict::Good {
            epoch.good_since = None;
            return;
        }
        let since = *epoch.good_since.get_or_insert(now);
        let settled = now.since(since) >= self.policy.settle
            && judged.good_answers >= u64::from(self.policy.settle_answers);
        let refresh = epoch.established && self.good.as_ref().is_some_and(|good| good.epoch == epoch.id);
        if refresh && let Some(good) = &mut self.good {
            // What was normal stays the newest normal, until the next cutover.
            good.baseline = judged.baseline.clone();
        }
        if !settled || epoch.established {
            return;
        }
        epoch.established = true;
        let Some(live) = &self.live else { return };
        let healthy = super::preflight::healthy_serving(&live.state, &live.health);
        let good = Good {
            epoch: epoch.id,
            state: live.state.clone(),
            versions: epoch.own_versions(None),
            targets: epoch.targets.clone(),
            healthy,
            baseline: judged.baseline.clone(),
        };
        out.push(Action::note(Record::Good { good: good.clone() }));
        self.good = Some(good);
    }

    /// The time to act is over.
    pub(super) fn end_authority(&mut self, now: Mono, out: &mut Vec<Action>) {
        if !matches!(self.phase, Phase::Watching) {
            return;
        }
        let Some(release) = self.release.as_mut().filter(|release| !release.over) else { return };
        if now < release.until || release.latch.is_some() {
            return;
        }
        release.over = true;
        out.push(Action::note(Record::Kept { release: release.id }));
        self.ask(out);
        // The same epoch goes on in peace: nobody asks the old version any more, so it has no word either.
        self.left.clear();
        if let Some(epoch) = &self.epoch {
            out.push(Action::Open(self.stage(epoch.id, epoch.after, epoch.since, false)));
        }
    }

    /// A good state that turns bad in peace is no place to return to. What a cutover that isn't read yet does must not
    /// be held against it, so a read that was sent since has to show that the state is still this one.
    pub(super) fn spoil(&mut self, now: Mono, out: &mut Vec<Action>) {
        let Some(epoch) = &mut self.epoch else { return };
        let stood =
            epoch.bad_since.is_some_and(|since| now.since(since) >= SPOILED_AFTER && epoch.confirmed > since);
        let is_good = |good: &mut Good| Some(good.state.fingerprint()) == epoch.fingerprint;
        if stood && let Some(good) = self.good.take_if(is_good) {
            (epoch.established, epoch.good_since) = (false, None);
            out.push(Action::note(Record::NotGood { epoch: good.epoch }));
        }
    }

    /// A breach where nothing may be done is told; where something may, preflight begins.
    pub(super) fn weigh(&mut self, now: Mono, out: &mut Vec<Action>) {
        let Some(Judgement { verdict: Verdict::Bad(evidence), .. }) = &self.judged else { return };
        let evidence = evidence.clone();
        let judging = self.release.as_ref().filter(|release| !release.over);
        let cause = self.epoch.as_ref().map(|epoch| epoch.cause);
        let Some(release) = judging
            .filter(|_| matches!(cause, Some(Cause::Foreign | Cause::Step | Cause::Version | Cause::Start)))
        else {
            self.spoil(now, out);
            let proving = matches!(cause, Some(Cause::OwnRevert))
                && self.epoch.as_ref().is_some_and(|epoch| now.since(epoch.since) < self.policy.verify_for);
            if !proving {
                self.page(
                    PageKind::Bad,
                    &format!("{evidence}; no release is under judgement, so there is nothing to revert"),
                    out,
                );
            }
            return;
        };
        if let Some(latch) = &release.latch {
            // Whoever was told may think that all is well since.
            if cause == Some(Cause::Start) {
                let text = format!("{evidence}; nothing more is done for this release: {}", latch.reason);
                self.page(PageKind::Bad, &text, out);
            }
            return;
        }
        if self.draining {
            return;
        }
        let (id, first, base) = (release.id, release.first, release.base.clone());
        // A release that ends in a breach is no place to return to, in none of its steps.
        let epoch = self.epoch.as_ref().map(|epoch| epoch.id);
        if let Some(good) = self.good.as_ref().filter(|good| good.epoch >= first) {
            out.push(Action::note(Record::NotGood { epoch: good.epoch }));
            self.good = base;
        }
        let says: Box<str> = evidence.to_string().into();
        if let Some(epoch) = epoch {
            out.push(Action::note(Record::Breach {
                epoch,
                release: id,
                evidence: evidence.clone(),
                says: says.clone(),
            }));
        }
        self.page(PageKind::Breach, &format!("BREACH: {says}"), out);
        self.preflight(now, evidence, out);
    }
}

#[cfg(test)]
mod tests;
