//! From checked settings to everything that runs: ledgers, ports, levers, channels.

use super::keep::{KeepError, Keeping};
use super::steward::{Revise, Steward};
use crate::admin::{Archive, Board, Desk, Events, Live, Reload, Reloaded, Services, Shown, Teller};
use crate::clock;
use crate::engine::{Budget, BudgetError, Dialer, DialerError, EngineOptions, Port};
use crate::evidence::ledger::Echo;
use crate::model::guard::{Guard, Page};
use crate::model::policy::Mode;
use crate::model::record::Record;
use crate::model::recover::{Recovered, Untold, recover};
use crate::model::release::EpochId;
use crate::publish::{Asked, Format, Item, Lines, PublishError, Publisher, Roster};
use crate::revert::{Hand, LeverError};
use crate::settings::{Process, Service, Settings};
use aws_config::identity::IdentityCache;
use aws_config::{BehaviorVersion, SdkConfig};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;

/// Orders to the engine that wait at most.
const ORDERS: usize = 64;
/// Findings of the engine that wait at most: some seconds of a busy release.
const FINDINGS: usize = 4_096;
/// Credentials are fetched anew so long before they end: a read in peace, of which there is one a minute, does so, and never a revert.
/// ECS and EC2 have new ones five minutes before.
const WARM: Duration = Duration::from_mins(2);
/// Commands that wait at most.
const COMMANDS: usize = 16;
/// Wishes to read the configuration anew that wait at most.
const RELOADS: usize = 4;

/// Everything that [`super::App`] starts.
pub(super) struct Parts {
    pub(super) units: Vec<Unit>,
    pub(super) shared: Shared,
    pub(super) dialer: Dialer,
    pub(super) teller: Teller,
    pub(super) reloads: mpsc::Receiver<Reload>,
    pub(super) tcp: TcpListener,
    pub(super) socket: UnixListener,
}

/// One service, ready to run.
pub(super) struct Unit {
    pub(super) service: Service,
    pub(super) port: Port,
    pub(super) steward: Steward,
    pub(super) revisions: mpsc::Sender<Revise>,
}

/// What every service needs, whenever it begins.
pub(super) struct Shared {
    /// As it was when the process began, the services as they were read last.
    pub(super) settings: Settings,
    pub(super) keeping: Keeping,
    pub(super) publisher: Arc<Publisher>,
    pub(super) board: Arc<Board>,
    pub(super) options: EngineOptions,
    /// Asked for by the first service that has a lever.
    aws: Option<SdkConfig>,
}

/// Why the daemon can't start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The admin port can't be bound.
    #[error(
        "admin.listen = {address}: {source}; is another Serin running? choose another port, or 127.0.0.1:0 for any"
    )]
    Port {
        /// Where.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The admin socket can't be bound.
    #[error("admin.socket = {path:?}: {source}; it needs a folder that this user may write to")]
    Socket {
        /// Where.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Somebody answers at the admin socket.
    #[error(
        "admin.socket = {path:?} is answered by another Serin; stop that one, or give this one another admin.socket or evidence.dir"
    )]
    SocketInUse {
        /// Where.
        path: PathBuf,
    },
    /// The evidence can't be kept.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// TLS can't be set up as the file says.
    #[error(transparent)]
    Dialer(#[from] DialerError),
    /// A publisher can't be set up as the file says.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The lever is none that may be governed.
    #[error("service {service}: {source}")]
    Lever {
        /// Which service.
        service: String,
        /// Why.
        source: LeverError,
    },
    /// This machine can't carry the probes.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// A thread could not be started, or broke down.
    #[error("a thread of the daemon: {0}")]
    Thread(io::Error),
}

impl AppError {
    /// The configuration is at fault rather than the machine.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        matches!(self, Self::Budget(_) | Self::Dialer(_) | Self::Publish(_) | Self::Lever { .. })
    }
}

/// What tells this process from its likes: the machine's name, which in ECS is the container's.
#[must_use]
pub fn instance() -> Arc<str> {
    rustix::system::uname().nodename().to_string_lossy().into_owned().into()
}

