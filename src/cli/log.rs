//! The process's own log, on standard error: text for people, JSON for programs.

use crate::settings::{Log, LogFormat};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Begins to log as the settings say. `RUST_LOG` may narrow single modules.
pub(super) fn begin(log: &Log) {
    let filter = EnvFilter::builder().with_default_directive(log.level.into()).from_env_lossy();
    let json = match log.format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber in one process (a test's) is no reason to stop.
    let begun = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init()
    };
    if begun.is_err() {
        tracing::debug!("a log was begun before");
    }
}
