//! The `serin` command: see [`serin::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    serin::cli::main()
}
