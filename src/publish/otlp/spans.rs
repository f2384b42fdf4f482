//! A span for each probe that failed, or was drawn to be traced. Its ids are those of the probe's `traceparent`, so that what the
//! service keeps of it is in the same trace.

use super::EXPORT_MAX;
use super::feed::Feed;
use super::watch::Watch;
use super::wire::Wire;
use crate::clock;
use crate::model::sample::{Outcome, Phases, Purpose};
use crate::model::time::Mono;
use crate::model::trace::{Link, Traced};
use crate::publish::{Dated, Item};
use opentelemetry::trace::{
    Link as SpanLink, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;

/// Spans of one export at most.
const BATCH: usize = 512;
/// They wait for each other so long.
const PAUSE: Duration = Duration::from_secs(1);

/// The exporter over `wire`.
pub(super) fn exporter(feed: &Feed, wire: Wire) -> Result<SpanExporter, ExporterBuildError> {
    SpanExporter::builder()
        .with_http()
        .with_http_client(wire)
        .with_endpoint(feed.endpoint.to_string())
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(EXPORT_MAX)
        .build()
}

/// Sends until `items` ends. Cancel-safe up to the export that is under way.
pub(super) async fn run(
    mut exporter: SpanExporter,
    watch: Watch,
    resource: Resource,
    mut items: mpsc::Receiver<Dated>,
) {
    exporter.set_resource(&resource);
    let scope = InstrumentationScope::builder("serin").build();
    let mut waiting = Vec::new();
    while items.recv_many(&mut waiting, BATCH).await > 0 {
        let spans: Vec<SpanData> = waiting
            .drain(..)
            .filter_map(|Dated { item, .. }| match item {
                Item::Probe(service, traced) => {
                    watch.skipped(traced.untold);
                    Some(span(&service, &traced, &scope, (clock::now(), wall())))
                }
                _ => None,
            })
            .collect();
        let count = spans.len();
        watch.told(&exporter.export(spans).await, count);
        if items.is_closed() && items.is_empty() {
            break;
        }
        tokio::time::sleep(if items.is_closed() { Duration::ZERO } else { PAUSE }).await;
    }
}

fn wall() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(clock::wall_nanos())
}

/// `now`: an instant by both clocks, which is what a probe's own instants are told by.
fn span(service: &str, traced: &Traced, scope: &InstrumentationScope, now: (Mono, SystemTime)) -> SpanData {
    let (sample, trace) = (&traced.sample, &traced.trace);
    let wall = |at: Mono| now.1.checked_sub(now.0.since(at)).unwrap_or(now.1);
    let flags = if trace.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    SpanData {
        span_context: context((trace.id, trace.span), flags, false),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Client,
        name: traced.method.to_string().into(),
        start_time: wall(sample.due.after(sample.phases.wake.duration())),
        end_time: wall(sample.done()),
        attributes: attributes(service, traced),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: links(traced.link),
        status: match sample.outcome.reason() {
            Some(reason) if sample.outcome != Outcome::Ok => Status::error(reason),
            _ => Status::Unset,
        },
        instrumentation_scope: scope.clone(),
    }
}

/// HTTP's semantic conventions, then our own.
fn attributes(service: &str, traced: &Traced) -> Vec<KeyValue> {
    let sample = &traced.sample;
    let uri: http::Uri = traced.url.parse().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let purpose = if sample.purpose == Purpose::Direct { "direct" } else { "production" };
    let mut all = vec![
        KeyValue::new("http.request.method", traced.method.to_string()),
        KeyValue::new("url.full", traced.url.to_string()),
        KeyValue::new("server.address", uri.host().unwrap_or_default().to_owned()),
        KeyValue::new("server.port", i64::from(port)),
        KeyValue::new("user_agent.synthetic.type", "test"),
        KeyValue::new("serin.service", service.to_owned()),
        KeyValue::new("serin.target", traced.target.to_string()),
        KeyValue::new("serin.purpose", purpose),
    ];
    if sample.status != 0 {
        all.push(KeyValue::new("http.response.status_code", i64::from(sample.status)));
    }
    if let Some(reason) = sample.outcome.reason() {
        all.push(KeyValue::new("error.type", reason));
    }
    if let Some(version) = &traced.version {
        all.push(KeyValue::new("serin.target.version", version.to_string()));
    }
    if let Some(link) = traced.link.filter(|link| link.span == 0) {
        let id = format!("{:032x}", link.id);
        all.push(KeyValue::new("aws.xray.trace_id", format!("1-{}-{}", &id[..8], &id[8..])));
    }
    // Where its time went, seconds.
    let phases = Phases::NAMES.iter().zip(sample.phases.all()).filter(|(_, span)| span.0 > 0);
    all.extend(
        phases
            .map(|(name, span)| KeyValue::new(format!("serin.phase.{name}"), span.duration().as_secs_f64())),
    );
    all
}

fn links(link: Option<Link>) -> SpanLinks {
    let mut links = SpanLinks::default();
    links.links.extend(link.filter(|link| link.span != 0).map(|link| {
        let flags = if link.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        SpanLink::with_context(context((link.id, link.span), flags, true))
    }));
    links
}

fn context((id, span): (u128, u64), flags: TraceFlags, remote: bool) -> SpanContext {
    let (id, span) = (TraceId::from_bytes(id.to_be_bytes()), SpanId::from_bytes(span.to_be_bytes()));
    SpanContext::new(id, span, flags, remote, TraceState::NONE)
}
