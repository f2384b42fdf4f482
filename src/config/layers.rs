//! Layers over each other, by figment; then each value finds its line again.

use super::{Data, Node, Origin, Table};
use figment::value::{Dict, Empty, Map, Num, Tag, Value};
use figment::{Error, Figment, Metadata, Profile, Provider};

/// One layer for figment. Its metadata's name is its index, by which [`merge`] finds the tree again.
struct Layer<'a> {
    index: usize,
    root: &'a Node,
}

impl Provider for Layer<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.index.to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let dict = match &self.root.data {
            Data::Table(table) => dict(table),
            _ => Dict::new(),
        };
        Ok(Map::from([(Profile::Default, dict)]))
    }
}

/// Lays `layers` over each other, later ones above: tables are merged, all else is replaced.
pub(super) fn merge(layers: &[&Node], name: &Origin) -> Node {
    let mut figment = Figment::new();
    for (index, root) in layers.iter().enumerate() {
        figment = figment.merge(Layer { index, root });
    }
    // No provider of ours fails, and there is one profile.
    let merged = figment.data().ok().and_then(|mut profiles| profiles.remove(&Profile::Default));
    let search = Search { figment: &figment, layers };
    let table = merged.unwrap_or_default();
    let entries = table.into_iter().map(|(key, value)| {
        let mut path = vec![Step::Key(key.clone())];
        (key, search.node(value, &mut path, name))
    });
    Node { data: Data::Table(entries.collect::<Table>()), origin: name.clone() }
}

fn dict(table: &Table) -> Dict {
    table.iter().map(|(key, node)| (key.clone(), value(&node.data))).collect()
}

fn value(data: &Data) -> Value {
    match data {
        Data::Null => Value::Empty(Tag::Default, Empty::Unit),
        Data::Bool(value) => Value::Bool(Tag::Default, *value),
        Data::Int(value) => Value::Num(Tag::Default, Num::I64(*value)),
        Data::Float(value) => Value::Num(Tag::Default, Num::F64(*value)),
        Data::Text(text) => Value::String(Tag::Default, text.clone()),
        Data::List(items) => Value::Array(Tag::Default, items.iter().map(|item| value(&item.data)).collect()),
        Data::Table(table) => Value::Dict(Tag::Default, dict(table)),
    }
}

enum Step {
    Key(String),
    Item(usize),
}

/// Where merged values came from.
struct Search<'a> {
    figment: &'a Figment,
    layers: &'a [&'a Node],
}

impl Search<'_> {
    fn node(&self, value: Value, path: &mut Vec<Step>, name: &Origin) -> Node {
        let origin = self.origin(value.tag(), path).unwrap_or_else(|| name.clone());
        let data = match value {
            Value::String(_, text) => Data::Text(text),
            Value::Char(_, letter) => Data::Text(letter.into()),
            Value::Bool(_, value) => Data::Bool(value),
            Value::Num(_, Num::I64(value)) => Data::Int(value),
            Value::Num(_, number) => Data::Float(number.to_f64().unwrap_or(f64::NAN)),
            Value::Empty(..) => Data::Null,
            Value::Array(_, items) => {
                let step = |(index, item)| self.step(Step::Item(index), item, path, name);
                Data::List(items.into_iter().enumerate().map(step).collect())
            }
            Value::Dict(_, dict) => {
                let step = |(key, value): (String, Value)| {
                    (key.clone(), self.step(Step::Key(key), value, path, name))
                };
                Data::Table(dict.into_iter().map(step).collect())
            }
        };
        Node { data, origin }
    }

    fn step(&self, step: Step, value: Value, path: &mut Vec<Step>, name: &Origin) -> Node {
        path.push(step);
        let node = self.node(value, path, name);
        path.pop();
        node
    }

    /// The origin that the value at `path` has in the layer that it came from.
    fn origin(&self, tag: Tag, path: &[Step]) -> Option<Origin> {
        let index: usize = self.figment.get_metadata(tag)?.name.parse().ok()?;
        let mut node = *self.layers.get(index)?;
        for step in path {
            node = match (&node.data, step) {
                (Data::Table(table), Step::Key(key)) => table.get(key)?,
                (Data::List(items), Step::Item(index)) => items.get(*index)?,
                _ => return None,
            };
        }
        Some(node.origin.clone())
    }
}
