"""Programs that a test starts: each is ended by its own pid, and dies with the test run."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def free_port() -> int:
    """A loopback port that nobody listens on now, and that no outgoing connection gets until somebody does."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(100):
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", random.SystemRandom().randrange(max(first - 16_000, 1024), first)))
            return sock.getsockname()[1]
    raise OSError(f"no port below {first} is free")


def wait_until(what: str, probe: Callable[[], T], within_s: float, every_s: float = 0.05) -> T:
    """The first true answer of `probe`; fails by naming `what` and the last answer or error."""
    deadline = time.monotonic() + within_s
    last: object = None
    while True:
        try:
            last = probe()
            if last:
                return last
        except (OSError, LookupError, ValueError) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what} (last: {last!r})")
        time.sleep(every_s)


def _die_with_parent() -> None:
    # However the test run ends, SIGKILL included, nothing that it started stays behind.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Process:
    """One program, its output in a file."""

    def __init__(
        self,
        args: Sequence[str | Path],
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = Path(args[0]).name
        self.log = log
        with log.open("ab") as out:
            self._child = subprocess.Popen(
                [str(arg) for arg in args],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                preexec_fn=_die_with_parent,
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    def alive(self) -> bool:
        """Whether it runs; a program that ended by itself fails the test with its last output."""
        code = self._child.poll()
        if code is not None:
            raise AssertionError(f"{self.name} ended with {code}:\n{self.tail()}")
        return True

    def tail(self, size: int = 4000) -> str:
        return self.log.read_text(errors="replace")[-size:]

    def signal(self, number: int) -> None:
        self._child.send_signal(number)

    def stop(self, within_s: float = 10.0) -> int:
        """End it as an orchestrator does: SIGTERM, a grace period, then SIGKILL. Its exit code."""
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(within_s)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        return self._child.returncode


def environment(**extra: str) -> dict[str, str]:
    """A small environment: what a program needs to run, and no account of the machine's owner."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return kept | extra
