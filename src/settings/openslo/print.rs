//! The promises as TOML that Serin reads.

use super::Found;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

/// A target's `timeout` when nobody sets it.
const TIMEOUT: Duration = Duration::from_secs(1);

/// `[objectives]`, with what was left out as comments.
pub(super) fn toml(files: &[PathBuf], found: &mut Found) -> String {
    let from: Vec<String> = files.iter().map(|file| format!("{:?}", file.display().to_string())).collect();
    let mut text = format!("# Made by `serin import openslo` from {}.\n", from.join(", "));
    text.push_str(
        "# A document without `service` is a layer beneath those that have one: --config THIS.toml,SERVICE.toml\n\
         # What a good answer is stands in each target's `expect`: Serin asks by itself, and runs no query of an indicator.\n",
    );
    // In the order of the specification's own words, and each once.
    found.notes.sort();
    found.notes.dedup();
    for note in &found.notes {
        let _ = writeln!(text, "# {note}");
    }
    for promise in found.promises.iter().filter(|promise| promise.quantile > 0) {
        if promise.amount > TIMEOUT.as_nanos() {
            let (key, value) = (promise.key, &promise.value);
            let _ = writeln!(
                text,
                "# {key} needs targets with a `timeout` of at least {value}; 1s is the default."
            );
        }
    }
    text.push_str("\n[objectives]\n");
    for promise in &found.promises {
        let (key, value) = (promise.key, &promise.value);
        let _ = writeln!(text, "{key} = \"{value}\"  # {}", promise.slo.escape_debug());
    }
    text
}
