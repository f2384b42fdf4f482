//! From samples to a verdict: attribution, windows, the promises, and the verdict table.
//!
//! One judge serves one service, on the thread that made the samples. It keeps what each path showed over
//! the trailing window and answers, when asked, what may be said of the epoch. It never decides what to do.

use crate::detector::{Look, Threshold};
use crate::policy::JudgePolicy;
use crate::release::{Baseline, EpochId, Stage};
use crate::sample::{Fault, Outcome, Purpose, Sample, Taint};
use crate::target::{TargetId, Version, VersionId, Versions};
use crate::time::{Mono, Span};
use crate::verdict::{Evidence, Production, Row, Side, Stream, Verdict, Why, WhyBlind, table};
use crate::window::{Entry, Window};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// How long a side path's answers speak of now.
const SIDE_SPAN: Duration = Duration::from_secs(5);
/// Fewer answers than this from a side path are no word at all.
const SIDE_MIN: usize = 3;
/// How far back own faults are weighed: blind within a second.
const OWN_SPAN: Duration = Duration::from_secs(1);
/// The most own-fault marks that are kept.
const OWN_CAP: usize = 4_096;

/// What the judge says at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The epoch that it is about.
    pub epoch: EpochId,
    /// When.
    pub at: Mono,
    /// The word.
    pub verdict: Verdict,
    /// Production answers in the rolling window, all versions.
    pub answers: u32,
    /// How many were bad.
    pub bad: u32,
    /// P95 over that window.
    pub p95: Option<Span>,
    /// Good production answers since the epoch opened.
    pub good_answers: u64,
    /// The versions that production answered with in this epoch.
    pub versions: BTreeSet<Version>,
    /// Those of them that still answered when the change had spread: what came before may be the previous state's.
    pub settled: BTreeSet<Version>,
    /// The first bad production answer of this epoch.
    pub first_bad: Option<FirstBad>,
    /// The old version, asked directly.
    pub direct: Direct,
    /// Production over the settling span, to be the baseline of what comes next.
    pub baseline: Baseline,
    /// Samples of the last second that are void by our own doing, and all of them.
    pub void: (u32, u32),
}

/// The first answer of an epoch that broke a promise of availability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstBad {
    /// When it was due.
    pub due: Mono,
    /// When it was known.
    pub done: Mono,
    /// Which target.
    pub target: TargetId,
    /// Its status; 0 when none came.
    pub status: u16,
    /// The fault, or `None` for a probe that found no slot.
    pub fault: Option<Fault>,
    /// The version that answered.
    pub version: Option<Version>,
}

/// What the old version's own targets answered over the last seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Direct {
    /// Answers and failures.
    pub answers: u32,
    /// Bad ones.
    pub bad: u32,
    /// Slow ones.
    pub slow: u32,
    /// Addresses that were asked and gave only good answers.
    pub addresses_good: u32,
    /// Addresses that were asked.
    pub addresses: u32,
    /// The versions that they named.
    pub versions: BTreeSet<Version>,
}

/// Something that deserves a look at the listener at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A version answered that this epoch had not shown before.
    Version(Version),
    /// A bad answer where all was well.
    Failure,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Judge {
    policy: JudgePolicy,
    errors: Option<Threshold>,
    latency: Option<Threshold>,
    stage: Stage,
    /// Names behind [`VersionId`]s.
    pub versions: Versions,
    rolling: Window,
    history: Window,
    /// The new version's answers since the epoch opened.
    green_all: Window,
    /// Those of them that were due after its grace.
    green: Window,
    direct: Window,
    control: Window,
    seen: BTreeSet<VersionId>,
    settled: BTreeSet<VersionId>,
    first_green: Option<Mono>,
    green_known: u64,
    green_good: u64,
    good_answers: u64,
    first_bad: Option<FirstBad>,
    own: VecDeque<(Mono, Own)>,
    outside: VecDeque<(Mono, Fault)>,
}

/// Whose a sample of the last second was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    No,
    Late,
    Failed,
}

/// Whom an answer speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    New,
    Old,
    Unattributed,
}

/// What the promises say of the production path.
enum Finding {
    TooFew,
    Kept,
    Suspect,
    Grace(Evidence),
    AsBefore(Evidence),
    OneZone(Evidence),
    OneConnection(Evidence),
    Breach(Evidence),
}

