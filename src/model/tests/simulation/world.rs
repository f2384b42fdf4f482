//! The world: a listener, target groups with versions and faults, a balancer that takes its time, and an AWS that fails.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serin_model::guard::Marks;
use serin_model::listener::{
    Forward, Group, GroupHealth, HealthState, ListenerState, RuleState, TargetHealth,
};
use serin_model::owner::Owner;
use serin_model::time::Mono;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A second one that is governed with it.
pub(crate) const LISTENER_80: &str = "arn:aws:elasticloadbalancing:eu-west-1:1:listener/app/shop/1/80";
pub(crate) const LISTENER: &str = "arn:aws:elasticloadbalancing:eu-west-1:1:listener-rule/app/shop/1/2/3";
pub(crate) const BLUE: &str = "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/blue/1";
pub(crate) const GREEN: &str = "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/green/2";
pub(crate) const RED: &str = "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/red/3";

/// Chance from a seed.
#[derive(Clone, Debug)]
pub(crate) struct Chance(ChaCha8Rng);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Evenly in 0.0..1.0.
    pub(crate) fn unit(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / 4_294_967_296.0
    }

    pub(crate) fn hits(&mut self, share: f64) -> bool {
        share > 0.0 && self.unit() < share
    }

    /// Evenly in 0..n.
    pub(crate) fn below(&mut self, n: u32) -> usize {
        usize::try_from(self.0.next_u32() % n).expect("a small number")
    }

    /// Milliseconds, evenly from `low` to `high`.
    pub(crate) fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_micros(low * 1_000 + u64::from(self.0.next_u32()) % ((high - low) * 1_000 + 1))
    }
}

/// How something answers for a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Ways {
    /// Share of 500 answers with the version.
    pub(crate) errors: f64,
    /// Share of 502 answers of the balancer's own, without a version.
    pub(crate) bare: f64,
    /// Share of 403 answers of a firewall, without a version.
    pub(crate) edge: f64,
    /// Added to the time of every answer, in milliseconds.
    pub(crate) slow_ms: u64,
    /// Never answers.
    pub(crate) hang: bool,
    /// TCP to it is refused.
    pub(crate) refuses: bool,
    /// Only through this address.
    pub(crate) zone: Option<u16>,
    /// Only over this connection.
    pub(crate) conn: Option<u32>,
}

/// Ways by time; the last entry that covers an instant counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Course(Vec<(Mono, Mono, Ways)>);

impl Course {
    pub(crate) fn during(&mut self, from: Mono, to: Mono, ways: Ways) {
        self.0.push((from, to, ways));
    }

    pub(crate) fn at(&self, now: Mono) -> Ways {
        let covers = |(from, to, _): &&(Mono, Mono, Ways)| *from <= now && now < *to;
        self.0.iter().rev().find(covers).map(|(_, _, ways)| *ways).unwrap_or_default()
    }
}

/// One target group and what runs in it.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) version: Option<&'static str>,
    pub(crate) targets: Vec<TargetHealth>,
    pub(crate) course: Course,
    /// One target that answers nothing but errors.
    pub(crate) dead: Option<&'static str>,
}

/// What AWS does to one of our calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Throttled,
    Denied,
    Gone,
    /// No answer; a write isn't done.
    Lost,
    /// No answer; a write is done.
    Done,
    /// An unknown outcome at once; a write is done after so many milliseconds.
    DoneLater(u64),
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) chance: Chance,
    pub(crate) listener: ListenerState,
    pub(crate) marks: Marks,
    pub(crate) services: BTreeMap<&'static str, Service>,
    /// The balancer's own doing, on the production path only.
    pub(crate) balancer: Course,
    /// Our own network: every probe fails as it says.
    pub(crate) network_down: Vec<(Mono, Mono)>,
    /// Our own process is late.
    pub(crate) starved: Vec<(Mono, Mono)>,
    /// The unrelated control is there.
    pub(crate) has_control: bool,
    pub(crate) reads: Vec<(Mono, Mono, Trouble)>,
    pub(crate) writes: VecDeque<Trouble>,
    pub(crate) ledger_full: bool,
    /// How long a change takes to reach each of the two addresses.
    pub(crate) lag: [Duration; 2],
    routed: Vec<(Mono, ListenerState)>,
}

