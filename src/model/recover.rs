//! What a restarted guard must know again, read back from the ledger.

use crate::guard::{Command, MARK_FITS};
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
    /// A write went out for it, and no answer to that is in the ledger.
    pub intent_sent: bool,
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
}

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
            Record::Verified { .. } | Record::Abandoned { .. } => self.intent = None,
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
            Record::Started { .. }
            | Record::FirstBad { .. }
            | Record::Verdict { .. }
            | Record::Pulse { .. }
            | Record::Breach { .. }
            | Record::Preflight { .. }
            | Record::WouldRevert { .. }
            | Record::Refused { .. }
            | Record::Drift { .. }
            | Record::Paged { .. }
            | Record::Stopped { .. } => {}
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
mod tests {
    use super::*;
    use crate::listener::RuleState;
    use crate::record::IntentId;

    fn release(irreversible: bool) -> Record {
        Record::Release {
            release: ReleaseId(4),
            label: None,
            base: None,
            from: "blue".into(),
            to: "green".into(),
            cutover: crate::time::Mono(0),
            irreversible,
        }
    }

    fn begin() -> Record {
        Record::Operator { command: Command::ReleaseBegin { label: Some("x".into()), irreversible: true } }
    }

    fn held() -> Record {
        Record::Held { release: ReleaseId(4), reason: "partial".into(), needs_human: true }
    }

    /// Lines a second apart, read ten seconds after the last.
    fn read(records: Vec<Record>) -> Recovered {
        let now = Wall(i64::try_from(records.len()).unwrap() * 1_000 + 9_000);
        let lines = records.into_iter().zip(0_i64..).map(|(record, n)| (Wall(n * 1_000), record));
        recover(lines, now)
    }

    #[test]
    fn an_empty_ledger_knows_nothing() {
        let nothing = recover([], Wall(5));
        assert_eq!(nothing, Recovered { gap: Duration::MAX, ..Recovered::default() });
    }

    #[test]
    fn numbers_are_never_used_twice() {
        let memory = read(vec![release(false)]);
        assert_eq!(memory.next_release, 5);
        assert_eq!(memory.gap, Duration::from_secs(10));
    }

    #[test]
    fn a_mark_waits_for_its_release_and_speaks_of_no_other() {
        assert_eq!(read(vec![begin()]).mark.map(|mark| mark.irreversible), Some(true));
        let seen = read(vec![begin(), release(true)]);
        assert_eq!((seen.mark, seen.release.unwrap().irreversible), (None, true));
        let soon = read(vec![release(false), begin()]);
        let running = soon.release.unwrap();
        assert_eq!((soon.mark, running.irreversible, running.label), (None, true, Some("x".into())));
    }

    #[test]
    fn an_ack_ends_a_latched_release_and_no_other() {
        let ack = || Record::Operator { command: Command::Ack };
        assert!(!read(vec![release(false), ack()]).release.unwrap().over);
        let acked = read(vec![release(false), held(), ack()]).release.unwrap();
        assert_eq!((acked.over, acked.latch), (true, Some(("partial", false))));
    }

    #[test]
    fn a_revert_counts_once_and_an_unknown_one_counts_too() {
        let wrote = |word: &str| Record::Wrote {
            intent: IntentId(1),
            outcome: word.into(),
            detail: "".into(),
            arn: "l".into(),
        };
        let confirmed = || Record::Confirmed { intent: IntentId(1) };
        let counts = |records| read(records).reverts_ago.len();
        assert_eq!(counts(vec![wrote("accepted"), confirmed()]), 1);
        assert_eq!(counts(vec![confirmed()]), 1);
        assert_eq!(counts(vec![wrote("unknown")]), 1);
        assert_eq!(counts(vec![wrote("refused")]), 0);
    }