impl Judge {
    /// A judge that has seen nothing yet.
    #[must_use]
    pub fn new(policy: JudgePolicy, stage: Stage) -> Self {
        let (errors, latency) = thresholds(&policy);
        let window = || Window::new(policy.window);
        Self {
            errors,
            latency,
            stage,
            versions: Versions::default(),
            rolling: window(),
            history: Window::new(policy.settle.max(policy.window)),
            green_all: window(),
            green: window(),
            direct: Window::new(policy.window.max(SIDE_SPAN)),
            control: Window::new(policy.window.max(SIDE_SPAN)),
            seen: BTreeSet::new(),
            settled: BTreeSet::new(),
            first_green: None,
            green_known: 0,
            green_good: 0,
            good_answers: 0,
            first_bad: None,
            own: VecDeque::new(),
            outside: VecDeque::new(),
            policy,
        }
    }

    /// A new epoch begins: nothing measured before counts after. The same epoch again means that its release is
    /// over: what was measured stays, and the old version has no word any more.
    pub fn open(&mut self, stage: Stage) {
        let goes_on = stage.epoch == self.stage.epoch;
        self.stage = stage;
        if goes_on {
            self.direct.clear();
            return;
        }
        for window in
            [&mut self.rolling, &mut self.history, &mut self.green_all, &mut self.green, &mut self.direct]
        {
            window.clear();
        }
        self.outside.clear();
        self.seen.clear();
        self.settled.clear();
        self.first_green = None;
        (self.green_known, self.green_good, self.good_answers) = (0, 0, 0);
        self.first_bad = None;
    }

    /// The epoch that is judged.
    #[must_use]
    pub const fn epoch(&self) -> EpochId {
        self.stage.epoch
    }

    /// Takes one sample that was done at `now`.
    pub fn observe(&mut self, sample: &Sample, now: Mono) -> Option<Notice> {
        let own = match (sample.taint, sample.outcome) {
            (Taint::Late, _) | (_, Outcome::Missed(_)) => Own::Late,
            (_, Outcome::Failed(_)) => Own::Failed,
            (Taint::Straddling, _) => return None,
            (Taint::Clean, Outcome::Ok | Outcome::Bad(_) | Outcome::Saturated) => Own::No,
        };
        if self.own.len() == OWN_CAP {
            self.own.pop_front();
        }
        self.own.push_back((now, own));
        if own != Own::No {
            return None;
        }
        match sample.purpose {
            Purpose::Control => {
                let entry = self.entry(sample, true);
                self.control.insert(now, entry);
                None
            }
            Purpose::Direct if sample.epoch == self.stage.epoch => {
                let entry = self.entry(sample, true);
                keep(&mut self.direct, now, entry, sample.told_slow);
                None
            }
            Purpose::Production if sample.epoch == self.stage.epoch => self.production(sample, now),
            // Due in an epoch that has ended: kept by the evidence, never judged.
            Purpose::Direct | Purpose::Production => None,
        }
    }

    /// A probe is in flight for longer than the latency objective: it is slow now, whatever comes of it.
    pub fn overdue(&mut self, sample: &Sample, now: Mono) {
        if sample.epoch != self.stage.epoch || self.latency.is_none() || sample.taint != Taint::Clean {
            return;
        }
        let response = Span::of(now.since(sample.planned));
        let entry = Entry { slow: true, response, answered: false, bad: false, ..self.entry(sample, false) };
        match sample.purpose {
            Purpose::Production => {
                self.rolling.insert(now, entry);
                self.history.insert(now, entry);
                if self.whose(sample) == Whose::New {
                    self.green_all.insert(now, entry);
                    if self.past_grace(sample.due) {
                        self.green.insert(now, entry);
                    }
                }
            }
            Purpose::Direct => self.direct.insert(now, entry),
            Purpose::Control => {}
        }
    }

