//! A guard with hands: one service's loop on the control side.
//!
//! `route` is one exhaustive match on what the guard asks for; each reply comes back as the next event.

use super::spending::Spending;
use crate::admin::{Board, Taken};
use crate::clock;
use crate::engine::{Chapter, Finding, Order, Revision};
use crate::evidence::ledger::LedgerHandle;
use crate::failpoint;
use crate::model::guard::{
    Action, Command, Depth, Event, Full, Guard, Observed, OpId, Page, Proof, ReadError, Status, WriteOutcome,
};
use crate::model::policy::{GuardPolicy, Mode};
use crate::model::record::{Intent, Record};
use crate::model::time::Mono;
use crate::publish::{Item, Publisher};
use crate::revert::{Hand, Reverter};
use crate::settings::Front;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// The board and the figures are refreshed at least so often.
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// The pause before the balancer's name is asked for again.
const FRONT_AGAIN: Duration = Duration::from_secs(5);

/// Everything that one service's loop owns.
pub(super) struct Steward {
    pub(super) name: Arc<str>,
    pub(super) guard: Guard,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) findings: mpsc::Receiver<Finding>,
    pub(super) commands: mpsc::Receiver<(Command, oneshot::Sender<Taken>)>,
    pub(super) lever: Option<Arc<Hand>>,
    pub(super) hold_file: Option<PathBuf>,
    /// The balancer's name, if probes need it.
    pub(super) front: Option<Front>,
    /// The probes reach the balancer itself, so that they can prove a revert.
    pub(super) verifies: bool,
    /// Why the last read brought nothing, as it was logged.
    pub(super) read_error: Option<Box<str>>,
    pub(super) ledger: LedgerHandle,
    pub(super) publisher: Arc<Publisher>,
    pub(super) board: Arc<Board>,
    pub(super) opening: Vec<Record>,
    pub(super) spending: Option<Spending>,
    /// What the process before may not have told.
    pub(super) untold: Vec<Page>,
    /// What becomes of the tag of the last hold.
    pub(super) tagging: Option<oneshot::Receiver<Result<(), String>>>,
    /// The configuration as it was read anew.
    pub(super) revisions: mpsc::Receiver<Revise>,
    /// The newest of them, until it holds.
    pub(super) pending: Option<Change>,
    /// Its part is over, and somebody else's begins.
    pub(super) leaves: bool,
}

/// A configuration that was read anew, for the steward of a service.
pub(super) struct Revise {
    pub(super) policy: Box<GuardPolicy>,
    pub(super) change: Change,
    /// Dropped when the guard knows of it.
    pub(super) taken: oneshot::Sender<()>,
}

/// What is to be done when it holds.
pub(super) enum Change {
    /// Go on by another configuration.
    Go(Box<Next>),
    /// Make room: the service is watched by another steward from then on, or by none.
    Leave,
}

/// What a steward and its engine go on by.
pub(super) struct Next {
    pub(super) revision: Revision,
    /// Of a service that didn't promise availability before, and does now.
    pub(super) spending: Option<Spending>,
}

/// How a steward's part ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// The process stops.
    Drained,
    /// It made room.
    Yielded,
    /// The engine is gone.
    Broken,
}

