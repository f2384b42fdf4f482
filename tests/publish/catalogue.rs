//! The table of all figures in `dashboards/README.md` is the catalogue's.

use super::boards::arrived;
use serin::publish::names::aliases::{ALIASES, instance};
use serin::publish::names::{CLOUDWATCH, Kind, NAMES, Name};
use std::fmt::Write;
use std::path::Path;

const BEGIN: &str =
    "<!-- the catalogue begins: SERIN_WRITE=1 cargo test --release --test publish catalogue -->\n";
const END: &str = "<!-- the catalogue ends -->\n";

const fn kind(name: &Name) -> &'static str {
    match name.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
        Kind::Info => "info",
    }
}

/// All tables.
fn tables() -> String {
    let mut text = String::from(
        "| Prometheus | OTLP | in Prometheus, through OTLP | kind, unit | labels (OTLP attributes) | meaning |\n|---|---|---|---|---|---|\n",
    );
    for name in &NAMES {
        let labels: Vec<String> =
            name.labels.iter().map(|label| format!("`{}` (`{}`)", label.prometheus, label.otlp)).collect();
        let unit = if name.unit == "1" { "" } else { name.unit };
        let kind = [kind(name), unit].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        let (prometheus, otlp, meaning) = (name.prometheus, name.otlp, name.meaning);
        let (kind, labels, arrived) = (kind.join(", "), labels.join(", "), arrived(name));
        let _ = writeln!(text, "| `{prometheus}` | `{otlp}` | `{arrived}` | {kind} | {labels} | {meaning} |");
    }
    text.push_str("\n| alias on `/metrics` | over OTLP | unit | labels beside `service` and `target` | series a URL | meaning |\n|---|---|---|---|---|---|\n");
    for name in &ALIASES {
        let all = [instance(name.peer)].into_iter().chain(name.labels.iter().copied());
        let labels = all.map(|label| format!("`{}`", label.prometheus));
        let labels = labels.collect::<Vec<_>>().join(", ");
        let otlp = name.otlp.map_or_else(String::new, |otlp| format!("`{otlp}`"));
        let unit = if name.unit == "1" { "" } else { name.unit };
        let (prometheus, series, meaning) = (name.prometheus, name.series, name.meaning);
        let _ = writeln!(text, "| `{prometheus}` | {otlp} | {unit} | {labels} | {series} | {meaning} |");
    }
    text.push_str("\n| CloudWatch | unit | dimensions | meaning |\n|---|---|---|---|\n");
    for name in &CLOUDWATCH {
        let dimensions = if name.by_target { "`Service`; `Service`, `Target`" } else { "`Service`" };
        let _ = writeln!(text, "| `{}` | {} | {dimensions} | {} |", name.name, name.unit, name.meaning);
    }
    text
}

#[test]
fn the_documents_have_every_figure_as_the_catalogue_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/README.md");
    let document = std::fs::read_to_string(&path).expect("the document");
    let (before, rest) = document.split_once(BEGIN).expect("the place where the tables begin");
    let (_, after) = rest.split_once(END).expect("the place where the tables end");
    let wants = format!("{before}{BEGIN}\n{}\n{END}{after}", tables());
    if std::env::var_os("SERIN_WRITE").is_some() {
        std::fs::write(&path, wants).expect("it can be written");
    } else {
        assert_eq!(document, wants, "run it with SERIN_WRITE=1, and look at what changed");
    }
}
