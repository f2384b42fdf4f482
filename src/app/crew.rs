//! Everybody who is at work on the services: who begins, who leaves, and what a configuration that was read anew asks of them.

use super::keep::Running;
use super::reload::{self, What};
use super::start::{AppError, Lever, Shared, Unit, fits};
use super::steward::{Change, Left, Next, Revise};
use super::{Source, join};
use crate::admin::{Reload, Reloaded};
use crate::clock;
use crate::engine::{self, Dialer, Revision};
use crate::model::policy::GuardPolicy;
use crate::publish::{Asked, Item};
use crate::settings::{Service, Settings};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// A steward that is busy takes its configuration later than this; the answer doesn't wait for it.
const TAKEN_WITHIN: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Crew {
    pub(super) shared: Shared,
    source: Option<Source>,
    stewards: BTreeMap<Arc<str>, mpsc::Sender<Revise>>,
    tasks: JoinSet<(Arc<str>, Left)>,
    engines: Vec<JoinHandle<io::Result<()>>>,
    drain: watch::Sender<bool>,
    /// Services that wait for the steward before to make room.
    next: BTreeMap<Arc<str>, (Service, Lever)>,
    /// What the watch read last, to be taken when it reads the same again.
    seen: Option<Box<Settings>>,
}

impl Crew {
    pub(super) fn new(shared: Shared, source: Option<Source>, drain: watch::Sender<bool>) -> Self {
        Self {
            shared,
            source,
            stewards: BTreeMap::new(),
            tasks: JoinSet::new(),
            engines: Vec::new(),
            drain,
            next: BTreeMap::new(),
            seen: None,
        }
    }

    /// Starts everybody; services share the engine's threads.
    pub(super) fn start(&mut self, units: Vec<Unit>, dialer: &Dialer) -> Result<(), AppError> {
        let options = self.shared.options.clone();
        let services: Vec<Service> = units.iter().map(|unit| unit.service.clone()).collect();
        let shares = engine::share(&services, options.threads, options.quantum);
        self.shared.keeping.run().map_err(AppError::Thread)?;
        let (mut work, mut stewards) = (Vec::new(), Vec::new());
        for Unit { service, port, steward, revisions } in units {
            self.stewards.insert(Arc::clone(&steward.name), revisions);
            work.push(Some((service, port)));
            stewards.push(steward);
        }
        for share in shares {
            let share = share.into_iter().filter_map(|index| work.get_mut(index)?.take()).collect();
            self.engine(share, dialer.clone())?;
        }
        for steward in stewards {
            self.tasks.spawn(steward.run(self.drain.subscribe()));
        }
        Ok(())
    }

