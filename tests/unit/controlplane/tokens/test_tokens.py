"""Tokens from the request to the user: through the real chain on the memory store, in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from controlplane.registry.interface import User
from orch.api.kinds import NODES, PODS, SECRETS, SERVICEACCOUNTS
from orch.api.meta import DeleteOptions, ObjectMeta
from orch.api.secret import Secret
from orch.api.serviceaccount import ServiceAccount
from orch.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound
from tests.sim.virtual_loop import virtual
from tests.tokens import a_signer
from tests.unit.controlplane.world import World, new_node, new_pod, world

FORCED = DeleteOptions(grace_period_seconds=0)


@asynccontextmanager
async def robot_world() -> AsyncIterator[World]:
    """With the accounts `robot` and `other`, node n1, and on it the pod `pod` of robot."""
    async with world() as w:
        for name in ("robot", "other"):
            await w.admin.create(SERVICEACCOUNTS, account(name))
        await w.admin.create(NODES, new_node("n1"))
        await w.admin.create(PODS, new_pod(spec={"service_account_name": "robot", "node_name": "n1"}))
        yield w


def account(name: str) -> ServiceAccount:
    return ServiceAccount(metadata=ObjectMeta(name=name, namespace="default"))


async def ask(w: World, name: str = "robot", **spec: Any) -> Mapping[str, Any]:
    return await w.admin.create_subresource(SERVICEACCOUNTS, name, "default", "token", {"spec": spec})


async def token_of(w: World, **spec: Any) -> str:
    return str((await ask(w, **spec))["status"]["token"])


def bound_to(kind: str, name: str, **more: str) -> dict[str, Any]:
    return {"boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": name, **more}}


async def user_of(w: World, token: str) -> User | None:
    return await w.parts.authenticator.token_user(token)


@virtual
async def test_a_token_is_its_accounts_user() -> None:
    async with robot_world() as w:
        answer = await ask(w)
        assert answer["spec"]["audiences"] == [a_signer().issuer]
        assert answer["spec"]["expirationSeconds"] == 3600
        assert answer["status"]["expirationTimestamp"] == "2026-01-01T13:00:00Z"
        user = await user_of(w, answer["status"]["token"])
        assert user is not None
        assert user.name == "system:serviceaccount:default:robot"
        assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated")
        assert user.uid == (await w.admin.get(SERVICEACCOUNTS, "robot", "default")).metadata.uid
        assert list(user.extra) == ["authentication.kubernetes.io/credential-id"]


@virtual
async def test_a_pods_token_names_pod_and_node() -> None:
    async with robot_world() as w:
        pod, node = await w.admin.get(PODS, "pod", "default"), await w.admin.get(NODES, "n1")
        token = await token_of(w, **bound_to("Pod", "pod", uid=pod.metadata.uid))
        user = await user_of(w, token)
        assert user is not None
        extra = {key.removeprefix("authentication.kubernetes.io/"): value for key, value in user.extra.items()}
        assert extra.pop("credential-id")[0].startswith("JTI=")
        assert extra == {
            "pod-name": ("pod",), "pod-uid": (pod.metadata.uid,),
            "node-name": ("n1",), "node-uid": (node.metadata.uid,),
        }  # fmt: skip


@virtual
async def test_a_token_ends_with_its_time() -> None:
    async with robot_world() as w:
        token = await token_of(w, expirationSeconds=600)
        await asyncio.sleep(600 + 59)
        assert await user_of(w, token) is not None
        await asyncio.sleep(2)
        assert await user_of(w, token) is None


@virtual
async def test_the_mounted_token_lives_on_for_clients_that_read_it_once() -> None:
    async with robot_world() as w:
        token = await token_of(w, expirationSeconds=3607, **bound_to("Pod", "pod"))
        claims = a_signer().verified(token)
        assert claims.binding.warnafter == claims.iat + 3607
        await asyncio.sleep(100 * 24 * 3600)
        assert await user_of(w, token) is not None
        unbound = a_signer().verified(await token_of(w, expirationSeconds=3607))
        assert (unbound.exp - unbound.iat, unbound.binding.warnafter) == (3607, None)


@pytest.mark.parametrize(
    ("spec", "gone"),
    [
        ({}, (SERVICEACCOUNTS, "robot")),
        (bound_to("Pod", "pod"), (PODS, "pod")),
        (bound_to("Secret", "keys"), (SECRETS, "keys")),
        (bound_to("Node", "n1"), (NODES, "n1")),
    ],
)
@virtual
async def test_a_token_ends_with_its_account_and_what_it_is_bound_to(spec: Any, gone: Any) -> None:
    async with robot_world() as w:
        await w.admin.create(SECRETS, Secret(metadata=ObjectMeta(name="keys", namespace="default")))
        token = await token_of(w, **spec)
        assert await user_of(w, token) is not None
        kind, name = gone
        await w.admin.delete(kind, name, "default" if kind.namespaced else "", options=FORCED)
        await asyncio.sleep(65 if kind is PODS else 0)  # a pod stays until its node has stopped it
        assert await user_of(w, token) is None


@virtual
async def test_an_account_of_the_same_name_is_another() -> None:
    async with robot_world() as w:
        token = await token_of(w)
        await w.admin.delete(SERVICEACCOUNTS, "robot", "default")
        await w.admin.create(SERVICEACCOUNTS, account("robot"))
        assert await user_of(w, token) is None


@virtual
async def test_a_token_of_a_pod_that_is_being_deleted_ends_a_minute_after_its_grace() -> None:
    async with robot_world() as w:
        pod = await w.admin.get(PODS, "pod", "default")
        held = replace(pod, metadata=replace(pod.metadata, finalizers=("example.com/hold",)))
        await w.admin.update(PODS, held)
        token = await token_of(w, **bound_to("Pod", "pod"))
        await w.admin.delete(PODS, "pod", "default", options=DeleteOptions(grace_period_seconds=30))
        await asyncio.sleep(80)
        assert await user_of(w, token) is not None
        await asyncio.sleep(20)
        assert await user_of(w, token) is None


@virtual
async def test_a_token_is_good_for_its_audience_only() -> None:
    async with robot_world() as w:
        assert await user_of(w, await token_of(w, audiences=["vault"])) is None
        assert await user_of(w, await token_of(w, audiences=["vault", a_signer().issuer])) is not None


@virtual
async def test_nonsense_is_nobody() -> None:
    async with robot_world() as w:
        token = await token_of(w)
        for wrong in ("", "x", token[:-3], token + "x", "ü", "a." * 1000):
            assert await user_of(w, wrong) is None


@virtual
async def test_a_not_yet_valid_token_is_refused() -> None:
    async with robot_world() as w:
        claims = a_signer().verified(await token_of(w))
        later = replace(claims, nbf=claims.nbf + 120)
        assert await user_of(w, a_signer().sign(later)) is None
        assert await user_of(w, a_signer().sign(replace(claims, iss="https://other"))) is None
        assert await user_of(w, a_signer().sign(replace(claims, sub="system:serviceaccount:default:other"))) is None


@virtual
async def test_what_a_request_must_be() -> None:
    async with robot_world() as w:
        for seconds, why in ((599, "less than 10 minutes"), ((1 << 32) + 1, "larger than 2.32 seconds")):
            with pytest.raises(Invalid, match=why) as refused:
                await ask(w, expirationSeconds=seconds)
            assert refused.value.causes[0].field == "spec.expirationSeconds"
        with pytest.raises(NotFound, match='serviceaccounts "nobody" not found'):
            await ask(w, "nobody")
        with pytest.raises(NotFound, match='pods "absent" not found'):
            await ask(w, **bound_to("Pod", "absent"))
        with pytest.raises(Conflict, match="does not match the UID in record"):
            await ask(w, **bound_to("Pod", "pod", uid="another"))
        with pytest.raises(BadRequest, match="different serviceaccount name"):
            await ask(w, "other", **bound_to("Pod", "pod"))
        with pytest.raises(BadRequest, match="cannot bind token to object of type"):
            await ask(w, **bound_to("ConfigMap", "c"))
        body = {"metadata": {"name": "other"}}
        with pytest.raises(BadRequest, match="name on token request"):
            await w.admin.create_subresource(SERVICEACCOUNTS, "robot", "default", "token", body)


@virtual
async def test_an_account_makes_no_tokens() -> None:
    async with robot_world() as w:
        user = await user_of(w, await token_of(w))
        assert user is not None
        with pytest.raises(Forbidden):
            await w.client(user).create_subresource(SERVICEACCOUNTS, "robot", "default", "token", {})
