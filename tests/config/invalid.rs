//! One bad file for each rule: refused for exactly its rule, at the line that says so.

use super::{document, load, load_text, repository};
use std::collections::BTreeSet;

/// `# expect: TEXT` is in the one message; `# line: N` (0: the whole document) is where it points.
#[test]
fn each_bad_file_is_refused_for_exactly_its_rule() {
    let (mut rules, mut faults) = (BTreeSet::new(), Vec::new());
    for entry in std::fs::read_dir(repository("tests/invalid")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let comment = |word: &str| {
            let line =
                text.lines().find_map(|line| line.split_once(word).map(|(_, rest)| rest.trim().to_owned()));
            line.unwrap_or_else(|| panic!("{name} has no `{word}` comment"))
        };
        let (expect, marked) = (comment("expect:"), text.lines().position(|line| line.contains("<- here")));
        let Err(error) = load(&path) else {
            faults.push(format!("{name} loads"));
            continue;
        };
        assert!(!error.is_usage(), "{name}");
        let said = error.to_string();
        let place = match marked {
            Some(line) => format!("{}:{}: ", path.display(), line + 1),
            None => format!("{}: ", path.display()),
        };
        if error.problems().len() != 1 || !said.contains(&expect) || !said.starts_with(&place) {
            faults.push(format!("{name}: expected `{place}…{expect}`, got:\n{said}\n"));
        }
        assert!(rules.insert(expect.clone()), "{name}: another file has the rule `{expect}`");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(rules.len() >= 100, "{} bad files", rules.len());
}

#[test]
fn all_faults_of_a_run_are_told_in_the_order_of_their_lines() {
    let error =
        load_text(&document("mode = \"fight\"\ngraze = 1\ninstances = 0", "timeout = \"1d\"\nmethod = 5"))
            .unwrap_err();
    let keys: Vec<&str> = error.problems().iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["mode", "graze", "instances", "targets[0].timeout", "targets[0].method"]);
}

#[test]
fn a_key_in_the_wrong_section_is_sent_to_the_right_one() {
    let error = load_text(&document("grace = \"5s\"", "")).unwrap_err();
    assert!(error.to_string().contains("did you mean `grace` in [judge]?"), "{error}");
}

#[test]
fn faults_in_json_and_yaml_have_their_lines_too() {
    let json = "{\n  \"service\": \"a\",\n  \"targets\": [\n    {\n      \"url\": \"http://a/\",\n      \"timeout\":\n 5\n    }\n  ],\n  \"objectives\": {\"p95\": \"9ms\"}\n}";
    let error = load_text(json).unwrap_err();
    assert!(
        error.to_string().starts_with("env:DOC:6: targets[0].timeout = 5: a duration without a unit"),
        "{error}"
    );
    let yaml = "service: a\ntargets:\n  - url: http://a/\n    timeout: 5\nobjectives:\n  p95: 9ms\njudge:\n\n  graze: 1s\n";
    let error = load_text(yaml).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("env:DOC:4: targets[0].timeout = 5: a duration without a unit"), "{said}");
    assert!(
        said.contains(
            "env:DOC:9: judge.graze: there is no key `graze` in this section; did you mean `grace`?"
        ),
        "{said}"
    );
}

#[test]
fn a_key_that_stands_twice_is_refused_in_every_format() {
    for text in [
        "service = \"a\"\nservice = \"b\"\n",
        "{\"service\": \"a\",\n\"service\": \"b\"}",
        "service: a\nservice: b\n",
    ] {
        let error = load_text(text).unwrap_err();
        assert!(error.to_string().starts_with("env:DOC:2: not "), "{text:?}: {error}");
    }
}

#[test]
fn what_is_too_long_or_too_many_is_refused() {
    let long = |count: usize| "x".repeat(count);
    let target = |text: String| document("", &text);
    let cases = [
        (target(format!("name = \"{}\"", long(201))), "at most 200 bytes"),
        (target(format!("expect = {{ body = \"{}\" }}", long(4097))), "4097 bytes to look for, 4096 at most"),
        (
            document(&format!("control = \"http://h/{}\"", long(2048)), ""),
            "a URL of 2057 bytes, 2048 at most",
        ),
        (document(&format!("control = \"http://{}/\"", long(64)), ""), "not a host name"),
        (
            target(format!("[evidence]\ndir = \"/{}\"", long(96))),
            "is 108 bytes, and a Unix socket's path is 107 at most",
        ),
        (target(format!("[publish.cloudwatch]\nnamespace = \"{}\"", long(256))), "CloudWatch takes 1 to 255"),
        (
            target(format!("[publish.emf]\nlog_group = \"{}\"", long(513))),
            "a log group has 1 to 512 characters",
        ),
        (target("[publish.emf]\nlog_group = \"a b\"".to_owned()), "the name of a log group has no ' '"),
        (target("[publish.emf]\nlog_stream = \"a\"".to_owned()), "a stream belongs to a log group"),
        (
            target("[publish.emf]\nlog_group = \"a\"\nlog_stream = \"b:c\"".to_owned()),
            "the name of a log stream has no ':'",
        ),
        (document("", "").replace("\"a\"", &format!("\"{}\"", long(64))), "a service's name is 1 to 63"),
        (target("[[targets]]\nurl = \"http://h\"\n".repeat(1000)), "1001 targets, 1 to 1000 are possible"),
    ];
    for (text, rule) in cases {
        let error = load_text(&text).unwrap_err();
        assert!(error.to_string().contains(rule) && error.problems().len() == 1, "{rule}: {error}");
    }
    assert!(load_text(&target(format!("[evidence]\ndir = \"/{}\"", long(95)))).is_ok());
}

#[test]
fn act_tells_all_that_it_lacks_at_once() {
    let error = load_text(&document("mode = \"act\"", "")).unwrap_err();
    let said = error.to_string();
    assert_eq!(error.problems().len(), 2, "{said}");
    for rule in ["act needs a lever", "act needs sole_actuator = true"] {
        assert!(said.contains(rule), "{said}");
    }
}

#[test]
fn the_faults_of_every_document_of_a_folder_are_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.toml"), "service =").unwrap();
    std::fs::write(folder.path().join("b.json"), "{\"service\": \"b\",}").unwrap();
    std::fs::write(folder.path().join("c.yaml"), "service: [").unwrap();
    std::fs::write(folder.path().join("d.toml"), document("instances = 0", "")).unwrap();
    let error = load(folder.path()).unwrap_err();
    let said = error.to_string();
    assert_eq!(error.problems().len(), 4, "{said}");
    for rule in ["a.toml:1: not TOML", "b.json:1: not JSON", "c.yaml:", "d.toml:2: instances = 0"] {
        assert!(said.contains(rule), "{rule}: {said}");
    }
}
