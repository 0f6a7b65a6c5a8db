"""The HTTP layer end to end over TLS, with a fake Api behind it."""

import asyncio
import gzip
import io
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from controlplane.apiserver.limits import GateLimits
from controlplane.registry.interface import User
from orch.api.kinds import PODS, builtin_kinds
from orch.client.client import EventType
from orch.client.http import HttpClient, connect, tls_context
from orch.errors import Forbidden, NotFound, Unauthorized
from tests import builders
from tests.apiserver import RunningServer, running_server
from tests.unit.controlplane.apiserver.fakes import FakeApi, FakeStreams

POD_JSON = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web"},
    "spec": {"containers": [{"name": "app", "image": "app:1"}]},
}
PODS_PATH = "/api/v1/namespaces/default/pods"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


async def json_of(response: aiohttp.ClientResponse) -> Any:
    return json.loads(await response.read())


async def test_get_sends_the_stored_bytes_as_they_are(http: aiohttp.ClientSession, api: FakeApi) -> None:
    stored = await api.put(PODS, builders.pod("web"))
    async with http.get(f"{PODS_PATH}/web") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/json"
        assert await response.read() == stored.data


async def test_unknown_object_is_a_404_status(http: aiohttp.ClientSession) -> None:
    async with http.get(f"{PODS_PATH}/nothing") as response:
        status = await json_of(response)
    assert (response.status, status["kind"], status["reason"], status["details"]["name"]) == (
        404, "Status", "NotFound", "nothing",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "code", "reason"),
    [
        pytest.param("GET", "/api/v1/nonsense", 404, "NotFound", id="unknown resource"),
        pytest.param("GET", "/nonsense", 404, "NotFound", id="unknown path"),
        pytest.param("GET", "/apis/nonsense/v1", 404, "NotFound", id="unknown group"),
        pytest.param("GET", "/api/v1/namespaces/a/nodes", 404, "NotFound", id="cluster kind in a namespace"),
        pytest.param("GET", "/api/v1/pods/web", 404, "NotFound", id="namespaced object without namespace"),
        pytest.param("GET", f"{PODS_PATH}/web/nonsense", 404, "NotFound", id="unknown subresource"),
        pytest.param("POST", f"{PODS_PATH}/web", 405, "MethodNotAllowed", id="POST on an object"),
        pytest.param("POST", "/api/v1/pods", 405, "MethodNotAllowed", id="POST across namespaces"),
        pytest.param("PUT", PODS_PATH, 405, "MethodNotAllowed", id="PUT on a collection"),
        pytest.param("POST", "/apis", 405, "MethodNotAllowed", id="POST on discovery"),
        pytest.param("GET", f"{PODS_PATH}?limit=x", 400, "BadRequest", id="limit is no number"),
        pytest.param("GET", f"{PODS_PATH}?limit=-1", 400, "BadRequest", id="negative limit"),
        pytest.param("POST", f"{PODS_PATH}?dryRun=Some", 422, "Invalid", id="bad dryRun"),
        pytest.param("POST", f"{PODS_PATH}?fieldValidation=No", 422, "Invalid", id="bad fieldValidation"),
    ],
)
async def test_refusals_are_status_bodies(
    http: aiohttp.ClientSession, method: str, path: str, code: int, reason: str
) -> None:
    async with http.request(method, path, json=POD_JSON if method != "GET" else None) as response:
        status = await json_of(response)
    assert (response.status, status["code"], status["reason"]) == (code, code, reason)


