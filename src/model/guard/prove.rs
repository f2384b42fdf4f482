//! The rules are back as the API shows them; now fresh connections have to get the old version.

use super::{Action, Aim, Guard, Latch, OpId, PageKind, Phase, Proof, REPLY_MAX};
use crate::hazard::{Hazard, answered};
use crate::record::{Intent, Record};
use crate::release::Cause;
use crate::time::Mono;

impl Guard {
    /// The API shows what was written; now the data plane has to.
    pub(super) fn confirmed(&mut self, now: Mono, intent: Box<Intent>, out: &mut Vec<Action>) {
        out.push(Action::note(Record::Confirmed { intent: intent.id }));
        let before = self.epoch.as_ref().map_or(now, |epoch| epoch.since);
        if answered(Hazard::OwnRevert) {
            self.begin_epoch(now, before, Cause::OwnRevert, false, out);
        } else {
            self.begin(now, before, Cause::Foreign, true, out);
        }
        if self.draining {
            self.interrupted(out);
            return;
        }
        let op = self.op();
        out.push(Action::Verify(
            op,
            Aim {
                versions: intent.versions.clone(),
                answers: self.policy.verify_answers,
                within: self.policy.verify_for,
            },
        ));
        let at = now.after(self.policy.verify_for).after(REPLY_MAX);
        self.phase = Phase::Verifying { op, intent, at };
    }

    /// We stop between the write and its proof. The intent stays open in the ledger, so that whoever starts next owes
    /// the proof.
    pub(super) fn interrupted(&mut self, out: &mut Vec<Action>) {
        self.page(PageKind::Partial, "PARTIAL: stopped before the revert was proved", out);
        if let Some(release) = &mut self.release {
            release.latch = Some(Latch { reason: "interrupted", needs_human: true });
        }
        self.phase = Phase::Watching;
    }

    /// The proof came, or not.
    pub(super) fn verified(&mut self, now: Mono, op: OpId, proof: &Proof, out: &mut Vec<Action>) {
        let what = self.what();
        let Phase::Verifying { op: open, intent, .. } = &self.phase else {
            self.late_replies += 1;
            return;
        };
        if *open != op {
            self.late_replies += 1;
            return;
        }
        let (id, evidence) = (intent.id, intent.evidence.to_string());
        let through = intent.call.as_ref().map(|call| format!(" by {call}")).unwrap_or_default();
        let blindly = Proof::Shown { answers: 0, addresses: 0 };
        let proof = if answered(Hazard::FalseProof) { proof } else { &blindly };
        match proof {
            Proof::Shown { answers, addresses } => {
                out.push(Action::note(Record::Verified {
                    intent: id,
                    answers: *answers,
                    addresses: *addresses,
                }));
                let shows = self.live.as_ref().map(|live| live.state.label()).unwrap_or_default();
                let (live, idle) = self.sides();
                let sticky = self.live.as_ref().and_then(|live| live.state.sticky_s()).map(|seconds| {
                    format!(
                        "; stickiness is on: a user whom the new version served may stay with it for {seconds} s (revert_style = \"exclusive\" lets nobody)"
                    )
                });
                let text = format!(
                    "reverted to {shows}{through}: {answers} of {answers} fresh connections answered by it, {addresses} addresses; because {evidence}{}; live: {}; idle: {}; holding until a person or a new release",
                    sticky.unwrap_or_default(),
                    names(&live),
                    names(&idle)
                );
                self.unproved = None;
                self.page(PageKind::Reverted, &text, out);
                self.latch("reverted", false, out);
            }
            Proof::NotShown(why) => {
                self.partial(now, &format!("the {what} is back, and users may not be: {why}"), out);
            }
        }
    }
}

fn names(groups: &[Box<str>]) -> String {
    if groups.is_empty() { "none".into() } else { groups.join(", ") }
}
