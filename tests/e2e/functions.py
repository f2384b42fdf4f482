"""A function with an alias: moto keeps it, or Lambda as far as a revert needs it, held to the shapes that AWS publishes.

moto takes any `RevisionId` and never changes one, so that what hangs on it is tried on the second: botocore's model
validates each request and each answer, and what the calls *do* is written down here from AWS's API reference. The data plane
is Envoy's either way: a follower carries the alias' weights over.
"""

from __future__ import annotations

import io
import json
import re
import threading
import time
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.validate import ParamValidator

from owners import Refused
from peers import CREDENTIALS, REGION
from weighted import Envoy, Follower, Moto

ACCOUNT = "123456789012"
NAME, ALIAS = "checkout", "live"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{NAME}"
ARN = f"{FUNCTION}:{ALIAS}"


def create_in(moto: Moto) -> None:
    """The function with its versions 1 and 2, and the alias on the first."""
    role = moto.client("iam").create_role(RoleName="fn", AssumeRolePolicyDocument="{}")["Role"]
    client = moto.client("lambda")
    client.create_function(
        FunctionName=NAME,
        Runtime="python3.13",
        Role=role["Arn"],
        Handler="app.handler",
        Code={"ZipFile": _code(1)},
    )
    assert client.publish_version(FunctionName=NAME)["Version"] == "1"
    client.update_function_code(FunctionName=NAME, ZipFile=_code(2))
    assert client.publish_version(FunctionName=NAME)["Version"] == "2"
    client.create_alias(FunctionName=NAME, Name=ALIAS, FunctionVersion="1")


def _code(number: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", f"VERSION = {number}\n")
    return packed.getvalue()


class AliasFollower(Follower):
    """Carries an alias' weights over to Envoy."""

    def __init__(self, client, envoy: Envoy, clusters: dict[str, str]) -> None:
        """`clusters`: Envoy's name of each version."""
        self._lambda, self._clusters, self._shown = client, clusters, {}
        super().__init__(None, "", envoy)

    def _look(self) -> None:
        shown = weights(self._lambda)
        if shown != self._shown:
            self._shown = shown
            clusters = [
                {"name": self._clusters[version], "weight": round(share * 1000)}
                for version, share in shown.items()
                if share > 0
            ]
            route = {"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": clusters}}}
            self._due.append((time.monotonic() + self.delay_s, [route]))


def weights(client) -> dict[str, float]:
    """What share of the requests each version gets."""
    alias = client.get_alias(FunctionName=NAME, Name=ALIAS)
    more = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    return {alias["FunctionVersion"]: 1 - sum(more.values()), **more}


@dataclass
class Asked:
    """One call, as AWS would have it."""

    action: str
    params: dict
    by: str
    """`serin`, or `boto3`: who asks."""


@dataclass
class Alias:
    version: str = "1"
    more: dict[str, float] = field(default_factory=dict)
    description: str = ""
    revision: str = field(default_factory=lambda: str(uuid.uuid4()))


