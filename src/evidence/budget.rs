//! The error budget on disk, so that a restart doesn't forget what was spent: `budget.json` in the folder of each service.
//!
//! A whole new file takes the place of the old one, after it is on disk: once a minute, and when the daemon stops, so a
//! killed one forgets a minute at most. A file that isn't ours to read is kept aside under
//! another name, told once, and the budget is begun anew: it informs people, and nothing is decided by it.

use super::ledger::rfc3339;
use crate::model::budget::{Bin, HOURS};
use crate::model::time::Wall;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

const NAME: &str = "budget.json";
const VERSION: u32 = 1;
/// 721 bins take a tenth of it.
const BYTES_MAX: u64 = 256 * 1024;
/// Snapshots that wait at most; each service hands one in a minute.
const WAITING_MAX: usize = 64;
/// No hour is further from 1970 than 100,000 years.
const HOUR_MAX: i64 = 876_600_000;

/// What stands in the file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    /// Of this format.
    version: u32,
    /// Whose it is.
    service: String,
    /// When it was written, for people.
    written: String,
    /// Hour since 1970, answers, bad ones; ascending.
    hours: Vec<(i64, u64, u64)>,
}

/// The place of one service's budget. Handing in never blocks.
#[derive(Clone, Debug)]
pub struct BudgetHandle {
    path: PathBuf,
    service: String,
    snapshots: SyncSender<Snapshot>,
}

/// Writes what all handles hand in.
#[derive(Debug)]
pub struct BudgetThread {
    snapshots: Receiver<Snapshot>,
}

#[derive(Debug)]
struct Snapshot {
    path: PathBuf,
    service: String,
    bins: Vec<Bin>,
    wall: Wall,
}

/// The way to the thread that writes: a sender for [`open`], and the thread's own end.
#[must_use]
pub fn channel() -> (Writing, BudgetThread) {
    let (sender, snapshots) = sync_channel(WAITING_MAX);
    (Writing(sender), BudgetThread { snapshots })
}

/// What [`open`] needs; the thread ends when this and every handle are gone.
#[derive(Clone, Debug)]
pub struct Writing(SyncSender<Snapshot>);

/// Reads what `<dir>/<service>/budget.json` kept, at `wall`. The folder exists and is locked by whoever opened the ledger.
/// Without a handle nothing is kept: a file that can be neither read nor put aside is not overwritten.
#[must_use]
pub fn open(dir: &Path, service: &str, writing: &Writing, wall: Wall) -> (Option<BudgetHandle>, Vec<Bin>) {
    let path = dir.join(service).join(NAME);
    let handle =
        || BudgetHandle { path: path.clone(), service: service.to_owned(), snapshots: writing.0.clone() };
    let why = match read(&path, service, wall) {
        Ok(bins) => return (Some(handle()), bins),
        Err(why) => why,
    };
    let aside = path.with_file_name(format!("budget.{}.json", wall.0));
    match fs::rename(&path, &aside) {
        Ok(()) => {
            let aside = aside.display();
            tracing::warn!(service, %why, %aside, "the error budget that was kept can't be used: it is kept aside, and the budget begins anew");
            (Some(handle()), Vec::new())
        }
        Err(error) => {
            let path = path.display();
            tracing::warn!(service, %why, %path, %error, "the error budget that was kept can't be used nor put aside: the budget begins anew, and isn't kept");
            (None, Vec::new())
        }
    }
}

fn read(path: &Path, service: &str, wall: Wall) -> Result<Vec<Bin>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.to_string()),
    };
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(format!("it is larger than {BYTES_MAX} bytes"));
    }
    // A later format may have other keys, so its version is asked first.
    let value: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|error| format!("it is no JSON: {error}"))?;
    if value["version"] != VERSION {
        return Err(format!("its version is {}, and only {VERSION} is known", value["version"]));
    }
    let document: Document =
        serde_json::from_value(value).map_err(|error| format!("it is no error budget: {error}"))?;
    if document.service != service {
        return Err(format!("it is the service {:?}'s", document.service));
    }
    let bins: Vec<Bin> = document
        .hours
        .iter()
        .map(|(hour, answers, bad)| Bin { hour: *hour, answers: *answers, bad: *bad })
        .collect();
    let ascending = bins.windows(2).all(|pair| matches!(pair, [a, b] if a.hour < b.hour));
    let possible = |bin: &Bin| bin.bad <= bin.answers && bin.hour.abs() <= HOUR_MAX;
    if !ascending
        || !bins.iter().all(possible)
        || bins.len() > usize::try_from(HOURS + 1).unwrap_or(usize::MAX)
    {
        return Err("its hours are none that could have been counted".into());
    }
    // All of it would be let go of. That may be right, or the clock is wrong, and then it would be a loss.
    if bins.last().is_some_and(|newest| newest.hour <= wall.0.div_euclid(3_600_000) - HOURS) {
        return Err(format!("by this clock it was written more than 30 days ago, at {}", document.written));
    }
    Ok(bins)
}

impl BudgetHandle {
    /// Hands in what is to be kept, at `wall`. Never blocks; false when the disk is so slow that too many wait: the next one
    /// has it all.
    #[must_use]
    pub fn keep(&self, bins: Vec<Bin>, wall: Wall) -> bool {
        let (path, service) = (self.path.clone(), self.service.clone());
        self.snapshots.try_send(Snapshot { path, service, bins, wall }).is_ok()
    }
}

impl BudgetThread {
    /// Writes until every handle is gone. Blocks: it wants a thread of its own.
    pub fn run(self) {
        let mut failing = false;
        for snapshot in self.snapshots {
            let written = snapshot.write();
            // Once, and not once a minute.
            match &written {
                Err(error) if !failing => {
                    let (service, path) = (&snapshot.service, snapshot.path.display());
                    tracing::warn!(%service, %path, %error, "the error budget can't be kept; it goes on in memory");
                }
                Ok(()) if failing => tracing::info!("the error budget can be kept again"),
                Ok(()) | Err(_) => {}
            }
            failing = written.is_err();
        }
    }
}

impl Snapshot {
    fn write(&self) -> io::Result<()> {
        let hours = self.bins.iter().map(|bin| (bin.hour, bin.answers, bin.bad)).collect();
        let (service, written) = (self.service.clone(), rfc3339(self.wall));
        let document = Document { version: VERSION, service, written, hours };
        let new = self.path.with_extension("json.new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(&document)?)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        // A new name is on disk only when its folder is.
        File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }
}
