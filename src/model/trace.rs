//! The trace that a probe belongs to: made of what the probe is, so that nothing has to be kept for it, and whoever has a
//! sample of this run has its trace.
//!
//! Written as the W3C has it (<https://www.w3.org/TR/trace-context/>).

use crate::sample::{Purpose, Sample};
use crate::target::TargetId;
use crate::time::Mono;

/// What makes the traces of one service in one run, and how many of them are sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracing {
    seed: u64,
    /// Of 2^56, as the random part of a trace's id is compared with it.
    sampled_below: u64,
}

/// One probe's place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Never zero.
    pub id: u128,
    /// The probe's own span. Never zero.
    pub span: u64,
    /// Whoever takes part in the trace is asked to keep it.
    pub sampled: bool,
}

/// The place of somebody else's span, as an answer tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Never zero.
    pub id: u128,
    /// Zero where only the trace is told.
    pub span: u64,
    /// It was kept.
    pub sampled: bool,
}

/// A probe that is worth a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// Its place.
    pub trace: Trace,
    /// What it proved.
    pub sample: Sample,
    /// The target's name.
    pub target: Box<str>,
    /// The method.
    pub method: Box<str>,
    /// The URL without its query, which may hold secrets.
    pub url: Box<str>,
    /// The version that answered.
    pub version: Option<Box<str>>,
    /// What the answer says of its own trace.
    pub link: Option<Link>,
    /// Probes before it that were worth a span too, and of which none is told: there were too many at once.
    pub untold: u32,
}

const RANDOM_BITS: u32 = 56;

impl Tracing {
    /// `seed` is random; `share` of the probes are sampled, 0 to 1.
    #[must_use]
    pub fn new(seed: u64, share: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "2^56 is exact as f64, and 1 is the most that a share can be"
        )]
        let sampled_below = (share.clamp(0.0, 1.0) * (1_u64 << RANDOM_BITS) as f64) as u64;
        Self { seed, sampled_below }
    }

    /// Whether any probe may be sampled.
    #[must_use]
    pub const fn samples(&self) -> bool {
        self.sampled_below > 0
    }

    /// The trace of the probe of `target` for `purpose` that is due at `due`: the same whenever it is asked for.
    #[must_use]
    pub fn trace(&self, purpose: Purpose, target: TargetId, due: Mono) -> Trace {
        let purpose = match purpose {
            Purpose::Production => 1,
            Purpose::Direct => 2,
            Purpose::Control => 3,
        };
        let which = mixed(self.seed ^ mixed(u64::from(target.0) << 8 | purpose));
        let high = mixed(which ^ due.0);
        let low = mixed(high ^ which.rotate_left(32));
        // An id of zero is none; so is a span.
        let id = (u128::from(high) << 64 | u128::from(low)).max(1);
        let random = low & ((1 << RANDOM_BITS) - 1);
        Trace { id, span: mixed(low ^ self.seed).max(1), sampled: random < self.sampled_below }
    }
}

impl Trace {
    /// Letters of [`Self::header`].
    pub const HEADER: usize = 55;

    /// The value of `traceparent`.
    #[must_use]
    pub fn header(&self) -> [u8; Self::HEADER] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        hex(&mut text[3..35], self.id);
        hex(&mut text[36..52], self.span.into());
        text[54] = b'0' + u8::from(self.sampled);
        text
    }
}

impl Link {
    /// What `traceparent` or `traceresponse` says; `None` for what is none.
    #[must_use]
    pub fn of_w3c(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let (version, id, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // A later version may have more parts.
        let whole = is_hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
        if !whole || !is_hex(id, 32) || !is_hex(span, 16) || !is_hex(flags, 2) {
            return None;
        }
        let id = u128::from_str_radix(id, 16).ok().filter(|id| *id != 0)?;
        let span = u64::from_str_radix(span, 16).ok().filter(|span| *span != 0)?;
        Some(Self { id, span, sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1 })
    }

    /// What `X-Amzn-Trace-Id` says
    /// (<https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>).
    #[must_use]
    pub fn of_xray(text: &str) -> Option<Self> {
        let of = |key: &str| {
            let mut pairs = text.split(';').filter_map(|pair| pair.trim().split_once('='));
            pairs.find(|(each, _)| each.eq_ignore_ascii_case(key)).map(|(_, value)| value)
        };
        let (time, rest) = of("Root")?.strip_prefix("1-")?.split_once('-')?;
        if !is_hex(time, 8) || !is_hex(rest, 24) {
            return None;
        }
        let id = u128::from_str_radix(&format!("{time}{rest}"), 16).ok().filter(|id| *id != 0)?;
        let parent = of("Parent").filter(|parent| is_hex(parent, 16));
        let span = parent.and_then(|parent| u64::from_str_radix(parent, 16).ok()).unwrap_or(0);
        Some(Self { id, span, sampled: of("Sampled") == Some("1") })
    }
}

fn is_hex(text: &str, letters: usize) -> bool {
    text.len() == letters && text.bytes().all(|letter| matches!(letter, b'0'..=b'9' | b'a'..=b'f'))
}

/// The last `text.len()` hex letters of `number`.
fn hex(text: &mut [u8], number: u128) {
    for (letter, shift) in text.iter_mut().rev().zip((0..).step_by(4)) {
        *letter = b"0123456789abcdef"[(number >> shift & 0xf) as usize];
    }
}

/// The finalizer of `SplitMix64` (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
const fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn trace(seed: u64, share: f64, purpose: Purpose, target: u16, due: u64) -> Trace {
        Tracing::new(seed, share).trace(purpose, TargetId(target), Mono(due))
    }

