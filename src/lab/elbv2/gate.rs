//! What stands before every call: identity, throttling, the faults that a test asked for, and the journal.

use super::refusal::Refusal;
use serin_model::time::Mono;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How one action of the control plane misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlPlaneFault {
    /// The next so many calls are refused with `Throttling`.
    Throttle {
        /// How many; `u32::MAX` for all.
        calls: u32,
    },
    /// The next so many calls get a 500 and have no effect.
    InternalError {
        /// How many; `u32::MAX` for all.
        calls: u32,
    },
    /// The next so many calls have their effect and get a 500 nevertheless.
    InternalErrorAfterEffect {
        /// How many; `u32::MAX` for all.
        calls: u32,
    },
    /// Calls are never answered and have no effect.
    HangBeforeEffect,
    /// Calls have their effect and are never answered: the caller times out although it was done.
    HangAfterEffect,
    /// Calls are refused as not permitted.
    AccessDenied,
    /// Calls take so much longer, before their effect.
    Delay(Duration),
}

/// Why an access key is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialFault {
    /// Nobody knows it: `InvalidClientTokenId`.
    Invalid,
    /// Its time is over: `ExpiredToken`.
    Expired,
    /// It may not do anything: `AccessDenied`.
    Denied,
}

/// One call that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The action, such as `ModifyListener`.
    pub action: String,
    /// Its parameters, flat, as they were sent.
    pub params: BTreeMap<String, String>,
    /// When it was decided.
    pub at: Mono,
    /// The access key id that signed it, if any did.
    pub access_key: Option<String>,
    /// The id that the answer carried or would have carried.
    pub request_id: String,
    /// What came of it.
    pub outcome: CallOutcome,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// It was done, and the caller was told.
    Accepted,
    /// It was not done, and the caller was told: this code.
    Refused(String),
    /// The caller was told nothing, or only of an internal error.
    Silent {
        /// Whether it was done.
        applied: bool,
    },
}

/// What the gate says of a call.
pub(super) enum Admission {
    /// Go on after so long, then treat the answer like this.
    Pass(Duration, Ending),
    /// No.
    Refuse(Refusal),
    /// Neither yes nor no, ever.
    Hang,
}

/// What becomes of the answer of a call that had its effect.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Answer,
    Hang,
    InternalError,
}

/// The state of the gate.
pub(super) struct Gate {
    pub(super) faults: BTreeMap<String, ControlPlaneFault>,
    pub(super) credentials: BTreeMap<String, CredentialFault>,
    pub(super) journal: VecDeque<Call>,
    throttling: bool,
    describe: Bucket,
    mutate: Bucket,
}

impl Gate {
    pub(super) fn new(throttling: bool, now: Mono) -> Self {
        Self {
            faults: BTreeMap::new(),
            credentials: BTreeMap::new(),
            journal: VecDeque::new(),
            throttling,
            describe: Bucket::full(40, 10, now),
            mutate: Bucket::full(20, 3, now),
        }
    }

    /// Switches the token buckets.
    pub(super) fn set_throttling(&mut self, throttling: bool) {
        self.throttling = throttling;
    }

    /// Who may pass, in AWS's order: identity, then throttling, then permission.
    pub(super) fn admit(&mut self, action: &str, access_key: &str, now: Mono) -> Admission {
        if let Some(refusal) = self.credentials.get(access_key).map(|fault| fault.refusal(action)) {
            return Admission::Refuse(refusal);
        }
        let reads = action.starts_with("Describe");
        let bucket = if reads { &mut self.describe } else { &mut self.mutate };
        if self.throttling && !bucket.take(now) {
            return Admission::Refuse(Refusal::throttled());
        }
        let Some(fault) = self.faults.get_mut(action) else {
            return Admission::Pass(Duration::ZERO, Ending::Answer);
        };
        match fault {
            ControlPlaneFault::Throttle { calls: 0 }
            | ControlPlaneFault::InternalError { calls: 0 }
            | ControlPlaneFault::InternalErrorAfterEffect { calls: 0 } => {
                Admission::Pass(Duration::ZERO, Ending::Answer)
            }
            ControlPlaneFault::Throttle { calls } => {
                *calls -= 1;
                Admission::Refuse(Refusal::throttled())
            }
            ControlPlaneFault::InternalError { calls } => {
                *calls -= 1;
                Admission::Refuse(Refusal::internal())
            }
            ControlPlaneFault::InternalErrorAfterEffect { calls } => {
                *calls -= 1;
                Admission::Pass(Duration::ZERO, Ending::InternalError)
            }
            ControlPlaneFault::HangBeforeEffect => Admission::Hang,
            ControlPlaneFault::HangAfterEffect => Admission::Pass(Duration::ZERO, Ending::Hang),
            ControlPlaneFault::AccessDenied => Admission::Refuse(denied(action)),
            ControlPlaneFault::Delay(delay) => Admission::Pass(*delay, Ending::Answer),
        }
    }

