"""The cells of the table: which tool under which load, and what is told of each."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from . import analysis, starved
from .load import Load, Reported
from .ruler import Stamps
from .stand import Failed, Figures, Stand

QUANTA = ("0s", "250us", "500us", "1ms", "1500us", "2ms")
# With 101 URLs a URL's interval at 10,000/s, 10.1 ms, is no multiple of any quantum: what rounding up to the quantum costs
# changes from probe to probe and is seen as the lateness that it is, and not taken for a constant lag.
CURVE_URLS = 101
# Of the slots of the grid, at most so many may stay empty for a rate to count as carried.
MISSED_MAX = 0.0001


@dataclass(frozen=True)
class Entry:
    """A row of a cell: one tool under one setting."""

    label: str
    tool: str
    run: Callable[[], Figures]


@dataclass(frozen=True)
class Cell:
    """A part of the table."""

    name: str
    title: str
    columns: tuple[str, ...]
    entries: list[Entry]
    # Long ones are run once, whatever the number of rounds.
    once: bool = False


@dataclass
class Plan:
    """How long and where."""

    stand: Stand
    seconds: float = 8.0
    quick: bool = False
    keep: Path | None = None

    def paced(self, **fields: object) -> Load:
        return replace(Load([], 1000.0, self.seconds, 20), **fields)


def cells(plan: Plan) -> list[Cell]:
    """All of them, in the order of the table."""
    return [
        _pace_1k(plan),
        _pace_10k(plan),
        *(_full(plan, connections) for connections in (32, 128)),
        _most(plan),
        _fresh(plan),
        _tls(plan),
        _stall(plan),
        _thousand(plan),
        _drift(plan),
        _starved(plan),
    ]


PACE = ("rate_hz", "p50_us", "p99_us", "cpu_us", "missed", "void", "drift_ppm", "rss_mb", "server_core")


def _pace_1k(plan: Plan) -> Cell:
    load = plan.paced()
    entries = [_shot(plan, "serin", load), *_paced_peers(plan, load), _cloudprober(plan, load, 10)]
    return Cell("pace-1k", "Lateness of arrivals at 1,000/s, 20 connections", PACE, entries)


def _pace_10k(plan: Plan) -> Cell:
    load = plan.paced(rate_hz=10_000.0, connections=128)
    curve = [
        _shot(plan, "serin", replace(load, quantum=quantum), curve_label(quantum), CURVE_URLS)
        for quantum in QUANTA
    ]
    floor = Entry("floor: a bare epoll client", "serin", lambda: plan.stand.shot("floor", load)[0])
    entries = [floor, _shot(plan, "serin", load), *curve, *_paced_peers(plan, load)]
    entries.append(_cloudprober(plan, load, 100))
    title = "Lateness of arrivals at 10,000/s, 128 connections, and what a coalescing quantum buys"
    return Cell("pace-10k", title, PACE, entries)


def curve_label(quantum: str) -> str:
    """The row of a point of the curve."""
    return f"serin, {CURVE_URLS} URLs, quantum {quantum}"


def _full(plan: Plan, connections: int) -> Cell:
    load = plan.paced(rate_hz=None, connections=connections)
    entries = [_shot(plan, tool, load) for tool in ("serin", "wrk", "oha", "hey")]
    title = f"As fast as one core can, keep-alive, {connections} connections"
    return Cell(f"full-{connections}", title, ("rate_hz", "cpu_us", "rss_mb", "server_core"), entries)


def _most(plan: Plan) -> Cell:
    """wrk's closed loop first; the search for Serin's rate goes by it, in the same round."""
    reached = {"wrk": 0.0}
    full = plan.paced(rate_hz=None, connections=128)

    def wrk() -> Figures:
        figures, _, _ = plan.stand.shot("wrk", full)
        reached["wrk"] = figures["rate_hz"]
        return figures | {"of_wrk": 1.0}

    def serin(quantum: str) -> Figures:
        if not reached["wrk"]:
            raise Failed("wrk's closed loop, the measure of this, isn't here")
        found = _search(plan, reached["wrk"], quantum)
        return found | {"of_wrk": found["rate_hz"] / reached["wrk"]}

    def paced(quantum: str) -> Entry:
        label = f"serin, 1,000 targets, quantum {quantum}"
        return Entry(label, "serin", lambda: serin(quantum))

    entries = [Entry("wrk, closed loop", "wrk", wrk), *(paced(quantum) for quantum in ("250us", "1ms"))]
    columns = ("rate_hz", "of_wrk", "missed", "cpu_us", "p50_us", "p99_us", "rss_mb")
    title = "The most probes a second of one core, paced over 1,000 targets, < 0.01 % missed"
    return Cell("most", title, columns, entries)


def _search(plan: Plan, wrk_hz: float, quantum: str) -> Figures:
    """The highest rate that is carried, to 5 % of wrk's."""
    carried: Figures | None = None
    low, high = 0, 20
    while low < high:
        step = (low + high + 1) // 2
        rate = round(wrk_hz * step / 20, -2)
        # So many that a millisecond in which the server does something else fills none of them up.
        load = plan.paced(rate_hz=rate, connections=600, quantum=quantum)
        figures, stamps, reported = plan.stand.shot("serin", load, paths=1000)
        own = (reported.missed or 0) / max(1, reported.attempts or 0)
        if max(figures["missed"], own) < MISSED_MAX and stamps.told["overflow"] == 0:
            carried, low = figures, step
        else:
            high = step - 1
        plan.stand.say(f"  {rate:,.0f}/s: {figures['missed']:.3%} missed")
    if carried is None:
        raise Failed("not even a twentieth of wrk's rate was carried")
    return carried


