//! Every condition alone and at its edge.

use super::*;
use crate::guard::rig::{NOW, armed, evidence, health, state};
use crate::guard::{Latch, Marks, ReadError};
use crate::judge::Direct;
use crate::owner::{By, Deployer, Deployment, DeploymentStage, Owner};
use crate::recover::Recovered;
use crate::release::{EpochId, ReleaseId};
use crate::target::Version;
use crate::verdict::Verdict;

fn failing(guard: &Guard) -> Vec<&'static str> {
    let all = guard.conditions(NOW, Some(&evidence()));
    all.into_iter().filter(|(_, condition)| !condition.holds).map(|(name, _)| name).collect()
}

fn after(change: impl FnOnce(&mut Guard)) -> Vec<&'static str> {
    let mut guard = armed();
    change(&mut guard);
    failing(&guard)
}

fn release(guard: &mut Guard) -> &mut Release {
    guard.release.as_mut().unwrap()
}

fn direct(guard: &mut Guard) -> &mut Direct {
    &mut guard.judged.as_mut().unwrap().direct
}

fn blue(guard: &mut Guard) -> &mut Vec<TargetHealth> {
    &mut guard.live.as_mut().unwrap().health[0].targets
}

#[test]
fn what_was_not_read_yet_is_said_by_its_name() {
    let mut guard = armed();
    guard.live = None;
    let mut says = |heard| {
        guard.policy.heard = heard;
        let all = guard.conditions(NOW, Some(&evidence()));
        all.into_iter().find(|(name, _)| *name == "owner").unwrap().1.detail.to_string()
    };
    assert_eq!(says(Heard::Directly), "the listener was not read yet");
    assert_eq!(says(Heard::InProduction(Unheard::Hold)), "the alias was not read yet");
}

#[test]
fn when_all_is_well_every_condition_holds() {
    let guard = armed();
    assert_eq!(failing(&guard), Vec::<&str>::new());
    assert_eq!(guard.conditions(NOW, Some(&evidence())).len(), 16);
    assert_eq!(guard.release.as_ref().map(|release| release.id), Some(ReleaseId(0)));
}

#[test]
fn a_release_without_lever_or_base_is_refused() {
    assert_eq!(after(|guard| guard.policy.has_lever = false), ["lever"]);
    assert_eq!(after(|guard| release(guard).lever = false), ["lever"]);
    let none = after(|guard| release(guard).base = None);
    assert!(none.contains(&"known-good") && none.contains(&"blue-healthy"), "{none:?}");
}

#[test]
fn what_was_read_must_be_fresh_and_understood() {
    let old =
        |seconds| after(move |g| g.live.as_mut().unwrap().read = NOW.before(Duration::from_secs(seconds)));
    assert_eq!(old(130), Vec::<&str>::new());
    assert_eq!(old(131), ["listener-read"]);
    let unread = after(|guard| guard.live = None);
    assert!(unread.contains(&"listener-read") && unread.contains(&"understood"), "{unread:?}");
    let odd = |guard: &mut Guard| {
        let state = &mut guard.live.as_mut().unwrap().state;
        let mut rule = state.rules()[0].clone();
        rule.unknown.push("X".into());
        *state = rule.into();
    };
    assert_eq!(after(odd), ["understood"]);
    assert!(after(|guard| guard.live.as_mut().unwrap().state = state(1, 0)).contains(&"understood"));
    let mut guard = armed();
    guard.read_error = Some(ReadError::Throttled);
    let all = guard.conditions(NOW, None);
    let read = all.iter().find(|(name, _)| *name == "listener-read").unwrap();
    assert_eq!(&*read.1.detail, "read 0 s ago; AWS throttles our reads");
}

