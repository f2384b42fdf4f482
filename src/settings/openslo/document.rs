//! A part of a document that knows the way to itself, for messages.

use crate::config::{Data, Node, Origin, Problem, join};
use std::sync::Arc;

/// Values longer than this are no help in a message.
const SHOWN_MAX: usize = 60;

/// A node with its way from the root.
#[derive(Clone, Debug)]
pub(super) struct Part {
    node: Arc<Node>,
    /// The name of its document; empty while it is unknown.
    document: Arc<str>,
    path: String,
}

impl Part {
    /// A whole document.
    pub(super) fn root(node: &Arc<Node>) -> Self {
        Self { node: Arc::clone(node), document: Arc::from(""), path: String::new() }
    }

    /// The same, called `name` in messages.
    pub(super) fn named(self, name: &str) -> Self {
        Self { document: Arc::from(name), ..self }
    }

    /// The entry `key`; an empty one counts as none, as in YAML `key:` and `key: null` mean the same.
    pub(super) fn get(&self, key: &str) -> Option<Self> {
        let node = self.node.entry(key).filter(|node| node.data != Data::Null)?;
        Some(Self {
            node: Arc::new(node.clone()),
            document: Arc::clone(&self.document),
            path: join(&self.path, key),
        })
    }

    /// The items of a list, at least one; `None` for anything else.
    pub(super) fn items(&self) -> Option<Vec<Self>> {
        let items = self.node.items().filter(|items| !items.is_empty())?;
        let part = |(index, node): (usize, &Node)| Self {
            node: Arc::new(node.clone()),
            document: Arc::clone(&self.document),
            path: format!("{}[{index}]", self.path),
        };
        Some(items.iter().enumerate().map(part).collect())
    }

    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        self.node.text()
    }

    /// Whether it is a table.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.node.data, Data::Table(_))
    }

    /// true or false, if it is one.
    pub(super) fn flag(&self) -> Option<bool> {
        match self.node.data {
            Data::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The number, if it is a finite one.
    pub(super) fn number(&self) -> Option<f64> {
        let number = match self.node.data {
            #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 it is out of every range here")]
            Data::Int(value) => value as f64,
            Data::Float(value) => value,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    /// Where it stands.
    pub(super) fn origin(&self) -> &Origin {
        &self.node.origin
    }

    /// What is wrong with it.
    pub(super) fn fault(&self, rule: impl Into<String>, remedy: impl Into<String>) -> Problem {
        let value = match &self.node.data {
            Data::Table(_) | Data::List(_) => None,
            data => Some(data.to_string()).filter(|shown| shown.len() <= SHOWN_MAX),
        };
        self.problem(self.path.clone(), value, rule.into(), remedy.into())
    }

    /// What is wrong with its not having `key`.
    pub(super) fn lacks(&self, key: &str, rule: impl Into<String>, remedy: impl Into<String>) -> Problem {
        self.problem(join(&self.path, key), None, rule.into(), remedy.into())
    }

    /// A fault for each entry that is none of `keys`: a word that isn't understood may change what the others mean.
    pub(super) fn only(&self, keys: &[&str], faults: &mut Vec<Problem>) {
        let Data::Table(table) = &self.node.data else {
            faults.push(self.fault(format!("is {}, not a table of keys", self.node.data.kind()), ""));
            return;
        };
        for key in table.keys().filter(|key| !keys.contains(&key.as_str())) {
            let Some(part) = self.get(key) else { continue };
            faults
                .push(part.fault("is no key of OpenSLO v1 here", format!("there are: {}", keys.join(", "))));
        }
    }

    fn problem(&self, path: String, value: Option<String>, rule: String, remedy: String) -> Problem {
        let key = match (self.document.is_empty(), path.is_empty()) {
            (true, _) => path,
            (false, true) => self.document.escape_debug().to_string(),
            (false, false) => format!("{}: {path}", self.document.escape_debug()),
        };
        Problem { origin: self.node.origin.clone(), key, value, rule, remedy }
    }
}