impl Steward {
    /// Runs until it is told to drain and nothing is half done.
    pub(super) async fn run(mut self, mut draining: watch::Receiver<bool>) -> (Arc<str>, Left) {
        for record in std::mem::take(&mut self.opening) {
            self.note(Box::new(record));
        }
        for page in std::mem::take(&mut self.untold) {
            self.publisher.send(Item::Page(Arc::clone(&self.name), Arc::new(page)));
        }
        let mut replies: JoinSet<Event> = JoinSet::new();
        if let (Some(front), Some(lever)) = (self.front.clone(), self.lever.clone()) {
            replies.spawn(find_front(Arc::clone(&self.name), front, lever));
        }
        let mut shown = Shown { at: Mono(0), state: "" };
        let mut drained = false;
        let mut asker: Option<oneshot::Sender<Taken>> = None;
        let mut reviser: Option<oneshot::Sender<()>> = None;
        let mut broken = false;
        self.step(Event::Tick, &mut replies).await;
        loop {
            let wake = tokio::time::sleep(self.guard.wake_at().since(clock::now()).min(SHOW_EVERY));
            let event = tokio::select! {
                biased;
                Some(reply) = replies.join_next(), if !replies.is_empty() => match reply {
                    Ok(event) => Some(event),
                    // A call that panicked is a call without an answer: the guard's own deadline resolves it.
                    Err(error) => { tracing::error!(service = %self.name, %error, "a call broke down"); None }
                },
                _ = draining.wait_for(|drain| *drain), if !drained => { drained = true; Some(Event::Drain) }
                Some((command, taken)) = self.commands.recv() => {
                    asker = Some(taken);
                    Some(Event::Operator(command))
                }
                Some(revise) = self.revisions.recv() => {
                    reviser = Some(revise.taken);
                    self.pend(revise.change);
                    Some(Event::Revise(revise.policy))
                }
                finding = self.findings.recv() => {
                    let Some(finding) = finding else { broken = true; break };
                    self.found(finding)
                }
                () = wake => Some(Event::Tick),
            };
            if let Some(event) = event {
                self.step(event, &mut replies).await;
            }
            // Who is told that a command was taken sees it on the board.
            self.show(&mut shown, asker.is_some() || reviser.is_some());
            drop(reviser.take());
            if let Some(asker) = asker.take() {
                self.answer(asker);
            }
            if (drained || self.leaves) && self.guard.may_stop() {
                break;
            }
        }
        if let Some(spending) = &mut self.spending {
            spending.keep();
        }
        let (how, left) = match () {
            () if drained => ("drained", Left::Drained),
            () if broken => ("interrupted", Left::Broken),
            () => ("revised", Left::Yielded),
        };
        self.note(Box::new(Record::Stopped { how: how.into() }));
        (self.name, left)
    }

    /// The newest counts. What one before it brought for the first time is kept.
    fn pend(&mut self, mut change: Change) {
        if let (Change::Go(new), Some(Change::Go(old))) = (&mut change, &mut self.pending) {
            new.spending = new.spending.take().or_else(|| old.spending.take());
        }
        self.pending = Some(change);
    }

    /// What was read anew holds from now on.
    async fn revised(&mut self, replies: &mut JoinSet<Event>) {
        match self.pending.take() {
            None => {}
            Some(Change::Leave) => self.leaves = true,
            Some(Change::Go(next)) => {
                let Next { revision, spending } = *next;
                let service = &revision.settings;
                self.hold_file.clone_from(&service.hold_file);
                self.spending = match (self.spending.take(), service.judge.objectives.allowed_bad_share()) {
                    (Some(mut kept), Some(allowed)) => {
                        kept.allow(allowed);
                        Some(kept)
                    }
                    (None, Some(_)) => spending,
                    (kept, None) => {
                        drop(kept);
                        None
                    }
                };
                if self.front.is_none() && service.wants_front() {
                    self.front = Some(service.front.clone());
                    if let Some(lever) = self.lever.clone() {
                        replies.spawn(find_front(Arc::clone(&self.name), service.front.clone(), lever));
                    }
                }
                let config = service.content_hash.as_str().into();
                let mode = service.mode;
                if let Some(desk) = self.board.services.get(&self.name) {
                    desk.acts.store(mode == Mode::Act, Ordering::Relaxed);
                }
                tracing::info!(service = %self.name, "goes by the configuration that was read anew");
                self.note(Box::new(Record::Revised { config, mode: mode.name().into() }));
                self.order(Order::Revise(Box::new(revision))).await;
            }
        }
    }

    /// Tells whoever gave a command that it was taken, once AWS has said what became of a tag.
    fn answer(&mut self, asker: oneshot::Sender<Taken>) {
        let unprotected = self.guard.status(clock::now()).unprotected;
        let tagging = self.tagging.take();
        tokio::spawn(async move {
            let tag = match tagging {
                Some(tagging) => Some(tagging.await.unwrap_or_else(|_| Err("the call broke down".into()))),
                None => None,
            };
            // Gone when the asker gave up; the command counts all the same.
            let _ = asker.send(Taken { tag, unprotected });
        });
    }

    async fn step(&mut self, event: Event, replies: &mut JoinSet<Event>) {
        if let Event::Read(_, result) = &event {
            self.log_read(result.as_ref().err());
        }
        let mut actions = Vec::new();
        self.guard.step(clock::now(), event, &mut actions);
        failpoint::during(|| self.guard.state());
        for action in actions {
            failpoint::here(|| format!("route.{}", variant(&action)));
            self.route(action, replies).await;
        }
    }

