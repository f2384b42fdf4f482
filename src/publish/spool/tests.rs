use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

const HOUR: i64 = 3_600_000;

fn place(dir: &Path, bytes_max: u64) -> Place {
    Place { dir: dir.join("cloudwatch"), bytes_max, age_max: Duration::from_hours(1) }
}

fn batch(at: i64, body: &[u8]) -> Batch {
    Batch { at: Wall(at), items: 3, body: Bytes::copy_from_slice(body) }
}

/// What gzip makes no smaller.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u8::try_from(state >> 56).unwrap()
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn drain(spool: &mut Spool, now: Wall) -> Vec<Batch> {
    let mut all = Vec::new();
    while let Some((key, batch)) = spool.take(now).unwrap() {
        spool.done(key).unwrap();
        all.push(batch);
    }
    assert_eq!(spool.dropped(), []);
    all
}

#[test]
fn what_was_kept_comes_back_oldest_first_after_a_restart_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let all = [batch(30, b"c"), batch(10, b"a"), batch(20, b"b"), batch(20, b"b2")];
    let mut spool = Spool::open(place(folder.path(), 1 << 20)).unwrap();
    for batch in &all {
        spool.push(batch, Wall(30)).unwrap();
    }
    let waiting = Waiting { batches: 4, bytes: 4 * BLOCK };
    assert_eq!((spool.dropped(), spool.waiting()), (vec![], waiting));
    assert!(Spool::open(place(folder.path(), 1 << 20)).is_err(), "another process has it");
    drop(spool);

    let mut spool = Spool::open(place(folder.path(), 1 << 20)).unwrap();
    assert_eq!((spool.dropped(), spool.waiting()), (vec![], waiting));
    // One that was not delivered is the next again.
    let (_, first) = spool.take(Wall(30)).unwrap().unwrap();
    spool.back();
    assert_eq!(first, all[1]);
    assert_eq!(drain(&mut spool, Wall(30)), [&all[1], &all[2], &all[3], &all[0]].map(Clone::clone));
    drop(spool);
    assert_eq!(Spool::open(place(folder.path(), 1 << 20)).unwrap().waiting(), Waiting::default());
}

#[test]
fn what_is_torn_is_skipped_and_counted_and_what_is_not_ours_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path(), 1 << 20);
    let mut spool = Spool::open(place.clone()).unwrap();
    for at in 0..4 {
        spool.push(&batch(at, &noise(500, 7)), Wall(0)).unwrap();
    }
    drop(spool);
    let file = |at: i64, ending: &str| place.dir.join(format!("{at:015}-{at:010}-3{ending}"));
    // Cut off, empty, one bit off; and one that was being written when the process was killed.
    let whole = fs::read(file(0, WHOLE)).unwrap();
    fs::write(file(0, WHOLE), &whole[..whole.len() - 4]).unwrap();
    fs::write(file(1, WHOLE), b"").unwrap();
    let mut flipped = fs::read(file(2, WHOLE)).unwrap();
    flipped[200] ^= 1;
    fs::write(file(2, WHOLE), flipped).unwrap();
    fs::write(file(9, BEGUN), b"half").unwrap();
    fs::write(place.dir.join("notes.txt"), b"mine").unwrap();
    fs::write(place.dir.join("1-2-3-4.gz"), b"mine").unwrap();

    let mut spool = Spool::open(place.clone()).unwrap();
    assert_eq!(spool.dropped(), [(Reason::Torn, 3)], "what was being written");
    assert!(!file(9, BEGUN).exists());
    let found = spool.take(Wall(0)).unwrap();
    assert_eq!(spool.dropped(), [(Reason::Torn, 3); 3]);
    assert_eq!(found.unwrap().1, batch(3, &noise(500, 7)));
    assert_eq!(spool.waiting().batches, 1);
    assert!(place.dir.join("notes.txt").exists() && place.dir.join("1-2-3-4.gz").exists());
    // Its number is never given twice.
    spool.push(&batch(9, b"x"), Wall(9)).unwrap();
    assert!(place.dir.join("000000000000009-0000000010-3.gz").exists());
}

