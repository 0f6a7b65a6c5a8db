"""Discovery documents (meta/v1 APIGroupList, APIResourceList; apidiscovery.k8s.io APIGroupDiscoveryList) from the kind
table. Pure: table in, plain data out."""

import hashlib
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from orch.api.kind import Kind, KindTable

CHANGE_VERBS = ["get", "patch", "update"]
STORAGE_HASH_BYTES = 8

AnyKind = Kind[Any]


@dataclass(frozen=True, slots=True)
class Subresource:
    """What a subresource answers with. Without a kind of its own it is the parent's; `{kind}` in it stands for that."""

    verbs: list[str]
    kind: str = ""
    group: str = ""
    version: str = ""


SUBRESOURCES = {
    "attach": Subresource(["create", "get"], "PodAttachOptions", "", "v1"),
    "binding": Subresource(["create"], "Binding", "", "v1"),
    "ephemeralcontainers": Subresource(CHANGE_VERBS),
    "eviction": Subresource(["create"], "Eviction", "policy", "v1"),
    "exec": Subresource(["create", "get"], "PodExecOptions", "", "v1"),
    "finalize": Subresource(["update"]),
    "log": Subresource(["get"]),
    "portforward": Subresource(["create", "get"], "PodPortForwardOptions", "", "v1"),
    "proxy": Subresource(["create", "delete", "get", "patch", "update"], "{kind}ProxyOptions", "", "v1"),
    "resize": Subresource(CHANGE_VERBS),
    "scale": Subresource(CHANGE_VERBS, "Scale", "autoscaling", "v1"),
    "status": Subresource(CHANGE_VERBS),
    "token": Subresource(["create"], "TokenRequest", "authentication.k8s.io", "v1"),
}


def served_subresources(kind: AnyKind) -> list[tuple[str, Subresource]]:
    known = ((name, SUBRESOURCES[name]) for name in sorted(kind.subresources) if name in SUBRESOURCES)
    return [(name, replace(each, kind=each.kind.format(kind=kind.kind))) for name, each in known]


def singular(kind: AnyKind) -> str:
    return kind.singular or kind.kind.lower()


def group_versions(kinds: Iterable[AnyKind]) -> dict[str, list[str]]:
    """Group -> its versions, both in the order of the table; the first version is the preferred one."""
    groups: dict[str, dict[str, None]] = {}
    for kind in kinds:
        groups.setdefault(kind.group, {})[kind.version] = None
    return {group: list(versions) for group, versions in groups.items()}


def api_versions(server_address: str) -> dict[str, Any]:
    """`/api`: the core group."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    }


def group_list(kinds: KindTable) -> dict[str, Any]:
    """`/apis`."""
    groups = [_group(name, versions) for name, versions in group_versions(kinds).items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(kinds: KindTable, name: str) -> dict[str, Any] | None:
    """`/apis/<name>`; None when no kind is of this group."""
    versions = group_versions(kinds).get(name)
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)} if name and versions else None


def _group(name: str, versions: list[str]) -> dict[str, Any]:
    entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def resource_list(kinds: KindTable, group: str, version: str) -> dict[str, Any] | None:
    """`/api/v1`, `/apis/<group>/<version>`; None when nothing is served there."""
    served = [kind for kind in kinds if (kind.group, kind.version) == (group, version)]
    if not served:
        return None
    resources = [entry for kind in served for entry in _resources(kind)]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": served[0].api_version,
        "resources": sorted(resources, key=lambda entry: entry["name"]),
    }


def _resources(kind: AnyKind) -> list[dict[str, Any]]:
    own = {
        "name": kind.plural,
        "singularName": singular(kind),
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(kind.verbs),
        "shortNames": list(kind.short_names),
        "categories": list(kind.categories),
        "storageVersionHash": "" if kind.virtual else storage_version_hash(kind.stored),
    }
    entries = [{key: value for key, value in own.items() if value not in ([], "") or key == "singularName"}]
    return entries + [_subresource(kind, name, subresource) for name, subresource in served_subresources(kind)]


def storage_version_hash(kind: AnyKind) -> str:
    """Tells clients when the form in which objects are stored changes (apiserver `discovery.StorageVersionHash`)."""
    digest = hashlib.sha256(f"{kind.group}/{kind.version}/{kind.kind}".encode()).digest()
    return b64encode(digest[:STORAGE_HASH_BYTES]).decode()


def _subresource(kind: AnyKind, name: str, subresource: Subresource) -> dict[str, Any]:
    entry = {
        "name": f"{kind.plural}/{name}",
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": subresource.kind or kind.kind,
        "verbs": subresource.verbs,
    }
    return entry | ({"group": subresource.group, "version": subresource.version} if subresource.group else {})


def aggregated(kinds: KindTable, version: str, *, core: bool) -> dict[str, Any]:
    """`/api` (core) and `/apis` (the other groups) as one document each."""
    items = [
        _group_discovery(kinds, name, versions)
        for name, versions in group_versions(kinds).items()
        if (name == "") is core
    ]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def _group_discovery(kinds: KindTable, name: str, versions: list[str]) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "creationTimestamp": None} if name else {"creationTimestamp": None},
        "versions": [
            {
                "version": version,
                "resources": [
                    _resource_discovery(kind)
                    for kind in sorted(kinds, key=lambda kind: kind.plural)
                    if (kind.group, kind.version) == (name, version)
                ],
                "freshness": "Current",
            }
            for version in versions
        ],
    }


def _resource_discovery(kind: AnyKind) -> dict[str, Any]:
    entry = {
        "resource": kind.plural,
        "responseKind": _response_kind(kind.group, kind.version, kind.kind),
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": singular(kind),
        "verbs": list(kind.verbs),
        "shortNames": list(kind.short_names),
        "categories": list(kind.categories),
        "subresources": [
            {
                "subresource": name,
                "responseKind": _response_kind(
                    subresource.group if subresource.kind else kind.group,
                    subresource.version or kind.version,
                    subresource.kind or kind.kind,
                ),
                "verbs": subresource.verbs,
            }
            for name, subresource in served_subresources(kind)
        ],
    }
    return {key: value for key, value in entry.items() if value != []}


def _response_kind(group: str, version: str, kind: str) -> dict[str, str]:
    return {"group": group, "version": version, "kind": kind}
