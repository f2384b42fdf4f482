//! What must be true at every step, whatever goes wrong.

use serin_model::guard::{Command, Observed};
use serin_model::listener::{Fingerprint, GroupHealth, HealthState, ListenerState, RuleState};
use serin_model::owner::Call;
use serin_model::plan::Write;
use serin_model::policy::GuardPolicy;
use serin_model::record::{Intent, Record};
use serin_model::time::{Mono, Wall};
use serin_model::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What has begun may be finished for so long after its deadline.
const FINISH: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that was seen")]
pub(crate) struct Laws {
    intent: Option<Intent>,
    over: bool,
    shown: Option<ListenerState>,
    health: Vec<GroupHealth>,
    held_by_tag: bool,
    held_by_word: bool,
    verdict: Option<Verdict>,
    /// Writes that were sent, by intent and rule, with how many reads had come back before.
    sent: BTreeMap<(u64, Box<str>), u64>,
    reads: u64,
    /// Writes that changed something, by release and rule.
    effective: BTreeMap<(u32, Box<str>), Fingerprint>,
    /// Those that a read has shown since.
    seen: BTreeSet<(u32, Box<str>)>,
    /// When an intent first changed something.
    reverts: BTreeMap<u64, Mono>,
    numbers: BTreeSet<u64>,
    /// Lines of the ledger were.
    lost: bool,
    /// Intents of which AWS has taken a write.
    accepted: BTreeSet<u64>,
}

impl Laws {
    /// A read came back. Health counts where it is what was asked for last: who asks anew has given the earlier question up.
    pub(crate) fn read(&mut self, observed: &Observed, is_newest: bool) {
        self.reads += 1;
        self.shown = Some(observed.state.clone());
        for ((release, arn), becomes) in &self.effective {
            if observed.state.rule(arn).is_some_and(|rule| rule.fingerprint() == *becomes) {
                self.seen.insert((*release, arn.clone()));
            }
        }
        if let Some(marks) = &observed.marks {
            self.held_by_tag = marks.hold.is_some();
        }
        if let Some(health) = observed.health.as_ref().filter(|_| is_newest) {
            self.health.clone_from(health);
        }
    }

    pub(crate) fn judged(&mut self, verdict: &Verdict) {
        self.verdict = Some(verdict.clone());
    }

    /// The process is gone, and with it what it had read; perhaps its ledger too.
    pub(crate) fn died(&mut self, lost: bool, forgets: bool) {
        (self.shown, self.verdict) = (None, None);
        self.lost |= lost;
        if forgets {
            *self = Self::default();
        }
    }

    pub(crate) fn note(&mut self, record: &Record) {
        let stands_down =
            matches!(record, Record::Paged { text, .. } if text.contains("an invariant is broken"));
        assert!(!stands_down, "the guard's own monitor says: {record:?}");
        match record {
            Record::Intent(intent) => {
                assert!(self.numbers.insert(intent.id.0), "an intent's number is never used twice");
                (self.intent, self.over) = (Some(intent.clone()), false);
            }
            Record::Abandoned { intent, .. } => {
                self.over |= self.intent.as_ref().is_some_and(|open| open.id == *intent);
            }
            Record::Held { .. } => self.over = true,
            // The rules of no answer are known by what a read shows.
            Record::Wrote { intent, outcome, arn, .. } if &**outcome == "accepted" || arn.is_empty() => {
                self.accepted.insert(intent.0);
            }
            Record::Operator { command: Command::Hold { .. } } => self.held_by_word = true,
            Record::Operator { command: Command::Unhold } => self.held_by_word = false,
            _ => {}
        }
    }

