//! How fast a breach is seen, and how often one is seen that isn't there: the sequential policy against the optimum.
//!
//! `cargo bench --bench detection` prints the tables. Everything is seeded; nothing depends on the machine.

use serin::model::detector::run_length::{Lattice, exact};
use serin::model::detector::sequential::{Bank, DESIGNS, Walk, shares};
use serin::model::time::Mono;
use std::io::{Write, stdout};
use std::time::Duration;

/// Probes a second.
const RATE_HZ: f64 = 100.0;
/// From one probe to the next.
const STEP_NS: u64 = 10_000_000;
/// One false alarm in 30 days.
const MONTH: f64 = 30.0 * 86_400.0 * RATE_HZ;
/// The default: one wrong revert in a million releases that are judged for a quarter of an hour, two promises.
const DEFAULT: f64 = 1e6 * 900.0 * RATE_HZ * 2.0;
/// Steps of a lattice to a bad answer.
const FINE: usize = 64;
const RUNS: u32 = 20_000;
const DAYS: u64 = 300;

/// The promised share of bad answers, the true one.
const CASES: [(f64, f64); 8] = [
    (0.001, 0.05),
    (0.001, 0.2),
    (0.001, 0.5),
    (0.001, 1.0),
    (0.01, 0.05),
    (0.01, 0.2),
    (0.01, 0.5),
    (0.01, 1.0),
];

/// Marsaglia's xorshift64*: billions of draws, and no more is asked of it.
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

/// A bank whose every design has the exact threshold of its own share.
struct ExactBank {
    designs: [Lattice; DESIGNS],
    sums: [usize; DESIGNS],
}

impl ExactBank {
    #[expect(clippy::cast_precision_loss, reason = "four")]
    fn new(p0: f64, run_length: f64) -> Self {
        let designs = shares(p0).map(|p1| exact(p0, p1, FINE, run_length * DESIGNS as f64));
        Self { designs, sums: [0; DESIGNS] }
    }

    fn step(&mut self, bad: bool) -> bool {
        let mut alarm = false;
        for (sum, design) in self.sums.iter_mut().zip(self.designs) {
            *sum = if bad { *sum + design.up } else { sum.saturating_sub(design.down) };
            alarm |= *sum >= design.needed;
        }
        alarm
    }
}

fn mean(seed: u64, mut one: impl FnMut(&mut Random) -> u32) -> f64 {
    let mut random = Random(seed);
    let sum: u64 = (0..RUNS).map(|_| u64::from(one(&mut random))).sum();
    #[expect(clippy::cast_precision_loss, reason = "some millions")]
    let mean = sum as f64 / f64::from(RUNS);
    mean
}

/// The mean number of probes to the alarm, as the daemon walks.
fn walked(bank: Bank, p1: f64) -> f64 {
    mean(1, |random| {
        let mut walk = Walk::new(bank, Duration::ZERO);
        let mut count = 0;
        while walk.alarm().is_none() {
            walk.step(Mono(u64::from(count) * STEP_NS), random.chance(p1));
            count += 1;
        }
        count
    })
}

fn walked_exactly(p0: f64, p1: f64, run_length: f64) -> f64 {
    let fresh = ExactBank::new(p0, run_length);
    mean(1, |random| {
        let mut bank = ExactBank { designs: fresh.designs, sums: [0; DESIGNS] };
        let mut count = 1;
        while !bank.step(random.chance(p1)) {
            count += 1;
        }
        count
    })
}

/// Probes until more than 5 % of the last minute's are bad, the minute before it good.
fn windowed(p1: f64) -> f64 {
    const WINDOW: usize = 6_000;
    mean(2, |random| {
        let mut ring = vec![false; WINDOW];
        let (mut bad, mut count) = (0_usize, 0);
        while bad * 20 <= WINDOW {
            let slot = usize::try_from(count).unwrap_or(0) % WINDOW;
            let now = random.chance(p1);
            bad = bad + usize::from(now) - usize::from(std::mem::replace(&mut ring[slot], now));
            count += 1;
            if count > 1_000_000 {
                break;
            }
        }
        count
    })
}

