//! The side paths on windows that are written out, and what is said at the edges of each rule.

use super::*;
use crate::judge::own::{Own, Owns};
use crate::judge::tests::{judge, objectives, played, sample};
use crate::objective::{Goal, Objectives};
use crate::release::Baseline;
use crate::sample::{Outcome, Purpose, Sample};
use crate::target::{TargetId, VersionId};
use crate::time::Span;
use crate::verdict::Stream;
use crate::window::Marks;
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;
const GOOD: u64 = 0;
const BAD: u64 = 1;
const SLOW: u64 = 2;
const HANGS: u64 = 3;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn at(seconds: u64) -> Mono {
    Mono(seconds * SECOND)
}

/// One answer of each kind in turn, every 10 ms from `from` on.
fn answers(from: Mono, kinds: &[u64]) -> Window {
    let mut window = Window::new(Duration::from_mins(1));
    for (n, kind) in (0..).zip(kinds) {
        let due = Mono(from.0 + n * 10_000_000);
        let entry = Entry {
            due,
            response: Span(10_000),
            marks: Marks::new(*kind == BAD, [*kind == SLOW || *kind == HANGS]),
            answered: *kind != HANGS,
            conn: 1,
            addr: 0,
            target: TargetId(0),
            version: VersionId(1),
        };
        window.insert(due, entry);
    }
    window
}

/// `bad` of the first kind, and good ones up to `all`.
fn of(all: usize, bad: usize, kind: u64) -> Vec<u64> {
    (0..all).map(|n| if n < bad { kind } else { GOOD }).collect()
}

/// Production broke a promise from second 10 to second 12.
fn evidence(stream: Stream, answers: u32, bad: u32) -> Evidence {
    Evidence {
        stream,
        scope: "".into(),
        quantile: 9_500,
        answers,
        bad,
        span_ms: 2_000,
        share_max: 0.001,
        luck_one_in: 1_000_000,
        first_bad: at(10),
        last_bad: at(12),
        connections: 2,
        addresses: 1,
        targets: 1,
        window_answers: answers,
        window_p95: None,
        total: false,
    }
}

/// The word of a side path that answered so since the breach began, of which production shows `bad` of 100.
fn side_by(stream: Stream, bad: u32, kinds: &[u64]) -> Option<Side> {
    since(&answers(at(10), kinds), &evidence(stream, 100, bad), None, SIDE_MIN)
}

#[test]
fn a_side_path_is_bad_when_more_than_one_of_its_last_ten_answers_is() {
    let of = |all, bad| side(&answers(at(10), &of(all, bad, BAD)), at(11));
    assert_eq!((of(2, 0), of(3, 0)), (Side::NoData, Side::Ok));
    assert_eq!((of(9, 1), of(10, 1), of(10, 2)), (Side::Bad, Side::Ok, Side::Bad));
    assert_eq!(
        side(&answers(at(10), &[GOOD; 9]), at(20)),
        Side::NoData,
        "what it said before says nothing of now"
    );
}

#[test]
fn a_side_path_is_as_ill_as_production_when_it_is_half_as_bad_or_bad_one_time_in_ten() {
    let errors = |bad, kinds: Vec<u64>| side_by(Stream::Errors, bad, &kinds);
    assert_eq!(errors(50, of(100, 10, BAD)), Some(Side::Ok));
    assert_eq!(errors(50, of(100, 11, BAD)), Some(Side::Bad));
    assert_eq!(errors(20, of(100, 10, BAD)), Some(Side::Bad), "half as bad");
    assert_eq!(errors(20, of(100, 9, BAD)), None, "neither half as bad nor surely better");
    assert_eq!(errors(2, of(100, 1, BAD)), None, "one bad answer is no illness");
}

#[test]
fn few_good_answers_of_a_side_path_are_waited_for() {
    let errors = |bad, count| side_by(Stream::Errors, bad, &vec![GOOD; count]);
    assert_eq!((errors(100, 2), errors(100, 3)), (None, Some(Side::Ok)));
    assert_eq!(
        (errors(50, 3), errors(50, 13), errors(50, 14)),
        (None, None, Some(Side::Ok)),
        "half would be luck"
    );
}

#[test]
fn what_is_slow_is_a_word_about_latency_only_and_what_hangs_is_none_about_errors() {
    let both = |kinds: &[u64]| [Stream::Errors, Stream::Latency].map(|stream| side_by(stream, 100, kinds));
    assert_eq!(both(&[SLOW; 20]), [Some(Side::Ok), Some(Side::Bad)]);
    assert_eq!(both(&[HANGS; 20]), [None, Some(Side::Bad)]);
    assert_eq!(both(&[BAD; 20]), [Some(Side::Bad), Some(Side::Bad)]);
}

