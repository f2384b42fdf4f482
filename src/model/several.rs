//! How a list is written that nearly always has one item: alone as itself, else as a list.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Several<T> {
    One(T),
    Many(Vec<T>),
}

/// For serde's `with`.
///
/// # Errors
/// The serializer's own.
pub(crate) fn serialize<T: Serialize, S: Serializer>(items: &[T], to: S) -> Result<S::Ok, S::Error> {
    match items {
        [only] => only.serialize(to),
        many => many.serialize(to),
    }
}

/// For serde's `with`.
///
/// # Errors
/// It is neither an item nor a list of them.
pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    Ok(match Several::deserialize(from)? {
        Several::One(only) => vec![only],
        Several::Many(many) => many,
    })
}
