//! `serin probe`: one question with its phases, or a paced run with its percentiles.

mod words;

use super::{Failure, say};
use crate::engine::{Asked, Dialer, SurveyOptions, question, survey};
use crate::settings::Target;
use clap::Args;
use http::{HeaderName, HeaderValue, Method};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// URLs at most.
const URLS_MAX: usize = 10_000;
/// Connections that are kept where nobody says how many.
const KEPT: u32 = 8;
/// Connections of a closed loop where nobody says how many.
const CLOSED_LOOP: u32 = 32;

/// `serin probe`
///
/// Without --rate each URL is asked once, and the time of each phase is drawn. With --rate the URLs share an exact
/// pace, in an open loop: a slow answer delays no other probe, and its wait is in the response times. Response time counts
/// from the instant at which a probe was planned, service time from when it was begun; lateness is our own.
///
/// Exit code 0: every answer was as expected. 1: some were not. 64: the command line is wrong.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct ProbeArgs {
    /// What is asked: http or https.
    #[arg(value_name = "URL")]
    urls: Vec<String>,
    /// More URLs, one a line; # begins a comment.
    #[arg(long, value_name = "FILE")]
    urls_file: Option<PathBuf>,
    /// Probes a second, all URLs together: 1000, 30/m; or max: as fast as the answers come, each connection waiting for its own.
    #[arg(long, value_name = "RATE", value_parser = rate, allow_negative_numbers = true)]
    rate: Option<Rate>,
    /// For how long.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = span, requires = "rate")]
    duration: Duration,
    /// Connections at once, all of them kept open. Default: 8 kept, and as many more as slow answers need; 32 with --rate max.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=28_000), requires = "rate")]
    connections: Option<u32>,
    /// Probes due within one quantum share a wake-up: 0s is exact; at 10,000 a second 1ms takes less than half of the CPU.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = span, requires = "rate")]
    quantum: Duration,
    /// A new connection for each probe.
    #[arg(long)]
    fresh: bool,
    /// From the planned instant to the last byte; it may be longer than the interval.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = span)]
    timeout: Duration,
    /// HTTP/2, one stream a connection.
    #[arg(long)]
    http2: bool,
    /// Resume TLS sessions instead of a handshake in full for each new connection.
    #[arg(long)]
    tls_resume: bool,
    /// Extra trust roots (PEM).
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Connect there, and keep the URL's host and SNI.
    #[arg(long, value_name = "ADDRESS:PORT")]
    connect_to: Option<SocketAddr>,
    /// HEAD instead of GET.
    #[arg(long)]
    head: bool,
    /// Send this too: -H 'x-probe: serin'.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The response header that names the version that answered.
    #[arg(long, value_name = "NAME", default_value = "x-version")]
    version_header: HeaderName,
    /// Statuses of a good answer: 200, 200-299.
    #[arg(long, value_name = "STATUS", default_value = "200-299", value_delimiter = ',')]
    expect_status: Vec<String>,
    /// What a good body contains.
    #[arg(long, value_name = "TEXT")]
    expect_body: Option<String>,
    /// For programs.
    #[arg(long)]
    json: bool,
}

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rate {
    Hertz(f64),
    Max,
}

pub(super) fn probe(args: &ProbeArgs) -> Result<(), Failure> {
    let targets = targets(args)?;
    let dialer = Dialer::new(&targets, false).map_err(|error| Failure::Usage(error.to_string()))?;
    let faults = match args.rate {
        None => once(targets, dialer, args.json)?,
        Some(rate) => paced(args, rate, &targets, dialer)?,
    };
    if faults == 0 {
        return Ok(());
    }
    Err(Failure::Failed(anyhow::anyhow!("{faults} of the probes were not answered as expected, see above")))
}

/// The number of bad answers.
fn once(targets: Vec<Target>, dialer: Dialer, json: bool) -> Result<u64, Failure> {
    let asked: Vec<Asked> = question(dialer, targets)?;
    if json {
        let all: Vec<_> = asked.iter().map(words::asked_json).collect();
        say(&format!("{:#}\n", serde_json::json!({ "probes": all })))?;
    } else {
        say(&asked.iter().map(words::waterfall).collect::<Vec<_>>().join("\n"))?;
    }
    Ok(asked.iter().filter(|asked| asked.outcome.reason().is_some()).count() as u64)
}

