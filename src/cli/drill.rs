//! `serin drill`: a rollback is rehearsed with a fault that was put in on purpose, measured step by step, compared with a
//! bound, and kept as evidence.
//!
//! What it knows of Serin it reads as anybody could: its status, and its ledger's lines. It has no private way into the
//! daemon, and writes to no listener: the lab's pipeline or the user's hook does that.
//!
//! | file | what |
//! |---|---|
//! | `drill.rs` | the arguments, what is played on, the exit code |
//! | `drill/play.rs` | mark, cutover, fault, follow, restore |
//! | `drill/hook.rs` | the hands: the lab's, or a program of the user's |
//! | `drill/tail.rs` | the ledger, line by line, while it is written |
//! | `drill/measure.rs` | lines to times |
//! | `drill/keep.rs` | the evidence |
//! | `drill/show.rs` | the table and the JSON |

mod hook;
mod keep;
mod measure;
mod play;
mod show;
mod tail;

use super::stage::{Daemon, narrate};
use super::{ConfigArgs, Failure, say};
use crate::admin::At;
use crate::cli::stand::Wanted;
use crate::clock;
use crate::config::Sources;
use crate::lab::{Lab, LabOptions, UserCounts, UserOptions};
use crate::settings::{self, Service, Settings};
use anyhow::{Context, anyhow};
use clap::Args;
use hook::{Hands, Hook};
use keep::Kept;
use play::{Drill, Outcome, play};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A drill that takes longer than the bound is still measured, for so long.
const BEYOND: Duration = Duration::from_mins(1);
/// The lab's Serin knows a state to return to by then, beside the propagation.
const PATIENCE: Duration = Duration::from_secs(25);
/// Green serves so long in the lab before it goes bad, beside the propagation.
const LAB_CALM: Duration = Duration::from_secs(3);
/// Requests of the lab's users a second.
const USERS: u32 = 100;

const HELP: &str = "\
What is compared with the bound: the time from the fault until users are on the old version again, which is proved: every one of a
run of fresh connections to every address of the balancer was answered by it. The clock begins when the hook's phase `fault`
has ended, or with the first bad answer of the fault, whichever came first. All times are the daemon's own, from its ledger. The
intent's is when it was decided; until it was synced to disk is part of the write's, which goes out only then.

Without --hook the drill is on the embedded lab: a load balancer on loopback and a `serin run` beside it, settle and grace
shortened, and an outage of green.

With --hook it is on a Serin that runs already, on the machine (or in the container) where that runs, with its configuration. First
every reason against it is looked for: armed, in mode act, idle, good, nothing latched, nobody holds, the budget of reverts
allows it. If there is one, all are told and nothing is done. A DRILL HURTS WHOEVER USES THE LISTENER, and it spends one revert
of the budget: afterwards releases are unprotected for guard.cool_down at least, and the status says until when.

The hook is a program, called without a shell, with the arguments after `--`; to use a shell, name one:
  serin drill --config serin.toml --service checkout --hook ./drill.sh
  serin drill --config serin.toml --service checkout --hook /bin/sh -- -c './drill.sh \"$SERIN_DRILL_PHASE\"'
It is called once a phase, and whatever it starts ends with it when it takes longer than --hook-timeout:
  cutover   moves the listener to green, as the pipeline does (not with --no-cutover)
  fault     makes green bad, and returns when it is
  restore   takes the fault away. Always called once one of the others was: also after a failure, a timeout, Ctrl-C.
            It must do when there is nothing to take away
In its environment: SERIN_DRILL_PHASE, SERIN_DRILL_ID, SERIN_DRILL_SERVICE, SERIN_DRILL_LISTENER (the first ARN that is governed),
SERIN_DRILL_LEVERS (all of them, by spaces), and SERIN_DRILL_OUTCOME (`none` before the end; restore reads what became of it).
Its output goes to standard error; any exit code but 0 ends the drill.

