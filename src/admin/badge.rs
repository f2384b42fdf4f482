//! A badge a service: how it stands, as a picture that a README or a wiki can show.

use super::{Desk, Shared, Shown, refusal};
use crate::model::policy::Mode;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Pixels of a letter. `textLength` makes the text as wide as is reckoned, whatever the font.
const LETTER: usize = 7;
/// Left and right of a text.
const MARGIN: usize = 6;

const GREEN: &str = "#2a7d3c";
const AMBER: &str = "#9a6700";
const RED: &str = "#b3261e";
const GREY: &str = "#57606a";

/// `GET /badge/SERVICE.svg`
pub(super) async fn badge(State((board, _)): Shared, Path(file): Path<String>) -> Response {
    let found = file.strip_suffix(".svg").and_then(|name| Some((name, board.services.get(name)?)));
    let Some((name, desk)) = found else {
        let names: Vec<String> = board.services.names().iter().map(|name| format!("{name}.svg")).collect();
        return refusal(
            StatusCode::NOT_FOUND,
            &format!("no badge {file:?}; there are: {}", names.join(", ")),
        );
    };
    let (word, colour) = stands(&desk, &desk.read());
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache, max-age=0"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, svg(name, word, colour)).into_response()
}

/// In a word, the worst first.
fn stands(desk: &Desk, shown: &Shown) -> (&'static str, &'static str) {
    let Some(status) = &shown.status else { return ("starting", GREY) };
    let word = shown.verdict.as_ref().map(|(word, _)| *word);
    match word {
        _ if status.needs_human.is_some() => ("needs a person", RED),
        Some("bad") => ("bad", RED),
        _ if status.latched == Some("reverted") => ("reverted", AMBER),
        _ if status.latched.is_some() => ("latched", AMBER),
        Some("blind") => ("blind", GREY),
        _ if desk.mode() == Mode::Act && !status.armed => ("not armed", AMBER),
        Some("good") if status.armed => ("good, armed", GREEN),
        Some("good") => ("good", GREEN),
        _ if status.armed => ("armed", GREEN),
        _ => ("watching", GREY),
    }
}

/// White on grey and on `colour`: both have a contrast of at least 4.5 to 1.
fn svg(name: &str, word: &str, colour: &str) -> String {
    let (left, right) = (name.chars().count() * LETTER, word.chars().count() * LETTER);
    let (split, width) = (left + 2 * MARGIN, left + right + 4 * MARGIN);
    let name = quick_xml::escape::escape(name);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"20\" role=\"img\" aria-label=\"{name}: {word}\">\
<title>{name}: {word}</title>\
<rect width=\"{split}\" height=\"20\" fill=\"#333b44\"/>\
<rect x=\"{split}\" width=\"{}\" height=\"20\" fill=\"{colour}\"/>\
<g fill=\"#fff\" font-family=\"Verdana,DejaVu Sans,sans-serif\" font-size=\"11\">\
<text x=\"{MARGIN}\" y=\"14\" textLength=\"{left}\">{name}</text>\
<text x=\"{}\" y=\"14\" textLength=\"{right}\">{word}</text>\
</g></svg>\n",
        width - split,
        split + MARGIN,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_out_of_the_picture() {
        let text = svg("a<b>&\"c", "good", GREEN);
        assert!(text.contains("<title>a&lt;b&gt;&amp;&quot;c: good</title>"), "{text}");
        assert!(text.contains("width=\"101\"") && text.matches("<text").count() == 2, "{text}");
    }
}
