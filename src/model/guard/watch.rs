//! Reads, epochs and releases: what the listener is, whether that is new, and which state was good.

use super::preflight::serving_targets;
use super::{
    Action, Epoch, Guard, HISTORY, Latch, Live, Marks, Observed, OpId, PageKind, Phase, ReadError, Release,
};
use crate::hazard::{Hazard, answered};
use crate::judge::Notice;
use crate::owner::Owner;
use crate::plan::Progress;
use crate::record::Record;
use crate::recover::Recovered;
use crate::release::{Cause, Earlier, EpochId, ReleaseId};
use crate::time::Mono;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A mark by the pipeline speaks of the next cutover within this time.
const MARK_FOR: Duration = Duration::from_hours(1);
/// After a restart, a release goes on under judgement only if we were away for no longer.
const AWAY_MAX: Duration = Duration::from_mins(1);

impl Guard {
    /// Something in the data plane deserves a read at once, at most once a second.
    pub(super) fn noticed(&mut self, now: Mono, notice: &Notice, out: &mut Vec<Action>) {
        if self.policy.has_lever {
            self.read_soon(now);
        } else if let Notice::Version(_) = notice
            && self.epoch.as_ref().is_some_and(|epoch| epoch.established)
        {
            // Without a listener the version is all that tells of a release: judged, told, no lever.
            let after = self.epoch.as_ref().map_or(now, |epoch| epoch.since);
            self.begin(now, after, Cause::Version, true, out);
        }
    }

    pub(super) fn read_soon(&mut self, now: Mono) {
        // A background read that just went out doesn't hold this one back: it may have left before the change.
        let soon = self.last_soon.map_or(now, |last| last.after(Duration::from_secs(1)).max(now));
        if soon < self.next_read {
            self.next_read = soon;
            self.last_soon = Some(soon);
        }
    }

    /// A read came back: the background one, or one that the acting path waits for.
    pub(super) fn read(
        &mut self,
        now: Mono,
        op: OpId,
        result: Result<Observed, ReadError>,
        out: &mut Vec<Action>,
    ) {
        if self.acting_read(now, op, &result, out) {
            return;
        }
        if self.reading.is_none_or(|(open, _)| open != op) {
            self.late_replies += 1;
            return;
        }
        self.answered = self.reading.map_or(now, |(_, sent)| sent);
        self.reading = None;
        match result {
            Ok(observed) => {
                let before = self.live.as_ref().map_or(now, |live| live.read);
                self.take(now, observed);
                match self.phase {
                    Phase::Watching | Phase::Verifying { .. } => self.compare(now, before, out),
                    Phase::Writing { .. } => self.glimpse(now, out),
                    Phase::Reading { .. } => self.glance(now, out),
                    // The acting path's own reads decide.
                    Phase::Preflight { .. } | Phase::Intending { .. } | Phase::Confirming { .. } => {}
                }
            }
            Err(error) => self.read_failed(now, error),
        }
    }

    pub(super) fn read_failed(&mut self, now: Mono, error: ReadError) {
        self.read_backoff = (self.read_backoff + 1).min(6);
        self.read_error = Some(error);
        self.next_read = now.after(self.read_pause(now));
    }

    /// Keeps what a read showed; what its depth left out stays as it was.
    pub(super) fn take(&mut self, now: Mono, observed: Observed) {
        self.read_backoff = 0;
        self.read_error = None;
        let old = self.live.take();
        let fingerprint = observed.state.fingerprint();
        if observed.health.is_some() {
            self.last_full = Some(now);
        }
        let (marks, health) = match old {
            Some(old) => (old.marks, old.health),
            None => (Marks::of(Owner::Unknown("it was not looked up yet".into())), Vec::new()),
        };
        let (marks, health) = (observed.marks.unwrap_or(marks), observed.health.unwrap_or(health));
        self.live = Some(Live { state: observed.state, fingerprint, health, marks, read: now });
    }

    /// Has the governed rule changed?
    pub(super) fn compare(&mut self, now: Mono, before: Mono, out: &mut Vec<Action>) {
        let Some(live) = self.live.as_ref() else { return };
        let targets = serving_targets(&live.state, &live.health);
        let same =
            self.epoch.as_ref().is_some_and(|epoch| epoch.fingerprint.as_ref() == Some(&live.fingerprint));
        if same {
            if let Some(epoch) = self.epoch.as_mut() {
                epoch.confirmed = epoch.confirmed.max(self.answered);
                if !targets.is_empty() && !epoch.established {
                    epoch.targets = targets;
                }
            }
            self.newcomers(out);
            self.apply_marks();
        } else if self.epoch.is_none() {
            self.start(now, out);
        } else {
            self.changed(now, before, out);
        }
        self.ask(out);
    }

