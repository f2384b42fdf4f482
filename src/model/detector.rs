//! Has it changed? A promise is a share of bad answers that is allowed, and its policy says when there are too many of them in the
//! window to be luck, for longer than a blip.
//!
//! A good release is called bad once in so many releases (`wrong_reverts`), with every sample of the judged time counted as one
//! look. Chance alone is a poor model of networks, where errors come in bursts; hence `tolerate_blip`: one connected run of bad
//! answers that is shorter never suffices, however bad; it counts for at most a quarter of what is needed, so that several
//! together (flapping) still do.
//!
//! | | |
//! |---|---|
//! | `detector/sequential.rs` | the default: a bank of cumulative sums, as fast as the guarantee allows |
//! | `detector/threshold.rs` | a share over the window, against the binomial tail |
//! | `detector/compare.rs` | one path beside another |
//! | `detector/burn_rate.rs` | how quickly the error budget is spent, over pairs of windows |
//! | `detector/baseline.rs` | the new version against the old one |
//! | `detector/run_length.rs` | how long a cumulative sum takes, exactly: what the benchmark holds the policy to |
//! | `detector/logarithm.rs` | the same logarithm on every machine |

use crate::hazard::{Hazard, answered};
use crate::objective::Scope;
use crate::policy::{Join, Policies, Policy, Threshold};
use crate::release::Tally;
use crate::time::{Mono, Span};
use crate::verdict::{Evidence, Stream};
use crate::window::{Entry, Mark, View, Window};
use burn_rate::Spent;
use sequential::{Bank, Walk};
use std::time::Duration;

mod baseline;
pub mod burn_rate;
pub mod compare;
mod logarithm;
pub mod run_length;
pub mod sequential;
mod threshold;

pub use threshold::tail;

/// One promise turned into a test.
#[derive(Clone, Debug, PartialEq)]
pub struct Promise {
    /// How it is tested.
    pub policies: Policies,
    /// Which events are bad.
    pub stream: Stream,
    /// The mark that these have.
    pub mark: Mark,
    /// For whom it is promised.
    pub scope: Scope,
    /// For latency: the quantile that is promised, in ten-thousandths.
    pub quantile: u32,
    /// The promised share of bad events, 0.0 < p < 1.0.
    pub share_max: f64,
    /// The chance that one look goes wrong.
    pub alpha: f64,
    /// Fewer samples prove nothing; a breach takes so many under the `threshold` policy only.
    pub samples_min: u32,
    /// No breach with a smaller share than this.
    pub share_min: f64,
    /// See the module.
    pub tolerate_blip: Duration,
    /// For the sentence: one wrong revert in so many releases.
    pub luck_one_in: u64,
    /// The trailing span of the `threshold` policy.
    pub window: Duration,
    /// Answers a second that speak of it inside a release.
    pub rate_hz: f64,
}

/// So long a look that found no breach is as good as a new one, if nothing bad has come: only good answers have, and time has gone.
const AGAIN: Duration = Duration::from_millis(100);

/// What a look rests on.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// When.
    pub now: Mono,
    /// The answers that are judged.
    pub window: View<'a>,
    /// The old version's answers at the same time, if it is asked directly.
    pub old: Option<View<'a>>,
    /// How production did before the cutover; `None`: nobody knows.
    pub before: Option<Tally>,
    /// What was spent of the budget, for the `burn_rate` policy.
    pub spent: Option<&'a Spent>,
}

/// What a look at a window found, for as long as nothing bad has come since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memo {
    news: u64,
    at: Mono,
    suspect: bool,
}

impl<'a> Sight<'a> {
    /// Of a window, and nothing beside it.
    #[must_use]
    pub fn of(window: &'a Window, now: Mono) -> Self {
        Self { now, window: window.view(), old: None, before: None, spent: None }
    }
}

/// What a look at the window says.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// Too few samples to say anything.
    TooFew,
    /// Nothing that the promise doesn't allow.
    Kept,
    /// More bad answers than luck easily explains, fewer than it takes to act.
    Suspect,
    /// Broken.
    Breach(Evidence),
}

/// One sample as a policy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    due: Mono,
    bad: bool,
    /// When it was known.
    known: Mono,
}

/// What a policy finds.
enum Found {
    Luck,
    Suspect,
    /// The bad samples that it rests on.
    Breach {
        first: Mono,
        last: Mono,
    },
}

