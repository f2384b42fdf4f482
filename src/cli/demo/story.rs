//! Ledger lines to a story: one line a step, in milliseconds since the cutover.

use crate::cli::stage::Step;
use crate::model::record::Record;
use crate::model::time::Mono;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// How a release ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Reverted,
    Kept,
    Refused,
}

impl Outcome {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Reverted => "reverted",
            Self::Kept => "kept",
            Self::Refused => "refused",
        }
    }
}

/// Takes whole lines, as they happen.
pub(super) type Teller = Box<dyn Fn(&str) + Send>;

/// What has happened so far.
pub(super) struct Story {
    tell: Teller,
    cutover: Mono,
    steps: BTreeMap<&'static str, f64>,
    outcome: Option<Outcome>,
    verdict: String,
    versions: BTreeMap<u32, String>,
}

impl Story {
    pub(super) fn new(tell: Teller) -> Self {
        Self {
            tell,
            cutover: Mono(0),
            steps: BTreeMap::new(),
            outcome: None,
            verdict: String::new(),
            versions: BTreeMap::new(),
        }
    }

    pub(super) const fn begin(&mut self, cutover: Mono) {
        self.cutover = cutover;
    }

    pub(super) const fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    pub(super) fn verdict(&self) -> &str {
        if self.verdict.is_empty() { "every promise is kept" } else { &self.verdict }
    }

    /// Step → milliseconds since the cutover.
    pub(super) fn timeline(&self) -> Value {
        Value::Object(
            self.steps.iter().map(|(step, ms)| ((*step).to_owned(), json!(ms))).collect::<Map<_, _>>(),
        )
    }

    /// One step, the first of its kind.
    pub(super) fn tell(&mut self, step: &'static str, at: Mono, title: &str, detail: &str) {
        if self.steps.contains_key(step) {
            return;
        }
        let seconds = if at >= self.cutover {
            at.since(self.cutover).as_secs_f64()
        } else {
            -self.cutover.since(at).as_secs_f64()
        };
        self.steps.insert(step, (seconds * 1e6).round() / 1e3);
        (self.tell)(&format!("{seconds:+.3} s  {title:<17} {detail}\n"));
    }

    /// One line of Serin's ledger.
    pub(super) fn take(&mut self, line: &Value) {
        let Some(mono) = line.get("mono").and_then(Value::as_u64).map(Mono) else { return };
        let Ok(record) = serde_json::from_value::<Record>(line.clone()) else { return };
        if mono < self.cutover && !matches!(record, Record::FirstBad { .. } | Record::Release { .. }) {
            return;
        }
        match &record {
            Record::FirstBad { done, .. } if *done < self.cutover => return,
            Record::Breach { says, .. } => self.verdict = says.to_string(),
            Record::Verified { .. } => self.outcome = Some(Outcome::Reverted),
            Record::Refused { says, .. } => {
                self.verdict = says.to_string();
                self.outcome = Some(Outcome::Refused);
            }
            Record::Seen { epoch, versions, .. } => {
                let names: Vec<String> = versions.iter().map(ToString::to_string).collect();
                self.versions.insert(epoch.0, names.join(", "));
            }
            _ => {}
        }
        if let Some(step) = Step::of(mono, &record) {
            let asked = if step.key == "first_bad" { "GET /checkout → " } else { "" };
            self.tell(step.key, step.at, step.title, &format!("{asked}{}", step.detail));
        }
    }
}