    /// We have put something back for the release that is latched.
    fn has_written(&self) -> bool {
        let latch =
            self.release.as_ref().filter(|release| !release.over).and_then(|release| release.latch.as_ref());
        answered(Hazard::FlippedBack)
            && latch.is_some_and(|latch| matches!(latch.reason, "reverted" | "partial" | "interrupted"))
    }

    /// While we hold after a revert, whoever registers targets where users are may not know that they are there.
    fn newcomers(&mut self, out: &mut Vec<Action>) {
        let base = self.release.as_ref().and_then(|release| release.base.as_ref());
        let (true, Some(base), Some(live)) = (self.has_written(), base, &self.live) else { return };
        // A write whose effect isn't known, or that reached only some of the rules, leaves the new group among those
        // that serve, and its targets are no newcomers.
        if live.state.serving() != base.state.serving() {
            return;
        }
        let now = serving_targets(&live.state, &live.health);
        let new: Vec<&str> = now.iter().map(|id| &**id).filter(|id| !base.targets.contains(*id)).collect();
        if let Some(first) = new.first()
            && !base.targets.is_empty()
        {
            let text = format!(
                "{} new targets ({first}) in {}, which serves since our revert: a pipeline may not know that it is live",
                new.len(),
                live.state.label()
            );
            self.page_for(PageKind::Overridden, "new-targets", &text, out);
        }
    }

    /// The first read after our start.
    pub(super) fn start(&mut self, now: Mono, out: &mut Vec<Action>) {
        let Some(mut memory) = self.recovered.take() else { return };
        let Some(fingerprint) = self.live.as_ref().map(|live| live.fingerprint.clone()) else { return };
        self.good = memory.good.take().filter(|good| {
            let was_base = memory.release.as_ref().and_then(|release| release.base.as_ref());
            good.state.fingerprint() == fingerprint
                || was_base.is_some_and(|base| base == good) && memory.shows.as_ref() == Some(&fingerprint)
        });
        if let Some(intent) = memory.intent.take().filter(|_| answered(Hazard::Death)) {
            self.resume_intent(now, &memory, intent, out);
            return;
        }
        let known = memory.shows.as_ref() == Some(&fingerprint);
        let judged = known && memory.gap <= AWAY_MAX;
        self.restore_release(now, &memory);
        // A latch outlives a restart while the listener is what it was; judging goes on only after a short absence.
        let resumes = match &mut self.release {
            Some(release) => {
                let latched = release.latch.is_some();
                release.over |= !known || !(latched || judged);
                !release.over && !latched
            }
            None => false,
        };
        self.begin_epoch(now, now, Cause::Start, resumes, out);
    }

    /// The last release as the ledger has it.
    pub(super) fn restore_release(&mut self, now: Mono, memory: &Recovered) {
        let Some(fingerprint) = self.live.as_ref().map(|live| &live.fingerprint) else { return };
        self.release = memory.release.as_ref().map(|release| Release {
            id: release.id,
            label: release.label.clone(),
            lever: release.base.as_ref().is_some_and(|base| base.state.fingerprint() != *fingerprint),
            base: release.base.clone(),
            old_versions: release.base.as_ref().map(|base| base.versions.clone()).unwrap_or_default(),
            first: release.first,
            cutover: now.before(release.cutover_ago),
            until: now.after(self.policy.judge_for.saturating_sub(release.cutover_ago)),
            irreversible: release.irreversible,
            latch: release.latch.map(|(reason, needs_human)| Latch { reason, needs_human }),
            over: release.over,
        });
    }

