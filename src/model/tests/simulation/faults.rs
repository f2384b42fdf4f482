//! Random stories: faults, people and restarts at random, and only the laws are asserted.

use crate::app::{App, secs};
use crate::story::each_seed;
use crate::world::{BLUE, Chance, GREEN, RED, Trouble, Ways, blue, forward, green, targets};
use serin_model::guard::Command;
use serin_model::listener::HealthState;
use serin_model::record::Record;
use std::time::Duration;

/// What may happen at any time of a random story.
fn happen(app: &mut App, chance: &mut Chance, at: f64) {
    let pick = chance.unit();
    let (long, from) = (chance.unit() * 12.0, secs(at));
    let to = secs(at + long);
    match (pick * 20.0).floor() {
        0.0 | 1.0 => app.at(at, |app| app.world.set(app.now, green())),
        2.0 => app.at(at, |app| app.world.set(app.now, blue())),
        3.0 => app.at(at, |app| app.world.set(app.now, forward(&[(BLUE, 50), (GREEN, 50)]))),
        4.0 => app.at(at, |app| app.world.set(app.now, forward(&[(BLUE, 0), (RED, 1)]))),
        5.0..=8.0 => {
            let group = [BLUE, GREEN, GREEN, RED][chance.below(4)];
            let ways = Ways {
                errors: [1.0, 0.2][usize::from(chance.hits(0.5))],
                bare: [0.0, 0.3][usize::from(chance.hits(0.2))],
                slow_ms: [0, 400][usize::from(chance.hits(0.2))],
                hang: chance.hits(0.1),
                ..Ways::default()
            };
            app.world.service(group).course.during(from, to, ways);
        }
        9.0 => {
            let ways = Ways { bare: 0.4, edge: if chance.hits(0.3) { 0.9 } else { 0.0 }, ..Ways::default() };
            app.world.balancer.during(from, to, ways);
        }
        10.0 => {
            let kinds = [Trouble::Throttled, Trouble::Denied, Trouble::Lost, Trouble::Gone];
            app.world.reads.push((from, to, kinds[chance.below(4)]));
        }
        11.0 | 12.0 => {
            let kinds = [Trouble::Throttled, Trouble::Lost, Trouble::Done, Trouble::DoneLater(4_000)];
            app.world.writes.push_back(kinds[chance.below(4)]);
        }
        13.0 => {
            let away = Duration::from_secs_f64(long);
            let keeps = chance.hits(0.8);
            app.at(at, move |app| app.restart(away, keeps));
        }
        14.0 => {
            app.at(at, |app| app.command(Command::Hold { reason: "x".into() }));
            app.at(at + long, |app| app.command(Command::Unhold));
        }
        15.0 => app.at(at, |app| app.command(Command::Ack)),
        16.0 => {
            app.at(at, |app| app.world.service(BLUE).targets[0].state = HealthState::Unhealthy);
            app.at(at + long, |app| app.world.service(BLUE).targets = targets("10.0.1", 3));
        }
        17.0 => app.at(at, |app| app.world.service(BLUE).version = Some("v4")),
        18.0 => app.world.network_down.push((from, to)),
        _ => app.world.starved.push((from, to)),
    }
}

#[test]
fn whatever_happens_the_laws_hold() {
    each_seed(|story| {
        // Random stories are the cheapest way to find what nobody thought of: more of them.
        for seed in story * 10..story * 10 + 10 {
            let mut chance = Chance::new(seed ^ 0x5e71);
            let mut app = App::new(seed);
            app.guard_policy.cool_down = Duration::from_secs(10);
            app.laws.unpreventable_race = true;
            let deeds = 3 + chance.below(10);
            for _ in 0..deeds {
                let at = 10.0 + chance.unit() * 50.0;
                happen(&mut app, &mut chance, at);
            }
            app.run_until(100.0);
            let kept: Vec<u64> = app
                .records()
                .filter_map(
                    |record| if let Record::Intent(intent) = record { Some(intent.id.0) } else { None },
                )
                .collect();
            assert!(kept.is_sorted(), "{kept:?}");
        }
    });
}
