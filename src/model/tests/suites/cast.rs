//! What a probe that is due now will come back with, and when.

use crate::chance::{Chance, span};
use crate::story::{Ill, Part, Place, Spell, Story, TIMEOUT_MS};
use serin_model::release::EpochId;
use serin_model::sample::{Fault, Ours, Outcome, Phases, Purpose, Sample, Taint};
use serin_model::target::{TargetId, VersionId};
use serin_model::time::{Mono, Span};

/// Connections through the balancer, spread over two addresses.
const CONNECTIONS: u32 = 10;
/// Registered targets of each colour.
const TARGETS: u32 = 3;

/// A probe before anybody has answered it.
pub(crate) fn blank(epoch: EpochId, purpose: Purpose, now: Mono) -> Sample {
    Sample {
        due: now,
        planned: now,
        phases: Phases { first_byte: span(4.0), ..Phases::default() },
        target: TargetId(0),
        conn: 0,
        epoch,
        addr: 0,
        version: VersionId::NONE,
        status: 0,
        purpose,
        taint: Taint::Clean,
        outcome: Outcome::Ok,
        told_slow: false,
    }
}

/// One probe; `group` is who answers it, `None` for the unrelated control. `None` when nothing is asked.
pub(crate) fn probe(
    story: &Story,
    chance: &mut Chance,
    count: u32,
    (seconds, now): (f64, Mono),
    (purpose, epoch): (Purpose, EpochId),
    group: Option<(Place, VersionId)>,
) -> Option<Sample> {
    let mut sample = blank(epoch, purpose, now);
    match purpose {
        Purpose::Production => {
            sample.conn = 1 + chance.below(CONNECTIONS);
            sample.addr = u16::from(sample.conn.is_multiple_of(2));
            let url = count * u32::from(story.url_step) % u32::from(story.urls);
            sample.target = TargetId(u16::try_from(url).expect("few"));
        }
        Purpose::Direct => {
            sample.conn = 1_000 + chance.below(CONNECTIONS);
            sample.addr = 100 + u16::try_from(count % TARGETS).expect("few");
        }
        Purpose::Control => sample.conn = 2_000 + count % 2,
    }
    let mut factor = 1.0;
    let mut ill = None;
    for spell in &story.spells {
        let strength = spell.strength(seconds);
        if strength > 0.0 && ill.is_none() && meets(spell, &sample, group, chance) && chance.hits(strength) {
            match spell.ill {
                Ill::Times(times) => factor *= times,
                other => ill = Some(other),
            }
        }
    }
    if let Some((_, version)) = group {
        sample.phases.first_byte = story.latency.draw(chance, factor);
        (sample.status, sample.version) = (200, version);
        if sample.phases.first_byte > span(TIMEOUT_MS) {
            ill = ill.or(Some(Ill::Hang));
        }
    } else {
        sample.status = 200;
    }
    match ill {
        Some(Ill::Silence) => return None,
        Some(ill) => suffer(&mut sample, ill, chance),
        None => {}
    }
    Some(sample)
}

fn meets(spell: &Spell, sample: &Sample, group: Option<(Place, VersionId)>, chance: &mut Chance) -> bool {
    let place = match spell.place {
        Place::Own | Place::Network => true,
        Place::Front => sample.purpose == Purpose::Production,
        Place::Both => group.is_some(),
        Place::Old | Place::New | Place::Third => group.is_some_and(|(place, _)| place == spell.place),
    };
    let part = match spell.part {
        Part::All => true,
        Part::Conn(conn) => sample.conn == conn,
        Part::Address(addr) => sample.addr == addr,
        Part::OneTaskOf(tasks) => chance.below(tasks) == 0,
        Part::Url(url) => sample.target.0 == url,
        Part::UrlsBelow(urls) => sample.target.0 < urls,
    };
    place && part
}

fn suffer(sample: &mut Sample, ill: Ill, chance: &mut Chance) {
    match ill {
        Ill::Status(status) => (sample.status, sample.outcome) = (status, Outcome::Bad(Fault::Status)),
        Ill::Body => sample.outcome = Outcome::Bad(Fault::Body),
        Ill::Bare(status) => {
            (sample.status, sample.outcome) = (status, Outcome::Bad(Fault::Status));
            sample.version = VersionId::NONE;
        }
        Ill::Edge(status) => {
            (sample.status, sample.outcome) = (status, Outcome::Bad(Fault::Edge));
            sample.version = VersionId::NONE;
        }
        Ill::Hang => {
            nothing(sample, Outcome::Bad(Fault::Timeout));
            sample.phases.first_byte = span(TIMEOUT_MS);
        }
        Ill::Fault(fault) => {
            nothing(sample, Outcome::Bad(fault));
            if !fault.release_can_cause() {
                sample.conn = 0;
            }
            if fault == Fault::ConnectTimeout {
                sample.phases.first_byte = span(TIMEOUT_MS);
            }
        }
        Ill::Late => {
            // Three of ten were never sent; the others were late, and what they got says nothing.
            if chance.hits(0.3) {
                nothing(sample, Outcome::Missed(Ours::Late));
                sample.phases = Phases::default();
            } else {
                (sample.taint, sample.phases.wake) = (Taint::Late, Span(800_000));
            }
        }
        Ill::Failed(ours) => nothing(sample, Outcome::Failed(ours)),
        Ill::Times(_) | Ill::Silence => {}
    }
}

fn nothing(sample: &mut Sample, outcome: Outcome) {
    (sample.status, sample.version, sample.outcome) = (0, VersionId::NONE, outcome);
}
