//! `[objectives]`, `[[groups]]` and `[targets.objectives]`: what is promised, for the service, for groups of its URLs and for one.

use super::reader::{Fault, Noted, Section};
use super::{Target, units};
use crate::config::quoted;
use crate::model::objective::{Goal, LIMITS_MAX, Objective, Objectives, Scope};
use crate::model::target::TargetId;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

/// In millionths of a percent.
pub(super) const PERCENT: u64 = 1_000_000;
/// At least one bad answer in a million may be: beyond that no number of probes proves anything in a release.
pub(super) const AVAILABILITY: RangeInclusive<u64> = PERCENT..=100 * PERCENT - 100;
/// What may be promised of a response time.
pub(super) const LIMIT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_mins(1);
/// More groups than this are no groups.
const GROUPS_MAX: usize = 100;

/// Keys of quantiles, and their ten-thousandths.
pub(super) const QUANTILES: [(&str, u32); 7] = [
    ("p50", 5_000),
    ("p75", 7_500),
    ("p90", 9_000),
    ("p95", 9_500),
    ("p98", 9_800),
    ("p99", 9_900),
    ("p999", 9_990),
];

/// Everything that is promised; `rates_hz`: what each target gets at the release pace.
pub(super) fn read(root: &Section<'_>, targets: &[Target], rates_hz: &[f64]) -> Result<Objectives, Noted> {
    let section = root.section("objectives");
    let bad_over = section.maybe("bad_over", |leaf| leaf.duration(LIMIT));
    let all_targets: BTreeSet<TargetId> = (0..).map(TargetId).take(targets.len()).collect();
    let mut of = Reading { targets, rates_hz, all: Vec::new() };
    let mut read = of.take(&section, &Scope::Service, &all_targets);
    let groups = groups(root, targets).inspect_err(|noted| read = Err(*noted)).unwrap_or_default();
    for (group, name) in &groups {
        let members: BTreeSet<TargetId> = (0..)
            .map(TargetId)
            .zip(targets)
            .filter(|(_, target)| target.group.as_ref() == Some(name))
            .map(|(id, _)| id)
            .collect();
        let scope = Scope::Part { name: name.as_str().into(), targets: members.clone() };
        read = read.and(of.take(group, &scope, &members));
    }
    for ((target, item), id) in targets.iter().zip(root.items("targets")?).zip((0..).map(TargetId)) {
        let scope = Scope::Part { name: target.name.as_str().into(), targets: BTreeSet::from([id]) };
        read = read.and(of.take(&item.section("objectives"), &scope, &BTreeSet::from([id])));
    }
    let objectives = Objectives { all: of.all, bad_over: bad_over? };
    read?;
    if objectives.all.is_empty() {
        let remedy = "add [objectives] with availability = \"99.9%\", p95 = \"250ms\", or both";
        let fault = Fault::new("without a promise there is nothing to judge by", remedy);
        return Err(root.refuse_section("objectives", fault));
    }
    let limits = objectives.all.iter().filter_map(|objective| match objective.goal {
        Goal::Latency { limit, .. } => Some(limit),
        Goal::Availability { .. } => None,
    });
    let limits = limits.collect::<BTreeSet<Duration>>().len();
    if limits > LIMITS_MAX {
        let rule =
            format!("{limits} different limits of the response time are promised, {LIMITS_MAX} are possible");
        return Err(root.refuse_section(
            "objectives",
            Fault::new(rule, "let groups share limits, or split the service"),
        ));
    }
    Ok(objectives)
}

/// Objectives as they are read.
struct Reading<'a> {
    targets: &'a [Target],
    rates_hz: &'a [f64],
    all: Vec<Objective>,
}

