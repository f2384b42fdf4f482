//! Where OTLP goes: the file first, then the variables that every OpenTelemetry program understands.

use super::sigv4;
use crate::publish::PublishError;
use crate::settings::{self, OtlpProtocol, Signal};
use http::uri::PathAndQuery;
use http::{HeaderMap, Uri};
use std::time::Duration;

/// Ten seconds rather than the SDK's minute: a release is over within a few.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long one attempt may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where to, how often, and with what.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    /// The whole URL, the path of the signal or of the call included.
    pub(super) endpoint: Uri,
    pub(super) protocol: OtlpProtocol,
    /// Between two exports.
    pub(super) interval: Duration,
    /// Of one attempt.
    pub(super) timeout: Duration,
    /// From the file; those of the environment are the SDK's to read.
    pub(super) headers: HeaderMap,
    /// The region of AWS that each request is signed for, if the file says so.
    pub(super) sigv4: Option<String>,
    /// Somebody wrote the endpoint for us; else a platform set it, maybe for others.
    pub(super) ours: bool,
}

/// What the variables and the protocols call a signal.
struct Called {
    /// Inside the names of variables.
    variable: &'static str,
    /// Over HTTP, after the base URL.
    path: &'static str,
    /// Over gRPC.
    call: &'static str,
}

const fn called(signal: Signal) -> Called {
    match signal {
        Signal::Metrics => Called {
            variable: "METRICS",
            path: "/v1/metrics",
            call: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        },
        Signal::Logs => Called {
            variable: "LOGS",
            path: "/v1/logs",
            call: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        },
        Signal::Traces => Called {
            variable: "TRACES",
            path: "/v1/traces",
            call: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        },
    }
}

/// The names of the variable `kind` of the exporter, that of the signal alone first: it counts more.
pub(super) fn variables(signal: Signal, kind: &str) -> [String; 2] {
    [format!("OTEL_EXPORTER_OTLP_{}_{kind}", called(signal).variable), format!("OTEL_EXPORTER_OTLP_{kind}")]
}

/// Why the environment's endpoint isn't taken.
fn not_meant(signal: Signal, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let name = format!("OTEL_{}_EXPORTER", called(signal).variable);
    let exporters = variable(&name)?;
    let otlp = exporters.split(',').any(|exporter| exporter.trim().eq_ignore_ascii_case("otlp"));
    (!otlp).then(|| format!("{name} = {exporters:?} doesn't name otlp"))
}

/// How the environment wants it spoken.
fn protocol(
    signal: Signal,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<OtlpProtocol>, String> {
    let found = variables(signal, "PROTOCOL").into_iter().find_map(|name| Some((variable(&name)?, name)));
    match found.as_ref().map(|(value, name)| (value.trim(), name)) {
        None => Ok(None),
        Some(("http/protobuf", _)) => Ok(Some(OtlpProtocol::HttpProtobuf)),
        Some(("grpc", _)) => Ok(Some(OtlpProtocol::Grpc)),
        Some((value, name)) => Err(format!("{name} = {value:?}: http/protobuf and grpc are spoken")),
    }
}

/// What `settings` and the environment name; `None` when neither does, or `OTEL_SDK_DISABLED` forbids it.
pub(super) fn choose(
    signal: Signal,
    settings: Option<&settings::Otlp>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Feed>, PublishError> {
    let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    if settings.is_some_and(|otlp| !otlp.signals.contains(&signal)) {
        return Ok(None);
    }
    let [own, general] = variables(signal, "ENDPOINT");
    let base = settings.map(|otlp| otlp.endpoint.to_string());
    // The signal's own variable is taken as it is; the others are bases.
    let own = variable(&own).filter(|_| base.is_none());
    let Some(named) = own.clone().or(base).or_else(|| variable(&general)) else { return Ok(None) };
    if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        tracing::info!(signal = signal.name(), "OTLP is off: OTEL_SDK_DISABLED says so");
        return Ok(None);
    }
    let protocol = match settings {
        Some(otlp) => otlp.protocol,
        None => match not_meant(signal, variable).map_or_else(|| protocol(signal, variable), Err) {
            Ok(protocol) => protocol.unwrap_or(OtlpProtocol::HttpProtobuf),
            Err(why) => {
                tracing::warn!(signal = signal.name(), %why, "OTLP is off");
                return Ok(None);
            }
        },
    };
    let insecure = || {
        let found = variables(signal, "INSECURE").into_iter().find_map(|name| variable(&name));
        found.is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
    };
    let endpoint = match protocol {
        OtlpProtocol::HttpProtobuf if own.is_some() => named.parse().ok(),
        OtlpProtocol::HttpProtobuf => {
            format!("{}{}", named.trim_end_matches('/'), called(signal).path).parse().ok()
        }
        OtlpProtocol::Grpc => at_call(&named, signal, insecure),
    };
    let Some(endpoint) = endpoint else {
        if settings.is_some() {
            return Err(PublishError::OtlpEndpoint);
        }
        unusable();
        return Ok(None);
    };
    let signed = settings.is_some_and(|otlp| otlp.sigv4.is_some()) || sigv4::region(&endpoint).is_some();
    if signed && (signal != Signal::Metrics || protocol == OtlpProtocol::Grpc) {
        tracing::info!(
            signal = signal.name(),
            "OTLP is off: CloudWatch takes metrics here, and those over HTTP"
        );
        return Ok(None);
    }
    let milliseconds = |name: &str| variable(name)?.parse().ok().map(Duration::from_millis);
    Ok(Some(Feed {
        endpoint,
        protocol,
        sigv4: settings.and_then(|otlp| otlp.sigv4.clone()),
        ours: settings.is_some(),
        interval: settings
            .map(|otlp| otlp.interval)
            .or_else(|| milliseconds("OTEL_METRIC_EXPORT_INTERVAL"))
            .unwrap_or(INTERVAL),
        timeout: variables(signal, "TIMEOUT")
            .into_iter()
            .find_map(|name| milliseconds(&name))
            .unwrap_or(TIMEOUT),
        headers: settings.map(|otlp| otlp.headers.clone()).unwrap_or_default(),
    }))
}

/// The URL of the call at `named`, whose path means nothing, and which needs no scheme.
fn at_call(named: &str, signal: Signal, insecure: impl Fn() -> bool) -> Option<Uri> {
    let scheme = if named.contains("://") {
        ""
    } else if insecure() {
        "http://"
    } else {
        "https://"
    };
    let mut parts = format!("{scheme}{named}").parse::<Uri>().ok()?.into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static(called(signal).call));
    Uri::from_parts(parts).ok()
}

