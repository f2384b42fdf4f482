//! Which change is a release, a step or a way back, and what a restart goes on with.

use super::*;
use crate::guard::rig::{NOW, armed, health, intent, latched, shows, state, told};
use crate::guard::{Mark, Marks};
use crate::listener::{GroupHealth, HealthState, ListenerState, TargetHealth};
use crate::recover::Remembered;
use crate::target::Version;

const TICK: Duration = Duration::from_nanos(1);

fn targets(ids: &[&str]) -> BTreeSet<Box<str>> {
    ids.iter().map(|id| Box::from(*id)).collect()
}

fn versions(names: &[&str]) -> BTreeSet<Version> {
    names.iter().copied().map(Version::from).collect()
}

/// The listener is read and shows `state`.
fn reads(guard: &mut Guard, state: ListenerState) -> Vec<Action> {
    let (before, mut out) = (guard.live.as_ref().map_or(NOW, |live| live.read), vec![]);
    guard.take(NOW, shows(state));
    guard.compare(NOW, before, &mut out);
    out
}

fn cause(guard: &Guard) -> Option<Cause> {
    guard.epoch.as_ref().map(|epoch| epoch.cause)
}

#[test]
fn a_look_out_of_turn_comes_at_most_once_a_second_and_never_later_than_was_planned() {
    let mut guard = armed();
    (guard.next_read, guard.last_soon) = (NOW.after(Duration::from_mins(1)), None);
    guard.read_soon(NOW);
    assert_eq!((guard.next_read, guard.last_soon), (NOW, Some(NOW)));
    guard.next_read = NOW.after(Duration::from_mins(1));
    guard.read_soon(NOW.after(Duration::from_millis(300)));
    assert_eq!(guard.next_read, NOW.after(Duration::from_secs(1)));
    (guard.next_read, guard.last_soon) = (NOW, Some(Mono(1)));
    guard.read_soon(NOW);
    assert_eq!((guard.next_read, guard.last_soon), (NOW, Some(Mono(1))), "it comes anyway");
}

#[test]
fn without_a_listener_another_version_is_a_release_once_the_first_was_good() {
    let begun = |has_lever, established, notice: Notice| {
        let mut guard = armed();
        guard.policy.has_lever = has_lever;
        guard.epoch.as_mut().unwrap().established = established;
        guard.noticed(NOW, &notice, &mut vec![]);
        cause(&guard) == Some(Cause::Version)
    };
    let version = || Notice::Version("v2".into());
    assert!(begun(false, true, version()));
    assert!(!begun(false, false, version()));
    assert!(!begun(false, true, Notice::Failure));
    assert!(!begun(true, true, version()));
}

#[test]
fn a_read_that_nobody_waits_for_any_more_is_counted_and_dropped() {
    let mut guard = armed();
    (guard.reading, guard.late_replies) = (Some((OpId(70), NOW)), 3);
    guard.read(NOW, OpId(71), Ok(shows(state(1, 0))), &mut vec![]);
    assert_eq!((guard.late_replies, guard.reading), (4, Some((OpId(70), NOW))));
    guard.read(NOW, OpId(70), Ok(shows(state(0, 1))), &mut vec![]);
    assert_eq!((guard.late_replies, guard.reading, guard.answered), (4, None, NOW));
}

#[test]
fn each_read_that_fails_is_one_more_and_one_that_succeeds_ends_them() {
    let mut guard = armed();
    for failed in [1, 2, 3, 4, 5, 6, 6] {
        guard.read_failed(NOW, ReadError::Throttled);
        assert_eq!(guard.read_backoff, failed);
    }
    guard.take(NOW, shows(state(0, 1)));
    assert_eq!((guard.read_backoff, guard.read_error), (0, None));
}

