//! `[judge]`, `[guard]` and `[pace]`.

use super::reader::{Fault, Leaf, Noted, Section};
use super::{Lever, Mode, Pace, Target, lever, objectives, units};
use crate::config::quoted;
use crate::model::plan::Style;
use crate::model::policy::{
    Burn, GuardPolicy, Heard, Join, JudgePolicy, Policies, Policy, Threshold, Unheard,
};
use crate::model::power::Test;
use std::path::PathBuf;
use std::time::Duration;

/// Evidence older than this never acts. It is no key, because no service has a reason for another.
const EVIDENCE_AGE_MAX: Duration = Duration::from_secs(30);
/// In millionths of a percent.
const PERCENT: u64 = 1_000_000;
/// The names of the policies.
const POLICIES: [&str; 4] = ["sequential", "threshold", "burn_rate", "baseline"];
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// `[pace]`.
pub(super) fn pace(root: &Section<'_>) -> Result<Pace, Noted> {
    let section = root.section("pace");
    // One engine thread sends at most about 10,000 a second; once an hour is the least that is still a probe.
    let range = 1.0 / 3600.0..=10_000.0;
    let calm_hz = section.get("calm", |leaf| leaf.rate(range.clone()));
    let release_hz = section.get("release", |leaf| leaf.rate(range));
    let (calm_hz, release_hz) = (calm_hz?, release_hz?);
    if calm_hz > release_hz {
        let rule = format!("calm is faster than release ({})", units::show_rate(release_hz));
        return Err(section.refuse("calm", Fault::new(rule, "the release pace is the fast one")));
    }
    Ok(Pace { calm_hz, release_hz })
}

/// How the old version is heard, which the lever says; and `judge.unheard`.
pub(super) fn heard(
    root: &Section<'_>,
    levers: &Result<Vec<Lever>, Noted>,
    has_control: bool,
) -> Result<Heard, Noted> {
    let section = root.section("judge");
    let unheard = section
        .get("unheard", |leaf| leaf.choice(&[("hold", Unheard::Hold), ("revert", Unheard::Revert)]))?;
    let levers = levers.as_ref().map_err(|noted| *noted)?;
    if lever::is_alias(levers) {
        if unheard == Unheard::Revert && !has_control {
            let rule = "without the old version's word and without a control, nothing tells the release's fault from the network's";
            return Err(section.refuse("unheard", Fault::new(rule, "add a control, or leave unheard out")));
        }
        return Ok(Heard::InProduction(unheard));
    }
    if unheard == Unheard::Revert {
        let rule =
            "without lambda_alias the old version's registered targets are asked directly, and are heard";
        return Err(section.refuse("unheard", Fault::new(rule, "leave it out")));
    }
    Ok(Heard::Directly)
}

/// Objectives and `[judge]`; `rates_hz`: what each target gets at the release pace. Without targets or a pace, which were refused then,
/// only what doesn't need them is read.
pub(super) fn judge(
    root: &Section<'_>,
    targets: Option<&[Target]>,
    rates_hz: &[f64],
    heard: Result<Heard, Noted>,
) -> Result<JudgePolicy, Noted> {
    let release_rate_hz = if rates_hz.is_empty() { f64::INFINITY } else { rates_hz.iter().sum() };
    let objectives = targets.ok_or(Noted).and_then(|targets| objectives::read(root, targets, rates_hz));
    let section = root.section("judge");
    let tested = policies(&section);
    let wrong_reverts = section.get("wrong_reverts", |leaf| leaf.chance(100..=1_000_000_000_000));
    let tolerate_blip = section.get("tolerate_blip", |leaf| leaf.duration(Duration::ZERO..=MINUTE));
    let window = section.get("window", |leaf| leaf.duration(100 * MILLISECOND..=10 * MINUTE));
    let samples_min = section.get("min_samples", |leaf| leaf.count(1..=100_000));
    let error_rate = section.get("error_rate", |leaf| leaf.percentage(0..=99 * PERCENT));
    let grace = section.get("grace", |leaf| leaf.duration(Duration::ZERO..=10 * MINUTE));
    let settle = section.get("settle", |leaf| leaf.duration(100 * MILLISECOND..=HOUR));
    let settle_answers = section.get("settle_answers", |leaf| leaf.count(1..=1_000_000));
    let judge_for = section.get("judge_for", |leaf| leaf.duration(SECOND..=DAY));
    let onset = section.get("onset", |leaf| leaf.duration(SECOND..=DAY));
    let propagation = section.get("propagation", |leaf| leaf.duration(Duration::ZERO..=5 * MINUTE));
    let policy = JudgePolicy {
        policy: tested?,
        objectives: objectives?,
        wrong_reverts_one_in: wrong_reverts?,
        tolerate_blip: tolerate_blip?,
        window: window?,
        samples_min: samples_min?,
        error_rate_min: units::share(error_rate?),
        grace: grace?,
        settle: settle?,
        settle_answers: settle_answers?,
        judge_for: judge_for?,
        onset: onset?,
        propagation: propagation?,
        release_rate_hz,
        heard: heard?,
    };
    consistent(&section, &policy).map(|()| policy)
}

