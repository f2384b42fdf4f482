//! What is known again after each prefix of a ledger.

use super::*;
use crate::listener::RuleState;
use crate::record::IntentId;

fn release(irreversible: bool) -> Record {
    Record::Release {
        release: ReleaseId(4),
        label: None,
        base: None,
        from: "blue".into(),
        to: "green".into(),
        cutover: crate::time::Mono(0),
        irreversible,
    }
}

fn begin() -> Record {
    Record::Operator { command: Command::ReleaseBegin { label: Some("x".into()), irreversible: true } }
}

fn held() -> Record {
    Record::Held { release: ReleaseId(4), reason: "partial".into(), needs_human: true }
}

/// Lines a second apart, read ten seconds after the last.
fn read(records: Vec<Record>) -> Recovered {
    let now = Wall(i64::try_from(records.len()).unwrap() * 1_000 + 9_000);
    let lines = records.into_iter().zip(0_i64..).map(|(record, n)| (Wall(n * 1_000), record));
    recover(lines, now)
}

#[test]
fn an_empty_ledger_knows_nothing() {
    let nothing = recover([], Wall(5));
    assert_eq!(nothing, Recovered { gap: Duration::MAX, ..Recovered::default() });
}

#[test]
fn numbers_are_never_used_twice() {
    let memory = read(vec![release(false)]);
    assert_eq!(memory.next_release, 5);
    assert_eq!(memory.gap, Duration::from_secs(10));
}

#[test]
fn a_mark_waits_for_its_release_and_speaks_of_no_other() {
    assert_eq!(read(vec![begin()]).mark.map(|mark| mark.irreversible), Some(true));
    let seen = read(vec![begin(), release(true)]);
    assert_eq!((seen.mark, seen.release.unwrap().irreversible), (None, true));
    let soon = read(vec![release(false), begin()]);
    let running = soon.release.unwrap();
    assert_eq!((soon.mark, running.irreversible, running.label), (None, true, Some("x".into())));
}

#[test]
fn an_ack_ends_a_latched_release_and_no_other() {
    let ack = || Record::Operator { command: Command::Ack };
    assert!(!read(vec![release(false), ack()]).release.unwrap().over);
    let acked = read(vec![release(false), held(), ack()]).release.unwrap();
    assert_eq!((acked.over, acked.latch), (true, Some(("partial", false))));
}

#[test]
fn a_revert_counts_once_and_an_unknown_one_counts_too() {
    let wrote = |word: &str| Record::Wrote {
        intent: IntentId(1),
        outcome: word.into(),
        detail: "".into(),
        arn: "l".into(),
    };
    let confirmed = || Record::Confirmed { intent: IntentId(1) };
    let counts = |records| read(records).reverts_ago.len();
    assert_eq!(counts(vec![wrote("accepted"), confirmed()]), 1);
    assert_eq!(counts(vec![confirmed()]), 1);
    assert_eq!(counts(vec![wrote("unknown")]), 1);
    assert_eq!(counts(vec![wrote("refused")]), 0);
}

#[test]
fn reverts_of_more_than_a_day_ago_are_forgotten() {
    let line = (Wall(0), Record::Confirmed { intent: IntentId(1) });
    let day = 24 * 3_600_000;
    assert_eq!(recover([line.clone()], Wall(day - 1)).reverts_ago.len(), 1);
    assert_eq!(recover([line.clone()], Wall(day)).reverts_ago.len(), 0);
    // A clock that went backwards makes it recent.
    assert_eq!(recover([line], Wall(-5)).reverts_ago, [Duration::ZERO]);
}

#[test]
fn a_hold_stands_until_it_is_lifted() {
    let hold = || Record::Operator { command: Command::Hold { reason: "x".into() } };
    let lift = || Record::Operator { command: Command::Unhold };
    assert_eq!(read(vec![hold()]).hold, Some("x".into()));
    assert_eq!(read(vec![hold(), lift()]).hold, None);
}

fn epoch(id: u32, arn: &str) -> Record {
    let forward = crate::listener::Forward { scalar: Some(arn.into()), ..Default::default() };
    let state = RuleState { arn: "l".into(), forward: Some(forward), others: vec![], unknown: vec![] }.into();
    Record::Epoch {
        epoch: EpochId(id),
        cause: crate::release::Cause::Foreign,
        release: None,
        label: None,
        shows: "".into(),
        after: crate::time::Mono(0),
        since: crate::time::Mono(0),
        state: Some(state),
    }
}

