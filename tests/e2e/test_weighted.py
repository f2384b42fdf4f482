"""Weights, stickiness and rules: written and read by boto3 in moto, and followed by a real Envoy, late where a test says so."""

from __future__ import annotations

import datetime
import json
import subprocess
import time
from pathlib import Path

import pytest

from conftest import WeightedWorld
from daemon import SERVICE, Daemon
from peers import release_binary
from processes import environment, wait_until
from weighted import COOKIE

REVERT_WITHIN_S = 30
DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@pytest.mark.parametrize("style", ["weights", "exclusive"])
def test_weights_come_back_and_stickiness_as_the_style_says(
    weighted: WeightedWorld, style: str
) -> None:
    before = weighted.actions()
    daemon = weighted.start_serin(revert_style=style)
    daemon.wait_armed()
    weighted.shift(0, 100)
    seen(weighted, daemon)
    weighted.green.fail()
    daemon.wait_event("verified", REVERT_WITHIN_S)

    assert weighted.colours() == {"blue-1"}
    (write,) = weighted.referee.writes()
    assert (write.action, write.status) == ("ModifyListener", 200)
    blue, green = weighted.groups["blue"], weighted.groups["green"]
    # A user whom green has served, while the cookie lasts.
    held = weighted.ask(cookie=f"{COOKIE}=green")
    (page,) = [each["text"] for each in daemon.events("paged") if each["kind"] == "reverted"]
    if style == "weights":
        assert weighted.actions() == before, "field by field what they were"
        assert sent(write.params, "DefaultActions") == {
            "1.Type": "forward",
            "1.Order": "1",
            "1.ForwardConfig.TargetGroups.member.1.TargetGroupArn": blue,
            "1.ForwardConfig.TargetGroups.member.1.Weight": "100",
            "1.ForwardConfig.TargetGroups.member.2.TargetGroupArn": green,
            "1.ForwardConfig.TargetGroups.member.2.Weight": "0",
            "1.ForwardConfig.TargetGroupStickinessConfig.Enabled": "true",
            "1.ForwardConfig.TargetGroupStickinessConfig.DurationSeconds": "600",
        }
        assert held[:2] == (500, "green-2")
        assert "may stay with it for 600 s" in page
    else:
        (action,) = weighted.actions()
        assert action["ForwardConfig"]["TargetGroups"] == [{"TargetGroupArn": blue, "Weight": 1}]
        assert not action["ForwardConfig"]["TargetGroupStickinessConfig"]["Enabled"]
        assert held[:2] == (200, "blue-1"), "no cookie holds anybody"
        assert "may stay" not in page


def test_a_canary_that_breaks_at_half_goes_back_to_where_it_began(weighted: WeightedWorld) -> None:
    before = weighted.actions()
    # In peace the listener is read when another version answers, and a hundredth shows late at ten a second.
    daemon = weighted.start_serin(calm="40/s")
    daemon.wait_armed()
    for epoch, share in enumerate((1, 10, 50), start=2):
        weighted.shift(100 - share, share)
        daemon.wait_event("epoch", 30, count=epoch)
        time.sleep(2)
    assert weighted.colours(asks=40) == {"blue-1", "green-2"}
    weighted.green.fail()
    daemon.wait_event("verified", REVERT_WITHIN_S)

    assert weighted.actions() == before, "the first before-image, not the step before"
    assert weighted.colours(asks=40) == {"blue-1"}
    (release,) = daemon.events("release")
    epochs = [(each["cause"], each["release"]) for each in daemon.events("epoch")]
    number = release["release"]
    assert epochs == [
        ("start", None),
        ("foreign", number),
        ("step", number),
        ("step", number),
        ("own_revert", number),
    ]
    assert [call.action for call in weighted.referee.writes()] == ["ModifyListener"]


def test_a_green_that_is_not_there_is_put_back(weighted: WeightedWorld) -> None:
    """The balancer answers for it, and names no version."""
    before = weighted.actions()
    daemon = weighted.start_serin()
    daemon.wait_armed()
    weighted.green.stop()
    weighted.shift(0, 100)
    wait_until("the balancer answers itself", lambda: weighted.ask()[:2] == (503, None), 5)
    daemon.wait_event("verified", REVERT_WITHIN_S)
    assert weighted.actions() == before
    assert weighted.colours() == {"blue-1"}


