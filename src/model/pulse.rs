//! Whether our own process was run when it should have been: what makes a sample void.
//!
//! Three witnesses, none of which needs the target. The timer was armed for an instant: how late were we woken? The
//! kernel counts, for this very thread, how long it was runnable and not run (`/proc/thread-self/schedstat`; a
//! cgroup's throttling is in it, measured), so that a response that lay in the socket meanwhile is known to have. And
//! the boot clock goes on while the machine sleeps, the monotonic one doesn't. Each yields gaps: spans in which
//! we may not have seen what happened.

use crate::hazard::{Hazard, answered};
use crate::time::{Mono, Span};
use std::collections::VecDeque;
use std::time::Duration;

/// Gaps are remembered while a probe that began before them can be in flight: the longest timeout.
const REMEMBER: Duration = Duration::from_mins(1);
/// One part in so many of a response time may be ours.
const SHARE: u32 = 8;
/// So many waits between readings are remembered: a probe is landed in the turn in which it was read, or the next.
const WAITS: usize = 8;
/// More gaps than this a minute are one long one.
const GAPS_MAX: usize = 4_096;

/// What the witnesses say at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readings {
    /// How long this thread has been runnable and not run, over its whole life. `None`: the kernel doesn't tell.
    pub waited: Option<Duration>,
    /// The boot clock minus the monotonic one.
    pub slept: Duration,
}

/// The gaps of one engine thread.
#[derive(Clone, Debug)]
pub struct Pulse {
    bound: Duration,
    gaps: VecDeque<(Mono, Mono)>,
    last: Option<(Mono, Readings)>,
    /// Between the last readings we were runnable and not run for so long.
    waits: VecDeque<(Mono, Mono, Duration)>,
    stalled: Duration,
}

impl Pulse {
    /// Delays within `bound` are no gaps.
    #[must_use]
    pub const fn new(bound: Duration) -> Self {
        Self { bound, gaps: VecDeque::new(), last: None, waits: VecDeque::new(), stalled: Duration::ZERO }
    }

    /// We were to be woken at `armed`, and it is `now`.
    pub fn woke(&mut self, armed: Mono, now: Mono) {
        if now.since(armed) > self.bound {
            self.gap(armed, now);
        }
    }

    /// Whether the readings are worth taking: since the last ones enough time has passed for a delay that matters
    /// beside another one.
    #[must_use]
    pub fn wants(&self, now: Mono) -> bool {
        self.last.is_none_or(|(at, _)| now.since(at) > self.bound / 4)
    }

    /// The witnesses' readings at `now`.
    pub fn read(&mut self, now: Mono, readings: Readings) {
        let Some((at, before)) = self.last.replace((now, readings)) else { return };
        if readings.slept.saturating_sub(before.slept) > self.bound && answered(Hazard::ClockJump) {
            // It took no time of this clock, so it is marked as the whole span in which it happened.
            self.gap(at, now);
        }
        let waited = readings.waited.unwrap_or_default().saturating_sub(before.waited.unwrap_or_default());
        if waited > Duration::ZERO {
            if self.waits.len() == WAITS {
                self.waits.pop_front();
            }
            self.waits.push_back((at, now, waited));
        }
        if waited > self.bound {
            self.gap(at.max(now.before(waited.saturating_add(self.bound))), now);
        }
    }

    fn gap(&mut self, from: Mono, to: Mono) {
        // What two witnesses have seen is one gap.
        let full = self.gaps.len() >= GAPS_MAX;
        match self.gaps.back_mut() {
            Some((begun, ended)) if from <= *ended || full => {
                self.stalled += to.since((*ended).max(from));
                (*begun, *ended) = ((*begun).min(from), (*ended).max(to));
            }
            _ => {
                self.stalled += to.since(from);
                self.gaps.push_back((from, to));
            }
        }
        let old = to.before(REMEMBER);
        while self.gaps.front().is_some_and(|(_, ended)| *ended < old) {
            self.gaps.pop_front();
        }
    }