    /// The verdict at `now`, with what it rests on.
    pub fn judge(&mut self, now: Mono) -> Judgement {
        self.expire(now);
        let verdict = self.verdict(now);
        let named = |ids: &mut dyn Iterator<Item = VersionId>| -> BTreeSet<Version> {
            ids.filter_map(|id| self.versions.name(id).cloned()).collect()
        };
        Judgement {
            epoch: self.stage.epoch,
            at: now,
            verdict,
            answers: self.rolling.count(),
            bad: self.rolling.bad(),
            p95: self.rolling.quantile(0.95),
            good_answers: self.good_answers,
            versions: named(&mut self.seen.iter().copied()),
            settled: named(&mut self.settled.iter().copied()),
            first_bad: self.first_bad.clone(),
            direct: self.direct_answers(now),
            baseline: Baseline {
                answers: self.history.count(),
                bad: self.history.bad(),
                slow: self.history.slow(),
                p95: self.history.quantile(0.95).map_or(0, |span| span.0),
            },
            void: self.void(),
        }
    }

    fn production(&mut self, sample: &Sample, now: Mono) -> Option<Notice> {
        if let Outcome::Bad(fault) = sample.outcome
            && !fault.release_can_cause()
        {
            if self.outside.len() == OWN_CAP {
                self.outside.pop_front();
            }
            self.outside.push_back((now, fault));
            return None;
        }
        let entry = self.entry(sample, false);
        let whose = self.whose(sample);
        keep(&mut self.rolling, now, entry, sample.told_slow);
        keep(&mut self.history, now, entry, sample.told_slow);
        self.good_answers += u64::from(!entry.bad);
        if entry.bad && self.first_bad.is_none() {
            self.first_bad = Some(self.first_bad_of(sample, now));
        }
        if whose == Whose::New {
            let own = |name: &Version| !self.stage.old_versions.contains(name);
            self.green_known += u64::from(self.versions.name(sample.version).is_some_and(own));
            self.green_good += u64::from(!entry.bad);
            if entry.answered && self.first_green.is_none() {
                self.first_green = Some(sample.done());
            }
            keep(&mut self.green_all, now, entry, sample.told_slow);
            if self.past_grace(sample.due) {
                keep(&mut self.green, now, entry, sample.told_slow);
            }
        }
        if sample.version != VersionId::NONE && sample.due >= self.stage.since.after(self.policy.propagation)
        {
            self.settled.insert(sample.version);
        }
        if sample.version != VersionId::NONE && self.seen.insert(sample.version) && self.seen.len() > 1 {
            return self.versions.name(sample.version).cloned().map(Notice::Version);
        }
        entry.bad.then_some(Notice::Failure)
    }

    /// `all_faults`: asked directly, a refused connection is the target's own word.
    fn entry(&self, sample: &Sample, all_faults: bool) -> Entry {
        let (bad, answered) = match sample.outcome {
            Outcome::Ok => (false, true),
            Outcome::Bad(fault) => (all_faults || fault.release_can_cause(), sample.status != 0),
            Outcome::Saturated => (true, false),
            Outcome::Missed(_) | Outcome::Failed(_) => (false, false),
        };
        let response = sample.response();
        let over = self.policy.objectives.p95_max.is_some_and(|max| response.duration() > max);
        Entry {
            due: sample.due,
            response,
            bad,
            slow: over || sample.outcome == Outcome::Saturated,
            answered,
            conn: sample.conn,
            addr: sample.addr,
            target: sample.target,
            version: sample.version,
        }
    }

    fn whose(&self, sample: &Sample) -> Whose {
        if !self.stage.release {
            // What the state before left behind, while the change spreads, isn't this state's either.
            let left = !self.stage.old_versions.is_empty()
                && sample.due < self.stage.since.after(self.policy.propagation);
            return match self.versions.name(sample.version) {
                Some(name) if left && self.stage.old_versions.contains(name) => Whose::Old,
                None if left => Whose::Unattributed,
                Some(_) | None => Whose::New,
            };
        }
        let spread = self.stage.one_has_all && sample.due >= self.stage.since.after(self.policy.propagation);
        match self.versions.name(sample.version) {
            Some(name) if !self.stage.old_versions.contains(name) => Whose::New,
            // The same version string on both sides tells nothing: then, well after the change, the weight does.
            Some(_) if spread && self.green_known == 0 && sample.due >= self.same_name_from() => Whose::New,
            Some(_) => Whose::Old,
            None if spread => Whose::New,
            None => Whose::Unattributed,
        }
    }

    fn same_name_from(&self) -> Mono {
        self.stage.since.after(self.policy.propagation.saturating_mul(2))
    }

    fn past_grace(&self, due: Mono) -> bool {
        !self.stage.release || self.first_green.is_some_and(|first| due >= first.after(self.policy.grace))
    }

