//! Lines straight into a log group of `CloudWatch` Logs, by `PutLogEvents`.
//!
//! The stream is made when there is none; the group never: who makes it says how long it keeps. Until it is there, lines wait.

use super::super::aws;
use super::super::outbox::{Carrier, Failure};
use super::super::spool::Batch;
use crate::model::time::Wall;
use crate::settings::LogGroup;
use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::error::SdkError;
use aws_sdk_cloudwatchlogs::operation::create_log_stream::CreateLogStreamError;
use aws_sdk_cloudwatchlogs::operation::put_log_events::{PutLogEventsError, PutLogEventsOutput};
use aws_sdk_cloudwatchlogs::types::{InputLogEvent, RejectedLogEventsInfo};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::Bytes;
use std::time::Duration;

/// One attempt.
const ATTEMPT_MAX: Duration = Duration::from_secs(5);
/// All attempts of a new batch.
pub(super) const OPERATION_MAX: Duration = Duration::from_secs(15);
/// Events in one request, its bytes, and what each event counts beside its own (`CloudWatch` Logs API reference, `PutLogEvents`).
const EVENTS_MAX: usize = 10_000;
const BYTES_MAX: usize = 1_048_576;
const EVENT_BYTES: usize = 26;
/// Says that the lines are metrics. Logs sees it by itself by now; it once did not, and what stands in for it may not.
const FORMAT: (&str, &str) = ("x-amzn-logs-format", "json/emf");

/// `lines`, each with its end, as few batches as there can be. They are of one instant, so their order is none of Logs' concern.
pub(super) fn batches(at: Wall, lines: Vec<Vec<u8>>) -> Vec<Batch> {
    let mut batches = Vec::new();
    let (mut body, mut items) = (Vec::new(), 0);
    let batch = |body: Vec<u8>, items: usize| Batch { at, items: items as u64, body: Bytes::from(body) };
    for line in lines {
        if items == EVENTS_MAX || body.len() + line.len() + (items + 1) * EVENT_BYTES > BYTES_MAX {
            batches.extend((items > 0).then(|| batch(std::mem::take(&mut body), items)));
            items = 0;
        }
        body.extend(line);
        items += 1;
    }
    batches.extend((items > 0).then(|| batch(body, items)));
    batches
}

/// Where lines go.
pub(super) struct Sink {
    client: Client,
    group: String,
    stream: String,
}

impl Sink {
    pub(super) async fn new(group: LogGroup, instance: String, region: Option<String>) -> Self {
        let LogGroup { name, stream } = group;
        // What a machine is called has no rule; what a stream is called has.
        let stream = stream.unwrap_or_else(|| format!("serin/{}", instance.replace([':', '*'], "-")));
        Self { client: Client::new(&aws::config(region, ATTEMPT_MAX).await), group: name, stream }
    }

    async fn put(
        &self,
        events: Vec<InputLogEvent>,
    ) -> Result<PutLogEventsOutput, SdkError<PutLogEventsError, HttpResponse>> {
        let put = self.client.put_log_events().log_group_name(&self.group).log_stream_name(&self.stream);
        let format = |request: &mut aws_smithy_runtime_api::http::Request| {
            request.headers_mut().insert(FORMAT.0, FORMAT.1);
        };
        // Boxed: the SDK's future is some kilobytes.
        Box::pin(put.set_log_events(Some(events)).customize().mutate_request(format).send()).await
    }

    /// There is a stream after it, unless it fails.
    async fn make_stream(&self) -> Result<(), Failure> {
        let create =
            self.client.create_log_stream().log_group_name(&self.group).log_stream_name(&self.stream);
        match Box::pin(create.send()).await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(CreateLogStreamError::ResourceAlreadyExistsException(_)) => Ok(()),
                Some(CreateLogStreamError::ResourceNotFoundException(_)) => Err(Failure::passing(&format!(
                    "there is no log group {}: it has to be made first",
                    self.group
                ))),
                _ => Err(aws::failed(&error)),
            },
        }
    }
}

