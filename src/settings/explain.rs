//! What `serin check` says: every effective value with its origin, the load, and what will never happen.

use super::{Entry, Service, Settings, units};
use crate::model::policy::{Heard, Mode};
use serde_json::{Value, json};
use std::fmt::Write;

/// Columns of the value; longer ones push their origin to the right.
const VALUE_COLUMN: usize = 44;

/// The effective settings for people, secrets masked: each value with where it came from, then for each service its
/// load and whether it can ever act.
#[must_use]
pub fn explain(settings: &Settings) -> String {
    let mut text = String::new();
    for service in &settings.services {
        line(&mut text, &format!("service {} (sha256 {})", service.name, short(&service.content_hash)));
        values(
            &mut text,
            settings.entries.iter().filter(|entry| entry.service.as_ref() == Some(&service.name)),
        );
        line(&mut text, &format!("  load: {}", service.load_line()));
        if let Some(reason) = service.never_acts() {
            line(&mut text, &format!("  will never act: {reason}"));
        }
        line(&mut text, "");
    }
    line(&mut text, "process");
    values(&mut text, settings.entries.iter().filter(|entry| entry.service.is_none()));
    line(&mut text, &format!("  sha256 of all: {}", short(&settings.content_hash)));
    text
}

/// The same for programs: `{content_hash, services: [{service, content_hash, load, will_never_act, settings}],
/// process: {settings}}`; each setting is `{key, value, origin}`, the value as it would be written in TOML.
#[must_use]
pub fn explain_json(settings: &Settings) -> Value {
    let of = |name: Option<&str>| -> Vec<Value> {
        let entries = settings.entries.iter().filter(|entry| entry.service.as_deref() == name);
        entries
            .map(|entry| json!({"key": entry.key, "value": entry.value, "origin": entry.origin.to_string()}))
            .collect()
    };
    let service = |service: &Service| {
        json!({
            "service": service.name,
            "content_hash": service.content_hash,
            "load": {
                "instances": service.instances,
                "urls": service.targets.len(),
                "release_hz": service.release_rate_hz() * f64::from(service.instances),
                "calm_hz": service.calm_rate_hz() * f64::from(service.instances),
                "load_hz": service.load_hz(),
                "max_rate_hz": service.max_rate_hz,
            },
            "will_never_act": service.never_acts(),
            "settings": of(Some(&service.name)),
        })
    };
    json!({
        "content_hash": settings.content_hash,
        "services": settings.services.iter().map(service).collect::<Vec<_>>(),
        "process": {"settings": of(None)},
    })
}

impl Service {
    /// `2 instances × 4 URLs × 25/s = 200/s + 40/s (200/s while in doubt) asked of registered targets directly, at the
    /// release pace (calm 10/s), max_rate 1000/s`. Without a balancer nobody is asked directly.
    #[must_use]
    pub fn load_line(&self) -> String {
        let instances = f64::from(self.instances);
        let urls = self.targets.len();
        let share_hz = self.pace.release_hz / f64::from(u32::try_from(urls).unwrap_or(u32::MAX));
        let even = self.targets.iter().all(|target| target.weight == 1);
        let capped = self.targets.iter().filter(|target| self.release_rate_of(target) < share_hz);
        let capped = capped
            .filter(|target| target.rate_cap_hz.is_some_and(|cap| cap <= self.release_rate_of(target)))
            .count();
        let capped = match capped {
            0 => String::new(),
            n => format!(" ({n} of them at 1/s)"),
        };
        let direct = if self.asks_directly() {
            let [usual_hz, doubt_hz] =
                [self.direct_rate_hz(true), self.doubt_rate_hz()].map(|hz| hz * instances);
            let doubt = if doubt_hz > usual_hz * 1.01 {
                format!(" ({} while in doubt)", units::show_rate(doubt_hz))
            } else {
                String::new()
            };
            format!(" + {}{doubt} asked of registered targets directly,", units::show_rate(usual_hz))
        } else {
            String::new()
        };
        format!(
            "{} {} × {urls} {} × {}{}{capped} = {}{direct} at the release pace (calm {}), max_rate {}",
            self.instances,
            if self.instances == 1 { "instance" } else { "instances" },
            if urls == 1 { "URL" } else { "URLs" },
            units::show_rate(share_hz),
            if even { "" } else { " on average, by weight" },
            units::show_rate(self.release_rate_hz() * instances),
            units::show_rate(self.calm_rate_hz() * instances),
            units::show_rate(self.max_rate_hz),
        )
    }

    /// Whether the old version can be asked at its registered targets, past what shares out the requests.
    #[must_use]
    pub fn asks_directly(&self) -> bool {
        self.has_lever() && self.judge.heard == Heard::Directly
    }

    /// Whether anything can be put back.
    #[must_use]
    pub const fn has_lever(&self) -> bool {
        !self.levers.is_empty()
    }

    /// Why this service will never write, whatever happens; `None` when it may. What AWS has to say is asked later.
    #[must_use]
    pub fn never_acts(&self) -> Option<String> {
        match (self.mode, self.has_lever()) {
            (Mode::Observe, false) => Some(
                "mode = \"observe\", and there is neither listener, rule nor lambda_alias to put back"
                    .to_owned(),
            ),
            (Mode::Observe, true) => {
                Some("mode = \"observe\": it judges and tells what it would have done (DRY RUN)".to_owned())
            }
            (Mode::Act, false) => {
                Some("there is neither listener, rule nor lambda_alias to put back".to_owned())
            }
            (Mode::Act, true) => None,
        }
    }
}

fn values<'a>(text: &mut String, entries: impl Iterator<Item = &'a Entry>) {
    for entry in entries {
        let value = format!("{} = {}", entry.key, entry.value);
        line(text, &format!("  {value:<VALUE_COLUMN$}  {}", entry.origin));
    }
}

fn line(text: &mut String, line: &str) {
    // Writing to a string can't fail.
    let _ = writeln!(text, "{}", line.trim_end());
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
