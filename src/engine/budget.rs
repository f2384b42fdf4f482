//! What the probes will cost, against what this machine gives: refused at the start, never silently late.

use super::vitals::cpus;
use crate::settings::{Service, Target};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// Beyond this share of a quota the pace is lost in one step, not bit by bit (measured: 31 % asked of a quota of 25 %
/// was 395 ms late after 2 s).
const QUOTA_SHARE: f64 = 0.6;
/// And beyond this share of one core.
const CORE_SHARE: f64 = 0.8;
/// CPU of one probe over a kept connection; two wake-ups. Microseconds, as are the others; measured on a slow virtual machine,
/// rounded up.
const KEPT_US: f64 = 60.0;
/// The same where several probes share a wake-up.
const COALESCED_US: f64 = 40.0;
/// A new connection on top.
const CONNECT_US: f64 = 90.0;
/// A TLS handshake in full on top of that, and a resumed one.
const HANDSHAKE_US: f64 = 550.0;
const RESUMED_US: f64 = 400.0;
/// Descriptors that are neither a production connection nor a direct one: ledgers, admin, AWS, telemetry.
const DESCRIPTORS_SPARE: u64 = 128;
/// Registered targets are asked over so many connections at most, whatever their number.
const DIRECT_CONNECTIONS: f64 = 256.0;

/// What the probes of some services need at the release pace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// CPUs, all engine threads together.
    pub cpus_needed: f64,
    /// What the quota and the affinity leave; `None` where they aren't told.
    pub cpus_given: Option<f64>,
    /// Engine threads that are needed.
    pub threads_needed: u32,
    /// Engine threads that there will be.
    pub threads: u32,
    /// File descriptors, when every target hangs.
    pub descriptors_needed: u64,
    /// The hard limit of this process; `None`: there is none.
    pub descriptors_given: Option<u64>,
}

/// Why the probes can't be carried.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BudgetError {
    /// One service needs more than a core, and lives on one thread.
    #[error(
        "service {service}: its probes need {needed:.1} cores at the release pace, and a service is judged on one engine thread ({CORE_SHARE} of a core at most); slow pace.release, let connections be reused, or split the service"
    )]
    Core {
        /// Which.
        service: String,
        /// Cores.
        needed: f64,
    },
    /// The threads don't suffice.
    #[error(
        "the probes need {needed} engine threads, engine.threads = {given}; raise it, or slow pace.release"
    )]
    Threads {
        /// Threads.
        needed: u32,
        /// Threads.
        given: u32,
    },
    /// The quota doesn't suffice.
    #[error(
        "the probes need {needed:.2} CPUs at the release pace, and of the {given:.2} that this machine gives {QUOTA_SHARE} at most may be asked: beyond that the pace breaks down; give the container more CPU, slow pace.release, or raise engine.quantum"
    )]
    Cpu {
        /// CPUs.
        needed: f64,
        /// CPUs.
        given: f64,
    },
    /// The descriptors don't suffice.
    #[error(
        "the probes may hold {needed} descriptors open when their targets hang, and this process is limited to {given} (RLIMIT_NOFILE); raise the limit (`nofile` in ECS), or shorten the timeouts"
    )]
    Descriptors {
        /// Descriptors.
        needed: u64,
        /// Descriptors.
        given: u64,
    },
}

impl Budget {
    /// What `services` need on `threads` engine threads, here.
    #[must_use]
    pub fn of(services: &[Service], threads: u32, quantum: Duration) -> Self {
        let loads: Vec<f64> = services.iter().map(|service| cpus_of(service, quantum)).collect();
        let connections: f64 = services.iter().map(connections_of).sum();
        let limit = getrlimit(Resource::Nofile).maximum;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and bounded")]
        let connections = connections.ceil() as u64;
        Self {
            cpus_needed: loads.iter().sum(),
            cpus_given: cpus(),
            threads_needed: threads_for(&loads),
            threads,
            descriptors_needed: connections + DESCRIPTORS_SPARE,
            descriptors_given: limit,
        }
    }

