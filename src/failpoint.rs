//! Places on the acting path at which a test ends the process as `kill -9` does. In every other build there is nothing here.
//!
//! A test runs the daemon once to learn which places it comes by, and then once for each of them, killed there: so no place is forgotten
//! that the path has. A place is named after the state of the guard, what is done, and how far it has come:
//! `acting/write/pending.1` is the first time that the write has to wait. The ledger's thread knows of no state, so that its places are
//! named after the line: `ledger/intent/torn`.

#[cfg(not(test))]
pub(crate) use without::{at, during, here, lines, torn};

#[cfg(test)]
pub(crate) use with::{at, during, here, lines, torn};

#[cfg(not(test))]
mod without {
    use std::io;

    /// The guard's state from now on.
    #[inline]
    pub(crate) fn during(_: impl FnOnce() -> &'static str) {}

    /// One place between two steps.
    #[inline]
    pub(crate) fn here(_: impl FnOnce() -> String) {}

    /// What is waited for: a place before it, one each time that it has to wait, and one after it.
    #[inline]
    pub(crate) fn at<F>(_: &'static str, future: F) -> F {
        future
    }

    /// One place for each of the ledger's lines that are written together.
    #[inline]
    pub(crate) fn lines(_: &[u8], _: &'static str) {}

    /// The same, and a half of them arrives.
    #[inline]
    pub(crate) fn torn(_: &[u8], _: impl FnOnce(&[u8]) -> io::Result<()>) {}
}

#[cfg(test)]
mod with {
    use rustix::process::{Signal, getpid, kill_process};
    use std::collections::BTreeSet;
    use std::fs::{File, OpenOptions};
    use std::future::{Future, poll_fn};
    use std::io::{self, Write};
    use std::sync::{Mutex, OnceLock, PoisonError};

    /// The name of the place at which this process is killed. Another test's process has none.
    const KILL: &str = "SERIN_TEST_KILL_AT";
    /// The file that gets the names of all places, one a line.
    const PLACES: &str = "SERIN_TEST_PLACES";
    /// A wait that is woken more often than this adds nothing new.
    const PENDING_MAX: u32 = 2;

    struct Watch {
        kill: Option<String>,
        places: Option<File>,
        seen: BTreeSet<String>,
        state: &'static str,
    }

    /// None in a process that isn't such a daemon.
    fn watch() -> Option<&'static Mutex<Watch>> {
        static WATCH: OnceLock<Option<Mutex<Watch>>> = OnceLock::new();
        let watch = WATCH.get_or_init(|| {
            let (kill, places) = (std::env::var(KILL).ok(), std::env::var_os(PLACES));
            (kill.is_some() || places.is_some()).then(|| {
                let open = |path| OpenOptions::new().create(true).append(true).open(path).ok();
                let places = places.and_then(open);
                Mutex::new(Watch { kill, places, seen: BTreeSet::new(), state: "starting" })
            })
        });
        watch.as_ref()
    }

    pub(crate) fn during(state: impl FnOnce() -> &'static str) {
        if let Some(watch) = watch() {
            watch.lock().unwrap_or_else(PoisonError::into_inner).state = state();
        }
    }

    pub(crate) fn here(what: impl FnOnce() -> String) {
        let Some(watch) = watch() else { return };
        let state = watch.lock().unwrap_or_else(PoisonError::into_inner).state;
        if is_the_end(|| format!("{state}/{}", what())) {
            die();
        }
    }

    pub(crate) fn at<F: Future>(what: &'static str, future: F) -> impl Future<Output = F::Output> {
        let mut future = Box::pin(future);
        async move {
            here(|| format!("{what}/before"));
            let mut waits = 0;
            let output = poll_fn(|context| {
                let polled = future.as_mut().poll(context);
                if polled.is_pending() && waits < PENDING_MAX {
                    waits += 1;
                    here(|| format!("{what}/pending.{waits}"));
                }
                polled
            });
            let output = output.await;
            here(|| format!("{what}/after"));
            output
        }
    }

    pub(crate) fn lines(lines: &[u8], how: &'static str) {
        for event in events(lines) {
            if is_the_end(|| format!("ledger/{event}/{how}")) {
                die();
            }
        }
    }

    pub(crate) fn torn(lines: &[u8], write: impl FnOnce(&[u8]) -> io::Result<()>) {
        // Which lines go together isn't the same in each run, so each has its place; all are noted.
        let ends: Vec<bool> =
            events(lines).iter().map(|event| is_the_end(|| format!("ledger/{event}/torn"))).collect();
        if ends.contains(&true) {
            // Whether or not the disk takes it: the process ends here.
            let _ = write(&lines[..lines.len() / 2]);
            die();
        }
    }

    /// What each of these lines is about.
    fn events(lines: &[u8]) -> Vec<String> {
        if watch().is_none() {
            return Vec::new();
        }
        let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let lines = lines.filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
        lines.filter_map(|line| Some(line["event"].as_str()?.to_owned())).collect()
    }

    /// Notes the place when it is a new one, and says whether it is the one to be killed at.
    fn is_the_end(place: impl FnOnce() -> String) -> bool {
        let Some(watch) = watch() else { return false };
        let mut watch = watch.lock().unwrap_or_else(PoisonError::into_inner);
        let place = place();
        let end = watch.kill.as_deref() == Some(&*place);
        if watch.seen.insert(place.clone())
            && let Some(places) = &mut watch.places
        {
            // A place that isn't noted is missing from the list, which the test counts.
            let _ = writeln!(places, "{place}");
        }
        end
    }

    /// Nothing of this process runs after it: no destructor, no flush.
    fn die() -> ! {
        let _ = kill_process(getpid(), Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}
