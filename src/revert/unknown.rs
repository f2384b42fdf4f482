//! What an answer holds that this build doesn't know.
//!
//! The SDK drops XML elements that its model lacks, so an older Serin would erase a newer field of a rule by writing
//! the rule back. The raw body is walked for names that the model of 2026-11 doesn't have, below the rule's actions.

use crate::hazard::{Hazard, answered};
use quick_xml::Reader;
use quick_xml::events::Event;
use std::collections::BTreeSet;

/// Every element name that may stand inside an action (ELBv2 API reference, `Action` and what it holds).
const KNOWN: [&str; 46] = [
    "AdditionalClaims",
    "AuthenticateCognitoConfig",
    "AuthenticateOidcConfig",
    "AuthenticationRequestExtraParams",
    "AuthorizationEndpoint",
    "ClientId",
    "ClientSecret",
    "ContentType",
    "DurationSeconds",
    "Enabled",
    "FixedResponseConfig",
    "Format",
    "ForwardConfig",
    "Host",
    "Issuer",
    "JwksEndpoint",
    "JwtValidationConfig",
    "MessageBody",
    "Name",
    "OnUnauthenticatedRequest",
    "Order",
    "Path",
    "Port",
    "Protocol",
    "Query",
    "RedirectConfig",
    "Scope",
    "SessionCookieName",
    "SessionTimeout",
    "StatusCode",
    "TargetGroupArn",
    "TargetGroupStickinessConfig",
    "TargetGroups",
    "TokenEndpoint",
    "Type",
    "UseExistingClientSecret",
    "UserInfoEndpoint",
    "UserPoolArn",
    "UserPoolClientId",
    "UserPoolDomain",
    "Values",
    "Weight",
    "entry",
    "key",
    "member",
    "value",
];

/// The unknown element names inside `DefaultActions` or `Actions` of the item whose ARN is `arn`; all of a body that
/// isn't well-formed is unknown.
pub(super) fn elements(body: &[u8], arn: &str) -> Vec<Box<str>> {
    match walk(body, arn) {
        Ok(unknown) => unknown.into_iter().filter(|_| answered(Hazard::DamagedRule)).collect(),
        Err(why) => vec![format!("unreadable XML: {why}").into()],
    }
}

fn walk(body: &[u8], arn: &str) -> Result<BTreeSet<Box<str>>, quick_xml::Error> {
    let mut reader = Reader::from_reader(body);
    let mut path: Vec<String> = Vec::new();
    let mut found: BTreeSet<Box<str>> = BTreeSet::new();
    let mut item: BTreeSet<Box<str>> = BTreeSet::new();
    let mut ours = false;
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        match reader.read_event_into(&mut buffer)? {
            Event::Start(start) => {
                let name = start.local_name().as_ref().to_owned();
                note(&path, &name, &mut item);
                path.push(name);
            }
            Event::Empty(start) => {
                let name = start.local_name().as_ref().to_owned();
                note(&path, &name, &mut item);
            }
            Event::End(_) => {
                path.pop();
                // An item of `Listeners` or `Rules` has ended.
                if path.last().is_some_and(|last| last == "Listeners" || last == "Rules") {
                    if ours {
                        found.append(&mut item);
                    }
                    item.clear();
                    ours = false;
                }
            }
            Event::Text(text) => {
                let is_arn = path.last().is_some_and(|last| last == "ListenerArn" || last == "RuleArn");
                if is_arn && text.trim() == arn {
                    ours = true;
                }
            }
            Event::Eof => return Ok(found),
            _ => {}
        }
    }
}

fn note(path: &[String], name: &str, item: &mut BTreeSet<Box<str>>) {
    let inside = path.iter().any(|part| part == "DefaultActions" || part == "Actions");
    if inside && !KNOWN.contains(&name) {
        item.insert(name.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(extra: &str) -> String {
        format!(
            "<R xmlns=\"x\"><D><Listeners><member><ListenerArn>other</ListenerArn><DefaultActions><member><Strange/></member>\
             </DefaultActions></member><member><ListenerArn>ours</ListenerArn><Port>80</Port><NewListenerField>1</NewListenerField>\
             <DefaultActions><member><Type>forward</Type><ForwardConfig>{extra}<TargetGroups><member><Weight>1</Weight></member>\
             </TargetGroups></ForwardConfig></member></DefaultActions></member></Listeners></D></R>"
        )
    }

    #[test]
    fn what_the_model_has_is_known() {
        assert!(elements(body("").as_bytes(), "ours").is_empty());
    }

    #[test]
    fn a_new_element_in_our_rule_is_found_and_a_neighbours_is_not() {
        assert_eq!(
            elements(body("<Mirror><To>x</To></Mirror>").as_bytes(), "ours"),
            ["Mirror".into(), "To".into()] as [Box<str>; 2]
        );
    }

    #[test]
    fn an_empty_new_element_is_found_too() {
        assert_eq!(elements(body("<Mirror/>").as_bytes(), "ours"), ["Mirror".into()] as [Box<str>; 1]);
    }

    #[test]
    fn a_body_that_is_no_xml_is_unknown_as_a_whole() {
        assert!(elements(b"<a></b>", "ours")[0].starts_with("unreadable XML"));
    }
}
