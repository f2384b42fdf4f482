//! Against the samples themselves, and at the edges.

use super::*;
use crate::distribution::{bucket, bucket_middle};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

const SECOND: Duration = Duration::from_secs(1);
const BLIP: Duration = Duration::from_millis(30);

fn entry(ms: u64, bad: bool) -> Entry {
    let response = Span::of(Duration::from_millis(ms));
    Entry {
        due: Mono(0),
        response,
        marks: Marks::new(bad, [ms > 100]),
        answered: true,
        conn: 1,
        addr: 0,
        target: TargetId(0),
        version: VersionId::NONE,
    }
}

fn at(ms: u64) -> Mono {
    Mono(ms * 1_000_000)
}

/// Every sample with the instant at which it was known: what the window must agree with.
struct Plain {
    span: Duration,
    samples: Vec<(Mono, Entry)>,
}

impl Plain {
    fn insert(&mut self, now: Mono, entry: Entry) {
        let newest = self.samples.iter().map(|(at, _)| *at).max().unwrap_or(now);
        self.samples.push((now.max(newest).max(entry.due), entry));
        self.expire(now);
    }

    fn expire(&mut self, now: Mono) {
        self.samples.retain(|(at, _)| *at >= now.before(self.span));
    }

    fn amend(&mut self, entry: Entry) -> bool {
        let told = |old: &Entry| {
            let hangs = old.marks.has(Mark::SLOW) && !old.answered;
            hangs && (old.due, old.target) == (entry.due, entry.target)
        };
        let Some((_, old)) = self.samples.iter_mut().rfind(|(_, old)| told(old)) else { return false };
        *old = entry;
        true
    }

    fn agrees(&self, window: &mut Window, scopes: &[(Scope, Vec<u16>)]) {
        self.agrees_with(window.view(), window.clone().p95(), scopes);
    }

    fn agrees_with(&self, window: View<'_>, seen_p95: Option<Span>, scopes: &[(Scope, Vec<u16>)]) {
        let entries = || self.samples.iter().map(|(_, entry)| entry);
        assert!(window.entries().eq(entries()));
        assert_eq!(window.count() as usize, self.samples.len());
        assert_eq!(window.bad() as usize, entries().filter(|entry| entry.bad()).count());
        assert_eq!(window.slow() as usize, entries().filter(|entry| entry.slow()).count());
        for (scope, targets) in scopes {
            for mark in [Mark::BAD, Mark::SLOW, Mark::limit(LIMITS_MAX - 1)] {
                let of: Vec<_> = entries().filter(|entry| targets.contains(&entry.target.0)).collect();
                let marked = of.iter().filter(|entry| entry.marks.has(mark)).count();
                let (all, seen) = window.tally(scope, mark);
                assert_eq!((all as usize, seen as usize), (of.len(), marked), "{scope:?} {mark:?}");
            }
        }
        let mut times: Vec<Span> =
            entries().filter(|entry| entry.answered).map(|entry| entry.response).collect();
        times.sort_unstable();
        let p95 = (times.len() * 95).div_ceil(100).checked_sub(1).map(|index| times[index]);
        assert_eq!(seen_p95, p95.map(|span| bucket_middle(bucket(span))));
    }
}

/// Late samples, silences, steps back, probes that hang and what comes of them.
#[test]
fn whatever_comes_and_goes_a_window_counts_what_its_samples_say() {
    let part = |targets: &[u16]| Scope::Part {
        name: "x".into(),
        targets: targets.iter().map(|target| TargetId(*target)).collect(),
    };
    let of = |targets: &[u16]| (part(targets), targets.to_vec());
    let scopes = [(Scope::Service, vec![0, 1, 2]), of(&[0]), of(&[1, 2]), of(&[7])];
    let mut amended = 0;
    for seed in 0..6 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut lot = |below: u64| random.next_u64() % below;
        let mut window = Window::from(Pane::new(SECOND).with_times().in_parts());
        let mut plain = Plain { span: SECOND, samples: Vec::new() };
        let mut hanging: Vec<Entry> = Vec::new();
        let mut now = at(5_000);
        for _ in 0..400 {
            now = match lot(60) {
                0 => now.after(SECOND + Duration::from_nanos(lot(3))),
                1 => now.before(Duration::from_millis(100)),
                _ => now.after(Duration::from_millis(lot(20))),
            };
            let hangs = lot(8) == 0;
            let entry = Entry {
                due: now.before(Duration::from_millis(lot(5))),
                target: TargetId(u16::try_from(lot(3)).unwrap()),
                marks: Marks::new(
                    lot(5) == 0,
                    (0..LIMITS_MAX).map(|limit| lot(4) == 0 || limit == 0 && hangs),
                ),
                answered: !hangs,
                ..entry(lot(400), false)
            };
            let news = window.view().news();
            window.insert(now, entry);
            plain.insert(now, entry);
            assert_eq!(window.view().news() > news, entry.marks != Marks::default());
            plain.agrees(&mut window, &scopes);
            if hangs {
                hanging.push(entry);
            } else if let Some(told) = hanging.pop().filter(|_| lot(3) > 0) {
                let entry = Entry { due: told.due, target: told.target, ..entry };
                let found = plain.amend(entry);
                assert_eq!(window.amend(entry), found);
                plain.agrees(&mut window, &scopes);
                amended += u32::from(found);
            }
            if lot(150) == 0 {
                window.clear();
                plain.samples.clear();
                plain.agrees(&mut window, &scopes);
            }
        }
    }
    assert!(amended > 100, "{amended}");
}

