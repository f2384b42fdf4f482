//! `listener`, `rule` and `lambda_alias`: what a revert may write to.

use super::Mode;
use super::reader::{Fault, Leaf, Noted, Section};
use crate::config::quoted;
use crate::hazard::{Hazard, answered};

/// One call of AWS describes so many listeners or rules, and the tags of so many.
const LEVERS_MAX: usize = 20;

/// What a revert writes to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lever {
    /// The default rule of this listener.
    Listener {
        /// `arn:…:listener/app/…`.
        arn: String,
        /// From the ARN.
        region: String,
    },
    /// This rule.
    Rule {
        /// `arn:…:listener-rule/app/…`.
        arn: String,
        /// From the ARN.
        region: String,
    },
    /// This alias of a Lambda function.
    Alias {
        /// `arn:…:function:NAME:ALIAS`.
        arn: String,
        /// From the ARN.
        region: String,
    },
}

impl Lever {
    /// The ARN.
    #[must_use]
    pub fn arn(&self) -> &str {
        match self {
            Self::Listener { arn, .. } | Self::Rule { arn, .. } | Self::Alias { arn, .. } => arn,
        }
    }

    /// The region.
    #[must_use]
    pub fn region(&self) -> &str {
        match self {
            Self::Listener { region, .. } | Self::Rule { region, .. } | Self::Alias { region, .. } => region,
        }
    }

    /// The key that names it.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Listener { .. } => "listener",
            Self::Rule { .. } => "rule",
            Self::Alias { .. } => "lambda_alias",
        }
    }

    /// Of an alias: its function's ARN without a qualifier, and its own name.
    #[must_use]
    pub fn alias(&self) -> Option<(&str, &str)> {
        match self {
            Self::Alias { arn, .. } => arn.rsplit_once(':'),
            Self::Listener { .. } | Self::Rule { .. } => None,
        }
    }
}

/// The balancers whose own addresses no probe asks: all but that of the first lever, each as `app/NAME/ID`.
#[must_use]
pub fn unasked_balancers(levers: &[Lever]) -> Vec<&str> {
    fn of(lever: &Lever) -> Option<&str> {
        match lever {
            Lever::Listener { arn, .. } | Lever::Rule { arn, .. } => {
                let (_, path) = arn.split_once('/')?;
                let end = path.match_indices('/').nth(2).map_or(path.len(), |(end, _)| end);
                Some(&path[..end])
            }
            Lever::Alias { .. } => None,
        }
    }
    let mut all: Vec<&str> = Vec::new();
    for balancer in levers.iter().filter_map(of) {
        if !all.contains(&balancer) {
            all.push(balancer);
        }
    }
    all.drain(..all.len().min(1));
    all
}

/// Whether these are one alias, whose versions nobody can ask.
pub(super) fn is_alias(levers: &[Lever]) -> bool {
    levers.iter().any(|lever| lever.alias().is_some())
}

/// What the file says of whose the levers are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whose {
    /// Nobody deploys to them by ECS or `CodeDeploy`, so that neither is asked. A Kubernetes controller's tags count all the same.
    pub nobodys: bool,
    /// The cluster and the ECS service behind them, so that no other is looked at.
    pub service: Option<(String, String)>,
}

/// `owner` and `ecs_service`.
pub(super) fn whose(section: &Section<'_>, levers: &Result<Vec<Lever>, Noted>) -> Result<Whose, Noted> {
    let nobodys = section.get("owner", |leaf| leaf.choice(&[("auto", false), ("none", true)]));
    let service = section.maybe("ecs_service", |leaf| {
        let text = leaf.text()?;
        let plain = |name: &str| {
            let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            (1..=255).contains(&name.len()) && name.bytes().all(letter)
        };
        match text.split_once('/') {
            Some((cluster, service)) if plain(cluster) && plain(service) => {
                Ok((cluster.to_owned(), service.to_owned()))
            }
            _ => Err(Fault::new(
                "it is cluster/service, each of letters, digits, - and _",
                "write both names, as in \"prod/checkout\"",
            )),
        }
    });
    let (nobodys, service) = (nobodys?, service?);
    if service.is_some() && levers.as_ref().is_ok_and(|levers| is_alias(levers)) {
        let rule = "ECS moves no Lambda alias: only CodeDeploy is asked whose it is";
        return Err(section.refuse("ecs_service", Fault::new(rule, "leave it out")));
    }
    if nobodys && service.is_some() {
        let rule = "owner = \"none\" says that no ECS service is behind the lever";
        return Err(section.refuse("ecs_service", Fault::new(rule, "leave out one of the two")));
    }
    Ok(Whose { nobodys, service })
}