    /// Carries out what the guard asks for. An order waits for the engine, which always takes its orders; all else is
    /// handed over at once.
    async fn route(&mut self, action: Action, replies: &mut JoinSet<Event>) {
        match action {
            Action::Open(stage) => {
                self.order(Order::Open(stage)).await;
            }
            Action::Pace(cadence) => self.order(Order::Pace(cadence)).await,
            Action::Ask(targets) => self.order(Order::Ask(targets)).await,
            Action::Verify(op, _) if !self.verifies => {
                let why = "via = \"public\": the probes go through whatever stands before the balancer, and prove nothing of it";
                replies.spawn(async move { Event::Verified(op, Proof::NotShown(why.into())) });
            }
            Action::Verify(op, aim) => self.order(Order::Verify(op, aim)).await,
            Action::Read(op, depth) => {
                replies.spawn(read(
                    op,
                    depth,
                    self.guard.groups(),
                    self.lever.clone(),
                    self.hold_file.clone(),
                ));
            }
            Action::Write(op, write) => {
                let lever = self.lever.clone();
                replies.spawn(async move {
                    let outcome = match lever {
                        Some(lever) => failpoint::at("write", lever.write(write)).await,
                        None => WriteOutcome::Refused("no lever".into()),
                    };
                    Event::Wrote(op, outcome)
                });
            }
            Action::Call(op, call) => {
                let lever = self.lever.clone();
                replies.spawn(async move {
                    let outcome = match lever {
                        Some(lever) => failpoint::at("call", lever.call(call)).await,
                        None => WriteOutcome::Refused("no lever".into()),
                    };
                    Event::Wrote(op, outcome)
                });
            }
            Action::Persist(op, intent) => {
                self.tell(Arc::new(Record::Intent(Intent::clone(&intent))));
                let (reply, done) = oneshot::channel();
                let reply = Box::new(move |result| drop(reply.send(result)));
                self.ledger.persist(clock::now(), clock::wall(), intent, reply);
                replies.spawn(async move {
                    let gone = |_| Err(Full("the ledger's thread is gone".into()));
                    Event::Durable(op, failpoint::at("persist", done).await.unwrap_or_else(gone))
                });
            }
            Action::Note(record) => {
                if let Some(chapter) = chapter(&record) {
                    self.order(Order::Keep(chapter)).await;
                }
                self.note(record);
            }
            Action::Revised => self.revised(replies).await,
            Action::Tag(hold) => {
                let Some(lever) = self.lever.clone() else { return };
                let (reply, done) = oneshot::channel();
                self.tagging = Some(done);
                let service = Arc::clone(&self.name);
                replies.spawn(async move {
                    let tagged = failpoint::at("tag", lever.tag(hold)).await;
                    if let Err(why) = &tagged {
                        tracing::warn!(%service, %why, "the tag that tells other instances of a hold could not be changed");
                    }
                    // Gone when the asker gave up.
                    let _ = reply.send(tagged);
                    Event::Tagged
                });
            }
            Action::Page(page) => {
                tracing::warn!(service = %self.name, kind = page.kind.name(), dry_run = page.dry_run, "{}", page.text);
                self.publisher.send(Item::Page(Arc::clone(&self.name), Arc::new(page)));
            }
        }
    }

    /// One line when reading begins to fail, fails otherwise, or works again: not one a read.
    fn log_read(&mut self, error: Option<&ReadError>) {
        let why: Option<Box<str>> = error.map(|error| error.to_string().into());
        let Some(lever) = self.lever.as_ref().filter(|_| why != self.read_error) else { return };
        let what = lever.what();
        if let Some(why) = &why {
            tracing::warn!(service = %self.name, %why, "the {what} can't be read; probing goes on, and nothing can be reverted until it can");
        } else {
            tracing::info!(service = %self.name, "the {what} can be read again");
        }
        self.read_error = why;
    }

    async fn order(&self, order: Order) {
        if failpoint::at("order", self.orders.send(order)).await.is_err() {
            tracing::error!(service = %self.name, "the engine is gone");
        }
    }

    fn note(&self, record: Box<Record>) {
        self.tell(Arc::new(Record::clone(&record)));
        self.ledger.note(clock::now(), clock::wall(), record);
    }

