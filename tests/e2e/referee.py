"""A recorder between Serin and AWS: what was called, and what was on disk when a write arrived."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import botocore.session

from functions import parse
from owners import Gone

# What belongs to one connection only. Anything else is handed on as it came: the host too, because it is signed.
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass
class Call:
    """One API call of the daemon."""

    action: str
    params: dict
    at: float
    """Wall time of its arrival, seconds since 1970."""
    status: int = 0
    ledger: bytes = field(default=b"", repr=False)
    """The ledger as it was on disk when the call arrived, before AWS saw it."""

    @property
    def writes(self) -> bool:
        return not self.action.startswith(("Describe", "PutMetricData", "List", "BatchGet", "Get"))


class Referee:
    """A plain HTTP relay on loopback; `calls` is what passed through it."""

    def __init__(
        self,
        upstream_port: int,
        ledger: Path,
        worded: Callable[[str | None, int, bytes], tuple[int, bytes]] | None = None,
    ) -> None:
        """`worded` may word an answer as AWS does: from the JSON target, the status and the body."""
        self.calls: list[Call] = []
        self.boundary: Callable[[str, str], None] = lambda action, when: None
        """Called as a call `arrives` and when it is `done`, before its answer is sent; may raise `Gone`."""
        referee = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                with contextlib.suppress(Gone):
                    self._relay()
                    return
                self.close_connection = True

            def _relay(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                call = Call(*_named(self.command, self.path, self.headers, body), at=time.time())
                if call.writes and ledger.exists():
                    call.ledger = ledger.read_bytes()
                referee.calls.append(call)
                referee.boundary(call.action, "arrives")
                relayed = http.client.HTTPConnection("127.0.0.1", upstream_port, timeout=30)
                headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
                relayed.request(self.command, self.path, body, headers)
                response = relayed.getresponse()
                answer = response.read()
                referee.boundary(call.action, "done")
                call.status = response.status
                if worded:
                    target = self.headers.get("x-amz-target")
                    call.status, answer = worded(target, call.status, answer)
                self.send_response(call.status)
                for name, value in response.getheaders():
                    if name.lower() not in _HOP_BY_HOP | {"date", "server"}:
                        self.send_header(name, value)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                relayed.close()

            do_GET = do_PUT = do_POST = do_DELETE = _any

            def log_message(self, *_: object) -> None:
                """Say nothing: the calls are kept."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        # It looks so often whether it is to stop.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def writes(self) -> list[Call]:
        return [call for call in self.calls if call.writes]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _named(method: str, path: str, headers: Message, body: bytes) -> tuple[str, dict]:
    if path.startswith("/20"):  # REST, as Lambda's
        return parse(botocore.session.get_session().get_service_model("lambda"), method, path, body)
    if "/operation/" in path:  # RPCv2-CBOR, as the Rust SDK speaks to CloudWatch
        return path.rsplit("/", 1)[1], {}
    if target := headers.get("x-amz-target"):  # JSON
        return target.rsplit(".", 1)[1], {}
    params = {key: values[0] for key, values in parse_qs(body.decode()).items()}
    return params.get("Action", "?"), params
