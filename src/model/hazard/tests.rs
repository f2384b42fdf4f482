//! Each hazard that the core answers, played with its answer and without: how it ends, and how badly it ends then.
#![expect(dead_code, reason = "the simulation's own stories ask more of its rig")]

use super::Hazard;
use super::switch::lose;
use crate::guard::monitor::tests::sleep;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[path = "../tests/simulation/app.rs"]
mod app;
#[path = "../tests/simulation/aws.rs"]
mod aws;
#[path = "../tests/simulation/laws.rs"]
mod laws;
#[path = "../tests/simulation/prober.rs"]
mod prober;
#[path = "../tests/simulation/story.rs"]
mod story;
#[path = "../tests/simulation/world.rs"]
mod world;

mod stories;

/// A hazard, the story that it is played by, and its two ends.
struct Row {
    hazard: Hazard,
    story: fn() -> String,
    with: &'static str,
    without: &'static str,
}

const TABLE: &[Row] = &[
    Row {
        hazard: Hazard::LostUpdate,
        story: stories::somebody_else_writes_directly_before_us,
        with: "red, 0 writes, held overridden",
        without: "I5: the last read showed another",
    },
    Row {
        hazard: Hazard::StaleEvidence,
        story: stories::a_good_release_follows_a_bad_one_at_once,
        with: "red, 0 writes",
        without: "blue, 1 write",
    },
    Row {
        hazard: Hazard::UnhealthyBlue,
        story: stories::the_old_group_is_emptied,
        with: "green, 0 writes, held blue-healthy",
        without: "I4: 0 healthy targets",
    },
    Row {
        hazard: Hazard::BothBad,
        story: stories::both_versions_fail,
        with: "green, 0 writes",
        without: "blue, 1 write",
    },
    Row {
        hazard: Hazard::OwnFault,
        story: stories::our_process_starves_before_a_bad_release,
        with: "blue, 1 write",
        without: "green, 0 writes",
    },
    Row {
        hazard: Hazard::MissingData,
        story: stories::nothing_comes_back_after_a_cutover,
        with: "green was not good",
        without: "green was good",
    },
    Row {
        hazard: Hazard::FewSamples,
        story: stories::a_few_answers_are_bad,
        with: "green, 0 writes",
        without: "blue, 1 write",
    },
    Row {
        hazard: Hazard::Operator,
        story: stories::a_person_holds_directly_before_us,
        with: "green, 0 writes, held no-hold",
        without: "I7: somebody holds",
    },
    Row {
        hazard: Hazard::EcsOwns,
        story: stories::ecs_moves_the_rule,
        with: "StopServiceDeployment of d-1",
        without: "the rule is written",
    },
    Row {
        hazard: Hazard::CodeDeployOwns,
        story: stories::codedeploy_moves_the_rule,
        with: "StopDeployment of d-1",
        without: "the rule is written",
    },
    Row {
        hazard: Hazard::FlippedBack,
        story: stories::terraform_puts_green_back,
        with: "green, 1 write",
        without: "blue, 2 writes",
    },
    Row {
        hazard: Hazard::Throttled,
        story: stories::aws_throttles_the_write_twice,
        with: "blue, 1 write, held reverted",
        without: "green, 0 writes, held deadline",
    },
    Row {
        hazard: Hazard::HalfDone,
        story: stories::the_second_of_three_rules_is_refused,
        with: "443 blue, 80 green, host blue; held partial",
        without: "443 blue, 80 green, host green; held write-refused, partial",
    },
    Row {
        hazard: Hazard::Death,
        story: stories::we_die_between_the_write_and_its_answer,
        with: "blue, 1 write, held reverted",
        without: "blue, 1 write, held ",
    },
    Row {
        hazard: Hazard::ClockJump,
        story: stories::the_machine_sleeps_with_a_probe_in_flight,
        with: "void",
        without: "an answer of the target",
    },
    Row {
        hazard: Hazard::Credentials,
        story: stories::the_credentials_expire_in_peace,
        with: "listener-read is told of",
        without: "nobody is told",
    },
    Row {
        hazard: Hazard::ControlPlane,
        story: stories::aws_throttles_for_good,
        with: "green, 0 writes, held deadline",
        without: "I12: BAD stood, and nobody was told of an end",
    },
    Row {
        hazard: Hazard::Sticky,
        story: stories::the_rule_is_sticky,
        with: "users may stay, it says",
        without: "nothing is said of users who stay",
    },
    Row {
        hazard: Hazard::FalseProof,
        story: stories::users_do_not_get_what_the_api_shows,
        with: "blue, 1 write, held partial",
        without: "blue, 1 write, held reverted",
    },
    Row {
        hazard: Hazard::PingPong,
        story: stories::two_bad_releases_come_soon_after_each_other,
        with: "red, 1 write, held reverted, cool-down",
        without: "blue, 2 writes, held reverted, reverted",
    },
    Row {
        hazard: Hazard::ColdBlue,
        story: stories::the_old_version_is_one_of_three,
        with: "green, 0 writes, held blue-healthy",
        without: "blue, 1 write, held reverted",
    },
    Row {
        hazard: Hazard::Irreversible,
        story: stories::the_release_has_migrated_its_data,
        with: "green, 0 writes, held reversible",
        without: "blue, 1 write, held reverted",
    },
    Row {
        hazard: Hazard::DamagedRule,
        story: stories::the_rule_has_an_element_that_nobody_knows,
        with: "green, 0 writes, held understood",
        without: "blue, 1 write, held reverted",
    },
    Row {
        hazard: Hazard::OwnRevert,
        story: stories::our_revert_changes_the_rule,
        with: "1 release",
        without: "2 releases",
    },
    Row {
        hazard: Hazard::Edge,
        story: stories::a_firewall_refuses_the_probes,
        with: "green, 0 writes",
        without: "blue, 1 write",
    },
    Row {
        hazard: Hazard::RedAlarm,
        story: stories::ecs_uses_none_of_its_alarms,
        with: "StopServiceDeployment of d-1 puts it back; ECS uses none of its alarms (errors) in this deployment, and won't roll it back by itself",
        without: "StopServiceDeployment of d-1 puts it back",
    },
    Row {
        hazard: Hazard::FailedRollback,
        story: stories::the_owners_rollback_fails,
        with: "PARTIAL: StopServiceDeployment of d-1 was accepted, and the rollback failed: no capacity",
        without: "PARTIAL: StopServiceDeployment of d-1 is over, and the rules are not back",
    },
];

/// How a story ends. A law of the simulation that is broken is an end too.
fn end(story: fn() -> String) -> String {
    catch_unwind(AssertUnwindSafe(story)).unwrap_or_else(|panic| {
        let text = panic.downcast::<String>().map(|text| *text);
        let text = text.or_else(|panic| panic.downcast::<&str>().map(|text| (*text).to_owned()));
        let text = text.expect("a panic says why");
        let line = text.lines().next().unwrap_or_default();
        line.split_once(" failed: ").map_or(line, |(_, law)| law).to_owned()
    })
}

#[test]
fn each_hazard_ends_well_with_its_answer_and_as_badly_as_it_says_without() {
    let mut faults = Vec::new();
    for Row { hazard, story, with, without } in TABLE {
        for (missing, expected) in [(None, with), (Some(*hazard), without)] {
            lose(missing);
            // It is a second answer to some of them.
            sleep(missing.is_some());
            let end = end(*story);
            if end != *expected {
                faults.push(format!("{hazard:?}, missing {missing:?}: {end:?}, not {expected:?}"));
            }
        }
    }
    lose(None);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
