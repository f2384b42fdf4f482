//! A configuration of a service that was read anew, on the engine's thread: targets that stay keep their lines, their connections and what was
//! measured of them.

use super::exchange::Ask;
use super::line::Line;
use super::origin::{Origin, Place, Registered, Room};
use super::pacer::Field;
use super::port::Revision;
use super::service::{DIRECT_MAX, KEPT, SPARE, Service, registered_target};
use crate::model::sample::Purpose;
use crate::model::tally::Tally;
use crate::model::target::{Moved, TargetId};
use crate::model::time::Mono;
use crate::settings::moved;
use std::rc::Rc;
use std::sync::Arc;

impl Service {
    /// From now on it goes by `revision`.
    pub(super) fn revise(&mut self, revision: Revision, field: &mut Field, now: Mono) {
        // What was counted so far is told under the names that it had.
        self.second(now);
        let (settings, dialer) = revision.into_parts();
        let moved = moved(&self.settings.targets, &settings.targets);
        let same_control = self.settings.control == settings.control;
        self.settings = settings;
        self.dialer = Rc::new(dialer);
        self.names = names(&self.settings);
        self.targets = self.asks();
        let judge = &self.settings.judge;
        self.judge.revise(judge.clone(), &moved);
        self.slow_over = judge.objectives.slow_over();
        self.tally = Tally::new(judge.objectives.bad_over);
        self.urls.revise(self.targets.len(), judge.window, self.slow_over, &moved);
        self.keeper.revise(&self.settings);
        self.told = None;
        self.next_judge = now;
        let production = std::mem::take(&mut self.production);
        self.production = self.relined(&production, Purpose::Production, None, &moved, field);
        let registered = self.asked.iter().filter_map(|id| registered_target(id)).take(DIRECT_MAX);
        let registered: Vec<_> = registered.collect();
        let direct = std::mem::take(&mut self.direct);
        for ((lines, (address, tls)), index) in direct.into_iter().zip(registered).zip(1_u16..) {
            let registered = Some(Registered { address, tls, index });
            let lines = self.relined(&lines, Purpose::Direct, registered, &moved, field);
            self.direct.push(lines.into());
        }
        if !same_control {
            if let Some(line) = self.control.take() {
                field.discard(line, true);
            }
            self.control = self.control_line(field);
        }
        self.pace(field, now);
    }

    /// Lines for the targets as they are now: the old ones of those that stay, and new ones over connections that are there where they may.
    fn relined(
        &self,
        old: &[usize],
        purpose: Purpose,
        direct: Option<Registered>,
        moved: &Moved,
        field: &mut Field,
    ) -> Vec<usize> {
        let mut stays: Vec<Option<usize>> = vec![None; self.targets.len()];
        for (from, to) in moved.stays() {
            if let Some(place) = stays.get_mut(usize::from(to.0)) {
                *place = old.get(usize::from(from.0)).copied();
            }
        }
        let mut origins: Vec<Rc<Origin>> = Vec::new();
        for origin in stays.iter().flatten().filter_map(|line| field.origin(*line)) {
            if !origins.iter().any(|known| Rc::ptr_eq(known, &origin)) {
                origin.narrow(Room { keep: KEPT, cap: SPARE });
                origins.push(origin);
            }
        }
        for line in old.iter().filter(|line| !stays.contains(&Some(**line))) {
            let shared =
                field.origin(*line).is_some_and(|gone| origins.iter().any(|one| Rc::ptr_eq(one, &gone)));
            field.discard(*line, !shared);
        }
        let mut lines = Vec::with_capacity(self.targets.len());
        for ((ask, stays), index) in self.targets.iter().zip(stays).zip(0..) {
            let kept = stays.and_then(|line| Some((line, field.origin(line)?)));
            let origin = match &kept {
                Some((_, origin)) => Rc::clone(origin),
                None => self.origin(&ask.target, direct, &mut origins),
            };
            origin.widen(self.room_of(&ask.target));
            lines.push(match kept {
                Some((line, _)) => {
                    field.renumber(line, TargetId(index), Rc::clone(ask));
                    line
                }
                None => field.add(Line::new(self.number, purpose, TargetId(index), Rc::clone(ask), origin)),
            });
        }
        lines
    }

    /// The connections of a target: those of `origins` that it may share, or new ones, which join them.
    pub(super) fn origin(
        &self,
        target: &crate::settings::Target,
        direct: Option<Registered>,
        origins: &mut Vec<Rc<Origin>>,
    ) -> Rc<Origin> {
        let place = Place::of(target, direct);
        if let Some(shared) = origins.iter().find(|origin| origin.is_at(&place)) {
            return Rc::clone(shared);
        }
        let room = Room { keep: KEPT, cap: SPARE };
        let new = Rc::new(Origin::new(target, direct, room, &self.dialer, &self.next_connection));
        origins.push(Rc::clone(&new));
        new
    }

    /// Connections that a target needs beside the others: what is due while a hanging one answers nothing, and a quarter more for its ends.
    pub(super) fn room_of(&self, target: &crate::settings::Target) -> f64 {
        self.settings.release_rate_of(target) * target.timeout.as_secs_f64() * 1.25
    }

    /// The targets with their requests. A probe that is in flight when its target gets another number has a trace that its span doesn't name.
    pub(super) fn asks(&self) -> Vec<Rc<Ask>> {
        let tracing = crate::model::trace::Tracing::new(self.seed, self.settings.trace_share);
        let targets = self.settings.targets.iter();
        targets.map(|target| Rc::new(Ask::traced(Rc::new(target.clone()), tracing))).collect()
    }
}

/// The names of a service's targets, in their order.
pub(super) fn names(settings: &crate::settings::Service) -> Arc<[Arc<str>]> {
    settings.targets.iter().map(|target| target.name.as_str().into()).collect()
}
