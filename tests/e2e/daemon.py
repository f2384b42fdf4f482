"""`serin run`, as a user runs it: a file, the usual AWS environment, and nothing private."""

from __future__ import annotations

import http.client
import json
from pathlib import Path

from peers import CREDENTIALS, REGION, release_binary
from processes import Process, environment, free_port, wait_until

SERVICE = "checkout"


class Daemon:
    """A running daemon. Times in its file are short, so that a test takes seconds."""

    def __init__(
        self,
        folder: Path,
        *,
        listener: str,
        balancer: str,
        aws: str,
        collector: str,
        mode: str = "act",
    ) -> None:
        self.admin_port = free_port()
        self._folder = folder
        self._config = folder / "serin.toml"
        self._config.write_text(
            _config(folder, listener, balancer, collector, mode, self.admin_port)
        )
        env = environment(
            AWS_ENDPOINT_URL=aws, AWS_REGION=REGION, AWS_EC2_METADATA_DISABLED="true", **CREDENTIALS
        )
        self._process = Process(
            [release_binary(), "run", "--config", self._config], folder / "serin.log", env
        )
        wait_until("serin is ready", lambda: self._get("/-/ready")[0] == 200, 20)

    @property
    def ledger_path(self) -> Path:
        return ledger_path(self._folder)

    def ledger(self) -> list[dict]:
        return parse_ledger(self.ledger_path.read_bytes())

    def armed(self) -> bool:
        """Whether it would act on a breach: it has seen a good state and nothing stands against."""
        status, body = self._get("/-/armed")
        return status == 200 and '"armed":true' in body.replace(" ", "")

    def wait_armed(self) -> None:
        wait_until(
            "serin has seen a good state and is armed",
            lambda: self._process.alive() and self.armed(),
            30,
        )

    def status(self) -> str:
        return self._get("/api/v1/status")[1]

    def prometheus(self) -> str:
        return self._get("/metrics")[1]

    def log(self) -> str:
        return self._process.tail(20_000)

    def stop(self) -> int:
        return self._process.stop(within_s=15)

    def _get(self, path: str) -> tuple[int, str]:
        self._process.alive()
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()


def ledger_path(folder: Path) -> Path:
    return folder / "evidence" / SERVICE / "ledger.jsonl"


def parse_ledger(raw: bytes) -> list[dict]:
    """Its whole lines; a last line without its end was not yet written."""
    return [json.loads(line) for line in raw.split(b"\n")[:-1]]


def of_kind(records: list[dict], kind: str) -> list[dict]:
    return [record for record in records if record["kind"] == kind]


def _config(
    folder: Path, listener: str, balancer: str, collector: str, mode: str, admin_port: int
) -> str:
    port = balancer.rsplit(":", 1)[1]
    return f"""service = "{SERVICE}"
listener = "{listener}"
mode = "{mode}"
owner = "none"
sole_actuator = true
max_rate = "200/s"

[[targets]]
name = "home"
url = "http://{balancer}/"
connect_to = "127.0.0.1:{port}"
version = {{ header = "x-version" }}
timeout = "1s"
expect = {{ status = ["200-299"], body = "ok" }}

[objectives]
availability = "99.9%"
p95 = "500ms"

[judge]
wrong_reverts = "1 in 1000000 releases"
tolerate_blip = "250ms"
grace = "1s"
settle = "5s"
settle_answers = 20
propagation = "1s"

[guard]
min_healthy = 1
verify_answers = 20
verify_for = "15s"

# Far below what the balancer's Python data plane carries (740 requests a second, p99 3 ms at 200).
[pace]
calm = "10/s"
release = "60/s"

[admin]
listen = "127.0.0.1:{admin_port}"
socket = "{folder}/serin.sock"

[evidence]
dir = "{folder}/evidence"

[publish.otlp]
endpoint = "{collector}"
interval = "2s"

[publish.cloudwatch]
namespace = "Serin"
interval = "2s"
resolution = 1

[log]
format = "json"
"""
