//! What must not be reverted, and what is to be said instead: trouble that isn't the release's.

use crate::chance::Chance;
use crate::story::{Ill, Part, Place, Spell, Story};
use crate::told::Told;
use serin_model::sample::{Fault, Ours};
use std::time::Duration;

/// A story that must leave the listener alone, with what it must say.
pub(crate) struct Tale {
    pub(crate) story: Story,
    /// At a time, in seconds after the cutover, the judge's word is one of these.
    says: Vec<(f64, &'static [&'static str])>,
    /// The guard told this: `refused …`, `held …` or `paged …`.
    does: Option<&'static str>,
}

impl Tale {
    pub(crate) fn of(story: Story) -> Self {
        Self { story, says: vec![], does: None }
    }

    pub(crate) fn says(mut self, at: f64, words: &'static [&'static str]) -> Self {
        self.story.span.1 = self.story.span.1.max(at + 0.1);
        self.says.push((at, words));
        self
    }

    pub(crate) fn does(mut self, label: &'static str) -> Self {
        self.does = Some(label);
        self
    }

    /// What must be said, apart from its story.
    pub(crate) fn expects(&self) -> Expects {
        Expects { says: self.says.clone(), does: self.does }
    }
}

pub(crate) struct Expects {
    says: Vec<(f64, &'static [&'static str])>,
    does: Option<&'static str>,
}

impl Expects {
    /// What was not said, if anything.
    pub(crate) fn missing(&self, told: &Told) -> Option<String> {
        let unsaid = |(at, words): &(f64, &'static [&'static str])| {
            let word = told.word_at(*at);
            (!words.contains(&word)).then(|| format!("at {at:.2} s it says {word:?}, not one of {words:?}"))
        };
        let undone = |label: &str| {
            (!told.labels.contains(label)).then(|| format!("it does {:?}, not {label:?}", told.labels))
        };
        self.says.iter().find_map(unsaid).or_else(|| self.does.and_then(undone))
    }
}

