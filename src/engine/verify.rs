//! The proof by fresh connections: who really answers behind the balancer now?
//!
//! No cookie is sent, no connection is kept, every address of the balancer is asked in turn: what the API says
//! about weights is not what users get until this says so.

use super::connect::Dialer;
use super::exchange::{Answer, Ask};
use super::link::carry;
use super::marks::Marks;
use super::origin::{Origin, Room};
use crate::clock;
use crate::model::guard::{Aim, Proof};
use crate::model::sample::{Outcome, Phases, Purpose};
use crate::model::target::TargetId;
use crate::model::trace::Tracing;
use crate::settings::Target;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

/// The pause between two questions: gentle, and 20 answers still take only a fifth of a second.
const PAUSE: Duration = Duration::from_millis(10);
/// A round asks at most so many addresses before they are all known.
const ROUND: usize = 64;

/// Asks `targets`, one after the other, over fresh connections until each of their addresses gave `aim.answers` good
/// answers in a row.
pub(super) async fn prove(targets: Vec<Rc<Target>>, dialer: Rc<Dialer>, aim: Aim) -> Proof {
    let fresh = |target: &Rc<Target>| Question::new(Target { fresh: true, ..Target::clone(target) }, &dialer);
    let fresh: Vec<Question> = targets.iter().map(fresh).collect();
    let until = clock::now().after(aim.within);
    let mut runs = Runs::default();
    let mut last = String::from("nothing answered");
    let mut asked = 0_usize;
    while clock::now() < until {
        let index = asked % fresh.len().max(1);
        let Some(question) = fresh.get(index) else { break };
        let reply = question.ask().await;
        asked += 1;
        let refused = refusal(&reply, &aim);
        runs.count((index, reply.addr), asked, refused.is_none());
        last = refused.unwrap_or(last);
        if let Some(shown) = runs.shown(aim.answers, asked, ROUND * fresh.len()) {
            return shown;
        }
        tokio::time::sleep(pause(&question.ask.target).unwrap_or(PAUSE)).await;
    }
    Proof::NotShown(format!("after {} s: {last}", aim.within.as_secs()).into())
}

/// Good answers in a row of each address of each target, and the number of the question that was its last.
#[derive(Debug, Default)]
struct Runs(BTreeMap<(usize, u16), (u32, usize)>);

impl Runs {
    /// Takes in the answer to question number `asked`. Where no address was had (a name that didn't resolve), the answer
    /// speaks of none.
    fn count(&mut self, (target, address): (usize, u16), asked: usize, good: bool) {
        if address == 0 {
            return;
        }
        let (run, last) = self.0.entry((target, address)).or_default();
        *run = if good { *run + 1 } else { 0 };
        *last = asked;
    }

    /// The proof, once every address has `answers` in a row. One that wasn't asked for `round` questions is no longer
    /// among the name's.
    fn shown(&mut self, answers: u32, asked: usize, round: usize) -> Option<Proof> {
        self.0.retain(|_, (_, last)| asked - *last < round);
        let count = self.0.len();
        // Targets and their addresses take turns, so after so many questions each has been asked often enough.
        let wanted = usize::try_from(answers).unwrap_or(usize::MAX).saturating_mul(count.min(ROUND));
        let all = count > 0 && asked >= wanted && self.0.values().all(|(run, _)| *run >= answers);
        all.then(|| Proof::Shown {
            answers: self.0.values().map(|(run, _)| run).sum(),
            addresses: u32::try_from(count).unwrap_or(u32::MAX),
        })
    }
}

/// What has to lie between two questions to a target whose rate is capped.
pub(super) fn pause(target: &Target) -> Option<Duration> {
    target.rate_cap_hz.map(|cap_hz| Duration::from_secs_f64(1.0 / cap_hz))
}

/// One target for each place that is connected to: the way to the balancer is what is proved, not every URL. One that
/// may be asked freely is preferred to one whose rate is capped.
pub(super) fn places(targets: impl Iterator<Item = Rc<Target>>) -> Vec<Rc<Target>> {
    let mut places: BTreeMap<(String, u16, Option<SocketAddr>), Rc<Target>> = BTreeMap::new();
    for target in targets {
        let key = (target.endpoint.host.clone(), target.endpoint.port, target.connect_to);
        let place = places.entry(key).or_insert_with(|| Rc::clone(&target));
        if place.rate_cap_hz.is_some() && target.rate_cap_hz.is_none() {
            *place = target;
        }
    }
    places.into_values().collect()
}

