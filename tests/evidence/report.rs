//! The report: the account of a release, from nothing but its lines.

use crate::records::{condition, epoch, evidence, intent, ms, pulse, release, started, state, wall};
use proptest::prelude::*;
use serin::evidence::ledger::{Disk, Ledger, LedgerError};
use serin::evidence::report::{
    Outcome, Report, ReportError, ReportFilter, drawn_from_folder, drawn_from_lines, from_folder, from_lines,
};
use serin::evidence::samples::SampleLine;
use serin::model::record::{IntentId, Record};
use serin::model::release::{Cause, EpochId, ReleaseId};
use serin::model::sample::{Fault, Outcome as Probe, Phases, Purpose, Sample, Taint};
use serin::model::target::{TargetId, VersionId};
use serin::model::time::{Mono, Span};
use std::fs;
use std::io;
use std::path::Path;

/// A disk in memory.
#[derive(Default)]
struct Memory(Vec<u8>);

impl Disk for Memory {
    fn path(&self) -> &Path {
        Path::new("memory")
    }
    fn write_at(&mut self, bytes: &[u8], _offset: u64) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn truncate(&mut self, _length: u64) -> io::Result<()> {
        Ok(())
    }
    fn rotate(&mut self, _last_seq: u64) -> io::Result<()> {
        Ok(())
    }
}

type Event = (u64, Record);

fn lines(service: &str, events: &[Event]) -> String {
    let mut ledger = Ledger::on(Memory::default(), service, None);
    for (at, record) in events {
        ledger.append(ms(*at), wall(ms(*at)), record).unwrap();
    }
    ledger.commit(Mono(u64::MAX), true).unwrap();
    String::from_utf8(ledger.disk().0.clone()).unwrap()
}

fn report(events: &[Event]) -> Report {
    from_lines(lines("checkout", events).as_bytes(), &ReportFilter::default()).unwrap()
}

/// Blue is good, green is cut over to at 60 s.
fn begun(mode: &str) -> Vec<Event> {
    vec![
        (0, started(mode)),
        (0, epoch(0, Cause::Start, None, state(100, 0), ms(0))),
        (60_000, release(0, Some("2026-11-21.4"), ms(60_000))),
        (60_000, epoch(1, Cause::Foreign, Some(0), state(0, 100), ms(60_000))),
        (61_000, pulse(1, 100, 0, 14, "good", &["v1", "v2"])),
        (62_000, pulse(1, 100, 0, 14, "good", &["v2"])),
    ]
}

fn broken(mode: &str) -> Vec<Event> {
    let mut events = begun(mode);
    let first_bad = Record::FirstBad {
        epoch: EpochId(1),
        due: ms(65_000),
        done: ms(65_002),
        target: TargetId(0),
        status: 500,
        fault: "status".into(),
        version: Some("v2".into()),
    };
    let breach = Record::Breach {
        epoch: EpochId(1),
        release: ReleaseId(0),
        evidence: evidence(),
        says: evidence().to_string().into(),
    };
    events.extend([(65_002, first_bad), (65_301, breach)]);
    events
}

fn preflight(holds: bool) -> Record {
    Record::Preflight {
        release: ReleaseId(0),
        all_hold: holds,
        conditions: vec![condition("lever", true), condition("blue-healthy", holds)],
    }
}

fn held(reason: &str, needs_human: bool) -> Record {
    Record::Held { release: ReleaseId(0), reason: reason.into(), needs_human }
}

fn reverted() -> Vec<Event> {
    let mut events = broken("act");
    let id = IntentId(0);
    events.extend([
        (65_304, preflight(true)),
        (65_305, Record::Intent(intent(0, 0))),
        (65_306, Record::WriteSent { intent: id, attempt: 1, arn: "".into() }),
        (
            65_349,
            Record::Wrote {
                intent: id,
                outcome: "accepted".into(),
                detail: "5f1c-aws".into(),
                arn: "".into(),
            },
        ),
        (65_350, Record::Confirmed { intent: id }),
        (65_350, epoch(2, Cause::OwnRevert, Some(0), state(100, 0), ms(65_350))),
        (65_500, Record::Verified { intent: id, answers: 20, addresses: 2 }),
        (65_500, held("reverted", false)),
        (70_500, pulse(2, 500, 0, 12, "good", &["v1"])),
    ]);
    events
}

fn step<'a>(report: &'a Report, name: &str) -> &'a serin::evidence::report::Step {
    report
        .timeline
        .iter()
        .find(|step| &*step.step == name)
        .unwrap_or_else(|| panic!("no {name}: {report:#?}"))
}

