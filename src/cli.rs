//! The command line: parse, dispatch, exit codes.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done, and as it should be |
//! | 1 | it failed, or the outcome is not what it should be |
//! | 2 | a dry run of `drill`: as it should be, and nothing was written |
//! | 64 | the command line is wrong (`EX_USAGE`) |
//! | 78 | the configuration is wrong (`EX_CONFIG`) |

mod check;
mod demo;
mod drill;
mod generate;
mod import;
mod log;
mod mark;
mod page;
mod probe;
mod reload;
mod report;
mod run;
mod simulate;
mod stage;
mod stand;
mod steps;
mod top;

// With the whole daemon in one process, and with the failpoints of this build.
#[cfg(test)]
#[path = "../tests/daemon/crash.rs"]
mod crash;

use crate::config::Sources;
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

/// Sees a bad release, puts the load balancer back, and proves what happened.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Probe, judge, and revert what may be reverted, until SIGTERM or SIGINT.
    Run(run::RunArgs),
    /// Check a configuration: every effective value with where it came from, and the load that the probes put on the service.
    Check(check::CheckArgs),
    /// Ask URLs once, with the time of each phase, or at an exact pace, with percentiles.
    Probe(Box<probe::ProbeArgs>),
    /// Watch Serin save a bad release, in a lab on loopback; no AWS account is needed.
    Demo(demo::DemoArgs),
    /// Rehearse a rollback with a fault put in on purpose, measure it, and keep the evidence: in the lab, or on a running Serin.
    Drill(Box<drill::DrillArgs>),
    /// Give the account of a release from the ledger, or from exported log lines.
    Report(report::ReportArgs),
    /// Play releases, made up or recorded, through the judge and the guard: when would each policy have acted, and how often wrongly?
    Simulate(Box<simulate::SimulateArgs>),
    /// Print what others need to know of a configuration, as code: alarms and a dashboard for CloudWatch.
    Generate(generate::GenerateArgs),
    /// Turn objectives that another tool keeps into Serin's own.
    Import(import::ImportArgs),
    /// Tell a running Serin about a release.
    Release(Box<mark::ReleaseArgs>),
    /// Forbid acting until `unhold`. Always accepted.
    Hold(mark::HoldArgs),
    /// Lift a hold.
    Unhold(mark::ServiceArgs),
    /// Acknowledge what was done or needs a person; the next release is armed again.
    Ack(mark::ServiceArgs),
    /// Let a running Serin read its configuration anew: whole or not at all, and a release under judgement is finished first.
    ///
    /// Exit codes: 0 taken, 1 no Serin answers, 78 the configuration is wrong, so that of before goes on.
    Reload(reload::ReloadArgs),
    /// Watch a running Serin in the terminal: how each service stands and why, its URLs, the last minutes.
    Top(top::TopArgs),
    /// Ask the running Serin whether it is healthy; for container health checks.
    Healthcheck(mark::HealthArgs),
}

/// Where the configuration comes from.
#[derive(Args, Clone, Debug)]
struct ConfigArgs {
    /// A file (.toml, .json, .yaml), a folder with one file a service, or env:NAME for a document in a variable.
    #[arg(long = "config", short = 'c', value_name = "PATH", env = "SERIN_CONFIG_PATH", value_delimiter = ',', num_args = 1..)]
    config: Vec<String>,
    /// Override one key of every service: --set judge.grace=5s. Stronger than files and `SERIN__SECTION__KEY` variables.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// Override `mode`: observe or act.
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
}

impl ConfigArgs {
    fn sources(&self) -> Sources {
        let mut overrides = self.set.clone();
        overrides.extend(self.mode.clone().map(|mode| ("mode".to_owned(), mode)));
        Sources::of_process(self.config.clone(), overrides)
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("wants KEY=VALUE, as in judge.grace=5s")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// How a command ended badly.
enum Failure {
    /// Exit code 1.
    Failed(anyhow::Error),
    /// Exit code 2.
    DryRun(String),
    /// Exit code 64.
    Usage(String),
    /// Exit code 78.
    Config(String),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<crate::config::ConfigError> for Failure {
    fn from(error: crate::config::ConfigError) -> Self {
        if error.is_usage() { Self::Usage(error.to_string()) } else { Self::Config(error.to_string()) }
    }
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    main_of(std::env::args_os())
}

/// The same of another command line, its first word being the program's name.
fn main_of(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // Help and version are no errors.
            return if error.use_stderr() { ExitCode::from(64) } else { ExitCode::SUCCESS };
        }
    };
    let done = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::check(&args),
        Command::Probe(args) => probe::probe(&args),
        Command::Demo(args) => demo::demo(&args),
        Command::Drill(args) => drill::drill(&args),
        Command::Report(args) => report::report(&args),
        Command::Simulate(args) => simulate::simulate(&args),
        Command::Generate(args) => generate::generate(&args),
        Command::Import(args) => import::import(&args),
        Command::Release(args) => mark::release(&args),
        Command::Hold(args) => mark::hold(&args),
        Command::Unhold(args) => mark::unhold(&args),
        Command::Ack(args) => mark::ack(&args),
        Command::Reload(args) => reload::reload(&args),
        Command::Top(args) => top::top(&args),
        Command::Healthcheck(args) => mark::healthcheck(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(error)) => complain(&format!("{error:#}"), 1),
        Err(Failure::DryRun(text)) => complain(&text, 2),
        Err(Failure::Usage(text)) => complain(&text, 64),
        Err(Failure::Config(text)) => complain(&text, 78),
    }
}

fn complain(text: &str, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr().lock(), "serin: {text}");
    ExitCode::from(code)
}

/// Writes to standard output; a reader that went away ends the command quietly.
fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// The runtime of everything but the probes: one worker is plenty, and leaves the other cores to the engine.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(4)
        .thread_name("control")
        .enable_all()
        .build()
}
