//! The connections to one origin: which one is free, and which address is next.

use super::connect::{Dialer, Steps, Stream, Trust};
use super::exchange::{self, Connection};
use crate::clock;
use crate::model::sample::{Fault, Ours, Outcome};
use crate::model::time::Span;
use crate::settings::Target;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// Evidence must come over several connections, so so many are kept, where the target allows it.
const KEPT: usize = 4;
/// Addresses of one name that are told apart.
const ADDRESSES_MAX: usize = 64;

/// Where the connections of a target go: through the balancer as users do, or to one registered target.
#[derive(Debug)]
pub(super) struct Origin {
    target: Rc<Target>,
    direct: Option<Registered>,
    idle: RefCell<VecDeque<Connection>>,
    open: Rc<Cell<usize>>,
    addresses: RefCell<Vec<IpAddr>>,
    turn: Cell<usize>,
    next_id: Rc<Cell<u32>>,
}

/// A registered target, asked without the balancer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registered {
    pub(super) address: SocketAddr,
    pub(super) tls: bool,
    /// Its index among those that are asked.
    pub(super) index: u16,
}

/// Counts an open connection of an origin for as long as it lives.
#[derive(Debug)]
pub(super) struct Open(Rc<Cell<usize>>);

impl Open {
    fn count(open: &Rc<Cell<usize>>) -> Self {
        open.set(open.get() + 1);
        Self(Rc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("id", &self.id).finish_non_exhaustive()
    }
}

/// In which step a probe is, so that a timeout can say whose it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Resolve,
    Connect,
    Tls,
    Exchange,
}

impl Step {
    /// What a probe that ran out of time in this step says.
    pub(super) const fn timed_out(self) -> Outcome {
        match self {
            Self::Resolve => Outcome::Failed(Ours::Resolve),
            Self::Connect => Outcome::Bad(Fault::ConnectTimeout),
            Self::Tls => Outcome::Bad(Fault::TlsHandshake),
            Self::Exchange => Outcome::Bad(Fault::Timeout),
        }
    }
}

impl Origin {
    pub(super) fn new(target: Rc<Target>, direct: Option<Registered>, next_id: Rc<Cell<u32>>) -> Self {
        Self {
            target,
            direct,
            idle: RefCell::default(),
            open: Rc::new(Cell::new(0)),
            addresses: RefCell::default(),
            turn: Cell::new(0),
            next_id,
        }
    }

    /// A kept connection, the one that rested longest; `None` when a new one should be made.
    pub(super) fn take(&self) -> Option<Connection> {
        if self.target.fresh {
            return None;
        }
        let mut idle = self.idle.borrow_mut();
        loop {
            if idle.len() < KEPT && self.open.get() < KEPT {
                return None;
            }
            let connection = idle.pop_front()?;
            if !connection.send.is_closed() {
                return Some(connection);
            }
        }
    }

    /// A connection that may carry another request; it is closed instead where no more are wanted.
    pub(super) fn give(&self, connection: Connection) {
        let mut idle = self.idle.borrow_mut();
        if !self.target.fresh && !connection.send.is_closed() && idle.len() < KEPT * 2 {
            idle.push_back(connection);
        }
    }

    /// A new connection to the next address in turn.
    pub(super) async fn dial(
        &self,
        dialer: &Dialer,
        steps: &Cell<Steps>,
        step: &Cell<Step>,
        seen: &Cell<(u32, u16)>,
    ) -> Result<Connection, Outcome> {
        let (address, index) = self.next_address(dialer, steps, step).await?;
        let id = self.next_id.get().wrapping_add(1).max(1);
        self.next_id.set(id);
        seen.set((id, index));
        step.set(Step::Connect);
        let begun = clock::now();
        let tcp = dialer.tcp(address).await?;
        let connected = clock::now();
        update(steps, |steps| steps.connect = Span::of(connected.since(begun)));
        let wants_tls = self.direct.map_or(self.target.endpoint.tls, |direct| direct.tls);
        let stream = if wants_tls {
            step.set(Step::Tls);
            let trust = if self.direct.is_some() {
                Trust::Registered
            } else {
                Trust::Roots(self.target.ca_file.as_deref())
            };
            let stream = dialer.tls(tcp, &self.target.endpoint, trust).await?;
            update(steps, |steps| steps.tls = Span::of(clock::now().since(connected)));
            stream
        } else {
            Stream::Plain(tcp)
        };
        step.set(Step::Exchange);
        exchange::open(stream, id, index, Open::count(&self.open)).await
    }

    async fn next_address(
        &self,
        dialer: &Dialer,
        steps: &Cell<Steps>,
        step: &Cell<Step>,
    ) -> Result<(SocketAddr, u16), Outcome> {
        if let Some(direct) = self.direct {
            return Ok((direct.address, direct.index));
        }
        if let Some(address) = self.target.connect_to {
            return Ok((address, self.index_of(address.ip())));
        }
        step.set(Step::Resolve);
        let begun = clock::now();
        let addresses = dialer.resolve(&self.target.endpoint.host).await?;
        update(steps, |steps| steps.dns = Span::of(clock::now().since(begun)));
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let address = addresses[turn % addresses.len()];
        Ok((SocketAddr::new(address, self.target.endpoint.port), self.index_of(address)))
    }

    /// A small number for an address; the first one is 1, and past the bound they share the last.
    fn index_of(&self, address: IpAddr) -> u16 {
        let mut known = self.addresses.borrow_mut();
        let index = known.iter().position(|old| *old == address).unwrap_or_else(|| {
            if known.len() < ADDRESSES_MAX {
                known.push(address);
            }
            known.len() - 1
        });
        u16::try_from(index + 1).unwrap_or(u16::MAX)
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }
}

fn update(cell: &Cell<Steps>, change: impl FnOnce(&mut Steps)) {
    let mut steps = cell.get();
    change(&mut steps);
    cell.set(steps);
}
