"""Serin against a load balancer and a CloudWatch that we did not write.

boto3 plays the pipeline and is the referee; `serin run` gets only what a user would give it.
"""

from __future__ import annotations

import datetime
import math
import time

from conftest import World
from daemon import Daemon, of_kind, parse_ledger
from processes import wait_until

REVERT_WITHIN_S = 30


def test_outage_is_reverted_to_the_recorded_actions(world: World) -> None:
    before = world.default_actions()
    daemon = world.start_serin()
    daemon.wait_armed()
    world.cut_over("green")
    wait_until("green answers through the balancer", lambda: world.ask()[1] == "green-2", 5)
    time.sleep(3)  # a release that is good at first: propagation and grace are over

    world.green.fail()
    wait_until("the listener is back on blue", lambda: world.serves() == "blue", REVERT_WITHIN_S)

    assert world.default_actions() == before, "field by field what they were"
    answers = [world.ask() for _ in range(20)]
    assert answers == [(200, "blue-1", "ok")] * 20
    wait_until(
        "the ledger says that blue answers again",
        lambda: of_kind(daemon.ledger(), "verified"),
        REVERT_WITHIN_S,
    )
    one_write_after_its_intent(world)
    assert daemon.stop() == 0, daemon.log()
    assert world.serves() == "blue"


def test_broken_from_the_first_second_is_reverted(world: World) -> None:
    daemon = world.start_serin()
    daemon.wait_armed()
    world.green.fail()
    world.cut_over("green")
    wait_until("the listener is back on blue", lambda: world.serves() == "blue", REVERT_WITHIN_S)
    one_write_after_its_intent(world)


def test_good_release_is_kept(world: World) -> None:
    daemon = world.start_serin()
    daemon.wait_armed()
    world.cut_over("green")
    seen_a_release(world, daemon)
    until = time.monotonic() + 12
    while time.monotonic() < until:
        assert world.serves() == "green"
        time.sleep(0.2)
    no_write(world, daemon)
    assert daemon.armed(), "green was good over `settle`: it is the next state to return to"


def test_operator_who_reverts_first_is_left_alone(world: World) -> None:
    daemon = world.start_serin()
    daemon.wait_armed()
    world.cut_over("green")
    seen_a_release(world, daemon)
    world.cut_over("blue")
    chosen = world.default_actions()
    wait_until("blue answers", lambda: world.ask()[1] == "blue-1", 5)
    time.sleep(2)

    world.blue.fail()  # whatever happens next
    time.sleep(8)
    world.green.fail()
    time.sleep(4)
    assert world.default_actions() == chosen
    no_write(world, daemon)


def test_both_colours_bad_is_refused(world: World) -> None:
    daemon = world.start_serin()
    daemon.wait_armed()
    world.cut_over("green")
    seen_a_release(world, daemon)
    world.blue.fail()
    world.green.fail()
    time.sleep(10)
    assert world.serves() == "green", "blue is no better: a revert can't help"
    no_write(world, daemon)


def test_observe_mode_writes_nothing(world: World) -> None:
    daemon = world.start_serin(mode="observe")
    wait_until(
        "a good state was seen", lambda: of_kind(daemon.ledger(), "good"), REVERT_WITHIN_S
    )
    world.cut_over("green")
    seen_a_release(world, daemon)
    world.green.fail()
    wait_until("it says what it would do", lambda: "DRY RUN" in daemon.log(), REVERT_WITHIN_S)
    time.sleep(3)
    assert world.serves() == "green"
    no_write(world, daemon)


def test_release_is_seen_in_cloudwatch_and_the_collector(world: World) -> None:
    started = datetime.datetime.now(datetime.timezone.utc)
    daemon = world.start_serin()
    daemon.wait_armed()
    world.cut_over("green")
    seen_a_release(world, daemon)
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
    percentiles: dict[str, float] = {}
    for metric in metrics:
        values = {dimension["Value"] for dimension in metric["Dimensions"]}
        assert not values & {"blue-1", "green-2"}, "no dimension changes with a deployment"
        points = world.cloudwatch.get_metric_statistics(
            **metric, **window, Statistics=["Maximum", "SampleCount"]
        )["Datapoints"]
        assert points, f"{metric} has data"
        name = metric["MetricName"]
        highest[name] = max([highest.get(name, 0.0), *(point["Maximum"] for point in points)])
        assert math.isfinite(highest[name])
        (point, *_) = world.cloudwatch.get_metric_statistics(
            **metric, **window, ExtendedStatistics=["p95"]
        )["Datapoints"]
        percentiles[name] = point["ExtendedStatistics"]["p95"]
    assert any("error" in name.lower() and value > 0 for name, value in highest.items()), highest
    # The latency is sent as values and counts, so that CloudWatch computes percentiles itself.
    assert any(
        "duration" in name.lower() and value > 0 for name, value in percentiles.items()
    ), percentiles


def seen_a_release(world: World, daemon: Daemon) -> None:
    """Green answers, and Serin knows that the listener changed."""
    before = len(of_kind(daemon.ledger(), "epoch"))
    wait_until("green answers through the balancer", lambda: world.ask()[1] == "green-2", 5)
    wait_until(
        "serin saw the cutover",
        lambda: any(
            world.groups["green"] in str(record) for record in of_kind(daemon.ledger(), "epoch")
        ),
        15,
    )
    assert len(of_kind(daemon.ledger(), "epoch")) >= before
    time.sleep(3)  # propagation and grace


def one_write_after_its_intent(world: World) -> None:
    """One write, only the actions in it, and its intent on disk when it arrived."""
    (write,) = world.referee.writes()
    assert (write.action, write.status) == ("ModifyListener", 200)
    keys = {key.split(".")[0] for key in write.params}
    assert keys == {"Action", "Version", "ListenerArn", "DefaultActions"}, "nothing else is touched"
    intents = of_kind(parse_ledger(write.ledger), "intent")
    assert len(intents) == 1, "the intent was on disk before the write was sent"
    assert world.groups["blue"] in str(intents[0]), "it says where to"


def no_write(world: World, daemon: Daemon) -> None:
    assert world.referee.writes() == []
    assert of_kind(daemon.ledger(), "intent") == []
