//! Reads checked values out of a merged tree, notes each one with its origin, and collects every fault.

use super::secret::{self, Secret};
use super::{Entry, address, units};
use crate::config::{self, Data, Fallback, Node, Origin, Problem, quoted};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Longer values are cut in messages.
const SHOWN_CHARS_MAX: usize = 160;

/// A rule that a value breaks.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) rule: String,
    pub(super) remedy: String,
}

impl Fault {
    pub(super) fn new(rule: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { rule: rule.into(), remedy: remedy.into() }
    }

    /// The same of one of several.
    pub(super) fn of(self, which: &str) -> Self {
        Self { rule: format!("{which}: {}", self.rule), ..self }
    }

    /// The rule and its remedy.
    pub(super) fn words(&self) -> String {
        if self.remedy.is_empty() { self.rule.clone() } else { format!("{}; {}", self.rule, self.remedy) }
    }

    fn range(value: impl Display, range: &RangeInclusive<impl Display>) -> Self {
        Self::new(format!("{value} is outside {} to {}", range.start(), range.end()), "")
    }
}

/// A fault was noted in the log; what it belongs to can't be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Noted;

/// What a run of checks found.
pub(super) struct Log<'a> {
    /// Where `{ env = "NAME" }` is looked up.
    pub(super) variables: &'a BTreeMap<String, String>,
    pub(super) problems: RefCell<Vec<Problem>>,
    pub(super) entries: RefCell<Vec<Entry>>,
}

/// A table, or the place where it would be.
pub(super) struct Section<'a> {
    log: &'a Log<'a>,
    /// The service that entries are noted for; `None` for the process.
    service: Option<&'a str>,
    node: Option<&'a Node>,
    /// Where the table begins, or the nearest one around it.
    origin: &'a Origin,
    path: String,
    pattern: String,
}

impl<'a> Section<'a> {
    /// The top of a tree.
    pub(super) fn root(log: &'a Log<'a>, node: &'a Node, service: Option<&'a str>) -> Self {
        Self {
            log,
            service,
            node: Some(node),
            origin: &node.origin,
            path: String::new(),
            pattern: String::new(),
        }
    }

    /// The section `name` in this one; empty when it is missing.
    pub(super) fn section(&self, name: &str) -> Self {
        let node = self.node.and_then(|node| node.entry(name));
        Self {
            log: self.log,
            service: self.service,
            node,
            origin: node.map_or(self.origin, |node| &node.origin),
            path: config::join(&self.path, name),
            pattern: config::pattern_of(&self.pattern, name),
        }
    }

    /// The tables of the list `name`; none when it is missing.
    pub(super) fn items(&self, name: &str) -> Result<Vec<Self>, Noted> {
        let items = match self.node.and_then(|node| node.entry(name)).map(|node| &node.data) {
            None => return Ok(Vec::new()),
            Some(Data::List(items)) => items,
            // That it is no list was already refused.
            Some(_) => return Err(Noted),
        };
        let item = |(index, node): (usize, &'a Node)| Self {
            log: self.log,
            service: self.service,
            node: Some(node),
            origin: &node.origin,
            path: format!("{}[{index}]", config::join(&self.path, name)),
            pattern: format!("{}[]", config::join(&self.pattern, name)),
        };
        Ok(items.iter().enumerate().map(item).collect())
    }

