//! A policy that was read anew: it waits until no release is under judgement and nothing is half done. That nothing may be written any
//! more doesn't wait.

use super::{Action, Guard};
use crate::policy::{GuardPolicy, Mode};
use crate::time::Mono;

impl Guard {
    /// Takes a policy for later. A newer one takes the place of one that waits.
    pub(super) fn revise(&mut self, policy: Box<GuardPolicy>) {
        if policy.mode == Mode::Observe {
            self.policy.mode = Mode::Observe;
        }
        self.revision = Some(policy);
    }

    /// It holds from now on, if nothing speaks against it.
    pub(super) fn take_revision(&mut self, now: Mono, out: &mut Vec<Action>) {
        if self.revision_waits(now).is_some() {
            return;
        }
        if let Some(policy) = self.revision.take() {
            self.monitor.revise(&policy);
            self.policy = *policy;
            out.push(Action::Revised);
        }
    }

    /// Why a policy that was read anew doesn't hold yet; `None` too when there is none.
    pub(super) fn revision_waits(&self, now: Mono) -> Option<&'static str> {
        let revision = self.revision.as_ref()?;
        let latched = self.release.as_ref().is_some_and(|release| release.latch.is_some());
        let judges = self.in_release(now) && !latched && revision.mode == Mode::Act;
        match () {
            () if self.draining => Some("the process is stopping"),
            () if !self.may_stop() => Some("a revert is under way"),
            () if judges && self.no_hold().is_ok() => Some("a release is under judgement"),
            () => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rig::{NOW, armed, broken, latched, told};
    use super::super::{Course, Event, PageKind, Phase};
    use super::*;
    use crate::record::Record;
    use std::time::Duration;

    fn step(guard: &mut Guard, event: Event) -> Vec<Action> {
        let mut out = vec![];
        guard.step(NOW, event, &mut out);
        out
    }

    /// The same guard's policy, with another floor and another budget.
    fn other(guard: &Guard) -> GuardPolicy {
        let cool_down = Duration::from_hours(5);
        GuardPolicy { cool_down, healthy_min: 2, reverts_per_hour_max: 2, ..guard.policy.clone() }
    }

    fn revised(actions: &[Action]) -> bool {
        actions.contains(&Action::Revised)
    }

    /// In the release, without a breach.
    fn judging() -> Guard {
        let mut guard = armed();
        guard.judged = None;
        guard
    }

    #[test]
    fn a_release_under_judgement_is_judged_to_its_end_by_the_policy_that_it_began_with() {
        let mut guard = judging();
        let (policy, before) = (Box::new(other(&guard)), guard.policy.clone());
        assert!(!revised(&step(&mut guard, Event::Revise(policy.clone()))));
        assert_eq!(guard.policy, before);
        assert_eq!(guard.status(NOW).revision, Some("a release is under judgement"));
        guard.release.as_mut().unwrap().over = true;
        assert!(revised(&step(&mut guard, Event::Tick)));
        assert_eq!(guard.policy, *policy);
        assert_eq!(guard.status(NOW).revision, None);
        assert!(!revised(&step(&mut guard, Event::Tick)), "once");
    }

    #[test]
    fn its_time_being_over_a_latch_and_a_hold_are_the_end_of_judging_too() {
        let over = |change: fn(&mut Guard)| {
            let mut guard = judging();
            let policy = Box::new(other(&guard));
            change(&mut guard);
            revised(&step(&mut guard, Event::Revise(policy)))
        };
        assert!(!over(|_| {}));
        assert!(over(|guard| guard.release.as_mut().unwrap().until = NOW));
        assert!(over(|guard| guard.latch("reverted", false, &mut vec![])));
        assert!(over(|guard| guard.hold = Some("me".into())));
        assert!(over(|guard| guard.live.as_mut().unwrap().marks.hold = Some("a tag".into())));
        assert!(over(|guard| guard.release = None), "peace");
    }

    #[test]
    fn a_newer_one_takes_the_place_of_one_that_waits() {
        let mut guard = judging();
        let (first, second) = (Box::new(other(&guard)), Box::new(guard.policy.clone()));
        step(&mut guard, Event::Revise(first));
        step(&mut guard, Event::Revise(second.clone()));
        guard.release = None;
        assert!(revised(&step(&mut guard, Event::Tick)));
        assert_eq!(guard.policy, *second);
    }

    #[test]
    fn nothing_is_changed_while_a_revert_is_under_way_or_the_process_stops() {
        let mut guard = armed();
        let policy = Box::new(other(&guard));
        let word = broken(&armed());
        step(&mut guard, word);
        assert!(matches!(guard.phase, Phase::Preflight { .. }));
        // Its judging is over, and its revert isn't.
        guard.release.as_mut().unwrap().until = NOW;
        assert!(!revised(&step(&mut guard, Event::Revise(policy))));
        assert_eq!(guard.status(NOW).revision, Some("a revert is under way"));
        guard.phase = Phase::Watching;
        assert!(!revised(&step(&mut guard, Event::Drain)));
        assert_eq!(guard.status(NOW).revision, Some("the process is stopping"));
    }

    #[test]
    fn that_nothing_may_be_written_any_more_holds_at_once() {
        let mut guard = armed();
        let intent = super::super::rig::intent(&guard);
        let write = intent.writes[0].clone();
        let later = NOW.after(Duration::from_secs(1));
        guard.phase = Phase::Intending { op: crate::guard::OpId(1), intent: intent.clone(), at: later };
        let policy = Box::new(GuardPolicy { mode: Mode::Observe, ..guard.policy.clone() });
        assert!(!revised(&step(&mut guard, Event::Revise(policy.clone()))), "the rest waits");
        let mut out = vec![];
        guard.write_or_leave(NOW, Course::new(intent), &write, &mut out);
        let written = |action: &Action| matches!(action, Action::Write(..) | Action::Call(..));
        assert!(!out.iter().any(written), "{out:?}");
        assert_eq!((told(&out), latched(&guard)), (vec![PageKind::Refused], Some("no-hold")));
        assert!(out.iter().any(|action| {
            matches!(action, Action::Note(record) if matches!(&**record,
                Record::Refused { says, .. } if says.contains("mode = \"observe\"")))
        }));
        assert!(revised(&step(&mut guard, Event::Tick)), "nothing is half done any more");
        assert_eq!(guard.policy, *policy);
    }

    #[test]
    fn what_is_only_observed_may_change_in_a_release_and_leave_to_write_comes_after_it() {
        let mut guard = judging();
        guard.policy.mode = Mode::Observe;
        let observes = Box::new(GuardPolicy { mode: Mode::Observe, ..other(&guard) });
        assert!(revised(&step(&mut guard, Event::Revise(observes.clone()))));
        assert_eq!(guard.policy, *observes);
        let acts = Box::new(GuardPolicy { mode: Mode::Act, ..guard.policy.clone() });
        assert!(!revised(&step(&mut guard, Event::Revise(acts))));
        assert_eq!(guard.policy.mode, Mode::Observe);
        guard.release = None;
        assert!(revised(&step(&mut guard, Event::Tick)));
        assert_eq!(guard.policy.mode, Mode::Act);
    }

    #[test]
    fn the_last_look_at_every_call_goes_by_the_new_policy_too() {
        let mut guard = judging();
        guard.release = None;
        let policy = Box::new(other(&guard));
        step(&mut guard, Event::Revise(policy.clone()));
        assert_eq!(guard.monitor.limits(), (2, Duration::from_secs(30), [2, 3]));
    }
}