/// `[guard]`; the second is `hold_file`.
pub(super) fn guard(
    root: &Section<'_>,
    mode: Result<Mode, Noted>,
    judge: &Result<JudgePolicy, Noted>,
    targets: &[Target],
    has_lever: bool,
) -> Result<(GuardPolicy, Option<PathBuf>), Noted> {
    let section = root.section("guard");
    let revert_style = root.get("revert_style", |leaf| {
        leaf.choice(&[("weights", Style::Weights), ("exclusive", Style::Exclusive)])
    });
    let cool_down = section.get("cool_down", |leaf| leaf.duration(Duration::ZERO..=7 * DAY));
    let reverts_per_hour = section.get("reverts_per_hour", |leaf| leaf.count(1..=10));
    let reverts_per_day = section.get("reverts_per_day", |leaf| leaf.count(1..=100));
    let healthy_min = section.get("min_healthy", |leaf| leaf.count(1..=10_000));
    let capacity = section.get("min_capacity", |leaf| leaf.percentage(PERCENT..=100 * PERCENT));
    let verify_answers = section.get("verify_answers", |leaf| leaf.count(1..=1000));
    let verify_for = section.get("verify_for", |leaf| leaf.duration(SECOND..=10 * MINUTE));
    let hold_file = section.maybe("hold_file", Leaf::path);
    let judge = judge.as_ref().map_err(|noted| *noted)?;
    let policy = GuardPolicy {
        mode: mode?,
        cool_down: cool_down?,
        reverts_per_hour_max: reverts_per_hour?,
        reverts_per_day_max: reverts_per_day?,
        healthy_min: healthy_min?,
        capacity_min: units::share(capacity?),
        evidence_age_max: EVIDENCE_AGE_MAX,
        revert_style: revert_style?,
        verify_answers: verify_answers?,
        verify_for: verify_for?,
        has_lever,
        versions_known: targets.iter().any(|target| target.version_header.is_some()),
        settle: judge.settle,
        settle_answers: judge.settle_answers,
        judge_for: judge.judge_for,
        heard: judge.heard,
    };
    if judge.heard != Heard::Directly && policy.healthy_min > 1 {
        let rule =
            "a version of a function is one target, whatever its concurrency: more would refuse every revert";
        return Err(section.refuse("min_healthy", Fault::new(rule, "leave it at 1")));
    }
    if policy.reverts_per_day_max < policy.reverts_per_hour_max {
        let rule = format!("is less than reverts_per_hour ({})", policy.reverts_per_hour_max);
        return Err(
            section.refuse("reverts_per_day", Fault::new(rule, "a day allows at least what an hour does"))
        );
    }
    Ok((policy, hold_file?))
}

/// `judge.policy` and the sections of its policies.
fn policies(section: &Section<'_>) -> Result<Policies, Noted> {
    let threshold = threshold(&section.section("threshold"));
    let burns = section.section("burn_rate").get("windows", burns);
    let chosen = section.get("policy", chosen);
    let (threshold, burns, (join, names)) = (threshold?, burns?, chosen?);
    let test = |name: &str| match name {
        "threshold" => Policy::Threshold(threshold),
        "burn_rate" => Policy::BurnRate(burns.clone()),
        "baseline" => Policy::Baseline,
        _ => Policy::Sequential,
    };
    Ok(Policies { join, tests: names.into_iter().map(test).collect() })
}

/// `"sequential"`, `{ any = ["sequential", "burn_rate"] }` or `{ all = [..] }`.
fn chosen(leaf: &Leaf<'_>) -> Result<(Join, Vec<&'static str>), Fault> {
    let known = |text: Option<&str>| {
        let name = POLICIES.iter().find(|name| Some(**name) == text);
        name.copied().ok_or_else(|| {
            let names = POLICIES.map(quoted).join(", ");
            let remedy = "several together are { any = [..] } or { all = [..] }";
            Fault::new(format!("only {names} are known here"), remedy)
        })
    };
    let Some((word, node)) = leaf.single() else { return Ok((Join::Any, vec![known(Some(leaf.text()?))?])) };
    let join = match word {
        "any" => Join::Any,
        "all" => Join::All,
        _ => return Err(Fault::new(format!("{} joins no policies", quoted(word)), "write any or all")),
    };
    let items = node.items().unwrap_or_default();
    let names = items.iter().map(|item| known(item.text())).collect::<Result<Vec<_>, _>>()?;
    let mut twice = names.clone();
    twice.sort_unstable();
    twice.dedup();
    if names.len() < 2 || twice.len() < names.len() {
        return Err(Fault::new(
            format!("{word} joins two policies or more, each once"),
            "name one without it",
        ));
    }
    Ok((join, names))
}