fn paced(args: &ProbeArgs, rate: Rate, targets: &[Target], dialer: Dialer) -> Result<u64, Failure> {
    let options = options(args, rate, targets)?;
    let mut targets = targets.to_vec();
    for target in &mut targets {
        target.in_flight = options.connections_max;
    }
    let found = survey(&targets, dialer, options)?;
    if args.json {
        say(&format!("{:#}\n", words::json(&found, &targets, options)))?;
    } else {
        say(&words::table(&found, &targets, options))?;
    }
    Ok(found.failures.values().sum())
}

fn options(args: &ProbeArgs, rate: Rate, targets: &[Target]) -> Result<SurveyOptions, Failure> {
    let usage = |text: String| Failure::Usage(format!("{text}; see serin probe --help"));
    let (least, most) = (Duration::from_millis(10), Duration::from_hours(24));
    if args.duration < least || args.duration > most {
        return Err(usage("--duration: 10ms to 24h are possible".into()));
    }
    if args.quantum > Duration::from_millis(10) {
        return Err(usage("--quantum: 10ms at most".into()));
    }
    let rate_hz = match rate {
        Rate::Max => None,
        Rate::Hertz(hertz) => Some(hertz),
    };
    if let Some(hertz) = rate_hz {
        let each = Duration::from_secs_f64(1.0 / hertz) * u32::try_from(targets.len()).unwrap_or(1);
        if each > Duration::from_hours(24) {
            return Err(usage("--rate: less than one probe a day and URL".into()));
        }
        if each < args.quantum {
            let text = "--quantum is longer than the time between two probes of a URL, which would all but one be late";
            return Err(usage(text.into()));
        }
    }
    let needed = rate_hz
        .map_or(f64::from(CLOSED_LOOP), |hertz| hertz * args.timeout.as_secs_f64() * 1.25 + f64::from(KEPT));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped first")]
    let needed = needed.clamp(1.0, 28_000.0) as u32;
    let kept = args.connections.unwrap_or(if rate_hz.is_some() { KEPT } else { CLOSED_LOOP });
    Ok(SurveyOptions {
        rate_hz,
        duration: args.duration,
        connections: kept,
        connections_max: args.connections.unwrap_or(needed),
        quantum: args.quantum,
    })
}

fn targets(args: &ProbeArgs) -> Result<Vec<Target>, Failure> {
    let mut urls = args.urls.clone();
    if let Some(path) = args.urls_file.as_ref() {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::Usage(format!("--urls-file {}: {error}", path.display())))?;
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        urls.extend(lines.filter(|line| !line.is_empty()).map(str::to_owned));
    }
    if urls.is_empty() || urls.len() > URLS_MAX {
        return Err(Failure::Usage(format!("{} URLs, 1 to {URLS_MAX} are possible", urls.len())));
    }
    if args.timeout < Duration::from_millis(1) || args.timeout > Duration::from_mins(1) {
        return Err(Failure::Usage("--timeout: 1ms to 60s are possible".into()));
    }
    urls.iter().map(|url| target(url, args)).collect()
}

fn target(url: &str, args: &ProbeArgs) -> Result<Target, Failure> {
    let mut target = Target::plain(url).map_err(Failure::Usage)?;
    target.method = if args.head { Method::HEAD } else { Method::GET };
    target.headers.extend(args.headers.iter().cloned());
    target.version_header = Some(args.version_header.clone());
    target.timeout = args.timeout;
    target.fresh = args.fresh;
    target.http2 = args.http2;
    target.tls_resume = args.tls_resume;
    target.ca_file.clone_from(&args.ca_file);
    target.connect_to = args.connect_to;
    target.status = crate::settings::statuses(&args.expect_status).map_err(Failure::Usage)?;
    target.body_contains = args.expect_body.as_ref().map(|text| text.as_bytes().to_vec());
    Ok(target)
}

fn rate(text: &str) -> Result<Rate, String> {
    if text == "max" {
        return Ok(Rate::Max);
    }
    let full = if text.contains('/') { text.to_owned() } else { format!("{text}/s") };
    let hertz = crate::settings::rate_hz_of(&full)?;
    if (1e-5..=1_000_000.0).contains(&hertz) {
        Ok(Rate::Hertz(hertz))
    } else {
        Err("1 a day to 1,000,000 a second are possible".into())
    }
}

fn span(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "write a number with its unit: 250ms, 8s, 10m".into())
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write NAME: VALUE")?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| "not a header name")?;
    let value = HeaderValue::from_str(value.trim()).map_err(|_| "not a header value")?;
    Ok((name, value))
}
