//! Style as a test: the layers, the purity of the core, the size of files, and what only `app` may do.
//!
//! A rule that isn't enforced becomes a lie in the docs, so each rule here has a test that shows it failing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Rooms from the ground up, with those that each may know. Adapters never know each other.
const ROOMS: &[(&str, &[&str])] = &[
    // The core's own module has that name too. It can't know the shell's: it is a crate by itself.
    ("model", &["hazard"]),
    ("clock", &["model"]),
    ("failpoint", &[]),
    ("hazard", &["model"]),
    ("config", &["model"]),
    ("settings", &["model", "config", "hazard"]),
    ("engine", &["model", "clock", "settings"]),
    ("revert", &["model", "clock", "failpoint", "hazard", "settings"]),
    ("publish", &["model", "clock", "settings"]),
    ("evidence", &["model", "clock", "failpoint"]),
    ("admin", &["model", "clock", "settings"]),
    ("lab", &["model", "clock"]),
    ("simulate", &["model", "settings", "evidence"]),
    (
        "app",
        &[
            "model",
            "clock",
            "failpoint",
            "config",
            "settings",
            "engine",
            "revert",
            "publish",
            "evidence",
            "admin",
        ],
    ),
    (
        "cli",
        &[
            "model", "clock", "config", "settings", "engine", "revert", "publish", "evidence", "admin",
            "lab", "simulate", "app",
        ],
    ),
    ("main", &["cli"]),
    ("lib", &[]),
];

/// What the core may never name: a clock, a socket, a file, a thread, chance, the environment, a printed line.
const IMPURE: &[&str] = &[
    "std::time::Instant",
    "SystemTime",
    "std::net",
    "std::fs",
    "std::io",
    "std::thread",
    "std::env",
    "std::process",
    "tokio",
    "async fn",
    "HashMap",
    "HashSet",
    "println!",
    "thread_rng",
    "static mut",
];

/// Who may start threads and runtimes, and why.
const STARTERS: &[(&str, &str)] = &[
    ("src/app/keep.rs", "the threads of the ledgers, the samples and the copy on standard output"),
    ("src/app/crew.rs", "the engine's threads"),
    ("src/engine.rs", "the engine's own runtime, on the thread that app gave it"),
    ("src/engine/once.rs", "the same, for one question a target"),
    ("src/cli.rs", "the runtime of everything else"),
];

/// Lines of a file of the program, at most.
const LINES_MAX: usize = 500;

