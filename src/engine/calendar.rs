//! Which probe is due next: a heap of open-loop schedules.

use crate::model::sample::Purpose;
use crate::model::schedule::{Schedule, planned};
use crate::model::time::Mono;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// One probe that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) at: Mono,
    pub(super) planned: Mono,
    /// The number of the row: a target for production, a slot of the side paths otherwise.
    pub(super) row: usize,
    /// How many due probes of this row were passed over because we were too late for them.
    pub(super) missed: u64,
}

/// A row: one schedule and what it is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) purpose: Purpose,
    pub(super) target: usize,
    schedule: Schedule,
    next: u64,
}

/// All rows of one service.
#[derive(Debug)]
pub(super) struct Calendar {
    rows: Vec<Row>,
    heap: BinaryHeap<Reverse<(Mono, usize)>>,
    quantum: Duration,
}

impl Calendar {
    pub(super) const fn new(quantum: Duration) -> Self {
        Self { rows: Vec::new(), heap: BinaryHeap::new(), quantum }
    }

    /// Replaces all rows; none fires before `now`. The schedules keep their origin, so a switch of cadence makes
    /// neither a burst nor a gap longer than one interval.
    pub(super) fn set(&mut self, rows: impl IntoIterator<Item = (Purpose, usize, Schedule)>, now: Mono) {
        self.rows.clear();
        self.heap.clear();
        for (index, (purpose, target, schedule)) in rows.into_iter().enumerate() {
            let next = schedule.next_after(now);
            self.heap.push(Reverse((planned(schedule.due(next), self.quantum), index)));
            self.rows.push(Row { purpose, target, schedule, next });
        }
    }

    /// When the next probe is planned.
    pub(super) fn head(&self) -> Option<Mono> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    pub(super) fn row(&self, index: usize) -> &Row {
        &self.rows[index]
    }

    /// Takes a probe that is planned at or before `now`. At most one late probe a row: whatever else was due in the
    /// meantime is missed, never caught up.
    pub(super) fn pop(&mut self, now: Mono) -> Option<Due> {
        let Reverse((at, index)) = *self.heap.peek()?;
        if at > now {
            return None;
        }
        self.heap.pop();
        let row = &mut self.rows[index];
        let due = row.schedule.due(row.next);
        let after = row.schedule.next_after(now.after(Duration::from_nanos(1))).max(row.next + 1);
        let missed = after - row.next - 1;
        row.next = after;
        self.heap.push(Reverse((planned(row.schedule.due(after), self.quantum), index)));
        Some(Due { at: due, planned: planned(due, self.quantum), row: index, missed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(value: u64) -> Mono {
        Mono(value * 1_000_000)
    }

    fn calendar() -> Calendar {
        let mut calendar = Calendar::new(Duration::ZERO);
        let schedule = |index| Schedule::new(ms(0), Duration::from_millis(10), index, 2, "");
        calendar.set([(Purpose::Production, 0, schedule(0)), (Purpose::Production, 1, schedule(1))], ms(0));
        calendar
    }

    #[test]
    fn probes_come_in_the_order_in_which_they_are_due() {
        let mut calendar = calendar();
        let mut due = Vec::new();
        for now in 0..30 {
            while let Some(probe) = calendar.pop(ms(now)) {
                due.push((probe.at.0 / 1_000_000, probe.row, probe.missed));
            }
        }
        let first: Vec<u64> = due.iter().map(|(at, _, _)| *at).collect();
        assert!(first.is_sorted());
        assert_eq!(due.len(), 6);
        assert!(due.iter().all(|(_, _, missed)| *missed == 0));
    }

    #[test]
    fn after_a_stall_each_row_fires_once_and_the_rest_is_missed() {
        let mut calendar = calendar();
        let fired: Vec<Due> = std::iter::from_fn(|| calendar.pop(ms(1_000))).collect();
        assert_eq!(fired.len(), 2);
        assert!(fired.iter().all(|probe| probe.missed >= 98), "{fired:?}");
        assert!(calendar.head().unwrap() > ms(1_000));
    }
}
