from typing import Any

import pytest
from msgspec.structs import replace

from orch.api.kinds import PODS
from tests.unit.orch.api.objects import brief, container, pod

OLD = {"tolerations": [{"key": "a", "operator": "Exists"}], "activeDeadlineSeconds": 60}


@pytest.mark.parametrize(
    "new",
    [
        {},
        {"activeDeadlineSeconds": 30},
        {"tolerations": [{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists"}]},
    ],
)
def test_what_may_change(new: dict[str, Any]) -> None:
    assert PODS.validate_update(pod(**{**OLD, **new}), pod(**OLD)) == []


def test_the_image_may_change() -> None:
    assert PODS.validate_update(pod(container(image="app:2")), pod()) == []


@pytest.mark.parametrize(
    ("new", "field", "reason"),
    [
        ({"nodeName": "n"}, "spec", "Forbidden"),
        ({"hostNetwork": True}, "spec", "Forbidden"),
        ({"activeDeadlineSeconds": 61}, "spec.activeDeadlineSeconds", "Invalid"),
        ({"activeDeadlineSeconds": None}, "spec.activeDeadlineSeconds", "Invalid"),
        ({"tolerations": []}, "spec.tolerations", "Forbidden"),
        ({"schedulingGates": [{"name": "g"}]}, "spec.schedulingGates", "Forbidden"),
        ({"initContainers": [container(name="i")]}, "spec.initContainers", "Forbidden"),
    ],
)
def test_what_may_not_change(new: dict[str, Any], field: str, reason: str) -> None:
    assert brief(PODS.validate_update(pod(**{**OLD, **new}), pod(**OLD))) == [(field, reason)]


def test_the_message_names_the_changed_fields() -> None:
    (cause,) = PODS.validate_update(pod(container(command=["x"]), hostNetwork=True), pod())
    assert cause.message.endswith("changed: spec.containers, spec.hostNetwork")


def test_metadata_that_identifies_is_immutable() -> None:
    old = pod(metadata={"uid": "1"})
    new = replace(old, metadata=replace(old.metadata, name="other", uid="2"))
    assert brief(PODS.validate_update(new, old)) == [("metadata.name", "Invalid"), ("metadata.uid", "Invalid")]


def test_no_finalizer_is_added_to_what_is_being_deleted() -> None:
    old = pod(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a.b/c"]})
    new = replace(old, metadata=replace(old.metadata, finalizers=("a.b/c", "a.b/d")))
    assert brief(PODS.validate_update(new, old)) == [("metadata.finalizers", "Forbidden")]
    assert PODS.validate_update(replace(old, metadata=replace(old.metadata, finalizers=())), old) == []
