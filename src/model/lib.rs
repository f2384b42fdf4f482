//! The pure core of Serin: what a sample is, what it proves, and what may be done about it.
//!
//! Nothing here reads a clock, opens a socket, spawns a task or draws a random number. Time is an
//! argument, chance is a seed, and the list of dependencies is the proof. A whole release runs
//! through [`judge::Judge`] and [`guard::Guard`] in a plain `#[test]` in microseconds.
//!
//! The modules stand in the order of the flow.

/// The hazards' table plays by the rig of the simulation, which knows the crate by its name.
#[cfg(test)]
extern crate self as serin_model;

pub mod time;

pub mod objective;
pub mod policy;
pub mod target;

pub mod calendar;
pub mod schedule;

pub mod budget;
pub mod delta;
pub mod pulse;
pub mod sample;
pub mod tally;
pub mod trace;

pub mod distribution;
pub mod rolling;
pub mod urls;
pub mod window;

pub mod detector;
pub mod verdict;

pub mod judge;

pub mod power;

pub mod alias;
pub mod listener;
pub mod owner;
pub mod release;

pub mod plan;
pub mod shift;

pub mod guard;

pub mod hazard;

pub mod record;
pub mod recover;

pub mod message;

mod several;
