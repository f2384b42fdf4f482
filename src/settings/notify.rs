//! `[publish.webhook] [publish.slack] [publish.sns] [publish.eventbridge]`: where messages for people go.

use super::publish::http_url;
use super::reader::{Fault, Leaf, Noted, Section};
use super::template::{self, Template};
use super::{Secret, SigningKey, arn};
use http::HeaderValue;
use std::time::Duration;

/// `[publish.webhook]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// Where to POST. A secret as a whole: such URLs carry their credential in the path.
    pub url: Secret,
    /// How long one POST may take.
    pub timeout: Duration,
    /// Signs each POST; `None`: none is.
    pub secret: Option<SigningKey>,
    /// The body; `None`: the message as JSON.
    pub template: Option<Template>,
    /// What the body is said to be.
    pub content_type: HeaderValue,
}

/// `[publish.slack]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Slack {
    /// The incoming webhook; a secret as a whole.
    pub url: Secret,
    /// How long one POST may take.
    pub timeout: Duration,
}

/// `[publish.sns]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sns {
    /// `arn:…:sns:…`.
    pub topic: String,
    /// From the ARN.
    pub region: String,
    /// The topic keeps the order of a group and drops what it had before.
    pub fifo: bool,
    /// How long one call may take.
    pub timeout: Duration,
}

/// `[publish.eventbridge]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventBridge {
    /// The name of the bus, or its ARN.
    pub bus: String,
    /// From the ARN; `None`: that of the lever, else of the environment.
    pub region: Option<String>,
    /// How long one call may take.
    pub timeout: Duration,
}

/// Letters of a topic's name (SNS API reference, `CreateTopic`), and how many at most.
const TOPIC_MAX: usize = 256;
/// Letters of a bus's name at most (`EventBridge` API reference, `CreateEventBus`).
const BUS_MAX: usize = 256;

pub(super) fn webhook(section: &Section<'_>) -> Result<Webhook, Noted> {
    let url = section.get("url", secret_url);
    let timeout = section.get("timeout", timeout);
    let secret = section.maybe("secret", |leaf| SigningKey::parse(&leaf.hidden("secret")?));
    let content_type = section.get("content_type", |leaf| template::content_type(leaf.text()?))?;
    let template = section.maybe("template", |leaf| Template::parse(&leaf.masked()?, &content_type))?;
    if template.is_none() && !template::is_json(&content_type) {
        let rule = "without a template the body is JSON";
        return Err(section.refuse("content_type", Fault::new(rule, "write template, or leave it out")));
    }
    Ok(Webhook { url: url?, timeout: timeout?, secret: secret?, template, content_type })
}

pub(super) fn slack(section: &Section<'_>) -> Result<Slack, Noted> {
    let url = section.get("url", secret_url);
    let timeout = section.get("timeout", timeout);
    Ok(Slack { url: url?, timeout: timeout? })
}

pub(super) fn sns(section: &Section<'_>) -> Result<Sns, Noted> {
    let topic = section.get("topic", |leaf| topic(leaf.text()?));
    let timeout = section.get("timeout", timeout)?;
    topic.map(|(topic, region, fifo)| Sns { topic, region, fifo, timeout })
}

pub(super) fn eventbridge(section: &Section<'_>) -> Result<EventBridge, Noted> {
    let bus = section.get("bus", |leaf| bus(leaf.text()?));
    let timeout = section.get("timeout", timeout)?;
    bus.map(|(bus, region)| EventBridge { bus, region, timeout })
}

fn secret_url(leaf: &Leaf<'_>) -> Result<Secret, Fault> {
    let secret = leaf.masked()?;
    http_url(secret.expose()).map(|_| secret)
}

fn timeout(leaf: &Leaf<'_>) -> Result<Duration, Fault> {
    leaf.duration(Duration::from_millis(100)..=Duration::from_mins(1))
}

/// The ARN, its region, and whether it is a FIFO topic.
fn topic(text: &str) -> Result<(String, String, bool), Fault> {
    let form = "arn:aws:sns:REGION:ACCOUNT:NAME";
    let arn = arn::parse(text, "sns", form)?;
    if arn.resource.contains(':') {
        let rule = "the ARN of a subscription; messages go to its topic";
        return Err(Fault::new(rule, format!("write {form}, without what follows the name")));
    }
    let fifo = arn.resource.strip_suffix(".fifo");
    let name = fifo.unwrap_or(arn.resource);
    if arn.resource.len() > TOPIC_MAX || !named(name, "-_") {
        let rule =
            "a topic's name is 1 to 256 letters, digits, - and _, with .fifo at its end for a FIFO topic";
        return Err(Fault::new(rule, ""));
    }
    Ok((text.to_owned(), arn.region.to_owned(), fifo.is_some()))
}

/// The bus, and its region when that is told.
fn bus(text: &str) -> Result<(String, Option<String>), Fault> {
    let (name, region) = if text.starts_with("arn:") {
        let form = "arn:aws:events:REGION:ACCOUNT:event-bus/NAME";
        let arn = arn::parse(text, "events", form)?;
        let name = arn.resource.strip_prefix("event-bus/");
        let name = name.ok_or_else(|| {
            Fault::new("the ARN is of the events service and of no event bus", format!("write {form}"))
        })?;
        (name, Some(arn.region.to_owned()))
    } else {
        (text, None)
    };
    if name.len() > BUS_MAX || !named(name, "/.-_") {
        let remedy = "write the bus's name, \"default\" for the account's own, or its ARN";
        return Err(Fault::new("a bus's name is 1 to 256 letters, digits and / . - _", remedy));
    }
    Ok((text.to_owned(), region))
}

fn named(name: &str, others: &str) -> bool {
    !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || others.contains(letter))
}
