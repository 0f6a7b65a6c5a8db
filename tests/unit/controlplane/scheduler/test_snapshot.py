"""The snapshot's columns stay what a fresh count would give, whatever the order of changes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.scheduler.demand import pod_info
from controlplane.scheduler.snapshot import Snapshot
from orch.api.pod.container import ContainerPort
from tests.builders import node, pod, replica_set

NODE_NAMES = [f"node-{number}" for number in range(4)]
OWNER = replica_set()
PORT = ContainerPort(container_port=80, host_port=80)

changes = st.lists(
    st.one_of(
        st.tuples(st.just("put_node"), st.sampled_from(NODE_NAMES), st.integers(1, 64)),
        st.tuples(st.just("remove_node"), st.sampled_from(NODE_NAMES), st.just(0)),
        st.tuples(st.just("put_pod"), st.sampled_from(NODE_NAMES), st.integers(0, 7)),
        st.tuples(st.just("remove_pod"), st.just(""), st.integers(0, 7)),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(changes)
def test_free_is_allocatable_minus_requests(history: list[tuple[str, str, int]]) -> None:
    snapshot = Snapshot()
    nodes: dict[str, int] = {}
    pods: dict[str, tuple[str, int]] = {}
    for change, name, number in history:
        uid = f"pod-{number}-uid"
        match change:
            case "put_node":
                nodes[name] = number
                snapshot.put_node(node(name, cpu=str(number)))
            case "remove_node":
                nodes.pop(name, None)
                snapshot.remove_node(name)
            case "put_pod":
                pods[uid] = (name, number)
                snapshot.put_pod(pod_info(pod(f"pod-{number}", cpu=f"{number}", ports=(PORT,), owner=OWNER)), name)
            case _:
                assert snapshot.remove_pod(uid) == (pods.pop(uid, None) is not None)
    assert set(snapshot.rows) == set(nodes)
    for name, cores in nodes.items():
        on_node = [cpu for where, cpu in pods.values() if where == name]
        row = snapshot.rows[name]
        cpu, count = snapshot.free("cpu"), snapshot.free("pods")
        assert cpu is not None
        assert count is not None
        assert cpu[row] == (cores - sum(on_node)) * 1000
        assert count[row] == 110 - len(on_node)
        assert snapshot.group_counts(OWNER.metadata.uid)[row] == len(on_node)
        assert snapshot.port_users("TCP", 80).get(("0.0.0.0", row), 0) == len(on_node)
    assert snapshot.present.sum() == len(nodes)


def test_rows_grow_beyond_the_first_and_masks_follow() -> None:
    snapshot = Snapshot()
    for number in range(150):
        snapshot.put_node(node(f"n{number}", labels={"even": str(number % 2 == 0)}))
    mask = snapshot.mask("even", lambda each: (each.metadata.labels or {})["even"] == "True")
    assert mask.sum() == 75
    snapshot.put_node(node("n1", labels={"even": "True"}))
    assert mask.sum() == 76
    assert len(set(snapshot.rows.values())) == 150


def test_a_removed_nodes_row_does_not_answer_for_the_next_one() -> None:
    snapshot = Snapshot()
    snapshot.put_node(node("old", labels={"disk": "ssd"}))
    question = lambda each: (each.metadata.labels or {}).get("disk") == "ssd"  # noqa: E731
    assert snapshot.mask("ssd", question).sum() == 1
    snapshot.remove_node("old")
    snapshot.put_node(node("new"))
    assert (snapshot.mask("ssd", question) & snapshot.present).sum() == 0
