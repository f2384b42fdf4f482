//! Which of OpenTelemetry's variables are heeded. A platform sets them for all of its containers, so what isn't heeded is said once, and is
//! never a reason to end.
//!
//! Names: <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/> and
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>.

use super::feed;
use crate::settings::Signal;

/// By the SDK, by [`super::feed`], or by [`super::tls`].
const HEEDED: [&str; 8] = [
    "OTEL_SDK_DISABLED",
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_METRIC_EXPORT_INTERVAL",
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    "OTEL_BLRP_SCHEDULE_DELAY",
    "OTEL_BLRP_MAX_QUEUE_SIZE",
    "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",
];

/// Those of the exporter, each for all signals and for one alone.
const OF_EXPORTER: [&str; 9] = [
    "ENDPOINT",
    "PROTOCOL",
    "HEADERS",
    "TIMEOUT",
    "COMPRESSION",
    "CERTIFICATE",
    "CLIENT_CERTIFICATE",
    "CLIENT_KEY",
    "INSECURE",
];

/// Heeded where they say what is done anyway.
const ANYWAY: [(&str, &str); 1] =
    [("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "base2_exponential_bucket_histogram")];

fn is_heeded(name: &str) -> bool {
    let of_signal = |signal: Signal| {
        name == format!("OTEL_{}_EXPORTER", signal.name().to_uppercase())
            || OF_EXPORTER.iter().any(|kind| feed::variables(signal, kind).iter().any(|each| each == name))
    };
    HEEDED.contains(&name) || Signal::ALL.into_iter().any(of_signal)
}

/// Of `set`, the names that are OpenTelemetry's, have a value, and change nothing here; sorted.
pub(super) fn unheeded(set: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let is_anyway = |name: &str, value: &str| ANYWAY.contains(&(name, value.trim()));
    let mut names: Vec<String> = set
        .filter(|(name, value)| name.starts_with("OTEL_") && !value.trim().is_empty())
        .filter(|(name, value)| !is_heeded(name) && !is_anyway(name, value))
        .map(|(name, _)| name)
        .collect();
    names.sort();
    names
}

/// Says once which variables change nothing. Their values may be secrets.
pub(super) fn warn() {
    let set = std::env::vars_os();
    let unheeded =
        unheeded(set.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))));
    if !unheeded.is_empty() {
        tracing::warn!(
            variables = unheeded.join(" "),
            "these variables of OpenTelemetry change nothing here"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_nothing_is_named_and_nothing_else() {
        let set = [
            ("OTEL_TRACES_SAMPLER", "always_on"),
            ("OTEL_EXPORTER_OTLP_PROFILES_CERTIFICATE", "/etc/ca.pem"),
            ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/etc/ca.pem"),
            ("OTEL_LOGS_EXPORTER", "none"),
            ("OTEL_EXPORTER_OTLP_INSECURE", "true"),
            ("OTEL_PROPAGATORS", " "),
            ("OTEL_SERVICE_NAME", "shop"),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "explicit_bucket_histogram"),
            ("NOTOTEL_X", "1"),
            ("PATH", "/bin"),
        ];
        let found = unheeded(set.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(
            found,
            [
                "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
                "OTEL_EXPORTER_OTLP_PROFILES_CERTIFICATE",
                "OTEL_TRACES_SAMPLER"
            ]
        );
    }
}
