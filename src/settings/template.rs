//! The body of a webhook as text with placeholders, proved on every kind of message before anything runs.

use super::{Fault, Secret};
use crate::model::message::{Message, MessageKind, SCHEMA, TEXT_MAX};
use http::HeaderValue;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior};
use serde::de::IgnoredAny;
use std::fmt;
use std::sync::Arc;

/// Steps that one rendering may take: no loop of a template delays a message.
const STEPS_MAX: u64 = 50_000;
/// Bytes of a body at most.
const BODY_MAX: usize = 1024 * 1024;
/// The only template of its environment.
const NAME: &str = "template";

/// A template that renders for every kind of message. `Debug` doesn't show it: receivers like a key of theirs in the body.
#[derive(Clone)]
pub struct Template {
    environment: Arc<Environment<'static>>,
    source: Secret,
    content_type: HeaderValue,
}

impl Template {
    /// Reads and tries it. What is printed is escaped as `content_type` needs it: whole values in JSON, `<` and `&` in HTML and XML.
    pub(super) fn parse(source: &Secret, content_type: &HeaderValue) -> Result<Self, Fault> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(STEPS_MAX));
        let escape = escape(content_type);
        environment.set_auto_escape_callback(move |_| escape.clone());
        environment
            .add_template_owned(NAME, source.expose().to_owned())
            .map_err(|error| Fault::new(format!("not a template: {}", words(&error)), SYNTAX))?;
        let environment = Arc::new(environment);
        let template = Self { environment, source: source.clone(), content_type: content_type.clone() };
        template.check_names()?;
        samples().iter().try_for_each(|sample| template.check(sample))?;
        Ok(template)
    }

    /// The body for `message`.
    ///
    /// # Errors
    /// It can't be rendered, in words; no kind of message did that when the configuration was read.
    pub fn render(&self, message: &Message) -> Result<String, String> {
        let template = self.environment.get_template(NAME).map_err(|error| words(&error))?;
        template.render(Value::from(Serde(message))).map_err(|error| words(&error))
    }

    /// Names in branches that no sample enters are looked at too.
    fn check_names(&self) -> Result<(), Fault> {
        let template =
            self.environment.get_template(NAME).map_err(|error| Fault::new(words(&error), SYNTAX))?;
        let fields = fields();
        let known = |name: &str| {
            fields.iter().any(|field| field == name)
                || self.environment.globals().any(|(global, _)| global == name)
        };
        let mut unknown: Vec<String> =
            template.undeclared_variables(false).into_iter().filter(|name| !known(name)).collect();
        unknown.sort_unstable();
        let Some(name) = unknown.first() else { return Ok(()) };
        let rule = format!("a message has no field `{}`", name.chars().take(80).collect::<String>());
        Err(Fault::new(rule, format!("there are {}", fields.join(", "))))
    }

    fn check(&self, sample: &Message) -> Result<(), Fault> {
        let kind = sample.kind.name();
        let body = self.render(sample).map_err(|why| {
            Fault::new(format!("a message of kind {kind} can't be rendered: {why}"), SYNTAX)
        })?;
        if body.trim().is_empty() {
            return Err(Fault::new(format!("a message of kind {kind} renders to nothing"), ""));
        }
        if body.len() > BODY_MAX {
            return Err(Fault::new(format!("a message of kind {kind} renders to more than 1 MiB"), ""));
        }
        if !is_json(&self.content_type) {
            return Ok(());
        }
        serde_json::from_str::<IgnoredAny>(&body).map(|_| ()).map_err(|error| {
            let rule = format!("a message of kind {kind} doesn't render to JSON ({error})");
            Fault::new(rule, "a value brings its own quotes: {\"text\": {{ kind ~ \": \" ~ text }}}")
        })
    }
}

const SYNTAX: &str = "write it like {\"text\": {{ text }}}";

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        (&self.source, &self.content_type) == (&other.source, &other.content_type)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").field("content_type", &self.content_type).finish_non_exhaustive()
    }
}

/// `type/subtype`, with or without parameters.
pub(super) fn content_type(text: &str) -> Result<HeaderValue, Fault> {
    let token = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
    };
    let kind = text.split(';').next().unwrap_or_default().trim_end();
    let is_type = kind.split_once('/').is_some_and(|(one, other)| token(one) && token(other));
    let value = HeaderValue::from_str(text).ok().filter(|_| is_type);
    value.ok_or_else(|| Fault::new("not a content type", "write it like \"application/json\""))
}

/// Whether a body of this type has to be JSON.
pub(super) fn is_json(content_type: &HeaderValue) -> bool {
    let kind = essence(content_type);
    kind == "application/json" || kind.ends_with("+json")
}

fn escape(content_type: &HeaderValue) -> AutoEscape {
    let kind = essence(content_type);
    if is_json(content_type) {
        AutoEscape::Json
    } else if kind.ends_with("html") || kind.ends_with("xml") {
        AutoEscape::Html
    } else {
        AutoEscape::None
    }
}

