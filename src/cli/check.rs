//! `serin check`: what is in force, what it costs the service, and whether it could ever act.

mod cost;
mod power;

use super::{ConfigArgs, Failure, say};
use crate::app;
use crate::publish::names::{Cardinality, cardinality};
use crate::settings::{self, Settings};
use clap::Args;
use std::fmt::Write;

/// `serin check`
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Also ask AWS about each listener, and each target once.
    #[arg(long)]
    live: bool,
    /// Also tell what each objective can see: the smallest regression, how soon others are found, and the odds of a false alarm.
    #[arg(long)]
    power: bool,
    /// Also tell what it costs a month at AWS, item by item, and what other ways to be told would.
    #[arg(long)]
    cost: bool,
    /// With --cost: deployments a day of each service. Only the probes of a function depend on them.
    #[arg(long, value_name = "N", default_value_t = 5.0, value_parser = deployments)]
    deployments: f64,
    /// Refuse a configuration that costs more a month, in USD; implies --cost.
    #[arg(long, value_name = "USD", value_parser = usd)]
    cost_max: Option<f64>,
    /// For programs.
    #[arg(long)]
    json: bool,
}

fn deployments(text: &str) -> Result<f64, String> {
    number(text).filter(|n| *n <= 1_000.0).ok_or_else(|| format!("{text:?} is no number from 0 to 1000"))
}

fn usd(text: &str) -> Result<f64, String> {
    number(text).ok_or_else(|| format!("{text:?} is no amount: a number of USD, 0 or more"))
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0)
}

pub(super) fn check(args: &CheckArgs) -> Result<(), Failure> {
    let settings = settings::load(&args.config.sources())?;
    let budget = app::fits(&settings);
    let bill = (args.cost || args.cost_max.is_some()).then(|| cost::Bill::of(&settings, args.deployments));
    let live = if args.live { Some(super::runtime()?.block_on(app::look(&settings))) } else { None };
    if args.json {
        let mut value = settings::explain_json(&settings);
        if let Some(live) = &live {
            value["live"] = live.iter().map(app::Look::json).collect();
        }
        if args.power {
            value["power"] = power::json(&settings);
        }
        if let Some(bill) = &bill {
            value["cost"] = bill.json();
        }
        let series = series(&settings);
        value["series"] = serde_json::json!({
            "most": series.series,
            "of_each_url": series.of_target,
            "samples_of_a_scrape": series.samples,
            "cloudwatch": series.cloudwatch,
        });
        value["budget"] = match &budget {
            Ok(budget) => serde_json::json!({
                "cpus_needed": budget.cpus_needed,
                "cpus_given": budget.cpus_given,
                "threads": budget.threads,
                "descriptors_needed": budget.descriptors_needed,
                "descriptors_given": budget.descriptors_given,
            }),
            Err(error) => serde_json::json!({ "refused": error.to_string() }),
        };
        say(&format!("{value:#}\n"))?;
    } else {
        say(&settings::explain(&settings))?;
        if let Ok(budget) = &budget {
            say(&format!("  probes: {budget}\n"))?;
        }
        let most = series(&settings);
        say(&format!(
            "  series: at most {} ({} a URL), {} samples a scrape with classic histograms; CloudWatch would have {} metrics\n",
            most.series, most.of_target, most.samples, most.cloudwatch
        ))?;
        if args.power {
            say(&power::words(&settings))?;
        }
        if let Some(bill) = &bill {
            say(&bill.words())?;
        }
        say(&words(&settings, live.as_deref()))?;
    }
    if let Err(error) = budget {
        return Err(Failure::Config(format!("serin run would refuse this here: {error}")));
    }
    if let Some((bill, max)) = bill.as_ref().zip(args.cost_max).filter(|(bill, max)| bill.total() > *max) {
        return Err(Failure::Config(format!(
            "--cost-max {max}: it costs {:.2} USD a month; fewer targets, a longer publish.cloudwatch.interval, or OTLP instead",
            bill.total()
        )));
    }
    match live.iter().flatten().filter(|look| look.fault).count() {
        0 => Ok(()),
        faults => Err(Failure::Failed(anyhow::anyhow!("{faults} of the live checks failed, see above"))),
    }
}

/// What can be told of it, whoever is told.
fn series(settings: &Settings) -> Cardinality {
    let targets = settings.services.iter().map(|service| service.targets.len());
    cardinality(&targets, &settings.process.publish.aliases)
}

fn words(_settings: &Settings, live: Option<&[app::Look]>) -> String {
    let mut text = String::new();
    let Some(live) = live else { return text };
    let _ = writeln!(text, "\nlive");
    for look in live {
        let sign = if look.fault { "✗" } else { "✓" };
        let _ = writeln!(text, "  {sign} {}: {}: {}", look.service, look.what, look.says);
        if let Some(why) = &look.never {
            let _ = writeln!(text, "  ! {}: will never act: {why}", look.service);
        }
    }
    text
}
