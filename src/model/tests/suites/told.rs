//! What was said and done in a story.

use serin_model::guard::Action;
use serin_model::record::Record;
use serin_model::verdict::Verdict;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The judge's word and its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) &'static str, pub(crate) &'static str);

impl Word {
    pub(crate) fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Good | Verdict::Bad(_) => Self(verdict.word(), ""),
            Verdict::Inconclusive(why) => Self("inconclusive", why.name()),
            Verdict::Blind(why) => Self("blind", why.name()),
        }
    }

    /// What it is known by: the reason, where there is one.
    pub(crate) const fn label(self) -> &'static str {
        if self.1.is_empty() { self.0 } else { self.1 }
    }
}

/// The account of a story. Times are seconds after the cutover.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) word: Word,
    /// Each change of the judge's word.
    pub(crate) words: Vec<(f64, Word)>,
    /// Refusals, latches and pages by kind, each once.
    pub(crate) labels: BTreeSet<String>,
    pub(crate) breach: Option<f64>,
    pub(crate) intent: Option<f64>,
    /// When a write went out.
    pub(crate) writes: Vec<f64>,
    /// A release was opened in which something could have been done.
    pub(crate) armed: bool,
    /// Byte for byte the same for the same seed.
    pub(crate) trace: Option<String>,
}

impl Told {
    pub(crate) fn new(traced: bool) -> Self {
        Self {
            word: Word("", ""),
            words: vec![],
            labels: BTreeSet::new(),
            breach: None,
            intent: None,
            writes: vec![],
            armed: false,
            trace: traced.then(String::new),
        }
    }

    /// True when it is news.
    pub(crate) fn said(&mut self, seconds: f64, word: Word) -> bool {
        if word == self.word {
            return false;
        }
        self.word = word;
        self.words.push((seconds, word));
        if let Some(trace) = &mut self.trace {
            let _ = writeln!(trace, "{seconds:.6} {} {}", word.0, word.1);
        }
        true
    }

    pub(crate) fn acted(&mut self, seconds: f64, action: &Action) {
        if let Some(trace) = &mut self.trace {
            let _ = writeln!(trace, "{seconds:.6} {action:?}");
        }
        match action {
            Action::Write(..) | Action::Call(..) => self.writes.push(seconds),
            Action::Persist(..) => self.intent = self.intent.or(Some(seconds)),
            Action::Page(page) => {
                self.labels.insert(format!("paged {}", page.kind.name()));
            }
            Action::Note(record) => match &**record {
                Record::Refused { reason, .. } => {
                    self.labels.insert(format!("refused {reason}"));
                }
                Record::Held { reason, .. } => {
                    self.labels.insert(format!("held {reason}"));
                }
                Record::Breach { .. } => self.breach = self.breach.or(Some(seconds)),
                Record::Release { base, .. } => self.armed |= base.is_some(),
                _ => {}
            },
            Action::Open(_)
            | Action::Pace(_)
            | Action::Ask(_)
            | Action::Read(..)
            | Action::Verify(..)
            | Action::Tag(_)
            | Action::Revised => {}
        }
    }

    /// The judge's word at a time.
    pub(crate) fn word_at(&self, seconds: f64) -> &'static str {
        self.words.iter().rev().find(|(at, _)| *at <= seconds).map_or("", |(_, word)| word.label())
    }
}
