//! One short story for each hazard.

use super::app::{App, Moment, secs};
use super::story::{CUT, cutover, outage};
use super::world::{BLUE, GREEN, LISTENER_80, RED, Trouble, Ways, blue, but, forward, green};
use crate::guard::rig::{NOW, armed, broken, health, shows, state};
use crate::guard::{Action, Command, Event, Marks, Observed, PageKind, WriteOutcome};
use crate::listener::{HealthState, ListenerState, Stickiness};
use crate::owner::{By, Deployer, Deployment, DeploymentStage, Owner};
use crate::pulse::{Pulse, Readings};
use crate::record::Record;
use crate::time::Mono;
use std::collections::VecDeque;
use std::time::Duration;

/// Plays it until then, and says what the rule shows and how often we wrote.
fn played(app: &mut App, until: f64) -> String {
    app.rest = Duration::from_millis(50);
    app.run_until(until);
    let writes = app.effects.len();
    format!("{}, {writes} {}", app.shows(), if writes == 1 { "write" } else { "writes" })
}

/// The same, and why nothing more is done.
fn held(app: &mut App, until: f64) -> String {
    format!("{}, held {}", played(app, until), app.held().join(", "))
}

/// A release that turns bad six seconds after its cutover.
fn bad_release() -> App {
    cutover(1, 6.0, outage())
}

pub(super) fn somebody_else_writes_directly_before_us() -> String {
    let mut app = bad_release();
    app.on(Moment::Intent, |app| app.world.set(app.now, forward(&[(BLUE, 0), (RED, 1)])));
    held(&mut app, 40.0)
}

pub(super) fn a_good_release_follows_a_bad_one_at_once() -> String {
    let mut app = bad_release();
    // So long nothing good of the new one is heard.
    app.world.lag = [Duration::from_secs(2); 2];
    app.on(Moment::Preflight, |app| app.world.set(app.now, forward(&[(BLUE, 0), (RED, 1)])));
    played(&mut app, 40.0)
}

pub(super) fn the_old_group_is_emptied() -> String {
    let mut app = bad_release();
    app.at(CUT + 5.9, |app| app.world.service(BLUE).targets.clear());
    held(&mut app, 40.0)
}

pub(super) fn both_versions_fail() -> String {
    let mut app = bad_release();
    app.world.service(BLUE).course.during(secs(CUT + 6.0), secs(1e6), outage());
    played(&mut app, 60.0)
}

pub(super) fn our_process_starves_before_a_bad_release() -> String {
    let mut app = App::new(1);
    app.world.has_control = false;
    app.world.starved.push((secs(10.0), secs(20.0)));
    app.at(22.0, |app| app.world.set(app.now, green()));
    app.world.service(GREEN).course.during(secs(28.0), secs(1e6), outage());
    played(&mut app, 60.0)
}

pub(super) fn nothing_comes_back_after_a_cutover() -> String {
    let mut app = cutover(1, 1e5, outage());
    app.at(CUT + 1.0, |app| app.process.as_mut().expect("it runs").judge.plan(100.0, app.now));
    app.at(CUT + 3.0, |app| app.mute = true);
    played(&mut app, 60.0);
    let is_green = |record: &Record| matches!(record, Record::Good { good } if good.state == green());
    format!("green {} good", if app.records().any(is_green) { "was" } else { "was not" })
}

pub(super) fn a_few_answers_are_bad() -> String {
    let mut app = cutover(1, 1e5, outage());
    for blip in [6.0, 6.6, 7.2] {
        app.world.service(GREEN).course.during(secs(CUT + blip), secs(CUT + blip + 0.12), outage());
    }
    played(&mut app, 40.0)
}

pub(super) fn a_person_holds_directly_before_us() -> String {
    let mut app = bad_release();
    app.on(Moment::Intent, |app| app.world.marks.hold = Some("tag canary:hold=yes".into()));
    held(&mut app, 40.0)
}

pub(super) fn terraform_puts_green_back() -> String {
    let mut app = bad_release();
    app.guard_policy.cool_down = Duration::from_secs(1);
    app.guard_policy.reverts_per_hour_max = 99;
    app.at(CUT + 26.0, |app| app.world.set(app.now, green()));
    played(&mut app, 60.0)
}

pub(super) fn aws_throttles_the_write_twice() -> String {
    let mut app = bad_release();
    app.world.writes.extend([Trouble::Throttled; 2]);
    held(&mut app, 60.0)
}

