//! From the story of a release to its account.

use super::collect::{Point, Story};
use super::{Outcome, Report, Stages, Step, Versions, Written};
use crate::evidence::ledger::rfc3339;
use crate::model::guard::{Command, Condition};
use crate::model::listener::{Fingerprint, ListenerState, RuleState, short};
use crate::model::plan::{self, Write};
use crate::model::record::Record;
use crate::model::release::{Baseline, Cause, EpochId};
use crate::model::verdict::{Evidence, Stream};
use std::collections::BTreeSet;

/// What is gathered while walking through the records.
#[derive(Default)]
struct Walk {
    timeline: Vec<Step>,
    versions: Vec<Versions>,
    first_bad: bool,
    /// The last breach: when, and its numbers.
    breach: Option<(Point, Evidence, Box<str>)>,
    /// Users were proved well, or the verdict was good again, after the breach.
    verified: Option<Point>,
    good_again: Option<Point>,
    refused: Option<Box<str>>,
    latch: Option<Box<str>>,
    kept: bool,
    accepted: bool,
    /// The last word of the judge on this release's own epochs, and its sentence.
    last_verdict: Option<(Box<str>, Box<str>)>,
    write: Option<Written>,
    conditions: Vec<Condition>,
    reverted_epochs: BTreeSet<EpochId>,
    before: Option<Baseline>,
    during: Option<Baseline>,
    after: Option<Baseline>,
}

/// The account, from the ledger alone.
pub(super) fn account(story: &Story) -> Report {
    let mut walk = Walk::default();
    for (at, record) in &story.records {
        walk.take(story, *at, record);
    }
    let outcome = walk.outcome(story);
    if let (Some((at, cause)), Outcome::Overridden | Outcome::Judging) = (story.ended, outcome) {
        walk.step(story, at, "ended", ended_because(cause).to_owned());
    }
    let verdict = walk.verdict(story, outcome);
    let bad_from = walk.breach.as_ref().map(|(at, evidence, _)| at.at(evidence.first_bad));
    let (end, until) = match (&walk.breach, walk.verified, walk.good_again) {
        (None, _, _) => (None, "none"),
        (Some(_), Some(verified), _) => (Some(verified), "verified"),
        (Some(_), None, Some(good)) => (Some(good), "good"),
        (Some(_), None, None) => (None, "unknown"),
    };
    let downtime_s = match bad_from {
        None => Some(0.0),
        Some(from) => end.map(|end| end.ms_since(from) / 1_000.0),
    };
    let breach = walk.breach.as_ref().map(|(at, _, _)| *at);
    walk.timeline.sort_by(|a, b| a.ms.total_cmp(&b.ms));
    Report {
        service: story.service.to_string(),
        release_id: story.name(),
        outcome,
        verdict,
        error_rate: walk.stages(error_rate, breach_error_rate),
        p95_ms: walk.stages(p95_ms, |evidence| evidence.window_p95.map(crate::model::time::Span::millis)),
        answers: walk
            .stages(|base| Some(u64::from(base.answers)), |evidence| Some(u64::from(evidence.answers))),
        source: "ledger".into(),
        versions: walk.versions,
        downtime_s,
        downtime_until: until.into(),
        detection_ms: breach.zip(bad_from).map(|(breach, from)| breach.ms_since(from)),
        rollback_ms: breach.zip(walk.verified).map(|(breach, verified)| verified.ms_since(breach)),
        write: walk.write,
        conditions: walk.conditions,
        timeline: walk.timeline,
        chain: story.chain.clone(),
    }
}

impl Walk {
    fn step(&mut self, story: &Story, at: Point, step: &str, detail: String) {
        let ms = at.ms_since(story.cutover);
        self.timeline.push(Step { step: step.into(), ts: rfc3339(at.wall), ms, detail });
    }

