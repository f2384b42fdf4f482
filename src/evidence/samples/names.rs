//! What is sampled by its names. A number stays a name's own for as long as the process runs, whatever becomes of the configuration: what
//! is in memory is written under the name that it was measured under.

use crate::model::target::TargetId;

/// URL and name of everything that was ever sampled, by its number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(pub Vec<(Box<str>, Box<str>)>);

/// From the targets of the configuration as it is now to their numbers among the [`Names`].
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    names: Names,
    /// In the order of the configuration.
    of: Vec<TargetId>,
}

impl Numbers {
    /// For URL and name of each target, in the order of the configuration. Whether there was a name that is new.
    pub fn revise(&mut self, targets: impl Iterator<Item = (Box<str>, Box<str>)>) -> bool {
        let known = self.names.0.len();
        self.of = targets
            .map(|target| {
                let names = &mut self.names.0;
                let found = names.iter().position(|name| *name == target);
                let index = found.unwrap_or_else(|| {
                    names.push(target);
                    names.len() - 1
                });
                // 65 reloads, each with a thousand other targets, and further ones have no name.
                TargetId(u16::try_from(index).unwrap_or(u16::MAX))
            })
            .collect();
        self.names.0.len() > known
    }

    /// Its number, 65,535 for one that the configuration doesn't know.
    #[must_use]
    pub fn of(&self, target: TargetId) -> TargetId {
        self.of.get(usize::from(target.0)).copied().unwrap_or(TargetId(u16::MAX))
    }

    /// All of them.
    #[must_use]
    pub const fn names(&self) -> &Names {
        &self.names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stays_the_name_s_own() {
        let target = |name: &str| (format!("http://h/{name}").into(), name.into());
        let mut numbers = Numbers::default();
        assert!(numbers.revise(["a", "b"].map(target).into_iter()));
        assert!(numbers.revise(["b", "c"].map(target).into_iter()));
        assert_eq!([0, 1, 2].map(|at| numbers.of(TargetId(at)).0), [1, 2, u16::MAX]);
        assert!(!numbers.revise(["c", "a"].map(target).into_iter()));
        assert_eq!([0, 1].map(|at| numbers.of(TargetId(at)).0), [2, 0]);
        assert_eq!(numbers.names().0.iter().map(|(_, name)| &**name).collect::<Vec<_>>(), ["a", "b", "c"]);
        // The same name is another thing at another address.
        let moved = ("http://other/a".into(), "a".into());
        assert!(numbers.revise([moved].into_iter()));
        assert_eq!(numbers.of(TargetId(0)).0, 3);
    }
}