/// Samples for one pane, for the other and for both; late ones, silences, steps back, and probes that hang; panes that take in many at once.
#[test]
fn panes_that_share_a_log_see_what_windows_of_their_own_would() {
    let whole = [(Scope::Service, vec![0, 1, 2])];
    let (mut amended, mut split) = (0, 0);
    for seed in 0..12 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut lot = |below: u64| random.next_u64() % below;
        let third = Duration::from_millis([300, 1_000, 5_000][usize::try_from(seed % 3).unwrap()]);
        let spans = [SECOND, third, SECOND];
        let trails = || [Mark::BAD, Mark::SLOW].map(|mark| Trail::new(Scope::Service, mark, BLIP)).to_vec();
        let mut window = Window::of(spans.map(|span| Pane::new(span).with_times().with_trails(trails())));
        // Windows of one pane are held to their samples above.
        let alone = |span| Window::from(Pane::new(span).with_times().with_trails(trails()));
        let mut others = spans.map(|span| (Plain { span, samples: Vec::new() }, alone(span)));
        let mut hanging: Vec<Entry> = Vec::new();
        let mut now = at(50_000);
        for step in 0..2_000_u64 {
            now = match lot(300) {
                0 => now.after(SECOND + Duration::from_nanos(lot(3))),
                1 => now.before(Duration::from_millis(100)),
                2 => now.after(Duration::from_hours(1)),
                _ => now.after(Duration::from_micros(lot(4_000))),
            };
            let panes = Panes([7, 7, 7, 1, 6][usize::try_from(lot(5)).unwrap()]);
            let hangs = lot(8) == 0;
            let new = Entry {
                due: now.before(Duration::from_millis(lot(8))),
                target: TargetId(u16::try_from(lot(3)).unwrap()),
                marks: Marks::new(lot(12) == 0, [hangs || lot(12) == 0]),
                answered: !hangs,
                ..entry(lot(400), false)
            };
            window.insert_into(panes, now, new);
            let told = hanging.pop().filter(|_| lot(3) > 0);
            let answer = told.map(|told: Entry| Entry { due: told.due, target: told.target, ..new });
            let found = answer.map(|answer| window.amend_in(panes, answer));
            let mut had = Panes::NONE;
            for (place, (plain, other)) in others.iter_mut().enumerate() {
                if panes.has(Panes::of(place)) {
                    plain.insert(now, new);
                    other.insert(now, new);
                    if let Some(answer) = answer
                        && plain.amend(answer)
                    {
                        assert!(other.amend(answer));
                        had = had.and(Panes::of(place));
                    }
                }
            }
            assert_eq!(found.unwrap_or(Panes::NONE), had, "seed {seed}, step {step}");
            amended += u32::from(had != Panes::NONE);
            split += u32::from(had != Panes::NONE && had != panes);
            if hangs {
                hanging.push(new);
            }
            if lot(200) == 0 {
                let place = usize::try_from(lot(3)).unwrap();
                window.clear_pane(place);
                others[place].0.samples.clear();
                others[place].1.clear();
            }
            if lot(40) > 0 {
                continue;
            }
            if lot(2) == 0 {
                window.expire(now);
                for (plain, other) in &mut others {
                    plain.expire(now);
                    other.expire(now);
                }
            }
            window.settle();
            for (place, (plain, other)) in others.iter_mut().enumerate() {
                plain.agrees_with(window.pane(place), window.clone().p95_of(place), &whole);
                let (seen, own) = (window.pane(place), other.view());
                for mark in [Mark::BAD, Mark::SLOW] {
                    let bads = |view: View<'_>| {
                        view.trail(&Scope::Service, mark, BLIP).unwrap().bads().copied().collect::<Vec<_>>()
                    };
                    assert_eq!(bads(seen), bads(own), "seed {seed}, step {step}");
                }
                assert_eq!(seen.news(), own.news());
                let from = Duration::from_millis(200);
                assert_eq!(seen.recent(now, from), own.recent(now, from));
            }
            let all = others.iter().map(|(plain, _)| plain.samples.len()).sum::<usize>();
            assert!(window.log.end() - window.log.begin() <= 2 * all as u64 + 64, "what nobody has is gone");
        }
    }
    assert!(amended > 1_000 && split > 100, "{amended} {split}");
}

