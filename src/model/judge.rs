//! From samples to a verdict: attribution, windows, the promises, and the verdict table.
//!
//! One judge serves one service, on the thread that made the samples. It keeps what each path showed over
//! the trailing window and answers, when asked, what may be said of the epoch. It never decides what to do.

use crate::detector::Sight;
use crate::hazard::{Hazard, answered};
use crate::policy::JudgePolicy;
use crate::release::{Baseline, EpochId, Stage};
use crate::sample::{Fault, Outcome, Purpose, Sample, Taint};
use crate::target::{Version, VersionId, Versions};
use crate::time::{Mono, Span};
use crate::verdict::{Evidence, Verdict, Why};
use crate::window::{Entry, Marks, Pane, Panes, View, Window};
use own::{Own, Owns};
use promised::{Memos, Promised};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;
use whose::{Known, Whose};

mod own;
pub(crate) mod promised;
mod revise;
mod said;
mod whose;
mod word;
mod zone;

pub use said::{Direct, FirstBad, Judgement, Notice};

/// How long a side path's answers speak of now.
const SIDE_SPAN: Duration = Duration::from_secs(5);
/// A side path that has said nothing for so long has no word at all.
const SIDE_SILENT: Duration = Duration::from_secs(10);
/// Fewer answers than this from a side path are no word at all.
const SIDE_MIN: usize = 3;
/// The chance that a side path which is as bad as production passes for a good one.
const SIDE_LUCK: f64 = 1e-4;
/// The old version has to be better than luck explains once in a million: it is asked again with every answer, while a breach stands.
pub(crate) const BETTER_NATS: f64 = 13.816;
/// A new version that has answered fewer times than this, with errors only, may still be one that warms up: with four errors in
/// five answers, so many in a row are luck once in 800.
const TOTAL_MIN: u32 = 30;
/// A doubt stays for so long after the last look that had it, so that the pace of the side path doesn't flutter.
const DOUBT_STAYS: Duration = Duration::from_secs(5);
/// What was normal is taken from so long a time, if it was all good: a minute at a calm pace tells a P95 to half of it.
const USUAL: Duration = Duration::from_mins(15);
/// How far back own faults are weighed: blind within a second.
const OWN_SPAN: Duration = Duration::from_secs(1);
/// Fewer clean samples than this in the last second are no word of a prober that is starved.
const CLEAN_MIN: u32 = 3;
/// Before so much of a pace has gone, nothing is said of what was attained of it.
const ATTAIN: Duration = Duration::from_secs(2);
/// Less of the planned evidence than this is no good word.
const ATTAINED_MIN: f64 = 0.5;
/// The most faults outside that are kept.
const OUTSIDE_CAP: usize = 4_096;

/// The pane of what production answered over the window of the policy,
const ROLLING: usize = 0;
/// and over as long as it takes to know what is usual.
const HISTORY: usize = 1;
/// What is found of a breach stands for so long, an answer of it: some thirty times what finding it takes.
const STANDS_AN_ANSWER: Duration = Duration::from_micros(5);
/// And for so long at most.
const STANDS_MAX: Duration = Duration::from_secs(1);
/// The pane of all answers of the new version since the epoch opened,
const WHOLE: usize = 2;
/// and of those that were due after its grace.
const PAST_GRACE: usize = 3;

/// The panes of what production answers, whichever version.
const ALL: Panes = Panes::of(ROLLING).and(Panes::of(HISTORY));
/// The panes of the new version, after its grace.
const JUDGED: Panes = Panes::of(WHOLE).and(Panes::of(PAST_GRACE));