pub(super) async fn build(settings: Settings, archive: Archive) -> Result<Parts, AppError> {
    let instance = instance();
    let budget = fits(&settings)?;
    budget.raise_descriptors();
    tracing::info!(%budget, "what the probes may need");
    let Settings { process, services, .. } = &settings;
    let (tcp, socket) = bind(process).await?;
    let dialer = Dialer::of(services)?;
    let keeping = Keeping::new(
        &process.evidence,
        services.len(),
        process.publish.emf.as_ref().is_some_and(|emf| emf.group.is_none()),
    );
    let publisher = Arc::new(Publisher::start(
        &process.publish,
        &roster(services, keeping.echo(), &process.evidence.dir),
        &instance,
        env!("CARGO_PKG_VERSION"),
    )?);
    let (events, teller) = Events::new();
    let (reload, reloads) = mpsc::channel(RELOADS);
    let board = Arc::new(Board {
        version: env!("CARGO_PKG_VERSION"),
        instance: Arc::clone(&instance),
        began: clock::now(),
        metrics: metrics(&publisher),
        archive,
        events,
        token: process.admin.token.clone(),
        services: Services::default(),
        reload,
        reloaded: Mutex::new(Reloaded { at: clock::wall(), ..Reloaded::default() }),
    });
    publisher.send(Item::Reloaded { at: clock::wall(), taken: true });
    let options =
        EngineOptions { quantum: process.engine.quantum, threads: process.engine.threads, instance };
    let services = services.clone();
    let mut shared = Shared { settings, keeping, publisher, board, options, aws: None };
    let mut units = Vec::new();
    for service in services {
        let lever = shared.lever(&service).await?;
        units.push(shared.unit(service, lever)?);
    }
    Ok(Parts { units, shared, dialer, teller, reloads, tcp, socket })
}

/// What is steered, and why the first read brought nothing, if it didn't.
pub(super) type Lever = Option<(Arc<Hand>, Option<Box<str>>)>;

impl Shared {
    /// Reads the lever of a service once: see [`lever`].
    pub(super) async fn lever(&mut self, service: &Service) -> Result<Lever, AppError> {
        if !service.has_lever() {
            return Ok(None);
        }
        if self.aws.is_none() {
            self.aws = Some(aws().await);
        }
        lever(service, self.aws.as_ref()).await
    }

    /// Opens the ledger of a service, puts it on the board, and makes everything that it needs to run.
    pub(super) fn unit(&mut self, service: Service, lever: Lever) -> Result<Unit, AppError> {
        let name: Arc<str> = service.name.as_str().into();
        let kept = self.keeping.open(&self.settings.process.evidence, &service)?;
        let (order_sender, orders) = mpsc::channel(ORDERS);
        let (finding_sender, findings) = mpsc::channel(FINDINGS);
        let (command_sender, commands) = mpsc::channel(COMMANDS);
        let (revision_sender, revisions) = mpsc::channel(COMMANDS);
        let desk = Desk {
            acts: AtomicBool::new(service.mode == Mode::Act),
            commands: command_sender,
            live: Mutex::new(Live::new(names(&service).into())),
            shown: Mutex::new(Shown::default()),
        };
        self.board.services.put(Arc::clone(&name), desk);
        let mut memory = recover(kept.lines, clock::wall());
        // The engine's own epoch, before the listener was ever read, is 0.
        memory.next_epoch = memory.next_epoch.max(1);
        memory.next_release = memory.next_release.max(1);
        let untold = again(&service, &memory);
        let (lever, read_error) = lever.unzip();
        let steward = Steward {
            name,
            guard: Guard::new(service.guard.clone(), memory, clock::now()),
            orders: order_sender,
            findings,
            commands,
            lever,
            hold_file: service.hold_file.clone(),
            read_error: read_error.flatten(),
            front: service.wants_front().then(|| service.front.clone()),
            verifies: service.verifies(),
            ledger: kept.ledger,
            publisher: Arc::clone(&self.publisher),
            board: Arc::clone(&self.board),
            spending: kept.spending,
            tagging: None,
            untold,
            opening: vec![Record::Started {
                version: env!("CARGO_PKG_VERSION").into(),
                config: service.content_hash.as_str().into(),
                mode: service.mode.name().into(),
            }],
            revisions,
            pending: None,
            leaves: false,
        };
        let port = Port { orders, findings: finding_sender, keeper: kept.keeper };
        Ok(Unit { service, port, steward, revisions: revision_sender })
    }
}

