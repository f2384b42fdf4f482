//! A configuration that was read anew: what was measured of the targets that stay goes on, as the new promises see it.

use super::{ALL, FirstBad, HISTORY, JUDGED, Judge};
use crate::objective::Scope;
use crate::policy::JudgePolicy;
use crate::release::Baseline;
use crate::target::Moved;
use crate::time::Span;
use crate::window::{Entry, Marks, Panes};

impl Judge {
    /// From now on the promises and the policy are those of `policy`, and targets have the numbers that `moved` says: what was measured
    /// of one that is gone, or is another now, is forgotten. The epoch stays, and whatever is known of its versions.
    ///
    /// If other answers count as bad than did before (`bad_over`), nobody knows of those that have come: then everything is measured
    /// anew. If other things are promised, nobody has counted how they were kept before the cutover.
    pub fn revise(&mut self, policy: JudgePolicy, moved: &Moved) {
        let same_promises = policy.objectives == self.policy.objectives && moved.is_still();
        if !same_promises {
            self.stage.baseline = Baseline::default();
        }
        let fresh = Self::new(policy, self.stage.clone());
        let mut old = std::mem::replace(self, fresh);
        self.versions = std::mem::take(&mut old.versions);
        self.known = std::mem::take(&mut old.known);
        self.planned = old.planned;
        self.own = std::mem::take(&mut old.own);
        self.outside = std::mem::take(&mut old.outside);
        (self.green_known, self.green_good) = (old.green_known, old.green_good);
        (self.first_green, self.good_answers, self.doubted) =
            (old.first_green, old.good_answers, old.doubted);
        self.first_bad =
            old.first_bad.take().and_then(|bad| Some(FirstBad { target: moved.of(bad.target)?, ..bad }));
        self.set_times();
        if self.bad_over != old.bad_over {
            return;
        }
        let same_test = self.policy.policy == old.policy.policy;
        let mut goes_on = vec![false; self.promises.len()];
        for (index, goes_on) in goes_on.iter_mut().enumerate().filter(|_| same_test) {
            let new = self.policy.objectives.all.get(index);
            let same = old.policy.objectives.all.iter().position(|old| {
                new.is_some_and(|new| {
                    old.goal == new.goal && scope(&old.scope, moved).as_ref() == Some(&new.scope)
                })
            });
            if let Some(same) = same {
                self.promises[index].go_on(&old.promises[same]);
                *goes_on = true;
            }
        }
        self.refill(&mut old, moved, &goes_on);
    }

    /// What production and the registered targets answered, as it came. Promises that go on know of it already.
    fn refill(&mut self, old: &mut Self, moved: &Moved, goes_on: &[bool]) {
        let (limits, before) = (self.limits.clone(), old.limits.clone());
        let again = |entry: &Entry| {
            let target = moved.of(entry.target)?;
            Some(Entry { target, marks: marks(entry, &before, &limits), ..*entry })
        };
        for (at, panes, entry) in old.production.kept() {
            let Some(entry) = again(&entry) else { continue };
            // The window may reach further back than it did.
            let panes = if panes.has(Panes::of(HISTORY)) { panes.and(ALL) } else { panes };
            self.production.insert_into(panes, at, entry);
            let spent = panes.has_all(JUDGED) || self.green_good == 0 && panes.has(JUDGED);
            if spent && entry.is_marked() {
                for (promised, _) in self.promises.iter_mut().zip(goes_on).filter(|(_, goes_on)| !**goes_on) {
                    promised.spend(&entry, at);
                }
            }
        }
        for (at, panes, entry) in old.direct.kept() {
            if let Some(entry) = again(&entry) {
                self.direct.insert_into(panes, at, entry);
            }
        }
        self.production.settle();
        self.direct.settle();
    }
}

/// The marks of `entry` by other limits. What no slot was free for was slower than any of them.
fn marks(entry: &Entry, before: &[Span], limits: &[Span]) -> Marks {
    if before == limits {
        return entry.marks;
    }
    let over = |limit: &Span| entry.response > *limit;
    let no_slot = entry.slow() && !entry.answered && !before.iter().any(over);
    Marks::new(entry.bad(), limits.iter().map(|limit| no_slot || over(limit)))
}

/// The same scope by the new numbers; `None` if one of its targets is gone.
fn scope(old: &Scope, moved: &Moved) -> Option<Scope> {
    match old {
        Scope::Service => moved.keeps_all().then_some(Scope::Service),
        Scope::Part { name, targets } => {
            let targets: Option<_> = targets.iter().map(|target| moved.of(*target)).collect();
            Some(Scope::Part { name: name.clone(), targets: targets? })
        }
    }
}

#[cfg(test)]
mod tests;
