//! What the pages that commands write have in common: one file each that asks for nothing, with its charts inside.
//!
//! | file | what |
//! |---|---|
//! | `page.rs` | the frame: style, and the policy that keeps every other source out |
//! | `page/chart.rs` | a chart as inline SVG |

mod chart;

pub(super) use chart::{Axis, Chart, Line, Upright, seconds, svg};

use maud::{DOCTYPE, Markup, PreEscaped, html};
use plotters::style::RGBColor;

/// Nothing is fetched and nothing runs, whatever the words on the page say.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// Text, grids and axes of a chart.
pub(super) const INK: RGBColor = RGBColor(0x1B, 0x1F, 0x24);
pub(super) const MUTED: RGBColor = RGBColor(0x57, 0x60, 0x6A);
pub(super) const GRID: RGBColor = RGBColor(0xD0, 0xD7, 0xDE);
/// Okabe and Ito's, which people with any kind of colour vision can tell apart; the dashes of `STYLE` serve print.
pub(super) const COLOURS: [RGBColor; 8] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x56, 0xB4, 0xE9),
    RGBColor(0x80, 0x80, 0x80),
    // As the second, and whole: for a line that stands alone.
    RGBColor(0xD5, 0x5E, 0x01),
];

/// Colours in a chart are attributes, which a style sheet outranks: so one drawing serves light and dark.
const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--muted:#57606a;--grid:#d0d7de;--back:#fff;--panel:#f6f8fa;\
--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#b85c8e;--c4:#b87f00;--c5:#56b4e9;--c6:#808080}\
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--muted:#9aa4af;--grid:#30363d;--back:#0d1117;--panel:#161b22;\
--c0:#58a6e0;--c1:#ff8a3d;--c2:#2fc79a;--c3:#e39cc4;--c4:#e6b045;--c5:#9fd6f5;--c6:#a0a0a0}}\
@media print{:root{color-scheme:light;--ink:#000;--muted:#333;--grid:#bbb;--back:#fff;--panel:#fff;\
--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#b85c8e;--c4:#b87f00;--c5:#56b4e9;--c6:#808080}\
figure,tr{break-inside:avoid}h2,h3{break-after:avoid}}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:var(--ink);\
background:var(--back);overflow-wrap:break-word}\
h1{line-height:1.25;margin:0 0 .5rem}h2{margin:2rem 0 .5rem}h3{margin:1.5rem 0 .25rem;font-size:1.05rem}\
.scroll{overflow-x:auto}table{border-collapse:collapse;margin:.5rem 0 1rem;font-variant-numeric:tabular-nums}\
td,th{padding:.2rem .8rem .2rem 0;border-bottom:1px solid var(--grid);text-align:right;vertical-align:top}\
td:first-child,th:first-child,.words td,.words th{text-align:left}td.at{text-align:right;white-space:nowrap}\
td.step{white-space:nowrap}\
.verdict{background:var(--panel);border-left:.4rem solid var(--c0);padding:.6rem 1rem;margin:1rem 0}\
.verdict.bad{border-color:var(--c1)}.note,figcaption,footer{color:var(--muted);font-size:.9rem}\
figure{margin:0 0 1.5rem}svg{display:block;width:100%;min-width:38rem;height:auto}@media print{svg{min-width:0}}\
svg text{font-family:system-ui,sans-serif}.key{margin-right:1.2rem;white-space:nowrap}\
.key i{display:inline-block;width:2rem;border-top:3px solid;vertical-align:middle;margin-right:.4rem}\
.k0{border-color:var(--c0)!important}.k1{border-color:var(--c1)!important;border-top-style:dashed!important}\
.k7{border-color:var(--c1)!important}.k2{border-color:var(--c2)!important}.k3{border-color:var(--c3)!important;border-top-style:dotted!important}\
.k4{border-color:var(--c4)!important;border-top-style:dashed!important}.k5{border-color:var(--c5)!important}\
.k6{border-color:var(--c6)!important;border-top-style:dotted!important}\
[fill='#1B1F24']{fill:var(--ink)}[stroke='#1B1F24']{stroke:var(--ink)}\
[fill='#57606A']{fill:var(--muted)}[stroke='#57606A']{stroke:var(--muted)}\
[stroke='#D0D7DE']{stroke:var(--grid)}\
[stroke='#0072B2']{stroke:var(--c0)}[stroke='#D55E00']{stroke:var(--c1);stroke-dasharray:7 2}\
[stroke='#009E73']{stroke:var(--c2)}[stroke='#CC79A7']{stroke:var(--c3);stroke-dasharray:2 2}\
[stroke='#E69F00']{stroke:var(--c4);stroke-dasharray:9 3}[stroke='#56B4E9']{stroke:var(--c5)}\
[stroke='#808080']{stroke:var(--c6);stroke-dasharray:3 3}\
[stroke='#D55E01']{stroke:var(--c1)}[fill='#0072B2']{fill:var(--c0)}[fill='#D55E00']{fill:var(--c1)}[fill='#009E73']{fill:var(--c2)}\
[fill='#CC79A7']{fill:var(--c3)}[fill='#E69F00']{fill:var(--c4)}[fill='#56B4E9']{fill:var(--c5)}\
[fill='#808080']{fill:var(--c6)}";

/// A whole page.
pub(super) fn whole(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

/// Which line is which.
pub(super) fn key(lines: &[(usize, &str)]) -> Markup {
    html! {
        div {
            @for (colour, name) in lines {
                span class="key" { i class=(format!("k{}", colour % COLOURS.len())) {} (name) }
            }
        }
    }
}
