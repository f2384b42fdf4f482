//! What may be said of a release: four words, not two, and each with its reason.

use crate::objective::P95;
use crate::time::{Mono, Span};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The judge's word. There is no default and no catch-all: whoever matches on it says what each means.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Known answers of the version under judgement keep every promise.
    Good,
    /// A promise is broken, and the old version proves that path and prober are sound.
    Bad(Evidence),
    /// Something is wrong or not yet known, and a revert isn't known to help.
    Inconclusive(Why),
    /// The prober can't tell the target's fault from its own.
    Blind(WhyBlind),
}

impl Verdict {
    /// One word, as in metrics and records.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad(_) => "bad",
            Self::Inconclusive(_) => "inconclusive",
            Self::Blind(_) => "blind",
        }
    }

    /// Every word, for series that exist at zero.
    pub const WORDS: [&'static str; 4] = ["good", "bad", "inconclusive", "blind"];
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => f.write_str("every promise is kept"),
            Self::Bad(evidence) => evidence.fmt(f),
            Self::Inconclusive(why) => why.fmt(f),
            Self::Blind(why) => why.fmt(f),
        }
    }
}

/// Why nothing can be concluded.
#[derive(Clone, Debug, PartialEq)]
pub enum Why {
    /// No answer is known to come from the version under judgement.
    NoKnownAnswer,
    /// Fewer samples than the policy asks for.
    TooFew,
    /// More bad answers than luck easily explains, fewer than it takes to act.
    Suspect,
    /// Partly bad, but within the grace of a cold start.
    Grace(Evidence),
    /// The old version, asked directly, is as bad: a revert can't help.
    SharedDependency(Evidence),
    /// The old version was not asked directly, so nothing proves that it would do better.
    NoControl(Evidence),
    /// As bad as production was under the old version before the cutover.
    AsBefore(Evidence),
    /// Bad through one of several addresses only.
    OneZone(Evidence),
    /// All evidence came over a single connection.
    OneConnection(Evidence),
    /// Refusals (403, 429, redirects) that carry no version: a firewall's or a rate limit's word.
    Edge,
    /// The connection to the balancer itself fails, which no change of weights can cause or mend.
    BeforeBalancer,
}

impl Why {
    /// A closed set of names for metrics and records.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NoKnownAnswer => "no-known-answer",
            Self::TooFew => "too-few",
            Self::Suspect => "suspect",
            Self::Grace(_) => "grace",
            Self::SharedDependency(_) => "shared-dependency",
            Self::NoControl(_) => "no-control",
            Self::AsBefore(_) => "as-before",
            Self::OneZone(_) => "one-zone",
            Self::OneConnection(_) => "one-connection",
            Self::Edge => "edge",
            Self::BeforeBalancer => "before-balancer",
        }
    }

    /// The breach that was not enough, if there was one.
    #[must_use]
    pub const fn evidence(&self) -> Option<&Evidence> {
        match self {
            Self::Grace(e)
            | Self::SharedDependency(e)
            | Self::NoControl(e)
            | Self::AsBefore(e)
            | Self::OneZone(e)
            | Self::OneConnection(e) => Some(e),
            Self::NoKnownAnswer | Self::TooFew | Self::Suspect | Self::Edge | Self::BeforeBalancer => None,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::NoKnownAnswer => "no answer is known to come from the new version yet",
            Self::TooFew => "too few answers to say",
            Self::Suspect => "more bad answers than usual, too few to act on",
            Self::Grace(_) => "partly bad, within the grace of a cold start",
            Self::SharedDependency(_) => {
                "the old version, asked directly, is just as bad: a shared dependency is down and a revert can't help"
            }
            Self::NoControl(_) => {
                "the old version was not asked directly: nothing proves that it would do better"
            }
            Self::AsBefore(_) => "no worse than production was under the old version before the cutover",
            Self::OneZone(_) => "bad through one address only: a zone's fault, not the release's",
            Self::OneConnection(_) => "all the bad answers came over one connection",
            Self::Edge => {
                "refused at the edge (403, 429 or a redirect without a version): a firewall or a rate limit"
            }
            Self::BeforeBalancer => {
                "the connection to the balancer fails, which a change of weights neither causes nor mends"
            }
        };
        f.write_str(words)?;
        self.evidence().map_or(Ok(()), |evidence| write!(f, " ({evidence})"))
    }
}

/// Why the prober can't see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhyBlind {
    /// No probe of the production path came back at all.
    NoData,
    /// Production, the old version and the control are all bad or unknown: it may be our own network.
    Network,
    /// Our own process is late: its samples are void.
    Starved,
    /// Our own side fails (names, descriptors, library).
    Ours,
}

impl WhyBlind {
    /// Every reason, for series that exist at zero.
    pub const ALL: [Self; 4] = [Self::NoData, Self::Network, Self::Starved, Self::Ours];

    /// A closed set of names for metrics and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoData => "no-data",
            Self::Network => "network",
            Self::Starved => "starved",
            Self::Ours => "ours",
        }
    }
}

