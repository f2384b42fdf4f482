//! Is what the power predictor says true? Mean and P99 of the delay, against the real walk under simulation.
//!
//! `cargo bench --bench power` prints the table and fails when a prediction is further off than 10 % (or one probe, if that is
//! more), with allowance for the noise of the simulation. Everything is seeded; nothing depends on the machine but the times.

use serin::model::detector::sequential::{Bank, Walk};
use serin::model::power::{Delay, Test};
use serin::model::time::{Mono, nanos};
use serin::model::window::Window;
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Simulated samples a cell, about.
const SAMPLES: f64 = 4e6;
const RUNS: (f64, f64) = (2_000.0, 20_000.0);
/// Further off than this is wrong.
const ALLOWED: f64 = 0.1;
const JUDGE_FOR: Duration = Duration::from_mins(15);
const MONTH_S: f64 = 30.0 * 86_400.0;

const PROMISES: [f64; 3] = [0.001, 0.01, 0.05];
const SHARES: [f64; 5] = [0.02, 0.05, 0.2, 0.5, 1.0];
const RATES: [f64; 3] = [20.0, 100.0, 1_000.0];
const BLIPS_MS: [u64; 3] = [0, 250, 1_000];

/// Promise, rate, blip: no number was fitted to these, but they showed that a burst which goes on has to keep its length.
const OTHERS: [(f64, f64, u64); 9] = [
    (0.001, 100.0, 1_000),
    (0.001, 1_000.0, 1_000),
    (0.000_1, 50.0, 250),
    (0.000_5, 200.0, 100),
    (0.002, 7.0, 500),
    (0.01, 3.0, 250),
    (0.1, 40.0, 2_000),
    (0.2, 500.0, 250),
    (0.5, 100.0, 100),
];
const OTHER_SHARES: [f64; 7] = [0.01, 0.1, 0.35, 0.8, 0.95, 0.99, 0.999];
/// Looked at when all was done; they showed no more than that an interval is whole nanoseconds.
const FRESH: [(f64, f64, u64); 6] = [
    (0.000_3, 30.0, 400),
    (0.005, 60.0, 250),
    (0.02, 150.0, 600),
    (0.03, 10.0, 1_500),
    (0.1, 300.0, 50),
    (0.3, 25.0, 250),
];
const FRESH_SHARES: [f64; 6] = [0.03, 0.15, 0.6, 0.9, 0.97, 0.995];

/// Marsaglia's xorshift64*.
struct Random(u64);

impl Random {
    fn chance(&mut self, p: f64) -> bool {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = u32::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32).unwrap_or(0);
        f64::from(high) < p * 4_294_967_296.0
    }
}

/// What the simulation found, seconds, and how far each may be off by chance: three standard errors, as parts.
struct Found {
    runs: usize,
    mean_s: f64,
    p99_s: f64,
    noise: (f64, f64),
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "thousands of runs"
)]
fn simulate(test: &Test, share: f64, runs: f64) -> Found {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let bank = Bank::new(test.share_max, test.alpha);
    let step = nanos(Duration::from_secs_f64(1.0 / test.rate_hz));
    let mut one = || {
        let mut walk = Walk::new(bank, test.tolerate_blip);
        let mut count = 0_u64;
        loop {
            let bad = random.chance(share);
            walk.step(Mono(count * step), bad);
            count += 1;
            if bad && walk.alarm().is_some() {
                return count as f64 / test.rate_hz;
            }
        }
    };
    let mut times: Vec<f64> = (0..runs as usize).map(|_| one()).collect();
    times.sort_by(f64::total_cmp);
    let n = times.len() as f64;
    let mean_s = times.iter().sum::<f64>() / n;
    let variance = times.iter().map(|t| (t - mean_s) * (t - mean_s)).sum::<f64>() / (n - 1.0);
    let rank = |q: f64| times[((q * n).ceil() as usize).clamp(1, times.len()) - 1];
    let p99_s = rank(0.99);
    // Ranks three standard deviations beside it.
    let off = 3.0 * (0.01 * 0.99 / n).sqrt();
    let spread = (rank(0.99 + off) - p99_s).max(p99_s - rank(0.99 - off));
    Found { runs: times.len(), mean_s, p99_s, noise: (3.0 * (variance / n).sqrt() / mean_s, spread / p99_s) }
}

