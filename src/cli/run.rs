//! `serin run`.

use super::{ConfigArgs, Failure};
use crate::app::{App, Ended, Source};
use crate::settings;
use clap::Args;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// What is left on the threads that wait for disks is given up after this.
const LINGER: Duration = Duration::from_secs(1);

/// `serin run`
#[derive(Args, Debug)]
pub(super) struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &RunArgs) -> Result<(), Failure> {
    let settings = settings::load(&args.config.sources())?;
    super::log::begin(&settings.process.log);
    for service in &settings.services {
        tracing::info!(service = %service.name, load = service.load_line(), "probing");
        if let Some(why) = service.never_acts() {
            tracing::info!(service = %service.name, %why, "will never act");
        }
    }
    let config = args.config.clone();
    let source =
        Source(Arc::new(move || settings::load(&config.sources()).map_err(|error| error.to_string())));
    let archive = super::report::archive(settings.process.evidence.dir.clone());
    let runtime = super::runtime()?;
    let ended = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut stop = pin!(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        // Nothing has begun while AWS is still asked what the levers are, so there is nothing to drain.
        let built = tokio::select! {
            biased;
            () = &mut stop => return Ok(Ended::Drained),
            built = App::build(settings, archive, Some(source)) => built,
        };
        let app = built.map_err(|error| {
            if error.is_configuration() {
                Failure::Config(error.to_string())
            } else {
                Failure::Failed(error.into())
            }
        })?;
        app.run(stop).await.map_err(|error| Failure::Failed(error.into()))
    })?;
    // Whoever still reads an account waits for nothing that matters.
    runtime.shutdown_timeout(LINGER);
    tracing::info!(?ended, "stopped");
    Ok(())
}
