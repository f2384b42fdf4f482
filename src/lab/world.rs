//! The configuration of the balancer, and how it becomes effective: later, zone after zone.

use super::balancer::Zone;
use super::elbv2::records::Records;
use super::groups::Group;
use super::routing::Routing;
use crate::clock;
use serin_model::time::Mono;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// What the control plane writes and the data plane obeys.
pub(super) struct World {
    pub(super) groups: Vec<Arc<Group>>,
    pub(super) zones: Vec<Arc<Zone>>,
    /// Asks for health checks now, and not only when the next round is due.
    pub(super) kick: Arc<Notify>,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    records: Records,
    /// When the first change came that is not in force yet.
    pending_since: Option<Mono>,
    propagation: Duration,
    zone_skew: Duration,
}

impl World {
    /// Puts the first state in force everywhere.
    pub(super) fn new(records: Records, groups: Vec<Arc<Group>>, zones: Vec<Arc<Zone>>) -> Arc<Self> {
        let routing = Arc::new(records.routing(&groups));
        for zone in &zones {
            zone.enforce(routing.clone());
        }
        let state =
            State { records, pending_since: None, propagation: Duration::ZERO, zone_skew: Duration::ZERO };
        let world =
            Self { groups, zones, kick: Arc::default(), state: Mutex::new(state), changed: Notify::new() };
        world.note_use();
        Arc::new(world)
    }

    /// Changes that come from now on wait so long; each zone after the first one `zone_skew` longer.
    pub(super) fn set_propagation(&self, propagation: Duration, zone_skew: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.propagation = propagation;
        state.zone_skew = zone_skew;
    }

    /// Reads the configuration as it was written last, in force or not.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Records) -> T) -> T {
        read(&self.state.lock().unwrap_or_else(PoisonError::into_inner).records)
    }

    /// Changes what has no effect on the routing.
    pub(super) fn annotate<T>(&self, write: impl FnOnce(&mut Records) -> T) -> T {
        write(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).records)
    }

    /// Changes rules. With no propagation delay the change is in force when this returns; otherwise the first
    /// change starts the wait and those that follow within it go with it (`AWS.md`, finding 4).
    pub(super) fn change<T, E>(&self, write: impl FnOnce(&mut Records) -> Result<T, E>) -> Result<T, E> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let written = write(&mut state.records)?;
        if state.propagation.is_zero() && state.zone_skew.is_zero() {
            let routing = Arc::new(state.records.routing(&self.groups));
            state.pending_since = None;
            self.zones.iter().for_each(|zone| zone.enforce(routing.clone()));
        } else {
            state.pending_since.get_or_insert_with(clock::now);
            self.changed.notify_one();
        }
        drop(state);
        self.note_use();
        Ok(written)
    }

    /// Carries changes to the zones for as long as the lab lives.
    pub(super) async fn propagate_forever(self: Arc<Self>) {
        loop {
            let Some(wait) = self.pending_wait() else {
                self.changed.notified().await;
                continue;
            };
            tokio::time::sleep(wait).await;
            let (routing, skew) = self.take_batch();
            for (index, zone) in self.zones.iter().enumerate() {
                if index > 0 && !skew.is_zero() {
                    tokio::time::sleep(skew).await;
                }
                zone.enforce(routing.clone());
            }
            self.note_use();
        }
    }

    fn pending_wait(&self) -> Option<Duration> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let due = state.pending_since?.after(state.propagation);
        Some(due.since(clock::now()))
    }

    fn take_batch(&self) -> (Arc<Routing>, Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pending_since = None;
        (Arc::new(state.records.routing(&self.groups)), state.zone_skew)
    }

    /// A group is in use while a rule names it, or a zone still routes by a rule that did.
    fn note_use(&self) {
        let written = self.read(|records| records.routing(&self.groups));
        let in_force: Vec<_> = self.zones.iter().map(|zone| zone.routing()).collect();
        let used: BTreeSet<&str> = std::iter::once(&written)
            .chain(in_force.iter().map(AsRef::as_ref))
            .flat_map(Routing::groups)
            .map(|group| group.arn.as_str())
            .collect();
        for group in &self.groups {
            if group.set_in_use(used.contains(group.arn.as_str())) {
                self.kick.notify_one();
            }
        }
    }
}
