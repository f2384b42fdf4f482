//! `serin report`: the account of a release.

use super::{Failure, say};
use crate::evidence::report::{self, ReportFilter};
use clap::Args;
use std::io::BufReader;
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
    let filter = ReportFilter { service: args.service.clone(), release: args.release.clone() };
    let report = match &args.file {
        None => report::from_folder(&args.dir, &filter),
        Some(path) if path.as_os_str() == "-" => report::from_lines(std::io::stdin().lock(), &filter),
        Some(path) => {
            let file = std::fs::File::open(path)
                .map_err(|error| Failure::Failed(anyhow::anyhow!("{}: {error}", path.display())))?;
            report::from_lines(BufReader::new(file), &filter)
        }
    };
    let report = report.map_err(|error| Failure::Failed(error.into()))?;
    if args.json {
        let value = serde_json::to_value(&report).map_err(|error| Failure::Failed(error.into()))?;
        say(&format!("{value:#}\n"))
    } else {
        say(&report.text())
    }
}
