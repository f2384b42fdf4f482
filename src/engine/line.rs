//! One target asked for one purpose: its probes in flight, oldest first, and its slots.

use super::desk::Desk;
use super::exchange::Ask;
use super::link::{Job, Link};
use super::origin::Origin;
use crate::model::release::EpochId;
use crate::model::sample::{Ours, Outcome, Phases, Purpose, Sample, Taint};
use crate::model::target::{TargetId, VersionId};
use crate::model::time::{Mono, Span};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// See the module.
pub(super) struct Line {
    /// Whose line it is.
    pub(super) subject: usize,
    purpose: Purpose,
    target: TargetId,
    ask: Rc<Ask>,
    origin: Rc<Origin>,
    /// Sends the next probe when one has ended, instead of by a schedule.
    pub(super) closed_loop: bool,
    /// Nothing more is sent; it goes when its last probe has ended.
    pub(super) retired: bool,
    flights: VecDeque<Flight>,
    /// The number of the oldest of `flights`.
    first: u64,
    in_flight: u32,
    /// Those up to here were told of as slow.
    told: u64,
    /// When it is to be looked at again; `None`: nothing is in flight.
    watch: Option<Mono>,
}

/// A probe that is out, or has ended behind an older one that hasn't.
struct Flight {
    due: Mono,
    planned: Mono,
    epoch: EpochId,
    link: Option<Rc<Link>>,
}

/// What a look at the probes in flight has found.
pub(super) enum Found {
    /// In flight for longer than the latency objective.
    Slow(Sample),
    /// Out of time; its slot is closed.
    TimedOut(Sample, Mono),
}

impl Line {
    pub(super) fn new(
        subject: usize,
        purpose: Purpose,
        target: TargetId,
        ask: Rc<Ask>,
        origin: Rc<Origin>,
    ) -> Self {
        Self {
            subject,
            purpose,
            target,
            ask,
            origin,
            closed_loop: false,
            retired: false,
            flights: VecDeque::new(),
            first: 0,
            in_flight: 0,
            told: 0,
            watch: None,
        }
    }

    pub(super) const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// A sample of this line before anything is known of it.
    pub(super) fn blank(&self, due: Mono, planned: Mono, epoch: EpochId) -> Sample {
        Sample {
            due,
            planned,
            phases: Phases::default(),
            target: self.target,
            conn: 0,
            epoch,
            addr: 0,
            version: VersionId::NONE,
            status: 0,
            purpose: self.purpose,
            taint: Taint::Clean,
            outcome: Outcome::Ok,
            told_slow: false,
        }
    }

    /// A probe that was due and never sent, by our doing.
    pub(super) fn missed(&self, due: Mono, planned: Mono, epoch: EpochId, now: Mono) -> Sample {
        let mut sample = self.blank(due, planned, epoch);
        sample.phases.wake = Span::of(now.since(due));
        sample.taint = Taint::Late;
        sample.outcome = Outcome::Missed(Ours::Late);
        sample
    }

    /// Sends a probe. When every slot waits for the target, that is the target's doing and evidence: the sample comes
    /// back at once.
    pub(super) fn send(
        &mut self,
        (due, planned): (Mono, Mono),
        epoch: EpochId,
        now: Mono,
        (number, desk): (usize, &Rc<Desk>),
    ) -> Result<(), Sample> {
        let sequence = self.first + self.flights.len() as u64;
        let job = Job { ask: Rc::clone(&self.ask), due, line: number, sequence };
        let free = self.in_flight < self.ask.target.in_flight;
        let Some(link) = free.then(|| self.origin.carry(job, desk)).flatten() else {
            let mut sample = self.blank(due, planned, epoch);
            sample.phases.wake = Span::of(now.since(due));
            sample.outcome = Outcome::Saturated;
            return Err(sample);
        };
        self.in_flight += 1;
        self.flights.push_back(Flight { due, planned, epoch, link: Some(link) });
        Ok(())
    }

    /// A probe has ended: what it was, and whether it was told of as slow. `None` when it had timed out before.
    pub(super) fn land(&mut self, sequence: u64) -> Option<Sample> {
        let index = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        let flight = self.flights.get_mut(index)?;
        flight.link.take()?;
        let (due, planned, epoch) = (flight.due, flight.planned, flight.epoch);
        let mut sample = self.blank(due, planned, epoch);
        sample.told_slow = sequence < self.told;
        self.landed();
        Some(sample)
    }

    fn landed(&mut self) {
        self.in_flight -= 1;
        while self.flights.front().is_some_and(|flight| flight.link.is_none()) {
            self.flights.pop_front();
            self.first += 1;
        }
    }

    /// When the line is to be looked at next, if that isn't noted yet: its entry in the calendar.
    pub(super) fn rewatch(&mut self, slow: Option<Duration>) -> Option<Mono> {
        if self.watch.is_none() {
            self.watch = self.next_watch(slow);
            return self.watch;
        }
        None
    }

    fn next_watch(&self, slow: Option<Duration>) -> Option<Mono> {
        let oldest = self.flights.front()?.planned.after(self.ask.target.timeout);
        let untold = usize::try_from(self.told.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let slow = slow.and_then(|slow| Some(self.flights.get(untold)?.planned.after(slow)));
        // The objective is broken just after it.
        Some(slow.map_or(oldest, |slow| oldest.min(slow.after(Duration::from_nanos(1)))))
    }

    /// Looks at the probes in flight, at the instant that was noted. False for a stale entry.
    pub(super) fn look(
        &mut self,
        at: Mono,
        now: Mono,
        slow: Option<Duration>,
        found: &mut Vec<Found>,
    ) -> bool {
        if self.watch != Some(at) {
            return false;
        }
        self.watch = None;
        self.time_out(now, found);
        let Some(slow) = slow else { return true };
        self.told = self.told.max(self.first);
        while let Some(flight) =
            self.flights.get(usize::try_from(self.told - self.first).unwrap_or(usize::MAX))
        {
            if now.since(flight.planned) <= slow {
                break;
            }
            if flight.link.is_some() {
                found.push(Found::Slow(self.blank(flight.due, flight.planned, flight.epoch)));
            }
            self.told += 1;
        }
        true
    }

    /// Every probe of a line has the same time, so those in front run out of it first.
    fn time_out(&mut self, now: Mono, found: &mut Vec<Found>) {
        while let Some(flight) = self.flights.front_mut() {
            if now < flight.planned.after(self.ask.target.timeout) {
                return;
            }
            // Only the front is looked at, and what has ended is never in front.
            let Some(link) = flight.link.take() else { return };
            let (due, planned, epoch) = (flight.due, flight.planned, flight.epoch);
            let passage = link.marks.passage(due, now);
            let outcome = link.marks.step().timed_out();
            link.abort();
            let mut sample = self.blank(due, planned, epoch);
            sample.told_slow = self.first < self.told;
            sample.phases = passage.phases;
            (sample.conn, sample.addr) = (passage.conn, passage.addr);
            sample.outcome = outcome;
            found.push(Found::TimedOut(sample, passage.begun));
            self.landed();
        }
    }

    /// Closes every slot that has a probe in flight.
    pub(super) fn abort(&mut self) {
        for link in self.flights.drain(..).filter_map(|flight| flight.link) {
            link.abort();
        }
        self.in_flight = 0;
    }
}