/// Off by more than is allowed.
fn wrong(predicted: f64, found: f64, noise: f64, interval: f64) -> bool {
    (predicted - found).abs() > ((ALLOWED + noise) * found).max(1.001 * interval)
}

/// The chance that a release is found within the judged time by a policy that remembers no more than it does.
fn remembered(test: &Test, share: f64, runs: u32) -> f64 {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let bank = Bank::new(test.share_max, test.alpha);
    let step = nanos(Duration::from_secs_f64(1.0 / test.rate_hz));
    let all = nanos(test.judge_for) / step;
    let window = u64::try_from(test.remembers).unwrap_or(u64::MAX);
    let mut found = 0;
    for _ in 0..runs {
        let mut walk = Walk::new(bank, test.tolerate_blip);
        let mut bads: Vec<u64> = Vec::new();
        for now in 0..all {
            let bad = random.chance(share);
            walk.step(Mono(now * step), bad);
            if !bad {
                continue;
            }
            bads.push(now);
            // What the whole stream doesn't raise, a part of it doesn't either.
            if walk.alarm().is_some() && alarm_of(&bads, now, window, test, bank, step) {
                found += 1;
                break;
            }
        }
    }
    f64::from(found) / f64::from(runs)
}

/// The last `window` samples alone raise the alarm.
fn alarm_of(bads: &[u64], now: u64, window: u64, test: &Test, bank: Bank, step: u64) -> bool {
    let from = (now + 1).saturating_sub(window);
    let bads = &bads[bads.partition_point(|bad| *bad < from)..];
    let mut walk = Walk::new(bank, test.tolerate_blip);
    let mut next = bads.first().copied().unwrap_or(now);
    for bad in bads {
        while next < *bad {
            walk.step(Mono(next * step), false);
            next += 1;
        }
        walk.step(Mono(next * step), true);
        next += 1;
    }
    walk.alarm().is_some()
}

/// The smallest share that is found, as the policy looks: at the last minute, at most so many samples of it.
fn smallest(out: &mut impl Write) -> std::io::Result<u32> {
    let mut wrong = 0;
    writeln!(out, "\n| promise | rate | blip | smallest | found there | a tenth below it | took |")?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    for (p0, rate_hz, blip) in PROMISES.into_iter().flat_map(|p0| {
        [(20.0, 250), (100.0, 0), (100.0, 250), (100.0, 1_000)].map(|(rate, blip)| (p0, rate, blip))
    }) {
        let test = test(p0, rate_hz, blip, true, Some(Duration::from_mins(1)));
        #[expect(clippy::disallowed_methods, reason = "how long the prediction itself takes")]
        let began = Instant::now();
        let smallest = test.smallest();
        let took = began.elapsed();
        let Some(smallest) = smallest else { continue };
        let (there, below) = (remembered(&test, smallest, 400), remembered(&test, smallest * 0.9, 400));
        // 1 % of 400, and three standard deviations.
        let is_wrong = there < 0.975;
        wrong += u32::from(is_wrong);
        writeln!(
            out,
            "| {p0} | {rate_hz} | {blip} | {smallest:.5} | {there:.3} {} | {below:.3} | {took:.1?} |",
            if is_wrong { "WRONG" } else { "" }
        )?;
        out.flush()?;
    }
    Ok(wrong)
}

