"""The foreign programs that Serin is tested against. We wrote none of them."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.parse
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from processes import Process, environment, free_port, wait_until

REGION = "eu-west-1"
# The two ways of scraping histograms, each a job of its own.
NATIVE, CLASSIC = "native", "classic"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}

Answer = tuple[int, str | None, str]


def ask(
    port: int, host: str, path: str = "/", timeout_s: float = 5.0, cookie: str | None = None
) -> Answer:
    """One GET on a fresh connection: status, answering version, body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    headers = {"Host": host} | ({"Cookie": cookie} if cookie else {})
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        body = response.read().decode(errors="replace")
        return response.status, response.getheader("x-version"), body
    finally:
        connection.close()


class Nginx:
    """One colour of the service: a real nginx that answers 200 `ok`, or 500, with its version.

    `traced`: it keeps a line for each request (its `traceparent`, the status, an id), and tells that id as its own trace's.
    """

    def __init__(self, folder: Path, version: str, *, traced: bool = False) -> None:
        program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if program is None:
            pytest.skip("nginx is not installed")
        self.version = version
        self.port = free_port()
        self._traced = traced
        self._folder = folder
        self._conf = folder / "nginx.conf"
        folder.mkdir(parents=True)
        (folder / "tmp").mkdir()
        self._write(200, "ok")
        self._process = Process(
            [program, "-p", folder, "-c", self._conf], folder / "nginx.log", environment()
        )
        wait_until(f"{version} answers", lambda: self._process.alive() and self._answers(200), 10)

    def fail(self) -> None:
        """From the next request on: 500, with the version header."""
        self._reload(500, "broken")

    def recover(self) -> None:
        self._reload(200, "ok")

    def stop(self) -> None:
        self._process.stop()

    def requests(self) -> list[list[str]]:
        """Of a traced one: `traceparent`, status and id of each request."""
        lines = (self._folder / "access.log").read_text().splitlines()
        return [line.split() for line in lines if line.count(" ") == 2]

    def _answers(self, status: int) -> bool:
        return ask(self.port, "localhost")[:2] == (status, self.version)

    def _reload(self, status: int, body: str) -> None:
        self._write(status, body)
        self._process.signal(signal.SIGHUP)
        wait_until(f"{self.version} answers {status}", lambda: self._answers(status), 10)

    def _write(self, status: int, body: str) -> None:
        temp = "\n".join(
            f"    {kind}_temp_path tmp/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        log = f"""log_format traced "$http_traceparent $status $request_id";
    access_log {self._folder}/access.log traced;"""
        log = log if self._traced else "access_log off;"
        # A server with an add_header of its own inherits none.
        told = 'add_header traceresponse "00-$request_id-00f067aa0ba902b7-01" always;' if self._traced else ""
        self._conf.write_text(
            f"""daemon off;
worker_processes 1;
pid {self._folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    {log}
    default_type text/plain;
{temp}
    server {{
        listen 127.0.0.1:{self.port};
        add_header x-version {self.version} always;
        {told}
        location / {{ return {status} "{body}"; }}
    }}
}}
"""
        )


class Ministack:
    """An AWS that we did not write: ELBv2 with a data plane of its own, and CloudWatch.

    Its balancer follows single-group forwards only: it drops `ForwardConfig` on write, and answers
    `Host: NAME.alb.localhost` on the same port as the API.
    """

    def __init__(self, folder: Path, services: str = "elbv2,cloudwatch") -> None:
        folder.mkdir(parents=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        env = environment(
            BIND_HOST="127.0.0.1",  # its default is every interface
            GATEWAY_PORT=str(self.port),
            SERVICES=services,
            SFTP_ENABLED="0",
            IOT_MTLS_ENABLED="0",
            MINISTACK_REGION=REGION,
            LOG_LEVEL="WARNING",
            **CREDENTIALS,
        ) | {"TMPDIR": str(folder)}
        self._process = Process([sys.executable, "-m", "ministack"], folder / "ministack.log", env)
        wait_until("ministack is ready", self._ready, 30)

    def client(self, service: str):
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def stop(self) -> None:
        self._process.stop()

    def _ready(self) -> bool:
        self._process.alive()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/_ministack/ready")
            return connection.getresponse().status == 200
        finally:
            connection.close()


class Collector:
    """The real OpenTelemetry collector: OTLP over HTTP and gRPC in, JSON lines in a file out, metrics to Prometheus where one is named.

    `tls`: the files of its certificate and its key; without them it speaks in the clear.
    """

    def __init__(
        self, folder: Path, prometheus: str | None = None, tls: tuple[Path, Path] | None = None
    ) -> None:
        program = os.environ.get("SERIN_COLLECTOR")
        if not program:
            pytest.skip("the collector is not built (tests/run builds it; it needs go)")
        folder.mkdir(parents=True)
        self.port, self.grpc_port = free_port(), free_port()
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"
        self.grpc_url = f"{'https' if tls else 'http'}://localhost:{self.grpc_port}"
        self._out = folder / "received.jsonl"
        files = f", tls: {{cert_file: {tls[0]}, key_file: {tls[1]}}}" if tls else ""
        pipeline = "{receivers: [otlp], exporters: [file]}"
        conf = folder / "collector.yaml"
        exporters = {"file": {"path": str(self._out), "flush_interval": "200ms", "append": True}}
        if prometheus:
            exporters["otlphttp"] = {"endpoint": f"{prometheus}/api/v1/otlp"}
        conf.write_text(
            f"""receivers:
  otlp:
    protocols:
      http: {{endpoint: "127.0.0.1:{self.port}"{files}}}
      grpc: {{endpoint: "127.0.0.1:{self.grpc_port}"{files}}}