    /// A thread of the engine: nothing else runs there, so that nothing else can delay a probe.
    fn engine(&mut self, share: Vec<(Service, engine::Port)>, dialer: Dialer) -> Result<(), AppError> {
        let options = self.shared.options.clone();
        let thread = std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || engine::run(share, dialer, &options))
            .map_err(AppError::Thread)?;
        self.engines.push(thread);
        Ok(())
    }

    /// One more service, on a thread of its own.
    fn begin(&mut self, service: Service, lever: Lever) -> Result<(), AppError> {
        let dialer = Dialer::of(std::slice::from_ref(&service))?;
        self.tell_asked(&service);
        let Unit { service, port, steward, revisions } = self.shared.unit(service, lever)?;
        self.shared.keeping.run().map_err(AppError::Thread)?;
        self.engine(vec![(service, port)], dialer)?;
        self.stewards.insert(Arc::clone(&steward.name), revisions);
        self.tasks.spawn(steward.run(self.drain.subscribe()));
        Ok(())
    }

    /// Before the first second that names its URLs.
    fn tell_asked(&self, service: &Service) {
        self.shared.publisher.send(Item::Asked(service.name.as_str().into(), Asked::all(service)));
    }

    /// The next whose part is over. Cancel-safe.
    pub(super) async fn ended(&mut self) -> Option<(Arc<str>, Left)> {
        self.tasks
            .join_next()
            .await
            .map(|ended| ended.unwrap_or_else(|error| ((*error.to_string()).into(), Left::Broken)))
    }

    /// Somebody has made room: whoever waits for that begins. False when it was no leaving.
    pub(super) async fn settle(&mut self, name: &Arc<str>, left: Left) -> bool {
        if left != Left::Yielded {
            return false;
        }
        self.stewards.remove(name);
        wait(self.shared.keeping.left(name)).await;
        if let Some((service, lever)) = self.next.remove(name) {
            match self.begin(service, lever) {
                Ok(()) => return true,
                Err(error) => {
                    tracing::error!(service = %name, %error, "the service can't be watched by the configuration that was read anew");
                    let faults = format!("service {name}: {error}");
                    self.reloaded().faults = Some(faults);
                }
            }
        }
        self.shared.board.services.remove(name);
        self.shared.publisher.send(Item::Gone(Arc::clone(name)));
        tracing::info!(service = %name, "is not watched any more");
        true
    }

    fn reloaded(&self) -> std::sync::MutexGuard<'_, Reloaded> {
        self.shared.board.reloaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the configuration anew, and takes it whole or not at all.
    pub(super) async fn reload(&mut self, asked: Reload) {
        let watched = matches!(asked, Reload::Watched);
        let taken = Box::pin(self.take(watched)).await;
        let at = clock::wall();
        let reloaded = match taken {
            Ok(None) => return,
            Ok(Some(reloaded)) => {
                tracing::info!(changed = ?reloaded.changed, added = ?reloaded.added, removed = ?reloaded.removed,
                    needs_restart = ?reloaded.needs_restart, "the configuration was read anew");
                Reloaded { at, ..reloaded }
            }
            Err(faults) => {
                let known = self.reloaded().faults.as_ref() == Some(&faults);
                if !(watched && known) {
                    tracing::error!(
                        "the configuration was read anew and is not taken, so that of before goes on: {faults}"
                    );
                }
                let needs_restart = self.reloaded().needs_restart.clone();
                Reloaded { at, faults: Some(faults), needs_restart, ..Reloaded::default() }
            }
        };
        self.shared.publisher.send(Item::Reloaded { at, taken: reloaded.faults.is_none() });
        self.reloaded().clone_from(&reloaded);
        if let Reload::Asked(Some(reply)) = asked {
            // Gone when the asker gave up.
            drop(reply.send(reloaded));
        }
    }

    /// `None`: the watch has found nothing new.
    async fn take(&mut self, watched: bool) -> Result<Option<Reloaded>, String> {
        let Some(Source(read)) = self.source.clone() else {
            return Err("this process has no configuration that could be read anew".into());
        };
        let read = tokio::task::spawn_blocking(move || read());
        let read = read.await.unwrap_or_else(|error| Err(error.to_string()))?;
        // Somebody may be writing still.
        if watched && self.seen.as_deref() != Some(&read) {
            self.seen = Some(Box::new(read));
            return Ok(None);
        }
        self.seen = None;
        let plan = reload::plan(&self.shared.settings, read);
        let failed = self.reloaded().faults.is_some();
        if watched
            && !failed
            && plan.changes.is_empty()
            && plan.needs_restart == self.reloaded().needs_restart
        {
            return Ok(None);
        }
        let said = |error: AppError| error.to_string();
        fits(&plan.settings).map_err(said)?;
        // Everything that can be refused is, before anything is changed.
        let mut ready = Vec::new();
        for (service, what) in plan.changes {
            let dialer = Dialer::of(std::slice::from_ref(&service)).map_err(|error| said(error.into()))?;
            // It could not begin the last time.
            let there = self.stewards.contains_key(service.name.as_str());
            let what = if what == What::Go && !there { What::Add } else { what };
            let lever = match what {
                What::Add | What::Replace => self.shared.lever(&service).await.map_err(said)?,
                What::Go | What::Remove => None,
            };
            ready.push((service, what, dialer, lever));
        }
        let mut reloaded = Reloaded { needs_restart: plan.needs_restart, ..Reloaded::default() };
        let before = std::mem::replace(&mut self.shared.settings, plan.settings).services;
        let promised = |name: &str| {
            let before = before.iter().find(|service| service.name == name);
            before.is_some_and(|service| service.judge.objectives.allowed_bad_share().is_some())
        };
        for (service, what, dialer, lever) in ready {
            let told = match what {
                What::Go | What::Replace => &mut reloaded.changed,
                What::Add => &mut reloaded.added,
                What::Remove => &mut reloaded.removed,
            };
            told.push(service.name.clone());
            if what == What::Go {
                self.revise(service, dialer, &promised).await;
            } else {
                self.move_on(service, what, lever).await.map_err(said)?;
            }
        }
        Ok(Some(reloaded))
    }

    /// A service goes on by other settings, as soon as its guard lets it.
    async fn revise(&mut self, service: Service, dialer: Dialer, promised: &impl Fn(&str) -> bool) {
        // It was to make room for another one, steered the same as this.
        if let Some((next, _)) = self.next.get_mut(service.name.as_str()) {
            *next = service;
            return;
        }
        let name = service.name.clone();
        self.tell_asked(&service);
        let policy = Box::new(service.guard.clone());
        let newly = !promised(&name);
        let spending =
            newly.then(|| self.shared.keeping.spending(&self.shared.settings.process.evidence, &service));
        let next = Next { revision: Revision::new(service, dialer), spending: spending.flatten() };
        self.tell(&name, policy, Change::Go(Box::new(next))).await;
    }

    /// A service begins, ends, or both.
    async fn move_on(&mut self, service: Service, what: What, lever: Lever) -> Result<(), AppError> {
        let name = service.name.clone();
        if what != What::Remove && !self.stewards.contains_key(name.as_str()) {
            return self.begin(service, lever);
        }
        let policy = Box::new(service.guard.clone());
        if what == What::Remove {
            self.next.remove(name.as_str());
        } else {
            self.next.insert(name.as_str().into(), (service, lever));
        }
        self.tell(&name, policy, Change::Leave).await;
        Ok(())
    }

    async fn tell(&self, name: &str, policy: Box<GuardPolicy>, change: Change) {
        let Some(steward) = self.stewards.get(name) else { return };
        let (taken, known) = oneshot::channel();
        if steward.send(Revise { policy, change, taken }).await.is_ok() {
            // That it was dropped is the word.
            drop(tokio::time::timeout(TAKEN_WITHIN, known).await);
        }
    }

    /// Tells everybody to finish.
    pub(super) fn drain(&self) {
        self.drain.send_replace(true);
    }

    /// Waits for everybody.
    pub(super) async fn all(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    /// Ends those who have not finished, and gives what they leave: the engine's threads, and what the services shared.
    pub(super) async fn finish(mut self) -> Result<Shared, AppError> {
        // The stewards held the ends of the engine's channels and of the ledgers'.
        self.tasks.shutdown().await;
        for engine in self.engines {
            join(engine)?;
        }
        Ok(self.shared)
    }
}

/// Waits until threads have written what they had.
async fn wait(threads: Vec<Running>) {
    let all = tokio::task::spawn_blocking(move || threads.into_iter().try_for_each(join));
    if !matches!(all.await, Ok(Ok(()))) {
        tracing::error!("what a service leaves could not be written whole");
    }
}
