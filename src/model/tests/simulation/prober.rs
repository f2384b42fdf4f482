//! The prober: what a probe that is due now would come back with, and when.

use super::world::{Ways, World};
use serin_model::release::EpochId;
use serin_model::sample::{Fault, Ours, Outcome, Phases, Purpose, Sample, Taint};
use serin_model::target::{TargetId, VersionId, Versions};
use serin_model::time::{Mono, Span};
use std::time::Duration;

/// A probe is given up after this.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);
/// So many may be in flight.
pub(crate) const SLOTS: u32 = 96;
/// So many connections are kept, spread over two addresses.
const CONNECTIONS: u32 = 10;

/// Numbers probes and shares out connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prober {
    count: u32,
}

impl Prober {
    /// One probe of the path that users take.
    pub(crate) fn production(
        &mut self,
        world: &mut World,
        names: &mut Versions,
        epoch: EpochId,
        now: Mono,
        in_flight: u32,
    ) -> Sample {
        let conn = 1 + self.next() % CONNECTIONS;
        let addr = u16::try_from(conn % 2).expect("0 or 1");
        let mut sample = blank(epoch, Purpose::Production, now);
        (sample.conn, sample.addr) = (conn, addr);
        sample.target = TargetId(u16::try_from(self.count % 2).expect("0 or 1"));
        if ours(world, &mut sample, now) {
            return sample;
        }
        if in_flight >= SLOTS {
            sample.outcome = Outcome::Saturated;
            (sample.conn, sample.phases) = (0, Phases::default());
            return sample;
        }
        let front = world.balancer.at(now);
        if touches(front, addr, conn) && behave(world, front, None, names, &mut sample) {
            return sample;
        }
        let Some(group) = world.route(addr, now) else {
            answer(&mut sample, 503, None, names);
            return sample;
        };
        let (version, ways) = (world.service(group).version, world.service(group).course.at(now));
        if !(touches(ways, addr, conn) && behave(world, ways, version, names, &mut sample)) {
            answer(&mut sample, 200, version, names);
        }
        sample
    }

    /// One probe of the proof: a connection of its own through `addr`.
    pub(crate) fn fresh(&mut self, world: &mut World, names: &mut Versions, now: Mono, addr: u16) -> Sample {
        // The next connection number has the parity of the count, and its address with it.
        self.count += u32::from(self.count % 2 != u32::from(addr % 2));
        let mut sample = self.production(world, names, EpochId(u32::MAX), now, 0);
        sample.conn = 100_000 + self.count;
        sample
    }

    /// One probe of a registered target, by its `address:port`.
    pub(crate) fn direct(
        &mut self,
        world: &mut World,
        names: &mut Versions,
        epoch: EpochId,
        now: Mono,
        target: (usize, &str),
    ) -> Sample {
        let mut sample = blank(epoch, Purpose::Direct, now);
        sample.conn = 1_000 + self.next() % 4;
        sample.addr = u16::try_from(100 + target.0).expect("few targets");
        if ours(world, &mut sample, now) {
            return sample;
        }
        let group =
            world.services.iter().find(|(_, service)| service.targets.iter().any(|t| *t.id == *target.1));
        // Deregistered ones may still run.
        let gone = world.services.iter().find(|_| target.1.starts_with("10.0.1."));
        let Some((group, _)) = group.or(gone) else {
            fail(&mut sample, Fault::ConnectTimeout, TIMEOUT);
            return sample;
        };
        let group = *group;
        let (version, ways) = (world.service(group).version, world.service(group).course.at(now));
        if world.service(group).dead == Some(target.1) {
            answer(&mut sample, 500, version, names);
        } else if !behave(world, Ways { bare: 0.0, edge: 0.0, ..ways }, version, names, &mut sample) {
            answer(&mut sample, 200, version, names);
        }
        sample
    }

    /// One probe of the unrelated control.
    pub(crate) fn control(&mut self, world: &mut World, epoch: EpochId, now: Mono) -> Sample {
        let mut sample = blank(epoch, Purpose::Control, now);
        sample.conn = 2_000 + self.next() % 2;
        if !ours(world, &mut sample, now) {
            sample.status = 200;
        }
        sample
    }

    fn next(&mut self) -> u32 {
        self.count += 1;
        self.count
    }
}

fn blank(epoch: EpochId, purpose: Purpose, now: Mono) -> Sample {
    Sample {
        due: now,
        planned: now,
        phases: Phases { first_byte: Span::of(Duration::from_millis(4)), ..Phases::default() },
        target: TargetId(0),
        conn: 0,
        epoch,
        addr: 0,
        version: VersionId::NONE,
        status: 0,
        purpose,
        taint: Taint::Clean,
        outcome: Outcome::Ok,
        told_slow: false,
    }
}

/// Our own troubles come first. True when they spoiled it.
fn ours(world: &mut World, sample: &mut Sample, now: Mono) -> bool {
    if World::within(&world.starved, now) {
        if world.chance.hits(0.3) {
            sample.outcome = Outcome::Missed(Ours::Late);
        } else {
            // A late one that also failed: void all the same.
            sample.taint = Taint::Late;
            sample.outcome = Outcome::Bad(Fault::Timeout);
            sample.phases.wake = Span::of(Duration::from_millis(80));
        }
        return true;
    }
    if World::within(&world.network_down, now) {
        let fault = if world.chance.hits(0.5) { Fault::Timeout } else { Fault::ConnectTimeout };
        fail(sample, fault, Duration::from_millis(900));
        return true;
    }
    let jitter = world.chance.millis(1, 12);
    sample.phases.first_byte = Span::of(jitter);
    false
}

fn touches(ways: Ways, addr: u16, conn: u32) -> bool {
    ways.zone.is_none_or(|zone| zone == addr) && ways.conn.is_none_or(|only| only == conn)
}

/// True when `ways` decided the answer.
fn behave(
    world: &mut World,
    ways: Ways,
    version: Option<&str>,
    names: &mut Versions,
    sample: &mut Sample,
) -> bool {
    let base = sample.phases.first_byte.duration();
    sample.phases.first_byte = Span::of(base + Duration::from_millis(ways.slow_ms));
    if ways.refuses {
        fail(sample, Fault::ConnectRefused, Duration::from_millis(1));
    } else if ways.hang {
        fail(sample, Fault::Timeout, TIMEOUT);
    } else if world.chance.hits(ways.edge) {
        sample.status = 403;
        sample.outcome = Outcome::Bad(Fault::Edge);
    } else if world.chance.hits(ways.bare) {
        answer(sample, 502, None, names);
    } else if world.chance.hits(ways.errors) {
        answer(sample, 500, version, names);
    } else {
        return false;
    }
    true
}

fn answer(sample: &mut Sample, status: u16, version: Option<&str>, names: &mut Versions) {
    sample.status = status;
    sample.version = version.map_or(VersionId::NONE, |name| names.intern(name));
    sample.outcome = if status == 200 { Outcome::Ok } else { Outcome::Bad(Fault::Status) };
}

fn fail(sample: &mut Sample, fault: Fault, after: Duration) {
    sample.outcome = Outcome::Bad(fault);
    sample.phases.first_byte = Span::of(after);
    if matches!(fault, Fault::ConnectRefused | Fault::ConnectTimeout) {
        sample.conn = 0;
    }
}