impl Promise {
    /// The same as [`Self::look`] against `share_max`, for less: without a new bad answer the last word stands for a tenth of a second,
    /// unless it was a breach.
    #[must_use]
    pub fn look_again(&self, sight: &Sight<'_>, memo: &mut Option<Memo>) -> Look {
        let (n, hits) = sight.window.tally(&self.scope, self.mark);
        let few = n < self.samples_min.max(1);
        let news = sight.window.news();
        if let Some(known) = memo
            && hits > 0
            && known.news == news
            && sight.now.since(known.at) < AGAIN
        {
            return match (known.suspect, few) {
                (true, _) => Look::Suspect,
                (false, true) => Look::TooFew,
                (false, false) => Look::Kept,
            };
        }
        let look = self.look(sight, 0.0);
        *memo = match look {
            Look::TooFew | Look::Kept => Some(Memo { news, at: sight.now, suspect: false }),
            Look::Suspect => Some(Memo { news, at: sight.now, suspect: true }),
            Look::Breach(_) => None,
        };
        look
    }

    /// Looks at the answers against `share_max`, or against `at_least` if that is larger
    /// (what was normal before the release).
    #[must_use]
    pub fn look(&self, sight: &Sight<'_>, at_least: f64) -> Look {
        let (n, hits) = sight.window.tally(&self.scope, self.mark);
        let few = n < self.samples_min.max(1);
        let share = self.share_max.max(at_least);
        if hits == 0 || share >= 1.0 {
            return if few { Look::TooFew } else { Look::Kept };
        }
        match self.joined(sight, share) {
            Found::Luck if few => Look::TooFew,
            Found::Luck => Look::Kept,
            Found::Suspect => Look::Suspect,
            Found::Breach { first, last } => self.breach(sight.window, first, last),
        }
    }

    /// Whether an entry is a bad event of this promise.
    #[must_use]
    pub const fn is_bad(&self, entry: &Entry) -> bool {
        entry.marks.has(self.mark)
    }

    /// Whether evidence is of this promise.
    #[must_use]
    pub fn is_of(&self, evidence: &Evidence) -> bool {
        self.stream == evidence.stream
            && self.quantile == evidence.quantile
            && self.scope.name() == &*evidence.scope
    }

    /// What the policies say together. A breach of all begins with the first that one of them saw.
    fn joined(&self, sight: &Sight<'_>, share: f64) -> Found {
        let mut all: Option<(Mono, Mono)> = None;
        let mut suspect = false;
        let mut every = true;
        for policy in &self.policies.tests {
            match (self.found(policy, sight, share), self.policies.join) {
                (found @ Found::Breach { .. }, Join::Any) => return found,
                (Found::Breach { first, last }, Join::All) => {
                    let (begun, ended) = all.unwrap_or((first, last));
                    all = Some((begun.min(first), ended.max(last)));
                }
                (Found::Suspect, _) => (suspect, every) = (true, false),
                (Found::Luck, _) => every = false,
            }
        }
        match all {
            Some((first, last)) if every => Found::Breach { first, last },
            Some(_) => Found::Suspect,
            None if suspect => Found::Suspect,
            None => Found::Luck,
        }
    }

    fn found(&self, policy: &Policy, sight: &Sight<'_>, share: f64) -> Found {
        match policy {
            Policy::Sequential => self.bank(sight.window, share),
            Policy::Threshold(rule) => self.threshold(*rule, sight, share),
            Policy::BurnRate(burns) => {
                sight.spent.map_or(Found::Luck, |spent| spent.look(burns, share, self.rate_hz, sight.now))
            }
            Policy::Baseline => self.baseline(sight, share),
        }
    }

    fn bank(&self, window: View<'_>, share: f64) -> Found {
        let enough = (self.alpha, self.tolerate_blip);
        let (alpha, blip) = if answered(Hazard::FewSamples) { enough } else { (1.0, Duration::ZERO) };
        let mut walk = Walk::new(Bank::new(share, alpha), blip);
        if let Some(trail) = window.trail(&self.scope, self.mark, blip) {
            for bad in trail.bads() {
                walk.take(bad);
            }
        } else {
            for event in self.events_from_first_bad(window) {
                walk.step(event.due, event.bad);
            }
        }
        walk.found(|| self.events_from_first_bad(window))
    }

    fn threshold(&self, rule: Threshold, sight: &Sight<'_>, share: f64) -> Found {
        let judged =
            |entry: &&Entry| self.scope.holds(entry.target) && (!entry.hangs() || self.is_bad(entry));
        let event = |entry: &Entry| self.event(entry);
        let mut events: Vec<Event> = sight.window.entries().filter(judged).map(event).collect();
        events.sort_by_key(|event| event.due);
        let terms = threshold::Terms {
            rule,
            window: self.window,
            samples_min: self.samples_min.max(1),
            share,
            share_min: self.share_min,
            alpha: self.alpha,
            blip: self.tolerate_blip,
        };
        terms.look(&events, sight.now)
    }