pub(super) fn the_second_of_three_rules_is_refused() -> String {
    let three = |state: &ListenerState| -> ListenerState {
        let named = |arn: &'static str| but(state, move |rule| rule.arn = arn.into()).rules().to_vec();
        ["443", LISTENER_80, "host"].map(named).concat().into()
    };
    let mut app = App::new(1);
    app.world.set(secs(0.0), three(&blue()));
    let cut = three(&green());
    app.at(CUT, |app| app.world.set(app.now, cut));
    app.world.service(GREEN).course.during(secs(CUT + 6.0), secs(1e6), outage());
    app.on(Moment::WriteDone, |app| app.world.writes.push_back(Trouble::Denied));
    played(&mut app, 40.0);
    let shows: Vec<String> = ["443", "80", "host"]
        .iter()
        .zip(app.world.listener.rules())
        .map(|(name, rule)| format!("{name} {}", rule.label()))
        .collect();
    format!("{}; held {}", shows.join(", "), app.held().join(", "))
}

pub(super) fn we_die_between_the_write_and_its_answer() -> String {
    let mut app = bad_release();
    app.on(Moment::WriteDone, |app| app.restart(Duration::from_millis(700), true));
    held(&mut app, 60.0)
}

pub(super) fn the_machine_sleeps_with_a_probe_in_flight() -> String {
    let at = |ms: u64| Mono(ms * 1_000_000);
    let mut pulse = Pulse::new(Duration::from_millis(1));
    pulse.read(at(100), Readings { waited: None, slept: Duration::ZERO });
    pulse.read(at(110), Readings { waited: None, slept: Duration::from_hours(1) });
    if pulse.spoils(at(101), at(110), false) { "void" } else { "an answer of the target" }.into()
}

pub(super) fn the_credentials_expire_in_peace() -> String {
    let mut app = App::new(1);
    app.world.reads.push((secs(15.0), secs(1e6), Trouble::Denied));
    played(&mut app, 320.0);
    let told =
        app.pages.iter().any(|(_, kind, text)| *kind == PageKind::Standing && text.contains("listener-read"));
    if told { "listener-read is told of" } else { "nobody is told" }.into()
}

pub(super) fn aws_throttles_for_good() -> String {
    let mut app = bad_release();
    app.world.writes.extend([Trouble::Throttled; 99]);
    held(&mut app, 60.0)
}

pub(super) fn the_rule_is_sticky() -> String {
    let mut app = App::new(1);
    let sticky = |state: &ListenerState| {
        let stickiness = Some(Stickiness { enabled: Some(true), duration_s: Some(3_600) });
        but(state, |rule| rule.forward.as_mut().expect("a forward").stickiness = stickiness)
    };
    app.world.set(secs(0.0), sticky(&blue()));
    let cut = sticky(&green());
    app.at(CUT, |app| app.world.set(app.now, cut));
    app.world.service(GREEN).course.during(secs(CUT + 6.0), secs(1e6), outage());
    played(&mut app, 40.0);
    let reverted = app.pages.iter().find(|(_, kind, _)| *kind == PageKind::Reverted);
    let (_, _, text) = reverted.expect("it is reverted");
    if text.contains("may stay with it for 3600 s") {
        "users may stay, it says"
    } else {
        "nothing is said of users who stay"
    }
    .into()
}

pub(super) fn users_do_not_get_what_the_api_shows() -> String {
    let mut app = bad_release();
    app.on(Moment::WriteDone, |app| app.world.service(BLUE).version = Some("v2"));
    held(&mut app, 60.0)
}

pub(super) fn two_bad_releases_come_soon_after_each_other() -> String {
    let mut app = bad_release();
    app.guard_policy.reverts_per_hour_max = 1;
    app.world.service(RED).course.during(secs(50.0), secs(1e6), outage());
    app.at(44.0, |app| app.world.set(app.now, forward(&[(BLUE, 0), (RED, 1)])));
    held(&mut app, 70.0)
}

pub(super) fn the_old_version_is_one_of_three() -> String {
    let mut app = bad_release();
    app.at(CUT + 4.0, |app| app.world.service(BLUE).targets.truncate(1));
    held(&mut app, 40.0)
}

