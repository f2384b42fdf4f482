//! Where OTLP goes: the file first, then the variables that every OpenTelemetry program understands.

use super::variables::PROTOCOL;
use crate::publish::PublishError;
use crate::settings;
use http::{HeaderMap, Uri};
use std::time::Duration;

/// Ten seconds rather than the SDK's minute: a release is over within a few.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long one attempt may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where to, how often, and with what.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    /// The whole URL, `/v1/metrics` included.
    pub(super) endpoint: Uri,
    /// Between two exports.
    pub(super) interval: Duration,
    /// Of one attempt.
    pub(super) timeout: Duration,
    /// From the file; those of the environment are the SDK's to read.
    pub(super) headers: HeaderMap,
    /// Somebody wrote the endpoint for us; else a platform set it, maybe for others.
    pub(super) ours: bool,
}

/// Why the environment's endpoint isn't taken.
fn not_meant(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let exporters = variable("OTEL_METRICS_EXPORTER").unwrap_or_else(|| "otlp".to_owned());
    if !exporters.split(',').any(|exporter| exporter.trim().eq_ignore_ascii_case("otlp")) {
        return Some(format!("OTEL_METRICS_EXPORTER = {exporters:?} doesn't name otlp"));
    }
    let protocol = ["OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
    let (name, value) = protocol.into_iter().find_map(|name| Some((name, variable(name)?)))?;
    (value.trim() != PROTOCOL).then(|| {
        format!("{name} = {value:?}, and only {PROTOCOL} is spoken: name the collector's HTTP port in publish.otlp.endpoint")
    })
}

/// What `settings` and the environment name; `None` when neither does, or `OTEL_SDK_DISABLED` forbids it.
pub(super) fn choose(
    settings: Option<&settings::Otlp>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Feed>, PublishError> {
    let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let base = |endpoint: &str| format!("{}/v1/metrics", endpoint.trim_end_matches('/'));
    let endpoint = settings
        .map(|otlp| base(&otlp.endpoint.to_string()))
        .or_else(|| variable("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"))
        .or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT").map(|endpoint| base(&endpoint)));
    let Some(endpoint) = endpoint else { return Ok(None) };
    let ours = settings.is_some();
    if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        tracing::info!("OTLP is off: OTEL_SDK_DISABLED says so");
        return Ok(None);
    }
    if let Some(why) = not_meant(variable).filter(|_| !ours) {
        tracing::warn!(%why, "OTLP is off");
        return Ok(None);
    }
    let milliseconds = |name: &str| variable(name)?.parse().ok().map(Duration::from_millis);
    let uri = match endpoint.parse() {
        Ok(uri) => uri,
        Err(_) if ours => return Err(PublishError::OtlpEndpoint),
        Err(_) => {
            unusable();
            return Ok(None);
        }
    };
    Ok(Some(Feed {
        endpoint: uri,
        ours,
        interval: settings
            .map(|otlp| otlp.interval)
            .or_else(|| milliseconds("OTEL_METRIC_EXPORT_INTERVAL"))
            .unwrap_or(INTERVAL),
        timeout: milliseconds("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT")
            .or_else(|| milliseconds("OTEL_EXPORTER_OTLP_TIMEOUT"))
            .unwrap_or(TIMEOUT),
        headers: settings.map(|otlp| otlp.headers.clone()).unwrap_or_default(),
    }))
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
            (("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), false),
            (("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"), true),
            (("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json"), false),
        ] {
            assert_eq!(chosen(None, &[endpoint, more]).is_some(), on, "{more:?}");
            assert!(chosen(Some(&file()), &[endpoint, more]).is_some(), "the file says it: {more:?}");
        }
        let both = [
            endpoint,
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf"),
        ];
        assert!(chosen(None, &both).is_some(), "that of metrics alone counts more");
        assert!(chosen(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[")]).is_none());
    }

    fn chosen(settings: Option<&settings::Otlp>, variables: &[(&str, &str)]) -> Option<Feed> {
        let find =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        choose(settings, find).expect("a usable feed")
    }

    fn file() -> settings::Otlp {
        settings::Otlp {
            endpoint: Uri::from_static("http://collector:4318/"),
            interval: Duration::from_secs(7),
            headers: HeaderMap::new(),
        }
    }

    #[test]
    fn nothing_is_sent_unless_somebody_names_an_endpoint() {
        assert!(chosen(None, &[]).is_none());
        assert!(chosen(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).is_none());
    }

    #[test]
    fn the_file_outranks_the_environment() {
        let feed =
            chosen(Some(&file()), &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://other:1")]).expect("a feed");
        assert_eq!(feed.endpoint, "http://collector:4318/v1/metrics");
        assert_eq!(feed.interval, Duration::from_secs(7));
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
    fn the_sdk_s_switch_turns_it_off() {
        assert!(chosen(Some(&file()), &[("OTEL_SDK_DISABLED", "TRUE")]).is_none());
        assert!(chosen(Some(&file()), &[("OTEL_SDK_DISABLED", "1")]).is_some());
    }
}
