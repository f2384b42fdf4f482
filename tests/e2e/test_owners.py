"""Who else moves the listener decides how it is put back, and whether.

The listener is ministack's, with its data plane; ECS and CodeDeploy are `owners.py`, held to botocore's models.
"""

from __future__ import annotations

import time

import pytest

from conftest import World
from daemon import Daemon
from owners import SERVICE, Refused
from processes import wait_until

REVERT_WITHIN_S = 30


def deployed(world: World, **options: str | None) -> str:
    """A good green that the owner has deployed, and that Serin takes for a release."""
    deployment = world.owners.deploy(**options)
    return deployment.id


def seen(world: World, daemon: Daemon) -> None:
    daemon.wait_event("release", 15)
    wait_until("green answers", lambda: world.ask()[1] == "green-2", 5)
    time.sleep(3)  # propagation and grace


def put_back(world: World, daemon: Daemon) -> None:
    wait_until("the listener is back on blue", lambda: world.serves() == "blue", REVERT_WITHIN_S)
    daemon.wait_event("verified", REVERT_WITHIN_S)
    assert world.referee.writes() == [], "the listener itself is never written"
    assert world.owners.faults == []


def condition(daemon: Daemon, name: str) -> dict:
    (found,) = [each for each in daemon.conditions() if each["name"] == name]
    return found


@pytest.mark.parametrize("strategy", ["BLUE_GREEN", "LINEAR", "CANARY"])
def test_what_ecs_deploys_is_stopped_and_rolled_back(world: World, strategy: str) -> None:
    world.owners.ecs_service(strategy, world.groups["blue"], world.groups["green"])
    daemon = world.start_serin(owner="auto")
    daemon.wait_armed()
    assert f"ECS owns the rule ({SERVICE})" in condition(daemon, "owner")["detail"]
    deployment = deployed(world)
    seen(world, daemon)
    world.green.fail()
    put_back(world, daemon)
    (call,) = world.owners.writes()
    assert (call.action, call.params) == (
        "StopServiceDeployment",
        {"serviceDeploymentArn": deployment, "stopType": "ROLLBACK"},
    )
    (intent,) = daemon.events("intent")
    assert intent["call"] == {"call": "stop_service_deployment", "deployment": deployment}
    (page,) = [each for each in daemon.events("paged") if each["kind"] == "reverted"]
    assert f"by StopServiceDeployment of {deployment}" in page["text"]


def test_a_service_that_is_named_is_the_only_one_that_is_looked_at(world: World) -> None:
    world.owners.ecs_service("BLUE_GREEN", world.groups["blue"], world.groups["green"])
    # An earlier one, on the first page.
    world.owners.deploy().status = "SUCCESSFUL"
    world.cut_over("blue")
    daemon = world.start_serin(owner="auto", ecs_service="prod/checkout")
    daemon.wait_armed()
    deployment = deployed(world)
    seen(world, daemon)
    world.green.fail()
    put_back(world, daemon)
    (call,) = world.owners.writes()
    assert call.params == {"serviceDeploymentArn": deployment, "stopType": "ROLLBACK"}
    assert world.owners.named("ListClusters", "ListServices", "ListApplications") == []


@pytest.mark.parametrize("service", ["prod/chekout", "prod/billing"])
def test_a_slip_in_the_services_name_is_refused(world: World, service: str) -> None:
    world.owners.ecs_service("BLUE_GREEN", world.groups["blue"], world.groups["green"])
    # Another one, which has nothing to do with the listener.
    other = {"serviceArn": SERVICE.replace("checkout", "billing"), "serviceName": "billing"}
    world.owners.services.append({**world.owners.services[0], **other, "loadBalancers": []})
    daemon = world.start_serin(owner="auto", ecs_service=service)
    wait_until("the refusal", lambda: service in condition(daemon, "owner")["detail"], 20)
    found = condition(daemon, "owner")
    assert not found["holds"], found
    assert "there is none such that uses these rules or groups" in found["detail"]
    daemon.wait_event("good", 30)
    world.cut_over("green")
    seen(world, daemon)
    world.green.fail()
    assert daemon.wait_event("refused", REVERT_WITHIN_S)["reason"] == "owner"
    nothing_done(world)


def test_a_hook_that_waits_is_answered_with_rollback_in_words(world: World) -> None:
    world.owners.ecs_service("BLUE_GREEN", world.groups["blue"], world.groups["green"])
    daemon = world.start_serin(owner="auto")
    daemon.wait_armed()
    deployment = deployed(world, hook="hook-1")
    seen(world, daemon)
    world.green.fail()
    put_back(world, daemon)
    (call,) = world.owners.writes()
    assert (call.action, call.params) == (
        "ContinueServiceDeployment",
        {"serviceDeploymentArn": deployment, "hookId": "hook-1", "action": "ROLLBACK"},
    )


def test_what_codedeploy_deploys_is_stopped_with_its_rollback(world: World) -> None:
    world.owners.codedeploy_group(world.listener, world.groups["blue"], world.groups["green"])
    daemon = world.start_serin(owner="auto")
    daemon.wait_armed()
    assert "CodeDeploy owns the rule (checkout/prod)" in condition(daemon, "owner")["detail"]
    deployment = deployed(world)
    seen(world, daemon)
    world.green.fail()
    put_back(world, daemon)
    (call,) = world.owners.writes()
    assert (call.action, call.params) == (
        "StopDeployment",
        {"deploymentId": deployment, "autoRollbackEnabled": True},
    )


