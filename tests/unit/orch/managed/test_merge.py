"""Applying plain data: extraction, merging, pruning; their properties."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch.api.kinds import DEPLOYMENTS
from orch.managed import sets
from orch.managed.compare import compare_objects
from orch.managed.extract import extract, problems
from orch.managed.merge import merge, without
from orch.managed.new_fields import empty, new_fields
from orch.managed.prune import prune
from orch.managed.schema import tracked, whole
from tests.unit.orch.managed.objects import config, container, typed

ROOT, PART = whole(DEPLOYMENTS), tracked(DEPLOYMENTS)

NAMES = st.sampled_from(["a", "b", "c"])
PORTS = st.lists(
    st.sampled_from([{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}, {"containerPort": 81}]),
    unique_by=lambda port: (port["containerPort"], port.get("protocol", "TCP")),
)
ENV = st.dictionaries(NAMES, st.sampled_from(["1", "2"])).map(lambda env: [{"name": k, "value": env[k]} for k in env])
CONTAINERS = st.lists(
    st.builds(lambda name, ports, env: container(name, ports=ports, env=env), NAMES, PORTS, ENV),
    min_size=1,
    unique_by=lambda item: item["name"],
)
CONFIGS = st.builds(
    lambda containers, labels, more: config(*containers, labels=labels, **more),
    CONTAINERS,
    st.dictionaries(NAMES, NAMES),
    st.sampled_from([{}, {"replicas": 2}, {"paused": True}, {"strategy": {"type": "Recreate"}}]),
)


def fields_of(plain: dict[str, Any]) -> list[str]:
    return list(sets.shown(extract(plain, PART)))


@given(CONFIGS, CONFIGS)
def test_merging_twice_is_merging_once(live: dict[str, Any], applied: dict[str, Any]) -> None:
    once = merge(live, applied, ROOT)
    assert merge(once, applied, ROOT) == once


@given(CONFIGS, CONFIGS)
def test_merging_keeps_operands_and_everything_applied(live: dict[str, Any], applied: dict[str, Any]) -> None:
    before = copy.deepcopy((live, applied))
    merged = merge(live, applied, ROOT)
    assert (live, applied) == before
    assert sets.contains(extract(merged, ROOT), sets.union(extract(live, ROOT), extract(applied, ROOT)))
    assert not compare_objects(typed(merged), typed(merge(merged, applied, ROOT)), PART).changed


@given(CONFIGS, CONFIGS)
def test_what_an_applier_no_longer_names_goes(first: dict[str, Any], second: dict[str, Any]) -> None:
    last, now = extract(first, PART), extract(second, PART)
    left = prune(merge(first, second, ROOT), last, now, ROOT)
    assert extract(left, PART) == now


@given(CONFIGS, CONFIGS, CONFIGS)
def test_what_another_owns_stays(first: dict[str, Any], other: dict[str, Any], second: dict[str, Any]) -> None:
    live, theirs = merge(first, other, ROOT), extract(other, PART)
    owned = sets.union(theirs, extract(second, PART))
    left = prune(merge(live, second, ROOT), extract(first, PART), owned, ROOT)
    assert sets.contains(extract(left, PART), theirs)


@given(CONFIGS)
def test_a_new_object_is_compared_with_nothing(plain: dict[str, Any]) -> None:
    obj = DEPLOYMENTS.set_defaults(typed(plain))
    found = compare_objects(empty(type(obj)), obj, PART)
    assert sets.decode(new_fields(obj, PART)) == found.changed
    assert not found.removed


@given(CONFIGS, CONFIGS)
def test_changes_are_what_differs(one: dict[str, Any], other: dict[str, Any]) -> None:
    there, back = compare_objects(typed(one), typed(other), PART), compare_objects(typed(other), typed(one), PART)
    assert (one == other) <= (there == ({}, {}))
    same = sets.intersection(extract(one, PART), extract(other, PART))
    assert sets.is_disjoint(there.removed, same)
    assert sets.contains(back.changed, there.removed)


def test_an_applier_owns_items_and_leaves() -> None:
    app = container("app", ports=[{"containerPort": 80}], resources={}, args=[])
    plain = config(app, labels={"a": "b"}, replicas=1)
    assert fields_of(plain) == [
        ".metadata.labels.a",
        ".spec.replicas",
        ".spec.selector",
        ".spec.template.metadata.labels.app",
        '.spec.template.spec.containers[name="app"]',
        '.spec.template.spec.containers[name="app"].args',
        '.spec.template.spec.containers[name="app"].image',
        '.spec.template.spec.containers[name="app"].name',
        '.spec.template.spec.containers[name="app"].ports[containerPort=80,protocol="TCP"]',
        '.spec.template.spec.containers[name="app"].ports[containerPort=80,protocol="TCP"].containerPort',
        '.spec.template.spec.containers[name="app"].resources',
    ]


def test_types_status_and_what_the_server_writes_are_nobodys() -> None:
    plain = config() | {"status": {"replicas": 1}}
    plain["metadata"] |= {"uid": "1", "generation": 2, "creationTimestamp": "2026-01-01T00:00:00Z"}
    assert not [path for path in fields_of(plain) if path.startswith((".metadata", ".status", ".kind"))]
    assert list(sets.shown(extract(plain, tracked(DEPLOYMENTS, "status")))) == [".status.replicas"]
    assert list(sets.shown(extract(config(replicas=3), tracked(DEPLOYMENTS, "scale")))) == [".spec.replicas"]


@pytest.mark.parametrize(
    ("live", "applied", "merged"),
    [
        (["a", "b"], ["b", "a"], ["b", "a"]),
        (["a", "b"], ["c"], ["a", "b", "c"]),
        (["a", "b", "c"], ["x", "b"], ["a", "x", "b", "c"]),
        (["a", "b", "c", "d"], ["d", "b"], ["a", "c", "d", "b"]),
        ([], ["b", "a"], ["b", "a"]),
    ],
)
def test_the_configuration_orders_its_own_items(live: list[str], applied: list[str], merged: list[str]) -> None:
    def finalizers(names: list[str]) -> dict[str, Any]:
        return {"metadata": {"finalizers": names}}

    assert merge(finalizers(live), finalizers(applied), ROOT) == finalizers(merged)


def test_selectors_are_replaced_and_templates_merged() -> None:
    live = config(container("app", env=[{"name": "A", "value": "1"}]), container("side"))
    applied = config(container("app", env=[{"name": "B", "value": "2"}]))
    applied["spec"]["selector"] = {"matchLabels": {"x": "y"}}
    merged = merge(live, applied, ROOT)
    assert merged["spec"]["selector"] == {"matchLabels": {"x": "y"}}
    app, side = merged["spec"]["template"]["spec"]["containers"]
    assert [env["name"] for env in app["env"]] == ["A", "B"]
    assert side["name"] == "side"


def test_problems_of_a_configuration() -> None:
    twice = config(container("a"), container("a"))
    assert list(problems(twice, ROOT)) == ['.spec.template.spec.containers: duplicate entries for key [name="a"]']
    (missing,) = problems(config({"image": "x"}), ROOT)
    assert missing.startswith(".spec.template.spec.containers: element 0: associative list with keys has an element")


def test_taking_away_everything_leaves_nothing() -> None:
    plain = config()
    assert without(plain, extract(plain, ROOT), ROOT).keys() == {"apiVersion", "kind", "metadata"}
