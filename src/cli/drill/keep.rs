//! The evidence of a drill: a folder with the result, the ledger's lines, and the account of the release.

use super::Plan;
use crate::evidence::report::{self, Report, ReportFilter};
use anyhow::Context;
use serde_json::Value;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Where what is.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) folder: PathBuf,
    pub(super) drill: PathBuf,
    pub(super) ledger: PathBuf,
    /// Missing where no release was seen.
    pub(super) report: Option<PathBuf>,
}

impl Kept {
    /// Where it will be.
    pub(super) fn of(plan: &Plan, release: bool) -> Self {
        let folder = plan.out.clone();
        Self {
            drill: folder.join("drill.json"),
            // As in evidence.dir, so that `serin report --dir FOLDER` finds it.
            ledger: folder.join(&plan.service).join("ledger.jsonl"),
            report: release.then(|| folder.join("report.json")),
            folder,
        }
    }

    /// Writes the lines, and the account that `serin report` makes of them.
    pub(super) fn lines(&mut self, lines: &[u8], service: &str) -> Result<Option<Report>, anyhow::Error> {
        if let Some(folder) = self.ledger.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("{} can't be made", folder.display()))?;
        }
        write(&self.ledger, lines)?;
        let filter = ReportFilter { service: Some(service.to_owned()), release: None };
        let Some(path) = &self.report else { return Ok(None) };
        let report = report::from_lines(lines, &filter).context("the lines of the drill give no account")?;
        write(path, format!("{:#}\n", serde_json::to_value(&report)?).as_bytes())?;
        write(&self.folder.join("report.txt"), report.text().as_bytes())?;
        Ok(Some(report))
    }

    /// Writes the result.
    pub(super) fn result(&self, value: &Value) -> Result<(), anyhow::Error> {
        write(&self.drill, format!("{value:#}\n").as_bytes())
    }
}

/// On disk on return.
fn write(path: &Path, bytes: &[u8]) -> Result<(), anyhow::Error> {
    let all = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    all().with_context(|| format!("{} can't be written", path.display()))
}
