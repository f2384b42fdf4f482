//! Values that may be used and never shown.

use serde::{Serialize, Serializer};
use std::fmt;

/// A value that is never shown: `Debug`, `Display` and `Serialize` print `<secret>`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `value`.
    #[must_use]
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value, to be sent to whom it is meant for and to nobody else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// What stands where a secret is.
pub(crate) const MASK: &str = "<secret>";

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}
