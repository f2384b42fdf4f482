//! The connections to one origin: which one is free, and which address is next. URLs of one origin share them.

use super::connect::{Dialer, Tls};
use super::desk::Desk;
use super::exchange::Speaker;
use super::link::{Job, Link};
use super::marks::{Marks, Step};
use super::wire::Stream;
use crate::model::sample::{Ours, Outcome};
use crate::settings::{Front, Target};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;

/// Addresses of one name that are told apart.
const ADDRESSES_MAX: usize = 64;

/// Where connections go, and how: targets that agree in it share them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of a target, named there")]
pub(super) struct Place {
    host: String,
    port: u16,
    tls: bool,
    connect_to: Option<SocketAddr>,
    /// Which balancer's name is resolved instead of the host's.
    front: Option<usize>,
    ca_file: Option<PathBuf>,
    fresh: bool,
    http2: bool,
    tls_resume: bool,
    direct: Option<Registered>,
}

/// A registered target, asked without the balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Registered {
    pub(super) address: SocketAddr,
    pub(super) tls: bool,
    /// Its index among those that are asked.
    pub(super) index: u16,
}

/// How many connections an origin has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// So many are kept open, and take turns.
    pub(super) keep: usize,
    /// And never more than so many at once, rounded up.
    pub(super) cap: f64,
}

impl Room {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate times a timeout, both bounded by the settings; what is too large is no bound at all"
    )]
    fn cap(&self) -> usize {
        self.cap.ceil() as usize
    }
}

/// See the module.
pub(super) struct Origin {
    place: Place,
    room: Cell<Room>,
    dialer: Rc<Dialer>,
    /// The balancer's own name.
    front: Option<Front>,
    /// The host, where it is an address itself.
    literal: Option<IpAddr>,
    tls: Option<Tls>,
    /// Slots with an open connection.
    warm: RefCell<VecDeque<Rc<Link>>>,
    /// Slots without one.
    cold: RefCell<Vec<Rc<Link>>>,
    open: Rc<Cell<usize>>,
    closed: Cell<bool>,
    addresses: RefCell<Vec<IpAddr>>,
    turn: Cell<usize>,
    /// A linear congruence (Numerical Recipes, 7.1): which connection is next.
    lot: Cell<u32>,
    next_id: Rc<Cell<u32>>,
}

