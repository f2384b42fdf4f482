//! Messages to one SNS topic.

use super::delivery::{Courier, Refused, json};
use super::{Destination, aws};
use crate::model::message::Message;
use crate::settings;
use aws_sdk_sns::Client;
use aws_sdk_sns::types::MessageAttributeValue;

/// The way there.
pub(super) struct Sns {
    client: Client,
    topic: String,
    fifo: bool,
}

impl Sns {
    pub(super) async fn new(settings: settings::Sns) -> Self {
        let settings::Sns { topic, region, fifo, timeout } = settings;
        let client = Client::new(&aws::config(Some(region), timeout).await);
        Self { client, topic, fifo }
    }
}

impl Courier for Sns {
    const DESTINATION: Destination = Destination::Sns;

    async fn attempt(&self, message: &Message) -> Result<(), Refused> {
        let mut request = self
            .client
            .publish()
            .topic_arn(&self.topic)
            .subject(subject(message))
            .message(json(message))
            .message_attributes("kind", text(message.kind.name())?)
            .message_attributes("service", text(&message.service)?);
        if self.fifo {
            // Those of a service stay in order, and one that came twice is told once.
            request = request.message_group_id(&*message.service).message_deduplication_id(&*message.id);
        }
        // Boxed: the SDK's future is some kilobytes.
        Box::pin(request.send()).await.map(|_| ()).map_err(|error| aws::refused(&error))
    }
}

/// The head of a mail: 100 ASCII characters at most, none of them a control character (SNS API reference, `Publish`). A
/// service's name is 63 at most, of a-z, 0-9 and -.
fn subject(message: &Message) -> String {
    let dry = if message.dry_run { " (DRY RUN)" } else { "" };
    let text = format!("Serin: {} {}{dry}", message.service, message.kind.name());
    text.chars().filter(|letter| letter.is_ascii_graphic() || *letter == ' ').take(100).collect()
}

fn text(value: &str) -> Result<MessageAttributeValue, Refused> {
    MessageAttributeValue::builder()
        .data_type("String")
        .string_value(value)
        .build()
        .map_err(|error| Refused::Aws { says: error.to_string(), passing: false })
}
