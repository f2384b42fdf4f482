//! The ledger: nothing that was acknowledged is lost, nothing that was changed is believed.

use crate::records::{epoch, intent, ms, pulse, release, started, state, wall};
use serin::evidence::ledger::{Disk, Echo, Ledger, LedgerError, LineError, channel};
use serin::model::record::Record;
use serin::model::release::{Cause, ReleaseId};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

fn story() -> Vec<Record> {
    vec![
        started("act"),
        epoch(0, Cause::Start, None, state(100, 0), ms(0)),
        release(0, Some("2026-11-21.4"), ms(60_000)),
        epoch(1, Cause::Foreign, Some(0), state(0, 100), ms(60_000)),
        Record::Held { release: ReleaseId(0), reason: "reverted".into(), needs_human: false },
    ]
}

fn write_story(dir: &Path) -> Vec<Record> {
    let (mut ledger, past) = Ledger::open(dir, "checkout", None).unwrap();
    assert!(past.is_empty());
    for (at, record) in story().iter().enumerate() {
        ledger.append(ms(at as u64 * 1_000), wall(ms(at as u64 * 1_000)), record).unwrap();
    }
    story()
}

#[test]
fn what_was_written_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let written = write_story(dir.path());
    let (_ledger, past) = Ledger::open(dir.path(), "checkout", None).unwrap();
    let expected: Vec<_> =
        written.into_iter().enumerate().map(|(at, record)| (wall(ms(at as u64 * 1_000)), record)).collect();
    assert_eq!(past, expected);
    let text = fs::read_to_string(dir.path().join("checkout/ledger.jsonl")).unwrap();
    let third: serde_json::Value = serde_json::from_str(text.lines().nth(3).unwrap()).unwrap();
    assert_eq!(third["seq"], 3);
    assert_eq!(third["ts"], "2026-11-21T10:00:03.000Z");
    assert_eq!(third["mono"], 3_000_000_000_u64);
    assert_eq!(third["service"], "checkout");
    assert_eq!(third["release_id"], "2026-11-21.4");
    assert_eq!(third["event"], "epoch");
    assert_eq!(third["prev"].as_str().unwrap().len(), 64);
}

#[test]
fn a_second_opener_is_refused_with_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let first = Ledger::open(dir.path(), "checkout", None).unwrap();
    let error = Ledger::open(dir.path(), "checkout", None).unwrap_err();
    assert!(
        matches!(&error, LedgerError::InUse { path } if path.ends_with("checkout/ledger.lock")),
        "{error}"
    );
    drop(first);
    assert!(Ledger::open(dir.path(), "checkout", None).is_ok());
}

#[test]
fn a_name_that_leaves_the_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["..", "a/b", "", "A", &"x".repeat(64)] {
        assert!(matches!(Ledger::open(dir.path(), name, None), Err(LedgerError::Service(_))), "{name:?}");
    }
}

#[test]
fn a_last_line_torn_at_any_length_costs_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    write_story(dir.path());
    let path = dir.path().join("checkout/ledger.jsonl");
    let whole = fs::read(&path).unwrap();
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for length in last + 1..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let (mut ledger, past) = Ledger::open(dir.path(), "checkout", None).unwrap();
        assert_eq!(past.len(), 4, "torn at {length}");
        assert_eq!(fs::read(&path).unwrap(), whole[..last], "torn at {length}");
        let aside = fs::read(dir.path().join("checkout/ledger.torn")).unwrap();
        assert!(aside.ends_with(&[&whole[last..length], b"\n"].concat()), "torn at {length}");
        ledger.append(ms(9_000), wall(ms(9_000)), &started("act")).unwrap();
        drop(ledger);
        assert_eq!(Ledger::open(dir.path(), "checkout", None).unwrap().1.len(), 5, "torn at {length}");
    }
}

