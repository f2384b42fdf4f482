"""The files of `deploy/`, checked by AWS's own models (botocore) and by Serin itself."""

from __future__ import annotations

import http.server
import json
import re
import runpy
import subprocess
import threading
import tomllib
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name
from botocore.validate import ParamValidator

from peers import release_binary
from processes import environment

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
TASKS = ("ecs-sidecar.json", "ecs-service.json")
POLICIES = ("iam-sensor.json", "iam-actuator.json", "iam-owner.json")
# botocore's name of a service → the prefix of its IAM actions.
PREFIXES = {
    "elbv2": "elasticloadbalancing",
    "cloudwatch": "cloudwatch",
    "codedeploy": "codedeploy",
    "ecs": "ecs",
    "lambda": "lambda",
    "sns": "sns",
    "events": "events",
    "logs": "logs",
}
# botocore's name → the Rust SDK's, where they differ.
SDKS = {"elbv2": "elasticloadbalancingv2", "events": "eventbridge", "logs": "cloudwatchlogs"}
READS = ("Describe", "List", "Get", "BatchGet")
# botocore's own list of resources has none for this call (IAM's table: `*` alone).
UNBOUND = {"StopDeployment"}
# What a sensor may beside reading: to tell.
TELLS = {
    "cloudwatch:PutMetricData",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "sns:Publish",
    "events:PutEvents",
}


@pytest.mark.parametrize(
    ("file", "operation"),
    [
        ("ecs-sidecar.json", "RegisterTaskDefinition"),
        ("ecs-service.json", "RegisterTaskDefinition"),
        ("ecs-service-create.json", "CreateService"),
    ],
)
def test_ecs_accepts_the_shape(file: str, operation: str) -> None:
    shape = model("ecs").operation_model(operation).input_shape
    report = ParamValidator().validate(load(file), shape)
    assert not report.has_errors(), report.generate_report()
    assert unlisted_words(load(file), shape) == [], "every word of a closed set is in that set"


@pytest.mark.parametrize("file", TASKS)
def test_own_limits_and_no_rights_in_the_container(file: str) -> None:
    task, serin = load(file), container(file, "serin")
    assert serin["cpu"] and serin["memory"], "its own limits"
    assert sum(each["cpu"] for each in task["containerDefinitions"]) <= int(task["cpu"])
    assert sum(each["memory"] for each in task["containerDefinitions"]) <= int(task["memory"])
    assert serin["user"] == "65532:65532"
    assert serin["readonlyRootFilesystem"] is True
    assert serin["linuxParameters"]["capabilities"] == {"drop": ["ALL"]}
    assert serin["stopTimeout"] >= 30, "time to finish a write and its read-back"
    assert serin["healthCheck"]["command"] == ["CMD", "/serin", "healthcheck"], "it has no shell"
    assert serin["command"] == ["run", "--config", "env:SERIN_CONFIG"]
    mounts = [mount["sourceVolume"] for mount in serin["mountPoints"]]
    others = [each for each in task["containerDefinitions"] if each["name"] != "serin"]
    shared = [mount["sourceVolume"] for each in others for mount in each.get("mountPoints", [])]
    assert not set(mounts) & set(shared), "whoever reaches the volume reaches the admin socket"


def test_sidecar_neither_stops_its_task_nor_acts() -> None:
    assert container("ecs-sidecar.json", "serin")["essential"] is False
    others = [each for each in load("ecs-sidecar.json")["containerDefinitions"]]
    assert not any(
        depends["containerName"] == "serin"
        for each in others
        for depends in each.get("dependsOn", [])
    ), "the application starts without it"
    assert config("ecs-sidecar.json")["mode"] == "observe"


def test_actuator_is_alone_in_its_task_and_never_two() -> None:
    assert [each["name"] for each in load("ecs-service.json")["containerDefinitions"]] == ["serin"]
    document = config("ecs-service.json")
    assert (document["mode"], document["sole_actuator"]) == ("act", True)
    assert "owner" not in document, "it is found out"
    service = load("ecs-service-create.json")
    assert service["taskDefinition"] == load("ecs-service.json")["family"]
    assert service["desiredCount"] == document["instances"] == 1
    deployment = service["deploymentConfiguration"]
    assert (deployment["minimumHealthyPercent"], deployment["maximumPercent"]) == (0, 100)
    assert "loadBalancers" not in service, "it belongs to neither target group"


