"""The verbs' options over HTTP against the real chain: what Kubernetes answers to each, Status bodies included."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from orch.client.http import tls_context
from tests.apiserver import RunningServer, memory_server

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;g=meta.k8s.io;v={}"
METADATA = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v={}"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with memory_server(tmp_path) as running:
        yield running


@pytest.fixture
async def http(running: RunningServer) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=tls_context(running.access))
    async with aiohttp.ClientSession(running.access.server, connector=connector) as http:
        yield http


async def call(http: aiohttp.ClientSession, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """The answer's JSON; errors are Status bodies whose code is that of the answer."""
    data = None if body is None else json.dumps(body).encode()
    content = {"Content-Type": "application/json"} if data else {}
    async with http.request(method, path, data=data, headers=content | headers) as response:
        plain = await response.json()
    if response.status >= 400:
        assert (plain["kind"], plain["code"]) == ("Status", response.status)
    return plain


async def create(http: aiohttp.ClientSession, *names: str, **fields: Any) -> list[Any]:
    return [
        await call(http, "POST", CONFIGMAPS, {"metadata": {"name": name, **fields}, "data": {"a": "1"}})
        for name in names
    ]


async def watch(http: aiohttp.ClientSession, query: str, count: int, **headers: str) -> list[Any]:
    """The first `count` events."""
    async with http.get(f"{CONFIGMAPS}?watch=true&{query}", headers=headers) as response:
        assert response.status == 200, await response.text()
        async with asyncio.timeout(5):
            return [json.loads(await response.content.readline()) for _ in range(count)]


def brief(status: Any) -> tuple[int, str, list[tuple[str, str]]]:
    causes = status.get("details", {}).get("causes", ())
    return status["code"], status["reason"], [(cause["reason"], cause["field"]) for cause in causes]


FORBIDDEN, UNSUPPORTED = "FieldValueForbidden", "FieldValueNotSupported"


@pytest.mark.parametrize(
    ("method", "query", "reason", "field"),
    [
        ("POST", "dryRun=Some", UNSUPPORTED, "dryRun"),
        ("DELETE", "dryRun=Some", UNSUPPORTED, "dryRun"),
        ("POST", "fieldValidation=Perhaps", UNSUPPORTED, "fieldValidation"),
        ("POST", "fieldManager=" + "x" * 129, "FieldValueTooLong", "fieldManager"),
        ("DELETE", "propagationPolicy=Sideways", UNSUPPORTED, "propagationPolicy"),
        ("DELETE", "propagationPolicy=Orphan&orphanDependents=true", "FieldValueInvalid", "propagationPolicy"),
        ("GET", "sendInitialEvents=true", FORBIDDEN, "sendInitialEvents"),
        ("GET", "resourceVersionMatch=Exact", FORBIDDEN, "resourceVersionMatch"),
        ("GET", "resourceVersionMatch=Exact&resourceVersion=0", FORBIDDEN, "resourceVersionMatch"),
        ("GET", "resourceVersionMatch=Sometimes&resourceVersion=1", UNSUPPORTED, "resourceVersionMatch"),
        ("GET", "resourceVersionMatch=Exact&resourceVersion=1&continue=x", FORBIDDEN, "resourceVersionMatch"),
        ("GET", "watch=1&sendInitialEvents=false", FORBIDDEN, "resourceVersionMatch"),
        ("GET", "watch=1&resourceVersionMatch=NotOlderThan", FORBIDDEN, "resourceVersionMatch"),
    ],
)
async def test_options_that_are_invalid(
    http: aiohttp.ClientSession, method: str, query: str, reason: str, field: str
) -> None:
    body = {"metadata": {"name": "c"}} if method == "POST" else None
    assert brief(await call(http, method, f"{CONFIGMAPS}?{query}", body)) == (422, "Invalid", [(reason, field)])


@pytest.mark.parametrize(
    "query",
    [
        "limit=x",
        "limit=99999999999999999999",
        "resourceVersion=-1",
        "resourceVersion=" + "9" * 5000,
        "continue=nonsense",
        "labelSelector=a%3D%3D%3Db",
        "labelSelector=a in",
        "fieldSelector=spec.colour%3Dred",
        "fieldSelector=metadata.name",
        "watch=1&timeoutSeconds=soon",
    ],
)
async def test_options_that_cannot_be_read(http: aiohttp.ClientSession, query: str) -> None:
    assert brief(await call(http, "GET", f"{CONFIGMAPS}?{query}")) == (400, "BadRequest", [])


