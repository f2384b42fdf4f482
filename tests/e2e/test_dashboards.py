"""Every query of every dashboard, run against the real thing.

One `serin run` lives through a release that breaks its promise and is put back, and one that may not be. Its figures go to a real
Prometheus 3 by two scrapes (native histograms, classic ones) and through a real OpenTelemetry collector, and to a CloudWatch that
we did not write. Then each query of each panel, variable and annotation is asked with the variables filled in, and has data.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from conftest import World
from daemon import SERVICE, Daemon
from peers import CLASSIC, NATIVE, Prometheus
from processes import wait_until

DASHBOARDS = Path(__file__).resolve().parents[2] / "dashboards"
RULES = DASHBOARDS / "rules.yaml"
# The job that OTLP brings: its `service.name`.
OTLP = "serin"
# What a scrape each second, and an export every two, need.
RATE_INTERVAL = "8s"
# Rightly without data in this story.
EMPTY = {
    "serin_prober_throttled_ratio": "absent where the cgroup has no CPU quota",
}


class Story:
    """What was played, and where its figures are."""

    def __init__(self, world: World, prometheus: Prometheus, daemon: Daemon, begun: float) -> None:
        self.world, self.prometheus, self.daemon, self.begun = world, prometheus, daemon, begun
        self.ended = time.time()

    def instant(self, expression: str, at: float | None = None) -> list[dict]:
        """At the end, unless another time is asked for."""
        return self.prometheus.get("query", query=expression, time=at or self.ended)["result"]

    def over_time(self, expression: str) -> list[dict]:
        times = {"start": self.begun, "end": self.ended, "step": 1}
        return self.prometheus.get("query_range", query=expression, **times)["result"]

    def number(self, expression: str) -> float:
        (found,) = self.instant(expression)
        return float(found["value"][1])


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def play(folder: Path, stack: contextlib.ExitStack) -> Story:
    begun = time.time()
    prometheus = Prometheus(folder / "prometheus", RULES)
    stack.callback(prometheus.stop)
    world = World(folder, stack, prometheus)
    daemon = world.start_serin()
    prometheus.scrape(daemon.admin_port)
    daemon.wait_armed()
    release(world, daemon, "green", 1)
    world.green.fail()
    daemon.wait_event("verified", 30)
    # The next release, within the cool-down, breaks too and stays.
    third = world.start_nginx("third-3")
    world.groups["third"] = world.target_group("third", third.port)
    release(world, daemon, "third", 2)
    third.fail()
    daemon.wait_event("refused", 30)
    time.sleep(5)  # two more intervals of both publishers
    return Story(world, prometheus, daemon, begun)


def release(world: World, daemon: Daemon, colour: str, count: int) -> None:
    """The pipeline cuts over, and Serin has seen the `count`-th release."""
    world.cut_over(colour)
    daemon.wait_event("release", 15, count=count)
    time.sleep(3)  # propagation and grace


def test_every_query_of_every_dashboard_has_data(
    tmp_path: Path, stack: contextlib.ExitStack
) -> None:
    story = play(tmp_path, stack)
    what_arrives_is_what_the_catalogue_says(story)
    histograms_tell_the_same_whichever_way_they_come(story)
    empty = [
        *empty_queries(story, "metrics", NATIVE),
        *empty_queries(story, "metrics", CLASSIC),
        *empty_queries(story, "otlp", OTLP),
        *empty_in_cloudwatch(story),
    ]
    unexcused = [each for each in empty if not any(name in each for name in EMPTY)]
    assert not unexcused, "\n".join(unexcused)
    the_rules_are_evaluated(story)
    the_rules_for_otlp_find_what_came_that_way(story)
    promtool_likes_the_text(story)


def dashboards(dialect: str) -> Iterator[tuple[str, dict]]:
    files = sorted((DASHBOARDS / "grafana" / dialect).glob("*.json"))
    assert len(files) == 4, files
    for file in files:
        yield f"{dialect}/{file.name}", json.loads(file.read_text())


def panels(dashboard: dict) -> Iterator[tuple[str, dict]]:
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target


# Prometheus.


def empty_queries(story: Story, dialect: str, job: str) -> list[str]:
    """Which of a dialect's queries have no data from `job`."""
    found = []
    for file, dashboard in dashboards(dialect):
        values = {"job": job, "__rate_interval": RATE_INTERVAL}
        values["__range"] = f"{math.ceil(story.ended - story.begun)}s"
        for variable in dashboard["templating"]["list"]:
            values[variable["name"]] = chosen(story, variable, values)
            if not values[variable["name"]]:
                found.append(f"{file}, variable {variable['name']}: {variable['definition']}")
        queries = [(title, target["instant"], target["expr"]) for title, target in panels(dashboard)]
        queries += [
            (annotation["name"], False, annotation["target"]["expr"])
            for annotation in dashboard["annotations"]["list"]
            if "target" in annotation
        ]
        assert len(queries) > 10, file
        for title, instant, query in queries:
            expression = filled(query, values)
            answers = story.instant(expression) if instant else story.over_time(expression)
            if not any(numbers(answer) for answer in answers):
                found.append(f"{file} from {job}, {title}: {expression}")
    return found


