//! What a person or a pipeline says to a running Serin: `release`, `hold`, `unhold`, `ack`; and `healthcheck`.

use super::{Failure, say};
use crate::admin::{At, get, post};
use crate::model::guard::Command;
use clap::{Args, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Which Serin, and which of its services.
#[derive(Args, Debug)]
pub(super) struct ServiceArgs {
    /// The service, as in its file.
    #[arg(long)]
    service: String,
    /// The admin socket of the running Serin (admin.socket).
    #[arg(long, env = "SERIN_SOCKET", default_value = "serin-data/serin.sock")]
    socket: PathBuf,
}

/// `serin release`
#[derive(Args, Debug)]
pub(super) struct ReleaseArgs {
    #[command(subcommand)]
    what: ReleaseCommand,
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
    /// Why, for the record.
    #[arg(long)]
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
    let ReleaseCommand::Begin(begin) = &args.what;
    let label = Some(begin.id.as_str().into());
    send(&begin.service, &Command::ReleaseBegin { label, irreversible: begin.irreversible })
}

pub(super) fn hold(args: &HoldArgs) -> Result<(), Failure> {
    send(&args.service, &Command::Hold { reason: args.reason.as_str().into() })
}

pub(super) fn unhold(args: &ServiceArgs) -> Result<(), Failure> {
    send(args, &Command::Unhold)
}

pub(super) fn ack(args: &ServiceArgs) -> Result<(), Failure> {
    send(args, &Command::Ack)
}

pub(super) fn healthcheck(args: &HealthArgs) -> Result<(), Failure> {
    let answer = super::runtime()?.block_on(get(&At::Tcp(args.address), "/-/healthy"));
    say(&answer.map_err(|error| Failure::Failed(error.into()))?)
}

fn send(args: &ServiceArgs, command: &Command) -> Result<(), Failure> {
    let body = serde_json::to_string(command).map_err(|error| Failure::Failed(error.into()))?;
    let path = format!("/api/v1/services/{}/command", args.service);
    let answer = super::runtime()?.block_on(post(&At::Socket(args.socket.clone()), &path, body));
    answer.map(drop).map_err(|error| Failure::Failed(error.into()))
}
