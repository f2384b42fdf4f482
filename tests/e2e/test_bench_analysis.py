"""The benchmark's analysis on synthetic stamps: what was put in has to come out.

Standard library only: `benches/compare --self-test` runs it without pytest.
"""

from __future__ import annotations

import random
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches"))

from harness import analysis  # noqa: E402

MS = 1_000_000
START = 5_000_000_000_000


def grid(count: int, period_ns: float, lag=lambda _n: 0.0, skip=frozenset()) -> list[int]:
    """The arrivals of a grid: each late by `lag(n)`, without those of `skip`."""
    return sorted(START + round(n * period_ns + lag(n)) for n in range(count) if n not in skip)


class Lateness(unittest.TestCase):
    def test_an_exact_pace_is_never_late(self) -> None:
        pace = analysis.pace([grid(10_000, MS)], MS)
        self.assertEqual((pace.p50, pace.p99, pace.lost, pace.count_error), (0.0, 0.0, 0, 0))
        self.assertAlmostEqual(pace.rate_hz, 1000.0)

    def test_a_constant_lag_costs_nothing(self) -> None:
        pace = analysis.pace([grid(10_000, MS, lambda _n: 700_000.0)], MS)
        self.assertEqual(pace.p99, 0.0)

    def test_known_jitter_comes_out(self) -> None:
        for period in (MS, MS / 10):
            with self.subTest(period=period):
                chance = random.Random(1)
                late = [chance.uniform(0, 80_000) for _ in range(50_000)]
                pace = analysis.pace([grid(50_000, period, late.__getitem__)], period)
                self.assertAlmostEqual(pace.p50, 40, delta=1)
                self.assertAlmostEqual(pace.p99, 79, delta=1)
                self.assertEqual(pace.lost, 0)

    def test_jitter_of_many_periods_comes_out(self) -> None:
        # A millisecond at 10,000/s: arrivals overtake each other, and who counts them in order sees a part of it only.
        chance = random.Random(2)
        late = [chance.uniform(0, 1e6) for _ in range(50_000)]
        pace = analysis.pace([grid(50_000, MS / 10, late.__getitem__)], MS / 10)
        self.assertGreater(pace.p50, 250)
        self.assertLess(pace.p50, 500)
        self.assertEqual(pace.lost, 0)

    def test_coalescing_comes_out(self) -> None:
        # Ten due times in each millisecond, all sent at its end: late by 0 to 0.9 ms.
        at = lambda n: (-(-n // 10)) * 10 * (MS / 10) - n * (MS / 10)  # noqa: E731
        pace = analysis.pace([grid(50_000, MS / 10, at)], MS / 10)
        self.assertAlmostEqual(pace.p50, 450, delta=60)
        self.assertAlmostEqual(pace.p99, 900, delta=10)
        self.assertEqual(pace.lost, 0)

    def test_a_stall_that_is_caught_up_is_late_and_not_lost(self) -> None:
        # 50 ms at 2 s: what was due in it comes at its end.
        begin, end = 2_000, 2_050
        late = lambda n: (end - n) * MS if begin <= n < end else 0.0  # noqa: E731
        pace = analysis.pace([grid(10_000, MS, late)], MS)
        self.assertEqual((pace.lost, pace.p50), (0, 0.0))
        self.assertAlmostEqual(pace.worst, 50_000, delta=1)

    def test_each_path_has_a_phase_of_its_own(self) -> None:
        streams = [grid(1_000, 10 * MS, lambda _n, k=k: k * 137_000.0) for k in range(10)]
        pace = analysis.pace(streams, 10 * MS)
        self.assertEqual(pace.p99, 0.0)
        self.assertEqual(pace.arrivals, 10_000)

    def test_a_grid_for_each_connection_is_found(self) -> None:
        # As wrk2 does: four connections, each exact by itself, begun at odd times.
        arrivals, connections = [], []
        for connection in range(4):
            for at in grid(2_500, 4 * MS, lambda _n, k=connection: k * 123_457.0):
                arrivals.append(at)
                connections.append(connection)
        order = sorted(range(len(arrivals)), key=arrivals.__getitem__)
        pace = analysis.best_pace(
            [arrivals[n] for n in order], [0] * len(order), [connections[n] for n in order], 1000.0
        )
        self.assertEqual(pace.p99, 0.0)


class Loss(unittest.TestCase):
    def test_lost_slots_are_counted_and_make_nothing_late(self) -> None:
        gone = {500, 501, 502, 4_000, 7_777}
        pace = analysis.pace([grid(10_000, MS, skip=gone)], MS)
        self.assertEqual((pace.lost, pace.p99), (5, 0.0))
        self.assertAlmostEqual(pace.missed, 5 / 10_000)
        self.assertEqual(pace.count_error, -5)

    def test_loss_is_found_under_jitter(self) -> None:
        chance = random.Random(3)
        late = [chance.uniform(0, 200_000) for _ in range(20_000)]
        gone = set(chance.sample(range(1_000, 19_000), 40))
        pace = analysis.pace([grid(20_000, MS, late.__getitem__, gone)], MS)
        self.assertEqual(pace.lost, 40)
        self.assertAlmostEqual(pace.p50, 100, delta=3)

    def test_a_tool_that_attains_less_misses_the_rest(self) -> None:
        # 932 of 1,000 a second, spread evenly.
        pace = analysis.pace([grid(9_320, MS / 0.932)], MS)
        self.assertAlmostEqual(pace.missed, 0.068, delta=0.001)
        self.assertAlmostEqual(pace.rate_hz, 932, delta=1)


class Drift(unittest.TestCase):
    def test_known_drift_comes_out(self) -> None:
        for ppm in (-40.0, 0.0, 40.0):
            with self.subTest(ppm=ppm):
                chance = random.Random(4)
                late = [chance.uniform(0, 50_000) for _ in range(60_000)]
                stream = grid(60_000, MS * (1 + ppm / 1e6), late.__getitem__)
                self.assertAlmostEqual(analysis.pace([stream], MS).drift_ppm, ppm, delta=0.2)

    def test_drift_makes_late(self) -> None:
        # 40 ppm over a minute are 2.4 ms.
        pace = analysis.pace([grid(60_000, MS * (1 + 40e-6))], MS)
        self.assertAlmostEqual(pace.worst, 2_400, delta=20)


class Stalls(unittest.TestCase):
    def test_the_truth_under_stalls_is_that_of_the_grid(self) -> None:
        stalls = [(START + k * 5_000 * MS, START + (k * 5_000 + 500) * MS) for k in range(1, 4)]
        waits = analysis.waits_on_grid(stalls, START, START + 20_000 * MS, MS)
        # 1,500 of 20,000 slots wait, evenly up to 500 ms: the highest 5 % begin at 500 x (1 - 1000/1500).
        self.assertEqual(len(waits), 20_000)
        self.assertAlmostEqual(analysis.quantile(waits, 0.95) / MS, 500 / 3, delta=1)
        self.assertAlmostEqual(analysis.quantile(waits, 0.99) / MS, 500 * (1 - 200 / 1500), delta=1)


class Pairs(unittest.TestCase):
    def test_each_due_instant_gets_the_arrival_that_followed_it(self) -> None:
        pairs = analysis.paired([0, 10, 20, 30], [1, 12, 13, 31], within_ns=5)
        self.assertEqual(pairs, [(0, 1), (10, 12), (20, None), (30, 31)])

    def test_a_burst_after_a_freeze_keeps_its_order(self) -> None:
        pairs = analysis.paired([0, 1, 2, 9], [5, 6, 7, 10], within_ns=100)
        self.assertEqual(pairs, [(0, 5), (1, 6), (2, 7), (9, 10)])


class Quantiles(unittest.TestCase):
    def test_a_quantile_is_the_nearest_rank(self) -> None:
        self.assertEqual([analysis.quantile(range(1, 101), q) for q in (0.5, 0.95, 0.99, 1)], [50, 95, 99, 100])
        self.assertEqual(analysis.quantile([7], 0.5), 7)


if __name__ == "__main__":
    unittest.main()