    /// A mutating call is about to go out.
    pub(crate) fn write(
        &mut self,
        now: Mono,
        write: &Write,
        ledger: &[(Wall, Record)],
        policy: &GuardPolicy,
        foreign: bool,
    ) {
        let intent = self.intent.as_ref().expect("I1: no write without an intent");
        assert!(!self.over, "I1: the intent is over");
        assert!(intent.writes.contains(write), "I1: the intent is for another write");
        let durable = |(_, record): &(Wall, Record)| matches!(record, Record::Intent(on) if on == intent);
        assert!(ledger.iter().any(durable), "I1: the intent is not on disk");
        let begun = self.accepted.contains(&intent.id.0) || self.reverts.contains_key(&intent.id.0);
        if begun {
            assert!(now <= intent.deadline.after(FINISH), "I3: too late to finish");
        } else {
            let Some(Verdict::Bad(evidence)) = &self.verdict else { panic!("I3, I7: {:?}", self.verdict) };
            assert!(now.since(evidence.last_bad) <= policy.evidence_age_max, "I3: old evidence");
            assert!(now <= intent.deadline, "I3: the intent's deadline is over");
        }
        let shows = |state: &ListenerState| state.rule(&write.arn).map(RuleState::fingerprint);
        assert_eq!(
            self.shown.as_ref().and_then(shows).as_ref(),
            Some(&write.over),
            "I5: the last read showed another"
        );
        assert_eq!(shows(&intent.before).as_ref(), Some(&write.over), "I5: not over the before-image");
        let live = self.shown.as_ref().and_then(|state| state.rule(&write.arn)).expect("it was read");
        assert!(live.unknown.is_empty() && live.forward.is_some(), "I6: something isn't understood");
        assert!(!self.held_by_tag && !self.held_by_word, "I7: somebody holds");
        let groups = write.to.serving();
        let serves = self
            .health
            .iter()
            .filter(|group| groups.contains(&*group.group))
            .flat_map(|group| &group.targets);
        let healthy =
            serves.filter(|target| matches!(target.state, HealthState::Healthy | HealthState::Unused));
        let healthy = u32::try_from(healthy.count()).expect("few targets");
        assert!(begun || healthy >= policy.healthy_min, "I4: {healthy} healthy targets when they were read");
        let before = self.sent.insert((intent.id.0, write.arn.clone()), self.reads);
        assert!(before.is_none_or(|reads| self.reads > reads), "I9: sent again without a read");
        // What somebody undid before any read could show it can't be told from what never landed.
        let seen = self.seen.contains(&(intent.release.0, write.arn.clone()));
        assert!(!seen, "I2: twice for one release");
        let recent = |at: &&Mono| now.since(**at) < Duration::from_hours(1);
        let other =
            self.reverts.iter().filter(|(id, _)| **id != intent.id.0).map(|(_, at)| at).filter(recent);
        let other = u32::try_from(other.count()).expect("few reverts");
        // A revert whose line was lost, and that somebody undid meanwhile, is one that nobody can know of.
        let unknown = self.lost && foreign;
        assert!(other < policy.reverts_per_hour_max || unknown, "I11: over the budget of an hour");
    }

    /// One call of the owner is about to go out: it stands for every write of the intent that isn't shown yet.
    pub(crate) fn call(
        &mut self,
        now: Mono,
        call: &Call,
        ledger: &[(Wall, Record)],
        policy: &GuardPolicy,
        foreign: bool,
    ) {
        let intent = self.intent.clone().expect("I1: no call without an intent");
        let named = intent.call.as_ref().map(Call::deployment);
        assert_eq!(named, Some(call.deployment()), "I1: the intent is for another deployment");
        let shows = |write: &Write| self.shown.as_ref()?.rule(&write.arn).map(RuleState::fingerprint);
        let left: Vec<&Write> =
            intent.writes.iter().filter(|write| shows(write).as_ref() != Some(&write.becomes)).collect();
        assert!(!left.is_empty(), "I2: nothing is left to put back");
        for write in left {
            self.write(now, write, ledger, policy, foreign);
        }
    }

    /// The owner has put back what our call named.
    pub(crate) fn returned(&mut self, now: Mono, state: &ListenerState) {
        let Some(intent) = self.intent.as_ref().filter(|intent| intent.call.is_some()) else { return };
        for write in &intent.writes {
            if state.rule(&write.arn).is_some_and(|rule| rule.fingerprint() == write.becomes) {
                self.effective.insert((intent.release.0, write.arn.clone()), write.becomes.clone());
            }
        }
        self.reverts.entry(intent.id.0).or_insert(now);
    }

    /// Our write changed the rule from `before`. Another writer between our read and our write can't be prevented.
    pub(crate) fn effect(&mut self, now: Mono, write: &Write, before: &RuleState, raced: bool) {
        assert!(before.fingerprint() == write.over || raced, "I5: another state was overwritten");
        // A late effect of a write whose intent is over belongs to that one.
        let Some(intent) = self.intent.as_ref().filter(|intent| intent.writes.contains(write)) else {
            return;
        };
        self.effective.insert((intent.release.0, write.arn.clone()), write.becomes.clone());
        self.reverts.entry(intent.id.0).or_insert(now);
    }
}
