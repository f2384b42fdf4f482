"""Serin against a load balancer and a CloudWatch that we did not write.

boto3 plays the pipeline and is the referee; `serin run` gets only what a user would give it.
"""

from __future__ import annotations

import datetime
import math
import time

import pytest

from conftest import World
from daemon import Daemon, of_event, parse_ledger
from processes import wait_until

REVERT_WITHIN_S = 30
# From the breach to the proof, as the flow has it.
STEPS = ("release", "breach", "preflight", "intent", "write_sent", "wrote", "confirmed", "verified")


def test_outage_is_reverted_to_the_recorded_actions(world: World) -> None:
    before = world.default_actions()
    daemon = world.start_serin()
    daemon.wait_armed()
    cut_over_and_seen(world, daemon)

    world.green.fail()
    wait_until("the listener is back on blue", lambda: world.serves() == "blue", REVERT_WITHIN_S)

    assert world.default_actions() == before, "field by field what they were"
    assert [world.ask() for _ in range(20)] == [(200, "blue-1", "ok")] * 20
    assert daemon.wait_event("verified", REVERT_WITHIN_S)["answers"] >= 20
    one_write_after_its_intent(world)
    steps = [record["event"] for record in daemon.ledger() if record["event"] in STEPS]
    assert tuple(dict.fromkeys(steps)) == STEPS
    assert daemon.stop() == 0, daemon.log()
    assert world.serves() == "blue"


def test_broken_from_the_first_second_is_reverted(world: World) -> None:
    daemon = world.start_serin()
    daemon.wait_armed()
    world.green.fail()
    world.cut_over("green")
    wait_until("the listener is back on blue", lambda: world.serves() == "blue", REVERT_WITHIN_S)
    daemon.wait_event("verified", REVERT_WITHIN_S)
    one_write_after_its_intent(world)


def test_a_revert_that_is_seen_from_outside_alone_is_partial(world: World) -> None:
    """Through a CDN nobody sees what the balancer does: the listener is put back, and a person has to look."""
    daemon = world.start_serin(via="public")
    daemon.wait_armed()
    cut_over_and_seen(world, daemon)
    world.green.fail()
    held = daemon.wait_event("held", REVERT_WITHIN_S)
    assert (held["reason"], held["needs_human"]) == ("partial", True)
    assert world.serves() == "blue"
    one_write_after_its_intent(world)
    assert daemon.events("verified") == []
    assert any('via = "public"' in page["text"] for page in daemon.events("paged"))


def test_good_release_is_kept(world: World) -> None:
    daemon = world.start_serin(judge_for="10s")
    daemon.wait_armed()
    cut_over_and_seen(world, daemon)
    until = time.monotonic() + 12
    while time.monotonic() < until:
        assert world.serves() == "green"
        time.sleep(0.2)
    daemon.wait_event("kept", 10)
    good = daemon.wait_event("good", 10, count=2)
    assert good["good"]["versions"] == ["green-2"], "the next state to return to"
    no_write(world, daemon)


def test_operator_who_reverts_first_is_left_alone(world: World) -> None:
    daemon = world.start_serin()
    daemon.wait_armed()
    cut_over_and_seen(world, daemon)
    world.cut_over("blue")
    chosen = world.default_actions()
    wait_until(
        "serin saw the operator's own revert",
        lambda: daemon.events("epoch")[-1]["cause"] == "rollback",
        15,
    )

    world.blue.fail()  # whatever happens next
    time.sleep(8)
    world.green.fail()
    time.sleep(4)
    assert world.default_actions() == chosen
    no_write(world, daemon)


@pytest.mark.parametrize(
    ("with_control", "reason"), [(True, "shared-dependency"), (False, "network")]
)
def test_both_colours_bad_is_not_reverted(world: World, with_control: bool, reason: str) -> None:
    control = f"http://127.0.0.1:{world.start_nginx('control').port}/" if with_control else None
    daemon = world.start_serin(control=control)
    daemon.wait_armed()
    cut_over_and_seen(world, daemon)
    world.blue.fail()
    time.sleep(2)  # blue is asked directly less often than production is
    world.green.fail()
    wait_until(
        f"it refuses: {reason}",
        lambda: reason in {record["reason"] for record in daemon.events("refused")},
        15,
    )
    time.sleep(5)
    assert world.serves() == "green", "blue is no better: a revert can't help"
    no_write(world, daemon)


def test_operator_who_holds_is_obeyed(world: World) -> None:
    daemon = world.start_serin()
    daemon.wait_armed()
    world.elb.add_tags(
        ResourceArns=[world.listener], Tags=[{"Key": "canary:hold", "Value": "load test"}]
    )
    cut_over_and_seen(world, daemon)
    world.green.fail()
    wait_until(
        "it refuses: no-hold",
        lambda: "no-hold" in {record["reason"] for record in daemon.events("refused")},
        15,
    )
    time.sleep(4)
    assert world.serves() == "green"
    no_write(world, daemon)


