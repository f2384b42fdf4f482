//! Whose an answer is, and which versions have answered.

use super::Judge;
use crate::policy::Heard;
use crate::sample::Sample;
use crate::target::{Version, VersionId, Versions};
use crate::time::Mono;
use crate::window::Entry;
use std::collections::BTreeSet;

/// Whom an answer speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    New,
    Old,
    Unattributed,
}

/// What is known of the versions in an epoch, by their numbers: each answer asks for it, and a set of names takes ten times as long.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(Vec<One>);

#[derive(Clone, Copy, Debug, Default)]
struct One {
    /// Whether it is one of the old ones; `None`: nobody has asked yet.
    is_old: Option<bool>,
    /// It has answered,
    seen: bool,
    /// and after the change had spread.
    settled: bool,
    /// A void sample has named it.
    hinted: bool,
}

impl Known {
    #[inline]
    fn one(&mut self, id: VersionId) -> &mut One {
        let index = usize::from(id.0);
        if index >= self.0.len() {
            self.make_room(index);
        }
        &mut self.0[index]
    }

    #[cold]
    fn make_room(&mut self, index: usize) {
        self.0.resize(index + 1, One::default());
    }

    /// Whether it is one of `old`; `None` if nobody knows what it is.
    #[inline]
    fn is_old(&mut self, id: VersionId, versions: &Versions, old: &BTreeSet<Version>) -> Option<bool> {
        let one = self.one(id);
        if one.is_old.is_none() {
            one.is_old = versions.name(id).map(|name| old.contains(name));
        }
        one.is_old
    }

    /// It has answered, and after the change had `spread`. Whether it is the first time, and not the first version.
    #[inline]
    pub(super) fn see(&mut self, id: VersionId, spread: bool) -> bool {
        let one = self.one(id);
        one.settled |= spread;
        let is_news = !std::mem::replace(&mut one.seen, true);
        is_news && self.seen().count() > 1
    }

    /// A void sample has named it. Whether nothing has before.
    pub(super) fn hint(&mut self, id: VersionId) -> bool {
        let one = self.one(id);
        !one.seen && !std::mem::replace(&mut one.hinted, true)
    }

    /// Those that have answered.
    pub(super) fn seen(&self) -> impl Iterator<Item = VersionId> {
        self.that(|one| one.seen)
    }

    /// Those that have answered after the change had spread.
    pub(super) fn settled(&self) -> impl Iterator<Item = VersionId> {
        self.that(|one| one.settled)
    }

    fn that(&self, is: impl Fn(&One) -> bool) -> impl Iterator<Item = VersionId> {
        (0..).zip(&self.0).filter(move |(_, one)| is(one)).map(|(id, _)| VersionId(id))
    }

    /// Others are the old ones now.
    pub(super) fn reread(&mut self) {
        self.0.iter_mut().for_each(|one| one.is_old = None);
    }

    /// A new epoch begins.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Judge {
    /// Whom a sample speaks of, and whether its version is one of the old ones.
    #[inline]
    pub(super) fn whose(&mut self, sample: &Sample) -> (Whose, Option<bool>) {
        let is_old = self.known.is_old(sample.version, &self.versions, &self.stage.old_versions);
        (self.whose_of(sample.due, is_old), is_old)
    }

    #[inline]
    fn whose_of(&self, due: Mono, is_old: Option<bool>) -> Whose {
        if !self.stage.release {
            // What the state before left behind, while the change spreads, isn't this state's either.
            let left = !self.stage.old_versions.is_empty() && due < self.spread_from;
            return match is_old {
                Some(true) if left => Whose::Old,
                None if left => Whose::Unattributed,
                Some(_) | None => Whose::New,
            };
        }
        let spread = self.stage.one_has_all && due >= self.spread_from;
        match is_old {
            Some(false) => Whose::New,
            // The same version string on both sides tells nothing: then, well after the change, the weight does.
            Some(true) if spread && self.green_known == 0 && due >= self.same_name_from() => Whose::New,
            Some(true) => Whose::Old,
            None if spread => Whose::New,
            None => Whose::Unattributed,
        }
    }

    /// Where nobody can ask the old version, what it answers in production is its word. A failure that names nobody may be its
    /// own where both get requests, and counts against it.
    pub(super) const fn is_word_of_old(&self, whose: Whose, entry: &Entry) -> bool {
        if !self.stage.release || matches!(self.policy.heard, Heard::Directly) {
            return false;
        }
        match whose {
            Whose::Old => true,
            Whose::Unattributed => entry.bad() && !self.stage.one_has_all,
            Whose::New => false,
        }
    }

    fn same_name_from(&self) -> Mono {
        self.stage.since.after(self.policy.propagation.saturating_mul(2))
    }
}
