//! What single answers do: whose they are, what they are marked with, and how long they count.

use super::*;
use crate::policy::Burn;
use crate::window::Mark;

fn at(ms: u64) -> Mono {
    Mono(ms * 1_000_000)
}

fn failed(mut sample: Sample, fault: Fault) -> Sample {
    (sample.outcome, sample.status) = (Outcome::Bad(fault), 0);
    sample
}

/// A judge of errors by an error budget: 864 bad answers in half a minute are a breach.
fn burning(release: bool) -> Judge {
    let burns = vec![Burn { factor: 14.4, long: Duration::from_mins(10), short: Duration::from_secs(30) }];
    let mut policy = judge(Objectives::of_service(Some(0.001), None), release);
    policy.policy.policy = Policy::BurnRate(burns).into();
    policy.policy.grace = Duration::from_mins(1);
    policy.set_times();
    let mut judged = Judge::new(policy.policy, policy.stage);
    judged.versions = policy.versions;
    judged
}

/// Bad answers, a hundred a second from `from` on; every twentieth may be good. Whether that is a breach.
fn burn(judge: &mut Judge, from: u64, count: u64, some_are_good: bool) -> bool {
    for i in from..from + count {
        let mut answer = sample(i, Purpose::Production, 20);
        answer.epoch = judge.epoch();
        if !(some_are_good && i % 20 == 0) {
            answer = failed(answer, Fault::Status);
            answer.status = 500;
        }
        judge.observe(&answer, at(i * 10 + 20));
        judge.observe(&sample(i, Purpose::Direct, 20), at(i * 10 + 20));
    }
    matches!(judge.judge(at((from + count) * 10 + 20)).verdict, Verdict::Bad(_))
}

#[test]
fn a_budget_is_spent_in_one_epoch_and_not_in_the_next() {
    let mut judged = burning(false);
    assert!(!burn(&mut judged, 0, 860, false));
    assert!(burn(&mut judged, 860, 10, false));
    judged.open(Stage { epoch: EpochId(2), ..judged.stage.clone() });
    assert_eq!(judged.epoch(), EpochId(2));
    assert!(!burn(&mut judged, 870, 100, false));
}

#[test]
fn what_a_cold_start_spent_is_given_back_and_its_grace_spends_nothing() {
    assert!(burn(&mut burning(true), 0, 900, false), "a total failure spends from the first");
    let mut judged = burning(true);
    assert!(!burn(&mut judged, 0, 500, false));
    judged.observe(&sample(500, Purpose::Production, 20), at(5_020));
    assert!(!burn(&mut judged, 501, 500, true), "it warms up");
    assert!(!burn(&mut judged, 6_600, 600, true), "less than the budget after the grace");
    assert!(burn(&mut judged, 7_200, 400, true));
}

#[test]
fn a_void_sample_that_names_a_new_version_is_a_reason_to_look_once() {
    let late = || Sample { taint: Taint::Late, ..sample(1, Purpose::Production, 20) };
    let mut judged = judge(objectives(), true);
    for none in [
        Sample { purpose: Purpose::Direct, ..late() },
        Sample { epoch: EpochId(7), ..late() },
        Sample { version: VersionId::NONE, ..late() },
    ] {
        assert_eq!(judged.observe(&none, at(30)), None);
    }
    assert_eq!(judged.observe(&late(), at(30)), Some(Notice::Version("v2".into())));
    assert_eq!(judged.observe(&late(), at(31)), None, "it was said");
    let mut judged = judge(objectives(), true);
    judged.observe(&sample(0, Purpose::Production, 20), at(20));
    assert_eq!(judged.observe(&late(), at(30)), None, "it has answered before");
}

#[test]
fn a_second_version_and_a_bad_answer_are_reasons_to_look() {
    let mut judged = judge(objectives(), true);
    let named = |version: u16| Sample { version: VersionId(version), ..sample(0, Purpose::Production, 20) };
    assert_eq!(judged.observe(&named(1), at(20)), None, "one version is no news");
    assert_eq!(judged.observe(&named(2), at(20)), Some(Notice::Version("v2".into())));
    assert_eq!(judged.observe(&named(2), at(20)), None);
    let nameless = Sample { version: VersionId::NONE, ..named(2) };
    assert_eq!(judged.observe(&nameless, at(20)), None);
    for bad in [named(2), nameless] {
        assert_eq!(judged.observe(&failed(bad, Fault::Timeout), at(20)), Some(Notice::Failure));
    }
    let refused = failed(named(2), Fault::ConnectRefused);
    assert_eq!(judged.observe(&refused, at(20)), None, "no release does that");
}

#[test]
fn the_first_bad_answer_and_the_good_ones_are_told() {
    let mut judged = judge(objectives(), true);
    (0..3).for_each(|i| drop(judged.observe(&sample(i, Purpose::Production, 20), at(i * 10 + 20))));
    assert_eq!(judged.judge(at(50)).first_bad, None);
    judged.observe(&failed(sample(3, Purpose::Production, 20), Fault::Timeout), at(60));
    judged.observe(&failed(sample(4, Purpose::Production, 20), Fault::Reset), at(70));
    let found = judged.judge(at(70));
    assert_eq!((found.good_answers, found.answers, found.bad), (3, 5, 2));
    let first = found.first_bad.unwrap();
    assert_eq!((first.due, first.done, first.target), (at(30), at(60), TargetId(3)));
    assert_eq!((first.fault, first.version, first.status), (Some(Fault::Timeout), Some("v2".into()), 0));
}

