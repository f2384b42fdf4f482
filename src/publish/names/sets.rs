//! The closed sets of values that labels have.

use crate::model::sample::{Fault, Ours};

/// Names of the guard's conditions, which are reasons of refusal too.
pub const CONDITIONS: [&str; 16] = [
    "invariants",
    "lever",
    "owner",
    "known-good",
    "understood",
    "listener-read",
    "no-hold",
    "reversible",
    "cool-down",
    "budget",
    "one-action",
    "authority",
    "blue-healthy",
    "blue-answers",
    "blue-is-what-it-was",
    "evidence",
];

/// Reasons of refusal that are no conditions.
pub const REFUSALS: [&str; 3] = ["ledger", "deadline", "write-refused"];

/// Ends of a release that need a person and are no refusals by name.
pub const LATCHES: [&str; 4] = ["partial", "overridden", "interrupted", "refused"];

/// How a revert can end.
pub const REVERTS: [&str; 5] = ["verified", "partial", "overridden", "interrupted", "dry_run"];

/// What can come of a mutating call.
pub const WRITES: [&str; 3] = ["accepted", "refused", "unknown"];

/// Classes of HTTP statuses.
pub const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// Every reason for which a probe can fail.
pub fn reasons() -> impl Iterator<Item = &'static str> {
    Fault::ALL.map(Fault::name).into_iter().chain(["saturated"]).chain(Ours::ALL.map(Ours::name))
}

/// Whether `reason` is our own doing.
#[must_use]
pub fn is_ours(reason: &str) -> bool {
    reason.starts_with("prober.")
}

/// The class of `status`.
#[must_use]
pub fn class(status: u16) -> &'static str {
    match status {
        100..=599 => CLASSES[usize::from(status / 100 - 1)],
        _ => "other",
    }
}