fn close(a: Option<f64>, b: f64) -> bool {
    a.is_some_and(|a| (a - b).abs() < 1e-6)
}

#[test]
fn a_reverted_release_is_accounted_for() {
    let report = report(&reverted());
    assert_eq!(report.outcome, Outcome::Reverted);
    assert_eq!((report.service.as_str(), report.release_id.as_str()), ("checkout", "2026-11-21.4"));
    assert!(report.verdict.starts_with("29 of 29 answers bad in 0.29 s"), "{}", report.verdict);
    let steps: Vec<&str> = report.timeline.iter().map(|step| &*step.step).collect();
    assert_eq!(
        steps,
        [
            "cutover_seen",
            "first_bad",
            "breach",
            "preflight",
            "intent",
            "revert_sent",
            "accepted",
            "confirmed",
            "verified",
            "held"
        ]
    );
    assert!(close(Some(step(&report, "first_bad").ms), 5_000.0));
    assert!(close(Some(step(&report, "breach").ms), 5_301.0));
    assert_eq!(step(&report, "breach").ts, "2026-11-21T10:01:05.301Z");
    assert_eq!(step(&report, "preflight").detail, "2 of 2 hold");
    assert!(close(report.detection_ms, 301.0) && close(report.rollback_ms, 199.0));
    assert!(close(report.downtime_s, 0.5), "{:?}", report.downtime_s);
    assert_eq!(&*report.downtime_until, "verified");
    assert!(close(report.error_rate.before, 0.001) && close(report.error_rate.during, 1.0));
    assert!(close(report.error_rate.after, 0.0));
    assert!(close(report.p95_ms.before, 12.3) && close(report.p95_ms.during, 15.0));
    assert!(close(report.p95_ms.after, 12.0));
    let write = report.write.as_ref().unwrap();
    assert_eq!((write.before.as_str(), write.after.as_str()), ("green", "blue"));
    assert_eq!(write.request_id.as_deref(), Some("5f1c-aws"));
    let versions: Vec<Vec<&str>> =
        report.versions.iter().map(|entry| entry.versions.iter().map(String::as_str).collect()).collect();
    assert_eq!(versions, [vec!["v1", "v2"], vec!["v2"], vec!["v1"]]);
    assert!(report.chain.intact);
    assert_eq!((report.chain.lines, report.chain.ledgers, report.chain.skipped), (17, 1, 0));
    let text = report.text();
    for words in ["+5.301 s  breach", "REVERTED", "green → blue; AWS request 5f1c-aws", "intact; 17 lines"]
    {
        assert!(text.contains(words), "{words} is not in:\n{text}");
    }
}

#[test]
fn a_kept_release_is_accounted_for() {
    let mut events = begun("act");
    let good = Record::Verdict {
        epoch: EpochId(1),
        verdict: "good".into(),
        says: "every promise is kept".into(),
        clean: 100,
        due: 100,
    };
    events.extend([(61_000, good), (960_000, Record::Kept { release: ReleaseId(0) })]);
    let report = report(&events);
    assert_eq!(report.outcome, Outcome::Kept);
    assert_eq!(report.verdict, "every promise is kept");
    assert_eq!((report.downtime_s, &*report.downtime_until), (Some(0.0), "none"));
    assert_eq!((report.detection_ms, report.write), (None, None));
}

#[test]
fn a_refused_release_is_accounted_for_with_the_condition() {
    let mut events = broken("act");
    let says = "blue-healthy is so";
    let refused =
        Record::Refused { release: Some(ReleaseId(0)), reason: "blue-healthy".into(), says: says.into() };
    events.extend([(65_304, preflight(false)), (65_304, refused), (65_304, held("blue-healthy", true))]);
    let report = report(&events);
    assert_eq!(report.outcome, Outcome::Refused);
    assert!(report.verdict.ends_with("not reverting: blue-healthy is so"), "{}", report.verdict);
    assert_eq!(step(&report, "refused").detail, "blue-healthy: blue-healthy is so");
    assert_eq!(step(&report, "preflight").detail, "1 of 2 hold; blue-healthy: blue-healthy is so");
    assert_eq!((report.downtime_s, &*report.downtime_until), (None, "unknown"));
    assert!(report.text().contains("did not hold  blue-healthy"));
}

