//! Target groups: which targets are registered, how healthy they are, and whose turn it is.

use super::service::HEALTH_PATH;
use super::wire::{Pool, Wire};
use crate::clock;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use serin_model::time::Mono;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// What the balancer thinks of a target. `unused` is not among them: that is the group's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// Not one check was answered yet.
    Initial,
    /// The last checks passed.
    Healthy,
    /// The last checks failed: with this status, or without an answer.
    Unhealthy(Option<StatusCode>),
    /// Taken out; finishes what it has, gets nothing new, and is forgotten at this instant.
    Draining(Mono),
}

impl Health {
    fn drains(self) -> bool {
        matches!(self, Self::Draining(_))
    }
}

/// One registered address.
pub(super) struct Target {
    pub(super) addr: SocketAddr,
    pub(super) pool: Pool,
    state: Mutex<State>,
}

struct State {
    health: Health,
    /// Checks in a row whose result is the opposite of `health`.
    contrary: u32,
}

/// A target group.
pub(super) struct Group {
    pub(super) arn: String,
    pub(super) name: String,
    targets: Mutex<Vec<Arc<Target>>>,
    in_use: AtomicBool,
    turn: AtomicUsize,
}

/// What a group says when it is asked for a target.
pub(super) enum Choice {
    /// This one.
    Target(Arc<Target>),
    /// Nothing is registered, or it all drains: the balancer answers 503.
    Empty,
}

impl Target {
    fn new(addr: SocketAddr) -> Arc<Self> {
        let state = Mutex::new(State { health: Health::Initial, contrary: 0 });
        Arc::new(Self { addr, pool: Pool::default(), state })
    }

    pub(super) fn health(&self) -> Health {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).health
    }

    fn set(&self, health: Health) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State { health, contrary: 0 };
    }

    /// Takes in the result of one check. The first one decides at once (a new target needs one passed check,
    /// `AWS.md` 2); afterwards [`CONTRARY_CHECKS`] in a row have to disagree.
    fn learn(&self, result: Result<(), Option<StatusCode>>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = match result {
            Ok(()) => Health::Healthy,
            Err(status) => Health::Unhealthy(status),
        };
        let agrees = match (state.health, seen) {
            (Health::Draining(_), _) => return,
            (Health::Healthy, Health::Healthy) | (Health::Unhealthy(_), Health::Unhealthy(_)) => true,
            _ => false,
        };
        state.contrary = if agrees { 0 } else { state.contrary + 1 };
        if agrees || state.health == Health::Initial || state.contrary >= CONTRARY_CHECKS {
            *state = State { health: seen, contrary: 0 };
        }
    }
}

impl Group {
    pub(super) fn new(arn: &str, name: &str, targets: &[SocketAddr]) -> Arc<Self> {
        Arc::new(Self {
            arn: arn.to_owned(),
            name: name.to_owned(),
            targets: Mutex::new(targets.iter().map(|addr| Target::new(*addr)).collect()),
            in_use: AtomicBool::new(false),
            turn: AtomicUsize::new(0),
        })
    }

    /// All targets, the draining ones too until their time is over.
    pub(super) fn targets(&self) -> Vec<Arc<Target>> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::now();
        targets.retain(|target| !matches!(target.health(), Health::Draining(until) if until <= now));
        targets.clone()
    }

    /// Whether a rule refers to it; otherwise its targets are `unused` and nobody checks them.
    pub(super) fn in_use(&self) -> bool {
        self.in_use.load(Ordering::Relaxed)
    }

    /// Says whether a rule refers to it. Returns true when it has just come into use: its targets are
    /// `initial` again and want a check.
    pub(super) fn set_in_use(&self, in_use: bool) -> bool {
        let was = self.in_use.swap(in_use, Ordering::Relaxed);
        if in_use && !was {
            for target in self.targets().iter().filter(|target| !target.health().drains()) {
                target.set(Health::Initial);
            }
        }
        in_use && !was
    }

    /// The next target in turn: of the healthy ones; of all when none is healthy (fails open, `AWS.md` 3).
    pub(super) fn choose(&self) -> Choice {
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let pick = |eligible: fn(Health) -> bool| {
            let count = targets.iter().filter(|target| eligible(target.health())).count();
            let index = turn.checked_rem(count)?;
            targets.iter().filter(|target| eligible(target.health())).nth(index).cloned()
        };
        pick(|health| health == Health::Healthy)
            .or_else(|| pick(|health| !health.drains()))
            .map_or(Choice::Empty, Choice::Target)
    }

    /// Adds a target; one that drains comes back as `initial`.
    pub(super) fn register(&self, addr: SocketAddr) {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        match targets.iter().find(|target| target.addr == addr) {
            Some(target) if target.health().drains() => target.set(Health::Initial),
            Some(_) => {}
            None => targets.push(Target::new(addr)),
        }
    }

    /// Takes a target out of the turn at once, and out of the list at `until`. False when it isn't registered.
    pub(super) fn drain(&self, addr: SocketAddr, until: Mono) -> bool {
        let found = self.targets().into_iter().find(|target| target.addr == addr);
        found.inspect(|target| target.set(Health::Draining(until))).is_some()
    }
}

/// Checks every target of every group in use, all at once, every `interval` and whenever `kick` asks for it.
pub(super) async fn check_forever(groups: Vec<Arc<Group>>, interval: Duration, kick: Arc<Notify>) {
    loop {
        let mut checks = JoinSet::new();
        for group in groups.iter().filter(|group| group.in_use()) {
            for target in group.targets() {
                checks.spawn(async move {
                    let result = tokio::time::timeout(interval, check(target.addr)).await;
                    target.learn(result.unwrap_or(Err(None)));
                });
            }
        }
        while checks.join_next().await.is_some() {}
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = kick.notified() => {}
        }
    }
}

/// One check on a connection of its own, as a balancer does.
async fn check(addr: SocketAddr) -> Result<(), Option<StatusCode>> {
    let request = Request::get(HEALTH_PATH)
        .header(header::HOST, addr.to_string())
        .header(header::USER_AGENT, "ELB-HealthChecker/2.0")
        .header(header::CONNECTION, "close")
        .body(Full::<Bytes>::default())
        .map_err(|_| None)?;
    let mut wire = Wire::open(addr).await.map_err(|_| None)?;
    let status = wire.exchange(request).await.map_err(|_| None)?.status();
    if status == StatusCode::OK { Ok(()) } else { Err(Some(status)) }
}

/// So many checks in a row have to disagree before a target changes its state (AWS: 5 up, 2 down by default).
const CONTRARY_CHECKS: u32 = 2;
