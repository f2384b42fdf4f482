//! The calls that change something. There is no compare-and-swap and no batch: AWS has neither (`AWS.md`,
//! finding 2). Whatever a call omits stays as it is.

use super::actions::Action;
use super::params::Params;
use super::reads::{find_group, load_balancer_not_found, target_address};
use super::records::{LISTENER_ARN, LOAD_BALANCER_ARN, Records};
use super::refusal::Refusal;
use crate::clock;
use crate::lab::groups::Group;
use crate::lab::world::World;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// `ModifyListener`: the actions of the default rule.
pub(super) fn modify_listener(params: &Params, world: &World) -> Result<(), Refusal> {
    params.only(&["ListenerArn", "DefaultActions"])?;
    if params.required("ListenerArn")? != LISTENER_ARN {
        return Err(Refusal::new("ListenerNotFound", "One or more listeners not found"));
    }
    if !params.mentions("DefaultActions") {
        return Ok(());
    }
    world.change(|records| {
        let rule = records.default_rule_mut();
        rule.actions = Action::parse_list(&params.members("DefaultActions"), &world.groups, &rule.actions)?;
        Ok(())
    })
}

/// `ModifyRule`: the actions of any other rule. Returns its ARN.
pub(super) fn modify_rule(params: &Params, world: &World) -> Result<String, Refusal> {
    params.only(&["RuleArn", "Actions"])?;
    let arn = params.required("RuleArn")?;
    let change = |records: &mut Records| {
        let rule = records.rules.iter_mut().find(|rule| rule.arn == arn);
        let rule = rule.ok_or_else(|| Refusal::new("RuleNotFound", "One or more rules not found"))?;
        if rule.priority.is_none() {
            return Err(Refusal::new(
                "OperationNotPermitted",
                format!("Default rule '{arn}' cannot be modified"),
            ));
        }
        if params.mentions("Actions") {
            rule.actions = Action::parse_list(&params.members("Actions"), &world.groups, &rule.actions)?;
        }
        Ok(arn.to_owned())
    };
    world.change(change)
}

/// `AddTags`.
pub(super) fn add_tags(params: &Params, world: &World) -> Result<(), Refusal> {
    params.only(&["ResourceArns", "Tags"])?;
    let mut tags = Vec::new();
    for tag in params.members("Tags") {
        let key = tag.required("Key")?.to_owned();
        if key.starts_with("aws:") {
            return Err(Refusal::validation("Tag keys that start with 'aws:' are reserved"));
        }
        if tags.iter().any(|(earlier, _)| *earlier == key) {
            return Err(Refusal::new("DuplicateTagKeys", format!("Tag key '{key}' is specified twice")));
        }
        tags.push((key, tag.text("Value").unwrap_or_default().to_owned()));
    }
    world.annotate(|records| {
        let arns = params.texts("ResourceArns");
        arns.iter().try_for_each(|arn| known_resource(arn, records, &world.groups))?;
        for arn in arns {
            records.tags.entry(arn).or_default().extend(tags.iter().cloned());
        }
        Ok(())
    })
}

/// `RemoveTags`.
pub(super) fn remove_tags(params: &Params, world: &World) -> Result<(), Refusal> {
    params.only(&["ResourceArns", "TagKeys"])?;
    let keys = params.texts("TagKeys");
    world.annotate(|records| {
        let arns = params.texts("ResourceArns");
        arns.iter().try_for_each(|arn| known_resource(arn, records, &world.groups))?;
        for arn in arns {
            records.tags.entry(arn).or_default().retain(|key, _| !keys.contains(key));
        }
        Ok(())
    })
}

/// `RegisterTargets`: in force at once; each needs one passed check.
pub(super) fn register_targets(params: &Params, world: &World) -> Result<(), Refusal> {
    let (group, targets) = group_and_targets(params, world)?;
    if let Some(foreign) = targets.iter().find(|addr| !addr.ip().is_loopback()) {
        return Err(Refusal::new("InvalidTarget", format!("'{}' is not on loopback", foreign.ip())));
    }
    for addr in targets {
        group.register(addr);
    }
    world.kick.notify_one();
    Ok(())
}

/// `DeregisterTargets`: no new requests at once, forgotten after `delay`.
pub(super) fn deregister_targets(params: &Params, world: &World, delay: Duration) -> Result<(), Refusal> {
    let (group, targets) = group_and_targets(params, world)?;
    let registered = group.targets();
    if let Some(unknown) = targets.iter().find(|addr| !registered.iter().any(|target| target.addr == **addr))
    {
        return Err(Refusal::new("InvalidTarget", format!("'{unknown}' is not registered")));
    }
    let until = clock::now().after(delay);
    for addr in targets {
        group.drain(addr, until);
    }
    Ok(())
}

/// Refuses an ARN that names nothing here, with the code of what it would have been.
pub(super) fn known_resource(arn: &str, records: &Records, groups: &[Arc<Group>]) -> Result<(), Refusal> {
    if arn == LOAD_BALANCER_ARN
        || arn == LISTENER_ARN
        || records.rules.iter().any(|rule| rule.arn == arn)
        || groups.iter().any(|group| group.arn == arn)
    {
        return Ok(());
    }
    let kind = arn.split(':').nth(5).unwrap_or_default().split('/').next().unwrap_or_default();
    Err(match kind {
        "loadbalancer" => load_balancer_not_found(arn),
        "listener" => Refusal::new("ListenerNotFound", "One or more listeners not found"),
        "listener-rule" => Refusal::new("RuleNotFound", "One or more rules not found"),
        "targetgroup" => Refusal::new("TargetGroupNotFound", "One or more target groups not found"),
        _ => Refusal::validation(format!("'{arn}' is not a valid resource ARN")),
    })
}

fn group_and_targets<'a>(
    params: &Params,
    world: &'a World,
) -> Result<(&'a Arc<Group>, Vec<SocketAddr>), Refusal> {
    params.only(&["TargetGroupArn", "Targets"])?;
    let group = find_group(&world.groups, params.required("TargetGroupArn")?)?;
    let targets = params.members("Targets");
    if targets.is_empty() {
        return Err(Refusal::validation("At least one target must be specified"));
    }
    let targets =
        targets.iter().map(|target| target_address(target, group)).collect::<Result<Vec<_>, _>>()?;
    Ok((group, targets))
}
