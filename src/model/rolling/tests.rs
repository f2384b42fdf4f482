//! Against a window that keeps every sample, and against `hdrhistogram`.

use super::*;
use crate::distribution::bucket_middle;
use hdrhistogram::Histogram;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

const MINUTE: Duration = Duration::from_mins(1);
const P95: u32 = 9_500;

fn ms(ms: u64) -> Mono {
    Mono(ms * 1_000_000)
}

fn answer(span: u32) -> Event {
    Event { response: Some(Span(span)), bad: false, slow: span > 2_500_000 }
}

const LOST: Event = Event { response: None, bad: true, slow: false };

/// Every sample with its slot: what the window must agree with.
struct Plain {
    span: Duration,
    samples: Vec<(u64, Event)>,
    newest: u64,
}

impl Plain {
    fn insert(&mut self, now: Mono, event: Event) {
        self.expire(now);
        self.samples.push((self.newest, event));
    }

    fn expire(&mut self, now: Mono) {
        self.newest = self.newest.max(now.0 / (nanos(self.span).div_ceil(SLOTS)));
        self.samples.retain(|(slot, _)| slot + SLOTS > self.newest);
    }

    fn agrees(&self, window: &mut Rolling, quantile: u32) {
        let count = |is: &dyn Fn(&Event) -> bool| {
            u32::try_from(self.samples.iter().filter(|(_, event)| is(event)).count()).unwrap()
        };
        assert_eq!(window.count(), count(&|_| true));
        assert_eq!(window.bad(), count(&|event| event.bad));
        assert_eq!(window.slow(), count(&|event| event.slow));
        let mut times: Vec<Span> = self.samples.iter().filter_map(|(_, event)| event.response).collect();
        times.sort_unstable();
        let rank = (times.len() as u64 * u64::from(quantile)).div_ceil(10_000);
        let exact = usize::try_from(rank).unwrap().checked_sub(1).map(|index| bucket(times[index]));
        assert_eq!(window.quantile(), exact.map(bucket_middle));
    }
}

/// Times over six orders of magnitude, bursts, silences, late instants and lost answers.
#[test]
fn it_agrees_with_a_window_that_keeps_every_sample() {
    for seed in 0..40 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let span =
            [Duration::from_secs(1), MINUTE, Duration::from_hours(1)][usize::try_from(seed % 3).unwrap()];
        let quantile = [1, 5_000, P95, 9_990, 10_000][usize::try_from(seed % 5).unwrap()];
        let mut window = Rolling::new(span, quantile);
        let mut plain = Plain { span, samples: Vec::new(), newest: 0 };
        let mut now = 0;
        for _ in 0..3_000 {
            let step = nanos(span) / 200;
            now = match random.next_u32() % 500 {
                0 => now + step * 1_000,
                1 => now + step * 150,
                2 => now.saturating_sub(step * 10),
                _ => now + u64::from(random.next_u32()) % step,
            };
            let event = match random.next_u32() % 20 {
                0 => LOST,
                _ => answer(random.next_u32() >> (random.next_u32() % 24)),
            };
            window.insert(Mono(now), event);
            plain.insert(Mono(now), event);
            plain.agrees(&mut window, quantile);
        }
        window.expire(Mono(now + nanos(span) / 2));
        plain.expire(Mono(now + nanos(span) / 2));
        plain.agrees(&mut window, quantile);
    }
}

#[test]
fn its_quantile_is_hdrhistogram_s_within_eight_thousandths() {
    let mut window = Rolling::new(MINUTE, P95);
    let mut reference = Histogram::<u64>::new_with_bounds(1, u64::from(u32::MAX), 5).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for _ in 0..20_000 {
        let span = 1_000 + random.next_u32() % 3_000_000;
        window.insert(ms(1), answer(span));
        reference.record(u64::from(span)).unwrap();
    }
    #[expect(clippy::cast_precision_loss, reason = "below 2^32")]
    let exact = reference.value_at_quantile(0.95) as f64;
    let ours = f64::from(window.quantile().unwrap().0);
    assert!((ours - exact).abs() / exact <= 0.008, "{ours} {exact}");
}

#[test]
fn a_sample_leaves_with_its_slot() {
    let mut window = Rolling::new(MINUTE, P95);
    window.insert(ms(500), answer(10));
    window.insert(ms(1_500), LOST);
    window.expire(ms(59_999));
    assert_eq!((window.count(), window.bad()), (2, 1));
    window.expire(ms(60_000));
    assert_eq!((window.count(), window.bad(), window.quantile()), (1, 1, None));
    window.expire(ms(61_000));
    assert_eq!((window.count(), window.bad()), (0, 0));
}

#[test]
fn an_hour_s_jump_empties_it_and_a_step_back_harms_nothing() {
    let mut window = Rolling::new(MINUTE, P95);
    window.insert(ms(120_000), answer(10));
    window.insert(ms(60_000), answer(20));
    assert_eq!((window.count(), window.quantile()), (2, Some(Span(20))), "taken as the newest");
    window.insert(ms(3_720_000), answer(30));
    assert_eq!((window.count(), window.quantile()), (1, Some(Span(30))));
}

