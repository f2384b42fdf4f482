"""The names of other probers at a real daemon's `/metrics`: what a URL's last probe was, in words that promtool likes."""

from __future__ import annotations

import contextlib
import http.server
import os
import re
import subprocess
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from peers import Prometheus, ask, release_binary
from processes import Process, environment, free_port, wait_until


class Handler(http.server.BaseHTTPRequestHandler):
    """`/bad` is, everything else is well."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(503 if self.path == "/bad" else 200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def base() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@contextlib.contextmanager
def serin(folder: Path, base: str, aliases: str) -> Iterator[tuple[Process, int]]:
    """One that probes three URLs, and the port of its `/metrics`."""
    port, nobody = free_port(), free_port()
    config = folder / "serin.toml"
    config.write_text(
        f"""service = "shop"
[[targets]]
name = "well"
url = "{base}/well?key=S3CR3T"
connection = "fresh"
[[targets]]
url = "{base}/bad"
[[targets]]
name = "away"
url = "http://127.0.0.1:{nobody}/"
[objectives]
availability = "99%"
[pace]
calm = "30/s"
[admin]
listen = "127.0.0.1:{port}"
[evidence]
dir = "{folder}/evidence"
[publish]
aliases = {aliases}
"""
    )
    run = Process([release_binary(), "run", "--config", config], folder / "serin.log", environment())
    try:
        yield run, port
    finally:
        run.stop()


def metrics(folder: Path, base: str, aliases: str, until: str) -> str:
    """The text at `/metrics` once it has `until`."""
    with serin(folder, base, aliases) as (run, port):

        def text() -> str:
            run.alive()
            found = ask(port, "localhost", "/metrics")[2]
            return found if found.count(until) >= 3 else ""

        return wait_until(f"{until} of each URL", text, 30, every_s=0.2)


def figures(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if line.startswith(("probe_", "httpcheck_"))]
    return {series: float(value) for series, value in (line.rsplit(" ", 1) for line in lines)}


def test_blackbox_exporter_s_names_tell_what_is_known(tmp_path: Path, base: str) -> None:
    text = metrics(tmp_path, base, '["blackbox"]', "\nprobe_success{")
    assert "S3CR3T" not in text and "\nhttpcheck" not in text
    found = figures(text)

    def of(name: str, path: str, target: str, more: str = "") -> float | None:
        return found.get(f'{name}{{instance="{base}{path}",service="shop",target="{target}"{more}}}')

    well, bad = ("/well", "well"), ("/bad", "/bad")
    assert (of("probe_success", *well), of("probe_http_status_code", *well)) == (1, 200)
    assert (of("probe_success", *bad), of("probe_http_status_code", *bad)) == (0, 503)
    assert (of("probe_http_ssl", *well), of("probe_http_redirects", *well)) == (0, 0)
    phases = [of("probe_http_duration_seconds", *well, f',phase="{phase}"') for phase in ("connect", "processing")]
    assert None not in phases, "a fresh connection is made each time"
    assert 0 < sum(phases) <= of("probe_duration_seconds", *well) < 5
    away = {series: value for series, value in found.items() if 'target="away"' in series}
    assert [value for series, value in away.items() if series.startswith("probe_success")] == [0]
    assert not any("status" in series or "ssl" in series for series in away), "nobody knows it"

    promtool = os.environ.get("SERIN_PROMTOOL")
    if promtool:
        ran = subprocess.run(
            [promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


# What the dashboards of blackbox_exporter's users ask, with their variable filled in.
QUERIES = (
    'probe_success{{instance=~"{url}"}} == 1',
    'avg_over_time(probe_success{{instance=~"{url}"}}[10s])',
    'probe_http_status_code{{instance=~"{url}"}} == 200',
    'sum(probe_http_duration_seconds{{instance=~"{url}"}}) by (instance)',
    'probe_http_duration_seconds{{instance=~"{url}",phase="processing"}}',
    'avg(probe_duration_seconds{{instance=~"{url}"}})',
    'probe_http_ssl{{instance=~"{url}"}} == 0',
)


def test_prometheus_has_the_url_as_the_instance_when_it_scrapes_as_the_readme_says(
    tmp_path: Path, base: str
) -> None:
    dashboards = Path(__file__).resolve().parents[2] / "dashboards"
    (advised,) = re.findall(r"```yaml\n( *- job_name: blackbox\n.*?)```", (dashboards / "README.md").read_text(), re.S)
    with serin(tmp_path, base, '["blackbox"]') as (run, port):
        job = textwrap.dedent(advised).replace(":9464", f":{port}")
        prometheus = Prometheus(tmp_path / "prometheus", dashboards / "rules.yaml", job)
        try:

            def found(query: str) -> list[dict]:
                run.alive()
                return prometheus.get("query", query=query)["result"]

            for query in QUERIES:
                asked = query.format(url=f"{base}/well")
                wait_until(asked, lambda asked=asked: found(asked), 30)
            instances = {each["metric"].get("instance") for each in found('probe_success{job="blackbox"}')}
            assert {f"{base}/well", f"{base}/bad"} < instances and len(instances) == 3
            assert not found('{job="blackbox", exported_instance=~".+"}')
        finally:
            prometheus.stop()


def test_the_receiver_s_names_tell_classes_and_errors(tmp_path: Path, base: str) -> None:
    found = figures(metrics(tmp_path, base, '["httpcheck"]', 'http_status_class="2xx"'))
    holds = [series for series, value in found.items() if series.startswith("httpcheck_status") and value == 1]
    well = f'httpcheck_status{{http_url="{base}/well",service="shop",target="well"'
    bad = f'httpcheck_status{{http_url="{base}/bad",service="shop",target="/bad"'
    assert sorted(holds) == sorted(
        [
            well + ',http_method="GET",http_status_class="2xx",http_status_code="200"}',
            bad + ',http_method="GET",http_status_class="5xx",http_status_code="503"}',
        ]
    )
    (error,) = [series for series in found if series.startswith("httpcheck_error")]
    assert 'target="away",error_message="connect.refused"' in error
