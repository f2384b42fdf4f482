//! How likely a sum is at each level of a lattice: a forward step moves what is there.

/// So little is taken for nothing at the upper end of what falls.
const GONE: f64 = 1e-15;

/// Chances by level, and between which levels there are any.
#[derive(Clone, Debug)]
pub(super) struct Levels {
    chance: Vec<f64>,
    low: usize,
    high: usize,
}

/// So many levels up (or down, when negative), whole and part: the part is the chance of one more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shift {
    whole: isize,
    part: f64,
}

impl Shift {
    /// `by` levels on average: the two whole numbers beside it, mixed.
    pub(super) fn of(by: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "levels of a lattice: some thousands")]
        let whole = by.floor() as isize;
        Self { whole, part: by - by.floor() }
    }

    /// So many levels on average.
    #[cfg(test)]
    pub(super) fn mean(self) -> f64 {
        self.part + f64::from(i32::try_from(self.whole).unwrap())
    }
}

impl Levels {
    /// Nothing anywhere, on the levels `0..count`.
    pub(super) fn none(count: usize) -> Self {
        Self { chance: vec![0.0; count], low: count, high: 0 }
    }

    /// Surely at `level`.
    pub(super) fn sure(count: usize, level: usize) -> Self {
        let mut levels = Self::none(count);
        levels.put(level, 1.0);
        levels
    }

    pub(super) fn is_empty(&self) -> bool {
        self.low >= self.high
    }

    pub(super) fn clear(&mut self) {
        if !self.is_empty() {
            self.chance[self.low..self.high].fill(0.0);
        }
        (self.low, self.high) = (self.chance.len(), 0);
    }

    /// More at `level`, which is on the lattice.
    pub(super) fn put(&mut self, level: usize, chance: f64) {
        if chance > 0.0 {
            self.chance[level] += chance;
            self.low = self.low.min(level);
            self.high = self.high.max(level + 1);
        }
    }

    /// The first level with a chance, and the chances from there on.
    pub(super) fn span(&self) -> (usize, &[f64]) {
        if self.is_empty() { (0, &[]) } else { (self.low, &self.chance[self.low..self.high]) }
    }

    /// What is at `from` (a level) and above leaves.
    pub(super) fn split_off(&mut self, from: usize) -> Self {
        let mut above = Self::none(self.chance.len());
        for level in from.max(self.low)..self.high {
            above.put(level, std::mem::take(&mut self.chance[level]));
        }
        self.high = self.high.min(from);
        above
    }

    /// All of it falls by `shift`, which is not upwards, and `weight` of it is left; what comes below the lowest level stays there.
    pub(super) fn fall(&mut self, shift: Shift, weight: f64) {
        if self.is_empty() {
            return;
        }
        let by = shift.whole.unsigned_abs();
        let one_less = by.saturating_sub(1);
        let (more, less) = (weight * (1.0 - shift.part), weight * shift.part);
        // From below, so that what has fallen isn't met again.
        for level in self.low..self.high {
            let chance = std::mem::take(&mut self.chance[level]);
            self.chance[level.saturating_sub(by)] += chance * more;
            self.chance[level.saturating_sub(one_less)] += chance * less;
        }
        self.low = self.low.saturating_sub(by);
        while self.high > self.low && self.chance[self.high - 1] < GONE {
            self.high -= 1;
            self.chance[self.high] = 0.0;
        }
        if self.is_empty() {
            (self.low, self.high) = (self.chance.len(), 0);
        }
    }

    /// Adds `weight` of what is in `from`, shifted. What falls below the lowest level stays there, what comes out at the top is
    /// returned.
    pub(super) fn pour(&mut self, from: &Self, shift: Shift, weight: f64) -> f64 {
        self.pour_whole(from, shift.whole, weight * (1.0 - shift.part))
            + self.pour_whole(from, shift.whole + 1, weight * shift.part)
    }