    /// Whether gaps spoil a probe that was sent at `sent` and read to its end at `done`: whether more than [`SHARE`] of its
    /// time may be ours. One that `dialled` took several turns, and any of them may have waited for us. A
    /// single exchange can only have waited in the gap in which, or just after which, it was read: what is read
    /// well after a gap came after it.
    ///
    /// It is a share, because the answers that a stalled target gives all at once keep us busy for longer than the bound,
    /// and to void just them would hide the stall.
    #[must_use]
    pub fn spoils(&self, sent: Mono, done: Mono, dialled: bool) -> bool {
        let mut ours = Duration::ZERO;
        for (begun, ended) in self.gaps.iter().rev().take_while(|(_, ended)| *ended >= sent) {
            // What has gathered in a gap is worked off in its wake.
            let wake = self.bound + ended.since(*begun) / 16;
            if *begun < done && (dialled || done <= ended.after(wake)) {
                ours += (*ended).max(done.min(ended.after(wake))).min(done).since((*begun).max(sent));
            }
        }
        ours > self.bound && ours > done.since(sent) / SHARE
    }

    /// Whether a probe that was to be sent at `planned`, was sent at `sent` and read to its end at `done` is late by our own
    /// delay: sent late and read late are one. An answer that lay unread for less than a gap weighs like a gap does: by
    /// its share of the time.
    #[must_use]
    pub fn delayed(&self, planned: Mono, sent: Mono, done: Mono) -> bool {
        // The stamp of the write is taken after it, and still before the target has it.
        let bound = self.bound * 9 / 10;
        let late = lateness(planned, sent).duration();
        let ours = late + self.unread(sent, done);
        late > bound || (ours > bound && ours > done.since(planned) / SHARE)
    }

    /// For how long the answer to a probe may have lain unread, gap or not: it was there, and we waited to be run.
    fn unread(&self, sent: Mono, done: Mono) -> Duration {
        let share =
            |(from, to, waited): &(Mono, Mono, Duration)| (*waited).min(done.min(*to).since(sent.max(*from)));
        self.waits.iter().map(share).sum()
    }

    /// How long we were not run since the last time that this was asked.
    pub fn stalled(&mut self) -> Duration {
        std::mem::take(&mut self.stalled)
    }

    /// When to look again, at the latest, while the newest probe in flight was sent at `sent`: without the kernel's word,
    /// a gap is only seen by a timer that it delays. The longer an answer takes, the less a late look changes it.
    #[must_use]
    pub fn beat(&self, sent: Mono, now: Mono) -> Option<Mono> {
        let exact = self.last.is_some_and(|(_, readings)| readings.waited.is_some());
        let pause = (now.since(sent) / 16).clamp(self.bound, Duration::from_millis(25));
        (!exact).then(|| now.after(pause))
    }
}