/// At the default odds or one false alarm in 30 days; the walk itself forgets nothing.
fn test(p0: f64, rate_hz: f64, blip_ms: u64, by_default: bool, remembers: Option<Duration>) -> Test {
    let looks = if by_default { 1e6 * JUDGE_FOR.as_secs_f64() * 2.0 } else { MONTH_S };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousands")]
    let samples = |span: Duration| ((span.as_secs_f64() * rate_hz) as usize).min(Window::CAP);
    Test {
        share_max: p0,
        alpha: 1.0 / (looks * rate_hz),
        tolerate_blip: Duration::from_millis(blip_ms),
        rate_hz,
        judge_for: JUDGE_FOR,
        remembers: remembers.map_or(usize::MAX, samples),
        share_min: 0.0,
        luck_one_in: 1_000_000,
    }
}

/// Counts cells, and those that are further off than is allowed.
#[derive(Default)]
struct Sums {
    cells: u32,
    wrong: u32,
    slowest: Duration,
    farthest: f64,
}

fn cell(out: &mut impl Write, what: &str, test: &Test, share: f64, sums: &mut Sums) -> std::io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "how long the prediction itself takes")]
    let began = Instant::now();
    let forecast = test.forecast(share);
    let took = began.elapsed();
    sums.slowest = sums.slowest.max(took);
    let what = format!(
        "| {what} | {} | {share} | {} | {}",
        test.share_max,
        test.rate_hz,
        test.tolerate_blip.as_millis()
    );
    let Some(Delay { mean_s, p99_s }) = forecast.delay else {
        return writeln!(out, "{what} | not surely: {:.3} | | | | {took:.1?} |", forecast.chance);
    };
    let runs = (SAMPLES / (mean_s * test.rate_hz)).clamp(RUNS.0, RUNS.1);
    let found = simulate(test, share, runs);
    let is_wrong = wrong(mean_s, found.mean_s, found.noise.0, 1.0 / test.rate_hz)
        || wrong(p99_s, found.p99_s, found.noise.1, 1.0 / test.rate_hz);
    let (mean, p99) = (mean_s / found.mean_s, p99_s / found.p99_s);
    sums.cells += 1;
    sums.wrong += u32::from(is_wrong);
    sums.farthest = sums.farthest.max((mean - 1.0).abs()).max((p99 - 1.0).abs());
    writeln!(
        out,
        "{what} | {mean_s:.3}, {:.3} | {mean:.3} | {p99_s:.3}, {:.3} | {p99:.3} | {} {} runs, {took:.1?} |",
        found.mean_s,
        found.p99_s,
        if is_wrong { "WRONG" } else { "" },
        found.runs,
    )?;
    out.flush()
}

fn main() -> std::io::Result<ExitCode> {
    let mut out = stdout().lock();
    let mut sums = Sums::default();
    writeln!(
        out,
        "| odds | promise | true | rate | blip ms | mean: said, found | ratio | P99: said, found | ratio | |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|")?;
    for (odds, by_default) in [("default", true), ("30 days", false)] {
        for p0 in PROMISES {
            for (rate_hz, blip) in RATES.into_iter().flat_map(|rate| BLIPS_MS.map(|blip| (rate, blip))) {
                let test = test(p0, rate_hz, blip, by_default, None);
                for share in SHARES.into_iter().filter(|share| *share > p0) {
                    cell(&mut out, odds, &test, share, &mut sums)?;
                }
            }
        }
    }
    let beside = [("others", &OTHERS[..], &OTHER_SHARES[..]), ("fresh", &FRESH[..], &FRESH_SHARES[..])];
    for (name, tests, shares) in beside {
        for (p0, rate_hz, blip) in tests {
            let test = test(*p0, *rate_hz, *blip, true, None);
            for share in shares.iter().filter(|share| **share > 1.9 * p0) {
                cell(&mut out, name, &test, *share, &mut sums)?;
            }
        }
    }
    let Sums { cells, wrong, slowest, farthest } = sums;
    writeln!(
        out,
        "\n{cells} cells, {wrong} further off than 10 %, the farthest {:.1} %; the slowest prediction took {slowest:.1?}",
        farthest * 100.0
    )?;
    let below = smallest(&mut out)?;
    writeln!(out, "\n{below} of these are not found as surely as is said")?;
    Ok(if wrong + below == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