@pytest.mark.parametrize(
    ("media", "body", "code"),
    [
        pytest.param("application/json", b"{", 400, id="malformed JSON"),
        pytest.param("application/json", b"", 400, id="no body"),
        pytest.param("application/json", b"[]", 400, id="a list"),
        pytest.param("application/json", b'{"spec":' * 100_000, 400, id="nested too deep"),
        pytest.param("application/json", b'{"nonsense":' + b"[" * 100_000, 400, id="unknown field nested too deep"),
        pytest.param("application/yaml", b"[" * 100_000, 400, id="YAML nested too deep"),
        pytest.param("application/json", b'{"a":1,"a":' + b"[" * 600 + b"]" * 600 + b"}", 400, id="deep and repeated"),
        pytest.param("application/json", b'"\xff"', 400, id="no UTF-8"),
        pytest.param("application/yaml", b"a: [", 400, id="malformed YAML"),
        pytest.param("application/json", b'{"kind":"Service"}', 400, id="another kind"),
        pytest.param("application/json", b'{"kind":"Pod","apiVersion":"apps/v1"}', 400, id="another version"),
        pytest.param("application/json", b'{"spec":{"containers":{}}}', 400, id="wrong type"),
        pytest.param("application/vnd.kubernetes.protobuf", b"k8s\0", 400, id="protobuf"),
        pytest.param("text/plain", b"{}", 415, id="text"),
        pytest.param("application/json", b" " * (3 * 1024 * 1024 + 1), 413, id="too large"),
    ],
)
async def test_bad_bodies(http: aiohttp.ClientSession, media: str, body: bytes, code: int) -> None:
    async with http.post(PODS_PATH, data=io.BytesIO(body), headers={"Content-Type": media}) as response:
        status = await json_of(response)
    assert (response.status, status["kind"]) == (code, "Status")


async def test_a_client_may_wait_for_the_permission_to_send(http: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(5), http.post(PODS_PATH, json=POD_JSON, expect100=True) as response:
        assert response.status == 201


async def test_create_in_yaml_answers_201(http: aiohttp.ClientSession) -> None:
    text = "metadata:\n  name: web\n  annotations: {at: 2026-01-01}\nspec:\n  containers: [{name: app}]\n"
    async with http.post(PODS_PATH, data=text, headers={"Content-Type": "application/yaml"}) as response:
        created = await json_of(response)
    assert response.status == 201
    assert created["metadata"]["annotations"] == {"at": "2026-01-01"}


async def test_unknown_fields_follow_field_validation(http: aiohttp.ClientSession) -> None:
    body = POD_JSON | {"spec": {"containers": [], "nonsense": 1}}
    async with http.post(f"{PODS_PATH}?fieldValidation=Strict", json=body) as response:
        assert response.status == 400
        assert 'unknown field "spec.nonsense"' in (await json_of(response))["message"]
    async with http.post(f"{PODS_PATH}?fieldValidation=Ignore", json=body) as response:
        assert response.status == 201
        assert "Warning" not in response.headers
    async with http.post(PODS_PATH, json=body | {"metadata": {"name": "other"}}) as response:
        assert response.status == 201
        assert response.headers.getall("Warning") == ['299 - "unknown field \\"spec.nonsense\\""']


async def test_delete_answers_the_pod_or_a_status(http: aiohttp.ClientSession, api: FakeApi) -> None:
    kinds = builtin_kinds()
    config_maps = kinds.by_resource("", "v1", "configmaps")
    assert config_maps is not None
    await api.put(PODS, builders.pod("web"))
    await api.put(config_maps, config_maps.codec.from_plain({"metadata": {"name": "c", "namespace": "default"}}))
    async with http.delete(f"{PODS_PATH}/web?gracePeriodSeconds=3", json={"propagationPolicy": "Orphan"}) as response:
        assert (await json_of(response))["kind"] == "Pod"
    async with http.delete("/api/v1/namespaces/default/configmaps/c") as response:
        status = await json_of(response)
    options = next(details for verb, details in api.calls if verb == "delete")
    assert (options.grace_period_seconds, options.propagation_policy) == (3, "Orphan")
    assert (status["status"], status["details"]["kind"]) == ("Success", "configmaps")


async def test_patch_types(http: aiohttp.ClientSession, api: FakeApi) -> None:
    await api.put(PODS, builders.pod("web"))

    async def patch(media: str, body: str) -> int:
        async with http.patch(f"{PODS_PATH}/web", data=body, headers={"Content-Type": media}) as response:
            return response.status

    assert await patch("application/merge-patch+json", '{"a":null}') == 200
    assert await patch("application/json-patch+json", "[]") == 200
    assert await patch("application/strategic-merge-patch+json; charset=utf-8", "{}") == 200
    assert await patch("application/merge-patch+json", "{") == 400
    assert await patch("application/json", "{}") == 415
    assert await patch("application/apply-patch+yaml", "a: b") == 422
    assert [str(details[0]) for verb, details in api.calls if verb == "patch"] == [
        "application/merge-patch+json", "application/json-patch+json", "application/strategic-merge-patch+json",
    ]  # fmt: skip


async def test_scale_takes_and_gives_a_scale(http: aiohttp.ClientSession, api: FakeApi) -> None:
    body = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 3}}
    async with http.put("/apis/apps/v1/namespaces/default/deployments/d/scale", json=body) as response:
        assert await json_of(response) == {"kind": "Scale"}
    obj, subresource = api.calls[-1][1]
    assert (obj.spec.replicas, subresource) == (3, "scale")


