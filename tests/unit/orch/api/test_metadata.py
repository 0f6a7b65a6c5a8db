from typing import Any

import pytest

from orch.api.kinds import CONFIGMAPS, NAMESPACES, SERVICES
from orch.api.metadata import ANNOTATIONS_MAX_BYTES
from tests.unit.orch.api.objects import brief, made

OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "1"}


@pytest.mark.parametrize(
    ("meta", "field", "reason"),
    [
        ({"name": ""}, "name", "Required"),
        ({"name": "A"}, "name", "Invalid"),
        ({"generateName": "A-"}, "generateName", "Invalid"),
        ({"namespace": ""}, "namespace", "Required"),
        ({"namespace": "a.b"}, "namespace", "Invalid"),
        ({"labels": {"a/b/c": ""}}, "labels", "Invalid"),
        ({"labels": {"a": "b c"}}, "labels", "Invalid"),
        ({"annotations": {"": ""}}, "annotations", "Invalid"),
        ({"annotations": {"a": "x" * ANNOTATIONS_MAX_BYTES}}, "annotations", "TooLong"),
        ({"ownerReferences": [{**OWNER, "uid": ""}]}, "ownerReferences[0].uid", "Invalid"),
        ({"ownerReferences": [{**OWNER, "controller": True}] * 2}, "ownerReferences", "Invalid"),
        ({"finalizers": ["a b"]}, "finalizers", "Invalid"),
        ({"finalizers": ["orphan", "foregroundDeletion"]}, "finalizers", "Invalid"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_metadata(meta: dict[str, Any], field: str, reason: str) -> None:
    assert brief(CONFIGMAPS.validate(made(CONFIGMAPS, {"metadata": meta}))) == [(f"metadata.{field}", reason)]


def test_good_metadata() -> None:
    meta = {
        "name": "a.b",
        "generateName": "a-",
        "labels": {"example.com/A_b": ""},
        "annotations": {"Example.com/X": "any text"},
        "ownerReferences": [OWNER],
        "finalizers": ["a.b/c"],
    }
    assert CONFIGMAPS.validate(made(CONFIGMAPS, {"metadata": meta})) == []


def test_scope_and_format_of_names_depend_on_the_kind() -> None:
    namespaced = made(NAMESPACES, {"metadata": {"namespace": "x"}})
    assert brief(NAMESPACES.validate(namespaced)) == [("metadata.namespace", "Forbidden")]
    assert brief(NAMESPACES.validate(made(NAMESPACES, {"metadata": {"name": "a.b"}}))) == [("metadata.name", "Invalid")]
    web = made(SERVICES, {"metadata": {"name": "1web"}, "spec": {"ports": [{"port": 80}]}})
    assert brief(SERVICES.validate(web)) == [("metadata.name", "Invalid")]
