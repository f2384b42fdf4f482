//! Ledger lines to times: what happened when, what it took, and whether that is within the bound.
//!
//! Every time is the daemon's own, on `CLOCK_MONOTONIC`, which both processes share: how often the ledger is looked at changes
//! nothing.

use crate::cli::stage::Step;
use crate::evidence::ledger::Envelope;
use crate::model::record::{IntentId, Record};
use crate::model::release::{EpochId, ReleaseId};
use crate::model::time::{Mono, nanos};
use std::time::Duration;

/// The steps from the fault on, in their order, with what the time before each went into.
const ORDER: [(&str, &str); 9] = [
    ("first_bad", "first_bad_ms"),
    ("breach", "detection_ms"),
    ("preflight", "preflight_ms"),
    ("would_revert", "would_revert_ms"),
    ("intent", "decision_ms"),
    ("revert_sent", "write_ms"),
    ("accepted", "accepted_ms"),
    ("confirmed", "api_ms"),
    ("verified", "data_plane_ms"),
];

/// How Serin was done with the release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Put back and proved.
    Reverted,
    /// In observe mode it would have been put back.
    WouldRevert,
    /// Anything else, in words.
    Other(String),
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Measure {
    pub(super) release: Option<ReleaseId>,
    /// What the ledger calls it.
    pub(super) label: Option<Box<str>>,
    pub(super) epoch: Option<EpochId>,
    pub(super) intent: Option<IntentId>,
    /// When the hook was asked for the fault, and when it said that it is in.
    pub(super) fault: Option<(Mono, Mono)>,
    pub(super) ending: Option<Ending>,
    /// Why it was a breach.
    pub(super) verdict: Option<String>,
    /// A promise was broken before the fault was in.
    pub(super) early: bool,
    steps: Vec<Step>,
    refused: Option<String>,
}

/// One step with its times.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// See [`Step::key`].
    pub(super) key: &'static str,
    /// The name of what the time went into.
    pub(super) span: &'static str,
    pub(super) title: &'static str,
    pub(super) detail: String,
    pub(super) at: Mono,
    /// Since the clock began.
    pub(super) since: Duration,
    /// Since the step before.
    pub(super) took: Duration,
}

impl Measure {
    /// Takes one line, in order. Gives the step to be told, if it is one.
    pub(super) fn take(&mut self, envelope: &Envelope, record: &Record) -> Option<Step> {
        let step = Step::of(envelope.mono, record);
        match record {
            Record::Release { release, label, .. } => {
                if self.release.is_some() && self.release != Some(*release) {
                    self.end(Ending::Other(format!("another release, {release}, took its place")));
                    return None;
                }
                (self.release, self.label) = (Some(*release), label.clone());
            }
            Record::Epoch { epoch, release, .. } if release.is_some() && *release == self.release => {
                // The epoch that a revert begins is not the one that was judged.
                self.epoch = self.epoch.filter(|_| self.intent.is_some()).or(Some(*epoch));
            }
            Record::Stopped { how } => self.end(Ending::Other(format!("the daemon stopped ({how})"))),
            _ => {}
        }
        self.release?;
        match record {
            Record::Breach { evidence, says, epoch, .. } => {
                self.verdict = Some(says.to_string());
                self.epoch = Some(*epoch);
                self.early = self.fault.is_none_or(|(begun, _)| envelope.mono < begun);
                self.first_bad_of(evidence.first_bad);
            }
            Record::Intent(intent) => self.intent = Some(intent.id),
            Record::Abandoned { why, .. } => self.refused = Some(why.to_string()),
            Record::Refused { says, .. } => self.refused = Some(format!("not reverting: {says}")),
            Record::Held { reason, .. } => self.held(reason),
            _ => {}
        }
        let step = step?;
        // Of several writes the last that was accepted counts, of everything else the first.
        let known = self.steps.iter().position(|known| known.key == step.key);
        match known.map(|index| (index, self.steps[index].at)) {
            Some((index, _)) if step.key == "accepted" => self.steps[index].at = step.at,
            Some((index, at)) if step.key == "first_bad" && self.before_the_fault(at) => {
                self.steps[index] = step.clone();
            }
            Some(_) => return None,
            None => self.steps.push(step.clone()),
        }
        Some(step)
    }

