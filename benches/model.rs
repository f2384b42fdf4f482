//! What a sample costs: the calendar, the taint and the tally, the window with its expiry and P95, and the whole judge.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serin::model::calendar::{Calendar, Matter, Row};
use serin::model::judge::Judge;
use serin::model::objective::Objectives;
use serin::model::policy::{Heard, JudgePolicy, Policy};
use serin::model::pulse::Pulse;
use serin::model::release::{Baseline, EpochId, Stage};
use serin::model::rolling::{Event, Rolling};
use serin::model::sample::{Fault, Outcome, Phases, Purpose, Sample, Taint};
use serin::model::schedule::Schedule;
use serin::model::tally::Tally;
use serin::model::target::{TargetId, Version, VersionId};
use serin::model::time::{Mono, Span};
use serin::model::urls::Urls;
use serin::model::window::{Entry, Marks, Pane, Window};
use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Duration;

/// One sample every 100 µs: 10,000 a second.
const STEP_NS: u64 = 100_000;

fn window(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("window");
    group.throughput(Throughput::Elements(1));
    let mut window = Window::from(Pane::new(Duration::from_secs(1)).with_times());
    let mut at = 0;
    group.bench_function("insert and expire, 10,000 in the window", |bench| {
        bench.iter(|| {
            at += STEP_NS;
            let entry = Entry {
                due: Mono(at),
                // Spread over 10 ms, whatever the step: all in one bucket, a quantile would cost nothing.
                response: Span(u32::try_from(at / STEP_NS * 7_919 % 100_003).unwrap_or(0)),
                marks: Marks::default(),
                answered: true,
                conn: 1,
                addr: 1,
                target: TargetId(0),
                version: VersionId(1),
            };
            window.insert(Mono(at), black_box(entry));
        });
    });
    group.bench_function("read P95", |bench| bench.iter(|| black_box(window.p95())));
    group.finish();
}

/// Each sample goes to the next of ten thousand URLs, so that nothing is still in the cache.
fn rolling(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("rolling");
    group.throughput(Throughput::Elements(1));
    for urls in [100, 10_000] {
        // 600 samples a URL in a minute.
        let step_ns = 60_000_000_000 / 600 / urls as u64;
        let mut windows = vec![Rolling::new(Duration::from_mins(1), 9_500); urls];
        let mut n = 0_u64;
        let mut one = || {
            n += 1;
            let window = &mut windows[usize::try_from(n).unwrap_or(0) % urls];
            let response = Span(50_000 + u32::try_from(n * 7_919 % 1_000_003).unwrap_or(0));
            window.insert(Mono(n * step_ns), Event { response: Some(response), bad: false, slow: false });
            window.quantile()
        };
        for _ in 0..700 * urls {
            black_box(one());
        }
        let name = format!("insert, expire and P95, {urls} URLs of 600 samples");
        group.bench_function(name, |bench| bench.iter(|| black_box(one())));
    }
}

fn sample(at: u64) -> Sample {
    Sample {
        due: Mono(at),
        planned: Mono(at),
        phases: Phases { wake: Span(300), first_byte: Span(10_000), body: Span(50), ..Phases::default() },
        target: TargetId(0),
        conn: 1,
        epoch: EpochId(1),
        addr: 1,
        version: VersionId(0),
        status: 200,
        purpose: Purpose::Production,
        taint: Taint::Clean,
        outcome: Outcome::Ok,
        told_slow: false,
    }
}

/// Everything that the core does with an answer of ten thousand URLs inside a release: its URL's window, the judge's, every detector's
/// state, and the looks, a hundred a second. One in two thousand is bad, one in forty slow: half of what is promised.
fn everything(bench: &mut Criterion) {
    let urls_count: u16 = 10_000;
    // 600 samples a URL in a minute.
    let step_ns = 60_000_000_000 / 600 / u64::from(urls_count);
    let mut urls =
        Urls::new(usize::from(urls_count), Duration::from_mins(1), Some(Duration::from_millis(250)));
    let old_versions = BTreeSet::from([Version::from("v1")]);
    let mut judge = Judge::new(policy(100_000.0), Stage { old_versions, ..stage(true) });
    let version = judge.versions.intern("v2");
    let second = 1_000_000_000 / step_ns;
    let mut n = 0_u64;
    let mut one = || {
        n += 1;
        let now = Mono(n * step_ns);
        let mut sample = Sample { version, ..sample(now.0) };
        // A number without a pattern, the same on every run.
        let lot = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        sample.target = TargetId(u16::try_from(n % u64::from(urls_count)).unwrap_or(0));
        sample.conn = u32::try_from(lot % 64).unwrap_or(0) + 1;
        sample.phases.first_byte = Span(10_000 + u32::try_from(lot % 900_003).unwrap_or(0));
        if lot % 40 == 3 {
            sample.phases.first_byte = Span(2_600_000);
        }
        if lot % 2_000 == 7 {
            (sample.outcome, sample.status) = (Outcome::Bad(Fault::Status), 500);
        }
        urls.take(&sample, now);
        let notice = judge.observe(&sample, now);
        if n.is_multiple_of(1_000) {
            black_box(judge.judge(now));
        }
        // As the daemon does, each second: a quantile is settled when it is read.
        if n.is_multiple_of(second) {
            black_box(urls.figures(now));
        }
        notice
    };
    for _ in 0..700 * u32::from(urls_count) {
        black_box(one());
    }
    let mut group = bench.benchmark_group("everything");
    group.throughput(Throughput::Elements(1));
    group.bench_function("insert, expire, P95 and all detectors, 10,000 URLs of 600 samples", |bench| {
        bench.iter(|| black_box(one()));
    });
    group.finish();
}

