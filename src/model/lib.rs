//! The pure core of Serin: what a sample is, what it proves, and what may be done about it.
//!
//! Nothing here reads a clock, opens a socket, spawns a task or draws a random number. Time is an
//! argument, chance is a seed, and the list of dependencies is the proof. A whole release runs
//! through [`judge::Judge`] and [`guard::Guard`] in a plain `#[test]` in microseconds.
//!
//! The modules stand in the order of the flow: time → target → schedule → sample → window →
//! objective → detector → verdict → release → guard → plan → record.

pub mod policy;
pub mod time;
