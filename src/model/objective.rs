//! What a service promises its users: availability and quantiles of the response time, for the whole service, for groups of
//! its URLs and for single ones.

use crate::target::TargetId;
use std::collections::BTreeSet;
use std::time::Duration;

/// So many different limits of the response time may be promised in one service.
pub const LIMITS_MAX: usize = 7;
/// P95, in ten-thousandths.
pub const P95: u32 = 9_500;

/// Everything that a service promises. At least one objective.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objectives {
    /// The service's own first, then those of groups, then those of single URLs.
    pub all: Vec<Objective>,
    /// An answer that takes longer is a bad one, whatever it says; `None`: only its status, its body and its timeout count.
    pub bad_over: Option<Duration>,
}

/// One promise.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// For whom.
    pub scope: Scope,
    /// What.
    pub goal: Goal,
    /// Which part of the service's probes speaks of it, 0.0 < share ≤ 1.0.
    pub rate_share: f64,
}

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// The share of answers that may be bad, 0.0 < p < 1.0 (`availability = "99.9%"` is 0.001).
    Availability {
        /// See there.
        bad_share_max: f64,
    },
    /// The quantile of the response time stays at or under the limit (`p95 = "250ms"`: at most 5 % of answers are slower).
    Latency {
        /// In ten-thousandths, 1..=9,999.
        quantile: u32,
        /// The limit.
        limit: Duration,
    },
}

/// For whom something is promised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Every URL of the service.
    #[default]
    Service,
    /// Some of them.
    Part {
        /// A group's or a URL's.
        name: Box<str>,
        /// Which.
        targets: BTreeSet<TargetId>,
    },
}

impl Scope {
    /// Whether a target's answers speak of it.
    #[must_use]
    pub fn holds(&self, target: TargetId) -> bool {
        match self {
            Self::Service => true,
            Self::Part { targets, .. } => targets.contains(&target),
        }
    }

    /// A group's or a URL's name; empty for the whole service.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Service => "",
            Self::Part { name, .. } => name,
        }
    }
}

impl Goal {
    /// The share of events that may be bad, 0.0 < p < 1.0.
    #[must_use]
    pub fn share_max(&self) -> f64 {
        match self {
            Self::Availability { bad_share_max } => *bad_share_max,
            Self::Latency { quantile, .. } => f64::from(10_000 - quantile) / 10_000.0,
        }
    }
}

impl Objectives {
    /// What the whole service promises: the share of answers that may be bad, and its P95.
    #[must_use]
    pub fn of_service(bad_share_max: Option<f64>, p95_max: Option<Duration>) -> Self {
        let availability = bad_share_max.map(|bad_share_max| Goal::Availability { bad_share_max });
        let latency = p95_max.map(|limit| Goal::Latency { quantile: P95, limit });
        let whole = |goal| Objective { scope: Scope::Service, goal, rate_share: 1.0 };
        Self { all: availability.into_iter().chain(latency).map(whole).collect(), bad_over: None }
    }

    /// The limits of the response time, each once, at most [`LIMITS_MAX`]. The first is what "slow" means in figures and while
    /// a probe is in flight: that of the service's P95, or else the first that is promised.
    #[must_use]
    pub fn limits(&self) -> Vec<Duration> {
        let promised = || {
            self.all.iter().filter_map(|objective| match objective.goal {
                Goal::Latency { quantile, limit } => Some((&objective.scope, quantile, limit)),
                Goal::Availability { .. } => None,
            })
        };
        let p95 = promised().find(|(scope, quantile, _)| **scope == Scope::Service && *quantile == P95);
        let mut limits: Vec<Duration> = Vec::new();
        for (_, _, limit) in p95.into_iter().chain(promised()) {
            if !limits.contains(&limit) && limits.len() < LIMITS_MAX {
                limits.push(limit);
            }
        }
        limits
    }

    /// The share of answers of the whole service that may be bad, 0.0 < share < 1.0; `None` when it promises none.
    #[must_use]
    pub fn allowed_bad_share(&self) -> Option<f64> {
        self.all.iter().find_map(|objective| match objective.goal {
            Goal::Availability { bad_share_max } if objective.scope == Scope::Service => Some(bad_share_max),
            Goal::Availability { .. } | Goal::Latency { .. } => None,
        })
    }

    /// Answers that take longer are slow ones; `None` when nothing is promised about time.
    #[must_use]
    pub fn slow_over(&self) -> Option<Duration> {
        self.limits().first().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_means_beyond_the_service_s_p95_and_every_limit_is_kept_once() {
        let ms = Duration::from_millis;
        let latency = |name: &str, quantile, limit| Objective {
            scope: if name.is_empty() { Scope::Service } else { part(name) },
            goal: Goal::Latency { quantile, limit: ms(limit) },
            rate_share: 1.0,
        };
        let mut objectives = Objectives::of_service(Some(0.001), None);
        assert_eq!(objectives.slow_over(), None);
        objectives.all.extend([latency("", 9_900, 800), latency("", P95, 250), latency("pay", 5_000, 250)]);
        assert_eq!(objectives.limits(), [ms(250), ms(800)]);
        assert_eq!(objectives.slow_over(), Some(ms(250)));
        assert!((objectives.all[1].goal.share_max() - 0.01).abs() < 1e-12);
        assert!(objectives.all[3].scope.holds(TargetId(1)) && !objectives.all[3].scope.holds(TargetId(0)));
    }

    fn part(name: &str) -> Scope {
        Scope::Part { name: name.into(), targets: BTreeSet::from([TargetId(1)]) }
    }

    #[test]
    fn no_more_limits_are_told_apart_than_there_is_room_for() {
        let latency = |ms| Objective {
            scope: Scope::Service,
            goal: Goal::Latency { quantile: 9_900, limit: Duration::from_millis(ms) },
            rate_share: 1.0,
        };
        let objectives = Objectives { all: (1..20).map(latency).collect(), bad_over: None };
        assert_eq!(objectives.limits(), [1, 2, 3, 4, 5, 6, 7].map(Duration::from_millis));
    }

    #[test]
    fn the_share_that_may_be_bad_is_the_service_s_and_no_group_s() {
        let availability = |scope, bad_share_max| Objective {
            scope,
            goal: Goal::Availability { bad_share_max },
            rate_share: 1.0,
        };
        let mut objectives = Objectives::of_service(None, Some(Duration::from_millis(250)));
        objectives.all.push(availability(part("pay"), 0.25));
        assert_eq!(objectives.allowed_bad_share(), None);
        objectives.all.push(availability(Scope::Service, 0.5));
        assert_eq!(objectives.allowed_bad_share(), Some(0.5));
    }

    #[test]
    fn a_part_is_called_by_its_name_and_the_whole_service_by_none() {
        assert_eq!((part("pay").name(), Scope::Service.name()), ("pay", ""));
    }
}
