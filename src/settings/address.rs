//! Addresses that are never asked, in all their spellings, and the parts of a URL.
//!
//! The deny list answers CVE-2020-16248 and its kin: a prober that can be pointed at the instance
//! metadata (169.254.169.254), the ECS credentials (169.254.170.2) or the EKS ones (169.254.170.23)
//! hands out the role of its task. Loopback and private networks are a sidecar's daily bread and are
//! allowed. The engine asks [`forbidden`] again for each address that a name resolved to.

use super::{Endpoint, Fault};
use http::Uri;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longer ones are refused by proxies and balancers anyway.
const URL_BYTES_MAX: usize = 2048;

/// Why this address is never asked; `None` for those that may be. Addresses of IPv4 inside IPv6
/// (mapped, compatible, NAT64 `64:ff9b::/96`, 6to4 `2002::/16`) are judged as what they lead to.
#[must_use]
pub fn forbidden(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => forbidden_v4(v4),
        IpAddr::V6(v6) => forbidden_v6(v6),
    }
}

fn forbidden_v4(v4: Ipv4Addr) -> Option<&'static str> {
    if v4.is_link_local() {
        Some("169.254.0.0/16 is link-local: it holds the instance metadata and the task's credentials")
    } else if v4.octets()[0] == 0 {
        Some("0.0.0.0/8 is no address of a service")
    } else if v4.is_multicast() {
        Some("224.0.0.0/4 is multicast")
    } else if v4.is_broadcast() {
        Some("255.255.255.255 is broadcast")
    } else {
        None
    }
}

fn forbidden_v6(v6: Ipv6Addr) -> Option<&'static str> {
    let parts = v6.segments();
    if v6.is_unspecified() {
        Some(":: is no address of a service")
    } else if v6.is_multicast() {
        Some("ff00::/8 is multicast")
    } else if v6.is_unicast_link_local() {
        Some("fe80::/10 is link-local")
    } else if parts[0] == 0xfd00 && parts[1] == 0x0ec2 {
        Some("fd00:ec2::/32 holds the instance metadata and the task's credentials")
    } else if v6.is_loopback() {
        None
    } else {
        inner_v4(parts).and_then(forbidden_v4)
    }
}

fn inner_v4(parts: [u16; 8]) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match parts {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

/// An http or https URL without user info and fragment, whose host may be asked.
pub(super) fn endpoint(text: &str) -> Result<Endpoint, Fault> {
    let example = "write it like https://shop.example.com/health";
    if text.len() > URL_BYTES_MAX {
        return Err(Fault::new(format!("a URL of {} bytes, {URL_BYTES_MAX} at most", text.len()), ""));
    }
    if text.contains('#') {
        return Err(Fault::new("a fragment (#) is never sent to a server", "leave it out"));
    }
    let url: Uri = text.parse().map_err(|error| Fault::new(format!("not a URL ({error})"), example))?;
    let tls = match url.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(Fault::new("the scheme is neither http nor https", example)),
    };
    let authority = url.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    if authority.contains('@') {
        let remedy = "put it into headers: authorization = { env = \"NAME\" }";
        return Err(Fault::new("a user or password in a URL ends up in logs", remedy));
    }
    let (host, port) =
        split(authority).ok_or_else(|| Fault::new("no host, or not a port from 1 to 65535", example))?;
    let host = check_host(host)?;
    Ok(Endpoint { host, port: port.unwrap_or(if tls { 443 } else { 80 }), tls, url })
}

/// Host (with the brackets of IPv6) and port.
fn split(authority: &str) -> Option<(&str, Option<u16>)> {
    let end = match authority.find(']') {
        Some(bracket) => bracket + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at(end);
    if rest.is_empty() {
        return Some((host, None));
    }
    let digits = rest.strip_prefix(':').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let port = digits.parse().ok().filter(|&port| port > 0)?;
    Some((host, Some(port)))
}

fn check_host(host: &str) -> Result<String, Fault> {
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let remedy = "write a plain IPv6 address without a zone";
        let v6: Ipv6Addr = inner.parse().map_err(|_| Fault::new("not an IPv6 address", remedy))?;
        return allowed(IpAddr::V6(v6)).map(|()| inner.to_owned());
    }
    let bare = host.strip_suffix('.').unwrap_or(host);
    let label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(plain)
    };
    if bare.len() > 253 || !bare.split('.').all(label) {
        return Err(Fault::new(
            "not a host name",
            "letters, digits, - and _ between dots; other scripts as xn--…",
        ));
    }
    let last = bare.rsplit('.').next().unwrap_or_default();
    // As the URL standard has it: a host whose last part is a number is an address, or wrong.
    if !last.bytes().all(|byte| byte.is_ascii_digit()) && number(last).is_none() {
        return Ok(host.to_owned());
    }
    if let Ok(v4) = bare.parse::<Ipv4Addr>() {
        return allowed(IpAddr::V4(v4)).map(|()| bare.to_owned());
    }
    if let Some(v4) = loose_v4(bare) {
        allowed(IpAddr::V4(v4))?;
        return Err(Fault::new("an IPv4 address that others may read differently", format!("write {v4}")));
    }
    Err(Fault::new("neither an IPv4 address nor a host name", "write four decimal numbers"))
}

