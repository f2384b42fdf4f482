"""A cgroup with a CPU quota, version 1 or 2, whichever the machine has. Needs root."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PERIOD_US = 100_000


class NoCgroup(Exception):
    """None can be made here, and why."""


class Quota:
    """A group of processes that gets `share` of one core, in periods of 100 ms as ECS sets them."""

    def __init__(self, share: float) -> None:
        if os.geteuid() != 0:
            raise NoCgroup("not here: only root may make a cgroup")
        name = f"serin-bench-{os.getpid()}"
        quota_us = round(share * _PERIOD_US)
        try:
            if (_ROOT / "cgroup.controllers").exists():
                self.version, self._path = 2, _ROOT / name
                with contextlib.suppress(OSError):
                    (_ROOT / "cgroup.subtree_control").write_text("+cpu")
                self._path.mkdir()
                (self._path / "cpu.max").write_text(f"{quota_us} {_PERIOD_US}")
            else:
                self.version, self._path = 1, _ROOT / "cpu" / name
                self._path.mkdir()
                (self._path / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
                (self._path / "cpu.cfs_quota_us").write_text(str(quota_us))
        except OSError as error:
            self.remove()
            raise NoCgroup(f"not here: {error}") from error

    def enter(self) -> None:
        """Puts the calling process into the group."""
        (self._path / "cgroup.procs").write_text(str(os.getpid()))

    def throttled(self) -> int:
        """In how many periods the group was made to wait so far."""
        for line in (self._path / "cpu.stat").read_text().splitlines():
            if line.startswith("nr_throttled "):
                return int(line.split()[1])
        return 0

    def remove(self) -> None:
        """Removes the group once its processes have ended."""
        for _ in range(50):
            try:
                self._path.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.1)
            else:
                return
