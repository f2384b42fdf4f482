//! What the judge's word does to the state that serves, at the edges of time and of number.

use super::*;
use crate::guard::rig::{NOW, armed, evidence, state, told};
use crate::release::EpochId;
use crate::verdict::Why;
use std::collections::BTreeSet;

const TICK: Duration = Duration::from_nanos(1);
const SETTLE: Duration = Duration::from_mins(1);

fn word(guard: &Guard, verdict: Verdict) -> Judgement {
    Judgement { verdict, good_answers: 100, ..guard.judged.clone().unwrap() }
}

/// In peace, in the state that is the good one.
fn peace() -> Guard {
    let mut guard = armed();
    guard.release = None;
    let epoch = guard.epoch.as_mut().unwrap();
    (epoch.established, epoch.cause) = (true, Cause::Start);
    let good = guard.good.as_mut().unwrap();
    (good.state, good.epoch) = (state(0, 1), epoch.id);
    guard
}

fn notes(out: &[Action]) -> Vec<&Record> {
    out.iter().filter_map(note).collect()
}

fn note(action: &Action) -> Option<&Record> {
    if let Action::Note(line) = action { Some(line) } else { None }
}

#[test]
fn a_word_about_an_epoch_that_is_over_changes_nothing() {
    let mut guard = armed();
    guard.judged = None;
    let late = Judgement { epoch: EpochId(77), ..word(&armed(), Verdict::Bad(evidence())) };
    let mut out = vec![];
    guard.judgement(NOW, late, &mut out);
    assert!(out.is_empty() && guard.judged.is_none());
}

#[test]
fn a_state_is_good_after_the_settling_time_and_its_answers() {
    let settled = |ago: Duration, good_answers| {
        let mut guard = armed();
        let epoch = guard.epoch.as_mut().unwrap();
        epoch.good_since = Some(NOW.before(ago));
        guard.judged = Some(Judgement { good_answers, ..word(&guard, Verdict::Good) });
        guard.establish(NOW, &mut vec![]);
        guard.epoch.as_ref().is_some_and(|epoch| epoch.established)
    };
    assert!(settled(SETTLE, 100));
    assert!(!settled(SETTLE.saturating_sub(TICK), 100));
    assert!(!settled(SETTLE, 99));
}

#[test]
fn what_is_normal_stays_the_newest_normal_of_the_good_state_that_serves() {
    let mut guard = peace();
    let mut judged = word(&guard, Verdict::Good);
    judged.baseline.answers = 555;
    guard.judged = Some(judged.clone());
    guard.establish(NOW, &mut vec![]);
    assert_eq!(guard.good.as_ref().map(|good| good.baseline.answers), Some(555));
    // Another state's answers are not its normal.
    let mut guard = peace();
    guard.good.as_mut().unwrap().epoch = EpochId(77);
    guard.judged = Some(judged);
    guard.establish(NOW, &mut vec![]);
    assert_eq!(guard.good.as_ref().map(|good| good.baseline.answers), Some(0));
}

#[test]
fn authority_ends_to_the_nanosecond_and_not_for_a_release_that_is_latched() {
    let ended = |left: Duration, held: bool| {
        let mut guard = armed();
        guard.release.as_mut().unwrap().until = NOW.after(left);
        if held {
            guard.latch("partial", true, &mut vec![]);
        }
        guard.end_authority(NOW, &mut vec![]);
        guard.release.is_some_and(|release| release.over)
    };
    assert!(ended(Duration::ZERO, false));
    assert!(!ended(TICK, false));
    assert!(!ended(Duration::ZERO, true));
}

#[test]
fn a_good_state_that_is_bad_for_five_seconds_is_good_no_more_if_a_read_shows_it_still() {
    let spoiled = |bad_for: Duration, read_after: Duration| {
        let mut guard = peace();
        let since = NOW.before(bad_for);
        let epoch = guard.epoch.as_mut().unwrap();
        (epoch.bad_since, epoch.confirmed) = (Some(since), since.after(read_after));
        guard.spoil(NOW, &mut vec![]);
        guard.good.is_none()
    };
    assert!(spoiled(SPOILED_AFTER, TICK));
    assert!(!spoiled(SPOILED_AFTER.saturating_sub(TICK), TICK));
    assert!(!spoiled(SPOILED_AFTER, Duration::ZERO), "the read was sent before");
}