#[test]
fn the_oldest_make_room_and_what_is_too_old_goes_each_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(place(folder.path(), 3 * BLOCK)).unwrap();
    let push = |spool: &mut Spool, at: i64, body: &[u8]| {
        spool.push(&batch(at, body), Wall(0)).unwrap();
        spool.dropped()
    };
    for at in 0..3 {
        assert_eq!(push(&mut spool, at, b"x"), []);
    }
    assert_eq!(push(&mut spool, 3, b"x"), [(Reason::SpoolFull, 3)]);
    // Two blocks: two of the oldest go.
    assert_eq!(push(&mut spool, 4, &noise(5_000, 1)), [(Reason::SpoolFull, 3); 2]);
    assert_eq!(spool.waiting(), Waiting { batches: 2, bytes: 3 * BLOCK });
    // More than there is room at all costs nobody else's place.
    assert_eq!(push(&mut spool, 5, &noise(20_000, 1)), [(Reason::SpoolFull, 3)]);
    assert_eq!(spool.waiting().batches, 2);
    // What is on its way may be delivered, so it isn't lost.
    let (key, oldest) = spool.take(Wall(0)).unwrap().unwrap();
    assert_eq!(oldest, batch(3, b"x"));
    assert_eq!(push(&mut spool, 6, b"x"), [(Reason::SpoolFull, 3)]);
    spool.done(key).unwrap();
    assert_eq!(push(&mut spool, 7, b"x"), []);
    // An hour and a millisecond after the one, an hour after the other.
    let next = spool.take(Wall(7 + HOUR)).unwrap();
    assert_eq!((spool.dropped(), next.unwrap().1), (vec![(Reason::TooOld, 3)], batch(7, b"x")));
    drop(spool);
    // A bound that has become smaller holds at once.
    let mut spool = Spool::open(place(folder.path(), 0)).unwrap();
    assert_eq!((spool.dropped(), spool.waiting()), (vec![(Reason::SpoolFull, 3)], Waiting::default()));
}

#[test]
fn a_disk_that_refuses_is_an_error_and_a_loss_and_nothing_waits_there() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path(), 1 << 20);
    let mut spool = Spool::open(place.clone()).unwrap();
    fs::remove_dir_all(&place.dir).unwrap();
    assert!(spool.push(&batch(1, b"x"), Wall(0)).is_err());
    assert_eq!((spool.dropped(), spool.waiting()), (vec![(Reason::Disk, 3)], Waiting::default()));
    fs::write(&place.dir, b"a file where the folder should be").unwrap();
    assert!(Spool::open(place).is_err());
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Deliver,
    Fail,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1_usize..12_000).prop_map(Step::Push),
        Just(Step::Deliver),
        Just(Step::Fail),
        Just(Step::Restart)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a queue in memory: every batch is delivered once, in order, or counted; and the bound holds on disk.
    #[test]
    fn each_batch_is_delivered_once_or_counted(steps in prop::collection::vec(step(), 1..40)) {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path(), 6 * BLOCK);
        let mut spool = Spool::open(place.clone()).unwrap();
        let mut kept: VecDeque<Batch> = VecDeque::new();
        for (at, step) in (0_i64..).zip(steps) {
            match step {
                Step::Push(length) => {
                    let batch = batch(at, &noise(length, at.unsigned_abs()));
                    spool.push(&batch, Wall(0)).unwrap();
                    kept.push_back(batch);
                    for (reason, items) in spool.dropped() {
                        prop_assert_eq!((reason, items), (Reason::SpoolFull, 3));
                        kept.pop_front();
                    }
                }
                Step::Deliver => {
                    let found = spool.take(Wall(0)).unwrap();
                    prop_assert_eq!(spool.dropped(), vec![]);
                    prop_assert_eq!(found.as_ref().map(|(_, batch)| batch), kept.front());
                    kept.pop_front();
                    if let Some((key, _)) = found {
                        spool.done(key).unwrap();
                    }
                }
                Step::Fail => {
                    let found = spool.take(Wall(0)).unwrap();
                    prop_assert_eq!(found.as_ref().map(|(_, batch)| batch), kept.front());
                    spool.back();
                }
                Step::Restart => {
                    drop(spool);
                    spool = Spool::open(place.clone()).unwrap();
                }
            }
            let sizes = fs::read_dir(&place.dir).unwrap().map(|file| blocks(file.unwrap().metadata().unwrap().len()));
            let bytes: u64 = sizes.sum();
            prop_assert_eq!(spool.waiting(), Waiting { batches: kept.len() as u64, bytes });
            prop_assert!(bytes <= 6 * BLOCK);
        }
    }
}
