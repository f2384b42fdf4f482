//! `listener` and `rule`: what a revert may write to.

use super::reader::{Fault, Leaf, Noted, Section};
use super::{Lever, Mode};

/// The lever, or `None` for a service that is only measured.
pub(super) fn read(section: &Section<'_>) -> Result<Option<Lever>, Noted> {
    let listener = section.maybe("listener", |leaf| parse(leaf, Kind::Listener));
    let rule = section.maybe("rule", |leaf| parse(leaf, Kind::Rule));
    match (listener?, rule?) {
        (Some(_), Some(_)) => {
            let remedy = "keep listener for its default rule, or rule for this one";
            Err(section
                .refuse("rule", Fault::new("a service has one lever, and listener is set too", remedy)))
        }
        (listener, rule) => Ok(listener.or(rule)),
    }
}

/// `act` needs a lever that is ours alone.
pub(super) fn check_mode(
    section: &Section<'_>,
    mode: Mode,
    lever: Option<&Lever>,
    unowned: bool,
    sole_actuator: bool,
) -> Result<(), Noted> {
    if mode == Mode::Observe {
        return Ok(());
    }
    let mut faults = Vec::new();
    if lever.is_none() {
        faults.push(Fault::new(
            "act needs a lever, and there is neither listener nor rule",
            "name one, or observe",
        ));
    }
    if !unowned {
        let rule = "act needs owner = \"none\": who owns the listener isn't looked up yet, and a write beside ECS, \
                    CodeDeploy or a controller is undone or fights it";
        faults.push(Fault::new(rule, "add owner = \"none\" if that is so, or observe"));
    }
    if !sole_actuator {
        let rule = "act needs sole_actuator = true: the API has no compare-and-swap, so two Serins with one lever \
                    would overwrite each other";
        faults.push(Fault::new(rule, "add sole_actuator = true to one of them, or observe"));
    }
    let mut checked = Ok(());
    for fault in faults {
        checked = Err(section.refuse("mode", fault));
    }
    checked
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Listener,
    Rule,
}

/// `arn:PARTITION:elasticloadbalancing:REGION:ACCOUNT:listener/app/NAME/LB/LISTENER`, and for a rule
/// `listener-rule/app/NAME/LB/LISTENER/RULE` (Service Authorization Reference, Elastic Load Balancing V2).
fn parse(leaf: &Leaf<'_>, kind: Kind) -> Result<Lever, Fault> {
    let arn = leaf.text()?;
    let (key, other, word, parts) = match kind {
        Kind::Listener => ("listener", "rule", "listener", 4),
        Kind::Rule => ("rule", "listener", "listener-rule", 5),
    };
    let form = format!("write arn:aws:elasticloadbalancing:REGION:ACCOUNT:{word}/app/…");
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let &["arn", partition, service, region, account, resource] = fields.as_slice() else {
        return Err(Fault::new("not an ARN", form));
    };
    let resource: Vec<&str> = resource.split('/').collect();
    let plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let account_good = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    if !partition.starts_with("aws")
        || !plain(partition)
        || service != "elasticloadbalancing"
        || !plain(region)
        || !account_good
    {
        return Err(Fault::new("not the ARN of a load balancer's part in one region and account", form));
    }
    match resource.as_slice() {
        ["listener" | "listener-rule", "net" | "gwy", ..] => {
            let rule = "a Network or Gateway Load Balancer routes flows, not requests: its listener has no weighted \
                        forward to put back, and a connection outlives the change";
            Err(Fault::new(rule, "name a listener of an Application Load Balancer (…/app/…)"))
        }
        [found, ..] if *found != word && matches!(*found, "listener" | "listener-rule") => {
            Err(Fault::new(format!("{key} is given the ARN of a {other}"), format!("write {other} = \"…\"")))
        }
        [found, "app", rest @ ..]
            if *found == word && rest.len() == parts - 1 && rest.iter().all(|part| plain(part)) =>
        {
            let (arn, region) = (arn.to_owned(), region.to_owned());
            Ok(if kind == Kind::Listener {
                Lever::Listener { arn, region }
            } else {
                Lever::Rule { arn, region }
            })
        }
        _ => Err(Fault::new(format!("not the ARN of an Application Load Balancer's {key}"), form)),
    }
}