/// How late a probe was sent: what counts as our own delay of it.
#[must_use]
pub fn lateness(planned: Mono, sent: Mono) -> Span {
    Span::of(sent.since(planned))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_millis(1);

    fn ms(value: u64) -> Mono {
        Mono(value * 1_000_000)
    }

    fn readings(waited_ms: u64, slept_ms: u64) -> Readings {
        Readings { waited: Some(Duration::from_millis(waited_ms)), slept: Duration::from_millis(slept_ms) }
    }

    fn frozen(from: u64, to: u64) -> Pulse {
        let mut pulse = Pulse::new(BOUND);
        pulse.woke(ms(from), ms(to));
        pulse
    }

    #[test]
    fn an_answer_that_was_read_as_a_gap_ended_is_spoiled() {
        let pulse = frozen(100, 175);
        assert!(pulse.spoils(ms(99), ms(175), false));
        assert!(pulse.spoils(ms(99), Mono(175_900_000), false));
    }

    #[test]
    fn an_answer_that_came_well_before_or_after_a_gap_is_not() {
        let pulse = frozen(100, 175);
        assert!(!pulse.spoils(ms(90), ms(95), false), "before");
        assert!(!pulse.spoils(ms(90), ms(300), false), "long after: it was the target that took so long");
        assert!(!pulse.spoils(ms(176), ms(177), false), "sent after");
    }

    #[test]
    fn a_burst_of_late_answers_is_not_voided_for_the_time_that_it_takes_to_read_them() {
        let pulse = frozen(500, 504);
        assert!(!pulse.spoils(ms(100), ms(504), false), "1 % of it may be ours");
        assert!(pulse.spoils(ms(490), ms(504), false), "a third of it may be ours");
    }

    #[test]
    fn a_gap_within_a_handshake_spoils_it_whenever_it_ended() {
        let pulse = frozen(100, 175);
        assert!(pulse.spoils(ms(90), ms(300), true));
        assert!(!pulse.spoils(ms(176), ms(300), true));
    }

    #[test]
    fn being_woken_within_the_bound_is_no_gap() {
        assert!(!frozen(100, 101).spoils(ms(99), ms(101), false));
    }

    #[test]
    fn the_kernels_word_shows_a_gap_that_no_timer_saw() {
        let mut pulse = Pulse::new(BOUND);
        pulse.read(ms(100), readings(5, 0));
        assert!(!pulse.wants(Mono(100_250_000)));
        assert!(pulse.wants(Mono(100_250_001)));
        pulse.read(ms(200), readings(75, 0));
        assert!(pulse.spoils(ms(101), ms(200), false));
        assert!(!pulse.spoils(ms(101), ms(110), false), "read before the gap can have begun");
        assert_eq!(pulse.beat(ms(200), ms(200)), None);
    }

    #[test]
    fn an_answer_may_have_lain_unread_for_less_than_a_gap() {
        let wait = |us| Readings { waited: Some(Duration::from_micros(us)), slept: Duration::ZERO };
        let mut pulse = Pulse::new(BOUND);
        pulse.read(ms(100), wait(0));
        assert_eq!(pulse.unread(ms(99), ms(100)), Duration::ZERO);
        pulse.read(ms(102), wait(300));
        assert_eq!(pulse.unread(ms(101), ms(102)), Duration::from_micros(300));
        assert_eq!(
            pulse.unread(Mono(101_900_000), ms(102)),
            Duration::from_micros(100),
            "it wasn't sent before"
        );
        assert_eq!(
            pulse.unread(ms(90), Mono(100_050_000)),
            Duration::from_micros(50),
            "nor did it wait later"
        );
        assert_eq!(pulse.unread(ms(90), ms(95)), Duration::ZERO, "read before");
        pulse.read(ms(103), wait(310));
        assert_eq!(pulse.unread(ms(102), ms(103)), Duration::from_micros(10));
        assert_eq!(pulse.unread(ms(90), ms(103)), Duration::from_micros(310), "it waited twice");
        assert_eq!(
            pulse.unread(ms(101), ms(102)),
            Duration::from_micros(300),
            "and is landed after the next readings"
        );
        for later in 104..140 {
            pulse.read(ms(later), wait(later * 100));
        }
        assert_eq!(pulse.waits.len(), WAITS);
        assert!(!pulse.spoils(ms(101), ms(102), false));
    }

    #[test]
    fn sent_late_and_read_late_are_one_delay() {
        let at = |us: u64| Mono(100_000_000 + us * 1_000);
        let mut pulse = Pulse::new(BOUND);
        assert!(!pulse.delayed(at(0), at(900), at(1_300)));
        assert!(pulse.delayed(at(0), at(901), at(90_000)), "however long it took");
        let wait = |us| Readings { waited: Some(Duration::from_micros(us)), slept: Duration::ZERO };
        pulse.read(at(850), wait(0));
        pulse.read(at(1_250), wait(250));
        assert!(pulse.delayed(at(0), at(850), at(1_250)), "850 us and 250 us");
        assert!(!pulse.delayed(at(300), at(850), at(1_250)), "550 us and 250 us");
        assert!(!pulse.delayed(at(0), at(850), at(9_000)), "it was read later, and waited no more");
        pulse.read(at(14_900), wait(1_050));
        assert!(!pulse.delayed(at(0), at(600), at(14_900)), "600 us and 800 us are an eleventh of its time");
    }

    #[test]
    fn what_is_ours_of_a_slow_answer_delays_it_when_it_is_more_than_an_eighth() {
        let at = |us: u64| Mono(100_000_000 + us * 1_000);
        let mut pulse = Pulse::new(BOUND);
        pulse.read(at(700), readings(0, 0));
        pulse.read(at(8_000), readings(1, 0));
        assert!(!pulse.delayed(at(0), at(0), at(8_000)), "1 ms of 8 ms");
        assert!(pulse.delayed(at(1), at(1), at(8_000)), "1 ms of less than 8 ms");
    }

    #[test]
    fn without_the_kernels_word_the_timer_looks_in_time() {
        let pulse = Pulse::new(BOUND);
        assert_eq!(pulse.beat(ms(10), ms(10)), Some(ms(11)));
        assert_eq!(pulse.beat(ms(0), ms(160)), Some(ms(170)));
        assert_eq!(pulse.beat(ms(0), ms(100_000)), Some(ms(100_025)));
    }

    #[test]
    fn a_machine_that_slept_spoils_what_was_in_flight() {
        let mut pulse = Pulse::new(BOUND);
        pulse.read(ms(100), readings(0, 0));
        pulse.read(ms(110), readings(0, 3_600_000));
        assert!(pulse.spoils(ms(105), ms(110), false));
        assert!(!pulse.spoils(ms(111), ms(112), false));
    }

    #[test]
    fn what_two_witnesses_saw_is_counted_once() {
        let mut pulse = Pulse::new(BOUND);
        pulse.read(ms(100), readings(0, 0));
        pulse.woke(ms(101), ms(171));
        pulse.read(ms(171), readings(70, 0));
        assert_eq!(pulse.stalled(), Duration::from_millis(70));
        assert_eq!(pulse.stalled(), Duration::ZERO);
    }

    #[test]
    fn gaps_are_bounded() {
        let mut pulse = Pulse::new(BOUND);
        for second in 0..100_000 {
            pulse.woke(ms(second * 2), Mono(second * 2_000_000 + 1_500_000));
        }
        assert!(pulse.gaps.len() <= GAPS_MAX);
    }

    #[test]
    fn a_delay_as_long_as_the_bound_is_no_gap_and_a_longer_one_is() {
        let tick = Duration::from_nanos(1);
        let gaps = |first: Readings, second: Readings| {
            let mut pulse = Pulse::new(BOUND);
            pulse.read(ms(100), first);
            pulse.read(ms(200), second);
            pulse.gaps.len()
        };
        let slept = |slept| Readings { waited: None, slept };
        assert_eq!(gaps(slept(Duration::ZERO), slept(BOUND)), 0);
        assert_eq!(gaps(slept(Duration::ZERO), slept(BOUND + tick)), 1);
        let waited = |waited| Readings { waited: Some(waited), slept: Duration::ZERO };
        assert_eq!(gaps(waited(Duration::ZERO), waited(BOUND)), 0);
        assert_eq!(gaps(waited(Duration::ZERO), waited(BOUND + tick)), 1);
        let mut pulse = Pulse::new(BOUND);
        pulse.woke(ms(100), ms(101));
        assert_eq!(pulse.gaps.len(), 0);
        pulse.woke(ms(100), ms(101).after(tick));
        assert_eq!(pulse.stalled(), BOUND + tick);
    }

    #[test]
    fn gaps_that_touch_are_one_and_those_that_do_not_are_two() {
        let gaps = |from, to| {
            let mut pulse = frozen(100, 150);
            pulse.woke(ms(from), ms(to));
            (pulse.gaps.len(), pulse.stalled())
        };
        assert_eq!(gaps(150, 160), (1, Duration::from_millis(60)));
        assert_eq!(gaps(151, 161), (2, Duration::from_millis(60)));
        assert_eq!(
            gaps(90, 120),
            (1, Duration::from_millis(50)),
            "of what was seen already nothing is added"
        );
    }

    #[test]
    fn a_gap_is_remembered_for_a_minute() {
        let known = |later: Mono| {
            let mut pulse = frozen(100, 175);
            pulse.woke(later.before(Duration::from_millis(2)), later);
            pulse.gaps.len()
        };
        assert_eq!(known(ms(175).after(REMEMBER)), 2);
        assert_eq!(known(Mono(ms(175).after(REMEMBER).0 + 1)), 1);
    }

    #[test]
    fn more_gaps_than_are_kept_are_one_long_one() {
        let mut pulse = Pulse::new(BOUND);
        for gap in 0..5_000 {
            pulse.woke(ms(gap * 4), ms(gap * 4 + 2));
        }
        assert_eq!(pulse.gaps.len(), GAPS_MAX);
        assert_eq!(pulse.gaps.back(), Some(&(ms(4_095 * 4), ms(4_999 * 4 + 2))));
    }

    #[test]
    fn a_probe_is_spoiled_by_more_than_an_eighth_of_its_time_and_more_than_the_bound() {
        // A gap of 16 ms, and 1 ms of bound and 1 ms of its wake.
        let pulse = frozen(1_000, 1_016);
        let spoiled = |sent: Mono, done: Mono| pulse.spoils(sent, done, false);
        assert!(!spoiled(Mono(ms(1_016).0 - 8 * 16_000_000), ms(1_016)), "an eighth");
        assert!(spoiled(Mono(ms(1_016).0 - 8 * 16_000_000 + 1), ms(1_016)));
        assert!(spoiled(ms(999), ms(1_018)));
        assert!(!spoiled(ms(999), Mono(ms(1_018).0 + 1)), "after its wake");
        assert!(!spoiled(ms(990), ms(1_000)), "before it");
        assert!(!spoiled(ms(999), ms(1_001)), "1 ms of it, and no more");
        assert!(spoiled(ms(999), Mono(ms(1_001).0 + 1)));
        assert!(spoiled(ms(1_014), ms(1_017)), "what was sent within it");
        assert!(spoiled(ms(1_016), Mono(ms(1_017).0 + 1)), "sent as it ended, and read in its wake");
        assert!(!spoiled(Mono(ms(1_016).0 + 1), ms(1_018)), "sent after it");
    }

    #[test]
    fn several_gaps_within_a_handshake_add_up() {
        let mut pulse = Pulse::new(BOUND);
        pulse.woke(ms(100), ms(102));
        pulse.woke(ms(110), ms(112));
        assert!(pulse.spoils(ms(99), ms(130), true), "4 ms and two wakes of 31");
        assert!(!pulse.spoils(ms(99), ms(160), true), "of 61");
    }

    #[test]
    fn how_late_a_probe_was_sent_is_told() {
        assert_eq!(lateness(ms(5), ms(8)).duration(), Duration::from_millis(3));
        assert_eq!(lateness(ms(8), ms(5)).duration(), Duration::ZERO);
    }

    #[test]
    fn a_turn_without_a_wait_pushes_out_none_that_had_one() {
        let wait = |us| Readings { waited: Some(Duration::from_micros(us)), slept: Duration::ZERO };
        let mut pulse = Pulse::new(BOUND);
        pulse.read(ms(100), wait(0));
        pulse.read(ms(102), wait(300));
        for later in 103..120 {
            pulse.read(ms(later), wait(300));
        }
        assert_eq!(pulse.unread(ms(101), ms(102)), Duration::from_micros(300));
    }
}
