"""The worlds of the end-to-end suites: two nginx behind a balancer (ministack's, or moto's with Envoy), Serin beside them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon import Daemon, ledger_path
from functions import ARN, NAME, AliasFollower, Functions, create_in, weights
from owners import Owners
from peers import Answer, Collector, Ministack, Nginx, Prometheus, ask
from referee import Referee
from weighted import Envoy, Follower, Moto, in_its_own_words


class Stage:
    """Two nginx on loopback, and the account of what a test has started."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self.blue = self.start_nginx("blue-1")
        self.green = self.start_nginx("green-2")

    def start_nginx(self, name: str) -> Nginx:
        return self._owned(Nginx(self.folder / name, name))

    def _owned(self, thing):
        self._stack.callback(thing.stop)
        return thing


class World(Stage):
    """Everything on loopback, and the pipeline's hand on it (boto3, as any pipeline)."""

    def __init__(
        self, folder: Path, stack: contextlib.ExitStack, prometheus: Prometheus | None = None
    ) -> None:
        """The collector hands on to `prometheus`."""
        super().__init__(folder, stack)
        onward = prometheus.url if prometheus else None
        self.collector = self._owned(Collector(folder / "collector", onward))
        self.ministack = self._owned(Ministack(folder / "ministack"))
        self.elb = self.ministack.client("elbv2")
        self.cloudwatch = self.ministack.client("cloudwatch")
        self.groups = {
            colour: self.target_group(colour, nginx.port)
            for colour, nginx in (("blue", self.blue), ("green", self.green))
        }
        self.listener = self._load_balancer()
        self.host = f"shop.alb.localhost:{self.ministack.port}"
        self.owners = self._owned(Owners(self.cut_over))
        self.referee = self._owned(Referee(self.ministack.port, ledger_path(folder)))

    def start_serin(self, **options: str) -> Daemon:
        return self._owned(
            Daemon(
                self.folder,
                listener=self.listener,
                balancer=self.host,
                aws=self.referee.url,
                collector=self.collector.url,
                owners=self.owners.url,
                **options,
            )
        )

    def ask(self) -> Answer:
        """What a user gets from the balancer, on a fresh connection."""
        return ask(self.ministack.port, self.host)

    def cut_over(self, colour: str) -> None:
        """What the pipeline does."""
        self.elb.modify_listener(ListenerArn=self.listener, DefaultActions=self.forward(colour))

    def forward(self, colour: str) -> list[dict]:
        return [{"Type": "forward", "TargetGroupArn": self.groups[colour]}]

    def default_actions(self) -> list[dict]:
        (listener,) = self.elb.describe_listeners(ListenerArns=[self.listener])["Listeners"]
        return listener["DefaultActions"]

    def serves(self) -> str:
        """The colour that the listener forwards to."""
        arn = self.default_actions()[0]["TargetGroupArn"]
        return next(colour for colour, group in self.groups.items() if group == arn)

    def target_group(self, name: str, port: int) -> str:
        (group,) = self.elb.create_target_group(
            Name=name, Protocol="HTTP", Port=port, VpcId="vpc-1", TargetType="ip"
        )["TargetGroups"]
        arn = group["TargetGroupArn"]
        self.elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": "127.0.0.1", "Port": port}])
        return arn

    def _load_balancer(self) -> str:
        (balancer,) = self.elb.create_load_balancer(Name="shop", Subnets=["subnet-1", "subnet-2"])[
            "LoadBalancers"
        ]
        (listener,) = self.elb.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"],
            Protocol="HTTP",
            Port=80,
            DefaultActions=self.forward("blue"),
        )["Listeners"]
        return listener["ListenerArn"]