#[test]
fn what_a_read_did_not_ask_for_stays_as_it_was() {
    let mut guard = armed();
    let mut marks = Marks::of(Owner::Nobody);
    (marks.hold, marks.irreversible, marks.label) = (Some("h".into()), Some("i".into()), Some("l".into()));
    guard.take(NOW, Observed { marks: Some(marks), ..shows(state(0, 1)) });
    guard.last_full = None;
    guard.take(NOW, shows(state(0, 1)));
    let live = guard.live.as_ref().unwrap();
    assert_eq!(
        (live.marks.hold.as_deref(), live.marks.irreversible.as_deref(), live.marks.label.as_deref()),
        (Some("h"), Some("i"), Some("l"))
    );
    assert_eq!((live.health.len(), guard.last_full), (2, None));
    guard.take(NOW, Observed { health: Some(vec![]), ..shows(state(0, 1)) });
    assert_eq!((guard.live.as_ref().map(|live| live.health.len()), guard.last_full), (Some(0), Some(NOW)));
}

#[test]
fn the_targets_of_a_state_are_those_it_had_when_it_was_judged_good() {
    let seen = |established, gone: bool| {
        let mut guard = armed();
        let epoch = guard.epoch.as_mut().unwrap();
        (epoch.established, epoch.targets) = (established, targets(&["old"]));
        if gone {
            guard.live.as_mut().unwrap().health.clear();
        }
        reads(&mut guard, state(0, 1));
        guard.epoch.unwrap().targets
    };
    assert_eq!(seen(false, false), targets(&["g0", "g1"]));
    assert_eq!(seen(true, false), targets(&["old"]));
    assert_eq!(seen(false, true), targets(&["old"]), "a read that names none tells nothing");
}

#[test]
fn another_state_is_a_release_and_an_earlier_one_is_a_way_back() {
    let mut guard = armed();
    let first = guard.release.as_ref().unwrap().id;
    reads(&mut guard, state(1, 0));
    assert_eq!(cause(&guard), Some(Cause::Foreign), "nobody has seen it before");
    assert_eq!(guard.release.as_ref().map(|release| release.id), Some(ReleaseId(first.0 + 1)));
    reads(&mut guard, state(0, 1));
    assert_eq!(cause(&guard), Some(Cause::Rollback));
    assert_eq!(guard.release.as_ref().map(|release| release.over), Some(true));
}

#[test]
fn a_way_back_after_we_acted_is_told_and_one_before_is_not() {
    for (acted, kinds) in [(false, vec![]), (true, vec![PageKind::Overridden])] {
        let mut guard = armed();
        let (fingerprint, versions) = (state(1, 0).fingerprint(), BTreeSet::new());
        guard.history.push_back(Earlier { fingerprint, versions, targets: targets(&["b0", "b1"]) });
        if acted {
            guard.latch("reverted", false, &mut vec![]);
        }
        let out = reads(&mut guard, state(1, 0));
        assert_eq!((cause(&guard), told(&out)), (Some(Cause::Rollback), kinds));
    }
}

#[test]
fn our_own_write_that_comes_late_is_known_as_ours_while_nothing_else_is_out() {
    let mut guard = armed();
    guard.unproved = Some(intent(&guard));
    reads(&mut guard, state(1, 0));
    assert_eq!((cause(&guard), guard.may_stop()), (Some(Cause::OwnRevert), false));
    let mut guard = armed();
    guard.unproved = Some(intent(&guard));
    reads(&mut guard, state(1, 1));
    assert_eq!(cause(&guard), Some(Cause::Step), "another state than that");
}

#[test]
fn while_a_revert_is_proved_another_state_is_somebody_elses() {
    for (now, latch) in [(state(1, 0), None), (state(1, 1), Some("overridden"))] {
        let mut guard = armed();
        let intent = intent(&guard);
        guard.begin_epoch(NOW, NOW, Cause::OwnRevert, false, &mut vec![]);
        guard.phase = Phase::Verifying { op: OpId(70), intent, at: NOW.after(TICK) };
        let mut out = vec![];
        guard.take(NOW, shows(now));
        guard.changed(NOW, NOW, &mut out);
        assert_eq!(told(&out).contains(&PageKind::Overridden), latch.is_some());
    }
}

