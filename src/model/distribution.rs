//! A distribution of times that samples enter and leave, and one quantile of it: O(1) amortised each.
//!
//! A histogram is a vector of counts, and counts can be subtracted: nothing is merged or scanned to keep it right. With 64 buckets
//! an octave a quantile is off by at most 0.8 %. Only the octaves that were seen are kept. A cursor stands where the quantile
//! is; each change moves it by what changed.

use crate::time::Span;

/// Buckets are added by so many, an octave.
const OCTAVE: u16 = 64;

/// How many buckets a distribution has: 64 exact ones of 100 ns, then 64 an octave up to 429 s.
pub const BUCKETS: usize = 64 + 26 * 64;

/// The bucket that `span` falls into, below [`BUCKETS`].
#[must_use]
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
    /// The bucket of `counts[0]`, a multiple of [`OCTAVE`].
    base: u16,
    counts: Vec<u16>,
    total: u32,
    /// In ten-thousandths.
    quantile: u32,
    /// The bucket that the quantile falls into, and how many samples are in those before it.
    cursor: u16,
    below: u32,
}

impl Distribution {
    /// Empty, and kept for the quantile of `quantile` ten-thousandths, in 1..=10,000: 9,500 is P95.
    #[must_use]
    pub fn new(quantile: u32) -> Self {
        let quantile = quantile.clamp(1, 10_000);
        Self { base: 0, counts: Vec::new(), total: 0, quantile, cursor: 0, below: 0 }
    }

    /// A sample enters `bucket` ([`bucket`]).
    pub fn add(&mut self, bucket: u16) {
        self.make_room(bucket);
        self.counts[usize::from(bucket - self.base)] += 1;
        if self.total == 0 {
            (self.cursor, self.below) = (bucket, 0);
        } else if bucket < self.cursor {
            self.below += 1;
        }
        self.total += 1;
        self.follow();
    }

    /// A sample that entered `bucket` leaves it.
    pub fn remove(&mut self, bucket: u16) {
        self.counts[usize::from(bucket - self.base)] -= 1;
        self.total -= 1;
        if bucket < self.cursor {
            self.below -= 1;
        }
        self.follow();
    }

    /// Every sample leaves.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        (self.total, self.cursor, self.below) = (0, self.base, 0);
    }

    /// The quantile that it is kept for, by nearest rank: at most 0.8 % from the exact one. `None` when it is empty.
    #[must_use]
    pub const fn quantile(&self) -> Option<Span> {
        if self.total == 0 { None } else { Some(bucket_middle(self.cursor)) }
    }

    /// What its counts take of memory, bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        size_of::<u16>() * self.counts.capacity()
    }

    /// The histogram spans `index`.
    fn make_room(&mut self, index: u16) {
        let octave = index / OCTAVE * OCTAVE;
        if self.counts.is_empty() {
            self.base = octave;
        }
        if octave < self.base {
            let more = usize::from(self.base - octave);
            // Without it the vector doubles.
            self.counts.reserve_exact(more);
            self.counts.splice(..0, std::iter::repeat_n(0, more));
            self.base = octave;
        }
        let needed = usize::from(octave + OCTAVE - self.base);
        if let Some(more) = needed.checked_sub(self.counts.len()) {
            self.counts.reserve_exact(more);
            self.counts.resize(needed, 0);
        }
    }

    /// Moves the cursor to where the quantile is now.
    fn follow(&mut self) {
        if self.total == 0 {
            return;
        }
        let rank = (u64::from(self.total) * u64::from(self.quantile)).div_ceil(10_000);
        let at = |cursor: u16| usize::from(cursor - self.base);
        while u64::from(self.below) >= rank {
            self.cursor -= 1;
            self.below -= u32::from(self.counts[at(self.cursor)]);
        }
        while u64::from(self.below) + u64::from(self.counts[at(self.cursor)]) < rank {
            self.below += u32::from(self.counts[at(self.cursor)]);
            self.cursor += 1;
        }
    }
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
    fn only_the_octaves_that_were_seen_are_kept_at_two_bytes_a_bucket() {
        let mut distribution = Distribution::new(5_000);
        assert_eq!(distribution.bytes(), 0);
        for (sample, octaves) in [(1_000, 1), (1_001, 1), (1_050, 2), (900, 3)] {
            distribution.add(sample);
            assert_eq!(distribution.bytes(), octaves * 128, "{sample}");
        }
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
