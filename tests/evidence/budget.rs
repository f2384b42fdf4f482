//! The error budget's file: what it keeps, and what becomes of one that can't be used.

use serin::evidence::budget::{channel, open};
use serin::model::budget::Bin;
use serin::model::time::Wall;
use std::path::{Path, PathBuf};

const HOUR: i64 = 495_000;
/// Half past [`HOUR`].
const NOW: Wall = Wall(HOUR * 3_600_000 + 1_800_000);

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("shop")).unwrap();
    dir
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir.join("shop")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Opens, hands in `bins`, and lets the thread finish.
fn keep(dir: &Path, bins: &[Bin]) -> Vec<Bin> {
    let (writing, thread) = channel();
    let (handle, before) = open(dir, "shop", &writing, NOW);
    let handle = handle.unwrap();
    assert!(handle.keep(bins.to_vec(), NOW));
    drop((handle, writing));
    thread.run();
    before
}

fn bins() -> Vec<Bin> {
    (0..721)
        .map(|back| Bin { hour: HOUR - 720 + back, answers: u64::MAX, bad: back.unsigned_abs() })
        .collect()
}

#[test]
fn what_is_written_is_read_again() {
    let dir = folder();
    assert_eq!(keep(dir.path(), &bins()), []);
    assert_eq!(keep(dir.path(), &bins()[700..]), bins());
    assert_eq!(keep(dir.path(), &[]), &bins()[700..]);
    assert_eq!(names(dir.path()), ["budget.json"], "nothing is left over");
}

#[test]
fn the_last_of_several_snapshots_stays() {
    let dir = folder();
    let (writing, thread) = channel();
    let (handle, _) = open(dir.path(), "shop", &writing, NOW);
    let handle = handle.unwrap();
    for bin in bins().into_iter().take(64) {
        assert!(handle.keep(vec![bin], NOW));
    }
    assert!(!handle.keep(Vec::new(), NOW), "a disk that takes nothing holds nobody up");
    drop((handle, writing));
    thread.run();
    assert_eq!(keep(dir.path(), &[]), &bins()[63..64]);
}

#[test]
fn a_file_that_can_t_be_used_is_kept_aside_and_the_budget_begins_anew() {
    let whole = {
        let dir = folder();
        keep(dir.path(), &bins());
        std::fs::read_to_string(dir.path().join("shop/budget.json")).unwrap()
    };
    let one = |hours: &str| {
        format!(r#"{{"version":1,"service":"shop","written":"2026-06-20T00:30:00.000Z","hours":{hours}}}"#)
    };
    let cases = [
        String::new(),
        "\0\0\0\0".to_owned(),
        "[]".to_owned(),
        whole[..whole.len() / 2].to_owned(),
        whole.replace("\"version\":1", "\"version\":2"),
        whole.replace("\"shop\"", "\"cart\""),
        whole.replace("\"hours\"", "\"days\""),
        one("[[494999,10,11]]"),
        one("[[494999,10,1],[494999,10,1]]"),
        one("[[495000,10,1],[494999,10,1]]"),
        one("[[9223372036854775807,10,1]]"),
        one("[[-9223372036854775808,10,1]]"),
        one("[[494280,10,1]]"),
        " ".repeat(300_000),
    ];
    for text in cases {
        let dir = folder();
        std::fs::write(dir.path().join("shop/budget.json"), &text).unwrap();
        assert_eq!(keep(dir.path(), &bins()), [], "{text:.100}");
        let aside = format!("budget.{}.json", NOW.0);
        assert_eq!(names(dir.path()), [aside.clone(), "budget.json".to_owned()]);
        assert_eq!(std::fs::read_to_string(dir.path().join("shop").join(aside)).unwrap(), text);
        assert_eq!(keep(dir.path(), &[]), bins());
    }
    // The oldest that still counts for an hour.
    let dir = folder();
    std::fs::write(dir.path().join("shop/budget.json"), one("[[494281,10,1]]")).unwrap();
    assert_eq!(keep(dir.path(), &[]), [Bin { hour: 494_281, answers: 10, bad: 1 }]);
}

#[test]
fn a_folder_that_takes_nothing_is_borne() {
    let (writing, thread) = channel();
    let nowhere = PathBuf::from("/proc/none");
    let (handle, before) = open(&nowhere, "shop", &writing, NOW);
    assert_eq!(before, []);
    assert!(handle.unwrap().keep(bins(), NOW));
    drop(writing);
    thread.run();
}
