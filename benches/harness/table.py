"""The table, as text, as Markdown and as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from .cells import Cell
from .stand import Figures

# More than this of a core used by others while something is measured is said beside it.
FOREIGN_MAX = 0.1


@dataclass
class Row:
    """What one entry of a cell gave, round by round."""

    label: str
    tool: str
    rounds: list[Figures] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def median(self, name: str) -> float | None:
        values = [figures[name] for figures in self.rounds if name in figures]
        return statistics.median(values) if values else None

    def spread(self, name: str) -> tuple[float, float, float] | None:
        """Median, least and greatest."""
        values = [figures[name] for figures in self.rounds if name in figures]
        return (statistics.median(values), min(values), max(values)) if values else None


@dataclass
class Part:
    """A cell with its rows."""

    cell: Cell
    rows: list[Row]


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _micro(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"


def _share(value: float) -> str:
    return f"{value:.3%}" if value < 0.01 else f"{value:.1%}"


def _signed(value: float) -> str:
    return f"{value:+.1%}"


COLUMNS: dict[str, tuple[str, Callable[[float], str]]] = {
    "rate_hz": ("attained /s", _count),
    "p50_us": ("late p50 µs", _micro),
    "p99_us": ("late p99 µs", _micro),
    "worst_us": ("late max µs", _micro),
    "cpu_us": ("CPU µs a probe", _micro),
    "rss_mb": ("peak RSS MB", _micro),
    "rss_now_mb": ("RSS MB", _micro),
    "missed": ("missed", _share),
    "void": ("void by itself", _share),
    "drift_ppm": ("drift ppm", lambda value: f"{value:+.2f}"),
    "count_error": ("count off by", lambda value: f"{value:+.0f}"),
    "server_core": ("server's core", lambda value: f"{value:.0%}"),
    "of_wrk": ("of wrk's rate", lambda value: f"{value:.0%}"),
    "resumed": ("resumed", lambda value: f"{value:.0%}"),
    "asked": ("asked in stalls", lambda value: f"{min(value, 9.99):.0%}"),
    "p95_ms": ("says P95 ms", _micro),
    "true_p95_ms": ("true P95 ms", _micro),
    "p95_off": ("P95 off by", _signed),
    "p99_ms": ("says P99 ms", _micro),
    "true_p99_ms": ("true P99 ms", _micro),
    "p99_off": ("P99 off by", _signed),
    "throttled": ("periods throttled", lambda value: f"{value:.0%}"),
    "late": ("late by our fault", _share),
    "late_void": ("late and void", _share),
    "timely_void": ("timely but void", _share),
    "matched": ("samples compared", _count),
    "false_bad": ("false breaches", _count),
    "untold": ("outages untold", _count),
    "bad_after_s": ("outage told after s", lambda value: f"{value:.2f}"),
}


@dataclass(frozen=True)
class Run:
    """All that was measured, on what, with what, and what that says of the goals."""

    parts: list[Part]
    facts: dict[str, str]
    versions: dict[str, str]
    goals: list[list[str]]
    beaten: list[str]


def text(run: Run) -> str:
    """For a terminal."""
    lines = [f"{name:10} {value}" for name, value in run.facts.items()]
    lines += ["", *(f"{name:18} {value}" for name, value in run.versions.items())]
    for part in run.parts:
        lines += ["", f"{part.cell.name}: {part.cell.title}", *_aligned(_grid(part), right=True)]
        lines += [f"  {remark}" for remark in _remarks(part)]
    lines += ["", "what must be reached", *_aligned(run.goals, right=False)]
    return "\n".join([*lines, *(f"  {one}" for one in run.beaten)]) + "\n"


def markdown(run: Run) -> str:
    """For the docs."""
    lines = [" · ".join(f"{name} {value}" for name, value in run.facts.items()), ""]
    lines += [" · ".join(f"{name} {value}" for name, value in run.versions.items())]
    for part in run.parts:
        lines += ["", f"**{part.cell.title}**", "", *_ruled(_grid(part), "---:|")]
        remarks = _remarks(part)
        lines += ["", *(f"- {remark}" for remark in remarks)] if remarks else []
    lines += ["", "**What must be reached**", "", *_ruled(run.goals, "---|"), ""]
    return "\n".join([*lines, *(f"- {one}" for one in run.beaten)]) + "\n"


def as_json(run: Run) -> str:
    """Everything, each round for itself."""
    cells = {}
    for part in run.parts:
        cells[part.cell.name] = {
            "title": part.cell.title,
            "rows": [
                {
                    "label": row.label,
                    "tool": row.tool,
                    "median": {name: row.median(name) for figures in row.rounds for name in figures},
                    "rounds": row.rounds,
                    "faults": row.faults,
                }
                for row in part.rows
            ],
        }
    head, *goals = run.goals
    told = {
        "machine": run.facts,
        "versions": run.versions,
        "cells": cells,
        "goals": [dict(zip(head, goal, strict=True)) for goal in goals],
        "beaten": run.beaten,
    }
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n"


def shown_value(figure: str, value: float) -> str:
    """A figure as its column shows it."""
    return COLUMNS[figure][1](value)


def _remarks(part: Part) -> list[str]:
    """What a reader of a cell has to know besides."""
    said = [f"{row.label}: {fault}" for row in part.rows for fault in _faults(row)]
    for row in part.rows:
        found = row.spread("foreign_core")
        if found and found[2] > FOREIGN_MAX:
            said.append(f"{row.label}: other programs used up to {found[2]:.0%} of a core meanwhile")
    return said


def _grid(part: Part) -> list[list[str]]:
    grid = [["", *(COLUMNS[name][0] for name in part.cell.columns)]]
    for row in part.rows:
        grid.append([row.label, *(_shown(row, name) for name in part.cell.columns)])
    return grid


def _shown(row: Row, name: str) -> str:
    found = row.spread(name)
    if found is None:
        return "–"
    show = COLUMNS[name][1]
    median, least, greatest = (show(value) for value in found)
    return median if least == greatest else f"{median} ({least}..{greatest})"


def _faults(row: Row) -> list[str]:
    return [
        fault if (times := row.faults.count(fault)) == 1 else f"{fault} ({times} times)"
        for fault in dict.fromkeys(row.faults)
    ]


def _aligned(grid: list[list[str]], right: bool) -> list[str]:
    widths = [max(len(line[n]) for line in grid) for n in range(len(grid[0]))]
    lines = []
    for first, *rest in grid:
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width in zip(rest, widths[1:], strict=True)
        ]
        lines.append(("  " + "  ".join([first.ljust(widths[0]), *cells])).rstrip())
    return lines


def _ruled(grid: list[list[str]], column: str) -> list[str]:
    head, *rows = grid
    lines = ["| " + " | ".join(head) + " |", "|---|" + column * (len(head) - 1)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]
