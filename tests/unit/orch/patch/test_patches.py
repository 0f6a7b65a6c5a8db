import pytest

from orch.api.kinds import PODS, untyped_kind
from orch.client.client import PatchType
from orch.errors import BadRequest, UnsupportedMediaType
from orch.patch.patches import apply_patch, three_way_patch

WIDGETS = untyped_kind("example.com", "v1", "Widget", "widgets")
POD = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "a"}]}}


def test_each_format_finds_its_algorithm() -> None:
    added = [{"op": "add", "path": "/spec/hostPID", "value": True}]
    assert apply_patch(PODS, POD, added, PatchType.JSON)["spec"]["hostPID"] is True
    merged = {"spec": {"containers": [{"name": "b"}]}}
    assert apply_patch(PODS, POD, merged, PatchType.MERGE)["spec"]["containers"] == [{"name": "b"}]
    strategic = apply_patch(PODS, POD, merged, PatchType.STRATEGIC)["spec"]["containers"]
    assert strategic == [{"name": "b"}, {"name": "a"}]


def test_a_kind_without_types_has_no_strategic_merge() -> None:
    with pytest.raises(UnsupportedMediaType):
        apply_patch(WIDGETS, {}, {}, PatchType.STRATEGIC)
    assert three_way_patch(WIDGETS, {"a": 1}, {"b": 1}, {"a": 1}) == (PatchType.MERGE, {"a": None, "b": 1})
    assert three_way_patch(PODS, POD, POD, POD) == (PatchType.STRATEGIC, {})


def test_an_object_stays_an_object() -> None:
    with pytest.raises(BadRequest):
        apply_patch(PODS, POD, [{"op": "replace", "path": "", "value": 1}], PatchType.JSON)
    with pytest.raises(BadRequest):
        apply_patch(PODS, POD, "x", PatchType.MERGE)