def test_a_rule_is_put_back_and_a_neighbours_is_nobodys_business(weighted: WeightedWorld) -> None:
    pay = weighted.create_rule("/pay*", 10, weighted.forward(100, 0))
    neighbour = weighted.create_rule("/blog*", 20, weighted.forward(100, 0))
    before, default = weighted.actions(pay), weighted.actions()
    daemon = weighted.start_serin(rules=[pay], paths=["/pay"])
    daemon.wait_armed()
    weighted.set_actions(weighted.forward(70, 30), neighbour)
    time.sleep(1)
    assert daemon.events("release") == []
    weighted.set_actions(weighted.forward(0, 100), pay)
    seen(weighted, daemon, "/pay")
    # Within a release the rule is read every second.
    weighted.set_actions(weighted.forward(20, 80), neighbour)
    time.sleep(2.5)
    assert len(daemon.events("epoch")) == 2, "before the cutover and after it"
    weighted.green.fail()
    daemon.wait_event("verified", REVERT_WITHIN_S)

    assert (weighted.actions(pay), weighted.actions()) == (before, default)
    assert weighted.actions(neighbour) == weighted.forward(20, 80), "as its owner left it"
    assert weighted.colours("/pay") == {"blue-1"}
    (write,) = weighted.referee.writes()
    assert (write.action, write.params["RuleArn"]) == ("ModifyRule", pay)
    assert {key.split(".")[0] for key in write.params} == {"Action", "Version", "RuleArn", "Actions"}


def test_two_rules_that_move_together_keep_their_logins(weighted: WeightedWorld) -> None:
    rules = [
        weighted.create_rule("/pay*", 10, [COGNITO, *weighted.forward(100, 0, order=2)]),
        weighted.create_rule("/cart*", 20, [OIDC, *weighted.forward(100, 0, order=2)]),
    ]
    before = [weighted.actions(rule) for rule in rules]
    daemon = weighted.start_serin(rules=rules, paths=["/pay", "/cart"])
    daemon.wait_armed()
    for rule, login in zip(rules, (COGNITO, OIDC), strict=True):
        weighted.set_actions([login, *weighted.forward(0, 100, order=2)], rule)
    seen(weighted, daemon, "/cart")
    weighted.green.fail()
    daemon.wait_event("verified", REVERT_WITHIN_S)

    assert [weighted.actions(rule) for rule in rules] == before
    assert weighted.colours("/pay") | weighted.colours("/cart") == {"blue-1"}
    writes = weighted.referee.writes()
    assert [(call.action, call.params["RuleArn"]) for call in writes] == [
        ("ModifyRule", rule) for rule in rules
    ], "the most important first"
    pay, cart = (sent(call.params, "Actions") for call in writes)
    assert pay["1.AuthenticateCognitoConfig.UserPoolDomain"] == "shop"
    assert cart["1.AuthenticateOidcConfig.UseExistingClientSecret"] == "true"
    assert "1.AuthenticateOidcConfig.ClientSecret" not in cart


def test_a_balancer_that_is_late_is_waited_for_both_ways(weighted: WeightedWorld) -> None:
    daemon = weighted.start_serin(propagation="4s")
    daemon.wait_armed()
    weighted.follower.delay_s = 3.0
    weighted.green.fail()
    cut_over = time.time()
    weighted.shift(0, 100)
    wrote = daemon.wait_event("wrote", REVERT_WITHIN_S)
    (breach, *_) = daemon.events("breach")
    forth = weighted.follower.applied[-1]
    assert at(breach) > forth > cut_over + 3, "nobody got green before"
    # Users are on green still, and whatever the API shows, that is no proof.
    assert weighted.colours() == {"green-2"}
    assert daemon.events("verified") == []
    verified = daemon.wait_event("verified", REVERT_WITHIN_S)
    back = weighted.follower.applied[-1]
    assert at(verified) > back > at(wrote) + 2.9
    assert verified["answers"] >= 20
    assert weighted.colours() == {"blue-1"}


def test_what_cant_be_put_back_is_refused_at_the_start(weighted: WeightedWorld) -> None:
    third = weighted.target_group("third", weighted.blue.port)
    odd = {
        "3 target groups": three(weighted, third),
        "doesn't forward": [FIXED],
        "action type teleport": [{"Type": "teleport"}],
    }
    for says, actions in odd.items():
        weighted.set_actions(actions)
        with pytest.raises(AssertionError, match="serin[^ ]* ended with 78") as stopped:
            weighted.start_serin()
        assert says in str(stopped.value)
        assert weighted.listener in str(stopped.value), "and which"
    assert weighted.referee.writes() == []