    fn held(&mut self, reason: &str) {
        let ending = match reason {
            "reverted" if self.at("verified").is_some() => Ending::Reverted,
            "observe" if self.at("would_revert").is_some() => Ending::WouldRevert,
            _ => Ending::Other(
                self.refused.clone().unwrap_or_else(|| format!("Serin ended it with {reason:?}")),
            ),
        };
        self.end(ending);
    }

    fn end(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
    }

    fn before_the_fault(&self, at: Mono) -> bool {
        self.fault.is_none_or(|(begun, _)| at < begun)
    }

    /// The first bad answer of an epoch may be long over when the fault comes: then the breach's own counts.
    fn first_bad_of(&mut self, due: Mono) {
        let before = |at| self.before_the_fault(at);
        if let Some(known) = self.steps.iter().position(|step| step.key == "first_bad") {
            if !before(self.steps[known].at) {
                return;
            }
            self.steps.remove(known);
        }
        let (title, detail) = ("first bad answer", "of the breach, by when it was due".to_owned());
        self.steps.push(Step { key: "first_bad", at: due, title, detail });
    }

    /// When this step was.
    pub(super) fn at(&self, key: &str) -> Option<Mono> {
        self.steps.iter().find(|step| step.key == key).map(|step| step.at)
    }

    /// When the clock begins: the hook said that the fault is in, or users had the first bad answer of it, whichever was earlier.
    pub(super) fn zero(&self) -> Option<Mono> {
        let (_, done) = self.fault?;
        Some(self.first_bad().map_or(done, |bad| bad.min(done)))
    }

    /// That of the fault: without a breach one of before it isn't.
    fn first_bad(&self) -> Option<Mono> {
        let breach = self.at("breach").is_some();
        self.at("first_bad").filter(|at| breach || !self.before_the_fault(*at))
    }

    /// From the clock's beginning to the proof; in observe mode to the word that it would have acted.
    pub(super) fn total(&self) -> Option<Duration> {
        let end = match self.ending {
            Some(Ending::Reverted) => self.at("verified"),
            Some(Ending::WouldRevert) => self.at("would_revert"),
            _ => None,
        };
        Some(end?.since(self.zero()?))
    }

    /// The steps since the fault, in their order.
    pub(super) fn rows(&self) -> Vec<Row> {
        let Some(zero) = self.zero() else { return Vec::new() };
        let mut before = zero;
        let mut rows = Vec::new();
        for (key, span) in ORDER {
            let Some(step) = self.steps.iter().find(|step| step.key == key) else { continue };
            if key == "first_bad" && self.first_bad().is_none() {
                continue;
            }
            let (since, took) = (since(step.at, zero), since(step.at, before));
            before = before.max(step.at);
            let (title, detail) = (step.title, step.detail.clone());
            rows.push(Row { key, span, title, detail, at: step.at, since, took });
        }
        rows
    }
}

fn since(later: Mono, earlier: Mono) -> Duration {
    if later > earlier { later.since(earlier) } else { Duration::ZERO }
}

/// Milliseconds to the microsecond.
#[expect(clippy::cast_precision_loss, reason = "a drill lasts minutes")]
pub(super) fn millis(span: Duration) -> f64 {
    (nanos(span) / 1_000) as f64 / 1_000.0
}

/// The total against the bound: how much is left, or by how much it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Margin {
    /// Within.
    Left(Duration),
    /// Beyond.
    Over(Duration),
}

