//! The account of a release as one page: words, figures, timeline, and charts of what users got.

use super::charts::{self, Drawing};
use crate::cli::page::{key, whole};
use crate::evidence::report::{Curves, Outcome, Report, Stages, plain};
use maud::{Markup, html};

/// Steps of the timeline that are shown from its begin and from its end; nobody reads more.
const STEPS_FIRST: usize = 150;
const STEPS_LAST: usize = 50;
/// Changes of who answered that are listed where no chart can show them.
const CHANGES: usize = 50;

/// The page. The same evidence makes the same bytes.
///
/// # Errors
/// A chart can't be drawn.
pub(super) fn page(report: &Report, curves: &Curves) -> Result<String, anyhow::Error> {
    let drawings = charts::drawings(report, curves)?;
    let title = format!(
        "{} release {}: {}",
        plain(&report.service),
        plain(&report.release_id),
        ended(report.outcome)
    );
    let bad = !matches!(report.outcome, Outcome::Kept | Outcome::Judging);
    let body = html! {
        h1 { (title) }
        div class=(if bad { "verdict bad" } else { "verdict" }) {
            strong { (meaning(report.outcome)) } br; (plain(&report.verdict))
        }
        h2 { "Figures" }
        (figures(report))
        h2 { "What happened" }
        (timeline(report))
        h2 { "Before, during and after" }
        @for note in charts::notes(curves) { p class="note" { (note) } }
        @for drawing in &drawings { (section(drawing)) }
        (answered(report, curves))
        h2 { "Whether this can be believed" }
        p { "Hash chain of the ledger: " (plain(&report.chain_says())) "." }
        footer { p { "Made by serin " (env!("CARGO_PKG_VERSION")) " from the ledger"
            @if curves.is_recorded() { " and the recorded samples" }
            "; times count from the cutover, dates are UTC." } }
    };
    Ok(whole(&title, &body))
}

/// How it ended, in a word or two.
const fn ended(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Judging => "still judged",
        other => other.word(),
    }
}

/// What the word means.
const fn meaning(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Reverted => "The listener was put back, and fresh connections proved it.",
        Outcome::Kept => "The time to act is over, and nothing had to be done.",
        Outcome::Refused => "Something was wrong, and nothing was done.",
        Outcome::Held => "Something was wrong, and an operator's hold forbade acting.",
        Outcome::Observed => "It would have been reverted; the mode was to observe.",
        Outcome::Partial => "It was written, or may have been, and the proof is missing.",
        Outcome::Overridden => "Somebody else changed the listener.",
        Outcome::Judging => "It is still under judgement, or the ledger ends within it.",
    }
}

fn figures(report: &Report) -> Markup {
    html! {
        div class="scroll" { table {
            tr { th {} th scope="col" { "before" } th scope="col" { "during" } th scope="col" { "after" } }
            (stages("bad answers", &report.error_rate, |share| format!("{:.2} %", share * 100.0)))
            (stages("P95", &report.p95_ms, |ms| format!("{ms:.1} ms")))
            (stages("answers", &report.answers, |count| count.to_string()))
        } }
        div class="scroll" { table class="words" {
            @for (name, says) in report.figures() { tr { th scope="row" { (name) } td { (plain(&says)) } } }
        } }
    }
}

fn stages<T: Copy>(name: &str, stages: &Stages<T>, show: impl Fn(T) -> String) -> Markup {
    html! {
        tr {
            th scope="row" { (name) }
            @for value in [stages.before, stages.during, stages.after] {
                td { (value.map_or_else(|| "not measured".to_owned(), &show)) }
            }
        }
    }
}

