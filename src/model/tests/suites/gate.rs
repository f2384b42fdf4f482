//! When a look at the judge can find anything about latency.
//!
//! Slow answers are everyday, and a breach is rare: the gate keeps sums of its own, without any of the judge's caution, in the
//! order in which answers are known. A slow one is known 250 ms after it was due, so orders differ by little, and the
//! gate opens at a quarter of what a breach takes. A test looks always, and finds no more.

/// Against a share of 0.05: what a slow answer adds, what another takes off, by the share that is looked for.
const DESIGNS: [(f64, f64); 4] = [(0.734, 0.057), (1.386, 0.172), (2.079, 0.460), (2.485, 0.865)];
/// Nats. A breach takes 25 and more.
const OPENS: f64 = 6.0;

#[derive(Clone, Debug, Default)]
pub(crate) struct Gate([f64; 4]);

impl Gate {
    /// True when a look is worth it.
    pub(crate) fn takes(&mut self, slow: bool) -> bool {
        let mut open = false;
        for (sum, (up, down)) in self.0.iter_mut().zip(DESIGNS) {
            *sum = if slow { *sum + up } else { (*sum - down).max(0.0) };
            open |= *sum >= OPENS;
        }
        open
    }
}
