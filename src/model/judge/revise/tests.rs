//! A judge whose configuration was read anew says what one says that has had it from the start, and saw only the targets that stay.

use super::super::tests::{judge, objectives, sample};
use super::*;
use crate::judge::Judgement;
use crate::objective::{Goal, Objective, Objectives};
use crate::policy::{Burn, Policy};
use crate::sample::{Fault, Outcome, Purpose, Sample};
use crate::target::TargetId;
use crate::time::Mono;
use crate::verdict::Verdict;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::time::Duration;

const URLS: u16 = 50;

/// Half a minute of both paths, as it came: some bad, some slow, some without a slot, some told of as slow.
fn heard(seed: u64) -> Vec<(Sample, Mono)> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut lot = |below: u32| random.next_u32() % below;
    let mut heard = Vec::new();
    for i in 0..3_000 {
        for purpose in [Purpose::Production, Purpose::Direct] {
            let mut one = sample(i, purpose, 20 + lot(10));
            match lot(40) {
                0 => one.phases.first_byte = Span(1_200_000 + lot(2_000_000)),
                1 => (one.outcome, one.status) = (Outcome::Bad(Fault::Status), 500),
                2 => (one.outcome, one.status, one.phases.first_byte) = (Outcome::Saturated, 0, Span(0)),
                _ => {}
            }
            let done = one.done();
            heard.push((one, done));
        }
    }
    heard.sort_by_key(|(_, done)| *done);
    heard
}

/// Every third is gone, and the others stand the other way round.
fn moved() -> Moved {
    let stay: Vec<u16> = (0..URLS).filter(|old| old % 3 > 0).collect();
    let place = |old| stay.iter().rev().position(|stays| *stays == old);
    Moved::new((0..URLS).map(|old| place(old).map(|new| TargetId(u16::try_from(new).unwrap()))).collect())
}

/// The service's P99, and URL 7's own promise by its number of now.
fn other_objectives() -> Objectives {
    let mut objectives = Objectives::of_service(Some(0.05), Some(Duration::from_millis(200)));
    objectives.all.push(Objective {
        scope: Scope::Part { name: "pay".into(), targets: [moved().of(TargetId(7)).unwrap()].into() },
        goal: Goal::Latency { quantile: 9_900, limit: Duration::from_millis(100) },
        rate_share: 0.03,
    });
    objectives
}

/// What rests on the samples, and not on how many there have been.
fn word(judgement: &Judgement) -> impl PartialEq + std::fmt::Debug {
    let Judgement { verdict, answers, bad, p95, direct, baseline, doubt, .. } = judgement.clone();
    (verdict, answers, bad, p95, direct, baseline, doubt)
}

fn burns() -> Policy {
    let burn = |factor, long, short| Burn {
        factor,
        long: Duration::from_secs(long),
        short: Duration::from_secs(short),
    };
    Policy::BurnRate(vec![burn(2.0, 20, 2), burn(1.0, 300, 5)])
}

/// Plays `seed` to one that changes after a third of it, and to one that began as that became, and compares them from then on.
fn plays_on(seed: u64, release: bool, from: &JudgePolicy, to: &JudgePolicy, moved: &Moved) -> usize {
    let with = |policy: &JudgePolicy| {
        let mut judge = judge(objectives(), release);
        judge.stage.baseline = Baseline::default();
        let mut fresh = Judge::new(policy.clone(), judge.stage.clone());
        fresh.versions = judge.versions;
        fresh
    };
    let (mut changed, mut always) = (with(from), with(to));
    let heard = heard(seed);
    let turn = heard.len() / 3;
    let mut words = std::collections::BTreeSet::new();
    for (place, (sample, done)) in heard.into_iter().enumerate() {
        if place == turn {
            changed.revise(to.clone(), moved);
        }
        let as_now = moved.of(sample.target).map(|target| Sample { target, ..sample.clone() });
        if let Some(sample) = &as_now {
            always.observe(sample, done);
        }
        if place < turn {
            changed.observe(&sample, done);
        } else if let Some(sample) = &as_now {
            changed.observe(sample, done);
        }
        if place >= turn && place % 97 == 0 {
            let (changed, always) = (changed.judge(done), always.judge(done));
            assert_eq!(word(&changed), word(&always), "seed {seed}, sample {place}");
            words.insert(changed.verdict.word());
        }
    }
    words.len()
}

