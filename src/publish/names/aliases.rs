//! What other probers call the figures of one probe, for the dashboards that people have of them.

use super::Label;
use crate::settings::Peer;

/// One figure of the last probe of a URL, by the name that another prober has for it. A gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AliasName {
    /// Whose name it is.
    pub peer: Peer,
    /// Which; its place in [`ALIASES`].
    pub alias: Alias,
    /// As Prometheus has it.
    pub prometheus: &'static str,
    /// As OTLP has it; `None`: it doesn't go there.
    pub otlp: Option<&'static str>,
    /// UCUM, as OTLP wants it.
    pub unit: &'static str,
    /// Beside those that every one has: [`instance`] and the two of ours that tell equal URLs apart.
    pub labels: &'static [Label],
    /// A URL has so many series of it at a time, at most.
    pub series: u64,
    /// One sentence, without the full stop.
    pub meaning: &'static str,
}

/// Which figure. The order is that of [`ALIASES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "what each means stands in ALIASES, once")]
pub enum Alias {
    ProbeSuccess,
    ProbeDuration,
    ProbeLookup,
    ProbePhases,
    ProbeStatus,
    ProbeSsl,
    ProbeRedirects,
    CheckStatus,
    CheckDuration,
    CheckError,
    CheckLookup,
    CheckConnection,
    CheckHandshake,
    CheckRequest,
    CheckResponse,
}

/// What both probers call the URL. Its query may hold a secret, so it goes without.
#[must_use]
pub const fn instance(peer: Peer) -> Label {
    match peer {
        Peer::Blackbox => Label::new("instance", "instance"),
        Peer::HttpCheck => Label::new("http_url", "http.url"),
    }
}

/// Phases by the names of `blackbox_exporter`.
pub const PROBE_PHASES: [&str; 5] = ["resolve", "connect", "tls", "processing", "transfer"];
/// The classes that the receiver knows.
pub const CHECK_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

pub(in crate::publish) const PHASE: Label = Label::new("phase", "phase");
pub(in crate::publish) const METHOD: Label = Label::new("http_method", "http.method");
pub(in crate::publish) const STATUS_CODE: Label = Label::new("http_status_code", "http.status_code");
pub(in crate::publish) const STATUS_CLASS: Label = Label::new("http_status_class", "http.status_class");
pub(in crate::publish) const MESSAGE: Label = Label::new("error_message", "error.message");
pub(in crate::publish) const TRANSPORT: Label = Label::new("network_transport", "network.transport");

const fn probe(
    alias: Alias,
    prometheus: &'static str,
    unit: &'static str,
    (labels, series): (&'static [Label], u64),
    meaning: &'static str,
) -> AliasName {
    AliasName { peer: Peer::Blackbox, alias, prometheus, otlp: None, unit, labels, series, meaning }
}

const fn check(
    alias: Alias,
    (prometheus, otlp): (&'static str, &'static str),
    unit: &'static str,
    (labels, series): (&'static [Label], u64),
    meaning: &'static str,
) -> AliasName {
    AliasName { peer: Peer::HttpCheck, alias, prometheus, otlp: Some(otlp), unit, labels, series, meaning }
}

const ONE: (&[Label], u64) = (&[], 1);

/// The catalogue of them.
pub const ALIASES: [AliasName; 15] = [
    probe(
        Alias::ProbeSuccess,
        "probe_success",
        "1",
        ONE,
        "1 when the last probe found what is expected, 0 when not",
    ),
    probe(
        Alias::ProbeDuration,
        "probe_duration_seconds",
        "s",
        ONE,
        "How long the last probe took, from when our process took it up; absent when it couldn't be sent",
    ),
    probe(
        Alias::ProbeLookup,
        "probe_dns_lookup_time_seconds",
        "s",
        ONE,
        "How long the last probe resolved the name; absent when it had no need to",
    ),
    probe(
        Alias::ProbePhases,
        "probe_http_duration_seconds",
        "s",
        (&[PHASE], PROBE_PHASES.len() as u64),
        "How long the last probe spent in each phase; absent for those that it did without, as on a kept connection",
    ),
    probe(
        Alias::ProbeStatus,
        "probe_http_status_code",
        "1",
        ONE,
        "The status that the last probe got; absent without an answer",
    ),
    probe(
        Alias::ProbeSsl,
        "probe_http_ssl",
        "1",
        ONE,
        "1 when the last answer came over TLS; absent without one",
    ),
    probe(
        Alias::ProbeRedirects,
        "probe_http_redirects",
        "1",
        ONE,
        "Redirects that the last probe followed, which is none; absent without an answer",
    ),
    check(
        Alias::CheckStatus,
        ("httpcheck_status", "httpcheck.status"),
        "1",
        (&[METHOD, STATUS_CLASS, STATUS_CODE], CHECK_CLASSES.len() as u64),
        "1 for the class of the status that the last probe got, 0 for the others; the code is told where it is 1",
    ),
    check(
        Alias::CheckDuration,
        ("httpcheck_duration_milliseconds", "httpcheck.duration"),
        "ms",
        ONE,
        "How long the last probe took, from when our process took it up; absent when it couldn't be sent",
    ),
    check(
        Alias::CheckError,
        ("httpcheck_error", "httpcheck.error"),
        "{error}",
        (&[MESSAGE], 1),
        "1 when the last probe got no whole answer, with the reason of `serin_probe_failures_total` as its message",
    ),
    check(
        Alias::CheckLookup,
        ("httpcheck_dns_lookup_duration_milliseconds", "httpcheck.dns.lookup.duration"),
        "ms",
        ONE,
        "How long the last probe resolved the name; absent when it had no need to",
    ),
    check(
        Alias::CheckConnection,
        ("httpcheck_client_connection_duration_milliseconds", "httpcheck.client.connection.duration"),
        "ms",
        (&[TRANSPORT], 1),
        "How long the last probe took to connect; absent on a kept connection",
    ),
    check(
        Alias::CheckHandshake,
        ("httpcheck_tls_handshake_duration_milliseconds", "httpcheck.tls.handshake.duration"),
        "ms",
        ONE,
        "How long the handshake of the last probe took; absent without one",
    ),
    check(
        Alias::CheckRequest,
        ("httpcheck_client_request_duration_milliseconds", "httpcheck.client.request.duration"),
        "ms",
        ONE,
        "How long the last probe took to hand its request over",
    ),
    check(
        Alias::CheckResponse,
        ("httpcheck_response_duration_milliseconds", "httpcheck.response.duration"),
        "ms",
        ONE,
        "How long the last probe read the body of its answer; absent when that was there at once",
    ),
];