    fn first_bad_of(&self, sample: &Sample, now: Mono) -> FirstBad {
        let fault = if let Outcome::Bad(fault) = sample.outcome { Some(fault) } else { None };
        FirstBad {
            due: sample.due,
            done: now,
            target: sample.target,
            status: sample.status,
            fault,
            version: self.versions.name(sample.version).cloned(),
        }
    }

    fn expire(&mut self, now: Mono) {
        for window in [
            &mut self.rolling,
            &mut self.history,
            &mut self.green_all,
            &mut self.green,
            &mut self.direct,
            &mut self.control,
        ] {
            window.expire(now);
        }
        let from = now.before(OWN_SPAN);
        while self.own.front().is_some_and(|(at, _)| *at < from) {
            self.own.pop_front();
        }
        let from = now.before(self.policy.window);
        while self.outside.front().is_some_and(|(at, _)| *at < from) {
            self.outside.pop_front();
        }
    }

    fn void(&self) -> (u32, u32) {
        let void = self.own.iter().filter(|(_, own)| *own != Own::No).count();
        (u32::try_from(void).unwrap_or(u32::MAX), u32::try_from(self.own.len()).unwrap_or(u32::MAX))
    }

    fn verdict(&self, now: Mono) -> Verdict {
        let (void, all) = self.void();
        if void * 2 > all {
            let late = self.own.iter().filter(|(_, own)| *own == Own::Late).count();
            let starved = u32::try_from(late).unwrap_or(u32::MAX) * 2 > void;
            return Verdict::Blind(if starved { WhyBlind::Starved } else { WhyBlind::Ours });
        }
        if self.rolling.count() == 0 && self.outside.is_empty() {
            let waited = now.since(self.stage.since) > self.policy.window;
            return if waited {
                Verdict::Blind(WhyBlind::NoData)
            } else {
                Verdict::Inconclusive(Why::TooFew)
            };
        }
        if let Some(word) = self.outside_word(now) {
            return word;
        }
        match self.finding(now) {
            Finding::TooFew if self.stage.release && self.green_all.count() == 0 => {
                Verdict::Inconclusive(Why::NoKnownAnswer)
            }
            Finding::TooFew => Verdict::Inconclusive(Why::TooFew),
            Finding::Suspect => Verdict::Inconclusive(Why::Suspect),
            Finding::Grace(evidence) => Verdict::Inconclusive(Why::Grace(evidence)),
            Finding::Kept => self.word(Production::Ok, None),
            Finding::AsBefore(evidence) => self.veto(evidence, Why::AsBefore),
            Finding::OneZone(evidence) => self.veto(evidence, Why::OneZone),
            Finding::OneConnection(evidence) => self.veto(evidence, Why::OneConnection),
            Finding::Breach(evidence) => self.word(Production::Bad, Some(evidence)),
        }
    }

    /// A breach that isn't the release's: what the table says first, if it says worse than `why`.
    fn veto(&self, evidence: Evidence, why: fn(Evidence) -> Why) -> Verdict {
        match self.word(Production::Bad, Some(evidence.clone())) {
            Verdict::Bad(_) | Verdict::Good => Verdict::Inconclusive(why(evidence)),
            other => other,
        }
    }

    fn word(&self, production: Production, evidence: Option<Evidence>) -> Verdict {
        let Some(evidence) = evidence else {
            return match production {
                Production::Ok => Verdict::Good,
                Production::OkUnknown | Production::Bad => Verdict::Inconclusive(Why::NoKnownAnswer),
                Production::NoData => Verdict::Blind(WhyBlind::NoData),
            };
        };
        // In peace nothing is reverted, so the only question is whether the fault may be our own.
        let b = if self.stage.release { since(&self.direct, &evidence, SIDE_MIN) } else { Some(Side::Ok) };
        let Some(b) = b else { return Verdict::Inconclusive(Why::Suspect) };
        let x = match since(&self.control, &evidence, 1) {
            Some(x) => x,
            // Only where B has no good word does X decide what is said: then it is waited for.
            None if b == Side::Ok => Side::NoData,
            None => return Verdict::Inconclusive(Why::Suspect),
        };
        if !self.stage.release && x == Side::Bad {
            return Verdict::Blind(WhyBlind::Network);
        }
        match table(production, b, x) {
            Row::Good => Verdict::Good,
            Row::Bad => Verdict::Bad(evidence),
            Row::Shared => Verdict::Inconclusive(Why::SharedDependency(evidence)),
            Row::NoControl => Verdict::Inconclusive(Why::NoControl(evidence)),
            Row::Network => Verdict::Blind(WhyBlind::Network),
            Row::NoData => Verdict::Blind(WhyBlind::NoData),
            Row::Wait => Verdict::Inconclusive(Why::NoKnownAnswer),
        }
    }

