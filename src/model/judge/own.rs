//! Whose the samples of the last second were: a prober that is starved, or spoils its own probes, knows nothing.

use crate::time::Mono;
use std::collections::VecDeque;

/// Samples within so long of each other are counted together: a second has at most a thousand such counts, at any pace.
const TOGETHER_NS: u64 = 1_000_000;

/// Whose a sample was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    /// The target's.
    No,
    /// Ours: sent or read too late, or never sent.
    Late,
    /// Ours: begun, and spoiled.
    Failed,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Owns {
    /// Oldest first.
    kept: VecDeque<Counts>,
    /// The newest, which may grow until then.
    last: Counts,
    until: u64,
    sum: Counts,
}

/// Samples that were known within [`TOGETHER_NS`].
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// When the first of them was known.
    since: Mono,
    all: u32,
    late: u32,
    failed: u32,
}

impl Owns {
    #[inline]
    pub(super) fn push(&mut self, now: Mono, own: Own) {
        if now.0 >= self.until {
            self.begin(now);
        }
        self.last.all += 1;
        self.sum.all += 1;
        if own != Own::No {
            self.push_void(own);
        }
    }

    #[cold]
    fn begin(&mut self, now: Mono) {
        self.kept.push_back(self.last);
        self.last = Counts { since: now, ..Counts::default() };
        self.until = now.0 + TOGETHER_NS;
    }

    #[cold]
    fn push_void(&mut self, own: Own) {
        for counts in [&mut self.last, &mut self.sum] {
            counts.late += u32::from(own == Own::Late);
            counts.failed += u32::from(own == Own::Failed);
        }
    }

    /// Lets go of what was known before `from`, with what came within [`TOGETHER_NS`] of it.
    pub(super) fn expire(&mut self, from: Mono) {
        while let Some(gone) = self.kept.pop_front_if(|counts| counts.since < from) {
            self.drop(gone);
        }
        if self.last.since < from {
            self.drop(self.last);
            (self.last, self.until) = (Counts::default(), 0);
        }
    }

    fn drop(&mut self, gone: Counts) {
        self.sum.all -= gone.all;
        self.sum.late -= gone.late;
        self.sum.failed -= gone.failed;
    }

    /// All of them.
    pub(super) const fn all(&self) -> u32 {
        self.sum.all
    }

    /// Those that are void by our doing.
    pub(super) const fn void(&self) -> u32 {
        self.sum.late + self.sum.failed
    }

    /// Those that were too late by our doing.
    pub(super) const fn late(&self) -> u32 {
        self.sum.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn the_samples_of_the_last_second_are_counted_those_of_a_millisecond_together() {
        let mut owns = Owns::default();
        let seen = |owns: &Owns| (owns.all(), owns.void(), owns.late());
        for (at, own) in [(1, Own::Late), (2, Own::No), (3, Own::Failed), (3, Own::Failed), (4, Own::Late)] {
            owns.push(Mono(at * MS), own);
        }
        assert_eq!(seen(&owns), (5, 4, 2));
        owns.expire(Mono(2 * MS));
        assert_eq!(seen(&owns), (4, 3, 1));
        // What comes less than a millisecond later goes with what came before it, and a clock that runs backwards changes nothing.
        owns.push(Mono(5 * MS - 1), Own::Late);
        owns.push(Mono(3 * MS), Own::No);
        owns.push(Mono(5 * MS), Own::Failed);
        assert_eq!(seen(&owns), (7, 5, 2));
        owns.expire(Mono(4 * MS));
        assert_eq!(seen(&owns), (4, 3, 2));
        owns.expire(Mono(4 * MS + 1));
        assert_eq!(seen(&owns), (1, 1, 0));
        owns.expire(Mono(5 * MS + 1));
        assert_eq!(seen(&owns), (0, 0, 0));
    }

    #[test]
    fn a_second_takes_no_more_room_at_a_higher_pace() {
        let mut owns = Owns::default();
        (0..100_000).for_each(|n| owns.push(Mono(n * 10_000), Own::No));
        assert_eq!((owns.all(), owns.kept.len()), (100_000, 1_000));
    }
}
