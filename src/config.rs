//! The file's shape and its layers: defaults < files < `SERIN__SECTION__KEY` < flags.
//!
//! A document is parsed once, into a tree whose every value knows its line. figment lays the
//! documents, variables and flags over each other; the line is found again through the layer that a
//! value came from. So every fault, of whatever layer, names the place where it can be mended.

mod problem;

pub use problem::{ConfigError, Origin, Problem, Problems};

use std::collections::BTreeMap;

/// What a configuration is made from. Nothing else is read but the files that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// `--config`: files, folders and `env:NAME`, in the order given.
    pub paths: Vec<String>,
    /// The process's variables.
    pub variables: BTreeMap<String, String>,
    /// Flags as (key, value): `--set judge.grace=5s`, `--mode observe`. Later ones win.
    pub overrides: Vec<(String, String)>,
}

impl Sources {
    /// From the command line and this process's variables; those that aren't UTF-8 are left out.
    #[must_use]
    pub fn of_process(paths: Vec<String>, overrides: Vec<(String, String)>) -> Self {
        let variables =
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Self { paths, variables: variables.collect(), overrides }
    }
}
