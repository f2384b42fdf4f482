//! The Describe calls.

use super::params::Params;
use super::records::{LISTENER_ARN, LOAD_BALANCER_ARN, NAME, REGION, Records, Rule};
use super::refusal::Refusal;
use super::writes::known_resource;
use super::xml::Xml;
use crate::lab::groups::{Group, Health, Target};
use crate::lab::service::HEALTH_PATH;
use std::net::SocketAddr;
use std::sync::Arc;

/// `DescribeLoadBalancers`.
pub(super) fn load_balancers(params: &Params, records: &Records, xml: &mut Xml) -> Result<(), Refusal> {
    params.only(&["LoadBalancerArns", "Names", "Marker", "PageSize"])?;
    let arns = params.texts("LoadBalancerArns");
    let names = params.texts("Names");
    let unknown =
        arns.iter().find(|arn| *arn != LOAD_BALANCER_ARN).or(names.iter().find(|name| *name != NAME));
    if let Some(unknown) = unknown {
        return Err(load_balancer_not_found(unknown));
    }
    page(params, xml, "LoadBalancers", &[()], |xml, ()| {
        xml.leaf("LoadBalancerArn", LOAD_BALANCER_ARN);
        xml.leaf("DNSName", &records.dns_name);
        xml.leaf("CanonicalHostedZoneId", "Z32O12XQLNTSW2");
        xml.leaf("CreatedTime", "2026-01-01T00:00:00.000Z");
        xml.leaf("LoadBalancerName", NAME);
        xml.leaf("Scheme", "internet-facing");
        xml.leaf("VpcId", "vpc-0123456789abcdef0");
        xml.node("State", |xml| xml.leaf("Code", "active"));
        xml.leaf("Type", "application");
        xml.list("AvailabilityZones", ["a", "b"], |xml, zone| {
            xml.leaf("ZoneName", format!("{REGION}{zone}"));
            xml.leaf("SubnetId", format!("subnet-0123456789abcde{zone}"));
            xml.list("LoadBalancerAddresses", [(); 0], |_, ()| {});
        });
        xml.list("SecurityGroups", ["sg-0123456789abcdef0"], Xml::text);
        xml.leaf("IpAddressType", "ipv4");
    })
}

/// `DescribeListeners`.
pub(super) fn listeners(params: &Params, records: &Records, xml: &mut Xml) -> Result<(), Refusal> {
    params.only(&["LoadBalancerArn", "ListenerArns", "Marker", "PageSize"])?;
    let arns = params.texts("ListenerArns");
    match params.text("LoadBalancerArn") {
        Some(arn) if arn != LOAD_BALANCER_ARN => return Err(load_balancer_not_found(arn)),
        Some(_) if !arns.is_empty() => {
            return Err(Refusal::validation("Specify either a load balancer or listeners, not both"));
        }
        None if arns.is_empty() => {
            return Err(Refusal::validation("You must specify either listener ARNs or a load balancer ARN"));
        }
        _ => {}
    }
    if arns.iter().any(|arn| arn != LISTENER_ARN) {
        return Err(Refusal::new("ListenerNotFound", "One or more listeners not found"));
    }
    page(params, xml, "Listeners", &[()], |xml, ()| {
        xml.leaf("ListenerArn", LISTENER_ARN);
        xml.leaf("LoadBalancerArn", LOAD_BALANCER_ARN);
        xml.leaf("Port", records.port);
        xml.leaf("Protocol", "HTTP");
        actions(xml, "DefaultActions", records.default_rule(), records);
    })
}

/// `DescribeRules`.
pub(super) fn rules(params: &Params, records: &Records, xml: &mut Xml) -> Result<(), Refusal> {
    params.only(&["ListenerArn", "RuleArns", "Marker", "PageSize"])?;
    let arns = params.texts("RuleArns");
    match params.text("ListenerArn") {
        Some(arn) if arn != LISTENER_ARN => {
            return Err(Refusal::new("ListenerNotFound", "One or more listeners not found"));
        }
        Some(_) if !arns.is_empty() => {
            return Err(Refusal::validation("Specify either a listener or rules, not both"));
        }
        None if arns.is_empty() => {
            return Err(Refusal::validation("You must specify either listener rule ARNs or a listener ARN"));
        }
        _ => {}
    }
    if arns.iter().any(|arn| !records.rules.iter().any(|rule| rule.arn == *arn)) {
        return Err(Refusal::new("RuleNotFound", "One or more rules not found"));
    }
    let wanted: Vec<_> =
        records.rules.iter().filter(|rule| arns.is_empty() || arns.contains(&rule.arn)).collect();
    page(params, xml, "Rules", &wanted, |xml, rule| write_rule(xml, rule, records))
}

