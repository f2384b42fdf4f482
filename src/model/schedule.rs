//! When probes are due: an open loop, by multiplication, so that no lateness is ever carried on.

use crate::time::{Mono, nanos};
use std::time::Duration;

/// `due(n) = start + phase + n × interval`, whatever happened to probe n−1.
///
/// The phase spreads targets and instances over the whole interval, so that load is flat and a
/// fleet doesn't fire together; it derives from names alone, so it is the same after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    start: Mono,
    phase_ns: u64,
    interval_ns: u64,
}

impl Schedule {
    /// Probes of target `index` of `count`, `interval` apart, on the instance called `instance`.
    /// An interval of zero is taken as one nanosecond; the settings refuse it long before.
    #[must_use]
    pub fn new(start: Mono, interval: Duration, index: u32, count: u32, instance: &str) -> Self {
        let interval_ns = nanos(interval).max(1);
        let slot = u128::from(interval_ns) * u128::from(index) / u128::from(count.max(1));
        // The instance moves all targets together by less than one slot: targets stay evenly spread.
        let room = interval_ns / u64::from(count.max(1));
        let shift = if room == 0 { 0 } else { fnv1a(instance) % room };
        let phase_ns = u64::try_from(slot).unwrap_or(0).saturating_add(shift) % interval_ns;
        Self { start, phase_ns, interval_ns }
    }

    /// When probe `n` is due; stays at the end of time instead of wrapping.
    #[must_use]
    pub fn due(&self, n: u64) -> Mono {
        let offset = u128::from(self.interval_ns) * u128::from(n) + u128::from(self.phase_ns);
        let due = u128::from(self.start.0).saturating_add(offset);
        Mono(u64::try_from(due).unwrap_or(u64::MAX))
    }

    /// The number of the first probe that is due at or after `now`.
    #[must_use]
    pub fn next_after(&self, now: Mono) -> u64 {
        let first = self.start.0.saturating_add(self.phase_ns);
        now.0.saturating_sub(first).div_ceil(self.interval_ns)
    }

    /// The time between two probes.
    #[must_use]
    pub fn interval(&self) -> Duration {
        Duration::from_nanos(self.interval_ns)
    }
}

/// `due` rounded up to a multiple of `quantum`, so that probes that are due close together share one
/// wake-up. Judged latency counts from here: the wait for the quantum is the prober's own choice.
#[must_use]
pub fn planned(due: Mono, quantum: Duration) -> Mono {
    let quantum = nanos(quantum);
    if quantum == 0 { due } else { Mono(due.0.div_ceil(quantum).saturating_mul(quantum)) }
}

/// FNV-1a, 64 bits: a spread that is stable across builds and machines.
fn fnv1a(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_never_carried_on() {
        let schedule = Schedule::new(Mono(1_000), Duration::from_millis(10), 0, 1, "a");
        let first = schedule.due(0);
        assert_eq!(schedule.due(1_000_000).since(first), Duration::from_secs(10_000));
    }

    #[test]
    fn targets_are_spread_over_the_whole_interval() {
        let due: Vec<u64> = (0..4)
            .map(|i| Schedule::new(Mono(0), Duration::from_millis(100), i, 4, "x").due(0).0 / 1_000_000)
            .collect();
        assert_eq!(due.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>(), [25, 25, 25]);
    }

    #[test]
    fn instances_do_not_fire_together() {
        let phase = |name| Schedule::new(Mono(0), Duration::from_secs(1), 0, 1, name).due(0);
        assert_ne!(phase("task-1"), phase("task-2"));
        assert_eq!(phase("task-1"), phase("task-1"));
    }

    #[test]
    fn next_after_names_the_first_probe_not_yet_due() {
        let schedule = Schedule::new(Mono(0), Duration::from_nanos(10), 0, 1, "");
        let n = schedule.next_after(Mono(1_000));
        assert!(schedule.due(n) >= Mono(1_000));
        assert!(schedule.due(n - 1) < Mono(1_000));
    }

    #[test]
    fn planned_rounds_up_and_zero_means_exact() {
        assert_eq!(planned(Mono(1_001), Duration::from_micros(1)), Mono(2_000));
        assert_eq!(planned(Mono(2_000), Duration::from_micros(1)), Mono(2_000));
        assert_eq!(planned(Mono(1_001), Duration::ZERO), Mono(1_001));
    }

    #[test]
    fn the_spread_is_the_same_on_every_machine() {
        // The function's own test vectors.
        let known =
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)];
        for (text, hash) in known {
            assert_eq!(fnv1a(text), hash, "{text}");
        }
    }

    #[test]
    fn a_schedule_knows_its_interval() {
        let schedule = Schedule::new(Mono(7), Duration::from_millis(10), 0, 1, "a");
        assert_eq!(schedule.interval(), Duration::from_millis(10));
    }
}