impl fmt::Display for WhyBlind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoData => "no probe came back",
            Self::Network => {
                "production and the old version are both bad, and no unrelated control answers: it may be our own network"
            }
            Self::Starved => "our own process is starved: its samples are void",
            Self::Ours => "our own side fails: names, descriptors or library",
        })
    }
}

/// Which promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Availability: bad answers.
    Errors,
    /// Latency: answers slower than the objective.
    Latency,
}

/// A broken promise with its own numbers, so that a record of it needs nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Which promise.
    pub stream: Stream,
    /// Of a group or a URL by this name; empty for the whole service.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub scope: Box<str>,
    /// Of latency: which quantile, in ten-thousandths.
    #[serde(default = "p95", skip_serializing_if = "is_p95")]
    pub quantile: u32,
    /// Answers from the first to the last bad one.
    pub answers: u32,
    /// How many of them were bad.
    pub bad: u32,
    /// The time between the first and the last bad one, milliseconds.
    pub span_ms: u64,
    /// What the objective allows, 0.0..1.0.
    pub share_max: f64,
    /// A good release looks like this once in so many releases at most.
    pub luck_one_in: u64,
    /// When the first bad one was due.
    pub first_bad: Mono,
    /// When the last bad one was due.
    pub last_bad: Mono,
    /// Over how many connections the bad ones came.
    pub connections: u32,
    /// From how many addresses.
    pub addresses: u32,
    /// From how many targets (URLs).
    pub targets: u32,
    /// All answers in the window.
    pub window_answers: u32,
    /// That quantile of the answers since the first bad one.
    pub window_p95: Option<Span>,
    /// The version under judgement has answered nothing but errors.
    pub total: bool,
}

impl fmt::Display for Evidence {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a window")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = f64::from(self.bad) / f64::from(self.answers.max(1)) * 100.0;
        let seconds = self.span_ms as f64 / 1_000.0;
        let bad = match self.stream {
            Stream::Errors => "bad",
            Stream::Latency => "too slow",
        };
        write!(f, "{} of {} answers", self.bad, self.answers)?;
        if !self.scope.is_empty() {
            write!(f, " of {}", self.scope)?;
        }
        write!(f, " {bad} in {seconds:.2} s")?;
        if self.bad < self.answers {
            write!(f, " ({rate:.1} %)")?;
        }
        write!(f, ", objective {} %", percent(self.share_max))?;
        if let (Stream::Latency, Some(p95)) = (self.stream, self.window_p95) {
            write!(f, ", P{} {:.0} ms", percent(f64::from(self.quantile) / 10_000.0), p95.millis())?;
        }
        write!(f, "; by luck: 1 in {} releases; ", grouped(self.luck_one_in))?;
        write!(f, "{}, {}", plural(self.targets, "URL"), plural(self.connections, "connection"))?;
        if self.addresses > 1 {
            write!(f, ", {} addresses", self.addresses)?;
        }
        Ok(())
    }
}

