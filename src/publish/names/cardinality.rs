//! How many series there can be: every label comes from the configuration, from a closed set, or from a capped one.

use super::aliases::ALIASES;
use super::{
    CLASSES, CLOUDWATCH, CONDITIONS, Kind, LATCHES, Label, Metric, NAMES, Name, REFUSALS, REVERTS, WRITES,
};
use crate::model::budget::WINDOW_NAMES;
use crate::model::guard::PageKind;
use crate::model::sample::Phases;
use crate::model::verdict::{Verdict, WhyBlind};
use crate::settings::Peer;
use std::collections::BTreeSet;

/// Buckets of a classic histogram, its sum and its count.
const SAMPLES_OF_HISTOGRAM: u64 = crate::publish::BUCKETS + 2;
/// Beside those of the file: the control, and what is none of them.
const MORE_TARGETS: u64 = 2;
const PURPOSES: u64 = 3;
const MODES: u64 = 2;

/// At most so many, of a whole configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cardinality {
    /// Series as OTLP counts them, and Prometheus with native histograms.
    pub series: u64,
    /// Of those, what each further URL brings.
    pub of_target: u64,
    /// Samples of a scrape with classic histograms.
    pub samples: u64,
    /// Metrics of `CloudWatch`.
    pub cloudwatch: u64,
}

/// Of services with so many targets each, with the names of `peers` beside ours.
pub fn cardinality(targets: &(impl Iterator<Item = usize> + Clone), peers: &BTreeSet<Peer>) -> Cardinality {
    let mut all = Cardinality::default();
    for name in &NAMES {
        let many = |targets: u64| series(name, targets);
        // What has no service is there once.
        let of_service = name.labels.iter().any(|label| label.prometheus == "service");
        let count: u64 =
            if of_service { targets.clone().map(|each| many(each as u64)).sum() } else { many(0) };
        all.series += count;
        all.of_target += many(1) - many(0);
        all.samples += count * if name.kind == Kind::Histogram { SAMPLES_OF_HISTOGRAM } else { 1 };
    }
    for alias in ALIASES.iter().filter(|alias| peers.contains(&alias.peer)) {
        let count: u64 = targets.clone().map(|each| each as u64 * alias.series).sum();
        all.series += count;
        all.of_target += alias.series;
        all.samples += count;
    }
    for name in &CLOUDWATCH {
        let by_target = |each: usize| if name.by_target { each as u64 } else { 0 };
        all.cloudwatch += targets.clone().map(|each| 1 + by_target(each)).sum::<u64>();
    }
    all
}

/// The most that one figure of a service can have.
pub(in crate::publish) fn series(name: &Name, targets: u64) -> u64 {
    name.labels.iter().map(|label| values(name.metric, label, targets)).product()
}

fn values(metric: Metric, label: &Label, targets: u64) -> u64 {
    let of = |set: &[&str]| set.len() as u64;
    match (metric, label.prometheus) {
        (Metric::Blind, "reason") => WhyBlind::ALL.len() as u64,
        (Metric::Refusals, "reason") => of(&CONDITIONS) + of(&REFUSALS),
        (Metric::NeedsHuman, "reason") => of(&CONDITIONS) + of(&REFUSALS) + of(&LATCHES),
        (Metric::Dropped, "reason") => crate::publish::LOSSES,
        (_, "reason") => super::reasons().count() as u64,
        (Metric::Writes, "outcome") => of(&WRITES),
        (_, "outcome") => of(&REVERTS),
        (Metric::AnswersByVersion, "version") => crate::publish::VERSIONS,
        (_, "target") => targets + MORE_TARGETS,
        (_, "purpose") => PURPOSES,
        (_, "status_class") => of(&CLASSES),
        (_, "phase") => of(&Phases::NAMES),
        (_, "window") => of(&WINDOW_NAMES),
        (_, "verdict") => of(&Verdict::WORDS),
        (_, "condition") => of(&CONDITIONS),
        (_, "mode") => MODES,
        (_, "kind") => PageKind::ALL.len() as u64,
        (_, "destination") => crate::publish::DESTINATIONS,
        // The service, and the build.
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_more_brings_the_same_wherever_it_is() {
        let [one, two, both] =
            [vec![1], vec![2], vec![1, 1]].map(|targets| cardinality(&targets.into_iter(), &BTreeSet::new()));
        assert_eq!(two.series - one.series, one.of_target);
        // What isn't of a service: the version, the losses and the spool of each destination, and two figures of the configuration.
        let of_destinations = crate::publish::DESTINATIONS * (crate::publish::LOSSES + 2);
        let of_process = series(Metric::Build.name(), 0) + of_destinations + 2;
        assert_eq!(both.series - one.series, one.series - of_process);
        // Four of `CloudWatch`'s nine are of each URL too.
        assert_eq!((one.cloudwatch, two.cloudwatch, both.cloudwatch), (13, 17, 26));
        let histograms = NAMES.iter().filter(|name| name.kind == Kind::Histogram);
        let more: u64 = histograms.map(|name| series(name, 1) * (SAMPLES_OF_HISTOGRAM - 1)).sum();
        assert_eq!(one.samples - one.series, more);
    }

    #[test]
    fn names_of_peers_bring_a_few_series_a_url() {
        let of = |peers: &[Peer]| cardinality(&[2, 3].into_iter(), &peers.iter().copied().collect());
        let none = of(&[]);
        for (peers, each) in [(&[Peer::Blackbox][..], 11), (&[Peer::HttpCheck], 12), (&Peer::ALL, 23)] {
            let with = of(peers);
            assert_eq!(with.of_target - none.of_target, each, "{peers:?}");
            let more = [with.series - none.series, with.samples - none.samples];
            assert_eq!(more, [5 * each; 2], "{peers:?}, of five URLs");
            assert_eq!(with.cloudwatch, none.cloudwatch);
        }
    }
}
