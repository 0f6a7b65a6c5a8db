"""The operations of each kind, independent of the dialect in which they are written down.

kubectl looks for `fieldValidation` and `dryRun` among the query parameters of each PATCH, and finds a kind's name by
the group-version-kind on the GET of its paths.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from controlplane.apiserver.openapi import names
from controlplane.apiserver.openapi.connect import CONNECTS
from controlplane.apiserver.openapi.definitions import (
    SUBRESOURCE_BODIES,
    AnyKind,
    Plain,
    gvk,
    kind_name,
    list_name,
)
from controlplane.apiserver.openapi.parameters import QueryParameter
from orch.api.meta import DeleteOptions, Status

PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
_ACTIONS = {
    "get": "get", "list": "list", "create": "post", "replace": "put", "patch": "patch", "delete": "delete",
    "deletecollection": "deletecollection",
}  # fmt: skip
_METHODS = {
    "get": "get", "list": "get", "create": "post", "replace": "put", "patch": "patch", "delete": "delete",
    "deletecollection": "delete", "head": "head", "options": "options",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Operation:
    """One verb on one path. `body` and `result` name definitions; empty: none."""

    kind: AnyKind
    path: str
    verb: str
    parameters: tuple[QueryParameter, ...] = ()
    body: str = ""
    body_types: tuple[str, ...] = ("application/json", "application/yaml")
    result: str = ""
    result_type: str = "application/json"
    success: int = 200
    subresource: str = ""
    scope: str = ""
    """Ends the operation's id where one verb is served on two paths."""

    @property
    def method(self) -> str:
        return _METHODS[self.verb]

    @property
    def action(self) -> str:
        """x-kubernetes-action."""
        return "connect" if self.subresource in CONNECTS else _ACTIONS[self.verb]

    @property
    def query(self) -> tuple[QueryParameter, ...]:
        return (QueryParameter("pretty"), *self.parameters)

    @property
    def path_parameters(self) -> tuple[str, ...]:
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))

    @property
    def group_version_kind(self) -> Plain:
        if self.subresource in CONNECTS:
            return gvk("", "v1", CONNECTS[self.subresource].options.format(kind=self.kind.kind))
        if self.subresource in SUBRESOURCE_BODIES:
            struct, group, version = SUBRESOURCE_BODIES[self.subresource]
            return gvk(group, version, struct.__name__)
        return gvk(self.kind.group, self.kind.version, self.kind.kind)

    @property
    def tag(self) -> str:
        """`core_v1`, `apps_v1`."""
        return f"{self._group}_{self.kind.version}"

    @property
    def operation_id(self) -> str:
        """Such as `listCoreV1NamespacedPod`."""
        group = "".join(part.capitalize() for part in self._group.split("."))
        namespaced = "Namespaced" if "{namespace}" in self.path else ""
        subject = f"{self.kind.kind}{self.subresource.capitalize()}{self.scope}"
        verb, method = (self.verb, "") if self.action != "connect" else ("connect", self.method.capitalize())
        return f"{verb}{group}{self.kind.version.capitalize()}{method}{namespaced}{subject}"

    @property
    def _group(self) -> str:
        return self.kind.group.removesuffix(".k8s.io") or "core"


_WRITE = tuple(QueryParameter(name) for name in ("dryRun", "fieldManager", "fieldValidation"))
_PATCH = (*_WRITE, QueryParameter("force", "boolean"))
_LIST = (
    QueryParameter("allowWatchBookmarks", "boolean"),
    QueryParameter("continue"),
    QueryParameter("fieldSelector"),
    QueryParameter("labelSelector"),
    QueryParameter("limit", "integer"),
    QueryParameter("resourceVersion"),
    QueryParameter("resourceVersionMatch"),
    QueryParameter("sendInitialEvents", "boolean"),
    QueryParameter("timeoutSeconds", "integer"),
    QueryParameter("watch", "boolean"),
)
_DELETE = (
    QueryParameter("dryRun"),
    QueryParameter("gracePeriodSeconds", "integer"),
    QueryParameter("orphanDependents", "boolean"),
    QueryParameter("propagationPolicy"),
)
_LOG = (
    QueryParameter("container"),
    QueryParameter("follow", "boolean"),
    QueryParameter("insecureSkipTLSVerifyBackend", "boolean"),
    QueryParameter("limitBytes", "integer"),
    QueryParameter("previous", "boolean"),
    QueryParameter("sinceSeconds", "integer"),
    QueryParameter("stream"),
    QueryParameter("tailLines", "integer"),
    QueryParameter("timestamps", "boolean"),
)


