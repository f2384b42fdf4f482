//! A distribution of times that samples enter and leave, and one quantile of it: O(1) amortised each.
//!
//! A histogram is a vector of counts, and counts can be subtracted: nothing is merged or scanned to keep it right. With 64 buckets
//! an octave a quantile is off by at most 0.8 %. Only the octaves that were seen are kept, each in 64 bytes: one line of the cache.
//! A cursor stands where the quantile was when it was read last, and walks from there when it is read again.

use crate::time::Span;

/// Buckets are added by so many, an octave.
const OCTAVE: u16 = 64;

/// How many buckets a distribution has: 64 exact ones of 100 ns, then 64 an octave up to 429 s.
pub const BUCKETS: usize = 64 + 26 * 64;

/// The bucket that `span` falls into, below [`BUCKETS`].
#[must_use]
#[inline]
pub const fn bucket(span: Span) -> u16 {
    // The buckets below 64 are as wide as those of the first octave, so they are part of it.
    let octave = (span.0 | 64).ilog2() - 6;
    let index = octave * 64 + (span.0 >> octave);
    #[expect(clippy::cast_possible_truncation, reason = "26 octaves of 64 above the first 64 are 1,728")]
    let index = index as u16;
    index
}

/// The middle of a bucket: at most 0.8 % from anything in it.
#[must_use]
pub const fn bucket_middle(bucket: u16) -> Span {
    let index = bucket as u32;
    let octave = (index / 64).saturating_sub(1);
    let low = (index - octave * 64) << octave;
    Span(low + (1 << octave) / 2)
}

/// See the module. At most 65,535 samples at once.
#[derive(Clone, Debug)]
pub struct Distribution {
    /// The bucket of the first count, a multiple of [`OCTAVE`].
    base: u16,
    /// The low byte of each count.
    low: Vec<u8>,
    /// The high byte of each, once there was a count above 255; none before.
    high: Vec<u8>,
    total: u32,
    /// In ten-thousandths.
    quantile: u32,
    /// The bucket that the quantile fell into when it was read last, and how many samples are in those before it.
    cursor: u16,
    below: u32,
}

impl Distribution {
    /// Empty, and kept for the quantile of `quantile` ten-thousandths, in 1..=10,000: 9,500 is P95.
    #[must_use]
    pub fn new(quantile: u32) -> Self {
        let quantile = quantile.clamp(1, 10_000);
        Self { base: 0, low: Vec::new(), high: Vec::new(), total: 0, quantile, cursor: 0, below: 0 }
    }

    /// A sample enters `bucket` ([`bucket`]).
    #[inline]
    pub fn add(&mut self, bucket: u16) {
        self.add_all(std::iter::once(bucket));
    }

    /// Samples enter.
    #[inline]
    pub fn add_all(&mut self, buckets: impl Iterator<Item = u16>) {
        let (mut count, mut below) = (0, 0);
        for bucket in buckets {
            match self.low.get_mut(usize::from(bucket.wrapping_sub(self.base))) {
                Some(low) if *low < u8::MAX => *low += 1,
                Some(_) | None => self.add_seldom(bucket),
            }
            count += 1;
            below += u32::from(bucket < self.cursor);
        }
        self.total += count;
        self.below += below;
    }

    /// A sample that entered `bucket` leaves it.
    #[inline]
    pub fn remove(&mut self, bucket: u16) {
        self.remove_all(std::iter::once(bucket));
    }

    /// Samples that entered leave.
    #[inline]
    pub fn remove_all(&mut self, buckets: impl Iterator<Item = u16>) {
        let (mut count, mut below) = (0, 0);
        for bucket in buckets {
            match self.low.get_mut(usize::from(bucket.wrapping_sub(self.base))) {
                Some(low) if *low > 0 => *low -= 1,
                Some(_) | None => self.borrow(bucket),
            }
            count += 1;
            below += u32::from(bucket < self.cursor);
        }
        self.total -= count;
        self.below -= below;
    }

    /// Reads the count of `bucket`, so that it is in the cache when it changes.
    #[inline]
    pub(crate) fn touch(&self, bucket: u16) -> u8 {
        let place = usize::from(bucket.wrapping_sub(self.base));
        self.low.get(place).copied().unwrap_or(0)
    }

