//! Ledger lines to a story: one line a step, in milliseconds since the cutover.

use super::narrate;
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

/// What has happened so far.
pub(super) struct Story {
    aloud: bool,
    cutover: Mono,
    steps: BTreeMap<&'static str, f64>,
    outcome: Option<Outcome>,
    verdict: String,
    versions: BTreeMap<u32, String>,
}

impl Story {
    pub(super) fn new(aloud: bool) -> Self {
        Self {
            aloud,
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
        if self.aloud {
            narrate(&format!("{seconds:+.3} s  {title:<17} {detail}\n"));
        }
    }

    /// One line of Serin's ledger.
    pub(super) fn take(&mut self, line: &Value) {
        let Some(mono) = line.get("mono").and_then(Value::as_u64).map(Mono) else { return };
        let Ok(record) = serde_json::from_value::<Record>(line.clone()) else { return };
        if mono < self.cutover && !matches!(record, Record::FirstBad { .. } | Record::Release { .. }) {
            return;
        }
        match record {
            Record::Release { from, to, release, label, cutover, .. } => {
                let label = label.map_or_else(|| release.to_string(), String::from);
                self.tell(
                    "cutover_seen",
                    cutover,
                    "cutover seen",
                    &format!("{from} → {to}, release {label}"),
                );
            }
            Record::FirstBad { done, status, fault, version, .. } if done >= self.cutover => {
                let from = version.map_or_else(|| "nobody known".to_owned(), |version| version.to_string());
                let what = if status == 0 { fault.to_string() } else { status.to_string() };
                self.tell(
                    "first_bad",
                    done,
                    "first bad answer",
                    &format!("GET /checkout → {what} from {from}"),
                );
            }
            Record::Breach { says, .. } => {
                self.verdict = says.to_string();
                self.tell("breach", mono, "BREACH", &says);
            }
            Record::Preflight { all_hold, conditions, .. } => {
                let hold = conditions.iter().filter(|condition| condition.holds).count();
                let blue = conditions.iter().find(|condition| &*condition.name == "blue-healthy");
                let detail = blue.map(|condition| format!(": {}", condition.detail)).unwrap_or_default();
                let title = if all_hold { "preflight" } else { "preflight failed" };
                self.tell("preflight", mono, title, &format!("{hold} of {} hold{detail}", conditions.len()));
            }
            Record::Intent(intent) => {
                let arns: Vec<&str> = intent.writes.iter().map(|write| &*write.arn).collect();
                self.tell("intent", mono, "intent on disk", &format!("{} to be put back", arns.join(", ")));
            }
            Record::WriteSent { attempt, .. } => {
                let again = if attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
                self.tell("revert_sent", mono, "revert sent", &format!("ModifyListener{again}"));
            }
            Record::Wrote { outcome, detail, .. } if &*outcome == "accepted" => {
                self.tell("accepted", mono, "accepted", &format!("AWS request {detail}"));
            }
            Record::Confirmed { .. } => {
                self.tell("confirmed", mono, "read back", "the listener is what it was");
            }
            Record::Verified { answers, addresses, .. } => {
                let detail = format!(
                    "{answers} of {answers} fresh connections answered by blue, {addresses} addresses; holding until a person or a new release"
                );
                self.tell("verified", mono, "verified", &detail);
                self.outcome = Some(Outcome::Reverted);
            }
            Record::Refused { says, .. } => {
                self.verdict = says.to_string();
                self.tell("refused", mono, "REFUSED", &format!("not reverting: {says}"));
                self.outcome = Some(Outcome::Refused);
            }
            Record::Seen { epoch, versions, .. } => {
                let names: Vec<String> = versions.iter().map(ToString::to_string).collect();
                self.versions.insert(epoch.0, names.join(", "));
            }
            _ => {}
        }
    }
}