impl Reading<'_> {
    /// The goals of one section, for `members`.
    fn take(
        &mut self,
        section: &Section<'_>,
        scope: &Scope,
        members: &BTreeSet<TargetId>,
    ) -> Result<(), Noted> {
        let rate_of = |id: &TargetId| self.rates_hz.get(usize::from(id.0)).copied().unwrap_or(0.0);
        let total: f64 = self.rates_hz.iter().sum();
        let rate_share = (members.iter().map(rate_of).sum::<f64>() / total).min(1.0);
        for (name, goal) in goals(section)? {
            if let Goal::Latency { limit, .. } = goal {
                self.in_time(section, name, limit, members)?;
            }
            self.all.push(Objective { scope: scope.clone(), goal, rate_share });
        }
        Ok(())
    }

    /// An answer must be able to be slow before it is given up.
    fn in_time(
        &self,
        section: &Section<'_>,
        name: &str,
        limit: Duration,
        members: &BTreeSet<TargetId>,
    ) -> Result<(), Noted> {
        let mut asked = members.iter().filter_map(|id| self.targets.get(usize::from(id.0)));
        let Some(target) = asked.find(|target| target.timeout < limit) else { return Ok(()) };
        let rule = format!(
            "{} times out after {}, before an answer could be slow",
            quoted(&target.name),
            units::show(target.timeout)
        );
        let remedy = format!("make the timeout at least as long as {name}");
        Err(section.refuse(name, Fault::new(rule, remedy)))
    }
}

/// The goals of one section, and the key of each.
fn goals(section: &Section<'_>) -> Result<Vec<(&'static str, Goal)>, Noted> {
    let good = section.maybe("availability", |leaf| leaf.percentage(AVAILABILITY));
    let limits: Vec<_> = QUANTILES
        .iter()
        .map(|(name, quantile)| {
            let limit = section.maybe(name, |leaf| leaf.duration(LIMIT))?;
            Ok(limit.map(|limit| (*name, *quantile, limit)))
        })
        .collect();
    let good = good?;
    let limits: Vec<_> = limits.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    for pair in limits.windows(2) {
        let [(lower, _, short), (higher, _, long)] = pair else { continue };
        if long < short {
            let rule = format!("is shorter than {lower} ({}), which most answers keep", units::show(*short));
            return Err(section.refuse(higher, Fault::new(rule, "a higher quantile has a longer limit")));
        }
    }
    let availability = good.map(|good| {
        let bad_share_max = units::share(100 * PERCENT - good);
        ("availability", Goal::Availability { bad_share_max })
    });
    let latency = limits.into_iter().map(|(name, quantile, limit)| (name, Goal::Latency { quantile, limit }));
    Ok(availability.into_iter().chain(latency).collect())
}

/// `[[groups]]`, each with its name: unique, promised something, and named by a target at least.
fn groups<'a>(root: &Section<'a>, targets: &[Target]) -> Result<Vec<(Section<'a>, String)>, Noted> {
    let sections = root.items("groups")?;
    if sections.len() > GROUPS_MAX {
        let rule = format!("{} groups, {GROUPS_MAX} are possible", sections.len());
        return Err(root.refuse_section("groups", Fault::new(rule, "split the service")));
    }
    let mut known: Vec<(Section<'a>, String)> = Vec::new();
    let mut read = Ok(());
    for section in sections {
        let Ok(name) = section.get("name", |leaf| leaf.text().map(str::to_owned)) else {
            read = Err(Noted);
            continue;
        };
        let twice =
            known.iter().any(|(_, other)| *other == name) || targets.iter().any(|target| target.name == name);
        let fault = if twice {
            Some("is the name of another group or target: verdicts would not tell them apart")
        } else if !targets.iter().any(|target| target.group.as_ref() == Some(&name)) {
            Some("no target is of this group")
        } else {
            None
        };
        if let Some(rule) = fault {
            read = Err(section.refuse("name", Fault::new(rule, "targets name theirs by group = \"…\"")));
        }
        if goals(&section).is_ok_and(|goals| goals.is_empty()) {
            let rule = "nothing is promised for this group";
            read = Err(section.refuse("name", Fault::new(rule, "add availability or a quantile to it")));
        }
        known.push((section, name));
    }
    for (target, section) in targets.iter().zip(root.items("targets")?) {
        if let Some(group) = &target.group
            && !known.iter().any(|(_, name)| name == group)
        {
            let rule = format!("there is no group {}", quoted(group));
            read = Err(section.refuse("group", Fault::new(rule, "add [[groups]] with this name")));
        }
    }
    read.map(|()| known)
}
