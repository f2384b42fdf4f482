//! The scenarios as pictures: one in the terminal, all of them on a page that needs no network.

use super::Drawn;
use crate::cli::page::{Axis, Chart, Line, Upright, seconds, svg, whole};
use crate::simulate::Row;
use maud::{Markup, html};
use rasciigraph::{Config, plot};
use std::fmt::Write;

/// Columns and rows of the terminal.
const WIDE: u32 = 88;
const HIGH: u32 = 10;
/// Points of a chart at most.
const BINS: usize = 300;

/// Percent of bad answers over seconds since the cutover.
fn points(seconds: &[(u32, u32)]) -> Vec<(f64, f64)> {
    let bin = seconds.len().div_ceil(BINS).max(1);
    let point = |(index, chunk): (usize, &[(u32, u32)])| {
        let (all, bad) = chunk.iter().fold((0, 0), |sum, second| (sum.0 + second.0, sum.1 + second.1));
        let begun = f64::from(u32::try_from(index * bin).unwrap_or(u32::MAX));
        (begun, 100.0 * f64::from(bad) / f64::from(all.max(1)))
    };
    seconds.chunks(bin).enumerate().map(point).collect()
}

/// One scenario, with the medians of what each policy did beneath it.
pub(super) fn terminal(drawn: &Drawn) -> String {
    let shares: Vec<f64> = points(&drawn.seconds).iter().map(|(_, share)| *share).collect();
    let seconds = drawn.seconds.len();
    let chart = plot(shares, Config::default().with_width(WIDE).with_height(HIGH).with_offset(2));
    let mut text = format!(
        "\n{}: % of bad answers over {seconds} seconds since the cutover\n{chart}\n\n",
        drawn.scenario
    );
    for row in &drawn.rows {
        let _ = writeln!(text, "  {}: {}", row.policy, did(row));
    }
    if let Some(why) = drawn.rows.iter().find_map(|row| row.why.as_ref()) {
        let _ = writeln!(text, "  {why}");
    }
    text
}

fn did(row: &Row) -> String {
    row.acted.map_or_else(
        || "never reverts".to_owned(),
        |acted| format!("reverts {:.2} s after it began (median of {})", acted.median, row.reverted),
    )
}

/// All scenarios on one page.
pub(super) fn page(service: &str, drawn: &[Drawn]) -> Result<String, anyhow::Error> {
    let mut charts = Vec::new();
    for (place, drawn) in drawn.iter().enumerate() {
        charts.push((drawn, chart(&format!("s{place}"), drawn)?));
    }
    let body = html! {
        h1 { "What each policy would have done for " (service) }
        p { "Each chart shows the share of bad answers of one release since its cutover; upright lines are the medians of when the policies sent their revert." }
        @for (drawn, svg) in &charts { (section(drawn, svg)) }
    };
    Ok(whole(&format!("Serin: what each policy would have done for {service}"), &body))
}

fn section(drawn: &Drawn, svg: &Markup) -> Markup {
    let seconds = |at: Option<f64>| at.map_or_else(|| "–".to_owned(), |at| format!("{at:.2} s"));
    let count = |count: Option<u64>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
    html! {
        h2 { (drawn.scenario) }
        (svg)
        div class="scroll" { table {
            tr { th { "policy" } th { "releases" } th { "reverted" } th { "wrong" } th { "missed" } th { "found, median" } th { "acted, median" } th { "acted, P99" } }
            @for row in &drawn.rows {
                tr {
                    td { (row.policy) } td { (row.releases) } td { (row.reverted) } td { (count(row.wrong)) } td { (count(row.missed)) }
                    td { (seconds(row.detected.map(|s| s.median))) }
                    td { (seconds(row.acted.map(|s| s.median))) }
                    td { (seconds(row.acted.map(|s| s.p99))) }
                }
            }
        } }
        @if let Some(why) = drawn.rows.iter().find_map(|row| row.why.as_ref()) { p { (why) } }
    }
}

fn chart(id: &str, drawn: &Drawn) -> Result<Markup, anyhow::Error> {
    let points = points(&drawn.seconds);
    let end = points.last().map_or(1.0, |(x, _)| *x).max(1.0);
    let quarters = [0.0, 25.0, 50.0, 75.0, 100.0];
    let y = Axis {
        range: 0.0..103.0,
        ticks: quarters.iter().map(|at| (*at, format!("{at} %"))).collect(),
        name: "bad answers".into(),
    };
    let marks = drawn.rows.iter().filter_map(|row| {
        let at = drawn.onset.as_secs_f64() + row.acted?.median;
        Some(Upright { at, words: format!("{} {at:+.2} s", row.policy) })
    });
    let mut marks: Vec<Upright> = marks.collect();
    marks.sort_by(|a, b| a.at.total_cmp(&b.at));
    let title = format!("{}: share of bad answers over seconds since the cutover", drawn.scenario);
    let says: Vec<&str> = marks.iter().map(|mark| mark.words.as_str()).collect();
    let says = format!("Upright lines: when the policies sent their revert. {}", says.join(", "));
    let lines = vec![Line { pieces: vec![points], colour: 7, dots: false }];
    svg(id, &Chart { title, says, x: &seconds(0.0..end), y, lines, uprights: &marks })
}