class Functions:
    """The endpoint of Lambda with one function, its versions 1 and 2, and one alias."""

    def __init__(self) -> None:
        self.alias = Alias()
        self.states = {"1": "Active", "2": "Active"}
        self.tags: dict[str, str] = {}
        self.calls: list[Asked] = []
        self.faults: list[str] = []
        """What was wrong with a request or an answer; a test asserts that it is empty."""
        self.refuses: dict[str, Refused] = {}
        self.before: dict[str, Callable[[], None]] = {}
        """Called once, when Serin's next call of this name has arrived and AWS has not looked at it yet."""
        self.silent_s: dict[str, float] = {}
        """The next answer to Serin's call of this name comes so late; what it does is done at once."""
        self.routing: dict = {}
        """Members of the routing that no SDK knows."""
        self._model = botocore.session.get_session().get_service_model("lambda")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        # It looks so often whether it is to stop.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def describe(self, description: str) -> None:
        """A person's word, which changes the revision and nothing else."""
        self.alias = Alias(self.alias.version, self.alias.more, description)

    def write(self, version: str, more: dict[str, float]) -> None:
        """What somebody else's call does."""
        self.alias = Alias(version, more, self.alias.description)

    def client(self):
        return boto3.client(
            "lambda",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"total_max_attempts": 1}),
        )

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(functions):  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                by = "boto3" if "Boto3" in self.headers.get("user-agent", "") else "serin"
                status, answer, code = functions._answer(self.command, self.path, body, by)
                raw = json.dumps(answer).encode() if status != 204 else b""
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("x-amzn-requestid", str(uuid.uuid4()))
                if code:
                    self.send_header("x-amzn-errortype", code)
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_PUT = do_POST = do_DELETE = _any

            def log_message(self, *_: object) -> None:
                """Say nothing: the calls are kept."""

        return Handler

    def _answer(self, method: str, path: str, body: bytes, by: str) -> tuple[int, dict, str | None]:
        action, params = parse(self._model, method, path, body)
        operation = self._model.operation_model(action)
        self._hold(f"{action} request", params, operation.input_shape)
        self.calls.append(Asked(action, params, by))
        if by == "serin" and (first := self.before.pop(action, None)):
            first()
        try:
            if by == "serin" and action in self.refuses:
                raise self.refuses[action]
            answer = getattr(self, f"_{action}")(**params)
        except Refused as refused:
            known = {shape.name for shape in operation.error_shapes} | {"AccessDeniedException"}
            assert refused.code in known, f"{action} has no {refused.code}"
            return refused.status, {"Type": "User", "Message": refused.message}, refused.code
        if operation.output_shape:
            self._hold(f"{action} answer", answer, operation.output_shape)
        if "RoutingConfig" in answer and self.routing:
            answer["RoutingConfig"] |= self.routing
        if by == "serin" and (late := self.silent_s.pop(action, None)):
            time.sleep(late)
        return operation.http.get("responseCode", 200), answer, None

    def _hold(self, what: str, value: dict, shape) -> None:
        report = ParamValidator().validate(value, shape)
        if report.has_errors():
            self.faults.append(f"{what}: {report.generate_report()}")

    def _GetAlias(self, FunctionName: str, Name: str) -> dict:  # noqa: N803
        self._is_ours(FunctionName, Name)
        return self._described()

    def _UpdateAlias(
        self,
        FunctionName: str,  # noqa: N803
        Name: str,  # noqa: N803
        FunctionVersion: str | None = None,  # noqa: N803
        Description: str | None = None,  # noqa: N803
        RoutingConfig: dict | None = None,  # noqa: N803
        RevisionId: str | None = None,  # noqa: N803
    ) -> dict:
        self._is_ours(FunctionName, Name)
        if RevisionId not in (None, self.alias.revision):
            says = (
                "The RevisionId provided does not match the latest RevisionId. Call the GetAlias "
                "API to retrieve the latest RevisionId for your alias."
            )
            raise Refused("PreconditionFailedException", says, 412)
        more = self.alias.more
        if RoutingConfig is not None:
            more = RoutingConfig.get("AdditionalVersionWeights", {})
        main = FunctionVersion or self.alias.version
        if len(more) > 1 or main in more or not {main, *more} <= {*self.states}:
            raise Refused("InvalidParameterValueException", f"{main} with {more}", 400)
        description = self.alias.description if Description is None else Description
        self.alias = Alias(main, dict(more), description)
        return self._described()

    def _GetFunctionConfiguration(
        self,
        FunctionName: str,  # noqa: N803
        Qualifier: str,  # noqa: N803
    ) -> dict:
        assert FunctionName == FUNCTION
        if Qualifier not in self.states:
            raise Refused("ResourceNotFoundException", f"{FUNCTION}:{Qualifier}", 404)
        arn = f"{FUNCTION}:{Qualifier}"
        state = self.states[Qualifier]
        return {"FunctionName": NAME, "FunctionArn": arn, "Version": Qualifier, "State": state}

    def _ListTags(self, Resource: str) -> dict:  # noqa: N803
        assert Resource == FUNCTION, "an alias has no tags"
        return {"Tags": self.tags}

    def _TagResource(self, Resource: str, Tags: dict) -> dict:  # noqa: N803
        assert Resource == FUNCTION
        self.tags |= Tags
        return {}

    def _UntagResource(self, Resource: str, TagKeys: list[str]) -> dict:  # noqa: N803
        assert Resource == FUNCTION
        self.tags = {key: value for key, value in self.tags.items() if key not in TagKeys}
        return {}

    def _is_ours(self, function: str, name: str) -> None:
        if function not in (NAME, FUNCTION) or name != ALIAS:
            raise Refused("ResourceNotFoundException", f"Cannot find alias arn: {function}:{name}", 404)

    def _described(self) -> dict:
        described = {
            "AliasArn": ARN,
            "Name": ALIAS,
            "FunctionVersion": self.alias.version,
            "Description": self.alias.description,
            "RevisionId": self.alias.revision,
        }
        if self.alias.more or self.routing:
            described["RoutingConfig"] = {"AdditionalVersionWeights": dict(self.alias.more)}
        return described


def parse(model, method: str, path: str, body: bytes) -> tuple[str, dict]:
    """The operation of a REST request and its parameters, by botocore's model."""
    url = urlsplit(path)
    for action in model.operation_names:
        operation = model.operation_model(action)
        if operation.http["method"] != method:
            continue
        template = operation.http["requestUri"].rstrip("/")
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template)
        if match := re.fullmatch(pattern, url.path.rstrip("/")):
            break
    else:
        raise AssertionError(f"no operation for {method} {path}")
    params = json.loads(body) if body else {}
    given = parse_qs(url.query)
    for name, member in operation.input_shape.members.items():
        wire = member.serialization.get("name", name)
        if member.serialization.get("location") == "uri":
            params[name] = unquote(match[wire])
        elif member.serialization.get("location") == "querystring" and wire in given:
            values = given[wire]
            params[name] = values if member.type_name == "list" else values[0]
    return action, params
