//! The rules for Prometheus name only what exists, tell people what to do, and are all played.

use super::boards::{Words, arrived, known, series};
use serde_json::Value;
use serin::publish::names::NAMES;
use std::collections::BTreeSet;
use std::path::Path;

/// As they are written.
const RULES: &str = include_str!("../../dashboards/rules.yaml");
/// What stands above those for OTLP.
const OTLP: &str = "# rules.yaml with the names that Prometheus has for what came through OTLP. Made of it:\n# SERIN_WRITE=1 cargo test --release --test publish rules\n";

fn document(text: &str) -> Value {
    serde_saphyr::from_str(text).expect("YAML")
}

fn rules() -> Vec<Value> {
    let document = document(RULES);
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

/// The rules with the names that OTLP brings.
fn through_otlp() -> String {
    let begins =
        |line: &str| ["- alert:", "- record:"].iter().any(|each| line.trim_start().starts_with(each));
    let (_, body) = RULES.split_once("\ngroups:").expect("what stands above the groups");
    let whole = format!("groups:{body}");
    let mut rules = vec![Vec::new()];
    for line in whole.lines() {
        if begins(line) {
            rules.push(Vec::new());
        }
        rules.last_mut().expect("there is one").push(line);
    }
    let lines: Vec<String> = rules.iter().flat_map(|rule| rule_through_otlp(rule)).collect();
    format!("{OTLP}{}\n", lines.join("\n"))
}

/// One rule, or what stands above the first: its expression, and what its texts say of that.
fn rule_through_otlp(lines: &[&str]) -> Vec<String> {
    let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let begin = lines.iter().position(|line| line.trim_start().starts_with("expr:"));
    let Some(begin) = begin else { return owned(lines) };
    let after = lines.iter().skip(begin + 1);
    let end = begin + 1 + after.take_while(|line| indent(line) > indent(lines[begin])).count();
    let mut words = Words::through_otlp();
    let expression = words.plain(&lines[begin..end].join("\n"));
    let texts = lines[end..].iter().map(|line| said_through_otlp(line, &words));
    owned(&lines[..begin]).into_iter().chain([expression]).chain(texts).collect()
}

/// A line of a rule's texts: labels, and figures in backticks.
fn said_through_otlp(line: &str, words: &Words) -> String {
    let mut parts = line.split("$labels.");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (label, rest) = part.split_once(' ').expect("a space ends a label");
        out = format!("{out}$labels.{} {rest}", words.label(label));
    }
    for name in NAMES.iter().filter(|name| name.prometheus != arrived(name)) {
        out = out.replace(&format!("`{}", name.prometheus), &format!("`{}", arrived(name)));
    }
    out
}

#[test]
fn the_rules_for_otlp_are_the_same_rules() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/rules-otlp.yaml");
    let wants = through_otlp();
    if std::env::var_os("SERIN_WRITE").is_some() {
        std::fs::write(&path, &wants).expect("it can be written");
    }
    let found = std::fs::read_to_string(&path).expect("the file");
    assert_eq!(found, wants, "run it with SERIN_WRITE=1, and look at what changed");
    let known: BTreeSet<String> = NAMES.iter().map(arrived).collect();
    let groups = document(&found);
    let groups = groups["groups"].as_array().expect("groups");
    let all: Vec<&Value> =
        groups.iter().flat_map(|group| group["rules"].as_array().expect("rules")).collect();
    assert_eq!(all.len(), rules().len());
    for (here, there) in all.into_iter().zip(rules()) {
        for key in ["alert", "record", "for", "labels"] {
            assert_eq!(here[key], there[key]);
        }
        for name in series(here["expr"].as_str().expect("an expression")) {
            let attribute =
                NAMES.iter().any(|each| each.labels.iter().any(|label| label.otlp.replace('.', "_") == name));
            assert!(known.contains(name) || attribute, "{name} in {here}");
        }
    }
}
