//! A log record for each change of state: what the ledger keeps, for whoever searches logs.
//!
//! The name of the event is `serin.` and that of the ledger's line; its numbers are attributes.

use super::EXPORT_MAX;
use super::feed::Feed;
use super::outgoing::{Count, Outgoing};
use crate::model::message::told;
use crate::model::record::Record;
use crate::model::release::{EpochId, ReleaseId};
use crate::publish::{Dated, Item};
use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity};
use opentelemetry_otlp::{ExporterBuildError, LogExporter, Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{self, LogBatch, SdkLoggerProvider};
use std::borrow::Cow;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;

/// The exporter that hands over to `outgoing`.
pub(super) fn exporter(
    feed: &Feed,
    (outgoing, count): (Outgoing, Count),
) -> Result<Counted, ExporterBuildError> {
    let inner = LogExporter::builder()
        .with_http()
        .with_http_client(outgoing)
        .with_endpoint(feed.endpoint.to_string())
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(EXPORT_MAX)
        .build()?;
    Ok(Counted { inner, count })
}

/// Sends until `items` ends.
pub(super) async fn run(exporter: Counted, resource: Resource, mut items: mpsc::Receiver<Dated>) {
    let provider = SdkLoggerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build();
    let logger = provider.logger("serin");
    while let Some(Dated { at, item }) = items.recv().await {
        let Item::Note(service, record) = item else { continue };
        let Some(event) = event(&record) else { continue };
        let mut line = logger.create_log_record();
        line.set_event_name(event.name);
        line.set_timestamp(
            SystemTime::UNIX_EPOCH + Duration::from_millis(at.0.try_into().unwrap_or_default()),
        );
        line.set_severity_number(event.severity);
        line.set_severity_text(event.severity.name());
        line.set_body(AnyValue::from(event.says.into_owned()));
        line.add_attribute("serin.service", AnyValue::from(service.to_string()));
        for (key, value) in event.numbers {
            line.add_attribute(key, value);
        }
        logger.emit(line);
    }
    // The last batch. It waits for the processor's thread, so it may not hold up a runtime's thread.
    let last = tokio::task::spawn_blocking(move || provider.shutdown()).await;
    if !matches!(last, Ok(Ok(()))) {
        tracing::warn!("the last OTLP export of logs failed");
    }
}

/// What is said of a record.
struct Event<'a> {
    name: &'static str,
    severity: Severity,
    says: Cow<'a, str>,
    numbers: Vec<(&'static str, AnyValue)>,
}

fn event(record: &Record) -> Option<Event<'_>> {
    use Severity::{Error, Info, Warn};

    fn event<'a>(
        name: &'static str,
        severity: Severity,
        says: Cow<'a, str>,
        numbers: Vec<(&'static str, AnyValue)>,
    ) -> Event<'a> {
        Event { name, severity, says, numbers }
    }

    Some(match record {
        Record::Started { version, mode, .. } => {
            event("serin.started", Info, format!("serin {version} watches, mode {mode}").into(), vec![])
        }
        Record::Revised { config, mode } => {
            let numbers = vec![("serin.config", text(config))];
            event(
                "serin.revised",
                Info,
                format!("the configuration was read anew, mode {mode}").into(),
                numbers,
            )
        }
        Record::Epoch { epoch, release, shows, .. } => {
            event("serin.epoch", Info, format!("requests go to {shows}").into(), of(*epoch, *release))
        }
        Record::Release { release, label, from, to, .. } => {
            let named = label.as_ref().map(|label| ("serin.release.label", text(label)));
            let numbers = number("serin.release", release.0).into_iter().chain(named).collect();
            event("serin.release", Info, format!("a release began: from {from} to {to}").into(), numbers)
        }
        Record::Verdict { epoch, verdict, says, .. } => {
            let severity = if **verdict == *"good" { Info } else { Warn };
            let mut numbers = of(*epoch, None);
            numbers.push(("serin.verdict", text(verdict)));
            event("serin.verdict", severity, (&**says).into(), numbers)
        }
        Record::Breach { epoch, release, says, .. } => {
            event("serin.breach", Error, (&**says).into(), of(*epoch, Some(*release)))
        }
        Record::Intent(intent) => {
            let says = format!("{} is about to be put back", intent.before.label());
            event("serin.intent", Warn, says.into(), of(intent.epoch, Some(intent.release)))
        }
        Record::WouldRevert { release, .. } => {
            let says = "it would be put back, if this service weren't observed only";
            event("serin.would_revert", Warn, says.into(), number("serin.release", release.0))
        }
        Record::Wrote { outcome, detail, .. } => {
            let severity = if **outcome == *"accepted" { Info } else { Error };
            let numbers = vec![("serin.outcome", text(outcome))];
            event("serin.wrote", severity, format!("a write was {outcome}: {detail}").into(), numbers)
        }
        Record::Verified { answers, .. } => {
            let says = format!("the revert is proved: {answers} fresh connections answered by it");
            event("serin.verified", Warn, says.into(), vec![])
        }
        Record::Abandoned { why, .. } => event("serin.abandoned", Error, (&**why).into(), vec![]),
        Record::Refused { reason, says, release } => {
            let mut numbers = vec![("serin.reason", text(reason))];
            numbers.extend(release.iter().flat_map(|release| number("serin.release", release.0)));
            event("serin.refused", Error, format!("not reverting: {says}").into(), numbers)
        }
        Record::Held { release, reason, needs_human } => {
            let mut numbers = number("serin.release", release.0);
            numbers.push(("serin.reason", text(reason)));
            let (severity, who) = if *needs_human {
                (Error, "a person is needed")
            } else {
                (Warn, "a person or a new release")
            };
            let says = format!("nothing more is done by itself ({reason}) until there is {who}");
            event("serin.held", severity, says.into(), numbers)
        }
        Record::Kept { release } => {
            let says = "the release is kept: the time to act on it is over";
            event("serin.kept", Info, says.into(), number("serin.release", release.0))
        }
        Record::Drift { shows } => {
            event("serin.drift", Warn, format!("requests go to {shows}; it is left so").into(), vec![])
        }
        Record::Paged { kind, text: says } => {
            event("serin.page", Warn, (&**says).into(), vec![("serin.page.kind", text(kind))])
        }
        Record::Operator { .. } => event("serin.operator", Warn, told(record)?.into(), vec![]),
        Record::Stopped { how } => {
            event("serin.stopped", Info, format!("serin stopped, {how}").into(), vec![])
        }
        Record::Good { .. }
        | Record::NotGood { .. }
        | Record::Seen { .. }
        | Record::FirstBad { .. }
        | Record::Pulse { .. }
        | Record::Preflight { .. }
        | Record::WriteSent { .. }
        | Record::Confirmed { .. } => return None,
    })
}

fn of(epoch: EpochId, release: Option<ReleaseId>) -> Vec<(&'static str, AnyValue)> {
    let release = release.into_iter().flat_map(|release| number("serin.release", release.0));
    number("serin.epoch", epoch.0).into_iter().chain(release).collect()
}

fn number(key: &'static str, number: u32) -> Vec<(&'static str, AnyValue)> {
    vec![(key, AnyValue::Int(number.into()))]
}

fn text(text: &str) -> AnyValue {
    AnyValue::from(text.to_owned())
}

/// What is in an export is told before it is made.
#[derive(Debug)]
pub(super) struct Counted {
    inner: LogExporter,
    count: Count,
}

impl logs::LogExporter for Counted {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        self.count.next(batch.iter().count());
        let outcome = self.inner.export(batch).await;
        self.count.made(&outcome);
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        logs::LogExporter::shutdown_with_timeout(&self.inner, timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
