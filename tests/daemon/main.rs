//! The daemon as a whole: the real binary on real sockets, with the embedded lab as its AWS; and the engine on servers
//! that misbehave.
//!
//! | file | what |
//! |---|---|
//! | `scene.rs` | a lab, a configuration, a pipeline |
//! | `child.rs` | a running `serin run`, ended when dropped |
//! | `flow.rs` | bad releases that must be put back, and good ones that must not |
//! | `together.rs` | two rules that move together, and a revert that leaves no cookie |
//! | `refusals.rs` | what must not be written, with the exact reason |
//! | `crash.rs` | `kill -9` anywhere on the acting path; run by the library's own tests |
//! | `lifecycle.rs` | stop, kill, restart, configuration from elsewhere |
//! | `budget.rs` | the error budget over a restart |
//! | `input.rs` | what can't be used: exit codes, and one clear line |
//! | `reload.rs` | a configuration that is read anew |
//! | `admin.rs` | who may ask, and who may change |
//! | `secrets.rs` | nothing secret comes out anywhere |
//! | `pace.rs` | the pace when the process is stopped, the cadence switched, the machine too small; `serin probe` |
//! | `drill.rs` | `serin drill`, on the lab and with a hook |
//! | `simulate.rs` | `serin check --power` and `serin simulate` |
//! | `odd.rs`, `probing.rs` | the engine alone, on servers of every kind |

#![expect(clippy::unwrap_used, reason = "a test program: an unwrap that fails is a test that fails")]

mod admin;
mod budget;
mod child;
mod drill;
mod flow;
mod input;
mod lifecycle;
mod odd;
mod owner;
mod pace;
mod probing;
mod refusals;
mod reload;
mod scene;
mod secrets;
mod simulate;
mod steps;
mod together;

use std::path::PathBuf;

/// The program under test.
fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_serin").into()
}