async def test_unknown_parameters_and_ends_of_paths_are_ignored(http: aiohttp.ClientSession) -> None:
    await create(http, "c")
    assert (await call(http, "GET", f"{CONFIGMAPS}/c/?colour=red&_=1"))["metadata"]["name"] == "c"
    assert len((await call(http, "GET", f"{CONFIGMAPS}/?exact=false&export=1"))["items"]) == 1


async def test_pretty(http: aiohttp.ClientSession) -> None:
    await create(http, "c")
    for path, is_pretty in (("c?pretty=true", True), ("c?pretty=false", False), ("c", False), ("?pretty=1", True)):
        async with http.get(f"{CONFIGMAPS}/{path}") as response:
            text = await response.text()
        assert text.startswith('{\n  "') is is_pretty
        assert int(response.headers["Content-Length"]) == len(text.encode())


async def test_head_is_for_health_only(http: aiohttp.ClientSession) -> None:
    async with http.head("/readyz") as response:
        assert (response.status, await response.read()) == (200, b"")
    async with http.head(CONFIGMAPS) as response:
        assert (response.status, await response.read()) == (405, b"")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", CONFIGMAPS),
        ("POST", f"{CONFIGMAPS}/c"),
        ("POST", "/api/v1/configmaps"),
        ("DELETE", "/api/v1/configmaps"),
    ],
)
async def test_methods_that_are_not_allowed(http: aiohttp.ClientSession, method: str, path: str) -> None:
    assert brief(await call(http, method, path, {})) == (405, "MethodNotAllowed", [])


async def test_generated_names(http: aiohttp.ClientSession) -> None:
    made = [await call(http, "POST", CONFIGMAPS, {"metadata": {"generateName": "c-"}}) for _ in range(3)]
    names = {each["metadata"]["name"] for each in made}
    assert len(names) == 3
    assert all(len(name) == len("c-") + 5 and name.startswith("c-") for name in names)


async def test_a_dry_run_says_what_would_be(http: aiohttp.ClientSession) -> None:
    (kept,) = await create(http, "kept")
    would = await call(http, "POST", f"{CONFIGMAPS}?dryRun=All", {"metadata": {"name": "c"}})
    assert (would["metadata"]["name"], "uid" in would["metadata"]) == ("c", True)
    assert "resourceVersion" not in would["metadata"]
    assert (await call(http, "GET", f"{CONFIGMAPS}/c"))["code"] == 404
    again = await call(http, "POST", f"{CONFIGMAPS}?dryRun=All", {"metadata": {"name": "kept"}})
    assert brief(again) == (409, "AlreadyExists", [])
    assert (await call(http, "DELETE", f"{CONFIGMAPS}/kept?dryRun=All"))["status"] == "Success"
    assert await call(http, "GET", f"{CONFIGMAPS}/kept") == kept


async def test_options_of_a_delete_are_read_leniently_and_by_kind(http: aiohttp.ClientSession) -> None:
    await create(http, "c")
    other = await call(http, "DELETE", f"{CONFIGMAPS}/c", {"kind": "Pod", "apiVersion": "v1"})
    wrong = await call(http, "DELETE", f"{CONFIGMAPS}/c", {"gracePeriodSeconds": "soon"})
    assert [brief(other), brief(wrong)] == [(400, "BadRequest", [])] * 2
    newer = {"kind": "DeleteOptions", "apiVersion": "apps/v1", "preconditions": None, "newer": 1}
    assert (await call(http, "DELETE", f"{CONFIGMAPS}/c", newer))["status"] == "Success"


async def test_preconditions_of_a_delete(http: aiohttp.ClientSession) -> None:
    (made,) = await create(http, "c")
    for conditions in (
        {"uid": "other"},
        {"resourceVersion": "1"},
        {"uid": made["metadata"]["uid"], "resourceVersion": "1"},
    ):
        refused = await call(http, "DELETE", f"{CONFIGMAPS}/c", {"preconditions": conditions})
        assert brief(refused) == (409, "Conflict", [])
    right = {key: made["metadata"][key] for key in ("uid", "resourceVersion")}
    assert (await call(http, "DELETE", f"{CONFIGMAPS}/c", {"preconditions": right}))["status"] == "Success"


@pytest.mark.parametrize(
    ("policy", "finalizers"),
    [("Foreground", ["foregroundDeletion"]), ("Orphan", ["orphan"])],
)
async def test_propagation_leaves_a_finalizer(http: aiohttp.ClientSession, policy: str, finalizers: list[str]) -> None:
    await create(http, "c")
    waiting = await call(http, "DELETE", f"{CONFIGMAPS}/c", {"propagationPolicy": policy})
    assert waiting["metadata"]["finalizers"] == finalizers
    assert waiting["metadata"]["deletionTimestamp"]