#[test]
fn being_bad_is_reckoned_from_its_first_word() {
    let mut guard = peace();
    for (second, verdict) in
        [(0, Verdict::Good), (1, Verdict::Bad(evidence())), (2, Verdict::Bad(evidence()))]
    {
        let word = word(&guard, verdict);
        guard.judgement(NOW.after(Duration::from_secs(second)), word, &mut vec![]);
    }
    let since = guard.epoch.as_ref().and_then(|epoch| epoch.bad_since);
    assert_eq!(since, Some(NOW.after(Duration::from_secs(1))));
    let good = word(&guard, Verdict::Good);
    guard.judgement(NOW.after(Duration::from_secs(3)), good, &mut vec![]);
    assert_eq!(guard.epoch.and_then(|epoch| epoch.bad_since), None);
}

#[test]
fn a_breach_in_peace_is_told_and_a_revert_that_is_being_proved_is_not() {
    let told_of = |cause, ago: Duration| {
        let mut guard = peace();
        let epoch = guard.epoch.as_mut().unwrap();
        (epoch.cause, epoch.since) = (cause, NOW.before(ago));
        let mut out = vec![];
        guard.weigh(NOW, &mut out);
        told(&out)
    };
    let proof = Duration::from_mins(1);
    assert_eq!(told_of(Cause::Start, Duration::ZERO), [PageKind::Bad]);
    assert_eq!(told_of(Cause::OwnRevert, proof.saturating_sub(TICK)), []);
    assert_eq!(told_of(Cause::OwnRevert, proof), [PageKind::Bad]);
}

#[test]
fn a_breach_is_not_weighed_while_we_drain_or_when_the_release_is_latched() {
    let mut draining = armed();
    draining.draining = true;
    let mut held = armed();
    held.latch("partial", true, &mut vec![]);
    for mut guard in [draining, held] {
        let mut out = vec![];
        guard.weigh(NOW, &mut out);
        assert!(out.is_empty() && guard.may_stop());
    }
}

#[test]
fn a_release_that_breaks_a_promise_is_good_in_none_of_its_steps() {
    for (earlier, forgotten) in [(0, true), (1, false)] {
        let mut guard = armed();
        let first = guard.release.as_ref().unwrap().first;
        guard.release.as_mut().unwrap().first = EpochId(first.0 + earlier);
        let step = guard.good.as_mut().unwrap();
        (step.epoch, step.healthy) = (first, 99);
        let mut out = vec![];
        guard.weigh(NOW, &mut out);
        assert_eq!(notes(&out).iter().any(|line| matches!(line, Record::NotGood { .. })), forgotten);
        assert_eq!(guard.good.map(|good| good.healthy), Some(if forgotten { 2 } else { 99 }));
    }
}

#[test]
fn a_word_is_noted_when_it_changes_and_in_each_epoch() {
    let mut guard = armed();
    let lines = |guard: &mut Guard, verdict: Verdict, epoch| {
        let mut out = vec![];
        let word = Judgement { epoch: EpochId(epoch), ..word(guard, verdict) };
        guard.note_word(&word, &mut out);
        notes(&out).iter().filter(|line| matches!(line, Record::Verdict { .. })).count()
    };
    assert_eq!(lines(&mut guard, Verdict::Good, 0), 1);
    assert_eq!(lines(&mut guard, Verdict::Good, 0), 0);
    assert_eq!(lines(&mut guard, Verdict::Good, 1), 1);
    assert_eq!(lines(&mut guard, Verdict::Inconclusive(Why::TooFew), 1), 1);
    assert_eq!(lines(&mut guard, Verdict::Inconclusive(Why::Suspect), 1), 1);
}

#[test]
fn a_breach_that_is_not_enough_is_a_refusal_while_a_release_is_judged() {
    let refused = |verdict: Verdict, change: fn(&mut Guard)| {
        let mut guard = armed();
        change(&mut guard);
        let (word, mut out) = (word(&guard, verdict), vec![]);
        guard.note_word(&word, &mut out);
        let reason = notes(&out).into_iter().find_map(|line| match line {
            Record::Refused { reason, .. } => Some(reason.to_string()),
            _ => None,
        });
        (reason.unwrap_or_default(), told(&out))
    };
    let zone = || Verdict::Inconclusive(Why::OneZone(evidence()));
    assert_eq!(refused(zone(), |_| {}), ("one-zone".into(), vec![PageKind::Refused]));
    assert_eq!(refused(zone(), |guard| guard.release.as_mut().unwrap().over = true), (String::new(), vec![]));
    assert_eq!(refused(zone(), |guard| guard.latch("x", true, &mut vec![])), (String::new(), vec![]));
    assert_eq!(refused(Verdict::Inconclusive(Why::Grace(evidence())), |_| {}), (String::new(), vec![]));
    assert_eq!(refused(Verdict::Inconclusive(Why::Suspect), |_| {}), (String::new(), vec![]));
    let unbased: fn(&mut Guard) = |guard| guard.release.as_mut().unwrap().base = None;
    assert_eq!(refused(zone(), unbased).0, "known-good");
    let network = || Verdict::Blind(WhyBlind::Network);
    assert_eq!(refused(network(), |_| {}), ("network".into(), vec![PageKind::Blind]));
    assert_eq!(refused(network(), |guard| guard.release = None), (String::new(), vec![PageKind::Blind]));
    assert_eq!(refused(Verdict::Blind(WhyBlind::Ours), |_| {}), (String::new(), vec![PageKind::Blind]));
}

