//! What a configuration that was read anew asks for.

use crate::settings::{Entry, Service, Settings};
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It goes on, by other settings.
    Go,
    /// What it steers, or how that is reached, is another: it begins anew, as in a restart.
    Replace,
    /// It is watched from now on.
    Add,
    /// It isn't any more.
    Remove,
}

/// From one configuration to another.
#[derive(Debug)]
pub(super) struct Plan {
    /// The services as they are now, and the process as it began: that only changes with a restart.
    pub(super) settings: Settings,
    /// What has to be done, in the order of the names.
    pub(super) changes: Vec<(Service, What)>,
    /// Keys of the process that have another value now.
    pub(super) needs_restart: Vec<String>,
}

/// From `old` to `new`.
pub(super) fn plan(old: &Settings, new: Settings) -> Plan {
    let needs_restart = needs_restart(old, &new);
    let of_process = |entry: &Entry| entry.service.is_none();
    let Settings { services, entries, content_hash, .. } = new;
    let entries = entries.into_iter().filter(|entry| !of_process(entry));
    let mut settings = Settings {
        process: old.process.clone(),
        services,
        entries: old.entries.iter().filter(|entry| of_process(entry)).cloned().chain(entries).collect(),
        content_hash,
    };
    let before: BTreeMap<&str, &Service> = old.services.iter().map(|one| (one.name.as_str(), one)).collect();
    let mut changes = Vec::new();
    for service in &mut settings.services {
        let Some(before) = before.get(service.name.as_str()) else {
            changes.push((service.clone(), What::Add));
            continue;
        };
        if !before.is_steered_like(service) {
            changes.push((service.clone(), What::Replace));
            continue;
        }
        service.keep_front(before);
        if *service != **before {
            changes.push((service.clone(), What::Go));
        }
    }
    let stay: BTreeSet<&str> = settings.services.iter().map(|one| one.name.as_str()).collect();
    let gone = old.services.iter().filter(|one| !stay.contains(one.name.as_str()));
    changes.extend(gone.map(|gone| (gone.clone(), What::Remove)));
    changes.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
    Plan { settings, changes, needs_restart }
}

/// The keys of the process that differ.
fn needs_restart(old: &Settings, new: &Settings) -> Vec<String> {
    let values = |settings: &Settings| -> BTreeMap<String, String> {
        let own = settings.entries.iter().filter(|entry| entry.service.is_none());
        own.map(|entry| (entry.key.clone(), entry.value.clone())).collect()
    };
    let (before, after) = (values(old), values(new));
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differ = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
    let mut differ: Vec<String> = differ.cloned().collect();
    if differ.is_empty() && old.process != new.process {
        differ.push("a secret of [admin] or [publish]".into());
    }
    differ
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    const RULE: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/a/0123456789abcdef/0123456789abcdef/0123456789abcde";

    fn settings(services: &[(&str, &str)], process: &str) -> Settings {
        let documents = services.iter().enumerate().map(|(place, (name, keys))| {
            let process = if place == 0 { process } else { "" };
            let text = format!(
                "service = {name:?}\n{keys}\n[[targets]]\nname = \"front\"\nurl = \"http://127.0.0.1:1/\"\n\
                 [objectives]\navailability = \"99.9%\"\n{process}"
            );
            (format!("DOC{place}"), text)
        });
        let variables: BTreeMap<String, String> = documents.collect();
        let paths = variables.keys().map(|name| format!("env:{name}")).collect();
        crate::settings::load(&Sources { paths, variables, overrides: Vec::new() }).unwrap()
    }

    fn changes(old: &Settings, new: &Settings) -> Vec<(String, What)> {
        plan(old, new.clone()).changes.into_iter().map(|(service, what)| (service.name, what)).collect()
    }

    #[test]
    fn each_service_is_compared_with_what_it_was() {
        let acts = |rule: &str| format!("rule = \"{RULE}{rule}\"");
        let old = settings(&[("a", ""), ("b", ""), ("c", &acts("0")), ("e", &acts("2"))], "");
        let new = settings(
            &[("a", ""), ("b", "max_rate = \"200/s\""), ("c", &acts("1")), ("d", ""), ("e", &acts("2"))],
            "",
        );
        let changed = |name: &str, what| (name.to_owned(), what);
        assert_eq!(
            changes(&old, &new),
            [changed("b", What::Go), changed("c", What::Replace), changed("d", What::Add)]
        );
        assert_eq!(
            changes(&new, &old),
            [changed("b", What::Go), changed("c", What::Replace), changed("d", What::Remove)]
        );
        assert_eq!(changes(&old, &old), []);
    }

    #[test]
    fn the_name_of_the_balancer_that_is_known_stays_known() {
        let keys = |rest: &str| format!("rule = \"{RULE}0\"\n{rest}");
        let document = |rest: &str| {
            let mut settings = settings(&[("a", &keys(rest))], "");
            let service = &mut settings.services[0];
            service.targets[0].front = Some(service.front.clone());
            settings
        };
        let old = document("");
        old.services[0].front.know("lb.example".into());
        assert_eq!(changes(&old, &document("")), [], "what AWS told is no other configuration");
        let plan = plan(&old, document("max_rate = \"200/s\""));
        let (service, what) = &plan.changes[0];
        assert_eq!(*what, What::Go);
        assert_eq!(service.front.name(), Some("lb.example"));
        assert_eq!(service.targets[0].front.as_ref().unwrap().name(), Some("lb.example"));
    }

    #[test]
    fn what_the_process_has_once_stays_and_is_named() {
        let old = settings(&[("a", "")], "");
        let new = settings(
            &[("a", "max_rate = \"200/s\"")],
            "[log]\nlevel = \"debug\"\n[publish.emf]\nnamespace = \"Ours\"\n",
        );
        let plan = plan(&old, new.clone());
        assert_eq!(plan.settings.process, old.process);
        assert!(plan.needs_restart.contains(&"log.level".to_owned()), "{:?}", plan.needs_restart);
        assert!(plan.needs_restart.contains(&"publish.emf.namespace".to_owned()), "{:?}", plan.needs_restart);
        assert_eq!(plan.changes.len(), 1);
        assert_eq!(plan.settings.content_hash, new.content_hash);
        // The next time that is compared with how the process began again.
        assert_eq!(needs_restart(&plan.settings, &new), needs_restart(&old, &new));
        assert!(super::plan(&plan.settings, new).changes.is_empty());
        let mut secret = old.clone();
        secret.process.admin.token = None;
        let mut other = old.clone();
        other.process.admin.listen = "127.0.0.1:1".parse().unwrap();
        assert_eq!(needs_restart(&secret, &other), ["a secret of [admin] or [publish]"]);
    }
}
