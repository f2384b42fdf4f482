//! Pages, commands and the wish to stop.

use super::*;
use crate::guard::OpId;
use crate::guard::rig::{NOW, armed, course, evidence, intent, told};

const TICK: Duration = Duration::from_nanos(1);

fn begins(irreversible: bool) -> Command {
    Command::ReleaseBegin { label: Some("7.1".into()), irreversible }
}

#[test]
fn a_person_is_told_once_an_epoch_kind_and_reason() {
    let mut guard = armed();
    let mut out = vec![];
    guard.page(PageKind::Breach, "a", &mut out);
    guard.page(PageKind::Breach, "b", &mut out);
    guard.page(PageKind::Bad, "c", &mut out);
    guard.page_for(PageKind::Breach, "reason", "d", &mut out);
    assert_eq!(told(&out), [PageKind::Breach, PageKind::Bad, PageKind::Breach]);
}

#[test]
fn what_was_told_is_remembered_for_the_newest_256() {
    let mut guard = armed();
    for epoch in 0..300 {
        guard.epoch.as_mut().unwrap().id = EpochId(epoch);
        guard.page(PageKind::Breach, "a", &mut vec![]);
        assert_eq!(guard.paged.len(), usize::try_from(epoch + 1).unwrap().min(256));
    }
    let mut out = vec![];
    guard.page(PageKind::Breach, "again", &mut out);
    assert_eq!(told(&out), []);
}

#[test]
fn a_mark_that_comes_within_a_minute_speaks_of_the_release_that_runs() {
    for irreversible in [false, true] {
        let mut guard = armed();
        let release = guard.release.as_mut().unwrap();
        release.cutover = NOW.before(MARK_FITS).after(TICK);
        guard.operator(NOW, begins(irreversible), &mut vec![]);
        let release = guard.release.unwrap();
        assert_eq!((release.label.as_deref(), release.irreversible), (Some("7.1"), irreversible));
        assert!(guard.mark.is_none());
    }
}

#[test]
fn a_mark_that_comes_later_or_twice_waits_for_the_next_release() {
    let changes: [fn(&mut Guard); 3] = [
        |guard| guard.release.as_mut().unwrap().cutover = NOW.before(MARK_FITS),
        |guard| guard.release.as_mut().unwrap().label = Some("7.0".into()),
        |guard| guard.release.as_mut().unwrap().over = true,
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut guard = armed();
        guard.release.as_mut().unwrap().cutover = NOW;
        change(&mut guard);
        guard.operator(NOW, begins(true), &mut vec![]);
        let release = guard.release.unwrap();
        assert!(!release.irreversible && release.label.as_deref() != Some("7.1"), "{n}");
        assert!(guard.mark.is_some_and(|mark| mark.irreversible), "{n}");
    }
}

#[test]
fn what_one_mark_forbids_another_does_not_allow() {
    let mut guard = armed();
    let release = guard.release.as_mut().unwrap();
    (release.cutover, release.irreversible) = (NOW, true);
    guard.operator(NOW, begins(false), &mut vec![]);
    assert!(guard.release.unwrap().irreversible);
}

#[test]
fn a_drain_leaves_what_has_not_begun_and_finishes_what_is_out() {
    let mut guard = armed();
    let (intent, op, at, since) = (intent(&guard), OpId(70), NOW, NOW);
    let phases = [
        (Phase::Preflight { op: Some(op), evidence: evidence(), since, tries: 0, at }, true),
        (Phase::Intending { op, intent: intent.clone(), at }, true),
        (Phase::Reading { op: Some(op), course: course(intent.clone(), 1, false), at }, true),
        (Phase::Reading { op: Some(op), course: course(intent.clone(), 1, true), at }, false),
        (Phase::Writing { op, course: course(intent.clone(), 1, false), arn: "l".into(), at }, false),
        (Phase::Confirming { op: Some(op), intent: intent.clone(), at, since }, false),
        (Phase::Verifying { op, intent, at }, true),
    ];
    for (phase, stops) in phases {
        (guard.phase, guard.draining) = (phase.clone(), false);
        guard.drain(&mut vec![]);
        assert_eq!((guard.may_stop(), guard.draining), (stops, true), "{phase:?}");
    }
}

#[test]
fn a_hold_is_tagged_for_the_other_instances_and_the_tag_goes_with_it() {
    let tags = |guard: &mut Guard, command| {
        let mut out = vec![];
        guard.operator(NOW, command, &mut out);
        let tag = |action: &Action| match action {
            Action::Tag(hold) => Some(hold.clone()),
            _ => None,
        };
        out.iter().filter_map(tag).collect::<Vec<_>>()
    };
    let hold = || Command::Hold { reason: "incident".into() };
    let mut guard = armed();
    assert_eq!(tags(&mut guard, hold()), [Some("incident".into())]);
    assert_eq!(guard.hold.as_deref(), Some("incident"));
    assert_eq!(tags(&mut guard, Command::Unhold), [None]);
    assert_eq!(guard.hold, None);
    assert_eq!(tags(&mut guard, Command::Ack), [] as [Option<Box<str>>; 0]);
    guard.policy.has_lever = false;
    assert_eq!(tags(&mut guard, hold()), [] as [Option<Box<str>>; 0], "there is nothing to tag");
}

#[test]
fn a_tag_that_was_changed_is_read_at_once_also_inside_a_release() {
    let mut guard = armed();
    (guard.next_read, guard.last_full) = (NOW.after(Duration::from_mins(1)), Some(NOW));
    let mut out = vec![];
    guard.step(NOW, crate::guard::Event::Tagged, &mut out);
    assert!(out.iter().any(|action| matches!(action, Action::Read(_, crate::guard::Depth::Full))), "{out:?}");
}

#[test]
fn who_only_observes_says_so_in_every_page() {
    for (mode, dry_run) in [(Mode::Observe, true), (Mode::Act, false)] {
        let mut guard = armed();
        guard.policy.mode = mode;
        let mut out = vec![];
        guard.page(PageKind::Breach, "text", &mut out);
        let [Action::Note(note), Action::Page(page)] = out.as_slice() else { panic!("{out:?}") };
        let text = if dry_run { "DRY RUN: text" } else { "text" };
        assert_eq!((&*page.text, page.dry_run), (text, dry_run));
        assert_eq!(**note, Record::Paged { kind: "breach".into(), text: text.into() });
    }
}
