//! The only reader of time.

use rustix::time::{ClockId, clock_gettime};
use serin_model::time::{Mono, Wall};

/// Now, on `CLOCK_MONOTONIC`: the same clock in every process of this machine.
#[must_use]
pub fn now() -> Mono {
    let at = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(at.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(at.tv_nsec).unwrap_or(0);
    Mono(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// Now, on the wall clock. For records only.
#[must_use]
pub fn wall() -> Wall {
    let at = clock_gettime(ClockId::Realtime);
    Wall(at.tv_sec.saturating_mul(1000).saturating_add(at.tv_nsec / 1_000_000))
}
