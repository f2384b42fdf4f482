//! What is kept, so that a revert can be justified and a release accounted for.
//!
//! | file | what |
//! |---|---|
//! | `ledger.rs` | one line a thing that happened, chained by hashes, on disk before the action that it justifies |
//! | `ledger/` | its lines, its file, the way back into memory, its thread |

pub mod ledger;
