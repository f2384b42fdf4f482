//! Several rules that are put back together, one after another.

use super::*;
use crate::guard::rig::{NOW, armed, course, intent, latched, rule, shows, told};
use crate::listener::ListenerState;
use crate::release::Cause;
use crate::verdict::Verdict;

/// The listeners of 443, 80 and a host's rule, by the colour that each serves.
fn three(colours: [char; 3]) -> ListenerState {
    let names = ["443", "80", "host"].into_iter().zip(colours);
    let one = |(arn, colour)| rule(arn, i32::from(colour == 'b'), i32::from(colour == 'g'));
    names.map(one).collect::<Vec<_>>().into()
}

/// Directly before the first of three writes.
fn begun() -> Guard {
    let mut guard = armed();
    guard.live.as_mut().unwrap().state = three(['g'; 3]);
    guard.live.as_mut().unwrap().fingerprint = three(['g'; 3]).fingerprint();
    guard.release.as_mut().unwrap().base.as_mut().unwrap().state = three(['b'; 3]);
    let intent = intent(&guard);
    guard.phase =
        Phase::Reading { op: Some(OpId(70)), course: course(intent, 1, false), at: NOW.after(REPLY_MAX) };
    guard
}

/// A read comes back that shows these colours.
fn read(guard: &mut Guard, colours: [char; 3]) -> Vec<Action> {
    let mut out = vec![];
    guard.reread(NOW, &Ok(shows(three(colours))), &mut out);
    out
}

/// The write that is out is answered.
fn answer(guard: &mut Guard, outcome: WriteOutcome) -> Vec<Action> {
    let Phase::Writing { op, .. } = guard.phase else { panic!("{:?}", guard.phase) };
    let mut out = vec![];
    guard.wrote(NOW, op, outcome, &mut out);
    out
}

fn yes() -> WriteOutcome {
    WriteOutcome::Accepted("id".into())
}

/// The rules that are written among `actions`.
fn written(actions: &[Action]) -> Vec<&str> {
    let arn = |action: &'_ Action| match action {
        Action::Write(_, write) => Some(write.arn.to_string()),
        _ => None,
    };
    let arns: Vec<String> = actions.iter().filter_map(arn).collect();
    ["443", "80", "host"].into_iter().filter(|known| arns.iter().any(|arn| arn == known)).collect()
}

fn pages(actions: &[Action]) -> String {
    let text = |action: &Action| match action {
        Action::Page(page) => Some(page.text.to_string()),
        _ => None,
    };
    actions.iter().filter_map(text).collect::<Vec<_>>().join("\n")
}

/// The first is written and accepted, and the read before the second is out.
fn one_in() -> Guard {
    let mut guard = begun();
    assert_eq!(written(&read(&mut guard, ['g'; 3])), ["443"]);
    let out = answer(&mut guard, yes());
    assert!(matches!(out.last(), Some(Action::Read(_, Depth::Marks))), "a read of its own before each write");
    guard
}

#[test]
fn each_rule_is_written_over_a_read_of_its_own_and_the_revert_is_one() {
    let mut guard = one_in();
    assert_eq!(written(&read(&mut guard, ['b', 'g', 'g'])), ["80"]);
    answer(&mut guard, yes());
    assert_eq!(written(&read(&mut guard, ['b', 'b', 'g'])), ["host"]);
    let out = answer(&mut guard, yes());
    assert!(matches!(out.last(), Some(Action::Read(_, Depth::Listener))), "{out:?}");
    assert!(matches!(guard.phase, Phase::Confirming { .. }));
    assert_eq!(guard.reverts, [NOW], "one revert of the budget");
    guard.read_back(NOW, &Ok(shows(three(['b', 'b', 'g']))), &mut vec![]);
    assert!(matches!(guard.phase, Phase::Confirming { op: None, .. }), "not all of them are shown yet");
    guard.read_back(NOW, &Ok(shows(three(['b'; 3]))), &mut vec![]);
    assert!(matches!(guard.phase, Phase::Verifying { .. }));
}

#[test]
fn a_read_that_lags_behind_an_accepted_write_is_no_reason_to_send_it_again() {
    let mut guard = one_in();
    assert_eq!(written(&read(&mut guard, ['g'; 3])), ["80"], "443 was accepted");
    answer(&mut guard, yes());
    read(&mut guard, ['g'; 3]);
    answer(&mut guard, yes());
    assert!(matches!(guard.phase, Phase::Confirming { .. }), "{:?}", guard.phase);
}

