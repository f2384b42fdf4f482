//! What is kept, so that a revert can be justified and a release accounted for.
//!
//! | file | what |
//! |---|---|
//! | `ledger.rs` | one line a thing that happened, chained by hashes, on disk before the action that it justifies |
//! | `ledger/` | its lines, its file, the way back into memory, its thread |
//! | `samples.rs`, `samples/` | which raw samples are kept, within a stated memory and disk |
//! | `budget.rs` | the error budget of 30 days, over a restart |
//! | `report.rs`, `report/` | the account of a release, from the ledger or from exported log lines |

pub mod budget;
pub mod ledger;
pub mod report;
pub mod samples;
