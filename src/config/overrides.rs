//! The two layers of single values: variables and flags.

use super::parse::{Format, parse};
use super::{Data, Node, Origin, Problem, Sources, Table};
use std::sync::Arc;

/// What a variable of ours begins with. Two underscores, because Kubernetes makes `SERIN_…` ones by itself.
const PREFIX: &str = "SERIN__";

/// `SERIN__SECTION__KEY`, as a tree. Faults go to `problems`.
pub(super) fn variables(sources: &Sources, problems: &mut Vec<Problem>) -> Node {
    let mut table = Table::new();
    for (variable, text) in &sources.variables {
        let Some(rest) = variable.strip_prefix(PREFIX) else { continue };
        let path: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
        put(&mut table, &path, text, &Origin::Variable { name: Arc::from(variable.as_str()) }, problems);
    }
    Node { data: Data::Table(table), origin: Origin::Variable { name: Arc::from("SERIN__…") } }
}

/// `--set section.key=value`, as a tree. Later ones win.
pub(super) fn flags(sources: &Sources, problems: &mut Vec<Problem>) -> Node {
    let mut table = Table::new();
    for (key, text) in &sources.overrides {
        let path: Vec<String> = key.split('.').map(str::to_owned).collect();
        let flag = if key == "mode" { "--mode".to_owned() } else { format!("--set {key}") };
        put(&mut table, &path, text, &Origin::Flag { text: Arc::from(flag) }, problems);
    }
    Node { data: Data::Table(table), origin: Origin::Flag { text: Arc::from("--set") } }
}

fn put(table: &mut Table, path: &[String], text: &str, origin: &Origin, problems: &mut Vec<Problem>) {
    let refuse = |rule: &str, remedy: &str| Problem {
        origin: origin.clone(),
        key: path.join("."),
        value: None,
        rule: rule.to_owned(),
        remedy: remedy.to_owned(),
    };
    if path.iter().any(String::is_empty) {
        problems.push(refuse("a part of the name is empty", "write section.key, or SERIN__SECTION__KEY"));
        return;
    }
    if path.len() > 1 && path.first().is_some_and(|first| first == "targets" || first.starts_with("targets["))
    {
        problems.push(refuse("a single target can't be set from outside its file", "edit the file"));
        return;
    }
    if insert(table, path, value(text, origin), origin).is_none() {
        let rule = "one setting is both a value and a section";
        problems.push(refuse(rule, "keep either the section or its keys"));
    }
}

/// `None` when a part of the way there is a value already.
fn insert(table: &mut Table, path: &[String], data: Data, origin: &Origin) -> Option<()> {
    let (first, rest) = path.split_first()?;
    if rest.is_empty() {
        let clash = table
            .get(first)
            .is_some_and(|old| matches!(old.data, Data::Table(_)) && !matches!(data, Data::Table(_)));
        if clash {
            return None;
        }
        table.insert(first.clone(), Node { data, origin: origin.clone() });
        return Some(());
    }
    let section = Node { data: Data::Table(Table::new()), origin: origin.clone() };
    match &mut table.entry(first.clone()).or_insert(section).data {
        Data::Table(inner) => insert(inner, rest, data, origin),
        _ => None,
    }
}

/// Lists and tables are written as in TOML; all else is text, which counts and switches are read from.
fn value(text: &str, origin: &Origin) -> Data {
    let parsed = if text.starts_with(['[', '{']) {
        parse(&format!("x = {text}"), "", Some(Format::Toml)).ok()
    } else {
        None
    };
    let parsed = parsed.and_then(|root| match root.data {
        Data::Table(mut table) if table.len() == 1 => table.remove("x"),
        _ => None,
    });
    parsed.map_or_else(|| Data::Text(text.to_owned()), |node| moved(node.data, origin))
}

/// The same value, said to stand at `origin`.
fn moved(data: Data, origin: &Origin) -> Data {
    let node = |node: Node| Node { data: moved(node.data, origin), origin: origin.clone() };
    match data {
        Data::List(items) => Data::List(items.into_iter().map(node).collect()),
        Data::Table(table) => Data::Table(table.into_iter().map(|(key, inner)| (key, node(inner))).collect()),
        other => other,
    }
}
