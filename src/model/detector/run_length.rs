//! How long a cumulative sum over independent answers takes to its alarm, on average: exactly, by first passages.
//!
//! The sum lives on a lattice: a bad answer adds `up` steps, a good one takes off `down`, zero is the floor. From a level
//! `w` it first falls below `w` to one of the `down` levels under it, or reaches the alarm before. Both are known for a level
//! when they are for all above it, so one pass from the top to the floor solves the chain. Chances of an alarm are only
//! ever added, never taken as what is left of one: they may be as small as 1e-15.

/// A sum on a lattice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lattice {
    /// What a bad answer adds, steps; at least one.
    pub up: usize,
    /// What a good one takes off, steps; at least one.
    pub down: usize,
    /// The alarm, steps.
    pub needed: usize,
}

/// From one level to the first below it.
struct Passage {
    /// The chance that the alarm comes before.
    alarm: f64,
    /// Answers until one or the other.
    answers: f64,
    /// The chances to come out one, two, … `down` levels below.
    below: Vec<f64>,
}

impl Lattice {
    /// The mean number of independent answers from the floor to the alarm, the one that raises it included, when each is bad
    /// with a chance of `p`, 0 < p ≤ 1.
    #[must_use]
    pub fn run_length(&self, p: f64) -> f64 {
        let mut passages: Vec<Passage> = Vec::with_capacity(self.needed);
        // `passages[needed - 1 - w]` is level w's.
        for level in (1..self.needed).rev() {
            let passage = self.passage(level, p, &passages);
            passages.push(passage);
        }
        // At the floor a good answer changes nothing, and a bad one begins a way back to it.
        let back = self.descend(self.up, 1, &passages);
        (1.0 + p * back.answers) / (p * back.alarm)
    }

    fn passage(&self, level: usize, p: f64, above: &[Passage]) -> Passage {
        let from = self.descend(level + self.up, level + 1, above);
        // It may come down to the level itself, and begin again.
        let again = p * from.below.first().copied().unwrap_or(0.0);
        let mut below = vec![0.0; self.down];
        for (under, chance) in below.iter_mut().zip(from.below.iter().skip(1)) {
            *under = p * chance / (1.0 - again);
        }
        below[self.down - 1] += (1.0 - p) / (1.0 - again);
        let answers = (1.0 + p * from.answers) / (1.0 - again);
        Passage { alarm: p * from.alarm / (1.0 - again), answers, below }
    }

    /// From the level `from`, at least `to`, to the first below `to`: one passage after the other.
    fn descend(&self, from: usize, to: usize, passages: &[Passage]) -> Passage {
        let mut way = Passage { alarm: 0.0, answers: 0.0, below: vec![0.0; self.down] };
        if from >= self.needed {
            way.alarm = 1.0;
            return way;
        }
        // The chance to be at a level, from `from` down.
        let mut here = vec![0.0; from + 1 - to + self.down];
        here[0] = 1.0;
        for step in 0..=from - to {
            let chance = here[step];
            let Some(passage) = passages.get(self.needed - 1 - (from - step)) else { continue };
            way.alarm += chance * passage.alarm;
            way.answers += chance * passage.answers;
            for (under, to_there) in here[step + 1..].iter_mut().zip(&passage.below) {
                *under += chance * to_there;
            }
        }
        way.below.copy_from_slice(&here[from - to + 1..]);
        way
    }
}

