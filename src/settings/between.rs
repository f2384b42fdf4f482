//! Rules between services, and between a service and its process.

use super::reader::Noted;
use super::{Lever, Service, units};
use crate::config::{self, Origin, Problem};
use std::collections::BTreeMap;
use std::time::Duration;

/// No two services of one name, nor with one lever.
pub(super) fn apart(
    nodes: &[config::Node],
    services: &[Result<Service, Noted>],
    problems: &mut Vec<Problem>,
) {
    let mut names: BTreeMap<&str, &Origin> = BTreeMap::new();
    let mut levers: BTreeMap<&Lever, &str> = BTreeMap::new();
    for (node, service) in nodes.iter().zip(services) {
        let origin = |key: &str| node.entry(key).map_or(&node.origin, |node| &node.origin);
        let Ok(service) = service else { continue };
        let mut refuse = |key: &str, value: &str, rule: String, remedy: &str| {
            problems.push(Problem {
                origin: origin(key).clone(),
                key: key.to_owned(),
                value: Some(config::quoted(value)),
                rule,
                remedy: remedy.to_owned(),
            });
        };
        if let Some(first) = names.insert(&service.name, origin("service")) {
            refuse("service", &service.name, format!("{first} names it too"), "one document a service");
            continue;
        }
        for lever in &service.levers {
            if let Some(first) = levers.insert(lever, &service.name) {
                let rule = format!("the service {first} holds this lever already: two would fight over it");
                refuse(lever.key(), lever.arn(), rule, "give each service a lever of its own");
            }
        }
    }
}

/// Two probes of one URL are further apart than the quantum: within it they would be sent together.
pub(super) fn paced(
    node: &config::Node,
    quantum: Duration,
    services: &[Result<Service, Noted>],
    problems: &mut Vec<Problem>,
) {
    let intervals = services.iter().flatten().flat_map(|service| {
        service.targets.iter().map(move |target| (service.release_interval(target), service, target))
    });
    let Some((interval, service, target)) = intervals.min_by_key(|(interval, ..)| *interval) else { return };
    if interval < quantum {
        let engine = node.entry("engine");
        let origin = engine.and_then(|engine| engine.entry("quantum")).or(engine).unwrap_or(node);
        problems.push(Problem {
            origin: origin.origin.clone(),
            key: "engine.quantum".to_owned(),
            value: Some(units::show(quantum)),
            rule: format!(
                "is longer than the time between two probes of {} in {} at the release pace, {}: they would be sent together",
                config::quoted(&target.name),
                service.name,
                units::show(interval)
            ),
            remedy: "make it shorter (\"0s\" is exact), slow pace.release, or name more URLs".to_owned(),
        });
    }
}