def test_started_in_the_middle_of_a_release_only_observes(world: World) -> None:
    first = world.start_serin()
    first.wait_armed()
    first.kill()
    world.cut_over("green")
    second = world.start_serin()
    wait_until("it sees green", lambda: len(second.events("epoch")) >= 2, 10)
    time.sleep(3)
    world.green.fail()
    second.wait_event("first_bad", 10)
    time.sleep(8)
    assert world.serves() == "green", "nobody saw what was good right before"
    no_write(world, second)


def test_observe_mode_says_what_it_would_do_and_writes_nothing(world: World) -> None:
    daemon = world.start_serin(mode="observe")
    daemon.wait_event("good", REVERT_WITHIN_S)
    cut_over_and_seen(world, daemon)
    world.green.fail()
    would = daemon.wait_event("would_revert", REVERT_WITHIN_S)
    assert world.groups["blue"] in str(would["write"]["to"])
    assert any("DRY RUN" in record["text"] for record in daemon.events("paged"))
    time.sleep(3)
    assert world.serves() == "green"
    assert not daemon.armed()
    no_write(world, daemon)


def test_release_is_seen_in_cloudwatch_and_the_collector(world: World) -> None:
    started = datetime.datetime.now(datetime.UTC)
    daemon = world.start_serin()
    daemon.wait_armed()
    cut_over_and_seen(world, daemon)
    world.green.fail()
    wait_until("the listener is back on blue", lambda: world.serves() == "blue", REVERT_WITHIN_S)
    time.sleep(5)  # two more intervals of both publishers

    attempts = world.collector.total("serin.probe.attempts")
    assert attempts >= 100, f"{attempts} of some hundred probes reached the collector"
    resources = [metric["resource"] for metric in world.collector.metrics()["serin.probe.attempts"]]
    assert {resource["service.name"] for resource in resources} == {"serin"}
    cloudwatch_has_the_outage(world, started)


def cloudwatch_has_the_outage(world: World, since: datetime.datetime) -> None:
    metrics = world.cloudwatch.list_metrics(Namespace="Serin")["Metrics"]
    assert metrics, "PutMetricData was understood"
    window = {
        "StartTime": since - datetime.timedelta(minutes=1),
        "EndTime": since + datetime.timedelta(minutes=10),
        "Period": 60,
    }
    highest: dict[str, float] = {}
    durations: dict[str, float] = {}
    for metric in metrics:
        values = {dimension["Value"] for dimension in metric["Dimensions"]}
        assert not values & {"blue-1", "green-2"}, "no dimension changes with a deployment"
        points = world.cloudwatch.get_metric_statistics(**metric, **window, Statistics=["Maximum"])[
            "Datapoints"
        ]
        assert points, f"{metric} has data"
        name = metric["MetricName"]
        highest[name] = max([highest.get(name, 0.0), *(point["Maximum"] for point in points)])
        assert math.isfinite(highest[name])
        if points[0]["Unit"] in ("Microseconds", "Milliseconds", "Seconds"):
            (point, *_) = world.cloudwatch.get_metric_statistics(
                **metric, **window, ExtendedStatistics=["p95"]
            )["Datapoints"]
            durations[name] = point["ExtendedStatistics"]["p95"]
    assert any("error" in name.lower() and value > 0 for name, value in highest.items()), highest
    # Latencies go as values with counts, so that CloudWatch computes percentiles itself.
    assert any(value > 0 for value in durations.values()), highest


def cut_over_and_seen(world: World, daemon: Daemon) -> None:
    """The pipeline cuts over to a good green, Serin takes it for a release, the grace passes."""
    world.cut_over("green")
    wait_until("green answers through the balancer", lambda: world.ask()[1] == "green-2", 5)
    release = daemon.wait_event("release", 15)
    assert world.groups["blue"] in str(release["base"]), "it knows the way back"
    epoch = daemon.wait_event("epoch", 5, count=2)
    assert (epoch["cause"], epoch["release"]) == ("foreign", release["release"])
    time.sleep(3)  # propagation and grace


def one_write_after_its_intent(world: World) -> None:
    """One write, only the actions in it, and its intent on disk when it arrived."""
    (write,) = world.referee.writes()
    assert (write.action, write.status) == ("ModifyListener", 200)
    keys = {key.split(".")[0] for key in write.params}
    assert keys == {"Action", "Version", "ListenerArn", "DefaultActions"}, "nothing else is touched"
    intents = of_event(parse_ledger(write.ledger), "intent")
    assert len(intents) == 1, "the intent was on disk before the write was sent"
    assert world.groups["green"] in str(intents[0]["before"])
    assert world.groups["blue"] in str(intents[0]["write"]["to"])


def no_write(world: World, daemon: Daemon) -> None:
    assert world.referee.writes() == []
    assert daemon.events("intent") == []
