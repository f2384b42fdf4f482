//! The dashboard names only what exists, and keeps the rules of Grafana's linter.

use serde_json::Value;
use serin::publish::names::{Kind, NAMES};
use std::collections::BTreeSet;

fn dashboard() -> Value {
    serde_json::from_str(include_str!("../../dashboards/serin.json")).expect("JSON")
}

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
    let of_annotations = list(dashboard, "/annotations/list").iter().filter(|each| each["expr"].is_string());
    of_panels.chain(of_annotations).map(|each| text(each, "/expr")).collect()
}

/// The names of series, `serin_…`, in `expression`.
pub(super) fn series(expression: &str) -> Vec<&str> {
    let is_part = |each: char| each.is_ascii_lowercase() || each.is_ascii_digit() || each == '_';
    expression.split(|each| !is_part(each)).filter(|word| word.starts_with("serin_")).collect()
}

/// What Prometheus has for the catalogue.
pub(super) fn known() -> BTreeSet<String> {
    let suffixes = |kind| if kind == Kind::Histogram { &["_bucket", "_sum", "_count"][..] } else { &[""] };
    NAMES
        .iter()
        .flat_map(|name| suffixes(name.kind).iter().map(|suffix| format!("{}{suffix}", name.prometheus)))
        .collect()
}

#[test]
fn every_series_of_the_dashboard_is_in_the_catalogue() {
    let (dashboard, known) = (dashboard(), known());
    let mut named = 0;
    let variables = list(&dashboard, "/templating/list").iter().map(|each| text(each, "/definition"));
    for expression in expressions(&dashboard).into_iter().chain(variables) {
        for name in series(expression) {
            named += 1;
            assert!(known.contains(name), "{name} in {expression}");
        }
    }
    assert!(named > 20, "the search found only {named}");
}

#[test]
fn no_figure_of_the_catalogue_is_left_out() {
    let dashboard = dashboard();
    let shown: BTreeSet<&str> = expressions(&dashboard).into_iter().flat_map(series).collect();
    for name in &NAMES {
        // Service time is for whoever compares it with the response time, by hand.
        let is_shown = shown.iter().any(|series| series.starts_with(name.prometheus));
        assert!(
            is_shown || name.prometheus == "serin_probe_service_seconds",
            "{} is shown nowhere",
            name.prometheus
        );
    }
}

#[test]
fn the_dashboard_is_templated_and_can_t_be_edited() {
    let dashboard = dashboard();
    assert_eq!(dashboard["editable"], false);
    let variables = list(&dashboard, "/templating/list");
    let find = |name: &str| variables.iter().find(|each| text(each, "/name") == name).expect("a variable");
    let source = find("datasource");
    assert_eq!((text(source, "/type"), text(source, "/query")), ("datasource", "prometheus"));
    assert_eq!(text(source, "/label"), "Data source");
    for name in ["job", "instance", "service"] {
        let variable = find(name);
        assert_eq!(text(variable, "/type"), "query", "{name}");
        assert_eq!(text(variable, "/datasource/uid"), "${datasource}", "{name}");
        assert_eq!(text(variable, "/allValue"), ".+", "{name}");
        assert_eq!(variable["multi"], true, "{name}");
        assert_eq!(variable["refresh"], 2, "{name} follows the time range");
        assert!(text(variable, "/label").eq_ignore_ascii_case(name), "{name}");
    }
}

#[test]
fn every_panel_has_a_title_a_description_a_unit_and_a_place() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    for panel in list(&dashboard, "/panels") {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{panel}");
        let (x, width) = (panel["gridPos"]["x"].as_u64(), panel["gridPos"]["w"].as_u64());
        assert!(x.zip(width).is_some_and(|(x, width)| x + width <= 24), "{panel}");
    }
    for panel in panels(&dashboard) {
        let title = text(panel, "/title");
        assert!(!title.is_empty(), "{panel}");
        assert!(text(panel, "/description").ends_with('.'), "{title}");
        assert!(!text(panel, "/fieldConfig/defaults/unit").is_empty(), "{title}");
        assert_eq!(text(panel, "/datasource/uid"), "${datasource}", "{title}");
        assert!(!list(panel, "/targets").is_empty(), "{title}");
        for target in list(panel, "/targets") {
            assert_eq!(text(target, "/datasource/uid"), "${datasource}", "{title}");
            assert!(!text(target, "/legendFormat").is_empty(), "{title}");
        }
    }
}

#[test]
fn every_expression_is_matched_aggregated_and_balanced() {
    let dashboard = dashboard();
    for expression in expressions(&dashboard) {
        let count = |part: &str| expression.matches(part).count();
        let selectors = series(expression).len();
        assert_eq!(count(r#"job=~"$job""#), selectors, "{expression}");
        assert_eq!(count(r#"instance=~"$instance""#), selectors, "{expression}");
        assert_eq!(count("("), count(")"), "{expression}");
        assert_eq!(count("{"), count("}"), "{expression}");
        let counts =
            series(expression).iter().any(|name| name.ends_with("_total") || name.ends_with("_bucket"));
        if counts {
            assert!(count("sum by (") > 0, "a counter is aggregated: {expression}");
            assert!(count("rate(") + count("increase(") > 0, "a counter is a rate: {expression}");
        }
        let ranges = count("[$__rate_interval]") + count("[$__range]");
        assert_eq!(count("["), ranges, "no range is fixed: {expression}");
    }
}

#[test]
fn breaches_and_reverts_are_annotated_by_query() {
    let dashboard = dashboard();
    let annotations = list(&dashboard, "/annotations/list");
    for name in ["serin_breaches_total", "serin_reverts_total", "serin_epoch"] {
        let found = annotations.iter().any(|each| text(each, "/expr").contains(name));
        assert!(found, "{name}");
    }
}
