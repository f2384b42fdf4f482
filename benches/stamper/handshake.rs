//! What the client's side of a bare rustls handshake costs: TLS 1.3, full, P-256, in memory.
//!
//! No socket, no HTTP: the floor under any prober that uses this library with this provider.

use crate::certificate::identity;
use anyhow::Context;
use clap::Args;
use rustix::time::{ClockId, clock_gettime};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use std::io::Write;
use std::sync::Arc;

/// How many.
#[derive(Args, Debug)]
pub(crate) struct HandshakeArgs {
    /// Handshakes to measure, after a tenth as many to warm up.
    #[arg(long, default_value_t = 2000)]
    count: usize,
}

/// Measures and prints.
///
/// # Errors
/// A handshake that fails.
pub(crate) fn measure(args: &HandshakeArgs) -> anyhow::Result<()> {
    let (client, server) = configs()?;
    let name = ServerName::try_from("127.0.0.1").context("an address is a name")?;
    let mut spent = Vec::with_capacity(args.count);
    for round in 0..args.count + args.count / 10 {
        let one = handshake(&client, &server, name.clone())?;
        if round >= args.count / 10 {
            spent.push(one);
        }
    }
    spent.sort_unstable();
    let sum: u64 = spent.iter().sum();
    let mean = sum / u64::try_from(spent.len()).context("a count")?.max(1);
    let median = spent.get(spent.len() / 2).copied().unwrap_or_default();
    let shown = serde_json::json!({ "count": spent.len(), "client_cpu_ns": { "mean": mean, "p50": median } });
    writeln!(std::io::stdout().lock(), "{shown}")?;
    Ok(())
}

fn configs() -> anyhow::Result<(Arc<ClientConfig>, Arc<ServerConfig>)> {
    let identity = identity()?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(identity.root)?;
    let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.resumption = Resumption::disabled();
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)?;
    server.send_tls13_tickets = 0;
    Ok((Arc::new(client), Arc::new(server)))
}

/// One handshake; the CPU of the client's steps alone, in nanoseconds.
fn handshake(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    name: ServerName<'static>,
) -> anyhow::Result<u64> {
    let mut spent = 0;
    let mut server = ServerConnection::new(Arc::clone(server))?;
    let begun = cpu();
    let mut client = ClientConnection::new(Arc::clone(client), name)?;
    spent += cpu() - begun;
    let mut wire = Vec::with_capacity(8192);
    while client.is_handshaking() || server.is_handshaking() {
        let begun = cpu();
        while client.wants_write() {
            client.write_tls(&mut wire)?;
        }
        spent += cpu() - begun;
        feed(&wire, |bytes| server.read_tls(bytes))?;
        wire.clear();
        server.process_new_packets()?;
        while server.wants_write() {
            server.write_tls(&mut wire)?;
        }
        let begun = cpu();
        feed(&wire, |bytes| client.read_tls(bytes))?;
        client.process_new_packets()?;
        spent += cpu() - begun;
        wire.clear();
    }
    Ok(spent)
}

fn feed(mut wire: &[u8], mut read: impl FnMut(&mut &[u8]) -> std::io::Result<usize>) -> anyhow::Result<()> {
    while !wire.is_empty() {
        read(&mut wire)?;
    }
    Ok(())
}

/// What this thread has used of its core, in nanoseconds.
fn cpu() -> u64 {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(spent.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(spent.tv_nsec).unwrap_or(0)
}
