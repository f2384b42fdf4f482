//! The world in small: rules of two colours, who else may touch them, what is on its way, and one or two daemons.

use serin_model::guard::{Action, Depth, Event, Guard, Marks, Observed, OpId, PageKind, WriteOutcome};
use serin_model::listener::{
    Forward, Group, GroupHealth, HealthState, ListenerState, RuleState, TargetHealth,
};
use serin_model::owner::{By, Call, Deployer, Deployment, DeploymentStage, Owner};
use serin_model::plan::{Style, Write};
use serin_model::policy::{GuardPolicy, Mode};
use serin_model::record::{Intent, Record};
use serin_model::recover::{Recovered, recover};
use serin_model::release::EpochId;
use serin_model::time::{Mono, Wall};
use std::rc::Rc;
use std::time::Duration;

use crate::canon::Canon;
use crate::laws::Mind;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// Evidence is old soon, so that everything that depends on its age happens within few steps.
pub(crate) const FRESH: Duration = Duration::from_secs(3);
pub(crate) const START: Mono = Mono(100_000_000_000_000);

/// How much of each kind of trouble is left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// The process dies, between two steps or within one.
    pub(crate) crashes: u8,
    /// A call or an answer takes longer than an instant, or never comes.
    pub(crate) late: u8,
    /// A call is answered by an error, the disk is full, the proof fails.
    pub(crate) faults: u8,
    /// Somebody else does something.
    pub(crate) hands: u8,
    /// The judge is silent for a second, or takes its word back.
    pub(crate) lapses: u8,
}

/// What is searched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) name: &'static str,
    pub(crate) rules: usize,
    pub(crate) owned: bool,
    pub(crate) actors: usize,
    pub(crate) budget: Budget,
}

/// The newest read of a guard: it waits for no other.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) op: OpId,
    pub(crate) depth: Depth,
    /// AWS has answered, and what it showed then is on its way.
    pub(crate) shows: Option<Rc<Observed>>,
    pub(crate) late: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    Write(Write),
    Call(Call),
}

/// A mutating call: it outlives the process that sent it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) op: OpId,
    pub(crate) what: Rc<What>,
    pub(crate) at: Mono,
    /// `None` while it hasn't reached AWS.
    pub(crate) outcome: Option<WriteOutcome>,
    pub(crate) late: bool,
    pub(crate) intent: serin_model::record::IntentId,
}

/// One daemon and what is on its way to it.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    pub(crate) guard: Option<Guard>,
    /// What the judge was told to judge, and whether it is a release.
    pub(crate) stage: Option<(EpochId, bool)>,
    pub(crate) asked: Option<Asked>,
    /// The intent that is to be on disk, whether it is, and whether that takes long.
    pub(crate) persist: Option<(OpId, Rc<Intent>, bool, bool)>,
    pub(crate) sent: Vec<Sent>,
    pub(crate) proof: Option<OpId>,
    /// The judge has not spoken yet in this second.
    pub(crate) due: bool,
    /// Somebody was told of more than the breach.
    pub(crate) told: bool,
    pub(crate) mind: Mind,
    ledger: Vec<(Wall, Rc<Record>)>,
    newest: Wall,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) now: Mono,
    pub(crate) budget: Budget,
    pub(crate) listener: ListenerState,
    pub(crate) marks: Marks,
    pub(crate) blue_well: bool,
    /// The owner has begun to take its deployment back.
    pub(crate) owner_works: bool,
    pub(crate) actors: Vec<Actor>,
    /// Intents that changed something.
    pub(crate) effective: Vec<(usize, serin_model::record::IntentId)>,
    /// A call of ours changed what somebody else had put there since our read: nobody can prevent that without a store.
    pub(crate) raced: bool,
    /// What was said and done, where it is to be read.
    pub(crate) log: Option<Vec<String>>,
}

pub(crate) fn policy() -> GuardPolicy {
    GuardPolicy {
        mode: Mode::Act,
        cool_down: Duration::from_hours(1),
        reverts_per_hour_max: 1,
        reverts_per_day_max: 1,
        healthy_min: 1,
        capacity_min: 0.5,
        evidence_age_max: FRESH,
        revert_style: Style::Weights,
        verify_answers: 5,
        verify_for: Duration::from_secs(2),
        has_lever: true,
        versions_known: true,
        settle: Duration::from_mins(1),
        settle_answers: 5,
        judge_for: Duration::from_hours(1),
        heard: serin_model::policy::Heard::Directly,
    }
}

/// Every rule with these weights.
pub(crate) fn forward(rules: usize, weights: &[(&str, i32)]) -> ListenerState {
    let group = |(arn, weight): &(&str, i32)| Group { arn: (*arn).into(), weight: Some(*weight) };
    let forward = Forward { scalar: None, groups: weights.iter().map(group).collect(), stickiness: None };
    let named = |arn: &&str| RuleState {
        arn: (*arn).into(),
        forward: Some(forward.clone()),
        others: vec![],
        unknown: vec![],
    };
    ["443", "80"][..rules].iter().map(named).collect::<Vec<_>>().into()
}