    fn tell(&self, record: Arc<Record>) {
        self.publisher.send(Item::Note(Arc::clone(&self.name), record));
    }

    /// What the engine found; an event when the guard must know.
    fn found(&mut self, finding: Finding) -> Option<Event> {
        match finding {
            Finding::Judged(judgement) => {
                let verdict = (judgement.verdict.word(), judgement.verdict.to_string());
                self.desk(|shown| shown.verdict = Some(verdict));
                Some(Event::Judged(judgement))
            }
            Finding::Notice(notice) => Some(Event::Notice(notice)),
            Finding::Proof(op, proof) => Some(Event::Verified(op, proof)),
            Finding::Traced(traced) => {
                self.publisher.send(Item::Probe(Arc::clone(&self.name), traced.into()));
                None
            }
            Finding::Second(second) => {
                if let Some(spending) = &mut self.spending {
                    spending.take(&second);
                }
                if let Some(desk) = self.board.services.get(&self.name) {
                    desk.live().second(clock::wall(), &second);
                }
                self.publisher.send(Item::Second(second));
                None
            }
            Finding::Started => {
                self.desk(|shown| shown.probing = true);
                None
            }
        }
    }

    fn desk(&self, change: impl FnOnce(&mut crate::admin::Shown)) {
        if let Some(desk) = self.board.services.get(&self.name) {
            desk.show(change);
        }
    }

    /// Puts the guard's standing on the board: at once when its state changes or `at_once` says so, else once a second.
    fn show(&self, shown: &mut Shown, at_once: bool) {
        let now = clock::now();
        let status: Status = self.guard.status(now);
        if !at_once && status.state == shown.state && now.since(shown.at) < SHOW_EVERY {
            return;
        }
        *shown = Shown { at: now, state: status.state };
        let status = Arc::new(status);
        let budget = self.spending.as_ref().map(Spending::figures);
        self.desk(|shown| {
            shown.status = Some(Arc::clone(&status));
            shown.budget = budget;
        });
        if let Some(budget) = budget {
            self.publisher.send(Item::Budget(Arc::clone(&self.name), budget));
        }
        self.publisher.send(Item::Status(Arc::clone(&self.name), status));
    }
}

/// What is asked for, in a word.
fn variant(action: &Action) -> String {
    let all = format!("{action:?}");
    all.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default().to_lowercase()
}

/// What whoever keeps raw samples must know of a record.
fn chapter(record: &Record) -> Option<Chapter> {
    match record {
        Record::Epoch { epoch, release, label, after, since, .. } => Some(Chapter {
            epoch: *epoch,
            release: *release,
            label: label.clone(),
            after: *after,
            since: *since,
        }),
        _ => None,
    }
}

/// Asks for the balancer's name until AWS tells it; without it the probes that need it are void, and nothing is judged.
async fn find_front(service: Arc<str>, front: Front, lever: Arc<Hand>) -> Event {
    loop {
        match lever.balancer_name().await {
            Ok(name) => {
                tracing::info!(%service, balancer = name, "the probes go to the balancer's own addresses");
                front.know(name);
                return Event::Tick;
            }
            Err(error) => {
                tracing::warn!(%service, %error, "the balancer's name can't be had, so nothing can be probed until it can");
            }
        }
        tokio::time::sleep(FRONT_AGAIN).await;
    }
}

/// What was shown last.
struct Shown {
    at: Mono,
    state: &'static str,
}

/// A read, with what the hold file says.
async fn read(
    op: OpId,
    depth: Depth,
    groups: std::collections::BTreeSet<Box<str>>,
    lever: Option<Arc<Hand>>,
    hold_file: Option<PathBuf>,
) -> Event {
    let Some(lever) = lever else {
        return Event::Read(op, Err(ReadError::NotFound("no lever is configured".into())));
    };
    let mut result: Result<Observed, ReadError> = failpoint::at("read", lever.read(depth, groups)).await;
    if let (Ok(Observed { marks: Some(marks), .. }), Some(path)) = (&mut result, hold_file)
        // A file that can't be looked at is taken as a hold: the safer reading.
        && failpoint::at("hold-file", tokio::fs::try_exists(&path)).await.unwrap_or(true)
    {
        marks.hold = Some(format!("the file {} exists", path.display()).into());
    }
    Event::Read(op, result)
}
