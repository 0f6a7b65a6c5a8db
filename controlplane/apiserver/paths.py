"""Request paths of the Kubernetes API, split by hand. Pure: no table of kinds, no request."""

from urllib.parse import unquote

import msgspec

NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})
"""`/namespaces/x/status` is a subresource of the Namespace, `/namespaces/x/pods` a collection in it."""
PROXY = "proxy"
"""The subresource whose path goes on: what follows is the proxied server's."""


class ResourcePath(msgspec.Struct, frozen=True):
    """`/api/<version>/...` or `/apis/<group>/<version>/...` below the version. Empty name: the collection."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def segments(path: str) -> list[str]:
    """The decoded segments of a raw path; empty ones at the ends are dropped."""
    parts = path.strip("/").split("/")
    return [unquote(part) for part in parts] if "%" in path else parts


def parse_resource(parts: list[str]) -> ResourcePath | None:
    """None when the path addresses no resource (discovery, health, ...)."""
    if parts[0] == "api" and len(parts) > 2:
        return _below_version("", parts[1], parts[2:])
    if parts[0] == "apis" and len(parts) > 3:
        return _below_version(parts[1], parts[2], parts[3:])
    return None


def _below_version(group: str, version: str, rest: list[str]) -> ResourcePath:
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in NAMESPACE_SUBRESOURCES:
        namespace, rest = rest[1], rest[2:]
    name = rest[1] if len(rest) > 1 else ""
    is_one = len(rest) == 3 or rest[2:3] == [PROXY]
    subresource = rest[2] if is_one else "/".join(rest[2:])
    return ResourcePath(group, version, rest[0], namespace, name, subresource)


def verb_of(method: str, path: ResourcePath) -> str:
    """The verb that authorization asks about; watch is told apart by the query, not here."""
    if method == "GET":
        return "get" if path.name else "list"
    if method == "DELETE":
        return "delete" if path.name else "deletecollection"
    return {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(method, method.lower())
