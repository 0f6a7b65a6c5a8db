"""Where things are in the store. The one place that knows the key layout.

/orch/v1/objects/<group>/<resource>/<namespace>/<name>   served objects; group "core" for "", namespace may be empty
/orch/v1/internal/<purpose>/...                          allocations, leadership, the actor of the last delete
"""

from dataclasses import dataclass
from typing import Any

from orch.api.kind import Kind

OBJECTS = "/orch/v1/objects/"
INTERNAL = "/orch/v1/internal/"
DELETED_BY = INTERNAL + "deleted-by"
"""Written in each transaction that deletes an object: a deleted key has no value that could name the actor."""

CORE_GROUP = "core"


@dataclass(frozen=True, slots=True)
class ObjectKey:
    """A store key, taken apart. `group` is the API's ("" for core)."""

    group: str
    resource: str
    namespace: str
    name: str


def resource_prefix(group: str, resource: str) -> str:
    """Above all objects of one resource."""
    return f"{OBJECTS}{group or CORE_GROUP}/{resource}/"


def list_prefix(kind: Kind[Any], namespace: str) -> str:
    """Above the objects of a kind in a namespace; "" means all namespaces."""
    prefix = resource_prefix(kind.group, kind.plural)
    return f"{prefix}{namespace}/" if namespace else prefix


def object_key(kind: Kind[Any], namespace: str, name: str) -> str:
    return f"{resource_prefix(kind.group, kind.plural)}{namespace}/{name}"


def parse_object_key(key: str) -> ObjectKey | None:
    """None when the key is no served object's."""
    if not key.startswith(OBJECTS):
        return None
    parts = key[len(OBJECTS) :].split("/")
    if len(parts) != 4:
        return None
    group, resource, namespace, name = parts
    return ObjectKey("" if group == CORE_GROUP else group, resource, namespace, name)