    fn pour_whole(&mut self, from: &Self, by: isize, weight: f64) -> f64 {
        let (low, chances) = from.span();
        if weight <= 0.0 {
            return 0.0;
        }
        // Levels of `from` below this one would fall under the floor; from that one on they leave at the top.
        let floor = 0_usize.saturating_add_signed(-by.min(0)).saturating_sub(low).min(chances.len());
        let room = self.chance.len().saturating_add_signed(-by).saturating_sub(low);
        let inside = room.clamp(floor, chances.len());
        self.put(0, chances[..floor].iter().sum::<f64>() * weight);
        if inside > floor {
            let start = (low + floor).saturating_add_signed(by);
            let end = start + (inside - floor);
            for (to, chance) in self.chance[start..end].iter_mut().zip(&chances[floor..inside]) {
                *to += chance * weight;
            }
            (self.low, self.high) = (self.low.min(start), self.high.max(end));
        }
        chances[inside..].iter().sum::<f64>() * weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: usize = 12;

    /// The chances of all levels; there is none outside of what is told.
    fn all(levels: &Levels) -> Vec<f64> {
        let (low, chances) = levels.span();
        let mut all = vec![0.0; levels.chance.len()];
        all[low..low + chances.len()].copy_from_slice(chances);
        assert_eq!(all, levels.chance);
        all
    }

    fn of(chances: &[(usize, f64)]) -> Levels {
        let mut levels = Levels::none(COUNT);
        for (level, chance) in chances {
            levels.put(*level, *chance);
        }
        levels
    }

    /// One level after the other: where they come, and what leaves at the top.
    fn moved(from: &[f64], by: f64, weight: f64) -> (Vec<f64>, f64) {
        let (mut to, mut out) = (vec![0.0; from.len()], 0.0);
        for (level, chance) in (0_i32..).zip(from) {
            for whole in -40..=40 {
                // The nearer of two whole numbers is the likelier; all others are too far away.
                let part = (1.0 - (f64::from(whole) - by).abs()).max(0.0);
                match to.get_mut(usize::try_from((level + whole).max(0)).unwrap()) {
                    Some(there) => *there += chance * part * weight,
                    None => out += chance * part * weight,
                }
            }
        }
        (to, out)
    }

    fn assert_alike(a: &[f64], b: &[f64], what: &str) {
        assert_eq!(a.len(), b.len());
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12), "{what}: {a:?} {b:?}");
    }

    /// At the floor, at the top, in the middle, all over it, with a hole.
    const PLACES: [&[(usize, f64)]; 5] = [
        &[(0, 0.75)],
        &[(11, 0.5)],
        &[(4, 0.25), (5, 0.5), (6, 0.125)],
        &[(0, 0.3), (3, 0.2), (8, 0.1), (11, 0.4)],
        &[(2, 0.5), (9, 0.25)],
    ];
    const SHIFTS: [f64; 15] =
        [-30.0, -12.0, -11.25, -5.0, -3.5, -2.0, -1.0, -0.75, -0.25, 0.0, 0.375, 1.0, 2.5, 7.0, 30.0];

    #[test]
    fn what_is_put_is_told_and_no_more() {
        let levels = of(&[(5, 0.25), (3, 0.5), (5, 0.125), (9, 0.0), (1, 0.0)]);
        assert_eq!(levels.span(), (3, &[0.5, 0.0, 0.375][..]));
        assert!(!levels.is_empty());
        assert_eq!(Levels::sure(COUNT, 11).span(), (11, &[1.0][..]));
        let none = Levels::none(COUNT);
        assert!(none.is_empty());
        assert_eq!(none.span(), (0, &[][..]));
    }

    #[test]
    fn what_is_cleared_is_empty_and_can_be_used_again() {
        for mut levels in [Levels::none(COUNT), of(PLACES[3])] {
            levels.clear();
            assert!(levels.is_empty());
            assert_eq!(all(&levels), [0.0; COUNT]);
            levels.put(7, 0.5);
            levels.put(8, 0.25);
            assert_eq!(levels.span(), (7, &[0.5, 0.25][..]));
        }
    }

    #[test]
    fn what_is_split_off_is_what_was_at_a_level_and_above() {
        for place in PLACES {
            for from in 0..=COUNT {
                let mut below = of(place);
                let above = below.split_off(from);
                let part = |wanted: &dyn Fn(usize) -> bool| {
                    let some: Vec<_> = place.iter().copied().filter(|(level, _)| wanted(*level)).collect();
                    all(&of(&some))
                };
                assert_eq!(all(&below), part(&|level| level < from), "{place:?} {from}");
                assert_eq!(all(&above), part(&|level| level >= from), "{place:?} {from}");
            }
        }
    }

    #[test]
    fn what_is_poured_goes_where_its_shift_takes_it() {
        for place in PLACES {
            for by in SHIFTS {
                for weight in [1.0, 0.25] {
                    let what = format!("{place:?} {by} {weight}");
                    let from = of(place);
                    let (to, out) = moved(&all(&from), by, weight);
                    let mut levels = Levels::none(COUNT);
                    let told = levels.pour(&from, Shift::of(by), weight);
                    assert_alike(&all(&levels), &to, &what);
                    assert!((told - out).abs() < 1e-12, "{what}: {told} {out}");
                    assert_ne!(levels.span().1.first(), Some(&0.0), "{what}");
                    assert_eq!(levels.is_empty(), to.iter().all(|chance| *chance <= 0.0), "{what}");

                    // Beside what is there.
                    let mut levels = of(&[(0, 0.5), (6, 0.25)]);
                    levels.pour(&from, Shift::of(by), weight);
                    let sum: Vec<f64> =
                        to.iter().zip(all(&of(&[(0, 0.5), (6, 0.25)]))).map(|(a, b)| a + b).collect();
                    assert_alike(&all(&levels), &sum, &what);
                }
            }
        }
    }

    #[test]
    fn nothing_is_poured_of_nothing() {
        for (from, weight) in [(Levels::none(COUNT), 0.5), (of(PLACES[3]), 0.0), (of(PLACES[0]), 0.0)] {
            for by in SHIFTS {
                let mut levels = Levels::none(COUNT);
                let out = levels.pour(&from, Shift::of(by), weight);
                assert!(levels.is_empty() && out.abs() < f64::MIN_POSITIVE, "{by}: {out}");
            }
        }
    }

    #[test]
    fn what_falls_goes_where_its_shift_takes_it() {
        for place in PLACES {
            for by in SHIFTS.into_iter().filter(|by| *by <= 0.0) {
                for weight in [1.0, 0.25] {
                    let mut levels = of(place);
                    let (to, _) = moved(&all(&levels), by, weight);
                    levels.fall(Shift::of(by), weight);
                    assert_alike(&all(&levels), &to, &format!("{place:?} {by} {weight}"));
                    assert!(levels.span().1.last() != Some(&0.0));
                }
            }
        }
    }

    #[test]
    fn what_is_hardly_there_any_more_is_gone_from_above() {
        // As little as that is not yet nothing; what is less stays below what is more.
        for (place, left) in [
            (vec![(2, 0.5), (4, 1e-16), (7, 9e-16)], vec![(2, 0.5)]),
            (vec![(1, 1e-17), (4, GONE), (7, 1e-16)], vec![(1, 1e-17), (4, GONE)]),
            (vec![(0, 1e-16)], vec![]),
            (vec![(3, 1e-16), (11, 1e-16)], vec![]),
        ] {
            let mut levels = of(&place);
            levels.fall(Shift::of(0.0), 1.0);
            assert_eq!(all(&levels), all(&of(&left)), "{place:?}");
            assert_eq!(levels.is_empty(), left.is_empty());
            // And can be used again.
            levels.put(9, 0.5);
            assert_eq!(levels.span().0, left.first().map_or(9, |(level, _)| *level));
            assert_eq!(levels.span().1.last(), Some(&0.5));
        }
        let mut none = Levels::none(COUNT);
        none.fall(Shift::of(-1.5), 0.5);
        assert!(none.is_empty());
    }
}
