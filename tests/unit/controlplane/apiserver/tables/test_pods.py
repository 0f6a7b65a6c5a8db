"""The STATUS, READY and RESTARTS of pods, as users of kubectl know them."""

from typing import Any

import pytest

from controlplane.apiserver.tables.pods import pod_cells
from orch.api.kinds import PODS
from tests.builders import NOW


def cells(status: dict[str, Any], spec: dict[str, Any] | None = None, **metadata: Any) -> list[Any]:
    plain = {
        "metadata": {"name": "web", "creationTimestamp": "2026-01-01T11:55:00Z", **metadata},
        "spec": {"containers": [{"name": "a"}], **(spec or {})},
        "status": status,
    }
    return pod_cells(PODS.codec.from_plain(plain), NOW)


def container(name: str = "a", *, ready: bool = False, restarts: int = 0, **state: Any) -> dict[str, Any]:
    return {"name": name, "ready": ready, "restartCount": restarts, "state": state}


RUNNING = {"running": {}}
DONE = {"terminated": {"exitCode": 0, "reason": "Completed"}}
READY = [{"type": "Ready", "status": "True"}]
INITS = {"initContainers": [{"name": "i"}, {"name": "j"}]}
SIDECAR = {"initContainers": [{"name": "i", "restartPolicy": "Always"}]}
TWO = {"containers": [{"name": "a"}, {"name": "b"}]}


@pytest.mark.parametrize(
    ("status", "spec", "expected"),
    [
        pytest.param({"phase": "Pending"}, {}, ("0/1", "Pending"), id="pending"),
        pytest.param(
            {"phase": "Running", "containerStatuses": [container(ready=True, **RUNNING)]},
            {},
            ("1/1", "Running"),
            id="running",
        ),
        pytest.param(
            {"phase": "Pending", "containerStatuses": [container(waiting={"reason": "ContainerCreating"})]},
            {},
            ("0/1", "ContainerCreating"),
            id="creating",
        ),
        pytest.param(
            {"phase": "Running", "containerStatuses": [container(waiting={"reason": "CrashLoopBackOff"})]},
            {},
            ("0/1", "CrashLoopBackOff"),
            id="crashing",
        ),
        pytest.param(
            {"phase": "Succeeded", "containerStatuses": [container(**DONE)]}, {}, ("0/1", "Completed"), id="completed"
        ),
        pytest.param(
            {"phase": "Failed", "containerStatuses": [container(terminated={"exitCode": 3})]},
            {},
            ("0/1", "ExitCode:3"),
            id="exit code",
        ),
        pytest.param(
            {"phase": "Failed", "containerStatuses": [container(terminated={"exitCode": 137, "signal": 9})]},
            {},
            ("0/1", "Signal:9"),
            id="signal",
        ),
        pytest.param(
            {"phase": "Failed", "containerStatuses": [container(terminated={"exitCode": 137, "reason": "OOMKilled"})]},
            {},
            ("0/1", "OOMKilled"),
            id="out of memory",
        ),
        pytest.param({"phase": "Failed", "reason": "Evicted"}, {}, ("0/1", "Evicted"), id="evicted"),
        pytest.param(
            {
                "phase": "Running",
                "conditions": READY,
                "containerStatuses": [container("a", **DONE), container("b", ready=True, **RUNNING)],
            },
            TWO,
            ("1/2", "Running"),
            id="one of two completed",
        ),
        pytest.param(
            {
                "phase": "Running",
                "containerStatuses": [container("a", **DONE), container("b", ready=True, **RUNNING)],
            },
            TWO,
            ("1/2", "NotReady"),
            id="one of two completed, not ready",
        ),
        pytest.param(
            {"phase": "Pending", "initContainerStatuses": [container("i", **DONE), container("j", **RUNNING)]},
            INITS,
            ("0/1", "Init:1/2"),
            id="second init container",
        ),
        pytest.param(
            {"phase": "Pending", "initContainerStatuses": [container("i", terminated={"exitCode": 1})]},
            INITS,
            ("0/1", "Init:ExitCode:1"),
            id="failed init container",
        ),
        pytest.param(
            {"phase": "Pending", "initContainerStatuses": [container("i", waiting={"reason": "ErrImagePull"})]},
            INITS,
            ("0/1", "Init:ErrImagePull"),
            id="init image",
        ),
        pytest.param(
            {
                "phase": "Running",
                "initContainerStatuses": [container("i", ready=True, **RUNNING) | {"started": True}],
                "containerStatuses": [container(ready=True, **RUNNING)],
            },
            SIDECAR,
            ("2/2", "Running"),
            id="sidecar",
        ),
        pytest.param(
            {"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]},
            {},
            ("0/1", "SchedulingGated"),
            id="gated",
        ),
    ],
)
def test_ready_and_status(status: dict[str, Any], spec: dict[str, Any], expected: tuple[str, str]) -> None:
    assert tuple(cells(status, spec)[1:3]) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param({"phase": "Running"}, "Terminating", id="running"),
        pytest.param({"phase": "Succeeded"}, "Succeeded", id="already over"),
        pytest.param({"phase": "Running", "reason": "NodeLost"}, "Unknown", id="node lost"),
    ],
)
def test_deletion(status: dict[str, Any], expected: str) -> None:
    assert cells(status, deletionTimestamp="2026-01-01T12:00:00Z")[2] == expected


def test_restarts_tell_when_the_last_one_was() -> None:
    last = {"lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T11:59:00Z"}}}
    statuses = [container(restarts=3, ready=True, **RUNNING) | last]
    assert cells({"phase": "Running", "containerStatuses": statuses})[3] == "3 (60s ago)"


def test_restarts_of_init_containers_count_while_they_run() -> None:
    statuses = {"initContainerStatuses": [container("i", restarts=2, waiting={"reason": "CrashLoopBackOff"})]}
    assert cells({"phase": "Pending", **statuses}, INITS)[3] == "2"
    done = {"initContainerStatuses": [container("i", restarts=2, **DONE)], "containerStatuses": [container(**RUNNING)]}
    assert cells({"phase": "Running", **done}, INITS)[3] == "0"


def test_wide_columns() -> None:
    spec = {"nodeName": "node-1", "readinessGates": [{"conditionType": "x"}, {"conditionType": "y"}]}
    status = {"podIP": "10.244.0.3", "conditions": [{"type": "y", "status": "True"}]}
    assert cells(status, spec)[4:] == ["5m", "10.244.0.3", "node-1", "<none>", "1/2"]
