//! Waking at an instant: one timerfd, armed to the head of the calendar.
//!
//! tokio's own timer rounds up to a millisecond, which would be half a millisecond late on average; a timerfd in the
//! same epoll is some 30 µs late (measured: `benches/README.md`).

use crate::clock;
use crate::model::time::Mono;
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::io;
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// One timer, reused for every wake-up.
#[derive(Debug)]
pub(super) struct Timer {
    fd: AsyncFd<OwnedFd>,
    armed: Option<Mono>,
}

impl Timer {
    /// A disarmed timer on the current runtime.
    pub(super) fn new() -> io::Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "its replacement is unsafe for types that may close or swap their descriptor; an OwnedFd does neither"
        )]
        let fd = AsyncFd::with_interest(fd, Interest::READABLE)?;
        Ok(Self { fd, armed: None })
    }

    /// Ready once `at` has come; until then the task of `cx` is woken when it does.
    ///
    /// The timer is never read: it is watched by edges, arming it anew takes back what has expired, and the clock says
    /// whether the instant has come. That saves a system call a wake-up.
    pub(super) fn poll_until(&mut self, cx: &mut Context<'_>, at: Mono) -> Poll<io::Result<()>> {
        if self.armed != Some(at) && clock::now() < at {
            // What has expired before is no news.
            while let Poll::Ready(expired) = self.fd.poll_read_ready(cx) {
                expired?.clear_ready();
            }
            self.arm(at)?;
        }
        while clock::now() < at {
            ready!(self.fd.poll_read_ready(cx))?.clear_ready();
        }
        Poll::Ready(Ok(()))
    }

    fn arm(&mut self, at: Mono) -> io::Result<()> {
        // An instant of zero would disarm the timer instead of firing at once.
        let nanos = at.0.max(1);
        let value = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX),
                tv_nsec: i64::try_from(nanos % 1_000_000_000).unwrap_or(0),
            },
        };
        timerfd_settime(self.fd.get_ref(), TimerfdTimerFlags::ABSTIME, &value)?;
        self.armed = Some(at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Duration;

    #[tokio::test]
    async fn it_wakes_at_the_instant_and_never_before() {
        let mut timer = Timer::new().unwrap();
        for ms in [1, 5, 0, 3] {
            let at = clock::now().after(Duration::from_millis(ms));
            poll_fn(|cx| timer.poll_until(cx, at)).await.unwrap();
            assert!(clock::now() >= at);
        }
    }

    #[tokio::test]
    async fn an_earlier_instant_overtakes_a_later_one_that_was_dropped() {
        let mut timer = Timer::new().unwrap();
        let begun = clock::now();
        let hour = begun.after(Duration::from_hours(1));
        assert!(
            tokio::time::timeout(Duration::from_millis(5), poll_fn(|cx| timer.poll_until(cx, hour)))
                .await
                .is_err()
        );
        let soon = begun.after(Duration::from_millis(10));
        poll_fn(|cx| timer.poll_until(cx, soon)).await.unwrap();
        assert!(clock::now().since(begun) < Duration::from_secs(5));
    }
}
