//! `serin report`: the account of a release.

use super::Failure;
use clap::Args;
use std::path::PathBuf;

/// `serin report`
#[derive(Args, Debug)]
pub(super) struct ReportArgs {
    /// The ledger of a service, exported log lines, or - for standard input. Default: every ledger under --dir.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Where the evidence is kept (evidence.dir).
    #[arg(long, default_value = "serin-data")]
    dir: PathBuf,
    /// The service; needed where the folder or the lines hold several.
    #[arg(long)]
    service: Option<String>,
    /// The release: the pipeline's id, or r<N>. Default: the newest.
    #[arg(long)]
    release: Option<String>,
    /// For programs.
    #[arg(long)]
    json: bool,
}

pub(super) fn report(args: &ReportArgs) -> Result<(), Failure> {
    let _ = args;
    Err(Failure::Failed(anyhow::anyhow!("not wired yet")))
}
