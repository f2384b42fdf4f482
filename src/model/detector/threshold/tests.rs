//! The binomial tail by hand, and each rule at its edge.

use super::*;

const MS: u64 = 1_000_000;

/// One answer every 50 ms; which are bad.
fn events(kinds: &[u8]) -> Vec<Event> {
    let event = |(n, kind): (u64, &u8)| {
        let due = Mono(n * 50 * MS);
        Event { due, bad: *kind == b'B', known: due }
    };
    (0..).zip(kinds).map(event).collect()
}

fn terms(held_ms: u64, window_ms: u64, share: f64) -> Terms {
    Terms {
        rule: Threshold { held_for: Duration::from_millis(held_ms), ..Threshold::default() },
        window: Duration::from_millis(window_ms),
        samples_min: 1,
        share,
        share_min: 0.0,
        alpha: 1e-11,
        blip: Duration::ZERO,
    }
}

fn near(found: f64, wanted: f64) {
    assert!((found / wanted - 1.0).abs() < 1e-12, "{found} {wanted}");
}

#[test]
fn the_tail_is_its_first_term_and_a_geometric_series() {
    // C(10, 3) 0.1³ 0.9⁷, and each term above it is at most 7/36 of the one before.
    near(tail(10, 3, 0.1), 0.057_395_628 * 36.0 / 29.0);
    near(tail(5, 2, 0.3), 0.308_7 * 7.0 / 4.0);
    near(tail(1, 1, 0.001), 0.001);
    for (n, k, p, wanted) in [(10, 0, 0.1, 1.0), (10, 3, 1.0, 1.0), (10, 11, 0.1, 0.0), (10, 1, 0.5, 1.0)] {
        assert!((tail(n, k, p) - wanted).abs() < 1e-12, "{n} {k} {p}");
    }
}

#[test]
fn the_tail_is_as_tight_where_its_factors_multiplied_one_kind_after_the_other_would_leave_the_range() {
    // Summed in rational arithmetic. 0.95 to the 15,184 is below the range, 16,384 over 8,000 above it.
    for (k, p, exact) in
        [(1_200, 0.05, 8.745_951_086_504_039e-38), (8_000, 0.45, 4.556_928_743_902_819_4e-23)]
    {
        let bound = tail(16_384, k, p);
        assert!(bound >= exact && bound <= exact * 1.01, "{k} {p}: {bound}");
    }
}

#[test]
fn none_or_more_are_certain_and_rounding_takes_nothing_off() {
    for (n, p) in [(48, 1.133_023_093_327_643_6e-11), (195, 8.433_759_630_940_714e-12), (10, 0.05), (0, 0.5)]
    {
        assert!(tail(n, 0, p) >= 1.0, "{n} {p}");
    }
}

#[test]
fn a_power_is_the_base_so_many_times() {
    // Of halves of small whole numbers no bit is lost.
    for (base, exponent) in [(0.5, 0), (0.5, 1), (0.5, 1_022), (1.5, 2), (1.5, 5), (2.5, 13), (0.75, 24)] {
        let wanted: f64 = (0..exponent).map(|_| base).product();
        assert_eq!(power(base, exponent).to_bits(), wanted.to_bits(), "{base} {exponent}");
    }
}

#[test]
fn the_fewest_are_the_same_where_the_first_terms_cannot_be_told() {
    let found = fewest(16_384, 16_384, 0.05, 1e-11);
    assert_eq!(found, fewest_by_halves(16_384, 16_384, 0.05, 1e-11));
    let fewest = found.unwrap();
    assert!(tail(16_384, fewest, 0.05) <= 1e-11 && tail(16_384, fewest - 1, 0.05) > 1e-11);
}

#[test]
fn luck_as_large_as_what_is_allowed_is_allowed() {
    let alpha = tail(1, 1, 0.001);
    assert_eq!(fewest_by_halves(1, 1, 0.001, alpha), Some(1));
    assert_eq!(fewest_by_halves(1, 1, 0.001, alpha * 0.999), None);
}

#[test]
fn luck_of_one_in_a_thousand_is_suspected() {
    assert!(matches!(terms(0, 1_000, USUAL).look(&events(b"B"), Mono(0)), Found::Suspect));
    assert!(matches!(terms(0, 1_000, USUAL * 1.01).look(&events(b"B"), Mono(0)), Found::Luck));
}

#[test]
fn an_answer_as_old_as_the_window_is_in_it() {
    let few = Terms { samples_min: 20, ..terms(0, 950, 0.001) };
    let bad = events(&[b'B'; 20]);
    let breaches = |at: u64| matches!(few.look(&bad, Mono(at)), Found::Breach { .. });
    assert!(breaches(950 * MS) && !breaches(950 * MS + 1));
}

#[test]
fn a_breach_goes_back_over_pauses_that_are_no_longer_than_the_window() {
    let bad = events(b"B.B..B...B");
    let begun = |window_ms: u64| terms(0, window_ms, 0.1).begun(&bad, Mono(450 * MS)).0 / MS;
    assert_eq!([100, 149, 150, 199, 200].map(begun), [450, 450, 450, 450, 0]);
    let shorter = terms(0, 150, 0.1).begun(&bad, Mono(250 * MS));
    assert_eq!(shorter, Mono(0), "what comes later is no part of what was before");
}

#[test]
fn a_share_is_held_while_every_window_that_ends_in_the_time_is_above_it() {
    let kinds = b"BGGBGGBGGBGG";
    let (all, now) = (events(kinds), Mono(550 * MS));
    // Each window of 100 ms has three answers, both ends included, and one of them is bad.
    assert!(terms(300, 100, 0.3).held(&all, now));
    assert!(!terms(300, 100, 0.4).held(&all, now));
    // Of four, one is bad at least: a quarter is no more than a quarter.
    assert!(!terms(300, 150, 0.25).held(&all, now));
    assert!(terms(300, 150, 0.24).held(&all, now));
    assert!(!Terms { share_min: 0.4, ..terms(300, 100, 0.3) }.held(&all, now), "nor below the floor");
    assert!(terms(0, 100, 0.9).held(&all, now), "where no time is asked, the window alone decides");
}

#[test]
fn a_share_that_was_small_before_the_time_does_not_matter_and_one_that_nobody_knows_does() {
    let (all, now) = (events(b"GGGGGGBBBBBB"), Mono(550 * MS));
    assert!(terms(200, 50, 0.4).held(&all, now));
    assert!(terms(250, 50, 0.4).held(&all, now));
    assert!(!terms(300, 50, 0.4).held(&all, now));
    let bad = events(&[b'B'; 12]);
    assert!(terms(500, 50, 0.4).held(&bad[1..], now));
    assert!(!terms(501, 50, 0.4).held(&bad[1..], now), "it began with what is known");
}

#[test]
fn a_short_run_counts_for_a_quarter_and_one_as_long_as_a_blip_in_full() {
    let of = |count: u64, needed| {
        let bad = events(&vec![b'B'; usize::try_from(count).unwrap()]);
        counted(&bad, Duration::from_millis(200), needed)
    };
    assert_eq!([of(1, 8), of(4, 8), of(5, 8)], [1, 2, 5]);
    assert_eq!(of(4, 3), 1, "one at least");
    let apart: Vec<Event> = events(b"BBB......BBB").into_iter().filter(|event| event.bad).collect();
    assert_eq!(counted(&apart, Duration::from_millis(200), 8), 4, "two runs");
    assert_eq!(counted(&apart, Duration::from_millis(350), 8), 6, "one, as 350 ms part them");
}