    /// The names that stand in this table.
    pub(super) fn names(&self) -> Vec<&'a str> {
        match self.node.map(|node| &node.data) {
            Some(Data::Table(table)) => table.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// Its path, as in the file.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Does the table or value `name` stand in this table?
    pub(super) fn has(&self, name: &str) -> bool {
        self.node.is_some_and(|node| node.entry(name).is_some())
    }

    /// A key that is required or has a default.
    pub(super) fn get<T>(
        &self,
        name: &str,
        check: impl FnOnce(&Leaf<'a>) -> Result<T, Fault>,
    ) -> Result<T, Noted> {
        self.maybe(name, check)?.ok_or_else(|| {
            // What stands there instead of a table was already refused.
            if self.node.is_none_or(|node| matches!(node.data, Data::Table(_))) {
                self.refuse(name, Fault::new("is required and missing", ""));
            }
            Noted
        })
    }

    /// A key that may be missing.
    pub(super) fn maybe<T>(
        &self,
        name: &str,
        check: impl FnOnce(&Leaf<'a>) -> Result<T, Fault>,
    ) -> Result<Option<T>, Noted> {
        let Some(leaf) = self.leaf(name) else { return Ok(None) };
        match check(&leaf) {
            Ok(value) => {
                self.note(name, leaf.shown(), leaf.origin.clone());
                Ok(Some(value))
            }
            Err(fault) => Err(self.refuse(name, fault)),
        }
    }

    /// Notes the effective value of `name`, when it isn't as it was read.
    pub(super) fn note(&self, name: &str, value: String, origin: Origin) {
        let key = config::join(&self.path, name);
        self.log.entries.borrow_mut().push(Entry {
            service: self.service.map(str::to_owned),
            key,
            value,
            origin,
        });
    }

    /// Notes a value that was worked out because nobody set it.
    pub(super) fn note_default(&self, name: &str, value: String) {
        let why = config::find(&config::pattern_of(&self.pattern, name)).map_or("", |key| key.why);
        self.note(name, value, Origin::Default { why });
    }

    /// Notes that `name` is at fault, where it stands, or where it would.
    pub(super) fn refuse(&self, name: &str, fault: Fault) -> Noted {
        let leaf = self.leaf(name);
        let (origin, mut value) = match &leaf {
            Some(leaf) => (leaf.origin.clone(), leaf.shown_in_problem()),
            None => (self.origin.clone(), None),
        };
        let default = matches!(origin, Origin::Default { .. });
        if default {
            value = value.map(|value| format!("{value} (default)"));
        }
        self.log.problems.borrow_mut().push(Problem {
            origin: if default { self.origin.clone() } else { origin },
            key: config::join(&self.path, name),
            value,
            rule: fault.rule,
            remedy: fault.remedy,
        });
        Noted
    }

    /// Notes that the section `name` is at fault, or missing.
    pub(super) fn refuse_section(&self, name: &str, fault: Fault) -> Noted {
        let origin =
            self.node.and_then(|node| node.entry(name)).map_or(self.origin, |node| &node.origin).clone();
        let Fault { rule, remedy } = fault;
        let key = config::join(&self.path, name);
        self.log.problems.borrow_mut().push(Problem { origin, key, value: None, rule, remedy });
        Noted
    }

    /// The value of `name`, or its default.
    fn leaf(&self, name: &str) -> Option<Leaf<'a>> {
        let pattern = config::pattern_of(&self.pattern, name);
        let key = config::find(&pattern)?;
        if let Some(node) = self.node.and_then(|node| node.entry(name)) {
            let (data, origin) = (Cow::Borrowed(&node.data), node.origin.clone());
            return Some(Leaf { data, origin, pattern: key.path, variables: self.log.variables });
        }
        let origin = Origin::Default { why: key.why };
        let text = |text: &str| Data::Text(text.to_owned());
        let data = match key.default? {
            Fallback::Text(value) => text(value),
            Fallback::Int(value) => Data::Int(value),
            Fallback::Bool(value) => Data::Bool(value),
            Fallback::Texts(values) => Data::List(
                values.iter().map(|value| Node { data: text(value), origin: origin.clone() }).collect(),
            ),
        };
        Some(Leaf { data: Cow::Owned(data), origin, pattern: key.path, variables: self.log.variables })
    }
}

/// One value.
pub(super) struct Leaf<'a> {
    data: Cow<'a, Data>,
    origin: Origin,
    pattern: &'static str,
    variables: &'a BTreeMap<String, String>,
}

impl Leaf<'_> {
    /// Text that isn't empty.
    pub(super) fn text(&self) -> Result<&str, Fault> {
        match self.data.as_ref() {
            Data::Text(text) if text.is_empty() => {
                Err(Fault::new("is empty", "leave the key out, or give it a value"))
            }
            Data::Text(text) => Ok(text),
            Data::Null => Err(Fault::new("has no value", "leave the key out, or give it one")),
            other => Err(Fault::new(format!("text in quotes is needed; this is {}", other.kind()), "")),
        }
    }

