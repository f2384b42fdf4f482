"""Generators that run once and report. Each knows its command line and how to read its report."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .load import Load, Reported

_UNITS_US = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6}


@dataclass(frozen=True)
class Shot:
    """How to start a tool once, and how to read what it printed."""

    argv: Callable[[Path, Load, Path], list[str]]
    read: Callable[[Path, str, Path], Reported]
    # How it may end: Serin's 1 says that some answers were bad, and the report is there all the same.
    codes: tuple[int, ...] = (0,)


def serin_argv(program: Path, load: Load, folder: Path) -> list[str]:
    """The one place that knows the command line of `serin probe`."""
    argv = [str(program), "probe", "--json"]
    argv += ["--rate", "max" if load.rate_hz is None else f"{load.rate_hz:g}"]
    argv += ["--duration", f"{load.seconds:g}s", "--connections", str(load.connections)]
    argv += ["--quantum", load.quantum, "--timeout", f"{load.timeout_s:g}s"]
    argv += ["--fresh"] if load.fresh else []
    argv += ["--tls-resume"] if load.resume else []
    argv += ["--ca-file", str(load.ca)] if load.ca else []
    if len(load.urls) == 1:
        return [*argv, load.urls[0]]
    listed = folder / "urls"
    listed.write_text("".join(f"{url}\n" for url in load.urls))
    return [*argv, "--urls-file", str(listed)]


def _serin_read(_program: Path, out: str, _folder: Path) -> Reported:
    said = json.loads(out)
    return Reported(
        p95_us=said["response_us"]["p95"],
        p99_us=said["response_us"]["p99"],
        attempts=said["attempts"],
        missed=said["missed"],
        void=said.get("void"),
        failures=said["failures"],
    )


def _floor_argv(program: Path, load: Load, _folder: Path) -> list[str]:
    address = load.urls[0].split("/")[2]
    argv = [str(program), "floor", address, "--rate", f"{load.rate_hz:g}"]
    return [*argv, "--seconds", f"{load.seconds:g}", "--connections", str(load.connections)]


def _floor_read(_program: Path, out: str, _folder: Path) -> Reported:
    return Reported(attempts=json.loads(out)["attempts"])


def _wrk_argv(program: Path, load: Load, _folder: Path) -> list[str]:
    argv = [str(program), "-t1", f"-c{load.connections}", f"-d{round(load.seconds)}s", "--latency"]
    # wrk2 wants a rate, wrk knows none.
    argv += [] if load.rate_hz is None else [f"-R{load.rate_hz:g}"]
    argv += ["-H", "Connection: close"] if load.fresh else []
    return [*argv, load.urls[0]]


def _wrk_read(_program: Path, out: str, _folder: Path) -> Reported:
    shares = {
        float(share): float(value) * _UNITS_US[unit]
        for share, value, unit in re.findall(r"^\s+([\d.]+)%\s+([\d.]+)(us|ms|s|m)\s*$", out, re.M)
    }
    # wrk2's spectrum has what its summary lacks: the value in ms at a share.
    spectrum = re.findall(r"^\s+([\d.]+)\s+(0\.\d{6})\s+\d+\s+[\d.]+\s*$", out, re.M)
    p95 = next((float(value) * 1e3 for value, share in spectrum if float(share) >= 0.95), None)
    count = re.search(r"(\d+) requests in", out)
    return Reported(
        p95_us=p95,
        p99_us=shares.get(99.0),
        attempts=int(count[1]) if count else None,
    )


def _hey_argv(program: Path, load: Load, _folder: Path) -> list[str]:
    argv = [str(program), "-z", f"{load.seconds:g}s", "-c", str(load.connections)]
    argv += [] if load.rate_hz is None else ["-q", f"{load.rate_hz / load.connections:g}"]
    argv += ["-disable-keepalive"] if load.fresh else []
    return [*argv, "-t", f"{max(1, round(load.timeout_s))}", load.urls[0]]


def _hey_read(_program: Path, out: str, _folder: Path) -> Reported:
    shares = {
        int(share): float(value) * 1e6
        for share, value in re.findall(r"^\s+(\d+)%+ in ([\d.]+) secs", out, re.M)
    }
    return Reported(p95_us=shares.get(95), p99_us=shares.get(99))


def _oha_argv(program: Path, load: Load, _folder: Path) -> list[str]:
    argv = [str(program), "--no-tui", "--output-format", "json", "-z", f"{load.seconds:g}s"]
    argv += ["-c", str(load.connections), "-t", f"{load.timeout_s:g}s"]
    argv += [] if load.rate_hz is None else ["-q", f"{load.rate_hz:g}"]
    argv += ["--disable-keepalive"] if load.fresh else []
    argv += ["--cacert", str(load.ca)] if load.ca else []
    return [*argv, load.urls[0]]


def _oha_corrected_argv(program: Path, load: Load, folder: Path) -> list[str]:
    argv = _oha_argv(program, load, folder)
    return [*argv[:-1], "--latency-correction", argv[-1]]


def _oha_read(_program: Path, out: str, _folder: Path) -> Reported:
    said = json.loads(out)
    shares = said["latencyPercentiles"]
    p95, p99 = shares.get("p95"), shares.get("p99")
    return Reported(
        p95_us=None if p95 is None else p95 * 1e6,
        p99_us=None if p99 is None else p99 * 1e6,
        failures=said.get("errorDistribution", {}),
    )


def _vegeta_argv(program: Path, load: Load, folder: Path) -> list[str]:
    listed = folder / "targets"
    listed.write_text("".join(f"GET {url}\n" for url in load.urls))
    argv = [str(program), "attack", f"-targets={listed}", f"-output={folder / 'results'}"]
    argv += [f"-rate={load.rate_hz:g}/1s", f"-duration={load.seconds:g}s"]
    argv += [f"-connections={load.connections}", f"-max-connections={load.connections}"]
    argv += [f"-timeout={load.timeout_s:g}s"]
    argv += ["-keepalive=false"] if load.fresh else []
    argv += [f"-root-certs={load.ca}"] if load.ca else []
    return [*argv, "-session-tickets"] if load.resume else argv


def _vegeta_read(program: Path, _out: str, folder: Path) -> Reported:
    report = [str(program), "report", "-type=json", str(folder / "results")]
    said = json.loads(subprocess.run(report, check=True, capture_output=True, text=True).stdout)
    codes = said.get("status_codes", {})
    return Reported(
        p95_us=said["latencies"]["95th"] / 1e3,
        p99_us=said["latencies"]["99th"] / 1e3,
        attempts=said["requests"],
        failures={code: count for code, count in codes.items() if code != "200"},
    )


SHOTS = {
    "floor": Shot(_floor_argv, _floor_read),
    "serin": Shot(serin_argv, _serin_read, (0, 1)),
    "wrk": Shot(_wrk_argv, _wrk_read),
    "wrk2": Shot(_wrk_argv, _wrk_read),
    "hey": Shot(_hey_argv, _hey_read),
    "oha": Shot(_oha_argv, _oha_read),
    "oha --latency-correction": Shot(_oha_corrected_argv, _oha_read),
    "vegeta": Shot(_vegeta_argv, _vegeta_read),
}