/// `[judge.threshold]`.
fn threshold(section: &Section<'_>) -> Result<Threshold, Noted> {
    let held_for = section.get("for", |leaf| leaf.duration(Duration::ZERO..=10 * MINUTE));
    let bad_streak = section.get("bad_streak", |leaf| leaf.count(0..=100_000));
    let good_streak = section.get("good_streak", |leaf| leaf.count(0..=100_000));
    Ok(Threshold { held_for: held_for?, bad_streak: bad_streak?, good_streak: good_streak? })
}

/// `["14.4 in 1h and 5m", "6 in 6h and 30m"]`.
fn burns(leaf: &Leaf<'_>) -> Result<Vec<Burn>, Fault> {
    leaf.list()?.iter().map(|node| burn(node.text().unwrap_or_default())).collect()
}

fn burn(text: &str) -> Result<Burn, Fault> {
    let fault = |rule: String| Fault::new(rule, "write \"14.4 in 1h and 5m\": factor, long and short window");
    let shape = || fault(format!("{} is no pair of windows", quoted(text)));
    let (factor, windows) = text.split_once(" in ").ok_or_else(shape)?;
    let (long, short) = windows.split_once(" and ").ok_or_else(shape)?;
    let factor: f64 = factor.trim().parse().map_err(|_| shape())?;
    let (long, short) = (units::duration(long.trim())?, units::duration(short.trim())?);
    if !(factor > 0.0 && factor <= 1_000_000.0) {
        return Err(fault(format!("{factor} is no factor: more than 0, at most 1000000")));
    }
    if short < SECOND || short >= long || long > 3 * DAY {
        let rule = format!(
            "the short window ({}) is at least 1s and shorter than the long one ({}), which is 3 days at most",
            units::show(short),
            units::show(long)
        );
        return Err(fault(rule));
    }
    Ok(Burn { factor, long, short })
}

/// Rules between the keys of `[judge]`, each of which would make judging impossible in silence.
fn consistent(section: &Section<'_>, policy: &JudgePolicy) -> Result<(), Noted> {
    let mut checked = Ok(());
    let mut refuse = |name: &str, rule: String, remedy: &str| {
        checked = Err(section.refuse(name, Fault::new(rule, remedy)));
    };
    let show = units::show;
    if policy.tolerate_blip >= policy.window {
        let rule = format!("a blip as long as the window ({}) would hide every breach", show(policy.window));
        refuse("tolerate_blip", rule, "shorten it, or lengthen judge.window");
    }
    let answers = policy.window.as_secs_f64() * policy.release_rate_hz;
    if answers + 1e-9 < f64::from(policy.samples_min) {
        let rule = format!(
            "a window of {} at {} holds {answers:.0} answers, fewer than min_samples ({}): no verdict would ever come",
            show(policy.window),
            units::show_rate(policy.release_rate_hz),
            policy.samples_min
        );
        refuse("window", rule, "lengthen the window, quicken pace.release, or lower min_samples");
    }
    // Without a rate, which was refused then, nothing is known of what could be seen.
    let tests = if policy.release_rate_hz.is_finite() { Test::of(policy) } else { Vec::new() };
    for (index, test) in tests {
        let (fewest, memory) = (test.fewest_bad(), test.remembers);
        let name = policy.objectives.all.get(index).map_or("", |objective| objective.scope.name());
        let of = if name.is_empty() { String::new() } else { format!(" of {}", quoted(name)) };
        if fewest > memory {
            let rule = format!(
                "an objective{of} is asked {}, and the {memory} answers that are looked at can't prove a breach, which takes {fewest} bad ones in a row: it would never be seen",
                units::show_rate(test.rate_hz)
            );
            refuse(
                "window",
                rule,
                "quicken pace.release, give its targets more weight, or lengthen the window",
            );
        } else if test.tolerate_blip.as_secs_f64() * test.rate_hz
            >= f64::from(u32::try_from(memory).unwrap_or(u32::MAX))
        {
            let rule = format!(
                "a blip as long as the {memory} answers that are looked at{of} would hide every breach"
            );
            refuse("tolerate_blip", rule, "shorten it, or lengthen judge.window");
        }
    }
    if policy.onset > policy.judge_for {
        let rule =
            format!("is later than judge_for ({}), which ends the authority to act", show(policy.judge_for));
        refuse("onset", rule, "shorten onset, or lengthen judge_for");
    }
    if policy.grace + policy.settle > policy.judge_for {
        let rule = format!(
            "grace ({}) and settle ({}) don't fit into it: no state could ever be judged good",
            show(policy.grace),
            show(policy.settle)
        );
        refuse("judge_for", rule, "lengthen judge_for");
    }
    checked
}