#[test]
fn an_edited_line_is_refused_with_its_number() {
    let dir = tempfile::tempdir().unwrap();
    write_story(dir.path());
    let path = dir.path().join("checkout/ledger.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.replacen("\"shows\":\"green\"", "\"shows\":\"blue\"", 1)).unwrap();
    let error = Ledger::open(dir.path(), "checkout", None).unwrap_err();
    assert!(
        matches!(&error, LedgerError::Broken { line: 5, why: LineError::Chain { .. }, .. }),
        "the line after the edited one doesn't continue it: {error}"
    );
    let without: Vec<&str> = whole.lines().enumerate().filter(|(n, _)| *n != 2).map(|(_, l)| l).collect();
    fs::write(&path, without.join("\n") + "\n").unwrap();
    assert!(matches!(
        Ledger::open(dir.path(), "checkout", None),
        Err(LedgerError::Broken { line: 3, why: LineError::Chain { .. }, .. })
    ));
    fs::write(&path, whole.replacen("\"event\":\"release\"", "\"event\":\"tomorrow\"", 1)).unwrap();
    assert!(matches!(
        Ledger::open(dir.path(), "checkout", None),
        Err(LedgerError::Broken { line: 3, why: LineError::Event(_), .. })
    ));
}

#[test]
fn a_newer_versions_last_line_is_not_taken_for_a_torn_one() {
    let dir = tempfile::tempdir().unwrap();
    write_story(dir.path());
    let path = dir.path().join("checkout/ledger.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.replacen("\"event\":\"held\"", "\"event\":\"tomorrow\"", 1)).unwrap();
    let error = Ledger::open(dir.path(), "checkout", None).unwrap_err();
    assert!(matches!(error, LedgerError::Broken { line: 5, why: LineError::Event(_), .. }));
}

#[test]
fn the_chain_goes_on_over_a_new_file() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, _) = Ledger::open(dir.path(), "checkout", None).unwrap();
    let mut ledger = ledger.rotating_at(1_000);
    for at in 0..10 {
        ledger.append(ms(at), wall(ms(at)), &started("act")).unwrap();
    }
    drop(ledger);
    let files = serin::evidence::ledger::ledger_files(&dir.path().join("checkout")).unwrap();
    assert!(files.len() >= 3, "{files:?}");
    let (ledger, past) = Ledger::open(dir.path(), "checkout", None).unwrap();
    assert_eq!(ledger.next_seq(), 10);
    assert!(past.len() < 10 && !past.is_empty(), "the last two files only: {}", past.len());
    drop(ledger);
    let first_of_the_newest_pair = &files[files.len() - 2];
    let text = fs::read_to_string(first_of_the_newest_pair).unwrap();
    fs::write(first_of_the_newest_pair, text.replace("c0ffee", "decaff")).unwrap();
    assert!(matches!(Ledger::open(dir.path(), "checkout", None), Err(LedgerError::Broken { .. })));
}

/// A disk that takes so many bytes, and syncs while it is told to.
#[derive(Clone, Default)]
struct Small(Arc<Mutex<SmallDisk>>);

#[derive(Default)]
struct SmallDisk {
    file: Vec<u8>,
    synced: Vec<u8>,
    room: usize,
    sync_fails: bool,
    log: Vec<&'static str>,
}

impl Small {
    fn with_room(room: usize) -> Self {
        let small = Self::default();
        small.0.lock().unwrap().room = room;
        small
    }
}