async def test_binding_passes_plain_data(http: aiohttp.ClientSession, api: FakeApi) -> None:
    async with http.post(f"{PODS_PATH}/web/binding", json={"target": {"name": "node-1"}}) as response:
        assert (response.status, (await json_of(response))["status"]) == (201, "Success")
    assert api.calls[-1] == ("create_subresource", ("binding", {"target": {"name": "node-1"}}))


async def test_anonymous_is_forbidden_and_a_bad_token_unauthorized(running: RunningServer) -> None:
    anonymous = aiohttp.TCPConnector(ssl=tls_context(running.access_without_certificate()))
    async with aiohttp.ClientSession(running.access.server, connector=anonymous) as http:
        async with http.get(PODS_PATH) as response:
            assert (response.status, (await json_of(response))["reason"]) == (403, "Forbidden")
        for method, path in (("GET", "/api/v1/nonsense"), ("POST", PODS_PATH), ("DELETE", PODS_PATH)):
            async with http.request(method, path, data=b"{") as response:
                assert response.status == 403
        async with http.get(PODS_PATH, headers={"Authorization": "Bearer wrong"}) as response:
            assert (response.status, (await json_of(response))["reason"]) == (401, "Unauthorized")
        for path in ("/healthz", "/livez", "/readyz", "/version"):
            async with http.get(path) as response:
                assert response.status == 200


async def test_tokens_have_a_seam(tmp_path: Path, api: FakeApi, streams: FakeStreams) -> None:
    async def token_user(token: str) -> User | None:
        return User("bot", ("system:masters",)) if token == "right" else None

    async with running_server(tmp_path, api, builtin_kinds(), streams, token_user=token_user) as running:
        async with connect(running.access_without_certificate(token="right"), user_agent="t") as client:
            assert (await client.list(PODS)).items == ()
        async with connect(running.access_without_certificate(token="wrong"), user_agent="t") as client:
            with pytest.raises(Unauthorized):
                await client.list(PODS)


async def test_client_certificates_name_the_user(running: RunningServer) -> None:
    async with connect(running.access_of("system:node:a", "system:nodes"), user_agent="t") as client:
        with pytest.raises(Forbidden, match=r"system:node:a"):
            await client.get(PODS, "web", "default")


async def test_readyz_reports_a_failing_check(tmp_path: Path, api: FakeApi, streams: FakeStreams) -> None:
    async def store() -> str:
        return "no quorum"

    async with running_server(tmp_path, api, builtin_kinds(), streams, checks={"store": store}) as running:
        connector = aiohttp.TCPConnector(ssl=tls_context(running.access))
        async with aiohttp.ClientSession(running.access.server, connector=connector) as http:
            async with http.get("/readyz") as response:
                assert (response.status, "[-]store failed: no quorum" in await response.text()) == (500, True)
            async with http.get("/readyz/store") as response:
                assert response.status == 500
            async with http.get("/readyz/ping") as response:
                assert await response.text() == "ok"
            async with http.get("/readyz/nothing") as response:
                assert response.status == 404
            async with http.get("/livez?verbose") as response:
                assert (response.status, await response.text()) == (200, "[+]ping ok\nlivez check passed\n")
            async with http.get("/readyz?exclude=store") as response:
                assert await response.text() == "ok"


