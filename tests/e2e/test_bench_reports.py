"""What the benchmark reads from the reports of its tools, on reports as these tools really printed them."""

from __future__ import annotations

import json
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches"))

from harness.load import Load, Reported  # noqa: E402
from harness.shots import SHOTS, serin_argv  # noqa: E402

WRK = """Running 1s test @ http://127.0.0.1:39039/0
  Latency Distribution
     50%   25.00us
     75%   32.00us
     90%   35.00us
     99%    1.62ms
  60241 requests in 1.10s, 3.45MB read
"""

WRK2 = """  Latency Distribution (HdrHistogram - Recorded Latency)
 50.000%    0.91ms
 90.000%    1.38ms
 99.000%    2.81ms
100.000%    4.54ms

  Detailed Percentile spectrum:
       Value   Percentile   TotalCount 1/(1-Percentile)

       1.433     0.937500          188        16.00
       1.440     0.943750          189        17.78
       1.456     0.950000          190        20.00
       1.461     0.956250          192        22.86
       4.539     1.000000          200          inf
"""

HEY = """Latency distribution:
  90% in 0.0005 secs
  95% in 0.0006 secs
  99% in 0.0013 secs
"""


def read(tool: str, out: str) -> Reported:
    return SHOTS[tool].read(Path(tool), out, Path())


class Reports(unittest.TestCase):
    def test_wrk_tells_p99_and_no_p95(self) -> None:
        self.assertEqual(read("wrk", WRK), Reported(p99_us=1620.0, attempts=60241))

    def test_wrk2_tells_p95_in_its_spectrum(self) -> None:
        said = read("wrk2", WRK2)
        self.assertEqual((said.p95_us, said.p99_us), (1456.0, 2810.0))

    def test_hey_tells_seconds(self) -> None:
        said = read("hey", HEY)
        self.assertAlmostEqual(said.p95_us, 600)
        self.assertAlmostEqual(said.p99_us, 1300)

    def test_oha_tells_seconds_or_nothing(self) -> None:
        said = read("oha", json.dumps({"latencyPercentiles": {"p95": 0.2, "p99": None}}))
        self.assertEqual((said.p95_us, said.p99_us), (200_000.0, None))

    def test_serin_tells_microseconds(self) -> None:
        report = {
            "attempts": 8000,
            "missed": 1,
            "void": 3,
            "failures": {"timeout": 2},
            "response_us": {"p95": 210.5, "p99": 400.0},
        }
        said = read("serin", json.dumps(report))
        self.assertEqual(said, Reported(210.5, 400.0, 8000, 1, 3, {"timeout": 2}))


class CommandLines(unittest.TestCase):
    def test_no_rate_is_a_closed_loop(self) -> None:
        load = Load(["http://127.0.0.1:1/0"], None, 8.0, 32)
        argv = serin_argv(Path("serin"), load, Path())
        self.assertEqual(argv[argv.index("--rate") + 1], "max")
        self.assertEqual(argv[-1], "http://127.0.0.1:1/0")
        # Neither wrk nor oha is given a rate then.
        for tool, flag in (("wrk", "-R"), ("oha", "-q")):
            self.assertFalse([part for part in SHOTS[tool].argv(Path(tool), load, Path()) if part.startswith(flag)])


if __name__ == "__main__":
    unittest.main()