    /// Every sample leaves.
    pub fn clear(&mut self) {
        self.low.fill(0);
        self.high.clear();
        (self.total, self.cursor, self.below) = (0, self.base, 0);
    }

    /// The quantile that it is kept for, by nearest rank: at most 0.8 % from the exact one. `None` when it is empty.
    ///
    /// It costs a step for each bucket between here and where it was when it was read last.
    pub fn quantile(&mut self) -> Option<Span> {
        if self.total == 0 {
            return None;
        }
        let rank = (self.total * self.quantile).div_ceil(10_000);
        while self.below >= rank {
            self.cursor -= 1;
            self.below -= self.count(self.cursor);
        }
        loop {
            let up_to = self.below + self.count(self.cursor);
            if up_to >= rank {
                return Some(bucket_middle(self.cursor));
            }
            self.below = up_to;
            self.cursor += 1;
        }
    }

    /// What its counts take of memory, bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.low.capacity() + self.high.capacity()
    }

    fn count(&self, bucket: u16) -> u32 {
        let place = usize::from(bucket - self.base);
        let high = self.high.get(place).map_or(0, |high| u32::from(*high));
        high * 256 + u32::from(self.low[place])
    }

    /// A sample enters a bucket that isn't there yet, or whose low byte is full.
    #[cold]
    fn add_seldom(&mut self, bucket: u16) {
        if usize::from(bucket.wrapping_sub(self.base)) >= self.low.len() {
            self.make_room(bucket);
        }
        let place = usize::from(bucket - self.base);
        self.low[place] = self.low[place].wrapping_add(1);
        if self.low[place] == 0 {
            self.high.resize(self.low.len(), 0);
            self.high[place] += 1;
        }
    }

    /// A sample leaves a bucket whose low byte is empty.
    #[cold]
    fn borrow(&mut self, bucket: u16) {
        let place = usize::from(bucket - self.base);
        self.low[place] = u8::MAX;
        self.high[place] -= 1;
    }

    /// The histogram spans `index`.
    #[cold]
    fn make_room(&mut self, index: u16) {
        let octave = index / OCTAVE * OCTAVE;
        if self.low.is_empty() {
            (self.base, self.cursor) = (octave, octave);
        }
        let before = usize::from(self.base.saturating_sub(octave));
        self.base = self.base.min(octave);
        let len = (self.low.len() + before).max(usize::from(octave + OCTAVE - self.base));
        self.low = widened(&self.low, before, len);
        if !self.high.is_empty() {
            self.high = widened(&self.high, before, len);
        }
    }
}

