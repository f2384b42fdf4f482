//! Hand-made records of a service whose release goes bad.

use serin::model::guard::Condition;
use serin::model::listener::{Forward, Group, ListenerState, RuleState};
use serin::model::plan::{self, Style};
use serin::model::record::{Intent, IntentId, Record};
use serin::model::release::{Baseline, Cause, EpochId, Good, ReleaseId};
use serin::model::time::{Mono, Span, Wall};
use serin::model::verdict::{Evidence, Stream};
use std::collections::BTreeSet;

/// 2026-11-21T10:00:00.000Z at `Mono(0)`.
pub(crate) const ORIGIN: i64 = 1_795_255_200_000;

pub(crate) const fn ms(at: u64) -> Mono {
    Mono(at * 1_000_000)
}

pub(crate) fn wall(at: Mono) -> Wall {
    Wall(ORIGIN + i64::try_from(at.0 / 1_000_000).unwrap())
}

pub(crate) fn group(name: &str) -> Box<str> {
    format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/{name}/0123456789abcdef").into()
}

pub(crate) fn state(blue: i32, green: i32) -> ListenerState {
    let groups = vec![
        Group { arn: group("blue"), weight: Some(blue) },
        Group { arn: group("green"), weight: Some(green) },
    ];
    let rule = RuleState {
        arn: "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/shop/1/2".into(),
        forward: Some(Forward { scalar: None, groups, stickiness: None }),
        others: vec![],
        unknown: vec![],
    };
    rule.into()
}

pub(crate) fn good() -> Good {
    Good {
        epoch: EpochId(0),
        state: state(100, 0),
        versions: BTreeSet::from(["v1".into()]),
        targets: BTreeSet::from(["10.0.0.1:80".into()]),
        healthy: 1,
        baseline: Baseline { answers: 1_000, bad: 1, slow: 2, p95: 123_000, ..Baseline::default() },
    }
}

pub(crate) fn evidence() -> Evidence {
    Evidence {
        stream: Stream::Errors,
        scope: "".into(),
        quantile: 9_500,
        answers: 29,
        bad: 29,
        span_ms: 290,
        share_max: 0.001,
        luck_one_in: 1_000_000,
        first_bad: ms(65_000),
        last_bad: ms(65_290),
        connections: 4,
        addresses: 2,
        targets: 1,
        window_answers: 58,
        window_p95: Some(Span(150_000)),
        total: true,
    }
}

pub(crate) fn started(mode: &str) -> Record {
    Record::Started { version: "0.1.0".into(), config: "c0ffee".into(), mode: mode.into() }
}

pub(crate) fn epoch(
    id: u32,
    cause: Cause,
    release: Option<u32>,
    shows: ListenerState,
    since: Mono,
) -> Record {
    Record::Epoch {
        epoch: EpochId(id),
        cause,
        release: release.map(ReleaseId),
        label: None,
        shows: shows.label().into(),
        state: Some(shows),
        after: Mono(since.0.saturating_sub(1_000_000_000)),
        since,
    }
}

pub(crate) fn release(id: u32, label: Option<&str>, cutover: Mono) -> Record {
    Record::Release {
        release: ReleaseId(id),
        label: label.map(Into::into),
        base: Some(good()),
        from: "blue".into(),
        to: "green".into(),
        cutover,
        irreversible: false,
    }
}

pub(crate) fn pulse(
    epoch: u32,
    answers: u32,
    bad: u32,
    p95_ms: u32,
    verdict: &str,
    versions: &[&str],
) -> Record {
    Record::Pulse {
        epoch: EpochId(epoch),
        window: Baseline { answers, bad, slow: 0, p95: p95_ms * 10_000, ..Baseline::default() },
        verdict: verdict.into(),
        versions: versions.iter().map(|version| (*version).into()).collect(),
    }
}

pub(crate) fn intent(id: u64, release: u32) -> Intent {
    Intent {
        id: IntentId(id),
        epoch: EpochId(1),
        release: ReleaseId(release),
        before: state(0, 100),
        writes: plan::revert(&state(0, 100), &state(100, 0), Style::Weights).unwrap(),
        versions: BTreeSet::from(["v1".into()]),
        evidence: evidence(),
        deadline: ms(95_290),
        call: None,
    }
}

pub(crate) fn condition(name: &str, holds: bool) -> Condition {
    Condition { name: name.into(), holds, detail: format!("{name} is so").into(), age_s: None }
}
