//! The switch itself. The shell has one of its own by this same file, because each crate knows only of its own tests.

use super::Hazard;

#[cfg(not(test))]
pub(crate) use without::answered;

#[cfg(test)]
pub(crate) use with::{answered, unanswered};

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

    /// Whether the answer to a hazard is there. It is, but in a story of [`unanswered`].
    pub(crate) fn answered(hazard: Hazard) -> bool {
        MISSING.get() != Some(hazard)
    }

    /// Plays a story on this thread with one answer missing.
    pub(crate) fn unanswered<T>(hazard: Hazard, story: impl FnOnce() -> T) -> T {
        MISSING.set(Some(hazard));
        let end = story();
        MISSING.set(None);
        end
    }
}
