//! One URL's trailing window, small enough for ten thousand of them: exact counts and a latency distribution, O(1) amortised
//! to insert, to expire and to ask for the quantile that it is kept for.
//!
//! A sample takes two bytes: the bucket of its time ([`bucket`]) and what it was. Samples leave with their slot of time, of which a
//! window has sixty.

use crate::distribution::{Distribution, bucket};
use crate::time::{Mono, Span, nanos};
use std::collections::VecDeque;
use std::time::Duration;

/// Slots of time in a window: a sample stays for at least 59 sixtieths of the span, and never for longer than the span.
pub const SLOTS: u64 = 60;
/// The most samples; more push out the oldest. What fits a count of two bytes.
pub const CAP: usize = u16::MAX as usize;
/// The bucket of a sample that has no time, since nothing answered. Above every other.
const NO_TIME: u16 = (1 << 11) - 1;
const BAD: u16 = 1 << 11;
const SLOW: u16 = 1 << 12;

/// What the window is told of one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its response time, if an answer came.
    pub response: Option<Span>,
    /// It broke a promise of availability.
    pub bad: bool,
    /// It was slower than the latency objective; decided on the exact time, so the share of slow ones is exact.
    pub slow: bool,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Rolling {
    slot_ns: u64,
    /// The number of the newest slot, counted from the origin of the clock.
    newest: u64,
    /// How many samples each of the last slots has, oldest first; the last is `newest`.
    slots: VecDeque<u16>,
    ring: VecDeque<u16>,
    times: Distribution,
    bad: u32,
    slow: u32,
}

impl Rolling {
    /// An empty window over the trailing `span` (a slot is at least 1 ns), kept for the quantile of `quantile`
    /// ten-thousandths, in 1..=10,000: 9,500 is P95.
    #[must_use]
    pub fn new(span: Duration, quantile: u32) -> Self {
        Self {
            slot_ns: nanos(span).div_ceil(SLOTS).max(1),
            newest: 0,
            slots: VecDeque::new(),
            ring: VecDeque::new(),
            times: Distribution::new(quantile),
            bad: 0,
            slow: 0,
        }
    }

    /// Takes a sample that was done at `now`. Instants that run backwards are taken as the newest so far.
    pub fn insert(&mut self, now: Mono, event: Event) {
        self.expire(now);
        if self.ring.len() == CAP {
            self.drop_oldest();
        }
        let index = event.response.map_or(NO_TIME, bucket);
        self.ring.push_back(index + u16::from(event.bad) * BAD + u16::from(event.slow) * SLOW);
        match self.slots.back_mut() {
            Some(count) => *count += 1,
            None => self.slots.push_back(1),
        }
        self.bad += u32::from(event.bad);
        self.slow += u32::from(event.slow);
        if index != NO_TIME {
            self.times.add(index);
        }
    }

    /// Lets go of every sample whose slot is over for longer than the span, less a slot.
    pub fn expire(&mut self, now: Mono) {
        let slot = now.0 / self.slot_ns;
        if slot <= self.newest {
            return;
        }
        // Before the first sample, and after a silence of more than the span, there is nothing to slide.
        if self.slots.is_empty() || slot - self.newest >= SLOTS {
            self.clear();
        } else {
            for _ in self.newest..slot {
                self.slots.push_back(0);
                if self.slots.len() as u64 > SLOTS {
                    self.drop_slot();
                }
            }
        }
        self.newest = slot;
    }

    /// Forgets every sample.
    pub fn clear(&mut self) {
        self.ring.clear();
        self.slots.clear();
        self.times.clear();
        (self.bad, self.slow) = (0, 0);
    }

    /// How many samples.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.ring.len()).unwrap_or(u32::MAX)
    }

    /// How many of them broke a promise of availability.
    #[must_use]
    pub const fn bad(&self) -> u32 {
        self.bad
    }

    /// How many of them were slower than the latency objective: exact.
    #[must_use]
    pub const fn slow(&self) -> u32 {
        self.slow
    }

    /// The quantile that the window is kept for, by nearest rank: at most 0.8 % from the exact one. `None` without an answer.
    #[must_use]
    pub const fn quantile(&self) -> Option<Span> {
        self.times.quantile()
    }

    /// What it takes of memory, bytes, itself included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let counted = self.slots.capacity() + self.ring.capacity();
        size_of::<Self>() + size_of::<u16>() * counted + self.times.bytes()
    }

    fn drop_slot(&mut self) {
        for _ in 0..self.slots.pop_front().unwrap_or(0) {
            self.drop_sample();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.slots.iter_mut().find(|count| **count > 0) {
            *oldest -= 1;
            self.drop_sample();
        }
    }

    /// The oldest sample; its slot has counted it off.
    fn drop_sample(&mut self) {
        let Some(sample) = self.ring.pop_front() else { return };
        self.bad -= u32::from(sample & BAD != 0);
        self.slow -= u32::from(sample & SLOW != 0);
        let index = sample & NO_TIME;
        if index != NO_TIME {
            self.times.remove(index);
        }
    }
}

#[cfg(test)]
mod tests;