COST = ("rate_hz", "cpu_us", "p50_us", "p99_us", "rss_mb", "server_core")


def _fresh(plan: Plan) -> Cell:
    load = plan.paced(rate_hz=2_000.0, connections=64, fresh=True)
    coarse = _shot(plan, "serin", replace(load, quantum="1ms"), "serin, quantum 1ms", CURVE_URLS)
    full = replace(load, rate_hz=None, connections=32)
    entries = [
        *(_shot(plan, tool, full, f"{tool}, closed loop") for tool in ("serin", "oha", "hey")),
        coarse,
        *(_shot(plan, tool, load) for tool in ("serin", "oha", "vegeta", "hey")),
        _cloudprober(plan, load, 20),
        Entry("blackbox_exporter", "blackbox_exporter", lambda: plan.stand.blackbox(load)[0]),
    ]
    return Cell("fresh", "A fresh TCP connection for each probe, 2,000/s and as fast as one core can", COST, entries)


def _tls(plan: Plan) -> Cell:
    load = plan.paced(rate_hz=500.0, connections=32, fresh=True)
    full, resumed = ("--tls", "full"), ("--tls", "resumed")

    loop = replace(load, rate_hz=None, connections=8)

    def shot(tool: str, options: tuple[str, ...], label: str, load: Load = load) -> Entry:
        def run() -> Figures:
            figures, stamps, _ = plan.stand.shot(tool, load, options)
            shaken = stamps.told["full"] + stamps.told["resumed"]
            return figures | {"resumed": stamps.told["resumed"] / max(1, shaken)}

        return Entry(label, tool, run)

    entries = [
        Entry("bare rustls handshake, client's side", "serin", lambda: _handshake(plan.stand)),
        *(shot(tool, full, f"{tool}, full, closed loop", loop) for tool in ("serin", "oha")),
        *(shot(tool, full, f"{tool}, full") for tool in ("serin", "oha", "vegeta")),
        _cloudprober(plan, load, 5, full),
        Entry("blackbox_exporter", "blackbox_exporter", lambda: plan.stand.blackbox(load, full)[0]),
        shot("serin", resumed, "serin, resumed", replace(load, resume=True)),
        shot("vegeta", resumed, "vegeta, resumed", replace(load, resume=True)),
    ]
    columns = ("rate_hz", "cpu_us", "resumed", "p50_us", "p99_us", "rss_mb", "server_core")
    return Cell("tls", "A fresh TLS 1.3 connection for each probe (ECDSA P-256), 500/s and as fast as one core can", columns, entries)


