//! One slot of an origin: a task that carries one probe at a time over a connection of its own, and keeps that
//! connection while it may.

use super::desk::{Desk, Ended};
use super::exchange::{Answer, Ask, Speaker, exchange};
use super::marks::{Marks, Step};
use super::origin::{Open, Origin};
use crate::clock;
use crate::model::time::Mono;
use crate::model::trace::Trace;
use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use tokio::task::AbortHandle;

/// A probe to be carried out.
pub(super) struct Job {
    pub(super) ask: Rc<Ask>,
    pub(super) due: Mono,
    pub(super) trace: Option<Trace>,
    /// The line that it belongs to, and its number there.
    pub(super) line: usize,
    pub(super) sequence: u64,
}

/// A slot as others see it: where its probe is, and the way to hand it the next one.
pub(super) struct Link {
    pub(super) marks: Rc<Marks>,
    job: Cell<Option<Job>>,
    waker: RefCell<Option<Waker>>,
    task: OnceCell<AbortHandle>,
    /// Its connection is open, and may be used again.
    warm: Cell<bool>,
}

impl Link {
    /// A slot that begins with `job`, on the current thread.
    pub(super) fn start(job: Job, origin: Rc<Origin>, desk: Rc<Desk>) -> Rc<Self> {
        let link = Rc::new(Self {
            marks: Rc::default(),
            job: Cell::new(Some(job)),
            waker: RefCell::default(),
            task: OnceCell::new(),
            warm: Cell::new(false),
        });
        let open = origin.count();
        let task = tokio::task::spawn_local(serve(Rc::clone(&link), origin, desk, open));
        // A cell that was made a line ago is empty.
        let _ = link.task.set(task.abort_handle());
        link
    }

    /// Hands the next probe over; the slot must be idle.
    pub(super) fn hand(&self, job: Job) {
        self.job.set(Some(job));
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn is_warm(&self) -> bool {
        self.warm.get()
    }

    /// Ends the slot, its connection and its probe, which is told nowhere.
    pub(super) fn abort(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }

    /// The next probe, while the idle connection is watched for its close.
    async fn next(&self, speaker: &mut Option<Speaker>) -> Job {
        poll_fn(|cx| {
            if speaker.as_mut().is_some_and(|speaker| speaker.poll_rest(cx).is_ready()) {
                *speaker = None;
                self.warm.set(false);
            }
            if let Some(job) = self.job.take() {
                return Poll::Ready(job);
            }
            let mut waker = self.waker.borrow_mut();
            if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

async fn serve(link: Rc<Link>, origin: Rc<Origin>, desk: Rc<Desk>, _open: Open) {
    let mut speaker = None;
    loop {
        let job = link.next(&mut speaker).await;
        link.marks.begin();
        let answer = carry(&mut speaker, (&job.ask, job.trace), &origin, &link.marks).await;
        link.warm.set(speaker.is_some());
        let passage = link.marks.passage(job.due, clock::now());
        desk.end(Ended { line: job.line, sequence: job.sequence, passage, answer });
        if !origin.rest(&link) {
            return;
        }
    }
}

/// One probe, over the kept connection if there is one. It is left in `speaker` when it may be used again.
pub(super) async fn carry(
    speaker: &mut Option<Speaker>,
    (ask, trace): (&Ask, Option<Trace>),
    origin: &Origin,
    marks: &Rc<Marks>,
) -> Answer {
    if let Some(kept) = speaker {
        let answer = exchange(kept, ask, trace, marks).await;
        if !answer.reusable {
            *speaker = None;
        }
        if !answer.untouched {
            return answer;
        }
        // The kept connection was closed as we wrote: that is no answer. Once more, on a fresh one; the time that
        // this cost stays in the sample, as queueing.
        marks.again();
    }
    let mut fresh = match origin.dial(marks).await {
        Err(outcome) => return Answer::none(outcome),
        Ok(fresh) => fresh,
    };
    marks.enter(Step::Write);
    let answer = exchange(&mut fresh, ask, trace, marks).await;
    if answer.reusable && !ask.target.fresh {
        *speaker = Some(fresh);
    }
    answer
}