impl Margin {
    pub(super) fn of(total: Duration, bound: Duration) -> Self {
        match bound.checked_sub(total) {
            Some(left) => Self::Left(left),
            None => Self::Over(total.saturating_sub(bound)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::ledger::parse;

    /// A revert on the lab, as the ledger has it.
    fn recorded() -> Vec<(Envelope, Record)> {
        let text = include_str!("recorded.jsonl");
        text.lines().map(|line| parse(line.as_bytes()).unwrap()).collect()
    }

    fn mono(lines: &[(Envelope, Record)], wanted: fn(&Record) -> bool) -> Mono {
        lines.iter().find(|(_, record)| wanted(record)).unwrap().0.mono
    }

    /// All of it, with a fault that took from `begun` to `done`.
    fn measured(lines: &[(Envelope, Record)], fault: Option<(Mono, Mono)>) -> Measure {
        let mut measure = Measure { fault, ..Measure::default() };
        for (envelope, record) in lines {
            let _ = measure.take(envelope, record);
        }
        measure
    }

    #[test]
    fn a_recorded_revert_is_measured_step_by_step() {
        let lines = recorded();
        let bad = lines.iter().find_map(|(_, record)| match record {
            Record::FirstBad { done, .. } => Some(*done),
            _ => None,
        });
        let bad = bad.unwrap();
        let (begun, done) = (Mono(bad.0 - 9_000_000), Mono(bad.0 - 4_000_000));
        let measure = measured(&lines, Some((begun, done)));
        assert_eq!(measure.ending, Some(Ending::Reverted));
        let rows = measure.rows();
        let keys: Vec<&str> = rows.iter().map(|row| row.key).collect();
        let all = [
            "first_bad",
            "breach",
            "preflight",
            "intent",
            "revert_sent",
            "accepted",
            "confirmed",
            "verified",
        ];
        assert_eq!(keys, all);
        assert_eq!((rows[0].since, rows[0].took), (Duration::from_millis(4), Duration::from_millis(4)));
        let total = measure.total().unwrap();
        assert_eq!(total, mono(&lines, |record| matches!(record, Record::Verified { .. })).since(done));
        assert_eq!(rows.iter().map(|row| row.took).sum::<Duration>(), total, "nothing is lost between steps");
        assert!(rows.iter().map(|row| row.since).is_sorted());
        assert_eq!(
            (measure.release, measure.epoch.is_some(), measure.early),
            (Some(ReleaseId(1)), true, false)
        );
        let judged = lines.iter().find_map(|(_, record)| match record {
            Record::Breach { epoch, .. } => Some(*epoch),
            _ => None,
        });
        assert_eq!(measure.epoch, judged, "not the one that the revert began");
        assert_eq!(Margin::of(total, total), Margin::Left(Duration::ZERO));
        let (more, less) =
            (total + Duration::from_secs(1), total.checked_sub(Duration::from_millis(1)).unwrap());
        assert_eq!(Margin::of(total, more), Margin::Left(Duration::from_secs(1)));
        assert_eq!(Margin::of(total, less), Margin::Over(Duration::from_millis(1)));
    }

    #[test]
    fn the_clock_begins_with_the_first_bad_answer_when_the_hook_takes_longer() {
        let lines = recorded();
        let breach = mono(&lines, |record| matches!(record, Record::Breach { .. }));
        let measure =
            measured(&lines, Some((Mono(breach.0 - 3_000_000_000), breach.after(Duration::from_secs(9)))));
        assert_eq!(measure.zero(), measure.at("first_bad"));
        let total = measure.total().unwrap();
        assert!(total > Duration::from_millis(300) && total < Duration::from_secs(2), "{total:?}");
    }

    #[test]
    fn an_old_bad_answer_is_not_the_faults() {
        let mut lines = recorded();
        let place = lines.iter().position(|(_, record)| matches!(record, Record::FirstBad { .. })).unwrap();
        let Record::FirstBad { done, .. } = &mut lines[place].1 else { unreachable!() };
        let (was, begun) = (*done, Mono(done.0 - 50_000_000));
        *done = Mono(was.0 - 900_000_000);
        let measure = measured(&lines, Some((begun, begun)));
        let due = lines.iter().find_map(|(_, record)| match record {
            Record::Breach { evidence, .. } => Some(evidence.first_bad),
            _ => None,
        });
        assert_eq!(measure.at("first_bad"), due);
        assert!(!measure.early);
    }

    #[test]
    fn without_a_proof_there_is_no_total() {
        let mut lines = recorded();
        let fault = Some((Mono(1), Mono(2)));
        lines.retain(|(_, record)| !matches!(record, Record::Verified { .. }));
        let measure = measured(&lines, fault);
        assert_eq!(measure.ending, Some(Ending::Other("Serin ended it with \"reverted\"".into())));
        assert_eq!(measure.total(), None);
        lines.retain(|(_, record)| !matches!(record, Record::Held { .. }));
        let why = measured(&lines, fault).ending;
        assert_eq!(why, Some(Ending::Other("the daemon stopped (drained)".into())));
        assert!(measured(&recorded(), None).early, "a breach, and there was no fault yet");
        let says = Record::Refused { release: None, reason: "no-hold".into(), says: "somebody holds".into() };
        let held = Record::Held { release: ReleaseId(1), reason: "no-hold".into(), needs_human: true };
        lines.pop();
        lines.extend([says, held].map(|record| (lines[0].0.clone(), record)));
        let refused = Some(Ending::Other("not reverting: somebody holds".into()));
        assert_eq!(measured(&lines, fault).ending, refused);
    }
}