    /// What was seen and judged.
    fn take(&mut self, story: &Story, at: Point, record: &Record) {
        match record {
            Record::Release { base, from, to, cutover, irreversible, .. } => {
                self.before = base.as_ref().map(|base| base.baseline.clone());
                let mark = if *irreversible { ", marked irreversible" } else { "" };
                let detail = format!("{from} → {to}, release {}{mark}", story.name());
                self.step(story, at.at(*cutover), "cutover_seen", detail);
            }
            Record::Epoch { epoch, cause, shows, since, .. } => match cause {
                Cause::Step => self.step(story, at.at(*since), "step", format!("requests go to {shows}")),
                Cause::OwnRevert => drop(self.reverted_epochs.insert(*epoch)),
                Cause::Start | Cause::Foreign | Cause::Version | Cause::Rollback => {}
            },
            Record::Seen { versions, .. } => {
                self.versions(story, at, versions.iter().map(ToString::to_string));
            }
            Record::FirstBad { epoch, due, done, status, fault, version, .. } => {
                if !self.reverted_epochs.contains(epoch) && !std::mem::replace(&mut self.first_bad, true) {
                    let answer = if *status == 0 { fault.to_string() } else { status.to_string() };
                    let who = version.as_ref().map(|version| format!(" from {version}")).unwrap_or_default();
                    let known = done.since(*due).as_secs_f64() * 1_000.0;
                    let detail = format!("{answer}{who}, known {known:.1} ms after it was due");
                    self.step(story, at.at(*due), "first_bad", detail);
                }
            }
            Record::Verdict { epoch, verdict, says, .. } => {
                if &**verdict == "good" && self.breach.is_some() {
                    self.good_again.get_or_insert(at);
                }
                if !self.reverted_epochs.contains(epoch) {
                    self.last_verdict = Some((verdict.clone(), says.clone()));
                }
            }
            Record::Pulse { epoch, window, versions, .. } => {
                self.versions(story, at, versions.iter().map(ToString::to_string));
                if window.answers > 0 {
                    let reverted = self.reverted_epochs.contains(epoch);
                    *(if reverted { &mut self.after } else { &mut self.during }) = Some(window.clone());
                }
            }
            Record::Breach { evidence, says, .. } => {
                if !std::mem::replace(&mut self.first_bad, true) {
                    // Its own record isn't vital and may be lost; the breach carries the instant.
                    let detail = "as the breach tells".into();
                    self.step(story, at.at(evidence.first_bad), "first_bad", detail);
                }
                self.breach = Some((at, evidence.clone(), says.clone()));
                (self.verified, self.good_again) = (None, None);
                self.step(story, at, "breach", says.to_string());
            }
            Record::Preflight { .. }
            | Record::WouldRevert { .. }
            | Record::Intent(_)
            | Record::WriteSent { .. }
            | Record::Wrote { .. }
            | Record::Confirmed { .. }
            | Record::Verified { .. }
            | Record::Abandoned { .. }
            | Record::Refused { .. }
            | Record::Held { .. }
            | Record::Kept { .. }
            | Record::Drift { .. }
            | Record::Revised { .. }
            | Record::Operator { .. } => self.acted(story, at, record),
            Record::Started { .. }
            | Record::Good { .. }
            | Record::NotGood { .. }
            | Record::Paged { .. }
            | Record::Stopped { .. } => {}
        }
    }

