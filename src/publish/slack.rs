//! Messages to one channel of Slack, or of what takes Slack's incoming webhooks (Mattermost, Rocket.Chat, Discord under `/slack`).

use super::delivery::{Courier, Refused, post};
use super::post::Poster;
use super::webhook::poster;
use super::{Destination, PublishError};
use crate::model::message::Message;
use crate::settings;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue};

/// What the guard puts in front of a text in observe mode; here the heading says it.
const MARK: &str = "DRY RUN: ";

/// The way there.
pub(super) struct Slack {
    poster: Poster,
    headers: HeaderMap,
}

impl Slack {
    pub(super) fn new(settings: &settings::Slack) -> Result<Self, PublishError> {
        let poster = poster(settings.url.expose(), "publish.slack.url", settings.timeout)?;
        let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Self { poster, headers: HeaderMap::from_iter([json]) })
    }
}

impl Courier for Slack {
    const DESTINATION: Destination = Destination::Slack;

    async fn attempt(&self, message: &Message) -> Result<(), Refused> {
        let body = serde_json::json!({ "text": text(message) }).to_string();
        post(&self.poster, &self.headers, body.into()).await
    }
}

/// `*breach* checkout, release 3 (DRY RUN)`, and the sentence on the next line.
fn text(message: &Message) -> String {
    let release = message.release.map(|release| format!(", release {release}")).unwrap_or_default();
    let dry = if message.dry_run { " (DRY RUN)" } else { "" };
    let sentence = message.text.strip_prefix(MARK).unwrap_or(&message.text);
    let (kind, service) = (message.kind.name(), &message.service);
    format!("*{kind}* {service}{release}{dry}\n{}", escaped(sentence))
}

/// Slack's three control characters: without them a text pings nobody and links nowhere.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::guard::PageKind;
    use crate::model::message::{MessageKind, SCHEMA};

    #[test]
    fn the_heading_tells_what_of_whom_and_whether_it_was_in_earnest() {
        let mut message = Message {
            schema: SCHEMA,
            id: "a-1".into(),
            instance: "i".into(),
            service: "shop".into(),
            kind: MessageKind::Page(PageKind::Breach),
            text: "DRY RUN: <!channel> a & b".into(),
            dry_run: true,
            epoch: 7,
            release: Some(3),
            at: "2026-11-22T06:00:00Z".into(),
        };
        assert_eq!(text(&message), "*breach* shop, release 3 (DRY RUN)\n&lt;!channel&gt; a &amp; b");
        (message.dry_run, message.release, message.text) = (false, None, "no".into());
        assert_eq!(text(&message), "*breach* shop\nno");
    }
}
