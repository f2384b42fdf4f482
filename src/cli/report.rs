//! `serin report`: the account of a release.

mod charts;
mod page;

use super::{Failure, say};
use crate::admin::Archive;
use crate::evidence::report::{self, Curves, Report, ReportError, ReportFilter};
use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};

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
    /// Write the account as one page with charts too, which needs no network; - for standard output, alone. A file that
    /// is there already is never overwritten.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(super) fn report(args: &ReportArgs) -> Result<(), Failure> {
    let to_stdout = args.html.as_ref().is_some_and(|path| path.as_os_str() == "-");
    if to_stdout && args.json {
        return Err(Failure::Usage(
            "--html - and --json both want standard output: name a file for the page".into(),
        ));
    }
    let (report, curves) = read(args)?;
    if let Some(path) = &args.html {
        let page = page::page(&report, &curves)?;
        if to_stdout {
            return say(&page);
        }
        write(path, &page)?;
    }
    if args.json {
        let value = serde_json::to_value(&report).map_err(|error| Failure::Failed(error.into()))?;
        say(&format!("{value:#}\n"))
    } else {
        say(&report.text())
    }
}

/// Releases that are listed.
const LISTED: usize = 20;

/// The accounts of what is kept in `dir`, for the daemon's own page.
pub(super) fn archive(dir: PathBuf) -> Archive {
    let folder = dir.clone();
    let releases = move |service: &str, _: &str| {
        let listed = match report::last_from_folder(&folder, service, LISTED) {
            Ok(listed) => listed,
            // Nothing has happened yet.
            Err(ReportError::NoLedger { .. } | ReportError::NoService { .. }) => Vec::new(),
            Err(error) => return Err(error.to_string()),
        };
        let releases: Vec<Value> = listed
            .iter()
            .map(|report| {
                let begun = report.timeline.first().map(|step| &step.ts);
                json!({ "release_id": report.release_id, "outcome": report.outcome.word(),
                        "verdict": report.verdict, "ts": begun })
            })
            .collect();
        Ok(json!({ "service": service, "releases": releases }))
    };
    let page = move |service: &str, release: &str| {
        let filter = ReportFilter { service: Some(service.into()), release: Some(release.into()) };
        let (report, curves) = report::drawn_from_folder(&dir, &filter).map_err(|error| error.to_string())?;
        page::page(&report, &curves).map_err(|error| error.to_string())
    };
    Archive::new(Box::new(releases), Box::new(page))
}

fn read(args: &ReportArgs) -> Result<(Report, Curves), Failure> {
    let filter = ReportFilter { service: args.service.clone(), release: args.release.clone() };
    let read = match &args.file {
        None => report::drawn_from_folder(&args.dir, &filter),
        Some(path) if path.as_os_str() == "-" => report::drawn_from_lines(std::io::stdin().lock(), &filter),
        Some(path) => {
            let file =
                File::open(path).map_err(|error| Failure::Failed(anyhow!("{}: {error}", path.display())))?;
            report::drawn_from_lines(BufReader::new(file), &filter)
        }
    };
    read.map_err(|error| Failure::Failed(error.into()))
}

/// Evidence is not written over: an older page may be all that is left of a release.
fn write(path: &Path, page: &str) -> Result<(), anyhow::Error> {
    let mut file = match File::create_new(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(anyhow!("--html {}: it is there already; name a new file", path.display()));
        }
        other => other.with_context(|| format!("--html {}: can't write it", path.display()))?,
    };
    file.write_all(page.as_bytes()).with_context(|| format!("--html {}: can't write it", path.display()))
}