/// Counts a slot of an origin for as long as it lives.
pub(super) struct Open(Rc<Cell<usize>>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl Place {
    pub(super) fn of(target: &Target, direct: Option<Registered>) -> Self {
        Self {
            host: target.endpoint.host.clone(),
            port: target.endpoint.port,
            tls: direct.map_or(target.endpoint.tls, |direct| direct.tls),
            connect_to: target.connect_to,
            front: target.front.as_ref().map(Front::id),
            ca_file: target.ca_file.clone(),
            fresh: target.fresh,
            http2: target.http2,
            tls_resume: target.tls_resume,
            direct,
        }
    }
}

impl Origin {
    /// The connections of `target`, and of all that agree with it in their place.
    pub(super) fn new(
        target: &Target,
        direct: Option<Registered>,
        room: Room,
        dialer: &Rc<Dialer>,
        next_id: &Rc<Cell<u32>>,
    ) -> Self {
        let place = Place::of(target, direct);
        let tls = if place.tls { dialer.prepare(target, direct.is_some()) } else { None };
        Self {
            place,
            room: Cell::new(room),
            dialer: Rc::clone(dialer),
            front: target.front.clone(),
            literal: target.endpoint.host.parse().ok(),
            tls,
            warm: RefCell::default(),
            cold: RefCell::default(),
            open: Rc::default(),
            closed: Cell::new(false),
            addresses: RefCell::default(),
            turn: Cell::new(0),
            lot: Cell::new(1),
            next_id: Rc::clone(next_id),
        }
    }

    /// Another target shares the connections, and needs room too.
    pub(super) fn widen(&self, cap: f64) {
        let room = self.room.get();
        self.room.set(Room { cap: room.cap + cap, ..room });
    }

    /// Its targets say anew how much room they need: see [`Self::widen`].
    pub(super) fn narrow(&self, room: Room) {
        self.room.set(room);
    }

    pub(super) fn is_at(&self, place: &Place) -> bool {
        self.place == *place
    }

    /// Hands `job` to a slot; `None` when all of them wait for the target.
    pub(super) fn carry(self: &Rc<Self>, job: Job, desk: &Rc<Desk>) -> Option<Rc<Link>> {
        let room = self.room.get();
        let (open, cap) = (self.open.get(), room.cap());
        let mut warm = self.warm.borrow_mut();
        // A connection that was closed while it rested is as good as none.
        while warm.front().is_some_and(|link| !link.is_warm()) {
            self.cold.borrow_mut().extend(warm.pop_front());
        }
        let kept = if open >= room.keep.min(cap) { self.draw(&mut warm) } else { None };
        let idle = kept.or_else(|| self.cold.borrow_mut().pop());
        let idle = if idle.is_none() && open >= cap { self.draw(&mut warm) } else { idle };
        if let Some(link) = idle {
            link.hand(job);
            return Some(link);
        }
        (open < cap).then(|| Link::start(job, Rc::clone(self), Rc::clone(desk)))
    }

    /// One of the open connections, by lot: in turn, a URL among four would always get the same of four, and evidence of
    /// one connection is none.
    fn draw(&self, warm: &mut VecDeque<Rc<Link>>) -> Option<Rc<Link>> {
        let lot = self.lot.get().wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.lot.set(lot);
        let index = (lot >> 8) as usize % warm.len().max(1);
        warm.swap_remove_front(index)
    }

    /// A slot is idle again; false when it isn't wanted any more.
    pub(super) fn rest(&self, link: &Rc<Link>) -> bool {
        let spare = self.room.get().keep * 2;
        let (mut warm, mut cold) = (self.warm.borrow_mut(), self.cold.borrow_mut());
        if self.closed.get() || warm.len() + cold.len() >= spare.max(1) {
            return false;
        }
        if link.is_warm() {
            warm.push_back(Rc::clone(link));
        } else {
            cold.push(Rc::clone(link));
        }
        true
    }

    /// Ends every idle slot, and each other one when its probe has ended.
    pub(super) fn close(&self) {
        self.closed.set(true);
        for link in self.warm.borrow_mut().drain(..).chain(self.cold.borrow_mut().drain(..)) {
            link.abort();
        }
    }

    /// Counts a slot.
    pub(super) fn count(&self) -> Open {
        self.open.set(self.open.get() + 1);
        Open(Rc::clone(&self.open))
    }

    /// A new connection to the next address in turn.
    pub(super) async fn dial(&self, marks: &Rc<Marks>) -> Result<Speaker, Outcome> {
        marks.see(0, 0);
        let (address, index) = self.next_address(marks).await?;
        let id = self.next_id.get().wrapping_add(1).max(1);
        self.next_id.set(id);
        marks.see(id, index);
        marks.enter(Step::Connect);
        let tcp = self.dialer.tcp(address, self.place.fresh && !self.place.tls && !self.place.http2).await?;
        let stream = if self.place.tls {
            marks.enter(Step::Tls);
            let tls = self.tls.as_ref().ok_or(Outcome::Failed(Ours::Library))?;
            tls.shake(tcp, self.place.http2).await?
        } else {
            Stream::Plain(tcp)
        };
        marks.enter(Step::Write);
        Speaker::open(stream, self.place.http2, marks).await
    }

    async fn next_address(&self, marks: &Marks) -> Result<(SocketAddr, u16), Outcome> {
        if let Some(direct) = self.place.direct {
            return Ok((direct.address, direct.index));
        }
        if let Some(address) = self.place.connect_to {
            return Ok((address, self.index_of(address.ip())));
        }
        if let Some(address) = self.literal {
            return Ok((SocketAddr::new(address, self.place.port), self.index_of(address)));
        }
        marks.enter(Step::Resolve);
        let addresses = match &self.front {
            // What AWS has not told yet is our fault, and no target's.
            Some(front) => {
                let name = front.name().ok_or(Outcome::Failed(Ours::Resolve))?;
                match name.parse() {
                    // An emulator's balancer may have no name.
                    Ok(address) => vec![address],
                    Err(_) => self.dialer.resolve(name).await?,
                }
            }
            None => self.dialer.resolve(&self.place.host).await?,
        };
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let address = addresses[turn % addresses.len()];
        Ok((SocketAddr::new(address, self.place.port), self.index_of(address)))
    }

    /// The address behind the number that [`Self::index_of`] gave.
    pub(super) fn address(&self, index: u16) -> Option<IpAddr> {
        self.addresses.borrow().get(usize::from(index).checked_sub(1)?).copied()
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
}
