"""Decisions of the cycle with all plugins: where pods go, and why nowhere."""

import pytest

from controlplane.scheduler.cycle import schedule
from controlplane.scheduler.demand import pod_info
from controlplane.scheduler.interface import Hint, Placement, Unschedulable
from controlplane.scheduler.plugins import FILTERS, SCORES
from controlplane.scheduler.snapshot import Snapshot
from orch.api.node import Node
from orch.api.pod.affinity import Affinity, NodeAffinity, PreferredSchedulingTerm
from orch.api.pod.container import ContainerPort
from orch.api.pod.spec import Pod
from orch.api.shared import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Taint, Toleration
from tests.builders import node, pod, replica_set

GPU_TAINT = Taint(key="gpu", value="yes", effect="NoSchedule")
WEB_PORT = ContainerPort(container_port=80, host_port=8080, protocol="TCP")


def snapshot_of(*nodes: Node, pods: tuple[Pod, ...] = ()) -> Snapshot:
    snapshot = Snapshot()
    for each in nodes:
        snapshot.put_node(each)
    for each in pods:
        assert each.spec.node_name
        snapshot.put_pod(pod_info(each), each.spec.node_name)
    return snapshot


def decide(wanted: Pod, snapshot: Snapshot, tie: float = 0.0) -> Placement | Unschedulable:
    return schedule(pod_info(wanted), snapshot, FILTERS, SCORES, tie)


def place(wanted: Pod, snapshot: Snapshot, tie: float = 0.0) -> str:
    decision = decide(wanted, snapshot, tie)
    assert isinstance(decision, Placement), decision
    return decision.node


def term(key: str, operator: str, *values: str) -> NodeSelectorTerm:
    return NodeSelectorTerm(match_expressions=(NodeSelectorRequirement(key=key, operator=operator, values=values),))


def required(*terms: NodeSelectorTerm) -> dict[str, Affinity]:
    rules = NodeAffinity(required_during_scheduling_ignored_during_execution=NodeSelector(node_selector_terms=terms))
    return {"affinity": Affinity(node_affinity=rules)}


ZONES = (
    node("a", labels={"zone": "a", "cores": "8"}),
    node("b", labels={"zone": "b", "cores": "16"}),
    node("c", taints=(GPU_TAINT,)),
)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param(pod(spec={"node_selector": {"zone": "b"}}), {"b"}, id="node selector"),
        pytest.param(pod(spec=required(term("zone", "In", "a", "x"))), {"a"}, id="affinity in"),
        pytest.param(pod(spec=required(term("zone", "NotIn", "a"))), {"b"}, id="affinity not in"),
        pytest.param(pod(spec=required(term("zone", "Exists"), term("x", "Exists"))), {"a", "b"}, id="terms are ored"),
        pytest.param(pod(spec=required(term("cores", "Gt", "8"))), {"b"}, id="affinity greater"),
        pytest.param(pod(spec=required(term("cores", "Lt", "9"))), {"a"}, id="affinity less"),
        pytest.param(pod(), {"a", "b"}, id="taint keeps away"),
        pytest.param(
            pod(tolerations=(Toleration(key="gpu", operator="Exists"),), spec=required(term("zone", "DoesNotExist"))),
            {"c"},
            id="taint tolerated",
        ),
        pytest.param(pod(node="b"), {"b"}, id="node name"),
    ],
)
def test_filters_leave(wanted: Pod, expected: set[str]) -> None:
    snapshot = snapshot_of(*ZONES)
    assert {place(wanted, snapshot, tie) for tie in (0.0, 0.3, 0.6, 0.99)} == expected


@pytest.mark.parametrize(
    ("wanted", "nodes", "message", "hint"),
    [
        pytest.param(pod(), (), "no nodes available to schedule pods", Hint.NODE_ADDED, id="no nodes"),
        pytest.param(
            pod(cpu="2"), (node("a", cpu="1"), node("b", cpu="1", memory="1Gi"), node("c", taints=(GPU_TAINT,))),
            "0/3 nodes are available: 1 node(s) had untolerated taint {gpu: yes}, 2 Insufficient cpu.",
            Hint.NODE_GREW, id="cpu and taint",
        ),
        pytest.param(
            pod(cpu="2", memory="4Gi"), (node("a", cpu="1", memory="1Gi"),),
            "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.", Hint.POD_REMOVED, id="two resources",
        ),
        pytest.param(
            pod(), (node("a", pods=0),), "0/1 nodes are available: 1 Too many pods.", Hint.POD_REMOVED, id="pod count",
        ),
        pytest.param(
            pod(spec={"node_selector": {"zone": "x"}}), ZONES[:2],
            "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
            Hint.NODE_RELABELLED, id="selector",
        ),
        pytest.param(
            pod(), (node("a", unschedulable=True),), "0/1 nodes are available: 1 node(s) were unschedulable.",
            Hint.NODE_TAINTS_CHANGED, id="cordoned",
        ),
    ],
)  # fmt: skip
def test_a_pod_that_fits_nowhere_says_why(wanted: Pod, nodes: tuple[Node, ...], message: str, hint: Hint) -> None:
    decision = decide(wanted, snapshot_of(*nodes))
    assert isinstance(decision, Unschedulable)
    assert decision.message == message
    assert hint in decision.helped_by