async def test_a_finalizer_holds_an_object_until_it_is_taken_away(http: aiohttp.ClientSession) -> None:
    await create(http, "c", finalizers=["example.com/hold"])
    assert (await call(http, "DELETE", f"{CONFIGMAPS}/c"))["metadata"]["deletionGracePeriodSeconds"] == 0
    merge = {"Content-Type": "application/merge-patch+json"}
    more = {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}
    assert brief(await call(http, "PATCH", f"{CONFIGMAPS}/c", more, **merge))[:2] == (422, "Invalid")
    await call(http, "PATCH", f"{CONFIGMAPS}/c", {"metadata": {"finalizers": None}}, **merge)
    assert (await call(http, "GET", f"{CONFIGMAPS}/c"))["code"] == 404


async def test_delete_collection_takes_what_is_selected(http: aiohttp.ClientSession) -> None:
    await create(http, "a1", "a2", labels={"app": "a"})
    await create(http, "b")
    await call(http, "DELETE", f"{CONFIGMAPS}?labelSelector=app%3Da&dryRun=All")
    assert len((await call(http, "GET", CONFIGMAPS))["items"]) == 3
    gone = await call(http, "DELETE", f"{CONFIGMAPS}?labelSelector=app%3Da")
    assert (gone["kind"], [each["metadata"]["name"] for each in gone["items"]]) == ("ConfigMapList", ["a1", "a2"])
    assert [each["metadata"]["name"] for each in (await call(http, "GET", CONFIGMAPS))["items"]] == ["b"]


