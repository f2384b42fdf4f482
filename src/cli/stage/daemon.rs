//! The `serin run` beside a demo or a drill: a process of its own, on a configuration that stays on disk.

use crate::admin::{At, get};
use crate::clock;
use crate::lab::Lab;
use anyhow::{Context, anyhow};
use serde_json::Value;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A daemon that was told to stop has stopped by then.
const STOP_WITHIN: Duration = Duration::from_secs(25);

/// A running `serin run`.
pub(in crate::cli) struct Daemon {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub(in crate::cli) socket: PathBuf,
    pub(in crate::cli) config: PathBuf,
    pub(in crate::cli) evidence: PathBuf,
    pub(in crate::cli) log: PathBuf,
}

impl Daemon {
    /// Writes the configuration and starts `serin run` on it, with the lab as its AWS. `play` is who asks: demo or drill.
    pub(in crate::cli) fn start(lab: &Lab, propagation: Duration, play: &str) -> Result<Self, anyhow::Error> {
        let folder = std::env::temp_dir().join(format!("serin-{play}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("{} can't be made", folder.display()))?;
        let (config, log) = (folder.join("serin.toml"), folder.join("serin.log"));
        let evidence = folder.join("evidence");
        let socket = folder.join("serin.sock");
        std::fs::write(&config, text(lab, propagation, play, &evidence, &socket))
            .with_context(|| format!("{} can't be written", config.display()))?;
        let errors =
            std::fs::File::create(&log).with_context(|| format!("{} can't be written", log.display()))?;
        let binary = std::env::current_exe().context("this program's own path can't be had")?;
        let mut command = Command::new(binary);
        command.arg("run").arg("--config").arg(&config);
        // Nothing of the person's own AWS may reach the daemon, nor the other way round.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("AWS_") || name.to_string_lossy().starts_with("SERIN_") {
                command.env_remove(name);
            }
        }
        command
            .env("AWS_ENDPOINT_URL", lab.endpoint_url())
            .env("AWS_ACCESS_KEY_ID", "AKIASERIN")
            .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .kill_on_drop(true);
        let mut child = command.spawn().context("`serin run` can't be started")?;
        let stdout = child.stdout.take().context("the daemon's output can't be read")?;
        Ok(Self { child, lines: BufReader::new(stdout).lines(), socket, config, evidence, log })
    }

    /// Waits until Serin knows a state to return to and could act.
    pub(in crate::cli) async fn wait_until_good(&mut self, within: Duration) -> Result<(), anyhow::Error> {
        let until = clock::now().after(within);
        let at = At::Socket(self.socket.clone());
        while clock::now() < until {
            if let Some(status) = self.child.try_wait()? {
                return Err(anyhow!("`serin run` ended with {status}; its log is {}", self.log.display()));
            }
            if get(&at, "/-/armed").await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let body = get(&at, "/api/v1/status").await.unwrap_or_else(|error| error.to_string());
        Err(anyhow!("Serin didn't get ready within {} s: {body}", within.as_secs()))
    }

    /// The next ledger line, as it comes out of Serin; `None` at its end. Cancel safe.
    pub(in crate::cli) async fn next_line(&mut self) -> Result<Option<Value>, anyhow::Error> {
        loop {
            match self.lines.next_line().await? {
                None => return Ok(None),
                // Whatever isn't a ledger line is no part of the story.
                Some(line) => {
                    if let Ok(value) = serde_json::from_str(&line) {
                        return Ok(Some(value));
                    }
                }
            }
        }
    }

    /// Reads on until the daemon ends, so that it never waits for a reader. Cancel safe.
    pub(in crate::cli) async fn listen(&mut self) {
        while let Ok(Some(_)) = self.lines.next_line().await {}
    }

    /// SIGTERM, as ECS would; then waits.
    pub(in crate::cli) async fn stop(&mut self) -> Result<(), anyhow::Error> {
        let pid =
            self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)
                .context("the daemon can't be stopped")?;
        }
        let drain = async {
            self.listen().await;
            self.child.wait().await
        };
        match tokio::time::timeout(STOP_WITHIN, drain).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => {
                Err(anyhow!("`serin run` ended with {status}; its log is {}", self.log.display()))
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(anyhow!("`serin run` didn't stop within {} s of SIGTERM", STOP_WITHIN.as_secs())),
        }
    }

    /// Where the ledger is.
    pub(in crate::cli) fn ledger(&self) -> PathBuf {
        self.evidence.join("checkout").join("ledger.jsonl")
    }
}

/// The configuration: what a user's own would say, with the times shortened.
fn text(lab: &Lab, propagation: Duration, play: &str, evidence: &Path, socket: &Path) -> String {
    let mut text = format!(
        "# Written by `serin {play}`. What is shorter here than by default is marked.\n\
         service       = \"checkout\"\n\
         listener      = \"{}\"\n\
         mode          = \"act\"\n\
         sole_actuator = true\n\
         control       = \"{}\"\n",
        lab.listener_arn(),
        lab.control_url(),
    );
    // One target a zone: the lab's zones are addresses without a common name.
    for (index, address) in lab.balancer_addresses().iter().enumerate() {
        let zone = char::from(b'a' + u8::try_from(index % 26).unwrap_or(0));
        let _ = write!(
            text,
            "\n[[targets]]\n\
             name    = \"checkout-{zone}\"\n\
             url     = \"http://{address}/checkout\"\n\
             version = {{ header = \"x-version\" }}\n",
        );
    }
    let spread = propagation.as_millis() + 1_000;
    let _ = write!(
        text,
        "\n[objectives]\n\
         availability = \"99.9%\"\n\
         p95          = \"250ms\"\n\
         \n[judge]\n\
         wrong_reverts = \"1 in 1000000 releases\"\n\
         tolerate_blip = \"250ms\"\n\
         settle        = \"2s\"       # 60s by default\n\
         grace         = \"1s\"       # 10s by default\n\
         propagation   = \"{spread}ms\"   # 15s by default\n\
         \n[pace]\n\
         calm = \"60/s\"              # 5/s by default; settling wants 100 answers\n\
         \n[admin]\n\
         listen = \"127.0.0.1:0\"\n\
         socket = \"{}\"\n\
         \n[evidence]\n\
         dir = \"{}\"\n",
        socket.display(),
        evidence.display(),
    );
    text
}
