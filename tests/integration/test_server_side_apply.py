"""Server-side apply and managedFields, as the Python `kubernetes` client and every kubectl see them."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest
from kubernetes.client.exceptions import ApiException

from tests.apiserver import RunningServer, memory_server
from tests.kubectl import Kubectl, installed

pytestmark = pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning")

APPLY_TYPE = "application/apply-patch+yaml"
WEB = "/apis/apps/v1/namespaces/default/deployments/web"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def deployment(image: str = "app:1", **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "app", "image": image}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template, **spec},
    }


class Caller:
    """Requests through the client's own connection, authentication and error handling."""

    def __init__(self, client: kubernetes.client.ApiClient) -> None:
        self._client = client

    async def call(self, method: str, path: str, body: Any = None, media: str = "", **query: Any) -> tuple[int, Any]:
        headers = {"Accept": "application/json", "Content-Type": media or "application/json"}
        try:
            data, status, _ = await asyncio.to_thread(
                self._client.call_api, path, method, query_params=list(query.items()), header_params=headers, body=body,
                response_type="object", auth_settings=["BearerToken"], _return_http_data_only=False,
            )  # fmt: skip
        except ApiException as error:
            return error.status, json.loads(error.body or "{}")
        return status, data

    async def apply(self, body: Any, manager: str = "me", path: str = WEB, **query: Any) -> tuple[int, Any]:
        return await self.call("PATCH", path, body, APPLY_TYPE, fieldManager=manager, **query)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with memory_server(tmp_path) as running:
        yield running


@pytest.fixture
async def api(running: RunningServer) -> AsyncIterator[Caller]:
    configuration = kubernetes.client.Configuration()
    kubernetes.config.load_kube_config(str(running.kubeconfig), client_configuration=configuration)
    with kubernetes.client.ApiClient(configuration) as client:
        yield Caller(client)


def managers(obj: Any) -> list[tuple[str, str, str]]:
    return [(e["manager"], e["operation"], e.get("subresource", "")) for e in obj["metadata"].get("managedFields", ())]


def owned(obj: Any, manager: str) -> dict[str, Any]:
    return next(e["fieldsV1"] for e in obj["metadata"]["managedFields"] if e["manager"] == manager)


async def test_apply_creates_changes_and_removes(api: Caller) -> None:
    status, created = await api.apply(deployment(replicas=2))
    assert (status, managers(created)) == (201, [("me", "Apply", "")])
    assert owned(created, "me")["f:spec"].keys() == {"f:replicas", "f:selector", "f:template"}
    status, same = await api.apply(deployment(replicas=2))
    assert (status, same) == (200, created), "an apply that changes nothing writes nothing"
    status, changed = await api.apply(deployment("app:2"))
    assert (status, changed["spec"]["replicas"]) == (200, 1), "what is no longer named goes back to its default"
    assert changed["spec"]["template"]["spec"]["containers"][0]["image"] == "app:2"
    assert changed["metadata"]["generation"] == 2


async def test_conflicts_name_managers_and_fields(api: Caller) -> None:
    await api.apply(deployment(replicas=1))
    scale = {"spec": {"replicas": 3}}
    await api.call("PATCH", WEB, scale, "application/merge-patch+json", fieldManager="scaler")
    status, refused = await api.apply(deployment(replicas=2))
    assert (status, refused["reason"]) == (409, "Conflict")
    assert refused["message"] == 'Apply failed with 1 conflict: conflict with "scaler" using apps/v1: .spec.replicas'
    assert refused["details"] == {
        "causes": [
            {
                "reason": "FieldManagerConflict",
                "message": 'conflict with "scaler" using apps/v1',
                "field": ".spec.replicas",
            }
        ]
    }
    assert (await api.apply(deployment(replicas=3), "third"))[0] == 200, "whoever says what is there already shares it"
    status, several = await api.apply(deployment("app:2", replicas=5))
    assert several["message"] == (
        "Apply failed with 3 conflicts: "
        'conflicts with "scaler" using apps/v1:\n- .spec.replicas\n'
        'conflicts with "third":\n- .spec.replicas\n- .spec.template.spec.containers[name="app"].image'
    )
    status, forced = await api.apply(deployment("app:2", replicas=5), force="true")
    assert (status, forced["spec"]["replicas"]) == (200, 5)
    assert sorted(managers(forced)) == [("me", "Apply", ""), ("third", "Apply", "")]
    assert "f:replicas" not in owned(forced, "third")["f:spec"]


async def test_what_an_apply_must_not_say(api: Caller) -> None:
    assert (await api.call("PATCH", WEB, deployment(), APPLY_TYPE))[0] == 422
    for body, message in (
        (deployment() | {"metadata": {"name": "web", "managedFields": []}}, "metadata.managedFields must be nil"),
        (deployment() | {"apiVersion": "v1"}, "Incorrect version specified in apply patch"),
        (deployment(foo=1), ".spec.foo: field not declared in schema"),
        (deployment(replicas="two"), "spec.replicas"),
        ("{", "YAML"),
        ([], "object"),
    ):
        status, refused = await api.apply(body)
        assert (status, refused["reason"]) == (400, "BadRequest"), body
        assert message in refused["message"]
    twice = deployment()
    twice["spec"]["template"]["spec"]["containers"] *= 2
    assert "duplicate entries" in (await api.apply(twice))[1]["message"]
    with_uid = deployment() | {"metadata": {"name": "web", "uid": "x"}}
    assert "uid mismatch" in (await api.apply(with_uid))[1]["message"]
    assert (await api.apply(deployment(), path=f"{WEB}/status"))[0] == 404
    assert (await api.apply(deployment() | {"metadata": {"name": "other"}}))[0] == 400