    /// Writes a call down; the oldest goes when there are too many.
    pub(super) fn note(&mut self, call: Call) {
        if self.journal.len() == JOURNAL_MAX {
            self.journal.pop_front();
        }
        self.journal.push_back(call);
    }
}

impl CredentialFault {
    fn refusal(self, action: &str) -> Refusal {
        match self {
            Self::Invalid => Refusal::forbidden(
                "InvalidClientTokenId",
                "The security token included in the request is invalid.",
            ),
            Self::Expired => {
                Refusal::forbidden("ExpiredToken", "The security token included in the request is expired")
            }
            Self::Denied => denied(action),
        }
    }
}

/// The access key id of a signed request, or what AWS says of one that isn't signed for this service. The
/// signature itself is not verified: the lab knows no secrets.
pub(super) fn access_key<'a>(authorization: Option<&'a str>, scopes: &[&str]) -> Result<&'a str, Refusal> {
    let unsigned =
        || Refusal::forbidden("MissingAuthenticationToken", "Request is missing Authentication Token");
    let signed =
        authorization.and_then(|value| value.strip_prefix("AWS4-HMAC-SHA256 ")).ok_or_else(unsigned)?;
    let mut parts = signed.split(',').map(str::trim);
    let credential = parts.find_map(|part| part.strip_prefix("Credential=")).ok_or_else(unsigned)?;
    let mut scope = credential.split('/');
    let key = scope.next().unwrap_or_default();
    let [_, _, service, ending] = scope.collect::<Vec<_>>()[..] else { return Err(unsigned()) };
    if !scopes.contains(&service) || ending != "aws4_request" {
        return Err(Refusal::forbidden(
            "SignatureDoesNotMatch",
            "Credential should be scoped to correct service: 'elasticloadbalancing'.",
        ));
    }
    Ok(key)
}

fn denied(action: &str) -> Refusal {
    Refusal::forbidden(
        "AccessDenied",
        format!(
            "User: arn:aws:sts::123456789012:assumed-role/serin/lab is not authorized to perform: \
             elasticloadbalancing:{action} because no identity-based policy allows the \
             elasticloadbalancing:{action} action"
        ),
    )
}

/// A token bucket (`AWS.md` 4: describe 40 refilled 10 a second, mutate 20 refilled 3 a second).
struct Bucket {
    /// In thousandths of a token.
    level: u64,
    capacity: u64,
    refill_per_second: u64,
    at: Mono,
}

impl Bucket {
    fn full(tokens: u64, refill_per_second: u64, now: Mono) -> Self {
        Self { level: tokens * 1000, capacity: tokens * 1000, refill_per_second, at: now }
    }

    fn take(&mut self, now: Mono) -> bool {
        // Whole milliseconds only, and the rest stays on the clock: nothing is lost by asking often.
        let elapsed_ms = now.since(self.at).as_secs() * 1000 + u64::from(now.since(self.at).subsec_millis());
        self.at = self.at.after(Duration::from_millis(elapsed_ms));
        self.level = (self.level + elapsed_ms.saturating_mul(self.refill_per_second)).min(self.capacity);
        let enough = self.level >= 1000;
        self.level -= if enough { 1000 } else { 0 };
        enough
    }
}

/// So many calls are remembered.
const JOURNAL_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_refill() {
        let mut bucket = Bucket::full(20, 3, Mono(0));
        let burst = (0..30).filter(|_| bucket.take(Mono(0))).count();
        assert_eq!(burst, 20);
        let asked_every_10_ms = (1..=200).filter(|n| bucket.take(Mono(n * 10_000_000))).count();
        assert_eq!(asked_every_10_ms, 6);
    }

    #[test]
    fn only_a_signature_for_this_service_passes() {
        const SCOPE: [&str; 1] = ["elasticloadbalancing"];
        let signed = |scope: &str| {
            format!("AWS4-HMAC-SHA256 Credential=AKID/{scope}, SignedHeaders=host, Signature=0")
        };
        let good = signed("20261121/eu-west-1/elasticloadbalancing/aws4_request");
        assert_eq!(access_key(Some(&good), &SCOPE).unwrap(), "AKID");
        let other = signed("20261121/eu-west-1/monitoring/aws4_request");
        assert_eq!(access_key(Some(&other), &SCOPE).unwrap_err().code, "SignatureDoesNotMatch");
        assert_eq!(access_key(Some("Bearer x"), &SCOPE).unwrap_err().code, "MissingAuthenticationToken");
        assert_eq!(access_key(None, &SCOPE).unwrap_err().code, "MissingAuthenticationToken");
    }
}