#[test]
fn a_refusal_of_the_judge_is_refused_while_the_verdict_is_not_good_again() {
    let verdict = |word: &str| Record::Verdict {
        epoch: EpochId(1),
        verdict: word.into(),
        says: format!("it is {word}").into(),
        clean: 100,
        due: 100,
    };
    let refused = Record::Refused {
        release: Some(ReleaseId(0)),
        reason: "shared-dependency".into(),
        says: "the old version is just as bad".into(),
    };
    let mut events = begun("act");
    events.extend([(65_000, verdict("inconclusive")), (65_000, refused)]);
    assert_eq!(report(&events).outcome, Outcome::Refused);
    assert_eq!(report(&events).verdict, "the old version is just as bad");
    let kept = (960_000, Record::Kept { release: ReleaseId(0) });
    events.push(kept.clone());
    assert_eq!(report(&events).outcome, Outcome::Refused, "nobody saw it good again");
    events.pop();
    events.extend([(66_000, verdict("good")), kept]);
    assert_eq!(report(&events).outcome, Outcome::Kept);
}

#[test]
fn an_observed_release_says_what_would_have_been_written() {
    let mut events = broken("observe");
    let would = Record::WouldRevert { release: ReleaseId(0), writes: intent(0, 0).writes };
    events.extend([(65_304, preflight(true)), (65_304, would), (65_304, held("observe", false))]);
    let report = report(&events);
    assert_eq!(report.outcome, Outcome::Observed);
    let write = report.write.unwrap();
    assert_eq!((write.after.as_str(), write.request_id), ("blue", None));
}

#[test]
fn every_other_end_has_its_word() {
    let end = |record: Record| {
        let mut events = broken("act");
        events.push((65_400, record));
        report(&events).outcome
    };
    assert_eq!(end(held("partial", true)), Outcome::Partial);
    assert_eq!(end(held("interrupted", true)), Outcome::Partial);
    assert_eq!(end(held("overridden", true)), Outcome::Overridden);
    assert_eq!(end(held("no-hold", true)), Outcome::Held);
    assert_eq!(end(held("ledger", true)), Outcome::Refused);
    assert_eq!(end(epoch(2, Cause::Rollback, None, state(100, 0), ms(65_400))), Outcome::Overridden);
    assert_eq!(end(Record::Stopped { how: "interrupted".into() }), Outcome::Judging);
    let mut unproved = reverted();
    unproved.truncate(unproved.len() - 3);
    assert_eq!(report(&unproved).outcome, Outcome::Partial, "written is not proved");
}

#[test]
fn exported_lines_may_have_a_timestamp_before_them_and_others_between() {
    let text = lines("checkout", &reverted());
    let exported = text.replace("{\"seq\"", "2026-11-21T10:00:00.123Z {\"seq\"");
    let exported = exported.replace('\n', "\r\nINFO {not: json}\n\n");
    let report = from_lines(exported.as_bytes(), &ReportFilter::default()).unwrap();
    assert_eq!(report.outcome, Outcome::Reverted);
    assert!(report.chain.intact);
    assert_eq!((report.chain.lines, report.chain.skipped), (17, 34));
}

#[test]
fn a_changed_or_missing_line_breaks_the_chain_visibly() {
    let text = lines("checkout", &reverted());
    let edited = text.replacen("\"status\":500", "\"status\":200", 1);
    let without: String =
        text.split_inclusive('\n').filter(|line| !line.contains("\"event\":\"write_sent\"")).collect();
    for (what, changed) in [("edited", edited), ("left out", without)] {
        let report = from_lines(changed.as_bytes(), &ReportFilter::default()).unwrap();
        assert!(!report.chain.intact, "{what}");
        assert!(report.chain.first_break.as_ref().unwrap().contains("doesn't continue"), "{what}");
        assert!(report.text().contains("BROKEN"), "{what}");
    }
}

#[test]
fn the_newest_release_unless_one_is_asked_for_and_those_there_are_otherwise() {
    let mut events = reverted();
    events.extend([
        (200_000, release(1, None, ms(200_000))),
        (200_000, epoch(3, Cause::Foreign, Some(1), state(0, 100), ms(200_000))),
    ]);
    let text = lines("checkout", &events);
    let ask = |release: Option<&str>| {
        let filter = ReportFilter { service: None, release: release.map(Into::into) };
        from_lines(text.as_bytes(), &filter)
    };
    assert_eq!(ask(None).unwrap().release_id, "r1");
    assert_eq!(ask(Some("r0")).unwrap().outcome, Outcome::Reverted);
    assert_eq!(ask(Some("2026-11-21.4")).unwrap().outcome, Outcome::Reverted);
    let error = ask(Some("nope")).unwrap_err();
    assert_eq!(error.to_string(), "no release \"nope\"; there are: r1, 2026-11-21.4");
}