#[test]
fn a_version_that_the_good_state_had_not_is_a_release_when_a_read_since_shows_the_same_rule() {
    let stranger = |sent: Option<Mono>, read: Mono, reading: bool| {
        let mut guard = peace();
        let settled = BTreeSet::from([Version::from("v2")]);
        guard.judged = Some(Judgement { settled, ..word(&guard, Verdict::Good) });
        guard.epoch.as_mut().unwrap().stranger = Some(NOW);
        (guard.last_sent, guard.live.as_mut().unwrap().read) = (sent, read);
        guard.reading = reading.then_some((crate::guard::OpId(70), NOW));
        guard.unmask_release(NOW, &mut vec![])
    };
    let after = NOW.after(TICK);
    assert!(stranger(Some(after), after, false));
    assert!(!stranger(Some(NOW), after, false), "it was sent before");
    assert!(!stranger(Some(after), NOW, false), "it isn't back");
    assert!(!stranger(Some(after), after, true), "another one is out");
    assert!(!stranger(None, after, false));
}

#[test]
fn a_version_that_the_good_state_had_is_no_release() {
    let mut guard = peace();
    let settled = BTreeSet::from([Version::from("v1")]);
    guard.judged = Some(Judgement { settled, ..word(&guard, Verdict::Good) });
    assert!(!guard.unmask_release(NOW, &mut vec![]));
    assert_eq!(guard.epoch.and_then(|epoch| epoch.stranger), None);
}

#[test]
fn a_new_version_asks_for_a_read_that_shows_whose_it_is() {
    for (has_lever, reads) in [(true, true), (false, false)] {
        let mut guard = armed();
        guard.policy.has_lever = has_lever;
        (guard.next_read, guard.last_soon) = (Mono(u64::MAX), None);
        guard.last_word = Some((guard.epoch.as_ref().unwrap().id, "good".into()));
        let settled = BTreeSet::from([Version::from("v2")]);
        let word = Judgement { settled, ..word(&guard, Verdict::Good) };
        guard.judgement(NOW, word, &mut vec![]);
        assert_eq!(guard.next_read == NOW, reads);
    }
}

#[test]
fn the_first_bad_answer_of_an_epoch_is_noted_once() {
    let mut guard = armed();
    let (due, done, target) = (NOW.before(TICK), NOW, crate::target::TargetId(3));
    let first = crate::judge::FirstBad { due, done, target, status: 503, fault: None, version: None };
    let mut noted = vec![];
    for first_bad in [None, Some(first.clone()), Some(first)] {
        let (word, mut out) = (Judgement { first_bad, ..word(&guard, Verdict::Good) }, vec![]);
        guard.judgement(NOW, word, &mut out);
        noted.push(
            notes(&out).iter().filter(|line| matches!(line, Record::FirstBad { status: 503, .. })).count(),
        );
    }
    assert_eq!(noted, [0, 1, 0]);
}

#[test]
fn users_who_are_ill_after_a_restart_with_a_latch_are_told_of_again() {
    let weighed = |cause, latch: bool| {
        let mut guard = armed();
        guard.epoch.as_mut().unwrap().cause = cause;
        if latch {
            guard.latch("blue-healthy", true, &mut vec![]);
        }
        let mut out = vec![];
        guard.weigh(NOW, &mut out);
        told(&out)
    };
    assert_eq!(weighed(Cause::Start, true), [PageKind::Bad]);
    assert_eq!(weighed(Cause::Foreign, true), [], "it was told when it was latched");
    assert_eq!(weighed(Cause::Start, false), [PageKind::Breach]);
}

