//! The play: mark, cutover, fault, follow, and in any case restore.

use super::hook::{Hands, HookError, Phase};
use super::measure::{Ending, Measure};
use super::tail::{Past, Tail};
use super::{Plan, Stop};
use crate::admin::post;
use crate::cli::stage::{Step, narrate};
use crate::cli::stand::Stand;
use crate::clock;
use crate::model::guard::Command;
use crate::model::record::Record;
use crate::model::release::ReleaseId;
use crate::model::time::{Mono, Wall};
use anyhow::{Context, anyhow};
use std::time::Duration;

/// How often the ledger is looked at. Times are the daemon's, so this measures nothing.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A command to the daemon is in its ledger by then.
const MARKED_WITHIN: Duration = Duration::from_secs(10);
/// A cutover that was made is seen by then: the listener is read once in a few seconds.
const SEEN_WITHIN: Duration = Duration::from_mins(1);
/// What follows the end is written, and shown, by then.
const AFTERMATH: Duration = Duration::from_millis(1_200);
/// A release that was seen so long ago may still be named.
const NAME_WITHIN: Duration = Duration::from_mins(1);

/// What became of a drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Users are on blue again, which was proved.
    Reverted,
    /// Dry run: it would have been put back.
    WouldRevert,
    /// Serin had done with the release, and users were not back, or not provably.
    NotReverted,
    /// Nothing was begun.
    NotReady,
    /// A promise was broken before the fault was in.
    Early,
    /// The hook failed or hung.
    HookFailed,
    /// Something that was waited for didn't come.
    TimedOut,
    /// A signal.
    Interrupted,
    /// The drill itself couldn't go on.
    Failed,
}

impl Outcome {
    /// As in the JSON.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Reverted => "reverted",
            Self::WouldRevert => "would_revert",
            Self::NotReverted => "not_reverted",
            Self::NotReady => "not_ready",
            Self::Early => "early",
            Self::HookFailed => "hook_failed",
            Self::TimedOut => "timed_out",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        }
    }
}

/// Why a drill ends before its proof.
type Ended = (Outcome, String);

/// A drill that was played.
pub(super) struct Drill {
    pub(super) outcome: Outcome,
    /// Why it is no revert; empty when it is.
    pub(super) why: String,
    /// Of a drill that wasn't begun.
    pub(super) reasons: Vec<String>,
    pub(super) measure: Measure,
    /// `None` when there was nothing to take away.
    pub(super) restored: Option<Result<(), String>>,
    pub(super) before: Stand,
    /// As far as the daemon still answers.
    pub(super) after: Option<Stand>,
    pub(super) past: Past,
    /// The ledger's lines of the drill.
    pub(super) lines: Vec<u8>,
    pub(super) notes: Vec<String>,
    /// Both clocks at once.
    pub(super) began: (Mono, Wall),
}

/// Plays it to its end. Only what comes before anything was touched is an error.
pub(super) async fn play(plan: &Plan, hands: &Hands<'_>, stop: &mut Stop) -> Result<Drill, anyhow::Error> {
    let began = (clock::now(), clock::wall());
    let before = Stand::read(&plan.at, &plan.service).await?;
    let reasons = before.reasons(plan.wanted, clock::now());
    if !reasons.is_empty() {
        let why = format!(
            "{} is not ready for a drill, and nothing was done:\n  {}",
            plan.service,
            reasons.join("\n  ")
        );
        let mut drill = Drill::new(before, began);
        (drill.why, drill.reasons) = (why, reasons);
        return Ok(drill);
    }
    let (tail, past) = Tail::open(&plan.ledger).with_context(|| {
        format!(
            "the ledger in {} can't be followed; a drill runs where the daemon does",
            plan.ledger.display()
        )
    })?;
    plan.make_folder()?;
    let mut drill = Drill::new(before, began);
    drill.past = past;
    drill.tell_before(plan);
    let mut scene = Scene { plan, hands, stop, tail, drill, touched: false, marked: false };
    let (outcome, why) = scene.rehearse().await;
    (scene.drill.outcome, scene.drill.why) = (outcome, why);
    scene.restore().await;
    Ok(scene.finish().await)
}

impl Drill {
    fn new(before: Stand, began: (Mono, Wall)) -> Self {
        Self {
            outcome: Outcome::NotReady,
            why: String::new(),
            reasons: Vec::new(),
            measure: Measure::default(),
            restored: None,
            before,
            after: None,
            past: Past::default(),
            lines: Vec::new(),
            notes: Vec::new(),
            began,
        }
    }

