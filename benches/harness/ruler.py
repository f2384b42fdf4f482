"""The server that stamps arrivals (`benches/stamper`), and what it saw."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .machine import ROOT
from .processes import Cost, Process


@dataclass
class Stamps:
    """Instants in nanoseconds of CLOCK_MONOTONIC, in the order of arrival."""

    arrived: array
    answered: array
    paths: array
    connections: array
    told: dict

    @property
    def total(self) -> int:
        """All arrivals, also those beyond the room for stamps."""
        return len(self.arrived) + self.told["overflow"]

    def between(self, begin: int, end: int) -> Stamps:
        """Those that arrived in [begin, end)."""
        kept = [n for n, at in enumerate(self.arrived) if begin <= at < end]
        columns = (self.arrived, self.answered, self.paths, self.connections)
        chosen = [array(column.typecode, (column[n] for n in kept)) for column in columns]
        return Stamps(*chosen, told=self.told)


def read(path: Path) -> Stamps:
    """A file of the stamper."""
    with path.open("rb") as file:
        told = json.loads(file.readline())
        columns = [array(kind) for kind in "QQII"]
        for column in columns:
            column.fromfile(file, told["count"])
            if sys.byteorder == "big":
                column.byteswap()
    return Stamps(*columns, told=told)


def build() -> Path:
    """The stamper, built as what is released is."""
    command = ["cargo", "build", "--release", "--bench", "stamper", "--message-format=json"]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found = None
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message["target"]["name"] == "stamper":
            found = message["executable"] or found
    if found is None:
        raise RuntimeError("cargo built no stamper")
    return Path(found)


class Ruler:
    """A running stamper; its own cost is kept, so that a reader sees whether it was the bottleneck."""

    def __init__(
        self, program: Path, core: int, folder: Path, name: str = "stamper", options: Sequence[str] = ()
    ) -> None:
        self._stamps = folder / f"{name}.stamps"
        self.ca = folder / f"{name}.pem"
        argv: list[str | Path] = [program, "serve", "--out", self._stamps, *options]
        self.secure = "--tls" in options
        if self.secure:
            argv += ["--ca-out", self.ca]
        self.process = Process(name, argv, core, folder)
        self.address = self._address()

    def urls(self, count: int = 1, hosts: int = 1) -> list[str]:
        """Numbered paths, so that each target has a stream of its own; in turn over the first `hosts` addresses."""
        scheme = "https" if self.secure else "http"
        port = self.address.rsplit(":", 1)[1]
        return [f"{scheme}://127.0.0.{1 + n % hosts}:{port}/{n}" for n in range(count)]

    def stop(self) -> tuple[Stamps, Cost]:
        """Ends it and reads what it saw."""
        cost = self.process.stop(60)
        if cost.code != 0:
            raise RuntimeError(f"the stamper ended with {cost.code}: {self.process.complaint()}")
        return read(self._stamps), cost

    def _address(self) -> str:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            said = self.process.out.read_text()
            if said.endswith("\n"):
                return said.strip()
            if not self.process.running():
                break
            time.sleep(0.01)
        self.process.stop()
        raise RuntimeError(f"the stamper didn't start: {self.process.complaint()}")
