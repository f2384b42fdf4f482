//! What a failed call means: nothing happened, or nobody knows.

use crate::model::guard::{ReadError, WriteOutcome};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// Codes by which AWS says "slower" (AWS.md 4 and 10).
const THROTTLES: [&str; 5] =
    ["Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException", "SlowDown"];
/// What a fenced write was made for has changed.
const PRECONDITION_FAILED: u16 = 412;
/// Codes by which AWS says "not you" or "not with these credentials".
const DENIALS: [&str; 11] = [
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "AuthFailure",
    "InvalidClientTokenId",
    "ExpiredToken",
    "ExpiredTokenException",
    "UnrecognizedClientException",
    "MissingAuthenticationToken",
    "SignatureDoesNotMatch",
    "OptInRequired",
];

/// What a failed read means.
pub(super) fn read_error<E>(what: &str, error: &SdkError<E, HttpResponse>) -> ReadError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let Some(code) = error.as_service_error().and_then(|service| service.code()) else {
        return match error {
            SdkError::TimeoutError(_) => ReadError::Timeout,
            _ => without_code(what, error),
        };
    };
    let message = error.as_service_error().and_then(|service| service.message()).unwrap_or_default();
    if THROTTLES.contains(&code) {
        ReadError::Throttled
    } else if DENIALS.contains(&code) {
        ReadError::Denied(
            format!("{what}: {code}: {message}; check the role's policy (deploy/iam-actuator.json)").into(),
        )
    } else if code.ends_with("NotFound") || code.ends_with("NotFoundException") {
        ReadError::NotFound(format!("{what}: {code}: {message}").into())
    } else {
        ReadError::Failed(format!("{what}: {code}: {message}").into())
    }
}

/// No answer that AWS would sign: credentials that can't be had, or no way to the endpoint.
fn without_code<E>(what: &str, error: &SdkError<E, HttpResponse>) -> ReadError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let text = one_line(error);
    if text.to_lowercase().contains("credentials") {
        // The SDK's own text is a paragraph on every source that it tried.
        let remedy =
            "give the task a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE";
        ReadError::Denied(format!("{what}: no usable AWS credentials; {remedy}").into())
    } else {
        ReadError::Failed(format!("{what}: {text}").into())
    }
}

/// What a failed write means. Only AWS's own refusal proves that nothing happened.
pub(super) fn write_outcome<E>(error: &SdkError<E, HttpResponse>) -> WriteOutcome
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error {
        SdkError::ConstructionFailure(_) => WriteOutcome::Refused(one_line(error).into()),
        SdkError::ServiceError(context) => {
            let code = context.err().code().unwrap_or("unknown");
            let status = context.raw().status().as_u16();
            if THROTTLES.contains(&code) {
                WriteOutcome::Throttled
            } else if status >= 500 {
                WriteOutcome::Unknown(format!("{status} {code}").into())
            } else {
                let says = format!("{code}: {}", context.err().message().unwrap_or_default()).into();
                if status == PRECONDITION_FAILED {
                    WriteOutcome::Raced(says)
                } else {
                    WriteOutcome::Refused(says)
                }
            }
        }
        _ => WriteOutcome::Unknown(one_line(error).into()),
    }
}

/// The error and its causes as one line of a readable length.
fn one_line(error: &(dyn std::error::Error + 'static)) -> String {
    let text = DisplayErrorContext(error).to_string();
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect()
}