#[test]
fn a_side_path_that_is_silent_for_ten_seconds_has_no_word() {
    let breach = Evidence { first_bad: at(10), last_bad: at(30), ..evidence(Stream::Errors, 100, 100) };
    let silent = |newest: Mono| since(&answers(newest, &[GOOD]), &breach, None, SIDE_MIN);
    assert_eq!(silent(at(20)), None, "it is waited for");
    assert_eq!(silent(Mono(20 * SECOND - 1)), Some(Side::NoData));
    assert_eq!(since(&answers(at(0), &[]), &breach, None, SIDE_MIN), Some(Side::NoData));
    assert_eq!(
        since(&answers(at(9), &[GOOD; 100]), &breach, None, SIDE_MIN),
        Some(Side::NoData),
        "before it"
    );
}

#[test]
fn the_old_version_is_better_when_equal_ones_would_hardly_ever_look_so() {
    let better =
        |stream, kinds: &[u64], from| is_better(&answers(from, kinds), &evidence(stream, 100, 31), None);
    assert!(better(Stream::Errors, &[GOOD; 60], at(10)));
    assert!(!better(Stream::Errors, &[GOOD; 20], at(10)), "too few");
    assert!(!better(Stream::Errors, &of(60, 15, BAD), at(10)), "not so much better");
    assert!(!better(Stream::Errors, &[GOOD; 60], at(9)), "before the breach");
    assert!(better(Stream::Errors, &[SLOW; 60], at(10)), "slow, and no errors");
    assert!(!better(Stream::Latency, &[SLOW; 60], at(10)));
    assert!(!better(Stream::Errors, &[HANGS; 60], at(10)), "what hangs may be an error yet");
    assert!(!better(Stream::Latency, &of(80, 20, HANGS), at(10)), "what hangs is slow");
}

#[test]
fn only_what_the_promise_is_about_shows_that_the_old_version_is_better() {
    let judge = judge(objectives(), true);
    let of_url = Evidence { scope: "pay".into(), quantile: 9_900, ..evidence(Stream::Latency, 100, 100) };
    let promised = judge.promised(&of_url);
    assert!(promised.is_some());
    assert!(is_better(&answers(at(10), &[GOOD; 60]), &of_url, None));
    assert!(!is_better(&answers(at(10), &[GOOD; 60]), &of_url, promised), "another URL's answers");
}

/// The verdict of a second in which `late` and `failed` samples were void, and `clean` were not, where all that came back was bad
/// or all was good.
fn starved(late: u32, failed: u32, clean: u32, bad: bool) -> Verdict {
    let mut judge = judge(Objectives::of_service(Some(0.001), None), false);
    play(&mut judge, 0..200, |answer| {
        if bad {
            fail(answer);
        }
    });
    judge.own = Owns::default();
    for (count, own) in [(late, Own::Late), (failed, Own::Failed), (clean, Own::No)] {
        (0..count).for_each(|_| judge.own.push(at(2), own));
    }
    let mut memos = judge.memos.clone();
    judge.verdict(at(2), &mut memos)
}

fn fail(answer: &mut Sample) {
    (answer.outcome, answer.status) = (Outcome::Bad(Fault::Status), 500);
}

/// The samples of production and of the old version by their numbers, a hundred a second; `change` is done to those of production.
fn play(judge: &mut Judge, numbers: std::ops::Range<u64>, change: impl Fn(&mut Sample)) {
    for i in numbers {
        let now = Mono(i * 10_000_000 + 20_000_000);
        judge.observe(&sample(i, Purpose::Direct, 20), now);
        let mut answer = sample(i, Purpose::Production, 20);
        change(&mut answer);
        judge.observe(&answer, now);
    }
    judge.settle();
}

#[test]
fn more_than_half_void_is_blind_and_whose_fault_it_is_is_said() {
    assert_eq!(starved(5, 0, 5, false), Verdict::Good, "half of them tell");
    assert_eq!(starved(6, 0, 4, false), Verdict::Blind(WhyBlind::Starved));
    assert_eq!(starved(3, 3, 4, false), Verdict::Blind(WhyBlind::Ours), "half of the void ones");
    assert_eq!(starved(4, 2, 4, false), Verdict::Blind(WhyBlind::Starved));
}

