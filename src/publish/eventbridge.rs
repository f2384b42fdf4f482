//! Messages to one event bus of `EventBridge`.

use super::delivery::{Courier, Refused, json};
use super::{Destination, aws};
use crate::model::message::{Message, MessageKind};
use crate::settings;
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

/// What rules match by, and what the policy of the role allows.
const SOURCE: &str = "serin.prober";

/// The way there.
pub(super) struct EventBridge {
    client: Client,
    bus: String,
}

impl EventBridge {
    /// `region` is that of the lever, for a bus that tells none.
    pub(super) async fn new(settings: settings::EventBridge, region: Option<String>) -> Self {
        let client = Client::new(&aws::config(settings.region.or(region), settings.timeout).await);
        Self { client, bus: settings.bus }
    }
}

impl Courier for EventBridge {
    const DESTINATION: Destination = Destination::EventBridge;

    async fn attempt(&self, message: &Message) -> Result<(), Refused> {
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(&self.bus)
            .source(SOURCE)
            .detail_type(detail_type(message.kind))
            .detail(json(message))
            .set_time(DateTime::from_str(&message.at, Format::DateTime).ok())
            .build();
        // Boxed: the SDK's future is some kilobytes.
        let answer = Box::pin(self.client.put_events().entries(entry).send()).await;
        let answer = answer.map_err(|error| aws::refused(&error))?;
        if answer.failed_entry_count() == 0 {
            return Ok(());
        }
        // A bus that isn't there, or an entry that was throttled, is told inside an answer of 200.
        let failed =
            answer.entries().iter().find_map(|entry| Some((entry.error_code()?, entry.error_message())));
        let (code, says) = failed.unwrap_or(("no code", None));
        Err(aws::said(code, says.unwrap_or_default(), 200))
    }
}

/// `Serin Breach`.
fn detail_type(kind: MessageKind) -> String {
    let name = kind.name();
    let (first, rest) = name.split_at(name.len().min(1));
    format!("Serin {}{rest}", first.to_ascii_uppercase())
}
