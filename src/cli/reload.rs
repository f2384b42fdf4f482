//! `serin reload`: a running Serin reads its configuration anew.

use super::{Failure, say};
use crate::admin::{At, ClientError, post};
use clap::Args;
use http::StatusCode;
use serde_json::Value;
use std::fmt::Write;
use std::path::PathBuf;

/// `serin reload`
#[derive(Args, Debug)]
pub(super) struct ReloadArgs {
    /// The admin socket of the running Serin (admin.socket).
    #[arg(long, env = "SERIN_SOCKET", default_value = "serin-data/serin.sock")]
    socket: PathBuf,
    /// For programs.
    #[arg(long)]
    json: bool,
}

pub(super) fn reload(args: &ReloadArgs) -> Result<(), Failure> {
    let at = At::Socket(args.socket.clone());
    let answer = match super::runtime()?.block_on(post(&at, "/-/reload", String::new())) {
        Ok(answer) => answer,
        Err(ClientError::Refused { code: StatusCode::BAD_REQUEST, why }) => {
            let faults = serde_json::from_str::<Value>(&why).ok();
            let faults = faults.as_ref().and_then(|body| body["error"].as_str()).unwrap_or(&why);
            return Err(Failure::Config(format!("the configuration of before goes on: {faults}")));
        }
        Err(error) => return Err(Failure::Failed(error.into())),
    };
    if args.json {
        return say(&format!("{answer}\n"));
    }
    let told: Value = serde_json::from_str(&answer).map_err(|error| Failure::Failed(error.into()))?;
    say(&words(&told))
}

/// A line for each service that changes, and for each key that waits for a restart.
fn words(told: &Value) -> String {
    let names = |key: &str| -> Vec<String> {
        let all = told[key].as_array().into_iter().flatten();
        all.filter_map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let mut text = String::new();
    // Writing to a string can't fail.
    for (key, word) in
        [("changed", "changed"), ("added", "is watched from now on"), ("removed", "is watched no more")]
    {
        for name in names(key) {
            let _ = match told["pending"][&name].as_str() {
                Some(why) => writeln!(text, "{name}: {word}, once this is over: {why}"),
                None => writeln!(text, "{name}: {word}"),
            };
        }
    }
    for key in names("needs_restart") {
        let _ = writeln!(text, "{key}: holds after a restart");
    }
    if text.is_empty() {
        text.push_str("nothing has changed\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_changes_waits_or_needs_a_restart_has_a_line() {
        let told = json!({ "changed": ["a", "b"], "added": ["c"], "removed": ["d"], "needs_restart": ["log.level"],
                           "pending": { "b": "a release is under judgement" } });
        assert_eq!(
            words(&told),
            "a: changed\nb: changed, once this is over: a release is under judgement\nc: is watched from now on\n\
             d: is watched no more\nlog.level: holds after a restart\n"
        );
        assert_eq!(words(&json!({ "changed": [], "pending": {} })), "nothing has changed\n");
    }
}
