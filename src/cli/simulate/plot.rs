//! The scenarios as pictures: one in the terminal, all of them on a page that needs no network.

use super::Drawn;
use crate::simulate::Row;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use plotters::prelude::*;
use rasciigraph::{Config, plot};
use std::fmt::Write;

/// Columns and rows of the terminal.
const WIDE: u32 = 88;
const HIGH: u32 = 10;
/// In pixels.
const CHART: (u32, u32) = (860, 260);
/// Points of a chart at most.
const BINS: usize = 300;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;\
color:#1b1f24;background:#fff}table{border-collapse:collapse;margin:.5rem 0 2rem}td,th{padding:.2rem .8rem;\
border-bottom:1px solid #d0d7de;text-align:right}td:first-child,th:first-child{text-align:left}\
svg{max-width:100%;height:auto}@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}\
td,th{border-color:#30363d}svg{background:#fff}}";

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
    for drawn in drawn {
        charts.push((drawn, svg(drawn).map_err(|error| anyhow::anyhow!("can't draw: {error}"))?));
    }
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Serin: what each policy would have done for " (service) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "What each policy would have done for " (service) }
                p { "Each chart shows the share of bad answers of one release since its cutover; upright lines are the medians of when the policies sent their revert." }
                @for (drawn, svg) in &charts { (section(drawn, svg)) }
            }
        }
    };
    Ok(page.into_string())
}

fn section(drawn: &Drawn, svg: &str) -> Markup {
    let seconds = |at: Option<f64>| at.map_or_else(|| "–".to_owned(), |at| format!("{at:.2} s"));
    let count = |count: Option<u64>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
    html! {
        h2 { (drawn.scenario) }
        (PreEscaped(svg))
        table {
            tr { th { "policy" } th { "releases" } th { "reverted" } th { "wrong" } th { "missed" } th { "found, median" } th { "acted, median" } th { "acted, P99" } }
            @for row in &drawn.rows {
                tr {
                    td { (row.policy) } td { (row.releases) } td { (row.reverted) } td { (count(row.wrong)) } td { (count(row.missed)) }
                    td { (seconds(row.detected.map(|s| s.median))) }
                    td { (seconds(row.acted.map(|s| s.median))) }
                    td { (seconds(row.acted.map(|s| s.p99))) }
                }
            }
        }
        @if let Some(why) = drawn.rows.iter().find_map(|row| row.why.as_ref()) { p { (why) } }
    }
}

fn svg(drawn: &Drawn) -> Result<String, Box<dyn std::error::Error>> {
    let points = points(&drawn.seconds);
    let end = points.last().map_or(1.0, |(x, _)| *x).max(1.0);
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, CHART).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(8)
            .x_label_area_size(36)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..end, 0.0..100.0)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc("seconds since the cutover")
            .y_desc("% bad")
            .draw()?;
        chart.draw_series(LineSeries::new(points, RGBColor(207, 34, 46).stroke_width(2)))?;
        for (index, row) in drawn.rows.iter().enumerate() {
            let Some(acted) = row.acted else { continue };
            let at = drawn.onset.as_secs_f64() + acted.median;
            let colour = Palette99::pick(index + 1).to_rgba();
            let high = 96.0 - 10.0 * f64::from(u32::try_from(index).unwrap_or(0));
            chart.draw_series(LineSeries::new([(at, 0.0), (at, 100.0)], colour.stroke_width(2)))?;
            let style = ("sans-serif", 13).into_font().color(&colour);
            chart.draw_series([Text::new(format!(" {}", row.policy), (at, high), style)])?;
        }
        root.present()?;
    }
    Ok(text)
}
