//! `[[targets]]`: what is asked, and what a good answer is.

use super::reader::{Fault, Leaf, Noted, Section};
use super::{StatusSet, Target, address, units};
use crate::config::Data;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Slots beyond those that a hanging target fills: one probe may be late, one just answered.
const IN_FLIGHT_SPARE: u32 = 2;
/// Even a slow pace can hold a few slow answers.
const IN_FLIGHT_LEAST: u32 = 4;
/// More slots than one address has ports are of no use.
const IN_FLIGHT_MAX: u32 = 28_000;
/// Methods with effects are sent at most this often, a second and instance.
const EFFECTS_RATE_HZ: f64 = 1.0;
/// A text to look for; larger ones belong into a test, not a probe.
const BODY_BYTES_MAX: usize = 4096;
/// The bundles of distributions have a quarter of it.
const CA_BYTES_MAX: u64 = 1024 * 1024;
/// A name becomes a label of every series.
const NAME_BYTES_MAX: usize = 200;

/// What the service's targets share.
pub(super) struct Shared {
    /// The release pace of a target of weight one, if nothing caps it.
    pub(super) hz_of_weight: f64,
    /// The service's trust roots.
    pub(super) ca_file: Option<PathBuf>,
}

/// One target.
pub(super) fn read(
    section: &Section<'_>,
    weight: Result<u32, Noted>,
    shared: &Shared,
) -> Result<Target, Noted> {
    let endpoint = section.get("url", |leaf| address::endpoint(leaf.text()?));
    let connect_to = section.maybe("connect_to", connect_to);
    let name = section.maybe("name", name);
    let group = section.maybe("group", |leaf| leaf.text().map(str::to_owned));
    let method = section.get("method", method);
    let side_effects = section.maybe("side_effects", |leaf| leaf.choice(&[("none", ())]));
    let headers = headers(section);
    let version = section.section("version");
    let version_header = section.has("version").then(|| version.get("header", header_name)).transpose();
    let timeout =
        section.get("timeout", |leaf| leaf.duration(Duration::from_millis(1)..=Duration::from_mins(1)));
    let fresh = section.get("connection", |leaf| leaf.choice(&[("reuse", false), ("fresh", true)]));
    let http2 = section.get("http", |leaf| leaf.choice(&[("1.1", false), ("2", true)]));
    let tls_resume = section.get("tls_session", |leaf| leaf.choice(&[("full", false), ("resume", true)]));
    let max_body = section.get("max_body", |leaf| leaf.size(1..=10 * 1024 * 1024));
    let expect = section.section("expect");
    let status = expect.get("status", statuses);
    let body = expect.maybe("body", body);
    let in_flight = section.maybe("in_flight", |leaf| leaf.count(1..=IN_FLIGHT_MAX));
    let ca_file = section.maybe("ca_file", ca_file);

    let method = method?;
    let rate_cap_hz = rate_cap(section, &method, side_effects?.is_some())?;
    if method == Method::HEAD && matches!(body, Ok(Some(_))) {
        let fault = Fault::new("an answer to HEAD has no body", "use GET, or leave expect.body out");
        return Err(expect.refuse("body", fault));
    }
    let weight = weight?;
    let share_hz = shared.hz_of_weight * f64::from(weight);
    let rate_hz = rate_cap_hz.map_or(share_hz, |cap_hz| cap_hz.min(share_hz));
    let in_flight = slots(section, in_flight?, timeout?, rate_hz)?;
    let endpoint = endpoint?;
    let name = name?.unwrap_or_else(|| {
        let path = if endpoint.url.path() == "/" { "root" } else { endpoint.url.path() };
        section.note_default("name", crate::config::quoted(path));
        path.to_owned()
    });
    let (body_contains, max_body) = (body?, max_body?);
    if body_contains.as_ref().is_some_and(|text| text.len() as u64 > max_body) {
        let rule = format!("is longer than max_body ({max_body} bytes)");
        return Err(expect.refuse("body", Fault::new(rule, "raise max_body")));
    }
    Ok(Target {
        name,
        weight,
        group: group?,
        endpoint,
        connect_to: connect_to?,
        front: None,
        method,
        headers: headers?,
        version_header: version_header?,
        timeout: timeout?,
        fresh: fresh?,
        http2: http2?,
        tls_resume: tls_resume?,
        max_body,
        status: status?,
        body_contains,
        in_flight,
        ca_file: ca_file?.or_else(|| shared.ca_file.clone()),
        rate_cap_hz,
    })
}

/// A PEM file that is there; what is in it, the TLS library judges when it connects.
pub(super) fn ca_file(leaf: &Leaf<'_>) -> Result<PathBuf, Fault> {
    let path = leaf.path()?;
    let remedy = "name a PEM file of certificates that this user may read";
    let mut bytes = Vec::new();
    match File::open(&path).and_then(|file| file.take(CA_BYTES_MAX).read_to_end(&mut bytes)) {
        Err(error) => Err(Fault::new(format!("can't read it: {error}"), remedy)),
        Ok(_) if !bytes.windows(27).any(|window| window == b"-----BEGIN CERTIFICATE-----") => {
            Err(Fault::new("has no certificate in PEM form", remedy))
        }
        Ok(_) => Ok(path),
    }
}