#[test]
fn an_empty_window_knows_no_quantile() {
    let mut window = Rolling::new(MINUTE, P95);
    assert_eq!((window.count(), window.quantile()), (0, None));
    window.insert(ms(1), LOST);
    assert_eq!((window.count(), window.quantile()), (1, None));
    window.clear();
    assert_eq!((window.count(), window.bad()), (0, 0));
}

#[test]
fn more_than_it_holds_pushes_out_the_oldest() {
    let mut window = Rolling::new(MINUTE, P95);
    window.insert(ms(1), LOST);
    window.insert(ms(1_001), answer(1));
    for _ in 0..CAP {
        window.insert(ms(2_001), answer(40));
    }
    assert_eq!((window.count() as usize, window.bad()), (CAP, 0));
    assert_eq!(window.quantile(), Some(Span(40)));
    window.expire(ms(61_999));
    assert_eq!(window.count() as usize, CAP);
    window.expire(ms(62_000));
    assert_eq!(window.count(), 0);
}

/// 10,000 URLs, 600 samples each, times spread as a service's are.
#[test]
fn ten_thousand_of_them_take_less_than_26_megabytes() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut window = Rolling::new(MINUTE, P95);
    for second in 0..120 {
        for tenth in 0..10 {
            // A product of uniform factors, over a thousandfold.
            let factor = |random: &mut ChaCha8Rng| 1 + random.next_u32() % 10;
            let span = 20_000 * factor(&mut random) * factor(&mut random) * factor(&mut random);
            window.insert(ms(second * 1_000 + tenth * 100), answer(span));
        }
    }
    assert_eq!(window.count(), 600);
    assert!(window.bytes() * 10_000 <= 26_000_000, "{} bytes each", window.bytes());
}

#[test]
fn a_sample_takes_two_bytes_and_a_bucket_of_its_octave_one() {
    let mut window = Rolling::new(MINUTE, P95);
    assert_eq!(window.bytes(), size_of::<Rolling>());
    for n in 0..1_020 {
        window.insert(ms(1), answer(1_000 + n % 24));
    }
    let least = size_of::<Rolling>() + 2 * 1_020 + 64;
    assert!(
        (least..least + 2 * 1_020 / 8).contains(&window.bytes()),
        "{} bytes, not {least}",
        window.bytes()
    );
}

/// Whatever enters at once.
#[test]
fn a_ring_has_room_for_an_eighth_more_at_most() {
    for together in [1, 2, 3, 7, 11] {
        let mut window = Rolling::new(MINUTE, P95);
        let words = vec![Word::from(answer(10)); together];
        for slot in 0..2_000 / together as u64 {
            window.insert_all(slot / 40, &words);
            let (len, room) = (window.ring.len(), window.ring.capacity());
            assert!(room <= len + (len / 8).max(together + 1), "{room} for {len}");
        }
    }
}

/// To slide through it slot by slot would take minutes.
#[test]
fn a_silence_of_centuries_is_no_work() {
    let late = Mono(u64::MAX);
    let mut window = Rolling::new(MINUTE, P95);
    window.insert(late, answer(10));
    assert_eq!(window.count(), 1);
    let mut window = Rolling::new(MINUTE, P95);
    window.insert(Mono(late.0 / 2), answer(10));
    window.insert(late, answer(20));
    assert_eq!((window.count(), window.quantile()), (1, Some(Span(20))));
}

/// In one go or one by one, into the newest slot or an older one.
#[test]
fn samples_that_enter_together_are_counted_as_if_they_came_one_by_one() {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let (mut together, mut alone) = (Rolling::new(MINUTE, P95), Rolling::new(MINUTE, P95));
    let mut slot = 70;
    for _ in 0..2_000 {
        slot = match random.next_u32() % 50 {
            0 => slot + 3_600,
            1 => slot - 5,
            2 => slot + u64::from(random.next_u32() % 70),
            step => slot + u64::from(step % 2),
        };
        let events: Vec<Event> = (0..random.next_u32() % 12)
            .map(|lot| if lot == 5 { LOST } else { answer(random.next_u32() >> (random.next_u32() % 24)) })
            .collect();
        let words: Vec<Word> = events.iter().copied().map(Word::from).collect();
        together.insert_all(slot, &words);
        for event in events {
            alone.insert(ms(slot * 1_000), event);
        }
        alone.expire(ms(slot * 1_000));
        let figures = |window: &mut Rolling| (window.count(), window.bad(), window.slow(), window.quantile());
        assert_eq!(figures(&mut together), figures(&mut alone));
    }
}

#[test]
fn the_slot_of_an_instant_is_the_number_of_whole_slots_before_it() {
    let mut slots = Slots::of(MINUTE);
    let second = 1_000_000_000;
    for at in [0, second - 1, second, 5 * second, 5 * second - 1, 2 * second, u64::MAX, u64::MAX - 1, 0] {
        assert_eq!(slots.number(Mono(at)), at / second, "{at}");
    }
    assert_eq!(Slots::of(Duration::ZERO).number(Mono(7)), 7, "a slot is a nanosecond at least");
}
