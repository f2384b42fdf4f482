//! How a run can end, and what is told of it.

use crate::faults::Fault;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// By us, and proved.
    Reverted,
    /// A person was called to what stayed half done or unproved.
    Partial,
    /// Somebody else was at work, and we left it to them.
    Overridden,
    /// Not done, for a reason that was told.
    Refused,
    /// Users are well without us.
    Well,
    /// Users are not, there was nothing that we might have done, and somebody was told.
    Told,
}

impl End {
    pub(crate) const ALL: [Self; 6] =
        [Self::Reverted, Self::Partial, Self::Overridden, Self::Refused, Self::Well, Self::Told];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reverted => "reverted",
            Self::Partial => "partial",
            Self::Overridden => "overridden",
            Self::Refused => "refused",
            Self::Well => "well without us",
            Self::Told => "told",
        }
    }
}

pub(crate) struct Told {
    pub(crate) end: End,
    pub(crate) faults: Vec<Fault>,
    pub(crate) trace: Vec<String>,
}
