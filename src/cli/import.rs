//! `serin import`: objectives that another tool keeps, as Serin's own.

use super::{Failure, say};
use crate::settings::{self, Unit};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// `serin import`
#[derive(Args, Debug)]
pub(super) struct ImportArgs {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    /// Print the [objectives] that OpenSLO v1 documents stand for, as TOML; what doesn't map is refused with its reason and place.
    ///
    /// A ratioMetric of good or bad answers and total becomes availability. A thresholdMetric with op lte (or lt) becomes a
    /// quantile: target 0.95 with value 0.25 is p95 = "250ms". Serin has p50, p75, p90, p95, p98, p99 and p999; a target between
    /// them is refused. Only budgetingMethod Occurrences is what Serin counts. A rolling timeWindow of other than 30 days is
    /// accepted and told in a comment, because a release is judged by the share alone; a calendar window is refused.
    ///
    /// The output has no `service` and is a layer as it is (--config OUTPUT.toml,SERVICE.toml), or is copied into a file.
    ///
    /// Exit codes: 0 printed, 64 the command line is wrong, 78 at least one objective can't be had as it is written.
    Openslo(OpensloArgs),
}

#[derive(Args, Debug)]
struct OpensloArgs {
    /// Documents of kind SLO and SLI: .yaml or .yml with one or several, .json with one. An SLI may stand in another file than
    /// the SLO that names it.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Only SLOs of this `spec.service`; needed where the files have those of several.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// What `value` of a latency objective counts; OpenSLO doesn't say it.
    #[arg(long, value_enum, default_value_t = LatencyUnit::S)]
    unit: LatencyUnit,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LatencyUnit {
    /// Seconds, as Prometheus has them.
    S,
    /// Milliseconds.
    Ms,
}

pub(super) fn import(args: &ImportArgs) -> Result<(), Failure> {
    let From::Openslo(args) = &args.from;
    let unit = match args.unit {
        LatencyUnit::S => Unit::Seconds,
        LatencyUnit::Ms => Unit::Milliseconds,
    };
    say(&settings::import_openslo(&args.files, args.service.as_deref(), unit)?)
}