#[test]
fn what_has_begun_is_finished_though_users_are_better_off_or_we_are_to_stop() {
    let changes: [fn(&mut Guard); 2] =
        [|guard| guard.judged.as_mut().unwrap().verdict = Verdict::Good, |guard| guard.drain(&mut vec![])];
    for (n, change) in changes.into_iter().enumerate() {
        let mut guard = one_in();
        change(&mut guard);
        assert_eq!(written(&read(&mut guard, ['b', 'g', 'g'])), ["80"], "{n}");
        let mut fresh = begun();
        change(&mut fresh);
        if !fresh.may_stop() {
            assert_eq!(written(&read(&mut fresh, ['g'; 3])), Vec::<&str>::new(), "{n}: nothing had begun");
        }
    }
}

#[test]
fn a_person_or_the_pipeline_stops_it_between_two_writes_and_is_told_how_far_it_came() {
    let marks: [fn(&mut Guard); 2] = [
        |guard| guard.hold = Some("incident".into()),
        |guard| guard.release.as_mut().unwrap().irreversible = true,
    ];
    for mark in marks {
        let mut guard = one_in();
        mark(&mut guard);
        let out = read(&mut guard, ['b', 'g', 'g']);
        assert_eq!((written(&out), latched(&guard)), (vec![], Some("partial")));
        assert!(pages(&out).contains("1 of 3 rules are put back"), "{}", pages(&out));
    }
}

#[test]
fn a_rule_that_is_refused_keeps_none_of_the_others_back_and_calls_a_person() {
    let mut guard = one_in();
    read(&mut guard, ['b', 'g', 'g']);
    answer(&mut guard, WriteOutcome::Refused("AccessDenied".into()));
    assert_eq!(latched(&guard), None);
    assert_eq!(written(&read(&mut guard, ['b', 'g', 'g'])), ["host"]);
    let out = answer(&mut guard, yes());
    assert_eq!((latched(&guard), told(&out)), (Some("partial"), vec![PageKind::Partial]));
    assert!(pages(&out).contains("AWS refuses to write 80; 2 of 3"), "{}", pages(&out));
    let mut first = begun();
    read(&mut first, ['g'; 3]);
    answer(&mut first, WriteOutcome::Refused("AccessDenied".into()));
    assert_eq!(
        (latched(&first), first.reverts.len()),
        (Some("write-refused"), 0),
        "all or nothing, where that can be had"
    );
}

#[test]
fn the_last_one_refused_is_partial_at_once() {
    let mut guard = one_in();
    read(&mut guard, ['b', 'g', 'g']);
    answer(&mut guard, yes());
    read(&mut guard, ['b', 'b', 'g']);
    let out = answer(&mut guard, WriteOutcome::Refused("RuleNotFound".into()));
    assert!(pages(&out).contains("AWS refuses to write host; 2 of 3"), "{}", pages(&out));
}

#[test]
fn a_write_without_an_answer_is_found_by_its_effect_and_the_next_one_follows() {
    let mut guard = one_in();
    read(&mut guard, ['b', 'g', 'g']);
    answer(&mut guard, WriteOutcome::Unknown("cut".into()));
    let Phase::Reading { op: None, course, .. } = guard.phase.clone() else { panic!("{:?}", guard.phase) };
    assert_eq!((course.doubtful.as_deref(), course.attempt), (Some("80"), 2));
    guard.lands_until = Mono(0);
    let out = read(&mut guard, ['b', 'b', 'g']);
    assert_eq!(written(&out), ["host"]);
    let Phase::Writing { course, .. } = &guard.phase else { panic!() };
    assert_eq!((course.doubtful.as_deref(), course.attempt), (None, 1));
}

#[test]
fn until_a_write_is_known_not_to_have_landed_no_other_is_sent() {
    let mut guard = one_in();
    read(&mut guard, ['b', 'g', 'g']);
    answer(&mut guard, WriteOutcome::Unknown("cut".into()));
    assert_eq!(written(&read(&mut guard, ['b', 'g', 'g'])), Vec::<&str>::new());
    guard.lands_until = NOW;
    assert_eq!(written(&read(&mut guard, ['b', 'g', 'g'])), ["80"], "the same one again");
}

