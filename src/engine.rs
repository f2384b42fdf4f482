//! The hot loop: probes at their planned instants, judged on the thread that made them.
//!
//! One thread runs one current-thread runtime with one precise timer for each service. Nothing here is shared
//! with another thread but bounded channels: orders come in, findings go out, and when nobody takes a finding it is
//! dropped and counted, never waited for.
//!
//! | file | what |
//! |---|---|
//! | `engine/port.rs` | the channels: orders in, findings out |
//! | `engine/service.rs` | one service: calendar, slots, judge |
//! | `engine/tally.rs` | what a second adds up to |
//! | `engine/calendar.rs` | which probe is due next |
//! | `engine/timer.rs` | waking at an instant, by timerfd |
//! | `engine/probe.rs` | one probe from due to done |
//! | `engine/origin.rs` | connections to one origin, and which address is next |
//! | `engine/connect.rs` | names, TCP and TLS, each timed, each failure told as theirs or ours |
//! | `engine/exchange.rs` | one HTTP/1.1 request and its answer |
//! | `engine/once.rs` | each target once, in words |
//! | `engine/verify.rs` | the proof by fresh connections |

mod calendar;
mod connect;
mod exchange;
mod once;
mod origin;
mod port;
mod probe;
mod service;
mod tally;
mod timer;
mod verify;

pub use connect::{Dialer, DialerError};
pub use once::{Answered, ask_once};
pub use port::{Chapter, Finding, Keeper, Order, Port};

use crate::clock;
use crate::settings::Service;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinSet, LocalSet};

/// What the engine runs by, beside the services.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Probes due within one quantum share a wake-up.
    pub quantum: Duration,
    /// This instance among those that run the same file; moves the phases.
    pub instance: Arc<str>,
}

/// Runs every service until its orders end. Blocks; `app` gives it a thread of its own.
///
/// # Errors
/// The runtime or a timer could not be made.
pub fn run(services: Vec<(Service, Port)>, dialer: Dialer, options: &EngineOptions) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let dialer = Rc::new(dialer);
        let mut tasks: JoinSet<std::io::Result<()>> = JoinSet::new();
        let origin = clock::now();
        for (service, port) in services {
            let task = service::Service::new(service, port, Rc::clone(&dialer), options, origin)?;
            tasks.spawn_local(task.run());
        }
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(std::io::Error::other)??;
        }
        Ok(())
    })
}