/// `counts` with `before` empty ones in front of them, and so many behind them that there are `len`.
fn widened(counts: &[u8], before: usize, len: usize) -> Vec<u8> {
    let mut wide = Vec::with_capacity(len);
    wide.resize(before, 0);
    wide.extend_from_slice(counts);
    wide.resize(len, 0);
    wide
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{RngCore, SeedableRng};

    #[test]
    fn every_bucket_is_within_eight_thousandths_of_what_falls_into_it() {
        let mut value = 64_u32;
        while value < u32::MAX / 2 {
            let middle = bucket_middle(bucket(Span(value))).0;
            assert!(f64::from(middle.abs_diff(value)) / f64::from(value) <= 0.008, "{value} {middle}");
            value += value / 97 + 1;
        }
    }

    #[test]
    fn buckets_are_numbered_without_a_gap_and_each_holds_its_own_middle() {
        for value in 0..128 {
            assert_eq!(
                (u32::from(bucket(Span(value))), bucket_middle(bucket(Span(value)))),
                (value, Span(value))
            );
        }
        for (value, index) in
            [(128, 128), (129, 128), (130, 129), (255, 191), (256, 192), (259, 192), (260, 193)]
        {
            assert_eq!(bucket(Span(value)), index, "{value}");
        }
        let last = u16::try_from(BUCKETS - 1).unwrap();
        assert_eq!(bucket(Span(u32::MAX)), last);
        for index in 0..=last {
            assert_eq!(bucket(bucket_middle(index)), index);
        }
        assert_eq!(bucket_middle(192), Span(258), "of 256 to 259");
    }

    #[test]
    fn only_the_octaves_that_were_seen_are_kept_at_a_byte_a_bucket_and_two_where_many_fall_into_one() {
        let mut distribution = Distribution::new(5_000);
        assert_eq!(distribution.bytes(), 0);
        for (sample, octaves) in [(1_000, 1), (1_001, 1), (1_050, 2), (900, 3)] {
            distribution.add(sample);
            assert_eq!(distribution.bytes(), octaves * 64, "{sample}");
        }
        (0..254).for_each(|_| distribution.add(1_000));
        assert_eq!(distribution.bytes(), 3 * 64);
        distribution.add(1_000);
        assert_eq!(distribution.bytes(), 2 * 3 * 64);
        distribution.add(1_100);
        assert_eq!(distribution.bytes(), 2 * 4 * 64);
    }

    /// As many as there may be, into buckets that are added before, between and behind the full ones.
    #[test]
    fn a_bucket_holds_as_many_as_there_are() {
        let mut distribution = Distribution::new(5_000);
        let mut counts = [(700, 0_u32), (830, 0), (640, 0), (1_000, 0)];
        let median = |counts: &[(u16, u32)]| {
            let mut all: Vec<(u16, u32)> = counts.to_vec();
            all.sort_unstable();
            let total: u32 = all.iter().map(|(_, count)| count).sum();
            let up_to = |index: usize| all[..=index].iter().map(|(_, count)| count).sum::<u32>();
            let middle = (0..all.len()).find(|index| up_to(*index) * 2 >= total && total > 0);
            middle.map(|index| bucket_middle(all[index].0))
        };
        for (place, count) in [(0, 300), (1, 257), (2, 1_000), (3, 63_978)] {
            for _ in 0..count {
                distribution.add(counts[place].0);
                counts[place].1 += 1;
                assert_eq!(distribution.quantile(), median(&counts), "{counts:?}");
            }
        }
        for place in [1, 3, 0, 2] {
            while counts[place].1 > 0 {
                distribution.remove(counts[place].0);
                counts[place].1 -= 1;
                assert_eq!(distribution.quantile(), median(&counts), "{counts:?}");
            }
        }
        (0..300).for_each(|_| distribution.add(700));
        distribution.clear();
        distribution.add(640);
        (0..2).for_each(|_| distribution.add(700));
        assert_eq!(distribution.quantile(), Some(bucket_middle(700)), "nothing is left of the 300");
        distribution.remove(700);
        distribution.remove(700);
        assert_eq!(distribution.quantile(), Some(bucket_middle(640)));
    }

    /// Samples come and go in no order, near each other and far apart.
    #[test]
    fn whatever_enters_and_leaves_the_quantile_is_that_of_the_samples_sorted() {
        for (seed, quantile) in (0..).zip([1, 100, 5_000, 9_500, 9_999, 10_000]) {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut lot = |below: usize| usize::try_from(random.next_u32()).unwrap() % below;
            let (mut distribution, mut samples) = (Distribution::new(quantile), Vec::new());
            for step in 0..1_000 {
                if samples.len() > lot(80) {
                    distribution.remove(samples.swap_remove(lot(samples.len())));
                } else {
                    let near = if lot(3) == 0 { BUCKETS } else { 300 };
                    samples.push(u16::try_from(lot(near)).unwrap());
                    distribution.add(samples[samples.len() - 1]);
                }
                if lot(200) == 0 {
                    distribution.clear();
                    samples.clear();
                }
                // It is right whether it is read with each change or after many.
                if seed % 2 == 1 && lot(10) > 0 {
                    continue;
                }
                let mut sorted = samples.clone();
                sorted.sort_unstable();
                // The first sample of which at least this share is no greater.
                let share = |index: usize| (index + 1) * 10_000 >= quantile as usize * sorted.len();
                let exact = (0..sorted.len()).find(|index| share(*index)).map(|index| sorted[index]);
                assert_eq!(distribution.quantile(), exact.map(bucket_middle), "{quantile}, step {step}");
            }
        }
    }

    #[test]
    fn quantiles_are_of_the_nearest_rank() {
        for (quantile, exact) in [(9_500, 95.0), (10_000, 100.0), (100, 1.0), (1, 1.0)] {
            let mut distribution = Distribution::new(quantile);
            for ms in 1..=100 {
                distribution.add(bucket(Span(ms * 10_000)));
            }
            let found = distribution.quantile().unwrap().millis();
            assert!((found / exact - 1.0).abs() < 0.008, "{quantile}: {found}");
        }
    }
}
