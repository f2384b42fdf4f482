//! The seeded simulation: whole releases in virtual time, with every fault that we could think of, and the
//! guard's laws asserted at every step.
//!
//! A world (`world.rs`: balancer, services, AWS), a prober (`prober.rs`), and the real judge and guard
//! joined as an app would join them (`app.rs`). `laws.rs` holds what must be true at every step. The
//! other files play stories, by `story.rs`. The core's own table of hazards plays by the same rig, which therefore says `super`. `SERIN_SEEDS` says how many seeds each story is played with,
//! `SERIN_REST_MS` how long the judge rests between two looks.

#[cfg(test)]
mod app;
#[cfg(test)]
mod aws;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod prober;
#[cfg(test)]
mod story;
#[cfg(test)]
mod world;

#[cfg(test)]
mod acting;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod people;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod releases;
#[cfg(test)]
mod restarts;
#[cfg(test)]
mod together;