Evidence: a new folder, --out or serin-drill-<UTC time> in evidence.dir (of the lab: in the temporary folder), with drill.json (what
--json prints), SERVICE/ledger.jsonl (the ledger's own lines of the drill, their hash chain whole: `serin report --dir FOLDER`),
report.json and report.txt. In the ledger, the report and the pages the release is called drill-<UTC time>.

JSON, times in milliseconds: outcome, passed, why, reasons[], bound_ms, strict, total_ms, margin_ms (negative: over the bound),
steps[] (step, ms since the clock began, took_ms, share, ts, detail), durations (first_bad_ms, detection_ms, preflight_ms,
decision_ms, write_ms, accepted_ms, api_ms, data_plane_ms; they sum up to total_ms), service, listener, release, release_number,
epoch, intent, verdict, drill, dry_run, lab, began, fault (asked, injected, took_ms), restored, users (lab: bad, good),
budget_before, after (latched, needs_human, unprotected, shows), next[], notes[], config_hash, daemon_config_hash (another one: the
configuration was changed since the daemon began), version, daemon_version, instance, evidence (folder, drill, ledger, report).
outcome is one of: reverted, would_revert (dry run), not_reverted, not_ready, early (a promise was broken before the fault),
hook_failed, timed_out, interrupted, failed.

Exit codes: 0 reverted, proved, within the bound, and the fault taken away; 1 anything else; 2 a dry run that would have acted
within the bound, nothing was written and nothing is proved; 64 the command line is wrong; 78 the configuration is wrong.";

/// `serin drill`
#[derive(Args, Debug)]
#[command(after_long_help = HELP)]
pub(super) struct DrillArgs {
    /// The bound: from the fault until users are provably on the old version again.
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = humantime::parse_duration)]
    within: Duration,
    /// A strict bound instead, for the lab, whose load balancer follows at once.
    #[arg(long, value_name = "TIME", conflicts_with = "within", num_args = 0..=1, default_missing_value = "2s", value_parser = humantime::parse_duration)]
    strict: Option<Duration>,
    /// The folder of the evidence; it must not be there yet. Default: serin-drill-<UTC time> in evidence.dir.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How long green serves well before the fault. Default: judge.propagation, so that all of the balancer is on green; 3s in the lab.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    fault_after: Option<Duration>,
    /// Give up, and restore, so long after the fault. Default: a minute beyond the bound.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    give_up: Option<Duration>,
    /// Print one JSON object instead of the story and the table.
    #[arg(long)]
    json: bool,
    /// How long the lab's load balancer takes to follow a change; 10s feels like the real thing.
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = humantime::parse_duration, conflicts_with = "hook")]
    propagation: Duration,
    /// The program that moves the listener and injects the fault, on a Serin that runs already: see below.
    #[arg(long, value_name = "PROGRAM")]
    hook: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    /// The service; needed where the configuration has several.
    #[arg(long, value_name = "SERVICE", requires = "hook")]
    service: Option<String>,
    /// The admin socket of the running Serin. Default: admin.socket of the configuration.
    #[arg(long, value_name = "PATH", requires = "hook")]
    socket: Option<PathBuf>,
    /// No phase of the hook takes longer.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration, requires = "hook")]
    hook_timeout: Duration,
    /// The listener is at green already, moved by hand, and judged: begin with the fault.
    #[arg(long, requires = "hook")]
    no_cutover: bool,
    /// On a Serin in observe mode: measure up to what it would have written.
    #[arg(long, requires = "hook")]
    dry_run: bool,
    /// The hook's arguments.
    #[arg(last = true, value_name = "ARG", requires = "hook")]
    args: Vec<String>,
}

/// What is drilled, and how.
struct Plan {
    /// When it began, in UTC; the name of everything.
    id: String,
    /// What the release is called.
    label: String,
    service: String,
    levers: Vec<String>,
    config_hash: String,
    cool_down: Duration,
    at: At,
    socket: PathBuf,
    /// The folder of the service's ledger.
    ledger: PathBuf,
    out: PathBuf,
    bound: Duration,
    strict: bool,
    fault_after: Duration,
    give_up: Duration,
    wanted: Wanted,
    lab: bool,
    /// Who injects, for people.
    injector: String,
    /// Nothing is told on the way.
    quiet: bool,
}