impl Disk for Small {
    fn path(&self) -> &Path {
        Path::new("small")
    }
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        let at = usize::try_from(offset).unwrap();
        assert!(at <= disk.file.len(), "no holes");
        let fits = bytes.len().min(disk.room.saturating_sub(at));
        disk.file.truncate(at);
        disk.file.extend_from_slice(&bytes[..fits]);
        disk.log.push("write");
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.log.push("sync");
        if disk.sync_fails {
            return Err(io::Error::other("EIO"));
        }
        disk.synced = disk.file.clone();
        Ok(())
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.lock().unwrap().file.truncate(usize::try_from(length).unwrap());
        Ok(())
    }
    fn rotate(&mut self, _last_seq: u64) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_says_so_keeps_whole_lines_and_loses_nothing() {
    let small = Small::with_room(300);
    let mut ledger = Ledger::on(small.clone(), "checkout", None);
    let mut failed = 0;
    for at in 0..6 {
        if let Err(error) = ledger.append(ms(at), wall(ms(at)), &started("act")) {
            let text = error.to_string();
            assert!(text.starts_with("small: can't write: ") && text.contains("free or mount"), "{text}");
            failed += 1;
        }
        let disk = small.0.lock().unwrap();
        assert!(disk.file.is_empty() || disk.file.ends_with(b"\n"), "readers see whole lines");
    }
    assert_eq!(failed, 5);
    small.0.lock().unwrap().room = 1 << 20;
    ledger.append(ms(6), wall(ms(6)), &started("act")).unwrap();
    let text = String::from_utf8(small.0.lock().unwrap().synced.clone()).unwrap();
    let numbers: Vec<u64> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_failed_sync_is_never_taken_for_a_good_one() {
    let small = Small::with_room(1 << 20);
    let mut ledger = Ledger::on(small.clone(), "checkout", None);
    small.0.lock().unwrap().sync_fails = true;
    assert!(matches!(
        ledger.append(ms(0), wall(ms(0)), &started("act")),
        Err(LedgerError::Io { what: "sync", .. })
    ));
    // The kernel dropped the page, and the next sync says that all is well.
    small.0.lock().unwrap().file.clear();
    small.0.lock().unwrap().sync_fails = false;
    ledger.append(ms(1), wall(ms(1)), &started("act")).unwrap();
    let synced = String::from_utf8(small.0.lock().unwrap().synced.clone()).unwrap();
    assert_eq!(synced.lines().count(), 2);
}

#[test]
fn a_disk_that_takes_nothing_costs_bounded_memory_and_the_loss_is_told() {
    let small = Small::with_room(0);
    let mut ledger = Ledger::on(small.clone(), "checkout", None);
    let minor = pulse(0, 10, 0, 10, "good", &["v1"]);
    let mut lost = 0;
    for at in 0..6_000 {
        if matches!(ledger.append(ms(at), wall(ms(at)), &minor), Err(LedgerError::Backlog { .. })) {
            lost += 1;
        }
    }
    assert!(lost > 100, "{lost}");
    assert!(
        matches!(ledger.append(ms(9), wall(ms(9)), &started("act")), Err(LedgerError::Io { .. })),
        "what is vital still fits"
    );
    small.0.lock().unwrap().room = usize::MAX;
    ledger.append(ms(10), wall(ms(10)), &started("act")).unwrap();
    let text = String::from_utf8(small.0.lock().unwrap().synced.clone()).unwrap();
    assert!(text.contains(&format!("\"lost\":{lost}")));
}

#[test]
fn what_is_not_vital_is_synced_once_a_second_at_most() {
    let small = Small::with_room(1 << 20);
    let mut ledger = Ledger::on(small.clone(), "checkout", None);
    for at in 0..30 {
        ledger.append(ms(10_000 + at * 100), wall(ms(at)), &pulse(0, 10, 0, 10, "good", &[])).unwrap();
    }
    let syncs = small.0.lock().unwrap().log.iter().filter(|what| **what == "sync").count();
    assert_eq!(syncs, 3);
}

#[test]
fn the_reply_comes_after_the_sync_of_everything_before() {
    let small = Small::with_room(1 << 20);
    let (handle, thread) = channel(Ledger::on(small.clone(), "checkout", None));
    let (told, reply) = std::sync::mpsc::channel();
    handle.note(ms(0), wall(ms(0)), Box::new(started("act")));
    let seen = small.clone();
    let answer = Box::new(move |result| {
        let text = String::from_utf8(seen.0.lock().unwrap().synced.clone()).unwrap();
        told.send((result, text)).unwrap();
    });
    handle.persist(ms(1), wall(ms(1)), Box::new(intent(0, 0)), answer);
    let worker = std::thread::spawn(|| thread.run());
    let (result, on_disk) = reply.recv().unwrap();
    assert_eq!(result, Ok(()));
    let events: Vec<_> = on_disk.lines().map(|line| line.contains("\"event\":\"intent\"")).collect();
    assert_eq!(events, [false, true]);
    drop(handle);
    worker.join().unwrap();
    assert_eq!(small.0.lock().unwrap().log, ["write", "sync"], "one sync for both");
}

#[test]
fn an_intent_that_is_not_on_disk_is_answered_so() {
    let small = Small::with_room(10);
    let (handle, thread) = channel(Ledger::on(small, "checkout", None));
    let worker = std::thread::spawn(|| thread.run());
    let (told, reply) = std::sync::mpsc::channel();
    let tell = told.clone();
    handle.persist(
        ms(1),
        wall(ms(1)),
        Box::new(intent(0, 0)),
        Box::new(move |result| tell.send(result).unwrap()),
    );
    assert!(reply.recv().unwrap().unwrap_err().0.contains("small: can't write"));
    let orphan = handle.clone();
    drop(handle);
    drop(orphan);
    worker.join().unwrap();
    let (handle, thread) = channel(Ledger::on(Small::default(), "checkout", None));
    drop(thread);
    handle.persist(
        ms(1),
        wall(ms(1)),
        Box::new(intent(0, 0)),
        Box::new(move |result| told.send(result).unwrap()),
    );
    assert!(reply.recv().unwrap().unwrap_err().0.contains("thread is gone"));
}

#[test]
fn a_full_channel_drops_notes_and_never_an_intent() {
    let small = Small::with_room(usize::MAX);
    let (handle, thread) = channel(Ledger::on(small.clone(), "checkout", None));
    for at in 0..10_000 {
        handle.note(ms(at), wall(ms(at)), Box::new(pulse(0, 1, 0, 1, "good", &[])));
    }
    let minor = handle.dropped();
    assert!(minor > 5_000);
    handle.note(ms(1), wall(ms(1)), Box::new(started("act")));
    assert_eq!(handle.dropped(), minor, "a vital record has room of its own");
    for at in 0..10_000 {
        handle.note(ms(at), wall(ms(at)), Box::new(started("act")));
    }
    let (told, reply) = std::sync::mpsc::channel();
    handle.persist(
        ms(1),
        wall(ms(1)),
        Box::new(intent(0, 0)),
        Box::new(move |result| told.send(result).unwrap()),
    );
    let dropped = handle.dropped();
    let worker = std::thread::spawn(|| thread.run());
    assert_eq!(reply.recv().unwrap(), Ok(()));
    drop(handle);
    worker.join().unwrap();
    let text = String::from_utf8(small.0.lock().unwrap().synced.clone()).unwrap();
    assert!(
        text.lines().next().unwrap().contains(&format!("\"lost\":{dropped}")),
        "the ledger tells of the gap"
    );
}

#[test]
fn every_line_is_echoed_whole_and_a_broken_output_fails_nothing() {
    struct Calls(Vec<Vec<u8>>);
    impl io::Write for Calls {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.to_vec());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    struct Broken;
    impl io::Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let small = Small::with_room(1 << 20);
    let (echo, thread) = Echo::new();
    let mut ledger = Ledger::on(small.clone(), "checkout", Some(echo));
    for at in 0..3 {
        ledger.append(ms(at), wall(ms(at)), &started("act")).unwrap();
    }
    drop(ledger);
    let mut calls = Calls(vec![]);
    thread.run(&mut calls);
    assert_eq!(calls.0.len(), 3, "one call a line");
    assert_eq!(calls.0.concat(), small.0.lock().unwrap().synced);

    let (echo, thread) = Echo::new();
    let mut ledger = Ledger::on(Small::with_room(1 << 20), "checkout", Some(echo.clone()));
    ledger.append(ms(0), wall(ms(0)), &started("act")).unwrap();
    drop(ledger);
    let worker = std::thread::spawn(|| thread.run(&mut Broken));
    let watched = echo.clone();
    drop(echo);
    while watched.lost() == 0 {
        std::thread::yield_now();
    }
    drop(watched);
    worker.join().unwrap();
}