/// Pages that may not have been told, as they are told again.
fn again(service: &Service, memory: &Recovered) -> Vec<Page> {
    let page = |page: &Untold| Page {
        kind: page.kind,
        text: format!(
            "again, because the process died {} s or less after it: {}",
            page.ago.as_secs(),
            page.text
        )
        .into(),
        dry_run: service.mode == Mode::Observe,
        epoch: EpochId(memory.next_epoch - 1),
        release: memory.release.as_ref().map(|release| release.id),
    };
    memory.untold.iter().map(page).collect()
}

/// What the probes need here, if that can be had.
///
/// # Errors
/// The first thing that can't be had, with its remedy.
pub fn fits(settings: &Settings) -> Result<Budget, AppError> {
    let engine = &settings.process.engine;
    let budget = Budget::of(&settings.services, engine.threads, engine.quantum);
    budget.check(&settings.services, engine.quantum)?;
    Ok(budget)
}

/// The board asks the publisher, and must not keep it from ending.
fn metrics(publisher: &Arc<Publisher>) -> crate::admin::Metrics {
    let publisher = Arc::downgrade(publisher);
    Box::new(move |accept| {
        let format = Format::chosen(accept);
        let body = publisher.upgrade().map(|publisher| publisher.metrics(format)).unwrap_or_default();
        (format.content_type(), body)
    })
}

fn names(service: &Service) -> Vec<Arc<str>> {
    service.targets.iter().map(|target| Arc::from(target.name.as_str())).collect()
}

fn roster(services: &[Service], echo: Option<Echo>, evidence: &Path) -> Roster {
    Roster {
        services: services
            .iter()
            .map(|service| (Arc::from(service.name.as_str()), names(service), service.mode))
            .collect(),
        asked: services.iter().map(|service| (service.name.as_str().into(), Asked::all(service))).collect(),
        region: services
            .iter()
            .find_map(|service| service.levers.first())
            .map(|lever| lever.region().to_owned()),
        lines: echo.map(|echo| Lines(Arc::new(move |line| echo.line(line)))),
        spool: Some(evidence.join("spool")),
    }
}

/// Credentials, endpoint and the like from the environment, as every AWS tool reads them.
pub async fn aws() -> SdkConfig {
    let credentials = IdentityCache::lazy().buffer_time(WARM).build();
    aws_config::defaults(BehaviorVersion::v2026_01_12()).identity_cache(credentials).load().await
}

/// Reads the lever once. What may never be governed is refused now; what can't be read now is read again later, and until
/// then nothing is armed, and why it can't be read comes with it.
async fn lever(service: &Service, shared: Option<&SdkConfig>) -> Result<Lever, AppError> {
    let Some(shared) = shared.filter(|_| service.has_lever()) else { return Ok(None) };
    let hand = Hand::new(shared, &service.levers, &service.whose);
    match hand.governable().await {
        Ok(state) => {
            tracing::info!(service = %service.name, shows = state.label(), "the {} was read", hand.what());
            Ok(Some((Arc::new(hand), None)))
        }
        Err(LeverError::Read(why)) => {
            tracing::warn!(service = %service.name, %why, "the {} can't be read; probing goes on, and nothing can be reverted until it can", hand.what());
            Ok(Some((Arc::new(hand), Some(why.into()))))
        }
        Err(source @ (LeverError::NotGovernable(_) | LeverError::NotFound(_))) => {
            Err(AppError::Lever { service: service.name.clone(), source })
        }
    }
}

async fn bind(process: &Process) -> Result<(TcpListener, UnixListener), AppError> {
    let address = process.admin.listen;
    let tcp = TcpListener::bind(address).await.map_err(|source| AppError::Port { address, source })?;
    let path = &process.admin.socket;
    let fault = |source| AppError::Socket { path: path.clone(), source };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(fault)?;
    }
    if path.exists() {
        if tokio::net::UnixStream::connect(path).await.is_ok() {
            return Err(AppError::SocketInUse { path: path.clone() });
        }
        // A socket that nobody answers is what a killed daemon left behind.
        std::fs::remove_file(path).map_err(fault)?;
    }
    let socket = UnixListener::bind(path).map_err(fault)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(fault)?;
    if let Ok(bound) = tcp.local_addr() {
        tracing::info!(%bound, socket = %path.display(), "the admin listener is up");
    }
    Ok((tcp, socket))
}
