//! The instants of one probe, stamped as they pass, and the phases between them.

use crate::clock;
use crate::model::sample::{Fault, Ours, Outcome, Phases};
use crate::model::time::{Mono, Span};
use std::cell::Cell;

/// In which phase a probe is, in the order of [`Phases::NAMES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// Due, and not taken up yet.
    #[default]
    Wake,
    /// Taken up; a kept connection that was closed as we wrote costs its time here.
    Queue,
    Resolve,
    Connect,
    Tls,
    /// The connection is there, the request isn't handed over yet.
    Write,
    /// Nothing of the answer has come.
    FirstByte,
    Body,
}

const STEPS: usize = 8;

/// Where one probe is, and when each of its steps ended. One set belongs to a connection and is begun anew for each
/// probe; a zero is an instant that hasn't come.
#[derive(Debug, Default)]
pub(super) struct Marks {
    step: Cell<Step>,
    ends: [Cell<Mono>; STEPS],
    /// The connection, and the address behind it.
    seen: Cell<(u32, u16)>,
}

/// What became of one probe's time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passage {
    pub(super) phases: Phases,
    /// It was taken up.
    pub(super) begun: Mono,
    /// Our own part was over: the request was written on a kept connection, or a new connection was begun. What comes
    /// after that is the network's and the target's.
    pub(super) sent: Mono,
    pub(super) done: Mono,
    /// A connection was made for it, or begun.
    pub(super) dialled: bool,
    pub(super) conn: u32,
    pub(super) addr: u16,
}

impl Step {
    /// What a probe that ran out of time in this step says.
    pub(super) const fn timed_out(self) -> Outcome {
        match self {
            Self::Wake => Outcome::Failed(Ours::Late),
            Self::Resolve => Outcome::Failed(Ours::Resolve),
            Self::Connect => Outcome::Bad(Fault::ConnectTimeout),
            Self::Tls => Outcome::Bad(Fault::TlsHandshake),
            Self::Queue | Self::Write | Self::FirstByte | Self::Body => Outcome::Bad(Fault::Timeout),
        }
    }
}

impl Marks {
    /// A probe is taken up.
    pub(super) fn begin(&self) {
        for end in &self.ends {
            end.set(Mono(0));
        }
        self.ends[Step::Wake as usize].set(clock::now());
        self.step.set(Step::Queue);
    }

    /// Everything before `next` has ended.
    pub(super) fn enter(&self, next: Step) {
        let step = self.step.get();
        if step < next {
            self.ends[step as usize].set(clock::now());
            self.step.set(next);
        }
    }

    /// Back to the queue: what the kept connection cost was in vain.
    pub(super) fn again(&self) {
        for end in &self.ends[Step::Queue as usize..] {
            end.set(Mono(0));
        }
        self.step.set(Step::Queue);
    }

    /// Bytes of the request went out.
    pub(super) fn wrote(&self) {
        if self.step.get() == Step::Write {
            self.enter(Step::FirstByte);
        }
    }

    /// Bytes of the answer came in.
    pub(super) fn read(&self) {
        if self.step.get() == Step::FirstByte {
            self.enter(Step::Body);
        }
    }

    pub(super) fn step(&self) -> Step {
        self.step.get()
    }

    pub(super) fn see(&self, conn: u32, addr: u16) {
        self.seen.set((conn, addr));
    }

    /// Where the probe that was due at `due` stands at `done`.
    pub(super) fn passage(&self, due: Mono, done: Mono) -> Passage {
        let at = |step: Step| Some(self.ends[step as usize].get()).filter(|at| at.0 > 0);
        let (conn, addr) = self.seen.get();
        let begun = at(Step::Wake).unwrap_or(done);
        let dialled = matches!(self.step.get(), Step::Resolve | Step::Connect | Step::Tls)
            || [Step::Resolve, Step::Connect, Step::Tls].into_iter().any(|step| at(step).is_some());
        let sent = if dialled { begun } else { at(Step::Write).unwrap_or(begun) };
        Passage { phases: self.phases(due, done), begun, sent, done, dialled, conn, addr }
    }

    /// They sum to the time between the two, to
    /// the last 100 ns: what no step has claimed belongs to the one in which the probe ended.
    fn phases(&self, due: Mono, done: Mono) -> Phases {
        let last = self.step.get() as usize;
        let mut spans = [Span(0); STEPS];
        let mut before = Span(0);
        for (index, span) in spans.iter_mut().enumerate().take(last + 1) {
            let stamp = self.ends[index].get();
            let end = if index == last {
                Span::of(done.since(due)).max(before)
            } else if stamp.0 == 0 {
                before
            } else {
                Span::of(stamp.since(due)).max(before)
            };
            *span = Span(end.0 - before.0);
            before = end;
        }
        let [wake, queue, dns, connect, tls, write, first_byte, body] = spans;
        Phases { wake, queue, dns, connect, tls, write, first_byte, body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn phases_sum_to_the_total_wherever_the_probe_ended() {
        let marks = Marks::default();
        let due = clock::now().before(Duration::from_micros(333));
        marks.begin();
        for step in [Step::Resolve, Step::Connect, Step::Tls, Step::Write, Step::FirstByte, Step::Body] {
            marks.enter(step);
            let done = clock::now().after(Duration::from_nanos(12_345));
            let phases = marks.phases(due, done);
            assert_eq!(phases.total(), Span::of(done.since(due)).duration(), "{step:?}");
            assert!(phases.all()[step as usize].0 >= 123, "the rest belongs to {step:?}: {phases:?}");
        }
        assert!(marks.passage(due, clock::now()).phases.wake.0 >= 3_330);
    }

    #[test]
    fn what_a_closed_connection_cost_stays_as_queueing() {
        let marks = Marks::default();
        let due = clock::now();
        marks.begin();
        marks.enter(Step::Write);
        marks.wrote();
        while clock::now().since(due) < Duration::from_micros(200) {}
        marks.again();
        marks.enter(Step::Connect);
        let passage = marks.passage(due, clock::now());
        let phases = passage.phases;
        assert!(phases.queue.0 >= 1_000, "{phases:?}");
        assert_eq!((phases.write, phases.first_byte), (Span(0), Span(0)));
        assert!(passage.dialled);
    }

    #[test]
    fn a_read_counts_only_after_the_request_went_out() {
        let marks = Marks::default();
        marks.begin();
        marks.read();
        assert_eq!(marks.step(), Step::Queue);
        marks.enter(Step::Write);
        marks.read();
        assert_eq!(marks.step(), Step::Write);
        marks.wrote();
        marks.read();
        assert_eq!(marks.step(), Step::Body);
    }
}
