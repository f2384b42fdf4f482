//! What a person or a pipeline says to a running Serin: `release`, `hold`, `unhold`, `ack`; and `healthcheck`.

use super::steps::{StepArgs, steps};
use super::{Failure, say};
use crate::admin::{At, get, post};
use crate::model::guard::Command;
use clap::{Args, Subcommand};
use serde_json::Value;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Which Serin, and which of its services.
#[derive(Args, Debug)]
pub(super) struct ServiceArgs {
    /// The service, as in its file.
    #[arg(value_name = "SERVICE", required_unless_present = "service")]
    name: Option<String>,
    /// The same, by name.
    #[arg(long, value_name = "SERVICE", conflicts_with = "name")]
    service: Option<String>,
    /// The admin socket of the running Serin (admin.socket).
    #[arg(long, env = "SERIN_SOCKET", default_value = "serin-data/serin.sock")]
    socket: PathBuf,
}

/// `serin release`
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct ReleaseArgs {
    #[command(subcommand)]
    what: Option<ReleaseCommand>,
    #[command(flatten)]
    steps: StepArgs,
}

#[derive(Debug, Subcommand)]
enum ReleaseCommand {
    /// A release begins now: its cutover, seen within the hour, carries this name.
    Begin(BeginArgs),
}

#[derive(Args, Debug)]
struct BeginArgs {
    #[command(flatten)]
    service: ServiceArgs,
    /// What the pipeline calls the release; becomes `release_id` in every record.
    #[arg(long)]
    id: String,
    /// It must not be reverted (a migration that can't go back): judged and told, never acted on.
    #[arg(long)]
    irreversible: bool,
}

/// `serin hold`
#[derive(Args, Debug)]
pub(super) struct HoldArgs {
    #[command(flatten)]
    service: ServiceArgs,
    /// Why, for the record and the tag.
    #[arg(long, default_value = "by hand")]
    reason: String,
}

/// `serin healthcheck`
#[derive(Args, Debug)]
pub(super) struct HealthArgs {
    /// The admin listener of the running Serin (admin.listen).
    #[arg(long, env = "SERIN__ADMIN__LISTEN", default_value = "127.0.0.1:9464")]
    address: SocketAddr,
}

pub(super) fn release(args: &ReleaseArgs) -> Result<(), Failure> {
    let Some(ReleaseCommand::Begin(begin)) = &args.what else { return steps(&args.steps) };
    let label = Some(begin.id.as_str().into());
    let taken = send(&begin.service, &Command::ReleaseBegin { label, irreversible: begin.irreversible })?;
    if let Some(says) = taken["unprotected"]["says"].as_str() {
        complain(&format!(
            "{}: {says}; a breach would be judged and told, and not reverted",
            begin.service.name()
        ));
    }
    Ok(())
}

pub(super) fn hold(args: &HoldArgs) -> Result<(), Failure> {
    let taken = send(&args.service, &Command::Hold { reason: args.reason.as_str().into() })?;
    let name = args.service.name();
    if let Some(why) = taken["tag"]["why"].as_str() {
        complain(&format!(
            "{name} is held by this instance only; the tag that tells the others could not be written: {why}"
        ));
    }
    say(&format!("{name} is held until: serin unhold {name}\n"))
}

pub(super) fn unhold(args: &ServiceArgs) -> Result<(), Failure> {
    let taken = send(args, &Command::Unhold)?;
    if let Some(why) = taken["tag"]["why"].as_str() {
        complain(&format!(
            "the tag that holds {} could not be taken away, so the hold stands: {why}",
            args.name()
        ));
    }
    Ok(())
}

pub(super) fn ack(args: &ServiceArgs) -> Result<(), Failure> {
    send(args, &Command::Ack).map(drop)
}

pub(super) fn healthcheck(args: &HealthArgs) -> Result<(), Failure> {
    let answer = super::runtime()?.block_on(get(&At::Tcp(args.address), "/-/healthy"));
    say(&answer.map_err(|error| Failure::Failed(error.into()))?)
}

impl ServiceArgs {
    fn name(&self) -> &str {
        self.name.as_deref().or(self.service.as_deref()).unwrap_or_default()
    }
}

/// What came of it.
fn send(args: &ServiceArgs, command: &Command) -> Result<Value, Failure> {
    let body = serde_json::to_string(command).map_err(|error| Failure::Failed(error.into()))?;
    let path = format!("/api/v1/services/{}/command", args.name());
    let answer = super::runtime()?.block_on(post(&At::Socket(args.socket.clone()), &path, body));
    let answer = answer.map_err(|error| Failure::Failed(error.into()))?;
    serde_json::from_str(&answer).map_err(|error| Failure::Failed(error.into()))
}

/// What whoever asked has to know, though the command was taken.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "serin: {text}");
}
