//! Rules that somebody else moves are put back by that owner's own call: what its deployment says decides beside what the rules show.

use super::write::CONFIRM_MAX;
use super::{Action, Course, Guard, PageKind, Phase};
use crate::hazard::{Hazard, answered};
use crate::owner::{DeploymentStage, Owner};
use crate::plan::Progress;
use crate::record::Intent;
use crate::time::Mono;
use std::time::Duration;

/// How long an owner may take for its way back before somebody is called. AWS documents no time for it [own guess].
const OWNER_MAX: Duration = Duration::from_mins(10);
/// After this it is told that it takes long.
const OWNER_SLOW: Duration = Duration::from_secs(30);
/// Between two looks on that way; five times as long once it takes long.
const OWNER_LOOK: Duration = Duration::from_secs(1);

impl Guard {
    /// The read directly before the owner's call, or that resolves an unknown one.
    pub(super) fn reread_owned(&mut self, now: Mono, mut course: Course, out: &mut Vec<Action>) {
        let what = self.what();
        let (Some(live), Some(call)) = (&self.live, course.intent.call.clone()) else { return };
        let (label, doubtful) = (live.state.label(), course.doubtful.is_some());
        let stage = live.marks.owner.stage_of(call.deployment()).cloned();
        let next = live.marks.owner.call();
        let owed = self.unproved.as_ref().is_some_and(|late| late.is_done(&live.state));
        let intent = course.intent.clone();
        let left = match intent.progress(&live.state) {
            Progress::Done if doubtful || owed => {
                self.spend(&intent, now);
                self.confirmed(now, intent, out);
                return;
            }
            Progress::Left { writes, .. } => writes.first().copied(),
            Progress::Third(_) if doubtful => None,
            Progress::Done | Progress::Third(_) => {
                self.overridden(now, &format!("the {what} shows {label} directly before our call"), out);
                return;
            }
        };
        match (stage, left, next) {
            // The effect of a call without an answer is its answer.
            (Some(DeploymentStage::RollingBack | DeploymentStage::RolledBack), ..) if doubtful => {
                self.spend_late(&intent, now, out);
                self.accepted(now, intent, out);
            }
            (Some(DeploymentStage::Running { .. }), Some(write), Ok(Some(fresh))) => {
                // A hook may have begun to wait, or have ended: the same deployment, by the call that it takes now.
                course.intent.call = Some(fresh);
                self.write_or_leave(now, course, write, out);
            }
            (Some(DeploymentStage::RollbackFailed(why)), ..) if doubtful => {
                self.partial(now, &format!("the rollback of {} failed: {why}", call.deployment()), out);
            }
            (_, _, next) if doubtful => {
                let why = next.err().unwrap_or_else(|| "it shows another deployment".into());
                self.again(now, course, &why, out);
            }
            (_, _, next) => {
                let why =
                    next.err().unwrap_or_else(|| format!("{} is no longer the newest", call.deployment()));
                self.abandon(&why, out);
                self.refuse("owner", &why, out);
            }
        }
    }

    /// The owner took our call, and the rules aren't back yet.
    pub(super) fn wait_for_owner(
        &mut self,
        now: Mono,
        intent: Box<Intent>,
        since: Mono,
        out: &mut Vec<Action>,
    ) {
        let what = self.what();
        let (Some(call), Some(live)) = (&intent.call, &self.live) else { return };
        let stage = live.marks.owner.stage_of(call.deployment());
        let unknown = matches!(live.marks.owner, Owner::Unknown(_));
        if let Some(DeploymentStage::RollbackFailed(why)) = stage
            && answered(Hazard::FailedRollback)
        {
            self.partial(now, &format!("{call} was accepted, and the rollback failed: {why}"), out);
            return;
        }
        if unknown || matches!(stage, Some(DeploymentStage::Running { .. } | DeploymentStage::RollingBack)) {
            self.owner_ended = None;
        } else {
            // The rules and the deployment are read beside each other, so one may be a little behind.
            let ended = *self.owner_ended.get_or_insert(now);
            if now.since(ended) >= CONFIRM_MAX {
                let label = live.state.label();
                match intent.progress(&live.state) {
                    Progress::Third(_) => {
                        self.overridden(now, &format!("{call} is over, and the {what} shows {label}"), out);
                    }
                    Progress::Done | Progress::Left { .. } => {
                        self.partial(now, &format!("{call} is over, and the rules are not back"), out);
                    }
                }
                return;
            }
        }
        let waited = now.since(since);
        if waited >= OWNER_MAX {
            self.partial(now, &format!("{call} was accepted, and the rules are not back"), out);
            return;
        }
        let slow = waited >= OWNER_SLOW;
        if slow {
            let waited = waited.as_secs();
            let text =
                format!("{call} was accepted, and the rules are not back after {waited} s; still waiting");
            self.page_for(PageKind::Partial, "owner-slow", &text, out);
        }
        let pause = if slow { OWNER_LOOK.saturating_mul(5) } else { OWNER_LOOK };
        self.phase = Phase::Confirming { op: None, intent, at: now.after(pause), since };
    }

    /// The owner works on the call of this intent.
    pub(super) fn is_rolling_back(&self, intent: &Intent) -> bool {
        let stage = |deployment| self.live.as_ref().and_then(|live| live.marks.owner.stage_of(deployment));
        intent
            .call
            .as_ref()
            .and_then(|call| stage(call.deployment()))
            .is_some_and(|stage| matches!(stage, DeploymentStage::RollingBack | DeploymentStage::RolledBack))
    }
}

#[cfg(test)]
mod tests;
