//! What the Describe calls and the tag calls answer.

use crate::common::*;
use aws_sdk_elasticloadbalancingv2::types::{RuleCondition, Tag};
use http::Request;
use serin::lab::{ForwardForm, Lab, LabOptions};

/// A call by hand, for what the SDK hides or would never send.
async fn raw(lab: &Lab, authorization: Option<&str>, body: &'static str) -> (u16, String) {
    let addr = lab.endpoint_url().trim_start_matches("http://").parse().unwrap();
    let mut request = Request::post("/").header("host", "lab");
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    let request = request.body(bytes::Bytes::from_static(body.as_bytes()).into()).unwrap();
    let answer = Browser::open(addr).await.unwrap().send(request).await.unwrap();
    (answer.status().as_u16(), String::from_utf8(answer.body().to_vec()).unwrap())
}

const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=AKID/20261121/eu-west-1/elasticloadbalancing/aws4_request, \
     SignedHeaders=host, Signature=00";

const ALL_GROUPS: &str = "Action=DescribeTargetGroups&Version=2015-12-01";

#[tokio::test]
async fn a_plain_forward_is_shown_with_the_scalar_and_weight_one() {
    let lab = start(LabOptions { forward: ForwardForm::Single, ..LabOptions::default() }).await;
    let actions = default_actions(&lab).await;
    let config = actions[0].forward_config().unwrap();
    assert_eq!(actions[0].target_group_arn(), Some(lab.target_group_arn("blue").as_str()));
    assert_eq!(config.target_groups().len(), 1);
    assert_eq!(config.target_groups()[0].weight(), Some(1));
    let sticky = config.target_group_stickiness_config().unwrap();
    assert_eq!((sticky.enabled(), sticky.duration_seconds()), (Some(false), None));
}

#[tokio::test]
async fn two_groups_are_shown_without_the_scalar() {
    let lab = start(LabOptions::default()).await;
    let actions = default_actions(&lab).await;
    assert_eq!(actions[0].target_group_arn(), None);
    let groups = actions[0].forward_config().unwrap().target_groups();
    let weights: Vec<_> = groups.iter().map(|group| (group.target_group_arn(), group.weight())).collect();
    let (blue, green) = (lab.target_group_arn("blue"), lab.target_group_arn("green"));
    assert_eq!(weights, [(Some(blue.as_str()), Some(100)), (Some(green.as_str()), Some(0))]);
}

#[tokio::test]
async fn rules_come_in_pages_that_join_without_gap_or_double() {
    let lab = start(LabOptions { path_rule: Some("/api/*".to_owned()), ..LabOptions::default() }).await;
    let client = sdk(&lab);
    let (mut seen, mut marker) = (Vec::new(), None);
    loop {
        let call = client.describe_rules().listener_arn(lab.listener_arn()).page_size(1).set_marker(marker);
        let page = call.send().await.unwrap();
        seen.extend(page.rules().iter().map(|rule| {
            let patterns = rule.conditions().iter().flat_map(RuleCondition::values);
            (rule.priority().unwrap().to_owned(), rule.is_default().unwrap(), patterns.cloned().collect())
        }));
        marker = page.next_marker().map(str::to_owned);
        if marker.is_none() {
            break;
        }
    }
    let expected =
        [("10".to_owned(), false, vec!["/api/*".to_owned()]), ("default".to_owned(), true, Vec::new())];
    assert_eq!(seen, expected);
    let wrong = client.describe_rules().listener_arn(lab.listener_arn()).marker("x").send().await;
    assert_eq!(code(wrong.unwrap_err()), "ValidationError");
}

#[tokio::test]
async fn what_does_not_exist_is_refused_by_its_own_name() {
    let lab = start(LabOptions::default()).await;
    let client = sdk(&lab);
    let arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:x";
    let listener = client.describe_listeners().listener_arns(arn).send().await;
    assert_eq!(code(listener.unwrap_err()), "ListenerNotFound");
    let rule = client.describe_rules().rule_arns(arn).send().await;
    assert_eq!(code(rule.unwrap_err()), "RuleNotFound");
    let group = client.describe_target_groups().target_group_arns(arn).send().await;
    assert_eq!(code(group.unwrap_err()), "TargetGroupNotFound");
    let health = client.describe_target_health().target_group_arn(arn).send().await;
    assert_eq!(code(health.unwrap_err()), "TargetGroupNotFound");
    let balancer = client.describe_load_balancers().load_balancer_arns(arn).send().await;
    assert_eq!(code(balancer.unwrap_err()), "LoadBalancerNotFound");
    let other = client.describe_account_limits().send().await;
    assert_eq!(code(other.unwrap_err()), "InvalidAction");
}