async def test_lists_at_revisions(http: aiohttp.ClientSession) -> None:
    first, second = await create(http, "a", "b")
    at = first["metadata"]["resourceVersion"]

    async def names(query: str) -> tuple[list[str], str]:
        listed = await call(http, "GET", f"{CONFIGMAPS}?{query}")
        return [each["metadata"]["name"] for each in listed["items"]], listed["metadata"]["resourceVersion"]

    assert await names(f"resourceVersion={at}&resourceVersionMatch=Exact") == (["a"], at)
    assert await names(f"resourceVersion={at}&limit=5") == (["a"], at)
    assert (await names(f"resourceVersion={at}&resourceVersionMatch=NotOlderThan"))[0] == ["a", "b"]
    assert (await names(f"resourceVersion={at}"))[0] == ["a", "b"]
    assert (await names("resourceVersion=0"))[0] == ["a", "b"]
    future = int(second["metadata"]["resourceVersion"]) + 1000
    late = await call(http, "GET", f"{CONFIGMAPS}?resourceVersion={future}&resourceVersionMatch=NotOlderThan")
    assert (late["code"], late["reason"]) == (504, "Timeout")
    assert late["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_other_forms(http: aiohttp.ClientSession, version: str) -> None:
    await create(http, "c")
    api_version = f"meta.k8s.io/{version}"
    table = await call(http, "GET", f"{CONFIGMAPS}/c", Accept=TABLE.format(version))
    assert (table["kind"], table["apiVersion"], table["rows"][0]["cells"][:2]) == ("Table", api_version, ["c", 1])
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    for include, kind in (("None", None), ("Object", "ConfigMap")):
        rows = (await call(http, "GET", f"{CONFIGMAPS}?includeObject={include}", Accept=TABLE.format(version)))["rows"]
        assert (rows[-1].get("object") or {}).get("kind") == kind
    one = await call(http, "GET", f"{CONFIGMAPS}/c", Accept=METADATA.format("", version))
    assert (one["kind"], one["apiVersion"], "data" in one) == ("PartialObjectMetadata", api_version, False)
    many = await call(http, "GET", CONFIGMAPS, Accept=METADATA.format("List", version))
    assert (many["kind"], many["apiVersion"]) == ("PartialObjectMetadataList", api_version)
    for accept, kind in ((TABLE, "Table"), (METADATA.format("", "{}"), "PartialObjectMetadata")):
        (event,) = await watch(http, "resourceVersion=0", 1, Accept=accept.format(version))
        assert (event["type"], event["object"]["kind"]) == ("ADDED", kind)


async def test_what_nobody_can_answer_is_not_acceptable(http: aiohttp.ClientSession) -> None:
    for accept in ("text/plain", "application/vnd.kubernetes.protobuf", TABLE.format("v2")):
        assert brief(await call(http, "GET", CONFIGMAPS, Accept=accept)) == (406, "NotAcceptable", [])
    both = "application/vnd.kubernetes.protobuf, application/json"
    assert (await call(http, "GET", CONFIGMAPS, Accept=both))["kind"] == "ConfigMapList"


async def test_initial_events_and_their_end(http: aiohttp.ClientSession) -> None:
    await create(http, "a", "b")
    asked = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    *events, end = await watch(http, asked, 3)
    assert [(each["type"], each["object"]["metadata"]["name"]) for each in events] == [("ADDED", "a"), ("ADDED", "b")]
    assert (end["type"], end["object"]["kind"]) == ("BOOKMARK", "ConfigMap")
    assert end["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    *_, end = await watch(http, asked, 3, Accept=METADATA.format("", "v1"))
    assert end["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


@pytest.mark.parametrize("version", ["", "&resourceVersion=0"])
async def test_a_watch_without_initial_events_begins_now(http: aiohttp.ClientSession, version: str) -> None:
    await create(http, "a")
    query = f"sendInitialEvents=false&resourceVersionMatch=NotOlderThan{version}"
    async with asyncio.TaskGroup() as group:
        first = group.create_task(watch(http, query, 1))
        while not first.done():
            await asyncio.sleep(0.05)
            await call(http, "POST", CONFIGMAPS, {"metadata": {"generateName": "later-"}})
    (event,) = first.result()
    assert event["object"]["metadata"]["name"].startswith("later-")


async def test_a_watch_ends_when_its_time_is_up(http: aiohttp.ClientSession) -> None:
    async with http.get(f"{CONFIGMAPS}?watch=1&timeoutSeconds=1&resourceVersion=0") as response:
        async with asyncio.timeout(5):
            assert await response.read() == b""


async def test_a_watch_in_websocket_messages(http: aiohttp.ClientSession) -> None:
    """1. the initial events, a message each 2. what comes, by selector 3. a table 4. pings 5. the time is up."""
    await create(http, "one", labels={"a": "b"})
    async with http.ws_connect(f"{CONFIGMAPS}?watch=true&labelSelector=a=b&timeoutSeconds=2") as watched:
        first = await watched.receive_json(timeout=5)
        await create(http, "other")
        await create(http, "two", labels={"a": "b"})
        await watched.ping()
        second = await watched.receive_json(timeout=5)
        assert [(e["type"], e["object"]["metadata"]["name"]) for e in (first, second)] == [
            ("ADDED", "one"), ("ADDED", "two"),
        ]  # fmt: skip
        end = await watched.receive(timeout=5)
        assert end.type is aiohttp.WSMsgType.CLOSE
    headers = {"Accept": TABLE.format("v1")}
    async with http.ws_connect(f"{CONFIGMAPS}?watch=true", headers=headers) as watched:
        assert (await watched.receive_json(timeout=5))["object"]["kind"] == "Table"


async def test_a_websocket_watch_that_cannot_be_is_told(http: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(f"{CONFIGMAPS}?watch=true&labelSelector=a=b=c")
    assert refused.value.status == 400


async def test_whoever_leaves_a_websocket_watch_is_not_kept(
    http: aiohttp.ClientSession, running: RunningServer
) -> None:
    before = running.server.connections
    watched = await http.ws_connect(f"{CONFIGMAPS}?watch=true")
    assert running.server.connections > before
    await watched.close()
    async with asyncio.timeout(5):
        while running.server.connections > before:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"


async def test_a_put_creates_what_its_kind_allows(http: aiohttp.ClientSession) -> None:
    new = {"metadata": {"name": "new", "resourceVersion": "7"}, "spec": {"holderIdentity": "you"}}
    made = await call(http, "PUT", f"{LEASES}/new", new)
    assert (made["metadata"]["name"], made["metadata"]["managedFields"][0]["operation"]) == ("new", "Update")
    again = await call(http, "PUT", f"{LEASES}/new", {"spec": {"holderIdentity": "me"}})
    assert (again["metadata"]["uid"], again["spec"]) == (made["metadata"]["uid"], {"holderIdentity": "me"})
    refused = await call(http, "PUT", f"{LEASES}/other", {"metadata": {"name": "other", "uid": "gone"}})
    assert brief(refused) == (409, "Conflict", [])
    assert brief(await call(http, "PUT", f"{CONFIGMAPS}/new", {"metadata": {"name": "new"}}))[0] == 404


async def test_a_put_that_creates_answers_201(http: aiohttp.ClientSession) -> None:
    for status in (201, 200):
        async with http.put(f"{LEASES}/new", json={"metadata": {"name": "new"}}) as response:
            assert response.status == status


async def test_the_time_that_a_client_gives_is_heard(http: aiohttp.ClientSession) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(2)
        yield b"}"

    headers = {"Content-Type": "application/json"}
    async with http.post(f"{CONFIGMAPS}?timeout=100ms", data=slowly(), headers=headers) as response:
        assert (response.status, (await response.json())["reason"]) == (504, "Timeout")
    assert (await call(http, "GET", f"{CONFIGMAPS}?timeout=1h"))["kind"] == "ConfigMapList"
    refused = await call(http, "GET", f"{CONFIGMAPS}?timeout=soon")
    assert (refused["code"], refused["message"]) == (
        400, 'invalid timeout specified in the request URL - time: invalid duration "soon"',
    )  # fmt: skip


@pytest.mark.parametrize("size", [3_500_000, 1_500_000])
async def test_what_is_too_large(http: aiohttp.ClientSession, size: int) -> None:
    """More than a body may have; less than that, but more than the store takes of an object."""
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "a:1", "args": ["x" * size]}]}}
    data, content = io.BytesIO(json.dumps(pod).encode()), {"Content-Type": "application/json"}
    async with http.post("/api/v1/namespaces/default/pods", data=data, headers=content) as response:
        assert brief(await response.json()) == (413, "RequestEntityTooLarge", [])