    /// The rule is not what it was.
    pub(super) fn changed(&mut self, now: Mono, before: Mono, out: &mut Vec<Action>) {
        let what = self.what();
        let Some(live) = self.live.as_ref() else { return };
        let (fingerprint, shows) = (live.fingerprint.clone(), live.state.label());
        let targets = serving_targets(&live.state, &live.health);
        if let Phase::Verifying { intent, .. } = &self.phase
            && !intent.is_done(&live.state)
        {
            self.overridden(now, &format!("the {what} shows {shows} while our revert is being proved"), out);
        }
        let reverted = self.epoch.as_ref().is_some_and(|epoch| epoch.cause == Cause::OwnRevert);
        if matches!(self.phase, Phase::Watching | Phase::Preflight { .. })
            && let (Some(live), Some(intent)) = (&self.live, &self.unproved)
        {
            match intent.progress(&live.state) {
                // Our own writes, later than we waited for them.
                Progress::Done => {
                    let late = intent.clone();
                    self.spend(&late, now);
                    self.unproved = None;
                    self.confirmed(now, late, out);
                    return;
                }
                // Our own too, and not all of them: the rest is for a person.
                Progress::Left { begun: true, writes } if !reverted && answered(Hazard::OwnRevert) => {
                    let (all, left) = (intent.writes.len(), writes.len());
                    let (intent, why) = (intent.clone(), "a write of ours took effect late");
                    let latch = self.release.as_ref().and_then(|release| release.latch.as_ref());
                    if latch.is_none_or(|latch| latch.reason != "partial") {
                        self.spend_late(&intent, now, out);
                        self.partial(now, &format!("{why}: {} of {all} rules are put back", all - left), out);
                    }
                    self.begin_epoch(now, before, Cause::OwnRevert, false, out);
                    return;
                }
                Progress::Left { .. } | Progress::Third(_) => {}
            }
        }
        let acted = self.release.as_ref().is_some_and(|release| release.latch.is_some() && !release.over);
        let earlier = self.history.iter().rev().find(|earlier| earlier.fingerprint == fingerprint);
        let rollback = answered(Hazard::FlippedBack)
            && earlier.is_some_and(|earlier| !self.is_recoloured(earlier, &targets));
        if rollback {
            if acted {
                out.push(Action::note(Record::Drift { shows: shows.clone().into() }));
                self.page(
                    PageKind::Overridden,
                    &format!("somebody put the {what} to {shows} after us; we leave it so"),
                    out,
                );
            }
            if let Some(release) = self.release.as_mut().filter(|release| !release.over) {
                release.over = true;
            }
            if !matches!(self.phase, Phase::Watching) {
                self.abandon(&format!("the {what} was put back by somebody else"), out);
            }
            self.begin_epoch(now, before, Cause::Rollback, false, out);
            return;
        }
        if !matches!(self.phase, Phase::Watching) {
            self.abandon(&format!("the {what} changed under us"), out);
        }
        if self.has_written() {
            out.push(Action::note(Record::Drift { shows: shows.clone().into() }));
            let text =
                format!("somebody put the {what} to {shows} after our revert; we leave it so, and judge it");
            self.page(PageKind::Overridden, &text, out);
        }
        let step = self.is_step();
        self.begin(now, before, if step { Cause::Step } else { Cause::Foreign }, !step, out);
    }

    /// The same colours as in an earlier state hold something else now, as far as targets tell; versions tell later
    /// (`unmask_release`). Where versions are known, one replaced task is no deployment: only when none is left
    /// of those that were there is it one.
    pub(super) fn is_recoloured(&self, earlier: &Earlier, targets: &BTreeSet<Box<str>>) -> bool {
        if self.policy.versions_known && !earlier.versions.is_empty() {
            !targets.is_empty() && !earlier.targets.is_empty() && targets.is_disjoint(&earlier.targets)
        } else {
            earlier.differs(&BTreeSet::new(), targets)
        }
    }

    /// Another weight between the two groups of the release that is under judgement.
    pub(super) fn is_step(&self) -> bool {
        let (Some(release), Some(live)) = (&self.release, &self.live) else { return false };
        let Some(base) = release.base.as_ref().filter(|_| !release.over && release.latch.is_none()) else {
            return false;
        };
        let old = base.state.serving();
        let now_serving = live.state.serving();
        // Green was among those that got requests, so the same green gets more (or fewer) now.
        let greens: Vec<&str> = now_serving.iter().copied().filter(|group| !old.contains(group)).collect();
        let Some(epoch) = &self.epoch else { return false };
        !greens.is_empty() && greens.iter().all(|green| epoch.serving.contains(*green))
    }

    /// A new epoch of a release: a new one, or another step of the one that runs.
    pub(super) fn begin(&mut self, now: Mono, after: Mono, cause: Cause, new: bool, out: &mut Vec<Action>) {
        if new {
            let mark = self.mark.take().filter(|mark| now.since(mark.at) + mark.spent < MARK_FOR);
            let marks = self.live.as_ref().map(|live| &live.marks);
            let tags = marks.map(|marks| (marks.label.clone(), marks.irreversible.is_some()));
            let (tag_label, tag_irreversible) = tags.unwrap_or_default();
            let (label, irreversible) = mark.map_or((None, false), |mark| (mark.label, mark.irreversible));
            self.unproved = None;
            let base = self.good.clone();
            let mut old_versions = base.as_ref().map(|base| base.versions.clone()).unwrap_or_default();
            // A version that came without the listener is the release itself.
            let left = self.epoch.as_ref().filter(|_| cause != Cause::Version);
            old_versions.extend(left.map(|epoch| epoch.own_versions(base.as_ref())).unwrap_or_default());
            if matches!(self.epoch, Some(Epoch { cause: Cause::Rollback, .. })) && cause == Cause::Foreign {
                old_versions
                    .retain(|version| self.history.iter().any(|earlier| earlier.versions.contains(version)));
            }
            let lever = match (&base, &self.live) {
                (Some(base), Some(live)) => base.state.fingerprint() != live.fingerprint,
                _ => false,
            };
            self.next_release += 1;
            self.release = Some(Release {
                id: ReleaseId(self.next_release - 1),
                label: label.or(tag_label),
                base,
                old_versions,
                first: EpochId(self.next_epoch),
                cutover: now,
                until: now.after(self.policy.judge_for),
                irreversible: irreversible || tag_irreversible,
                lever,
                latch: None,
                over: false,
            });
        } else if let Some(release) = &mut self.release {
            release.cutover = now;
            release.until = now.after(self.policy.judge_for);
        }
        if new {
            self.note_release(now, out);
        }
        self.begin_epoch(now, after, cause, true, out);
    }