const fn p95() -> u32 {
    P95
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
const fn is_p95(quantile: &u32) -> bool {
    *quantile == P95
}

/// 0.001 as `0.1`, without a tail of digits that nobody promised.
fn percent(share: f64) -> String {
    let text = format!("{:.4}", share * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn plural(count: u32, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// 1000000 as `1,000,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The production path, P of the verdict table ([`table`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Production {
    /// Promises kept, and answers of the new version are known.
    Ok,
    /// Promises kept, but no answer of the new version is known yet.
    OkUnknown,
    /// A promise is broken.
    Bad,
    /// Nothing came back.
    NoData,
}

/// A side path: the old version asked directly (B), or the unrelated control (X).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Answering well now.
    Ok,
    /// Answering badly.
    Bad,
    /// Not asked, or no answer to judge by.
    NoData,
}

/// A row of the verdict table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Row {
    /// GOOD.
    Good,
    /// BAD: B proves the path and the machine.
    Bad,
    /// INCONCLUSIVE: no known answer of the new version yet.
    Wait,
    /// INCONCLUSIVE: a shared dependency.
    Shared,
    /// INCONCLUSIVE: no word from the old version.
    NoControl,
    /// BLIND: our own network may be down.
    Network,
    /// BLIND: nothing came back.
    NoData,
}

/// The verdict table: total, without a catch-all.
#[must_use]
pub const fn table(p: Production, b: Side, x: Side) -> Row {
    match (p, b, x) {
        (Production::Ok, Side::Ok | Side::Bad | Side::NoData, Side::Ok | Side::Bad | Side::NoData) => {
            Row::Good
        }
        (Production::OkUnknown, Side::Ok | Side::Bad | Side::NoData, Side::Ok | Side::Bad | Side::NoData) => {
            Row::Wait
        }
        (Production::Bad, Side::Ok, Side::Ok | Side::Bad | Side::NoData) => Row::Bad,
        (Production::Bad, Side::Bad, Side::Ok) => Row::Shared,
        (Production::Bad, Side::NoData, Side::Ok) => Row::NoControl,
        (Production::Bad, Side::Bad | Side::NoData, Side::Bad | Side::NoData) => Row::Network,
        (Production::NoData, Side::Ok | Side::Bad | Side::NoData, Side::Ok | Side::Bad | Side::NoData) => {
            Row::NoData
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bad_production_with_a_good_old_version_is_bad() {
        let sides = [Side::Ok, Side::Bad, Side::NoData];
        for p in [Production::Ok, Production::OkUnknown, Production::Bad, Production::NoData] {
            for b in sides {
                for x in sides {
                    assert_eq!(
                        table(p, b, x) == Row::Bad,
                        p == Production::Bad && b == Side::Ok,
                        "{p:?} {b:?} {x:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn silence_is_never_good_and_never_bad() {
        for b in [Side::Ok, Side::Bad, Side::NoData] {
            assert_eq!(table(Production::NoData, b, Side::Ok), Row::NoData);
        }
        assert_eq!(table(Production::Bad, Side::NoData, Side::Ok), Row::NoControl);
        assert_eq!(table(Production::Bad, Side::NoData, Side::NoData), Row::Network);
        assert_eq!(table(Production::Bad, Side::Bad, Side::Ok), Row::Shared);
        assert_eq!(table(Production::Bad, Side::Bad, Side::NoData), Row::Network);
        assert_eq!(table(Production::OkUnknown, Side::Ok, Side::Ok), Row::Wait);
    }

    #[test]
    fn evidence_reads_as_a_sentence_with_its_numbers() {
        let evidence = Evidence {
            stream: Stream::Errors,
            scope: "".into(),
            quantile: 9_500,
            answers: 500,
            bad: 37,
            span_ms: 5_000,
            share_max: 0.001,
            luck_one_in: 1_000_000,
            first_bad: Mono(0),
            last_bad: Mono(0),
            connections: 4,
            addresses: 2,
            targets: 3,
            window_answers: 900,
            window_p95: None,
            total: false,
        };
        assert_eq!(
            evidence.to_string(),
            "37 of 500 answers bad in 5.00 s (7.4 %), objective 0.1 %; by luck: 1 in 1,000,000 releases; 3 URLs, 4 connections, 2 addresses"
        );
    }

    fn evidence() -> Evidence {
        Evidence {
            stream: Stream::Latency,
            scope: "checkout".into(),
            quantile: 9_900,
            answers: 40,
            bad: 40,
            span_ms: 1_250,
            share_max: 0.01,
            luck_one_in: 1_234,
            first_bad: Mono(0),
            last_bad: Mono(0),
            connections: 1,
            addresses: 1,
            targets: 1,
            window_answers: 90,
            window_p95: Some(Span(3_000_000)),
            total: true,
        }
    }

    #[test]
    fn evidence_of_a_group_that_is_too_slow_names_both_and_leaves_out_what_goes_without_saying() {
        assert_eq!(
            evidence().to_string(),
            "40 of 40 answers of checkout too slow in 1.25 s, objective 1 %, P99 300 ms; by luck: 1 in 1,234 \
             releases; 1 URL, 1 connection"
        );
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let texts = [0, 12, 123, 1_234, 123_456, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "12", "123", "1,234", "123,456", "1,234,567"]);
    }

    #[test]
    fn every_reason_has_a_name_and_a_sentence_of_its_own() {
        let whys = [
            Why::NoKnownAnswer,
            Why::TooFew,
            Why::Suspect,
            Why::Grace(evidence()),
            Why::SharedDependency(evidence()),
            Why::NoControl(evidence()),
            Why::AsBefore(evidence()),
            Why::OneZone(evidence()),
            Why::OneConnection(evidence()),
            Why::Edge,
            Why::BeforeBalancer,
        ];
        let different = |texts: Vec<String>| {
            let set: std::collections::BTreeSet<&String> = texts.iter().collect();
            set.len() == texts.len() && texts.iter().all(|text| !text.is_empty())
        };
        assert!(different(whys.iter().map(|why| why.name().to_owned()).collect()));
        assert!(different(whys.iter().map(ToString::to_string).collect()));
        assert_eq!(whys.iter().filter(|why| why.evidence().is_some()).count(), 6);
        assert!(different(WhyBlind::ALL.iter().map(|why| why.name().to_owned()).collect()));
        assert!(different(WhyBlind::ALL.iter().map(ToString::to_string).collect()));
    }

    #[test]
    fn a_quantile_that_a_record_leaves_out_is_p95() {
        assert!(is_p95(&p95()) && !is_p95(&9_900));
        assert_eq!(p95(), 9_500);
    }

    #[test]
    fn a_verdict_has_a_word_and_says_why() {
        let verdicts = [
            Verdict::Good,
            Verdict::Bad(evidence()),
            Verdict::Inconclusive(Why::TooFew),
            Verdict::Blind(WhyBlind::Starved),
        ];
        assert_eq!(verdicts.each_ref().map(Verdict::word), Verdict::WORDS);
        let whys = [
            "every promise is kept".to_owned(),
            evidence().to_string(),
            Why::TooFew.to_string(),
            WhyBlind::Starved.to_string(),
        ];
        assert_eq!(verdicts.map(|verdict| verdict.to_string()), whys);
    }
}
