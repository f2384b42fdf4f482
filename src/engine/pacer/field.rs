//! What a subject lays out: lines, rows, and what becomes of them.

use super::{Field, LATE_MAX, Plan, Planned};
use crate::engine::desk::Desk;
use crate::engine::exchange::Ask;
use crate::engine::line::Line;
use crate::engine::origin::Origin;
use crate::model::calendar::{Calendar, Due, Matter, Row};
use crate::model::target::TargetId;
use crate::model::time::Mono;
use std::rc::Rc;
use std::time::Duration;

impl Field {
    pub(in crate::engine) fn new(quantum: Duration, desk: Rc<Desk>) -> Self {
        Self {
            desk,
            quantum,
            lines: Vec::new(),
            free: Vec::new(),
            rows: Vec::new(),
            calendar: Calendar::default(),
            eager: Vec::new(),
        }
    }

    /// Takes in a line, and gives its number.
    pub(in crate::engine) fn add(&mut self, line: Line) -> usize {
        // 64 registered targets times 1,000 URLs: a search for a free number would hold up the loop at the cutover.
        let free = self.free.pop().unwrap_or_else(|| {
            self.lines.push(None);
            self.lines.len() - 1
        });
        if line.closed_loop {
            self.eager.push(free);
        }
        self.lines[free] = Some(line);
        free
    }

    /// Nothing more is sent on a line; what is in flight still lands.
    pub(in crate::engine) fn retire(&mut self, number: usize) {
        if let Some(line) = self.lines.get_mut(number).and_then(Option::as_mut) {
            line.retire();
            if line.in_flight() == 0 {
                self.lines[number] = None;
                self.free.push(number);
            }
        }
    }

    /// Nothing more is sent on a line, and nobody wants to know what is in flight. `closes`: no other line shares its connections.
    pub(in crate::engine) fn discard(&mut self, number: usize, closes: bool) {
        let Some(line) = self.line(number) else { return };
        line.discard(closes);
        if line.in_flight() == 0 {
            self.lines[number] = None;
            self.free.push(number);
        }
    }

    /// The connections of a line.
    pub(in crate::engine) fn origin(&self, number: usize) -> Option<Rc<Origin>> {
        self.lines.get(number)?.as_ref().map(|line| Rc::clone(line.origin()))
    }

    /// The target of a line has another number.
    pub(in crate::engine) fn renumber(&mut self, number: usize, target: TargetId, ask: Rc<Ask>) {
        if let Some(line) = self.line(number) {
            line.renumber(target, ask);
        }
    }

    /// No new probe begins a line's loop again; what is in flight still lands.
    pub(in crate::engine) fn close(&mut self, number: usize) {
        if let Some(line) = self.line(number) {
            line.closed_loop = false;
        }
    }

    /// Whether nothing of a line is in flight.
    pub(in crate::engine) fn is_idle(&self, number: usize) -> bool {
        self.lines.get(number).and_then(Option::as_ref).is_none_or(|line| line.in_flight() == 0)
    }

    /// Replaces all rows of a subject; none fires before `now`.
    pub(in crate::engine) fn plan(
        &mut self,
        subject: usize,
        plans: impl IntoIterator<Item = Plan>,
        now: Mono,
    ) {
        let mut plans = plans.into_iter().peekable();
        for slot in &mut self.rows {
            // One that stays as it is goes on: laid out anew it would lose the probe that is due and not sent yet.
            let mut stays = |row: &Planned| {
                plans.next_if(|plan| row.row.schedule() == plan.schedule && row.lines == plan.lines).is_some()
            };
            slot.take_if(|row| row.subject == subject && !stays(row));
        }
        let mut free = 0;
        for Plan { schedule, lines } in plans {
            let row = Row::new(schedule, self.quantum, now);
            let entry = row.planned();
            while self.rows.get(free).is_some_and(Option::is_some) {
                free += 1;
            }
            if free == self.rows.len() {
                self.rows.push(None);
            }
            self.rows[free] = Some(Planned { subject, row, lines, turn: 0, entry });
            self.calendar.enter(entry, Matter::Row(free));
        }
    }

    /// Ends every row and line of a subject, and tells how many probes were in flight.
    pub(in crate::engine) fn clear(&mut self, subject: usize) -> u32 {
        self.plan(subject, [], Mono(0));
        let mut in_flight = 0;
        // Their numbers aren't given again: an answer that has come and wasn't looked at yet names one of them.
        for slot in &mut self.lines {
            if let Some(mut line) = slot.take_if(|line| line.subject == subject) {
                in_flight += line.in_flight();
                line.retire();
                line.abort();
            }
        }
        in_flight
    }

    /// Takes the probe of a row that has come; `None` for a stale entry.
    pub(in crate::engine) fn take(
        &mut self,
        number: usize,
        at: Mono,
        now: Mono,
        on_time: Duration,
    ) -> Option<(usize, usize, Due)> {
        let planned = self.rows.get_mut(number)?.as_mut().filter(|row| row.entry == at)?;
        let due = planned.row.take(now, on_time, LATE_MAX.max(on_time * 2));
        planned.entry = planned.row.planned();
        planned.turn = planned.turn.wrapping_add(1);
        let line = *planned.lines.get(planned.turn % planned.lines.len().max(1))?;
        let (subject, entry) = (planned.subject, planned.entry);
        self.calendar.enter(entry, Matter::Row(number));
        Some((subject, line, due))
    }

    pub(in crate::engine) fn line(&mut self, number: usize) -> Option<&mut Line> {
        self.lines.get_mut(number)?.as_mut()
    }

    pub(in crate::engine) fn rewatch(&mut self, number: usize, slow: Option<Duration>) {
        let at = self.lines.get_mut(number).and_then(Option::as_mut).and_then(|line| line.rewatch(slow));
        if let Some(at) = at {
            self.calendar.enter(at, Matter::Watch(number));
        }
    }
}
