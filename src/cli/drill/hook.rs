//! Whose hands move the listener to green, put the fault in and take it away: the lab's, or a program of the user's.

use super::Stop;
use crate::cli::stage;
use crate::lab::{Fault, Lab};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fmt;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};

/// What was asked to end has ended by then, or is killed.
const END_WITHIN: Duration = Duration::from_secs(2);

/// What the hook is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The listener goes over to green.
    Cutover,
    /// Green goes bad.
    Fault,
    /// The fault is taken away, whatever became of the drill.
    Restore,
}

impl Phase {
    /// As in `SERIN_DRILL_PHASE`.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Cutover => "cutover",
            Self::Fault => "fault",
            Self::Restore => "restore",
        }
    }
}

/// Why a phase wasn't done.
#[derive(Debug)]
pub(super) enum HookError {
    /// It failed, in words.
    Failed(String),
    /// Somebody wants the drill to end.
    Interrupted,
}

impl fmt::Display for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => f.write_str(why),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

/// Who does what a drill needs done.
pub(super) enum Hands<'a> {
    Lab(&'a Lab),
    Hook(&'a Hook),
}

impl Hands<'_> {
    /// Does one phase. Without `stop` nothing but the time limit ends it early. `outcome` is what became of the drill so far.
    pub(super) async fn run(
        &self,
        phase: Phase,
        outcome: &str,
        stop: Option<&mut Stop>,
    ) -> Result<(), HookError> {
        match self {
            Self::Hook(hook) => hook.run(phase, outcome, stop).await,
            Self::Lab(lab) => {
                let green = lab.service("green");
                match phase {
                    Phase::Cutover => stage::cut_over(lab)
                        .await
                        .map_err(|error| HookError::Failed(format!("the lab's cutover: {error:#}"))),
                    Phase::Fault => {
                        green.set_fault(Fault::Outage);
                        Ok(())
                    }
                    Phase::Restore => {
                        green.set_fault(Fault::None);
                        Ok(())
                    }
                }
            }
        }
    }
}

/// A program of the user's.
#[derive(Debug)]
pub(super) struct Hook {
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    /// No phase takes longer.
    pub(super) limit: Duration,
    /// What it is told, beside the phase.
    pub(super) env: Vec<(&'static str, String)>,
}

impl Hook {
    async fn run(&self, phase: Phase, outcome: &str, stop: Option<&mut Stop>) -> Result<(), HookError> {
        let failed = |why: String| HookError::Failed(format!("the hook's phase {} {why}", phase.word()));
        // Standard output is the drill's own, and may be JSON.
        let stderr = std::io::stderr().as_fd().try_clone_to_owned();
        let stderr = stderr.map_err(|error| failed(format!("can't be given standard error: {error}")))?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .env("SERIN_DRILL_PHASE", phase.word())
            .env("SERIN_DRILL_OUTCOME", outcome)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::from(stderr))
            // Ctrl-C on a terminal goes to a whole group: the drill ends its hook itself, and restores.
            .process_group(0)
            .kill_on_drop(true);
        let started = command.spawn();
        let mut child = started
            .map_err(|error| failed(format!("can't be started: {}: {error}", self.program.display())))?;
        let asked = async {
            match stop {
                Some(stop) => stop.asked().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = child.wait() => match ended {
                Ok(status) if status.success() => Ok(()),
                Ok(status) => Err(failed(format!("ended with {}", words(status)))),
                Err(error) => Err(failed(format!("can't be waited for: {error}"))),
            },
            () = tokio::time::sleep(self.limit) => {
                end(&mut child).await;
                Err(failed(format!(
                    "was still running after {} (--hook-timeout), and was ended",
                    humantime::format_duration(self.limit)
                )))
            }
            () = asked => {
                end(&mut child).await;
                Err(HookError::Interrupted)
            }
        }
    }
}

/// A script's own children end with it.
async fn end(child: &mut Child) {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let Some(group) = group else { return };
    let _ = kill_process_group(group, Signal::TERM);
    let _ = tokio::time::timeout(END_WITHIN, child.wait()).await;
    // Whoever minds no SIGTERM, in the whole group.
    let _ = kill_process_group(group, Signal::KILL);
    let _ = child.wait().await;
}

fn words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(script: &str, limit: Duration) -> Hook {
        let args = vec!["-c".to_owned(), script.to_owned()];
        Hook { program: "/bin/sh".into(), args, limit, env: vec![("SERIN_DRILL_SERVICE", "checkout".into())] }
    }

    async fn said(script: &str, limit: Duration) -> String {
        let hook = hook(script, limit);
        let done = hook.run(Phase::Fault, "none", None).await;
        done.map_or_else(|error| error.to_string(), |()| "done".to_owned())
    }

    #[test]
    fn a_hook_is_told_its_phase_and_its_end_is_told_in_words() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let long = Duration::from_secs(20);
            let told = "test \"$SERIN_DRILL_PHASE $SERIN_DRILL_SERVICE $SERIN_DRILL_OUTCOME\" = 'fault checkout none'";
            assert_eq!(said(told, long).await, "done");
            assert_eq!(said("exit 3", long).await, "the hook's phase fault ended with exit code 3");
            assert_eq!(said("kill -9 $$", long).await, "the hook's phase fault ended with signal 9");
            let begun = crate::clock::now();
            let slow = said("trap '' TERM; sleep 30 & wait; sleep 30", Duration::from_millis(100)).await;
            assert_eq!(
                slow,
                "the hook's phase fault was still running after 100ms (--hook-timeout), and was ended"
            );
            assert!(crate::clock::now().since(begun) < Duration::from_secs(10), "its children end with it");
            let hook = Hook { program: "/no/such/program".into(), ..hook("", long) };
            let error = hook.run(Phase::Cutover, "none", None).await.unwrap_err().to_string();
            assert!(error.starts_with("the hook's phase cutover can't be started: /no/such/program"), "{error}");
        });
    }
}