#[test]
fn a_replaced_task_is_no_deployment_where_versions_tell() {
    let earlier = |version: &[&str], ids: &[&str]| Earlier {
        fingerprint: state(1, 0).fingerprint(),
        versions: versions(version),
        targets: targets(ids),
    };
    let mut guard = armed();
    assert!(!guard.is_recoloured(&earlier(&["v1"], &["a", "b"]), &targets(&["b", "c"])));
    assert!(guard.is_recoloured(&earlier(&["v1"], &["a", "b"]), &targets(&["c", "d"])), "none is left");
    assert!(!guard.is_recoloured(&earlier(&["v1"], &["a"]), &targets(&[])), "none is known now");
    assert!(!guard.is_recoloured(&earlier(&["v1"], &[]), &targets(&["c"])), "none was known");
    assert!(guard.is_recoloured(&earlier(&[], &["a", "b"]), &targets(&["b", "c"])), "no version was known");
    guard.policy.versions_known = false;
    assert!(guard.is_recoloured(&earlier(&["v1"], &["a", "b"]), &targets(&["b", "c"])), "none ever is");
}

#[test]
fn another_weight_of_the_same_two_groups_is_a_step_while_the_release_is_judged() {
    let step = |shown: ListenerState, now: ListenerState, change: fn(&mut Guard)| {
        let mut guard = armed();
        guard.epoch.as_mut().unwrap().serving = shown.serving().into_iter().map(Into::into).collect();
        change(&mut guard);
        guard.take(NOW, shows(now));
        guard.is_step()
    };
    assert!(step(state(90, 10), state(50, 50), |_| {}));
    assert!(step(state(90, 10), state(0, 1), |_| {}));
    assert!(!step(state(1, 0), state(50, 50), |_| {}), "green had nothing before");
    assert!(!step(state(90, 10), state(1, 0), |_| {}), "green has nothing now");
    assert!(!step(state(90, 10), state(50, 50), |guard| guard.release.as_mut().unwrap().over = true));
    assert!(!step(state(90, 10), state(50, 50), |guard| guard.latch("partial", true, &mut vec![])));
    assert!(!step(state(90, 10), state(50, 50), |guard| guard.release.as_mut().unwrap().base = None));
    let another = |guard: &mut Guard| guard.epoch.as_mut().unwrap().serving = ["b".into(), "x".into()].into();
    assert!(!step(state(90, 10), state(50, 50), another), "another green was served");
}

#[test]
fn a_mark_names_the_release_that_begins_within_an_hour() {
    let named = |said_ago: Duration, spent: Duration| {
        let mut guard = armed();
        let mark = Mark { label: Some("7.1".into()), irreversible: true, at: NOW.before(said_ago), spent };
        guard.mark = Some(mark);
        guard.begin(NOW, NOW, Cause::Foreign, true, &mut vec![]);
        let release = guard.release.unwrap();
        (release.label.is_some(), release.irreversible)
    };
    let half = Duration::from_mins(30);
    assert_eq!(named(half, half.saturating_sub(TICK)), (true, true));
    assert_eq!(named(half, half), (false, false));
}

#[test]
fn tags_forbid_and_name_a_release_when_it_begins_and_after() {
    let tag = |guard: &mut Guard| {
        let live = guard.live.as_mut().unwrap();
        (live.marks.irreversible, live.marks.label) = (Some("tag".into()), Some("7.2".into()));
    };
    let mut guard = armed();
    tag(&mut guard);
    guard.begin(NOW, NOW, Cause::Foreign, true, &mut vec![]);
    let release = guard.release.as_ref().unwrap();
    assert_eq!((release.irreversible, release.label.as_deref()), (true, Some("7.2")));
    let mut guard = armed();
    tag(&mut guard);
    guard.apply_marks();
    let release = guard.release.as_mut().unwrap();
    assert_eq!((release.irreversible, release.label.take().as_deref()), (true, Some("7.2")));
    release.label = Some("7.1".into());
    guard.live.as_mut().unwrap().marks.irreversible = None;
    guard.apply_marks();
    let release = guard.release.as_ref().unwrap();
    assert_eq!((release.irreversible, release.label.as_deref()), (true, Some("7.1")), "what was said stays");
    let mut over = armed();
    over.release.as_mut().unwrap().over = true;
    tag(&mut over);
    over.apply_marks();
    assert!(!over.release.unwrap().irreversible);
}