    /// Whether it fits.
    ///
    /// # Errors
    /// The first thing that doesn't suffice, with its remedy.
    pub fn check(&self, services: &[Service], quantum: Duration) -> Result<(), BudgetError> {
        for service in services {
            let needed = cpus_of(service, quantum);
            if needed > CORE_SHARE {
                return Err(BudgetError::Core { service: service.name.clone(), needed });
            }
        }
        if self.threads_needed > self.threads {
            return Err(BudgetError::Threads { needed: self.threads_needed, given: self.threads });
        }
        if let Some(given) = self.cpus_given.filter(|given| self.cpus_needed > given * QUOTA_SHARE) {
            return Err(BudgetError::Cpu { needed: self.cpus_needed, given });
        }
        match self.descriptors_given {
            Some(given) if given < self.descriptors_needed => {
                Err(BudgetError::Descriptors { needed: self.descriptors_needed, given })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Raises the soft limit of descriptors to what is needed; the hard limit was checked.
    pub fn raise_descriptors(&self) {
        let limit = getrlimit(Resource::Nofile);
        if limit.current.is_some_and(|current| current < self.descriptors_needed) {
            let raised = Rlimit { current: Some(self.descriptors_needed), maximum: limit.maximum };
            if let Err(error) = setrlimit(Resource::Nofile, raised) {
                tracing::warn!(%error, needed = self.descriptors_needed, "the limit of descriptors can't be raised");
            }
        }
    }
}

impl fmt::Display for Budget {
    /// `0.006 of 2 CPUs, 1 engine thread, at most 193 of 1048576 descriptors`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.cpus_needed)?;
        if let Some(given) = self.cpus_given {
            write!(f, " of {given:.2}")?;
        }
        let threads = if self.threads == 1 { "thread" } else { "threads" };
        write!(f, " CPUs, {} engine {threads}, at most {}", self.threads, self.descriptors_needed)?;
        if let Some(given) = self.descriptors_given {
            write!(f, " of {given}")?;
        }
        f.write_str(" descriptors")
    }
}

/// Which services share a thread: the heaviest first, each to the thread that has the least. Numbers of services, a list
/// a thread; threads that would have nothing are left out.
#[must_use]
pub fn share(services: &[Service], threads: u32, quantum: Duration) -> Vec<Vec<usize>> {
    let loads: Vec<f64> = services.iter().map(|service| cpus_of(service, quantum)).collect();
    let mut shares = spread(&loads, threads.max(1) as usize);
    shares.retain(|share| !share.is_empty());
    shares
}

fn spread(loads: &[f64], threads: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..loads.len()).collect();
    order.sort_by(|a, b| loads[*b].total_cmp(&loads[*a]));
    let mut shares: Vec<(f64, Vec<usize>)> = vec![(0.0, Vec::new()); threads];
    for index in order {
        let least = (0..threads).min_by(|a, b| shares[*a].0.total_cmp(&shares[*b].0)).unwrap_or(0);
        shares[least].0 += loads[index];
        shares[least].1.push(index);
    }
    shares.into_iter().map(|(_, share)| share).collect()
}

fn threads_for(loads: &[f64]) -> u32 {
    let fits = |threads: &u32| {
        spread(loads, *threads as usize)
            .iter()
            .all(|share| share.iter().map(|index| loads[*index]).sum::<f64>() <= CORE_SHARE)
    };
    let most = u32::try_from(loads.len()).unwrap_or(u32::MAX).max(1);
    (1..=most).find(fits).unwrap_or(most)
}

fn cpus_of(service: &Service, quantum: Duration) -> f64 {
    let direct =
        if service.asks_directly() { 1.0 + service.doubt_rate_hz() / service.pace.release_hz } else { 1.0 };
    let coalesced = quantum >= Duration::from_micros(250) && service.release_rate_hz() > 4_000.0;
    let us = |target: &Target| probe_us(target, coalesced) * service.release_rate_of(target);
    service.targets.iter().map(us).sum::<f64>() * direct / 1e6
}

fn probe_us(target: &Target, coalesced: bool) -> f64 {
    let mut us = if coalesced { COALESCED_US } else { KEPT_US };
    if target.fresh {
        us += CONNECT_US;
        if target.endpoint.tls {
            us += if target.tls_resume { RESUMED_US } else { HANDSHAKE_US };
        }
    }
    us
}

/// What may be in flight when every target hangs.
fn connections_of(service: &Service) -> f64 {
    let hanging: f64 = service
        .targets
        .iter()
        .map(|target| service.release_rate_of(target) * target.timeout.as_secs_f64() * 1.25)
        .sum();
    // Targets of one place share their connections.
    let places: BTreeSet<_> = service
        .targets
        .iter()
        .map(|target| (&target.endpoint.host, target.endpoint.port, target.connect_to))
        .collect();
    let kept = 8.0 * f64::from(u32::try_from(places.len()).unwrap_or(u32::MAX));
    let direct = if service.asks_directly() { DIRECT_CONNECTIONS } else { 0.0 };
    hanging + kept + direct + 4.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_services_come_apart() {
        assert_eq!(spread(&[0.1, 0.7, 0.2, 0.6], 2), [vec![1, 0], vec![3, 2]]);
        assert_eq!(threads_for(&[0.1, 0.7, 0.2, 0.6]), 2);
        assert_eq!(threads_for(&[0.1, 0.2]), 1);
        assert_eq!(threads_for(&[0.7, 0.7, 0.7]), 3);
        assert_eq!(threads_for(&[]), 1);
    }

    #[test]
    fn each_thing_that_does_not_suffice_is_named() {
        let fits = Budget {
            cpus_needed: 0.1,
            cpus_given: Some(0.25),
            threads_needed: 1,
            threads: 1,
            descriptors_needed: 200,
            descriptors_given: Some(1024),
        };
        let check = |budget: Budget| budget.check(&[], Duration::ZERO);
        assert_eq!(check(fits), Ok(()));
        assert_eq!(check(Budget { cpus_given: None, descriptors_given: None, ..fits }), Ok(()));
        let cpu = check(Budget { cpus_needed: 0.2, ..fits });
        assert!(matches!(cpu, Err(BudgetError::Cpu { .. })), "{cpu:?}");
        let threads = check(Budget { threads_needed: 3, ..fits });
        assert_eq!(threads, Err(BudgetError::Threads { needed: 3, given: 1 }));
        let descriptors = check(Budget { descriptors_needed: 2_000, ..fits });
        assert_eq!(descriptors, Err(BudgetError::Descriptors { needed: 2_000, given: 1_024 }));
    }
}
