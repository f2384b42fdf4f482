"""ECS and CodeDeploy as far as a rollback needs them, held to the shapes that AWS publishes.

Nothing else that can be had has these calls with their effect. botocore's models validate each request and
each answer, so that a wrong name or a missing member fails the test; what the calls *do* is written down here
from AWS's documentation.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import botocore.session
from botocore.validate import ParamValidator

REGION, ACCOUNT = "eu-west-1", "123456789012"
CLUSTER = f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/prod"
SERVICE = f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/prod/checkout"


class Refused(Exception):
    """An error answer of AWS."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


class Gone(Exception):
    """Whoever asked has died: nobody waits for the answer, and what was not begun is not done."""


@dataclass
class Call:
    service: str
    action: str
    params: dict


@dataclass
class Deployment:
    """Of ECS or of CodeDeploy."""

    id: str
    status: str
    stage: str = "BAKE_TIME"
    reason: str | None = None
    hook: str | None = None
    rollback: Deployment | None = None
    takes_back: str | None = None
    created: float = field(default_factory=time.time)


class Owners:
    """An endpoint for both; `move(colour)` is what their deployments do to the listener."""

    def __init__(self, move: Callable[[str], None]) -> None:
        self.calls: list[Call] = []
        self.faults: list[str] = []
        """What was wrong with a request or an answer; a test asserts that it is empty."""
        self.services: list[dict] = []
        self.groups: list[dict] = []
        self.deployments: list[Deployment] = []
        self.shift_s = 1.0
        """From the word to the users, which AWS documents nowhere."""
        self.fails: str | None = None
        """A rollback fails with this reason."""
        self.refuses: dict[str, Refused] = {}
        self.boundary: Callable[[str, str], None] = lambda action, when: None
        """Called as a call `arrives` and when it is `done`, before its answer is sent; may raise `Gone`."""
        self.shifted = ("", "")
        """The function and the alias that Lambda's deployments shift."""
        self._move = move
        session = botocore.session.get_session()
        self._models = {name: session.get_service_model(name) for name in ("ecs", "codedeploy")}
        self._threads: list[threading.Thread] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        # It looks so often whether it is to stop.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def ecs_service(self, strategy: str, blue: str, green: str, rule: str | None = None) -> None:
        """A service that ECS deploys by this strategy."""
        advanced = {"alternateTargetGroupArn": green, "roleArn": "arn:aws:iam::1:role/ecs"}
        if rule:
            advanced["productionListenerRule"] = rule
        self.services.append(
            {
                "serviceArn": SERVICE,
                "serviceName": "checkout",
                "clusterArn": CLUSTER,
                "deploymentController": {"type": "ECS"},
                "deploymentConfiguration": {"strategy": strategy},
                "loadBalancers": [
                    {"targetGroupArn": blue, "advancedConfiguration": advanced}
                    if strategy != "ROLLING"
                    else {"targetGroupArn": blue}
                ],
            }
        )

    def codedeploy_group(self, listener: str, blue: str, green: str) -> None:
        names = [{"name": arn.split("/")[1]} for arn in (blue, green)]
        self.groups.append(
            {
                "applicationName": "checkout",
                "deploymentGroupName": "prod",
                "computePlatform": "ECS",
                "loadBalancerInfo": {
                    "targetGroupPairInfoList": [
                        {
                            "targetGroups": names,
                            "prodTrafficRoute": {"listenerArns": [listener]},
                        }
                    ]
                },
            }
        )

    def lambda_group(self, function: str, alias: str) -> None:
        """A deployment group of platform Lambda; which alias a deployment shifts, only the deployment says."""
        self.shifted = (function, alias)
        self.groups.append(
            {"applicationName": "checkout", "deploymentGroupName": "prod", "computePlatform": "Lambda"}
        )

    def deploy(self, hook: str | None = None) -> Deployment:
        """Begins a deployment, and shifts all users to green."""
        if self.groups:
            deployment = Deployment(f"d-{uuid.uuid4().hex[:9].upper()}", "InProgress")
        else:
            arn = SERVICE.replace(":service/", ":service-deployment/") + f"/{uuid.uuid4().hex}"
            deployment = Deployment(arn, "IN_PROGRESS", hook=hook)
        self.deployments.append(deployment)
        self._move("green")
        return deployment

    def named(self, *actions: str) -> list[Call]:
        return [call for call in self.calls if call.action in actions]

    def writes(self) -> list[Call]:
        return self.named("ContinueServiceDeployment", "StopServiceDeployment", "StopDeployment")

    def stop(self) -> None:
        for thread in self._threads:
            thread.join()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(owners):  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                with contextlib.suppress(Gone):
                    self._post()
                    return
                self.close_connection = True

            def _post(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                status, answer = owners._answer(self.headers["x-amz-target"], json.loads(body))
                raw = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/x-amz-json-1.1")
                self.send_header("x-amzn-requestid", str(uuid.uuid4()))
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                """Say nothing: the calls are kept."""

        return Handler

    def _answer(self, target: str, params: dict) -> tuple[int, dict]:
        prefix, action = target.rsplit(".", 1)
        service = next(
            name for name, model in self._models.items() if model.metadata["targetPrefix"] == prefix
        )
        operation = self._models[service].operation_model(action)
        self._hold(f"{action} request", params, operation.input_shape)
        self.calls.append(Call(service, action, params))
        self.boundary(action, "arrives")
        try:
            if action in self.refuses:
                raise self.refuses[action]
            answer = getattr(self, f"_{action}")(**params)
        except Refused as refused:
            known = {shape.name for shape in operation.error_shapes} | {
                "AccessDeniedException",
                "ThrottlingException",
            }
            assert refused.code in known, f"{action} has no {refused.code}"
            return refused.status, {"__type": refused.code, "message": refused.message}
        self._hold(f"{action} answer", answer, operation.output_shape)
        self.boundary(action, "done")
        return 200, answer

    def _hold(self, what: str, value: dict, shape) -> None:
        report = ParamValidator().validate(value, shape)
        if report.has_errors():
            self.faults.append(f"{what}: {report.generate_report()}")
        self.faults += [f"{what}: {word}" for word in _unlisted(value, shape)]

    # ECS

    def _ListClusters(self) -> dict:
        return {"clusterArns": [CLUSTER] if self.services else []}

    def _ListServices(self, cluster: str, **_: object) -> dict:
        return {"serviceArns": [each["serviceArn"] for each in self.services]}

    def _DescribeServices(self, cluster: str, services: list[str]) -> dict:
        known = [each for each in self.services if {each["serviceArn"], each["serviceName"]} & {*services}]
        missing = [{"arn": name, "reason": "MISSING"} for name in services] if not known else []
        return {"services": known, "failures": missing}

    def _ListServiceDeployments(self, service: str, **page: object) -> dict:
        assert service in (SERVICE, "checkout")
        # One a page, the oldest first: whoever reads one page sees the wrong one.
        at = int(str(page.get("nextToken", 0)))
        answer: dict = {
            "serviceDeployments": [
                {
                    "serviceDeploymentArn": each.id,
                    "serviceArn": SERVICE,
                    "clusterArn": CLUSTER,
                    "createdAt": each.created,
                    "status": each.status,
                }
                for each in self.deployments[at : at + 1]
            ]
        }
        if at + 1 < len(self.deployments):
            answer["nextToken"] = str(at + 1)
        return answer

    def _DescribeServiceDeployments(self, serviceDeploymentArns: list[str]) -> dict:  # noqa: N803
        (arn,) = serviceDeploymentArns
        one = self._deployment(arn)
        described = {
            "serviceDeploymentArn": arn,
            "serviceArn": SERVICE,
            "status": one.status,
            "lifecycleStage": one.stage,
            "lifecycleHookDetails": [
                {"hookId": one.hook, "targetType": "PAUSE", "status": "AWAITING_ACTION"}
            ]
            if one.hook
            else [],
        }
        if one.reason:
            described["statusReason"] = one.reason
        return {"serviceDeployments": [described], "failures": []}

    def _ContinueServiceDeployment(
        self,
        serviceDeploymentArn: str,  # noqa: N803
        hookId: str,  # noqa: N803
        action: str = "CONTINUE",
    ) -> dict:
        one = self._deployment(serviceDeploymentArn)
        if one.status != "IN_PROGRESS" or one.hook != hookId:
            raise Refused("InvalidParameterException", "no such hook awaits an action")
        one.hook = None
        if action == "ROLLBACK":
            self._take_back(one)
        return {"serviceDeploymentArn": serviceDeploymentArn}

    def _StopServiceDeployment(
        self,
        serviceDeploymentArn: str,  # noqa: N803
        stopType: str = "ROLLBACK",  # noqa: N803
    ) -> dict:
        one = self._deployment(serviceDeploymentArn)
        if one.status in ("PENDING", "IN_PROGRESS"):
            assert stopType == "ROLLBACK"
            self._take_back(one)
        elif one.status not in ("STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"):
            raise Refused("ConflictException", f"the deployment is {one.status}")
        return {"serviceDeploymentArn": serviceDeploymentArn}

    def _take_back(self, one: Deployment) -> None:
        one.status = "ROLLBACK_REQUESTED"

        def work() -> None:
            time.sleep(self.shift_s / 2)
            one.status = "ROLLBACK_IN_PROGRESS"
            time.sleep(self.shift_s / 2)
            if self.fails:
                one.status, one.reason = "ROLLBACK_FAILED", self.fails
            else:
                self._move("blue")
                one.status = "ROLLBACK_SUCCESSFUL"

        self._run(work)

    def _deployment(self, name: str) -> Deployment:
        for each in self.deployments:
            if each.id == name:
                return each
        raise Refused("ServiceDeploymentNotFoundException", name)

    # CodeDeploy

    def _ListApplications(self, **_: object) -> dict:
        return {"applications": sorted({each["applicationName"] for each in self.groups})}

    def _ListDeploymentGroups(self, applicationName: str, **_: object) -> dict:  # noqa: N803
        names = [each["deploymentGroupName"] for each in self.groups]
        return {"applicationName": applicationName, "deploymentGroups": names}

    def _BatchGetDeploymentGroups(
        self,
        applicationName: str,  # noqa: N803
        deploymentGroupNames: list[str],  # noqa: N803
    ) -> dict:
        groups = []
        for each in self.groups:
            last = self.deployments[-1] if self.deployments else None
            more = (
                {"lastAttemptedDeployment": {"deploymentId": last.id, "status": last.status}}
                if last
                else {}
            )
            groups.append(each | more)
        return {"deploymentGroupsInfo": groups}

    def _GetDeployment(self, deploymentId: str) -> dict:  # noqa: N803
        for one in self.deployments:
            if one.id == deploymentId:
                info = {"deploymentId": one.id, "status": one.status}
                if one.reason:
                    info["errorInformation"] = {"code": "HEALTH_CONSTRAINTS", "message": one.reason}
                if one.rollback:
                    info["rollbackInfo"] = {"rollbackDeploymentId": one.rollback.id}
                if one.takes_back:
                    info["rollbackInfo"] = {"rollbackTriggeringDeploymentId": one.takes_back}
                return {"deploymentInfo": info}
        raise Refused("DeploymentDoesNotExistException", deploymentId)

    def _ListDeploymentTargets(self, deploymentId: str) -> dict:  # noqa: N803
        return {"targetIds": [":".join(self.shifted)]}

    def _BatchGetDeploymentTargets(
        self,
        deploymentId: str,  # noqa: N803
        targetIds: list[str],  # noqa: N803
    ) -> dict:
        function, alias = self.shifted
        info = {"functionName": function, "functionAlias": alias}
        info |= {"currentVersion": "1", "targetVersion": "2", "targetVersionWeight": 0.1}
        target = {"deploymentId": deploymentId, "targetId": targetIds[0], "lambdaFunctionInfo": info}
        return {
            "deploymentTargets": [
                {"deploymentTargetType": "LambdaTarget", "lambdaTarget": target}
            ]
        }

    def _StopDeployment(
        self,
        deploymentId: str,  # noqa: N803
        autoRollbackEnabled: bool = False,  # noqa: N803
    ) -> dict:
        (one,) = [each for each in self.deployments if each.id == deploymentId]
        if one.status != "InProgress":
            raise Refused("DeploymentAlreadyCompletedException", one.status)
        one.status = "Stopped"
        if autoRollbackEnabled:
            back = Deployment(f"d-{uuid.uuid4().hex[:9].upper()}", "InProgress", takes_back=one.id)
            one.rollback = back
            self.deployments.append(back)

            def work() -> None:
                time.sleep(self.shift_s)
                if self.fails:
                    back.status, back.reason = "Failed", self.fails
                else:
                    self._move("blue")
                    back.status = "Succeeded"

            self._run(work)
        return {"status": "Pending", "statusMessage": "Stopping"}

    def _run(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        self._threads.append(thread)


def _unlisted(value: object, shape) -> list[str]:
    """Words outside a closed set, which botocore's validator lets pass."""
    if shape.type_name == "structure":
        members = shape.members
        return [word for key, item in value.items() for word in _unlisted(item, members[key])]
    if shape.type_name == "list":
        return [word for item in value for word in _unlisted(item, shape.member)]
    if shape.type_name == "string" and shape.enum and value not in shape.enum:
        return [f"{value} is none of {shape.enum}"]
    return []