#[test]
fn whose_the_rule_is_is_asked_in_peace_and_in_a_release() {
    let owner = |guard: &Guard| {
        let all = guard.conditions(NOW, None);
        let (_, condition) = all.iter().find(|(name, _)| *name == "owner").unwrap();
        (condition.holds, condition.detail.to_string())
    };
    let of = |stage| {
        let newest = Some(Deployment { id: "d".into(), stage, unwatched: None });
        Owner::Deployer(Deployer { by: By::CodeDeploy, service: "shop".into(), newest })
    };
    let mut guard = armed();
    let marks = |guard: &mut Guard, owner| guard.live.as_mut().unwrap().marks = Marks::of(owner);
    marks(&mut guard, of(DeploymentStage::Running { hook: None }));
    assert_eq!(owner(&guard), (true, "StopDeployment of d puts it back".into()));
    marks(&mut guard, of(DeploymentStage::Over("Succeeded".into())));
    let over =
        "CodeDeploy owns the rule (shop), and its deployment d can't be rolled back any more: Succeeded";
    assert_eq!(owner(&guard), (false, over.into()));
    release(&mut guard).over = true;
    let peace = "CodeDeploy owns the rule (shop): its deployments are rolled back";
    assert_eq!(owner(&guard), (true, peace.into()));
    guard.live.as_mut().unwrap().marks.keeper = Some("Terraform".into());
    let undone = "; Terraform keeps its desired state: the next apply may undo a revert";
    assert_eq!(owner(&guard), (true, format!("{peace}{undone}")));
    marks(&mut guard, Owner::Unknown("denied".into()));
    assert_eq!(owner(&guard), (false, "who owns the rule is not known: denied".into()));
    guard.live = None;
    assert!(!owner(&guard).0);
}

#[test]
fn each_condition_tells_for_how_long_it_has_stood_so() {
    let mut guard = held();
    let age = |guard: &Guard, name: &str, seconds| {
        let status = guard.status(NOW.after(Duration::from_secs(seconds)));
        status.conditions.iter().find(|condition| &*condition.name == name).unwrap().age_s
    };
    assert_eq!(age(&guard, "no-hold", 0), Some(0), "not looked at yet");
    standing(&mut guard, 10);
    assert_eq!((age(&guard, "no-hold", 70), age(&guard, "lever", 70)), (Some(60), Some(60)));
    guard.hold = None;
    assert_eq!(age(&guard, "no-hold", 71), Some(0), "it has just changed");
    standing(&mut guard, 71);
    assert_eq!((age(&guard, "no-hold", 81), age(&guard, "lever", 81)), (Some(10), Some(71)));
    let at_breach = guard.conditions(NOW, Some(&evidence()));
    assert!(at_breach.iter().all(|(_, condition)| condition.age_s.is_none()));
}

#[test]
fn a_condition_that_is_no_longer_asked_is_reckoned_anew_when_it_is() {
    let mut guard = held();
    standing(&mut guard, 0);
    let over = |guard: &mut Guard, over| release(guard).over = over;
    over(&mut guard, true);
    standing(&mut guard, 10);
    assert!(!guard.standing.contains_key("blue-answers"), "in peace nobody asks");
    assert_eq!(guard.standing["lever"].since, NOW, "the others stand");
    over(&mut guard, false);
    standing(&mut guard, 20);
    assert_eq!(guard.standing["blue-answers"].since, NOW.after(Duration::from_secs(20)));
}

#[test]
fn a_hold_and_a_mark_forbid() {
    assert_eq!(after(|guard| guard.hold = Some("x".into())), ["no-hold"]);
    assert_eq!(after(|guard| guard.live.as_mut().unwrap().marks.hold = Some("x".into())), ["no-hold"]);
    assert_eq!(after(|guard| release(guard).irreversible = true), ["reversible"]);
}

#[test]
fn cool_down_and_budgets_end_to_the_second() {
    let ago = |seconds: u64| NOW.before(Duration::from_secs(seconds));
    assert_eq!(after(|guard| guard.reverts = vec![ago(1_799)]), ["cool-down", "budget"]);
    assert_eq!(after(|guard| guard.reverts = vec![ago(1_800)]), ["budget"]);
    assert_eq!(after(|guard| guard.reverts = vec![ago(3_599)]), ["budget"]);
    assert_eq!(after(|guard| guard.reverts = vec![ago(3_600)]), Vec::<&str>::new());
    let day = |guard: &mut Guard| guard.reverts = vec![ago(86_399), ago(40_000), ago(20_000)];
    assert_eq!(after(day), ["budget"]);
    let more = |guard: &mut Guard| guard.reverts = vec![ago(86_400), ago(40_000), ago(20_000)];
    assert_eq!(after(more), Vec::<&str>::new());
}

#[test]
fn a_latched_release_and_one_whose_time_is_over_are_left() {
    let latch = Latch { reason: "reverted", needs_human: false };
    assert_eq!(after(|guard| release(guard).latch = Some(latch)), ["one-action"]);
    assert_eq!(after(|guard| release(guard).until = NOW), ["authority"]);
    assert_eq!(after(|guard| release(guard).until = Mono(NOW.0 + 1)), Vec::<&str>::new());
}

