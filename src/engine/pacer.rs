//! The loop of one engine thread: one calendar, one timer, every probe of every subject.
//!
//! Each turn takes what is due, hands it to connections, lets them write, and only then looks at what has come back.
//! Nothing here waits for anybody.

use super::desk::{Desk, Ended};
use super::echo::Echo;
use super::line::{Found, Line};
use super::timer::Timer;
use super::vitals::Vitals;
use crate::clock;
use crate::model::calendar::{Calendar, Due, Matter, Row};
use crate::model::delta::{Own, Throttling};
use crate::model::pulse::{Pulse, lateness};
use crate::model::release::EpochId;
use crate::model::sample::{Sample, Taint};
use crate::model::schedule::Schedule;
use crate::model::time::Mono;
use crate::model::trace::Link;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

mod field;

/// A probe that is later than this isn't sent: it is missed.
const LATE_MAX: Duration = Duration::from_millis(10);
/// Own delays up to this, or up to the quantum, spoil nothing.
const TAINT: Duration = Duration::from_millis(1);

/// What probes are made for: a service that is judged, or a survey that is printed.
pub(super) trait Subject {
    /// The epoch that a probe belongs to which is due now.
    fn epoch(&self) -> EpochId;
    /// Answers that take longer than this are told of while they are in flight.
    fn slow_after(&self) -> Option<Duration>;
    /// A probe is whole. `begun`: when it was taken up.
    fn sample(&mut self, sample: &mut Sample, answer: Told<'_>, begun: Mono, now: Mono);
    /// Due probes that were passed over, as many as `count`, all like `sample`.
    fn missed(&mut self, sample: &Sample, count: u64, now: Mono);
    /// A probe is in flight for longer than [`Self::slow_after`].
    fn slow(&mut self, sample: &Sample, now: Mono);
    /// House-keeping; the answer is when it wants to be called again, `None` when it has come to its end.
    fn tick(&mut self, field: &mut Field, now: Mono) -> Option<Mono>;
    /// Once a second: how we fared on this machine.
    fn fared(&mut self, own: &Own);
    /// Somebody rang: orders, proofs. False when it has come to its end.
    fn rung(&mut self, field: &mut Field, now: Mono) -> bool;
    /// The last word.
    fn finish(&mut self, now: Mono);
}

/// What an answer tells beside its sample.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told<'a> {
    /// The version that answered.
    pub(super) version: Option<&'a Rc<str>>,
    /// What it says of the service's own trace.
    pub(super) link: Option<Link>,
}

/// A row to be planned: a schedule over lines that take turns.
pub(super) struct Plan {
    pub(super) schedule: Schedule,
    pub(super) lines: Rc<[usize]>,
}

/// What a subject may lay out: its lines, and when they are asked.
pub(super) struct Field {
    pub(super) desk: Rc<Desk>,
    quantum: Duration,
    lines: Vec<Option<Line>>,
    /// Numbers of lines that are gone, to be given again.
    free: Vec<usize>,
    rows: Vec<Option<Planned>>,
    calendar: Calendar,
    /// Lines in a closed loop that have room for a probe.
    eager: Vec<usize>,
}

/// A row as it stands in the calendar.
struct Planned {
    subject: usize,
    row: Row,
    lines: Rc<[usize]>,
    turn: usize,
    /// Its entry in the calendar; others are stale.
    entry: Mono,
}

/// See the module.
pub(super) struct Pacer<S> {
    subjects: Vec<Option<S>>,
    field: Field,
    timer: Timer,
    pulse: Pulse,
    vitals: Vitals,
    /// What the timer was armed for, until it has come.
    armed: Option<Mono>,
    last_sent: Mono,
    in_flight: u32,
    next_second: Mono,
    throttling: Throttling,
    echo: Echo,
    ended: Vec<Ended>,
    found: Vec<Found>,
    taint: Duration,
}

