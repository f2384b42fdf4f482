//! `serin generate`: what others need to know of a configuration, as code.

mod cloudwatch;

use super::{ConfigArgs, Failure, say};
use crate::settings;
use clap::{Args, Subcommand};

/// `serin generate`
#[derive(Args, Debug)]
pub(super) struct GenerateArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print a CloudFormation template (JSON) with alarms, one composite alarm a service, and a dashboard.
    ///
    /// The alarms are on the figures that [publish.cloudwatch] sends: not armed (or, where a service only observes, silent), a
    /// breach, blind, and each promise of the service itself, errors at 14.4 times what is promised. Missing data is the alarm of
    /// the first, so that a dead Serin is told. The composite alarm of a service tells the SNS topic that the template's
    /// only parameter names; while that is empty, nobody.
    ///
    ///   serin generate cloudwatch --config serin.toml > alarms.json
    ///   aws cloudformation deploy --stack-name shop --template-file alarms.json --parameter-overrides AlarmTopic=arn:aws:sns:…
    ///
    /// Exit codes: 0 printed, 64 the command line is wrong, 78 the configuration is wrong or sends nothing to CloudWatch.
    #[command(verbatim_doc_comment)]
    Cloudwatch(CloudwatchArgs),
}

#[derive(Args, Debug)]
struct CloudwatchArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn generate(args: &GenerateArgs) -> Result<(), Failure> {
    let What::Cloudwatch(args) = &args.what;
    let settings = settings::load(&args.config.sources())?;
    let Some(told) = &settings.process.publish.cloudwatch else {
        return Err(Failure::Config(
            "[publish.cloudwatch] is not there, so CloudWatch gets nothing that an alarm could see: add it, as in \
             namespace = \"Serin\""
                .into(),
        ));
    };
    say(&format!("{:#}\n", cloudwatch::template(&settings.services, told)))
}