async def test_status_and_scale(api: Caller) -> None:
    await api.apply(deployment(replicas=1) | {"status": {"replicas": 9}})
    body = deployment(replicas=7) | {"status": {"replicas": 4, "observedGeneration": 1}}
    status, shown = await api.apply(body, "ctl", f"{WEB}/status")
    assert (status, shown["spec"]["replicas"], shown["status"]["replicas"]) == (200, 1, 4)
    assert owned(shown, "ctl") == {"f:status": {"f:observedGeneration": {}, "f:replicas": {}}}
    assert "f:status" not in owned(shown, "me")
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"}, "spec": {"replicas": 6}}
    status, refused = await api.apply(scale, "hpa", f"{WEB}/scale")
    assert (status, refused["details"]["causes"][0]["field"]) == (409, ".spec.replicas")
    status, scaled = await api.apply(scale, "hpa", f"{WEB}/scale", force="true")
    assert (status, scaled["kind"], scaled["spec"]["replicas"]) == (200, "Scale", 6)
    _, now = await api.call("GET", WEB)
    assert sorted(managers(now)) == [("ctl", "Apply", "status"), ("hpa", "Apply", "scale"), ("me", "Apply", "")]
    assert now["status"] == shown["status"]


async def test_ordinary_writes_are_recorded(api: Caller) -> None:
    _, created = await api.call("POST", DEPLOYMENTS, deployment())
    assert managers(created) == [("OpenAPI-Generator", "Update", "")]
    entry = created["metadata"]["managedFields"][0]
    assert (entry["apiVersion"], entry["fieldsType"]) == ("apps/v1", "FieldsV1")
    assert entry["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"app"}']["."] == {}
    same = await api.call("PUT", WEB, created, fieldManager="other")
    assert same == (200, created), "a write that changes nothing writes nothing"
    patch = {"metadata": {"labels": {"a": "b"}}}
    _, labelled = await api.call("PATCH", WEB, patch, "application/merge-patch+json", fieldManager="lab")
    assert owned(labelled, "lab") == {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}}
    gone = {"metadata": {"labels": None}}
    _, without = await api.call("PATCH", WEB, gone, "application/merge-patch+json")
    assert managers(without) == [("OpenAPI-Generator", "Update", "")]


async def test_clients_may_reset_managers_but_not_lose_them(api: Caller) -> None:
    _, created = await api.call("POST", DEPLOYMENTS, deployment())
    patch = "application/merge-patch+json"
    _, kept = await api.call("PATCH", WEB, {"metadata": {"managedFields": []}}, patch)
    assert managers(kept) == managers(created)
    _, reset = await api.call("PATCH", WEB, {"metadata": {"managedFields": [{}]}}, patch)
    assert "managedFields" not in reset["metadata"]
    _, changed = await api.call("PATCH", WEB, {"spec": {"replicas": 4}}, patch)
    assert "managedFields" not in changed["metadata"], "nothing is known until somebody applies"
    status, _ = await api.apply(deployment(replicas=2))
    assert status == 409
    _, applied = await api.apply(deployment(replicas=2), force="true")
    assert managers(applied) == [("me", "Apply", ""), ("before-first-apply", "Update", "")]


async def test_dry_run_writes_nothing(api: Caller) -> None:
    status, shown = await api.apply(deployment(), dryRun="All")
    assert (status, managers(shown)) == (201, [("me", "Apply", "")])
    assert (await api.call("GET", WEB))[0] == 404
    await api.apply(deployment())
    status, shown = await api.apply(deployment("app:9"), dryRun="All")
    assert (status, shown["spec"]["template"]["spec"]["containers"][0]["image"]) == (200, "app:9")
    _, live = await api.call("GET", WEB)
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "app:1"


@pytest.mark.parametrize("kubectl", installed(), ids=lambda kubectl: kubectl.name)
async def test_kubectl(kubectl: Kubectl, running: RunningServer) -> None:
    async def run(*arguments: str, body: Any = None, check: bool = True) -> str:
        text = json.dumps(body) if body is not None else ""
        return await kubectl.run(running.kubeconfig, *arguments, stdin=text, check=check)

    async def live() -> Any:
        return json.loads(await run("get", "--raw", WEB))

    await run("apply", "-f", "-", body=deployment(replicas=2))
    assert managers(await live()) == [("kubectl-client-side-apply", "Update", "")]
    applied = await run("apply", "--server-side", "-f", "-", body=deployment(replicas=2))
    assert "serverside-applied" in applied, "the migration from client-side apply has no conflicts"
    changed = await run("apply", "--server-side", "-f", "-", body=deployment("app:2", replicas=2))
    assert "serverside-applied" in changed
    assert "app:2" in (await live())["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
    await run("scale", "deployment", "web", "--replicas=4")
    refused = await run("apply", "--server-side", "-f", "-", body=deployment("app:2", replicas=2), check=False)
    assert "conflict" in refused
    assert ".spec.replicas" in refused
    forced = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    dry = await run(*forced, "--dry-run=server", body=deployment("app:3"))
    assert "serverside-applied (server dry run)" in dry
    difference = await run(
        "diff", "--server-side", "--force-conflicts", "-f", "-", body=deployment("app:3", replicas=2), check=False
    )
    assert "+      - image: app:3" in difference
    assert "-  replicas: 4" in difference
    await run(*forced, body=deployment("app:2", replicas=2))
    await run("label", "deployment", "web", "tier=front", "--field-manager=lab")
    await run("annotate", "deployment", "web", "note=x", "--field-manager=lab")
    found = await live()
    assert found["spec"]["replicas"] == 2
    assert owned(found, "lab")["f:metadata"].keys() == {"f:annotations", "f:labels"}