def test_a_rollback_that_fails_is_partial_with_awss_reason(world: World) -> None:
    world.owners.ecs_service("BLUE_GREEN", world.groups["blue"], world.groups["green"])
    world.owners.fails = "unable to place tasks"
    daemon = world.start_serin(owner="auto")
    daemon.wait_armed()
    deployed(world)
    seen(world, daemon)
    world.green.fail()
    held = daemon.wait_event("held", REVERT_WITHIN_S)
    assert (held["reason"], held["needs_human"]) == ("partial", True)
    assert any("unable to place tasks" in each["text"] for each in daemon.events("paged"))
    time.sleep(3)
    assert len(world.owners.writes()) == 1, "no second actuator is started"
    assert (world.serves(), world.referee.writes()) == ("green", [])


def test_a_deployment_that_is_over_cant_be_rolled_back(world: World) -> None:
    world.owners.ecs_service("BLUE_GREEN", world.groups["blue"], world.groups["green"])
    daemon = world.start_serin(owner="auto")
    daemon.wait_armed()
    world.owners.deploy().stage = "CLEAN_UP"
    seen(world, daemon)
    world.green.fail()
    refused = daemon.wait_event("refused", REVERT_WITHIN_S)
    assert refused["reason"] == "owner"
    assert "can't be rolled back any more: CLEAN_UP" in refused["says"]
    nothing_done(world)


def test_an_unanswered_stop_is_known_by_what_ecs_does(world: World) -> None:
    world.owners.ecs_service("BLUE_GREEN", world.groups["blue"], world.groups["green"])
    world.owners.shift_s = 3
    daemon = world.start_serin(owner="auto")
    daemon.wait_armed()
    deployed(world)
    seen(world, daemon)
    stop = world.owners._StopServiceDeployment

    def silent(**params: str) -> dict:
        stop(**params)
        time.sleep(4)  # longer than an attempt may take
        return {}

    world.owners._StopServiceDeployment = silent
    world.green.fail()
    put_back(world, daemon)
    assert len(world.owners.writes()) == 1
    (wrote, *_) = daemon.events("wrote")
    assert wrote["outcome"] == "unknown"


@pytest.mark.parametrize(
    ("action", "refused", "says"),
    [
        ("ListClusters", Refused("AccessDeniedException", "not you"), "AccessDeniedException"),
        ("ListApplications", Refused("ThrottlingException", "Rate exceeded"), "throttles"),
    ],
)
def test_an_owner_that_cant_be_found_out_is_nobody_to_write_past(
    world: World, action: str, refused: Refused, says: str
) -> None:
    world.owners.refuses[action] = refused
    daemon = world.start_serin(owner="auto")
    daemon.wait_event("good", 30)
    wait_until("it says why", lambda: says in condition(daemon, "owner")["detail"], 20)
    assert not daemon.armed()
    world.cut_over("green")
    seen(world, daemon)
    world.green.fail()
    assert daemon.wait_event("refused", REVERT_WITHIN_S)["reason"] == "owner"
    nothing_done(world)


def test_a_kubernetes_controllers_listener_is_refused_whoever_vouches(world: World) -> None:
    (balancer,) = world.elb.describe_load_balancers()["LoadBalancers"]
    world.elb.add_tags(
        ResourceArns=[balancer["LoadBalancerArn"]],
        Tags=[{"Key": "elbv2.k8s.aws/cluster", "Value": "prod"}],
    )
    daemon = world.start_serin(owner="none")
    daemon.wait_event("good", 30)
    owner = condition(daemon, "owner")
    assert not owner["holds"] and "a Kubernetes controller owns" in owner["detail"]
    world.cut_over("green")
    seen(world, daemon)
    world.green.fail()
    assert daemon.wait_event("refused", REVERT_WITHIN_S)["reason"] == "owner"
    nothing_done(world)


def test_a_rolling_service_and_a_stack_leave_the_listener_ours(world: World) -> None:
    world.owners.ecs_service("ROLLING", world.groups["blue"], world.groups["green"])
    world.elb.add_tags(
        ResourceArns=[world.listener],
        Tags=[{"Key": "ManagedBy", "Value": "terraform"}],
    )
    daemon = world.start_serin(owner="auto")
    daemon.wait_armed()
    owner = condition(daemon, "owner")
    assert owner["detail"].startswith("nobody else moves the rule; Terraform keeps")
    world.cut_over("green")
    seen(world, daemon)
    world.green.fail()
    wait_until("the listener is back on blue", lambda: world.serves() == "blue", REVERT_WITHIN_S)
    daemon.wait_event("verified", REVERT_WITHIN_S)
    assert [call.action for call in world.referee.writes()] == ["ModifyListener"]
    assert world.owners.writes() == []


def nothing_done(world: World) -> None:
    time.sleep(3)
    assert (world.serves(), world.referee.writes(), world.owners.writes()) == ("green", [], [])
    assert world.owners.faults == []
