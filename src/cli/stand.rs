//! How a service of a running Serin stands, and whether it is ready for a drill: from its status, as anybody may read it.

use crate::admin::{At, ClientError, get};
use crate::model::time::Mono;
use anyhow::Context;
use http::StatusCode;
use serde_json::Value;
use std::time::Duration;

/// A listener that was last read so long ago, or will be, was read by another clock.
const CLOCKS_APART: Duration = Duration::from_mins(5);

/// What is asked of the daemon.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::cli) struct Wanted {
    /// Green serves already.
    pub(in crate::cli) no_cutover: bool,
    /// In observe mode.
    pub(in crate::cli) dry_run: bool,
}

/// How one service stands.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Stand {
    /// Of the daemon.
    pub(in crate::cli) version: String,
    pub(in crate::cli) instance: String,
    /// The names of all services.
    known: Vec<String>,
    /// `null` when it isn't among them.
    service: Value,
    /// Until when nobody is protected, and why.
    pub(in crate::cli) unprotected: Option<String>,
}

impl Stand {
    /// Asks.
    pub(in crate::cli) async fn read(at: &At, service: &str) -> Result<Self, anyhow::Error> {
        let status = get(at, "/api/v1/status").await?;
        let armed = match get(at, "/-/armed").await {
            Ok(body) => body,
            // Not armed: the body says why.
            Err(ClientError::Refused { code: StatusCode::SERVICE_UNAVAILABLE, why }) => why,
            Err(error) => return Err(error.into()),
        };
        let value = |text: &str| {
            serde_json::from_str::<Value>(text)
                .context("the daemon's status is not what this version can read")
        };
        Ok(Self::of(&value(&status)?, &value(&armed)?, service))
    }

