//! The guard: is it safe, is it ours to do, and was it done? A state machine without clock or IO.
//!
//! ```text
//!  WATCHING ──Bad, armed──▶ PREFLIGHT ──all hold──▶ INTENDING ──durable──▶ READING ──as judged──▶ WRITING
//!     ▲  ▲                     │  any fails            │ full               │ ▲  not as judged      │ │
//!     │  └── verdict gone ─────┼───────────────────────┼────────────────────┘ └── unknown, ────────┘ │
//!     │                        ▼                       ▼                    ▼      throttled         │ accepted
//!     │                      HOLD ◀── refused ──────────────────────── overridden                    ▼
//!     └── ack, new release ── HOLD ◀── proved, or a person is needed ── VERIFYING ◀── read back ── CONFIRMING
//! ```
//!
//! WATCHING covers peace, settling and the judging of a release; HOLD is WATCHING with the release latched. A reply that
//! belongs to no open operation is counted and dropped. At most one sequence of writes belongs to a release.
//!
//! | file | what |
//! |---|---|
//! | `guard.rs` | events in, actions out, the clockwork |
//! | `guard/words.rs` | the vocabulary: events, actions, outcomes |
//! | `guard/memory.rs` | the listener as last read, the open epoch, the release, where the acting path stands |
//! | `guard/watch.rs` | reads, epochs, releases, what is good |
//! | `guard/preflight.rs` | every condition of acting |
//! | `guard/weigh.rs` | the judge's word, and what it means for the state that serves |
//! | `guard/act.rs` | from breach to intent, deadlines, and what a restart owes |
//! | `guard/course.rs` | how far the writing of an intent has come |
//! | `guard/write.rs` | from intent to proof: read, compare, write, read back |
//! | `guard/owned.rs` | the same through the owner's own call |
//! | `guard/prove.rs` | the data plane shows it, or not |
//! | `guard/tell.rs` | pages, latches, refusals, commands, drain |
//! | `guard/revise.rs` | a policy that was read anew, and when it holds |
//! | `guard/status.rs` | how it stands |
//! | `guard/monitor.rs` | the last look at every call: the invariants, whatever all of the above thinks |

mod act;
mod course;
mod groups;
mod memory;
pub(crate) mod monitor;
mod owned;
mod preflight;
mod prove;
mod revise;
#[cfg(test)]
pub(crate) mod rig;
mod status;
mod tell;
mod watch;
mod weigh;
mod words;
mod write;

pub use preflight::Condition;
pub use words::{
    Action, Aim, Cadence, Command, Depth, Event, Full, Marks, Observed, OpId, Outcome, Page, PageKind, Proof,
    ReadError, Status, Unprotected, WriteOutcome,
};

use crate::judge::Judgement;
use crate::policy::GuardPolicy;
use crate::record::{Intent, IntentId, Record};
use crate::recover::Recovered;
use crate::release::{Cause, Earlier, EpochId, Good, Stage};
use crate::target::Version;
use crate::time::Mono;
use crate::verdict::Verdict;
use course::Course;
use memory::{Epoch, Latch, Live, Mark, Phase, Release, Standing};
use monitor::Monitor;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// How many earlier states are remembered to tell a rollback from a release.
const HISTORY: usize = 32;
/// A reply that takes longer than this is given up.
const REPLY_MAX: Duration = Duration::from_secs(10);
/// Inside a release the listener is read once a second.
const READ_RELEASE: Duration = Duration::from_secs(1);
/// Inside a release, health and tags too, every so often.
const READ_FULL: Duration = Duration::from_secs(5);
/// In peace, where the open state was judged good: the health of groups. Tags are read each time.
const READ_FULL_PEACE: Duration = Duration::from_mins(4);
/// In peace, where a changed version would tell.
const READ_PEACE_VERSIONS: Duration = Duration::from_mins(1);
/// In peace, where only reading tells.
const READ_PEACE: Duration = Duration::from_secs(10);
/// Background reads older than this mean that nobody knows whether we could act.
const READ_FRESH: Duration = Duration::from_secs(130);
/// How often the ledger notes how production does.
const PULSE_RELEASE: Duration = Duration::from_secs(5);
/// The same in peace.
const PULSE_PEACE: Duration = Duration::from_mins(1);
/// How often that is looked at.
const STANDING_LOOK: Duration = Duration::from_secs(1);
/// A refusal that stands so long is told, rather than found out at the breach.
const STANDING: Duration = Duration::from_mins(2);

