//! How far the writing of an intent has come: which rules are in, which may be, and which were undone.

use crate::plan::Write;
use crate::record::Intent;
use std::collections::BTreeSet;

/// How far the writing of an intent has come.
#[derive(Clone, Debug)]
pub(super) struct Course {
    pub(super) intent: Box<Intent>,
    /// Of the rule that is to be written next, from 1.
    pub(super) attempt: u32,
    /// An attempt went out whose outcome isn't known: the rule's ARN.
    pub(super) doubtful: Option<Box<str>>,
    /// The rules for which AWS said yes.
    pub(super) accepted: BTreeSet<Box<str>>,
    /// Those for which it said no, after another had been accepted.
    pub(super) refused: BTreeSet<Box<str>>,
    /// Those that a read has shown as they should be.
    pub(super) shown: BTreeSet<Box<str>>,
}

impl Course {
    pub(super) const fn new(intent: Box<Intent>) -> Self {
        Self {
            intent,
            attempt: 1,
            doubtful: None,
            accepted: BTreeSet::new(),
            refused: BTreeSet::new(),
            shown: BTreeSet::new(),
        }
    }

    /// AWS has taken a write, so the others have to follow.
    pub(super) fn is_begun(&self) -> bool {
        !self.accepted.is_empty()
    }

    /// One more try of the same rule.
    pub(super) fn again(mut self) -> Self {
        self.attempt += 1;
        self
    }

    /// AWS has taken the write of this rule.
    pub(super) fn accept(&mut self, arn: &str) {
        self.accepted.insert(arn.into());
        (self.attempt, self.doubtful) = (1, None);
    }

    /// The same; an owner's call is for all rules at once.
    pub(super) fn accept_with(&mut self, arn: &str) {
        if self.intent.call.is_some() {
            self.accepted = self.intent.writes.iter().map(|write| write.arn.clone()).collect();
        }
        self.accept(arn);
    }

    /// Keeps what a read shows of the rules. False when one that was as it should be isn't any more: somebody undoes what we do.
    pub(super) fn stays(&mut self, left: &[&Write]) -> bool {
        let is_left = |arn: &str| left.iter().any(|write| &*write.arn == arn);
        if self.shown.iter().any(|arn| is_left(arn)) {
            return false;
        }
        let done = self.intent.writes.iter().filter(|write| !is_left(&write.arn));
        self.shown.extend(done.map(|write| write.arn.clone()));
        true
    }

    /// AWS has answered for this rule.
    pub(super) fn is_known(&self, arn: &str) -> bool {
        self.accepted.contains(arn) || self.refused.contains(arn)
    }

    /// Rules of which nothing is known yet.
    pub(super) fn has_more(&self) -> bool {
        self.intent.writes.iter().any(|write| !self.is_known(&write.arn))
    }

    /// For people.
    pub(super) fn says(&self) -> String {
        match self.intent.writes.len() {
            1 => String::new(),
            all => format!("; {} of {all} rules are put back", self.accepted.len()),
        }
    }
}