def chosen(story: Story, variable: dict, values: dict[str, str]) -> str:
    """A variable's value: the job that is asked about, everything else of what there is."""
    if variable["type"] == "textbox":
        return variable["query"]
    if variable["type"] == "datasource":
        return "prometheus"
    selector, label = re.fullmatch(
        r"label_values\((.*), (\w+)\)", filled(variable["definition"], values)
    ).groups()
    found = story.prometheus.get(
        f"label/{label}/values", start=story.begun, end=story.ended, **{"match[]": selector}
    )
    if variable["name"] == "job":
        return values["job"] if values["job"] in found else ""
    return "|".join(re.escape(value).replace("\\", "\\\\") for value in found)


def filled(query: str, values: dict[str, str]) -> str:
    """As Grafana does it: the longest name first."""
    for name in sorted(values, key=len, reverse=True):
        query = query.replace(f"${name}", values[name])
    assert "$" not in query, query
    return query


def numbers(answer: dict) -> list[float]:
    points = answer.get("values", []) + ([answer["value"]] if "value" in answer else [])
    return [number for number in (float(value) for _, value in points) if math.isfinite(number)]


def what_arrives_is_what_the_catalogue_says(story: Story) -> None:
    """The names that the README has for Prometheus through OTLP are those that Prometheus has."""
    rows = re.findall(r"^\| `\w+` \| `[\w.]+` \| `(\w+)` \|", (DASHBOARDS / "README.md").read_text(), re.M)
    assert len(rows) > 30
    match = {"match[]": f'{{job="{OTLP}"}}'}
    names = story.prometheus.get("label/__name__/values", start=story.begun, **match)
    late = {"serin_prober_throttled_ratio"} - set(names)
    assert set(names) - {"target_info"} == set(rows) - late


def histograms_tell_the_same_whichever_way_they_come(story: Story) -> None:
    """An exponential histogram becomes a native one; its quantiles are the scrape's, but for the width of the buckets."""
    pushed, scraped = (
        f'sum({name}{{job="{job}"}})'
        for name, job in (
            ("http_client_request_duration_seconds", OTLP),
            ("serin_probe_duration_seconds", NATIVE),
        )
    )
    # Both grow by whole seconds: some state of it went both ways.
    by_count = [
        {int(float(count)): at for at, count in answers["values"]}
        for (answers,) in (story.over_time(f"histogram_count({each})") for each in (pushed, scraped))
    ]
    count = max(by_count[0].keys() & by_count[1].keys())
    assert count > 100, by_count
    for share in (0.5, 0.9, 0.95):
        one, other = (
            float(story.instant(f"histogram_quantile({share}, {each})", at[count])[0]["value"][1])
            for each, at in zip((pushed, scraped), by_count, strict=True)
        )
        assert one == pytest.approx(other, rel=0.08), share
    classic = f'serin_probe_duration_seconds{{job="{CLASSIC}"}}'
    assert story.instant(classic) == [], "without the setting there are classic buckets only"
    native = f'serin_probe_duration_seconds_bucket{{job="{NATIVE}"}}'
    assert story.instant(native) == [], "and with it native ones only"


def the_rules_are_evaluated(story: Story) -> None:
    def rules() -> list[dict]:
        return [rule for group in story.prometheus.get("rules")["groups"] for rule in group["rules"]]

    # The first turn of the recorded ones comes within their interval of 30 s.
    wait_until("each rule had its turn", lambda: all(rule["health"] != "unknown" for rule in rules()), 40)
    text = RULES.read_text()
    assert len(rules()) == text.count("- alert:") + text.count("- record:")
    unwell = [rule for rule in rules() if rule["health"] != "ok" or rule.get("lastError")]
    assert not unwell, unwell
    firing = {rule["name"] for rule in rules() if rule.get("state") == "firing"}
    assert {"SerinReverted", "SerinNeedsHuman"} <= firing
    assert not firing & {"SerinGone", "SerinGuardSilent", "SerinRevertIncomplete"}