fn policy(objectives: Objectives, policy: Policy) -> JudgePolicy {
    let mut other = judge(objectives, true).policy;
    other.policy = policy.into();
    other
}

#[test]
fn what_was_measured_of_targets_that_stay_is_judged_by_the_new_promises() {
    let mut words = 0;
    for seed in 0..6 {
        for release in [true, false] {
            for test in [Policy::Sequential, burns(), Policy::Baseline] {
                let from = policy(objectives(), test.clone());
                let mut to = policy(other_objectives(), test.clone());
                to.window = Duration::from_secs(20);
                to.tolerate_blip = Duration::from_millis(100);
                words += plays_on(seed, release, &from, &to, &moved());
            }
        }
    }
    assert!(words > 36, "they say more than one thing: {words}");
}

#[test]
fn where_only_other_keys_have_changed_nothing_is_measured_anew() {
    let same = Moved::new((0..URLS).map(|old| Some(TargetId(old))).collect());
    for test in [Policy::Sequential, burns()] {
        let from = policy(objectives(), test);
        let to = JudgePolicy { samples_min: 30, ..from.clone() };
        plays_on(1, true, &from, &to, &same);
        let mut judge = judge(objectives(), true);
        let before = judge.stage.baseline.clone();
        judge.revise(to, &same);
        assert_eq!(judge.stage.baseline, before, "what is promised is the same, so how it was kept counts");
    }
    let baseline_after = |objectives: Objectives, moved: &Moved| {
        let mut judge = judge(super::super::tests::objectives(), true);
        judge.revise(policy(objectives, Policy::Sequential), moved);
        judge.stage.baseline.answers
    };
    let around = Moved::new((0..URLS).map(|old| Some(TargetId(URLS - 1 - old))).collect());
    assert_eq!(baseline_after(objectives(), &same), 10_000);
    assert_eq!(baseline_after(objectives(), &around), 0, "the promise of a URL is another one's now");
    assert_eq!(baseline_after(other_objectives(), &same), 0);
}

/// Of the new version's first second, whose errors are borne: none is spent, unless it has never answered well.
#[test]
fn what_was_borne_within_the_grace_is_borne_afterwards_too() {
    let still = Moved::new((0..URLS).map(|old| Some(TargetId(old))).collect());
    let test = Policy::BurnRate(vec![Burn {
        factor: 1.0,
        long: Duration::from_mins(1),
        short: Duration::from_mins(1),
    }]);
    let spent = |good_first: bool| {
        let mut from = policy(objectives(), test.clone());
        from.grace = Duration::from_secs(1);
        let mut judge = judge(objectives(), true);
        judge.revise(from.clone(), &still);
        for i in 0..200 {
            let mut one = sample(i, Purpose::Production, 20);
            if i > 0 || !good_first {
                (one.outcome, one.status) = (Outcome::Bad(Fault::Status), 500);
            }
            let done = one.done();
            judge.observe(&one, done);
        }
        // Another promise, so that what was spent is counted anew.
        let mut other = objectives();
        other.all[0].goal = Goal::Availability { bad_share_max: 0.02 };
        let now = Mono(2_100_000_000);
        let count =
            |judge: &Judge| judge.promises[0].spent().map(|spent| spent.count(Duration::from_mins(1), now));
        let before = count(&judge);
        judge.revise(JudgePolicy { objectives: other, ..from }, &still);
        (before, count(&judge))
    };
    // A hundred of them were due after the grace.
    assert_eq!(spent(true), (Some(98), Some(98)));
    assert_eq!(spent(false), (Some(200), Some(200)));
}

