//! The statistical suites: what the judge and the guard do with tens of thousands of releases.
//!
//! | file | what |
//! |---|---|
//! | `suites.rs` | which suites, how many releases, what must come of them |
//! | `quiet.rs` | good releases in noise |
//! | `must_not.rs`, `refused.rs` | trouble that isn't the release's, and what forbids a revert |
//! | `must.rs` | regressions |
//! | `metamorphic.rs` | what must not change a decision |
//! | `story.rs`, `cast.rs` | a release as data, and who answers how |
//! | `rig.rs`, `told.rs` | the real judge and the real guard in virtual time, and what they said and did |
//! | `count.rs` | many seeds on all cores, tables, shards |

#[cfg(test)]
mod cast;
#[cfg(test)]
mod chance;
#[cfg(test)]
mod count;
#[cfg(test)]
mod gate;
#[cfg(test)]
mod metamorphic;
#[cfg(test)]
mod must;
#[cfg(test)]
mod must_not;
#[cfg(test)]
mod quiet;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod story;
#[cfg(test)]
mod suites;
#[cfg(test)]
mod told;
#[cfg(test)]
#[path = "../simulation/world.rs"]
#[allow(dead_code, reason = "the simulation's world: these suites need its listener states only")]
mod world;
