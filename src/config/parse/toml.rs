//! TOML by the `toml` crate's own parser, which keeps spans (figment's `toml` feature is an old one that doesn't).

use super::super::{Data, Node, Origin, Problem, Table};
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

/// Parses `text`.
pub(super) fn parse(text: &str, name: &Arc<str>) -> Result<Node, Vec<Problem>> {
    let lines = Lines::of(text, name);
    let (root, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let origin = Origin::Document { name: Arc::clone(name), line: 0 };
        return Ok(Node { data: lines.table(root.into_inner()), origin });
    }
    let faults = errors.iter().map(|error| {
        let line = error.span().map_or(0, |span| lines.line(span.start));
        super::broken(name, line, format!("not TOML: {}", error.message().replace('\n', " ")))
    });
    Err(faults.collect())
}

/// Byte offsets to lines.
struct Lines {
    starts: Vec<usize>,
    name: Arc<str>,
}

impl Lines {
    fn of(text: &str, name: &Arc<str>) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { starts, name: Arc::clone(name) }
    }

    /// From 1.
    fn line(&self, offset: usize) -> u32 {
        u32::try_from(self.starts.partition_point(|&start| start <= offset)).unwrap_or(u32::MAX)
    }

    fn origin(&self, offset: usize) -> Origin {
        Origin::Document { name: Arc::clone(&self.name), line: self.line(offset) }
    }

    fn table(&self, table: DeTable<'_>) -> Data {
        let entries = table.into_iter().map(|(key, value)| {
            let origin = self.origin(key.span().start);
            let data = self.data(value.into_inner());
            (key.into_inner().into_owned(), Node { data, origin })
        });
        Data::Table(entries.collect::<Table>())
    }

    fn item(&self, value: Spanned<DeValue<'_>>) -> Node {
        let origin = self.origin(value.span().start);
        Node { data: self.data(value.into_inner()), origin }
    }

    fn data(&self, value: DeValue<'_>) -> Data {
        match value {
            DeValue::String(text) => Data::Text(text.into_owned()),
            DeValue::Integer(number) => integer(&number),
            DeValue::Float(number) => Data::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(value) => Data::Bool(value),
            // No key takes a date; as text it meets the rule of its key.
            DeValue::Datetime(date) => Data::Text(date.to_string()),
            DeValue::Array(items) => Data::List(items.into_iter().map(|item| self.item(item)).collect()),
            DeValue::Table(table) => self.table(table),
        }
    }
}

fn integer(number: &DeInteger<'_>) -> Data {
    i64::from_str_radix(number.as_str(), number.radix()).map_or(Data::Float(f64::INFINITY), Data::Int)
}
