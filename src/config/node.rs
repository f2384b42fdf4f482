//! A document as a tree in which every value knows where it came from.

use super::Origin;
use std::collections::BTreeMap;
use std::fmt;

/// A value with its origin.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub data: Data,
    /// Where it stands: the line of its key, or of the item in a list.
    pub origin: Origin,
}

/// What TOML, JSON and YAML have in common, as far as a configuration needs it.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// `null` of JSON and YAML.
    Null,
    /// true or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction or beyond 64 bits; no key takes one.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A table, object or mapping.
    Table(Table),
}

/// The entries of a table.
pub type Table = BTreeMap<String, Node>;

impl Node {
    /// The entry `key` of a table; `None` for other kinds.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Self> {
        match &self.data {
            Data::Table(table) => table.get(key),
            _ => None,
        }
    }

    /// The items, if it is a list.
    #[must_use]
    pub fn items(&self) -> Option<&[Self]> {
        match &self.data {
            Data::List(items) => Some(items),
            _ => None,
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Data {
    /// What it is, in words, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "empty",
            Self::Bool(_) => "true or false",
            Self::Int(_) => "a bare whole number",
            Self::Float(_) => "a bare number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// As it would be written in TOML, on one line. Origins don't show, so equal texts are equal values.
impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{}", if index > 0 { ", " } else { "" }, item.data)?;
                }
                f.write_str("]")
            }
            Self::Table(table) => {
                f.write_str("{")?;
                for (index, (key, node)) in table.iter().enumerate() {
                    write!(f, "{} {key} = {}", if index > 0 { "," } else { "" }, node.data)?;
                }
                f.write_str(if table.is_empty() { "}" } else { " }" })
            }
        }
    }
}

/// A JSON string, which is a TOML basic string as well (but for DEL, which nobody can see either way).
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