/// A mark by the pipeline that comes so soon after a cutover speaks of that one.
pub(crate) const MARK_FITS: Duration = Duration::from_mins(1);

/// See the module.
#[derive(Clone, Debug)]
pub struct Guard {
    policy: GuardPolicy,
    /// One that was read anew and doesn't hold yet.
    revision: Option<Box<GuardPolicy>>,
    phase: Phase,
    live: Option<Live>,
    epoch: Option<Epoch>,
    history: VecDeque<Earlier>,
    /// The versions of the state that was left last, which answer on while a change spreads.
    left: BTreeSet<Version>,
    good: Option<Good>,
    release: Option<Release>,
    recovered: Option<Recovered>,
    next_epoch: u32,
    next_release: u32,
    next_op: u64,
    next_intent: u64,
    reading: Option<(OpId, Mono)>,
    next_read: Mono,
    last_sent: Option<Mono>,
    /// The last read that was asked for out of turn: at most one a second.
    last_soon: Option<Mono>,
    /// When the background read was sent that came back last.
    answered: Mono,
    read_backoff: u32,
    read_error: Option<ReadError>,
    judged: Option<Judgement>,
    last_word: Option<(EpochId, Box<str>)>,
    paged: BTreeSet<(EpochId, &'static str, &'static str)>,
    mark: Option<Mark>,
    hold: Option<Box<str>>,
    reverts: Vec<Mono>,
    /// A write of ours that may still take effect, or whose proof is still owed.
    unproved: Option<Box<Intent>>,
    /// Its call went out before our restart, and it isn't among the reverts: only its effect tells that there was one.
    uncounted: Option<IntentId>,
    /// Until then a write whose outcome isn't known may still take effect.
    lands_until: Mono,
    /// Since when the owner has had nothing more to do for our call, and the rules aren't back.
    owner_ended: Option<Mono>,
    asked: BTreeSet<Box<str>>,
    cadence: Option<Cadence>,
    standing: BTreeMap<&'static str, Standing>,
    next_standing: Mono,
    next_pulse: Mono,
    last_full: Option<Mono>,
    draining: bool,
    late_replies: u64,
    monitor: Monitor,
}

impl Guard {
    /// A guard that knows what the ledger remembers.
    #[must_use]
    pub fn new(policy: GuardPolicy, recovered: Recovered, now: Mono) -> Self {
        Self {
            revision: None,
            phase: Phase::Watching,
            live: None,
            epoch: None,
            history: recovered.history.iter().cloned().collect(),
            left: BTreeSet::new(),
            good: None,
            release: None,
            next_epoch: recovered.next_epoch,
            next_release: recovered.next_release,
            next_op: 1,
            next_intent: recovered.next_intent,
            reading: None,
            next_read: now,
            last_sent: None,
            last_soon: None,
            answered: now,
            read_backoff: 0,
            read_error: None,
            judged: None,
            last_word: None,
            paged: BTreeSet::new(),
            mark: recovered.mark.as_ref().map(|mark| Mark {
                label: mark.label.clone(),
                irreversible: mark.irreversible,
                at: now,
                spent: mark.ago,
            }),
            hold: recovered.hold.clone(),
            reverts: recovered.reverts_ago.iter().map(|ago| now.before(*ago)).collect(),
            unproved: None,
            uncounted: None,
            lands_until: recovered
                .sent_ago
                .map_or(Mono(0), |ago| now.after(write::LANDS_WITHIN.saturating_sub(ago))),
            owner_ended: None,
            asked: BTreeSet::new(),
            cadence: None,
            standing: BTreeMap::new(),
            next_standing: now,
            next_pulse: now,
            last_full: None,
            draining: false,
            late_replies: 0,
            monitor: Monitor::new(&policy, &recovered, now),
            recovered: Some(recovered),
            policy,
        }
    }

