import pytest

from controlplane.store import keys
from orch.api.kinds import DEPLOYMENTS, NODES, PODS


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ((PODS, "default", "web"), "/orch/v1/objects/core/pods/default/web"),
        ((DEPLOYMENTS, "default", "web"), "/orch/v1/objects/apps/deployments/default/web"),
        ((NODES, "", "node-1"), "/orch/v1/objects/core/nodes//node-1"),
    ],
)
def test_an_objects_key_can_be_taken_apart(key: tuple[object, str, str], text: str) -> None:
    kind, namespace, name = key
    assert keys.object_key(kind, namespace, name) == text  # type: ignore[arg-type]
    assert keys.parse_object_key(text) == keys.ObjectKey(kind.group, kind.plural, namespace, name)  # type: ignore[attr-defined]


def test_other_keys_are_no_objects() -> None:
    assert keys.parse_object_key(keys.DELETED_BY) is None
    assert keys.parse_object_key("/orch/v1/objects/core/pods/default") is None


def test_a_list_covers_one_resource_or_one_namespace_of_it() -> None:
    assert keys.list_prefix(PODS, "") == "/orch/v1/objects/core/pods/"
    assert keys.list_prefix(PODS, "default") == "/orch/v1/objects/core/pods/default/"