def test_three_groups_are_refused_at_the_breach(weighted: WeightedWorld) -> None:
    actions = three(weighted, weighted.target_group("third", weighted.green.port))
    daemon = weighted.start_serin()
    daemon.wait_armed()
    weighted.set_actions(actions)
    seen(weighted, daemon)
    weighted.green.fail()
    refused = daemon.wait_event("refused", REVERT_WITHIN_S)
    assert refused["reason"] == "understood", refused
    assert "3 target groups" in refused["says"]
    nothing_written(weighted, daemon)
    assert weighted.actions() == actions


def test_a_fixed_response_is_no_version_that_could_be_judged(weighted: WeightedWorld) -> None:
    daemon = weighted.start_serin()
    daemon.wait_armed()
    weighted.set_actions([FIXED])
    daemon.wait_event("release", 15)
    wait_until("it knows no new version", lambda: "no answer is known" in daemon.status(), 10)
    nothing_written(weighted, daemon)
    assert weighted.actions() == [FIXED]
    assert daemon.events("breach") == []


def test_a_hold_by_hand_is_a_tag_that_the_breach_minds(weighted: WeightedWorld) -> None:
    daemon = weighted.start_serin()
    daemon.wait_armed()
    said = serin(weighted, "hold", SERVICE, "--reason", "load test")
    tags = {"canary:hold": "load test"}
    wait_until(f"moto has the tag ({said})", lambda: tags_of(weighted) == tags, 5)
    weighted.shift(0, 100)
    seen(weighted, daemon)
    weighted.green.fail()
    refused = daemon.wait_event("refused", REVERT_WITHIN_S)
    assert (refused["reason"], "load test" in refused["says"]) == ("no-hold", True)
    time.sleep(2)
    assert [call.action for call in weighted.referee.writes()] == ["AddTags"]
    assert weighted.colours() == {"green-2"}
    serin(weighted, "unhold", SERVICE)
    wait_until("the tag is gone", lambda: tags_of(weighted) == {}, 5)


def test_a_group_that_a_controller_tagged_is_not_ours(weighted: WeightedWorld) -> None:
    weighted.elb.add_tags(
        ResourceArns=[weighted.groups["green"]],
        Tags=[{"Key": "elbv2.k8s.aws/cluster", "Value": "prod"}],
    )
    daemon = weighted.start_serin(owner="none")
    daemon.wait_event("good", 30)
    weighted.shift(0, 100)
    seen(weighted, daemon)
    weighted.green.fail()
    refused = daemon.wait_event("refused", REVERT_WITHIN_S)
    assert refused["reason"] == "owner"
    assert "a Kubernetes controller owns" in refused["says"]
    nothing_written(weighted, daemon)


def test_a_rule_that_is_deleted_in_the_middle_is_not_written(weighted: WeightedWorld) -> None:
    pay = weighted.create_rule("/pay*", 10, weighted.forward(100, 0))
    weighted.shift(0, 100)  # what the default rule does
    daemon = weighted.start_serin(rules=[pay], paths=["/pay"])
    daemon.wait_armed()
    weighted.set_actions(weighted.forward(0, 100), pay)
    seen(weighted, daemon, "/pay")
    weighted.elb.delete_rule(RuleArn=pay)
    time.sleep(1)
    weighted.green.fail()
    refused = daemon.wait_event("refused", REVERT_WITHIN_S)
    assert refused["reason"] == "listener-read"
    assert "RuleNotFound" in refused["says"]
    nothing_written(weighted, daemon)


def test_the_actuators_policy_suffices(weighted: WeightedWorld) -> None:
    """moto as ECS and CodeDeploy too: an account without a cluster, an application or a doubt."""
    before = weighted.actions()
    daemon = permitted(weighted, policy("iam-actuator.json"))
    daemon.wait_armed()
    weighted.shift(0, 100)
    seen(weighted, daemon)
    weighted.green.fail()
    daemon.wait_event("verified", REVERT_WITHIN_S)
    assert weighted.actions() == before
    asked = {call.action for call in weighted.referee.calls}
    assert {"ListClusters", "ListApplications"} < asked
    assert {call.status for call in weighted.referee.calls} == {200}