    /// Takes one event and says what to do. Nothing else changes the guard.
    ///
    /// A call that breaks an invariant is taken back, and so is everything that would lead to another one.
    pub fn step(&mut self, now: Mono, event: Event, out: &mut Vec<Action>) {
        let from = out.len();
        self.monitor.hear(&event);
        self.take_event(now, event, out);
        self.tick(now, out);
        if let Err(why) = self.monitor.look(now, &out[from..]) {
            self.stand_down(now, &why, from, out);
        }
    }

    fn take_event(&mut self, now: Mono, event: Event, out: &mut Vec<Action>) {
        match event {
            Event::Tick => {}
            Event::Notice(notice) => self.noticed(now, &notice, out),
            Event::Read(op, result) => self.read(now, op, result, out),
            Event::Judged(judgement) => self.judgement(now, *judgement, out),
            Event::Durable(op, result) => self.durable(now, op, result, out),
            Event::Wrote(op, outcome) => self.wrote(now, op, outcome, out),
            Event::Verified(op, proof) => self.verified(now, op, &proof, out),
            Event::Operator(command) => self.operator(now, command, out),
            Event::Tagged => self.tagged(now),
            Event::Revise(policy) => self.revise(policy),
            Event::Drain => self.drain(out),
        }
    }

    /// When [`Event::Tick`] is wanted at the latest.
    #[must_use]
    pub fn wake_at(&self) -> Mono {
        let deadline = match &self.phase {
            Phase::Watching => Mono(u64::MAX),
            Phase::Preflight { at, .. }
            | Phase::Reading { at, .. }
            | Phase::Confirming { at, .. }
            | Phase::Intending { at, .. }
            | Phase::Writing { at, .. }
            | Phase::Verifying { at, .. } => *at,
        };
        let read = match self.reading {
            Some((_, sent)) => sent.after(REPLY_MAX),
            None if self.reads_in_background() => self.next_read,
            None => Mono(u64::MAX),
        };
        deadline.min(read).min(self.next_pulse)
    }

    /// Nothing is half done: the process may stop.
    #[must_use]
    pub const fn may_stop(&self) -> bool {
        matches!(self.phase, Phase::Watching)
    }

    /// Replies that came after their operation had been given up.
    #[must_use]
    pub const fn late_replies(&self) -> u64 {
        self.late_replies
    }

    /// The clockwork: background reads, deadlines, cadence, pulse, the end of authority.
    fn tick(&mut self, now: Mono, out: &mut Vec<Action>) {
        self.deadlines(now, out);
        if let Some((_, sent)) = self.reading
            && now >= sent.after(REPLY_MAX)
        {
            self.reading = None;
            self.read_failed(now, ReadError::Timeout);
        }
        self.end_authority(now, out);
        self.take_revision(now, out);
        if !self.policy.has_lever && self.epoch.is_none() {
            // Nothing to read: what production shows is all that is known, from the start.
            self.recovered = None;
            self.begin_epoch(now, now, Cause::Start, false, out);
        }
        if self.reading.is_none() && now >= self.next_read && self.reads_in_background() {
            let depth = self.depth(now);
            let op = self.op();
            self.reading = Some((op, now));
            self.last_sent = Some(now);
            self.next_read = now.after(self.read_pause(now));
            out.push(Action::Read(op, depth));
        }
        self.pace(now, out);
        self.pulse(now, out);
        self.tell_standing(now, out);
    }

    /// While we act, the acting path asks for its own reads: another one in flight could only bring an older state.
    /// While a write is out, reading tells of its effect before its answer does.
    const fn reads_in_background(&self) -> bool {
        match self.phase {
            Phase::Watching | Phase::Verifying { .. } => self.policy.has_lever && !self.draining,
            Phase::Writing { .. } => true,
            Phase::Preflight { .. }
            | Phase::Intending { .. }
            | Phase::Reading { .. }
            | Phase::Confirming { .. } => false,
        }
    }