/// Lets every task that is ready run once.
async fn give_way() {
    let mut given = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl<S: Subject> Pacer<S> {
    /// The loop of the current thread. `make` lays out each subject on the field.
    pub(super) fn new(
        quantum: Duration,
        desk: Rc<Desk>,
        make: impl FnOnce(&mut Field) -> Vec<S>,
    ) -> std::io::Result<Self> {
        let now = clock::now();
        let mut field = Field::new(quantum, desk);
        let subjects: Vec<Option<S>> = make(&mut field).into_iter().map(Some).collect();
        for subject in 0..subjects.len() {
            field.calendar.enter(now, Matter::Tick(subject));
        }
        let vitals = Vitals::of_this_thread();
        let taint = TAINT.max(quantum);
        Ok(Self {
            subjects,
            field,
            timer: Timer::new()?,
            pulse: Pulse::new(taint),
            throttling: vitals.throttling(),
            vitals,
            armed: None,
            last_sent: now,
            in_flight: 0,
            next_second: now.after(Duration::from_secs(1)),
            echo: Echo::new(),
            ended: Vec::new(),
            found: Vec::new(),
            taint,
        })
    }

    /// Runs until every subject has come to its end.
    pub(super) async fn run(mut self) -> std::io::Result<()> {
        let mut matters = Vec::new();
        loop {
            let now = clock::now();
            self.watch_ourselves(now);
            let before = self.in_flight;
            self.fire(now, &mut matters);
            self.eager(now);
            if self.in_flight > before {
                // The connections write first, then we look at what has come back.
                give_way().await;
                self.watch_ourselves(clock::now());
            }
            self.land();
            let now = clock::now();
            for (at, matter) in matters.drain(..) {
                self.attend(at, matter, now);
            }
            if self.field.desk.answer() {
                self.rung(clock::now());
            }
            if self.subjects.iter().all(Option::is_none) {
                break;
            }
            self.wait().await?;
        }
        Ok(())
    }

    /// Sleeps until something is due or has come.
    async fn wait(&mut self) -> std::io::Result<()> {
        if !self.field.eager.is_empty() {
            return Ok(());
        }
        let now = clock::now();
        let mut at = self.field.calendar.head().unwrap_or(self.next_second).min(self.next_second);
        if self.in_flight > 0
            && let Some(beat) = self.pulse.beat(self.last_sent, now)
        {
            at = at.min(beat);
        }
        self.armed = Some(at);
        let (timer, desk) = (&mut self.timer, &self.field.desk);
        poll_fn(|cx| if desk.poll_empty(cx) { timer.poll_until(cx, at) } else { Poll::Ready(Ok(())) }).await
    }

    /// Were we run when we should have been?
    fn watch_ourselves(&mut self, now: Mono) {
        if let Some(armed) = self.armed.take() {
            self.pulse.woke(armed, now);
        }
        if self.pulse.wants(now) {
            self.pulse.read(now, self.vitals.readings());
        }
        if now >= self.next_second {
            self.next_second = now.after(Duration::from_secs(1));
            let throttling = self.vitals.throttling();
            let stalled = self.pulse.stalled();
            let own = Own { stalled, throttling: throttling.since(self.throttling), echo: self.echo.take() };
            self.throttling = throttling;
            for subject in self.subjects.iter_mut().flatten() {
                subject.fared(&own);
            }
        }
        if let Some((sent, heard)) = self.echo.heard(now) {
            self.pulse.woke(sent, heard);
        }
    }

    /// Sends every probe that is planned by now; whatever else has come goes into `matters`.
    fn fire(&mut self, now: Mono, matters: &mut Vec<(Mono, Matter)>) {
        while let Some((at, matter)) = self.field.calendar.pop(now) {
            let Matter::Row(number) = matter else {
                matters.push((at, matter));
                continue;
            };
            let Some((subject, line, due)) = self.field.take(number, at, now, self.taint) else { continue };
            if due.missed > 0 {
                self.missed(subject, line, &due, now);
            }
            if !due.dead {
                self.send(subject, line, (due.at, due.planned), now);
            }
        }
    }

    /// Probes of closed loops.
    fn eager(&mut self, now: Mono) {
        for number in std::mem::take(&mut self.field.eager) {
            let Some(line) = self.field.line(number).filter(|line| line.closed_loop && !line.is_retired())
            else {
                continue;
            };
            let subject = line.subject;
            self.send(subject, number, (now, now), now);
        }
    }

    fn missed(&mut self, subject: usize, number: usize, due: &Due, now: Mono) {
        let Some(subject) = self.subjects.get_mut(subject).and_then(Option::as_mut) else { return };
        let Some(line) = self.field.line(number) else { return };
        let sample = line.missed(due.at, due.planned, subject.epoch(), now);
        subject.missed(&sample, due.missed, now);
    }

    fn send(&mut self, subject: usize, number: usize, instants: (Mono, Mono), now: Mono) {
        let Some(subject) = self.subjects.get_mut(subject).and_then(Option::as_mut) else { return };
        let desk = Rc::clone(&self.field.desk);
        let Some(line) = self.field.line(number) else { return };
        match line.send(instants, subject.epoch(), now, (number, &desk)) {
            Ok(()) => {
                self.in_flight += 1;
                self.last_sent = now;
                self.field.rewatch(number, subject.slow_after());
            }
            Err(mut saturated) => {
                if now.since(saturated.planned) > self.taint {
                    saturated.taint = Taint::Late;
                }
                subject.sample(&mut saturated, Told::default(), now, now);
            }
        }
    }

    /// Takes in every probe that has ended.
    fn land(&mut self) {
        let mut ended = std::mem::take(&mut self.ended);
        self.field.desk.take(&mut ended);
        for Ended { line: number, sequence, passage, answer } in ended.drain(..) {
            let Some(line) = self.field.line(number) else { continue };
            let Some(mut sample) = line.land(sequence) else { continue };
            let (subject, retired, closed_loop) = (line.subject, line.is_retired(), line.closed_loop);
            let muted = line.is_muted();
            sample.phases = passage.phases;
            (sample.conn, sample.addr) = (passage.conn, passage.addr);
            (sample.status, sample.outcome) = (answer.status, answer.outcome);
            sample.taint = if self.pulse.delayed(sample.planned, passage.sent, passage.done) {
                Taint::Late
            } else if self.pulse.spoils(passage.begun, passage.done, passage.dialled) {
                Taint::Stalled
            } else {
                Taint::Clean
            };
            self.in_flight -= 1;
            if closed_loop {
                self.field.eager.push(number);
            }
            if retired {
                self.field.retire(number);
            }
            if muted {
                continue;
            }
            if let Some(subject) = self.subjects.get_mut(subject).and_then(Option::as_mut) {
                let told = Told { version: answer.version.as_ref(), link: answer.link };
                subject.sample(&mut sample, told, passage.begun, clock::now());
            }
        }
        self.ended = ended;
    }

    fn attend(&mut self, at: Mono, matter: Matter, now: Mono) {
        match matter {
            Matter::Row(_) => {}
            Matter::Watch(number) => self.look(number, at, now),
            Matter::Tick(number) => {
                let Some(subject) = self.subjects.get_mut(number).and_then(Option::as_mut) else { return };
                if let Some(next) = subject.tick(&mut self.field, now) {
                    self.field.calendar.enter(next, matter);
                } else {
                    self.end(number, now);
                }
            }
        }
    }

    /// The oldest probes of a line are slow, or out of time.
    fn look(&mut self, number: usize, at: Mono, now: Mono) {
        let Some(line) = self.field.line(number) else { return };
        let Some(subject) = self.subjects.get_mut(line.subject).and_then(Option::as_mut) else { return };
        let slow = subject.slow_after();
        let mut found = std::mem::take(&mut self.found);
        if line.look(at, now, slow, &mut found) {
            let (retired, closed_loop, muted) = (line.is_retired(), line.closed_loop, line.is_muted());
            self.field.rewatch(number, slow);
            for found in found.drain(..) {
                match found {
                    Found::Slow(sample) => {
                        if !muted && !self.pulse.spoils(sample.planned, now, false) {
                            subject.slow(&sample, now);
                        }
                    }
                    Found::TimedOut(mut sample, begun) => {
                        self.in_flight -= 1;
                        if closed_loop {
                            self.field.eager.push(number);
                        }
                        sample.taint = match () {
                            () if lateness(sample.planned, begun).duration() > self.taint => Taint::Late,
                            () if self.pulse.spoils(begun, now, false) => Taint::Stalled,
                            () => Taint::Clean,
                        };
                        if !muted {
                            subject.sample(&mut sample, Told::default(), begun, now);
                        }
                    }
                }
            }
            if retired {
                self.field.retire(number);
            }
        }
        self.found = found;
    }

    fn rung(&mut self, now: Mono) {
        for number in 0..self.subjects.len() {
            let subject = self.subjects.get_mut(number).and_then(Option::as_mut);
            if subject.is_some_and(|subject| !subject.rung(&mut self.field, now)) {
                self.end(number, now);
            }
        }
    }

    /// A subject has come to its end, and everything of it with it; the others go on.
    fn end(&mut self, number: usize, now: Mono) {
        if let Some(mut over) = self.subjects.get_mut(number).and_then(Option::take) {
            over.finish(now);
        }
        self.in_flight -= self.field.clear(number);
    }
}

#[cfg(test)]
mod tests;
