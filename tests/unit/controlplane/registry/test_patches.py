"""Patches of whole objects: which parts are made anew, and what unknown fields get."""

from typing import Any

import pytest

from controlplane.registry.interface import RequestContext, User
from controlplane.registry.patches import patched
from orch.api.kinds import PODS
from orch.client.client import PatchType
from orch.errors import Invalid
from tests.builders import pod


def apply(patch: Any, patch_type: PatchType = PatchType.MERGE, warnings: list[str] | None = None) -> Any:
    context = RequestContext(User("tester"), "r", (warnings if warnings is not None else []).append)
    return patched(context, PODS, WEB, patch, patch_type, "Strict" if warnings is None else "Warn")


WEB = pod("web", labels={"app": "web"})


@pytest.mark.parametrize("patch_type", [PatchType.MERGE, PatchType.STRATEGIC])
def test_what_the_patch_does_not_name_stays_the_same_object(patch_type: PatchType) -> None:
    new = apply({"metadata": {"labels": {"tier": "front"}}}, patch_type)
    assert new.spec is WEB.spec
    assert new.status is WEB.status
    assert new.metadata.labels == {"app": "web", "tier": "front"}


def test_a_part_that_is_named_is_merged_with_what_is_there() -> None:
    new = apply({"spec": {"nodeName": "n1"}, "status": None})
    assert (new.spec.node_name, new.spec.containers) == ("n1", WEB.spec.containers)
    assert new.metadata == WEB.metadata
    assert new.status == type(WEB.status)()


def test_a_json_patch_sees_the_whole_object() -> None:
    operations = [
        {"op": "test", "path": "/spec/containers/0/name", "value": WEB.spec.containers[0].name},
        {"op": "copy", "from": "/metadata/name", "path": "/spec/hostname"},
    ]
    assert apply(operations, PatchType.JSON).spec.hostname == "web"


def test_unknown_fields_outside_the_known_parts_are_told_too() -> None:
    warnings: list[str] = []
    assert apply({"speck": {}}, warnings=warnings) == WEB
    assert warnings == ['unknown field "speck"']
    with pytest.raises(Invalid):
        apply({"speck": {}})