    /// Refusals by what stands in front of the service outnumber its answers.
    fn outside_word(&self, now: Mono) -> Option<Verdict> {
        let outside = u32::try_from(self.outside.len()).unwrap_or(u32::MAX);
        if outside <= self.rolling.count() {
            return None;
        }
        let edge = self.outside.iter().filter(|(_, fault)| *fault == Fault::Edge).count();
        if edge * 2 > self.outside.len() {
            return Some(Verdict::Inconclusive(Why::Edge));
        }
        let elsewhere = [side(&self.direct, now), side(&self.control, now)];
        Some(if elsewhere.contains(&Side::Ok) {
            Verdict::Inconclusive(Why::BeforeBalancer)
        } else {
            Verdict::Blind(WhyBlind::Network)
        })
    }

    fn finding(&self, now: Mono) -> Finding {
        // A version that never answered well can't be warming up: its errors count from the first.
        let total = self.stage.release && self.green_good == 0;
        let window = if total || !self.stage.release { &self.green_all } else { &self.green };
        let mut kept = false;
        let mut suspect = false;
        for threshold in self.errors.iter().chain(&self.latency) {
            if total && threshold.stream == Stream::Latency {
                continue;
            }
            match threshold.look(window, 0.0) {
                Look::TooFew => {}
                Look::Kept => kept = true,
                Look::Suspect => suspect = true,
                Look::Breach(mut evidence) => {
                    evidence.total = total;
                    return self.weigh(threshold, window, evidence);
                }
            }
        }
        if !self.past_grace(now)
            && let Some(evidence) = self.breach_in_grace()
        {
            return Finding::Grace(evidence);
        }
        match (suspect, kept || self.good_in_grace(now)) {
            (true, _) => Finding::Suspect,
            (false, true) => Finding::Kept,
            (false, false) => Finding::TooFew,
        }
    }

    /// Within the grace the new version's answers are kept in one window only; enough good ones are good.
    fn good_in_grace(&self, now: Mono) -> bool {
        let looks = |threshold: &Threshold| threshold.look(&self.green_all, 0.0) == Look::Kept;
        self.green.count() < self.policy.samples_min
            && (self.first_green.is_some() && now >= self.stage.since)
            && self.errors.iter().chain(&self.latency).all(looks)
    }

    fn breach_in_grace(&self) -> Option<Evidence> {
        self.errors.iter().chain(&self.latency).find_map(|threshold| {
            match threshold.look(&self.green_all, 0.0) {
                Look::Breach(evidence) => Some(evidence),
                Look::TooFew | Look::Kept | Look::Suspect => None,
            }
        })
    }

    /// A breach that a revert may answer has to be the release's: late or slow-only ones also have to be worse
    /// than before, it must come over two connections, and through every address that is asked.
    fn weigh(&self, threshold: &Threshold, window: &Window, evidence: Evidence) -> Finding {
        if !self.stage.release {
            return Finding::Breach(evidence);
        }
        let late = evidence.first_bad > self.stage.cutover.after(self.policy.onset);
        if late || evidence.stream == Stream::Latency {
            let before = match evidence.stream {
                Stream::Errors => self.stage.baseline.upper_share(self.stage.baseline.bad),
                Stream::Latency => self.stage.baseline.upper_share(self.stage.baseline.slow),
            };
            if !matches!(threshold.look(window, before), Look::Breach(_)) {
                return Finding::AsBefore(evidence);
            }
        }
        if evidence.connections < 2 {
            return Finding::OneConnection(evidence);
        }
        let mut zones: BTreeMap<u16, (u32, u32)> = BTreeMap::new();
        for entry in window.entries().filter(|entry| entry.due >= evidence.first_bad && entry.conn != 0) {
            let zone = zones.entry(entry.addr).or_default();
            zone.0 += 1;
            zone.1 += u32::from(evidence.stream.is_bad(entry) || entry.hangs());
        }
        let asked = zones.values().filter(|(count, _)| *count >= 5);
        if asked.clone().count() >= 2 && asked.filter(|(_, bad)| *bad > 0).count() == 1 {
            return Finding::OneZone(evidence);
        }
        Finding::Breach(evidence)
    }