def _handshake(stand: Stand) -> Figures:
    pin = ["taskset", "-c", str(stand.generator_core)]
    command = [*pin, str(stand.stamper), "handshake"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {"cpu_us": json.loads(done.stdout)["client_cpu_ns"]["mean"] / 1e3}


def _stall(plan: Plan) -> Cell:
    seconds = 6.0 if plan.quick else max(20.0, plan.seconds)
    load = plan.paced(connections=700, seconds=seconds, timeout_s=2.0)
    options = ("--stall", "500ms", "--every", "5s")

    def shot(tool: str, load: Load) -> Entry:
        return Entry(tool, tool, lambda: _truth(*plan.stand.shot(tool, load, options), load))

    open_loop = ("serin", "wrk2", "oha", "oha --latency-correction", "vegeta", "hey")
    entries = [shot(tool, load) for tool in open_loop]
    entries.append(shot("wrk", replace(load, rate_hz=None, connections=20)))
    columns = ("p95_ms", "true_p95_ms", "p95_off", "p99_ms", "true_p99_ms", "p99_off", "asked", "void")
    title = "Reported P95 and P99 at 1,000/s while the server stalls 500 ms every 5 s"
    return Cell("stall", title, columns, entries)


def _truth(figures: Figures, stamps: Stamps, reported: Reported, load: Load) -> Figures:
    """The report against the truth.

    A tool that kept asking while the server stalled has the truth in the server's stamps: answer less arrival. Of one that
    stopped asking, it is what users on the ideal grid would have waited, from the stalls as they really were.
    """
    begin, rate = stamps.arrived[0], load.rate_hz or 1000.0
    end = min(begin + int(load.seconds * 1e9), stamps.told["span"][1])
    # One that began after the tool had done is nobody's.
    stalls = [(low, min(high, end)) for low, high in stamps.told["stalls"] if low < end]
    pairs = [pair for pair in zip(stamps.arrived, stamps.answered, strict=True) if pair[1] and pair[0] < end]
    waits = sorted(answered - arrived for arrived, answered in pairs)
    asked = sum(any(low <= arrived < high for low, high in stalls) for arrived, _answered in pairs)
    due = sum(high - low for low, high in stalls) * rate / 1e9
    if stamps.told["overflow"] or asked < 0.95 * due:
        usual = analysis.quantile(waits, 0.5)
        waits = analysis.waits_on_grid(stamps.told["stalls"], begin, end, 1e9 / rate, usual)
    told = {name: figures[name] for name in ("rate_hz", "foreign_core", "void") if name in figures}
    told["asked"] = asked / due if due else 0.0
    for name, share, said in (("p95", 0.95, reported.p95_us), ("p99", 0.99, reported.p99_us)):
        true_ms = analysis.quantile(waits, share) / 1e6
        told[f"true_{name}_ms"] = true_ms
        if said is not None:
            told[f"{name}_ms"] = said / 1e3
            told[f"{name}_off"] = said / 1e3 / true_ms - 1
    return told


def _thousand(plan: Plan) -> Cell:
    # Once a second: so that each target's own grid can be seen.
    seconds = 4.0 if plan.quick else max(20.0, plan.seconds)
    load = plan.paced(connections=1000, quantum="250us", seconds=seconds)

    def daemon(tool: str) -> Entry:
        return Entry(tool, tool, lambda: plan.stand.daemon(tool, load, paths=900, secure_paths=100)[0])

    columns = ("rate_hz", "rss_mb", "rss_now_mb", "cpu_us", "p50_us", "p99_us", "missed")
    title = "1,000 URLs once a second, 100 of them on 25 hosts behind TLS, as daemons"
    return Cell("thousand", title, columns, [daemon("serin"), daemon("cloudprober")])


def _drift(plan: Plan) -> Cell:
    load = plan.paced(seconds=10.0 if plan.quick else 600.0)
    columns = ("rate_hz", "count_error", "missed", "drift_ppm", "p50_us", "p99_us", "worst_us")
    title = f"Drift in {load.seconds:g} s at 1,000/s, counted by the server"
    return Cell("drift", title, columns, [_shot(plan, "serin", load)], once=True)


def _starved(plan: Plan) -> Cell:
    seconds = 15.0 if plan.quick else 600.0
    load = plan.paced(seconds=seconds, quantum="250us")
    run = Entry("serin", "serin", lambda: starved.run(plan.stand, load, plan.keep))
    title = f"A quarter of a core, shared with a busy sibling, 1,000/s, {seconds:g} s"
    return Cell("starved", title, starved.COLUMNS, [run], once=True)


def _shot(plan: Plan, tool: str, load: Load, label: str | None = None, paths: int = 1) -> Entry:
    return Entry(label or tool, tool, lambda: plan.stand.shot(tool, load, paths=paths)[0])


def _paced_peers(plan: Plan, load: Load) -> list[Entry]:
    return [_shot(plan, tool, load) for tool in ("wrk2", "oha", "vegeta", "hey")]


def _cloudprober(plan: Plan, load: Load, paths: int, options: tuple[str, ...] = ()) -> Entry:
    """Its shortest interval is 1 ms, and it attains that badly: it gets targets of 100 a second each."""
    label = f"cloudprober, {paths} targets"
    return Entry(label, "cloudprober", lambda: plan.stand.daemon("cloudprober", load, options, paths)[0])
