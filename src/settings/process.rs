//! What a process has once: `[admin] [engine] [evidence] [publish] [log]`.

use super::reader::{Fault, Leaf, Noted, Section};
use super::secret::Secret;
use super::{
    Admin, CloudWatch, Engine, EvidenceStore, Log, LogFormat, Otlp, Process, Publish, Webhook, address,
    target,
};
use crate::config::quoted;
use http::Uri;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The path of a Unix socket is at most 107 bytes (`sun_path` of unix(7), less the zero).
const SOCKET_BYTES_MAX: usize = 107;

/// All of it.
pub(super) fn read(root: &Section<'_>) -> Result<Process, Noted> {
    let evidence = evidence(&root.section("evidence"));
    let admin = admin(&root.section("admin"), evidence.as_ref().ok().map(|evidence| evidence.dir.as_path()));
    let engine = root.section("engine");
    let quantum = engine.get("quantum", |leaf| leaf.duration(Duration::ZERO..=Duration::from_millis(10)));
    let threads = engine.get("threads", |leaf| leaf.count(1..=64));
    let publish = publish(&root.section("publish"));
    let log = log(&root.section("log"));
    Ok(Process {
        admin: admin?,
        engine: Engine { quantum: quantum?, threads: threads? },
        evidence: evidence?,
        publish: publish?,
        log: log?,
    })
}

fn admin(section: &Section<'_>, evidence_dir: Option<&Path>) -> Result<Admin, Noted> {
    let listen = section.get("listen", listen);
    let token = section.maybe("token", token);
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

fn token(leaf: &Leaf<'_>) -> Result<Secret, Fault> {
    let remedy = "write token = { env = \"NAME\" } or { file = \"PATH\" }";
    leaf.reference().unwrap_or_else(|| Err(Fault::new("a credential stands in the file", remedy)))
}

fn evidence(section: &Section<'_>) -> Result<EvidenceStore, Noted> {
    let dir = section.get("dir", Leaf::path);
    let stdout = section.get("stdout", Leaf::switch);
    let max_disk = section.get("max_disk", |leaf| leaf.size(1 << 20..=1 << 40));
    Ok(EvidenceStore { dir: dir?, stdout: stdout?, max_disk: max_disk? })
}

fn publish(section: &Section<'_>) -> Result<Publish, Noted> {
    let named = |name: &str| section.has(name).then(|| section.section(name));
    let otlp = named("otlp").map(|section| otlp(&section)).transpose();
    let cloudwatch = named("cloudwatch").map(|section| cloudwatch(&section)).transpose();
    let webhook = named("webhook").map(|section| webhook(&section)).transpose();
    Ok(Publish { otlp: otlp?, cloudwatch: cloudwatch?, webhook: webhook? })
}

fn otlp(section: &Section<'_>) -> Result<Otlp, Noted> {
    let endpoint = section.get("endpoint", |leaf| http_url(leaf.text()?));
    let interval = section.get("interval", interval);
    let mut headers = target::headers(section)?;
    headers.values_mut().for_each(|value| value.set_sensitive(true));
    Ok(Otlp { endpoint: endpoint?, interval: interval?, headers })
}

fn cloudwatch(section: &Section<'_>) -> Result<CloudWatch, Noted> {
    let namespace = section.get("namespace", namespace);
    let interval = section.get("interval", interval);
    let resolution = section.get("resolution", |leaf| match leaf.count(1..=60)? {
        1 => Ok(1),
        60 => Ok(60),
        _ => Err(Fault::new("CloudWatch stores by 1 second or by 60", "write 1 or 60")),
    });
    Ok(CloudWatch { namespace: namespace?, interval: interval?, resolution_seconds: resolution? })
}

fn namespace(leaf: &Leaf<'_>) -> Result<String, Fault> {
    let text = leaf.text()?;
    let letter = |letter: char| letter.is_ascii_alphanumeric() || "._/#:- ".contains(letter);
    if text.len() > 255 || !text.chars().all(letter) || text.trim().is_empty() {
        return Err(Fault::new("CloudWatch takes 1 to 255 of letters, digits, space and . - _ / # :", ""));
    }
    if text.starts_with("AWS/") || text.starts_with(':') {
        return Err(Fault::new("namespaces that begin with AWS/ or : are AWS's own", "choose another"));
    }
    Ok(text.to_owned())
}

fn webhook(section: &Section<'_>) -> Result<Webhook, Noted> {
    let url = section.get("url", |leaf| {
        let secret =
            leaf.reference().unwrap_or_else(|| leaf.text().map(|text| Secret::new(text.to_owned())))?;
        http_url(secret.expose()).map(|_| secret)
    });
    let timeout =
        section.get("timeout", |leaf| leaf.duration(Duration::from_millis(100)..=Duration::from_mins(1)));
    Ok(Webhook { url: url?, timeout: timeout? })
}

/// No message repeats the URL: that of a webhook is a secret.
fn http_url(text: &str) -> Result<Uri, Fault> {
    address::endpoint(text).map(|endpoint| endpoint.url)
}

fn interval(leaf: &Leaf<'_>) -> Result<Duration, Fault> {
    leaf.duration(Duration::from_secs(1)..=Duration::from_hours(1))
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