def test_a_sensors_policy_is_refused_by_aws_and_a_person_is_called(weighted: WeightedWorld) -> None:
    daemon = permitted(weighted, policy("iam-sensor.json"))
    daemon.wait_armed()
    weighted.shift(0, 100)
    seen(weighted, daemon)
    weighted.green.fail()
    held = daemon.wait_event("held", REVERT_WITHIN_S)
    assert held["needs_human"] is True
    assert any("AccessDenied" in each["text"] for each in daemon.events("paged"))
    time.sleep(2)
    (write,) = weighted.referee.writes()
    assert (write.action, write.status) == ("ModifyListener", 403)
    assert weighted.colours() == {"green-2"}


def test_a_look_that_isnt_permitted_finds_no_owner(weighted: WeightedWorld) -> None:
    daemon = permitted(weighted, policy("iam-actuator.json", without="ecs:ListClusters"))
    daemon.wait_event("good", 30)
    (owner,) = [each for each in daemon.conditions() if each["name"] == "owner"]
    assert "AccessDenied" in owner["detail"] and "ListClusters" in owner["detail"]
    assert not daemon.armed()
    weighted.shift(0, 100)
    seen(weighted, daemon)
    weighted.green.fail()
    assert daemon.wait_event("refused", REVERT_WITHIN_S)["reason"] == "owner"
    nothing_written(weighted, daemon)


COGNITO = {
    "Type": "authenticate-cognito",
    "Order": 1,
    "AuthenticateCognitoConfig": {
        "UserPoolArn": "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_shop",
        "UserPoolClientId": "shop",
        "UserPoolDomain": "shop",
        "OnUnauthenticatedRequest": "allow",
    },
}
# AWS never shows the secret. moto would, so the pipeline leaves it out here, as AWS allows for a rule that has one.
OIDC = {
    "Type": "authenticate-oidc",
    "Order": 1,
    "AuthenticateOidcConfig": {
        "Issuer": "https://login.example.com",
        "AuthorizationEndpoint": "https://login.example.com/authorize",
        "TokenEndpoint": "https://login.example.com/token",
        "UserInfoEndpoint": "https://login.example.com/userinfo",
        "ClientId": "shop",
        "AuthenticationRequestExtraParams": {"prompt": "login"},
        "OnUnauthenticatedRequest": "allow",
        "UseExistingClientSecret": True,
    },
}
FIXED = {
    "Type": "fixed-response",
    "Order": 1,
    "FixedResponseConfig": {"StatusCode": "503", "ContentType": "text/plain", "MessageBody": "later"},
}


def three(world: WeightedWorld, third: str) -> list[dict]:
    (forward,) = world.forward(0, 50)
    forward["ForwardConfig"]["TargetGroups"].append({"TargetGroupArn": third, "Weight": 50})
    return [forward]


def seen(world: WeightedWorld, daemon: Daemon, path: str = "/") -> None:
    """Serin takes it for a release, users get green, and the grace passes."""
    daemon.wait_event("release", 15)
    wait_until("users get green", lambda: world.colours(path, 5) == {"green-2"}, 5)
    time.sleep(2.5)  # propagation and grace


def nothing_written(world: WeightedWorld, daemon: Daemon) -> None:
    time.sleep(2)
    assert world.referee.writes() == []
    assert daemon.events("intent") == []


def sent(params: dict[str, str], member: str) -> dict[str, str]:
    """What a call says of its actions."""
    start = f"{member}.member."
    return {key[len(start) :]: value for key, value in params.items() if key.startswith(start)}


def at(record: dict) -> float:
    return datetime.datetime.fromisoformat(record["ts"]).timestamp()


def serin(world: WeightedWorld, *args: str) -> str:
    command = [release_binary(), args[0], "--socket", world.folder / "serin.sock", *args[1:]]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tags_of(world: WeightedWorld) -> dict[str, str]:
    (described,) = world.elb.describe_tags(ResourceArns=[world.listener])["TagDescriptions"]
    return {tag["Key"]: tag["Value"] for tag in described["Tags"]}


def policy(file: str, without: str | None = None) -> dict:
    """A policy of `deploy/`. moto asks for every resource, so each statement is for all here; its conditions moto doesn't read."""
    document = json.loads((DEPLOY / file).read_text())
    for statement in document["Statement"]:
        statement["Resource"] = "*"
        listed = statement["Action"]
        if isinstance(listed, list):
            statement["Action"] = [action for action in listed if action != without]
    return document


def permitted(world: WeightedWorld, document: dict) -> Daemon:
    """Serin with a key that may do no more than this."""
    credentials = world.moto.user("serin", document)
    world.moto.check_permissions()
    return world.start_serin(credentials=credentials, owners=None)
