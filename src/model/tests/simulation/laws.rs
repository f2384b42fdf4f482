//! What must be true at every step, whatever the story.

use super::world::World;
use serin_model::guard::Observed;
use serin_model::listener::{HealthState, ListenerState, RuleState};
use serin_model::plan::Write;
use serin_model::policy::{GuardPolicy, Mode};
use serin_model::record::{Intent, Record};
use serin_model::release::EpochId;
use serin_model::time::{Mono, Wall};
use serin_model::verdict::Evidence;
use std::collections::BTreeSet;
use std::time::Duration;

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that was seen")]
pub(crate) struct Laws {
    intent: Option<Intent>,
    intent_over: bool,
    shown: Option<ListenerState>,
    held_by_tag: bool,
    held_by_command: bool,
    bad: Option<(EpochId, Evidence)>,
    /// How long BAD has stood for a release that may be acted on.
    bad_since: Option<Mono>,
    bad_stood: Duration,
    /// Releases, and the rules that were written for them.
    written: BTreeSet<(u32, Box<str>)>,
    /// A story in which another writer comes between our fenced read and our write: nothing can prevent that.
    pub(crate) unpreventable_race: bool,
    intents: BTreeSet<u64>,
}

impl Laws {
    pub(crate) fn read(&mut self, observed: &Observed) {
        self.shown = Some(observed.state.clone());
        if let Some(marks) = &observed.marks {
            self.held_by_tag = marks.hold.is_some();
        }
    }

    /// The ledger is lost, and with it every number that was used.
    pub(crate) fn forget(&mut self) {
        self.intents.clear();
        self.written.clear();
    }

    pub(crate) fn bad(&mut self, now: Mono, epoch: EpochId, evidence: &Evidence) {
        if self.bad.as_ref().is_none_or(|(open, _)| *open != epoch) {
            self.bad_since = Some(now);
        }
        self.bad = Some((epoch, evidence.clone()));
        if let Some(since) = self.bad_since {
            self.bad_stood = self.bad_stood.max(now.since(since));
        }
    }

    pub(crate) fn not_bad(&mut self, _epoch: EpochId) {
        (self.bad, self.bad_since) = (None, None);
    }

    pub(crate) fn note(&mut self, _now: Mono, record: &Record) {
        let stands_down =
            matches!(record, Record::Paged { text, .. } if text.contains("an invariant is broken"));
        assert!(!stands_down, "the guard's own monitor says: {record:?}");
        match record {
            Record::Intent(intent) => {
                assert!(self.intents.insert(intent.id.0), "an intent's number is never used twice");
                self.intent = Some(intent.clone());
                self.intent_over = false;
            }
            Record::Abandoned { intent, .. } => {
                self.intent_over |= self.intent.as_ref().is_some_and(|open| open.id == *intent);
            }
            Record::Held { .. } => self.intent_over = true,
            Record::Operator { command } => match command {
                serin_model::guard::Command::Hold { .. } => self.held_by_command = true,
                serin_model::guard::Command::Unhold => self.held_by_command = false,
                serin_model::guard::Command::Ack | serin_model::guard::Command::ReleaseBegin { .. } => {}
            },
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
        world: &World,
    ) {
        assert_eq!(policy.mode, Mode::Act, "observe mode never writes");
        let intent = self.intent.as_ref().expect("I1: no write without an intent");
        assert!(!self.intent_over, "I1: the intent is over");
        assert!(intent.writes.contains(write), "I1: the intent is for another write");
        let durable = ledger.iter().any(|(_, record)| matches!(record, Record::Intent(on) if on == intent));
        assert!(durable, "I1: the intent is not on disk");
        let release = intent.release.0;
        if self.written.iter().any(|(written, _)| *written == release) {
            // What has begun is finished, though users are better off by now.
            assert!(now <= intent.deadline.after(Duration::from_secs(10)), "I3: too late to finish");
        } else {
            let (epoch, evidence) = self.bad.as_ref().expect("I3: the last verdict is bad");
            assert_eq!(*epoch, intent.epoch, "I3: evidence of another epoch");
            assert!(now.since(evidence.last_bad) <= Duration::from_secs(30), "I3: old evidence");
            assert!(now <= intent.deadline, "I3: the intent's deadline is over");
        }
        let shows = |state: &ListenerState| state.rule(&write.arn).map(RuleState::fingerprint);
        assert_eq!(
            self.shown.as_ref().and_then(shows),
            Some(write.over.clone()),
            "I5: the last read showed another"
        );
        assert_eq!(
            shows(&intent.before),
            Some(write.over.clone()),
            "I5: over something else than the before-image"
        );
        assert!(!self.held_by_tag && !self.held_by_command, "I7: somebody holds");
        let groups: Vec<&str> = write.to.serving().into_iter().collect();
        let healthy = world
            .health()
            .iter()
            .filter(|group| groups.contains(&&*group.group))
            .flat_map(|group| group.targets.clone())
            .filter(|target| matches!(target.state, HealthState::Healthy | HealthState::Unused))
            .count();
        let healthy = u32::try_from(healthy).expect("few targets");
        assert!(healthy >= policy.healthy_min, "I4: {healthy} healthy targets");
        assert!(!self.written.contains(&(release, write.arn.clone())), "I2: a release is reverted once");
    }

    /// Our write changed the listener.
    pub(crate) fn effect(&mut self, write: &Write, before: &ListenerState, story: &str) {
        let intent = self.intent.as_ref().expect("I1");
        let first = self.written.insert((intent.release.0, write.arn.clone()));
        assert!(first, "I2: a release is reverted once\n{story}");
        assert!(
            before.rule(&write.arn).map(RuleState::fingerprint).as_ref() == Some(&write.over)
                || self.unpreventable_race,
            "I5: another state was overwritten"
        );
    }

    /// I12: a BAD that stood was answered.
    pub(crate) fn at_end(&mut self, _now: Mono, ledger: &[(Wall, Record)]) {
        if self.bad_stood < Duration::from_secs(30) {
            return;
        }
        let answered = ledger.iter().any(|(_, record)| {
            matches!(record, Record::Held { .. } | Record::Verified { .. })
                || matches!(record, Record::Paged { kind, .. } if &**kind == "bad")
        });
        assert!(answered, "I12: BAD stood, and nobody was told of an end\n{:?}", self.bad_stood);
    }
}
