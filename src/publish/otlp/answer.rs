//! What an answer says: whether it was a yes, to how much, and when to come back.

use crate::model::time::Wall;
use crate::publish::outbox::Failure;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::Response;
use http::header::RETRY_AFTER;
use prost::Message;
use std::time::Duration;

/// Binary headers come with padding or without
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `ExportMetricsServiceResponse` and its likes, which are all of one form.
#[derive(Clone, PartialEq, Message)]
struct Export {
    #[prost(message, optional, tag = "1")]
    partial: Option<Partial>,
}

#[derive(Clone, PartialEq, Message)]
struct Partial {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    says: String,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Detail {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// How many items of what was taken were refused, or why it wasn't taken at all, at `now`.
///
/// # Errors
/// By the OTLP specification (<https://opentelemetry.io/docs/specs/otlp/#failures-1>) four statuses may be tried again.
pub(super) fn judged(answer: &Response<Bytes>, now: Wall) -> Result<u64, Failure> {
    let status = answer.status();
    if status.is_success() {
        let partial = Export::decode(answer.body().as_ref()).ok().and_then(|export| export.partial);
        let partial = partial.unwrap_or_default();
        if !partial.says.is_empty() {
            tracing::debug!(
                says = partial.says,
                rejected = partial.rejected,
                "an OTLP receiver took not all"
            );
        }
        return Ok(u64::try_from(partial.rejected).unwrap_or(0));
    }
    let asked = answer.headers().get(RETRY_AFTER).and_then(|asked| asked.to_str().ok());
    Err(Failure {
        says: if status.is_redirection() {
            format!("the answer was {status}, and redirects are not followed")
        } else {
            format!("the answer was {status}")
        },
        passing: matches!(status.as_u16(), 429 | 502 | 503 | 504),
        pause: asked.and_then(|asked| after(asked, now)),
    })
}

/// `Retry-After`: seconds, or a date (RFC 9110, 10.2.3).
fn after(asked: &str, now: Wall) -> Option<Duration> {
    if let Ok(seconds) = asked.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(asked).ok()?.timestamp().as_millisecond();
    Some(Duration::from_millis(u64::try_from(at.saturating_sub(now.0)).unwrap_or(0)))
}

/// The pause that `grpc-status-details-bin` asks for.
pub(super) fn pause(details: &[u8]) -> Option<Duration> {
    let status = Status::decode(BASE64.decode(details).ok()?.as_slice()).ok()?;
    let info = status.details.iter().find(|detail| detail.kind.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.delay?;
    let (seconds, nanos) = (u64::try_from(delay.seconds).ok()?, u32::try_from(delay.nanos).ok()?);
    Some(Duration::from_secs(seconds) + Duration::from_nanos(nanos.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    fn answer(status: u16, asked: Option<&'static str>, body: Vec<u8>) -> Response<Bytes> {
        let mut answer = Response::new(Bytes::from(body));
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        answer.headers_mut().extend(asked.map(|asked| (RETRY_AFTER, asked.parse().unwrap())));
        answer
    }

    #[test]
    fn four_statuses_are_tried_again_and_none_else() {
        let passing: Vec<u16> = (300..600)
            .filter(|status| judged(&answer(*status, None, vec![]), Wall(0)).unwrap_err().passing)
            .collect();
        assert_eq!(passing, [429, 502, 503, 504]);
    }

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_until_a_date() {
        // An hour before the date.
        let now = Wall(946_684_799_000 - 3_600_000);
        let pause = |asked| judged(&answer(503, Some(asked), vec![]), now).unwrap_err().pause;
        assert_eq!(pause("7"), Some(Duration::from_secs(7)));
        assert_eq!(pause("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Duration::from_hours(1)));
        assert_eq!(pause("Thu, 31 Dec 1998 23:59:59 GMT"), Some(Duration::ZERO));
        assert_eq!(pause("soon"), None);
    }

    #[test]
    fn what_is_taken_in_part_says_how_much_is_not() {
        let partial = Some(Partial { rejected: 3, says: "old".into() });
        assert_eq!(judged(&answer(200, None, Export { partial }.encode_to_vec()), Wall(0)), Ok(3));
        assert_eq!(judged(&answer(200, None, vec![]), Wall(0)), Ok(0));
        assert_eq!(judged(&answer(200, None, b"{}".to_vec()), Wall(0)), Ok(0));
    }

    #[test]
    fn a_call_s_details_tell_when_to_come_back() {
        let info = RetryInfo { delay: Some(Delay { seconds: 2, nanos: 500_000_000 }) };
        let other = Detail { kind: "type.googleapis.com/google.rpc.Help".into(), value: vec![] };
        let kind = "type.googleapis.com/google.rpc.RetryInfo".to_owned();
        let details = vec![other, Detail { kind, value: info.encode_to_vec() }];
        let bytes = Status { details }.encode_to_vec();
        for encoded in [BASE64.encode(&bytes), BASE64.encode(&bytes).trim_end_matches('=').to_owned()] {
            assert_eq!(pause(encoded.as_bytes()), Some(Duration::from_millis(2_500)));
        }
        assert_eq!(pause(b"?"), None);
        assert_eq!(pause(BASE64.encode(Status::default().encode_to_vec()).as_bytes()), None);
    }
}