#[test]
fn what_came_without_the_listener_is_the_release_itself_and_has_no_lever() {
    let begun = |cause, live: ListenerState| {
        let mut guard = armed();
        guard.epoch.as_mut().unwrap().settled = [(Version::from("v2"), Mono(0))].into();
        guard.take(NOW, shows(live));
        guard.begin(NOW, NOW, cause, true, &mut vec![]);
        let release = guard.release.unwrap();
        (release.old_versions, release.lever)
    };
    assert_eq!(begun(Cause::Foreign, state(0, 1)), (versions(&["v1", "v2"]), true));
    assert_eq!(begun(Cause::Version, state(1, 0)), (versions(&["v1"]), false));
}

#[test]
fn numbers_of_releases_and_epochs_go_up_by_one() {
    let mut guard = armed();
    (guard.next_release, guard.next_epoch) = (7, 9);
    guard.begin(NOW, NOW, Cause::Foreign, true, &mut vec![]);
    assert_eq!((guard.next_release, guard.next_epoch), (8, 10));
    let release = guard.release.as_ref().unwrap();
    assert_eq!((release.id, release.first), (ReleaseId(7), EpochId(9)));
    assert_eq!(guard.epoch.map(|epoch| epoch.id), Some(EpochId(9)));
}

#[test]
fn thirty_two_earlier_states_are_remembered_each_once() {
    let mut guard = armed();
    for weight in 0..40 {
        reads(&mut guard, state(7, weight));
        assert!(guard.history.len() <= HISTORY);
    }
    assert_eq!(guard.history.len(), HISTORY);
    let newest = guard.history.back().map(|earlier| earlier.fingerprint.clone());
    assert_eq!(newest, Some(state(7, 38).fingerprint()));
    reads(&mut guard, state(7, 20));
    reads(&mut guard, state(7, 39));
    let twice = guard.history.iter().filter(|earlier| earlier.fingerprint == state(7, 20).fingerprint());
    assert_eq!(twice.count(), 1);
}

#[test]
fn the_state_to_return_to_is_asked_in_a_release_and_the_one_that_serves_in_peace() {
    let asked = |change: fn(&mut Guard)| {
        let mut guard = armed();
        guard.asked = targets(&["before"]);
        change(&mut guard);
        let mut out = vec![];
        guard.ask(&mut out);
        assert_eq!(out.is_empty(), guard.asked == targets(&["before"]));
        guard.asked
    };
    assert_eq!(asked(|_| {}), targets(&["b0", "b1"]));
    assert_eq!(asked(|guard| guard.release.as_mut().unwrap().over = true), targets(&["g0", "g1"]));
    assert_eq!(asked(|guard| guard.release = None), targets(&["g0", "g1"]));
    assert_eq!(asked(|guard| guard.release.as_mut().unwrap().base = None), targets(&[]));
    let nobody = |guard: &mut Guard| guard.live.as_mut().unwrap().health.clear();
    assert_eq!(asked(nobody), targets(&["before"]), "they are asked on when none is registered any more");
    let mut guard = armed();
    guard.asked = targets(&["b0", "b1"]);
    let mut out = vec![];
    guard.ask(&mut out);
    assert!(out.is_empty(), "once is enough");
}

/// After a restart, `now` being served, with the release of [`armed`] in the ledger.
fn back(now: ListenerState, change: impl FnOnce(&mut Recovered)) -> Guard {
    restarted(now, change).0
}

