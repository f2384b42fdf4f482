//! One probe from due to done.

use super::connect::{Dialer, Steps};
use super::exchange::{Answer, Times, exchange};
use super::origin::{Origin, Step};
use crate::clock;
use crate::model::sample::{Phases, Sample};
use crate::model::target::VersionId;
use crate::model::time::Span;
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// A probe that has ended. The version is a name until the judge has interned it.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) sequence: u64,
    pub(super) sample: Sample,
    pub(super) version: Option<String>,
}

/// Carries `sample` out: a connection, the request, the answer, within the target's timeout from `planned`.
pub(super) async fn probe(
    sequence: u64,
    mut sample: Sample,
    origin: Rc<Origin>,
    dialer: Rc<Dialer>,
    request: Request<Empty<Bytes>>,
) -> Ended {
    let begun = clock::now();
    let wake = Span::of(begun.since(sample.due));
    let steps = Cell::new(Steps::default());
    let step = Cell::new(Step::Exchange);
    let seen = Cell::new((0, 0));
    let retried = Cell::new(Span(0));
    let times = Times::default();
    let left = origin.target().timeout.saturating_sub(begun.since(sample.planned));
    let work = ask(
        &origin,
        &dialer,
        request,
        Cells { steps: &steps, step: &step, seen: &seen, retried: &retried, times: &times },
    );
    let answer = tokio::time::timeout(left.max(Duration::from_millis(1)), work).await;
    let done = clock::now();
    let answer = answer.unwrap_or_else(|_late| Answer::none(step.get().timed_out()));
    (sample.conn, sample.addr) = seen.get();
    sample.status = answer.status;
    sample.outcome = answer.outcome;
    sample.version = VersionId::NONE;
    let steps = steps.get();
    sample.phases = Phases {
        wake,
        queue: retried.get(),
        dns: steps.dns,
        connect: steps.connect,
        tls: steps.tls,
        write: times.write.get(),
        first_byte: times.first_byte.get(),
        body: times.body.get(),
    };
    settle(&mut sample.phases, Span::of(done.since(sample.due)), step.get());
    Ended { sequence, sample, version: answer.version }
}

/// What the parts of a probe write into while it runs, so that a timeout still knows how far it came.
struct Cells<'a> {
    steps: &'a Cell<Steps>,
    step: &'a Cell<Step>,
    seen: &'a Cell<(u32, u16)>,
    retried: &'a Cell<Span>,
    times: &'a Times,
}

async fn ask(origin: &Origin, dialer: &Dialer, request: Request<Empty<Bytes>>, cells: Cells<'_>) -> Answer {
    let begun = clock::now();
    if let Some(mut connection) = origin.take() {
        cells.seen.set((connection.id, connection.addr));
        let answer = exchange(&mut connection, request.clone(), origin.target(), cells.times).await;
        if answer.reusable {
            origin.give(connection);
        }
        if !answer.untouched {
            return answer;
        }
        // The kept connection was closed as we wrote: that is no answer. Once more, on a fresh one; the time that
        // this cost stays in the sample, as queueing.
        cells.times.write.set(Span(0));
        cells.times.first_byte.set(Span(0));
        cells.retried.set(Span::of(clock::now().since(begun)));
    }
    match origin.dial(dialer, cells.steps, cells.step, cells.seen).await {
        Err(outcome) => Answer::none(outcome),
        Ok(mut connection) => {
            let answer = exchange(&mut connection, request, origin.target(), cells.times).await;
            if answer.reusable {
                origin.give(connection);
            }
            answer
        }
    }
}

/// Phases sum to the total: what no phase has claimed belongs to the step in which the probe ended.
fn settle(phases: &mut Phases, total: Span, step: Step) {
    let claimed: u32 = phases.all().iter().fold(0, |sum, span| sum.saturating_add(span.0));
    let rest = total.0.saturating_sub(claimed);
    let last = match step {
        Step::Resolve => &mut phases.dns,
        Step::Connect => &mut phases.connect,
        Step::Tls => &mut phases.tls,
        Step::Exchange if phases.body.0 > 0 => &mut phases.body,
        Step::Exchange => &mut phases.first_byte,
    };
    last.0 = last.0.saturating_add(rest);
}