#[test]
fn blue_has_enough_healthy_targets_or_is_refused() {
    assert_eq!(after(|guard| blue(guard)[0].state = HealthState::Unhealthy), ["blue-healthy"]);
    assert_eq!(after(|guard| blue(guard)[0].overridden = true), ["blue-healthy"]);
    assert_eq!(after(|guard| blue(guard).truncate(1)), ["blue-healthy"]);
    assert_eq!(after(|guard| blue(guard).clear()), ["blue-healthy"]);
    let half = |guard: &mut Guard| {
        guard.policy.capacity_min = 0.5;
        blue(guard).truncate(1);
    };
    assert_eq!(after(half), Vec::<&str>::new());
    assert_eq!(after(|guard| guard.policy.healthy_min = 3), ["blue-healthy"]);
    assert_eq!(after(|guard| guard.policy.healthy_min = 2), Vec::<&str>::new());
}

#[test]
fn an_unreferenced_blue_needs_every_target_to_answer_and_to_have_been_healthy() {
    let unused = |guard: &mut Guard| {
        for target in blue(guard) {
            target.state = HealthState::Unused;
        }
    };
    assert_eq!(after(unused), Vec::<&str>::new());
    let silent = |guard: &mut Guard| {
        unused(guard);
        direct(guard).addresses_good = 1;
    };
    assert_eq!(after(silent), ["blue-healthy"]);
    let was_ill = |guard: &mut Guard| {
        unused(guard);
        release(guard).base.as_mut().unwrap().healthy = 1;
    };
    assert_eq!(after(was_ill), ["blue-healthy"]);
    let small = |guard: &mut Guard| {
        unused(guard);
        guard.policy.healthy_min = 3;
    };
    assert_eq!(after(small), ["blue-healthy"]);
}

#[test]
fn blue_answers_well_or_is_refused() {
    assert_eq!(after(|guard| direct(guard).answers = 2), ["blue-answers"]);
    assert_eq!(after(|guard| direct(guard).answers = 3), Vec::<&str>::new());
    assert_eq!(after(|guard| direct(guard).bad = 2), Vec::<&str>::new());
    assert_eq!(after(|guard| direct(guard).bad = 3), ["blue-answers"]);
    assert_eq!(after(|guard| direct(guard).slow = 6), Vec::<&str>::new(), "luck of one in 3,000");
    assert_eq!(after(|guard| direct(guard).slow = 7), ["blue-answers"]);
}

#[test]
fn blue_is_what_it_was_by_version_or_by_target() {
    let other = |guard: &mut Guard| {
        direct(guard).versions.insert(Version::from("v3"));
    };
    assert_eq!(after(other), ["blue-is-what-it-was"]);
    assert_eq!(after(|guard| direct(guard).versions.clear()), ["blue-is-what-it-was"]);
    let renamed = |guard: &mut Guard| blue(guard)[0].id = "b9".into();
    assert_eq!(
        after(renamed),
        Vec::<&str>::new(),
        "the version tells that a replaced task is the same build"
    );
    let unnamed = |guard: &mut Guard| {
        guard.policy.versions_known = false;
        renamed(guard);
    };
    assert_eq!(after(unnamed), ["blue-is-what-it-was"]);
    assert_eq!(after(|guard| guard.policy.versions_known = false), Vec::<&str>::new(), "they are the same");
    let never_named = |guard: &mut Guard| {
        release(guard).base.as_mut().unwrap().versions.clear();
        renamed(guard);
    };
    assert_eq!(after(never_named), ["blue-is-what-it-was"]);
}

#[test]
fn evidence_is_fresh_and_the_verdict_still_stands() {
    let guard = armed();
    let old = |seconds| Evidence { last_bad: NOW.before(Duration::from_secs(seconds)), ..evidence() };
    assert!(guard.evidence_stands(NOW, &old(30)).is_ok());
    assert_eq!(guard.evidence_stands(NOW, &old(31)), Err("the evidence is 31 s old".into()));
    assert_eq!(after(|guard| guard.judged.as_mut().unwrap().verdict = Verdict::Good), ["evidence"]);
    let another = |guard: &mut Guard| guard.judged.as_mut().unwrap().epoch = EpochId(77);
    assert_eq!(after(another), ["evidence"]);
}

