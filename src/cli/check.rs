//! `serin check`: what is in force, what it costs the service, and whether it could ever act.

mod power;

use super::{ConfigArgs, Failure, say};
use crate::app;
use crate::settings::{self, Settings};
use clap::Args;
use std::fmt::Write;

/// `serin check`
#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Also ask AWS about each listener, and each target once.
    #[arg(long)]
    live: bool,
    /// Also tell what each objective can see: the smallest regression, how soon others are found, and the odds of a false alarm.
    #[arg(long)]
    power: bool,
    /// For programs.
    #[arg(long)]
    json: bool,
}

pub(super) fn check(args: &CheckArgs) -> Result<(), Failure> {
    let settings = settings::load(&args.config.sources())?;
    let budget = app::fits(&settings);
    let live = if args.live { Some(super::runtime()?.block_on(app::look(&settings))) } else { None };
    if args.json {
        let mut value = settings::explain_json(&settings);
        if let Some(live) = &live {
            value["live"] = live.iter().map(app::Look::json).collect();
        }
        if args.power {
            value["power"] = power::json(&settings);
        }
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
        if args.power {
            say(&power::words(&settings))?;
        }
        say(&words(&settings, live.as_deref()))?;
    }
    if let Err(error) = budget {
        return Err(Failure::Config(format!("serin run would refuse this here: {error}")));
    }
    match live.iter().flatten().filter(|look| look.fault).count() {
        0 => Ok(()),
        faults => Err(Failure::Failed(anyhow::anyhow!("{faults} of the live checks failed, see above"))),
    }
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
