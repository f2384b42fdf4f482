//! The judge on samples that are written out: scopes, limits and the rate attained.

use super::*;
use crate::objective::{Goal, Objective, Objectives, Scope};
use crate::policy::{Heard, Policy};
use crate::release::Tally;
use crate::sample::Phases;
use crate::target::TargetId;
use crate::verdict::{Stream, Verdict, Why, WhyBlind};

mod answers;
mod heard;

const URLS: u16 = 50;

/// The service promises 99 %, its URL 7 a P99 of 100 ms.
pub(super) fn objectives() -> Objectives {
    let mut objectives = Objectives::of_service(Some(0.01), Some(Duration::from_millis(250)));
    objectives.all.push(Objective {
        scope: Scope::Part { name: "pay".into(), targets: [TargetId(7)].into() },
        goal: Goal::Latency { quantile: 9_900, limit: Duration::from_millis(100) },
        rate_share: 0.02,
    });
    objectives
}

pub(super) fn judge(objectives: Objectives, release: bool) -> Judge {
    let policy = JudgePolicy {
        policy: Policy::Sequential.into(),
        objectives,
        wrong_reverts_one_in: 1_000_000,
        tolerate_blip: Duration::ZERO,
        window: Duration::from_secs(10),
        samples_min: 20,
        error_rate_min: 0.0,
        grace: Duration::ZERO,
        settle: Duration::from_mins(1),
        settle_answers: 100,
        judge_for: Duration::from_mins(15),
        onset: Duration::from_mins(5),
        propagation: Duration::ZERO,
        release_rate_hz: 100.0,
        heard: Heard::Directly,
    };
    let mut judge = Judge::new(
        policy,
        Stage {
            epoch: EpochId(1),
            after: Mono(0),
            since: Mono(0),
            cutover: Mono(0),
            release,
            old_versions: BTreeSet::from(["v1".into()]),
            one_has_all: true,
            baseline: Baseline {
                answers: 10_000,
                others: [(2, Tally { answers: 200, bad: 0 })].into(),
                ..Baseline::default()
            },
        },
    );
    for version in ["v1", "v2"] {
        judge.versions.intern(version);
    }
    judge
}

pub(super) fn sample(i: u64, purpose: Purpose, ms: u32) -> Sample {
    let due = Mono(i * 10_000_000);
    Sample {
        due,
        planned: due,
        phases: Phases { first_byte: Span(ms * 10_000), ..Phases::default() },
        target: TargetId(u16::try_from(i).unwrap() % URLS),
        conn: u32::try_from(i % 4 + 1).unwrap(),
        epoch: EpochId(1),
        addr: u16::try_from(i % 2).unwrap(),
        version: VersionId(if purpose == Purpose::Direct { 1 } else { 2 }),
        status: 200,
        purpose,
        taint: Taint::Clean,
        outcome: Outcome::Ok,
        told_slow: false,
    }
}

/// One hundred answers a second of both versions for `seconds`; `slow`: whether URL 7 takes 150 ms, of which version.
impl Judge {
    /// What has come is in the panes, as before a look.
    pub(super) fn settle(&mut self) {
        self.production.settle();
        self.direct.settle();
    }
}

pub(super) fn played(judge: &mut Judge, seconds: u64, slow: impl Fn(Purpose) -> bool) -> Judgement {
    for i in 0..seconds * 100 {
        for purpose in [Purpose::Direct, Purpose::Production] {
            let ms = if i % u64::from(URLS) == 7 && i > 500 && slow(purpose) { 150 } else { 20 };
            judge.observe(&sample(i, purpose, ms), Mono(i * 10_000_000 + u64::from(ms) * 1_000_000));
        }
    }
    judge.judge(Mono(seconds * 1_000_000_000))
}

#[test]
fn a_url_that_breaks_its_own_promise_is_found_where_the_services_is_kept() {
    let found = played(&mut judge(objectives(), true), 20, |purpose| purpose == Purpose::Production);
    let Verdict::Bad(evidence) = found.verdict else { panic!("{}", found.verdict) };
    assert_eq!((&*evidence.scope, evidence.stream, evidence.quantile), ("pay", Stream::Latency, 9_900));
    assert_eq!((evidence.bad, evidence.targets), (evidence.answers, 1));
    let sentence = evidence.to_string();
    assert!(
        sentence.starts_with(&format!("{} of {0} answers of pay too slow in ", evidence.bad)),
        "{sentence}"
    );
    assert!(sentence.contains("objective 1 %, P99 150 ms"), "{sentence}");
}

#[test]
fn without_its_own_promise_nobody_minds() {
    let service = Objectives::of_service(Some(0.01), Some(Duration::from_millis(250)));
    let found = played(&mut judge(service, true), 20, |purpose| purpose == Purpose::Production);
    assert_eq!(found.verdict, Verdict::Good);
}

