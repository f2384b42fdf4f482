//! Whose the samples of the last second were: a prober that is starved, or spoils its own probes, knows nothing.

use crate::time::Mono;
use std::collections::VecDeque;

/// The most marks that are kept.
const CAP: usize = 4_096;

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
    marks: VecDeque<Mark>,
    late: u32,
    failed: u32,
}

/// Whose a sample was, in the lowest two bits, and above them when it was known: the store of each answer is half as long.
#[derive(Clone, Copy, Debug)]
struct Mark(u64);

impl Mark {
    const fn new(at: Mono, own: Own) -> Self {
        Self(at.0 << 2 | own as u64)
    }

    const fn at(self) -> u64 {
        self.0 >> 2
    }

    const fn is(self, own: Own) -> bool {
        self.0 & 3 == own as u64
    }
}

impl Owns {
    pub(super) fn push(&mut self, now: Mono, own: Own) {
        if self.marks.len() == CAP {
            self.pop();
        }
        self.marks.push_back(Mark::new(now, own));
        match own {
            Own::No => {}
            Own::Late => self.late += 1,
            Own::Failed => self.failed += 1,
        }
    }

    /// Lets go of what was known before `from`.
    pub(super) fn expire(&mut self, from: Mono) {
        while self.marks.front().is_some_and(|mark| mark.at() < from.0) {
            self.pop();
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> u32 {
        u32::try_from(self.marks.len()).unwrap_or(u32::MAX)
    }

    /// Those that are void by our doing.
    pub(super) const fn void(&self) -> u32 {
        self.late + self.failed
    }

    /// Those that were too late by our doing.
    pub(super) const fn late(&self) -> u32 {
        self.late
    }

    fn pop(&mut self) {
        if let Some(mark) = self.marks.pop_front() {
            // Most are the target's.
            if !mark.is(Own::No) {
                self.late -= u32::from(mark.is(Own::Late));
                self.failed -= u32::from(mark.is(Own::Failed));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marks_of_the_last_second_are_counted_and_no_more_than_there_is_room_for() {
        let mut owns = Owns::default();
        let seen = |owns: &Owns| (owns.all(), owns.void(), owns.late());
        for (at, own) in [(1, Own::Late), (2, Own::No), (3, Own::Failed), (3, Own::Failed), (4, Own::Late)] {
            owns.push(Mono(at), own);
        }
        assert_eq!(seen(&owns), (5, 4, 2));
        owns.expire(Mono(2));
        assert_eq!(seen(&owns), (4, 3, 1));
        owns.expire(Mono(4));
        assert_eq!(seen(&owns), (1, 1, 1));
        (0..CAP).for_each(|_| owns.push(Mono(5), Own::No));
        assert_eq!(seen(&owns), (4_096, 0, 0));
    }
}