/// See the module.
#[derive(Clone, Debug)]
pub struct Judge {
    policy: JudgePolicy,
    promises: Vec<Promised>,
    /// What was found of each when it was looked at last.
    memos: Vec<Memos>,
    /// What is slow: the limits of the response time in the order of their marks.
    limits: Vec<Span>,
    /// A longer response time is bad.
    bad_over: Option<Span>,
    stage: Stage,
    /// Names behind [`VersionId`]s.
    pub versions: Versions,
    /// What production answers, most of it the new version's: one log for all that looks at it.
    production: Window<4>,
    direct: Window,
    control: Window,
    known: Known,
    first_green: Option<Mono>,
    /// What was due since then comes from the state of the epoch: its change has spread.
    spread_from: Mono,
    /// What was due since then is past the grace; the end of time while nothing has answered.
    grace_until: Mono,
    green_known: u64,
    green_good: u64,
    good_answers: u64,
    first_bad: Option<FirstBad>,
    /// Probes a second of the production path that are planned, and since when.
    planned: Option<(f64, Mono)>,
    /// When a breach was last thought possible.
    doubted: Option<Mono>,
    /// What is said of a breach, and until when that stands.
    stands: Option<(Mono, Verdict)>,
    own: Owns,
    outside: VecDeque<(Mono, Fault)>,
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
        let promises = promised::all(&policy);
        let parted = promises.iter().any(|promised| !promised.is_whole());
        let pane = |span| if parted { Pane::new(span).in_parts() } else { Pane::new(span) };
        let span = promised::evidence_span(&policy);
        let judged = || pane(span).with_trails(promises.iter().map(Promised::trail).collect());
        let history = policy.settle.max(policy.window).max(USUAL);
        let mut judge = Self {
            production: Window::of([
                pane(policy.window).with_times(),
                pane(history).with_times(),
                judged(),
                judged(),
            ]),
            direct: pane(span.max(SIDE_SPAN)).into(),
            control: Window::new(span.max(SIDE_SPAN)),
            limits: policy.objectives.limits().into_iter().map(Span::of).collect(),
            bad_over: policy.objectives.bad_over.map(Span::of),
            memos: vec![Memos::default(); promises.len()],
            promises,
            stage,
            versions: Versions::default(),
            known: Known::default(),
            first_green: None,
            spread_from: Mono(0),
            grace_until: Mono(0),
            green_known: 0,
            green_good: 0,
            good_answers: 0,
            first_bad: None,
            planned: None,
            doubted: None,
            stands: None,
            own: Owns::default(),
            outside: VecDeque::new(),
            policy,
        };
        judge.set_times();
        judge
    }

    /// A new epoch begins: nothing measured before counts after. The same epoch again means that its release is
    /// over: what was measured stays, and the old version has no word any more.
    pub fn open(&mut self, stage: Stage) {
        let goes_on = stage.epoch == self.stage.epoch || !answered(Hazard::StaleEvidence);
        self.stage = stage;
        self.stands = None;
        self.known.reread();
        if goes_on {
            self.direct.clear();
            self.set_times();
            return;
        }
        self.production.clear();
        self.direct.clear();
        for promised in &mut self.promises {
            promised.clear();
        }
        self.outside.clear();
        self.known.clear();
        self.first_green = None;
        self.set_times();
        (self.green_known, self.green_good, self.good_answers) = (0, 0, 0);
        (self.first_bad, self.doubted) = (None, None);
    }

    /// From `now` on so many probes a second are planned for the production path.
    pub const fn plan(&mut self, rate_hz: f64, now: Mono) {
        self.planned = Some((rate_hz, now));
    }

    /// The epoch that is judged.
    #[must_use]
    pub const fn epoch(&self) -> EpochId {
        self.stage.epoch
    }

    /// Takes one sample that was done at `now`.
    pub fn observe(&mut self, sample: &Sample, now: Mono) -> Option<Notice> {
        let own = match (sample.taint, sample.outcome) {
            (Taint::Late | Taint::Stalled, _) | (_, Outcome::Missed(_)) => Own::Late,
            (_, Outcome::Failed(_)) => Own::Failed,
            (Taint::Straddling, _) => return None,
            (Taint::Clean, Outcome::Ok | Outcome::Bad(_) | Outcome::Saturated) => Own::No,
        };
        self.own.push(now, own);
        if own != Own::No && answered(Hazard::OwnFault) {
            return self.hint(sample);
        }
        match sample.purpose {
            Purpose::Control => {
                let entry = self.entry(sample, true);
                self.control.insert(now, entry);
                None
            }
            Purpose::Direct if sample.epoch == self.stage.epoch => {
                let entry = self.entry(sample, true);
                keep(&mut self.direct, Panes::of(0), now, entry, sample.told_slow);
                None
            }
            Purpose::Production if sample.epoch == self.stage.epoch => self.production(sample, now),
            // Due in an epoch that has ended: kept by the evidence, never judged.
            Purpose::Direct | Purpose::Production => None,
        }
    }

    /// What a void sample says of the target is nothing, but a version that it names is a reason to look.
    fn hint(&mut self, sample: &Sample) -> Option<Notice> {
        let news = sample.purpose == Purpose::Production
            && sample.epoch == self.stage.epoch
            && sample.version != VersionId::NONE
            && self.known.hint(sample.version);
        if news { self.versions.name(sample.version).cloned().map(Notice::Version) } else { None }
    }

    /// A probe is in flight for longer than the latency objective: it is slow now, whatever comes of it.
    pub fn overdue(&mut self, sample: &Sample, now: Mono) {
        if sample.epoch != self.stage.epoch || self.limits.is_empty() || sample.taint != Taint::Clean {
            return;
        }
        let response = Span::of(now.since(sample.planned));
        let over = self.limits.iter().enumerate().map(|(index, limit)| index == 0 || response > *limit);
        let marks = Marks::new(false, over);
        let entry = Entry { marks, response, answered: false, ..self.entry(sample, false) };
        match sample.purpose {
            Purpose::Production => {
                let is_new = self.whose(sample).0 == Whose::New;
                let judged = if is_new { self.judged_in(sample.due) } else { Panes::NONE };
                self.production.insert_into(ALL.and(judged), now, entry);
            }
            Purpose::Direct => self.direct.insert(now, entry),
            Purpose::Control => {}
        }
    }

    /// The verdict at `now`, with what it rests on.
    pub fn judge(&mut self, now: Mono) -> Judgement {
        self.expire(now);
        let verdict = match &self.stands {
            Some((until, verdict)) if now < *until => verdict.clone(),
            _ => self.look(now),
        };
        if self.stage.release && verdict == Verdict::Inconclusive(Why::Suspect) {
            self.doubted = Some(now);
        }
        if !self.stage.release && matches!(verdict, Verdict::Bad(_)) {
            // What is measured while a promise is broken isn't what is usual.
            self.production.clear_pane(HISTORY);
        }
        let (p95, baseline) = (self.production.p95_of(ROLLING), self.baseline());
        let named = |ids: &mut dyn Iterator<Item = VersionId>| -> BTreeSet<Version> {
            ids.filter_map(|id| self.versions.name(id).cloned()).collect()
        };
        Judgement {
            epoch: self.stage.epoch,
            at: now,
            verdict,
            answers: self.rolling().count(),
            bad: self.rolling().bad(),
            p95,
            good_answers: self.good_answers,
            versions: named(&mut self.known.seen()),
            settled: named(&mut self.known.settled()),
            first_bad: self.first_bad.clone(),
            direct: self.direct_answers(now),
            baseline,
            void: (self.own.void(), self.own.all()),
            attained: self.attained(now),
            doubt: self.doubted.is_some_and(|at| now.since(at) < DOUBT_STAYS),
        }
    }

    /// What is found of a breach takes longer the longer that it lasts, so it is looked for more rarely: a breach that nobody puts back
    /// must not take the time that probes need.
    fn look(&mut self, now: Mono) -> Verdict {
        let mut memos = std::mem::take(&mut self.memos);
        for memo in &mut memos {
            memo.breach = 0;
        }
        let verdict = self.verdict(now, &mut memos);
        self.memos = memos;
        let answers = self.memos.iter().map(|memos| memos.breach).max().unwrap_or(0);
        let until = now.after(STANDS_MAX.min(STANDS_AN_ANSWER * answers));
        // What is bearable within the grace is none at its end.
        let until = if now < self.grace_until { until.min(self.grace_until) } else { until };
        self.stands = Some((until, verdict.clone()));
        verdict
    }

    fn production(&mut self, sample: &Sample, now: Mono) -> Option<Notice> {
        if let Outcome::Bad(fault) = sample.outcome
            && !fault.release_can_cause()
        {
            self.is_outside(fault, now);
            return None;
        }
        let entry = self.entry(sample, false);
        let (whose, is_old) = self.whose(sample);
        let mut panes = ALL;
        self.good_answers += u64::from(!entry.bad());
        if entry.bad() && self.first_bad.is_none() {
            self.first_bad = Some(self.first_bad_of(sample, now));
        }
        if self.is_word_of_old(whose, &entry) {
            keep(&mut self.direct, Panes::of(0), now, entry, sample.told_slow);
        }
        if whose == Whose::New {
            self.green_known += u64::from(is_old == Some(false));
            if self.green_good == 0 && !entry.bad() {
                // It was a total failure so far, and is a cold start now.
                for promised in &mut self.promises {
                    promised.clear();
                }
            }
            self.green_good += u64::from(!entry.bad());
            if entry.answered && self.first_green.is_none() {
                self.first_green = Some(sample.done());
                self.set_times();
            }
            let judged = self.judged_in(sample.due);
            panes = ALL.and(judged);
            if entry.is_marked() && (judged == JUDGED || self.green_good == 0) {
                for promised in &mut self.promises {
                    promised.spend(&entry, now);
                }
            }
        }
        keep(&mut self.production, panes, now, entry, sample.told_slow);
        if sample.version != VersionId::NONE {
            let spread = sample.due >= self.spread_from;
            if self.known.see(sample.version, spread) {
                return self.versions.name(sample.version).cloned().map(Notice::Version);
            }
        }
        entry.bad().then_some(Notice::Failure)
    }

    #[cold]
    fn is_outside(&mut self, fault: Fault, now: Mono) {
        if self.outside.len() == OUTSIDE_CAP {
            self.outside.pop_front();
        }
        self.outside.push_back((now, fault));
    }

    /// `all_faults`: asked directly, a refused connection is the target's own word.
    #[inline]
    fn entry(&self, sample: &Sample, all_faults: bool) -> Entry {
        let (bad, answered) = match sample.outcome {
            Outcome::Ok => (false, true),
            Outcome::Bad(fault) => (all_faults || fault.release_can_cause(), sample.status != 0),
            Outcome::Saturated => (true, false),
            Outcome::Missed(_) | Outcome::Failed(_) => (false, false),
        };
        let response = sample.response();
        let saturated = sample.outcome == Outcome::Saturated;
        let over = |limit: &Span| saturated || response > *limit;
        let bad = bad || self.bad_over.as_ref().is_some_and(over);
        Entry {
            due: sample.due,
            response,
            marks: Marks::new(bad, self.limits.iter().map(over)),
            answered,
            conn: sample.conn,
            addr: sample.addr,
            target: sample.target,
            version: sample.version,
        }
    }

    /// What follows from the stage and from when the new version answered first: no answer has to compute it.
    fn set_times(&mut self) {
        self.spread_from = self.stage.since.after(self.policy.propagation);
        self.grace_until = match self.first_green {
            _ if !self.stage.release => Mono(0),
            Some(first) => first.after(self.policy.grace),
            None => Mono(u64::MAX),
        };
    }

    /// The panes of the new version's window that an answer of it belongs into.
    #[inline]
    const fn judged_in(&self, due: Mono) -> Panes {
        if due.0 >= self.grace_until.0 { JUDGED } else { Panes::of(WHOLE) }
    }

    fn rolling(&self) -> View<'_> {
        self.production.pane(ROLLING)
    }

    #[cold]
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
        self.production.expire(now);
        self.direct.expire(now);
        self.control.expire(now);
        self.own.expire(now.before(OWN_SPAN));
        let from = now.before(self.policy.window);
        while self.outside.front().is_some_and(|(at, _)| *at < from) {
            self.outside.pop_front();
        }
    }

    fn baseline(&mut self) -> Baseline {
        let p95 = self.production.p95_of(HISTORY).map_or(0, |span| span.0);
        let history = self.production.pane(HISTORY);
        let others = (0_u16..).zip(&self.promises).filter(|(_, promised)| !promised.is_usual());
        Baseline {
            answers: history.count(),
            bad: history.bad(),
            slow: history.slow(),
            p95,
            others: others.map(|(index, promised)| (index, promised.tally(history))).collect(),
        }
    }

    /// What probes that were planned but never came back can't hide.
    fn attained(&self, now: Mono) -> Option<f64> {
        let (rate_hz, since) = self.planned?;
        let span = self.policy.window.min(now.since(since.max(self.stage.since)));
        let planned = rate_hz * span.as_secs_f64();
        let outside = u32::try_from(self.outside.len()).unwrap_or(u32::MAX);
        let answers = self.rolling().recent(now, span) + outside;
        (span >= ATTAIN && planned >= f64::from(CLEAN_MIN)).then(|| f64::from(answers) / planned)
    }

    /// What a look at `window` rests on.
    fn sight<'a>(&'a self, promised: &'a Promised, window: View<'a>, now: Mono) -> Sight<'a> {
        Sight {
            now,
            window,
            old: self.stage.release.then_some(self.direct.view()),
            before: promised.before(&self.stage.baseline),
            spent: promised.spent(),
        }
    }
}

/// Into those panes: in the place of what was told of as slow, where that still is.
fn keep<const PANES: usize>(
    window: &mut Window<PANES>,
    panes: Panes,
    now: Mono,
    entry: Entry,
    told_slow: bool,
) {
    let amended = if told_slow { window.amend_in(panes, entry) } else { Panes::NONE };
    window.insert_into(panes.without(amended), now, entry);
}

#[cfg(test)]
mod tests;