exporters: {json.dumps(exporters)}
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}
  pipelines:
    metrics: {{receivers: [otlp], exporters: [{", ".join(exporters)}]}}
    logs: {pipeline}
    traces: {pipeline}
"""
        )
        self._start = lambda: Process(
            [program, "--config", conf], folder / "collector.log", environment()
        )
        self._process = self._start()
        wait_until("the collector listens", self._listens, 20)

    def restart(self, down_s: float) -> None:
        """Nobody listens meanwhile."""
        self._process.stop()
        time.sleep(down_s)
        self._process = self._start()
        wait_until("the collector listens again", self._listens, 20)

    def metrics(self) -> dict[str, list[dict]]:
        """Every metric received so far, by name, with its resource's attributes."""
        found: dict[str, list[dict]] = {}
        for resource, metric in self._received("resourceMetrics", "scopeMetrics", "metrics"):
            found.setdefault(metric["name"], []).append(metric | {"resource": resource})
        return found

    def logs(self) -> list[dict]:
        """Every log record so far; its attributes as a mapping."""
        found = self._received("resourceLogs", "scopeLogs", "logRecords")
        return [record | {"attributes": _mapping(record)} for _, record in found]

    def spans(self) -> list[dict]:
        """Every span so far; its attributes as a mapping."""
        found = self._received("resourceSpans", "scopeSpans", "spans")
        return [span | {"attributes": _mapping(span)} for _, span in found]

    def total(self, name: str) -> int:
        """The last value of a cumulative sum, over all its series (deltas are added up)."""
        series: dict[str, int] = {}
        for metric in self.metrics().get(name, []):
            data = metric["sum"]
            for point in data["dataPoints"]:
                key = json.dumps(point.get("attributes", []), sort_keys=True)
                value = int(point.get("asInt", point.get("asDouble", 0)))
                delta = data.get("aggregationTemporality") == 1
                series[key] = series.get(key, 0) + value if delta else value
        return sum(series.values())

    def stop(self) -> None:
        self._process.stop()

    def _received(self, resources: str, scopes: str, items: str) -> list[tuple[dict, dict]]:
        """Each item with the attributes of its resource."""
        if not self._out.exists():
            return []
        # The last line may still be written.
        lines = [line for line in self._out.read_text().splitlines() if line.endswith("}")]
        return [
            (_mapping(resource.get("resource", {})), item)
            for line in lines
            for resource in json.loads(line).get(resources, [])
            for scope in resource[scopes]
            for item in scope[items]
        ]

    def _listens(self) -> bool:
        self._process.alive()
        for port in (self.port, self.grpc_port):
            socket.create_connection(("127.0.0.1", port), timeout=2).close()
        return True


def _mapping(thing: dict) -> dict:
    return {each["key"]: next(iter(each["value"].values())) for each in thing.get("attributes", [])}


class Prometheus:
    """The real Prometheus 3: it takes OTLP, scrapes who is named, and keeps the rules of `dashboards/`."""

    def __init__(self, folder: Path, rules: Path, job: str = "") -> None:
        """`job`: one more of its configuration, in YAML."""
        program = os.environ.get("SERIN_PROMETHEUS")
        if not program:
            pytest.skip("Prometheus is not built (tests/run builds it; it needs go)")
        folder.mkdir(parents=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._scraped = folder / "scraped.json"
        self._scraped.write_text("[]")
        conf = folder / "prometheus.yml"
        conf.write_text(
            f"""global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{json.dumps(str(rules))}]
# As Prometheus advises for OTLP: senders may be late.
storage: {{tsdb: {{out_of_order_time_window: 30m}}}}
scrape_configs:
  - job_name: {NATIVE}
    scrape_native_histograms: true
    file_sd_configs: [{{files: [{self._scraped}]}}]
  - job_name: {CLASSIC}
    file_sd_configs: [{{files: [{self._scraped}]}}]
{textwrap.indent(job, "  ")}"""
        )
        arguments = [
            program,
            f"--config.file={conf}",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--web.enable-otlp-receiver",
            "--log.level=warn",
        ]
        self._start = lambda: Process(arguments, folder / "prometheus.log", environment())
        self._process = self._start()
        wait_until("Prometheus is ready", self._ready, 30)

    def scrape(self, *ports: int) -> None:
        """From now on."""
        targets = [f"127.0.0.1:{port}" for port in ports]
        self._scraped.write_text(json.dumps([{"targets": targets}]))

    def get(self, path: str, **parameters: str | float):
        """What the HTTP API answers; its own words where it refuses."""
        self._process.alive()
        query = urllib.parse.urlencode(parameters)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", f"/api/v1/{path}?{query}")
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if answer["status"] != "success":
            raise ValueError(f"{parameters}: {answer}")
        assert not answer.get("warnings"), (parameters, answer["warnings"])
        return answer["data"]

    def restart(self, down_s: float) -> None:
        """Nobody listens meanwhile."""
        self._process.stop()
        time.sleep(down_s)
        self._process = self._start()
        wait_until("Prometheus is ready again", self._ready, 30)

    def stop(self) -> None:
        self._process.stop()

    def _ready(self) -> bool:
        self._process.alive()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/-/ready")
            return connection.getresponse().status == 200
        finally:
            connection.close()


def release_binary() -> Path:
    """`target/release/serin` of this clone; `SERIN_BIN` names another."""
    named = os.environ.get("SERIN_BIN")
    if named:
        return Path(named)
    root = Path(__file__).resolve().parents[2]
    metadata = subprocess.run(
        ["cargo", "metadata", "--format-version=1", "--no-deps", "--offline"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    program = Path(json.loads(metadata.stdout)["target_directory"]) / "release" / "serin"
    assert program.exists(), f"{program} is not built: cargo build --release"
    return program
