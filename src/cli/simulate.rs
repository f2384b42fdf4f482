//! `serin simulate`: when would each policy have acted, and how often would it have been wrong?

mod plot;

use super::{ConfigArgs, Failure, say};
use crate::settings::{self, Service};
use crate::simulate::{self, Kind, Played, Recording, Row, Rules, Story, Summary, Usual};
use anyhow::Context;
use clap::Args;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The policies that are compared when none is named, beside the configured one.
const POLICIES: [&str; 4] = ["sequential", "threshold", "burn_rate", "baseline"];

/// `serin simulate`
#[derive(Args, Debug)]
#[command(
    after_help = "Synthetic scenarios: quiet, bursts and diurnal are good releases; outage, hang, flapping, ramp, slow-burn, \
errors=5% (a share of the answers) and slow=2x (P95 at twice its limit) are bad ones. The old version is always good: asked directly, and in what it answers of a step. \
Calls of AWS are taken to need 30 ms each, a write to disk 10 ms."
)]
pub(super) struct SimulateArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Of a configuration of several services: which one.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// A scenario; may be repeated. Default: thirteen of them, unless --recorded is given.
    #[arg(long, value_name = "NAME", value_parser = Kind::parse)]
    scenario: Vec<Kind>,
    /// Samples that were kept of a past release (samples-r<N>.jsonl in evidence.dir); may be repeated.
    #[arg(long, value_name = "FILE")]
    recorded: Vec<PathBuf>,
    /// A policy to compare; may be repeated. Default: the configured one, sequential, threshold, `burn_rate` and baseline.
    #[arg(long, value_name = "POLICY", value_parser = POLICIES)]
    policy: Vec<String>,
    /// How many releases of each scenario.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    releases: u64,
    /// The seed of the first release; the same seed plays the same release.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// When it begins, after the cutover.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    after: Duration,
    /// How long a release is played after its cutover. Default: `judge.judge_for`.
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    horizon: Option<Duration>,
    /// The release is a step: the new version gets this share of the requests, and the old one the others.
    #[arg(long, value_name = "SHARE", default_value = "100%", value_parser = share)]
    share: u8,
    /// Write a page with a chart of each scenario.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// For programs.
    #[arg(long)]
    json: bool,
}

/// One scenario with a release of it to be drawn.
struct Drawn {
    scenario: String,
    onset: Duration,
    /// Share of bad answers a second since the cutover, of the release that was judged longest.
    seconds: Vec<(u32, u32)>,
    rows: Vec<Row>,
}

pub(super) fn simulate(args: &SimulateArgs) -> Result<(), Failure> {
    let service = service_of(args, None)?;
    let horizon = args.horizon.unwrap_or(service.judge.judge_for);
    if horizon <= args.after && args.recorded.is_empty() {
        return Err(Failure::Usage(
            "--after lies behind the end of the release (--for, or judge.judge_for)".into(),
        ));
    }
    let policies = policies(args, &service, horizon)?;
    let timeout = service.targets.iter().map(|target| target.timeout).max().unwrap_or(Duration::from_secs(1));
    let usual = policies
        .first()
        .map(|(_, rules)| Usual::of(rules, timeout))
        .ok_or_else(|| Failure::Usage("no policy is named".into()))?;
    let kinds: &[Kind] = match (args.scenario.as_slice(), args.recorded.as_slice()) {
        ([], []) => &Kind::USUAL,
        (kinds, _) => kinds,
    };
    let stories: Vec<Story> = kinds.iter().map(|kind| Story { kind: *kind, onset: args.after }).collect();
    let mut drawn: Vec<Drawn> = Vec::new();
    if !args.json {
        say(&heading(&service, args, horizon))?;
    }
    for path in &args.recorded {
        let recording = simulate::read(path).map_err(anyhow::Error::from)?.with_lead(usual);
        if !args.json {
            say(&told(path, &recording))?;
        }
        for (name, rules) in &policies {
            let mut rules = rules.clone();
            rules.horizon = horizon.max(recording.after());
            let played = simulate::play(&rules, &mut recording.clone());
            let scenario = path.display().to_string();
            let row = Row::of(scenario, name.clone(), std::slice::from_ref(&played), Duration::ZERO, None);
            take(&mut drawn, &row, &played, Duration::ZERO, args.json)?;
        }
    }
    let mut shown = Ok(());
    let of = (args.releases, args.seed);
    simulate::rows(&policies, &stories, usual, of, |row, first| {
        if shown.is_ok() {
            shown = take(&mut drawn, row, first, args.after, args.json);
        }
    });
    shown?;
    if args.json {
        let rows: Vec<&Row> = drawn.iter().flat_map(|drawn| &drawn.rows).collect();
        let value = serde_json::json!({
            "service": service.name,
            "configured": policies.first().map(|(name, _)| name),
            "release_rate_hz": service.release_rate_hz(),
            "for_seconds": horizon.as_secs_f64(),
            "after_seconds": args.after.as_secs_f64(),
            "share_percent": args.share,
            "seed": args.seed,
            "results": rows,
        });
        say(&format!("{value:#}\n"))?;
    } else if let Some(drawn) = drawn.iter().find(|drawn| drawn.rows.iter().any(|row| row.reverted > 0)) {
        say(&plot::terminal(drawn))?;
    }
    if let Some(path) = &args.html {
        let page = plot::page(&service.name, &drawn)?;
        std::fs::write(path, page).with_context(|| format!("can't write {}", path.display()))?;
    }
    Ok(())
}

