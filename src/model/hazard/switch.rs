//! The switch itself. The shell has one of its own by this same file, because each crate knows only of its own tests.

use super::Hazard;

#[cfg(not(test))]
pub(crate) use without::answered;

#[cfg(test)]
pub(crate) use with::{answered, lose};

#[cfg(not(test))]
mod without {
    use super::Hazard;

    /// Whether the answer to a hazard is there. It is.
    #[inline]
    pub(crate) const fn answered(_: Hazard) -> bool {
        true
    }
}

#[cfg(test)]
mod with {
    use super::Hazard;
    use std::cell::Cell;

    thread_local! {
        static MISSING: Cell<Option<Hazard>> = const { Cell::new(None) };
    }

    /// Whether the answer to a hazard is there. It is, until a test takes it out.
    pub(crate) fn answered(hazard: Hazard) -> bool {
        MISSING.get() != Some(hazard)
    }

    /// From now on the answer to this hazard is missing on this thread; with `None`, no more.
    pub(crate) fn lose(hazard: Option<Hazard>) {
        MISSING.set(hazard);
    }
}
