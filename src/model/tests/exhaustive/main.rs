//! Every way a small world can go, breadth first: the real guard, its ledger and its restarts, from the first bad word on.
//!
//! The random simulation of the acting path (`tests/actuator`) draws many faults in few orders; this draws few in every order. How much
//! of each kind of trouble there may be is a search's budget; within it each state is seen. The laws stand in `laws.rs`, what tells one
//! state from another in `canon.rs`, what may happen in `moves.rs`, and what came of it in `RESULTS.md`.
//!
//! | variable | |
//! |---|---|
//! | `SERIN_EXHAUSTIVE_LONG=1` | larger budgets, for hours and some GiB |
//! | `SERIN_BUDGET=10010` | one search (test `one_search`): crashes, late, faults, hands, lapses; `SERIN_RULES=2`, `SERIN_OWNED=1` |
//! | `SERIN_STATES_MAX=n` | give up after so many states |

#[cfg(test)]
mod arrive;
#[cfg(test)]
mod canon;
#[cfg(test)]
mod judged;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod moves;
#[cfg(test)]
mod search;
#[cfg(test)]
mod trace;
#[cfg(test)]
mod world;

#[cfg(test)]
mod tests {
    use crate::search::{Found, search};
    use crate::world::{Budget, Setup};
    use std::time::Instant;

    const NOTHING: Budget = Budget { crashes: 0, late: 0, faults: 0, hands: 0, lapses: 0 };
    const ONE: Setup = Setup { name: "one rule", rules: 1, owned: false, actors: 1, budget: NOTHING };
    const TWO: Setup = Setup { name: "two rules", rules: 2, ..ONE };
    const OWNED: Setup = Setup { name: "one rule of ECS", owned: true, ..ONE };

    fn max() -> usize {
        std::env::var("SERIN_STATES_MAX").ok().and_then(|max| max.parse().ok()).unwrap_or(3_000_000)
    }

    #[expect(clippy::print_stdout, reason = "what was searched is what the run is for")]
    #[expect(
        clippy::disallowed_methods,
        reason = "how long a search takes is for people, and decides nothing"
    )]
    fn run(setup: &Setup) -> Found {
        let began = Instant::now();
        let found = search(setup, max());
        let seconds = began.elapsed().as_secs_f64();
        let Found { states, transitions, depth, raced, whole, .. } = &found;
        println!(
            "| {} | {:?} | {states} | {transitions} | {depth} | {raced} | {whole} | {seconds:.1} |",
            setup.name, setup.budget
        );
        if let Some((law, way)) = &found.broken {
            println!("{law}\n{}", way.join("\n"));
        }
        found
    }

    /// What each digit of the budget is: crashes, late, faults, hands, lapses.
    fn with(setup: Setup, budget: [u8; 5]) -> Setup {
        let [crashes, late, faults, hands, lapses] = budget;
        Setup { budget: Budget { crashes, late, faults, hands, lapses }, ..setup }
    }

    fn keeps_the_laws(setups: &[Setup]) {
        for setup in setups {
            let found = run(setup);
            assert!(found.broken.is_none(), "{}, {:?}", setup.name, setup.budget);
            assert!(found.whole, "{}, {:?}: more states than that", setup.name, setup.budget);
        }
    }

    /// Of every day.
    const DAILY: [[u8; 5]; 5] =
        [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]];
    const DAILY_PAIRS: [[u8; 5]; 4] = [[2, 0, 0, 0, 0], [1, 0, 0, 1, 0], [1, 1, 0, 0, 0], [1, 0, 1, 0, 0]];
    /// Where there is time for it.
    const LONG: [[u8; 5]; 6] = [
        [0, 1, 0, 1, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 0, 2, 0],
        [2, 0, 0, 1, 0],
        [1, 0, 0, 2, 0],
        [1, 1, 0, 1, 0],
    ];

    fn all(setup: Setup, budgets: &[[u8; 5]]) -> Vec<Setup> {
        budgets.iter().map(|budget| with(setup, *budget)).collect()
    }

    #[test]
    fn one_instance_keeps_every_law_in_every_state_that_it_can_reach() {
        let mut setups = all(ONE, &DAILY);
        setups.extend(all(ONE, &DAILY_PAIRS));
        setups.extend(all(TWO, &DAILY));
        setups.extend(all(OWNED, &DAILY));
        if std::env::var_os("SERIN_EXHAUSTIVE_LONG").is_some() {
            setups.extend(all(ONE, &LONG));
            setups.extend(all(TWO, &DAILY_PAIRS));
            setups.extend(all(OWNED, &DAILY_PAIRS));
        }
        keeps_the_laws(&setups);
    }

    /// Why `act` asks for `sole_actuator = true`: neither knows what the other has done.
    #[test]
    fn two_instances_without_a_shared_store_revert_one_after_the_other_over_a_person() {
        let found = run(&with(Setup { name: "two instances", actors: 2, ..ONE }, [0, 0, 0, 1, 0]));
        let (law, way) = found.broken.expect("there is a way");
        assert!(law.starts_with("ONCE"), "{law}");
        let arrives = |line: &&String| line.contains("call arrives");
        assert_eq!(way.iter().filter(arrives).count(), 2, "each has reverted once");
        assert!(way.iter().any(|line| line.contains("somebody(goes forward)")));
    }

    /// `SERIN_BUDGET=10010`, with `SERIN_RULES`, `SERIN_OWNED`: one search of one's own.
    #[test]
    fn one_search() {
        let Ok(text) = std::env::var("SERIN_BUDGET") else { return };
        let mut budget = [0; 5];
        for (place, digit) in budget.iter_mut().zip(text.bytes()) {
            *place = digit - b'0';
        }
        let rules = std::env::var("SERIN_RULES").map_or(1, |rules| rules.parse().expect("a number"));
        let owned = std::env::var_os("SERIN_OWNED").is_some();
        keeps_the_laws(&[with(Setup { rules, owned, ..ONE }, budget)]);
    }
}