/// The design of `p1` against `p0` on a lattice fine enough for `up` to have about `fine` steps, with the lowest alarm that makes a
/// run at `p0` at least `run_length` answers long.
#[must_use]
pub fn exact(p0: f64, p1: f64, fine: usize, run_length: f64) -> Lattice {
    let (up, down) = lattice(p0, p1, fine);
    let long_enough = |needed| Lattice { up, down, needed }.run_length(p0) >= run_length;
    let (mut low, mut high) = (0, up.max(1));
    while !long_enough(high) {
        low = high;
        high *= 2;
    }
    while low + 1 < high {
        let middle = low.midpoint(high);
        if long_enough(middle) { high = middle } else { low = middle }
    }
    Lattice { up, down, needed: high }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a few thousand steps at most"
)]
fn lattice(p0: f64, p1: f64, fine: usize) -> (usize, usize) {
    let (up, down) = (super::logarithm::ln(p1 / p0), super::logarithm::ln((1.0 - p0) / (1.0 - p1)));
    let steps = (fine as f64 * down / up).ceil().max(1.0);
    ((up / down * steps) as usize, steps as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{RngCore, SeedableRng};

    #[test]
    fn a_run_of_sure_bad_answers_is_as_long_as_it_takes() {
        for (up, needed, expected) in [(1, 5, 5.0), (2, 5, 3.0), (5, 5, 1.0), (7, 5, 1.0)] {
            let lattice = Lattice { up, down: 3, needed };
            assert!((lattice.run_length(1.0) - expected).abs() < 1e-12, "{up} {needed}");
        }
    }

    #[test]
    fn runs_of_equal_coins_are_known() {
        // Success runs: with `down` ≥ all that can be lost, k bad answers in a row take (p^-k − 1) / (1 − p).
        let lattice = Lattice { up: 1, down: 100, needed: 10 };
        assert!((lattice.run_length(0.5) / 2_046.0 - 1.0).abs() < 1e-12, "{}", lattice.run_length(0.5));
        // A simple walk with a reflecting floor and even odds takes n (n + 1) steps to n.
        let lattice = Lattice { up: 1, down: 1, needed: 20 };
        assert!((lattice.run_length(0.5) / 420.0 - 1.0).abs() < 1e-12, "{}", lattice.run_length(0.5));
    }

    #[test]
    fn it_is_what_a_simulation_finds() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        for (up, down, needed, p) in [(5, 2, 30, 0.25), (13, 3, 60, 0.15), (9, 4, 40, 0.4)] {
            let lattice = Lattice { up, down, needed };
            let runs = 20_000;
            let mut answers = 0_u32;
            for _ in 0..runs {
                let mut sum = 0_usize;
                while sum < needed {
                    let bad = f64::from(random.next_u32()) < p * 4_294_967_296.0;
                    sum = if bad { sum + up } else { sum.saturating_sub(down) };
                    answers += 1;
                }
            }
            let mean = f64::from(answers) / f64::from(runs);
            let exact = lattice.run_length(p);
            assert!((mean / exact - 1.0).abs() < 0.03, "{lattice:?} {p}: {mean} {exact}");
        }
    }

    /// One equation a level, the mean from there is one answer and the mean from where it leads: solved by elimination.
    fn solved(Lattice { up, down, needed }: Lattice, p: f64) -> f64 {
        let mut rows = vec![vec![0.0; needed + 1]; needed];
        for level in 0..needed {
            rows[level][level] += 1.0;
            rows[level][needed] = 1.0;
            rows[level][level.saturating_sub(down)] -= 1.0 - p;
            if level + up < needed {
                rows[level][level + up] -= p;
            }
        }
        // From the top, so that the floor's equation is what is left.
        for done in (1..needed).rev() {
            let by = rows[done].clone();
            for row in &mut rows[..done] {
                let share = row[done] / by[done];
                for (value, taken) in row.iter_mut().zip(&by) {
                    *value -= share * taken;
                }
            }
        }
        rows[0][needed] / rows[0][0]
    }

    #[test]
    fn it_is_what_the_equations_of_all_levels_say() {
        for (up, down, needed) in
            [(5, 2, 30), (13, 3, 40), (9, 4, 25), (1, 1, 8), (3, 7, 11), (4, 4, 4), (2, 5, 1)]
        {
            for p in [0.2, 0.5, 0.9, 1.0] {
                let lattice = Lattice { up, down, needed };
                let (found, wanted) = (lattice.run_length(p), solved(lattice, p));
                assert!((found / wanted - 1.0).abs() < 1e-9, "{lattice:?} {p}: {found} {wanted}");
            }
        }
    }

    #[test]
    fn a_step_is_as_fine_as_was_asked_or_finer() {
        // ln 50 is 77.8 times ln (0.999 / 0.95): with one step down, the way up has more than 64 already.
        assert_eq!(lattice(0.001, 0.05, 64), (77, 1));
        // ln 5 is 39.02 times ln (0.99 / 0.95): one step is too coarse.
        assert_eq!(lattice(0.01, 0.05, 64), (78, 2));
        // ln 10 is 3.587 times ln (0.95 / 0.5): 17 steps down would leave 60.99 up, and 18 leave 64.57.
        assert_eq!(lattice(0.05, 0.5, 64), (64, 18));
    }

    #[test]
    fn the_alarm_is_the_lowest_that_is_long_enough() {
        for (p0, p1, run_length) in [(0.05, 0.5, 1e6), (0.1, 0.5, 300.0), (0.01, 0.2, 1e5), (0.2, 0.4, 21.0)]
        {
            let found = exact(p0, p1, 16, run_length);
            let lower = Lattice { needed: found.needed - 1, ..found };
            assert!(found.run_length(p0) >= run_length && lower.run_length(p0) < run_length, "{found:?}");
        }
        // The first bad answer comes after five on average.
        assert_eq!(exact(0.2, 0.5, 16, 5.0).needed, 1, "what any bad answer does, the lowest alarm does");
    }

    /// The published optimum: one false alarm in 30 days at 100 answers a second.
    #[test]
    fn the_optimum_is_the_known_one() {
        for (p0, p1, known) in [
            (0.001, 0.05, 107.0),
            (0.001, 0.2, 20.4),
            (0.001, 0.5, 7.0),
            (0.01, 0.05, 358.0),
            (0.01, 0.2, 39.6),
            (0.05, 0.2, 115.0),
            (0.05, 0.5, 22.1),
        ] {
            let delay = exact(p0, p1, 64, 30.0 * 86_400.0 * 100.0).run_length(p1);
            assert!((delay / known - 1.0).abs() < 0.04, "{p0} {p1}: {delay} {known}");
        }
    }
}