impl Carrier for Sink {
    async fn carry(&self, batch: &Batch) -> Result<u64, Failure> {
        let events = events(batch)?;
        let mut put = self.put(events.clone()).await;
        if matches!(&put, Err(error) if is_missing(error)) {
            self.make_stream().await?;
            put = self.put(events).await;
        }
        match put {
            Ok(output) => Ok(output.rejected_log_events_info().map_or(0, |info| rejected(info, batch.items))),
            Err(error) => match error.as_service_error() {
                Some(PutLogEventsError::DataAlreadyAcceptedException(_)) => Ok(0),
                // Made, and not there yet.
                Some(PutLogEventsError::ResourceNotFoundException(_)) => Err(Failure::passing(&error)),
                _ => Err(aws::failed(&error)),
            },
        }
    }
}

fn is_missing(error: &SdkError<PutLogEventsError, HttpResponse>) -> bool {
    matches!(error.as_service_error(), Some(PutLogEventsError::ResourceNotFoundException(_)))
}

fn events(batch: &Batch) -> Result<Vec<InputLogEvent>, Failure> {
    let broken = |says: String| Failure { says, passing: false, pause: None };
    let text = std::str::from_utf8(&batch.body).map_err(|error| broken(error.to_string()))?;
    let event = |line| InputLogEvent::builder().timestamp(batch.at.0).message(line).build();
    text.lines().map(event).collect::<Result<_, _>>().map_err(|error| broken(error.to_string()))
}

/// How many of `items` events were too old, beyond the group's retention, or too new: those before the one index, and those from the
/// other on.
fn rejected(info: &RejectedLogEventsInfo, items: u64) -> u64 {
    let index = |index: Option<i32>| index.and_then(|index| u64::try_from(index).ok());
    let old = index(info.too_old_log_event_end_index()).max(index(info.expired_log_event_end_index()));
    let new = index(info.too_new_log_event_start_index()).map_or(0, |start| items.saturating_sub(start));
    old.unwrap_or(0).saturating_add(new).min(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Wall = Wall(1_700_000_000_123);

    fn line(bytes: usize) -> Vec<u8> {
        let mut line = vec![b'x'; bytes - 1];
        line.push(b'\n');
        line
    }

    #[test]
    fn a_request_is_as_full_as_it_may_be_and_no_fuller() {
        let items = |lines: Vec<Vec<u8>>| -> Vec<u64> {
            let batches = batches(AT, lines);
            for batch in &batches {
                let events = events(batch).unwrap();
                assert_eq!(events.len() as u64, batch.items);
                // A line's end is none of its event.
                let bytes: usize = events.iter().map(|event| event.message().len() + EVENT_BYTES).sum();
                assert!(bytes <= BYTES_MAX && events.len() <= EVENTS_MAX);
                assert!(events.iter().all(|event| event.timestamp() == AT.0));
            }
            batches.iter().map(|batch| batch.items).collect()
        };
        assert_eq!(items(vec![]), [0; 0]);
        assert_eq!(items(vec![line(9); 25_000]), [10_000, 10_000, 5_000]);
        let quarter = BYTES_MAX / 4 - EVENT_BYTES;
        assert_eq!(items(vec![line(quarter); 9]), [4, 4, 1]);
        assert_eq!(items(vec![line(quarter + 1); 9]), [3, 3, 3]);
    }

    #[test]
    fn what_was_taken_in_part_is_counted_by_both_ends() {
        let info = RejectedLogEventsInfo::builder;
        assert_eq!(rejected(&info().build(), 10), 0);
        assert_eq!(rejected(&info().too_old_log_event_end_index(3).build(), 10), 3);
        let both = info().too_old_log_event_end_index(3).expired_log_event_end_index(4);
        assert_eq!(rejected(&both.too_new_log_event_start_index(8).build(), 10), 6);
        assert_eq!(rejected(&info().too_new_log_event_start_index(0).build(), 10), 10);
        assert_eq!(rejected(&info().too_old_log_event_end_index(99).build(), 10), 10);
    }
}