#[test]
fn the_same_url_of_the_old_version_is_the_control_of_a_url() {
    // Asked directly, forty-nine URLs of the old version are quick, and the one that matters is as slow.
    let found = played(&mut judge(objectives(), true), 20, |_| true);
    let Verdict::Blind(WhyBlind::Network) = found.verdict else { panic!("{}", found.verdict) };
}

#[test]
fn what_a_url_always_did_is_no_breach_of_the_release() {
    let mut before = judge(objectives(), false);
    let usual = played(&mut before, 60, |_| true).baseline;
    assert_eq!(usual.others.keys().collect::<Vec<_>>(), [&2]);
    let good = played(&mut judge(objectives(), false), 60, |_| false).baseline;
    assert_eq!(good.others, [(2, Tally { answers: 120, bad: 0 })].into());
    let mut after = judge(objectives(), true);
    after.stage.baseline = usual;
    let found = played(&mut after, 20, |purpose| purpose == Purpose::Production);
    assert!(matches!(found.verdict, Verdict::Inconclusive(Why::AsBefore(_))), "{}", found.verdict);
}

#[test]
fn an_answer_that_takes_too_long_is_bad_where_that_is_asked() {
    let mut objectives = Objectives::of_service(Some(0.001), None);
    objectives.bad_over = Some(Duration::from_millis(100));
    let found = played(&mut judge(objectives, true), 20, |purpose| purpose == Purpose::Production);
    let Verdict::Bad(evidence) = found.verdict else { panic!("{}", found.verdict) };
    assert_eq!(evidence.stream, Stream::Errors);
}

#[test]
fn half_of_the_planned_evidence_is_no_good_word() {
    for (planned_hz, good) in [(100.0, true), (180.0, true), (200.2, true), (250.0, false)] {
        let mut judge = judge(objectives(), false);
        judge.plan(planned_hz, Mono(0));
        let found = played(&mut judge, 20, |_| false);
        let attained = found.attained.unwrap();
        assert!((attained - 100.0 / planned_hz).abs() < 0.01, "{attained}");
        let wanted = if good { Verdict::Good } else { Verdict::Inconclusive(Why::TooFew) };
        assert_eq!(found.verdict, wanted, "{planned_hz}");
    }
    let mut fresh = judge(objectives(), false);
    fresh.plan(100.0, Mono(0));
    assert_eq!(played(&mut fresh, 1, |_| false).attained, None, "a second is no pace");
}

#[test]
fn a_url_that_is_asked_through_one_address_is_no_zone_and_a_zone_is_no_release() {
    let bad = |judge: &mut Judge, is_bad: &dyn Fn(u64) -> bool| {
        for i in 0..2_000 {
            judge.observe(&sample(i, Purpose::Direct, 20), Mono(i * 10_000_000 + 20_000_000));
            let mut answer = sample(i, Purpose::Production, 20);
            if i > 500 && is_bad(i) {
                (answer.outcome, answer.status) = (Outcome::Bad(Fault::Status), 500);
            }
            judge.observe(&answer, Mono(i * 10_000_000 + 20_000_000));
        }
        judge.judge(Mono(20_000_000_000)).verdict
    };
    let service = || judge(Objectives::of_service(Some(0.001), None), true);
    // URLs take turns, and so do the two addresses: each URL is asked through one of them only.
    assert!(matches!(bad(&mut service(), &|i| i % 50 == 7), Verdict::Bad(_)));
    let zone = bad(&mut service(), &|i| i % 2 == 1);
    assert!(matches!(zone, Verdict::Inconclusive(Why::OneZone(_))), "{zone}");
    let part = bad(&mut service(), &|i| i % 6 == 1);
    assert!(matches!(part, Verdict::Inconclusive(Why::OneZone(_))), "{part}");
}

#[test]
fn a_breach_that_may_come_is_a_doubt_and_stays_one_for_five_seconds() {
    let at = |seconds: u64| Mono(seconds * 1_000_000_000);
    let mut judged = judge(Objectives::of_service(Some(0.001), None), true);
    assert!(!played(&mut judged, 5, |_| false).doubt);
    // Two bad answers of five hundred say something, and not enough.
    for i in 500..502 {
        let mut answer = sample(i, Purpose::Production, 20);
        (answer.outcome, answer.status) = (Outcome::Bad(Fault::Status), 500);
        judged.observe(&answer, at(5));
    }
    let found = judged.judge(at(5));
    assert_eq!((found.verdict, found.doubt), (Verdict::Inconclusive(Why::Suspect), true));
    for i in 502..1_500 {
        judged.observe(&sample(i, Purpose::Production, 20), Mono(i * 10_000_000 + 20_000_000));
        judged.judge(Mono(i * 10_000_000 + 20_000_000));
    }
    let last = judged.doubted.unwrap();
    assert!(judged.judge(last.after(Duration::from_millis(4_990))).doubt);
    assert!(!judged.judge(last.after(Duration::from_secs(5))).doubt);
    let next = Stage { epoch: EpochId(2), ..judged.stage.clone() };
    (judged.doubted, judged.stage.epoch) = (Some(at(30)), EpochId(1));
    judged.open(next);
    assert!(!judged.judge(at(30)).doubt, "what was doubted was another release");
}

