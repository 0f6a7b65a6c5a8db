"""Asking in another's name over HTTP: who may, what the others then see, and what is refused."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict

from orch.client.http import tls_context
from orch.kubeconfig import Access
from tests.apiserver import RunningServer, memory_server
from tests.kubectl import newest

WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
NAMESPACES = "/api/v1/namespaces"
AS_PREFIX = "Impersonate-"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with memory_server(tmp_path) as running:
        yield running


async def ask(access: Access, path: str, asked: list[tuple[str, str]], body: Any = None) -> tuple[int, Any]:
    """`asked`: headers without their prefix."""
    headers = CIMultiDict((AS_PREFIX + name, value) for name, value in asked)
    connector = aiohttp.TCPConnector(ssl=tls_context(access))
    method = "GET" if body is None else "POST"
    async with (
        aiohttp.ClientSession(access.server, connector=connector) as http,
        http.request(method, path, json=body, headers=headers) as response,
    ):
        return response.status, await response.json()


async def seen_as(running: RunningServer, *asked: tuple[str, str]) -> Mapping[str, Any]:
    status, answer = await ask(running.access, WHO, list(asked), {})
    assert status == 201, answer
    user: Mapping[str, Any] = answer["status"]["userInfo"]
    return user


async def test_an_administrator_is_seen_as_who_was_asked_for(running: RunningServer) -> None:
    user = await seen_as(
        running, ("User", "anna"), ("Group", "b"), ("Group", "a"), ("Uid", "7"), ("Extra-Scopes%2fx", "read")
    )
    assert (user["username"], user["uid"]) == ("anna", "7")
    assert user["groups"] == ["b", "a", "system:authenticated"]
    assert user["extra"] == {"scopes/x": ["read"]}


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        pytest.param(
            "system:serviceaccount:team:robot",
            ["system:serviceaccounts", "system:serviceaccounts:team", "system:authenticated"],
            id="a service account",
        ),
        pytest.param("anna", ["system:authenticated"], id="a user"),
    ],
)
async def test_groups_that_go_without_saying(running: RunningServer, name: str, groups: list[str]) -> None:
    assert (await seen_as(running, ("User", name)))["groups"] == groups


async def test_the_other_users_rights_count(running: RunningServer) -> None:
    status, answer = await ask(running.access, NAMESPACES, [("User", "anna")])
    assert (status, answer["reason"]) == (403, "Forbidden")
    assert 'User "anna" cannot list resource "namespaces"' in answer["message"]
    assert (await ask(running.access, NAMESPACES, [("User", "anna"), ("Group", "system:masters")]))[0] == 200


@pytest.mark.parametrize(
    ("asked", "resource"),
    [
        pytest.param([("User", "bert")], "users", id="a user"),
        pytest.param([("User", "system:serviceaccount:team:robot")], "serviceaccounts", id="a service account"),
    ],
)
async def test_others_may_not(running: RunningServer, asked: list[tuple[str, str]], resource: str) -> None:
    status, answer = await ask(running.access_of("anna"), WHO, asked, {})
    assert (status, answer["reason"]) == (403, "Forbidden")
    assert f'User "anna" cannot impersonate resource "{resource}"' in answer["message"]


async def test_groups_without_a_user_are_an_error(running: RunningServer) -> None:
    status, answer = await ask(running.access, WHO, [("Group", "system:masters")], {})
    assert (status, answer["reason"]) == (500, "InternalError")
    assert "without impersonating a user" in answer["message"]


async def test_kubectl_as(running: RunningServer) -> None:
    answer = await newest().run(
        running.kubeconfig, "auth", "whoami", "--as=anna", "--as-group=devs", "-o", "jsonpath={.status.userInfo}"
    )
    assert '"username":"anna"' in answer
    refused = await newest().run(running.kubeconfig, "get", "ns", "--as=anna", check=False)
    assert "Error from server (Forbidden)" in refused