fn policy(release_rate_hz: f64) -> JudgePolicy {
    JudgePolicy {
        policy: Policy::Sequential.into(),
        objectives: Objectives::of_service(Some(0.001), Some(Duration::from_millis(250))),
        wrong_reverts_one_in: 1_000_000,
        tolerate_blip: Duration::from_millis(250),
        window: Duration::from_secs(10),
        samples_min: 20,
        error_rate_min: 0.0,
        grace: Duration::ZERO,
        settle: Duration::from_mins(1),
        settle_answers: 100,
        judge_for: Duration::from_mins(15),
        onset: Duration::from_mins(5),
        propagation: Duration::from_secs(15),
        release_rate_hz,
        heard: Heard::Directly,
    }
}

fn stage(release: bool) -> Stage {
    Stage {
        epoch: EpochId(1),
        after: Mono(0),
        since: Mono(0),
        cutover: Mono(0),
        release,
        old_versions: BTreeSet::new(),
        one_has_all: true,
        baseline: Baseline::default(),
    }
}

fn judge(bench: &mut Criterion) {
    let mut judge = Judge::new(policy(100.0), stage(false));
    let mut at = 0;
    let mut group = bench.benchmark_group("judge");
    group.throughput(Throughput::Elements(1));
    group.bench_function("observe, 100 a second", |bench| {
        bench.iter(|| {
            at += 10_000_000;
            let sample = sample(at);
            black_box(judge.observe(black_box(&sample), Mono(at + 1_000_000)))
        });
    });
    group.bench_function("judge", |bench| bench.iter(|| black_box(judge.judge(Mono(at)))));
    group.finish();
}

fn calendar(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("calendar");
    group.throughput(Throughput::Elements(1));
    let (on_time, late) = (Duration::from_millis(1), Duration::from_millis(10));
    for rows_count in [1, 1_000] {
        let schedule = |index| Schedule::new(Mono(0), Duration::from_millis(100), index, rows_count, "");
        let mut rows: Vec<Row> =
            (0..rows_count).map(|index| Row::new(schedule(index), Duration::ZERO, Mono(0))).collect();
        let mut calendar = Calendar::default();
        for (index, row) in rows.iter().enumerate() {
            calendar.enter(row.planned(), Matter::Row(index));
        }
        group.bench_function(format!("take and enter again, {rows_count} URLs"), |bench| {
            bench.iter(|| {
                let Some(at) = calendar.head() else { return };
                let Some((at, Matter::Row(index))) = calendar.pop(at) else { return };
                black_box(rows[index].take(at, on_time, late));
                calendar.enter(rows[index].planned(), Matter::Row(index));
            });
        });
    }
}

fn sample_path(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("sample path");
    group.throughput(Throughput::Elements(1));
    let (mut tally, mut pulse) = (Tally::default(), Pulse::new(Duration::from_millis(1)));
    let mut at = 0;
    group.bench_function("taint and tally", |bench| {
        bench.iter(|| {
            at += STEP_NS;
            let begun = Mono(at).after(Duration::from_micros(30));
            let sample = sample(at);
            pulse.woke(Mono(at), begun);
            let spoiled = pulse.spoils(begun, sample.done(), false);
            tally.count(&sample, Some("green-2"), begun);
            if at % 1_000_000_000 == 0 {
                black_box(tally.take());
            }
            spoiled
        });
    });
}

criterion_group!(model, calendar, sample_path, window, rolling, judge, everything);
criterion_main!(model);
