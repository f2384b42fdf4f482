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
        self.chance[level] += chance;
        self.low = self.low.min(level);
        self.high = self.high.max(level + 1);
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
        let (more, less) = (weight * (1.0 - shift.part), weight * shift.part);
        let one_less = by.saturating_sub(1);
        let at = |chance: &[f64], level: usize| chance.get(level).copied().unwrap_or(0.0);
        let bottom = |to: usize| to.min(self.high);
        let fallen = more * self.chance[..bottom(by)].iter().sum::<f64>()
            + less * self.chance[..bottom(one_less)].iter().sum::<f64>();
        let (low, high) = (self.low.saturating_sub(by), self.high);
        for level in low..high {
            let mut left = more * at(&self.chance, level + by);
            if less > 0.0 {
                left += less * at(&self.chance, level + one_less);
            }
            self.chance[level] = left;
        }
        if fallen > 0.0 {
            self.chance[0] += fallen;
        }
        self.low = low;
        while self.high > low && self.chance[self.high - 1] < GONE {
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
        let mut out = self.pour_whole(from, shift.whole, weight * (1.0 - shift.part));
        if shift.part > 0.0 {
            out += self.pour_whole(from, shift.whole + 1, weight * shift.part);
        }
        out
    }

    fn pour_whole(&mut self, from: &Self, by: isize, weight: f64) -> f64 {
        let (low, chances) = from.span();
        if chances.is_empty() || weight <= 0.0 {
            return 0.0;
        }
        // Levels of `from` below this one would fall under the floor; from that one on they leave at the top.
        let floor = 0_usize.saturating_add_signed(-by.min(0)).saturating_sub(low).min(chances.len());
        let room = self.chance.len().saturating_add_signed(-by).saturating_sub(low);
        let inside = room.clamp(floor, chances.len());
        let fallen: f64 = chances[..floor].iter().sum();
        if fallen > 0.0 {
            self.put(0, fallen * weight);
        }
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