#[test]
fn an_outage_is_seen_through_three_clean_samples_a_second() {
    assert!(matches!(starved(7, 0, 3, true), Verdict::Bad(_)));
    assert_eq!(starved(7, 0, 2, true), Verdict::Blind(WhyBlind::Starved));
    assert_eq!(
        starved(5, 5, 3, true),
        Verdict::Blind(WhyBlind::Ours),
        "with faults of our own nothing is said"
    );
}

#[test]
fn silence_is_blind_after_a_window_of_it() {
    let mut judge = judge(objectives(), false);
    assert_eq!(judge.judge(at(10)).verdict, Verdict::Inconclusive(Why::TooFew));
    assert_eq!(judge.judge(Mono(10 * SECOND + 1)).verdict, Verdict::Blind(WhyBlind::NoData));
}

#[test]
fn without_any_answer_of_the_new_version_it_is_the_answer_that_is_missing() {
    let mut judged = judge(objectives(), true);
    judged.policy.propagation = secs(10);
    judged.set_times();
    play(&mut judged, 0..100, |answer| answer.version = VersionId(1));
    assert_eq!(judged.judge(at(1)).verdict, Verdict::Inconclusive(Why::NoKnownAnswer));
    play(&mut judged, 100..105, |_| {});
    assert_eq!(judged.judge(at(1)).verdict, Verdict::Inconclusive(Why::TooFew));
}

/// The word when production was refused so often at the edge, and so often before the balancer, and answered so often.
fn refused(edge: u64, before: u64, answered: u64, direct: bool) -> Option<Verdict> {
    let mut judge = judge(objectives(), false);
    let kinds = [(edge, Some(Fault::Edge)), (before, Some(Fault::ConnectRefused)), (answered, None)];
    for (i, (count, fault)) in (0..).zip(kinds) {
        for n in 0..count {
            let mut answer = sample(i * 20 + n, Purpose::Production, 20);
            if let Some(fault) = fault {
                (answer.outcome, answer.status) = (Outcome::Bad(fault), 0);
            }
            judge.observe(&answer, at(1));
        }
    }
    if direct {
        (0..3).for_each(|i| drop(judge.observe(&sample(i, Purpose::Direct, 20), at(1))));
    }
    judge.settle();
    judge.outside_word(at(1))
}

#[test]
fn refusals_that_outnumber_answers_are_the_edges_or_come_before_the_balancer() {
    let (edge, before) = (Verdict::Inconclusive(Why::Edge), Verdict::Inconclusive(Why::BeforeBalancer));
    let network = Verdict::Blind(WhyBlind::Network);
    assert_eq!((refused(4, 0, 4, true), refused(4, 0, 3, true)), (None, Some(edge.clone())));
    assert_eq!(refused(4, 3, 0, true), Some(edge));
    assert_eq!(refused(3, 3, 0, true), Some(before.clone()), "half of them are not the edge's");
    assert_eq!((refused(0, 4, 0, true), refused(0, 4, 0, false)), (Some(before), Some(network)));
}

/// A release whose grace is a minute.
fn graceful(objectives: Objectives) -> Judge {
    let mut judge = judge(objectives, true);
    judge.policy.grace = Duration::from_mins(1);
    judge.set_times();
    judge
}

#[test]
fn a_version_that_never_answered_well_has_no_grace_from_its_thirtieth_answer_on() {
    let service = || Objectives::of_service(Some(0.001), Some(Duration::from_millis(250)));
    let word = |count: u64, bad: fn(u64) -> bool| {
        let mut judge = graceful(service());
        play(&mut judge, 0..count, |answer| {
            if bad(answer.due.0 / 10_000_000) {
                fail(answer);
            }
        });
        judge.judge(at(count / 100 + 1)).verdict
    };
    assert!(matches!(word(29, |_| true), Verdict::Inconclusive(Why::Grace(_))));
    let Verdict::Bad(evidence) = word(60, |_| true) else { panic!("it has answered nothing but errors") };
    assert!(evidence.total);
    assert!(matches!(word(60, |i| i != 3), Verdict::Inconclusive(Why::Grace(_))), "it answered well once");
    assert_eq!(word(60, |_| false), Verdict::Good, "and good ones are good within it");
}

#[test]
fn the_grace_ends_at_an_instant() {
    let mut judge = graceful(Objectives::of_service(Some(0.001), Some(Duration::from_millis(250))));
    play(&mut judge, 0..60, |answer| {
        if answer.due.0 != 30_000_000 {
            fail(answer);
        }
    });
    judge.grace_until = at(1);
    let mut is_grace = |now| matches!(judge.judge(now).verdict, Verdict::Inconclusive(Why::Grace(_)));
    assert_eq!((is_grace(at(1).before(Duration::from_nanos(1))), is_grace(at(1))), (true, false));
}