/// A target that is asked outside any schedule, each time on a connection of its own.
pub(super) struct Question {
    ask: Ask,
    origin: Origin,
}

/// What came of a question.
pub(super) struct Reply {
    pub(super) outcome: Outcome,
    pub(super) status: u16,
    pub(super) version: Option<Rc<str>>,
    pub(super) phases: Phases,
    pub(super) addr: u16,
}

impl Question {
    pub(super) fn new(target: Target, dialer: &Rc<Dialer>) -> Self {
        let room = Room { keep: 0, cap: 1.0 };
        let origin = Origin::new(&target, None, room, dialer, &Rc::default());
        // Nobody is asked to keep what is no span of ours. The run's own traces are made of samples, which these questions aren't.
        let tracing = Tracing::new(RandomState::new().hash_one(clock::wall_nanos()), 0.0);
        Self { ask: Ask::traced(Rc::new(target), tracing), origin }
    }

    /// The address behind the small number of a [`Reply`].
    pub(super) fn address(&self, index: u16) -> Option<IpAddr> {
        self.origin.address(index)
    }

    pub(super) async fn ask(&self) -> Reply {
        let marks = Rc::new(Marks::default());
        let due = clock::now();
        marks.begin();
        let mut speaker = None;
        let trace = self.ask.trace(Purpose::Production, TargetId(0), due);
        let answer = carry(&mut speaker, (&self.ask, trace), &self.origin, &marks);
        let answer = tokio::time::timeout(self.ask.target.timeout, answer).await;
        let answer = answer.unwrap_or_else(|_late| Answer::none(marks.step().timed_out()));
        let passage = marks.passage(due, clock::now());
        Reply {
            outcome: answer.outcome,
            status: answer.status,
            version: answer.version,
            phases: passage.phases,
            addr: passage.addr,
        }
    }
}

/// Why an answer proves nothing; `None` when it counts.
fn refusal(reply: &Reply, aim: &Aim) -> Option<String> {
    if let Some(reason) = reply.outcome.reason() {
        return Some(format!("{reason} {}", reply.status).trim_end_matches(" 0").to_owned());
    }
    if aim.versions.is_empty() {
        return None;
    }
    match reply.version.as_deref() {
        Some(version) if aim.versions.contains(version) => None,
        Some(version) => Some(format!("version {version} answered")),
        None => Some("an answer named no version".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: Proof = Proof::Shown { answers: 6, addresses: 2 };

    /// Asks two addresses in turn, the question numbers in `missed` without an address.
    fn asked(questions: usize, missed: &[usize]) -> Option<Proof> {
        let mut runs = Runs::default();
        (1..=questions).fold(None, |_, asked| {
            let address = if missed.contains(&asked) { 0 } else { u16::try_from(asked % 2 + 1).unwrap() };
            runs.count((0, address), asked, address != 0);
            runs.shown(3, asked, 64)
        })
    }

    #[test]
    fn each_address_needs_its_run() {
        assert_eq!(asked(5, &[]), None);
        assert_eq!(asked(6, &[]), Some(SHOWN));
    }

    #[test]
    fn a_name_that_did_not_resolve_once_does_not_spoil_the_proof() {
        assert_eq!(asked(8, &[1, 2]), Some(SHOWN));
    }

    #[test]
    fn one_bad_answer_begins_the_run_of_its_address_anew() {
        let mut runs = Runs::default();
        for asked in 1..=6 {
            runs.count((0, 1), asked, asked != 4);
        }
        assert_eq!(runs.shown(3, 6, 64), None);
    }

    #[test]
    fn an_address_that_left_the_name_is_not_waited_for() {
        let mut runs = Runs::default();
        runs.count((0, 2), 1, true);
        for asked in 2..=65 {
            runs.count((0, 1), asked, true);
        }
        assert_eq!(runs.shown(3, 65, 64), Some(Proof::Shown { answers: 64, addresses: 1 }));
    }
}
