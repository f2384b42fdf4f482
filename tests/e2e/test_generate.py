"""The template of `serin generate cloudwatch`: CloudFormation's schemas and AWS's models find no fault with it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from botocore.session import Session
from botocore.validate import ParamValidator
from peers import REGION, release_binary
from processes import environment
from weighted import Moto

_CONFIG = """service = "checkout"
mode = "act"
sole_actuator = true
owner = "none"
listener = "arn:aws:elasticloadbalancing:{region}:123456789012:listener/app/shop/50dc6c495c0c9188/f2f7dc8efc522ab2"

[[targets]]
url = "https://shop.example.com/health"
version = {{ header = "x-version" }}

[objectives]
availability = "99.9%"
p95 = "250ms"
p99 = "1s"
"""
_TOLD = """
[publish.cloudwatch]
namespace = "Serin"
"""
_TOPIC = f"arn:aws:sns:{REGION}:123456789012:people"


def _generate(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    config = folder / "serin.toml"
    config.write_text(text)
    command = [release_binary(), "generate", "cloudwatch", "--config", config]
    return subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=20, check=False)


def _resolved(value: object) -> object:
    """What CloudFormation makes of the functions that the template uses, with a topic."""
    if isinstance(value, list):
        return [_resolved(each) for each in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"Fn::Sub": text}:
            return text.replace("${AWS::StackName}", "shop").replace("${AWS::Region}", REGION)
        case {"Fn::If": ["IsTold", then, _]}:
            return _resolved(then)
        case {"Ref": "AlarmTopic"}:
            return _TOPIC
    assert not any(key.startswith("Fn::") or key == "Ref" for key in value), value
    return {key: _resolved(each) for key, each in value.items()}


def test_what_the_template_says_is_taken_by_cloudwatch(tmp_path: Path, moto: Moto) -> None:
    made = _generate(tmp_path, _CONFIG.format(region=REGION) + _TOLD)
    assert made.returncode == 0, made.stderr
    resources = json.loads(made.stdout)["Resources"].values()
    properties = {
        kind: [_resolved(each["Properties"]) for each in resources if each["Type"].endswith(f"::{kind}")]
        for kind in ("Alarm", "CompositeAlarm", "Dashboard")
    }
    assert sum(map(len, properties.values())) == len(resources)
    moto.begin()
    cloudwatch = moto.client("cloudwatch")
    # The names of a resource's properties are those of the API, and boto3 refuses what AWS's model doesn't know.
    for each in properties["Alarm"]:
        cloudwatch.put_metric_alarm(**each)
    # Moto has none of these; AWS's model has.
    composite = Session().get_service_model("cloudwatch").operation_model("PutCompositeAlarm").input_shape
    for each in properties["CompositeAlarm"]:
        assert not ParamValidator().validate(each, composite).has_errors()
    for each in properties["Dashboard"]:
        assert cloudwatch.put_dashboard(**each).get("DashboardValidationMessages", []) == []

    answer = cloudwatch.describe_alarms()
    alarms = {alarm["AlarmName"]: alarm for alarm in answer["MetricAlarms"]}
    below = ["unarmed", "breach", "blind", "errors", "latency-p95", "latency-p99"]
    assert set(alarms) == {f"shop-checkout-{name}" for name in below}
    dead = alarms["shop-checkout-unarmed"]
    assert (dead["TreatMissingData"], dead["MetricName"]) == ("breaching", "Armed")
    assert dead["Dimensions"] == [{"Name": "Service", "Value": "checkout"}]
    assert alarms["shop-checkout-latency-p99"]["ExtendedStatistic"] == "p99"
    [above] = properties["CompositeAlarm"]
    assert (above["AlarmName"], above["AlarmActions"]) == ("shop-checkout", [_TOPIC])
    assert set(above["AlarmRule"].split(" OR ")) == {f'ALARM("{name}")' for name in alarms}


def test_the_linter_of_cloudformation_finds_nothing(tmp_path: Path) -> None:
    made = _generate(tmp_path, _CONFIG.format(region=REGION) + _TOLD)
    template = tmp_path / "template.json"
    template.write_text(made.stdout)
    linter = [Path(sys.executable).with_name("cfn-lint"), "--regions", REGION, "--include-checks", "I", "--", template]
    found = subprocess.run(linter, capture_output=True, text=True, env=environment(), timeout=60, check=False)
    assert (found.returncode, found.stdout) == (0, ""), found.stdout + found.stderr


def test_without_cloudwatch_there_is_nothing_to_watch(tmp_path: Path) -> None:
    made = _generate(tmp_path, _CONFIG.format(region=REGION))
    assert made.returncode == 78
    assert "[publish.cloudwatch]" in made.stderr and made.stdout == ""