    #[test]
    fn reverts_of_more_than_a_day_ago_are_forgotten() {
        let line = (Wall(0), Record::Confirmed { intent: IntentId(1) });
        let day = 24 * 3_600_000;
        assert_eq!(recover([line.clone()], Wall(day - 1)).reverts_ago.len(), 1);
        assert_eq!(recover([line.clone()], Wall(day)).reverts_ago.len(), 0);
        // A clock that went backwards makes it recent.
        assert_eq!(recover([line], Wall(-5)).reverts_ago, [Duration::ZERO]);
    }

    #[test]
    fn a_hold_stands_until_it_is_lifted() {
        let hold = || Record::Operator { command: Command::Hold { reason: "x".into() } };
        let lift = || Record::Operator { command: Command::Unhold };
        assert_eq!(read(vec![hold()]).hold, Some("x".into()));
        assert_eq!(read(vec![hold(), lift()]).hold, None);
    }

    fn epoch(id: u32, arn: &str) -> Record {
        let forward = crate::listener::Forward { scalar: Some(arn.into()), ..Default::default() };
        let state =
            RuleState { arn: "l".into(), forward: Some(forward), others: vec![], unknown: vec![] }.into();
        Record::Epoch {
            epoch: EpochId(id),
            cause: crate::release::Cause::Foreign,
            release: None,
            label: None,
            shows: "".into(),
            after: crate::time::Mono(0),
            since: crate::time::Mono(0),
            state: Some(state),
        }
    }

    #[test]
    fn what_an_earlier_state_answered_is_known_and_belongs_to_no_other() {
        let seen = |id, version: &str| Record::Seen {
            epoch: EpochId(id),
            versions: [crate::target::Version::from(version)].into(),
            targets: BTreeSet::new(),
        };
        let memory =
            read(vec![epoch(6, "blue"), seen(6, "v1"), seen(5, "v0"), epoch(7, "green"), seen(7, "v2")]);
        let known: Vec<String> =
            memory.history.iter().flat_map(|e| e.versions.iter().map(ToString::to_string)).collect();
        assert_eq!(known, ["v1"]);
        assert_eq!(memory.next_epoch, 8);
        assert_eq!(memory.shows.map(|shows| shows.to_string()), Some("forward green=1".into()));
    }

    #[test]
    fn a_good_state_that_is_good_no_more_gives_way_to_the_base_of_a_release_that_runs() {
        let good = |id| Good {
            epoch: EpochId(id),
            state: RuleState { arn: "l".into(), forward: None, others: vec![], unknown: vec![] }.into(),
            versions: BTreeSet::new(),
            targets: BTreeSet::new(),
            healthy: 1,
            baseline: crate::release::Baseline::default(),
        };
        let based = || match release(false) {
            Record::Release { release, label, from, to, cutover, irreversible, .. } => {
                Record::Release { release, label, base: Some(good(1)), from, to, cutover, irreversible }
            }
            other => other,
        };
        let newer = || Record::Good { good: good(3) };
        let spoilt = |id| Record::NotGood { epoch: EpochId(id) };
        assert_eq!(read(vec![based(), newer(), spoilt(3)]).good, Some(good(1)));
        assert_eq!(read(vec![based(), newer(), spoilt(2)]).good, Some(good(3)));
        let kept = Record::Kept { release: ReleaseId(4) };
        assert_eq!(read(vec![based(), newer(), kept, spoilt(3)]).good, None);
    }

    #[test]
    fn an_unknown_latch_is_still_a_latch() {
        let odd = Record::Held { release: ReleaseId(4), reason: "of-the-future".into(), needs_human: true };
        assert_eq!(read(vec![release(false), odd]).release.unwrap().latch, Some(("refused", true)));
    }

    #[test]
    fn a_latch_keeps_its_name() {
        for name in ["reverted", "observe", "partial", "overridden", "interrupted"] {
            let held = Record::Held { release: ReleaseId(4), reason: name.into(), needs_human: false };
            assert_eq!(read(vec![release(false), held]).release.unwrap().latch, Some((name, false)));
        }
    }

