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
use std::rc::Rc;
use std::time::Duration;

/// The pause between two questions: gentle, and 20 answers still take only a fifth of a second.
const PAUSE: Duration = Duration::from_millis(10);
/// A round asks at most so many addresses before they are all known.
const ROUND: usize = 64;

/// Asks the first target over fresh connections until each address gave `aim.answers` good answers in a row.
pub(super) async fn prove(target: Rc<Target>, dialer: Rc<Dialer>, aim: Aim) -> Proof {
    let fresh = Rc::new(Target { fresh: true, ..Target::clone(&target) });
    let origin = Rc::new(Origin::new(Rc::clone(&fresh), None, Rc::new(Cell::new(0))));
    let until = clock::now().after(aim.within);
    let mut runs: BTreeMap<u16, u32> = BTreeMap::new();
    let mut last = String::from("nothing answered");
    let mut asked = 0_usize;
    while clock::now() < until {
        let ended = ask(&fresh, &origin, &dialer).await;
        asked += 1;
        match refusal(&ended, &aim) {
            None => *runs.entry(ended.sample.addr).or_default() += 1,
            Some(why) => {
                last = why;
                runs.insert(ended.sample.addr, 0);
            }
        }
        // Addresses take turns, so after as many questions as answers are wanted each has been asked.
        let known = runs.len().clamp(1, ROUND);
        let wanted = usize::try_from(aim.answers).unwrap_or(usize::MAX).saturating_mul(known);
        if asked >= wanted && runs.values().all(|run| *run >= aim.answers) {
            let answers = runs.values().sum();
            return Proof::Shown { answers, addresses: u32::try_from(runs.len()).unwrap_or(u32::MAX) };
        }
        tokio::time::sleep(PAUSE).await;
    }
    Proof::NotShown(format!("after {} s: {last}", aim.within.as_secs()).into())
}

async fn ask(target: &Rc<Target>, origin: &Rc<Origin>, dialer: &Rc<Dialer>) -> Ended {
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