/// What moves together, the most important first: listeners in their order, then rules; or one alias. None for a service that is
/// only measured.
pub(super) fn read(section: &Section<'_>) -> Result<Vec<Lever>, Noted> {
    let listeners = section.maybe("listener", |leaf| several(leaf, Kind::Listener));
    let rules = section.maybe("rule", |leaf| several(leaf, Kind::Rule));
    let alias = section.maybe("lambda_alias", |leaf| function_alias(leaf.text()?));
    let mut levers = listeners?.unwrap_or_default();
    let (rules, alias) = (rules?.unwrap_or_default(), alias?);
    if let Some(other) = alias.as_ref().and(levers.first().or(rules.first())) {
        let rule = format!(
            "there is a {} too, {}: a service's requests are shared out by a balancer or by an alias, and one revert is \
             of one",
            other.key(),
            quoted(other.arn())
        );
        let remedy = "leave out one of them, or make two services";
        return Err(section.refuse("lambda_alias", Fault::new(rule, remedy)));
    }
    levers.extend(alias);
    let key = if rules.is_empty() { "listener" } else { "rule" };
    levers.extend(rules);
    if levers.len() > LEVERS_MAX {
        let rule =
            format!("{} listeners and rules; at most {LEVERS_MAX} are put back together", levers.len());
        return Err(section.refuse(key, Fault::new(rule, "make services of those that don't move together")));
    }
    for (index, lever) in levers.iter().enumerate() {
        if levers[..index].contains(lever) {
            let rule = format!("{} is named twice", quoted(lever.arn()));
            return Err(section.refuse(key, Fault::new(rule, "name each once")));
        }
        if owner(lever.arn()) != owner(levers[0].arn()) {
            let rule = format!(
                "{} is of another region or account than {}: one revert is of one",
                quoted(lever.arn()),
                quoted(levers[0].arn())
            );
            return Err(section.refuse(key, Fault::new(rule, "make it a service of its own")));
        }
    }
    Ok(levers)
}

/// Partition, region and account of an ARN.
fn owner(arn: &str) -> Vec<&str> {
    arn.split(':').take(5).collect()
}

/// One ARN, or a list of them.
fn several(leaf: &Leaf<'_>, kind: Kind) -> Result<Vec<Lever>, Fault> {
    let (arns, are_listed) = leaf.texts()?;
    let one =
        |arn: &str| parse(arn, kind).map_err(|fault| if are_listed { fault.of(&quoted(arn)) } else { fault });
    arns.into_iter().map(one).collect()
}

/// `act` needs a lever that is ours alone.
pub(super) fn check_mode(
    section: &Section<'_>,
    mode: Mode,
    levers: &[Lever],
    sole_actuator: bool,
) -> Result<(), Noted> {
    if mode == Mode::Observe {
        return Ok(());
    }
    let mut faults = Vec::new();
    if levers.is_empty() {
        faults.push(Fault::new(
            "act needs a lever, and there is neither listener, rule nor lambda_alias",
            "name one, or observe",
        ));
    }
    if !sole_actuator && answered(Hazard::Race) {
        let rule = if is_alias(levers) {
            "act needs sole_actuator = true: two Serins with one lever would revert twice, each within its own budget"
        } else {
            "act needs sole_actuator = true: the API has no compare-and-swap, so two Serins with one lever \
             would overwrite each other"
        };
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
fn parse(arn: &str, kind: Kind) -> Result<Lever, Fault> {
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

/// `arn:PARTITION:lambda:REGION:ACCOUNT:function:NAME:ALIAS` (Service Authorization Reference, AWS Lambda; the letters of both names are
/// those of `GetAlias`).
fn function_alias(arn: &str) -> Result<Lever, Fault> {
    let form = "write arn:aws:lambda:REGION:ACCOUNT:function:NAME:ALIAS";
    let fields: Vec<&str> = arn.split(':').collect();
    let &["arn", partition, service, region, account, kind, ref rest @ ..] = fields.as_slice() else {
        return Err(Fault::new("not an ARN", form));
    };
    let plain = |text: &str, more: &str, most: usize| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || more.as_bytes().contains(&byte);
        (1..=most).contains(&text.len()) && text.bytes().all(letter)
    };
    let account_good = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    if service != "lambda" {
        return Err(Fault::new(format!("the ARN of {} and not of Lambda", quoted(service)), form));
    }
    if !partition.starts_with("aws")
        || !plain(partition, "-", 20)
        || !plain(region, "-", 30)
        || !account_good
        || kind != "function"
    {
        return Err(Fault::new("not the ARN of a function in one region and account", form));
    }
    match *rest {
        [name] if plain(name, "-_", 64) => {
            let rule = "the function itself, without an alias: its requests go to $LATEST, which has no state to return to";
            Err(Fault::new(rule, "publish versions, let an alias share out the requests, and add :ALIAS"))
        }
        [_, "$LATEST"] => {
            let rule = "$LATEST changes under its name, so there is no state to return to";
            Err(Fault::new(rule, "name the alias that the requests go to"))
        }
        [_, version] if version.bytes().all(|byte| byte.is_ascii_digit()) && !version.is_empty() => {
            let rule = format!("{version} is a version, which never changes and has no weights");
            Err(Fault::new(rule, "name the alias that the requests go to"))
        }
        [name, alias] if plain(name, "-_", 64) && plain(alias, "-_", 128) => {
            Ok(Lever::Alias { arn: arn.to_owned(), region: region.to_owned() })
        }
        _ => Err(Fault::new("not the ARN of a function's alias", form)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_balancers_all_but_the_first_are_not_asked() {
        let lever = |word: &str, rest: &str| {
            let arn = format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:{word}/app/{rest}");
            parse(&arn, if word == "listener" { Kind::Listener } else { Kind::Rule }).unwrap()
        };
        let one = [lever("listener", "shop/1/a"), lever("listener-rule", "shop/1/b/c")];
        assert!(unasked_balancers(&one).is_empty());
        assert!(unasked_balancers(&[]).is_empty());
        let more = [
            one[0].clone(),
            lever("listener-rule", "inner/2/b/c"),
            lever("listener", "inner/2/d"),
            lever("listener", "shop/3/d"),
        ];
        assert_eq!(unasked_balancers(&more), ["app/inner/2", "app/shop/3"]);
    }
}