pub(crate) type Pattern = (&'static str, fn(u64, &mut Chance) -> Tale);

/// Twenty probes a second of each way.
pub(crate) fn paired(seed: u64) -> Story {
    Story::new(seed, 20.0, 20.0).until(1.0)
}

/// When the trouble begins: the change has spread, and the grace is over.
pub(crate) fn later(chance: &mut Chance) -> f64 {
    26.0 + chance.between(0.0, 6.0)
}

const SPELL: fn(Place, Ill, f64, f64) -> Spell = Spell::new;
const OUTAGE: Ill = Ill::Status(500);

pub(crate) const PATTERNS: [Pattern; 25] = [
    ("blip", |seed, chance| {
        let at = later(chance);
        let spell = SPELL(Place::New, OUTAGE, at, at + chance.between(0.03, 0.24));
        Tale::of(paired(seed).with(spell)).says(at + 3.0, &["good"])
    }),
    ("blips-apart", |seed, chance| {
        let at = later(chance);
        let spell = SPELL(Place::New, OUTAGE, at, at + 50.0).flaps(15.0, chance.between(0.03, 0.24));
        Tale::of(paired(seed).with(spell)).says(at + 59.0, &["good"])
    }),
    ("gap-of-ours", |seed, chance| {
        let (at, long) = (later(chance), chance.between(1.0, 5.0));
        let story = paired(seed)
            .with(SPELL(Place::Network, Ill::Hang, at, at + long).share(0.7))
            .with(SPELL(Place::Network, Ill::Fault(Fault::ConnectTimeout), at, at + long));
        Tale::of(story).says(at + long + 1.0, &["network", "suspect"])
    }),
    ("gap-to-both", |seed, chance| {
        let (at, long) = (later(chance), chance.between(1.0, 5.0));
        Tale::of(paired(seed).with(SPELL(Place::Both, Ill::Hang, at, at + long)))
            .says(at + long + 1.0, &["shared-dependency", "suspect"])
    }),
    ("quota-stall", |seed, chance| {
        let (at, long) = (later(chance), chance.log_between(0.1, 60.0));
        // No multiple of the pace, or the same probes come through each time.
        let spell = SPELL(Place::Own, Ill::Late, at, at + long).flaps(0.093, 0.075);
        let tale = Tale::of(paired(seed).with(spell)).says(at + long + 2.5, &["good"]);
        if long > 2.0 { tale.says(at + long - 0.05, &["starved"]) } else { tale }
    }),
    ("sigstop", |seed, chance| {
        let (at, long) = (later(chance), chance.log_between(2.0, 60.0));
        Tale::of(paired(seed).frozen(at, at + long))
            .says(at + long + 0.01, &["starved"])
            .says(at + long + 3.0, &["good"])
    }),
    ("short-stalls", |seed, chance| {
        let at = later(chance);
        let story = (0..8).fold(paired(seed), |story, n| {
            let from = at + f64::from(n) * 1.3;
            story.frozen(from, from + 0.1)
        });
        Tale::of(story).says(at + 14.0, &["good"])
    }),
    ("one-in-five-late", |seed, chance| {
        let at = later(chance);
        let spell = SPELL(Place::Own, Ill::Late, at, at + 20.0).share(0.15);
        Tale::of(paired(seed).with(spell)).says(at + 21.5, &["good"])
    }),
    ("dns-dead", |seed, chance| {
        let at = later(chance);
        Tale::of(paired(seed).with(SPELL(Place::Own, Ill::Failed(Ours::Resolve), at, at + 10.0)))
            .says(at + 5.0, &["ours"])
    }),
    ("no-descriptors", |seed, chance| {
        let at = later(chance);
        Tale::of(
            paired(seed).with(SPELL(Place::Own, Ill::Failed(Ours::Descriptors), at, at + 10.0).share(0.9)),
        )
        .says(at + 5.0, &["ours"])
    }),
    ("trust-roots-gone", |seed, chance| {
        let at = later(chance);
        Tale::of(paired(seed).with(SPELL(Place::Network, Ill::Fault(Fault::TlsCertificate), at, at + 15.0)))
            .says(at + 14.0, &["network"])
    }),
    ("library-goaway", |seed, chance| {
        let at = later(chance);
        Tale::of(paired(seed).with(SPELL(Place::Own, Ill::Failed(Ours::Library), at, at + 20.0).share(0.2)))
            .says(at + 21.5, &["good"])
    }),
    ("keep-alive-race", |seed, chance| {
        let at = later(chance);
        let spell = SPELL(Place::Both, Ill::Fault(Fault::Reset), at, at + 30.0).flaps(5.0, 0.1).share(0.5);
        Tale::of(paired(seed).with(spell)).says(at + 30.0, &["good", "suspect", "shared-dependency"])
    }),
    ("both-dead", |seed, chance| {
        let at = later(chance);
        Tale::of(paired(seed).with(SPELL(Place::Both, OUTAGE, at, at + 8.0)))
            .says(at + 5.0, &["shared-dependency"])
            .does("refused shared-dependency")
    }),
    ("both-partly-bad", |seed, chance| {
        let at = later(chance);
        let spell = SPELL(Place::Both, OUTAGE, at, at + 16.0).share(chance.between(0.35, 0.7));
        Tale::of(paired(seed).with(spell)).says(at + 15.0, &["shared-dependency"])
    }),
    // The hardest: chance may show the old version good for a while.
    ("both-a-little-bad", |seed, chance| {
        let (at, share) = (later(chance), chance.log_between(0.03, 0.3));
        Tale::of(paired(seed).with(SPELL(Place::Both, OUTAGE, at, at + 45.0).share(share)))
            .says(at + 45.0, &["shared-dependency", "suspect"])
    }),
    ("both-slow", |seed, chance| {
        let at = later(chance);
        Tale::of(paired(seed).with(SPELL(Place::Both, Ill::Times(8.0), at, at + 12.0)))
            .says(at + 11.0, &["shared-dependency"])
    }),
    ("both-flapping", |seed, chance| {
        let at = later(chance);
        Tale::of(paired(seed).with(SPELL(Place::Both, OUTAGE, at, at + 13.0).flaps(4.0, 1.5)))
            .says(at + 13.0, &["shared-dependency", "suspect"])
    }),
    ("rate-limit", |seed, chance| {
        let at = later(chance);
        Tale::of(paired(seed).with(SPELL(Place::Front, Ill::Edge(429), at, at + 15.0)))
            .says(at + 14.0, &["edge"])
    }),
    ("firewall", |seed, chance| {
        let at = later(chance);
        Tale::of(paired(seed).with(SPELL(Place::Front, Ill::Edge(403), at, at + 20.0).share(0.8)))
            .says(at + 19.0, &["edge"])
    }),
    ("certificate-expired", |seed, chance| {
        let at = later(chance);
        Tale::of(paired(seed).with(SPELL(Place::Front, Ill::Fault(Fault::TlsCertificate), at, at + 15.0)))
            .says(at + 14.0, &["before-balancer"])
    }),
    ("certificate-rotation", |seed, chance| {
        let (at, long) = (later(chance), chance.between(0.2, 3.0));
        Tale::of(paired(seed).with(SPELL(Place::Front, Ill::Fault(Fault::TlsHandshake), at, at + long)))
            .says(at + long, &["good"])
    }),
    ("balancer-refuses", |seed, chance| {
        let at = later(chance);
        Tale::of(paired(seed).with(SPELL(Place::Front, Ill::Fault(Fault::ConnectRefused), at, at + 15.0)))
            .says(at + 14.0, &["before-balancer"])
    }),
    ("one-zone", |seed, chance| {
        let at = later(chance);
        Tale::of(paired(seed).with(SPELL(Place::New, OUTAGE, at, at + 8.0).part(Part::Address(1))))
            .says(at + 6.0, &["one-zone"])
            .does("refused one-zone")
    }),
    ("one-connection", |seed, chance| {
        let at = later(chance);
        Tale::of(paired(seed).with(SPELL(Place::New, OUTAGE, at, at + 31.0).part(Part::Conn(3))))
            .says(at + 30.0, &["one-connection"])
            .does("refused one-connection")
    }),
];

pub(crate) fn grace_of(story: &mut Story, seconds: u64) {
    story.judge.grace = Duration::from_secs(seconds);
}