    pub(super) fn note_release(&self, now: Mono, out: &mut Vec<Action>) {
        let Some(release) = &self.release else { return };
        let from = release.base.as_ref().map_or_else(|| "unknown".to_owned(), |base| base.state.label());
        let to = self.live.as_ref().map_or_else(|| "a new version".to_owned(), |live| live.state.label());
        out.push(Action::note(Record::Release {
            release: release.id,
            label: release.label.clone(),
            base: release.base.clone(),
            from: from.into(),
            to: to.into(),
            cutover: now,
            irreversible: release.irreversible,
        }));
    }

    /// Opens an epoch; `judged` when it belongs to a release that is under judgement.
    pub(super) fn begin_epoch(
        &mut self,
        now: Mono,
        after: Mono,
        cause: Cause,
        judged: bool,
        out: &mut Vec<Action>,
    ) {
        self.remember();
        let id = EpochId(self.next_epoch);
        self.next_epoch += 1;
        let live = self.live.as_ref();
        let targets = live.map(|live| serving_targets(&live.state, &live.health)).unwrap_or_default();
        self.epoch = Some(Epoch {
            id,
            cause,
            fingerprint: live.map(|live| live.fingerprint.clone()),
            serving: live
                .map(|live| live.state.serving().into_iter().map(Into::into).collect())
                .unwrap_or_default(),
            after,
            since: now,
            versions: BTreeSet::new(),
            settled: BTreeMap::new(),
            confirmed: Mono(0),
            stranger: None,
            targets,
            good_since: None,
            bad_since: None,
            nameless_since: None,
            first_bad_told: false,
            established: false,
        });
        self.judged = None;
        out.push(Action::note(Record::Epoch {
            epoch: id,
            cause,
            release: self
                .release
                .as_ref()
                .filter(|release| judged || !release.over)
                .map(|release| release.id),
            label: self.release.as_ref().filter(|_| judged).and_then(|release| release.label.clone()),
            state: live.map(|live| live.state.clone()),
            shows: live.map_or_else(|| "no listener".into(), |live| live.state.label().into()),
            after,
            since: now,
        }));
        // The pause that was reckoned in peace is too long now.
        self.read_soon(now);
        // Asked first: answers of other targets than the new epoch's must not be among its own.
        self.ask(out);
        out.push(Action::Open(self.stage(id, after, now, judged)));
    }

    /// The epoch that ends becomes one of the earlier states.
    pub(super) fn remember(&mut self) {
        let Some(epoch) = self.epoch.take() else { return };
        let versions = epoch.own_versions(self.good.as_ref());
        self.left.clone_from(&versions);
        let Epoch { fingerprint: Some(fingerprint), targets, .. } = epoch else { return };
        self.history.retain(|earlier| earlier.fingerprint != fingerprint);
        self.history.push_back(Earlier { fingerprint, versions, targets });
        while self.history.len() > HISTORY {
            self.history.pop_front();
        }
    }

    /// Tags may name or forbid a release after its cutover was seen.
    pub(super) fn apply_marks(&mut self) {
        let Some(live) = &self.live else { return };
        if let Some(release) = self.release.as_mut().filter(|release| !release.over) {
            release.irreversible |= live.marks.irreversible.is_some();
            if release.label.is_none() {
                release.label.clone_from(&live.marks.label);
            }
        }
    }

    /// Which targets are asked directly: those of the state to return to, or in peace those that serve.
    pub(super) fn ask(&mut self, out: &mut Vec<Action>) {
        let Some(live) = &self.live else { return };
        let release = self.release.as_ref().filter(|release| !release.over);
        let wanted = match release.map(|release| release.base.as_ref()) {
            Some(Some(base)) => serving_targets(&base.state, &live.health),
            // Without a state to return to there is no old version, and the new one is no word for it.
            Some(None) => BTreeSet::new(),
            None => serving_targets(&live.state, &live.health),
        };
        let gone = release.is_none_or(|release| release.base.is_some()) && wanted.is_empty();
        if !gone && wanted != self.asked {
            self.asked.clone_from(&wanted);
            out.push(Action::Ask(wanted));
        }
    }
}

#[cfg(test)]
mod noted;
#[cfg(test)]
mod tests;
