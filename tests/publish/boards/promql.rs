//! Expressions are written once, with the names of `/metrics` and without selectors; each dialect has them in its own names.

use super::Dialect;
use serin::publish::names::{Kind, Metric, NAMES, Name};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What a panel asks of Prometheus.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    /// `PromQL`, in which each figure stands for its series as far as the variables choose them.
    Expression(&'static str),
    /// A quantile of a histogram, by labels: it depends on how the histogram arrives.
    Quantile(&'static str, &'static str, &'static [&'static str]),
}

/// What Prometheus calls a figure that came through OTLP: the unit and the kind become suffixes, as the specification of
/// OpenTelemetry for Prometheus has it. That it does is seen in the end-to-end suite.
pub(crate) fn arrived(name: &Name) -> String {
    let mut words: Vec<&str> = name.otlp.split(['.', '_']).collect();
    let mut end = |word: &'static str| {
        words.retain(|each| *each != word);
        words.push(word);
    };
    match (name.unit, name.kind) {
        ("s", _) => end("seconds"),
        ("By", _) => end("bytes"),
        ("1", Kind::Gauge | Kind::Info) => end("ratio"),
        (unit, _) if unit.ends_with("/s") => words.extend(["per", "second"]),
        _ => {}
    }
    if name.kind == Kind::Counter {
        words.push("total");
    }
    words.join("_")
}

/// The name of `figure`'s label: an attribute's dots become underscores.
pub(super) fn label_of(dialect: Dialect, figure: &Name, label: &str) -> Option<String> {
    let found = figure.labels.iter().find(|each| each.prometheus == label)?;
    Some(match dialect {
        Dialect::Metrics => found.prometheus.to_owned(),
        _ => found.otlp.replace('.', "_"),
    })
}

pub(super) fn figure(word: &str) -> Option<&'static Name> {
    NAMES.iter().find(|name| name.prometheus == word)
}

/// One question in the words of one dialect, with the variables that a board has.
pub(crate) struct Words {
    dialect: Dialect,
    /// Whether targets can be chosen.
    targets: bool,
    /// What the labels that this question names are called.
    labels: BTreeMap<&'static str, String>,
}

impl Words {
    /// Those of Prometheus, where OTLP brings the figures.
    pub(crate) fn through_otlp() -> Self {
        Self::new(Dialect::Otlp, false)
    }

    pub(super) fn new(dialect: Dialect, targets: bool) -> Self {
        Self { dialect, targets, labels: BTreeMap::new() }
    }

    /// The question itself.
    pub(super) fn ask(&mut self, ask: &Ask) -> String {
        match ask {
            Ask::Expression(text) => {
                for (_, word) in words(text) {
                    self.learn(word);
                }
                self.expression(text)
            }
            Ask::Quantile(share, name, by) => {
                self.learn(name);
                let figure = figure(name).unwrap_or_else(|| panic!("{name} is no figure"));
                let by = self.expression(&by.join(", "));
                let own = self.selector(figure, "", "");
                let native =
                    format!("histogram_quantile({share}, sum by ({by}) (rate({own}[$__rate_interval])))");
                if self.dialect == Dialect::Otlp {
                    return native;
                }
                // Whichever of the two a scrape keeps: native buckets, or classic ones.
                let classic = self.selector(figure, "_bucket", "");
                format!(
                    "{native} or histogram_quantile({share}, sum by (le, {by}) (rate({classic}[$__rate_interval])))"
                )
            }
        }
    }

    /// The series of [`Metric::Build`], for a variable.
    pub(super) fn build(&self, own: &str) -> String {
        format!("{}{own}", self.name(Metric::Build.name()))
    }

    /// The series of [`Metric::Attempts`], for a variable.
    pub(super) fn attempts(&mut self, own: &str) -> String {
        let figure = Metric::Attempts.name();
        self.learn(figure.prometheus);
        format!("{}{own}", self.name(figure))
    }

    /// A text with names of `/metrics` and without variables: an expression as rules have it.
    pub(crate) fn plain(&mut self, text: &str) -> String {
        let histogram = |word: &str| figure(word.strip_suffix("_bucket").unwrap_or(word));
        for (_, word) in words(text) {
            self.learn(histogram(word).map_or(word, |figure| figure.prometheus));
        }
        let (mut out, mut before) = (String::new(), 0);
        for (at, word) in words(text) {
            out.push_str(&text[before..at]);
            before = at + word.len();
            match histogram(word) {
                Some(figure) => out.push_str(&self.name(figure)),
                None => out.push_str(self.label(word)),
            }
        }
        // What came through OTLP has native buckets, which have no such label.
        (out + &text[before..]).replace(", le)", ")")
    }