    #[test]
    fn a_mark_that_comes_a_minute_after_the_cutover_waits_for_the_next_one() {
        let after = |millis| {
            let lines = [(Wall(0), release(false)), (Wall(millis), begin())];
            let memory = recover(lines, Wall(100_000));
            (memory.release.unwrap().irreversible, memory.mark.map(|mark| mark.ago))
        };
        assert_eq!(after(59_999), (true, None));
        assert_eq!(after(60_000), (false, Some(Duration::from_secs(40))));
    }

    #[test]
    fn a_mark_speaks_of_no_release_that_is_over_or_has_a_name() {
        let waits = |records| read(records).mark.is_some();
        assert!(waits(vec![release(false), Record::Kept { release: ReleaseId(4) }, begin()]));
        assert!(waits(vec![release(false), begin(), begin()]), "it was named already");
        let free = Record::Operator { command: Command::ReleaseBegin { label: None, irreversible: false } };
        let memory = read(vec![release(true), free]);
        assert!(memory.release.unwrap().irreversible, "what one mark forbids another does not allow");
    }

    fn intent(id: u64) -> Record {
        let intent = *crate::guard::rig::intent(&crate::guard::rig::armed());
        Record::Intent(Intent { id: IntentId(id), ..intent })
    }

    #[test]
    fn an_intent_stays_open_until_the_ledger_has_its_end() {
        let id = IntentId(6);
        let open = |record| {
            let memory = read(vec![release(false), intent(6), record]);
            assert_eq!(memory.next_intent, 7);
            memory.intent.is_some()
        };
        assert!(open(Record::WriteSent { intent: id, attempt: 1, arn: "l".into() }));
        assert!(!open(Record::Verified { intent: id, answers: 20, addresses: 2 }));
        assert!(!open(Record::Abandoned { intent: id, why: "".into() }));
        assert!(!open(held()));
        assert!(!open(release(false)));
    }

    #[test]
    fn a_write_is_out_until_its_answer_says_that_nothing_was_changed() {
        let sent = || Record::WriteSent { intent: IntentId(6), attempt: 1, arn: "l".into() };
        let wrote = |word: &str| Record::Wrote {
            intent: IntentId(6),
            outcome: word.into(),
            detail: "".into(),
            arn: "l".into(),
        };
        let state = |records| {
            let memory = read(records);
            (memory.intent_sent, memory.intent_spent)
        };
        let left = || Record::Abandoned { intent: IntentId(6), why: "restarted before the write".into() };
        let twice = read(vec![intent(6), sent(), left()]);
        assert!(twice.intent.is_some() && twice.intent_sent, "a second restart owes it what the first did");
        let newer = read(vec![intent(6), sent(), left(), intent(7)]);
        assert_eq!((newer.intent_sent, newer.sent_ago), (false, Some(Duration::from_secs(12))));
        assert_eq!(state(vec![intent(6), sent()]), (true, false));
        assert_eq!(state(vec![intent(6), sent(), wrote("refused")]), (false, false));
        assert_eq!(state(vec![intent(6), sent(), wrote("unknown")]), (true, true));
        assert_eq!(state(vec![intent(6), sent(), wrote("unknown"), intent(7)]), (false, false));
    }

    #[test]
    fn a_state_that_came_again_is_known_once_and_by_its_newest_answers() {
        let memory = read(vec![epoch(1, "blue"), epoch(2, "green"), epoch(3, "blue"), epoch(4, "green")]);
        let known: Vec<String> = memory.history.iter().map(|known| known.fingerprint.to_string()).collect();
        assert_eq!(known, ["forward green=1", "forward blue=1"]);
    }

    #[test]
    fn an_epoch_of_another_release_ends_the_one_that_ran() {
        let of = |release| match epoch(9, "green") {
            Record::Epoch { epoch, cause, label, shows, after, since, state, .. } => {
                Record::Epoch { epoch, cause, release, label, shows, after, since, state }
            }
            other => other,
        };
        let over = |release_of| read(vec![release(false), of(release_of)]).release.unwrap().over;
        assert!(!over(Some(ReleaseId(4))));
        assert!(over(Some(ReleaseId(5))) && over(None));
    }
}
