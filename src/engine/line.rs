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
    retired: bool,
    /// Nobody wants to know what comes of the probes that are in flight.
    muted: bool,
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
            muted: false,
            flights: VecDeque::new(),
            first: 0,
            in_flight: 0,
            told: 0,
            watch: None,
        }
    }

    pub(super) const fn is_retired(&self) -> bool {
        self.retired
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
        let trace = self.ask.trace(self.purpose, self.target, due);
        let job = Job { ask: Rc::clone(&self.ask), due, trace, line: number, sequence };
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

    /// When the line is to be looked at next, if nothing is noted that comes before it: its entry in the calendar.
    pub(super) fn rewatch(&mut self, slow: Option<Duration>) -> Option<Mono> {
        let next = self.next_watch(slow)?;
        if self.watch.is_some_and(|at| at <= next) {
            return None;
        }
        self.watch = Some(next);
        Some(next)
    }

    /// Nothing more is sent. The connections go with the line: those that share them are retired with it.
    pub(super) fn retire(&mut self) {
        self.retired = true;
        self.origin.close();
    }

    /// Nothing more is sent, and what is in flight is nobody's any more. `closes`: no other line shares the connections.
    pub(super) fn discard(&mut self, closes: bool) {
        (self.retired, self.muted) = (true, true);
        if closes {
            self.origin.close();
        }
    }

    pub(super) const fn is_muted(&self) -> bool {
        self.muted
    }

    pub(super) const fn origin(&self) -> &Rc<Origin> {
        &self.origin
    }

    /// The same target has another number, and may be asked by another rhythm.
    pub(super) fn renumber(&mut self, target: TargetId, ask: Rc<Ask>) {
        (self.target, self.ask) = (target, ask);
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

#[cfg(test)]
mod tests {
    use super::super::connect::Dialer;
    use super::super::origin::Room;
    use super::*;
    use crate::clock;
    use crate::settings::Target;
    use std::future::Future;
    use std::net::TcpListener;
    use tokio::runtime::{Builder, LocalOptions};

    const SLOW: Option<Duration> = Some(Duration::from_millis(100));
    const NANO: Duration = Duration::from_nanos(1);

    /// On a runtime of the engine's kind, with a line to a server that takes connections and never answers.
    fn with_line<F: Future<Output = ()>>(test: impl FnOnce(Line, Rc<Desk>, TcpListener) -> F) {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async {
            let server = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}/", server.local_addr().unwrap());
            let target = Target { in_flight: 2, ..Target::plain(&url).unwrap() };
            let dialer = Rc::new(Dialer::new([&target], false).unwrap());
            let room = Room { keep: 1, cap: 8.0 };
            let origin = Rc::new(Origin::new(&target, None, room, &dialer, &Rc::default()));
            let ask = Rc::new(Ask::new(Rc::new(target)));
            let line = Line::new(0, Purpose::Production, TargetId(0), ask, origin);
            test(line, Rc::default(), server).await;
        });
    }

    fn send(line: &mut Line, desk: &Rc<Desk>, planned: Mono) -> Result<(), Sample> {
        line.send((planned, planned), EpochId(1), planned, (0, desk))
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn each_probe_in_flight_is_told_of_as_slow_at_its_own_time_and_once() {
        with_line(async |mut line, desk, _server| {
            let (first, second) = (clock::now(), clock::now().after(ms(200)));
            let mut found = Vec::new();
            send(&mut line, &desk, first).unwrap();
            let at = line.rewatch(SLOW).unwrap();
            assert_eq!(at, first.after(ms(100) + NANO));
            assert!(line.look(at, at, SLOW, &mut found));
            assert!(matches!(found.drain(..).as_slice(), [Found::Slow(sample)] if sample.planned == first));
            assert_eq!(line.rewatch(SLOW), Some(first.after(ms(1_000))), "its timeout is next");
            send(&mut line, &desk, second).unwrap();
            let at = line.rewatch(SLOW).unwrap();
            assert_eq!(at, second.after(ms(100) + NANO), "before the timeout of the first");
            assert!(!line.look(first.after(ms(1_000)), at, SLOW, &mut found), "a stale entry");
            assert!(line.look(at, at, SLOW, &mut found));
            assert!(matches!(found.drain(..).as_slice(), [Found::Slow(sample)] if sample.planned == second));
        });
    }

    #[test]
    fn a_probe_out_of_time_ends_and_frees_its_slot() {
        with_line(async |mut line, desk, _server| {
            let first = clock::now();
            send(&mut line, &desk, first).unwrap();
            send(&mut line, &desk, first.after(ms(10))).unwrap();
            let third = send(&mut line, &desk, first.after(ms(20))).unwrap_err();
            assert_eq!(third.outcome, Outcome::Saturated, "two slots are all");
            tokio::time::sleep(ms(20)).await;
            let at = line.rewatch(None).unwrap();
            let mut found = Vec::new();
            assert!(line.look(at, at, None, &mut found));
            let [Found::TimedOut(sample, _)] = found.as_slice() else { panic!("one is out of time") };
            assert_eq!((sample.planned, sample.phases.total()), (first, ms(1_000)));
            assert!(matches!(sample.outcome, Outcome::Bad(_)), "{sample:?}");
            assert_eq!(line.in_flight(), 1);
            assert!(line.land(0).is_none(), "its answer comes too late");
            assert!(line.land(1).is_some());
            assert_eq!((line.in_flight(), line.rewatch(None)), (0, None));
        });
    }
}
