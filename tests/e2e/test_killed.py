"""`kill -9` on either side of a call that changes something, where the lever is somebody's own call or an alias.

(Of a listener every place of the path is played by `tests/daemon/crash.rs`.) Restarted, it must end with the old
version serving by one call that had an effect, and say so; a call that never arrived may be made again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from conftest import AliasWorld, World
from daemon import Daemon
from owners import Gone, Owners
from processes import wait_until
from referee import Referee

ENDS_WITHIN_S = 60


class Killer:
    """Kills the daemon at the first call of an action: as it arrives, or when AWS has done it."""

    def __init__(self, aws: Owners | Referee, daemon: Daemon, action: str, when: str) -> None:
        self._place = (action, when)
        self._daemon = daemon
        self._begun = threading.Lock()
        self._dead = threading.Event()
        aws.boundary = self

    def __call__(self, action: str, when: str) -> None:
        if (action, when) == self._place and self._begun.acquire(blocking=False):
            self._daemon.kill()
            self._dead.set()
            raise Gone

    def wait(self) -> None:
        assert self._dead.wait(ENDS_WITHIN_S), f"it never came by {self._place}"


def put_back(daemon: Daemon, serves_old: Callable[[], bool]) -> None:
    daemon.wait_event("verified", ENDS_WITHIN_S)
    assert serves_old()
    # What was begun before a death has its end in the ledger, too.
    ended = {each["intent"] for event in ("abandoned", "verified") for each in daemon.events(event)}
    assert {each["id"] for each in daemon.events("intent")} == ended
    assert [each["needs_human"] for each in daemon.events("held")] == [False]


STOPPED, CONTINUED = "StopServiceDeployment", "ContinueServiceDeployment"


@pytest.mark.parametrize(
    ("action", "when", "again"),
    [
        (STOPPED, "arrives", None),
        (STOPPED, "done", None),
        # And once more, while ECS works on it.
        (STOPPED, "done", "DescribeServiceDeployments"),
        (CONTINUED, "done", None),
        ("StopDeployment", "arrives", None),
        ("StopDeployment", "done", "GetDeployment"),
    ],
)
def test_killed_at_an_owners_call(world: World, action: str, when: str, again: str | None) -> None:
    blue, green = world.groups["blue"], world.groups["green"]
    if action == "StopDeployment":
        world.owners.codedeploy_group(world.listener, blue, green)
    else:
        world.owners.ecs_service("BLUE_GREEN", blue, green)
    world.owners.shift_s = 8 if again else 1
    daemon = world.start_serin(owner="auto")
    daemon.wait_armed()
    world.owners.deploy(**({"hook": "hook-1"} if action == CONTINUED else {}))
    daemon.wait_event("release", 15)
    wait_until("green answers", lambda: world.ask()[1] == "green-2", 5)
    time.sleep(3)  # propagation and grace
    killer = Killer(world.owners, daemon, action, when)
    world.green.fail()
    killer.wait()
    daemon = world.start_serin(owner="auto")
    if again:
        killer = Killer(world.owners, daemon, again, "arrives")
        killer.wait()
        daemon = world.start_serin(owner="auto")
    put_back(daemon, lambda: world.serves() == "blue")
    calls = [call.action for call in world.owners.writes()]
    assert calls == [action] * (2 if when == "arrives" else 1)
    assert (world.referee.writes(), world.owners.faults) == ([], [])


@pytest.mark.parametrize("when", ["arrives", "done"])
def test_killed_at_the_write_of_an_alias(alias: AliasWorld, when: str) -> None:
    daemon = alias.start_serin()
    daemon.wait_armed()
    alias.shift(0.5)
    daemon.wait_event("release", 15)
    time.sleep(3)
    killer = Killer(alias.referee, daemon, "UpdateAlias", when)
    alias.green.fail()
    killer.wait()
    daemon = alias.start_serin()
    put_back(daemon, lambda: alias.weights() == {"1": 1.0})
    writes = [call.action for call in alias.referee.writes()]
    assert writes == ["UpdateAlias"] * (2 if when == "arrives" else 1)
