//! Names for what is probed. The shell keeps the URLs; the core only ever needs to tell them apart.

use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The index of a target within its service, in the order of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TargetId(pub u16);

/// What the version header of an answer said, capped at 128 characters by the shell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Version(pub Arc<str>);

impl From<String> for Version {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Version {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.0.as_ref().to_owned()
    }
}

impl Borrow<str> for Version {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A version in two bytes, so that a sample stays small. [`VersionId::NONE`] means that the answer named none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VersionId(pub u16);

impl VersionId {
    /// The answer carried no version.
    pub const NONE: Self = Self(0);
}

/// The versions that one service has answered with, in the order in which they were first seen.
///
/// Bounded: a header that changes with every answer is no version, so the table stops growing at
/// [`Versions::CAP`] and says [`VersionId::NONE`] from there on.
#[derive(Clone, Debug, Default)]
pub struct Versions(Vec<Version>);

impl Versions {
    /// The most versions that are told apart in the life of a process.
    pub const CAP: usize = 4_096;

    /// The id of `name`, new if need be.
    pub fn intern(&mut self, name: &str) -> VersionId {
        let found = self.0.iter().rposition(|known| &*known.0 == name);
        let index = match found {
            Some(index) => index,
            None if self.0.len() < Self::CAP => {
                self.0.push(Version::from(name));
                self.0.len() - 1
            }
            None => return VersionId::NONE,
        };
        VersionId(u16::try_from(index + 1).unwrap_or(0))
    }

    /// The name behind `id`.
    #[must_use]
    pub fn name(&self, id: VersionId) -> Option<&Version> {
        usize::from(id.0).checked_sub(1).and_then(|index| self.0.get(index))
    }
}

/// Where the targets of a service are in a configuration that was read anew: each keeps what was measured of it, if it is the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved(Vec<Option<TargetId>>);

impl Moved {
    /// For each of the old targets, in their order: its number among the new ones, or that it is gone.
    #[must_use]
    pub const fn new(places: Vec<Option<TargetId>>) -> Self {
        Self(places)
    }

    /// The new number of the target that had the number `old`.
    #[must_use]
    pub fn of(&self, old: TargetId) -> Option<TargetId> {
        self.0.get(usize::from(old.0)).copied().flatten()
    }

    /// Nothing is gone, and no number is another.
    #[must_use]
    pub fn is_still(&self) -> bool {
        (0..).zip(&self.0).all(|(old, new)| *new == Some(TargetId(old)))
    }

    /// Nothing is gone.
    #[must_use]
    pub fn keeps_all(&self) -> bool {
        self.0.iter().all(Option::is_some)
    }

    /// The old and the new number of each target that stays.
    pub fn stays(&self) -> impl Iterator<Item = (TargetId, TargetId)> {
        (0..).zip(&self.0).filter_map(|(old, new)| Some((TargetId(old), (*new)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_a_number_of_its_own_and_keeps_it() {
        let mut known = Versions::default();
        let ids = ["v1", "v2", "v1", "v3"].map(|name| known.intern(name));
        assert_eq!(ids, [VersionId(1), VersionId(2), VersionId(1), VersionId(3)]);
        assert_eq!(known.name(ids[1]), Some(&Version::from("v2")));
        assert_eq!((known.name(VersionId::NONE), known.name(VersionId(4))), (None, None));
    }

    #[test]
    fn a_header_that_changes_with_every_answer_is_no_version() {
        let mut known = Versions::default();
        for n in 1..=Versions::CAP {
            assert_eq!(usize::from(known.intern(&n.to_string()).0), n);
        }
        assert_eq!(known.intern("one more"), VersionId::NONE);
        assert_eq!(known.intern("7"), VersionId(7), "those that are known stay so");
    }

    #[test]
    fn a_version_is_its_text() {
        let version = Version::from("v1".to_owned());
        assert_eq!(version, Version::from("v1"));
        assert_eq!((version.to_string(), version.borrow()), ("v1".to_owned(), "v1"));
        assert_eq!(String::from(version), "v1");
    }

    #[test]
    fn what_has_moved_is_found_by_its_old_number() {
        let id = |number| Some(TargetId(number));
        let moved = Moved::new(vec![id(1), None, id(0)]);
        assert_eq!([0, 1, 2, 3].map(|old| moved.of(TargetId(old))), [id(1), None, id(0), None]);
        assert_eq!(
            moved.stays().collect::<Vec<_>>(),
            [(TargetId(0), TargetId(1)), (TargetId(2), TargetId(0))]
        );
        assert!(!moved.is_still() && !moved.keeps_all());
        let turned = Moved::new(vec![id(1), id(0)]);
        assert!(!turned.is_still() && turned.keeps_all());
        assert!(Moved::new(vec![id(0), id(1)]).is_still() && Moved::default().is_still());
    }
}
