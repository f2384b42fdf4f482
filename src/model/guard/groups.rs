//! Which target groups a read must tell the health of.

use super::Guard;
use crate::listener::ListenerState;
use std::collections::BTreeSet;

impl Guard {
    /// The groups of every state that may be returned to; a single-group forward doesn't name the old one any more.
    #[must_use]
    pub fn groups(&self) -> BTreeSet<Box<str>> {
        let base = self.release.as_ref().and_then(|release| release.base.as_ref());
        let states = [base, self.good.as_ref()].into_iter().flatten().map(|good| &good.state);
        states.flat_map(ListenerState::serving).map(Into::into).collect()
    }
}