async def test_resource_version_0_is_no_precondition(http: aiohttp.ClientSession) -> None:
    body = {"metadata": {"name": "a", "resourceVersion": "0"}, "data": {"a": "1"}}
    assert (await call(http, "POST", CONFIGMAPS, body))["metadata"]["resourceVersion"] != "0"
    assert (await call(http, "PUT", f"{CONFIGMAPS}/a", body | {"data": {"a": "2"}}))["data"] == {"a": "2"}
    body["metadata"]["resourceVersion"] = "1"
    assert (await call(http, "PUT", f"{CONFIGMAPS}/a", body))["reason"] == "Conflict"


@pytest.mark.parametrize(
    ("media", "patch"),
    [
        pytest.param("strategic-merge-patch", {"metadata": {"labels": "no map"}}, id="strategic"),
        pytest.param("merge-patch", {"metadata": {"labels": "no map"}}, id="merge"),
        pytest.param("json-patch", [{"op": "add", "path": "/metadata/labels", "value": "no map"}], id="json"),
    ],
)
async def test_a_patch_that_breaks_a_fields_type_is_invalid(
    http: aiohttp.ClientSession, media: str, patch: Any
) -> None:
    await create(http, "a")
    answer = await call(http, "PATCH", f"{CONFIGMAPS}/a", patch, **{"Content-Type": f"application/{media}+json"})
    assert (answer["code"], answer["reason"]) == (422, "Invalid")
    [cause] = answer["details"]["causes"]
    assert cause["field"] == "patch"
    assert 'metadata.labels: expected a map, found the string "no map"' in cause["message"]


async def test_a_body_that_is_no_json_is_told_what_it_had_to_be(http: aiohttp.ClientSession) -> None:
    async with http.post("/api/v1/namespaces", data=b"kind: Pod", headers={"Content-Type": ""}) as response:
        answer = await response.json()
    assert (response.status, answer["reason"]) == (400, "BadRequest")
    assert answer["message"].startswith("the object provided is unrecognized (must be of type Namespace): ")


@pytest.mark.parametrize("query", ["", "?watch=true&timeoutSeconds=1"])
async def test_endpoints_are_deprecated(http: aiohttp.ClientSession, query: str) -> None:
    async with http.get(f"/api/v1/endpoints{query}") as response:
        warning = response.headers["Warning"]
    assert warning == '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"'
    async with http.get("/api/v1/services") as response:
        assert "Warning" not in response.headers


async def test_a_status_reads_as_that_of_kubernetes_to_the_byte(http: aiohttp.ClientSession) -> None:
    """There are programs that show the text, one below the other, or compare it."""
    await create(http, "twice")
    async with http.post(CONFIGMAPS, json={"metadata": {"name": "twice"}}) as response:
        assert await response.text() == (
            '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
            '"message":"configmaps \\"twice\\" already exists","reason":"AlreadyExists",'
            '"details":{"name":"twice","kind":"configmaps"},"code":409}\n'
        )
    async with http.delete(f"{CONFIGMAPS}/twice") as response:
        assert (await response.text()).endswith("}\n")