#[tokio::test]
async fn the_balancer_and_its_groups_are_described() {
    let lab = start(LabOptions { forward: ForwardForm::Single, ..LabOptions::default() }).await;
    let client = sdk(&lab);
    let balancers = client.describe_load_balancers().send().await.unwrap();
    assert_eq!(balancers.load_balancers()[0].dns_name(), Some(lab.load_balancer_dns_name.as_str()));
    assert_eq!(balancers.load_balancers()[0].availability_zones().len(), 2);
    let groups = client.describe_target_groups().send().await.unwrap();
    let used: Vec<_> = groups
        .target_groups()
        .iter()
        .map(|group| (group.target_group_name().unwrap(), group.load_balancer_arns()))
        .collect();
    let balancer = [lab.load_balancer_arn().to_owned()];
    assert_eq!(used, [("blue", &balancer[..]), ("green", &[][..])]);
    let of_balancer = client.describe_target_groups().load_balancer_arn(lab.load_balancer_arn());
    assert_eq!(of_balancer.send().await.unwrap().target_groups().len(), 1);
    let health = client.describe_target_health().target_group_arn(lab.target_group_arn("blue"));
    let health = health.send().await.unwrap();
    let shown: Vec<_> =
        health.target_health_descriptions().iter().map(|t| t.target().unwrap().port()).collect();
    let real: Vec<_> = lab.service("blue").addresses().iter().map(|a| Some(i32::from(a.port()))).collect();
    assert_eq!(shown, real);
}

#[tokio::test]
async fn tags_are_added_shown_and_removed() {
    let lab = start(LabOptions::default()).await;
    let client = sdk(&lab);
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let add = client.add_tags().resource_arns(lab.listener_arn());
    add.tags(tag("release", "2026 <&>")).tags(tag("b", "")).send().await.unwrap();
    let reserved = client.add_tags().resource_arns(lab.listener_arn()).tags(tag("aws:x", "y")).send().await;
    assert_eq!(code(reserved.unwrap_err()), "ValidationError");
    lab.put_tag(lab.listener_arn(), "aws:x", "y");
    assert_eq!(tags(&lab).await, [("aws:x", "y"), ("b", ""), ("release", "2026 <&>")].map(owned));
    let remove = client.remove_tags().resource_arns(lab.listener_arn()).tag_keys("b").tag_keys("aws:x");
    remove.send().await.unwrap();
    assert_eq!(tags(&lab).await, [("release", "2026 <&>")].map(owned));
    let nowhere = client.add_tags().resource_arns(lab.rule_arn().unwrap_or_default()).send().await;
    assert_eq!(code(nowhere.unwrap_err()), "ValidationError");
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

async fn tags(lab: &Lab) -> Vec<(String, String)> {
    let answer = sdk(lab).describe_tags().resource_arns(lab.listener_arn()).send().await.unwrap();
    let tags = answer.tag_descriptions()[0].tags().iter();
    tags.map(|tag| owned((tag.key().unwrap(), tag.value().unwrap_or_default()))).collect()
}

#[tokio::test]
async fn an_unsigned_call_is_refused() {
    let lab = start(LabOptions::default()).await;
    let (status, body) = raw(&lab, None, ALL_GROUPS).await;
    assert_eq!(status, 403);
    assert!(body.contains("<Code>MissingAuthenticationToken</Code>"), "{body}");
    assert_eq!(raw(&lab, Some(SIGNED), ALL_GROUPS).await.0, 200);
}

#[tokio::test]
async fn an_unknown_element_is_in_the_body_and_lost_on_the_sdk() {
    let lab = start(LabOptions::default()).await;
    lab.set_unknown_element(Some(("MirrorConfig", "all")));
    let call = "Action=DescribeRules&Version=2015-12-01&RuleArns.member.1=";
    let call: &'static str = format!("{call}{}", lab.default_rule_arn()).leak();
    let (status, body) = raw(&lab, Some(SIGNED), call).await;
    assert_eq!(status, 200);
    assert!(body.contains("<MirrorConfig>all</MirrorConfig></ForwardConfig>"), "{body}");
    assert_eq!(default_actions(&lab).await.len(), 1);
    lab.set_unknown_element(None);
    assert!(!raw(&lab, Some(SIGNED), call).await.1.contains("MirrorConfig"));
}
