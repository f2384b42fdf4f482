//! Colours and words that several boards share.

use super::source::{Step, Word};

/// The judge's word, as the expressions number it.
pub(super) const VERDICTS: &[Word] =
    &[("0", "good", "green"), ("1", "inconclusive", "yellow"), ("2", "blind", "purple"), ("3", "bad", "red")];
/// Whether a breach would be answered.
pub(super) const ARMED: &[Word] = &[("0", "not armed", "orange"), ("1", "armed", "green")];
/// What should not be.
pub(super) const YES: &[Word] = &[("0", "no", "green"), ("1", "yes", "red")];
/// A condition that should hold.
pub(super) const HOLDS: &[Word] = &[("0", "doesn't hold", "orange"), ("1", "holds", "green")];
/// A configuration.
pub(super) const TAKEN: &[Word] = &[("0", "has faults", "red"), ("1", "taken", "green")];
/// Another one.
pub(super) const WAITS: &[Word] = &[("0", "holds", "green"), ("1", "waits", "yellow")];
/// Blindness.
pub(super) const BLIND: &[Word] = &[("0", "sees", "green"), ("1", "blind", "purple")];
/// Attained answers: below a half nothing is called good.
pub(super) const WANTED: &[Step] = &[(None, "red"), (Some(0.5), "yellow"), (Some(0.9), "green")];
/// What is left of an error budget.
pub(super) const BUDGET: &[Step] = &[(None, "red"), (Some(0.0), "orange"), (Some(0.25), "green")];
/// The workbook's burn rates.
pub(super) const BURN: &[Step] =
    &[(None, "green"), (Some(1.0), "yellow"), (Some(6.0), "orange"), (Some(14.4), "red")];
/// Time in which our own process wasn't run.
pub(super) const STARVED: &[Step] = &[(None, "green"), (Some(0.05), "red")];