fn timeline(report: &Report) -> Markup {
    let steps = &report.timeline;
    let hidden = steps.len().saturating_sub(STEPS_FIRST + STEPS_LAST);
    let shown = |place: usize| hidden == 0 || place < STEPS_FIRST || place >= STEPS_FIRST + hidden;
    html! {
        div class="scroll" { table class="words" {
            tr { th scope="col" { "since the cutover" } th scope="col" { "step" } th scope="col" { "what" } th scope="col" { "UTC" } }
            @for (place, step) in steps.iter().enumerate() {
                @if hidden > 0 && place == STEPS_FIRST {
                    tr { td {} td colspan="3" { "and " (hidden) " more, which serin report lists" } }
                }
                @if shown(place) {
                    tr {
                        td class="at" { (format!("{:+.3} s", step.ms / 1_000.0)) }
                        td class="step" { (plain(&step.step.replace('_', " "))) }
                        td { (plain(&step.detail)) }
                        td class="step" { (step.ts) }
                    }
                }
            }
        } }
        @if steps.is_empty() { p class="note" { "The lines tell of no step." } }
    }
}

fn section(drawing: &Drawing) -> Markup {
    html! {
        @if let Some(title) = &drawing.title { h3 { (title) } }
        @for figure in &drawing.figures {
            figure {
                h3 { (figure.title) }
                (figure.svg)
                figcaption { (key(&figure.key())) (figure.caption) }
            }
        }
    }
}