#[test]
fn in_peace_only_what_can_be_known_is_asked() {
    let mut guard = armed();
    guard.release = None;
    guard.good = Some(Good { state: state(0, 1), ..guard.good.clone().unwrap() });
    let names: Vec<&str> = guard.conditions(NOW, None).iter().map(|(name, _)| *name).collect();
    assert!(!names.contains(&"blue-answers") && !names.contains(&"evidence"), "{names:?}");
    assert!(guard.conditions(NOW, None).iter().all(|(_, condition)| condition.holds));
}

#[test]
fn authority_ends_when_it_would_have_although_the_clock_began_anew_with_a_reboot() {
    let mut guard = armed();
    let (policy, live) = (guard.policy.clone(), guard.live.take());
    let base = release(&mut guard).base.clone();
    let remembered = |minutes| crate::recover::Remembered {
        id: ReleaseId(0),
        label: None,
        base: base.clone(),
        cutover_ago: Duration::from_mins(minutes),
        first: EpochId(0),
        irreversible: false,
        latch: None,
        over: false,
    };
    for (minutes, left) in [(10, 5), (20, 0)] {
        let memory = Recovered { release: Some(remembered(minutes)), ..Recovered::default() };
        let booted = Mono(5_000_000_000);
        let mut guard = Guard::new(policy.clone(), memory.clone(), booted);
        guard.live.clone_from(&live);
        guard.restore_release(booted, &memory);
        assert_eq!(release(&mut guard).until, booted.after(Duration::from_mins(left)));
    }
}

#[test]
fn every_condition_says_in_words_how_it_stands() {
    let mut guard = armed();
    direct(&mut guard).bad = 2;
    let all = guard.conditions(NOW, Some(&evidence()));
    let said: Vec<String> = all.iter().map(|(name, how)| format!("{name}: {}", how.detail)).collect();
    let expected = [
        "invariants: none was ever broken".into(),
        "lever: a rule is governed".to_owned(),
        "owner: nobody else moves the rule".into(),
        "known-good: b was good, version v1".into(),
        "understood: g can be put back to b".into(),
        "listener-read: read 0 s ago".into(),
        "no-hold: nobody holds".into(),
        "reversible: nothing marks it irreversible".into(),
        "cool-down: no revert within the cool-down".into(),
        "budget: 0 of 1 this hour, 0 of 3 this day".into(),
        "one-action: nothing was done for this release yet".into(),
        "authority: 840 s left".into(),
        "blue-healthy: b 2/2 healthy".into(),
        "blue-answers: 18 of 20 direct answers good".into(),
        "blue-is-what-it-was: it still answers as v1".into(),
        format!("evidence: {}", evidence()),
    ];
    assert_eq!(said, expected);
}

/// What is told in peace when `guard` is looked at after so many seconds.
fn standing(guard: &mut Guard, seconds: u64) -> Vec<String> {
    let mut out = vec![];
    guard.tell_standing(NOW.after(Duration::from_secs(seconds)), &mut out);
    let text =
        |action: &Action| if let Action::Page(page) = action { Some(page.text.to_string()) } else { None };
    out.iter().filter_map(text).collect()
}

fn held() -> Guard {
    let mut guard = armed();
    (guard.hold, guard.next_standing) = (Some("incident".into()), NOW);
    // The rest stays true for an hour.
    release(&mut guard).until = NOW.after(Duration::from_hours(1));
    guard.live.as_mut().unwrap().read = NOW.after(Duration::from_mins(10));
    guard
}

#[test]
fn what_forbids_acting_for_two_minutes_is_told_once() {
    let mut guard = held();
    for second in 0..120 {
        assert_eq!(standing(&mut guard, second), Vec::<String>::new(), "{second}");
    }
    let told = "a breach now would not be reverted: no-hold: an operator holds: incident";
    assert_eq!(standing(&mut guard, 120), [told]);
    assert_eq!(standing(&mut guard, 130), Vec::<String>::new());
}

#[test]
fn what_stood_before_and_ended_is_reckoned_anew() {
    let mut guard = held();
    standing(&mut guard, 0);
    guard.hold = None;
    standing(&mut guard, 60);
    guard.hold = Some("incident".into());
    standing(&mut guard, 61);
    assert_eq!(standing(&mut guard, 180), Vec::<String>::new());
    assert_eq!(standing(&mut guard, 181).len(), 1);
}