/// The environment's endpoint can't be used. It may hold a password, so it isn't shown.
pub(super) fn unusable() {
    let why = PublishError::OtlpEndpoint;
    tracing::warn!(%why, "OTLP is off");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_platform_means_for_others_is_no_reason_to_end() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4317");
        for (more, on) in [
            (("OTEL_METRICS_EXPORTER", "none"), false),
            (("OTEL_METRICS_EXPORTER", "prometheus"), false),
            (("OTEL_METRICS_EXPORTER", "console, otlp"), true),
            (("OTEL_LOGS_EXPORTER", "none"), true),
            (("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), true),
            (("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"), true),
            (("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json"), false),
            (("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/json"), true),
        ] {
            assert_eq!(chosen(None, &[endpoint, more]).is_some(), on, "{more:?}");
            assert!(chosen(Some(&file()), &[endpoint, more]).is_some(), "the file says it: {more:?}");
        }
        let both = [
            endpoint,
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf"),
        ];
        assert!(chosen(None, &both).is_some(), "that of metrics alone counts more");
        assert!(of(Signal::Logs, None, &both).is_none());
        assert!(chosen(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[")]).is_none());
    }

    fn chosen(settings: Option<&settings::Otlp>, variables: &[(&str, &str)]) -> Option<Feed> {
        of(Signal::Metrics, settings, variables)
    }

    fn of(signal: Signal, settings: Option<&settings::Otlp>, variables: &[(&str, &str)]) -> Option<Feed> {
        let find =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        choose(signal, settings, find).expect("a usable feed")
    }

    fn file() -> settings::Otlp {
        settings::Otlp {
            endpoint: Uri::from_static("http://collector:4318/"),
            protocol: OtlpProtocol::HttpProtobuf,
            signals: [Signal::Metrics, Signal::Logs].into(),
            interval: Duration::from_secs(7),
            sigv4: None,
            headers: HeaderMap::new(),
            spool: 0,
        }
    }

    #[test]
    fn nothing_is_sent_unless_somebody_names_an_endpoint() {
        assert!(chosen(None, &[]).is_none());
        assert!(chosen(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).is_none());
    }

    #[test]
    fn the_file_outranks_the_environment() {
        let other = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://other:1"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://other:2"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ];
        let feed = chosen(Some(&file()), &other).expect("a feed");
        assert_eq!(feed.endpoint, "http://collector:4318/v1/metrics");
        assert_eq!(feed.interval, Duration::from_secs(7));
        assert_eq!(of(Signal::Logs, Some(&file()), &[]).expect("a feed").endpoint.path(), "/v1/logs");
        assert!(of(Signal::Traces, Some(&file()), &other).is_none(), "the file doesn't name traces");
    }

    #[test]
    fn the_signal_s_own_variable_is_taken_as_it_is() {
        let feed = chosen(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1/x")]).expect("a feed");
        assert_eq!(feed.endpoint, "http://a:1/x/v1/metrics");
        let own = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://b:1/own");
        let feed = chosen(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1"), own]).expect("a feed");
        assert_eq!(feed.endpoint, "http://b:1/own");
    }

    #[test]
    fn a_call_needs_no_scheme_and_its_path_is_that_of_the_service() {
        let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        let insecure = ("OTEL_EXPORTER_OTLP_INSECURE", "True");
        for (named, more, at) in [
            ("http://a:4317", grpc, "http://a:4317"),
            ("https://a:4317/x", grpc, "https://a:4317"),
            ("a:4317", grpc, "https://a:4317"),
            ("a:4317", insecure, "http://a:4317"),
        ] {
            let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", named), grpc, more];
            let feed = of(Signal::Traces, None, &variables).expect("a feed");
            assert_eq!(feed.protocol, OtlpProtocol::Grpc);
            let call = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
            assert_eq!(feed.endpoint.to_string(), format!("{at}{call}"), "{named}");
        }
    }

    #[test]
    fn cloudwatch_gets_metrics_only_and_over_http() {
        let own = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://monitoring.eu-west-1.amazonaws.com");
        assert!(chosen(None, &[own]).is_some());
        assert!(of(Signal::Logs, None, &[own]).is_none() && of(Signal::Traces, None, &[own]).is_none());
        assert!(chosen(None, &[own, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).is_none());
        let signed = settings::Otlp { sigv4: Some("eu-west-1".into()), ..file() };
        assert_eq!(chosen(Some(&signed), &[]).expect("a feed").sigv4.as_deref(), Some("eu-west-1"));
        assert!(of(Signal::Logs, Some(&signed), &[]).is_none());
    }

    #[test]
    fn the_sdk_s_switch_turns_it_off() {
        assert!(chosen(Some(&file()), &[("OTEL_SDK_DISABLED", "TRUE")]).is_none());
        assert!(chosen(Some(&file()), &[("OTEL_SDK_DISABLED", "1")]).is_some());
    }
}
