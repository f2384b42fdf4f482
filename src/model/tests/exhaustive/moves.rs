//! What may happen next: to each guard, on the way to AWS and back, by other hands, and in time.
//!
//! Calls and answers that aren't late come within the second in which they were sent, in any order with all else that happens in it.
//! A late one costs budget, and comes at any later time or never. AWS answers a read at any moment between its call and its answer:
//! that moment only matters where a rule changes in between, so each change comes twice, with the read before it and after it.

use crate::world::{SECOND, World, blue, forward, green};
use serin_model::guard::{Command, Depth, Event, Guard, ReadError};
use serin_model::owner::DeploymentStage;
use serin_model::time::Mono;
use std::time::Duration;

/// A request reaches AWS within this time or not at all, as the guard takes it.
const LANDS_WITHIN: Duration = Duration::from_secs(5);
/// Nobody waits for an answer any more.
const GIVEN_UP: Duration = Duration::from_secs(10);
/// Longer than a release stays under judgement without us.
const AWAY: Duration = Duration::from_secs(70);

/// Whoever else is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hand {
    HoldsByTag,
    HoldsByWord,
    EndsTheHold,
    PutsBack,
    WritesAThirdState,
    GoesForward,
    MovesOnToRed,
    EmptiesBlue,
}

/// One thing that happens; the first number is the daemon's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    Starts(usize),
    StartsLate(usize),
    Dies(usize),
    Drains(usize),
    JudgeSpeaks(usize),
    JudgeDoubts(usize),
    JudgeIsSilent(usize),
    ReadAnswered(usize),
    ReadFails(usize),
    ReadIsLate(usize),
    IntentOnDisk(usize),
    IntentAnswered(usize),
    DiskFull(usize),
    DiskIsLate(usize),
    CallArrives(usize, usize),
    CallArrivesAndAnswerIsLost(usize, usize),
    CallThrottled(usize, usize),
    CallRefused(usize, usize),
    CallIsLate(usize, usize),
    CallIsLost(usize, usize),
    CallAnswered(usize, usize),
    AnswerIsLate(usize, usize),
    Proof(usize),
    ProofFails(usize),
    OwnerIsDone,
    OwnerFails,
    Somebody(Hand),
    Time,
}

/// A move, how far the process gets in it, and whether reads that were out are answered before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) what: Move,
    pub(crate) dies: Option<usize>,
    pub(crate) reads_first: bool,
}

impl World {
    /// Everything that may happen next.
    pub(crate) fn moves(&self) -> Vec<Move> {
        let mut all = Vec::new();
        for index in 0..self.actors.len() {
            self.moves_of(index, &mut all);
            self.moves_of_calls(index, &mut all);
        }
        if self.owner_works {
            all.push(Move::OwnerIsDone);
            if self.budget.faults > 0 {
                all.push(Move::OwnerFails);
            }
        }
        if self.budget.hands > 0 {
            let rules = self.listener.rules().len();
            let held = self.marks.hold.is_some();
            let hands = [
                (Hand::HoldsByTag, !held),
                (Hand::HoldsByWord, !held && self.actors[0].guard.is_some()),
                (Hand::EndsTheHold, held && self.actors[0].guard.is_some()),
                (Hand::PutsBack, self.listener != blue(rules)),
                (Hand::WritesAThirdState, true),
                (Hand::GoesForward, self.listener != green(rules)),
                (Hand::MovesOnToRed, !self.listener.serving().contains("r")),
                (Hand::EmptiesBlue, self.blue_well),
            ];
            all.extend(hands.into_iter().filter(|(_, may)| *may).map(|(hand, _)| Move::Somebody(hand)));
        }
        if self.then().is_some() {
            all.push(Move::Time);
        }
        all
    }

    fn moves_of(&self, index: usize, all: &mut Vec<Move>) {
        let (actor, budget) = (&self.actors[index], &self.budget);
        if actor.guard.is_none() {
            if self.may_pass(SECOND) {
                all.push(Move::Starts(index));
            }
            if self.may_pass(AWAY) {
                all.push(Move::StartsLate(index));
            }
            return;
        }
        if budget.crashes > 0 {
            all.extend([Move::Dies(index), Move::Drains(index)]);
        }
        if actor.due {
            all.push(Move::JudgeSpeaks(index));
            if budget.lapses > 0 {
                all.push(Move::JudgeIsSilent(index));
            }
        }
        if budget.lapses > 0 {
            all.push(Move::JudgeDoubts(index));
        }
        if let Some(asked) = &actor.asked {
            all.push(Move::ReadAnswered(index));
            if budget.faults > 0 {
                all.push(Move::ReadFails(index));
            }
            if budget.late > 0 && !asked.late {
                all.push(Move::ReadIsLate(index));
            }
        }
        if let Some((_, _, on_disk, late)) = &actor.persist {
            all.push(if *on_disk { Move::IntentAnswered(index) } else { Move::IntentOnDisk(index) });
            if budget.faults > 0 && !on_disk {
                all.push(Move::DiskFull(index));
            }
            if budget.late > 0 && !late {
                all.push(Move::DiskIsLate(index));
            }
        }
        if actor.proof.is_some() {
            all.push(Move::Proof(index));
            if budget.faults > 0 {
                all.push(Move::ProofFails(index));
            }
        }
    }

