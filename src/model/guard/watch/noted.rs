//! What the ledger is told of releases and epochs.

use super::*;
use crate::guard::rig::{NOW, armed, shows, state};

fn notes(out: &[Action]) -> Vec<&Record> {
    out.iter()
        .filter_map(|action| if let Action::Note(line) = action { Some(&**line) } else { None })
        .collect()
}

#[test]
fn a_release_is_noted_once_with_where_it_came_from_and_what_it_is() {
    let noted = |new, change: fn(&mut Guard)| {
        let mut guard = armed();
        guard.next_release = 7;
        change(&mut guard);
        let mut out = vec![];
        guard.begin(NOW, NOW, Cause::Foreign, new, &mut out);
        let line = notes(&out).into_iter().find_map(|line| match line {
            Record::Release { release, from, to, cutover, .. } => {
                Some((*release, from.to_string(), to.to_string(), *cutover))
            }
            _ => None,
        });
        line.map(|(release, from, to, cutover)| {
            assert_eq!((release, cutover), (ReleaseId(7), NOW));
            (from, to)
        })
    };
    let sides = |from: &str, to: &str| Some((from.to_owned(), to.to_owned()));
    assert_eq!(noted(true, |_| {}), sides("b", "g"));
    assert_eq!(noted(true, |guard| guard.take(NOW, shows(state(90, 10)))), sides("b", "b 90 + g 10"));
    assert_eq!(noted(true, |guard| guard.good = None), sides("unknown", "g"));
    assert_eq!(noted(true, |guard| guard.live = None), sides("b", "a new version"));
    assert_eq!(noted(false, |_| {}), None, "another step is the same release");
}

#[test]
fn an_epoch_is_noted_with_its_release_while_that_is_judged_or_not_over() {
    for (judged, over, belongs) in
        [(true, false, true), (false, false, true), (true, true, true), (false, true, false)]
    {
        let mut guard = armed();
        let release = guard.release.as_mut().unwrap();
        (release.over, release.label) = (over, Some("7.1".into()));
        let id = release.id;
        let mut out = vec![];
        guard.begin_epoch(NOW, NOW, Cause::Start, judged, &mut out);
        let lines = notes(&out);
        let [Record::Epoch { release, label, .. }] = lines.as_slice() else { panic!("{out:?}") };
        assert_eq!(*release, belongs.then_some(id), "{judged} {over}");
        assert_eq!(label.is_some(), judged, "the pipeline's name is for what is judged");
    }
}
