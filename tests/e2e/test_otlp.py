"""Metrics, log records and spans, as a real collector gets them by either protocol; the traces that a service is told; what
CloudWatch gets by OTLP and by lines of logs."""

from __future__ import annotations

import datetime
import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from peers import CREDENTIALS, REGION, Collector, Ministack, Nginx, release_binary
from processes import Process, environment, free_port, wait_until

_CONFIG = """service = "checkout"
trace_share = "{share}"

[[targets]]
name = "home"
url = "http://127.0.0.1:{port}/?token=hidden"
version = {{ header = "x-version" }}

[objectives]
availability = "99%"

[pace]
calm = "20/s"

[admin]
listen = "127.0.0.1:{admin}"

[evidence]
dir = "{folder}/evidence"
stdout = false
"""


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "collector.pem", folder / "collector.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_all_three_signals_arrive_over_tls_and_compressed(tmp_path: Path, protocol: str) -> None:
    tls = _certificate(tmp_path)
    collector = Collector(tmp_path / "collector", tls=tls)
    nginx = Nginx(tmp_path / "nginx", "blue-1", traced=True)
    serin = None
    try:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.grpc_url if protocol == "grpc" else collector.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_EXPORTER_OTLP_CERTIFICATE": str(tls[0]),
            "OTEL_METRIC_EXPORT_INTERVAL": "500",
        }
        serin = _start(tmp_path, nginx, variables, share="0%")
        wait_until("metrics", lambda: collector.total("serin.probe.attempts") > 0, 20)
        wait_until("a log record", lambda: "serin.started" in _events(collector), 10)
        assert collector.spans() == [], "what is good and wasn't drawn is no span"
        nginx.fail()
        wait_until("spans", lambda: len(collector.spans()) >= 10, 10)
        nginx.recover()

        asked = nginx.requests()
        failed = {line[0] for line in asked if line[1] == "500"}
        told = {line[2] for line in asked}
        for span in collector.spans():
            assert f"00-{span['traceId']}-{span['spanId']}-00" in failed, "the ids that the service was told"
            (link,) = span["links"]
            assert (link["traceId"] in told, link["spanId"]) == (True, "00f067aa0ba902b7")
            attributes = span["attributes"]
            assert (attributes["error.type"], attributes["http.response.status_code"]) == ("status", "500")
            assert attributes["url.full"] == f"http://127.0.0.1:{nginx.port}/", "a query may hold secrets"
        probes = [line[0] for line in asked if line[0] != "-"]
        assert len(set(probes)) == len(probes) > 40, "each has a trace of its own"
        assert all(parent.endswith("-00") for parent in probes), "and nobody is asked to keep it"
    finally:
        for each in (serin, nginx, collector):
            if each:
                each.stop()


def test_a_share_of_the_good_probes_is_traced_too(tmp_path: Path) -> None:
    collector = Collector(tmp_path / "collector")
    nginx = Nginx(tmp_path / "nginx", "blue-1", traced=True)
    serin = None
    try:
        serin = _start(tmp_path, nginx, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}, share="30%")
        wait_until("spans", lambda: len(collector.spans()) >= 20, 20)
        sampled = {line[0] for line in nginx.requests() if line[0].endswith("-01")}
        spans = {f"00-{span['traceId']}-{span['spanId']}-01" for span in collector.spans()}
        assert spans <= sampled
        probes = [line[0] for line in nginx.requests() if line[0] != "-"]
        assert 0.1 < len(sampled) / len(probes) < 0.5, f"{len(sampled)} of {len(probes)}"
    finally:
        for each in (serin, nginx, collector):
            if each:
                each.stop()