#[test]
fn panes_are_a_set() {
    let [one, two, three] = [1, 2, 3].map(Panes);
    assert_eq!(
        (one.and(two), three.and(one), three.without(one), one.without(two)),
        (three, three, two, one)
    );
    assert!(three.has(one) && three.has(two) && !one.has(two) && !one.has(Panes::NONE));
}

#[test]
fn nothing_is_known_before_it_is_due() {
    let mut window = Window::new(SECOND);
    window.insert(at(100), Entry { due: at(600), ..entry(1, false) });
    let mut left = |ms| {
        window.expire(at(ms));
        window.view().count()
    };
    assert_eq!([1_600, 1_601].map(&mut left), [1, 0]);
}

/// A batch that begins just within a blip of the last bad one, and ends beyond it.
#[test]
fn good_ones_that_come_together_are_parted_at_the_blip() {
    let trail = Trail::new(Scope::Service, Mark::BAD, BLIP);
    let mut window = Window::from(Pane::new(SECOND).with_trails(vec![trail]));
    window.insert(at(100), Entry { due: at(100), ..entry(1, true) });
    let soon_until = at(100).after(BLIP);
    for due in [soon_until, Mono(soon_until.0 + 1)] {
        window.insert_into(Panes::of(0), at(500), Entry { due, ..entry(1, false) });
    }
    window.settle();
    let trail = window.view().trail(&Scope::Service, Mark::BAD, BLIP).unwrap();
    assert_eq!(trail.bads().map(|bad| (bad.soon, bad.later)).collect::<Vec<_>>(), [(1, 1)]);
}

#[test]
fn what_a_pane_let_go_of_stays_gone_when_another_one_amends() {
    let mut window = Window::of([SECOND, SECOND * 10].map(Pane::new));
    let told = Entry { marks: Marks::new(false, [true]), answered: false, ..entry(1, false) };
    window.insert_into(Panes(3), at(1), told);
    window.insert_into(Panes(3), at(2), entry(1, false));
    window.expire(at(1_100));
    assert_eq!(window.amend_in(Panes(2), Entry { answered: true, ..told }), Panes(2));
    window.insert_into(Panes(3), at(1_200), entry(1, false));
    window.settle();
    let seen = |place| (window.pane(place).count(), window.pane(place).entries().count());
    assert_eq!([0, 1].map(seen), [(1, 1), (3, 3)]);
}

#[test]
fn what_four_panes_amend_is_not_kept_four_times() {
    let mut window = Window::of([SECOND; 4].map(Pane::new));
    let told = Entry { marks: Marks::new(false, [true]), answered: false, ..entry(1, false) };
    let other = Entry { due: at(2), ..told };
    for told in [told, other] {
        window.insert_into(Panes(15), at(3), told);
    }
    for answer in [told, other] {
        let answer = Entry { answered: true, ..answer };
        assert_eq!(window.amend_in(Panes(15), answer), Panes(15));
    }
    assert_eq!(window.log.end() - window.log.begin(), 4);
    window.settle();
    let slow = |place: usize| (window.pane(place).count(), window.pane(place).slow());
    assert_eq!([0, 1, 2, 3].map(slow), [(2, 2); 4]);
    assert!(window.pane(2).entries().all(|entry| entry.answered));
}

#[test]
fn a_pane_that_is_full_lets_go_of_its_own_oldest() {
    let mut window = Window::of([SECOND, SECOND].map(Pane::new));
    let [both, first] = [Panes(3), Panes(1)];
    window.insert_into(both, at(1), entry(1, true));
    for _ in 0..Window::CAP {
        window.insert_into(first, at(1), entry(1, false));
    }
    window.settle();
    let seen =
        |window: &Window<2>| [0, 1].map(|place| (window.pane(place).count(), window.pane(place).bad()));
    assert_eq!(seen(&window), [(16_384, 0), (1, 1)]);
    for _ in 0..Window::CAP {
        window.insert_into(both, at(1), entry(1, false));
    }
    window.settle();
    assert_eq!(seen(&window), [(16_384, 0), (16_384, 0)]);
    assert_eq!(window.log.end() - window.log.begin(), 16_384);
}

