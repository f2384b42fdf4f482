//! One name for all states that go on alike: what `Debug` says of the guards and of the world, with times relative and numbers renamed.
//!
//! `Debug` is derived everywhere, so that nothing a guard remembers can be forgotten here. What is changed or left out, and why:
//!
//! | what | how | why that is sound |
//! |---|---|---|
//! | instants | relative to now, in whole seconds, -[`PAST`]..[`FUTURE`] | everything happens at whole seconds; every bound that a search can reach is shorter, and those that are longer (the judged time, the cool-down, the settling) are never over in it |
//! | numbers of operations, intents, releases, epochs | by first mention | they are only compared for being the same; but for one comparison of epochs, whose order no search changes |
//! | the counters of the next numbers, of late replies | left out | the only other use is the jitter of a pause, which is below a second |
//! | how long each condition has stood | left out | only a page that tells of it in peace depends on it |
//! | what was paged in earlier epochs | left out | no page belongs to an epoch that is over |

use serin_model::time::Mono;
use std::fmt::{self, Debug, Write};

/// Further back all is the same: the longest bound on an age is 13 s.
const PAST: i64 = 15;
/// Further on all is the same: the longest deadline within reach is 22 s away.
const FUTURE: i64 = 30;
const SECOND: i64 = 1_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    None,
    Instant,
    Operation,
    Intent,
    Release,
    Epoch,
    Uncounted,
}

/// Takes the pieces that `Debug` writes. A name like `Mono` and its number are pieces of their own.
#[derive(Debug)]
pub(crate) struct Canon {
    now: i64,
    /// The epoch of the guard that is written down.
    open: Option<u32>,
    text: String,
    kind: Kind,
    after_comma: bool,
    skips: bool,
    paged: bool,
    /// Numbers in the order of their mention, for each kind.
    names: [Vec<u64>; 4],
}

impl Canon {
    pub(crate) fn new(now: Mono) -> Self {
        Self {
            now: i64::try_from(now.0).expect("a short run"),
            open: None,
            text: String::with_capacity(8_192),
            kind: Kind::None,
            after_comma: false,
            skips: false,
            paged: false,
            names: [const { Vec::new() }; 4],
        }
    }

    /// Another actor: numbers of one say nothing of another's.
    pub(crate) fn actor(&mut self, open: Option<u32>) {
        self.open = open;
        self.names = [const { Vec::new() }; 4];
    }

    pub(crate) fn add(&mut self, what: &impl Debug) {
        (self.skips, self.paged) = (false, false);
        write!(self, "{what:?}").expect("a String takes everything");
    }

    /// Two lanes of 64 bits: for a billion states the odds of any clash are below one in 10^20.
    pub(crate) fn hash(&self) -> u128 {
        let (mut one, mut two) = (0x9e37_79b9_7f4a_7c15_u64, 0xc2b2_ae3d_27d4_eb4f_u64);
        for chunk in self.text.as_bytes().chunks(8) {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            let word = u64::from_le_bytes(bytes);
            one = (one ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29);
            two = (two.rotate_left(23) ^ word).wrapping_mul(0x9fb2_1c65_1e98_df25);
            two ^= two >> 32;
        }
        let mix = |mut word: u64| {
            word = (word ^ (word >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
            word ^ (word >> 29)
        };
        (u128::from(mix(one)) << 64) | u128::from(mix(two))
    }

    fn number(&mut self, kind: Kind, digits: &str) {
        let number: u64 = digits.parse().expect("digits");
        if kind == Kind::Epoch && self.paged {
            self.skips = self.open.map(u64::from) != Some(number);
            return;
        }
        if self.skips {
            return;
        }
        let index = match kind {
            Kind::Instant => {
                let ahead = i64::try_from(number).unwrap_or(i64::MAX).saturating_sub(self.now);
                // Upwards: what is due within a second is due at its end.
                let seconds = (ahead.saturating_add(SECOND - 1)).div_euclid(SECOND);
                let _ = write!(self.text, "{}", seconds.clamp(-PAST, FUTURE));
                return;
            }
            Kind::None | Kind::Uncounted => return,
            Kind::Operation => 0,
            Kind::Intent => 1,
            Kind::Release => 2,
            Kind::Epoch => 3,
        };
        let names = &mut self.names[index];
        let place = names.iter().position(|known| *known == number).unwrap_or_else(|| {
            names.push(number);
            names.len() - 1
        });
        let _ = write!(self.text, "{place}");
    }
}

impl Write for Canon {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let field = std::mem::replace(&mut self.after_comma, piece == ", " || piece == " { ");
        if self.kind != Kind::None && piece.as_bytes().first().is_some_and(u8::is_ascii_digit) {
            let kind = std::mem::replace(&mut self.kind, Kind::None);
            self.number(kind, piece);
            return Ok(());
        }
        match piece {
            "Mono" => self.kind = Kind::Instant,
            "OpId" => self.kind = Kind::Operation,
            "IntentId" => self.kind = Kind::Intent,
            "ReleaseId" => self.kind = Kind::Release,
            "EpochId" => self.kind = Kind::Epoch,
            _ if !field => {}
            "next_epoch" | "next_release" | "next_op" | "next_intent" | "late_replies" => {
                self.kind = Kind::Uncounted;
            }
            "paged" => self.paged = true,
            "mark" => (self.paged, self.skips) = (false, false),
            "standing" => self.skips = true,
            "last_full" => self.skips = false,
            _ => {}
        }
        if !self.skips && self.kind == Kind::None {
            self.text.push_str(piece);
        }
        Ok(())
    }
}
