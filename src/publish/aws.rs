//! How messages go to AWS: bounded in time, once an attempt, and what a failure means.

use super::delivery::Refused;
use super::outbox::Failure;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use std::time::Duration;

/// The SDK's own default is 3.1 s.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// Letters of an error at most: that about credentials is a paragraph.
const SAYS_MAX: usize = 300;
/// Codes by which AWS asks for another attempt, beside all of 500 and above.
const PASSING: [&str; 8] = [
    "Throttled",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "InternalFailure",
    "InternalException",
];

/// Codes of what is wrong now and needn't be later, though the request is none that may pass now.
const MENDED_BY_TIME: [&str; 4] =
    ["ExpiredToken", "ExpiredTokenException", "RequestExpired", "RequestTimeTooSkewed"];

/// Credentials are asked for with the first call, so that missing ones are a failed call like others. The delivery has its
/// own attempts, so the SDK makes none.
pub(super) async fn config(region: Option<String>, timeout: Duration) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_MAX.min(timeout))
        .operation_attempt_timeout(timeout)
        .operation_timeout(timeout)
        .build();
    let loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts);
    match region {
        Some(region) => loader.region(Region::new(region)).load().await,
        None => loader.load().await,
    }
}

/// What AWS says, and whether it is to be asked again.
pub(super) fn refused<E>(error: &SdkError<E, HttpResponse>) -> Refused
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let Some(service) = error.as_service_error() else {
        // Without a region or credentials there is nothing to wait for, but a role may just be coming up.
        let passing = !matches!(error, SdkError::ConstructionFailure(_));
        return Refused::Aws { says: clip(&DisplayErrorContext(error).to_string()), passing };
    };
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    said(service.code().unwrap_or("no code"), service.message().unwrap_or_default(), status)
}

/// The same of a batch, which can wait: for a region, for credentials, and for a clock that is right again.
pub(super) fn failed<E>(error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let waits = matches!(error, SdkError::ConstructionFailure(_))
        || error.code().is_some_and(|code| MENDED_BY_TIME.contains(&code));
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    let refused = match error {
        // A no is one without its words, too; a yes that can't be read was cut off.
        SdkError::ResponseError(_) if status >= 300 => said("no code", "the answer can't be read", status),
        _ => refused(error),
    };
    Failure { passing: waits || refused.is_passing(), says: refused.to_string(), pause: pause(error) }
}

/// What the answer asks for before the next attempt, if it says so in seconds.
fn pause<E>(error: &SdkError<E, HttpResponse>) -> Option<Duration> {
    let seconds = error.raw_response()?.headers().get("retry-after")?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The same of an answer that carries its error inside.
pub(super) fn said(code: &str, message: &str, status: u16) -> Refused {
    let passing = status >= 500 || status == 429 || PASSING.contains(&code);
    Refused::Aws { says: clip(&format!("{code}: {message}")), passing }
}

fn clip(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SAYS_MAX).collect()
}