#[test]
fn what_leaves_the_window_leaves_every_count() {
    let mut window = Window::from(Pane::new(Duration::from_secs(1)).with_times());
    window.insert(at(0), entry(500, true));
    window.insert(at(600), entry(10, false));
    assert_eq!((window.view().count(), window.view().bad(), window.view().slow()), (2, 1, 1));
    window.expire(at(1_000));
    assert_eq!(window.view().count(), 2);
    window.expire(at(1_001));
    assert_eq!((window.view().count(), window.view().bad(), window.view().slow()), (1, 0, 0));
    assert!((window.p95().unwrap().millis() - 10.0).abs() < 0.1);
}

#[test]
fn each_mark_is_counted_for_the_whole_and_for_its_part() {
    let part = |target| Scope::Part { name: "x".into(), targets: [TargetId(target)].into() };
    let mut window = Window::from(Pane::new(Duration::from_secs(1)).in_parts());
    let of = |target, marks| Entry { target: TargetId(target), marks, ..entry(1, false) };
    window.insert(at(0), of(0, Marks::new(true, [false, true])));
    window.insert(at(500), of(2, Marks::new(false, [true, true])));
    let seen = |window: &Window, scope: &Scope| {
        [Mark::BAD, Mark::SLOW, Mark::limit(1)].map(|mark| window.view().tally(scope, mark))
    };
    assert_eq!(seen(&window, &Scope::Service), [(2, 1), (2, 1), (2, 2)]);
    assert_eq!(seen(&window, &part(0)), [(1, 1), (1, 0), (1, 1)]);
    assert_eq!(seen(&window, &part(2)), [(1, 0), (1, 1), (1, 1)]);
    assert_eq!(seen(&window, &part(7)), [(0, 0); 3]);
    window.expire(at(1_100));
    assert_eq!(seen(&window, &Scope::Service), [(1, 0), (1, 1), (1, 1)]);
    assert_eq!(seen(&window, &part(0)), [(0, 0); 3]);
    window.clear();
    assert_eq!(seen(&window, &part(2)), [(0, 0); 3]);
}

#[test]
fn the_recent_ones_are_those_within_the_span() {
    let mut window = Window::new(Duration::from_secs(10));
    for second in 0..5 {
        window.insert(at(second * 1_000), entry(second, false));
    }
    assert_eq!(window.view().recent(at(5_000), Duration::from_secs(2)), 2);
    assert_eq!(window.view().recent(at(5_000), Duration::from_mins(1)), 5);
}

#[test]
fn an_empty_window_knows_no_quantile() {
    let mut window = Window::from(Pane::new(Duration::from_secs(1)).with_times());
    assert_eq!(window.p95(), None);
    window.insert(at(0), Entry { answered: false, ..entry(1_000, true) });
    assert_eq!((window.p95(), window.view().bad()), (None, 1));
}

#[test]
fn a_clock_that_jumps_an_hour_empties_the_window_and_one_that_steps_back_harms_nothing() {
    let mut window = Window::from(Pane::new(Duration::from_secs(1)).with_times());
    window.insert(at(5_000), entry(10, true));
    window.insert(at(4_000), entry(10, true));
    assert_eq!(window.view().count(), 2);
    window.expire(at(3_605_000));
    assert_eq!((window.view().count(), window.view().bad()), (0, 0));
}

#[test]
fn the_window_is_bounded() {
    let mut window = Window::new(Duration::from_secs(100));
    for _ in 0..Window::CAP + 10 {
        window.insert(at(1), entry(1, true));
    }
    assert_eq!(window.entries().count(), Window::CAP);
    assert_eq!(window.view().count(), window.view().bad());
}

#[test]
fn the_last_of_the_limits_has_a_mark_and_there_are_no_more() {
    assert_eq!(Mark::limit(0), Mark::SLOW);
    assert_eq!(Mark::limit(99), Mark::limit(LIMITS_MAX - 1));
    let mut window = Window::new(Duration::from_secs(1));
    let over = (0..9).map(|limit| limit >= LIMITS_MAX - 1);
    window.insert(at(0), Entry { marks: Marks::new(false, over), ..entry(1, false) });
    let seen = |index| window.view().tally(&Scope::Service, Mark::limit(index)).1;
    assert_eq!([seen(LIMITS_MAX - 2), seen(LIMITS_MAX - 1)], [0, 1]);
}

