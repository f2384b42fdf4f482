//! YAML by `serde-saphyr`, whose `Spanned` keeps the lines.

use super::super::{Data, Node, Origin, Problem, Table};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use std::fmt;
use std::sync::Arc;

/// Parses `text`. Limits on depth, anchors and aliases are the library's; a document is at most 1 MiB anyway.
pub(super) fn parse(text: &str, name: &Arc<str>) -> Result<Node, Vec<Problem>> {
    let options = serde_saphyr::options! { with_snippet: false };
    let root = serde_saphyr::from_str_with_options::<Option<Spanned<Raw>>>(text, options)
        .map_err(|error| broken(&error, name))?;
    let origin = Origin::Document { name: Arc::clone(name), line: 0 };
    let root = root.map_or(Node { data: Data::Null, origin }, |root| node(root, name));
    super::rooted(root, name)
}

/// Parses every document of `text`; empty ones are left out, and each knows the line on which it begins.
pub(super) fn parse_all(text: &str, name: &Arc<str>) -> Result<Vec<Node>, Vec<Problem>> {
    let options = serde_saphyr::options! { with_snippet: false };
    let roots = serde_saphyr::from_multiple_with_options::<Spanned<Raw>>(text, options)
        .map_err(|error| broken(&error, name))?;
    Ok(roots.into_iter().map(|root| node(root, name)).collect())
}

fn broken(error: &serde_saphyr::Error, name: &Arc<str>) -> Vec<Problem> {
    let line = error.location().map_or(0, |at| line(at.line()));
    let said = error.to_string();
    let said = said.lines().next().unwrap_or_default();
    vec![super::broken(name, line, format!("not YAML: {said}"))]
}

/// What the parser sees; lines become origins afterwards.
enum Raw {
    Plain(Data),
    List(Vec<Spanned<Raw>>),
    Table(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn node(raw: Spanned<Raw>, name: &Arc<str>) -> Node {
    let at = line(raw.referenced.line());
    let data = match raw.value {
        Raw::Plain(data) => data,
        Raw::List(items) => Data::List(items.into_iter().map(|item| node(item, name)).collect()),
        Raw::Table(entries) => Data::Table(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let at = line(key.referenced.line());
                    let origin = Origin::Document { name: Arc::clone(name), line: at };
                    (key.value, Node { origin, ..node(value, name) })
                })
                .collect::<Table>(),
        ),
    };
    Node { data, origin: Origin::Document { name: Arc::clone(name), line: at } }
}

fn line(line: u64) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Raw, E> {
        Ok(Raw::Plain(Data::Null))
    }

    fn visit_none<E: Error>(self) -> Result<Raw, E> {
        Ok(Raw::Plain(Data::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Plain(Data::Bool(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Plain(Data::Int(value)))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Plain(i64::try_from(value).map_or(Data::Float(f64::INFINITY), Data::Int)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Plain(Data::Float(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Plain(Data::Text(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut table = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            table.push(entry);
        }
        Ok(Raw::Table(table))
    }
}
