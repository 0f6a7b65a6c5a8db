"""Which pod goes, which is refused, and what they are told."""

from typing import Any

import pytest

from nodeagent.eviction import PodUse, choose, has_storage_limit, over_own_limit, refusal
from nodeagent.pod_events import EndPod
from nodeagent.pressure import Level, Threshold, thresholds
from orch.api.kinds import PODS
from orch.api.pod.spec import Pod

MI = 1 << 20
LOW_MEMORY = thresholds("memory.available<100Mi")[0]
LEFT = Level(64 * MI, 1000 * MI)


def pod(
    name: str,
    *,
    request: str = "",
    limits: dict[str, str] | None = None,
    priority: int = 0,
    qos: str = "Burstable",
    **spec: Any,
) -> Pod:
    resources = {"requests": {"memory": request} if request else {}, "limits": limits or {}}
    containers = [{"name": "c", "image": "x", "resources": resources}]
    return decoded(name, qos, {"containers": containers, "priority": priority, **spec})


def decoded(name: str, qos: str, spec: dict[str, Any]) -> Pod:
    plain = {"metadata": {"name": name, "uid": name}, "spec": spec, "status": {"qosClass": qos}}
    found = PODS.codec.decode_lenient({"apiVersion": "v1", "kind": "Pod", **plain})
    assert not found.problems
    return found.obj


def using(one: Pod, mebibytes: int, *, static: bool = False) -> PodUse:
    used = {"memory": mebibytes * MI}
    return PodUse(one, used, {"c": used}, is_static=static)


def chosen(*uses: PodUse, threshold: Threshold = LOW_MEMORY) -> str:
    found = choose(threshold, LEFT, uses)
    return found.pod.metadata.name if found is not None else ""


def test_use_over_request_comes_before_priority_and_priority_before_amount() -> None:
    modest = using(pod("modest", request="200Mi", priority=-5), 199)
    important = using(pod("important", request="10Mi", priority=1000), 300)
    greedy, greedier = using(pod("greedy", request="10Mi"), 60), using(pod("greedier", request="100Mi"), 170)
    assert chosen(modest, important, greedy, greedier) == "greedier"
    assert chosen(modest, important, greedy) == "greedy"
    assert chosen(modest, important) == "important"
    assert chosen(modest) == "modest"


def test_static_and_critical_pods_never_go() -> None:
    assert chosen(using(pod("critical", priority=2_000_000_000), 500), using(pod("static"), 500, static=True)) == ""


def test_processes_are_ranked_by_priority_and_number() -> None:
    few, many = (PodUse(pod(name), {"pids": count}) for name, count in (("few", 5), ("many", 50)))
    vip = PodUse(pod("vip", priority=9), {"pids": 500})
    assert chosen(few, vip, many, threshold=thresholds("pid.available<5%")[0]) == "many"


def test_the_message_names_threshold_and_culprit() -> None:
    found = choose(LOW_MEMORY, LEFT, [using(pod("greedy", request="10Mi"), 60)])
    assert found is not None
    assert found.order == EndPod(
        "Evicted",
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 64Mi. "
        "Container c was using 60Mi, request is 10Mi, has larger consumption of memory. ",
        1.0,
    )


def test_soft_eviction_leaves_time() -> None:
    soft = thresholds("", "memory.available<100Mi", "memory.available=1s")[0]
    found = choose(soft, LEFT, [using(pod("p"), 5)], max_grace_s=45.0)
    assert found is not None
    assert found.order.grace_s == 45.0


def test_memory_pressure_refuses_best_effort_pods_alone() -> None:
    pressed = {"MemoryPressure"}
    refused = refusal(pod("p", qos="BestEffort"), pressed)
    assert refused == EndPod("Evicted", "The node had condition: [MemoryPressure]. ", 0.0, disrupts=False)
    assert refusal(pod("p", qos="Burstable"), pressed) is None
    tolerations = [{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}]
    assert refusal(pod("p", qos="BestEffort", tolerations=tolerations), pressed) is None


def test_disk_pressure_refuses_all_but_critical_pods() -> None:
    assert refusal(pod("p"), {"DiskPressure"}) is not None
    assert refusal(pod("p", priority=2_000_000_000), {"DiskPressure"}) is None
    assert refusal(pod("p", qos="BestEffort"), ()) is None


def storage(bytes_: int, volume_bytes: int = 0, **kwargs: Any) -> PodUse:
    used = {"ephemeral-storage": bytes_}
    whole = {"ephemeral-storage": bytes_ + volume_bytes}
    return PodUse(pod("p", **kwargs), whole, {"c": used}, {"scratch": volume_bytes})


EMPTY_DIR = [{"name": "scratch", "emptyDir": {"sizeLimit": "5Mi"}}]


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (
            storage(11 * MI, limits={"ephemeral-storage": "10Mi"}),
            "Pod ephemeral local storage usage exceeds the total limit of containers 10Mi. ",
        ),
        (
            storage(6 * MI, 5 * MI, limits={"ephemeral-storage": "10Mi"}),
            "Pod ephemeral local storage usage exceeds the total limit of containers 10Mi. ",
        ),
        (
            storage(0, 6 * MI, limits={"ephemeral-storage": "10Mi"}, volumes=EMPTY_DIR),
            'Usage of EmptyDir volume "scratch" exceeds the limit "5Mi". ',
        ),
    ],
)
def test_a_pod_over_its_own_limit_goes_whatever_the_node_has_left(use: PodUse, message: str) -> None:
    assert [(e.order.reason, e.order.message, e.order.disrupts) for e in over_own_limit([use])] == [
        ("Evicted", message, False)
    ]
    assert has_storage_limit(use.pod)


def test_one_container_over_its_limit_in_a_pod_that_is_not() -> None:
    containers = [
        {"name": name, "image": "x", "resources": {"limits": {"ephemeral-storage": "10Mi"}}} for name in ("a", "b")
    ]
    used = {"a": {"ephemeral-storage": 11 * MI}, "b": {"ephemeral-storage": 1}}
    two = PodUse(decoded("two", "Burstable", {"containers": containers}), {"ephemeral-storage": 11 * MI + 1}, used)
    assert [e.order.message for e in over_own_limit([two])] == [
        'Container a exceeded its local ephemeral storage limit "10Mi". '
    ]


def test_a_pod_within_its_limits_stays() -> None:
    assert not over_own_limit([storage(9 * MI, MI, limits={"ephemeral-storage": "10Mi"}, volumes=EMPTY_DIR)])
    assert not has_storage_limit(pod("p"))
