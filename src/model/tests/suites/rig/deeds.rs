//! What people, pipelines and machines do in a story.

use super::{COLOURS, Rig, colour, nothing_known};
use crate::cast::blank;
use crate::world::{RED, forward};
use serin_model::guard::Event;
use serin_model::guard::Guard;
use serin_model::judge::Judge;
use serin_model::listener::{ListenerState, TargetHealth};
use serin_model::recover::recover;
use serin_model::release::EpochId;
use serin_model::sample::{Fault, Outcome, Purpose};
use std::time::Duration;

impl Rig {
    /// The colour answers as another version from now on.
    pub(crate) fn rename(&mut self, colour: usize, name: &'static str) {
        self.names[colour] = name;
        self.name_versions();
    }

    /// Somebody sets the listener; the balancer follows within a second.
    pub(crate) fn set(&mut self, state: ListenerState) {
        let forward = state.rules().first().and_then(|rule| rule.forward.as_ref());
        let weights = forward.map(|forward| forward.weights()).unwrap_or_default();
        let total: i32 = weights.iter().map(|(_, weight)| weight).sum();
        let share = COLOURS.map(|arn| {
            let weight = weights.iter().find(|(known, _)| *known == arn).map_or(0, |(_, weight)| *weight);
            f64::from(weight) / f64::from(total.max(1))
        });
        let at = self.now.after(Duration::from_secs_f64(0.9 * self.chance.unit()));
        self.routes.push((at, share));
        self.state = state;
    }

    /// Somebody else goes back to the old colour.
    pub(crate) fn put_back(&mut self) {
        let old = self.story.old;
        self.set(colour(old, old));
    }

    /// The pipeline goes on to the third colour.
    pub(crate) fn go_on(&mut self) {
        let old = self.story.old;
        self.set(forward(&[(COLOURS[old], 0), (RED, 100)]));
    }

    pub(crate) fn targets(&mut self, colour: usize) -> &mut Vec<TargetHealth> {
        &mut self.health[colour].targets
    }

    /// Failures of the old version that were due before the cutover come in now.
    pub(crate) fn stale(&mut self) {
        for n in 0..60 {
            let mut sample = blank(
                EpochId(self.epoch.0 - 1),
                Purpose::Production,
                self.now.before(Duration::from_millis(n)),
            );
            (sample.conn, sample.status, sample.outcome) =
                (1 + u32::try_from(n % 9).expect("small"), 500, Outcome::Bad(Fault::Status));
            self.judge.observe(&sample, self.now);
        }
        self.look();
    }

    /// The process dies and is back at once, on a machine whose wall clock meanwhile jumped.
    pub(crate) fn restart(&mut self, wall_jump_s: i64, keeps_ledger: bool) {
        self.wall_jump_ms += wall_jump_s * 1_000;
        if !keeps_ledger {
            self.ledger.clear();
        }
        self.arrivals.clear();
        self.judge = Judge::new(self.story.judge.clone(), nothing_known(self.now));
        self.guard =
            Guard::new(self.story.guard.clone(), recover(self.ledger.iter().cloned(), self.wall()), self.now);
        (self.epoch, self.fast, self.asked) = (EpochId(u32::MAX), false, None);
        self.name_versions();
        self.step(Event::Tick);
    }
}
