"""What containers count with while a resize is under way."""

from orch.api import quantity
from orch.api.pod.allocation import held_requests
from orch.api.pod.container import Container
from orch.api.pod.spec import Pod, PodSpec
from orch.api.pod.status import ContainerStatus, PodCondition, PodStatus
from orch.api.shared import ResourceRequirements


def cpu_held(asked: str, allocated: str | None, running: str | None, reason: str = "") -> int:
    container = Container(name="app", resources=ResourceRequirements(requests={"cpu": asked}))
    status = ContainerStatus(
        name="app",
        allocated_resources={"cpu": allocated} if allocated else None,
        resources=ResourceRequirements(requests={"cpu": running}) if running else None,
    )
    pending = (PodCondition(type="PodResizePending", status="True", reason=reason),) if reason else None
    pod = Pod(spec=PodSpec(containers=(container,)), status=PodStatus(container_statuses=(status,), conditions=pending))
    return int(held_requests(pod, quantity.parse_map)(container)["cpu"])


def test_the_most_of_what_is_asked_set_aside_and_run_with_counts() -> None:
    assert cpu_held("3", "1", "1") == 3
    assert cpu_held("1", "2", "1") == 2
    assert cpu_held("1", "1", "4") == 4
    assert cpu_held("2", None, None) == 2


def test_what_can_never_be_does_not_count() -> None:
    assert cpu_held("9", "1", "2", "Infeasible") == 2
    assert cpu_held("9", "1", "2", "Deferred") == 9