#[test]
fn throttling_is_counted_for_each_rule_and_what_has_begun_has_ten_seconds_more() {
    let deadline = NOW.after(Duration::from_secs(30));
    let mut guard = one_in();
    read(&mut guard, ['b', 'g', 'g']);
    answer(&mut guard, WriteOutcome::Throttled);
    let Phase::Reading { op: None, course, .. } = guard.phase.clone() else { panic!("{:?}", guard.phase) };
    assert_eq!((course.attempt, course.doubtful.clone()), (2, None));
    let again = |now: Mono, attempt| {
        let mut guard = guard.clone();
        let mut out = vec![];
        guard.again(now, Course { attempt, ..course.clone() }, "AWS throttles our writes", &mut out);
        (latched(&guard), pages(&out))
    };
    assert_eq!(again(deadline, 2).0, None);
    assert_eq!(again(deadline.after(CONFIRM_MAX).before(Duration::from_millis(800)), 2).0, None);
    let (reason, page) = again(deadline.after(CONFIRM_MAX), 2);
    assert_eq!(reason, Some("partial"));
    assert!(page.contains("AWS throttles our writes; 1 of 3 rules are put back"), "{page}");
    assert_eq!(again(NOW, 6).0, Some("partial"));
    let mut late = one_in();
    let mut out = vec![];
    late.reread(deadline.after(CONFIRM_MAX), &Ok(shows(three(['b', 'g', 'g']))), &mut out);
    assert_eq!(written(&out), ["80"]);
    let mut late = one_in();
    late.reread(
        deadline.after(CONFIRM_MAX).after(Duration::from_nanos(1)),
        &Ok(shows(three(['b', 'g', 'g']))),
        &mut out,
    );
    assert_eq!(latched(&late), Some("partial"));
}

#[test]
fn somebody_elses_hand_on_any_rule_ends_it() {
    let mut half = three(['b', 'g', 'g']).rules().to_vec();
    half[1] = rule("80", 50, 50);
    let mut guard = one_in();
    guard.reread(NOW, &Ok(shows(half.into())), &mut vec![]);
    assert_eq!(latched(&guard), Some("overridden"));
    let mut guard = one_in();
    read(&mut guard, ['b', 'b', 'g']);
    assert_eq!(latched(&guard), Some("overridden"), "80 is back, and we haven't written it");
    let mut guard = begun();
    read(&mut guard, ['b', 'g', 'g']);
    assert_eq!(latched(&guard), Some("overridden"), "one is back before our first write");
}

#[test]
fn a_background_read_between_the_effects_says_nothing_yet() {
    let mut guard = begun();
    read(&mut guard, ['g'; 3]);
    guard.take(NOW, shows(three(['b', 'g', 'g'])));
    let mut out = vec![];
    guard.glimpse(NOW, &mut out);
    assert!(out.is_empty() && matches!(guard.phase, Phase::Writing { .. }));
}

#[test]
fn our_own_half_is_no_release_and_the_rest_done_by_a_person_is_proved() {
    let mut guard = one_in();
    guard.hold = Some("incident".into());
    read(&mut guard, ['b', 'g', 'g']);
    let (release, epoch) = (guard.release.as_ref().unwrap().id, guard.next_epoch);
    guard.compare(NOW, NOW, &mut vec![]);
    assert_eq!((guard.next_epoch, guard.release.as_ref().unwrap().id), (epoch + 1, release));
    assert_eq!(guard.epoch.as_ref().unwrap().cause, Cause::OwnRevert);
    assert_eq!(latched(&guard), Some("partial"));
    guard.take(NOW, shows(three(['b'; 3])));
    guard.compare(NOW, NOW, &mut vec![]);
    assert!(matches!(guard.phase, Phase::Verifying { .. }), "{:?}", guard.phase);
    assert_eq!(guard.reverts.len(), 1);
}

#[test]
fn half_of_a_later_release_is_not_taken_for_ours() {
    let mut guard = one_in();
    guard.hold = Some("incident".into());
    read(&mut guard, ['b', 'g', 'g']);
    guard.compare(NOW, NOW, &mut vec![]);
    guard.hold = None;
    let epoch = guard.next_epoch;
    guard.take(NOW, shows(three(['b', 'b', 'g'])));
    guard.compare(NOW, NOW, &mut vec![]);
    assert_eq!(guard.next_epoch, epoch + 1);
    assert_eq!(guard.epoch.as_ref().unwrap().cause, Cause::Foreign);
}

