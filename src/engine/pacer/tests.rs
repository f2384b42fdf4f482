//! The loop by itself, over a server that takes connections and never answers.

use super::super::connect::Dialer;
use super::super::exchange::Ask;
use super::super::origin::{Origin, Room};
use super::*;
use crate::model::sample::Purpose;
use crate::model::target::TargetId;
use crate::settings::Target;
use std::cell::Cell;
use std::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};

/// One line, asked every ten milliseconds until its time is over.
struct Asker {
    until: Mono,
    /// What it saw of the field as it ended: rows, lines.
    saw: Rc<Cell<(usize, usize)>>,
    ended: Rc<Cell<u32>>,
}

impl Asker {
    fn new(number: usize, url: &str, lasts: Duration, field: &mut Field, ended: &Rc<Cell<u32>>) -> Self {
        let target = Target { in_flight: 100, ..Target::plain(url).unwrap() };
        let dialer = Rc::new(Dialer::new([&target], false).unwrap());
        let room = Room { keep: 1, cap: 100.0 };
        let origin = Rc::new(Origin::new(&target, None, room, &dialer, &Rc::default()));
        let line =
            Line::new(number, Purpose::Production, TargetId(0), Rc::new(Ask::new(Rc::new(target))), origin);
        let line = field.add(line);
        let now = clock::now();
        let schedule = Schedule::new(now, Duration::from_millis(10), 0, 1, "");
        field.plan(number, [Plan { schedule, lines: [line].into() }], now);
        Self { until: now.after(lasts), saw: Rc::default(), ended: Rc::clone(ended) }
    }
}

impl Subject for Asker {
    fn epoch(&self) -> EpochId {
        EpochId(0)
    }

    fn slow_after(&self) -> Option<Duration> {
        None
    }

    fn sample(&mut self, _: &mut Sample, _: Told<'_>, _: Mono, _: Mono) {
        self.ended.set(self.ended.get() + 1);
    }

    fn missed(&mut self, _: &Sample, _: u64, _: Mono) {}

    fn slow(&mut self, _: &Sample, _: Mono) {}

    fn tick(&mut self, field: &mut Field, now: Mono) -> Option<Mono> {
        self.saw.set((field.rows.iter().flatten().count(), field.lines.iter().flatten().count()));
        (now < self.until).then_some(self.until)
    }

    fn fared(&mut self, _: &Own) {}

    fn rung(&mut self, _: &mut Field, _: Mono) -> bool {
        true
    }

    fn finish(&mut self, _: Mono) {}
}

#[test]
fn a_subject_that_ends_takes_its_rows_lines_and_probes_with_it_and_the_others_go_on() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", server.local_addr().unwrap());
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async {
        let ended = [Rc::default(), Rc::default()];
        let mut saw = Vec::new();
        let pacer = Pacer::new(Duration::ZERO, Rc::default(), |field| {
            let lasts = [Duration::from_millis(60), Duration::from_millis(1_300)];
            let make = |(number, lasts)| Asker::new(number, &url, lasts, field, &ended[number]);
            let askers: Vec<Asker> = lasts.into_iter().enumerate().map(make).collect();
            saw.extend(askers.iter().map(|asker| Rc::clone(&asker.saw)));
            askers
        });
        pacer.unwrap().run().await.unwrap();
        assert_eq!(saw[0].get(), (2, 2), "both were there when the first ended");
        assert_eq!(saw[1].get(), (1, 1), "and only one when the second did");
        assert_eq!(ended[0].get(), 0, "its probes ended with it");
        assert!(ended[1].get() > 0, "the other's ran out of their time");
    });
}

#[test]
fn a_row_that_stays_as_it_is_loses_no_probe_when_others_change() {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async {
        let pacer = Pacer::new(Duration::ZERO, Rc::default(), |field| {
            let now = clock::now();
            let plan = |ms, line: usize| {
                let schedule = Schedule::new(now, Duration::from_millis(ms), 0, 1, "");
                Plan { schedule, lines: [line].into() }
            };
            let entries =
                |field: &Field| field.rows.iter().flatten().map(|row| row.entry).collect::<Vec<_>>();
            field.plan(7, [plan(10, 0), plan(50, 1)], now);
            let before = entries(field);
            // The first row's probe is due by then, and not sent yet.
            let later = now.after(Duration::from_millis(70));
            field.plan(7, [plan(10, 0), plan(20, 1)], later);
            let with_another_pace = entries(field);
            assert_eq!((with_another_pace.len(), with_another_pace[0]), (2, before[0]));
            assert!(before[0] < later && with_another_pace[1] > later, "{with_another_pace:?}");
            field.plan(7, [plan(10, 2), plan(20, 1)], later);
            assert!(entries(field).iter().all(|entry| *entry > later), "other lines are another row");
            field.plan(7, [], later);
            assert_eq!(entries(field), []);
            Vec::<Asker>::new()
        });
        pacer.unwrap();
    });
}
