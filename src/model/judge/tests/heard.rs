//! How the old version is heard where nobody can ask it: by what it answers in production, and not at all after a shift of everything.

use super::*;
use crate::policy::{Heard, Unheard};

const SECONDS: u64 = 20;

/// A judge of errors alone; `all`: one version has all the requests.
fn hearing(heard: Heard, all: bool) -> Judge {
    let mut made = judge(Objectives::of_service(Some(0.01), None), true);
    made.policy.heard = heard;
    let stage = Stage { one_has_all: all, ..made.stage };
    let mut judged = Judge::new(made.policy, stage);
    judged.versions = made.versions;
    judged
}

/// What production answers: one in `of` by the new version and bad from the fifth second on, the others by the old one. `old_bad` and
/// `nameless`: of every hundred, so many of the old version's answers fail, with its name and without one.
fn production(judged: &mut Judge, of: u64, old_bad: u64, nameless: u64) -> Verdict {
    production_from(judged, of, old_bad, nameless, 500)
}

fn production_from(judged: &mut Judge, of: u64, old_bad: u64, nameless: u64, from: u64) -> Verdict {
    let mut verdict = Verdict::Inconclusive(Why::TooFew);
    for i in 0..SECONDS * 100 {
        let mut answer = sample(i, Purpose::Production, 20);
        let is_new = i % of == 0;
        let fails = i >= from && (is_new || i % 100 < old_bad + nameless);
        answer.version = VersionId(if is_new { 2 } else { 1 });
        if fails {
            (answer.outcome, answer.status) = (Outcome::Bad(Fault::Status), 500);
            if !is_new && i % 100 < nameless {
                answer.version = VersionId::NONE;
            }
        }
        judged.observe(&answer, Mono(i * 10_000_000 + 20_000_000));
        let mut control = sample(i, Purpose::Control, 20);
        control.version = VersionId::NONE;
        judged.observe(&control, Mono(i * 10_000_000 + 20_000_000));
        if i % 25 == 24 {
            verdict = judged.judge(Mono(i * 10_000_000 + 20_000_000)).verdict;
        }
    }
    verdict
}

#[test]
fn what_the_old_version_answers_in_production_is_its_word() {
    for unheard in [Unheard::Hold, Unheard::Revert] {
        let mut judged = hearing(Heard::InProduction(unheard), false);
        let verdict = production(&mut judged, 10, 0, 0);
        assert!(matches!(verdict, Verdict::Bad(_)), "{verdict}");
        let direct = judged.judge(Mono(SECONDS * 1_000_000_000)).direct;
        assert_eq!((direct.answers, direct.bad), (450, 0), "nine of ten, five seconds long");
        assert_eq!(direct.versions, BTreeSet::from(["v1".into()]));
    }
    let asked = production(&mut hearing(Heard::Directly, false), 10, 0, 0);
    assert!(matches!(asked, Verdict::Inconclusive(Why::NoControl(_))), "nobody has asked it: {asked}");
}

#[test]
fn an_old_version_that_is_as_bad_is_a_shared_dependency() {
    for unheard in [Unheard::Hold, Unheard::Revert] {
        let verdict = production(&mut hearing(Heard::InProduction(unheard), false), 10, 100, 0);
        assert!(matches!(verdict, Verdict::Inconclusive(Why::SharedDependency(_))), "{verdict}");
    }
}

#[test]
fn a_failure_that_names_nobody_counts_against_the_old_version() {
    let heard = Heard::InProduction(Unheard::Revert);
    let verdict = production(&mut hearing(heard, false), 2, 0, 100);
    assert!(matches!(verdict, Verdict::Inconclusive(Why::SharedDependency(_))), "{verdict}");
    // A few may be anybody's, the new one's too.
    let verdict = production(&mut hearing(heard, false), 10, 0, 5);
    assert!(matches!(verdict, Verdict::Bad(_)), "{verdict}");
}

#[test]
fn after_a_shift_of_everything_the_service_has_said_what_follows() {
    let verdict = production(&mut hearing(Heard::InProduction(Unheard::Hold), true), 1, 0, 0);
    assert!(matches!(verdict, Verdict::Inconclusive(Why::NoControl(_))), "{verdict}");
    let verdict = production(&mut hearing(Heard::InProduction(Unheard::Revert), true), 1, 0, 0);
    assert!(matches!(verdict, Verdict::Bad(_)), "{verdict}");
}

#[test]
fn what_begins_late_may_be_anything_that_both_versions_need() {
    let at_edge = |onset_ms: u64| {
        let mut judged = hearing(Heard::InProduction(Unheard::Revert), true);
        judged.policy.onset = Duration::from_millis(onset_ms);
        production_from(&mut judged, 1, 0, 0, 500)
    };
    let (before, after) = (at_edge(4_990), at_edge(5_000));
    assert!(matches!(before, Verdict::Inconclusive(Why::NoControl(_))), "{before}");
    assert!(matches!(after, Verdict::Bad(_)), "{after}");
}

#[test]
fn without_a_control_nothing_is_blamed_and_in_peace_nobody_is_heard() {
    let mut judged = hearing(Heard::InProduction(Unheard::Revert), true);
    for i in 0..1_000 {
        let mut answer = sample(i, Purpose::Production, 20);
        if i >= 500 {
            (answer.outcome, answer.status) = (Outcome::Bad(Fault::Status), 500);
        }
        judged.observe(&answer, Mono(i * 10_000_000 + 20_000_000));
    }
    assert_eq!(judged.judge(Mono(10_000_000_000)).verdict, Verdict::Blind(WhyBlind::Network));

    let mut peace = hearing(Heard::InProduction(Unheard::Revert), true);
    peace.stage.release = false;
    peace.set_times();
    peace.observe(&sample(1, Purpose::Production, 20), Mono(30_000_000));
    assert_eq!(peace.judge(Mono(40_000_000)).direct.answers, 0);
}

#[test]
fn while_a_shift_of_everything_spreads_a_failure_without_a_name_is_no_word_of_the_old_version() {
    let mut judged = hearing(Heard::InProduction(Unheard::Revert), true);
    judged.policy.propagation = Duration::from_secs(3);
    judged.set_times();
    for i in 0..200 {
        let mut answer = sample(i, Purpose::Production, 20);
        answer.version = VersionId::NONE;
        (answer.outcome, answer.status) = (Outcome::Bad(Fault::Status), 502);
        judged.observe(&answer, Mono(i * 10_000_000 + 20_000_000));
    }
    assert_eq!(judged.judge(Mono(2_020_000_000)).direct.answers, 0);
}