impl Plan {
    fn new(args: &DrillArgs, settings: &Settings, service: &Service) -> Result<Self, Failure> {
        let now = jiff::Timestamp::from_millisecond(clock::wall().0).context("this is no time")?;
        let id = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let bound = args.strict.unwrap_or(args.within);
        let socket = args.socket.clone().unwrap_or_else(|| settings.process.admin.socket.clone());
        let dir = &settings.process.evidence.dir;
        Ok(Self {
            label: format!("drill-{id}"),
            service: service.name.clone(),
            levers: service.levers.iter().map(|lever| lever.arn().to_owned()).collect(),
            config_hash: service.content_hash.clone(),
            cool_down: service.guard.cool_down,
            at: At::Socket(socket.clone()),
            socket,
            ledger: dir.join(&service.name),
            out: args.out.clone().unwrap_or_else(|| dir.join(format!("serin-drill-{id}"))),
            bound,
            strict: args.strict.is_some(),
            fault_after: args.fault_after.unwrap_or(service.judge.propagation),
            give_up: args.give_up.unwrap_or(bound.saturating_add(BEYOND)),
            wanted: Wanted { no_cutover: args.no_cutover, dry_run: args.dry_run },
            lab: args.hook.is_none(),
            injector: args.hook.as_ref().map_or("the lab".into(), |hook| hook.display().to_string()),
            quiet: args.json,
            id,
        })
    }
}

/// What ends a drill early. Until this is dropped no such signal ends the process, so that the fault is taken away.
struct Stop {
    signals: [Signal; 3],
    asked: bool,
}

impl Stop {
    fn listen() -> std::io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        Ok(Self { signals: [interrupt?, terminate?, hangup?], asked: false })
    }

    /// Returns once somebody has asked. Cancel safe.
    async fn asked(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        if !self.asked {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        }
        self.asked = true;
    }
}

/// What users of the lab got: a witness beside Serin's own word.
#[derive(Clone, Copy, Debug)]
struct Users(UserCounts);

impl Users {
    fn words(&self) -> String {
        let span = match (self.0.first_bad, self.0.last_bad) {
            (Some(first), Some(last)) => format!(" in {:.2} s", last.since(first).as_secs_f64()),
            _ => String::new(),
        };
        format!("({USERS} a second) had {} bad answers{span}, and {} good ones", self.0.bad, self.0.good)
    }

    fn json(&self) -> Value {
        let span = self.0.first_bad.zip(self.0.last_bad).map(|(first, last)| last.since(first));
        json!({ "bad": self.0.bad, "good": self.0.good, "bad_for_ms": span.map(measure::millis) })
    }
}

pub(super) fn drill(args: &DrillArgs) -> Result<(), Failure> {
    if let Some(out) = args.out.as_ref().filter(|out| out.exists()) {
        return Err(Failure::Usage(format!(
            "--out: {} is there already; evidence is never overwritten",
            out.display()
        )));
    }
    match &args.hook {
        Some(program) => with_hook(args, program),
        // The variable may be set for other commands.
        None if !args.config.config.is_empty() && std::env::var_os("SERIN_CONFIG_PATH").is_none() => {
            Err(Failure::Usage(
                "--config is of no use without --hook: who shifts the requests, and who injects the fault?"
                    .into(),
            ))
        }
        None => on_lab(args),
    }
}

fn with_hook(args: &DrillArgs, program: &std::path::Path) -> Result<(), Failure> {
    let settings = settings::load(&args.config.sources())?;
    let service = choose(&settings, args.service.as_deref())?;
    let plan = Plan::new(args, &settings, service)?;
    let env = vec![
        ("SERIN_DRILL_ID", plan.id.clone()),
        ("SERIN_DRILL_SERVICE", plan.service.clone()),
        ("SERIN_DRILL_LISTENER", plan.levers.first().cloned().unwrap_or_default()),
        ("SERIN_DRILL_LEVERS", plan.levers.join(" ")),
    ];
    let hook = Hook { program: program.to_owned(), args: args.args.clone(), limit: args.hook_timeout, env };
    let played = super::runtime()?.block_on(async {
        let mut stop = Stop::listen()?;
        play(&plan, &Hands::Hook(&hook), &mut stop).await
    })?;
    end(&plan, &played, None, args.json)
}