#[test]
fn what_was_spent_of_a_budget_before_the_window_stays_spent() {
    let slow = Duration::from_hours(1);
    let test = Policy::BurnRate(vec![Burn { factor: 0.25, long: slow, short: slow }]);
    let still = || Moved::new((0..URLS).map(|old| Some(TargetId(old))).collect());
    let mut judge = judge(objectives(), true);
    judge.revise(policy(objectives(), test.clone()), &still());
    // A thousand bad ones a second apart, of 360,000 in an hour of which one in four hundred may be bad.
    for second in 0..1_000_u64 {
        for purpose in [Purpose::Direct, Purpose::Production] {
            let one = sample(7, purpose, 20);
            let due = Mono(second * 1_000_000_000);
            let mut one = Sample { due, planned: due, conn: u32::try_from(second % 4).unwrap(), ..one };
            if purpose == Purpose::Production {
                (one.outcome, one.status) = (Outcome::Bad(Fault::Status), 500);
            }
            let done = one.done();
            judge.observe(&one, done);
        }
    }
    let now = Mono(1_000_000_000_000);
    let Verdict::Bad(before) = judge.judge(now).verdict else { panic!("{}", judge.judge(now).verdict) };
    // The other way round, all of them stay.
    let turned = |last: u16| {
        let mut turned = objectives();
        turned.all[2].scope = Scope::Part { name: "pay".into(), targets: [TargetId(last)].into() };
        policy(turned, test.clone())
    };
    let mut goes_on = judge.clone();
    let around = Moved::new((0..URLS).map(|old| Some(TargetId(URLS - 1 - old))).collect());
    goes_on.revise(turned(URLS - 8), &around);
    let Verdict::Bad(after) = goes_on.judge(now).verdict else { panic!("{}", goes_on.judge(now).verdict) };
    assert_eq!((after.answers, after.bad), (before.answers, before.bad));
    // Without URL 0 nobody knows which of them were its own.
    let without: Vec<_> = (0..URLS).map(|old| old.checked_sub(1).map(TargetId)).collect();
    judge.revise(turned(6), &Moved::new(without));
    let anew = judge.judge(now).verdict;
    assert!(!matches!(anew, Verdict::Bad(_)), "the budget is counted anew: {anew}");
}

#[test]
fn if_other_answers_are_bad_ones_everything_is_measured_anew() {
    let mut judge = judge(objectives(), true);
    for (sample, done) in heard(3) {
        judge.observe(&sample, done);
    }
    let now = Mono(30_000_000_000);
    assert!(judge.judge(now).answers > 900);
    let (versions, good_answers) = (judge.judge(now).versions, judge.judge(now).good_answers);
    let mut objectives = objectives();
    objectives.bad_over = Some(Duration::from_millis(500));
    let to = policy(objectives, Policy::Sequential);
    judge.revise(to, &Moved::new((0..URLS).map(|old| Some(TargetId(old))).collect()));
    let after = judge.judge(now);
    assert_eq!((after.answers, after.direct.answers), (0, 0));
    assert_eq!((after.versions, after.good_answers), (versions, good_answers), "the epoch is the same");
    assert_eq!(judge.planned.map(|(hz, _)| hz > 0.0), None);
}

#[test]
fn the_first_bad_answer_is_that_of_a_target_that_stays() {
    let mut judge = judge(objectives(), true);
    let bad =
        Sample { outcome: Outcome::Bad(Fault::Status), status: 500, ..sample(7, Purpose::Production, 20) };
    judge.observe(&bad, bad.done());
    judge.plan(100.0, Mono(0));
    let mut gone = judge.clone();
    judge.revise(policy(other_objectives(), Policy::Sequential), &moved());
    let first = judge.judge(bad.done()).first_bad.unwrap();
    assert_eq!((first.target, first.status), (moved().of(TargetId(7)).unwrap(), 500));
    assert_eq!(judge.planned, Some((100.0, Mono(0))));
    gone.revise(policy(objectives(), Policy::Sequential), &Moved::new(vec![None; 50]));
    assert_eq!(gone.judge(bad.done()).first_bad, None);
}

#[test]
fn what_is_slow_is_slower_than_the_new_limit() {
    let entry = |response: u32, over: bool, answered: bool| Entry {
        due: Mono(0),
        response: Span(response),
        marks: Marks::new(false, [over]),
        answered,
        conn: 1,
        addr: 1,
        target: TargetId(0),
        version: crate::target::VersionId(1),
    };
    let slow =
        |entry: Entry, limit: u32| marks(&entry, &[Span(250)], &[Span(limit)]).has(crate::window::Mark::SLOW);
    assert_eq!([199, 200, 201].map(|response| slow(entry(response, false, true), 200)), [false, false, true]);
    assert!(!slow(entry(251, true, true), 300), "it was slow by the old one");
    assert!(!slow(entry(251, true, false), 300), "it hung for longer than the old one allowed");
    assert!(
        slow(entry(250, true, false), 300) && slow(entry(0, true, false), 300),
        "there was no slot for it"
    );
    assert_eq!(
        marks(&entry(0, true, true), &[Span(250)], &[Span(250)]),
        Marks::new(false, [true]),
        "as it was counted"
    );
}