@pytest.mark.parametrize("file", TASKS)
def test_serin_accepts_the_configuration(file: str) -> None:
    variable = {item["name"]: item["value"] for item in container(file, "serin")["environment"]}
    checked = subprocess.run(
        [release_binary(), "check", "--config", "env:SERIN_CONFIG"],
        env=environment(**variable),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_policies_allow_what_the_code_calls_and_nothing_else() -> None:
    called = calls("src/revert", "src/publish", "src/cli", "src/app")
    # Who writes the listener needs no right to another's deployments, and the other way round.
    rolls = {"ecs:ContinueServiceDeployment", "ecs:StopServiceDeployment", "codedeploy:StopDeployment"}
    writes = {"elasticloadbalancing:ModifyListener", "elasticloadbalancing:ModifyRule"}
    writes |= {"lambda:UpdateAlias"}
    assert rolls < called and writes < called
    assert actions("iam-actuator.json") == called - rolls
    assert actions("iam-owner.json") == called - writes
    reads = {action for action in called if action.split(":")[1].startswith(READS)}
    assert actions("iam-sensor.json") == reads | TELLS


@pytest.mark.parametrize("file", POLICIES)
def test_policies_name_exact_resources(file: str) -> None:
    for statement in load(file)["Statement"]:
        assert statement["Effect"] == "Allow"
        for action in listed(statement["Action"]):
            service, operation = action.split(":")
            known = {PREFIXES[name]: set(model(name).operation_names) for name in PREFIXES}
            assert operation in known[service], "an action that AWS has, and no wildcard"
            resources = listed(statement["Resource"])
            if operation == "PutMetricData":
                assert statement["Condition"] == {
                    "StringEquals": {"cloudwatch:namespace": namespace()}
                }
            elif service == "lambda":
                one, *its = resources
                assert re.fullmatch(r"arn:aws:lambda:[a-z0-9-]+:\d{12}:function:checkout", one)
                # Its alias and its versions may be read; a tag and an alias are written through the function itself.
                assert its == ([f"{one}:*"] if operation.startswith(READS) else [])
            elif operation.startswith(READS) or operation in UNBOUND:
                assert resources == ["*"], "no resource-level permission, or a look for who it is"
            elif service == "ecs":
                scope = r"arn:aws:ecs:[a-z0-9-]+:\d{12}:"
                one, its = resources
                assert re.fullmatch(scope + r"service/prod/checkout", one)
                assert its == one.replace(":service/", ":service-deployment/") + "/*"
            elif service == "logs":
                group = re.search(r'^# log_group = "(.+)"$', (ROOT / "config/serin.toml").read_text(), re.M)
                arn = r"arn:aws:logs:[a-z0-9-]+:\d{12}:log-group:(.+):\*"
                (resource,) = resources
                assert re.fullmatch(arn, resource)[1] == group[1], "one exact group, and its streams"
            elif operation == "Publish":
                assert resources == [reference()["publish"]["sns"]["topic"]], "one exact topic"
            elif operation == "PutEvents":
                assert resources == [reference()["publish"]["eventbridge"]["bus"]], "one exact bus"
                assert statement["Condition"] == {
                    "StringEquals": {"events:source": "serin.prober"}
                }
            else:
                (resource,) = resources
                assert re.fullmatch(
                    r"arn:aws:elasticloadbalancing:[a-z0-9-]+:\d{12}:listener(-rule)?/app/[\w/-]+",
                    resource,
                ), "one exact ARN"


def test_actuator_may_write_only_the_governed_listener() -> None:
    listener = config("ecs-service.json")["listener"]
    for statement in load("iam-actuator.json")["Statement"]:
        for action in listed(statement["Action"]):
            if action.endswith(":ModifyListener"):
                assert statement["Resource"] == listener
            if action.endswith(":ModifyRule"):
                prefix = listener.replace(":listener/", ":listener-rule/")
                assert statement["Resource"].startswith(prefix + "/")


def test_the_ecs_hook_hands_on_the_word_and_takes_silence_for_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hook = runpy.run_path(str(DEPLOY / "ecs_hook.py"))["handler"]
    answers = iter([(200, b'{"hookStatus": "FAILED"}'), (503, b"{}"), (200, b"not JSON"), (200, b"{}")])

    class Serin(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = next(answers)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Serin) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("SERIN_VERDICT_URL", f"http://127.0.0.1:{server.server_port}/api/v1/verdict/checkout")
        assert [hook({}, None)["hookStatus"] for _ in range(4)] == ["FAILED"] + ["IN_PROGRESS"] * 3
        server.shutdown()
    assert hook({}, None)["hookStatus"] == "IN_PROGRESS", "nobody listens"


def test_the_verdict_url_is_the_same_for_argo_and_flagger() -> None:
    url = "http://serin.shop.svc:9464/api/v1/verdict/checkout"
    for file in ("argo-analysis.yaml", "flagger-rollback.yaml"):
        assert (DEPLOY / file).read_text().count(url) == 1


def test_image_is_empty_but_for_serin_and_not_root() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    final = steps[max(n for n, step in enumerate(steps) if step[0] == "FROM") :]
    assert final[0] == ["FROM", "scratch"]
    assert [argument for step, argument in final if step == "USER"] == ["65532:65532"]
    (check,) = [argument for step, argument in final if step == "HEALTHCHECK"]
    assert check.endswith('CMD ["/serin", "healthcheck"]')
    for step, argument in steps:
        if step == "FROM" and argument != "scratch":
            assert re.match(r"[a-z]+:\d+\.\d+\.\d+-", argument), "a full version, not a moving tag"


def test_image_context_holds_all_that_the_source_includes() -> None:
    allowed = [
        ROOT / line[1:]
        for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    for source in (ROOT / "src").rglob("*.rs"):
        for name in re.findall(r'include_(?:str|bytes)!\(\s*"([^"]+)"', source.read_text()):
            path = (source.parent / name).resolve()
            assert any(path.is_relative_to(each) for each in allowed), f"{source} includes {path}"


def load(file: str) -> dict:
    return json.loads((DEPLOY / file).read_text())


def container(file: str, name: str) -> dict:
    (found,) = [each for each in load(file)["containerDefinitions"] if each["name"] == name]
    return found


def config(file: str) -> dict:
    """The document that the task gives Serin in its environment."""
    variables = {item["name"]: item["value"] for item in container(file, "serin")["environment"]}
    return json.loads(variables["SERIN_CONFIG"])


def namespace() -> str:
    (name,) = {config(file)["publish"]["cloudwatch"]["namespace"] for file in TASKS}
    return name


def reference() -> dict:
    return tomllib.loads((ROOT / "config" / "serin.toml").read_text())


def model(service: str):
    return botocore.session.get_session().get_service_model(service)


def unlisted_words(value: object, shape) -> list[str]:
    """Strings outside their enumeration, which botocore's validator lets pass."""
    if shape.type_name == "structure":
        return [
            word for key, item in value.items() for word in unlisted_words(item, shape.members[key])
        ]
    if shape.type_name == "list":
        return [word for item in value for word in unlisted_words(item, shape.member)]
    if shape.type_name == "string" and shape.enum and value not in shape.enum:
        return [value]
    return []


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def actions(file: str) -> set[str]:
    return {
        action for statement in load(file)["Statement"] for action in listed(statement["Action"])
    }


def calls(*folders: str) -> set[str]:
    """The AWS calls in the source: fluent calls of the SDK, such as `.describe_rules()`.

    Those of the stage of demo and drill are left out: it plays the pipeline, and only ever to the lab.
    """
    operations: dict[str, dict[str, str]] = {}
    for service, prefix in PREFIXES.items():
        for operation in model(service).operation_names:
            operations.setdefault(xform_name(operation), {})[SDKS.get(service, service)] = (
                f"{prefix}:{operation}"
            )
    found = set()
    for folder in folders:
        for path in sorted([*(ROOT / folder).rglob("*.rs"), *ROOT.glob(f"{folder}.rs")]):
            if path == ROOT / "src/cli/stage.rs":
                continue
            code = re.sub(r"//.*", "", path.read_text())
            sdks = set(re.findall(r"aws_sdk_(\w+)", code))
            # Who makes no call of an SDK and names none may use its words: `subscribe` is a channel's too.
            if not sdks and ".send()" not in code:
                continue
            for name in re.findall(r"\.\s*([a-z_]+)\(\)", code):
                # Several services have a call of this name: then it is that of the SDK that the file names.
                by_sdk = operations.get(name, {})
                found |= {by_sdk[sdk] for sdk in by_sdk if len(by_sdk) == 1 or sdk in sdks}
    return found