#[test]
fn imports_go_downward_and_adapters_never_know_each_other() {
    let mut faults = Vec::new();
    for (path, text) in sources("src").into_iter().filter(|(path, _)| !path.starts_with("src/model/tests")) {
        let room = room(&path);
        let Some((_, known)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            faults.push(format!("{} belongs to no room of tests/tidy.rs", path.display()));
            continue;
        };
        for other in named(&text) {
            if other != room
                && ROOMS.iter().any(|(name, _)| *name == other)
                && !known.contains(&other.as_str())
            {
                faults.push(format!("{}: {room} may not know {other}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_core_is_pure() {
    let mut faults = Vec::new();
    for (path, text) in sources("src/model")
        .into_iter()
        .filter(|(path, _)| !path.components().any(|part| part.as_os_str() == "tests"))
    {
        for (number, line) in code(&text) {
            for word in IMPURE.iter().filter(|word| line.contains(**word)) {
                faults.push(format!("{}:{number}: {word}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let manifest = std::fs::read_to_string("src/model/Cargo.toml").unwrap();
    let list = manifest.split("\n[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let names: Vec<&str> = list.lines().filter_map(|line| Some(line.split_once('=')?.0.trim())).collect();
    assert_eq!(names, ["serde"], "the list of dependencies is the proof of purity");
}

#[test]
fn files_are_short_and_none_is_called_mod() {
    let mut faults = Vec::new();
    for (path, text) in sources("src") {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            faults.push(format!("{}: {lines} lines; at most {LINES_MAX}", path.display()));
        }
        if path.file_name().is_some_and(|name| name == "mod.rs") {
            faults.push(format!("{}: foo.rs and foo/, never mod.rs", path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn only_app_starts_threads_and_runtimes() {
    let mut faults = Vec::new();
    for (path, text) in sources("src") {
        let allowed = STARTERS.iter().any(|(name, _)| Path::new(name) == path);
        for (number, line) in code(&text) {
            if !allowed
                && ["thread::spawn", "thread::Builder", "runtime::Builder", "Runtime::new"]
                    .iter()
                    .any(|word| line.contains(word))
            {
                faults.push(format!("{}:{number}: {}", path.display(), line.trim()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_stub_is_left() {
    let marks = ["todo!(", "unimplemented!(", concat!("TO", "DO"), concat!("FIX", "ME")];
    let mut faults = Vec::new();
    for (path, text) in sources("src") {
        for (number, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                faults.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_rules_can_fail() {
    let imports =
        "use crate::publish::Publisher;\nuse crate::{clock, model::time::Mono};\nlet x = crate::lab::Lab;\n";
    assert_eq!(named(imports), ["clock", "lab", "model", "publish"].map(String::from).into());
    let shown: Vec<usize> =
        code("a\n// tokio\n/// tokio\nb // tokio\n#[cfg(test)]\ntokio").map(|(number, _)| number).collect();
    assert_eq!(shown, [1, 4]);
    assert_eq!(room(Path::new("src/engine/timer.rs")), "engine");
    assert_eq!(room(Path::new("src/engine.rs")), "engine");
}

/// The table of hazards names what is there.
#[test]
fn every_hazard_has_its_row_and_every_test_that_it_names_exists() {
    let table = std::fs::read_to_string("src/model/tests/HAZARDS.md").expect("run from the crate's root");
    let rows: Vec<&str> =
        table.lines().filter(|line| line.starts_with("| ") && !line.contains("| hazard |")).collect();
    let numbers: Vec<String> =
        rows.iter().map(|row| row.split(' ').nth(1).unwrap_or_default().to_owned()).collect();
    assert_eq!(numbers, (1..=30).map(|number| number.to_string()).collect::<Vec<_>>());
    let mut code: String = sources("src").into_iter().chain(sources("tests")).map(|(_, text)| text).collect();
    for entry in std::fs::read_dir("tests/e2e").expect("the end-to-end tests") {
        let path = entry.expect("a readable folder").path();
        if path.extension().is_some_and(|extension| extension == "py") {
            code.push_str(&std::fs::read_to_string(path).expect("text"));
        }
    }
    for row in rows {
        let tests = row.rsplit(" | ").next().unwrap_or_default();
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty() || tests.starts_with('–'), "{row}");
        for name in names {
            let exists = code.contains(&format!("fn {name}(")) || code.contains(&format!("def {name}("));
            assert!(exists, "no test is called {name}: {row}");
        }
    }
}

/// No answer to a hazard is lost without a story that ends badly.
#[test]
fn every_hazard_is_played_once_without_its_answer_by_the_story_that_its_row_names() {
    let read = |path: &str| std::fs::read_to_string(path).expect("run from the crate's root");
    let list = read("src/model/hazard.rs");
    let list = list.split("pub enum Hazard {").nth(1).unwrap().split("\n}").next().unwrap();
    let name = |line: &str| line.trim().strip_suffix(',')?.split(' ').next().map(str::to_owned);
    let hazards: Vec<String> =
        list.lines().filter(|line| !line.trim().starts_with("///")).filter_map(name).collect();
    let table = read("src/model/tests/HAZARDS.md");
    let first_test = |row: &str| row.rsplit(" | ").next()?.split('`').nth(1).map(str::to_owned);
    let stories: Vec<String> = (1..=30)
        .filter_map(|n| table.lines().find(|line| line.starts_with(&format!("| {n} | "))))
        .filter_map(first_test)
        .collect();
    assert_eq!((hazards.len(), stories.len()), (30, 30));
    let played = read("src/model/hazard/tests.rs") + &read("src/hazard/tests.rs");
    let code: String = sources("src").into_iter().map(|(_, text)| text).collect();
    for (hazard, story) in hazards.iter().zip(stories) {
        let rows: Vec<&str> = played.split(&format!("hazard: Hazard::{hazard},")).skip(1).collect();
        assert_eq!(rows.len(), 1, "{hazard} has a row in one of the two tables");
        let plays = rows[0].split("with:").next().unwrap_or_default();
        assert!(plays.contains(&story), "{hazard} is played by another story than {story}");
        assert!(
            code.contains(&format!("answered(Hazard::{hazard})")),
            "nothing asks for the answer to {hazard}"
        );
    }
}

/// Every Rust file below `folder`.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of the crate: run from its root") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("UTF-8");
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "run from the crate's root");
    found
}

/// The room that a file belongs to: the first part below `src`.
fn room(path: &Path) -> String {
    let part = path
        .components()
        .nth(1)
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .unwrap_or_default();
    part.trim_end_matches(".rs").to_owned()
}

/// The rooms that a text names by `crate::…` or `serin_model`.
fn named(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, line) in code(text) {
        for part in line.split("crate::").skip(1) {
            let inner = part.strip_prefix('{').map_or(part, |list| list.split('}').next().unwrap_or(list));
            for item in if part.starts_with('{') { inner.split(',').collect() } else { vec![inner] } {
                let name: String =
                    item.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                names.insert(name);
            }
        }
    }
    names
}

/// Numbered lines of code: no comments, and nothing from the unit tests at the bottom on.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .enumerate()
        .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or(line)))
        .filter(|(_, line)| !line.trim().is_empty())
}
