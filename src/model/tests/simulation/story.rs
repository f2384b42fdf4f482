//! What every story begins with, and what is asked of it when it has been played.

use super::app::{App, secs};
use super::world::{GREEN, Ways, green};
use serin_model::guard::PageKind;
use serin_model::record::Record;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// When the cutover is made, in seconds.
pub(crate) const CUT: f64 = 12.0;

/// Plays a story with many seeds; a failing one is named.
pub(crate) fn each_seed(story: impl Fn(u64)) {
    let seeds = std::env::var("SERIN_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(4);
    for seed in 0..seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| story(seed))) {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_default();
            panic!("with seed {seed}: {text}");
        }
    }
}

/// Blue serves v1 for long enough to be good, then green takes over with `ways` from `after` seconds after the cutover.
pub(crate) fn cutover(seed: u64, after: f64, ways: Ways) -> App {
    let mut app = App::new(seed);
    app.world.service(GREEN).course.during(secs(CUT + after), secs(1e6), ways);
    app.at(CUT, |app| app.world.set(app.now, green()));
    app
}

pub(crate) fn outage() -> Ways {
    Ways { errors: 1.0, ..Ways::default() }
}

impl App {
    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        self.ledger.iter().map(|(_, record)| record)
    }

    /// Why the releases were latched, in order.
    pub(crate) fn held(&self) -> Vec<&str> {
        self.records()
            .filter_map(
                |record| if let Record::Held { reason, .. } = record { Some(&**reason) } else { None },
            )
            .collect()
    }

    /// Why nothing was done, in order.
    pub(crate) fn refused(&self) -> Vec<&str> {
        self.records()
            .filter_map(
                |record| if let Record::Refused { reason, .. } = record { Some(&**reason) } else { None },
            )
            .collect()
    }

    pub(crate) fn refusal_says(&self, text: &str) -> bool {
        self.records().any(|record| matches!(record, Record::Refused { says, .. } if says.contains(text)))
    }

    pub(crate) fn paged(&self, kind: PageKind) -> bool {
        self.pages.iter().any(|(_, paged, _)| *paged == kind)
    }

    pub(crate) fn shows(&self) -> String {
        self.world.listener.label()
    }

    pub(crate) fn story(&self) -> String {
        let tell = |(at, record): &(serin_model::time::Wall, Record)| match record {
            Record::Pulse { .. } | Record::Seen { .. } => None,
            other => {
                let mut text = format!("{other:?}");
                text.truncate(260);
                Some(format!("{} {text}\n", at.0))
            }
        };
        self.ledger.iter().filter_map(tell).collect()
    }

    #[track_caller]
    pub(crate) fn reverted_once(&self) {
        assert_eq!(self.effects.len(), 1, "one revert\n{}", self.story());
        assert_eq!(self.shows(), "blue", "{}", self.story());
        assert!(self.held().contains(&"reverted"), "{}", self.story());
        assert!(self.paged(PageKind::Breach) && self.paged(PageKind::Reverted), "{:?}", self.pages);
        assert_eq!(self.refused(), Vec::<&str>::new(), "{}", self.story());
    }

    #[track_caller]
    pub(crate) fn untouched(&self) {
        assert_eq!(self.effects.len(), 0, "no write\n{}", self.story());
        let sent = self.records().filter(|record| matches!(record, Record::WriteSent { .. })).count();
        assert_eq!(sent, 0, "no write\n{}", self.story());
    }

    #[track_caller]
    pub(crate) fn refused_for(&self, reason: &str) {
        self.untouched();
        assert!(self.refused().contains(&reason), "{reason}: {:?}\n{}", self.refused(), self.story());
        assert!(self.paged(PageKind::Refused), "{:?}", self.pages);
    }

    #[track_caller]
    pub(crate) fn calm(&self) {
        self.untouched();
        assert_eq!(self.refused(), Vec::<&str>::new(), "{}", self.story());
        assert!(!self.paged(PageKind::Breach), "{}", self.story());
    }
}
