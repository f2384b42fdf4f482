//! Three formats, one tree. Each parser gives every value the line of its key.

mod json;
mod toml;
mod yaml;

use super::{Data, Node, Origin, Problem};
use std::path::Path;
use std::sync::Arc;

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.toml`
    Toml,
    /// `.json`
    Json,
    /// `.yaml`, `.yml`
    Yaml,
}

impl Format {
    /// By the extension of `path`; `None` when it is none of ours.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "toml" => Some(Self::Toml),
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// Parses `text`, which messages call `name`. Without a format: `{` begins JSON, else TOML is tried, then YAML.
///
/// # Errors
/// All faults of syntax that the format's parser can tell apart, at least one.
pub fn parse(text: &str, name: &str, format: Option<Format>) -> Result<Node, Vec<Problem>> {
    let name: Arc<str> = Arc::from(name);
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match format {
        Some(Format::Toml) => toml::parse(text, &name),
        Some(Format::Json) => json::parse(text, &name),
        Some(Format::Yaml) => yaml::parse(text, &name),
        None if text.trim_start().starts_with('{') => json::parse(text, &name),
        // A YAML mapping is never TOML and the other way round: `a: b` has no `=`.
        None => toml::parse(text, &name).or_else(|faults| {
            let looks_toml = text.lines().any(|line| {
                let line = line.trim_start();
                line.starts_with('[')
                    || line.split_once('=').is_some_and(|(key, _)| !key.contains([':', '#']))
            });
            if looks_toml { Err(faults) } else { yaml::parse(text, &name) }
        }),
    }
}

/// Parses every document of `text`, which may hold several if it is YAML.
///
/// # Errors
/// As [`parse`].
pub(super) fn parse_all(text: &str, name: &str, format: Format) -> Result<Vec<Node>, Vec<Problem>> {
    match format {
        Format::Yaml => yaml::parse_all(text.strip_prefix('\u{feff}').unwrap_or(text), &Arc::from(name)),
        Format::Json | Format::Toml => parse(text, name, Some(format)).map(|root| vec![root]),
    }
}

/// A fault of syntax.
fn broken(name: &Arc<str>, line: u32, rule: String) -> Problem {
    let origin = Origin::Document { name: Arc::clone(name), line };
    Problem { origin, key: String::new(), value: None, rule, remedy: String::new() }
}

/// The root has to be a table; an empty YAML document is an empty one.
fn rooted(mut root: Node, name: &Arc<str>) -> Result<Node, Vec<Problem>> {
    root.origin = Origin::Document { name: Arc::clone(name), line: 0 };
    match root.data {
        Data::Table(_) => Ok(root),
        Data::Null => Ok(Node { data: Data::Table(super::Table::new()), ..root }),
        other => Err(vec![broken(name, 1, format!("the document is {}, not a table of keys", other.kind()))]),
    }
}