#[test]
fn several_services_have_to_be_told_apart() {
    let text = lines("checkout", &reverted()) + &lines("basket", &begun("act"));
    let error = from_lines(text.as_bytes(), &ReportFilter::default()).unwrap_err();
    assert!(matches!(&error, ReportError::Services(known) if *known == ["basket", "checkout"]), "{error}");
    let filter = ReportFilter { service: Some("checkout".into()), release: None };
    assert_eq!(from_lines(text.as_bytes(), &filter).unwrap().outcome, Outcome::Reverted);
    let filter = ReportFilter { service: Some("shop".into()), release: None };
    assert!(matches!(from_lines(text.as_bytes(), &filter), Err(ReportError::NoService { .. })));
    assert!(matches!(
        from_lines(&b"hello\n"[..], &ReportFilter::default()),
        Err(ReportError::NoLedger { lines: 1 })
    ));
}

#[test]
fn across_a_restart_the_wall_clock_counts() {
    let mut ledger = Ledger::on(Memory::default(), "checkout", None);
    for (at, record) in broken("act") {
        ledger.append(ms(at), wall(ms(at)), &record).unwrap();
    }
    // The machine was started anew: its monotonic clock begins at zero again.
    let later =
        [started("act"), epoch(2, Cause::Start, Some(0), state(0, 100), ms(5)), held("partial", true)];
    for record in later {
        ledger.append(ms(5), wall(ms(80_000)), &record).unwrap();
    }
    ledger.commit(Mono(u64::MAX), true).unwrap();
    let report = from_lines(ledger.disk().0.as_slice(), &ReportFilter::default()).unwrap();
    assert!(close(Some(step(&report, "held").ms), 20_000.0));
}

#[test]
fn what_a_service_says_never_reaches_the_terminal_as_a_command() {
    let mut events = begun("act");
    events.push((61_500, pulse(1, 10, 0, 10, "good", &["v2\u{1b}[2J"])));
    assert!(!report(&events).text().contains('\u{1b}'));
}

fn line(due: Mono, version: &str, bad: bool, taint: Taint) -> String {
    let sample = Sample {
        due,
        planned: due,
        phases: Phases { first_byte: Span(if bad { 20_000 } else { 100_000 }), ..Phases::default() },
        target: TargetId(0),
        conn: 1,
        epoch: EpochId(1),
        addr: 0,
        version: VersionId::NONE,
        status: if bad { 500 } else { 200 },
        purpose: Purpose::Production,
        taint,
        outcome: if bad { Probe::Bad(Fault::Status) } else { Probe::Ok },
        told_slow: false,
    };
    let mut line = SampleLine::of(&sample, wall(due), "http://shop/health", "health");
    line.version = Some(version.into());
    serde_json::to_string(&line).unwrap() + "\n"
}

#[test]
fn raw_samples_make_the_numbers_exact() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = Ledger::open(dir.path(), "checkout", None).unwrap();
    for (at, record) in reverted() {
        ledger.append(ms(at), wall(ms(at)), &record).unwrap();
    }
    let mut samples = String::from("{\"event\":\"spill\"}\n");
    for at in (58_000..59_000).step_by(10) {
        samples += &line(ms(at), "v1", false, Taint::Clean);
    }
    for at in (59_010..60_000).step_by(10) {
        samples += &line(ms(at), "v2", true, Taint::Straddling);
    }
    for at in (60_000..68_000).step_by(10) {
        let bad = (65_000..65_400).contains(&at);
        let version = if (60_000..65_400).contains(&at) { "v2" } else { "v1" };
        samples += &line(ms(at), version, bad, Taint::Clean);
    }
    fs::write(dir.path().join("checkout/samples-r0.jsonl"), samples).unwrap();
    let report = from_folder(dir.path(), &ReportFilter::default()).unwrap();
    assert_eq!(&*report.source, "samples");
    assert_eq!(
        (report.answers.before, report.answers.during, report.answers.after),
        (Some(100), Some(50), Some(250))
    );
    assert!(close(report.error_rate.before, 0.0), "straddling samples are nobody's");
    assert!(close(report.error_rate.during, 0.8) && close(report.error_rate.after, 0.0));
    assert!(close(report.p95_ms.after, 10.0));
    assert!(close(report.downtime_s, 0.392), "to the end of the last bad one: {:?}", report.downtime_s);
    assert_eq!(&*report.downtime_until, "last_bad_sample");
    assert!(report.versions.iter().any(|entry| entry.share.as_ref().is_some_and(|share| share.len() == 2)));
    assert_eq!(report.versions.last().unwrap().versions.iter().collect::<Vec<_>>(), ["v1"]);
}

