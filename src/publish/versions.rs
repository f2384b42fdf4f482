//! Which versions answer, and how fast: the picture of a release.

use crate::model::time::Mono;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// So many versions are told apart; a header that changes with every answer is no version.
pub(super) const CAP: usize = 8;
/// The name of all that is beyond.
const OVERFLOW: &str = "other";
/// A version that was not seen for so long is gone.
const GONE: Duration = Duration::from_mins(5);
/// Rates are means over this span.
const SPAN: Duration = Duration::from_secs(10);

/// The versions of one service.
#[derive(Debug, Default)]
pub(super) struct Versions {
    seen: BTreeMap<Arc<str>, Seen>,
}

#[derive(Debug)]
struct Seen {
    last: Mono,
    recent: VecDeque<(Mono, u32)>,
}

impl Versions {
    /// Adds the answers of one second.
    pub(super) fn add(&mut self, now: Mono, answers: &[(&str, u32)]) {
        self.expire(now);
        for (version, count) in answers.iter().filter(|(_, count)| *count > 0) {
            let known = self.seen.contains_key(*version);
            let named = self.seen.keys().filter(|name| ***name != *OVERFLOW).count();
            let name = if known || named < CAP { *version } else { OVERFLOW };
            let seen = self
                .seen
                .entry(Arc::from(name))
                .or_insert_with(|| Seen { last: now, recent: VecDeque::new() });
            seen.last = now;
            match seen.recent.back_mut() {
                Some((at, total)) if *at == now => *total = total.saturating_add(*count),
                _ => seen.recent.push_back((now, *count)),
            }
        }
    }

    /// Answers a second of each version that was seen in the last 5 min.
    pub(super) fn rates(&mut self, now: Mono) -> Vec<(Arc<str>, f64)> {
        self.expire(now);
        let rate_hz = |seen: &Seen| {
            let answers: u64 = seen.recent.iter().map(|(_, count)| u64::from(*count)).sum();
            f64::from(u32::try_from(answers).unwrap_or(u32::MAX)) / SPAN.as_secs_f64()
        };
        self.seen.iter().map(|(name, seen)| (Arc::clone(name), rate_hz(seen))).collect()
    }

    fn expire(&mut self, now: Mono) {
        self.seen.retain(|_, seen| now.since(seen.last) < GONE);
        for seen in self.seen.values_mut() {
            while seen.recent.front().is_some_and(|(at, _)| now.since(*at) >= SPAN) {
                seen.recent.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Mono = Mono(1_000_000_000_000);

    #[test]
    fn a_version_that_is_not_seen_for_five_minutes_is_gone() {
        let mut versions = Versions::default();
        versions.add(START, &[("blue", 50)]);
        assert_eq!(versions.rates(START), [("blue".into(), 5.0)]);
        assert_eq!(versions.rates(START.after(Duration::from_secs(10))), [("blue".into(), 0.0)]);
        assert_eq!(versions.rates(START.after(GONE)), []);
    }

    #[test]
    fn a_header_that_always_changes_becomes_other() {
        let mut versions = Versions::default();
        for number in 0..100 {
            versions.add(START, &[(&format!("v{number}"), 1)]);
        }
        let rates = versions.rates(START);
        assert_eq!(rates.len(), CAP + 1);
        assert!(rates.contains(&(OVERFLOW.into(), 9.2)), "{rates:?}");
    }
}