def test_an_unknown_resource_is_insufficient_everywhere() -> None:
    wanted = pod()
    gpu = pod_info(wanted)
    gpu.requests["example.com/gpu"] = 1  # type: ignore[index]
    decision = schedule(gpu, snapshot_of(node("a")), FILTERS, SCORES, 0.0)
    assert isinstance(decision, Unschedulable)
    assert decision.reasons == {"Insufficient example.com/gpu": 1}


def test_an_extended_resource_is_counted() -> None:
    rich = node("rich", **{"example.com/gpu": "1"})
    snapshot = snapshot_of(node("poor"), rich)
    info = pod_info(pod("one"))
    info.requests["example.com/gpu"] = 1  # type: ignore[index]
    decision = schedule(info, snapshot, FILTERS, SCORES, 0.0)
    assert isinstance(decision, Placement)
    assert decision.node == "rich"
    snapshot.put_pod(info, "rich")
    assert isinstance(schedule(info, snapshot, FILTERS, SCORES, 0.0), Unschedulable)


def test_a_host_port_is_taken_once_per_node_and_address() -> None:
    holder = pod("holder", node="a", ports=(WEB_PORT,))
    snapshot = snapshot_of(node("a"), node("b"), pods=(holder,))
    assert place(pod("second", ports=(WEB_PORT,)), snapshot) == "b"
    udp = ContainerPort(container_port=80, host_port=8080, protocol="UDP")
    local = ContainerPort(container_port=80, host_port=8080, protocol="TCP", host_ip="127.0.0.1")
    only_a = snapshot_of(node("a"), pods=(holder,))
    assert place(pod("udp", ports=(udp,)), only_a) == "a"
    decision = decide(pod("local", ports=(local,)), only_a)
    assert isinstance(decision, Unschedulable)
    assert decision.reasons == {"node(s) didn't have free ports for the requested pod ports": 1}


def test_the_emptier_node_wins() -> None:
    snapshot = snapshot_of(node("full"), node("empty"), pods=(pod("x", node="full", cpu="2", memory="4Gi"),))
    assert {place(pod(cpu="1", memory="1Gi"), snapshot, tie) for tie in (0.0, 0.9)} == {"empty"}


def test_the_balanced_node_wins_among_equally_full_ones() -> None:
    snapshot = snapshot_of(
        node("skewed", cpu="10", memory="10Gi"),
        node("even", cpu="10", memory="10Gi"),
        pods=(
            pod("x", node="skewed", cpu="4", memory="0"),
            pod("y", node="even", cpu="2", memory="2Gi"),
        ),
    )
    assert {place(pod(cpu="1", memory="1Gi"), snapshot, tie) for tie in (0.0, 0.9)} == {"even"}


def test_pods_of_one_controller_spread() -> None:
    owner = replica_set()
    snapshot = snapshot_of(*(node(name) for name in ("a", "b", "c")))
    for number in range(6):
        info = pod_info(pod(f"web-{number}", owner=owner))
        decision = schedule(info, snapshot, FILTERS, SCORES, 0.5)
        assert isinstance(decision, Placement)
        snapshot.put_pod(info, decision.node)
    counts = snapshot.group_counts(owner.metadata.uid)
    assert sorted(int(counts[row]) for row in snapshot.rows.values()) == [2, 2, 2]


def test_a_preferred_affinity_and_a_soft_taint_decide_between_equals() -> None:
    soft = Taint(key="busy", effect="PreferNoSchedule")
    assert place(pod(), snapshot_of(node("a", taints=(soft,)), node("b"))) == "b"
    liking = NodeAffinity(
        preferred_during_scheduling_ignored_during_execution=(
            PreferredSchedulingTerm(weight=10, preference=term("zone", "In", "b")),
            PreferredSchedulingTerm(weight=5, preference=term("zone", "In", "a")),
        )
    )
    likes_b = pod(spec={"affinity": Affinity(node_affinity=liking)})
    assert place(likes_b, snapshot_of(*ZONES)) == "b"


def test_ties_are_broken_by_the_number_given_only() -> None:
    snapshot = snapshot_of(*(node(f"n{number}") for number in range(4)))
    chosen = [place(pod(), snapshot, tie) for tie in (0.0, 0.25, 0.5, 0.75)]
    assert sorted(chosen) == ["n0", "n1", "n2", "n3"]
    assert chosen == [place(pod(), snapshot, tie) for tie in (0.0, 0.25, 0.5, 0.75)]
