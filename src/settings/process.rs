//! What a process has once: `[admin] [engine] [evidence] [publish] [log] [reload]`.

use super::reader::{Fault, Leaf, Noted, Section};
use super::{Admin, Engine, EvidenceStore, Log, LogFormat, Process, publish};
use crate::config::quoted;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The path of a Unix socket is at most 107 bytes (`sun_path` of unix(7), less the zero).
const SOCKET_BYTES_MAX: usize = 107;

/// The files are looked at so often at most, and at least.
const WATCH_MIN: Duration = Duration::from_secs(1);
const WATCH_MAX: Duration = Duration::from_hours(24);

/// All of it.
pub(super) fn read(root: &Section<'_>) -> Result<Process, Noted> {
    let evidence = evidence(&root.section("evidence"));
    let admin = admin(&root.section("admin"), evidence.as_ref().ok().map(|evidence| evidence.dir.as_path()));
    let engine = root.section("engine");
    let quantum = engine.get("quantum", |leaf| leaf.duration(Duration::ZERO..=Duration::from_millis(10)));
    let threads = engine.get("threads", |leaf| leaf.count(1..=64));
    let publish = publish::read(&root.section("publish"));
    let log = log(&root.section("log"));
    let watch = root.section("reload").maybe("watch", |leaf| leaf.duration(WATCH_MIN..=WATCH_MAX));
    Ok(Process {
        admin: admin?,
        engine: Engine { quantum: quantum?, threads: threads? },
        evidence: evidence?,
        publish: publish?,
        log: log?,
        watch: watch?,
    })
}

fn admin(section: &Section<'_>, evidence_dir: Option<&Path>) -> Result<Admin, Noted> {
    let listen = section.get("listen", listen);
    let token = section.maybe("token", |leaf| leaf.hidden("token"));
    let socket = section.maybe("socket", |leaf| {
        let path = leaf.path()?;
        check_socket(&path).map(|()| path)
    });
    let socket = match (socket?, evidence_dir) {
        (Some(path), _) => path,
        (None, Some(dir)) => default_socket(section, dir)?,
        // evidence.dir is at fault, which was noted.
        (None, None) => return Err(Noted),
    };
    Ok(Admin { listen: listen?, socket, token: token? })
}

fn default_socket(section: &Section<'_>, evidence_dir: &Path) -> Result<PathBuf, Noted> {
    let path = evidence_dir.join("serin.sock");
    if let Err(fault) = check_socket(&path) {
        return Err(section.refuse("socket", fault));
    }
    section.note_default("socket", quoted(&path.to_string_lossy()));
    Ok(path)
}

fn check_socket(path: &Path) -> Result<(), Fault> {
    let bytes = path.as_os_str().len();
    if bytes <= SOCKET_BYTES_MAX {
        return Ok(());
    }
    let rule = format!(
        "{} is {bytes} bytes, and a Unix socket's path is {SOCKET_BYTES_MAX} at most",
        path.display()
    );
    Err(Fault::new(rule, "set admin.socket to a shorter path"))
}

fn listen(leaf: &Leaf<'_>) -> Result<SocketAddr, Fault> {
    let remedy = "write an address with its port: \"127.0.0.1:9464\"";
    leaf.text()?.parse().map_err(|_| Fault::new("not an address with a port", remedy))
}

fn evidence(section: &Section<'_>) -> Result<EvidenceStore, Noted> {
    let dir = section.get("dir", Leaf::path);
    let stdout = section.get("stdout", Leaf::switch);
    let max_disk = section.get("max_disk", |leaf| leaf.size(1 << 20..=1 << 40));
    Ok(EvidenceStore { dir: dir?, stdout: stdout?, max_disk: max_disk? })
}

fn log(section: &Section<'_>) -> Result<Log, Noted> {
    use tracing::Level;
    let format = section.get("format", |leaf| {
        leaf.choice(&[("auto", LogFormat::Auto), ("json", LogFormat::Json), ("text", LogFormat::Text)])
    });
    let level = section.get("level", |leaf| {
        leaf.choice(&[
            ("error", Level::ERROR),
            ("warn", Level::WARN),
            ("info", Level::INFO),
            ("debug", Level::DEBUG),
            ("trace", Level::TRACE),
        ])
    });
    Ok(Log { format: format?, level: level? })
}
