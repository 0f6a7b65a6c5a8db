"""From requests and limits to cgroups, and back."""

from typing import Any

import pytest
from msgspec.structs import replace

from nodeagent.container_config import NodeFacts
from nodeagent.resources import container_resources, exactly, observed, pod_resources, widest
from nodeagent.runtime.interface import UNLIMITED, Resources
from orch.api.pod.container import Container
from orch.api.pod.status import PodStatus
from orch.api.shared import ResourceRequirements
from tests.unit.nodeagent.machine import a_container, a_pod

GI = 1 << 30
NODE = NodeFacts("n", "192.168.0.1", {"cpu": "4", "memory": "4Gi"}, 4 * GI)
QOS_NODE = NodeFacts("n", "192.168.0.1", {"cpu": "4", "memory": "4Gi"}, 4 * GI, memory_qos=True)


def sized(name: str = "app", requests: Any = None, limits: Any = None, **fields: Any) -> Container:
    return a_container(name, resources=ResourceRequirements(requests=requests, limits=limits), **fields)


def test_a_pod_is_limited_where_all_its_containers_are() -> None:
    pod = a_pod(sized("a", limits={"cpu": "1", "memory": "1Gi"}), sized("b", limits={"memory": "1Gi"}))
    found = pod_resources(pod, NODE)
    assert (found.cpu_shares, found.cpu_quota_us, found.memory_limit_bytes) == (1024, None, 2 * GI)


def test_an_init_container_may_need_more_than_the_others_together() -> None:
    init = (sized("first", limits={"cpu": "2", "memory": "3Gi"}),)
    pod = a_pod(sized(limits={"cpu": "1", "memory": "1Gi"}), init_containers=init)
    found = pod_resources(pod, NODE)
    assert (found.cpu_shares, found.cpu_quota_us, found.memory_limit_bytes) == (2048, 200_000, 3 * GI)


def test_overhead_belongs_to_the_pod() -> None:
    overhead = {"cpu": "500m", "memory": "1Gi"}
    limited = pod_resources(a_pod(sized(limits={"cpu": "1", "memory": "1Gi"}), overhead=overhead), NODE)
    assert (limited.cpu_shares, limited.cpu_quota_us, limited.memory_limit_bytes) == (1536, 150_000, 2 * GI)
    unlimited = pod_resources(a_pod(sized(requests={"cpu": "1"}), overhead=overhead), NODE)
    assert (unlimited.cpu_shares, unlimited.cpu_quota_us, unlimited.memory_limit_bytes) == (1536, None, None)


WHOLE = ResourceRequirements(requests={"cpu": "1", "memory": "1Gi"}, limits={"cpu": "2", "memory": "2Gi"})


def test_containers_without_a_limit_share_the_pods() -> None:
    bounded, free = sized("bounded", limits={"memory": "1Gi"}), sized("free", requests={"memory": "512Mi"})
    pod = a_pod(bounded, free, resources=WHOLE)
    whole = pod_resources(pod, NODE)
    assert (whole.cpu_shares, whole.cpu_quota_us, whole.memory_limit_bytes) == (1024, 200_000, 2 * GI)
    found = [container_resources(pod, container, NODE) for container in (bounded, free)]
    assert [(one.cpu_quota_us, one.memory_limit_bytes) for one in found] == [(200_000, GI), (200_000, 2 * GI)]


def test_what_a_pod_requests_beyond_its_containers_protects_each_of_them() -> None:
    pod = a_pod(sized("a", requests={"memory": "256Mi"}), sized("b"), resources=WHOLE)
    pod = replace(pod, status=PodStatus(qos_class="Burstable"))
    scores = [container_resources(pod, container, NODE).oom_score_adj for container in pod.spec.containers]
    assert scores == [1000 - 1000 * (256 + 384) // 4096, 1000 - 1000 * 384 // 4096]


@pytest.mark.parametrize(
    ("requests", "limits", "high"),
    [
        ({"memory": "1Gi"}, {"memory": "2Gi"}, int(1.9 * GI) // 4096 * 4096),
        ({"memory": "1Gi"}, None, int(1 * GI + 0.9 * 3 * GI) // 4096 * 4096),
        ({"memory": "1Gi"}, {"memory": "1Gi"}, None),
    ],
)
def test_memory_qos_throttles_between_request_and_limit(requests: Any, limits: Any, high: int | None) -> None:
    container = sized(requests=requests, limits=limits)
    found = container_resources(a_pod(container), container, QOS_NODE)
    assert (found.memory_min_bytes, found.memory_high_bytes) == (GI, high)
    plain = container_resources(a_pod(container), container, NODE)
    assert (plain.memory_min_bytes, plain.memory_high_bytes, plain.memory_request_bytes) == (None, None, GI)


def test_processes_are_bounded_by_the_nodes_word() -> None:
    bounded = NodeFacts("n", "", {}, GI, pod_pids_max=100)
    pod = a_pod()
    assert pod_resources(pod, bounded).pids_limit == 100
    assert container_resources(pod, pod.spec.containers[0], bounded).pids_limit == 100
    assert (pod_resources(pod, NODE).pids_limit or 0) > 100


def test_between_two_sizes_a_pod_has_room_for_both() -> None:
    one, other = Resources(cpu_quota_us=1, memory_limit_bytes=9), Resources(cpu_quota_us=5, memory_limit_bytes=3)
    assert widest(one, other) == Resources(cpu_quota_us=5, memory_limit_bytes=9)
    assert widest(one, Resources()).memory_limit_bytes is None
    assert exactly(widest(one, Resources())).memory_limit_bytes == UNLIMITED


def test_an_update_takes_away_what_is_no_longer_wanted() -> None:
    qos = Resources(memory_request_bytes=2, memory_min_bytes=2, memory_high_bytes=5)
    after = exactly(Resources())
    assert qos.updated(after) == after
    assert (after.memory_request_bytes, after.memory_min_bytes, after.memory_high_bytes) == (0, 0, UNLIMITED)
    assert exactly(qos) == qos.updated(Resources(cpu_quota_us=UNLIMITED, memory_limit_bytes=UNLIMITED))


@pytest.mark.parametrize(
    ("requests", "limits"),
    [
        ({"cpu": "250m", "memory": "64Mi"}, {"cpu": "1", "memory": "128Mi"}),
        ({"cpu": "1m"}, {"cpu": "5m"}),
        ({"memory": "64Mi"}, None),
        (None, None),
    ],
)
def test_what_is_set_is_told_in_the_words_that_asked_for_it(requests: Any, limits: Any) -> None:
    container = sized(requests=requests, limits=limits)
    set_to = container_resources(a_pod(container), container, NODE)
    assert observed(set_to, container.resources) == container.resources


def test_what_is_set_otherwise_is_told() -> None:
    small = sized(requests={"cpu": "250m", "memory": "64Mi"}, limits={"cpu": "1", "memory": "128Mi"})
    large = sized(requests={"cpu": "500m", "memory": "96Mi"}, limits={"cpu": "2", "memory": "256Mi"})
    set_to = container_resources(a_pod(small), small, NODE)
    assert observed(set_to, large.resources) == small.resources
