//! What of a service stays when its configuration is read anew.

use super::{Front, Service, Target};
use crate::model::target::{Moved, TargetId};
use std::collections::BTreeMap;

/// Where each of the `old` targets is among the `new` ones: the one of its name, if that is asked the same and the same is a good answer.
/// How often it is asked may change.
#[must_use]
pub fn moved(old: &[Target], new: &[Target]) -> Moved {
    let places: BTreeMap<&str, (u16, &Target)> =
        (0..).zip(new).map(|(place, target)| (target.name.as_str(), (place, target))).collect();
    let place = |old: &Target| {
        let (place, new) = places.get(old.name.as_str())?;
        old.is_asked_like(new).then_some(TargetId(*place))
    };
    Moved::new(old.iter().map(place).collect())
}

impl Target {
    fn is_asked_like(&self, other: &Self) -> bool {
        let Self { weight, group, in_flight, rate_cap_hz, .. } = self.clone();
        *self == Self { weight, group, in_flight, rate_cap_hz, ..other.clone() }
    }
}

impl Service {
    /// Whether what is steered, and how it is reached, is the same: then a new configuration takes the place of the old one
    /// without anything being forgotten.
    #[must_use]
    pub fn is_steered_like(&self, other: &Self) -> bool {
        self.levers == other.levers
            && self.via == other.via
            && self.whose == other.whose
            && self.judge.heard == other.judge.heard
    }

    /// Whether any of its probes go to the balancer, whose name AWS has to tell.
    #[must_use]
    pub fn wants_front(&self) -> bool {
        self.targets.iter().any(|target| target.front.is_some())
    }

    /// The balancer's name is known already: `old` is the same service.
    pub fn keep_front(&mut self, old: &Self) {
        self.front = old.front.clone();
        for front in self.targets.iter_mut().filter_map(|target| target.front.as_mut()) {
            *front = Front::clone(&old.front);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_target_stays_while_it_is_asked_the_same() {
        let target =
            |name: &str| Target { name: name.into(), ..Target::plain("http://127.0.0.1:1/a").unwrap() };
        let old = ["a", "b", "c", "d", "e"].map(target);
        let new = [
            Target {
                weight: 7,
                group: Some("g".into()),
                in_flight: 9,
                rate_cap_hz: Some(1.0),
                ..target("c")
            },
            target("f"),
            Target { timeout: Duration::from_millis(17), ..target("b") },
            Target { max_body: 1, ..target("d") },
            target("e"),
        ];
        let id = |place| Some(TargetId(place));
        assert_eq!(moved(&old, &new), Moved::new(vec![None, None, id(0), None, id(4)]));
    }
}