pub(crate) fn forward(groups: &[(&str, i32)]) -> ListenerState {
    let groups = groups.iter().map(|(arn, weight)| Group { arn: (*arn).into(), weight: Some(*weight) });
    let forward = Forward { scalar: None, groups: groups.collect(), stickiness: None };
    RuleState { arn: LISTENER.into(), forward: Some(forward), others: vec![], unknown: vec![] }.into()
}

/// The same with something else about its rule.
pub(crate) fn but(state: &ListenerState, change: impl Fn(&mut RuleState)) -> ListenerState {
    let mut rules = state.rules().to_vec();
    rules.iter_mut().for_each(change);
    rules.into()
}

/// Two listeners that are governed together: each address of the balancer routes by one of them.
pub(crate) fn pair(https: &ListenerState, http: &ListenerState) -> ListenerState {
    let http = but(http, |rule| rule.arn = LISTENER_80.into());
    [https.rules(), http.rules()].concat().into()
}

pub(crate) fn blue() -> ListenerState {
    forward(&[(BLUE, 100), (GREEN, 0)])
}

pub(crate) fn green() -> ListenerState {
    forward(&[(BLUE, 0), (GREEN, 100)])
}

pub(crate) fn targets(prefix: &str, count: u16) -> Vec<TargetHealth> {
    let target = |n| TargetHealth {
        id: format!("{prefix}.{n}:80").into(),
        state: HealthState::Healthy,
        overridden: false,
    };
    (1..=count).map(target).collect()
}

impl World {
    /// Blue serves v1, green stands by with v2.
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let service = |version, prefix: &str| Service {
            version: Some(version),
            targets: targets(prefix, 3),
            course: Course::default(),
            dead: None,
        };
        let services = BTreeMap::from([
            (BLUE, service("v1", "10.0.1")),
            (GREEN, service("v2", "10.0.2")),
            (RED, service("v3", "10.0.3")),
        ]);
        let lag = [chance.millis(0, 900), chance.millis(0, 900)];
        let listener = blue();
        Self {
            chance,
            routed: vec![(Mono(0), listener.clone())],
            listener,
            marks: Marks::of(Owner::Nobody),
            services,
            balancer: Course::default(),
            network_down: vec![],
            starved: vec![],
            has_control: true,
            reads: vec![],
            writes: VecDeque::new(),
            ledger_full: false,
            lag,
        }
    }

    pub(crate) fn service(&mut self, group: &str) -> &mut Service {
        self.services.get_mut(group).expect("a group of this world")
    }

    /// Somebody (we or others) sets the listener.
    pub(crate) fn set(&mut self, now: Mono, state: ListenerState) {
        self.routed.push((now, state.clone()));
        self.listener = state;
    }

    /// What address `addr` of the balancer routes by.
    fn effective(&self, addr: u16, now: Mono) -> &ListenerState {
        let lag = self.lag[usize::from(addr % 2)];
        let in_force = |(at, _): &&(Mono, ListenerState)| at.after(lag) <= now || at.0 == 0;
        self.routed.iter().rev().find(in_force).map_or(&self.listener, |(_, state)| state)
    }

    /// The group that the balancer picks.
    pub(crate) fn route(&mut self, addr: u16, now: Mono) -> Option<&'static str> {
        let rules = self.effective(addr, now).rules();
        let forward = rules[usize::from(addr) % rules.len()].forward.clone()?;
        let weights = forward.weights();
        let total: i32 = weights.iter().map(|(_, weight)| weight).sum();
        let mut left = self.chance.unit() * f64::from(total);
        for (arn, weight) in weights {
            left -= f64::from(weight);
            if left < 0.0 {
                return self.services.keys().find(|known| **known == arn).copied();
            }
        }
        None
    }

    pub(crate) fn health(&self) -> Vec<GroupHealth> {
        let health = |(group, service): (&&'static str, &Service)| GroupHealth {
            group: (*group).into(),
            targets: service.targets.clone(),
        };
        self.services.iter().map(health).collect()
    }

    pub(crate) fn within(spans: &[(Mono, Mono)], now: Mono) -> bool {
        spans.iter().any(|(from, to)| *from <= now && now < *to)
    }

    pub(crate) fn read_trouble(&self, now: Mono) -> Option<Trouble> {
        self.reads.iter().find(|(from, to, _)| *from <= now && now < *to).map(|(_, _, trouble)| *trouble)
    }
}