class _Signed(HTTPServer):
    """Remembers each request as it came; botocore reckons the signature again."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Remember)
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Remember(BaseHTTPRequestHandler):
    server: _Signed

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.got.append((self.path, headers, body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_requests_are_signed_as_cloudwatch_reckons_it(tmp_path: Path) -> None:
    server = _Signed()
    nginx = Nginx(tmp_path / "nginx", "blue-1")
    serin = None
    try:
        endpoint = f"http://127.0.0.1:{server.server_port}"
        variables = {
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            "AWS_SESSION_TOKEN": "a-session",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        }
        more = f'[publish.otlp]\nendpoint = "{endpoint}"\ninterval = "1s"\nsigv4 = "eu-west-1"\n'
        serin = _start(tmp_path, nginx, variables, share="0%", more=more)
        wait_until("three exports", lambda: len(server.got) >= 3, 20)
        for path, headers, body in server.got:
            assert (path, headers["content-encoding"]) == ("/v1/metrics", "gzip"), "metrics only"
            assert b"serin.probe.attempts" in gzip.decompress(body)
            scheme, _, rest = headers["authorization"].partition(" ")
            parts = dict(part.strip().split("=", 1) for part in rest.split(","))
            assert (scheme, parts["Credential"].split("/", 2)[2]) == (
                "AWS4-HMAC-SHA256",
                "eu-west-1/monitoring/aws4_request",
            )
            signed = parts["SignedHeaders"].split(";")
            assert {"host", "x-amz-date", "x-amz-security-token"} <= set(signed)
            request = AWSRequest("POST", endpoint + path, {name: headers[name] for name in signed}, body)
            request.context["timestamp"] = headers["x-amz-date"]
            credentials = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "a-session")
            signer = SigV4Auth(credentials, "monitoring", "eu-west-1")
            text = signer.string_to_sign(request, signer.canonical_request(request))
            assert signer.signature(text, request) == parts["Signature"]
    finally:
        for each in (serin, nginx):
            if each:
                each.stop()
        server.shutdown()


_EMF = '[publish.emf]\nnamespace = "Ours"\ninterval = "1s"\nresolution = 1\n'


def test_lines_for_cloudwatchs_logs_are_on_standard_output(tmp_path: Path) -> None:
    nginx = Nginx(tmp_path / "nginx", "blue-1")
    serin = None
    try:
        serin = _start(tmp_path, nginx, {}, share="0%", more=_EMF)
        wait_until("lines", lambda: len(_embedded(serin)) >= 6, 20)
        serin.stop()
        _are_metrics(_embedded(serin))
    finally:
        for each in (serin, nginx):
            if each:
                each.stop()


def test_lines_for_cloudwatchs_logs_are_in_a_group_as_soon_as_there_is_one(tmp_path: Path) -> None:
    nginx = Nginx(tmp_path / "nginx", "blue-1")
    ministack = serin = None
    try:
        ministack = Ministack(tmp_path / "ministack", services="logs")
        logs = ministack.client("logs")
        variables = {"AWS_ENDPOINT_URL": ministack.url, "AWS_REGION": REGION, **CREDENTIALS}
        serin = _start(tmp_path, nginx, variables, share="0%", more=f'{_EMF}log_group = "/serin/metrics"\n')
        # Lines of the time before the group wait on disk.
        wait_until("it is told", lambda: "there is no log group /serin/metrics" in serin.log.read_text(), 30)
        logs.create_log_group(logGroupName="/serin/metrics")

        def events() -> list[dict]:
            return logs.filter_log_events(logGroupName="/serin/metrics", limit=10_000)["events"]

        wait_until("lines, and those of before", lambda: len(events()) >= 20, 60)
        serin.stop()
        assert _embedded(serin) == [], "none of them is on standard output"
        (stream,) = logs.describe_log_streams(logGroupName="/serin/metrics")["logStreams"]
        assert stream["logStreamName"].startswith("serin/")
        lines = [json.loads(event["message"]) for event in events()]
        assert [event["timestamp"] for event in events()] == [line["_aws"]["Timestamp"] for line in lines]
        _are_metrics(lines)
        gone = [line for line in serin.log.read_text().splitlines() if "figures were lost" in line]
        assert gone == []
    finally:
        for each in (serin, ministack, nginx):
            if each:
                each.stop()


def _are_metrics(lines: list[dict]) -> None:
    """Each line is what the format asks for, and together they tell of each probe once."""
    names = set()
    for line in lines:
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        (dimensions,) = directive["Dimensions"]
        assert directive["Namespace"] == "Ours" and 0 < len(directive["Metrics"]) <= 100
        assert [line[name] for name in dimensions] == ["checkout", "home"][: len(dimensions)]
        for metric in directive["Metrics"]:
            values = line[metric["Name"]]
            numbers = values if isinstance(values, list) else [values]
            assert 0 < len(numbers) <= 100 and all(isinstance(each, (int, float)) for each in numbers)
            names.add(metric["Name"])
    assert {"Attempts", "Failures", "ErrorRate", "Latency"} <= names
    attempts = sum(line.get("Attempts", 0) for line in lines if "Target" not in line)
    assert attempts == sum(line["Attempts"] for line in lines if "Target" in line) > 20


def _embedded(serin: Process) -> list[dict]:
    lines = serin.log.read_text().splitlines()
    return [json.loads(line) for line in lines if line.endswith("}") and '"_aws":{' in line]


def _start(folder: Path, nginx: Nginx, variables: dict[str, str], share: str, more: str = "") -> Process:
    config = folder / "serin.toml"
    config.write_text(_CONFIG.format(port=nginx.port, admin=free_port(), folder=folder, share=share) + more)
    env = environment(AWS_EC2_METADATA_DISABLED="true", **variables)
    return Process([release_binary(), "run", "--config", config], folder / "serin.log", env)


def _events(collector: Collector) -> set[str]:
    return {record.get("eventName", "") for record in collector.logs()}