fn restarted(now: ListenerState, change: impl FnOnce(&mut Recovered)) -> (Guard, Vec<Action>) {
    let before = armed();
    let release = before.release.as_ref().unwrap();
    let mut memory = Recovered {
        good: before.good.clone(),
        shows: Some(state(0, 1).fingerprint()),
        release: Some(Remembered {
            id: release.id,
            label: None,
            base: release.base.clone(),
            cutover_ago: Duration::from_mins(1),
            first: release.first,
            irreversible: false,
            latch: None,
            over: false,
        }),
        gap: AWAY_MAX,
        ..Recovered::default()
    };
    change(&mut memory);
    let mut guard = Guard::new(before.policy, memory, NOW);
    guard.take(NOW, shows(now));
    let mut out = vec![];
    guard.start(NOW, &mut out);
    (guard, out)
}

#[test]
fn after_a_restart_a_release_is_judged_on_unless_it_is_latched() {
    let judged = |change: fn(&mut Recovered)| {
        let open =
            |action: &Action| if let Action::Open(stage) = action { Some(stage.release) } else { None };
        restarted(state(0, 1), change).1.iter().find_map(open)
    };
    assert_eq!(judged(|_| {}), Some(true));
    let latch = |memory: &mut Recovered| memory.release.as_mut().unwrap().latch = Some(("partial", true));
    assert_eq!(judged(latch), Some(false));
    assert_eq!(judged(|memory| memory.release.as_mut().unwrap().over = true), Some(false));
}

#[test]
fn a_release_goes_on_after_a_restart_of_at_most_a_minute_if_nothing_changed() {
    let over = |guard: Guard| guard.release.unwrap().over;
    assert!(!over(back(state(0, 1), |_| {})));
    assert!(over(back(state(0, 1), |memory| memory.gap = AWAY_MAX + TICK)));
    assert!(over(back(state(1, 1), |_| {})), "another state serves");
    assert!(over(back(state(0, 1), |memory| memory.release.as_mut().unwrap().over = true)));
    assert!(back(state(0, 1), |memory| memory.release = None).release.is_none());
}

#[test]
fn a_latch_outlives_any_absence_while_the_listener_is_what_it_was() {
    let hold = |memory: &mut Recovered| {
        memory.release.as_mut().unwrap().latch = Some(("partial", true));
        memory.gap = Duration::from_hours(5);
    };
    let same = back(state(0, 1), hold);
    assert_eq!((latched(&same), same.release.map(|release| release.over)), (Some("partial"), Some(false)));
    let other = back(state(1, 1), hold);
    assert_eq!(other.release.map(|release| release.over), Some(true));
}

#[test]
fn after_a_restart_the_good_state_is_one_that_serves_or_is_the_way_back_of_what_does() {
    assert!(back(state(0, 1), |_| {}).good.is_some(), "the way back");
    assert!(back(state(1, 0), |_| {}).good.is_some(), "it serves");
    assert!(back(state(1, 1), |_| {}).good.is_none(), "nobody knows what serves");
    assert!(back(state(0, 1), |memory| memory.release = None).good.is_none());
    let newer = |memory: &mut Recovered| memory.good.as_mut().unwrap().healthy = 99;
    assert!(back(state(0, 1), newer).good.is_none(), "another one than the way back");
}

#[test]
fn a_release_has_a_lever_after_a_restart_if_its_way_back_is_another_state() {
    assert!(back(state(0, 1), |_| {}).release.unwrap().lever);
    assert!(!back(state(1, 0), |_| {}).release.unwrap().lever);
}

#[test]
fn targets_that_leave_are_not_asked() {
    let mut guard = armed();
    let leaving = TargetHealth { id: "b9".into(), state: HealthState::Draining, overridden: false };
    let health = &mut guard.live.as_mut().unwrap().health;
    health.push(GroupHealth { group: "b".into(), targets: vec![leaving] });
    guard.asked.clear();
    guard.ask(&mut vec![]);
    assert_eq!(guard.asked, targets(&["b0", "b1"]));
}