#[test]
fn only_the_probe_that_was_told_of_is_amended() {
    let mut window = Window::from(Pane::new(Duration::from_secs(1)).in_parts().with_times());
    let of = |due: u64, target: u16, answered: bool| Entry {
        due: at(due),
        target: TargetId(target),
        answered,
        ..entry(300, false)
    };
    for told in [of(0, 0, false), of(0, 1, false), of(1, 0, true)] {
        window.insert(at(300), told);
    }
    let amended = Entry { marks: Marks::new(true, [true]), ..of(0, 1, true) };
    assert!(!window.amend(of(0, 2, true)), "another target");
    assert!(!window.amend(of(2, 0, true)), "another instant");
    assert!(!window.amend(of(1, 0, true)), "that one has come back");
    assert!(window.amend(amended) && !window.amend(amended));
    let part = |target| Scope::Part { name: "x".into(), targets: [TargetId(target)].into() };
    assert_eq!((window.view().count(), window.view().bad(), window.view().slow()), (3, 1, 3));
    assert_eq!(window.view().tally(&part(1), Mark::BAD), (1, 1));
    assert_eq!(window.view().tally(&part(0), Mark::BAD), (2, 0));
    assert_eq!(window.entries().filter(|entry| entry.hangs()).count(), 1);
    window.expire(at(1_301));
    assert_eq!(
        (window.view().count(), window.view().bad(), window.view().slow(), window.p95()),
        (0, 0, 0, None)
    );
    assert_eq!(window.view().tally(&part(1), Mark::BAD), (0, 0));
}

#[test]
fn what_has_a_mark_is_news_and_so_is_a_cleared_window() {
    let mut window = Window::new(Duration::from_secs(1));
    let mut seen = vec![window.view().news()];
    let hangs = Entry { answered: false, ..entry(300, false) };
    window.insert(at(0), entry(1, false));
    assert_eq!(window.view().news(), seen[0], "a good answer is none");
    for bad in [entry(1, true), hangs, Entry { due: at(1), ..hangs }] {
        window.insert(at(300), bad);
        seen.push(window.view().news());
    }
    assert!(window.amend(entry(300, false)));
    seen.push(window.view().news());
    assert!(window.amend(Entry { due: at(1), ..entry(1, false) }));
    assert_eq!(Some(&window.view().news()), seen.last());
    window.clear();
    seen.push(window.view().news());
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
}

#[test]
fn panes_have_all_of_some_only_if_they_have_each() {
    let both = Panes::of(1).and(Panes::of(2));
    assert!(both.has_all(both) && both.has_all(Panes::of(1)) && both.has_all(Panes::NONE));
    assert!(!Panes::of(1).has_all(both) && !Panes::of(0).has_all(both) && !Panes::NONE.has_all(Panes::of(0)));
}

/// Two panes of different spans, one of which was cleared, and one entry that was told of and amended.
#[test]
fn what_is_kept_is_told_with_the_panes_that_have_it_still() {
    let mut window: Window<2> =
        Window::of([Pane::new(Duration::from_secs(100)), Pane::new(Duration::from_secs(100))]);
    let entry = |at: u64, target: u16| Entry {
        due: Mono(at),
        response: Span(1),
        marks: Marks::new(false, [target == 9]),
        answered: target != 9,
        conn: 1,
        addr: 1,
        target: TargetId(target),
        version: VersionId(1),
    };
    let (both, first) = (Panes::of(0).and(Panes::of(1)), Panes::of(0));
    window.insert_into(both, Mono(1), entry(1, 1));
    window.insert_into(both, Mono(2), entry(2, 9));
    window.clear_pane(1);
    window.insert_into(both, Mono(3), entry(3, 3));
    window.insert_into(first, Mono(4), entry(4, 4));
    let amended = Entry { answered: true, ..entry(2, 9) };
    assert_eq!(window.amend_in(both, amended), first);
    let kept: Vec<(Mono, Panes, u16, bool)> =
        window.kept().map(|(at, panes, entry)| (at, panes, entry.target.0, entry.answered)).collect();
    assert_eq!(
        kept,
        [
            (Mono(1), first, 1, true),
            (Mono(2), first, 9, true),
            (Mono(3), both, 3, true),
            (Mono(4), first, 4, true)
        ]
    );
}