/// Who answered, in words, where no sample tells how often.
fn answered(report: &Report, curves: &Curves) -> Markup {
    html! {
        @if !curves.is_recorded() && !report.versions.is_empty() {
            h3 { "Which versions answered" }
            table class="words" {
                tr { th scope="col" { "since the cutover" } th scope="col" { "versions" } }
                @for entry in report.versions.iter().take(CHANGES) {
                    tr {
                        td class="at" { (format!("{:+.1} s", entry.ms / 1_000.0)) }
                        td { (plain(&entry.versions.iter().cloned().collect::<Vec<_>>().join(", "))) }
                    }
                }
            }
            @if report.versions.len() > CHANGES { p class="note" { "and " (report.versions.len() - CHANGES) " more changes" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::report::{Answered, ReportFilter, drawn_from_lines};

    /// What a daemon wrote of a release that it reverted.
    const LEDGER: &str = include_str!("../drill/recorded.jsonl");

    fn told() -> (Report, Curves) {
        drawn_from_lines(LEDGER.as_bytes(), &ReportFilter::default()).unwrap()
    }

    fn answered(ms: f64, version: u16) -> Answered {
        Answered {
            ms,
            response_ms: Some(0.5 + ms.abs() % 7.0),
            bad: (4_000.0..4_500.0).contains(&ms),
            version: Some(version),
        }
    }

    /// From `from` to `to` milliseconds, one answer each `step`; the version `name` answers for five seconds.
    fn recorded(from: i32, to: i32, step: usize, name: &str) -> Curves {
        let answers =
            (from..to).step_by(step).map(|ms| answered(f64::from(ms), u16::from((0..5_000).contains(&ms))));
        Curves::new(answers.collect(), &["v1".into(), name.into()])
    }

    /// Every attribute of the page that could make a browser ask somebody.
    fn references(page: &str) -> Vec<&str> {
        let within = page.split('<').filter_map(|tag| tag.split_once('>').map(|(tag, _)| tag));
        within
            .filter(|tag| {
                ["://", "src=", "href=", "@import", "url("].iter().any(|word| tag.contains(word))
                    || tag.starts_with("script")
                    || tag.starts_with("link")
            })
            .collect()
    }

    #[test]
    fn a_page_tells_the_account_and_draws_the_three_charts() {
        let (report, _) = told();
        let page = page(&report, &recorded(-4_000, 9_000, 10, "v2")).unwrap();
        assert_eq!(page.matches("<svg").count(), 3, "{page}");
        for title in ["Share of bad answers", "Response time, P95 and P50", "Which version answered"] {
            assert!(page.contains(title), "{title}");
        }
        for words in
            [&plain(&report.verdict), "The listener was put back", "first bad", "verified", "v1", "v2"]
        {
            assert!(page.contains(words), "{words}");
        }
        for (name, says) in report.figures() {
            let says = html! { (plain(&says)) }.into_string();
            assert!(page.contains(name) && page.contains(&says), "{name}: {says}");
        }
        for step in &report.timeline {
            assert!(page.contains(&format!("{:+.3} s", step.ms / 1_000.0)), "{step:?}");
        }
        let attempts = page.matches("role=\"img\"").count();
        assert_eq!((attempts, page.matches("<desc").count()), (3, 3), "each has words for who can't see it");
    }

    #[test]
    fn the_page_asks_nobody_and_runs_nothing() {
        let (mut report, _) = told();
        report.verdict = "https://example.com/ is only said".into();
        let page = page(&report, &recorded(-10_000, 15_000, 10, "v2")).unwrap();
        assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""), "{page}");
        assert!(page.contains("https://example.com/ is only said"));
        assert_eq!(references(&page), [""; 0]);
        let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
        assert!(!style.contains("url(") && !style.contains("@import"));
        assert_eq!(references("<img src='x'>"), ["img src='x'"], "the check sees one");
    }

    #[test]
    fn what_was_said_by_others_stays_words() {
        let evil = "<script>alert(1)</script>\u{1b}";
        let (mut report, _) = told();
        report.release_id = evil.into();
        report.service = evil.into();
        report.verdict = evil.into();
        for step in &mut report.timeline {
            step.detail = evil.into();
        }
        for versions in &mut report.versions {
            versions.versions = std::iter::once(evil.to_owned()).collect();
        }
        if let Some(write) = &mut report.write {
            write.before = evil.into();
        }
        for curves in [recorded(-10_000, 15_000, 10, evil), Curves::default()] {
            let page = page(&report, &curves).unwrap();
            assert!(
                page.contains("&lt;script&gt;") && !page.contains("<script") && !page.contains('\u{1b}'),
                "{page}"
            );
        }
    }

    #[test]
    fn without_samples_the_page_says_what_cannot_be_shown() {
        let (report, curves) = told();
        let page = page(&report, &curves).unwrap();
        assert!(
            page.contains("No recorded samples were found") && page.contains("as the ledger noted it"),
            "{page}"
        );
        assert!(
            !page.contains("<h3>Which version answered</h3>") && page.contains("Which versions answered")
        );
        assert!(!page.contains("</i>bad answers"), "a key names nothing that isn't drawn");
        let page = super::page(&report, &Curves::default()).unwrap();
        assert!(page.contains("No chart can be drawn") && !page.contains("<svg"), "{page}");
    }

    #[test]
    fn what_was_not_measured_is_no_zero() {
        let (mut report, _) = told();
        report.p95_ms.after = None;
        assert!(page(&report, &Curves::default()).unwrap().contains("<td>not measured</td>"));
    }

    #[test]
    fn a_long_release_at_a_high_pace_makes_a_small_page_and_a_close_look() {
        let (mut report, _) = told();
        let step = report.timeline[0].clone();
        report.timeline.extend(std::iter::repeat_n(step, 10_000));
        let curves = recorded(-60_000, 3_600_000, 1, "v2");
        let page = page(&report, &curves).unwrap();
        assert!(page.len() < 300_000, "{} bytes", page.len());
        assert_eq!(page.matches("<svg").count(), 6, "close by, and the whole");
        assert!(page.contains("Close by") && page.contains("minutes since the cutover"));
    }

    #[test]
    fn the_same_evidence_makes_the_same_bytes() {
        let (report, _) = told();
        let curves = recorded(-10_000, 15_000, 10, "v2");
        assert_eq!(page(&report, &curves).unwrap(), page(&report, &curves.clone()).unwrap());
        let (again, _) = told();
        assert_eq!(page(&again, &curves).unwrap(), page(&report, &curves).unwrap());
    }
}
