//! A running `serin run`: what it says, how it is asked, how it is stopped.

use super::scene::{DAEMON_KEY, Scene};
use serde_json::Value;
use serin::admin::{At, ClientError, get, post};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

/// Whatever is waited for has come by then, also on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(30);

/// `serin`, with nothing of this process's own AWS or Serin environment.
pub(crate) fn serin(args: &[&str]) -> Command {
    let mut command = Command::new(super::program());
    command.args(args);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("AWS_") || text.starts_with("SERIN_") || text.starts_with("RUST_LOG") {
            command.env_remove(&name);
        }
    }
    command.env("AWS_EC2_METADATA_DISABLED", "true").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs `serin` to its end: exit code, standard output, standard error.
pub(crate) async fn outcome(mut command: Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } =
        tokio::time::timeout(PATIENCE, command.output()).await.expect("serin ends by itself").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().expect("serin exits by itself"), text(stdout), text(stderr))
}

/// See the module. Dropped, it is killed.
pub(crate) struct Daemon {
    child: Child,
    out: Arc<Mutex<Vec<String>>>,
    log: Arc<Mutex<Vec<String>>>,
    socket: PathBuf,
}

impl Daemon {
    /// `serin run --config FILE`, with the lab as its AWS.
    pub(crate) fn start(scene: &Scene) -> Self {
        let config = scene.path("serin.toml");
        std::fs::write(&config, scene.text()).unwrap();
        Self::start_by(scene, serin(&["run", "--config", config.to_str().unwrap()]))
    }

    /// The same by another command line.
    pub(crate) fn start_by(scene: &Scene, mut command: Command) -> Self {
        command
            .env("AWS_ENDPOINT_URL", scene.lab.endpoint_url())
            .env("AWS_ACCESS_KEY_ID", DAEMON_KEY)
            .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
            .envs(scene.env.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (out, log) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        Self { child, out, log, socket: scene.path("serin.sock") }
    }

    /// One that is armed: blue is known good.
    pub(crate) async fn armed(scene: &Scene) -> Self {
        let daemon = Self::start(scene);
        daemon.until_armed().await;
        daemon
    }

    pub(crate) async fn until_armed(&self) {
        self.until("armed", async || get(&self.at(), "/-/armed").await.is_ok()).await;
    }

    /// Waits for a line of the ledger with this event; the first one.
    pub(crate) async fn event(&self, name: &str) -> Value {
        self.until(name, async || !self.events(name).is_empty()).await;
        self.events(name).remove(0)
    }

    /// All lines so far with this event.
    pub(crate) fn events(&self, name: &str) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["event"] == name).collect()
    }

    fn lines(&self) -> Vec<Value> {
        self.out.lock().unwrap().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits until the log says this.
    pub(crate) async fn logged(&self, text: &str) {
        self.until(text, async || self.log().contains(text)).await;
    }

    /// Standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Standard output so far.
    pub(crate) fn output(&self) -> String {
        self.out.lock().unwrap().join("\n")
    }

    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let wait = async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            let armed = get(&self.at(), "/-/armed").await;
            panic!("never: {what}\n{armed:?}\n{}\n{}", self.output(), self.log());
        }
    }

    /// Its Unix socket.
    pub(crate) fn at(&self) -> At {
        At::Socket(self.socket.clone())
    }

    /// Where its TCP listener is.
    pub(crate) async fn tcp(&self) -> At {
        self.logged("the admin listener is up").await;
        let log = self.log();
        let line = log.lines().find(|line| line.contains("the admin listener is up")).unwrap();
        let line: Value = serde_json::from_str(line).unwrap();
        At::Tcp(line["bound"].as_str().unwrap().parse().unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> Result<String, ClientError> {
        get(&self.at(), path).await
    }

    pub(crate) async fn status(&self) -> Value {
        serde_json::from_str(&self.get("/api/v1/status").await.unwrap()).unwrap()
    }

    pub(crate) async fn tell(&self, command: &str) -> Result<String, ClientError> {
        post(&self.at(), "/api/v1/services/checkout/command", command.to_owned()).await
    }

    pub(crate) fn pid(&self) -> rustix::process::Pid {
        let raw = i32::try_from(self.child.id().expect("it runs")).unwrap();
        rustix::process::Pid::from_raw(raw).unwrap()
    }

    /// SIGTERM; the exit status and how long it took.
    pub(crate) async fn terminate(&mut self) -> (ExitStatus, Duration) {
        let begun = serin::clock::now();
        rustix::process::kill_process(self.pid(), rustix::process::Signal::TERM).unwrap();
        let status = self.ended().await;
        (status, serin::clock::now().since(begun))
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Its own end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status =
            status.unwrap_or_else(|_| panic!("it didn't end\n{}", self.log.lock().unwrap().join("\n")));
        // What it said last is read by a task of its own.
        tokio::time::sleep(Duration::from_millis(50)).await;
        status.unwrap()
    }
}

/// Every line of a ledger.
pub(crate) fn ledger(evidence: &Path, service: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(evidence.join(service).join("ledger.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn lines(stream: impl AsyncRead + Unpin + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&kept);
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            sink.lock().unwrap().push(line);
        }
    });
    kept
}