/// `DescribeTargetGroups`.
pub(super) fn target_groups(
    params: &Params,
    records: &Records,
    groups: &[Arc<Group>],
    xml: &mut Xml,
) -> Result<(), Refusal> {
    params.only(&["LoadBalancerArn", "TargetGroupArns", "Names", "Marker", "PageSize"])?;
    let (arns, names) = (params.texts("TargetGroupArns"), params.texts("Names"));
    let unknown_arn = arns.iter().any(|arn| !groups.iter().any(|group| group.arn == *arn));
    let unknown_name = names.iter().any(|name| !groups.iter().any(|group| group.name == *name));
    if unknown_arn || unknown_name {
        return Err(Refusal::new("TargetGroupNotFound", "One or more target groups not found"));
    }
    let balancer = params.text("LoadBalancerArn");
    if let Some(arn) = balancer.filter(|arn| *arn != LOAD_BALANCER_ARN) {
        return Err(load_balancer_not_found(arn));
    }
    let routing = records.routing(groups);
    let in_rules = |group: &Group| routing.groups().any(|used| used.arn == group.arn);
    let shown: Vec<_> = groups
        .iter()
        .filter(|group| arns.is_empty() || arns.contains(&group.arn))
        .filter(|group| names.is_empty() || names.contains(&group.name))
        .filter(|group| balancer.is_none() || in_rules(group))
        .collect();
    page(params, xml, "TargetGroups", &shown, |xml, group| write_group(xml, group, in_rules(group)))
}

/// `DescribeTargetHealth`: no paging.
pub(super) fn target_health(params: &Params, groups: &[Arc<Group>], xml: &mut Xml) -> Result<(), Refusal> {
    params.only(&["TargetGroupArn", "Targets", "Include"])?;
    let group = find_group(groups, params.required("TargetGroupArn")?)?;
    let asked = params
        .members("Targets")
        .iter()
        .map(|target| target_address(target, group))
        .collect::<Result<Vec<_>, _>>()?;
    let registered = group.targets();
    let find = |addr: SocketAddr| registered.iter().find(|target| target.addr == addr);
    let shown: Vec<(SocketAddr, Option<&Arc<Target>>)> = if asked.is_empty() {
        registered.iter().map(|target| (target.addr, Some(target))).collect()
    } else {
        asked.into_iter().map(|addr| (addr, find(addr))).collect()
    };
    xml.list("TargetHealthDescriptions", shown, |xml, (addr, target)| {
        xml.node("Target", |xml| {
            xml.leaf("Id", addr.ip());
            xml.leaf("Port", addr.port());
            xml.leaf("AvailabilityZone", format!("{REGION}a"));
        });
        xml.leaf("HealthCheckPort", addr.port());
        let (state, why) = state_and_reason(group, target.map(|target| target.health()));
        xml.node("TargetHealth", |xml| {
            xml.leaf("State", state);
            xml.leaf_if("Reason", why.as_ref().map(|(reason, _)| reason));
            xml.leaf_if("Description", why.as_ref().map(|(_, description)| description));
        });
        xml.node("AdministrativeOverride", |xml| {
            xml.leaf("State", "no_override");
            xml.leaf("Reason", "AdministrativeOverride.NoOverride");
            xml.leaf("Description", "No override is currently active on target");
        });
    });
    Ok(())
}

/// `DescribeTags`.
pub(super) fn tags(
    params: &Params,
    records: &Records,
    groups: &[Arc<Group>],
    xml: &mut Xml,
) -> Result<(), Refusal> {
    params.only(&["ResourceArns"])?;
    let arns = params.texts("ResourceArns");
    if arns.is_empty() || arns.len() > 20 {
        return Err(Refusal::validation("Between 1 and 20 resource ARNs must be specified"));
    }
    arns.iter().try_for_each(|arn| known_resource(arn, records, groups))?;
    xml.list("TagDescriptions", &arns, |xml, arn| {
        xml.leaf("ResourceArn", arn);
        xml.list("Tags", records.tags.get(arn).into_iter().flatten(), |xml, (key, value)| {
            xml.leaf("Key", key);
            xml.leaf("Value", value);
        });
    });
    Ok(())
}

/// The group with this ARN.
pub(super) fn find_group<'a>(groups: &'a [Arc<Group>], arn: &str) -> Result<&'a Arc<Group>, Refusal> {
    groups
        .iter()
        .find(|group| group.arn == arn)
        .ok_or_else(|| Refusal::new("TargetGroupNotFound", "One or more target groups not found"))
}

/// The address of one `Targets.member.N`.
pub(super) fn target_address(target: &Params, group: &Group) -> Result<SocketAddr, Refusal> {
    target.only(&["Id", "Port", "AvailabilityZone"])?;
    let id = target.required("Id")?;
    let ip = id.parse().map_err(|_| Refusal::new("InvalidTarget", format!("'{id}' is not an IP address")))?;
    let port = target.value("Port")?.unwrap_or_else(|| default_port(group));
    Ok(SocketAddr::new(ip, port))
}