#[test]
fn what_an_earlier_state_answered_is_known_and_belongs_to_no_other() {
    let seen = |id, version: &str| Record::Seen {
        epoch: EpochId(id),
        versions: [crate::target::Version::from(version)].into(),
        targets: BTreeSet::new(),
    };
    let memory = read(vec![epoch(6, "blue"), seen(6, "v1"), seen(5, "v0"), epoch(7, "green"), seen(7, "v2")]);
    let known: Vec<String> =
        memory.history.iter().flat_map(|e| e.versions.iter().map(ToString::to_string)).collect();
    assert_eq!(known, ["v1"]);
    assert_eq!(memory.next_epoch, 8);
    assert_eq!(memory.shows.map(|shows| shows.to_string()), Some("forward green=1".into()));
}

#[test]
fn a_good_state_that_is_good_no_more_gives_way_to_the_base_of_a_release_that_runs() {
    let good = |id| Good {
        epoch: EpochId(id),
        state: RuleState { arn: "l".into(), forward: None, others: vec![], unknown: vec![] }.into(),
        versions: BTreeSet::new(),
        targets: BTreeSet::new(),
        healthy: 1,
        baseline: crate::release::Baseline::default(),
    };
    let based = || match release(false) {
        Record::Release { release, label, from, to, cutover, irreversible, .. } => {
            Record::Release { release, label, base: Some(good(1)), from, to, cutover, irreversible }
        }
        other => other,
    };
    let newer = || Record::Good { good: good(3) };
    let spoilt = |id| Record::NotGood { epoch: EpochId(id) };
    assert_eq!(read(vec![based(), newer(), spoilt(3)]).good, Some(good(1)));
    assert_eq!(read(vec![based(), newer(), spoilt(2)]).good, Some(good(3)));
    let kept = Record::Kept { release: ReleaseId(4) };
    assert_eq!(read(vec![based(), newer(), kept, spoilt(3)]).good, None);
}

#[test]
fn an_unknown_latch_is_still_a_latch() {
    let odd = Record::Held { release: ReleaseId(4), reason: "of-the-future".into(), needs_human: true };
    assert_eq!(read(vec![release(false), odd]).release.unwrap().latch, Some(("refused", true)));
}

#[test]
fn a_latch_keeps_its_name() {
    for name in ["reverted", "observe", "partial", "overridden", "interrupted"] {
        let held = Record::Held { release: ReleaseId(4), reason: name.into(), needs_human: false };
        assert_eq!(read(vec![release(false), held]).release.unwrap().latch, Some((name, false)));
    }
}

/// A machine that dies between the two lines must not judge, and put back, a second time.
#[test]
fn what_was_proved_is_latched_though_the_line_that_says_so_is_missing() {
    let proved = || Record::Verified { intent: IntentId(1), answers: 40, addresses: 2 };
    assert_eq!(read(vec![release(false), proved()]).release.unwrap().latch, Some(("reverted", false)));
    let partly = vec![release(false), held(), proved()];
    assert_eq!(read(partly).release.unwrap().latch, Some(("partial", true)), "the more careful reading");
}

#[test]
fn a_mark_that_comes_a_minute_after_the_cutover_waits_for_the_next_one() {
    let after = |millis| {
        let lines = [(Wall(0), release(false)), (Wall(millis), begin())];
        let memory = recover(lines, Wall(100_000));
        (memory.release.unwrap().irreversible, memory.mark.map(|mark| mark.ago))
    };
    assert_eq!(after(59_999), (true, None));
    assert_eq!(after(60_000), (false, Some(Duration::from_secs(40))));
}

#[test]
fn a_mark_speaks_of_no_release_that_is_over_or_has_a_name() {
    let waits = |records| read(records).mark.is_some();
    assert!(waits(vec![release(false), Record::Kept { release: ReleaseId(4) }, begin()]));
    assert!(waits(vec![release(false), begin(), begin()]), "it was named already");
    let free = Record::Operator { command: Command::ReleaseBegin { label: None, irreversible: false } };
    let memory = read(vec![release(true), free]);
    assert!(memory.release.unwrap().irreversible, "what one mark forbids another does not allow");
}

fn intent(id: u64) -> Record {
    let intent = *crate::guard::rig::intent(&crate::guard::rig::armed());
    Record::Intent(Intent { id: IntentId(id), ..intent })
}

#[test]
fn an_intent_stays_open_until_the_ledger_has_its_end() {
    let id = IntentId(6);
    let open = |record| {
        let memory = read(vec![release(false), intent(6), record]);
        assert_eq!(memory.next_intent, 7);
        memory.intent.is_some()
    };
    assert!(open(Record::WriteSent { intent: id, attempt: 1, arn: "l".into() }));
    assert!(!open(Record::Verified { intent: id, answers: 20, addresses: 2 }));
    assert!(!open(Record::Abandoned { intent: id, why: "".into() }));
    assert!(!open(held()));
    assert!(!open(release(false)));
}

