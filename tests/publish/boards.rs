//! The dashboards: one source, and what is made of it for each way in which the figures arrive.
//!
//! `SERIN_WRITE=1 cargo test --release --test publish boards` writes the files of `dashboards/grafana`; without it they must be
//! what the source makes, so what [`lint`] says of the source holds for them. A board says what it shows ([`source`]) in names of `/metrics`; [`promql`] puts them into the words of a
//! dialect, by the catalogue, and [`grafana`] into a file.

mod fleet;
mod grafana;
mod health;
mod lint;
mod looks;
mod promql;
mod release;
mod service;
mod source;

pub(crate) use lint::{known, series};
pub(crate) use promql::{Words, arrived};

use serde_json::Value;
use serin::publish::names::CLOUDWATCH;
use source::Board;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How the figures arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// Prometheus scrapes `/metrics`.
    Metrics,
    /// OTLP brings them to Prometheus.
    Otlp,
    /// `CloudWatch` has them.
    CloudWatch,
}

impl Dialect {
    const ALL: [Self; 3] = [Self::Metrics, Self::Otlp, Self::CloudWatch];

    const fn folder(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Otlp => "otlp",
            Self::CloudWatch => "cloudwatch",
        }
    }

    /// What tells the titles apart.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Metrics => "",
            Self::Otlp => " (OTLP)",
            Self::CloudWatch => " (CloudWatch)",
        }
    }

    /// Grafana's kind of data source.
    const fn source(self) -> &'static str {
        match self {
            Self::Metrics | Self::Otlp => "prometheus",
            Self::CloudWatch => "cloudwatch",
        }
    }
}

fn boards() -> [Board; 4] {
    [fleet::board(), service::board(), release::board(), health::board()]
}

/// Grafana's name for the unit of a figure of `CloudWatch`.
fn cloudwatch_unit(metric: &str) -> &'static str {
    let row = CLOUDWATCH.iter().find(|row| row.name == metric);
    match row.unwrap_or_else(|| panic!("CloudWatch has no {metric}")).unit {
        "Percent" => "percent",
        "Milliseconds" => "ms",
        "Count" => "short",
        _ => "none",
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/grafana")
}

/// Each file as the source makes it.
fn made() -> BTreeMap<PathBuf, String> {
    let text = |value: &Value| serde_json::to_string_pretty(value).expect("JSON") + "\n";
    dashboards().into_iter().map(|(_, file, value)| (folder().join(file), text(&value))).collect()
}

/// Each file as it is committed.
fn committed() -> BTreeMap<PathBuf, String> {
    let folders = std::fs::read_dir(folder()).expect("the folder");
    let files = folders.flat_map(|folder| {
        std::fs::read_dir(folder.expect("an entry").path()).expect("a folder for each dialect")
    });
    let paths = files.map(|file| file.expect("an entry").path());
    paths.map(|path| (path.clone(), std::fs::read_to_string(path).expect("text"))).collect()
}

/// Each dashboard with its dialect and its file's name.
fn dashboards() -> Vec<(Dialect, String, Value)> {
    let boards = boards();
    let each = Dialect::ALL.into_iter().flat_map(|dialect| boards.iter().map(move |board| (dialect, board)));
    each.map(|(dialect, board)| {
        let file = format!("{}/{}.json", dialect.folder(), board.name);
        (dialect, file, grafana::dashboard(board, dialect, &boards))
    })
    .collect()
}

#[test]
fn the_files_are_what_the_source_makes() {
    let made = made();
    if std::env::var_os("SERIN_WRITE").is_some() {
        for (path, text) in &made {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
            std::fs::write(path, text).expect("it can be written");
        }
    }
    let committed = committed();
    assert_eq!(
        committed.keys().collect::<Vec<_>>(),
        made.keys().collect::<Vec<_>>(),
        "no file is left over or missing"
    );
    for (path, text) in made {
        assert!(
            committed[&path] == text,
            "{}: run it with SERIN_WRITE=1, look at what changed",
            path.display()
        );
    }
}
