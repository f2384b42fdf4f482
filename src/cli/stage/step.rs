//! One ledger line to one step, in words.

use crate::model::alias;
use crate::model::record::Record;
use crate::model::time::Mono;

/// What a record tells of a release's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Step {
    /// A closed set of names; those of `serin report --json`.
    pub(in crate::cli) key: &'static str,
    /// When it happened, which may be before it was written down.
    pub(in crate::cli) at: Mono,
    /// For people.
    pub(in crate::cli) title: &'static str,
    /// The numbers.
    pub(in crate::cli) detail: String,
}

impl Step {
    /// The step of a record that was written at `mono`; most are none.
    pub(in crate::cli) fn of(mono: Mono, record: &Record) -> Option<Self> {
        let step = |key, title, detail| Some(Self { key, at: mono, title, detail });
        match record {
            Record::Release { from, to, release, label, cutover, .. } => {
                let label = label.as_ref().map_or_else(|| release.to_string(), ToString::to_string);
                let detail = format!("{from} → {to}, release {label}");
                Some(Self { key: "cutover_seen", at: *cutover, title: "cutover seen", detail })
            }
            Record::FirstBad { done, status, fault, version, .. } => {
                let from = version.as_ref().map_or_else(|| "nobody known".to_owned(), ToString::to_string);
                let what = if *status == 0 { fault.to_string() } else { status.to_string() };
                let detail = format!("{what} from {from}");
                Some(Self { key: "first_bad", at: *done, title: "first bad answer", detail })
            }
            Record::Breach { says, .. } => step("breach", "BREACH", says.to_string()),
            Record::Preflight { all_hold, conditions, .. } => {
                let hold = conditions.iter().filter(|condition| condition.holds).count();
                let blue = conditions.iter().find(|condition| &*condition.name == "blue-healthy");
                let blue = blue.map(|condition| format!(": {}", condition.detail)).unwrap_or_default();
                let title = if *all_hold { "preflight" } else { "preflight failed" };
                step("preflight", title, format!("{hold} of {} hold{blue}", conditions.len()))
            }
            Record::Intent(intent) => {
                let arns: Vec<&str> = intent.writes.iter().map(|write| &*write.arn).collect();
                step("intent", "intent on disk", format!("{} to be put back", arns.join(", ")))
            }
            Record::WriteSent { attempt, arn, .. } => {
                let again = if *attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
                step("revert_sent", "revert sent", format!("{}{again}", call(arn)))
            }
            Record::Wrote { outcome, detail, .. } if &**outcome == "accepted" => {
                step("accepted", "accepted", format!("AWS request {detail}"))
            }
            Record::Confirmed { .. } => step("confirmed", "read back", "as before the release".to_owned()),
            Record::Verified { answers, addresses, .. } => step(
                "verified",
                "verified",
                format!(
                    "{answers} of {answers} fresh connections answered by blue, {addresses} addresses; holding until a person or a new release"
                ),
            ),
            Record::WouldRevert { writes, .. } => {
                let arns: Vec<&str> = writes.iter().map(|write| &*write.arn).collect();
                step("would_revert", "would revert", format!("{}; nothing is written", arns.join(", ")))
            }
            Record::Refused { says, .. } => step("refused", "REFUSED", format!("not reverting: {says}")),
            _ => None,
        }
    }
}

/// The call that was made for this ARN, or for this deployment of an owner.
fn call(arn: &str) -> &'static str {
    match arn {
        _ if arn.contains(":listener-rule/") => "ModifyRule",
        _ if alias::name(arn).is_some() => "UpdateAlias",
        _ if arn.contains(":listener/") => "ModifyListener",
        _ => "the owner's call",
    }
}