/// Refuses what [`forbidden`] refuses.
pub(super) fn allowed(address: IpAddr) -> Result<(), Fault> {
    let remedy = "probe the service's own address";
    forbidden(address)
        .map_or(Ok(()), |why| Err(Fault::new(format!("{address} is never asked: {why}"), remedy)))
}

/// IPv4 as `inet_aton` reads it: one to four parts, each decimal, octal (`0…`) or hex (`0x…`), the last one filling up.
fn loose_v4(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u64> = text.split('.').map(number).collect::<Option<_>>()?;
    let (last, firsts) = parts.split_last()?;
    if firsts.len() > 3 || firsts.iter().any(|&part| part > 255) {
        return None;
    }
    let room = 32 - 8 * u32::try_from(firsts.len()).ok()?;
    if *last >= 1_u64 << room {
        return None;
    }
    let head = firsts.iter().fold(0_u64, |head, part| (head << 8) | part);
    u32::try_from((head << room) | last).ok().map(Ipv4Addr::from)
}

fn number(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    match (lower.strip_prefix("0x"), lower.strip_prefix('0')) {
        (Some(""), _) | (None, Some("")) => Some(0),
        (Some(hex), _) => u64::from_str_radix(hex, 16).ok(),
        (None, Some(octal)) => u64::from_str_radix(octal, 8).ok(),
        (None, None) => lower.parse().ok().filter(|_| lower.bytes().all(|byte| byte.is_ascii_digit())),
    }
}

/// A URL as it may be shown: whatever could be a credential is masked (user info, values of the query).
pub(super) fn masked(url: &str) -> String {
    use super::secret::MASK;
    let (url, fragment) = url.split_once('#').map_or((url, ""), |(url, _)| (url, "#…"));
    let (front, query) = url.split_once('?').map_or((url, None), |(front, query)| (front, Some(query)));
    let (scheme, rest) = front.split_once("//").unwrap_or(("", front));
    let rest = rest.rsplit_once('@').map_or_else(|| rest.to_owned(), |(_, host)| format!("{MASK}@{host}"));
    let front = if front.contains("//") { format!("{scheme}//{rest}") } else { rest };
    let Some(query) = query else { return format!("{front}{fragment}") };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) => format!("{name}={MASK}"),
        None => MASK.to_owned(),
    });
    format!("{front}?{}{fragment}", pairs.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_credentials_are_refused_in_every_spelling() {
        for host in [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "169.254.169.254.",
            "2852039166",
            "0xa9fea9fe",
            "0251.0376.0251.0376",
            "169.16689662",
            "169.254.43518",
            "0xA9.0xFE.0xA9.0xFE",
            "[::ffff:169.254.169.254]",
            "[::ffff:a9fe:a9fe]",
            "[::169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:a9fe:a9fe::1]",
            "[fd00:ec2::254]",
            "[fd00:ec2::23]",
            "[fe80::1]",
            "0",
            "0.0.0.0",
            "[::]",
            "224.0.0.1",
            "[ff02::1]",
            "255.255.255.255",
        ] {
            let fault = endpoint(&format!("http://{host}/x")).unwrap_err();
            assert!(fault.rule.contains("is never asked"), "{host}: {}", fault.rule);
        }
    }

    #[test]
    fn a_sidecars_neighbours_may_be_asked() {
        for host in [
            "127.0.0.1",
            "[::1]",
            "10.0.0.7",
            "192.168.1.1",
            "localhost",
            "shop.example.com",
            "[fd12::1]",
            "a_b.c-d",
        ] {
            assert!(endpoint(&format!("http://{host}:8080/x")).is_ok(), "{host}");
        }
    }

    #[test]
    fn other_spellings_of_allowed_addresses_are_refused_too() {
        for host in
            ["127.1", "0x7f.1", "2130706433", "1.2.3.4.5", "1.2.3.256", "[fe80::1%25eth0]", "a..b", "-.0x"]
        {
            assert!(endpoint(&format!("http://{host}/")).is_err(), "{host}");
        }
    }

    #[test]
    fn nothing_that_could_be_a_credential_is_shown() {
        assert_eq!(masked("https://a:b@h/p?token=t&x#f"), "https://<secret>@h/p?token=<secret>&<secret>#…");
        assert_eq!(masked("https://h/p"), "https://h/p");
        assert_eq!(masked("a:b@h"), "<secret>@h");
    }

    #[test]
    fn the_parts_of_a_url() {
        let endpoint = endpoint("https://[::1]:8443").unwrap();
        assert_eq!((endpoint.host.as_str(), endpoint.port, endpoint.tls), ("::1", 8443, true));
        assert_eq!(endpoint.url.path(), "/");
    }
}
