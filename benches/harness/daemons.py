"""Probers that run until they are told to end: each knows its configuration and its command line."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .load import Load


@dataclass(frozen=True)
class Daemon:
    """How to start a prober, and how long it takes to have every target in its rhythm."""

    argv: Callable[[Path, Load, Path], list[str]]
    settled_s: Callable[[Load], float]


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def serin_argv(program: Path, load: Load, folder: Path) -> list[str]:
    """`serin run` in observe mode without a lever: it measures and judges, and can put nothing back."""
    config = folder / "serin.toml"
    config.write_text(serin_config(load, folder))
    return [str(program), "run", "--config", str(config)]


def serin_config(load: Load, folder: Path) -> str:
    """The one place that knows the file of `serin run`."""
    rate = f"{load.rate_hz:g}/s"
    head = f"""service = "bench"
mode = "observe"
max_rate = "{rate}"

[objectives]
availability = "99.9%"
p95 = "250ms"

[pace]
calm = "{rate}"
release = "{rate}"

[engine]
quantum = "{load.quantum}"

[admin]
listen = "127.0.0.1:{free_port()}"

[evidence]
dir = "{folder / "evidence"}"
stdout = false
"""
    connection = "fresh" if load.fresh else "reuse"
    targets = []
    for number, url in enumerate(load.urls):
        trust = f'ca_file = "{load.ca}"\n' if load.ca and url.startswith("https") else ""
        targets.append(
            f'\n[[targets]]\nname = "t{number}"\nurl = "{url}"\ntimeout = "{load.timeout_s:g}s"\n'
            f'connection = "{connection}"\nversion = {{ header = "x-version" }}\n{trust}'
        )
    return head + "".join(targets)


def cloudprober_argv(program: Path, load: Load, folder: Path) -> list[str]:
    config = folder / "cloudprober.cfg"
    config.write_text(cloudprober_config(load))
    return [str(program), "--config_file", str(config), "--cloud_metadata", "none"]


def cloudprober_config(load: Load) -> str:
    """One probe with an endpoint a URL: its documented way to have many targets."""
    interval_ms = max(1, round(1000 / load.spread_hz))
    # It refuses a timeout above the interval.
    timeout_ms = max(1, min(interval_ms, round(load.timeout_s * 1000)))
    keep = "false" if load.fresh else "true"
    trust = f'    tls_config {{ ca_cert_file: "{load.ca}" }}\n' if load.ca else ""
    endpoints = "".join(
        f'    endpoint {{ name: "t{number}" url: "{url}" }}\n' for number, url in enumerate(load.urls)
    )
    # The gap between targets is as small as it allows: 10 ms, its default, would put all of them in phase.
    return f"""host: "127.0.0.1"
port: {free_port()}
disable_jitter: true
probe {{
  name: "bench"
  type: HTTP
  interval_msec: {interval_ms}
  timeout_msec: {timeout_ms}
  targets {{
{endpoints}  }}
  http_probe {{
    keep_alive: {keep}
    max_idle_conns: {max(256, load.connections, len(load.urls))}
    interval_between_targets_msec: 1
{trust}  }}
}}
"""


def blackbox_argv(program: Path, load: Load, folder: Path, port: int) -> list[str]:
    """It probes when it is asked: `/probe?target=…`, always with a fresh connection."""
    config = folder / "blackbox.yml"
    trust = f"\n      tls_config:\n        ca_file: {load.ca}" if load.ca else ""
    config.write_text(
        f"""modules:
  bench:
    prober: http
    timeout: {load.timeout_s:g}s
    http:
      preferred_ip_protocol: ip4{trust}
"""
    )
    listen = f"--web.listen-address=127.0.0.1:{port}"
    return [str(program), f"--config.file={config}", listen, "--log.level=error"]


DAEMONS = {
    "serin": Daemon(serin_argv, lambda load: 1.0 + len(load.urls) / (load.rate_hz or 1.0)),
    "cloudprober": Daemon(cloudprober_argv, lambda load: 2.0 + len(load.urls) * 0.001 + 1 / load.spread_hz),
}