async def test_too_many_requests_get_429(tmp_path: Path, api: FakeApi, streams: FakeStreams) -> None:
    api.pause_s = 0.2
    await api.put(PODS, builders.pod("web"))
    limits = GateLimits(in_flight_max=1, in_flight_per_user_max=1, queued_per_user_max=1, retry_after_s=1)
    async with running_server(tmp_path, api, builtin_kinds(), streams, reads=limits) as running:
        connector = aiohttp.TCPConnector(ssl=tls_context(running.access))
        async with aiohttp.ClientSession(running.access.server, connector=connector) as http:
            responses = await asyncio.gather(*(http.get(f"{PODS_PATH}/web") for _ in range(3)))
            assert sorted(response.status for response in responses) == [200, 200, 429]
            refused = next(response for response in responses if response.status == 429)
            assert refused.headers["Retry-After"] == "1"
            for response in responses:
                response.release()


async def test_a_request_that_takes_too_long_gets_504(tmp_path: Path, api: FakeApi, streams: FakeStreams) -> None:
    api.pause_s = 5
    async with (
        running_server(tmp_path, api, builtin_kinds(), streams, request_timeout_s=0.05) as running,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls_context(running.access))) as http,
        http.get(f"{running.access.server}{PODS_PATH}/web") as response,
    ):
        assert (response.status, (await json_of(response))["reason"]) == (504, "Timeout")


async def test_list_joins_shared_bytes_and_large_ones_are_compressed(http: aiohttp.ClientSession, api: FakeApi) -> None:
    for number in range(1000):
        await api.put(PODS, builders.pod(f"web-{number:03}"))
    async with http.get(PODS_PATH, headers={"Accept-Encoding": "identity"}) as response:
        plain = await response.read()
        assert "Content-Encoding" not in response.headers
    async with http.get(PODS_PATH, headers={"Accept-Encoding": "gzip"}, auto_decompress=False) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(await response.read()) == plain
    listed = json.loads(plain)
    assert (listed["kind"], listed["metadata"], len(listed["items"])) == (
        "PodList", {"resourceVersion": str(api.revision)}, 1000,
    )  # fmt: skip


async def test_tables_and_metadata_forms(http: aiohttp.ClientSession, api: FakeApi) -> None:
    await api.put(PODS, builders.pod("web", node="node-1"))
    async with http.get(PODS_PATH, headers={"Accept": TABLE}) as response:
        table = await json_of(response)
    assert [column["name"] for column in table["columnDefinitions"]][:3] == ["Name", "Ready", "Status"]
    assert table["rows"][0]["cells"][0] == "web"
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    async with http.get(f"{PODS_PATH}?includeObject=Object", headers={"Accept": TABLE}) as response:
        assert (await json_of(response))["rows"][0]["object"]["kind"] == "Pod"
    async with http.get(
        f"{PODS_PATH}/web", headers={"Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}
    ) as response:
        partial = await json_of(response)
    assert (partial["kind"], partial["metadata"]["name"], "spec" in partial) == ("PartialObjectMetadata", "web", False)
    async with http.get(PODS_PATH, headers={"Accept": "application/yaml"}) as response:
        assert (await response.text()).startswith("kind: PodList")
    async with http.get(PODS_PATH, headers={"Accept": "text/html"}) as response:
        assert (response.status, (await json_of(response))["reason"]) == (406, "NotAcceptable")


async def test_http_client_verbs(client: HttpClient, api: FakeApi) -> None:
    pod = builders.pod("web")
    created = await client.create(PODS, pod)
    assert await client.get(PODS, "web", "default") == created
    page = await client.list(PODS, "default")
    assert (page.items, page.resource_version) == ((created,), str(api.revision))
    updated = await client.update(PODS, created)
    assert updated.metadata.resource_version > created.metadata.resource_version
    assert await client.patch(PODS, "web", "default", {"metadata": {"labels": {"a": "b"}}}) == updated
    await client.create_subresource(PODS, "web", "default", "binding", {"target": {}})
    await client.delete(PODS, "web", "default")
    with pytest.raises(NotFound) as caught:
        await client.get(PODS, "web", "default")
    assert caught.value.name == "web"


async def test_http_client_watches(client: HttpClient, api: FakeApi) -> None:
    first = await api.put(PODS, builders.pod("web"))
    async with client.watch(PODS, resource_version=str(first.revision)) as events:
        await api.put(PODS, builders.pod("web", phase="Running"), EventType.MODIFIED)
        event = await anext(events)
    assert (event.type, event.obj.status.phase) == (EventType.MODIFIED, "Running")