    fn of(status: &Value, armed: &Value, service: &str) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let services = status["services"].as_object();
        Self {
            version: text(&status["version"]),
            instance: text(&status["instance"]),
            known: services.map(|all| all.keys().cloned().collect()).unwrap_or_default(),
            service: status["services"][service].clone(),
            unprotected: armed["services"][service]["unprotected"]["says"].as_str().map(str::to_owned),
        }
    }

    fn guard(&self) -> &Value {
        &self.service["guard"]
    }

    /// The release under judgement or the last one, by its number.
    pub(in crate::cli) fn release(&self) -> Option<u64> {
        self.guard()["release"].as_u64()
    }

    /// Why nothing more is done for it.
    pub(in crate::cli) fn latched(&self) -> Option<&str> {
        self.guard()["latched"].as_str()
    }

    /// Whether a person is needed.
    pub(in crate::cli) fn needs_human(&self) -> Option<&str> {
        self.guard()["needs_human"].as_str()
    }

    /// The open epoch.
    pub(in crate::cli) fn epoch(&self) -> Option<u64> {
        self.guard()["epoch"].as_u64()
    }

    /// As in the guard's status: `idle`, `judging`, `hold` and so on.
    pub(in crate::cli) fn state(&self) -> &str {
        self.guard()["state"].as_str().unwrap_or("unknown")
    }

    /// What the release comes to so far, in one word.
    pub(in crate::cli) fn outcome(&self) -> &str {
        self.guard()["outcome"].as_str().unwrap_or("none")
    }

    /// The judge's sentence.
    pub(in crate::cli) fn says(&self) -> &str {
        self.service["verdict"]["says"].as_str().unwrap_or("nothing was judged yet")
    }

    /// Why a breach would not be put back now; none: it would.
    pub(in crate::cli) fn unarmed(&self) -> Vec<String> {
        if self.service.is_null() {
            return vec![format!("this Serin has no such service; there are: {}", self.known.join(", "))];
        }
        let mut reasons = Vec::new();
        if self.service["mode"] != "act" {
            reasons
                .push(format!("its mode is {}, not act", self.service["mode"].as_str().unwrap_or("unknown")));
        }
        if self.guard().is_null() {
            reasons.push("it doesn't watch what it would put back yet".into());
        }
        if let Some(why) = self.latched().or(self.needs_human()) {
            reasons.push(format!("its last release is latched ({why}): look at it, then `serin ack` it"));
        }
        self.conditions(&mut reasons);
        reasons
    }

    /// What the listener shows, in a word.
    pub(in crate::cli) fn shows(&self) -> &str {
        self.guard()["shows"].as_str().unwrap_or("nothing known")
    }

    /// How many reverts were made, of how many.
    pub(in crate::cli) fn budget(&self) -> String {
        let conditions = self.guard()["conditions"].as_array();
        let budget = conditions.and_then(|all| all.iter().find(|one| one["name"] == "budget"));
        budget.and_then(|one| one["detail"].as_str()).unwrap_or("unknown").to_owned()
    }

    /// Every reason for which a drill can't begin; none: it can.
    pub(in crate::cli) fn reasons(&self, wanted: Wanted, now: Mono) -> Vec<String> {
        if self.service.is_null() {
            return vec![format!("this Serin has no such service; there are: {}", self.known.join(", "))];
        }
        let mut reasons = Vec::new();
        match (self.service["mode"].as_str(), wanted.dry_run) {
            (Some("act"), false) | (Some("observe"), true) => {}
            (Some("act"), true) => {
                reasons.push("its mode is act, so it would write: leave --dry-run out".into());
            }
            (mode, _) => reasons.push(format!(
                "its mode is {}, not act: with --dry-run a drill measures up to what would be written",
                mode.unwrap_or("unknown")
            )),
        }
        if self.guard().is_null() {
            reasons.push("it doesn't watch what it would put back yet".into());
            return reasons;
        }
        self.latches(wanted, &mut reasons);
        self.conditions(&mut reasons);
        let read = self.guard()["read"].as_u64().map(Mono);
        if read.is_some_and(|read| read > now || now.since(read) > CLOCKS_APART) {
            reasons.push("its clock is not this one: a drill runs on the daemon's own machine".into());
        }
        reasons
    }

    fn latches(&self, wanted: Wanted, reasons: &mut Vec<String>) {
        if let Some(why) = self.latched().or(self.needs_human()) {
            reasons.push(format!("its last release is latched ({why}): look at it, then `serin ack` it"));
        } else {
            match (self.guard()["state"].as_str().unwrap_or_default(), wanted.no_cutover) {
                ("idle", false) | ("judging", true) => {}
                ("judging", false) => reasons.push(
                    "a release is under judgement: wait until its time is over; or, if it is the drill's own, --no-cutover"
                        .into(),
                ),
                (state, false) => reasons.push(format!("it is {state}, not idle: wait until it has seen what serves good")),
                (state, true) => {
                    reasons.push(format!("it is {state}, not judging: no cutover was seen that could be reverted"));
                }
            }
        }
        let verdict = &self.service["verdict"];
        let (word, says) = (verdict["word"].as_str().unwrap_or("unknown"), verdict["says"].as_str());
        if !matches!(word, "good" | "inconclusive") {
            reasons.push(format!("the verdict is {word}: {}", says.unwrap_or("nothing was judged yet")));
        }
    }

    fn conditions(&self, reasons: &mut Vec<String>) {
        if let Some(until) = &self.unprotected {
            reasons.push(format!("the budget: {until}"));
        }
        for condition in self.guard()["conditions"].as_array().into_iter().flatten() {
            let name = condition["name"].as_str().unwrap_or_default();
            // Said already, with the time.
            let said = self.unprotected.is_some() && matches!(name, "cool-down" | "budget");
            if condition["holds"] != true && !said {
                reasons.push(format!("{name}: {}", condition["detail"].as_str().unwrap_or_default()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(change: impl FnOnce(&mut Value)) -> Value {
        let mut one = json!({ "mode": "act", "verdict": { "word": "good", "says": "all promises are kept" },
            "guard": { "state": "idle", "latched": null, "needs_human": null, "read": 1_000, "shows": "blue",
                "conditions": [{ "name": "known-good", "holds": true, "detail": "blue" },
                               { "name": "budget", "holds": true, "detail": "0 of 1 this hour" }] } });
        change(&mut one);
        json!({ "version": "0.1.0", "instance": "i", "services": { "checkout": one } })
    }

    fn reasons(wanted: Wanted, change: impl FnOnce(&mut Value)) -> Vec<String> {
        Stand::of(&status(change), &json!({}), "checkout").reasons(wanted, Mono(2_000))
    }

    const ACT: Wanted = Wanted { no_cutover: false, dry_run: false };

    #[test]
    fn a_service_that_is_idle_armed_and_good_is_ready() {
        assert_eq!(reasons(ACT, |_| {}), [""; 0]);
        let judging = |one: &mut Value| one["guard"]["state"] = "judging".into();
        assert_eq!(reasons(Wanted { no_cutover: true, ..ACT }, judging), [""; 0]);
        let observe = |one: &mut Value| one["mode"] = "observe".into();
        assert_eq!(reasons(Wanted { dry_run: true, ..ACT }, observe), [""; 0]);
        assert_eq!(Stand::of(&status(|_| {}), &json!({}), "checkout").budget(), "0 of 1 this hour");
    }

    #[test]
    fn who_would_not_put_a_breach_back_says_why() {
        let unarmed = |change: fn(&mut Value)| Stand::of(&status(change), &json!({}), "checkout").unarmed();
        assert_eq!(unarmed(|_| {}), [""; 0]);
        assert_eq!(unarmed(|one| one["guard"]["state"] = "judging".into()), [""; 0], "a step is judged");
        assert_eq!(unarmed(|one| one["mode"] = "observe".into()), ["its mode is observe, not act"]);
        assert_eq!(
            unarmed(|one| one["guard"] = Value::Null),
            ["it doesn't watch what it would put back yet"]
        );
        assert!(unarmed(|one| one["guard"]["latched"] = "reverted".into())[0].contains("latched (reverted)"));
        let fails = |one: &mut Value| one["guard"]["conditions"][0]["holds"] = false.into();
        assert_eq!(unarmed(fails), ["known-good: blue"]);
        let nobody = Stand::of(&status(|_| {}), &json!({}), "nobody").unarmed();
        assert_eq!(nobody, ["this Serin has no such service; there are: checkout"]);
    }

    #[test]
    fn every_reason_is_told_and_not_only_the_first() {
        let found = reasons(ACT, |one| {
            one["mode"] = "observe".into();
            one["guard"]["latched"] = "reverted".into();
            one["verdict"] = json!({ "word": "blind", "says": "no answers" });
            one["guard"]["conditions"] = json!([
                { "name": "no-hold", "holds": false, "detail": "an operator holds: dinner" },
                { "name": "budget", "holds": true, "detail": "0 of 1 this hour" },
            ]);
            one["guard"]["read"] = 9_000.into();
        });
        let wanted = [
            "mode is observe",
            "latched (reverted)",
            "blind: no answers",
            "no-hold: an operator holds: dinner",
            "clock",
        ];
        assert_eq!(found.len(), wanted.len(), "{found:?}");
        for (found, wanted) in found.iter().zip(wanted) {
            assert!(found.contains(wanted), "{found} has no {wanted}");
        }
    }

    #[test]
    fn each_alone_forbids_a_drill() {
        let one = |wanted, change: fn(&mut Value), words: &str| {
            let found = reasons(wanted, change);
            assert!(found.len() == 1 && found[0].contains(words), "{words}: {found:?}");
        };
        one(ACT, |one| one["guard"]["state"] = "judging".into(), "under judgement");
        one(ACT, |one| one["guard"]["state"] = "settling".into(), "settling, not idle");
        one(ACT, |one| one["guard"]["needs_human"] = "partial".into(), "latched (partial)");
        one(ACT, |one| one["guard"] = Value::Null, "doesn't watch");
        one(ACT, |one| one["verdict"]["word"] = "bad".into(), "verdict is bad");
        one(ACT, |one| one["guard"]["read"] = 2_001.into(), "clock");
        one(Wanted { no_cutover: true, ..ACT }, |_| {}, "no cutover was seen");
        one(Wanted { dry_run: true, ..ACT }, |_| {}, "leave --dry-run out");
        let nobody = Stand::of(&status(|_| {}), &json!({}), "nobody").reasons(ACT, Mono(2_000));
        assert_eq!(nobody, ["this Serin has no such service; there are: checkout"]);
        let armed = json!({ "services": { "checkout": { "unprotected": { "says": "unprotected until 10:00 UTC, cooling down" } } } });
        let spent = status(|one| one["guard"]["conditions"][1]["holds"] = false.into());
        let spent = Stand::of(&spent, &armed, "checkout").reasons(ACT, Mono(2_000));
        assert_eq!(spent, ["the budget: unprotected until 10:00 UTC, cooling down"]);
    }
}
