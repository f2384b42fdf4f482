//! A drill as a table, and as JSON.

use super::keep::Kept;
use super::measure::{Margin, Row, millis};
use super::play::{Drill, Outcome};
use super::{Plan, Users};
use crate::evidence::ledger::rfc3339;
use crate::model::time::{Mono, Wall};
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::time::Duration;

/// The widest detail in the table.
const DETAIL_MAX: usize = 60;

impl Drill {
    /// Users were back in time, which was proved, and the fault is gone. Of a dry run: it would have acted in time.
    pub(super) fn in_time(&self, plan: &Plan) -> bool {
        let within = self.margin(plan).is_some_and(|margin| matches!(margin, Margin::Left(_)));
        within && self.restored.as_ref().is_none_or(Result::is_ok)
    }

    /// What a drill is for: reverted, verified and in time. A dry run proves none of it.
    pub(super) fn passed(&self, plan: &Plan) -> bool {
        self.outcome == Outcome::Reverted && self.in_time(plan)
    }

    fn margin(&self, plan: &Plan) -> Option<Margin> {
        Some(Margin::of(self.measure.total()?, plan.bound))
    }

    /// What is wrong with it, in a sentence; `None` when nothing is.
    pub(super) fn complaint(&self, plan: &Plan) -> Option<String> {
        let mut all = Vec::new();
        if !self.why.is_empty() {
            all.push(self.why.clone());
        }
        if let Some(Margin::Over(over)) = self.margin(plan) {
            all.push(format!("{} over the bound of {}", seconds(over), human(plan.bound)));
        }
        if let Some(Err(why)) = &self.restored {
            all.push(format!("NOT RESTORED, {why}: take the fault away by hand"));
        }
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// What to do next.
    pub(super) fn next(&self, plan: &Plan) -> Vec<String> {
        let mut all = Vec::new();
        let Some(after) = &self.after else { return all };
        if plan.lab {
            let elsewhere = |until| {
                format!(
                    "nothing, the lab is gone; elsewhere the release waits for serin ack, and nobody is saved meanwhile: {until}"
                )
            };
            all.extend(after.unprotected.as_ref().map(elsewhere));
            return all;
        }
        if let Some(why) = after.latched().or(after.needs_human()) {
            all.push(format!(
                "the release is latched ({why}): serin ack {} --socket {}, once everybody knows that it was a drill",
                plan.service,
                plan.socket.display()
            ));
        }
        if let Some(until) = &after.unprotected {
            all.push(format!("{until}: a release that begins before would not be put back"));
        }
        if self.restored.is_some() && self.outcome != Outcome::Reverted {
            all.push(format!("requests go to {}; put them where they belong", after.shows()));
        }
        all
    }

    fn wall(&self, at: Mono) -> String {
        let (mono, wall) = self.began;
        let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        let wall = if at >= mono { wall.0 + millis(at.since(mono)) } else { wall.0 - millis(mono.since(at)) };
        rfc3339(Wall(wall))
    }

    /// For people: a line a step, its share of the whole, and the word.
    pub(super) fn table(&self, plan: &Plan, kept: Option<&Kept>, users: Option<&Users>) -> String {
        let mut text = String::new();
        if let Some(total) = self.measure.total() {
            self.steps(&mut text, plan, total);
        }
        if let Some(users) = users {
            let _ = writeln!(text, "users    {}", users.words());
        }
        for note in &self.notes {
            let _ = writeln!(text, "note     {note}");
        }
        for next in self.next(plan) {
            let _ = writeln!(text, "next     {next}");
        }
        if let Some(kept) = kept {
            let folder = kept.folder.display();
            let account =
                if kept.report.is_some() { format!("; serin report --dir {folder}") } else { String::new() };
            let _ = writeln!(text, "evidence {folder}{account}");
        }
        let word = match (self.outcome, self.in_time(plan)) {
            (Outcome::Reverted, true) => "PASS",
            (Outcome::WouldRevert, true) => "DRY RUN: nothing was written",
            _ => "FAIL",
        };
        let measured = match (self.measure.total(), self.margin(plan)) {
            (Some(total), Some(Margin::Left(left))) => {
                format!("  {} of {}, {} to spare", seconds(total), human(plan.bound), seconds(left))
            }
            (Some(total), Some(Margin::Over(over))) => {
                format!("  {} of {}, {} over", seconds(total), human(plan.bound), seconds(over))
            }
            _ => String::new(),
        };
        let _ = writeln!(text, "{word}  {}{measured}", self.outcome.word());
        text
    }

    fn steps(&self, text: &mut String, plan: &Plan, total: Duration) {
        let release = self.measure.label.as_deref().unwrap_or("without a name");
        let _ = writeln!(text, "\n{}, release {release}\n", plan.service);
        let rows = self.measure.rows();
        let width = rows.iter().map(|row| row.title.len()).max().unwrap_or(0).max("fault injected".len());
        let _ = writeln!(text, "  {:<width$}  {:>11}  {:>11}  {:>5}", "step", "at", "took", "share");
        let _ = writeln!(text, "  {:<width$}  {:>11}", "fault injected", "+0.000 s");
        for row in &rows {
            let at = format!("+{}", seconds(row.since));
            let share = format!("{:.0} %", share(row, total) * 100.0);
            let line = format!("  {:<width$}  {at:>11}  {:>11}  {share:>5}", row.title, took(row.took));
            let _ = writeln!(text, "{line}   {}", short(&row.detail));
        }
        let _ = writeln!(text);
    }

    /// For programs. The keys are told in `serin drill --help`.
    pub(super) fn json(&self, plan: &Plan, kept: Option<&Kept>, users: Option<&Users>) -> Value {
        let total = self.measure.total();
        let rows = self.measure.rows();
        let steps: Vec<Value> = rows.iter().map(|row| self.row(row, total)).collect();
        let spans: Map<String, Value> =
            rows.iter().map(|row| (row.span.to_owned(), millis(row.took).into())).collect();
        let margin = self.margin(plan).map(|margin| match margin {
            Margin::Left(left) => millis(left),
            Margin::Over(over) => -millis(over),
        });
        let after = self.after.as_ref();
        json!({
            "drill": plan.id,
            "outcome": self.outcome.word(),
            "passed": self.passed(plan),
            "why": self.complaint(plan),
            "reasons": self.reasons,
            "bound_ms": millis(plan.bound),
            "strict": plan.strict,
            "total_ms": total.map(millis),
            "margin_ms": margin,
            "steps": steps,
            "durations": spans,
            "service": plan.service,
            "listener": plan.levers.first(),
            "release": self.measure.label,
            "release_number": self.measure.release.map(|release| release.0),
            "epoch": self.measure.epoch.map(|epoch| epoch.0),
            "intent": self.measure.intent.map(|intent| intent.0),
            "verdict": self.measure.verdict,
            "dry_run": plan.wanted.dry_run,
            "lab": plan.lab,
            "began": rfc3339(self.began.1),
            "fault": self.measure.fault.map(|(begun, done)| json!({
                "asked": self.wall(begun), "injected": self.wall(done), "took_ms": millis(done.since(begun)) })),
            "restored": self.restored.as_ref().map(Result::is_ok),
            "users": users.map(Users::json),
            "budget_before": self.before.budget(),
            "after": after.map(|after| json!({
                "latched": after.latched(), "needs_human": after.needs_human(),
                "unprotected": after.unprotected, "shows": after.shows() })),
            "next": self.next(plan),
            "notes": self.notes,
            "config_hash": plan.config_hash,
            "daemon_config_hash": self.past.config,
            "version": env!("CARGO_PKG_VERSION"),
            "daemon_version": self.before.version,
            "instance": self.before.instance,
            "evidence": kept.map(|kept| json!({
                "folder": kept.folder, "drill": kept.drill, "ledger": kept.ledger, "report": kept.report })),
        })
    }

    fn row(&self, row: &Row, total: Option<Duration>) -> Value {
        json!({
            "step": row.key,
            "ms": millis(row.since),
            "took_ms": millis(row.took),
            "share": total.map(|total| (share(row, total) * 1e3).round() / 1e3),
            "ts": self.wall(row.at),
            "detail": row.detail,
        })
    }
}

/// Of the whole, 0.0..=1.0.
fn share(row: &Row, total: Duration) -> f64 {
    if total.is_zero() { 0.0 } else { row.took.as_secs_f64() / total.as_secs_f64() }
}

fn seconds(span: Duration) -> String {
    format!("{:.3} s", span.as_secs_f64())
}

fn took(span: Duration) -> String {
    if span < Duration::from_secs(1) { format!("{:.1} ms", span.as_secs_f64() * 1e3) } else { seconds(span) }
}

fn human(span: Duration) -> String {
    humantime::format_duration(span).to_string()
}

fn short(text: &str) -> String {
    if text.chars().count() <= DETAIL_MAX {
        return text.to_owned();
    }
    text.chars().take(DETAIL_MAX - 1).chain(['…']).collect()
}
