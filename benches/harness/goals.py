"""What must be reached, and whether it was in this run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .cells import curve_label
from .table import COLUMNS, Part, Row, shown_value

Rows = dict[str, Row]
# Too little is as wrong as too much.
_EITHER_WAY = ("p95_off", "p99_off", "drift_ppm")


@dataclass(frozen=True)
class Goal:
    """One figure of Serin's against a bound: a number, or one that comes from the peers of the same run."""

    cell: str
    row: str
    figure: str
    says: str
    bound: Callable[[Rows], float | None]
    # Mostly less is better.
    more: bool = False


@dataclass(frozen=True)
class Judged:
    """A goal with what came of it. `holds` is None where either side is missing."""

    goal: Goal
    value: float | None
    bound: float | None
    holds: bool | None


def judge(parts: list[Part]) -> list[Judged]:
    """Every goal whose cell was measured."""
    cells = {part.cell.name: {row.label: row for row in part.rows} for part in parts}
    judged = []
    for goal in GOALS:
        rows = cells.get(goal.cell)
        if rows is None:
            continue
        value = rows[goal.row].median(goal.figure) if goal.row in rows else None
        if value is not None and goal.figure in _EITHER_WAY:
            value = abs(value)
        bound = goal.bound(rows)
        holds = None
        if value is not None and bound is not None:
            holds = value >= bound if goal.more else value <= bound
        judged.append(Judged(goal, value, bound, holds))
    return judged


def lines(judged: list[Judged]) -> list[list[str]]:
    """The table of the goals: cell, figure, what must be, what is, and whether that holds."""
    grid = [["cell", "Serin's", "must reach", "the bound here", "measured", "holds"]]
    for one in judged:
        goal = one.goal
        values = ("–" if v is None else shown_value(goal.figure, v) for v in (one.bound, one.value))
        answer = {True: "yes", False: "NO", None: "not measured"}[one.holds]
        grid.append([goal.cell, f"{goal.row}: {COLUMNS[goal.figure][0]}", goal.says, *values, answer])
    return grid


def _fixed(value: float) -> Callable[[Rows], float | None]:
    return lambda _rows: value


def _best(figure: str, times: float, *labels: str) -> Callable[[Rows], float | None]:
    """`times` the best of the peers named, or of all rows that aren't Serin's."""

    def bound(rows: Rows) -> float | None:
        chosen = [row for row in rows.values() if not row.label.startswith(("serin", "floor"))]
        if labels:
            chosen = [row for row in chosen if row.label.startswith(labels)]
        found = [value for row in chosen if (value := row.median(figure)) is not None]
        return times * min(found) if found else None

    return bound


def _paced_best(label: str, times: float) -> Callable[[Rows], float | None]:
    def bound(rows: Rows) -> float | None:
        value = rows[label].median("cpu_us") if label in rows else None
        return None if value is None else times * value

    return bound


def _paced(cell: str) -> list[Goal]:
    return [
        Goal(cell, "serin", "p50_us", "≤ 40 µs", _fixed(40)),
        Goal(cell, "serin", "p99_us", "≤ 250 µs", _fixed(250)),
        Goal(cell, "serin", "p50_us", "≤ 1/10 of the best peer", _best("p50_us", 0.1)),
    ]


GOALS = [
    *_paced("pace-1k"),
    *_paced("pace-10k"),
    Goal("pace-10k", "serin", "cpu_us", "≤ 30 µs", _fixed(30)),
    Goal("pace-10k", curve_label("1ms"), "cpu_us", "≤ 1.0 × wrk2", _best("cpu_us", 1.0, "wrk2")),
    *(
        goal
        for cell in ("full-32", "full-128")
        for goal in (
            Goal(cell, "serin", "cpu_us", "≤ 1.25 × wrk", _best("cpu_us", 1.25, "wrk")),
            Goal(cell, "serin", "cpu_us", "< oha", _best("cpu_us", 1.0, "oha")),
        )
    ),
    *(
        Goal("most", f"serin, 1,000 targets, quantum {quantum}", "of_wrk", "≥ 60 % of wrk", _fixed(0.6), True)
        for quantum in ("250us", "1ms")
    ),
    # Like with like: oha and cloudprober pace by the millisecond, so Serin's quantum is one too; and both at full speed.
    Goal("fresh", "serin, closed loop", "cpu_us", "≤ 0.8 × oha", _best("cpu_us", 0.8, "oha, closed")),
    Goal("fresh", "serin, quantum 1ms", "cpu_us", "≤ 0.8 × oha", _paced_best("oha", 0.8)),
    Goal("fresh", "serin, quantum 1ms", "cpu_us", "≤ 0.65 × cloudprober", _best("cpu_us", 0.65, "cloudprober")),
    Goal("fresh", "serin, quantum 1ms", "cpu_us", "≤ 0.25 × blackbox_exporter", _best("cpu_us", 0.25, "blackbox")),
    Goal("tls", "serin, full, closed loop", "cpu_us", "≤ 1.5 × the handshake", _best("cpu_us", 1.5, "bare")),
    Goal("stall", "serin", "p95_off", "within 1 %", _fixed(0.01)),
    Goal("stall", "serin", "p99_off", "within 1 %", _fixed(0.01)),
    Goal("thousand", "serin", "rss_mb", "≤ 25 MB", _fixed(25)),
    Goal("thousand", "serin", "cpu_us", "≤ 50 µs", _fixed(50)),
    Goal("thousand", "serin", "p50_us", "≤ 100 µs", _fixed(100)),
    Goal("drift", "serin", "missed", "≤ 0.01 %", _fixed(0.0001)),
    Goal("drift", "serin", "drift_ppm", "none: ≤ 0.1 ppm", _fixed(0.1)),
    Goal("starved", "serin", "false_bad", "0", _fixed(0)),
    Goal("starved", "serin", "untold", "0", _fixed(0)),
    Goal("starved", "serin", "bad_after_s", "≤ 5 s", _fixed(5)),
    Goal("starved", "serin", "late_void", "≥ 99 %", _fixed(0.99), True),
    Goal("starved", "serin", "timely_void", "≤ 1 %", _fixed(0.01)),
]


def beaten(parts: list[Part]) -> list[str]:
    """For each peer of the curve: a quantum at which Serin is both more exact and cheaper, or that there is none."""
    rows = next((part.rows for part in parts if part.cell.name == "pace-10k"), [])
    points = [row for row in rows if row.label.startswith("serin") and row.rounds]
    said = []
    for peer in rows:
        late, cpu = peer.median("p50_us"), peer.median("cpu_us")
        if not points or peer in points or peer.label.startswith("floor") or late is None or cpu is None:
            continue
        better = [
            row.label
            for row in points
            if (row.median("p50_us") or late) < late and (row.median("cpu_us") or cpu) < cpu
        ]
        said.append(f"more exact and cheaper than {peer.label}: {'; '.join(better) or 'NO setting'}")
    return said
