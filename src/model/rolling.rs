//! One URL's trailing window, small enough for ten thousand of them: exact counts and a latency distribution, O(1) amortised
//! to insert, to expire and to ask for the quantile that it is kept for.
//!
//! A sample takes two bytes ([`Word`]). Samples leave with their slot of time, of which a window has sixty.

use crate::distribution::{Distribution, bucket};
use crate::time::{Mono, Span, nanos};
use std::collections::VecDeque;
use std::time::Duration;

/// Slots of time in a window: a sample stays for at least 59 sixtieths of the span, and never for longer than the span.
pub const SLOTS: u64 = 60;
/// The most samples; more push out the oldest. What fits the counts of a [`Distribution`].
pub const CAP: usize = u16::MAX as usize;
/// The bucket of a sample that has no time, since nothing answered. Above every other.
const NO_TIME: u16 = (1 << 11) - 1;
const BAD: u16 = 1 << 11;
const SLOW: u16 = 1 << 12;
/// No sample, but the slots from those before it to those after it.
const GAP: u16 = 1 << 15;

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

/// What the window keeps of one sample: the bucket of its time ([`bucket`]) and what it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Word(u16);

impl From<Event> for Word {
    fn from(event: Event) -> Self {
        let index = event.response.map_or(NO_TIME, bucket);
        Self(index + u16::from(event.bad) * BAD + u16::from(event.slow) * SLOW)
    }
}

impl Word {
    const fn is_bad(self) -> bool {
        self.0 & BAD != 0
    }

    const fn is_slow(self) -> bool {
        self.0 & SLOW != 0
    }

    const fn is_gap(self) -> bool {
        self.0 & GAP != 0
    }

    /// The bucket of its time, if it is a sample that has one.
    fn time(self) -> Option<u16> {
        let index = self.0 & NO_TIME;
        (index != NO_TIME && !self.is_gap()).then_some(index)
    }

    /// The samples after it came `slots` later than those before it, less than [`SLOTS`].
    fn gap(slots: u64) -> Self {
        Self(GAP + u16::try_from(slots).unwrap_or(0))
    }

    /// How many slots it skips; `None` if it is a sample.
    fn skips(self) -> Option<u64> {
        self.is_gap().then_some(u64::from(self.0 & !GAP))
    }
}

/// The slots of time that windows of one span have, numbered from the origin of the clock.
#[derive(Clone, Copy, Debug)]
pub struct Slots {
    len_ns: u64,
    /// The slot that was asked for last, and when it began: the next instant is most often in it, too, and a division costs more than a
    /// comparison.
    last: u64,
    began: u64,
}

impl Slots {
    /// Of a window over `span`. A slot is at least 1 ns.
    #[must_use]
    pub fn of(span: Duration) -> Self {
        Self { len_ns: nanos(span).div_ceil(SLOTS).max(1), last: 0, began: 0 }
    }

    /// The number of the slot that `now` is in.
    pub fn number(&mut self, now: Mono) -> u64 {
        if now.0 < self.began || now.0 - self.began >= self.len_ns {
            self.last = now.0 / self.len_ns;
            self.began = self.last * self.len_ns;
        }
        self.last
    }
}

/// Some words, and what they were.
#[derive(Default)]
struct Sums {
    samples: u32,
    bad: u32,
    slow: u32,
}