pub(super) fn the_release_has_migrated_its_data() -> String {
    let mut app = bad_release();
    app.at(CUT - 2.0, |app| app.command(Command::ReleaseBegin { label: None, irreversible: true }));
    held(&mut app, 40.0)
}

pub(super) fn the_rule_has_an_element_that_nobody_knows() -> String {
    let mut app = App::new(1);
    app.at(CUT, |app| app.world.set(app.now, but(&green(), |rule| rule.unknown.push("Mirroring".into()))));
    app.world.service(GREEN).course.during(secs(CUT + 6.0), secs(1e6), outage());
    held(&mut app, 40.0)
}

pub(super) fn our_revert_changes_the_rule() -> String {
    let mut app = bad_release();
    played(&mut app, 40.0);
    let releases = app.records().filter(|record| matches!(record, Record::Release { .. })).count();
    format!("{releases} {}", if releases == 1 { "release" } else { "releases" })
}

pub(super) fn a_firewall_refuses_the_probes() -> String {
    let mut app = cutover(1, 1e5, outage());
    app.world.balancer.during(secs(CUT + 6.0), secs(1e6), Ways { edge: 1.0, ..Ways::default() });
    played(&mut app, 60.0)
}

pub(super) fn ecs_moves_the_rule() -> String {
    goes_out(By::Ecs)
}

pub(super) fn codedeploy_moves_the_rule() -> String {
    goes_out(By::CodeDeploy)
}

/// What AWS is asked to do.
fn goes_out(by: By) -> String {
    let asked = |action: &Action| match action {
        Action::Write(..) => Some("the rule is written".to_owned()),
        Action::Call(_, call) => Some(call.to_string()),
        _ => None,
    };
    let asked: Vec<String> = deployed(by, &DeploymentStage::RollingBack).iter().filter_map(asked).collect();
    asked.join(", ")
}

pub(super) fn ecs_uses_none_of_its_alarms() -> String {
    let owner = |action: &Action| match action {
        Action::Note(record) => match &**record {
            Record::Preflight { conditions, .. } => {
                conditions.iter().find(|one| &*one.name == "owner").cloned()
            }
            _ => None,
        },
        _ => None,
    };
    let actions = deployed(By::Ecs, &DeploymentStage::RollingBack);
    actions.iter().find_map(owner).map_or_else(|| "there is no preflight".into(), |owner| owner.detail.into())
}

pub(super) fn the_owners_rollback_fails() -> String {
    let actions = deployed(By::Ecs, &DeploymentStage::RollbackFailed("no capacity".into()));
    let page = |action: &Action| match action {
        Action::Page(page) if page.kind == PageKind::Partial => Some(page.text.to_string()),
        _ => None,
    };
    actions.iter().find_map(page).unwrap_or_else(|| "nobody is told".into())
}

/// Half a minute of a bad release of a deployment that stands so after our call.
fn deployed(by: By, after: &DeploymentStage) -> Vec<Action> {
    let mut stage = &DeploymentStage::Running { hook: None };
    let (mut guard, mut now) = (armed(), NOW);
    let (mut events, mut all) = (VecDeque::from([broken(&guard)]), Vec::new());
    while now < NOW.after(Duration::from_secs(30)) {
        let begun = all.len();
        guard.step(now, events.pop_front().unwrap_or(Event::Tick), &mut all);
        for action in &all[begun..] {
            match action {
                Action::Read(op, _) => events.push_back(Event::Read(*op, Ok(read(by, stage)))),
                Action::Persist(op, _) => events.push_back(Event::Durable(*op, Ok(()))),
                Action::Call(op, _) | Action::Write(op, _) => {
                    stage = after;
                    events.push_back(Event::Wrote(*op, WriteOutcome::Accepted("request-1".into())));
                }
                _ => {}
            }
        }
        now = now.after(Duration::from_millis(50));
    }
    all
}

/// The rule shows the new version all the time.
fn read(by: By, stage: &DeploymentStage) -> Observed {
    let newest =
        Some(Deployment { id: "d-1".into(), stage: stage.clone(), unwatched: Some("errors".into()) });
    let owner = Owner::Deployer(Deployer { by, service: "shop".into(), newest });
    let all = ["b", "g"].map(|group| health(group, 2, HealthState::Healthy));
    Observed { marks: Some(Marks::of(owner)), health: Some(all.to_vec()), ..shows(state(0, 1)) }
}
