//! Raw samples: what went wrong and what surrounds a cutover, within bounds.

use crate::records::{ms, wall};
use serin::evidence::samples::{
    Batch, Cutover, Item, Kept, Limits, Names, SampleKeeper, SampleLine, SampleWriter, channel, sample_files,
};
use serin::model::release::{EpochId, ReleaseId};
use serin::model::sample::{Fault, Outcome, Phases, Purpose, Sample, Taint};
use serin::model::target::{TargetId, VersionId, Versions};
use serin::model::time::{Mono, Span};
use std::fs;
use std::sync::Arc;

const LIMITS: Limits = Limits { slow: None, window_bytes: 64 << 20 };

fn sample(due: Mono, target: u16, outcome: Outcome) -> Sample {
    Sample {
        due,
        planned: due,
        phases: Phases { first_byte: Span(50_000), body: Span(10_000), ..Phases::default() },
        target: TargetId(target),
        conn: 1,
        epoch: EpochId(0),
        addr: 0,
        version: VersionId::NONE,
        status: 200,
        purpose: Purpose::Production,
        taint: Taint::Clean,
        outcome,
        told_slow: false,
    }
}

fn cutover(epoch: u32, release: Option<u32>, after: u64, since: u64) -> Cutover {
    Cutover {
        epoch: EpochId(epoch),
        release: release.map(ReleaseId),
        label: None,
        after: ms(after),
        since: ms(since),
        until: ms(since + 900_000),
    }
}

fn drain(keeper: &mut SampleKeeper) -> Vec<Item> {
    let mut items = vec![];
    while let Some(batch) = keeper.take_due(&Versions::default(), (ms(0), wall(ms(0)))) {
        items.extend(batch.items);
    }
    items
}

fn dues(items: &[Item]) -> Vec<u64> {
    items
        .iter()
        .filter_map(|item| match item {
            Item::Sample(kept) => Some(kept.sample.due.0 / 1_000_000),
            Item::Spill(..) => None,
        })
        .collect()
}

const BAD: Outcome = Outcome::Bad(Fault::Status);

#[test]
fn calm_times_leave_nothing_raw() {
    let mut keeper = SampleKeeper::new(LIMITS, 1);
    keeper.cutover(cutover(0, None, 0, 0));
    for at in 1..100_000 {
        keeper.push(&sample(ms(at * 10), 0, Outcome::Ok));
    }
    assert_eq!(drain(&mut keeper), []);
}

#[test]
fn a_bad_sample_is_kept_with_two_neighbours_of_its_target_on_each_side() {
    let mut keeper = SampleKeeper::new(LIMITS, 1);
    keeper.cutover(cutover(0, None, 0, 0));
    for at in 1..=20 {
        let target = u16::try_from(at % 2).unwrap();
        keeper.push(&sample(ms(at), target, if at == 10 { BAD } else { Outcome::Ok }));
        if at == 9 {
            assert_eq!(drain(&mut keeper), [], "nothing yet, and what passed can still be wanted");
        }
    }
    assert_eq!(dues(&drain(&mut keeper)), [6, 8, 10, 12, 14]);
}

#[test]
fn what_is_our_own_doing_or_tainted_is_not_kept_as_bad() {
    let mut keeper = SampleKeeper::new(LIMITS, 1);
    keeper.push(&sample(ms(1), 0, Outcome::Failed(serin::model::sample::Ours::Library)));
    keeper.push(&Sample { taint: Taint::Late, ..sample(ms(2), 0, BAD) });
    assert_eq!(drain(&mut keeper), []);
    let mut keeper = SampleKeeper::new(Limits { slow: Some(Span(59_999)), ..LIMITS }, 1);
    keeper.push(&sample(ms(1), 0, Outcome::Ok));
    assert_eq!(dues(&drain(&mut keeper)), [1], "slower than the objective is bad");
}

#[test]
fn a_release_is_kept_from_a_minute_before_its_cutover_to_the_end_of_its_judging() {
    let mut keeper = SampleKeeper::new(LIMITS, 1);
    for at in 0..1_200 {
        keeper.push(&sample(ms(at * 100), 0, Outcome::Ok));
    }
    keeper.cutover(cutover(1, Some(7), 119_000, 119_950));
    keeper.push(&sample(ms(120_000), 0, Outcome::Ok));
    keeper.push(&sample(ms(119_950 + 900_000), 0, Outcome::Ok));
    keeper.push(&sample(ms(119_950 + 900_001), 0, Outcome::Ok));
    let items = drain(&mut keeper);
    let kept = dues(&items);
    assert_eq!(kept.first(), Some(&60_000), "a minute before {kept:?}");
    assert_eq!(kept.last(), Some(&1_019_950));
    assert!(items.iter().all(|item| matches!(item, Item::Sample(Kept { release: Some(ReleaseId(7)), .. }))));
}