#[test]
fn in_peace_nobody_is_asked_more_often() {
    let mut judged = judge(Objectives::of_service(Some(0.001), None), false);
    played(&mut judged, 5, |_| false);
    let mut answer = sample(500, Purpose::Production, 20);
    (answer.outcome, answer.status) = (Outcome::Bad(Fault::Status), 500);
    for _ in 0..2 {
        judged.observe(&answer, Mono(5_000_000_000));
    }
    let found = judged.judge(Mono(5_000_000_000));
    assert_eq!((found.verdict, found.doubt), (Verdict::Inconclusive(Why::Suspect), false));
}

#[test]
fn what_is_usual_is_a_quarter_of_an_hour_and_no_outage() {
    let slow = |i: u64| i.is_multiple_of(40);
    let mut judged = judge(Objectives::of_service(Some(0.01), Some(Duration::from_millis(250))), false);
    let mut step = |i: u64, down: bool| {
        let now = Mono(i * 200_000_000);
        let mut answer = Sample { due: now, planned: now, ..sample(7, Purpose::Production, 20) };
        answer.conn = u32::try_from(i % 4 + 1).unwrap();
        answer.phases.first_byte = Span(if slow(i) { 3_000_000 } else { 200_000 });
        if down {
            (answer.outcome, answer.status) = (Outcome::Bad(Fault::Status), 500);
        }
        judged.observe(&answer, now);
        judged.judge(now)
    };
    let minutes = |minutes: u64| minutes * 300;
    let good = (0..minutes(20)).map(|i| step(i, false)).last().unwrap();
    let usual = &good.baseline;
    assert!((minutes(15)..=minutes(15) + 1).contains(&u64::from(usual.answers)), "{usual:?}");
    assert_eq!((usual.bad, usual.slow), (0, usual.answers / 40));
    let down = (minutes(20)..minutes(21)).map(|i| step(i, true)).last().unwrap();
    assert!(matches!(down.verdict, Verdict::Bad(_)) && down.baseline.answers == 0, "{:?}", down.baseline);
    let again = (minutes(21)..minutes(30)).map(|i| step(i, false)).last().unwrap();
    assert_eq!(again.verdict, Verdict::Good);
    assert_eq!(again.baseline.bad, 0, "{:?}", again.baseline);
    assert!(u64::from(again.baseline.answers) > minutes(7), "{:?}", again.baseline);
}

#[test]
fn a_long_breach_is_looked_at_more_rarely_and_what_ends_it_is_seen_within_a_second() {
    let mut judged = judge(Objectives::of_service(Some(0.001), None), true);
    let at = |i: u64| Mono(i * 10_000_000 + 20_000_000);
    let mut answer = |i: u64, bad: bool| {
        judged.observe(&sample(i, Purpose::Direct, 20), at(i));
        let mut answer = sample(i, Purpose::Production, 20);
        if bad {
            (answer.outcome, answer.status) = (Outcome::Bad(Fault::Status), 500);
        }
        judged.observe(&answer, at(i));
        judged.judge(at(i)).verdict
    };
    (0..500).for_each(|i| drop(answer(i, false)));
    let bads = |verdict: &Verdict| if let Verdict::Bad(evidence) = verdict { evidence.bad } else { 0 };
    // A short one is looked at with each answer: 5 µs an answer is less than the 10 ms between two.
    let first: Vec<u32> = (500..700).map(|i| bads(&answer(i, true))).collect();
    assert!(first[20..].is_sorted_by(|one, next| one + 1 == *next), "{first:?}");
    // Of five thousand, one look stands for 25 ms: every third answer is looked at.
    (700..5_500).for_each(|i| drop(answer(i, true)));
    let later: Vec<u32> = (5_500..5_520).map(|i| bads(&answer(i, true))).collect();
    let looks = later.iter().collect::<BTreeSet<_>>().len();
    assert!((7..=8).contains(&looks), "{later:?}");
    let over = (5_520..5_700).position(|i| !matches!(answer(i, false), Verdict::Bad(_))).unwrap();
    assert!(over < 50, "{over}");
    let next = Stage { epoch: EpochId(2), ..judged.stage.clone() };
    judged.stands = Some((Mono(u64::MAX), Verdict::Good));
    judged.open(next);
    assert_eq!(judged.stands, None, "another epoch has another word");
}
