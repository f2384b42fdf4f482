//! One service, out of its merged tree.

use super::reader::{Fault, Leaf, Log, Noted, Section};
use super::target::{self, Shared};
use super::{Front, Mode, Pace, Service, Target, Via, address, front, lever, policy, units};
use crate::config::{Node, quoted};
use std::path::PathBuf;
use std::time::Duration;

/// Between two probes of a URL, at most.
const INTERVAL_MAX: Duration = Duration::from_hours(24);
/// All of it, in millionths of a percent.
const WHOLE: u64 = 100_000_000;
/// More URLs than this are a crawl.
const TARGETS_MAX: usize = 1000;

/// The service.
pub(super) fn read(log: &Log<'_>, node: &Node) -> Result<Service, Noted> {
    let label = node.entry("service").and_then(Node::text).unwrap_or_default();
    let root = Section::root(log, node, Some(label));
    let name = root.get("service", name);
    let mode = root.get("mode", |leaf| leaf.choice(&[("observe", Mode::Observe), ("act", Mode::Act)]));
    let levers = lever::read(&root);
    let whose = lever::whose(&root, &levers);
    let via = front::via(&root, &levers);
    let sole_actuator = root.maybe("sole_actuator", Leaf::switch);
    let instances = root.get("instances", |leaf| leaf.count(1..=10_000));
    let max_rate = root.get("max_rate", |leaf| leaf.rate(1.0 / 3600.0..=10_000_000.0));
    let control = root.maybe("control", |leaf| address::endpoint(leaf.text()?));
    let ca_file = root.maybe("ca_file", target::ca_file);
    let trace_share = root.get("trace_share", |leaf| leaf.percentage(0..=WHOLE));
    let pace = policy::pace(&root);
    let sole_actuator = sole_actuator.map(|sole| sole == Some(true));
    let allowed = match (mode, &levers, sole_actuator) {
        (Ok(mode), Ok(levers), Ok(sole)) => lever::check_mode(&root, mode, levers, sole),
        _ => Err(Noted),
    };
    let targets = targets(&root, pace, ca_file.clone().ok().flatten());

    // The policies are read whatever is wrong above, so that their faults are told in the same run.
    let rates_hz: Vec<f64> = match (&targets, pace) {
        (Ok(targets), Ok(pace)) => super::rates_hz(targets, pace.release_hz).collect(),
        _ => Vec::new(),
    };
    let has_control = control.as_ref().map_or(true, Option::is_some);
    let heard = policy::heard(&root, &levers, has_control);
    let judge = policy::judge(&root, targets.as_deref().ok(), &rates_hz, heard);
    let has_lever = levers.as_ref().is_ok_and(|levers| !levers.is_empty());
    let guard = policy::guard(&root, mode, &judge, targets.as_deref().unwrap_or_default(), has_lever);
    allowed.and(ca_file)?;
    let (guard, hold_file) = guard?;
    let (mut targets, balancer) = (targets?, Front::default());
    if matches!(via, Ok(Via::Balancer)) {
        for target in &mut targets {
            let fixed = front::is_fixed(&target.endpoint, target.connect_to.is_some());
            target.front = (!fixed).then(|| balancer.clone());
        }
    }
    let service = Service {
        name: name?,
        levers: levers?,
        mode: mode?,
        via: via?,
        front: balancer,
        whose: whose?,
        sole_actuator: sole_actuator?,
        instances: instances?,
        max_rate_hz: max_rate?,
        control: control?,
        trace_share: share(trace_share?),
        targets,
        judge: judge?,
        guard,
        hold_file,
        pace: pace?,
        content_hash: String::new(),
    };
    fits(&root, &service).map(|()| service)
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn share(millionths: u64) -> f64 {
    millionths as f64 / WHOLE as f64
}

fn name(leaf: &Leaf<'_>) -> Result<String, Fault> {
    let text = leaf.text()?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.len() > 63 || !text.bytes().all(plain) {
        return Err(Fault::new(
            "a service's name is 1 to 63 of a-z, 0-9 and -",
            "it becomes a label and a file name",
        ));
    }
    Ok(text.to_owned())
}

fn targets(
    root: &Section<'_>,
    pace: Result<Pace, Noted>,
    ca_file: Option<PathBuf>,
) -> Result<Vec<Target>, Noted> {
    let sections = root.items("targets")?;
    if sections.is_empty() || sections.len() > TARGETS_MAX {
        let rule = format!("{} targets, 1 to {TARGETS_MAX} are possible", sections.len());
        let remedy = if sections.is_empty() { "add [[targets]] with a url" } else { "split the service" };
        return Err(root.refuse_section("targets", Fault::new(rule, remedy)));
    }
    let weights: Vec<_> =
        sections.iter().map(|section| section.get("weight", |leaf| leaf.count(1..=100))).collect();
    let all: u32 = weights.iter().map(|weight| weight.unwrap_or(1)).sum();
    let shared = Shared { hz_of_weight: pace.map_or(0.0, |pace| pace.release_hz) / f64::from(all), ca_file };
    let read: Vec<_> = sections
        .iter()
        .zip(weights)
        .map(|(section, weight)| target::read(section, weight, &shared))
        .collect();
    let pairs =
        sections.iter().zip(&read).filter_map(|(section, target)| Some((section, target.as_ref().ok()?)));
    target::unique(pairs)?;
    read.into_iter().collect()
}

/// Rules between the sections.
fn fits(root: &Section<'_>, service: &Service) -> Result<(), Noted> {
    let mut checked = Ok(());
    let load_hz = service.load_hz();
    if load_hz > service.max_rate_hz * (1.0 + 1e-9) {
        let rule = format!("the load is above it: {}", service.load_line());
        let remedy = "slow pace.release, or raise max_rate if the service stands it";
        checked = Err(root.refuse("max_rate", Fault::new(rule, remedy)));
    }
    if let Some(target) = service.targets.iter().find(|target| service.calm_interval(target) > INTERVAL_MAX) {
        let rule = format!(
            "{} would be asked once in {}; once a day is the least that is still a probe",
            quoted(&target.name),
            units::show(Duration::from_secs(service.calm_interval(target).as_secs()))
        );
        let remedy = "quicken pace.calm, or name fewer URLs";
        checked = Err(root.section("pace").refuse("calm", Fault::new(rule, remedy)));
    }
    if service.mode == Mode::Act && service.instances > 1 {
        let rule = format!(
            "{} instances of a file that may act: no shared lease keeps them apart yet, so each would write",
            service.instances
        );
        let remedy = "let one task act by a file of its own, and the others observe";
        checked = Err(root.refuse("instances", Fault::new(rule, remedy)));
    }
    if let Some(control) = &service.control
        && let Some(target) = service.targets.iter().find(|target| same_place(&target.endpoint, control))
    {
        let rule =
            format!("is on the host of {}, so it fails with it and tells nothing", quoted(&target.name));
        checked =
            Err(root.refuse("control", Fault::new(rule, "name an unrelated endpoint, or leave it out")));
    }
    checked
}

/// The same name, or the same address and port: addresses hold unrelated services on other ports, names seldom do.
fn same_place(one: &super::Endpoint, other: &super::Endpoint) -> bool {
    let literal = one.host.parse::<std::net::IpAddr>().is_ok();
    one.host == other.host && (!literal || one.port == other.port)
}
