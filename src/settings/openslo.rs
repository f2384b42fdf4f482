//! OpenSLO v1 documents as `[objectives]`: what maps is printed, what doesn't is refused with its reason and its place.
//!
//! | document | here |
//! |---|---|
//! | `ratioMetric` of `good` or `bad`, and `total` | `availability` |
//! | `thresholdMetric` with `op: lte` or `lt` | the quantile of `target`, at most `value` |
//! | `budgetingMethod: Occurrences` | what Serin counts anyway; any other is refused |
//! | `timeWindow`, rolling | accepted: a release is judged by its share; other than 30 days told in a comment |
//! | `timeWindow`, calendar | refused: Serin's budget has no first of the month |
//! | `alertPolicies`, other kinds | told in a comment: Serin's verdicts are its own |
//!
//! The queries of an indicator mean nothing to a prober: it asks by itself, and what is a good answer stands in `expect`.

mod document;
mod objective;
mod print;

use crate::config::{self, ConfigError, Node, Origin, Problem};
use document::Part;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// What `value` of a latency objective counts: the specification has no unit for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

const VERSION: &str = "openslo/v1";
/// Kinds that stand beside objectives and say nothing that Serin could promise.
const BESIDE: [&str; 5] =
    ["AlertCondition", "AlertNotificationTarget", "AlertPolicy", "DataSource", "Service"];
/// Serin's error budget is over so many minutes: 30 days.
const WINDOW_MINUTES: u64 = 30 * 24 * 60;

/// One promise that came out.
#[derive(Debug)]
struct Promise {
    /// The key of `[objectives]`.
    key: &'static str,
    /// Ten-thousandths; 0 for availability.
    quantile: u32,
    /// The value as TOML has it, without quotes.
    value: String,
    /// In millionths of a percent, or nanoseconds: what makes values comparable.
    amount: u128,
    /// The name of its SLO.
    slo: String,
    /// Where it stands.
    at: Part,
}

/// What came out of all documents.
#[derive(Debug, Default)]
struct Found {
    promises: Vec<Promise>,
    /// What was left out or is only nearly the same, as whole sentences.
    notes: Vec<String>,
    faults: Vec<Problem>,
}

/// The TOML of `[objectives]` for the SLOs in `files`; with `service`, for those of that `spec.service` alone.
///
/// # Errors
/// All faults of the run: a file that can't be read, and each thing that doesn't map. [`ConfigError::Usage`] when only
/// `service` is at fault.
pub fn import(files: &[PathBuf], service: Option<&str>, unit: Unit) -> Result<String, ConfigError> {
    let mut found = Found::default();
    let mut documents = Vec::new();
    for file in files {
        match config::foreign(file) {
            Ok(nodes) => documents.extend(nodes.into_iter().map(Arc::new)),
            Err(faults) => found.faults.extend(faults),
        }
    }
    let sorted = Documents::of(&documents, &mut found);
    let slos = sorted.of_service(service, &mut found.faults);
    for (name, slo) in &slos {
        objective::read(name, slo, &sorted.slis, unit, &mut found);
    }
    sorted.unused(&slos, &mut found.notes);
    apart(&mut found);
    if found.faults.is_empty() && found.promises.is_empty() {
        let name = files.first().map(|file| file.display().to_string()).unwrap_or_default();
        let origin = Origin::Document { name: Arc::from(name), line: 0 };
        let (rule, remedy) =
            ("there is no document of kind SLO".to_owned(), "name a file with one".to_owned());
        found.faults.push(Problem { origin, key: String::new(), value: None, rule, remedy });
    }
    if !found.faults.is_empty() {
        return Err(in_order(found.faults, files).into());
    }
    Ok(print::toml(files, &mut found))
}

/// The documents by their kind and name.
struct Documents {
    slos: BTreeMap<String, Part>,
    slis: BTreeMap<String, Part>,
}

impl Documents {
    fn of(documents: &[Arc<Node>], found: &mut Found) -> Self {
        let mut sorted = Self { slos: BTreeMap::new(), slis: BTreeMap::new() };
        for node in documents {
            let root = Part::root(node);
            let Some(kind) = kind(&root, &mut found.faults) else { continue };
            let named = root.get("metadata").and_then(|metadata| metadata.get("name"));
            let Some((name, at)) = named.as_ref().and_then(|at| Some((at.text()?, at))) else {
                let rule = "has no name: nothing could refer to it, nor could a message";
                found.faults.push(root.lacks("metadata.name", rule, "add metadata with a name"));
                continue;
            };
            let all = match kind.as_str() {
                "SLO" => &mut sorted.slos,
                "SLI" => &mut sorted.slis,
                _ => {
                    let name = name.escape_debug();
                    found.notes.push(format!("{kind} {name} is left out: it promises nothing."));
                    continue;
                }
            };
            if let Some(first) = all.get(name) {
                let rule = format!("is the name of another {kind} ({})", first.origin());
                found.faults.push(at.fault(rule, "give each its own name"));
            } else {
                let root = root.named(name);
                all.insert(name.to_owned(), root);
            }
        }
        sorted
    }