    fn tell_before(&self, plan: &Plan) {
        if plan.quiet {
            return;
        }
        if plan.wanted.dry_run {
            return narrate("budget   a dry run: nothing is written, and no revert of the budget is spent\n");
        }
        narrate(&format!(
            "budget   a drill spends a revert ({} so far); after it no release is protected for {} or more\n",
            self.before.budget(),
            humantime::format_duration(plan.cool_down)
        ));
    }
}

/// What is going on.
struct Scene<'a> {
    plan: &'a Plan,
    hands: &'a Hands<'a>,
    stop: &'a mut Stop,
    tail: Tail,
    drill: Drill,
    /// The hook was called.
    touched: bool,
    /// The next release carries the drill's name.
    marked: bool,
}

impl Scene<'_> {
    /// Everything up to the proof.
    async fn rehearse(&mut self) -> Ended {
        match self.act().await {
            Ok(()) => match self.drill.measure.ending.clone() {
                Some(Ending::Reverted) => (Outcome::Reverted, String::new()),
                Some(Ending::WouldRevert) => (Outcome::WouldRevert, String::new()),
                Some(Ending::Other(why)) => (Outcome::NotReverted, why),
                None => (Outcome::Failed, "it ended without an end".into()),
            },
            Err(ended) => ended,
        }
    }

    async fn act(&mut self) -> Result<(), Ended> {
        if self.plan.wanted.no_cutover {
            self.take_release().await?;
        } else {
            self.cut_over().await?;
        }
        self.until(self.plan.fault_after, |measure| measure.ending.is_some() || measure.early).await?;
        let Measure { early, ending, verdict, .. } = &self.drill.measure;
        if *early {
            let why = verdict.as_deref().unwrap_or_default();
            return Err((Outcome::Early, format!("a promise was broken before the fault was in: {why}")));
        }
        if ending.is_some() {
            return Ok(());
        }
        let begun = clock::now();
        // What comes from now on is the fault's, also while the hook is still at it.
        self.drill.measure.fault = Some((begun, begun));
        if let Err(ended) = self.hook(Phase::Fault).await {
            self.drill.measure.fault = None;
            return Err(ended);
        }
        let done = clock::now();
        self.drill.measure.fault = Some((begun, done));
        self.tell(done, "fault injected", &format!("by {}", self.plan.injector));
        if self.until(self.plan.give_up, |measure| measure.ending.is_some()).await? {
            return Ok(());
        }
        Err((
            Outcome::TimedOut,
            format!(
                "nothing was proved within {} of the fault; the last step: {}",
                humantime::format_duration(self.plan.give_up),
                self.drill.measure.rows().last().map_or("none, not even a bad answer", |row| row.title)
            ),
        ))
    }

    /// The drill's name goes into the ledger first, which also shows that it is the daemon's own; then the listener moves.
    async fn cut_over(&mut self) -> Result<(), Ended> {
        self.begin(Some(&self.plan.label)).await.map_err(|error| (Outcome::Failed, format!("{error:#}")))?;
        self.marked = true;
        let label = self.plan.label.clone();
        let ours = move |record: &Record| matches!(record, Record::Operator { command: Command::ReleaseBegin { label: Some(found), .. } } if **found == *label);
        let until = clock::now().after(MARKED_WITHIN);
        while !self.look()?.iter().any(&ours) {
            if clock::now() > until {
                let folder = self.plan.ledger.display();
                let why = format!(
                    "the daemon took the drill's name, and {folder} doesn't show it: is evidence.dir the one that it runs with?"
                );
                return Err((Outcome::Failed, why));
            }
            self.wait().await?;
        }
        self.hook(Phase::Cutover).await?;
        self.tell(clock::now(), "cutover done", &format!("by {}", self.plan.injector));
        if !self.until(SEEN_WITHIN, |measure| measure.release.is_some()).await? {
            let why = format!("no cutover was seen within {} s of the hook's", SEEN_WITHIN.as_secs());
            return Err((Outcome::TimedOut, why));
        }
        let label = self.drill.measure.label.clone().unwrap_or_default();
        if *label != *self.plan.label {
            self.drill.notes.push(format!(
                "the pipeline calls the release {label:?}; the line that names it {} stands before it",
                self.plan.label
            ));
        }
        Ok(())
    }

    /// Green serves already: the release is the one under judgement, with its lines so far.
    async fn take_release(&mut self) -> Result<(), Ended> {
        let past = &self.drill.past;
        if past.release.is_none()
            || past.release.map(|ReleaseId(number)| u64::from(number)) != self.drill.before.release()
        {
            let why = format!(
                "the ledger in {} knows nothing of the release under judgement",
                self.plan.ledger.display()
            );
            return Err((Outcome::Failed, why));
        }
        for (envelope, record) in &past.records {
            let _ = self.drill.measure.take(envelope, record);
        }
        let fresh =
            self.drill.measure.at("cutover_seen").is_some_and(|seen| clock::now().since(seen) < NAME_WITHIN);
        match self.drill.measure.label.clone() {
            None if fresh => {
                self.begin(Some(&self.plan.label)).await.map_err(|error| (Outcome::Failed, format!("{error:#}")))?;
                self.drill.measure.label = Some(self.plan.label.as_str().into());
            }
            label => self.drill.notes.push(format!(
                "the release is called {} in the ledger, which doesn't say that it is a drill; this folder does",
                label.as_deref().unwrap_or("by its number")
            )),
        }
        Ok(())
    }

    /// `serin release begin`; without a label the mark is taken back.
    async fn begin(&self, label: Option<&str>) -> Result<(), anyhow::Error> {
        let command = Command::ReleaseBegin { label: label.map(Into::into), irreversible: false };
        let path = format!("/api/v1/services/{}/command", self.plan.service);
        post(&self.plan.at, &path, serde_json::to_string(&command)?).await?;
        Ok(())
    }

    async fn hook(&mut self, phase: Phase) -> Result<(), Ended> {
        self.touched = true;
        self.hands.run(phase, "none", Some(&mut *self.stop)).await.map_err(|error| match error {
            HookError::Interrupted => interrupted(),
            HookError::Failed(why) => (Outcome::HookFailed, why),
        })
    }

    /// Follows the ledger until `done`, at most for `limit`. Says whether it was.
    async fn until(&mut self, limit: Duration, done: impl Fn(&Measure) -> bool) -> Result<bool, Ended> {
        let until = clock::now().after(limit);
        loop {
            self.look()?;
            if done(&self.drill.measure) {
                return Ok(true);
            }
            if self.drill.measure.ending.is_some() || clock::now() >= until {
                return Ok(false);
            }
            self.wait().await?;
        }
    }

    async fn wait(&mut self) -> Result<(), Ended> {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => Ok(()),
            () = self.stop.asked() => Err(interrupted()),
        }
    }

    /// Takes what the ledger has got since, tells it, and gives the records.
    fn look(&mut self) -> Result<Vec<Record>, Ended> {
        let lines = self.tail.look();
        let lines =
            lines.map_err(|error| (Outcome::Failed, format!("the ledger can't be followed: {error}")))?;
        for (envelope, record) in &lines {
            if let Some(Step { at, title, detail, .. }) = self.drill.measure.take(envelope, record) {
                self.tell(at, title, &detail);
            }
        }
        Ok(lines.into_iter().map(|(_, record)| record).collect())
    }

    fn tell(&self, at: Mono, title: &str, detail: &str) {
        if !self.plan.quiet {
            let (began, _) = self.drill.began;
            let seconds = if at > began { at.since(began).as_secs_f64() } else { 0.0 };
            narrate(&format!("+{seconds:.3} s  {title:<17} {detail}\n"));
        }
    }

    /// Whatever came: the fault goes, and a name that no release took goes too. Signals don't end this, the hook's limit does.
    async fn restore(&mut self) {
        if self.marked && self.drill.measure.release.is_none() && self.begin(None).await.is_err() {
            self.drill.notes.push(format!(
                "the mark {} stands: a release within the hour would be called so; name it by `serin release begin`",
                self.plan.label
            ));
        }
        if self.touched {
            let restored = self.hands.run(Phase::Restore, self.drill.outcome.word(), None).await;
            self.tell(clock::now(), "restore", if restored.is_ok() { "done" } else { "FAILED" });
            self.drill.restored = Some(restored.map_err(|error| error.to_string()));
        }
    }

    /// The last lines, and how the service stands now.
    async fn finish(mut self) -> Drill {
        let until = clock::now().after(AFTERMATH);
        while self.touched && clock::now() < until {
            if self.look().is_err() {
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let mut drill = self.drill;
        drill.after = Stand::read(&self.plan.at, &self.plan.service).await.ok();
        let earlier = if self.plan.wanted.no_cutover { drill.past.lines.as_slice() } else { &[] };
        drill.lines = [earlier, &self.tail.lines].concat();
        drill
    }
}

fn interrupted() -> Ended {
    (Outcome::Interrupted, "interrupted by a signal".into())
}

impl Plan {
    /// The folder of the evidence: there before anything is touched, so that it can be kept.
    fn make_folder(&self) -> Result<(), anyhow::Error> {
        if let Some(parent) = self.out.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("{} can't be made", parent.display()))?;
        }
        std::fs::create_dir(&self.out).map_err(|error| {
            anyhow!(
                "{} can't be made for the evidence, and nothing was done: {error}; see --out",
                self.out.display()
            )
        })
    }
}
