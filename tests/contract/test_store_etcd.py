"""What only a real etcd can show: TLS, restarts, the quota, and the whole API over it."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from controlplane.registry.assembly import ApiParts, RegistrySettings, build_api
from controlplane.registry.interface import User
from controlplane.registry.local_client import LocalClient
from controlplane.store import keys
from controlplane.store.backend import Backend, Committed, Put, StoreError, StoreUnavailable
from controlplane.store.etcd import EtcdBackend, EtcdTls, open_channel
from controlplane.store.etcd_upkeep import EtcdUpkeep, Step
from controlplane.store.transform import AesGcm
from orch import pki
from orch.api.configmap import ConfigMap
from orch.api.kinds import CONFIGMAPS, SECRETS, builtin_kinds
from orch.api.meta import ObjectMeta
from orch.api.secret import Secret
from orch.client.client import EventType
from orch.kit.clock import SystemClock
from orch.kit.ids import SystemIds
from tests.etcd import free_port, running_etcd
from tests.tokens import a_signer

TIMEOUT_S = 20
SMALL_QUOTA_BYTES = 16 * 1024 * 1024


@asynccontextmanager
async def running_api(backend: Backend) -> AsyncIterator[tuple[ApiParts, LocalClient]]:
    transformers = {("", "secrets"): AesGcm((b"k" * 32,), os.urandom)}
    parts = build_api(
        backend, builtin_kinds(), SystemClock(), SystemIds(), RegistrySettings(transformers=transformers), a_signer()
    )
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        running = group.create_task(parts.run())
        await parts.ready.wait()
        yield parts, LocalClient(parts.api, User("admin", ("system:masters",)), SystemIds())
        running.cancel()


def config(name: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default"))


async def test_strangers_are_turned_away(tmp_path: Path) -> None:
    with running_etcd(tmp_path) as etcd:
        await (await etcd.connect_when_up()).close()
        now = SystemClock().now()
        other = pki.create_ca("other", now=now)
        stranger = pki.issue(other, "stranger", now=now)
        for tls in (
            EtcdTls(etcd.tls.ca, stranger.cert_pem, stranger.key_pem),
            EtcdTls(other.cert_pem, etcd.tls.certificate, etcd.tls.key),
        ):
            with pytest.raises(StoreUnavailable):
                await EtcdBackend.connect([etcd.endpoint], tls)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:2379", "127.0.0.1:2379", "https://127.0.0.1"])
def test_endpoints_that_cannot_be_used_are_named(endpoint: str) -> None:
    with pytest.raises(StoreError, match="expected https://host:port"):
        open_channel([endpoint], EtcdTls(b"", b"", b""))


async def test_the_api_survives_a_restart_of_etcd(tmp_path: Path) -> None:
    """1. A watch runs. 2. etcd stops: writes fail. 3. It returns: writes work, the watch goes on, nothing is lost."""
    port = free_port()
    with running_etcd(tmp_path, port=port) as etcd:
        backend = await etcd.connect_when_up()
        api = running_api(backend)
        parts, client = await api.__aenter__()
        first = await client.create(CONFIGMAPS, config("a"))
    with pytest.raises(Exception, match="store"):
        await client.create(CONFIGMAPS, config("lost"))
    with running_etcd(tmp_path, port=port) as etcd:
        await (await etcd.connect_when_up()).close()
        async with client.watch(CONFIGMAPS, resource_version=first.metadata.resource_version) as events:
            while True:
                try:
                    await client.create(CONFIGMAPS, config("b"))
                    break
                except Exception:
                    await asyncio.sleep(0.1)
            async with asyncio.timeout(TIMEOUT_S):
                event = await anext(events)
        assert (event.type, event.obj.metadata.name) == (EventType.ADDED, "b")
        assert [item.metadata.name for item in (await client.list(CONFIGMAPS)).items] == ["a", "b"]
        assert parts.cache.revision == await backend.revision()
        await api.__aexit__(None, None, None)
        await backend.close()


async def test_a_second_server_sees_the_first_ones_writes_and_history(tmp_path: Path) -> None:
    with running_etcd(tmp_path) as etcd:
        backend = await etcd.connect_when_up()
        async with running_api(backend) as (_, one):
            first = await one.create(CONFIGMAPS, config("a"))
            second = await one.create(CONFIGMAPS, config("b"))
            async with running_api(backend) as (_, two):
                async with two.watch(CONFIGMAPS, resource_version=first.metadata.resource_version) as events:
                    assert (await anext(events)).obj == second
                    await one.delete(CONFIGMAPS, "a", "default")
                    assert (await anext(events)).type is EventType.DELETED
                page = await two.list(CONFIGMAPS, limit=1)
                await one.create(CONFIGMAPS, config("c"))
                assert (await two.get(CONFIGMAPS, "c", "default")).metadata.name == "c"
                assert [item.metadata.name for item in page.items] == ["b"]
        await backend.close()


async def test_secrets_are_unreadable_at_rest(tmp_path: Path) -> None:
    with running_etcd(tmp_path) as etcd:
        backend = await etcd.connect_when_up()
        async with running_api(backend) as (_, client):
            secret = Secret(metadata=ObjectMeta(name="s", namespace="default"), data={"password": b"hunter2"})
            created = await client.create(SECRETS, secret)
            assert (await client.get(SECRETS, "s", "default")) == created
        entry, _ = await backend.get(keys.object_key(SECRETS, "default", "s"))
        assert entry is not None
        assert entry.value[:1] == b"\x02"
        assert b"password" not in entry.value
        async with running_api(backend) as (_, client):
            assert (await client.get(SECRETS, "s", "default")).data == {"password": b"hunter2"}
        await backend.close()


async def fill(backend: Backend, key: str) -> int:
    """Overwrites one key until etcd refuses; the last revision."""
    revision = 0
    for _ in range(100):
        try:
            result = await backend.commit([], [Put(key, os.urandom(1_000_000))])
        except StoreError:
            return revision
        assert isinstance(result, Committed)
        revision = result.revision
    pytest.fail("the quota was never reached")


async def test_a_full_store_becomes_writable_again(tmp_path: Path) -> None:
    with running_etcd(tmp_path, quota_bytes=SMALL_QUOTA_BYTES) as etcd:
        backend = await etcd.connect_when_up()
        channel = open_channel([etcd.endpoint], etcd.tls)
        upkeep = EtcdUpkeep(channel, SMALL_QUOTA_BYTES)
        revision = await fill(backend, "/filler")
        full = await upkeep.usage()
        assert full.out_of_space
        await backend.compact(revision)
        assert await upkeep.turn() == [Step.WARN, Step.DEFRAGMENT]
        assert (await upkeep.usage()).total_bytes < full.total_bytes / 2
        assert await upkeep.turn() == [Step.DISARM]
        await backend.commit([], [Put("/small", b"x")])
        await channel.close()
        await backend.close()
