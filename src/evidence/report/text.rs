//! The account in words, for the terminal.

use super::{Report, Stages};
use std::fmt::Write as _;

impl Report {
    /// The account in words, one line a step, with a newline at the end. Control characters are shown as `?`: some of
    /// this was said by the services that were probed.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{} release {}: {}",
            plain(&self.service),
            plain(&self.release_id),
            self.outcome.word().to_uppercase()
        );
        let _ = writeln!(text, "{}\n", plain(&self.verdict));
        for step in &self.timeline {
            let name = plain(&step.step.replace('_', " "));
            let _ = writeln!(text, "{:>+12.3} s  {name:<16} {}", step.ms / 1_000.0, plain(&step.detail));
        }
        text.push('\n');
        let percent = |share: f64| format!("{:.2} %", share * 100.0);
        row(&mut text, "bad answers", &self.error_rate, percent);
        row(&mut text, "P95", &self.p95_ms, |ms| format!("{ms:.1} ms"));
        row(&mut text, "answers", &self.answers, |count| count.to_string());
        for (name, says) in self.figures() {
            let _ = writeln!(text, "{name:<14}{}", plain(&says));
        }
        self.versions_text(&mut text);
        let _ = writeln!(text, "{:<14}{}", "hash chain", plain(&self.chain_says()));
        text
    }

    /// What else is known in a line each, by name; neither escaped nor freed of control characters.
    #[must_use]
    pub fn figures(&self) -> Vec<(&'static str, String)> {
        let mut figures = vec![("measured from", self.source.to_string())];
        if let Some(ms) = self.detection_ms {
            let says = format!("{:.3} s after the first bad answer was due", ms / 1_000.0);
            figures.push(("detected", says));
        }
        if let Some(ms) = self.rollback_ms {
            figures.push(("rolled back", format!("{:.3} s from the breach to the proof", ms / 1_000.0)));
        }
        let downtime = self.downtime_s.map_or_else(|| "not known".to_owned(), |s| format!("{s:.3} s"));
        let until = match &*self.downtime_until {
            "verified" => ", until fresh connections proved the way back",
            "last_bad_sample" => ", until the last bad sample",
            "good" => ", until the verdict was good again",
            _ => "",
        };
        figures.push(("downtime", format!("{downtime}{until}")));
        if let Some(write) = &self.write {
            let request = write.request_id.as_deref();
            let request = request.map(|request| format!("AWS request {request}"));
            let request = request.unwrap_or_else(|| "no write was accepted".to_owned());
            figures.push(("write", format!("{} → {}; {request}", write.before, write.after)));
        }
        for failing in self.conditions.iter().filter(|condition| !condition.holds) {
            figures.push(("did not hold", format!("{}: {}", failing.name, failing.detail)));
        }
        figures
    }

    fn versions_text(&self, text: &mut String) {
        const SHOWN: usize = 12;
        for (index, entry) in self.versions.iter().take(SHOWN).enumerate() {
            let name = if index == 0 { "versions" } else { "" };
            let who: Vec<String> = entry
                .versions
                .iter()
                .map(|version| {
                    let share = entry.share.as_ref().and_then(|share| share.get(version));
                    share.map_or_else(
                        || plain(version),
                        |share| format!("{} {:.0} %", plain(version), share * 100.0),
                    )
                })
                .collect();
            let _ = writeln!(text, "{name:<14}{:>+9.1} s  {}", entry.ms / 1_000.0, who.join(", "));
        }
        if let Some(more) = self.versions.len().checked_sub(SHOWN + 1) {
            let _ = writeln!(text, "{:<14}and {} more changes", "", more + 1);
        }
    }

    /// Whether the lines are what was written, in words.
    #[must_use]
    pub fn chain_says(&self) -> String {
        let chain = &self.chain;
        let broken = chain.first_break.as_deref().map(|broken| format!("BROKEN: {broken}"));
        let mut text = format!("{}; {} lines", broken.as_deref().unwrap_or("intact"), chain.lines);
        if chain.ledgers > 1 {
            let _ = write!(text, " of {} ledgers", chain.ledgers);
        }
        if chain.skipped > 0 {
            let _ = write!(text, ", {} other lines skipped", chain.skipped);
        }
        if chain.lost > 0 {
            let _ = write!(text, ", {} records lost by the daemon", chain.lost);
        }
        text
    }
}

fn row<T: Copy>(text: &mut String, name: &str, stages: &Stages<T>, show: impl Fn(T) -> String) {
    let cell = |value: Option<T>| value.map_or_else(|| "–".to_owned(), &show);
    let _ = writeln!(
        text,
        "{name:<14}before {:>12}   during {:>12}   after {:>12}",
        cell(stages.before),
        cell(stages.during),
        cell(stages.after)
    );
}

/// Nothing that a terminal would obey.
#[must_use]
pub fn plain(words: &str) -> String {
    words.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}
