"""The table, as text, as Markdown and as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from .cells import Cell
from .stand import Figures


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
    "rss_mb": ("RSS MB", _micro),
    "missed": ("missed", _share),
    "drift_ppm": ("drift ppm", lambda value: f"{value:+.2f}"),
    "count_error": ("count off by", lambda value: f"{value:+.0f}"),
    "server_core": ("server's core", lambda value: f"{value:.0%}"),
    "of_wrk": ("of wrk's rate", lambda value: f"{value:.0%}"),
    "resumed": ("resumed", lambda value: f"{value:.0%}"),
    "p95_ms": ("says P95 ms", _micro),
    "true_p95_ms": ("true P95 ms", _micro),
    "p95_off": ("P95 off by", _signed),
    "p99_ms": ("says P99 ms", _micro),
    "true_p99_ms": ("true P99 ms", _micro),
    "p99_off": ("P99 off by", _signed),
    "throttled": ("periods throttled", lambda value: f"{value:.0%}"),
    "late": ("arrived late", _share),
    "late_void": ("late and void", _share),
    "timely_void": ("timely but void", _share),
    "matched": ("samples compared", _count),
}


def text(parts: list[Part], facts: dict[str, str], versions: dict[str, str]) -> str:
    """For a terminal."""
    lines = [f"{name:10} {value}" for name, value in facts.items()]
    lines += ["", *(f"{name:18} {value}" for name, value in versions.items())]
    for part in parts:
        lines += ["", f"{part.cell.name}: {part.cell.title}"]
        grid = _grid(part)
        widths = [max(len(line[n]) for line in grid) for n in range(len(grid[0]))]
        lines += ["  " + _aligned(line, widths) for line in grid]
        lines += [f"  {row.label}: {fault}" for row in part.rows for fault in _faults(row)]
    return "\n".join(lines) + "\n"


def markdown(parts: list[Part], facts: dict[str, str], versions: dict[str, str]) -> str:
    """For the docs."""
    lines = [" · ".join(f"{name} {value}" for name, value in facts.items()), ""]
    lines += [" · ".join(f"{name} {value}" for name, value in versions.items())]
    for part in parts:
        head, *rows = _grid(part)
        lines += ["", f"**{part.cell.title}**", "", "| " + " | ".join(head) + " |"]
        lines += ["|---|" + "---:|" * (len(head) - 1)]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
        faults = [f"{row.label}: {fault}" for row in part.rows for fault in _faults(row)]
        lines += ["", *(f"- {fault}" for fault in faults)] if faults else []
    return "\n".join(lines) + "\n"


def as_json(parts: list[Part], facts: dict[str, str], versions: dict[str, str]) -> str:
    """Everything, each round for itself."""
    cells = {}
    for part in parts:
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
    return json.dumps({"machine": facts, "versions": versions, "cells": cells}, indent=1) + "\n"


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


def _aligned(line: list[str], widths: list[int]) -> str:
    first, *rest = line
    cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
    return "  ".join([first.ljust(widths[0]), *cells])