#[test]
fn every_version_of_an_epoch_is_noted_when_it_answers_first() {
    let mut guard = armed();
    let (v1, v2) = (Version::from("v1"), Version::from("v2"));
    let one = BTreeSet::from([v1.clone()]);
    let both = BTreeSet::from([v1, v2]);
    for (answering, noted) in [
        (BTreeSet::new(), None),
        (one.clone(), Some(&one)),
        (one.clone(), None),
        (both.clone(), Some(&both)),
        (one.clone(), None),
    ] {
        let word = Judgement { versions: answering, ..word(&guard, Verdict::Good) };
        let mut out = vec![];
        guard.judgement(NOW, word, &mut out);
        let seen = notes(&out).into_iter().find_map(|line| match line {
            Record::Seen { versions, .. } => Some(versions),
            _ => None,
        });
        assert_eq!(seen, noted);
    }
}

#[test]
fn a_version_that_no_earlier_state_had_is_a_release_where_it_looked_like_a_way_back() {
    let release = |cause, versions: &[&str]| {
        let mut guard = peace();
        let earlier = BTreeSet::from([Version::from("v1"), Version::from("v2")]);
        guard.history.push_back(crate::release::Earlier {
            fingerprint: state(1, 0).fingerprint(),
            versions: earlier,
            targets: BTreeSet::new(),
        });
        let versions = versions.iter().copied().map(Version::from).collect();
        guard.judged = Some(Judgement { versions, ..word(&guard, Verdict::Good) });
        guard.epoch.as_mut().unwrap().cause = cause;
        let begun = guard.unmask_release(NOW, &mut vec![]);
        assert_eq!(begun, guard.epoch.is_some_and(|epoch| epoch.cause == Cause::Foreign));
        begun
    };
    assert!(release(Cause::Rollback, &["v1", "v9"]));
    assert!(!release(Cause::Rollback, &["v1", "v2"]), "the state before may answer on");
    assert!(!release(Cause::Rollback, &[]));
    assert!(!release(Cause::Start, &["v9"]), "it never looked like a way back");
}

#[test]
fn bad_answers_of_nobody_are_told_after_ten_seconds_and_once() {
    let unknown = Verdict::Inconclusive(Why::NoKnownAnswer);
    let told_after = |answers: u32, bad: u32, verdict: &Verdict, change: fn(&mut Guard)| {
        let mut guard = armed();
        change(&mut guard);
        let mut at = None;
        for tenth in 0..=150_u32 {
            let now = NOW.after(Duration::from_millis(100) * tenth);
            let judgement = Judgement { answers, bad, ..word(&guard, verdict.clone()) };
            let mut out = vec![];
            guard.tell_nameless(now, &judgement, &mut out);
            if told(&out).contains(&PageKind::Bad) {
                assert_eq!(at.replace(tenth), None, "once");
            }
        }
        at
    };
    assert_eq!(told_after(50, 5, &unknown, |_| {}), Some(100));
    assert_eq!(told_after(51, 5, &unknown, |_| {}), None, "less than a tenth");
    assert_eq!(told_after(40, 4, &unknown, |_| {}), None, "too few to be anybody's");
    assert_eq!(told_after(50, 50, &Verdict::Good, |_| {}), None);
    assert_eq!(told_after(50, 50, &Verdict::Inconclusive(Why::TooFew), |_| {}), None);
    assert_eq!(told_after(50, 50, &unknown, |guard| guard.release = None), None);
    assert_eq!(told_after(50, 50, &unknown, |guard| guard.release.as_mut().unwrap().over = true), None);
    let latched = |guard: &mut Guard| {
        guard.latch("reverted", false, &mut vec![]);
    };
    assert_eq!(told_after(50, 50, &unknown, latched), None);
}

#[test]
fn bad_answers_of_nobody_that_pause_are_reckoned_anew() {
    let mut guard = armed();
    let unknown = Verdict::Inconclusive(Why::NoKnownAnswer);
    for (second, bad, pages) in [(0, 50, 0), (9, 50, 0), (10, 0, 0), (11, 50, 0), (20, 50, 0), (21, 50, 1)] {
        let judgement = Judgement { answers: 50, bad, ..word(&guard, unknown.clone()) };
        let mut out = vec![];
        guard.tell_nameless(NOW.after(Duration::from_secs(second)), &judgement, &mut out);
        assert_eq!(told(&out).len(), pages, "{second}");
    }
}

#[test]
fn the_judges_word_is_where_nameless_answers_are_looked_at() {
    let mut guard = armed();
    guard.epoch.as_mut().unwrap().nameless_since = Some(NOW.before(Duration::from_mins(1)));
    let unknown = Verdict::Inconclusive(Why::NoKnownAnswer);
    let judgement = Judgement { answers: 50, bad: 50, ..word(&guard, unknown) };
    let mut out = vec![];
    guard.judgement(NOW, judgement, &mut out);
    assert!(told(&out).contains(&PageKind::Bad));
}
