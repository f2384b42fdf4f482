//! What holds for every dashboard: the rules of Grafana's dashboard linter, and ours.

use super::promql::arrived;
use super::{Dialect, dashboards};
use serde_json::Value;
use serin::publish::names::{CLOUDWATCH, Kind, NAMES};
use std::collections::{BTreeMap, BTreeSet};

/// The units of Grafana that ours are of (its `valueFormats/categories.ts` has them all).
const UNITS: [&str; 9] =
    ["none", "short", "percent", "percentunit", "s", "ms", "reqps", "bytes", "dateTimeFromNow"];

fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    value.pointer(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// The panels that show something.
fn panels(dashboard: &Value) -> Vec<&Value> {
    list(dashboard, "/panels").iter().filter(|panel| text(panel, "/type") != "row").collect()
}

/// Every `PromQL` expression of panels and annotations.
fn expressions(dashboard: &Value) -> Vec<&str> {
    let of_panels = panels(dashboard).into_iter().flat_map(|panel| list(panel, "/targets"));
    let of_annotations =
        list(dashboard, "/annotations/list").iter().filter(|each| each["target"].is_object());
    let all = of_panels.map(|each| text(each, "/expr"));
    all.chain(of_annotations.map(|each| text(each, "/target/expr"))).filter(|each| !each.is_empty()).collect()
}

/// Those of variables.
fn definitions(dashboard: &Value) -> impl Iterator<Item = &str> {
    list(dashboard, "/templating/list").iter().map(|each| text(each, "/definition"))
}

/// What stands before a selector in `expression`: the series that it asks for.
fn selected(expression: &str) -> Vec<&str> {
    let is_part = |each: char| each.is_ascii_alphanumeric() || each == '_';
    let ends = expression.match_indices('{').map(|(at, _)| &expression[..at]);
    ends.map(|before| &before[before.rfind(|each| !is_part(each)).map_or(0, |at| at + 1)..]).collect()
}

/// The names of series, `serin_…`, in `expression`.
pub(crate) fn series(expression: &str) -> Vec<&str> {
    let is_part = |each: char| each.is_ascii_lowercase() || each.is_ascii_digit() || each == '_';
    expression.split(|each| !is_part(each)).filter(|word| word.starts_with("serin_")).collect()
}

/// What Prometheus has for the catalogue when it scrapes `/metrics`.
pub(crate) fn known() -> BTreeSet<String> {
    let suffixes =
        |kind| if kind == Kind::Histogram { &["", "_bucket", "_sum", "_count"][..] } else { &[""] };
    NAMES
        .iter()
        .flat_map(|name| suffixes(name.kind).iter().map(|suffix| format!("{}{suffix}", name.prometheus)))
        .collect()
}

/// The series of `dialect`.
fn series_of(dialect: Dialect) -> BTreeSet<String> {
    match dialect {
        Dialect::Metrics => known(),
        Dialect::Otlp => NAMES.iter().map(arrived).collect(),
        Dialect::CloudWatch => BTreeSet::new(),
    }
}

/// Of Prometheus, in either way.
fn of_prometheus() -> Vec<(Dialect, String, Value)> {
    let all = dashboards();
    let found: Vec<_> = all.into_iter().filter(|(dialect, ..)| *dialect != Dialect::CloudWatch).collect();
    assert_eq!(found.len(), 8);
    found
}

#[test]
fn every_series_is_in_the_catalogue() {
    let mut asked: BTreeMap<&str, usize> = BTreeMap::new();
    for (dialect, file, dashboard) in of_prometheus() {
        let known = series_of(dialect);
        for expression in expressions(&dashboard).into_iter().chain(definitions(&dashboard)) {
            for name in selected(expression).into_iter().filter(|name| !name.is_empty()) {
                assert!(known.contains(name), "{file}: {name} in {expression}");
                *asked.entry(dialect.folder()).or_default() += 1;
            }
        }
    }
    assert!(asked.values().all(|count| *count > 80), "the search found too few: {asked:?}");
}

#[test]
fn no_figure_of_the_catalogue_is_left_out() {
    for dialect in [Dialect::Metrics, Dialect::Otlp] {
        let mut shown = BTreeSet::new();
        for (_, _, dashboard) in of_prometheus().into_iter().filter(|(each, ..)| *each == dialect) {
            shown.extend(expressions(&dashboard).into_iter().flat_map(selected).map(str::to_owned));
        }
        for name in &NAMES {
            let own = if dialect == Dialect::Otlp { arrived(name) } else { name.prometheus.to_owned() };
            assert!(shown.contains(&own), "{own} is shown nowhere");
        }
    }
    let mut shown = BTreeSet::new();
    for (_, _, dashboard) in dashboards().into_iter().filter(|(each, ..)| *each == Dialect::CloudWatch) {
        for panel in panels(&dashboard) {
            shown.extend(list(panel, "/targets").iter().map(|target| text(target, "/metricName").to_owned()));
        }
    }
    for name in &CLOUDWATCH {
        assert!(shown.contains(name.name), "{} is shown nowhere", name.name);
    }
}

/// Rules template-datasource, template-job, template-instance, template-label-promql, template-on-time-change-reload and
/// template-unused.
#[test]
fn the_data_source_and_everything_else_that_can_be_chosen_is_a_variable() {
    for (dialect, file, dashboard) in dashboards() {
        let variables = list(&dashboard, "/templating/list");
        let find = |name: &str| variables.iter().find(|each| text(each, "/name") == name);
        let source = find("datasource").expect("a data source");
        assert_eq!(
            (text(source, "/type"), text(source, "/query")),
            ("datasource", dialect.source()),
            "{file}"
        );
        assert_eq!(text(source, "/label"), "Data source", "{file}");
        let needed: &[&str] = match dialect {
            Dialect::CloudWatch => &["region", "namespace", "service"],
            _ => &["job", "instance", "service"],
        };
        for name in needed {
            let variable = find(name).unwrap_or_else(|| panic!("{file}: {name}"));
            assert!(text(variable, "/label").eq_ignore_ascii_case(name), "{file}: {name}");
        }
        let whole = panels(&dashboard).iter().map(|panel| panel["targets"].to_string()).collect::<String>();
        for variable in variables {
            let name = text(variable, "/name");
            let used = whole.contains(&format!("${name}"));
            assert!(used || name == "datasource", "{file}: ${name} is used by no panel");
            if text(variable, "/type") != "query" {
                continue;
            }
            assert_eq!(text(variable, "/datasource/uid"), "${datasource}", "{file}: {name}");
            assert_eq!(variable["refresh"], 2, "{file}: {name} follows the time range");
            assert_eq!(variable["multi"], variable["includeAll"], "{file}: {name}");
            if ["job", "instance"].contains(&name) {
                assert_eq!((text(variable, "/allValue"), &variable["multi"]), (".+", &Value::Bool(true)));
            }
            if dialect != Dialect::CloudWatch {
                let definition = text(variable, "/definition");
                assert!(definition.starts_with("label_values("), "{file}: {definition}");
                assert_eq!(text(variable, "/query/query"), definition, "{file}: {name}");
            }
        }
    }
}

/// Rules panel-title-description, panel-units, panel-datasource, panel-no-targets; and a place of its own.
#[test]
fn every_panel_has_a_title_a_description_a_unit_and_a_place_of_its_own() {
    for (_, file, dashboard) in dashboards() {
        let mut ids = BTreeSet::new();
        let mut taken = BTreeMap::new();
        for panel in list(&dashboard, "/panels") {
            let title = text(panel, "/title");
            assert!(!title.is_empty(), "{file}: {panel}");
            assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{file}: {title}");
            let place = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
            let (x, y, w, h) = (place("x"), place("y"), place("w"), place("h"));
            assert!(w > 0 && h > 0 && x + w <= 24, "{file}: {title}");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                let other = taken.insert(cell, title);
                assert_eq!(other, None, "{file}: {title} lies on it");
            }
        }
        for panel in panels(&dashboard) {
            let title = text(panel, "/title");
            assert!(text(panel, "/description").ends_with('.'), "{file}: {title}");
            assert!(UNITS.contains(&text(panel, "/fieldConfig/defaults/unit")), "{file}: {title}");
            assert_eq!(text(panel, "/datasource/uid"), "${datasource}", "{file}: {title}");
            assert!(!list(panel, "/targets").is_empty(), "{file}: {title}");
            let mut refs = BTreeSet::new();
            for target in list(panel, "/targets") {
                assert!(refs.insert(text(target, "/refId")), "{file}: {title}");
                assert_eq!(target["datasource"], panel["datasource"], "{file}: {title}");
                let called = [text(target, "/legendFormat"), text(target, "/label")];
                assert!(called.iter().any(|name| !name.is_empty()), "{file}: {title}");
            }
        }
    }
}