def the_rules_for_otlp_find_what_came_that_way(story: Story) -> None:
    """Both files aren't for one Prometheus: these are asked only."""
    groups = yaml.safe_load((DASHBOARDS / "rules-otlp.yaml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    recorded = [rule for rule in rules if "record" in rule]
    for rule in recorded:
        found = story.instant(rule["expr"])
        assert SERVICE in {answer["metric"].get("serin_service") for answer in found}, rule
    alerts = {rule["alert"]: rule["expr"] for rule in rules if "alert" in rule}
    assert not story.instant(alerts.pop("SerinGone"))
    firing = {
        name
        for name, expression in alerts.items()
        for answer in story.instant(expression)
        if answer["metric"].get("serin_service") == SERVICE
    }
    assert {"SerinReverted", "SerinNeedsHuman", "SerinErrorBudgetBurn"} <= firing
    assert not firing & {"SerinGuardSilent", "SerinRevertIncomplete"}


# CloudWatch.


def empty_in_cloudwatch(story: Story) -> list[str]:
    """Which figures are asked for that CloudWatch doesn't have."""
    found = []
    for file, dashboard in dashboards("cloudwatch"):
        values = {"region": "eu-west-1", "namespace": "Serin", "service": SERVICE}
        for variable in dashboard["templating"]["list"]:
            query = variable["query"]
            if not isinstance(query, dict) or query["queryType"] != "dimensionValues":
                continue
            of = {key: filled(value, values) for key, value in query["dimensionFilters"].items()}
            asked = filled(query["namespace"], values), query["metricName"], of
            there = dimension_values(story, *asked, query["dimensionKey"])
            if variable["name"] == "target":
                assert there == {"home"}
                values["target"] = "home"
            elif values["service"] not in there:
                found.append(f"{file}, variable {variable['name']}: {query}")
        for title, target in panels(dashboard):
            dimensions = {key: filled(value, values) for key, value in target["dimensions"].items()}
            namespace = filled(target["namespace"], values)
            if not points(story, namespace, target["metricName"], dimensions, target["statistic"]):
                found.append(f"{file}, {title}: {target}")
    return found


def dimension_values(
    story: Story, namespace: str, metric: str, of: dict[str, str], key: str
) -> set[str]:
    filters = [{"Name": name, "Value": value} for name, value in of.items()]
    listed = story.world.cloudwatch.list_metrics(
        Namespace=namespace, MetricName=metric, Dimensions=[*filters, {"Name": key}]
    )["Metrics"]
    dimensions = [each for metric in listed for each in metric["Dimensions"]]
    return {each["Value"] for each in dimensions if each["Name"] == key}


def points(
    story: Story, namespace: str, metric: str, dimensions: dict[str, str], statistic: str
) -> list[float]:
    named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    of = {"Namespace": namespace, "MetricName": metric, "Dimensions": named}
    (found,) = story.world.cloudwatch.get_metric_data(
        MetricDataQueries=[{"Id": "a", "MetricStat": {"Metric": of, "Period": 60, "Stat": statistic}}],
        StartTime=datetime.datetime.fromtimestamp(story.begun - 60, datetime.UTC),
        EndTime=datetime.datetime.fromtimestamp(story.ended + 60, datetime.UTC),
    )["MetricDataResults"]
    return found["Values"]


# promtool.


def promtool(*arguments: str | Path, text: str | None = None) -> None:
    program = os.environ.get("SERIN_PROMTOOL")
    if not program:
        pytest.skip("promtool is not built (tests/run builds it; it needs go)")
    ran = subprocess.run(
        [program, *arguments], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def promtool_likes_the_text(story: Story) -> None:
    promtool("check", "metrics", text=story.daemon.prometheus())


def test_promtool_likes_the_rules_and_plays_them() -> None:
    promtool("check", "rules", RULES)
    promtool("check", "rules", DASHBOARDS / "rules-otlp.yaml")
    promtool("test", "rules", DASHBOARDS / "rules_test.yaml")


def test_promtool_plays_the_same_with_the_names_of_otlp(tmp_path: Path) -> None:
    plays = Renamed().plays()
    (tmp_path / "plays.yaml").write_text(yaml.safe_dump(plays))
    promtool("test", "rules", tmp_path / "plays.yaml")
    # A play that comes out as it must not is told: the renaming left something to compare.
    alerts = [check for test in plays["tests"] for check in test.get("alert_rule_test", []) if "exp_alerts" in check]
    assert {alert["alertname"] for alert in alerts} == {
        rule["alert"] for group in Renamed().rules for rule in group["rules"] if "alert" in rule
    }
    alerts[0]["exp_alerts"][0]["exp_labels"]["severity"] = "none"
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(plays))
    with pytest.raises(AssertionError, match="severity"):
        promtool("test", "rules", tmp_path / "wrong.yaml")


class Renamed:
    """`rules_test.yaml` with the names that the README has for Prometheus through OTLP."""

    def __init__(self) -> None:
        self.figures: dict[str, str] = {}
        self.labels: dict[str, dict[str, str]] = {}
        row = r"^\| `(\w+)` \| `[\w.]+` \| `(\w+)` \| [^|]+ \| ([^|]*) \|"
        for here, there, labels in re.findall(row, (DASHBOARDS / "README.md").read_text(), re.M):
            self.figures[here] = there
            self.labels[here] = {
                name: other.replace(".", "_") for name, other in re.findall(r"`(\w+)` \(`([\w.]+)`\)", labels)
            }
        self.rules = yaml.safe_load(RULES.read_text())["groups"]

    def plays(self) -> dict:
        plays = yaml.safe_load((DASHBOARDS / "rules_test.yaml").read_text())
        plays["rule_files"] = [str(DASHBOARDS / "rules-otlp.yaml")]
        for test in plays["tests"]:
            inputs = [each for each in test["input_series"] if "_bucket{" not in each["series"]]
            if inputs != test["input_series"]:
                # A histogram comes as a native one: here everything is between an eighth and a quarter of a second.
                one = "{{schema:0 count:300 sum:45 offset:-2 buckets:[300]}}"
                series = 'serin_probe_duration_seconds{service="shop", target="front"}'
                inputs.append({"series": series, "values": f"{one}+{one}x20"})
            test["input_series"] = [each | {"series": self.series(each["series"])} for each in inputs]
            # The sheet of silences is one object for several plays, and has nothing to rename.
            for check in test.get("alert_rule_test", []):
                for alert in check.get("exp_alerts", []):
                    names = self.names(check["alertname"])
                    alert["exp_labels"] = {names.get(key, key): value for key, value in alert["exp_labels"].items()}
                    alert["exp_annotations"] = {
                        key: self.text(value) for key, value in alert["exp_annotations"].items()
                    }
            for check in test.get("promql_expr_test", []):
                for sample in check["exp_samples"]:
                    sample["labels"] = self.renamed(sample["labels"], self.names(check["expr"]))
                    if "p95" in check["expr"]:
                        # Within a bucket of a native histogram values are taken to be spread evenly by their logarithm.
                        sample["value"] = 2 ** (-3 + 0.95)
        return plays

    def series(self, series: str) -> str:
        name = series.partition("{")[0]
        return self.renamed(series.replace(name, self.figures[name], 1), self.labels[name])

    def names(self, rule: str) -> dict[str, str]:
        """The labels of the figures that the rule of this name is about."""
        rules = [each for group in self.rules for each in group["rules"]]
        (expression,) = (each["expr"] for each in rules if rule in (each.get("alert"), each.get("record")))
        about = [self.labels[name] for name in re.findall(r"\w+", expression.replace("_bucket", "")) if name in self.labels]
        return {here: there for labels in about for here, there in labels.items()}

    def text(self, text: str) -> str:
        return re.sub(r"`(\w+)", lambda found: "`" + self.figures.get(found[1], found[1]), text)

    @staticmethod
    def renamed(series: str, names: dict[str, str]) -> str:
        return re.sub(r'(\w+)(?==")', lambda found: names.get(found[1], found[1]), series)


# Faults.


def test_a_collector_or_a_prometheus_that_is_away_loses_only_what_it_missed(
    tmp_path: Path, stack: contextlib.ExitStack
) -> None:
    prometheus = Prometheus(tmp_path / "prometheus", RULES)
    stack.callback(prometheus.stop)
    world = World(tmp_path, stack, prometheus)
    daemon = world.start_serin(mode="observe", calm="40/s")
    prometheus.scrape(daemon.admin_port)

    def number(expression: str) -> float:
        found = prometheus.get("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else 0.0

    def attempts(job: str) -> float:
        return number(f'sum(serin_probe_attempts_total{{job="{job}"}})')

    def catch_up() -> None:
        """The scrape goes on, and OTLP brings what it knows."""
        before = attempts(NATIVE)
        wait_until("it is scraped", lambda: attempts(NATIVE) > before, 20)
        now = attempts(NATIVE)
        wait_until("OTLP has as much", lambda: attempts(OTLP) >= now, 20)

    catch_up()
    world.collector.restart(down_s=8)
    waits = f'serin_spool_batches{{job="{NATIVE}", destination="otlp"}}'
    wait_until("something waited", lambda: number(f"max_over_time({waits}[2m])") > 0, 10)
    wait_until("it has gone out", lambda: number(waits) == 0, 30)
    assert number(f'sum(serin_dropped_total{{job="{NATIVE}", destination="otlp"}})') == 0
    catch_up()
    prometheus.restart(down_s=3)
    catch_up()
    for job in (OTLP, NATIVE):
        resets = f'sum(resets(serin_probe_attempts_total{{job="{job}"}}[5m]))'
        assert number(resets) == 0, job
