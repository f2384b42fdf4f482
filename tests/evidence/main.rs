//! What is kept, and what is made of it.
#![expect(clippy::unwrap_used, reason = "a test that can't be set up fails")]

mod budget;
mod ledger;
mod records;
mod report;
mod samples;
