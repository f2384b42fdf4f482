//! The proof by fresh connections: who really answers behind the balancer now?
//!
//! No cookie is sent, no connection is kept, every address of the balancer is asked in turn: what the API says
//! about weights is not what users get until this says so.

use super::connect::Dialer;
use super::exchange::request;
use super::origin::Origin;
use super::probe::{Ended, probe};
use crate::clock;
use crate::model::guard::{Aim, Proof};
use crate::model::release::EpochId;
use crate::model::sample::{Outcome, Phases, Purpose, Sample, Taint};
use crate::model::target::{TargetId, VersionId};
use crate::settings::Target;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// The pause between two questions: gentle, and 20 answers still take only a fifth of a second.
const PAUSE: Duration = Duration::from_millis(10);
/// A round asks at most so many addresses before they are all known.
const ROUND: usize = 64;

/// Asks `targets`, one after the other, over fresh connections until each of their addresses gave `aim.answers` good
/// answers in a row.
pub(super) async fn prove(targets: Vec<Rc<Target>>, dialer: Rc<Dialer>, aim: Aim) -> Proof {
    let fresh: Vec<(Rc<Target>, Rc<Origin>)> = targets
        .iter()
        .map(|target| {
            let target = Rc::new(Target { fresh: true, ..Target::clone(target) });
            (Rc::clone(&target), Rc::new(Origin::new(target, None, Rc::new(Cell::new(0)))))
        })
        .collect();
    let until = clock::now().after(aim.within);
    let mut runs: BTreeMap<(usize, u16), u32> = BTreeMap::new();
    let mut last = String::from("nothing answered");
    let mut asked = 0_usize;
    while clock::now() < until {
        let index = asked % fresh.len().max(1);
        let Some((target, origin)) = fresh.get(index) else { break };
        let ended = ask_by(target, origin, &dialer).await;
        asked += 1;
        let run = runs.entry((index, ended.sample.addr)).or_default();
        match refusal(&ended, &aim) {
            None => *run += 1,
            Some(why) => {
                last = why;
                *run = 0;
            }
        }
        // Targets and their addresses take turns, so after so many questions each has been asked often enough.
        let wanted = usize::try_from(aim.answers).unwrap_or(usize::MAX).saturating_mul(runs.len().min(ROUND));
        if asked >= wanted && runs.values().all(|run| *run >= aim.answers) {
            let answers = runs.values().sum();
            return Proof::Shown { answers, addresses: u32::try_from(runs.len()).unwrap_or(u32::MAX) };
        }
        tokio::time::sleep(PAUSE).await;
    }
    Proof::NotShown(format!("after {} s: {last}", aim.within.as_secs()).into())
}

/// One target for each place that is connected to: the way to the balancer is what is proved, not every URL.
pub(super) fn places(targets: impl Iterator<Item = Rc<Target>>) -> Vec<Rc<Target>> {
    let mut places: BTreeMap<(String, u16, Option<SocketAddr>), Rc<Target>> = BTreeMap::new();
    for target in targets {
        let key = (target.endpoint.host.clone(), target.endpoint.port, target.connect_to);
        places.entry(key).or_insert(target);
    }
    places.into_values().collect()
}

/// One question outside any schedule, on a connection of its own.
pub(super) async fn ask(target: &Rc<Target>, dialer: &Rc<Dialer>) -> Ended {
    let origin = Rc::new(Origin::new(Rc::clone(target), None, Rc::new(Cell::new(0))));
    ask_by(target, &origin, dialer).await
}

async fn ask_by(target: &Rc<Target>, origin: &Rc<Origin>, dialer: &Rc<Dialer>) -> Ended {
    let now = clock::now();
    let sample = Sample {
        due: now,
        planned: now,
        phases: Phases::default(),
        target: TargetId(0),
        conn: 0,
        epoch: EpochId(0),
        addr: 0,
        version: VersionId::NONE,
        status: 0,
        purpose: Purpose::Production,
        taint: Taint::Clean,
        outcome: Outcome::Ok,
        told_slow: false,
    };
    probe(0, sample, Rc::clone(origin), Rc::clone(dialer), request(target)).await
}

/// Why an answer proves nothing; `None` when it counts.
fn refusal(ended: &Ended, aim: &Aim) -> Option<String> {
    if let Some(reason) = ended.sample.outcome.reason() {
        return Some(format!("{reason} {}", ended.sample.status).trim_end_matches(" 0").to_owned());
    }
    if aim.versions.is_empty() {
        return None;
    }
    match ended.version.as_deref() {
        Some(version) if aim.versions.contains(version) => None,
        Some(version) => Some(format!("version {version} answered")),
        None => Some("an answer named no version".into()),
    }
}
