//! What AWS says instead of doing what it was asked to.

use super::xml::Xml;
use http::StatusCode;

/// An error answer, with AWS's code and status.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Refusal {
    /// The request itself is wrong: status 400.
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: message.into() }
    }

    /// Some value is wrong.
    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationError", message)
    }

    /// An action list that makes no sense.
    pub(super) fn action(message: impl Into<String>) -> Self {
        Self::new("InvalidLoadBalancerAction", message)
    }

    /// The caller is not who it should be, or may not: status 403.
    pub(super) fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, code, message: message.into() }
    }

    /// Too many calls.
    pub(super) fn throttled() -> Self {
        Self::new("Throttling", "Rate exceeded")
    }

    /// AWS's own fault: status 500.
    pub(super) fn internal() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "InternalFailure",
            message: "An internal error has occurred".to_owned(),
        }
    }

    /// The body of the answer.
    pub(super) fn body(&self, request_id: &str) -> String {
        let sender = if self.status.is_server_error() { "Receiver" } else { "Sender" };
        let mut xml = Xml::default();
        xml.root("ErrorResponse", |xml| {
            xml.node("Error", |xml| {
                xml.leaf("Type", sender);
                xml.leaf("Code", self.code);
                xml.leaf("Message", &self.message);
            });
            xml.leaf("RequestId", request_id);
        });
        xml.finish()
    }
}
