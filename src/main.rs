//! The `serin` command: see [`serin::cli`].

use std::process::ExitCode;
use tikv_jemallocator::Jemalloc;

/// It gives back what reading the configuration took: a quarter of the memory of a thousand URLs.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    serin::cli::main()
}