    #[test]
    fn each_probe_has_a_trace_and_a_span_of_its_own_and_the_same_each_time() {
        let mut traces = Vec::new();
        for seed in [0, 1] {
            for purpose in [Purpose::Production, Purpose::Direct, Purpose::Control] {
                for target in 0..20 {
                    for due in (0..100).map(|step| step * 1_000) {
                        let one = trace(seed, 0.0, purpose, target, due);
                        assert_eq!(one, trace(seed, 0.0, purpose, target, due));
                        traces.push(one);
                    }
                }
            }
        }
        assert_eq!(traces.iter().map(|one| one.id).collect::<BTreeSet<_>>().len(), traces.len());
        assert_eq!(traces.iter().map(|one| one.span).collect::<BTreeSet<_>>().len(), traces.len());
    }

    #[test]
    fn a_trace_can_be_found_from_its_sample_by_any_program() {
        // The generator's outputs from seed 0 and 1234567, as other implementations have them.
        assert_eq!(mixed(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mixed(1_234_567), 6_457_827_717_110_365_317);
        assert_eq!(mixed(1_234_567 + 0x9e37_79b9_7f4a_7c15), 3_203_168_211_198_807_973);
        // By the same formulas in another language.
        let one = trace(0xfeed_5eed, 0.0, Purpose::Direct, 300, 1_700_000_123);
        assert_eq!((one.id, one.span), (0xa248_18ee_6aaf_8875_c2ff_3085_6e6e_654c, 0x38_3cdd_25b8_feaf));
        let random = 0xff_3085_6e6e_654c;
        let sampled = |sampled_below| {
            let tracing = Tracing { seed: 0xfeed_5eed, sampled_below };
            tracing.trace(Purpose::Direct, TargetId(300), Mono(1_700_000_123)).sampled
        };
        assert!(!sampled(random) && sampled(random + 1));
    }

    #[test]
    fn the_share_that_is_asked_for_is_sampled() {
        let sampled = |share: f64| {
            let all = (0..100_000).map(|due| trace(7, share, Purpose::Production, 3, due));
            all.filter(|one| one.sampled).count()
        };
        assert_eq!((sampled(0.0), sampled(1.0), sampled(-1.0), sampled(2.0)), (0, 100_000, 0, 100_000));
        // Four standard deviations of 100,000 draws are 126 and 632.
        assert!(!Tracing::new(7, 0.0).samples() && Tracing::new(7, 0.000_001).samples());
        assert!(sampled(0.01).abs_diff(1_000) < 126, "{}", sampled(0.01));
        assert!(sampled(0.5).abs_diff(50_000) < 632, "{}", sampled(0.5));
    }

    #[test]
    fn the_header_is_written_as_the_w3c_has_it_and_read_again() {
        let one =
            Trace { id: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, span: 0xf0_67aa_0ba9_02b7, sampled: true };
        let text = String::from_utf8(one.header().to_vec()).unwrap();
        assert_eq!(text, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        assert_eq!(Link::of_w3c(&text), Some(Link { id: one.id, span: one.span, sampled: true }));
        let unsampled = Trace { sampled: false, ..one };
        assert!(unsampled.header().ends_with(b"-00"));
    }

    #[test]
    fn what_is_no_trace_links_to_nothing() {
        let whole = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        assert_eq!(Link::of_w3c(whole).map(|link| link.sampled), Some(false));
        assert!(Link::of_w3c(&format!(" {whole} ")).is_some());
        assert!(Link::of_w3c(&format!("01{}-more", &whole[2..])).is_some(), "a later version");
        assert!(Link::of_w3c(&whole.replace("-00f", "-03f").replace("b7-00", "b7-03")).unwrap().sampled);
        for text in [
            "",
            "Root=1-67891233-abcdef012345678912345678",
            &whole[..54],
            &format!("{whole}0"),
            &format!("{whole}-more"),
            &format!("ff{}", &whole[2..]),
            &whole.replace("4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000000"),
            &whole.replace("00f067aa0ba902b7", "0000000000000000"),
            &whole.replace("4bf9", "4BF9"),
            &whole.replace("4bf9", "4bg9"),
            &whole.replace("b7-00", "b7-0g"),
            &whole.replace("b7-00", "b7-000"),
        ] {
            assert_eq!(Link::of_w3c(text), None, "{text}");
        }
    }

    #[test]
    fn x_ray_tells_a_trace_and_sometimes_a_span() {
        let id = 0x6789_1233_abcd_ef01_2345_6789_1234_5678;
        let link = |text: &str| Link::of_xray(text).map(|link| (link.id, link.span, link.sampled));
        let root = "Root=1-67891233-abcdef012345678912345678";
        assert_eq!(link(root), Some((id, 0, false)));
        let whole = format!("{root};Parent=463ac35c9f6413ad;Sampled=1");
        assert_eq!(link(&whole), Some((id, 0x463a_c35c_9f64_13ad, true)));
        assert_eq!(
            link(&format!("Self=1-1-1; {}", whole.to_lowercase())),
            Some((id, 0x463a_c35c_9f64_13ad, true))
        );
        assert_eq!(link(&format!("{root};Parent=463;Sampled=0")), Some((id, 0, false)));
        for text in [
            "",
            "Root=2-67891233-abcdef012345678912345678",
            "Root=1-6789123-abcdef012345678912345678",
            "Root=1-67891233-abcdef01234567891234567",
            "Root=1-67891233-abcdef01234567891234567g",
            "Root=1-00000000-000000000000000000000000",
            "Parent=463ac35c9f6413ad",
        ] {
            assert_eq!(link(text), None, "{text}");
        }
    }
}
