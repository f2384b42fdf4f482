//! The file's shape and its layers: defaults < files < `SERIN__SECTION__KEY` < flags.
//!
//! A document is parsed once, into a tree whose every value knows its line. figment lays the
//! documents, variables and flags over each other; the line is found again through the layer that a
//! value came from. So every fault, of whatever layer, names the place where it can be mended.
//! Defaults are the lowest layer: [`KEYS`] fills in what no other layer has set.
//!
//! A document without `service` is a layer beneath every document that has one. What a process has
//! once ([`PROCESS_SECTIONS`]) may stand in any document; two that disagree are refused, because no
//! order among services says who is right.

mod documents;
mod keys;
mod layers;
mod node;
mod overrides;
mod parse;
mod problem;
mod shape;

pub use documents::foreign;
pub use keys::{Fallback, KEYS, Key, PROCESS_SECTIONS, Shape, find, names_in};
pub use node::{Data, Node, Table};
pub use parse::{Format, parse};
pub use problem::{ConfigError, Origin, Problem, Problems};

pub(crate) use keys::{join, pattern_of};
pub(crate) use node::quoted;

use std::collections::BTreeMap;
use std::sync::Arc;

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

/// The layers, merged. The values are still as they were written.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The sections that a process has once.
    pub process: Node,
    /// One tree a service, without those sections; the origin is its document's.
    pub services: Vec<Node>,
}

/// Reads and merges all layers. Faults go to `problems`; what could be read is given nevertheless, so that
/// the checks that follow find theirs in the same run.
pub fn read(sources: &Sources, problems: &mut Vec<Problem>) -> Config {
    let documents = documents::read(sources, problems);
    let unreadable = !problems.is_empty();
    let variables = overrides::variables(sources, problems);
    let flags = overrides::flags(sources, problems);
    for layer in documents.iter().chain([&variables, &flags]) {
        problems.extend(shape::check(layer));
    }
    disagreements(&documents, problems);

    let (named, bases): (Vec<&Node>, Vec<&Node>) =
        documents.iter().partition(|doc| doc.entry("service").is_some());
    let above = [&variables, &flags];
    let all: Vec<&Node> = documents.iter().chain(above).collect();
    let nowhere = Origin::Document { name: Arc::from(sources.paths.join(" ")), line: 0 };
    let process = only(layers::merge(&all, &nowhere), |key| PROCESS_SECTIONS.contains(&key));

    let merged = |document: Option<&Node>| {
        let stack: Vec<&Node> = bases.iter().copied().chain(document).chain(above).collect();
        let origin = document.or(bases.first().copied()).map_or(&nowhere, |doc| &doc.origin);
        only(layers::merge(&stack, origin), |key| !PROCESS_SECTIONS.contains(&key))
    };
    let services: Vec<Node> =
        if named.is_empty() && above.iter().any(|layer| layer.entry("service").is_some()) {
            vec![merged(None)]
        } else {
            named.iter().map(|document| merged(Some(document))).collect()
        };
    if services.is_empty() && !unreadable {
        problems.push(no_service(sources, nowhere));
    }
    Config { process, services }
}

fn no_service(sources: &Sources, nowhere: Origin) -> Problem {
    let (origin, rule) = if sources.paths.is_empty() {
        (Origin::Flag { text: Arc::from("--config") }, "no configuration is named")
    } else {
        (nowhere, "no document names a service")
    };
    let remedy = "name a file with service = \"…\", a folder of them, or env:NAME".to_owned();
    Problem { origin, key: "service".to_owned(), value: None, rule: rule.to_owned(), remedy }
}

fn only(root: Node, keep: impl Fn(&str) -> bool) -> Node {
    let data = match root.data {
        Data::Table(table) => Data::Table(table.into_iter().filter(|(key, _)| keep(key)).collect()),
        other => other,
    };
    Node { data, ..root }
}

/// Two documents that say different things about what a process has once.
fn disagreements(documents: &[Node], problems: &mut Vec<Problem>) {
    let mut said: BTreeMap<String, &Node> = BTreeMap::new();
    for document in documents {
        for section in PROCESS_SECTIONS {
            if let Some(node) = document.entry(section) {
                compare(node, section, section, &mut said, problems);
            }
        }
    }
}

fn compare<'a>(
    node: &'a Node,
    path: &str,
    pattern: &str,
    said: &mut BTreeMap<String, &'a Node>,
    problems: &mut Vec<Problem>,
) {
    if let (Data::Table(table), Shape::Section) = (&node.data, keys::shape(pattern)) {
        for (name, inner) in table {
            compare(inner, &join(path, name), &pattern_of(pattern, name), said, problems);
        }
        return;
    }
    let Some(first) = said.get(path) else {
        said.insert(path.to_owned(), node);
        return;
    };
    if first.data.to_string() != node.data.to_string() {
        problems.push(Problem {
            origin: node.origin.clone(),
            key: path.to_owned(),
            value: None,
            rule: format!("disagrees with {}: a process has only one {path}", first.origin),
            remedy: "say it once, best in a document without `service`".to_owned(),
        });
    }
}