    fn direct_answers(&self, now: Mono) -> Direct {
        let from = now.before(SIDE_SPAN);
        let mut direct = Direct::default();
        let mut good: BTreeMap<u16, bool> = BTreeMap::new();
        let mut versions = BTreeSet::new();
        for entry in self.direct.entries().filter(|entry| entry.due >= from) {
            direct.answers += 1;
            direct.bad += u32::from(entry.bad);
            direct.slow += u32::from(entry.slow);
            *good.entry(entry.addr).or_insert(true) &= !entry.bad && !entry.hangs();
            versions.insert(entry.version);
        }
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        direct.addresses = count(good.len());
        direct.addresses_good = count(good.values().filter(|good| **good).count());
        direct.versions = versions.into_iter().filter_map(|id| self.versions.name(id).cloned()).collect();
        direct
    }
}

/// How a side path does over the last seconds; it is bad when one answer in ten is.
fn side(window: &Window, now: Mono) -> Side {
    let from = now.before(SIDE_SPAN);
    let recent = || window.entries().filter(|entry| entry.due >= from);
    let (n, bad) = (recent().count(), recent().filter(|entry| entry.bad).count());
    match n < SIDE_MIN {
        true => Side::NoData,
        false if bad * 10 > n => Side::Bad,
        false => Side::Ok,
    }
}

/// How a side path did while production broke its promise: what it answered before proves nothing (a shared
/// dependency takes both down at once), and when all is well again, what it answered meanwhile still counts.
/// `None` until there are `enough` answers since. It vetoes when in doubt: it is bad when one answer in ten is, or when
/// it is half as bad as production.
fn since(window: &Window, evidence: &Evidence, enough: usize) -> Option<Side> {
    let slow_counts = evidence.stream == Stream::Latency;
    // What hangs has not answered: it is no word about errors, and a bad one about latency.
    let speaks =
        |entry: &&Entry| entry.due >= evidence.first_bad && (slow_counts || !entry.hangs() || entry.bad);
    let spoke = || window.entries().filter(speaks);
    let n = spoke().count();
    if n < enough {
        return if window.count() == 0 { Some(Side::NoData) } else { None };
    }
    let worst = spoke().filter(|entry| entry.bad || slow_counts && entry.slow).count();
    let half_as_bad = worst >= 2 && worst * 2 * evidence.answers.max(1) as usize >= n * evidence.bad as usize;
    Some(if worst * 10 > n || half_as_bad { Side::Bad } else { Side::Ok })
}

fn keep(window: &mut Window, now: Mono, entry: Entry, told_slow: bool) {
    if !(told_slow && window.amend(entry)) {
        window.insert(now, entry);
    }
}

/// The promises as tests; each sample of the judged time is one look at each.
fn thresholds(policy: &JudgePolicy) -> (Option<Threshold>, Option<Threshold>) {
    let streams = [policy.objectives.bad_share_max.is_some(), policy.objectives.p95_max.is_some()];
    let streams = streams.iter().fold(0.0, |sum, set| sum + f64::from(u8::from(*set)));
    let looks = (policy.release_rate_hz * policy.judge_for.as_secs_f64() * streams).max(1.0);
    #[expect(clippy::cast_precision_loss, reason = "a rate of releases, stated in round numbers")]
    let alpha = 1.0 / (policy.wrong_reverts_one_in.max(1) as f64 * looks);
    let threshold = |stream, share_max| Threshold {
        stream,
        share_max,
        alpha,
        samples_min: policy.samples_min,
        share_min: if stream == Stream::Errors { policy.error_rate_min } else { 0.0 },
        tolerate_blip: policy.tolerate_blip,
        luck_one_in: policy.wrong_reverts_one_in,
    };
    (
        policy.objectives.bad_share_max.map(|share| threshold(Stream::Errors, share)),
        policy.objectives.p95_max.map(|_| threshold(Stream::Latency, 0.05)),
    )
}
