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
        let _ = writeln!(text, "{:<14}{}", "measured from", plain(&self.source));
        if let Some(ms) = self.detection_ms {
            let _ =
                writeln!(text, "{:<14}{:.3} s after the first bad answer was due", "detected", ms / 1_000.0);
        }
        if let Some(ms) = self.rollback_ms {
            let _ = writeln!(text, "{:<14}{:.3} s from the breach to the proof", "rolled back", ms / 1_000.0);
        }
        let downtime = self.downtime_s.map_or_else(|| "not known".to_owned(), |s| format!("{s:.3} s"));
        let until = match &*self.downtime_until {
            "verified" => ", until fresh connections proved the way back",
            "last_bad_sample" => ", until the last bad sample",
            "good" => ", until the verdict was good again",
            _ => "",
        };
        let _ = writeln!(text, "{:<14}{downtime}{until}", "downtime");
        self.write_text(&mut text);
        self.versions_text(&mut text);
        self.chain_text(&mut text);
        text
    }

    fn write_text(&self, text: &mut String) {
        if let Some(write) = &self.write {
            let request = write.request_id.as_deref().map_or_else(
                || "no write was accepted".to_owned(),
                |request| format!("AWS request {}", plain(request)),
            );
            let _ = writeln!(
                text,
                "{:<14}{} → {}; {request}",
                "write",
                plain(&write.before),
                plain(&write.after)
            );
        }
        for failing in self.conditions.iter().filter(|condition| !condition.holds) {
            let _ =
                writeln!(text, "{:<14}{}: {}", "did not hold", plain(&failing.name), plain(&failing.detail));
        }
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

    fn chain_text(&self, text: &mut String) {
        let chain = &self.chain;
        let state = chain
            .first_break
            .as_deref()
            .map_or_else(|| "intact".to_owned(), |broken| format!("BROKEN: {}", plain(broken)));
        let _ = write!(text, "{:<14}{state}; {} lines", "hash chain", chain.lines);
        if chain.ledgers > 1 {
            let _ = write!(text, " of {} ledgers", chain.ledgers);
        }
        if chain.skipped > 0 {
            let _ = write!(text, ", {} other lines skipped", chain.skipped);
        }
        if chain.lost > 0 {
            let _ = write!(text, ", {} records lost by the daemon", chain.lost);
        }
        text.push('\n');
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
fn plain(words: &str) -> String {
    words.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}
