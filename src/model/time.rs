//! Instants and spans as plain integers, so that the core never needs a clock.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Nanoseconds of `CLOCK_MONOTONIC`, as the shell read them. Zero is the origin of that clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mono(pub u64);

impl Mono {
    /// The instant `span` later; stays at the end of time instead of wrapping.
    #[must_use]
    pub const fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }

    /// The instant `span` earlier; stays at zero instead of wrapping.
    #[must_use]
    pub const fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(span)))
    }

    /// How long after `earlier` this is; zero when it isn't.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// `span` in nanoseconds, capped at what 64 bits hold (584 years).
#[must_use]
pub const fn nanos(span: Duration) -> u64 {
    span.as_secs().saturating_mul(1_000_000_000).saturating_add(span.subsec_nanos() as u64)
}

/// A short time in units of 100 ns: up to 429 s in four bytes. Longer ones saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(pub u32);

impl Span {
    /// Rounds `span` down to 100 ns.
    #[must_use]
    pub fn of(span: Duration) -> Self {
        Self::of_nanos(nanos(span))
    }

    /// Rounds so many nanoseconds down to 100 ns.
    #[must_use]
    pub fn of_nanos(nanos: u64) -> Self {
        Self(u32::try_from(nanos / 100).unwrap_or(u32::MAX))
    }

    /// As a [`Duration`].
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_nanos(self.0 as u64 * 100)
    }

    /// In milliseconds, with the fraction.
    #[must_use]
    pub fn millis(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} ms", self.millis())
    }
}

/// Milliseconds since 1970 UTC. Only ever written into records; nothing is decided by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Wall(pub i64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_stay_within_their_time() {
        let (early, late) = (Mono(5), Mono(1_000_000_005));
        assert_eq!((early.after(Duration::from_secs(1)), late.before(Duration::from_secs(1))), (late, early));
        assert_eq!((late.since(early), early.since(late)), (Duration::from_secs(1), Duration::ZERO));
        assert_eq!((late.after(Duration::MAX), early.before(Duration::MAX)), (Mono(u64::MAX), Mono(0)));
        assert_eq!(nanos(Duration::from_nanos(7)), 7);
        assert_eq!(nanos(Duration::from_nanos(u64::MAX - 1)), u64::MAX - 1);
        assert_eq!(nanos(Duration::from_nanos(u64::MAX) + Duration::from_nanos(1)), u64::MAX);
    }

    #[test]
    fn a_span_is_whole_hundreds_of_nanoseconds_and_saturates() {
        assert_eq!(Span::of(Duration::from_nanos(1_299)), Span(12));
        assert_eq!(Span(12).duration(), Duration::from_nanos(1_200));
        assert_eq!(Span::of(Duration::from_hours(1)), Span(u32::MAX));
        assert_eq!(Span(25_000).to_string(), "2.5 ms");
    }
}