    fn moves_of_calls(&self, index: usize, all: &mut Vec<Move>) {
        let budget = &self.budget;
        for (number, sent) in self.actors[index].sent.iter().enumerate() {
            if sent.outcome.is_some() {
                all.push(Move::CallAnswered(index, number));
                if budget.late > 0 && !sent.late {
                    all.push(Move::AnswerIsLate(index, number));
                }
                continue;
            }
            all.push(Move::CallArrives(index, number));
            if sent.late {
                all.push(Move::CallIsLost(index, number));
            } else if budget.late > 0 {
                all.push(Move::CallIsLate(index, number));
            }
            if budget.faults > 0 {
                all.extend([
                    Move::CallArrivesAndAnswerIsLost(index, number),
                    Move::CallThrottled(index, number),
                    Move::CallRefused(index, number),
                ]);
            }
        }
    }

    /// No call that is under way would have to be forgotten meanwhile.
    fn may_pass(&self, span: Duration) -> bool {
        let mut sent = self.actors.iter().flat_map(|actor| &actor.sent);
        sent.all(|sent| sent.outcome.is_some() || self.now.after(span) < sent.at.after(LANDS_WITHIN))
    }

    /// When something is due next; `None` while something has to happen within this second.
    fn then(&self) -> Option<Mono> {
        let mut then = u64::MAX;
        for actor in &self.actors {
            let guard = actor.guard.as_ref()?;
            let prompt = actor.due
                || actor.asked.as_ref().is_some_and(|asked| !asked.late)
                || actor.persist.as_ref().is_some_and(|(_, _, _, late)| !late)
                || actor.proof.is_some()
                || actor.sent.iter().any(|sent| !sent.late);
            if prompt {
                return None;
            }
            then = then.min(guard.wake_at().0);
            // The second after a deadline is one in which the guard may do something else than before.
            if let Some(intent) = &actor.mind.intent
                && self.now <= intent.deadline
            {
                then = then.min(intent.deadline.after(SECOND).0);
            }
            let waits = actor.sent.iter().filter(|sent| sent.outcome.is_none());
            let last = waits.map(|sent| sent.at.after(LANDS_WITHIN.saturating_sub(SECOND)).0).min();
            then = then.min(last.filter(|last| *last > self.now.0).unwrap_or(u64::MAX));
        }
        let second = serin_model::time::nanos(SECOND);
        let then = Mono(then.div_ceil(second).saturating_mul(second).max(self.now.after(SECOND).0));
        self.may_pass(then.since(self.now)).then_some(then)
    }

    /// What happens where nothing more goes wrong.
    pub(crate) fn calm(&self) -> Option<Move> {
        let moves = self.moves();
        let is_calm = |what: &Move| {
            matches!(
                what,
                Move::Starts(_)
                    | Move::JudgeSpeaks(_)
                    | Move::ReadAnswered(_)
                    | Move::IntentOnDisk(_)
                    | Move::IntentAnswered(_)
                    | Move::CallArrives(..)
                    | Move::CallAnswered(..)
                    | Move::Proof(_)
                    | Move::OwnerIsDone
            )
        };
        moves
            .iter()
            .find(|what| is_calm(what))
            .or_else(|| moves.iter().find(|what| **what == Move::Time))
            .copied()
    }

    /// One step. Says how many things the guard asked for in it.
    pub(crate) fn play(&mut self, step: Step) -> Result<usize, String> {
        self.raced = false;
        if step.reads_first {
            for index in 0..self.actors.len() {
                self.serve(index);
            }
        }
        self.say(|| crate::trace::happens(step));
        let listener = self.log.is_some().then(|| self.listener.clone());
        let done = self.happens(step);
        if listener.is_some_and(|listener| listener != self.listener) {
            let label = self.listener.label();
            self.say(|| format!("    the rules show {label}"));
        }
        let over = self.budget.crashes == 0;
        for actor in &mut self.actors {
            let stops = actor.mind.drains && actor.guard.as_ref().is_some_and(Guard::may_stop);
            if over && actor.guard.is_some() && !actor.mind.drains {
                actor.forget();
            }
            actor.mind.stops = stops;
        }
        for index in 0..self.actors.len() {
            if std::mem::take(&mut self.actors[index].mind.stops) {
                self.die(index);
            }
        }
        done
    }