/// Rules target-job, target-instance, target-rate-interval, target-counter-agg and target-histogram. That each is `PromQL` is
/// seen where a real Prometheus runs it.
#[test]
fn every_expression_is_matched_aggregated_and_rated() {
    for (dialect, file, dashboard) in of_prometheus() {
        for expression in expressions(&dashboard) {
            let count = |part: &str| expression.matches(part).count();
            let selectors = selected(expression).len();
            assert_eq!(count(r#"job=~"$job""#), selectors, "{file}: {expression}");
            assert_eq!(count(r#"instance=~"$instance""#), selectors, "{file}: {expression}");
            assert_eq!(count("("), count(")"), "{file}: {expression}");
            let ranges = count("[$__rate_interval]") + count("[$__range]");
            assert_eq!(count("["), ranges, "{file}: no range is fixed: {expression}");
            let calls = expression.split(" (rate(").skip(1).filter_map(|part| part.split_once('['));
            for (_, range) in calls {
                assert!(range.starts_with("$__rate_interval]"), "{file}: {expression}");
            }
            for name in selected(expression) {
                let rated = ["rate(", "increase("].iter().any(|call| count(&format!("{call}{name}{{")) > 0);
                assert!(rated || !name.ends_with("_total"), "{file}: {name} is a counter: {expression}");
                let histogram = NAMES.iter().any(|each| {
                    let own =
                        if dialect == Dialect::Otlp { arrived(each) } else { each.prometheus.to_owned() };
                    each.kind == Kind::Histogram && (name == own || name == format!("{own}_bucket"))
                });
                assert_eq!(histogram, count("histogram_quantile(") > 0, "{file}: {expression}");
            }
            let aggregated = ["sum", "max", "min", "count"].iter().any(|each| count(each) > 0);
            assert!(aggregated || selectors == 0, "{file}: {expression}");
        }
    }
}

/// A legend that names a label which its question drops shows nothing there.
#[test]
fn every_legend_names_labels_that_its_question_keeps() {
    for (_, file, dashboard) in of_prometheus() {
        let legends = panels(&dashboard).into_iter().flat_map(|panel| list(panel, "/targets"));
        let legends = legends.map(|target| (text(target, "/expr"), text(target, "/legendFormat")));
        let marks = list(&dashboard, "/annotations/list").iter();
        let marks = marks.map(|each| (text(each, "/target/expr"), text(each, "/textFormat")));
        for (expression, legend) in legends.chain(marks) {
            for label in legend.split("{{").skip(1).filter_map(|part| Some(part.split_once("}}")?.0)) {
                let kept = expression.split("by (").skip(1).filter_map(|part| Some(part.split_once(')')?.0));
                let kept: Vec<_> = kept.map(|by| by.split(", ").collect::<BTreeSet<_>>()).collect();
                assert!(
                    !kept.is_empty() && kept.iter().all(|by| by.contains(label)),
                    "{file}: {label} of {expression}"
                );
            }
        }
    }
}

#[test]
fn every_question_to_cloudwatch_is_for_a_figure_that_is_sent_with_these_dimensions() {
    let mut asked = 0;
    for (_, file, dashboard) in dashboards().into_iter().filter(|(each, ..)| *each == Dialect::CloudWatch) {
        for target in panels(&dashboard).into_iter().flat_map(|panel| list(panel, "/targets")) {
            asked += 1;
            let name = text(target, "/metricName");
            let row =
                CLOUDWATCH.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("{file}: {name}"));
            let dimensions: Vec<&str> =
                target["dimensions"].as_object().expect("dimensions").keys().map(String::as_str).collect();
            assert!(
                dimensions == ["Service"] || dimensions == ["Service", "Target"] && row.by_target,
                "{file}: {name}"
            );
            let statistic = text(target, "/statistic");
            let plain = ["Average", "Maximum", "Sum"].contains(&statistic);
            assert!(
                plain || row.name == "Latency" && statistic.starts_with('p'),
                "{file}: {name} {statistic}"
            );
            // A count is summed up, a level never.
            assert_eq!(statistic == "Sum", row.unit == "Count", "{file}: {name} {statistic}");
        }
    }
    assert!(asked > 20, "{asked}");
}

/// Rules uneditable-dashboard; and links that lead somewhere.
#[test]
fn every_dashboard_is_as_it_was_provisioned_and_knows_the_others() {
    let all = dashboards();
    let uids: BTreeSet<&str> = all.iter().map(|(.., dashboard)| text(dashboard, "/uid")).collect();
    assert_eq!(uids.len(), all.len(), "a uid is one dashboard's");
    let titles: BTreeSet<&str> = all.iter().map(|(.., dashboard)| text(dashboard, "/title")).collect();
    assert_eq!(titles.len(), all.len());
    for (dialect, file, dashboard) in &all {
        assert_eq!(dashboard["editable"], false, "{file}");
        assert!(text(dashboard, "/uid").len() <= 40, "{file}: Grafana's limit");
        assert!(text(dashboard, "/description").ends_with('.'), "{file}");
        assert_eq!(list(dashboard, "/links").len(), 3, "{file}");
        let whole = dashboard.to_string();
        let mut linked = 0;
        for uid in whole.split("\"/d/").skip(1).filter_map(|part| part.split(['"', '?']).next()) {
            assert!(uids.contains(uid) && uid.ends_with(dialect.folder()), "{file}: {uid}");
            linked += 1;
        }
        let deeper = file.contains("fleet") || file.contains("service");
        assert!(if deeper { linked > 5 } else { linked == 3 }, "{file}: {linked}");
    }
}

#[test]
fn breaches_and_reverts_are_marked_where_releases_are_shown() {
    for (dialect, file, dashboard) in of_prometheus() {
        let marks = list(&dashboard, "/annotations/list");
        let events = ["serin_breaches_total", "serin_reverts_total", "serin_epoch", "serin_verdict"];
        for name in events {
            let found = marks.iter().any(|each| text(each, "/target/expr").contains(name));
            assert_eq!(found, !file.contains("health"), "{file}: {name} {dialect:?}");
        }
    }
}

#[test]
fn grafana_is_told_to_read_them_from_where_the_documents_put_them() {
    let read = |file: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards").join(file);
        std::fs::read_to_string(path).expect("a file")
    };
    let document = |file: &str| -> Value { serde_saphyr::from_str(&read(file)).expect("YAML") };
    let provider = document("provisioning/dashboards/serin.yaml");
    let sources = document("provisioning/datasources/serin.yaml");
    assert_eq!((&provider["apiVersion"], &sources["apiVersion"]), (&Value::from(1), &Value::from(1)));
    let path = text(&provider, "/providers/0/options/path");
    let readme = read("README.md");
    assert!(readme.contains(&format!("dashboards/grafana:{path}:ro")), "{path}");
    assert_eq!(provider["providers"][0]["options"]["foldersFromFilesStructure"], true);
    assert_eq!(provider["providers"][0]["allowUiUpdates"], false, "they can't be edited either");
    let kinds: BTreeSet<&str> =
        list(&sources, "/datasources").iter().map(|each| text(each, "/type")).collect();
    assert_eq!(kinds, Dialect::ALL.map(Dialect::source).into_iter().collect());
    let given = sources.to_string();
    for variable in given.split('$').skip(1) {
        let name = variable.split(|each: char| !each.is_ascii_uppercase() && each != '_').next();
        assert!(name.is_some_and(|name| readme.contains(&format!("-e {name}="))), "{name:?}");
    }
}
