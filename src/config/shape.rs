//! Is every key of a document known, and is every section a table? No value is looked at, but for `${`.

use super::keys::{self, Shape};
use super::{Data, Node, Problem};

/// How alike two names must be to be offered (Jaro-Winkler, 0 to 1): `graze` for `grace` is 0.89, `cat` for `rate` 0.72.
const LIKENESS_MIN: f64 = 0.8;

/// The faults of one document or layer.
pub(super) fn check(root: &Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    section(root, "", "", &mut problems);
    problems
}

fn section(node: &Node, path: &str, pattern: &str, problems: &mut Vec<Problem>) {
    let Data::Table(table) = &node.data else {
        problems.push(wrong_kind(node, path, &format!("[{path}] is a table of keys")));
        return;
    };
    for (name, value) in table {
        let (path, inner) = (keys::join(path, name), keys::pattern_of(pattern, name));
        match keys::shape(&inner) {
            Shape::Leaf => splice(value, &path, problems),
            Shape::Section => section(value, &path, &inner, problems),
            Shape::Sections => sections(value, &path, &inner, problems),
            Shape::Unknown => problems.push(unknown(value, name, &path, pattern)),
        }
    }
}

fn sections(node: &Node, path: &str, pattern: &str, problems: &mut Vec<Problem>) {
    let Data::List(items) = &node.data else {
        problems.push(wrong_kind(node, path, &format!("{path} is a list of tables, [[{path}]]")));
        return;
    };
    for (index, item) in items.iter().enumerate() {
        section(item, &format!("{path}[{index}]"), &format!("{pattern}[]"), problems);
    }
}

fn wrong_kind(node: &Node, path: &str, rule: &str) -> Problem {
    Problem {
        origin: node.origin.clone(),
        key: path.to_owned(),
        value: None,
        rule: format!("{rule}; this is {}", node.data.kind()),
        remedy: match node.data {
            Data::Null => "leave it out, or write {} for a section without keys".to_owned(),
            _ => String::new(),
        },
    }
}

/// `${…}` anywhere in a value, at any depth of it.
fn splice(node: &Node, path: &str, problems: &mut Vec<Problem>) {
    match &node.data {
        Data::Text(text) if text.contains("${") => problems.push(Problem {
            origin: node.origin.clone(),
            key: path.to_owned(),
            value: None,
            rule: "`${…}` is never spliced into a value: the text would be sent as it stands".to_owned(),
            remedy: unspliced(path),
        }),
        Data::List(items) => items.iter().for_each(|item| splice(item, path, problems)),
        Data::Table(table) => table.values().for_each(|value| splice(value, path, problems)),
        _ => {}
    }
}

/// How to get a value of the environment into `path`.
fn unspliced(path: &str) -> String {
    let takes_reference = path.contains(".headers.")
        || matches!(
            path,
            "publish.webhook.url" | "publish.webhook.secret" | "publish.slack.url" | "admin.token"
        );
    if takes_reference {
        format!("a secret goes by reference, {path} = {{ env = \"NAME\" }}")
    } else if path.contains('[') {
        "write the value itself; a whole document may come from a variable, --config env:NAME".to_owned()
    } else {
        format!("set it from outside by the variable SERIN__{}", path.replace('.', "__").to_uppercase())
    }
}

/// The value isn't shown: it may be a secret in the wrong place.
fn unknown(node: &Node, name: &str, path: &str, pattern: &str) -> Problem {
    let place = if pattern.is_empty() { "at the top of a document" } else { "in this section" };
    Problem {
        origin: node.origin.clone(),
        key: path.to_owned(),
        value: None,
        rule: format!("there is no key `{}` {place}", clip(name)),
        remedy: suggestion(name, pattern),
    }
}

fn suggestion(name: &str, pattern: &str) -> String {
    let known = keys::names_in(pattern);
    let likely = known
        .iter()
        .map(|known| (strsim::jaro_winkler(name, known), *known))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    // A right name in the wrong section beats a like one here.
    let elsewhere = keys::KEYS
        .iter()
        .map(|key| key.path)
        .find(|path| path.rsplit_once('.').map_or(*path, |(_, last)| last) == name);
    match (elsewhere, likely) {
        (Some(path), _) => match path.rsplit_once('.') {
            Some((section, _)) => format!("did you mean `{name}` in [{}]?", section.replace("[]", "")),
            None => format!("did you mean `{name}` at the top, before the first [section]?"),
        },
        (None, Some((_, likely))) => format!("did you mean `{likely}`?"),
        (None, None) => format!("known here: {}", known.join(", ")),
    }
}

/// Names from a document are shown in messages; nobody wants to read a megabyte of one.
fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}
