//! What comes of seconds, records and silence.

use super::*;
use crate::model::delta::{Own, Rolling};
use crate::model::guard::Outcome;
use crate::model::time::Span;

#[test]
fn a_service_that_falls_silent_has_no_rolling_figures_any_more() {
    let start = Mono(1_000_000_000_000);
    let service: Arc<str> = "shop".into();
    let mut figures = Figures::new(&Roster::default(), "1", &BTreeSet::new());
    let rolling =
        Some(Rolling { answers: 10, bad: 1, p95: Some(Span(5)), attained: Some(0.5), verdict: "bad" });
    let second = Second {
        service,
        at: start,
        targets: Arc::default(),
        deltas: Vec::new(),
        times: Times::default(),
        rolling,
        urls: Vec::new(),
        own: Own::default(),
    };
    figures.fold(start, &Item::Second(Arc::new(second)));
    let known = |figures: &Figures| {
        [Metric::ErrorRatio, Metric::P95, Metric::Attained, Metric::Verdict]
            .map(|metric| figures.of(metric).len())
    };
    figures.expire(start.after(STALE));
    assert_eq!(known(&figures), [1, 1, 1, 4]);
    figures.expire(start.after(STALE + Duration::from_nanos(1)));
    assert_eq!(known(&figures), [0, 0, 0, 0]);
}

#[test]
fn a_guard_that_falls_silent_is_not_armed_any_more() {
    let start = Mono(1_000_000_000_000);
    let service: Arc<str> = "shop".into();
    let mut figures = Figures::new(&Roster::default(), "1", &BTreeSet::new());
    let status = Status {
        state: "idle",
        armed: true,
        conditions: Vec::new(),
        epoch: None,
        cause: None,
        shows: None,
        versions: BTreeSet::new(),
        good: None,
        release: None,
        label: None,
        latched: None,
        needs_human: Some("partial"),
        unprotected: None,
        live: Vec::new(),
        idle: Vec::new(),
        outcome: Outcome::None,
        read: None,
        read_error: None,
        revision: None,
    };
    figures.fold(start, &Item::Status(service, Arc::new(status)));
    figures.expire(start.after(STALE));
    assert_eq!(figures.of(Metric::Armed).len(), 1);
    figures.expire(start.after(STALE + Duration::from_nanos(1)));
    assert_eq!(figures.of(Metric::Armed).len(), 0);
    assert!(!figures.of(Metric::NeedsHuman).is_empty(), "a person is needed all the same");
}

#[test]
fn a_time_beyond_the_last_bound_is_still_counted() {
    let mut buckets = Buckets::default();
    buckets.add(Span::of(Duration::from_secs(100)));
    buckets.add(Span::of(Duration::from_micros(10)));
    let mut spread = Spread::default();
    spread.add(&buckets);
    assert_eq!((spread.counts[0], spread.counts[BOUNDS.len()]), (1, 1));
    assert!((spread.sum / 100.0 - 1.0).abs() < 0.008, "{}", spread.sum);
}

#[test]
fn native_buckets_hold_every_time_where_its_limits_say() {
    let mut spread = Spread::default();
    let limit = |index: i32| (f64::from(index) / f64::from(1 << NATIVE_SCHEMA)).exp2();
    for (micros, more) in [(1_u64, 3), (999, 1), (1_000, 2), (50_000, 1), (1_000_000, 1), (60_000_000, 1)] {
        let mut buckets = Buckets::default();
        for _ in 0..more {
            buckets.add(Span::of(Duration::from_micros(micros)));
        }
        let (middle, _) = buckets.iter().next().unwrap();
        let before = spread.native.clone();
        spread.add(&buckets);
        let seconds = middle.duration().as_secs_f64();
        let changed = spread.native.iter().find(|bucket| !before.contains(bucket)).unwrap();
        assert!(limit(changed.0 - 1) < seconds && seconds <= limit(changed.0), "{micros} us in {changed:?}");
    }
    assert!(spread.native.is_sorted_by(|one, next| one.0 < next.0), "{:?}", spread.native);
    assert_eq!(spread.native.iter().map(|(_, count)| count).sum::<u64>(), 9);
    assert_eq!(spread.counts.iter().sum::<u64>(), 9, "the classic ones hold the same");
    // What is exactly one second belongs below its own limit.
    let mut one = Spread::default();
    one.add_native(1.0, 1);
    one.add_native(0.0, 4);
    assert_eq!((one.native, one.zeros), (vec![(0, 1)], 4));
}

#[test]
fn no_figure_has_more_series_than_are_told_beforehand() {
    let targets: Vec<Arc<str>> = ["a", "b", "c"].map(Arc::from).to_vec();
    let roster = Roster { services: vec![("shop".into(), targets, Mode::Act)], ..Roster::default() };
    let mut figures = Figures::new(&roster, "1", &BTreeSet::new());
    let start = Mono(1_000_000_000_000);
    // Every version answers once, and every target, known or not, fails in every way.
    for number in 0..50_u16 {
        let mut delta = Delta {
            target: TargetId(number % 5),
            purpose: Some([Purpose::Production, Purpose::Direct, Purpose::Control][usize::from(number) % 3]),
            attempts: 1,
            ..Delta::default()
        };
        delta.versions.insert(format!("v{number}").into(), 1);
        delta.failures = names::reasons().map(|reason| (reason, 1)).collect();
        delta.statuses = (100..600).map(|status| (status, 1)).collect();
        delta.response.add(Span(5));
        let second = Second {
            service: "shop".into(),
            at: start,
            targets: ["a", "b", "c"].map(Arc::from).into(),
            deltas: vec![delta],
            times: Times::default(),
            rolling: None,
            urls: Vec::new(),
            own: Own::default(),
        };
        figures.fold(start, &Item::Second(Arc::new(second)));
    }
    for name in &NAMES {
        let (is, most) = (figures.of(name.metric).len() as u64, names::series(name, 3));
        assert!(is <= most, "{}: {is} of {most}", name.prometheus);
        if matches!(
            name.metric,
            Metric::NeedsHuman | Metric::Blind | Metric::AnswersByVersion | Metric::Pages
        ) {
            assert_eq!(is, most, "{}", name.prometheus);
        }
    }
}