fn essence(content_type: &HeaderValue) -> String {
    let text = content_type.to_str().unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// What is wrong and where, without the template itself.
fn words(error: &Error) -> String {
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    let line = error.line().map(|line| format!(", line {line}")).unwrap_or_default();
    format!("{}{detail}{line}", error.kind())
}

/// The names that a template may use.
fn fields() -> Vec<String> {
    let value = samples().first().and_then(|sample| serde_json::to_value(sample).ok());
    value
        .and_then(|value| value.as_object().map(|object| object.keys().cloned().collect()))
        .unwrap_or_default()
}

/// Every kind, dry or not, of a release or none, with a text that looks for a way out of its quotes; and the longest.
fn samples() -> Vec<Message> {
    let mut samples = Vec::new();
    for kind in MessageKind::all() {
        for (dry_run, release) in [(false, Some(3)), (true, None), (false, None), (true, Some(3))] {
            samples.push(sample(
                kind,
                dry_run,
                release,
                "26 of 29 \"bad\" \\ {{ x }} <b>&\n\té\u{2028}, objective 0.1 %",
            ));
        }
        samples.push(sample(kind, false, None, &"\"".repeat(TEXT_MAX)));
    }
    samples
}

fn sample(kind: MessageKind, dry_run: bool, release: Option<u32>, text: &str) -> Message {
    Message {
        schema: SCHEMA,
        id: "0123456789abcdef-1".into(),
        instance: "ip-10-0-0-7".into(),
        service: "checkout".into(),
        kind,
        text: text.into(),
        dry_run,
        epoch: 7,
        release,
        at: "2026-11-22T06:00:00Z".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, content_type: &'static str) -> Result<Template, Fault> {
        Template::parse(&Secret::new(text.to_owned()), &HeaderValue::from_static(content_type))
    }

    fn json(text: &str) -> Result<Template, Fault> {
        parse(text, "application/json")
    }

    #[test]
    fn a_value_brings_its_own_quotes_whatever_it_holds() {
        let template = json(
            r#"{"content": {{ "**" ~ kind ~ "** " ~ service ~ ": " ~ text }}, "n": {{ release }}, "dry": {{ dry_run }}}"#,
        )
        .unwrap();
        let hostile = r#"", "x": "y"} \"#;
        let message = sample(MessageKind::Hold, true, None, hostile);
        let value: serde_json::Value = serde_json::from_str(&template.render(&message).unwrap()).unwrap();
        let content = format!("**hold** checkout: {hostile}");
        assert_eq!(value, serde_json::json!({"content": content, "n": null, "dry": true}));
    }

    #[test]
    fn what_would_fail_at_three_in_the_morning_fails_now() {
        for (text, rule) in [
            ("{\"text\": {{ text }", "not a template: syntax error"),
            ("{\"text\": {{ txt }}}", "a message has no field `txt`"),
            ("{% if kind == \"never\" %}{{ whom }}{% endif %}{\"a\": 1}", "a message has no field `whom`"),
            ("{\"text\": {{ text.first }}}", "can't be rendered: undefined value"),
            ("{\"text\": \"{{ text }}\"}", "doesn't render to JSON"),
            ("{% if kind == \"breach\" %}{}{% endif %}", "kind bad renders to nothing"),
            ("{% if kind != \"hold\" %}{}{% else %}[{% endif %}", "kind hold doesn't render to JSON"),
            ("{\"n\": {{ text|nofilter }}}", "unknown filter"),
            ("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}{}", "fuel"),
            ("{% include \"/etc/passwd\" %}", "not a template"),
        ] {
            let fault = json(text).unwrap_err();
            assert!(fault.rule.contains(rule), "{text}: {}", fault.rule);
        }
    }

    #[test]
    fn other_bodies_are_escaped_as_they_need_it() {
        let message = sample(MessageKind::Hold, false, None, "<b> & \"c\"");
        let said = |text: &str, kind: &'static str| parse(text, kind).unwrap().render(&message).unwrap();
        assert_eq!(said("{{ kind }}: {{ text }}", "text/plain"), "hold: <b> & \"c\"");
        assert!(
            said("<p>{{ text }}</p>", "text/html; charset=utf-8").contains("&lt;b&gt; &amp; &quot;c&quot;")
        );
        assert_eq!(
            said("t={{ text|urlencode }}", "application/x-www-form-urlencoded"),
            "t=%3Cb%3E%20%26%20%22c%22"
        );
    }

    #[test]
    fn it_is_not_shown() {
        let template = json("{\"routing_key\": \"S3CR3T\", \"t\": {{ text }}}").unwrap();
        assert!(!format!("{template:?}").contains("S3CR3T"));
        assert_eq!(template, template.clone());
    }
}
