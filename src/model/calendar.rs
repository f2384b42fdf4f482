//! What is due next: one heap for everything that one engine thread has to do at an instant.

use crate::schedule::{Schedule, planned};
use crate::time::Mono;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// What an entry of the calendar is for. In this order where several come at the same instant: a probe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Matter {
    /// A row's next probe.
    Row(usize),
    /// A line's oldest probe in flight is slow, or out of time.
    Watch(usize),
    /// A subject's house-keeping.
    Tick(usize),
}

/// Instants and their matters. An entry that has been overtaken stays until it comes, and whoever owns the matter
/// knows by its own note of the instant that it is stale.
#[derive(Debug, Default)]
pub struct Calendar(BinaryHeap<Reverse<(Mono, Matter)>>);

/// One row: a schedule, and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    schedule: Schedule,
    quantum: Duration,
    next: u64,
}

/// One probe that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// When its schedule wanted it.
    pub at: Mono,
    /// `at`, rounded up to the quantum.
    pub planned: Mono,
    /// Those of its row that were passed over because we were too late for them.
    pub missed: u64,
    /// It is among them itself.
    pub dead: bool,
}

impl Calendar {
    /// Notes that `matter` comes at `at`.
    pub fn enter(&mut self, at: Mono, matter: Matter) {
        self.0.push(Reverse((at, matter)));
    }

    /// When the next matter comes.
    #[must_use]
    pub fn head(&self) -> Option<Mono> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the next matter that has come by `now`.
    pub fn pop(&mut self, now: Mono) -> Option<(Mono, Matter)> {
        let head = self.0.peek().map(|Reverse(head)| *head).filter(|(at, _)| *at <= now)?;
        self.0.pop();
        Some(head)
    }
}

impl Row {
    /// A row whose first probe is due after `now`: a schedule keeps its own beat, so a switch to another one makes
    /// neither a burst nor a gap longer than one interval.
    #[must_use]
    pub fn new(schedule: Schedule, quantum: Duration, now: Mono) -> Self {
        let next = schedule.next_after(now.after(Duration::from_nanos(1)));
        Self { schedule, quantum, next }
    }

    /// The schedule that it follows.
    #[must_use]
    pub const fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// When its next probe is planned.
    #[must_use]
    pub fn planned(&self) -> Mono {
        self.planned_of(self.next)
    }

    /// Takes the next probe, which is planned by `now`. One that is no later than `on_time` is sent. Of those that are later,
    /// the newest alone is: it shows that the row goes on, and is void. The rest of them is missed, and it too when it is
    /// later than `late_max`: a thousand of them at once would be a burst. Missed are also those that would be late by the time
    /// that they are on their way, more than three quarters of `on_time`: neither a word of the target nor surely ours.
    pub fn take(&mut self, now: Mono, on_time: Duration, late_max: Duration) -> Due {
        let first = self.next;
        let mut taken = first;
        self.next += 1;
        let timely = now.before(on_time);
        if self.planned_of(first) < timely {
            taken = self.first_from(timely) - 1;
            self.next = self.first_from(now.before(on_time * 3 / 4));
        }
        let planned = self.planned_of(taken);
        let dead = now.since(planned) > late_max;
        let missed = self.next - 1 - first + u64::from(dead);
        Due { at: self.schedule.due(taken), planned, missed, dead }
    }

    /// The first probe that is planned for `at` or later; there is one before it.
    fn first_from(&self, at: Mono) -> u64 {
        let mut number = self.schedule.next_after(at);
        // With a quantum, one may be due before and planned in time.
        while self.planned_of(number - 1) >= at {
            number -= 1;
        }
        number
    }