def operations(kind: AnyKind) -> Iterator[Operation]:
    """Every operation on a kind: on its collections, on its objects, on its subresources."""
    collection, own, listed = collection_path(kind), kind_name(kind), list_name(kind)
    options, status = names.struct_name(DeleteOptions), names.struct_name(Status)
    if kind.virtual:
        yield from _on_virtual(kind)
        return
    yield Operation(kind, collection, "list", _LIST, result=listed)
    yield Operation(kind, collection, "create", _WRITE, body=own, result=own, success=201)
    yield Operation(kind, collection, "deletecollection", (*_DELETE, *_LIST), body=options, result=status)
    if kind.namespaced:
        everywhere = f"{root_path(kind)}/{kind.plural}"
        yield Operation(kind, everywhere, "list", _LIST, result=listed, scope="ForAllNamespaces")
    item = f"{collection}/{{name}}"
    yield Operation(kind, item, "get", result=own)
    yield Operation(kind, item, "replace", _WRITE, body=own, result=own)
    yield Operation(kind, item, "patch", _PATCH, body=names.PATCH, body_types=PATCH_TYPES, result=own)
    yield Operation(kind, item, "delete", _DELETE, body=options, result=status)
    for subresource in sorted(kind.subresources):
        yield from _on_subresource(kind, f"{item}/{subresource}", subresource)


def _on_virtual(kind: AnyKind) -> Iterator[Operation]:
    collection, own, listed = collection_path(kind), kind_name(kind), list_name(kind)
    if "create" in kind.verbs:
        yield Operation(kind, collection, "create", _WRITE, body=own, result=own, success=201)
    if "list" in kind.verbs:
        yield Operation(kind, collection, "list", _LIST, result=listed)
        if kind.namespaced:
            everywhere = f"{root_path(kind)}/{kind.plural}"
            yield Operation(kind, everywhere, "list", _LIST, result=listed, scope="ForAllNamespaces")
    if "get" in kind.verbs:
        yield Operation(kind, f"{collection}/{{name}}", "get", result=own)


def by_path(kinds: Iterable[AnyKind]) -> dict[str, list[Operation]]:
    """The operations of all kinds, by path, sorted."""
    paths: dict[str, list[Operation]] = {}
    for kind in kinds:
        for operation in operations(kind):
            paths.setdefault(operation.path, []).append(operation)
    return dict(sorted(paths.items()))


def root_path(kind: AnyKind) -> str:
    return f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"


def collection_path(kind: AnyKind) -> str:
    scope = "/namespaces/{namespace}" if kind.namespaced else ""
    return f"{root_path(kind)}{scope}/{kind.plural}"


def _on_subresource(kind: AnyKind, path: str, name: str) -> Iterator[Operation]:
    own = SUBRESOURCE_BODIES.get(name)
    body = names.struct_name(own[0]) if own else kind_name(kind)
    match name:
        case "status" | "scale":
            yield Operation(kind, path, "get", result=body, subresource=name)
            yield Operation(kind, path, "replace", _WRITE, body=body, result=body, subresource=name)
            yield Operation(
                kind, path, "patch", _PATCH, body=names.PATCH, body_types=PATCH_TYPES, result=body, subresource=name
            )
        case "binding" | "eviction" | "token":
            yield Operation(kind, path, "create", _WRITE, body=body, result=body, success=201, subresource=name)
        case "finalize":
            yield Operation(kind, path, "replace", _WRITE, body=body, result=body, subresource=name)
        case "log":
            yield Operation(kind, path, "get", _LOG, result_type="text/plain", subresource=name)
        case _ if name in CONNECTS:
            yield from _connects(kind, path, name)


def _connects(kind: AnyKind, path: str, name: str) -> Iterator[Operation]:
    connect = CONNECTS[name]
    for verb in connect.verbs:
        yield Operation(kind, path, verb, connect.parameters, result_type="*/*", subresource=name)
        if connect.has_path:
            below = f"{path}/{{path}}"
            yield Operation(
                kind, below, verb, connect.parameters, result_type="*/*", subresource=name, scope="WithPath"
            )
