//! `check --live`: asks AWS and every target once, and acts on nothing.

use super::start::aws;
use crate::engine::{Dialer, question};
use crate::model::guard::Depth;
use crate::model::listener::{GroupHealth, HealthState, group_name};
use crate::model::policy::{Heard, Unheard};
use crate::revert::{Hand, Reverter};
use crate::settings::{Lever, Service, Settings, unasked_balancers};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What one question brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Which service.
    pub service: String,
    /// What was asked.
    pub what: String,
    /// What it said.
    pub says: String,
    /// It isn't as it should be.
    pub fault: bool,
    /// Why this service will never act while this is so.
    pub never: Option<String>,
}

impl Look {
    /// The same for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({ "service": self.service, "what": self.what, "says": self.says, "ok": !self.fault, "will_never_act": self.never })
    }
}

/// Asks everything once.
pub async fn look(settings: &Settings) -> Vec<Look> {
    let mut looks = Vec::new();
    let shared = aws().await;
    for service in &settings.services {
        if service.has_lever() {
            looks.extend(look_at_lever(service, &Hand::new(&shared, &service.levers, &service.whose)).await);
        }
    }
    looks.extend(look_at_targets(settings).await);
    looks
}

async fn look_at_lever(service: &Service, hand: &Hand) -> Vec<Look> {
    let arn = service.levers.iter().map(Lever::arn).collect::<Vec<_>>().join(", ");
    let look = |what: String, says: Result<String, String>| {
        let (says, fault) = match says {
            Ok(says) => (says, false),
            Err(says) => (says, true),
        };
        let never = fault.then(|| format!("{what}: {says}"));
        Look { service: service.name.clone(), what, says, fault, never }
    };
    if let Err(error) = hand.governable().await {
        return vec![look(arn, Err(error.to_string()))];
    }
    let observed = match hand.read(Depth::Full, BTreeSet::new()).await {
        Ok(observed) => observed,
        Err(error) => return vec![look(arn, Err(error.to_string()))],
    };
    let mut looks = vec![look(arn, Ok(format!("shows {}", observed.state.label())))];
    if service.targets.iter().any(|target| target.front.is_some()) {
        let name = hand.balancer_name().await.map_err(|error| error.to_string());
        if let Ok(name) = &name {
            service.front.know(name.clone());
        }
        let others = unasked_balancers(&service.levers).join(", ");
        let name = name.map(|name| match others.as_str() {
            "" => name,
            others => format!("{name}; the addresses of {others} are not asked, and prove no revert"),
        });
        looks.push(look("balancer".into(), name));
    }
    if let Some(hold) = observed.marks.as_ref().and_then(|marks| marks.hold.as_ref()) {
        looks.push(look("hold".into(), Err(format!("an operator holds: {hold}"))));
    }
    if let Some(marks) = &observed.marks {
        let standing = marks.owner.standing();
        let of_alias = |says: String| says.replace("the rule", "the alias");
        let standing =
            if service.asks_directly() { standing } else { standing.map(of_alias).map_err(of_alias) };
        looks.push(look("owner".into(), standing));
        if let Some(keeper) = &marks.keeper {
            let says = format!("{keeper} keeps its desired state: its next apply may undo a revert");
            looks.push(look("desired state".into(), Ok(says)));
        }
    }
    let serving = observed.state.serving();
    let groups = observed.health.iter().flatten();
    looks.extend(groups.map(|group| {
        let (what, says) = look_at_group(service, group, serving.contains(&*group.group));
        look(what, says)
    }));
    if let Heard::InProduction(unheard) = service.judge.heard {
        looks.push(look("old version".into(), Ok(heard(unheard).into())));
    }
    looks
}

/// A target group, or a version of a function.
fn look_at_group(service: &Service, group: &GroupHealth, serves: bool) -> (String, Result<String, String>) {
    let healthy = group.targets.iter().filter(|target| target.state == HealthState::Healthy).count();
    let name = group_name(&group.group);
    if !service.asks_directly() {
        let ready = if healthy > 0 { Ok("ready to be invoked") } else { Err("can't be invoked") };
        return (format!("version {name}"), ready.map(str::to_owned).map_err(str::to_owned));
    }
    let says = format!("{healthy} of {} targets healthy", group.targets.len());
    let asked = group.targets.iter().filter(|target| target.id.contains("://")).count();
    let says = if serves && healthy == 0 {
        Err(says)
    } else if serves && asked == 0 {
        Err(format!(
            "{says}; they have no address (instances or functions), so the old version can't be asked directly"
        ))
    } else {
        Ok(says)
    };
    (format!("target group {name}"), says)
}

/// What becomes of a release whose old version nobody can ask.
const fn heard(unheard: Unheard) -> &'static str {
    match unheard {
        Unheard::Hold => {
            "can't be asked past its alias: a step is compared with what it answers in production, and a shift of \
             everything at once is never reverted (judge.unheard = \"hold\")"
        }
        Unheard::Revert => {
            "can't be asked past its alias: a step is compared with what it answers in production, and a shift of \
             everything at once is reverted by the control's word (judge.unheard = \"revert\")"
        }
    }
}

/// Each target once, on a runtime thread of the engine's kind.
async fn look_at_targets(settings: &Settings) -> Vec<Look> {
    let services = settings.services.clone();
    let asked = tokio::task::spawn_blocking(move || {
        let dialer = match Dialer::of(&services) {
            Ok(dialer) => dialer,
            Err(error) => return vec![fault("", "TLS", &error)],
        };
        let targets: Vec<_> = services
            .iter()
            .flat_map(|service| service.targets.iter().map(|target| (service.name.clone(), target.clone())))
            .collect();
        match question(dialer, targets.iter().map(|(_, target)| target.clone()).collect()) {
            Ok(answers) => targets
                .into_iter()
                .zip(answers)
                .map(|((service, target), asked)| Look {
                    service,
                    what: target.endpoint.url.to_string(),
                    fault: asked.outcome.reason().is_some(),
                    says: asked.line(),
                    never: None,
                })
                .collect(),
            Err(error) => vec![fault("", "probing", &error)],
        }
    });
    asked.await.unwrap_or_else(|error| vec![fault("", "probing", &error)])
}

fn fault(service: &str, what: &str, error: &dyn std::fmt::Display) -> Look {
    Look { service: service.into(), what: what.into(), says: error.to_string(), fault: true, never: None }
}