pub(crate) fn blue(rules: usize) -> ListenerState {
    forward(rules, &[("b", 100), ("g", 0)])
}

pub(crate) fn green(rules: usize) -> ListenerState {
    forward(rules, &[("b", 0), ("g", 100)])
}

fn deployer(id: &str, stage: DeploymentStage) -> Owner {
    let newest = Some(Deployment { id: id.into(), stage, unwatched: None });
    Owner::Deployer(Deployer { by: By::Ecs, service: "shop".into(), newest })
}

fn wall(now: Mono) -> Wall {
    Wall(i64::try_from(now.0 / 1_000_000).expect("a short run"))
}

impl World {
    /// Before the release: nothing has been read.
    pub(crate) fn new(setup: &Setup) -> Self {
        let over = || deployer("d1", DeploymentStage::Over("SUCCESSFUL".into()));
        let owner = if setup.owned { over() } else { Owner::Nobody };
        let actor = Actor {
            guard: None,
            stage: None,
            asked: None,
            persist: None,
            sent: vec![],
            proof: None,
            due: false,
            told: false,
            mind: Mind::default(),
            ledger: vec![],
            newest: Wall(0),
        };
        Self {
            now: START,
            budget: setup.budget,
            listener: blue(setup.rules),
            marks: Marks::of(owner),
            blue_well: true,
            owner_works: false,
            actors: vec![actor; setup.actors],
            effective: vec![],
            raced: false,
            log: None,
        }
    }

    /// A newer deployment, where a deployer owns the rules.
    pub(crate) fn deploys(&mut self) {
        let Owner::Deployer(Deployer { newest: Some(newest), .. }) = &self.marks.owner else { return };
        let next = format!("{}'", newest.id);
        self.marks.owner = deployer(&next, DeploymentStage::Running { hook: None });
        self.owner_works = false;
    }

    pub(crate) fn deployment(&mut self) -> Option<&mut Deployment> {
        match &mut self.marks.owner {
            Owner::Deployer(Deployer { newest: Some(newest), .. }) => Some(newest),
            _ => None,
        }
    }

    /// Users get the version that breaks the promise.
    pub(crate) fn ill(&self) -> bool {
        self.listener.serving().contains("g")
    }

    pub(crate) fn health(&self) -> Vec<GroupHealth> {
        let one = |group: &str, state| GroupHealth {
            group: group.into(),
            targets: vec![TargetHealth { id: format!("{group}1").into(), state, overridden: false }],
        };
        let blue = if self.blue_well { HealthState::Healthy } else { HealthState::Unhealthy };
        vec![one("b", blue), one("g", HealthState::Healthy), one("r", HealthState::Healthy)]
    }

    pub(crate) fn observed(&self, depth: Depth) -> Observed {
        Observed {
            state: self.listener.clone(),
            marks: (depth != Depth::Listener).then(|| self.marks.clone()),
            health: (depth == Depth::Full).then(|| self.health()),
        }
    }

    pub(crate) fn say(&mut self, text: impl FnOnce() -> String) {
        let seconds = self.now.since(START).as_secs();
        if let Some(log) = &mut self.log {
            log.push(format!("{seconds} s  {}", text()));
        }
    }

    /// Somebody starts the daemon again.
    pub(crate) fn boot(&mut self, index: usize) -> Result<(), String> {
        let memory = self.actors[index].memory(self.now);
        // Nothing else is told by it.
        if memory.intent.is_some() {
            let started = Record::Started { version: "".into(), config: "".into(), mode: "act".into() };
            self.actors[index].note(self.now, started);
        }
        self.actors[index].guard = Some(Guard::new(policy(), memory, self.now));
        self.step(index, Event::Tick, None).map(|_| ())
    }

    /// One step of a guard, and what it asks for is carried out: all of it, or what comes before the process dies. Says how many
    /// things it asked for.
    pub(crate) fn step(&mut self, index: usize, event: Event, dies: Option<usize>) -> Result<usize, String> {
        let now = self.now;
        let Some(guard) = &mut self.actors[index].guard else { return Ok(0) };
        let mut out = Vec::new();
        guard.step(now, event, &mut out);
        let count = out.len();
        for (done, action) in out.into_iter().enumerate() {
            if dies == Some(done) {
                break;
            }
            self.act(index, action)?;
        }
        if dies.is_some() {
            self.die(index);
        }
        Ok(count)
    }

