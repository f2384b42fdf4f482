//! The ruler of the benchmark: a server that stamps each arrival, and the floor of a TLS handshake.
//!
//! `benches/compare` builds and runs it; see `benches/README.md`. It is no part of Serin.
//!
//! | file | what |
//! |---|---|
//! | `server.rs` | one thread, one epoll: read and stamp all that is ready, then answer |
//! | `connection.rs` | one connection, with or without TLS |
//! | `request.rs` | the little of HTTP/1.1 that it understands |
//! | `stamps.rs` | the stamps in memory, and their file |
//! | `certificate.rs` | a fresh CA and a P-256 certificate for loopback |
//! | `floor.rs` | what the barest client costs at an exact pace |
//! | `handshake.rs` | what the client's side of a bare rustls handshake costs |

mod certificate;
mod connection;
mod floor;
mod handshake;
mod request;
mod server;
mod stamps;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Stamps arrivals for `benches/compare`.
#[derive(Debug, Parser)]
#[command(about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer and stamp until SIGTERM, then write the stamps.
    Serve(server::ServeArgs),
    /// Send at an exact pace with the barest client there can be: what the kernel alone costs.
    Floor(floor::FloorArgs),
    /// Do handshakes in memory and print what the client's side costs, as JSON.
    Handshake(handshake::HandshakeArgs),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Some(Command::Serve(args)) => server::serve(&args),
        Some(Command::Floor(args)) => floor::run(&args),
        Some(Command::Handshake(args)) => handshake::measure(&args),
        // `cargo bench` runs every bench; this one measures nothing by itself.
        None => Ok(()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn tell(text: &str) {
    use std::io::Write;
    // Nobody is left to hear of a failure here.
    let _ = writeln!(std::io::stderr().lock(), "stamper: {text}");
}