fn delays(out: &mut impl Write) -> std::io::Result<()> {
    writeln!(
        out,
        "Mean probes from the change to the alarm, 100 a second, one stream; in brackets: times the optimum"
    )?;
    writeln!(
        out,
        "One false alarm in 30 days, and at the default odds; optimum: the exact matched test (30 days)\n"
    )?;
    writeln!(out, "| promise | true | optimum | exact bank | proven bank | default odds | 5 % of 60 s |")?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    for (p0, p1) in CASES {
        let matched = exact(p0, p1.min(0.999), FINE, MONTH).run_length(p1);
        let proven = walked(Bank::new(p0, 1.0 / MONTH), p1);
        let exactly = walked_exactly(p0, p1, MONTH);
        let default = walked(Bank::new(p0, 1.0 / DEFAULT), p1);
        let naive = if p1 >= 0.2 {
            format!("{:.0} ({:.0} x)", windowed(p1), windowed(p1) / proven)
        } else {
            "never surely".into()
        };
        writeln!(
            out,
            "| {p0} | {p1} | {matched:.1} | {exactly:.1} ({:.2}) | {proven:.1} ({:.2}) | {default:.1} | {naive} |",
            exactly / matched,
            proven / matched,
        )?;
    }
    Ok(())
}

fn false_alarms(out: &mut impl Write) -> std::io::Result<()> {
    writeln!(
        out,
        "\nFalse alarms in {DAYS} simulated days at the promise itself, thresholds for one in 30 days: 10 are expected of an\nexact test, at most 18 in 99 of 100 cases\n"
    )?;
    writeln!(out, "| promise | exact bank | proven bank |\n|---|---|---|")?;
    for p0 in [0.001, 0.01, 0.05] {
        let mut random = Random(7);
        let mut walk = Walk::new(Bank::new(p0, 1.0 / MONTH), Duration::ZERO);
        let mut bank = ExactBank::new(p0, MONTH);
        let (mut proven, mut exactly) = (0, 0);
        for n in 0..DAYS * 86_400 * 100 {
            let bad = random.chance(p0);
            walk.step(Mono(n * STEP_NS), bad);
            if bad && walk.alarm().is_some() {
                proven += 1;
                walk = Walk::new(Bank::new(p0, 1.0 / MONTH), Duration::ZERO);
            }
            if bank.step(bad) {
                exactly += 1;
                bank.sums = [0; DESIGNS];
            }
        }
        writeln!(out, "| {p0} | {exactly} | {proven} |")?;
    }
    Ok(())
}

/// Runs of exactly 100 ms, begun by chance, so that one answer in a thousand is bad.
fn blips(out: &mut impl Write) -> std::io::Result<()> {
    let blip = Duration::from_millis(250);
    for (name, length) in [("30 days", MONTH), ("the default odds", DEFAULT)] {
        let bank = Bank::new(0.001, 1.0 / length);
        let (mut random, mut walk, mut left, mut alarms) = (Random(9), Walk::new(bank, blip), 0, 0);
        for n in 0..DAYS * 86_400 * 100 {
            if left == 0 && random.chance(0.000_1) {
                left = 10;
            }
            walk.step(Mono(n * STEP_NS), left > 0);
            left -= i32::from(left > 0);
            if left > 0 && walk.alarm().is_some() {
                alarms += 1;
                walk = Walk::new(bank, blip);
            }
        }
        writeln!(
            out,
            "Runs of exactly 100 ms, {DAYS} days, mean error 0.1 %, tolerate_blip 250 ms, {name}: {alarms} alarms"
        )?;
    }
    let mut walk = Walk::new(Bank::new(0.001, 1.0 / DEFAULT), blip);
    let down = (0..1_000).find(|n| {
        walk.step(Mono(n * STEP_NS), true);
        walk.alarm().is_some()
    });
    writeln!(
        out,
        "Hard down, tolerate_blip 250 ms, default odds: alarm by the probe that was due {} ms after the first bad one",
        down.unwrap_or(0) * 10
    )
}

fn main() -> std::io::Result<()> {
    let mut out = stdout().lock();
    delays(&mut out)?;
    false_alarms(&mut out)?;
    writeln!(out)?;
    blips(&mut out)
}