    /// A legend or a text: labels in double braces, of the question that was asked before.
    pub(super) fn legend(&self, text: &str) -> String {
        let mut parts = text.split("{{");
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (label, rest) = part.split_once("}}").expect("a label ends");
            let _ = write!(out, "{{{{{}}}}}{rest}", self.label(label));
        }
        out
    }

    /// What `label` is called here.
    pub(crate) fn label<'b>(&'b self, label: &'b str) -> &'b str {
        self.labels.get(label).map_or(label, String::as_str)
    }

    /// Takes over the labels of `word`, if it is a figure.
    fn learn(&mut self, word: &str) {
        let Some(figure) = figure(word) else { return };
        for label in figure.labels {
            let own = label_of(self.dialect, figure, label.prometheus).expect("it is its own");
            let before = self.labels.insert(label.prometheus, own.clone());
            assert!(
                before.as_ref().is_none_or(|before| *before == own),
                "{} means two things beside {word}",
                label.prometheus
            );
        }
    }

    fn expression(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((at, word)) = words(rest).next() {
            out.push_str(&rest[..at]);
            rest = &rest[at + word.len()..];
            if let Some(figure) = figure(word) {
                let own = match rest.strip_prefix('{') {
                    Some(inner) => {
                        let (inner, after) = inner.split_once('}').expect("a selector ends");
                        rest = after;
                        inner
                    }
                    None => "",
                };
                out.push_str(&self.selector(figure, "", &self.expression(own)));
            } else {
                out.push_str(self.label(word));
            }
        }
        out + rest
    }

    fn name(&self, figure: &Name) -> String {
        match self.dialect {
            Dialect::Metrics => figure.prometheus.to_owned(),
            _ => arrived(figure),
        }
    }

    /// `figure` as far as the variables choose it, and `own` matchers.
    fn selector(&self, figure: &Name, suffix: &str, own: &str) -> String {
        let name = self.name(figure);
        let mut matchers = String::from(r#"job=~"$job", instance=~"$instance""#);
        for (label, chosen) in [("service", true), ("target", self.targets)] {
            if let Some(label_here) = label_of(self.dialect, figure, label).filter(|_| chosen) {
                let _ = write!(matchers, r#", {label_here}=~"${label}""#);
            }
        }
        let comma = if own.is_empty() { "" } else { ", " };
        format!("{name}{suffix}{{{matchers}{comma}{own}}}")
    }
}

/// Words with their places; not those in strings, and no variables.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_part = |each: char| each.is_ascii_alphanumeric() || each == '_' || each == ':';
    let mut at = 0;
    std::iter::from_fn(move || {
        let (mut quoted, mut variable) = (false, false);
        let start = text[at..].char_indices().find(|(_, each)| {
            if *each == '"' {
                quoted = !quoted;
            }
            let found = !quoted && !variable && (each.is_ascii_alphabetic() || *each == '_');
            variable = !found && (*each == '$' || variable && is_part(*each));
            found
        })?;
        let begin = at + start.0;
        let length = text[begin..].find(|each| !is_part(each)).unwrap_or(text.len() - begin);
        at = begin + length;
        Some((begin, &text[begin..at]))
    })
}

#[test]
fn an_expression_is_the_same_question_in_each_dialect() {
    let text = r#"sum by (service, reason) (rate(serin_probe_failures_total{purpose="production", reason!="status"}[$__rate_interval])) > 0"#;
    let of = |dialect| {
        let mut words = Words::new(dialect, true);
        let expression = words.ask(&Ask::Expression(text));
        (expression, words.legend("{{service}} failed: {{reason}}"))
    };
    assert_eq!(
        of(Dialect::Metrics),
        (
            r#"sum by (service, reason) (rate(serin_probe_failures_total{job=~"$job", instance=~"$instance", service=~"$service", target=~"$target", purpose="production", reason!="status"}[$__rate_interval])) > 0"#.to_owned(),
            "{{service}} failed: {{reason}}".to_owned()
        )
    );
    assert_eq!(
        of(Dialect::Otlp),
        (
            r#"sum by (serin_service, error_type) (rate(serin_probe_failures_total{job=~"$job", instance=~"$instance", serin_service=~"$service", serin_target=~"$target", serin_purpose="production", error_type!="status"}[$__rate_interval])) > 0"#.to_owned(),
            "{{serin_service}} failed: {{error_type}}".to_owned()
        )
    );
}

#[test]
#[should_panic(expected = "reason means two things")]
fn a_label_that_has_two_names_is_refused() {
    let text = "sum by (reason) (serin_probe_failures_total) + sum by (reason) (serin_blind)";
    Words::new(Dialect::Otlp, false).ask(&Ask::Expression(text));
}
