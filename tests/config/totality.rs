//! Whatever stands in a document, loading gives settings or faults and never panics.

use super::{load_with, repository};
use proptest::prelude::*;
use serin::config::{Format, parse};
use serin::settings::load;
use std::path::Path;

fn load_any(text: &str) {
    if let Ok(settings) = load_with(&[Path::new("env:DOC")], &[("DOC", text)], &[]) {
        let _ = serin::settings::explain(&settings);
    }
}

/// A reference file in one format, with one stretch replaced: near enough to valid to reach the checks.
fn damaged() -> impl Strategy<Value = String> {
    let texts: Vec<String> =
        ["serin.toml", "smallest.toml", "smallest.json", "smallest.yaml", "fleet/search.yaml"]
            .iter()
            .map(|name| {
                std::fs::read_to_string(repository(&format!("config/{name}"))).expect("an example is there")
            })
            .collect();
    let piece = prop_oneof![
        "\\PC{0,8}",
        Just(String::from("null")),
        Just(String::from("[]")),
        Just(String::from("{}")),
        Just(String::from("\"\"")),
        Just(String::from("-1")),
        Just(String::from("\"0s\"")),
        Just(String::from("99999999999999999999")),
        Just(String::from("\n")),
    ];
    (prop::sample::select(texts), any::<prop::sample::Index>(), 0..40_usize, piece).prop_map(
        |(text, at, cut, piece)| {
            let letters: Vec<char> = text.chars().collect();
            let at = at.index(letters.len());
            let end = (at + cut).min(letters.len());
            letters[..at].iter().collect::<String>() + &piece + &letters[end..].iter().collect::<String>()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        for format in [Format::Toml, Format::Json, Format::Yaml] {
            let _ = parse(&text, "x", Some(format));
        }
        load_any(&text);
    }

    #[test]
    fn structured_text_never_panics(text in "[\\[\\]{}:=\"'#,.\\-a-c0-2 \n\t&*!|>%@]{0,60}") {
        for format in [Format::Toml, Format::Json, Format::Yaml] {
            let _ = parse(&text, "x", Some(format));
        }
        load_any(&text);
    }

    #[test]
    fn damaged_examples_never_panic(text in damaged()) {
        load_any(&text);
    }

    #[test]
    fn arbitrary_flags_never_panic(key in "[a-z.\\[\\]0-9_]{0,20}", value in any::<String>()) {
        let file = repository("config/smallest.toml");
        let _ = load_with(&[&file], &[], &[(&key, &value)]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_in_files_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let folder = tempfile::tempdir().unwrap();
        for format in ["toml", "json", "yaml"] {
            std::fs::write(folder.path().join(format!("a.{format}")), &bytes).unwrap();
        }
        let paths = vec![folder.path().display().to_string()];
        let _ = load(&serin::config::Sources { paths, ..Default::default() });
    }
}

#[test]
fn deep_nesting_is_a_fault_and_not_a_crash() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let text = format!("{{\"service\": {}1{}}}", open.repeat(50_000), close.repeat(50_000));
        for format in [Format::Json, Format::Yaml] {
            assert!(parse(&text, "x", Some(format)).is_err());
        }
    }
    let text = format!("a = {}1{}", "[".repeat(50_000), "]".repeat(50_000));
    assert!(parse(&text, "x", Some(Format::Toml)).is_err());
}

#[test]
fn a_bomb_of_aliases_is_a_fault() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let before = level - 1;
        text.extend(["a", &level.to_string(), ": &a", &level.to_string(), " ["]);
        text.extend([vec![format!("*a{before}"); 9].join(", "), "]\n".to_owned()]);
    }
    assert!(parse(&text, "x", Some(Format::Yaml)).is_err());
}
