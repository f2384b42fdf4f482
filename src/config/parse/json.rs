//! JSON by `serde_json`. It tells lines only with errors, so it reads through a counter of line ends.

use super::super::{Data, Node, Origin, Problem, Table};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

/// Parses `text`.
pub(super) fn parse(text: &str, name: &Arc<str>) -> Result<Node, Vec<Problem>> {
    let here = Cell::new(1);
    let counter = Counter { rest: text.as_bytes(), here: &here, ended: false };
    let mut deserializer = serde_json::Deserializer::from_reader(counter);
    let root = Tree { name, here: &here }.deserialize(&mut deserializer);
    let root = root.and_then(|root| deserializer.end().map(|()| root));
    let root = root.map_err(|error| {
        let line = u32::try_from(error.line()).unwrap_or(u32::MAX);
        // The position is said once, in front.
        let said = error.to_string();
        let said = said.split(" at line ").next().unwrap_or_default();
        vec![super::broken(name, line, format!("not JSON: {said}"))]
    })?;
    super::rooted(root, name)
}

/// Hands out one byte at a time (as `serde_json` asks for them) and keeps the line of the last one.
struct Counter<'a> {
    rest: &'a [u8],
    here: &'a Cell<u32>,
    /// The last byte ended its line; it still belongs to it.
    ended: bool,
}

impl Read for Counter<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (Some((&byte, rest)), Some(slot)) = (self.rest.split_first(), buffer.first_mut()) else {
            return Ok(0);
        };
        if self.ended {
            self.here.set(self.here.get().saturating_add(1));
        }
        self.ended = byte == b'\n';
        self.rest = rest;
        *slot = byte;
        Ok(1)
    }
}

/// Builds a node; its line is that of the last byte read when its first one was.
#[derive(Clone, Copy)]
struct Tree<'a> {
    name: &'a Arc<str>,
    here: &'a Cell<u32>,
}

impl Tree<'_> {
    fn origin(self, line: u32) -> Origin {
        Origin::Document { name: Arc::clone(self.name), line }
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        let data = deserializer.deserialize_any(self)?;
        Ok(Node { data, origin: self.origin(self.here.get()) })
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Data, E> {
        Ok(Data::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Data, E> {
        Ok(Data::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Data, E> {
        Ok(Data::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Data, E> {
        Ok(i64::try_from(value).map_or(Data::Float(f64::INFINITY), Data::Int))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Data, E> {
        Ok(Data::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Data, E> {
        Ok(Data::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Data, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Item(self))? {
            list.push(item);
        }
        Ok(Data::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Data, A::Error> {
        let mut table = Table::new();
        while let Some(key) = entries.next_key::<String>()? {
            let origin = self.origin(self.here.get());
            let value = entries.next_value_seed(self)?;
            if table.insert(key.clone(), Node { origin, ..value }).is_some() {
                return Err(A::Error::custom(format_args!("`{key}` stands twice in one object")));
            }
        }
        Ok(Data::Table(table))
    }
}

/// An item of a list: its line is the one on which it begins, not the one on which it ends.
struct Item<'a>(Tree<'a>);

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        // The separator and the first byte have been looked at by now.
        let origin = self.0.origin(self.0.here.get());
        Ok(Node { origin, ..self.0.deserialize(deserializer)? })
    }
}