#[test]
fn what_was_due_in_another_epoch_is_no_word_of_this_one() {
    let mut judged = judge(objectives(), true);
    for purpose in [Purpose::Production, Purpose::Direct] {
        let other = Sample { epoch: EpochId(7), ..sample(0, purpose, 300) };
        judged.overdue(&other, at(250));
        judged.observe(&other, at(300));
    }
    let found = judged.judge(at(300));
    assert_eq!((found.answers, found.direct.answers), (0, 0));
}

#[test]
fn what_is_in_flight_beyond_a_limit_is_slow_by_each_limit_that_has_passed() {
    let marks = |ms: u64| {
        let mut promised = objectives();
        promised.all[2].goal = Goal::Latency { quantile: 9_900, limit: Duration::from_millis(800) };
        let mut judged = judge(promised, false);
        judged.overdue(&sample(0, Purpose::Production, 0), at(ms));
        judged.settle();
        let entry = *judged.rolling().entries().next().unwrap();
        assert_eq!(entry.response.duration(), Duration::from_millis(ms));
        assert!(entry.hangs() && !entry.bad());
        [Mark::SLOW, Mark::limit(1)].map(|mark| entry.marks.has(mark))
    };
    assert_eq!(marks(250), [true, false]);
    assert_eq!(marks(800), [true, false]);
    assert_eq!(marks(801), [true, true]);
}

#[test]
fn an_answer_that_was_told_of_as_slow_counts_once() {
    let mut judged = judge(objectives(), false);
    judged.overdue(&sample(0, Purpose::Production, 0), at(250));
    judged.observe(&Sample { told_slow: true, ..sample(0, Purpose::Production, 300) }, at(300));
    judged.observe(&sample(1, Purpose::Production, 20), at(310));
    assert_eq!((judged.judge(at(310)).answers, judged.rolling().slow()), (2, 1));
    judged.observe(&Sample { told_slow: true, ..sample(2, Purpose::Production, 300) }, at(320));
    assert_eq!(judged.judge(at(320)).answers, 3, "nobody knew of it");
}

#[test]
fn nothing_is_slow_in_flight_without_a_limit_or_by_our_own_doing() {
    let told = |objectives, taint| {
        let mut judged = judge(objectives, false);
        judged.overdue(&Sample { taint, ..sample(0, Purpose::Production, 0) }, at(300));
        judged.judge(at(300)).answers
    };
    assert_eq!(told(objectives(), Taint::Clean), 1);
    assert_eq!(told(objectives(), Taint::Late), 0);
    assert_eq!(told(Objectives::of_service(Some(0.01), None), Taint::Clean), 0);
}

#[test]
fn an_answer_is_slow_beyond_its_limit_and_a_probe_without_a_slot_is_bad_and_slow() {
    let judged = judge(objectives(), false);
    let kind = |sample: Sample, all_faults| {
        let entry = judged.entry(&sample, all_faults);
        (entry.bad(), entry.slow(), entry.answered)
    };
    let answer = |ms| sample(0, Purpose::Production, ms);
    assert_eq!(
        (kind(answer(250), false), kind(answer(251), false)),
        ((false, false, true), (false, true, true))
    );
    let saturated = Sample { outcome: Outcome::Saturated, ..answer(0) };
    assert_eq!(kind(saturated, false), (true, true, false));
    let status = Sample { outcome: Outcome::Bad(Fault::Status), status: 500, ..answer(20) };
    assert_eq!(kind(status, false), (true, false, true));
    let refused = failed(answer(20), Fault::ConnectRefused);
    assert_eq!(kind(refused.clone(), false), (false, false, false));
    assert_eq!(kind(refused, true), (true, false, false), "asked directly, it is its own word");
}

/// Whose the answers of version 1 (the old one), 2 and none are that were due at `ms`, in epoch that began at 100 s with ten seconds to
/// spread.
fn whose(judged: &mut Judge, ms: u64) -> [Whose; 3] {
    let due = |version| Sample { due: at(ms), version, ..sample(0, Purpose::Production, 20) };
    [VersionId(1), VersionId(2), VersionId::NONE].map(|version| judged.whose(&due(version)).0)
}

fn spreading(release: bool) -> Judge {
    let mut judged = judge(objectives(), release);
    judged.policy.propagation = Duration::from_secs(10);
    judged.stage.since = at(100_000);
    judged.set_times();
    judged
}

