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

mod crew;
mod keep;
mod look;
mod reload;
mod spending;
mod start;
mod steward;

pub use keep::KeepError;
pub use look::{Look, look};
pub use start::{AppError, aws, fits, instance};

use crate::admin::{Archive, Board, Reload};
use crate::clock;
use crate::model::guard::Command;
use crate::settings::Settings;
use crew::Crew;
use start::{Parts, Shared};
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
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
    source: Option<Source>,
}

/// Reads the configuration anew, or says all its faults. Blocks.
#[derive(Clone)]
pub struct Source(pub Arc<dyn Fn() -> Result<Settings, String> + Send + Sync>);

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nothing was half done.
    Drained,
    /// The grace ran out while something was.
    Interrupted,
}

impl App {
    /// Opens ledgers, binds ports, asks AWS once what the levers are. `archive` makes the accounts that the listener shows, `source` is
    /// asked when the configuration is to be read anew.
    ///
    /// # Errors
    /// The first thing that can't be had, with its remedy.
    pub async fn build(
        settings: Settings,
        archive: Archive,
        source: Option<Source>,
    ) -> Result<Self, AppError> {
        Ok(Self { parts: Box::pin(start::build(settings, archive)).await?, source })
    }

    /// Runs until `stop` is done, then drains.
    ///
    /// # Errors
    /// The engine could not be started, or broke down.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<Ended, AppError> {
        let Parts { units, shared, dialer, teller, mut reloads, tcp, socket } = self.parts;
        let board = Arc::clone(&shared.board);
        let watch_every = shared.settings.process.watch;
        let (drain, draining) = watch::channel(false);
        let mut crew = Crew::new(shared, self.source, drain);
        crew.start(units, &dialer)?;
        let mut doors = JoinSet::new();
        serve(&mut doors, tcp, socket, &board, &draining);
        let signals = signal(SignalKind::user_defined1()).map_err(AppError::Thread)?;
        doors.spawn(hold_by_signal(signals, Arc::clone(&board)));
        let signals = signal(SignalKind::hangup()).map_err(AppError::Thread)?;
        doors.spawn(reload_by_signal(signals, board.reload.clone()));
        if let Some(every) = watch_every {
            doors.spawn(reload_by_watch(every, board.reload.clone()));
        }
        doors.spawn(teller.run(Arc::clone(&board)));
        let mut stop = pin!(stop);
        loop {
            let ended = tokio::select! {
                biased;
                () = &mut stop => { tracing::info!("stopping: finishing what has begun"); break }
                Some(ended) = crew.ended() => ended,
                Some(asked) = reloads.recv() => {
                    // Until everything is known to be good nothing is changed, so that it may be left at any time.
                    tokio::select! {
                        () = &mut stop => { tracing::info!("stopping: finishing what has begun"); break }
                        () = crew.reload(asked) => {}
                    }
                    continue;
                }
            };
            let (service, left) = ended;
            if !crew.settle(&service, left).await {
                tracing::error!(%service, ?left, "a service ended by itself; stopping the others");
                break;
            }
        }
        crew.drain();
        let ended = match tokio::time::timeout(GRACE, crew.all()).await {
            Ok(()) => Ended::Drained,
            Err(_) => Ended::Interrupted,
        };
        let Shared { keeping, publisher, board: shared_board, .. } = crew.finish().await?;
        let (disk, copy) = keeping.finish();
        for thread in disk {
            join(thread)?;
        }
        doors.shutdown().await;
        drop((board, shared_board));
        if let Some(publisher) = Arc::into_inner(publisher) {
            publisher.drain(PUBLISH_GRACE).await;
        }
        // Publishers may write there too.
        if let Some(copy) = copy {
            finish_copy(copy).await;
        }
        Ok(ended)
    }
}

/// SIGHUP: the configuration is read anew.
async fn reload_by_signal(mut signals: Signal, reload: mpsc::Sender<Reload>) {
    while signals.recv().await.is_some() {
        tracing::info!("SIGHUP: the configuration is read anew");
        drop(reload.send(Reload::Asked(None)).await);
    }
}

/// Files that have changed are found by reading them: what a container mounts is exchanged under names that a kernel's watch doesn't follow.
async fn reload_by_watch(every: Duration, reload: mpsc::Sender<Reload>) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        drop(reload.send(Reload::Watched).await);
    }
}

/// SIGUSR1 holds every service, as `serin hold` does: for whoever has a shell in the container and nothing else.
async fn hold_by_signal(mut signals: Signal, board: Arc<Board>) {
    while signals.recv().await.is_some() {
        tracing::warn!("SIGUSR1: every service is held until `serin unhold`");
        for (_, desk) in board.services.all() {
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

/// What a thread came to.
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
