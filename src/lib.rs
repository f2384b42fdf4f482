//! Serin: a canary prober that sees a bad release, puts the load balancer back, and proves what happened.
//!
//! ```text
//!  Schedule ──due──▶ Engine ──Sample──▶ Window ──▶ Detector ──▶ Verdict ──▶ Guard ──Action──▶ Reverter ──▶ ALB
//!  (exact pace)      (one probe,        (rolling    (has it       (Good,      (is it safe,    (read, compare,
//!                    every phase        counts,     changed?)     Bad,        is it ours      write, read back,
//!                    timed)             P95)                      Incon-      to do?)         verify by probes)
//!                       │                  │                      clusive,      │                  │
//!                       │                  │                      Blind)        │                  │
//!                       └──────────────────┴──────────▶ Publisher ◀─────────────┴── Ledger ◀───────┘
//!                                            OTLP · CloudWatch · Prometheus · page     (evidence, synced before acting)
//! ```
//!
//! Everything between a sample and an action is pure and lives in a crate of its own, [`model`]: no IO, no clock, no
//! async, no chance; time is an argument. All else is a thin shell around it. When two of these conflict, the earlier
//! wins: correct evidence, safe revert, bounded resources, clear code, speed.
//!
//! The rooms, from the ground up. Each may know those above it in this list as far as the last column says, and never a
//! neighbour; `tests/tidy.rs` keeps that.
//!
//! | room | what lives there | may know |
//! |---|---|---|
//! | [`model`] | every decision: schedule, sample, window, detector, judge, guard, plan, record | nothing |
//! | [`clock`] | the only reader of time | model |
//! | `failpoint` | where a test kills the process; nothing in any other build | nothing |
//! | `hazard` | by which a test takes an answer to a hazard out; nothing in any other build | model |
//! | [`config`] | the file's shape and its layers, with the line of every value | model |
//! | [`settings`] | checked values: parse, don't validate | config, hazard |
//! | [`engine`] | the hot loop: calendar, timer, connections, TLS, names, one HTTP exchange | model, clock, settings |
//! | [`revert`] | one file an actuator behind one narrow trait | model, clock, settings, failpoint, hazard |
//! | [`publish`] | one file a destination, each behind one bounded queue | model, clock, settings |
//! | [`evidence`] | the ledger, raw samples, the report | model, clock, failpoint |
//! | [`admin`] | health, readiness, whether it could act, marks of a release | model, clock, settings |
//! | [`lab`] | a blue/green world on loopback that speaks the real ELBv2 API | model, clock |
//! | [`simulate`] | streams of answers, made up or recorded, through the real judge and guard in virtual time | model, settings, evidence |
//! | [`app`] | builds and owns every task, thread and channel; starts, routes, drains | all of these but lab |
//! | [`cli`] | one small file a command | all |

pub use serin_model as model;

// The fixtures of the daemon's tests serve its failpoints too, which exist in this crate's own tests alone.
#[cfg(test)]
extern crate self as serin;

pub mod clock;
pub mod config;
mod failpoint;
mod hazard;
pub mod settings;

pub mod engine;
pub mod revert;

pub mod publish;

pub mod evidence;

pub mod admin;
pub mod lab;
pub mod simulate;

pub mod app;
pub mod cli;
