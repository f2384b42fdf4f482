"""`serin run`, as a user runs it: a file, the usual AWS environment, and nothing private."""

from __future__ import annotations

import http.client
import json
import signal
from pathlib import Path

from peers import CREDENTIALS, REGION, release_binary
from processes import Process, environment, free_port, wait_until

SERVICE = "checkout"


class Daemon:
    """A running daemon, with one file and one service."""

    def __init__(
        self,
        folder: Path,
        *,
        listener: str,
        balancer: str,
        aws: str,
        collector: str,
        mode: str = "act",
        judge_for: str = "2m",
        control: str | None = None,
        owner: str = "auto",
        owners: str | None = None,
    ) -> None:
        self.admin_port = free_port()
        self._folder = folder
        self._config = folder / "serin.toml"
        self._config.write_text(
            _TEMPLATE.format(
                service=SERVICE,
                listener=listener,
                balancer=balancer,
                balancer_port=balancer.rsplit(":", 1)[1],
                collector=collector,
                mode=mode,
                owner=owner,
                judge_for=judge_for,
                control=f'control = "{control}"' if control else "",
                admin_port=self.admin_port,
                folder=folder,
            )
        )
        env = environment(
            AWS_ENDPOINT_URL=aws, AWS_REGION=REGION, AWS_EC2_METADATA_DISABLED="true", **CREDENTIALS
        )
        if owners:
            env |= {"AWS_ENDPOINT_URL_ECS": owners, "AWS_ENDPOINT_URL_CODEDEPLOY": owners}
        self._process = Process(
            [release_binary(), "run", "--config", self._config], folder / "serin.log", env
        )
        wait_until("serin is ready", lambda: self._get("/-/ready")[0] == 200, 20)

    @property
    def ledger_path(self) -> Path:
        return ledger_path(self._folder)

    def ledger(self) -> list[dict]:
        return parse_ledger(self.ledger_path.read_bytes())

    def events(self, event: str) -> list[dict]:
        """The ledger's records of one event, oldest first."""
        return of_event(self.ledger(), event)

    def wait_event(self, event: str, within_s: float, count: int = 1) -> dict:
        """The `count`-th record of an event, once it is there."""
        return wait_until(
            f"`{event}` in the ledger, {count} times",
            lambda: self._process.alive() and self.events(event)[count - 1],
            within_s,
        )

    def armed(self) -> bool:
        """Whether it says that it would act on a breach."""
        status, body = self._get("/-/armed")
        return status == 200 and '"armed":true' in body.replace(" ", "")

    def conditions(self) -> list[dict]:
        """What `/-/armed` says of each."""
        return json.loads(self._get("/-/armed")[1])["services"][SERVICE]["conditions"] or []

    def wait_armed(self) -> None:
        self.wait_event("good", 30)
        wait_until("/-/armed says so", self.armed, 5)

    def status(self) -> str:
        return self._get("/api/v1/status")[1]

    def prometheus(self) -> str:
        return self._get("/metrics")[1]

    def log(self) -> str:
        return self._process.tail(20_000)

    def kill(self) -> None:
        """As the machine's end does: no drain, no last line."""
        self._process.signal(signal.SIGKILL)
        self._process.stop()

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


def of_event(records: list[dict], event: str) -> list[dict]:
    return [record for record in records if record["event"] == event]


# Times are short, so that a test takes seconds.
_TEMPLATE = """service = "{service}"
listener = "{listener}"
mode = "{mode}"
owner = "{owner}"
sole_actuator = true
max_rate = "200/s"
{control}

[[targets]]
name = "home"
url = "http://{balancer}/"
connect_to = "127.0.0.1:{balancer_port}"
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
judge_for = "{judge_for}"
onset = "{judge_for}"

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