    fn planned_of(&self, number: u64) -> Mono {
        planned(self.schedule.due(number), self.quantum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON_TIME: Duration = Duration::from_millis(1);
    const LATE: Duration = Duration::from_millis(10);

    fn ms(value: u64) -> Mono {
        Mono(value * 1_000_000)
    }

    fn row(interval_ms: u64, quantum: Duration) -> Row {
        Row::new(Schedule::new(ms(0), Duration::from_millis(interval_ms), 0, 1, ""), quantum, ms(0))
    }

    #[test]
    fn matters_come_in_their_order_and_not_before_their_instant() {
        let mut calendar = Calendar::default();
        for (at, matter) in [(3, Matter::Row(0)), (1, Matter::Tick(0)), (1, Matter::Row(1))] {
            calendar.enter(ms(at), matter);
        }
        assert_eq!(calendar.head(), Some(ms(1)));
        assert_eq!(calendar.pop(ms(0)), None);
        assert_eq!(calendar.pop(ms(2)), Some((ms(1), Matter::Row(1))));
        assert_eq!(calendar.pop(ms(2)), Some((ms(1), Matter::Tick(0))));
        assert_eq!(calendar.pop(ms(2)), None);
        assert_eq!(calendar.pop(ms(3)), Some((ms(3), Matter::Row(0))));
    }

    #[test]
    fn every_probe_comes_once_and_none_is_missed_while_we_are_on_time() {
        let mut row = row(10, Duration::ZERO);
        for n in 0..1_000 {
            let planned = row.planned();
            let due = row.take(planned.after(Duration::from_micros(30)), ON_TIME, LATE);
            assert_eq!(due.missed, 0, "{n}");
            assert_eq!(due.planned, planned);
            assert_eq!(row.planned().since(planned), Duration::from_millis(10));
        }
    }

    #[test]
    fn after_a_stall_the_newest_late_one_fires_and_those_before_it_are_missed() {
        let mut row = row(5, Duration::ZERO);
        let first = row.planned();
        let now = first.after(Duration::from_micros(990_400));
        let due = row.take(now, ON_TIME, LATE);
        assert_eq!(
            (due.missed, due.dead, now.since(due.planned)),
            (197, false, Duration::from_micros(5_400))
        );
        let due = row.take(now, ON_TIME, LATE);
        assert_eq!((due.missed, due.dead, now.since(due.planned)), (0, false, Duration::from_micros(400)));
        assert_eq!(row.planned().since(first), Duration::from_millis(995));
    }

    #[test]
    fn after_a_stall_what_is_on_time_beyond_doubt_is_sent() {
        for (late_ns, sent, missed) in
            [(1_000_000, 11, 0), (1_000_001, 9, 2), (1_100_000, 9, 3), (1_100_001, 9, 3)]
        {
            let schedule = Schedule::new(ms(0), Duration::from_micros(100), 0, 1, "");
            let mut row = Row::new(schedule, Duration::ZERO, ms(0));
            let now = Mono(row.planned().0 + late_ns);
            let mut counts = (0, 0);
            while row.planned() <= now {
                counts = (counts.0 + 1, counts.1 + row.take(now, ON_TIME, LATE).missed);
            }
            assert_eq!(counts, (sent, missed), "{late_ns}");
        }
    }

    #[test]
    fn a_short_delay_loses_nothing() {
        let schedule = Schedule::new(ms(0), Duration::from_micros(100), 0, 1, "");
        let mut row = Row::new(schedule, Duration::ZERO, ms(0));
        let first = row.planned();
        let now = first.after(Duration::from_micros(950));
        for n in 0..10_u64 {
            let due = row.take(now, ON_TIME, LATE);
            assert_eq!((due.missed, due.planned), (0, Mono(first.0 + n * 100_000)));
        }
        assert!(row.planned() > now);
    }

    #[test]
    fn a_probe_that_is_too_late_is_missed_itself() {
        let mut row = row(1_000, Duration::ZERO);
        let now = row.planned().after(Duration::from_millis(300));
        let due = row.take(now, ON_TIME, LATE);
        assert_eq!((due.missed, due.dead), (1, true));
        assert!(now.since(due.planned) > LATE);
    }

    #[test]
    fn after_a_stall_a_late_probe_is_sent_only_below_the_second_bound() {
        for (late_ms, dead) in [(1_010, false), (1_011, true)] {
            let mut row = row(100, Duration::ZERO);
            let now = row.planned().after(Duration::from_millis(late_ms));
            let due = row.take(now, ON_TIME, LATE);
            assert_eq!((due.missed, due.dead), (10 + u64::from(dead), dead));
        }
    }

    #[test]
    fn an_hour_of_sleep_is_one_probe_and_a_count() {
        let mut row = row(1, Duration::ZERO);
        let first = row.planned();
        let due = row.take(first.after(Duration::from_hours(1)), ON_TIME, LATE);
        assert_eq!((due.missed, due.dead), (3_599_999, false));
    }

    #[test]
    fn a_quantum_delays_and_never_hastens() {
        let mut row = row(10, Duration::from_millis(4));
        for _ in 0..100 {
            let planned = row.planned();
            let due = row.take(planned, ON_TIME, LATE);
            assert!(due.planned >= due.at && due.planned.since(due.at) < Duration::from_millis(4));
            assert_eq!(due.missed, 0);
        }
    }

    #[test]
    fn one_that_was_due_too_long_ago_and_planned_in_time_is_on_time() {
        let schedule = |start| Schedule::new(start, Duration::from_millis(10), 0, 1, "");
        let beat = schedule(Mono(ms(10).0 - schedule(ms(0)).due(0).0));
        let mut row = Row::new(beat, Duration::from_millis(4), ms(0));
        let now = Mono(ms(32).0 + 500_000);
        let due = row.take(now, ON_TIME, LATE);
        assert_eq!((due.missed, due.dead, due.planned), (2, true, ms(20)), "of 10 and 20 ms");
        let due = row.take(now, ON_TIME, LATE);
        assert_eq!((due.missed, due.at, due.planned), (0, ms(30), ms(32)));
        assert_eq!(row.planned(), ms(40));
    }
}
