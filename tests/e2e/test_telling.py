"""What `serin run` tells people, read back from an SNS, an EventBridge and an SQS that we did not write.

An operator's hold is the shortest way to a message; it goes every way at once.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from peers import CREDENTIALS, REGION, Ministack, release_binary
from processes import Process, environment, free_port, wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEYS = ["schema", "id", "instance", "service", "kind", "text", "dry_run", "epoch", "release", "at"]


class Receiver:
    """A webhook that remembers what it got; and a target that is well."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(204)
                self.end_headers()

            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def holds(self) -> list[tuple[dict[str, str], bytes]]:
        """Without what a busy machine has told beside: that the process is starved."""
        return [(headers, body) for headers, body in self.got if b"an operator holds" in body]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Cloud:
    """A topic of each kind and a bus, each with a queue behind it."""

    def __init__(self, ministack: Ministack) -> None:
        self.url = ministack.url
        self._sns, self._sqs = ministack.client("sns"), ministack.client("sqs")
        self._events = ministack.client("events")
        self.queues = {name: self._queue(name) for name in ("topic", "other", "bus")}
        self.topic = self._sns.create_topic(Name="serin")["TopicArn"]
        for name, kind in (("topic", "hold"), ("other", "breach")):
            self._sns.subscribe(
                TopicArn=self.topic,
                Protocol="sqs",
                Endpoint=self._arn(name),
                Attributes={"FilterPolicy": json.dumps({"kind": [kind], "service": ["checkout"]})},
            )
        self.bus = self._events.create_event_bus(Name="serin")["EventBusArn"]
        pattern = {"source": ["serin.prober"], "detail-type": ["Serin Hold"], "detail": {"schema": [1]}}
        self._events.put_rule(Name="holds", EventBusName="serin", EventPattern=json.dumps(pattern))
        self._events.put_targets(
            Rule="holds", EventBusName="serin", Targets=[{"Id": "q", "Arn": self._arn("bus")}]
        )

    def read(self, name: str) -> dict | None:
        """The next body in a queue, which is taken out of it."""
        messages = self._sqs.receive_message(QueueUrl=self.queues[name]).get("Messages", [])
        for message in messages:
            self._sqs.delete_message(
                QueueUrl=self.queues[name], ReceiptHandle=message["ReceiptHandle"]
            )
        return json.loads(messages[0]["Body"]) if messages else None

    def _queue(self, name: str) -> str:
        return self._sqs.create_queue(QueueName=name)["QueueUrl"]

    def _arn(self, name: str) -> str:
        attributes = self._sqs.get_queue_attributes(
            QueueUrl=self.queues[name], AttributeNames=["QueueArn"]
        )
        return attributes["Attributes"]["QueueArn"]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def test_a_hold_is_told_every_way_with_one_id(tmp_path: Path, stack: contextlib.ExitStack) -> None:
    def owned(thing):
        stack.callback(thing.stop)
        return thing

    cloud = Cloud(owned(Ministack(tmp_path / "ministack", services="sns,sqs,events")))
    webhook, slack = owned(Receiver()), owned(Receiver())
    config = tmp_path / "serin.toml"
    config.write_text(document(tmp_path, cloud, webhook, slack))
    env = environment(
        AWS_ENDPOINT_URL=cloud.url,
        AWS_REGION=REGION,
        AWS_EC2_METADATA_DISABLED="true",
        KEY=SECRET,
        **CREDENTIALS,
    )
    serin = owned(Process([release_binary(), "run", "--config", config], tmp_path / "log", env))
    wait_until("the socket is there", (tmp_path / "serin.sock").exists, 20)
    command = [release_binary(), "hold", "checkout", "--reason", "a <migration>"]
    command += ["--socket", tmp_path / "serin.sock"]
    held = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30)
    assert held.returncode == 0, held.stdout + held.stderr

    wait_until("the webhook was called", webhook.holds, 10)
    wait_until("the channel was called", slack.holds, 10)
    headers, body = webhook.holds()[0]
    message = json.loads(body)
    assert list(message) == KEYS
    assert (message["kind"], message["service"], message["dry_run"]) == ("hold", "checkout", True)
    assert "a <migration>" in message["text"]

    verify = snippet()
    assert headers["webhook-id"] == message["id"]
    assert verify(SECRET, headers, body)
    assert not verify(SECRET, headers, body + b" ")
    assert not verify("whsec_" + "A" * 32, headers, body)
    assert not verify(SECRET, headers | {"webhook-timestamp": "1614265330"}, body)

    text = json.loads(slack.holds()[0][1])["text"]
    assert text.startswith("*hold* checkout") and "a &lt;migration&gt;" in text

    notice = wait_until("the topic's queue has it", lambda: cloud.read("topic"), 10)
    assert json.loads(notice["Message"]) == message
    assert notice["Subject"] == "Serin: checkout hold (DRY RUN)"
    assert notice["TopicArn"] == cloud.topic
    assert notice["MessageAttributes"]["kind"] == {"Type": "String", "Value": "hold"}
    assert cloud.read("other") is None, "its subscription asks for another kind"

    event = wait_until("the bus's queue has it", lambda: cloud.read("bus"), 10)
    assert event["detail"] == message
    assert (event["source"], event["detail-type"]) == ("serin.prober", "Serin Hold")
    assert len(webhook.holds()) == 1, "what was taken is not sent again"
    assert "a message was lost" not in serin.tail(20_000)


def snippet():
    """`verify` of deploy/README.md."""
    text = (Path(__file__).resolve().parents[2] / "deploy" / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict = {}
    exec(code, names)  # noqa: S102
    return names["verify"]


def document(folder: Path, cloud: Cloud, webhook: Receiver, slack: Receiver) -> str:
    return f"""service = "checkout"

[[targets]]
url = "{webhook.url}"

[objectives]
availability = "99%"

[admin]
listen = "127.0.0.1:{free_port()}"
socket = "{folder}/serin.sock"

[evidence]
dir = "{folder}/evidence"

[publish.webhook]
url = "{webhook.url}"
secret = {{ env = "KEY" }}

[publish.slack]
url = "{slack.url}"

[publish.sns]
topic = "{cloud.topic}"

[publish.eventbridge]
bus = "{cloud.bus}"
"""