    /// How much the next background read must bring. In peace a thousand services have to share one account's calls.
    fn depth(&self, now: Mono) -> Depth {
        let age = self.last_full.map(|full| now.since(full));
        let peace = self.policy.versions_known && self.epoch.as_ref().is_some_and(|epoch| epoch.established);
        match age {
            Some(age) if self.in_release(now) && age < READ_FULL => Depth::Listener,
            Some(age) if !self.in_release(now) && peace && age < READ_FULL_PEACE => Depth::Marks,
            _ => Depth::Full,
        }
    }

    fn op(&mut self) -> OpId {
        let op = OpId(self.next_op);
        self.next_op += 1;
        op
    }

    /// How long until the next background read, jittered by a tenth so that a fleet doesn't read together.
    fn read_pause(&self, now: Mono) -> Duration {
        // Before the first read nothing is known, not even what was begun.
        let base = if self.in_release(now) || self.epoch.is_none() {
            READ_RELEASE
        } else if self.policy.versions_known && !self.is_blind() {
            READ_PEACE_VERSIONS
        } else {
            READ_PEACE
        };
        let base = base.saturating_mul(1 << self.read_backoff.min(6)).min(READ_PEACE_VERSIONS.max(base));
        base.saturating_sub(base / 10) + base / 50 * u32::try_from(self.next_op * 7 % 11).unwrap_or(0)
    }

    /// Answers tell nothing now, so a changed version may go unseen.
    fn is_blind(&self) -> bool {
        self.last_word.as_ref().is_some_and(|(_, word)| word.starts_with("blind"))
    }

    /// A release is under judgement and its time is not over.
    fn in_release(&self, now: Mono) -> bool {
        self.release.as_ref().is_some_and(|release| !release.over && now < release.until)
    }

    fn pace(&mut self, now: Mono, out: &mut Vec<Action>) {
        let cadence = if self.in_release(now) || !self.may_stop() { Cadence::Release } else { Cadence::Calm };
        if self.epoch.is_some() && self.cadence != Some(cadence) {
            self.cadence = Some(cadence);
            out.push(Action::Pace(cadence));
        }
    }

    fn pulse(&mut self, now: Mono, out: &mut Vec<Action>) {
        if now < self.next_pulse {
            return;
        }
        self.next_pulse = now.after(if self.in_release(now) { PULSE_RELEASE } else { PULSE_PEACE });
        if let (Some(judged), Some(epoch)) = (&self.judged, &self.epoch) {
            out.push(Action::note(Record::Pulse {
                epoch: epoch.id,
                window: judged.baseline.clone(),
                verdict: judged.verdict.word().into(),
                versions: epoch.versions.clone(),
            }));
        }
    }

    /// The reverts of the last `span`.
    fn reverts_within(&self, now: Mono, span: Duration) -> u32 {
        let recent = self.reverts.iter().filter(|at| now.since(**at) < span);
        u32::try_from(recent.count()).unwrap_or(u32::MAX)
    }

    fn verdict_is_bad(&self) -> bool {
        let epoch = self.epoch.as_ref().map(|epoch| epoch.id);
        self.judged
            .as_ref()
            .is_some_and(|judged| Some(judged.epoch) == epoch && matches!(judged.verdict, Verdict::Bad(_)))
    }

    fn new_intent(&mut self) -> IntentId {
        let intent = IntentId(self.next_intent);
        self.next_intent += 1;
        intent
    }

    fn stage(&self, epoch: EpochId, after: Mono, since: Mono, release: bool) -> Stage {
        let judged = self.release.as_ref().filter(|_| release);
        let base = judged.and_then(|release| release.base.as_ref());
        Stage {
            epoch,
            after,
            since,
            cutover: judged.map_or(since, |release| release.cutover),
            release,
            old_versions: match (judged, base) {
                (Some(release), _) => release.old_versions.clone(),
                (None, _) => self.left.clone(),
            },
            one_has_all: self.live.as_ref().is_none_or(|live| live.state.one_has_all()),
            baseline: base.map(|good| good.baseline.clone()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests;
