//! Messages to one webhook: as JSON or by a template, signed as [Standard Webhooks](https://www.standardwebhooks.com) has it.

use super::delivery::{Courier, Refused, json, post};
use super::post::Poster;
use super::{Destination, PublishError};
use crate::clock;
use crate::model::message::Message;
use crate::model::time::Wall;
use crate::settings::{self, SigningKey, Template};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Uri};

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The way there.
pub(super) struct Webhook {
    poster: Poster,
    key: Option<SigningKey>,
    template: Option<Template>,
    content_type: HeaderValue,
}

impl Webhook {
    pub(super) fn new(settings: &settings::Webhook) -> Result<Self, PublishError> {
        Ok(Self {
            poster: poster(settings.url.expose(), "publish.webhook.url", settings.timeout)?,
            key: settings.secret.clone(),
            template: settings.template.clone(),
            content_type: settings.content_type.clone(),
        })
    }

    /// What goes beside the body at `now`: the same id with every attempt, so that who has it may drop it.
    fn headers(&self, message: &Message, body: &str, now: Wall) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, self.content_type.clone());
        let seconds = now.0.div_euclid(1_000).to_string();
        let signature = self.key.as_ref().map(|key| signature(key, &message.id, &seconds, body));
        let texts =
            [(ID, Some(&*message.id)), (TIMESTAMP, Some(&*seconds)), (SIGNATURE, signature.as_deref())];
        for (name, text) in texts {
            // Digits, hex and base64 always are header values.
            if let Some(Ok(value)) = text.map(HeaderValue::from_str) {
                headers.insert(name, value);
            }
        }
        headers
    }
}

impl Courier for Webhook {
    const DESTINATION: Destination = Destination::Webhook;

    async fn attempt(&self, message: &Message) -> Result<(), Refused> {
        let body = match &self.template {
            None => json(message),
            Some(template) => template.render(message).map_err(Refused::Template)?,
        };
        let headers = self.headers(message, &body, clock::wall());
        post(&self.poster, &headers, body.into()).await
    }
}

/// POSTs to the URL under `key`.
pub(super) fn poster(
    url: &str,
    key: &'static str,
    timeout: std::time::Duration,
) -> Result<Poster, PublishError> {
    let uri: Uri = url.parse().map_err(|_| PublishError::Url(key))?;
    Poster::new(&uri, HeaderMap::new(), timeout)?.map_err(|_| PublishError::Url(key))
}

fn signature(key: &SigningKey, id: &str, seconds: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose());
    let tag = hmac::sign(&key, format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(tag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    /// The example of Standard Webhooks' own reference implementations.
    #[test]
    fn the_signature_is_that_of_the_standard() {
        let document = "service = \"a\"\n[[targets]]\nurl = \"http://h/\"\n[objectives]\navailability = \"99%\"\n\
            [publish.webhook]\nurl = \"http://h/\"\nsecret = { env = \"KEY\" }\n";
        let variables = [("DOC", document), ("KEY", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")];
        let settings = settings::load(&Sources {
            paths: vec!["env:DOC".into()],
            variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            overrides: vec![],
        });
        let webhook = settings.unwrap().process.publish.webhook.unwrap();
        assert_eq!(
            signature(
                &webhook.secret.unwrap(),
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                "1614265330",
                "{\"test\": 2432232314}"
            ),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }
}