#[test]
fn straddling_samples_are_kept_and_marked_whenever_they_end() {
    let mut keeper = SampleKeeper::new(LIMITS, 1);
    for at in 0..20 {
        keeper.push(&sample(ms(at * 100), 0, Outcome::Ok));
    }
    keeper.cutover(cutover(1, None, 1_000, 1_950));
    keeper.push(&sample(ms(1_900), 0, BAD));
    keeper.push(&sample(ms(1_950), 0, Outcome::Ok));
    let items = drain(&mut keeper);
    assert_eq!(dues(&items), [1_100, 1_200, 1_300, 1_400, 1_500, 1_600, 1_700, 1_800, 1_900, 1_900]);
    assert!(
        items.iter().all(
            |item| matches!(item, Item::Sample(Kept { sample, .. }) if sample.taint == Taint::Straddling)
        )
    );
}

#[test]
fn beyond_a_thousand_bad_samples_a_reservoir_stays_with_counts_and_a_seed_repeats_it() {
    let run = |seed| {
        let mut keeper = SampleKeeper::new(LIMITS, seed);
        keeper.cutover(cutover(0, None, 0, 0));
        let mut items = vec![];
        for at in 1..=50_000 {
            keeper.push(&sample(ms(at), 0, BAD));
            if at % 500 == 0 {
                items.extend(drain(&mut keeper));
            }
        }
        assert_eq!(dues(&items).len(), 1_002, "the first thousand, and the neighbours of the last");
        keeper.cutover(cutover(1, None, 50_001, 50_001));
        drain(&mut keeper)
    };
    let items = run(1);
    assert_eq!(dues(&items).len(), 1_000);
    assert!(
        matches!(items.last(), Some(Item::Spill(spill, None)) if spill.bad == 50_000 && spill.left_out == 48_000),
        "{:?}",
        items.last()
    );
    let late = dues(&items).iter().filter(|due| **due > 25_500).count();
    assert!((400..600).contains(&late), "a fair choice: {late} of the later half");
    assert_eq!(run(1), items);
    assert_ne!(run(2), items);
}

#[test]
fn memory_stays_within_8_mib_and_what_makes_room_is_counted() {
    let mut keeper = SampleKeeper::new(LIMITS, 1);
    keeper.cutover(cutover(0, None, 0, 0));
    let mut most = 0;
    for at in 0..300_000_u64 {
        let due = Mono(at * 100_000);
        let target = u16::try_from(at % 1_000).unwrap();
        keeper.push(&sample(due, target, if at % 3 == 0 { BAD } else { Outcome::Ok }));
        if at == 150_000 {
            keeper.cutover(cutover(1, Some(0), 14_000, 15_000));
        }
        most = most.max(keeper.memory());
    }
    assert!(most <= 8 << 20, "{most}");
    assert!(most > 6 << 20, "the ring is used: {most}");
    assert!(keeper.lost() > 0, "nobody took what was wanted");
}

#[test]
fn a_window_beyond_its_share_of_the_disk_goes_on_with_bad_samples_only() {
    let mut keeper = SampleKeeper::new(Limits { window_bytes: 480 * 100, ..LIMITS }, 1);
    keeper.cutover(cutover(1, Some(0), 0, 0));
    for at in 1..=1_000 {
        keeper.push(&sample(ms(at), 0, if at == 500 { BAD } else { Outcome::Ok }));
    }
    assert_eq!(dues(&drain(&mut keeper)), (1..=100).chain(498..=502).collect::<Vec<_>>());
}

fn batch(release: u32, count: u64) -> Batch {
    let kept = |at| Kept { sample: sample(ms(at), 0, BAD), release: Some(ReleaseId(release)), version: None };
    Batch {
        items: (0..count).map(|at| Item::Sample(kept(at))).collect(),
        label: None,
        names: None,
        anchor: (ms(1_000), wall(ms(1_000))),
    }
}

fn names() -> Names {
    Names(vec![("http://127.0.0.1:8080/health".into(), "health".into())])
}

