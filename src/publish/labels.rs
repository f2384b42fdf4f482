//! The values of a series' labels as one key: a thousand URLs have twenty thousand series, and each is found again at
//! every second without an allocation.

use crate::model::delta::Delta;
use crate::model::sample::Purpose;
use std::borrow::Borrow;
use std::sync::Arc;

/// Between two values; no value has it.
const BETWEEN: char = '\u{1f}';

/// The values, in the order of a [`super::names::Name::labels`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Labels(Box<str>);

impl Labels {
    /// The values, in their order.
    pub(super) fn values(&self) -> impl Iterator<Item = &str> {
        self.0.split(BETWEEN)
    }
}

impl From<&str> for Labels {
    /// Of a key that [`key`] made.
    fn from(key: &str) -> Self {
        Self(key.into())
    }
}

impl Borrow<str> for Labels {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Writes the key of `values` into `into`, whatever was there.
pub(super) fn key<'a>(into: &'a mut String, values: &[&str]) -> &'a str {
    into.clear();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            into.push(BETWEEN);
        }
        // A version is named by whoever answers.
        into.extend(
            value.chars().map(|char| if char == BETWEEN { char::REPLACEMENT_CHARACTER } else { char }),
        );
    }
    into
}

/// The name of target `index` as a label: the control has none of its own.
#[must_use]
pub(super) fn target_label(targets: &[Arc<str>], delta: &Delta) -> Arc<str> {
    match (delta.purpose, targets.get(usize::from(delta.target.0))) {
        (Some(Purpose::Control), _) => "control".into(),
        (_, Some(name)) => Arc::clone(name),
        (_, None) => "unknown".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_come_back_as_they_were() {
        let mut scratch = "old".to_owned();
        for values in [&["shop", "t1", "", "é"][..], &["shop"], &["", ""]] {
            let labels = Labels::from(key(&mut scratch, values));
            assert_eq!(labels.values().collect::<Vec<_>>(), values);
        }
    }

    #[test]
    fn a_value_with_the_separator_makes_no_label_more() {
        let labels = Labels::from(key(&mut String::new(), &["shop", "1\u{1f}2"]));
        assert_eq!(labels.values().collect::<Vec<_>>(), ["shop", "1\u{fffd}2"]);
    }
}
