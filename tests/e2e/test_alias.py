"""A Lambda alias as the lever: its weights are the release, and its revision fences the write."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from conftest import AliasWorld
from daemon import SERVICE, Daemon
from functions import ALIAS, FUNCTION, NAME
from owners import Refused
from peers import CREDENTIALS, REGION, release_binary
from processes import environment, wait_until

REVERT_WITHIN_S = 30


def test_a_shift_of_everything_is_put_back_where_the_service_says_so(alias: AliasWorld) -> None:
    before = described(alias)
    daemon = alias.start_serin(unheard="revert")
    daemon.wait_armed()
    alias.shift("green")
    seen(alias, daemon)
    alias.green.fail()
    daemon.wait_event("verified", REVERT_WITHIN_S)

    assert described(alias) == before
    assert alias.colours() == {"blue-1"}
    (write,) = alias.referee.writes()
    revision = write.params.pop("RevisionId")
    assert revision, "the write is fenced"
    assert (write.action, write.params) == (
        "UpdateAlias",
        {
            "FunctionName": FUNCTION,
            "Name": ALIAS,
            "FunctionVersion": "1",
            "RoutingConfig": {"AdditionalVersionWeights": {}},
        },
    )
    assert b'"event":"intent"' in write.ledger, "on disk before AWS saw it"
    (release,) = daemon.events("release")
    assert (release["from"], release["to"]) == (f"{NAME}:1", f"{NAME}:2")
    (page,) = [each["text"] for each in daemon.events("paged") if each["kind"] == "reverted"]
    assert f"reverted to {NAME}:1" in page


def test_a_shift_of_everything_is_only_told_where_nothing_is_said(alias: AliasWorld) -> None:
    daemon = alias.start_serin()
    daemon.wait_armed()
    alias.shift("green")
    seen(alias, daemon)
    alias.green.fail()
    refused = daemon.wait_event("refused", REVERT_WITHIN_S)
    assert refused["reason"] == "no-control"
    assert "nothing proves that it would do better" in refused["says"]
    nothing_written(alias, daemon)
    assert alias.weights() == {"2": 1.0}


def test_a_version_that_names_itself_nowhere_is_put_back_after_a_shift_of_everything(
    alias: AliasWorld,
) -> None:
    """As one that crashes: whoever is before it answers, without a version."""
    daemon = alias.start_serin(unheard="revert")
    daemon.wait_armed()
    alias.green.stop()
    alias.shift("green")
    daemon.wait_event("verified", REVERT_WITHIN_S)
    assert alias.weights() == {"1": 1.0}


def test_a_tenth_that_breaks_goes_back_to_the_old_version_alone(alias: AliasWorld) -> None:
    before = described(alias)
    daemon = alias.start_serin()
    daemon.wait_armed()
    alias.shift(0.1)
    seen(alias, daemon)
    assert alias.colours() == {"blue-1", "green-2"}
    alias.green.fail()
    daemon.wait_event("verified", REVERT_WITHIN_S)

    assert described(alias) == before
    assert "AdditionalVersionWeights" not in json.dumps(before), "and routing is cleared"
    assert alias.colours() == {"blue-1"}
    assert [call.action for call in alias.referee.writes()] == ["UpdateAlias"]
    (release,) = daemon.events("release")
    assert (release["from"], release["to"]) == (f"{NAME}:1", f"{NAME}:1 90 %, :2 10 %")
    (*_, preflight) = daemon.events("preflight")
    said = {each["name"]: each["detail"] for each in preflight["conditions"]}
    assert "answers in production good" in said["blue-answers"]
    assert said["blue-is-what-it-was"] == "it still answers as blue-1"
    assert said["blue-healthy"] == f"{NAME}:1 1/1 healthy"
    assert said["owner"] == "nobody else moves the alias"


def test_a_later_step_goes_back_to_where_the_release_began(alias: AliasWorld) -> None:
    daemon = alias.start_serin()
    daemon.wait_armed()
    for epoch, share in enumerate((0.1, 0.5), start=2):
        alias.shift(share)
        daemon.wait_event("epoch", 30, count=epoch)
        time.sleep(2.5)
    alias.green.fail()
    daemon.wait_event("verified", REVERT_WITHIN_S)
    assert alias.weights() == {"1": 1.0}
    causes = [each["cause"] for each in daemon.events("epoch")]
    assert causes == ["start", "foreign", "step", "own_revert"]


def test_what_breaks_both_versions_is_not_the_releases(alias: AliasWorld) -> None:
    daemon = alias.start_serin(unheard="revert")
    daemon.wait_armed()
    alias.shift(0.5)
    seen(alias, daemon)
    alias.blue.fail()
    alias.green.fail()
    refused = daemon.wait_event("refused", REVERT_WITHIN_S)
    assert refused["reason"] == "shared-dependency"
    nothing_written(alias, daemon)
    assert alias.weights() == {"1": 0.5, "2": 0.5}


def test_a_hold_is_a_tag_of_the_function(alias: AliasWorld) -> None:
    daemon = alias.start_serin()
    daemon.wait_armed()
    serin(alias, "hold", SERVICE, "--reason", "load test; back at 5")
    assert tags(alias) == {"canary:hold": "load test_ back at 5"}
    alias.shift(0.5)
    seen(alias, daemon)
    alias.green.fail()
    refused = daemon.wait_event("refused", REVERT_WITHIN_S)
    assert (refused["reason"], "load test" in refused["says"]) == ("no-hold", True)
    time.sleep(2)
    assert [call.action for call in alias.referee.writes()] == ["TagResource"]
    assert alias.weights() == {"1": 0.5, "2": 0.5}
    serin(alias, "unhold", SERVICE)
    wait_until("the tag is gone", lambda: tags(alias) == {}, 5)


def test_tags_of_the_function_hold_and_forbid_and_name(alias: AliasWorld) -> None:
    daemon = alias.start_serin()
    daemon.wait_armed()
    alias.aws.tag_resource(
        Resource=FUNCTION, Tags={"serin:irreversible": "schema 12", "serin:release": "r-7"}
    )
    alias.shift(0.5)
    seen(alias, daemon)
    alias.green.fail()
    assert daemon.wait_event("refused", REVERT_WITHIN_S)["reason"] == "reversible"
    nothing_written(alias, daemon)
    (release,) = daemon.events("release")
    assert (release["irreversible"], release["label"]) == (True, "r-7")


def test_check_tells_what_the_alias_is(alias: AliasWorld) -> None:
    alias.start_serin()  # for its file
    said = check(alias, "--live")
    for line in (
        f"shows {NAME}:1",
        "nobody else moves the alias",
        f"version {NAME}:1",
        "ready to be invoked",
        'never reverted (judge.unheard = "hold")',
    ):
        assert line in said, said
    alias.aws.update_alias(FunctionName=NAME, Name=ALIAS, FunctionVersion="$LATEST")
    said = check(alias, "--live")
    assert '"$LATEST", which changes under its name' in said, said
    said = check(alias, "--live", "--set", f"lambda_alias={FUNCTION}:gone")
    assert "AWS knows no such listener, rule or alias" in said, said


def test_steps_go_on_by_the_judges_word(alias: AliasWorld) -> None:
    daemon = alias.start_serin()
    daemon.wait_armed()
    said = command(alias, "release", SERVICE, "--steps", "10,100", "--to", "2")
    assert "every step was judged good" in said or "100 %  good" in said, said
    assert alias.weights() == {"2": 1.0}
    shows = [each["shows"] for each in daemon.events("epoch")]
    assert shows == [f"{NAME}:1", f"{NAME}:1 90 %, :2 10 %", f"{NAME}:2"]


def test_a_persons_write_in_between_is_never_overwritten(fenced: AliasWorld) -> None:
    """It comes when our write is on its way, after the read that it stands on: only its revision tells."""
    daemon = fenced.start_serin()
    daemon.wait_armed()
    fenced.shift(0.1)
    seen(fenced, daemon)
    judged = fenced.functions.alias.revision
    fenced.functions.before["UpdateAlias"] = lambda: fenced.functions.write("1", {"2": 0.5})
    fenced.green.fail()
    wrote = daemon.wait_event("wrote", REVERT_WITHIN_S)
    assert wrote["outcome"] == "refused" and "PreconditionFailedException" in wrote["detail"]
    # It is read again, and what the person wrote stays.
    assert daemon.wait_event("held", 5)["reason"] == "overridden"
    epoch = daemon.wait_event("epoch", 10, count=3)
    assert epoch["shows"] == f"{NAME}:1 50 %, :2 50 %"
    time.sleep(8)
    (write,) = updates(fenced)
    assert (write.status, write.params["RevisionId"]) == (412, judged)
    assert fenced.weights() == {"1": 0.5, "2": 0.5}
    assert len(daemon.events("intent")) == 1


def test_a_description_that_comes_in_between_is_kept_and_the_write_made_again(fenced: AliasWorld) -> None:
    """It changes the revision, so that AWS refuses our write, and nothing that routes."""
    daemon = fenced.start_serin()
    daemon.wait_armed()
    fenced.shift(0.1)
    seen(fenced, daemon)
    fenced.functions.before["UpdateAlias"] = lambda: fenced.functions.describe("owned by shop")
    fenced.green.fail()
    daemon.wait_event("verified", REVERT_WITHIN_S)
    first, second = updates(fenced)
    assert (first.status, second.status) == (412, 200)
    assert first.params["RevisionId"] != second.params["RevisionId"]
    assert (fenced.weights(), fenced.functions.alias.description) == ({"1": 1.0}, "owned by shop")
    assert len(daemon.events("intent")) == 1


def test_a_new_description_is_no_new_state(fenced: AliasWorld) -> None:
    """It changes the revision and nothing that routes."""
    daemon = fenced.start_serin()
    daemon.wait_armed()
    fenced.shift(0.1)
    seen(fenced, daemon)
    fenced.aws.update_alias(FunctionName=NAME, Name=ALIAS, Description="owned by shop")
    fenced.green.fail()
    daemon.wait_event("verified", REVERT_WITHIN_S)
    assert len(daemon.events("release")) == 1
    assert len(updates(fenced)) == 1
    assert fenced.functions.alias.description == "owned by shop", "it is left as it is"


def test_an_unanswered_write_is_known_by_its_effect(fenced: AliasWorld) -> None:
    daemon = fenced.start_serin()
    daemon.wait_armed()
    fenced.shift(0.1)
    seen(fenced, daemon)
    fenced.functions.silent_s["UpdateAlias"] = 4  # longer than an attempt may take
    fenced.green.fail()
    daemon.wait_event("verified", REVERT_WITHIN_S)
    assert len(updates(fenced)) == 1
    assert fenced.weights() == {"1": 1.0}


@pytest.mark.parametrize("state", ["Inactive", "Failed", "Pending"])
def test_a_version_that_cant_be_invoked_is_no_place_to_return_to(
    fenced: AliasWorld, state: str
) -> None:
    daemon = fenced.start_serin()
    daemon.wait_armed()
    fenced.shift(0.1)
    seen(fenced, daemon)
    fenced.functions.states["1"] = state
    fenced.green.fail()
    refused = daemon.wait_event("refused", REVERT_WITHIN_S)
    assert (refused["reason"], updates(fenced)) == ("blue-healthy", [])


def test_a_version_that_is_gone_is_no_place_to_return_to(fenced: AliasWorld) -> None:
    daemon = fenced.start_serin(unheard="revert")
    daemon.wait_armed()
    fenced.shift("green")
    seen(fenced, daemon)
    del fenced.functions.states["1"]
    fenced.green.fail()
    refused = daemon.wait_event("refused", REVERT_WITHIN_S)
    assert (refused["reason"], updates(fenced)) == ("blue-healthy", [])
    assert "no registered target" in refused["says"]


def test_a_routing_that_isnt_understood_is_never_written(fenced: AliasWorld) -> None:
    daemon = fenced.start_serin()
    daemon.wait_armed()
    fenced.functions.routing = {"StickyFor": 60}
    fenced.shift(0.1)
    seen(fenced, daemon)
    fenced.green.fail()
    refused = daemon.wait_event("refused", REVERT_WITHIN_S)
    assert (refused["reason"], "StickyFor" in refused["says"]) == ("understood", True)
    assert updates(fenced) == []


@pytest.mark.parametrize(
    ("action", "reason"),
    [("UpdateAlias", "write-refused"), ("ListTags", "listener-read"), ("GetAlias", "listener-read")],
)
def test_what_isnt_permitted_is_told(fenced: AliasWorld, action: str, reason: str) -> None:
    daemon = fenced.start_serin()
    daemon.wait_armed()
    fenced.shift(0.1)
    seen(fenced, daemon)
    says = f"not authorized to perform: lambda:{action}"
    fenced.functions.refuses[action] = Refused("AccessDeniedException", says, 403)
    fenced.green.fail()
    refused = daemon.wait_event("refused", REVERT_WITHIN_S)
    assert (refused["reason"], says in refused["says"]) == (reason, True)
    assert fenced.weights() == {"1": 0.9, "2": 0.1}


def test_what_codedeploy_shifts_is_stopped_with_its_rollback(alias: AliasWorld) -> None:
    alias.owners.lambda_group(NAME, ALIAS)
    alias.owners._move = lambda colour: alias.shift("blue" if colour == "blue" else 0.1)
    daemon = alias.start_serin()
    daemon.wait_armed()
    assert condition(daemon, "owner")["detail"] == "nobody else moves the alias"
    deployment = alias.owners.deploy().id
    seen(alias, daemon)
    wait_until(
        "the deployment is found",
        lambda: f"StopDeployment of {deployment}" in condition(daemon, "owner")["detail"],
        10,
    )
    alias.green.fail()
    daemon.wait_event("verified", REVERT_WITHIN_S)
    (call,) = alias.owners.writes()
    assert (call.action, call.params) == (
        "StopDeployment",
        {"deploymentId": deployment, "autoRollbackEnabled": True},
    )
    assert alias.referee.writes() == [], "the alias itself is never written"
    assert (alias.weights(), alias.owners.faults) == ({"1": 1.0}, [])


def test_what_codedeploy_has_done_with_is_written_like_any_other(alias: AliasWorld) -> None:
    alias.owners.lambda_group(NAME, ALIAS)
    alias.owners._move = lambda _: alias.shift(0.5)
    daemon = alias.start_serin()
    daemon.wait_armed()
    alias.owners.deploy().status = "Succeeded"
    seen(alias, daemon)
    alias.green.fail()
    daemon.wait_event("verified", REVERT_WITHIN_S)
    assert alias.owners.writes() == []
    assert [call.action for call in alias.referee.writes()] == ["UpdateAlias"]


def test_codedeploys_other_aliases_are_nobodys_business(alias: AliasWorld) -> None:
    alias.owners.lambda_group(NAME, "beta")
    alias.owners._move = lambda _: None
    alias.owners.deploy()
    daemon = alias.start_serin()
    daemon.wait_armed()
    alias.shift(0.5)
    seen(alias, daemon)
    alias.green.fail()
    daemon.wait_event("verified", REVERT_WITHIN_S)
    assert alias.owners.writes() == []


@pytest.mark.parametrize("action", ["ListApplications", "ListDeploymentTargets"])
def test_an_owner_that_cant_be_found_out_is_nobody_to_write_past(
    alias: AliasWorld, action: str
) -> None:
    alias.owners.lambda_group(NAME, ALIAS)
    alias.owners._move = lambda _: alias.shift(0.5)
    alias.owners.refuses[action] = Refused("AccessDeniedException", "not you")
    daemon = alias.start_serin()
    daemon.wait_event("good", 30)
    alias.owners.deploy()
    seen(alias, daemon)
    alias.green.fail()
    refused = daemon.wait_event("refused", REVERT_WITHIN_S)
    assert refused["reason"] == "owner"
    assert "who owns the alias is not known" in refused["says"]
    nothing_written(alias, daemon)
    assert alias.owners.writes() == []


def seen(world: AliasWorld, daemon: Daemon) -> None:
    """Serin takes it for a release, users get green, and the grace passes."""
    daemon.wait_event("release", 15)
    wait_until("users get green", lambda: "green-2" in world.colours(), 5)
    time.sleep(2.5)  # propagation and grace


def nothing_written(world: AliasWorld, daemon: Daemon) -> None:
    time.sleep(2)
    assert world.referee.writes() == []
    assert daemon.events("intent") == []


def described(world: AliasWorld) -> dict:
    """The alias as boto3 shows it, without what each call brings anew. Of no routing moto says nothing or an empty one."""
    alias = world.aws.get_alias(FunctionName=NAME, Name=ALIAS)
    routing = alias.pop("RoutingConfig", None) or {}
    if routing.get("AdditionalVersionWeights"):
        alias["RoutingConfig"] = routing
    return {key: value for key, value in alias.items() if key != "ResponseMetadata"}


def updates(world: AliasWorld) -> list:
    return [call for call in world.referee.calls if call.action == "UpdateAlias"]


def tags(world: AliasWorld) -> dict[str, str]:
    return world.aws.list_tags(Resource=FUNCTION)["Tags"]


def condition(daemon: Daemon, name: str) -> dict:
    (found,) = [each for each in daemon.conditions() if each["name"] == name]
    return found


def serin(world: AliasWorld, *args: str) -> str:
    command = [release_binary(), args[0], "--socket", world.folder / "serin.sock", *args[1:]]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check(world: AliasWorld, *args: str) -> str:
    """What `serin check` says, good or not."""
    return command(world, "check", *args)


def command(world: AliasWorld, name: str, *args: str) -> str:
    """What a command says that reads the file and asks AWS."""
    env = environment(
        AWS_ENDPOINT_URL=world.referee.url,
        AWS_ENDPOINT_URL_CODEDEPLOY=world.owners.url,
        AWS_REGION=REGION,
        AWS_EC2_METADATA_DISABLED="true",
        **CREDENTIALS,
    )
    line = [release_binary(), name, *args, "--config", world.folder / "serin.toml"]
    done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr
