//! The machine's own word about this thread and its cgroup: read from files that stay open.

use crate::model::delta::Throttling;
use crate::model::pulse::Readings;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::time::{ClockId, clock_gettime};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where cgroups are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// See the module. Belongs to the thread that made it.
#[derive(Debug)]
pub(super) struct Vitals {
    schedstat: Option<OwnedFd>,
    cpu_stat: Option<OwnedFd>,
}

impl Vitals {
    /// Of the current thread. What the kernel doesn't have is left out.
    pub(super) fn of_this_thread() -> Self {
        let open = |path: &Path| rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok();
        let cgroup = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self {
            schedstat: open(Path::new("/proc/thread-self/schedstat")),
            cpu_stat: cpu_files(&cgroup, "cpu.stat").iter().find_map(|path| open(path)),
        }
    }

    /// How long we waited to be run, and how long the machine slept.
    pub(super) fn readings(&self) -> Readings {
        let clock = |id| {
            let at = clock_gettime(id);
            Duration::new(u64::try_from(at.tv_sec).unwrap_or(0), u32::try_from(at.tv_nsec).unwrap_or(0))
        };
        let monotonic = clock(ClockId::Monotonic);
        let slept = clock(ClockId::Boottime).saturating_sub(monotonic);
        Readings { waited: self.schedstat.as_ref().and_then(waited), slept }
    }

    /// The cgroup's throttling so far.
    pub(super) fn throttling(&self) -> Throttling {
        let mut buffer = [0; 1024];
        let text = self.cpu_stat.as_ref().and_then(|fd| text(fd, &mut buffer));
        text.map(parse_cpu_stat).unwrap_or_default()
    }
}

/// Time on the CPU, time runnable and not run, number of turns; nanoseconds (kernel documentation, `sched-stats`).
fn waited(fd: &OwnedFd) -> Option<Duration> {
    let mut buffer = [0; 128];
    let word = text(fd, &mut buffer)?.split_whitespace().nth(1)?;
    word.parse().ok().map(Duration::from_nanos)
}

fn text<'a>(fd: &OwnedFd, buffer: &'a mut [u8]) -> Option<&'a str> {
    let length = rustix::io::pread(fd, &mut *buffer, 0).ok()?;
    std::str::from_utf8(&buffer[..length]).ok()
}

/// Version 2 counts in microseconds (`throttled_usec`), version 1 in nanoseconds (`throttled_time`).
fn parse_cpu_stat(text: &str) -> Throttling {
    let value = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse::<u64>().ok())
    };
    let throttled = value("throttled_usec")
        .map(Duration::from_micros)
        .or_else(|| value("throttled_time").map(Duration::from_nanos));
    Throttling {
        periods: value("nr_periods").unwrap_or(0),
        throttled_periods: value("nr_throttled").unwrap_or(0),
        throttled: throttled.unwrap_or_default(),
    }
}

/// How many CPUs this process may use: what its cgroup's quota and its affinity leave. `None` where neither is told.
pub(super) fn cpus() -> Option<f64> {
    let cgroup = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let affinity = rustix::thread::sched_getaffinity(None).ok().map(|set| f64::from(set.count()));
    let quota = cgroup_quota(&cgroup, |path| std::fs::read_to_string(path).ok());
    match (affinity, quota) {
        (Some(affinity), Some(quota)) => Some(affinity.min(quota)),
        (affinity, quota) => affinity.or(quota),
    }
}

/// The least quota of the cgroup and those around it, as far as they are shown.
fn cgroup_quota(cgroup: &str, read: impl Fn(&Path) -> Option<String>) -> Option<f64> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|value| *value > 0.0);
    let v2 = cpu_files(cgroup, "cpu.max").into_iter().filter_map(|path| {
        let text = read(&path)?;
        let (quota, period) = text.split_once(' ')?;
        Some(number(quota)? / number(period)?)
    });
    let v1 = cpu_files(cgroup, "cpu.cfs_quota_us").into_iter().filter_map(|path| {
        let quota = number(&read(&path)?)?;
        Some(quota / number(&read(&path.with_file_name("cpu.cfs_period_us"))?)?)
    });
    v2.chain(v1).reduce(f64::min)
}

/// Where a file of the CPU controller may be, the own cgroup's first, then those around it. In a container
/// the path of `/proc/self/cgroup` may be the host's, and the mount's root is the container's own.
fn cpu_files(cgroup: &str, name: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in cgroup.lines() {
        // 0::/path (version 2), 4:cpu,cpuacct:/path (version 1).
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let root = match controllers {
            "" => PathBuf::from(CGROUPS),
            named if named.split(',').any(|controller| controller == "cpu") => Path::new(CGROUPS).join("cpu"),
            _ => continue,
        };
        for folder in Path::new(path.trim_start_matches('/')).ancestors() {
            files.push(root.join(folder).join(name));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_cpu_stat_are_read() {
        let v2 = "usage_usec 1\nnr_periods 10\nnr_throttled 4\nthrottled_usec 250000\n";
        let v1 = "nr_periods 10\nnr_throttled 4\nthrottled_time 250000000\n";
        for text in [v2, v1] {
            let read = parse_cpu_stat(text);
            assert_eq!((read.periods, read.throttled_periods), (10, 4));
            assert_eq!(read.throttled, Duration::from_millis(250));
        }
    }

    #[test]
    fn the_tightest_quota_around_us_counts() {
        let read = |path: &Path| match path.to_str().unwrap() {
            "/sys/fs/cgroup/task/app/cpu.max" => Some("max 100000\n".into()),
            "/sys/fs/cgroup/task/cpu.max" => Some("25000 100000\n".into()),
            "/sys/fs/cgroup/cpu.max" => Some("200000 100000\n".into()),
            _ => None,
        };
        assert_eq!(cgroup_quota("0::/task/app\n", read), Some(0.25));
        let read = |path: &Path| match path.to_str().unwrap() {
            "/sys/fs/cgroup/cpu/t/cpu.cfs_quota_us" => Some("50000\n".into()),
            "/sys/fs/cgroup/cpu/t/cpu.cfs_period_us" => Some("100000\n".into()),
            "/sys/fs/cgroup/cpu/cpu.cfs_quota_us" => Some("-1\n".into()),
            _ => None,
        };
        assert_eq!(cgroup_quota("3:cpu,cpuacct:/t\n0::/\n", read), Some(0.5));
        assert_eq!(cgroup_quota("", |_| None), None);
    }

    #[test]
    fn this_thread_has_vitals() {
        let vitals = Vitals::of_this_thread();
        let first = vitals.readings();
        let second = vitals.readings();
        assert!(second.waited >= first.waited);
        assert_eq!(second.slept.as_millis(), first.slept.as_millis());
        assert!(cpus().is_some_and(|cpus| cpus > 0.0));
    }
}
