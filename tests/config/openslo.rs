//! OpenSLO documents: those that map give objectives that load; of the others, one for each rule, each refused at its line.

use super::{document, load_with, repository};
use serin::config::ConfigError;
use serin::model::objective::{Goal, Objectives};
use serin::settings::{Unit, import_openslo};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The documents of `tests/openslo/<folder>`, with their texts, in the order of their names.
fn documents(folder: &str) -> Vec<(PathBuf, String)> {
    let entries = std::fs::read_dir(repository("tests/openslo").join(folder)).expect("a folder of documents");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let text = |path: PathBuf| (path.clone(), std::fs::read_to_string(path).expect("UTF-8"));
    paths.into_iter().map(text).collect()
}

/// What stands behind each `# WORD: `.
fn comments<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    let prefix = format!("# {word}: ");
    text.lines().filter_map(|line| line.strip_prefix(prefix.as_str())).collect()
}

fn import(path: &Path, text: &str) -> Result<String, ConfigError> {
    let unit = if comments(text, "unit") == ["ms"] { Unit::Milliseconds } else { Unit::Seconds };
    import_openslo(&[path.to_owned()], comments(text, "service").first().copied(), unit)
}

/// What a whole configuration promises that has `toml` as the layer beneath a service without objectives of its own.
fn loaded(toml: &str) -> Objectives {
    let service = document("", "timeout = \"1m\"").replace("[objectives]\navailability = \"99%\"\n", "");
    assert!(!service.contains("objectives"), "{service}");
    let paths = [Path::new("env:IMPORTED"), Path::new("env:SERVICE")];
    let settings = load_with(&paths, &[("IMPORTED", toml), ("SERVICE", &service)], &[]);
    let settings = settings.unwrap_or_else(|error| panic!("{error}\n{toml}"));
    settings.services[0].judge.objectives.clone()
}

/// `# says: LINE` for each promise, `# tells: SENTENCE` for each comment beside the first three lines.
#[test]
fn each_good_document_gives_objectives_that_load() {
    let documents = documents("good");
    for (path, text) in &documents {
        let name = path.display();
        let toml = import(path, text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let lines = || toml.lines().skip(3);
        let said: Vec<&str> =
            lines().filter(|line| line.contains(" = \"") && !line.starts_with('#')).collect();
        let told: Vec<&str> = lines().filter_map(|line| line.strip_prefix("# ")).collect();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            assert_eq!(said, comments(text, "says"), "{name}:\n{toml}");
            let sentences: BTreeSet<&str> = comments(text, "tells").into_iter().collect();
            assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), sentences, "{name}:\n{toml}");
        }
        assert_eq!(loaded(&toml).all.len(), said.len(), "{name}:\n{toml}");
    }
    assert!(documents.len() >= 10, "{} good documents", documents.len());
}

#[test]
fn shares_become_quantiles_and_values_become_limits() {
    let path = repository("tests/openslo/good/several_documents.yaml");
    let toml = import_openslo(&[path], None, Unit::Seconds).unwrap();
    let goals: Vec<Goal> = loaded(&toml).all.iter().map(|objective| objective.goal).collect();
    let [Goal::Availability { bad_share_max }, p95, p999] = goals.as_slice() else { panic!("{goals:?}") };
    assert!((bad_share_max - 0.001).abs() < f64::EPSILON, "{bad_share_max}");
    let limit = Duration::from_millis;
    assert_eq!(*p95, Goal::Latency { quantile: 9_500, limit: limit(250) });
    assert_eq!(*p999, Goal::Latency { quantile: 9_990, limit: limit(2_000) });
    let json = repository("tests/openslo/good/one_document.json");
    let toml = import_openslo(&[json], None, Unit::Seconds).unwrap();
    assert_eq!(loaded(&toml).all[0].goal, Goal::Latency { quantile: 9_900, limit: limit(800) });
}

/// `# expect: TEXT` is in the one message, `<- here` is on the line that it points to; without it: the whole document.
#[test]
fn each_bad_document_is_refused_for_exactly_its_rule() {
    let (mut rules, mut faults) = (BTreeSet::new(), Vec::new());
    for (path, text) in documents("bad") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let expected = comments(&text, "expect")[0].to_owned();
        let error = match import(&path, &text) {
            Err(error) => error,
            Ok(toml) => {
                faults.push(format!("{name} is taken:\n{toml}"));
                continue;
            }
        };
        assert!(!error.is_usage(), "{name}");
        let marked = text.lines().position(|line| line.contains("<- here"));
        let place = match marked {
            Some(line) => format!("{}:{}: ", path.display(), line + 1),
            None => path.display().to_string(),
        };
        let said = error.to_string();
        if error.problems().len() != 1 || !said.contains(&expected) || !said.starts_with(&place) {
            faults.push(format!("{name}: expected `{place}…{expected}`, got:\n{said}\n"));
        }
        assert!(rules.insert(expected.clone()), "{name}: another document has the rule `{expected}`");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(rules.len() >= 50, "{} bad documents", rules.len());
}

#[test]
fn all_faults_of_all_files_are_told_in_their_order() {
    let bad = |name: &str| repository("tests/openslo/bad").join(name);
    let files = [bad("op_gte.yaml"), bad("missing.yaml"), bad("composite.yaml"), bad("target_one.yaml")];
    let error = import_openslo(&files, None, Unit::Seconds).unwrap_err();
    let said = error.to_string();
    let lines: Vec<&str> = said.lines().collect();
    // The last file's SLO has the name of the first one's.
    assert_eq!(lines.len(), 4, "{said}");
    for (line, rule) in
        lines.iter().zip(["promises more", "can't read the file", "is the name of", "is the name of"])
    {
        assert!(line.contains(rule), "{rule}: {said}");
    }
}

#[test]
fn a_service_that_no_objective_is_of_is_a_fault_of_the_command_line() {
    let path = repository("tests/openslo/good/one_service_of_two.yaml");
    let error = import_openslo(&[path], Some("chekout"), Unit::Seconds).unwrap_err();
    assert!(error.is_usage());
    assert!(error.to_string().contains("there are: cart, shop"), "{error}");
}

#[test]
fn the_command_prints_all_or_nothing() {
    let run = |files: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_serin"));
        command.args(["import", "openslo"]).args(files).current_dir(repository("tests/openslo"));
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, out, err) = run(&["good/latency.yaml"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.ends_with("\n[objectives]\np95 = \"250ms\"  # shop-time\n"), "{out}");
    let (code, out, err) = run(&["good/availability.yaml", "bad/op_gte.yaml", "bad/value_text.yaml"]);
    assert_eq!((code, out.as_str()), (Some(78), ""), "{err}");
    assert_eq!(run(&[]).0, Some(64));
}

#[test]
fn a_file_that_is_no_document_is_refused() {
    let error = import_openslo(&[repository("config/serin.toml")], None, Unit::Seconds).unwrap_err();
    assert!(error.to_string().contains("not a .yaml, .yml or .json file"), "{error}");
}
