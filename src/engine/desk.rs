//! Where the tasks of one engine thread put what the loop shall see: probes that have ended, orders that came.

use super::exchange::Answer;
use super::marks::Passage;
use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};

/// A probe that has ended.
pub(super) struct Ended {
    pub(super) line: usize,
    pub(super) sequence: u64,
    pub(super) passage: Passage,
    pub(super) answer: Answer,
}

/// See the module. Belongs to one thread.
#[derive(Default)]
pub(super) struct Desk {
    ended: RefCell<Vec<Ended>>,
    /// Something else has come: an order, a proof.
    rung: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Desk {
    pub(super) fn end(&self, ended: Ended) {
        self.ended.borrow_mut().push(ended);
        self.wake();
    }

    /// Tells the loop to look at its orders.
    pub(super) fn ring(&self) {
        self.rung.set(true);
        self.wake();
    }

    /// Whether somebody rang since the last time.
    pub(super) fn answer(&self) -> bool {
        self.rung.replace(false)
    }

    /// Moves the ended probes into `into`, which is empty.
    pub(super) fn take(&self, into: &mut Vec<Ended>) {
        std::mem::swap(&mut *self.ended.borrow_mut(), into);
    }

    /// Whether there is nothing to see; the task of `cx` is woken when there is.
    pub(super) fn poll_empty(&self, cx: &Context<'_>) -> bool {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        self.ended.borrow().is_empty() && !self.rung.get()
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}
