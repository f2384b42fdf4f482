//! Which of OpenTelemetry's variables are heeded. A platform sets them for all of its containers, so what isn't heeded is said once, and is
//! never a reason to end.
//!
//! Names: <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/> and
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>.

/// By the SDK, by [`super::feed`], or by [`super::tls`].
const HEEDED: [&str; 21] = [
    "OTEL_SDK_DISABLED",
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_METRICS_EXPORTER",
    "OTEL_METRIC_EXPORT_INTERVAL",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION",
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY",
    // Says what is done anyway, or the endpoint isn't taken.
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];

/// Heeded where they say what is done anyway.
const ANYWAY: [(&str, &str); 2] = [
    ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", PROTOCOL),
    ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "base2_exponential_bucket_histogram"),
];

/// The one that is spoken.
pub(super) const PROTOCOL: &str = "http/protobuf";

/// Of `set`, the names that are OpenTelemetry's, have a value, and change nothing here; sorted.
pub(super) fn unheeded(set: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let is_anyway = |name: &str, value: &str| ANYWAY.contains(&(name, value.trim()));
    let mut names: Vec<String> = set
        .filter(|(name, value)| name.starts_with("OTEL_") && !value.trim().is_empty())
        .filter(|(name, value)| !HEEDED.contains(&name.as_str()) && !is_anyway(name, value))
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
            ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/etc/ca.pem"),
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
                "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
                "OTEL_TRACES_SAMPLER"
            ]
        );
    }
}
