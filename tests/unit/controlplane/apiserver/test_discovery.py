"""Discovery follows the kind table as it is at the moment of the request."""

import json
from typing import Any

import aiohttp
import pytest

from controlplane.apiserver import discovery
from orch.api.codec import UntypedCodec
from orch.api.kind import Kind
from orch.api.kinds import builtin_kinds

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
THING: Kind[Any] = Kind(
    "example.org", "v1", "Thing", "things", UntypedCodec("example.org/v1", "Thing"), namespaced=False
)


def test_groups_and_resources() -> None:
    kinds = builtin_kinds()
    groups = discovery.group_list(kinds)["groups"]
    assert {group["name"] for group in groups} == {kind.group for kind in kinds if kind.group}
    apps = discovery.resource_list(kinds, "apps", "v1")
    assert apps is not None
    entries = {entry["name"]: entry for entry in apps["resources"]}
    assert entries["deployments"]["shortNames"] == ["deploy"]
    assert (entries["deployments/scale"]["group"], entries["deployments/scale"]["kind"]) == ("autoscaling", "Scale")
    assert entries["deployments/status"]["kind"] == "Deployment"


@pytest.mark.parametrize(
    ("group", "version", "resource", "storage_hash"),
    [
        pytest.param("", "v1", "pods", "xPOwRZ+Yhw8=", id="as kube-apiserver has it"),
        pytest.param("apps", "v1", "deployments", "8aSe+NMegvE=", id="in a group"),
        pytest.param("events.k8s.io", "v1", "events", "r2yiGXH7wu8=", id="of the form that is stored"),
        pytest.param("", "v1", "pods/status", None, id="none of a subresource"),
        pytest.param("authentication.k8s.io", "v1", "tokenreviews", None, id="none of what is kept nowhere"),
    ],
)
def test_storage_version_hashes(group: str, version: str, resource: str, storage_hash: str | None) -> None:
    document = discovery.resource_list(builtin_kinds(), group, version)
    assert document is not None
    [entry] = [entry for entry in document["resources"] if entry["name"] == resource]
    assert entry.get("storageVersionHash") == storage_hash


def test_a_kind_registered_later_is_served() -> None:
    kinds = builtin_kinds()
    assert discovery.group(kinds, "example.org") is None
    kinds.register(THING)
    group = discovery.group(kinds, "example.org")
    assert group is not None
    assert group["preferredVersion"] == {"groupVersion": "example.org/v1", "version": "v1"}
    things = discovery.resource_list(kinds, "example.org", "v1")
    assert things is not None
    assert [(entry["name"], entry["namespaced"]) for entry in things["resources"]] == [("things", False)]


def test_aggregated_discovery_has_subresources() -> None:
    core = discovery.aggregated(builtin_kinds(), "v2", core=True)["items"]
    assert [item["metadata"] for item in core] == [{"creationTimestamp": None}]
    pods = next(r for r in core[0]["versions"][0]["resources"] if r["resource"] == "pods")
    kinds = {entry["subresource"]: entry["responseKind"]["kind"] for entry in pods["subresources"]}
    assert kinds["eviction"] == "Eviction"
    assert kinds["log"] == kinds["status"] == "Pod"


async def test_documents_have_etags_and_forms(http: aiohttp.ClientSession) -> None:
    async with http.get("/apis", headers={"Accept": f"{AGGREGATED},application/json"}) as response:
        assert response.headers["Content-Type"] == AGGREGATED
        assert json.loads(await response.read())["kind"] == "APIGroupDiscoveryList"
        etag = response.headers["ETag"]
    async with http.get("/apis", headers={"Accept": AGGREGATED, "If-None-Match": etag}) as response:
        assert (response.status, await response.read()) == (304, b"")
    async with http.get("/api") as response:
        assert json.loads(await response.read())["versions"] == ["v1"]
    async with http.get("/") as response:
        assert "/apis/apps/v1" in json.loads(await response.read())["paths"]


def test_what_connects_has_options_of_its_own() -> None:
    resources = discovery.resource_list(builtin_kinds(), "", "v1")
    assert resources is not None
    kinds = {entry["name"]: (entry["kind"], entry["verbs"]) for entry in resources["resources"]}
    assert kinds["pods/attach"] == ("PodAttachOptions", ["create", "get"])
    assert kinds["pods/portforward"] == ("PodPortForwardOptions", ["create", "get"])
    assert kinds["pods/proxy"][0] == "PodProxyOptions"
    assert kinds["services/proxy"] == ("ServiceProxyOptions", ["create", "delete", "get", "patch", "update"])