/// Headers from `{ name = "value" }`, each literal or by reference.
fn header(leaf: &Leaf<'_>, name: &str) -> Result<(HeaderName, HeaderValue), Fault> {
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Fault::new("not a header name", "letters, digits and - only"))?;
    if let Some((_, why)) = OWNED_HEADERS.iter().find(|(owned, _)| *owned == parsed.as_str()) {
        return Err(Fault::new(format!("the header {parsed} can't be set: {why}"), "leave it out"));
    }
    let (text, secret) = match leaf.reference() {
        Some(secret) => (secret?.expose().to_owned(), true),
        None => (leaf.text()?.to_owned(), false),
    };
    let remedy = format!("write {parsed} = {{ env = \"NAME\" }} or {{ file = \"PATH\" }}");
    if !secret && CREDENTIAL_WORDS.iter().any(|word| parsed.as_str().contains(word)) {
        return Err(Fault::new("a credential stands in the file", remedy));
    }
    // The library's own message could quote the value.
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| Fault::new("not a header value: visible ASCII on one line only", ""))?;
    value.set_sensitive(secret);
    Ok((parsed, value))
}

/// Headers that the HTTP library or the meaning of a probe owns.
const OWNED_HEADERS: &[(&str, &str)] = &[
    ("host", "it is the URL's host; use connect_to to ask another address"),
    ("content-length", "it is counted from what is sent"),
    ("connection", "it is what `connection` says"),
    ("keep-alive", "it is what `connection` says"),
    ("proxy-connection", "it is what `connection` says"),
    ("transfer-encoding", "it is chosen by what is sent"),
    ("te", "trailers are not read"),
    ("trailer", "no trailers are sent"),
    ("upgrade", "a probe is one request and one answer"),
    ("expect", "a probe has no body to wait for"),
    ("cookie", "a balancer's stickiness cookie would pin the probe to one target group"),
];

/// Header names with these words carry credentials.
const CREDENTIAL_WORDS: &[&str] = &["authorization", "token", "secret", "password", "api-key", "apikey"];

/// The table `headers` of a section.
pub(super) fn headers(section: &Section<'_>) -> Result<HeaderMap, Noted> {
    let headers = section.section("headers");
    let mut map = HeaderMap::new();
    let mut read = Ok(());
    for name in headers.names() {
        let found = headers.get(name, |leaf| {
            let (parsed, value) = header(leaf, name)?;
            // Names are the same in any case, and keys of a document are not.
            let twice = map.contains_key(&parsed);
            if twice {
                Err(Fault::new(format!("the header {parsed} is set twice"), ""))
            } else {
                Ok((parsed, value))
            }
        });
        match found {
            Ok((name, value)) => drop(map.insert(name, value)),
            Err(noted) => read = Err(noted),
        }
    }
    read.map(|()| map)
}

fn header_name(leaf: &Leaf<'_>) -> Result<HeaderName, Fault> {
    let text = leaf.text()?;
    HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| Fault::new("not a header name", "write it like \"x-version\""))
}

fn connect_to(leaf: &Leaf<'_>) -> Result<SocketAddr, Fault> {
    let remedy = "write an address with its port: \"127.0.0.1:8080\" or \"[::1]:8080\"";
    let place: SocketAddr =
        leaf.text()?.parse().map_err(|_| Fault::new("not an address with a port", remedy))?;
    if place.port() == 0 {
        return Err(Fault::new("port 0 is no port of a service", remedy));
    }
    address::allowed(place.ip()).map(|()| place)
}

fn name(leaf: &Leaf<'_>) -> Result<String, Fault> {
    let text = leaf.text()?;
    if text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
        let rule = format!("a name becomes a label: at most {NAME_BYTES_MAX} bytes, no control characters");
        return Err(Fault::new(rule, ""));
    }
    Ok(text.to_owned())
}

fn method(leaf: &Leaf<'_>) -> Result<Method, Fault> {
    let text = leaf.text()?;
    let known = text.bytes().all(|byte| byte.is_ascii_uppercase());
    let method = Method::from_bytes(text.as_bytes()).ok().filter(|_| known);
    match method {
        None => Err(Fault::new("not a method", "methods are upper case: \"GET\"")),
        Some(Method::CONNECT) => {
            Err(Fault::new("CONNECT opens a tunnel and asks nothing", "use GET or HEAD"))
        }
        Some(method) => Ok(method),
    }
}

/// Methods other than GET and HEAD: only where the file takes responsibility, and slowly.
fn rate_cap(section: &Section<'_>, method: &Method, harmless: bool) -> Result<Option<f64>, Noted> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(None);
    }
    if harmless {
        return Ok(Some(EFFECTS_RATE_HZ));
    }
    let rule = format!("{method} may change something, and a probe repeats it without end");
    let remedy = "use GET or HEAD, or say side_effects = \"none\" (then at most 1 probe a second is sent)";
    Err(section.refuse("method", Fault::new(rule, remedy)))
}