fn choose<'a>(settings: &'a Settings, name: Option<&str>) -> Result<&'a Service, Failure> {
    let names =
        || settings.services.iter().map(|service| service.name.as_str()).collect::<Vec<_>>().join(", ");
    match (name, settings.services.as_slice()) {
        (None, [only]) => Ok(only),
        (None, _) => Err(Failure::Usage(format!("--service is missing; there are: {}", names()))),
        (Some(name), all) => all
            .iter()
            .find(|service| service.name == name)
            .ok_or_else(|| Failure::Usage(format!("no service {name:?}; there are: {}", names()))),
    }
}

fn on_lab(args: &DrillArgs) -> Result<(), Failure> {
    let (plan, drill, users) = super::runtime()?.block_on(play_on_lab(args))?;
    end(&plan, &drill, Some(users), args.json)
}

async fn play_on_lab(args: &DrillArgs) -> Result<(Plan, Drill, Users), Failure> {
    let mut stop = Stop::listen()?;
    let options = LabOptions { propagation: args.propagation, ..LabOptions::default() };
    let lab = Lab::start(options).await.context("the lab can't start")?;
    let mut daemon = Daemon::start(&lab, args.propagation, "drill")?;
    let paths = vec![daemon.config.display().to_string()];
    // None of the person's own variables: the daemon beside it has none either.
    let settings = settings::load(&Sources { paths, ..Sources::default() })?;
    let mut plan = Plan::new(args, &settings, choose(&settings, None)?)?;
    plan.fault_after = args.fault_after.unwrap_or(args.propagation + LAB_CALM);
    if !args.json {
        narrate(&format!(
            "lab      a load balancer at {}\nconfig   {}\n",
            lab.url("/"),
            daemon.config.display()
        ));
    }
    tokio::select! {
        ready = daemon.wait_until_good(args.propagation + PATIENCE) => ready?,
        () = stop.asked() => return Err(anyhow!("interrupted before anything was begun").into()),
    }
    let users = lab.users(UserOptions { rate: USERS, path: "/checkout".into(), ..UserOptions::default() });
    let drill = {
        let hands = Hands::Lab(&lab);
        let mut played = pin!(play(&plan, &hands, &mut stop));
        tokio::select! {
            played = &mut played => played,
            // It ended: the ledger says so, or nothing more comes.
            () = daemon.listen() => played.await,
        }
    };
    let users = Users(users.stop().await);
    let stopped = daemon.stop().await;
    lab.stop().await;
    let drill = drill?;
    if drill.outcome == Outcome::Reverted {
        stopped?;
    }
    Ok((plan, drill, users))
}

/// Keeps the evidence, shows the result, and says what it comes to.
fn end(plan: &Plan, drill: &Drill, users: Option<Users>, json: bool) -> Result<(), Failure> {
    let begun = drill.outcome != Outcome::NotReady;
    let mut kept = begun.then(|| Kept::of(plan, drill.measure.release.is_some()));
    let mut trouble = None;
    if let Some(kept) = &mut kept {
        if let Err(error) = kept.lines(&drill.lines, &plan.service) {
            kept.report = None;
            trouble = Some(error);
        }
        let value = drill.json(plan, Some(kept), users.as_ref());
        trouble = trouble.or(kept.result(&value).err());
    }
    if json {
        say(&format!("{:#}\n", drill.json(plan, kept.as_ref(), users.as_ref())))?;
    } else if begun {
        say(&drill.table(plan, kept.as_ref(), users.as_ref()))?;
    }
    if let Some(error) = trouble {
        return Err(Failure::Failed(error.context("the evidence is not whole")));
    }
    match (drill.outcome, drill.in_time(plan)) {
        (Outcome::Reverted, true) => Ok(()),
        (Outcome::WouldRevert, true) => Err(Failure::DryRun("dry run: nothing was written".into())),
        _ => Err(anyhow!(drill.complaint(plan).unwrap_or_else(|| drill.outcome.word().into())).into()),
    }
}
