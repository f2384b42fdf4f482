//! The hot loop: probes at their planned instants, judged on the thread that made them.
//!
//! One thread runs one current-thread runtime with one precise timer for each service. Nothing here is shared
//! with another thread but bounded channels: orders come in, findings go out, and when nobody takes a finding it is
//! dropped and counted, never waited for.
//!
//! | file | what |
//! |---|---|
//! | `engine/budget.rs` | what the probes will cost, against what this machine gives |
//! | `engine/port.rs` | the channels: orders in, findings out |
//! | `engine/pacer.rs` | the loop of a thread: what is due, what has come |
//! | `engine/timer.rs` | waking at an instant, by timerfd |
//! | `engine/line.rs` | one target's probes in flight, and its slots |
//! | `engine/origin.rs` | the connections to one origin, and which address is next |
//! | `engine/link.rs` | one slot: a task that carries one probe at a time |
//! | `engine/connect.rs` | names, TCP and TLS, each failure told as theirs or ours |
//! | `engine/exchange.rs` | one request and its answer |
//! | `engine/wire.rs` | the byte stream, stamping |
//! | `engine/marks.rs` | the instants of a probe, and the phases between them |
//! | `engine/vitals.rs` | the machine's word about that |
//! | `engine/echo.rs` | our own loopback echo |
//! | `engine/desk.rs` | where the tasks of a thread put what the loop shall see |
//! | `engine/service.rs` | one service: orders, judge, seconds |
//! | `engine/revise.rs` | a service by another configuration |
//! | `engine/survey.rs` | a bounded run that is measured, not judged |
//! | `engine/once.rs` | each target once |
//! | `engine/verify.rs` | the proof by fresh connections |

mod budget;
mod connect;
mod desk;
mod echo;
mod exchange;
mod line;
mod link;
mod marks;
mod once;
mod origin;
mod pacer;
mod port;
mod revise;
mod service;
mod spans;
mod survey;
mod timer;
mod verify;
mod vitals;
mod wire;

pub use budget::{Budget, BudgetError, share};
pub use connect::{Dialer, DialerError};
pub use once::{Asked, question};
pub use port::{Chapter, Finding, Keeper, Order, Port, Revision};
pub use survey::{SurveyOptions, Surveyed, phases};

use crate::settings::{Service, Target};
use desk::Desk;
use pacer::{Pacer, Subject};
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions};

/// What the engine runs by, beside the services.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Probes due within one quantum share a wake-up.
    pub quantum: Duration,
    /// Engine threads at most; a service lives on one of them.
    pub threads: u32,
    /// This instance among those that run the same file; moves the phases.
    pub instance: Arc<str>,
}

/// Runs every service until its orders end. Blocks; `app` gives it a thread of its own.
///
/// # Errors
/// The runtime or a timer could not be made.
pub fn run(services: Vec<(Service, Port)>, dialer: Dialer, options: &EngineOptions) -> io::Result<()> {
    drive(options.quantum, |field| {
        let dialer = Rc::new(dialer);
        let services = services.into_iter().enumerate();
        services
            .map(|(number, (service, port))| {
                service::Service::new(number, service, port, Rc::clone(&dialer), options, field)
            })
            .collect()
    })
}

/// Probes `targets` for a while, on this thread, and gives what was found; the first interrupt (SIGINT) ends it early.
///
/// # Errors
/// The runtime or a timer could not be made.
pub fn survey(targets: &[Target], dialer: Dialer, options: SurveyOptions) -> io::Result<Surveyed> {
    let found = Rc::<Cell<Option<Box<Surveyed>>>>::default();
    let given = Rc::clone(&found);
    drive(options.quantum, move |field| {
        vec![survey::Survey::new(targets, options, &Rc::new(dialer), field, given)]
    })?;
    found.take().map(|found| *found).ok_or_else(|| io::Error::other("the survey ended without its findings"))
}

/// Runs the subjects that `make` lays out, on this thread, until they have come to their end.
fn drive<S: Subject + 'static>(
    quantum: Duration,
    make: impl FnOnce(&mut pacer::Field) -> Vec<S>,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let pacer = Pacer::new(quantum, Rc::<Desk>::default(), make)?;
        // A task of its own: waking the future of `block_on` would cost a system call each time.
        tokio::task::spawn_local(pacer.run()).await.map_err(io::Error::other)?
    })
}