#[test]
fn a_write_is_out_until_its_answer_says_that_nothing_was_changed() {
    let sent = || Record::WriteSent { intent: IntentId(6), attempt: 1, arn: "l".into() };
    let wrote = |word: &str| Record::Wrote {
        intent: IntentId(6),
        outcome: word.into(),
        detail: "".into(),
        arn: "l".into(),
    };
    let left = || Record::Abandoned { intent: IntentId(6), why: "the listener changed under us".into() };
    let started = || Record::Started { version: "1".into(), config: "".into(), mode: "act".into() };
    // What is left open by it, and whether it is among the reverts.
    let open = |records| {
        let memory = read(records);
        memory.intent.map(|_| (memory.intent_sent, memory.intent_spent))
    };
    assert_eq!(open(vec![intent(6), left()]), None, "who lives on says that nothing was sent");
    assert_eq!(open(vec![intent(6), sent(), left()]), Some((true, false)));
    assert_eq!(open(vec![intent(6), sent(), wrote("refused"), left()]), None);
    assert_eq!(open(vec![intent(6), sent(), wrote("unknown"), left()]), None, "counted, and waited for");
    assert_eq!(open(vec![intent(6), sent(), wrote("unknown"), intent(7), left()]), None);
    // Who is gone may have sent what was on disk, and a second restart owes it what the first did.
    assert_eq!(open(vec![intent(6)]), Some((true, false)));
    assert_eq!(open(vec![intent(6), sent(), wrote("refused")]), Some((true, false)));
    assert_eq!(open(vec![intent(6), sent(), wrote("unknown")]), Some((true, true)));
    assert_eq!(open(vec![intent(6), started(), left()]), Some((true, false)));

    let sent_ago = |records| read(records).sent_ago.map(|ago| ago.as_secs());
    assert_eq!(sent_ago(vec![intent(6), sent(), left(), intent(7), left()]), Some(13));
    assert_eq!(sent_ago(vec![intent(6)]), Some(10), "as late as it can have been");
    assert_eq!(sent_ago(vec![intent(6), started(), left()]), Some(11));
    assert_eq!(sent_ago(vec![intent(6), sent(), started(), left()]), Some(12), "it is known when");
    assert_eq!(sent_ago(vec![started(), intent(6), left(), started()]), None);
}

#[test]
fn a_state_that_came_again_is_known_once_and_by_its_newest_answers() {
    let memory = read(vec![epoch(1, "blue"), epoch(2, "green"), epoch(3, "blue"), epoch(4, "green")]);
    let known: Vec<String> = memory.history.iter().map(|known| known.fingerprint.to_string()).collect();
    assert_eq!(known, ["forward green=1", "forward blue=1"]);
}

#[test]
fn an_epoch_of_another_release_ends_the_one_that_ran() {
    let of = |release| match epoch(9, "green") {
        Record::Epoch { epoch, cause, label, shows, after, since, state, .. } => {
            Record::Epoch { epoch, cause, release, label, shows, after, since, state }
        }
        other => other,
    };
    let over = |release_of| read(vec![release(false), of(release_of)]).release.unwrap().over;
    assert!(!over(Some(ReleaseId(4))));
    assert!(over(Some(ReleaseId(5))) && over(None));
}

#[test]
fn what_was_paged_right_before_a_death_may_not_have_been_told() {
    let paged = |kind: &str| Record::Paged { kind: kind.into(), text: "x".into() };
    let other = || Record::Drift { shows: "b".into() };
    let stopped = || Record::Stopped { how: "drained".into() };
    let untold = |records: Vec<Record>| read(records).untold;
    let [found] = untold(vec![other(), paged("partial"), other()]).try_into().unwrap();
    assert_eq!(found, Untold { kind: PageKind::Partial, text: "x".into(), ago: Duration::from_secs(11) });
    assert_eq!(untold(vec![paged("partial"), stopped()]), [], "who stopped had the time to tell it");
    assert_eq!(untold(vec![stopped(), paged("blind")]).len(), 1, "an earlier stop says nothing of it");
    assert_eq!(untold(vec![paged("gossip")]), [], "of another version");
    let later = |count: usize| {
        let rest = std::iter::repeat_with(other).take(count);
        untold([paged("bad")].into_iter().chain(rest).collect()).len()
    };
    assert_eq!(
        (later(60), later(61)),
        (1, 0),
        "a minute is enough for three attempts, wherever the death was"
    );
}