    /// The SLOs of one service: of `chosen`, or of the only one that there is.
    fn of_service(&self, chosen: Option<&str>, faults: &mut Vec<Problem>) -> Vec<(String, Part)> {
        let service = |slo: &Part| slo.get("spec").and_then(|spec| spec.get("service"));
        let of =
            |slo: &Part| service(slo).and_then(|part| part.text().map(str::to_owned)).unwrap_or_default();
        let names: BTreeSet<String> = self.slos.values().map(&of).collect();
        if let Some(chosen) = chosen.filter(|chosen| !names.contains(*chosen)) {
            // Without an SLO at all that is the fault, whatever was chosen.
            if !names.is_empty() {
                let there = Vec::from_iter(names).join(", ");
                let origin = Origin::Flag { text: Arc::from("--service") };
                let (key, value) = (String::new(), None);
                let rule = format!("no SLO is of the service {}", config::quoted(chosen));
                faults.push(Problem { origin, key, value, rule, remedy: format!("there are: {there}") });
            }
            return Vec::new();
        }
        let mut first: Option<(&String, String)> = None;
        let mut slos = Vec::new();
        for (name, slo) in &self.slos {
            let own = of(slo);
            if chosen.is_some_and(|chosen| chosen != own) {
                continue;
            }
            match &first {
                None => first = Some((name, own)),
                Some((other, theirs)) if *theirs != own => {
                    let rule = format!(
                        "is of another service than {other} ({}), and a document of Serin has one service",
                        config::quoted(theirs)
                    );
                    let at = service(slo).unwrap_or_else(|| slo.clone());
                    faults.push(at.fault(rule, "choose one with --service NAME"));
                    continue;
                }
                Some(_) => {}
            }
            slos.push((name.clone(), slo.clone()));
        }
        slos
    }

    /// Indicators that no SLO of the service names.
    fn unused(&self, slos: &[(String, Part)], notes: &mut Vec<String>) {
        let named = |sli: &String| {
            slos.iter().any(|(_, slo)| {
                let named = slo.get("spec").and_then(|spec| spec.get("indicatorRef"));
                named.as_ref().and_then(Part::text) == Some(sli)
            })
        };
        for sli in self.slis.keys().filter(|sli| !named(sli)) {
            notes.push(format!("SLI {} is left out: no SLO here names it.", sli.escape_debug()));
        }
    }
}

/// The kind of a document, if it is one that is known.
fn kind(root: &Part, faults: &mut Vec<Problem>) -> Option<String> {
    let Some(version) = root.get("apiVersion") else {
        faults.push(root.lacks("apiVersion", "is missing", "write apiVersion: openslo/v1"));
        return None;
    };
    if version.text() != Some(VERSION) {
        faults.push(
            version.fault("is not openslo/v1, the only version known here", "convert it, or leave it out"),
        );
        return None;
    }
    let Some(kind) = root.get("kind") else {
        faults.push(root.lacks("kind", "is missing", "write kind: SLO or kind: SLI"));
        return None;
    };
    match kind.text() {
        Some(text) if ["SLO", "SLI"].contains(&text) || BESIDE.contains(&text) => Some(text.to_owned()),
        _ => {
            faults.push(kind.fault("is no kind of OpenSLO v1", "write SLO or SLI, or leave it out"));
            None
        }
    }
}

/// What several SLOs promise must be one promise each, and a higher quantile may not be faster.
fn apart(found: &mut Found) {
    let mut faults = Vec::new();
    let mut kept: Vec<Promise> = Vec::new();
    for promise in std::mem::take(&mut found.promises) {
        match kept.iter_mut().find(|other| other.key == promise.key) {
            None => kept.push(promise),
            Some(other) if other.amount == promise.amount => {
                if other.slo != promise.slo {
                    other.slo = format!("{}, {}", other.slo, promise.slo);
                }
            }
            Some(other) => {
                let (key, value) = (other.key, &other.value);
                let rule = format!("{key} is promised as {value} at {} already", other.at.origin());
                faults.push(promise.at.fault(rule, "keep one of them, or promise one for a group of URLs"));
            }
        }
    }
    kept.sort_by_key(|promise| promise.quantile);
    for pair in kept.windows(2) {
        let [lower, higher] = pair else { continue };
        if lower.quantile > 0 && higher.amount < lower.amount {
            let rule = format!("is shorter than {} ({}), which most answers keep", lower.key, lower.value);
            faults.push(higher.at.fault(rule, "a higher quantile has a longer limit"));
        }
    }
    found.promises = kept;
    found.faults.extend(faults);
}

/// In the order of the files and their lines; the command line's first.
fn in_order(mut faults: Vec<Problem>, files: &[PathBuf]) -> Vec<Problem> {
    faults.sort_by_key(|fault| match &fault.origin {
        Origin::Document { name, line } => {
            let place = files.iter().position(|file| file.display().to_string() == **name);
            (place.map_or(usize::MAX, |place| place + 1), *line)
        }
        _ => (0, 0),
    });
    faults
}
