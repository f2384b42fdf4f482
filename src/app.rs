//! Builds and owns every task, thread and channel; starts them, and drains them in the order of the flow.
//!
//! ```text
//!  engine thread ──findings──▶ steward (one a service) ──jobs──▶ ledger thread
//!        ▲                       │   │   │
//!        └──────orders───────────┘   │   └──items──▶ publisher ──▶ Prometheus, OTLP, CloudWatch, people
//!                                    └──calls──▶ reverter ──▶ AWS
//! ```
//!
//! A steward is a guard with hands: it takes the next event, steps, and carries out what the guard asks for.
//! Stopping goes the other way round: no new action, what was sent is read back, then the engine, the
//! ledger, the publishers.

mod keep;
mod look;
mod spending;
mod start;
mod steward;

pub use keep::KeepError;
pub use look::{Look, look};
pub use start::{AppError, aws, fits, instance};

use crate::admin::{Archive, Board};
use crate::clock;
use crate::engine::{self, Dialer, EngineOptions, Port};
use crate::model::guard::Command;
use crate::settings::{Service, Settings};
use start::Parts;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

/// What has begun is finished within this: ECS gives 30 s between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(20);
/// Standard output has taken the copy of the last lines within this.
const COPY_GRACE: Duration = Duration::from_secs(2);
/// What the publishers hold is sent within this.
const PUBLISH_GRACE: Duration = Duration::from_secs(5);

/// A daemon that is ready to run: every port bound, every ledger open, nothing sent yet.
pub struct App {
    parts: Parts,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nothing was half done.
    Drained,
    /// The grace ran out while something was.
    Interrupted,
}

impl App {
    /// Opens ledgers, binds ports, asks AWS once what the levers are. `archive` makes the accounts that the listener shows.
    ///
    /// # Errors
    /// The first thing that can't be had, with its remedy.
    pub async fn build(settings: Settings, archive: Archive) -> Result<Self, AppError> {
        Ok(Self { parts: start::build(settings, archive).await? })
    }

    /// Runs until `stop` is done, then drains.
    ///
    /// # Errors
    /// The engine could not be started, or broke down.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<Ended, AppError> {
        let Parts {
            services,
            ports,
            dialer,
            options,
            stewards,
            keeping,
            publisher,
            board,
            teller,
            tcp,
            socket,
        } = self.parts;
        let engines = engine_threads(services, ports, &dialer, &options)?;
        let kept = keeping.run().map_err(AppError::Thread)?;
        let (drain, draining) = watch::channel(false);
        let mut doors = JoinSet::new();
        serve(&mut doors, tcp, socket, &board, &draining);
        let signals = signal(SignalKind::user_defined1()).map_err(AppError::Thread)?;
        doors.spawn(hold_by_signal(signals, Arc::clone(&board)));
        doors.spawn(teller.run(Arc::clone(&board)));
        let mut tasks = JoinSet::new();
        for steward in stewards {
            tasks.spawn(steward.run(draining.clone()));
        }
        tokio::select! {
            () = stop => tracing::info!("stopping: finishing what has begun"),
            Some(ended) = tasks.join_next() => {
                tracing::error!(?ended, "a service ended by itself; stopping the others");
            }
        }
        drain.send_replace(true);
        let all = async { while tasks.join_next().await.is_some() {} };
        let ended = match tokio::time::timeout(GRACE, all).await {
            Ok(()) => Ended::Drained,
            Err(_) => Ended::Interrupted,
        };
        // The stewards held the ends of the engine's channels and of the ledgers'.
        tasks.shutdown().await;
        for engine in engines {
            join(engine)?;
        }
        for thread in kept.disk {
            join(thread)?;
        }
        doors.shutdown().await;
        drop(board);
        if let Some(publisher) = Arc::into_inner(publisher) {
            publisher.drain(PUBLISH_GRACE).await;
        }
        // Publishers may write there too.
        if let Some(copy) = kept.copy {
            finish_copy(copy).await;
        }
        Ok(ended)
    }
}

/// SIGUSR1 holds every service, as `serin hold` does: for whoever has a shell in the container and nothing else.
async fn hold_by_signal(mut signals: Signal, board: Arc<Board>) {
    while signals.recv().await.is_some() {
        tracing::warn!("SIGUSR1: every service is held until `serin unhold`");
        for desk in board.services.values() {
            // Nobody waits for what becomes of the tags; a service that is stopping acts no more.
            let (taken, _) = oneshot::channel();
            drop(desk.commands.send((Command::Hold { reason: "SIGUSR1".into() }, taken)).await);
        }
    }
}

/// A log driver that blocks holds the last lines for ever; they are on disk, so nobody waits for it that long.
async fn finish_copy(copy: JoinHandle<()>) {
    let until = clock::now().after(COPY_GRACE);
    while !copy.is_finished() {
        if clock::now() >= until {
            tracing::warn!(
                "standard output takes nothing: the copy of the last lines is lost, the ledger has them"
            );
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The engine's threads: nothing else runs there, so that nothing else can delay a probe.
fn engine_threads(
    services: Vec<Service>,
    ports: Vec<Port>,
    dialer: &Dialer,
    options: &EngineOptions,
) -> Result<Vec<JoinHandle<io::Result<()>>>, AppError> {
    let shares = engine::share(&services, options.threads, options.quantum);
    let mut work: Vec<Option<(Service, Port)>> = services.into_iter().zip(ports).map(Some).collect();
    let mut threads = Vec::new();
    for share in shares {
        let share = share.into_iter().filter_map(|index| work.get_mut(index)?.take()).collect();
        let (dialer, options) = (dialer.clone(), options.clone());
        let thread = std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || engine::run(share, dialer, &options))
            .map_err(AppError::Thread)?;
        threads.push(thread);
    }
    Ok(threads)
}

fn join(thread: JoinHandle<io::Result<()>>) -> Result<(), AppError> {
    match thread.join() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(AppError::Thread(error)),
        Err(_) => Err(AppError::Thread(io::Error::other("a thread panicked; its message is above"))),
    }
}

/// The TCP listener and the Unix socket, until the drain begins.
fn serve(
    doors: &mut JoinSet<()>,
    tcp: TcpListener,
    socket: UnixListener,
    board: &Arc<Board>,
    draining: &watch::Receiver<bool>,
) {
    let over_tcp = crate::admin::over_tcp(Arc::clone(board));
    let over_socket = crate::admin::over_socket(Arc::clone(board));
    let mut until = draining.clone();
    doors.spawn(async move {
        tokio::select! {
            served = async { axum::serve(tcp, over_tcp).await } => {
                if let Err(error) = served { tracing::error!(%error, "the admin listener broke down") }
            }
            _ = until.wait_for(|drain| *drain) => {}
        }
    });
    let mut until = draining.clone();
    doors.spawn(async move {
        tokio::select! {
            served = async { axum::serve(socket, over_socket).await } => {
                if let Err(error) = served { tracing::error!(%error, "the admin socket broke down") }
            }
            _ = until.wait_for(|drain| *drain) => {}
        }
    });
}