/// Keeps a row with the release that is drawn, and shows it.
fn take(
    drawn: &mut Vec<Drawn>,
    row: &Row,
    first: &Played,
    onset: Duration,
    quiet: bool,
) -> Result<(), Failure> {
    if drawn.last().is_none_or(|last| last.scenario != row.scenario) {
        drawn.push(Drawn { scenario: row.scenario.clone(), onset, seconds: Vec::new(), rows: Vec::new() });
    }
    if let Some(last) = drawn.last_mut() {
        if last.seconds.len() < first.seconds.len() {
            last.seconds.clone_from(&first.seconds);
        }
        last.rows.push(row.clone());
    }
    if quiet { Ok(()) } else { say(&line(row)) }
}

/// `10%`, from 1 to 100.
fn share(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').and_then(|number| number.trim().parse().ok());
    number
        .filter(|share| (1..=100).contains(share))
        .ok_or_else(|| format!("{text:?} is no share: a whole number from 1% to 100%"))
}

/// The service, under one policy or as it is configured.
fn service_of(args: &SimulateArgs, policy: Option<&str>) -> Result<Service, Failure> {
    let mut config = args.config.clone();
    config.set.extend(policy.map(|policy| ("judge.policy".to_owned(), policy.to_owned())));
    let mut services = settings::load(&config.sources())?.services;
    let names: Vec<String> = services.iter().map(|service| service.name.clone()).collect();
    let wanted = match &args.service {
        Some(name) => services.iter().position(|service| service.name == *name),
        None => (services.len() == 1).then_some(0),
    };
    let wanted = wanted.ok_or_else(|| {
        Failure::Usage(format!("--service names one of those that are configured: {}", names.join(", ")))
    })?;
    Ok(services.swap_remove(wanted))
}

/// Each policy with its name; the configured one first, unless others are asked for.
fn policies(
    args: &SimulateArgs,
    service: &Service,
    horizon: Duration,
) -> Result<Vec<(String, Rules)>, Failure> {
    let configured = service.judge.policy.to_string();
    let mut policies = Vec::new();
    let of = |service: &Service| {
        let mut rules = Rules::of(service, horizon);
        rules.share = args.share;
        rules
    };
    if args.policy.is_empty() {
        policies.push((configured.clone(), of(service)));
    }
    let named: Vec<&str> = args.policy.iter().map(String::as_str).collect();
    let others = if named.is_empty() { POLICIES.to_vec() } else { named };
    for name in others.into_iter().filter(|name| *name != configured || !args.policy.is_empty()) {
        policies.push((name.to_owned(), of(&service_of(args, Some(name))?)));
    }
    Ok(policies)
}

fn heading(service: &Service, args: &SimulateArgs, horizon: Duration) -> String {
    let step = if args.share < 100 {
        format!(", of which the new version gives {} %", args.share)
    } else {
        String::new()
    };
    let mut text = format!(
        "{}: {} releases of each scenario, seed {}, {} answers a second{step}; it begins {} after the cutover and ends with {}\n",
        service.name,
        args.releases,
        args.seed,
        service.release_rate_hz(),
        humantime::format_duration(args.after),
        humantime::format_duration(horizon),
    );
    if service.has_lever() && !service.asks_directly() {
        text.push_str(
            "the old version can't be asked past its alias: its word is what it answers in production\n",
        );
    }
    text.push('\n');
    let _ = writeln!(
        text,
        "{:<16} {:<24} {:>9} {:>9} {:>6} {:>7} {:>19} {:>19}",
        "scenario",
        "policy",
        "releases",
        "reverted",
        "wrong",
        "missed",
        "found median, p99",
        "acted median, p99"
    );
    text
}

fn told(path: &Path, recording: &Recording) -> String {
    let mut text = format!(
        "{}: {:.0} s before the cutover, {:.0} s after it, {} URLs; what it lacks before it is made up of good answers\n",
        path.display(),
        recording.before().as_secs_f64(),
        recording.after().as_secs_f64(),
        recording.urls
    );
    if recording.left_out > 0 {
        let _ = writeln!(text, "  {} bad samples were not kept when it was recorded", recording.left_out);
    }
    text
}

fn line(row: &Row) -> String {
    let times = |summary: Option<Summary>| {
        summary.map_or_else(|| "-".to_owned(), |s| format!("{:.2} s, {:.2} s", s.median, s.p99))
    };
    let count = |count: Option<u64>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
    let mut text = format!(
        "{:<16} {:<24} {:>9} {:>9} {:>6} {:>7} {:>19} {:>19}",
        row.scenario,
        row.policy,
        row.releases,
        row.reverted,
        count(row.wrong),
        count(row.missed),
        times(row.detected),
        times(row.acted)
    );
    if !row.refused.is_empty() {
        let _ = write!(text, "  refused: {}", row.refused.join(", "));
    }
    text.push('\n');
    text
}