fn statuses(leaf: &Leaf<'_>) -> Result<StatusSet, Fault> {
    leaf.list()?.iter().map(|node| status(&node.data)).collect::<Result<_, _>>().map(StatusSet)
}

/// Statuses from texts instead of a document.
pub(super) fn statuses_of(texts: &[String]) -> Result<StatusSet, String> {
    let ranges = texts.iter().map(|text| status(&Data::Text(text.clone())));
    ranges.collect::<Result<_, _>>().map(StatusSet).map_err(|fault| fault.words())
}

/// A target of which only the URL is set.
pub(super) fn plain(url: &str) -> Result<Target, String> {
    let endpoint = address::endpoint(url)
        .map_err(|fault| format!("{}: {}", crate::config::quoted(url), fault.words()))?;
    Ok(Target {
        name: url.to_owned(),
        weight: 1,
        group: None,
        endpoint,
        connect_to: None,
        front: None,
        method: Method::GET,
        headers: HeaderMap::new(),
        version_header: None,
        timeout: Duration::from_secs(1),
        fresh: false,
        http2: false,
        tls_resume: false,
        max_body: 64 * 1024,
        status: StatusSet(vec![200..=299]),
        body_contains: None,
        in_flight: IN_FLIGHT_LEAST,
        ca_file: None,
        rate_cap_hz: None,
    })
}

fn status(data: &Data) -> Result<RangeInclusive<u16>, Fault> {
    let fault = || {
        let rule = format!("{data} is neither a status nor a range of them, 200 to 599");
        Fault::new(rule, "write [200, \"300-399\"]")
    };
    let range = match data {
        Data::Int(code) => u16::try_from(*code).ok().map(|code| code..=code),
        Data::Text(text) => {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            first.trim().parse().ok().zip(last.trim().parse().ok()).map(|(first, last)| first..=last)
        }
        _ => None,
    };
    // 1xx are not final answers: the HTTP library never shows them.
    range
        .filter(|range| 200 <= *range.start() && range.start() <= range.end() && *range.end() <= 599)
        .ok_or_else(fault)
}

fn body(leaf: &Leaf<'_>) -> Result<Vec<u8>, Fault> {
    let text = leaf.text()?;
    if text.len() > BODY_BYTES_MAX {
        return Err(Fault::new(format!("{} bytes to look for, {BODY_BYTES_MAX} at most", text.len()), ""));
    }
    Ok(text.as_bytes().to_vec())
}

/// Slots enough that a hang is seen: fewer than timeout / interval, and its probes would be dropped
/// before they time out.
fn slots(section: &Section<'_>, set: Option<u32>, timeout: Duration, rate_hz: f64) -> Result<u32, Noted> {
    // 1 s at 100/s is 100 slots, not 101 for a rounding.
    let needed = (timeout.as_secs_f64() * rate_hz - 1e-9).ceil().max(1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "60 s times 10,000/s at most"
    )]
    let needed = needed as u32;
    let pace = format!("timeout {} at {}", units::show(timeout), units::show_rate(rate_hz));
    if needed + IN_FLIGHT_SPARE > IN_FLIGHT_MAX {
        let rule = format!("{pace} needs {needed} probes in flight, {IN_FLIGHT_MAX} at most");
        return Err(section.refuse("timeout", Fault::new(rule, "shorten the timeout or slow the pace")));
    }
    match set {
        None => {
            let slots = (needed + IN_FLIGHT_SPARE).max(IN_FLIGHT_LEAST);
            section.note_default("in_flight", slots.to_string());
            Ok(slots)
        }
        Some(slots) if slots < needed => {
            let rule = format!(
                "{pace} has {needed} probes in flight when the target hangs: a hang would look like silence"
            );
            Err(section
                .refuse("in_flight", Fault::new(rule, format!("raise it to {needed} or leave it out"))))
        }
        Some(slots) => Ok(slots),
    }
}

/// Each name once: it is the label.
pub(super) fn unique<'s, 'a: 's>(
    targets: impl Iterator<Item = (&'s Section<'a>, &'s Target)>,
) -> Result<(), Noted> {
    let mut seen = BTreeMap::new();
    let mut checked = Ok(());
    for (section, target) in targets {
        if let Some(first) = seen.insert(&target.name, section.path()) {
            let rule = format!("{first} is named {} too", crate::config::quoted(&target.name));
            checked = Err(section.refuse("name", Fault::new(rule, "give each target a name of its own")));
        }
    }
    checked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_ranges_are_closed_and_final() {
        let text = |text: &str| status(&Data::Text(text.to_owned())).ok();
        assert_eq!(text("200-299"), Some(200..=299));
        assert_eq!(text("204"), Some(204..=204));
        for bad in ["", "100-199", "299-200", "200-600", "2xx", "-", "200-"] {
            assert_eq!(text(bad), None, "{bad}");
        }
        let set = StatusSet(vec![200..=299, 404..=404]);
        assert!(set.contains(299) && set.contains(404) && !set.contains(300));
    }
}
