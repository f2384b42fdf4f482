"""The world of the end-to-end suites: two nginx behind ministack's balancer, Serin beside them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon import Daemon, ledger_path
from owners import Owners
from peers import Answer, Collector, Ministack, Nginx, ask
from referee import Referee


class World:
    """Everything on loopback, and the pipeline's hand on it (boto3, as any pipeline)."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self.blue = self.start_nginx("blue-1")
        self.green = self.start_nginx("green-2")
        self.collector = self._owned(Collector(folder / "collector"))
        self.ministack = self._owned(Ministack(folder / "ministack"))
        self.elb = self.ministack.client("elbv2")
        self.cloudwatch = self.ministack.client("cloudwatch")
        self.groups = {
            colour: self._target_group(colour, nginx.port)
            for colour, nginx in (("blue", self.blue), ("green", self.green))
        }
        self.listener = self._load_balancer()
        self.host = f"shop.alb.localhost:{self.ministack.port}"
        self.owners = self._owned(Owners(self.cut_over))
        self.referee = self._owned(Referee(self.ministack.port, ledger_path(folder)))

    def start_nginx(self, name: str) -> Nginx:
        return self._owned(Nginx(self.folder / name, name))

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

    def _owned(self, thing):
        self._stack.callback(thing.stop)
        return thing

    def _target_group(self, name: str, port: int) -> str:
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


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with contextlib.ExitStack() as stack:
        yield World(tmp_path, stack)