#[test]
fn a_total_failure_is_called_by_its_errors_and_not_by_its_time() {
    let mut judge = graceful(Objectives::of_service(Some(0.001), Some(Duration::from_millis(250))));
    judge.promises.reverse();
    play(&mut judge, 0..60, |answer| {
        fail(answer);
        answer.phases.first_byte = Span(3_000_000);
    });
    let Verdict::Bad(evidence) = judge.judge(at(1)).verdict else { panic!("nothing but errors") };
    assert_eq!((evidence.stream, evidence.total), (Stream::Errors, true));
}

#[test]
fn a_version_of_which_nothing_has_come_back_is_not_good() {
    let word = |quantile: u32, promises: usize, hang: u64| {
        let limit = Duration::from_millis(250);
        let mut promised = Objectives::of_service(Some(0.001), Some(limit));
        promised.all[1].goal = Goal::Latency { quantile, limit };
        let mut judge = graceful(promised);
        judge.promises.truncate(promises);
        for i in 0..hang {
            judge.overdue(&sample(i, Purpose::Production, 0), Mono(i * 10_000_000 + 250_000_000));
        }
        judge.judge(at(2)).verdict
    };
    assert_eq!(word(9_500, 1, 100), Verdict::Inconclusive(Why::TooFew), "what hangs is no word about errors");
    assert_eq!(
        word(5_000, 2, 40),
        Verdict::Inconclusive(Why::TooFew),
        "forty slow ones are no breach of a P50"
    );
    let Verdict::Inconclusive(Why::Grace(evidence)) = word(9_500, 2, 100) else { panic!("all are slow") };
    assert_eq!((evidence.stream, evidence.bad), (Stream::Latency, 100));
}

#[test]
fn once_enough_has_answered_after_the_grace_only_that_is_a_good_word() {
    let mut judged = judge(objectives(), true);
    // Only the URL's promise is left, and after the grace others answer.
    judged.promises.retain(|promised| !promised.is_whole());
    judged.memos.truncate(1);
    judged.policy.grace = secs(1);
    judged.set_times();
    play(&mut judged, 0..50, |answer| answer.target = TargetId(7));
    let mut word = |numbers| {
        play(&mut judged, numbers, |_| {});
        judged.judge(at(2)).verdict
    };
    assert_eq!(word(150..169), Verdict::Good);
    assert_eq!(word(169..170), Verdict::Inconclusive(Why::TooFew));
}

/// One answer in ten is bad from `from` seconds on, up to second 20 after it, of a release whose cutover was at 0 and whose onset is ten
/// seconds; before the cutover it was as bad, or not.
fn begun(from: u64, as_before: bool) -> Verdict {
    let mut judge = judge(Objectives::of_service(Some(0.001), None), true);
    judge.policy.onset = secs(10);
    let bad = if as_before { 1_000 } else { 0 };
    judge.stage.baseline = Baseline { answers: 10_000, bad, ..Baseline::default() };
    let first = from * 100;
    play(&mut judge, 0..first + 500, |answer| {
        let i = answer.due.0 / 10_000_000;
        if i >= first && i % 10 == 0 {
            fail(answer);
        }
    });
    judge.judge(Mono((first + 502) * 10_000_000)).verdict
}

#[test]
fn what_begins_after_the_onset_also_has_to_be_worse_than_before() {
    assert!(matches!(begun(10, true), Verdict::Bad(_)), "at the onset it isn't late yet");
    assert!(matches!(begun(11, true), Verdict::Inconclusive(Why::AsBefore(_))));
    assert!(matches!(begun(11, false), Verdict::Bad(_)));
}

#[test]
fn what_comes_over_one_connection_is_not_the_releases() {
    let word = |conns: u32| {
        let mut judge = judge(Objectives::of_service(Some(0.001), None), true);
        play(&mut judge, 0..500, |answer| {
            if answer.conn <= conns {
                fail(answer);
            }
            // Every connection has its answers through one address.
            answer.addr = 0;
        });
        judge.judge(at(5)).verdict
    };
    assert!(matches!(word(1), Verdict::Inconclusive(Why::OneConnection(_))));
    assert!(matches!(word(2), Verdict::Bad(_)));
}

