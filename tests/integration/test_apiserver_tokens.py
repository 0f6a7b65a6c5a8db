"""Tokens and reviews over TLS, as clients without a certificate use them."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest

from controlplane.tokens.signer import DISCOVERY_PATH, JWKS_PATH
from orch.api.kinds import CONFIGMAPS, PODS, SECRETS, SERVICEACCOUNTS
from orch.api.meta import ObjectMeta
from orch.api.serviceaccount import ServiceAccount
from orch.client.http import connect, tls_context
from orch.errors import Forbidden
from tests.apiserver import RunningServer, memory_server
from tests.kubectl import newest


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with memory_server(tmp_path) as running:
        yield running


async def token_of(server: RunningServer, name: str = "robot") -> str:
    async with connect(server.access, user_agent="test") as admin:
        await admin.create(SERVICEACCOUNTS, ServiceAccount(metadata=ObjectMeta(name=name, namespace="default")))
        answer = await admin.create_subresource(SERVICEACCOUNTS, name, "default", "token", {})
        return str(answer["status"]["token"])


async def get(server: RunningServer, path: str, token: str) -> tuple[int, dict[str, str], Any]:
    access = server.access_without_certificate()
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls_context(access))) as session,
        session.get(access.server + path, headers={"Authorization": f"Bearer {token}"}) as response,
    ):
        return response.status, dict(response.headers), json.loads(await response.read())


async def test_a_bearer_token_is_its_accounts_identity(server: RunningServer) -> None:
    token = await token_of(server)
    async with connect(server.access_without_certificate(token), user_agent="test") as robot:
        assert (await robot.list(PODS, "default")).items == ()
        for kind, namespace in ((SECRETS, "default"), (PODS, "kube-system"), (CONFIGMAPS, "")):
            with pytest.raises(Forbidden):
                await robot.list(kind, namespace)


async def test_a_bad_token_is_told_as_kubernetes_tells_it(server: RunningServer) -> None:
    good = await token_of(server)
    for bad in ("nonsense", good[:-4], f"{good}.x"):
        status, _, body = await get(server, "/api/v1/namespaces/default/pods", bad)
        assert status == 401
        assert body == {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "Unauthorized",
            "reason": "Unauthorized", "code": 401,
        }  # fmt: skip


async def test_verifiers_elsewhere_find_the_key(server: RunningServer) -> None:
    token = await token_of(server)
    status, headers, discovery = await get(server, DISCOVERY_PATH, token)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    status, headers, keys = await get(server, JWKS_PATH, token)
    assert (status, headers["Content-Type"]) == (200, "application/jwk-set+json")
    (key,) = jwt.PyJWKSet.from_dict(keys).keys
    claims = jwt.decode(token, key, algorithms=["ES256"], audience=discovery["issuer"], issuer=discovery["issuer"])
    assert claims["sub"] == "system:serviceaccount:default:robot"
    assert (await get(server, "/", token))[0] == 403


async def test_reviews_are_found_by_discovery_and_cannot_be_listed(server: RunningServer) -> None:
    token = await token_of(server)
    _, _, found = await get(server, "/apis/authorization.k8s.io/v1", token)
    verbs = {one["name"]: one["verbs"] for one in found["resources"]}
    assert verbs["selfsubjectaccessreviews"] == ["create"]
    _, _, core = await get(server, "/api/v1", token)
    (entry,) = [one for one in core["resources"] if one["name"] == "serviceaccounts/token"]
    assert (entry["kind"], entry["group"], entry["verbs"]) == ("TokenRequest", "authentication.k8s.io", ["create"])
    output = await newest().run(server.kubeconfig, "get", "selfsubjectreviews", check=False)
    assert "MethodNotAllowed" in output or "does not allow this method" in output


async def test_kubectl_binds_a_token_to_an_object(server: RunningServer) -> None:
    await token_of(server)
    kubectl = newest()
    await kubectl.run(server.kubeconfig, "create", "secret", "generic", "keys")
    arguments = ("create", "token", "robot", "--bound-object-kind=Secret", "--bound-object-name=keys")
    token = (await kubectl.run(server.kubeconfig, *arguments, "--audience=vault")).strip()
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["kubernetes.io"]["secret"]["name"] == "keys"
    assert claims["aud"] == ["vault"]
    refused = await kubectl.run(server.kubeconfig, *arguments, "--bound-object-uid=another", check=False)
    assert "does not match the UID in record" in refused
    short = await kubectl.run(server.kubeconfig, "create", "token", "robot", "--duration=1m", check=False)
    assert "may not specify a duration less than 10 minutes" in short