    /// Against the old version's own answers, or else against what was usual before the cutover. In peace there is nothing to compare
    /// with: what is promised decides then.
    fn baseline(&self, sight: &Sight<'_>, share: f64) -> Found {
        let old = sight.old.filter(|old| old.tally(&self.scope, self.mark).0 >= self.samples_min.max(1));
        match (old, sight.before) {
            (Some(old), _) => {
                let from = oldest(sight.window).max(oldest(old));
                let (new, old) = (self.events(sight.window, from), self.events(old, from));
                baseline::look(&new, &old, self.alpha, self.tolerate_blip)
            }
            (None, Some(before)) if before.answers >= self.samples_min.max(1) => {
                let usual = before.upper_share();
                if usual >= 1.0 { Found::Luck } else { self.bank(sight.window, usual) }
            }
            (None, _) if sight.old.is_none() => self.bank(sight.window, share),
            (None, _) => Found::Suspect,
        }
    }

    /// From the first bad one on, of whichever part: what was good before it changes nothing. A bad answer may be known long after good ones that were
    /// due later, so the order of the window doesn't tell which is first.
    fn events_from_first_bad(&self, window: View<'_>) -> Vec<Event> {
        let bad = window.entries().filter(|entry| self.is_bad(entry));
        let first = bad.map(|entry| entry.due).min();
        first.map(|first| self.events(window, first)).unwrap_or_default()
    }

    /// Those that were due from `first` on, in that order, and of one instant the bad ones first. What hangs is no word about errors yet.
    fn events(&self, window: View<'_>, first: Mono) -> Vec<Event> {
        let speaks = |entry: &&Entry| {
            entry.due >= first && self.scope.holds(entry.target) && (!entry.hangs() || self.is_bad(entry))
        };
        let event = |entry: &Entry| self.event(entry);
        let mut events: Vec<Event> = window.entries().filter(speaks).map(event).collect();
        events.sort_by_key(|event| (event.due, !event.bad));
        events
    }

    fn event(&self, entry: &Entry) -> Event {
        let known = entry.due.after(entry.response.duration());
        Event { due: entry.due, bad: self.is_bad(entry), known }
    }

    fn breach(&self, window: View<'_>, first: Mono, last: Mono) -> Look {
        let is_bad = |entry: &&Entry| self.is_bad(entry);
        let since = || window.entries().filter(|entry| entry.due >= first && self.scope.holds(entry.target));
        // A probe that found no slot used no connection: it is bad by those that hang on theirs, and were due before.
        // Without such a probe, one that is merely slow says nothing of the ways that the bad ones came.
        let no_slot = since().any(|entry| is_bad(&entry) && entry.conn == 0);
        let speaks = |entry: &&Entry| {
            self.scope.holds(entry.target)
                && (no_slot && entry.hangs() || entry.due >= first && is_bad(entry))
        };
        let ways = || window.entries().filter(speaks).filter(|entry| entry.conn != 0);
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (answers, bad) = (count(since().count()), count(since().filter(is_bad).count()));
        if f64::from(bad) < self.share_min * f64::from(answers) {
            return Look::Suspect;
        }
        Look::Breach(Evidence {
            stream: self.stream,
            scope: self.scope.name().into(),
            quantile: self.quantile,
            answers,
            bad,
            span_ms: u64::try_from(last.since(first).as_millis()).unwrap_or(u64::MAX),
            share_max: self.share_max,
            luck_one_in: self.luck_one_in,
            first_bad: first,
            last_bad: last,
            connections: distinct(ways().map(|entry| entry.conn)),
            addresses: distinct(ways().map(|entry| u32::from(entry.addr))),
            targets: distinct(since().filter(is_bad).map(|entry| u32::from(entry.target.0))),
            window_answers: window.count(),
            window_p95: quantile(
                since().filter(|entry| entry.answered).map(|entry| entry.response).collect(),
                self.quantile,
            ),
            total: false,
        })
    }
}

fn oldest(window: View<'_>) -> Mono {
    window.entries().next().map_or(Mono(0), |entry| entry.due)
}

/// By nearest rank; in ten-thousandths.
fn quantile(mut responses: Vec<Span>, quantile: u32) -> Option<Span> {
    let index = (responses.len() * quantile as usize).div_ceil(10_000).checked_sub(1)?;
    Some(*responses.select_nth_unstable(index).1)
}

/// There are few different ones among many: a short sorted list, and no allocation a value.
fn distinct(values: impl Iterator<Item = u32>) -> u32 {
    let mut known: Vec<u32> = Vec::new();
    for value in values {
        if let Err(place) = known.binary_search(&value) {
            known.insert(place, value);
        }
    }
    u32::try_from(known.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
