"""One measurement: a ruler on one core, a generator on the other."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import analysis, machine
from .daemons import DAEMONS, Daemon, blackbox_argv, free_port
from .load import Load, Reported
from .peers import Peer
from .processes import Process
from .ruler import Ruler, Stamps
from .shots import SHOTS

Figures = dict[str, float]


class Failed(Exception):
    """A tool that couldn't do what it was asked; its own words."""


@dataclass
class Stand:
    """Where measurements are made."""

    stamper: Path
    peers: dict[str, Peer]
    server_core: int = 0
    generator_core: int = 1
    spin: bool = False
    say: Callable[[str], None] = field(default=lambda _text: None)

    def peer(self, tool: str) -> Peer:
        """By the name of its program: `oha --latency-correction` is oha."""
        return self.peers[tool.split(" ", maxsplit=1)[0]]

    def program(self, tool: str) -> Path:
        if tool == "floor":
            return self.stamper
        peer = self.peer(tool)
        if peer.program is None:
            raise Failed(peer.why_not)
        return peer.program

    def ruler(self, folder: Path, capacity: int, options: Sequence[str] = (), name: str = "stamper") -> Ruler:
        spin = ["--spin"] if self.spin else []
        room = ["--capacity", str(capacity)]
        return Ruler(self.stamper, self.server_core, folder, name, [*options, *spin, *room])

    def shot(
        self, tool: str, load: Load, options: Sequence[str] = (), paths: int = 1
    ) -> tuple[Figures, Stamps, Reported]:
        """Runs a generator once against a ruler of its own. `load.urls` is filled in here."""
        with Folder() as folder:
            program = self.program(tool)
            room = 1_000 if load.rate_hz is None else int(load.rate_hz * load.seconds * 1.5) + 10_000
            ruler = self.ruler(folder, room, options)
            try:
                load = replace(load, urls=ruler.urls(paths), ca=ruler.ca if ruler.secure else None)
                argv = SHOTS[tool].argv(program, load, folder)
                begun, busy, served = time.monotonic(), machine.busy_s(), ruler.process.cpu_s()
                generator = Process("generator", argv, self.generator_core, folder)
                cost = generator.wait(load.seconds + 60)
                served = ruler.process.cpu_s() - served
                foreign = machine.busy_s() - busy - served - cost.cpu_s
                lasted = time.monotonic() - begun
            finally:
                stamps, _ = ruler.stop()
            if cost.code not in SHOTS[tool].codes:
                raise Failed(f"ended with {cost.code}: {generator.complaint()}")
            if stamps.total == 0:
                raise Failed(f"sent nothing: {generator.complaint()}")
            try:
                reported = SHOTS[tool].read(program, generator.out.read_text(), folder)
            except (ValueError, LookupError) as error:
                raise Failed(f"its report can't be read: {error!r}") from error
        figures = {
            "cpu_us": cost.cpu_s / stamps.total * 1e6,
            "rss_mb": cost.rss_mb,
            "server_core": served / lasted,
            "foreign_core": max(0.0, foreign / lasted),
        }
        if reported.void is not None and reported.attempts:
            figures["void"] = reported.void / reported.attempts
        return {**figures, **_shape(stamps, load)}, stamps, reported

    def daemon(
        self, tool: str, load: Load, options: Sequence[str] = (), paths: int = 1, secure_paths: int = 0
    ) -> tuple[Figures, Stamps]:
        """Runs a prober, measured only once it is settled. `secure_paths` more targets are behind TLS, four a host."""
        with Folder() as folder:
            program = self.program(tool)
            daemon = DAEMONS[tool]
            room = int((load.rate_hz or 0) * (load.seconds + 60)) + 10_000
            rulers = [self.ruler(folder, room, options)]
            try:
                urls = rulers[0].urls(paths)
                ca = rulers[0].ca if rulers[0].secure else None
                if secure_paths:
                    hosts = max(1, secure_paths // 4)
                    behind = ["--tls", "resumed", "--hosts", str(hosts)]
                    rulers.append(self.ruler(folder, room, behind, "secure"))
                    urls += rulers[1].urls(secure_paths, hosts)
                    ca = rulers[1].ca
                load = replace(load, urls=urls, ca=ca)
                argv = daemon.argv(program, load, folder)
                served = sum(ruler.process.cpu_s() for ruler in rulers)
                begin, end, cpu_s, busy_s, memory = self._watch(argv, daemon, load, folder)
                served = sum(ruler.process.cpu_s() for ruler in rulers) - served
            finally:
                seen = [ruler.stop()[0] for ruler in rulers]
        stamps = [one.between(begin, end) for one in seen]
        count = sum(one.total - one.told["overflow"] for one in stamps)
        if count == 0:
            raise Failed("no probe arrived")
        streams = [stream for one in stamps for stream in analysis.by_key(one.arrived, one.paths)]
        # What the rulers used while it settled is taken for theirs too: too little, never too much, is foreign.
        foreign = max(0.0, (busy_s - cpu_s - served) / load.seconds)
        figures = {"cpu_us": cpu_s / count * 1e6, "foreign_core": foreign, **memory}
        pace = analysis.pace(streams, len(urls) / (load.rate_hz or 1.0) * 1e9)
        return {**figures, **_told(pace, count, (end - begin) / 1e9, load)}, stamps[0]

    def _watch(
        self, argv: list[str], daemon: Daemon, load: Load, folder: Path
    ) -> tuple[int, int, float, float, Figures]:
        prober = Process("prober", argv, self.generator_core, folder)
        try:
            time.sleep(daemon.settled_s(load))
            _alive(prober)
            begin, before, busy_s = time.monotonic_ns(), prober.cpu_s(), machine.busy_s()
            time.sleep(load.seconds)
            _alive(prober)
            end, after, busy_s = time.monotonic_ns(), prober.cpu_s(), machine.busy_s() - busy_s
            return begin, end, after - before, busy_s, prober.memory()
        finally:
            prober.stop()

    def blackbox(self, load: Load, options: Sequence[str] = ()) -> tuple[Figures, Stamps]:
        """blackbox_exporter probes when asked: vegeta asks it, from the server's core."""
        with Folder() as folder:
            program, asker = self.program("blackbox_exporter"), self.program("vegeta")
            ruler = self.ruler(folder, int((load.rate_hz or 0) * (load.seconds + 20)) + 10_000, options)
            port = free_port()
            try:
                load = replace(load, urls=ruler.urls(), ca=ruler.ca if ruler.secure else None)
                argv = blackbox_argv(program, load, folder, port)
                exporter = Process("prober", argv, self.generator_core, folder)
                try:
                    time.sleep(1.0)
                    _alive(exporter)
                    asked = f"http://127.0.0.1:{port}/probe?module=bench&target={load.urls[0]}"
                    ask = replace(load, urls=[asked], seconds=load.seconds + 2, fresh=False, ca=None)
                    argv = SHOTS["vegeta"].argv(asker, ask, folder)
                    asking = Process("asker", argv, self.server_core, folder)
                    time.sleep(1.0)
                    begin, before = time.monotonic_ns(), exporter.cpu_s()
                    time.sleep(load.seconds)
                    end, after = time.monotonic_ns(), exporter.cpu_s()
                    memory = exporter.memory()
                    asking.wait(30)
                finally:
                    exporter.stop()
            finally:
                stamps = ruler.stop()[0].between(begin, end)
        count = len(stamps.arrived)
        if count == 0:
            raise Failed("no probe arrived")
        figures = {"cpu_us": (after - before) / count * 1e6, **memory}
        return {**figures, "rate_hz": count / (end - begin) * 1e9}, stamps


class Folder:
    """A temporary folder as a Path."""

    def __enter__(self) -> Path:
        self._path = Path(tempfile.mkdtemp(prefix="serin-bench-"))
        return self._path

    def __exit__(self, *_failed: object) -> None:
        shutil.rmtree(self._path, ignore_errors=True)


def _alive(process: Process) -> None:
    if not process.running():
        code = process.wait(1).code
        raise Failed(f"ended with {code}: {process.complaint()}")


def _shape(stamps: Stamps, load: Load) -> Figures:
    """The pace of a generator that ran once: without its first tenth, where connections are made."""
    if load.rate_hz is None:
        first, last = stamps.told["span"]
        return {"rate_hz": (stamps.total - 1) / (last - first) * 1e9}
    first, last = stamps.arrived[0], stamps.arrived[-1]
    begin = first + int(min(1.0, load.seconds / 10) * 1e9)
    # What a tool does after its time (answers that it still waits for) is no part of its pace.
    end = min(first + int(load.seconds * 1e9), last + 1)
    kept = stamps.between(begin, end)
    if len(kept.arrived) < 10:
        raise Failed(f"only {stamps.total} requests arrived")
    pace = analysis.best_pace(kept.arrived, kept.paths, kept.connections, load.rate_hz)
    return _told(pace, len(kept.arrived), (end - begin) / 1e9, load)


def _told(pace: analysis.Pace, count: int, seconds: float, load: Load) -> Figures:
    due = (load.rate_hz or 0.0) * seconds
    return {
        "rate_hz": count / seconds,
        "p50_us": pace.p50,
        "p99_us": pace.p99,
        "worst_us": pace.worst,
        "drift_ppm": pace.drift_ppm,
        # Of what was due in this time, edges included: never better than the grid says.
        "missed": max(pace.missed, 1 - count / due if due - count > len(load.urls) else 0.0),
        "count_error": pace.count_error,
    }