impl Sums {
    fn of(words: &[Word]) -> Self {
        let mut sums = Self::default();
        for word in words.iter().filter(|word| !word.is_gap()) {
            sums.samples += 1;
            sums.bad += u32::from(word.is_bad());
            sums.slow += u32::from(word.is_slow());
        }
        sums
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Rolling {
    slots: Slots,
    /// The number of the newest slot.
    newest: u64,
    /// The slots of the first and of the last of the samples, if there is any.
    first: u64,
    last: u64,
    /// The samples, oldest first, and the gaps between their slots.
    ring: VecDeque<Word>,
    times: Distribution,
    count: u32,
    bad: u32,
    slow: u32,
}

impl Rolling {
    /// An empty window over the trailing `span`, kept for the quantile of `quantile` ten-thousandths, in 1..=10,000: 9,500 is
    /// P95.
    #[must_use]
    pub fn new(span: Duration, quantile: u32) -> Self {
        Self {
            slots: Slots::of(span),
            newest: 0,
            first: 0,
            last: 0,
            ring: VecDeque::new(),
            times: Distribution::new(quantile),
            count: 0,
            bad: 0,
            slow: 0,
        }
    }

    /// Takes a sample that was done at `now`. Instants that run backwards are taken as the newest so far.
    pub fn insert(&mut self, now: Mono, event: Event) {
        let slot = self.slots.number(now);
        self.insert_all(slot, &[event.into()]);
    }

    /// Takes samples that were done in `slot` ([`Slots`]), fewer than [`CAP`], in their order.
    pub fn insert_all(&mut self, slot: u64, words: &[Word]) {
        self.advance(slot);
        if words.is_empty() {
            return;
        }
        while self.count as usize + words.len() > CAP {
            self.drop_oldest();
        }
        self.make_room(words.len() + 1);
        if self.count == 0 {
            self.first = self.newest;
        } else if self.last < self.newest {
            self.ring.push_back(Word::gap(self.newest - self.last));
        }
        self.last = self.newest;
        self.ring.extend(words);
        let sums = Sums::of(words);
        self.count += sums.samples;
        self.bad += sums.bad;
        self.slow += sums.slow;
        // In a loop of its own: the lines of several counts are on their way to the cache at once.
        self.times.add_all(words.iter().filter_map(|word| word.time()));
    }

    /// Reads where its oldest sample is, so that it is in the cache when it goes.
    pub(crate) fn touch_oldest(&self) -> u16 {
        self.ring.front().map_or(0, |word| word.0)
    }

    /// Reads the counts that `words` will change when they enter, and those of as many that may have to go.
    pub(crate) fn touch_counts(&self, words: &[Word]) -> u8 {
        let (front, _) = self.ring.as_slices();
        let oldest = &front[..words.len().min(front.len())];
        let mut all = 0;
        for words in [oldest, words] {
            for word in words {
                all |= self.times.touch(word.0 & NO_TIME);
            }
        }
        all
    }

    /// Lets go of every sample whose slot is over for longer than the span, less a slot.
    pub fn expire(&mut self, now: Mono) {
        let slot = self.slots.number(now);
        self.advance(slot);
    }

    /// Forgets every sample.
    pub fn clear(&mut self) {
        self.ring.clear();
        self.times.clear();
        (self.count, self.bad, self.slow) = (0, 0, 0);
    }

    /// How many samples.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
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
    pub fn quantile(&mut self) -> Option<Span> {
        self.times.quantile()
    }

    /// What it takes of memory, bytes, itself included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + size_of::<Word>() * self.ring.capacity() + self.times.bytes()
    }

    /// The newest slot is `slot`, if that is newer.
    fn advance(&mut self, slot: u64) {
        if slot <= self.newest {
            return;
        }
        if slot - self.newest >= SLOTS {
            self.clear();
        }
        self.newest = slot;
        let (front, back) = self.ring.as_slices();
        let mut gone = 0;
        for word in front.iter().chain(back) {
            if self.newest - self.first < SLOTS {
                break;
            }
            self.first += word.skips().unwrap_or(0);
            gone += 1;
        }
        self.drop(gone);
    }

    /// A window doesn't change much once it is full: an eighth more is enough, where doubling wastes what the cache has no room for.
    fn make_room(&mut self, more: usize) {
        if self.ring.capacity() - self.ring.len() < more {
            self.ring.reserve_exact(more.max(self.ring.len() / 8));
        }
    }

    /// The oldest sample, or the gap behind those of the oldest slot.
    fn drop_oldest(&mut self) {
        self.first += self.ring.front().and_then(|word| word.skips()).unwrap_or(0);
        self.drop(1);
    }

    /// So many of the oldest samples and gaps.
    fn drop(&mut self, gone: usize) {
        let (front, back) = self.ring.as_slices();
        let in_front = gone.min(front.len());
        for words in [&front[..in_front], &back[..gone - in_front]] {
            let sums = Sums::of(words);
            self.count -= sums.samples;
            self.bad -= sums.bad;
            self.slow -= sums.slow;
            self.times.remove_all(words.iter().filter_map(|word| word.time()));
        }
        self.ring.drain(..gone);
    }
}

#[cfg(test)]
mod tests;
