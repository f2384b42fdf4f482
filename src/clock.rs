//! The only reader of time.

use crate::model::time::{Mono, Wall};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// `CLOCK_MONOTONIC`: what every decision and every duration is measured by.
#[must_use]
pub fn now() -> Mono {
    Mono(nanos(clock_gettime(ClockId::Monotonic)))
}

/// The wall clock, for records alone.
#[must_use]
pub fn wall() -> Wall {
    Wall(i64::try_from(nanos(clock_gettime(ClockId::Realtime)) / 1_000_000).unwrap_or(i64::MAX))
}

/// The wall clock in nanoseconds since 1970 UTC, to set the beat of schedules by.
#[must_use]
pub fn wall_nanos() -> u64 {
    nanos(clock_gettime(ClockId::Realtime))
}

fn nanos(at: Timespec) -> u64 {
    let seconds = u64::try_from(at.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(at.tv_nsec).unwrap_or(0))
}