#[test]
fn conditions_are_looked_at_once_a_second() {
    let mut guard = held();
    standing(&mut guard, 5);
    assert_eq!(guard.next_standing, NOW.after(Duration::from_secs(6)));
    let mut out = vec![];
    guard.hold = None;
    guard.tell_standing(Mono(guard.next_standing.0 - 1), &mut out);
    assert!(!guard.standing["no-hold"].holds, "not yet");
    guard.tell_standing(guard.next_standing, &mut out);
    assert!(guard.standing["no-hold"].holds);
}

#[test]
fn nothing_stands_in_the_way_of_who_only_observes_or_is_at_work_or_has_seen_nothing() {
    let changes: [fn(&mut Guard); 3] = [
        |guard| guard.policy.mode = Mode::Observe,
        |guard| guard.epoch = None,
        |guard| guard.preflight(NOW, evidence(), &mut vec![]),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut guard = held();
        change(&mut guard);
        for seconds in [0, 200] {
            assert_eq!(standing(&mut guard, seconds), Vec::<String>::new(), "{n}");
        }
    }
}

#[test]
fn what_was_told_when_it_began_is_not_told_again() {
    let changes: [fn(&mut Guard); 3] = [
        |guard| release(guard).latch = Some(Latch { reason: "partial", needs_human: true }),
        |guard| guard.reverts = vec![NOW.after(Duration::from_mins(4))],
        |guard| release(guard).until = NOW,
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut guard = held();
        guard.hold = None;
        change(&mut guard);
        for seconds in [0, 200] {
            assert_eq!(standing(&mut guard, seconds), Vec::<String>::new(), "{n}");
        }
        assert!(!guard.standing.is_empty(), "{n}");
    }
}

#[test]
fn who_is_healthy_is_counted_where_users_are() {
    use HealthState::{Draining, Healthy, Initial, Unhealthy};
    let group = |name: &str, states: &[HealthState]| {
        let all = states.iter().flat_map(|state| health(name, 1, *state).targets);
        GroupHealth { group: name.into(), targets: all.collect() }
    };
    let all = [
        group("b", &[Healthy, Unhealthy, Healthy, Initial, Healthy]),
        group("g", &[Healthy, Draining, Healthy]),
        group("x", &[Healthy]),
    ];
    let counted = |blue, green| healthy_serving(&state(blue, green), &all);
    assert_eq!([counted(1, 0), counted(0, 1), counted(1, 1)], [3, 2, 5]);
}

/// The armed guard with an alias, whose old version nobody asked.
fn unheard(change: impl FnOnce(&mut Guard)) -> Vec<&'static str> {
    after(|guard| {
        guard.policy.heard = Heard::InProduction(Unheard::Revert);
        *direct(guard) = Direct::default();
        change(guard);
    })
}

#[test]
fn a_version_that_nobody_can_ask_is_what_it_was_by_its_name() {
    assert_eq!(unheard(|_| {}), Vec::<&str>::new());
    let asked = after(|guard| *direct(guard) = Direct::default());
    assert_eq!(asked, ["blue-answers", "blue-is-what-it-was"], "targets have no such name");
    let other = |guard: &mut Guard| blue(guard)[0].id = "another".into();
    assert_eq!(unheard(other), ["blue-is-what-it-was"]);
    assert_eq!(unheard(|guard| blue(guard).clear()), ["blue-healthy"]);
    let hold = |guard: &mut Guard| guard.policy.heard = Heard::InProduction(Unheard::Hold);
    assert_eq!(unheard(hold), ["blue-answers"]);
}

#[test]
fn what_the_old_version_answered_in_production_has_to_be_good_whatever_is_said() {
    let answered = |bad| {
        move |guard: &mut Guard| {
            guard.policy.heard = Heard::InProduction(Unheard::Revert);
            direct(guard).bad = bad;
        }
    };
    let bad = direct(&mut armed()).answers;
    assert_eq!(after(answered(0)), Vec::<&str>::new());
    assert_eq!(after(answered(bad)), ["blue-answers"]);
    let mut guard = armed();
    answered(0)(&mut guard);
    let all = guard.conditions(NOW, Some(&evidence()));
    let said = |name| all.iter().find(|(asked, _)| *asked == name).unwrap().1.detail.to_string();
    assert_eq!(said("blue-answers"), "20 of its 20 answers in production good");
    assert_eq!(said("lever"), "an alias is governed");
    assert_eq!(said("owner"), "nobody else moves the alias");
}
