//! The acting path against a control plane in which anything may go wrong: the real guard, its ledger and its restarts, in virtual time.
//!
//! Each seed draws a release that breaks, one to three rules that move together, in one run of four by the hand of ECS, and up to four of the [`faults::Fault`]s, at a random
//! time or at a random step of the acting path. Then nothing goes wrong any more, and what was left has to come to rest: users on the
//! old version again, or somebody told. What must be true at every step stands in `laws.rs`.
//!
//! | variable | |
//! |---|---|
//! | `SERIN_ACTUATOR_SEEDS=from..to` | other seeds than those of every day |
//! | `SERIN_REPLAY=seed` | one run, with all that is said and done (test `one_run`) |

#[cfg(test)]
mod ends;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod judged;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod owned;
#[cfg(test)]
mod plane;
#[cfg(test)]
mod run;
#[cfg(test)]
mod serve;
#[cfg(test)]
#[allow(dead_code, reason = "of the world of the simulation only the listener and chance are needed")]
#[path = "../simulation/world.rs"]
mod world;

#[cfg(test)]
mod tests {
    use crate::ends::End;
    use crate::faults::Fault;
    use crate::run::Run;
    use std::collections::BTreeMap;
    use std::ops::Range;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Of every day.
    const SEEDS: Range<u64> = 0..100_000;

    fn seeds() -> Range<u64> {
        let Ok(text) = std::env::var("SERIN_ACTUATOR_SEEDS") else { return SEEDS };
        let (from, to) = text.split_once("..").expect("SERIN_ACTUATOR_SEEDS is from..to");
        from.parse().expect("a number")..to.parse().expect("a number")
    }

    /// How many runs had a fault, and how they ended.
    #[derive(Default)]
    struct Table(BTreeMap<&'static str, BTreeMap<End, u64>>);

    impl Table {
        fn add(&mut self, name: &'static str, end: End) {
            *self.0.entry(name).or_default().entry(end).or_default() += 1;
        }

        #[expect(clippy::print_stdout, reason = "the table is what the run is for")]
        fn print(&self) {
            println!("| fault | runs | {} |", End::ALL.map(End::name).join(" | "));
            println!("|---|---|{}", "---|".repeat(End::ALL.len()));
            for (name, ends) in &self.0 {
                let count = |end: End| ends.get(&end).copied().unwrap_or(0);
                let each = End::ALL.map(|end| count(end).to_string()).join(" | ");
                println!("| {name} | {} | {each} |", ends.values().sum::<u64>());
            }
        }
    }

    #[test]
    fn whatever_goes_wrong_users_are_saved_or_somebody_is_told() {
        let (seeds, table) = (seeds(), Mutex::new(Table::default()));
        let next = AtomicU64::new(seeds.start);
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= seeds.end {
                            return;
                        }
                        let told = std::panic::catch_unwind(|| Run::new(seed, false).play());
                        let told =
                            told.unwrap_or_else(|_| panic!("seed {seed}: SERIN_REPLAY={seed} replays it"));
                        let mut table = table.lock().expect("no other worker failed");
                        table.add("any", told.end);
                        let names: std::collections::BTreeSet<_> =
                            told.faults.iter().map(|fault| fault.name()).collect();
                        for name in names {
                            table.add(name, told.end);
                        }
                    }
                });
            }
        });
        let table = table.into_inner().expect("no worker failed");
        table.print();
        if seeds.end - seeds.start >= 1_000 {
            for fault in Fault::ALL {
                assert!(table.0.contains_key(fault.name()), "{} never happened", fault.name());
            }
            let reverted = table.0["any"].get(&End::Reverted).copied().unwrap_or(0);
            assert!(
                reverted * 4 >= seeds.end - seeds.start,
                "most faults are survived: {reverted} were reverted"
            );
        }
    }

    #[test]
    fn the_same_seed_is_the_same_run_word_for_word() {
        for seed in 0..100 {
            let [one, other] = [0; 2].map(|_| Run::new(seed, true).play().trace);
            assert!(!one.is_empty() && one == other, "seed {seed}");
        }
    }

    #[test]
    #[expect(clippy::print_stdout, reason = "a run that is replayed is there to be read")]
    fn one_run() {
        let Some(seed) = std::env::var("SERIN_REPLAY").ok().and_then(|seed| seed.parse().ok()) else {
            return;
        };
        let run = Run::new(seed, true);
        println!("{:?}", run.schedule());
        println!("{:?}", run.play().end);
    }
}