#[test]
fn the_direct_path_is_counted_by_its_addresses_and_versions() {
    let mut judge = judge(Objectives::of_service(Some(0.001), Some(Duration::from_millis(250))), true);
    let mut ask = |i: u64, addr: u16, change: &dyn Fn(&mut Sample)| {
        let mut answer = sample(i, Purpose::Direct, 20);
        answer.addr = addr;
        change(&mut answer);
        judge.observe(&answer, Mono(i * 10_000_000 + 20_000_000));
    };
    ask(0, 5, &|_| {});
    ask(600, 0, &|_| {});
    ask(601, 0, &|_| {});
    ask(602, 1, &|_| {});
    ask(603, 1, &fail);
    ask(604, 1, &|_| {});
    ask(605, 2, &|answer| answer.phases.first_byte = Span(3_000_000));
    judge.overdue(&Sample { addr: 3, ..sample(606, Purpose::Direct, 0) }, at(7));
    judge.settle();
    let direct = judge.direct_answers(at(7));
    assert_eq!((direct.answers, direct.bad, direct.slow), (7, 1, 2), "of the last five seconds");
    assert_eq!((direct.addresses, direct.addresses_good), (4, 2), "what is slow has answered");
    assert_eq!(direct.versions, ["v1".into()].into());
}

/// All is bad from second 10 to 20, and the control was asked last at `control`; whether the old version is as bad.
fn with_control(control: u64, bad: bool, old_is_bad: bool) -> Verdict {
    let mut judge = judge(Objectives::of_service(Some(0.001), None), true);
    for i in 0..2_000 {
        let now = Mono(i * 10_000_000 + 20_000_000);
        for purpose in [Purpose::Direct, Purpose::Production, Purpose::Control] {
            let mut answer = sample(i, purpose, 20);
            let ill = match purpose {
                Purpose::Direct => old_is_bad,
                Purpose::Production => true,
                Purpose::Control => bad,
            };
            if i >= 1_000 && ill {
                fail(&mut answer);
            }
            if purpose != Purpose::Control || i <= control {
                judge.observe(&answer, now);
            }
        }
    }
    judge.judge(at(20)).verdict
}

#[test]
fn the_control_is_waited_for_where_it_decides_what_is_said() {
    assert!(matches!(with_control(999, false, false), Verdict::Bad(_)), "the old version has the word");
    assert_eq!(with_control(999, false, true), Verdict::Inconclusive(Why::Suspect));
    assert!(matches!(with_control(1_500, false, true), Verdict::Inconclusive(Why::SharedDependency(_))));
    assert_eq!(with_control(1_500, true, true), Verdict::Blind(WhyBlind::Network));
    assert!(matches!(with_control(1_500, true, false), Verdict::Bad(_)), "a good old version proves the way");
}

#[test]
fn in_peace_a_bad_control_makes_it_our_own_network() {
    let word = |control_is_bad: bool| {
        let mut judge = judge(Objectives::of_service(Some(0.001), None), false);
        play(&mut judge, 0..500, fail);
        let mut control = sample(499, Purpose::Control, 20);
        if control_is_bad {
            fail(&mut control);
        }
        judge.observe(&control, at(5));
        judge.judge(at(5)).verdict
    };
    assert_eq!(word(true), Verdict::Blind(WhyBlind::Network));
    assert!(matches!(word(false), Verdict::Bad(_)));
}

#[test]
fn a_good_word_needs_no_more_than_a_promise_that_is_kept() {
    let found = played(&mut judge(objectives(), false), 5, |_| false);
    assert_eq!(found.verdict, Verdict::Good);
    assert_eq!(judge(objectives(), true).word(Production::Ok, None), Verdict::Good);
}

/// Too many good answers to be luck are not enough: two paths that are equally bad must hardly ever look so.
#[test]
fn a_breach_waits_until_the_old_version_is_surely_better() {
    let word = |direct: usize| {
        let mut judged = judge(objectives(), true);
        judged.direct = answers(at(10), &vec![GOOD; direct]);
        judged.word(Production::Bad, Some(evidence(Stream::Errors, 100, 31)))
    };
    assert_eq!([20, 30, 35].map(word), [(); 3].map(|()| Verdict::Inconclusive(Why::Suspect)));
    assert!(matches!(word(60), Verdict::Bad(_)));
    let seen = since(&answers(at(10), &[GOOD; 35]), &evidence(Stream::Errors, 100, 31), None, SIDE_MIN);
    assert_eq!(seen, Some(Side::Ok), "it isn't the luck of the good ones that is waited for");
}
