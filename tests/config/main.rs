//! The configuration as its users meet it: examples that load, faults that are told, layers that win.

mod examples;
mod invalid;
mod layers;
mod openslo;
mod secrets;
mod totality;

use serin::config::{ConfigError, Sources};
use serin::settings::{self, Settings};
use std::path::{Path, PathBuf};

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Loads `paths` with `variables` and `overrides`, and nothing of this process's own variables.
fn load_with(
    paths: &[&Path],
    variables: &[(&str, &str)],
    overrides: &[(&str, &str)],
) -> Result<Settings, ConfigError> {
    let owned = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>()
    };
    settings::load(&Sources {
        paths: paths.iter().map(|path| path.display().to_string()).collect(),
        variables: owned(variables).into_iter().collect(),
        overrides: owned(overrides),
    })
}

fn load(path: &Path) -> Result<Settings, ConfigError> {
    load_with(&[path], &[], &[])
}

/// Loads `text` as the document `env:DOC`.
fn load_text(text: &str) -> Result<Settings, ConfigError> {
    load_with(&[Path::new("env:DOC")], &[("DOC", text)], &[])
}

/// A document that loads, with `more` in front of its tables and `tables` behind them.
fn document(more: &str, tables: &str) -> String {
    format!(
        "service = \"a\"\n{more}\n[[targets]]\nurl = \"http://127.0.0.1:1/x\"\n{tables}\n[objectives]\navailability = \"99%\"\n"
    )
}