#[test]
fn a_rule_that_was_shown_put_back_and_is_not_any_more_is_somebody_elses_doing() {
    // By a read of our own, by one while a write is out, and by one that was sent before and comes late.
    let mut own = one_in();
    read(&mut own, ['b', 'g', 'g']);
    answer(&mut own, WriteOutcome::Throttled);
    read(&mut own, ['g'; 3]);
    assert_eq!(latched(&own), Some("overridden"));
    for late in [false, true] {
        let mut guard = begun();
        read(&mut guard, ['g'; 3]);
        if late {
            answer(&mut guard, WriteOutcome::Unknown("cut".into()));
        }
        let look = |guard: &mut Guard, colours| {
            guard.take(NOW, shows(three(colours)));
            if late { guard.glance(NOW, &mut vec![]) } else { guard.glimpse(NOW, &mut vec![]) }
        };
        look(&mut guard, ['b', 'g', 'g']);
        assert_eq!(latched(&guard), None);
        look(&mut guard, ['g'; 3]);
        assert_eq!((latched(&guard), guard.reverts.len()), (Some("overridden"), 1), "late: {late}");
    }
    let mut all = begun();
    read(&mut all, ['g'; 3]);
    answer(&mut all, WriteOutcome::Unknown("cut".into()));
    all.take(NOW, shows(three(['b'; 3])));
    all.glance(NOW, &mut vec![]);
    assert_eq!(latched(&all), None, "its own read decides");
    all.lands_until = Mono(0);
    read(&mut all, ['g'; 3]);
    assert_eq!(latched(&all), Some("overridden"), "done once, and undone");
}

#[test]
fn a_third_state_while_something_may_have_landed_costs_the_budget() {
    let third = || {
        let mut rules = three(['g'; 3]).rules().to_vec();
        rules[2] = rule("host", 50, 50);
        ListenerState::from(rules)
    };
    let mut out = begun();
    read(&mut out, ['g'; 3]);
    out.take(NOW, shows(third()));
    out.glimpse(NOW, &mut vec![]);
    assert_eq!((latched(&out), out.reverts.len()), (Some("overridden"), 1));
    let mut doubtful = begun();
    read(&mut doubtful, ['g'; 3]);
    answer(&mut doubtful, WriteOutcome::Unknown("cut".into()));
    doubtful.reread(NOW, &Ok(shows(third())), &mut vec![]);
    assert_eq!(doubtful.reverts.len(), 1);
    let mut fresh = begun();
    fresh.reread(NOW, &Ok(shows(third())), &mut vec![]);
    assert_eq!(fresh.reverts.len(), 0, "nothing was sent");
}

#[test]
fn a_write_of_before_a_restart_that_lands_now_is_ours_and_the_rest_follows() {
    let mut guard = begun();
    let late = Intent { id: crate::record::IntentId(3), ..*intent(&guard) };
    guard.unproved = Some(Box::new(late));
    assert_eq!(written(&read(&mut guard, ['b', 'g', 'g'])), ["80"]);
    assert_eq!(guard.reverts, [NOW]);
}

#[test]
fn half_of_ours_that_lands_in_peace_calls_a_person() {
    for (latch, pages_sent) in [(None, 1), (Some("cool-down"), 1), (Some("partial"), 0)] {
        let mut guard = begun();
        guard.unproved = Some(intent(&guard));
        if let Some(reason) = latch {
            guard.latch(reason, true, &mut vec![]);
        }
        guard.phase = Phase::Watching;
        guard.take(NOW, shows(three(['b', 'g', 'g'])));
        let mut out = vec![];
        guard.compare(NOW, NOW, &mut out);
        assert_eq!((latched(&guard), told(&out).len()), (Some("partial"), pages_sent), "{latch:?}");
        assert!(pages_sent == 0 || pages(&out).contains("took effect late: 1 of 3"), "{}", pages(&out));
        assert_eq!(guard.epoch.as_ref().unwrap().cause, Cause::OwnRevert);
    }
}
