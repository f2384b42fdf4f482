"""How exact a pace was, from the server's stamps alone. Pure: no clock, no file, no process.

One fit for every tool. A *stream* is what has a grid of its own: a path, a connection, or all arrivals together. Its
n-th arrival should come at `phase + n x period`:

* n counts arrivals; where arrivals are lost the count jumps, see `numbered`;
* the phase is a low quantile of `arrival - n x period`, so a lag that never changes costs nothing, while jitter,
  coalescing and drift do;
* what remains above the phase is the lateness.
"""

from __future__ import annotations

import bisect
import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PHASE_QUANTILE = 0.005
# The floors before and after a gap are compared over so long a time: a tool that catches up within it lost nothing.
_FLOOR_NS = 250_000_000
_FLOOR_ARRIVALS_MIN = 20
_DRIFT_BLOCKS = 24


@dataclass(frozen=True)
class Pace:
    """Microseconds, unless the name says otherwise."""

    arrivals: int
    p50: float
    p99: float
    worst: float
    rate_hz: float
    drift_ppm: float
    lost: int
    expected: int

    @property
    def missed(self) -> float:
        """The share of the grid's slots without an arrival."""
        return max(0.0, 1 - self.arrivals / self.expected) if self.expected else 0.0

    @property
    def count_error(self) -> int:
        """Arrivals more (or fewer, negative) than the grid has slots in the same time."""
        return self.arrivals - self.expected


def pace(streams: Iterable[Sequence[int]], period_ns: float) -> Pace:
    """The pace of streams that share a period; each is sorted instants in nanoseconds."""
    late: list[float] = []
    drifts: list[tuple[int, float]] = []
    arrivals = lost = expected = 0
    begin, end = None, None
    for stream in streams:
        if len(stream) < 3:
            continue
        residuals, gone = numbered(stream, period_ns)
        phase = quantile(sorted(residuals), PHASE_QUANTILE)
        late.extend(max(0.0, residual - phase) for residual in residuals)
        drifts.append((len(stream), drift(stream, residuals)))
        arrivals += len(stream)
        lost += gone
        expected += round((stream[-1] - stream[0]) / period_ns) + 1
        begin = stream[0] if begin is None else min(begin, stream[0])
        end = stream[-1] if end is None else max(end, stream[-1])
    if begin is None or end is None or not late:
        raise ValueError("too few arrivals for a pace")
    late.sort()
    return Pace(
        arrivals=arrivals,
        p50=quantile(late, 0.5) / 1e3,
        p99=quantile(late, 0.99) / 1e3,
        worst=late[-1] / 1e3,
        rate_hz=(arrivals - 1) / (end - begin) * 1e9,
        drift_ppm=sum(n * ppm for n, ppm in drifts) / arrivals,
        lost=lost,
        expected=expected,
    )


