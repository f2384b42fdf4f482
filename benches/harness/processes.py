"""Processes that are pinned to a core, die with the benchmark, and tell what they cost."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_CPUCLOCK_SCHED = 2
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Cost:
    """What a process took."""

    cpu_s: float
    # The most that it held, in MiB.
    rss_mb: float
    code: int


class Process:
    """One program on one core, its output in files of `folder`."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        core: int,
        folder: Path,
        env: Mapping[str, str] | None = None,
        enter: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.out, self.err = folder / f"{name}.out", folder / f"{name}.err"
        self._cost: Cost | None = None

        def before_exec() -> None:
            # However the benchmark ends, SIGKILL included, what it started ends too.
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            os.sched_setaffinity(0, {core})
            if enter is not None:
                enter()

        with self.out.open("wb") as out, self.err.open("wb") as err:
            self._child = subprocess.Popen(
                [str(part) for part in argv],
                cwd=folder,
                env=None if env is None else {**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                preexec_fn=before_exec,
            )
        self.pid = self._child.pid

    def running(self) -> bool:
        return self._cost is None and os.waitid(
            os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT
        ) is None

    def wait(self, within_s: float) -> Cost:
        """Waits for its end; past `within_s` it is killed and the code is that of SIGKILL."""
        if self._cost is not None:
            return self._cost
        deadline = time.monotonic() + within_s
        pause = 0.005
        while True:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(pause)
            pause = min(0.1, pause * 2)
        code = os.waitstatus_to_exitcode(status)
        # Popen must not wait for it again: the number may be another's by then.
        self._child.returncode = code
        self._cost = Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, code)
        return self._cost

    def stop(self, within_s: float = 10.0) -> Cost:
        """SIGTERM, then its end."""
        if self._cost is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
        return self.wait(within_s)

    def cpu_s(self) -> float:
        """What all its threads have run so far, those that ended included; in seconds, exact to nanoseconds."""
        # clock_getcpuclockid(3), which Python lacks: the clock of another process is made from its number.
        return time.clock_gettime((~self.pid << 3) | _CPUCLOCK_SCHED)

    def memory(self) -> dict[str, float]:
        """The most that it has held in memory so far, and what it holds now, in MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        held = dict(line.split(":", 1) for line in status)
        return {
            "rss_mb": int(held["VmHWM"].split()[0]) / 1024,
            "rss_now_mb": int(held["VmRSS"].split()[0]) / 1024,
        }

    def complaint(self) -> str:
        """The end of what it wrote to standard error, or else to standard output."""
        for path in (self.err, self.out):
            lines = path.read_text(errors="replace").strip().splitlines()
            if lines:
                return lines[-1][:200]
        return "it said nothing"
