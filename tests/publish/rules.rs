//! The rules for Prometheus name only what exists, tell people what to do, and are all played.

use super::boards::{known, series};
use serde_json::Value;
use std::collections::BTreeSet;

fn document(text: &str) -> Value {
    serde_saphyr::from_str(text).expect("YAML")
}

fn rules() -> Vec<Value> {
    let document = document(include_str!("../../dashboards/rules.yaml"));
    let groups = document["groups"].as_array().expect("groups");
    groups.iter().flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

fn names(key: &str) -> BTreeSet<String> {
    rules().iter().filter_map(|rule| rule[key].as_str().map(str::to_owned)).collect()
}

#[test]
fn every_series_of_the_rules_is_in_the_catalogue() {
    let known = known();
    for rule in rules() {
        let named = series(rule["expr"].as_str().expect("an expression"));
        assert!(!named.is_empty(), "{rule}");
        for name in named {
            assert!(known.contains(name), "{name} in {rule}");
        }
    }
}

#[test]
fn every_alert_says_what_it_is_and_how_much_it_matters() {
    assert!(names("alert").len() > 10);
    for alert in rules().iter().filter(|rule| rule["alert"].is_string()) {
        let severity = alert["labels"]["severity"].as_str().unwrap_or_default();
        assert!(["page", "ticket"].contains(&severity), "{alert}");
        assert!(alert["annotations"]["summary"].as_str().is_some_and(|text| !text.ends_with('.')), "{alert}");
        let description = alert["annotations"]["description"].as_str();
        assert!(description.is_some_and(|text| text.ends_with('.')), "{alert}");
    }
}

/// `promtool test rules` plays them; that none is left out of the play is held here.
#[test]
fn every_rule_has_a_play_in_which_it_speaks() {
    let plays = document(include_str!("../../dashboards/rules_test.yaml"));
    let tests = plays["tests"].as_array().expect("tests");
    let each = |list: &'static str| tests.iter().filter_map(move |test| test[list].as_array()).flatten();
    let spoken: BTreeSet<String> = each("alert_rule_test")
        .filter(|test| test["exp_alerts"].is_array())
        .map(|test| test["alertname"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(spoken, names("alert"));
    let recorded: BTreeSet<String> = each("promql_expr_test")
        .map(|test| test["expr"].as_str().expect("an expression").to_owned())
        .collect();
    assert_eq!(recorded, names("record"));
}