def numbered(stream: Sequence[int], period_ns: float) -> tuple[list[float], int]:
    """The residuals `arrival - n x period`, and how many arrivals were lost.

    A late arrival and a lost one both leave a gap. They differ in what follows: a late tool comes back to its grid, a
    lost slot never does. So at each gap the floor of the residuals before is compared with the floor after, and their
    medians too: what both have risen by, in periods, was lost. (Floors alone are noisy under jitter of many periods.)
    """
    first = stream[0]
    raw = [at - first - n * period_ns for n, at in enumerate(stream)]
    width = max(_FLOOR_ARRIVALS_MIN, int(_FLOOR_NS / period_ns))
    after = _floor_ahead(raw, width)
    before: deque[tuple[int, float]] = deque()
    lost = 0
    residuals: list[float] = []
    for n, value in enumerate(raw):
        # Too few that follow show no floor: the last instants of a run are taken as they are.
        judged = before and len(raw) - n >= max(_FLOOR_ARRIVALS_MIN, width // 10)
        if judged and stream[n] - stream[n - 1] >= 1.5 * period_ns:
            risen = after[n] - lost * period_ns - before[0][1]
            if risen >= 0.75 * period_ns:
                now = statistics.median_low(raw[n : n + width]) - lost * period_ns
                risen = min(risen, now - statistics.median_low(residuals[-width:]))
            if risen >= 0.75 * period_ns:
                lost += round(risen / period_ns)
        residual = value - lost * period_ns
        residuals.append(residual)
        while before and before[-1][1] >= residual:
            before.pop()
        before.append((n, residual))
        if before[0][0] <= n - width:
            before.popleft()
    return residuals, lost


def _floor_ahead(values: Sequence[float], width: int) -> list[float]:
    """For each place the least value among it and the `width - 1` that follow."""
    floors = [0.0] * len(values)
    ahead: deque[int] = deque()
    for n in range(len(values) - 1, -1, -1):
        while ahead and values[ahead[-1]] >= values[n]:
            ahead.pop()
        ahead.append(n)
        if ahead[0] >= n + width:
            ahead.popleft()
        floors[n] = values[ahead[0]]
    return floors


def drift(stream: Sequence[int], residuals: Sequence[float]) -> float:
    """How fast the floor of the residuals moves, in parts per million: Theil and Sen's slope over blocks."""
    size = len(stream) // _DRIFT_BLOCKS
    if size < 2:
        size = max(1, len(stream) // 3)
    points = []
    for begin in range(0, len(stream) - size + 1, size):
        block = sorted(residuals[begin : begin + size])
        points.append((stream[begin + size // 2], quantile(block, 0.1)))
    slopes = [
        (high[1] - low[1]) / (high[0] - low[0])
        for n, low in enumerate(points)
        for high in points[n + 1 :]
        if high[0] > low[0]
    ]
    return statistics.median(slopes) * 1e6 if slopes else 0.0


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of sorted values: the least that `share` of them don't exceed."""
    if not ordered:
        raise ValueError("no values")
    rank = -(-len(ordered) * share // 1)
    return ordered[min(len(ordered) - 1, max(0, int(rank) - 1))]


def by_key(arrivals: Sequence[int], keys: Sequence[int]) -> list[list[int]]:
    """The arrivals of each key, each sorted."""
    streams: dict[int, list[int]] = {}
    for at, key in zip(arrivals, keys, strict=True):
        streams.setdefault(key, []).append(at)
    return [sorted(stream) for stream in streams.values()]


def best_pace(
    arrivals: Sequence[int], paths: Sequence[int], connections: Sequence[int], rate_hz: float
) -> Pace:
    """By path if there are many; else all together or by connection, whichever flatters the tool more.

    wrk2 paces each connection on a grid of its own, the others all of them on one.
    """
    streams = by_key(arrivals, paths)
    if len(streams) > 1:
        return pace(streams, len(streams) / rate_hz * 1e9)
    found = [pace(streams, 1e9 / rate_hz)]
    streams = by_key(arrivals, connections)
    mean = len(arrivals) / len(streams)
    if 1 < len(streams) and mean >= 20 and all(0.9 < len(s) / mean < 1.1 for s in streams):
        found.append(pace(streams, len(streams) / rate_hz * 1e9))
    return min(found, key=lambda one: one.p50)


def waits_on_grid(
    stalls: Sequence[tuple[int, int]], begin: int, end: int, period_ns: float, base_ns: float = 0.0
) -> list[float]:
    """What an arrival in each slot of the grid would have waited, sorted, in nanoseconds: the truth under stalls."""
    starts = [stall[0] for stall in stalls]
    waits = []
    for n in range(int((end - begin) / period_ns)):
        at = begin + n * period_ns
        place = bisect.bisect_right(starts, at) - 1
        stalled = place >= 0 and at < stalls[place][1]
        waits.append(stalls[place][1] - at + base_ns if stalled else base_ns)
    return sorted(waits)


def paired(
    dues: Sequence[int], arrivals: Sequence[int], within_ns: int = 1_000_000_000
) -> list[tuple[int, int | None]]:
    """Each due instant with its arrival, both sorted; None where no arrival came within `within_ns`."""
    pairs: list[tuple[int, int | None]] = []
    place = 0
    for due in dues:
        while place < len(arrivals) and arrivals[place] < due:
            place += 1
        if place < len(arrivals) and arrivals[place] - due <= within_ns:
            pairs.append((due, arrivals[place]))
            place += 1
        else:
            pairs.append((due, None))
    return pairs
