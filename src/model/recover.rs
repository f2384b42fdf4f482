//! What a restarted guard must know again, read back from the ledger.

use crate::guard::{Command, MARK_FITS, PageKind};
use crate::listener::{Fingerprint, ListenerState};
use crate::record::{Intent, Record};
use crate::release::{Earlier, EpochId, Good, ReleaseId};
use crate::time::Wall;
use std::collections::BTreeSet;
use std::time::Duration;

/// See the module. [`Recovered::default`] is a start without a ledger: nothing is known, so nothing is armed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    /// The first epoch number that was never used.
    pub next_epoch: u32,
    /// The first release number that was never used.
    pub next_release: u32,
    /// The first intent number that was never used.
    pub next_intent: u64,
    /// The newest good epoch.
    pub good: Option<Good>,
    /// Earlier states, oldest first.
    pub history: Vec<Earlier>,
    /// What the listener showed last.
    pub shows: Option<Fingerprint>,
    /// The last release.
    pub release: Option<Remembered>,
    /// An intent whose end is not in the ledger.
    pub intent: Option<Intent>,
    /// A call of it went out, or may have: no answer to that is in the ledger.
    pub(crate) intent_sent: bool,
    /// It is among the reverts already.
    pub intent_spent: bool,
    /// The newest call of any intent whose answer isn't known: how long ago it went out. It may still have its effect.
    pub sent_ago: Option<Duration>,
    /// What the pipeline said of a release that was not seen yet.
    pub mark: Option<Marked>,
    /// When we reverted, as time before now.
    pub reverts_ago: Vec<Duration>,
    /// An operator's hold that was not lifted.
    pub hold: Option<Box<str>>,
    /// How long ago the last line was written.
    pub gap: Duration,
    /// Pages that the process may have died before telling, oldest first.
    pub untold: Vec<Untold>,
}

/// A page of the last minute before a process died: whether anybody was told isn't known, so that it is told again.
#[derive(Clone, Debug, PartialEq)]
pub struct Untold {
    /// What it is about.
    pub kind: PageKind,
    /// The text, as it was.
    pub text: Box<str>,
    /// How long ago.
    pub ago: Duration,
}

/// Three attempts of a message to a destination that hangs are over within this.
const TELLING: Duration = Duration::from_mins(1);

/// A release that the pipeline announced.
#[derive(Clone, Debug, PartialEq)]
pub struct Marked {
    /// What the pipeline calls it.
    pub label: Option<Box<str>>,
    /// It must not be reverted.
    pub irreversible: bool,
    /// How long ago that was said.
    pub ago: Duration,
}

/// The last release, as the ledger has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Remembered {
    /// Its number.
    pub id: ReleaseId,
    /// What the pipeline calls it.
    pub label: Option<Box<str>>,
    /// The way back.
    pub base: Option<Good>,
    /// When its cutover was seen, as time before now.
    pub cutover_ago: Duration,
    /// Its first epoch.
    pub first: EpochId,
    /// It must not be reverted.
    pub irreversible: bool,
    /// It was latched: why, and whether a person is needed.
    pub latch: Option<(&'static str, bool)>,
    /// Its time is over.
    pub over: bool,
}

/// Reads the ledger of one service, oldest line first, each with the wall time at which it was written.
#[must_use]
pub fn recover(lines: impl IntoIterator<Item = (Wall, Record)>, now: Wall) -> Recovered {
    let mut memory = Recovered::default();
    let mut epoch: Option<(EpochId, Earlier)> = None;
    let mut newest = None;
    for (at, record) in lines {
        newest = Some(at);
        memory.take(ago(at, now), record, &mut epoch);
    }
    memory.shows = epoch.map(|(_, earlier)| earlier.fingerprint);
    memory.gap = newest.map_or(Duration::MAX, |at| ago(at, now));
    memory.reverts_ago.retain(|ago| *ago < Duration::from_hours(24));
    memory.died(memory.gap);
    memory.untold.retain(|page| page.ago.saturating_sub(memory.gap) <= TELLING);
    memory
}

/// A wall clock that went backwards makes everything recent: more careful, never less.
fn ago(at: Wall, now: Wall) -> Duration {
    Duration::from_millis(u64::try_from(now.0.saturating_sub(at.0)).unwrap_or(0))
}