#[test]
fn while_a_change_spreads_in_peace_what_the_state_before_left_is_not_this_ones() {
    let mut judged = spreading(false);
    assert_eq!(whose(&mut judged, 109_999), [Whose::Old, Whose::New, Whose::Unattributed]);
    assert_eq!(whose(&mut judged, 110_000), [Whose::New; 3]);
    judged.open(Stage { old_versions: ["v2".into()].into(), ..judged.stage.clone() });
    assert_eq!(
        whose(&mut judged, 109_999),
        [Whose::New, Whose::Old, Whose::Unattributed],
        "others are old now"
    );
    judged.open(Stage { old_versions: BTreeSet::new(), ..judged.stage.clone() });
    assert_eq!(whose(&mut judged, 109_999), [Whose::New; 3], "nothing was before");
}

#[test]
fn in_a_release_the_version_tells_and_where_it_does_not_the_weight() {
    let mut judged = spreading(true);
    assert_eq!(whose(&mut judged, 109_999), [Whose::Old, Whose::New, Whose::Unattributed]);
    assert_eq!(whose(&mut judged, 119_999), [Whose::Old, Whose::New, Whose::New]);
    assert_eq!(whose(&mut judged, 120_000), [Whose::New; 3], "the same name on both sides");
    judged.observe(&Sample { due: at(120_000), ..sample(0, Purpose::Production, 20) }, at(120_020));
    assert_eq!(
        whose(&mut judged, 130_000),
        [Whose::Old, Whose::New, Whose::New],
        "the new one has its own name"
    );
    judged.stage.one_has_all = false;
    assert_eq!(whose(&mut judged, 130_000), [Whose::Old, Whose::New, Whose::Unattributed]);
}

#[test]
fn one_name_on_both_sides_stays_the_new_ones() {
    let mut judged = spreading(true);
    for i in 0..3 {
        let same = Sample { due: at(120_000), version: VersionId(1), ..sample(i, Purpose::Production, 20) };
        judged.observe(&same, at(120_020));
    }
    judged.settle();
    assert_eq!((whose(&mut judged, 130_000)[0], judged.production.pane(WHOLE).count()), (Whose::New, 3));
}

#[test]
fn a_version_has_settled_when_it_answers_after_the_change_has_spread() {
    let mut judged = spreading(true);
    for (ms, version) in [(109_999, VersionId(1)), (110_000, VersionId(2)), (120_000, VersionId::NONE)] {
        judged.observe(&Sample { due: at(ms), version, ..sample(0, Purpose::Production, 20) }, at(ms));
    }
    let found = judged.judge(at(120_000));
    assert_eq!((found.versions.len(), found.settled), (2, ["v2".into()].into()));
    assert_eq!(judged.known.settled().count(), 1);
}

#[test]
fn our_own_faults_are_weighed_for_a_second_and_refusals_for_a_window() {
    let mut judged = judge(objectives(), false);
    judged.observe(&Sample { taint: Taint::Late, ..sample(0, Purpose::Production, 20) }, at(1_000));
    judged.observe(&failed(sample(1, Purpose::Production, 20), Fault::Edge), at(1_001));
    let mut seen = |ms| {
        let void = judged.judge(at(ms)).void;
        (void, judged.outside.len())
    };
    assert_eq!(seen(2_000), ((1, 2), 1));
    assert_eq!(seen(2_001), ((0, 1), 1));
    assert_eq!(seen(11_001), ((0, 0), 1));
    assert_eq!(seen(11_002), ((0, 0), 0));
}

#[test]
fn the_marks_of_our_own_faults_are_bounded() {
    let mut judged = judge(objectives(), false);
    let refused = failed(sample(1, Purpose::Production, 20), Fault::Edge);
    (0..OUTSIDE_CAP + 10).for_each(|_| drop(judged.observe(&refused, at(1_000))));
    assert_eq!((judged.own.all(), judged.outside.len()), (4_106, OUTSIDE_CAP), "those are counted, not kept");
}

#[test]
fn in_peace_there_is_no_grace() {
    let mut judged = judge(objectives(), false);
    judged.policy.grace = Duration::from_mins(1);
    judged.set_times();
    assert_eq!(judged.judged_in(at(0)), JUDGED);
    judged.observe(&sample(0, Purpose::Production, 20), at(20));
    assert_eq!(judged.judged_in(at(30)), JUDGED);
    judged.stage.release = true;
    judged.set_times();
    let panes = |ms| judged.judged_in(at(ms));
    assert_eq!((panes(60_019), panes(60_020)), (Panes::of(WHOLE), JUDGED), "since the first answer");
}

#[test]
fn refusals_before_the_service_are_probes_that_came_back() {
    let mut judged = judge(objectives(), false);
    judged.plan(10.0, Mono(0));
    for i in 0..300 {
        let mut answer = sample(i, Purpose::Production, 20);
        if i % 3 == 0 {
            answer = failed(answer, Fault::Edge);
        }
        judged.observe(&answer, at(i * 10 + 20));
    }
    let attained = judged.judge(at(3_010)).attained.unwrap();
    assert!((attained - 300.0 / 30.1).abs() < 1e-9, "{attained}");
    judged.plan(0.29, Mono(0));
    assert_eq!(judged.judge(at(10_000)).attained, None, "less than three planned are no measure");
}