    fn happens(&mut self, step: Step) -> Result<usize, String> {
        let dies = step.dies;
        match step.what {
            Move::Starts(index) => {
                self.pass(self.now.after(SECOND));
                self.boot(index)?;
            }
            Move::StartsLate(index) => {
                self.pass(self.now.after(AWAY));
                self.boot(index)?;
            }
            Move::Dies(index) => {
                self.budget.crashes -= 1;
                self.die(index);
            }
            Move::Drains(index) => {
                self.budget.crashes -= 1;
                self.actors[index].mind.drains = true;
                return self.step(index, Event::Drain, dies);
            }
            Move::JudgeSpeaks(index) => {
                self.actors[index].due = false;
                return self.truth(index).map_or(Ok(0), |event| self.hears(index, event, dies));
            }
            Move::JudgeDoubts(index) => {
                self.budget.lapses -= 1;
                return self.doubt(index).map_or(Ok(0), |event| self.hears(index, event, dies));
            }
            Move::JudgeIsSilent(index) => {
                self.budget.lapses -= 1;
                self.actors[index].due = false;
            }
            Move::Time => {
                let Some(then) = self.then() else { return Ok(0) };
                self.pass(then);
                for index in 1..self.actors.len() {
                    self.step(index, Event::Tick, None)?;
                }
                return self.step(0, Event::Tick, dies);
            }
            Move::OwnerIsDone => self.owner_ends(DeploymentStage::RolledBack),
            Move::OwnerFails => {
                self.budget.faults -= 1;
                self.owner_ends(DeploymentStage::RollbackFailed("no capacity".into()));
            }
            Move::Somebody(hand) => return self.somebody(hand, dies),
            other => return self.answers(other, dies),
        }
        Ok(0)
    }

    fn hears(&mut self, index: usize, event: Event, dies: Option<usize>) -> Result<usize, String> {
        if let Event::Judged(judged) = &event {
            self.actors[index].mind.judged(&judged.verdict);
        }
        self.step(index, event, dies)
    }

    fn pass(&mut self, then: Mono) {
        self.now = then;
        for actor in &mut self.actors {
            actor.due = actor.stage.is_some();
            // Nobody waits for it any more.
            actor.sent.retain(|sent| sent.outcome.is_none() || then < sent.at.after(GIVEN_UP));
        }
    }

    fn answers(&mut self, what: Move, dies: Option<usize>) -> Result<usize, String> {
        match what {
            Move::ReadAnswered(index) => {
                self.serve(index);
                let Some(asked) = self.actors[index].asked.take() else { return Ok(0) };
                let Some(shows) = asked.shows else { return Ok(0) };
                self.actors[index].mind.read(asked.op, &shows);
                self.step(index, Event::Read(asked.op, Ok((*shows).clone())), dies)
            }
            Move::ReadFails(index) => {
                self.budget.faults -= 1;
                let Some(asked) = self.actors[index].asked.take() else { return Ok(0) };
                // Some errors are tried again, and others never.
                let error = match asked.depth {
                    Depth::Full => ReadError::Denied("DescribeRules".into()),
                    Depth::Listener | Depth::Marks => ReadError::Failed("500".into()),
                };
                self.step(index, Event::Read(asked.op, Err(error)), dies)
            }
            Move::ReadIsLate(index) => {
                self.budget.late -= 1;
                if let Some(asked) = &mut self.actors[index].asked {
                    asked.late = true;
                }
                Ok(0)
            }
            other => self.of_disk(other, dies),
        }
    }

    fn somebody(&mut self, hand: Hand, dies: Option<usize>) -> Result<usize, String> {
        self.budget.hands -= 1;
        let rules = self.listener.rules().len();
        match hand {
            Hand::HoldsByTag => self.marks.hold = Some("tag canary:hold".into()),
            Hand::HoldsByWord => {
                return self.step(0, Event::Operator(Command::Hold { reason: "incident".into() }), dies);
            }
            Hand::EndsTheHold => return self.step(0, Event::Operator(Command::Unhold), dies),
            Hand::PutsBack => self.listener = blue(rules),
            Hand::WritesAThirdState => {
                let mut all = self.listener.rules().to_vec();
                all[0].forward.clone_from(&forward(1, &[("b", 40), ("g", 60)]).rules()[0].forward);
                self.listener = all.into();
            }
            Hand::GoesForward => {
                self.deploys();
                self.listener = green(rules);
            }
            Hand::MovesOnToRed => {
                self.deploys();
                self.listener = forward(rules, &[("g", 0), ("r", 100)]);
            }
            Hand::EmptiesBlue => self.blue_well = false,
        }
        Ok(0)
    }
}

impl Move {
    /// What reads show may be another before it and after it.
    pub(crate) const fn changes(self) -> bool {
        matches!(
            self,
            Self::CallArrives(..)
                | Self::CallArrivesAndAnswerIsLost(..)
                | Self::OwnerIsDone
                | Self::OwnerFails
                | Self::Somebody(_)
        )
    }
}