pub(super) fn load_balancer_not_found(name: &str) -> Refusal {
    Refusal::new("LoadBalancerNotFound", format!("Load balancer '{name}' not found"))
}

/// Shows one page of `items`. The marker is the number of the first item of the next page.
fn page<T: Copy>(
    params: &Params,
    xml: &mut Xml,
    name: &str,
    items: &[T],
    write: impl FnMut(&mut Xml, T),
) -> Result<(), Refusal> {
    let size: usize = params.value("PageSize")?.unwrap_or(PAGE_SIZE_MAX);
    if !(1..=PAGE_SIZE_MAX).contains(&size) {
        return Err(Refusal::validation("PageSize must be between 1 and 400"));
    }
    let bad_marker = || Refusal::validation("The marker is not valid");
    let first: usize = match params.text("Marker") {
        None => 0,
        Some(marker) => marker.strip_prefix("page-").and_then(|n| n.parse().ok()).ok_or_else(bad_marker)?,
    };
    let rest = items.get(first..).ok_or_else(bad_marker)?;
    xml.list(name, rest.iter().copied().take(size), write);
    if rest.len() > size {
        xml.leaf("NextMarker", format!("page-{}", first + size));
    }
    Ok(())
}

fn actions(xml: &mut Xml, name: &str, rule: &Rule, records: &Records) {
    xml.list(name, &rule.actions, |xml, action| action.write(xml, records.unknown_element.as_ref()));
}

fn write_rule(xml: &mut Xml, rule: &Rule, records: &Records) {
    xml.leaf("RuleArn", &rule.arn);
    xml.leaf("Priority", rule.priority.map_or("default".to_owned(), |priority| priority.to_string()));
    let conditions = (!rule.paths.is_empty()).then_some(&rule.paths);
    xml.list("Conditions", conditions, |xml, paths| {
        xml.leaf("Field", "path-pattern");
        xml.list("Values", paths, Xml::text);
        xml.node("PathPatternConfig", |xml| xml.list("Values", paths, Xml::text));
    });
    actions(xml, "Actions", rule, records);
    xml.leaf("IsDefault", rule.priority.is_none());
}

fn write_group(xml: &mut Xml, group: &Group, in_rules: bool) {
    xml.leaf("TargetGroupArn", &group.arn);
    xml.leaf("TargetGroupName", &group.name);
    xml.leaf("Protocol", "HTTP");
    xml.leaf("Port", default_port(group));
    xml.leaf("VpcId", "vpc-0123456789abcdef0");
    xml.leaf("HealthCheckProtocol", "HTTP");
    xml.leaf("HealthCheckPort", "traffic-port");
    xml.leaf("HealthCheckEnabled", true);
    xml.leaf("HealthCheckPath", HEALTH_PATH);
    xml.node("Matcher", |xml| xml.leaf("HttpCode", "200"));
    xml.list("LoadBalancerArns", in_rules.then_some(LOAD_BALANCER_ARN), Xml::text);
    xml.leaf("TargetType", "ip");
    xml.leaf("ProtocolVersion", "HTTP1");
    xml.leaf("IpAddressType", "ipv4");
}

/// The states and reasons of the API model; `None` stands for a target that isn't registered.
fn state_and_reason(group: &Group, health: Option<Health>) -> (&'static str, Option<(&'static str, String)>) {
    let because = |reason, text: &str| Some((reason, text.to_owned()));
    match health {
        None => ("unused", because("Target.NotRegistered", "Target is not registered to the target group")),
        Some(Health::Draining(_)) => {
            ("draining", because("Target.DeregistrationInProgress", "Target deregistration is in progress"))
        }
        Some(_) if !group.in_use() => (
            "unused",
            because(
                "Target.NotInUse",
                "Target group is not configured to receive traffic from the load balancer",
            ),
        ),
        Some(Health::Initial) => {
            ("initial", because("Elb.InitialHealthChecking", "Initial health checks in progress"))
        }
        Some(Health::Healthy) => ("healthy", None),
        Some(Health::Unhealthy(Some(status))) => (
            "unhealthy",
            Some((
                "Target.ResponseCodeMismatch",
                format!("Health checks failed with these codes: [{}]", status.as_u16()),
            )),
        ),
        Some(Health::Unhealthy(None)) => {
            ("unhealthy", because("Target.FailedHealthChecks", "Health checks failed"))
        }
    }
}

fn default_port(group: &Group) -> u16 {
    group.targets().first().map_or(80, |target| target.addr.port())
}

/// The largest page of the API, and the size when none is asked for.
const PAGE_SIZE_MAX: usize = 400;