    /// What was done about it, or not.
    fn acted(&mut self, story: &Story, at: Point, record: &Record) {
        match record {
            Record::Preflight { conditions, .. } => {
                let holding = conditions.iter().filter(|condition| condition.holds).count();
                let mut detail = format!("{holding} of {} hold", conditions.len());
                for failing in conditions.iter().filter(|condition| !condition.holds) {
                    detail = format!("{detail}; {}: {}", failing.name, failing.detail);
                }
                self.conditions.clone_from(conditions);
                self.step(story, at, "preflight", detail);
            }
            Record::WouldRevert { writes, .. } => {
                let written = written(None, writes);
                let detail = format!("would be put back to {}", written.after);
                self.write = Some(written);
                self.step(story, at, "would_revert", detail);
            }
            Record::Intent(intent) => {
                let written = written(Some(&intent.before), &intent.writes);
                let detail = format!("put {} back to {}", written.before, written.after);
                self.write = Some(written);
                self.step(story, at, "intent", detail);
            }
            Record::WriteSent { attempt, arn, .. } => {
                let which = if arn.is_empty() { String::new() } else { format!(" at {}", short(arn)) };
                self.step(story, at, "revert_sent", format!("attempt {attempt}{which}"));
            }
            Record::Wrote { outcome, detail, .. } => self.wrote(story, at, outcome, detail),
            Record::Confirmed { .. } => {
                self.step(story, at, "confirmed", "a read shows what was written".into());
            }
            Record::Verified { answers, addresses, .. } => {
                self.verified = Some(at);
                let plural = if *addresses == 1 { "" } else { "es" };
                let detail =
                    format!("{answers} fresh connections answered by it, {addresses} address{plural}");
                self.step(story, at, "verified", detail);
            }
            Record::Abandoned { why, .. } => self.step(story, at, "abandoned", why.to_string()),
            Record::Refused { reason, says, .. } => {
                self.refused = Some(says.clone());
                self.step(story, at, "refused", format!("{reason}: {says}"));
            }
            Record::Held { reason, needs_human, .. } => {
                self.latch = Some(reason.clone());
                let person =
                    if *needs_human { "a person is needed" } else { "until a person or a new release" };
                self.step(story, at, "held", format!("{reason}; {person}"));
            }
            Record::Kept { .. } => {
                self.kept = true;
                self.step(story, at, "kept", "the time to act is over".into());
            }
            Record::Drift { shows } => {
                self.step(story, at, "drift", format!("requests go to {shows}; we leave it so"));
            }
            Record::Operator { command } => self.step(story, at, "operator", told(command)),
            Record::Revised { mode, .. } => {
                self.step(story, at, "configuration", format!("read anew; mode {mode}"));
            }
            Record::Started { .. }
            | Record::Release { .. }
            | Record::Epoch { .. }
            | Record::Seen { .. }
            | Record::FirstBad { .. }
            | Record::Verdict { .. }
            | Record::Pulse { .. }
            | Record::Breach { .. }
            | Record::Good { .. }
            | Record::NotGood { .. }
            | Record::Paged { .. }
            | Record::Stopped { .. } => {}
        }
    }

    fn wrote(&mut self, story: &Story, at: Point, outcome: &str, detail: &str) {
        if outcome == "accepted" {
            self.accepted = true;
            if let Some(write) = &mut self.write {
                write.request_id = Some(detail.to_owned());
            }
            self.step(story, at, "accepted", format!("AWS request {detail}"));
        } else {
            let step = if outcome == "refused" { "write_refused" } else { "write_unknown" };
            self.step(story, at, step, detail.to_owned());
        }
    }

    fn versions(&mut self, story: &Story, at: Point, versions: impl Iterator<Item = String>) {
        let versions: BTreeSet<String> = versions.collect();
        if versions.is_empty() || self.versions.last().is_some_and(|last| last.versions == versions) {
            return;
        }
        let ms = at.ms_since(story.cutover);
        self.versions.push(Versions { ts: rfc3339(at.wall), ms, versions, share: None });
    }

    /// A latch is the last word; without one, what is known decides, and what isn't is never called good.
    fn outcome(&self, story: &Story) -> Outcome {
        let good_now = self.last_verdict.as_ref().is_some_and(|(word, _)| &**word == "good");
        match self.latch.as_deref() {
            Some("reverted") => return Outcome::Reverted,
            Some("observe") => return Outcome::Observed,
            Some("partial" | "interrupted") => return Outcome::Partial,
            Some("overridden") => return Outcome::Overridden,
            Some("no-hold") => return Outcome::Held,
            Some(_) => return Outcome::Refused,
            None => {}
        }
        if self.verified.is_some() {
            Outcome::Reverted
        } else if self.accepted {
            Outcome::Partial
        } else if self.refused.is_some() && !good_now {
            Outcome::Refused
        } else if self.kept {
            Outcome::Kept
        } else {
            match story.ended {
                Some((_, Cause::Rollback | Cause::Foreign | Cause::Version)) => Outcome::Overridden,
                Some((_, Cause::Start | Cause::Step | Cause::OwnRevert)) | None => Outcome::Judging,
            }
        }
    }

