from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch.api.deployment import Deployment
from orch.api.pod.spec import Pod
from orch.errors import BadRequest
from orch.patch.strategic_merge import apply, three_way
from tests.unit.orch.api.objects import SLOW_MACHINE


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), **spec}}


A, B, C = ({"name": name, "image": f"{name}:1"} for name in "abc")


def test_items_merge_by_their_key() -> None:
    patched = apply(pod(A, B), pod({"name": "b", "image": "b:2"}, C), Pod)
    assert patched == pod(A, {"name": "b", "image": "b:2"}, C)


def test_directives_on_items() -> None:
    assert apply(pod(A, B), pod({"name": "a", "$patch": "delete"}), Pod) == pod(B)
    assert apply(pod(A, B), pod({"$patch": "replace"}, C), Pod) == pod(C)
    assert apply(pod(A), pod({"name": "a", "$patch": "merge", "tty": True}), Pod) == pod({**A, "tty": True})


def test_directives_on_objects() -> None:
    assert apply(pod(A, hostNetwork=True), {"spec": {"$patch": "replace", "hostPID": True}}, Pod) == {
        "spec": {"hostPID": True}
    }
    assert apply({"metadata": {"labels": {"a": "b"}}}, {"metadata": {"labels": {"$patch": "delete"}}}, Pod) == {
        "metadata": {"labels": {}}
    }


def test_null_removes_and_leaves_no_trace_in_what_is_new() -> None:
    assert apply(pod(A, hostNetwork=True), {"spec": {"hostNetwork": None}}, Pod) == pod(A)
    assert apply({}, {"spec": {"securityContext": {"fsGroup": None}}}, Pod) == {"spec": {"securityContext": {}}}


def test_lists_without_a_key_are_replaced_and_maps_merge() -> None:
    target = pod(A, tolerations=[{"key": "a"}], nodeSelector={"a": "1"})
    patched = apply(target, {"spec": {"tolerations": [{"key": "b"}], "nodeSelector": {"b": "2"}}}, Pod)
    assert patched["spec"]["tolerations"] == [{"key": "b"}]
    assert patched["spec"]["nodeSelector"] == {"a": "1", "b": "2"}


def test_sets() -> None:
    target = {"metadata": {"finalizers": ["a", "b"]}}
    patch = {"metadata": {"finalizers": ["b", "c"], "$deleteFromPrimitiveList/finalizers": ["a"]}}
    assert apply(target, patch, Pod) == {"metadata": {"finalizers": ["b", "c"]}}


def test_unions_keep_only_what_is_retained() -> None:
    target = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert apply(target, patch, Deployment) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_the_order_of_the_patch_wins_and_others_stay_in_place() -> None:
    order = [{"name": "c"}, {"name": "a"}]
    patched = apply(pod(A, B), {"spec": {"$setElementOrder/containers": order, "containers": [C]}}, Pod)
    assert [item["name"] for item in patched["spec"]["containers"]] == ["c", "a", "b"]


@pytest.mark.parametrize(
    "patch",
    [
        [],
        {"spec": {"$patch": "frob"}},
        {"spec": {"containers": {"name": "a"}}},
        {"spec": {"containers": [{"image": "x"}]}},
        {"spec": {"containers": ["a"]}},
        {"spec": {"securityContext": {"$retainKeys": "x"}}},
        {"spec": {"securityContext": {"$retainKeys": ["a"], "b": 1}}},
        {"spec": {"$setElementOrder/containers": 5}},
    ],
    ids=str,
)
def test_a_patch_that_breaks_the_format_is_refused(patch: Any) -> None:
    with pytest.raises(BadRequest):
        apply(pod(A), patch, Pod)


def test_three_way_sends_the_directives_that_a_server_understands() -> None:
    original = pod(A, B, volumes=[{"name": "v", "emptyDir": {}}])
    current = pod({**A, "tty": True}, B, {"name": "theirs"}, volumes=[{"name": "v", "emptyDir": {}}])
    wanted = pod(C, {**A, "image": "a:2"}, volumes=[{"name": "v", "configMap": {"name": "x"}}])
    patch = three_way(original, wanted, current, Pod)
    assert patch == {
        "spec": {
            "containers": [C, {"name": "a", "image": "a:2"}, {"name": "b", "$patch": "delete"}],
            "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
            "volumes": [
                {"$retainKeys": ["configMap", "name"], "name": "v", "emptyDir": None, "configMap": {"name": "x"}}
            ],
            "$setElementOrder/volumes": [{"name": "v"}],
        }
    }
    assert apply(current, patch, Pod) == pod(
        C, {**A, "image": "a:2", "tty": True}, {"name": "theirs"}, volumes=[{"name": "v", "configMap": {"name": "x"}}]
    )


def test_items_that_share_a_key_are_replaced_as_a_whole() -> None:
    dns = [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53, "protocol": "TCP"}]
    current = pod({**A, "ports": dns})
    wanted = pod({**A, "ports": [*dns, {"containerPort": 80}]})
    assert apply(current, three_way(current, wanted, current, Pod), Pod) == wanted
    assert three_way(current, current, current, Pod) == {}


names = st.sampled_from("abcd")


def keyed(key: str, item: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.tuples(names, item), max_size=3, unique_by=lambda pair: pair[0]).map(
        lambda pairs: [{key: name, **fields} for name, fields in pairs]
    )


env = keyed("name", st.fixed_dictionaries({}, optional={"value": st.sampled_from(["1", "2"])}))
containers = keyed(
    "name",
    st.fixed_dictionaries(
        {}, optional={"image": names, "env": env, "command": st.lists(names, max_size=2), "tty": st.booleans()}
    ),
)
volumes = keyed(
    "name",
    st.sampled_from([{}, {"emptyDir": {}}, {"emptyDir": {"medium": "Memory"}}, {"configMap": {"name": "x"}}]),
)
pods = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.fixed_dictionaries(
            {}, optional={"finalizers": st.lists(names, unique=True), "labels": st.dictionaries(names, names)}
        ),
        "spec": st.fixed_dictionaries(
            {}, optional={"containers": containers, "volumes": volumes, "hostNetwork": st.booleans()}
        ),
    },
)


@SLOW_MACHINE
@given(pods, pods)
def test_three_way_turns_what_was_applied_into_what_is_wanted(original: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert apply(original, three_way(original, wanted, original, Pod), Pod) == wanted


@SLOW_MACHINE
@given(pods, pods, pods)
def test_after_three_way_nothing_is_left_to_do(
    original: dict[str, Any], wanted: dict[str, Any], current: dict[str, Any]
) -> None:
    patched = apply(current, three_way(original, wanted, current, Pod), Pod)
    assert three_way(wanted, wanted, patched, Pod) == {}