class WeightedWorld(Stage):
    """The same with weights: moto keeps the listener, Envoy routes by it, and boto3 is the pipeline."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack, moto: Moto) -> None:
        super().__init__(folder, stack)
        self.moto = moto
        self.envoy = self._owned(
            Envoy(
                folder / "envoy",
                {"blue": self.blue.port, "green": self.green.port, "third": self.green.port},
            )
        )
        self.elb = self.moto.client("elbv2")
        self.subnets = self.moto.client("ec2").describe_subnets()["Subnets"]
        self.groups = {
            colour: self.target_group(colour, nginx.port)
            for colour, nginx in (("blue", self.blue), ("green", self.green))
        }
        (self.balancer,) = self.elb.create_load_balancer(
            Name="shop", Subnets=[subnet["SubnetId"] for subnet in self.subnets[:2]]
        )["LoadBalancers"]
        self.listener = self.create_listener(self.forward(100, 0))
        self.follower = self._owned(Follower(self.moto, self.listener, self.envoy))
        self.host = f"shop.alb.localhost:{self.envoy.port}"
        self.owners = self._owned(Owners(lambda _: None))
        self.referee = self._owned(
            Referee(self.moto.port, ledger_path(folder), in_its_own_words)
        )

    def start_serin(self, **options) -> Daemon:
        governed = {} if "rules" in options else {"listener": self.listener}
        given = {"aws": self.referee.url, "owners": self.owners.url}
        # moto can't read CBOR, which is what the Rust SDK speaks to CloudWatch.
        given |= {"balancer": self.host, "cloudwatch": False}
        return self._owned(Daemon(self.folder, **(given | governed | options)))

    def ask(self, path: str = "/", cookie: str | None = None) -> Answer:
        """What a user gets from the balancer, on a fresh connection."""
        return ask(self.envoy.port, self.host, path, cookie=cookie)

    def colours(self, path: str = "/", asks: int = 20) -> set[str | None]:
        """The versions that users get now."""
        return {self.ask(path)[1] for _ in range(asks)}

    def forward(self, blue: int, green: int, order: int = 1) -> list[dict]:
        """The weighted forward with stickiness, as a pipeline writes it."""
        return [
            {
                "Type": "forward",
                "Order": order,
                "ForwardConfig": {
                    "TargetGroups": [
                        {"TargetGroupArn": self.groups["blue"], "Weight": blue},
                        {"TargetGroupArn": self.groups["green"], "Weight": green},
                    ],
                    "TargetGroupStickinessConfig": {"Enabled": True, "DurationSeconds": 600},
                },
            }
        ]

    def shift(self, blue: int, green: int) -> None:
        """What the pipeline does."""
        self.set_actions(self.forward(blue, green))

    def set_actions(self, actions: list[dict], arn: str | None = None) -> None:
        """Of the listener, or of a rule."""
        if arn:
            self.elb.modify_rule(RuleArn=arn, Actions=actions)
        else:
            self.elb.modify_listener(ListenerArn=self.listener, DefaultActions=actions)

    def actions(self, arn: str | None = None) -> list[dict]:
        """Of the listener, or of a rule."""
        if arn:
            (rule,) = self.elb.describe_rules(RuleArns=[arn])["Rules"]
            return rule["Actions"]
        (listener,) = self.elb.describe_listeners(ListenerArns=[self.listener])["Listeners"]
        return listener["DefaultActions"]

    def create_rule(self, path: str, priority: int, actions: list[dict]) -> str:
        (rule,) = self.elb.create_rule(
            ListenerArn=self.listener,
            Priority=priority,
            Conditions=[{"Field": "path-pattern", "Values": [path]}],
            Actions=actions,
        )["Rules"]
        return rule["RuleArn"]

    def create_listener(self, actions: list[dict], port: int = 80) -> str:
        (listener,) = self.elb.create_listener(
            LoadBalancerArn=self.balancer["LoadBalancerArn"],
            Protocol="HTTP",
            Port=port,
            DefaultActions=actions,
        )["Listeners"]
        return listener["ListenerArn"]

    def target_group(self, name: str, port: int) -> str:
        (group,) = self.elb.create_target_group(
            Name=name,
            Protocol="HTTP",
            Port=port,
            VpcId=self.subnets[0]["VpcId"],
            TargetType="ip",
        )["TargetGroups"]
        arn = group["TargetGroupArn"]
        self.elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": "127.0.0.1", "Port": port}])
        return arn


class AliasWorld(Stage):
    """A function whose alias shares out the requests: blue is version 1, green version 2."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack, keeper: Moto | Functions) -> None:
        super().__init__(folder, stack)
        self.status = self.start_nginx("control")
        self.envoy = self._owned(
            Envoy(folder / "envoy", {"blue": self.blue.port, "green": self.green.port})
        )
        self.functions = keeper
        self.aws = keeper.client("lambda") if isinstance(keeper, Moto) else keeper.client()
        clusters = {"1": "blue", "2": "green", "$LATEST": "green"}
        self.follower = self._owned(AliasFollower(self.aws, self.envoy, clusters))
        self.host = f"checkout.lambda.localhost:{self.envoy.port}"
        self.owners = self._owned(Owners(self.shift))
        self.referee = self._owned(Referee(keeper.port, ledger_path(folder)))

    def start_serin(self, **options) -> Daemon:
        given = {"aws": self.referee.url, "owners": self.owners.url}
        given |= {"lambda_alias": ARN, "balancer": self.host, "cloudwatch": False}
        # A step of a tenth shows late at ten a second.
        given |= {"control": f"http://127.0.0.1:{self.status.port}/", "calm": "40/s"}
        return self._owned(Daemon(self.folder, **(given | options)))

    def shift(self, to: str | float) -> None:
        """What the pipeline does: a share for green, or everything to one."""
        share = {"blue": 0.0, "green": 1.0}.get(to, to)
        if share in (0.0, 1.0):
            version, more = ("2" if share else "1"), {}
        else:
            version, more = "1", {"2": share}
        self.aws.update_alias(
            FunctionName=NAME,
            Name="live",
            FunctionVersion=version,
            RoutingConfig={"AdditionalVersionWeights": more},
        )

    def weights(self) -> dict[str, float]:
        return weights(self.aws)

    def colours(self, asks: int = 40) -> set[str | None]:
        """The versions that users get now."""
        return {ask(self.envoy.port, self.host)[1] for _ in range(asks)}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with contextlib.ExitStack() as stack:
        yield World(tmp_path, stack)


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """One for all tests, emptied between them: it takes two seconds until it has answered the first calls."""
    moto = Moto(tmp_path_factory.mktemp("moto") / "server")
    yield moto
    moto.stop()


@pytest.fixture
def weighted(tmp_path: Path, moto: Moto) -> Iterator[WeightedWorld]:
    moto.begin()
    with contextlib.ExitStack() as stack:
        yield WeightedWorld(tmp_path, stack, moto)


@pytest.fixture
def alias(tmp_path: Path, moto: Moto) -> Iterator[AliasWorld]:
    """With moto's Lambda, which takes any revision."""
    moto.begin()
    create_in(moto)
    with contextlib.ExitStack() as stack:
        yield AliasWorld(tmp_path, stack, moto)


@pytest.fixture
def fenced(tmp_path: Path) -> Iterator[AliasWorld]:
    """With revisions that count, by botocore's model."""
    with contextlib.ExitStack() as stack:
        functions = Functions()
        stack.callback(functions.stop)
        yield AliasWorld(tmp_path, stack, functions)
        assert functions.faults == []