#[test]
fn each_record_carries_what_a_reader_needs() {
    let dir = tempfile::tempdir().unwrap();
    let writer = SampleWriter::open(dir.path(), "checkout", names(), 1 << 20).unwrap();
    let (handle, thread) = channel(writer);
    let mut versions = Versions::default();
    let mut keeper = SampleKeeper::new(LIMITS, 1);
    keeper.cutover(Cutover { label: Some("2026-11-21.4".into()), ..cutover(3, Some(1), 0, 0) });
    keeper.push(&Sample { version: versions.intern("v2"), status: 500, ..sample(ms(1_500), 0, BAD) });
    handle.pump(&mut keeper, &versions, (ms(2_000), wall(ms(2_000))));
    drop(handle);
    thread.run();
    let text = fs::read_to_string(dir.path().join("checkout/samples-r1.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["ts"], "2026-11-21T10:00:01.500Z");
    assert_eq!(line["url"], "http://127.0.0.1:8080/health");
    assert_eq!(line["target"], "health");
    assert_eq!(line["status"], 500);
    assert_eq!(line["response_ms"], 6.0);
    assert_eq!(line["release_id"], "2026-11-21.4");
    assert_eq!(line["version"], "v2");
    assert_eq!(line["outcome"], "bad");
    assert_eq!(line["fault"], "status");
    assert_eq!(line["phases_ms"]["first_byte"], 5.0);
    assert!(serde_json::from_str::<SampleLine>(&text).is_ok());
}

#[test]
fn what_comes_after_a_change_of_the_configuration_has_its_new_names_and_limit() {
    let dir = tempfile::tempdir().unwrap();
    let writer = SampleWriter::open(dir.path(), "checkout", names(), 1 << 20).unwrap();
    let (handle, thread) = channel(writer);
    let versions = Versions::default();
    let mut keeper = SampleKeeper::new(LIMITS, 1);
    keeper.cutover(cutover(3, Some(1), 0, 0));
    keeper.push(&sample(ms(1_500), 0, BAD));
    let both = Names(names().0.into_iter().chain([("http://b/".into(), "b".into())]).collect());
    keeper.revise(Some(Arc::new(both)), Some(Span(50_000)));
    keeper.revise(None, Some(Span(50_000)));
    keeper.push(&sample(ms(1_600), 1, BAD));
    handle.pump(&mut keeper, &versions, (ms(2_000), wall(ms(2_000))));
    keeper.close();
    // Six milliseconds are slow now.
    keeper.push(&sample(ms(90_000), 1, Outcome::Ok));
    handle.pump(&mut keeper, &versions, (ms(91_000), wall(ms(91_000))));
    drop(handle);
    thread.run();
    let files = sample_files(&dir.path().join("checkout")).unwrap();
    let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let lines = text.lines().map(|line| serde_json::from_str::<SampleLine>(line).unwrap());
    let named: Vec<(String, String)> = lines.map(|line| (line.target.into(), line.url.into())).collect();
    let one = |name: &str, url: &str| (name.to_owned(), url.to_owned());
    assert_eq!(
        named,
        [one("health", "http://127.0.0.1:8080/health"), one("b", "http://b/"), one("b", "http://b/")]
    );
}

#[test]
fn the_budget_deletes_the_oldest_samples_and_never_the_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("checkout");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("ledger.jsonl"), vec![b'x'; 30_000]).unwrap();
    let mut writer = SampleWriter::open(dir.path(), "checkout", names(), 100_000).unwrap();
    let used = || fs::read_dir(&folder).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).sum::<u64>();
    for release in 0..8 {
        writer.write(&batch(release, 50));
        assert!(used() <= 100_000, "after {release}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let counts = writer.counts();
    assert!(counts.deleted() > 0);
    assert_eq!(counts.unwritten(), 0);
    assert_eq!(fs::metadata(folder.join("ledger.jsonl")).unwrap().len(), 30_000);
    let files = sample_files(&folder).unwrap();
    assert!(files.last().unwrap().ends_with("samples-r7.jsonl"), "the newest stays: {files:?}");
    assert!(!folder.join("samples-r0.jsonl").exists(), "the oldest went first");
    writer.write(&batch(9, 5_000));
    assert_eq!(counts.unwritten(), 5_000, "more than the budget is counted, not written");
    assert!(used() <= 100_000);
}

#[test]
fn a_line_that_a_crash_tore_does_not_swallow_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("checkout/samples-r1.jsonl");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "{\"ts\":\"2026").unwrap();
    SampleWriter::open(dir.path(), "checkout", names(), 1 << 20).unwrap().write(&batch(1, 1));
    let text = fs::read_to_string(&path).unwrap();
    let whole = text.lines().filter(|line| serde_json::from_str::<SampleLine>(line).is_ok()).count();
    assert_eq!((text.lines().count(), whole), (2, 1));
}