    fn verdict(&self, story: &Story, outcome: Outcome) -> String {
        let breach = self.breach.as_ref().map(|(_, _, says)| says.to_string());
        let judged = self.last_verdict.as_ref().map(|(_, says)| says.to_string());
        match outcome {
            Outcome::Reverted | Outcome::Observed | Outcome::Partial => breach.or(judged),
            Outcome::Refused | Outcome::Held => {
                let refused = self.refused.as_ref().map(ToString::to_string);
                match (breach, refused) {
                    (Some(breach), Some(refused)) => Some(format!("{breach}; not reverting: {refused}")),
                    (breach, refused) => refused.or(breach),
                }
            }
            Outcome::Overridden => {
                let ended = story.ended.map(|(_, cause)| ended_because(cause).to_owned());
                breach.or(ended).or(judged)
            }
            Outcome::Kept | Outcome::Judging => judged,
        }
        .unwrap_or_else(|| "nothing was judged yet".into())
    }

    /// One number over the three stages, from what the ledger noted.
    fn stages<T>(
        &self,
        of: impl Fn(&Baseline) -> Option<T>,
        breach: impl Fn(&Evidence) -> Option<T>,
    ) -> Stages<T> {
        let during = self.breach.as_ref().and_then(|(_, evidence, _)| breach(evidence));
        Stages {
            before: self.before.as_ref().filter(|base| base.answers > 0).and_then(&of),
            during: during.or_else(|| self.during.as_ref().and_then(&of)),
            after: self.after.as_ref().and_then(&of),
        }
    }
}

fn error_rate(base: &Baseline) -> Option<f64> {
    (base.answers > 0).then(|| f64::from(base.bad) / f64::from(base.answers))
}

/// A breach of latency counts slow answers; how many were wrong, the pulse knows.
fn breach_error_rate(evidence: &Evidence) -> Option<f64> {
    (evidence.stream == Stream::Errors && evidence.answers > 0)
        .then(|| f64::from(evidence.bad) / f64::from(evidence.answers))
}

fn p95_ms(base: &Baseline) -> Option<f64> {
    (base.p95 > 0).then(|| f64::from(base.p95) / 10_000.0)
}

fn written(before: Option<&ListenerState>, writes: &[Write]) -> Written {
    // What would have been written has no before-image in its line.
    let over = |write: &Write| RuleState {
        arn: write.arn.clone(),
        forward: Some(write.to.clone()),
        others: Vec::new(),
        unknown: Vec::new(),
    };
    let shown = |text: fn(&Write) -> &Fingerprint| {
        writes.iter().map(|write| text(write).to_string()).collect::<Vec<_>>().join(" | ")
    };
    let after = match before {
        Some(before) => plan::after(before, writes),
        None => writes.iter().map(over).collect::<Vec<_>>().into(),
    };
    let before_exact =
        before.map_or_else(|| shown(|write| &write.over), |before| before.fingerprint().to_string());
    Written {
        before: before.map_or_else(|| before_exact.clone(), ListenerState::label),
        after: after.label(),
        after_exact: match before {
            Some(_) => after.fingerprint().to_string(),
            None => shown(|write| &write.becomes),
        },
        before_exact,
        request_id: None,
    }
}

fn told(command: &Command) -> String {
    match command {
        Command::Hold { reason } => format!("hold: {reason}"),
        Command::Unhold => "the hold is lifted".into(),
        Command::Ack => "acknowledged".into(),
        Command::ReleaseBegin { label, irreversible } => {
            let label = label.as_deref().unwrap_or("without a name");
            format!("release begins: {label}{}", if *irreversible { ", irreversible" } else { "" })
        }
    }
}

const fn ended_because(cause: Cause) -> &'static str {
    match cause {
        Cause::Rollback => "somebody else put an earlier state back",
        Cause::Foreign | Cause::Version => "another release came before its time was over",
        Cause::Start => "the daemon was started anew, and its judging didn't go on",
        Cause::Step | Cause::OwnRevert => "another epoch began",
    }
}