impl Recovered {
    fn take(&mut self, ago: Duration, record: Record, epoch: &mut Option<(EpochId, Earlier)>) {
        match record {
            Record::Epoch { epoch: id, state, release, .. } => self.epoch(id, state.as_ref(), release, epoch),
            Record::Seen { epoch: id, versions, targets } => {
                if let Some((_, earlier)) = epoch.as_mut().filter(|(open, _)| *open == id) {
                    earlier.versions = versions;
                    earlier.targets = targets;
                }
            }
            Record::Release { release, label, base, irreversible, .. } => {
                self.next_release = self.next_release.max(release.0 + 1);
                (self.intent, self.mark) = (None, None);
                self.release = Some(Remembered {
                    id: release,
                    label,
                    base,
                    cutover_ago: ago,
                    first: EpochId(self.next_epoch),
                    irreversible,
                    latch: None,
                    over: false,
                });
            }
            Record::Good { good } => self.good = Some(good),
            Record::NotGood { epoch } => {
                if self.good.as_ref().is_some_and(|good| good.epoch == epoch) {
                    let running = self.release.as_ref().filter(|release| !release.over);
                    self.good = running.and_then(|release| release.base.clone());
                }
            }
            Record::Intent(intent) => {
                self.next_intent = self.next_intent.max(intent.id.0 + 1);
                self.intent = Some(intent);
                (self.intent_sent, self.intent_spent) = (false, false);
            }
            Record::WriteSent { .. } => (self.intent_sent, self.sent_ago) = (true, Some(ago)),
            Record::Wrote { outcome, .. } => match &*outcome {
                // An unknown one may have had its effect: counted, as the more careful reading.
                "accepted" | "unknown" => self.spend(ago),
                "refused" => (self.intent_sent, self.sent_ago) = (false, None),
                _ => {}
            },
            Record::Confirmed { .. } => self.spend(ago),
            // Its write may still arrive, whoever dies meanwhile: a second restart owes it what the first did.
            Record::Abandoned { .. } if self.intent_sent && !self.intent_spent => {}
            Record::Abandoned { .. } => self.intent = None,
            Record::Verified { .. } => {
                self.intent = None;
                // The line that says so is the next one, and may be missing: what was put back is never judged anew.
                if let Some(release) = &mut self.release {
                    release.latch.get_or_insert(("reverted", false));
                }
            }
            Record::Held { reason, needs_human, .. } => {
                self.intent = None;
                if let Some(release) = &mut self.release {
                    release.latch = Some((latch_name(&reason), needs_human));
                }
            }
            Record::Kept { .. } => {
                if let Some(release) = &mut self.release {
                    release.over = true;
                }
            }
            Record::Operator { command } => self.command(command, ago),
            Record::Started { .. } => self.died(ago),
            Record::FirstBad { .. }
            | Record::Verdict { .. }
            | Record::Pulse { .. }
            | Record::Breach { .. }
            | Record::Preflight { .. }
            | Record::WouldRevert { .. }
            | Record::Refused { .. }
            | Record::Drift { .. }
            | Record::Revised { .. } => {}
            Record::Paged { kind, text } => {
                self.untold.extend(PageKind::named(&kind).map(|kind| Untold { kind, text, ago }));
            }
            // Who stops tells what is left, and logs what couldn't be told.
            Record::Stopped { .. } => self.untold.clear(),
        }
    }

    fn epoch(
        &mut self,
        id: EpochId,
        state: Option<&ListenerState>,
        release: Option<ReleaseId>,
        epoch: &mut Option<(EpochId, Earlier)>,
    ) {
        self.next_epoch = self.next_epoch.max(id.0 + 1);
        if let Some((_, earlier)) = epoch.take() {
            self.history.retain(|known| known.fingerprint != earlier.fingerprint);
            self.history.push(earlier);
        }
        *epoch = state.map(|state| {
            let fingerprint = state.fingerprint();
            (id, Earlier { fingerprint, versions: BTreeSet::new(), targets: BTreeSet::new() })
        });
        // An epoch that belongs to no release ends the one that ran, unless it is latched.
        if let Some(remembered) = self.release.as_mut().filter(|remembered| Some(remembered.id) != release) {
            remembered.over = true;
        }
    }

    /// The process is gone, and what it did after its last line isn't known: an intent was on disk before its call went
    /// out, and the line that says so may be lost.
    fn died(&mut self, ago: Duration) {
        if self.intent.is_some() && !self.intent_sent {
            (self.intent_sent, self.sent_ago) = (true, Some(ago));
        }
    }

    /// One revert an intent, whether its answer or its effect is what the ledger has.
    fn spend(&mut self, ago: Duration) {
        if !self.intent_spent {
            self.intent_spent = true;
            self.reverts_ago.push(ago);
        }
    }

    fn command(&mut self, command: Command, ago: Duration) {
        match command {
            Command::Hold { reason } => self.hold = Some(reason),
            Command::Unhold => self.hold = None,
            Command::Ack => {
                if let Some(release) = &mut self.release
                    && let Some(latch) = &mut release.latch
                {
                    latch.1 = false;
                    release.over = true;
                }
            }
            Command::ReleaseBegin { label, irreversible } => {
                let fresh = self.release.as_mut().filter(|release| {
                    !release.over
                        && release.label.is_none()
                        && release.cutover_ago.saturating_sub(ago) < MARK_FITS
                });
                match fresh {
                    Some(release) => {
                        release.label = label;
                        release.irreversible |= irreversible;
                    }
                    None => self.mark = Some(Marked { label, irreversible, ago }),
                }
            }
        }
    }
}

/// The latch's name as the guard knows it; an unknown one is still a latch.
fn latch_name(reason: &str) -> &'static str {
    match reason {
        "reverted" => "reverted",
        "observe" => "observe",
        "partial" => "partial",
        "overridden" => "overridden",
        "interrupted" => "interrupted",
        _ => "refused",
    }
}

#[cfg(test)]
mod tests;
