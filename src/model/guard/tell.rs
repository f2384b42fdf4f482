//! Telling people, and what people say: pages, latches, refusals, commands, and the wish to stop.

use super::{Action, Command, Guard, Latch, MARK_FITS, Mark, Page, PageKind, Phase};
use crate::policy::Mode;
use crate::record::Record;
use crate::release::EpochId;
use crate::time::Mono;
use std::time::Duration;

impl Guard {
    /// Tells somebody, once an epoch and kind.
    pub(super) fn page(&mut self, kind: PageKind, text: &str, out: &mut Vec<Action>) {
        self.page_for(kind, "", text, out);
    }

    /// Tells somebody, once an epoch, kind and reason.
    pub(super) fn page_for(
        &mut self,
        kind: PageKind,
        reason: &'static str,
        text: &str,
        out: &mut Vec<Action>,
    ) {
        let epoch = self.epoch.as_ref().map_or(EpochId(0), |epoch| epoch.id);
        if !self.paged.insert((epoch, kind.name(), reason)) {
            return;
        }
        while self.paged.len() > 256 {
            self.paged.pop_first();
        }
        let dry_run = self.policy.mode == Mode::Observe;
        let text: Box<str> = if dry_run { format!("DRY RUN: {text}").into() } else { text.into() };
        let release = self.release.as_ref().map(|release| release.id);
        out.push(Action::note(Record::Paged { kind: kind.name().into(), text: text.clone() }));
        out.push(Action::Page(Page { kind, text, dry_run, epoch, release }));
    }

    /// Latches the release: nothing more is done automatically.
    pub(super) fn latch(&mut self, reason: &'static str, needs_human: bool, out: &mut Vec<Action>) {
        self.phase = Phase::Watching;
        if let Some(release) = &mut self.release {
            release.latch = Some(Latch { reason, needs_human });
            out.push(Action::note(Record::Held { release: release.id, reason: reason.into(), needs_human }));
        }
    }

    /// Does nothing, says why, and latches.
    pub(super) fn refuse(&mut self, reason: &'static str, says: &str, out: &mut Vec<Action>) {
        let release = self.release.as_ref().map(|release| release.id);
        out.push(Action::note(Record::Refused { release, reason: reason.into(), says: says.into() }));
        self.page_for(PageKind::Refused, reason, &format!("not reverting: {says}"), out);
        self.latch(reason, true, out);
    }

    /// What was asked for since `from` breaks an invariant: the guard is wrong somewhere, and acts no more.
    pub(super) fn stand_down(&mut self, now: Mono, why: &str, from: usize, out: &mut Vec<Action>) {
        let mut place = 0;
        out.retain(|action| {
            place += 1;
            place <= from || !action.leads_to_a_call()
        });
        self.monitor.stand_down(why);
        let why = format!("an invariant is broken ({why}): nothing more is written until a restart");
        match &self.phase {
            Phase::Reading { course, .. } | Phase::Writing { course, .. }
                if course.is_begun() || course.doubtful.is_some() =>
            {
                self.partial(now, &format!("{why}{}", course.says()), out);
            }
            _ => {
                self.abandon(&why, out);
                self.refuse("invariants", &why, out);
            }
        }
    }

    pub(super) fn operator(&mut self, now: Mono, command: Command, out: &mut Vec<Action>) {
        out.push(Action::note(Record::Operator { command: command.clone() }));
        match command {
            Command::Hold { reason } => {
                self.hold = Some(reason.clone());
                self.tag(Some(reason), out);
            }
            Command::Unhold => {
                self.hold = None;
                self.tag(None, out);
            }
            Command::Ack => {
                // The release that was acted on stays done; what is acknowledged is the need for a person. A release
                // that isn't latched is judged on: the word was meant for an earlier one.
                if let (Phase::Watching, Some(release)) = (&self.phase, &mut self.release)
                    && let Some(latch) = &mut release.latch
                {
                    latch.needs_human = false;
                    release.over = true;
                }
            }
            Command::ReleaseBegin { label, irreversible } => {
                let fresh = self.release.as_mut().filter(|release| {
                    !release.over && release.label.is_none() && now.since(release.cutover) < MARK_FITS
                });
                if let Some(release) = fresh {
                    release.label.clone_from(&label);
                    release.irreversible |= irreversible;
                } else {
                    self.mark = Some(Mark { label, irreversible, at: now, spent: Duration::ZERO });
                }
                self.read_soon(now);
            }
        }
    }

    /// The other instances learn of a hold from its tag.
    fn tag(&self, hold: Option<Box<str>>, out: &mut Vec<Action>) {
        if self.policy.has_lever {
            out.push(Action::Tag(hold));
        }
    }

    /// What the last read said of the tag isn't so any more.
    pub(super) fn tagged(&mut self, now: Mono) {
        self.last_full = None;
        self.read_soon(now);
    }

    /// A write that is out is finished and read back; what has not begun is left.
    pub(super) fn drain(&mut self, out: &mut Vec<Action>) {
        self.draining = true;
        match &self.phase {
            Phase::Watching | Phase::Writing { .. } | Phase::Confirming { .. } => {}
            // What may have begun is finished.
            Phase::Reading { course, .. } if course.doubtful.is_some() || course.is_begun() => {}
            Phase::Preflight { .. } => self.phase = Phase::Watching,
            Phase::Intending { .. } | Phase::Reading { .. } => {
                self.abandon("interrupted before the write", out);
            }
            Phase::Verifying { .. } => self.interrupted(out),
        }
    }
}

#[cfg(test)]
mod tests;