#[test]
fn a_listener_that_changed_before_our_write_ends_the_preflight() {
    for (now, known) in [(state(5, 5), false), (state(1, 0), true)] {
        let mut guard = armed();
        if known {
            let (fingerprint, versions) = (now.fingerprint(), BTreeSet::new());
            guard.history.push_back(Earlier { fingerprint, versions, targets: targets(&["b0", "b1"]) });
        }
        guard.preflight(NOW, crate::guard::rig::evidence(), &mut vec![]);
        let mut out = vec![];
        guard.preflight_read(NOW, &Ok(shows(now)), &mut out);
        assert!(guard.may_stop() && cause(&guard) != Some(Cause::OwnRevert), "{:?}", guard.phase);
        let decided = |line: &Record| matches!(line, Record::Preflight { .. });
        assert!(!out.iter().any(|action| matches!(action, Action::Note(line) if decided(line))));
    }
}

#[test]
fn what_a_release_that_looked_like_a_way_back_answers_is_its_own() {
    let old = |cause| {
        let mut guard = armed();
        let epoch = guard.epoch.as_mut().unwrap();
        (epoch.cause, epoch.settled) = (cause, [(Version::from("v2"), Mono(0))].into());
        let earlier = Earlier {
            fingerprint: state(1, 0).fingerprint(),
            versions: versions(&["v1"]),
            targets: targets(&[]),
        };
        guard.history.push_back(earlier);
        guard.begin(NOW, NOW, Cause::Foreign, true, &mut vec![]);
        guard.release.unwrap().old_versions
    };
    assert_eq!(old(Cause::Rollback), versions(&["v1"]));
    assert_eq!(old(Cause::Foreign), versions(&["v1", "v2"]));
}

/// Held after a revert, the listener showing blue.
fn held() -> Guard {
    let mut guard = armed();
    guard.take(NOW, shows(state(1, 0)));
    guard.begin_epoch(NOW, NOW, Cause::OwnRevert, false, &mut vec![]);
    guard.latch("reverted", false, &mut vec![]);
    guard
}

#[test]
fn a_change_after_our_revert_is_told_at_once_whatever_it_is() {
    for after in [state(0, 1), state(50, 50)] {
        let mut guard = held();
        let mut out = vec![];
        guard.take(NOW, shows(after));
        guard.compare(NOW, NOW, &mut out);
        assert_eq!(told(&out), [PageKind::Overridden]);
        assert!(
            out.iter()
                .any(|action| matches!(action, Action::Note(line) if matches!(**line, Record::Drift { .. })))
        );
    }
    let mut refused = held();
    refused.latch("blue-healthy", true, &mut vec![]);
    let mut out = vec![];
    refused.take(NOW, shows(state(50, 50)));
    refused.compare(NOW, NOW, &mut out);
    assert_eq!(told(&out), [], "we have put nothing back");
}

#[test]
fn targets_that_are_new_where_users_are_since_our_revert_are_told_once() {
    let seen = |guard: &mut Guard, count| {
        let health = Some(vec![health("b", count, HealthState::Healthy)]);
        guard.take(NOW, Observed { health, ..shows(state(1, 0)) });
        let mut out = vec![];
        guard.compare(NOW, NOW, &mut out);
        told(&out)
    };
    let mut guard = held();
    assert_eq!(seen(&mut guard, 2), [], "those that were there when it was good");
    assert_eq!(seen(&mut guard, 3), [PageKind::Overridden]);
    assert_eq!(seen(&mut guard, 4), [], "once is enough");
    let mut over = held();
    over.release.as_mut().unwrap().over = true;
    assert_eq!(seen(&mut over, 3), []);
    let mut late = held();
    late.latch("partial", true, &mut vec![]);
    late.take(NOW, shows(state(0, 1)));
    let mut out = vec![];
    late.newcomers(&mut out);
    assert_eq!(told(&out), [], "the new version serves, as our write has had no effect yet");
    let mut blank = held();
    blank.release.as_mut().unwrap().base.as_mut().unwrap().targets.clear();
    assert_eq!(seen(&mut blank, 3), []);
}
