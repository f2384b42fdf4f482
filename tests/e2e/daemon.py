"""`serin run`, as a user runs it: a file, the usual AWS environment, and nothing private."""

from __future__ import annotations

import http.client
import json
import signal
from collections.abc import Mapping, Sequence
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
        listener: str | None = None,
        rules: Sequence[str] = (),
        lambda_alias: str | None = None,
        unheard: str | None = None,
        balancer: str,
        paths: Sequence[str] = ("/",),
        aws: str,
        collector: str | None = None,
        cloudwatch: bool = True,
        mode: str = "act",
        judge_for: str = "2m",
        settle: str = "3s",
        propagation: str = "1s",
        calm: str = "10/s",
        revert_style: str = "weights",
        control: str | None = None,
        owner: str = "auto",
        ecs_service: str | None = None,
        via: str | None = None,
        owners: str | None = None,
        credentials: Mapping[str, str] = CREDENTIALS,
    ) -> None:
        """`listener`, `rules` or both are governed, or an alias; `paths` is what is asked of the balancer."""
        top = [f'listener = "{listener}"'] if listener else []
        top += [f"rule = {json.dumps([*rules])}"] if rules else []
        top += [f'lambda_alias = "{lambda_alias}"'] if lambda_alias else []
        top += [f'control = "{control}"'] if control else []
        top += [f'ecs_service = "{ecs_service}"'] if ecs_service else []
        top += [f'via = "{via}"'] if via else []
        sections = [
            _TARGET.format(
                name=path.strip("/") or "home",
                url=f"http://{balancer}{path}",
                connect_to=f"127.0.0.1:{balancer.rsplit(':', 1)[1]}",
            )
            for path in paths
        ]
        sections += [_OTLP.format(collector=collector)] if collector else []
        sections += [_CLOUDWATCH] if cloudwatch else []
        self.admin_port = free_port()
        self._folder = folder
        self._config = folder / "serin.toml"
        self._config.write_text(
            _TEMPLATE.format(
                service=SERVICE,
                mode=mode,
                owner=owner,
                revert_style=revert_style,
                unheard=f'unheard = "{unheard}"' if unheard else "",
                top="\n".join(top),
                judge_for=judge_for,
                settle=settle,
                propagation=propagation,
                calm=calm,
                admin_port=self.admin_port,
                folder=folder,
            )
            + "".join(sections)
        )
        env = environment(
            AWS_ENDPOINT_URL=aws, AWS_REGION=REGION, AWS_EC2_METADATA_DISABLED="true", **credentials
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
        """The `count`-th record of an event, once it is there; a failure tells what the daemon did instead."""
        try:
            return wait_until(
                f"`{event}` in the ledger, {count} times",
                lambda: self._process.alive() and self.events(event)[count - 1],
                within_s,
            )
        except AssertionError as error:
            lines = self.ledger_path.read_text(errors="replace") if self.ledger_path.exists() else "none"
            raise AssertionError(f"{error}\nthe ledger:\n{lines}\nthe log:\n{self.log()}") from error

    def armed(self) -> bool:
        """Whether it says that it would act on a breach."""
        status, body = self._get("/-/armed")
        return status == 200 and '"armed":true' in body.replace(" ", "")

    def conditions(self) -> list[dict]:
        """What `/-/armed` says of each."""
        return json.loads(self._get("/-/armed")[1])["services"][SERVICE]["conditions"] or []

    def wait_armed(self) -> None:
        self.wait_event("good", 90)
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
mode = "{mode}"
owner = "{owner}"
revert_style = "{revert_style}"
sole_actuator = true
max_rate = "200/s"
{top}

[objectives]
availability = "99.9%"
p95 = "500ms"

[judge]
wrong_reverts = "1 in 1000000 releases"
tolerate_blip = "250ms"
grace = "1s"
settle = "{settle}"
settle_answers = 20
propagation = "{propagation}"
judge_for = "{judge_for}"
onset = "{judge_for}"
{unheard}

[guard]
min_healthy = 1
verify_answers = 20
verify_for = "15s"

# Far below what the balancer's Python data plane carries (740 requests a second, p99 3 ms at 200).
[pace]
calm = "{calm}"
release = "60/s"

# Own delays up to this spoil nothing. Tests share two cores with each other, and what answers is Python: with the
# default, half of the samples may be void for minutes, and rightly nothing is judged.
[engine]
quantum = "5ms"

[admin]
listen = "127.0.0.1:{admin_port}"
socket = "{folder}/serin.sock"

[evidence]
dir = "{folder}/evidence"

[log]
format = "json"
"""
_TARGET = """
[[targets]]
name = "{name}"
url = "{url}"
connect_to = "{connect_to}"
version = {{ header = "x-version" }}
timeout = "1s"
expect = {{ status = ["200-299"], body = "ok" }}
"""
_OTLP = """
[publish.otlp]
endpoint = "{collector}"
interval = "2s"
"""
_CLOUDWATCH = """
[publish.cloudwatch]
namespace = "Serin"
interval = "2s"
resolution = 1
"""