    fn act(&mut self, index: usize, action: Action) -> Result<(), String> {
        if self.log.is_some() && crate::trace::tells(&action) {
            let text = crate::trace::words(&action);
            let who = self.who(index);
            self.say(|| format!("    {who} {text}"));
        }
        let now = self.now;
        let actor = &mut self.actors[index];
        match action {
            Action::Open(stage) => actor.stage = Some((stage.epoch, stage.release)),
            Action::Pace(_) | Action::Ask(_) | Action::Revised => {}
            Action::Tag(hold) => self.marks.hold = hold,
            Action::Read(op, depth) => actor.asked = Some(Asked { op, depth, shows: None, late: false }),
            Action::Persist(op, intent) => actor.persist = Some((op, Rc::new(*intent), false, false)),
            Action::Write(op, write) => self.send(index, op, What::Write(write))?,
            Action::Call(op, call) => self.send(index, op, What::Call(call))?,
            Action::Verify(op, _) => actor.proof = Some(op),
            Action::Page(page) => {
                let kinds = [
                    PageKind::Refused,
                    PageKind::Partial,
                    PageKind::Overridden,
                    PageKind::Bad,
                    PageKind::Blind,
                ];
                actor.told |= kinds.contains(&page.kind);
            }
            Action::Note(record) => actor.note(now, *record),
        }
        Ok(())
    }

    fn send(&mut self, index: usize, op: OpId, what: What) -> Result<(), String> {
        let now = self.now;
        let out = self.actors[index].sent.iter().any(|sent| sent.outcome.is_none());
        let intent = self.actors[index].mind.sends(now, op, &what, out)?;
        let sent = Sent { op, what: Rc::new(what), at: now, outcome: None, late: false, intent };
        self.actors[index].sent.push(sent);
        Ok(())
    }

    pub(crate) fn who(&self, index: usize) -> &'static str {
        match (self.actors.len(), index) {
            (1, _) => "Serin",
            (_, 0) => "Serin A",
            _ => "Serin B",
        }
    }

    /// The process is gone, and what was on its way to it; what it had sent is still under way.
    pub(crate) fn die(&mut self, index: usize) {
        let actor = &mut self.actors[index];
        (actor.guard, actor.stage, actor.asked, actor.persist) = (None, None, None, None);
        (actor.proof, actor.due) = (None, false);
        actor.sent.retain(|sent| sent.outcome.is_none());
        for sent in &mut actor.sent {
            sent.late = true;
        }
        actor.mind.dies();
        self.say(|| "    it dies".into());
    }

    /// What tells this state from another.
    pub(crate) fn canon(&self) -> Canon {
        let mut canon = Canon::new(self.now);
        for actor in &self.actors {
            canon.actor(actor.stage.map(|(epoch, _)| epoch.0));
            canon.add(&actor.guard);
            let stage = (&actor.stage, &actor.asked, &actor.persist, &actor.sent, &actor.proof);
            canon.add(&stage);
            canon.add(&(actor.due, actor.told, &actor.mind));
            // What the ledger holds matters to whoever may yet read it.
            if self.budget.crashes > 0 || actor.guard.is_none() {
                canon.add(&actor.memory(self.now));
            }
            let spent: Vec<_> = self.effective.iter().map(|(_, intent)| *intent).collect();
            canon.add(&spent);
        }
        canon.actor(None);
        let budget = (self.budget.crashes, self.budget.late, self.budget.faults, self.budget.hands);
        canon.add(&(budget, self.budget.lapses, self.blue_well, self.owner_works));
        canon.add(&(&self.listener, &self.marks));
        canon
    }
}

impl Actor {
    pub(crate) fn note(&mut self, now: Mono, record: Record) {
        self.mind.note(&record);
        self.newest = wall(now);
        let read_back = !matches!(
            record,
            Record::FirstBad { .. }
                | Record::Verdict { .. }
                | Record::Pulse { .. }
                | Record::Breach { .. }
                | Record::Preflight { .. }
                | Record::Refused { .. }
                | Record::Drift { .. }
                | Record::Paged { .. }
        );
        if read_back {
            self.ledger.push((wall(now), Rc::new(record)));
        }
    }

    /// As the ledger tells it. Ages are capped like all others.
    fn memory(&self, now: Mono) -> Recovered {
        let cap = |age: Duration| Duration::from_secs(age.as_secs().min(15));
        let lines = self.ledger.iter().map(|(at, record)| (*at, (**record).clone()));
        let mut memory = recover(lines, wall(now));
        // But for the absence after which a release isn't judged on.
        let gap = Duration::from_millis(u64::try_from(wall(now).0 - self.newest.0).unwrap_or(0));
        memory.gap = Duration::from_secs(gap.as_secs().min(61));
        for ago in &mut memory.reverts_ago {
            *ago = cap(*ago);
        }
        memory.sent_ago = memory.sent_ago.map(cap);
        if let Some(release) = &mut memory.release {
            release.cutover_ago = cap(release.cutover_ago);
        }
        memory
    }

    /// Nobody reads the ledger again.
    pub(crate) fn forget(&mut self) {
        self.ledger.clear();
    }
}