#[test]
fn charts_are_drawn_from_raw_samples_and_from_the_ledger_where_there_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = Ledger::open(dir.path(), "checkout", None).unwrap();
    for (at, record) in reverted() {
        ledger.append(ms(at), wall(ms(at)), &record).unwrap();
    }
    let (_, curves) = drawn_from_folder(dir.path(), &ReportFilter::default()).unwrap();
    assert!(!curves.is_recorded() && curves.before().is_some_and(|before| close(before.error_rate, 0.001)));
    let noted = curves.noted(0.0, 20_000.0, &curves.bins(0.0, 20_000.0));
    let noted: Vec<(f64, f64)> = noted.iter().map(|one| (one.ms, one.error_rate.unwrap())).collect();
    assert_eq!(
        noted,
        [(1_000.0, 0.0), (2_000.0, 0.0), (5_301.0, 1.0), (10_500.0, 0.0)],
        "pulses and the breach"
    );
    // Of this release, and of one that isn't told.
    let mut samples =
        String::from("{\"event\":\"spill\",\"epoch\":1,\"target\":\"a\",\"bad\":9,\"left_out\":7}\n");
    samples += "{\"event\":\"spill\",\"epoch\":99,\"target\":\"a\",\"bad\":9,\"left_out\":5}\n";
    for at in (58_000..62_000).step_by(10) {
        let new = at >= 60_000;
        samples += &line(ms(at), if new { "v2" } else { "v1" }, new, Taint::Straddling);
    }
    samples += &line(ms(61_000), "v2", true, Taint::Late);
    fs::write(dir.path().join("checkout/samples-r0.jsonl"), samples).unwrap();
    let (_, curves) = drawn_from_folder(dir.path(), &ReportFilter::default()).unwrap();
    assert_eq!((curves.left_out, curves.truncated, curves.is_recorded()), (7, false, true));
    assert_eq!(curves.lines(), ["v1", "v2"]);
    let bins = curves.bins(-5_000.0, 5_000.0).bins;
    assert_eq!(
        bins.iter().map(|bin| bin.answers).sum::<u32>(),
        400,
        "and they are drawn; late ones are void"
    );
    let at = |ms: f64| bins.iter().find(|bin| bin.from_ms <= ms && ms < bin.to_ms).unwrap();
    assert_eq!((at(-1.0).bad, &at(-1.0).by[1]), (0, &0));
    assert_eq!((at(1.0).bad, at(1.0).by[1]), (at(1.0).answers, at(1.0).answers));
    let (_, curves) =
        drawn_from_lines(lines("checkout", &reverted()).as_bytes(), &ReportFilter::default()).unwrap();
    assert!(!curves.is_recorded() && curves.span() == Some((1_000.0, 10_500.0)), "{:?}", curves.span());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000), cut in 0_usize..4_000) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkout/ledger.jsonl");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut whole = lines("checkout", &reverted()).into_bytes();
        whole.truncate(cut);
        whole.extend_from_slice(&bytes);
        for content in [&bytes, &whole] {
            fs::write(&path, content).unwrap();
            match Ledger::open(dir.path(), "checkout", None) {
                Ok(_) | Err(LedgerError::Broken { .. }) => {}
                Err(error) => prop_assert!(false, "{}", error),
            }
            let _ = from_lines(content.as_slice(), &ReportFilter::default()).map(|report| report.text());
            let _ = from_folder(dir.path(), &ReportFilter::default());
        }
    }

    #[test]
    fn one_changed_byte_is_never_believed(at in any::<proptest::sample::Index>(), to in any::<u8>()) {
        let text = lines("checkout", &reverted()).into_bytes();
        let last = text[..text.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap();
        // The last line has no successor to vouch for it.
        let at = at.index(last);
        prop_assume!(text[at] != to);
        let mut changed = text;
        changed[at] = to;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkout/ledger.jsonl");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &changed).unwrap();
        let refused = matches!(Ledger::open(dir.path(), "checkout", None), Err(LedgerError::Broken { .. }));
        prop_assert!(refused);
    }
}