    /// One text, or a list of them; the second is whether it was a list.
    pub(super) fn texts(&self) -> Result<(Vec<&str>, bool), Fault> {
        if !matches!(self.data.as_ref(), Data::List(_)) {
            return Ok((vec![self.text()?], false));
        }
        let mut texts = Vec::new();
        for node in self.list()? {
            let text = node.text().filter(|text| !text.is_empty());
            texts.push(text.ok_or_else(|| Fault::new("each of the list has to be text in quotes", ""))?);
        }
        Ok((texts, true))
    }

    /// A duration inside `range`.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Result<Duration, Fault> {
        let value = units::duration(&self.quantity()?)?;
        if range.contains(&value) {
            return Ok(value);
        }
        let shown = units::show(*range.start())..=units::show(*range.end());
        Err(Fault::range(units::show(value), &shown))
    }

    /// A size in bytes inside `range`.
    pub(super) fn size(&self, range: RangeInclusive<u64>) -> Result<u64, Fault> {
        let value = units::size(&self.quantity()?)?;
        if range.contains(&value) { Ok(value) } else { Err(Fault::range(format!("{value} bytes"), &range)) }
    }

    /// A share of 1.0 inside `range`, whose ends are in millionths of a percent.
    pub(super) fn percentage(&self, range: RangeInclusive<u64>) -> Result<u64, Fault> {
        let value = units::percentage(&self.quantity()?)?;
        if range.contains(&value) {
            return Ok(value);
        }
        let show = units::show_percentage;
        Err(Fault::range(show(value), &(show(*range.start())..=show(*range.end()))))
    }

    /// A rate in hertz inside `range`.
    pub(super) fn rate(&self, range: RangeInclusive<f64>) -> Result<f64, Fault> {
        let value = units::rate(&self.quantity()?)?;
        if range.contains(&value) {
            return Ok(value);
        }
        let shown = units::show_rate(*range.start())..=units::show_rate(*range.end());
        Err(Fault::range(units::show_rate(value), &shown))
    }

    /// A chance of one in a number inside `range`.
    pub(super) fn chance(&self, range: RangeInclusive<u64>) -> Result<u64, Fault> {
        let value = units::chance(&self.quantity()?)?;
        if range.contains(&value) { Ok(value) } else { Err(Fault::range(format!("1 in {value}"), &range)) }
    }

    /// A whole number inside `range`.
    pub(super) fn count(&self, range: RangeInclusive<u32>) -> Result<u32, Fault> {
        let number = match self.data.as_ref() {
            Data::Int(number) => Some(*number),
            Data::Text(text) if self.is_single() => text.trim().parse().ok(),
            _ => None,
        };
        let Some(number) = number else {
            let rule = format!("a whole number is needed; this is {}", self.data.kind());
            return Err(Fault::new(rule, "write it without quotes and without a fraction"));
        };
        let inside = u32::try_from(number).ok().filter(|number| range.contains(number));
        inside.ok_or_else(|| Fault::range(number, &range))
    }

    /// A switch.
    pub(super) fn switch(&self) -> Result<bool, Fault> {
        match self.data.as_ref() {
            Data::Bool(value) => Ok(*value),
            Data::Text(text) if self.is_single() && text == "true" => Ok(true),
            Data::Text(text) if self.is_single() && text == "false" => Ok(false),
            other => Err(Fault::new(
                format!("true or false is needed; this is {}", other.kind()),
                "write it without quotes",
            )),
        }
    }

    /// One of a closed set of names.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, Fault> {
        let text = self.text()?;
        choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<String> = choices.iter().map(|(name, _)| quoted(name)).collect();
            Fault::new(format!("only {} is known here", names.join(" or ")), "")
        })
    }

    /// A table of one entry.
    pub(super) fn single(&self) -> Option<(&str, &Node)> {
        match self.data.as_ref() {
            Data::Table(table) if table.len() == 1 => {
                table.iter().next().map(|(name, node)| (name.as_str(), node))
            }
            _ => None,
        }
    }

    /// A path, as written: relative ones count from the working directory.
    pub(super) fn path(&self) -> Result<PathBuf, Fault> {
        self.text().map(PathBuf::from)
    }

    /// The items of a list; their kinds are still open.
    pub(super) fn list(&self) -> Result<&[Node], Fault> {
        match self.data.as_ref() {
            Data::List(items) if items.is_empty() => Err(Fault::new("the list is empty", "")),
            Data::List(items) => Ok(items),
            other => {
                Err(Fault::new(format!("a list is needed; this is {}", other.kind()), "put it into [ ]"))
            }
        }
    }

    /// A secret by reference; `None` when the value is no reference.
    pub(super) fn reference(&self) -> Option<Result<Secret, Fault>> {
        match self.data.as_ref() {
            Data::Table(table) => Some(secret::resolve(table, self.variables)),
            _ => None,
        }
    }

    /// A secret that goes by reference only, under the key `name`.
    pub(super) fn hidden(&self, name: &str) -> Result<Secret, Fault> {
        let remedy = format!("write {name} = {{ env = \"NAME\" }} or {{ file = \"PATH\" }}");
        self.reference().unwrap_or_else(|| Err(Fault::new("a credential stands in the file", remedy)))
    }

    /// A secret by reference, or as text that is masked wherever it would be shown.
    pub(super) fn masked(&self) -> Result<Secret, Fault> {
        self.reference().unwrap_or_else(|| self.text().map(|text| Secret::new(text.to_owned())))
    }

    /// The value of a variable or flag is text, whatever it means.
    fn is_single(&self) -> bool {
        matches!(self.origin, Origin::Variable { .. } | Origin::Flag { .. })
    }

    /// The text of something that has a unit. A bare number goes to the unit's own rule, which refuses it.
    fn quantity(&self) -> Result<Cow<'_, str>, Fault> {
        match self.data.as_ref() {
            Data::Int(number) => Ok(Cow::Owned(number.to_string())),
            Data::Float(number) => Ok(Cow::Owned(number.to_string())),
            _ => self.text().map(Cow::Borrowed),
        }
    }

    fn shown(&self) -> String {
        match self.data.as_ref() {
            Data::Table(table) if self.pattern != "judge.policy" => secret::shown_reference(table),
            Data::Text(_) if is_secret(self.pattern) => secret::MASK.to_owned(),
            Data::Text(text) if is_url(self.pattern) => quoted(&address::masked(text)),
            other => other.to_string(),
        }
    }

    /// What may be a secret in the wrong form isn't shown at all.
    fn shown_in_problem(&self) -> Option<String> {
        let is_text = matches!(*self.data, Data::Text(_));
        let is_header = self.pattern.ends_with(".headers.*");
        if is_secret(self.pattern) || is_header || (is_url(self.pattern) && !is_text) {
            return None;
        }
        if matches!(*self.data, Data::Table(_)) && self.pattern != "judge.policy" {
            return None;
        }
        let shown = self.shown();
        let cut: String = shown.chars().take(SHOWN_CHARS_MAX).collect();
        Some(if cut.len() < shown.len() { format!("{cut}…") } else { cut })
    }
}

/// Keys whose value is a secret even when it is written out.
fn is_secret(pattern: &str) -> bool {
    matches!(
        pattern,
        "publish.webhook.url"
            | "publish.webhook.secret"
            | "publish.slack.url"
            | "publish.otlp.headers.*"
            | "admin.token"
    )
}

fn is_url(pattern: &str) -> bool {
    matches!(pattern, "control" | "targets[].url" | "publish.otlp.endpoint")
}
